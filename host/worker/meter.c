/* See meter.h. */
#include "worker/meter.h"

#include <stdio.h>

#include "proto/failure.h"
#include "proto/wire.h"
#include "tl_enums.h"
#include "worker/op_int.h"
#include "worker/wf_int.h"

#define MS INT64_C(1000000)

/* Upper bounds as the SDKs have them. */
static const int64_t endtoend_bounds[] = {
    100 * MS,     500 * MS,     1000 * MS,     1500 * MS,     2000 * MS,   5000 * MS,
    10000 * MS,   30000 * MS,   60000 * MS,    120000 * MS,   300000 * MS, 600000 * MS,
    1800000 * MS, 3600000 * MS, 30600000 * MS, 86400000 * MS,
};
static const int64_t task_bounds[] = {1 * MS,   10 * MS,  20 * MS,  50 * MS,
                                      100 * MS, 200 * MS, 500 * MS, 1000 * MS};
static const int64_t activity_bounds[] = {50 * MS,   100 * MS,   500 * MS,  1000 * MS,
                                          5000 * MS, 10000 * MS, 60000 * MS};
static const int64_t schedule_bounds[] = {100 * MS,   500 * MS,    1000 * MS,   5000 * MS,
                                          10000 * MS, 100000 * MS, 1000000 * MS};

// clang-format off
#define TIME(list)                                                                                 \
    .kind = TL_METRIC_HISTOGRAM, .duration = true, .bounds = (list),                               \
    .bound_count = sizeof(list) / sizeof(list)[0]
#define KIND_COUNTER .kind = TL_METRIC_COUNTER
#define KIND_GAUGE .kind = TL_METRIC_GAUGE
#define KIND_REAL .kind = TL_METRIC_GAUGE, .real = true
#define KIND_DURATION .kind = TL_METRIC_HISTOGRAM, .duration = true
#define KIND_WORKFLOW_TIME TIME(endtoend_bounds)
#define KIND_TASK_TIME TIME(task_bounds)
#define KIND_ACTIVITY_TIME TIME(activity_bounds)
#define KIND_SCHEDULE_TIME TIME(schedule_bounds)
static const struct tl_metric_def defs[TL_METER_COUNT] = {
#define M(id, kind_, name_, help_, ...)                                                            \
    {.name = name_, .help = help_, .sdk = true, KIND_##kind_,                                      \
     .labels = {"namespace", "task_queue" __VA_OPT__(, ) __VA_ARGS__}},
#include "worker/meter.def"
#undef M
};
// clang-format on

void tl_meter_register(struct tl_metrics *registry)
{
    for (int i = 0; i < TL_METER_COUNT; i++) {
        (void)tl_metric_new(registry, &defs[i]);
    }
}

static struct tl_series *series(const struct tl_worker *w, enum tl_meter_id id, struct tl_str a,
                                struct tl_str b, struct tl_str c)
{
    struct tl_str values[] = {tl_str(w->namespace_name), tl_str(w->task_queue), a, b, c};
    return tl_metric_get(w->meter.metrics[id], values);
}

#define NONE ((struct tl_str){0})

static void count(const struct tl_worker *w, enum tl_meter_id id, struct tl_str a, struct tl_str b)
{
    if (w->meter.registry) {
        tl_series_add(series(w, id, a, b, NONE), 1);
    }
}

/* Of an activity that failed, for a reason. */
static void count_failure(const struct tl_worker *w, enum tl_meter_id id, struct tl_str type,
                          struct tl_str of, const char *reason)
{
    tl_series_add(series(w, id, type, of, tl_str(reason)), 1);
}

static void observe(const struct tl_worker *w, enum tl_meter_id id, struct tl_str a,
                    struct tl_str b, int64_t ns)
{
    if (w->meter.registry && ns >= 0) {
        tl_series_observe(series(w, id, a, b, NONE), ns);
    }
}

/* From one of the server's times to another; -1: it does not tell them. */
static int64_t between(const Google__Protobuf__Timestamp *from,
                       const Google__Protobuf__Timestamp *to)
{
    int64_t begin = tl_pb_timestamp_ns_or(from, -1), end = tl_pb_timestamp_ns_or(to, -1);
    return begin < 0 || end < 0 ? -1 : end > begin ? end - begin : 0;
}

