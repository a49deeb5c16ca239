/* Measures the server in one process with its client and worker: bench_server [directory] [seconds]
 * [in flight]. One workflow = start, a first task that schedules one activity, the activity, a second
 * task that completes, and a client that waits for the result: eight calls. With a directory the
 * database is a file there and every reply waits for its sync. One driver thread plays client and
 * worker with the least work that is possible, so the figures are the server's and the transport's. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <temporal/api/command/v1/message.pb-c.h>
#include <temporal/api/workflowservice/v1/request_response.pb-c.h>

#include "base/inbox.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/world.h"
#include "proto/pb.h"
#include "server/server.h"
#include "tl_enums.h"

#define POLLS 16

enum role { START, RESULT, POLL_WORKFLOW, DONE_WORKFLOW, POLL_ACTIVITY, DONE_ACTIVITY };

struct call {
    enum role role;
    struct tl_rpc_call *handle;
    int64_t began_ns;
};

struct bench {
    struct tl_server *s;
    struct tl_channel *ch;
    struct tl_inbox inbox;
    struct tl_arena arena;
    int64_t started, finished, live, stop_ns;
    int64_t *latencies;
    size_t latency_count, latency_max;
    bool stopping;
};

static int64_t now(void)
{
    return tl_world_mono_ns(tl_world_real());
}

static void done(void *ud, struct tl_rpc_result *res)
{
    struct bench *b = ((void **)ud)[0];
    res->ud = ((void **)ud)[1];
    if (!tl_inbox_send_always(&b->inbox, &res->msg)) {
        abort();
    }
}

/* The ud of a call: bench and call, in one block. */
struct block {
    void *pair[2];
    struct call call;
};

static void send(struct bench *b, enum role role, enum tl_method m, const void *req,
                 int64_t began_ns)
{
    struct block *k = TL_NEW(struct block);
    struct tl_buf buf;
    k->pair[0] = b;
    k->pair[1] = k;
    k->call = (struct call){role, NULL, began_ns};
    tl_buf_init(&buf, 1 << 20);
    if (tl_pb_encode(req, &buf, NULL) != TL_OK) {
        abort();
    }
    b->live++;
    k->call.handle = tl_channel_call(b->ch, m, tl_buf_str(&buf), 0, done, k->pair);
    tl_buf_deinit(&buf);
}

static void poll_workflow(struct bench *b)
{
    TpWs__PollWorkflowTaskQueueRequest r = TP_WS__POLL_WORKFLOW_TASK_QUEUE_REQUEST__INIT;
    TpTq__TaskQueue q = TP_TQ__TASK_QUEUE__INIT;
    q.name = tl_pb_text("orders");
    r.namespace_ = tl_pb_text("default");
    r.task_queue = &q;
    r.identity = tl_pb_text("bench");
    send(b, POLL_WORKFLOW, TL_M_PollWorkflowTaskQueue, &r, 0);
}

static void poll_activity(struct bench *b)
{
    TpWs__PollActivityTaskQueueRequest r = TP_WS__POLL_ACTIVITY_TASK_QUEUE_REQUEST__INIT;
    TpTq__TaskQueue q = TP_TQ__TASK_QUEUE__INIT;
    q.name = tl_pb_text("orders");
    r.namespace_ = tl_pb_text("default");
    r.task_queue = &q;
    r.identity = tl_pb_text("bench");
    send(b, POLL_ACTIVITY, TL_M_PollActivityTaskQueue, &r, 0);
}

static void start(struct bench *b)
{
    TpWs__StartWorkflowExecutionRequest r = TP_WS__START_WORKFLOW_EXECUTION_REQUEST__INIT;
    TpCommon__WorkflowType type = TP_COMMON__WORKFLOW_TYPE__INIT;
    TpTq__TaskQueue q = TP_TQ__TASK_QUEUE__INIT;
    char id[32], request_id[37];
    snprintf(id, sizeof id, "order-%" PRId64, b->started++);
    tl_uuid4(tl_world_real(), request_id);
    type.name = tl_pb_text("Order");
    q.name = tl_pb_text("orders");
    r.namespace_ = tl_pb_text("default");
    r.workflow_id = id;
    r.workflow_type = &type;
    r.task_queue = &q;
    r.request_id = request_id;
    r.identity = tl_pb_text("bench");
    send(b, START, TL_M_StartWorkflowExecution, &r, now());
    TpWs__GetWorkflowExecutionHistoryRequest h =
        TP_WS__GET_WORKFLOW_EXECUTION_HISTORY_REQUEST__INIT;
    TpCommon__WorkflowExecution x = TP_COMMON__WORKFLOW_EXECUTION__INIT;
    x.workflow_id = id;
    h.namespace_ = tl_pb_text("default");
    h.execution = &x;
    h.wait_new_event = true;
    h.history_event_filter_type =
        (TpEnums__HistoryEventFilterType)HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT;
    send(b, RESULT, TL_M_GetWorkflowExecutionHistory, &h, now());
}

