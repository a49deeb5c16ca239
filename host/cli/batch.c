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

/* What the commands are about. */
struct kind {
    const char *id_name, *plural, *found;
    enum tl_method count;
};
static const struct kind workflows = {"workflow ID", "workflow(s)", "workflows",
                                      TL_M_CountWorkflowExecutions};
static const struct kind activities = {"activity ID", "activities without a workflow", "activities",
                                       TL_M_CountActivityExecutions};

static int check_single(struct tl_cli_session *s, const struct kind *kind, unsigned allowed)
{
    if (tl_cli_text(s->cli, "query")) {
        return tl_cli_fail(1, "cannot set query when %s is set", kind->id_name);
    }
    if (!(allowed & TL_CLI_TARGET_REASON) && tl_cli_text(s->cli, "reason")) {
        return tl_cli_fail(1, "cannot set reason when %s is set", kind->id_name);
    }
    if (!(allowed & TL_CLI_TARGET_YES) && tl_cli_flag(s->cli, "yes")) {
        return tl_cli_fail(1, "cannot set 'yes' when %s is set", kind->id_name);
    }
    if (tl_cli_text(s->cli, "rps")) {
        return tl_cli_fail(1, "cannot set rps when %s is set", kind->id_name);
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

static int count_of(struct tl_cli_session *s, const struct kind *kind, char *query, int64_t *out)
{
    TpWs__CountWorkflowExecutionsRequest workflow = TP_WS__COUNT_WORKFLOW_EXECUTIONS_REQUEST__INIT;
    TpWs__CountActivityExecutionsRequest activity = TP_WS__COUNT_ACTIVITY_EXECUTIONS_REQUEST__INIT;
    bool of_workflows = kind == &workflows;
    void *resp = NULL;
    struct tl_client_error err;
    workflow.query = activity.query = query;
    if (tl_cli_call(s, kind->count, of_workflows ? (void *)&workflow : (void *)&activity, &resp,
                    &err) != TL_OK) {
        return tl_cli_fail(1, "failed counting %s from query: %s", kind->found, err.error.message);
    }
    *out = of_workflows ? ((TpWs__CountWorkflowExecutionsResponse *)resp)->count
                        : ((TpWs__CountActivityExecutionsResponse *)resp)->count;
    return 0;
}

static int ask_with_count(struct tl_cli_session *s, const struct kind *kind, char *query)
{
    int64_t count = 0;
    int code = count_of(s, kind, query, &count);
    if (code) {
        return code;
    }
    const char *question =
        tl_arena_printf(&s->arena, "Start batch against approximately %lld %s? y/N",
                        (long long)count, kind->plural);
    return tl_cli_confirm(s, question ? question : "Start batch? y/N");
}

static int target_of(struct tl_cli_session *s, const struct kind *kind, unsigned allowed,
                     struct tl_cli_target *out)
{
    char id[37];
    char *query = tl_cli_field(s, "query");
    if (*out->execution.workflow_id) {
        return check_single(s, kind, allowed);
    }
    if (!*query) {
        return tl_cli_fail(1, "must set either %s or query", kind->id_name);
    }
    if (*out->execution.run_id) {
        return tl_cli_fail(1, "cannot set run ID when query is set");
    }
    out->batch = true;
    out->request = (TpWs__StartBatchOperationRequest)TP_WS__START_BATCH_OPERATION_REQUEST__INIT;
    int code = read_rate(s, &out->request.max_operations_per_second);
    code = code ? code : ask_with_count(s, kind, query);
    tl_uuid4(tl_client_world(s->client), id);
    out->request.job_id = tl_arena_cstr(&s->arena, tl_str(id));
    out->request.visibility_query = query;
    out->request.reason = tl_cli_reason(s);
    return code;
}

int tl_cli_target(struct tl_cli_session *s, unsigned allowed, struct tl_cli_target *out)
{
    *out = (struct tl_cli_target){.execution = tl_cli_execution(s)};
    return target_of(s, &workflows, allowed, out);
}

int tl_cli_target_activity(struct tl_cli_session *s, unsigned allowed, struct tl_cli_target *out)
{
    *out = (struct tl_cli_target){.execution = TP_COMMON__WORKFLOW_EXECUTION__INIT};
    out->execution.workflow_id = tl_cli_field(s, "activity-id");
    out->execution.run_id = tl_cli_field(s, "run-id");
    return target_of(s, &activities, allowed, out);
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
