/* Activities without a workflow: lists, what operators change, and what a crash leaves. */
#include "test_activity_requests.h"

/* --- lists ------------------------------------------------------------------------------------- */

static void test_lists(void **state)
{
    struct fx *f = *state;
    TpWs__ListActivityExecutionsRequest l = TP_WS__LIST_ACTIVITY_EXECUTIONS_REQUEST__INIT;
    TpWs__CountActivityExecutionsRequest c = TP_WS__COUNT_ACTIVITY_EXECUTIONS_REQUEST__INIT;
    TpWs__CountWorkflowExecutionsRequest w = TP_WS__COUNT_WORKFLOW_EXECUTIONS_REQUEST__INIT;
    char *message;
    fx_start_workflow(f, "w-1");
    for (int i = 0; i < 5; i++) {
        char id[16];
        snprintf(id, sizeof id, "a-%d", i);
        start(f, id);
        f->now_ns += TL_NS_PER_S;
    }
    complete(f, fx_poll_activity(f)->task_token, "1"); /* a-0 */
    l.namespace_ = c.namespace_ = w.namespace_ = S("default");
    l.page_size = 2;
    size_t seen = 0;
    do {
        TpWs__ListActivityExecutionsResponse *page = fx_must(f, TL_M_ListActivityExecutions, &l);
        for (size_t i = 0; i < page->n_executions; i++) {
            char id[16];
            snprintf(id, sizeof id, "a-%zu", 4 - seen++);
            assert_string_equal(page->executions[i]->activity_id, id);
            assert_string_equal(page->executions[i]->activity_type->name, "charge");
            assert_string_equal(page->executions[i]->task_queue, "orders");
        }
        l.next_page_token = page->next_page_token;
    } while (l.next_page_token.len);
    assert_int_equal(seen, 5);
    assert_int_equal(count(f, "ExecutionStatus = 'Completed'"), 1);
    assert_int_equal(count(f, "ExecutionStatus = 'Running' AND ActivityType = 'charge'"), 4);
    assert_int_equal(count(f, "ActivityId IN ('a-1', 'a-3') OR ActivityId = 'a-0'"), 3);
    assert_int_equal(count(f, "ExecutionDuration >= '5s'"), 1);
    assert_int_equal(count(f, "TaskQueue = 'other'"), 0);
    c.query = S("GROUP BY ExecutionStatus");
    TpWs__CountActivityExecutionsResponse *groups = fx_must(f, TL_M_CountActivityExecutions, &c);
    assert_int_equal(groups->count, 5);
    assert_int_equal(groups->n_groups, 2);
    c.query = S("WorkflowId = 'x'");
    assert_int_equal(refused(f, TL_M_CountActivityExecutions, &c, &message, NULL), 3);
    c.query = S("ExecutionStatus = 'ContinuedAsNew'");
    assert_int_equal(refused(f, TL_M_CountActivityExecutions, &c, &message, NULL), 3);
    TpWs__CountWorkflowExecutionsResponse *workflows = fx_must(f, TL_M_CountWorkflowExecutions, &w);
    assert_int_equal(workflows->count, 1);
    w.query = S("ActivityId = 'a-1'");
    assert_int_equal(refused(f, TL_M_CountWorkflowExecutions, &w, &message, NULL), 3);
}

/* --- operators --------------------------------------------------------------------------------- */

static void pause_it(struct fx *f, const char *id, const char *request_id)
{
    TpWs__PauseActivityExecutionRequest r = TP_WS__PAUSE_ACTIVITY_EXECUTION_REQUEST__INIT;
    r.namespace_ = S("default");
    r.activity_id = S(id);
    r.request_id = S(request_id);
    fx_must(f, TL_M_PauseActivityExecution, &r);
}

static TpWs__UnpauseActivityExecutionRequest unpause_request(const char *id, const char *request_id)
{
    TpWs__UnpauseActivityExecutionRequest r = TP_WS__UNPAUSE_ACTIVITY_EXECUTION_REQUEST__INIT;
    r.namespace_ = S("default");
    r.activity_id = S(id);
    r.request_id = S(request_id);
    return r;
}

