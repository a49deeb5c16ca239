/* Nexus on the embedded server: endpoints, requests to handlers and their answers, retries, timeouts,
 * cancellation, operations that a workflow carries on with; each also over a crash. */
#include <temporal/api/operatorservice/v1/request_response.pb-c.h>

#include "test_server_fixture.h"

/* --- endpoints ------------------------------------------------------------------------------------------ */

static TpNexus__EndpointSpec *spec(struct fx *f, const char *name, const char *namespace_,
                                   const char *queue)
{
    TpNexus__EndpointSpec *s = TL_PB_NEW(&f->arena, TpNexus__EndpointSpec, tp_nexus__endpoint_spec);
    s->name = S(name);
    s->target = TL_PB_NEW(&f->arena, TpNexus__EndpointTarget, tp_nexus__endpoint_target);
    s->target->variant_case = TP_NEXUS__ENDPOINT_TARGET__VARIANT_WORKER;
    s->target->worker =
        TL_PB_NEW(&f->arena, TpNexus__EndpointTarget__Worker, tp_nexus__endpoint_target__worker);
    s->target->worker->namespace_ = S(namespace_);
    s->target->worker->task_queue = S(queue);
    return s;
}

static TpNexus__Endpoint *create(struct fx *f, const char *name)
{
    TpOs__CreateNexusEndpointRequest r = TP_OS__CREATE_NEXUS_ENDPOINT_REQUEST__INIT;
    r.spec = spec(f, name, "default", "payments");
    TpOs__CreateNexusEndpointResponse *resp = fx_must(f, TL_M_CreateNexusEndpoint, &r);
    return resp->endpoint;
}

static void refused(struct fx *f, enum tl_method m, const void *r, tl_rc rc, const char *words)
{
    int status;
    char *message;
    assert_null(fx_try(f, m, r, &status, &message, NULL));
    assert_int_equal(status, tl_rc_grpc_status(rc));
    if (!strstr(message, words)) {
        fail_msg("\"%s\" is not in \"%s\"", words, message);
    }
}

static void endpoints_are_made_changed_and_deleted(void **state)
{
    struct fx *f = *state;
    TpNexus__Endpoint *e = create(f, "pay");
    assert_int_equal(e->version, 1);
    assert_non_null(e->created_time);
    TpOs__CreateNexusEndpointRequest again = TP_OS__CREATE_NEXUS_ENDPOINT_REQUEST__INIT;
    again.spec = spec(f, "pay", "default", "other");
    refused(f, TL_M_CreateNexusEndpoint, &again, TL_EEXISTS, "pay already registered");
    fx_crash(f);
    TpOs__UpdateNexusEndpointRequest u = TP_OS__UPDATE_NEXUS_ENDPOINT_REQUEST__INIT;
    u.id = e->id;
    u.version = 7;
    u.spec = spec(f, "pay", "default", "billing");
    refused(f, TL_M_UpdateNexusEndpoint, &u, TL_EPRECONDITION, "received: 7 expected 1");
    u.version = 1;
    TpOs__UpdateNexusEndpointResponse *changed = fx_must(f, TL_M_UpdateNexusEndpoint, &u);
    assert_int_equal(changed->endpoint->version, 2);
    fx_crash(f);
    TpOs__GetNexusEndpointRequest g = TP_OS__GET_NEXUS_ENDPOINT_REQUEST__INIT;
    g.id = e->id;
    TpOs__GetNexusEndpointResponse *got = fx_must(f, TL_M_GetNexusEndpoint, &g);
    assert_string_equal(got->endpoint->spec->target->worker->task_queue, "billing");
    assert_int_equal(got->endpoint->version, 2);
    TpOs__DeleteNexusEndpointRequest d = TP_OS__DELETE_NEXUS_ENDPOINT_REQUEST__INIT;
    d.id = e->id;
    refused(f, TL_M_DeleteNexusEndpoint, &d, TL_EINVAL, "version is non-positive");
    d.version = 1;
    refused(f, TL_M_DeleteNexusEndpoint, &d, TL_EPRECONDITION, "expected 2");
    d.version = 2;
    fx_must(f, TL_M_DeleteNexusEndpoint, &d);
    fx_crash(f);
    refused(f, TL_M_GetNexusEndpoint, &g, TL_ENOTFOUND, e->id);
}

