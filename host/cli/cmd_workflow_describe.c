/* workflow describe: everything that a service tells of one run. */
#include <string.h>

#include "base/limits.h"
#include "cli/events.h"
#include "cli/input.h"
#include "tl_enums.h"

int tl_cmd_workflow_describe(struct tl_cli *cli);

/* A map from strings to payloads as a JSON object; "" when it is empty. */
static const char *map_text(struct tl_cli_session *s, size_t n, void *entries)
{
    struct tl_json_write_options options = {.payload_shorthand = s->print.shorthand};
    TpCommon__Memo__FieldsEntry **fields = entries;
    struct tl_buf text;
    struct tl_jw w;
    const char *out = "";
    tl_rc rc = TL_OK;
    if (n == 0) {
        return "";
    }
    tl_buf_init(&text, (size_t)tl_limit_request_bytes);
    tl_jw_init(&w, &text, 0, TL_JSON_DEPTH_CEILING);
    tl_jw_object(&w);
    for (size_t i = 0; rc == TL_OK && i < n; i++) {
        tl_jw_name(&w, tl_str(fields[i]->key));
        if (fields[i]->value) {
            rc = tl_json_write_value(fields[i]->value, &options, &w, NULL);
        } else {
            tl_jw_null(&w);
        }
    }
    tl_jw_object_end(&w);
    if (rc == TL_OK && tl_jw_finish(&w, NULL) == TL_OK) {
        out = tl_arena_cstr(&s->arena, tl_buf_str(&text));
    }
    tl_buf_deinit(&text);
    return out;
}

static const char *workflow_id(const TpCommon__WorkflowExecution *e)
{
    return e ? e->workflow_id : "";
}

static const char *run_id(const TpCommon__WorkflowExecution *e)
{
    return e ? e->run_id : "";
}

static void print_info(struct tl_cli_session *s, const TpWorkflow__WorkflowExecutionInfo *info)
{
    struct tl_arena *a = &s->arena;
    const struct tl_print *p = &s->print;
    const TpCommon__Memo *memo = info->memo;
    const TpCommon__SearchAttributes *sa = info->search_attributes;
    struct tl_print_row rows[] = {
        {"WorkflowId", workflow_id(info->execution), false},
        {"RunId", run_id(info->execution), false},
        {"Type", info->type ? info->type->name : "", false},
        {"Namespace", tl_client_namespace(s->client).p, false},
        {"TaskQueue", info->task_queue, false},
        {"AssignedBuildId", info->assigned_build_id, false},
        {"StartTime", tl_print_time(p, a, info->start_time), false},
        {"CloseTime", tl_print_time(p, a, info->close_time), true},
        {"ExecutionTime", tl_print_time(p, a, info->execution_time), true},
        {"Memo", memo ? map_text(s, memo->n_fields, memo->fields) : "", true},
        {"SearchAttributes", sa ? map_text(s, sa->n_indexed_fields, sa->indexed_fields) : "", true},
        {"StateTransitionCount", tl_print_number(a, info->state_transition_count), false},
        {"HistoryLength", tl_print_number(a, info->history_length), false},
        {"HistorySize", tl_print_number(a, info->history_size_bytes), false},
        {"ParentWorkflowId", workflow_id(info->parent_execution), true},
        {"ParentRunId", run_id(info->parent_execution), true},
        {"RootWorkflowId", workflow_id(info->root_execution), true},
        {"RootRunId", run_id(info->root_execution), true},
    };
    tl_print_line(&s->print, "Execution Info:");
    tl_print_card(&s->print, rows, sizeof rows / sizeof rows[0]);
}

static void print_extended(struct tl_cli_session *s,
                           const TpWorkflow__WorkflowExecutionExtendedInfo *x)
{
    struct tl_arena *a = &s->arena;
    const struct tl_print *p = &s->print;
    if (!x) {
        return;
    }
    struct tl_print_row rows[] = {
        {"CancelRequested", x->cancel_requested ? "true" : "false", false},
        {"ExecutionExpirationTime", tl_print_time(p, a, x->execution_expiration_time), true},
        {"RunExpirationTime", tl_print_time(p, a, x->run_expiration_time), true},
        {"LastResetTime", tl_print_time(p, a, x->last_reset_time), true},
        {"OriginalStartTime", tl_print_time(p, a, x->original_start_time), true},
    };
    tl_print_line(&s->print, "Extended Execution Info:");
    tl_print_card(&s->print, rows, sizeof rows / sizeof rows[0]);
    if (x->pause_info) {
        struct tl_print_row pause[] = {
            {"Identity", x->pause_info->identity, true},
            {"Reason", x->pause_info->reason, true},
            {"PausedTime", tl_print_time(p, a, x->pause_info->paused_time), true},
        };
        tl_print_line(&s->print, "Pause Info:");
        tl_print_card(&s->print, pause, sizeof pause / sizeof pause[0]);
    }
}

