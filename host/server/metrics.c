/* See metrics.h. */
#include "server/metrics.h"

#include "server/engine.h"

#define FRONTEND TL_STR_LIT("frontend")

// clang-format off
static const struct tl_metric_def requests_def = {
    .name = "service_requests", .help = "Requests received",
    .kind = TL_METRIC_COUNTER, .labels = {"operation", "service_name"}};
static const struct tl_metric_def latency_def = {
    .name = "service_latency", .help = "Time from request to answer, in seconds",
    .kind = TL_METRIC_HISTOGRAM, .labels = {"operation", "service_name"},
    .bounds = tl_metric_latency_bounds, .bound_count = TL_METRIC_LATENCY_BOUNDS, .unit = TL_NS_PER_S};
static const struct tl_metric_def errors_def = {
    .name = "service_error_with_type", .help = "Requests answered with an error",
    .kind = TL_METRIC_COUNTER, .labels = {"operation", "service_name", "error_type"}};
static const struct tl_metric_def pending_def = {
    .name = "service_pending_requests", .help = "Requests not answered yet, parked polls with them",
    .kind = TL_METRIC_GAUGE, .labels = {"service_name"}};
static const struct tl_metric_def poll_success_def = {
    .name = "poll_success", .help = "Polls that got a task",
    .kind = TL_METRIC_COUNTER, .labels = {"task_type"}};
static const struct tl_metric_def poll_timeouts_def = {
    .name = "poll_timeouts", .help = "Polls that ended without a task",
    .kind = TL_METRIC_COUNTER, .labels = {"task_type"}};
static const struct tl_metric_def backlog_def = {
    .name = "approximate_backlog_count", .help = "Tasks that wait for a poll",
    .kind = TL_METRIC_GAUGE};
static const struct tl_metric_def parked_def = {
    .name = "temporal_lua_parked_polls", .help = "Polls that wait for a task",
    .kind = TL_METRIC_GAUGE};
static const struct tl_metric_def open_def = {
    .name = "temporal_lua_open_workflows", .help = "Workflow runs that have not ended",
    .kind = TL_METRIC_GAUGE};
static const struct tl_metric_def held_def = {
    .name = "temporal_lua_workflows_in_memory", .help = "Workflow runs in memory, ended ones with them",
    .kind = TL_METRIC_GAUGE};
static const struct tl_metric_def commit_latency_def = {
    .name = "persistence_latency", .help = "Time of one transaction, in seconds",
    .kind = TL_METRIC_HISTOGRAM, .labels = {"operation"},
    .bounds = tl_metric_latency_bounds, .bound_count = TL_METRIC_LATENCY_BOUNDS, .unit = TL_NS_PER_S};
static const struct tl_metric_def commit_operations_def = {
    .name = "persistence_requests", .help = "Operations in the transactions",
    .kind = TL_METRIC_COUNTER, .labels = {"operation"}};
static const struct tl_metric_def commits_failed_def = {
    .name = "persistence_errors", .help = "Transactions that failed",
    .kind = TL_METRIC_COUNTER, .labels = {"operation"}};
static const struct tl_metric_def commands_def = {
    .name = "worker_commands_sent", .help = "Requests with commands to workers that have come to an end",
    .kind = TL_METRIC_COUNTER, .labels = {"namespace", "outcome", "command_type"}};
#define CLOSE(status, name_, help_)                                                                \
    [WORKFLOW_EXECUTION_STATUS_##status] = {.name = name_, .help = help_,                          \
     .kind = TL_METRIC_COUNTER, .labels = {"namespace", "operation"}}
static const struct tl_metric_def close_defs[TL_CLOSE_STATUSES] = {
    CLOSE(COMPLETED, "workflow_success", "Runs that completed"),
    CLOSE(FAILED, "workflow_failed", "Runs that failed"),
    CLOSE(CANCELED, "workflow_cancel", "Runs that ended cancelled"),
    CLOSE(TERMINATED, "workflow_terminate", "Runs that were terminated"),
    CLOSE(CONTINUED_AS_NEW, "workflow_continued_as_new", "Runs that continued as a new one"),
    CLOSE(TIMED_OUT, "workflow_timeout", "Runs that timed out"),
};
#undef CLOSE
// clang-format on

void tl_server_metrics_init(struct tl_server_metrics *m, struct tl_metrics *r)
{
    static const char *const types[TL_POLLS_COUNT] = {"Workflow", "Activity"};
    if (!r) {
        return;
    }
    struct tl_str commit = TL_STR_LIT("Commit"), frontend = FRONTEND;
    m->registry = r;
    m->requests = tl_metric_new(r, &requests_def);
    m->errors = tl_metric_new(r, &errors_def);
    m->latency = tl_metric_new(r, &latency_def);
    m->pending = tl_metric_get(tl_metric_new(r, &pending_def), &frontend);
    for (int i = 0; i < TL_POLLS_COUNT; i++) {
        struct tl_str type = tl_str(types[i]);
        m->poll_success[i] = tl_metric_get(tl_metric_new(r, &poll_success_def), &type);
        m->poll_timeouts[i] = tl_metric_get(tl_metric_new(r, &poll_timeouts_def), &type);
    }
    m->backlog = tl_metric_get(tl_metric_new(r, &backlog_def), NULL);
    m->parked = tl_metric_get(tl_metric_new(r, &parked_def), NULL);
    m->open = tl_metric_get(tl_metric_new(r, &open_def), NULL);
    m->held = tl_metric_get(tl_metric_new(r, &held_def), NULL);
    for (int i = 0; i < TL_CLOSE_STATUSES; i++) {
        m->closes[i] = close_defs[i].name ? tl_metric_new(r, &close_defs[i]) : NULL;
    }
    m->commands = tl_metric_new(r, &commands_def);
    m->commit_latency = tl_metric_get(tl_metric_new(r, &commit_latency_def), &commit);
    m->commit_operations = tl_metric_get(tl_metric_new(r, &commit_operations_def), &commit);
    m->commits_failed = tl_metric_get(tl_metric_new(r, &commits_failed_def), &commit);
}

