/* Batch operations: every kind of operation, by query and by list, rates, stopping, failures of single
 * runs, and that a crash in the middle does nothing twice and leaves nothing out. */
#include "test_server_fixture.h"

static void start_many(struct fx *f, int n)
{
    for (int i = 0; i < n; i++) {
        char id[16];
        snprintf(id, sizeof id, "w-%03d", i);
        fx_start_workflow(f, id);
    }
}

static TpWs__StartBatchOperationRequest batch(const char *id, const char *query)
{
    TpWs__StartBatchOperationRequest r = TP_WS__START_BATCH_OPERATION_REQUEST__INIT;
    r.namespace_ = S("default");
    r.job_id = S(id);
    r.visibility_query = S(query);
    r.reason = S("because");
    return r;
}

static TpWs__StartBatchOperationRequest termination(const char *id, const char *query)
{
    static TpBatch__BatchOperationTermination op = TP_BATCH__BATCH_OPERATION_TERMINATION__INIT;
    TpWs__StartBatchOperationRequest r = batch(id, query);
    op.identity = S("me");
    r.operation_case = TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_TERMINATION_OPERATION;
    r.termination_operation = &op;
    return r;
}

static TpWs__StartBatchOperationRequest signalling(const char *id, const char *query)
{
    static TpBatch__BatchOperationSignal op = TP_BATCH__BATCH_OPERATION_SIGNAL__INIT;
    TpWs__StartBatchOperationRequest r = batch(id, query);
    op.signal = S("go");
    op.identity = S("me");
    r.operation_case = TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_SIGNAL_OPERATION;
    r.signal_operation = &op;
    return r;
}

static TpWs__StartBatchOperationRequest deletion(const char *id, const char *query)
{
    static TpBatch__BatchOperationDeletion op = TP_BATCH__BATCH_OPERATION_DELETION__INIT;
    TpWs__StartBatchOperationRequest r = batch(id, query);
    r.operation_case = TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_DELETION_OPERATION;
    r.deletion_operation = &op;
    return r;
}

static TpWs__DescribeBatchOperationResponse *describe(struct fx *f, const char *id)
{
    TpWs__DescribeBatchOperationRequest r = TP_WS__DESCRIBE_BATCH_OPERATION_REQUEST__INIT;
    r.namespace_ = S("default");
    r.job_id = S(id);
    return fx_must(f, TL_M_DescribeBatchOperation, &r);
}

static TpWs__DescribeBatchOperationResponse *wait_until_closed(struct fx *f, const char *id)
{
    for (int i = 0; i < 1000; i++) {
        TpWs__DescribeBatchOperationResponse *d = describe(f, id);
        if ((int)d->state != BATCH_OPERATION_STATE_RUNNING) {
            assert_non_null(d->close_time);
            return d;
        }
        f->now_ns += 10 * TL_NS_PER_MS;
        fx_pump(f);
    }
    fail_msg("batch operation %s does not end", id);
    return NULL;
}

static void assert_counts(const TpWs__DescribeBatchOperationResponse *d, int total, int completed,
                          int failed)
{
    assert_int_equal(d->total_operation_count, total);
    assert_int_equal(d->complete_operation_count, completed);
    assert_int_equal(d->failure_operation_count, failed);
}

static int64_t count(struct fx *f, const char *query)
{
    TpWs__CountWorkflowExecutionsRequest r = TP_WS__COUNT_WORKFLOW_EXECUTIONS_REQUEST__INIT;
    r.namespace_ = S("default");
    r.query = S(query);
    TpWs__CountWorkflowExecutionsResponse *n = fx_must(f, TL_M_CountWorkflowExecutions, &r);
    return n->count;
}

static int status_of(struct fx *f, const TpWs__StartBatchOperationRequest *r, char **message)
{
    int status;
    fx_try(f, TL_M_StartBatchOperation, r, &status, message, NULL);
    return status;
}

/* --- operations ---------------------------------------------------------------------------------- */

