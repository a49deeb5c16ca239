/* StartChildWorkflowExecution, SignalExternalWorkflowExecution and
 * RequestCancelExternalWorkflowExecution.
 * Thread: the run's owner. */
#include <string.h>

#include "server/history/commands.h"
#include "server/history/policy.h"
#include "server/history/priority.h"
#include "server/history/rs.h"

#define CAUSE_CHILD WORKFLOW_TASK_FAILED_CAUSE_BAD_START_CHILD_EXECUTION_ATTRIBUTES
#define CAUSE_SIGNAL WORKFLOW_TASK_FAILED_CAUSE_BAD_SIGNAL_WORKFLOW_EXECUTION_ATTRIBUTES
#define CAUSE_CANCEL                                                                               \
    WORKFLOW_TASK_FAILED_CAUSE_BAD_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_ATTRIBUTES

/* The namespace a command names, its own name for none. */
static char *namespace_of(const struct tl_wft_done *d, const char *name)
{
    return tl_pb_text(tl_has_text(name) ? name : d->tx->rs->namespace_name);
}

static bool check_length(struct tl_wft_done *d, int cause, const char *what, const char *command,
                         const char *value)
{
    long long limit = (long long)d->tx->env->limits.id_bytes;
    size_t n = strlen(tl_pb_text(value));
    if ((long long)n <= limit) {
        return true;
    }
    tl_refuse(d, cause, "%s on %s exceeds length limit. Length=%zu Limit=%lld", what, command, n,
              limit);
    return false;
}

static bool check_namespace(struct tl_wft_done *d, int cause, const char *command, const char *name)
{
    if (!check_length(d, cause, "Namespace", command, name)) {
        return false;
    }
    if (tl_namespace_id(d->tx, name).n == 0) {
        tl_refuse(d, cause, "Namespace %s is not found.", name);
        return false;
    }
    return true;
}

static void push_effect(struct tl_wft_done *d, enum tl_effect_kind kind, int64_t initiated_id)
{
    struct tl_effect *f = tl_effects_add(&d->tx->effects, kind);
    if (!f) {
        tl_tx_break(d->tx, "the effects");
        return;
    }
    f->u.initiated_id = initiated_id;
}

static char *id_in_arena(struct tl_wft_done *d, const char *name)
{
    char *id = tl_pb_cstr(d->tx->arena, tl_namespace_id(d->tx, name));
    if (!id) {
        tl_tx_break(d->tx, "an event");
        return tl_pb_text("");
    }
    return id;
}

/* --- children -------------------------------------------------------------------------------- */

typedef TpCommand__StartChildWorkflowExecutionCommandAttributes child_attrs;

static bool check_child_names(struct tl_wft_done *d, const child_attrs *a)
{
    static const char COMMAND[] = "StartChildWorkflowExecutionCommand";
    const char *type = a->workflow_type ? a->workflow_type->name : NULL;
    if (!check_namespace(d, CAUSE_CHILD, COMMAND, a->namespace_)) {
        return false;
    }
    if (!tl_has_text(a->workflow_id)) {
        tl_refuse(d, CAUSE_CHILD,
                  "Required field WorkflowId is not set on %s. WorkflowType=%s Namespace=%s",
                  COMMAND, tl_pb_text(type), a->namespace_);
        return false;
    }
    if (!tl_has_text(type)) {
        tl_refuse(d, CAUSE_CHILD,
                  "Required field WorkflowType is not set on %s. WorkflowId=%s Namespace=%s",
                  COMMAND, a->workflow_id, a->namespace_);
        return false;
    }
    return check_length(d, CAUSE_CHILD, "WorkflowId", COMMAND, a->workflow_id) &&
           check_length(d, CAUSE_CHILD, "WorkflowType", COMMAND, type) &&
           check_length(d, CAUSE_CHILD, "TaskQueue", COMMAND,
                        a->task_queue ? a->task_queue->name : NULL);
}

static bool check_child_times(struct tl_wft_done *d, const child_attrs *a)
{
    const struct {
        const char *name;
        const Google__Protobuf__Duration *value;
    } times[] = {
        {"WorkflowExecutionTimeout", a->workflow_execution_timeout},
        {"WorkflowRunTimeout", a->workflow_run_timeout},
        {"WorkflowTaskTimeout", a->workflow_task_timeout},
    };
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        const char *problem = NULL;
        tl_duration_checked_ns(times[i].value, &problem);
        if (problem) {
            tl_refuse(d, CAUSE_CHILD, "Invalid %s on StartChildWorkflowExecutionCommand: %s",
                      times[i].name, problem);
            return false;
        }
    }
    return true;
}

