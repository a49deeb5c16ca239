/* Reset: what the new run keeps, what it does again, what is refused, and that it survives a crash. */
#include "test_server_fixture.h"

static TpWs__ResetWorkflowExecutionRequest *request(struct fx *f, const char *id, int64_t finish)
{
    TpWs__ResetWorkflowExecutionRequest *r = TL_PB_NEW(
        &f->arena, TpWs__ResetWorkflowExecutionRequest, tp_ws__reset_workflow_execution_request);
    char request_id[37];
    tl_uuid4(&f->world, request_id);
    r->namespace_ = S("default");
    r->workflow_execution = fx_execution(f, id, "");
    r->workflow_task_finish_event_id = finish;
    r->reason = S("again");
    r->request_id = tl_pb_cstr(&f->arena, tl_str(request_id));
    return r;
}

static char *reset(struct fx *f, const char *id, int64_t finish)
{
    TpWs__ResetWorkflowExecutionResponse *a =
        fx_must(f, TL_M_ResetWorkflowExecution, request(f, id, finish));
    return a->run_id;
}

/* Two tasks: the first schedules an activity and a timer, the second answers its result. */
static char *two_tasks(struct fx *f, const char *id)
{
    char *run = fx_start_workflow(f, id);
    fx_complete(f, fx_poll(f)->task_token, fx_activity_command(f, "1", 3),
                fx_timer_command(f, "t", 60000));
    fx_complete_activity(f, fx_poll_activity(f)->task_token);
    fx_complete(f, fx_poll(f)->task_token, NULL, NULL);
    return run;
}

static TpHistory__HistoryEvent *event(struct fx *f, const char *id, const char *run, size_t index)
{
    TpWs__GetWorkflowExecutionHistoryRequest *r = fx_history_request(f, id, run);
    r->maximum_page_size = 1000;
    TpWs__GetWorkflowExecutionHistoryResponse *h = fx_must(f, TL_M_GetWorkflowExecutionHistory, r);
    assert_true(index >= 1 && index <= h->history->n_events);
    return h->history->events[index - 1];
}

/* 1 started 2 scheduled 3 started 4 completed 5 activity 6 timer 7 act. started 8 act. completed
 * 9 scheduled 10 started 11 completed */
static void test_keeps_and_does_again(void **state)
{
    struct fx *f = *state;
    char *base = two_tasks(f, "w");
    assert_string_equal(fx_history(f, "w", "", 0), "1 5 6 7 10 17 11 12 5 6 7");
    f->now_ns += 5 * TL_NS_PER_S;
    char *run = reset(f, "w", 4);
    /* The base is terminated; the new run has its beginning, byte for byte, and a failed task. */
    assert_string_equal(fx_history(f, "w", base, 0), "1 5 6 7 10 17 11 12 5 6 7 27");
    assert_string_equal(
        event(f, "w", base, 12)->workflow_execution_terminated_event_attributes->reason, "again");
    assert_string_equal(fx_history(f, "w", run, 0), "1 5 6 9 5");
    TpHistory__HistoryEvent *failed = event(f, "w", run, 4);
    TpHistory__WorkflowTaskFailedEventAttributes *a = failed->workflow_task_failed_event_attributes;
    assert_string_equal(a->failure->source, ""); /* as the real server's */
    assert_int_equal(a->cause, WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW);
    assert_string_equal(a->base_run_id, base);
    assert_string_equal(a->new_run_id, run);
    assert_string_equal(a->failure->message, "again");
    assert_int_equal(event(f, "w", run, 5)->workflow_task_scheduled_event_attributes->attempt, 1);
    assert_string_equal(fx_describe(f, "w", "")->workflow_execution_info->execution->run_id, run);
    /* It goes on, from the whole history. */
    TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
    assert_string_equal(w->workflow_execution->run_id, run);
    assert_int_equal(w->history->n_events, 6);
    fx_complete(f, w->task_token, fx_complete_command(f), NULL);
    assert_string_equal(fx_history(f, "w", run, 0), "1 5 6 9 5 6 7 2");
}

/* Behind the first task: the activity that was not done is given out again, the timer runs on. */
/* The new run tells when it was made, and is a root of its own; other runs tell of no reset. */
static void test_is_described(void **state)
{
    struct fx *f = *state;
    two_tasks(f, "w");
    TpWs__DescribeWorkflowExecutionRequest r = TP_WS__DESCRIBE_WORKFLOW_EXECUTION_REQUEST__INIT;
    r.namespace_ = S("default");
    r.execution = fx_execution(f, "w", "");
    TpWs__DescribeWorkflowExecutionResponse *d = fx_must(f, TL_M_DescribeWorkflowExecution, &r);
    assert_null(d->workflow_extended_info->last_reset_time);
    f->now_ns += 5 * TL_NS_PER_S;
    int64_t at_ns = f->now_ns;
    char *run = reset(f, "w", 4);
    f->now_ns += 5 * TL_NS_PER_S;
    for (int i = 0; i < 2; i++) {
        d = fx_must(f, TL_M_DescribeWorkflowExecution, &r);
        assert_string_equal(d->workflow_execution_info->root_execution->run_id, run);
        assert_int_equal(tl_pb_timestamp_ns_or(d->workflow_extended_info->last_reset_time, 0),
                         at_ns);
        fx_crash(f);
        fx_pump(f);
    }
}

