/* Goal: every edge of the machines of child workflows, external signals and external cancellations is
 * taken by some history, and they do what the official core's do.
 * Method: as test_core_machines.c. */
#include "test/unit/test_core_fixture.h"

/* --- children --------------------------------------------------------------------------------- */

#define E(name) EVENT_TYPE_##name
static const struct {
    int event;
    const char *told; /* when the code hears of it */
} child_ends[] = {
    {E(CHILD_WORKFLOW_EXECUTION_COMPLETED), "child 1 completed done"},
    {E(CHILD_WORKFLOW_EXECUTION_FAILED),
     "child 1 failed<Child Workflow execution failed pay c-1/child-run 5-6<no money"},
    {E(CHILD_WORKFLOW_EXECUTION_CANCELED),
     "child 1 canceled<Child Workflow execution cancelled pay c-1/child-run 5-6<canceled"},
    {E(CHILD_WORKFLOW_EXECUTION_TIMED_OUT),
     "child 1 failed<Child Workflow execution timed out pay c-1/child-run 5-6<Timed out"},
    {E(CHILD_WORKFLOW_EXECUTION_TERMINATED),
     "child 1 failed<Child Workflow execution terminated pay c-1/child-run 5-6<Terminated"},
};
enum { CHILD_ENDS = sizeof(child_ends) / sizeof(child_ends[0]) };

static void again(struct fixture *f)
{
    tl_hb_init(&f->hb, &f->arena);
    tl_hb_start(&f->hb, "order");
    tl_hb_full_task(&f->hb);
}

static void add_child_end(struct fixture *f, int64_t child, size_t i)
{
    tl_hb_follow(&f->hb, child_ends[i].event, child, i == 1 ? "no money" : "done");
}

/* 5: Initiated 6: Started 7: its end 8-10: task 11: Completed */
static void child_ends_told(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < CHILD_ENDS; i++) {
        char log[300];
        again(f);
        int64_t child = tl_hb_child_initiated(&f->hb, "c-1", "pay");
        tl_hb_follow(&f->hb, E(CHILD_WORKFLOW_EXECUTION_STARTED), child, NULL);
        add_child_end(f, child, i);
        tl_hb_full_task(&f->hb);
        tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
        snprintf(log, sizeof(log), "init?|child 1 started child-run,%s?", child_ends[i].told);
        agrees(
            f,
            TL_STEPS(DO(CHILD, .name = "pay", .id = "c-1"), DO(WAIT_CHILD, .n = 1), DO(COMPLETE)),
            log);
    }
}

/* A child whose failure is missing in the history; one without a result. */
static void child_ends_bare(void **state)
{
    struct fixture *f = *state;
    again(f);
    int64_t a = tl_hb_child_initiated(&f->hb, "a", "pay");
    int64_t b = tl_hb_child_initiated(&f->hb, "b", "pay");
    tl_hb_follow(&f->hb, E(CHILD_WORKFLOW_EXECUTION_STARTED), a, NULL);
    tl_hb_follow(&f->hb, E(CHILD_WORKFLOW_EXECUTION_STARTED), b, NULL);
    tl_hb_follow(&f->hb, E(CHILD_WORKFLOW_EXECUTION_FAILED), a, NULL);
    tl_hb_follow(&f->hb, E(CHILD_WORKFLOW_EXECUTION_COMPLETED), b, NULL);
    tl_hb_full_task(&f->hb);
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    agrees(f,
           TL_STEPS(DO(CHILD, .name = "pay", .id = "a"), DO(CHILD, .name = "pay", .id = "b"),
                    DO(WAIT_CHILD, .n = 2), DO(COMPLETE)),
           "init?|child 1 started child-run,child 2 started child-run,"
           "child 1 failed<Child Workflow execution failed pay a/child-run 5-7<,"
           "child 2 completed?");
}

