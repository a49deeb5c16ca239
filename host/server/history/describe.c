/* What DescribeWorkflowExecution and the visibility rows show of a run.
 * Thread: the run's owner. Owns: results live in the arena; tl_rs_info gives views. */
#include "server/history/describe_out.h"
#include "server/history/execution.h"
#include "server/history/operation.h"

static struct tl_str view(const char *s)
{
    return tl_str(tl_or_empty(s));
}

void tl_rs_info(const struct tl_rs *rs, struct tl_rs_info *out)
{
    const struct tl_wft *w = &rs->wft;
    const struct tl_act *act = rs->kind == TL_RUN_ACTIVITY ? tl_execution_act(rs) : NULL;
    const struct tl_nexus_op *op = rs->kind == TL_RUN_OPERATION ? tl_operation_op(rs) : NULL;
    *out = (struct tl_rs_info){
        .id = {rs->run_number, rs->namespace_number, view(rs->namespace_name),
               view(rs->namespace_id), view(rs->workflow_id), view(rs->run_id), rs->kind},
        .workflow_type = view(rs->workflow_type),
        .task_queue = view(act ? act->task_queue : rs->task_queue),
        .first_run_id = view(rs->first_run_id),
        .original_run_id = view(rs->original_run_id),
        .continued_run_id = view(rs->continued_run_id),
        .new_run_id = view(rs->new_run_id),
        .endpoint = view(op ? op->endpoint : NULL),
        .service = view(op ? op->service : NULL),
        .start_request_id = view(rs->start_request_id),
        .cron_schedule = view(rs->cron_schedule),
        .memo = tl_blob_str(&rs->memo),
        .search_attributes = tl_blob_str(&rs->search_attributes),
        .priority = tl_blob_str(&rs->priority),
        .status = tl_rs_paused(rs) || tl_execution_paused(rs) ? WORKFLOW_EXECUTION_STATUS_PAUSED
                                                              : rs->status,
        .closed = rs->close_event_id != 0,
        .start_ns = rs->start_ns,
        .skipped_ns = rs->skipping.skipped_ns,
        .execution_ns = tl_ns_add(rs->start_ns, act ? act->start_delay_ns : rs->first_backoff_ns),
        .close_ns = rs->close_ns,
        .next_event_id = rs->next_event_id,
        .close_event_id = rs->close_event_id,
        .history_length = rs->next_event_id - 1,
        .history_bytes = rs->history_bytes,
        .last_log_id = rs->last_log_id,
        .state_transition_count = rs->record_count,
        .version = rs->version,
        /* Pauses and new options of an activity execution raise the stamp. */
        .visibility_version = rs->visibility_changes + (act ? (int64_t)act->stamp : 0),
        .cancel_requested = rs->cancel_requested,
        .wft_pending = w->scheduled_id != 0,
        .wft_started = w->started_id != 0,
        .wft_started_volatile = w->started_id != 0 && w->started_volatile,
        .wft_scheduled_id = w->scheduled_id,
        .wft_scheduled_ns = w->scheduled_ns,
        .wft_started_id = w->started_id,
        .wft_attempt = w->attempt,
        .wft_sticky = w->sticky && !w->unstuck && rs->sticky_queue,
        .sticky_queue = tl_rs_is_sticky(rs) ? view(rs->sticky_queue) : tl_str(""),
        .previous_started_event_id = rs->previous_started_id,
        .ever_completed_wft = rs->previous_started_id > 0,
        .pending_activities = rs->acts ? rs->acts->count : 0,
        .pending_timers = rs->timers ? rs->timers->count : 0,
        .pending_children = rs->children ? rs->children->count : 0,
        .pending_signals = rs->pending_signals,
        .pending_cancels = rs->pending_cancels,
        .pending_nexus = rs->nexus_ops ? rs->nexus_ops->count : 0,
        .parent_workflow_id = view(rs->parent.workflow_id),
        .parent_run_id = view(rs->parent.run_id),
        .root_workflow_id =
            view(rs->parent.workflow_id ? rs->parent.root_workflow_id : rs->workflow_id),
        .root_run_id = view(rs->parent.workflow_id ? rs->parent.root_run_id : rs->run_id),
        .buffered_events = rs->buffer_n,
        .buffered_queries = rs->query_n,
    };
}

