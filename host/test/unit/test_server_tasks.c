/* The worker's side in detail: paged histories, failures, retries, heartbeats, activity ids, next
 * tasks in replies, stale tokens; namespaces that change, retention. */
#include "test_server_fixture.h"

/* A task with more events than one page holds: the rest comes by the token, the started event last. */
static void test_paged_task(void **state)
{
    struct fx *f = *state;
    int64_t next = 1;
    fx_start_workflow(f, "o-1");
    for (int i = 0; i < 700; i++) {
        fx_signal(f, "o-1", "s");
    }
    TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
    assert_true(w->next_page_token.len > 0);
    for (size_t i = 0; i < w->history->n_events; i++) {
        assert_int_equal(w->history->events[i]->event_id, next++);
    }
    TpWs__GetWorkflowExecutionHistoryRequest *q =
        fx_history_request(f, "o-1", w->workflow_execution->run_id);
    q->next_page_token = w->next_page_token;
    int last_type = 0, pages = 1;
    while (q->next_page_token.len) {
        TpWs__GetWorkflowExecutionHistoryResponse *h =
            fx_must(f, TL_M_GetWorkflowExecutionHistory, q);
        for (size_t i = 0; i < h->history->n_events; i++) {
            assert_int_equal(h->history->events[i]->event_id, next++);
            last_type = (int)h->history->events[i]->event_type;
        }
        q->next_page_token = h->next_page_token;
        pages++;
    }
    assert_int_equal(next - 1, w->started_event_id);
    assert_int_equal(last_type, EVENT_TYPE_WORKFLOW_TASK_STARTED);
    assert_int_equal(pages, 3);
    fx_complete(f, w->task_token, fx_complete_command(f), NULL);
}

static TpWs__StartWorkflowExecutionRequest *eager_request(struct fx *f, const char *id)
{
    TpWs__StartWorkflowExecutionRequest *r = fx_start_request(f, id);
    r->request_eager_execution = true;
    return r;
}

/* The first task goes back with the reply to the start, and no poll gets it. */
static void test_eager_start(void **state)
{
    struct fx *f = *state;
    TpWs__StartWorkflowExecutionResponse *r =
        fx_must(f, TL_M_StartWorkflowExecution, eager_request(f, "o-1"));
    TpWs__PollWorkflowTaskQueueResponse *w = r->eager_workflow_task;
    assert_non_null(w);
    assert_string_equal(w->workflow_execution->run_id, r->run_id);
    assert_int_equal(w->started_event_id, 3);
    assert_int_equal(w->attempt, 1);
    assert_int_equal(w->history->n_events, 3);
    assert_true(w->history->events[0]
                    ->workflow_execution_started_event_attributes->eager_execution_accepted);
    fx_complete(f, w->task_token, fx_complete_command(f), NULL);
    assert_string_equal(fx_history(f, "o-1", "", 0), "1 5 6 7 2");
    /* Nobody answers: it times out and comes by a poll. */
    r = fx_must(f, TL_M_StartWorkflowExecution, eager_request(f, "o-2"));
    assert_non_null(r->eager_workflow_task);
    f->now_ns += 11 * TL_NS_PER_S;
    w = fx_poll(f);
    assert_int_equal(w->attempt, 2);
    assert_string_equal(w->workflow_execution->workflow_id, "o-2");
    fx_complete(f, w->task_token, fx_complete_command(f), NULL);
    assert_string_equal(fx_history(f, "o-2", "", 0), "1 5 6 8 5 6 7 2");
}

/* Not where the first task waits, and not for a workflow that runs already. */
static void test_eager_start_denied(void **state)
{
    struct fx *f = *state;
    TpWs__StartWorkflowExecutionRequest *q = eager_request(f, "o-1");
    q->workflow_start_delay = tl_pb_duration_ms(&f->arena, 5000);
    TpWs__StartWorkflowExecutionResponse *r = fx_must(f, TL_M_StartWorkflowExecution, q);
    assert_null(r->eager_workflow_task);
    q = eager_request(f, "o-2");
    r = fx_must(f, TL_M_StartWorkflowExecution, q);
    assert_non_null(r->eager_workflow_task);
    r = fx_must(f, TL_M_StartWorkflowExecution, q); /* the same request again */
    assert_null(r->eager_workflow_task);
    q = eager_request(f, "o-2");
    q->workflow_id_conflict_policy =
        (TpEnums__WorkflowIdConflictPolicy)WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING;
    r = fx_must(f, TL_M_StartWorkflowExecution, q);
    assert_null(r->eager_workflow_task);
    f->now_ns += 6 * TL_NS_PER_S;
    TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
    assert_string_equal(w->workflow_execution->workflow_id, "o-1");
    assert_false(w->history->events[0]
                     ->workflow_execution_started_event_attributes->eager_execution_accepted);
    fx_complete(f, w->task_token, fx_complete_command(f), NULL);
}

