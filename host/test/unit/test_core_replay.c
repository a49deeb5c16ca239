/* Goal: replay agrees with histories it should agree with, names what differs when it does not, and
 * returns an error value for any history whatsoever.
 * Method: canned histories (their event lists are the comments) through a scripted language. */
#include "test/unit/test_core_fixture.h"

#include "base/buf.h"
#include "base/rng.h"

static struct tl_nde_report *differs(struct fixture *f, const struct tl_step *steps,
                                     enum tl_nde_kind kind)
{
    assert_int_equal(replay(f, steps), TL_ENONDETERMINISM);
    assert_non_null(f->result.report);
    assert_string_equal(tl_nde_kind_name(f->result.report->kind), tl_nde_kind_name(kind));
    assert_true(f->result.report->suggestion.n > 0);
    return f->result.report;
}

/* --- grouping --------------------------------------------------------------------------------- */

/* 2-3: task failed (4) 5-6: task timed out (7) 8-10: task 11: TimerStarted 12: TimerFired
 * 13-14: task timed out (15) 16: signal 17-19: task 20: Completed */
static void failed_tasks_join_the_next(void **state)
{
    struct fixture *f = *state;
    tl_hb_task(&f->hb);
    tl_hb_task_failed(&f->hb, WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE, "");
    tl_hb_task(&f->hb);
    tl_hb_task_timed_out(&f->hb);
    tl_hb_full_task(&f->hb);
    tl_hb_timer_fired(&f->hb, tl_hb_timer_started(&f->hb, "1"));
    tl_hb_task(&f->hb);
    tl_hb_task_timed_out(&f->hb);
    tl_hb_signaled(&f->hb, "a");
    tl_hb_full_task(&f->hb);
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    agrees(f, TL_STEPS(DO(TIMER), DO(WAIT_TIMER, .n = 1), DO(COMPLETE)), "init?|signal a,timer 1?");
    assert_int_equal(f->result.task_count, 3);
    /* The code saw the time of event 18, not of 14. */
    assert_int_equal(f->script.now_ns, (INT64_C(1700000000) + 18) * 1000000000);
}

/* 2-4: task 5-7: heartbeat 8-10: heartbeat 11: TimerStarted 12: Fired 13-15: task 16: Completed */
static void heartbeats_join_the_next(void **state)
{
    struct fixture *f = *state;
    tl_hb_full_task(&f->hb);
    tl_hb_full_task(&f->hb);
    tl_hb_full_task(&f->hb);
    tl_hb_timer_fired(&f->hb, tl_hb_timer_started(&f->hb, "1"));
    tl_hb_full_task(&f->hb);
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    agrees(f, TL_STEPS(DO(TIMER), DO(WAIT_TIMER, .n = 1), DO(COMPLETE)), "init?|timer 1?");
    assert_int_equal(f->result.task_count, 3);
}

/* 5: TimerStarted 6: TimerFired 7-8: task started; the history ends there. */
static void history_that_ends_started(void **state)
{
    struct fixture *f = *state;
    tl_hb_full_task(&f->hb);
    tl_hb_timer_fired(&f->hb, tl_hb_timer_started(&f->hb, "1"));
    tl_hb_task(&f->hb);
    agrees(f, TL_STEPS(DO(TIMER), DO(WAIT_TIMER, .n = 1), DO(COMPLETE)), "init?|timer 1?");
    assert_false(f->result.finished);
    /* The code's last answer is not in history yet: anything goes. */
    agrees(f, TL_STEPS(DO(TIMER), DO(WAIT_TIMER, .n = 1), DO(ACTIVITY, .name = "new")),
           "init?|timer 1?");
}

/* 5: signal 6-8: task without commands; the history ends with an empty completed task. */
static void history_that_ends_with_an_empty_task(void **state)
{
    struct fixture *f = *state;
    tl_hb_full_task(&f->hb);
    tl_hb_timer_started(&f->hb, "1");
    tl_hb_signaled(&f->hb, "a");
    tl_hb_full_task(&f->hb);
    agrees(f, TL_STEPS(DO(TIMER), DO(WAIT_TIMER, .n = 1), DO(COMPLETE)), "init?|signal a?");
    /* A command made there is one too many. */
    differs(f, TL_STEPS(DO(TIMER), DO(WAIT_SIGNALS, .n = 1), DO(TIMER)), TL_NDE_ADDED);
}

