/* What survives: closing with and without a checkpoint, failed commits, and a seeded walk over both. */
#include "test_server_fixture.h"

static void reopen(struct fx *f, bool abandon)
{
    fx_pump(f);
    fx_close(f, abandon);
    fx_open(f);
}

/* A run in each state that recovery has to bring back. */
static void populate(struct fx *f)
{
    fx_start_workflow(f, "timer");
    fx_complete(f, fx_poll(f)->task_token, fx_timer_command(f, "1", 60000), NULL);
    fx_start_workflow(f, "done");
    fx_complete(f, fx_poll(f)->task_token, fx_complete_command(f), NULL);
    fx_start_workflow(f, "activity");
    fx_complete(f, fx_poll(f)->task_token, fx_activity_command(f, "1", 2), NULL);
    fx_start_workflow(f, "waiting");
    fx_complete(f, fx_poll(f)->task_token, NULL, NULL);
    fx_start_workflow(f, "fresh");
}

static void save(struct fx *f, char out[5][1024])
{
    static const char *const ids[5] = {"timer", "done", "activity", "waiting", "fresh"};
    for (int i = 0; i < 5; i++) {
        snprintf(out[i], 1024, "%s %d %s", fx_history(f, ids[i], "", 0),
                 (int)fx_describe(f, ids[i], "")->workflow_execution_info->status,
                 fx_describe(f, ids[i], "")->workflow_execution_info->execution->run_id);
    }
}

static void check_after(struct fx *f, bool abandon)
{
    static char before[5][1024], after[5][1024];
    save(f, before);
    reopen(f, abandon);
    save(f, after);
    for (int i = 0; i < 5; i++) {
        assert_string_equal(before[i], after[i]);
    }
    /* and they go on */
    TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
    assert_string_equal(w->workflow_execution->workflow_id, "fresh");
    fx_complete(f, w->task_token, fx_complete_command(f), NULL);
    TpWs__PollActivityTaskQueueResponse *a = fx_poll_activity(f);
    assert_string_equal(a->workflow_execution->workflow_id, "activity");
    fx_complete_activity(f, a->task_token);
    w = fx_poll(f);
    fx_complete(f, w->task_token, fx_complete_command(f), NULL);
    f->now_ns += 61 * TL_NS_PER_S;
    w = fx_poll(f);
    assert_string_equal(w->workflow_execution->workflow_id, "timer");
    fx_complete(f, w->task_token, fx_complete_command(f), NULL);
    fx_signal(f, "waiting", "go");
    w = fx_poll(f);
    assert_string_equal(w->workflow_execution->workflow_id, "waiting");
    fx_complete(f, w->task_token, fx_complete_command(f), NULL);
}

static void test_without_checkpoint(void **state)
{
    populate(*state);
    check_after(*state, true);
}

static void test_with_checkpoint_in_the_middle(void **state)
{
    struct fx *f = *state;
    populate(f);
    f->now_ns += 6 * TL_NS_PER_S; /* the rows are written */
    fx_pump(f);
    fx_signal(f, "fresh", "x");
    fx_signal(f, "timer", "x");
    fx_complete(f, fx_poll(f)->task_token, NULL, NULL); /* fresh */
    fx_signal(f, "fresh", "y");
    fx_complete(f, fx_poll(f)->task_token, NULL, NULL); /* timer */
    check_after(f, true);
}

static void test_clean_close(void **state)
{
    struct fx *f = *state;
    populate(f);
    check_after(f, false);
    /* an id that only the database knows */
    reopen(f, false);
    int status;
    char *message;
    TpWs__StartWorkflowExecutionRequest *q = fx_start_request(f, "done");
    q->workflow_id_reuse_policy =
        (TpEnums__WorkflowIdReusePolicy)WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE;
    assert_null(fx_try(f, TL_M_StartWorkflowExecution, q, &status, &message, NULL));
    assert_int_equal(status, 6);
    fx_start_workflow(f, "new");
    TpWs__CountWorkflowExecutionsRequest c = TP_WS__COUNT_WORKFLOW_EXECUTIONS_REQUEST__INIT;
    c.namespace_ = S("default");
    TpWs__CountWorkflowExecutionsResponse *n = fx_must(f, TL_M_CountWorkflowExecutions, &c);
    assert_int_equal(n->count, 6);
}

