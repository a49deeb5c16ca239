/* nexus operation start, execute, result, describe, list, count, cancel, terminate: operations without a
 * workflow. */
#include <string.h>

#include "cli/batch.h"
#include "cli/listing.h"
#include "cli/outcome.h"
#include "cli/start_options.h"
#include "proto/nexus.h"
#include "proto/payload.h"
#include "tl_enums.h"

int tl_cmd_nexus_operation_start(struct tl_cli *cli);
int tl_cmd_nexus_operation_execute(struct tl_cli *cli);
int tl_cmd_nexus_operation_result(struct tl_cli *cli);
int tl_cmd_nexus_operation_describe(struct tl_cli *cli);
int tl_cmd_nexus_operation_list(struct tl_cli *cli);
int tl_cmd_nexus_operation_count(struct tl_cli *cli);
int tl_cmd_nexus_operation_cancel(struct tl_cli *cli);
int tl_cmd_nexus_operation_terminate(struct tl_cli *cli);

/* One long poll for an outcome; the service answers sooner. */
#define POLL_NS (60 * TL_NS_PER_S)

/* --- start ----------------------------------------------------------------------------------------- */

/* An operation has one input at most. */
static int read_input(struct tl_cli_session *s, TpCommon__Payload **out)
{
    TpCommon__Payloads *all;
    int code = tl_cli_input(s, "", &all);
    if (code == 0 && all && all->n_payloads > 1) {
        return tl_cli_fail(2, "a Nexus operation has one input at most, got %zu", all->n_payloads);
    }
    *out = code == 0 && all ? all->payloads[0] : NULL;
    return code;
}

static int read_start(struct tl_cli_session *s, TpWs__StartNexusOperationExecutionRequest *r,
                      char request_id[37])
{
    tl_uuid4(tl_client_world(s->client), request_id);
    r->request_id = request_id;
    r->operation_id = tl_cli_field(s, "operation-id");
    r->endpoint = tl_cli_field(s, "endpoint");
    r->service = tl_cli_field(s, "service");
    r->operation = tl_cli_field(s, "operation");
    r->schedule_to_close_timeout = tl_cli_duration(s, "schedule-to-close-timeout");
    r->schedule_to_start_timeout = tl_cli_duration(s, "schedule-to-start-timeout");
    r->start_to_close_timeout = tl_cli_duration(s, "start-to-close-timeout");
    r->id_reuse_policy = (TpEnums__NexusOperationIdReusePolicy)tl_cli_choice(
        s, "id-reuse-policy", &tp_enums__nexus_operation_id_reuse_policy__descriptor);
    r->id_conflict_policy = (TpEnums__NexusOperationIdConflictPolicy)tl_cli_choice(
        s, "id-conflict-policy", &tp_enums__nexus_operation_id_conflict_policy__descriptor);
    int code = tl_cli_search_attributes(s, &r->search_attributes);
    code = code ? code : tl_cli_summary(s, &r->user_metadata);
    return code ? code : read_input(s, &r->input);
}

static int call_start(struct tl_cli_session *s, char **run_id)
{
    TpWs__StartNexusOperationExecutionRequest r =
        TP_WS__START_NEXUS_OPERATION_EXECUTION_REQUEST__INIT;
    TpWs__StartNexusOperationExecutionResponse *resp = NULL;
    struct tl_client_error err;
    char request_id[37];
    int code = read_start(s, &r, request_id);
    if (code == 0 && tl_cli_call(s, TL_M_StartNexusOperationExecution, &r, &resp, &err) != TL_OK) {
        return tl_cli_call_failed("failed starting nexus operation", &err);
    }
    *run_id = code == 0 ? resp->run_id : NULL;
    return code;
}

