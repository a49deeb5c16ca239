/* workflow start, execute, signal-with-start, start-update-with-start, execute-update-with-start: what
 * starts a workflow. */
#include <stdlib.h>
#include <string.h>

#include "cli/events.h"
#include "cli/start_options.h"
#include "cli/update.h"
#include "proto/payload.h"
#include "tl_enums.h"

int tl_cmd_workflow_start(struct tl_cli *cli);
int tl_cmd_workflow_execute(struct tl_cli *cli);
int tl_cmd_workflow_signal_with_start(struct tl_cli *cli);
int tl_cmd_workflow_execute_update_with_start(struct tl_cli *cli);
int tl_cmd_workflow_start_update_with_start(struct tl_cli *cli);

/* The messages that a request points to; lives as long as the request. */
struct start {
    TpWs__StartWorkflowExecutionRequest request;
    TpCommon__WorkflowType type;
    TpTq__TaskQueue queue;
    TpCommon__Memo memo;
    char uuid[37];
};

static int read_maps(struct tl_cli_session *s, struct start *st)
{
    struct tl_pb_list memo = {0};
    int code = tl_cli_json_entries(s, "memo", &tp_common__memo__fields_entry__descriptor, &memo);
    st->memo = (TpCommon__Memo)TP_COMMON__MEMO__INIT;
    st->memo.n_fields = memo.n;
    st->memo.fields = memo.items;
    st->request.memo = memo.n ? &st->memo : NULL;
    code = code ? code : tl_cli_search_attributes(s, &st->request.search_attributes);
    return code ? code : tl_cli_headers(s, &st->request.header);
}

/* Everything of the option sets "workflow start". Returns 0 or an exit code. */
static int read_start(struct tl_cli_session *s, struct start *st)
{
    TpWs__StartWorkflowExecutionRequest *r = &st->request;
    *r = (TpWs__StartWorkflowExecutionRequest)TP_WS__START_WORKFLOW_EXECUTION_REQUEST__INIT;
    st->type = (TpCommon__WorkflowType)TP_COMMON__WORKFLOW_TYPE__INIT;
    st->queue = (TpTq__TaskQueue)TP_TQ__TASK_QUEUE__INIT;
    st->type.name = tl_cli_field(s, "type");
    st->queue.name = tl_cli_field(s, "task-queue");
    st->queue.kind = (TpEnums__TaskQueueKind)TASK_QUEUE_KIND_NORMAL;
    tl_uuid4(tl_client_world(s->client), st->uuid);
    r->workflow_id = tl_cli_text(s->cli, "workflow-id") ? tl_cli_field(s, "workflow-id") : st->uuid;
    r->workflow_type = &st->type;
    r->task_queue = &st->queue;
    r->workflow_execution_timeout = tl_cli_duration(s, "execution-timeout");
    r->workflow_run_timeout = tl_cli_duration(s, "run-timeout");
    r->workflow_task_timeout = tl_cli_duration(s, "task-timeout");
    r->workflow_start_delay = tl_cli_duration(s, "start-delay");
    r->cron_schedule = tl_cli_field(s, "cron");
    r->workflow_id_reuse_policy = (TpEnums__WorkflowIdReusePolicy)tl_cli_choice(
        s, "id-reuse-policy", &tp_enums__workflow_id_reuse_policy__descriptor);
    r->workflow_id_conflict_policy = (TpEnums__WorkflowIdConflictPolicy)tl_cli_choice(
        s, "id-conflict-policy", &tp_enums__workflow_id_conflict_policy__descriptor);
    int code = read_maps(s, st);
    code = code ? code : tl_cli_priority(s, &st->request.priority);
    code = code ? code : tl_cli_user_metadata(s, &st->request.user_metadata);
    return code ? code : tl_cli_input(s, "", &r->input);
}

