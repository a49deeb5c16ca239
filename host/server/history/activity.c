/* Activities as workers and clients see them: start, complete, fail, cancel, heartbeat. Retries write
 * no events: ActivityTaskStarted goes into the history beside the event that closes the activity.
 * Thread: the run's owner. */
#include "base/fault.h"
#include "server/history/execution.h"
#include "server/history/policy.h"
#include "server/history/priority.h"
#include "server/history/rs.h"

/* --- deadlines ------------------------------------------------------------------------------- */

static void sooner(int64_t from_ns, int64_t timeout_ns, int type, int64_t *at_ns, int *its_type)
{
    if (timeout_ns <= 0) {
        return;
    }
    int64_t ns = tl_ns_add(from_ns, timeout_ns);
    if (ns < *at_ns) {
        *at_ns = ns;
        *its_type = type;
    }
}

int64_t tl_activity_timeout_ns(const struct tl_act *act, int *timeout_type)
{
    int64_t at_ns = TL_NS_NEVER;
    if (act->started) {
        /* A heartbeat buys time only from the later of start and last heartbeat. */
        int64_t beat_ns = act->heartbeat_ns > act->started_ns ? act->heartbeat_ns : act->started_ns;
        sooner(act->started_ns, act->start_to_close_ns, TIMEOUT_TYPE_START_TO_CLOSE, &at_ns,
               timeout_type);
        sooner(beat_ns, act->heartbeat_timeout_ns, TIMEOUT_TYPE_HEARTBEAT, &at_ns, timeout_type);
    } else {
        if (!act->paused) { /* nobody is to start it */
            sooner(act->attempt_ns, act->schedule_to_start_ns, TIMEOUT_TYPE_SCHEDULE_TO_START,
                   &at_ns, timeout_type);
        }
    }
    sooner(tl_ns_add(act->scheduled_ns, act->start_delay_ns), act->schedule_to_close_ns,
           TIMEOUT_TYPE_SCHEDULE_TO_CLOSE, &at_ns, timeout_type);
    return at_ns;
}

int64_t tl_activity_deadline_ns(const struct tl_act *act)
{
    int ignored = 0;
    int64_t at_ns = tl_activity_timeout_ns(act, &ignored);
    if (!act->started && !act->offered && !act->paused && act->attempt_ns < at_ns) {
        at_ns = act->attempt_ns;
    }
    return at_ns;
}

/* --- start ----------------------------------------------------------------------------------- */

/* Whose activity it is. False: no memory. */
static bool fill_owner(const struct tl_rs *rs, struct tl_arena *a,
                       TpWs__PollActivityTaskQueueResponse *r)
{
    if (rs->kind == TL_RUN_ACTIVITY) {
        r->activity_run_id = tl_pb_cstr(a, tl_str(rs->run_id));
        return r->activity_run_id != NULL;
    }
    r->workflow_type = TL_PB_NEW(a, TpCommon__WorkflowType, tp_common__workflow_type);
    r->workflow_execution =
        TL_PB_NEW(a, TpCommon__WorkflowExecution, tp_common__workflow_execution);
    if (!r->workflow_type || !r->workflow_execution) {
        return false;
    }
    r->workflow_type->name = tl_pb_cstr(a, tl_str(tl_or_empty(rs->workflow_type)));
    r->workflow_execution->workflow_id = tl_pb_cstr(a, tl_str(rs->workflow_id));
    r->workflow_execution->run_id = tl_pb_cstr(a, tl_str(rs->run_id));
    return r->workflow_type->name && r->workflow_execution->workflow_id &&
           r->workflow_execution->run_id;
}