/* 5: Initiated 6: StartFailed 7-9: task 10: Completed */
static void child_start_fails(void **state)
{
    struct fixture *f = *state;
    static const struct {
        int cause;
        const char *text;
    } causes[] = {
        {START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_WORKFLOW_ALREADY_EXISTS,
         "Workflow execution already started"},
        {START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_NAMESPACE_NOT_FOUND,
         "its namespace does not exist"},
        {START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_INVALID_VERSIONING_OVERRIDE,
         "Invalid versioning override"}, /* InvalidVersioningOverrideError */
        {99, "the server refused to start it"},
    };
    for (size_t i = 0; i < sizeof causes / sizeof *causes; i++) {
        char log[300];
        again(f);
        int64_t child = tl_hb_child_initiated(&f->hb, "c-1", "pay");
        tl_hb_follow(&f->hb, E(START_CHILD_WORKFLOW_EXECUTION_FAILED), child, NULL);
        tl_hb_event(&f->hb, child + 1)
            ->start_child_workflow_execution_failed_event_attributes->cause =
            (TpEnums__StartChildWorkflowExecutionFailedCause)causes[i].cause;
        tl_hb_full_task(&f->hb);
        tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
        snprintf(log, sizeof(log),
                 "init?|child 1 not started<Child Workflow execution could not be started "
                 "pay c-1/ 5-0<%s?",
                 causes[i].text);
        agrees(
            f,
            TL_STEPS(DO(CHILD, .name = "pay", .id = "c-1"), DO(WAIT_CHILD, .n = 1), DO(COMPLETE)),
            log);
    }
}

/* Where a child is cancelled: after Initiated, or after Started, each in a task of its own. */
enum cancelled_when { BEFORE_STARTED, AFTER_STARTED };

/* 5: Initiated (6: Started) signal, task, then the cancellation's Initiated unless abandoned, its
 * answer, (Started), then `end` of child_ends (CHILD_ENDS: StartFailed), signal, task, Canceled. */
static int64_t cancelled_child(struct fixture *f, enum cancelled_when when, bool request,
                               int answer, size_t end)
{
    again(f);
    int64_t child = tl_hb_child_initiated(&f->hb, "c-1", "pay");
    if (when == AFTER_STARTED) {
        tl_hb_follow(&f->hb, E(CHILD_WORKFLOW_EXECUTION_STARTED), child, NULL);
    }
    tl_hb_signaled(&f->hb, "stop");
    tl_hb_full_task(&f->hb);
    if (request) {
        int64_t cancel = tl_hb_cancel_initiated(&f->hb, "c-1");
        if (answer) {
            tl_hb_follow(&f->hb, answer, cancel, NULL);
        }
    }
    tl_hb_signaled(&f->hb, "more");
    tl_hb_full_task(&f->hb);
    if (end == CHILD_ENDS) {
        tl_hb_follow(&f->hb, E(START_CHILD_WORKFLOW_EXECUTION_FAILED), child, NULL);
    } else {
        if (when == BEFORE_STARTED) {
            tl_hb_follow(&f->hb, E(CHILD_WORKFLOW_EXECUTION_STARTED), child, NULL);
        }
        add_child_end(f, child, end);
    }
    tl_hb_signaled(&f->hb, "end");
    tl_hb_full_task(&f->hb);
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED);
    return child;
}

#define CANCEL_CHILD_STEPS(type)                                                                   \
    TL_STEPS(DO(CHILD, .name = "pay", .id = "c-1", .n = (type)), DO(WAIT_SIGNALS, .n = 1),         \
             DO(CANCEL_CHILD, .n = 1), DO(CANCEL_CHILD, .n = 1), DO(WAIT_SIGNALS, .n = 2),         \
             DO(CANCEL_CHILD, .n = 1), DO(WAIT_SIGNALS, .n = 3), DO(CANCEL_CHILD, .n = 1),         \
             DO(CANCELED))

static const int answers[] = {E(EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED),
                              E(REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED), 0};

