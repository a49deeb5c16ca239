/* The answers to a workflow task. Each is encoded into the task's arena and kept there until the
 * server has taken it, so that a retry sends the same bytes. */
#include <stdio.h>

#include "base/log.h"
#include "worker/wf_int.h"

/* Activities that the script would have at once are asked for with the answer, as far as this worker
 * runs activities and has free slots; the wishes that remain are taken back. */
static void request_eager(struct tl_wf_task *t, const struct tl_wft_result *result)
{
    struct tl_worker *w = t->owner->actor.worker;
    int most = (int)w->opt.max_eager_activity_reservations_per_workflow_task;
    bool limited = w->opt.max_task_queue_activities_per_second > 0 ||
                   w->opt.max_activities_per_second > 0; /* which count tasks that were polled */
    if (w->polls_max[TL_POLL_ACTIVITY] == 0 || w->opt.disable_eager_activity_execution || limited ||
        tl_worker_stopping(w)) {
        most = 0;
    }
    t->eager_slots = TL_ARENA_ARRAY(&t->memory->arena, struct tl_slot *, (size_t)most + 1);
    most = t->eager_slots ? most : 0;
    for (size_t i = 0; i < result->command_count; i++) {
        TpCommand__Command *c = result->commands[i];
        if ((int)c->command_type != COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK ||
            !c->schedule_activity_task_command_attributes) {
            continue;
        }
        TpCommand__ScheduleActivityTaskCommandAttributes *a =
            c->schedule_activity_task_command_attributes;
        bool ours = !a->task_queue || !a->task_queue->name[0] ||
                    strcmp(a->task_queue->name, w->task_queue) == 0;
        bool wanted = a->request_eager_execution && ours && t->eager < most;
        struct tl_slot *slot = wanted ? tl_slots_try(&w->act_slots) : NULL;
        a->request_eager_execution = slot != NULL;
        if (slot) {
            t->eager_slots[t->eager++] = slot;
        }
    }
}

static tl_rc send(struct tl_wf_task *t, enum tl_method method, const void *req,
                  struct tl_error *err)
{
    tl_rc rc = tl_pb_encode_arena(req, &t->memory->arena, &t->request, err);
    if (rc == TL_OK) {
        t->method = method;
        t->retry.attempt = 0;
        tl_wf_task_send(t);
    }
    return rc;
}

void tl_wf_respond_completed(struct tl_wf_task *t, const struct tl_wft_result *result)
{
    struct tl_worker *w = t->owner->actor.worker;
    const struct tl_poll_set *set = tl_poll_set_of(t->run->build);
    struct tl_error err = {0};
    TpWs__RespondWorkflowTaskCompletedRequest req =
        TP_WS__RESPOND_WORKFLOW_TASK_COMPLETED_REQUEST__INIT;
    TpWs__RespondWorkflowTaskCompletedRequest__Capabilities caps =
        TP_WS__RESPOND_WORKFLOW_TASK_COMPLETED_REQUEST__CAPABILITIES__INIT;
    TpTq__StickyExecutionAttributes sticky = TP_TQ__STICKY_EXECUTION_ATTRIBUTES__INIT;
    TpTq__TaskQueue queue = TP_TQ__TASK_QUEUE__INIT;
    Google__Protobuf__Duration wait = GOOGLE__PROTOBUF__DURATION__INIT;
    request_eager(t, result);
    t->ending = tl_meter_ending(result);
    t->commands = result->commands;
    t->places = result->places;
    t->command_count = result->command_count;
    caps.discard_speculative_workflow_task_with_events = true;
    req.task_token = t->poll->task_token;
    req.n_commands = result->command_count;
    req.commands = result->commands;
    req.n_messages = result->message_count;
    req.messages = result->messages;
    req.n_query_results = result->query_result_count;
    req.query_results = result->query_results;
    req.sdk_metadata = result->sdk_metadata;
    req.identity = w->identity;
    req.namespace_ = w->namespace_name;
    req.worker_instance_key = set->instance_key;
    req.capabilities = &caps;
    req.return_new_workflow_task = !tl_worker_stopping(w);
    req.force_create_new_workflow_task = result->force_new_task;
    if (w->polls_max[TL_POLL_STICKY] > 0 && !tl_worker_stopping(w)) {
        queue.name = set->sticky_queue;
        queue.kind = (TpEnums__TaskQueueKind)TASK_QUEUE_KIND_STICKY;
        queue.normal_name = w->task_queue;
        wait.seconds = w->opt.sticky_queue_schedule_to_start_timeout_ms / 1000;
        wait.nanos =
            (int32_t)(w->opt.sticky_queue_schedule_to_start_timeout_ms % 1000 * TL_NS_PER_MS);
        sticky.worker_task_queue = &queue;
        sticky.schedule_to_start_timeout = &wait;
        req.sticky_attributes = &sticky;
    }
    tl_version_completed(t->run->build, &req, t->run->lang.versioning_behavior);
    if (send(t, TL_M_RespondWorkflowTaskCompleted, &req, &err) != TL_OK) {
        t->evict = true;
        tl_wf_respond_error(t,
                            (TpEnums__WorkflowTaskFailedCause)
                                WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE,
                            "CompletionNotEncodable", err.message);
    }
}

