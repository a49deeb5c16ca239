/* Goal: workflow tasks of a run from the first to the last: what is sent, what is asked of queries,
 * when a cached run fits, what a failed task says, and how little an idle run keeps.
 * Method: polls made from canned histories, a scripted language. */
#include "test/unit/test_core_run_fixture.h"

#include "base/mem.h"

/* Handles the task that begins at event first_id and checks the commands by name. */
static void answers(struct fixture *f, int64_t first_id, const char *log, const char *commands)
{
    tl_rc rc = handle(f, tl_hb_poll(&f->hb, first_id));
    assert_string_equal(f->err.message, "");
    assert_int_equal(rc, TL_OK);
    assert_false(f->out.failed);
    assert_string_equal(f->script.log, log);
    struct tl_buf bytes;
    tl_buf_init(&bytes, 1 << 20);
    for (size_t i = 0; i < f->out.command_count; i++) {
        const char *name = tl_pb_enum_name(&tp_enums__command_type__descriptor,
                                           (int)f->out.commands[i]->command_type);
        tl_buf_printf(&bytes, "%s%s", i ? " " : "", name + strlen("COMMAND_TYPE_"));
    }
    assert_string_equal(bytes.n ? bytes.p : "", commands);
    tl_buf_clear(&bytes); /* what is sent can be encoded */
    for (size_t i = 0; i < f->out.command_count; i++) {
        assert_int_equal(tl_pb_encode(f->out.commands[i], &bytes, NULL), TL_OK);
    }
    tl_buf_deinit(&bytes);
}

/* --- a run from start to end ------------------------------------------------------------------ */

/* 2-4: task 5: Scheduled(1) 6: Started 7: Completed 8-9: task ..., on one cached run. */
static void cached_run(void **state)
{
    struct fixture *f = *state;
    new_run(f, TL_STEPS(DO(ACTIVITY, .name = "charge"), DO(WAIT_ACTIVITY, .n = 1), DO(TIMER),
                        DO(WAIT_TIMER, .n = 1), DO(COMPLETE)));
    tl_hb_task(&f->hb);
    answers(f, 1, "init", "SCHEDULE_ACTIVITY_TASK");
    assert_string_equal(f->out.commands[0]->schedule_activity_task_command_attributes->activity_id,
                        "1");
    assert_int_equal(f->out.sdk_metadata->n_core_used_flags, 3);
    assert_int_equal(f->out.sdk_metadata->core_used_flags[2], 3);
    assert_string_equal(f->out.sdk_metadata->sdk_name, "temporal-lua");
    assert_string_equal(f->out.sdk_metadata->sdk_version, "0.1");
    assert_int_equal(tl_run_pending_count(f->run), 1);

    tl_hb_task_completed(&f->hb);
    int64_t a = tl_hb_activity_scheduled(&f->hb, "1", "charge");
    tl_hb_activity_started(&f->hb, a);
    tl_hb_activity_completed(&f->hb, a, "paid");
    tl_hb_task(&f->hb);
    answers(f, 4, "activity 1 completed paid", "START_TIMER");
    assert_string_equal(f->out.commands[0]->start_timer_command_attributes->timer_id, "1");
    /* Metadata is recorded once. */
    assert_int_equal(f->out.sdk_metadata->n_core_used_flags, 0);
    assert_string_equal(f->out.sdk_metadata->sdk_name, "");
    assert_int_equal(f->out.event_count, 6);

    tl_hb_task_completed(&f->hb);
    tl_hb_timer_fired(&f->hb, tl_hb_timer_started(&f->hb, "1"));
    tl_hb_task(&f->hb);
    answers(f, 10, "timer 1", "COMPLETE_WORKFLOW_EXECUTION");
    assert_true(f->out.finished);
    assert_int_equal(f->script.now_ns, f->hb.time_ns);
    assert_int_equal(f->script.history_length, 14);
    assert_int_equal(tl_run_started_event_id(f->run), 14);
}

