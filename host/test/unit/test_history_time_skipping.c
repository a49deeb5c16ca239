/* Goal: time skipping of a run: when it jumps and where to, what holds it, how it ends, what it hands on,
 * and that all of it survives a restart.
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

#define MINUTE (60 * RIG_S)
#define HOUR (60 * MINUTE)
#define SKIPPED "WorkflowExecutionTimeSkippingTransitioned"

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

static TpCommon__TimeSkippingConfig *config(struct history_rig *r, int32_t max, int64_t ff_ns)
{
    TpCommon__TimeSkippingConfig *c =
        TL_PB_NEW(&r->arena, TpCommon__TimeSkippingConfig, tp_common__time_skipping_config);
    c->enabled = true;
    c->max_session_skip_count = max;
    if (ff_ns) {
        c->fast_forward_config =
            TL_PB_NEW(&r->arena, TpCommon__FastForwardConfig, tp_common__fast_forward_config);
        c->fast_forward_config->id = (char *)(uintptr_t) "ff";
        c->fast_forward_config->duration = rig_duration(r, ff_ns);
    }
    return c;
}

static void start(struct history_rig *r, TpCommon__TimeSkippingConfig *c)
{
    TpWs__StartWorkflowExecutionRequest *req = rig_start_request(r);
    req->time_skipping_config = c;
    assert_int_equal(rig_start_with(r, req), TL_OK);
}

/* One workflow task with this command. */
static void task(struct history_rig *r, TpCommand__Command *c)
{
    rig_poll(r);
    assert_int_equal(rig_complete(r, c), TL_OK);
}

static const TpHistory__WorkflowExecutionTimeSkippingTransitionedEventAttributes *
transition(struct history_rig *r)
{
    const TpHistory__HistoryEvent *e = rig_last(r);
    assert_int_equal((int)e->event_type, EVENT_TYPE_WORKFLOW_EXECUTION_TIME_SKIPPING_TRANSITIONED);
    return e->workflow_execution_time_skipping_transitioned_event_attributes;
}

static TpCommon__TimeSkippingInfo *info(struct history_rig *r)
{
    TpWs__DescribeWorkflowExecutionResponse d = TP_WS__DESCRIBE_WORKFLOW_EXECUTION_RESPONSE__INIT;
    assert_int_equal(tl_rs_describe(r->rs, r->now_ns, &r->arena, &d, &r->err), TL_OK);
    return d.workflow_extended_info->time_skipping_info;
}

static tl_rc change(struct history_rig *r, TpCommon__TimeSkippingConfig *c)
{
    TpWorkflow__WorkflowExecutionOptions o = TP_WORKFLOW__WORKFLOW_EXECUTION_OPTIONS__INIT, merged;
    o.time_skipping_config = c;
    struct tl_options_change x = {.options = &o, .time_skipping = true, .identity = "ann"};
    return rig_end(r, tl_tx_change_options(rig_begin(r), &x, &merged, &r->err));
}

/* --- the jump -------------------------------------------------------------------------------- */

static void an_idle_run_jumps_to_its_timer(void **state)
{
    struct history_rig *r = *state;
    start(r, config(r, 200, 0));
    int64_t began = r->now_ns;
    task(r, rig_cmd_timer(r, "t", HOUR));
    assert_string_equal(rig_types(r, 4), "WorkflowTaskCompleted TimerStarted " SKIPPED);
    assert_int_equal(rig_ns(transition(r)->target_time), began + HOUR);
    assert_int_equal(rig_ns(transition(r)->wall_clock_time), began);
    assert_false(transition(r)->disabled_after_fast_forward);
    assert_true(rig_last(r)->worker_may_ignore);
    assert_int_equal(rig_ns(rig_last(r)->event_time), began);
    assert_int_equal(tl_rs_deadline_ns(r->rs), began);
    rig_crash(r);
    assert_int_equal(tl_rs_deadline_ns(r->rs), began);
    assert_true(rig_fire(r));
    assert_int_equal(r->now_ns, began);
    assert_string_equal(rig_types(r, 7), "TimerFired WorkflowTaskScheduled");
    assert_int_equal(rig_ns(rig_last(r)->event_time), began + HOUR);
    assert_int_equal(rig_info(r).skipped_ns, HOUR);
    rig_advance(r, RIG_S);
    task(r, rig_cmd_complete(r));
    assert_int_equal(rig_info(r).close_ns, began + HOUR + RIG_S);
    assert_int_equal(rig_ns(info(r)->current_time), began + HOUR + RIG_S);
    assert_int_equal(info(r)->current_session_skip_count, 1);
}