static int print_running(struct tl_cli_session *s, const struct start *st, const char *run_id,
                         bool task_queue)
{
    struct tl_error err;
    struct tl_print_row rows[] = {
        {"WorkflowId", st->request.workflow_id, false},
        {"RunId", run_id, false},
        {"Type", st->type.name, false},
        {"Namespace", tl_client_namespace(s->client).p, false},
        {"TaskQueue", st->queue.name, false},
    };
    tl_print_line(&s->print, "Running execution:");
    return tl_cli_printed(tl_print_fields(&s->print, rows, task_queue ? 5 : 4, &err), &err);
}

/* Starts; a running workflow with this id is taken as ours unless --fail-existing. */
static int call_start(struct tl_cli_session *s, struct start *st, const char **run_id)
{
    TpWs__StartWorkflowExecutionResponse *resp = NULL;
    struct tl_client_error err;
    tl_rc rc = tl_cli_call(s, TL_M_StartWorkflowExecution, &st->request, &resp, &err);
    if (rc == TL_OK) {
        *run_id = resp->run_id;
        return 0;
    }
    if (err.kind == TL_CE_ALREADY_STARTED && !tl_cli_flag(s->cli, "fail-existing")) {
        *run_id = err.run_id;
        return 0;
    }
    return tl_cli_call_failed("failed starting workflow", &err);
}

static int run_start(struct tl_cli_session *s)
{
    struct start st;
    const char *run_id;
    int code = read_start(s, &st);
    code = code ? code : call_start(s, &st, &run_id);
    return code ? code : print_running(s, &st, run_id, true);
}

int tl_cmd_workflow_start(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_CREATE, run_start);
}

/* --- execute -------------------------------------------------------------------------------------- */

static tl_rc write_history(struct tl_cli_session *s, const struct start *st, const char *run_id,
                           struct tl_jw *w, struct tl_error *err)
{
    struct tl_json_write_options options = tl_print_json_options(&s->print);
    struct tl_client_error failed;
    TpHistory__History *history;
    options.payload_shorthand = false; /* replayers read the payloads in full */
    if (tl_client_history(s->client, tl_str(st->request.workflow_id), tl_str(run_id), &s->arena,
                          &history, &failed) != TL_OK) {
        return tl_error_set(err, failed.error.code, "%s", failed.error.message);
    }
    tl_jw_name(w, TL_STR_LIT("history"));
    return tl_json_write_value(history, &options, w, err);
}

static int print_executed(struct tl_cli_session *s, const struct start *st, const char *run_id,
                          const TpHistory__HistoryEvent *close, int64_t duration_ns)
{
    struct tl_error err;
    struct tl_jw w;
    const struct {
        const char *name, *text;
    } texts[] = {{"workflowId", st->request.workflow_id},
                 {"runId", run_id},
                 {"type", st->type.name},
                 {"namespace", tl_client_namespace(s->client).p},
                 {"taskQueue", st->queue.name},
                 {"status", tl_cli_close_status(close)}};
    tl_print_json_begin(&s->print, &w);
    tl_jw_object(&w);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        tl_jw_name(&w, tl_str(texts[i].name));
        tl_jw_string(&w, tl_str(texts[i].text));
    }
    tl_jw_name(&w, TL_STR_LIT("durationMillis"));
    tl_jw_int(&w, duration_ns / TL_NS_PER_MS);
    tl_rc rc = tl_cli_write_close(&s->print, close, &w, &err);
    if (rc == TL_OK && tl_cli_flag(s->cli, "detailed")) {
        rc = write_history(s, st, run_id, &w, &err);
    }
    tl_jw_object_end(&w);
    rc = rc == TL_OK ? tl_print_json_end(&s->print, &w, &err) : rc;
    return tl_cli_printed(rc, &err);
}

static int wait_text(struct tl_cli_session *s, const struct start *st, const char *run_id,
                     const TpHistory__HistoryEvent **close)
{
    struct tl_client_error err;
    struct tl_cli_events events = {.s = s,
                                   .workflow_id = st->request.workflow_id,
                                   .run_id = run_id,
                                   .follow = true,
                                   .detailed = tl_cli_flag(s->cli, "detailed")};
    int code = print_running(s, st, run_id, true);
    tl_print_line(&s->print, "%s", "");
    tl_print_line(&s->print, "Progress:");
    tl_print_flush(&s->print);
    if (code == 0 && tl_cli_print_events(&events, close, &err) != TL_OK) {
        code = tl_cli_call_failed("displaying history failed", &err);
    }
    tl_print_line(&s->print, "%s", "");
    return code;
}

