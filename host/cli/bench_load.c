/* The load generator: a fixed number of slots, each starts a workflow, waits for its close event with
 * a long poll, and starts the next. Calls are asynchronous; replies come through one inbox. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/inbox.h"
#include "base/list.h"
#include "base/mem.h"
#include "cli/bench.h"
#include "tl_enums.h"

#define LATENCIES_MAX 2000000

struct load {
    struct tl_bench *bench;
    const char *type;
    bool wait;
    struct tl_inbox inbox;
    uint64_t next_id, completed, failed;
    int64_t end_ns;
    float *latencies_ms;
    size_t latency_count;
    int busy; /* slots with a call under way */
};

struct slot {
    struct load *load;
    int64_t begun_ns;
    char id[48];
    bool waiting; /* for the close event */
    struct tl_rpc_call *call;
};

static void done(void *ud, struct tl_rpc_result *res)
{
    struct slot *s = ud;
    res->ud = s;
    if (!tl_inbox_send_always(&s->load->inbox, &res->msg)) {
        tl_rpc_result_free(res);
    }
}

static int64_t mono(void)
{
    return tl_world_mono_ns(tl_world_real());
}

static void submit(struct slot *s, enum tl_method method, void *request, int64_t timeout_ns)
{
    struct tl_error err;
    if (tl_client_submit(s->load->bench->server.client, method, request, timeout_ns, done, s,
                         &s->call, &err) != TL_OK) {
        s->load->failed++;
        return;
    }
    s->load->busy++;
}

static void start(struct slot *s)
{
    struct load *l = s->load;
    TpWs__StartWorkflowExecutionRequest request;
    TpCommon__WorkflowType type;
    TpTq__TaskQueue queue;
    tp_ws__start_workflow_execution_request__init(&request);
    tp_common__workflow_type__init(&type);
    tp_tq__task_queue__init(&queue);
    snprintf(s->id, sizeof s->id, "%s-%llu", l->type, (unsigned long long)l->next_id++);
    type.name = (char *)(uintptr_t)l->type;
    queue.name = (char *)(uintptr_t) "bench";
    request.workflow_id = s->id;
    request.workflow_type = &type;
    request.task_queue = &queue;
    s->begun_ns = mono();
    s->waiting = false;
    submit(s, TL_M_StartWorkflowExecution, &request, 10 * TL_NS_PER_S);
}

static void await_close(struct slot *s)
{
    TpWs__GetWorkflowExecutionHistoryRequest request;
    TpCommon__WorkflowExecution execution;
    tp_ws__get_workflow_execution_history_request__init(&request);
    tp_common__workflow_execution__init(&execution);
    execution.workflow_id = s->id;
    request.execution = &execution;
    request.wait_new_event = 1;
    request.history_event_filter_type =
        (TpEnums__HistoryEventFilterType)HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT;
    s->waiting = true;
    submit(s, TL_M_GetWorkflowExecutionHistory, &request, 30 * TL_NS_PER_S);
}

static void record(struct slot *s)
{
    struct load *l = s->load;
    l->completed++;
    if (l->latency_count < LATENCIES_MAX) {
        l->latencies_ms[l->latency_count++] = (float)((double)(mono() - s->begun_ns) / 1e6);
    }
}

/* A long poll may end without an event; then it is asked again. Tag 1 of the response is the history:
 * a response without it begins with something else. */
static bool has_event(const struct tl_rpc_result *res)
{
    return res->body.n > 2 && res->body.p[0] == 0x0a && res->body.p[1] != 0;
}

static void advance(struct slot *s, struct tl_rpc_result *res)
{
    struct load *l = s->load;
    l->busy--;
    tl_rpc_call_release(s->call);
    s->call = NULL;
    if (res->status != 0) {
        if (l->failed++ == 0) {
            fprintf(stderr, "temporal-lua: bench: %.*s\n", TL_STR_FMT(res->message));
        }
    } else if (!s->waiting && l->wait) {
        await_close(s);
        return;
    } else if (s->waiting && !has_event(res)) {
        await_close(s);
        return;
    } else {
        record(s);
    }
    if (mono() < l->end_ns) {
        start(s);
    }
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void drain(struct load *l)
{
    while (l->busy > 0) {
        struct tl_msg *m = tl_inbox_take_all(&l->inbox, INT64_MAX);
        while (m) {
            struct tl_msg *next = m->next;
            struct tl_rpc_result *res = TL_CONTAINER(m, struct tl_rpc_result, msg);
            advance(res->ud, res);
            tl_rpc_result_free(res);
            m = next;
        }
    }
}

static void summarise(struct load *l, int64_t began_ns, double cpu, struct tl_bench_load *out)
{
    double seconds = (double)(mono() - began_ns) / 1e9;
    qsort(l->latencies_ms, l->latency_count, sizeof *l->latencies_ms, by_value);
    *out = (struct tl_bench_load){
        .completed = l->completed,
        .failed = l->failed,
        .seconds = seconds,
        .per_second = (double)l->completed / seconds,
        .cpu_us_each = l->completed ? cpu * 1e6 / (double)l->completed : 0,
        .p50_ms = l->latency_count ? (double)l->latencies_ms[l->latency_count / 2] : 0,
        .p99_ms = l->latency_count ? (double)l->latencies_ms[l->latency_count * 99 / 100] : 0,
    };
}

tl_rc tl_bench_run_load(struct tl_bench *b, const char *workflow_type, int in_flight, bool wait,
                        struct tl_bench_load *out, struct tl_error *err)
{
    static uint64_t ids; /* workflow ids are new in every figure of one process */
    struct load l = {.bench = b, .type = workflow_type, .wait = wait, .next_id = ids};
    struct slot *slots = TL_NEW_ARRAY(struct slot, (size_t)in_flight);
    tl_inbox_init(&l.inbox, (size_t)in_flight * 2);
    l.latencies_ms = TL_NEW_ARRAY(float, LATENCIES_MAX);
    int64_t began_ns = mono();
    double cpu = cpu_seconds();
    l.end_ns = began_ns + b->duration_ns;
    for (int i = 0; i < in_flight; i++) {
        slots[i].load = &l;
        start(&slots[i]);
    }
    drain(&l);
    summarise(&l, began_ns, cpu_seconds() - cpu, out);
    ids = l.next_id;
    tl_inbox_deinit(&l.inbox);
    tl_mem_free(l.latencies_ms);
    tl_mem_free(slots);
    if (out->failed) {
        return tl_error_set(err, TL_EINTERNAL, "%llu calls failed",
                            (unsigned long long)out->failed);
    }
    return TL_OK;
}