/* try, abandon: canceled at once, and nothing of what comes later. */
static void child_cancelled_at_once(void **state)
{
    struct fixture *f = *state;
    static const enum tl_cancellation_type types[] = {TL_CANCEL_TRY, TL_CANCEL_ABANDON};
    for (int t = 0; t < 2; t++) {
        for (int when = BEFORE_STARTED; when <= AFTER_STARTED; when++) {
            for (size_t end = 0; end < CHILD_ENDS + (when == BEFORE_STARTED); end++) {
                for (size_t a = 0; a < 3; a++) {
                    char log[400];
                    cancelled_child(f, (enum cancelled_when)when, types[t] == TL_CANCEL_TRY,
                                    answers[a], end);
                    snprintf(log, sizeof(log),
                             "init?|signal stop%s?|child 1 canceled<Child Workflow execution "
                             "cancelled pay c-1/%s?|signal more?|signal end?",
                             when ? ",child 1 started child-run" : "",
                             when ? "child-run 5-6<canceled" : " 5-0<canceled");
                    agrees(f, CANCEL_CHILD_STEPS(types[t]), log);
                }
            }
        }
    }
}

/* The code learns how it ends, whatever became of the request. */
static void child_cancel_waits(void **state)
{
    struct fixture *f = *state;
    for (int when = BEFORE_STARTED; when <= AFTER_STARTED; when++) {
        for (size_t end = 0; end < CHILD_ENDS + (when == BEFORE_STARTED); end++) {
            for (size_t a = 0; a < 3; a++) {
                int64_t child =
                    cancelled_child(f, (enum cancelled_when)when, true, answers[a], end);
                assert_int_equal(replay(f, CANCEL_CHILD_STEPS(TL_CANCEL_WAIT)), TL_OK);
                assert_int_equal(child, 5);
                if (end == CHILD_ENDS) {
                    assert_non_null(strstr(f->script.log, "|signal end,child 1 not started<"));
                    continue;
                }
                char told[60];
                snprintf(told, sizeof(told), "%s", child_ends[end].told);
                *(strchr(told, '<') ? strchr(told, '<') : told + strlen(told)) = '\0';
                assert_non_null(strstr(f->script.log, "child 1 started child-run"));
                assert_non_null(strstr(strstr(f->script.log, "|signal end"), told));
                assert_null(strstr(f->script.log, "more,"));
            }
        }
    }
}

/* Told canceled when the server says that it passed the request on; when it could not, the child's
 * own end is told. */
static void child_cancel_requested(void **state)
{
    struct fixture *f = *state;
    for (int when = BEFORE_STARTED; when <= AFTER_STARTED; when++) {
        cancelled_child(f, (enum cancelled_when)when, true, answers[0], 0);
        assert_int_equal(replay(f, CANCEL_CHILD_STEPS(TL_CANCEL_WAIT_REQUESTED)), TL_OK);
        assert_non_null(strstr(f->script.log, "|signal more,child 1 canceled<"));
        assert_null(strstr(f->script.log, "completed"));
        cancelled_child(f, (enum cancelled_when)when, true, answers[1], 0);
        assert_int_equal(replay(f, CANCEL_CHILD_STEPS(TL_CANCEL_WAIT_REQUESTED)), TL_OK);
        assert_null(strstr(f->script.log, "child 1 canceled"));
        assert_non_null(strstr(f->script.log, "child 1 completed done"));
    }
    /* Delivered after the child has ended: nothing more is told. */
    again(f);
    int64_t child = tl_hb_child_initiated(&f->hb, "c-1", "pay");
    tl_hb_follow(&f->hb, E(CHILD_WORKFLOW_EXECUTION_STARTED), child, NULL);
    tl_hb_signaled(&f->hb, "stop");
    tl_hb_full_task(&f->hb);
    int64_t cancel = tl_hb_cancel_initiated(&f->hb, "c-1");
    tl_hb_follow(&f->hb, E(CHILD_WORKFLOW_EXECUTION_COMPLETED), child, "done");
    tl_hb_follow(&f->hb, answers[0], cancel, NULL);
    tl_hb_full_task(&f->hb);
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    agrees(f,
           TL_STEPS(DO(CHILD, .name = "pay", .id = "c-1", .n = TL_CANCEL_WAIT_REQUESTED),
                    DO(WAIT_SIGNALS, .n = 1), DO(CANCEL_CHILD, .n = 1), DO(WAIT_CHILD, .n = 1),
                    DO(COMPLETE)),
           "init?|signal stop,child 1 started child-run?|child 1 completed done?");
}

