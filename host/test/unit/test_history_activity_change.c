/* Goal: what operators do to pending activities: pause, unpause, reset, new options; before, while and after
 * an attempt runs.
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
#include "server/history/rs.h"
#include "test/support/history_rig.h"

#define FIRST_ID 5 /* of the Scheduled event */

static const struct tl_activity_pick by_id = {.id = {"a", 1}};
static const struct tl_activity_pick by_type = {.type = {"A", 1}};
static const struct tl_activity_pick all = {.all = true};

static int setup(void **state)
{
    static struct history_rig r;
    history_rig_open(&r);
    *state = &r;
    return 0;
}

static int teardown(void **state)
{
    history_rig_close(*state);
    return 0;
}

static TpCommand__Command *activity(struct history_rig *r, const char *id)
{
    TpCommand__Command *c = rig_cmd_activity(r, id);
    TpCommand__ScheduleActivityTaskCommandAttributes *a =
        c->schedule_activity_task_command_attributes;
    a->activity_type->name = "A";
    a->retry_policy = rig_retry(r, 10 * RIG_S, 2, 100 * RIG_S, 0);
    a->schedule_to_start_timeout = rig_duration(r, 30 * RIG_S);
    return c;
}

static void schedule_two(struct history_rig *r)
{
    rig_start(r);
    rig_poll(r);
    TpWs__RespondWorkflowTaskCompletedRequest *req = rig_completion(r);
    rig_add_command(r, req, activity(r, "a"));
    rig_add_command(r, req, activity(r, "b"));
    assert_int_equal(rig_send(r, req), TL_OK);
}

static void schedule_one(struct history_rig *r)
{
    rig_start(r);
    rig_poll(r);
    assert_int_equal(rig_complete(r, activity(r, "a")), TL_OK);
}

static tl_rc do_pause(struct history_rig *r, const struct tl_activity_pick *pick,
                      const char *request_id)
{
    return rig_end(r,
                   tl_tx_activity_pause(rig_begin(r), pick, "ops", "too hot", request_id, &r->err));
}

static tl_rc do_unpause(struct history_rig *r, const struct tl_activity_pick *pick,
                        struct tl_activity_unpause how)
{
    return rig_end(r, tl_tx_activity_unpause(rig_begin(r), pick, &how, &r->err));
}

static tl_rc do_reset(struct history_rig *r, struct tl_activity_reset how)
{
    return rig_end(r, tl_tx_activity_reset(rig_begin(r), &by_id, &how, &r->err));
}

static tl_rc do_change(struct history_rig *r, const TpActivity__ActivityOptions *options,
                       char **paths, size_t n)
{
    const struct tl_activity_options_change change = {options, paths, n, false};
    return rig_end(r, tl_tx_activity_change_options(rig_begin(r), &by_id, &change, &r->err));
}

static const TpWorkflow__PendingActivityInfo *pending(struct history_rig *r, const char *id)
{
    TpWs__DescribeWorkflowExecutionResponse out;
    assert_int_equal(tl_rs_describe(r->rs, r->now_ns, &r->arena, &out, &r->err), TL_OK);
    for (size_t i = 0; i < out.n_pending_activities; i++) {
        if (strcmp(out.pending_activities[i]->activity_id, id) == 0) {
            return out.pending_activities[i];
        }
    }
    fail_msg("no pending activity %s", id);
    return NULL;
}

/* --- pause ------------------------------------------------------------------------------------ */

static void a_paused_activity_is_not_started(void **state)
{
    struct history_rig *r = *state;
    schedule_one(r);
    assert_int_equal(do_pause(r, &by_id, "p"), TL_OK);
    assert_int_equal(rig_effect_count(r, TL_FX_DISPATCH_ACTIVITY), 0);
    assert_int_equal(rig_poll_activity(r, FIRST_ID), TL_ENOTFOUND);
    const TpWorkflow__PendingActivityInfo *p = pending(r, "a");
    assert_int_equal(p->state, PENDING_ACTIVITY_STATE_PAUSED);
    assert_true(p->paused);
    assert_string_equal(p->pause_info->manual->identity, "ops");
    assert_string_equal(p->pause_info->manual->reason, "too hot");
    assert_int_equal(rig_ns(p->pause_info->pause_time), r->now_ns);
    rig_run_until(r, r->now_ns + 60 * RIG_S); /* schedule-to-start does not run */
    rig_crash(r);
    assert_int_equal(rig_event_count(r), FIRST_ID);
    assert_int_equal(do_unpause(r, &by_id, (struct tl_activity_unpause){0}), TL_OK);
    assert_int_equal(rig_effect_count(r, TL_FX_DISPATCH_ACTIVITY), 1);
    assert_int_equal(pending(r, "a")->state, PENDING_ACTIVITY_STATE_SCHEDULED);
    assert_null(pending(r, "a")->pause_info);
    assert_int_equal(rig_poll_activity(r, FIRST_ID), TL_OK);
}