static void print_metadata(struct tl_cli_session *s, const TpWorkflow__WorkflowExecutionConfig *c)
{
    const TpSdk__UserMetadata *m = c ? c->user_metadata : NULL;
    if (!m || (!m->summary && !m->details)) {
        return;
    }
    struct tl_print_row rows[] = {
        {"StaticSummary", tl_print_compact(&s->print, &s->arena, m->summary), false},
        {"StaticDetails", tl_print_compact(&s->print, &s->arena, m->details), false},
    };
    tl_print_line(&s->print, "\nMetadata:");
    tl_print_card(&s->print, rows, 2);
}

static void print_activity(struct tl_cli_session *s, const TpWorkflow__PendingActivityInfo *i)
{
    struct tl_arena *a = &s->arena;
    const struct tl_print *p = &s->print;
    const TpCommon__Payloads *beat = i->heartbeat_details;
    struct tl_print_row rows[] = {
        {"ActivityId", i->activity_id, false},
        {"Type", i->activity_type ? i->activity_type->name : "", false},
        {"State", tl_print_enum(a, &tp_enums__pending_activity_state__descriptor, (int)i->state),
         false},
        {"Attempt", tl_print_number(a, i->attempt), false},
        {"MaximumAttempts", tl_print_number(a, i->maximum_attempts), false},
        {"ScheduledTime", tl_print_time(p, a, i->scheduled_time), false},
        {"LastStartedTime", tl_print_time(p, a, i->last_started_time), true},
        {"LastHeartbeatTime", tl_print_time(p, a, i->last_heartbeat_time), true},
        {"ExpirationTime", tl_print_time(p, a, i->expiration_time), true},
        {"LastFailure", tl_print_compact(p, a, i->last_failure), true},
        {"LastWorkerIdentity", i->last_worker_identity, true},
        {"LastHeartbeatDetails", beat ? tl_print_payloads_text(p, a, beat) : "", true},
    };
    tl_print_card(&s->print, rows, sizeof rows / sizeof rows[0]);
}

static void print_pending(struct tl_cli_session *s,
                          const TpWs__DescribeWorkflowExecutionResponse *d)
{
    tl_print_line(&s->print, "\nPending Activities: %zu", d->n_pending_activities);
    for (size_t i = 0; i < d->n_pending_activities; i++) {
        tl_print_line(&s->print, "%s", "");
        print_activity(s, d->pending_activities[i]);
    }
    if (d->n_pending_activities) {
        tl_print_line(&s->print, "%s", "");
    }
    tl_print_line(&s->print, "Pending Child Workflows: %zu", d->n_pending_children);
    for (size_t i = 0; i < d->n_pending_children; i++) {
        const TpWorkflow__PendingChildExecutionInfo *c = d->pending_children[i];
        struct tl_print_row rows[] = {
            {"WorkflowId", c->workflow_id, false},
            {"RunId", c->run_id, false},
            {"WorkflowTypeName", c->workflow_type_name, false},
            {"InitiatedId", tl_print_number(&s->arena, c->initiated_id), false},
            {"ParentClosePolicy",
             tl_print_enum(&s->arena, &tp_enums__parent_close_policy__descriptor,
                           (int)c->parent_close_policy),
             false},
        };
        tl_print_line(&s->print, "%s", "");
        tl_print_card(&s->print, rows, sizeof rows / sizeof rows[0]);
    }
    tl_print_line(&s->print, "Pending Nexus Operations: %zu", d->n_pending_nexus_operations);
}

static void print_reset_points(struct tl_cli_session *s, const TpWorkflow__ResetPoints *points)
{
    size_t n = points ? points->n_points : 0;
    tl_print_line(&s->print, "Auto Reset Points: %zu", n);
    for (size_t i = 0; i < n; i++) {
        const TpWorkflow__ResetPointInfo *r = points->points[i];
        struct tl_print_row rows[] = {
            {"BinaryChecksum", r->binary_checksum, false},
            {"CreateTime", tl_print_time(&s->print, &s->arena, r->create_time), false},
            {"RunId", r->run_id, false},
            {"EventId", tl_print_number(&s->arena, r->first_workflow_task_completed_id), false},
        };
        tl_print_card(&s->print, rows, sizeof rows / sizeof rows[0]);
    }
}

