/* Goal: what a worker sends for updates: messages and commands in the official core's order, an
 * answer in a later task, nothing of a rejection in the run after the server has dropped its task,
 * and divergence where history and code differ.
 * Method: polls made from canned histories, a scripted language. */
#include "test/unit/test_core_run_fixture.h"

/* Handles the task; `sent` is what it answers: messages by id, then commands, protocol messages by
 * the message they name. */
static void answers(struct fixture *f, const TpWs__PollWorkflowTaskQueueResponse *poll,
                    const char *log, const char *sent)
{
    tl_rc rc = handle(f, poll);
    assert_string_equal(f->err.message, "");
    assert_int_equal(rc, TL_OK);
    assert_string_equal(f->script.log, log);
    char text[1000] = "";
    size_t n = 0;
    for (size_t i = 0; i < f->out.message_count; i++) {
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", i ? " " : "",
                              f->out.messages[i]->id);
    }
    n += (size_t)snprintf(text + n, sizeof(text) - n, ":");
    for (size_t i = 0; i < f->out.command_count; i++) {
        const TpCommand__Command *c = f->out.commands[i];
        const char *name =
            (int)c->command_type == COMMAND_TYPE_PROTOCOL_MESSAGE
                ? c->protocol_message_command_attributes->message_id
                : tl_pb_enum_name(&tp_enums__command_type__descriptor, (int)c->command_type) +
                      strlen("COMMAND_TYPE_");
        n += (size_t)snprintf(text + n, sizeof(text) - n, " %s", name);
    }
    assert_string_equal(text, sent);
}

static void *body(struct fixture *f, size_t at, const ProtobufCMessageDescriptor *desc)
{
    void *out = NULL;
    const Google__Protobuf__Any *any = f->out.messages[at]->body;
    assert_string_equal(strrchr(any->type_url, '/') + 1, desc->name);
    assert_int_equal(tl_pb_decode(desc, tl_pb_str(any->value), &f->task, &out, NULL), TL_OK);
    return out;
}

/* Two updates and a signal in the first task: jobs in the order signal, updates; the first is
 * answered at once, the second in the next task. */
static void order_of_answers(void **state)
{
    struct fixture *f = *state;
    new_run(f, TL_STEPS(DO(TIMER), DO(WAIT_TIMER, .n = 1), DO(ANSWER, .name = "b"), DO(COMPLETE)));
    tl_hb_signaled(&f->hb, "s");
    tl_hb_task(&f->hb);
    TpWs__PollWorkflowTaskQueueResponse *poll = tl_hb_poll(&f->hb, 1);
    tl_hb_poll_add_update(&f->hb, poll, "a", "now");
    tl_hb_poll_add_update(&f->hb, poll, "b", "later");
    answers(f, poll, "init,signal s,update now,update later",
            "a/request/accept a/request/complete b/request/accept: a/request/accept "
            "a/request/complete b/request/accept START_TIMER");
    TpUpdate__Acceptance *accepted = body(f, 0, &tp_update__acceptance__descriptor);
    assert_string_equal(accepted->accepted_request_message_id, "a/request");
    assert_int_equal(accepted->accepted_request_sequencing_event_id, 3);
    assert_string_equal(accepted->accepted_request->input->name, "now");
    TpUpdate__Response *response = body(f, 1, &tp_update__response__descriptor);
    assert_string_equal(response->meta->update_id, "a");
    assert_string_equal(response->meta->identity, "client");
    assert_int_equal(response->outcome->value_case, TP_UPDATE__OUTCOME__VALUE_SUCCESS);

    tl_hb_task_completed(&f->hb);
    int64_t a = tl_hb_update_accepted(&f->hb, "a", "now", 3);
    tl_hb_update_completed(&f->hb, "a", a);
    tl_hb_update_accepted(&f->hb, "b", "later", 3);
    tl_hb_timer_fired(&f->hb, tl_hb_timer_started(&f->hb, "1"));
    tl_hb_task(&f->hb);
    answers(f, tl_hb_poll(&f->hb, 5), "timer 1",
            "b/request/complete: b/request/complete COMPLETE_WORKFLOW_EXECUTION");
}

