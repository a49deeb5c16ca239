/* Goal: a worker that takes commands is told that an activity of its is not wanted any more: when the workflow
 * cancels it and when the run ends, whatever ends it; three times at most, ten seconds each, also over crashes
 * and failed commits; nobody else is told, and nothing is sent unless the server is to.
 * Method: a stepped server, the test plays the workers and moves the clock. */
#include <temporal/api/nexusservices/workerservice/v1/request_response.pb-c.h>

#include "test_server_fixture.h"

#define QUEUE "temporal-sys/worker-commands/default/w1"

static int setup_on(void **state)
{
    struct fx *f = TL_NEW(struct fx);
    fx_init(f, true);
    f->o.worker_commands = f->o.worker_command_cancels = 1;
    fx_open(f);
    *state = f;
    return 0;
}

/* --- the worker --------------------------------------------------------------------------------------- */

/* An activity task for a worker that takes commands on `control` ("": it takes none). */
static TpWs__PollActivityTaskQueueResponse *take(struct fx *f, const char *control)
{
    TpWs__PollActivityTaskQueueRequest *r = fx_poll_activity_request(f, "orders");
    r->worker_control_task_queue = S(control);
    TpWs__PollActivityTaskQueueResponse *t = fx_must(f, TL_M_PollActivityTaskQueue, r);
    assert_true(t->task_token.len > 0);
    return t;
}

static TpWs__PollNexusTaskQueueRequest *poll_request(struct fx *f, const char *control)
{
    TpWs__PollNexusTaskQueueRequest *r =
        TL_PB_NEW(&f->arena, TpWs__PollNexusTaskQueueRequest, tp_ws__poll_nexus_task_queue_request);
    r->namespace_ = S("default");
    r->identity = S("worker");
    r->task_queue = fx_queue(f, control, false);
    r->task_queue->kind = (TpEnums__TaskQueueKind)TASK_QUEUE_KIND_WORKER_COMMANDS;
    return r;
}

/* What comes on `control` within `ms`; NULL: nothing. */
static TpWs__PollNexusTaskQueueResponse *poll_for(struct fx *f, const char *control, int64_t ms)
{
    struct fx_call c;
    fx_start(f, &c, TL_M_PollNexusTaskQueue, poll_request(f, control));
    if (!fx_wait(&c, ms * TL_NS_PER_MS)) {
        tl_rpc_cancel(c.handle);
        fx_wait(&c, TL_NS_PER_S);
        fx_end(&c, NULL, NULL, NULL);
        return NULL;
    }
    TpWs__PollNexusTaskQueueResponse *t = fx_end(&c, NULL, NULL, NULL);
    return t && t->task_token.len ? t : NULL;
}

static TpWorkersvc__ExecuteCommandsRequest *commands_of(struct fx *f,
                                                        const TpWs__PollNexusTaskQueueResponse *t)
{
    TpWorkersvc__ExecuteCommandsRequest *r = NULL;
    assert_non_null(t);
    assert_int_equal((int)t->request->variant_case, TP_NEXUS__REQUEST__VARIANT_START_OPERATION);
    const TpNexus__StartOperationRequest *s = t->request->start_operation;
    assert_string_equal(s->service, "temporal.api.nexusservices.workerservice.v1.WorkerService");
    assert_string_equal(s->operation, "ExecuteCommands");
    assert_int_equal(s->payload->n_metadata, 1);
    assert_string_equal(s->payload->metadata[0]->key, "encoding");
    assert_true(tl_str_eqc(tl_pb_str(s->payload->metadata[0]->value), "binary/protobuf"));
    assert_int_equal(tl_pb_decode(&tp_workersvc__execute_commands_request__descriptor,
                                  tl_pb_str(s->payload->data), &f->arena, &r, NULL),
                     TL_OK);
    return r;
}

