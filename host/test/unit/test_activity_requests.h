/* Requests about activities without a workflow, for the tests of the server. */
#pragma once

#include "proto/payload.h"
#include "test_server_fixture.h"

/* --- requests ---------------------------------------------------------------------------------- */

UNUSED_OK static TpCommon__Payloads *text_payloads(struct fx *f, const char *json)
{
    TpCommon__Payloads *p = TL_PB_NEW(&f->arena, TpCommon__Payloads, tp_common__payloads);
    struct tl_pb_list list = {0};
    tl_pb_push(&f->arena, &list, tl_payload_json(&f->arena, tl_str(json)));
    p->n_payloads = list.n;
    p->payloads = list.items;
    return p;
}

UNUSED_OK static const char *first_text(struct fx *f, const TpCommon__Payloads *p)
{
    assert_non_null(p);
    assert_int_equal(p->n_payloads, 1);
    return tl_arena_cstr(&f->arena, tl_pb_str(p->payloads[0]->data));
}

UNUSED_OK static TpWs__StartActivityExecutionRequest *request(struct fx *f, const char *id)
{
    TpWs__StartActivityExecutionRequest *r = TL_PB_NEW(
        &f->arena, TpWs__StartActivityExecutionRequest, tp_ws__start_activity_execution_request);
    char request_id[37];
    tl_uuid4(&f->world, request_id);
    r->namespace_ = S("default");
    r->identity = S("tester");
    r->request_id = tl_pb_cstr(&f->arena, tl_str(request_id));
    r->activity_id = tl_pb_cstr(&f->arena, tl_str(id));
    r->activity_type = TL_PB_NEW(&f->arena, TpCommon__ActivityType, tp_common__activity_type);
    r->activity_type->name = S("charge");
    r->task_queue = fx_queue(f, "orders", false);
    r->start_to_close_timeout = tl_pb_duration_ms(&f->arena, 30000);
    r->input = text_payloads(f, "7");
    return r;
}

UNUSED_OK static TpWs__StartActivityExecutionResponse *start(struct fx *f, const char *id)
{
    return fx_must(f, TL_M_StartActivityExecution, request(f, id));
}

/* The error of a call that must fail: its status, the message in *message. */
UNUSED_OK static int refused(struct fx *f, enum tl_method m, const void *req, char **message,
                             TpRpc__Status **details)
{
    int status;
    assert_null(fx_try(f, m, req, &status, message, details));
    return status;
}

UNUSED_OK static TpWs__DescribeActivityExecutionResponse *describe(struct fx *f, const char *id)
{
    TpWs__DescribeActivityExecutionRequest r = TP_WS__DESCRIBE_ACTIVITY_EXECUTION_REQUEST__INIT;
    r.namespace_ = S("default");
    r.activity_id = S(id);
    r.include_input = r.include_outcome = true;
    r.include_heartbeat_details = r.include_last_failure = true;
    return fx_must(f, TL_M_DescribeActivityExecution, &r);
}

UNUSED_OK static TpActivity__ActivityExecutionOutcome *outcome(struct fx *f, const char *id)
{
    TpWs__PollActivityExecutionRequest r = TP_WS__POLL_ACTIVITY_EXECUTION_REQUEST__INIT;
    r.namespace_ = S("default");
    r.activity_id = S(id);
    TpWs__PollActivityExecutionResponse *o = fx_must(f, TL_M_PollActivityExecution, &r);
    assert_non_null(o->outcome);
    return o->outcome;
}

UNUSED_OK static void complete(struct fx *f, ProtobufCBinaryData token, const char *json)
{
    TpWs__RespondActivityTaskCompletedRequest r =
        TP_WS__RESPOND_ACTIVITY_TASK_COMPLETED_REQUEST__INIT;
    r.namespace_ = S("default");
    r.task_token = token;
    r.identity = S("worker");
    r.result = text_payloads(f, json);
    fx_must(f, TL_M_RespondActivityTaskCompleted, &r);
}

