/* The jobs of batch operations. See batch.h. Stored as meta values: "batch/<number>" once,
 * "batch_progress/<number>" with every step. Thread: engine; the list of a query: reader. */
#include "server/batch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "proto/pb.h"

#define JOB_PREFIX "batch/"
#define PROGRESS_PREFIX "batch_progress/"
#define KEY_BYTES 48
/* Runs found by one list, and worked on in one commit. */
#define PAGE_RUNS 1000
#define CHUNK_RUNS 128
/* A job may be so far behind its rate and catch up. */
#define BURST_NS (50 * TL_NS_PER_MS)
#define RETRY_NS TL_NS_PER_S
#define STEPS_MAX INT64_C(2000000000)

/* --- storing ------------------------------------------------------------------------------------- */

static struct tl_str key_of(const char *prefix, uint64_t number, char out[KEY_BYTES])
{
    int n = snprintf(out, KEY_BYTES, "%s%020" PRIu64, prefix, number);
    return tl_str_n(out, (size_t)n);
}

static tl_rc store_progress(struct tl_server *s, struct tl_batch_job *job, struct tl_error *err)
{
    char key[KEY_BYTES];
    tl_buf_clear(&s->scratch);
    tl_rc rc = tl_pb_encode(&job->at, &s->scratch, err);
    if (rc == TL_OK) {
        tl_batch_meta_put(&s->open->ops, key_of(PROGRESS_PREFIX, job->number, key),
                          tl_buf_str(&s->scratch));
        job->seq = s->open->seq;
    }
    return rc;
}

/* What cannot be stored must not become durable without it. */
static void store_or_poison(struct tl_server *s, struct tl_batch_job *job)
{
    struct tl_error err;
    if (store_progress(s, job, &err) != TL_OK) {
        TL_LOG(TL_LOG_ERROR, "server.batch_not_stored", TL_C("cause", err.message));
        s->poisoned = true;
    }
}

static tl_rc store_job(struct tl_server *s, struct tl_batch_job *job, struct tl_str request,
                       struct tl_error *err)
{
    char key[KEY_BYTES];
    TlV1__BatchJob row = TL_V1__BATCH_JOB__INIT;
    row.namespace_number = job->ns->number;
    row.request = tl_pb_bytes_view(request);
    row.start_ns = job->start_ns;
    tl_buf_clear(&s->scratch);
    tl_rc rc = tl_pb_encode(&row, &s->scratch, err);
    if (rc == TL_OK) {
        tl_batch_meta_put(&s->open->ops, key_of(JOB_PREFIX, job->number, key),
                          tl_buf_str(&s->scratch));
        rc = store_progress(s, job, err);
    }
    return rc;
}

/* --- jobs in memory ------------------------------------------------------------------------------ */

static size_t listed(const struct tl_batch_job *job)
{
    const TpWs__StartBatchOperationRequest *req = job->req;
    return req->n_target_executions ? req->n_target_executions : req->n_executions;
}

static bool by_query(const struct tl_batch_job *job)
{
    return *job->req->visibility_query != 0;
}

bool tl_batch_runs(const struct tl_batch_job *job)
{
    return job->at.state == BATCH_OPERATION_STATE_RUNNING;
}

static tl_rc job_new(struct tl_namespace *ns, uint64_t number, int64_t start_ns,
                     struct tl_str request, struct tl_batch_job **out, struct tl_error *err)
{
    struct tl_batch_job *job = TL_NEW(struct tl_batch_job);
    tl_arena_init(&job->arena, (size_t)tl_limit_request_bytes * 2);
    job->number = number;
    job->ns = ns;
    job->start_ns = start_ns;
    job->at = (TlV1__BatchProgress)TL_V1__BATCH_PROGRESS__INIT;
    tl_list_init(&job->link);
    struct tl_str bytes = tl_arena_str(&job->arena, request);
    tl_rc rc = tl_pb_decode(&tp_ws__start_batch_operation_request__descriptor, bytes, &job->arena,
                            &job->req, err);
    if (rc != TL_OK) {
        tl_arena_deinit(&job->arena);
        tl_mem_free(job);
        return rc;
    }
    *out = job;
    return TL_OK;
}

static void add(struct tl_server *s, struct tl_batch_job *job)
{
    tl_list_push(&s->batches, &job->link);
    s->batches_running += tl_batch_runs(job);
    if (job->number >= s->batches_next) {
        s->batches_next = job->number + 1;
    }
}

static void forget(struct tl_server *s, struct tl_batch_job *job)
{
    s->batches_running -= tl_batch_runs(job);
    tl_list_remove(&job->link);
    tl_mem_free(job->page);
    tl_mem_free((void *)(uintptr_t)job->stop_reason.p);
    tl_mem_free((void *)(uintptr_t)job->stop_identity.p);
    tl_arena_deinit(&job->arena);
    tl_mem_free(job);
}

