/* Settings of task queues: rate limits by workers and operators, how they are kept and followed; advice on
 * the number of polls. */
#include "test_server_fixture.h"

/* Workflows whose first task asks for one activity each. */
static void schedule(struct fx *f, int from, int upto)
{
    for (int i = from; i < upto; i++) {
        char id[16];
        snprintf(id, sizeof id, "o-%d", i);
        fx_start_workflow(f, id);
        TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
        fx_complete(f, w->task_token, fx_activity_command(f, "a", 0), NULL);
    }
}

static TpWs__PollActivityTaskQueueRequest *limited_poll(struct fx *f, double per_s)
{
    TpWs__PollActivityTaskQueueRequest *r = fx_poll_activity_request(f, "orders");
    r->task_queue_metadata =
        TL_PB_NEW(&f->arena, TpTq__TaskQueueMetadata, tp_tq__task_queue_metadata);
    r->task_queue_metadata->max_tasks_per_second =
        TL_PB_NEW(&f->arena, Google__Protobuf__DoubleValue, google__protobuf__double_value);
    r->task_queue_metadata->max_tasks_per_second->value = per_s;
    return r;
}

static TpWs__DescribeTaskQueueResponse *describe(struct fx *f, int type)
{
    TpWs__DescribeTaskQueueRequest r = TP_WS__DESCRIBE_TASK_QUEUE_REQUEST__INIT;
    r.namespace_ = S("default");
    r.task_queue = fx_queue(f, "orders", false);
    r.task_queue_type = (TpEnums__TaskQueueType)type;
    r.report_config = true;
    r.include_task_queue_status = true;
    return fx_must(f, TL_M_DescribeTaskQueue, &r);
}

static void assert_limit(struct fx *f, double per_s, int source)
{
    TpWs__DescribeTaskQueueResponse *r = describe(f, TASK_QUEUE_TYPE_ACTIVITY);
    assert_non_null(r->effective_rate_limit);
    assert_float_equal(r->effective_rate_limit->requests_per_second, per_s, 0.001);
    assert_int_equal(r->effective_rate_limit->rate_limit_source, source);
    assert_float_equal(r->task_queue_status->rate_per_second, per_s, 0.001);
}

/* Tasks that polls get now; those that get none are given up. */
static int take(struct fx *f, TpWs__PollActivityTaskQueueRequest *poll, int polls)
{
    struct fx_call calls[16];
    int got = 0, status;
    for (int i = 0; i < polls; i++) {
        fx_start(f, &calls[i], TL_M_PollActivityTaskQueue, poll);
        fx_pump(f);
    }
    for (int i = 0; i < polls; i++) {
        bool there = calls[i].res != NULL;
        if (!there) {
            tl_rpc_cancel(calls[i].handle);
            fx_pump(f);
        }
        TpWs__PollActivityTaskQueueResponse *r = fx_end(&calls[i], &status, NULL, NULL);
        got += there && r && r->task_token.len > 0;
    }
    return got;
}

static void test_worker_limit(void **state)
{
    struct fx *f = *state;
    struct fx_call c;
    int status;
    assert_limit(f, 100000, RATE_LIMIT_SOURCE_SYSTEM);
    schedule(f, 0, 10);
    assert_int_equal(take(f, limited_poll(f, 2), 8), 3); /* a second's worth and the one due */
    assert_limit(f, 2, RATE_LIMIT_SOURCE_WORKER);
    fx_start(f, &c, TL_M_PollActivityTaskQueue, limited_poll(f, 2));
    fx_pump(f);
    assert_null(c.res);
    f->now_ns += 499 * TL_NS_PER_MS;
    fx_pump(f);
    assert_null(c.res);
    f->now_ns += 1 * TL_NS_PER_MS; /* the timer, no request, lets it go */
    fx_pump(f);
    assert_non_null(c.res);
    assert_non_null(fx_end(&c, &status, NULL, NULL));
    /* The latest poll wins, also one without a limit. */
    assert_int_equal(take(f, fx_poll_activity_request(f, "orders"), 3), 3);
    assert_limit(f, 100000, RATE_LIMIT_SOURCE_SYSTEM);
}

