/* workflow update execute, start, result, describe. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "cli/update.h"
#include "proto/failure.h"
#include "tl_enums.h"

int tl_cmd_workflow_update_execute(struct tl_cli *cli);
int tl_cmd_workflow_update_start(struct tl_cli *cli);
int tl_cmd_workflow_update_result(struct tl_cli *cli);
int tl_cmd_workflow_update_describe(struct tl_cli *cli);

#define FAILED "unable to update workflow"

/* --- shared --------------------------------------------------------------------------------------- */

int tl_cli_update_read(struct tl_cli_session *s, const char *prefix, const char *name_option,
                       bool wait_for_result, struct tl_cli_update *out)
{
    out->request = (TpUpdate__Request)TP_UPDATE__REQUEST__INIT;
    out->meta = (TpUpdate__Meta)TP_UPDATE__META__INIT;
    out->input = (TpUpdate__Input)TP_UPDATE__INPUT__INIT;
    out->wait = (TpUpdate__WaitPolicy)TP_UPDATE__WAIT_POLICY__INIT;
    out->request.meta = &out->meta;
    out->request.input = &out->input;
    tl_uuid4(tl_client_world(s->client), out->uuid);
    out->meta.update_id =
        tl_cli_text(s->cli, "update-id") ? tl_cli_field(s, "update-id") : out->uuid;
    out->meta.identity = (char *)(uintptr_t)tl_client_identity(s->client).p;
    out->input.name = tl_cli_field(s, name_option);
    out->wait.lifecycle_stage =
        (TpEnums__UpdateWorkflowExecutionLifecycleStage)(wait_for_result
                                                             ? UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED
                                                             : UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED);
    return tl_cli_input(s, prefix, &out->input.args);
}

/* One poll. Returns 0 or an exit code. */
static int poll(struct tl_cli_session *s, const TpCommon__WorkflowExecution *execution,
                const char *update_id, int stage, TpWs__PollWorkflowExecutionUpdateResponse **resp)
{
    TpWs__PollWorkflowExecutionUpdateRequest r =
        TP_WS__POLL_WORKFLOW_EXECUTION_UPDATE_REQUEST__INIT;
    TpUpdate__UpdateRef ref = TP_UPDATE__UPDATE_REF__INIT;
    TpUpdate__WaitPolicy wait = TP_UPDATE__WAIT_POLICY__INIT;
    struct tl_client_error err;
    ref.workflow_execution = (TpCommon__WorkflowExecution *)(uintptr_t)execution;
    ref.update_id = (char *)(uintptr_t)update_id;
    wait.lifecycle_stage = (TpEnums__UpdateWorkflowExecutionLifecycleStage)stage;
    r.update_ref = &ref;
    r.wait_policy = &wait;
    if (tl_cli_call(s, TL_M_PollWorkflowExecutionUpdate, &r, resp, &err) != TL_OK) {
        return tl_cli_call_failed(FAILED, &err);
    }
    return 0;
}

int tl_cli_update_wait(struct tl_cli_session *s, const TpCommon__WorkflowExecution *execution,
                       const char *update_id, TpUpdate__Outcome **outcome)
{
    while (!*outcome) {
        TpWs__PollWorkflowExecutionUpdateResponse *resp = NULL;
        int code = poll(s, execution, update_id,
                        UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED, &resp);
        if (code) {
            return code;
        }
        *outcome = resp->outcome;
    }
    return 0;
}

static tl_rc print_json(struct tl_cli_session *s, const struct tl_print_row *rows, size_t n,
                        const char *result_name, const TpUpdate__Outcome *outcome,
                        struct tl_error *err)
{
    struct tl_jw w;
    tl_rc rc = TL_OK;
    tl_print_json_begin(&s->print, &w);
    tl_jw_object(&w);
    for (size_t i = 0; i < n; i++) {
        char name[64];
        snprintf(name, sizeof name, "%c%s", tolower((unsigned char)rows[i].name[0]),
                 rows[i].name + 1);
        tl_jw_name(&w, tl_str(name));
        tl_jw_string(&w, tl_str(rows[i].text));
    }
    if (outcome) {
        tl_jw_name(&w, tl_str(result_name));
        rc = tl_print_payloads(&s->print, outcome->success, &w, err);
    }
    tl_jw_object_end(&w);
    return rc == TL_OK ? tl_print_json_end(&s->print, &w, err) : rc;
}