void tl_batches_free(struct tl_server *s)
{
    while (!tl_list_empty(&s->batches)) {
        forget(s, TL_CONTAINER(tl_list_first(&s->batches), struct tl_batch_job, link));
    }
}

struct tl_batch_job *tl_batch_find(struct tl_server *s, const struct tl_namespace *ns,
                                   const char *job_id)
{
    TL_LIST_EACH (it, &s->batches) {
        struct tl_batch_job *job = TL_CONTAINER(it, struct tl_batch_job, link);
        if (job->ns == ns && strcmp(job->req->job_id, job_id) == 0) {
            return job;
        }
    }
    return NULL;
}

/* Jobs that ended longer ago than their namespace keeps closed workflows. */
static void prune(struct tl_server *s)
{
    char key[KEY_BYTES];
    TL_LIST_EACH (it, &s->batches) {
        struct tl_batch_job *job = TL_CONTAINER(it, struct tl_batch_job, link);
        if (!tl_batch_runs(job) && job->seq <= s->durable_seq &&
            job->at.close_ns + job->ns->retention_ns < tl_engine_now(s)) {
            tl_batch_meta_delete(&s->open->ops, key_of(JOB_PREFIX, job->number, key));
            tl_batch_meta_delete(&s->open->ops, key_of(PROGRESS_PREFIX, job->number, key));
            forget(s, job);
        }
    }
}

tl_rc tl_batch_start(struct tl_server *s, struct tl_namespace *ns,
                     const TpWs__StartBatchOperationRequest *req, struct tl_batch_job **out,
                     struct tl_error *err)
{
    struct tl_str bytes;
    struct tl_batch_job *job = NULL;
    prune(s);
    tl_rc rc = tl_pb_encode_arena(req, &s->arena, &bytes, err);
    if (rc == TL_OK) {
        rc = job_new(ns, s->batches_next, tl_engine_now(s), bytes, &job, err);
    }
    if (rc != TL_OK) {
        return rc;
    }
    job->at.state = BATCH_OPERATION_STATE_RUNNING;
    job->at.total = (int64_t)listed(job);
    add(s, job);
    rc = store_job(s, job, bytes, err);
    if (rc != TL_OK) {
        forget(s, job);
        return rc;
    }
    *out = job;
    return TL_OK;
}

static void end_job(struct tl_server *s, struct tl_batch_job *job, int state)
{
    job->at.state = state;
    job->at.close_ns = tl_engine_now(s);
    job->ticket = 0;
    s->batches_running--;
    tl_mem_free(job->page);
    job->page = NULL;
    job->page_n = job->page_at = 0;
    store_or_poison(s, job);
}

void tl_batch_stop(struct tl_server *s, struct tl_batch_job *job, const char *reason,
                   const char *identity)
{
    job->stop_reason = tl_str(job->at.stop_reason = tl_mem_dup(tl_str(reason)));
    job->stop_identity = tl_str(job->at.stop_identity = tl_mem_dup(tl_str(identity)));
    end_job(s, job, BATCH_OPERATION_STATE_FAILED);
}

/* --- reading them again -------------------------------------------------------------------------- */

static tl_rc load_job(void *ud, struct tl_str key, struct tl_str value, struct tl_error *err)
{
    struct tl_server *s = ud;
    const TlV1__BatchJob *row = NULL;
    struct tl_batch_job *job = NULL;
    tl_arena_reset(&s->arena);
    char *text = tl_arena_cstr(&s->arena, key);
    uint64_t number = text ? strtoull(text + strlen(JOB_PREFIX), NULL, 10) : 0;
    tl_rc rc = tl_pb_decode(&tl_v1__batch_job__descriptor, value, &s->arena, &row, err);
    struct tl_namespace *ns =
        rc == TL_OK ? tl_map_get_num(&s->namespace_numbers, row->namespace_number) : NULL;
    if (rc != TL_OK || !ns) {
        return rc;
    }
    rc = job_new(ns, number, row->start_ns, tl_pb_str(row->request), &job, err);
    if (rc == TL_OK) {
        add(s, job);
    }
    return rc;
}

static tl_rc load_progress(struct tl_server *s, struct tl_batch_job *job, struct tl_error *err)
{
    char key[KEY_BYTES];
    struct tl_str bytes;
    const TlV1__BatchProgress *at = NULL;
    tl_arena_reset(&s->arena);
    tl_rc rc = tl_store_meta_get(tl_store_point_reader(s->store),
                                 key_of(PROGRESS_PREFIX, job->number, key), &s->arena, &bytes, err);
    if (rc == TL_OK) {
        rc = tl_pb_decode(&tl_v1__batch_progress__descriptor, bytes, &job->arena, &at, err);
    }
    if (rc == TL_OK) {
        job->at = *at;
        job->not_before_ns = s->round_mono_ns ? s->round_mono_ns + RETRY_NS : 0;
        s->batches_running += tl_batch_runs(job);
    }
    return rc;
}

