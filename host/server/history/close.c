/* The end of a run that is not a command's doing (terminate, run timeout), and what follows a run:
 * retry, schedule.
 * Thread: the run's owner. */
#include <string.h>

#include "server/history/policy.h"
#include "server/history/rs.h"

/* A close from outside first ends the started task, so that what was buffered keeps its place. */
static void end_started_task(struct tl_tx *tx)
{
    if (tx->rs->wft.started_id) {
        tl_wft_fail_started(tx, WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND, NULL,
                            TL_IDENTITY_SERVICE, NULL);
    }
    tl_buffer_flush(tx);
}

void tl_close_terminate(struct tl_tx *tx, const char *reason, const TpCommon__Payloads *details,
                        const char *identity, TpCommon__Link **links, size_t n_links)
{
    TpHistory__WorkflowExecutionTerminatedEventAttributes a =
        TP_HISTORY__WORKFLOW_EXECUTION_TERMINATED_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    end_started_task(tx);
    tl_ev_init(&ev, tx->now_ns);
    a.reason = tl_pb_text(reason);
    a.details = (TpCommon__Payloads *)(uintptr_t)details;
    a.identity = tl_pb_text(identity);
    ev.e.links = links;
    ev.e.n_links = n_links;
    TL_EV_SET(&ev, WORKFLOW_EXECUTION_TERMINATED, workflow_execution_terminated, &a);
    tl_tx_append(tx, &ev.e, TL_PLACE_APPLY);
}

void tl_close_time_out(struct tl_tx *tx)
{
    const struct tl_rs *rs = tx->rs;
    TpFailure__Failure f = TP_FAILURE__FAILURE__INIT;
    TpFailure__TimeoutFailureInfo info = TP_FAILURE__TIMEOUT_FAILURE_INFO__INIT;
    struct tl_next_run next = {.retry_state = RETRY_STATE_TIMEOUT};
    f.message = (char *)(uintptr_t) "workflow timeout";
    f.source = (char *)(uintptr_t) "Server";
    f.failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_TIMEOUT_FAILURE_INFO;
    f.timeout_failure_info = &info;
    info.timeout_type = (TpEnums__TimeoutType)TIMEOUT_TYPE_START_TO_CLOSE;
    end_started_task(tx);
    if (rs->execution_expiration_ns == 0 || rs->execution_expiration_ns > tx->now_ns) {
        tl_next_run_decide(tx, &f, true, &next);
        tl_next_run_emit(tx, &next, NULL, &f);
    }
    TpHistory__WorkflowExecutionTimedOutEventAttributes a =
        TP_HISTORY__WORKFLOW_EXECUTION_TIMED_OUT_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    tl_ev_init(&ev, tx->now_ns);
    a.retry_state = (TpEnums__RetryState)next.retry_state;
    a.new_execution_run_id = next.run_id;
    TL_EV_SET(&ev, WORKFLOW_EXECUTION_TIMED_OUT, workflow_execution_timed_out, &a);
    tl_tx_append(tx, &ev.e, TL_PLACE_APPLY);
}

/* --- what follows ---------------------------------------------------------------------------- */

static void decide_retry(struct tl_tx *tx, const TpFailure__Failure *failure,
                         struct tl_next_run *out)
{
    const struct tl_rs *rs = tx->rs;
    const TpCommon__RetryPolicy *p =
        tl_blob_decode(&rs->retry_policy, &tp_common__retry_policy__descriptor, tx->arena);
    if (!p) {
        out->retry_state = RETRY_STATE_RETRY_POLICY_NOT_SET;
        return;
    }
    if (!tl_failure_is_retryable(failure, p->non_retryable_error_types,
                                 p->n_non_retryable_error_types)) {
        out->retry_state = RETRY_STATE_NON_RETRYABLE_FAILURE;
        return;
    }
    struct tl_backoff b = tl_retry_backoff(
        tx->now_ns, rs->attempt, p->maximum_attempts, tl_pb_duration_ns_or(p->initial_interval, 0),
        tl_pb_duration_ns_or(p->maximum_interval, 0), p->backoff_coefficient,
        rs->execution_expiration_ns, tl_failure_retry_delay_ns(failure));
    out->retry_state = b.retry_state;
    if (b.retry_state == RETRY_STATE_IN_PROGRESS) {
        out->initiator = CONTINUE_AS_NEW_INITIATOR_RETRY;
        out->backoff_ns = b.interval_ns;
    }
}

void tl_next_run_decide(struct tl_tx *tx, const TpFailure__Failure *failure, bool failed,
                        struct tl_next_run *out)
{
    const struct tl_rs *rs = tx->rs;
    *out = (struct tl_next_run){.retry_state = RETRY_STATE_RETRY_POLICY_NOT_SET};
    if (failed) {
        decide_retry(tx, failure, out);
    }
    if (!out->initiator && tl_has_text(rs->cron_schedule)) {
        int64_t ns = tl_cron_backoff_ns(rs->cron_schedule,
                                        tl_ns_add(rs->start_ns, rs->first_backoff_ns), tx->now_ns);
        if (ns >= 0) {
            out->initiator = CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE;
            out->backoff_ns = ns;
        }
    }
    if (out->initiator) {
        tx->env->new_run_id(tx->env->ud, out->run_id, &out->run_number);
    }
}