/* 5: TimerStarted 6: signal 7-8: task 9: WorkflowExecutionTerminated */
static void terminated_run(void **state)
{
    struct fixture *f = *state;
    tl_hb_full_task(&f->hb);
    tl_hb_timer_started(&f->hb, "1");
    tl_hb_signaled(&f->hb, "a");
    tl_hb_task(&f->hb);
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED);
    agrees(f, TL_STEPS(DO(TIMER), DO(WAIT_SIGNALS, .n = 1), DO(ACTIVITY, .name = "lost")),
           "init?|signal a?");
    assert_true(f->result.finished);
    tl_hb_signaled(&f->hb, "b");
    assert_int_equal(replay(f, TL_STEPS(DO(TIMER), DO(WAIT_SIGNALS, .n = 2))), TL_EINVAL);
}

/* 2: signal 3: cancel 4-6: task: jobs come in the fixed order, not in that of events. */
static void jobs_are_in_order(void **state)
{
    struct fixture *f = *state;
    tl_hb_cancel_requested(&f->hb, "enough");
    tl_hb_signaled(&f->hb, "a");
    tl_hb_task(&f->hb);
    tl_hb_task_failed(&f->hb, WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW, "run-2");
    tl_hb_signaled(&f->hb, "b");
    tl_hb_full_task(&f->hb);
    tl_hb_patch(&f->hb, "p", true);
    agrees(f, TL_STEPS(DO(WAIT_TIMER, .n = 1)),
           "init,patch p,seed,signal a,signal b,cancel enough?");
}

/* Unknown and known events that a worker may pass over. */
static void events_to_pass_over(void **state)
{
    struct fixture *f = *state;
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED)->worker_may_ignore = true;
    tl_hb_full_task(&f->hb);
    tl_hb_timer_started(&f->hb, "1");
    tl_hb_add(&f->hb, 999)->worker_may_ignore = true;
    tl_hb_timer_fired(&f->hb, 6);
    tl_hb_full_task(&f->hb);
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    const struct tl_step steps[] = {DO(TIMER), DO(WAIT_TIMER, .n = 1), DO(COMPLETE), {.op = 0}};
    agrees(f, steps, "init?|timer 1?");
    tl_hb_event(&f->hb, 2)->worker_may_ignore = false;
    assert_int_equal(replay(f, steps), TL_EINVAL);
    tl_hb_event(&f->hb, 2)->worker_may_ignore = true;
    tl_hb_event(&f->hb, 7)->worker_may_ignore = false;
    assert_int_equal(replay(f, steps), TL_EINVAL);
    assert_int_equal(f->result.report->kind, TL_NDE_HISTORY);
}

/* The first half on one call, the rest on the next; the second half repeats two events. */
static void partial_histories_continue(void **state)
{
    struct fixture *f = *state;
    tl_hb_full_task(&f->hb);
    tl_hb_timer_fired(&f->hb, tl_hb_timer_started(&f->hb, "1"));
    tl_hb_full_task(&f->hb);
    tl_hb_timer_fired(&f->hb, tl_hb_timer_started(&f->hb, "2"));
    tl_hb_full_task(&f->hb);
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    tl_script_init(&f->script, TL_STEPS(DO(TIMER), DO(WAIT_TIMER, .n = 1), DO(TIMER),
                                        DO(WAIT_TIMER, .n = 2), DO(COMPLETE)));
    struct tl_lang lang = tl_script_lang(&f->script);
    struct tl_run *run = tl_run_new(&(struct tl_run_config){.sdk_metadata = true});
    struct tl_replay_config config = {.run = run};
    TpHistory__History *whole = tl_hb_history(&f->hb), part = *whole;
    part.n_events = 8; /* up to WorkflowTaskStarted */
    assert_int_equal(tl_replay(&part, &config, &lang, &f->arena, &f->result, NULL), TL_OK);
    assert_int_equal(tl_run_started_event_id(run), 8);
    assert_int_equal(tl_run_last_event_id(run), 8);
    part.events += 6;
    part.n_events = whole->n_events - 6;
    assert_int_equal(tl_replay(&part, &config, &lang, &f->arena, &f->result, NULL), TL_OK);
    assert_string_equal(f->script.log, "init?|timer 1?|timer 2?");
    assert_true(f->result.finished);
    assert_true(tl_run_finished(run));
    assert_int_equal(tl_run_pending_count(run), 0);
    tl_run_free(run);
}