tl_rc tl_batches_load(struct tl_server *s, struct tl_error *err)
{
    tl_batches_free(s);
    tl_rc rc = tl_store_meta_each(tl_store_point_reader(s->store), TL_STR_LIT(JOB_PREFIX), load_job,
                                  s, err);
    TL_LIST_EACH (it, &s->batches) {
        if (rc == TL_OK) {
            rc = load_progress(s, TL_CONTAINER(it, struct tl_batch_job, link), err);
        }
    }
    return rc == TL_OK ? rc : tl_error_wrap(err, rc, "batch operations");
}

/* --- the runs of a query ------------------------------------------------------------------------- */

/* One list, with a count the first time. Owns everything. */
struct page {
    struct tl_job job;
    struct tl_msg msg;
    struct tl_arena arena;
    struct tl_list_query q;
    bool count;
    uint64_t ticket;
    struct tl_batch_item *items;
    size_t n;
    int64_t total;
    tl_rc rc;
    struct tl_error err;
};

static void page_free(struct page *p)
{
    tl_mem_free(p->items);
    tl_arena_deinit(&p->arena);
    tl_mem_free(p);
}

static tl_rc note(void *ud, const struct tl_run_row *row, struct tl_error *err)
{
    struct page *p = ud;
    (void)err;
    p->items[p->n++] = (struct tl_batch_item){row->start_ns, (uint64_t)row->number};
    return TL_OK;
}

/* Thread: reader. */
static void read_page(struct tl_server *s, struct tl_reader *reader, struct tl_job *job)
{
    struct page *p = TL_CONTAINER(job, struct page, job);
    p->rc = reader ? TL_OK : tl_error_set(&p->err, TL_EUNAVAILABLE, "the list could not be read");
    if (p->rc == TL_OK && p->count) {
        p->rc = tl_store_count(reader, &p->q, &p->total, &p->err);
    }
    if (p->rc == TL_OK) {
        p->rc = tl_store_list(reader, &p->q, note, p, &p->err);
    }
    if (!tl_inbox_send_always(&s->inbox, &p->msg)) {
        page_free(p);
    }
}

tl_rc tl_batch_filter(const TpWs__StartBatchOperationRequest *req, const struct tl_namespace *ns,
                      int64_t now_ns, struct tl_arena *arena, struct tl_filter *out,
                      struct tl_error *err)
{
    int type = tl_batch_type(req);
    struct tl_filter_scope scope = {&ns->attrs, (int64_t)ns->number, now_ns,
                                    (int)tl_batch_kind(type)};
    /* As it stands first: errors name positions in what the caller wrote. */
    tl_rc rc = tl_filter_compile(tl_str(req->visibility_query), &scope, arena, out, err);
    if (rc == TL_OK && out->group_by) {
        return tl_error_set(err, TL_EINVAL,
                            "invalid query: operation is not supported: 'GROUP BY' clause in a "
                            "batch operation");
    }
    if (rc == TL_OK && tl_batch_wants_open(type)) {
        char *text =
            tl_arena_printf(arena, "(%s) AND (ExecutionStatus = 'Running')", req->visibility_query);
        rc = text ? tl_filter_compile(tl_str(text), &scope, arena, out, err)
                  : tl_error_set(err, TL_ELIMIT, "the query is too large");
    }
    return rc;
}

static void want_page(struct tl_server *s, struct tl_batch_job *job)
{
    struct page *p = TL_NEW(struct page);
    struct tl_filter filter = {0};
    struct tl_error err;
    tl_arena_init(&p->arena, (size_t)tl_limit_request_bytes);
    /* Times that are relative to now are relative to the start of the job. */
    if (tl_batch_filter(job->req, job->ns, job->start_ns, &p->arena, &filter, &err) != TL_OK) {
        TL_LOG(TL_LOG_WARN, "server.batch_failed", TL_C("job", job->req->job_id),
               TL_C("cause", err.message));
        page_free(p);
        end_job(s, job, BATCH_OPERATION_STATE_FAILED);
        return;
    }
    p->job.run = read_page;
    p->msg.kind = TL_MSG_BATCH_PAGE;
    p->count = !job->at.counted;
    p->ticket = job->ticket = ++s->batch_tickets;
    p->items = TL_NEW_ARRAY(struct tl_batch_item, PAGE_RUNS);
    p->q.namespace_number = tl_ns_scope(job->ns, tl_batch_kind(tl_batch_type(job->req)));
    p->q.where = filter.where;
    p->q.binds = filter.binds;
    p->q.bind_count = filter.bind_count;
    p->q.limit = PAGE_RUNS;
    p->q.steps_max = STEPS_MAX;
    p->q.has_after = job->at.after_run_number != 0;
    p->q.after_start_ns = job->at.after_start_ns;
    p->q.after_number = (int64_t)job->at.after_run_number;
    tl_checkpoint_flush(s, SIZE_MAX);
    bool dirty = s->open->ops.item_count > 0;
    tl_job_at(s, dirty ? s->open->seq : s->in_flight ? s->in_flight->seq : 0, &p->job);
}