static void bad_endpoints_are_refused(void **state)
{
    struct fx *f = *state;
    TpOs__CreateNexusEndpointRequest r = TP_OS__CREATE_NEXUS_ENDPOINT_REQUEST__INIT;
    refused(f, TL_M_CreateNexusEndpoint, &r, TL_EINVAL,
            "endpoint name not set, empty target variant");
    r.spec = spec(f, "1pay", "default", "q");
    refused(f, TL_M_CreateNexusEndpoint, &r, TL_EINVAL, "must match the regex");
    r.spec = spec(f, "pay-", "default", "q");
    refused(f, TL_M_CreateNexusEndpoint, &r, TL_EINVAL, "must match the regex");
    r.spec = spec(f, "pay", "", "");
    refused(f, TL_M_CreateNexusEndpoint, &r, TL_EINVAL,
            "target namespace not set, invalid target task queue");
    r.spec = spec(f, "pay", "nowhere", "q");
    refused(f, TL_M_CreateNexusEndpoint, &r, TL_EPRECONDITION, "nowhere");
    r.spec = spec(f, "pay", "default", "q");
    r.spec->target->variant_case = TP_NEXUS__ENDPOINT_TARGET__VARIANT_EXTERNAL;
    r.spec->target->external = TL_PB_NEW(&f->arena, TpNexus__EndpointTarget__External,
                                         tp_nexus__endpoint_target__external);
    r.spec->target->external->url = S("http://example.com");
    refused(f, TL_M_CreateNexusEndpoint, &r, TL_EUNIMPLEMENTED, "http://example.com");
    TpOs__GetNexusEndpointRequest g = TP_OS__GET_NEXUS_ENDPOINT_REQUEST__INIT;
    refused(f, TL_M_GetNexusEndpoint, &g, TL_EINVAL, "endpoint ID not set");
}

static void endpoints_are_listed_by_pages_and_by_name(void **state)
{
    struct fx *f = *state;
    TpOs__ListNexusEndpointsRequest r = TP_OS__LIST_NEXUS_ENDPOINTS_REQUEST__INIT;
    create(f, "aa");
    create(f, "bb");
    create(f, "cc");
    r.page_size = 2;
    TpOs__ListNexusEndpointsResponse *one = fx_must(f, TL_M_ListNexusEndpoints, &r);
    assert_int_equal(one->n_endpoints, 2);
    assert_true(one->next_page_token.len > 0);
    r.next_page_token = one->next_page_token;
    TpOs__ListNexusEndpointsResponse *two = fx_must(f, TL_M_ListNexusEndpoints, &r);
    assert_int_equal(two->n_endpoints, 1);
    assert_int_equal(two->next_page_token.len, 0);
    assert_string_equal(two->endpoints[0]->spec->name, "cc");
    r = (TpOs__ListNexusEndpointsRequest)TP_OS__LIST_NEXUS_ENDPOINTS_REQUEST__INIT;
    r.name = S("bb");
    TpOs__ListNexusEndpointsResponse *named = fx_must(f, TL_M_ListNexusEndpoints, &r);
    assert_int_equal(named->n_endpoints, 1);
    assert_string_equal(named->endpoints[0]->spec->name, "bb");
    r.name = S("");
    r.page_size = 1001;
    refused(f, TL_M_ListNexusEndpoints, &r, TL_EINVAL, "exceeds limit of 1000");
    r.page_size = 0;
    r.next_page_token = tl_pb_bytes_view(tl_str("gone"));
    refused(f, TL_M_ListNexusEndpoints, &r, TL_EPRECONDITION, "next page token");
}

/* --- operations ------------------------------------------------------------------------------------------ */

static TpCommand__Command *schedule(struct fx *f, const char *endpoint, int64_t close_ms,
                                    int64_t start_ms, int64_t run_ms)
{
    TpCommand__Command *c = fx_command(f, COMMAND_TYPE_SCHEDULE_NEXUS_OPERATION);
    TpCommand__ScheduleNexusOperationCommandAttributes *a =
        TL_PB_NEW(&f->arena, TpCommand__ScheduleNexusOperationCommandAttributes,
                  tp_command__schedule_nexus_operation_command_attributes);
    c->attributes_case =
        TP_COMMAND__COMMAND__ATTRIBUTES_SCHEDULE_NEXUS_OPERATION_COMMAND_ATTRIBUTES;
    c->schedule_nexus_operation_command_attributes = a;
    a->endpoint = S(endpoint);
    a->service = S("payments");
    a->operation = S("charge");
    a->input = TL_PB_NEW(&f->arena, TpCommon__Payload, tp_common__payload);
    a->input->data = tl_pb_bytes_view(tl_str("42"));
    a->schedule_to_close_timeout = close_ms ? tl_pb_duration_ms(&f->arena, close_ms) : NULL;
    a->schedule_to_start_timeout = start_ms ? tl_pb_duration_ms(&f->arena, start_ms) : NULL;
    a->start_to_close_timeout = run_ms ? tl_pb_duration_ms(&f->arena, run_ms) : NULL;
    return c;
}

static TpCommand__Command *cancel_command(struct fx *f, int64_t scheduled_id)
{
    TpCommand__Command *c = fx_command(f, COMMAND_TYPE_REQUEST_CANCEL_NEXUS_OPERATION);
    c->attributes_case =
        TP_COMMAND__COMMAND__ATTRIBUTES_REQUEST_CANCEL_NEXUS_OPERATION_COMMAND_ATTRIBUTES;
    c->request_cancel_nexus_operation_command_attributes =
        TL_PB_NEW(&f->arena, TpCommand__RequestCancelNexusOperationCommandAttributes,
                  tp_command__request_cancel_nexus_operation_command_attributes);
    c->request_cancel_nexus_operation_command_attributes->scheduled_event_id = scheduled_id;
    return c;
}

