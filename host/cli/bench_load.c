/* The load generator: a fixed number of slots, each with one call under way: it starts a workflow, waits for
 * its close event with a long poll, and starts the next; or it signals or queries a workflow of its own
 * again and again. What a load started is closed when it returns: an open run would be work in the way of
 * the figure after. Calls are asynchronous; replies come through one inbox. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/inbox.h"
#include "base/list.h"
#include "base/mem.h"
#include "cli/bench.h"
#include "tl_enums.h"

#define LATENCIES_MAX 2000000
#define INPUT_BYTES_MAX ((size_t)1 << 20)

struct load {
    struct tl_bench *bench;
    const char *type;
    enum tl_bench_kind kind;
    struct tl_inbox inbox;
    uint64_t next_id, completed, failed;
    uint64_t
        next_left; /* of TL_BENCH_STARTS: the first workflow whose close nobody waits for yet */
    int64_t end_ns;
    float *latencies_ms;
    size_t latency_count;
    int busy;                  /* slots with a call under way */
    struct tl_list due;        /* with a rate: slots that wait for their time to start */
    int64_t pause_ns, next_ns; /* between starts; when the next one is due */
};

struct slot {
    struct load *load;
    struct tl_list node;
    int64_t begun_ns;
    char id[48];
    enum { STARTING, WAITING, ACTING, ENDING, CLEARING } step;
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

static void set_id(struct slot *s, uint64_t number)
{
    snprintf(s->id, sizeof s->id, "%s-%ld-%llu", s->load->type, (long)getpid(),
             (unsigned long long)number);
}

static void start(struct slot *s)
{
    struct load *l = s->load;
    const struct tl_bench *b = l->bench;
    TpWs__StartWorkflowExecutionRequest request;
    TpCommon__WorkflowType type;
    TpTq__TaskQueue queue;
    struct tl_arena arena;
    tp_ws__start_workflow_execution_request__init(&request);
    tp_common__workflow_type__init(&type);
    tp_tq__task_queue__init(&queue);
    tl_arena_init(&arena, INPUT_BYTES_MAX);
    set_id(s, l->next_id++);
    type.name = (char *)(uintptr_t)l->type;
    queue.name = (char *)(uintptr_t)(b->task_queue ? b->task_queue : "bench");
    request.workflow_id = s->id;
    request.workflow_type = &type;
    request.task_queue = &queue;
    request.input = b->input ? tl_bench_payloads(&arena, b->input) : NULL;
    s->begun_ns = mono();
    s->step = STARTING;
    submit(s, TL_M_StartWorkflowExecution, &request, 10 * TL_NS_PER_S);
    tl_arena_deinit(&arena);
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

static void act(struct slot *s)
{
    TpCommon__WorkflowExecution execution;
    tp_common__workflow_execution__init(&execution);
    execution.workflow_id = s->id;
    s->begun_ns = mono();
    s->step = ACTING;
    if (s->load->kind == TL_BENCH_SIGNALS) {
        TpWs__SignalWorkflowExecutionRequest request;
        tp_ws__signal_workflow_execution_request__init(&request);
        request.workflow_execution = &execution;
        request.signal_name = (char *)(uintptr_t) "add";
        submit(s, TL_M_SignalWorkflowExecution, &request, 10 * TL_NS_PER_S);
    } else {
        TpWs__QueryWorkflowRequest request;
        TpQuery__WorkflowQuery query;
        tp_ws__query_workflow_request__init(&request);
        tp_query__workflow_query__init(&query);
        request.execution = &execution;
        request.query = &query;
        query.query_type = (char *)(uintptr_t) "count";
        submit(s, TL_M_QueryWorkflow, &request, 10 * TL_NS_PER_S);
    }
}

static void terminate(struct slot *s)
{
    TpWs__TerminateWorkflowExecutionRequest request;
    TpCommon__WorkflowExecution execution;
    tp_ws__terminate_workflow_execution_request__init(&request);
    tp_common__workflow_execution__init(&execution);
    execution.workflow_id = s->id;
    request.workflow_execution = &execution;
    s->step = ENDING;
    submit(s, TL_M_TerminateWorkflowExecution, &request, 10 * TL_NS_PER_S);
}

/* Starts what is due; with a rate the times are fixed in advance, so what was late is made up for. */
static void start_due(struct load *l)
{
    for (int64_t now = mono(); l->next_ns <= now && now < l->end_ns; l->next_ns += l->pause_ns) {
        struct tl_list *node = tl_list_pop(&l->due);
        if (!node) {
            break;
        }
        start(TL_CONTAINER(node, struct slot, node));
    }
}

static void next_start(struct slot *s)
{
    if (s->load->pause_ns) {
        tl_list_push(&s->load->due, &s->node);
        start_due(s->load);
    } else if (mono() < s->load->end_ns) {
        start(s);
    }
}

/* Waits for the close of a workflow that was started and that no slot waits for yet. */
static void clear_next(struct slot *s)
{
    struct load *l = s->load;
    if (l->next_left < l->next_id) {
        set_id(s, l->next_left++);
        s->step = CLEARING;
        await_close(s);
    }
}

/* What a slot does after a call of its that went well. */
static void advance(struct slot *s, const struct tl_rpc_result *res)
{
    struct load *l = s->load;
    switch (s->step) {
    case STARTING:
        if (l->kind == TL_BENCH_RUNS) {
            s->step = WAITING;
            await_close(s);
        } else if (l->kind == TL_BENCH_STARTS) {
            record(s);
            next_start(s);
        } else {
            act(s);
        }
        break;
    case WAITING:
        if (has_event(res)) {
            record(s);
            next_start(s);
        } else {
            await_close(s);
        }
        break;
    case ACTING:
        record(s);
        if (mono() < l->end_ns) {
            act(s);
        } else {
            terminate(s);
        }
        break;
    case CLEARING:
        if (has_event(res)) {
            clear_next(s);
        } else {
            await_close(s);
        }
        break;
    case ENDING:
        break;
    }
}

static void take_result(struct slot *s, struct tl_rpc_result *res)
{
    struct load *l = s->load;
    l->busy--;
    tl_rpc_call_release(s->call);
    s->call = NULL;
    if (res->status == 0) {
        advance(s, res);
        return;
    }
    if (l->failed++ == 0) {
        fprintf(stderr, "temporal-lua: bench: %.*s\n", TL_STR_FMT(res->message));
    }
    if (s->step == STARTING || s->step == WAITING) {
        next_start(s);
    } else if (s->step == CLEARING) {
        clear_next(s);
    }
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

double tl_bench_cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* User and system time of another process so far; 0 when it cannot be read. */
static double process_cpu_seconds(int64_t pid)
{
    char path[64], line[1024] = "";
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    FILE *f = pid > 0 ? fopen(path, "r") : NULL;
    if (!f) {
        return 0;
    }
    /* The name in brackets may hold anything; what counts comes after the last one. */
    const char *rest = fgets(line, sizeof line, f) ? strrchr(line, ')') : NULL;
    fclose(f);
    if (!rest || sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                        &system) != 2) {
        return 0;
    }
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static void drain(struct load *l)
{
    while (l->busy > 0 || (!tl_list_empty(&l->due) && mono() < l->end_ns)) {
        bool waits = !tl_list_empty(&l->due) && mono() < l->end_ns;
        struct tl_msg *m = tl_inbox_take_all(&l->inbox, waits ? l->next_ns : INT64_MAX);
        start_due(l);
        while (m) {
            struct tl_msg *next = m->next;
            struct tl_rpc_result *res = TL_CONTAINER(m, struct tl_rpc_result, msg);
            take_result(res->ud, res);
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

tl_rc tl_bench_run_load(struct tl_bench *b, const char *workflow_type, enum tl_bench_kind kind,
                        struct tl_bench_load *out, struct tl_error *err)
{
    int in_flight = b->in_flight;
    static uint64_t ids; /* workflow ids are new in every figure of one process */
    struct load l = {
        .bench = b, .type = workflow_type, .kind = kind, .next_id = ids, .next_left = ids};
    struct slot *slots = TL_NEW_ARRAY(struct slot, (size_t)in_flight);
    tl_inbox_init(&l.inbox, (size_t)in_flight * 2);
    l.latencies_ms = TL_NEW_ARRAY(float, LATENCIES_MAX);
    int64_t began_ns = mono();
    double cpu = tl_bench_cpu_seconds(), server_cpu = process_cpu_seconds(b->server_pid);
    l.end_ns = began_ns + b->duration_ns;
    l.next_ns = began_ns;
    l.pause_ns = b->rate > 0 ? (int64_t)((double)TL_NS_PER_S / b->rate) : 0;
    tl_list_init(&l.due);
    for (int i = 0; i < in_flight; i++) {
        slots[i].load = &l;
        next_start(&slots[i]);
    }
    drain(&l);
    summarise(&l, began_ns, tl_bench_cpu_seconds() - cpu, out);
    if (b->server_pid && out->completed) {
        double used = process_cpu_seconds(b->server_pid) - server_cpu;
        out->server_cpu_us_each = used * 1e6 / (double)out->completed;
    }
    while (!tl_list_empty(&l.due)) {
        (void)tl_list_pop(&l.due);
    }
    for (int i = 0; i < in_flight && kind == TL_BENCH_STARTS && !b->leave_open; i++) {
        clear_next(&slots[i]);
    }
    drain(&l);
    out->failed = l.failed;
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