UNUSED_OK static void fail_task(struct fx *f, ProtobufCBinaryData token, bool non_retryable)
{
    TpWs__RespondActivityTaskFailedRequest r = TP_WS__RESPOND_ACTIVITY_TASK_FAILED_REQUEST__INIT;
    TpFailure__Failure failure = TP_FAILURE__FAILURE__INIT;
    TpFailure__ApplicationFailureInfo info = TP_FAILURE__APPLICATION_FAILURE_INFO__INIT;
    failure.message = S("no card");
    failure.failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_APPLICATION_FAILURE_INFO;
    failure.application_failure_info = &info;
    info.type = S("CardError");
    info.non_retryable = non_retryable;
    r.namespace_ = S("default");
    r.task_token = token;
    r.failure = &failure;
    r.identity = S("worker");
    fx_must(f, TL_M_RespondActivityTaskFailed, &r);
}

UNUSED_OK static TpWs__RecordActivityTaskHeartbeatResponse *beat(struct fx *f,
                                                                 ProtobufCBinaryData token)
{
    TpWs__RecordActivityTaskHeartbeatRequest r =
        TP_WS__RECORD_ACTIVITY_TASK_HEARTBEAT_REQUEST__INIT;
    r.namespace_ = S("default");
    r.task_token = token;
    r.details = text_payloads(f, "\"half\"");
    return fx_must(f, TL_M_RecordActivityTaskHeartbeat, &r);
}

UNUSED_OK static TpWs__RequestCancelActivityExecutionRequest cancel_request(const char *id,
                                                                            const char *request_id)
{
    TpWs__RequestCancelActivityExecutionRequest r =
        TP_WS__REQUEST_CANCEL_ACTIVITY_EXECUTION_REQUEST__INIT;
    r.namespace_ = S("default");
    r.activity_id = S(id);
    r.request_id = S(request_id);
    r.identity = S("boss");
    r.reason = S("too \"late\"");
    return r;
}

UNUSED_OK static int64_t count(struct fx *f, const char *query)
{
    TpWs__CountActivityExecutionsRequest r = TP_WS__COUNT_ACTIVITY_EXECUTIONS_REQUEST__INIT;
    r.namespace_ = S("default");
    r.query = S(query);
    return ((TpWs__CountActivityExecutionsResponse *)fx_must(f, TL_M_CountActivityExecutions, &r))
        ->count;
}

/* Whether a poll gets a task at once, which it keeps. */
UNUSED_OK static bool offered(struct fx *f)
{
    struct fx_call poll;
    fx_start(f, &poll, TL_M_PollActivityTaskQueue, fx_poll_activity_request(f, "orders"));
    fx_pump(f);
    bool got = poll.res != NULL;
    if (!got) {
        tl_rpc_cancel(poll.handle);
        assert_true(fx_wait(&poll, 0));
    }
    fx_end(&poll, NULL, NULL, NULL);
    return got;
}

/* Starts it with this timeout of 5 s, as the only attempt. */
UNUSED_OK static void start_limited(struct fx *f, const char *id, int type, int64_t delay_ms)
{
    TpWs__StartActivityExecutionRequest *r = request(f, id);
    Google__Protobuf__Duration *five = tl_pb_duration_ms(&f->arena, 5000);
    r->retry_policy = TL_PB_NEW(&f->arena, TpCommon__RetryPolicy, tp_common__retry_policy);
    r->retry_policy->maximum_attempts = 1;
    r->start_delay = delay_ms ? tl_pb_duration_ms(&f->arena, delay_ms) : NULL;
    *(type == TIMEOUT_TYPE_SCHEDULE_TO_START   ? &r->schedule_to_start_timeout
      : type == TIMEOUT_TYPE_SCHEDULE_TO_CLOSE ? &r->schedule_to_close_timeout
      : type == TIMEOUT_TYPE_HEARTBEAT         ? &r->heartbeat_timeout
                                               : &r->start_to_close_timeout) = five;
    fx_must(f, TL_M_StartActivityExecution, r);
}

UNUSED_OK static void check_timed_out(struct fx *f, const char *id, int type)
{
    TpActivity__ActivityExecutionOutcome *o = outcome(f, id);
    assert_non_null(o->failure);
    assert_int_equal(o->failure->failure_info_case,
                     TP_FAILURE__FAILURE__FAILURE_INFO_TIMEOUT_FAILURE_INFO);
    assert_int_equal(o->failure->timeout_failure_info->timeout_type, type);
    assert_int_equal(describe(f, id)->info->status, ACTIVITY_EXECUTION_STATUS_TIMED_OUT);
}