/* A workflow that waits for one operation; its Scheduled event is number 5. */
static void begin(struct fx *f, int64_t close_ms, int64_t start_ms, int64_t run_ms)
{
    create(f, "pay");
    fx_start_workflow(f, "w");
    fx_complete(f, fx_poll(f)->task_token, schedule(f, "pay", close_ms, start_ms, run_ms), NULL);
}

/* A request to the handlers, waiting at most `ms`. NULL: there is none. */
static TpWs__PollNexusTaskQueueResponse *poll_for(struct fx *f, int64_t ms)
{
    struct fx_call c;
    TpWs__PollNexusTaskQueueRequest r = TP_WS__POLL_NEXUS_TASK_QUEUE_REQUEST__INIT;
    r.namespace_ = S("default");
    r.identity = S("handler");
    r.task_queue = fx_queue(f, "payments", false);
    fx_start(f, &c, TL_M_PollNexusTaskQueue, &r);
    if (!fx_wait(&c, ms * TL_NS_PER_MS)) {
        tl_rpc_cancel(c.handle);
        fx_wait(&c, TL_NS_PER_S);
        fx_end(&c, NULL, NULL, NULL);
        return NULL;
    }
    TpWs__PollNexusTaskQueueResponse *t = fx_end(&c, NULL, NULL, NULL);
    return t && t->task_token.len ? t : NULL;
}

static TpWs__PollNexusTaskQueueResponse *poll(struct fx *f)
{
    TpWs__PollNexusTaskQueueResponse *t = poll_for(f, 1);
    assert_non_null(t);
    return t;
}

static TpWs__RespondNexusTaskCompletedRequest *answer(struct fx *f, ProtobufCBinaryData token)
{
    TpWs__RespondNexusTaskCompletedRequest *r =
        TL_PB_NEW(&f->arena, TpWs__RespondNexusTaskCompletedRequest,
                  tp_ws__respond_nexus_task_completed_request);
    r->namespace_ = S("default");
    r->task_token = token;
    r->response = TL_PB_NEW(&f->arena, TpNexus__Response, tp_nexus__response);
    return r;
}

static TpNexus__StartOperationResponse *of_start(struct fx *f,
                                                 TpWs__RespondNexusTaskCompletedRequest *r)
{
    r->response->variant_case = TP_NEXUS__RESPONSE__VARIANT_START_OPERATION;
    r->response->start_operation =
        TL_PB_NEW(&f->arena, TpNexus__StartOperationResponse, tp_nexus__start_operation_response);
    return r->response->start_operation;
}

static TpWs__RespondNexusTaskCompletedRequest *sync_answer(struct fx *f, ProtobufCBinaryData token)
{
    TpWs__RespondNexusTaskCompletedRequest *r = answer(f, token);
    TpNexus__StartOperationResponse *s = of_start(f, r);
    s->variant_case = TP_NEXUS__START_OPERATION_RESPONSE__VARIANT_SYNC_SUCCESS;
    s->sync_success = TL_PB_NEW(&f->arena, TpNexus__StartOperationResponse__Sync,
                                tp_nexus__start_operation_response__sync);
    s->sync_success->payload = TL_PB_NEW(&f->arena, TpCommon__Payload, tp_common__payload);
    s->sync_success->payload->data = tl_pb_bytes_view(tl_str("paid"));
    return r;
}

static void answer_async(struct fx *f, ProtobufCBinaryData token)
{
    TpWs__RespondNexusTaskCompletedRequest *r = answer(f, token);
    TpNexus__StartOperationResponse *s = of_start(f, r);
    s->variant_case = TP_NEXUS__START_OPERATION_RESPONSE__VARIANT_ASYNC_SUCCESS;
    s->async_success = TL_PB_NEW(&f->arena, TpNexus__StartOperationResponse__Async,
                                 tp_nexus__start_operation_response__async);
    s->async_success->operation_token = S("op-1");
    fx_must(f, TL_M_RespondNexusTaskCompleted, r);
}

static void answer_cancel(struct fx *f, ProtobufCBinaryData token)
{
    TpWs__RespondNexusTaskCompletedRequest *r = answer(f, token);
    r->response->variant_case = TP_NEXUS__RESPONSE__VARIANT_CANCEL_OPERATION;
    r->response->cancel_operation =
        TL_PB_NEW(&f->arena, TpNexus__CancelOperationResponse, tp_nexus__cancel_operation_response);
    fx_must(f, TL_M_RespondNexusTaskCompleted, r);
}

static TpWs__RespondNexusTaskFailedRequest *failed_answer(struct fx *f, ProtobufCBinaryData token,
                                                          const char *type)
{
    TpWs__RespondNexusTaskFailedRequest *r = TL_PB_NEW(
        &f->arena, TpWs__RespondNexusTaskFailedRequest, tp_ws__respond_nexus_task_failed_request);
    r->namespace_ = S("default");
    r->task_token = token;
    r->failure = TL_PB_NEW(&f->arena, TpFailure__Failure, tp_failure__failure);
    r->failure->message = S("no luck");
    r->failure->failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_NEXUS_HANDLER_FAILURE_INFO;
    r->failure->nexus_handler_failure_info = TL_PB_NEW(
        &f->arena, TpFailure__NexusHandlerFailureInfo, tp_failure__nexus_handler_failure_info);
    r->failure->nexus_handler_failure_info->type = S(type);
    return r;
}