static void test_pending_work(void **state)
{
    struct fx *f = *state;
    fx_start_workflow(f, "w");
    fx_complete(f, fx_poll(f)->task_token, fx_activity_command(f, "1", 3),
                fx_timer_command(f, "t", 60000));
    fx_signal(f, "w", "wake");
    TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f); /* started, not completed */
    f->now_ns += 5 * TL_NS_PER_S;
    char *run = reset(f, "w", 10); /* behind 9, its Started */
    assert_string_equal(fx_history(f, "w", run, 0), "1 5 6 7 10 17 26 5 6 9 5");
    int status;
    char *message;
    assert_null(fx_try(f, TL_M_RespondWorkflowTaskCompleted,
                       fx_completion(f, w->task_token, fx_complete_command(f), NULL, NULL), &status,
                       &message, NULL));
    assert_int_equal(status, 5);
    /* in memory and after a crash */
    fx_crash(f);
    assert_string_equal(fx_history(f, "w", run, 0), "1 5 6 7 10 17 26 5 6 9 5");
    TpWs__PollActivityTaskQueueResponse *act = fx_poll_activity(f);
    assert_string_equal(act->workflow_execution->run_id, run);
    assert_int_equal(act->attempt, 1);
    fx_complete(f, fx_poll(f)->task_token, NULL, NULL);
    fx_complete_activity(f, act->task_token);
    fx_complete(f, fx_poll(f)->task_token, NULL, NULL);
    f->now_ns += 56 * TL_NS_PER_S; /* a minute after the timer started, not after the reset */
    fx_pump(f);
    assert_string_equal(fx_history(f, "w", run, 0),
                        "1 5 6 7 10 17 26 5 6 9 5 6 7 11 12 5 6 7 18 5");
}

static TpWorkflow__PostResetOperation *options_operation(struct fx *f, const char *path,
                                                         const char *build)
{
    TpWorkflow__PostResetOperation *o =
        TL_PB_NEW(&f->arena, TpWorkflow__PostResetOperation, tp_workflow__post_reset_operation);
    TpWorkflow__PostResetOperation__UpdateWorkflowOptions *u =
        TL_PB_NEW(&f->arena, TpWorkflow__PostResetOperation__UpdateWorkflowOptions,
                  tp_workflow__post_reset_operation__update_workflow_options);
    TpWorkflow__WorkflowExecutionOptions *x = TL_PB_NEW(
        &f->arena, TpWorkflow__WorkflowExecutionOptions, tp_workflow__workflow_execution_options);
    struct tl_pb_list paths = {0};
    o->variant_case = TP_WORKFLOW__POST_RESET_OPERATION__VARIANT_UPDATE_WORKFLOW_OPTIONS;
    o->update_workflow_options = u;
    u->workflow_execution_options = x;
    u->update_mask =
        TL_PB_NEW(&f->arena, Google__Protobuf__FieldMask, google__protobuf__field_mask);
    tl_pb_push(&f->arena, &paths, tl_pb_cstr(&f->arena, tl_str(path)));
    u->update_mask->n_paths = paths.n;
    u->update_mask->paths = paths.items;
    if (build) {
        x->versioning_override =
            TL_PB_NEW(&f->arena, TpWorkflow__VersioningOverride, tp_workflow__versioning_override);
        x->versioning_override->behavior = (TpEnums__VersioningBehavior)VERSIONING_BEHAVIOR_PINNED;
        x->versioning_override->pinned_version = tl_pb_cstr(&f->arena, tl_str(build));
    }
    return o;
}

static TpWs__ResetWorkflowExecutionRequest *with_operation(struct fx *f, const char *id,
                                                           TpWorkflow__PostResetOperation *o)
{
    TpWs__ResetWorkflowExecutionRequest *r = request(f, id, 4);
    struct tl_pb_list list = {0};
    tl_pb_push(&f->arena, &list, o);
    r->post_reset_operations = list.items;
    r->n_post_reset_operations = list.n;
    return r;
}