/* Since a time on the wall clock; -1: there is none. */
static int64_t since(const struct tl_worker *w, int64_t wall_ns)
{
    int64_t now = tl_world_wall_ns(w->world);
    return wall_ns <= 0 ? -1 : now > wall_ns ? now - wall_ns : 0;
}

static const char *const poller_labels[] = {"workflow_task", "sticky_workflow_task",
                                            "activity_task", "nexus_task"};
static const char *const slot_labels[] = {"WorkflowWorker", "ActivityWorker", "LocalActivityWorker",
                                          "NexusWorker"};

/* --- gauges ----------------------------------------------------------------------------------------- */

static int polls_out(struct tl_worker *w, enum tl_poll_kind kind, bool with_slot)
{
    int n = 0;
    TL_LIST_EACH (node, &w->poll_sets) {
        const struct tl_poll_set *set = TL_CONTAINER(node, struct tl_poll_set, node);
        if (set->current || !with_slot) {
            n += atomic_load_explicit(&set->pollers[kind].outstanding, memory_order_relaxed);
        }
    }
    return n;
}

/* Changes the gauge by what this worker's part of it has changed. */
static void tell(const struct tl_worker *w, enum tl_meter_id id, const char *label, int64_t *told,
                 int64_t now)
{
    tl_series_add(series(w, id, tl_str(label), NONE, NONE), now - *told);
    *told = now;
}

static void tell_slots(struct tl_worker *w, int kind, const struct tl_slots *s, int polls)
{
    struct tl_meter *m = &w->meter;
    int used = atomic_load(&s->used) - polls; /* a slot that waits with a poll is free */
    used = used > 0 ? used : 0;
    tell(w, TL_METER_SLOTS_USED, slot_labels[kind], &m->used[kind], used);
    if (!s->resource && !s->custom) {
        tell(w, TL_METER_SLOTS_AVAILABLE, slot_labels[kind], &m->available[kind],
             used < s->max ? s->max - used : 0);
    }
}

static void collect(struct tl_metrics_source *source)
{
    struct tl_meter *m = TL_CONTAINER(source, struct tl_meter, source);
    struct tl_worker *w = m->worker;
    int out[TL_METER_POLLERS], held[TL_METER_POLLERS];
    double memory, cpu;
    pthread_mutex_lock(&w->poll_mutex);
    for (int i = 0; i < TL_METER_POLLERS; i++) {
        out[i] = polls_out(w, (enum tl_poll_kind)i, false);
        held[i] = polls_out(w, (enum tl_poll_kind)i, true);
    }
    pthread_mutex_unlock(&w->poll_mutex);
    for (int i = 0; i < TL_METER_POLLERS; i++) {
        if (w->polls_max[i]) {
            tell(w, TL_METER_NUM_POLLERS, poller_labels[i], &m->pollers[i], out[i]);
        }
    }
    tell_slots(w, 0, &w->wf_slots, held[TL_POLL_NORMAL] + held[TL_POLL_STICKY]);
    tell_slots(w, 1, &w->act_slots, held[TL_POLL_ACTIVITY]);
    tell_slots(w, 2, &w->local_slots, 0);
    tell_slots(w, 3, &w->nexus_slots, held[TL_POLL_NEXUS]);
    tell(w, TL_METER_CACHE_SIZE, NULL, &m->cached, atomic_load(&w->cached_runs));
    if (w->resource_tunes) {
        tl_resource_shares(&w->resource, tl_worker_now(w), &memory, &cpu);
        tl_series_set_real(series(w, TL_METER_MEMORY_USAGE, NONE, NONE, NONE), 100 * memory);
        tl_series_set_real(series(w, TL_METER_CPU_USAGE, NONE, NONE, NONE), 100 * cpu);
    }
}