static size_t text_bytes(const char *s)
{
    return s ? tl_str(s).n + 17 : 0; /* with malloc's header */
}

size_t tl_rs_bytes(const struct tl_rs *rs)
{
    size_t n = sizeof(*rs) + rs->cached_bytes + rs->buffer_bytes;
    n += rs->batch_cap * sizeof(rs->batches[0]) + rs->buffer_cap * sizeof(rs->buffer[0]);
    n += rs->heap.cap * sizeof(void *) + rs->query_cap * sizeof(rs->queries[0]);
    n += text_bytes(rs->namespace_name) + text_bytes(rs->namespace_id) +
         text_bytes(rs->workflow_id) + text_bytes(rs->run_id) + text_bytes(rs->workflow_type) +
         text_bytes(rs->task_queue) + text_bytes(rs->first_run_id) +
         text_bytes(rs->original_run_id) + text_bytes(rs->start_request_id) +
         text_bytes(rs->sticky_queue);
    n += rs->memo.n + rs->search_attributes.n + rs->start_event.n + rs->retry_policy.n;
    if (rs->acts) {
        TL_MAP_EACH (e, rs->acts) {
            const struct tl_act *act = e->value;
            n += sizeof(*act) + 200 + act->attributes.n + act->last_failure.n + act->heartbeat.n;
        }
    }
    n += rs->timers ? rs->timers->count * (sizeof(struct tl_timer) + 120) : 0;
    n += tl_rs_updates_total(rs) * (sizeof(struct tl_update) + 160);
    n += rs->signal_ids ? rs->signal_ids->count * 110 : 0;
    n += tl_rs_children_bytes(rs) + tl_rs_others_bytes(rs) + tl_rs_nexus_bytes(rs);
    return n;
}

/* --- describe -------------------------------------------------------------------------------- */

static TpTq__TaskQueue *queue_of(struct tl_out *o, const char *name)
{
    TpTq__TaskQueue *q = tl_out_check(o, TL_PB_NEW(o->a, TpTq__TaskQueue, tp_tq__task_queue));
    if (q) {
        q->name = tl_out_copy(o, name);
        q->kind = (TpEnums__TaskQueueKind)TASK_QUEUE_KIND_NORMAL;
    }
    return q;
}

static TpCommon__WorkflowExecution *execution_of(struct tl_out *o, const char *workflow_id,
                                                 const char *run_id)
{
    TpCommon__WorkflowExecution *e = tl_out_check(
        o, TL_PB_NEW(o->a, TpCommon__WorkflowExecution, tp_common__workflow_execution));
    if (e) {
        e->workflow_id = tl_out_copy(o, workflow_id);
        e->run_id = tl_out_copy(o, run_id);
    }
    return e;
}

static TpWorkflow__WorkflowExecutionVersioningInfo *versioning_of(struct tl_out *o,
                                                                  const struct tl_rs *rs)
{
    struct tl_rs_versioning v;
    struct tl_str name, build_id;
    tl_rs_versioning(rs, &v);
    if (rs->versioning_behavior == 0 && !rs->versioning_override.n && !v.moving) {
        return NULL;
    }
    TpWorkflow__WorkflowExecutionVersioningInfo *i =
        tl_out_check(o, TL_PB_NEW(o->a, TpWorkflow__WorkflowExecutionVersioningInfo,
                                  tp_workflow__workflow_execution_versioning_info));
    if (!i) {
        return NULL;
    }
    i->behavior = (TpEnums__VersioningBehavior)rs->versioning_behavior;
    if (tl_version_split(v.ran_on, &name, &build_id)) {
        i->deployment_version = tl_out_check(o, tl_version_message(v.ran_on, o->a));
        i->version = tl_out_check(
            o, tl_arena_printf(o->a, "%.*s.%.*s", TL_STR_FMT(name), TL_STR_FMT(build_id)));
    }
    i->versioning_override =
        tl_out_decode(o, &rs->versioning_override, &tp_workflow__versioning_override__descriptor);
    if (v.moving) {
        i->version_transition =
            tl_out_check(o, TL_PB_NEW(o->a, TpWorkflow__DeploymentVersionTransition,
                                      tp_workflow__deployment_version_transition));
        if (i->version_transition && v.target.n) {
            i->version_transition->deployment_version =
                tl_out_check(o, tl_version_message(v.target, o->a));
        }
    }
    return i;
}

