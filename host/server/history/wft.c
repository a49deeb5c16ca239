/* Workflow tasks: scheduling, volatile starts, failures, timeouts and attempts.
 *
 * A started task is volatile: WorkflowTaskStarted gets its id and content at the start but becomes an
 * event only when the task ends, when something has to be written meanwhile, or when somebody reads
 * the history (tl_wft_materialise). Only attempt 1 has Scheduled and Started events at all; a later
 * attempt is transient: its events are predicted, and written together with the Completed event.
 * Thread: the run's owner. */
#include "server/history/policy.h"
#include "server/history/rs.h"

#define BACKOFF_FROM_ATTEMPT 4
#define BACKOFF_FIRST_NS (5 * TL_NS_IN_S)
#define BACKOFF_MAX_NS (600 * TL_NS_IN_S)

/* From the fourth attempt the timeout grows: that is the back-off of a task that keeps failing. */
static int64_t timeout_of(const struct tl_rs *rs, int32_t attempt)
{
    int64_t extra_ns = BACKOFF_FIRST_NS;
    if (attempt < BACKOFF_FROM_ATTEMPT) {
        return rs->task_timeout_ns;
    }
    for (int32_t i = BACKOFF_FROM_ATTEMPT; i < attempt && extra_ns < BACKOFF_MAX_NS; i++) {
        extra_ns *= 2;
    }
    if (extra_ns > BACKOFF_MAX_NS) {
        extra_ns = BACKOFF_MAX_NS;
    }
    return tl_ns_add(rs->task_timeout_ns, extra_ns);
}

/* --- events of the task ---------------------------------------------------------------------- */

struct scheduled_event {
    struct tl_ev ev;
    TpHistory__WorkflowTaskScheduledEventAttributes attrs;
    TpTq__TaskQueue task_queue;
    Google__Protobuf__Duration timeout;
};

static void make_scheduled(struct scheduled_event *s, const struct tl_rs *rs, bool sticky,
                           int32_t attempt, int64_t timeout_ns, int64_t at_ns)
{
    tl_ev_init(&s->ev, at_ns);
    s->attrs = (TpHistory__WorkflowTaskScheduledEventAttributes)
        TP_HISTORY__WORKFLOW_TASK_SCHEDULED_EVENT_ATTRIBUTES__INIT;
    s->task_queue = (TpTq__TaskQueue)TP_TQ__TASK_QUEUE__INIT;
    s->task_queue.name = tl_pb_text(sticky ? rs->sticky_queue : rs->task_queue);
    s->task_queue.kind =
        (TpEnums__TaskQueueKind)(sticky ? TASK_QUEUE_KIND_STICKY : TASK_QUEUE_KIND_NORMAL);
    if (sticky) {
        s->task_queue.normal_name = tl_pb_text(rs->task_queue);
    }
    s->timeout = tl_duration_value(timeout_ns);
    s->attrs.task_queue = &s->task_queue;
    s->attrs.start_to_close_timeout = &s->timeout;
    s->attrs.attempt = attempt;
    TL_EV_SET(&s->ev, WORKFLOW_TASK_SCHEDULED, workflow_task_scheduled, &s->attrs);
}

struct started_event {
    struct tl_ev ev;
    TpHistory__WorkflowTaskStartedEventAttributes attrs;
    TpCommon__WorkerVersionStamp stamp;
    TpEnums__SuggestContinueAsNewReason reasons[32];
};

