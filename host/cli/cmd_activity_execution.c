/* activity start, execute, result, describe, list, count, cancel, terminate, delete: activities without a
 * workflow. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/batch.h"
#include "cli/listing.h"
#include "cli/outcome.h"
#include "cli/start_options.h"
#include "proto/failure.h"
#include "proto/payload.h"
#include "tl_enums.h"

int tl_cmd_activity_start(struct tl_cli *cli);
int tl_cmd_activity_execute(struct tl_cli *cli);
int tl_cmd_activity_result(struct tl_cli *cli);
int tl_cmd_activity_describe(struct tl_cli *cli);
int tl_cmd_activity_list(struct tl_cli *cli);
int tl_cmd_activity_count(struct tl_cli *cli);
int tl_cmd_activity_cancel(struct tl_cli *cli);
int tl_cmd_activity_terminate(struct tl_cli *cli);
int tl_cmd_activity_delete(struct tl_cli *cli);

/* One long poll for an outcome; the service answers sooner. */
#define POLL_NS (60 * TL_NS_PER_S)

/* --- start ----------------------------------------------------------------------------------------- */

/* Whether a retry option was given, and its policy. Returns 0 or an exit code. */
static int read_retry(struct tl_cli_session *s, TpCommon__RetryPolicy **out)
{
    static const char *const names[] = {"retry-initial-interval", "retry-maximum-interval",
                                        "retry-backoff-coefficient", "retry-maximum-attempts"};
    const char *coefficient = tl_cli_text(s->cli, names[2]);
    int64_t attempts = tl_cli_integer(s->cli, names[3]);
    TpCommon__RetryPolicy *p = TL_PB_NEW(&s->arena, TpCommon__RetryPolicy, tp_common__retry_policy);
    char *end = NULL;
    double c = coefficient ? strtod(coefficient, &end) : 0;
    *out = NULL;
    if (!p) {
        return tl_cli_fail(1, "the start is too large");
    }
    if (coefficient && (*end || end == coefficient || !isfinite(c) || c < 1)) {
        return tl_cli_fail(2, "--retry-backoff-coefficient wants a number from 1 up, got '%s'",
                           coefficient);
    }
    if (attempts < 0 || attempts > INT32_MAX) {
        return tl_cli_fail(2, "--retry-maximum-attempts wants a number from 0 up, got '%lld'",
                           (long long)attempts);
    }
    p->initial_interval = tl_cli_duration(s, names[0]);
    p->maximum_interval = tl_cli_duration(s, names[1]);
    p->backoff_coefficient = c;
    p->maximum_attempts = (int32_t)attempts;
    bool given = false;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        given |= tl_cli_given(s->cli, names[i]);
    }
    *out = given ? p : NULL;
    return 0;
}

static int read_start(struct tl_cli_session *s, TpWs__StartActivityExecutionRequest *r)
{
    char *uuid = tl_arena_alloc(&s->arena, 37);
    r->activity_type = TL_PB_NEW(&s->arena, TpCommon__ActivityType, tp_common__activity_type);
    r->task_queue = TL_PB_NEW(&s->arena, TpTq__TaskQueue, tp_tq__task_queue);
    if (!uuid || !r->activity_type || !r->task_queue) {
        return tl_cli_fail(1, "the start is too large");
    }
    tl_uuid4(tl_client_world(s->client), uuid);
    r->request_id = uuid;
    r->activity_id = tl_cli_field(s, "activity-id");
    r->activity_type->name = tl_cli_field(s, "type");
    r->task_queue->name = tl_cli_field(s, "task-queue");
    r->task_queue->kind = (TpEnums__TaskQueueKind)TASK_QUEUE_KIND_NORMAL;
    r->schedule_to_close_timeout = tl_cli_duration(s, "schedule-to-close-timeout");
    r->schedule_to_start_timeout = tl_cli_duration(s, "schedule-to-start-timeout");
    r->start_to_close_timeout = tl_cli_duration(s, "start-to-close-timeout");
    r->heartbeat_timeout = tl_cli_duration(s, "heartbeat-timeout");
    r->start_delay = tl_cli_duration(s, "start-delay");
    r->id_reuse_policy = (TpEnums__ActivityIdReusePolicy)tl_cli_choice(
        s, "id-reuse-policy", &tp_enums__activity_id_reuse_policy__descriptor);
    r->id_conflict_policy = (TpEnums__ActivityIdConflictPolicy)tl_cli_choice(
        s, "id-conflict-policy", &tp_enums__activity_id_conflict_policy__descriptor);
    int code = read_retry(s, &r->retry_policy);
    code = code ? code : tl_cli_search_attributes(s, &r->search_attributes);
    code = code ? code : tl_cli_headers(s, &r->header);
    code = code ? code : tl_cli_priority(s, &r->priority);
    code = code ? code : tl_cli_user_metadata(s, &r->user_metadata);
    return code ? code : tl_cli_input(s, "", &r->input);
}

