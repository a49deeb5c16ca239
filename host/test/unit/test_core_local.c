/* Goal: local activities in the engine: every edge of their machine, requests and ends with the
 * worker, markers ahead on replay, heartbeats of the task, back-off, cancellation.
 * Method: as test_core_task: polls from canned histories, a scripted language, the test plays the
 * worker that runs the local activities. */
#include "test/unit/test_core_run_fixture.h"

#include "core/run_int.h"

/* What is sent: "RECORD_MARKER START_TIMER". Every byte of it outlives the core's task. */
static void sends(struct fixture *f, const char *commands)
{
    struct tl_buf text;
    tl_buf_init(&text, 1 << 20);
    for (size_t i = 0; i < f->out.command_count; i++) {
        const char *name = tl_pb_enum_name(&tp_enums__command_type__descriptor,
                                           (int)f->out.commands[i]->command_type);
        struct tl_str bytes;
        assert_int_equal(tl_pb_encode_arena(f->out.commands[i], &f->task, &bytes, &f->err), TL_OK);
        tl_buf_printf(&text, "%s%s", i ? " " : "", name + strlen("COMMAND_TYPE_"));
    }
    assert_string_equal(text.n ? text.p : "", commands);
    tl_buf_deinit(&text);
}

/* What is asked of the worker: "1 -2": run 1, cancel 2. */
static void asks(struct fixture *f, const char *requests)
{
    struct tl_buf text;
    tl_buf_init(&text, 1 << 20);
    for (size_t i = 0; i < f->out.local_request_count; i++) {
        const struct tl_local_request *q = &f->out.local_requests[i];
        tl_buf_printf(&text, "%s%s%u", i ? " " : "", q->cancel ? "-" : "", q->seq);
    }
    assert_string_equal(text.n ? text.p : "", requests);
    tl_buf_deinit(&text);
}

static void said(struct fixture *f, tl_rc rc, const char *log, bool held)
{
    assert_string_equal(f->err.message, "");
    assert_int_equal(rc, TL_OK);
    assert_string_equal(f->script.log, log);
    assert_int_equal(f->out.held, held);
}

static void task(struct fixture *f, int64_t first_id, const char *log, bool held)
{
    said(f, handle(f, tl_hb_poll(&f->hb, first_id)), log, held);
}

static void ends(struct fixture *f, const struct tl_local_end *end, const char *log, bool held)
{
    forget_task(f);
    said(f, tl_run_local_ended(f->run, end, &f->out, &f->err), log, held);
}

static const TpCommon__Payloads *value(struct fixture *f, const char *text)
{
    TpCommon__Payloads *values = TL_PB_NEW(&f->task, TpCommon__Payloads, tp_common__payloads);
    struct tl_pb_list list = {0};
    TpCommon__Payload *p = TL_PB_NEW(&f->task, TpCommon__Payload, tp_common__payload);
    p->data = tl_pb_bytes_view(tl_str(text));
    assert_true(tl_pb_push(&f->task, &list, p));
    values->payloads = list.items;
    values->n_payloads = list.n;
    return values;
}

static const TpFailure__Failure *failure(struct fixture *f, const char *message)
{
    TpFailure__Failure *failed = TL_PB_NEW(&f->task, TpFailure__Failure, tp_failure__failure);
    failed->message = tl_pb_cstr(&f->task, tl_str(message));
    return failed;
}

/* The marker among the commands, as history would have it. */
static struct tl_local_marker marker(struct fixture *f, size_t command)
{
    struct tl_local_marker m;
    TpHistory__HistoryEvent event = TP_HISTORY__HISTORY_EVENT__INIT;
    TpHistory__MarkerRecordedEventAttributes a = TP_HISTORY__MARKER_RECORDED_EVENT_ATTRIBUTES__INIT;
    const TpCommand__RecordMarkerCommandAttributes *c =
        f->out.commands[command]->record_marker_command_attributes;
    event.event_type = (TpEnums__EventType)EVENT_TYPE_MARKER_RECORDED;
    event.attributes_case = TP_HISTORY__HISTORY_EVENT__ATTRIBUTES_MARKER_RECORDED_EVENT_ATTRIBUTES;
    event.marker_recorded_event_attributes = &a;
    a.marker_name = c->marker_name;
    a.n_details = c->n_details;
    a.details = (TpHistory__MarkerRecordedEventAttributes__DetailsEntry **)(void *)c->details;
    a.failure = c->failure;
    assert_true(tl_local_marker_read(&event, &f->arena, &m));
    return m;
}

