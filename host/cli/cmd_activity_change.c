/* activity pause, unpause, reset, update-options: what operators do to an activity without a workflow, to
 * pending activities of one workflow, or by a batch operation to those of all that a query finds. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/batch.h"
#include "cli/start_options.h"
#include "proto/pb.h"

int tl_cmd_activity_pause(struct tl_cli *cli);
int tl_cmd_activity_unpause(struct tl_cli *cli);
int tl_cmd_activity_reset(struct tl_cli *cli);
int tl_cmd_activity_update_options(struct tl_cli *cli);

/* Which activities; exactly one of the three is set. */
struct which {
    char *id, *type;
    bool all;
};

/* Returns 0, or an exit code after the error was printed. */
static int read_which(struct tl_cli_session *s, bool batch, struct which *out)
{
    *out = (struct which){tl_cli_field(s, "activity-id"), tl_cli_field(s, "activity-type"),
                          tl_cli_flag(s->cli, "match-all")};
    int given = (*out->id != 0) + (*out->type != 0) + out->all;
    if (batch && *out->id) {
        return tl_cli_fail(1, "cannot set activity ID when query is set");
    }
    if (given == 0) {
        return tl_cli_fail(1, batch ? "either --activity-type or --match-all must be set"
                                    : "either --activity-id, --activity-type or --match-all must "
                                      "be set");
    }
    return given == 1 ? 0
                      : tl_cli_fail(1, "--activity-id, --activity-type and --match-all exclude "
                                       "each other");
}

static int read_target(struct tl_cli_session *s, struct tl_cli_target *target, struct which *which)
{
    bool batch = tl_cli_text(s->cli, "query") && !tl_cli_text(s->cli, "workflow-id");
    int code = read_which(s, batch, which);
    return code ? code : tl_cli_target(s, TL_CLI_TARGET_REASON, target);
}

/* An activity without a workflow: neither --workflow-id nor --query. */
static bool is_alone(struct tl_cli_session *s)
{
    return !tl_cli_text(s->cli, "workflow-id") && !tl_cli_text(s->cli, "query");
}

/* What is said of an activity without a workflow. Returns 0, or an exit code after the error was printed. */
static int check_alone(struct tl_cli_session *s, const char *const *others, size_t n)
{
    if (!tl_cli_text(s->cli, "activity-id")) {
        return tl_cli_fail(1, "--activity-id names the activity, of the workflow of --workflow-id "
                              "or without one");
    }
    for (size_t i = 0; i < n; i++) {
        if (tl_cli_given(s->cli, others[i])) {
            return tl_cli_fail(1, "--%s is for activities of workflows", others[i]);
        }
    }
    return 0;
}
#define CHECK_ALONE(s, ...)                                                                        \
    check_alone((s), (const char *const[]){__VA_ARGS__},                                           \
                sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

/* --- pause --------------------------------------------------------------------------------------- */

static int pause_alone(struct tl_cli_session *s)
{
    TpWs__PauseActivityExecutionRequest r = TP_WS__PAUSE_ACTIVITY_EXECUTION_REQUEST__INIT;
    struct tl_client_error err;
    char request_id[37];
    int code = CHECK_ALONE(s, "activity-type");
    tl_uuid4(tl_client_world(s->client), request_id);
    r.activity_id = tl_cli_field(s, "activity-id");
    r.run_id = tl_cli_field(s, "run-id");
    r.reason = tl_cli_field(s, "reason");
    r.request_id = request_id;
    if (code == 0 && tl_cli_call(s, TL_M_PauseActivityExecution, &r, NULL, &err) != TL_OK) {
        return tl_cli_call_failed("unable to pause Activity", &err);
    }
    return code;
}

static int run_pause(struct tl_cli_session *s)
{
    TpWs__PauseActivityRequest r = TP_WS__PAUSE_ACTIVITY_REQUEST__INIT;
    TpCommon__WorkflowExecution execution = tl_cli_execution(s);
    char *id = tl_cli_field(s, "activity-id"), *type = tl_cli_field(s, "activity-type");
    struct tl_client_error err;
    char request_id[37];
    if (!*execution.workflow_id) {
        return pause_alone(s);
    }
    if ((*id != 0) == (*type != 0)) {
        return tl_cli_fail(1, "either --activity-id or --activity-type must be set, not both");
    }
    tl_uuid4(tl_client_world(s->client), request_id);
    r.execution = &execution;
    r.reason = tl_cli_field(s, "reason");
    r.request_id = request_id;
    if (*id) {
        r.activity_case = TP_WS__PAUSE_ACTIVITY_REQUEST__ACTIVITY_ID;
        r.id = id;
    } else {
        r.activity_case = TP_WS__PAUSE_ACTIVITY_REQUEST__ACTIVITY_TYPE;
        r.type = type;
    }
    if (tl_cli_call(s, TL_M_PauseActivity, &r, NULL, &err) != TL_OK) {
        return tl_cli_call_failed("unable to pause Activity", &err);
    }
    return 0;
}

int tl_cmd_activity_pause(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_pause);
}