/* The same run, not cached: the history from event 1; only the last activation is new. */
static void uncached_run(void **state)
{
    struct fixture *f = *state;
    tl_hb_full_task(&f->hb);
    int64_t a = tl_hb_activity_scheduled(&f->hb, "1", "charge");
    tl_hb_activity_started(&f->hb, a);
    tl_hb_activity_completed(&f->hb, a, "paid");
    tl_hb_task(&f->hb);
    new_run(f, TL_STEPS(DO(ACTIVITY, .name = "charge"), DO(WAIT_ACTIVITY, .n = 1), DO(TIMER)));
    answers(f, 1, "init?|activity 1 completed paid", "START_TIMER");
    assert_int_equal(f->out.sdk_metadata->n_core_used_flags, 0);
    assert_string_equal(f->out.sdk_metadata->sdk_version, "0.1");
}

/* Signals before and after the first task, a cancellation request, an end as canceled. */
static void signals_and_cancellation(void **state)
{
    struct fixture *f = *state;
    new_run(f, TL_STEPS(DO(TIMER), DO(WAIT_SIGNALS, .n = 2), DO(WAIT_CANCEL),
                        DO(CANCEL_TIMER, .n = 1), DO(CANCELED)));
    tl_hb_signaled(&f->hb, "before");
    tl_hb_task(&f->hb);
    answers(f, 1, "init,signal before", "START_TIMER");
    tl_hb_task_completed(&f->hb);
    tl_hb_timer_started(&f->hb, "1");
    tl_hb_signaled(&f->hb, "after");
    tl_hb_cancel_requested(&f->hb, "enough");
    tl_hb_task(&f->hb);
    answers(f, 5, "signal after,cancel enough", "CANCEL_TIMER CANCEL_WORKFLOW_EXECUTION");
    assert_string_equal(f->out.commands[0]->cancel_timer_command_attributes->timer_id, "1");
}

/* What is cancelled in the task that made it is not sent; the code still learns of it. */
static void cancelled_before_sent(void **state)
{
    struct fixture *f = *state;
    new_run(f, TL_STEPS(DO(TIMER), DO(ACTIVITY, .name = "a"), DO(ACTIVITY, .name = "b"),
                        DO(CANCEL_TIMER, .n = 1), DO(CANCEL_ACTIVITY, .n = 1),
                        DO(WAIT_ACTIVITY, .n = 1), DO(TIMER)));
    tl_hb_task(&f->hb);
    answers(f, 1, "init|activity 1 canceled<Activity cancelled a 1<canceled",
            "SCHEDULE_ACTIVITY_TASK START_TIMER");
    assert_int_equal(tl_run_pending_count(f->run), 2);
    /* The next task's events find the machines that are left. */
    tl_hb_task_completed(&f->hb);
    tl_hb_activity_scheduled(&f->hb, "2", "b");
    tl_hb_timer_fired(&f->hb, tl_hb_timer_started(&f->hb, "2"));
    tl_hb_task(&f->hb);
    answers(f, 4, "timer 2", "");
}

/* An activity under way is cancelled: with `try` the code goes on within the same task. */
static void request_cancel(void **state)
{
    struct fixture *f = *state;
    new_run(f, TL_STEPS(DO(ACTIVITY, .name = "slow"), DO(WAIT_SIGNALS, .n = 1),
                        DO(CANCEL_ACTIVITY, .n = 1), DO(WAIT_ACTIVITY, .n = 1), DO(TIMER)));
    tl_hb_task(&f->hb);
    answers(f, 1, "init", "SCHEDULE_ACTIVITY_TASK");
    tl_hb_task_completed(&f->hb);
    tl_hb_activity_scheduled(&f->hb, "1", "slow");
    tl_hb_signaled(&f->hb, "stop");
    tl_hb_task(&f->hb);
    answers(f, 4, "signal stop|activity 1 canceled<Activity cancelled slow 1<canceled",
            "REQUEST_CANCEL_ACTIVITY_TASK START_TIMER");
    assert_int_equal(
        f->out.commands[0]->request_cancel_activity_task_command_attributes->scheduled_event_id, 5);
}