/* Two threads that are first find the same series. */
static struct tl_series *of_method(struct tl_metric *metric, struct tl_series *_Atomic *slot,
                                   enum tl_method method)
{
    struct tl_series *s = atomic_load_explicit(slot, memory_order_acquire);
    if (!s) {
        s = tl_metric_get(metric,
                          (struct tl_str[]){tl_str(tl_method_info(method)->name), FRONTEND});
        atomic_store_explicit(slot, s, memory_order_release);
    }
    return s;
}

static void count_poll(struct tl_server_metrics *m, int type, struct tl_str body)
{
    tl_series_add(body.n ? m->poll_success[type] : m->poll_timeouts[type], 1);
}

/* The types of errors as the Go server names them. */
static const char *error_type(int status)
{
    static const char *const types[] = {
        "",
        "serviceerror_Canceled",
        "serviceerror_Internal",
        "serviceerror_InvalidArgument",
        "serviceerror_DeadlineExceeded",
        "serviceerror_NotFound",
        "serviceerror_AlreadyExists",
        "serviceerror_PermissionDenied",
        "serviceerror_ResourceExhausted",
        "serviceerror_FailedPrecondition",
        "serviceerror_Aborted",
        "serviceerror_OutOfRange",
        "serviceerror_Unimplemented",
        "serviceerror_Internal",
        "serviceerror_Unavailable",
        "serviceerror_DataLoss",
        "serviceerror_Unauthenticated",
    };
    return status > 0 && status < (int)(sizeof types / sizeof types[0]) ? types[status]
                                                                        : "serviceerror_Internal";
}

static void answered(void *ud, struct tl_rpc_request *req, int status, struct tl_str body)
{
    struct tl_server *s = ud;
    struct tl_server_metrics *m = &s->metrics;
    tl_series_add(m->pending, -1);
    tl_series_observe(of_method(m->latency, &m->latency_series[req->method], req->method),
                      tl_world_mono_ns(s->world) - req->begun_ns);
    if (status != 0) {
        struct tl_str values[] = {tl_str(tl_method_info(req->method)->name), FRONTEND,
                                  tl_str(error_type(status))};
        tl_series_add(tl_metric_get(m->errors, values), 1);
    } else if (req->method == TL_M_PollWorkflowTaskQueue) {
        count_poll(m, TL_POLLS_WORKFLOW, body);
    } else if (req->method == TL_M_PollActivityTaskQueue) {
        count_poll(m, TL_POLLS_ACTIVITY, body);
    }
}

void tl_server_metrics_request(struct tl_server *s, struct tl_rpc_request *req)
{
    struct tl_server_metrics *m = &s->metrics;
    if (m->registry) {
        req->begun_ns = tl_world_mono_ns(s->world);
        req->answered = answered;
        req->answered_ud = s;
        tl_series_add(m->pending, 1);
        tl_series_add(of_method(m->requests, &m->request_series[req->method], req->method), 1);
    }
}

void tl_server_metrics_closed(struct tl_server *s, struct tl_str namespace_name, int status)
{
    if (s->metrics.registry && status > 0 && status < TL_CLOSE_STATUSES) {
        struct tl_str values[] = {namespace_name, TL_STR_LIT("CompletionStats")};
        tl_series_add(tl_metric_get(s->metrics.closes[status], values), 1);
    }
}

void tl_server_metrics_command(struct tl_server *s, struct tl_str namespace_name,
                               const char *outcome)
{
    if (s->metrics.registry) {
        struct tl_str values[] = {namespace_name, tl_str(outcome), TL_STR_LIT("cancel_activity")};
        tl_series_add(tl_metric_get(s->metrics.commands, values), 1);
    }
}

void tl_server_metrics_commit(struct tl_server *s, int64_t took_ns, size_t operations, bool ok)
{
    tl_series_observe(s->metrics.commit_latency, took_ns);
    tl_series_add(s->metrics.commit_operations, (int64_t)operations);
    tl_series_add(s->metrics.commits_failed, !ok);
}

void tl_server_metrics_round(struct tl_server *s)
{
    struct tl_server_metrics *m = &s->metrics;
    tl_series_set(m->open, (int64_t)s->open_count);
    tl_series_set(m->held, (int64_t)s->runs.count);
    tl_series_set(m->parked, (int64_t)s->matcher.polls_parked);
    tl_series_set(m->backlog, (int64_t)s->matcher.tasks_queued);
}
