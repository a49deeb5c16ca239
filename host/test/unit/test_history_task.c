/* Goal: workflow tasks: what is in the history when, attempts, stickiness, buffered events, heartbeats,
 * tokens.
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

#include "base/fault.h"
#include "proto/pb.h"
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
    tl_fault_arm(TL_FAULT_lose_buffered_event, false);
    history_rig_close(*state);
    return 0;
}

static void make_sticky(struct history_rig *r)
{
    TpWs__RespondWorkflowTaskCompletedRequest *req = rig_completion(r);
    rig_poll(r);
    rig_stick(r, req);
    assert_int_equal(rig_send(r, req), TL_OK);
}

/* --- volatile start -------------------------------------------------------------------------- */

static void a_start_writes_nothing(void **state)
{
    struct history_rig *r = *state;
    size_t rows = r->row_n;
    rig_poll(r);
    assert_int_equal(r->row_n, rows);
    assert_int_equal(r->task.ref.started_id, 3);
    assert_int_equal(r->task.history_from, 1);
    assert_int_equal(r->task.history_upto, 2);
    assert_string_equal(rig_bytes_types(r, r->task.extra_events), "WorkflowTaskStarted");
    assert_true(rig_info(r).wft_started_volatile);
    assert_int_equal(tl_rs_deadline_ns(r->rs), RIG_START_NS + 10 * RIG_S);
    rig_crash(r); /* as if nobody had polled */
    assert_false(rig_info(r).wft_started);
    assert_int_equal(rig_effect_count(r, TL_FX_DISPATCH_WFT), 1);
    assert_int_equal(rig_complete(r, NULL), TL_ENOTFOUND);
    assert_string_equal(r->err.message, "Workflow task not found.");
    rig_poll(r);
    assert_int_equal(rig_complete(r, NULL), TL_OK);
}

static void a_materialised_start_survives_a_restart(void **state) /* 11 */
{
    struct history_rig *r = *state;
    rig_poll(r);
    assert_int_equal(rig_end(r, tl_tx_materialise_started(rig_begin(r), &r->err)), TL_OK);
    assert_string_equal(rig_types(r, 3), "WorkflowTaskStarted");
    rig_crash(r);
    assert_int_equal(rig_effect_count(r, TL_FX_DISPATCH_WFT), 0);
    assert_int_equal(rig_complete(r, NULL), TL_OK);
}

static void a_token_must_match_in_every_part(void **state) /* 11 */
{
    struct history_rig *r = *state;
    rig_poll(r);
    struct tl_task_ref good = r->task.ref;
    for (int part = 0; part < 4; part++) {
        r->task.ref = good;
        int64_t *fields[] = {&r->task.ref.scheduled_id, &r->task.ref.started_id,
                             &r->task.ref.started_ns, NULL};
        if (fields[part]) {
            (*fields[part])++;
        } else {
            r->task.ref.attempt++;
        }
        assert_int_equal(rig_complete(r, NULL), TL_ENOTFOUND);
    }
    r->task.ref = good;
    struct tl_work_token token = {.namespace_number = 7, .run_number = 9, .ref = good}, back;
    struct tl_str bytes;
    assert_int_equal(tl_work_token_encode(&token, &r->arena, &bytes, NULL), TL_OK);
    assert_int_equal(tl_work_token_decode(bytes, &r->arena, &back, NULL), TL_OK);
    assert_int_equal(back.run_number, 9);
    assert_int_equal(back.ref.scheduled_id, good.scheduled_id);
    assert_int_equal(back.ref.started_id, good.started_id);
    assert_int_equal(back.ref.started_ns, good.started_ns);
    assert_int_equal(back.ref.attempt, good.attempt);
    assert_int_equal(tl_work_token_decode(tl_str("junk"), &r->arena, &back, &r->err), TL_EINVAL);
    assert_int_equal(rig_complete(r, NULL), TL_OK);
}

