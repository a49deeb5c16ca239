/* Deletions and the release rule: a run is gone when its deletion is durable, not before, and is back
 * when the deletion could not be stored. */
#include "test_server_fixture.h"

static void start_and_terminate(struct fx *f, const char *id)
{
    TpWs__TerminateWorkflowExecutionRequest r = TP_WS__TERMINATE_WORKFLOW_EXECUTION_REQUEST__INIT;
    fx_start_workflow(f, id);
    r.namespace_ = S("default");
    r.workflow_execution = fx_execution(f, id, "");
    fx_must(f, TL_M_TerminateWorkflowExecution, &r);
}

static TpWs__DeleteWorkflowExecutionRequest delete_request(struct fx *f, const char *id,
                                                           const char *run_id)
{
    TpWs__DeleteWorkflowExecutionRequest r = TP_WS__DELETE_WORKFLOW_EXECUTION_REQUEST__INIT;
    r.namespace_ = S("default");
    r.workflow_execution = fx_execution(f, id, run_id);
    return r;
}

static TpWs__DescribeWorkflowExecutionRequest describe_request(struct fx *f, const char *id,
                                                               const char *run_id)
{
    TpWs__DescribeWorkflowExecutionRequest r = TP_WS__DESCRIBE_WORKFLOW_EXECUTION_REQUEST__INIT;
    r.namespace_ = S("default");
    r.execution = fx_execution(f, id, run_id);
    return r;
}

/* Nobody is told that a run does not exist while a power cut could bring it back. */
static void test_absence_is_durable(void **state)
{
    struct fx *f = *state;
    static struct fx_call deletion,
        look; /* the server answers them even when the test has failed */
    int status;
    start_and_terminate(f, "gone");
    TpWs__DeleteWorkflowExecutionRequest d = delete_request(f, "gone", "");
    fx_start(f, &deletion, TL_M_DeleteWorkflowExecution, &d);
    TpWs__DescribeWorkflowExecutionRequest q = describe_request(f, "gone", "");
    fx_start(f, &look, TL_M_DescribeWorkflowExecution, &q);
    tl_server_step(f->s);
    assert_null(deletion.res);
    assert_null(look.res);
    fx_pump(f);
    assert_non_null(fx_end(&deletion, NULL, NULL, NULL));
    assert_null(fx_end(&look, &status, NULL, NULL));
    assert_int_equal(status, 5);
}

static void test_failed_deletion(void **state)
{
    struct fx *f = *state;
    int status, seen;
    char *message;
    /* the fault is a matter of chance: try until it strikes */
    for (int i = 0; i < 400; i++) {
        char id[16], run_id[64], old[1024];
        snprintf(id, sizeof id, "g-%d", i);
        start_and_terminate(f, id);
        snprintf(old, sizeof old, "%s", fx_history(f, id, "", 0));
        snprintf(run_id, sizeof run_id, "%s",
                 fx_describe(f, id, "")->workflow_execution_info->execution->run_id);
        tl_fault_arm(TL_FAULT_sometimes_fail_commit, true);
        TpWs__DeleteWorkflowExecutionRequest d = delete_request(f, id, run_id);
        fx_try(f, TL_M_DeleteWorkflowExecution, &d, &status, &message, NULL);
        tl_fault_arm(TL_FAULT_sometimes_fail_commit, false);
        if (status == 0) {
            continue;
        }
        assert_int_equal(status, 14);
        TpWs__DescribeWorkflowExecutionRequest q = describe_request(f, id, run_id);
        fx_try(f, TL_M_DescribeWorkflowExecution, &q, &seen, &message, NULL);
        assert_int_equal(seen, 0);
        assert_string_equal(fx_history(f, id, run_id, 0), old);
        /* Rows and log are as if nothing had been: another crash finds it, too. */
        fx_start_workflow(f, "other");
        fx_crash(f);
        assert_string_equal(fx_history(f, id, run_id, 0), old);
        fx_must(f, TL_M_DeleteWorkflowExecution, &d);
        fx_try(f, TL_M_DescribeWorkflowExecution, &q, &seen, &message, NULL);
        assert_int_equal(seen, 5);
        return;
    }
    fail_msg("no commit failed");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fx_setup_file, fx_teardown)
    const struct CMUnitTest tests[] = {
        T(test_absence_is_durable),
        T(test_failed_deletion),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
