/* Nexus operations without a workflow, as clients see them: start, describe, outcome, cancel, terminate, delete.
 * Thread: engine. */
#include "server/api/execution.h"
#include "server/history/operation_execution.h"
#include "server/nexus_endpoints.h"

/* --- start ------------------------------------------------------------------------------------------ */

static void already_started(struct tl_call *c, struct tl_exec *e, const struct tl_rs_info *info)
{
    TpErrdetails__NexusOperationExecutionAlreadyStartedFailure d =
        TP_ERRDETAILS__NEXUS_OPERATION_EXECUTION_ALREADY_STARTED_FAILURE__INIT;
    d.start_request_id = tl_pb_cstr(c->arena, info->start_request_id);
    d.run_id = tl_pb_cstr(c->arena, info->id.run_id);
    const char *text = tl_arena_printf(
        c->arena, "nexus operation execution already started: request_id=%.*s, run_id=%.*s",
        TL_STR_FMT(info->start_request_id), TL_STR_FMT(info->id.run_id));
    tl_call_error(c, e->seq, tl_rc_grpc_status(TL_EEXISTS), text, &d);
}

/* NULL after an answer. */
static struct tl_exec *start_new(struct tl_call *c, struct tl_str endpoint_id)
{
    const TpWs__StartNexusOperationExecutionRequest *req = c->req;
    struct tl_tx tx;
    struct tl_error err;
    struct tl_exec *e = tl_api_execution_begin(c, TL_RUN_OPERATION, req->operation_id, &tx);
    tl_rc rc = tl_tx_operation_start(&tx, req, endpoint_id, &err);
    return tl_api_execution_end(c, e, &tx, rc, &err) ? e : NULL;
}

/* The one that runs is to remember this start, as far as it asked for that. False after an answer. */
static bool attach(struct tl_call *c, struct tl_exec *e)
{
    struct tl_tx tx;
    struct tl_error err;
    tl_run_begin(c->s, e, &tx, c->arena);
    tl_rc rc = tl_tx_operation_attach(&tx, c->req, &err);
    return tl_api_end(c, e, &tx, rc, &err);
}

static void reply_start(struct tl_call *c, struct tl_exec *e, bool started)
{
    TpWs__StartNexusOperationExecutionResponse r =
        TP_WS__START_NEXUS_OPERATION_EXECUTION_RESPONSE__INIT;
    struct tl_rs_info info;
    tl_rs_info(e->rs, &info);
    r.run_id = tl_pb_cstr(c->arena, info.id.run_id);
    r.started = started;
    tl_call_reply(c, e->seq, &r);
}

/* What is refused before anything is looked for. False after an answer. */
static bool check_start(struct tl_call *c, struct tl_str *endpoint_id)
{
    const TpWs__StartNexusOperationExecutionRequest *req = c->req;
    struct tl_error err;
    if (tl_operation_check(&c->s->env, req, &err) != TL_OK ||
        tl_nexus_check_callbacks(req->completion_callbacks, req->n_completion_callbacks, &err) !=
            TL_OK) {
        tl_call_errorf(c, tl_rc_grpc_status(err.code), "%s", err.message);
        return false;
    }
    if (!tl_api_check_attributes(c, req->search_attributes)) {
        return false;
    }
    *endpoint_id = tl_nexus_endpoint_id_of(c->s, tl_str(req->endpoint));
    if (!endpoint_id->n) {
        tl_call_not_found(
            c, 0,
            tl_arena_printf(c->arena, "could not find Nexus endpoint by name: %s", req->endpoint));
        return false;
    }
    return true;
}

void tl_api_start_nexus_operation_execution(struct tl_call *c)
{
    const TpWs__StartNexusOperationExecutionRequest *req = c->req;
    struct tl_rs_info info;
    struct tl_str endpoint_id;
    struct tl_error err;
    if (!check_start(c, &endpoint_id)) {
        return;
    }
    struct tl_exec *e = tl_run_find_execution(c->s, c->ns, TL_RUN_OPERATION,
                                              tl_str(req->operation_id), (struct tl_str){0}, &err);
    if (!e && err.code != TL_ENOTFOUND) {
        tl_call_errorf(c, tl_rc_grpc_status(err.code), "%s", err.message);
        return;
    }
    switch (tl_api_execution_judge(e, req->request_id, (int)req->id_reuse_policy,
                                   (int)req->id_conflict_policy, &info)) {
    case TL_ID_FREE:
        e = start_new(c, endpoint_id);
        if (e) {
            reply_start(c, e, true);
        }
        return;
    case TL_ID_SAME_REQUEST:
        reply_start(c, e, false);
        return;
    case TL_ID_USE_EXISTING:
        if (attach(c, e)) {
            reply_start(c, e, false);
        }
        return;
    default:
        already_started(c, e, &info);
    }
}

/* --- describe, outcome ------------------------------------------------------------------------------ */

static void reply_description(struct tl_call *c, struct tl_exec *e)
{
    TpWs__DescribeNexusOperationExecutionResponse r =
        TP_WS__DESCRIBE_NEXUS_OPERATION_EXECUTION_RESPONSE__INIT;
    struct tl_error err;
    tl_rc rc = tl_rs_operation_describe(e->rs, tl_engine_now(c->s), c->req, c->arena, &r, &err);
    if (rc == TL_OK) {
        rc = tl_api_poll_token(c, e, &r.long_poll_token, &err);
    }
    if (rc != TL_OK) {
        tl_call_errorf(c, tl_rc_grpc_status(rc), "%s", err.message);
        return;
    }
    tl_attrs_visible(&c->ns->attrs, r.info->search_attributes);
    tl_call_reply(c, e->seq, &r);
}