static void the_same_poll_gets_the_same_task(void **state)
{
    struct history_rig *r = *state;
    struct tl_wft_start start = {.identity = "w", .request_id = "p"};
    struct tl_wft_started again;
    assert_int_equal(rig_end(r, tl_tx_wft_start(rig_begin(r), 2, 1, &start, &r->task, &r->err)),
                     TL_OK);
    assert_int_equal(rig_end(r, tl_tx_wft_start(rig_begin(r), 2, 1, &start, &again, &r->err)),
                     TL_OK);
    assert_int_equal(again.ref.started_id, r->task.ref.started_id);
    assert_int_equal(again.ref.started_ns, r->task.ref.started_ns);
    start.request_id = "other";
    assert_int_equal(rig_end(r, tl_tx_wft_start(rig_begin(r), 2, 1, &start, &again, &r->err)),
                     TL_ENOTFOUND);
    assert_int_equal(r->error_kind, TL_ERR_STALE_TASK);
}

/* --- suggestions ----------------------------------------------------------------------------- */

static void what_a_task_is_told_is_what_is_stored(void **state) /* 12 */
{
    struct history_rig *r = *state;
    struct tl_str event, rest;
    TpHistory__HistoryEvent *sent = NULL;
    r->env.limits.history_count_suggest = 4;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(rig_signal(r, "s", ""), TL_OK);
    }
    int64_t bytes = rig_info(r).history_bytes;
    rig_poll(r);
    rest = r->task.extra_events;
    assert_true(tl_history_next(&rest, &event));
    assert_int_equal(
        tl_pb_decode(&tp_history__history_event__descriptor, event, &r->arena, &sent, NULL), TL_OK);
    r->env.limits.history_count_suggest = 1000; /* what comes later changes nothing */
    assert_int_equal(rig_signal(r, "s", ""), TL_OK);
    assert_int_equal(rig_complete(r, NULL), TL_OK);
    const TpHistory__HistoryEvent *stored = rig_event(r, 6);
    const TpHistory__WorkflowTaskStartedEventAttributes *a =
        stored->workflow_task_started_event_attributes;
    assert_true(a->suggest_continue_as_new);
    assert_int_equal(a->n_suggest_continue_as_new_reasons, 1);
    assert_int_equal(a->suggest_continue_as_new_reasons[0],
                     SUGGEST_CONTINUE_AS_NEW_REASON_TOO_MANY_HISTORY_EVENTS);
    assert_int_equal(a->history_size_bytes, bytes);
    assert_int_equal(sent->event_id, 6);
    assert_int_equal(sent->workflow_task_started_event_attributes->history_size_bytes, bytes);
    assert_string_equal(sent->workflow_task_started_event_attributes->request_id, a->request_id);
    assert_int_equal(rig_ns(sent->event_time), rig_ns(stored->event_time));
}

/* --- buffering ------------------------------------------------------------------------------- */

static void completions_go_behind_other_buffered_events(void **state) /* 1 */
{
    struct history_rig *r = *state;
    rig_poll(r);
    assert_int_equal(rig_complete(r, rig_cmd_activity(r, "a")), TL_OK); /* scheduled 5 */
    assert_int_equal(rig_poll_activity(r, 5), TL_OK);
    assert_int_equal(rig_signal(r, "wake", ""), TL_OK);
    rig_poll(r);
    rig_advance(r, RIG_S);
    assert_int_equal(rig_activity_complete(r), TL_OK);
    assert_int_equal(rig_signal(r, "s", "1"), TL_OK);
    assert_int_equal(rig_info(r).buffered_events, 3);
    assert_string_equal(rig_types(r, 6),
                        "WorkflowExecutionSignaled WorkflowTaskScheduled WorkflowTaskStarted");
    assert_int_equal(rig_complete(r, rig_cmd_timer(r, "t", RIG_S)), TL_OK);
    assert_string_equal(rig_types(r, 9),
                        "WorkflowTaskCompleted TimerStarted ActivityTaskStarted "
                        "WorkflowExecutionSignaled ActivityTaskCompleted WorkflowTaskScheduled");
    const TpHistory__ActivityTaskCompletedEventAttributes *a =
        rig_event(r, 13)->activity_task_completed_event_attributes;
    assert_int_equal(a->scheduled_event_id, 5);
    assert_int_equal(a->started_event_id, 11); /* assigned at the flush */
    assert_int_equal(rig_ns(rig_event(r, 11)->event_time), RIG_START_NS);
    assert_int_equal(rig_ns(rig_event(r, 13)->event_time), RIG_START_NS + RIG_S);
    assert_int_equal(rig_effect_count(r, TL_FX_DISPATCH_WFT), 1);
}