/* They are one command: to cancel the activity of this task. */
static void cancels(struct fx *f, const TpWs__PollNexusTaskQueueResponse *t,
                    const TpWs__PollActivityTaskQueueResponse *activity)
{
    TpWorkersvc__ExecuteCommandsRequest *r = commands_of(f, t);
    assert_int_equal(r->n_commands, 1);
    assert_int_equal((int)r->commands[0]->type_case,
                     TP_WORKER__WORKER_COMMAND__TYPE_CANCEL_ACTIVITY);
    assert_true(tl_str_eq(tl_pb_str(r->commands[0]->cancel_activity->task_token),
                          tl_pb_str(activity->task_token)));
}

static TpWs__RespondNexusTaskCompletedRequest *completed(struct fx *f,
                                                         const TpWs__PollNexusTaskQueueResponse *t)
{
    TpWs__RespondNexusTaskCompletedRequest *r =
        TL_PB_NEW(&f->arena, TpWs__RespondNexusTaskCompletedRequest,
                  tp_ws__respond_nexus_task_completed_request);
    r->namespace_ = S("default");
    r->task_token = t->task_token;
    r->response = TL_PB_NEW(&f->arena, TpNexus__Response, tp_nexus__response);
    r->response->variant_case = TP_NEXUS__RESPONSE__VARIANT_START_OPERATION;
    r->response->start_operation =
        TL_PB_NEW(&f->arena, TpNexus__StartOperationResponse, tp_nexus__start_operation_response);
    r->response->start_operation->variant_case =
        TP_NEXUS__START_OPERATION_RESPONSE__VARIANT_SYNC_SUCCESS;
    r->response->start_operation->sync_success = TL_PB_NEW(
        &f->arena, TpNexus__StartOperationResponse__Sync, tp_nexus__start_operation_response__sync);
    return r;
}

static void fail_task(struct fx *f, const TpWs__PollNexusTaskQueueResponse *t, const char *type)
{
    TpWs__RespondNexusTaskFailedRequest *r = TL_PB_NEW(
        &f->arena, TpWs__RespondNexusTaskFailedRequest, tp_ws__respond_nexus_task_failed_request);
    r->namespace_ = S("default");
    r->task_token = t->task_token;
    r->failure = TL_PB_NEW(&f->arena, TpFailure__Failure, tp_failure__failure);
    r->failure->failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_NEXUS_HANDLER_FAILURE_INFO;
    r->failure->nexus_handler_failure_info = TL_PB_NEW(
        &f->arena, TpFailure__NexusHandlerFailureInfo, tp_failure__nexus_handler_failure_info);
    r->failure->nexus_handler_failure_info->type = S(type);
    fx_must(f, TL_M_RespondNexusTaskFailed, r);
}

/* The worker says that it is done; another time the task is not known. */
static void done(struct fx *f, const TpWs__PollNexusTaskQueueResponse *t)
{
    int status;
    fx_must(f, TL_M_RespondNexusTaskCompleted, completed(f, t));
    assert_null(fx_try(f, TL_M_RespondNexusTaskCompleted, completed(f, t), &status, NULL, NULL));
    assert_int_equal(status, tl_rc_grpc_status(TL_ENOTFOUND));
}

/* Nothing comes on the queue any more, however long one waits. */
static void nothing_more(struct fx *f)
{
    struct tl_server_stats st;
    assert_null(poll_for(f, QUEUE, 60000));
    fx_crash(f);
    assert_null(poll_for(f, QUEUE, 60000));
    tl_server_stats(f->s, &st);
    assert_int_equal(st.tasks_queued, 0);
}

/* --- the workflow -------------------------------------------------------------------------------------- */