static void complete_workflow_task(struct bench *b, const TpWs__PollWorkflowTaskQueueResponse *w)
{
    TpWs__RespondWorkflowTaskCompletedRequest r =
        TP_WS__RESPOND_WORKFLOW_TASK_COMPLETED_REQUEST__INIT;
    TpCommand__Command c = TP_COMMAND__COMMAND__INIT;
    TpCommand__Command *list[1] = {&c};
    TpCommand__ScheduleActivityTaskCommandAttributes a =
        TP_COMMAND__SCHEDULE_ACTIVITY_TASK_COMMAND_ATTRIBUTES__INIT;
    TpCommand__CompleteWorkflowExecutionCommandAttributes e =
        TP_COMMAND__COMPLETE_WORKFLOW_EXECUTION_COMMAND_ATTRIBUTES__INIT;
    TpCommon__ActivityType type = TP_COMMON__ACTIVITY_TYPE__INIT;
    TpTq__TaskQueue q = TP_TQ__TASK_QUEUE__INIT;
    Google__Protobuf__Duration timeout = GOOGLE__PROTOBUF__DURATION__INIT;
    if (w->previous_started_event_id == 0) {
        c.command_type = (TpEnums__CommandType)COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK;
        c.attributes_case =
            TP_COMMAND__COMMAND__ATTRIBUTES_SCHEDULE_ACTIVITY_TASK_COMMAND_ATTRIBUTES;
        c.schedule_activity_task_command_attributes = &a;
        type.name = tl_pb_text("charge");
        q.name = tl_pb_text("orders");
        timeout.seconds = 30;
        a.activity_id = tl_pb_text("1");
        a.activity_type = &type;
        a.task_queue = &q;
        a.start_to_close_timeout = &timeout;
    } else {
        c.command_type = (TpEnums__CommandType)COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION;
        c.attributes_case =
            TP_COMMAND__COMMAND__ATTRIBUTES_COMPLETE_WORKFLOW_EXECUTION_COMMAND_ATTRIBUTES;
        c.complete_workflow_execution_command_attributes = &e;
    }
    r.namespace_ = tl_pb_text("default");
    r.identity = tl_pb_text("bench");
    r.task_token = w->task_token;
    r.n_commands = 1;
    r.commands = list;
    send(b, DONE_WORKFLOW, TL_M_RespondWorkflowTaskCompleted, &r, 0);
}

static void took_workflow(struct bench *b, const struct tl_rpc_result *res)
{
    TpWs__PollWorkflowTaskQueueResponse *w = NULL;
    tl_arena_reset(&b->arena);
    if (tl_pb_decode(&tp_ws__poll_workflow_task_queue_response__descriptor, res->body, &b->arena,
                     &w, NULL) != TL_OK) {
        abort();
    }
    if (w->task_token.len) {
        complete_workflow_task(b, w);
    }
    if (!b->stopping) {
        poll_workflow(b);
    }
}

static void took_activity(struct bench *b, const struct tl_rpc_result *res)
{
    TpWs__PollActivityTaskQueueResponse *a = NULL;
    TpWs__RespondActivityTaskCompletedRequest r =
        TP_WS__RESPOND_ACTIVITY_TASK_COMPLETED_REQUEST__INIT;
    tl_arena_reset(&b->arena);
    if (tl_pb_decode(&tp_ws__poll_activity_task_queue_response__descriptor, res->body, &b->arena,
                     &a, NULL) != TL_OK) {
        abort();
    }
    if (a->task_token.len) {
        r.namespace_ = tl_pb_text("default");
        r.identity = tl_pb_text("bench");
        r.task_token = a->task_token;
        send(b, DONE_ACTIVITY, TL_M_RespondActivityTaskCompleted, &r, 0);
    }
    if (!b->stopping) {
        poll_activity(b);
    }
}

