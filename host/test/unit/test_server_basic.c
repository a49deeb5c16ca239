/* The server end to end, in one thread: workflows, activities, policies, clients' reads. */
#include "test_server_fixture.h"

static void test_one_activity_workflow(void **state)
{
    struct fx *f = *state;
    char *run_id = fx_start_workflow(f, "o-1");
    TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
    assert_string_equal(w->workflow_execution->workflow_id, "o-1");
    assert_string_equal(w->workflow_execution->run_id, run_id);
    assert_string_equal(w->workflow_type->name, "Order");
    assert_int_equal(w->history->n_events, 3);
    assert_int_equal(w->started_event_id, 3);
    assert_int_equal(w->attempt, 1);
    fx_complete(f, w->task_token, fx_activity_command(f, "1", 0), NULL);
    TpWs__PollActivityTaskQueueResponse *a = fx_poll_activity(f);
    assert_string_equal(a->activity_id, "1");
    assert_string_equal(a->activity_type->name, "charge");
    fx_complete_activity(f, a->task_token);
    w = fx_poll(f);
    assert_int_equal(w->history->n_events, 9);
    fx_complete(f, w->task_token, fx_complete_command(f), NULL);
    assert_string_equal(fx_history(f, "o-1", "", 0), "1 5 6 7 10 11 12 5 6 7 2");
    assert_string_equal(fx_history(f, "o-1", run_id, 2), "1 5 6 7 10 11 12 5 6 7 2");
    TpWs__DescribeWorkflowExecutionResponse *d = fx_describe(f, "o-1", "");
    assert_int_equal(d->workflow_execution_info->status, WORKFLOW_EXECUTION_STATUS_COMPLETED);
    assert_int_equal(d->workflow_execution_info->history_length, 11);
}

static void test_reverse_history(void **state)
{
    struct fx *f = *state;
    TpWs__GetWorkflowExecutionHistoryReverseRequest r =
        TP_WS__GET_WORKFLOW_EXECUTION_HISTORY_REVERSE_REQUEST__INIT;
    int64_t expected = 11;
    test_one_activity_workflow(state);
    r.namespace_ = S("default");
    r.execution = fx_execution(f, "o-1", "");
    r.maximum_page_size = 3;
    do {
        TpWs__GetWorkflowExecutionHistoryReverseResponse *h =
            fx_must(f, TL_M_GetWorkflowExecutionHistoryReverse, &r);
        for (size_t i = 0; i < h->history->n_events; i++) {
            assert_int_equal(h->history->events[i]->event_id, expected--);
        }
        r.next_page_token = h->next_page_token;
    } while (r.next_page_token.len);
    assert_int_equal(expected, 0);
}

static void test_namespaces(void **state)
{
    struct fx *f = *state;
    int status;
    char *message;
    TpRpc__Status *st;
    TpWs__StartWorkflowExecutionRequest *q = fx_start_request(f, "o-1");
    q->namespace_ = S("other");
    assert_null(fx_try(f, TL_M_StartWorkflowExecution, q, &status, &message, &st));
    assert_int_equal(status, 5);
    TpErrdetails__NamespaceNotFoundFailure *nf =
        fx_detail(f, st, &tp_errdetails__namespace_not_found_failure__descriptor);
    assert_non_null(nf);
    assert_string_equal(nf->namespace_, "other");
    TpWs__RegisterNamespaceRequest r = TP_WS__REGISTER_NAMESPACE_REQUEST__INIT;
    r.namespace_ = S("other");
    r.description = S("for tests");
    assert_null(fx_try(f, TL_M_RegisterNamespace, &r, &status, &message, NULL));
    assert_int_equal(status, 3);
    assert_non_null(strstr(message, "valid retention period"));
    r.workflow_execution_retention_period = tl_pb_duration_ms(&f->arena, 86400000);
    fx_must(f, TL_M_RegisterNamespace, &r);
    assert_null(fx_try(f, TL_M_RegisterNamespace, &r, &status, &message, &st));
    assert_int_equal(status, 6);
    assert_non_null(fx_detail(f, st, &tp_errdetails__namespace_already_exists_failure__descriptor));
    fx_must(f, TL_M_StartWorkflowExecution, q);
    TpWs__DescribeNamespaceRequest d = TP_WS__DESCRIBE_NAMESPACE_REQUEST__INIT;
    d.namespace_ = S("other");
    TpWs__DescribeNamespaceResponse *desc = fx_must(f, TL_M_DescribeNamespace, &d);
    assert_string_equal(desc->namespace_info->description, "for tests");
    TpWs__ListNamespacesRequest l = TP_WS__LIST_NAMESPACES_REQUEST__INIT;
    l.page_size = 1;
    TpWs__ListNamespacesResponse *page = fx_must(f, TL_M_ListNamespaces, &l);
    assert_int_equal(page->n_namespaces, 1);
    assert_string_equal(page->namespaces[0]->namespace_info->name, "default");
    l.next_page_token = page->next_page_token;
    page = fx_must(f, TL_M_ListNamespaces, &l);
    assert_string_equal(page->namespaces[0]->namespace_info->name, "other");
    assert_int_equal(page->next_page_token.len, 0);
}

