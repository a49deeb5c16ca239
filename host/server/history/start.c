/* The start of a run: what the server checks and fills in, and the first events.
 * Thread: the run's owner. */
#include <string.h>

#include "server/history/execution.h"
#include "server/history/policy.h"
#include "server/history/priority.h"
#include "server/history/rs.h"

#define RESERVED_PREFIX "/_sys/" /* of task queues that are the server's own */
#define TASK_TIMEOUT_DEFAULT_NS (10 * TL_NS_IN_S)
#define TASK_TIMEOUT_MAX_NS (120 * TL_NS_IN_S)

/* --- durations ------------------------------------------------------------------------------- */

int64_t tl_duration_checked_ns(const Google__Protobuf__Duration *d, const char **problem)
{
    if (!d) {
        return 0;
    }
    if ((d->seconds > 0 && d->nanos < 0) || (d->seconds < 0 && d->nanos > 0)) {
        *problem = "mismatched signs";
        return 0;
    }
    if (d->seconds < 0 || d->nanos < 0) {
        *problem = "negative duration";
        return 0;
    }
    int64_t ns = tl_pb_duration_ns_or(d, TL_DURATION_MAX_NS);
    return ns > TL_DURATION_MAX_NS ? TL_DURATION_MAX_NS : ns;
}

int64_t tl_run_timeout_ns(int64_t run_ns, int64_t execution_ns)
{
    if (execution_ns == 0) {
        return run_ns;
    }
    return run_ns == 0 || run_ns > execution_ns ? execution_ns : run_ns;
}

int64_t tl_task_timeout_ns(int64_t task_ns, int64_t run_ns)
{
    if (task_ns == 0) {
        task_ns = TASK_TIMEOUT_DEFAULT_NS;
    }
    if (task_ns > TASK_TIMEOUT_MAX_NS) {
        task_ns = TASK_TIMEOUT_MAX_NS;
    }
    return run_ns > 0 && task_ns > run_ns ? run_ns : task_ns;
}

/* --- checks ---------------------------------------------------------------------------------- */

static tl_rc check_duration(const Google__Protobuf__Duration *d, const char *name,
                            struct tl_error *err)
{
    const char *problem = NULL;
    tl_duration_checked_ns(d, &problem);
    return problem ? tl_error_set(err, TL_EINVAL, "An invalid %s is set on request. cause: %s",
                                  name, problem)
                   : TL_OK;
}

static bool is_long(const struct tl_history_limits *limits, const char *value)
{
    return (int64_t)tl_str(tl_or_empty(value)).n > limits->id_bytes;
}

tl_rc tl_task_queue_check(const struct tl_history_limits *limits, const TpTq__TaskQueue *queue,
                          struct tl_error *err)
{
    if (!queue) {
        return tl_error_set(err, TL_EINVAL, "taskQueue is not set");
    }
    if (!tl_has_text(queue->name)) {
        return tl_error_set(err, TL_EINVAL, "missing task queue name");
    }
    if (is_long(limits, queue->name)) {
        return tl_error_set(err, TL_EINVAL, "taskQueue length exceeds limit");
    }
    if (strncmp(queue->name, RESERVED_PREFIX, strlen(RESERVED_PREFIX)) == 0) {
        return tl_error_set(err, TL_EINVAL,
                            "task queue name cannot start with reserved prefix " RESERVED_PREFIX);
    }
    return TL_OK;
}

static tl_rc check_names(const struct tl_history_limits *limits,
                         const TpWs__StartWorkflowExecutionRequest *req, struct tl_error *err)
{
    const char *type = req->workflow_type ? req->workflow_type->name : NULL;
    if (!tl_has_text(req->workflow_id)) {
        return tl_error_set(err, TL_EINVAL, "WorkflowId is not set on request.");
    }
    if (is_long(limits, req->workflow_id)) {
        return tl_error_set(err, TL_EINVAL, "WorkflowId exceeds maximum allowed length (%zu/%lld)",
                            strlen(req->workflow_id), (long long)limits->id_bytes);
    }
    if (!tl_has_text(type)) {
        return tl_error_set(err, TL_EINVAL, "WorkflowType is not set on request.");
    }
    if (is_long(limits, type)) {
        return tl_error_set(err, TL_EINVAL, "WorkflowType length exceeds limit.");
    }
    if (is_long(limits, req->request_id)) {
        return tl_error_set(err, TL_EINVAL, "RequestId length exceeds limit.");
    }
    return tl_task_queue_check(limits, req->task_queue, err);
}