static void answer_failed(struct fx *f, ProtobufCBinaryData token, const char *type)
{
    fx_must(f, TL_M_RespondNexusTaskFailed, failed_answer(f, token, type));
}

static TpWorkflow__PendingNexusOperationInfo *pending(struct fx *f)
{
    TpWs__DescribeWorkflowExecutionResponse *d = fx_describe(f, "w", "");
    return d->n_pending_nexus_operations ? d->pending_nexus_operations[0] : NULL;
}

static TpHistory__HistoryEvent *last_event(struct fx *f, int type)
{
    TpWs__GetWorkflowExecutionHistoryResponse *h =
        fx_must(f, TL_M_GetWorkflowExecutionHistory, fx_history_request(f, "w", ""));
    for (size_t i = h->history->n_events; i-- > 0;) {
        if ((int)h->history->events[i]->event_type == type) {
            return h->history->events[i];
        }
    }
    fail_msg("no event of type %d", type);
    return NULL;
}

static const char *header(const TpNexus__Request *r, const char *key)
{
    for (size_t i = 0; i < r->n_header; i++) {
        if (strcmp(r->header[i]->key, key) == 0) {
            return r->header[i]->value;
        }
    }
    return "";
}

static void a_request_is_answered_at_once(void **state)
{
    struct fx *f = *state;
    begin(f, 20000, 0, 0);
    assert_int_equal((int)pending(f)->state, PENDING_NEXUS_OPERATION_STATE_SCHEDULED);
    TpWs__PollNexusTaskQueueResponse *t = poll(f);
    const TpNexus__StartOperationRequest *s = t->request->start_operation;
    assert_int_equal((int)t->request->variant_case, TP_NEXUS__REQUEST__VARIANT_START_OPERATION);
    assert_string_equal(s->service, "payments");
    assert_string_equal(s->operation, "charge");
    assert_string_equal(s->callback, "temporal://system");
    assert_string_equal(t->request->endpoint, "pay");
    assert_true(t->request->capabilities->temporal_failure_responses);
    assert_string_equal(header(t->request, "request-timeout"), "10000ms");
    assert_string_equal(header(t->request, "operation-timeout"), "20000ms");
    assert_int_equal(s->n_links, 1);
    assert_non_null(strstr(s->links[0]->url, "/workflows/w/"));
    assert_non_null(strstr(s->links[0]->url,
                           "history?eventID=5&eventType=NexusOperationScheduled&referenceType="
                           "EventReference"));
    fx_must(f, TL_M_RespondNexusTaskCompleted, sync_answer(f, t->task_token));
    assert_null(pending(f));
    assert_string_equal(fx_history(f, "w", "", 0), "1 5 6 7 48 50 5");
    const TpCommon__Payload *p = last_event(f, EVENT_TYPE_NEXUS_OPERATION_COMPLETED)
                                     ->nexus_operation_completed_event_attributes->result;
    assert_true(tl_str_eqc(tl_pb_str(p->data), "paid"));
    refused(f, TL_M_RespondNexusTaskCompleted, sync_answer(f, t->task_token), TL_ENOTFOUND,
            "not found or already expired");
}

static void what_a_crash_loses_is_asked_again(void **state)
{
    struct fx *f = *state;
    begin(f, 0, 0, 0);
    TpWs__PollNexusTaskQueueResponse *t = poll(f);
    assert_null(poll_for(f, 1));
    fx_crash(f);
    TpWs__PollNexusTaskQueueResponse *again = poll(f);
    assert_string_equal(again->request->start_operation->request_id,
                        t->request->start_operation->request_id);
    /* The first handler's answer counts as well. */
    fx_must(f, TL_M_RespondNexusTaskCompleted, sync_answer(f, t->task_token));
    refused(f, TL_M_RespondNexusTaskCompleted, sync_answer(f, again->task_token), TL_ENOTFOUND,
            "already expired");
    fx_crash(f);
    assert_string_equal(fx_history(f, "w", "", 0), "1 5 6 7 48 50 5");
}

static void a_handler_that_fails_is_asked_again_later(void **state)
{
    struct fx *f = *state;
    begin(f, 0, 0, 0);
    answer_failed(f, poll(f)->task_token, "INTERNAL");
    TpWorkflow__PendingNexusOperationInfo *p = pending(f);
    assert_int_equal((int)p->state, PENDING_NEXUS_OPERATION_STATE_BACKING_OFF);
    assert_int_equal(p->attempt, 1);
    assert_string_equal(p->last_attempt_failure->message, "no luck");
    assert_non_null(p->next_attempt_schedule_time);
    fx_crash(f);
    p = pending(f);
    assert_int_equal((int)p->state, PENDING_NEXUS_OPERATION_STATE_BACKING_OFF);
    assert_int_equal(p->attempt, 1);
    assert_null(poll_for(f, 900));
    TpWs__PollNexusTaskQueueResponse *t = poll_for(f, 200);
    assert_non_null(t);
    answer_failed(f, t->task_token, "UNAVAILABLE");
    assert_null(poll_for(f, 1900)); /* twice as long */
    t = poll_for(f, 200);
    fx_must(f, TL_M_RespondNexusTaskCompleted, sync_answer(f, t->task_token));
    assert_string_equal(fx_history(f, "w", "", 0), "1 5 6 7 48 50 5");
}