static void test_unimplemented_and_malformed(void **state)
{
    struct fx *f = *state;
    TpWs__CreateScheduleRequest r = TP_WS__CREATE_SCHEDULE_REQUEST__INIT;
    int status;
    char *message;
    assert_null(fx_try(f, TL_M_CreateSchedule, &r, &status, &message, NULL));
    assert_int_equal(status, 12);
    struct fx_call c = {.f = f, .method = TL_M_StartWorkflowExecution};
    f->live++;
    c.handle = tl_channel_call(f->ch, c.method, TL_STR_LIT("\xff\xff\xff"), 0, fx_done, &c);
    fx_pump(f);
    assert_null(fx_end(&c, &status, &message, NULL));
    assert_int_equal(status, 3);
}

static void test_id_policies(void **state)
{
    struct fx *f = *state;
    int status;
    char *message;
    TpRpc__Status *st;
    TpWs__StartWorkflowExecutionRequest *q = fx_start_request(f, "o-1");
    TpWs__StartWorkflowExecutionResponse *a = fx_must(f, TL_M_StartWorkflowExecution, q);
    assert_true(a->started);
    /* the same request again is the same start */
    TpWs__StartWorkflowExecutionResponse *b = fx_must(f, TL_M_StartWorkflowExecution, q);
    assert_string_equal(b->run_id, a->run_id);
    /* another one is refused and told whose id it is */
    TpWs__StartWorkflowExecutionRequest *q2 = fx_start_request(f, "o-1");
    assert_null(fx_try(f, TL_M_StartWorkflowExecution, q2, &status, &message, &st));
    assert_int_equal(status, 6);
    TpErrdetails__WorkflowExecutionAlreadyStartedFailure *as =
        fx_detail(f, st, &tp_errdetails__workflow_execution_already_started_failure__descriptor);
    assert_non_null(as);
    assert_string_equal(as->run_id, a->run_id);
    assert_string_equal(as->start_request_id, q->request_id);
    q2->workflow_id_conflict_policy =
        (TpEnums__WorkflowIdConflictPolicy)WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING;
    b = fx_must(f, TL_M_StartWorkflowExecution, q2);
    assert_string_equal(b->run_id, a->run_id);
    assert_false(b->started);
    q2->workflow_id_conflict_policy =
        (TpEnums__WorkflowIdConflictPolicy)WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING;
    b = fx_must(f, TL_M_StartWorkflowExecution, q2);
    assert_true(b->started);
    assert_string_not_equal(b->run_id, a->run_id);
    assert_int_equal(fx_describe(f, "o-1", a->run_id)->workflow_execution_info->status,
                     WORKFLOW_EXECUTION_STATUS_TERMINATED);
    /* closed: reuse policies */
    TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
    assert_string_equal(w->workflow_execution->run_id, b->run_id);
    fx_complete(f, w->task_token, fx_complete_command(f), NULL);
    q = fx_start_request(f, "o-1");
    q->workflow_id_reuse_policy =
        (TpEnums__WorkflowIdReusePolicy)WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE;
    assert_null(fx_try(f, TL_M_StartWorkflowExecution, q, &status, &message, NULL));
    assert_int_equal(status, 6);
    q->workflow_id_reuse_policy =
        (TpEnums__WorkflowIdReusePolicy)WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY;
    assert_null(fx_try(f, TL_M_StartWorkflowExecution, q, &status, &message, NULL));
    assert_int_equal(status, 6);
    q->workflow_id_reuse_policy =
        (TpEnums__WorkflowIdReusePolicy)WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE;
    fx_must(f, TL_M_StartWorkflowExecution, q);
}

