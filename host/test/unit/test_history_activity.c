/* Goal: activities: what is written when, timeouts, retries, cancellation, heartbeats, eager starts.
 * Method: single operations on one run; every transaction is also recovered and compared. The number
 * in a comment is the sentence of the project's list of server semantics that the case pins down. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <tl_enums.h>

#include "proto/pb.h"
#include "server/history/activity.h"
#include "test/support/history_rig.h"

#define SCHEDULED_ID 5

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

static TpCommand__ScheduleActivityTaskCommandAttributes *attrs(TpCommand__Command *c)
{
    return c->schedule_activity_task_command_attributes;
}

/* A run whose only activity was scheduled as event 5. */
static void schedule(struct history_rig *r, TpCommand__Command *c)
{
    rig_start(r);
    rig_poll(r);
    assert_int_equal(rig_complete(r, c), TL_OK);
    assert_int_equal(rig_last(r)->event_id, SCHEDULED_ID);
}

static TpCommand__Command *with_retry(struct history_rig *r, int64_t initial_ns, int32_t attempts)
{
    TpCommand__Command *c = rig_cmd_activity(r, "a");
    attrs(c)->retry_policy = rig_retry(r, initial_ns, 2, 100 * RIG_S, attempts);
    return c;
}

static const TpHistory__ActivityTaskTimedOutEventAttributes *timed_out(struct history_rig *r)
{
    for (int64_t id = (int64_t)rig_event_count(r); id > 0; id--) {
        const TpHistory__HistoryEvent *e = rig_event(r, id);
        if ((int)e->event_type == EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT) {
            return e->activity_task_timed_out_event_attributes;
        }
    }
    fail_msg("no activity timed out: %s", rig_types(r, 1));
    return NULL;
}

/* --- schedule -------------------------------------------------------------------------------- */

static void the_server_fills_in_what_is_missing(void **state)
{
    struct history_rig *r = *state;
    TpCommand__Command *c = rig_cmd_activity(r, "a");
    attrs(c)->start_to_close_timeout = NULL;
    attrs(c)->schedule_to_close_timeout = rig_duration(r, 30 * RIG_S);
    attrs(c)->heartbeat_timeout = rig_duration(r, 60 * RIG_S);
    schedule(r, c);
    const TpHistory__ActivityTaskScheduledEventAttributes *a =
        rig_last(r)->activity_task_scheduled_event_attributes;
    assert_int_equal(rig_span(a->schedule_to_close_timeout), 30 * RIG_S);
    assert_int_equal(rig_span(a->schedule_to_start_timeout), 30 * RIG_S);
    assert_int_equal(rig_span(a->start_to_close_timeout), 30 * RIG_S);
    assert_int_equal(rig_span(a->heartbeat_timeout), 30 * RIG_S); /* never above start-to-close */
    assert_int_equal(rig_span(a->retry_policy->initial_interval), RIG_S);
    assert_int_equal(rig_span(a->retry_policy->maximum_interval), 100 * RIG_S);
    assert_true(a->retry_policy->backoff_coefficient == 2.0);
    assert_int_equal(a->retry_policy->maximum_attempts, 0);
    assert_int_equal(a->workflow_task_completed_event_id, 4);
    assert_int_equal(a->task_queue->kind, TASK_QUEUE_KIND_NORMAL);
    const struct tl_effect *f = rig_effect(r, TL_FX_DISPATCH_ACTIVITY);
    assert_int_equal(f->u.activity.scheduled_id, SCHEDULED_ID);
    assert_true(tl_str_eqc(f->u.activity.activity_id, "a"));
}

static void timeouts_do_not_exceed_the_run(void **state)
{
    struct history_rig *r = *state;
    TpWs__StartWorkflowExecutionRequest *req = rig_start_request(r);
    TpCommand__Command *c = rig_cmd_activity(r, "a");
    req->workflow_run_timeout = rig_duration(r, 20 * RIG_S);
    attrs(c)->start_to_close_timeout = rig_duration(r, 50 * RIG_S);
    assert_int_equal(rig_start_with(r, req), TL_OK);
    rig_poll(r);
    assert_int_equal(rig_complete(r, c), TL_OK);
    const TpHistory__ActivityTaskScheduledEventAttributes *a =
        rig_last(r)->activity_task_scheduled_event_attributes;
    assert_int_equal(rig_span(a->schedule_to_close_timeout), 20 * RIG_S);
    assert_int_equal(rig_span(a->start_to_close_timeout), 20 * RIG_S);
}