/* Continue-as-new takes along what the start and later upserts gave. */
static void continue_as_new(void **state)
{
    struct fixture *f = *state;
    TpHistory__WorkflowExecutionStartedEventAttributes *a =
        tl_hb_event(&f->hb, 1)->workflow_execution_started_event_attributes;
    TpCommon__SearchAttributes__IndexedFieldsEntry *entry =
        TL_PB_NEW(&f->arena, TpCommon__SearchAttributes__IndexedFieldsEntry,
                  tp_common__search_attributes__indexed_fields_entry);
    entry->key = tl_pb_cstr(&f->arena, TL_STR_LIT("Size"));
    entry->value = TL_PB_NEW(&f->arena, TpCommon__Payload, tp_common__payload);
    a->search_attributes =
        TL_PB_NEW(&f->arena, TpCommon__SearchAttributes, tp_common__search_attributes);
    a->search_attributes->n_indexed_fields = 1;
    a->search_attributes->indexed_fields = tl_arena_copy(&f->arena, &entry, sizeof(entry));
    a->retry_policy = TL_PB_NEW(&f->arena, TpCommon__RetryPolicy, tp_common__retry_policy);
    a->retry_policy->maximum_attempts = 7;
    new_run(f,
            TL_STEPS(DO(UPSERT, .name = "Color"), DO(UPSERT, .name = "Size"), DO(CONTINUE_AS_NEW)));
    tl_hb_task(&f->hb);
    answers(f, 1, "init",
            "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES UPSERT_WORKFLOW_SEARCH_ATTRIBUTES "
            "CONTINUE_AS_NEW_WORKFLOW_EXECUTION");
    const TpCommand__ContinueAsNewWorkflowExecutionCommandAttributes *c =
        f->out.commands[2]->continue_as_new_workflow_execution_command_attributes;
    assert_int_equal(c->search_attributes->n_indexed_fields, 2);
    assert_string_equal(c->search_attributes->indexed_fields[0]->key, "Color");
    assert_string_equal(c->search_attributes->indexed_fields[1]->key, "Size");
    assert_int_equal(c->retry_policy->maximum_attempts, 7);
    assert_null(c->memo);
    assert_true(f->out.finished);
}

/* What was called after the end is kept, the end goes last, a second end is dropped. */
static void end_goes_last(void **state)
{
    struct fixture *f = *state;
    new_run(f, TL_STEPS(DO(COMPLETE), DO(TIMER), DO(FAIL), DO(PROPERTIES)));
    tl_hb_task(&f->hb);
    answers(f, 1, "init", "START_TIMER MODIFY_WORKFLOW_PROPERTIES COMPLETE_WORKFLOW_EXECUTION");
}

/* A patch's first call: marker and search attribute, all ids so far in order. */
static void patches(void **state)
{
    struct fixture *f = *state;
    new_run(f, TL_STEPS(DO(PATCH, .name = "z\"1"), DO(DEPRECATE, .name = "a"),
                        DO(PATCH, .name = "z\"1"), DO(UPSERT, .name = "TemporalChangeVersion")));
    tl_hb_task(&f->hb);
    answers(f, 1, "init",
            "RECORD_MARKER UPSERT_WORKFLOW_SEARCH_ATTRIBUTES RECORD_MARKER "
            "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES UPSERT_WORKFLOW_SEARCH_ATTRIBUTES");
    const TpCommand__RecordMarkerCommandAttributes *m =
        f->out.commands[0]->record_marker_command_attributes;
    assert_string_equal(m->marker_name, "core_patch");
    assert_string_equal(m->details[0]->key, "patch-data");
    struct tl_str data = tl_pb_str(m->details[0]->value->payloads[0]->data);
    assert_true(tl_str_eqc(data, "{\"id\":\"z\\\"1\",\"deprecated\":false}"));
    data = tl_pb_str(
        f->out.commands[2]->record_marker_command_attributes->details[0]->value->payloads[0]->data);
    assert_true(tl_str_eqc(data, "{\"id\":\"a\",\"deprecated\":true}"));
    const TpCommon__SearchAttributes *sa =
        f->out.commands[3]->upsert_workflow_search_attributes_command_attributes->search_attributes;
    assert_string_equal(sa->indexed_fields[0]->key, "TemporalChangeVersion");
    assert_true(tl_str_eqc(tl_pb_str(sa->indexed_fields[0]->value->data), "[\"a\",\"z\\\"1\"]"));
    TpCommon__Payload__MetadataEntry *type =
        TL_PB_MAP_GET(TpCommon__Payload__MetadataEntry, sa->indexed_fields[0]->value->n_metadata,
                      sa->indexed_fields[0]->value->metadata, TL_STR_LIT("type"));
    assert_true(tl_str_eqc(tl_pb_str(type->value), "KeywordList"));
    /* The user's own upsert of that attribute says nothing. */
    sa =
        f->out.commands[4]->upsert_workflow_search_attributes_command_attributes->search_attributes;
    assert_int_equal(sa->n_indexed_fields, 0);
}