/* --- what differs ----------------------------------------------------------------------------- */

/* 5: TimerStarted(1) 6: Scheduled(1 charge) 7: Scheduled(2 ship) 8: signal 9-11: task
 * 12: Completed */
static void two_activities(struct fixture *f)
{
    tl_hb_full_task(&f->hb);
    tl_hb_timer_started(&f->hb, "1");
    tl_hb_activity_scheduled(&f->hb, "1", "charge");
    tl_hb_activity_scheduled(&f->hb, "2", "ship");
    tl_hb_signaled(&f->hb, "end");
    tl_hb_full_task(&f->hb);
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
}
#define TAIL DO(WAIT_SIGNALS, .n = 1), DO(COMPLETE)

static void command_added(void **state)
{
    struct fixture *f = *state;
    two_activities(f);
    agrees(f,
           TL_STEPS(DO(TIMER), DO(ACTIVITY, .name = "charge"), DO(ACTIVITY, .name = "ship"), TAIL),
           "init?|signal end?");
    struct tl_nde_report *r =
        differs(f,
                TL_STEPS(DO(TIMER), DO(MARKER, .name = "new"), DO(ACTIVITY, .name = "charge"),
                         DO(ACTIVITY, .name = "ship"), TAIL),
                TL_NDE_ADDED);
    assert_int_equal(r->expected.event_id, 6);
    assert_string_equal(r->expected.type, "ActivityTaskScheduled");
    assert_true(tl_str_eqc(r->expected.name, "charge"));
    assert_string_equal(r->produced.type, "RecordMarker");
    assert_string_equal(r->near_command.type, "ScheduleActivityTask");
    assert_int_equal(r->task_started_event_id, 3);
    /* At the end of a task: no event is left for it. */
    r = differs(f,
                TL_STEPS(DO(TIMER), DO(ACTIVITY, .name = "charge"), DO(ACTIVITY, .name = "ship"),
                         DO(TIMER), TAIL),
                TL_NDE_ADDED);
    assert_string_equal(r->produced.type, "StartTimer");
    assert_true(tl_str_eqc(r->produced.id, "2"));
    assert_true(tl_str_eqc(r->produced.where, "script:4"));
}

static void command_removed(void **state)
{
    struct fixture *f = *state;
    two_activities(f);
    struct tl_nde_report *r =
        differs(f, TL_STEPS(DO(ACTIVITY, .name = "charge"), DO(ACTIVITY, .name = "ship"), TAIL),
                TL_NDE_REMOVED);
    assert_int_equal(r->expected.event_id, 5);
    assert_true(tl_str_eqc(r->expected.id, "1"));
    assert_int_equal(r->near_event.event_id, 6);
    r = differs(f, TL_STEPS(DO(TIMER), DO(ACTIVITY, .name = "charge"), TAIL), TL_NDE_REMOVED);
    assert_int_equal(r->expected.event_id, 7);
    assert_null(r->produced.type);
}

static void commands_reordered(void **state)
{
    struct fixture *f = *state;
    two_activities(f);
    struct tl_nde_report *r = differs(
        f, TL_STEPS(DO(ACTIVITY, .name = "charge"), DO(TIMER), DO(ACTIVITY, .name = "ship"), TAIL),
        TL_NDE_REORDERED);
    assert_string_equal(r->near_command.type, "StartTimer");
    assert_int_equal(r->near_event.event_id, 6);
}