static void buffered_events_survive_a_restart(void **state) /* 1, 11 */
{
    struct history_rig *r = *state;
    rig_poll(r);
    assert_int_equal(rig_signal(r, "s", "1"), TL_OK);
    assert_false(rig_info(r).wft_started_volatile);
    rig_crash(r);
    assert_int_equal(rig_info(r).buffered_events, 1);
    assert_int_equal(rig_signal(r, "s", "1"), TL_OK); /* known, though it has no id yet */
    assert_int_equal(rig_info(r).buffered_events, 1);
    assert_int_equal(rig_complete(r, NULL), TL_OK);
    assert_string_equal(rig_types(r, 3), "WorkflowTaskStarted WorkflowTaskCompleted "
                                         "WorkflowExecutionSignaled WorkflowTaskScheduled");
}

static void closing_with_buffered_events_fails_the_task(void **state) /* 2 */
{
    struct history_rig *r = *state;
    rig_poll(r);
    assert_int_equal(rig_signal(r, "s", "1"), TL_OK);
    assert_int_equal(rig_complete(r, rig_cmd_complete(r)), TL_EINVAL);
    assert_string_equal(r->err.message, "UnhandledCommand");
    assert_string_equal(rig_types(r, 3), "WorkflowTaskStarted WorkflowTaskFailed "
                                         "WorkflowExecutionSignaled WorkflowTaskScheduled");
    const TpHistory__WorkflowTaskFailedEventAttributes *a =
        rig_event(r, 4)->workflow_task_failed_event_attributes;
    assert_int_equal(a->cause, WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND);
    assert_int_equal(a->failure->failure_info_case,
                     TP_FAILURE__FAILURE__FAILURE_INFO_SERVER_FAILURE_INFO);
    assert_int_equal(rig_info(r).wft_attempt, 1);
    assert_int_equal(rig_effect_count(r, TL_FX_DISPATCH_WFT), 1);
    /* A run that tries to close is spared signals while its next task runs. */
    rig_poll(r);
    assert_int_equal(rig_signal(r, "s", "2"), TL_ELIMIT);
    assert_int_equal(r->error_kind, TL_ERR_RESOURCE_EXHAUSTED);
    assert_int_equal(rig_complete(r, rig_cmd_complete(r)), TL_OK);
}

static void too_many_buffered_events_fail_the_task(void **state) /* 3 */
{
    struct history_rig *r = *state;
    r->env.limits.buffered_events = 3;
    rig_poll(r);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(rig_signal(r, "s", ""), TL_OK);
    }
    assert_int_equal(rig_info(r).buffered_events, 3);
    assert_int_equal(rig_signal(r, "s", ""), TL_OK);
    assert_string_equal(rig_types(r, 3),
                        "WorkflowTaskStarted WorkflowTaskFailed WorkflowExecutionSignaled "
                        "WorkflowExecutionSignaled WorkflowExecutionSignaled "
                        "WorkflowExecutionSignaled");
    assert_int_equal(rig_info(r).wft_attempt, 2); /* flushed before: the next one is transient */
    assert_int_equal(rig_info(r).wft_scheduled_id, 9);
    assert_int_equal(rig_event(r, 4)->workflow_task_failed_event_attributes->cause,
                     WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND);
    assert_int_equal(rig_complete(r, NULL), TL_ENOTFOUND);
}

