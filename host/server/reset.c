/* See reset.h. */
#include "server/reset.h"

#include <stdio.h>

#include "base/mem.h"

#define ARENA_BYTES_MAX ((size_t)1 << 30)
#define COPY_EVENTS 100 /* of one record */
#define IDENTITY "history-resetter"

typedef tl_rc (*event_fn)(void *ud, TpHistory__HistoryEvent *e, struct tl_error *err);

void tl_reset_exclude(struct tl_reset_request *request, int reapply_type,
                      const TpEnums__ResetReapplyExcludeType *types, size_t n)
{
    request->without_signals = reapply_type == RESET_REAPPLY_TYPE_NONE;
    request->without_updates =
        reapply_type == RESET_REAPPLY_TYPE_NONE || reapply_type == RESET_REAPPLY_TYPE_SIGNAL;
    for (size_t i = 0; i < n; i++) {
        request->without_signals |= (int)types[i] == RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL;
        request->without_updates |= (int)types[i] == RESET_REAPPLY_EXCLUDE_TYPE_UPDATE;
    }
}

/* --- walking a history --------------------------------------------------------------------------- */

static tl_rc walk_batch(struct tl_str events, int64_t first, int64_t last, struct tl_arena *arena,
                        event_fn fn, void *ud, struct tl_error *err)
{
    struct tl_str bytes;
    while (tl_history_next(&events, &bytes)) {
        TpHistory__HistoryEvent *e = NULL;
        tl_rc rc = tl_pb_decode(&tp_history__history_event__descriptor, bytes, arena, &e, err);
        if (rc == TL_OK && e->event_id >= first && (last == 0 || e->event_id <= last)) {
            rc = fn(ud, e, err);
        }
        if (rc != TL_OK) {
            return rc;
        }
    }
    return TL_OK;
}

/* Events first..last (0: to the end), in order. */
static tl_rc walk(struct tl_server *s, struct tl_exec *e, int64_t first, int64_t last, event_fn fn,
                  void *ud, struct tl_error *err)
{
    struct tl_arena arena;
    tl_rc rc = TL_OK;
    tl_arena_init(&arena, ARENA_BYTES_MAX);
    for (size_t i = tl_rs_batch_find(e->rs, first); rc == TL_OK && i < tl_rs_batch_count(e->rs);
         i++) {
        struct tl_rs_batch b;
        struct tl_log_row row;
        tl_rs_batch_at(e->rs, i, &b);
        if (last && b.first_event_id > last) {
            break;
        }
        struct tl_str events = b.bytes;
        if (!events.p) {
            rc = tl_store_log_get(tl_store_point_reader(s->store), b.log_id, &arena, &row, err);
            rc = rc == TL_OK ? tl_record_history(row.bytes, &events, err) : rc;
        }
        rc = rc == TL_OK ? walk_batch(events, first, last, &arena, fn, ud, err) : rc;
        tl_arena_reset(&arena);
    }
    tl_arena_deinit(&arena);
    return rc;
}

/* --- the point ----------------------------------------------------------------------------------- */

static tl_rc scan_event(void *ud, TpHistory__HistoryEvent *e, struct tl_error *err)
{
    (void)err;
    tl_reset_scan_event(ud, e);
    return TL_OK;
}

static tl_rc find_point(struct tl_server *s, struct tl_exec *base, const struct tl_reset_request *r,
                        int64_t *finish, struct tl_error *err)
{
    struct tl_reset_scan scan = {.build_id = r->build_id};
    *finish = r->finish_event_id;
    if (r->point == TL_RESET_EVENT) {
        return TL_OK;
    }
    tl_rc rc = walk(s, base, 1, 0, scan_event, &scan, err);
    if (rc != TL_OK) {
        return rc;
    }
    switch (r->point) {
    case TL_RESET_FIRST_TASK:
        *finish = scan.first_completed_id   ? scan.first_completed_id
                  : scan.first_scheduled_id ? scan.first_scheduled_id + 1
                                            : 0;
        break;
    case TL_RESET_LAST_TASK:
        *finish = scan.last_completed_id   ? scan.last_completed_id
                  : scan.last_scheduled_id ? scan.last_scheduled_id + 1
                                           : 0;
        break;
    case TL_RESET_BUILD:
    case TL_RESET_EVENT:
        *finish = scan.build_completed_id;
        break;
    }
    return *finish ? TL_OK
                   : tl_error_set(err, TL_EINVAL,
                                  r->point == TL_RESET_BUILD
                                      ? "no workflow task was completed by that build ID"
                                      : "unable to find any scheduled or completed task");
}

