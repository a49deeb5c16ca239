/* Goal: batch operations on activities without a workflow touch what they name and nothing else, once,
 * and refuse what is none.
 * Method: a stepped server with activities in both states and a workflow of the same id. */
#include "test_activity_requests.h"

enum { CANCEL, TERMINATE, DELETE };

static TpWs__StartBatchOperationRequest *batch(struct fx *f, const char *job, int what,
                                               const char *query)
{
    TpWs__StartBatchOperationRequest *r = TL_PB_NEW(&f->arena, TpWs__StartBatchOperationRequest,
                                                    tp_ws__start_batch_operation_request);
    r->namespace_ = S("default");
    r->job_id = tl_pb_cstr(&f->arena, tl_str(job));
    r->visibility_query = tl_pb_cstr(&f->arena, tl_str(query));
    r->reason = S("because");
    if (what == CANCEL) {
        r->operation_case =
            TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_CANCEL_ACTIVITIES_OPERATION;
        r->cancel_activities_operation =
            TL_PB_NEW(&f->arena, TpBatch__BatchOperationCancelActivities,
                      tp_batch__batch_operation_cancel_activities);
        r->cancel_activities_operation->identity = S("me");
        r->cancel_activities_operation->reason = S("no more");
    } else if (what == TERMINATE) {
        r->operation_case =
            TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_TERMINATE_ACTIVITIES_OPERATION;
        r->terminate_activities_operation =
            TL_PB_NEW(&f->arena, TpBatch__BatchOperationTerminateActivities,
                      tp_batch__batch_operation_terminate_activities);
        r->terminate_activities_operation->identity = S("me");
        r->terminate_activities_operation->reason = S("no more");
    } else {
        r->operation_case =
            TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_DELETE_ACTIVITIES_OPERATION;
        r->delete_activities_operation =
            TL_PB_NEW(&f->arena, TpBatch__BatchOperationDeleteActivities,
                      tp_batch__batch_operation_delete_activities);
    }
    return r;
}

static void name_activities(struct fx *f, TpWs__StartBatchOperationRequest *r, int type,
                            const char *const *ids, size_t n)
{
    struct tl_pb_list list = {0};
    for (size_t i = 0; i < n; i++) {
        TpCommon__Execution *x = TL_PB_NEW(&f->arena, TpCommon__Execution, tp_common__execution);
        x->type = (TpEnums__ExecutionType)type;
        x->business_id = tl_pb_cstr(&f->arena, tl_str(ids[i]));
        tl_pb_push(&f->arena, &list, x);
    }
    r->n_target_executions = list.n;
    r->target_executions = list.items;
}

/* Its end; the counts are those of all that it met. */
static void run_batch(struct fx *f, const TpWs__StartBatchOperationRequest *r, int type, int done,
                      int failed)
{
    TpWs__DescribeBatchOperationRequest ask = TP_WS__DESCRIBE_BATCH_OPERATION_REQUEST__INIT;
    TpWs__DescribeBatchOperationResponse *d = NULL;
    ask.namespace_ = S("default");
    ask.job_id = r->job_id;
    fx_must(f, TL_M_StartBatchOperation, r);
    for (int i = 0; i < 500; i++) {
        d = fx_must(f, TL_M_DescribeBatchOperation, &ask);
        if ((int)d->state != BATCH_OPERATION_STATE_RUNNING) {
            break;
        }
        f->now_ns += 10 * TL_NS_PER_MS;
        fx_pump(f);
    }
    assert_int_equal(d->state, BATCH_OPERATION_STATE_COMPLETED);
    assert_int_equal(d->operation_type, type);
    assert_int_equal(d->complete_operation_count, done);
    assert_int_equal(d->failure_operation_count, failed);
    assert_string_equal(d->reason, "because");
}

static int status_of(struct fx *f, const char *id)
{
    return (int)describe(f, id)->info->status;
}

static int start_status(struct fx *f, const TpWs__StartBatchOperationRequest *r, char **message)
{
    return refused(f, TL_M_StartBatchOperation, r, message, NULL);
}