/* The value of TemporalPauseInfo; "" when it is not there. */
static const char *pause_info(struct history_rig *r)
{
    const TpCommon__SearchAttributes *now = tl_blob_decode(
        &r->rs->search_attributes, &tp_common__search_attributes__descriptor, &r->arena);
    for (size_t i = 0; now && i < now->n_indexed_fields; i++) {
        if (strcmp(now->indexed_fields[i]->key, "TemporalPauseInfo") == 0) {
            return tl_arena_cstr(&r->arena, tl_pb_str(now->indexed_fields[i]->value->data));
        }
    }
    return "";
}

static void paused_activities_are_found_by_their_types(void **state)
{
    struct history_rig *r = *state;
    const struct tl_activity_pick other = {.id = {"b", 1}};
    schedule_two(r);
    assert_string_equal(pause_info(r), "");
    assert_int_equal(do_pause(r, &by_id, "p"), TL_OK);
    assert_string_equal(pause_info(r), "[\"property:activityType=A\"]");
    assert_int_equal(do_pause(r, &other, "p"), TL_OK); /* of the same type: said once */
    assert_string_equal(pause_info(r), "[\"property:activityType=A\"]");
    rig_crash(r);
    assert_string_equal(pause_info(r), "[\"property:activityType=A\"]");
    assert_int_equal(do_unpause(r, &by_id, (struct tl_activity_unpause){0}), TL_OK);
    assert_string_equal(pause_info(r), "[\"property:activityType=A\"]");
    assert_int_equal(do_unpause(r, &other, (struct tl_activity_unpause){0}), TL_OK);
    assert_string_equal(pause_info(r), "");
}

static void a_paused_activity_that_ends_is_found_no_more(void **state)
{
    struct history_rig *r = *state;
    schedule_one(r);
    assert_int_equal(rig_poll_activity(r, FIRST_ID), TL_OK);
    assert_int_equal(do_pause(r, &by_id, "p"), TL_OK);
    assert_string_not_equal(pause_info(r), "");
    assert_int_equal(rig_activity_complete(r), TL_OK);
    assert_string_equal(pause_info(r), "");
    rig_crash(r);
    assert_string_equal(pause_info(r), "");
}

static void an_attempt_that_runs_ends_before_the_pause(void **state)
{
    struct history_rig *r = *state;
    struct tl_heartbeat_reply reply;
    schedule_one(r);
    assert_int_equal(rig_poll_activity(r, FIRST_ID), TL_OK);
    assert_int_equal(do_pause(r, &by_id, "p"), TL_OK);
    assert_int_equal(pending(r, "a")->state, PENDING_ACTIVITY_STATE_PAUSE_REQUESTED);
    assert_int_equal(rig_heartbeat(r, "1", &reply), TL_OK);
    assert_true(reply.paused);
    assert_false(reply.cancel_requested);
    assert_int_equal(rig_activity_fail(r, "E", false, -1), TL_OK);
    assert_int_equal(pending(r, "a")->state, PENDING_ACTIVITY_STATE_PAUSED);
    assert_null(pending(r, "a")->next_attempt_schedule_time);
    rig_run_until(r, r->now_ns + 60 * RIG_S);
    assert_int_equal(rig_effect_count(r, TL_FX_DISPATCH_ACTIVITY), 0);
    rig_crash(r);
    assert_int_equal(do_unpause(r, &by_id, (struct tl_activity_unpause){.reset_heartbeat = true}),
                     TL_OK);
    assert_int_equal(rig_effect_count(r, TL_FX_DISPATCH_ACTIVITY), 1);
    assert_int_equal(rig_poll_activity(r, FIRST_ID), TL_OK);
    assert_int_equal(r->activity.response->attempt, 2);
    assert_null(r->activity.response->heartbeat_details);
}