static int print_started(struct tl_cli_session *s, const char *run_id)
{
    struct tl_error err;
    bool json = tl_print_is_json(&s->print);
    const struct tl_print_row rows[] = {
        {json ? "endpoint" : "Endpoint", tl_cli_text(s->cli, "endpoint"), false},
        {json ? "service" : "Service", tl_cli_text(s->cli, "service"), false},
        {json ? "operation" : "Operation", tl_cli_text(s->cli, "operation"), false},
        {json ? "operationId" : "OperationId", tl_cli_text(s->cli, "operation-id"), false},
        {json ? "runId" : "RunId", run_id, false},
        {json ? "namespace" : "Namespace", tl_client_namespace(s->client).p, false},
    };
    tl_print_line(&s->print, "Started Nexus Operation:");
    return tl_cli_printed(tl_print_fields(&s->print, rows, sizeof rows / sizeof rows[0], &err),
                          &err);
}

static int run_start(struct tl_cli_session *s)
{
    char *run_id;
    int code = call_start(s, &run_id);
    return code ? code : print_started(s, run_id);
}

int tl_cmd_nexus_operation_start(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_CREATE, run_start);
}

/* --- result ---------------------------------------------------------------------------------------- */

/* Waits for the end and prints it. */
static int print_result(struct tl_cli_session *s, char *run_id)
{
    TpWs__PollNexusOperationExecutionRequest r =
        TP_WS__POLL_NEXUS_OPERATION_EXECUTION_REQUEST__INIT;
    TpWs__PollNexusOperationExecutionResponse *resp = NULL;
    struct tl_client_error err;
    r.operation_id = tl_cli_field(s, "operation-id");
    r.run_id = run_id;
    r.wait_stage = (TpEnums__NexusOperationWaitStage)NEXUS_OPERATION_WAIT_STAGE_CLOSED;
    do {
        int64_t left = tl_cli_time_left_ns(s);
        tl_rc rc = tl_client_call(s->client, TL_M_PollNexusOperationExecution, &r, &s->arena, &resp,
                                  left > 0 && left < POLL_NS ? left : POLL_NS, &err);
        if (rc != TL_OK && err.error.code == TL_ENOTFOUND) {
            return tl_cli_fail(1, "nexus operation not found: %s", r.operation_id);
        }
        if (rc != TL_OK) {
            return tl_cli_call_failed("failed polling nexus operation result", &err);
        }
    } while (resp->wait_stage !=
             (TpEnums__NexusOperationWaitStage)NEXUS_OPERATION_WAIT_STAGE_CLOSED);
    bool failed =
        resp->outcome_case == TP_WS__POLL_NEXUS_OPERATION_EXECUTION_RESPONSE__OUTCOME_FAILURE;
    struct tl_cli_outcome outcome = {.kind = "nexus operation",
                                     .id_name = "operationId",
                                     .id = r.operation_id,
                                     .run_id = resp->run_id,
                                     .failure = failed ? resp->failure : NULL};
    if (!failed && resp->result) {
        outcome.result = tl_payloads_new(&s->arena, &resp->result, 1);
    }
    return tl_cli_print_outcome(s, &outcome);
}

static int run_result(struct tl_cli_session *s)
{
    return print_result(s, tl_cli_field(s, "run-id"));
}

int tl_cmd_nexus_operation_result(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_result);
}

static int run_execute(struct tl_cli_session *s)
{
    char *run_id;
    int code = call_start(s, &run_id);
    if (code == 0 && !tl_print_is_json(&s->print)) {
        code = print_started(s, run_id);
        tl_print_flush(&s->print);
    }
    return code ? code : print_result(s, run_id);
}

int tl_cmd_nexus_operation_execute(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_CREATE, run_execute);
}

/* --- describe -------------------------------------------------------------------------------------- */

/* The links that have a URL; nothing when none has. */
static int print_links(struct tl_cli_session *s, TpCommon__Link **links, size_t n)
{
    static const struct tl_print_column columns[] = {{"Link", 0, false}};
    const char **urls = TL_ARENA_ARRAY(&s->arena, const char *, n + 1);
    size_t found = 0;
    if (!urls) {
        return tl_cli_fail(1, "the description is too large");
    }
    for (size_t i = 0; i < n; i++) {
        TpNexus__Link *link = tl_nexus_link_of(&s->arena, links[i]);
        if (link) {
            urls[found++] = link->url;
        }
    }
    if (found) {
        tl_print_line(&s->print, "\nLinks: %zu\n", found);
        tl_print_table(&s->print, columns, 1, urls, found, true, 1);
    }
    return 0;
}

