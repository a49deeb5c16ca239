/* From the file to memory: open runs from their rows, then the log behind the mark. The same walk
 * serves opening (all runs) and a failed commit (the runs that were touched since). Thread: engine. */
#include <stdlib.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/batch.h"
#include "server/deployments.h"
#include "server/nexus_endpoints.h"
#include "server/task_queues.h"
#include "server/version_sets.h"
#include "server/worker_commands.h"
#include "server/engine.h"

#define RECORD_BYTES_MAX ((size_t)1 << 30)
#define RETRY_NS (200 * TL_NS_PER_MS)

struct walk {
    struct tl_server *s;
    const struct tl_map *only; /* run numbers to read; NULL: all */
    struct tl_map made;        /* run numbers that the log began */
    struct tl_map behind; /* run number -> newest log row, of runs that began before the mark and
                                * are not open: their row should say all there is */
    struct tl_arena arena;
    size_t records;
};

static int64_t meta_number(struct tl_server *s, struct tl_str key, int64_t absent)
{
    struct tl_arena arena;
    struct tl_str text;
    struct tl_error err;
    int64_t v = absent;
    tl_arena_init(&arena, 4096);
    if (tl_store_meta_get(tl_store_point_reader(s->store), key, &arena, &text, &err) == TL_OK) {
        char *copy = tl_arena_cstr(&arena, text);
        v = copy ? strtoll(copy, NULL, 10) : absent;
    }
    tl_arena_deinit(&arena);
    return v;
}

static struct tl_namespace *namespace_of(struct tl_server *s, int64_t number)
{
    return tl_map_get_num(&s->namespace_numbers, (uint64_t)number);
}

static tl_rc adopt_row(struct tl_server *s, const struct tl_run_row *row, struct tl_error *err)
{
    struct tl_namespace *ns = namespace_of(s, tl_scope_namespace(row->namespace_number));
    struct tl_rs *rs = NULL;
    if (!ns) {
        TL_LOG(TL_LOG_WARN, "server.run_without_namespace", TL_I("run", row->number));
        return TL_OK;
    }
    struct tl_rs_identity id = {(uint64_t)row->number,
                                ns->number,
                                ns->name,
                                ns->id,
                                row->workflow_id,
                                row->run_id,
                                tl_scope_kind(row->namespace_number)};
    tl_rc rc = tl_rs_load(&rs, &id, row->state, err);
    if (rc != TL_OK) {
        return tl_error_wrap(err, rc, "run %lld", (long long)row->number);
    }
    struct tl_exec *e = tl_run_adopt(s, ns, rs);
    e->stored = true;
    tl_known_add(&s->known, (struct tl_str){e->key, e->key_n});
    return TL_OK;
}

static tl_rc open_row(void *ud, const struct tl_run_row *row, struct tl_error *err)
{
    struct walk *w = ud;
    return adopt_row(w->s, row, err);
}

/* A run of the log that is not in memory: it begins here, or its row was written when it closed. */
static tl_rc unknown_run(struct walk *w, const struct tl_log_row *row, struct tl_exec **out,
                         struct tl_error *err)
{
    struct tl_server *s = w->s;
    const TlV1__FirstRecord *first = NULL;
    *out = NULL;
    if (row->prev != 0) {
        tl_map_put_num(&w->behind, (uint64_t)row->run, (void *)(uintptr_t)row->id);
        return TL_OK;
    }
    tl_rc rc = tl_pb_decode(&tl_v1__first_record__descriptor, row->bytes, &w->arena, &first, err);
    if (rc != TL_OK) {
        return rc;
    }
    struct tl_namespace *ns =
        first->identity ? namespace_of(s, (int64_t)first->identity->namespace_number) : NULL;
    if (!ns) {
        TL_LOG(TL_LOG_WARN, "server.log_without_run", TL_I("log", row->id), TL_I("run", row->run));
        return TL_OK;
    }
    struct tl_str id = tl_str(first->identity->workflow_id);
    struct tl_str run_id = tl_str(first->identity->run_id);
    enum tl_run_kind kind = first->identity->is_activity    ? TL_RUN_ACTIVITY
                            : first->identity->is_operation ? TL_RUN_OPERATION
                                                            : TL_RUN_WORKFLOW;
    *out = tl_run_make_execution(s, ns, kind, id, run_id, (uint64_t)row->run);
    tl_map_put_num(&w->made, (uint64_t)row->run, s);
    return TL_OK;
}