static bool fill_response(struct tl_tx *tx, const struct tl_act *act,
                          struct tl_activity_started *out)
{
    struct tl_arena *a = tx->arena;
    const struct tl_rs *rs = tx->rs;
    TpWs__PollActivityTaskQueueResponse *r =
        TL_PB_NEW(a, TpWs__PollActivityTaskQueueResponse, tp_ws__poll_activity_task_queue_response);
    TpHistory__ActivityTaskScheduledEventAttributes *attrs = tl_blob_decode(
        &act->attributes, &tp_history__activity_task_scheduled_event_attributes__descriptor, a);
    if (!r || !attrs || !fill_owner(rs, a, r)) {
        return false;
    }
    r->scheduled_time = tl_pb_timestamp(a, act->scheduled_ns);
    r->current_attempt_scheduled_time = tl_pb_timestamp(a, act->attempt_ns);
    r->started_time = tl_pb_timestamp(a, act->started_ns);
    r->workflow_namespace = tl_pb_cstr(a, tl_str(rs->namespace_name));
    if (!r->scheduled_time || !r->current_attempt_scheduled_time || !r->started_time ||
        !r->workflow_namespace) {
        return false;
    }
    r->activity_type = attrs->activity_type;
    r->activity_id = attrs->activity_id;
    r->header = attrs->header;
    r->input = attrs->input;
    r->attempt = act->attempt;
    r->schedule_to_close_timeout = attrs->schedule_to_close_timeout;
    r->start_to_close_timeout = attrs->start_to_close_timeout;
    r->heartbeat_timeout = attrs->heartbeat_timeout;
    r->retry_policy = attrs->retry_policy;
    r->priority = tl_priority_merge(rs, attrs->priority, a);
    if (act->heartbeat.n > 0) {
        r->heartbeat_details = tl_blob_decode(&act->heartbeat, &tp_common__payloads__descriptor, a);
    }
    out->response = r;
    return act->heartbeat.n == 0 || r->heartbeat_details;
}

static tl_rc fill_out(struct tl_tx *tx, const struct tl_act *act, struct tl_activity_started *out,
                      struct tl_error *err)
{
    *out = (struct tl_activity_started){
        .ref = {act->scheduled_id, 0, act->started_ns, act->attempt},
        /* If this start got lost in a crash, the activity would be delivered again. That is one
         * attempt too many when this is the last one allowed. */
        .durable_first = act->retry_attempts_max > 0 && act->attempt >= act->retry_attempts_max,
    };
    if (!fill_response(tx, act, out)) {
        return tl_error_set(err, TL_ELIMIT, "no memory for an activity task");
    }
    return TL_OK;
}

/* control_queue: of its worker. Activities without a workflow are not told of by commands. */
static void mark_started(struct tl_tx *tx, struct tl_act *act, const char *identity,
                         const char *request_id, const char *control_queue)
{
    bool told =
        tx->env->worker_commands && tx->rs->kind == TL_RUN_WORKFLOW && tl_has_text(control_queue);
    tl_set_str(&act->control_queue, told ? control_queue : NULL);
    act->worker_attempt = told ? act->attempt : 0;
    act->started = true;
    act->started_ns = act->last_started_ns = tx->now_ns;
    act->offered = true;
    tl_set_str(&act->identity, identity);
    tl_set_str(&act->request_id, request_id);
    tl_rs_act_arm(tx->rs, act);
    tl_tx_touch_act(tx, act);
}

tl_rc tl_activity_start_now(struct tl_tx *tx, struct tl_act *act, const char *identity,
                            const char *request_id, const char *control_queue,
                            struct tl_activity_started *out, struct tl_error *err)
{
    mark_started(tx, act, identity, request_id, control_queue);
    return fill_out(tx, act, out, err);
}

