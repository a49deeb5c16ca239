/* RunDelta: what events do not say. Built from what a transaction marked as touched, applied on
 * recovery after the events of the same record.
 * Thread: the run's owner. Owns: built messages borrow from the state and live in the arena. */
#include "server/history/execution.h"
#include "server/history/operation.h"

/* --- workflow task --------------------------------------------------------------------------- */

void tl_delta_from_wft(const struct tl_wft *wft, bool durable_only, TlV1__WorkflowTaskState *out)
{
    *out = (TlV1__WorkflowTaskState)TL_V1__WORKFLOW_TASK_STATE__INIT;
    if (durable_only && wft->speculative) {
        out->attempt = wft->attempt;
        return;
    }
    out->scheduled_event_id = wft->scheduled_id;
    out->attempt = wft->attempt;
    out->scheduled_ns = wft->scheduled_ns;
    out->original_scheduled_ns = wft->original_ns;
    out->start_to_close_timeout_ns = wft->timeout_ns;
    out->sticky = wft->sticky;
    out->transient = wft->transient;
    if (durable_only && wft->started_volatile) {
        return;
    }
    out->started_event_id = wft->started_id;
    out->started_ns = wft->started_ns;
    out->request_id = tl_pb_text(wft->request_id);
    out->identity = tl_pb_text(wft->identity);
    out->build_id = tl_pb_text(wft->build_id);
    out->use_versioning = wft->use_versioning;
    out->suggest_reasons = wft->suggest_reasons;
    out->history_size_bytes = wft->history_bytes;
}

void tl_delta_to_wft(struct tl_wft *wft, const TlV1__WorkflowTaskState *in)
{
    tl_wft_clear(wft, in->attempt);
    wft->scheduled_id = in->scheduled_event_id;
    wft->started_id = in->started_event_id;
    wft->scheduled_ns = in->scheduled_ns;
    wft->original_ns = in->original_scheduled_ns;
    wft->started_ns = in->started_ns;
    wft->timeout_ns = in->start_to_close_timeout_ns;
    wft->suggest_reasons = in->suggest_reasons;
    wft->history_bytes = in->history_size_bytes;
    wft->sticky = in->sticky;
    wft->transient = in->transient;
    tl_set_str(&wft->request_id, in->request_id);
    tl_set_str(&wft->identity, in->identity);
    tl_set_str(&wft->build_id, in->build_id);
    wft->use_versioning = in->use_versioning;
}

/* --- activities ------------------------------------------------------------------------------ */

void tl_delta_from_act(const struct tl_act *act, TlV1__ActivityState *out)
{
    *out = (TlV1__ActivityState)TL_V1__ACTIVITY_STATE__INIT;
    out->scheduled_event_id = act->scheduled_id;
    out->scheduled_ns = act->scheduled_ns;
    out->attempt = act->attempt;
    out->stamp = act->stamp;
    out->started = act->started;
    out->started_ns = act->started_ns;
    out->started_identity = tl_pb_text(act->identity);
    out->request_id = tl_pb_text(act->request_id);
    out->last_failure = tl_pb_bytes_view(tl_blob_str(&act->last_failure));
    out->last_worker_identity = tl_pb_text(act->last_identity);
    out->heartbeat_details = tl_pb_bytes_view(tl_blob_str(&act->heartbeat));
    out->heartbeat_ns = act->heartbeat_ns;
    out->attempt_scheduled_ns = act->attempt_ns;
    out->cancel_requested = act->cancel_requested;
    out->cancel_requested_event_id = act->cancel_event_id;
    out->last_completed_ns = act->last_completed_ns;
    out->start_delay_ns = act->start_delay_ns;
    out->original_start_delay_ns = act->original_delay_ns;
    out->heartbeat_count = act->heartbeat_count;
    out->retry_interval_ns = act->retry_interval_ns;
    out->last_started_ns = act->last_started_ns;
    out->paused = act->paused;
    out->paused_ns = act->pause_ns;
    out->pause_identity = tl_pb_text(act->pause_identity);
    out->pause_reason = tl_pb_text(act->pause_reason);
    out->pause_request_id = tl_pb_text(act->pause_request_id);
    out->reset = act->reset;
    out->reset_heartbeat = act->reset_heartbeat;
    out->worker_control_task_queue = tl_pb_text(act->control_queue);
    out->worker_attempt = act->worker_attempt;
    if (act->original.n) {
        out->changed_attributes = tl_pb_bytes_view(tl_blob_str(&act->attributes));
    }
}