static void bad_attributes_fail_the_task(void **state)
{
    struct history_rig *r = *state;
    rig_start(r);
    for (int what = 0; what < 6; what++) {
        TpCommand__Command *c = rig_cmd_activity(r, "a");
        const char *want = NULL;
        switch (what) {
        case 0:
            attrs(c)->start_to_close_timeout = NULL;
            want = "a valid StartToCloseTimeout or ScheduleToCloseTimeout must be set";
            break;
        case 1:
            attrs(c)->activity_id = (char *)(uintptr_t) "";
            want = "activityId is not set";
            break;
        case 2:
            attrs(c)->activity_type = NULL;
            want = "activityType is not set";
            break;
        case 3:
            attrs(c)->task_queue = NULL;
            want = "taskQueue is not set";
            break;
        case 4:
            attrs(c)->heartbeat_timeout = rig_duration(r, -RIG_S);
            want = "invalid HeartbeatTimeout";
            break;
        default:
            attrs(c)->retry_policy = rig_retry(r, RIG_S, 2, 0, -1);
            want = "MaximumAttempts cannot be negative";
            break;
        }
        rig_poll(r);
        assert_int_equal(rig_complete(r, c), TL_EINVAL);
        if (!strstr(r->err.message, want)) {
            fail_msg("%s: %s", want, r->err.message);
        }
        assert_non_null(strstr(r->err.message, "BadScheduleActivityAttributes: "));
        assert_int_equal(rig_last(r)->workflow_task_failed_event_attributes->cause,
                         WORKFLOW_TASK_FAILED_CAUSE_BAD_SCHEDULE_ACTIVITY_ATTRIBUTES);
        assert_int_equal(rig_signal(r, "s", ""), TL_OK); /* makes the next attempt a first one */
    }
}

static void ids_and_numbers_of_pending_activities_are_limited(void **state)
{
    struct history_rig *r = *state;
    TpWs__RespondWorkflowTaskCompletedRequest *req = rig_completion(r);
    r->env.limits.pending_activities = 2;
    rig_start(r);
    rig_poll(r);
    rig_add_command(r, req, rig_cmd_activity(r, "a"));
    rig_add_command(r, req, rig_cmd_activity(r, "a"));
    assert_int_equal(rig_send(r, req), TL_EINVAL);
    assert_int_equal(rig_last(r)->workflow_task_failed_event_attributes->cause,
                     WORKFLOW_TASK_FAILED_CAUSE_SCHEDULE_ACTIVITY_DUPLICATE_ID);
    assert_int_equal(rig_info(r).pending_activities, 0);
    assert_int_equal(rig_signal(r, "s", ""), TL_OK);
    rig_poll(r);
    req->n_commands = 0;
    rig_add_command(r, req, rig_cmd_activity(r, "a"));
    rig_add_command(r, req, rig_cmd_activity(r, "b"));
    rig_add_command(r, req, rig_cmd_activity(r, "c"));
    assert_int_equal(rig_send(r, req), TL_EINVAL);
    assert_non_null(strstr(r->err.message, "the number of pending activities, 2, has reached"));
    /* A cancelled one makes room, and its id may be used again, in the same completion. */
    assert_int_equal(rig_signal(r, "s", ""), TL_OK);
    rig_poll(r);
    int64_t completed_id = r->task.ref.started_id + 1;
    req->n_commands = 2;
    rig_add_command(r, req, rig_cmd_cancel_activity(r, completed_id + 1));
    rig_add_command(r, req, rig_cmd_activity(r, "a"));
    assert_int_equal(rig_send(r, req), TL_OK);
    assert_int_equal(rig_info(r).pending_activities, 2);
}

static void input_that_is_too_large_ends_the_run(void **state)
{
    struct history_rig *r = *state;
    rig_start(r);
    rig_poll(r);
    r->env.limits.blob_bytes = 3;
    assert_int_equal(rig_complete(r, rig_cmd_activity(r, "a")), TL_EINVAL);
    assert_string_equal(rig_types(r, 3),
                        "WorkflowTaskStarted WorkflowTaskFailed WorkflowExecutionTerminated");
    assert_non_null(strstr(rig_last(r)->workflow_execution_terminated_event_attributes->reason,
                           "Input exceeds size limit"));
}

/* --- start and results ----------------------------------------------------------------------- */

