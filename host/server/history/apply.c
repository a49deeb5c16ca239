/* What an event does to the mutable state: the one place for it, on the live path (as the event is
 * added) and on recovery (as it is read back). Reads time from the event, never from a clock.
 * Thread: the run's owner. Owns: nothing. */
#include "server/history/execution.h"
#include "server/history/operation.h"

typedef tl_rc (*apply_fn)(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                          struct tl_arena *scratch, struct tl_error *err);

static int64_t event_ns(const TpHistory__HistoryEvent *e)
{
    return tl_pb_timestamp_ns_or(e->event_time, 0);
}

static tl_rc encode_failed(const TpHistory__HistoryEvent *e, struct tl_error *err)
{
    return tl_error_set(err, TL_EDECODE, "event %lld cannot be kept", (long long)e->event_id);
}

/* --- start ----------------------------------------------------------------------------------- */

static void apply_timeouts(struct tl_rs *rs,
                           const TpHistory__WorkflowExecutionStartedEventAttributes *a)
{
    rs->execution_timeout_ns = tl_pb_duration_ns_or(a->workflow_execution_timeout, 0);
    rs->run_timeout_ns = tl_pb_duration_ns_or(a->workflow_run_timeout, 0);
    rs->task_timeout_ns = tl_pb_duration_ns_or(a->workflow_task_timeout, 0);
    rs->first_backoff_ns = tl_pb_duration_ns_or(a->first_workflow_task_backoff, 0);
    rs->execution_expiration_ns = tl_pb_timestamp_ns_or(a->workflow_execution_expiration_time, 0);
    if (rs->run_timeout_ns > 0) {
        rs->run_expiration_ns =
            tl_ns_add(tl_ns_add(rs->start_ns, rs->first_backoff_ns), rs->run_timeout_ns);
        if (rs->execution_expiration_ns > 0 &&
            rs->run_expiration_ns > rs->execution_expiration_ns) {
            rs->run_expiration_ns = rs->execution_expiration_ns;
        }
    }
}

static void set_execution(char **workflow_id, char **run_id, const TpCommon__WorkflowExecution *e)
{
    tl_set_str(workflow_id, e ? e->workflow_id : NULL);
    tl_set_str(run_id, e ? e->run_id : NULL);
}

static void apply_parent(struct tl_parent *p,
                         const TpHistory__WorkflowExecutionStartedEventAttributes *a)
{
    tl_set_str(&p->namespace_, a->parent_workflow_namespace);
    tl_set_str(&p->namespace_id, a->parent_workflow_namespace_id);
    set_execution(&p->workflow_id, &p->run_id, a->parent_workflow_execution);
    set_execution(&p->root_workflow_id, &p->root_run_id, a->root_workflow_execution);
    p->initiated_id = a->parent_initiated_event_id;
}

static tl_rc apply_started(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                           struct tl_arena *scratch, struct tl_error *err)
{
    const TpHistory__WorkflowExecutionStartedEventAttributes *a =
        e->workflow_execution_started_event_attributes;
    rs->status = WORKFLOW_EXECUTION_STATUS_RUNNING;
    rs->start_ns = event_ns(e);
    rs->attempt = a->attempt;
    rs->initiator = (int)a->initiator;
    rs->visibility_changes++;
    tl_set_str(&rs->workflow_type, a->workflow_type ? a->workflow_type->name : NULL);
    tl_set_str(&rs->task_queue, a->task_queue ? a->task_queue->name : NULL);
    tl_set_str(&rs->first_run_id, a->first_execution_run_id);
    tl_set_str(&rs->original_run_id, a->original_execution_run_id);
    tl_set_str(&rs->continued_run_id, a->continued_execution_run_id);
    tl_set_str(&rs->cron_schedule, a->cron_schedule);
    apply_parent(&rs->parent, a);
    apply_timeouts(rs, a);
    tl_skipping_started(rs, rs->start_ns, a->time_skipping_config,
                        a->time_skipping_state_propagation);
    bool keep_start = a->retry_policy || tl_has_text(a->cron_schedule);
    if (!tl_set_blob_message(&rs->memo, a->memo) ||
        !tl_set_blob_message(&rs->search_attributes, a->search_attributes) ||
        !tl_set_blob_message(&rs->retry_policy, a->retry_policy) ||
        !tl_set_blob_message(&rs->user_metadata, e->user_metadata) ||
        !tl_set_blob_message(&rs->priority, a->priority) ||
        !tl_rs_change_override(rs, a->versioning_override, scratch) ||
        !tl_set_blob_message(&rs->start_event, keep_start ? e : NULL)) {
        return encode_failed(e, err);
    }
    if (!tl_rs_ran_on_build(rs, a->source_version_stamp, false, scratch)) {
        return encode_failed(e, err);
    }
    if (a->inherited_pinned_version) {
        struct tl_str version =
            tl_version_text(scratch, a->inherited_pinned_version->deployment_name,
                            a->inherited_pinned_version->build_id);
        if (!tl_rs_ran_on(rs, VERSIONING_BEHAVIOR_PINNED, version, scratch)) {
            return encode_failed(e, err);
        }
    }
    return tl_rs_callbacks_keep(rs, a->completion_callbacks, a->n_completion_callbacks, NULL,
                                rs->start_ns, err);
}

