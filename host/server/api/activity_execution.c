/* Activities without a workflow, as clients see them: start, describe, outcome, cancel, terminate, delete.
 * Thread: engine. */
#include "proto/nexus.h"
#include "server/api/execution.h"

/* --- start ------------------------------------------------------------------------------------------ */

static void already_started(struct tl_call *c, struct tl_exec *e, const struct tl_rs_info *info)
{
    TpErrdetails__ActivityExecutionAlreadyStartedFailure d =
        TP_ERRDETAILS__ACTIVITY_EXECUTION_ALREADY_STARTED_FAILURE__INIT;
    d.start_request_id = tl_pb_cstr(c->arena, info->start_request_id);
    d.run_id = tl_pb_cstr(c->arena, info->id.run_id);
    tl_call_error(c, e->seq, tl_rc_grpc_status(TL_EEXISTS), "activity execution already started",
                  &d);
}

/* NULL after an answer. */
static struct tl_exec *start_new(struct tl_call *c, const TpWs__StartActivityExecutionRequest *req)
{
    struct tl_tx tx;
    struct tl_error err;
    struct tl_exec *e = tl_api_execution_begin(c, TL_RUN_ACTIVITY, req->activity_id, &tx);
    tl_rc rc = tl_tx_activity_execution_start(&tx, req, &err);
    return tl_api_execution_end(c, e, &tx, rc, &err) ? e : NULL;
}

/* The one that runs is to remember this start, as far as it asked for that. False after an answer. */
static bool attach(struct tl_call *c, struct tl_exec *e,
                   const TpWs__StartActivityExecutionRequest *req)
{
    struct tl_tx tx;
    struct tl_error err;
    tl_run_begin(c->s, e, &tx, c->arena);
    tl_rc rc = tl_tx_activity_execution_attach(&tx, req, &err);
    return tl_api_end(c, e, &tx, rc, &err);
}

static void reply_start(struct tl_call *c, struct tl_exec *e, bool started)
{
    TpWs__StartActivityExecutionResponse r = TP_WS__START_ACTIVITY_EXECUTION_RESPONSE__INIT;
    struct tl_rs_info info;
    tl_rs_info(e->rs, &info);
    r.run_id = tl_pb_cstr(c->arena, info.id.run_id);
    r.started = started;
    r.link = tl_nexus_activity_link(c->arena, c->ns->name, info.id.workflow_id, info.id.run_id);
    tl_call_reply(c, e->seq, &r);
}

void tl_api_start_activity_execution(struct tl_call *c)
{
    const TpWs__StartActivityExecutionRequest *req = c->req;
    struct tl_rs_info info;
    struct tl_error err;
    if (tl_activity_execution_check(&c->s->env, req, &err) != TL_OK ||
        tl_nexus_check_callbacks(req->completion_callbacks, req->n_completion_callbacks, &err) !=
            TL_OK) {
        tl_call_errorf(c, tl_rc_grpc_status(err.code), "%s", err.message);
        return;
    }
    if (!tl_api_check_attributes(c, req->search_attributes)) {
        return;
    }
    struct tl_exec *e = tl_run_find_execution(c->s, c->ns, TL_RUN_ACTIVITY,
                                              tl_str(req->activity_id), (struct tl_str){0}, &err);
    if (!e && err.code != TL_ENOTFOUND) {
        tl_call_errorf(c, tl_rc_grpc_status(err.code), "%s", err.message);
        return;
    }
    switch (tl_api_execution_judge(e, req->request_id, (int)req->id_reuse_policy,
                                   (int)req->id_conflict_policy, &info)) {
    case TL_ID_FREE:
        e = start_new(c, req);
        if (e) {
            reply_start(c, e, true);
        }
        return;
    case TL_ID_SAME_REQUEST:
        reply_start(c, e, false);
        return;
    case TL_ID_USE_EXISTING:
        if (attach(c, e, req)) {
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
    TpWs__DescribeActivityExecutionResponse r = TP_WS__DESCRIBE_ACTIVITY_EXECUTION_RESPONSE__INIT;
    struct tl_error err;
    tl_rc rc =
        tl_rs_activity_execution_describe(e->rs, tl_engine_now(c->s), c->req, c->arena, &r, &err);
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

void tl_api_describe_activity_execution(struct tl_call *c)
{
    const TpWs__DescribeActivityExecutionRequest *req = c->req;
    bool answered = false;
    if (req->long_poll_token.len && !*req->run_id) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL),
                       "run id is required when long poll token is provided");
        return;
    }
    struct tl_exec *e =
        c->parked ? tl_api_waited_for(c)
                  : tl_api_find_execution(c, TL_RUN_ACTIVITY, req->activity_id, req->run_id);
    if (!e) {
        return;
    }
    if (!req->long_poll_token.len ||
        (!tl_api_is_known(c, e, req->long_poll_token, &answered) && !answered)) {
        reply_description(c, e);
    } else if (!answered && c->parked && c->parked->expired) {
        TpWs__DescribeActivityExecutionResponse nothing =
            TP_WS__DESCRIBE_ACTIVITY_EXECUTION_RESPONSE__INIT;
        tl_call_reply(c, e->seq, &nothing);
    } else if (!answered) {
        tl_api_wait_for(c, e, false);
    }
}

