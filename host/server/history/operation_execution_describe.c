/* What clients are told of an operation execution. See operation_execution.h. Thread: the run's owner. */
#include "server/history/describe_out.h"
#include "server/history/operation.h"

static void fill_links(struct tl_out *o, const TlV1__OperationExecutionState *state,
                       TpNexus__NexusOperationExecutionInfo *i)
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

static void fill_header(struct tl_out *o,
                        const TpHistory__NexusOperationScheduledEventAttributes *attrs,
                        TpNexus__NexusOperationExecutionInfo *i)
{
    struct tl_pb_list list = {0};
    for (size_t k = 0; k < attrs->n_nexus_header; k++) {
        TpNexus__NexusOperationExecutionInfo__NexusHeaderEntry *h = tl_out_check(
            o, TL_PB_NEW(o->a, TpNexus__NexusOperationExecutionInfo__NexusHeaderEntry,
                         tp_nexus__nexus_operation_execution_info__nexus_header_entry));
        if (!h || !tl_out_check(o, tl_pb_push(o->a, &list, h) ? h : NULL)) {
            return;
        }
        h->key = attrs->nexus_header[k]->key;
        h->value = attrs->nexus_header[k]->value;
    }
    i->n_nexus_header = list.n;
    i->nexus_header = list.items;
}

/* What a workflow's description would say of the operation. */
static void fill_attempts(struct tl_out *o, const struct tl_rs *rs, const struct tl_nexus_op *op,
                          const TlV1__OperationExecutionState *state, int64_t now_ns,
                          TpNexus__NexusOperationExecutionInfo *i)
{
    TpWorkflow__PendingNexusOperationInfo *p = tl_out_check(o, tl_nexus_pending(op, now_ns, o->a));
    if (!p) {
        return;
    }
    bool waits = tl_rs_open(rs) && !op->started &&
                 (int)p->state != PENDING_NEXUS_OPERATION_STATE_BACKING_OFF;
    i->state = tl_rs_open(rs) ? p->state : (TpEnums__PendingNexusOperationState)0;
    i->attempt = p->attempt + (waits ? 1 : 0); /* the one that is to be answered counts */
    i->schedule_to_close_timeout = p->schedule_to_close_timeout;
    i->schedule_to_start_timeout = p->schedule_to_start_timeout;
    i->start_to_close_timeout = p->start_to_close_timeout;
    i->last_attempt_complete_time = p->last_attempt_complete_time;
    i->last_attempt_failure = p->last_attempt_failure;
    i->next_attempt_schedule_time = tl_rs_open(rs) ? p->next_attempt_schedule_time : NULL;
    i->blocked_reason = p->blocked_reason;
    i->operation_token = p->operation_token;
    const TpWorkflow__NexusOperationCancellationInfo *c = p->cancellation_info;
    if (!c || !(i->cancellation_info = tl_out_check(
                    o, TL_PB_NEW(o->a, TpNexus__NexusOperationExecutionCancellationInfo,
                                 tp_nexus__nexus_operation_execution_cancellation_info)))) {
        return;
    }
    i->cancellation_info->requested_time = c->requested_time;
    i->cancellation_info->state = c->state;
    i->cancellation_info->attempt = c->attempt;
    i->cancellation_info->last_attempt_complete_time = c->last_attempt_complete_time;
    i->cancellation_info->last_attempt_failure = c->last_attempt_failure;
    i->cancellation_info->next_attempt_schedule_time = c->next_attempt_schedule_time;
    i->cancellation_info->blocked_reason = c->blocked_reason;
    i->cancellation_info->reason = tl_out_copy(o, state->cancel_reason);
}

static void fill_times(struct tl_out *o, const struct tl_rs *rs, const struct tl_nexus_op *op,
                       int64_t now_ns, TpNexus__NexusOperationExecutionInfo *i)
{
    int64_t until_ns = rs->close_ns ? rs->close_ns : now_ns;
    i->schedule_time = tl_out_time(o, op->scheduled_ns);
    i->close_time = tl_out_time(o, rs->close_ns);
    i->execution_duration = tl_out_check(o, tl_pb_duration_ns(o->a, until_ns - op->scheduled_ns));
    i->expiration_time = op->schedule_to_close_ns > 0
                             ? tl_out_time(o, tl_ns_add(op->scheduled_ns, op->schedule_to_close_ns))
                             : NULL;
}

