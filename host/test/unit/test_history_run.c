/* Goal: what a run's history says of start, signals, cancellation, termination, timers, memo and
 * search attributes, and the end of the run; what follows it.
 * Method: single operations on one run; every transaction is also recovered and compared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <tl_enums.h>

#include "proto/pb.h"
#include "test/support/history_rig.h"

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

/* --- start ----------------------------------------------------------------------------------- */

static void start_writes_started_and_a_task(void **state)
{
    struct history_rig *r = *state;
    TpWs__StartWorkflowExecutionRequest *req = rig_start_request(r);
    req->workflow_execution_timeout = rig_duration(r, 100 * RIG_S);
    req->retry_policy = tl_pb_new(&r->arena, &tp_common__retry_policy__descriptor);
    assert_int_equal(rig_start_with(r, req), TL_OK);
    assert_string_equal(rig_types(r, 1), "WorkflowExecutionStarted WorkflowTaskScheduled");
    const TpHistory__HistoryEvent *e = rig_event(r, 1);
    const TpHistory__WorkflowExecutionStartedEventAttributes *a =
        e->workflow_execution_started_event_attributes;
    assert_int_equal(rig_ns(e->event_time), RIG_START_NS);
    assert_string_equal(a->workflow_type->name, "T");
    assert_string_equal(a->task_queue->name, "q");
    assert_int_equal(a->task_queue->kind, TASK_QUEUE_KIND_NORMAL);
    assert_string_equal(a->workflow_id, "wf");
    assert_string_equal(a->first_execution_run_id, a->original_execution_run_id);
    assert_string_equal(a->continued_execution_run_id, "");
    assert_int_equal(a->attempt, 1);
    assert_int_equal(a->initiator, CONTINUE_AS_NEW_INITIATOR_UNSPECIFIED);
    assert_int_equal(rig_span(a->workflow_execution_timeout), 100 * RIG_S);
    assert_int_equal(rig_span(a->workflow_run_timeout), 100 * RIG_S); /* from the execution's */
    assert_int_equal(rig_span(a->workflow_task_timeout), 10 * RIG_S); /* default */
    assert_int_equal(rig_span(a->first_workflow_task_backoff), 0);
    assert_int_equal(rig_ns(a->workflow_execution_expiration_time), RIG_START_NS + 100 * RIG_S);
    assert_int_equal(rig_span(a->retry_policy->initial_interval), RIG_S);
    assert_int_equal(rig_span(a->retry_policy->maximum_interval), 100 * RIG_S);
    assert_true(a->retry_policy->backoff_coefficient == 2.0);
    const TpHistory__WorkflowTaskScheduledEventAttributes *w =
        rig_event(r, 2)->workflow_task_scheduled_event_attributes;
    assert_int_equal(rig_span(w->start_to_close_timeout), 10 * RIG_S);
    assert_int_equal(w->attempt, 1);
    assert_int_equal(w->task_queue->kind, TASK_QUEUE_KIND_NORMAL);
    const struct tl_effect *f = rig_effect(r, TL_FX_DISPATCH_WFT);
    assert_non_null(f);
    assert_int_equal(f->u.wft.scheduled_id, 2);
    assert_false(f->u.wft.sticky);
    assert_true(tl_str_eqc(rig_info(r).start_request_id, "start-1"));
}

