/* workflow result, list, count: what a service knows of its workflows. */
#include <string.h>

#include "cli/events.h"
#include "cli/input.h"
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

static const struct tl_print_column list_columns[] = {
    {"Status", 0, false}, {"WorkflowId", 0, false}, {"Type", 0, false}, {"StartTime", 0, false}};

static int print_page(struct tl_cli_session *s, TpWorkflow__WorkflowExecutionInfo **infos, size_t n,
                      bool first, struct tl_arena *arena)
{
    struct tl_error err = {0};
    const char **cells = TL_ARENA_ARRAY(arena, const char *, 4 * n + 1);
    if (!cells) {
        return tl_cli_fail(1, "the list is too large");
    }
    for (size_t i = 0; i < n; i++) {
        const TpWorkflow__WorkflowExecutionInfo *info = infos[i];
        if (tl_print_is_json(&s->print)) {
            int code = tl_cli_printed(tl_print_message(&s->print, info, &err), &err);
            if (code) {
                return code;
            }
        }
        cells[4 * i] = tl_print_enum(arena, &tp_enums__workflow_execution_status__descriptor,
                                     (int)info->status);
        cells[4 * i + 1] = info->execution ? info->execution->workflow_id : "";
        cells[4 * i + 2] = info->type ? info->type->name : "";
        cells[4 * i + 3] = tl_print_time(&s->print, arena, info->start_time);
    }
    if (n) {
        tl_print_table(&s->print, list_columns, 4, cells, n, first, 1);
    }
    tl_print_flush(&s->print);
    return 0;
}

/* One page into the arena; *token is the next page's, "" after the last one. */
static int list_page(struct tl_cli_session *s, int64_t *left, bool first, struct tl_str *token,
                     struct tl_arena *arena)
{
    /* Lists and lists of the archive have requests and answers of the same fields, but for the order
     * of numbers: each has a message of its own. */
    TpWs__ListWorkflowExecutionsRequest r = TP_WS__LIST_WORKFLOW_EXECUTIONS_REQUEST__INIT;
    TpWs__ListArchivedWorkflowExecutionsRequest archived =
        TP_WS__LIST_ARCHIVED_WORKFLOW_EXECUTIONS_REQUEST__INIT;
    bool from_archive = tl_cli_flag(s->cli, "archived");
    TpWs__ListWorkflowExecutionsResponse *resp = NULL;
    struct tl_client_error err;
    int64_t page = tl_cli_integer(s->cli, "page-size");
    page = *left > 0 && (page == 0 || *left < page) ? *left : page;
    r.query = tl_cli_field(s, "query");
    r.page_size = (int32_t)(page > 1000 ? 1000 : page);
    r.next_page_token = tl_pb_bytes_view(*token);
    archived.query = r.query;
    archived.page_size = r.page_size;
    archived.next_page_token = r.next_page_token;
    enum tl_method method =
        from_archive ? TL_M_ListArchivedWorkflowExecutions : TL_M_ListWorkflowExecutions;
    void *request = from_archive ? (void *)&archived : (void *)&r;
    if (tl_client_call(s->client, method, request, arena, &resp, tl_cli_time_left_ns(s), &err) !=
        TL_OK) {
        return tl_cli_call_failed("failed listing workflows", &err);
    }
    size_t n = resp->n_executions;
    if (*left > 0) {
        n = (size_t)*left < n ? (size_t)*left : n;
        *left = (size_t)*left == n ? -1 : *left - (int64_t)n;
    }
    *token = tl_arena_str(&s->arena, tl_pb_str(resp->next_page_token));
    return print_page(s, resp->executions, n, first, arena);
}

static int run_list(struct tl_cli_session *s)
{
    struct tl_arena arena;
    struct tl_str token = {0};
    int64_t left = tl_cli_integer(s->cli, "limit");
    int code;
    bool first = true;
    if (left < 0 || tl_cli_integer(s->cli, "page-size") < 0) {
        return tl_cli_fail(2, "--limit and --page-size want a number from 0 up");
    }
    tl_arena_init(&arena, s->arena.bytes_max);
    tl_print_list_begin(&s->print);
    do {
        tl_arena_reset(&arena);
        code = list_page(s, &left, first, &token, &arena);
        first = false;
    } while (code == 0 && token.n && left >= 0);
    tl_print_list_end(&s->print);
    tl_arena_deinit(&arena);
    return code;
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
    tl_print_line(&s->print, "Total: %lld", (long long)resp->count);
    for (size_t i = 0; i < resp->n_groups; i++) {
        tl_print_line(&s->print, "Group total: %lld, values: %s", (long long)resp->groups[i]->count,
                      tl_print_values(&s->print, &s->arena, resp->groups[i]->group_values,
                                      resp->groups[i]->n_group_values));
    }
    return tl_cli_printed(tl_print_message(&s->print, resp, &err.error), &err.error);
}

int tl_cmd_workflow_count(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_count);
}
