/* Updates as a client and a worker of the server see them: speculative tasks dropped and converted,
 * the same id finding the same update, limits, what is left of them at the end of a run, and an update
 * that starts its workflow. */
#include "test_server_fixture.h"

/* --- requests and answers ------------------------------------------------------------------------------ */

enum { ADMITTED = 1, ACCEPTED, COMPLETED };

static TpWs__UpdateWorkflowExecutionRequest *update_request(struct fx *f, const char *workflow_id,
                                                            const char *id, int stage)
{
    TpWs__UpdateWorkflowExecutionRequest *r = TL_PB_NEW(
        &f->arena, TpWs__UpdateWorkflowExecutionRequest, tp_ws__update_workflow_execution_request);
    r->namespace_ = S("default");
    r->workflow_execution = fx_execution(f, workflow_id, "");
    r->wait_policy = TL_PB_NEW(&f->arena, TpUpdate__WaitPolicy, tp_update__wait_policy);
    r->wait_policy->lifecycle_stage = (TpEnums__UpdateWorkflowExecutionLifecycleStage)stage;
    r->request = TL_PB_NEW(&f->arena, TpUpdate__Request, tp_update__request);
    r->request->meta = TL_PB_NEW(&f->arena, TpUpdate__Meta, tp_update__meta);
    r->request->meta->update_id = tl_pb_cstr(&f->arena, tl_str(id));
    r->request->input = TL_PB_NEW(&f->arena, TpUpdate__Input, tp_update__input);
    r->request->input->name = S("add");
    return r;
}

static void send(struct fx *f, struct fx_call *c, const char *id, int stage)
{
    fx_start(f, c, TL_M_UpdateWorkflowExecution, update_request(f, "o-1", id, stage));
    fx_pump(f);
}

/* "accept", "reject", "complete" of update `id`. */
static TpProtocol__Message *message(struct fx *f, const char *id, const char *what)
{
    TpProtocol__Message *m = TL_PB_NEW(&f->arena, TpProtocol__Message, tp_protocol__message);
    TpUpdate__Acceptance accept = TP_UPDATE__ACCEPTANCE__INIT;
    TpUpdate__Rejection reject = TP_UPDATE__REJECTION__INIT;
    TpUpdate__Response response = TP_UPDATE__RESPONSE__INIT;
    TpUpdate__Outcome outcome = TP_UPDATE__OUTCOME__INIT;
    TpUpdate__Meta meta = TP_UPDATE__META__INIT;
    TpUpdate__Request request = TP_UPDATE__REQUEST__INIT;
    TpCommon__Payloads nothing = TP_COMMON__PAYLOADS__INIT;
    TpFailure__Failure no = TP_FAILURE__FAILURE__INIT;
    const ProtobufCMessage *body = &accept.base;
    struct tl_str bytes;
    no.message = S("not now");
    reject.failure = &no;
    meta.update_id = S(id);
    request.meta = &meta;
    accept.accepted_request = &request; /* as workers do: the server keeps what it was asked */
    outcome.value_case = TP_UPDATE__OUTCOME__VALUE_SUCCESS;
    outcome.success = &nothing;
    response.meta = &meta;
    response.outcome = &outcome;
    if (strcmp(what, "accept") != 0) {
        body = strcmp(what, "reject") == 0 ? &reject.base : &response.base;
    }
    assert_int_equal(tl_pb_encode_arena(body, &f->arena, &bytes, NULL), TL_OK);
    m->id = tl_arena_printf(&f->arena, "%s/request/%s", id, what);
    m->protocol_instance_id = tl_pb_cstr(&f->arena, tl_str(id));
    m->body = TL_PB_NEW(&f->arena, Google__Protobuf__Any, google__protobuf__any);
    m->body->type_url =
        tl_arena_printf(&f->arena, "type.googleapis.com/%s", body->descriptor->name);
    m->body->value = tl_pb_bytes_view(bytes);
    return m;
}

static TpCommand__Command *message_command(struct fx *f, const TpProtocol__Message *m)
{
    TpCommand__Command *c = fx_command(f, COMMAND_TYPE_PROTOCOL_MESSAGE);
    c->attributes_case = TP_COMMAND__COMMAND__ATTRIBUTES_PROTOCOL_MESSAGE_COMMAND_ATTRIBUTES;
    c->protocol_message_command_attributes =
        TL_PB_NEW(&f->arena, TpCommand__ProtocolMessageCommandAttributes,
                  tp_command__protocol_message_command_attributes);
    c->protocol_message_command_attributes->message_id = m->id;
    return c;
}