static void start_refuses_what_the_server_refuses(void **state)
{
    struct history_rig *r = *state;
    char long_id[1100];
    memset(long_id, 'x', sizeof(long_id) - 1);
    long_id[sizeof(long_id) - 1] = 0;
    for (int what = 0; what < 9; what++) {
        TpWs__StartWorkflowExecutionRequest *req = rig_start_request(r);
        const char *want = NULL;
        switch (what) {
        case 0:
            req->workflow_id = (char *)(uintptr_t) "";
            want = "WorkflowId is not set";
            break;
        case 1:
            req->workflow_type = NULL;
            want = "WorkflowType is not set";
            break;
        case 2:
            req->task_queue = NULL;
            want = "taskQueue is not set";
            break;
        case 3:
            req->workflow_id = long_id;
            want = "maximum allowed length (1099/1000)";
            break;
        case 4:
            req->workflow_run_timeout = rig_duration(r, -RIG_S);
            want = "negative duration";
            break;
        case 5:
            req->retry_policy = rig_retry(r, RIG_S, 0.5, 0, 0);
            want = "BackoffCoefficient cannot be less than 1";
            break;
        case 6:
            req->retry_policy = rig_retry(r, 10 * RIG_S, 2, RIG_S, 0);
            want = "MaximumInterval cannot be less than InitialInterval";
            break;
        case 7:
            req->cron_schedule = (char *)(uintptr_t) "61 * * * *";
            want = "invalid CronSchedule.";
            break;
        default:
            r->env.limits.memo_bytes = 1;
            req->memo = rig_cmd_memo(r, "k", "1")
                            ->modify_workflow_properties_command_attributes->upserted_memo;
            want = "Memo size exceeds limit.";
            break;
        }
        assert_int_equal(rig_start_with(r, req), TL_EINVAL);
        if (!strstr(r->err.message, want)) {
            fail_msg("%s: %s", want, r->err.message);
        }
        assert_int_equal(r->row_n, 0);
    }
}

static void start_delay_holds_the_first_task_and_signals_do_not_wake_it(void **state)
{
    struct history_rig *r = *state;
    TpWs__StartWorkflowExecutionRequest *req = rig_start_request(r);
    req->workflow_start_delay = rig_duration(r, 60 * RIG_S);
    req->workflow_run_timeout = rig_duration(r, 30 * RIG_S);
    assert_int_equal(rig_start_with(r, req), TL_OK);
    assert_string_equal(rig_types(r, 1), "WorkflowExecutionStarted");
    assert_int_equal(tl_rs_deadline_ns(r->rs), RIG_START_NS + 60 * RIG_S);
    assert_int_equal(rig_signal(r, "s", "1"), TL_OK); /* semantics 23 */
    assert_int_equal(rig_effect_count(r, TL_FX_DISPATCH_WFT), 0);
    rig_crash(r);
    assert_int_equal(tl_rs_deadline_ns(r->rs), RIG_START_NS + 60 * RIG_S);
    assert_true(rig_fire(r));
    assert_string_equal(rig_types(r, 1),
                        "WorkflowExecutionStarted WorkflowExecutionSignaled WorkflowTaskScheduled");
    assert_int_equal(rig_info(r).execution_ns, RIG_START_NS + 60 * RIG_S);
    /* The run timeout counts from the end of the delay. */
    rig_run_until(r, RIG_START_NS + 90 * RIG_S);
    assert_int_equal(rig_info(r).status, WORKFLOW_EXECUTION_STATUS_TIMED_OUT);
    assert_int_equal(rig_ns(rig_last(r)->event_time), RIG_START_NS + 90 * RIG_S);
}

static void a_cancel_request_wakes_a_delayed_run(void **state)
{
    struct history_rig *r = *state;
    TpWs__StartWorkflowExecutionRequest *req = rig_start_request(r);
    req->workflow_start_delay = rig_duration(r, 60 * RIG_S);
    assert_int_equal(rig_start_with(r, req), TL_OK);
    assert_int_equal(rig_cancel(r), TL_OK);
    assert_string_equal(rig_types(r, 2), "WorkflowExecutionCancelRequested WorkflowTaskScheduled");
    rig_run_until(r, RIG_START_NS + 100 * RIG_S);
    assert_int_equal(rig_event_count(r), 3); /* the back-off schedules no second task */
}

static void signal_with_start_puts_the_signal_before_the_task(void **state)
{
    struct history_rig *r = *state;
    struct tl_start start = {.req = rig_start_request(r), .hold_first_task = true};
    struct tl_signal signal = {.name = "s", .request_id = "x"};
    struct tl_tx *tx = rig_begin(r);
    assert_int_equal(tl_tx_start(tx, &start, &r->err), TL_OK);
    assert_int_equal(rig_end(r, tl_tx_signal(tx, &signal, &r->err)), TL_OK);
    assert_int_equal(r->row_n, 1);
    assert_string_equal(rig_types(r, 1),
                        "WorkflowExecutionStarted WorkflowExecutionSignaled WorkflowTaskScheduled");
}