static void a_start_is_written_beside_the_close(void **state) /* 27 */
{
    struct history_rig *r = *state;
    schedule(r, rig_cmd_activity(r, "a"));
    rig_advance(r, RIG_S);
    assert_int_equal(rig_poll_activity(r, SCHEDULED_ID), TL_OK);
    const TpWs__PollActivityTaskQueueResponse *p = r->activity.response;
    assert_string_equal(p->activity_id, "a");
    assert_string_equal(p->activity_type->name, "A");
    assert_string_equal(p->workflow_namespace, "ns");
    assert_string_equal(p->workflow_execution->workflow_id, "wf");
    assert_string_equal(p->workflow_type->name, "T");
    assert_int_equal(p->attempt, 1);
    assert_int_equal(rig_ns(p->scheduled_time), RIG_START_NS);
    assert_int_equal(rig_ns(p->started_time), RIG_START_NS + RIG_S);
    assert_int_equal(rig_span(p->start_to_close_timeout), 10 * RIG_S);
    assert_true(tl_str_eqc(tl_pb_str(p->input->payloads[0]->data), "7"));
    assert_int_equal(rig_event_count(r), 5); /* no event */
    assert_true(r->record.bytes.n > 0);      /* but a record */
    assert_int_equal(rig_poll_activity(r, SCHEDULED_ID), TL_ENOTFOUND);
    assert_int_equal(r->error_kind, TL_ERR_STALE_TASK);
    rig_crash(r);
    assert_int_equal(rig_effect_count(r, TL_FX_DISPATCH_ACTIVITY), 0);
    rig_advance(r, RIG_S);
    assert_int_equal(rig_activity_complete(r), TL_OK);
    assert_string_equal(rig_types(r, 6),
                        "ActivityTaskStarted ActivityTaskCompleted WorkflowTaskScheduled");
    const TpHistory__ActivityTaskStartedEventAttributes *a =
        rig_event(r, 6)->activity_task_started_event_attributes;
    assert_int_equal(rig_ns(rig_event(r, 6)->event_time), RIG_START_NS + RIG_S);
    assert_int_equal(a->attempt, 1);
    assert_string_equal(a->identity, "aworker");
    assert_null(a->last_failure);
    assert_int_equal(rig_event(r, 7)->activity_task_completed_event_attributes->started_event_id,
                     6);
    assert_int_equal(rig_activity_complete(r), TL_ENOTFOUND);
}

static void an_attempt_that_must_not_run_twice_is_durable_first(void **state) /* 28 */
{
    struct history_rig *r = *state;
    schedule(r, with_retry(r, RIG_S, 2));
    assert_int_equal(rig_poll_activity(r, SCHEDULED_ID), TL_OK);
    assert_false(r->activity.durable_first);
    assert_int_equal(rig_activity_fail(r, "E", false, -1), TL_OK);
    assert_true(rig_fire(r));
    assert_int_equal(rig_poll_activity(r, SCHEDULED_ID), TL_OK);
    assert_true(r->activity.durable_first);
}

static void an_activity_is_completed_by_its_id(void **state)
{
    struct history_rig *r = *state;
    struct tl_activity_key key = {.activity_id = tl_str("a")};
    schedule(r, rig_cmd_activity(r, "a"));
    assert_int_equal(
        rig_end(r, tl_tx_activity_fail(rig_begin(r), &key, rig_failure(r, "E", false, -1), NULL,
                                       "me", &r->err)),
        TL_ENOTFOUND); /* it runs nowhere */
    assert_int_equal(rig_end(r, tl_tx_activity_complete(rig_begin(r), &key, NULL, "me", &r->err)),
                     TL_OK);
    assert_string_equal(rig_types(r, 6),
                        "ActivityTaskStarted ActivityTaskCompleted WorkflowTaskScheduled");
    assert_int_equal(rig_end(r, tl_tx_activity_complete(rig_begin(r), &key, NULL, "me", &r->err)),
                     TL_ENOTFOUND);
    assert_non_null(strstr(r->err.message, "cannot find pending activity with ActivityID a"));
}

static void a_token_of_an_earlier_attempt_is_refused(void **state)
{
    struct history_rig *r = *state;
    struct tl_heartbeat_reply reply;
    schedule(r, with_retry(r, RIG_S, 0));
    assert_int_equal(rig_poll_activity(r, SCHEDULED_ID), TL_OK);
    struct tl_activity_started first = r->activity;
    assert_int_equal(rig_activity_fail(r, "E", false, -1), TL_OK);
    assert_int_equal(rig_activity_complete(r), TL_ENOTFOUND);
    assert_true(rig_fire(r));
    assert_int_equal(rig_poll_activity(r, SCHEDULED_ID), TL_OK);
    r->activity = first;
    assert_int_equal(rig_activity_complete(r), TL_ENOTFOUND);
    assert_int_equal(rig_heartbeat(r, "1", &reply), TL_ENOTFOUND);
}