static void a_handler_that_does_not_answer_is_asked_again(void **state)
{
    struct fx *f = *state;
    begin(f, 0, 0, 0);
    TpWs__PollNexusTaskQueueResponse *t = poll(f);
    assert_null(poll_for(f, 9900));
    assert_int_equal((int)pending(f)->state, PENDING_NEXUS_OPERATION_STATE_SCHEDULED);
    TpWs__PollNexusTaskQueueResponse *again = poll_for(f, 1300);
    assert_non_null(again);
    assert_string_equal(pending(f)->last_attempt_failure->message, "request timed out");
    refused(f, TL_M_RespondNexusTaskCompleted, sync_answer(f, t->task_token), TL_ENOTFOUND,
            "already expired");
    fx_must(f, TL_M_RespondNexusTaskCompleted, sync_answer(f, again->task_token));
}

static void some_errors_are_final(void **state)
{
    struct fx *f = *state;
    begin(f, 0, 0, 0);
    answer_failed(f, poll(f)->task_token, "BAD_REQUEST");
    assert_string_equal(fx_history(f, "w", "", 0), "1 5 6 7 48 51 5");
    const TpFailure__Failure *x = last_event(f, EVENT_TYPE_NEXUS_OPERATION_FAILED)
                                      ->nexus_operation_failed_event_attributes->failure;
    assert_string_equal(x->message, "nexus operation completed unsuccessfully");
    assert_int_equal(x->nexus_operation_execution_failure_info->scheduled_event_id, 5);
    assert_string_equal(x->nexus_operation_execution_failure_info->operation, "charge");
    assert_string_equal(x->cause->nexus_handler_failure_info->type, "BAD_REQUEST");
}

static void an_operation_fails_or_is_canceled(void **state)
{
    struct fx *f = *state;
    begin(f, 0, 0, 0);
    TpWs__RespondNexusTaskCompletedRequest *r = answer(f, poll(f)->task_token);
    TpNexus__StartOperationResponse *s = of_start(f, r);
    s->variant_case = TP_NEXUS__START_OPERATION_RESPONSE__VARIANT_OPERATION_ERROR;
    s->operation_error = TL_PB_NEW(&f->arena, TpNexus__UnsuccessfulOperationError,
                                   tp_nexus__unsuccessful_operation_error);
    s->operation_error->operation_state = S("canceled");
    s->operation_error->failure = TL_PB_NEW(&f->arena, TpNexus__Failure, tp_nexus__failure);
    s->operation_error->failure->message = S("too late");
    fx_must(f, TL_M_RespondNexusTaskCompleted, r);
    const TpFailure__Failure *x = last_event(f, EVENT_TYPE_NEXUS_OPERATION_CANCELED)
                                      ->nexus_operation_canceled_event_attributes->failure;
    assert_string_equal(x->cause->message, "too late");
    assert_int_equal((int)x->cause->failure_info_case,
                     TP_FAILURE__FAILURE__FAILURE_INFO_CANCELED_FAILURE_INFO);
}

static void time_out(struct fx *f, int timeout_type)
{
    TpHistory__HistoryEvent *e = last_event(f, EVENT_TYPE_NEXUS_OPERATION_TIMED_OUT);
    const TpFailure__Failure *x = e->nexus_operation_timed_out_event_attributes->failure;
    assert_string_equal(x->cause->message, "operation timed out");
    assert_int_equal((int)x->cause->timeout_failure_info->timeout_type, timeout_type);
    assert_null(pending(f));
}

static void an_operation_that_nobody_takes_times_out(void **state)
{
    struct fx *f = *state;
    begin(f, 60000, 2000, 0);
    fx_crash(f);
    f->now_ns += 2 * TL_NS_PER_S;
    fx_pump(f);
    time_out(f, TIMEOUT_TYPE_SCHEDULE_TO_START);
    assert_null(poll_for(f, 1)); /* its request is gone */
}

static void an_operation_that_does_not_end_times_out(void **state)
{
    struct fx *f = *state;
    begin(f, 60000, 2000, 5000);
    answer_async(f, poll(f)->task_token);
    assert_int_equal((int)pending(f)->state, PENDING_NEXUS_OPERATION_STATE_STARTED);
    assert_string_equal(pending(f)->operation_token, "op-1");
    fx_crash(f);
    assert_string_equal(pending(f)->operation_token, "op-1");
    f->now_ns += 3 * TL_NS_PER_S;
    fx_pump(f);
    assert_non_null(pending(f));
    f->now_ns += 3 * TL_NS_PER_S;
    fx_pump(f);
    time_out(f, TIMEOUT_TYPE_START_TO_CLOSE);
}