/* --- with the worker -------------------------------------------------------------------------- */

/* Two at once: the task is held until both have ended; each end is an activation of its own and a
 * marker ahead of what it caused. */
static void a_task_waits_for_them(void **state)
{
    struct fixture *f = *state;
    new_run(f, TL_STEPS(DO(LOCAL, .name = "a"), DO(LOCAL, .name = "b", .id = "mine"),
                        DO(WAIT_ACTIVITY, .n = 2), DO(TIMER), DO(WAIT_ACTIVITY, .n = 1),
                        DO(COMPLETE)));
    tl_hb_task(&f->hb);
    task(f, 1, "init", true);
    asks(f, "1 2");
    TpWs__PollActivityTaskQueueResponse *q = NULL;
    assert_int_equal(tl_pb_decode(&tp_ws__poll_activity_task_queue_response__descriptor,
                                  f->out.local_requests[1].task, &f->task, &q, NULL),
                     TL_OK);
    assert_string_equal(q->activity_id, "mine");
    assert_string_equal(q->activity_type->name, "b");
    assert_string_equal(q->workflow_execution->run_id, "run-1");
    assert_int_equal(tl_pb_duration_ms_or(q->start_to_close_timeout, 0), 5000);
    int64_t before = tl_run_now_ns(f->run);
    ends(f,
         &(struct tl_local_end){.seq = 2, .attempt = 3, .result = value(f, "B"), .runtime_ns = 77},
         "local 2 completed B", true);
    assert_int_equal(tl_run_now_ns(f->run), before + 77);
    ends(f, &(struct tl_local_end){.seq = 9, .result = value(f, "?")}, "", true); /* whose? */
    ends(f,
         &(struct tl_local_end){
             .seq = 1, .attempt = 1, .status = TL_ACTIVITY_FAILED, .failure = failure(f, "no")},
         "local 1 failed<Local activity failed a 1<no", false);
    sends(f, "RECORD_MARKER START_TIMER RECORD_MARKER COMPLETE_WORKFLOW_EXECUTION");
    struct tl_local_marker first = marker(f, 0), second = marker(f, 2);
    assert_int_equal(first.seq, 2);
    assert_int_equal(first.attempt, 3);
    assert_int_equal(first.batch, 0);
    assert_int_equal(first.complete_ns, before + 77);
    assert_true(tl_str_eqc(first.id, "mine"));
    assert_int_equal(second.batch, 1);
    assert_string_equal(second.failure->message, "no");
    assert_true(f->out.finished);
}

/* 2-3: task, answered by a heartbeat 4 5-6: task 7: ... the end comes in it. The workflow's time does
 * not move while it only waits. */
static void a_heartbeat_goes_on_in_another_task(void **state)
{
    struct fixture *f = *state;
    new_run(f, TL_STEPS(DO(LOCAL, .name = "a"), DO(WAIT_ACTIVITY, .n = 1), DO(COMPLETE)));
    tl_hb_task(&f->hb);
    task(f, 1, "init", true);
    asks(f, "1");
    int64_t began = tl_run_now_ns(f->run);
    assert_int_equal(tl_run_heartbeat(f->run, &f->out, &f->err), TL_OK);
    assert_true(f->out.force_new_task);
    assert_false(f->out.held);
    sends(f, "");
    tl_hb_task_completed(&f->hb);
    tl_hb_task(&f->hb);
    task(f, 4, "", true);
    asks(f, ""); /* it is under way already */
    assert_int_equal(tl_run_now_ns(f->run), began);
    ends(f, &(struct tl_local_end){.seq = 1, .attempt = 1, .result = value(f, "x")},
         "local 1 completed x", false);
    sends(f, "RECORD_MARKER COMPLETE_WORKFLOW_EXECUTION");
}