/* Runs of a chain start at least the minimum interval apart: no tight loop of runs. */
int64_t tl_chain_min_backoff_ns(const struct tl_tx *tx, int64_t backoff_ns)
{
    const struct tl_rs *rs = tx->rs;
    int64_t lifetime_ns = tx->now_ns - tl_ns_add(rs->start_ns, rs->first_backoff_ns);
    int64_t min_ns = tx->env->limits.run_min_interval_ms * TL_NS_IN_MS;
    return tl_ns_add(lifetime_ns, backoff_ns) < min_ns ? min_ns - lifetime_ns : backoff_ns;
}

void tl_emit_new_run(struct tl_tx *tx, struct tl_start *start,
                     TpWs__StartWorkflowExecutionRequest *req, const char *run_id,
                     uint64_t run_number)
{
    const struct tl_rs *rs = tx->rs;
    struct tl_effect *f = tl_effects_add(&tx->effects, TL_FX_NEW_RUN);
    TpCommon__TimeSkippingStatePropagation *skipped = NULL;
    TpCommon__TimeSkippingConfig *skipping = NULL;
    bool ok = tl_skipping_hand_on(rs, tx->arena, &skipping, &skipped);
    req->time_skipping_config = skipping;
    start->req = req;
    start->skipped = skipped;
    start->first_run_id = tl_arena_str(tx->arena, tl_str(rs->first_run_id));
    start->continued_run_id = tl_arena_str(tx->arena, tl_str(rs->run_id));
    start->execution_expiration_ns = rs->execution_expiration_ns;
    start->parent = tl_rs_start_parent(rs, tx->arena);
    if (!f || !ok || (rs->parent.workflow_id && !start->parent) || !start->first_run_id.p ||
        !start->continued_run_id.p) {
        tl_tx_break(tx, "the next run");
        return;
    }
    f->u.new_run.start = start;
    f->u.new_run.run_number = run_number;
    f->u.new_run.run_id = tl_arena_str(tx->arena, tl_str(run_id));
}

/* The first event of this run, kept for this moment. */
static TpWs__StartWorkflowExecutionRequest *request_again(struct tl_tx *tx)
{
    const struct tl_rs *rs = tx->rs;
    const TpHistory__HistoryEvent *e =
        tl_blob_decode(&rs->start_event, &tp_history__history_event__descriptor, tx->arena);
    TpWs__StartWorkflowExecutionRequest *req = TL_PB_NEW(
        tx->arena, TpWs__StartWorkflowExecutionRequest, tp_ws__start_workflow_execution_request);
    if (!e || !req) {
        return NULL;
    }
    const TpHistory__WorkflowExecutionStartedEventAttributes *a =
        e->workflow_execution_started_event_attributes;
    req->namespace_ = tl_pb_cstr(tx->arena, tl_str(rs->namespace_name));
    req->workflow_id = a->workflow_id;
    req->workflow_type = a->workflow_type;
    req->task_queue = a->task_queue;
    req->input = a->input;
    req->header = a->header;
    req->workflow_execution_timeout = a->workflow_execution_timeout;
    req->workflow_run_timeout = a->workflow_run_timeout;
    req->workflow_task_timeout = a->workflow_task_timeout;
    req->retry_policy = a->retry_policy;
    req->cron_schedule = a->cron_schedule;
    req->memo = a->memo;
    req->search_attributes = a->search_attributes;
    req->priority = a->priority;
    req->versioning_override =
        tl_override_is_once(a->versioning_override) ? NULL : a->versioning_override;
    req->links = e->links;
    req->n_links = e->n_links;
    return req->namespace_ && tl_rs_callbacks_hand_on(rs, tx->arena, req) ? req : NULL;
}

void tl_next_run_emit(struct tl_tx *tx, const struct tl_next_run *next,
                      const TpCommon__Payloads *last_result, const TpFailure__Failure *failure)
{
    if (!next->initiator) {
        return;
    }
    TpWs__StartWorkflowExecutionRequest *req = request_again(tx);
    struct tl_start *start = TL_ARENA_NEW(tx->arena, struct tl_start);
    const TpHistory__HistoryEvent *e =
        tl_blob_decode(&tx->rs->start_event, &tp_history__history_event__descriptor, tx->arena);
    if (!req || !start || !e) {
        tl_tx_break(tx, "the next run");
        return;
    }
    /* A run that failed hands on the result it was given. */
    req->last_completion_result =
        failure ? e->workflow_execution_started_event_attributes->last_completion_result
                : (TpCommon__Payloads *)(uintptr_t)last_result;
    if (failure) { /* the caller's may live on its stack */
        req->continued_failure = tl_pb_clone(failure, tx->arena);
        if (!req->continued_failure) {
            tl_tx_break(tx, "the next run");
        }
    }
    if (next->initiator == CONTINUE_AS_NEW_INITIATOR_RETRY) {
        start->inherited_pinned =
            e->workflow_execution_started_event_attributes->inherited_pinned_version;
        start->set_build = tl_str(tl_or_empty(tx->rs->set_build));
    }
    start->initiator = next->initiator;
    start->attempt = next->initiator == CONTINUE_AS_NEW_INITIATOR_RETRY ? tx->rs->attempt + 1 : 1;
    start->first_backoff_ns = tl_chain_min_backoff_ns(tx, next->backoff_ns);
    tl_emit_new_run(tx, start, req, next->run_id, next->run_number);
}