static void test_pause(void **state)
{
    struct fx *f = *state;
    char *message;
    start(f, "a-1");
    pause_it(f, "a-1", "p-1");
    assert_int_equal(describe(f, "a-1")->info->status, ACTIVITY_EXECUTION_STATUS_PAUSED);
    assert_int_equal(count(f, "ExecutionStatus = 'Paused'"), 1);
    assert_false(offered(f));
    fx_crash(f);
    assert_false(offered(f));
    assert_int_equal(count(f, "ExecutionStatus = 'Paused'"), 1);
    TpWs__UnpauseActivityExecutionRequest u = unpause_request("a-1", "u-1");
    fx_must(f, TL_M_UnpauseActivityExecution, &u);
    pause_it(f, "a-1", "p-1"); /* an old request that comes late */
    fx_must(f, TL_M_UnpauseActivityExecution, &u);
    assert_int_equal(count(f, "ExecutionStatus = 'Running'"), 1);
    u.request_id = S("u-2");
    assert_int_equal(refused(f, TL_M_UnpauseActivityExecution, &u, &message, NULL), 9);
    assert_string_equal(message, "activity is in non-unpausable state Running");
    TpWs__PollActivityTaskQueueResponse *t = fx_poll_activity(f);
    pause_it(f, "a-1", "p-2");
    assert_int_equal(describe(f, "a-1")->info->run_state, PENDING_ACTIVITY_STATE_PAUSE_REQUESTED);
    assert_int_equal(describe(f, "a-1")->info->status, ACTIVITY_EXECUTION_STATUS_RUNNING);
    assert_true(beat(f, t->task_token)->activity_paused);
    fail_task(f, t->task_token, false);
    assert_int_equal(describe(f, "a-1")->info->run_state, PENDING_ACTIVITY_STATE_PAUSED);
    TpWs__RequestCancelActivityExecutionRequest c = cancel_request("a-1", "c-1");
    fx_must(f, TL_M_RequestCancelActivityExecution, &c);
    assert_int_equal(count(f, "ExecutionStatus = 'Canceled'"), 1);
    TpWs__PauseActivityExecutionRequest p = TP_WS__PAUSE_ACTIVITY_EXECUTION_REQUEST__INIT;
    p.namespace_ = S("default");
    p.activity_id = S("a-1");
    assert_int_equal(refused(f, TL_M_PauseActivityExecution, &p, &message, NULL), 9);
    assert_string_equal(message, "activity is in non-pausable state Canceled");
}

static void test_reset(void **state)
{
    struct fx *f = *state;
    char *message;
    TpWs__ResetActivityExecutionRequest r = TP_WS__RESET_ACTIVITY_EXECUTION_REQUEST__INIT;
    r.namespace_ = S("default");
    r.activity_id = S("a-1");
    start(f, "a-1");
    fail_task(f, fx_poll_activity(f)->task_token, false);
    r.request_id = S("r-1");
    fx_must(f, TL_M_ResetActivityExecution, &r);
    assert_int_equal(describe(f, "a-1")->info->attempt, 1);
    TpWs__PollActivityTaskQueueResponse *t =
        fx_poll_activity(f); /* at once, without its back-off */
    assert_int_equal(t->attempt, 1);
    beat(f, t->task_token);
    r.request_id = S("r-2");
    r.reset_heartbeat = true;
    fx_must(f, TL_M_ResetActivityExecution, &r);
    r.request_id = S("r-3");
    assert_int_equal(refused(f, TL_M_ResetActivityExecution, &r, &message, NULL), 9);
    assert_string_equal(message, "cannot reset an activity with a pending reset");
    assert_true(beat(f, t->task_token)->activity_reset);
    fail_task(f, t->task_token, true); /* which does not count now */
    t = fx_poll_activity(f);
    assert_int_equal(t->attempt, 1);
    assert_null(t->heartbeat_details);
    complete(f, t->task_token, "1");
    assert_int_equal(refused(f, TL_M_ResetActivityExecution, &r, &message, NULL), 9);
}

static void test_options(void **state)
{
    struct fx *f = *state;
    TpWs__UpdateActivityExecutionOptionsRequest r =
        TP_WS__UPDATE_ACTIVITY_EXECUTION_OPTIONS_REQUEST__INIT;
    Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
    TpActivity__ActivityOptions options = TP_ACTIVITY__ACTIVITY_OPTIONS__INIT;
    char *paths[] = {S("task_queue.name"), S("start_delay")};
    char *message;
    TpWs__StartActivityExecutionRequest *q = request(f, "a-1");
    q->start_delay = tl_pb_duration_ms(&f->arena, 60000);
    fx_must(f, TL_M_StartActivityExecution, q);
    r.namespace_ = S("default");
    r.activity_id = S("a-1");
    assert_int_equal(refused(f, TL_M_UpdateActivityExecutionOptions, &r, &message, NULL), 3);
    r.activity_options = &options;
    r.update_mask = &mask;
    mask.n_paths = 2;
    mask.paths = paths;
    options.task_queue = fx_queue(f, "others", false);
    options.start_delay = tl_pb_duration_ms(&f->arena, 2000);
    TpWs__UpdateActivityExecutionOptionsResponse *a =
        fx_must(f, TL_M_UpdateActivityExecutionOptions, &r);
    assert_string_equal(a->activity_options->task_queue->name, "others");
    assert_int_equal(a->activity_options->start_delay->seconds, 2);
    assert_int_equal(a->activity_options->start_to_close_timeout->seconds, 30);
    assert_int_equal(count(f, "TaskQueue = 'others'"), 1);
    fx_crash(f);
    assert_int_equal(count(f, "TaskQueue = 'others'"), 1);
    int64_t at_ns = f->now_ns;
    TpWs__PollActivityTaskQueueResponse *t =
        fx_must(f, TL_M_PollActivityTaskQueue, fx_poll_activity_request(f, "others"));
    assert_int_equal((f->now_ns - at_ns) / TL_NS_PER_S, 2);
    assert_int_equal(refused(f, TL_M_UpdateActivityExecutionOptions, &r, &message, NULL), 9);
    r = (TpWs__UpdateActivityExecutionOptionsRequest)
        TP_WS__UPDATE_ACTIVITY_EXECUTION_OPTIONS_REQUEST__INIT;
    r.namespace_ = S("default");
    r.activity_id = S("a-1");
    r.restore_original = true;
    a = fx_must(f, TL_M_UpdateActivityExecutionOptions, &r);
    assert_string_equal(a->activity_options->task_queue->name, "orders");
    complete(f, t->task_token, "1");
}