/* --- unpause ------------------------------------------------------------------------------------- */

static int unpause_all(struct tl_cli_session *s, struct tl_cli_target *target,
                       const struct which *which)
{
    TpBatch__BatchOperationUnpauseActivities op =
        TP_BATCH__BATCH_OPERATION_UNPAUSE_ACTIVITIES__INIT;
    op.identity = tl_cli_identity(s);
    op.activity_case = which->all ? TP_BATCH__BATCH_OPERATION_UNPAUSE_ACTIVITIES__ACTIVITY_MATCH_ALL
                                  : TP_BATCH__BATCH_OPERATION_UNPAUSE_ACTIVITIES__ACTIVITY_TYPE;
    if (which->all) {
        op.match_all = true;
    } else {
        op.type = which->type;
    }
    op.reset_attempts = tl_cli_flag(s->cli, "reset-attempts");
    op.reset_heartbeat = tl_cli_flag(s->cli, "reset-heartbeats");
    op.jitter = tl_cli_duration(s, "jitter");
    target->request.operation_case =
        TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_UNPAUSE_ACTIVITIES_OPERATION;
    target->request.unpause_activities_operation = &op;
    return tl_cli_batch_start(s, target);
}

static int unpause_alone(struct tl_cli_session *s)
{
    TpWs__UnpauseActivityExecutionRequest r = TP_WS__UNPAUSE_ACTIVITY_EXECUTION_REQUEST__INIT;
    struct tl_client_error err;
    char request_id[37];
    int code = CHECK_ALONE(s, "activity-type", "match-all", "reset-attempts", "reset-heartbeats",
                           "yes", "rps");
    tl_uuid4(tl_client_world(s->client), request_id);
    r.activity_id = tl_cli_field(s, "activity-id");
    r.run_id = tl_cli_field(s, "run-id");
    r.reason = tl_cli_field(s, "reason");
    r.request_id = request_id;
    r.jitter = tl_cli_duration(s, "jitter");
    if (code == 0 && tl_cli_call(s, TL_M_UnpauseActivityExecution, &r, NULL, &err) != TL_OK) {
        return tl_cli_call_failed("unable to unpause an Activity", &err);
    }
    return code;
}

static int run_unpause(struct tl_cli_session *s)
{
    TpWs__UnpauseActivityRequest r = TP_WS__UNPAUSE_ACTIVITY_REQUEST__INIT;
    struct tl_cli_target target;
    struct tl_client_error err;
    struct which which;
    if (is_alone(s)) {
        return unpause_alone(s);
    }
    int code = read_target(s, &target, &which);
    if (code || target.batch) {
        return code ? code : unpause_all(s, &target, &which);
    }
    r.execution = &target.execution;
    if (*which.id) {
        r.activity_case = TP_WS__UNPAUSE_ACTIVITY_REQUEST__ACTIVITY_ID;
        r.id = which.id;
    } else if (*which.type) {
        r.activity_case = TP_WS__UNPAUSE_ACTIVITY_REQUEST__ACTIVITY_TYPE;
        r.type = which.type;
    } else {
        r.activity_case = TP_WS__UNPAUSE_ACTIVITY_REQUEST__ACTIVITY_UNPAUSE_ALL;
        r.unpause_all = true;
    }
    r.reset_attempts = tl_cli_flag(s->cli, "reset-attempts");
    r.reset_heartbeat = tl_cli_flag(s->cli, "reset-heartbeats");
    r.jitter = tl_cli_duration(s, "jitter");
    if (tl_cli_call(s, TL_M_UnpauseActivity, &r, NULL, &err) != TL_OK) {
        return tl_cli_call_failed("unable to unpause an Activity", &err);
    }
    return 0;
}