static tl_rc log_row(void *ud, const struct tl_log_row *row, struct tl_error *err)
{
    struct walk *w = ud;
    struct tl_server *s = w->s;
    struct tl_rs_info info;
    if ((uint64_t)row->run >= s->next_run_number) {
        s->next_run_number = (uint64_t)row->run + 1;
    }
    if (w->only && !tl_map_get_num(w->only, (uint64_t)row->run)) {
        return TL_OK;
    }
    struct tl_exec *e = tl_map_get_num(&s->runs, (uint64_t)row->run);
    tl_arena_reset(&w->arena);
    if (!e) {
        tl_rc rc = unknown_run(w, row, &e, err);
        if (rc != TL_OK || !e) {
            return rc;
        }
    }
    tl_rs_info(e->rs, &info);
    if (row->id <= info.last_log_id) {
        return TL_OK;
    }
    tl_arena_reset(&w->arena);
    tl_rc rc = tl_rs_apply_record(e->rs, row->id, row->bytes, &w->arena, err);
    if (rc != TL_OK) {
        return tl_error_wrap(err, rc, "log row %lld of run %lld", (long long)row->id,
                             (long long)row->run);
    }
    tl_checkpoint_dirty(s, e, row->id);
    w->records++;
    return TL_OK;
}

static tl_rc walk_log(struct walk *w, struct tl_error *err)
{
    struct tl_server *s = w->s;
    return tl_store_log_after(tl_store_point_reader(s->store),
                              meta_number(s, TL_STR_LIT("mark"), 0), log_row, w, err);
}

/* Runs that the log began and that are finished and stored: nothing about them is new. */
static tl_rc drop_stored(struct walk *w, struct tl_error *err)
{
    struct tl_server *s = w->s;
    TL_MAP_EACH (entry, &w->made) {
        struct tl_exec *e = tl_map_get_num(&s->runs, entry->num);
        struct tl_rs_info info;
        struct tl_run_row row;
        tl_rs_info(e->rs, &info);
        if (!info.closed) {
            continue;
        }
        tl_arena_reset(&w->arena);
        tl_rc rc = tl_store_run_by_number(tl_store_point_reader(s->store), (int64_t)entry->num,
                                          &w->arena, &row, err);
        if (rc == TL_OK && row.last_log_id >= info.last_log_id) {
            tl_run_drop(s, e, false);
        } else if (rc == TL_OK) {
            e->stored = true;
        } else if (rc != TL_ENOTFOUND) {
            return rc;
        }
    }
    return TL_OK;
}

/* Finished runs whose log goes on behind their row. */
static tl_rc catch_up(struct walk *w, struct tl_error *err)
{
    struct tl_server *s = w->s;
    struct tl_map late;
    tl_rc rc = TL_OK;
    tl_map_init(&late);
    TL_MAP_EACH (entry, &w->behind) {
        struct tl_run_row row;
        tl_arena_reset(&w->arena);
        rc = tl_store_run_by_number(tl_store_point_reader(s->store), (int64_t)entry->num, &w->arena,
                                    &row, err);
        if (rc == TL_OK && row.last_log_id < (int64_t)(uintptr_t)entry->value) {
            rc = adopt_row(s, &row, err);
            tl_map_put_num(&late, entry->num, s);
        } else if (rc == TL_ENOTFOUND) {
            rc = TL_OK; /* deleted with its namespace */
        }
        if (rc != TL_OK) {
            break;
        }
    }
    if (rc == TL_OK && late.count) {
        const struct tl_map *only = w->only;
        w->only = &late;
        rc = walk_log(w, err);
        w->only = only;
    }
    tl_map_deinit(&late);
    return rc;
}