/* The newer methods for a workflow's activities, too. */
static void test_workflow_activities(void **state)
{
    struct fx *f = *state;
    TpWs__PauseActivityExecutionRequest p = TP_WS__PAUSE_ACTIVITY_EXECUTION_REQUEST__INIT;
    fx_start_workflow(f, "w-1");
    fx_complete(f, fx_poll(f)->task_token, fx_activity_command(f, "1", 2), NULL);
    p.namespace_ = S("default");
    p.workflow_id = S("w-1");
    p.activity_id = S("1");
    fx_must(f, TL_M_PauseActivityExecution, &p);
    assert_true(fx_describe(f, "w-1", "")->pending_activities[0]->paused);
    assert_false(offered(f));
    TpWs__UnpauseActivityExecutionRequest u = unpause_request("1", "");
    u.workflow_id = S("w-1");
    fx_must(f, TL_M_UnpauseActivityExecution, &u);
    assert_true(offered(f));
}

/* --- what survives ----------------------------------------------------------------------------- */

static void reopen(struct fx *f, int how)
{
    if (how == 2) {
        f->now_ns += 6 * TL_NS_PER_S; /* the rows are written */
    }
    fx_pump(f);
    fx_close(f, how != 1);
    fx_open(f);
}

/* how: a crash, a clean close, a crash behind a checkpoint. */
static void live_on(struct fx *f, int how)
{
    char id[16];
    snprintf(id, sizeof id, "a-%d", how);
    char *run_id = start(f, id)->run_id;
    reopen(f, how);
    TpWs__PollActivityTaskQueueResponse *t = fx_poll_activity(f);
    assert_string_equal(t->activity_run_id, run_id);
    beat(f, t->task_token);
    reopen(f, how);
    fail_task(f, t->task_token, false);
    reopen(f, how);
    TpActivity__ActivityExecutionInfo *i = describe(f, id)->info;
    assert_int_equal(i->attempt, 2);
    assert_string_equal(i->last_failure->message, "no card");
    assert_string_equal(i->run_id, run_id);
    t = fx_poll_activity(f);
    assert_int_equal(t->attempt, 2);
    assert_string_equal(first_text(f, t->heartbeat_details), "\"half\"");
    complete(f, t->task_token, "\"paid\"");
    reopen(f, how);
    assert_string_equal(first_text(f, outcome(f, id)->result), "\"paid\"");
    assert_int_equal(describe(f, id)->info->total_heartbeat_count, 1);
    TpWs__StartActivityExecutionRequest *r = request(f, id);
    char *message;
    r->id_reuse_policy = (TpEnums__ActivityIdReusePolicy)ACTIVITY_ID_REUSE_POLICY_REJECT_DUPLICATE;
    assert_int_equal(refused(f, TL_M_StartActivityExecution, r, &message, NULL), 6);
}

static void test_survival(void **state)
{
    struct fx *f = *state;
    for (int how = 0; how < 3; how++) {
        live_on(f, how);
    }
    TpWs__RequestCancelActivityExecutionRequest c = cancel_request("gone", "r-1");
    start(f, "gone");
    fx_must(f, TL_M_RequestCancelActivityExecution, &c);
    start_limited(f, "late", TIMEOUT_TYPE_SCHEDULE_TO_START, 0);
    reopen(f, 0);
    assert_string_equal(outcome(f, "gone")->failure->canceled_failure_info->identity, "boss");
    check_timed_out(f, "late", TIMEOUT_TYPE_SCHEDULE_TO_START);
    reopen(f, 0);
    check_timed_out(f, "late", TIMEOUT_TYPE_SCHEDULE_TO_START);
    assert_int_equal(count(f, "ExecutionStatus = 'TimedOut'"), 1);
    assert_int_equal(count(f, ""), 5);
}

static void test_retention(void **state)
{
    struct fx *f = *state;
    start(f, "a-1");
    complete(f, fx_poll_activity(f)->task_token, "1");
    start(f, "a-2");
    f->now_ns += 6 * TL_NS_PER_S;
    fx_pump(f);
    f->now_ns += INT64_C(40) * 86400 * TL_NS_PER_S;
    for (int i = 0; i < 4; i++) {
        fx_pump(f);
        f->now_ns += 61 * TL_NS_PER_S;
    }
    assert_int_equal(count(f, "ActivityId = 'a-1'"), 0);
    assert_int_equal(count(f, "ActivityId = 'a-2'"), 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fx_setup_file, fx_teardown)
    const struct CMUnitTest tests[] = {
        T(test_lists),
        T(test_pause),
        T(test_reset),
        T(test_options),
        T(test_workflow_activities),
        T(test_survival),
        T(test_retention),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
