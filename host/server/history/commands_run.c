/* Commands that end the run: complete, fail, cancel, continue as new.
 * Thread: the run's owner. */
#include <string.h>

#include "server/history/commands.h"
#include "server/history/policy.h"
#include "server/history/rs.h"

/* A run must not end while something it has not heard of waits for it. */
static bool check_unhandled(struct tl_wft_done *d)
{
    if (d->buffered == 0) {
        return true;
    }
    tl_refuse(d, WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND, NULL);
    return false;
}

static bool check_bytes(struct tl_wft_done *d, const void *msg, int64_t bytes_max, int cause,
                        const char *message)
{
    if (tl_message_bytes(msg) <= bytes_max) {
        return true;
    }
    tl_refuse_terminate(d, cause, message);
    return false;
}

/* --- complete -------------------------------------------------------------------------------- */

void tl_command_check_complete(struct tl_wft_done *d, const TpCommand__Command *c)
{
    if (check_unhandled(d)) {
        check_bytes(d, c->complete_workflow_execution_command_attributes->result,
                    d->tx->env->limits.blob_bytes,
                    WORKFLOW_TASK_FAILED_CAUSE_BAD_COMPLETE_WORKFLOW_EXECUTION_ATTRIBUTES,
                    "CompleteWorkflowExecutionCommandAttributes.Result exceeds size limit.");
    }
}

void tl_command_run_complete(struct tl_wft_done *d, const TpCommand__Command *c)
{
    TpCommon__Payloads *result = c->complete_workflow_execution_command_attributes->result;
    TpHistory__WorkflowExecutionCompletedEventAttributes a =
        TP_HISTORY__WORKFLOW_EXECUTION_COMPLETED_EVENT_ATTRIBUTES__INIT;
    struct tl_next_run next;
    struct tl_ev ev;
    tl_next_run_decide(d->tx, NULL, false, &next);
    tl_next_run_emit(d->tx, &next, result, NULL);
    tl_ev_init(&ev, d->tx->now_ns);
    a.result = result;
    a.workflow_task_completed_event_id = d->completed_id;
    a.new_execution_run_id = next.run_id;
    TL_EV_SET(&ev, WORKFLOW_EXECUTION_COMPLETED, workflow_execution_completed, &a);
    tl_command_decorate(&ev, c);
    tl_tx_add(d->tx, &ev);
}

/* --- fail ------------------------------------------------------------------------------------ */

void tl_command_check_fail(struct tl_wft_done *d, const TpCommand__Command *c)
{
    const int cause = WORKFLOW_TASK_FAILED_CAUSE_BAD_FAIL_WORKFLOW_EXECUTION_ATTRIBUTES;
    const TpFailure__Failure *failure = c->fail_workflow_execution_command_attributes->failure;
    if (!check_unhandled(d)) {
        return;
    }
    if (!failure) {
        tl_refuse(d, cause, "Failure is not set on FailWorkflowExecutionCommand.");
        return;
    }
    check_bytes(d, failure, d->tx->env->limits.blob_bytes, cause,
                "FailWorkflowExecutionCommandAttributes.Failure exceeds size limit.");
}

void tl_command_run_fail(struct tl_wft_done *d, const TpCommand__Command *c)
{
    TpFailure__Failure *failure = c->fail_workflow_execution_command_attributes->failure;
    TpHistory__WorkflowExecutionFailedEventAttributes a =
        TP_HISTORY__WORKFLOW_EXECUTION_FAILED_EVENT_ATTRIBUTES__INIT;
    struct tl_next_run next;
    struct tl_ev ev;
    tl_next_run_decide(d->tx, failure, true, &next);
    tl_next_run_emit(d->tx, &next, NULL, failure);
    tl_ev_init(&ev, d->tx->now_ns);
    a.failure = failure;
    a.retry_state = (TpEnums__RetryState)next.retry_state;
    a.workflow_task_completed_event_id = d->completed_id;
    a.new_execution_run_id = next.run_id;
    TL_EV_SET(&ev, WORKFLOW_EXECUTION_FAILED, workflow_execution_failed, &a);
    tl_command_decorate(&ev, c);
    tl_tx_add(d->tx, &ev);
}