/* A patch list that the server would refuse goes without its upsert. */
static void patch_list_too_long(void **state)
{
    struct fixture *f = *state;
    char *id = tl_arena_alloc(&f->arena, 2100);
    memset(id, 'x', 2099);
    new_run(f, TL_STEPS(DO(PATCH, .name = id)));
    tl_hb_task(&f->hb);
    answers(f, 1, "init", "RECORD_MARKER");
}

/* Without metadata on the server no flag may be used. */
static void no_metadata(void **state)
{
    struct fixture *f = *state;
    new_run(f, TL_STEPS(DO(TIMER)));
    tl_run_free(f->run);
    f->run = tl_run_new(&(struct tl_run_config){.run_id = TL_STR_LIT("run-1")});
    tl_script_init(&f->script, TL_STEPS(DO(PATCH, .name = "p"), DO(COMPLETE)));
    tl_hb_task(&f->hb);
    answers(f, 1, "init", "RECORD_MARKER COMPLETE_WORKFLOW_EXECUTION");
    assert_null(f->out.sdk_metadata);
}

/* --- attempts --------------------------------------------------------------------------------- */

/* 2-3: task failed (4), then a transient attempt 5-6: not replaying. */
static void transient_attempt(void **state)
{
    struct fixture *f = *state;
    tl_hb_task(&f->hb);
    tl_hb_task_failed(&f->hb, WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE, "");
    tl_hb_task(&f->hb);
    new_run(f, TL_STEPS(DO(TIMER)));
    answers(f, 1, "init", "START_TIMER");
    assert_int_equal(tl_run_started_event_id(f->run), 6);
}

/* A later task fails and is tried again: what was before is replayed, the retry is not. */
static void failed_then_retried(void **state)
{
    struct fixture *f = *state;
    tl_hb_full_task(&f->hb);
    tl_hb_timer_fired(&f->hb, tl_hb_timer_started(&f->hb, "1"));
    tl_hb_task(&f->hb);
    tl_hb_task_failed(&f->hb, WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE, "");
    tl_hb_task(&f->hb);
    new_run(f, TL_STEPS(DO(TIMER), DO(WAIT_TIMER, .n = 1), DO(COMPLETE)));
    answers(f, 1, "init?|timer 1", "COMPLETE_WORKFLOW_EXECUTION");
}

/* A task without news (a heartbeat, a forced one) is answered without running the code. */
static void empty_task(void **state)
{
    struct fixture *f = *state;
    new_run(f, TL_STEPS(DO(WAIT_SIGNALS, .n = 1), DO(COMPLETE)));
    tl_hb_task(&f->hb);
    answers(f, 1, "init", "");
    tl_hb_task_completed(&f->hb);
    tl_hb_task(&f->hb);
    answers(f, 4, "", "");
    assert_int_equal(f->out.activation_count, 0);
    assert_int_equal(tl_run_started_event_id(f->run), 6);
}

/* --- queries ---------------------------------------------------------------------------------- */