static TpWs__UpdateTaskQueueConfigRequest *update_request(struct fx *f, int type, double per_s)
{
    TpWs__UpdateTaskQueueConfigRequest *r = TL_PB_NEW(&f->arena, TpWs__UpdateTaskQueueConfigRequest,
                                                      tp_ws__update_task_queue_config_request);
    r->namespace_ = S("default");
    r->identity = S("operator");
    r->task_queue = S("orders");
    r->task_queue_type = (TpEnums__TaskQueueType)type;
    r->update_queue_rate_limit =
        TL_PB_NEW(&f->arena, TpWs__UpdateTaskQueueConfigRequest__RateLimitUpdate,
                  tp_ws__update_task_queue_config_request__rate_limit_update);
    r->update_queue_rate_limit->reason = S("too fast");
    if (per_s >= 0) {
        r->update_queue_rate_limit->rate_limit =
            TL_PB_NEW(&f->arena, TpTq__RateLimit, tp_tq__rate_limit);
        r->update_queue_rate_limit->rate_limit->requests_per_second = (float)per_s;
    }
    return r;
}

/* An operator's limit goes before the workers', and is still there after a restart. */
static void test_operator_limit(void **state)
{
    struct fx *f = *state;
    TpWs__UpdateTaskQueueConfigRequest *up = update_request(f, TASK_QUEUE_TYPE_ACTIVITY, 0);
    TpWs__UpdateTaskQueueConfigResponse *r = fx_must(f, TL_M_UpdateTaskQueueConfig, up);
    assert_string_equal(r->config->queue_rate_limit->metadata->reason, "too fast");
    assert_string_equal(r->config->queue_rate_limit->metadata->update_identity, "operator");
    assert_int_equal(r->config->queue_rate_limit->metadata->update_time->seconds,
                     f->now_ns / TL_NS_PER_S);
    schedule(f, 0, 5);
    assert_int_equal(take(f, limited_poll(f, 50), 5), 0); /* zero stops the queue */
    assert_limit(f, 0, RATE_LIMIT_SOURCE_API);
    fx_close(f, true);
    fx_open(f);
    assert_limit(f, 0, RATE_LIMIT_SOURCE_API);
    assert_string_equal(
        describe(f, TASK_QUEUE_TYPE_ACTIVITY)->config->queue_rate_limit->metadata->reason,
        "too fast");
    assert_null(describe(f, TASK_QUEUE_TYPE_WORKFLOW)->config); /* each type has its own */
    f->now_ns += 60 * TL_NS_PER_S;
    assert_int_equal(take(f, limited_poll(f, 50), 5), 0);
    fx_must(f, TL_M_UpdateTaskQueueConfig, update_request(f, TASK_QUEUE_TYPE_ACTIVITY, 100));
    f->now_ns += 10 * TL_NS_PER_S;
    assert_int_equal(take(f, limited_poll(f, 50), 2), 2);
    assert_limit(f, 100, RATE_LIMIT_SOURCE_API);
    /* Taken away: the workers' counts again, what is known of the change stays. */
    r = fx_must(f, TL_M_UpdateTaskQueueConfig, update_request(f, TASK_QUEUE_TYPE_ACTIVITY, -1));
    assert_null(r->config->queue_rate_limit->rate_limit);
    assert_limit(f, 50, RATE_LIMIT_SOURCE_WORKER);
}

/* A limit that is taken away lets go at once what waited beside polls. */
static void test_lifted(void **state)
{
    struct fx *f = *state;
    struct fx_call c;
    int status;
    fx_must(f, TL_M_UpdateTaskQueueConfig, update_request(f, TASK_QUEUE_TYPE_ACTIVITY, 0));
    schedule(f, 0, 1);
    fx_start(f, &c, TL_M_PollActivityTaskQueue, fx_poll_activity_request(f, "orders"));
    fx_pump(f);
    assert_null(c.res);
    fx_must(f, TL_M_UpdateTaskQueueConfig, update_request(f, TASK_QUEUE_TYPE_ACTIVITY, -1));
    fx_pump(f);
    assert_non_null(c.res);
    TpWs__PollActivityTaskQueueResponse *r = fx_end(&c, &status, NULL, NULL);
    assert_true(r && r->task_token.len > 0);
}