static void the_whole_times_out(void **state)
{
    struct fx *f = *state;
    begin(f, 4000, 0, 0);
    answer_async(f, poll(f)->task_token);
    f->now_ns += 4 * TL_NS_PER_S;
    fx_pump(f);
    time_out(f, TIMEOUT_TYPE_SCHEDULE_TO_CLOSE);
}

static void a_cancellation_reaches_the_handler_once_it_has_started(void **state)
{
    struct fx *f = *state;
    begin(f, 0, 0, 0);
    fx_signal(f, "w", "stop");
    fx_complete(f, fx_poll(f)->task_token, cancel_command(f, 5), NULL);
    TpWs__PollNexusTaskQueueResponse *t = poll(f); /* the start comes first */
    assert_int_equal((int)t->request->variant_case, TP_NEXUS__REQUEST__VARIANT_START_OPERATION);
    answer_async(f, t->task_token);
    t = poll(f);
    assert_int_equal((int)t->request->variant_case, TP_NEXUS__REQUEST__VARIANT_CANCEL_OPERATION);
    assert_string_equal(t->request->cancel_operation->operation_token, "op-1");
    answer_failed(f, t->task_token, "INTERNAL");
    assert_int_equal((int)pending(f)->cancellation_info->state,
                     NEXUS_OPERATION_CANCELLATION_STATE_BACKING_OFF);
    fx_crash(f);
    assert_int_equal(pending(f)->cancellation_info->attempt, 1);
    t = poll_for(f, 1100);
    assert_non_null(t);
    answer_cancel(f, t->task_token);
    assert_int_equal((int)pending(f)->cancellation_info->state,
                     NEXUS_OPERATION_CANCELLATION_STATE_SUCCEEDED);
    assert_int_equal((int)pending(f)->state, PENDING_NEXUS_OPERATION_STATE_STARTED);
    const TpHistory__HistoryEvent *e =
        last_event(f, EVENT_TYPE_NEXUS_OPERATION_CANCEL_REQUEST_COMPLETED);
    assert_int_equal(
        e->nexus_operation_cancel_request_completed_event_attributes->scheduled_event_id, 5);
    assert_true(e->worker_may_ignore);
    assert_null(poll_for(f, 1));
}

static void cancelling_what_is_not_there_is_refused(void **state)
{
    struct fx *f = *state;
    begin(f, 0, 0, 0);
    fx_must(f, TL_M_RespondNexusTaskCompleted, sync_answer(f, poll(f)->task_token));
    refused(f, TL_M_RespondWorkflowTaskCompleted,
            fx_completion(f, fx_poll(f)->task_token, cancel_command(f, 5), NULL, NULL), TL_EINVAL,
            "already completed operation with scheduled event ID of 5");
}

static void a_cancellation_may_cross_the_end(void **state)
{
    struct fx *f = *state;
    begin(f, 0, 0, 0);
    TpWs__PollNexusTaskQueueResponse *t = poll(f);
    fx_signal(f, "w", "stop");
    TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
    fx_must(f, TL_M_RespondNexusTaskCompleted, sync_answer(f, t->task_token)); /* buffered */
    fx_crash(f);
    /* The task's start was written with the buffered event: it goes on. */
    fx_complete(f, w->task_token, cancel_command(f, 5), NULL);
    assert_string_equal(fx_history(f, "w", "", 0), "1 5 6 7 48 26 5 6 7 54 50 5");
}

static void commands_that_cannot_be_are_refused(void **state)
{
    struct fx *f = *state;
    create(f, "pay");
    fx_start_workflow(f, "w");
    refused(f, TL_M_RespondWorkflowTaskCompleted,
            fx_completion(f, fx_poll(f)->task_token, schedule(f, "gone", 0, 0, 0), NULL, NULL),
            TL_EINVAL, "endpoint \"gone\" not found");
    fx_start_workflow(f, "v");
    struct tl_pb_list many = {0};
    for (int i = 0; i < 31; i++) {
        tl_pb_push(&f->arena, &many, schedule(f, "pay", 0, 0, 0));
    }
    TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
    while (strcmp(w->workflow_execution->workflow_id, "v") != 0) {
        w = fx_poll(f);
    }
    TpWs__RespondWorkflowTaskCompletedRequest *r =
        fx_completion(f, w->task_token, NULL, NULL, NULL);
    r->n_commands = many.n;
    r->commands = many.items;
    refused(f, TL_M_RespondWorkflowTaskCompleted, r, TL_EINVAL,
            "pending nexus operation limit of 30");
}