static void make_started(struct started_event *s, const struct tl_rs *rs)
{
    const struct tl_wft *w = &rs->wft;
    tl_ev_init(&s->ev, w->started_ns);
    s->attrs = (TpHistory__WorkflowTaskStartedEventAttributes)
        TP_HISTORY__WORKFLOW_TASK_STARTED_EVENT_ATTRIBUTES__INIT;
    s->attrs.scheduled_event_id = w->scheduled_id;
    s->attrs.identity = tl_pb_text(w->identity);
    s->attrs.request_id = tl_pb_text(w->request_id);
    s->attrs.history_size_bytes = w->history_bytes;
    s->attrs.suggest_continue_as_new = w->suggest_reasons != 0;
    s->attrs.suggest_continue_as_new_reasons = s->reasons;
    for (unsigned reason = 1; reason < 32; reason++) {
        if (w->suggest_reasons & (1U << reason)) {
            s->reasons[s->attrs.n_suggest_continue_as_new_reasons++] =
                (TpEnums__SuggestContinueAsNewReason)reason;
        }
    }
    if (w->build_id) {
        s->stamp = (TpCommon__WorkerVersionStamp)TP_COMMON__WORKER_VERSION_STAMP__INIT;
        s->stamp.build_id = w->build_id;
        s->stamp.use_versioning = w->use_versioning;
        s->attrs.worker_version = &s->stamp;
    }
    TL_EV_SET(&s->ev, WORKFLOW_TASK_STARTED, workflow_task_started, &s->attrs);
}

/* --- schedule -------------------------------------------------------------------------------- */

static void schedule_transient(struct tl_tx *tx, int64_t original_ns)
{
    struct tl_wft *w = &tx->rs->wft;
    w->scheduled_id = tx->rs->next_event_id;
    w->scheduled_ns = tx->now_ns;
    w->original_ns = original_ns ? original_ns : tx->now_ns;
    w->timeout_ns = timeout_of(tx->rs, w->attempt);
    w->transient = true;
    tx->p->wft_dirty = true;
    tx->touched = true;
}

void tl_wft_schedule(struct tl_tx *tx, int64_t original_ns)
{
    struct tl_rs *rs = tx->rs;
    if (!tl_rs_open(rs) || rs->wft.scheduled_id || rs->kind != TL_RUN_WORKFLOW) {
        return;
    }
    if (rs->buffer_n > 0) { /* something happened: no longer the same attempt once more */
        tl_buffer_flush(tx);
        rs->wft.attempt = 1;
    }
    if (tl_rs_paused(rs)) {
        return; /* unpausing schedules one */
    }
    tx->p->offer_wft = true;
    if (rs->wft.attempt > 1) {
        schedule_transient(tx, original_ns);
        return;
    }
    struct scheduled_event s;
    make_scheduled(&s, rs, rs->sticky_queue != NULL, 1, timeout_of(rs, 1), tx->now_ns);
    tl_tx_append(tx, &s.ev.e, TL_PLACE_APPLY);
    if (original_ns && original_ns != tx->now_ns) {
        rs->wft.original_ns = original_ns;
        tx->p->wft_dirty = true;
    }
}

/* --- speculative ----------------------------------------------------------------------------- */

void tl_wft_schedule_speculative(struct tl_tx *tx)
{
    struct tl_rs *rs = tx->rs;
    struct tl_wft *w = &rs->wft;
    if (!tl_rs_open(rs) || w->scheduled_id || tl_rs_in_backoff(rs) || tl_rs_paused(rs)) {
        return;
    }
    if (!rs->previous_started_id || rs->buffer_n > 0 || w->attempt > 1) {
        tl_wft_schedule(tx, 0); /* nothing to go back to, or something to write anyway */
        return;
    }
    tl_wft_clear(w, 1);
    w->scheduled_id = rs->next_event_id;
    w->scheduled_ns = w->original_ns = tx->now_ns;
    w->timeout_ns = timeout_of(rs, 1);
    w->sticky = rs->sticky_queue != NULL;
    w->speculative = true;
    tx->p->offer_wft = true;
    tx->touched = true;
}

static void append_started(struct tl_tx *tx)
{
    struct started_event s;
    make_started(&s, tx->rs);
    tl_tx_append(tx, &s.ev.e, TL_PLACE_APPLY);
}