static int wait_json(struct tl_cli_session *s, const struct start *st, const char *run_id,
                     const TpHistory__HistoryEvent **close)
{
    struct tl_client_error err;
    struct tl_client_result result;
    struct tl_client_result_query query = {.workflow_id = tl_str(st->request.workflow_id),
                                           .run_id = tl_str(run_id),
                                           .follow_runs = true,
                                           .timeout_ns = tl_cli_time_left_ns(s)};
    if (tl_client_result(s->client, &query, &s->arena, &result, &err) != TL_OK) {
        return tl_cli_call_failed("failed getting close event", &err);
    }
    *close = result.event;
    return 0;
}

static int run_execute(struct tl_cli_session *s)
{
    const struct tl_world *world = tl_client_world(s->client);
    struct start st;
    const char *run_id;
    const TpHistory__HistoryEvent *close = NULL;
    int64_t begun = tl_world_mono_ns(world);
    int code = read_start(s, &st);
    code = code ? code : call_start(s, &st, &run_id);
    if (code) {
        return code;
    }
    code = s->print.mode == TL_PRINT_TEXT ? wait_text(s, &st, run_id, &close)
                                          : wait_json(s, &st, run_id, &close);
    if (code || !close) {
        return code ? code : tl_cli_fail(1, "the history ended without a close event");
    }
    int64_t took = tl_world_mono_ns(world) - begun;
    if (tl_print_is_json(&s->print)) {
        code = print_executed(s, &st, run_id, close, took);
    } else {
        tl_cli_print_results(&s->print, &s->arena, close, took);
    }
    if (strcmp(tl_cli_close_status(close), "COMPLETED") != 0) {
        tl_print_flush(&s->print);
        return tl_cli_fail(1, "workflow failed");
    }
    return code;
}

int tl_cmd_workflow_execute(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_CREATE, run_execute);
}

/* --- signal-with-start ---------------------------------------------------------------------------- */

static int run_signal_with_start(struct tl_cli_session *s)
{
    TpWs__SignalWithStartWorkflowExecutionRequest r =
        TP_WS__SIGNAL_WITH_START_WORKFLOW_EXECUTION_REQUEST__INIT;
    TpWs__SignalWithStartWorkflowExecutionResponse *resp = NULL;
    struct tl_client_error err;
    struct start st;
    int code = read_start(s, &st);
    code = code ? code : tl_cli_input(s, "signal-", &r.signal_input);
    if (code) {
        return code;
    }
    const TpWs__StartWorkflowExecutionRequest *q = &st.request;
    r.workflow_id = q->workflow_id;
    r.workflow_type = q->workflow_type;
    r.task_queue = q->task_queue;
    r.input = q->input;
    r.workflow_execution_timeout = q->workflow_execution_timeout;
    r.workflow_run_timeout = q->workflow_run_timeout;
    r.workflow_task_timeout = q->workflow_task_timeout;
    r.workflow_start_delay = q->workflow_start_delay;
    r.workflow_id_reuse_policy = q->workflow_id_reuse_policy;
    r.workflow_id_conflict_policy = q->workflow_id_conflict_policy;
    r.cron_schedule = q->cron_schedule;
    r.memo = q->memo;
    r.search_attributes = q->search_attributes;
    r.header = q->header;
    r.user_metadata = q->user_metadata;
    r.priority = q->priority;
    r.signal_name = tl_cli_field(s, "signal-name");
    if (tl_cli_call(s, TL_M_SignalWithStartWorkflowExecution, &r, &resp, &err) != TL_OK) {
        return tl_cli_call_failed("failed starting workflow", &err);
    }
    return print_running(s, &st, resp->run_id, false);
}

int tl_cmd_workflow_signal_with_start(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_CREATE, run_signal_with_start);
}