int tl_cmd_activity_unpause(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_unpause);
}

/* --- reset --------------------------------------------------------------------------------------- */

static int reset_all(struct tl_cli_session *s, struct tl_cli_target *target,
                     const struct which *which)
{
    TpBatch__BatchOperationResetActivities op = TP_BATCH__BATCH_OPERATION_RESET_ACTIVITIES__INIT;
    op.identity = tl_cli_identity(s);
    op.activity_case = which->all ? TP_BATCH__BATCH_OPERATION_RESET_ACTIVITIES__ACTIVITY_MATCH_ALL
                                  : TP_BATCH__BATCH_OPERATION_RESET_ACTIVITIES__ACTIVITY_TYPE;
    if (which->all) {
        op.match_all = true;
    } else {
        op.type = which->type;
    }
    op.reset_attempts = true;
    op.reset_heartbeat = tl_cli_flag(s->cli, "reset-heartbeats");
    op.keep_paused = tl_cli_flag(s->cli, "keep-paused");
    op.restore_original_options = tl_cli_flag(s->cli, "restore-original-options");
    op.jitter = tl_cli_duration(s, "jitter");
    target->request.operation_case =
        TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_RESET_ACTIVITIES_OPERATION;
    target->request.reset_activities_operation = &op;
    return tl_cli_batch_start(s, target);
}

static int print_reset(struct tl_cli_session *s)
{
    const struct {
        bool keep_paused, reset_heartbeat;
    } said = {tl_cli_flag(s->cli, "keep-paused"), tl_cli_flag(s->cli, "reset-heartbeats")},
      *r = &said;
    const struct tl_print_row rows[] = {
        {"KeepPaused", r->keep_paused ? "true" : "false", false},
        {"ResetHeartbeats", r->reset_heartbeat ? "true" : "false", false},
        {"ServerResponse", "true", false},
    };
    struct tl_error err;
    struct tl_jw w;
    if (!tl_print_is_json(&s->print)) {
        tl_print_card(&s->print, rows, sizeof rows / sizeof rows[0]);
        return 0;
    }
    tl_print_json_begin(&s->print, &w);
    tl_jw_object(&w);
    tl_jw_name(&w, TL_STR_LIT("keepPaused"));
    tl_jw_bool(&w, r->keep_paused);
    tl_jw_name(&w, TL_STR_LIT("resetHeartbeats"));
    tl_jw_bool(&w, r->reset_heartbeat);
    tl_jw_object_end(&w);
    return tl_cli_printed(tl_print_json_end(&s->print, &w, &err), &err);
}

static int reset_alone(struct tl_cli_session *s)
{
    TpWs__ResetActivityExecutionRequest r = TP_WS__RESET_ACTIVITY_EXECUTION_REQUEST__INIT;
    struct tl_client_error err;
    char request_id[37];
    int code = CHECK_ALONE(s, "activity-type", "match-all", "reason", "yes", "rps");
    tl_uuid4(tl_client_world(s->client), request_id);
    r.activity_id = tl_cli_field(s, "activity-id");
    r.run_id = tl_cli_field(s, "run-id");
    r.request_id = request_id;
    r.reset_heartbeat = tl_cli_flag(s->cli, "reset-heartbeats");
    r.keep_paused = tl_cli_flag(s->cli, "keep-paused");
    r.restore_original_options = tl_cli_flag(s->cli, "restore-original-options");
    r.jitter = tl_cli_duration(s, "jitter");
    if (code == 0 && tl_cli_call(s, TL_M_ResetActivityExecution, &r, NULL, &err) != TL_OK) {
        return tl_cli_call_failed("unable to reset an Activity", &err);
    }
    return code ? code : print_reset(s);
}