static void test_missing_fields(void **state)
{
    struct fx *f = *state;
    int status;
    char *message;
    TpWs__StartWorkflowExecutionRequest *q = fx_start_request(f, "");
    assert_null(fx_try(f, TL_M_StartWorkflowExecution, q, &status, &message, NULL));
    assert_int_equal(status, 3);
    assert_non_null(strstr(message, "WorkflowId"));
    q = fx_start_request(f, "x");
    q->task_queue = NULL;
    assert_null(fx_try(f, TL_M_StartWorkflowExecution, q, &status, &message, NULL));
    assert_int_equal(status, 3);
    q = fx_start_request(f, "x");
    q->workflow_type = NULL;
    assert_null(fx_try(f, TL_M_StartWorkflowExecution, q, &status, &message, NULL));
    assert_int_equal(status, 3);
    TpWs__DescribeWorkflowExecutionRequest d = TP_WS__DESCRIBE_WORKFLOW_EXECUTION_REQUEST__INIT;
    d.namespace_ = S("default");
    d.execution = fx_execution(f, "nobody", "");
    TpRpc__Status *st;
    assert_null(fx_try(f, TL_M_DescribeWorkflowExecution, &d, &status, &message, &st));
    assert_int_equal(status, 5);
    assert_non_null(fx_detail(f, st, &tp_errdetails__not_found_failure__descriptor));
    d.execution = fx_execution(f, "nobody", "0193508d-0000-7000-8000-000000000101");
    assert_null(fx_try(f, TL_M_DescribeWorkflowExecution, &d, &status, &message, &st));
    assert_int_equal(status, 5);
}

static void test_signal_cancel_terminate_delete(void **state)
{
    struct fx *f = *state;
    int status;
    char *message;
    fx_start_workflow(f, "o-1");
    fx_signal(f, "o-1", "approve");
    TpWs__RequestCancelWorkflowExecutionRequest c =
        TP_WS__REQUEST_CANCEL_WORKFLOW_EXECUTION_REQUEST__INIT;
    c.namespace_ = S("default");
    c.workflow_execution = fx_execution(f, "o-1", "");
    fx_must(f, TL_M_RequestCancelWorkflowExecution, &c);
    fx_must(f, TL_M_RequestCancelWorkflowExecution, &c);
    assert_string_equal(fx_history(f, "o-1", "", 0), "1 5 26 20");
    TpWs__TerminateWorkflowExecutionRequest t = TP_WS__TERMINATE_WORKFLOW_EXECUTION_REQUEST__INIT;
    t.namespace_ = S("default");
    t.workflow_execution = c.workflow_execution;
    t.reason = S("enough");
    fx_must(f, TL_M_TerminateWorkflowExecution, &t);
    assert_null(fx_try(f, TL_M_TerminateWorkflowExecution, &t, &status, &message, NULL));
    assert_int_equal(status, 5);
    fx_must(f, TL_M_RequestCancelWorkflowExecution, &c); /* succeeds on a closed run */
    TpWs__DeleteWorkflowExecutionRequest d = TP_WS__DELETE_WORKFLOW_EXECUTION_REQUEST__INIT;
    d.namespace_ = S("default");
    d.workflow_execution = t.workflow_execution;
    fx_must(f, TL_M_DeleteWorkflowExecution, &d);
    assert_null(fx_try(f, TL_M_DeleteWorkflowExecution, &d, &status, &message, NULL));
    assert_int_equal(status, 5);
    /* a running one too; then the id is free */
    fx_start_workflow(f, "o-1");
    fx_must(f, TL_M_DeleteWorkflowExecution, &d);
    fx_start_workflow(f, "o-1");
}