/* A child cancelled in the task that made it leaves no trace in history. 5: Completed */
static void child_taken_back(void **state)
{
    struct fixture *f = *state;
    tl_hb_full_task(&f->hb);
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    for (unsigned type = TL_CANCEL_TRY; type <= TL_CANCEL_WAIT_REQUESTED; type++) {
        agrees(f,
               TL_STEPS(DO(CHILD, .name = "pay", .id = "c-1", .n = type), DO(CANCEL_CHILD, .n = 1),
                        DO(CANCEL_CHILD, .n = 1), DO(WAIT_CHILD, .n = 1), DO(COMPLETE)),
               "init?|child 1 start canceled<Child Workflow Execution cancelled before scheduled "
               "pay c-1/ 0-0<canceled?");
    }
}

/* Another type or id than history has is non-determinism; so are events out of their order. */
static void child_differs(void **state)
{
    struct fixture *f = *state;
    again(f);
    int64_t child = tl_hb_child_initiated(&f->hb, "c-1", "pay");
    tl_hb_full_task(&f->hb);
    assert_int_equal(replay(f, TL_STEPS(DO(CHILD, .name = "ship", .id = "c-1"))),
                     TL_ENONDETERMINISM);
    assert_non_null(strstr(f->err.message, "type 'pay', the code started 'ship'"));
    assert_int_equal(f->result.report->kind, TL_NDE_CHANGED);
    assert_int_equal(replay(f, TL_STEPS(DO(CHILD, .name = "pay", .id = "c-2"))),
                     TL_ENONDETERMINISM);
    assert_non_null(strstr(f->err.message, "id 'c-1', the code made 'c-2'"));
    assert_int_equal(replay(f, TL_STEPS(DO(TIMER))), TL_ENONDETERMINISM);
    tl_hb_follow(&f->hb, E(CHILD_WORKFLOW_EXECUTION_COMPLETED), child, "early");
    tl_hb_full_task(&f->hb);
    assert_int_equal(
        replay(f, TL_STEPS(DO(CHILD, .name = "pay", .id = "c-1"), DO(WAIT_CHILD, .n = 1))),
        TL_ENONDETERMINISM);
    assert_int_equal(f->result.report->kind, TL_NDE_STATE);
}

/* --- other runs ------------------------------------------------------------------------------- */

/* 5-7: three signals 8: Signaled(5) 9, 10: Failed 11-13: task 14: Completed */
static void signals_to_others(void **state)
{
    struct fixture *f = *state;
    again(f);
    static const int causes[] = {
        SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND,
        SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_NAMESPACE_NOT_FOUND,
        SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_SIGNAL_COUNT_LIMIT_EXCEEDED, 0};
    int64_t first = tl_hb_signal_initiated(&f->hb, "other", "go");
    for (int i = 0; i < 4; i++) {
        tl_hb_signal_initiated(&f->hb, "other", "go");
    }
    tl_hb_follow(&f->hb, E(EXTERNAL_WORKFLOW_EXECUTION_SIGNALED), first, NULL);
    for (int i = 0; i < 4; i++) {
        tl_hb_follow(&f->hb, E(SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED), first + 1 + i, NULL);
        tl_hb_event(&f->hb, tl_hb_last_id(&f->hb))
            ->signal_external_workflow_execution_failed_event_attributes->cause =
            (TpEnums__SignalExternalWorkflowExecutionFailedCause)causes[i];
    }
    tl_hb_full_task(&f->hb);
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
#define GO DO(SIGNAL, .name = "go", .id = "other")
    agrees(f, TL_STEPS(GO, GO, GO, GO, GO, DO(WAIT_SIGNAL, .n = 5), DO(COMPLETE)),
           "init?|sent 1 ok,"
           "sent 2 failed<Unable to signal external workflow because it was not found,"
           "sent 3 failed<Unable to signal external workflow because it was not found,"
           "sent 4 failed<Unable to signal external workflow because The per-workflow signal limit "
           "was exceeded,"
           "sent 5 failed<Unable to signal external workflow because unknown?");
    assert_int_equal(replay(f, TL_STEPS(DO(SIGNAL, .name = "no", .id = "other"))),
                     TL_ENONDETERMINISM);
    assert_non_null(strstr(f->err.message, "signal 'go', the code sent 'no'"));
    assert_int_equal(replay(f, TL_STEPS(DO(SIGNAL, .name = "go", .id = "another"))),
                     TL_ENONDETERMINISM);
    assert_non_null(strstr(f->err.message, "signals the workflow 'other', the code 'another'"));
}

