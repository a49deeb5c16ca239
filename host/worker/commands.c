/* Commands of the service to the worker: that an activity is to be cancelled, at once and also when it never
 * heartbeats. They come as Nexus tasks of a queue that only this worker polls; its name goes with polls for
 * activities and with completions that may bring some. One poll is out at a time. Thread: control. */
#include <string.h>

#include "base/log.h"
#include "proto/pb.h"
#include "temporal/api/nexusservices/workerservice/v1/request_response.pb-c.h"
#include "tl_enums.h"
#include "worker/worker_int.h"

#define SERVICE "temporal.api.nexusservices.workerservice.v1.WorkerService"
#define OPERATION "ExecuteCommands"
#define POLL_TIMEOUT_NS (70 * TL_NS_PER_S)
#define PAUSE_EMPTY_NS (20 * TL_NS_PER_MS) /* an answer sooner than this is not a long poll's */
#define ARENA_BYTES_MAX ((size_t)16 << 20)
#define REQUEST_BYTES_MAX ((size_t)65536)
#define STATUS_UNIMPLEMENTED 12

static void poll_came(struct tl_reply_to *to, struct tl_rpc_result *res);

/* Thread: the transport's. */
static void poll_done(void *ud, struct tl_rpc_result *res)
{
    struct tl_reply_to *to = ud;
    struct tl_worker *w = to->actor->worker;
    tl_worker_enter(w);
    res->msg.kind = TL_WM_RESULT;
    tl_actor_post_result(to->actor, res);
    tl_worker_exit(w);
}

static void poll(struct tl_worker *w)
{
    struct tl_commands *c = &w->commands;
    TpWs__PollNexusTaskQueueRequest req = TP_WS__POLL_NEXUS_TASK_QUEUE_REQUEST__INIT;
    TpTq__TaskQueue queue = TP_TQ__TASK_QUEUE__INIT;
    struct tl_buf b;
    queue.name = c->queue;
    queue.kind = (TpEnums__TaskQueueKind)TASK_QUEUE_KIND_WORKER_COMMANDS;
    req.namespace_ = w->namespace_name;
    req.task_queue = &queue;
    req.identity = w->identity;
    req.worker_instance_key = c->key;
    tl_buf_init(&b, REQUEST_BYTES_MAX);
    if (tl_pb_encode(&req, &b, NULL) == TL_OK) {
        c->poll_to = (struct tl_reply_to){&w->control, poll_came, NULL};
        c->polled_ns = tl_worker_now(w);
        atomic_fetch_add(&w->calls, 1);
        /* The result is taken by this thread: `poll` is set before. */
        c->poll = tl_channel_call(w->channel, TL_M_PollNexusTaskQueue, tl_buf_str(&b),
                                  POLL_TIMEOUT_NS, poll_done, &c->poll_to);
    }
    tl_buf_deinit(&b);
}

static void poll_again(struct tl_timer *t)
{
    struct tl_worker *w = TL_CONTAINER(t, struct tl_worker, commands.timer);
    if (!tl_worker_stopping(w)) {
        poll(w);
    }
}

static void poll_after(struct tl_worker *w, int64_t pause_ns)
{
    w->commands.timer.fire = poll_again;
    tl_timer_set(&w->control, &w->commands.timer, pause_ns);
}

static void cancel_activity(struct tl_worker *w, ProtobufCBinaryData token)
{
    struct tl_str wanted = tl_pb_str(token);
    pthread_mutex_lock(&w->running_mutex);
    TL_LIST_EACH (n, &w->running) {
        struct tl_act *a = TL_CONTAINER(n, struct tl_act, running);
        if (wanted.n && tl_str_eq(tl_pb_str(a->pub.task->task_token), wanted)) {
            tl_act_cancelled(a, TL_CANCEL_REQUESTED);
        }
    }
    pthread_mutex_unlock(&w->running_mutex);
}

/* Commands are carried out as often as they come; one for an activity that is gone succeeds. Of a kind that is not
 * known here the result is empty. NULL: the arena is full. */
