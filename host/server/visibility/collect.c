/* Collecting the workflow ids of an old database into the filter of known ids, in the background.
 * Thread: the job runs on the reader, its result arrives at the engine. */
#include "base/log.h"
#include "base/mem.h"
#include "server/engine.h"

#define PAGE_ROWS 10000

struct collect {
    struct tl_job job;
    struct tl_msg msg;
    struct tl_known known;
    int64_t *namespaces;
    size_t namespace_count;
    tl_rc rc;
    /* while walking */
    int64_t last_start_ns, last_number, rows;
};

static tl_rc add_row(void *ud, const struct tl_run_row *row, struct tl_error *err)
{
    struct collect *w = ud;
    char small[256];
    int64_t ns = row->namespace_number;
    (void)err;
    w->last_start_ns = row->start_ns;
    w->last_number = row->number;
    w->rows++;
    if (row->workflow_id.n <= sizeof small - sizeof ns) {
        memcpy(small, &ns, sizeof ns);
        memcpy(small + sizeof ns, row->workflow_id.p, row->workflow_id.n);
        tl_known_add(&w->known, tl_str_n(small, sizeof ns + row->workflow_id.n));
        return TL_OK;
    }
    char *key = tl_mem_alloc(sizeof ns + row->workflow_id.n);
    memcpy(key, &ns, sizeof ns);
    memcpy(key + sizeof ns, row->workflow_id.p, row->workflow_id.n);
    tl_known_add(&w->known, tl_str_n(key, sizeof ns + row->workflow_id.n));
    tl_mem_free(key);
    return TL_OK;
}

static tl_rc walk_namespace(struct collect *w, struct tl_reader *reader, int64_t number,
                            struct tl_error *err)
{
    struct tl_list_query q = {.namespace_number = number, .limit = PAGE_ROWS};
    do {
        w->rows = 0;
        tl_rc rc = tl_store_list(reader, &q, add_row, w, err);
        if (rc != TL_OK) {
            return rc;
        }
        q.has_after = true;
        q.after_start_ns = w->last_start_ns;
        q.after_number = w->last_number;
    } while (w->rows == PAGE_ROWS);
    return TL_OK;
}

static void collect_free(struct collect *w)
{
    tl_known_deinit(&w->known);
    tl_mem_free(w->namespaces);
    tl_mem_free(w);
}

static void run(struct tl_server *s, struct tl_reader *reader, struct tl_job *job)
{
    struct collect *w = TL_CONTAINER(job, struct collect, job);
    struct tl_error err;
    for (size_t i = 0; reader && w->rc == TL_OK && i < w->namespace_count; i++) {
        w->rc = walk_namespace(w, reader, w->namespaces[i], &err);
    }
    if (w->rc != TL_OK) {
        TL_LOG(TL_LOG_WARN, "server.ids_not_collected", TL_C("cause", err.message));
    }
    if (!reader || w->rc != TL_OK || !tl_inbox_send_always(&s->inbox, &w->msg)) {
        collect_free(w);
    }
}

void tl_known_arrived(struct tl_server *s, struct tl_msg *m)
{
    struct collect *w = TL_CONTAINER(m, struct collect, msg);
    tl_known_merge(&s->known, &w->known);
    collect_free(w);
}

void tl_known_collect(struct tl_server *s)
{
    if (s->known.complete) {
        return;
    }
    struct collect *w = TL_NEW(struct collect);
    w->job.run = run;
    w->msg.kind = TL_MSG_KNOWN_IDS;
    tl_known_init(&w->known, true);
    w->namespaces = TL_NEW_ARRAY(int64_t, 3 * s->namespace_numbers.count);
    TL_MAP_EACH (e, &s->namespace_numbers) {
        w->namespaces[w->namespace_count++] = tl_ns_scope(e->value, TL_RUN_WORKFLOW);
        w->namespaces[w->namespace_count++] = tl_ns_scope(e->value, TL_RUN_ACTIVITY);
        w->namespaces[w->namespace_count++] = tl_ns_scope(e->value, TL_RUN_OPERATION);
    }
    tl_job_at(s, 0, &w->job);
}