static void too_many_buffered_bytes_fail_the_task(void **state) /* 3 */
{
    struct history_rig *r = *state;
    r->env.limits.buffered_bytes = 100;
    rig_poll(r);
    assert_int_equal(rig_signal(r, "s", ""), TL_OK);
    assert_int_equal(rig_info(r).buffered_events, 1);
    assert_int_equal(rig_signal(r, "s", ""), TL_OK);
    assert_int_equal(rig_info(r).buffered_events, 0);
    assert_string_equal(rig_types(r, 4), "WorkflowTaskFailed WorkflowExecutionSignaled "
                                         "WorkflowExecutionSignaled");
    assert_int_equal(rig_effect_count(r, TL_FX_DISPATCH_WFT), 1);
}

static void a_lost_buffered_event_is_noticed(void **state)
{
    struct history_rig *r = *state;
    rig_poll(r);
    assert_int_equal(rig_signal(r, "s", "1"), TL_OK);
    assert_int_equal(rig_signal(r, "s", "2"), TL_OK);
    tl_fault_arm(TL_FAULT_lose_buffered_event, true);
    assert_int_equal(rig_complete(r, NULL), TL_OK);
    assert_string_equal(rig_types(r, 4),
                        "WorkflowTaskCompleted WorkflowExecutionSignaled WorkflowTaskScheduled");
    assert_string_equal(rig_event(r, 5)->workflow_execution_signaled_event_attributes->request_id,
                        "2");
}

/* --- attempts -------------------------------------------------------------------------------- */

static void only_the_first_attempt_writes_events(void **state) /* 4 */
{
    struct history_rig *r = *state;
    rig_poll(r);
    assert_int_equal(rig_fail_task(r), TL_OK);
    assert_string_equal(rig_types(r, 3), "WorkflowTaskStarted WorkflowTaskFailed");
    assert_int_equal(rig_info(r).wft_attempt, 2);
    assert_int_equal(rig_info(r).wft_scheduled_id, 5); /* predicted */
    assert_int_equal(rig_effect(r, TL_FX_DISPATCH_WFT)->u.wft.attempt, 2);
    rig_crash(r);
    rig_poll(r);
    assert_string_equal(rig_bytes_types(r, r->task.extra_events),
                        "WorkflowTaskScheduled WorkflowTaskStarted");
    assert_int_equal(r->task.ref.started_id, 6);
    assert_int_equal(r->task.history_upto, 4);
    assert_int_equal(rig_fail_task(r), TL_OK);
    assert_int_equal(rig_event_count(r), 4);
    assert_int_equal(rig_info(r).wft_attempt, 3);
    rig_advance(r, RIG_S);
    rig_poll(r);
    rig_advance(r, RIG_S);
    assert_int_equal(rig_complete(r, rig_cmd_complete(r)), TL_OK);
    assert_string_equal(rig_types(r, 5), "WorkflowTaskScheduled WorkflowTaskStarted "
                                         "WorkflowTaskCompleted WorkflowExecutionCompleted");
    assert_int_equal(rig_event(r, 5)->workflow_task_scheduled_event_attributes->attempt, 3);
    assert_int_equal(rig_ns(rig_event(r, 5)->event_time), RIG_START_NS);
    assert_int_equal(rig_ns(rig_event(r, 6)->event_time), RIG_START_NS + RIG_S);
    assert_int_equal(rig_event(r, 7)->workflow_task_completed_event_attributes->started_event_id,
                     6);
}