static void test_signal_with_start(void **state)
{
    struct fx *f = *state;
    TpWs__StartWorkflowExecutionRequest *s = fx_start_request(f, "o-1");
    TpWs__SignalWithStartWorkflowExecutionRequest q =
        TP_WS__SIGNAL_WITH_START_WORKFLOW_EXECUTION_REQUEST__INIT;
    q.namespace_ = S("default");
    q.workflow_id = s->workflow_id;
    q.workflow_type = s->workflow_type;
    q.task_queue = s->task_queue;
    q.request_id = S("r-1");
    q.signal_name = S("approve");
    TpWs__SignalWithStartWorkflowExecutionResponse *a =
        fx_must(f, TL_M_SignalWithStartWorkflowExecution, &q);
    assert_true(a->started);
    assert_string_equal(fx_history(f, "o-1", "", 0), "1 26 5");
    q.request_id = S("r-2");
    TpWs__SignalWithStartWorkflowExecutionResponse *b =
        fx_must(f, TL_M_SignalWithStartWorkflowExecution, &q);
    assert_false(b->started);
    assert_string_equal(a->run_id, b->run_id);
    assert_string_equal(fx_history(f, "o-1", "", 0), "1 26 5 26");
}

static void test_long_polls(void **state)
{
    struct fx *f = *state;
    struct fx_call close, more;
    fx_start_workflow(f, "o-1");
    TpWs__GetWorkflowExecutionHistoryRequest *q = fx_history_request(f, "o-1", "");
    q->wait_new_event = true;
    TpWs__GetWorkflowExecutionHistoryResponse *h = fx_must(f, TL_M_GetWorkflowExecutionHistory, q);
    assert_int_equal(h->history->n_events, 2);
    assert_true(h->next_page_token.len > 0);
    q->next_page_token = h->next_page_token;
    fx_start(f, &more, TL_M_GetWorkflowExecutionHistory, q);
    TpWs__GetWorkflowExecutionHistoryRequest *qc = fx_history_request(f, "o-1", "");
    qc->wait_new_event = true;
    qc->history_event_filter_type =
        (TpEnums__HistoryEventFilterType)HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT;
    int64_t before = f->now_ns;
    h = fx_must(f, TL_M_GetWorkflowExecutionHistory, qc); /* nothing in 20 s */
    assert_int_equal(f->now_ns - before, 20 * TL_NS_PER_S);
    assert_int_equal(h->history->n_events, 0);
    assert_true(h->next_page_token.len > 0);
    assert_non_null(more.res); /* that one has run out too */
    h = fx_end(&more, NULL, NULL, NULL);
    assert_int_equal(h->history->n_events, 0);
    q->next_page_token = h->next_page_token;
    fx_start(f, &more, TL_M_GetWorkflowExecutionHistory, q);
    fx_start(f, &close, TL_M_GetWorkflowExecutionHistory, qc);
    fx_signal(f, "o-1", "approve");
    assert_true(fx_wait(&more, 0));
    h = fx_end(&more, NULL, NULL, NULL);
    assert_int_equal(h->history->n_events, 1);
    assert_int_equal(h->history->events[0]->event_type, EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED);
    assert_null(close.res);
    TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
    fx_complete(f, w->task_token, fx_complete_command(f), NULL);
    assert_true(fx_wait(&close, 0));
    h = fx_end(&close, NULL, NULL, NULL);
    assert_int_equal(h->history->n_events, 1);
    assert_int_equal(h->history->events[0]->event_type, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    assert_int_equal(h->next_page_token.len, 0);
}

static void test_polls(void **state)
{
    struct fx *f = *state;
    struct fx_call dead, poll;
    /* parked first: sync match; a cancelled one is passed over */
    fx_start(f, &dead, TL_M_PollWorkflowTaskQueue, fx_poll_request(f, "orders", false));
    fx_pump(f);
    fx_start(f, &poll, TL_M_PollWorkflowTaskQueue, fx_poll_request(f, "orders", false));
    fx_pump(f);
    tl_rpc_cancel(dead.handle);
    fx_start_workflow(f, "o-1");
    assert_true(fx_wait(&poll, 0));
    TpWs__PollWorkflowTaskQueueResponse *w = fx_end(&poll, NULL, NULL, NULL);
    assert_string_equal(w->workflow_execution->workflow_id, "o-1");
    assert_true(fx_wait(&dead, 0));
    int status;
    assert_null(fx_end(&dead, &status, NULL, NULL));
    assert_int_equal(status, 1);
    /* a poll without a task ends empty a second before a minute */
    int64_t before = f->now_ns;
    w = fx_must(f, TL_M_PollWorkflowTaskQueue, fx_poll_request(f, "nothing-here", false));
    assert_int_equal(w->task_token.len, 0);
    assert_int_equal(f->now_ns - before, 59 * TL_NS_PER_S);
    TpWs__DescribeTaskQueueRequest d = TP_WS__DESCRIBE_TASK_QUEUE_REQUEST__INIT;
    d.namespace_ = S("default");
    d.task_queue = fx_queue(f, "orders", false);
    d.task_queue_type = (TpEnums__TaskQueueType)TASK_QUEUE_TYPE_WORKFLOW;
    TpWs__DescribeTaskQueueResponse *q = fx_must(f, TL_M_DescribeTaskQueue, &d);
    assert_int_equal(q->n_pollers, 1);
    assert_string_equal(q->pollers[0]->identity, "worker");
}

/* The caller goes away between the match and the commit that releases the answer. */
static void test_undelivered(void **state)
{
    struct fx *f = *state;
    struct fx_call poll, start;
    int status;
    fx_start(f, &poll, TL_M_PollWorkflowTaskQueue, fx_poll_request(f, "orders", false));
    fx_pump(f);
    fx_start(f, &start, TL_M_StartWorkflowExecution, fx_start_request(f, "o-1"));
    tl_server_step(f->s); /* matched, not committed */
    tl_rpc_cancel(poll.handle);
    assert_true(fx_wait(&poll, 0));
    assert_null(fx_end(&poll, &status, NULL, NULL));
    assert_int_equal(status, 1);
    assert_non_null(fx_end(&start, NULL, NULL, NULL));
    TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f); /* no timeout has passed */
    assert_int_equal(w->attempt, 1);
    fx_complete(f, w->task_token, fx_activity_command(f, "1", 3), NULL);
    TpWs__PollActivityTaskQueueResponse *a = fx_poll_activity(f);
    assert_int_equal(a->attempt, 1);
    fx_complete_activity(f, a->task_token);
}