static void by_query(void **state)
{
    struct fx *f = *state;
    start(f, "a-1");
    start(f, "a-2");
    start(f, "b-1");
    fx_start_workflow(f, "a-1");
    run_batch(f, batch(f, "c", CANCEL, "ActivityId STARTS_WITH 'a-'"),
              BATCH_OPERATION_TYPE_CANCEL_ACTIVITY, 2, 0);
    assert_int_equal(status_of(f, "a-1"), ACTIVITY_EXECUTION_STATUS_CANCELED);
    assert_null(describe(f, "a-1")->info->last_attempt_complete_time); /* there was no attempt */
    assert_int_equal(status_of(f, "a-2"), ACTIVITY_EXECUTION_STATUS_CANCELED);
    assert_int_equal(status_of(f, "b-1"), ACTIVITY_EXECUTION_STATUS_RUNNING);
    assert_string_equal(fx_history(f, "a-1", "", 0), "1 5"); /* the workflow of that id */

    /* Those that have ended are not found by operations on open ones. */
    run_batch(f, batch(f, "t", TERMINATE, "ActivityType = 'charge'"),
              BATCH_OPERATION_TYPE_TERMINATE_ACTIVITY, 1, 0);
    assert_int_equal(status_of(f, "b-1"), ACTIVITY_EXECUTION_STATUS_TERMINATED);
    assert_int_equal(status_of(f, "a-1"), ACTIVITY_EXECUTION_STATUS_CANCELED);

    start(f, "b-2"); /* one that has not ended goes, too */
    run_batch(f, batch(f, "d", DELETE, "ActivityId STARTS_WITH 'b-'"),
              BATCH_OPERATION_TYPE_DELETE_ACTIVITY, 2, 0);
    TpWs__DescribeActivityExecutionRequest gone = TP_WS__DESCRIBE_ACTIVITY_EXECUTION_REQUEST__INIT;
    gone.namespace_ = S("default");
    for (int i = 1; i <= 2; i++) {
        char *message;
        gone.activity_id = tl_arena_printf(&f->arena, "b-%d", i);
        assert_int_equal(refused(f, TL_M_DescribeActivityExecution, &gone, &message, NULL), 5);
    }
    assert_int_equal(status_of(f, "a-1"), ACTIVITY_EXECUTION_STATUS_CANCELED);
}

/* A list may name what has ended, or is not there: that is done already. */
static void by_list(void **state)
{
    struct fx *f = *state;
    static const char *const ids[] = {"a-1", "none", "a-2"};
    start(f, "a-1");
    start(f, "a-2");
    TpWs__StartBatchOperationRequest *r = batch(f, "one", TERMINATE, "");
    name_activities(f, r, EXECUTION_TYPE_ACTIVITY, ids, 2);
    run_batch(f, r, BATCH_OPERATION_TYPE_TERMINATE_ACTIVITY, 2, 0);
    assert_int_equal(status_of(f, "a-1"), ACTIVITY_EXECUTION_STATUS_TERMINATED);
    assert_int_equal(status_of(f, "a-2"), ACTIVITY_EXECUTION_STATUS_RUNNING);
    r = batch(f, "all", CANCEL, "");
    name_activities(f, r, EXECUTION_TYPE_UNSPECIFIED, ids, 3);
    run_batch(f, r, BATCH_OPERATION_TYPE_CANCEL_ACTIVITY, 3, 0);
    assert_int_equal(status_of(f, "a-1"), ACTIVITY_EXECUTION_STATUS_TERMINATED);
    assert_int_equal(status_of(f, "a-2"), ACTIVITY_EXECUTION_STATUS_CANCELED);
}

static void refusals(void **state)
{
    struct fx *f = *state;
    static const char *const ids[] = {"a-1", ""};
    char *message;
    TpWs__StartBatchOperationRequest *r = batch(f, "x", CANCEL, "");
    TpCommon__WorkflowExecution w = TP_COMMON__WORKFLOW_EXECUTION__INIT;
    TpCommon__WorkflowExecution *workflows[] = {&w};
    assert_int_equal(start_status(f, r, &message), 3);
    name_activities(f, r, EXECUTION_TYPE_WORKFLOW, ids, 1);
    assert_int_equal(start_status(f, r, &message), 3);
    assert_non_null(strstr(message, "only activities can be named"));
    name_activities(f, r, EXECUTION_TYPE_ACTIVITY, ids, 2);
    assert_int_equal(start_status(f, r, &message), 3);
    assert_non_null(strstr(message, "ActivityId"));
    r = batch(f, "x", DELETE, "");
    w.workflow_id = S("a-1");
    r->n_executions = 1;
    r->executions = workflows;
    assert_int_equal(start_status(f, r, &message), 3);
    assert_non_null(strstr(message, "name activities in TargetExecutions"));
    /* The words of a query are those of activities. */
    assert_int_equal(start_status(f, batch(f, "x", DELETE, "WorkflowId = 'a'"), &message), 3);
    assert_non_null(strstr(message, "WorkflowId"));
}

/* Operations of a batch that had begun when the process died are not done again, the rest is. */
static void goes_on_after_a_crash(void **state)
{
    struct fx *f = *state;
    for (int i = 0; i < 300; i++) {
        start(f, tl_arena_printf(&f->arena, "a-%03d", i));
    }
    TpWs__StartBatchOperationRequest *r = batch(f, "job", DELETE, "ActivityType = 'charge'");
    r->max_operations_per_second = 1000;
    fx_must(f, TL_M_StartBatchOperation, r);
    TpWs__CountActivityExecutionsRequest all = TP_WS__COUNT_ACTIVITY_EXECUTIONS_REQUEST__INIT;
    TpWs__CountActivityExecutionsResponse *left = NULL;
    int crashes = 0;
    all.namespace_ = S("default");
    do {
        f->now_ns += 50 * TL_NS_PER_MS;
        fx_pump(f);
        fx_crash(f);
        fx_pump(f);
        left = fx_must(f, TL_M_CountActivityExecutions, &all);
    } while (left->count > 0 && crashes++ < 200);
    assert_true(crashes > 1);
    assert_int_equal(left->count, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fx_setup_file, fx_teardown)
    const struct CMUnitTest tests[] = {
        T(by_query),
        T(by_list),
        T(refusals),
        T(goes_on_after_a_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