static int print_running(struct tl_cli_session *s, const char *run_id)
{
    struct tl_error err;
    bool json = tl_print_is_json(&s->print);
    struct tl_print_row rows[] = {
        {json ? "activityId" : "ActivityId", tl_cli_text(s->cli, "activity-id"), false},
        {json ? "runId" : "RunId", run_id, false},
        {json ? "namespace" : "Namespace", tl_client_namespace(s->client).p, false},
    };
    tl_print_line(&s->print, "Running execution:");
    return tl_cli_printed(tl_print_fields(&s->print, rows, 3, &err), &err);
}

static int call_start(struct tl_cli_session *s, const char **run_id)
{
    TpWs__StartActivityExecutionRequest r = TP_WS__START_ACTIVITY_EXECUTION_REQUEST__INIT;
    TpWs__StartActivityExecutionResponse *resp = NULL;
    struct tl_client_error err;
    int code = read_start(s, &r);
    if (code == 0 && tl_cli_call(s, TL_M_StartActivityExecution, &r, &resp, &err) != TL_OK) {
        return tl_cli_call_failed("failed starting activity", &err);
    }
    *run_id = code == 0 ? resp->run_id : "";
    return code;
}

static int run_start(struct tl_cli_session *s)
{
    const char *run_id;
    int code = call_start(s, &run_id);
    return code ? code : print_running(s, run_id);
}

int tl_cmd_activity_start(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_CREATE, run_start);
}

/* --- result ---------------------------------------------------------------------------------------- */

/* Waits for the end and prints it. */
static int print_result(struct tl_cli_session *s, char *run_id)
{
    TpWs__PollActivityExecutionRequest r = TP_WS__POLL_ACTIVITY_EXECUTION_REQUEST__INIT;
    TpWs__PollActivityExecutionResponse *resp = NULL;
    struct tl_client_error err;
    r.activity_id = tl_cli_field(s, "activity-id");
    r.run_id = run_id;
    do {
        int64_t left = tl_cli_time_left_ns(s);
        tl_rc rc = tl_client_call(s->client, TL_M_PollActivityExecution, &r, &s->arena, &resp,
                                  left > 0 && left < POLL_NS ? left : POLL_NS, &err);
        if (rc != TL_OK && err.error.code == TL_ENOTFOUND) {
            return tl_cli_fail(1, "activity not found: %s", r.activity_id);
        }
        if (rc != TL_OK) {
            return tl_cli_call_failed("failed polling activity result", &err);
        }
    } while (!resp->outcome);
    const TpActivity__ActivityExecutionOutcome *end = resp->outcome;
    bool failed = end->value_case == TP_ACTIVITY__ACTIVITY_EXECUTION_OUTCOME__VALUE_FAILURE;
    const struct tl_cli_outcome outcome = {.kind = "activity",
                                           .id_name = "activityId",
                                           .id = r.activity_id,
                                           .run_id = resp->run_id,
                                           .failure = failed ? end->failure : NULL,
                                           .result = failed ? NULL : end->result};
    return tl_cli_print_outcome(s, &outcome);
}

