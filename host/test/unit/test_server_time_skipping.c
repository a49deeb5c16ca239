/* Single runs that skip time, through the service: what is refused, polls for a fast forward, chains,
 * what lives beside it, restarts. The machine's clock stands still wherever the test does not move it. */
#include "test_server_fixture.h"

#define MINUTE (60 * TL_NS_PER_S)
#define HOUR (60 * MINUTE)

static int setup(void **state)
{
    struct fx *f = tl_mem_alloc(sizeof *f);
    fx_init(f, true);
    f->o.run_time_skipping = 1;
    f->o.limits.run_min_interval_ms = 0;
    fx_open(f);
    *state = f;
    return 0;
}

static TpCommon__TimeSkippingConfig *config(struct fx *f, const char *id, int64_t ns)
{
    TpCommon__TimeSkippingConfig *c =
        TL_PB_NEW(&f->arena, TpCommon__TimeSkippingConfig, tp_common__time_skipping_config);
    c->enabled = true;
    if (id) {
        c->fast_forward_config =
            TL_PB_NEW(&f->arena, TpCommon__FastForwardConfig, tp_common__fast_forward_config);
        c->fast_forward_config->id = tl_pb_cstr(&f->arena, tl_str(id));
        c->fast_forward_config->duration = tl_pb_duration_ns(&f->arena, ns);
    }
    return c;
}

static void start(struct fx *f, const char *id, TpCommon__TimeSkippingConfig *c)
{
    TpWs__StartWorkflowExecutionRequest *req = fx_start_request(f, id);
    req->time_skipping_config = c;
    fx_must(f, TL_M_StartWorkflowExecution, req);
}

/* One workflow task with this command. */
static void task(struct fx *f, TpCommand__Command *c)
{
    fx_complete(f, fx_poll(f)->task_token, c, NULL);
}

static TpCommon__TimeSkippingInfo *info(struct fx *f, const char *id)
{
    return fx_describe(f, id, "")->workflow_extended_info->time_skipping_info;
}

/* How far the run's clock is ahead of the machine's. */
static int64_t ahead(struct fx *f, const char *id)
{
    return tl_pb_timestamp_ns_or(info(f, id)->current_time, 0) - f->now_ns;
}

static TpWs__PollWorkflowExecutionTimeSkippingRequest *poll_request(struct fx *f, const char *id,
                                                                    const char *ff)
{
    TpWs__PollWorkflowExecutionTimeSkippingRequest *r =
        TL_PB_NEW(&f->arena, TpWs__PollWorkflowExecutionTimeSkippingRequest,
                  tp_ws__poll_workflow_execution_time_skipping_request);
    r->namespace_ = S("default");
    r->workflow_execution = fx_execution(f, id, "");
    r->fast_forward_id = tl_pb_cstr(&f->arena, tl_str(ff));
    return r;
}

static void expect(TpWs__PollWorkflowExecutionTimeSkippingResponse *r, int result,
                   const char *reason)
{
    assert_non_null(r);
    assert_int_equal((int)r->fast_forward_polling_result, result);
    assert_non_null(strstr(r->failed_reason, reason));
    assert_int_equal(*r->failed_reason != 0, *reason != 0);
}

static void poll_now(struct fx *f, const char *id, const char *ff, int result, const char *reason)
{
    expect(fx_must(f, TL_M_PollWorkflowExecutionTimeSkipping, poll_request(f, id, ff)), result,
           reason);
}

static int change(struct fx *f, const char *id, TpCommon__TimeSkippingConfig *c, char **message)
{
    TpWs__UpdateWorkflowExecutionOptionsRequest r =
        TP_WS__UPDATE_WORKFLOW_EXECUTION_OPTIONS_REQUEST__INIT;
    TpWorkflow__WorkflowExecutionOptions o = TP_WORKFLOW__WORKFLOW_EXECUTION_OPTIONS__INIT;
    Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
    char *paths[] = {S("time_skipping_config")};
    int status;
    mask.n_paths = 1;
    mask.paths = paths;
    o.time_skipping_config = c;
    r.namespace_ = S("default");
    r.workflow_execution = fx_execution(f, id, "");
    r.workflow_execution_options = &o;
    r.update_mask = &mask;
    fx_try(f, TL_M_UpdateWorkflowExecutionOptions, &r, &status, message, NULL);
    return status;
}

/* --- what is refused -------------------------------------------------------------------------- */