void tl_meter_open(struct tl_worker *w)
{
    struct tl_meter *m = &w->meter;
    m->registry = tl_client_metrics(w->client);
    m->worker = w;
    m->source.collect = collect;
    for (int i = 0; i < TL_METER_COUNT; i++) {
        m->metrics[i] = tl_metric_new(m->registry, &defs[i]);
    }
    tl_metrics_source_on(m->registry, &m->source);
}

static void forget(const struct tl_worker *w, enum tl_meter_id id, const char *label, int64_t *told)
{
    if (*told) {
        tell(w, id, label, told, 0);
    }
}

/* The worker's part of the gauges goes with it. */
void tl_meter_close(struct tl_worker *w)
{
    struct tl_meter *m = &w->meter;
    if (!m->registry) {
        return;
    }
    tl_metrics_source_off(m->registry, &m->source);
    for (int i = 0; i < TL_METER_POLLERS; i++) {
        forget(w, TL_METER_NUM_POLLERS, poller_labels[i], &m->pollers[i]);
    }
    for (int i = 0; i < TL_METER_SLOTS; i++) {
        forget(w, TL_METER_SLOTS_USED, slot_labels[i], &m->used[i]);
        forget(w, TL_METER_SLOTS_AVAILABLE, slot_labels[i], &m->available[i]);
    }
    forget(w, TL_METER_CACHE_SIZE, NULL, &m->cached);
}

/* --- polls and workflow tasks ----------------------------------------------------------------------- */

void tl_meter_worker_started(struct tl_worker *w)
{
    count(w, TL_METER_WORKER_START, NONE, NONE);
}

void tl_meter_poll(struct tl_worker *w, int kind, bool task)
{
    if (kind == TL_POLL_NORMAL || kind == TL_POLL_STICKY) {
        count(w, task ? TL_METER_WORKFLOW_POLL_SUCCEED : TL_METER_WORKFLOW_POLL_EMPTY, NONE, NONE);
    } else if (!task) {
        count(w,
              kind == TL_POLL_ACTIVITY ? TL_METER_ACTIVITY_POLL_NO_TASK
                                       : TL_METER_NEXUS_POLL_NO_TASK,
              NONE, NONE);
    }
}

static struct tl_worker *worker_of(const struct tl_wf_task *t)
{
    return t->owner->actor.worker;
}

static struct tl_str type_of(const struct tl_wf_task *t)
{
    return tl_str(t->poll->workflow_type->name);
}

void tl_meter_task_taken(const struct tl_wf_task *t)
{
    observe(worker_of(t), TL_METER_WORKFLOW_TASK_SCHEDULE_TO_START, NONE, NONE,
            between(t->poll->scheduled_time, t->poll->started_time));
}

void tl_meter_cache(const struct tl_wf_task *t, bool hit)
{
    if (hit) {
        count(worker_of(t), TL_METER_CACHE_HIT, type_of(t), NONE);
    } else {
        count(worker_of(t), TL_METER_CACHE_MISS, NONE, NONE);
    }
}

void tl_meter_evicted(struct tl_worker *w)
{
    count(w, TL_METER_CACHE_EVICTION, NONE, NONE);
}

static tl_rc watched_activate(void *ud, const struct tl_activation *activation,
                              struct tl_completion *out, struct tl_error *err)
{
    struct tl_meter_replay *p = ud;
    if (activation->is_replaying) {
        p->replayed = true;
    } else if (!p->caught_up_ns) {
        p->caught_up_ns = tl_worker_now(p->worker);
    }
    return p->inner->activate(p->inner->ud, activation, out, err);
}

const struct tl_lang *tl_meter_replay_begins(struct tl_wf_run *r, const struct tl_lang *lang)
{
    struct tl_worker *w = r->owner->actor.worker;
    if (!w->meter.registry) {
        return lang;
    }
    r->replay = (struct tl_meter_replay){
        .lang = {.ud = &r->replay, .activate = watched_activate},
        .inner = lang,
        .worker = w,
        .begun_ns = tl_worker_now(w),
    };
    return &r->replay.lang;
}