/* Taken back before it leaves; not called back once it has left. 5: Initiated(two) 6: signal
 * 7-9: task 10: Signaled 11-13: task 14: Completed */
static void signal_taken_back(void **state)
{
    struct fixture *f = *state;
    again(f);
    int64_t two = tl_hb_signal_initiated(&f->hb, "other", "two");
    tl_hb_signaled(&f->hb, "stop");
    tl_hb_full_task(&f->hb);
    tl_hb_follow(&f->hb, E(EXTERNAL_WORKFLOW_EXECUTION_SIGNALED), two, NULL);
    tl_hb_full_task(&f->hb);
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    agrees(f,
           TL_STEPS(DO(SIGNAL, .name = "one", .id = "other"), DO(CANCEL_SIGNAL, .n = 1),
                    DO(CANCEL_SIGNAL, .n = 1), DO(SIGNAL, .name = "two", .id = "other"),
                    DO(WAIT_SIGNALS, .n = 1), DO(CANCEL_SIGNAL, .n = 2), DO(WAIT_SIGNAL, .n = 2),
                    DO(CANCEL_SIGNAL, .n = 2), DO(COMPLETE)),
           "init?|sent 1 failed<Signal was cancelled before being sentcanceled?|signal stop?|"
           "sent 2 ok?");
    assert_int_equal(replay(f, TL_STEPS(DO(CANCEL_SIGNAL, .n = 1))), TL_EINVAL);
}

/* 5-7: three cancellations 8: requested 9, 10: failed 11-13: task 14: Completed */
static void cancels_of_others(void **state)
{
    struct fixture *f = *state;
    again(f);
    static const int causes[] = {
        CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND,
        CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_NAMESPACE_NOT_FOUND, 0};
    int64_t first = tl_hb_cancel_initiated(&f->hb, "other");
    for (int i = 0; i < 3; i++) {
        tl_hb_cancel_initiated(&f->hb, "other");
    }
    tl_hb_follow(&f->hb, E(EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED), first, NULL);
    for (int i = 0; i < 3; i++) {
        tl_hb_follow(&f->hb, answers[1], first + 1 + i, NULL);
        tl_hb_event(&f->hb, tl_hb_last_id(&f->hb))
            ->request_cancel_external_workflow_execution_failed_event_attributes->cause =
            (TpEnums__CancelExternalWorkflowExecutionFailedCause)causes[i];
    }
    tl_hb_signaled(&f->hb, "end");
    tl_hb_full_task(&f->hb);
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
#define STOP DO(CANCEL_OTHER, .id = "other")
    agrees(f, TL_STEPS(STOP, STOP, STOP, STOP, DO(WAIT_SIGNALS, .n = 1), DO(COMPLETE)),
           "init?|signal end,cancel of other 1 ok,"
           "cancel of other 2 failed<Unable to cancel external workflow because not found,"
           "cancel of other 3 failed<Unable to cancel external workflow because not found,"
           "cancel of other 4 failed<Unable to cancel external workflow because unknown?");
    assert_int_equal(replay(f, TL_STEPS(DO(CANCEL_OTHER, .id = "another"))), TL_ENONDETERMINISM);
    assert_non_null(strstr(f->err.message, "cancels the workflow 'other', the code 'another'"));
}

static bool is_mine(const char *machine)
{
    bool family = strcmp(machine, "child workflow") == 0 || strncmp(machine, "external", 8) == 0;
    return family;
}

static void all_edges_are_taken(void **state)
{
    (void)state;
    assert_edges_taken(is_mine);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(child_ends_told),         TEST(child_ends_bare),    TEST(child_start_fails),
        TEST(child_cancelled_at_once), TEST(child_cancel_waits), TEST(child_cancel_requested),
        TEST(child_taken_back),        TEST(child_differs),      TEST(signals_to_others),
        TEST(signal_taken_back),       TEST(cancels_of_others),  TEST(all_edges_are_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