/* Adds messages (with their commands unless they reject) to a completion. NULL-terminated pairs. */
static TpWs__RespondWorkflowTaskCompletedRequest *
answer(struct fx *f, ProtobufCBinaryData token, const char *const *pairs, TpCommand__Command *last)
{
    TpWs__RespondWorkflowTaskCompletedRequest *r = fx_completion(f, token, NULL, NULL, NULL);
    struct tl_pb_list commands = {0}, messages = {0};
    for (; *pairs; pairs += 2) {
        TpProtocol__Message *m = message(f, pairs[0], pairs[1]);
        assert_true(tl_pb_push(&f->arena, &messages, m));
        if (strcmp(pairs[1], "reject") != 0) {
            assert_true(tl_pb_push(&f->arena, &commands, message_command(f, m)));
        }
    }
    if (last) {
        assert_true(tl_pb_push(&f->arena, &commands, last));
    }
    r->n_commands = commands.n;
    r->commands = commands.items;
    r->n_messages = messages.n;
    r->messages = messages.items;
    return r;
}
#define PAIRS(...) ((const char *const[]){__VA_ARGS__, NULL})

static TpWs__RespondWorkflowTaskCompletedResponse *
complete(struct fx *f, const TpWs__PollWorkflowTaskQueueResponse *w, const char *const *pairs,
         TpCommand__Command *last)
{
    return fx_must(f, TL_M_RespondWorkflowTaskCompleted, answer(f, w->task_token, pairs, last));
}

static TpWs__UpdateWorkflowExecutionResponse *ended(struct fx_call *c)
{
    int status;
    char *text;
    assert_true(fx_wait(c, 60 * TL_NS_PER_S));
    TpWs__UpdateWorkflowExecutionResponse *r = fx_end(c, &status, &text, NULL);
    if (!r) {
        fail_msg("status %d: %s", status, text);
    }
    return r;
}

/* Started, and idle after its first task: 1 5 6 7. */
static void idle_workflow(struct fx *f)
{
    fx_start_workflow(f, "o-1");
    fx_complete(f, fx_poll(f)->task_token, NULL, NULL);
}

/* The history by the cheap way: no started task becomes an event by it. */
static void history_is(struct fx *f, const char *types)
{
    assert_string_equal(fx_history(f, "o-1", "", 0), types);
}

static TpWs__PollWorkflowExecutionUpdateResponse *poll_update(struct fx *f, const char *id,
                                                              int stage, int *status, char **text)
{
    TpWs__PollWorkflowExecutionUpdateRequest r =
        TP_WS__POLL_WORKFLOW_EXECUTION_UPDATE_REQUEST__INIT;
    TpUpdate__UpdateRef ref = TP_UPDATE__UPDATE_REF__INIT;
    TpUpdate__WaitPolicy wait = TP_UPDATE__WAIT_POLICY__INIT;
    r.namespace_ = S("default");
    ref.workflow_execution = fx_execution(f, "o-1", "");
    ref.update_id = S(id);
    wait.lifecycle_stage = (TpEnums__UpdateWorkflowExecutionLifecycleStage)stage;
    r.update_ref = &ref;
    r.wait_policy = &wait;
    return fx_try(f, TL_M_PollWorkflowExecutionUpdate, &r, status, text, NULL);
}

/* --- speculative tasks --------------------------------------------------------------------------------- */

/* The task shows events that the history does not have; a rejection leaves no trace, and the worker
 * goes back to the task before. */
static void test_rejected_without_a_trace(void **state)
{
    struct fx *f = *state;
    struct fx_call c;
    idle_workflow(f);
    send(f, &c, "u", COMPLETED);
    TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
    assert_int_equal(w->history->n_events, 6);
    assert_int_equal(w->started_event_id, 6);
    assert_int_equal(w->previous_started_event_id, 3);
    assert_int_equal(w->n_messages, 1);
    assert_string_equal(w->messages[0]->id, "u/request");
    assert_int_equal(w->messages[0]->event_id, 5);
    TpWs__RespondWorkflowTaskCompletedResponse *r = complete(f, w, PAIRS("u", "reject"), NULL);
    assert_int_equal(r->reset_history_event_id, 3);
    TpWs__UpdateWorkflowExecutionResponse *u = ended(&c);
    assert_int_equal(u->stage, COMPLETED);
    assert_int_equal(u->outcome->value_case, TP_UPDATE__OUTCOME__VALUE_FAILURE);
    assert_string_equal(u->outcome->failure->message, "not now");
    history_is(f, "1 5 6 7");
    /* It is forgotten: the id is free. */
    int status;
    char *text;
    assert_null(poll_update(f, "u", COMPLETED, &status, &text));
    assert_int_equal(status, 5);
    assert_string_equal(text, "update \"u\" not found");
}