static void an_event_makes_a_transient_attempt_a_first_one(void **state) /* 4 */
{
    struct history_rig *r = *state;
    rig_poll(r);
    assert_int_equal(rig_fail_task(r), TL_OK);
    assert_int_equal(rig_signal(r, "s", "1"), TL_OK); /* event 5, where Scheduled was predicted */
    assert_int_equal(rig_effect_count(r, TL_FX_DISPATCH_WFT), 0);
    rig_poll(r); /* with the old offer */
    assert_int_equal(r->task.attempt, 1);
    assert_int_equal(r->task.ref.scheduled_id, 6);
    assert_string_equal(rig_types(r, 5), "WorkflowExecutionSignaled WorkflowTaskScheduled");
    assert_string_equal(rig_bytes_types(r, r->task.extra_events), "WorkflowTaskStarted");
    assert_int_equal(rig_complete(r, NULL), TL_OK);
}

static void events_during_a_transient_attempt_end_it_as_a_first_one(void **state) /* 4 */
{
    struct history_rig *r = *state;
    rig_poll(r);
    assert_int_equal(rig_fail_task(r), TL_OK);
    rig_poll(r);
    assert_int_equal(rig_signal(r, "s", "1"), TL_OK); /* buffered */
    rig_crash(r);                                     /* the start is durable by now */
    assert_true(rig_info(r).wft_started);
    assert_int_equal(rig_fail_task(r), TL_OK);
    assert_string_equal(rig_types(r, 5), "WorkflowExecutionSignaled WorkflowTaskScheduled");
    assert_int_equal(rig_info(r).wft_attempt, 1);
}

static void a_sticky_failure_is_no_attempt(void **state) /* 5 */
{
    struct history_rig *r = *state;
    make_sticky(r);
    assert_int_equal(rig_signal(r, "s", "1"), TL_OK);
    rig_poll(r);
    assert_int_equal(rig_fail_task(r), TL_OK);
    assert_int_equal(rig_info(r).wft_attempt, 1);
    assert_int_equal(rig_info(r).sticky_queue.n, 0);
    assert_int_equal(rig_last(r)->event_type, EVENT_TYPE_WORKFLOW_TASK_SCHEDULED);
    assert_int_equal(rig_last(r)->workflow_task_scheduled_event_attributes->task_queue->kind,
                     TASK_QUEUE_KIND_NORMAL);
    rig_poll(r);
    assert_int_equal(rig_fail_task(r), TL_OK);
    assert_int_equal(rig_info(r).wft_attempt, 2);
}

static void a_rejected_completion_of_a_later_attempt_is_left_to_time_out(void **state) /* 6 */
{
    struct history_rig *r = *state;
    rig_poll(r);
    assert_int_equal(rig_complete(r, rig_cmd_cancel_timer(r, "none")), TL_EINVAL);
    assert_int_equal(rig_info(r).wft_attempt, 2);
    int64_t waits_s[] = {10, 10, 15, 20, 30, 50, 90, 170, 330, 610, 610};
    for (size_t i = 0; i < sizeof(waits_s) / sizeof(waits_s[0]); i++) {
        int64_t started_ns = r->now_ns;
        size_t rows = r->row_n;
        rig_poll(r);
        assert_int_equal(rig_complete(r, rig_cmd_cancel_timer(r, "none")), TL_EINVAL);
        assert_int_equal(r->row_n, rows);
        assert_true(rig_info(r).wft_started);
        assert_true(rig_fire(r));
        assert_int_equal(r->now_ns - started_ns, waits_s[i] * RIG_S);
        assert_int_equal(rig_event_count(r), 4);
        assert_int_equal(rig_info(r).wft_attempt, 3 + (int32_t)i);
    }
}

