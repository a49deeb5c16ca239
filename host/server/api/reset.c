/* ResetWorkflowExecution. The work is done by reset.c. Thread: engine. */
#include "server/reset.h"

#include "server/api/api.h"

typedef TpWs__ResetWorkflowExecutionRequest request;

void tl_api_reset_workflow_execution(struct tl_call *c)
{
    const request *req = c->req;
    TpWs__ResetWorkflowExecutionResponse r = TP_WS__RESET_WORKFLOW_EXECUTION_RESPONSE__INIT;
    struct tl_reset_request reset = {.point = TL_RESET_EVENT,
                                     .finish_event_id = req->workflow_task_finish_event_id,
                                     .reason = req->reason,
                                     .request_id = req->request_id,
                                     .after = req->post_reset_operations,
                                     .n_after = req->n_post_reset_operations};
    struct tl_exec *made = NULL;
    struct tl_rs_info info;
    struct tl_error err;
    if (!tl_api_check_id(c, "RequestId", req->request_id, true)) {
        return;
    }
    if (!tl_api_check_post_reset(c, req->post_reset_operations, req->n_post_reset_operations)) {
        return;
    }
    tl_reset_exclude(&reset, (int)req->reset_reapply_type, req->reset_reapply_exclude_types,
                     req->n_reset_reapply_exclude_types);
    struct tl_exec *base = tl_api_find(c, req->workflow_execution);
    if (!base) {
        return;
    }
    if (tl_run_reset(c->s, base, &reset, &made, &err) != TL_OK) {
        tl_call_error(c, base->seq, tl_rc_grpc_status(err.code), err.message, NULL);
        return;
    }
    tl_rs_info(made->rs, &info);
    r.run_id = tl_pb_cstr(c->arena, info.id.run_id);
    tl_call_reply(c, made->seq, &r);
}