/* Commands since the last task are events that the worker has to forget too: only a worker that says
 * that it can. */
static void test_rejected_after_commands(void **state)
{
    struct fx *f = *state;
    struct fx_call c;
    fx_start_workflow(f, "o-1");
    fx_complete(f, fx_poll(f)->task_token, fx_timer_command(f, "1", 3600000), NULL);
    send(f, &c, "a", COMPLETED);
    TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
    TpWs__RespondWorkflowTaskCompletedRequest *r =
        answer(f, w->task_token, PAIRS("a", "reject"), NULL);
    TpWs__RespondWorkflowTaskCompletedRequest__Capabilities caps =
        TP_WS__RESPOND_WORKFLOW_TASK_COMPLETED_REQUEST__CAPABILITIES__INIT;
    caps.discard_speculative_workflow_task_with_events = true;
    r->capabilities = &caps;
    fx_must(f, TL_M_RespondWorkflowTaskCompleted, r);
    ended(&c);
    history_is(f, "1 5 6 7 17");
    send(f, &c, "b", COMPLETED);
    assert_int_equal(complete(f, fx_poll(f), PAIRS("b", "reject"), NULL)->reset_history_event_id,
                     0);
    ended(&c);
    history_is(f, "1 5 6 7 17 5 6 7");
}

/* Accepted and completed on one task: the task and both events are written together. */
static void test_completed(void **state)
{
    struct fx *f = *state;
    struct fx_call c;
    idle_workflow(f);
    send(f, &c, "u", COMPLETED);
    complete(f, fx_poll(f), PAIRS("u", "accept", "u", "complete"), NULL);
    TpWs__UpdateWorkflowExecutionResponse *u = ended(&c);
    assert_int_equal(u->stage, COMPLETED);
    assert_int_equal(u->outcome->value_case, TP_UPDATE__OUTCOME__VALUE_SUCCESS);
    assert_string_equal(u->update_ref->update_id, "u");
    history_is(f, "1 5 6 7 5 6 7 41 43");
    TpWs__GetWorkflowExecutionHistoryResponse *h =
        fx_must(f, TL_M_GetWorkflowExecutionHistory, fx_history_request(f, "o-1", ""));
    assert_string_equal(
        h->history->events[7]
            ->workflow_execution_update_accepted_event_attributes->accepted_request->input->name,
        "add");
    assert_int_equal(h->history->events[8]
                         ->workflow_execution_update_completed_event_attributes->accepted_event_id,
                     8);
}

/* A signal makes the speculative task, waiting or started, a normal one in front of it. */
static void test_converted_by_a_signal(void **state)
{
    struct fx *f = *state;
    struct fx_call c;
    idle_workflow(f);
    send(f, &c, "u", COMPLETED);
    fx_signal(f, "o-1", "s");
    history_is(f, "1 5 6 7 5 26");
    TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
    assert_int_equal(w->n_messages, 1);
    assert_int_equal(w->history->n_events, 7);
    complete(f, w, PAIRS("u", "reject"), NULL);
    ended(&c);
    history_is(f, "1 5 6 7 5 26 6 7");
    send(f, &c, "v", COMPLETED);
    w = fx_poll(f);
    fx_signal(f, "o-1", "t");
    history_is(f, "1 5 6 7 5 26 6 7 5 6");
    complete(f, w, PAIRS("v", "accept", "v", "complete"), NULL);
    ended(&c);
    history_is(f, "1 5 6 7 5 26 6 7 5 6 7 41 43 26 5");
}