static void an_unknown_command_sequence_changes_nothing(void **state)
{
    struct history_rig *r = *state;
    TpWs__RespondWorkflowTaskCompletedRequest *req = rig_completion(r);
    rig_poll(r);
    rig_add_command(r, req, rig_cmd_complete(r));
    rig_add_command(r, req, rig_cmd_timer(r, "t", RIG_S));
    assert_int_equal(rig_send(r, req), TL_EINVAL);
    assert_non_null(strstr(r->err.message, "must be the last command"));
    assert_int_equal(rig_event_count(r), 2);
    assert_true(rig_info(r).wft_started);
}

static void a_command_that_is_not_built_fails_the_task(void **state)
{
    struct history_rig *r = *state;
    TpCommand__Command *c = rig_cmd_timer(r, "t", RIG_S);
    c->command_type = (TpEnums__CommandType)COMMAND_TYPE_PROTOCOL_MESSAGE;
    c->attributes_case = TP_COMMAND__COMMAND__ATTRIBUTES_PROTOCOL_MESSAGE_COMMAND_ATTRIBUTES;
    c->protocol_message_command_attributes =
        tl_pb_new(&r->arena, &tp_command__protocol_message_command_attributes__descriptor);
    rig_poll(r);
    assert_int_equal(rig_complete(r, c), TL_EINVAL);
    assert_non_null(strstr(r->err.message, "BadUpdateWorkflowExecutionMessage: "));
    assert_int_equal(rig_last(r)->workflow_task_failed_event_attributes->cause,
                     WORKFLOW_TASK_FAILED_CAUSE_BAD_UPDATE_WORKFLOW_EXECUTION_MESSAGE);
}

static void a_task_times_out_and_comes_again(void **state)
{
    struct history_rig *r = *state;
    rig_poll(r);
    assert_true(rig_fire(r));
    assert_int_equal(r->now_ns, RIG_START_NS + 10 * RIG_S);
    assert_string_equal(rig_types(r, 3), "WorkflowTaskStarted WorkflowTaskTimedOut");
    assert_int_equal(rig_last(r)->workflow_task_timed_out_event_attributes->timeout_type,
                     TIMEOUT_TYPE_START_TO_CLOSE);
    assert_int_equal(rig_effect(r, TL_FX_DISPATCH_WFT)->u.wft.attempt, 2);
    assert_int_equal(tl_rs_deadline_ns(r->rs), TL_NS_NEVER); /* a normal queue may take its time */
}

/* --- stickiness ------------------------------------------------------------------------------ */

static void nobody_on_the_sticky_queue_reschedules_on_the_normal_one(void **state) /* 7 */
{
    struct history_rig *r = *state;
    make_sticky(r);
    assert_int_equal(rig_signal(r, "s", "1"), TL_OK);
    const struct tl_effect *f = rig_effect(r, TL_FX_DISPATCH_WFT);
    assert_true(f->u.wft.sticky);
    assert_true(tl_str_eqc(f->u.wft.task_queue, "sticky-q"));
    assert_true(tl_str_eqc(f->u.wft.normal_task_queue, "q"));
    const TpTq__TaskQueue *q = rig_last(r)->workflow_task_scheduled_event_attributes->task_queue;
    assert_string_equal(q->name, "sticky-q");
    assert_string_equal(q->normal_name, "q");
    assert_int_equal(q->kind, TASK_QUEUE_KIND_STICKY);
    assert_true(rig_fire(r));
    assert_int_equal(r->now_ns, RIG_START_NS + 10 * RIG_S);
    assert_string_equal(rig_types(r, 7), "WorkflowTaskTimedOut WorkflowTaskScheduled");
    assert_int_equal(rig_event(r, 7)->workflow_task_timed_out_event_attributes->timeout_type,
                     TIMEOUT_TYPE_SCHEDULE_TO_START);
    assert_int_equal(rig_event(r, 7)->workflow_task_timed_out_event_attributes->started_event_id,
                     0);
    assert_false(rig_effect(r, TL_FX_DISPATCH_WFT)->u.wft.sticky);
    assert_int_equal(rig_info(r).wft_attempt, 1);
}