static void test_failed_task(void **state)
{
    struct fx *f = *state;
    int status;
    char *message;
    fx_start_workflow(f, "o-1");
    TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
    TpWs__RespondWorkflowTaskFailedRequest r = TP_WS__RESPOND_WORKFLOW_TASK_FAILED_REQUEST__INIT;
    r.namespace_ = S("default");
    r.task_token = w->task_token;
    r.cause = (TpEnums__WorkflowTaskFailedCause)
        WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE;
    fx_must(f, TL_M_RespondWorkflowTaskFailed, &r);
    assert_null(fx_try(f, TL_M_RespondWorkflowTaskFailed, &r, &status, &message, NULL));
    assert_int_equal(status, 5); /* the token is spent */
    w = fx_poll(f);
    assert_int_equal(w->attempt, 2);
    assert_int_equal(w->history->n_events, 6); /* the attempt's two events are predicted */
    fx_complete(f, w->task_token, fx_complete_command(f), NULL);
    assert_string_equal(fx_history(f, "o-1", "", 0), "1 5 6 9 5 6 7 2");
}

static void test_refused_completion(void **state)
{
    struct fx *f = *state;
    int status;
    char *message;
    fx_start_workflow(f, "o-1");
    TpCommand__Command *bad = fx_timer_command(f, "", 1000);
    TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
    assert_null(fx_try(f, TL_M_RespondWorkflowTaskCompleted,
                       fx_completion(f, w->task_token, bad, NULL, NULL), &status, &message, NULL));
    assert_int_equal(status, 3);
    w = fx_poll(f);
    assert_int_equal(w->attempt, 2);
    fx_complete(f, w->task_token, fx_complete_command(f), NULL);
}

static void test_next_task_in_the_reply(void **state)
{
    struct fx *f = *state;
    fx_start_workflow(f, "o-1");
    TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
    fx_signal(f, "o-1", "while it runs");
    TpWs__RespondWorkflowTaskCompletedRequest *c =
        fx_completion(f, w->task_token, NULL, NULL, "host-1");
    c->return_new_workflow_task = true;
    TpWs__RespondWorkflowTaskCompletedResponse *r =
        fx_must(f, TL_M_RespondWorkflowTaskCompleted, c);
    assert_non_null(r->workflow_task);
    assert_true(r->workflow_task->task_token.len > 0);
    assert_int_equal(r->workflow_task->history->events[0]->event_id, 4);
    fx_complete(f, r->workflow_task->task_token, fx_complete_command(f), NULL);
    assert_string_equal(fx_history(f, "o-1", "", 0), "1 5 6 7 26 5 6 7 2");
}

static void fail_activity(struct fx *f, ProtobufCBinaryData token)
{
    TpWs__RespondActivityTaskFailedRequest r = TP_WS__RESPOND_ACTIVITY_TASK_FAILED_REQUEST__INIT;
    TpFailure__Failure failure = TP_FAILURE__FAILURE__INIT;
    TpFailure__ApplicationFailureInfo info = TP_FAILURE__APPLICATION_FAILURE_INFO__INIT;
    failure.message = S("no luck");
    failure.failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_APPLICATION_FAILURE_INFO;
    failure.application_failure_info = &info;
    r.namespace_ = S("default");
    r.task_token = token;
    r.failure = &failure;
    fx_must(f, TL_M_RespondActivityTaskFailed, &r);
}

static void test_activity_retries(void **state)
{
    struct fx *f = *state;
    fx_start_workflow(f, "o-1");
    fx_complete(f, fx_poll(f)->task_token, fx_activity_command(f, "1", 2), NULL);
    TpWs__PollActivityTaskQueueResponse *a = fx_poll_activity(f);
    assert_int_equal(a->attempt, 1);
    int64_t before = f->now_ns;
    fail_activity(f, a->task_token);
    assert_int_equal(fx_describe(f, "o-1", "")->pending_activities[0]->attempt, 2);
    a = fx_poll_activity(f);
    assert_int_equal(a->attempt, 2);
    assert_int_equal(f->now_ns - before, TL_NS_PER_S); /* the first interval */
    fail_activity(f, a->task_token);
    assert_string_equal(fx_history(f, "o-1", "", 0), "1 5 6 7 10 11 13 5");
}