static void a_run_without_configuration_waits(void **state)
{
    struct history_rig *r = *state;
    rig_start(r);
    task(r, rig_cmd_timer(r, "t", HOUR));
    assert_string_equal(rig_types(r, 4), "WorkflowTaskCompleted TimerStarted");
    assert_int_equal(tl_rs_deadline_ns(r->rs), r->now_ns + HOUR);
    assert_null(info(r));
}

static void the_nearest_timer_comes_first(void **state)
{
    struct history_rig *r = *state;
    start(r, config(r, 200, 0));
    int64_t began = r->now_ns;
    rig_poll(r);
    TpWs__RespondWorkflowTaskCompletedRequest *req = rig_completion(r);
    rig_add_command(r, req, rig_cmd_timer(r, "far", 3 * HOUR));
    rig_add_command(r, req, rig_cmd_timer(r, "near", HOUR));
    assert_int_equal(rig_send(r, req), TL_OK);
    assert_int_equal(rig_ns(transition(r)->target_time), began + HOUR);
    assert_true(rig_fire(r));
    task(r, NULL);
    assert_int_equal(rig_ns(transition(r)->target_time), began + 3 * HOUR);
    assert_true(rig_fire(r));
    task(r, rig_cmd_complete(r));
    assert_int_equal(r->now_ns, began);
    assert_int_equal(rig_info(r).skipped_ns, 3 * HOUR);
}

static void an_activity_holds_time_but_its_backoff_does_not(void **state)
{
    struct history_rig *r = *state;
    start(r, config(r, 200, 0));
    int64_t began = r->now_ns;
    TpCommand__Command *c = rig_cmd_activity(r, "a");
    c->schedule_activity_task_command_attributes->retry_policy =
        rig_retry(r, MINUTE, 2.0, 10 * HOUR, 3);
    task(r, c);
    assert_string_equal(rig_types(r, 4), "WorkflowTaskCompleted ActivityTaskScheduled");
    assert_int_equal(rig_poll_activity(r, 5), TL_OK);
    assert_int_equal(rig_activity_fail(r, "Oops", false, -1), TL_OK);
    assert_string_equal(rig_types(r, 6), SKIPPED);
    assert_int_equal(rig_ns(transition(r)->target_time), began + MINUTE);
    assert_true(rig_fire(r)); /* the second attempt is offered */
    assert_int_equal(r->now_ns, began);
    assert_int_equal(rig_effect(r, TL_FX_DISPATCH_ACTIVITY)->u.activity.since_ns, began);
    assert_int_equal(rig_poll_activity(r, 5), TL_OK);
    assert_int_equal(rig_event_count(r), 6);
    assert_int_equal(rig_activity_complete(r), TL_OK);
    assert_string_equal(rig_types(r, 7),
                        "ActivityTaskStarted ActivityTaskCompleted WorkflowTaskScheduled");
}

static void a_start_delay_is_skipped(void **state)
{
    struct history_rig *r = *state;
    TpWs__StartWorkflowExecutionRequest *req = rig_start_request(r);
    req->time_skipping_config = config(r, 200, 0);
    req->workflow_start_delay = rig_duration(r, HOUR);
    req->workflow_run_timeout = rig_duration(r, MINUTE);
    assert_int_equal(rig_start_with(r, req), TL_OK);
    assert_string_equal(rig_types(r, 1), "WorkflowExecutionStarted " SKIPPED);
    assert_int_equal(rig_ns(transition(r)->target_time), r->now_ns + HOUR);
    assert_true(rig_fire(r));
    assert_string_equal(rig_types(r, 3), "WorkflowTaskScheduled");
    task(r, NULL); /* waits for nothing but its timeout */
    assert_int_equal(rig_ns(transition(r)->target_time), RIG_START_NS + HOUR + MINUTE);
    assert_true(rig_fire(r));
    assert_string_equal(rig_types(r, 7), "WorkflowExecutionTimedOut");
    assert_int_equal(r->now_ns, RIG_START_NS);
}