/* A worker that takes over after heartbeats runs again what has no marker. */
static void another_worker_runs_it_again(void **state)
{
    struct fixture *f = *state;
    tl_hb_full_task(&f->hb);
    tl_hb_local(&f->hb, 1, "a", 1, "A");
    tl_hb_task(&f->hb);
    new_run(f, TL_STEPS(DO(LOCAL, .name = "a"), DO(LOCAL, .name = "b"), DO(WAIT_ACTIVITY, .n = 1),
                        DO(WAIT_ACTIVITY, .n = 2), DO(COMPLETE)));
    task(f, 1, "init?|local 1 completed A?", true);
    asks(f, "2");
    ends(f, &(struct tl_local_end){.seq = 2, .attempt = 1, .result = value(f, "B")},
         "local 2 completed B", false);
    sends(f, "RECORD_MARKER COMPLETE_WORKFLOW_EXECUTION");
}

/* With a signal between the tasks: what it does comes first, as on replay. */
static void a_signal_goes_before_an_end(void **state)
{
    struct fixture *f = *state;
    new_run(f, TL_STEPS(DO(LOCAL, .name = "a"), DO(WAIT_SIGNALS, .n = 1), DO(TIMER),
                        DO(WAIT_ACTIVITY, .n = 1), DO(COMPLETE)));
    tl_hb_task(&f->hb);
    task(f, 1, "init", true);
    assert_int_equal(tl_run_heartbeat(f->run, &f->out, &f->err), TL_OK);
    tl_hb_task_completed(&f->hb);
    tl_hb_signaled(&f->hb, "go");
    tl_hb_task(&f->hb);
    task(f, 4, "signal go", true);
    ends(f, &(struct tl_local_end){.seq = 1, .attempt = 1, .result = value(f, "x")},
         "local 1 completed x", false);
    sends(f, "START_TIMER RECORD_MARKER COMPLETE_WORKFLOW_EXECUTION");
    /* The same again, from history. */
    tl_hb_task_completed(&f->hb);
    tl_hb_timer_started(&f->hb, "1");
    tl_hb_local(&f->hb, 1, "a", 1, "x");
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    struct tl_replay_result replayed;
    tl_script_init(&f->script, f->script.steps);
    assert_int_equal(
        tl_replay(tl_hb_history(&f->hb), NULL, &f->lang, &f->arena, &replayed, &f->err), TL_OK);
    assert_string_equal(f->script.log, "init?|signal go?|local 1 completed x?");
}

static void a_pause_is_left_to_the_code(void **state)
{
    struct fixture *f = *state;
    new_run(f, TL_STEPS(DO(LOCAL, .name = "a"), DO(WAIT_ACTIVITY, .n = 1), DO(TIMER),
                        DO(WAIT_TIMER, .n = 1)));
    tl_hb_task(&f->hb);
    task(f, 1, "init", true);
    ends(f,
         &(struct tl_local_end){.seq = 1,
                                .attempt = 1,
                                .status = TL_ACTIVITY_FAILED,
                                .failure = failure(f, "later"),
                                .backoff_ns = 3000000000,
                                .original_schedule_ns = 12},
         "local 1 backs off<Local activity failed a 1<later", false);
    sends(f, "RECORD_MARKER START_TIMER");
    assert_int_equal(marker(f, 0).backoff_ns, 3000000000);
    assert_int_equal(marker(f, 0).original_ns, 12);
}

static void a_broken_run_can_be_dropped_while_held(void **state)
{
    struct fixture *f = *state;
    new_run(f, TL_STEPS(DO(LOCAL, .name = "a"), DO(WAIT_ACTIVITY, .n = 1), DO(RAISE)));
    tl_hb_task(&f->hb);
    task(f, 1, "init", true); /* dropped here by the next line */
    new_run(f, f->script.steps);
    task(f, 1, "init", true);
    f->script.log[0] = '\0';
    assert_int_equal(tl_run_local_ended(f->run,
                                        &(struct tl_local_end){.seq = 1, .result = value(f, "x")},
                                        &f->out, &f->err),
                     TL_ESCRIPT);
    assert_true(f->out.failed);
    assert_false(f->out.held);
    assert_true(tl_run_broken(f->run));
}

/* --- cancelling ------------------------------------------------------------------------------- */

/* Cancelled (twice) when a signal comes, while it runs. */
#define CANCEL_STEPS(type)                                                                         \
    TL_STEPS(DO(LOCAL, .name = "a", .n = (type)), DO(WAIT_SIGNALS, .n = 1),                        \
             DO(CANCEL_LOCAL, .n = 1), DO(CANCEL_LOCAL, .n = 1), DO(WAIT_ACTIVITY, .n = 1),        \
             DO(CANCEL_LOCAL, .n = 1), DO(COMPLETE))