static void expect_refusal(struct fx *f, TpCommon__TimeSkippingConfig *c, int wanted,
                           const char *words)
{
    TpWs__StartWorkflowExecutionRequest *req = fx_start_request(f, "refused");
    char *message;
    int status;
    req->time_skipping_config = c;
    assert_null(fx_try(f, TL_M_StartWorkflowExecution, req, &status, &message, NULL));
    assert_int_equal(status, wanted);
    assert_non_null(strstr(message, words));
    TpWs__SignalWithStartWorkflowExecutionRequest s =
        TP_WS__SIGNAL_WITH_START_WORKFLOW_EXECUTION_REQUEST__INIT;
    s.namespace_ = S("default");
    s.workflow_id = S("refused");
    s.workflow_type = req->workflow_type;
    s.task_queue = req->task_queue;
    s.signal_name = S("go");
    s.time_skipping_config = c;
    assert_null(fx_try(f, TL_M_SignalWithStartWorkflowExecution, &s, &status, &message, NULL));
    assert_int_equal(status, wanted);
    assert_int_equal(change(f, "o-1", c, &message), wanted);
    assert_non_null(strstr(message, words));
}

static void test_bad_input(void **state)
{
    struct fx *f = *state;
    TpCommon__TimeSkippingConfig *c;
    fx_start_workflow(f, "o-1");
    expect_refusal(f, config(f, "ff", 0), 3, "fast_forward duration must be positive");
    expect_refusal(f, config(f, "ff", -HOUR), 3, "fast_forward duration must be positive");
    expect_refusal(f, config(f, " ", HOUR), 3, "fast_forward_id must be set");
    c = config(f, "ff", HOUR);
    c->enabled = false;
    expect_refusal(f, c, 3, "cannot set fast_forward when enabled is false");
    assert_null(info(f, "o-1"));
    int status;
    fx_try(f, TL_M_PollWorkflowExecutionTimeSkipping, poll_request(f, "o-1", ""), &status, NULL,
           NULL);
    assert_int_equal(status, 3);
    fx_try(f, TL_M_PollWorkflowExecutionTimeSkipping, poll_request(f, "none", "ff"), &status, NULL,
           NULL);
    assert_int_equal(status, 5);
}

static void test_switched_off(void **state)
{
    struct fx *f = *state;
    int status;
    fx_close(f, false);
    f->o.run_time_skipping = 0;
    fx_open(f);
    fx_start_workflow(f, "o-1");
    expect_refusal(f, config(f, NULL, 0), 12, "not enabled for namespace");
    fx_try(f, TL_M_PollWorkflowExecutionTimeSkipping, poll_request(f, "o-1", "ff"), &status, NULL,
           NULL);
    assert_int_equal(status, 12);
}

/* --- the life of a run that skips -------------------------------------------------------------- */

static void test_a_month_and_a_restart(void **state)
{
    struct fx *f = *state;
    int64_t real = f->now_ns;
    start(f, "o-1", config(f, NULL, 0));
    assert_int_equal(info(f, "o-1")->effective_config->max_session_skip_count, 200);
    TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
    fx_complete(f, w->task_token, fx_timer_command(f, "1", 30 * 86400000LL), NULL);
    fx_close(f, true); /* the power goes as soon as the completion is answered */
    fx_open(f);
    w = fx_poll(f);
    assert_int_equal(f->now_ns, real);
    assert_int_equal(ahead(f, "o-1"), 720 * HOUR);
    assert_int_equal(tl_pb_timestamp_ns_or(w->started_time, 0), real + 720 * HOUR);
    fx_complete(f, w->task_token, fx_complete_command(f), NULL);
    fx_close(f, false); /* a checkpoint */
    fx_open(f);
    TpWorkflow__WorkflowExecutionInfo *i = fx_describe(f, "o-1", "")->workflow_execution_info;
    assert_int_equal(tl_pb_timestamp_ns_or(i->start_time, 0), real);
    assert_int_equal(tl_pb_timestamp_ns_or(i->close_time, 0), real + 720 * HOUR);
    assert_int_equal(ahead(f, "o-1"), 720 * HOUR);
}

static void test_others_wait(void **state)
{
    struct fx *f = *state;
    start(f, "skips", config(f, NULL, 0));
    task(f, fx_timer_command(f, "1", 3600000));
    fx_start_workflow(f, "waits");
    TpWs__PollWorkflowTaskQueueResponse *first = fx_poll(f), *second = fx_poll(f);
    bool swapped = strcmp(first->workflow_execution->workflow_id, "skips") != 0;
    fx_complete(f, (swapped ? second : first)->task_token, fx_complete_command(f), NULL);
    fx_complete(f, (swapped ? first : second)->task_token, fx_timer_command(f, "1", 3600000), NULL);
    struct fx_call c;
    fx_start(f, &c, TL_M_PollWorkflowTaskQueue, fx_poll_request(f, "orders", false));
    assert_false(fx_wait(&c, 50 * TL_NS_PER_S));
    assert_null(info(f, "waits"));
    tl_rpc_cancel(c.handle);
    fx_pump(f);
    fx_end(&c, NULL, NULL, NULL);
}