/* Nobody takes the task, or its worker is silent: the task times out, the update rides on the next. */
static void test_task_times_out(void **state)
{
    struct fx *f = *state;
    struct fx_call c;
    idle_workflow(f);
    send(f, &c, "u", COMPLETED);
    assert_int_equal(fx_poll(f)->n_messages, 1);
    f->now_ns += 11 * TL_NS_PER_S;
    fx_pump(f);
    TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
    assert_int_equal(w->n_messages, 1);
    assert_int_equal(w->attempt, 2);
    complete(f, w, PAIRS("u", "accept", "u", "complete"), NULL);
    ended(&c);
}

/* A worker that knows nothing of updates: the server rejects in its place. */
static void test_unprocessed(void **state)
{
    struct fx *f = *state;
    struct fx_call c;
    idle_workflow(f);
    send(f, &c, "u", COMPLETED);
    fx_complete(f, fx_poll(f)->task_token, fx_timer_command(f, "1", 1000), NULL);
    assert_non_null(strstr(ended(&c)->outcome->failure->message, "wasn't processed by worker"));
}

/* While a task runs an update waits; it goes out with the reply when the worker wants that. */
static void test_next_task_in_the_reply(void **state)
{
    struct fx *f = *state;
    struct fx_call c;
    fx_start_workflow(f, "o-1");
    TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
    send(f, &c, "u", COMPLETED);
    TpWs__RespondWorkflowTaskCompletedRequest *r = fx_completion(f, w->task_token, NULL, NULL, "h");
    r->return_new_workflow_task = true;
    TpWs__RespondWorkflowTaskCompletedResponse *done =
        fx_must(f, TL_M_RespondWorkflowTaskCompleted, r);
    assert_non_null(done->workflow_task);
    assert_int_equal(done->workflow_task->n_messages, 1);
    complete(f, done->workflow_task, PAIRS("u", "reject"), NULL);
    ended(&c);
    history_is(f, "1 5 6 7");
}

/* --- the same update ----------------------------------------------------------------------------------- */

/* Accepted in one task, completed in another; the id finds it at every stage, after a restart, and on
 * the closed run. */
static void test_dedupe_over_restarts(void **state)
{
    struct fx *f = *state;
    struct fx_call c, again;
    int status;
    char *text;
    idle_workflow(f);
    send(f, &c, "u", ACCEPTED);
    send(f, &again, "u", ACCEPTED);
    TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
    assert_int_equal(w->n_messages, 1);
    complete(f, w, PAIRS("u", "accept"), NULL);
    assert_int_equal(ended(&c)->stage, ACCEPTED);
    assert_int_equal(ended(&again)->stage, ACCEPTED);
    for (int abandon = 0; abandon < 2; abandon++) {
        fx_pump(f);
        fx_close(f, abandon);
        fx_open(f);
        send(f, &c, "u", ACCEPTED);
        assert_int_equal(ended(&c)->stage, ACCEPTED);
    }
    assert_int_equal(poll_update(f, "u", COMPLETED, &status, &text)->stage, ACCEPTED); /* 20 s */
    fx_signal(f, "o-1", "go");
    complete(f, fx_poll(f), PAIRS("u", "complete"), fx_complete_command(f));
    send(f, &c, "u", COMPLETED);
    assert_int_equal(ended(&c)->outcome->value_case, TP_UPDATE__OUTCOME__VALUE_SUCCESS);
    for (int abandon = 0; abandon < 2; abandon++) {
        fx_pump(f);
        fx_close(f, abandon);
        fx_open(f);
        assert_int_equal(poll_update(f, "u", COMPLETED, &status, &text)->stage, COMPLETED);
    }
    assert_null(fx_try(f, TL_M_UpdateWorkflowExecution, update_request(f, "o-1", "new", COMPLETED),
                       &status, &text, NULL));
    assert_int_equal(status, 5);
    assert_string_equal(text, "workflow execution already completed");
}

/* What was not accepted is lost with the server; its callers are told to come again. */
static void test_admitted_is_lost(void **state)
{
    struct fx *f = *state;
    struct fx_call c;
    int status;
    char *text;
    idle_workflow(f);
    send(f, &c, "u", COMPLETED);
    assert_int_equal(poll_update(f, "u", ADMITTED, &status, &text)->stage, ADMITTED);
    tl_server_close(f->s);
    f->s = NULL;
    fx_end(&c, &status, &text, NULL);
    assert_int_equal(status, 14);
    tl_channel_close(f->ch);
    fx_open(f);
    assert_null(poll_update(f, "u", ADMITTED, &status, &text));
    assert_int_equal(status, 5);
    history_is(f, "1 5 6 7");
}