static void refused(struct fx *f, TpWs__UpdateTaskQueueConfigRequest *r, int expected,
                    const char *text)
{
    int status;
    char *message;
    assert_null(fx_try(f, TL_M_UpdateTaskQueueConfig, r, &status, &message, NULL));
    assert_int_equal(status, expected);
    assert_non_null(strstr(message, text));
}

static void test_bad_updates(void **state)
{
    struct fx *f = *state;
    refused(f, update_request(f, TASK_QUEUE_TYPE_WORKFLOW, 1), 3, "workflow task queues");
    refused(f, update_request(f, 0, 1), 3, "TaskQueueType");
    TpWs__UpdateTaskQueueConfigRequest *r = update_request(f, TASK_QUEUE_TYPE_ACTIVITY, 1);
    r->update_queue_rate_limit->rate_limit->requests_per_second = -1;
    refused(f, r, 3, "non-negative");
    r = update_request(f, TASK_QUEUE_TYPE_ACTIVITY, 1);
    r->task_queue = S("");
    refused(f, r, 3, "TaskQueue");
    r = update_request(f, TASK_QUEUE_TYPE_ACTIVITY, 1);
    r->update_fairness_key_rate_limit_default = update_request(f, 1, 1)->update_queue_rate_limit;
    r->update_fairness_key_rate_limit_default->rate_limit->requests_per_second = -1;
    refused(f, r, 3, "UpdateFairnessKeyRateLimitDefault rate limit must be non-negative");
    assert_limit(f, 100000, RATE_LIMIT_SOURCE_SYSTEM); /* and nothing was changed */
}

/* A poll that waited long is one too many, one that found an old task wants another. */
static void test_advice(void **state)
{
    struct fx *f = *state;
    struct fx_call c;
    int status;
    fx_start(f, &c, TL_M_PollWorkflowTaskQueue, fx_poll_request(f, "orders", false));
    fx_pump(f);
    f->now_ns += TL_NS_PER_S;
    fx_start_workflow(f, "o-1");
    fx_pump(f);
    TpWs__PollWorkflowTaskQueueResponse *w = fx_end(&c, &status, NULL, NULL);
    assert_non_null(w->poller_scaling_decision);
    assert_int_equal(w->poller_scaling_decision->poll_request_delta_suggestion, -1);
    fx_complete(f, w->task_token, fx_activity_command(f, "a", 0), fx_activity_command(f, "b", 0));
    f->now_ns += 300 * TL_NS_PER_MS;
    TpWs__PollActivityTaskQueueResponse *a = fx_poll_activity(f);
    assert_non_null(a->poller_scaling_decision);
    assert_int_equal(a->poller_scaling_decision->poll_request_delta_suggestion, 1);
    a = fx_poll_activity(f); /* nothing waits any more */
    assert_null(a->poller_scaling_decision);
    TpWs__DescribeNamespaceRequest d = TP_WS__DESCRIBE_NAMESPACE_REQUEST__INIT;
    d.namespace_ = S("default");
    TpWs__DescribeNamespaceResponse *ns = fx_must(f, TL_M_DescribeNamespace, &d);
    assert_true(ns->namespace_info->capabilities->poller_autoscaling);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_worker_limit, fx_setup_memory, fx_teardown),
        cmocka_unit_test_setup_teardown(test_operator_limit, fx_setup_file, fx_teardown),
        cmocka_unit_test_setup_teardown(test_lifted, fx_setup_memory, fx_teardown),
        cmocka_unit_test_setup_teardown(test_bad_updates, fx_setup_memory, fx_teardown),
        cmocka_unit_test_setup_teardown(test_advice, fx_setup_memory, fx_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