/* --- workflow tasks -------------------------------------------------------------------------- */

static tl_rc apply_task_scheduled(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                                  struct tl_arena *scratch, struct tl_error *err)
{
    const TpHistory__WorkflowTaskScheduledEventAttributes *a =
        e->workflow_task_scheduled_event_attributes;
    (void)scratch, (void)err;
    tl_wft_clear(&rs->wft, a->attempt);
    rs->wft.scheduled_id = e->event_id;
    rs->wft.scheduled_ns = rs->wft.original_ns = event_ns(e);
    rs->wft.timeout_ns = tl_pb_duration_ns_or(a->start_to_close_timeout, 0);
    rs->wft.sticky = a->task_queue && (int)a->task_queue->kind == TASK_QUEUE_KIND_STICKY;
    rs->had_wft = true;
    return TL_OK;
}

static tl_rc apply_task_started(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                                struct tl_arena *scratch, struct tl_error *err)
{
    const TpHistory__WorkflowTaskStartedEventAttributes *a =
        e->workflow_task_started_event_attributes;
    (void)scratch, (void)err;
    rs->wft.started_id = e->event_id;
    rs->wft.started_ns = event_ns(e);
    rs->wft.history_bytes = a->history_size_bytes;
    rs->wft.started_volatile = false;
    rs->wft.suggest_reasons = 0;
    for (size_t i = 0; i < a->n_suggest_continue_as_new_reasons; i++) {
        int reason = (int)a->suggest_continue_as_new_reasons[i];
        if (reason > 0 && reason < 32) {
            rs->wft.suggest_reasons |= 1U << reason;
        }
    }
    tl_set_str(&rs->wft.request_id, a->request_id);
    tl_set_str(&rs->wft.identity, a->identity);
    tl_set_str(&rs->wft.build_id, a->worker_version ? a->worker_version->build_id : NULL);
    rs->wft.use_versioning = a->worker_version && a->worker_version->use_versioning;
    return TL_OK;
}

static tl_rc apply_task_completed(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                                  struct tl_arena *scratch, struct tl_error *err)
{
    const TpHistory__WorkflowTaskCompletedEventAttributes *a =
        e->workflow_task_completed_event_attributes;
    const TpDeployment__WorkerDeploymentVersion *v = a->deployment_version;
    rs->previous_started_id = a->started_event_id;
    rs->last_completed_id = e->event_id;
    rs->close_attempted = false;
    tl_set_str(&rs->deployment_name, a->worker_deployment_name);
    tl_set_str(&rs->build_id, a->deployment_version ? a->deployment_version->build_id
                              : a->worker_version   ? a->worker_version->build_id
                                                    : NULL);
    tl_rs_clear_sticky(rs);
    tl_wft_clear(&rs->wft, 1);
    struct tl_str version =
        v ? tl_version_text(scratch, v->deployment_name, v->build_id) : (struct tl_str){NULL, 0};
    if (!tl_rs_ran_on(rs, (int)a->versioning_behavior, version, scratch) ||
        !tl_rs_ran_on_build(rs, v ? NULL : a->worker_version, true, scratch)) {
        return encode_failed(e, err);
    }
    return TL_OK;
}