static int run_reset(struct tl_cli_session *s)
{
    TpWs__ResetActivityRequest r = TP_WS__RESET_ACTIVITY_REQUEST__INIT;
    struct tl_cli_target target;
    struct tl_client_error err;
    struct which which;
    if (is_alone(s)) {
        return reset_alone(s);
    }
    int code = read_target(s, &target, &which);
    if (code || target.batch) {
        return code ? code : reset_all(s, &target, &which);
    }
    r.execution = &target.execution;
    if (*which.id) {
        r.activity_case = TP_WS__RESET_ACTIVITY_REQUEST__ACTIVITY_ID;
        r.id = which.id;
    } else if (*which.type) {
        r.activity_case = TP_WS__RESET_ACTIVITY_REQUEST__ACTIVITY_TYPE;
        r.type = which.type;
    } else {
        r.activity_case = TP_WS__RESET_ACTIVITY_REQUEST__ACTIVITY_MATCH_ALL;
        r.match_all = true;
    }
    r.reset_heartbeat = tl_cli_flag(s->cli, "reset-heartbeats");
    r.keep_paused = tl_cli_flag(s->cli, "keep-paused");
    r.restore_original_options = tl_cli_flag(s->cli, "restore-original-options");
    r.jitter = tl_cli_duration(s, "jitter");
    if (tl_cli_call(s, TL_M_ResetActivity, &r, NULL, &err) != TL_OK) {
        return tl_cli_call_failed("unable to reset an Activity", &err);
    }
    return print_reset(s);
}

int tl_cmd_activity_reset(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_reset);
}

/* --- update-options ------------------------------------------------------------------------------ */

/* What the command line changes, as the mask and the options of the request. */
struct change {
    TpActivity__ActivityOptions options;
    TpTq__TaskQueue queue;
    TpCommon__RetryPolicy retry;
    Google__Protobuf__FieldMask mask;
    char *paths[10];
    bool restore;
};

static void mask_add(struct change *c, const char *path)
{
    c->paths[c->mask.n_paths++] = (char *)(uintptr_t)path;
}

static void take_duration(struct tl_cli_session *s, struct change *c, const char *option,
                          const char *path, Google__Protobuf__Duration **out)
{
    *out = tl_cli_duration(s, option);
    if (*out) {
        mask_add(c, path);
    }
}

static int take_coefficient(struct tl_cli_session *s, struct change *c)
{
    const char *text = tl_cli_text(s->cli, "retry-backoff-coefficient");
    char *end = NULL;
    if (!text) {
        return 0;
    }
    c->retry.backoff_coefficient = strtod(text, &end);
    if (end == text || *end || !isfinite(c->retry.backoff_coefficient)) {
        return tl_cli_fail(2, "--retry-backoff-coefficient wants a number, not \"%s\"", text);
    }
    mask_add(c, "retry_policy.backoff_coefficient");
    return 0;
}