/* The options that the state says, or the event's own when it says none. False: undecodable. */
static bool take_options(struct tl_act *act, struct tl_str changed, struct tl_arena *scratch)
{
    struct tl_blob none = {0};
    if (changed.n == 0 && act->original.n == 0) {
        return true;
    }
    if (changed.n == 0) { /* restored */
        tl_mem_free(act->attributes.p);
        act->attributes = act->original;
        act->original = none;
    } else {
        if (act->original.n == 0) {
            act->original = act->attributes;
            act->attributes = none;
        }
        tl_set_blob(&act->attributes, changed);
    }
    const TpHistory__ActivityTaskScheduledEventAttributes *attrs =
        tl_blob_decode(&act->attributes,
                       &tp_history__activity_task_scheduled_event_attributes__descriptor, scratch);
    if (attrs) {
        tl_act_set_options(act, attrs);
    }
    return attrs != NULL;
}

bool tl_delta_to_act(struct tl_act *act, const TlV1__ActivityState *in, struct tl_arena *scratch)
{
    act->scheduled_ns = in->scheduled_ns;
    act->attempt = in->attempt;
    act->stamp = in->stamp;
    act->started = in->started;
    act->started_ns = in->started_ns;
    act->heartbeat_ns = in->heartbeat_ns;
    act->attempt_ns = in->attempt_scheduled_ns;
    act->cancel_requested = in->cancel_requested;
    act->cancel_event_id = in->cancel_requested_event_id;
    act->last_completed_ns = in->last_completed_ns;
    act->start_delay_ns = in->start_delay_ns;
    act->original_delay_ns = in->original_start_delay_ns;
    act->heartbeat_count = in->heartbeat_count;
    act->retry_interval_ns = in->retry_interval_ns;
    act->last_started_ns = in->last_started_ns;
    act->offered = false;
    tl_set_str(&act->identity, in->started_identity);
    tl_set_str(&act->request_id, in->request_id);
    tl_set_str(&act->last_identity, in->last_worker_identity);
    tl_set_blob(&act->last_failure, tl_pb_str(in->last_failure));
    tl_set_blob(&act->heartbeat, tl_pb_str(in->heartbeat_details));
    act->paused = in->paused;
    act->pause_ns = in->paused_ns;
    act->reset = in->reset;
    act->reset_heartbeat = in->reset_heartbeat;
    tl_set_str(&act->pause_identity, in->pause_identity);
    tl_set_str(&act->pause_reason, in->pause_reason);
    tl_set_str(&act->pause_request_id, in->pause_request_id);
    tl_set_str(&act->control_queue, in->worker_control_task_queue);
    act->worker_attempt = in->worker_attempt;
    return take_options(act, tl_pb_str(in->changed_attributes), scratch);
}

/* --- build ----------------------------------------------------------------------------------- */

static bool build_activities(struct tl_tx *tx, TlV1__RunDelta *out)
{
    struct tl_tx_private *p = tx->p;
    struct tl_pb_list list = {0};
    for (size_t i = 0; i < p->dirty_n; i++) {
        const struct tl_act *act = tl_rs_act(tx->rs, p->dirty_acts[i]);
        if (!act) { /* closed meanwhile: its events say it */
            continue;
        }
        TlV1__ActivityState *state = TL_ARENA_NEW(tx->arena, TlV1__ActivityState);
        if (!state || !tl_pb_push(tx->arena, &list, state)) {
            return false;
        }
        tl_delta_from_act(act, state);
    }
    out->n_activities = list.n;
    out->activities = list.items;
    return true;
}