static void what_cannot_be_kept_fails_the_activity(void **state)
{
    struct history_rig *r = *state;
    struct tl_heartbeat_reply reply;
    schedule(r, with_retry(r, RIG_S, 0));
    assert_int_equal(rig_poll_activity(r, SCHEDULED_ID), TL_OK);
    r->env.limits.blob_bytes = 80;
    assert_int_equal(rig_heartbeat(r,
                                   "\"much too long, much too long, much too long, much too long, "
                                   "much too long, much too long\"",
                                   &reply),
                     TL_OK);
    assert_true(reply.cancel_requested);
    const TpHistory__ActivityTaskFailedEventAttributes *a =
        rig_event(r, 7)->activity_task_failed_event_attributes;
    assert_string_equal(a->failure->message, "Heartbeat details exceed size limit.");
    assert_int_equal(a->retry_state, RETRY_STATE_NON_RETRYABLE_FAILURE);
}

/* --- retries --------------------------------------------------------------------------------- */

static void retries_write_no_events(void **state) /* 27 */
{
    struct history_rig *r = *state;
    int64_t waits_s[] = {3, 6, 12};
    schedule(r, with_retry(r, 3 * RIG_S, 4));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(rig_poll_activity(r, SCHEDULED_ID), TL_OK);
        assert_int_equal(r->activity.response->attempt, i + 1);
        assert_int_equal(rig_activity_fail(r, "E", false, -1), TL_OK);
        assert_int_equal(rig_event_count(r), 5);
        assert_int_equal(rig_effect_count(r, TL_FX_DISPATCH_ACTIVITY), 0);
        rig_crash(r);
        assert_int_equal(rig_effect_count(r, TL_FX_DISPATCH_ACTIVITY), 0); /* not before its time */
        int64_t failed_ns = r->now_ns;
        assert_true(rig_fire(r));
        assert_int_equal(r->now_ns - failed_ns, waits_s[i] * RIG_S);
        assert_int_equal(rig_effect(r, TL_FX_DISPATCH_ACTIVITY)->u.activity.attempt, i + 2);
    }
    assert_int_equal(rig_poll_activity(r, SCHEDULED_ID), TL_OK);
    assert_int_equal(rig_activity_fail(r, "E", false, -1), TL_OK);
    assert_string_equal(rig_types(r, 6),
                        "ActivityTaskStarted ActivityTaskFailed WorkflowTaskScheduled");
    const TpHistory__ActivityTaskStartedEventAttributes *s =
        rig_event(r, 6)->activity_task_started_event_attributes;
    assert_int_equal(s->attempt, 4);
    assert_string_equal(s->last_failure->message, "it broke");
    assert_int_equal(rig_event(r, 7)->activity_task_failed_event_attributes->retry_state,
                     RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED);
}

static void the_failure_may_name_the_delay(void **state) /* 27 */
{
    struct history_rig *r = *state;
    TpCommand__Command *c = with_retry(r, RIG_S, 0);
    schedule(r, c);
    assert_int_equal(rig_poll_activity(r, SCHEDULED_ID), TL_OK);
    int64_t failed_ns = r->now_ns;
    assert_int_equal(rig_activity_fail(r, "E", false, 250 * RIG_S), TL_OK);
    assert_true(rig_fire(r));
    assert_int_equal(r->now_ns - failed_ns, 250 * RIG_S); /* above the policy's maximum of 100 s */
}

static void a_non_retryable_failure_closes_at_once(void **state)
{
    struct history_rig *r = *state;
    schedule(r, with_retry(r, RIG_S, 0));
    assert_int_equal(rig_poll_activity(r, SCHEDULED_ID), TL_OK);
    assert_int_equal(rig_activity_fail(r, "E", true, -1), TL_OK);
    assert_int_equal(rig_event(r, 7)->activity_task_failed_event_attributes->retry_state,
                     RETRY_STATE_NON_RETRYABLE_FAILURE);
}

static void a_named_type_is_not_retried(void **state)
{
    struct history_rig *r = *state;
    char *types[] = {(char *)(uintptr_t) "Fatal"};
    TpCommand__Command *c = with_retry(r, RIG_S, 0);
    attrs(c)->retry_policy->n_non_retryable_error_types = 1;
    attrs(c)->retry_policy->non_retryable_error_types = types;
    schedule(r, c);
    assert_int_equal(rig_poll_activity(r, SCHEDULED_ID), TL_OK);
    assert_int_equal(rig_activity_fail(r, "Fatal", false, -1), TL_OK);
    assert_int_equal(rig_event(r, 7)->activity_task_failed_event_attributes->retry_state,
                     RETRY_STATE_NON_RETRYABLE_FAILURE);
}