static void a_run_that_waits_for_nothing_stays(void **state)
{
    struct history_rig *r = *state;
    start(r, config(r, 200, 0));
    task(r, NULL);
    assert_string_equal(rig_types(r, 4), "WorkflowTaskCompleted");
    assert_int_equal(tl_rs_deadline_ns(r->rs), TL_NS_NEVER);
}

static void a_paused_run_stays(void **state)
{
    struct history_rig *r = *state;
    const struct tl_pause_request p = {"ann", "why", "p"};
    start(r, config(r, 200, 0));
    rig_poll(r);
    assert_int_equal(rig_end(r, tl_tx_pause(rig_begin(r), &p, &r->err)), TL_OK);
    assert_int_equal(rig_complete(r, rig_cmd_timer(r, "t", HOUR)), TL_OK);
    assert_string_equal(rig_types(r, 4),
                        "WorkflowTaskCompleted TimerStarted WorkflowExecutionPaused");
    assert_int_equal(rig_info(r).skipped_ns, 0);
}

/* --- bounds ---------------------------------------------------------------------------------- */

static void a_session_ends_after_so_many_jumps(void **state)
{
    struct history_rig *r = *state;
    start(r, config(r, 2, 0));
    for (int i = 0; i < 2; i++) {
        task(r, rig_cmd_timer(r, i ? "1" : "0", HOUR));
        assert_true(rig_fire(r));
    }
    assert_int_equal(info(r)->current_session_skip_count, 2);
    assert_false(info(r)->effective_config->enabled);
    task(r, rig_cmd_timer(r, "2", HOUR));
    assert_int_equal((int)rig_last(r)->event_type, EVENT_TYPE_TIMER_STARTED);
    assert_int_equal(tl_rs_deadline_ns(r->rs), RIG_START_NS + HOUR);
    assert_int_equal(change(r, config(r, 2, 0)), TL_OK); /* another session */
    assert_int_equal(rig_ns(transition(r)->target_time), RIG_START_NS + 3 * HOUR);
}

static void a_fast_forward_goes_so_far_and_ends(void **state)
{
    struct history_rig *r = *state;
    start(r, config(r, 200, 90 * MINUTE));
    task(r, rig_cmd_timer(r, "1", HOUR));
    assert_int_equal(rig_ns(transition(r)->target_time), RIG_START_NS + HOUR);
    assert_true(rig_fire(r));
    task(r, rig_cmd_timer(r, "2", HOUR));
    assert_int_equal(rig_ns(transition(r)->target_time), RIG_START_NS + 90 * MINUTE);
    assert_true(transition(r)->disabled_after_fast_forward);
    const TpCommon__TimeSkippingInfo *i = info(r);
    assert_false(i->effective_config->enabled);
    assert_string_equal(i->effective_config->fast_forward_config->id, "ff");
    assert_true(i->fast_forward_info->has_completed);
    assert_int_equal(rig_ns(i->fast_forward_info->target_time), RIG_START_NS + 90 * MINUTE);
    rig_crash(r);
    assert_int_equal(tl_rs_deadline_ns(r->rs), RIG_START_NS + 30 * MINUTE); /* in real time */
    assert_true(rig_fire(r));
    assert_int_equal(rig_ns(rig_last(r)->event_time), RIG_START_NS + 2 * HOUR);
}

