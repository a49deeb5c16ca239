/* batch describe, list, terminate: jobs that were started with --query. */
#include "base/error.h"
#include "cli/connect.h"
#include "proto/pb.h"

int tl_cmd_batch_describe(struct tl_cli *cli);
int tl_cmd_batch_list(struct tl_cli *cli);
int tl_cmd_batch_terminate(struct tl_cli *cli);

static int failed(struct tl_cli_session *s, const char *what, const struct tl_client_error *err)
{
    if (err->error.code == TL_ENOTFOUND) {
        return tl_cli_fail(1, "could not find Batch Job '%s'", tl_cli_field(s, "job-id"));
    }
    return tl_cli_call_failed(what, err);
}

static const char *state_name(struct tl_cli_session *s, int state)
{
    return tl_print_enum(&s->arena, &tp_enums__batch_operation_state__descriptor, state);
}

/* --- describe ------------------------------------------------------------------------------------ */

static int run_describe(struct tl_cli_session *s)
{
    TpWs__DescribeBatchOperationRequest r = TP_WS__DESCRIBE_BATCH_OPERATION_REQUEST__INIT;
    TpWs__DescribeBatchOperationResponse *d = NULL;
    struct tl_client_error err;
    r.job_id = tl_cli_field(s, "job-id");
    if (tl_cli_call(s, TL_M_DescribeBatchOperation, &r, &d, &err) != TL_OK) {
        return failed(s, "failed to describe batch job", &err);
    }
    if (tl_print_is_json(&s->print)) {
        return tl_cli_printed(tl_print_message(&s->print, d, &err.error), &err.error);
    }
    long long total = (long long)d->total_operation_count;
    const struct tl_print_row rows[] = {
        {"State", state_name(s, (int)d->state), false},
        {"Type",
         tl_print_enum(&s->arena, &tp_enums__batch_operation_type__descriptor,
                       (int)d->operation_type),
         false},
        {"StartTime", tl_print_time(&s->print, &s->arena, d->start_time), false},
        {"CloseTime", tl_print_time(&s->print, &s->arena, d->close_time), true},
        {"CompletedCount",
         tl_arena_printf(&s->arena, "%lld/%lld", (long long)d->complete_operation_count, total),
         false},
        {"FailureCount",
         tl_arena_printf(&s->arena, "%lld/%lld", (long long)d->failure_operation_count, total),
         false}};
    tl_print_card(&s->print, rows, sizeof rows / sizeof rows[0]);
    return 0;
}

int tl_cmd_batch_describe(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_describe);
}

/* --- list ---------------------------------------------------------------------------------------- */

static const struct tl_print_column columns[] = {
    {"JobId", 0, false}, {"State", 0, false}, {"StartTime", 0, false}, {"CloseTime", 0, false}};

static int print_page(struct tl_cli_session *s, TpBatch__BatchOperationInfo **infos, size_t n,
                      bool first)
{
    struct tl_error err;
    const char **cells = TL_ARENA_ARRAY(&s->arena, const char *, 4 * n + 1);
    if (!cells) {
        return tl_cli_fail(1, "the list is too large");
    }
    for (size_t i = 0; i < n; i++) {
        if (tl_print_is_json(&s->print)) {
            int code = tl_cli_printed(tl_print_message(&s->print, infos[i], &err), &err);
            if (code) {
                return code;
            }
        }
        cells[4 * i] = infos[i]->job_id;
        cells[4 * i + 1] = state_name(s, (int)infos[i]->state);
        cells[4 * i + 2] = tl_print_time(&s->print, &s->arena, infos[i]->start_time);
        cells[4 * i + 3] = tl_print_time(&s->print, &s->arena, infos[i]->close_time);
    }
    if (n) {
        tl_print_table(&s->print, columns, 4, cells, n, first, 1);
    }
    return 0;
}

static int list_pages(struct tl_cli_session *s, int64_t left)
{
    TpWs__ListBatchOperationsRequest r = TP_WS__LIST_BATCH_OPERATIONS_REQUEST__INIT;
    TpWs__ListBatchOperationsResponse *resp = NULL;
    struct tl_client_error err;
    int code = 0;
    bool first = true;
    do {
        r.page_size = left > 0 && left < 1000 ? (int32_t)left : 0;
        if (tl_cli_call(s, TL_M_ListBatchOperations, &r, &resp, &err) != TL_OK) {
            return tl_cli_call_failed("failed to list batch jobs", &err);
        }
        size_t n = resp->n_operation_info;
        n = left > 0 && (size_t)left < n ? (size_t)left : n;
        code = print_page(s, resp->operation_info, n, first);
        first = false;
        left = left > 0 && (left -= (int64_t)n) == 0 ? -1 : left;
        r.next_page_token = resp->next_page_token;
    } while (code == 0 && r.next_page_token.len && left >= 0);
    return code;
}

static int run_list(struct tl_cli_session *s)
{
    int64_t limit = tl_cli_integer(s->cli, "limit");
    if (limit < 0) {
        return tl_cli_fail(2, "--limit wants a number from 0 up");
    }
    tl_print_list_begin(&s->print);
    int code = list_pages(s, limit);
    tl_print_list_end(&s->print);
    return code;
}

int tl_cmd_batch_list(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_list);
}

/* --- terminate ----------------------------------------------------------------------------------- */

static int run_terminate(struct tl_cli_session *s)
{
    TpWs__StopBatchOperationRequest r = TP_WS__STOP_BATCH_OPERATION_REQUEST__INIT;
    struct tl_client_error err;
    r.job_id = tl_cli_field(s, "job-id");
    r.reason = tl_cli_field(s, "reason");
    if (tl_cli_call(s, TL_M_StopBatchOperation, &r, NULL, &err) != TL_OK) {
        return failed(s, "failed to terminate batch job", &err);
    }
    tl_print_line(&s->print, "Terminated Batch Job '%s'", r.job_id);
    return 0;
}

int tl_cmd_batch_terminate(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_terminate);
}