static void test_limits(void **state)
{
    struct fx *f = *state;
    struct fx_call c[10];
    int status;
    char *text;
    char id[16];
    TpRpc__Status *details;
    idle_workflow(f);
    for (int i = 0; i < 10; i++) {
        snprintf(id, sizeof id, "u%d", i);
        send(f, &c[i], id, COMPLETED);
    }
    assert_null(fx_try(f, TL_M_UpdateWorkflowExecution, update_request(f, "o-1", "x", COMPLETED),
                       &status, &text, &details));
    assert_int_equal(status, 8);
    assert_string_equal(text,
                        "limit on number of concurrent in-flight updates has been reached (10)");
    TpErrdetails__ResourceExhaustedFailure *d =
        fx_detail(f, details, &tp_errdetails__resource_exhausted_failure__descriptor);
    assert_int_equal(d->cause, RESOURCE_EXHAUSTED_CAUSE_CONCURRENT_LIMIT);
    TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
    assert_int_equal(w->n_messages, 10);
    assert_string_equal(w->messages[9]->protocol_instance_id, "u9");
    fx_complete(f, w->task_token, NULL, NULL); /* all rejected */
    for (int i = 0; i < 10; i++) {
        ended(&c[i]);
    }
}

static void test_bad_requests(void **state)
{
    struct fx *f = *state;
    int status;
    char *text;
    idle_workflow(f);
    TpWs__UpdateWorkflowExecutionRequest *r = update_request(f, "o-1", "u", ADMITTED);
    assert_null(fx_try(f, TL_M_UpdateWorkflowExecution, r, &status, &text, NULL));
    assert_int_equal(status, 7);
    r = update_request(f, "o-1", "u", COMPLETED);
    r->request->input->name = S("");
    assert_null(fx_try(f, TL_M_UpdateWorkflowExecution, r, &status, &text, NULL));
    assert_int_equal(status, 3);
    assert_string_equal(text, "Update name is not set on request.");
    r->request->input = NULL;
    assert_null(fx_try(f, TL_M_UpdateWorkflowExecution, r, &status, &text, NULL));
    assert_string_equal(text, "Update input is not set on request.");
    r->request->meta = NULL;
    assert_null(fx_try(f, TL_M_UpdateWorkflowExecution, r, &status, &text, NULL));
    assert_string_equal(text, "Update meta is not set on request.");
    assert_null(fx_try(f, TL_M_UpdateWorkflowExecution, update_request(f, "none", "u", COMPLETED),
                       &status, &text, NULL));
    assert_int_equal(status, 5);
}

/* Answers that do not fit fail the task with their cause. */
static void test_bad_answers(void **state)
{
    struct fx *f = *state;
    struct fx_call c;
    int status;
    char *text;
    idle_workflow(f);
    send(f, &c, "u", COMPLETED);
    TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
    assert_null(fx_try(f, TL_M_RespondWorkflowTaskCompleted,
                       answer(f, w->task_token, PAIRS("u", "complete"), NULL), &status, &text,
                       NULL));
    assert_int_equal(status, 3);
    assert_non_null(strstr(text, "BadUpdateWorkflowExecutionMessage: invalid state transition"));
    assert_true(fx_wait(&c, TL_NS_PER_S));
    fx_end(&c, &status, &text, NULL);
    assert_int_equal(status, 9);
    assert_non_null(strstr(text, "unexpected workflow task failure"));
    w = fx_poll(f);
    TpProtocol__Message lost = TP_PROTOCOL__MESSAGE__INIT;
    lost.id = S("nowhere");
    assert_null(fx_try(f, TL_M_RespondWorkflowTaskCompleted,
                       fx_completion(f, w->task_token, message_command(f, &lost), NULL, NULL),
                       &status, &text, NULL));
    assert_non_null(strstr(text, "referenced absent message ID nowhere"));
}

/* --- reset -------------------------------------------------------------------------------------------- */

static TpHistory__HistoryEvent *event(struct fx *f, const char *run, size_t id)
{
    TpWs__GetWorkflowExecutionHistoryRequest *r = fx_history_request(f, "o-1", run);
    r->maximum_page_size = 1000;
    TpWs__GetWorkflowExecutionHistoryResponse *h = fx_must(f, TL_M_GetWorkflowExecutionHistory, r);
    assert_true(id >= 1 && id <= h->history->n_events);
    return h->history->events[id - 1];
}

