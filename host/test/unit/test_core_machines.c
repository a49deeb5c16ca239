/* Goal: every edge of every state machine is taken by some history, and patches, timers and
 * activities do what the official core's do.
 * Method: canned histories replayed through a scripted language; at the end the marks in the tables
 * are compared with the list of edges that need no test. */
#include "test/unit/test_core_fixture.h"

#include "core/run_int.h"

/* 1: Started 2-4: task 5: TimerStarted(1) 6: TimerFired 7-9: task 10: Completed */
static void timer_fires(void **state)
{
    struct fixture *f = *state;
    tl_hb_full_task(&f->hb);
    int64_t timer = tl_hb_timer_started(&f->hb, "1");
    tl_hb_timer_fired(&f->hb, timer);
    tl_hb_full_task(&f->hb);
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    agrees(f, TL_STEPS(DO(TIMER), DO(WAIT_TIMER, .n = 1), DO(COMPLETE)), "init?|timer 1?");
    assert_int_equal(f->result.event_count, 10);
    assert_int_equal(f->result.task_count, 3);
    assert_int_equal(f->result.activation_count, 2);
    assert_true(f->result.finished);
    /* The time is that of the second WorkflowTaskStarted, event 8. */
    assert_int_equal(f->script.now_ns, (INT64_C(1700000000) + 8) * 1000000000);
}

/* 5: TimerStarted(1) 6: TimerStarted(2) 7: TimerFired(1) 8-10: task 11: TimerCanceled(2)
 * 12: Completed. The code cancels timer 2 twice, timer 1 after it fired, and timer 3 unsent. */
static void timer_is_cancelled(void **state)
{
    struct fixture *f = *state;
    tl_hb_full_task(&f->hb);
    int64_t first = tl_hb_timer_started(&f->hb, "1");
    int64_t second = tl_hb_timer_started(&f->hb, "mine");
    tl_hb_timer_fired(&f->hb, first);
    tl_hb_full_task(&f->hb);
    tl_hb_timer_canceled(&f->hb, second);
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    agrees(f,
           TL_STEPS(DO(TIMER), DO(TIMER, .name = "mine"), DO(WAIT_TIMER, .n = 1),
                    DO(CANCEL_TIMER, .n = 2), DO(CANCEL_TIMER, .n = 2), DO(CANCEL_TIMER, .n = 1),
                    DO(TIMER), DO(CANCEL_TIMER, .n = 3), DO(CANCEL_TIMER, .n = 3), DO(COMPLETE)),
           "init?|timer 1?");
}

/* 5: Scheduled(1 charge) 6: ActivityStarted 7: ActivityCompleted 8-10: task 11: Completed */
static void activity_completes(void **state)
{
    struct fixture *f = *state;
    tl_hb_full_task(&f->hb);
    int64_t a = tl_hb_activity_scheduled(&f->hb, "1", "charge");
    tl_hb_activity_started(&f->hb, a);
    tl_hb_activity_completed(&f->hb, a, "paid");
    tl_hb_full_task(&f->hb);
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    agrees(f, TL_STEPS(DO(ACTIVITY, .name = "charge"), DO(WAIT_ACTIVITY, .n = 1), DO(COMPLETE)),
           "init?|activity 1 completed paid?");
}

/* 5-7: Scheduled(1, 2, "mine") 8: Started(5) 9: Failed(5) 10: Started(6) 11: TimedOut(6)
 * 12: TimedOut(7) 13-15: task 16: WorkflowExecutionFailed */
static void activities_fail(void **state)
{
    struct fixture *f = *state;
    tl_hb_full_task(&f->hb);
    int64_t a = tl_hb_activity_scheduled(&f->hb, "1", "a");
    int64_t b = tl_hb_activity_scheduled(&f->hb, "2", "b");
    int64_t c = tl_hb_activity_scheduled(&f->hb, "mine", "c");
    tl_hb_activity_started(&f->hb, a);
    tl_hb_activity_failed(&f->hb, a, "no money");
    tl_hb_activity_started(&f->hb, b);
    tl_hb_activity_timed_out(&f->hb, b);
    tl_hb_activity_timed_out(&f->hb, c);
    tl_hb_full_task(&f->hb);
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_FAILED);
    agrees(f,
           TL_STEPS(DO(ACTIVITY, .name = "a"), DO(ACTIVITY, .name = "b"),
                    DO(ACTIVITY, .name = "c", .id = "mine"), DO(WAIT_ACTIVITY, .n = 3), DO(FAIL)),
           "init?|activity 1 failed<Activity task failed a 1<no money,"
           "activity 2 failed<Activity task timed out b 2<too slow,"
           "activity 3 failed<Activity task timed out c mine<too slow?");
}