static void cancelled(struct fixture *f, const struct tl_step *steps)
{
    tl_hb_init(&f->hb, &f->arena);
    tl_hb_start(&f->hb, "order");
    new_run(f, steps);
    tl_hb_task(&f->hb);
    task(f, 1, "init", true);
    assert_int_equal(tl_run_heartbeat(f->run, &f->out, &f->err), TL_OK);
    tl_hb_task_completed(&f->hb);
    tl_hb_signaled(&f->hb, "stop");
    tl_hb_task(&f->hb);
}

static void cancel_types(void **state)
{
    struct fixture *f = *state;
    const char *canceled = "local 1 canceled<Local activity cancelled a 1<Activity cancelled"
                           "canceled";
    char log[200];
    snprintf(log, sizeof log, "signal stop|%s", canceled);
    cancelled(f, CANCEL_STEPS(TL_CANCEL_TRY));
    task(f, 4, log, false);
    asks(f, "-1");
    sends(f, "RECORD_MARKER COMPLETE_WORKFLOW_EXECUTION");
    cancelled(f, CANCEL_STEPS(TL_CANCEL_ABANDON));
    task(f, 4, log, false);
    asks(f, "");
    cancelled(f, CANCEL_STEPS(TL_CANCEL_WAIT));
    task(f, 4, "signal stop", true);
    asks(f, "-1");
    ends(f, &(struct tl_local_end){.seq = 1, .attempt = 1, .result = value(f, "done anyway")},
         "local 1 completed done anyway", false);
}

/* Scheduled and cancelled before the worker sees it: it never runs, the marker says canceled. */
static void cancelled_unseen(void **state)
{
    struct fixture *f = *state;
    for (unsigned type = TL_CANCEL_TRY; type <= TL_CANCEL_ABANDON; type++) {
        tl_hb_init(&f->hb, &f->arena);
        tl_hb_start(&f->hb, "order");
        tl_hb_task(&f->hb);
        new_run(f, TL_STEPS(DO(LOCAL, .name = "a", .n = type), DO(CANCEL_LOCAL, .n = 1),
                            DO(WAIT_ACTIVITY, .n = 1), DO(COMPLETE)));
        task(f, 1, "init|local 1 canceled<Local activity cancelled a 1<Activity cancelledcanceled",
             false);
        asks(f, "");
        sends(f, "RECORD_MARKER COMPLETE_WORKFLOW_EXECUTION");
    }
}

/* Live, its own task's events come back and must fit the commands sent. */
static void a_cached_run_sees_its_marker(void **state)
{
    struct fixture *f = *state;
    new_run(f, TL_STEPS(DO(LOCAL, .name = "a"), DO(WAIT_ACTIVITY, .n = 1), DO(TIMER),
                        DO(WAIT_TIMER, .n = 1), DO(COMPLETE)));
    tl_hb_task(&f->hb);
    task(f, 1, "init", true);
    ends(f, &(struct tl_local_end){.seq = 1, .attempt = 1, .result = value(f, "x")},
         "local 1 completed x", false);
    tl_hb_task_completed(&f->hb);
    tl_hb_local(&f->hb, 1, "a", 1, "x");
    int64_t timer = tl_hb_timer_started(&f->hb, "1");
    tl_hb_timer_fired(&f->hb, timer);
    tl_hb_task(&f->hb);
    task(f, 4, "timer 1", false);
    assert_int_equal(tl_run_pending_count(f->run), 0);
    sends(f, "COMPLETE_WORKFLOW_EXECUTION");
}

/* Cancels of all types when the command is out already. */
static void cancelled_after_the_end(void **state)
{
    struct fixture *f = *state;
    for (unsigned type = TL_CANCEL_TRY; type <= TL_CANCEL_ABANDON; type++) {
        tl_hb_init(&f->hb, &f->arena);
        tl_hb_start(&f->hb, "order");
        tl_hb_task(&f->hb);
        new_run(f, TL_STEPS(DO(LOCAL, .name = "a", .n = type), DO(WAIT_ACTIVITY, .n = 1),
                            DO(CANCEL_LOCAL, .n = 1), DO(COMPLETE)));
        task(f, 1, "init", true);
        ends(f, &(struct tl_local_end){.seq = 1, .attempt = 1, .result = value(f, "x")},
             "local 1 completed x", false);
        sends(f, "RECORD_MARKER COMPLETE_WORKFLOW_EXECUTION");
    }
}