static void query_on_cached_run(void **state)
{
    struct fixture *f = *state;
    new_run(f, TL_STEPS(DO(TIMER), DO(WAIT_TIMER, .n = 1), DO(COMPLETE)));
    tl_hb_task(&f->hb);
    answers(f, 1, "init", "START_TIMER");
    tl_hb_task_completed(&f->hb);
    tl_hb_timer_started(&f->hb, "1");
    TpWs__PollWorkflowTaskQueueResponse *poll = tl_hb_query(&f->hb, 0, "state");
    assert_int_equal(tl_run_check_fit(f->run, poll), TL_FIT_READY);
    assert_int_equal(handle(f, poll), TL_OK);
    assert_string_equal(f->script.log, "query state?");
    assert_int_equal(f->out.direct_query->result_type, QUERY_RESULT_TYPE_ANSWERED);
    assert_true(tl_str_eqc(tl_pb_str(f->out.direct_query->answer->payloads[0]->data), "at 1"));
    assert_int_equal(f->out.command_count, 0);
    assert_null(f->out.sdk_metadata);
    /* The run goes on as if nothing had been. */
    tl_hb_timer_fired(&f->hb, 5);
    tl_hb_task(&f->hb);
    answers(f, 4, "timer 1", "COMPLETE_WORKFLOW_EXECUTION");
}

/* 5: TimerStarted 6: TimerFired, whose task is still to come: the query sees the state before. */
static void query_on_uncached_run(void **state)
{
    struct fixture *f = *state;
    tl_hb_full_task(&f->hb);
    tl_hb_timer_fired(&f->hb, tl_hb_timer_started(&f->hb, "1"));
    new_run(f, TL_STEPS(DO(TIMER), DO(WAIT_TIMER, .n = 1), DO(COMPLETE)));
    TpWs__PollWorkflowTaskQueueResponse *poll = tl_hb_query(&f->hb, 1, "state");
    assert_int_equal(tl_run_check_fit(NULL, poll), TL_FIT_FRESH);
    assert_int_equal(handle(f, poll), TL_OK);
    assert_string_equal(f->script.log, "init?|query state?");
    assert_int_equal(tl_run_last_event_id(f->run), 5);
    /* Its task then delivers the timer. */
    tl_hb_task(&f->hb);
    answers(f, 4, "timer 1", "COMPLETE_WORKFLOW_EXECUTION");
}

/* The last thing that happened is a task that completed without a command, after others of its
 * kind. The code has seen its signal. */
static void query_after_a_task_without_commands(void **state)
{
    struct fixture *f = *state;
    tl_hb_full_task(&f->hb);
    int64_t timer = tl_hb_timer_started(&f->hb, "1");
    tl_hb_signaled(&f->hb, "poke");
    tl_hb_full_task(&f->hb);
    tl_hb_signaled(&f->hb, "again");
    tl_hb_full_task(&f->hb);
    new_run(f, TL_STEPS(DO(TIMER), DO(WAIT_TIMER, .n = 1), DO(COMPLETE)));
    assert_int_equal(handle(f, tl_hb_query(&f->hb, 1, "state")), TL_OK);
    assert_string_equal(f->script.log, "init?|signal poke?|signal again?|query state?");
    assert_int_equal(tl_run_last_event_id(f->run), tl_hb_last_id(&f->hb));
    /* The run goes on from there. */
    tl_hb_timer_fired(&f->hb, timer);
    tl_hb_task(&f->hb);
    answers(f, tl_hb_last_id(&f->hb) - 3, "timer 1", "COMPLETE_WORKFLOW_EXECUTION");
}

static void query_on_closed_run(void **state)
{
    struct fixture *f = *state;
    tl_hb_full_task(&f->hb);
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    new_run(f, TL_STEPS(DO(COMPLETE)));
    assert_int_equal(handle(f, tl_hb_query(&f->hb, 1, "state")), TL_OK);
    assert_string_equal(f->script.log, "init?|query state?");
    assert_int_equal(f->out.direct_query->result_type, QUERY_RESULT_TYPE_ANSWERED);
    assert_true(f->out.finished);
}