tl_rc tl_tx_activity_start(struct tl_tx *tx, int64_t scheduled_id, int32_t attempt, uint64_t stamp,
                           const char *identity, const char *request_id, const char *control_queue,
                           struct tl_activity_started *out, struct tl_error *err)
{
    struct tl_act *act = tl_rs_open(tx->rs) ? tl_rs_act(tx->rs, scheduled_id) : NULL;
    tx->error_kind = TL_ERR_PLAIN;
    if (!act || act->attempt != attempt || act->stamp != stamp || act->paused ||
        tl_rs_paused(tx->rs)) {
        return tl_tx_fail(
            tx, TL_ERR_STALE_TASK, err, TL_ENOTFOUND,
            "invalid activityID or activity already timed out or invoking workflow is "
            "completed");
    }
    if (!act->started) {
        return tl_activity_start_now(tx, act, identity, request_id, control_queue, out, err);
    }
    if (tl_has_text(request_id) && tl_str_eqc(tl_str(tl_or_empty(act->request_id)), request_id)) {
        return fill_out(tx, act, out, err);
    }
    return tl_tx_fail(tx, TL_ERR_STALE_TASK, err, TL_ENOTFOUND, "Activity task already started.");
}

int64_t tl_activity_write_started(struct tl_tx *tx, struct tl_act *act)
{
    if (!act->started) {
        return 0;
    }
    TpHistory__ActivityTaskStartedEventAttributes a =
        TP_HISTORY__ACTIVITY_TASK_STARTED_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    tl_ev_init(&ev, act->started_ns);
    a.scheduled_event_id = act->scheduled_id;
    a.identity = tl_pb_text(act->identity);
    a.request_id = tl_pb_text(act->request_id);
    a.attempt = act->attempt;
    a.last_failure =
        tl_blob_decode(&act->last_failure, &tp_failure__failure__descriptor, tx->arena);
    TL_EV_SET(&ev, ACTIVITY_TASK_STARTED, activity_task_started, &a);
    return tl_tx_add(tx, &ev);
}

/* --- commands to its worker ------------------------------------------------------------------ */

void tl_activity_tell_worker(struct tl_tx *tx, const struct tl_act *act)
{
    if (!act->started || !act->control_queue || !tx->env->worker_commands) {
        return;
    }
    struct tl_effect *f = tl_effects_add(&tx->effects, TL_FX_TELL_WORKER);
    if (!f) {
        tl_tx_break(tx, "the effects");
        return;
    }
    f->u.attempt.control_queue = tl_arena_str(tx->arena, tl_str(act->control_queue));
    f->u.attempt.activity_id = tl_arena_str(tx->arena, tl_str(act->activity_id));
    f->u.attempt.ref =
        (struct tl_task_ref){act->scheduled_id, 0, act->started_ns, act->worker_attempt};
}

void tl_activities_tell_workers(struct tl_tx *tx)
{
    if (tx->rs->acts && tx->env->worker_commands) {
        TL_MAP_EACH (e, tx->rs->acts) {
            tl_activity_tell_worker(tx, e->value);
        }
    }
}

/* --- which activity -------------------------------------------------------------------------- */

static tl_rc not_found(struct tl_tx *tx, struct tl_error *err)
{
    if (tx->rs->kind == TL_RUN_ACTIVITY) {
        return tl_tx_fail(tx, TL_ERR_NOT_FOUND, err, TL_ENOTFOUND, "activity task not found");
    }
    return tl_tx_fail(tx, TL_ERR_NOT_FOUND, err, TL_ENOTFOUND,
                      "invalid activityID or activity already timed out or invoking workflow is "
                      "completed");
}

static tl_rc find_activity(struct tl_tx *tx, const struct tl_activity_key *key,
                           bool may_be_unstarted, struct tl_act **out, struct tl_error *err)
{
    tx->error_kind = TL_ERR_PLAIN;
    if (tx->rs->kind == TL_RUN_ACTIVITY && !tl_rs_open(tx->rs)) {
        return not_found(tx, err);
    }
    tl_rc rc = tl_tx_need_open(tx, err);
    if (rc != TL_OK) {
        return rc;
    }
    if (key->ref) {
        struct tl_act *act = tl_rs_act(tx->rs, key->ref->scheduled_id);
        bool attempt = act && (act->attempt == key->ref->attempt || act->reset);
        if (!attempt || !act->started ||
            (key->ref->started_ns && act->started_ns != key->ref->started_ns)) {
            return not_found(tx, err);
        }
        *out = act;
        return TL_OK;
    }
    if (key->activity_id.n == 0) {
        return tl_error_set(err, TL_EINVAL, "activityID cannot be empty");
    }
    struct tl_act *act = tl_rs_act_by_id(tx->rs, key->activity_id);
    if (!act) {
        return tl_tx_fail(tx, TL_ERR_NOT_FOUND, err, TL_ENOTFOUND,
                          "cannot find pending activity with ActivityID %.*s, check workflow "
                          "execution history for more details",
                          TL_STR_FMT(key->activity_id));
    }
    if (!act->started && !may_be_unstarted) {
        return not_found(tx, err);
    }
    *out = act;
    return TL_OK;
}