/* --- update with start ---------------------------------------------------------------------------- */

static int send_update_with_start(struct tl_cli_session *s, bool wait_for_result)
{
    TpWs__ExecuteMultiOperationRequest r = TP_WS__EXECUTE_MULTI_OPERATION_REQUEST__INIT;
    TpWs__ExecuteMultiOperationRequest__Operation
        first = TP_WS__EXECUTE_MULTI_OPERATION_REQUEST__OPERATION__INIT,
        second = TP_WS__EXECUTE_MULTI_OPERATION_REQUEST__OPERATION__INIT;
    TpWs__ExecuteMultiOperationRequest__Operation *both[] = {&first, &second};
    TpWs__ExecuteMultiOperationResponse *resp = NULL;
    TpWs__UpdateWorkflowExecutionRequest update = TP_WS__UPDATE_WORKFLOW_EXECUTION_REQUEST__INIT;
    TpCommon__WorkflowExecution execution = TP_COMMON__WORKFLOW_EXECUTION__INIT;
    struct tl_client_error err;
    struct tl_cli_update u;
    struct start st;
    int code = read_start(s, &st);
    code = code ? code : tl_cli_update_read(s, "update-", "update-name", wait_for_result, &u);
    if (code) {
        return code;
    }
    if (!st.request.workflow_id_conflict_policy) {
        return tl_cli_fail(2, "--id-conflict-policy is required: Fail, UseExisting");
    }
    st.request.request_id = u.uuid;
    execution.workflow_id = st.request.workflow_id;
    execution.run_id = tl_cli_field(s, "run-id");
    update.workflow_execution = &execution;
    update.first_execution_run_id = tl_cli_field(s, "update-first-execution-run-id");
    update.wait_policy = &u.wait;
    update.request = &u.request;
    first.operation_case =
        TP_WS__EXECUTE_MULTI_OPERATION_REQUEST__OPERATION__OPERATION_START_WORKFLOW;
    first.start_workflow = &st.request;
    second.operation_case =
        TP_WS__EXECUTE_MULTI_OPERATION_REQUEST__OPERATION__OPERATION_UPDATE_WORKFLOW;
    second.update_workflow = &update;
    r.n_operations = 2;
    r.operations = both;
    do {
        if (tl_cli_call(s, TL_M_ExecuteMultiOperation, &r, &resp, &err) != TL_OK) {
            return tl_cli_call_failed("failed to update workflow with start", &err);
        }
        if (resp->n_responses != 2 || !resp->responses[0]->start_workflow ||
            !resp->responses[1]->update_workflow) {
            return tl_cli_fail(1, "the server did not answer both operations");
        }
    } while ((int)resp->responses[1]->update_workflow->stage <
             UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED);
    execution.run_id = resp->responses[0]->start_workflow->run_id;
    const struct tl_print_row rows[] = {
        {"WorkflowId", st.request.workflow_id, false},
        {"RunId", execution.run_id, false},
        {"Type", st.type.name, false},
        {"Namespace", tl_client_namespace(s->client).p, false},
        {"UpdateName", u.input.name, false},
        {"UpdateId", u.meta.update_id, false},
    };
    TpUpdate__Outcome *outcome = resp->responses[1]->update_workflow->outcome;
    if (wait_for_result) {
        code = tl_cli_update_wait(s, &execution, u.meta.update_id, &outcome);
    } else if (outcome && outcome->value_case != TP_UPDATE__OUTCOME__VALUE_FAILURE) {
        outcome = NULL;
    }
    return code ? code : tl_cli_update_print(s, rows, 6, "updateResult", outcome);
}

static int run_execute_update_with_start(struct tl_cli_session *s)
{
    return send_update_with_start(s, true);
}

static int run_start_update_with_start(struct tl_cli_session *s)
{
    return send_update_with_start(s, false);
}

int tl_cmd_workflow_execute_update_with_start(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_CREATE, run_execute_update_with_start);
}

int tl_cmd_workflow_start_update_with_start(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_CREATE, run_start_update_with_start);
}