/* 2-4: task 5: Accepted(a) 6: TimerStarted ...: an uncached run takes the update from the history,
 * without its validator, in the activation of the task that accepted it. */
static void uncached_run(void **state)
{
    struct fixture *f = *state;
    new_run(
        f, TL_STEPS(DO(TIMER), DO(WAIT_TIMER, .n = 1), DO(FAIL_UPDATE, .name = "a"), DO(COMPLETE)));
    tl_hb_full_task(&f->hb);
    tl_hb_update_accepted(&f->hb, "a", "later", 2);
    tl_hb_timer_fired(&f->hb, tl_hb_timer_started(&f->hb, "1"));
    tl_hb_task(&f->hb);
    answers(f, tl_hb_poll(&f->hb, 1), "init,update later again?|timer 1",
            "a/request/complete: a/request/complete COMPLETE_WORKFLOW_EXECUTION");
    TpUpdate__Response *response = body(f, 0, &tp_update__response__descriptor);
    assert_int_equal(response->outcome->value_case, TP_UPDATE__OUTCOME__VALUE_FAILURE);
    assert_string_equal(response->outcome->failure->message, "no");
}

/* A task that only rejects is forgotten by the server: the next task repeats the events since the
 * one before, and its ids are those that the forgotten one had. */
static void rejected_and_rewound(void **state)
{
    struct fixture *f = *state;
    new_run(f, TL_STEPS(DO(TIMER), DO(WAIT_SIGNALS, .n = 1), DO(COMPLETE)));
    tl_hb_task(&f->hb);
    answers(f, tl_hb_poll(&f->hb, 1), "init", ": START_TIMER");
    tl_hb_task_completed(&f->hb);
    tl_hb_timer_started(&f->hb, "1");
    struct tl_hb before = f->hb;
    tl_hb_task(&f->hb);
    TpWs__PollWorkflowTaskQueueResponse *poll = tl_hb_poll(&f->hb, 4);
    tl_hb_poll_add_update(&f->hb, poll, "a", "reject");
    answers(f, poll, "update reject", "a/request/reject:");
    TpUpdate__Rejection *rejection = body(f, 0, &tp_update__rejection__descriptor);
    assert_string_equal(rejection->rejected_request_message_id, "a/request");
    assert_string_equal(rejection->failure->message, "no");
    assert_string_equal(rejection->rejected_request->meta->update_id, "a");
    assert_int_equal(tl_run_pending_count(f->run), 1);

    tl_run_rewind(f->run, 3);
    assert_false(tl_run_broken(f->run));
    assert_int_equal(tl_run_last_event_id(f->run), 5);
    assert_int_equal(tl_run_started_event_id(f->run), 3);
    f->hb = before;
    tl_hb_signaled(&f->hb, "s");
    tl_hb_task(&f->hb);
    poll = tl_hb_poll(&f->hb, 4);
    assert_int_equal(tl_run_check_fit(f->run, poll), TL_FIT_READY);
    answers(f, poll, "signal s", ": COMPLETE_WORKFLOW_EXECUTION");
}

/* Back to a task that is not before the last one, or with commands under way: replay instead. */
static void cannot_rewind(void **state)
{
    struct fixture *f = *state;
    new_run(f, TL_STEPS(DO(TIMER)));
    tl_hb_task(&f->hb);
    answers(f, tl_hb_poll(&f->hb, 1), "init", ": START_TIMER");
    tl_run_rewind(f->run, 1);
    assert_true(tl_run_broken(f->run));
}

/* 2: UpdateAdmitted 3-4: task: a request that a reset has put into the history. Its acceptance comes
 * without the request. */