/* Its first events are those of another run. */
static bool came_of_reset(const struct tl_rs *rs)
{
    return tl_has_text(rs->original_run_id) && strcmp(rs->original_run_id, rs->run_id) != 0;
}

static void fill_info(struct tl_out *o, const struct tl_rs *rs,
                      TpWorkflow__WorkflowExecutionInfo *i)
{
    i->execution = execution_of(o, rs->workflow_id, rs->run_id);
    const struct tl_parent *p = &rs->parent;
    if (p->workflow_id) {
        i->parent_namespace_id = tl_out_copy(o, p->namespace_id);
        i->parent_execution = execution_of(o, p->workflow_id, p->run_id);
        i->root_execution = execution_of(o, p->root_workflow_id, p->root_run_id);
    } else {
        i->root_execution = execution_of(o, rs->workflow_id, rs->run_id);
    }
    i->type = tl_out_check(o, TL_PB_NEW(o->a, TpCommon__WorkflowType, tp_common__workflow_type));
    if (i->type) {
        i->type->name = tl_out_copy(o, rs->workflow_type);
    }
    i->start_time = tl_out_time(o, rs->start_ns);
    i->execution_time = tl_out_time(o, tl_ns_add(rs->start_ns, rs->first_backoff_ns));
    i->close_time = tl_out_time(o, rs->close_ns);
    i->status =
        (TpEnums__WorkflowExecutionStatus)(tl_rs_paused(rs) ? WORKFLOW_EXECUTION_STATUS_PAUSED
                                                            : rs->status);
    i->history_length = rs->next_event_id - 1;
    i->history_size_bytes = rs->history_bytes;
    i->state_transition_count = rs->record_count;
    i->task_queue = tl_out_copy(o, rs->task_queue);
    i->first_run_id = tl_out_copy(o, rs->first_run_id);
    i->memo = tl_out_decode(o, &rs->memo, &tp_common__memo__descriptor);
    i->search_attributes =
        tl_out_decode(o, &rs->search_attributes, &tp_common__search_attributes__descriptor);
    /* Both are told even when they are empty. */
    if (!i->memo) {
        i->memo = tl_out_check(o, TL_PB_NEW(o->a, TpCommon__Memo, tp_common__memo));
    }
    if (!i->search_attributes) {
        i->search_attributes = tl_out_check(
            o, TL_PB_NEW(o->a, TpCommon__SearchAttributes, tp_common__search_attributes));
    }
    i->priority = tl_out_decode(o, &rs->priority, &tp_common__priority__descriptor);
    i->worker_deployment_name = tl_out_copy(o, rs->deployment_name);
    i->versioning_info = versioning_of(o, rs);
    if (rs->close_ns > 0) {
        i->execution_duration =
            tl_out_span(o, rs->close_ns - tl_ns_add(rs->start_ns, rs->first_backoff_ns));
    }
}

static void fill_config(struct tl_out *o, const struct tl_rs *rs,
                        TpWorkflow__WorkflowExecutionConfig *c)
{
    c->task_queue = queue_of(o, rs->task_queue);
    c->workflow_execution_timeout = tl_out_span(o, rs->execution_timeout_ns);
    c->workflow_run_timeout = tl_out_span(o, rs->run_timeout_ns);
    c->default_workflow_task_timeout = tl_out_span(o, rs->task_timeout_ns);
    c->user_metadata = tl_out_decode(o, &rs->user_metadata, &tp_sdk__user_metadata__descriptor);
}

