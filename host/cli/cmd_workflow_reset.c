/* workflow reset: starts a workflow again from a point of its history, or all that a query finds; with
 * other options, when they are given. */
#include "cli/batch.h"
#include "cli/versioning_override.h"

#include <string.h>

#include "proto/pb.h"
#include "tl_enums.h"

int tl_cmd_workflow_reset(struct tl_cli *cli);
int tl_cmd_workflow_reset_with_options(struct tl_cli *cli);

struct point {
    int64_t first, last; /* event to reset to: of the first and the last workflow task; 0: none */
    bool completed;      /* `last` is a task that completed */
    char *continued_run_id;
};

static void note_event(struct point *p, const TpHistory__HistoryEvent *e, struct tl_arena *arena)
{
    bool completed = (int)e->event_type == EVENT_TYPE_WORKFLOW_TASK_COMPLETED;
    if ((int)e->event_type == EVENT_TYPE_WORKFLOW_EXECUTION_STARTED) {
        const char *id = e->workflow_execution_started_event_attributes->continued_execution_run_id;
        p->continued_run_id = tl_arena_cstr(arena, tl_str(id));
    }
    if (completed && !p->completed) {
        p->first = e->event_id;
    }
    if (completed) {
        p->completed = true;
        p->last = e->event_id;
    } else if ((int)e->event_type == EVENT_TYPE_WORKFLOW_TASK_SCHEDULED && !p->completed) {
        p->last = e->event_id + 1;
        p->first = p->first ? p->first : p->last;
    }
}

/* Reads the history for its workflow tasks. */
static int look(struct tl_cli_session *s, TpCommon__WorkflowExecution *execution, struct point *out)
{
    TpWs__GetWorkflowExecutionHistoryRequest r =
        TP_WS__GET_WORKFLOW_EXECUTION_HISTORY_REQUEST__INIT;
    TpWs__GetWorkflowExecutionHistoryResponse *resp = NULL;
    struct tl_client_error err;
    r.execution = execution;
    *out = (struct point){0};
    do {
        if (tl_cli_call(s, TL_M_GetWorkflowExecutionHistory, &r, &resp, &err) != TL_OK) {
            return tl_cli_call_failed("failed reading the history", &err);
        }
        for (size_t i = 0; resp->history && i < resp->history->n_events; i++) {
            note_event(out, resp->history->events[i], &s->arena);
        }
        r.next_page_token = resp->next_page_token;
    } while (r.next_page_token.len);
    return 0;
}

/* The event that --type means; the run may become the one before. */
static int find_event(struct tl_cli_session *s, TpCommon__WorkflowExecution *execution,
                      const char *type, int64_t *out)
{
    struct point p;
    int code = look(s, execution, &p);
    if (code == 0 && strcmp(type, "LastContinuedAsNew") == 0) {
        if (!p.continued_run_id || !*p.continued_run_id) {
            return tl_cli_fail(1, "the workflow was not continued from another run");
        }
        execution->run_id = p.continued_run_id;
        code = look(s, execution, &p);
    }
    *out = strcmp(type, "FirstWorkflowTask") == 0 ? p.first : p.last;
    if (code == 0 && *out == 0) {
        code = tl_cli_fail(1, "unable to find any scheduled or completed workflow task");
    }
    return code;
}

/* What a reset does besides starting again. */
struct extent {
    TpEnums__ResetReapplyExcludeType excluded[2]; /* is not sent again */
    size_t excluded_count;
    TpWorkflow__PostResetOperation *after[1]; /* is done to the new run */
    size_t after_count;
};

/* What --reapply-exclude, or the older --reapply-type, leaves out. */
static void read_excluded(struct tl_cli_session *s, struct extent *out)
{
    const char *kind = tl_cli_text(s->cli, "reapply-type");
    bool signal = strcmp(kind, "None") == 0, update = strcmp(kind, "All") != 0;
    for (const char *const *t = tl_cli_texts(s->cli, "reapply-exclude"); *t; t++) {
        signal = signal || strcmp(*t, "Update") != 0;
        update = update || strcmp(*t, "Signal") != 0;
    }
    if (signal) {
        out->excluded[out->excluded_count++] =
            (TpEnums__ResetReapplyExcludeType)RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL;
    }
    if (update) {
        out->excluded[out->excluded_count++] =
            (TpEnums__ResetReapplyExcludeType)RESET_REAPPLY_EXCLUDE_TYPE_UPDATE;
    }
}

