/* workflow result, list, count: what a service knows of its workflows. */
#include <string.h>

#include "cli/events.h"
#include "cli/input.h"
#include "cli/listing.h"
#include "proto/payload.h"

int tl_cmd_workflow_result(struct tl_cli *cli);
int tl_cmd_workflow_list(struct tl_cli *cli);
int tl_cmd_workflow_count(struct tl_cli *cli);

/* --- result --------------------------------------------------------------------------------------- */

static int print_result(struct tl_cli_session *s, const struct tl_client_result *result)
{
    struct tl_error err;
    struct tl_jw w;
    const struct {
        const char *name, *text;
    } texts[] = {{"workflowId", tl_cli_text(s->cli, "workflow-id")},
                 {"runId", result->run_id},
                 {"namespace", tl_client_namespace(s->client).p},
                 {"status", tl_cli_close_status(result->event)}};
    if (!tl_print_is_json(&s->print)) {
        tl_cli_print_results(&s->print, &s->arena, result->event, 0);
        return 0;
    }
    tl_print_json_begin(&s->print, &w);
    tl_jw_object(&w);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        tl_jw_name(&w, tl_str(texts[i].name));
        tl_jw_string(&w, tl_str(texts[i].text));
    }
    tl_rc rc = tl_cli_write_close(&s->print, result->event, &w, &err);
    tl_jw_object_end(&w);
    rc = rc == TL_OK ? tl_print_json_end(&s->print, &w, &err) : rc;
    return tl_cli_printed(rc, &err);
}

static int run_result(struct tl_cli_session *s)
{
    struct tl_client_error err;
    struct tl_client_result result;
    struct tl_client_result_query query = {.workflow_id = tl_str(tl_cli_field(s, "workflow-id")),
                                           .run_id = tl_str(tl_cli_field(s, "run-id")),
                                           .follow_runs = true,
                                           .timeout_ns = tl_cli_time_left_ns(s)};
    if (tl_client_result(s->client, &query, &s->arena, &result, &err) != TL_OK) {
        return tl_cli_call_failed("failed getting close event", &err);
    }
    int code = print_result(s, &result);
    if (strcmp(tl_cli_close_status(result.event), "COMPLETED") != 0) {
        tl_print_flush(&s->print);
        return tl_cli_fail(1, "workflow failed");
    }
    return code;
}

int tl_cmd_workflow_result(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_result);
}

/* --- list ----------------------------------------------------------------------------------------- */

/* Lists and lists of the archive have requests and answers of the same fields: each has a message of its
 * own. */
static tl_rc ask_list(struct tl_cli_session *s, struct tl_listing_page *page,
                      struct tl_client_error *err)
{
    TpWs__ListWorkflowExecutionsRequest r = TP_WS__LIST_WORKFLOW_EXECUTIONS_REQUEST__INIT;
    TpWs__ListArchivedWorkflowExecutionsRequest archived =
        TP_WS__LIST_ARCHIVED_WORKFLOW_EXECUTIONS_REQUEST__INIT;
    bool from_archive = tl_cli_flag(s->cli, "archived");
    enum tl_method method =
        from_archive ? TL_M_ListArchivedWorkflowExecutions : TL_M_ListWorkflowExecutions;
    TpWs__ListWorkflowExecutionsResponse *resp = NULL;
    r.query = archived.query = page->query;
    r.page_size = archived.page_size = page->page_size;
    r.next_page_token = archived.next_page_token = page->token;
    tl_rc rc = tl_client_call(s->client, method, from_archive ? (void *)&archived : (void *)&r,
                              page->arena, &resp, tl_cli_time_left_ns(s), err);
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
    const TpWs__ListWorkflowExecutionsResponse *resp = page->resp;
    const TpWorkflow__WorkflowExecutionInfo *info = resp->executions[i];
    cells[0] = tl_print_enum(page->arena, &tp_enums__workflow_execution_status__descriptor,
                             (int)info->status);
    cells[1] = info->execution ? info->execution->workflow_id : "";
    cells[2] = info->type ? info->type->name : "";
    cells[3] = tl_print_time(&s->print, page->arena, info->start_time);
    return info;
}

static int run_list(struct tl_cli_session *s)
{
    static const struct tl_listing workflows = {"failed listing workflows",
                                                {{"Status", 0, false},
                                                 {"WorkflowId", 0, false},
                                                 {"Type", 0, false},
                                                 {"StartTime", 0, false}},
                                                ask_list,
                                                list_row};
    return tl_cli_list(s, &workflows);
}

int tl_cmd_workflow_list(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_list);
}

/* --- count ---------------------------------------------------------------------------------------- */

static int run_count(struct tl_cli_session *s)
{
    TpWs__CountWorkflowExecutionsRequest r = TP_WS__COUNT_WORKFLOW_EXECUTIONS_REQUEST__INIT;
    TpWs__CountWorkflowExecutionsResponse *resp = NULL;
    struct tl_client_error err;
    r.query = tl_cli_field(s, "query");
    if (tl_cli_call(s, TL_M_CountWorkflowExecutions, &r, &resp, &err) != TL_OK) {
        return tl_cli_call_failed("failed counting workflows", &err);
    }
    tl_cli_print_total(s, resp->count);
    for (size_t i = 0; i < resp->n_groups; i++) {
        tl_cli_print_group(s, resp->groups[i]->count, resp->groups[i]->group_values,
                           resp->groups[i]->n_group_values);
    }
    return tl_cli_printed(tl_print_message(&s->print, resp, &err.error), &err.error);
}

int tl_cmd_workflow_count(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_count);
}