static void command_changed(void **state)
{
    struct fixture *f = *state;
    two_activities(f);
    /* Another type of activity. */
    struct tl_nde_report *r = differs(
        f, TL_STEPS(DO(TIMER), DO(ACTIVITY, .name = "bill"), DO(ACTIVITY, .name = "ship"), TAIL),
        TL_NDE_CHANGED);
    assert_true(tl_str_eqc(r->expected.name, "charge"));
    assert_true(tl_str_eqc(r->produced.name, "bill"));
    assert_true(tl_str_eqc(r->produced.where, "script:2"));
    /* Another id. */
    r = differs(f,
                TL_STEPS(DO(TIMER), DO(ACTIVITY, .name = "charge", .id = "mine"),
                         DO(ACTIVITY, .name = "ship"), TAIL),
                TL_NDE_CHANGED);
    assert_true(tl_str_eqc(r->produced.id, "mine"));
    differs(f,
            TL_STEPS(DO(TIMER, .name = "t"), DO(ACTIVITY, .name = "charge"),
                     DO(ACTIVITY, .name = "ship"), TAIL),
            TL_NDE_CHANGED);
}

static void run_ends_early(void **state)
{
    struct fixture *f = *state;
    two_activities(f);
    struct tl_nde_report *r = differs(f, TL_STEPS(DO(TIMER), DO(COMPLETE)), TL_NDE_ENDED_EARLY);
    assert_int_equal(r->expected.event_id, 6);
    assert_string_equal(r->produced.type, "CompleteWorkflowExecution");
    differs(
        f,
        TL_STEPS(DO(TIMER), DO(ACTIVITY, .name = "charge"), DO(ACTIVITY, .name = "ship"), DO(FAIL)),
        TL_NDE_ENDED_EARLY);
}

static void run_ends_late(void **state)
{
    struct fixture *f = *state;
    two_activities(f);
    struct tl_nde_report *r =
        differs(f,
                TL_STEPS(DO(TIMER), DO(ACTIVITY, .name = "charge"), DO(ACTIVITY, .name = "ship"),
                         DO(WAIT_SIGNALS, .n = 2), DO(COMPLETE)),
                TL_NDE_ENDED_LATE);
    assert_int_equal(r->expected.event_id, 12);
    differs(f,
            TL_STEPS(DO(TIMER), DO(ACTIVITY, .name = "charge"), DO(ACTIVITY, .name = "ship"),
                     DO(WAIT_SIGNALS, .n = 1), DO(TIMER), DO(WAIT_TIMER, .n = 2), DO(COMPLETE)),
            TL_NDE_ENDED_LATE);
    differs(f,
            TL_STEPS(DO(TIMER), DO(ACTIVITY, .name = "charge"), DO(ACTIVITY, .name = "ship"),
                     DO(WAIT_SIGNALS, .n = 1), DO(FAIL)),
            TL_NDE_CHANGED);
}

/* 5: TimerStarted(1) 6: TimerStarted(2) 7: signal 8-10: task 11: TimerCanceled(5): the code cancels
 * the other one. Then: 7: TimerFired that belongs to nothing. */
static void cancels_another(void **state)
{
    struct fixture *f = *state;
    tl_hb_full_task(&f->hb);
    int64_t first = tl_hb_timer_started(&f->hb, "1");
    tl_hb_timer_started(&f->hb, "2");
    tl_hb_signaled(&f->hb, "a");
    tl_hb_full_task(&f->hb);
    tl_hb_timer_canceled(&f->hb, first);
    differs(f, TL_STEPS(DO(TIMER), DO(TIMER), DO(WAIT_SIGNALS, .n = 1), DO(CANCEL_TIMER, .n = 2)),
            TL_NDE_CHANGED);
    agrees(f, TL_STEPS(DO(TIMER), DO(TIMER), DO(WAIT_SIGNALS, .n = 1), DO(CANCEL_TIMER, .n = 1)),
           "init?|signal a?");
    tl_hb_timer_fired(&f->hb, first);
    differs(f, TL_STEPS(DO(TIMER), DO(TIMER), DO(WAIT_SIGNALS, .n = 1), DO(CANCEL_TIMER, .n = 1)),
            TL_NDE_REMOVED);
}

