/* Priorities and fairness keys over the server: order of tasks, what is taken over, stats, weights of operators, over
 * restarts. */
#include "test_server_fixture.h"

static TpCommon__Priority *priority(struct fx *f, int key, const char *fairness, float weight)
{
    TpCommon__Priority *p = TL_PB_NEW(&f->arena, TpCommon__Priority, tp_common__priority);
    p->priority_key = key;
    p->fairness_key = tl_pb_cstr(&f->arena, tl_str(fairness));
    p->fairness_weight = weight;
    return p;
}

static void start(struct fx *f, const char *id, TpCommon__Priority *p)
{
    TpWs__StartWorkflowExecutionRequest *r = fx_start_request(f, id);
    r->priority = p;
    fx_must(f, TL_M_StartWorkflowExecution, r);
    f->now_ns += TL_NS_PER_MS;
}

static void assert_next(struct fx *f, const char *id)
{
    assert_string_equal(fx_poll(f)->workflow_execution->workflow_id, id);
}

static TpCommand__Command *activity(struct fx *f, const char *id, TpCommon__Priority *p)
{
    TpCommand__Command *c = fx_activity_command(f, id, 0);
    c->schedule_activity_task_command_attributes->priority = p;
    return c;
}

static TpWs__DescribeTaskQueueResponse *describe(struct fx *f, int type)
{
    TpWs__DescribeTaskQueueRequest r = TP_WS__DESCRIBE_TASK_QUEUE_REQUEST__INIT;
    r.namespace_ = S("default");
    r.task_queue = fx_queue(f, "orders", false);
    r.task_queue_type = (TpEnums__TaskQueueType)type;
    r.report_stats = true;
    r.report_config = true;
    return fx_must(f, TL_M_DescribeTaskQueue, &r);
}

static const TpTq__TaskQueueStats *stats_of(const TpWs__DescribeTaskQueueResponse *r, int key)
{
    for (size_t i = 0; i < r->n_stats_by_priority_key; i++) {
        if (r->stats_by_priority_key[i]->key == key) {
            return r->stats_by_priority_key[i]->value;
        }
    }
    return NULL;
}

/* Workflow tasks by their run's priority, and again so after a restart, with their age. */
static void test_workflows_over_a_restart(void **state)
{
    struct fx *f = *state;
    start(f, "usual", NULL);
    start(f, "last", priority(f, 5, "", 0));
    start(f, "first", priority(f, 1, "", 0));
    start(f, "early-too", priority(f, 1, "", 0));
    f->now_ns += 10 * TL_NS_PER_S;
    fx_close(f, true);
    fx_open(f);
    TpWs__DescribeTaskQueueResponse *d = describe(f, TASK_QUEUE_TYPE_WORKFLOW);
    assert_int_equal(d->stats->approximate_backlog_count, 4);
    assert_int_equal(stats_of(d, 1)->approximate_backlog_count, 2);
    assert_int_equal(stats_of(d, 3)->approximate_backlog_count, 1);
    assert_int_equal(stats_of(d, 5)->approximate_backlog_count, 1);
    assert_null(stats_of(d, 2));
    assert_int_equal(d->stats->approximate_backlog_age->seconds, 10);
    assert_next(f, "first");
    assert_next(f, "early-too");
    assert_next(f, "usual");
    d = describe(f, TASK_QUEUE_TYPE_WORKFLOW);
    assert_int_equal(stats_of(d, 1)->approximate_backlog_count, 0);
    assert_true(stats_of(d, 1)->tasks_dispatch_rate > 0);
    assert_next(f, "last");
}

/* The order of age survives, too, though a run that began early has a task that came late. */
static void test_age_over_a_restart(void **state)
{
    struct fx *f = *state;
    start(f, "old", NULL);
    TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
    start(f, "young", NULL);
    f->now_ns += TL_NS_PER_S;
    fx_complete(f, w->task_token, fx_timer_command(f, "t", 500), NULL);
    f->now_ns += TL_NS_PER_S;
    fx_pump(f);
    assert_int_equal(describe(f, TASK_QUEUE_TYPE_WORKFLOW)->stats->approximate_backlog_count, 2);
    fx_close(f, true);
    fx_open(f);
    assert_next(f, "young");
    assert_next(f, "old");
}

/* An activity has what it says and for the rest what its workflow has; its worker is told so. */
static void test_activities_take_over(void **state)
{
    struct fx *f = *state;
    start(f, "o-1", priority(f, 4, "tenant", 2));
    TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
    fx_complete(f, w->task_token, activity(f, "as-the-run", NULL),
                activity(f, "own", priority(f, 2, "", 0)));
    TpWs__PollActivityTaskQueueResponse *a = fx_poll_activity(f);
    assert_string_equal(a->activity_id, "own");
    assert_int_equal(a->priority->priority_key, 2);
    assert_string_equal(a->priority->fairness_key, "tenant");
    assert_float_equal(a->priority->fairness_weight, 2, 0.001);
    a = fx_poll_activity(f);
    assert_string_equal(a->activity_id, "as-the-run");
    assert_int_equal(a->priority->priority_key, 4);
}