static void take_page(struct tl_server *s, struct tl_batch_job *job, struct page *p)
{
    job->ticket = 0;
    if (p->rc == TL_EUNAVAILABLE) {
        job->not_before_ns = s->round_mono_ns + RETRY_NS;
        return;
    }
    if (p->rc != TL_OK) {
        TL_LOG(TL_LOG_WARN, "server.batch_failed", TL_C("job", job->req->job_id),
               TL_C("cause", p->err.message));
        end_job(s, job, BATCH_OPERATION_STATE_FAILED);
        return;
    }
    if (p->count) {
        job->at.total = p->total;
        job->at.counted = true;
    }
    tl_mem_free(job->page);
    job->page = p->items;
    job->page_n = p->n;
    job->page_at = 0;
    job->last_page = p->n < PAGE_RUNS;
    p->items = NULL;
}

void tl_batch_page_arrived(struct tl_server *s, struct tl_msg *m)
{
    struct page *p = TL_CONTAINER(m, struct page, msg);
    TL_LIST_EACH (it, &s->batches) {
        struct tl_batch_job *job = TL_CONTAINER(it, struct tl_batch_job, link);
        if (job->ticket == p->ticket) { /* else it was stopped or read again meanwhile */
            take_page(s, job, p);
            break;
        }
    }
    page_free(p);
}

/* --- working ------------------------------------------------------------------------------------- */

static bool next_item(const struct tl_batch_job *job, size_t ahead, struct tl_batch_item *out)
{
    if (by_query(job)) {
        if (job->page_at + ahead >= job->page_n) {
            return false;
        }
        *out = job->page[job->page_at + ahead];
        return true;
    }
    out->number = (uint64_t)job->at.position + ahead;
    return out->number < listed(job);
}

static void settle_item(struct tl_batch_job *job, const struct tl_batch_item *item,
                        enum tl_batch_outcome outcome, int64_t now_ns)
{
    double rate = (double)job->req->max_operations_per_second;
    job->at.completed += outcome == TL_BATCH_DONE;
    job->at.failed += outcome == TL_BATCH_FAILED;
    if (by_query(job)) {
        job->page_at++;
        job->at.after_start_ns = item->start_ns;
        job->at.after_run_number = item->number;
    } else {
        job->at.position++;
    }
    if (rate > 0) {
        int64_t from =
            job->not_before_ns > now_ns - BURST_NS ? job->not_before_ns : now_ns - BURST_NS;
        job->not_before_ns = from + (int64_t)((double)TL_NS_PER_S / rate);
    }
}

/* Operations of one commit. Those behind a run that has to wait are prepared, so that a commit is
 * waited for once. */
static void work(struct tl_server *s, struct tl_batch_job *job)
{
    struct tl_batch_item item = {0};
    size_t waiting = 0;
    for (int i = 0; i < CHUNK_RUNS && next_item(job, waiting, &item); i++) {
        if (job->not_before_ns > s->round_mono_ns) {
            break;
        }
        enum tl_batch_outcome outcome = tl_batch_apply(s, job, &item, waiting > 0);
        if (outcome == TL_BATCH_WAIT || waiting) {
            waiting++;
        } else {
            settle_item(job, &item, outcome, s->round_mono_ns);
        }
    }
    store_or_poison(s, job);
}

static void step(struct tl_server *s, struct tl_batch_job *job, int64_t *at)
{
    struct tl_batch_item item;
    if (job->seq > s->durable_seq || job->ticket) {
        return; /* the message that ends the waiting brings the next round */
    }
    if (job->not_before_ns > s->round_mono_ns) {
        *at = job->not_before_ns < *at ? job->not_before_ns : *at;
    } else if (next_item(job, 0, &item)) {
        work(s, job);
    } else if (!by_query(job) || (job->page && job->last_page)) {
        end_job(s, job, BATCH_OPERATION_STATE_COMPLETED);
    } else {
        want_page(s, job);
    }
}

int64_t tl_batches_due(struct tl_server *s)
{
    int64_t at = INT64_MAX;
    if (!s->batches_running || s->stopping || s->lost.count) {
        return at;
    }
    TL_LIST_EACH (it, &s->batches) {
        struct tl_batch_job *job = TL_CONTAINER(it, struct tl_batch_job, link);
        if (tl_batch_runs(job)) {
            step(s, job, &at);
        }
    }
    return at;
}