static void a_fast_forward_ends_in_real_time_while_work_is_under_way(void **state)
{
    struct history_rig *r = *state;
    start(r, config(r, 200, MINUTE));
    TpCommand__Command *c = rig_cmd_activity(r, "a");
    c->schedule_activity_task_command_attributes->start_to_close_timeout = rig_duration(r, HOUR);
    task(r, c);
    assert_int_equal(rig_poll_activity(r, 5), TL_OK);
    assert_int_equal(tl_rs_deadline_ns(r->rs), RIG_START_NS + MINUTE);
    assert_true(rig_fire(r));
    assert_string_equal(rig_types(r, 6), SKIPPED);
    assert_null(transition(r)->target_time);
    assert_true(transition(r)->disabled_after_fast_forward);
    assert_int_equal(rig_info(r).skipped_ns, 0);
    assert_int_equal(tl_rs_deadline_ns(r->rs), RIG_START_NS + HOUR);
}

static void its_end_waits_for_the_task_that_is_started(void **state)
{
    struct history_rig *r = *state;
    start(r, config(r, 200, RIG_S));
    rig_poll(r);
    rig_advance(r, RIG_S);
    assert_true(rig_fire(r));
    assert_int_equal(rig_info(r).buffered_events, 1);
    assert_true(info(r)->fast_forward_info->has_completed);
    rig_crash(r);
    assert_true(info(r)->fast_forward_info->has_completed);
    assert_int_equal(rig_complete(r, rig_cmd_timer(r, "t", HOUR)), TL_OK);
    assert_string_equal(rig_types(r, 4),
                        "WorkflowTaskCompleted TimerStarted " SKIPPED " WorkflowTaskScheduled");
    assert_int_equal(info(r)->current_session_skip_count, 1);
}

/* --- options --------------------------------------------------------------------------------- */

static void it_is_switched_on_and_off_while_the_run_waits(void **state)
{
    struct history_rig *r = *state;
    rig_start(r);
    task(r, rig_cmd_timer(r, "t", HOUR));
    assert_int_equal(change(r, NULL), TL_OK); /* there is none */
    assert_int_equal(rig_event_count(r), 5);
    assert_int_equal(change(r, config(r, 9, 20 * MINUTE)), TL_OK);
    assert_string_equal(rig_types(r, 6), "WorkflowExecutionOptionsUpdated " SKIPPED);
    const TpHistory__WorkflowExecutionOptionsUpdatedEventAttributes *a =
        rig_event(r, 6)->workflow_execution_options_updated_event_attributes;
    assert_true(a->time_skipping_config_updated);
    assert_true(a->unset_versioning_override);
    assert_string_equal(a->identity, "ann");
    assert_int_equal(rig_info(r).skipped_ns, 20 * MINUTE);
    assert_int_equal(change(r, config(r, 9, 20 * MINUTE)), TL_OK); /* the same goes on from here */
    assert_int_equal(rig_info(r).skipped_ns, 40 * MINUTE);
    assert_int_equal(info(r)->current_session_skip_count, 1);
    assert_int_equal(change(r, NULL), TL_OK);
    assert_null(info(r)->effective_config);
    assert_null(info(r)->fast_forward_info);
    assert_int_equal(tl_rs_deadline_ns(r->rs), RIG_START_NS + 20 * MINUTE);
    assert_int_equal(rig_terminate(r), TL_OK);
    assert_int_equal(change(r, config(r, 9, 0)), TL_ENOTFOUND);
}

static void a_change_waits_for_the_task_that_is_started(void **state)
{
    struct history_rig *r = *state;
    const struct tl_attach attach = {.request_id = "again"};
    rig_start(r);
    rig_poll(r); /* its worker was told that Started is event 3 */
    assert_int_equal(change(r, config(r, 9, 0)), TL_OK);
    assert_int_equal(rig_end(r, tl_tx_attach(rig_begin(r), &attach, &r->err)), TL_OK);
    assert_true(info(r)->effective_config->enabled);
    assert_true(tl_rs_attached(r->rs, tl_str("again")));
    rig_crash(r);
    assert_true(info(r)->effective_config->enabled);
    assert_true(tl_rs_attached(r->rs, tl_str("again")));
    assert_int_equal(rig_complete(r, rig_cmd_timer(r, "t", HOUR)), TL_OK);
    assert_string_equal(rig_types(r, 3), "WorkflowTaskStarted WorkflowTaskCompleted TimerStarted "
                                         "WorkflowExecutionOptionsUpdated "
                                         "WorkflowExecutionOptionsUpdated WorkflowTaskScheduled");
}