/* An answer that the machine's state does not allow: 5: Scheduled 6: Completed without Started. */
static void answer_in_wrong_state(void **state)
{
    struct fixture *f = *state;
    tl_hb_full_task(&f->hb);
    tl_hb_activity_completed(&f->hb, tl_hb_activity_scheduled(&f->hb, "1", "charge"), "");
    tl_hb_full_task(&f->hb);
    struct tl_nde_report *r = differs(f, TL_STEPS(DO(ACTIVITY, .name = "charge")), TL_NDE_STATE);
    assert_non_null(strstr(f->err.message, "TASK_COMPLETED in state SCHEDULED"));
    assert_int_equal(r->expected.event_id, 6);
}

static void reports_are_rendered(void **state)
{
    struct fixture *f = *state;
    two_activities(f);
    struct tl_nde_report *r = differs(
        f, TL_STEPS(DO(TIMER), DO(ACTIVITY, .name = "bill"), DO(ACTIVITY, .name = "ship"), TAIL),
        TL_NDE_CHANGED);
    struct tl_buf b;
    tl_buf_init(&b, 4096);
    assert_true(tl_nde_report_text(r, &b));
    assert_non_null(strstr(b.p, "command_changed: workflow order \"wf-1\" run run-1\n"));
    assert_non_null(strstr(b.p, "ActivityTaskScheduled (event 6) id \"1\" type \"charge\"\n"));
    assert_non_null(strstr(b.p, "ScheduleActivityTask id \"1\" type \"bill\" at script:2\n"));
    tl_buf_clear(&b);
    assert_true(tl_nde_report_json(r, &b));
    assert_non_null(strstr(b.p, "{\"kind\":\"command_changed\",\"workflow_type\":\"order\""));
    assert_non_null(strstr(b.p, "\"expected\":{\"type\":\"ActivityTaskScheduled\",\"event_id\":6,"
                                "\"id\":\"1\",\"name\":\"charge\",\"attributes\":{"));
    assert_non_null(strstr(b.p, "\"patch\":\"if workflow.patched(\\\"change-charge\\\") then\\n"));
    assert_non_null(strstr(f->err.message, "event 6 ActivityTaskScheduled(1 charge)"));
    tl_buf_deinit(&b);
    tl_buf_init(&b, 64);
    assert_false(tl_nde_report_text(r, &b));
    tl_buf_deinit(&b);
}

/* --- other SDKs, older cores ------------------------------------------------------------------ */

/* Go numbers by event id. 5: TimerStarted(5) 6: Scheduled(6 charge) 7: TimerFired 8: Started
 * 9: Failed 10-12: task 13: Completed */
static void histories_of_go(void **state)
{
    struct fixture *f = *state;
    f->hb.sdk_name = "temporal-go";
    f->hb.flag_count = 0;
    tl_hb_full_task(&f->hb);
    int64_t t = tl_hb_timer_started(&f->hb, "5");
    int64_t a = tl_hb_activity_scheduled(&f->hb, "6", "charge");
    tl_hb_timer_fired(&f->hb, t);
    tl_hb_activity_started(&f->hb, a);
    tl_hb_activity_failed(&f->hb, a, "no");
    tl_hb_full_task(&f->hb);
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    agrees(f,
           TL_STEPS(DO(TIMER), DO(ACTIVITY, .name = "charge"), DO(WAIT_ACTIVITY, .n = 1),
                    DO(COMPLETE)),
           "init?|timer 1,activity 1 failed<Activity task failed charge 6<no?");
    /* Types still count. */
    differs(
        f,
        TL_STEPS(DO(TIMER), DO(ACTIVITY, .name = "bill"), DO(WAIT_ACTIVITY, .n = 1), DO(COMPLETE)),
        TL_NDE_CHANGED);
}