/* After its state is complete: what waits in it is dispatched, its timer set. */
static void revive(struct tl_server *s, struct tl_exec *e)
{
    struct tl_rs_info info;
    struct tl_effects fx = {0};
    struct tl_error err;
    tl_rs_info(e->rs, &info);
    if (info.closed != e->closed) {
        e->closed = info.closed;
        s->open_count--;
    }
    if (e->closed) {
        return;
    }
    tl_arena_reset(&s->arena);
    fx.arena = &s->arena;
    if (tl_rs_regenerate(e->rs, &s->env, tl_engine_now(s), &fx, &err) != TL_OK) {
        TL_LOG(TL_LOG_ERROR, "server.regenerate_failed", TL_C("cause", err.message),
               TL_I("run", e->number));
    } else {
        tl_run_effects(s, e, &fx, &s->arena);
    }
    if (!TL_FAULT(forget_deadline)) {
        tl_run_arm(s, e);
    }
}

static void walk_init(struct walk *w, struct tl_server *s, const struct tl_map *only)
{
    *w = (struct walk){.s = s, .only = only};
    tl_map_init(&w->made);
    tl_map_init(&w->behind);
    tl_arena_init(&w->arena, RECORD_BYTES_MAX);
}

static void walk_deinit(struct walk *w)
{
    tl_map_deinit(&w->made);
    tl_map_deinit(&w->behind);
    tl_arena_deinit(&w->arena);
}

/* The log, and what follows from it for runs that are not open. */
static tl_rc walk_all(struct walk *w, struct tl_error *err)
{
    tl_rc rc = walk_log(w, err);
    if (rc == TL_OK) {
        rc = drop_stored(w, err);
    }
    return rc == TL_OK ? catch_up(w, err) : rc;
}

static tl_rc read_numbers(struct tl_server *s, struct tl_error *err)
{
    struct tl_max_ids max;
    tl_rc rc = tl_store_max_ids(tl_store_point_reader(s->store), &max, err);
    if (rc != TL_OK) {
        return rc;
    }
    int64_t next_run = meta_number(s, TL_STR_LIT("next_run"), 1);
    int64_t next_log = meta_number(s, TL_STR_LIT("next_log"), 1);
    s->next_run_number = (uint64_t)(max.run_number >= next_run ? max.run_number + 1 : next_run);
    s->next_log_id = max.log_id >= next_log ? max.log_id + 1 : next_log;
    s->namespaces_next = (uint64_t)max.namespace_number + 1;
    atomic_store(&s->skipped_ns, meta_number(s, TL_STR_LIT("skipped_ns"), 0));
    tl_known_init(&s->known, max.run_number == 0);
    return TL_OK;
}

tl_rc tl_recover(struct tl_server *s, struct tl_error *err)
{
    struct walk w;
    walk_init(&w, s, NULL);
    tl_rc rc = read_numbers(s, err);
    if (rc == TL_OK) {
        rc = tl_namespaces_load(s, err);
    }
    if (rc == TL_OK) {
        rc = tl_deployments_load(s, err);
    }
    if (rc == TL_OK) {
        rc = tl_nexus_endpoints_load(s, err);
    }
    if (rc == TL_OK) {
        rc = tl_task_queues_load(s, err);
    }
    if (rc == TL_OK) {
        rc = tl_version_sets_load(s, err);
    }
    if (rc == TL_OK) {
        rc = tl_worker_commands_load(s, err);
    }
    if (rc == TL_OK) {
        rc = tl_store_open_runs(tl_store_point_reader(s->store), open_row, &w, err);
    }
    if (rc == TL_OK) {
        rc = walk_all(&w, err);
    }
    if (rc == TL_OK) {
        rc = tl_batches_load(s, err);
    }
    if (rc == TL_OK) {
        TL_MAP_EACH (e, &s->runs) {
            revive(s, e->value);
        }
        tl_match_loaded(&s->matcher);
        if (s->runs.count || w.records) {
            TL_LOG(TL_LOG_INFO, "server.recovered", TL_I("open_runs", s->open_count),
                   TL_I("records", w.records));
        }
    }
    walk_deinit(&w);
    return rc;
}