static void masks_name_whole_options(void **state)
{
    struct history_rig *r = *state;
    struct tl_options_change x;
    char *paths[] = {(char *)(uintptr_t) "time_skipping_config.enabled"};
    Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
    assert_int_equal(tl_options_change_read(&mask, NULL, "", &x, &r->err), TL_EINVAL);
    mask.n_paths = 1;
    mask.paths = paths;
    assert_int_equal(tl_options_change_read(&mask, NULL, "", &x, &r->err), TL_EINVAL);
    assert_non_null(strstr(r->err.message, "partial update"));
    paths[0] = (char *)(uintptr_t) "priority";
    assert_int_equal(tl_options_change_read(&mask, NULL, "", &x, &r->err), TL_EINVAL);
    assert_non_null(strstr(r->err.message, "\"priority\""));
    paths[0] = (char *)(uintptr_t) "timeSkippingConfig";
    assert_int_equal(tl_options_change_read(&mask, NULL, "", &x, &r->err), TL_OK);
    assert_true(x.time_skipping && !x.versioning_override);
}

/* --- what it hands on ------------------------------------------------------------------------ */

static void the_next_run_goes_on_with_clock_and_fast_forward(void **state)
{
    struct history_rig *r = *state;
    static struct history_rig next;
    start(r, config(r, 200, 90 * MINUTE));
    task(r, rig_cmd_timer(r, "t", HOUR));
    assert_true(rig_fire(r));
    task(r, rig_cmd_continue(r));
    const struct tl_start *s = rig_effect(r, TL_FX_NEW_RUN)->u.new_run.start;
    assert_int_equal(rig_span(s->skipped->initial_skipped_duration), HOUR);
    assert_int_equal(rig_ns(s->skipped->fast_forward_target_time), RIG_START_NS + 90 * MINUTE);
    assert_int_equal(s->skipped->initial_skip_count, 1);
    assert_true(s->req->time_skipping_config->enabled);
    history_rig_open(&next);
    assert_int_equal(rig_end(&next, tl_tx_start(rig_begin(&next), s, &next.err)), TL_OK);
    assert_int_equal(rig_ns(rig_event(&next, 1)->event_time), RIG_START_NS + HOUR);
    assert_int_equal(rig_info(&next).start_ns, RIG_START_NS + HOUR);
    if (!rig_info(&next).wft_pending) { /* runs of a chain begin a second apart */
        assert_true(rig_fire(&next));
    }
    task(&next, rig_cmd_timer(&next, "t", HOUR));
    assert_int_equal(rig_ns(transition(&next)->target_time), RIG_START_NS + 90 * MINUTE);
    assert_true(transition(&next)->disabled_after_fast_forward);
    rig_crash(&next);
    assert_true(rig_fire(&next));
    task(&next, rig_cmd_continue(&next));
    s = rig_effect(&next, TL_FX_NEW_RUN)->u.new_run.start;
    assert_false(s->req->time_skipping_config->enabled); /* a poll still finds it completed */
    assert_non_null(s->skipped->fast_forward_target_time);
    history_rig_close(&next);
}

static TpCommand__Command *child_command(struct history_rig *r)
{
    TpCommand__Command *c = TL_PB_NEW(&r->arena, TpCommand__Command, tp_command__command);
    TpCommand__StartChildWorkflowExecutionCommandAttributes *a =
        TL_PB_NEW(&r->arena, TpCommand__StartChildWorkflowExecutionCommandAttributes,
                  tp_command__start_child_workflow_execution_command_attributes);
    a->workflow_id = (char *)(uintptr_t) "child";
    a->workflow_type = TL_PB_NEW(&r->arena, TpCommon__WorkflowType, tp_common__workflow_type);
    a->workflow_type->name = (char *)(uintptr_t) "C";
    c->command_type = (TpEnums__CommandType)COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION;
    c->attributes_case =
        TP_COMMAND__COMMAND__ATTRIBUTES_START_CHILD_WORKFLOW_EXECUTION_COMMAND_ATTRIBUTES;
    c->start_child_workflow_execution_command_attributes = a;
    return c;
}