/* Cancelling type `n` after a signal; what the server writes then is `end`. */
static void cancel_history(struct fixture *f, int end, bool started_before, bool started_after)
{
    tl_hb_init(&f->hb, &f->arena);
    tl_hb_start(&f->hb, "order");
    tl_hb_full_task(&f->hb);
    int64_t a = tl_hb_activity_scheduled(&f->hb, "1", "slow");
    if (started_before) {
        tl_hb_activity_started(&f->hb, a);
    }
    tl_hb_signaled(&f->hb, "stop");
    tl_hb_full_task(&f->hb);
    tl_hb_activity_cancel_requested(&f->hb, a);
    if (started_after) {
        tl_hb_activity_started(&f->hb, a);
    }
    switch (end) {
    case EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
        tl_hb_activity_completed(&f->hb, a, "late");
        break;
    case EVENT_TYPE_ACTIVITY_TASK_FAILED:
        tl_hb_activity_failed(&f->hb, a, "late");
        break;
    case EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT:
        tl_hb_activity_timed_out(&f->hb, a);
        break;
    default:
        tl_hb_activity_canceled(&f->hb, a);
        break;
    }
    tl_hb_signaled(&f->hb, "end");
    tl_hb_full_task(&f->hb);
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED);
}

#define CANCEL_STEPS(type)                                                                         \
    TL_STEPS(DO(ACTIVITY, .name = "slow", .n = (type)), DO(WAIT_SIGNALS, .n = 1),                  \
             DO(CANCEL_ACTIVITY, .n = 1), DO(CANCEL_ACTIVITY, .n = 1), DO(WAIT_SIGNALS, .n = 2),   \
             DO(CANCEL_ACTIVITY, .n = 1), DO(CANCELED))

static const int ends[] = {EVENT_TYPE_ACTIVITY_TASK_CANCELED, EVENT_TYPE_ACTIVITY_TASK_COMPLETED,
                           EVENT_TYPE_ACTIVITY_TASK_FAILED, EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT};

/* The code is told canceled at once; what the activity says later is swallowed. */
static void activity_cancel_try(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < 4; i++) {
        for (int started = 0; started < 3; started++) {
            cancel_history(f, ends[i], started == 1, started == 2);
            agrees(f, CANCEL_STEPS(TL_CANCEL_TRY),
                   "init?|signal stop?|activity 1 canceled<Activity cancelled slow 1<canceled?|"
                   "signal end?");
        }
    }
}

/* The code learns what the activity says. */
static void activity_cancel_wait(void **state)
{
    struct fixture *f = *state;
    static const char *const logs[] = {
        "signal end,activity 1 canceled<Activity cancelled slow 1<canceled?",
        "signal end,activity 1 completed late?",
        "signal end,activity 1 failed<Activity task failed slow 1<late?",
        "signal end,activity 1 failed<Activity task timed out slow 1<too slow?",
    };
    for (size_t i = 0; i < 4; i++) {
        for (int started = 0; started < 3; started++) {
            char log[256];
            snprintf(log, sizeof(log), "init?|signal stop?|%s", logs[i]);
            cancel_history(f, ends[i], started == 1, started == 2);
            agrees(f, CANCEL_STEPS(TL_CANCEL_WAIT), log);
        }
    }
}

