/* Nexus operations without a workflow on the embedded server: what a start is refused for, answers, timeouts,
 * cancellation and ends; each also over a crash. */
#include <temporal/api/operatorservice/v1/request_response.pb-c.h>

#include "test_server_fixture.h"

typedef TpWs__StartNexusOperationExecutionRequest start_request;

static void make_endpoint(struct fx *f)
{
    TpOs__CreateNexusEndpointRequest r = TP_OS__CREATE_NEXUS_ENDPOINT_REQUEST__INIT;
    r.spec = TL_PB_NEW(&f->arena, TpNexus__EndpointSpec, tp_nexus__endpoint_spec);
    r.spec->name = S("pay");
    r.spec->target = TL_PB_NEW(&f->arena, TpNexus__EndpointTarget, tp_nexus__endpoint_target);
    r.spec->target->variant_case = TP_NEXUS__ENDPOINT_TARGET__VARIANT_WORKER;
    r.spec->target->worker =
        TL_PB_NEW(&f->arena, TpNexus__EndpointTarget__Worker, tp_nexus__endpoint_target__worker);
    r.spec->target->worker->namespace_ = S("default");
    r.spec->target->worker->task_queue = S("payments");
    fx_must(f, TL_M_CreateNexusEndpoint, &r);
}

static start_request *ask(struct fx *f, const char *id)
{
    start_request *r =
        TL_PB_NEW(&f->arena, start_request, tp_ws__start_nexus_operation_execution_request);
    r->namespace_ = S("default");
    r->operation_id = S(id);
    r->endpoint = S("pay");
    r->service = S("payments");
    r->operation = S("charge");
    r->identity = S("tester");
    r->input = TL_PB_NEW(&f->arena, TpCommon__Payload, tp_common__payload);
    r->input->data = tl_pb_bytes_view(tl_str("42"));
    return r;
}

static char *start(struct fx *f, const char *id)
{
    TpWs__StartNexusOperationExecutionResponse *r =
        fx_must(f, TL_M_StartNexusOperationExecution, ask(f, id));
    assert_true(r->started);
    return r->run_id;
}

static TpWs__DescribeNexusOperationExecutionResponse *describe(struct fx *f, const char *id)
{
    TpWs__DescribeNexusOperationExecutionRequest r =
        TP_WS__DESCRIBE_NEXUS_OPERATION_EXECUTION_REQUEST__INIT;
    r.namespace_ = S("default");
    r.operation_id = S(id);
    r.include_input = r.include_outcome = true;
    return fx_must(f, TL_M_DescribeNexusOperationExecution, &r);
}

static int status_of(struct fx *f, const char *id)
{
    return (int)describe(f, id)->info->status;
}