/* What the child of a run that has skipped an hour begins with. */
static struct tl_child_request child_of(struct history_rig *r, bool no_propagation)
{
    struct tl_child_request out;
    TpCommon__TimeSkippingConfig *c = config(r, 7, 2 * HOUR);
    c->disable_propagation = no_propagation;
    start(r, c);
    task(r, rig_cmd_timer(r, "t", HOUR));
    assert_true(rig_fire(r));
    rig_poll(r);
    TpWs__RespondWorkflowTaskCompletedRequest *req = rig_completion(r);
    rig_add_command(r, req, child_command(r));
    rig_add_command(r, req, rig_cmd_timer(r, "u", 5 * MINUTE));
    assert_int_equal(rig_send(r, req), TL_OK);
    assert_int_equal((int)rig_last(r)->event_type,
                     EVENT_TYPE_TIMER_STARTED); /* the child holds it */
    int64_t id = rig_effect(r, TL_FX_START_CHILD)->u.initiated_id;
    assert_int_equal(tl_rs_child_request(r->rs, id, &r->arena, &out, &r->err), TL_OK);
    return out;
}

static void a_child_begins_with_the_clock_and_skips_by_itself(void **state)
{
    struct history_rig *r = *state;
    struct tl_child_request c = child_of(r, false);
    assert_int_equal(rig_span(c.skipped->initial_skipped_duration), HOUR);
    assert_null(c.skipped->fast_forward_target_time);
    assert_int_equal(c.skipped->initial_skip_count, 0);
    assert_true(c.req->time_skipping_config->enabled);
    assert_int_equal(c.req->time_skipping_config->max_session_skip_count, 7);
    assert_null(c.req->time_skipping_config->fast_forward_config);
}

static void without_propagation_a_child_has_the_clock_alone(void **state)
{
    struct history_rig *r = *state;
    static struct history_rig child;
    struct tl_child_request c = child_of(r, true);
    assert_null(c.req->time_skipping_config);
    assert_int_equal(rig_span(c.skipped->initial_skipped_duration), HOUR);
    struct tl_start s = {.req = c.req, .skipped = c.skipped};
    history_rig_open(&child);
    assert_int_equal(rig_end(&child, tl_tx_start(rig_begin(&child), &s, &child.err)), TL_OK);
    task(&child, rig_cmd_timer(&child, "t", HOUR));
    assert_int_equal((int)rig_last(&child)->event_type, EVENT_TYPE_TIMER_STARTED);
    assert_int_equal(rig_ns(rig_last(&child)->event_time), RIG_START_NS + HOUR);
    assert_int_equal(tl_rs_deadline_ns(child.rs), RIG_START_NS + HOUR);
    history_rig_close(&child);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(an_idle_run_jumps_to_its_timer),
        T(a_run_without_configuration_waits),
        T(the_nearest_timer_comes_first),
        T(an_activity_holds_time_but_its_backoff_does_not),
        T(a_start_delay_is_skipped),
        T(a_run_that_waits_for_nothing_stays),
        T(a_paused_run_stays),
        T(a_session_ends_after_so_many_jumps),
        T(a_fast_forward_goes_so_far_and_ends),
        T(a_fast_forward_ends_in_real_time_while_work_is_under_way),
        T(its_end_waits_for_the_task_that_is_started),
        T(it_is_switched_on_and_off_while_the_run_waits),
        T(a_change_waits_for_the_task_that_is_started),
        T(masks_name_whole_options),
        T(the_next_run_goes_on_with_clock_and_fast_forward),
        T(a_child_begins_with_the_clock_and_skips_by_itself),
        T(without_propagation_a_child_has_the_clock_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
