/* The system endpoint of Nexus on the embedded server: signal-with-start as an operation of a workflow, its
 * result and links, what it refuses, and crashes around it. */
#include "proto/payload.h"
#include "test_server_fixture.h"

#define SERVICE "temporal.api.workflowservice.v1.WorkflowService"
#define OPERATION "SignalWithStartWorkflowExecution"

typedef TpWs__SignalWithStartWorkflowExecutionRequest request;

static request *ask(struct fx *f, const char *id)
{
    request *r = TL_PB_NEW(&f->arena, request, tp_ws__signal_with_start_workflow_execution_request);
    r->workflow_id = S(id);
    r->workflow_type = TL_PB_NEW(&f->arena, TpCommon__WorkflowType, tp_common__workflow_type);
    r->workflow_type->name = S("Target");
    r->task_queue = fx_queue(f, "other", false);
    r->signal_name = S("poke");
    return r;
}

static TpCommon__Payload *as_payload(struct fx *f, const request *r)
{
    struct tl_str bytes;
    assert_int_equal(tl_pb_encode_arena(r, &f->arena, &bytes, NULL), TL_OK);
    return tl_payload_new(&f->arena, TL_ENCODING_PROTOBUF, bytes);
}

static TpCommand__Command *schedule(struct fx *f, TpCommon__Payload *input)
{
    TpCommand__Command *c = fx_command(f, COMMAND_TYPE_SCHEDULE_NEXUS_OPERATION);
    TpCommand__ScheduleNexusOperationCommandAttributes *a =
        TL_PB_NEW(&f->arena, TpCommand__ScheduleNexusOperationCommandAttributes,
                  tp_command__schedule_nexus_operation_command_attributes);
    c->attributes_case =
        TP_COMMAND__COMMAND__ATTRIBUTES_SCHEDULE_NEXUS_OPERATION_COMMAND_ATTRIBUTES;
    c->schedule_nexus_operation_command_attributes = a;
    a->endpoint = S("__temporal_system");
    a->service = S(SERVICE);
    a->operation = S(OPERATION);
    a->input = input;
    return c;
}

/* The workflow "w" answers its first task with the command. */
static void begin(struct fx *f, TpCommand__Command *c)
{
    fx_start_workflow(f, "w");
    fx_complete(f, fx_poll(f)->task_token, c, NULL);
}

static TpHistory__HistoryEvent *event(struct fx *f, const char *id, int type)
{
    TpWs__GetWorkflowExecutionHistoryResponse *h =
        fx_must(f, TL_M_GetWorkflowExecutionHistory, fx_history_request(f, id, ""));
    for (size_t i = 0; i < h->history->n_events; i++) {
        if ((int)h->history->events[i]->event_type == type) {
            return h->history->events[i];
        }
    }
    fail_msg("'%s' has no event of type %d", id, type);
    return NULL;
}

static TpWs__SignalWithStartWorkflowExecutionResponse *result(struct fx *f)
{
    const TpCommon__Payload *p = event(f, "w", EVENT_TYPE_NEXUS_OPERATION_COMPLETED)
                                     ->nexus_operation_completed_event_attributes->result;
    TpWs__SignalWithStartWorkflowExecutionResponse *r = NULL;
    assert_true(tl_str_eqc(tl_payload_encoding(p), "binary/protobuf"));
    assert_true(
        tl_str_eqc(tl_payload_metadata(p, TL_STR_LIT("messageType")),
                   "temporal.api.workflowservice.v1.SignalWithStartWorkflowExecutionResponse"));
    assert_int_equal(tl_pb_decode(&tp_ws__signal_with_start_workflow_execution_response__descriptor,
                                  tl_payload_data(p), &f->arena, &r, NULL),
                     TL_OK);
    return r;
}

/* Time in which the server does what is due. */
static void let_pass(struct fx *f, int64_t ms)
{
    struct fx_call c;
    TpWs__PollActivityTaskQueueRequest *r = fx_poll_activity_request(f, "nobody");
    fx_start(f, &c, TL_M_PollActivityTaskQueue, r);
    assert_false(fx_wait(&c, ms * TL_NS_PER_MS));
    tl_rpc_cancel(c.handle);
    fx_wait(&c, TL_NS_PER_S);
    fx_end(&c, NULL, NULL, NULL);
}