/* --- signals, cancellation, termination ------------------------------------------------------ */

static void signals_are_deduplicated_for_ever(void **state) /* semantics 21 */
{
    struct history_rig *r = *state;
    rig_start(r);
    assert_int_equal(rig_signal(r, "s", "same"), TL_OK);
    assert_int_equal(rig_signal(r, "s", "same"), TL_OK);
    assert_int_equal(rig_event_count(r), 3);
    rig_crash(r);
    assert_int_equal(rig_signal(r, "s", "same"), TL_OK);
    assert_int_equal(rig_event_count(r), 3);
    assert_int_equal(rig_signal(r, "s", "other"), TL_OK);
    assert_int_equal(rig_signal(r, "s", ""), TL_OK); /* no id: never the same */
    assert_int_equal(rig_signal(r, "s", ""), TL_OK);
    assert_int_equal(rig_event_count(r), 6);
    assert_string_equal(rig_event(r, 3)->workflow_execution_signaled_event_attributes->request_id,
                        "same");
}

static void the_same_signal_on_a_closed_run_still_succeeds(void **state)
{
    struct history_rig *r = *state;
    rig_start(r);
    assert_int_equal(rig_signal(r, "s", "same"), TL_OK);
    assert_int_equal(rig_terminate(r), TL_OK);
    assert_int_equal(rig_signal(r, "s", "same"), TL_OK);
    assert_int_equal(rig_signal(r, "s", "new"), TL_ENOTFOUND);
    assert_int_equal(r->error_kind, TL_ERR_NOT_FOUND);
    assert_string_equal(r->err.message, "workflow execution already completed");
}

static void too_many_signals_are_refused(void **state)
{
    struct history_rig *r = *state;
    r->env.limits.signals_per_run = 2;
    rig_start(r);
    assert_int_equal(rig_signal(r, "s", "1"), TL_OK);
    assert_int_equal(rig_signal(r, "s", "2"), TL_OK);
    assert_int_equal(rig_signal(r, "s", "3"), TL_EINVAL);
    assert_string_equal(r->err.message, "exceeded workflow execution limit for signal events");
    assert_int_equal(rig_event_count(r), 4);
}

static void cancel_is_idempotent_and_succeeds_on_a_closed_run(void **state) /* semantics 21 */
{
    struct history_rig *r = *state;
    rig_start(r);
    assert_int_equal(rig_cancel(r), TL_OK);
    assert_int_equal(rig_cancel(r), TL_OK);
    assert_int_equal(rig_event_count(r), 3);
    assert_true(rig_info(r).cancel_requested);
    assert_string_equal(rig_last(r)->workflow_execution_cancel_requested_event_attributes->cause,
                        "enough");
    assert_int_equal(rig_terminate(r), TL_OK);
    assert_int_equal(rig_cancel(r), TL_OK);
    assert_int_equal(rig_event_count(r), 4);
    assert_int_equal(rig_terminate(r), TL_ENOTFOUND);
}

static void termination_ends_a_started_task_first(void **state)
{
    struct history_rig *r = *state;
    rig_start(r);
    rig_poll(r);
    assert_int_equal(rig_signal(r, "s", "1"), TL_OK);
    assert_int_equal(rig_terminate(r), TL_OK);
    assert_string_equal(rig_types(r, 3), "WorkflowTaskStarted WorkflowTaskFailed "
                                         "WorkflowExecutionSignaled WorkflowExecutionTerminated");
    assert_int_equal(rig_event(r, 4)->workflow_task_failed_event_attributes->cause,
                     WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND);
    const struct tl_effect *f = rig_effect(r, TL_FX_CLOSED);
    assert_non_null(f);
    assert_int_equal(f->u.status, WORKFLOW_EXECUTION_STATUS_TERMINATED);
    assert_ptr_equal(f, &r->effects.items[r->effects.n - 1]);
    assert_int_equal(tl_rs_deadline_ns(r->rs), TL_NS_NEVER);
    assert_int_equal(rig_complete(r, NULL), TL_ENOTFOUND);
}

/* --- timers ---------------------------------------------------------------------------------- */