static void test_terminate_by_query(void **state)
{
    struct fx *f = *state;
    start_many(f, 300);
    fx_start_workflow(f, "other");
    TpWs__StartBatchOperationRequest r = termination("job", "WorkflowId STARTS_WITH 'w-'");
    fx_must(f, TL_M_StartBatchOperation, &r);
    TpWs__DescribeBatchOperationResponse *d = wait_until_closed(f, "job");
    assert_int_equal(d->state, BATCH_OPERATION_STATE_COMPLETED);
    assert_int_equal(d->operation_type, BATCH_OPERATION_TYPE_TERMINATE);
    assert_counts(d, 300, 300, 0);
    assert_string_equal(d->reason, "because");
    assert_string_equal(d->identity, "me");
    assert_string_equal(d->query, "WorkflowId STARTS_WITH 'w-'");
    assert_int_equal(count(f, "ExecutionStatus = 'Terminated'"), 300);
    assert_int_equal(count(f, "ExecutionStatus = 'Running'"), 1);
    assert_string_equal(fx_history(f, "w-000", "", 0), "1 5 27");
    /* It is for running workflows: the same query again finds none. */
    r.job_id = S("again");
    fx_must(f, TL_M_StartBatchOperation, &r);
    assert_counts(wait_until_closed(f, "again"), 0, 0, 0);
}

/* More runs than one list gives, and workflows that start meanwhile do not join. */
static void test_many_pages(void **state)
{
    struct fx *f = *state;
    for (int i = 0; i < 2500; i++) {
        char id[16];
        snprintf(id, sizeof id, "m-%d", i);
        f->now_ns += i % 3 == 0 ? TL_NS_PER_MS : 0; /* some begin at the same time */
        fx_start_workflow(f, id);
    }
    TpWs__StartBatchOperationRequest r = signalling("job", "WorkflowType = 'Order'");
    fx_must(f, TL_M_StartBatchOperation, &r);
    assert_counts(wait_until_closed(f, "job"), 2500, 2500, 0);
    assert_string_equal(fx_history(f, "m-0", "", 0), "1 5 26");
    assert_string_equal(fx_history(f, "m-1499", "", 0), "1 5 26");
    assert_string_equal(fx_history(f, "m-2499", "", 0), "1 5 26");
}

static void test_cancel_list(void **state)
{
    struct fx *f = *state;
    TpBatch__BatchOperationCancellation op = TP_BATCH__BATCH_OPERATION_CANCELLATION__INIT;
    TpCommon__WorkflowExecution *list[4];
    TpWs__StartBatchOperationRequest r = batch("job", "");
    start_many(f, 3);
    r.operation_case = TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_CANCELLATION_OPERATION;
    r.cancellation_operation = &op;
    list[0] = fx_execution(f, "w-000", "");
    list[1] = fx_execution(f, "nobody", "");
    list[2] = fx_execution(f, "w-002",
                           fx_describe(f, "w-002", "")->workflow_execution_info->execution->run_id);
    list[3] = list[0];
    r.n_executions = 4;
    r.executions = list;
    fx_must(f, TL_M_StartBatchOperation, &r);
    TpWs__DescribeBatchOperationResponse *d = wait_until_closed(f, "job");
    assert_counts(d, 4, 4, 0); /* one that is gone needs nothing more */
    assert_int_equal(d->n_executions, 4);
    assert_string_equal(d->executions[1]->business_id, "nobody");
    assert_string_equal(fx_history(f, "w-000", "", 0), "1 5 20");
    assert_string_equal(fx_history(f, "w-001", "", 0), "1 5");
    assert_string_equal(fx_history(f, "w-002", "", 0), "1 5 20");
}

static void test_delete(void **state)
{
    struct fx *f = *state;
    start_many(f, 200);
    fx_complete(f, fx_poll(f)->task_token, fx_complete_command(f), NULL);
    TpWs__StartBatchOperationRequest r = deletion("job", "WorkflowType = 'Order'");
    fx_must(f, TL_M_StartBatchOperation, &r);
    assert_counts(wait_until_closed(f, "job"), 200, 200, 0);
    assert_int_equal(count(f, ""), 0);
    fx_crash(f);
    assert_int_equal(count(f, ""), 0);
    assert_counts(describe(f, "job"), 200, 200, 0);
}

/* A run that refuses is counted, and the others are served. */
static void test_failures(void **state)
{
    struct fx *f = *state;
    fx_free(f);
    fx_init(f, true);
    f->o.limits.signals_per_run = 1;
    fx_open(f);
    start_many(f, 4);
    fx_signal(f, "w-001", "first");
    TpWs__StartBatchOperationRequest r = signalling("job", "WorkflowType = 'Order'");
    fx_must(f, TL_M_StartBatchOperation, &r);
    TpWs__DescribeBatchOperationResponse *d = wait_until_closed(f, "job");
    assert_int_equal(d->state, BATCH_OPERATION_STATE_COMPLETED);
    assert_counts(d, 4, 3, 1);
    assert_string_equal(fx_history(f, "w-001", "", 0), "1 5 26");
    assert_string_equal(fx_history(f, "w-003", "", 0), "1 5 26");
}