/* A token from before the restart still counts when its start was durable. */
static void test_activity_token_survives(void **state)
{
    struct fx *f = *state;
    fx_start_workflow(f, "o-1");
    fx_complete(f, fx_poll(f)->task_token, fx_activity_command(f, "1", 1), NULL);
    TpWs__PollActivityTaskQueueResponse *a = fx_poll_activity(f);
    reopen(f, true);
    struct fx_call poll;
    fx_start(f, &poll, TL_M_PollActivityTaskQueue, fx_poll_activity_request(f, "orders"));
    fx_pump(f);
    assert_null(poll.res); /* at most one attempt: not handed out twice */
    fx_complete_activity(f, a->task_token);
    tl_rpc_cancel(poll.handle);
    assert_true(fx_wait(&poll, 0));
    fx_end(&poll, NULL, NULL, NULL);
    assert_string_equal(fx_history(f, "o-1", "", 0), "1 5 6 7 10 11 12 5");
}

static void test_failed_commit(void **state)
{
    struct fx *f = *state;
    struct fx_call start, poll;
    int status;
    populate(f);
    fx_start(f, &poll, TL_M_PollWorkflowTaskQueue, fx_poll_request(f, "other", false));
    fx_pump(f);
    /* the fault is a matter of chance: try until it strikes */
    for (int i = 0; i < 400; i++) {
        char id[16], old[1024];
        snprintf(id, sizeof id, "f-%d", i);
        snprintf(old, sizeof old, "%s", fx_history(f, "waiting", "", 0));
        tl_fault_arm(TL_FAULT_sometimes_fail_commit, true);
        struct fx_call signal;
        TpWs__SignalWorkflowExecutionRequest r = TP_WS__SIGNAL_WORKFLOW_EXECUTION_REQUEST__INIT;
        r.namespace_ = S("default");
        r.workflow_execution = fx_execution(f, "waiting", "");
        r.signal_name = S("s");
        fx_start(f, &start, TL_M_StartWorkflowExecution, fx_start_request(f, id));
        fx_start(f, &signal, TL_M_SignalWorkflowExecution, &r);
        fx_pump(f);
        tl_fault_arm(TL_FAULT_sometimes_fail_commit, false);
        fx_pump(f);
        fx_end(&signal, &status, NULL, NULL);
        int start_status;
        fx_end(&start, &start_status, NULL, NULL);
        assert_int_equal(status, start_status);
        if (status == 0) {
            continue;
        }
        assert_int_equal(status, 14);
        assert_string_equal(fx_history(f, "waiting", "", 0), old);
        fx_start_workflow(f, id); /* the id is free */
        struct tl_server_stats st;
        tl_server_stats(f->s, &st);
        assert_true(st.commits_failed >= 1);
        tl_rpc_cancel(poll.handle);
        assert_true(fx_wait(&poll, 0));
        fx_end(&poll, NULL, NULL, NULL);
        return;
    }
    fail_msg("no commit failed");
}

/* The checkpoint of some runs fails, that of others succeeds: the mark must not pass over the first. */
static void test_failed_checkpoint(void **state)
{
    struct fx *f = *state;
    enum { RUNS = 10 };
    fx_close(f, false);
    f->o.checkpoint_rows = 3;
    fx_open(f);
    /* the fault is a matter of chance: try until it strikes */
    for (int i = 0; i < 400; i++) {
        struct fx_call starts[RUNS];
        char id[32];
        for (int n = 0; n < RUNS; n++) {
            snprintf(id, sizeof id, "c-%d-%d", i, n);
            fx_start(f, &starts[n], TL_M_StartWorkflowExecution, fx_start_request(f, id));
        }
        tl_server_step(f->s); /* all of them, and the rows of the first three */
        tl_server_commit_step(f->s);
        tl_fault_arm(TL_FAULT_sometimes_fail_commit, true);
        tl_server_step(f->s);
        tl_server_commit_step(f->s); /* three more rows: fails or not */
        tl_fault_arm(TL_FAULT_sometimes_fail_commit, false);
        struct tl_server_stats st;
        tl_server_step(f->s);
        tl_server_stats(f->s, &st);
        tl_server_commit_step(f->s); /* the next three rows, and their mark */
        for (int n = 0; n < RUNS; n++) {
            assert_non_null(fx_end(&starts[n], NULL, NULL, NULL));
        }
        if (st.commits_failed) {
            fx_crash(f);
            for (int n = 0; n < RUNS; n++) {
                snprintf(id, sizeof id, "c-%d-%d", i, n);
                assert_string_equal(fx_history(f, id, "", 0), "1 5");
            }
            return;
        }
        fx_pump(f);
    }
    fail_msg("no commit failed");
}