static void timers_fire_in_order_of_deadline_then_creation(void **state)
{
    struct history_rig *r = *state;
    TpWs__RespondWorkflowTaskCompletedRequest *req = rig_completion(r);
    rig_start(r);
    rig_poll(r);
    rig_add_command(r, req, rig_cmd_timer(r, "late", 3 * RIG_S));
    rig_add_command(r, req, rig_cmd_timer(r, "a", 2 * RIG_S));
    rig_add_command(r, req, rig_cmd_timer(r, "b", 2 * RIG_S));
    assert_int_equal(rig_send(r, req), TL_OK);
    assert_string_equal(rig_types(r, 4),
                        "WorkflowTaskCompleted TimerStarted TimerStarted TimerStarted");
    rig_crash(r);
    assert_true(rig_fire(r));
    assert_int_equal(r->now_ns, RIG_START_NS + 2 * RIG_S);
    assert_string_equal(rig_types(r, 8), "TimerFired WorkflowTaskScheduled TimerFired");
    assert_string_equal(rig_event(r, 8)->timer_fired_event_attributes->timer_id, "a");
    assert_int_equal(rig_event(r, 8)->timer_fired_event_attributes->started_event_id, 6);
    assert_string_equal(rig_event(r, 10)->timer_fired_event_attributes->timer_id, "b");
    assert_int_equal(tl_rs_deadline_ns(r->rs), RIG_START_NS + 3 * RIG_S);
}

static void a_fired_timer_that_the_worker_has_not_seen_can_be_cancelled(void **state)
{
    struct history_rig *r = *state;
    rig_start(r);
    rig_poll(r);
    assert_int_equal(rig_complete(r, rig_cmd_timer(r, "t", RIG_S)), TL_OK);
    assert_int_equal(rig_signal(r, "s", "1"), TL_OK);
    rig_poll(r);
    assert_true(rig_fire(r)); /* buffered */
    assert_int_equal(rig_info(r).buffered_events, 1);
    TpWs__RespondWorkflowTaskCompletedRequest *req = rig_completion(r);
    rig_add_command(r, req, rig_cmd_cancel_timer(r, "t"));
    rig_add_command(r, req, rig_cmd_complete(r));
    assert_int_equal(rig_send(r, req), TL_OK); /* nothing unhandled is left */
    assert_string_equal(rig_types(r, 9),
                        "WorkflowTaskCompleted TimerCanceled WorkflowExecutionCompleted");
    assert_int_equal(rig_event(r, 10)->timer_canceled_event_attributes->started_event_id, 5);
}

static void timer_commands_are_checked_one_after_the_other(void **state)
{
    struct history_rig *r = *state;
    TpWs__RespondWorkflowTaskCompletedRequest *req = rig_completion(r);
    rig_start(r);
    rig_poll(r);
    rig_add_command(r, req, rig_cmd_timer(r, "t", RIG_S));
    rig_add_command(r, req, rig_cmd_cancel_timer(r, "t"));
    rig_add_command(r, req, rig_cmd_timer(r, "t", RIG_S));
    rig_add_command(r, req, rig_cmd_timer(r, "t", RIG_S));
    assert_int_equal(rig_send(r, req), TL_EINVAL);
    assert_non_null(strstr(r->err.message, "StartTimerDuplicateId: "));
    assert_string_equal(rig_types(r, 3), "WorkflowTaskStarted WorkflowTaskFailed");
    assert_int_equal(rig_last(r)->workflow_task_failed_event_attributes->cause,
                     WORKFLOW_TASK_FAILED_CAUSE_START_TIMER_DUPLICATE_ID);
    req->n_commands = 3;
    rig_poll(r);
    assert_int_equal(rig_send(r, req), TL_OK);
    assert_int_equal(rig_info(r).pending_timers, 1);
    assert_int_equal(rig_signal(r, "s", "1"), TL_OK);
    rig_poll(r);
    assert_int_equal(rig_complete(r, rig_cmd_cancel_timer(r, "nobody")), TL_EINVAL);
    assert_non_null(strstr(r->err.message, "BadCancelTimerAttributes: "));
}

/* --- memo, search attributes, markers -------------------------------------------------------- */