static tl_rc check_sizes(const struct tl_history_limits *limits,
                         const TpWs__StartWorkflowExecutionRequest *req, struct tl_error *err)
{
    if (tl_message_bytes(req->input) > limits->blob_bytes) {
        return tl_error_set(err, TL_EINVAL, "Blob data size exceeds limit.");
    }
    if (tl_message_bytes(req->memo) > limits->memo_bytes) {
        return tl_error_set(err, TL_EINVAL, "Memo size exceeds limit.");
    }
    return tl_priority_check(req->priority, err);
}

static tl_rc check_timeouts(const TpWs__StartWorkflowExecutionRequest *req, struct tl_error *err)
{
    tl_rc rc =
        check_duration(req->workflow_execution_timeout, "WorkflowExecutionTimeoutSeconds", err);
    if (rc == TL_OK) {
        rc = check_duration(req->workflow_run_timeout, "WorkflowRunTimeoutSeconds", err);
    }
    if (rc == TL_OK) {
        rc = check_duration(req->workflow_task_timeout, "WorkflowTaskTimeoutSeconds", err);
    }
    if (rc == TL_OK) {
        rc = check_duration(req->workflow_start_delay, "WorkflowStartDelaySeconds", err);
    }
    return rc;
}

tl_rc tl_history_check_start(const struct tl_history_env *env,
                             const TpWs__StartWorkflowExecutionRequest *req, struct tl_error *err)
{
    tl_rc rc = check_names(&env->limits, req, err);
    if (rc == TL_OK) {
        rc = check_timeouts(req, err);
    }
    if (rc == TL_OK && req->retry_policy) {
        struct tl_retry_policy filled;
        tl_retry_policy_fill(&filled, req->retry_policy);
        rc = tl_retry_policy_check(&filled.policy, err);
    }
    if (rc == TL_OK && tl_has_text(req->cron_schedule)) {
        if (req->workflow_start_delay) {
            return tl_error_set(err, TL_EINVAL,
                                "CronSchedule and WorkflowStartDelay may not be used together.");
        }
        rc = tl_cron_check(req->cron_schedule, err);
    }
    if (rc == TL_OK) {
        rc = tl_override_check(req->versioning_override, err);
    }
    return rc == TL_OK ? check_sizes(&env->limits, req, err) : rc;
}

/* --- the Started event ----------------------------------------------------------------------- */

struct started {
    struct tl_ev ev;
    TpCommon__WorkerVersionStamp stamp;
    TpHistory__WorkflowExecutionStartedEventAttributes attrs;
    struct tl_retry_policy retry;
    TpTq__TaskQueue task_queue;
    Google__Protobuf__Duration execution, run, task, backoff;
    Google__Protobuf__Timestamp expiration;
};