static void test_an_id_is_free_again_at_once(void **state)
{
    struct fx *f = *state;
    fx_close(f, false);
    f->o.workflow_id_reuse_ns = TL_NS_PER_S;
    fx_open(f);
    start(f, "o-1", config(f, NULL, 0));
    task(f, fx_timer_command(f, "1", 3600000));
    task(f, fx_complete_command(f));
    start(f, "o-1", config(f, NULL, 0)); /* an hour later, by the clock of the run */
    assert_int_equal(ahead(f, "o-1"), 0);
}

static void test_together_with_the_server(void **state)
{
    struct fx *f = *state;
    fx_close(f, false);
    f->o.time_skipping = true;
    fx_open(f);
    int64_t real = f->now_ns;
    start(f, "skips", config(f, NULL, 0));
    task(f, fx_timer_command(f, "1", 3600000));
    task(f, fx_complete_command(f));
    fx_start_workflow(f, "follows");
    task(f, fx_timer_command(f, "1", 7200000));
    TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
    assert_int_equal(f->now_ns, real);
    assert_int_equal(tl_server_now_ns(f->s), real + 2 * HOUR);
    assert_int_equal(tl_pb_timestamp_ns_or(w->started_time, 0), real + 2 * HOUR);
    fx_complete(f, w->task_token, fx_complete_command(f), NULL);
}

/* --- fast forwards ----------------------------------------------------------------------------- */

static void test_poll_hears_of_the_end(void **state)
{
    struct fx *f = *state;
    struct fx_call poll;
    start(f, "o-1", config(f, "ff", HOUR));
    TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
    fx_start(f, &poll, TL_M_PollWorkflowExecutionTimeSkipping, poll_request(f, "o-1", "ff"));
    fx_pump(f);
    assert_null(poll.res);
    fx_complete(f, w->task_token, fx_timer_command(f, "1", 2 * 3600000), NULL);
    assert_true(fx_wait(&poll, 0));
    TpWs__PollWorkflowExecutionTimeSkippingResponse *r = fx_end(&poll, NULL, NULL, NULL);
    expect(r, FAST_FORWARD_POLLING_RESULT_FAST_FORWARD_COMPLETED, "");
    assert_string_equal(r->fast_forward_info->fast_forward_id, "ff");
    assert_true(r->fast_forward_info->has_completed);
    assert_int_equal(ahead(f, "o-1"), HOUR);
    fx_close(f, true);
    fx_open(f);
    poll_now(f, "o-1", "ff", FAST_FORWARD_POLLING_RESULT_FAST_FORWARD_COMPLETED, "");
    poll_now(f, "o-1", "other", FAST_FORWARD_POLLING_RESULT_FAST_FORWARD_FAILED, "does not match");
}

static void test_poll_gives_up(void **state)
{
    struct fx *f = *state;
    struct fx_call poll;
    int64_t real = f->now_ns;
    start(f, "o-1", config(f, "ff", HOUR));
    TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
    fx_complete(f, w->task_token, fx_activity_command(f, "1", 0), NULL);
    fx_start(f, &poll, TL_M_PollWorkflowExecutionTimeSkipping, poll_request(f, "o-1", "ff"));
    assert_true(fx_wait(&poll, 30 * TL_NS_PER_S));
    assert_int_equal((f->now_ns - real) / TL_NS_PER_S, 20);
    expect(fx_end(&poll, NULL, NULL, NULL), FAST_FORWARD_POLLING_RESULT_POLL_TIMEOUT, "");
}

/* What a poll that waits is told when the options of its run change so. */
static void expect_after(struct fx *f, TpCommon__TimeSkippingConfig *c, const char *reason)
{
    struct fx_call poll;
    char *message;
    assert_int_equal(change(f, "o-1", config(f, "ff", HOUR), &message), 0);
    fx_start(f, &poll, TL_M_PollWorkflowExecutionTimeSkipping, poll_request(f, "o-1", "ff"));
    fx_pump(f);
    assert_null(poll.res);
    f->now_ns += TL_NS_PER_S;
    assert_int_equal(change(f, "o-1", c, &message), 0);
    assert_true(fx_wait(&poll, 0));
    expect(fx_end(&poll, NULL, NULL, NULL), FAST_FORWARD_POLLING_RESULT_FAST_FORWARD_FAILED,
           reason);
}