void tl_wft_convert(struct tl_tx *tx)
{
    struct tl_wft *w = &tx->rs->wft;
    struct tl_wft old = *w;
    struct scheduled_event s;
    w->speculative = false;
    w->request_id = w->identity = w->build_id = NULL; /* kept in `old` */
    make_scheduled(&s, tx->rs, old.sticky && tx->rs->sticky_queue, 1, old.timeout_ns,
                   old.scheduled_ns);
    tl_tx_append(tx, &s.ev.e, TL_PLACE_APPLY);
    w->unstuck = old.unstuck;
    if (!old.started_id) {
        return;
    }
    w->request_id = old.request_id;
    w->identity = old.identity;
    w->build_id = old.build_id;
    w->use_versioning = old.use_versioning;
    w->started_id = old.started_id;
    w->started_ns = old.started_ns;
    w->history_bytes = old.history_bytes;
    w->suggest_reasons = old.suggest_reasons;
    w->drops_sticky = old.drops_sticky;
    append_started(tx);
}

/* What a task that is started on the normal queue costs. */
static void drop_stickiness(struct tl_tx *tx)
{
    if (tx->rs->wft.drops_sticky) {
        tl_rs_clear_sticky(tx->rs);
        tx->p->sticky_dirty = true;
    }
}

void tl_wft_drop_speculative(struct tl_tx *tx)
{
    TL_ASSERT(tx->rs->wft.speculative);
    drop_stickiness(tx);
    tl_wft_clear(&tx->rs->wft, 1);
    tx->touched = true;
}

/* --- start ----------------------------------------------------------------------------------- */

void tl_wft_materialise(struct tl_tx *tx)
{
    struct tl_rs *rs = tx->rs;
    if (!rs->wft.started_id || !rs->wft.started_volatile) {
        return;
    }
    if (rs->wft.transient) {
        rs->wft.started_volatile = false;
        tx->p->wft_dirty = true;
        tx->touched = true;
    } else if (rs->wft.speculative) {
        tl_wft_convert(tx);
    } else {
        append_started(tx);
    }
    drop_stickiness(tx);
}

void tl_wft_write_transient(struct tl_tx *tx, const char *identity)
{
    struct tl_wft *w = &tx->rs->wft;
    struct tl_wft old = *w;
    struct scheduled_event scheduled;
    struct started_event started;
    w->request_id = w->identity = w->build_id = NULL; /* kept in `old` */
    make_scheduled(&scheduled, tx->rs, false, old.attempt, old.timeout_ns, old.scheduled_ns);
    tl_tx_append(tx, &scheduled.ev.e, TL_PLACE_APPLY);
    w->request_id = old.request_id;
    w->build_id = old.build_id;
    w->use_versioning = old.use_versioning;
    w->started_ns = old.started_ns;
    w->history_bytes = old.history_bytes;
    w->suggest_reasons = old.suggest_reasons;
    tl_mem_free(old.identity);
    tl_set_str(&w->identity, identity);
    make_started(&started, tx->rs);
    tl_tx_append(tx, &started.ev.e, TL_PLACE_APPLY);
}

tl_rc tl_tx_materialise_started(struct tl_tx *tx, struct tl_error *err)
{
    tl_wft_materialise(tx);
    return tl_tx_result(tx, err);
}

/* Events came in since a transient attempt was scheduled: it becomes a first attempt after them. */
static void renew_transient(struct tl_tx *tx)
{
    struct tl_rs *rs = tx->rs;
    int64_t timeout_ns = rs->wft.timeout_ns;
    struct scheduled_event s;
    make_scheduled(&s, rs, false, 1, timeout_ns, tx->now_ns);
    tl_tx_append(tx, &s.ev.e, TL_PLACE_APPLY);
    tx->p->wft_dirty = true;
}

