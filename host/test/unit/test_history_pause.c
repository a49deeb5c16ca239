/* Goal: pause: what a paused run writes, offers and refuses, and that all of it survives a restart.
 * Method: single operations on one run; every transaction is also recovered and compared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <tl_enums.h>

#include "proto/pb.h"
#include "server/history/activity.h"
#include "test/support/history_rig.h"

static int setup(void **state)
{
    static struct history_rig r;
    history_rig_open(&r);
    rig_start(&r);
    *state = &r;
    return 0;
}

static int teardown(void **state)
{
    history_rig_close(*state);
    return 0;
}

static tl_rc pause_run(struct history_rig *r, const char *request_id)
{
    const struct tl_pause_request req = {"ann", "why", request_id};
    return rig_end(r, tl_tx_pause(rig_begin(r), &req, &r->err));
}

static tl_rc unpause_run(struct history_rig *r)
{
    const struct tl_pause_request req = {"ann", "on with it", "u"};
    return rig_end(r, tl_tx_unpause(rig_begin(r), &req, &r->err));
}

static void a_waiting_task_fails_and_another_follows(void **state)
{
    struct history_rig *r = *state;
    assert_int_equal(pause_run(r, "p"), TL_OK);
    assert_string_equal(rig_types(r, 3), "WorkflowTaskFailed WorkflowExecutionPaused");
    const TpHistory__WorkflowTaskFailedEventAttributes *a =
        rig_event(r, 3)->workflow_task_failed_event_attributes;
    assert_int_equal((int)a->cause,
                     WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_PAUSE_REQUESTED_BEFORE_TASK_STARTED);
    assert_int_equal(a->scheduled_event_id, 2);
    assert_int_equal(a->started_event_id, 0);
    assert_string_equal(a->identity, "history-service");
    assert_true(rig_event(r, 4)->worker_may_ignore);
    assert_int_equal(rig_info(r).status, WORKFLOW_EXECUTION_STATUS_PAUSED);
    assert_int_equal(rig_effect_count(r, TL_FX_DISPATCH_WFT), 0);
    assert_int_equal(tl_rs_deadline_ns(r->rs), TL_NS_NEVER);
    assert_int_equal(unpause_run(r), TL_OK);
    assert_string_equal(rig_types(r, 5), "WorkflowExecutionUnpaused WorkflowTaskScheduled");
    assert_int_equal(rig_effect_count(r, TL_FX_DISPATCH_WFT), 1);
    assert_int_equal(rig_info(r).wft_attempt, 1);
    rig_poll(r);
    assert_int_equal(rig_complete(r, rig_cmd_complete(r)), TL_OK);
}

static void a_started_task_may_end_and_none_follows(void **state)
{
    struct history_rig *r = *state;
    rig_poll(r);
    assert_int_equal(pause_run(r, "p"), TL_OK);
    assert_string_equal(rig_types(r, 3), "WorkflowTaskStarted");
    assert_int_equal(rig_info(r).status, WORKFLOW_EXECUTION_STATUS_PAUSED);
    assert_int_equal(rig_signal(r, "s", "1"), TL_OK);
    assert_int_equal(rig_complete(r, rig_cmd_timer(r, "t", 5 * RIG_S)), TL_OK);
    assert_string_equal(rig_types(r, 4), "WorkflowTaskCompleted TimerStarted "
                                         "WorkflowExecutionPaused WorkflowExecutionSignaled");
    assert_false(rig_info(r).wft_pending);
    rig_run_until(r, r->now_ns + 6 * RIG_S);
    assert_string_equal(rig_types(r, 8), "TimerFired");
    assert_false(rig_info(r).wft_pending);
    assert_int_equal(unpause_run(r), TL_OK);
    assert_string_equal(rig_types(r, 9), "WorkflowExecutionUnpaused WorkflowTaskScheduled");
}

static void a_started_task_that_is_lost_leaves_nothing_pending(void **state)
{
    struct history_rig *r = *state;
    rig_poll(r);
    assert_int_equal(pause_run(r, "p"), TL_OK);
    assert_int_equal(rig_fail_task(r), TL_OK);
    assert_string_equal(rig_types(r, 4), "WorkflowTaskFailed WorkflowExecutionPaused");
    assert_false(rig_info(r).wft_pending);
    assert_int_equal(unpause_run(r), TL_OK);
    rig_poll(r);
    assert_int_equal(pause_run(r, "p2"), TL_OK);
    rig_run_until(r, r->now_ns + 11 * RIG_S); /* it times out */
    assert_false(rig_info(r).wft_pending);
    assert_int_equal(rig_info(r).status, WORKFLOW_EXECUTION_STATUS_PAUSED);
    assert_int_equal(unpause_run(r), TL_OK);
    assert_true(rig_info(r).wft_pending);
}