static void finished(struct bench *b, const struct call *c)
{
    b->finished++;
    if (b->latency_count < b->latency_max) {
        b->latencies[b->latency_count++] = now() - c->began_ns;
    }
    if (now() < b->stop_ns) {
        start(b);
    }
}

static void take(struct bench *b, struct tl_rpc_result *res)
{
    struct block *k = res->ud;
    b->live--;
    if (res->status != 0 && !b->stopping) {
        fprintf(stderr, "bench_server: %s: status %d: %.*s\n", tl_method_info(res->method)->name,
                res->status, TL_STR_FMT(res->message));
        exit(1);
    }
    if (res->status == 0 && k->call.role == POLL_WORKFLOW) {
        took_workflow(b, res);
    } else if (res->status == 0 && k->call.role == POLL_ACTIVITY) {
        took_activity(b, res);
    } else if (res->status == 0 && k->call.role == RESULT) {
        finished(b, &k->call);
    }
    tl_rpc_call_release(k->call.handle);
    tl_rpc_result_free(res);
    tl_mem_free(k);
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void report(struct bench *b, double seconds, double cpu)
{
    struct tl_server_stats st;
    qsort(b->latencies, b->latency_count, sizeof *b->latencies, by_value);
    tl_server_stats(b->s, &st);
    printf("workflows\t%.0f\t1/s\n", (double)b->finished / seconds);
    printf("cpu\t%.1f\tus/workflow\n", cpu * 1e6 / (double)b->finished);
    printf("items_per_commit\t%.1f\t\n",
           (double)st.commit_items / (double)(st.commits ? st.commits : 1));
    printf("latency_p50\t%.2f\tms\n", (double)b->latencies[b->latency_count / 2] / 1e6);
    printf("latency_p99\t%.2f\tms\n", (double)b->latencies[b->latency_count * 99 / 100] / 1e6);
    printf("latency_max\t%.2f\tms\n", (double)b->latencies[b->latency_count - 1] / 1e6);
}

int main(int argc, char **argv)
{
    struct bench b = {0};
    struct tl_server_options o;
    struct tl_error err;
    char path[512];
    double seconds = argc > 2 ? atof(argv[2]) : 5;
    int in_flight = argc > 3 ? atoi(argv[3]) : 64;
    tl_log_level(TL_LOG_WARN);
    tl_server_options_default(&o);
    if (argc > 1 && *argv[1]) {
        snprintf(path, sizeof path, "%s/bench-server.db", argv[1]);
        remove(path);
        o.db_path = path;
    }
    if (tl_server_open(&b.s, &o, &err) != TL_OK || tl_server_start(b.s, &err) != TL_OK) {
        fprintf(stderr, "bench_server: %s\n", err.message);
        return 1;
    }
    b.ch = tl_local_channel_open(tl_server_service(b.s));
    tl_inbox_init(&b.inbox, SIZE_MAX);
    tl_arena_init(&b.arena, TL_ARENA_UNLIMITED);
    b.latency_max = 4000000;
    b.latencies = TL_NEW_ARRAY(int64_t, b.latency_max);
    int64_t began = now();
    double cpu = cpu_seconds();
    b.stop_ns = began + (int64_t)(seconds * 1e9);
    for (int i = 0; i < POLLS; i++) {
        poll_workflow(&b);
        poll_activity(&b);
    }
    for (int i = 0; i < in_flight; i++) {
        start(&b);
    }
    while (b.finished < b.started || now() < b.stop_ns) {
        for (struct tl_msg *m = tl_inbox_take_all(&b.inbox, INT64_MAX), *next; m; m = next) {
            next = m->next;
            take(&b, TL_CONTAINER(m, struct tl_rpc_result, msg));
        }
    }
    report(&b, (double)(now() - began) / 1e9, cpu_seconds() - cpu);
    b.stopping = true;
    tl_server_stop(b.s);
    while (b.live) {
        for (struct tl_msg *m = tl_inbox_take_all(&b.inbox, INT64_MAX), *next; m; m = next) {
            next = m->next;
            take(&b, TL_CONTAINER(m, struct tl_rpc_result, msg));
        }
    }
    tl_server_close(b.s);
    tl_channel_close(b.ch);
    tl_mem_free(b.latencies);
    tl_arena_deinit(&b.arena);
    return 0;
}