static void note_start(struct tl_tx *tx, const struct tl_wft_start *start)
{
    struct tl_rs *rs = tx->rs;
    struct tl_wft *w = &rs->wft;
    const TpCommon__WorkerVersionCapabilities *v = start->version_capabilities;
    w->started_id = w->transient || w->speculative ? w->scheduled_id + 1 : rs->next_event_id;
    w->started_ns = tx->now_ns;
    w->started_volatile = true;
    w->drops_sticky = w->sticky && !start->sticky && !start->inline_reply;
    w->history_bytes = rs->history_bytes;
    w->suggest_reasons = 0;
    if (rs->history_bytes >= tx->env->limits.history_bytes_suggest) {
        w->suggest_reasons |= 1U << SUGGEST_CONTINUE_AS_NEW_REASON_HISTORY_SIZE_TOO_LARGE;
    }
    if (rs->next_event_id >= tx->env->limits.history_count_suggest) {
        w->suggest_reasons |= 1U << SUGGEST_CONTINUE_AS_NEW_REASON_TOO_MANY_HISTORY_EVENTS;
    }
    if ((int64_t)tl_rs_updates_total(rs) * 10 >= tx->env->limits.updates_total * 9) {
        w->suggest_reasons |= 1U << SUGGEST_CONTINUE_AS_NEW_REASON_TOO_MANY_UPDATES;
    }
    tl_set_str(&w->request_id, start->request_id);
    tl_set_str(&w->identity, start->identity);
    tl_set_str(&w->build_id, v ? v->build_id : NULL);
    w->use_versioning = v && v->use_versioning;
    tx->touched = true;
}

/* Events of the current workflow task that history does not hold yet (transient Scheduled, Started),
 * with predicted ids, as encoded History bytes in the arena; empty when none. */
static tl_rc transient_events(const struct tl_rs *rs, struct tl_arena *arena, struct tl_str *out,
                              struct tl_error *err)
{
    const struct tl_wft *w = &rs->wft;
    struct tl_buf bytes;
    tl_rc rc = TL_OK;
    *out = (struct tl_str){NULL, 0};
    tl_buf_init(&bytes, (size_t)1 << 24);
    if (w->scheduled_id && (w->transient || w->speculative) &&
        w->scheduled_id == rs->next_event_id) {
        struct scheduled_event s;
        make_scheduled(&s, rs, w->speculative && w->sticky && rs->sticky_queue, w->attempt,
                       w->timeout_ns, w->scheduled_ns);
        s.ev.e.event_id = w->scheduled_id;
        rc = tl_pb_put_message(&bytes, 1, &s.ev.e, err);
    }
    if (rc == TL_OK && w->started_id && (w->transient || w->started_volatile)) {
        struct started_event s;
        make_started(&s, rs);
        s.ev.e.event_id = w->started_id;
        rc = tl_pb_put_message(&bytes, 1, &s.ev.e, err);
    }
    if (rc == TL_OK && bytes.n > 0) {
        *out = tl_arena_str(arena, tl_buf_str(&bytes));
        if (!out->p) {
            rc = tl_error_set(err, TL_ELIMIT, "no memory for the events of a workflow task");
        }
    }
    tl_buf_deinit(&bytes);
    return rc;
}

static tl_rc fill_started(struct tl_tx *tx, bool partial, struct tl_wft_started *out,
                          struct tl_error *err)
{
    const struct tl_rs *rs = tx->rs;
    const struct tl_wft *w = &rs->wft;
    *out = (struct tl_wft_started){.attempt = w->attempt};
    out->ref = (struct tl_task_ref){w->scheduled_id, w->started_id, w->started_ns, w->attempt};
    out->previous_started_event_id = rs->previous_started_id;
    out->history_from = partial ? rs->previous_started_id + 1 : 1;
    out->history_upto = rs->next_event_id - 1;
    out->scheduled_ns = w->scheduled_ns;
    out->started_ns = w->started_ns;
    if (rs->query_n > 0) {
        out->queries = TL_ARENA_ARRAY(tx->arena, struct tl_rs_query, rs->query_n);
        if (!out->queries) {
            return tl_error_set(err, TL_ELIMIT, "no memory for the queries of a workflow task");
        }
        out->query_count = rs->query_n;
        for (size_t i = 0; i < rs->query_n; i++) {
            out->queries[i].id = rs->queries[i].id;
            out->queries[i].query = tl_arena_str(tx->arena, tl_blob_str(&rs->queries[i].query));
        }
    }
    tl_rc rc = tl_updates_send(tx, out, err);
    return rc == TL_OK ? transient_events(rs, tx->arena, &out->extra_events, err) : rc;
}