static bool build_nexus(struct tl_tx *tx, TlV1__RunDelta *out)
{
    const struct tl_tx_private *p = tx->p;
    struct tl_pb_list list = {0};
    for (size_t i = 0; i < p->dirty_nexus_n; i++) {
        const struct tl_nexus_op *op = tl_rs_nexus(tx->rs, p->dirty_nexus[i]);
        if (!op) { /* ended meanwhile: its events say it */
            continue;
        }
        TlV1__NexusOperationState *state = TL_ARENA_NEW(tx->arena, TlV1__NexusOperationState);
        if (!state || !tl_pb_push(tx->arena, &list, state)) {
            return false;
        }
        tl_delta_from_nexus(op, tx->arena, state);
        if (!state->start || !state->cancel) {
            return false;
        }
    }
    out->n_nexus_operations = list.n;
    out->nexus_operations = list.items;
    return true;
}

static bool build_buffer(struct tl_tx *tx, TlV1__RunDelta *out)
{
    const struct tl_rs *rs = tx->rs;
    if (rs->buffer_n == 0) {
        return true;
    }
    out->buffered_events = TL_ARENA_ARRAY(tx->arena, ProtobufCBinaryData, rs->buffer_n);
    if (!out->buffered_events) {
        return false;
    }
    for (size_t i = 0; i < rs->buffer_n; i++) {
        if (rs->buffer[i].fresh) {
            out->buffered_events[out->n_buffered_events++] =
                tl_pb_bytes_view(tl_str_n(rs->buffer[i].bytes, rs->buffer[i].n));
        }
    }
    return true;
}

bool tl_delta_build(struct tl_tx *tx, TlV1__RunDelta *out, bool *empty)
{
    const struct tl_rs *rs = tx->rs;
    const struct tl_tx_private *p = tx->p;
    *out = (TlV1__RunDelta)TL_V1__RUN_DELTA__INIT;
    if (!build_activities(tx, out) || !build_nexus(tx, out) || !build_buffer(tx, out)) {
        return false;
    }
    if (p->wft_dirty) {
        out->workflow_task = TL_ARENA_NEW(tx->arena, TlV1__WorkflowTaskState);
        if (!out->workflow_task) {
            return false;
        }
        tl_delta_from_wft(&rs->wft, true, out->workflow_task);
    }
    if (p->sticky_dirty) {
        out->sticky = TL_ARENA_NEW(tx->arena, TlV1__StickyState);
        if (!out->sticky) {
            return false;
        }
        *out->sticky = (TlV1__StickyState)TL_V1__STICKY_STATE__INIT;
        out->sticky->task_queue = tl_pb_text(rs->sticky_queue);
        out->sticky->schedule_to_start_timeout_ns = rs->sticky_timeout_ns;
    }
    if (p->execution_dirty && rs->kind == TL_RUN_OPERATION) {
        out->operation_execution = tl_operation_state(rs, tx->arena);
        if (!out->operation_execution) {
            return false;
        }
    } else if (p->execution_dirty) {
        out->activity_execution = tl_execution_state(rs, tx->arena);
        if (!out->activity_execution) {
            return false;
        }
    }
    if (p->outcome_dirty) {
        out->activity_outcome = tl_pb_bytes_view(tl_blob_str(&rs->outcome));
    }
    out->buffer_flushed = p->buffer_flushed;
    out->applied_event_ids = p->applied_ids;
    out->n_applied_event_ids = p->applied_n;
    out->start_request_id = tl_pb_text(p->start_request_dirty ? rs->start_request_id : NULL);
    out->cancel_request_id = tl_pb_text(p->cancel_request_dirty ? rs->cancel_request_id : NULL);
    out->reset_ns = p->reset_ns;
    *empty = !out->reset_ns && !out->activity_execution && !out->operation_execution &&
             !out->workflow_task && !out->sticky && out->n_activities == 0 &&
             out->n_nexus_operations == 0 && out->n_buffered_events == 0 && !out->buffer_flushed &&
             !tl_has_text(out->start_request_id) && !tl_has_text(out->cancel_request_id);
    return true;
}