static void memo_and_attributes_are_merged_and_null_deletes(void **state)
{
    struct history_rig *r = *state;
    TpWs__RespondWorkflowTaskCompletedRequest *req = rig_completion(r);
    TpCommon__Memo *memo = NULL;
    rig_start(r);
    rig_poll(r);
    rig_add_command(r, req, rig_cmd_memo(r, "a", "1"));
    rig_add_command(r, req, rig_cmd_memo(r, "b", "2"));
    rig_add_command(r, req, rig_cmd_memo(r, "a", "3"));
    rig_add_command(r, req, rig_cmd_memo(r, "b", NULL));
    rig_add_command(r, req, rig_cmd_attribute(r, "Key", "\"v\""));
    rig_add_command(r, req, rig_cmd_marker(r, "core_patch"));
    int64_t before = rig_info(r).visibility_version;
    assert_int_equal(rig_send(r, req), TL_OK);
    assert_true(rig_info(r).visibility_version > before);
    assert_non_null(rig_effect(r, TL_FX_VISIBILITY_CHANGED));
    assert_int_equal(
        tl_pb_decode(&tp_common__memo__descriptor, rig_info(r).memo, &r->arena, &memo, NULL),
        TL_OK);
    assert_int_equal(memo->n_fields, 1);
    assert_string_equal(memo->fields[0]->key, "a");
    assert_true(tl_str_eqc(tl_pb_str(memo->fields[0]->value->data), "3"));
    assert_true(rig_info(r).search_attributes.n > 0);
    assert_string_equal(rig_types(r, 5), "WorkflowPropertiesModified WorkflowPropertiesModified "
                                         "WorkflowPropertiesModified WorkflowPropertiesModified "
                                         "UpsertWorkflowSearchAttributes MarkerRecorded");
    const TpHistory__MarkerRecordedEventAttributes *m =
        rig_last(r)->marker_recorded_event_attributes;
    assert_string_equal(m->marker_name, "core_patch");
    assert_int_equal(m->n_details, 1);
    assert_int_equal(m->workflow_task_completed_event_id, 4);
}

/* --- the end and what follows ---------------------------------------------------------------- */

static void completion_closes_the_run(void **state)
{
    struct history_rig *r = *state;
    rig_start(r);
    rig_poll(r);
    rig_advance(r, RIG_S);
    assert_int_equal(rig_complete(r, rig_cmd_complete(r)), TL_OK);
    assert_string_equal(rig_types(r, 3),
                        "WorkflowTaskStarted WorkflowTaskCompleted WorkflowExecutionCompleted");
    assert_int_equal(rig_info(r).status, WORKFLOW_EXECUTION_STATUS_COMPLETED);
    assert_int_equal(rig_info(r).close_event_id, 5);
    assert_int_equal(rig_info(r).close_ns, RIG_START_NS + RIG_S);
    assert_int_equal(
        rig_last(r)
            ->workflow_execution_completed_event_attributes->workflow_task_completed_event_id,
        4);
    assert_string_equal(
        rig_last(r)->workflow_execution_completed_event_attributes->new_execution_run_id, "");
    assert_null(rig_effect(r, TL_FX_NEW_RUN));
}