/* 5: Scheduled 6: signal 7-9: task, no command 10: Started(5) 11: end of 5 12: signal ... */
static void activity_abandoned(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < 4; i++) {
        tl_hb_init(&f->hb, &f->arena);
        tl_hb_start(&f->hb, "order");
        tl_hb_full_task(&f->hb);
        int64_t a = tl_hb_activity_scheduled(&f->hb, "1", "slow");
        if (i == 3) {
            tl_hb_activity_started(&f->hb, a);
        }
        tl_hb_signaled(&f->hb, "stop");
        tl_hb_full_task(&f->hb);
        tl_hb_timer_started(&f->hb, "1");
        if (i < 3) {
            tl_hb_activity_started(&f->hb, a);
        }
        if (i == 0) {
            tl_hb_activity_completed(&f->hb, a, "late");
        } else if (i == 1) {
            tl_hb_activity_failed(&f->hb, a, "late");
        } else if (i == 2) {
            tl_hb_activity_timed_out(&f->hb, a);
        } else {
            tl_hb_activity_canceled(&f->hb, a);
        }
        tl_hb_signaled(&f->hb, "end");
        tl_hb_full_task(&f->hb);
        tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED);
        agrees(f,
               TL_STEPS(DO(ACTIVITY, .name = "slow", .n = TL_CANCEL_ABANDON),
                        DO(WAIT_SIGNALS, .n = 1), DO(CANCEL_ACTIVITY, .n = 1),
                        DO(CANCEL_ACTIVITY, .n = 1), DO(TIMER), DO(WAIT_SIGNALS, .n = 2),
                        DO(CANCEL_ACTIVITY, .n = 1), DO(CANCELED)),
               "init?|signal stop?|activity 1 canceled<Activity cancelled slow 1<canceled?|"
               "signal end?");
    }
}

/* Cancelled again in a later task, while the first request is under way.
 * 5: Scheduled 6: signal 7-9: task 10: CancelRequested (11: Started) 12: signal 13-15: task
 * 16: Completed */
static void activity_cancel_twice(void **state)
{
    struct fixture *f = *state;
    for (int started = 0; started < 2; started++) {
        tl_hb_init(&f->hb, &f->arena);
        tl_hb_start(&f->hb, "order");
        tl_hb_full_task(&f->hb);
        int64_t a = tl_hb_activity_scheduled(&f->hb, "1", "slow");
        tl_hb_signaled(&f->hb, "stop");
        tl_hb_full_task(&f->hb);
        tl_hb_activity_cancel_requested(&f->hb, a);
        if (started) {
            tl_hb_activity_started(&f->hb, a);
        }
        tl_hb_signaled(&f->hb, "stop!");
        tl_hb_full_task(&f->hb);
        tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
        agrees(f,
               TL_STEPS(DO(ACTIVITY, .name = "slow", .n = TL_CANCEL_WAIT), DO(WAIT_SIGNALS, .n = 1),
                        DO(CANCEL_ACTIVITY, .n = 1), DO(WAIT_SIGNALS, .n = 2),
                        DO(CANCEL_ACTIVITY, .n = 1), DO(COMPLETE)),
               "init?|signal stop?|signal stop!?");
    }
}

/* An activity cancelled in the task that made it leaves no trace in history. 5: Completed */
static void activity_taken_back(void **state)
{
    struct fixture *f = *state;
    tl_hb_full_task(&f->hb);
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    for (int type = TL_CANCEL_TRY; type <= TL_CANCEL_ABANDON; type++) {
        agrees(f,
               TL_STEPS(DO(ACTIVITY, .name = "slow", .n = (unsigned)type),
                        DO(CANCEL_ACTIVITY, .n = 1), DO(CANCEL_ACTIVITY, .n = 1),
                        DO(WAIT_ACTIVITY, .n = 1), DO(COMPLETE)),
               "init?|activity 1 canceled<Activity cancelled slow 1<canceled?");
    }
}

/* The server may end a started activity as canceled without a request of ours. */
static void activity_canceled_by_server(void **state)
{
    struct fixture *f = *state;
    tl_hb_full_task(&f->hb);
    int64_t a = tl_hb_activity_scheduled(&f->hb, "1", "slow");
    tl_hb_activity_started(&f->hb, a);
    tl_hb_activity_canceled(&f->hb, a);
    tl_hb_full_task(&f->hb);
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    agrees(f, TL_STEPS(DO(ACTIVITY, .name = "slow"), DO(WAIT_ACTIVITY, .n = 1), DO(COMPLETE)),
           "init?|activity 1 canceled<Activity cancelled slow 1<canceled?");
}