static void test_shutdown_worker(void **state)
{
    struct fx *f = *state;
    struct fx_call poll;
    fx_start(f, &poll, TL_M_PollWorkflowTaskQueue, fx_poll_request(f, "host-1", true));
    fx_pump(f);
    TpWs__ShutdownWorkerRequest r = TP_WS__SHUTDOWN_WORKER_REQUEST__INIT;
    r.namespace_ = S("default");
    r.sticky_task_queue = S("host-1");
    fx_must(f, TL_M_ShutdownWorker, &r);
    TpWs__PollWorkflowTaskQueueResponse *w = fx_end(&poll, NULL, NULL, NULL);
    assert_non_null(w);
    assert_int_equal(w->task_token.len, 0);
}

/* What waits for a worker that leaves, and what comes for it later, goes to the others at once. */
static void test_shutdown_worker_frees_its_queue(void **state)
{
    struct fx *f = *state;
    struct fx_call poll;
    for (int i = 0; i < 2; i++) {
        const char *id = i ? "o-2" : "o-1";
        fx_start_workflow(f, id);
        TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
        fx_start(f, &poll, TL_M_PollWorkflowTaskQueue, fx_poll_request(f, "host-1", true));
        fx_pump(f);
        fx_must(f, TL_M_RespondWorkflowTaskCompleted,
                fx_completion(f, w->task_token, NULL, NULL, "host-1"));
        fx_signal(f, id, "a");
        assert_true(fx_wait(&poll, 0));
        w = fx_end(&poll, NULL, NULL, NULL);
        fx_must(f, TL_M_RespondWorkflowTaskCompleted,
                fx_completion(f, w->task_token, NULL, NULL, "host-1"));
    }
    int64_t before = f->now_ns;
    fx_signal(f, "o-1", "b"); /* waits in the sticky queue */
    TpWs__ShutdownWorkerRequest r = TP_WS__SHUTDOWN_WORKER_REQUEST__INIT;
    r.namespace_ = S("default");
    r.sticky_task_queue = S("host-1");
    fx_must(f, TL_M_ShutdownWorker, &r);
    fx_signal(f, "o-2", "b");
    for (int i = 0; i < 2; i++) {
        TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
        assert_string_equal(w->workflow_execution->workflow_id, i ? "o-2" : "o-1");
        assert_int_equal(w->history->events[0]->event_id, 1);
    }
    assert_int_equal(f->now_ns, before);
}