static int run_result(struct tl_cli_session *s)
{
    return print_result(s, tl_cli_field(s, "run-id"));
}

int tl_cmd_activity_result(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_result);
}

static int run_execute(struct tl_cli_session *s)
{
    const char *run_id;
    int code = call_start(s, &run_id);
    if (code == 0 && !tl_print_is_json(&s->print)) {
        code = print_running(s, run_id);
        tl_print_flush(&s->print);
    }
    return code ? code : print_result(s, (char *)(uintptr_t)run_id);
}

int tl_cmd_activity_execute(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_CREATE, run_execute);
}

/* --- describe -------------------------------------------------------------------------------------- */

static void print_description(struct tl_cli_session *s, const TpActivity__ActivityExecutionInfo *i)
{
    struct tl_arena *a = &s->arena;
    const struct tl_print *p = &s->print;
    const struct tl_print_row rows[] = {
        {"ActivityId", i->activity_id, false},
        {"RunId", i->run_id, false},
        {"Type", i->activity_type ? i->activity_type->name : "", false},
        {"Status",
         tl_print_enum(a, &tp_enums__activity_execution_status__descriptor, (int)i->status), false},
        {"RunState",
         i->run_state
             ? tl_print_enum(a, &tp_enums__pending_activity_state__descriptor, (int)i->run_state)
             : "",
         true},
        {"TaskQueue", i->task_queue, false},
        {"ScheduleToCloseTimeout", tl_print_span(a, i->schedule_to_close_timeout), true},
        {"ScheduleToStartTimeout", tl_print_span(a, i->schedule_to_start_timeout), true},
        {"StartToCloseTimeout", tl_print_span(a, i->start_to_close_timeout), true},
        {"HeartbeatTimeout", tl_print_span(a, i->heartbeat_timeout), true},
        {"StartDelay", tl_print_span(a, i->start_delay), true},
        {"LastStartedTime", tl_print_time(p, a, i->last_started_time), true},
        {"Attempt", tl_print_number(a, i->attempt), false},
        {"ExecutionDuration", tl_print_span(a, i->execution_duration), true},
        {"ScheduleTime", tl_print_time(p, a, i->schedule_time), true},
        {"CloseTime", tl_print_time(p, a, i->close_time), true},
        {"LastFailure", i->last_failure ? tl_print_failure(a, i->last_failure) : "", true},
        {"LastWorkerIdentity", i->last_worker_identity, true},
        {"LastAttemptCompleteTime", tl_print_time(p, a, i->last_attempt_complete_time), true},
        {"StateTransitionCount", tl_print_number(a, i->state_transition_count), false},
    };
    tl_print_line(&s->print, "Activity Execution Info:");
    tl_print_card(&s->print, rows, sizeof rows / sizeof rows[0]);
}

static int run_describe(struct tl_cli_session *s)
{
    TpWs__DescribeActivityExecutionRequest r = TP_WS__DESCRIBE_ACTIVITY_EXECUTION_REQUEST__INIT;
    TpWs__DescribeActivityExecutionResponse *resp = NULL;
    struct tl_client_error err;
    r.activity_id = tl_cli_field(s, "activity-id");
    r.run_id = tl_cli_field(s, "run-id");
    r.include_last_failure = true;
    if (tl_cli_call(s, TL_M_DescribeActivityExecution, &r, &resp, &err) != TL_OK) {
        return tl_cli_call_failed("failed describing activity", &err);
    }
    if (!tl_print_is_json(&s->print) && !tl_cli_flag(s->cli, "raw")) {
        print_description(s, resp->info);
        return 0;
    }
    if (!tl_print_is_json(&s->print)) {
        tl_print_line(&s->print, "%s", tl_print_compact(&s->print, &s->arena, resp));
        return 0;
    }
    return tl_cli_printed(tl_print_message(&s->print, resp, &err.error), &err.error);
}