static TpCommand__Command *cancel_command(struct fx *f, int64_t scheduled_id)
{
    TpCommand__Command *c = fx_command(f, COMMAND_TYPE_REQUEST_CANCEL_ACTIVITY_TASK);
    c->attributes_case =
        TP_COMMAND__COMMAND__ATTRIBUTES_REQUEST_CANCEL_ACTIVITY_TASK_COMMAND_ATTRIBUTES;
    c->request_cancel_activity_task_command_attributes =
        TL_PB_NEW(&f->arena, TpCommand__RequestCancelActivityTaskCommandAttributes,
                  tp_command__request_cancel_activity_task_command_attributes);
    c->request_cancel_activity_task_command_attributes->scheduled_event_id = scheduled_id;
    return c;
}

/* A workflow with an activity (its event is 5, there are `attempts`) that takes half an hour, in the hands of a
 * worker. */
static TpWs__PollActivityTaskQueueResponse *begin(struct fx *f, int attempts, const char *control)
{
    TpCommand__Command *a = fx_activity_command(f, "a", attempts);
    a->schedule_activity_task_command_attributes->start_to_close_timeout =
        tl_pb_duration_ms(&f->arena, 1800000);
    fx_start_workflow(f, "w");
    fx_complete(f, fx_poll(f)->task_token, a, NULL);
    return take(f, control);
}

/* It is signalled and answers with the cancellation of its activity. */
static void cancel(struct fx *f)
{
    fx_signal(f, "w", "stop");
    fx_complete(f, fx_poll(f)->task_token, cancel_command(f, 5), NULL);
}

static void terminate(struct fx *f, const char *id)
{
    TpWs__TerminateWorkflowExecutionRequest r = TP_WS__TERMINATE_WORKFLOW_EXECUTION_REQUEST__INIT;
    r.namespace_ = S("default");
    r.workflow_execution = fx_execution(f, id, "");
    fx_must(f, TL_M_TerminateWorkflowExecution, &r);
}

static bool announced(struct fx *f)
{
    TpWs__DescribeNamespaceRequest r = TP_WS__DESCRIBE_NAMESPACE_REQUEST__INIT;
    r.namespace_ = S("default");
    TpWs__DescribeNamespaceResponse *d = fx_must(f, TL_M_DescribeNamespace, &r);
    return d->namespace_info->capabilities->worker_commands;
}

/* --- tests ----------------------------------------------------------------------------------------------- */

static void a_cancelled_activity_is_told(void **state)
{
    struct fx *f = *state;
    assert_true(announced(f));
    TpWs__PollActivityTaskQueueResponse *a = begin(f, 0, QUEUE);
    assert_null(poll_for(f, QUEUE, 1000));
    cancel(f);
    TpWs__PollNexusTaskQueueResponse *t = poll_for(f, QUEUE, 1);
    cancels(f, t, a);
    assert_int_equal(t->request->n_header, 1);
    assert_string_equal(t->request->header[0]->key, "request-timeout");
    assert_string_equal(t->request->header[0]->value, "10000ms");
    done(f, t);
    nothing_more(f);
}

static void nobody_is_told_by_default(void **state)
{
    struct fx *f = *state;
    assert_false(announced(f));
    begin(f, 0, QUEUE);
    cancel(f);
    assert_null(poll_for(f, QUEUE, 60000));
    terminate(f, "w");
    assert_null(poll_for(f, QUEUE, 60000));
    /* Attempts that were begun so have no queue when commands are switched on. */
    fx_close(f, false);
    f->o.worker_command_cancels = 1;
    fx_open(f);
    assert_false(announced(f));
    assert_null(poll_for(f, QUEUE, 60000));
}

static void those_who_take_none_are_told_nothing(void **state)
{
    struct fx *f = *state;
    struct tl_server_stats st;
    begin(f, 0, "");
    cancel(f);
    terminate(f, "w");
    tl_server_stats(f->s, &st);
    assert_int_equal(st.tasks_queued, 0);
}