/* --- rate, stop, list ---------------------------------------------------------------------------- */

static void stop(struct fx *f, const char *id, int expected)
{
    TpWs__StopBatchOperationRequest r = TP_WS__STOP_BATCH_OPERATION_REQUEST__INIT;
    int status;
    char *message;
    r.namespace_ = S("default");
    r.job_id = S(id);
    r.reason = S("enough");
    fx_try(f, TL_M_StopBatchOperation, &r, &status, &message, NULL);
    assert_int_equal(status, expected);
}

static void test_rate_and_stop(void **state)
{
    struct fx *f = *state;
    start_many(f, 100);
    TpWs__StartBatchOperationRequest r = termination("slow", "WorkflowType = 'Order'");
    r.max_operations_per_second = 10;
    fx_must(f, TL_M_StartBatchOperation, &r);
    for (int i = 0; i < 200; i++) {
        f->now_ns += 10 * TL_NS_PER_MS;
        fx_pump(f);
    }
    TpWs__DescribeBatchOperationResponse *d = describe(f, "slow");
    assert_int_equal(d->state, BATCH_OPERATION_STATE_RUNNING);
    assert_null(d->close_time);
    assert_int_equal(d->total_operation_count, 100);
    assert_in_range(d->complete_operation_count, 19, 21);
    stop(f, "slow", 0);
    d = describe(f, "slow");
    assert_int_equal(d->state, BATCH_OPERATION_STATE_FAILED);
    int64_t done = d->complete_operation_count;
    f->now_ns += 60 * TL_NS_PER_S;
    fx_pump(f);
    assert_int_equal(describe(f, "slow")->complete_operation_count, done);
    assert_int_equal(count(f, "ExecutionStatus = 'Terminated'"), done);
    stop(f, "slow", 5);
    stop(f, "none", 5);
}

static void test_list(void **state)
{
    struct fx *f = *state;
    TpWs__ListBatchOperationsRequest l = TP_WS__LIST_BATCH_OPERATIONS_REQUEST__INIT;
    static const char *const ids[] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++) {
        TpWs__StartBatchOperationRequest r = termination(ids[i], "WorkflowType = 'None'");
        fx_must(f, TL_M_StartBatchOperation, &r);
        wait_until_closed(f, ids[i]);
    }
    l.namespace_ = S("default");
    l.page_size = 2;
    TpWs__ListBatchOperationsResponse *p = fx_must(f, TL_M_ListBatchOperations, &l);
    assert_int_equal(p->n_operation_info, 2);
    assert_string_equal(p->operation_info[0]->job_id, "c");
    assert_string_equal(p->operation_info[1]->job_id, "b");
    assert_int_equal(p->operation_info[0]->state, BATCH_OPERATION_STATE_COMPLETED);
    l.next_page_token = p->next_page_token;
    p = fx_must(f, TL_M_ListBatchOperations, &l);
    assert_int_equal(p->n_operation_info, 1);
    assert_string_equal(p->operation_info[0]->job_id, "a");
    assert_int_equal(p->next_page_token.len, 0);
    /* They are forgotten with the namespace's retention, in the file as well. */
    f->now_ns += INT64_C(25) * 3600 * TL_NS_PER_S;
    TpWs__StartBatchOperationRequest r = termination("d", "WorkflowType = 'None'");
    fx_must(f, TL_M_StartBatchOperation, &r);
    fx_crash(f);
    l.next_page_token = (ProtobufCBinaryData){0};
    p = fx_must(f, TL_M_ListBatchOperations, &l);
    assert_int_equal(p->n_operation_info, 1);
    assert_string_equal(p->operation_info[0]->job_id, "d");
}

/* --- bad input ----------------------------------------------------------------------------------- */

