/* The worker's side of activities, by task token and by activity id. Thread: engine. */
#include "server/api/execution.h"
#include "server/history/activity.h"

/* Which activity of which run a request means. */
struct target {
    struct tl_exec *e;
    struct tl_activity_key key;
    struct tl_work_token token;
};

static bool by_token(struct tl_call *c, ProtobufCBinaryData token, struct target *t)
{
    *t = (struct target){0};
    t->e = tl_api_task(c, token, true, &t->token);
    t->key.ref = &t->token.ref;
    t->key.activity_id = t->token.activity_id;
    return t->e != NULL;
}

static bool by_id(struct tl_call *c, char *workflow_id, char *run_id, const char *activity_id,
                  struct target *t)
{
    TpCommon__WorkflowExecution execution = TP_COMMON__WORKFLOW_EXECUTION__INIT;
    execution.workflow_id = workflow_id;
    execution.run_id = run_id;
    *t = (struct target){0};
    if (!tl_api_check_id(c, "ActivityId", activity_id, true)) {
        return false;
    }
    /* Without a workflow id it is an activity execution, and the run id its own. */
    t->e = *workflow_id ? tl_api_find(c, &execution)
                        : tl_api_find_execution(c, TL_RUN_ACTIVITY, activity_id, run_id);
    t->key.activity_id = tl_str(activity_id);
    return t->e != NULL;
}

static void complete(struct tl_call *c, struct target *t, const TpCommon__Payloads *result,
                     const char *identity, const void *response)
{
    struct tl_tx tx;
    struct tl_error err;
    tl_run_begin(c->s, t->e, &tx, c->arena);
    tl_rc rc = tl_tx_activity_complete(&tx, &t->key, result, identity, &err);
    if (tl_api_end(c, t->e, &tx, rc, &err)) {
        tl_call_reply(c, t->e->seq, response);
    }
}

static void fail(struct tl_call *c, struct target *t, const TpFailure__Failure *failure,
                 const TpCommon__Payloads *last_heartbeat, const char *identity,
                 const void *response)
{
    struct tl_tx tx;
    struct tl_error err;
    tl_run_begin(c->s, t->e, &tx, c->arena);
    tl_rc rc = tl_tx_activity_fail(&tx, &t->key, failure, last_heartbeat, identity, &err);
    if (tl_api_end(c, t->e, &tx, rc, &err)) {
        tl_call_reply(c, t->e->seq, response);
    }
}

static void cancel(struct tl_call *c, struct target *t, const TpCommon__Payloads *details,
                   const char *identity, const void *response)
{
    struct tl_tx tx;
    struct tl_error err;
    tl_run_begin(c->s, t->e, &tx, c->arena);
    tl_rc rc = tl_tx_activity_cancel(&tx, &t->key, details, identity, &err);
    if (tl_api_end(c, t->e, &tx, rc, &err)) {
        tl_call_reply(c, t->e->seq, response);
    }
}

static bool heartbeat(struct tl_call *c, struct target *t, const TpCommon__Payloads *details,
                      const char *identity, struct tl_heartbeat_reply *out)
{
    struct tl_tx tx;
    struct tl_error err;
    tl_run_begin(c->s, t->e, &tx, c->arena);
    tl_rc rc = tl_tx_activity_heartbeat(&tx, &t->key, details, identity, out, &err);
    return tl_api_end(c, t->e, &tx, rc, &err);
}

/* --- by token ---------------------------------------------------------------------------------------- */

void tl_api_respond_activity_task_completed(struct tl_call *c)
{
    const TpWs__RespondActivityTaskCompletedRequest *req = c->req;
    TpWs__RespondActivityTaskCompletedResponse r =
        TP_WS__RESPOND_ACTIVITY_TASK_COMPLETED_RESPONSE__INIT;
    struct target t;
    if (by_token(c, req->task_token, &t)) {
        complete(c, &t, req->result, req->identity, &r);
    }
}