/* A core without flag 1 compared nothing but the kind of command. 5: Scheduled(1 charge) */
static void histories_of_old_cores(void **state)
{
    struct fixture *f = *state;
    f->hb.sdk_name = "temporal-python";
    f->hb.flag_count = 0;
    tl_hb_full_task(&f->hb);
    tl_hb_activity_scheduled(&f->hb, "x", "charge");
    tl_hb_signaled(&f->hb, "end");
    tl_hb_full_task(&f->hb);
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    agrees(f, TL_STEPS(DO(ACTIVITY, .name = "bill"), TAIL), "init?|signal end?");
}

/* Two closing commands and one after them. With flag 3: 5: TimerStarted 6: Completed; without it
 * the timer was dropped. */
static void commands_after_the_end(void **state)
{
    struct fixture *f = *state;
    const struct tl_step steps[] = {DO(COMPLETE), DO(TIMER), DO(FAIL), {.op = 0}};
    tl_hb_full_task(&f->hb);
    tl_hb_timer_started(&f->hb, "1");
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    agrees(f, steps, "init?");
    tl_hb_init(&f->hb, &f->arena);
    f->hb.flag_count = 2;
    tl_hb_start(&f->hb, "order");
    tl_hb_full_task(&f->hb);
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    agrees(f, steps, "init?");
}

/* --- hostile histories ------------------------------------------------------------------------ */

static void damaged_histories(void **state)
{
    struct fixture *f = *state;
    const struct tl_step steps[] = {
        DO(TIMER), DO(ACTIVITY, .name = "charge"), DO(ACTIVITY, .name = "ship"), TAIL, {.op = 0}};
    two_activities(f);
    TpHistory__History *h = tl_hb_history(&f->hb);
    struct tl_lang lang = tl_script_lang(&f->script);
    size_t all = h->n_events;
    TpHistory__HistoryEvent **whole = tl_arena_copy(&f->arena, h->events, all * sizeof(*h->events));
    /* One event missing. */
    for (size_t i = 0; i < all - 1; i++) {
        memcpy(h->events, whole, all * sizeof(*whole));
        memmove(h->events + i, h->events + i + 1, (all - i - 1) * sizeof(*whole));
        h->n_events = all - 1;
        tl_script_init(&f->script, steps);
        assert_int_not_equal(tl_replay(h, NULL, &lang, &f->arena, &f->result, NULL), TL_OK);
    }
    /* Two events swapped, one doubled. */
    h->n_events = all;
    for (size_t i = 0; i + 1 < all; i++) {
        memcpy(h->events, whole, all * sizeof(*whole));
        h->events[i] = whole[i + 1];
        h->events[i + 1] = whole[i];
        tl_script_init(&f->script, steps);
        assert_int_not_equal(tl_replay(h, NULL, &lang, &f->arena, &f->result, NULL), TL_OK);
        h->events[i] = h->events[i + 1] = whole[i + 1];
        tl_script_init(&f->script, steps);
        assert_int_not_equal(tl_replay(h, NULL, &lang, &f->arena, &f->result, NULL), TL_OK);
    }
    /* An event whose attributes are another's, or none. */
    memcpy(h->events, whole, all * sizeof(*whole));
    for (size_t i = 0; i < all; i++) {
        TpHistory__HistoryEvent bad = *whole[i];
        h->events[i] = &bad;
        bad.attributes_case = TP_HISTORY__HISTORY_EVENT__ATTRIBUTES__NOT_SET;
        bad.workflow_execution_started_event_attributes = NULL;
        tl_script_init(&f->script, steps);
        assert_int_equal(tl_replay(h, NULL, &lang, &f->arena, &f->result, NULL), TL_EINVAL);
        h->events[i] = whole[i];
    }
    h->n_events = 0;
    assert_int_equal(tl_replay(h, NULL, &lang, &f->arena, &f->result, NULL), TL_EINVAL);
}