static int read_change(struct tl_cli_session *s, struct change *c)
{
    *c = (struct change){.options = TP_ACTIVITY__ACTIVITY_OPTIONS__INIT,
                         .queue = TP_TQ__TASK_QUEUE__INIT,
                         .retry = TP_COMMON__RETRY_POLICY__INIT,
                         .mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT};
    c->options.retry_policy = &c->retry;
    c->mask.paths = c->paths;
    c->restore = tl_cli_flag(s->cli, "restore-original-options");
    if (tl_cli_given(s->cli, "task-queue")) {
        c->queue.name = tl_cli_field(s, "task-queue");
        c->options.task_queue = &c->queue;
        mask_add(c, "task_queue.name");
    }
    take_duration(s, c, "schedule-to-close-timeout", "schedule_to_close_timeout",
                  &c->options.schedule_to_close_timeout);
    take_duration(s, c, "schedule-to-start-timeout", "schedule_to_start_timeout",
                  &c->options.schedule_to_start_timeout);
    take_duration(s, c, "start-to-close-timeout", "start_to_close_timeout",
                  &c->options.start_to_close_timeout);
    take_duration(s, c, "heartbeat-timeout", "heartbeat_timeout", &c->options.heartbeat_timeout);
    take_duration(s, c, "start-delay", "start_delay", &c->options.start_delay);
    take_duration(s, c, "retry-initial-interval", "retry_policy.initial_interval",
                  &c->retry.initial_interval);
    take_duration(s, c, "retry-maximum-interval", "retry_policy.maximum_interval",
                  &c->retry.maximum_interval);
    if (tl_cli_given(s->cli, "retry-maximum-attempts")) {
        c->retry.maximum_attempts = (int32_t)tl_cli_integer(s->cli, "retry-maximum-attempts");
        mask_add(c, "retry_policy.maximum_attempts");
    }
    int code = take_coefficient(s, c);
    if (code == 0 && c->restore && c->mask.n_paths) {
        code = tl_cli_fail(1, "--restore-original-options excludes new options");
    } else if (code == 0 && !c->restore && !c->mask.n_paths) {
        code = tl_cli_fail(1, "give at least one option to change, or --restore-original-options");
    }
    return code;
}

static int change_all(struct tl_cli_session *s, struct tl_cli_target *target,
                      const struct which *which, struct change *c)
{
    TpBatch__BatchOperationUpdateActivityOptions op =
        TP_BATCH__BATCH_OPERATION_UPDATE_ACTIVITY_OPTIONS__INIT;
    op.identity = tl_cli_identity(s);
    op.activity_case = which->all
                           ? TP_BATCH__BATCH_OPERATION_UPDATE_ACTIVITY_OPTIONS__ACTIVITY_MATCH_ALL
                           : TP_BATCH__BATCH_OPERATION_UPDATE_ACTIVITY_OPTIONS__ACTIVITY_TYPE;
    if (which->all) {
        op.match_all = true;
    } else {
        op.type = which->type;
    }
    op.restore_original = c->restore;
    op.activity_options = c->restore ? NULL : &c->options;
    op.update_mask = c->restore ? NULL : &c->mask;
    target->request.operation_case =
        TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_UPDATE_ACTIVITY_OPTIONS_OPERATION;
    target->request.update_activity_options_operation = &op;
    return tl_cli_batch_start(s, target);
}

/* An option as it stands after the change: a span in nanoseconds, a number or a text. */
struct option_row {
    const char *name, *text;
    const Google__Protobuf__Duration *span;
    double number;
    bool is_span;
};

static int print_options_json(struct tl_cli_session *s, const struct option_row *rows, size_t n)
{
    struct tl_error err;
    struct tl_jw w;
    tl_print_json_begin(&s->print, &w);
    tl_jw_object(&w);
    for (size_t i = 0; i < n; i++) {
        tl_jw_name(&w, tl_str(rows[i].name));
        if (rows[i].text) {
            tl_jw_string(&w, tl_str(rows[i].text));
        } else if (rows[i].is_span) {
            tl_jw_int(&w, tl_pb_duration_ns_or(rows[i].span, 0));
        } else {
            tl_jw_double(&w, rows[i].number);
        }
    }
    tl_jw_object_end(&w);
    return tl_cli_printed(tl_print_json_end(&s->print, &w, &err), &err);
}