/* The command that a cause of refusal speaks of, "BadStartChildExecutionAttributes" or
 * "PendingActivitiesLimitExceeded". The first word that the cause holds decides. */
static int refused_command(struct tl_str cause)
{
    static const struct {
        const char *word;
        int command;
    } rows[] = {
        {"RequestCancelActivity", COMMAND_TYPE_REQUEST_CANCEL_ACTIVITY_TASK},
        {"Activit", COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK},
        {"CancelTimer", COMMAND_TYPE_CANCEL_TIMER},
        {"Timer", COMMAND_TYPE_START_TIMER},
        {"Child", COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION},
        {"RequestCancelNexus", COMMAND_TYPE_REQUEST_CANCEL_NEXUS_OPERATION},
        {"NexusOperation", COMMAND_TYPE_SCHEDULE_NEXUS_OPERATION},
        {"RequestCancel", COMMAND_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION},
        {"Signal", COMMAND_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION},
        {"RecordMarker", COMMAND_TYPE_RECORD_MARKER},
        {"SearchAttributes", COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES},
        {"ModifyWorkflowProperties", COMMAND_TYPE_MODIFY_WORKFLOW_PROPERTIES},
        {"ContinueAsNew", COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION},
        {"CompleteWorkflow", COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION},
        {"FailWorkflow", COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (memmem(cause.p, cause.n, rows[i].word, strlen(rows[i].word))) {
            return rows[i].command;
        }
    }
    return COMMAND_TYPE_UNSPECIFIED;
}

void tl_wf_refused_places(const struct tl_wf_task *t, struct tl_str refusal, char *out, size_t cap)
{
    const char *colon = refusal.n ? memchr(refusal.p, ':', refusal.n) : NULL;
    int command = refused_command(tl_str_n(refusal.p, colon ? (size_t)(colon - refusal.p) : 0));
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; command && i < t->command_count; i++) {
        struct tl_str place = t->places[i];
        bool told = n > 0 && memmem(out, n, place.p, place.n); /* a loop calls from one line */
        if ((int)t->commands[i]->command_type != command || !place.n || told) {
            continue;
        }
        if (n + place.n + sizeof ", ..." >= cap) {
            memcpy(out + n, ", ...", sizeof ", ...");
            break;
        }
        n += (size_t)snprintf(out + n, cap - n, "%s%.*s", n ? ", " : "", TL_STR_FMT(place));
    }
}