int tl_cmd_activity_describe(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_describe);
}

/* --- list, count ----------------------------------------------------------------------------------- */

static tl_rc ask_list(struct tl_cli_session *s, struct tl_listing_page *page,
                      struct tl_client_error *err)
{
    TpWs__ListActivityExecutionsRequest r = TP_WS__LIST_ACTIVITY_EXECUTIONS_REQUEST__INIT;
    TpWs__ListActivityExecutionsResponse *resp = NULL;
    r.query = page->query;
    r.page_size = page->page_size;
    r.next_page_token = page->token;
    tl_rc rc = tl_client_call(s->client, TL_M_ListActivityExecutions, &r, page->arena, &resp,
                              tl_cli_time_left_ns(s), err);
    if (rc == TL_OK) {
        page->resp = resp;
        page->n = resp->n_executions;
        page->token = resp->next_page_token;
    }
    return rc;
}

static const void *list_row(struct tl_cli_session *s, const struct tl_listing_page *page, size_t i,
                            const char **cells)
{
    const TpWs__ListActivityExecutionsResponse *resp = page->resp;
    const TpActivity__ActivityExecutionListInfo *info = resp->executions[i];
    cells[0] = tl_print_enum(page->arena, &tp_enums__activity_execution_status__descriptor,
                             (int)info->status);
    cells[1] = info->activity_id;
    cells[2] = info->activity_type ? info->activity_type->name : "";
    cells[3] = tl_print_time(&s->print, page->arena, info->schedule_time);
    return info;
}

static int run_list(struct tl_cli_session *s)
{
    static const struct tl_listing activities = {"failed listing activities",
                                                 {{"Status", 0, false},
                                                  {"ActivityId", 0, false},
                                                  {"Type", 0, false},
                                                  {"StartTime", 0, false}},
                                                 ask_list,
                                                 list_row};
    return tl_cli_list(s, &activities);
}

int tl_cmd_activity_list(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_list);
}

static int run_count(struct tl_cli_session *s)
{
    TpWs__CountActivityExecutionsRequest r = TP_WS__COUNT_ACTIVITY_EXECUTIONS_REQUEST__INIT;
    TpWs__CountActivityExecutionsResponse *resp = NULL;
    struct tl_client_error err;
    r.query = tl_cli_field(s, "query");
    if (tl_cli_call(s, TL_M_CountActivityExecutions, &r, &resp, &err) != TL_OK) {
        return tl_cli_call_failed("failed counting activities", &err);
    }
    tl_cli_print_total(s, resp->count);
    for (size_t i = 0; i < resp->n_groups; i++) {
        tl_cli_print_group(s, resp->groups[i]->count, resp->groups[i]->group_values,
                           resp->groups[i]->n_group_values);
    }
    return tl_cli_printed(tl_print_message(&s->print, resp, &err.error), &err.error);
}

int tl_cmd_activity_count(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_count);
}

/* --- cancel, terminate, delete ---------------------------------------------------------------------- */

static int cancel_all(struct tl_cli_session *s, struct tl_cli_target *target)
{
    TpBatch__BatchOperationCancelActivities op = TP_BATCH__BATCH_OPERATION_CANCEL_ACTIVITIES__INIT;
    op.identity = tl_cli_identity(s);
    op.reason = tl_cli_field(s, "reason");
    target->request.operation_case =
        TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_CANCEL_ACTIVITIES_OPERATION;
    target->request.cancel_activities_operation = &op;
    return tl_cli_batch_start(s, target);
}