static void set_timeouts(struct tl_tx *tx, const struct tl_start *start, struct started *s)
{
    const TpWs__StartWorkflowExecutionRequest *req = start->req;
    const char *ignored = NULL;
    int64_t execution_ns = tl_duration_checked_ns(req->workflow_execution_timeout, &ignored);
    int64_t run_ns = tl_run_timeout_ns(tl_duration_checked_ns(req->workflow_run_timeout, &ignored),
                                       execution_ns);
    int64_t task_ns =
        tl_task_timeout_ns(tl_duration_checked_ns(req->workflow_task_timeout, &ignored), run_ns);
    int64_t backoff_ns = start->first_backoff_ns;
    int64_t expiration_ns = start->execution_expiration_ns;
    if (start->initiator == CONTINUE_AS_NEW_INITIATOR_UNSPECIFIED) {
        backoff_ns = tl_duration_checked_ns(req->workflow_start_delay, &ignored);
        if (tl_has_text(req->cron_schedule)) {
            backoff_ns = tl_cron_backoff_ns(req->cron_schedule, tx->now_ns, tx->now_ns);
        }
        if (execution_ns > 0) { /* the server keeps this deadline in milliseconds */
            expiration_ns = tl_ns_add(tx->now_ns, execution_ns);
            expiration_ns = tl_ns_add(expiration_ns, TL_NS_IN_MS / 2) / TL_NS_IN_MS * TL_NS_IN_MS;
        }
    }
    s->execution = tl_duration_value(execution_ns);
    s->run = tl_duration_value(run_ns);
    s->task = tl_duration_value(task_ns);
    s->backoff = tl_duration_value(backoff_ns > 0 ? backoff_ns : 0);
    s->attrs.workflow_execution_timeout = req->workflow_execution_timeout ? &s->execution : NULL;
    s->attrs.workflow_run_timeout = req->workflow_run_timeout || run_ns > 0 ? &s->run : NULL;
    s->attrs.workflow_task_timeout = &s->task;
    bool none = start->initiator == CONTINUE_AS_NEW_INITIATOR_WORKFLOW && backoff_ns <= 0;
    s->attrs.first_workflow_task_backoff = none ? NULL : &s->backoff;
    if (expiration_ns > 0) {
        s->expiration = tl_timestamp_value(expiration_ns);
        s->attrs.workflow_execution_expiration_time = &s->expiration;
    }
}

static void set_chain(struct tl_tx *tx, const struct tl_start *start, struct started *s)
{
    TpHistory__WorkflowExecutionStartedEventAttributes *a = &s->attrs;
    const struct tl_rs *rs = tx->rs;
    a->first_execution_run_id =
        start->first_run_id.n ? tl_arena_cstr(tx->arena, start->first_run_id) : rs->run_id;
    a->original_execution_run_id =
        start->original_run_id.n ? tl_arena_cstr(tx->arena, start->original_run_id) : rs->run_id;
    if (start->continued_run_id.n) {
        a->continued_execution_run_id = tl_arena_cstr(tx->arena, start->continued_run_id);
    }
    int initiator = start->initiator;
    if (initiator == CONTINUE_AS_NEW_INITIATOR_UNSPECIFIED &&
        tl_has_text(start->req->cron_schedule)) {
        initiator = CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE;
    }
    a->initiator = (TpEnums__ContinueAsNewInitiator)initiator;
    a->attempt = start->attempt > 0 ? start->attempt : 1;
    a->prev_auto_reset_points = (TpWorkflow__ResetPoints *)(uintptr_t)start->reset_points;
    if (!a->first_execution_run_id || !a->original_execution_run_id ||
        (start->continued_run_id.n && !a->continued_execution_run_id)) {
        tl_tx_break(tx, "the start of a run");
    }
}

static TpCommon__WorkflowExecution *execution_of(struct tl_tx *tx, struct tl_str workflow_id,
                                                 struct tl_str run_id)
{
    TpCommon__WorkflowExecution *e =
        TL_PB_NEW(tx->arena, TpCommon__WorkflowExecution, tp_common__workflow_execution);
    if (!e || !(e->workflow_id = tl_pb_cstr(tx->arena, workflow_id)) ||
        !(e->run_id = tl_pb_cstr(tx->arena, run_id))) {
        tl_tx_break(tx, "the parent of a run");
        return NULL;
    }
    return e;
}

static void set_parent(struct tl_tx *tx, const struct tl_start_parent *p,
                       TpHistory__WorkflowExecutionStartedEventAttributes *a)
{
    if (!p) {
        return;
    }
    a->parent_workflow_namespace = tl_pb_cstr(tx->arena, p->namespace_);
    a->parent_workflow_namespace_id = tl_pb_cstr(tx->arena, p->namespace_id);
    a->parent_workflow_execution = execution_of(tx, p->workflow_id, p->run_id);
    a->parent_initiated_event_id = p->initiated_id;
    a->root_workflow_execution = execution_of(tx, p->root_workflow_id, p->root_run_id);
    if (!a->parent_workflow_namespace || !a->parent_workflow_namespace_id) {
        tl_tx_break(tx, "the parent of a run");
    }
}