/* One request for each worker, whatever the number of activities. */
static void the_end_of_a_run_tells_all_workers(void **state)
{
    struct fx *f = *state;
    fx_start_workflow(f, "w");
    fx_complete(f, fx_poll(f)->task_token, fx_activity_command(f, "a", 0),
                fx_activity_command(f, "b", 0));
    fx_signal(f, "w", "more");
    fx_complete(f, fx_poll(f)->task_token, fx_activity_command(f, "c", 0),
                fx_activity_command(f, "d", 0));
    TpWs__PollActivityTaskQueueResponse *a = take(f, QUEUE), *b = take(f, QUEUE),
                                        *c = take(f, "other");
    terminate(f, "w");
    TpWs__PollNexusTaskQueueResponse *one = poll_for(f, QUEUE, 1), *two = poll_for(f, "other", 1);
    TpWorkersvc__ExecuteCommandsRequest *r = commands_of(f, one);
    assert_int_equal(r->n_commands, 2);
    assert_true(tl_str_eq(tl_pb_str(r->commands[0]->cancel_activity->task_token),
                          tl_pb_str(a->task_token)));
    assert_true(tl_str_eq(tl_pb_str(r->commands[1]->cancel_activity->task_token),
                          tl_pb_str(b->task_token)));
    cancels(f, two, c);
    done(f, one);
    done(f, two);
    nothing_more(f);
}

static void a_workflow_that_completes_tells(void **state)
{
    struct fx *f = *state;
    TpWs__PollActivityTaskQueueResponse *a = begin(f, 0, QUEUE);
    fx_signal(f, "w", "stop");
    fx_complete(f, fx_poll(f)->task_token, fx_complete_command(f), NULL);
    TpWs__PollNexusTaskQueueResponse *t = poll_for(f, QUEUE, 1);
    cancels(f, t, a);
    done(f, t);
    nothing_more(f);
}

static void a_run_that_times_out_tells(void **state)
{
    struct fx *f = *state;
    TpWs__StartWorkflowExecutionRequest *r = fx_start_request(f, "w");
    r->workflow_run_timeout = tl_pb_duration_ms(&f->arena, 5000);
    fx_must(f, TL_M_StartWorkflowExecution, r);
    f->now_ns += TL_NS_PER_S; /* else the activity's own timeout is first */
    fx_complete(f, fx_poll(f)->task_token, fx_activity_command(f, "a", 0), NULL);
    TpWs__PollActivityTaskQueueResponse *a = take(f, QUEUE);
    TpWs__PollNexusTaskQueueResponse *t = poll_for(f, QUEUE, 4100);
    cancels(f, t, a);
    done(f, t);
}

static void the_run_before_a_reset_tells(void **state)
{
    struct fx *f = *state;
    TpWs__ResetWorkflowExecutionRequest r = TP_WS__RESET_WORKFLOW_EXECUTION_REQUEST__INIT;
    TpWs__PollActivityTaskQueueResponse *a = begin(f, 0, QUEUE);
    r.namespace_ = S("default");
    r.workflow_execution = fx_execution(f, "w", "");
    r.workflow_task_finish_event_id = 4;
    r.request_id = S("r");
    fx_must(f, TL_M_ResetWorkflowExecution, &r);
    TpWs__PollNexusTaskQueueResponse *t = poll_for(f, QUEUE, 1);
    cancels(f, t, a);
    done(f, t);
    fx_complete(f, fx_poll(f)->task_token, fx_activity_command(f, "a", 0), NULL);
    TpWs__PollActivityTaskQueueResponse *again = take(f, QUEUE);
    assert_false(tl_str_eq(tl_pb_str(again->task_token), tl_pb_str(a->task_token)));
    assert_null(poll_for(f, QUEUE, 20000));
}