static void a_heartbeat_of_a_task_is_refused(void **state)
{
    struct history_rig *r = *state;
    TpWs__RespondWorkflowTaskCompletedRequest *req = rig_completion(r);
    req->force_create_new_workflow_task = true;
    rig_poll(r);
    assert_int_equal(pause_run(r, "p"), TL_OK);
    assert_int_equal(rig_send(r, req), TL_EPRECONDITION);
    assert_true(rig_info(r).wft_started); /* as it was */
    assert_int_equal(rig_complete(r, NULL), TL_OK);
}

static void a_waiting_later_attempt_goes_without_a_trace(void **state)
{
    struct history_rig *r = *state;
    rig_poll(r);
    rig_fail_task(r);
    assert_int_equal(rig_info(r).wft_attempt, 2);
    size_t events = rig_event_count(r);
    assert_int_equal(pause_run(r, "p"), TL_OK);
    assert_int_equal(rig_event_count(r), events + 1);
    assert_int_equal(unpause_run(r), TL_OK);
    assert_int_equal(rig_info(r).wft_attempt, 1);
    assert_string_equal(rig_types(r, (int64_t)events + 1),
                        "WorkflowExecutionPaused WorkflowExecutionUnpaused WorkflowTaskScheduled");
}

static void activities_are_held_back(void **state)
{
    struct history_rig *r = *state;
    rig_poll(r);
    assert_int_equal(rig_complete(r, rig_cmd_activity(r, "a")), TL_OK);
    uint64_t stamp = rig_effect(r, TL_FX_DISPATCH_ACTIVITY)->u.activity.stamp;
    assert_int_equal(pause_run(r, "p"), TL_OK);
    struct tl_tx *tx = rig_begin(r);
    assert_int_equal(
        rig_end(r, tl_tx_activity_start(tx, 5, 1, stamp, "w", "x", NULL, &r->activity, &r->err)),
        TL_ENOTFOUND);
    assert_int_equal(r->error_kind, TL_ERR_STALE_TASK);
    rig_crash(r);
    assert_int_equal(rig_effect_count(r, TL_FX_DISPATCH_ACTIVITY), 0);
    rig_run_until(r, r->now_ns + RIG_S);
    assert_int_equal(unpause_run(r), TL_OK);
    assert_int_equal(rig_effect_count(r, TL_FX_DISPATCH_ACTIVITY), 1);
    uint64_t newer = rig_effect(r, TL_FX_DISPATCH_ACTIVITY)->u.activity.stamp;
    assert_true(newer != stamp); /* what matching still has is void */
    tx = rig_begin(r);
    assert_int_equal(
        rig_end(r, tl_tx_activity_start(tx, 5, 1, newer, "w", "x", NULL, &r->activity, &r->err)),
        TL_OK);
    assert_int_equal(rig_activity_complete(r), TL_OK);
}

static void it_is_refused_twice_and_on_a_closed_run(void **state)
{
    struct history_rig *r = *state;
    assert_int_equal(unpause_run(r), TL_EPRECONDITION);
    assert_string_equal(r->err.message, "workflow is not paused.");
    assert_int_equal(pause_run(r, "p"), TL_OK);
    size_t events = rig_event_count(r);
    assert_int_equal(pause_run(r, "p"), TL_OK); /* the same request */
    assert_int_equal(pause_run(r, "q"), TL_EPRECONDITION);
    assert_string_equal(r->err.message, "workflow is already paused.");
    assert_int_equal(rig_event_count(r), events);
    assert_int_equal(rig_terminate(r), TL_OK);
    assert_int_equal(rig_info(r).status, WORKFLOW_EXECUTION_STATUS_TERMINATED);
    assert_int_equal(pause_run(r, "r"), TL_ENOTFOUND);
}

static void the_first_back_off_may_end_while_it_is_paused(void **state)
{
    struct history_rig *r = *state;
    history_rig_close(r);
    history_rig_open(r);
    TpWs__StartWorkflowExecutionRequest *req = rig_start_request(r);
    req->workflow_start_delay = rig_duration(r, 60 * RIG_S);
    assert_int_equal(rig_start_with(r, req), TL_OK);
    assert_int_equal(pause_run(r, "p"), TL_OK);
    assert_int_equal(tl_rs_deadline_ns(r->rs), TL_NS_NEVER);
    rig_run_until(r, r->now_ns + 90 * RIG_S);
    assert_int_equal(unpause_run(r), TL_OK);
    rig_run_until(r, r->now_ns);
    assert_true(rig_info(r).wft_pending);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_waiting_task_fails_and_another_follows),
        CASE(a_started_task_may_end_and_none_follows),
        CASE(a_started_task_that_is_lost_leaves_nothing_pending),
        CASE(a_heartbeat_of_a_task_is_refused),
        CASE(a_waiting_later_attempt_goes_without_a_trace),
        CASE(activities_are_held_back),
        CASE(it_is_refused_twice_and_on_a_closed_run),
        CASE(the_first_back_off_may_end_while_it_is_paused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
