/* The worker's side of Nexus tasks: what a handler answered. Thread: engine. */
#include "server/api/api.h"
#include "server/history/nexus.h"

/* The request that a token names. NULL after an answer. */
static struct tl_exec *find_task(struct tl_call *c, ProtobufCBinaryData bytes,
                                 struct tl_nexus_ref *ref)
{
    struct tl_work_token token;
    struct tl_error err;
    if (!bytes.len) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "Task token not set on request.");
        return NULL;
    }
    if (tl_work_token_decode(tl_pb_str(bytes), c->arena, &token, &err) != TL_OK) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "%s", err.message);
        return NULL;
    }
    bool known = token.nexus_request == TL_NEXUS_START || token.nexus_request == TL_NEXUS_CANCEL;
    struct tl_exec *e = known ? tl_run_by_number(c->s, token.run_number, &err) : NULL;
    if (!e || e->ns->number != token.namespace_number) {
        tl_call_not_found(c, 0, "Nexus task not found or already expired");
        return NULL;
    }
    *ref = (struct tl_nexus_ref){token.ref.scheduled_id, (enum tl_nexus_request)token.nexus_request,
                                 token.ref.attempt};
    return e;
}

/* True when it was taken. */
static bool answer(struct tl_call *c, struct tl_exec *e, const struct tl_nexus_ref *ref,
                   const struct tl_nexus_answer *a)
{
    struct tl_tx tx;
    struct tl_error err;
    tl_nexus_answered(c->s, e, ref->scheduled_id, a->outcome != TL_NEXUS_RETRY);
    tl_run_begin(c->s, e, &tx, c->arena);
    tl_rc rc = tl_tx_nexus_answer(&tx, ref, a, &err);
    return tl_api_end(c, e, &tx, rc, &err);
}

void tl_api_respond_nexus_task_completed(struct tl_call *c)
{
    const TpWs__RespondNexusTaskCompletedRequest *req = c->req;
    TpWs__RespondNexusTaskCompletedResponse r = TP_WS__RESPOND_NEXUS_TASK_COMPLETED_RESPONSE__INIT;
    struct tl_nexus_answer a;
    struct tl_nexus_ref ref;
    struct tl_error err;
    struct tl_exec *e = find_task(c, req->task_token, &ref);
    if (!e) {
        return;
    }
    if (tl_nexus_read_response(req->response, &ref, &c->s->env.limits, c->arena, &a, &err) !=
        TL_OK) {
        tl_call_errorf(c, tl_rc_grpc_status(err.code), "%s", err.message);
    } else if (answer(c, e, &ref, &a)) {
        tl_call_reply(c, e->seq, &r);
    }
}

void tl_api_respond_nexus_task_failed(struct tl_call *c)
{
    const TpWs__RespondNexusTaskFailedRequest *req = c->req;
    TpWs__RespondNexusTaskFailedResponse r = TP_WS__RESPOND_NEXUS_TASK_FAILED_RESPONSE__INIT;
    struct tl_nexus_answer a;
    struct tl_nexus_ref ref;
    struct tl_error err;
    struct tl_exec *e = find_task(c, req->task_token, &ref);
    if (!e) {
        return;
    }
    if (tl_nexus_read_failed(req, c->arena, &a, &err) != TL_OK) {
        tl_call_errorf(c, tl_rc_grpc_status(err.code), "%s", err.message);
    } else if (answer(c, e, &ref, &a)) {
        tl_call_reply(c, e->seq, &r);
    }
}