/* A failed or timed out task on a sticky queue costs the stickiness and is no attempt. */
static tl_rc apply_task_lost(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                             struct tl_arena *scratch, struct tl_error *err)
{
    (void)scratch, (void)err;
    bool not_started = (int)e->event_type == EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT &&
                       (int)e->workflow_task_timed_out_event_attributes->timeout_type ==
                           TIMEOUT_TYPE_SCHEDULE_TO_START;
    int cause = (int)e->event_type == EVENT_TYPE_WORKFLOW_TASK_FAILED
                    ? (int)e->workflow_task_failed_event_attributes->cause
                    : 0;
    bool harmless =
        cause == WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW ||
        cause == WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_PAUSE_REQUESTED_BEFORE_TASK_STARTED;
    int32_t next_attempt = tl_rs_is_sticky(rs) || not_started || harmless ? 1 : rs->wft.attempt + 1;
    rs->close_attempted = false;
    tl_rs_clear_sticky(rs);
    tl_wft_clear(&rs->wft, next_attempt);
    return TL_OK;
}

/* --- activities ------------------------------------------------------------------------------ */

static tl_rc apply_activity_scheduled(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                                      struct tl_arena *scratch, struct tl_error *err)
{
    const TpHistory__ActivityTaskScheduledEventAttributes *a =
        e->activity_task_scheduled_event_attributes;
    struct tl_str encoded;
    tl_rc rc = tl_pb_encode_arena(a, scratch, &encoded, err);
    if (rc != TL_OK) {
        return rc;
    }
    tl_rs_act_add(rs, e->event_id, event_ns(e), a, encoded);
    return TL_OK;
}

static tl_rc apply_activity_completed(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                                      struct tl_arena *scratch, struct tl_error *err)
{
    (void)scratch, (void)err;
    tl_rs_act_remove(rs, e->activity_task_completed_event_attributes->scheduled_event_id);
    return TL_OK;
}

static tl_rc apply_activity_failed(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                                   struct tl_arena *scratch, struct tl_error *err)
{
    (void)scratch, (void)err;
    tl_rs_act_remove(rs, e->activity_task_failed_event_attributes->scheduled_event_id);
    return TL_OK;
}

static tl_rc apply_activity_timed_out(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                                      struct tl_arena *scratch, struct tl_error *err)
{
    (void)scratch, (void)err;
    tl_rs_act_remove(rs, e->activity_task_timed_out_event_attributes->scheduled_event_id);
    return TL_OK;
}

static tl_rc apply_activity_canceled(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                                     struct tl_arena *scratch, struct tl_error *err)
{
    (void)scratch, (void)err;
    tl_rs_act_remove(rs, e->activity_task_canceled_event_attributes->scheduled_event_id);
    return TL_OK;
}

static tl_rc apply_activity_cancel_requested(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                                             struct tl_arena *scratch, struct tl_error *err)
{
    (void)scratch, (void)err;
    struct tl_act *act =
        tl_rs_act(rs, e->activity_task_cancel_requested_event_attributes->scheduled_event_id);
    if (act) { /* it may have closed: its close event is still in the buffer */
        act->cancel_requested = true;
        act->cancel_event_id = e->event_id;
    }
    return TL_OK;
}

/* --- timers ---------------------------------------------------------------------------------- */

static tl_rc apply_timer_started(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                                 struct tl_arena *scratch, struct tl_error *err)
{
    const TpHistory__TimerStartedEventAttributes *a = e->timer_started_event_attributes;
    (void)scratch;
    if (tl_rs_timer(rs, tl_str(a->timer_id))) {
        return tl_error_set(err, TL_EDECODE, "timer %s started twice", a->timer_id);
    }
    tl_rs_timer_add(rs, a->timer_id, e->event_id,
                    tl_ns_add(event_ns(e), tl_pb_duration_ns_or(a->start_to_fire_timeout, 0)));
    return TL_OK;
}