static void a_retry_past_schedule_to_close_is_a_timeout(void **state) /* 27 */
{
    struct history_rig *r = *state;
    TpCommand__Command *c = with_retry(r, 8 * RIG_S, 0);
    attrs(c)->schedule_to_close_timeout = rig_duration(r, 10 * RIG_S);
    schedule(r, c);
    assert_int_equal(rig_poll_activity(r, SCHEDULED_ID), TL_OK);
    rig_advance(r, 3 * RIG_S);
    assert_int_equal(rig_activity_fail(r, "E", false, -1), TL_OK);
    assert_int_equal(rig_event(r, 7)->event_type, EVENT_TYPE_ACTIVITY_TASK_FAILED);
    assert_int_equal(rig_event(r, 7)->activity_task_failed_event_attributes->retry_state,
                     RETRY_STATE_TIMEOUT);
}

static void a_large_failure_is_cut_before_it_is_kept(void **state)
{
    struct history_rig *r = *state;
    TpWs__DescribeWorkflowExecutionResponse out = TP_WS__DESCRIBE_WORKFLOW_EXECUTION_RESPONSE__INIT;
    struct tl_activity_key key;
    schedule(r, with_retry(r, RIG_S, 0));
    assert_int_equal(rig_poll_activity(r, SCHEDULED_ID), TL_OK);
    TpFailure__Failure *f = rig_failure(r, "E", false, -1);
    f->message = tl_arena_alloc(&r->arena, 9000);
    memset(f->message, 'm', 8999);
    key = (struct tl_activity_key){.ref = &r->activity.ref};
    assert_int_equal(rig_end(r, tl_tx_activity_fail(rig_begin(r), &key, f, NULL, "w", &r->err)),
                     TL_OK);
    assert_int_equal(tl_rs_describe(r->rs, r->now_ns, &r->arena, &out, &r->err), TL_OK);
    const TpFailure__Failure *kept = out.pending_activities[0]->last_failure;
    assert_string_equal(kept->message, "Failure exceeds size limit.");
    assert_true(strlen(kept->cause->message) > 500);
    assert_true(tl_pb_size(kept) < 4096);
    assert_int_equal(out.pending_activities[0]->state, PENDING_ACTIVITY_STATE_SCHEDULED);
    assert_int_equal(rig_ns(out.pending_activities[0]->next_attempt_schedule_time),
                     RIG_START_NS + RIG_S);
}

/* --- timeouts -------------------------------------------------------------------------------- */

static void schedule_to_start_is_never_retried(void **state) /* 27 */
{
    struct history_rig *r = *state;
    TpCommand__Command *c = with_retry(r, RIG_S, 0);
    attrs(c)->schedule_to_start_timeout = rig_duration(r, 4 * RIG_S);
    schedule(r, c);
    assert_true(rig_fire(r));
    assert_int_equal(r->now_ns, RIG_START_NS + 4 * RIG_S);
    assert_string_equal(rig_types(r, 6), "ActivityTaskTimedOut WorkflowTaskScheduled");
    const TpHistory__ActivityTaskTimedOutEventAttributes *a = timed_out(r);
    assert_int_equal(a->retry_state, RETRY_STATE_TIMEOUT);
    assert_int_equal(a->started_event_id, 0);
    assert_string_equal(a->failure->message, "activity ScheduleToStart timeout");
    assert_string_equal(a->failure->source, "Server");
    assert_int_equal(a->failure->timeout_failure_info->timeout_type,
                     TIMEOUT_TYPE_SCHEDULE_TO_START);
    assert_int_equal(rig_poll_activity(r, SCHEDULED_ID), TL_ENOTFOUND);
}

static void schedule_to_close_is_never_retried(void **state) /* 27 */
{
    struct history_rig *r = *state;
    TpCommand__Command *c = with_retry(r, RIG_S, 0);
    attrs(c)->schedule_to_close_timeout = rig_duration(r, 4 * RIG_S);
    schedule(r, c);
    assert_int_equal(rig_poll_activity(r, SCHEDULED_ID), TL_OK);
    assert_int_equal(rig_activity_fail(r, "E", false, -1), TL_OK);
    assert_true(rig_fire(r));
    assert_int_equal(rig_poll_activity(r, SCHEDULED_ID), TL_OK);
    assert_true(rig_fire(r));
    assert_int_equal(r->now_ns, RIG_START_NS + 4 * RIG_S);
    const TpHistory__ActivityTaskTimedOutEventAttributes *a = timed_out(r);
    assert_int_equal(a->retry_state, RETRY_STATE_TIMEOUT);
    assert_int_equal(a->failure->timeout_failure_info->timeout_type,
                     TIMEOUT_TYPE_SCHEDULE_TO_CLOSE);
    assert_string_equal(a->failure->cause->message, "it broke"); /* what really went wrong */
    assert_int_equal(a->started_event_id, 6);
}