static bool check_child_policies(struct tl_wft_done *d, const child_attrs *a)
{
    struct tl_error e = {0};
    if (a->retry_policy) {
        struct tl_retry_policy filled;
        tl_retry_policy_fill(&filled, a->retry_policy);
        if (tl_retry_policy_check(&filled.policy, &e) != TL_OK) {
            tl_refuse(d, CAUSE_CHILD,
                      "invalid WorkflowRetryPolicy on StartChildWorkflowExecutionCommand: %s",
                      e.message);
            return false;
        }
    }
    if (tl_has_text(a->cron_schedule) && tl_cron_check(a->cron_schedule, &e) != TL_OK) {
        tl_refuse(d, CAUSE_CHILD, "invalid CronSchedule on StartChildWorkflowExecutionCommand: %s",
                  e.message);
        return false;
    }
    if (tl_priority_check(a->priority, &e) != TL_OK) {
        tl_refuse(d, CAUSE_CHILD, "%s", e.message);
        return false;
    }
    if (a->inherit_build_id && a->task_queue && tl_has_text(a->task_queue->name) &&
        strcmp(a->task_queue->name, tl_pb_text(d->tx->rs->task_queue)) != 0) {
        tl_refuse(d, CAUSE_CHILD,
                  "StartChildWorkflowExecution with UseCompatibleVersion cannot run on different "
                  "task queue.");
        return false;
    }
    return true;
}

static bool check_child_sizes(struct tl_wft_done *d, const child_attrs *a)
{
    const struct tl_history_limits *limits = &d->tx->env->limits;
    if (tl_message_bytes(a->input) > limits->blob_bytes) {
        tl_refuse_terminate(
            d, CAUSE_CHILD,
            "StartChildWorkflowExecutionCommandAttributes. Input exceeds size limit.");
    } else if (tl_message_bytes(a->memo) > limits->memo_bytes) {
        tl_refuse_terminate(
            d, CAUSE_CHILD,
            "StartChildWorkflowExecutionCommandAttributes.Memo exceeds size limit.");
    } else if (tl_message_bytes(a->search_attributes) > limits->memo_bytes) {
        tl_refuse_terminate(d, CAUSE_CHILD, "Search attributes size exceeds limit.");
    }
    return !d->no.cause;
}

/* They belong to the child's namespace, which may know other names. */
static bool check_child_attributes(struct tl_wft_done *d, const child_attrs *a)
{
    const struct tl_history_env *env = d->tx->env;
    bool elsewhere = tl_has_text(a->namespace_) && env->namespace_number;
    uint64_t number = elsewhere ? env->namespace_number(env->ud, tl_str(a->namespace_))
                                : d->tx->rs->namespace_number;
    return tl_command_check_attributes(d, number, a->search_attributes, a->search_attributes);
}

void tl_command_check_child(struct tl_wft_done *d, const TpCommand__Command *c)
{
    const child_attrs *a = c->start_child_workflow_execution_command_attributes;
    long long limit = (long long)d->tx->env->limits.pending_children;
    d->next_id++;
    if (!check_child_names(d, a) || !check_child_times(d, a) || !check_child_policies(d, a) ||
        !check_child_sizes(d, a) || !check_child_attributes(d, a)) {
        return;
    }
    if ((long long)d->pending_children >= limit) {
        tl_refuse(d, WORKFLOW_TASK_FAILED_CAUSE_PENDING_CHILD_WORKFLOWS_LIMIT_EXCEEDED,
                  "the number of pending child workflow executions, %zu, has reached the "
                  "per-workflow limit of %lld",
                  d->pending_children, limit);
        return;
    }
    d->pending_children++;
    tl_map_put(&d->child_ids, tl_str(a->workflow_id), d);
}

struct child_event {
    TpHistory__StartChildWorkflowExecutionInitiatedEventAttributes attrs;
    TpTq__TaskQueue queue;
    Google__Protobuf__Duration execution, run, task;
    struct tl_retry_policy retry;
    struct tl_ev ev;
};