static void an_endpoint_that_is_gone_ends_the_operation(void **state)
{
    struct fx *f = *state;
    begin(f, 0, 0, 0);
    answer_failed(f, poll(f)->task_token, "INTERNAL");
    TpOs__ListNexusEndpointsRequest l = TP_OS__LIST_NEXUS_ENDPOINTS_REQUEST__INIT;
    TpOs__ListNexusEndpointsResponse *all = fx_must(f, TL_M_ListNexusEndpoints, &l);
    TpOs__DeleteNexusEndpointRequest d = TP_OS__DELETE_NEXUS_ENDPOINT_REQUEST__INIT;
    d.id = all->endpoints[0]->id;
    d.version = 1;
    fx_must(f, TL_M_DeleteNexusEndpoint, &d);
    f->now_ns += TL_NS_PER_S;
    fx_pump(f);
    const TpFailure__Failure *x = last_event(f, EVENT_TYPE_NEXUS_OPERATION_FAILED)
                                      ->nexus_operation_failed_event_attributes->failure;
    assert_string_equal(x->cause->message, "endpoint not registered");
}

static void an_endpoint_that_fails_much_is_left_alone(void **state)
{
    struct fx *f = *state;
    begin(f, 0, 0, 0);
    for (int i = 0; i < 6; i++) {
        TpWs__PollNexusTaskQueueResponse *t = poll_for(f, 40000);
        assert_non_null(t);
        answer_failed(f, t->task_token, "UNAVAILABLE");
    }
    f->now_ns += 33 * TL_NS_PER_S;
    fx_pump(f);
    assert_int_equal((int)pending(f)->state, PENDING_NEXUS_OPERATION_STATE_BLOCKED);
    assert_string_equal(pending(f)->blocked_reason, "The circuit breaker is open.");
    assert_null(poll_for(f, 20000));
    TpWs__PollNexusTaskQueueResponse *t = poll_for(f, 30000);
    assert_non_null(t);
    fx_must(f, TL_M_RespondNexusTaskCompleted, sync_answer(f, t->task_token));
}

/* --- operations that a workflow carries on with ----------------------------------------------------------- */

/* The handler's workflow, with the callback of the request. */
static TpWs__StartWorkflowExecutionRequest *handler(struct fx *f, const char *id,
                                                    const TpWs__PollNexusTaskQueueResponse *t)
{
    const TpNexus__StartOperationRequest *s = t->request->start_operation;
    TpWs__StartWorkflowExecutionRequest *r = fx_start_request(f, id);
    TpCommon__Callback *c = TL_PB_NEW(&f->arena, TpCommon__Callback, tp_common__callback);
    TpCommon__Callback__Nexus *n =
        TL_PB_NEW(&f->arena, TpCommon__Callback__Nexus, tp_common__callback__nexus);
    struct tl_pb_list headers = {0}, callbacks = {0};
    for (size_t i = 0; i <= s->n_callback_header; i++) {
        TpCommon__Callback__Nexus__HeaderEntry *h =
            TL_PB_NEW(&f->arena, TpCommon__Callback__Nexus__HeaderEntry,
                      tp_common__callback__nexus__header_entry);
        h->key = i < s->n_callback_header ? s->callback_header[i]->key : S("nexus-operation-token");
        h->value = i < s->n_callback_header ? s->callback_header[i]->value : S("op-1");
        tl_pb_push(&f->arena, &headers, h);
    }
    n->url = s->callback;
    n->n_header = headers.n;
    n->header = headers.items;
    c->variant_case = TP_COMMON__CALLBACK__VARIANT_NEXUS;
    c->nexus = n;
    tl_pb_push(&f->arena, &callbacks, c);
    r->n_completion_callbacks = callbacks.n;
    r->completion_callbacks = callbacks.items;
    r->task_queue->name = S("handlers");
    return r;
}

static TpWs__PollWorkflowTaskQueueResponse *poll_handler(struct fx *f)
{
    return fx_must(f, TL_M_PollWorkflowTaskQueue, fx_poll_request(f, "handlers", false));
}

static void the_end_of_a_workflow_is_the_operations(void **state)
{
    struct fx *f = *state;
    begin(f, 0, 0, 0);
    TpWs__PollNexusTaskQueueResponse *t = poll(f);
    fx_must(f, TL_M_StartWorkflowExecution, handler(f, "h", t));
    answer_async(f, t->task_token);
    TpWs__DescribeWorkflowExecutionResponse *d = fx_describe(f, "h", "");
    assert_int_equal(d->n_callbacks, 1);
    assert_int_equal((int)d->callbacks[0]->state, CALLBACK_STATE_STANDBY);
    fx_crash(f);
    TpCommand__Command *c = fx_complete_command(f);
    struct tl_pb_list list = {0};
    TpCommon__Payload *p = TL_PB_NEW(&f->arena, TpCommon__Payload, tp_common__payload);
    p->data = tl_pb_bytes_view(tl_str("shipped"));
    tl_pb_push(&f->arena, &list, p);
    c->complete_workflow_execution_command_attributes->result =
        TL_PB_NEW(&f->arena, TpCommon__Payloads, tp_common__payloads);
    c->complete_workflow_execution_command_attributes->result->n_payloads = 1;
    c->complete_workflow_execution_command_attributes->result->payloads = list.items;
    fx_complete(f, poll_handler(f)->task_token, c, NULL);
    assert_int_equal((int)fx_describe(f, "h", "")->callbacks[0]->state, CALLBACK_STATE_SUCCEEDED);
    fx_crash(f);
    const TpCommon__Payload *r = last_event(f, EVENT_TYPE_NEXUS_OPERATION_COMPLETED)
                                     ->nexus_operation_completed_event_attributes->result;
    assert_true(tl_str_eqc(tl_pb_str(r->data), "shipped"));
    assert_string_equal(fx_history(f, "w", "", 0), "1 5 6 7 48 49 5 50");
}