void tl_meter_replay_ended(struct tl_wf_run *r, const struct tl_wf_task *t)
{
    const struct tl_meter_replay *p = &r->replay;
    if (p->replayed) {
        int64_t end = p->caught_up_ns ? p->caught_up_ns : tl_worker_now(p->worker);
        observe(p->worker, TL_METER_WORKFLOW_TASK_REPLAY_LATENCY, type_of(t), NONE,
                end - p->begun_ns);
    }
}

void tl_meter_task_failed(const struct tl_wf_task *t, const char *failure_reason)
{
    if (!t->poll->query) {
        count(worker_of(t), TL_METER_WORKFLOW_TASK_FAILED, type_of(t), tl_str(failure_reason));
    }
}

int tl_meter_ending(const struct tl_wft_result *result)
{
    if (!result->command_count) {
        return 0;
    }
    const TpCommand__Command *c = result->commands[result->command_count - 1];
    const TpCommand__FailWorkflowExecutionCommandAttributes *f =
        (int)c->command_type == COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION
            ? c->fail_workflow_execution_command_attributes
            : NULL;
    switch ((int)c->command_type) {
    case COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION:
    case COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION:
    case COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION:
    case COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION:
        return f && tl_failure_is_benign(f->failure) ? 0 : (int)c->command_type;
    default:
        return 0;
    }
}

void tl_meter_task_answered(const struct tl_wf_task *t)
{
    static const struct {
        int command;
        enum tl_meter_id id;
    } endings[] = {
        {COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION, TL_METER_WORKFLOW_COMPLETED},
        {COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION, TL_METER_WORKFLOW_FAILED},
        {COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION, TL_METER_WORKFLOW_CANCELED},
        {COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION, TL_METER_WORKFLOW_CONTINUE_AS_NEW},
    };
    struct tl_worker *w = worker_of(t);
    if (!w->meter.registry || t->poll->query) {
        return;
    }
    observe(w, TL_METER_WORKFLOW_TASK_LATENCY, type_of(t), NONE, tl_worker_now(w) - t->taken_ns);
    for (size_t i = 0; t->ending && i < sizeof endings / sizeof endings[0]; i++) {
        if (endings[i].command == t->ending) {
            count(w, endings[i].id, type_of(t), NONE);
        }
    }
    if (t->finishes && t->method == TL_M_RespondWorkflowTaskCompleted) {
        observe(w, TL_METER_WORKFLOW_ENDTOEND_LATENCY, type_of(t), NONE,
                since(w, t->run->started_wall_ns));
    }
}

/* --- activities ------------------------------------------------------------------------------------- */

#define WORKFLOW_TYPE_FIELD 3

static struct tl_str activity_type(const TpWs__PollActivityTaskQueueResponse *task)
{
    return tl_str(task->activity_type ? task->activity_type->name : "");
}

static struct tl_str workflow_type(const TpWs__PollActivityTaskQueueResponse *task)
{
    return tl_str(task->workflow_type ? task->workflow_type->name : "");
}

void tl_meter_activity_received(struct tl_worker *w, struct tl_str body, bool eager)
{
    if (w->meter.registry) {
        struct tl_str type = tl_wire_find(tl_wire_find(body, TL_ACTIVITY_TYPE_FIELD), 1);
        struct tl_str of = tl_wire_find(tl_wire_find(body, WORKFLOW_TYPE_FIELD), 1);
        tl_series_add(series(w, TL_METER_ACTIVITY_RECEIVED, type, of,
                             eager ? TL_STR_LIT("true") : TL_STR_LIT("false")),
                      1);
    }
}

void tl_meter_activity_started(const struct tl_act *a)
{
    const TpWs__PollActivityTaskQueueResponse *task = a->pub.task;
    const Google__Protobuf__Timestamp *from = task->current_attempt_scheduled_time;
    observe(a->worker, TL_METER_ACTIVITY_SCHEDULE_TO_START, NONE, NONE,
            between(from ? from : task->scheduled_time, task->started_time));
}

void tl_meter_activity_unregistered(const struct tl_act *a)
{
    count(a->worker, TL_METER_ACTIVITY_UNREGISTERED, activity_type(a->pub.task),
          workflow_type(a->pub.task));
}