static const char *summary_text(struct tl_cli_session *s, const TpSdk__UserMetadata *m)
{
    return m && m->summary ? tl_print_values(&s->print, &s->arena, &m->summary, 1) : "";
}

static int print_description(struct tl_cli_session *s,
                             const TpNexus__NexusOperationExecutionInfo *i)
{
    struct tl_arena *a = &s->arena;
    const struct tl_print *p = &s->print;
    const struct tl_print_row rows[] = {
        {"OperationId", i->operation_id, false},
        {"RunId", i->run_id, false},
        {"Endpoint", i->endpoint, false},
        {"Service", i->service, false},
        {"Operation", i->operation, false},
        {"Status",
         tl_print_enum(a, &tp_enums__nexus_operation_execution_status__descriptor, (int)i->status),
         false},
        {"State",
         i->state
             ? tl_print_enum(a, &tp_enums__pending_nexus_operation_state__descriptor, (int)i->state)
             : "",
         true},
        {"Attempt", tl_print_number(a, i->attempt), false},
        {"ScheduleToCloseTimeout", tl_print_span(a, i->schedule_to_close_timeout), true},
        {"ScheduleToStartTimeout", tl_print_span(a, i->schedule_to_start_timeout), true},
        {"StartToCloseTimeout", tl_print_span(a, i->start_to_close_timeout), true},
        {"ScheduledTime", tl_print_time(p, a, i->schedule_time), true},
        {"CloseTime", tl_print_time(p, a, i->close_time), true},
        {"ExpirationTime", tl_print_time(p, a, i->expiration_time), true},
        {"LastFailure", i->last_attempt_failure ? tl_print_failure(a, i->last_attempt_failure) : "",
         true},
        {"BlockedReason", i->blocked_reason, true},
        {"OperationToken", i->operation_token, true},
        {"Identity", i->identity, true},
        {"Summary", summary_text(s, i->user_metadata), true},
    };
    tl_print_card(&s->print, rows, sizeof rows / sizeof rows[0]);
    return print_links(s, i->links, i->n_links);
}

static int run_describe(struct tl_cli_session *s)
{
    TpWs__DescribeNexusOperationExecutionRequest r =
        TP_WS__DESCRIBE_NEXUS_OPERATION_EXECUTION_REQUEST__INIT;
    TpWs__DescribeNexusOperationExecutionResponse *resp = NULL;
    struct tl_client_error err;
    r.operation_id = tl_cli_field(s, "operation-id");
    r.run_id = tl_cli_field(s, "run-id");
    if (tl_cli_call(s, TL_M_DescribeNexusOperationExecution, &r, &resp, &err) != TL_OK) {
        return tl_cli_call_failed("failed describing nexus operation", &err);
    }
    if (!resp->info) {
        return tl_cli_fail(1, "failed describing nexus operation: the answer is empty");
    }
    if (tl_print_is_json(&s->print)) {
        return tl_cli_printed(tl_print_message(&s->print, resp->info, &err.error), &err.error);
    }
    if (tl_cli_flag(s->cli, "raw")) {
        tl_print_line(&s->print, "%s", tl_print_compact(&s->print, &s->arena, resp->info));
        return 0;
    }
    return print_description(s, resp->info);
}

int tl_cmd_nexus_operation_describe(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_describe);
}

/* --- list, count ----------------------------------------------------------------------------------- */

static tl_rc ask_list(struct tl_cli_session *s, struct tl_listing_page *page,
                      struct tl_client_error *err)
{
    TpWs__ListNexusOperationExecutionsRequest r =
        TP_WS__LIST_NEXUS_OPERATION_EXECUTIONS_REQUEST__INIT;
    TpWs__ListNexusOperationExecutionsResponse *resp = NULL;
    r.query = page->query;
    r.page_size = page->page_size;
    r.next_page_token = page->token;
    tl_rc rc = tl_client_call(s->client, TL_M_ListNexusOperationExecutions, &r, page->arena, &resp,
                              tl_cli_time_left_ns(s), err);
    if (rc == TL_OK) {
        page->resp = resp;
        page->n = resp->n_operations;
        page->token = resp->next_page_token;
    }
    return rc;
}

