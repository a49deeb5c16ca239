/* What clients are told of an activity execution. See activity_execution.h. Thread: the run's owner. */
#include "server/history/describe_out.h"
#include "server/history/execution.h"

static int run_state(const struct tl_rs *rs, const struct tl_act *act)
{
    if (!tl_rs_open(rs)) {
        return PENDING_ACTIVITY_STATE_UNSPECIFIED;
    }
    if (act->cancel_requested) {
        return PENDING_ACTIVITY_STATE_CANCEL_REQUESTED;
    }
    if (act->paused) {
        return act->started ? PENDING_ACTIVITY_STATE_PAUSE_REQUESTED
                            : PENDING_ACTIVITY_STATE_PAUSED;
    }
    return act->started ? PENDING_ACTIVITY_STATE_STARTED : PENDING_ACTIVITY_STATE_SCHEDULED;
}

static void fill_options(struct tl_out *o, const struct tl_act *act,
                         const TpHistory__ActivityTaskScheduledEventAttributes *attrs,
                         TpActivity__ActivityExecutionInfo *i)
{
    i->activity_type = attrs->activity_type;
    i->header = attrs->header;
    i->retry_policy = attrs->retry_policy;
    i->priority = attrs->priority;
    i->task_queue = tl_out_copy(o, act->task_queue);
    i->schedule_to_close_timeout = tl_out_span(o, act->schedule_to_close_ns);
    i->schedule_to_start_timeout = tl_out_span(o, act->schedule_to_start_ns);
    i->start_to_close_timeout = tl_out_span(o, act->start_to_close_ns);
    i->heartbeat_timeout = tl_out_span(o, act->heartbeat_timeout_ns);
    i->start_delay = act->start_delay_ns ? tl_out_span(o, act->start_delay_ns) : NULL;
}

static void fill_times(struct tl_out *o, const struct tl_rs *rs, const struct tl_act *act,
                       int64_t now_ns, TpActivity__ActivityExecutionInfo *i)
{
    int64_t first_ns = tl_ns_add(act->scheduled_ns, act->start_delay_ns);
    bool waits = tl_rs_open(rs) && !act->started && !act->paused && act->attempt_ns > now_ns;
    i->schedule_time = tl_out_time(o, act->scheduled_ns);
    i->execution_time = tl_out_time(o, first_ns);
    i->close_time = tl_out_time(o, rs->close_ns);
    i->execution_duration = rs->close_ns ? tl_out_span(o, rs->close_ns - act->scheduled_ns) : NULL;
    i->expiration_time = act->schedule_to_close_ns > 0
                             ? tl_out_time(o, tl_ns_add(first_ns, act->schedule_to_close_ns))
                             : NULL;
    i->last_started_time = tl_out_time(o, act->last_started_ns);
    i->last_attempt_complete_time = tl_out_time(o, act->last_completed_ns);
    i->last_heartbeat_time = tl_out_time(o, act->heartbeat_ns);
    i->next_attempt_schedule_time = waits ? tl_out_time(o, act->attempt_ns) : NULL;
    i->current_retry_interval =
        waits && act->retry_interval_ns > 0 ? tl_out_span(o, act->retry_interval_ns) : NULL;
}

static void fill_links(struct tl_out *o, const TlV1__ActivityExecutionState *state,
                       TpActivity__ActivityExecutionInfo *i)
{
    struct tl_pb_list list = {0};
    for (size_t k = 0; k < state->n_links; k++) {
        TpHistory__HistoryEvent *e = NULL;
        if (tl_pb_decode(&tp_history__history_event__descriptor, tl_pb_str(state->links[k]), o->a,
                         &e, NULL) != TL_OK) {
            o->full = true;
            return;
        }
        for (size_t n = 0; n < e->n_links; n++) {
            o->full |= !tl_pb_push(o->a, &list, e->links[n]);
        }
    }
    i->n_links = list.n;
    i->links = list.items;
}

static TpActivity__ActivityExecutionInfo *info_of(struct tl_out *o, const struct tl_rs *rs,
                                                  const struct tl_act *act, int64_t now_ns,
                                                  const TpWs__DescribeActivityExecutionRequest *req)
{
    TpActivity__ActivityExecutionInfo *i =
        tl_out_check(o, TL_PB_NEW(o->a, TpActivity__ActivityExecutionInfo,
                                  tp_activity__activity_execution_info));
    const TpHistory__ActivityTaskScheduledEventAttributes *attrs = tl_out_decode(
        o, &act->attributes, &tp_history__activity_task_scheduled_event_attributes__descriptor);
    const TlV1__ActivityExecutionState *state = tl_out_check(o, tl_execution_state(rs, o->a));
    struct tl_rs_info info;
    if (!i || !attrs || !state) {
        return NULL;
    }
    tl_rs_info(rs, &info);
    i->activity_id = tl_out_copy(o, rs->workflow_id);
    i->run_id = tl_out_copy(o, rs->run_id);
    i->status = (TpEnums__ActivityExecutionStatus)tl_activity_execution_status(info.status);
    i->run_state = (TpEnums__PendingActivityState)run_state(rs, act);
    i->attempt = act->attempt;
    i->total_heartbeat_count = act->heartbeat_count;
    i->last_worker_identity = tl_out_copy(o, act->started ? act->identity : act->last_identity);
    i->state_transition_count = rs->record_count;
    i->state_size_bytes = (int64_t)tl_rs_bytes(rs);
    i->user_metadata = tl_out_decode(o, &rs->user_metadata, &tp_sdk__user_metadata__descriptor);
    i->search_attributes =
        rs->search_attributes.n
            ? tl_out_decode(o, &rs->search_attributes, &tp_common__search_attributes__descriptor)
            : tl_out_check(
                  o, TL_PB_NEW(o->a, TpCommon__SearchAttributes, tp_common__search_attributes));
    i->canceled_reason = tl_out_copy(o, state->cancel_reason);
    i->propagated_nexus_serialization_context = tl_rs_activity_execution_context(rs, o->a);
    if (req->include_heartbeat_details) {
        i->heartbeat_details = tl_out_decode(o, &act->heartbeat, &tp_common__payloads__descriptor);
    }
    if (req->include_last_failure) {
        i->last_failure = tl_out_decode(o, &act->last_failure, &tp_failure__failure__descriptor);
    }
    fill_options(o, act, attrs, i);
    fill_times(o, rs, act, now_ns, i);
    fill_links(o, state, i);
    return i;
}