/* To the first workflow task of `base`. */
static char *reset(struct fx *f, const char *base, int reapply_type, int exclude_type)
{
    TpWs__ResetWorkflowExecutionRequest r = TP_WS__RESET_WORKFLOW_EXECUTION_REQUEST__INIT;
    TpEnums__ResetReapplyExcludeType type = (TpEnums__ResetReapplyExcludeType)exclude_type;
    char request_id[37];
    tl_uuid4(&f->world, request_id);
    r.namespace_ = S("default");
    r.workflow_execution = fx_execution(f, "o-1", base);
    r.workflow_task_finish_event_id = 4;
    r.reason = S("again");
    r.request_id = request_id;
    r.reset_reapply_type = (TpEnums__ResetReapplyType)reapply_type;
    r.n_reset_reapply_exclude_types = exclude_type ? 1 : 0;
    r.reset_reapply_exclude_types = &type;
    TpWs__ResetWorkflowExecutionResponse *a = fx_must(f, TL_M_ResetWorkflowExecution, &r);
    return a->run_id;
}

/* 1 5 6 7, then "a" completed, a signal, "b" accepted. */
static char *run_with_updates(struct fx *f)
{
    struct fx_call a, b;
    idle_workflow(f);
    char *base = fx_describe(f, "o-1", "")->workflow_execution_info->execution->run_id;
    send(f, &a, "a", COMPLETED);
    complete(f, fx_poll(f), PAIRS("a", "accept", "a", "complete"), NULL);
    ended(&a);
    fx_signal(f, "o-1", "between");
    fx_complete(f, fx_poll(f)->task_token, NULL, NULL);
    send(f, &b, "b", ACCEPTED);
    complete(f, fx_poll(f), PAIRS("b", "accept"), NULL);
    ended(&b);
    history_is(f, "1 5 6 7 5 6 7 41 43 26 5 6 7 5 6 7 41");
    return base;
}

/* Accepted updates behind the point are admitted by an event, between the signals; the worker gets them
 * by the history alone, and their acceptance is without the request, over a crash and a second reset. */
static void test_reset(void **state)
{
    struct fx *f = *state;
    struct fx_call again;
    char *base = run_with_updates(f);
    char *run = reset(f, base, 0, 0);
    history_is(f, "1 5 6 9 47 26 47 5");
    TpHistory__WorkflowExecutionUpdateAdmittedEventAttributes *admitted =
        event(f, run, 5)->workflow_execution_update_admitted_event_attributes;
    assert_int_equal(admitted->origin, UPDATE_ADMITTED_EVENT_ORIGIN_REAPPLY);
    assert_string_equal(admitted->request->meta->update_id, "a");
    assert_string_equal(admitted->request->input->name, "add");
    fx_crash(f);
    send(f, &again, "a", COMPLETED); /* finds it */
    TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
    assert_int_equal(w->n_messages, 0);
    complete(f, w, PAIRS("a", "accept", "a", "complete", "b", "reject"), NULL);
    assert_int_equal(ended(&again)->stage, COMPLETED);
    history_is(f, "1 5 6 9 47 26 47 5 6 7 41 43");
    TpHistory__WorkflowExecutionUpdateAcceptedEventAttributes *accepted =
        event(f, run, 11)->workflow_execution_update_accepted_event_attributes;
    assert_null(accepted->accepted_request);
    assert_string_equal(accepted->protocol_instance_id, "a");
    fx_crash(f); /* "b" is not found again: the same id is another update */
    send(f, &again, "b", ACCEPTED);
    w = fx_poll(f);
    assert_int_equal(w->n_messages, 1);
    complete(f, w, PAIRS("b", "accept"), NULL);
    ended(&again);
    run = reset(f, run, 0, 0);
    history_is(f, "1 5 6 9 47 26 47 5");
    assert_string_equal(
        event(f, run, 7)
            ->workflow_execution_update_admitted_event_attributes->request->meta->update_id,
        "b");
}