/* Queries that ride on a task come after its work, in an activation of their own. */
static void queries_on_a_task(void **state)
{
    struct fixture *f = *state;
    tl_hb_task(&f->hb);
    TpWs__PollWorkflowTaskQueueResponse *poll = tl_hb_poll(&f->hb, 1);
    tl_hb_poll_add_query(&f->hb, poll, "q1", "state");
    tl_hb_poll_add_query(&f->hb, poll, "q2", "other");
    new_run(f, TL_STEPS(DO(TIMER), DO(WAIT_TIMER, .n = 1)));
    assert_int_equal(handle(f, poll), TL_OK);
    assert_string_equal(f->script.log, "init|query state,query other?");
    assert_int_equal(f->out.command_count, 1);
    assert_int_equal(f->out.query_result_count, 2);
    assert_string_equal(f->out.query_results[1]->key, "q2");
    assert_int_equal(f->out.query_results[1]->value->result_type, QUERY_RESULT_TYPE_ANSWERED);

    new_run(f, TL_STEPS(DO(TIMER)));
    f->script.query_fails = true;
    assert_int_equal(handle(f, poll), TL_OK);
    assert_int_equal(f->out.query_results[0]->value->result_type, QUERY_RESULT_TYPE_FAILED);
    assert_string_equal(f->out.query_results[0]->value->error_message, "no such query");
    assert_false(f->out.evict);

    new_run(f, TL_STEPS(DO(TIMER)));
    f->script.query_silent = true;
    assert_int_equal(handle(f, poll), TL_OK);
    assert_int_equal(f->out.query_results[0]->value->result_type, QUERY_RESULT_TYPE_FAILED);

    /* A query that breaks the language fails alone; the task's commands are sent. */
    new_run(f, TL_STEPS(DO(TIMER)));
    f->script.query_breaks = true;
    assert_int_equal(handle(f, poll), TL_OK);
    assert_int_equal(f->out.command_count, 1);
    assert_string_equal(f->out.query_results[1]->value->error_message, "the query never ends");
    assert_true(f->out.evict);
    assert_true(tl_run_broken(f->run));
}

/* --- fit -------------------------------------------------------------------------------------- */

static void which_run_fits(void **state)
{
    struct fixture *f = *state;
    new_run(f, TL_STEPS(DO(TIMER), DO(WAIT_TIMER, .n = 1)));
    tl_hb_task(&f->hb);
    answers(f, 1, "init", "START_TIMER");
    /* The whole history again: a new run, whatever is cached. */
    assert_int_equal(tl_run_check_fit(f->run, tl_hb_poll(&f->hb, 1)), TL_FIT_FRESH);
    assert_int_equal(handle(f, tl_hb_poll(&f->hb, 1)), TL_EPRECONDITION);
    new_run(f, TL_STEPS(DO(TIMER), DO(WAIT_TIMER, .n = 1)));
    answers(f, 1, "init", "START_TIMER");
    tl_hb_task_completed(&f->hb);
    int64_t t = tl_hb_timer_started(&f->hb, "1");
    tl_hb_signaled(&f->hb, "a");
    tl_hb_task(&f->hb);
    assert_int_equal(tl_run_check_fit(f->run, tl_hb_poll(&f->hb, 4)), TL_FIT_READY);
    assert_int_equal(tl_run_check_fit(f->run, tl_hb_poll(&f->hb, 2)), TL_FIT_READY);
    assert_int_equal(tl_run_check_fit(f->run, tl_hb_poll(&f->hb, 5)), TL_FIT_FETCH);
    assert_int_equal(tl_run_check_fit(NULL, tl_hb_poll(&f->hb, 4)), TL_FIT_FETCH);
    assert_int_equal(tl_run_check_fit(NULL, tl_hb_query(&f->hb, 0, "q")), TL_FIT_FETCH);
    /* A query that is ahead of the cached run. */
    TpWs__PollWorkflowTaskQueueResponse *query = tl_hb_query(&f->hb, 0, "q");
    query->previous_started_event_id = 8;
    assert_int_equal(tl_run_check_fit(f->run, query), TL_FIT_FETCH);
    answers(f, 2, "signal a", ""); /* repeats two events */
    tl_hb_task_completed(&f->hb);
    tl_hb_timer_fired(&f->hb, t);
    tl_hb_task(&f->hb);
    answers(f, 9, "timer 1", "");
}