static int share(struct fx *f, const char *key, int polls)
{
    int n = 0;
    for (int i = 0; i < polls; i++) {
        n += strcmp(fx_poll_activity(f)->priority->fairness_key, key) == 0;
    }
    return n;
}

/* `n` activities for each of two keys, those of the light one first. */
static void fill(struct fx *f, const char *prefix, int n)
{
    for (int i = 0; i < 2 * n; i++) {
        char id[32];
        snprintf(id, sizeof id, "%s-%d", prefix, i);
        start(f, id, i < n ? priority(f, 0, "light", 1) : priority(f, 0, "heavy", 3));
    }
    for (int i = 0; i < 2 * n; i++) {
        TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
        fx_complete(f, w->task_token, fx_activity_command(f, "a", 0), NULL);
    }
}

static TpWs__UpdateTaskQueueConfigRequest *update(struct fx *f)
{
    TpWs__UpdateTaskQueueConfigRequest *r = TL_PB_NEW(&f->arena, TpWs__UpdateTaskQueueConfigRequest,
                                                      tp_ws__update_task_queue_config_request);
    r->namespace_ = S("default");
    r->identity = S("operator");
    r->task_queue = S("orders");
    r->task_queue_type = (TpEnums__TaskQueueType)TASK_QUEUE_TYPE_ACTIVITY;
    return r;
}

static void set_weight(struct fx *f, TpWs__UpdateTaskQueueConfigRequest *r, const char *key,
                       float weight)
{
    TpWs__UpdateTaskQueueConfigRequest__SetFairnessWeightOverridesEntry **all =
        tl_arena_alloc(&f->arena, (r->n_set_fairness_weight_overrides + 1) * sizeof *all);
    if (r->n_set_fairness_weight_overrides) {
        memcpy(all, r->set_fairness_weight_overrides,
               r->n_set_fairness_weight_overrides * sizeof *all);
    }
    all[r->n_set_fairness_weight_overrides] =
        TL_PB_NEW(&f->arena, TpWs__UpdateTaskQueueConfigRequest__SetFairnessWeightOverridesEntry,
                  tp_ws__update_task_queue_config_request__set_fairness_weight_overrides_entry);
    all[r->n_set_fairness_weight_overrides]->key = tl_pb_cstr(&f->arena, tl_str(key));
    all[r->n_set_fairness_weight_overrides++]->value = weight;
    r->set_fairness_weight_overrides = all;
}

static void test_shares(void **state)
{
    struct fx *f = *state;
    fill(f, "a", 40);
    assert_in_range(share(f, "heavy", 40), 29, 31);
}

/* An operator's weights go before those of tasks, are kept over a restart, and can be taken away one by one. */
static void test_operator_weights(void **state)
{
    struct fx *f = *state;
    TpWs__UpdateTaskQueueConfigRequest *r = update(f);
    set_weight(f, r, "heavy", 1);
    set_weight(f, r, "other", 7);
    TpWs__UpdateTaskQueueConfigResponse *answer = fx_must(f, TL_M_UpdateTaskQueueConfig, r);
    assert_int_equal(answer->config->n_fairness_weight_overrides, 2);
    fx_close(f, true);
    fx_open(f);
    assert_int_equal(describe(f, TASK_QUEUE_TYPE_ACTIVITY)->config->n_fairness_weight_overrides, 2);
    fill(f, "a", 20);
    assert_in_range(share(f, "heavy", 20), 9, 11);
    share(f, "", 20);
    r = update(f);
    r->n_unset_fairness_weight_overrides = 1;
    r->unset_fairness_weight_overrides = (char *[]){S("heavy")};
    answer = fx_must(f, TL_M_UpdateTaskQueueConfig, r);
    assert_int_equal(answer->config->n_fairness_weight_overrides, 1);
    assert_string_equal(answer->config->fairness_weight_overrides[0]->key, "other");
    fill(f, "b", 40);
    assert_in_range(share(f, "heavy", 40), 29, 31);
}