void tl_api_respond_activity_task_failed(struct tl_call *c)
{
    const TpWs__RespondActivityTaskFailedRequest *req = c->req;
    TpWs__RespondActivityTaskFailedResponse r = TP_WS__RESPOND_ACTIVITY_TASK_FAILED_RESPONSE__INIT;
    struct target t;
    if (by_token(c, req->task_token, &t)) {
        fail(c, &t, req->failure, req->last_heartbeat_details, req->identity, &r);
    }
}

void tl_api_respond_activity_task_canceled(struct tl_call *c)
{
    const TpWs__RespondActivityTaskCanceledRequest *req = c->req;
    TpWs__RespondActivityTaskCanceledResponse r =
        TP_WS__RESPOND_ACTIVITY_TASK_CANCELED_RESPONSE__INIT;
    struct target t;
    if (by_token(c, req->task_token, &t)) {
        cancel(c, &t, req->details, req->identity, &r);
    }
}

void tl_api_record_activity_task_heartbeat(struct tl_call *c)
{
    const TpWs__RecordActivityTaskHeartbeatRequest *req = c->req;
    TpWs__RecordActivityTaskHeartbeatResponse r =
        TP_WS__RECORD_ACTIVITY_TASK_HEARTBEAT_RESPONSE__INIT;
    struct tl_heartbeat_reply reply = {0};
    struct target t;
    if (by_token(c, req->task_token, &t) && heartbeat(c, &t, req->details, req->identity, &reply)) {
        r.cancel_requested = reply.cancel_requested;
        r.activity_paused = reply.paused;
        r.activity_reset = reply.reset;
        tl_call_reply(c, t.e->seq, &r);
    }
}

/* --- by id ------------------------------------------------------------------------------------------- */

void tl_api_respond_activity_task_completed_by_id(struct tl_call *c)
{
    const TpWs__RespondActivityTaskCompletedByIdRequest *req = c->req;
    TpWs__RespondActivityTaskCompletedByIdResponse r =
        TP_WS__RESPOND_ACTIVITY_TASK_COMPLETED_BY_ID_RESPONSE__INIT;
    struct target t;
    if (by_id(c, req->workflow_id, req->run_id, req->activity_id, &t)) {
        complete(c, &t, req->result, req->identity, &r);
    }
}

void tl_api_respond_activity_task_failed_by_id(struct tl_call *c)
{
    const TpWs__RespondActivityTaskFailedByIdRequest *req = c->req;
    TpWs__RespondActivityTaskFailedByIdResponse r =
        TP_WS__RESPOND_ACTIVITY_TASK_FAILED_BY_ID_RESPONSE__INIT;
    struct target t;
    if (by_id(c, req->workflow_id, req->run_id, req->activity_id, &t)) {
        fail(c, &t, req->failure, req->last_heartbeat_details, req->identity, &r);
    }
}

void tl_api_respond_activity_task_canceled_by_id(struct tl_call *c)
{
    const TpWs__RespondActivityTaskCanceledByIdRequest *req = c->req;
    TpWs__RespondActivityTaskCanceledByIdResponse r =
        TP_WS__RESPOND_ACTIVITY_TASK_CANCELED_BY_ID_RESPONSE__INIT;
    struct target t;
    if (by_id(c, req->workflow_id, req->run_id, req->activity_id, &t)) {
        cancel(c, &t, req->details, req->identity, &r);
    }
}

void tl_api_record_activity_task_heartbeat_by_id(struct tl_call *c)
{
    const TpWs__RecordActivityTaskHeartbeatByIdRequest *req = c->req;
    TpWs__RecordActivityTaskHeartbeatByIdResponse r =
        TP_WS__RECORD_ACTIVITY_TASK_HEARTBEAT_BY_ID_RESPONSE__INIT;
    struct tl_heartbeat_reply reply = {0};
    struct target t;
    if (by_id(c, req->workflow_id, req->run_id, req->activity_id, &t) &&
        heartbeat(c, &t, req->details, req->identity, &reply)) {
        r.cancel_requested = reply.cancel_requested;
        r.activity_paused = reply.paused;
        r.activity_reset = reply.reset;
        tl_call_reply(c, t.e->seq, &r);
    }
}