/* --- cancel ---------------------------------------------------------------------------------- */

void tl_command_check_cancel(struct tl_wft_done *d, const TpCommand__Command *c)
{
    if (check_unhandled(d)) {
        check_bytes(d, c->cancel_workflow_execution_command_attributes->details,
                    d->tx->env->limits.blob_bytes,
                    WORKFLOW_TASK_FAILED_CAUSE_BAD_CANCEL_WORKFLOW_EXECUTION_ATTRIBUTES,
                    "CancelWorkflowExecutionCommandAttributes.Details exceeds size limit.");
    }
}

void tl_command_run_cancel(struct tl_wft_done *d, const TpCommand__Command *c)
{
    TpHistory__WorkflowExecutionCanceledEventAttributes a =
        TP_HISTORY__WORKFLOW_EXECUTION_CANCELED_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    tl_ev_init(&ev, d->tx->now_ns);
    a.workflow_task_completed_event_id = d->completed_id;
    a.details = c->cancel_workflow_execution_command_attributes->details;
    TL_EV_SET(&ev, WORKFLOW_EXECUTION_CANCELED, workflow_execution_canceled, &a);
    tl_command_decorate(&ev, c);
    tl_tx_add(d->tx, &ev);
}

/* --- continue as new ------------------------------------------------------------------------- */

static const char *queue_of(const struct tl_rs *rs,
                            const TpCommand__ContinueAsNewWorkflowExecutionCommandAttributes *a)
{
    return a->task_queue && tl_has_text(a->task_queue->name) ? a->task_queue->name
                                                             : tl_or_empty(rs->task_queue);
}

static const char *type_of(const struct tl_rs *rs,
                           const TpCommand__ContinueAsNewWorkflowExecutionCommandAttributes *a)
{
    return a->workflow_type && tl_has_text(a->workflow_type->name) ? a->workflow_type->name
                                                                   : tl_or_empty(rs->workflow_type);
}

static bool
check_continue_times(struct tl_wft_done *d,
                     const TpCommand__ContinueAsNewWorkflowExecutionCommandAttributes *a)
{
    const struct {
        const char *name;
        const Google__Protobuf__Duration *value;
    } times[] = {
        {"WorkflowRunTimeout", a->workflow_run_timeout},
        {"WorkflowTaskTimeout", a->workflow_task_timeout},
        {"BackoffStartInterval", a->backoff_start_interval},
    };
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        const char *problem = NULL;
        tl_duration_checked_ns(times[i].value, &problem);
        if (problem) {
            tl_refuse(d, WORKFLOW_TASK_FAILED_CAUSE_BAD_CONTINUE_AS_NEW_ATTRIBUTES,
                      "Invalid %s on ContinueAsNewWorkflowExecutionCommand: %s", times[i].name,
                      problem);
            return false;
        }
    }
    return true;
}

static bool
check_continue_policies(struct tl_wft_done *d,
                        const TpCommand__ContinueAsNewWorkflowExecutionCommandAttributes *a)
{
    const int cause = WORKFLOW_TASK_FAILED_CAUSE_BAD_CONTINUE_AS_NEW_ATTRIBUTES;
    struct tl_error e = {0};
    if (a->retry_policy) {
        struct tl_retry_policy filled;
        tl_retry_policy_fill(&filled, a->retry_policy);
        if (tl_retry_policy_check(&filled.policy, &e) != TL_OK) {
            tl_refuse(d, cause,
                      "invalid WorkflowRetryPolicy on ContinueAsNewWorkflowExecutionCommand: %s",
                      e.message);
            return false;
        }
    }
    if (tl_has_text(a->cron_schedule) && tl_cron_check(a->cron_schedule, &e) != TL_OK) {
        tl_refuse(d, cause, "%s", e.message);
        return false;
    }
    return true;
}

