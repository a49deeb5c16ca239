/* activity complete, fail: the end of an activity that left its worker open. */
#include <string.h>

#include "cli/input.h"
#include "proto/failure.h"
#include "proto/payload.h"

int tl_cmd_activity_complete(struct tl_cli *cli);
int tl_cmd_activity_fail(struct tl_cli *cli);

/* The JSON of an option as payloads; NULL when it was not given. Returns 0 or an exit code. */
static int read_json(struct tl_cli_session *s, const char *option, TpCommon__Payloads **out)
{
    const char *text = tl_cli_text(s->cli, option);
    *out = NULL;
    if (text && !tl_cli_is_json(tl_str(text))) {
        return tl_cli_fail(2, "--%s is not valid JSON", option);
    }
    if (text) {
        *out = tl_payloads_of(&s->arena, tl_payload_json(&s->arena, tl_str(text)));
    }
    return 0;
}

static int run_complete(struct tl_cli_session *s)
{
    TpWs__RespondActivityTaskCompletedByIdRequest r =
        TP_WS__RESPOND_ACTIVITY_TASK_COMPLETED_BY_ID_REQUEST__INIT;
    struct tl_client_error err;
    int code = read_json(s, "result", &r.result);
    if (code) {
        return code;
    }
    r.workflow_id = tl_cli_field(s, "workflow-id");
    r.run_id = tl_cli_field(s, "run-id");
    r.activity_id = tl_cli_field(s, "activity-id");
    if (tl_cli_call(s, TL_M_RespondActivityTaskCompletedById, &r, NULL, &err) != TL_OK) {
        return tl_cli_call_failed("unable to complete Activity", &err);
    }
    return 0;
}

int tl_cmd_activity_complete(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_complete);
}

static int run_fail(struct tl_cli_session *s)
{
    TpWs__RespondActivityTaskFailedByIdRequest r =
        TP_WS__RESPOND_ACTIVITY_TASK_FAILED_BY_ID_REQUEST__INIT;
    static char source[] = "CLI";
    struct tl_failure_application failure = {.message = tl_str(tl_cli_text(s->cli, "reason")),
                                             .non_retryable = true};
    struct tl_client_error err;
    int code = read_json(s, "detail", &failure.details);
    if (code) {
        return code;
    }
    r.failure = tl_failure_application(&s->arena, &failure);
    if (!r.failure) {
        return tl_cli_fail(1, "the failure is too large");
    }
    r.failure->source = source;
    r.workflow_id = tl_cli_field(s, "workflow-id");
    r.run_id = tl_cli_field(s, "run-id");
    r.activity_id = tl_cli_field(s, "activity-id");
    if (tl_cli_call(s, TL_M_RespondActivityTaskFailedById, &r, NULL, &err) != TL_OK) {
        return tl_cli_call_failed("unable to fail Activity", &err);
    }
    return 0;
}

int tl_cmd_activity_fail(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_fail);
}