static void test_changes_options_at_last(void **state)
{
    struct fx *f = *state;
    two_tasks(f, "w");
    fx_signal(f, "w", "wake");
    TpWs__ResetWorkflowExecutionResponse *a =
        fx_must(f, TL_M_ResetWorkflowExecution,
                with_operation(f, "w", options_operation(f, "versioning_override", "dep.b1")));
    assert_string_equal(fx_history(f, "w", a->run_id, 0), "1 5 6 9 26 55 5");
    fx_crash(f);
    assert_string_equal(
        fx_describe(f, "w", "")
            ->workflow_execution_info->versioning_info->versioning_override->pinned_version,
        "dep.b1");
}

static void test_refuses_other_operations(void **state)
{
    struct fx *f = *state;
    TpWorkflow__PostResetOperation other = TP_WORKFLOW__POST_RESET_OPERATION__INIT;
    char *base = two_tasks(f, "w"), *message;
    int status;
    assert_null(fx_try(f, TL_M_ResetWorkflowExecution, with_operation(f, "w", &other), &status,
                       &message, NULL));
    assert_int_equal(status, 3);
    assert_non_null(strstr(message, "unsupported post reset operation"));
    assert_null(fx_try(f, TL_M_ResetWorkflowExecution,
                       with_operation(f, "w", options_operation(f, "priority", NULL)), &status,
                       &message, NULL));
    assert_int_equal(status, 3);
    assert_string_equal(fx_describe(f, "w", "")->workflow_execution_info->execution->run_id, base);
}

static TpWs__ResetWorkflowExecutionRequest *with_exclude(struct fx *f, int64_t finish, int type)
{
    TpWs__ResetWorkflowExecutionRequest *r = request(f, "w", finish);
    TpEnums__ResetReapplyExcludeType *types =
        TL_ARENA_ARRAY(&f->arena, TpEnums__ResetReapplyExcludeType, 1);
    types[0] = (TpEnums__ResetReapplyExcludeType)type;
    r->n_reset_reapply_exclude_types = 1;
    r->reset_reapply_exclude_types = types;
    return r;
}

/* Signals behind the point are sent again, in order, unless they are excluded; of the new run as well. */
static void test_signals(void **state)
{
    struct fx *f = *state;
    char *base = two_tasks(f, "w");
    fx_signal(f, "w", "a");
    fx_signal(f, "w", "b");
    char *run = reset(f, "w", 4);
    assert_string_equal(fx_history(f, "w", run, 0), "1 5 6 9 26 26 5");
    assert_string_equal(
        event(f, "w", run, 5)->workflow_execution_signaled_event_attributes->signal_name, "a");
    assert_string_equal(
        event(f, "w", run, 6)->workflow_execution_signaled_event_attributes->signal_name, "b");
    TpWs__ResetWorkflowExecutionRequest *r = with_exclude(f, 4, RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL);
    r->workflow_execution = fx_execution(f, "w", base);
    TpWs__ResetWorkflowExecutionResponse *a = fx_must(f, TL_M_ResetWorkflowExecution, r);
    assert_string_equal(fx_history(f, "w", a->run_id, 0), "1 5 6 9 5");
    assert_string_equal(fx_history(f, "w", run, 0), "1 5 6 9 26 26 5 27"); /* it was the newest */
}

/* A closed workflow can be reset; a request that is repeated makes no other run. */
static void test_closed_and_repeated(void **state)
{
    struct fx *f = *state;
    two_tasks(f, "w");
    fx_signal(f, "w", "end");
    fx_complete(f, fx_poll(f)->task_token, fx_complete_command(f), NULL);
    f->now_ns += 60 * TL_NS_PER_S; /* its row is written, its events are not in memory */
    fx_pump(f);
    fx_close(f, false);
    fx_open(f);
    TpWs__ResetWorkflowExecutionRequest *r = request(f, "w", 11);
    TpWs__ResetWorkflowExecutionResponse *a = fx_must(f, TL_M_ResetWorkflowExecution, r);
    /* the timer was due while nothing ran */
    assert_string_equal(fx_history(f, "w", a->run_id, 0), "1 5 6 7 10 17 11 12 5 6 9 26 5 18");
    TpWs__ResetWorkflowExecutionResponse *b = fx_must(f, TL_M_ResetWorkflowExecution, r);
    assert_string_equal(a->run_id, b->run_id);
    fx_crash(f);
    b = fx_must(f, TL_M_ResetWorkflowExecution, r);
    assert_string_equal(a->run_id, b->run_id);
}