/* The request that started the run; those of signals are not told. */
static void fill_request_ids(struct tl_out *o, const struct tl_rs *rs,
                             TpWorkflow__WorkflowExecutionExtendedInfo *x)
{
    struct tl_pb_list list = {0};
    if (!tl_has_text(rs->start_request_id)) {
        return;
    }
    TpWorkflow__WorkflowExecutionExtendedInfo__RequestIdInfosEntry *e = tl_out_check(
        o, TL_PB_NEW(o->a, TpWorkflow__WorkflowExecutionExtendedInfo__RequestIdInfosEntry,
                     tp_workflow__workflow_execution_extended_info__request_id_infos_entry));
    TpWorkflow__RequestIdInfo *info =
        tl_out_check(o, TL_PB_NEW(o->a, TpWorkflow__RequestIdInfo, tp_workflow__request_id_info));
    if (!e || !info || !tl_pb_push(o->a, &list, e)) {
        o->full = true;
        return;
    }
    e->key = tl_out_copy(o, rs->start_request_id);
    e->value = info;
    info->event_type = (TpEnums__EventType)EVENT_TYPE_WORKFLOW_EXECUTION_STARTED;
    info->event_id = 1;
    x->n_request_id_infos = list.n;
    x->request_id_infos = list.items;
}

static void fill_extended(struct tl_out *o, const struct tl_rs *rs,
                          TpWorkflow__WorkflowExecutionExtendedInfo *x)
{
    fill_request_ids(o, rs, x);
    x->execution_expiration_time = tl_out_time(o, rs->execution_expiration_ns);
    x->run_expiration_time = tl_out_time(o, rs->run_expiration_ns);
    x->cancel_requested = rs->cancel_requested;
    x->original_start_time = tl_out_time(o, rs->start_ns);
    x->last_reset_time = came_of_reset(rs) ? tl_out_time(o, rs->start_ns) : NULL;
    if (tl_rs_paused(rs)) {
        x->pause_info = tl_out_check(o, TL_PB_NEW(o->a, TpWorkflow__WorkflowExecutionPauseInfo,
                                                  tp_workflow__workflow_execution_pause_info));
    }
    if (x->pause_info) {
        x->pause_info->identity = tl_out_copy(o, rs->pause.identity);
        x->pause_info->reason = tl_out_copy(o, rs->pause.reason);
        x->pause_info->paused_time = tl_out_time(o, rs->pause.at_ns);
    }
}

static TpWorkflow__PendingWorkflowTaskInfo *task_of(struct tl_out *o, const struct tl_rs *rs)
{
    const struct tl_wft *w = &rs->wft;
    TpWorkflow__PendingWorkflowTaskInfo *t =
        tl_out_check(o, TL_PB_NEW(o->a, TpWorkflow__PendingWorkflowTaskInfo,
                                  tp_workflow__pending_workflow_task_info));
    if (t) {
        t->state = (TpEnums__PendingWorkflowTaskState)(w->started_id
                                                           ? PENDING_WORKFLOW_TASK_STATE_STARTED
                                                           : PENDING_WORKFLOW_TASK_STATE_SCHEDULED);
        t->scheduled_time = tl_out_time(o, w->scheduled_ns);
        t->original_scheduled_time = tl_out_time(o, w->original_ns);
        t->started_time = tl_out_time(o, w->started_ns);
        t->attempt = w->attempt;
    }
    return t;
}

static int state_of(const struct tl_act *act)
{
    if (act->cancel_requested) {
        return PENDING_ACTIVITY_STATE_CANCEL_REQUESTED;
    }
    if (act->paused) {
        return act->started ? PENDING_ACTIVITY_STATE_PAUSE_REQUESTED
                            : PENDING_ACTIVITY_STATE_PAUSED;
    }
    return act->started ? PENDING_ACTIVITY_STATE_STARTED : PENDING_ACTIVITY_STATE_SCHEDULED;
}