void tl_command_check_continue(struct tl_wft_done *d, const TpCommand__Command *c)
{
    const int cause = WORKFLOW_TASK_FAILED_CAUSE_BAD_CONTINUE_AS_NEW_ATTRIBUTES;
    const TpCommand__ContinueAsNewWorkflowExecutionCommandAttributes *a =
        c->continue_as_new_workflow_execution_command_attributes;
    const struct tl_history_limits *limits = &d->tx->env->limits;
    if (!check_unhandled(d)) {
        return;
    }
    if ((int64_t)strlen(type_of(d->tx->rs, a)) > limits->id_bytes) {
        tl_refuse(d, cause,
                  "WorkflowType on ContinueAsNewWorkflowExecutionCommand exceeds length limit.");
        return;
    }
    if ((int64_t)strlen(queue_of(d->tx->rs, a)) > limits->id_bytes) {
        tl_refuse(d, cause,
                  "TaskQueue on ContinueAsNewWorkflowExecutionCommand exceeds length limit.");
        return;
    }
    if (!check_continue_times(d, a) || !check_continue_policies(d, a) ||
        !tl_command_check_attributes(d, d->tx->rs->namespace_number, a->search_attributes,
                                     a->search_attributes)) {
        return;
    }
    if (check_bytes(d, a->input, limits->blob_bytes, cause,
                    "ContinueAsNewWorkflowExecutionCommandAttributes. Input exceeds size limit.")) {
        check_bytes(d, a->memo, limits->memo_bytes, cause,
                    "ContinueAsNewWorkflowExecutionCommandAttributes. Memo exceeds size limit.");
    }
}

/* What the event and the next run share; lives as long as the arena. */
struct next {
    TpTq__TaskQueue queue;
    TpCommon__WorkflowType type;
    Google__Protobuf__Duration run, task, execution;
    TpWs__StartWorkflowExecutionRequest req;
    struct tl_start start;
    char run_id[37];
    uint64_t run_number;
};

static void fill_times(const struct tl_rs *rs, struct next *n,
                       const TpCommand__ContinueAsNewWorkflowExecutionCommandAttributes *a)
{
    const char *problem = NULL;
    int64_t run_ns = tl_duration_checked_ns(a->workflow_run_timeout, &problem);
    int64_t task_ns = tl_duration_checked_ns(a->workflow_task_timeout, &problem);
    run_ns = tl_run_timeout_ns(run_ns > 0 ? run_ns : rs->run_timeout_ns, rs->execution_timeout_ns);
    task_ns = tl_task_timeout_ns(task_ns > 0 ? task_ns : rs->task_timeout_ns, run_ns);
    n->run = tl_duration_value(run_ns);
    n->task = tl_duration_value(task_ns);
    n->execution = tl_duration_value(rs->execution_timeout_ns);
}

static void fill_request(struct tl_tx *tx, struct next *n,
                         const TpCommand__ContinueAsNewWorkflowExecutionCommandAttributes *a)
{
    const struct tl_rs *rs = tx->rs;
    TpWs__StartWorkflowExecutionRequest *req = &n->req;
    *req = (TpWs__StartWorkflowExecutionRequest)TP_WS__START_WORKFLOW_EXECUTION_REQUEST__INIT;
    req->workflow_id = tl_arena_cstr(tx->arena, tl_str(rs->workflow_id));
    req->namespace_ = tl_arena_cstr(tx->arena, tl_str(rs->namespace_name));
    req->workflow_type = &n->type;
    req->task_queue = &n->queue;
    req->input = a->input;
    req->header = a->header;
    req->workflow_execution_timeout = &n->execution;
    req->workflow_run_timeout = &n->run;
    req->workflow_task_timeout = &n->task;
    req->retry_policy = a->retry_policy;
    req->cron_schedule = a->cron_schedule;
    req->memo = a->memo;
    req->search_attributes = a->search_attributes;
    req->last_completion_result = a->last_completion_result;
    req->continued_failure = a->failure;
    req->priority = tl_blob_decode(&rs->priority, &tp_common__priority__descriptor, tx->arena);
    if (!req->workflow_id || !req->namespace_ || !tl_rs_callbacks_hand_on(rs, tx->arena, req)) {
        tl_tx_break(tx, "the next run");
    }
}