void tl_api_poll_activity_execution(struct tl_call *c)
{
    const TpWs__PollActivityExecutionRequest *req = c->req;
    TpWs__PollActivityExecutionResponse r = TP_WS__POLL_ACTIVITY_EXECUTION_RESPONSE__INIT;
    struct tl_exec *e =
        c->parked ? tl_api_waited_for(c)
                  : tl_api_find_execution(c, TL_RUN_ACTIVITY, req->activity_id, req->run_id);
    struct tl_rs_info info;
    if (!e) {
        return;
    }
    if (!e->closed) {
        if (c->parked && c->parked->expired) {
            tl_call_reply(c, e->seq, &r); /* nothing came: the caller asks again */
        } else {
            tl_api_wait_for(c, e, true);
        }
        return;
    }
    tl_rs_info(e->rs, &info);
    r.run_id = tl_pb_cstr(c->arena, info.id.run_id);
    r.outcome = tl_rs_activity_execution_outcome(e->rs, c->arena);
    r.propagated_nexus_serialization_context = tl_rs_activity_execution_context(e->rs, c->arena);
    if (!r.run_id || !r.outcome) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_ELIMIT), "the outcome is too large");
        return;
    }
    tl_call_reply(c, e->seq, &r);
}

/* --- cancel, terminate, delete ---------------------------------------------------------------------- */

void tl_api_request_cancel_activity_execution(struct tl_call *c)
{
    const TpWs__RequestCancelActivityExecutionRequest *req = c->req;
    TpWs__RequestCancelActivityExecutionResponse r =
        TP_WS__REQUEST_CANCEL_ACTIVITY_EXECUTION_RESPONSE__INIT;
    const struct tl_api_change change = {req->request_id, req->identity, req->reason};
    struct tl_tx tx;
    struct tl_error err;
    struct tl_exec *e =
        tl_api_check_change(c, &change)
            ? tl_api_find_execution(c, TL_RUN_ACTIVITY, req->activity_id, req->run_id)
            : NULL;
    if (!e) {
        return;
    }
    tl_run_begin(c->s, e, &tx, c->arena);
    tl_rc rc = tl_tx_activity_execution_cancel(&tx, req, &err);
    if (tl_api_end(c, e, &tx, rc, &err)) {
        tl_call_reply(c, e->seq, &r);
    }
}

void tl_api_terminate_activity_execution(struct tl_call *c)
{
    const TpWs__TerminateActivityExecutionRequest *req = c->req;
    TpWs__TerminateActivityExecutionResponse r = TP_WS__TERMINATE_ACTIVITY_EXECUTION_RESPONSE__INIT;
    const struct tl_api_change change = {req->request_id, req->identity, req->reason};
    struct tl_tx tx;
    struct tl_error err;
    struct tl_exec *e =
        tl_api_check_change(c, &change)
            ? tl_api_find_execution(c, TL_RUN_ACTIVITY, req->activity_id, req->run_id)
            : NULL;
    if (!e) {
        return;
    }
    tl_run_begin(c->s, e, &tx, c->arena);
    tl_rc rc =
        tl_tx_activity_execution_terminate(&tx, req->reason, req->identity, req->request_id, &err);
    if (tl_api_end(c, e, &tx, rc, &err)) {
        tl_call_reply(c, e->seq, &r);
    }
}

/* One that runs is terminated first; then, when all it wrote is durable, it goes at once. */
void tl_api_delete_activity_execution(struct tl_call *c)
{
    const TpWs__DeleteActivityExecutionRequest *req = c->req;
    TpWs__DeleteActivityExecutionResponse r = TP_WS__DELETE_ACTIVITY_EXECUTION_RESPONSE__INIT;
    struct tl_tx tx;
    struct tl_error err;
    struct tl_exec *e =
        c->parked && c->parked->run_number
            ? tl_api_waited_for(c)
            : tl_api_find_execution(c, TL_RUN_ACTIVITY, req->activity_id, req->run_id);
    if (!e) {
        return;
    }
    if (!e->closed) {
        tl_run_begin(c->s, e, &tx, c->arena);
        tl_rc rc =
            tl_tx_activity_execution_terminate(&tx, "Delete activity execution", "", "", &err);
        if (!tl_api_end(c, e, &tx, rc, &err)) {
            return;
        }
    }
    tl_api_erase(c, e, &r);
}