/* The task of the workflow fails because of the command. */
static void refused(struct fx *f, const char *id, TpCommand__Command *command, const char *words)
{
    int status;
    char *message;
    TpWs__PollWorkflowTaskQueueResponse *t = fx_poll(f);
    while (strcmp(t->workflow_execution->workflow_id, id) != 0) {
        t = fx_poll(f);
    }
    assert_null(fx_try(f, TL_M_RespondWorkflowTaskCompleted,
                       fx_completion(f, t->task_token, command, NULL, NULL), &status, &message,
                       NULL));
    assert_int_equal(status, tl_rc_grpc_status(TL_EINVAL));
    if (!strstr(message, words)) {
        fail_msg("\"%s\" is not in \"%s\"", words, message);
    }
    const TpHistory__WorkflowTaskFailedEventAttributes *a =
        event(f, id, EVENT_TYPE_WORKFLOW_TASK_FAILED)->workflow_task_failed_event_attributes;
    assert_int_equal((int)a->cause,
                     WORKFLOW_TASK_FAILED_CAUSE_BAD_SCHEDULE_NEXUS_OPERATION_ATTRIBUTES);
}

static void a_workflow_is_started_and_signalled(void **state)
{
    struct fx *f = *state;
    begin(f, schedule(f, as_payload(f, ask(f, "target"))));
    /* In one commit: the operation ends as soon as it is scheduled. */
    assert_string_equal(fx_history(f, "w", "", 0), "1 5 6 7 48 50 5");
    assert_string_equal(fx_history(f, "target", "", 0), "1 26 5");
    TpWs__SignalWithStartWorkflowExecutionResponse *r = result(f);
    assert_true(r->started);
    assert_string_equal(r->run_id,
                        fx_describe(f, "target", "")->workflow_execution_info->execution->run_id);
    const TpHistory__HistoryEvent *scheduled = event(f, "w", EVENT_TYPE_NEXUS_OPERATION_SCHEDULED);
    const char *request_id = scheduled->nexus_operation_scheduled_event_attributes->request_id;
    const TpHistory__HistoryEvent *over = event(f, "w", EVENT_TYPE_NEXUS_OPERATION_COMPLETED);
    assert_int_equal(over->n_links, 1);
    assert_string_equal(over->links[0]->workflow_event->workflow_id, "target");
    assert_string_equal(over->links[0]->workflow_event->request_id_ref->request_id, request_id);
    const TpHistory__HistoryEvent *started =
        event(f, "target", EVENT_TYPE_WORKFLOW_EXECUTION_STARTED);
    assert_int_equal(started->n_links, 1);
    assert_string_equal(started->links[0]->workflow_event->workflow_id, "w");
    assert_int_equal(started->links[0]->workflow_event->event_ref->event_id, scheduled->event_id);
    assert_string_equal(started->workflow_execution_started_event_attributes->workflow_type->name,
                        "Target");
    fx_crash(f);
    assert_string_equal(fx_history(f, "w", "", 0), "1 5 6 7 48 50 5");
    assert_string_equal(fx_history(f, "target", "", 0), "1 26 5");
}

static void a_workflow_that_runs_is_signalled_only(void **state)
{
    struct fx *f = *state;
    fx_start_workflow(f, "w");
    TpWs__PollWorkflowTaskQueueResponse *t = fx_poll(f);
    fx_start_workflow(f, "target");
    fx_complete(f, t->task_token, schedule(f, as_payload(f, ask(f, "target"))), NULL);
    assert_false(result(f)->started);
    assert_string_equal(fx_history(f, "target", "", 0), "1 5 26");
    assert_string_equal(event(f, "target", EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)
                            ->workflow_execution_signaled_event_attributes->signal_name,
                        "poke");
}

static void a_workflow_signals_itself(void **state)
{
    struct fx *f = *state;
    begin(f, schedule(f, as_payload(f, ask(f, "w"))));
    assert_false(result(f)->started);
    assert_string_equal(fx_history(f, "w", "", 0), "1 5 6 7 48 26 5 50");
}

static void json_is_read_too(void **state)
{
    struct fx *f = *state;
    const char *text = "{\"workflowId\":\"target\",\"workflowType\":{\"name\":\"Target\"},"
                       "\"taskQueue\":{\"name\":\"other\"},\"signalName\":\"poke\"}";
    begin(f, schedule(f, tl_payload_new(&f->arena, TL_ENCODING_JSON_PROTOBUF, tl_str(text))));
    assert_string_equal(fx_history(f, "target", "", 0), "1 26 5");
}