/* A server that lost what it had acknowledged brings the same task again. */
static void same_task_again(void **state)
{
    struct fixture *f = *state;
    new_run(f, TL_STEPS(DO(WAIT_SIGNALS, .n = 1), DO(TIMER), DO(WAIT_TIMER, .n = 1)));
    tl_hb_task(&f->hb);
    answers(f, 1, "init", "");
    tl_hb_task_completed(&f->hb);
    tl_hb_signaled(&f->hb, "a");
    tl_hb_task(&f->hb);
    answers(f, 4, "signal a", "START_TIMER");
    TpWs__PollWorkflowTaskQueueResponse *again = tl_hb_poll(&f->hb, 4);
    assert_int_equal(tl_run_check_fit(f->run, again), TL_FIT_FETCH);
    assert_int_equal(handle(f, again), TL_EPRECONDITION);
}

/* The server did not take the commands of a cached run: its next task begins with the failure. */
static void commands_were_refused(void **state)
{
    struct fixture *f = *state;
    new_run(f, TL_STEPS(DO(WAIT_SIGNALS, .n = 1), DO(COMPLETE)));
    tl_hb_task(&f->hb);
    answers(f, 1, "init", "");
    tl_hb_task_completed(&f->hb);
    tl_hb_signaled(&f->hb, "a");
    tl_hb_task(&f->hb);
    answers(f, 4, "signal a", "COMPLETE_WORKFLOW_EXECUTION");
    tl_hb_task_failed(&f->hb, WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND, "");
    tl_hb_signaled(&f->hb, "b");
    tl_hb_task(&f->hb);
    assert_int_equal(tl_run_check_fit(f->run, tl_hb_poll(&f->hb, 8)), TL_FIT_FETCH);
    assert_int_equal(handle(f, tl_hb_poll(&f->hb, 8)), TL_EPRECONDITION);
    assert_true(f->out.failed);
    assert_true(f->out.evict);
    new_run(f, TL_STEPS(DO(WAIT_SIGNALS, .n = 1), DO(COMPLETE)));
    answers(f, 1, "init?|signal a,signal b", "COMPLETE_WORKFLOW_EXECUTION");
}

/* --- failures --------------------------------------------------------------------------------- */

static void failing_tasks(void **state)
{
    struct fixture *f = *state;
    new_run(f, TL_STEPS(DO(TIMER), DO(RAISE)));
    tl_hb_task(&f->hb);
    assert_int_equal(handle(f, tl_hb_poll(&f->hb, 1)), TL_ESCRIPT);
    assert_true(f->out.failed);
    assert_int_equal(f->out.cause, WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE);
    assert_string_equal(f->out.failure->message, "attempt to call a nil value");
    assert_int_equal(f->out.command_count, 0);
    assert_null(f->out.report);
    assert_int_equal(handle(f, tl_hb_poll(&f->hb, 1)), TL_EPRECONDITION);

    /* Non-determinism, on a task with a direct query too. */
    tl_hb_task_completed(&f->hb);
    tl_hb_activity_scheduled(&f->hb, "1", "charge");
    new_run(f, TL_STEPS(DO(TIMER), DO(WAIT_TIMER, .n = 1)));
    assert_int_equal(handle(f, tl_hb_query(&f->hb, 1, "q")), TL_ENONDETERMINISM);
    assert_int_equal(f->out.cause, WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR);
    assert_non_null(f->out.report);
    assert_int_equal(f->out.direct_query->result_type, QUERY_RESULT_TYPE_FAILED);
    assert_string_equal(f->out.failure->application_failure_info->type, "NonDeterminismError");

    /* A history that stops short of the task. */
    new_run(f, TL_STEPS(DO(ACTIVITY, .name = "charge"), DO(WAIT_ACTIVITY, .n = 1)));
    TpWs__PollWorkflowTaskQueueResponse *poll = tl_hb_poll(&f->hb, 1);
    poll->started_event_id = 99;
    assert_int_equal(handle(f, poll), TL_EINVAL);
    assert_true(f->out.failed);
}