static void start_to_close_is_retried(void **state)
{
    struct history_rig *r = *state;
    schedule(r, with_retry(r, 2 * RIG_S, 2));
    assert_int_equal(rig_poll_activity(r, SCHEDULED_ID), TL_OK);
    assert_true(rig_fire(r));
    assert_int_equal(r->now_ns, RIG_START_NS + 10 * RIG_S);
    assert_int_equal(rig_event_count(r), 5);
    assert_true(rig_fire(r));
    assert_int_equal(r->now_ns, RIG_START_NS + 12 * RIG_S);
    assert_int_equal(rig_effect_count(r, TL_FX_DISPATCH_ACTIVITY), 1);
    assert_int_equal(rig_poll_activity(r, SCHEDULED_ID), TL_OK);
    assert_true(rig_fire(r));
    const TpHistory__ActivityTaskTimedOutEventAttributes *a = timed_out(r);
    assert_int_equal(a->retry_state, RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED);
    assert_string_equal(a->failure->message, "activity StartToClose timeout");
    assert_string_equal(a->failure->cause->message, "activity StartToClose timeout");
}

static void a_heartbeat_buys_time_from_the_later_of_start_and_beat(void **state) /* 29 */
{
    struct history_rig *r = *state;
    struct tl_heartbeat_reply reply;
    TpCommand__Command *c = with_retry(r, RIG_S, 1);
    attrs(c)->heartbeat_timeout = rig_duration(r, 3 * RIG_S);
    schedule(r, c);
    rig_advance(r, 100 * RIG_S); /* waiting costs nothing */
    int64_t start_ns = r->now_ns;
    assert_int_equal(rig_poll_activity(r, SCHEDULED_ID), TL_OK);
    assert_int_equal(tl_rs_deadline_ns(r->rs), start_ns + 3 * RIG_S);
    rig_advance(r, 2 * RIG_S);
    assert_int_equal(rig_heartbeat(r, "\"half\"", &reply), TL_OK);
    assert_false(reply.cancel_requested);
    assert_true(r->record.bytes.n > 0); /* durable before the reply */
    assert_int_equal(r->record.event_count, 0);
    rig_crash(r);
    assert_int_equal(tl_rs_deadline_ns(r->rs), start_ns + 5 * RIG_S);
    assert_true(rig_fire(r));
    const TpHistory__ActivityTaskTimedOutEventAttributes *a = timed_out(r);
    assert_int_equal(a->failure->timeout_failure_info->timeout_type, TIMEOUT_TYPE_HEARTBEAT);
    assert_string_equal(a->failure->message, "activity Heartbeat timeout");
    assert_true(tl_str_eqc(
        tl_pb_str(a->failure->timeout_failure_info->last_heartbeat_details->payloads[0]->data),
        "\"half\""));
}

static void the_next_attempt_gets_the_last_heartbeat(void **state)
{
    struct history_rig *r = *state;
    struct tl_heartbeat_reply reply;
    schedule(r, with_retry(r, RIG_S, 0));
    assert_int_equal(rig_poll_activity(r, SCHEDULED_ID), TL_OK);
    assert_int_equal(rig_heartbeat(r, "50", &reply), TL_OK);
    assert_int_equal(rig_activity_fail(r, "E", false, -1), TL_OK);
    rig_crash(r);
    assert_true(rig_fire(r));
    assert_int_equal(rig_poll_activity(r, SCHEDULED_ID), TL_OK);
    assert_true(
        tl_str_eqc(tl_pb_str(r->activity.response->heartbeat_details->payloads[0]->data), "50"));
    assert_int_equal(rig_ns(r->activity.response->current_attempt_scheduled_time),
                     RIG_START_NS + RIG_S);
}

/* --- cancellation ---------------------------------------------------------------------------- */

static void an_unstarted_activity_is_cancelled_at_once(void **state)
{
    struct history_rig *r = *state;
    schedule(r, rig_cmd_activity(r, "a"));
    assert_int_equal(rig_signal(r, "s", ""), TL_OK);
    rig_poll(r);
    assert_int_equal(rig_complete(r, rig_cmd_cancel_activity(r, SCHEDULED_ID)), TL_OK);
    assert_string_equal(rig_types(r, 9), "WorkflowTaskCompleted ActivityTaskCancelRequested "
                                         "ActivityTaskCanceled WorkflowTaskScheduled");
    const TpHistory__ActivityTaskCanceledEventAttributes *a =
        rig_event(r, 11)->activity_task_canceled_event_attributes;
    assert_int_equal(a->latest_cancel_requested_event_id, 10);
    assert_true(
        tl_str_eqc(tl_pb_str(a->details->payloads[0]->data), "\"ACTIVITY_ID_NOT_STARTED\""));
    assert_int_equal(rig_info(r).pending_activities, 0);
}

