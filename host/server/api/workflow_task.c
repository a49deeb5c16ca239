/* Polls, and the worker's side of workflow tasks. Thread: engine. */
#include "server/api/api.h"
#include "server/workers.h"
#include "server/deliver.h"
#include "server/history/activity.h"

static void enter_poll(struct tl_call *c, enum tl_queue_type type, const TpTq__TaskQueue *tq,
                       const char *identity)
{
    if (!tq) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "TaskQueue is not set on request.");
        return;
    }
    if ((int)tq->kind == TASK_QUEUE_KIND_WORKER_COMMANDS && type != TL_QUEUE_NEXUS) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL),
                       "worker-commands partitions must have nexus task type. base name: %.200s",
                       tq->name);
        return;
    }
    if (tl_api_check_id(c, "TaskQueue", tq->name, true) &&
        tl_api_check_id(c, "Identity", identity, false)) {
        struct tl_parked *p = tl_parked_new(c->s, c, TL_PARKED_POLL);
        p->queue_type = type;
        tl_poll_enter(c->s, p, c->arena);
    }
}

void tl_api_poll_workflow_task_queue(struct tl_call *c)
{
    const TpWs__PollWorkflowTaskQueueRequest *req = c->req;
    enter_poll(c, TL_QUEUE_WORKFLOW, req->task_queue, req->identity);
}

void tl_api_poll_activity_task_queue(struct tl_call *c)
{
    const TpWs__PollActivityTaskQueueRequest *req = c->req;
    if (tl_api_check_id(c, "WorkerControlTaskQueue", req->worker_control_task_queue, false)) {
        enter_poll(c, TL_QUEUE_ACTIVITY, req->task_queue, req->identity);
    }
}

void tl_api_poll_nexus_task_queue(struct tl_call *c)
{
    const TpWs__PollNexusTaskQueueRequest *req = c->req;
    enter_poll(c, TL_QUEUE_NEXUS, req->task_queue, req->identity);
}

/* --- completion -------------------------------------------------------------------------------------- */

/* The next task of the run, started in the transaction of the completion. */
static tl_rc start_next(struct tl_call *c, struct tl_exec *e, struct tl_tx *tx,
                        const char *identity, struct tl_wft_started *out, struct tl_error *err)
{
    struct tl_rs_info info;
    char request_id[37];
    tl_rs_info(e->rs, &info);
    tl_uuid4(c->s->world, request_id);
    struct tl_wft_start start = {.task_queue =
                                     info.wft_sticky ? info.sticky_queue : info.task_queue,
                                 .sticky = info.wft_sticky,
                                 .inline_reply = true,
                                 .identity = identity,
                                 .request_id = request_id};
    return tl_tx_wft_start(tx, info.wft_scheduled_id, info.wft_attempt, &start, out, err);
}

static tl_rc put_eager(struct tl_call *c, struct tl_exec *e, const struct tl_wft_completed *done,
                       TpWs__RespondWorkflowTaskCompletedResponse *r, struct tl_error *err)
{
    struct tl_pb_list list = {0};
    for (size_t i = 0; i < done->eager_count; i++) {
        struct tl_activity_started *a = &done->eager[i];
        struct tl_str bytes;
        tl_rc rc =
            tl_activity_token(e, &a->ref, tl_str(a->response->activity_id), c->arena, &bytes, err);
        if (rc != TL_OK) {
            return rc;
        }
        a->response->task_token = tl_pb_bytes_view(bytes);
        if (!tl_pb_push(c->arena, &list, a->response)) {
            return tl_error_set(err, TL_ELIMIT, "too many eager activities");
        }
    }
    r->n_activity_tasks = list.n;
    r->activity_tasks = list.items;
    return TL_OK;
}

static void reply_completed(struct tl_call *c, struct tl_exec *e,
                            const struct tl_wft_completed *done, const struct tl_wft_started *next)
{
    TpWs__RespondWorkflowTaskCompletedResponse r =
        TP_WS__RESPOND_WORKFLOW_TASK_COMPLETED_RESPONSE__INIT;
    TpWs__PollWorkflowTaskQueueResponse task = TP_WS__POLL_WORKFLOW_TASK_QUEUE_RESPONSE__INIT;
    struct tl_error err;
    tl_rc rc = put_eager(c, e, done, &r, &err);
    r.reset_history_event_id = done->reset_history_event_id;
    if (rc == TL_OK && next) {
        rc = tl_workflow_task_response(c->s, e, next, c->arena, &task, &err);
        r.workflow_task = &task;
    }
    if (rc != TL_OK) {
        tl_call_errorf(c, tl_rc_grpc_status(rc), "%s", err.message);
        return;
    }
    tl_call_reply(c, e->seq, &r);
}