static void fill_child(struct tl_wft_done *d, const child_attrs *in, struct child_event *x)
{
    TpHistory__StartChildWorkflowExecutionInitiatedEventAttributes *a = &x->attrs;
    const char *problem = NULL;
    int64_t execution_ns = tl_duration_checked_ns(in->workflow_execution_timeout, &problem);
    int64_t run_ns =
        tl_run_timeout_ns(tl_duration_checked_ns(in->workflow_run_timeout, &problem), execution_ns);
    x->execution = tl_duration_value(execution_ns);
    x->run = tl_duration_value(run_ns);
    x->task = tl_duration_value(
        tl_task_timeout_ns(tl_duration_checked_ns(in->workflow_task_timeout, &problem), run_ns));
    x->queue.name =
        tl_pb_text(in->task_queue && tl_has_text(in->task_queue->name) ? in->task_queue->name
                                                                       : d->tx->rs->task_queue);
    x->queue.kind = (TpEnums__TaskQueueKind)TASK_QUEUE_KIND_NORMAL;
    a->namespace_ = namespace_of(d, in->namespace_);
    a->namespace_id = id_in_arena(d, in->namespace_);
    a->workflow_id = in->workflow_id;
    a->workflow_type = in->workflow_type;
    a->task_queue = &x->queue;
    a->input = in->input;
    a->workflow_execution_timeout = &x->execution;
    a->workflow_run_timeout = &x->run;
    a->workflow_task_timeout = &x->task;
    a->parent_close_policy = in->parent_close_policy
                                 ? in->parent_close_policy
                                 : (TpEnums__ParentClosePolicy)PARENT_CLOSE_POLICY_TERMINATE;
    a->control = in->control;
    a->workflow_task_completed_event_id = d->completed_id;
    a->workflow_id_reuse_policy =
        in->workflow_id_reuse_policy
            ? in->workflow_id_reuse_policy
            : (TpEnums__WorkflowIdReusePolicy)WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE;
    a->cron_schedule = in->cron_schedule;
    a->header = in->header;
    a->memo = in->memo;
    a->search_attributes = in->search_attributes;
    a->inherit_build_id = in->inherit_build_id;
    a->priority = in->priority;
    a->versioning_override = in->versioning_override;
    if (in->retry_policy) {
        tl_retry_policy_fill(&x->retry, in->retry_policy);
        a->retry_policy = &x->retry.policy;
    }
    if (!tl_skipping_hand_to_child(d->tx->rs, d->tx->arena, &a->time_skipping_config,
                                   &a->time_skipping_state_propagation)) {
        tl_tx_break(d->tx, "the start of a child workflow");
    }
}

void tl_command_run_child(struct tl_wft_done *d, const TpCommand__Command *c)
{
    struct child_event x = {
        .attrs = TP_HISTORY__START_CHILD_WORKFLOW_EXECUTION_INITIATED_EVENT_ATTRIBUTES__INIT,
        .queue = TP_TQ__TASK_QUEUE__INIT};
    tl_ev_init(&x.ev, d->tx->now_ns);
    fill_child(d, c->start_child_workflow_execution_command_attributes, &x);
    TL_EV_SET(&x.ev, START_CHILD_WORKFLOW_EXECUTION_INITIATED,
              start_child_workflow_execution_initiated, &x.attrs);
    tl_command_decorate(&x.ev, c);
    push_effect(d, TL_FX_START_CHILD, tl_tx_add(d->tx, &x.ev));
}

/* --- signals --------------------------------------------------------------------------------- */

static bool check_target(struct tl_wft_done *d, int cause, const char *command,
                         const char *namespace_, const char *workflow_id, const char *run_id)
{
    if (!check_namespace(d, cause, command, namespace_)) {
        return false;
    }
    if (!tl_has_text(workflow_id)) {
        tl_refuse(d, cause, "WorkflowId is not set on %s. Namespace=%s RunId=%s", command,
                  tl_pb_text(namespace_), tl_pb_text(run_id));
        return false;
    }
    if (!check_length(d, cause, "WorkflowId", command, workflow_id)) {
        return false;
    }
    if (tl_has_text(run_id) && strlen(run_id) != 36) {
        tl_refuse(d, cause, "Invalid RunId set on %s. WorkflowId=%s RunId=%s Namespace=%s", command,
                  workflow_id, run_id, tl_pb_text(namespace_));
        return false;
    }
    return true;
}

void tl_command_check_signal_other(struct tl_wft_done *d, const TpCommand__Command *c)
{
    static const char COMMAND[] = "SignalExternalWorkflowExecutionCommand";
    const TpCommand__SignalExternalWorkflowExecutionCommandAttributes *a =
        c->signal_external_workflow_execution_command_attributes;
    const struct tl_history_limits *limits = &d->tx->env->limits;
    d->next_id++;
    if (!a->execution) {
        tl_refuse(d, CAUSE_SIGNAL, "Execution is not set on %s.", COMMAND);
    } else if (!check_target(d, CAUSE_SIGNAL, COMMAND, a->namespace_, a->execution->workflow_id,
                             a->execution->run_id)) {
        return;
    } else if (!tl_has_text(a->signal_name)) {
        tl_refuse(d, CAUSE_SIGNAL, "SignalName is not set on %s. WorkflowId=%s", COMMAND,
                  a->execution->workflow_id);
    } else if ((int64_t)d->pending_signals >= limits->pending_signals) {
        tl_refuse(d, WORKFLOW_TASK_FAILED_CAUSE_PENDING_SIGNALS_LIMIT_EXCEEDED,
                  "the number of pending signals to external workflows, %zu, has reached the "
                  "per-workflow limit of %lld",
                  d->pending_signals, (long long)limits->pending_signals);
    } else if (tl_message_bytes(a->input) > limits->blob_bytes) {
        tl_refuse_terminate(
            d, CAUSE_SIGNAL,
            "SignalExternalWorkflowExecutionCommandAttributes.Input exceeds size limit.");
    }
    d->pending_signals++;
}