/* What a worker sends and the server cannot keep fails the activity for good: the worker would only
 * send it again. */
static tl_rc fail_oversize(struct tl_tx *tx, const struct tl_activity_key *key, const char *what,
                           const char *identity, struct tl_error *err)
{
    struct tl_failure_cut space;
    tl_cut_server(&space, what, true);
    return tl_tx_activity_fail(tx, key, &space.outer, NULL, identity, err);
}

static bool is_oversize(const struct tl_tx *tx, const void *msg)
{
    return tl_message_bytes(msg) > tx->env->limits.blob_bytes;
}

static tl_rc closed(struct tl_tx *tx, struct tl_error *err)
{
    return tl_tx_tell_worker(tx, err);
}

/* --- results --------------------------------------------------------------------------------- */

tl_rc tl_tx_activity_complete(struct tl_tx *tx, const struct tl_activity_key *key,
                              const TpCommon__Payloads *result, const char *identity,
                              struct tl_error *err)
{
    struct tl_act *act = NULL;
    tl_rc rc = find_activity(tx, key, true, &act, err);
    if (rc == TL_OK && is_oversize(tx, result)) {
        return fail_oversize(tx, key, "Complete result exceeds size limit.", identity, err);
    }
    if (rc != TL_OK) {
        return rc;
    }
    if (!act->started) { /* completed by id before a worker had it */
        mark_started(tx, act, identity, "", NULL);
    }
    if (tx->rs->kind == TL_RUN_ACTIVITY) {
        tl_execution_completed(tx, act, result, identity);
        return tl_tx_result(tx, err);
    }
    TpHistory__ActivityTaskCompletedEventAttributes a =
        TP_HISTORY__ACTIVITY_TASK_COMPLETED_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    tl_ev_init(&ev, tx->now_ns);
    a.scheduled_event_id = act->scheduled_id;
    a.started_event_id = tl_activity_write_started(tx, act);
    a.result = (TpCommon__Payloads *)(uintptr_t)result;
    a.identity = tl_pb_text(identity);
    TL_EV_SET(&ev, ACTIVITY_TASK_COMPLETED, activity_task_completed, &a);
    tl_tx_add(tx, &ev);
    return closed(tx, err);
}

static void note_heartbeat(struct tl_tx *tx, struct tl_act *act, const TpCommon__Payloads *details,
                           const char *identity)
{
    if (!tl_set_blob_message(&act->heartbeat, details)) {
        tl_tx_break(tx, "the heartbeat of an activity");
    }
    if (tl_has_text(identity)) {
        tl_set_str(&act->last_identity, identity);
    }
    act->heartbeat_ns = tx->now_ns;
    act->heartbeat_count++;
    tl_rs_act_arm(tx->rs, act);
    if (TL_FAULT(forget_heartbeat)) {
        tx->touched = true;
    } else {
        tl_tx_touch_act(tx, act);
    }
}