/* Timeouts of the run begin anew. */
static void test_timeouts(void **state)
{
    struct fx *f = *state;
    TpWs__StartWorkflowExecutionRequest *q = fx_start_request(f, "w");
    q->workflow_run_timeout = tl_pb_duration_ms(&f->arena, 100000);
    fx_must(f, TL_M_StartWorkflowExecution, q);
    fx_complete(f, fx_poll(f)->task_token, NULL, NULL);
    f->now_ns += 90 * TL_NS_PER_S;
    fx_pump(f); /* rows are written now, so that the reset is in the log alone */
    char *run = reset(f, "w", 4);
    fx_complete(f, fx_poll(f)->task_token, NULL, NULL);
    fx_crash(f);
    f->now_ns += 90 * TL_NS_PER_S;
    fx_pump(f);
    assert_string_equal(fx_history(f, "w", run, 0), "1 5 6 9 5 6 7");
    f->now_ns += 11 * TL_NS_PER_S;
    fx_pump(f);
    assert_string_equal(fx_history(f, "w", run, 0), "1 5 6 9 5 6 7 4");
}

static void refused(struct fx *f, TpWs__ResetWorkflowExecutionRequest *r, int expected,
                    const char *words)
{
    int status;
    char *message;
    assert_null(fx_try(f, TL_M_ResetWorkflowExecution, r, &status, &message, NULL));
    assert_int_equal(status, expected);
    if (!strstr(message, words)) {
        fail_msg("%s", message);
    }
}

static void test_refusals(void **state)
{
    struct fx *f = *state;
    two_tasks(f, "w");
    refused(f, request(f, "w", 0), 3, "finish ID");
    refused(f, request(f, "w", 1), 3, "finish ID");
    refused(f, request(f, "w", 99), 3, "finish ID");
    refused(f, request(f, "w", 2), 3, "in range");
    refused(f, request(f, "w", 6), 3, "in range");
    refused(f, request(f, "none", 4), 5, "not found");
    TpWs__ResetWorkflowExecutionRequest *r = request(f, "w", 4);
    r->request_id = S("");
    refused(f, r, 3, "RequestId");
    assert_string_equal(fx_history(f, "w", "", 0), "1 5 6 7 10 17 11 12 5 6 7"); /* untouched */
}

/* The point of each run by its kind, through a batch operation. */
static void test_batch(void **state)
{
    struct fx *f = *state;
    two_tasks(f, "a");
    two_tasks(f, "b");
    fx_start_workflow(f, "never-polled");
    TpCommon__ResetOptions options = TP_COMMON__RESET_OPTIONS__INIT;
    TpBatch__BatchOperationReset op = TP_BATCH__BATCH_OPERATION_RESET__INIT;
    TpWs__StartBatchOperationRequest r = TP_WS__START_BATCH_OPERATION_REQUEST__INIT;
    TpWs__DescribeBatchOperationRequest d = TP_WS__DESCRIBE_BATCH_OPERATION_REQUEST__INIT;
    Google__Protobuf__Empty empty = GOOGLE__PROTOBUF__EMPTY__INIT;
    r.namespace_ = d.namespace_ = S("default");
    r.job_id = d.job_id = S("job");
    r.reason = S("again");
    r.visibility_query = S("WorkflowType = 'Order'");
    r.operation_case = TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_RESET_OPERATION;
    r.reset_operation = &op;
    int status;
    char *message;
    fx_try(f, TL_M_StartBatchOperation, &r, &status, &message, NULL);
    assert_int_equal(status, 3); /* to where? */
    op.options = &options;
    options.target_case = TP_COMMON__RESET_OPTIONS__TARGET_LAST_WORKFLOW_TASK;
    options.last_workflow_task = &empty;
    fx_must(f, TL_M_StartBatchOperation, &r);
    for (int i = 0; i < 20; i++) {
        f->now_ns += 10 * TL_NS_PER_MS;
        fx_pump(f);
    }
    TpWs__DescribeBatchOperationResponse *a = fx_must(f, TL_M_DescribeBatchOperation, &d);
    assert_int_equal(a->state, BATCH_OPERATION_STATE_COMPLETED);
    assert_int_equal(a->operation_type, BATCH_OPERATION_TYPE_RESET);
    assert_int_equal(a->complete_operation_count, 3);
    assert_string_equal(fx_history(f, "a", "", 0), "1 5 6 7 10 17 11 12 5 6 9 5");
    assert_string_equal(fx_history(f, "b", "", 0), "1 5 6 7 10 17 11 12 5 6 9 5");
    assert_string_equal(fx_history(f, "never-polled", "", 0), "1 5 6 9 5");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fx_setup_file, fx_teardown)
    const struct CMUnitTest tests[] = {
        T(test_keeps_and_does_again),
        T(test_is_described),
        T(test_pending_work),
        T(test_changes_options_at_last),
        T(test_refuses_other_operations),
        T(test_signals),
        T(test_closed_and_repeated),
        T(test_timeouts),
        T(test_refusals),
        T(test_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