static void a_result_counts_while_paused(void **state)
{
    struct history_rig *r = *state;
    schedule_one(r);
    assert_int_equal(rig_poll_activity(r, FIRST_ID), TL_OK);
    assert_int_equal(do_pause(r, &by_id, "p"), TL_OK);
    assert_int_equal(rig_activity_complete(r), TL_OK);
    assert_string_equal(rig_types(r, 6),
                        "ActivityTaskStarted ActivityTaskCompleted WorkflowTaskScheduled");
}

static void a_second_pause_is_refused_and_changes_nothing(void **state)
{
    struct history_rig *r = *state;
    schedule_two(r);
    assert_int_equal(do_pause(r, &by_id, "p"), TL_OK);
    assert_int_equal(do_pause(r, &by_id, "p"), TL_OK); /* the same request */
    assert_int_equal(do_pause(r, &by_id, "q"), TL_EPRECONDITION);
    assert_string_equal(r->err.message, "activity is already paused");
    assert_int_equal(do_pause(r, &by_type, "q"), TL_EPRECONDITION);
    assert_false(pending(r, "b")->paused);
    assert_int_equal(do_unpause(r, &all, (struct tl_activity_unpause){0}), TL_OK);
    assert_int_equal(rig_effect_count(r, TL_FX_DISPATCH_ACTIVITY), 1); /* b was not paused */
    assert_int_equal(do_pause(r, &by_type, "q"), TL_OK);
    assert_true(pending(r, "a")->paused && pending(r, "b")->paused);
}

static void jitter_spreads_what_is_unpaused(void **state)
{
    struct history_rig *r = *state;
    schedule_two(r);
    assert_int_equal(do_pause(r, &by_type, "p"), TL_OK);
    assert_int_equal(
        do_unpause(r, &by_type, (struct tl_activity_unpause){.jitter_ns = 100 * RIG_S}), TL_OK);
    int64_t a = rig_ns(pending(r, "a")->scheduled_time);
    int64_t b = rig_ns(pending(r, "b")->scheduled_time);
    assert_true(a != b);
    assert_true(a >= r->now_ns && a < r->now_ns + 100 * RIG_S);
    assert_true(b >= r->now_ns && b < r->now_ns + 100 * RIG_S);
}

static void what_is_not_pending_is_named(void **state)
{
    struct history_rig *r = *state;
    const struct tl_activity_pick wrong_id = {.id = {"zz", 2}}, wrong_type = {.type = {"Q", 1}};
    schedule_one(r);
    assert_int_equal(do_pause(r, &wrong_id, "p"), TL_ENOTFOUND);
    assert_string_equal(r->err.message, "no pending activity with id 'zz'");
    assert_int_equal(do_pause(r, &wrong_type, "p"), TL_ENOTFOUND);
    assert_string_equal(r->err.message, "no pending activity with type 'Q'");
    assert_int_equal(rig_terminate(r), TL_OK);
    assert_int_equal(do_pause(r, &by_id, "p"), TL_ENOTFOUND);
    assert_int_equal(r->error_kind, TL_ERR_NOT_FOUND);
}

/* --- reset ------------------------------------------------------------------------------------ */

static void a_waiting_activity_is_reset_at_once(void **state)
{
    struct history_rig *r = *state;
    struct tl_heartbeat_reply reply;
    schedule_one(r);
    assert_int_equal(rig_poll_activity(r, FIRST_ID), TL_OK);
    assert_int_equal(rig_heartbeat(r, "7", &reply), TL_OK);
    assert_int_equal(rig_activity_fail(r, "E", false, -1), TL_OK);
    assert_int_equal(pending(r, "a")->attempt, 2);
    assert_int_equal(do_reset(r, (struct tl_activity_reset){.reset_heartbeat = true}), TL_OK);
    assert_int_equal(rig_effect_count(r, TL_FX_DISPATCH_ACTIVITY), 1);
    assert_int_equal(rig_poll_activity(r, FIRST_ID), TL_OK);
    assert_int_equal(r->activity.response->attempt, 1);
    assert_null(r->activity.response->heartbeat_details);
}