/* Random events with random links, for any script: an answer, never a crash. */
static void random_histories(void **state)
{
    struct fixture *f = *state;
    struct tl_rng rng;
    unsigned ok = 0;
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        tl_arena_reset(&f->arena);
        tl_rng_seed(&rng, seed);
        tl_hb_init(&f->hb, &f->arena);
        tl_hb_start(&f->hb, "order");
        for (uint64_t n = tl_rng_below(&rng, 40); n-- > 0;) {
            if (tl_rng_below(&rng, 3)) {
                tl_hb_full_task(&f->hb);
            }
            int type = (int)tl_rng_below(&rng, 64);
            TpHistory__HistoryEvent *e = tl_hb_add(&f->hb, type);
            e->worker_may_ignore = tl_rng_below(&rng, 2) != 0;
            if (type == EVENT_TYPE_TIMER_FIRED) {
                e->timer_fired_event_attributes->started_event_id = (int64_t)tl_rng_below(&rng, 20);
            } else if (type == EVENT_TYPE_ACTIVITY_TASK_STARTED) {
                e->activity_task_started_event_attributes->scheduled_event_id =
                    (int64_t)tl_rng_below(&rng, 20);
            }
            if (tl_rng_below(&rng, 50) == 0) {
                e->event_time = NULL;
            }
            if (tl_rng_below(&rng, 50) == 0) {
                e->event_id = (int64_t)tl_rng_next(&rng);
            }
        }
        ok += replay(f, TL_STEPS(DO(ACTIVITY, .name = ""), DO(TIMER), DO(WAIT_SIGNALS, .n = 1),
                                 DO(CANCEL_TIMER, .n = 1), DO(COMPLETE))) == TL_OK;
    }
    assert_in_range(ok, 1, 2999); /* both outcomes were met */
}

static void languages_that_misbehave(void **state)
{
    struct fixture *f = *state;
    tl_hb_full_task(&f->hb);
    tl_hb_timer_started(&f->hb, "1");
    assert_int_equal(replay(f, TL_STEPS(DO(TIMER), DO(BAD_NUMBER))), TL_EINVAL);
    assert_int_equal(replay(f, TL_STEPS(DO(NOTHING_ATTRS))), TL_EINVAL);
    assert_int_equal(replay(f, TL_STEPS(DO(CANCEL_TIMER, .n = 4))), TL_EINVAL);
    assert_int_equal(replay(f, TL_STEPS(DO(CANCEL_ACTIVITY, .n = 1))), TL_EINVAL);
    assert_int_equal(replay(f, TL_STEPS(DO(MARKER, .name = "core_patch"))), TL_EINVAL);
    assert_int_equal(replay(f, TL_STEPS(DO(PATCH, .name = ""), DO(DEPRECATE, .name = ""))),
                     TL_EINVAL);
    assert_int_equal(replay(f, TL_STEPS(DO(TIMER), DO(RAISE))), TL_ESCRIPT);
    assert_string_equal(f->err.message, "attempt to call a nil value");
}

/* The official core's seeds: SipHash-1-3 over the text and 0xff. */
static void seed_is_stable(void **state)
{
    (void)state;
    assert_true(tl_run_seed(TL_STR_LIT("run-1")) == tl_run_seed(TL_STR_LIT("run-1")));
    assert_true(tl_run_seed(TL_STR_LIT("run-1")) != tl_run_seed(TL_STR_LIT("run-2")));
    assert_true(tl_run_seed(TL_STR_LIT("")) == UINT64_C(0x30406ea523c53def));
    assert_true(tl_run_seed(TL_STR_LIT("abcdefghijk")) == UINT64_C(0x4b4cadb2372dceed));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(failed_tasks_join_the_next),
        TEST(heartbeats_join_the_next),
        TEST(history_that_ends_started),
        TEST(history_that_ends_with_an_empty_task),
        TEST(terminated_run),
        TEST(jobs_are_in_order),
        TEST(events_to_pass_over),
        TEST(partial_histories_continue),
        TEST(command_added),
        TEST(command_removed),
        TEST(commands_reordered),
        TEST(command_changed),
        TEST(run_ends_early),
        TEST(run_ends_late),
        TEST(cancels_another),
        TEST(answer_in_wrong_state),
        TEST(reports_are_rendered),
        TEST(histories_of_go),
        TEST(histories_of_old_cores),
        TEST(commands_after_the_end),
        TEST(damaged_histories),
        TEST(random_histories),
        TEST(languages_that_misbehave),
        TEST(seed_is_stable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