/* A task that fails shows it again; one that does not answer it rejects it. */
static void test_reset_unanswered(void **state)
{
    struct fx *f = *state;
    struct fx_call again;
    int status;
    char *text;
    reset(f, run_with_updates(f), 0, 0);
    TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
    assert_null(fx_try(f, TL_M_RespondWorkflowTaskCompleted,
                       answer(f, w->task_token, PAIRS("a", "complete"), NULL), &status, &text,
                       NULL));
    send(f, &again, "a", COMPLETED);
    complete(f, fx_poll(f), PAIRS("a", "accept", "a", "complete"), NULL);
    assert_int_equal(ended(&again)->stage, COMPLETED);
    history_is(f, "1 5 6 9 47 26 47 5 6 9 5 6 7 41 43");
    send(f, &again, "b", ACCEPTED); /* was not answered: a new one */
    w = fx_poll(f);
    assert_int_equal(w->n_messages, 1);
    complete(f, w, PAIRS("b", "accept"), NULL);
    ended(&again);
}

/* Left out by the list, and by its older form. */
static void test_reset_excluded(void **state)
{
    struct fx *f = *state;
    char *base = run_with_updates(f);
    reset(f, base, 0, RESET_REAPPLY_EXCLUDE_TYPE_UPDATE);
    history_is(f, "1 5 6 9 26 5");
    reset(f, base, 0, RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL);
    history_is(f, "1 5 6 9 47 47 5");
    reset(f, base, RESET_REAPPLY_TYPE_SIGNAL, 0);
    history_is(f, "1 5 6 9 26 5");
    reset(f, base, RESET_REAPPLY_TYPE_NONE, 0);
    history_is(f, "1 5 6 9 5");
}

/* --- the end of the run -------------------------------------------------------------------------------- */

/* Closed: what was accepted fails by that, what was not is told NOT_FOUND. */
static void test_closed_run(void **state)
{
    struct fx *f = *state;
    struct fx_call accepted, admitted;
    int status;
    char *text;
    idle_workflow(f);
    send(f, &accepted, "a", COMPLETED);
    TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
    complete(f, w, PAIRS("a", "accept"), NULL);
    fx_signal(f, "o-1", "go");
    w = fx_poll(f);
    send(f, &admitted, "b", COMPLETED);
    fx_complete(f, w->task_token, fx_complete_command(f), NULL);
    TpWs__UpdateWorkflowExecutionResponse *u = ended(&accepted);
    assert_int_equal(u->stage, COMPLETED);
    assert_string_equal(u->outcome->failure->application_failure_info->type,
                        "AcceptedUpdateCompletedWorkflow");
    assert_true(fx_wait(&admitted, TL_NS_PER_S));
    fx_end(&admitted, &status, &text, NULL);
    assert_int_equal(status, 5);
    assert_string_equal(text, "update aborted by closing workflow");
}

/* Continued as new: what was not accepted goes to the next run. */
static void test_continued_run(void **state)
{
    struct fx *f = *state;
    struct fx_call c;
    idle_workflow(f);
    fx_signal(f, "o-1", "go");
    TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
    send(f, &c, "u", COMPLETED);
    TpCommand__Command *again = fx_command(f, COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION);
    again->attributes_case =
        TP_COMMAND__COMMAND__ATTRIBUTES_CONTINUE_AS_NEW_WORKFLOW_EXECUTION_COMMAND_ATTRIBUTES;
    again->continue_as_new_workflow_execution_command_attributes =
        TL_PB_NEW(&f->arena, TpCommand__ContinueAsNewWorkflowExecutionCommandAttributes,
                  tp_command__continue_as_new_workflow_execution_command_attributes);
    fx_complete(f, w->task_token, again, NULL);
    TpWs__PollWorkflowTaskQueueResponse *next = fx_poll(f);
    assert_string_not_equal(next->workflow_execution->run_id, w->workflow_execution->run_id);
    assert_int_equal(next->n_messages, 1);
    complete(f, next, PAIRS("u", "accept", "u", "complete"), NULL);
    assert_string_equal(ended(&c)->update_ref->workflow_execution->run_id,
                        next->workflow_execution->run_id);
}

/* --- update with start --------------------------------------------------------------------------------- */