static void test_mutant_is_noticed(void **state)
{
    struct fx *f = *state;
    struct fx_call start;
    fx_start(f, &start, TL_M_StartWorkflowExecution, fx_start_request(f, "o-1"));
    tl_server_step(f->s);
    assert_null(start.res); /* not before the commit */
    tl_server_commit_step(f->s);
    assert_non_null(start.res);
    fx_end(&start, NULL, NULL, NULL);
    tl_fault_arm(TL_FAULT_reply_before_commit, true);
    fx_start(f, &start, TL_M_StartWorkflowExecution, fx_start_request(f, "o-2"));
    tl_server_step(f->s);
    bool early = start.res != NULL;
    tl_fault_arm(TL_FAULT_reply_before_commit, false);
    assert_true(early);
    fx_end(&start, NULL, NULL, NULL);
}

/* --- a seeded walk -------------------------------------------------------------------------------------- */

#define IDS 6

static void random_step(struct fx *f, struct tl_rng *rng)
{
    char id[16];
    struct fx_call c;
    snprintf(id, sizeof id, "w-%d", (int)tl_rng_below(rng, IDS));
    switch (tl_rng_below(rng, 7)) {
    case 0: {
        TpWs__StartWorkflowExecutionRequest *q = fx_start_request(f, id);
        q->workflow_id_conflict_policy =
            (TpEnums__WorkflowIdConflictPolicy)WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING;
        fx_must(f, TL_M_StartWorkflowExecution, q);
        break;
    }
    case 1: {
        TpWs__SignalWorkflowExecutionRequest r = TP_WS__SIGNAL_WORKFLOW_EXECUTION_REQUEST__INIT;
        int status;
        char *message;
        r.namespace_ = S("default");
        r.workflow_execution = fx_execution(f, id, "");
        r.signal_name = S("s");
        fx_try(f, TL_M_SignalWorkflowExecution, &r, &status, &message, NULL);
        assert_true(status == 0 || status == 5);
        break;
    }
    case 2:
    case 3:
        fx_start(f, &c, TL_M_PollWorkflowTaskQueue, fx_poll_request(f, "orders", false));
        fx_pump(f);
        if (!c.res) {
            tl_rpc_cancel(c.handle);
            assert_true(fx_wait(&c, 0));
            fx_end(&c, NULL, NULL, NULL);
        } else {
            TpWs__PollWorkflowTaskQueueResponse *w = fx_end(&c, NULL, NULL, NULL);
            static int n;
            char aid[16];
            snprintf(aid, sizeof aid, "a%d", n++);
            TpCommand__Command *a = tl_rng_below(rng, 2) ? fx_activity_command(f, aid, 0)
                                                         : fx_timer_command(f, aid, 3000);
            int status;
            char *message;
            fx_try(f, TL_M_RespondWorkflowTaskCompleted,
                   fx_completion(f, w->task_token,
                                 tl_rng_below(rng, 6) ? a : fx_complete_command(f), NULL, NULL),
                   &status, &message, NULL);
        }
        break;
    case 4:
        fx_start(f, &c, TL_M_PollActivityTaskQueue, fx_poll_activity_request(f, "orders"));
        fx_pump(f);
        if (!c.res) {
            tl_rpc_cancel(c.handle);
            assert_true(fx_wait(&c, 0));
            fx_end(&c, NULL, NULL, NULL);
        } else {
            TpWs__PollActivityTaskQueueResponse *a = fx_end(&c, NULL, NULL, NULL);
            if (tl_rng_below(rng, 4)) {
                TpWs__RespondActivityTaskCompletedRequest r =
                    TP_WS__RESPOND_ACTIVITY_TASK_COMPLETED_REQUEST__INIT;
                int status;
                char *message;
                r.namespace_ = S("default");
                r.task_token = a->task_token;
                fx_try(f, TL_M_RespondActivityTaskCompleted, &r, &status, &message, NULL);
            }
        }
        break;
    default:
        f->now_ns += (int64_t)tl_rng_below(rng, 4) * TL_NS_PER_S;
        fx_pump(f);
    }
}