static int run_cancel(struct tl_cli_session *s)
{
    TpWs__RequestCancelActivityExecutionRequest r =
        TP_WS__REQUEST_CANCEL_ACTIVITY_EXECUTION_REQUEST__INIT;
    struct tl_client_error err;
    struct tl_cli_target target;
    char request_id[37];
    int code = tl_cli_target_activity(s, TL_CLI_TARGET_REASON, &target);
    if (code || target.batch) {
        return code ? code : cancel_all(s, &target);
    }
    tl_uuid4(tl_client_world(s->client), request_id);
    r.activity_id = target.execution.workflow_id;
    r.run_id = target.execution.run_id;
    r.reason = tl_cli_field(s, "reason");
    r.request_id = request_id;
    if (tl_cli_call(s, TL_M_RequestCancelActivityExecution, &r, NULL, &err) != TL_OK) {
        return tl_cli_call_failed("failed to request activity cancellation", &err);
    }
    tl_print_line(&s->print, "Cancellation requested");
    return 0;
}

int tl_cmd_activity_cancel(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_cancel);
}

static int terminate_all(struct tl_cli_session *s, struct tl_cli_target *target)
{
    TpBatch__BatchOperationTerminateActivities op =
        TP_BATCH__BATCH_OPERATION_TERMINATE_ACTIVITIES__INIT;
    op.identity = tl_cli_identity(s);
    op.reason = target->request.reason;
    target->request.operation_case =
        TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_TERMINATE_ACTIVITIES_OPERATION;
    target->request.terminate_activities_operation = &op;
    return tl_cli_batch_start(s, target);
}

static int run_terminate(struct tl_cli_session *s)
{
    TpWs__TerminateActivityExecutionRequest r = TP_WS__TERMINATE_ACTIVITY_EXECUTION_REQUEST__INIT;
    struct tl_client_error err;
    struct tl_cli_target target;
    char request_id[37];
    int code = tl_cli_target_activity(s, TL_CLI_TARGET_REASON, &target);
    if (code || target.batch) {
        return code ? code : terminate_all(s, &target);
    }
    tl_uuid4(tl_client_world(s->client), request_id);
    r.activity_id = target.execution.workflow_id;
    r.run_id = target.execution.run_id;
    r.reason = tl_cli_reason(s);
    r.request_id = request_id;
    if (tl_cli_call(s, TL_M_TerminateActivityExecution, &r, NULL, &err) != TL_OK) {
        return tl_cli_call_failed("failed to terminate activity", &err);
    }
    tl_print_line(&s->print, "Activity terminated");
    return 0;
}

int tl_cmd_activity_terminate(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_terminate);
}

static int delete_all(struct tl_cli_session *s, struct tl_cli_target *target)
{
    TpBatch__BatchOperationDeleteActivities op = TP_BATCH__BATCH_OPERATION_DELETE_ACTIVITIES__INIT;
    target->request.operation_case =
        TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_DELETE_ACTIVITIES_OPERATION;
    target->request.delete_activities_operation = &op;
    return tl_cli_batch_start(s, target);
}

static int run_delete(struct tl_cli_session *s)
{
    TpWs__DeleteActivityExecutionRequest r = TP_WS__DELETE_ACTIVITY_EXECUTION_REQUEST__INIT;
    struct tl_client_error err;
    struct tl_cli_target target;
    int code = tl_cli_target_activity(s, TL_CLI_TARGET_YES, &target);
    if (code || target.batch) {
        return code ? code : delete_all(s, &target);
    }
    r.activity_id = target.execution.workflow_id;
    r.run_id = target.execution.run_id;
    code =
        tl_cli_confirm(s, tl_arena_printf(&s->arena, "Delete the activity %s? y/N", r.activity_id));
    if (code == 0 && tl_cli_call(s, TL_M_DeleteActivityExecution, &r, NULL, &err) != TL_OK) {
        return tl_cli_call_failed("failed to delete standalone activity", &err);
    }
    if (code == 0) {
        tl_print_line(&s->print, "Delete activity succeeded");
    }
    return code;
}

int tl_cmd_activity_delete(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_delete);
}
