/* workflow pause, unpause: one request about one workflow. */
#include "cli/input.h"

int tl_cmd_workflow_pause(struct tl_cli *cli);
int tl_cmd_workflow_unpause(struct tl_cli *cli);

static int run_pause(struct tl_cli_session *s)
{
    TpWs__PauseWorkflowExecutionRequest r = TP_WS__PAUSE_WORKFLOW_EXECUTION_REQUEST__INIT;
    TpCommon__WorkflowExecution execution = tl_cli_execution(s);
    struct tl_client_error err;
    r.workflow_id = execution.workflow_id;
    r.run_id = execution.run_id;
    r.reason = tl_cli_field(s, "reason");
    if (tl_cli_call(s, TL_M_PauseWorkflowExecution, &r, NULL, &err) != TL_OK) {
        return tl_cli_call_failed("failed to pause workflow", &err);
    }
    tl_print_line(&s->print, "Workflow Execution paused");
    return 0;
}

int tl_cmd_workflow_pause(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_pause);
}

static int run_unpause(struct tl_cli_session *s)
{
    TpWs__UnpauseWorkflowExecutionRequest r = TP_WS__UNPAUSE_WORKFLOW_EXECUTION_REQUEST__INIT;
    TpCommon__WorkflowExecution execution = tl_cli_execution(s);
    struct tl_client_error err;
    r.workflow_id = execution.workflow_id;
    r.run_id = execution.run_id;
    r.reason = tl_cli_field(s, "reason");
    if (tl_cli_call(s, TL_M_UnpauseWorkflowExecution, &r, NULL, &err) != TL_OK) {
        return tl_cli_call_failed("failed to unpause workflow", &err);
    }
    tl_print_line(&s->print, "Workflow Execution unpaused");
    return 0;
}

int tl_cmd_workflow_unpause(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_unpause);
}
