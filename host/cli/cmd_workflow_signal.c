/* workflow signal, cancel, terminate, delete: one request each about one workflow. */
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/input.h"

int tl_cmd_workflow_signal(struct tl_cli *cli);
int tl_cmd_workflow_cancel(struct tl_cli *cli);
int tl_cmd_workflow_terminate(struct tl_cli *cli);
int tl_cmd_workflow_delete(struct tl_cli *cli);

static int run_signal(struct tl_cli_session *s)
{
    TpWs__SignalWorkflowExecutionRequest r = TP_WS__SIGNAL_WORKFLOW_EXECUTION_REQUEST__INIT;
    TpCommon__WorkflowExecution execution = tl_cli_execution(s);
    struct tl_client_error err;
    int code = tl_cli_input(s, "", &r.input);
    code = code ? code : tl_cli_headers(s, &r.header);
    if (code) {
        return code;
    }
    r.workflow_execution = &execution;
    r.signal_name = tl_cli_field(s, "name");
    if (tl_cli_call(s, TL_M_SignalWorkflowExecution, &r, NULL, &err) != TL_OK) {
        return tl_cli_call_failed("failed signalling workflow", &err);
    }
    tl_print_line(&s->print, "Signal workflow succeeded");
    return 0;
}

int tl_cmd_workflow_signal(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_signal);
}

static int run_cancel(struct tl_cli_session *s)
{
    TpWs__RequestCancelWorkflowExecutionRequest r =
        TP_WS__REQUEST_CANCEL_WORKFLOW_EXECUTION_REQUEST__INIT;
    TpCommon__WorkflowExecution execution = tl_cli_execution(s);
    struct tl_client_error err;
    r.workflow_execution = &execution;
    if (tl_cli_call(s, TL_M_RequestCancelWorkflowExecution, &r, NULL, &err) != TL_OK) {
        return tl_cli_call_failed("failed to cancel workflow", &err);
    }
    tl_print_line(&s->print, "Canceled workflow");
    return 0;
}

int tl_cmd_workflow_cancel(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_cancel);
}

static int run_terminate(struct tl_cli_session *s)
{
    TpWs__TerminateWorkflowExecutionRequest r = TP_WS__TERMINATE_WORKFLOW_EXECUTION_REQUEST__INIT;
    TpCommon__WorkflowExecution execution = tl_cli_execution(s);
    struct tl_client_error err;
    char reason[160];
    const struct passwd *user = getpwuid(getuid());
    snprintf(reason, sizeof reason, "Requested from CLI by %s",
             user ? user->pw_name : "<unknown-user>");
    r.workflow_execution = &execution;
    r.reason = tl_cli_text(s->cli, "reason") ? tl_cli_field(s, "reason") : reason;
    if (tl_cli_call(s, TL_M_TerminateWorkflowExecution, &r, NULL, &err) != TL_OK) {
        return tl_cli_call_failed("failed to terminate workflow", &err);
    }
    tl_print_line(&s->print, "Workflow terminated");
    return 0;
}

int tl_cmd_workflow_terminate(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_terminate);
}

/* Whether the user says yes to the question, or said so before with --yes. */
static bool confirmed(struct tl_cli_session *s, const char *question)
{
    char line[16] = "";
    bool yes = tl_cli_flag(s->cli, "yes");
    if (yes) {
        tl_print_line(&s->print, "%s yes", question);
        return true;
    }
    printf("%s ", question);
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) {
        return false;
    }
    line[strcspn(line, "\r\n")] = 0;
    return strcasecmp(line, "y") == 0 || strcasecmp(line, "yes") == 0;
}

static int run_delete(struct tl_cli_session *s)
{
    TpWs__DeleteWorkflowExecutionRequest r = TP_WS__DELETE_WORKFLOW_EXECUTION_REQUEST__INIT;
    TpCommon__WorkflowExecution execution = tl_cli_execution(s);
    struct tl_client_error err;
    const char *run = execution.run_id;
    if (s->print.mode != TL_PRINT_TEXT && !tl_cli_flag(s->cli, "yes")) {
        return tl_cli_fail(1, "without text output there is no prompt: give --yes");
    }
    const char *question =
        tl_arena_printf(&s->arena, "Delete Workflow \"%s\"%s%s%s? y/N", execution.workflow_id,
                        *run ? " with Run ID \"" : "", run, *run ? "\"" : "");
    if (!question || !confirmed(s, question)) {
        return tl_cli_fail(1, "user denied confirmation");
    }
    r.workflow_execution = &execution;
    if (tl_cli_call(s, TL_M_DeleteWorkflowExecution, &r, NULL, &err) != TL_OK) {
        return tl_cli_call_failed("failed to delete workflow", &err);
    }
    tl_print_line(&s->print, "Delete workflow succeeded");
    return 0;
}

int tl_cmd_workflow_delete(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_delete);
}