static int print_options(struct tl_cli_session *s, const TpActivity__ActivityOptions *o)
{
    const TpCommon__RetryPolicy none = TP_COMMON__RETRY_POLICY__INIT;
    const TpCommon__RetryPolicy *p = o && o->retry_policy ? o->retry_policy : &none;
    if (!o) { /* the activity has ended meanwhile */
        return 0;
    }
    const struct option_row rows[] = {
        {"TaskQueue", o->task_queue ? o->task_queue->name : "", NULL, 0, false},
        {"ScheduleToCloseTimeout", NULL, o->schedule_to_close_timeout, 0, true},
        {"ScheduleToStartTimeout", NULL, o->schedule_to_start_timeout, 0, true},
        {"StartToCloseTimeout", NULL, o->start_to_close_timeout, 0, true},
        {"HeartbeatTimeout", NULL, o->heartbeat_timeout, 0, true},
        {"InitialInterval", NULL, p->initial_interval, 0, true},
        {"BackoffCoefficient", NULL, NULL, p->backoff_coefficient, false},
        {"MaximumInterval", NULL, p->maximum_interval, 0, true},
        {"MaximumAttempts", NULL, NULL, p->maximum_attempts, false},
    };
    enum { ROWS = sizeof rows / sizeof rows[0] };
    struct tl_print_row card[ROWS];
    if (tl_print_is_json(&s->print)) {
        return print_options_json(s, rows, ROWS);
    }
    for (size_t i = 0; i < ROWS; i++) {
        const char *text = rows[i].text;
        if (rows[i].is_span) {
            text = tl_print_duration(&s->arena, tl_pb_duration_ns_or(rows[i].span, 0));
        } else if (!text) {
            text = tl_arena_printf(&s->arena, "%g", rows[i].number);
        }
        card[i] = (struct tl_print_row){rows[i].name, text, false};
    }
    tl_print_card(&s->print, card, ROWS);
    return 0;
}

static int change_alone(struct tl_cli_session *s, struct change *c)
{
    TpWs__UpdateActivityExecutionOptionsRequest r =
        TP_WS__UPDATE_ACTIVITY_EXECUTION_OPTIONS_REQUEST__INIT;
    TpWs__UpdateActivityExecutionOptionsResponse *resp = NULL;
    struct tl_client_error err;
    char request_id[37];
    int code = CHECK_ALONE(s, "activity-type", "match-all", "reason", "yes", "rps");
    if (code) {
        return code;
    }
    tl_uuid4(tl_client_world(s->client), request_id);
    r.activity_id = tl_cli_field(s, "activity-id");
    r.run_id = tl_cli_field(s, "run-id");
    r.request_id = request_id;
    r.restore_original = c->restore;
    r.activity_options = c->restore ? NULL : &c->options;
    r.update_mask = c->restore ? NULL : &c->mask;
    if (tl_cli_call(s, TL_M_UpdateActivityExecutionOptions, &r, &resp, &err) != TL_OK) {
        return tl_cli_call_failed("unable to update Activity options", &err);
    }
    return print_options(s, resp->activity_options);
}

static int run_update_options(struct tl_cli_session *s)
{
    TpWs__UpdateActivityOptionsRequest r = TP_WS__UPDATE_ACTIVITY_OPTIONS_REQUEST__INIT;
    TpWs__UpdateActivityOptionsResponse *resp = NULL;
    struct tl_cli_target target;
    struct tl_client_error err;
    struct which which;
    struct change c;
    int code = read_change(s, &c);
    if (code == 0 && is_alone(s)) {
        return change_alone(s, &c);
    }
    code = code ? code : read_target(s, &target, &which);
    if (code || target.batch) {
        return code ? code : change_all(s, &target, &which, &c);
    }
    r.execution = &target.execution;
    if (*which.id) {
        r.activity_case = TP_WS__UPDATE_ACTIVITY_OPTIONS_REQUEST__ACTIVITY_ID;
        r.id = which.id;
    } else if (*which.type) {
        r.activity_case = TP_WS__UPDATE_ACTIVITY_OPTIONS_REQUEST__ACTIVITY_TYPE;
        r.type = which.type;
    } else {
        r.activity_case = TP_WS__UPDATE_ACTIVITY_OPTIONS_REQUEST__ACTIVITY_MATCH_ALL;
        r.match_all = true;
    }
    r.restore_original = c.restore;
    r.activity_options = c.restore ? NULL : &c.options;
    r.update_mask = c.restore ? NULL : &c.mask;
    if (tl_cli_call(s, TL_M_UpdateActivityOptions, &r, &resp, &err) != TL_OK) {
        return tl_cli_call_failed("unable to update Activity options", &err);
    }
    return print_options(s, resp->activity_options);
}

int tl_cmd_activity_update_options(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_update_options);
}