static void test_heartbeat_and_ids(void **state)
{
    struct fx *f = *state;
    int status;
    char *message;
    fx_start_workflow(f, "o-1");
    fx_complete(f, fx_poll(f)->task_token, fx_activity_command(f, "pay", 0), NULL);
    TpWs__PollActivityTaskQueueResponse *a = fx_poll_activity(f);
    TpWs__RecordActivityTaskHeartbeatRequest h =
        TP_WS__RECORD_ACTIVITY_TASK_HEARTBEAT_REQUEST__INIT;
    h.namespace_ = S("default");
    h.task_token = a->task_token;
    TpWs__RecordActivityTaskHeartbeatResponse *r = fx_must(f, TL_M_RecordActivityTaskHeartbeat, &h);
    assert_false(r->cancel_requested);
    TpWs__RecordActivityTaskHeartbeatByIdRequest hi =
        TP_WS__RECORD_ACTIVITY_TASK_HEARTBEAT_BY_ID_REQUEST__INIT;
    hi.namespace_ = S("default");
    hi.workflow_id = S("o-1");
    hi.activity_id = S("pay");
    fx_must(f, TL_M_RecordActivityTaskHeartbeatById, &hi);
    TpWs__RespondActivityTaskCompletedByIdRequest c =
        TP_WS__RESPOND_ACTIVITY_TASK_COMPLETED_BY_ID_REQUEST__INIT;
    c.namespace_ = S("default");
    c.workflow_id = S("o-1");
    c.activity_id = S("other");
    assert_null(fx_try(f, TL_M_RespondActivityTaskCompletedById, &c, &status, &message, NULL));
    assert_int_equal(status, 5);
    c.activity_id = S("pay");
    fx_must(f, TL_M_RespondActivityTaskCompletedById, &c);
    assert_null(fx_try(f, TL_M_RecordActivityTaskHeartbeat, &h, &status, &message, NULL));
    assert_int_equal(status, 5);
    assert_string_equal(fx_history(f, "o-1", "", 0), "1 5 6 7 10 11 12 5");
}

static void test_tokens(void **state)
{
    struct fx *f = *state;
    int status;
    char *message;
    TpWs__RespondActivityTaskCompletedRequest r =
        TP_WS__RESPOND_ACTIVITY_TASK_COMPLETED_REQUEST__INIT;
    r.namespace_ = S("default");
    assert_null(fx_try(f, TL_M_RespondActivityTaskCompleted, &r, &status, &message, NULL));
    assert_int_equal(status, 3);
    r.task_token = tl_pb_bytes_view(TL_STR_LIT("nonsense"));
    assert_null(fx_try(f, TL_M_RespondActivityTaskCompleted, &r, &status, &message, NULL));
    assert_int_equal(status, 3);
    fx_start_workflow(f, "o-1");
    r.task_token = fx_poll(f)->task_token; /* a workflow task's */
    assert_null(fx_try(f, TL_M_RespondActivityTaskCompleted, &r, &status, &message, NULL));
    assert_int_equal(status, 5);
    TpWs__GetWorkflowExecutionHistoryRequest *q = fx_history_request(f, "o-1", "");
    q->next_page_token = tl_pb_bytes_view(TL_STR_LIT("\x01\x02\x03"));
    assert_null(fx_try(f, TL_M_GetWorkflowExecutionHistory, q, &status, &message, NULL));
    assert_int_equal(status, 3);
}

static void test_reset_sticky(void **state)
{
    struct fx *f = *state;
    struct fx_call poll;
    fx_start_workflow(f, "o-1");
    TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
    fx_start(f, &poll, TL_M_PollWorkflowTaskQueue, fx_poll_request(f, "host-1", true));
    fx_pump(f);
    fx_must(f, TL_M_RespondWorkflowTaskCompleted,
            fx_completion(f, w->task_token, NULL, NULL, "host-1"));
    TpWs__ResetStickyTaskQueueRequest r = TP_WS__RESET_STICKY_TASK_QUEUE_REQUEST__INIT;
    r.namespace_ = S("default");
    r.execution = fx_execution(f, "o-1", "");
    fx_must(f, TL_M_ResetStickyTaskQueue, &r);
    fx_signal(f, "o-1", "s");
    assert_null(poll.res);
    w = fx_poll(f); /* on the normal queue, whole history */
    assert_int_equal(w->history->events[0]->event_id, 1);
    tl_rpc_cancel(poll.handle);
    assert_true(fx_wait(&poll, 0));
    fx_end(&poll, NULL, NULL, NULL);
}