static void test_refusals(void **state)
{
    struct fx *f = *state;
    char *m;
    TpWs__StartBatchOperationRequest r = termination("", "WorkflowType = 'Order'");
    assert_int_equal(status_of(f, &r, &m), 3);
    assert_non_null(strstr(m, "JobId"));
    r = termination("job", "WorkflowType = 'Order'");
    r.reason = S("");
    assert_int_equal(status_of(f, &r, &m), 3);
    assert_non_null(strstr(m, "Reason"));
    r = termination("job", "");
    assert_int_equal(status_of(f, &r, &m), 3);
    assert_non_null(strstr(m, "not set"));
    r = termination("job", "WorkflowTipe = 'Order'");
    assert_int_equal(status_of(f, &r, &m), 3);
    assert_non_null(strstr(m, "WorkflowTipe"));
    r = termination("job", "WorkflowType = 'a') OR (WorkflowType = 'b'");
    assert_int_equal(status_of(f, &r, &m), 3);
    r = deletion("job", "GROUP BY WorkflowType");
    assert_int_equal(status_of(f, &r, &m), 3);
    assert_non_null(strstr(m, "GROUP BY"));
    r = termination("job", "WorkflowType = 'Order'");
    r.max_operations_per_second = -1;
    assert_int_equal(status_of(f, &r, &m), 3);
    TpCommon__WorkflowExecution *x = fx_execution(f, "w", "");
    r = termination("job", "WorkflowType = 'Order'");
    r.n_executions = 1;
    r.executions = &x;
    assert_int_equal(status_of(f, &r, &m), 3);
    assert_non_null(strstr(m, "both set"));
    r = batch("job", "WorkflowType = 'Order'");
    assert_int_equal(status_of(f, &r, &m), 3);
    TpBatch__BatchOperationUnpauseActivities unpause =
        TP_BATCH__BATCH_OPERATION_UNPAUSE_ACTIVITIES__INIT;
    r.operation_case = TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_UNPAUSE_ACTIVITIES_OPERATION;
    r.unpause_activities_operation = &unpause;
    assert_int_equal(status_of(f, &r, &m), 3);
    assert_non_null(strstr(m, "Activities are not set"));
    /* none of them left a job behind; an id can be used once */
    r = termination("job", "WorkflowType = 'Order'");
    assert_int_equal(status_of(f, &r, &m), 0);
    assert_int_equal(status_of(f, &r, &m), 6);
}

/* --- crashes ------------------------------------------------------------------------------------- */

/* Each run gets its signal exactly once, whenever the power goes. */
static void test_crashes(void **state)
{
    struct fx *f = *state;
    start_many(f, 400);
    TpWs__StartBatchOperationRequest r = signalling("job", "WorkflowType = 'Order'");
    r.max_operations_per_second = 1000;
    fx_must(f, TL_M_StartBatchOperation, &r);
    int crashes = 0;
    while ((int)describe(f, "job")->state == BATCH_OPERATION_STATE_RUNNING) {
        f->now_ns += 20 * TL_NS_PER_MS;
        tl_server_step(f->s);
        if (crashes % 2) {
            tl_server_commit_step(f->s);
        }
        tl_server_step(f->s);
        fx_crash(f);
        f->now_ns += 100 * TL_NS_PER_MS;
        fx_pump(f);
        assert_true(crashes++ < 500);
    }
    assert_true(crashes > 3);
    assert_counts(describe(f, "job"), 400, 400, 0);
    for (int i = 0; i < 400; i++) {
        char id[16];
        snprintf(id, sizeof id, "w-%03d", i);
        assert_string_equal(fx_history(f, id, "", 0), "1 5 26");
    }
}

/* A commit that fails takes progress and operations back together. */
static void test_failed_commits(void **state)
{
    struct fx *f = *state;
    start_many(f, 400);
    TpWs__StartBatchOperationRequest r = deletion("job", "WorkflowType = 'Order'");
    r.max_operations_per_second = 500;
    fx_must(f, TL_M_StartBatchOperation, &r);
    tl_fault_arm(TL_FAULT_sometimes_fail_commit, true);
    struct tl_server_stats stats = {0};
    for (int i = 0; i < 3000 && stats.commits_failed < 2; i++) {
        f->now_ns += 20 * TL_NS_PER_MS;
        fx_pump(f);
        tl_server_stats(f->s, &stats);
    }
    tl_fault_arm(TL_FAULT_sometimes_fail_commit, false);
    f->now_ns += 2 * TL_NS_PER_S;
    fx_pump(f);
    assert_counts(wait_until_closed(f, "job"), 400, 400, 0);
    assert_int_equal(count(f, ""), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fx_setup_file, fx_teardown)
    const struct CMUnitTest tests[] = {
        T(test_terminate_by_query),
        T(test_many_pages),
        T(test_cancel_list),
        T(test_delete),
        T(test_failures),
        T(test_rate_and_stop),
        T(test_list),
        T(test_refusals),
        T(test_crashes),
        T(test_failed_commits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