void tl_meter_activity_ended(const struct tl_act *a)
{
    struct tl_worker *w = a->worker;
    struct tl_str type = activity_type(a->pub.task), of = workflow_type(a->pub.task);
    if (!w->meter.registry) {
        return;
    }
    observe(w, TL_METER_ACTIVITY_LATENCY, type, of, tl_worker_now(w) - a->begun_ns);
    if (a->end == TL_ACT_COMPLETED) {
        observe(w, TL_METER_ACTIVITY_SUCCEED_LATENCY, type, of,
                since(w, tl_pb_timestamp_ns_or(a->pub.task->scheduled_time, 0)));
    } else if (a->end == TL_ACT_FAILED && !tl_failure_is_benign(a->end_body)) {
        count_failure(w, TL_METER_ACTIVITY_FAILED, type, of, "ActivityError");
    }
}

void tl_meter_local_began(const struct tl_act *a)
{
    count(a->worker, TL_METER_LOCAL_TOTAL, activity_type(a->pub.task), workflow_type(a->pub.task));
}

void tl_meter_local_ended(struct tl_worker *w, const TpWs__PollActivityTaskQueueResponse *task,
                          int64_t started_ns, enum tl_meter_local how,
                          const TpFailure__Failure *failure)
{
    struct tl_str type = activity_type(task), of = workflow_type(task);
    if (!w->meter.registry) {
        return;
    }
    if (started_ns) {
        observe(w, TL_METER_LOCAL_LATENCY, type, of, tl_worker_now(w) - started_ns);
    }
    if (how == TL_METER_LOCAL_SUCCEEDED) {
        observe(w, TL_METER_LOCAL_SUCCEED_LATENCY, type, of,
                since(w, tl_pb_timestamp_ns_or(task->scheduled_time, 0)));
    } else if (how == TL_METER_LOCAL_CANCELED) {
        count(w, TL_METER_LOCAL_CANCELED_COUNT, type, of);
    } else if (!tl_failure_is_benign(failure)) {
        bool timeout = failure && (int)failure->failure_info_case ==
                                      TP_FAILURE__FAILURE__FAILURE_INFO_TIMEOUT_FAILURE_INFO;
        count_failure(w, TL_METER_LOCAL_FAILED_COUNT, type, of,
                      timeout ? "timeout" : "ActivityError");
    }
}

/* --- Nexus tasks ------------------------------------------------------------------------------------ */

static int64_t since_scheduled(const struct tl_op *op)
{
    const TpNexus__Request *r = op->task->request;
    return since(op->worker, r ? tl_pb_timestamp_ns_or(r->scheduled_time, 0) : 0);
}

void tl_meter_nexus_started(const struct tl_op *op)
{
    observe(op->worker, TL_METER_NEXUS_SCHEDULE_TO_START, NONE, NONE, since_scheduled(op));
}

static const char *nexus_failure(const struct tl_op *op, char *text, size_t cap)
{
    const TpFailure__Failure *f = op->end_body;
    if (op->end == TL_OP_DROPPED) {
        return "timeout";
    }
    if (op->end == TL_OP_REFUSED) {
        snprintf(text, cap, "handler_error_%s", f->nexus_handler_failure_info->type);
        return text;
    }
    return (int)f->failure_info_case == TP_FAILURE__FAILURE__FAILURE_INFO_CANCELED_FAILURE_INFO
               ? "operation_canceled"
               : "operation_failed";
}

void tl_meter_nexus_ended(const struct tl_op *op)
{
    struct tl_worker *w = op->worker;
    char text[100];
    if (!w->meter.registry) {
        return;
    }
    observe(w, TL_METER_NEXUS_LATENCY, NONE, NONE, tl_worker_now(w) - op->begun_ns);
    observe(w, TL_METER_NEXUS_ENDTOEND_LATENCY, NONE, NONE, since_scheduled(op));
    if (op->end == TL_OP_REFUSED || op->end == TL_OP_FAILED || op->end == TL_OP_DROPPED) {
        count(w, TL_METER_NEXUS_FAILED, tl_str(nexus_failure(op, text, sizeof text)), NONE);
    }
}