/* --- apply ----------------------------------------------------------------------------------- */

static tl_rc apply_buffered(struct tl_rs *rs, ProtobufCBinaryData bytes, struct tl_arena *scratch,
                            struct tl_error *err)
{
    TpHistory__HistoryEvent *e = NULL;
    tl_rc rc =
        tl_pb_decode(&tp_history__history_event__descriptor, tl_pb_str(bytes), scratch, &e, err);
    if (rc == TL_OK) {
        rc = tl_rs_apply_event(rs, e, scratch, err);
    }
    if (rc == TL_OK) {
        tl_rs_buffer_push(rs, tl_pb_str(bytes), (int)e->event_type, false);
    }
    return rc;
}

tl_rc tl_rs_apply_delta(struct tl_rs *rs, const TlV1__RunDelta *delta, struct tl_arena *scratch,
                        struct tl_error *err)
{
    if (delta->buffer_flushed) {
        tl_rs_buffer_clear(rs);
    }
    if (delta->sticky) {
        tl_rs_set_sticky(rs, delta->sticky->task_queue,
                         delta->sticky->schedule_to_start_timeout_ns);
    }
    if (delta->workflow_task) {
        tl_delta_to_wft(&rs->wft, delta->workflow_task);
    }
    if (tl_has_text(delta->start_request_id)) {
        tl_set_str(&rs->start_request_id, delta->start_request_id);
    }
    if (tl_has_text(delta->cancel_request_id)) {
        tl_set_str(&rs->cancel_request_id, delta->cancel_request_id);
    }
    if (delta->activity_execution &&
        !tl_set_blob_message(&rs->execution, delta->activity_execution)) {
        return tl_error_set(err, TL_EDECODE, "the activity execution cannot be kept");
    }
    if (delta->operation_execution &&
        !tl_set_blob_message(&rs->execution, delta->operation_execution)) {
        return tl_error_set(err, TL_EDECODE, "the operation execution cannot be kept");
    }
    if (delta->activity_outcome.len) {
        tl_set_blob(&rs->outcome, tl_pb_str(delta->activity_outcome));
    }
    if (delta->reset_ns) {
        tl_rs_note_reset(rs, delta->reset_ns);
    }
    for (size_t i = 0; i < delta->n_buffered_events; i++) {
        tl_rc rc = apply_buffered(rs, delta->buffered_events[i], scratch, err);
        if (rc != TL_OK) {
            return rc;
        }
    }
    for (size_t i = 0; i < delta->n_activities; i++) {
        struct tl_act *act = tl_rs_act(rs, delta->activities[i]->scheduled_event_id);
        if (!act) {
            return tl_error_set(err, TL_EDATALOSS, "the log speaks of an unknown activity %lld",
                                (long long)delta->activities[i]->scheduled_event_id);
        }
        bool paused = act->paused;
        if (!tl_delta_to_act(act, delta->activities[i], scratch)) {
            return tl_error_set(err, TL_EDECODE, "damaged options of an activity");
        }
        rs->pause_untold = rs->pause_untold || act->paused != paused;
        tl_rs_act_arm(rs, act);
    }
    if (rs->pause_untold && !tl_pause_tell(rs, scratch)) {
        return tl_error_set(err, TL_ELIMIT, "no memory for the pauses of activities");
    }
    for (size_t i = 0; i < delta->n_nexus_operations; i++) {
        tl_rc rc = tl_rs_nexus_apply(rs, delta->nexus_operations[i], err);
        if (rc != TL_OK) {
            return rc;
        }
    }
    return TL_OK;
}