void tl_command_run_signal_other(struct tl_wft_done *d, const TpCommand__Command *c)
{
    const TpCommand__SignalExternalWorkflowExecutionCommandAttributes *in =
        c->signal_external_workflow_execution_command_attributes;
    TpHistory__SignalExternalWorkflowExecutionInitiatedEventAttributes a =
        TP_HISTORY__SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    tl_ev_init(&ev, d->tx->now_ns);
    a.workflow_task_completed_event_id = d->completed_id;
    a.namespace_ = namespace_of(d, in->namespace_);
    a.namespace_id = id_in_arena(d, in->namespace_);
    a.workflow_execution = in->execution;
    a.signal_name = in->signal_name;
    a.input = in->input;
    a.control = in->control;
    a.child_workflow_only = in->child_workflow_only;
    a.header = in->header;
    TL_EV_SET(&ev, SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED,
              signal_external_workflow_execution_initiated, &a);
    tl_command_decorate(&ev, c);
    push_effect(d, TL_FX_SIGNAL_OTHER, tl_tx_add(d->tx, &ev));
}

/* --- cancellations --------------------------------------------------------------------------- */

void tl_command_check_cancel_other(struct tl_wft_done *d, const TpCommand__Command *c)
{
    static const char COMMAND[] = "RequestCancelExternalWorkflowExecutionCommand";
    const TpCommand__RequestCancelExternalWorkflowExecutionCommandAttributes *a =
        c->request_cancel_external_workflow_execution_command_attributes;
    long long limit = (long long)d->tx->env->limits.pending_cancels;
    d->next_id++;
    if (!check_target(d, CAUSE_CANCEL, COMMAND, a->namespace_, a->workflow_id, a->run_id)) {
        return;
    }
    if (tl_map_get(&d->child_ids, tl_str(a->workflow_id))) {
        tl_refuse(d, CAUSE_CANCEL,
                  "Start and RequestCancel for child workflow is not allowed in same workflow "
                  "task. WorkflowId=%s RunId=%s Namespace=%s",
                  a->workflow_id, a->run_id, a->namespace_);
    } else if ((long long)d->pending_cancels >= limit) {
        tl_refuse(d, WORKFLOW_TASK_FAILED_CAUSE_PENDING_REQUEST_CANCEL_LIMIT_EXCEEDED,
                  "the number of pending requests to cancel external workflows, %zu, has reached "
                  "the per-workflow limit of %lld",
                  d->pending_cancels, limit);
    }
    d->pending_cancels++;
}

void tl_command_run_cancel_other(struct tl_wft_done *d, const TpCommand__Command *c)
{
    const TpCommand__RequestCancelExternalWorkflowExecutionCommandAttributes *in =
        c->request_cancel_external_workflow_execution_command_attributes;
    TpHistory__RequestCancelExternalWorkflowExecutionInitiatedEventAttributes a =
        TP_HISTORY__REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED_EVENT_ATTRIBUTES__INIT;
    TpCommon__WorkflowExecution execution = TP_COMMON__WORKFLOW_EXECUTION__INIT;
    struct tl_ev ev;
    tl_ev_init(&ev, d->tx->now_ns);
    execution.workflow_id = in->workflow_id;
    execution.run_id = in->run_id;
    a.workflow_task_completed_event_id = d->completed_id;
    a.namespace_ = namespace_of(d, in->namespace_);
    a.namespace_id = id_in_arena(d, in->namespace_);
    a.workflow_execution = &execution;
    a.control = in->control;
    a.child_workflow_only = in->child_workflow_only;
    a.reason = in->reason;
    TL_EV_SET(&ev, REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED,
              request_cancel_external_workflow_execution_initiated, &a);
    tl_command_decorate(&ev, c);
    push_effect(d, TL_FX_CANCEL_OTHER, tl_tx_add(d->tx, &ev));
}