void tl_api_describe_nexus_operation_execution(struct tl_call *c)
{
    const TpWs__DescribeNexusOperationExecutionRequest *req = c->req;
    bool answered = false;
    if (req->long_poll_token.len && !*req->run_id) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL),
                       "run_id is required when long_poll_token is provided");
        return;
    }
    struct tl_exec *e =
        c->parked ? tl_api_waited_for(c)
                  : tl_api_find_execution(c, TL_RUN_OPERATION, req->operation_id, req->run_id);
    if (!e) {
        return;
    }
    if (!req->long_poll_token.len ||
        (!tl_api_is_known(c, e, req->long_poll_token, &answered) && !answered)) {
        reply_description(c, e);
    } else if (!answered && c->parked && c->parked->expired) {
        TpWs__DescribeNexusOperationExecutionResponse nothing =
            TP_WS__DESCRIBE_NEXUS_OPERATION_EXECUTION_RESPONSE__INIT;
        tl_call_reply(c, e->seq, &nothing);
    } else if (!answered) {
        tl_api_wait_for(c, e, false);
    }
}

void tl_api_poll_nexus_operation_execution(struct tl_call *c)
{
    const TpWs__PollNexusOperationExecutionRequest *req = c->req;
    TpWs__PollNexusOperationExecutionResponse r =
        TP_WS__POLL_NEXUS_OPERATION_EXECUTION_RESPONSE__INIT;
    struct tl_error err;
    int stage = req->wait_stage ? (int)req->wait_stage : NEXUS_OPERATION_WAIT_STAGE_CLOSED;
    if (stage != NEXUS_OPERATION_WAIT_STAGE_STARTED && stage != NEXUS_OPERATION_WAIT_STAGE_CLOSED) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "unsupported wait_stage: %d", stage);
        return;
    }
    struct tl_exec *e =
        c->parked ? tl_api_waited_for(c)
                  : tl_api_find_execution(c, TL_RUN_OPERATION, req->operation_id, req->run_id);
    if (!e) {
        return;
    }
    if (!tl_rs_operation_reached(e->rs, stage)) {
        if (c->parked && c->parked->expired) {
            tl_call_reply(c, e->seq, &r); /* nothing came: the caller asks again */
        } else {
            tl_api_wait_for(c, e, stage == NEXUS_OPERATION_WAIT_STAGE_CLOSED);
        }
    } else if (tl_rs_operation_poll(e->rs, c->arena, &r, &err) != TL_OK) {
        tl_call_errorf(c, tl_rc_grpc_status(err.code), "%s", err.message);
    } else {
        tl_call_reply(c, e->seq, &r);
    }
}

/* --- cancel, terminate, delete ---------------------------------------------------------------------- */

void tl_api_request_cancel_nexus_operation_execution(struct tl_call *c)
{
    const TpWs__RequestCancelNexusOperationExecutionRequest *req = c->req;
    TpWs__RequestCancelNexusOperationExecutionResponse r =
        TP_WS__REQUEST_CANCEL_NEXUS_OPERATION_EXECUTION_RESPONSE__INIT;
    const struct tl_api_change change = {req->request_id, req->identity, req->reason};
    struct tl_tx tx;
    struct tl_error err;
    struct tl_exec *e =
        tl_api_check_change(c, &change)
            ? tl_api_find_execution(c, TL_RUN_OPERATION, req->operation_id, req->run_id)
            : NULL;
    if (!e) {
        return;
    }
    tl_run_begin(c->s, e, &tx, c->arena);
    tl_rc rc = tl_tx_operation_cancel(&tx, req, &err);
    if (tl_api_end(c, e, &tx, rc, &err)) {
        tl_call_reply(c, e->seq, &r);
    }
}

void tl_api_terminate_nexus_operation_execution(struct tl_call *c)
{
    const TpWs__TerminateNexusOperationExecutionRequest *req = c->req;
    TpWs__TerminateNexusOperationExecutionResponse r =
        TP_WS__TERMINATE_NEXUS_OPERATION_EXECUTION_RESPONSE__INIT;
    const struct tl_api_change change = {req->request_id, req->identity, req->reason};
    struct tl_tx tx;
    struct tl_error err;
    struct tl_exec *e =
        tl_api_check_change(c, &change)
            ? tl_api_find_execution(c, TL_RUN_OPERATION, req->operation_id, req->run_id)
            : NULL;
    if (!e) {
        return;
    }
    tl_run_begin(c->s, e, &tx, c->arena);
    tl_rc rc = tl_tx_operation_terminate(&tx, req->reason, req->identity, req->request_id, &err);
    if (tl_api_end(c, e, &tx, rc, &err)) {
        tl_call_reply(c, e->seq, &r);
    }
}

/* One that runs is terminated first; then, when all it wrote is durable, it goes at once. */
void tl_api_delete_nexus_operation_execution(struct tl_call *c)
{
    const TpWs__DeleteNexusOperationExecutionRequest *req = c->req;
    TpWs__DeleteNexusOperationExecutionResponse r =
        TP_WS__DELETE_NEXUS_OPERATION_EXECUTION_RESPONSE__INIT;
    struct tl_tx tx;
    struct tl_error err;
    struct tl_exec *e =
        c->parked && c->parked->run_number
            ? tl_api_waited_for(c)
            : tl_api_find_execution(c, TL_RUN_OPERATION, req->operation_id, req->run_id);
    if (!e) {
        return;
    }
    if (!e->closed) {
        tl_run_begin(c->s, e, &tx, c->arena);
        tl_rc rc = tl_tx_operation_terminate(&tx, "Delete nexus operation execution", "", "", &err);
        if (!tl_api_end(c, e, &tx, rc, &err)) {
            return;
        }
    }
    tl_api_erase(c, e, &r);
}