static void a_failed_run_is_retried_in_a_new_run(void **state) /* semantics 22 */
{
    struct history_rig *r = *state;
    TpWs__StartWorkflowExecutionRequest *req = rig_start_request(r);
    req->retry_policy = rig_retry(r, 4 * RIG_S, 3, 100 * RIG_S, 3);
    req->workflow_execution_timeout = rig_duration(r, 1000 * RIG_S);
    assert_int_equal(rig_start_with(r, req), TL_OK);
    rig_poll(r);
    assert_int_equal(rig_complete(r, rig_cmd_fail(r, "Oops")), TL_OK);
    const TpHistory__WorkflowExecutionFailedEventAttributes *a =
        rig_last(r)->workflow_execution_failed_event_attributes;
    assert_int_equal(a->retry_state, RETRY_STATE_IN_PROGRESS);
    assert_string_equal(a->new_execution_run_id, "00000000-0000-4000-8000-000000000002");
    const struct tl_effect *f = rig_effect(r, TL_FX_NEW_RUN);
    assert_non_null(f);
    assert_int_equal(f->u.new_run.run_number, 2);
    const struct tl_start *s = f->u.new_run.start;
    assert_int_equal(s->initiator, CONTINUE_AS_NEW_INITIATOR_RETRY);
    assert_int_equal(s->attempt, 2);
    assert_int_equal(s->first_backoff_ns, 4 * RIG_S);
    assert_int_equal(s->execution_expiration_ns, RIG_START_NS + 1000 * RIG_S);
    assert_string_equal(s->req->continued_failure->message, "it broke");
    /* The next run: same chain, its own start, waits for its first task. */
    struct history_rig next;
    history_rig_open(&next);
    next.now_ns = r->now_ns;
    assert_int_equal(rig_end(&next, tl_tx_start(rig_begin(&next), s, &next.err)), TL_OK);
    const TpHistory__WorkflowExecutionStartedEventAttributes *b =
        rig_event(&next, 1)->workflow_execution_started_event_attributes;
    assert_string_equal(b->first_execution_run_id, "00000000-0000-4000-8000-000000000001");
    assert_string_equal(b->continued_execution_run_id, "00000000-0000-4000-8000-000000000001");
    assert_int_equal(b->attempt, 2);
    assert_int_equal(b->initiator, CONTINUE_AS_NEW_INITIATOR_RETRY);
    assert_int_equal(rig_span(b->first_workflow_task_backoff), 4 * RIG_S);
    assert_int_equal(rig_ns(b->workflow_execution_expiration_time), RIG_START_NS + 1000 * RIG_S);
    assert_string_equal(b->continued_failure->message, "it broke");
    assert_true(rig_fire(&next));
    rig_poll(&next);
    assert_int_equal(rig_complete(&next, rig_cmd_fail(&next, "Oops")), TL_OK);
    assert_int_equal(rig_effect(&next, TL_FX_NEW_RUN)->u.new_run.start->first_backoff_ns,
                     12 * RIG_S);
    assert_true(tl_str_eqc(rig_effect(&next, TL_FX_NEW_RUN)->u.new_run.start->first_run_id,
                           "00000000-0000-4000-8000-000000000001"));
    history_rig_close(&next);
}

static void a_non_retryable_failure_ends_the_chain(void **state)
{
    struct history_rig *r = *state;
    TpWs__StartWorkflowExecutionRequest *req = rig_start_request(r);
    char *types[] = {(char *)(uintptr_t) "Fatal"};
    req->retry_policy = rig_retry(r, RIG_S, 2, 0, 0);
    req->retry_policy->n_non_retryable_error_types = 1;
    req->retry_policy->non_retryable_error_types = types;
    assert_int_equal(rig_start_with(r, req), TL_OK);
    rig_poll(r);
    assert_int_equal(rig_complete(r, rig_cmd_fail(r, "Fatal")), TL_OK);
    assert_int_equal(rig_last(r)->workflow_execution_failed_event_attributes->retry_state,
                     RETRY_STATE_NON_RETRYABLE_FAILURE);
    assert_null(rig_effect(r, TL_FX_NEW_RUN));
}

static void without_a_policy_a_failed_run_stays_failed(void **state)
{
    struct history_rig *r = *state;
    rig_start(r);
    rig_poll(r);
    assert_int_equal(rig_complete(r, rig_cmd_fail(r, "Oops")), TL_OK);
    assert_int_equal(rig_last(r)->workflow_execution_failed_event_attributes->retry_state,
                     RETRY_STATE_RETRY_POLICY_NOT_SET);
    assert_int_equal(rig_info(r).status, WORKFLOW_EXECUTION_STATUS_FAILED);
}

