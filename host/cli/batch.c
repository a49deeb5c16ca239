/* See batch.h. */
#include "cli/batch.h"

#include <math.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tl_enums.h"

#define POLL_NS (20 * TL_NS_PER_MS)

char *tl_cli_reason(struct tl_cli_session *s)
{
    const struct passwd *user = getpwuid(getuid());
    const char *given = tl_cli_text(s->cli, "reason");
    char *text = given && *given ? tl_cli_field(s, "reason")
                                 : tl_arena_printf(&s->arena, "Requested from CLI by %s",
                                                   user ? user->pw_name : "<unknown-user>");
    return text ? text : (char *)(uintptr_t) "";
}

static int check_single(struct tl_cli_session *s, unsigned allowed)
{
    if (tl_cli_text(s->cli, "query")) {
        return tl_cli_fail(1, "cannot set query when workflow ID is set");
    }
    if (!(allowed & TL_CLI_TARGET_REASON) && tl_cli_text(s->cli, "reason")) {
        return tl_cli_fail(1, "cannot set reason when workflow ID is set");
    }
    if (!(allowed & TL_CLI_TARGET_YES) && tl_cli_flag(s->cli, "yes")) {
        return tl_cli_fail(1, "cannot set 'yes' when workflow ID is set");
    }
    if (tl_cli_text(s->cli, "rps")) {
        return tl_cli_fail(1, "cannot set rps when workflow ID is set");
    }
    return 0;
}

static int read_rate(struct tl_cli_session *s, float *out)
{
    const char *text = tl_cli_text(s->cli, "rps");
    char *end = NULL;
    *out = text ? strtof(text, &end) : 0;
    if (text && (end == text || *end || !isfinite(*out) || *out < 0)) {
        return tl_cli_fail(2, "--rps wants a number from 0 (no limit) up, not \"%s\"", text);
    }
    return 0;
}

static int ask_with_count(struct tl_cli_session *s, char *query)
{
    TpWs__CountWorkflowExecutionsRequest r = TP_WS__COUNT_WORKFLOW_EXECUTIONS_REQUEST__INIT;
    TpWs__CountWorkflowExecutionsResponse *resp = NULL;
    struct tl_client_error err;
    r.query = query;
    if (tl_cli_call(s, TL_M_CountWorkflowExecutions, &r, &resp, &err) != TL_OK) {
        return tl_cli_call_failed("failed counting workflows from query", &err);
    }
    const char *question =
        tl_arena_printf(&s->arena, "Start batch against approximately %lld workflow(s)? y/N",
                        (long long)resp->count);
    return tl_cli_confirm(s, question ? question : "Start batch? y/N");
}

int tl_cli_target(struct tl_cli_session *s, unsigned allowed, struct tl_cli_target *out)
{
    char id[37];
    char *query = tl_cli_field(s, "query");
    *out = (struct tl_cli_target){.execution = tl_cli_execution(s)};
    if (*out->execution.workflow_id) {
        return check_single(s, allowed);
    }
    if (!*query) {
        return tl_cli_fail(1, "must set either workflow ID or query");
    }
    if (*out->execution.run_id) {
        return tl_cli_fail(1, "cannot set run ID when query is set");
    }
    out->batch = true;
    out->request = (TpWs__StartBatchOperationRequest)TP_WS__START_BATCH_OPERATION_REQUEST__INIT;
    int code = read_rate(s, &out->request.max_operations_per_second);
    code = code ? code : ask_with_count(s, query);
    tl_uuid4(tl_client_world(s->client), id);
    out->request.job_id = tl_arena_cstr(&s->arena, tl_str(id));
    out->request.visibility_query = query;
    out->request.reason = tl_cli_reason(s);
    return code;
}

/* The server of this process goes with the command: what it has not done waits in the file for the
 * next one. */
static int wait_for_end(struct tl_cli_session *s, char *job_id)
{
    TpWs__DescribeBatchOperationRequest r = TP_WS__DESCRIBE_BATCH_OPERATION_REQUEST__INIT;
    TpWs__DescribeBatchOperationResponse *resp = NULL;
    struct tl_client_error err;
    struct tl_arena arena;
    const struct timespec pause = {0, POLL_NS};
    int code = 0, state = BATCH_OPERATION_STATE_RUNNING;
    r.job_id = job_id;
    tl_arena_init(&arena, s->arena.bytes_max);
    while (code == 0 && state == BATCH_OPERATION_STATE_RUNNING) {
        tl_arena_reset(&arena);
        nanosleep(&pause, NULL);
        if (tl_client_call(s->client, TL_M_DescribeBatchOperation, &r, &arena, &resp,
                           tl_cli_time_left_ns(s), &err) != TL_OK) {
            code = tl_cli_call_failed("failed to describe batch job", &err);
        } else {
            state = (int)resp->state;
        }
    }
    tl_arena_deinit(&arena);
    return code;
}

int tl_cli_batch_start(struct tl_cli_session *s, struct tl_cli_target *target)
{
    struct tl_client_error err;
    struct tl_jw w;
    char *job_id = target->request.job_id;
    if (tl_cli_call(s, TL_M_StartBatchOperation, &target->request, NULL, &err) != TL_OK) {
        return tl_cli_call_failed("failed starting batch operation", &err);
    }
    tl_print_line(&s->print, "Started batch for job ID: %s", job_id);
    if (tl_print_is_json(&s->print)) {
        tl_print_json_begin(&s->print, &w);
        tl_jw_object(&w);
        tl_jw_name(&w, TL_STR_LIT("batchJobId"));
        tl_jw_string(&w, tl_str(job_id));
        tl_jw_object_end(&w);
        int code = tl_cli_printed(tl_print_json_end(&s->print, &w, &err.error), &err.error);
        if (code) {
            return code;
        }
    }
    tl_print_flush(&s->print);
    return s->server.server ? wait_for_end(s, job_id) : 0;
}