static void an_eager_activity_is_told(void **state)
{
    struct fx *f = *state;
    TpCommand__Command *a = fx_activity_command(f, "a", 0);
    a->schedule_activity_task_command_attributes->request_eager_execution = true;
    fx_start_workflow(f, "w");
    TpWs__RespondWorkflowTaskCompletedRequest *r =
        fx_completion(f, fx_poll(f)->task_token, a, NULL, NULL);
    r->worker_control_task_queue = S(QUEUE);
    TpWs__RespondWorkflowTaskCompletedResponse *got =
        fx_must(f, TL_M_RespondWorkflowTaskCompleted, r);
    assert_int_equal(got->n_activity_tasks, 1);
    cancel(f);
    TpWs__PollNexusTaskQueueResponse *t = poll_for(f, QUEUE, 1);
    cancels(f, t, got->activity_tasks[0]);
    done(f, t);
}

static void one_that_is_over_is_not_told(void **state)
{
    struct fx *f = *state;
    fx_complete_activity(f, begin(f, 0, QUEUE)->task_token);
    terminate(f, "w");
    nothing_more(f);
}

static void fail_activity(struct fx *f, ProtobufCBinaryData token)
{
    TpWs__RespondActivityTaskFailedRequest r = TP_WS__RESPOND_ACTIVITY_TASK_FAILED_REQUEST__INIT;
    r.namespace_ = S("default");
    r.task_token = token;
    r.failure = TL_PB_NEW(&f->arena, TpFailure__Failure, tp_failure__failure);
    r.failure->failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_APPLICATION_FAILURE_INFO;
    r.failure->application_failure_info = TL_PB_NEW(&f->arena, TpFailure__ApplicationFailureInfo,
                                                    tp_failure__application_failure_info);
    fx_must(f, TL_M_RespondActivityTaskFailed, &r);
}

/* Between two attempts there is nobody to tell; then the worker of the newest one is. */
static void the_attempt_that_runs_is_told(void **state)
{
    struct fx *f = *state;
    fail_activity(f, begin(f, 0, QUEUE)->task_token);
    f->now_ns += 2 * TL_NS_PER_S;
    TpWs__PollActivityTaskQueueResponse *second = take(f, "other");
    assert_int_equal(second->attempt, 2);
    fx_crash(f);
    terminate(f, "w");
    TpWs__PollNexusTaskQueueResponse *t = poll_for(f, "other", 1);
    cancels(f, t, second);
    done(f, t);
    nothing_more(f);
}

static void nobody_is_told_between_attempts(void **state)
{
    struct fx *f = *state;
    fail_activity(f, begin(f, 0, QUEUE)->task_token);
    terminate(f, "w");
    nothing_more(f);
}

/* An operator's reset counts attempts from 1; the worker has the token of its own. */
static void one_whose_attempts_were_reset_is_told(void **state)
{
    struct fx *f = *state;
    TpWs__ResetActivityRequest r = TP_WS__RESET_ACTIVITY_REQUEST__INIT;
    fail_activity(f, begin(f, 0, QUEUE)->task_token);
    f->now_ns += 2 * TL_NS_PER_S;
    TpWs__PollActivityTaskQueueResponse *second = take(f, QUEUE);
    r.namespace_ = S("default");
    r.execution = fx_execution(f, "w", "");
    r.activity_case = TP_WS__RESET_ACTIVITY_REQUEST__ACTIVITY_ID;
    r.id = S("a");
    fx_must(f, TL_M_ResetActivity, &r);
    fx_crash(f);
    cancel(f);
    TpWs__PollNexusTaskQueueResponse *t = poll_for(f, QUEUE, 1);
    cancels(f, t, second);
    done(f, t);
}

static void an_activity_without_a_workflow_is_not_told(void **state)
{
    struct fx *f = *state;
    TpWs__StartActivityExecutionRequest r = TP_WS__START_ACTIVITY_EXECUTION_REQUEST__INIT;
    TpCommon__ActivityType type = TP_COMMON__ACTIVITY_TYPE__INIT;
    type.name = S("charge");
    r.namespace_ = S("default");
    r.activity_id = S("alone");
    r.request_id = S("r");
    r.activity_type = &type;
    r.task_queue = fx_queue(f, "orders", false);
    r.start_to_close_timeout = tl_pb_duration_ms(&f->arena, 1800000);
    fx_must(f, TL_M_StartActivityExecution, &r);
    take(f, QUEUE);
    TpWs__TerminateActivityExecutionRequest t = TP_WS__TERMINATE_ACTIVITY_EXECUTION_REQUEST__INIT;
    t.namespace_ = S("default");
    t.activity_id = S("alone");
    fx_must(f, TL_M_TerminateActivityExecution, &t);
    nothing_more(f);
}