static void snapshot(struct fx *f, char out[IDS][8400])
{
    for (int i = 0; i < IDS; i++) {
        char id[16];
        int status;
        char *message;
        snprintf(id, sizeof id, "w-%d", i);
        TpWs__DescribeWorkflowExecutionRequest r = TP_WS__DESCRIBE_WORKFLOW_EXECUTION_REQUEST__INIT;
        r.namespace_ = S("default");
        r.execution = fx_execution(f, id, "");
        TpWs__DescribeWorkflowExecutionResponse *d =
            fx_try(f, TL_M_DescribeWorkflowExecution, &r, &status, &message, NULL);
        snprintf(out[i], 8400, "%s", "none");
        if (d) {
            snprintf(out[i], 8400, "%s %d %zu %s", d->workflow_execution_info->execution->run_id,
                     (int)d->workflow_execution_info->status, d->n_pending_activities,
                     fx_history(f, id, "", 0));
        }
    }
}

static void test_seeded_walk(void **state)
{
    struct fx *f = *state;
    static char before[IDS][8400], after[IDS][8400];
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct tl_rng rng;
        tl_rng_seed(&rng, seed);
        for (int step = 0; step < 120; step++) {
            random_step(f, &rng);
            if (tl_rng_below(&rng, 20) == 0) {
                snapshot(f, before);
                reopen(f, tl_rng_below(&rng, 3) != 0);
                snapshot(f, after);
                for (int i = 0; i < IDS; i++) {
                    if (strcmp(before[i], after[i]) != 0) {
                        fail_msg("seed %d step %d\n  before: %s\n  after:  %s", (int)seed, step,
                                 before[i], after[i]);
                    }
                }
            }
        }
    }
}

/* A worker may answer a query late, when another process serves the database and somebody asks
 * another workflow: its answer must not be taken for that one's. */
static void test_stale_query_answer(void **state)
{
    struct fx *f = *state;
    struct fx_call asked;
    int status;
    char *message;
    TpWs__RespondQueryTaskCompletedRequest late = TP_WS__RESPOND_QUERY_TASK_COMPLETED_REQUEST__INIT;
    static const char *const ids[] = {"first", "second"};
    for (int i = 0; i < 2; i++) {
        fx_start_workflow(f, ids[i]);
        fx_complete(f, fx_poll(f)->task_token, NULL, NULL);
    }
    for (int i = 0; i < 2; i++) {
        TpWs__QueryWorkflowRequest *q =
            TL_PB_NEW(&f->arena, TpWs__QueryWorkflowRequest, tp_ws__query_workflow_request);
        q->namespace_ = S("default");
        q->execution =
            TL_PB_NEW(&f->arena, TpCommon__WorkflowExecution, tp_common__workflow_execution);
        q->execution->workflow_id = tl_arena_cstr(&f->arena, tl_str(ids[i]));
        q->query = TL_PB_NEW(&f->arena, TpQuery__WorkflowQuery, tp_query__workflow_query);
        q->query->query_type = S("status");
        fx_start(f, &asked, TL_M_QueryWorkflow, q);
        fx_pump(f);
        TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
        assert_non_null(w->query);
        if (i == 0) {
            late.namespace_ = S("default");
            late.task_token = w->task_token;
            late.completed_type = (TpEnums__QueryResultType)QUERY_RESULT_TYPE_ANSWERED;
            tl_rpc_cancel(asked.handle); /* the asker goes away with the process */
            fx_pump(f);
            fx_end(&asked, &status, &message, NULL);
            reopen(f, true);
        } else {
            assert_null(fx_try(f, TL_M_RespondQueryTaskCompleted, &late, &status, &message, NULL));
            assert_int_equal(status, 5);
            late.task_token = w->task_token;
            fx_must(f, TL_M_RespondQueryTaskCompleted, &late);
            assert_non_null(fx_end(&asked, NULL, NULL, NULL));
        }
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fx_setup_file, fx_teardown)
    const struct CMUnitTest tests[] = {
        T(test_without_checkpoint), T(test_with_checkpoint_in_the_middle),
        T(test_clean_close),        T(test_activity_token_survives),
        T(test_stale_query_answer), T(test_failed_commit),
        T(test_failed_checkpoint),  T(test_mutant_is_noticed),
        T(test_seeded_walk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