/* A worker that replays expects the events of a task's commands in one row. */
static void its_end_comes_behind_the_other_commands(void **state)
{
    struct history_rig *r = *state;
    schedule(r, rig_cmd_activity(r, "a"));
    assert_int_equal(rig_signal(r, "s", ""), TL_OK);
    rig_poll(r);
    TpWs__RespondWorkflowTaskCompletedRequest *req = rig_completion(r);
    rig_add_command(r, req, rig_cmd_cancel_activity(r, SCHEDULED_ID));
    rig_add_command(r, req, rig_cmd_timer(r, "t", RIG_S));
    assert_int_equal(rig_send(r, req), TL_OK);
    assert_string_equal(rig_types(r, 9),
                        "WorkflowTaskCompleted ActivityTaskCancelRequested TimerStarted "
                        "ActivityTaskCanceled WorkflowTaskScheduled");
}

static void its_end_is_lost_with_the_run(void **state)
{
    struct history_rig *r = *state;
    schedule(r, rig_cmd_activity(r, "a"));
    assert_int_equal(rig_signal(r, "s", ""), TL_OK);
    rig_poll(r);
    TpWs__RespondWorkflowTaskCompletedRequest *req = rig_completion(r);
    rig_add_command(r, req, rig_cmd_cancel_activity(r, SCHEDULED_ID));
    rig_add_command(r, req, rig_cmd_complete(r));
    assert_int_equal(rig_send(r, req), TL_OK);
    assert_string_equal(
        rig_types(r, 9),
        "WorkflowTaskCompleted ActivityTaskCancelRequested WorkflowExecutionCompleted");
}

static void a_started_activity_hears_by_heartbeat(void **state)
{
    struct history_rig *r = *state;
    struct tl_heartbeat_reply reply;
    struct tl_activity_key key = {.ref = &r->activity.ref};
    schedule(r, with_retry(r, RIG_S, 0));
    assert_int_equal(rig_poll_activity(r, SCHEDULED_ID), TL_OK);
    assert_int_equal(
        rig_end(r, tl_tx_activity_cancel(rig_begin(r), &key, NULL, "aworker", &r->err)), TL_EINVAL);
    assert_int_equal(rig_signal(r, "s", ""), TL_OK);
    rig_poll(r);
    assert_int_equal(rig_complete(r, rig_cmd_cancel_activity(r, SCHEDULED_ID)), TL_OK);
    assert_int_equal(rig_effect_count(r, TL_FX_CANCEL_ACTIVITY), 1);
    assert_int_equal(rig_heartbeat(r, "1", &reply), TL_OK);
    assert_true(reply.cancel_requested); /* 29 */
    rig_crash(r);
    assert_int_equal(
        rig_end(r, tl_tx_activity_cancel(rig_begin(r), &key, NULL, "aworker", &r->err)), TL_OK);
    assert_string_equal(rig_types(r, 11),
                        "ActivityTaskStarted ActivityTaskCanceled WorkflowTaskScheduled");
    assert_int_equal(
        rig_event(r, 12)->activity_task_canceled_event_attributes->latest_cancel_requested_event_id,
        10);
}

static void a_cancelled_activity_is_not_retried(void **state)
{
    struct history_rig *r = *state;
    schedule(r, with_retry(r, RIG_S, 0));
    assert_int_equal(rig_poll_activity(r, SCHEDULED_ID), TL_OK);
    assert_int_equal(rig_signal(r, "s", ""), TL_OK);
    rig_poll(r);
    assert_int_equal(rig_complete(r, rig_cmd_cancel_activity(r, SCHEDULED_ID)), TL_OK);
    assert_int_equal(rig_activity_fail(r, "E", false, -1), TL_OK);
    assert_int_equal(rig_event(r, 12)->activity_task_failed_event_attributes->retry_state,
                     RETRY_STATE_CANCEL_REQUESTED);
}

