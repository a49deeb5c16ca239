/* workflow signal, cancel, terminate, delete: one request about one workflow, or a batch operation on
 * all that a query finds. */
#include "cli/batch.h"
#include "cli/input.h"

int tl_cmd_workflow_signal(struct tl_cli *cli);
int tl_cmd_workflow_cancel(struct tl_cli *cli);
int tl_cmd_workflow_terminate(struct tl_cli *cli);
int tl_cmd_workflow_delete(struct tl_cli *cli);

/* --- signal -------------------------------------------------------------------------------------- */

static int signal_all(struct tl_cli_session *s, struct tl_cli_target *target,
                      TpWs__SignalWorkflowExecutionRequest *r)
{
    TpBatch__BatchOperationSignal op = TP_BATCH__BATCH_OPERATION_SIGNAL__INIT;
    op.signal = r->signal_name;
    op.input = r->input;
    op.header = r->header;
    op.identity = tl_cli_identity(s);
    target->request.operation_case =
        TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_SIGNAL_OPERATION;
    target->request.signal_operation = &op;
    return tl_cli_batch_start(s, target);
}

static int run_signal(struct tl_cli_session *s)
{
    TpWs__SignalWorkflowExecutionRequest r = TP_WS__SIGNAL_WORKFLOW_EXECUTION_REQUEST__INIT;
    struct tl_cli_target target;
    struct tl_client_error err;
    int code = tl_cli_input(s, "", &r.input);
    code = code ? code : tl_cli_headers(s, &r.header);
    code = code ? code : tl_cli_target(s, 0, &target);
    if (code) {
        return code;
    }
    r.signal_name = tl_cli_field(s, "name");
    if (target.batch) {
        return signal_all(s, &target, &r);
    }
    r.workflow_execution = &target.execution;
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

/* --- cancel -------------------------------------------------------------------------------------- */

static int cancel_all(struct tl_cli_session *s, struct tl_cli_target *target)
{
    TpBatch__BatchOperationCancellation op = TP_BATCH__BATCH_OPERATION_CANCELLATION__INIT;
    op.identity = tl_cli_identity(s);
    target->request.operation_case =
        TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_CANCELLATION_OPERATION;
    target->request.cancellation_operation = &op;
    return tl_cli_batch_start(s, target);
}

static int run_cancel(struct tl_cli_session *s)
{
    TpWs__RequestCancelWorkflowExecutionRequest r =
        TP_WS__REQUEST_CANCEL_WORKFLOW_EXECUTION_REQUEST__INIT;
    struct tl_cli_target target;
    struct tl_client_error err;
    int code = tl_cli_target(s, 0, &target);
    if (code || target.batch) {
        return code ? code : cancel_all(s, &target);
    }
    r.workflow_execution = &target.execution;
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

/* --- terminate ----------------------------------------------------------------------------------- */

static int terminate_all(struct tl_cli_session *s, struct tl_cli_target *target)
{
    TpBatch__BatchOperationTermination op = TP_BATCH__BATCH_OPERATION_TERMINATION__INIT;
    op.identity = tl_cli_identity(s);
    target->request.operation_case =
        TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_TERMINATION_OPERATION;
    target->request.termination_operation = &op;
    return tl_cli_batch_start(s, target);
}

static int run_terminate(struct tl_cli_session *s)
{
    TpWs__TerminateWorkflowExecutionRequest r = TP_WS__TERMINATE_WORKFLOW_EXECUTION_REQUEST__INIT;
    struct tl_cli_target target;
    struct tl_client_error err;
    int code = tl_cli_target(s, TL_CLI_TARGET_REASON, &target);
    if (code || target.batch) {
        return code ? code : terminate_all(s, &target);
    }
    r.workflow_execution = &target.execution;
    r.reason = tl_cli_reason(s);
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

/* --- delete -------------------------------------------------------------------------------------- */

static int delete_all(struct tl_cli_session *s, struct tl_cli_target *target)
{
    TpBatch__BatchOperationDeletion op = TP_BATCH__BATCH_OPERATION_DELETION__INIT;
    op.identity = tl_cli_identity(s);
    target->request.operation_case =
        TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_DELETION_OPERATION;
    target->request.deletion_operation = &op;
    return tl_cli_batch_start(s, target);
}

static int run_delete(struct tl_cli_session *s)
{
    TpWs__DeleteWorkflowExecutionRequest r = TP_WS__DELETE_WORKFLOW_EXECUTION_REQUEST__INIT;
    struct tl_cli_target target;
    struct tl_client_error err;
    int code = tl_cli_target(s, TL_CLI_TARGET_YES, &target);
    if (code || target.batch) {
        return code ? code : delete_all(s, &target);
    }
    const char *run = target.execution.run_id;
    const char *question = tl_arena_printf(&s->arena, "Delete Workflow \"%s\"%s%s%s? y/N",
                                           target.execution.workflow_id,
                                           *run ? " with Run ID \"" : "", run, *run ? "\"" : "");
    code = tl_cli_confirm(s, question ? question : "Delete? y/N");
    if (code) {
        return code;
    }
    r.workflow_execution = &target.execution;
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