tl_rc tl_tx_activity_fail(struct tl_tx *tx, const struct tl_activity_key *key,
                          const TpFailure__Failure *failure,
                          const TpCommon__Payloads *last_heartbeat, const char *identity,
                          struct tl_error *err)
{
    struct tl_act *act = NULL;
    struct tl_failure_cut space;
    tl_rc rc = find_activity(tx, key, false, &act, err);
    if (rc != TL_OK) {
        return rc;
    }
    failure = tl_cut_failure(failure, tx->env->limits.blob_bytes, true, &space);
    if (last_heartbeat && !is_oversize(tx, last_heartbeat)) {
        note_heartbeat(tx, act, last_heartbeat, identity);
    }
    act->last_completed_ns = tx->now_ns;
    tl_tx_touch_act(tx, act);
    int retry_state = tl_activity_retry(tx, act, failure);
    if (retry_state == RETRY_STATE_IN_PROGRESS) {
        return tl_tx_result(tx, err);
    }
    if (tx->rs->kind == TL_RUN_ACTIVITY) {
        tl_execution_failed(tx, act, failure, retry_state, identity);
        return tl_tx_result(tx, err);
    }
    TpHistory__ActivityTaskFailedEventAttributes a =
        TP_HISTORY__ACTIVITY_TASK_FAILED_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    tl_ev_init(&ev, tx->now_ns);
    a.scheduled_event_id = act->scheduled_id;
    a.started_event_id = tl_activity_write_started(tx, act);
    a.failure = (TpFailure__Failure *)(uintptr_t)failure;
    a.retry_state = (TpEnums__RetryState)retry_state;
    a.identity = tl_pb_text(identity);
    TL_EV_SET(&ev, ACTIVITY_TASK_FAILED, activity_task_failed, &a);
    tl_tx_add(tx, &ev);
    return closed(tx, err);
}

tl_rc tl_tx_activity_cancel(struct tl_tx *tx, const struct tl_activity_key *key,
                            const TpCommon__Payloads *details, const char *identity,
                            struct tl_error *err)
{
    struct tl_act *act = NULL;
    tl_rc rc = find_activity(tx, key, false, &act, err);
    if (rc == TL_OK && !act->cancel_requested) {
        rc = tl_error_set(
            err, TL_EINVAL,
            "unable to mark activity as canceled without activity being request canceled first");
    }
    if (rc == TL_OK && is_oversize(tx, details)) {
        return fail_oversize(tx, key, "Cancel details exceed size limit.", identity, err);
    }
    if (rc != TL_OK) {
        return rc;
    }
    if (tx->rs->kind == TL_RUN_ACTIVITY) {
        tl_execution_canceled(tx, act, details, identity);
        return tl_tx_result(tx, err);
    }
    TpHistory__ActivityTaskCanceledEventAttributes a =
        TP_HISTORY__ACTIVITY_TASK_CANCELED_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    tl_ev_init(&ev, tx->now_ns);
    a.scheduled_event_id = act->scheduled_id;
    a.latest_cancel_requested_event_id = act->cancel_event_id;
    a.started_event_id = tl_activity_write_started(tx, act);
    a.details = (TpCommon__Payloads *)(uintptr_t)details;
    a.identity = tl_pb_text(identity);
    TL_EV_SET(&ev, ACTIVITY_TASK_CANCELED, activity_task_canceled, &a);
    tl_tx_add(tx, &ev);
    return closed(tx, err);
}

tl_rc tl_tx_activity_heartbeat(struct tl_tx *tx, const struct tl_activity_key *key,
                               const TpCommon__Payloads *details, const char *identity,
                               struct tl_heartbeat_reply *out, struct tl_error *err)
{
    struct tl_act *act = NULL;
    tl_rc rc = find_activity(tx, key, false, &act, err);
    if (rc != TL_OK) {
        return rc;
    }
    if (is_oversize(tx, details)) {
        *out = (struct tl_heartbeat_reply){.cancel_requested = true};
        return fail_oversize(tx, key, "Heartbeat details exceed size limit.", identity, err);
    }
    note_heartbeat(tx, act, details, identity);
    *out = (struct tl_heartbeat_reply){
        .cancel_requested = act->cancel_requested, .paused = act->paused, .reset = act->reset};
    return tl_tx_result(tx, err);
}