static void fill_pause(struct tl_out *o, const struct tl_act *act,
                       TpWorkflow__PendingActivityInfo *p)
{
    TpWorkflow__PendingActivityInfo__PauseInfo *info =
        tl_out_check(o, TL_PB_NEW(o->a, TpWorkflow__PendingActivityInfo__PauseInfo,
                                  tp_workflow__pending_activity_info__pause_info));
    TpWorkflow__PendingActivityInfo__PauseInfo__Manual *by =
        tl_out_check(o, TL_PB_NEW(o->a, TpWorkflow__PendingActivityInfo__PauseInfo__Manual,
                                  tp_workflow__pending_activity_info__pause_info__manual));
    if (!info || !by) {
        return;
    }
    info->pause_time = tl_out_time(o, act->pause_ns);
    by->identity = tl_out_copy(o, act->pause_identity);
    by->reason = tl_out_copy(o, act->pause_reason);
    info->paused_by_case = TP_WORKFLOW__PENDING_ACTIVITY_INFO__PAUSE_INFO__PAUSED_BY_MANUAL;
    info->manual = by;
    p->paused = true;
    p->pause_info = info;
}

static void fill_activity_options(struct tl_out *o, const struct tl_act *act,
                                  const TpHistory__ActivityTaskScheduledEventAttributes *attrs,
                                  TpWorkflow__PendingActivityInfo *p)
{
    TpActivity__ActivityOptions *x = tl_out_check(
        o, TL_PB_NEW(o->a, TpActivity__ActivityOptions, tp_activity__activity_options));
    if (!x) {
        return;
    }
    x->task_queue = queue_of(o, act->task_queue);
    x->schedule_to_close_timeout = attrs->schedule_to_close_timeout;
    x->schedule_to_start_timeout = attrs->schedule_to_start_timeout;
    x->start_to_close_timeout = attrs->start_to_close_timeout;
    x->heartbeat_timeout = attrs->heartbeat_timeout;
    x->retry_policy = attrs->retry_policy;
    x->priority = attrs->priority;
    p->activity_options = x;
}

static TpWorkflow__PendingActivityInfo *activity_of(struct tl_out *o, const struct tl_act *act,
                                                    int64_t now_ns)
{
    TpWorkflow__PendingActivityInfo *p = tl_out_check(
        o, TL_PB_NEW(o->a, TpWorkflow__PendingActivityInfo, tp_workflow__pending_activity_info));
    TpHistory__ActivityTaskScheduledEventAttributes *attrs = tl_out_decode(
        o, &act->attributes, &tp_history__activity_task_scheduled_event_attributes__descriptor);
    if (!p || !attrs) {
        o->full = true;
        return NULL;
    }
    p->activity_id = tl_out_copy(o, act->activity_id);
    p->activity_type = attrs->activity_type;
    p->state = (TpEnums__PendingActivityState)state_of(act);
    p->attempt = act->attempt;
    p->maximum_attempts = act->retry_attempts_max;
    p->scheduled_time = tl_out_time(o, act->attempt_ns);
    p->last_started_time = tl_out_time(o, act->started_ns);
    p->last_attempt_complete_time = tl_out_time(o, act->last_completed_ns);
    p->last_failure = tl_out_decode(o, &act->last_failure, &tp_failure__failure__descriptor);
    p->last_worker_identity =
        tl_out_copy(o, tl_has_text(act->identity) ? act->identity : act->last_identity);
    p->priority = attrs->priority;
    if (act->heartbeat_ns > 0) {
        p->last_heartbeat_time = tl_out_time(o, act->heartbeat_ns);
        p->heartbeat_details = tl_out_decode(o, &act->heartbeat, &tp_common__payloads__descriptor);
    }
    if (act->schedule_to_close_ns > 0) {
        p->expiration_time =
            tl_out_time(o, tl_ns_add(act->scheduled_ns, act->schedule_to_close_ns));
    }
    if (act->paused) {
        fill_pause(o, act, p);
    }
    if (!act->started && !act->paused && now_ns < act->attempt_ns) {
        p->next_attempt_schedule_time = tl_out_time(o, act->attempt_ns);
        p->current_retry_interval = tl_out_span(
            o, act->attempt_ns - (act->last_completed_ns ? act->last_completed_ns : now_ns));
    }
    fill_activity_options(o, act, attrs, p);
    return p;
}