static void test_poll_hears_of_changes(void **state)
{
    struct fx *f = *state;
    struct fx_call poll;
    start(f, "o-1", config(f, "ff", HOUR));
    TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
    fx_complete(f, w->task_token, fx_activity_command(f, "1", 0), NULL);
    fx_poll_activity(f);
    expect_after(f, config(f, "later", HOUR), "does not match");
    expect_after(f, config(f, "ff", HOUR), "was reset");
    expect_after(f, NULL, "does not match");
    assert_int_equal(change(f, "o-1", config(f, "ff", HOUR), NULL), 0);
    fx_start(f, &poll, TL_M_PollWorkflowExecutionTimeSkipping, poll_request(f, "o-1", "ff"));
    fx_pump(f);
    assert_null(poll.res);
    TpWs__TerminateWorkflowExecutionRequest t = TP_WS__TERMINATE_WORKFLOW_EXECUTION_REQUEST__INIT;
    t.namespace_ = S("default");
    t.workflow_execution = fx_execution(f, "o-1", "");
    fx_must(f, TL_M_TerminateWorkflowExecution, &t);
    assert_true(fx_wait(&poll, 0));
    expect(fx_end(&poll, NULL, NULL, NULL), FAST_FORWARD_POLLING_RESULT_FAST_FORWARD_FAILED,
           "the execution ended");
}

static TpCommand__Command *continue_command(struct fx *f)
{
    TpCommand__Command *c = fx_command(f, COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION);
    c->attributes_case =
        TP_COMMAND__COMMAND__ATTRIBUTES_CONTINUE_AS_NEW_WORKFLOW_EXECUTION_COMMAND_ATTRIBUTES;
    c->continue_as_new_workflow_execution_command_attributes =
        TL_PB_NEW(&f->arena, TpCommand__ContinueAsNewWorkflowExecutionCommandAttributes,
                  tp_command__continue_as_new_workflow_execution_command_attributes);
    return c;
}

static void test_a_poll_follows_the_chain(void **state)
{
    struct fx *f = *state;
    struct fx_call poll;
    start(f, "o-1", config(f, "ff", 90 * MINUTE));
    TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
    TpWs__PollWorkflowExecutionTimeSkippingRequest *req = poll_request(f, "o-1", "ff");
    req->workflow_execution->run_id = w->workflow_execution->run_id;
    fx_start(f, &poll, TL_M_PollWorkflowExecutionTimeSkipping, req);
    fx_pump(f);
    fx_complete(f, w->task_token, fx_timer_command(f, "1", 3600000), NULL);
    task(f, continue_command(f));
    fx_pump(f);
    assert_null(poll.res);
    w = fx_poll(f);
    assert_int_equal(ahead(f, "o-1"), HOUR);
    fx_complete(f, w->task_token, fx_timer_command(f, "1", 3600000), NULL);
    assert_true(fx_wait(&poll, 0));
    expect(fx_end(&poll, NULL, NULL, NULL), FAST_FORWARD_POLLING_RESULT_FAST_FORWARD_COMPLETED, "");
    assert_int_equal(ahead(f, "o-1"), 90 * MINUTE);
}

static void test_a_reset_keeps_the_clock(void **state)
{
    struct fx *f = *state;
    TpWs__ResetWorkflowExecutionRequest r = TP_WS__RESET_WORKFLOW_EXECUTION_REQUEST__INIT;
    start(f, "o-1", config(f, NULL, 0));
    task(f, fx_timer_command(f, "1", 3600000));
    task(f, fx_timer_command(f, "2", 3600000));
    fx_poll(f);
    r.namespace_ = S("default");
    r.workflow_execution = fx_execution(f, "o-1", "");
    r.request_id = S("again");
    r.workflow_task_finish_event_id = 10; /* the second task's completion, two hours in */
    fx_must(f, TL_M_ResetWorkflowExecution, &r);
    assert_int_equal(ahead(f, "o-1"), HOUR);
    task(f, fx_timer_command(f, "2", 60000));
    fx_poll(f);
    assert_int_equal(ahead(f, "o-1"), HOUR + MINUTE);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, fx_teardown)
    const struct CMUnitTest tests[] = {
        T(test_bad_input),
        T(test_switched_off),
        T(test_a_month_and_a_restart),
        T(test_others_wait),
        T(test_an_id_is_free_again_at_once),
        T(test_together_with_the_server),
        T(test_poll_hears_of_the_end),
        T(test_poll_gives_up),
        T(test_poll_hears_of_changes),
        T(test_a_poll_follows_the_chain),
        T(test_a_reset_keeps_the_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