static void test_sticky(void **state)
{
    struct fx *f = *state;
    fx_start_workflow(f, "o-1");
    TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
    struct fx_call poll;
    fx_start(f, &poll, TL_M_PollWorkflowTaskQueue, fx_poll_request(f, "host-1", true));
    fx_pump(f);
    fx_must(f, TL_M_RespondWorkflowTaskCompleted,
            fx_completion(f, w->task_token, NULL, NULL, "host-1"));
    fx_signal(f, "o-1", "a");
    assert_true(fx_wait(&poll, 0));
    w = fx_end(&poll, NULL, NULL, NULL);
    assert_int_equal(w->previous_started_event_id, 3);
    assert_int_equal(w->history->n_events, 4); /* completed, signaled, scheduled, started */
    assert_int_equal(w->history->events[0]->event_id, 4);
    fx_must(f, TL_M_RespondWorkflowTaskCompleted,
            fx_completion(f, w->task_token, NULL, NULL, "host-1"));
    /* nobody polls the sticky queue any more: the normal queue gets the next one at once */
    f->now_ns += 11 * TL_NS_PER_S;
    fx_signal(f, "o-1", "b");
    int64_t before = f->now_ns;
    w = fx_poll(f);
    assert_int_equal(f->now_ns, before);
    assert_int_equal(w->history->events[0]->event_id, 1);
}

static TpWs__QueryWorkflowRequest *query_request(struct fx *f, const char *id)
{
    TpWs__QueryWorkflowRequest *q =
        TL_PB_NEW(&f->arena, TpWs__QueryWorkflowRequest, tp_ws__query_workflow_request);
    q->namespace_ = S("default");
    q->execution = fx_execution(f, id, "");
    q->query = TL_PB_NEW(&f->arena, TpQuery__WorkflowQuery, tp_query__workflow_query);
    q->query->query_type = S("status");
    return q;
}