static void fill_activities(struct tl_out *o, const struct tl_rs *rs, int64_t now_ns,
                            TpWs__DescribeWorkflowExecutionResponse *out)
{
    struct tl_pb_list list = {0};
    if (!rs->acts) {
        return;
    }
    TL_MAP_EACH (e, rs->acts) {
        TpWorkflow__PendingActivityInfo *p = activity_of(o, e->value, now_ns);
        if (!p || !tl_pb_push(o->a, &list, p)) {
            o->full = true;
            return;
        }
    }
    out->n_pending_activities = list.n;
    out->pending_activities = list.items;
}

static void fill_children(struct tl_out *o, const struct tl_rs *rs,
                          TpWs__DescribeWorkflowExecutionResponse *out)
{
    struct tl_pb_list list = {0};
    if (!rs->children) {
        return;
    }
    TL_MAP_EACH (e, rs->children) {
        const struct tl_child *c = e->value;
        TpWorkflow__PendingChildExecutionInfo *p =
            tl_out_check(o, TL_PB_NEW(o->a, TpWorkflow__PendingChildExecutionInfo,
                                      tp_workflow__pending_child_execution_info));
        if (!p || !tl_pb_push(o->a, &list, p)) {
            o->full = true;
            return;
        }
        p->workflow_id = tl_out_copy(o, c->workflow_id);
        p->run_id = tl_out_copy(o, c->run_id);
        p->workflow_type_name = tl_out_copy(o, c->workflow_type);
        p->initiated_id = c->initiated_id;
        p->parent_close_policy = (TpEnums__ParentClosePolicy)c->close_policy;
    }
    out->n_pending_children = list.n;
    out->pending_children = list.items;
}

tl_rc tl_rs_describe(const struct tl_rs *rs, int64_t now_ns, struct tl_arena *arena,
                     TpWs__DescribeWorkflowExecutionResponse *out, struct tl_error *err)
{
    struct tl_out o = {arena, false};
    now_ns = tl_rs_time_ns(rs, now_ns);
    out->workflow_execution_info =
        tl_out_check(&o, TL_PB_NEW(arena, TpWorkflow__WorkflowExecutionInfo,
                                   tp_workflow__workflow_execution_info));
    out->execution_config = tl_out_check(&o, TL_PB_NEW(arena, TpWorkflow__WorkflowExecutionConfig,
                                                       tp_workflow__workflow_execution_config));
    out->workflow_extended_info =
        tl_out_check(&o, TL_PB_NEW(arena, TpWorkflow__WorkflowExecutionExtendedInfo,
                                   tp_workflow__workflow_execution_extended_info));
    if (!o.full) {
        fill_info(&o, rs, out->workflow_execution_info);
        fill_config(&o, rs, out->execution_config);
        fill_extended(&o, rs, out->workflow_extended_info);
        out->workflow_extended_info->time_skipping_info =
            tl_skipping_describe(rs, now_ns, arena, &o.full);
        fill_activities(&o, rs, now_ns, out);
        fill_children(&o, rs, out);
        if (rs->wft.scheduled_id) {
            out->pending_workflow_task = task_of(&o, rs);
        }
    }
    tl_rc rc = tl_rs_nexus_describe(rs, now_ns, arena, out, err);
    if (rc == TL_OK) {
        rc = tl_rs_callbacks_describe(rs, arena, out, err);
    }
    return rc == TL_OK && o.full ? tl_error_set(err, TL_ELIMIT, "no memory to describe the run")
                                 : rc;
}
