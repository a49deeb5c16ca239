/* Describing runs, and queries. Thread: engine. */
#include "server/api/api.h"

void tl_api_describe_workflow_execution(struct tl_call *c)
{
    const TpWs__DescribeWorkflowExecutionRequest *req = c->req;
    TpWs__DescribeWorkflowExecutionResponse r = TP_WS__DESCRIBE_WORKFLOW_EXECUTION_RESPONSE__INIT;
    struct tl_error err;
    struct tl_exec *e = tl_api_find(c, req->execution);
    if (!e) {
        return;
    }
    if (tl_rs_describe(e->rs, tl_engine_now(c->s), c->arena, &r, &err) != TL_OK) {
        tl_call_errorf(c, tl_rc_grpc_status(err.code), "%s", err.message);
        return;
    }
    tl_attrs_visible(&c->ns->attrs, r.workflow_execution_info->search_attributes);
    tl_call_reply(c, e->seq, &r);
}

/* --- queries --------------------------------------------------------------------------------------------- */

static bool rejected(struct tl_call *c, struct tl_exec *e, int condition)
{
    TpWs__QueryWorkflowResponse r = TP_WS__QUERY_WORKFLOW_RESPONSE__INIT;
    TpQuery__QueryRejected q = TP_QUERY__QUERY_REJECTED__INIT;
    struct tl_rs_info info;
    tl_rs_info(e->rs, &info);
    bool no = (condition == QUERY_REJECT_CONDITION_NOT_OPEN && info.closed) ||
              (condition == QUERY_REJECT_CONDITION_NOT_COMPLETED_CLEANLY && info.closed &&
               info.status != WORKFLOW_EXECUTION_STATUS_COMPLETED &&
               info.status != WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW);
    if (no) {
        q.status = (TpEnums__WorkflowExecutionStatus)info.status;
        r.query_rejected = &q;
        tl_call_reply(c, e->seq, &r);
    }
    return no;
}

void tl_api_query_workflow(struct tl_call *c)
{
    const TpWs__QueryWorkflowRequest *req = c->req;
    struct tl_error err;
    struct tl_exec *e;
    struct tl_parked *p = c->parked;
    if (!req->query || !*req->query->query_type) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "%s is not set on request.",
                       req->query ? "QueryType" : "WorkflowQuery");
        return;
    }
    e = p ? tl_run_by_number(c->s, p->run_number, &err) : tl_api_find(c, req->execution);
    if (!e) {
        if (p) {
            tl_call_not_found(c, 0, err.message);
        }
        return;
    }
    if (rejected(c, e, (int)req->query_reject_condition)) {
        return;
    }
    if (!p) {
        p = tl_parked_new(c->s, c, TL_PARKED_QUERY);
        p->run_number = e->number;
        p->query_id = c->s->query_ids++;
        p->until_ns = tl_parked_deadline(c->s, c->rpc, c->s->o.poll_expiry_ns);
        tl_map_put_num(&c->s->queries, p->query_id, p);
    }
    c->parked = NULL;
    tl_query_proceed(c->s, p, e, c->arena);
}

void tl_api_respond_query_task_completed(struct tl_call *c)
{
    const TpWs__RespondQueryTaskCompletedRequest *req = c->req;
    TpWs__RespondQueryTaskCompletedResponse r = TP_WS__RESPOND_QUERY_TASK_COMPLETED_RESPONSE__INIT;
    const TlV1__QueryToken *token;
    struct tl_error err;
    if (req->task_token.len == 0) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "Task token not set on request.");
        return;
    }
    if (tl_pb_decode(&tl_v1__query_token__descriptor, tl_pb_str(req->task_token), c->arena, &token,
                     &err) != TL_OK) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "Error deserializing task token.");
        return;
    }
    struct tl_parked *p = tl_map_get_num(&c->s->queries, token->query_id);
    if (!p) {
        tl_call_not_found(c, 0, "query task not found, or already expired");
        return;
    }
    tl_query_reply(c->s, p, 0, (int)req->completed_type, req->query_result, req->error_message,
                   req->failure, c->arena);
    tl_call_reply(c, 0, &r);
}