/* --- attempts at delivery ------------------------------------------------------------------------------- */

static void without_a_poller_it_ends(void **state)
{
    struct fx *f = *state;
    struct tl_server_stats st;
    begin(f, 0, QUEUE);
    cancel(f);
    for (int i = 0; i < 40; i++) {
        tl_server_stats(f->s, &st);
        /* 10 s, 1 s apart, 10 s, 1.1 s apart, 10 s */
        bool waits = i < 10 || (i >= 11 && i < 21) || (i >= 23 && i < 32);
        bool may_wait = waits || i == 21 || i == 22 || i == 10 || i == 32;
        if ((waits && !st.tasks_queued) || (st.tasks_queued && !may_wait)) {
            fail_msg("after %d s %zu wait", i, st.tasks_queued);
        }
        f->now_ns += TL_NS_PER_S;
        fx_pump(f);
    }
    nothing_more(f);
}

static void a_worker_that_does_not_answer_is_asked_again(void **state)
{
    struct fx *f = *state;
    TpWs__PollActivityTaskQueueResponse *a = begin(f, 0, QUEUE);
    cancel(f);
    TpWs__PollNexusTaskQueueResponse *first = poll_for(f, QUEUE, 1);
    cancels(f, first, a);
    assert_null(poll_for(f, QUEUE, 10900));
    TpWs__PollNexusTaskQueueResponse *second = poll_for(f, QUEUE, 200);
    cancels(f, second, a);
    int status;
    assert_null(
        fx_try(f, TL_M_RespondNexusTaskCompleted, completed(f, first), &status, NULL, NULL));
    assert_int_equal(status, tl_rc_grpc_status(TL_ENOTFOUND));
    assert_null(poll_for(f, QUEUE, 11000));
    TpWs__PollNexusTaskQueueResponse *third = poll_for(f, QUEUE, 200);
    cancels(f, third, a);
    nothing_more(f); /* that was the last time */
}

static void a_worker_that_fails_is_asked_again(void **state)
{
    struct fx *f = *state;
    TpWs__PollActivityTaskQueueResponse *a = begin(f, 0, QUEUE);
    cancel(f);
    fail_task(f, poll_for(f, QUEUE, 1), "INTERNAL");
    assert_null(poll_for(f, QUEUE, 900));
    TpWs__PollNexusTaskQueueResponse *t = poll_for(f, QUEUE, 200);
    cancels(f, t, a);
    fail_task(f, t, "BAD_REQUEST"); /* asking again would not help */
    nothing_more(f);
}

static void a_crash_loses_no_commands(void **state)
{
    struct fx *f = *state;
    TpWs__PollActivityTaskQueueResponse *a = begin(f, 0, QUEUE);
    terminate(f, "w");
    fx_crash(f);
    TpWs__PollNexusTaskQueueResponse *first = poll_for(f, QUEUE, 1);
    cancels(f, first, a);
    fx_crash(f);
    TpWs__PollNexusTaskQueueResponse *again = poll_for(f, QUEUE, 1);
    cancels(f, again, a);
    fx_must(f, TL_M_RespondNexusTaskCompleted, completed(f, first)); /* as good as the other */
    nothing_more(f);
}