int tl_cli_update_print(struct tl_cli_session *s, const struct tl_print_row *rows, size_t n,
                        const char *result_name, const TpUpdate__Outcome *outcome)
{
    struct tl_error err = {0};
    struct tl_print_row all[12];
    if (outcome && outcome->value_case == TP_UPDATE__OUTCOME__VALUE_FAILURE) {
        return tl_cli_fail(1, FAILED ": %s", outcome->failure->message);
    }
    if (tl_print_is_json(&s->print)) {
        return tl_cli_printed(print_json(s, rows, n, result_name, outcome, &err), &err);
    }
    memcpy(all, rows, n * sizeof *rows);
    if (outcome) {
        char *name = tl_arena_printf(&s->arena, "%s", result_name);
        if (name) {
            name[0] = (char)toupper((unsigned char)name[0]);
        }
        all[n++] = (struct tl_print_row){
            name, tl_print_payloads_text(&s->print, &s->arena, outcome->success), false};
    }
    tl_print_card(&s->print, all, n);
    return 0;
}

/* --- execute, start ------------------------------------------------------------------------------- */

static int send_update(struct tl_cli_session *s, bool wait_for_result)
{
    TpWs__UpdateWorkflowExecutionRequest r = TP_WS__UPDATE_WORKFLOW_EXECUTION_REQUEST__INIT;
    TpWs__UpdateWorkflowExecutionResponse *resp = NULL;
    TpCommon__WorkflowExecution execution = tl_cli_execution(s);
    struct tl_cli_update u;
    struct tl_client_error err;
    int code = tl_cli_update_read(s, "", "name", wait_for_result, &u);
    code = code ? code : tl_cli_headers(s, &u.input.header);
    if (code) {
        return code;
    }
    r.workflow_execution = &execution;
    r.first_execution_run_id = tl_cli_field(s, "first-execution-run-id");
    r.wait_policy = &u.wait;
    r.request = &u.request;
    do { /* the server answers after a while, as far as the update is then */
        if (tl_cli_call(s, TL_M_UpdateWorkflowExecution, &r, &resp, &err) != TL_OK) {
            return tl_cli_call_failed(FAILED, &err);
        }
    } while ((int)resp->stage < UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED);
    const struct tl_print_row rows[] = {{"Name", u.input.name, false},
                                        {"UpdateId", u.meta.update_id, false}};
    TpUpdate__Outcome *outcome = resp->outcome;
    if (!wait_for_result) {
        bool failed = outcome && outcome->value_case == TP_UPDATE__OUTCOME__VALUE_FAILURE;
        return tl_cli_update_print(s, rows, 2, "result", failed ? outcome : NULL);
    }
    code = tl_cli_update_wait(s, resp->update_ref->workflow_execution, u.meta.update_id, &outcome);
    return code ? code : tl_cli_update_print(s, rows, 2, "result", outcome);
}

static int run_execute(struct tl_cli_session *s)
{
    return send_update(s, true);
}

static int run_start(struct tl_cli_session *s)
{
    return send_update(s, false);
}

int tl_cmd_workflow_update_execute(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_execute);
}

int tl_cmd_workflow_update_start(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_start);
}

/* --- result, describe ----------------------------------------------------------------------------- */

static int run_result(struct tl_cli_session *s)
{
    TpCommon__WorkflowExecution execution = tl_cli_execution(s);
    TpUpdate__Outcome *outcome = NULL;
    const char *id = tl_cli_field(s, "update-id");
    int code = tl_cli_update_wait(s, &execution, id, &outcome);
    const struct tl_print_row rows[] = {{"UpdateId", id, false}};
    return code ? code : tl_cli_update_print(s, rows, 1, "result", outcome);
}

int tl_cmd_workflow_update_result(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_result);
}

static int run_describe(struct tl_cli_session *s)
{
    TpCommon__WorkflowExecution execution = tl_cli_execution(s);
    TpWs__PollWorkflowExecutionUpdateResponse *resp = NULL;
    const char *id = tl_cli_field(s, "update-id");
    int code =
        poll(s, &execution, id, UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_UNSPECIFIED, &resp);
    if (code) {
        return code;
    }
    const TpUpdate__Outcome *outcome = resp->outcome;
    struct tl_print_row rows[] = {
        {"UpdateId", id, false},
        {"Stage",
         tl_print_enum(&s->arena, &tp_enums__update_workflow_execution_lifecycle_stage__descriptor,
                       (int)resp->stage),
         false},
        {"Failure", "", false},
    };
    size_t n = 2;
    if (outcome && outcome->value_case == TP_UPDATE__OUTCOME__VALUE_FAILURE) {
        rows[n++].text = outcome->failure->message;
        outcome = NULL;
    }
    return tl_cli_update_print(s, rows, n, "result", outcome);
}

int tl_cmd_workflow_update_describe(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_describe);
}