static tl_rc read_again(struct tl_server *s, struct walk *w, struct tl_error *err)
{
    tl_rc rc = tl_namespaces_reload(s, err);
    if (rc == TL_OK) {
        rc = tl_batches_load(s, err);
    }
    if (rc == TL_OK) {
        rc = tl_deployments_load(s, err);
    }
    if (rc == TL_OK) {
        rc = tl_nexus_endpoints_load(s, err);
    }
    if (rc == TL_OK) {
        rc = tl_task_queues_load(s, err);
    }
    if (rc == TL_OK) {
        rc = tl_version_sets_load(s, err);
    }
    if (rc == TL_OK) {
        rc = tl_worker_commands_load(s, err);
    }
    TL_MAP_EACH (e, w->only) {
        struct tl_run_row row;
        if (rc != TL_OK) {
            break;
        }
        tl_arena_reset(&w->arena);
        rc = tl_store_run_by_number(tl_store_point_reader(s->store), (int64_t)e->num, &w->arena,
                                    &row, err);
        if (rc == TL_OK && row.close_ns == 0) {
            rc = adopt_row(s, &row, err);
        } else if (rc == TL_ENOTFOUND) {
            rc = TL_OK; /* the log knows it, or nobody does */
        }
    }
    return rc == TL_OK ? walk_all(w, err) : rc;
}

static void drop_lost(struct tl_server *s)
{
    /* Newest first, so that a workflow id falls back to the run before. */
    for (struct tl_list *it = s->lost.order.prev; it != &s->lost.order; it = it->prev) {
        struct tl_exec *e =
            tl_map_get_num(&s->runs, TL_CONTAINER(it, struct tl_map_entry, order)->num);
        if (e) {
            tl_run_drop(s, e, true);
        }
    }
}

void tl_recover_lost(struct tl_server *s)
{
    struct tl_error err;
    struct walk w;
    drop_lost(s);
    walk_init(&w, s, &s->lost);
    tl_rc rc = read_again(s, &w, &err);
    walk_deinit(&w);
    if (rc != TL_OK) {
        TL_LOG(TL_LOG_ERROR, "server.reload_failed", TL_C("cause", err.message),
               TL_I("runs", s->lost.count));
        s->lost_retry_ns = tl_engine_mono(s) + RETRY_NS;
        return;
    }
    TL_MAP_EACH (entry, &s->lost) {
        struct tl_exec *e = tl_map_get_num(&s->runs, entry->num);
        tl_map_del_num(&s->lost, entry->num);
        if (e) {
            revive(s, e);
        }
    }
}

void tl_recover_failed(struct tl_server *s)
{
    tl_cross_clear(s);
    TL_MAP_EACH (entry, &s->runs) {
        struct tl_exec *e = entry->value;
        if (e->seq > s->durable_seq || e->row_seq > s->durable_seq) {
            tl_map_put_num(&s->lost, e->number, s);
        }
    }
    /* Deletions that did not happen: the runs are back. */
    TL_MAP_EACH (entry, &s->erased) {
        if ((uintptr_t)entry->value > s->durable_seq) {
            tl_map_put_num(&s->lost, entry->num, s);
            tl_map_del_num(&s->erased, entry->num);
        }
    }
    tl_recover_lost(s);
}