static TpWorkersvc__ExecuteCommandsResponse *
carry_out(struct tl_worker *w, const TpWorkersvc__ExecuteCommandsRequest *req, struct tl_arena *a)
{
    TpWorkersvc__ExecuteCommandsResponse *r =
        TL_PB_NEW(a, TpWorkersvc__ExecuteCommandsResponse, tp_workersvc__execute_commands_response);
    if (!r) {
        return NULL;
    }
    r->results = tl_arena_alloc(a, req->n_commands * sizeof *r->results + 1);
    for (size_t i = 0; r->results && i < req->n_commands; i++) {
        TpWorker__WorkerCommandResult *result =
            TL_PB_NEW(a, TpWorker__WorkerCommandResult, tp_worker__worker_command_result);
        TpWorker__CancelActivityResult *cancelled =
            TL_PB_NEW(a, TpWorker__CancelActivityResult, tp_worker__cancel_activity_result);
        if (!result || !cancelled) {
            return NULL;
        }
        if (req->commands[i]->type_case == TP_WORKER__WORKER_COMMAND__TYPE_CANCEL_ACTIVITY) {
            cancel_activity(w, req->commands[i]->cancel_activity->task_token);
            result->type_case = TP_WORKER__WORKER_COMMAND_RESULT__TYPE_CANCEL_ACTIVITY;
            result->cancel_activity = cancelled;
        } else {
            TL_LOG(TL_LOG_WARN, "worker.command_unknown", TL_C("task_queue", w->task_queue));
        }
        r->results[r->n_results++] = result;
    }
    return r->results ? r : NULL;
}

/* On to the next one, whatever became of the answer: the service asks again. */
static void answered(struct tl_reply_to *to, struct tl_rpc_result *res)
{
    struct tl_worker *w = TL_CONTAINER(to, struct tl_worker, commands.answer_to);
    atomic_fetch_sub(&w->calls, 1);
    if (res->status != 0) {
        TL_LOG(TL_LOG_DEBUG, "worker.command_not_answered", TL_I("status", res->status),
               TL_S("error", res->message));
    }
    tl_rpc_result_free(res);
    if (tl_worker_stopping(w)) {
        tl_worker_tick(w);
    } else {
        poll(w);
    }
}

static void complete(struct tl_worker *w, const TpWs__PollNexusTaskQueueResponse *task,
                     struct tl_str result)
{
    TpWs__RespondNexusTaskCompletedRequest req = TP_WS__RESPOND_NEXUS_TASK_COMPLETED_REQUEST__INIT;
    TpNexus__Response response = TP_NEXUS__RESPONSE__INIT;
    TpNexus__StartOperationResponse start = TP_NEXUS__START_OPERATION_RESPONSE__INIT;
    TpNexus__StartOperationResponse__Sync sync = TP_NEXUS__START_OPERATION_RESPONSE__SYNC__INIT;
    TpCommon__Payload payload = TP_COMMON__PAYLOAD__INIT;
    payload.data = (ProtobufCBinaryData){result.n, (uint8_t *)(uintptr_t)result.p};
    sync.payload = &payload;
    start.variant_case = TP_NEXUS__START_OPERATION_RESPONSE__VARIANT_SYNC_SUCCESS;
    start.sync_success = &sync;
    response.variant_case = TP_NEXUS__RESPONSE__VARIANT_START_OPERATION;
    response.start_operation = &start;
    req.task_token = task->task_token;
    req.poller_group_id = task->poller_group_id;
    req.identity = w->identity;
    req.namespace_ = w->namespace_name;
    req.response = &response;
    tl_control_call(w, TL_M_RespondNexusTaskCompleted, &req, &w->commands.answer_to);
}

static void refuse(struct tl_worker *w, const TpWs__PollNexusTaskQueueResponse *task,
                   const char *type, const char *message)
{
    TpWs__RespondNexusTaskFailedRequest req = TP_WS__RESPOND_NEXUS_TASK_FAILED_REQUEST__INIT;
    TpNexus__HandlerError error = TP_NEXUS__HANDLER_ERROR__INIT;
    TpNexus__Failure failure = TP_NEXUS__FAILURE__INIT;
    failure.message = (char *)(uintptr_t)message;
    error.error_type = (char *)(uintptr_t)type;
    error.failure = &failure;
    req.task_token = task->task_token;
    req.poller_group_id = task->poller_group_id;
    req.identity = w->identity;
    req.namespace_ = w->namespace_name;
    req.error = &error;
    tl_control_call(w, TL_M_RespondNexusTaskFailed, &req, &w->commands.answer_to);
}