static void a_run_timeout_is_retried_but_the_execution_timeout_is_not(void **state)
{
    struct history_rig *r = *state;
    TpWs__StartWorkflowExecutionRequest *req = rig_start_request(r);
    req->retry_policy = rig_retry(r, RIG_S, 2, 0, 0);
    req->workflow_run_timeout = rig_duration(r, 10 * RIG_S);
    req->workflow_execution_timeout = rig_duration(r, 25 * RIG_S);
    assert_int_equal(rig_start_with(r, req), TL_OK);
    rig_run_until(r, RIG_START_NS + 10 * RIG_S);
    assert_int_equal(rig_last(r)->event_type, EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT);
    assert_int_equal(rig_last(r)->workflow_execution_timed_out_event_attributes->retry_state,
                     RETRY_STATE_IN_PROGRESS);
    assert_non_null(rig_effect(r, TL_FX_NEW_RUN));
    /* 10 s + 1 s + 10 s + 2 s: the third run has 2 s left and is not retried. */
    struct history_rig next;
    const struct tl_start *s = rig_effect(r, TL_FX_NEW_RUN)->u.new_run.start;
    history_rig_open(&next);
    next.now_ns = RIG_START_NS + 23 * RIG_S;
    assert_int_equal(rig_end(&next, tl_tx_start(rig_begin(&next), s, &next.err)), TL_OK);
    rig_run_until(&next, RIG_START_NS + 25 * RIG_S);
    assert_int_equal(rig_info(&next).status, WORKFLOW_EXECUTION_STATUS_TIMED_OUT);
    assert_int_equal(rig_last(&next)->workflow_execution_timed_out_event_attributes->retry_state,
                     RETRY_STATE_TIMEOUT);
    assert_null(rig_effect(&next, TL_FX_NEW_RUN));
    history_rig_close(&next);
}

static void continue_as_new_starts_the_next_run(void **state) /* semantics 22 */
{
    struct history_rig *r = *state;
    TpWs__StartWorkflowExecutionRequest *req = rig_start_request(r);
    req->workflow_run_timeout = rig_duration(r, 50 * RIG_S);
    assert_int_equal(rig_start_with(r, req), TL_OK);
    rig_poll(r);
    rig_advance(r, 5 * RIG_S);
    assert_int_equal(rig_complete(r, rig_cmd_continue(r)), TL_OK);
    const TpHistory__WorkflowExecutionContinuedAsNewEventAttributes *a =
        rig_last(r)->workflow_execution_continued_as_new_event_attributes;
    assert_string_equal(a->workflow_type->name, "T");
    assert_string_equal(a->task_queue->name, "q");
    assert_int_equal(rig_span(a->workflow_run_timeout), 50 * RIG_S);
    assert_int_equal(a->initiator, CONTINUE_AS_NEW_INITIATOR_WORKFLOW);
    assert_string_equal(a->new_execution_run_id, "00000000-0000-4000-8000-000000000002");
    const struct tl_start *s = rig_effect(r, TL_FX_NEW_RUN)->u.new_run.start;
    assert_int_equal(s->attempt, 1);
    assert_int_equal(s->first_backoff_ns, 0);
    assert_true(tl_str_eqc(tl_pb_str(s->req->input->payloads[0]->data), "2"));
    assert_int_equal(rig_info(r).status, WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW);
    assert_true(tl_str_eqc(rig_info(r).new_run_id, a->new_execution_run_id));
}

static void runs_of_a_chain_keep_their_distance(void **state)
{
    struct history_rig *r = *state;
    rig_start(r);
    rig_poll(r);
    rig_advance(r, 300 * RIG_MS);
    assert_int_equal(rig_complete(r, rig_cmd_continue(r)), TL_OK);
    assert_int_equal(rig_effect(r, TL_FX_NEW_RUN)->u.new_run.start->first_backoff_ns, 700 * RIG_MS);
}

