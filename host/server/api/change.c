/* Signal, cancel, terminate, pause, delete: what a client does to a run. Thread: engine. */
#include "server/api/api.h"

void tl_api_signal_workflow_execution(struct tl_call *c)
{
    const TpWs__SignalWorkflowExecutionRequest *req = c->req;
    TpWs__SignalWorkflowExecutionResponse r = TP_WS__SIGNAL_WORKFLOW_EXECUTION_RESPONSE__INIT;
    struct tl_signal signal = {.name = req->signal_name,
                               .input = req->input,
                               .header = req->header,
                               .identity = req->identity,
                               .request_id = req->request_id,
                               .links = req->links,
                               .n_links = req->n_links};
    struct tl_tx tx;
    struct tl_error err;
    if (!tl_api_check_id(c, "SignalName", req->signal_name, true) ||
        !tl_api_check_id(c, "RequestId", req->request_id, false)) {
        return;
    }
    struct tl_exec *e = tl_api_find(c, req->workflow_execution);
    if (!e) {
        return;
    }
    tl_run_begin(c->s, e, &tx, c->arena);
    tl_rc rc = tl_tx_signal(&tx, &signal, &err);
    if (tl_api_end(c, e, &tx, rc, &err)) {
        struct tl_rs_info info;
        tl_rs_info(e->rs, &info);
        r.link = tl_api_link_to_signal(c, &info, req->request_id);
        tl_call_reply(c, e->seq, &r);
    }
}

void tl_api_request_cancel_workflow_execution(struct tl_call *c)
{
    const TpWs__RequestCancelWorkflowExecutionRequest *req = c->req;
    TpWs__RequestCancelWorkflowExecutionResponse r =
        TP_WS__REQUEST_CANCEL_WORKFLOW_EXECUTION_RESPONSE__INIT;
    struct tl_tx tx;
    struct tl_error err;
    struct tl_exec *e =
        tl_api_find_in_chain(c, req->workflow_execution, req->first_execution_run_id);
    if (!e) {
        return;
    }
    tl_run_begin(c->s, e, &tx, c->arena);
    tl_rc rc = tl_tx_request_cancel(&tx, req, &err);
    if (tl_api_end(c, e, &tx, rc, &err)) {
        tl_call_reply(c, e->seq, &r);
    }
}

void tl_api_terminate_workflow_execution(struct tl_call *c)
{
    const TpWs__TerminateWorkflowExecutionRequest *req = c->req;
    TpWs__TerminateWorkflowExecutionResponse r = TP_WS__TERMINATE_WORKFLOW_EXECUTION_RESPONSE__INIT;
    struct tl_tx tx;
    struct tl_error err;
    struct tl_exec *e =
        tl_api_find_in_chain(c, req->workflow_execution, req->first_execution_run_id);
    if (!e) {
        return;
    }
    tl_run_begin(c->s, e, &tx, c->arena);
    const char *reason = *req->reason ? req->reason : "terminated by user via frontend";
    const char *identity = *req->identity ? req->identity : "frontend-service";
    tl_rc rc = tl_tx_terminate(&tx, reason, req->details, identity, req->links, req->n_links, &err);
    if (tl_api_end(c, e, &tx, rc, &err)) {
        tl_call_reply(c, e->seq, &r);
    }
}

/* --- pause ----------------------------------------------------------------------------------- */

static struct tl_exec *find_by_ids(struct tl_call *c, char *workflow_id, char *run_id)
{
    TpCommon__WorkflowExecution execution = TP_COMMON__WORKFLOW_EXECUTION__INIT;
    execution.workflow_id = workflow_id;
    execution.run_id = run_id;
    return tl_api_find(c, &execution);
}

void tl_api_pause_workflow_execution(struct tl_call *c)
{
    const TpWs__PauseWorkflowExecutionRequest *req = c->req;
    TpWs__PauseWorkflowExecutionResponse r = TP_WS__PAUSE_WORKFLOW_EXECUTION_RESPONSE__INIT;
    const struct tl_pause_request pause = {req->identity, req->reason, req->request_id};
    struct tl_tx tx;
    struct tl_error err;
    struct tl_exec *e = find_by_ids(c, req->workflow_id, req->run_id);
    if (!e) {
        return;
    }
    tl_run_begin(c->s, e, &tx, c->arena);
    tl_rc rc = tl_tx_pause(&tx, &pause, &err);
    if (tl_api_end(c, e, &tx, rc, &err)) {
        tl_call_reply(c, e->seq, &r);
    }
}

void tl_api_unpause_workflow_execution(struct tl_call *c)
{
    const TpWs__UnpauseWorkflowExecutionRequest *req = c->req;
    TpWs__UnpauseWorkflowExecutionResponse r = TP_WS__UNPAUSE_WORKFLOW_EXECUTION_RESPONSE__INIT;
    const struct tl_pause_request pause = {req->identity, req->reason, req->request_id};
    struct tl_tx tx;
    struct tl_error err;
    struct tl_exec *e = find_by_ids(c, req->workflow_id, req->run_id);
    if (!e) {
        return;
    }
    tl_run_begin(c->s, e, &tx, c->arena);
    tl_rc rc = tl_tx_unpause(&tx, &pause, &err);
    if (tl_api_end(c, e, &tx, rc, &err)) {
        tl_call_reply(c, e->seq, &r);
    }
}

/* --- delete ---------------------------------------------------------------------------------- */

/* A running one is terminated first; then, when all it wrote is durable, it goes at once. */
void tl_api_delete_workflow_execution(struct tl_call *c)
{
    const TpWs__DeleteWorkflowExecutionRequest *req = c->req;
    TpWs__DeleteWorkflowExecutionResponse r = TP_WS__DELETE_WORKFLOW_EXECUTION_RESPONSE__INIT;
    struct tl_tx tx;
    struct tl_error err;
    struct tl_exec *e = NULL;
    if (c->parked && c->parked->run_number) {
        e = tl_run_by_number(c->s, c->parked->run_number, &err);
        if (!e) {
            tl_call_not_found(c, 0, err.message);
            return;
        }
    } else {
        e = tl_api_find(c, req->workflow_execution);
    }
    if (!e) {
        return;
    }
    if (!e->closed) {
        tl_run_begin(c->s, e, &tx, c->arena);
        tl_rc rc = tl_tx_terminate(&tx, "Delete workflow execution", NULL, "history-service", NULL,
                                   0, &err);
        if (!tl_api_end(c, e, &tx, rc, &err)) {
            return;
        }
    }
    tl_api_erase(c, e, &r);
}