static const void *list_row(struct tl_cli_session *s, const struct tl_listing_page *page, size_t i,
                            const char **cells)
{
    const TpWs__ListNexusOperationExecutionsResponse *resp = page->resp;
    const TpNexus__NexusOperationExecutionListInfo *info = resp->operations[i];
    cells[0] = tl_print_enum(page->arena, &tp_enums__nexus_operation_execution_status__descriptor,
                             (int)info->status);
    cells[1] = info->operation_id;
    cells[2] = info->endpoint;
    cells[3] = info->service;
    cells[4] = info->operation;
    cells[5] = tl_print_time(&s->print, page->arena, info->schedule_time);
    return info;
}

static int run_list(struct tl_cli_session *s)
{
    static const struct tl_listing operations = {"failed listing nexus operations",
                                                 {{"Status", 0, false},
                                                  {"OperationId", 0, false},
                                                  {"Endpoint", 0, false},
                                                  {"Service", 0, false},
                                                  {"Operation", 0, false},
                                                  {"StartTime", 0, false}},
                                                 ask_list,
                                                 list_row};
    return tl_cli_list(s, &operations);
}

int tl_cmd_nexus_operation_list(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_list);
}

static int run_count(struct tl_cli_session *s)
{
    TpWs__CountNexusOperationExecutionsRequest r =
        TP_WS__COUNT_NEXUS_OPERATION_EXECUTIONS_REQUEST__INIT;
    TpWs__CountNexusOperationExecutionsResponse *resp = NULL;
    struct tl_client_error err;
    r.query = tl_cli_field(s, "query");
    if (tl_cli_call(s, TL_M_CountNexusOperationExecutions, &r, &resp, &err) != TL_OK) {
        return tl_cli_call_failed("failed counting nexus operations", &err);
    }
    tl_cli_print_total(s, resp->count);
    for (size_t i = 0; i < resp->n_groups; i++) {
        tl_cli_print_group(s, resp->groups[i]->count, resp->groups[i]->group_values,
                           resp->groups[i]->n_group_values);
    }
    return tl_cli_printed(tl_print_message(&s->print, resp, &err.error), &err.error);
}

int tl_cmd_nexus_operation_count(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_count);
}

/* --- cancel, terminate ------------------------------------------------------------------------------ */

static int run_cancel(struct tl_cli_session *s)
{
    TpWs__RequestCancelNexusOperationExecutionRequest r =
        TP_WS__REQUEST_CANCEL_NEXUS_OPERATION_EXECUTION_REQUEST__INIT;
    struct tl_client_error err;
    char request_id[37];
    tl_uuid4(tl_client_world(s->client), request_id);
    r.operation_id = tl_cli_field(s, "operation-id");
    r.run_id = tl_cli_field(s, "run-id");
    r.reason = tl_cli_field(s, "reason");
    r.request_id = request_id;
    if (tl_cli_call(s, TL_M_RequestCancelNexusOperationExecution, &r, NULL, &err) != TL_OK) {
        return tl_cli_call_failed("failed to request nexus operation cancellation", &err);
    }
    tl_print_line(&s->print, "Cancellation requested");
    return 0;
}

int tl_cmd_nexus_operation_cancel(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_cancel);
}

static int run_terminate(struct tl_cli_session *s)
{
    TpWs__TerminateNexusOperationExecutionRequest r =
        TP_WS__TERMINATE_NEXUS_OPERATION_EXECUTION_REQUEST__INIT;
    struct tl_client_error err;
    char request_id[37];
    tl_uuid4(tl_client_world(s->client), request_id);
    r.operation_id = tl_cli_field(s, "operation-id");
    r.run_id = tl_cli_field(s, "run-id");
    r.reason = tl_cli_reason(s);
    r.request_id = request_id;
    if (tl_cli_call(s, TL_M_TerminateNexusOperationExecution, &r, NULL, &err) != TL_OK) {
        return tl_cli_call_failed("failed to terminate nexus operation", &err);
    }
    tl_print_line(&s->print, "Nexus Operation terminated");
    return 0;
}

int tl_cmd_nexus_operation_terminate(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_terminate);
}