/* The response with the close event and the result as members of the same object. */
static tl_rc write_all(struct tl_cli_session *s, const TpWs__DescribeWorkflowExecutionResponse *d,
                       const TpHistory__HistoryEvent *close, struct tl_error *err)
{
    struct tl_json_write_options options = tl_print_json_options(&s->print);
    struct tl_buf text;
    struct tl_jreader r;
    struct tl_jtok t;
    struct tl_jw w;
    options.pretty = false;
    tl_buf_init(&text, (size_t)tl_limit_request_bytes);
    tl_rc rc = tl_json_write(d, &options, &text, err);
    tl_jreader_init(&r, tl_buf_str(&text), TL_JREAD_LONE_SURROGATES, TL_JSON_DEPTH_CEILING);
    tl_print_json_begin(&s->print, &w);
    tl_jw_object(&w);
    rc = rc == TL_OK ? tl_jtok_next(&r, &t, err) : rc;
    while (rc == TL_OK && (rc = tl_jtok_next(&r, &t, err)) == TL_OK && t.kind == TL_J_NAME) {
        tl_jw_name(&w, t.text);
        rc = tl_jtok_next(&r, &t, err);
        rc = rc == TL_OK ? tl_jw_copy(&w, &r, &t, err) : rc;
    }
    rc = rc == TL_OK ? tl_cli_write_close(&s->print, close, &w, err) : rc;
    tl_jw_object_end(&w);
    rc = rc == TL_OK ? tl_print_json_end(&s->print, &w, err) : rc;
    tl_jreader_deinit(&r);
    tl_buf_deinit(&text);
    return rc;
}

/* The close event of a run that has ended; NULL while it is running. Returns 0 or an exit code. */
static int read_close(struct tl_cli_session *s, const TpWorkflow__WorkflowExecutionInfo *info,
                      const TpHistory__HistoryEvent **close)
{
    struct tl_client_error err;
    struct tl_client_result result;
    struct tl_client_result_query query = {.timeout_ns = tl_cli_time_left_ns(s)};
    *close = NULL;
    if ((int)info->status == WORKFLOW_EXECUTION_STATUS_RUNNING ||
        (int)info->status == WORKFLOW_EXECUTION_STATUS_PAUSED || !info->execution) {
        return 0;
    }
    query.workflow_id = tl_str(info->execution->workflow_id);
    query.run_id = tl_str(info->execution->run_id);
    if (tl_client_result(s->client, &query, &s->arena, &result, &err) != TL_OK) {
        return tl_cli_call_failed("failed getting close event", &err);
    }
    *close = result.event;
    return 0;
}

static void print_text(struct tl_cli_session *s, const TpWs__DescribeWorkflowExecutionResponse *d,
                       const TpHistory__HistoryEvent *close)
{
    const TpWorkflow__WorkflowExecutionInfo *info = d->workflow_execution_info;
    print_info(s, info);
    print_extended(s, d->workflow_extended_info);
    print_metadata(s, d->execution_config);
    if (!close) {
        print_pending(s, d);
        return;
    }
    int64_t started = tl_pb_timestamp_ns_or(info->start_time, 0);
    int64_t closed = tl_pb_timestamp_ns_or(info->close_time, started);
    tl_print_line(&s->print, "%s", "");
    tl_cli_print_results(&s->print, &s->arena, close, closed - started);
}

static int run_describe(struct tl_cli_session *s)
{
    TpWs__DescribeWorkflowExecutionRequest r = TP_WS__DESCRIBE_WORKFLOW_EXECUTION_REQUEST__INIT;
    TpWs__DescribeWorkflowExecutionResponse *d = NULL;
    TpCommon__WorkflowExecution execution = tl_cli_execution(s);
    const TpHistory__HistoryEvent *close;
    struct tl_client_error err;
    r.execution = &execution;
    if (tl_cli_call(s, TL_M_DescribeWorkflowExecution, &r, &d, &err) != TL_OK) {
        return tl_cli_call_failed("failed describing workflow", &err);
    }
    if (!d->workflow_execution_info) {
        return tl_cli_fail(1, "failed describing workflow: the service told nothing");
    }
    if (tl_cli_flag(s->cli, "raw")) {
        s->print.shorthand = false;
        s->print.mode = s->print.mode == TL_PRINT_TEXT ? TL_PRINT_JSON : s->print.mode;
        return tl_cli_printed(tl_print_message(&s->print, d, &err.error), &err.error);
    }
    if (tl_cli_flag(s->cli, "reset-points") && !tl_print_is_json(&s->print)) {
        print_reset_points(s, d->workflow_execution_info->auto_reset_points);
        return 0;
    }
    int code = read_close(s, d->workflow_execution_info, &close);
    if (code) {
        return code;
    }
    if (!tl_print_is_json(&s->print)) {
        print_text(s, d, close);
        return 0;
    }
    tl_rc rc =
        close ? write_all(s, d, close, &err.error) : tl_print_message(&s->print, d, &err.error);
    return tl_cli_printed(rc, &err.error);
}

int tl_cmd_workflow_describe(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_describe);
}