static void a_dead_sticky_queue_is_bypassed_without_a_write(void **state) /* 7 */
{
    struct history_rig *r = *state;
    make_sticky(r);
    assert_int_equal(rig_signal(r, "s", "1"), TL_OK);
    size_t rows = r->row_n;
    int64_t id = rig_info(r).wft_scheduled_id;
    assert_int_equal(rig_end(r, tl_tx_wft_unstick(rig_begin(r), id, &r->err)), TL_OK);
    assert_int_equal(r->row_n, rows);
    assert_true(tl_str_eqc(rig_effect(r, TL_FX_DISPATCH_WFT)->u.wft.task_queue, "q"));
    assert_int_equal(tl_rs_deadline_ns(r->rs), TL_NS_NEVER);
    /* Delivered by the normal queue: all of the history, and no longer sticky. */
    assert_int_equal(rig_poll_on(r, false), TL_OK);
    assert_int_equal(r->task.history_from, 1);
    assert_int_equal(rig_info(r).sticky_queue.n, 0);
    assert_int_equal(rig_fail_task(r), TL_OK);
    assert_int_equal(rig_info(r).wft_attempt, 2); /* so a failure counts */
}

static void a_sticky_task_carries_only_new_events(void **state) /* 8 */
{
    struct history_rig *r = *state;
    make_sticky(r);
    assert_int_equal(rig_signal(r, "s", "1"), TL_OK);
    rig_poll(r);
    assert_int_equal(r->task.previous_started_event_id, 3);
    assert_int_equal(r->task.history_from, 4);
    /* No sticky attributes: no longer sticky. */
    assert_int_equal(rig_complete(r, NULL), TL_OK);
    assert_int_equal(rig_info(r).sticky_queue.n, 0);
    assert_int_equal(rig_signal(r, "s", "2"), TL_OK);
    rig_poll(r);
    assert_int_equal(r->task.history_from, 1);
}

static void a_sticky_poll_is_refused_when_the_run_moved_on(void **state)
{
    struct history_rig *r = *state;
    assert_int_equal(rig_poll_on(r, true), TL_ENOTFOUND);
    assert_int_equal(r->error_kind, TL_ERR_STALE_TASK);
}

static void reset_sticky_moves_a_waiting_task(void **state)
{
    struct history_rig *r = *state;
    make_sticky(r);
    assert_int_equal(rig_signal(r, "s", "1"), TL_OK);
    assert_int_equal(rig_end(r, tl_tx_reset_sticky(rig_begin(r), &r->err)), TL_OK);
    assert_true(tl_str_eqc(rig_effect(r, TL_FX_DISPATCH_WFT)->u.wft.task_queue, "q"));
    rig_crash(r);
    assert_false(rig_info(r).wft_sticky);
    assert_int_equal(rig_poll_on(r, false), TL_OK);
}

/* --- heartbeats and inline tasks ------------------------------------------------------------- */

static tl_rc heartbeat(struct history_rig *r)
{
    TpWs__RespondWorkflowTaskCompletedRequest *req = rig_completion(r);
    rig_stick(r, req);
    req->force_create_new_workflow_task = true;
    req->return_new_workflow_task = true;
    return rig_send(r, req);
}

static void heartbeats_keep_the_original_time_and_end_after_30_minutes(void **state) /* 9 */
{
    struct history_rig *r = *state;
    rig_poll(r);
    int64_t n = 0;
    for (; r->now_ns <= RIG_START_NS + 1800 * RIG_S; n++) {
        rig_advance(r, 5 * RIG_S);
        tl_rc rc = heartbeat(r);
        if (rc != TL_OK) {
            assert_int_equal(rc, TL_ENOTFOUND);
            assert_string_equal(r->err.message, "workflow task heartbeat timeout");
            break;
        }
        assert_true(r->completed.deliver_next_inline);
        rig_poll(r);
    }
    assert_int_equal(n, 360); /* the 361st is more than 30 min after the first schedule */
    assert_int_equal(rig_event(r, (int64_t)rig_event_count(r) - 1)->event_type,
                     EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT);
    assert_int_equal(rig_last(r)->workflow_task_scheduled_event_attributes->task_queue->kind,
                     TASK_QUEUE_KIND_NORMAL);
    assert_int_equal(rig_info(r).sticky_queue.n, 0);
}