/* 5: marker 6: upsert attributes 7: properties 8: ContinuedAsNew */
static void oneway_commands(void **state)
{
    struct fixture *f = *state;
    tl_hb_full_task(&f->hb);
    tl_hb_marker(&f->hb, "note");
    tl_hb_add(&f->hb, EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES);
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED);
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW);
    agrees(f,
           TL_STEPS(DO(MARKER, .name = "note"), DO(UPSERT, .name = "Color"), DO(PROPERTIES),
                    DO(CONTINUE_AS_NEW)),
           "init?");
    assert_int_equal(replay(f, TL_STEPS(DO(MARKER, .name = "other"), DO(UPSERT, .name = "Color"),
                                        DO(PROPERTIES), DO(CONTINUE_AS_NEW))),
                     TL_ENONDETERMINISM);
    assert_int_equal(f->result.report->kind, TL_NDE_CHANGED);
}

/* 5: core_patch(p) 6: its upsert 7: TimerStarted(1) 8: Completed */
static void patch_in_history(void **state)
{
    struct fixture *f = *state;
    tl_hb_full_task(&f->hb);
    tl_hb_patch(&f->hb, "p", false);
    tl_hb_patch_upsert(&f->hb);
    tl_hb_timer_started(&f->hb, "1");
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    agrees(f, TL_STEPS(DO(PATCH, .name = "p", .n = 1), DO(TIMER), DO(COMPLETE)), "init,patch p?");
    agrees(f, TL_STEPS(DO(DEPRECATE, .name = "p"), DO(TIMER), DO(COMPLETE)), "init,patch p?");
    /* A second call adds nothing. */
    agrees(
        f,
        TL_STEPS(DO(PATCH, .name = "p", .n = 1), DO(TIMER), DO(PATCH, .name = "p"), DO(COMPLETE)),
        "init,patch p?");
    assert_int_equal(replay(f, TL_STEPS(DO(TIMER), DO(COMPLETE))), TL_ENONDETERMINISM);
    assert_int_equal(f->result.report->kind, TL_NDE_REMOVED);
    assert_true(tl_str_eqc(f->result.report->expected.id, "p"));
    assert_int_equal(replay(f, TL_STEPS(DO(DEPRECATE, .name = "q"), DO(TIMER), DO(COMPLETE))),
                     TL_ENONDETERMINISM);
}

/* As above, without metadata of flag 2 and without upsert: an old core wrote it. */
static void patch_without_upsert(void **state)
{
    struct fixture *f = *state;
    f->hb.flag_count = 1;
    tl_hb_full_task(&f->hb);
    tl_hb_patch_old_form(&f->hb, "p", false);
    tl_hb_timer_started(&f->hb, "1");
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    agrees(f, TL_STEPS(DO(PATCH, .name = "p", .n = 1), DO(TIMER), DO(COMPLETE)), "init,patch p?");
}

/* 5: core_patch(p, deprecated) 6: upsert 7: core_patch(q, deprecated) 8: upsert
 * 9: TimerStarted(1) 10: Completed */
static void patch_deprecated(void **state)
{
    struct fixture *f = *state;
    tl_hb_full_task(&f->hb);
    tl_hb_patch(&f->hb, "p", true);
    tl_hb_patch_upsert(&f->hb);
    tl_hb_patch(&f->hb, "q", true);
    tl_hb_patch_upsert(&f->hb);
    tl_hb_timer_started(&f->hb, "1");
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    const char *log = "init,patch p,patch q?";
    agrees(f, TL_STEPS(DO(TIMER), DO(COMPLETE)), log);
    agrees(f, TL_STEPS(DO(DEPRECATE, .name = "q"), DO(TIMER), DO(COMPLETE)), log);
    agrees(f, TL_STEPS(DO(PATCH, .name = "p"), DO(PATCH, .name = "q"), DO(TIMER), DO(COMPLETE)),
           log);
    /* All skipped, with nothing made at all. */
    tl_hb_init(&f->hb, &f->arena);
    tl_hb_start(&f->hb, "order");
    tl_hb_full_task(&f->hb);
    tl_hb_patch(&f->hb, "p", true);
    tl_hb_patch_upsert(&f->hb);
    tl_hb_signaled(&f->hb, "a");
    tl_hb_full_task(&f->hb);
    agrees(f, TL_STEPS(DO(WAIT_SIGNALS, .n = 2), DO(COMPLETE)), "init,patch p?|signal a?");
}

/* History without marker: the code takes the old way, and deprecate_patch is allowed.
 * 5: TimerStarted(1) 6: Completed */