static TpWs__ExecuteMultiOperationRequest *with_start(struct fx *f, const char *id, int policy)
{
    TpWs__ExecuteMultiOperationRequest *r = TL_PB_NEW(&f->arena, TpWs__ExecuteMultiOperationRequest,
                                                      tp_ws__execute_multi_operation_request);
    struct tl_pb_list list = {0};
    for (int i = 0; i < 2; i++) {
        TpWs__ExecuteMultiOperationRequest__Operation *op =
            TL_PB_NEW(&f->arena, TpWs__ExecuteMultiOperationRequest__Operation,
                      tp_ws__execute_multi_operation_request__operation);
        assert_true(tl_pb_push(&f->arena, &list, op));
        if (i == 0) {
            op->operation_case =
                TP_WS__EXECUTE_MULTI_OPERATION_REQUEST__OPERATION__OPERATION_START_WORKFLOW;
            op->start_workflow = fx_start_request(f, "o-1");
            op->start_workflow->request_id = tl_arena_printf(&f->arena, "start of %s", id);
            op->start_workflow->workflow_id_conflict_policy =
                (TpEnums__WorkflowIdConflictPolicy)policy;
        } else {
            op->operation_case =
                TP_WS__EXECUTE_MULTI_OPERATION_REQUEST__OPERATION__OPERATION_UPDATE_WORKFLOW;
            op->update_workflow = update_request(f, "o-1", id, COMPLETED);
        }
    }
    r->namespace_ = S("default");
    r->n_operations = list.n;
    r->operations = list.items;
    return r;
}

static void test_update_with_start(void **state)
{
    struct fx *f = *state;
    struct fx_call c;
    int status;
    char *text;
    TpRpc__Status *details;
    fx_start(f, &c, TL_M_ExecuteMultiOperation,
             with_start(f, "u", WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING));
    TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
    assert_int_equal(w->n_messages, 1);
    complete(f, w, PAIRS("u", "accept", "u", "complete"), NULL);
    assert_true(fx_wait(&c, TL_NS_PER_S));
    TpWs__ExecuteMultiOperationResponse *r = fx_end(&c, &status, &text, NULL);
    assert_int_equal(r->n_responses, 2);
    assert_true(r->responses[0]->start_workflow->started);
    assert_int_equal(r->responses[1]->update_workflow->stage, COMPLETED);
    history_is(f, "1 5 6 7 41 43");
    /* The same again finds both; another one goes to the run that is there. */
    r = fx_must(f, TL_M_ExecuteMultiOperation,
                with_start(f, "u", WORKFLOW_ID_CONFLICT_POLICY_FAIL));
    assert_false(r->responses[0]->start_workflow->started);
    assert_int_equal(r->responses[1]->update_workflow->stage, COMPLETED);
    fx_start(f, &c, TL_M_ExecuteMultiOperation,
             with_start(f, "v", WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING));
    complete(f, fx_poll(f), PAIRS("v", "reject"), NULL);
    assert_true(fx_wait(&c, TL_NS_PER_S));
    r = fx_end(&c, &status, &text, NULL);
    assert_false(r->responses[0]->start_workflow->started);
    assert_non_null(r->responses[1]->update_workflow->outcome->failure);
    /* A conflict: the start says so, the update was given up. */
    assert_null(fx_try(f, TL_M_ExecuteMultiOperation,
                       with_start(f, "w", WORKFLOW_ID_CONFLICT_POLICY_FAIL), &status, &text,
                       &details));
    assert_int_equal(status, 6);
    TpErrdetails__MultiOperationExecutionFailure *d =
        fx_detail(f, details, &tp_errdetails__multi_operation_execution_failure__descriptor);
    assert_int_equal(d->n_statuses, 2);
    assert_int_equal(d->statuses[0]->code, 6);
    assert_non_null(
        strstr(d->statuses[0]->details[0]->type_url, "WorkflowExecutionAlreadyStartedFailure"));
    assert_int_equal(d->statuses[1]->code, 10);
    assert_non_null(strstr(d->statuses[1]->details[0]->type_url, "MultiOperationExecutionAborted"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fx_setup_file, fx_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_rejected_without_a_trace),
        TEST(test_rejected_after_commands),
        TEST(test_completed),
        TEST(test_converted_by_a_signal),
        TEST(test_task_times_out),
        TEST(test_unprocessed),
        TEST(test_next_task_in_the_reply),
        TEST(test_dedupe_over_restarts),
        TEST(test_admitted_is_lost),
        TEST(test_limits),
        TEST(test_bad_requests),
        TEST(test_bad_answers),
        TEST(test_reset),
        TEST(test_reset_unanswered),
        TEST(test_reset_excluded),
        TEST(test_closed_run),
        TEST(test_continued_run),
        TEST(test_update_with_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