static void test_system(void **state)
{
    struct fx *f = *state;
    TpWs__GetSystemInfoRequest r = TP_WS__GET_SYSTEM_INFO_REQUEST__INIT;
    TpWs__GetSystemInfoResponse *s = fx_must(f, TL_M_GetSystemInfo, &r);
    assert_true(s->capabilities->sdk_metadata);
    assert_true(s->capabilities->eager_workflow_start);
    TpWs__GetClusterInfoRequest c = TP_WS__GET_CLUSTER_INFO_REQUEST__INIT;
    TpWs__GetClusterInfoResponse *i = fx_must(f, TL_M_GetClusterInfo, &c);
    assert_string_equal(i->persistence_store, "sqlite");
    int status;
    char *message;
    TpTs__LockTimeSkippingRequest l = TP_TS__LOCK_TIME_SKIPPING_REQUEST__INIT;
    assert_null(fx_try(f, TL_M_LockTimeSkipping, &l, &status, &message, NULL));
    assert_int_equal(status, 12);
}

/* Closed runs go when the retention of their namespace, which can be changed, is over. */
static void test_retention(void **state)
{
    struct fx *f = *state;
    int status;
    char *message;
    TpWs__UpdateNamespaceRequest u = TP_WS__UPDATE_NAMESPACE_REQUEST__INIT;
    TpNamespace__NamespaceConfig config = TP_NAMESPACE__NAMESPACE_CONFIG__INIT;
    u.namespace_ = S("default");
    u.config = &config;
    config.workflow_execution_retention_ttl = tl_pb_duration_ms(&f->arena, 1000);
    assert_null(fx_try(f, TL_M_UpdateNamespace, &u, &status, &message, NULL));
    assert_int_equal(status, 3);
    config.workflow_execution_retention_ttl = tl_pb_duration_ms(&f->arena, 2 * 3600 * 1000);
    TpWs__UpdateNamespaceResponse *r = fx_must(f, TL_M_UpdateNamespace, &u);
    assert_int_equal(r->config->workflow_execution_retention_ttl->seconds, 7200);
    fx_start_workflow(f, "o-1");
    fx_complete(f, fx_poll(f)->task_token, fx_complete_command(f), NULL);
    fx_start_workflow(f, "o-2"); /* stays open */
    f->now_ns += INT64_C(7000) * TL_NS_PER_S;
    fx_pump(f);
    fx_describe(f, "o-1", "");
    for (int i = 0; i < 10; i++) {
        f->now_ns += 100 * TL_NS_PER_S;
        fx_pump(f);
    }
    TpWs__DescribeWorkflowExecutionRequest d = TP_WS__DESCRIBE_WORKFLOW_EXECUTION_REQUEST__INIT;
    d.namespace_ = S("default");
    d.execution = fx_execution(f, "o-1", "");
    assert_null(fx_try(f, TL_M_DescribeWorkflowExecution, &d, &status, &message, NULL));
    assert_int_equal(status, 5);
    fx_describe(f, "o-2", "");
    TpWs__CountWorkflowExecutionsRequest c = TP_WS__COUNT_WORKFLOW_EXECUTIONS_REQUEST__INIT;
    c.namespace_ = S("default");
    TpWs__CountWorkflowExecutionsResponse *n = fx_must(f, TL_M_CountWorkflowExecutions, &c);
    assert_int_equal(n->count, 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fx_setup_memory, fx_teardown)
    const struct CMUnitTest tests[] = {
        T(test_paged_task),
        T(test_failed_task),
        T(test_eager_start),
        T(test_eager_start_denied),
        T(test_refused_completion),
        T(test_next_task_in_the_reply),
        T(test_activity_retries),
        T(test_heartbeat_and_ids),
        T(test_tokens),
        T(test_reset_sticky),
        T(test_system),
        T(test_retention),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
