/* What clients do to a running run: signal, request cancellation, terminate.
 * Thread: the run's owner. */
#include "base/fault.h"
#include "server/history/policy.h"
#include "server/history/rs.h"

int64_t tl_message_bytes(const void *msg)
{
    return msg ? (int64_t)tl_pb_size(msg) : 0;
}

static tl_rc check_signal(struct tl_tx *tx, const struct tl_signal *signal, struct tl_error *err)
{
    const struct tl_rs *rs = tx->rs;
    const struct tl_history_limits *limits = &tx->env->limits;
    if (!tl_has_text(signal->name)) {
        return tl_error_set(err, TL_EINVAL, "SignalName is not set on request.");
    }
    if ((int64_t)tl_str(signal->name).n > limits->id_bytes) {
        return tl_error_set(err, TL_EINVAL, "SignalName length exceeds limit.");
    }
    if ((int64_t)tl_str(tl_or_empty(signal->request_id)).n > limits->id_bytes) {
        return tl_error_set(err, TL_EINVAL, "RequestId length exceeds limit.");
    }
    if (tl_message_bytes(signal->input) > limits->blob_bytes) {
        return tl_error_set(err, TL_EINVAL, "Blob data size exceeds limit.");
    }
    if (rs->signal_count >= limits->signals_per_run) {
        return tl_error_set(err, TL_EINVAL, "exceeded workflow execution limit for signal events");
    }
    if (signal->child_only && !tl_rs_is_child_of(rs, tl_str(signal->external->workflow_id),
                                                 tl_str(signal->external->run_id))) {
        return tl_tx_fail(tx, TL_ERR_NOT_FOUND, err, TL_ENOTFOUND,
                          "workflow parent does not match");
    }
    /* Another run would only have to try again: its signal is taken. */
    if (rs->close_attempted && rs->wft.started_id && !signal->external) {
        tx->error_cause = RESOURCE_EXHAUSTED_CAUSE_BUSY_WORKFLOW;
        return tl_tx_fail(tx, TL_ERR_RESOURCE_EXHAUSTED, err, TL_ELIMIT,
                          "workflow operation can not be applied because workflow is closing");
    }
    return TL_OK;
}

tl_rc tl_tx_signal(struct tl_tx *tx, const struct tl_signal *signal, struct tl_error *err)
{
    struct tl_rs *rs = tx->rs;
    tx->error_kind = TL_ERR_PLAIN;
    if (tl_rs_signal_seen(rs, signal->request_id) && !TL_FAULT(drop_request_id)) {
        return TL_OK;
    }
    tl_rc rc = tl_tx_need_open(tx, err);
    if (rc == TL_OK) {
        rc = check_signal(tx, signal, err);
    }
    if (rc != TL_OK) {
        return rc;
    }
    TpHistory__WorkflowExecutionSignaledEventAttributes a =
        TP_HISTORY__WORKFLOW_EXECUTION_SIGNALED_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    tl_ev_init(&ev, tx->now_ns);
    a.signal_name = tl_pb_text(signal->name);
    a.input = (TpCommon__Payloads *)(uintptr_t)signal->input;
    a.header = (TpCommon__Header *)(uintptr_t)signal->header;
    a.identity = tl_pb_text(signal->identity);
    a.request_id = tl_pb_text(signal->request_id);
    a.external_workflow_execution = (TpCommon__WorkflowExecution *)(uintptr_t)signal->external;
    ev.e.links = signal->links;
    ev.e.n_links = signal->n_links;
    TL_EV_SET(&ev, WORKFLOW_EXECUTION_SIGNALED, workflow_execution_signaled, &a);
    tl_tx_add(tx, &ev);
    /* A signal does not wake a run that waits for its first task. */
    if (!tl_rs_in_backoff(rs) && !signal->skip_workflow_task) {
        tl_wft_schedule(tx, 0);
    }
    tl_buffer_enforce_limit(tx);
    return tl_tx_result(tx, err);
}

tl_rc tl_tx_cancel(struct tl_tx *tx, const struct tl_cancel *cancel, struct tl_error *err)
{
    struct tl_rs *rs = tx->rs;
    tx->error_kind = TL_ERR_PLAIN;
    if (!tl_rs_open(rs)) {
        return TL_OK;
    }
    if (cancel->child_only && !tl_rs_is_child_of(rs, tl_str(cancel->external->workflow_id),
                                                 tl_str(cancel->external->run_id))) {
        return tl_tx_fail(tx, TL_ERR_NOT_FOUND, err, TL_ENOTFOUND,
                          "workflow parent does not match");
    }
    if (rs->cancel_requested) {
        return TL_OK;
    }
    TpHistory__WorkflowExecutionCancelRequestedEventAttributes a =
        TP_HISTORY__WORKFLOW_EXECUTION_CANCEL_REQUESTED_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    tl_ev_init(&ev, tx->now_ns);
    a.cause = tl_pb_text(cancel->reason);
    a.identity = tl_pb_text(cancel->identity);
    a.external_workflow_execution = (TpCommon__WorkflowExecution *)(uintptr_t)cancel->external;
    a.external_initiated_event_id = cancel->external_initiated_id;
    ev.e.links = cancel->links;
    ev.e.n_links = cancel->n_links;
    TL_EV_SET(&ev, WORKFLOW_EXECUTION_CANCEL_REQUESTED, workflow_execution_cancel_requested, &a);
    tl_tx_add(tx, &ev);
    if (tl_has_text(cancel->request_id)) {
        tl_set_str(&rs->cancel_request_id, cancel->request_id);
        tx->p->cancel_request_dirty = true;
    }
    return tl_tx_tell_worker(tx, err);
}

tl_rc tl_tx_request_cancel(struct tl_tx *tx, const TpWs__RequestCancelWorkflowExecutionRequest *req,
                           struct tl_error *err)
{
    return tl_tx_cancel(tx,
                        &(struct tl_cancel){.reason = req->reason,
                                            .identity = req->identity,
                                            .request_id = req->request_id,
                                            .links = req->links,
                                            .n_links = req->n_links},
                        err);
}

tl_rc tl_tx_terminate(struct tl_tx *tx, const char *reason, const TpCommon__Payloads *details,
                      const char *identity, TpCommon__Link **links, size_t n_links,
                      struct tl_error *err)
{
    tx->error_kind = TL_ERR_PLAIN;
    tl_rc rc = tl_tx_need_open(tx, err);
    if (rc != TL_OK) {
        return rc;
    }
    tl_close_terminate(tx, reason, details, identity, links, n_links);
    return tl_tx_result(tx, err);
}