static tl_rc check_point(struct tl_server *s, struct tl_exec *base, int64_t finish,
                         struct tl_error *err)
{
    struct tl_reset_scan scan = {0};
    struct tl_rs_info info;
    tl_rs_info(base->rs, &info);
    if (finish <= 1 || finish > info.next_event_id) {
        return tl_error_set(err, TL_EINVAL,
                            "Workflow task finish ID must be > 1 && <= workflow last event ID.");
    }
    tl_rc rc = walk(s, base, 1, finish - 1, scan_event, &scan, err);
    if (rc == TL_OK && scan.children > 0) {
        rc = tl_error_set(err, TL_EINVAL, "WorkflowResetter encountered pending child workflows.");
    } else if (rc == TL_OK && !scan.task_pending) {
        rc = tl_error_set(err, TL_EINVAL,
                          "Can only reset workflow to event ID in range [WorkflowTaskScheduled +1, "
                          "WorkflowTaskStarted + 1]: %lld",
                          (long long)finish);
    }
    return rc;
}

/* --- the new run --------------------------------------------------------------------------------- */

struct copy {
    struct tl_server *s;
    const struct tl_reset_request *request;
    struct tl_exec *run;
    struct tl_arena arena;
    struct tl_tx tx;
    int events;
    char next_run_id[37]; /* of the run that continues the one being walked */
};

static tl_rc end_copy(struct copy *c, struct tl_error *err)
{
    tl_rc rc = c->events ? tl_run_end(c->s, c->run, &c->tx, err) : TL_OK;
    c->events = 0;
    tl_arena_reset(&c->arena);
    return rc;
}

static tl_rc copy_event(void *ud, TpHistory__HistoryEvent *e, struct tl_error *err)
{
    struct copy *c = ud;
    if (c->events == 0) {
        tl_run_begin(c->s, c->run, &c->tx, &c->arena);
    }
    c->events++;
    tl_rc rc = tl_tx_reset_copy(&c->tx, e, err);
    return rc == TL_OK && c->events == COPY_EVENTS ? end_copy(c, err) : rc;
}

static bool excluded(const struct tl_reset_request *r, int event_type)
{
    switch (event_type) {
    case EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
        return r->without_signals;
    case EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ADMITTED:
    case EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED:
        return r->without_updates;
    default:
        return false;
    }
}

static tl_rc reapply_event(void *ud, TpHistory__HistoryEvent *e, struct tl_error *err)
{
    struct copy *c = ud;
    if ((int)e->event_type == EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW) {
        snprintf(c->next_run_id, sizeof c->next_run_id, "%s",
                 e->workflow_execution_continued_as_new_event_attributes->new_execution_run_id);
    }
    return excluded(c->request, (int)e->event_type) ? TL_OK : tl_tx_reset_reapply(&c->tx, e, err);
}

/* Signals and updates behind the point, in the base and the runs that continued it. */
static tl_rc reapply(struct copy *c, struct tl_exec *from, int64_t first, struct tl_error *err)
{
    while (from) {
        c->next_run_id[0] = 0;
        tl_rc rc = walk(c->s, from, first, 0, reapply_event, c, err);
        uint64_t next = tl_run_id_number(tl_str(c->next_run_id));
        if (rc != TL_OK || !next) {
            return rc;
        }
        struct tl_error gone;
        from = tl_run_by_number(c->s, next, &gone); /* removed by retention: nothing to find */
        first = 1;
    }
    return TL_OK;
}

static tl_rc change_options(struct copy *c,
                            const TpWorkflow__PostResetOperation__UpdateWorkflowOptions *o,
                            struct tl_error *err)
{
    TpWorkflow__WorkflowExecutionOptions merged;
    struct tl_options_change change;
    tl_rc rc =
        tl_options_change_read(o->update_mask, o->workflow_execution_options, NULL, &change, err);
    return rc == TL_OK ? tl_tx_change_options(&c->tx, &change, &merged, err) : rc;
}