static void one_that_runs_counts_as_the_first_attempt(void **state)
{
    struct history_rig *r = *state;
    struct tl_heartbeat_reply reply;
    schedule_one(r);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(rig_poll_activity(r, FIRST_ID), TL_OK);
        if (i < 2) {
            assert_int_equal(rig_activity_fail(r, "E", false, RIG_S), TL_OK);
            rig_run_until(r, r->now_ns + RIG_S);
        }
    }
    assert_int_equal(r->activity.response->attempt, 3);
    assert_int_equal(do_reset(r, (struct tl_activity_reset){.reset_heartbeat = true}), TL_OK);
    assert_int_equal(rig_effect_count(r, TL_FX_DISPATCH_ACTIVITY), 0);
    rig_crash(r);
    assert_int_equal(rig_heartbeat(r, "1", &reply), TL_OK); /* its token is good */
    assert_true(reply.reset);
    assert_int_equal(rig_activity_fail(r, "E", false, RIG_S), TL_OK);
    rig_run_until(r, r->now_ns + RIG_S);
    assert_int_equal(rig_poll_activity(r, FIRST_ID), TL_OK);
    assert_int_equal(r->activity.response->attempt, 2); /* the one before counts as the first */
    assert_null(r->activity.response->heartbeat_details);
    assert_int_equal(rig_heartbeat(r, "1", &reply), TL_OK);
    assert_false(reply.reset);
}

static void a_reset_may_leave_it_paused(void **state)
{
    struct history_rig *r = *state;
    schedule_one(r);
    assert_int_equal(do_pause(r, &by_id, "p"), TL_OK);
    assert_int_equal(do_reset(r, (struct tl_activity_reset){.keep_paused = true}), TL_OK);
    assert_true(pending(r, "a")->paused);
    assert_int_equal(rig_effect_count(r, TL_FX_DISPATCH_ACTIVITY), 0);
    assert_int_equal(do_reset(r, (struct tl_activity_reset){0}), TL_OK);
    assert_false(pending(r, "a")->paused);
    assert_int_equal(rig_effect_count(r, TL_FX_DISPATCH_ACTIVITY), 1);
}

/* --- options ---------------------------------------------------------------------------------- */

static void new_options_hold_for_the_waiting_attempt(void **state)
{
    struct history_rig *r = *state;
    TpActivity__ActivityOptions o = TP_ACTIVITY__ACTIVITY_OPTIONS__INIT;
    TpTq__TaskQueue queue = TP_TQ__TASK_QUEUE__INIT;
    char *paths[] = {"task_queue.name", "startToCloseTimeout", "retry_policy.maximum_attempts"};
    queue.name = "other";
    o.task_queue = &queue;
    o.start_to_close_timeout = rig_duration(r, 77 * RIG_S);
    o.heartbeat_timeout = rig_duration(r, 5 * RIG_S); /* not in the mask */
    o.retry_policy = rig_retry(r, 0, 9, 0, 3);
    schedule_one(r);
    assert_int_equal(do_change(r, &o, paths, 3), TL_OK);
    assert_true(tl_str_eqc(rig_effect(r, TL_FX_DISPATCH_ACTIVITY)->u.activity.task_queue, "other"));
    rig_crash(r);
    assert_int_equal(rig_poll_activity(r, FIRST_ID), TL_OK);
    const TpWs__PollActivityTaskQueueResponse *task = r->activity.response;
    assert_int_equal(rig_span(task->start_to_close_timeout), 77 * RIG_S);
    assert_int_equal(rig_span(task->heartbeat_timeout), 0);
    assert_int_equal(task->retry_policy->maximum_attempts, 3);
    assert_int_equal(rig_span(task->retry_policy->initial_interval), 10 * RIG_S);
    assert_true(task->retry_policy->backoff_coefficient == 2);
    rig_run_until(r, r->now_ns + 76 * RIG_S);
    assert_int_equal(pending(r, "a")->state, PENDING_ACTIVITY_STATE_STARTED);
    rig_run_until(r, r->now_ns + 2 * RIG_S);
    assert_int_equal(pending(r, "a")->attempt, 2); /* timed out by the new timeout */
    const TpHistory__HistoryEvent *e = rig_event(r, FIRST_ID);
    assert_int_equal(rig_span(e->activity_task_scheduled_event_attributes->start_to_close_timeout),
                     10 * RIG_S);
}