/* Three attempts in all, however often the server is gone between. */
static void a_crash_does_not_begin_to_count_anew(void **state)
{
    struct fx *f = *state;
    TpWs__PollActivityTaskQueueResponse *a = begin(f, 0, QUEUE);
    cancel(f);
    assert_null(poll_for(f, "other", 11500)); /* the second attempt waits */
    fx_crash(f);
    assert_null(poll_for(f, "other", 11500)); /* the third */
    fx_crash(f);
    TpWs__PollNexusTaskQueueResponse *t = poll_for(f, QUEUE, 1);
    cancels(f, t, a);
    fail_task(f, t, "INTERNAL");
    nothing_more(f);
}

static void what_was_not_sent_goes_when_it_is_switched_off(void **state)
{
    struct fx *f = *state;
    begin(f, 0, QUEUE);
    cancel(f);
    fx_close(f, false);
    f->o.worker_command_cancels = 0;
    fx_open(f);
    assert_null(poll_for(f, QUEUE, 60000));
    fx_close(f, false);
    f->o.worker_command_cancels = 1;
    fx_open(f);
    assert_null(poll_for(f, QUEUE, 60000));
}

/* The commit with the end of the run fails: there was none, and no command; the next try brings both. */
static void commands_are_as_durable_as_what_they_come_from(void **state)
{
    struct fx *f = *state;
    TpWs__TerminateWorkflowExecutionRequest r = TP_WS__TERMINATE_WORKFLOW_EXECUTION_REQUEST__INIT;
    TpWs__PollActivityTaskQueueResponse *a = begin(f, 0, QUEUE);
    r.namespace_ = S("default");
    r.workflow_execution = fx_execution(f, "w", "");
    for (int i = 0;; i++) {
        int status = 0;
        tl_fault_arm(TL_FAULT_sometimes_fail_commit, true);
        void *ended = fx_try(f, TL_M_TerminateWorkflowExecution, &r, &status, NULL, NULL);
        tl_fault_arm(TL_FAULT_sometimes_fail_commit, false);
        if (!ended) {
            assert_null(poll_for(f, QUEUE, 100));
            terminate(f, "w");
            break;
        }
        assert_true(i < 100);
        TpWs__PollNexusTaskQueueResponse *t = poll_for(f, QUEUE, 1);
        cancels(f, t, a);
        done(f, t);
        a = begin(f, 0, QUEUE);
    }
    TpWs__PollNexusTaskQueueResponse *t = poll_for(f, QUEUE, 1);
    cancels(f, t, a);
    done(f, t);
    nothing_more(f);
}

/* A poll whose caller has gone takes nothing with it. */
static void an_undelivered_command_goes_back(void **state)
{
    struct fx *f = *state;
    struct fx_call c;
    TpWs__PollActivityTaskQueueResponse *a = begin(f, 0, QUEUE);
    fx_start(f, &c, TL_M_PollNexusTaskQueue, poll_request(f, QUEUE));
    fx_pump(f);
    TpWs__TerminateWorkflowExecutionRequest r = TP_WS__TERMINATE_WORKFLOW_EXECUTION_REQUEST__INIT;
    struct fx_call end;
    r.namespace_ = S("default");
    r.workflow_execution = fx_execution(f, "w", "");
    fx_start(f, &end, TL_M_TerminateWorkflowExecution, &r);
    tl_server_step(f->s); /* the poll has it, the commit is under way */
    tl_rpc_cancel(c.handle);
    assert_true(fx_wait(&end, TL_NS_PER_S));
    assert_true(fx_wait(&c, TL_NS_PER_S));
    assert_non_null(fx_end(&end, NULL, NULL, NULL));
    assert_null(fx_end(&c, NULL, NULL, NULL));
    TpWs__PollNexusTaskQueueResponse *t = poll_for(f, QUEUE, 100);
    cancels(f, t, a);
    done(f, t);
}

/* --- requests ------------------------------------------------------------------------------------------- */