/* --- replay ----------------------------------------------------------------------------------- */

static tl_rc replay(struct fixture *f, const struct tl_step *steps)
{
    struct tl_replay_result result;
    tl_script_init(&f->script, steps);
    f->lang = tl_script_lang(&f->script);
    f->err = (struct tl_error){0};
    return tl_replay(tl_hb_history(&f->hb), NULL, &f->lang, &f->arena, &result, &f->err);
}

static void agrees(struct fixture *f, const struct tl_step *steps, const char *log)
{
    tl_rc rc = replay(f, steps);
    assert_string_equal(f->err.message, "");
    assert_int_equal(rc, TL_OK);
    assert_string_equal(f->script.log, log);
}

/* Ends with one index are told together, others apart; without indexes (older workers) together. */
static void batches(void **state)
{
    struct fixture *f = *state;
    const struct tl_step *steps =
        TL_STEPS(DO(LOCAL, .name = "a"), DO(LOCAL, .name = "b"), DO(LOCAL, .name = "c"),
                 DO(WAIT_ACTIVITY, .n = 3), DO(COMPLETE));
    static const struct {
        int index[3];
        const char *log;
    } rows[] = {
        {{1, 2, 3}, "init?|local 2 completed B?|local 1 completed A?|local 3 completed C?"},
        {{1, 1, 2}, "init?|local 2 completed B,local 1 completed A?|local 3 completed C?"},
        {{-1, -1, -1}, "init?|local 2 completed B,local 1 completed A,local 3 completed C?"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        tl_hb_init(&f->hb, &f->arena);
        tl_hb_start(&f->hb, "order");
        tl_hb_full_task(&f->hb);
        tl_hb_local(&f->hb, 2, "b", rows[i].index[0], "B");
        tl_hb_local(&f->hb, 1, "a", rows[i].index[1], "A");
        tl_hb_local(&f->hb, 3, "c", rows[i].index[2], "C");
        tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
        agrees(f, steps, rows[i].log);
        assert_int_equal(f->script.now_ns % 1000, 5); /* that of the last marker */
    }
}

/* Heartbeats before the marker: the code sees the time of the first task. */
static void heartbeats_are_one_task(void **state)
{
    struct fixture *f = *state;
    tl_hb_full_task(&f->hb);
    tl_hb_full_task(&f->hb);
    tl_hb_full_task(&f->hb);
    tl_hb_local(&f->hb, 1, "a", 0, "~");
    int64_t timer = tl_hb_timer_started(&f->hb, "1");
    tl_hb_timer_fired(&f->hb, timer);
    tl_hb_full_task(&f->hb);
    tl_hb_local(&f->hb, 2, "a", 0, NULL);
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    agrees(f,
           TL_STEPS(DO(LOCAL, .name = "a"), DO(WAIT_ACTIVITY, .n = 1), DO(TIMER),
                    DO(WAIT_TIMER, .n = 1), DO(LOCAL, .name = "a"), DO(WAIT_ACTIVITY, .n = 2),
                    DO(COMPLETE)),
           "init?|local 1 backs off<Local activity failed a 1<broken?|timer 1?|"
           "local 2 failed<Local activity failed a 2<broken?");
}

/* Replaying, a cancellation does nothing: before the marker is told, after, and when it says that it
 * was completed all the same. */
static void cancelled_on_replay(void **state)
{
    struct fixture *f = *state;
    for (unsigned type = TL_CANCEL_TRY; type <= TL_CANCEL_ABANDON; type++) {
        tl_hb_init(&f->hb, &f->arena);
        tl_hb_start(&f->hb, "order");
        tl_hb_full_task(&f->hb);
        tl_hb_local(&f->hb, 1, "a", 1, "!");
        tl_hb_local(&f->hb, 2, "b", 2, "B");
        tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
        agrees(f,
               TL_STEPS(DO(LOCAL, .name = "a", .n = type), DO(LOCAL, .name = "b"),
                        DO(CANCEL_LOCAL, .n = 1), DO(WAIT_ACTIVITY, .n = 1),
                        DO(CANCEL_LOCAL, .n = 1), DO(WAIT_ACTIVITY, .n = 2), DO(COMPLETE)),
               "init?|local 1 canceled<Local activity cancelled a 1<stoppedcanceled?|"
               "local 2 completed B?");
    }
}

/* Go's ids count the local activities of a run, whatever else the code numbers; others go by type. */
static void other_sdks_markers(void **state)
{
    struct fixture *f = *state;
    f->hb.sdk_name = NULL;
    tl_hb_full_task(&f->hb);
    tl_hb_activity_scheduled(&f->hb, "5", "remote");
    tl_hb_local_go(&f->hb, "2", "b", "B");
    tl_hb_local_go(&f->hb, "1", "a", "A");
    tl_hb_local_go(&f->hb, "some-uuid", "b", "late");
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    agrees(f,
           TL_STEPS(DO(ACTIVITY, .name = "remote"), DO(LOCAL, .name = "a"), DO(LOCAL, .name = "b"),
                    DO(LOCAL, .name = "b"), DO(WAIT_ACTIVITY, .n = 4), DO(COMPLETE)),
           "init?|local 3 completed B,local 2 completed A,local 4 completed late?");
    assert_int_equal(f->script.now_ns, INT64_C(2209086245500000000));
}

/* What does not fit is non-determinism and says what history has. */
static void divergences(void **state)
{
    struct fixture *f = *state;
    tl_hb_full_task(&f->hb);
    tl_hb_local(&f->hb, 1, "charge", 1, "x");
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    assert_int_equal(replay(f, TL_STEPS(DO(COMPLETE))), TL_ENONDETERMINISM);
    assert_non_null(strstr(f->err.message, "charge"));
    assert_int_equal(
        replay(f, TL_STEPS(DO(LOCAL, .name = "refund"), DO(WAIT_ACTIVITY, .n = 1), DO(COMPLETE))),
        TL_ENONDETERMINISM);
    assert_non_null(strstr(f->err.message, "history has the local activity 1 (charge), the code "
                                           "ran 1 (refund)"));
    assert_int_equal(replay(f, TL_STEPS(DO(ACTIVITY, .name = "charge"))), TL_ENONDETERMINISM);
}

static void bad_language_and_bad_markers(void **state)
{
    struct fixture *f = *state;
    tl_hb_full_task(&f->hb);
    tl_hb_marker(&f->hb, "core_local_activity"); /* without details */
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    assert_int_equal(replay(f, TL_STEPS(DO(COMPLETE))), TL_EINVAL);
    assert_non_null(strstr(f->err.message, "cannot be read"));
    tl_hb_init(&f->hb, &f->arena);
    tl_hb_start(&f->hb, "order");
    tl_hb_full_task(&f->hb);
    assert_int_equal(replay(f, TL_STEPS(DO(CANCEL_LOCAL, .n = 1))), TL_EINVAL);
    assert_int_equal(replay(f, TL_STEPS(DO(LOCAL, .name = ""))), TL_EINVAL);
}

/* Runs last. */
static void all_edges_are_taken(void **state)
{
    (void)state;
    unsigned missing = 0;
    const struct tl_fsm *fsm = &tl_local_fsm;
    for (unsigned i = 0; i < (unsigned)fsm->state_count * fsm->event_count; i++) {
        if (fsm->edges[i].next && !fsm->taken[i]) {
            print_message("not taken: %s --%s-->\n", fsm->states[i / fsm->event_count],
                          fsm->events[i % fsm->event_count]);
            missing++;
        }
    }
    assert_int_equal(missing, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_task_waits_for_them),
        TEST(a_heartbeat_goes_on_in_another_task),
        TEST(another_worker_runs_it_again),
        TEST(a_signal_goes_before_an_end),
        TEST(a_pause_is_left_to_the_code),
        TEST(a_broken_run_can_be_dropped_while_held),
        TEST(cancel_types),
        TEST(cancelled_unseen),
        TEST(a_cached_run_sees_its_marker),
        TEST(cancelled_after_the_end),
        TEST(batches),
        TEST(heartbeats_are_one_task),
        TEST(cancelled_on_replay),
        TEST(other_sdks_markers),
        TEST(divergences),
        TEST(bad_language_and_bad_markers),
        TEST(all_edges_are_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