static void admitted_by_reset(void **state)
{
    struct fixture *f = *state;
    tl_hb_update_admitted(&f->hb, "a", "later");
    tl_hb_task(&f->hb);
    new_run(f, TL_STEPS(DO(TIMER), DO(WAIT_TIMER, .n = 1), DO(ANSWER, .name = "a"), DO(COMPLETE)));
    answers(f, tl_hb_poll(&f->hb, 1), "init,update later",
            "a/request/accept: a/request/accept START_TIMER");
    tl_hb_task_completed(&f->hb);
    tl_hb_update_accepted(&f->hb, "a", NULL, 2);
    tl_hb_timer_fired(&f->hb, tl_hb_timer_started(&f->hb, "1"));
    tl_hb_task(&f->hb);
    new_run(f, TL_STEPS(DO(TIMER), DO(WAIT_TIMER, .n = 1), DO(ANSWER, .name = "a"), DO(COMPLETE)));
    answers(f, tl_hb_poll(&f->hb, 1), "init,update later again?|timer 1",
            "a/request/complete: a/request/complete COMPLETE_WORKFLOW_EXECUTION");
}

static void diverges(struct fixture *f, const struct tl_step *steps, const char *words)
{
    struct tl_replay_result result;
    tl_script_init(&f->script, steps);
    struct tl_lang lang = tl_script_lang(&f->script);
    assert_int_equal(tl_replay(tl_hb_history(&f->hb), NULL, &lang, &f->task, &result, &f->err),
                     TL_ENONDETERMINISM);
    if (!strstr(f->err.message, words)) {
        fail_msg("'%s' not in: %s", words, f->err.message);
    }
}

/* The code rejects, or answers another one, what the history accepts or completes. */
static void divergence(void **state)
{
    struct fixture *f = *state;
    tl_hb_full_task(&f->hb);
    tl_hb_update_accepted(&f->hb, "a", "reject", 2);
    diverges(f, TL_STEPS(DO(WAIT_SIGNALS, .n = 1)), "WorkflowExecutionUpdateAccepted");

    tl_hb_init(&f->hb, &f->arena);
    tl_hb_start(&f->hb, "order");
    tl_hb_full_task(&f->hb);
    int64_t a = tl_hb_update_accepted(&f->hb, "a", "later", 2);
    int64_t b = tl_hb_update_accepted(&f->hb, "b", "later", 2);
    tl_hb_update_completed(&f->hb, "b", b);
    (void)a;
    diverges(f, TL_STEPS(DO(WAIT_UPDATES, .n = 2), DO(ANSWER, .name = "a")),
             "WorkflowExecutionUpdateCompleted");
}

/* Requests that no worker can read, or twice the same, fail the task. */
static void bad_messages(void **state)
{
    struct fixture *f = *state;
    new_run(f, TL_STEPS(DO(WAIT_SIGNALS, .n = 1)));
    tl_hb_task(&f->hb);
    TpWs__PollWorkflowTaskQueueResponse *poll = tl_hb_poll(&f->hb, 1);
    tl_hb_poll_add_update(&f->hb, poll, "a", "later");
    tl_hb_poll_add_update(&f->hb, poll, "a", "later");
    assert_int_equal(handle(f, poll), TL_EINVAL);
    assert_non_null(strstr(f->err.message, "'a' is under way already"));
    new_run(f, TL_STEPS(DO(WAIT_SIGNALS, .n = 1)));
    poll = tl_hb_poll(&f->hb, 1);
    tl_hb_poll_add_update(&f->hb, poll, "a", "later");
    poll->messages[0]->body->type_url = tl_arena_printf(&f->arena, "x/y");
    assert_int_equal(handle(f, poll), TL_EINVAL);
    assert_non_null(strstr(f->err.message, "does not know the message 'a/request'"));
    assert_int_equal(f->out.message_count, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(order_of_answers), TEST(uncached_run),      TEST(rejected_and_rewound),
        TEST(cannot_rewind),    TEST(admitted_by_reset), TEST(divergence),
        TEST(bad_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