static TpWs__PollNexusTaskQueueResponse *poll(struct fx *f)
{
    TpWs__PollNexusTaskQueueRequest r = TP_WS__POLL_NEXUS_TASK_QUEUE_REQUEST__INIT;
    r.namespace_ = S("default");
    r.identity = S("handler");
    r.task_queue = fx_queue(f, "payments", false);
    TpWs__PollNexusTaskQueueResponse *t = fx_must(f, TL_M_PollNexusTaskQueue, &r);
    assert_true(t->task_token.len > 0);
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

static void answer_start(struct fx *f, const char *result)
{
    TpWs__RespondNexusTaskCompletedRequest *r = answer(f, poll(f)->task_token);
    TpNexus__StartOperationResponse *s =
        TL_PB_NEW(&f->arena, TpNexus__StartOperationResponse, tp_nexus__start_operation_response);
    r->response->variant_case = TP_NEXUS__RESPONSE__VARIANT_START_OPERATION;
    r->response->start_operation = s;
    if (result) {
        s->variant_case = TP_NEXUS__START_OPERATION_RESPONSE__VARIANT_SYNC_SUCCESS;
        s->sync_success = TL_PB_NEW(&f->arena, TpNexus__StartOperationResponse__Sync,
                                    tp_nexus__start_operation_response__sync);
        s->sync_success->payload = TL_PB_NEW(&f->arena, TpCommon__Payload, tp_common__payload);
        s->sync_success->payload->data = tl_pb_bytes_view(tl_str(result));
    } else {
        s->variant_case = TP_NEXUS__START_OPERATION_RESPONSE__VARIANT_ASYNC_SUCCESS;
        s->async_success = TL_PB_NEW(&f->arena, TpNexus__StartOperationResponse__Async,
                                     tp_nexus__start_operation_response__async);
        s->async_success->operation_token = S("op-1");
    }
    fx_must(f, TL_M_RespondNexusTaskCompleted, r);
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

static TpWs__TerminateNexusOperationExecutionRequest *terminate(struct fx *f, const char *id,
                                                                const char *request_id)
{
    TpWs__TerminateNexusOperationExecutionRequest *r =
        TL_PB_NEW(&f->arena, TpWs__TerminateNexusOperationExecutionRequest,
                  tp_ws__terminate_nexus_operation_execution_request);
    r->namespace_ = S("default");
    r->operation_id = S(id);
    r->request_id = S(request_id);
    r->reason = S("enough");
    return r;
}

static void an_operation_is_answered_after_a_crash(void **state)
{
    struct fx *f = *state;
    make_endpoint(f);
    char *run_id = start(f, "op");
    fx_crash(f);
    TpWs__DescribeNexusOperationExecutionResponse *d = describe(f, "op");
    assert_string_equal(d->run_id, run_id);
    assert_int_equal((int)d->info->state, PENDING_NEXUS_OPERATION_STATE_SCHEDULED);
    assert_string_equal(d->info->identity, "tester");
    assert_true(tl_str_eqc(tl_pb_str(d->input->data), "42"));
    answer_start(f, "paid");
    assert_int_equal(status_of(f, "op"), NEXUS_OPERATION_EXECUTION_STATUS_COMPLETED);
    fx_crash(f);
    d = describe(f, "op");
    assert_int_equal((int)d->info->status, NEXUS_OPERATION_EXECUTION_STATUS_COMPLETED);
    assert_int_equal((int)d->outcome_case,
                     TP_WS__DESCRIBE_NEXUS_OPERATION_EXECUTION_RESPONSE__OUTCOME_RESULT);
    assert_true(tl_str_eqc(tl_pb_str(d->result->data), "paid"));
    assert_int_equal(d->info->attempt, 1);
}

static void an_operation_that_goes_on_is_cancelled_after_crashes(void **state)
{
    struct fx *f = *state;
    TpWs__RequestCancelNexusOperationExecutionRequest c =
        TP_WS__REQUEST_CANCEL_NEXUS_OPERATION_EXECUTION_REQUEST__INIT;
    make_endpoint(f);
    start(f, "op");
    answer_start(f, NULL);
    fx_crash(f);
    assert_string_equal(describe(f, "op")->info->operation_token, "op-1");
    c.namespace_ = S("default");
    c.operation_id = S("op");
    c.request_id = S("one");
    c.reason = S("too slow");
    fx_must(f, TL_M_RequestCancelNexusOperationExecution, &c);
    fx_crash(f);
    fx_must(f, TL_M_RequestCancelNexusOperationExecution, &c); /* the same request */
    c.request_id = S("two");
    refused(f, TL_M_RequestCancelNexusOperationExecution, &c, TL_EPRECONDITION,
            "already requested with request ID one");
    TpWs__PollNexusTaskQueueResponse *t = poll(f);
    assert_string_equal(t->request->cancel_operation->operation_token, "op-1");
    TpWs__RespondNexusTaskCompletedRequest *r = answer(f, t->task_token);
    r->response->variant_case = TP_NEXUS__RESPONSE__VARIANT_CANCEL_OPERATION;
    r->response->cancel_operation =
        TL_PB_NEW(&f->arena, TpNexus__CancelOperationResponse, tp_nexus__cancel_operation_response);
    fx_must(f, TL_M_RespondNexusTaskCompleted, r);
    fx_crash(f);
    TpWs__DescribeNexusOperationExecutionResponse *d = describe(f, "op");
    assert_int_equal((int)d->info->cancellation_info->state,
                     NEXUS_OPERATION_CANCELLATION_STATE_SUCCEEDED);
    assert_string_equal(d->info->cancellation_info->reason, "too slow");
}

static void an_operation_is_terminated_once(void **state)
{
    struct fx *f = *state;
    make_endpoint(f);
    start(f, "op");
    fx_must(f, TL_M_TerminateNexusOperationExecution, terminate(f, "op", "one"));
    fx_crash(f);
    fx_must(f, TL_M_TerminateNexusOperationExecution, terminate(f, "op", "one"));
    refused(f, TL_M_TerminateNexusOperationExecution, terminate(f, "op", "two"), TL_EPRECONDITION,
            "already terminated with request ID one");
    TpWs__DescribeNexusOperationExecutionResponse *d = describe(f, "op");
    assert_int_equal((int)d->info->status, NEXUS_OPERATION_EXECUTION_STATUS_TERMINATED);
    assert_string_equal(d->failure->message, "enough");
    start(f, "op"); /* its id is free again */
    assert_int_equal(status_of(f, "op"), NEXUS_OPERATION_EXECUTION_STATUS_RUNNING);
}

static void an_operation_times_out(void **state)
{
    struct fx *f = *state;
    make_endpoint(f);
    start_request *r = ask(f, "op");
    r->schedule_to_close_timeout = tl_pb_duration_ms(&f->arena, 5000);
    r->schedule_to_start_timeout = tl_pb_duration_ms(&f->arena, 9000);
    fx_must(f, TL_M_StartNexusOperationExecution, r);
    TpWs__PollNexusOperationExecutionRequest p =
        TP_WS__POLL_NEXUS_OPERATION_EXECUTION_REQUEST__INIT;
    p.namespace_ = S("default");
    p.operation_id = S("op");
    TpWs__PollNexusOperationExecutionResponse *o = fx_must(f, TL_M_PollNexusOperationExecution, &p);
    assert_int_equal((int)o->wait_stage, NEXUS_OPERATION_WAIT_STAGE_CLOSED);
    assert_int_equal((int)o->failure->timeout_failure_info->timeout_type,
                     TIMEOUT_TYPE_SCHEDULE_TO_CLOSE);
    assert_int_equal(describe(f, "op")->info->schedule_to_start_timeout->seconds, 5);
    assert_int_equal(status_of(f, "op"), NEXUS_OPERATION_EXECUTION_STATUS_TIMED_OUT);
}

static void bad_starts_are_refused(void **state)
{
    struct fx *f = *state;
    enum { CASES = 7 };
    const char *words[CASES] = {"operation_id is required",
                                "endpoint is required",
                                "service is required",
                                "operation is required",
                                "disallowed key",
                                "unsupported ID reuse policy: 9",
                                "schedule_to_close_timeout is invalid"};
    make_endpoint(f);
    for (int i = 0; i < CASES; i++) {
        start_request *r = ask(f, i == 0 ? "" : "op");
        r->endpoint = i == 1 ? S("") : r->endpoint;
        r->service = i == 2 ? S("") : r->service;
        r->operation = i == 3 ? S("") : r->operation;
        if (i == 4) {
            r->n_nexus_header = 1;
            r->nexus_header = TL_ARENA_ARRAY(
                &f->arena, TpWs__StartNexusOperationExecutionRequest__NexusHeaderEntry *, 1);
            r->nexus_header[0] =
                TL_PB_NEW(&f->arena, TpWs__StartNexusOperationExecutionRequest__NexusHeaderEntry,
                          tp_ws__start_nexus_operation_execution_request__nexus_header_entry);
            r->nexus_header[0]->key = S("Request-Timeout");
            r->nexus_header[0]->value = S("1s");
        }
        r->id_reuse_policy = (TpEnums__NexusOperationIdReusePolicy)(i == 5 ? 9 : 0);
        if (i == 6) {
            r->schedule_to_close_timeout = tl_pb_duration_ms(&f->arena, -1000);
        }
        refused(f, TL_M_StartNexusOperationExecution, r, TL_EINVAL, words[i]);
    }
    start_request *r = ask(f, "op");
    r->endpoint = S("nowhere");
    refused(f, TL_M_StartNexusOperationExecution, r, TL_ENOTFOUND,
            "could not find Nexus endpoint by name: nowhere");
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, fx_setup_file, fx_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(an_operation_is_answered_after_a_crash),
        T(an_operation_that_goes_on_is_cancelled_after_crashes),
        T(an_operation_is_terminated_once),
        T(an_operation_times_out),
        T(bad_starts_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