void tl_wf_respond_query(struct tl_wf_task *t, const TpQuery__WorkflowQueryResult *result)
{
    struct tl_error err = {0};
    TpWs__RespondQueryTaskCompletedRequest req = TP_WS__RESPOND_QUERY_TASK_COMPLETED_REQUEST__INIT;
    req.task_token = t->poll->task_token;
    req.namespace_ = t->owner->actor.worker->namespace_name;
    req.completed_type = result->result_type;
    req.query_result = result->answer;
    req.error_message = result->error_message;
    req.failure = result->failure;
    if (send(t, TL_M_RespondQueryTaskCompleted, &req, &err) != TL_OK) {
        TL_LOG(TL_LOG_ERROR, "query.not_answered", TL_S("run_id", t->run->run_id),
               TL_C("error", err.message));
        tl_wf_task_abandon(t);
    }
}

void tl_wf_respond_failure(struct tl_wf_task *t, const char *type, const char *message)
{
    TpFailure__ApplicationFailureInfo info = TP_FAILURE__APPLICATION_FAILURE_INFO__INIT;
    TpFailure__Failure failure = TP_FAILURE__FAILURE__INIT;
    TpCommand__FailWorkflowExecutionCommandAttributes attrs =
        TP_COMMAND__FAIL_WORKFLOW_EXECUTION_COMMAND_ATTRIBUTES__INIT;
    TpCommand__Command command = TP_COMMAND__COMMAND__INIT, *commands[] = {&command};
    const struct tl_wft_result result = {.commands = commands, .command_count = 1};
    info.type = (char *)(uintptr_t)type;
    failure.message = (char *)(uintptr_t)message;
    failure.source = (char *)(uintptr_t) "temporal-lua";
    failure.failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_APPLICATION_FAILURE_INFO;
    failure.application_failure_info = &info;
    attrs.failure = &failure;
    command.command_type = (TpEnums__CommandType)COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION;
    command.attributes_case =
        TP_COMMAND__COMMAND__ATTRIBUTES_FAIL_WORKFLOW_EXECUTION_COMMAND_ATTRIBUTES;
    command.fail_workflow_execution_command_attributes = &attrs;
    tl_wf_respond_completed(t, &result);
}

void tl_wf_respond_failed(struct tl_wf_task *t, TpEnums__WorkflowTaskFailedCause cause,
                          const TpFailure__Failure *failure)
{
    struct tl_worker *w = t->owner->actor.worker;
    struct tl_error err = {0};
    TpWs__RespondWorkflowTaskFailedRequest req = TP_WS__RESPOND_WORKFLOW_TASK_FAILED_REQUEST__INIT;
    req.task_token = t->poll->task_token;
    req.namespace_ = w->namespace_name;
    req.identity = w->identity;
    req.cause = cause;
    req.failure = (TpFailure__Failure *)(uintptr_t)failure;
    tl_version_failed(t->run->build, &req);
    if (send(t, TL_M_RespondWorkflowTaskFailed, &req, &err) != TL_OK) {
        TL_LOG(TL_LOG_ERROR, "workflow_task.not_answered", TL_S("run_id", t->run->run_id),
               TL_C("error", err.message));
        tl_wf_task_abandon(t);
    }
}

void tl_wf_respond_error(struct tl_wf_task *t, TpEnums__WorkflowTaskFailedCause cause,
                         const char *type, const char *message)
{
    TpFailure__Failure failure = TP_FAILURE__FAILURE__INIT;
    TpFailure__ApplicationFailureInfo info = TP_FAILURE__APPLICATION_FAILURE_INFO__INIT;
    info.type = (char *)(uintptr_t)type;
    failure.message = (char *)(uintptr_t)message;
    failure.source = (char *)(uintptr_t) "LuaSDK";
    failure.failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_APPLICATION_FAILURE_INFO;
    failure.application_failure_info = &info;
    if (t->poll->query) {
        TpQuery__WorkflowQueryResult result = TP_QUERY__WORKFLOW_QUERY_RESULT__INIT;
        result.result_type = (TpEnums__QueryResultType)QUERY_RESULT_TYPE_FAILED;
        result.error_message = failure.message;
        result.failure = &failure;
        tl_wf_respond_query(t, &result);
    } else {
        tl_wf_respond_failed(t, cause, &failure);
    }
}