static TpNexus__NexusOperationExecutionInfo *
info_of(struct tl_out *o, const struct tl_rs *rs, const struct tl_nexus_op *op,
        const TpHistory__NexusOperationScheduledEventAttributes *attrs, int64_t now_ns)
{
    TpNexus__NexusOperationExecutionInfo *i =
        tl_out_check(o, TL_PB_NEW(o->a, TpNexus__NexusOperationExecutionInfo,
                                  tp_nexus__nexus_operation_execution_info));
    const TlV1__OperationExecutionState *state = tl_out_check(o, tl_operation_state(rs, o->a));
    if (!i || !state) {
        return NULL;
    }
    i->operation_id = tl_out_copy(o, rs->workflow_id);
    i->run_id = tl_out_copy(o, rs->run_id);
    i->endpoint = attrs->endpoint;
    i->service = attrs->service;
    i->operation = attrs->operation;
    i->request_id = attrs->request_id;
    i->identity = tl_out_copy(o, state->identity);
    i->status = (TpEnums__NexusOperationExecutionStatus)tl_operation_status(rs->status);
    i->state_transition_count = rs->record_count;
    i->state_size_bytes = (int64_t)tl_rs_bytes(rs);
    i->user_metadata = tl_out_decode(o, &rs->user_metadata, &tp_sdk__user_metadata__descriptor);
    i->search_attributes =
        rs->search_attributes.n
            ? tl_out_decode(o, &rs->search_attributes, &tp_common__search_attributes__descriptor)
            : tl_out_check(
                  o, TL_PB_NEW(o->a, TpCommon__SearchAttributes, tp_common__search_attributes));
    fill_header(o, attrs, i);
    fill_attempts(o, rs, op, state, now_ns, i);
    fill_times(o, rs, op, now_ns, i);
    fill_links(o, state, i);
    return i;
}

tl_rc tl_rs_operation_describe(const struct tl_rs *rs, int64_t now_ns,
                               const TpWs__DescribeNexusOperationExecutionRequest *req,
                               struct tl_arena *arena,
                               TpWs__DescribeNexusOperationExecutionResponse *out,
                               struct tl_error *err)
{
    struct tl_out o = {arena, false};
    const struct tl_nexus_op *op = tl_operation_op(rs);
    const TpHistory__HistoryEvent *e =
        op ? tl_out_check(&o,
                          tl_blob_decode(&op->event, &tp_history__history_event__descriptor, arena))
           : NULL;
    const TpWs__PollNexusOperationExecutionResponse *outcome = tl_out_decode(
        &o, &rs->outcome, &tp_ws__poll_nexus_operation_execution_response__descriptor);
    if (e) {
        out->info = info_of(&o, rs, op, e->nexus_operation_scheduled_event_attributes, now_ns);
        out->input =
            req->include_input ? e->nexus_operation_scheduled_event_attributes->input : NULL;
    }
    out->run_id = tl_out_copy(&o, rs->run_id);
    int kind = outcome && req->include_outcome ? (int)outcome->outcome_case : 0;
    if (kind == TP_WS__POLL_NEXUS_OPERATION_EXECUTION_RESPONSE__OUTCOME_RESULT) {
        out->outcome_case = TP_WS__DESCRIBE_NEXUS_OPERATION_EXECUTION_RESPONSE__OUTCOME_RESULT;
        out->result = outcome->result;
    } else if (kind == TP_WS__POLL_NEXUS_OPERATION_EXECUTION_RESPONSE__OUTCOME_FAILURE) {
        out->outcome_case = TP_WS__DESCRIBE_NEXUS_OPERATION_EXECUTION_RESPONSE__OUTCOME_FAILURE;
        out->failure = outcome->failure;
    }
    return o.full || !out->info
               ? tl_error_set(err, TL_ELIMIT, "no memory to describe the operation")
               : TL_OK;
}

tl_rc tl_rs_operation_poll(const struct tl_rs *rs, struct tl_arena *arena,
                           TpWs__PollNexusOperationExecutionResponse *out, struct tl_error *err)
{
    struct tl_out o = {arena, false};
    const struct tl_nexus_op *op = tl_operation_op(rs);
    const TpWs__PollNexusOperationExecutionResponse *outcome = tl_out_decode(
        &o, &rs->outcome, &tp_ws__poll_nexus_operation_execution_response__descriptor);
    if (outcome) {
        *out = *outcome;
    }
    out->run_id = tl_out_copy(&o, rs->run_id);
    out->operation_token = tl_out_copy(&o, op ? op->token : NULL);
    out->wait_stage =
        (TpEnums__NexusOperationWaitStage)(tl_rs_open(rs) ? NEXUS_OPERATION_WAIT_STAGE_STARTED
                                                          : NEXUS_OPERATION_WAIT_STAGE_CLOSED);
    return o.full ? tl_error_set(err, TL_ELIMIT, "no memory for the outcome of an operation")
                  : TL_OK;
}