static tl_rc apply_timer_fired(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                               struct tl_arena *scratch, struct tl_error *err)
{
    (void)scratch, (void)err;
    tl_rs_timer_remove(rs, e->timer_fired_event_attributes->timer_id);
    return TL_OK;
}

static tl_rc apply_timer_canceled(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                                  struct tl_arena *scratch, struct tl_error *err)
{
    (void)scratch, (void)err;
    tl_rs_timer_remove(rs, e->timer_canceled_event_attributes->timer_id);
    return TL_OK;
}

/* --- updates --------------------------------------------------------------------------------- */

static tl_rc apply_update_admitted(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                                   struct tl_arena *scratch, struct tl_error *err)
{
    const TpUpdate__Request *r = e->workflow_execution_update_admitted_event_attributes->request;
    (void)scratch;
    if (!r || !r->meta) {
        return tl_error_set(err, TL_EDECODE, "event %lld admits no update", (long long)e->event_id);
    }
    tl_rs_update_admitted(rs, r->meta->update_id, e->event_id);
    return TL_OK;
}

static tl_rc apply_update_accepted(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                                   struct tl_arena *scratch, struct tl_error *err)
{
    (void)scratch, (void)err;
    tl_rs_update_accepted(
        rs, e->workflow_execution_update_accepted_event_attributes->protocol_instance_id,
        e->event_id);
    return TL_OK;
}

static tl_rc apply_update_completed(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                                    struct tl_arena *scratch, struct tl_error *err)
{
    const TpHistory__WorkflowExecutionUpdateCompletedEventAttributes *a =
        e->workflow_execution_update_completed_event_attributes;
    (void)scratch;
    if (!a->meta) {
        return tl_error_set(err, TL_EDECODE, "event %lld completes no update",
                            (long long)e->event_id);
    }
    tl_rs_update_completed(rs, a->meta->update_id, a->accepted_event_id, e->event_id);
    return TL_OK;
}

/* --- the run itself -------------------------------------------------------------------------- */

static tl_rc apply_signaled(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                            struct tl_arena *scratch, struct tl_error *err)
{
    (void)scratch, (void)err;
    rs->signal_count++;
    tl_rs_signal_note(rs, e->workflow_execution_signaled_event_attributes->request_id);
    return TL_OK;
}

static tl_rc apply_cancel_requested(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                                    struct tl_arena *scratch, struct tl_error *err)
{
    (void)scratch, (void)err, (void)e;
    rs->cancel_requested = true;
    return TL_OK;
}

static tl_rc apply_search_attributes(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                                     struct tl_arena *scratch, struct tl_error *err)
{
    const TpCommon__SearchAttributes *now =
        tl_blob_decode(&rs->search_attributes, &tp_common__search_attributes__descriptor, scratch);
    const TpCommon__SearchAttributes *merged = tl_search_attributes_merge(
        now, e->upsert_workflow_search_attributes_event_attributes->search_attributes, scratch);
    if (!merged || !tl_set_blob_message(&rs->search_attributes, merged)) {
        return encode_failed(e, err);
    }
    rs->visibility_changes++;
    return TL_OK;
}

static tl_rc apply_properties(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                              struct tl_arena *scratch, struct tl_error *err)
{
    const TpCommon__Memo *now = tl_blob_decode(&rs->memo, &tp_common__memo__descriptor, scratch);
    const TpCommon__Memo *merged = tl_memo_merge(
        now, e->workflow_properties_modified_event_attributes->upserted_memo, scratch);
    if (!merged || !tl_set_blob_message(&rs->memo, merged)) {
        return encode_failed(e, err);
    }
    rs->visibility_changes++;
    return TL_OK;
}

static void close_run(struct tl_rs *rs, const TpHistory__HistoryEvent *e, int status,
                      const char *new_run_id)
{
    rs->status = status;
    rs->close_ns = event_ns(e);
    rs->close_event_id = e->event_id;
    rs->visibility_changes++;
    tl_set_str(&rs->new_run_id, new_run_id);
    if (rs->kind == TL_RUN_WORKFLOW) { /* of others, descriptions tell what they did */
        tl_rs_clear_pending(rs);
    }
    tl_rs_clear_sticky(rs);
    tl_wft_clear(&rs->wft, rs->wft.attempt);
    tl_rs_buffer_clear(rs);
    tl_set_blob(&rs->start_event, (struct tl_str){NULL, 0});
}