/* A worker of a deployment polls for commands as any other. */
static void the_version_of_the_worker_does_not_matter(void **state)
{
    struct fx *f = *state;
    struct fx_call c;
    TpDeployment__WorkerDeploymentOptions o = TP_DEPLOYMENT__WORKER_DEPLOYMENT_OPTIONS__INIT;
    TpWs__PollNexusTaskQueueRequest *r = poll_request(f, QUEUE);
    TpWs__PollActivityTaskQueueResponse *a = begin(f, 0, QUEUE);
    o.deployment_name = S("d");
    o.build_id = S("1");
    o.worker_versioning_mode = (TpEnums__WorkerVersioningMode)WORKER_VERSIONING_MODE_VERSIONED;
    r->deployment_options = &o;
    fx_start(f, &c, TL_M_PollNexusTaskQueue, r);
    cancel(f);
    assert_true(fx_wait(&c, TL_NS_PER_S));
    TpWs__PollNexusTaskQueueResponse *t = fx_end(&c, NULL, NULL, NULL);
    cancels(f, t, a);
    done(f, t);
}

static void bad_requests_are_refused(void **state)
{
    struct fx *f = *state;
    int status;
    char *message, *longer = tl_arena_alloc(&f->arena, 1102);
    memset(longer, 'q', 1101);
    longer[1101] = 0;
    TpWs__PollActivityTaskQueueRequest *r = fx_poll_activity_request(f, "orders");
    r->task_queue->kind = (TpEnums__TaskQueueKind)TASK_QUEUE_KIND_WORKER_COMMANDS;
    assert_null(fx_try(f, TL_M_PollActivityTaskQueue, r, &status, &message, NULL));
    assert_int_equal(status, tl_rc_grpc_status(TL_EINVAL));
    assert_non_null(strstr(message, "nexus task type"));
    r = fx_poll_activity_request(f, "orders");
    r->worker_control_task_queue = longer;
    assert_null(fx_try(f, TL_M_PollActivityTaskQueue, r, &status, &message, NULL));
    assert_int_equal(status, tl_rc_grpc_status(TL_EINVAL));
    assert_non_null(strstr(message, "WorkerControlTaskQueue"));
    fx_start_workflow(f, "w");
    TpWs__RespondWorkflowTaskCompletedRequest *done =
        fx_completion(f, fx_poll(f)->task_token, NULL, NULL, NULL);
    done->worker_control_task_queue = longer;
    assert_null(fx_try(f, TL_M_RespondWorkflowTaskCompleted, done, &status, &message, NULL));
    assert_int_equal(status, tl_rc_grpc_status(TL_EINVAL));
    assert_non_null(strstr(message, "WorkerControlTaskQueue"));
    done->worker_control_task_queue = S("");
    fx_must(f, TL_M_RespondWorkflowTaskCompleted, done);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup_on, fx_teardown)
        cmocka_unit_test_setup_teardown(nobody_is_told_by_default, fx_setup_file, fx_teardown),
        T(a_cancelled_activity_is_told),
        T(those_who_take_none_are_told_nothing),
        T(the_end_of_a_run_tells_all_workers),
        T(a_workflow_that_completes_tells),
        T(a_run_that_times_out_tells),
        T(the_run_before_a_reset_tells),
        T(an_eager_activity_is_told),
        T(one_that_is_over_is_not_told),
        T(the_attempt_that_runs_is_told),
        T(nobody_is_told_between_attempts),
        T(one_whose_attempts_were_reset_is_told),
        T(an_activity_without_a_workflow_is_not_told),
        T(without_a_poller_it_ends),
        T(a_worker_that_does_not_answer_is_asked_again),
        T(a_worker_that_fails_is_asked_again),
        T(a_crash_loses_no_commands),
        T(a_crash_does_not_begin_to_count_anew),
        T(what_was_not_sent_goes_when_it_is_switched_off),
        T(commands_are_as_durable_as_what_they_come_from),
        T(an_undelivered_command_goes_back),
        T(the_version_of_the_worker_does_not_matter),
        T(bad_requests_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