static void answer(struct tl_worker *w, const TpWs__PollNexusTaskQueueResponse *task,
                   struct tl_arena *a)
{
    const TpNexus__Request *request = task->request;
    const TpNexus__StartOperationRequest *start =
        request && request->variant_case == TP_NEXUS__REQUEST__VARIANT_START_OPERATION
            ? request->start_operation
            : NULL;
    TpWorkersvc__ExecuteCommandsRequest *commands;
    struct tl_str result = {0};
    w->commands.answer_to.on_result = answered;
    if (!start || strcmp(start->service, SERVICE) != 0 ||
        strcmp(start->operation, OPERATION) != 0) {
        refuse(w, task, "NOT_FOUND", "this queue takes " SERVICE "." OPERATION " only");
        return;
    }
    struct tl_str data =
        start->payload ? tl_pb_str(start->payload->data) : (struct tl_str){NULL, 0};
    if (tl_pb_decode(&tp_workersvc__execute_commands_request__descriptor, data, a, &commands,
                     NULL) != TL_OK) {
        refuse(w, task, "BAD_REQUEST", "the payload is no ExecuteCommandsRequest");
        return;
    }
    TpWorkersvc__ExecuteCommandsResponse *response = carry_out(w, commands, a);
    if (!response || tl_pb_encode_arena(response, a, &result, NULL) != TL_OK) {
        refuse(w, task, "RESOURCE_EXHAUSTED", "the commands do not fit the memory limit");
        return;
    }
    complete(w, task, result);
}

static void poll_came(struct tl_reply_to *to, struct tl_rpc_result *res)
{
    struct tl_worker *w = TL_CONTAINER(to, struct tl_worker, commands.poll_to);
    struct tl_commands *c = &w->commands;
    TpWs__PollNexusTaskQueueResponse *task;
    struct tl_arena a;
    tl_arena_init(&a, ARENA_BYTES_MAX);
    atomic_fetch_sub(&w->calls, 1);
    tl_rpc_call_release(c->poll);
    c->poll = NULL;
    bool decoded =
        res->status == 0 && tl_pb_decode(&tp_ws__poll_nexus_task_queue_response__descriptor,
                                         res->body, &a, &task, NULL) == TL_OK;
    bool failed = res->status != 0 && res->status != STATUS_DEADLINE_EXCEEDED;
    if (decoded && task->task_token.len) {
        c->retry.attempt = 0;
        answer(w, task, &a);
    } else if (tl_worker_stopping(w)) {
        tl_worker_tick(w);
    } else if (res->status == STATUS_UNIMPLEMENTED) {
        TL_LOG(TL_LOG_DEBUG, "worker.no_commands", TL_S("error", res->message));
    } else if (failed || tl_worker_now(w) - c->polled_ns < PAUSE_EMPTY_NS) {
        poll_after(w, tl_worker_retry_ns(w, &c->retry, res->status));
    } else {
        c->retry.attempt = 0;
        poll(w);
    }
    tl_rpc_result_free(res);
    tl_arena_deinit(&a);
}

void tl_commands_prepare(struct tl_worker *w)
{
    struct tl_error err = {0};
    if (w->polls_max[TL_POLL_ACTIVITY] == 0) {
        return; /* there is nothing to cancel */
    }
    w->commands.queue = tl_arena_printf(&w->texts, "temporal-sys/worker-commands/%s/%s",
                                        w->namespace_name, w->commands.key);
    if (tl_pollers_describe(w, &err) != TL_OK) {
        TL_LOG(TL_LOG_WARN, "worker.no_commands", TL_C("error", err.message));
        w->commands.queue = NULL;
    }
}

void tl_commands_begin(struct tl_worker *w)
{
    if (w->commands.queue) {
        poll(w);
    }
}

void tl_commands_stop(struct tl_worker *w)
{
    tl_timer_clear(&w->control, &w->commands.timer);
    if (w->commands.poll) {
        tl_rpc_cancel(w->commands.poll);
    }
}

char *tl_commands_queue(struct tl_worker *w)
{
    return w->commands.queue ? w->commands.queue : (char *)(uintptr_t) "";
}