static void test_query(void **state)
{
    struct fx *f = *state;
    struct fx_call query;
    int status;
    char *message;
    TpRpc__Status *st;
    fx_start_workflow(f, "o-1");
    fx_complete(f, fx_poll(f)->task_token, NULL, NULL);
    /* direct */
    fx_start(f, &query, TL_M_QueryWorkflow, query_request(f, "o-1"));
    fx_pump(f);
    TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
    assert_non_null(w->query);
    assert_string_equal(w->query->query_type, "status");
    assert_int_equal(w->history->n_events, 4);
    TpWs__RespondQueryTaskCompletedRequest r = TP_WS__RESPOND_QUERY_TASK_COMPLETED_REQUEST__INIT;
    r.namespace_ = S("default");
    r.task_token = w->task_token;
    r.completed_type = (TpEnums__QueryResultType)QUERY_RESULT_TYPE_ANSWERED;
    r.query_result = TL_PB_NEW(&f->arena, TpCommon__Payloads, tp_common__payloads);
    fx_must(f, TL_M_RespondQueryTaskCompleted, &r);
    TpWs__QueryWorkflowResponse *a = fx_end(&query, NULL, NULL, NULL);
    assert_non_null(a->query_result);
    assert_null(
        fx_try(f, TL_M_RespondQueryTaskCompleted, &r, &status, &message, NULL)); /* once only */
    assert_int_equal(status, 5);
    /* failed */
    fx_start(f, &query, TL_M_QueryWorkflow, query_request(f, "o-1"));
    fx_pump(f);
    w = fx_poll(f);
    r.task_token = w->task_token;
    r.completed_type = (TpEnums__QueryResultType)QUERY_RESULT_TYPE_FAILED;
    r.error_message = S("no such query");
    fx_must(f, TL_M_RespondQueryTaskCompleted, &r);
    assert_null(fx_end(&query, &status, &message, &st));
    assert_int_equal(status, 3);
    assert_string_equal(message, "no such query");
    assert_non_null(fx_detail(f, st, &tp_errdetails__query_failed_failure__descriptor));
    /* with a task pending it rides on the task */
    fx_signal(f, "o-1", "a");
    fx_start(f, &query, TL_M_QueryWorkflow, query_request(f, "o-1"));
    fx_pump(f);
    w = fx_poll(f);
    assert_null(w->query);
    assert_int_equal(w->n_queries, 1);
    TpWs__RespondWorkflowTaskCompletedRequest *done =
        fx_completion(f, w->task_token, NULL, NULL, NULL);
    TpWs__RespondWorkflowTaskCompletedRequest__QueryResultsEntry e =
        TP_WS__RESPOND_WORKFLOW_TASK_COMPLETED_REQUEST__QUERY_RESULTS_ENTRY__INIT;
    TpWs__RespondWorkflowTaskCompletedRequest__QueryResultsEntry *list[1] = {&e};
    TpQuery__WorkflowQueryResult result = TP_QUERY__WORKFLOW_QUERY_RESULT__INIT;
    result.result_type = (TpEnums__QueryResultType)QUERY_RESULT_TYPE_ANSWERED;
    result.answer = r.query_result;
    e.key = w->queries[0]->key;
    e.value = &result;
    done->n_query_results = 1;
    done->query_results = list;
    fx_must(f, TL_M_RespondWorkflowTaskCompleted, done);
    assert_true(fx_wait(&query, 0));
    assert_non_null(fx_end(&query, NULL, NULL, NULL));
    /* nobody there */
    assert_null(fx_try(f, TL_M_QueryWorkflow, query_request(f, "o-1"), &status, &message, NULL));
    assert_true(status == 4 || status == 9);
}