static TpActivity__CallbackInfo *callback_of(struct tl_out *o, const struct tl_rs *rs,
                                             const struct tl_callback *c)
{
    TpActivity__CallbackInfo *i =
        tl_out_check(o, TL_PB_NEW(o->a, TpActivity__CallbackInfo, tp_activity__callback_info));
    TpActivity__CallbackInfo__Trigger *t = tl_out_check(
        o, TL_PB_NEW(o->a, TpActivity__CallbackInfo__Trigger, tp_activity__callback_info__trigger));
    TpActivity__CallbackInfo__ActivityClosed *closed =
        tl_out_check(o, TL_PB_NEW(o->a, TpActivity__CallbackInfo__ActivityClosed,
                                  tp_activity__callback_info__activity_closed));
    TpCallback__CallbackInfo *info =
        tl_out_check(o, TL_PB_NEW(o->a, TpCallback__CallbackInfo, tp_callback__callback_info));
    if (!i || !t || !closed || !info) {
        return NULL;
    }
    t->variant_case = TP_ACTIVITY__CALLBACK_INFO__TRIGGER__VARIANT_ACTIVITY_CLOSED;
    t->activity_closed = closed;
    i->trigger = t;
    i->info = info;
    bool told = !tl_rs_open(rs); /* carried out with the commit of the close */
    info->callback = tl_out_decode(o, &c->callback, &tp_common__callback__descriptor);
    info->registration_time = tl_out_time(o, c->registered_ns);
    info->request_id = tl_out_copy(o, c->request_id ? c->request_id : rs->start_request_id);
    info->state =
        (TpEnums__CallbackState)(told ? CALLBACK_STATE_SUCCEEDED : CALLBACK_STATE_STANDBY);
    info->attempt = told;
    info->last_attempt_complete_time = told ? tl_out_time(o, rs->close_ns) : NULL;
    return i;
}

TpActivity__ActivityExecutionOutcome *tl_rs_activity_execution_outcome(const struct tl_rs *rs,
                                                                       struct tl_arena *arena)
{
    return tl_rs_open(rs)
               ? NULL
               : tl_blob_decode(&rs->outcome, &tp_activity__activity_execution_outcome__descriptor,
                                arena);
}

TpNexus__PropagatedSerializationContext *tl_rs_activity_execution_context(const struct tl_rs *rs,
                                                                          struct tl_arena *arena)
{
    const TlV1__ActivityExecutionState *state = tl_execution_state(rs, arena);
    TpNexus__PropagatedSerializationContext *context = NULL;
    if (!state || !state->serialization_context.len ||
        tl_pb_decode(&tp_nexus__propagated_serialization_context__descriptor,
                     tl_pb_str(state->serialization_context), arena, &context, NULL) != TL_OK) {
        return NULL;
    }
    return context;
}

tl_rc tl_rs_activity_execution_describe(const struct tl_rs *rs, int64_t now_ns,
                                        const TpWs__DescribeActivityExecutionRequest *req,
                                        struct tl_arena *arena,
                                        TpWs__DescribeActivityExecutionResponse *out,
                                        struct tl_error *err)
{
    struct tl_out o = {.a = arena};
    struct tl_pb_list callbacks = {0};
    const struct tl_act *act = tl_execution_act(rs);
    if (!act) {
        return tl_error_set(err, TL_EDATALOSS, "the activity execution has no activity");
    }
    out->run_id = tl_out_copy(&o, rs->run_id);
    out->info = info_of(&o, rs, act, now_ns, req);
    if (req->include_input) {
        const TpHistory__ActivityTaskScheduledEventAttributes *attrs =
            tl_out_decode(&o, &act->attributes,
                          &tp_history__activity_task_scheduled_event_attributes__descriptor);
        out->input = attrs ? attrs->input : NULL;
    }
    if (req->include_outcome && !tl_rs_open(rs)) {
        out->outcome = tl_out_check(&o, tl_rs_activity_execution_outcome(rs, arena));
    }
    for (size_t i = 0; i < rs->callback_n; i++) {
        TpActivity__CallbackInfo *info = callback_of(&o, rs, &rs->callbacks[i]);
        o.full |= !info || !tl_pb_push(arena, &callbacks, info);
    }
    out->n_callbacks = callbacks.n;
    out->callbacks = callbacks.items;
    return o.full ? tl_error_set(err, TL_ELIMIT, "no memory to describe the activity") : TL_OK;
}