static tl_rc stale(struct tl_tx *tx, struct tl_error *err, const char *why)
{
    return tl_tx_fail(tx, TL_ERR_STALE_TASK, err, TL_ENOTFOUND, "%s", why);
}

tl_rc tl_tx_wft_start(struct tl_tx *tx, int64_t scheduled_id, int32_t attempt,
                      const struct tl_wft_start *start, struct tl_wft_started *out,
                      struct tl_error *err)
{
    struct tl_rs *rs = tx->rs;
    struct tl_wft *w = &rs->wft;
    if (!tl_rs_open(rs)) {
        return stale(tx, err, "workflow execution already completed");
    }
    if (!w->scheduled_id || w->scheduled_id != scheduled_id || w->attempt != attempt) {
        return stale(tx, err, "Workflow task not found.");
    }
    bool on_sticky = w->sticky && rs->sticky_queue != NULL;
    if (w->started_id) {
        if (!tl_has_text(start->request_id) ||
            !tl_str_eqc(tl_str(tl_or_empty(w->request_id)), start->request_id)) {
            return stale(tx, err, "Workflow task already started.");
        }
        return fill_started(tx, on_sticky && !w->drops_sticky, out, err);
    }
    if (start->sticky && !start->inline_reply && !on_sticky) {
        return stale(tx, err, "The workflow has moved to its normal task queue.");
    }
    if (w->transient && w->scheduled_id != rs->next_event_id) {
        renew_transient(tx);
    }
    if (!start->sticky && !start->inline_reply) {
        tl_versioning_started(tx, start->version);
    }
    note_start(tx, start);
    tl_rc rc = tl_tx_result(tx, err);
    return rc != TL_OK
               ? rc
               : fill_started(tx, start->inline_reply || (on_sticky && start->sticky), out, err);
}

bool tl_wft_matches(const struct tl_rs *rs, const struct tl_task_ref *ref)
{
    const struct tl_wft *w = &rs->wft;
    return tl_rs_open(rs) && w->started_id && w->scheduled_id == ref->scheduled_id &&
           w->started_id == ref->started_id && w->attempt == ref->attempt &&
           w->started_ns == ref->started_ns;
}

/* --- failure and timeout --------------------------------------------------------------------- */

/* The end of a transient attempt: nothing in the history, only the next attempt's number. */
static void lose_transient(struct tl_tx *tx)
{
    struct tl_rs *rs = tx->rs;
    int32_t next_attempt = tl_rs_is_sticky(rs) ? 1 : rs->wft.attempt + 1;
    rs->close_attempted = false;
    tx->p->sticky_dirty |= rs->sticky_queue != NULL;
    tl_rs_clear_sticky(rs);
    tl_wft_clear(&rs->wft, next_attempt);
}

void tl_wft_fail_started(struct tl_tx *tx, int cause, const TpFailure__Failure *failure,
                         const char *identity, const char *binary_checksum)
{
    struct tl_rs *rs = tx->rs;
    tl_wft_materialise(tx);
    if (rs->wft.transient) {
        lose_transient(tx);
    } else {
        TpHistory__WorkflowTaskFailedEventAttributes a =
            TP_HISTORY__WORKFLOW_TASK_FAILED_EVENT_ATTRIBUTES__INIT;
        struct tl_ev ev;
        tl_ev_init(&ev, tx->now_ns);
        a.scheduled_event_id = rs->wft.scheduled_id;
        a.started_event_id = rs->wft.started_id;
        a.cause = (TpEnums__WorkflowTaskFailedCause)cause;
        a.failure = (TpFailure__Failure *)(uintptr_t)failure;
        a.identity = tl_pb_text(identity);
        a.binary_checksum = tl_pb_text(binary_checksum);
        TL_EV_SET(&ev, WORKFLOW_TASK_FAILED, workflow_task_failed, &a);
        tl_tx_append(tx, &ev.e, TL_PLACE_APPLY);
    }
    rs->close_attempted = cause == WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND;
    tx->p->wft_dirty = true;
    tx->touched = true;
}