static void test_list_and_count(void **state)
{
    struct fx *f = *state;
    int status;
    char *message;
    for (int i = 0; i < 5; i++) {
        char id[16];
        snprintf(id, sizeof id, "o-%d", i);
        fx_start_workflow(f, id);
        f->now_ns += TL_NS_PER_S;
    }
    fx_complete(f, fx_poll(f)->task_token, fx_complete_command(f), NULL); /* o-0 */
    TpWs__ListWorkflowExecutionsRequest l = TP_WS__LIST_WORKFLOW_EXECUTIONS_REQUEST__INIT;
    l.namespace_ = S("default");
    l.page_size = 3;
    TpWs__ListWorkflowExecutionsResponse *page = fx_must(f, TL_M_ListWorkflowExecutions, &l);
    assert_int_equal(page->n_executions, 3);
    assert_string_equal(page->executions[0]->execution->workflow_id, "o-4");
    l.next_page_token = page->next_page_token;
    page = fx_must(f, TL_M_ListWorkflowExecutions, &l);
    assert_int_equal(page->n_executions, 2);
    assert_string_equal(page->executions[1]->execution->workflow_id, "o-0");
    assert_int_equal(page->executions[1]->status, WORKFLOW_EXECUTION_STATUS_COMPLETED);
    assert_non_null(page->executions[1]->close_time);
    l.next_page_token.len = 0;
    l.query = S("ExecutionStatus = 'Completed' AND WorkflowType = 'Order'");
    page = fx_must(f, TL_M_ListWorkflowExecutions, &l);
    assert_int_equal(page->n_executions, 1);
    l.query = S("WorkflowTyp = 'Order'");
    assert_null(fx_try(f, TL_M_ListWorkflowExecutions, &l, &status, &message, NULL));
    assert_int_equal(status, 3);
    assert_non_null(strstr(message, "did you mean \"WorkflowType\""));
    TpWs__CountWorkflowExecutionsRequest c = TP_WS__COUNT_WORKFLOW_EXECUTIONS_REQUEST__INIT;
    c.namespace_ = S("default");
    TpWs__CountWorkflowExecutionsResponse *n = fx_must(f, TL_M_CountWorkflowExecutions, &c);
    assert_int_equal(n->count, 5);
    c.query = S("GROUP BY ExecutionStatus");
    n = fx_must(f, TL_M_CountWorkflowExecutions, &c);
    assert_int_equal(n->n_groups, 2);
    assert_int_equal(n->groups[0]->count + n->groups[1]->count, 5);
    TpWs__ListOpenWorkflowExecutionsRequest o = TP_WS__LIST_OPEN_WORKFLOW_EXECUTIONS_REQUEST__INIT;
    o.namespace_ = S("default");
    TpWs__ListOpenWorkflowExecutionsResponse *open =
        fx_must(f, TL_M_ListOpenWorkflowExecutions, &o);
    assert_int_equal(open->n_executions, 4);
    TpWs__ListClosedWorkflowExecutionsRequest k =
        TP_WS__LIST_CLOSED_WORKFLOW_EXECUTIONS_REQUEST__INIT;
    k.namespace_ = S("default");
    TpWs__ListClosedWorkflowExecutionsResponse *closed =
        fx_must(f, TL_M_ListClosedWorkflowExecutions, &k);
    assert_int_equal(closed->n_executions, 1);
}

static void test_timer_and_timeouts(void **state)
{
    struct fx *f = *state;
    fx_start_workflow(f, "o-1");
    fx_complete(f, fx_poll(f)->task_token, fx_timer_command(f, "1", 3600000), NULL);
    struct fx_call poll;
    int64_t before = f->now_ns;
    for (int i = 0; i < 100; i++) { /* polls expire and come again until the timer has fired */
        fx_start(f, &poll, TL_M_PollWorkflowTaskQueue, fx_poll_request(f, "orders", false));
        assert_true(fx_wait(&poll, 60 * TL_NS_PER_S));
        TpWs__PollWorkflowTaskQueueResponse *w = fx_end(&poll, NULL, NULL, NULL);
        if (w->task_token.len) {
            assert_int_equal(f->now_ns - before, 3600 * TL_NS_PER_S);
            /* the worker says nothing: the task times out and comes again */
            w = fx_poll(f);
            assert_int_equal(w->attempt, 2);
            assert_int_equal(f->now_ns - before, 3610 * TL_NS_PER_S);
            fx_complete(f, w->task_token, fx_complete_command(f), NULL);
            return;
        }
    }
    fail_msg("the timer did not fire");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fx_setup_memory, fx_teardown)
    const struct CMUnitTest tests[] = {
        T(test_one_activity_workflow),
        T(test_reverse_history),
        T(test_namespaces),
        T(test_unimplemented_and_malformed),
        T(test_id_policies),
        T(test_missing_fields),
        T(test_signal_cancel_terminate_delete),
        T(test_signal_with_start),
        T(test_long_polls),
        T(test_polls),
        T(test_undelivered),
        T(test_shutdown_worker),
        T(test_shutdown_worker_frees_its_queue),
        T(test_sticky),
        T(test_query),
        T(test_list_and_count),
        T(test_timer_and_timeouts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