static tl_rc fill(struct copy *c, struct tl_exec *base, int64_t finish, struct tl_error *err)
{
    const struct tl_reset_request *r = c->request;
    struct tl_rs_info info;
    tl_rs_info(base->rs, &info);
    struct tl_str base_run_id = info.id.run_id;
    tl_rc rc = walk(c->s, base, 1, finish - 1, copy_event, c, err);
    rc = rc == TL_OK ? end_copy(c, err) : rc;
    if (rc != TL_OK) {
        return rc;
    }
    tl_run_begin(c->s, c->run, &c->tx, &c->arena);
    struct tl_reset reset = {tl_arena_cstr(&c->arena, base_run_id), r->reason, r->request_id};
    rc = tl_tx_reset(&c->tx, &reset, err);
    if (rc == TL_OK && !(r->without_signals && r->without_updates)) {
        rc = reapply(c, base, finish, err);
    }
    for (size_t i = 0; i < r->n_after && rc == TL_OK; i++) {
        rc = change_options(c, r->after[i]->update_workflow_options, err);
    }
    rc = rc == TL_OK ? tl_tx_reset_done(&c->tx, err) : rc;
    return rc == TL_OK ? tl_run_end(c->s, c->run, &c->tx, err) : rc;
}

static tl_rc terminate(struct tl_server *s, struct tl_exec *e, const char *reason,
                       struct tl_error *err)
{
    struct tl_arena arena;
    struct tl_tx tx;
    tl_arena_init(&arena, ARENA_BYTES_MAX);
    tl_run_begin(s, e, &tx, &arena);
    tl_rc rc = tl_tx_terminate(&tx, reason, NULL, IDENTITY, NULL, 0, err);
    if (rc == TL_OK) {
        rc = tl_run_end(s, e, &tx, err);
    } else if (!tx.touched) {
        tl_tx_abort(&tx);
    }
    tl_arena_deinit(&arena);
    return rc;
}

/* A task that is started has to be in the history before that is looked at. */
static tl_rc materialise(struct tl_server *s, struct tl_exec *e, struct tl_error *err)
{
    struct tl_arena arena;
    struct tl_tx tx;
    struct tl_error end;
    if (e->closed) {
        return TL_OK;
    }
    tl_arena_init(&arena, ARENA_BYTES_MAX);
    tl_run_begin(s, e, &tx, &arena);
    tl_rc rc = tl_tx_materialise_started(&tx, err);
    if (tl_run_end(s, e, &tx, &end) != TL_OK) {
        *err = end;
        rc = end.code;
    }
    tl_arena_deinit(&arena);
    return rc;
}

static tl_rc make_run(struct tl_server *s, struct tl_exec *base, int64_t finish,
                      const struct tl_reset_request *r, struct tl_exec **out, struct tl_error *err)
{
    struct copy c = {.s = s, .request = r};
    struct tl_rs_info info;
    char run_id[37];
    uint64_t number;
    tl_rs_info(base->rs, &info);
    tl_run_new_id(s, run_id, &number);
    c.run = *out = tl_run_make(s, base->ns, info.id.workflow_id, tl_str(run_id), number);
    tl_arena_init(&c.arena, ARENA_BYTES_MAX);
    tl_rc rc = fill(&c, base, finish, err);
    if (rc != TL_OK) { /* half a run: nothing of this commit may become durable */
        c.run->seq = s->open->seq;
        s->poisoned = true;
    }
    tl_arena_deinit(&c.arena);
    return rc;
}

tl_rc tl_run_reset(struct tl_server *s, struct tl_exec *base, const struct tl_reset_request *r,
                   struct tl_exec **out, struct tl_error *err)
{
    struct tl_rs_info info;
    int64_t finish;
    tl_rs_info(base->rs, &info);
    struct tl_exec *newest = tl_run_current(s, base->ns, info.id.workflow_id, err);
    if (!newest) {
        return err->code;
    }
    tl_rs_info(newest->rs, &info);
    if (r->request_id && *r->request_id && tl_str_eqc(info.start_request_id, r->request_id)) {
        *out = newest;
        return TL_OK;
    }
    tl_rc rc = materialise(s, base, err);
    rc = rc == TL_OK ? find_point(s, base, r, &finish, err) : rc;
    rc = rc == TL_OK ? check_point(s, base, finish, err) : rc;
    if (rc == TL_OK && !newest->closed) {
        rc = terminate(s, newest, r->reason, err);
    }
    return rc == TL_OK ? make_run(s, base, finish, r, out, err) : rc;
}