/* Running out of task memory at any moment is an error value. */
static void arena_runs_full(void **state)
{
    struct fixture *f = *state;
    tl_hb_full_task(&f->hb);
    tl_hb_patch(&f->hb, "p", false);
    tl_hb_patch_upsert(&f->hb);
    int64_t a = tl_hb_activity_scheduled(&f->hb, "1", "charge");
    tl_hb_activity_started(&f->hb, a);
    tl_hb_activity_failed(&f->hb, a, "no");
    tl_hb_task(&f->hb);
    TpWs__PollWorkflowTaskQueueResponse *poll = tl_hb_poll(&f->hb, 1);
    unsigned failures = 0;
    for (long n = 1; n < 200; n++) {
        new_run(f, TL_STEPS(DO(WAIT_SIGNALS, .n = 1), DO(PATCH, .name = "p")));
        tl_arena_deinit(&f->task);
        tl_arena_init(&f->task, (size_t)64 << 20);
        struct tl_lang lang = tl_script_lang(&f->script);
        tl_mem_fail_after(n);
        tl_rc rc =
            tl_run_handle_task(f->run, &(struct tl_wft){poll}, &lang, &f->task, &f->out, &f->err);
        tl_mem_fail_after(0);
        assert_int_not_equal(rc, TL_OK); /* the script does not fit this history */
        failures += rc == TL_ELIMIT;
    }
    assert_in_range(failures, 1, 199);
}

/* --- memory ----------------------------------------------------------------------------------- */

/* An idle run keeps little, and no more after a long life. */
static void idle_run_is_small(void **state)
{
    struct fixture *f = *state;
    struct tl_step steps[3 * 60 + 1] = {{.op = 0}};
    for (unsigned i = 0; i < 60; i++) {
        steps[3 * i] = (struct tl_step)DO(ACTIVITY, .name = "charge");
        steps[3 * i + 1] = (struct tl_step)DO(TIMER);
        steps[3 * i + 2] = (struct tl_step)DO(WAIT_ACTIVITY, .n = i + 1);
    }
    new_run(f, steps);
    tl_hb_task(&f->hb);
    answers(f, 1, "init", "SCHEDULE_ACTIVITY_TASK START_TIMER");
    size_t small = tl_run_bytes(f->run);
    assert_in_range(small, 100, 1000);
    for (unsigned i = 1; i < 60; i++) {
        char id[8];
        snprintf(id, sizeof(id), "%u", i);
        tl_hb_task_completed(&f->hb);
        int64_t first = tl_hb_last_id(&f->hb);
        int64_t a = tl_hb_activity_scheduled(&f->hb, id, "charge");
        tl_hb_timer_fired(&f->hb, tl_hb_timer_started(&f->hb, id));
        tl_hb_activity_started(&f->hb, a);
        tl_hb_activity_completed(&f->hb, a, "paid");
        tl_hb_task(&f->hb);
        assert_int_equal(handle(f, tl_hb_poll(&f->hb, first)), TL_OK);
    }
    assert_int_equal(tl_run_pending_count(f->run), 2);
    assert_in_range(tl_run_bytes(f->run), 100, small + 200);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(cached_run),
        TEST(uncached_run),
        TEST(signals_and_cancellation),
        TEST(cancelled_before_sent),
        TEST(request_cancel),
        TEST(continue_as_new),
        TEST(end_goes_last),
        TEST(patches),
        TEST(patch_list_too_long),
        TEST(no_metadata),
        TEST(transient_attempt),
        TEST(failed_then_retried),
        TEST(empty_task),
        TEST(query_on_cached_run),
        TEST(query_on_uncached_run),
        TEST(query_after_a_task_without_commands),
        TEST(query_on_closed_run),
        TEST(queries_on_a_task),
        TEST(which_run_fits),
        TEST(same_task_again),
        TEST(commands_were_refused),
        TEST(failing_tasks),
        TEST(arena_runs_full),
        TEST(idle_run_is_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