static int reset_all(struct tl_cli_session *s, struct tl_cli_target *target, const char *type,
                     const struct extent *extent)
{
    TpBatch__BatchOperationReset op = TP_BATCH__BATCH_OPERATION_RESET__INIT;
    TpCommon__ResetOptions options = TP_COMMON__RESET_OPTIONS__INIT;
    Google__Protobuf__Empty empty = GOOGLE__PROTOBUF__EMPTY__INIT;
    options.n_reset_reapply_exclude_types = extent->excluded_count;
    options.reset_reapply_exclude_types =
        (TpEnums__ResetReapplyExcludeType *)(uintptr_t)extent->excluded;
    op.n_post_reset_operations = extent->after_count;
    op.post_reset_operations = (TpWorkflow__PostResetOperation **)(uintptr_t)extent->after;
    op.options = &options;
    op.identity = tl_cli_identity(s);
    if (strcmp(type, "FirstWorkflowTask") == 0) {
        options.target_case = TP_COMMON__RESET_OPTIONS__TARGET_FIRST_WORKFLOW_TASK;
        options.first_workflow_task = &empty;
    } else if (strcmp(type, "LastWorkflowTask") == 0) {
        options.target_case = TP_COMMON__RESET_OPTIONS__TARGET_LAST_WORKFLOW_TASK;
        options.last_workflow_task = &empty;
    } else {
        options.target_case = TP_COMMON__RESET_OPTIONS__TARGET_BUILD_ID;
        options.build_id = tl_cli_field(s, "build-id");
    }
    target->request.operation_case =
        TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_RESET_OPERATION;
    target->request.reset_operation = &op;
    return tl_cli_batch_start(s, target);
}

static int reset_one(struct tl_cli_session *s, struct tl_cli_target *target, const char *type,
                     const struct extent *extent)
{
    TpWs__ResetWorkflowExecutionRequest r = TP_WS__RESET_WORKFLOW_EXECUTION_REQUEST__INIT;
    TpWs__ResetWorkflowExecutionResponse *resp = NULL;
    struct tl_client_error err;
    char id[37];
    r.workflow_task_finish_event_id = tl_cli_integer(s->cli, "event-id");
    int code = type ? find_event(s, &target->execution, type, &r.workflow_task_finish_event_id) : 0;
    if (code) {
        return code;
    }
    tl_uuid4(tl_client_world(s->client), id);
    r.workflow_execution = &target->execution;
    r.reason = tl_cli_field(s, "reason");
    r.request_id = id;
    r.n_reset_reapply_exclude_types = extent->excluded_count;
    r.reset_reapply_exclude_types = (TpEnums__ResetReapplyExcludeType *)(uintptr_t)extent->excluded;
    r.n_post_reset_operations = extent->after_count;
    r.post_reset_operations = (TpWorkflow__PostResetOperation **)(uintptr_t)extent->after;
    if (tl_cli_call(s, TL_M_ResetWorkflowExecution, &r, &resp, &err) != TL_OK) {
        return tl_cli_call_failed("failed to reset workflow", &err);
    }
    if (tl_print_is_json(&s->print)) {
        return tl_cli_printed(tl_print_message(&s->print, resp, &err.error), &err.error);
    }
    const struct tl_print_row row = {"RunId", resp->run_id, false};
    tl_print_card(&s->print, &row, 1);
    return 0;
}

static int check_options(struct tl_cli_session *s, bool batch, const char *type)
{
    int64_t event = tl_cli_integer(s->cli, "event-id");
    bool build = type && strcmp(type, "BuildId") == 0;
    if (event < 0 || (!type && event == 0) || (type && event > 0)) {
        return tl_cli_fail(1, "must set either --type or an --event-id above 0");
    }
    if (build != (tl_cli_text(s->cli, "build-id") != NULL)) {
        return tl_cli_fail(1, "--build-id goes with --type BuildId, and only with that");
    }
    if (batch && (!type || strcmp(type, "LastContinuedAsNew") == 0)) {
        return tl_cli_fail(1, "with --query the type is FirstWorkflowTask, LastWorkflowTask or "
                              "BuildId");
    }
    if (!batch && build) {
        return tl_cli_fail(1, "--type BuildId goes with --query only");
    }
    return 0;
}

/* `extent` comes with what is done to the new run. */
static int reset(struct tl_cli_session *s, struct extent *extent)
{
    struct tl_cli_target target;
    const char *type = tl_cli_text(s->cli, "type");
    int code = check_options(s, !tl_cli_text(s->cli, "workflow-id"), type);
    code = code ? code : tl_cli_target(s, TL_CLI_TARGET_REASON, &target);
    if (code) {
        return code;
    }
    read_excluded(s, extent);
    return target.batch ? reset_all(s, &target, type, extent) : reset_one(s, &target, type, extent);
}

static int run_reset(struct tl_cli_session *s)
{
    return reset(s, &(struct extent){.after_count = 0});
}

int tl_cmd_workflow_reset(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_reset);
}

static int run_reset_with_options(struct tl_cli_session *s)
{
    TpWorkflow__PostResetOperation operation = TP_WORKFLOW__POST_RESET_OPERATION__INIT;
    TpWorkflow__PostResetOperation__UpdateWorkflowOptions update =
        TP_WORKFLOW__POST_RESET_OPERATION__UPDATE_WORKFLOW_OPTIONS__INIT;
    struct tl_cli_override o;
    int code = tl_cli_read_override(s, &o);
    if (code) {
        return code;
    }
    update.workflow_execution_options = &o.options;
    update.update_mask = &o.mask;
    operation.variant_case = TP_WORKFLOW__POST_RESET_OPERATION__VARIANT_UPDATE_WORKFLOW_OPTIONS;
    operation.update_workflow_options = &update;
    return reset(s, &(struct extent){.after = {&operation}, .after_count = 1});
}

int tl_cmd_workflow_reset_with_options(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_reset_with_options);
}