static void an_end_before_the_answer_makes_up_the_start(void **state)
{
    struct fx *f = *state;
    begin(f, 0, 0, 0);
    TpWs__PollNexusTaskQueueResponse *t = poll(f);
    fx_must(f, TL_M_StartWorkflowExecution, handler(f, "h", t));
    TpWs__TerminateWorkflowExecutionRequest x = TP_WS__TERMINATE_WORKFLOW_EXECUTION_REQUEST__INIT;
    x.namespace_ = S("default");
    x.workflow_execution = fx_execution(f, "h", "");
    fx_must(f, TL_M_TerminateWorkflowExecution, &x);
    assert_string_equal(fx_history(f, "w", "", 0), "1 5 6 7 48 49 51 5");
    const TpHistory__HistoryEvent *s = last_event(f, EVENT_TYPE_NEXUS_OPERATION_STARTED);
    assert_string_equal(s->nexus_operation_started_event_attributes->operation_token, "op-1");
    assert_int_equal(s->n_links, 1);
    assert_string_equal(s->links[0]->workflow_event->workflow_id, "h");
    assert_string_equal(last_event(f, EVENT_TYPE_NEXUS_OPERATION_FAILED)
                            ->nexus_operation_failed_event_attributes->failure->cause->message,
                        "operation terminated");
    refused(f, TL_M_RespondNexusTaskCompleted, sync_answer(f, t->task_token), TL_ENOTFOUND,
            "already expired");
}

static void a_running_workflow_takes_another_callback(void **state)
{
    struct fx *f = *state;
    fx_start_workflow(f, "other");
    fx_complete(f, fx_poll(f)->task_token, fx_complete_command(f), NULL);
    begin(f, 0, 0, 0);
    TpWs__StartWorkflowExecutionRequest *first = fx_start_request(f, "h");
    first->task_queue->name = S("handlers");
    fx_must(f, TL_M_StartWorkflowExecution, first);
    TpWs__PollNexusTaskQueueResponse *t = poll(f);
    TpWs__StartWorkflowExecutionRequest *r = handler(f, "h", t);
    r->workflow_id_conflict_policy =
        (TpEnums__WorkflowIdConflictPolicy)WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING;
    r->on_conflict_options =
        TL_PB_NEW(&f->arena, TpWorkflow__OnConflictOptions, tp_workflow__on_conflict_options);
    r->on_conflict_options->attach_completion_callbacks = true;
    refused(f, TL_M_StartWorkflowExecution, r, TL_EINVAL, "attaching request ID is required");
    r->on_conflict_options->attach_request_id = true;
    fx_must(f, TL_M_StartWorkflowExecution, r);
    fx_must(f, TL_M_StartWorkflowExecution, r); /* once more: the same request */
    assert_int_equal(fx_describe(f, "h", "")->n_callbacks, 1);
    answer_async(f, t->task_token);
    fx_crash(f);
    fx_complete(f, poll_handler(f)->task_token, fx_complete_command(f), NULL);
    assert_string_equal(fx_history(f, "w", "", 0), "1 5 6 7 48 49 5 50");
}

static void callbacks_to_elsewhere_are_refused(void **state)
{
    struct fx *f = *state;
    begin(f, 0, 0, 0);
    TpWs__StartWorkflowExecutionRequest *r = handler(f, "h", poll(f));
    r->completion_callbacks[0]->nexus->url = S("http://example.com");
    refused(f, TL_M_StartWorkflowExecution, r, TL_EINVAL, "http://example.com");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, fx_setup_file, fx_teardown)
        T(endpoints_are_made_changed_and_deleted),
        T(bad_endpoints_are_refused),
        T(endpoints_are_listed_by_pages_and_by_name),
        T(a_request_is_answered_at_once),
        T(what_a_crash_loses_is_asked_again),
        T(a_handler_that_fails_is_asked_again_later),
        T(a_handler_that_does_not_answer_is_asked_again),
        T(some_errors_are_final),
        T(an_operation_fails_or_is_canceled),
        T(an_operation_that_nobody_takes_times_out),
        T(an_operation_that_does_not_end_times_out),
        T(the_whole_times_out),
        T(a_cancellation_reaches_the_handler_once_it_has_started),
        T(cancelling_what_is_not_there_is_refused),
        T(a_cancellation_may_cross_the_end),
        T(commands_that_cannot_be_are_refused),
        T(an_endpoint_that_is_gone_ends_the_operation),
        T(an_endpoint_that_fails_much_is_left_alone),
        T(the_end_of_a_workflow_is_the_operations),
        T(an_end_before_the_answer_makes_up_the_start),
        T(a_running_workflow_takes_another_callback),
        T(callbacks_to_elsewhere_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