static tl_rc apply_closed(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                          struct tl_arena *scratch, struct tl_error *err)
{
    if ((rs->kind == TL_RUN_ACTIVITY && !tl_rs_execution_closed(rs, e, scratch)) ||
        (rs->kind == TL_RUN_OPERATION && !tl_rs_operation_over(rs, e, scratch))) {
        return encode_failed(e, err);
    }
    switch ((int)e->event_type) {
    case EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
        close_run(rs, e, WORKFLOW_EXECUTION_STATUS_COMPLETED,
                  e->workflow_execution_completed_event_attributes->new_execution_run_id);
        break;
    case EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
        close_run(rs, e, WORKFLOW_EXECUTION_STATUS_FAILED,
                  e->workflow_execution_failed_event_attributes->new_execution_run_id);
        break;
    case EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT:
        close_run(rs, e, WORKFLOW_EXECUTION_STATUS_TIMED_OUT,
                  e->workflow_execution_timed_out_event_attributes->new_execution_run_id);
        break;
    case EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
        close_run(rs, e, WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW,
                  e->workflow_execution_continued_as_new_event_attributes->new_execution_run_id);
        break;
    case EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED:
        close_run(rs, e, WORKFLOW_EXECUTION_STATUS_CANCELED, NULL);
        break;
    default:
        close_run(rs, e, WORKFLOW_EXECUTION_STATUS_TERMINATED, NULL);
        break;
    }
    return TL_OK;
}

/* --- table ----------------------------------------------------------------------------------- */

#define ROW(NAME, fn)                                                                              \
    {                                                                                              \
        EVENT_TYPE_##NAME, TP_HISTORY__HISTORY_EVENT__ATTRIBUTES_##NAME##_EVENT_ATTRIBUTES, fn     \
    }