void tl_wft_time_out(struct tl_tx *tx, int timeout_type)
{
    struct tl_rs *rs = tx->rs;
    tl_wft_materialise(tx);
    if (rs->wft.transient) {
        lose_transient(tx);
    } else {
        TpHistory__WorkflowTaskTimedOutEventAttributes a =
            TP_HISTORY__WORKFLOW_TASK_TIMED_OUT_EVENT_ATTRIBUTES__INIT;
        struct tl_ev ev;
        tl_ev_init(&ev, tx->now_ns);
        a.scheduled_event_id = rs->wft.scheduled_id;
        a.started_event_id = rs->wft.started_id;
        a.timeout_type = (TpEnums__TimeoutType)timeout_type;
        TL_EV_SET(&ev, WORKFLOW_TASK_TIMED_OUT, workflow_task_timed_out, &a);
        tl_tx_append(tx, &ev.e, TL_PLACE_APPLY);
    }
    tx->p->wft_dirty = true;
    tx->touched = true;
}

tl_rc tl_tx_wft_fail(struct tl_tx *tx, const struct tl_task_ref *ref,
                     const TpWs__RespondWorkflowTaskFailedRequest *req, struct tl_error *err)
{
    if (!tl_wft_matches(tx->rs, ref)) {
        return tl_tx_fail(tx, TL_ERR_NOT_FOUND, err, TL_ENOTFOUND, "Workflow task not found.");
    }
    struct tl_failure_cut space;
    if ((int)req->cause == WORKFLOW_TASK_FAILED_CAUSE_GRPC_MESSAGE_TOO_LARGE) {
        /* Its replay would be as large again. */
        tl_close_terminate(tx, "GrpcMessageTooLarge", NULL, TL_IDENTITY_SERVICE, NULL, 0);
        return tl_tx_result(tx, err);
    }
    tl_wft_fail_started(tx, (int)req->cause,
                        tl_cut_failure(req->failure, tx->env->limits.blob_bytes, true, &space),
                        req->identity, req->binary_checksum);
    tl_wft_schedule(tx, 0);
    return tl_tx_result(tx, err);
}

/* --- stickiness ------------------------------------------------------------------------------ */

tl_rc tl_tx_wft_unstick(struct tl_tx *tx, int64_t scheduled_id, struct tl_error *err)
{
    struct tl_wft *w = &tx->rs->wft;
    if (!tl_rs_open(tx->rs) || w->scheduled_id != scheduled_id || w->started_id) {
        return stale(tx, err, "Workflow task not found.");
    }
    w->unstuck = true;
    tx->p->offer_wft = true;
    tx->touched = true;
    return TL_OK;
}

tl_rc tl_tx_reset_sticky(struct tl_tx *tx, struct tl_error *err)
{
    struct tl_rs *rs = tx->rs;
    tl_rc rc = tl_tx_need_open(tx, err);
    if (rc != TL_OK || !rs->sticky_queue) {
        return rc;
    }
    if (rs->wft.scheduled_id && rs->wft.sticky) { /* also one whose start may still be lost */
        rs->wft.sticky = false;
        rs->wft.unstuck = false;
        tx->p->wft_dirty = true;
        tx->p->offer_wft = true;
    }
    tl_rs_clear_sticky(rs);
    tx->p->sticky_dirty = true;
    tx->touched = true;
    return TL_OK;
}