static void set_content(struct tl_tx *tx, const struct tl_start *start, struct started *s)
{
    TpHistory__WorkflowExecutionStartedEventAttributes *a = &s->attrs;
    const TpWs__StartWorkflowExecutionRequest *req = start->req;
    s->task_queue = (TpTq__TaskQueue)TP_TQ__TASK_QUEUE__INIT;
    s->task_queue.name = req->task_queue->name;
    s->task_queue.kind = (TpEnums__TaskQueueKind)TASK_QUEUE_KIND_NORMAL;
    a->task_queue = &s->task_queue;
    a->workflow_type = req->workflow_type;
    a->workflow_id = tx->rs->workflow_id;
    a->input = req->input;
    a->header = req->header;
    a->identity = req->identity;
    a->cron_schedule = req->cron_schedule;
    a->continued_failure = req->continued_failure;
    a->last_completion_result = req->last_completion_result;
    a->n_completion_callbacks = req->n_completion_callbacks;
    a->completion_callbacks = req->completion_callbacks;
    a->versioning_override = req->versioning_override;
    a->inherited_pinned_version =
        (TpDeployment__WorkerDeploymentVersion *)(uintptr_t)start->inherited_pinned;
    a->priority = req->priority;
    if (start->set_build.n) {
        s->stamp = (TpCommon__WorkerVersionStamp)TP_COMMON__WORKER_VERSION_STAMP__INIT;
        s->stamp.build_id =
            tl_pb_cstr(tx->arena, tl_str_n(start->set_build.p + 1, start->set_build.n - 1));
        s->stamp.use_versioning = true;
        a->source_version_stamp = &s->stamp;
    }
    a->time_skipping_config = req->time_skipping_config;
    a->time_skipping_state_propagation =
        (TpCommon__TimeSkippingStatePropagation *)(uintptr_t)start->skipped;
    a->eager_execution_accepted = start->eager;
    if (req->retry_policy) {
        tl_retry_policy_fill(&s->retry, req->retry_policy);
        a->retry_policy = &s->retry.policy;
    }
    /* Null values mean "not there". */
    if (req->memo && !(a->memo = tl_memo_merge(NULL, req->memo, tx->arena))) {
        tl_tx_break(tx, "the memo");
    }
    if (req->search_attributes && !(a->search_attributes = tl_search_attributes_merge(
                                        NULL, req->search_attributes, tx->arena))) {
        tl_tx_break(tx, "the search attributes");
    }
    s->ev.e.user_metadata = req->user_metadata;
    s->ev.e.links = req->links;
    s->ev.e.n_links = req->n_links;
}

tl_rc tl_tx_start(struct tl_tx *tx, const struct tl_start *start, struct tl_error *err)
{
    struct tl_rs *rs = tx->rs;
    TL_ASSERT(rs->next_event_id == 1);
    tl_rc rc = tl_history_check_start(tx->env, start->req, err);
    if (rc != TL_OK) {
        return rc;
    }
    struct started s;
    if (start->skipped) {
        tx->now_ns = tl_ns_add(tx->server_ns,
                               tl_pb_duration_ns_or(start->skipped->initial_skipped_duration, 0));
    }
    tl_ev_init(&s.ev, tx->now_ns);
    s.attrs = (TpHistory__WorkflowExecutionStartedEventAttributes)
        TP_HISTORY__WORKFLOW_EXECUTION_STARTED_EVENT_ATTRIBUTES__INIT;
    set_timeouts(tx, start, &s);
    set_chain(tx, start, &s);
    set_content(tx, start, &s);
    set_parent(tx, start->parent, &s.attrs);
    TL_EV_SET(&s.ev, WORKFLOW_EXECUTION_STARTED, workflow_execution_started, &s.attrs);
    tl_tx_append(tx, &s.ev.e, TL_PLACE_APPLY);
    if (tl_has_text(start->req->request_id)) {
        tl_set_str(&rs->start_request_id, start->req->request_id);
        tx->p->start_request_dirty = true;
    }
    if (rs->first_backoff_ns == 0 && !start->hold_first_task) {
        tl_wft_schedule(tx, 0);
    }
    return tl_tx_result(tx, err);
}