/* Types without a row (markers, ActivityTaskStarted) change nothing but the history. */
static const struct {
    int type;
    TpHistory__HistoryEvent__AttributesCase attributes;
    apply_fn fn;
} APPLY[] = {
    ROW(WORKFLOW_EXECUTION_STARTED, apply_started),
    ROW(WORKFLOW_TASK_SCHEDULED, apply_task_scheduled),
    ROW(WORKFLOW_TASK_STARTED, apply_task_started),
    ROW(WORKFLOW_TASK_COMPLETED, apply_task_completed),
    ROW(WORKFLOW_TASK_FAILED, apply_task_lost),
    ROW(WORKFLOW_TASK_TIMED_OUT, apply_task_lost),
    ROW(ACTIVITY_TASK_SCHEDULED, apply_activity_scheduled),
    ROW(ACTIVITY_TASK_COMPLETED, apply_activity_completed),
    ROW(ACTIVITY_TASK_FAILED, apply_activity_failed),
    ROW(ACTIVITY_TASK_TIMED_OUT, apply_activity_timed_out),
    ROW(ACTIVITY_TASK_CANCELED, apply_activity_canceled),
    ROW(ACTIVITY_TASK_CANCEL_REQUESTED, apply_activity_cancel_requested),
    ROW(TIMER_STARTED, apply_timer_started),
    ROW(TIMER_FIRED, apply_timer_fired),
    ROW(TIMER_CANCELED, apply_timer_canceled),
    ROW(WORKFLOW_EXECUTION_SIGNALED, apply_signaled),
    ROW(WORKFLOW_EXECUTION_CANCEL_REQUESTED, apply_cancel_requested),
    ROW(START_CHILD_WORKFLOW_EXECUTION_INITIATED, tl_apply_child_initiated),
    ROW(START_CHILD_WORKFLOW_EXECUTION_FAILED, tl_apply_child_over),
    ROW(CHILD_WORKFLOW_EXECUTION_STARTED, tl_apply_child_started),
    ROW(CHILD_WORKFLOW_EXECUTION_COMPLETED, tl_apply_child_over),
    ROW(CHILD_WORKFLOW_EXECUTION_FAILED, tl_apply_child_over),
    ROW(CHILD_WORKFLOW_EXECUTION_CANCELED, tl_apply_child_over),
    ROW(CHILD_WORKFLOW_EXECUTION_TIMED_OUT, tl_apply_child_over),
    ROW(CHILD_WORKFLOW_EXECUTION_TERMINATED, tl_apply_child_over),
    ROW(SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED, tl_apply_external_initiated),
    ROW(SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED, tl_apply_external_over),
    ROW(EXTERNAL_WORKFLOW_EXECUTION_SIGNALED, tl_apply_external_over),
    ROW(REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED, tl_apply_external_initiated),
    ROW(REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED, tl_apply_external_over),
    ROW(EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED, tl_apply_external_over),
    ROW(NEXUS_OPERATION_SCHEDULED, tl_apply_nexus_scheduled),
    ROW(NEXUS_OPERATION_STARTED, tl_apply_nexus_started),
    ROW(NEXUS_OPERATION_COMPLETED, tl_apply_nexus_over),
    ROW(NEXUS_OPERATION_FAILED, tl_apply_nexus_over),
    ROW(NEXUS_OPERATION_CANCELED, tl_apply_nexus_over),
    ROW(NEXUS_OPERATION_TIMED_OUT, tl_apply_nexus_over),
    ROW(NEXUS_OPERATION_CANCEL_REQUESTED, tl_apply_nexus_cancel_requested),
    ROW(NEXUS_OPERATION_CANCEL_REQUEST_COMPLETED, tl_apply_nexus_cancel_over),
    ROW(NEXUS_OPERATION_CANCEL_REQUEST_FAILED, tl_apply_nexus_cancel_over),
    ROW(WORKFLOW_EXECUTION_OPTIONS_UPDATED, tl_apply_options_updated),
    ROW(WORKFLOW_EXECUTION_TIME_SKIPPING_TRANSITIONED, tl_apply_time_skipped),
    ROW(WORKFLOW_EXECUTION_PAUSED, tl_apply_paused),
    ROW(WORKFLOW_EXECUTION_UNPAUSED, tl_apply_unpaused),
    ROW(UPSERT_WORKFLOW_SEARCH_ATTRIBUTES, apply_search_attributes),
    ROW(WORKFLOW_PROPERTIES_MODIFIED, apply_properties),
    ROW(WORKFLOW_EXECUTION_UPDATE_ADMITTED, apply_update_admitted),
    ROW(WORKFLOW_EXECUTION_UPDATE_ACCEPTED, apply_update_accepted),
    ROW(WORKFLOW_EXECUTION_UPDATE_COMPLETED, apply_update_completed),
    ROW(WORKFLOW_EXECUTION_COMPLETED, apply_closed),
    ROW(WORKFLOW_EXECUTION_FAILED, apply_closed),
    ROW(WORKFLOW_EXECUTION_TIMED_OUT, apply_closed),
    ROW(WORKFLOW_EXECUTION_CONTINUED_AS_NEW, apply_closed),
    ROW(WORKFLOW_EXECUTION_CANCELED, apply_closed),
    ROW(WORKFLOW_EXECUTION_TERMINATED, apply_closed),
};
#undef ROW

tl_rc tl_rs_apply_event(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                        struct tl_arena *scratch, struct tl_error *err)
{
    for (size_t i = 0; i < sizeof(APPLY) / sizeof(APPLY[0]); i++) {
        if (APPLY[i].type == (int)e->event_type) {
            if (APPLY[i].attributes != e->attributes_case) {
                return tl_error_set(err, TL_EDECODE, "event %lld has no attributes of its type",
                                    (long long)e->event_id);
            }
            tl_rc rc = APPLY[i].fn(rs, e, scratch, err);
            if (rc == TL_OK && rs->pause_untold && !tl_pause_tell(rs, scratch)) {
                rc = tl_error_set(err, TL_ELIMIT, "event %lld: no memory", (long long)e->event_id);
            }
            return rc;
        }
    }
    return TL_OK;
}
