/* The worker's side of Nexus tasks: what a handler answered. Thread: engine. */
#include "server/api/api.h"
#include "server/history/nexus.h"
#include "server/worker_commands.h"

/* What a token names: a request of a run's operation, or commands to the worker. */
struct nexus_task {
    struct tl_exec *e;
    struct tl_nexus_ref ref;
    struct tl_worker_command *command; /* NULL: a request of e */
};

/* False after an answer. */
static bool find_task(struct tl_call *c, ProtobufCBinaryData bytes, struct nexus_task *out)
{
    struct tl_work_token token;
    struct tl_error err;
    *out = (struct nexus_task){.ref.request = TL_NEXUS_START};
    if (!bytes.len) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "Task token not set on request.");
        return false;
    }
    if (tl_work_token_decode(tl_pb_str(bytes), c->arena, &token, &err) != TL_OK) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "%s", err.message);
        return false;
    }
    if (token.worker_command) {
        out->command = tl_worker_command_find(c->s, &token);
    } else if (token.nexus_request == TL_NEXUS_START || token.nexus_request == TL_NEXUS_CANCEL) {
        out->e = tl_run_by_number(c->s, token.run_number, &err);
        out->ref = (struct tl_nexus_ref){
            token.ref.scheduled_id, (enum tl_nexus_request)token.nexus_request, token.ref.attempt};
    }
    if (!out->command && (!out->e || out->e->ns->number != token.namespace_number)) {
        tl_call_not_found(c, 0, "Nexus task not found or already expired");
        return false;
    }
    return true;
}

/* True when it was taken; *seq: the commit that the reply waits for. */
static bool answer(struct tl_call *c, const struct nexus_task *t, const struct tl_nexus_answer *a,
                   uint64_t *seq)
{
    struct tl_tx tx;
    struct tl_error err;
    if (t->command) {
        *seq = tl_worker_command_answered(c->s, t->command, a->outcome,
                                          a->failure ? a->failure->message : "");
        return true;
    }
    tl_nexus_answered(c->s, t->e, t->ref.scheduled_id, a->outcome != TL_NEXUS_RETRY);
    tl_run_begin(c->s, t->e, &tx, c->arena);
    tl_rc rc = tl_tx_nexus_answer(&tx, &t->ref, a, &err);
    if (!tl_api_end(c, t->e, &tx, rc, &err)) {
        return false;
    }
    *seq = t->e->seq;
    return true;
}

void tl_api_respond_nexus_task_completed(struct tl_call *c)
{
    const TpWs__RespondNexusTaskCompletedRequest *req = c->req;
    TpWs__RespondNexusTaskCompletedResponse r = TP_WS__RESPOND_NEXUS_TASK_COMPLETED_RESPONSE__INIT;
    struct tl_nexus_answer a;
    struct nexus_task t;
    struct tl_error err;
    uint64_t seq = 0;
    if (!find_task(c, req->task_token, &t)) {
        return;
    }
    if (tl_nexus_read_response(req->response, &t.ref, &c->s->env.limits, c->arena, &a, &err) !=
        TL_OK) {
        tl_call_errorf(c, tl_rc_grpc_status(err.code), "%s", err.message);
    } else if (answer(c, &t, &a, &seq)) {
        tl_call_reply(c, seq, &r);
    }
}

void tl_api_respond_nexus_task_failed(struct tl_call *c)
{
    const TpWs__RespondNexusTaskFailedRequest *req = c->req;
    TpWs__RespondNexusTaskFailedResponse r = TP_WS__RESPOND_NEXUS_TASK_FAILED_RESPONSE__INIT;
    struct tl_nexus_answer a;
    struct nexus_task t;
    struct tl_error err;
    uint64_t seq = 0;
    if (!find_task(c, req->task_token, &t)) {
        return;
    }
    if (tl_nexus_read_failed(req, c->arena, &a, &err) != TL_OK) {
        tl_call_errorf(c, tl_rc_grpc_status(err.code), "%s", err.message);
    } else if (answer(c, &t, &a, &seq)) {
        tl_call_reply(c, seq, &r);
    }
}