static void a_completion_delivers_the_next_task_when_there_is_one(void **state) /* 10 */
{
    struct history_rig *r = *state;
    TpWs__RespondWorkflowTaskCompletedRequest *req = rig_completion(r);
    req->return_new_workflow_task = true;
    rig_poll(r);
    assert_int_equal(rig_send(r, req), TL_OK);
    assert_false(r->completed.deliver_next_inline); /* nothing asks for one */
    assert_int_equal(rig_signal(r, "s", "1"), TL_OK);
    rig_poll(r);
    assert_int_equal(rig_signal(r, "s", "2"), TL_OK);
    struct tl_tx *tx = rig_begin(r);
    assert_int_equal(tl_tx_wft_complete(tx, &r->task.ref, req, &r->completed, &r->err), TL_OK);
    assert_true(r->completed.deliver_next_inline);
    struct tl_rs_info info = rig_info(r);
    struct tl_wft_start start = {.identity = "w", .request_id = "inline", .inline_reply = true};
    assert_int_equal(rig_end(r, tl_tx_wft_start(tx, info.wft_scheduled_id, info.wft_attempt, &start,
                                                &r->task, &r->err)),
                     TL_OK);
    assert_int_equal(rig_effect_count(r, TL_FX_DISPATCH_WFT), 0); /* matching never sees it */
    assert_int_equal(r->task.history_from, r->task.previous_started_event_id + 1);
    /* Not after a failure. */
    assert_int_equal(rig_signal(r, "s", "3"), TL_OK);
    rig_add_command(r, req, rig_cmd_complete(r));
    assert_int_equal(rig_send(r, req), TL_EINVAL);
    assert_false(r->completed.deliver_next_inline);
    assert_int_equal(rig_effect_count(r, TL_FX_DISPATCH_WFT), 1);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_start_writes_nothing),
        CASE(a_materialised_start_survives_a_restart),
        CASE(a_token_must_match_in_every_part),
        CASE(the_same_poll_gets_the_same_task),
        CASE(what_a_task_is_told_is_what_is_stored),
        CASE(completions_go_behind_other_buffered_events),
        CASE(buffered_events_survive_a_restart),
        CASE(closing_with_buffered_events_fails_the_task),
        CASE(too_many_buffered_events_fail_the_task),
        CASE(too_many_buffered_bytes_fail_the_task),
        CASE(a_lost_buffered_event_is_noticed),
        CASE(only_the_first_attempt_writes_events),
        CASE(an_event_makes_a_transient_attempt_a_first_one),
        CASE(events_during_a_transient_attempt_end_it_as_a_first_one),
        CASE(a_sticky_failure_is_no_attempt),
        CASE(a_rejected_completion_of_a_later_attempt_is_left_to_time_out),
        CASE(an_unknown_command_sequence_changes_nothing),
        CASE(a_command_that_is_not_built_fails_the_task),
        CASE(a_task_times_out_and_comes_again),
        CASE(nobody_on_the_sticky_queue_reschedules_on_the_normal_one),
        CASE(a_dead_sticky_queue_is_bypassed_without_a_write),
        CASE(a_sticky_task_carries_only_new_events),
        CASE(a_sticky_poll_is_refused_when_the_run_moved_on),
        CASE(reset_sticky_moves_a_waiting_task),
        CASE(heartbeats_keep_the_original_time_and_end_after_30_minutes),
        CASE(a_completion_delivers_the_next_task_when_there_is_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