/* So many a second of each key; other settings stay as they are. */
static void test_limit_of_keys(void **state)
{
    struct fx *f = *state;
    struct fx_call c;
    int status;
    TpWs__UpdateTaskQueueConfigRequest__RateLimitUpdate u =
        TP_WS__UPDATE_TASK_QUEUE_CONFIG_REQUEST__RATE_LIMIT_UPDATE__INIT;
    TpTq__RateLimit limit = TP_TQ__RATE_LIMIT__INIT;
    TpWs__UpdateTaskQueueConfigRequest *r = update(f);
    limit.requests_per_second = 1;
    u.rate_limit = &limit;
    u.reason = S("fair");
    r->update_fairness_key_rate_limit_default = &u;
    set_weight(f, r, "heavy", 2);
    fx_must(f, TL_M_UpdateTaskQueueConfig, r);
    TpTq__TaskQueueConfig *config = describe(f, TASK_QUEUE_TYPE_ACTIVITY)->config;
    assert_string_equal(config->fairness_keys_rate_limit_default->metadata->reason, "fair");
    assert_null(config->queue_rate_limit);
    fill(f, "a", 5);
    assert_int_equal(share(f, "heavy", 5), 3); /* a second's worth and the one due: 3 and 2 */
    fx_start(f, &c, TL_M_PollActivityTaskQueue, fx_poll_activity_request(f, "orders"));
    fx_pump(f);
    assert_null(c.res);
    f->now_ns += TL_NS_PER_S / 2;
    fx_pump(f);
    TpWs__PollActivityTaskQueueResponse *a = fx_end(&c, &status, NULL, NULL);
    assert_string_equal(a->priority->fairness_key, "heavy");
}

static void refused(struct fx *f, TpWs__UpdateTaskQueueConfigRequest *r, const char *text)
{
    int status;
    char *message;
    assert_null(fx_try(f, TL_M_UpdateTaskQueueConfig, r, &status, &message, NULL));
    assert_int_equal(status, 3);
    assert_non_null(strstr(message, text));
}

static void test_bad_weights(void **state)
{
    struct fx *f = *state;
    char long_key[66];
    memset(long_key, 'k', 65);
    long_key[65] = 0;
    TpWs__UpdateTaskQueueConfigRequest *r = update(f);
    set_weight(f, r, "", 1);
    refused(f, r, "must not be empty");
    r = update(f);
    set_weight(f, r, long_key, 1);
    refused(f, r, "length exceeds limit");
    r = update(f);
    set_weight(f, r, "a", 0);
    refused(f, r, "\"a\": must be greater than zero");
    r = update(f);
    set_weight(f, r, "a", 1);
    r->n_unset_fairness_weight_overrides = 1;
    r->unset_fairness_weight_overrides = (char *[]){S("a")};
    refused(f, r, "present in both");
    r = update(f);
    for (int i = 0; i < 1001; i++) {
        char key[16];
        snprintf(key, sizeof key, "k-%d", i);
        set_weight(f, r, key, 1);
    }
    refused(f, r, "got 1001, maximum 1000");
    r->n_set_fairness_weight_overrides = 1000;
    fx_must(f, TL_M_UpdateTaskQueueConfig, r);
    r = update(f);
    set_weight(f, r, "one-more", 1);
    refused(f, r, "1001");
    assert_int_equal(describe(f, TASK_QUEUE_TYPE_ACTIVITY)->config->n_fairness_weight_overrides,
                     1000);
}

static void start_refused(struct fx *f, TpCommon__Priority *p, const char *text)
{
    TpWs__StartWorkflowExecutionRequest *r = fx_start_request(f, "bad");
    int status;
    char *message;
    r->priority = p;
    assert_null(fx_try(f, TL_M_StartWorkflowExecution, r, &status, &message, NULL));
    assert_int_equal(status, 3);
    assert_non_null(strstr(message, text));
}

static void test_bad_priorities(void **state)
{
    struct fx *f = *state;
    char long_key[66];
    memset(long_key, 'k', 65);
    long_key[65] = 0;
    start_refused(f, priority(f, -1, "", 0), "priority key can't be negative");
    start_refused(f, priority(f, 0, long_key, 0), "fairness key length exceeds limit");
    start_refused(f, priority(f, 0, "a", -1), "must be greater than zero");
    start(f, "o-1", NULL);
    TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
    int status;
    char *message;
    assert_null(fx_try(
        f, TL_M_RespondWorkflowTaskCompleted,
        fx_completion(f, w->task_token, activity(f, "a", priority(f, 0, long_key, 0)), NULL, NULL),
        &status, &message, NULL));
    assert_int_equal(status, 3);
    assert_non_null(strstr(message, "invalid priorities: fairness key length exceeds limit"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_workflows_over_a_restart, fx_setup_file, fx_teardown),
        cmocka_unit_test_setup_teardown(test_age_over_a_restart, fx_setup_file, fx_teardown),
        cmocka_unit_test_setup_teardown(test_activities_take_over, fx_setup_memory, fx_teardown),
        cmocka_unit_test_setup_teardown(test_shares, fx_setup_memory, fx_teardown),
        cmocka_unit_test_setup_teardown(test_operator_weights, fx_setup_file, fx_teardown),
        cmocka_unit_test_setup_teardown(test_limit_of_keys, fx_setup_memory, fx_teardown),
        cmocka_unit_test_setup_teardown(test_bad_weights, fx_setup_memory, fx_teardown),
        cmocka_unit_test_setup_teardown(test_bad_priorities, fx_setup_memory, fx_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