static void add_continued(struct tl_wft_done *d, const TpCommand__Command *c, struct next *n,
                          int initiator)
{
    const TpCommand__ContinueAsNewWorkflowExecutionCommandAttributes *in =
        c->continue_as_new_workflow_execution_command_attributes;
    TpHistory__WorkflowExecutionContinuedAsNewEventAttributes a =
        TP_HISTORY__WORKFLOW_EXECUTION_CONTINUED_AS_NEW_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    tl_ev_init(&ev, d->tx->now_ns);
    a.new_execution_run_id = n->run_id;
    a.workflow_type = &n->type;
    a.task_queue = &n->queue;
    a.input = in->input;
    a.workflow_run_timeout = &n->run;
    a.workflow_task_timeout = &n->task;
    a.workflow_task_completed_event_id = d->completed_id;
    a.backoff_start_interval = in->backoff_start_interval;
    a.initiator = (TpEnums__ContinueAsNewInitiator)initiator;
    a.failure = in->failure;
    a.last_completion_result = in->last_completion_result;
    a.header = in->header;
    a.memo = in->memo ? tl_memo_merge(NULL, in->memo, d->tx->arena) : NULL;
    a.search_attributes =
        in->search_attributes
            ? tl_search_attributes_merge(NULL, in->search_attributes, d->tx->arena)
            : NULL;
    a.inherit_build_id = in->inherit_build_id;
    a.initial_versioning_behavior = in->initial_versioning_behavior;
    TL_EV_SET(&ev, WORKFLOW_EXECUTION_CONTINUED_AS_NEW, workflow_execution_continued_as_new, &a);
    tl_command_decorate(&ev, c);
    tl_tx_add(d->tx, &ev);
}

void tl_command_run_continue(struct tl_wft_done *d, const TpCommand__Command *c)
{
    const TpCommand__ContinueAsNewWorkflowExecutionCommandAttributes *a =
        c->continue_as_new_workflow_execution_command_attributes;
    struct tl_tx *tx = d->tx;
    struct next *n = TL_ARENA_NEW(tx->arena, struct next);
    const char *problem = NULL;
    if (!n) {
        tl_tx_break(tx, "the next run");
        return;
    }
    int initiator = (int)a->initiator ? (int)a->initiator : CONTINUE_AS_NEW_INITIATOR_WORKFLOW;
    n->queue = (TpTq__TaskQueue)TP_TQ__TASK_QUEUE__INIT;
    n->type = (TpCommon__WorkflowType)TP_COMMON__WORKFLOW_TYPE__INIT;
    n->queue.name = tl_arena_cstr(tx->arena, tl_str(queue_of(tx->rs, a)));
    n->queue.kind = (TpEnums__TaskQueueKind)TASK_QUEUE_KIND_NORMAL;
    n->type.name = tl_arena_cstr(tx->arena, tl_str(type_of(tx->rs, a)));
    if (!n->queue.name || !n->type.name) {
        tl_tx_break(tx, "the next run");
        return;
    }
    fill_times(tx->rs, n, a);
    fill_request(tx, n, a);
    tx->env->new_run_id(tx->env->ud, n->run_id, &n->run_number);
    n->start.initiator = initiator;
    n->start.attempt = initiator == CONTINUE_AS_NEW_INITIATOR_RETRY ? tx->rs->attempt + 1 : 1;
    n->start.set_build = tl_str(a->inherit_build_id ? tl_or_empty(tx->rs->set_build) : "");
    tl_versioning_inherit(tx, &n->start, &n->req, (int)a->initial_versioning_behavior);
    n->start.first_backoff_ns =
        tl_chain_min_backoff_ns(tx, tl_duration_checked_ns(a->backoff_start_interval, &problem));
    tl_emit_new_run(tx, &n->start, &n->req, n->run_id, n->run_number);
    add_continued(d, c, n, initiator);
}