void tl_api_respond_workflow_task_completed(struct tl_call *c)
{
    const TpWs__RespondWorkflowTaskCompletedRequest *req = c->req;
    struct tl_work_token token;
    struct tl_wft_completed done = {0};
    struct tl_wft_started next;
    struct tl_tx tx;
    struct tl_error err;
    if (!c->s->o.version_sets_workers && req->worker_version_stamp &&
        req->worker_version_stamp->use_versioning) {
        tl_call_errorf(
            c, tl_rc_grpc_status(TL_EPERMISSION),
            "Worker versioning in workflow progress APIs is disabled on this namespace.");
        return;
    }
    if (!tl_api_check_id(c, "WorkerControlTaskQueue", req->worker_control_task_queue, false)) {
        return;
    }
    struct tl_exec *e = tl_api_task(c, req->task_token, false, &token);
    if (!e) {
        return;
    }
    tl_run_begin(c->s, e, &tx, c->arena);
    tl_rc rc = tl_tx_wft_complete(&tx, &token.ref, req, &done, &err);
    if (rc == TL_OK && done.deliver_next_inline) {
        rc = start_next(c, e, &tx, req->identity, &next, &err);
    }
    if (tl_api_end(c, e, &tx, rc, &err)) {
        reply_completed(c, e, &done, done.deliver_next_inline ? &next : NULL);
    }
}

void tl_api_respond_workflow_task_failed(struct tl_call *c)
{
    const TpWs__RespondWorkflowTaskFailedRequest *req = c->req;
    TpWs__RespondWorkflowTaskFailedResponse r = TP_WS__RESPOND_WORKFLOW_TASK_FAILED_RESPONSE__INIT;
    struct tl_work_token token;
    struct tl_tx tx;
    struct tl_error err;
    struct tl_exec *e = tl_api_task(c, req->task_token, false, &token);
    if (!e) {
        return;
    }
    tl_run_begin(c->s, e, &tx, c->arena);
    tl_rc rc = tl_tx_wft_fail(&tx, &token.ref, req, &err);
    if (tl_api_end(c, e, &tx, rc, &err)) {
        tl_call_reply(c, e->seq, &r);
    }
}

void tl_api_reset_sticky_task_queue(struct tl_call *c)
{
    const TpWs__ResetStickyTaskQueueRequest *req = c->req;
    TpWs__ResetStickyTaskQueueResponse r = TP_WS__RESET_STICKY_TASK_QUEUE_RESPONSE__INIT;
    struct tl_tx tx;
    struct tl_error err;
    struct tl_exec *e = tl_api_find(c, req->execution);
    if (!e) {
        return;
    }
    tl_run_begin(c->s, e, &tx, c->arena);
    tl_rc rc = tl_tx_reset_sticky(&tx, &err);
    if (tl_api_end(c, e, &tx, rc, &err)) {
        tl_call_reply(c, e->seq, &r);
    }
}

/* --- shutdown ------------------------------------------------------------------------------------------ */

struct shutdown {
    struct tl_server *s;
    const TpWs__ShutdownWorkerRequest *req;
    struct tl_arena *arena;
};

static void answer_worker(void *ud, struct tl_match_poll *poll)
{
    struct shutdown *d = ud;
    struct tl_parked *p = TL_CONTAINER(poll, struct tl_parked, poll);
    struct tl_poll_request r;
    struct tl_error err;
    if (tl_poll_decode(d->s, p, d->arena, &r, &err) != TL_OK) {
        return;
    }
    const char *key = d->req->worker_instance_key;
    if (*key ? strcmp(r.instance_key, key) == 0 : tl_str_eqc(r.queue, d->req->sticky_task_queue)) {
        tl_poll_answer_empty(d->s, p);
    }
}

static void answer_version(void *ud, const struct tl_match_key *key)
{
    struct shutdown *d = ud;
    tl_match_each_poll(&d->s->matcher, key, answer_worker, d);
}

void tl_api_shutdown_worker(struct tl_call *c)
{
    const TpWs__ShutdownWorkerRequest *req = c->req;
    TpWs__ShutdownWorkerResponse r = TP_WS__SHUTDOWN_WORKER_RESPONSE__INIT;
    struct shutdown d = {c->s, req, c->arena};
    struct tl_match_key sticky = {.namespace_number = c->ns->number,
                                  .type = TL_QUEUE_WORKFLOW,
                                  .sticky = true,
                                  .name = tl_str(req->sticky_task_queue)};
    if (req->worker_heartbeat) {
        tl_workers_record(c->s, c->ns, &req->worker_heartbeat, 1);
    }
    if (*req->sticky_task_queue) {
        tl_match_each_poll(&c->s->matcher, &sticky, answer_worker, &d);
        tl_dispatch_leave(c->s, &sticky, c->arena);
    }
    if (*req->worker_instance_key && *req->task_queue) {
        struct tl_match_key normal = {.namespace_number = c->ns->number,
                                      .type = TL_QUEUE_WORKFLOW,
                                      .name = tl_str(req->task_queue)};
        tl_match_each_version(&c->s->matcher, &normal, answer_version, &d);
        normal.type = TL_QUEUE_ACTIVITY;
        tl_match_each_version(&c->s->matcher, &normal, answer_version, &d);
        normal.type = TL_QUEUE_NEXUS;
        tl_match_each_version(&c->s->matcher, &normal, answer_version, &d);
    }
    tl_call_reply(c, 0, &r);
}