static void a_new_policy_moves_the_next_attempt(void **state)
{
    struct history_rig *r = *state;
    TpActivity__ActivityOptions o = TP_ACTIVITY__ACTIVITY_OPTIONS__INIT;
    char *paths[] = {"retry_policy.initial_interval"};
    schedule_one(r);
    assert_int_equal(rig_poll_activity(r, FIRST_ID), TL_OK);
    assert_int_equal(rig_activity_fail(r, "E", false, -1), TL_OK);
    int64_t failed_ns = r->now_ns;
    rig_advance(r, RIG_S);
    o.retry_policy = rig_retry(r, 3 * RIG_S, 2, 0, 0);
    assert_int_equal(do_change(r, &o, paths, 1), TL_OK);
    assert_int_equal(rig_ns(pending(r, "a")->next_attempt_schedule_time), failed_ns + 3 * RIG_S);
}

static void the_options_of_the_event_come_back(void **state)
{
    struct history_rig *r = *state;
    const struct tl_activity_options_change restore = {.restore_original = true};
    TpActivity__ActivityOptions o = TP_ACTIVITY__ACTIVITY_OPTIONS__INIT;
    char *paths[] = {"start_to_close_timeout"};
    schedule_one(r);
    for (int i = 0; i < 2; i++) {
        o.start_to_close_timeout = rig_duration(r, (50 + i) * RIG_S);
        assert_int_equal(do_change(r, &o, paths, 1), TL_OK);
        assert_int_equal(rig_span(pending(r, "a")->activity_options->start_to_close_timeout),
                         (50 + i) * RIG_S);
        if (i == 0) {
            assert_int_equal(
                rig_end(r, tl_tx_activity_change_options(rig_begin(r), &by_id, &restore, &r->err)),
                TL_OK);
        } else {
            assert_int_equal(do_reset(r, (struct tl_activity_reset){.restore_options = true}),
                             TL_OK);
        }
        rig_crash(r);
        assert_int_equal(rig_span(pending(r, "a")->activity_options->start_to_close_timeout),
                         10 * RIG_S);
    }
}

static void bad_options_are_refused_and_change_nothing(void **state)
{
    struct history_rig *r = *state;
    TpActivity__ActivityOptions o = TP_ACTIVITY__ACTIVITY_OPTIONS__INIT;
    const struct {
        char *path;
        const char *message;
    } rows[] = {
        {"start_to_close", "UpdateMask names no activity option: 'start_to_close'"},
        {"task_queue.name", "TaskQueue is not provided"},
        {"retry_policy.maximum_attempts", "RetryPolicy is not provided"},
        {"heartbeat_timeout", "invalid HeartbeatTimeout: negative duration"},
        {"start_to_close_timeout", "a valid StartToCloseTimeout or ScheduleToCloseTimeout"},
    };
    schedule_one(r);
    o.heartbeat_timeout = rig_duration(r, -RIG_S);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *path = rows[i].path;
        assert_int_equal(do_change(r, &o, &path, 1), TL_EINVAL);
        assert_non_null(strstr(r->err.message, rows[i].message));
    }
    assert_int_equal(do_change(r, &o, NULL, 0), TL_EINVAL);
    assert_string_equal(r->err.message, "UpdateMask is not provided");
    assert_int_equal(do_change(r, NULL, NULL, 0), TL_EINVAL);
    assert_string_equal(r->err.message, "ActivityOptions are not provided");
    assert_int_equal(rig_poll_activity(r, FIRST_ID), TL_OK); /* the task given out is good still */
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_paused_activity_is_not_started),
        CASE(an_attempt_that_runs_ends_before_the_pause),
        CASE(paused_activities_are_found_by_their_types),
        CASE(a_paused_activity_that_ends_is_found_no_more),
        CASE(a_result_counts_while_paused),
        CASE(a_second_pause_is_refused_and_changes_nothing),
        CASE(jitter_spreads_what_is_unpaused),
        CASE(what_is_not_pending_is_named),
        CASE(a_waiting_activity_is_reset_at_once),
        CASE(one_that_runs_counts_as_the_first_attempt),
        CASE(a_reset_may_leave_it_paused),
        CASE(new_options_hold_for_the_waiting_attempt),
        CASE(a_new_policy_moves_the_next_attempt),
        CASE(the_options_of_the_event_come_back),
        CASE(bad_options_are_refused_and_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