static void patch_not_in_history(void **state)
{
    struct fixture *f = *state;
    tl_hb_full_task(&f->hb);
    tl_hb_timer_started(&f->hb, "1");
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    agrees(f,
           TL_STEPS(DO(PATCH, .name = "p", .n = 1), DO(ACTIVITY, .name = "new"),
                    DO(DEPRECATE, .name = "d"), DO(TIMER), DO(COMPLETE)),
           "init?");
}

/* 2-4: task that failed 5-6: task that timed out at once 7-9: task reset to another run
 * 10-11: task timed out when started 12-14: task */
static void workflow_tasks_that_fail(void **state)
{
    struct fixture *f = *state;
    tl_hb_task(&f->hb);
    tl_hb_task_failed(&f->hb, WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND, "");
    tl_hb_task_scheduled(&f->hb);
    tl_hb_task_timed_out(&f->hb);
    tl_hb_task(&f->hb);
    tl_hb_task_failed(&f->hb, WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW, "run-2");
    tl_hb_task(&f->hb);
    tl_hb_task_timed_out(&f->hb);
    tl_hb_full_task(&f->hb);
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    agrees(f, TL_STEPS(DO(COMPLETE)), "init,seed?");
    assert_true(f->script.seed == tl_run_seed(TL_STR_LIT("run-2")));
}

/* 2-4: task 5: TimerStarted 6: TimerFired 7: task scheduled (failed by a pause before anyone began it, 8)
 * 9: Paused 10: Unpaused 11-13: task 14: Completed */
static void workflow_task_that_a_pause_fails(void **state)
{
    struct fixture *f = *state;
    tl_hb_full_task(&f->hb);
    tl_hb_timer_fired(&f->hb, tl_hb_timer_started(&f->hb, "1"));
    tl_hb_task_scheduled(&f->hb);
    tl_hb_task_failed(&f->hb,
                      WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_PAUSE_REQUESTED_BEFORE_TASK_STARTED, "");
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_PAUSED)->worker_may_ignore = true;
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_UNPAUSED)->worker_may_ignore = true;
    tl_hb_full_task(&f->hb);
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    agrees(f, TL_STEPS(DO(TIMER), DO(WAIT_TIMER, .n = 1), DO(COMPLETE)), "init?|timer 1?");
}

/* 5: Accepted(a) 6: Completed(a) 7: Accepted(b) 8: TimerStarted 9: TimerFired 10-12: task
 * 13: Completed(b) 14: WorkflowExecutionCompleted */
static void updates(void **state)
{
    struct fixture *f = *state;
    tl_hb_full_task(&f->hb);
    tl_hb_update_completed(&f->hb, "a", tl_hb_update_accepted(&f->hb, "a", "now", 2));
    int64_t b = tl_hb_update_accepted(&f->hb, "b", "later", 2);
    tl_hb_timer_fired(&f->hb, tl_hb_timer_started(&f->hb, "1"));
    tl_hb_full_task(&f->hb);
    tl_hb_update_completed(&f->hb, "b", b);
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    agrees(f, TL_STEPS(DO(TIMER), DO(WAIT_TIMER, .n = 1), DO(ANSWER, .name = "b"), DO(COMPLETE)),
           "init,update now again,update later again?|timer 1?");
}

/* Those of local activities are taken in test_core_local, those of the family in test_core_children. */
static bool is_mine(const char *machine)
{
    bool family = strcmp(machine, "child workflow") == 0 || strncmp(machine, "external", 8) == 0;
    return !family && strcmp(machine, tl_local_fsm.name) != 0 &&
           strcmp(machine, tl_nexus_fsm.name) != 0;
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
        TEST(timer_fires),
        TEST(timer_is_cancelled),
        TEST(activity_completes),
        TEST(activities_fail),
        TEST(activity_cancel_try),
        TEST(activity_cancel_wait),
        TEST(activity_cancel_twice),
        TEST(activity_abandoned),
        TEST(activity_taken_back),
        TEST(activity_canceled_by_server),
        TEST(oneway_commands),
        TEST(patch_in_history),
        TEST(patch_without_upsert),
        TEST(patch_deprecated),
        TEST(patch_not_in_history),
        TEST(workflow_tasks_that_fail),
        TEST(workflow_task_that_a_pause_fails),
        TEST(updates),
        TEST(all_edges_are_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