static void a_cron_run_is_followed_at_the_next_time(void **state)
{
    struct history_rig *r = *state;
    TpWs__StartWorkflowExecutionRequest *req = rig_start_request(r);
    req->cron_schedule = (char *)(uintptr_t) "*/5 * * * *";
    assert_int_equal(rig_start_with(r, req), TL_OK);
    /* 2023-11-14 22:13:20 UTC: the next fifth minute is 22:15:00. */
    const TpHistory__WorkflowExecutionStartedEventAttributes *a =
        rig_event(r, 1)->workflow_execution_started_event_attributes;
    assert_int_equal(a->initiator, CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE);
    assert_int_equal(rig_span(a->first_workflow_task_backoff), 100 * RIG_S);
    assert_true(rig_fire(r));
    rig_poll(r);
    rig_advance(r, 12 * RIG_S);
    assert_int_equal(rig_complete(r, rig_cmd_complete(r)), TL_OK);
    const struct tl_start *s = rig_effect(r, TL_FX_NEW_RUN)->u.new_run.start;
    assert_int_equal(s->initiator, CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE);
    assert_int_equal(s->first_backoff_ns, 288 * RIG_S); /* 22:20:00 */
    assert_true(
        tl_str_eqc(tl_pb_str(s->req->last_completion_result->payloads[0]->data), "\"done\""));
    assert_null(s->req->continued_failure);
    assert_int_equal(s->attempt, 1);
}

static void a_task_too_large_for_a_request_ends_the_run(void **state)
{
    struct history_rig *r = *state;
    rig_start(r);
    rig_poll(r);
    assert_int_equal(rig_signal(r, "s", "1"), TL_OK);
    assert_int_equal(rig_fail_task_for(r, WORKFLOW_TASK_FAILED_CAUSE_GRPC_MESSAGE_TOO_LARGE),
                     TL_OK);
    assert_string_equal(rig_types(r, 3), "WorkflowTaskStarted WorkflowTaskFailed "
                                         "WorkflowExecutionSignaled WorkflowExecutionTerminated");
    assert_int_equal(rig_event(r, 4)->workflow_task_failed_event_attributes->cause,
                     WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND);
    const TpHistory__WorkflowExecutionTerminatedEventAttributes *a =
        rig_last(r)->workflow_execution_terminated_event_attributes;
    assert_string_equal(a->reason, "GrpcMessageTooLarge");
    assert_string_equal(a->identity, "history-service");
}

static void a_history_that_grows_too_long_is_terminated(void **state)
{
    struct history_rig *r = *state;
    r->env.limits.history_count = 5;
    rig_start(r);
    assert_int_equal(rig_signal(r, "s", "1"), TL_OK);
    assert_int_equal(rig_signal(r, "s", "2"), TL_OK);
    assert_int_equal(rig_signal(r, "s", "3"), TL_OK);
    assert_int_equal(rig_signal(r, "s", "4"), TL_OK);
    assert_int_equal(rig_info(r).status, WORKFLOW_EXECUTION_STATUS_TERMINATED);
    const TpHistory__WorkflowExecutionTerminatedEventAttributes *a =
        rig_last(r)->workflow_execution_terminated_event_attributes;
    assert_string_equal(a->reason, "Workflow history count exceeds limit.");
    assert_string_equal(a->identity, "history-service");
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(start_writes_started_and_a_task),
        CASE(start_refuses_what_the_server_refuses),
        CASE(start_delay_holds_the_first_task_and_signals_do_not_wake_it),
        CASE(a_cancel_request_wakes_a_delayed_run),
        CASE(signal_with_start_puts_the_signal_before_the_task),
        CASE(signals_are_deduplicated_for_ever),
        CASE(the_same_signal_on_a_closed_run_still_succeeds),
        CASE(too_many_signals_are_refused),
        CASE(cancel_is_idempotent_and_succeeds_on_a_closed_run),
        CASE(termination_ends_a_started_task_first),
        CASE(timers_fire_in_order_of_deadline_then_creation),
        CASE(a_fired_timer_that_the_worker_has_not_seen_can_be_cancelled),
        CASE(timer_commands_are_checked_one_after_the_other),
        CASE(memo_and_attributes_are_merged_and_null_deletes),
        CASE(completion_closes_the_run),
        CASE(a_failed_run_is_retried_in_a_new_run),
        CASE(a_non_retryable_failure_ends_the_chain),
        CASE(without_a_policy_a_failed_run_stays_failed),
        CASE(a_run_timeout_is_retried_but_the_execution_timeout_is_not),
        CASE(continue_as_new_starts_the_next_run),
        CASE(runs_of_a_chain_keep_their_distance),
        CASE(a_cron_run_is_followed_at_the_next_time),
        CASE(a_task_too_large_for_a_request_ends_the_run),
        CASE(a_history_that_grows_too_long_is_terminated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
