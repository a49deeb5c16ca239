/* workflow query, stack, metadata: questions that a worker answers. */
#include <string.h>
#include <temporal/api/sdk/v1/workflow_metadata.pb-c.h>

#include "cli/input.h"
#include "proto/payload.h"
#include "tl_enums.h"

#define QUERY_STACK "__stack_trace"
#define QUERY_METADATA "__temporal_workflow_metadata"

int tl_cmd_workflow_query(struct tl_cli *cli);
int tl_cmd_workflow_stack(struct tl_cli *cli);
int tl_cmd_workflow_metadata(struct tl_cli *cli);

static int reject_condition(struct tl_cli_session *s)
{
    const char *text = tl_cli_text(s->cli, "reject-condition");
    return !text                           ? QUERY_REJECT_CONDITION_UNSPECIFIED
           : strcmp(text, "not_open") == 0 ? QUERY_REJECT_CONDITION_NOT_OPEN
                                           : QUERY_REJECT_CONDITION_NOT_COMPLETED_CLEANLY;
}

/* Asks; NULL after an error was printed. The answer lives in the session's arena. */
static TpWs__QueryWorkflowResponse *ask(struct tl_cli_session *s, TpQuery__WorkflowQuery *query)
{
    TpWs__QueryWorkflowRequest r = TP_WS__QUERY_WORKFLOW_REQUEST__INIT;
    TpWs__QueryWorkflowResponse *resp = NULL;
    TpCommon__WorkflowExecution execution = tl_cli_execution(s);
    struct tl_client_error err;
    r.execution = &execution;
    r.query = query;
    r.query_reject_condition = (TpEnums__QueryRejectCondition)reject_condition(s);
    if (tl_cli_call(s, TL_M_QueryWorkflow, &r, &resp, &err) != TL_OK) {
        tl_cli_call_failed("querying workflow failed", &err);
        return NULL;
    }
    if (resp->query_rejected) {
        tl_cli_fail(1, "query was rejected, workflow has status: %s",
                    tl_print_enum(&s->arena, &tp_enums__workflow_execution_status__descriptor,
                                  (int)resp->query_rejected->status));
        return NULL;
    }
    return resp;
}

static int print_answer(struct tl_cli_session *s, const TpWs__QueryWorkflowResponse *resp)
{
    struct tl_error err = {0};
    if (tl_print_is_json(&s->print)) {
        return tl_cli_printed(tl_print_message(&s->print, resp, &err), &err);
    }
    struct tl_print_row row = {
        "QueryResult", tl_print_payloads_text(&s->print, &s->arena, resp->query_result), true};
    tl_print_line(&s->print, "Query result:");
    tl_print_card(&s->print, &row, 1);
    return 0;
}

static int run_query(struct tl_cli_session *s)
{
    TpQuery__WorkflowQuery query = TP_QUERY__WORKFLOW_QUERY__INIT;
    query.query_type = tl_cli_field(s, "name");
    int code = tl_cli_input(s, "", &query.query_args);
    code = code ? code : tl_cli_headers(s, &query.header);
    if (code) {
        return code;
    }
    const TpWs__QueryWorkflowResponse *resp = ask(s, &query);
    return resp ? print_answer(s, resp) : 1;
}

int tl_cmd_workflow_query(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_query);
}

static int run_stack(struct tl_cli_session *s)
{
    static char type[] = QUERY_STACK;
    TpQuery__WorkflowQuery query = TP_QUERY__WORKFLOW_QUERY__INIT;
    query.query_type = type;
    const TpWs__QueryWorkflowResponse *resp = ask(s, &query);
    return resp ? print_answer(s, resp) : 1;
}

int tl_cmd_workflow_stack(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_stack);
}

/* --- metadata ------------------------------------------------------------------------------------- */

static void print_definitions(struct tl_cli_session *s, const char *title, size_t n,
                              TpSdk__WorkflowInteractionDefinition **definitions)
{
    static const struct tl_print_column columns[] = {{"Name", 0, false}, {"Description", 0, false}};
    const char **cells = TL_ARENA_ARRAY(&s->arena, const char *, 2 * n + 1);
    if (n == 0 || !cells) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        cells[2 * i] = definitions[i]->name;
        cells[2 * i + 1] = definitions[i]->description;
    }
    tl_print_line(&s->print, "  %s", title);
    tl_print_table(&s->print, columns, 2, cells, n, false, 2);
}

static int print_metadata(struct tl_cli_session *s, const TpWs__QueryWorkflowResponse *resp)
{
    struct tl_json_read_options options = {.ignore_unknown = true, .payload_shorthand = true};
    TpSdk__WorkflowMetadata *m;
    struct tl_error err;
    if (tl_json_read(&tp_sdk__workflow_metadata__descriptor,
                     tl_payload_data(tl_payloads_at(resp->query_result, 0)), &options, &s->arena,
                     &m, &err) != TL_OK) {
        return tl_cli_fail(1, "failed to unmarshal metadata: %s", err.message);
    }
    const TpSdk__WorkflowDefinition *d = m->definition;
    tl_print_line(&s->print, "Metadata:");
    if (d) {
        print_definitions(s, "Query Definitions:", d->n_query_definitions, d->query_definitions);
        print_definitions(s, "Signal Definitions:", d->n_signal_definitions, d->signal_definitions);
        print_definitions(s, "Update Definitions:", d->n_update_definitions, d->update_definitions);
    }
    if (*m->current_details) {
        tl_print_line(&s->print, "  Current Details:\n    %s", m->current_details);
    }
    return 0;
}

static int run_metadata(struct tl_cli_session *s)
{
    static char type[] = QUERY_METADATA;
    TpQuery__WorkflowQuery query = TP_QUERY__WORKFLOW_QUERY__INIT;
    query.query_type = type;
    int code = tl_cli_headers(s, &query.header);
    const TpWs__QueryWorkflowResponse *resp = code ? NULL : ask(s, &query);
    if (!resp) {
        return code ? code : 1;
    }
    return tl_print_is_json(&s->print) ? print_answer(s, resp) : print_metadata(s, resp);
}

int tl_cmd_workflow_metadata(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_metadata);
}