static void cancelling_an_activity_that_just_closed_is_fine(void **state)
{
    struct history_rig *r = *state;
    schedule(r, rig_cmd_activity(r, "a"));
    assert_int_equal(rig_poll_activity(r, SCHEDULED_ID), TL_OK);
    assert_int_equal(rig_signal(r, "s", ""), TL_OK);
    rig_poll(r);
    assert_int_equal(rig_activity_complete(r), TL_OK); /* buffered: the worker does not know */
    assert_int_equal(rig_complete(r, rig_cmd_cancel_activity(r, SCHEDULED_ID)), TL_OK);
    assert_string_equal(rig_types(r, 9),
                        "WorkflowTaskCompleted ActivityTaskCancelRequested ActivityTaskStarted "
                        "ActivityTaskCompleted WorkflowTaskScheduled");
    rig_poll(r);
    assert_int_equal(rig_complete(r, rig_cmd_cancel_activity(r, SCHEDULED_ID)), TL_EINVAL);
    assert_non_null(strstr(r->err.message, "BadRequestCancelActivityAttributes: "));
}

/* --- eager ----------------------------------------------------------------------------------- */

static void eager_activities_start_with_the_completion(void **state) /* 30 */
{
    struct history_rig *r = *state;
    TpWs__RespondWorkflowTaskCompletedRequest *req = rig_completion(r);
    const char *ids[] = {"a", "b", "c", "d", "elsewhere", "plain"};
    rig_start(r);
    rig_poll(r);
    for (size_t i = 0; i < 6; i++) {
        TpCommand__Command *c = rig_cmd_activity(r, ids[i]);
        attrs(c)->request_eager_execution = i != 5;
        if (i == 4) {
            attrs(c)->task_queue->name = (char *)(uintptr_t) "other-q";
        }
        rig_add_command(r, req, c);
    }
    size_t rows = r->row_n;
    assert_int_equal(rig_send(r, req), TL_OK);
    assert_int_equal(r->row_n, rows + 1); /* one commit */
    assert_int_equal(r->completed.eager_count, 3);
    assert_string_equal(r->completed.eager[0].response->activity_id, "a");
    assert_string_equal(r->completed.eager[2].response->activity_id, "c");
    assert_int_equal(rig_effect_count(r, TL_FX_DISPATCH_ACTIVITY), 3); /* d, elsewhere, plain */
    r->activity = r->completed.eager[1];
    rig_crash(r);
    assert_int_equal(rig_activity_complete(r), TL_OK);
    assert_int_equal(rig_effect_count(r, TL_FX_DISPATCH_WFT), 1);
}

static void an_eager_activity_of_a_closed_run_does_not_start(void **state)
{
    struct history_rig *r = *state;
    TpWs__RespondWorkflowTaskCompletedRequest *req = rig_completion(r);
    TpCommand__Command *c = rig_cmd_activity(r, "a");
    attrs(c)->request_eager_execution = true;
    rig_start(r);
    rig_poll(r);
    rig_add_command(r, req, c);
    rig_add_command(r, req, rig_cmd_complete(r));
    assert_int_equal(rig_send(r, req), TL_OK);
    assert_int_equal(r->completed.eager_count, 0);
    assert_int_equal(rig_effect_count(r, TL_FX_DISPATCH_ACTIVITY), 0);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(the_server_fills_in_what_is_missing),
        CASE(timeouts_do_not_exceed_the_run),
        CASE(bad_attributes_fail_the_task),
        CASE(ids_and_numbers_of_pending_activities_are_limited),
        CASE(input_that_is_too_large_ends_the_run),
        CASE(a_start_is_written_beside_the_close),
        CASE(an_attempt_that_must_not_run_twice_is_durable_first),
        CASE(an_activity_is_completed_by_its_id),
        CASE(a_token_of_an_earlier_attempt_is_refused),
        CASE(what_cannot_be_kept_fails_the_activity),
        CASE(retries_write_no_events),
        CASE(the_failure_may_name_the_delay),
        CASE(a_non_retryable_failure_closes_at_once),
        CASE(a_named_type_is_not_retried),
        CASE(a_retry_past_schedule_to_close_is_a_timeout),
        CASE(a_large_failure_is_cut_before_it_is_kept),
        CASE(schedule_to_start_is_never_retried),
        CASE(schedule_to_close_is_never_retried),
        CASE(start_to_close_is_retried),
        CASE(a_heartbeat_buys_time_from_the_later_of_start_and_beat),
        CASE(the_next_attempt_gets_the_last_heartbeat),
        CASE(an_unstarted_activity_is_cancelled_at_once),
        CASE(its_end_comes_behind_the_other_commands),
        CASE(its_end_is_lost_with_the_run),
        CASE(a_started_activity_hears_by_heartbeat),
        CASE(a_cancelled_activity_is_not_retried),
        CASE(cancelling_an_activity_that_just_closed_is_fine),
        CASE(eager_activities_start_with_the_completion),
        CASE(an_eager_activity_of_a_closed_run_does_not_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