/* The service's no is the operation's failure, for good. */
static void a_workflow_id_that_is_used_up_fails_the_operation(void **state)
{
    struct fx *f = *state;
    request *r = ask(f, "target");
    fx_start_workflow(f, "target");
    fx_complete(f, fx_poll(f)->task_token, fx_complete_command(f), NULL);
    r->workflow_id_reuse_policy =
        (TpEnums__WorkflowIdReusePolicy)WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE;
    begin(f, schedule(f, as_payload(f, r)));
    assert_string_equal(fx_history(f, "w", "", 0), "1 5 6 7 48 51 5");
    const TpFailure__Failure *x = event(f, "w", EVENT_TYPE_NEXUS_OPERATION_FAILED)
                                      ->nexus_operation_failed_event_attributes->failure;
    assert_string_equal(x->nexus_operation_execution_failure_info->endpoint, "__temporal_system");
    assert_int_equal((int)x->cause->failure_info_case,
                     TP_FAILURE__FAILURE__FAILURE_INFO_SERVER_FAILURE_INFO);
    assert_true(x->cause->server_failure_info->non_retryable);
    assert_non_null(strstr(x->cause->message, "WorkflowExecutionAlreadyStarted: "));
}

/* Starts come too fast one after another: that passes. */
static void what_may_pass_is_tried_again(void **state)
{
    struct fx *f = *state;
    request *r = ask(f, "target");
    f->o.workflow_id_reuse_ns = 1500 * TL_NS_PER_MS;
    fx_crash(f);
    fx_start_workflow(f, "w");
    TpWs__PollWorkflowTaskQueueResponse *t = fx_poll(f);
    fx_start_workflow(f, "target");
    r->workflow_id_conflict_policy =
        (TpEnums__WorkflowIdConflictPolicy)WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING;
    fx_complete(f, t->task_token, schedule(f, as_payload(f, r)), NULL);
    const TpWorkflow__PendingNexusOperationInfo *p =
        fx_describe(f, "w", "")->pending_nexus_operations[0];
    assert_int_equal((int)p->state, PENDING_NEXUS_OPERATION_STATE_BACKING_OFF);
    assert_non_null(strstr(p->last_attempt_failure->message, "ResourceExhausted: Too many starts"));
    fx_crash(f);
    let_pass(f, 1300);
    assert_int_equal(fx_describe(f, "w", "")->pending_nexus_operations[0]->attempt, 2);
    let_pass(f, 3000);
    assert_true(result(f)->started);
    assert_int_equal(fx_describe(f, "w", "")->n_pending_nexus_operations, 0);
}

static void bad_inputs_fail_the_workflow_task(void **state)
{
    struct fx *f = *state;
    enum { CASES = 10 };
    const char *words[CASES] = {
        "failed to decode input payload", "failed to decode input payload",
        "RequestID should not be set",    "Links should not be set",
        "does not match namespace",       "SignalName is not set",
        "WorkflowId is not set",          "CONFLICT_POLICY_FAIL is not supported",
        "operation \"Other\" not found",  "service \"Other\" not found"};
    for (int i = 0; i < CASES; i++) {
        char id[16];
        request *r = ask(f, "target");
        r->request_id = i == 2 ? S("mine") : r->request_id;
        if (i == 3) {
            r->n_links = 1;
            r->links = TL_ARENA_ARRAY(&f->arena, TpCommon__Link *, 1);
            r->links[0] = TL_PB_NEW(&f->arena, TpCommon__Link, tp_common__link);
        }
        r->namespace_ = i == 4 ? S("elsewhere") : r->namespace_;
        r->signal_name = i == 5 ? S("") : r->signal_name;
        r->workflow_id = i == 6 ? S("") : r->workflow_id;
        r->workflow_id_conflict_policy =
            (TpEnums__WorkflowIdConflictPolicy)(i == 7 ? WORKFLOW_ID_CONFLICT_POLICY_FAIL : 0);
        TpCommon__Payload *p = as_payload(f, r);
        p->data = i == 1 ? tl_pb_bytes_view(tl_str("\xff\xff")) : p->data;
        TpCommand__Command *c = schedule(f, i == 0 ? NULL : p);
        TpCommand__ScheduleNexusOperationCommandAttributes *a =
            c->schedule_nexus_operation_command_attributes;
        a->operation = i == 8 ? S("Other") : a->operation;
        a->service = i == 9 ? S("Other") : a->service;
        snprintf(id, sizeof id, "w%d", i);
        fx_start_workflow(f, id);
        refused(f, id, c, words[i]);
    }
    int status;
    char *message;
    assert_null(fx_try(f, TL_M_GetWorkflowExecutionHistory, fx_history_request(f, "target", ""),
                       &status, &message, NULL));
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, fx_setup_file, fx_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_workflow_is_started_and_signalled),
        T(a_workflow_that_runs_is_signalled_only),
        T(a_workflow_signals_itself),
        T(json_is_read_too),
        T(a_workflow_id_that_is_used_up_fails_the_operation),
        T(what_may_pass_is_tried_again),
        T(bad_inputs_fail_the_workflow_task),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
