/* Skipped time: jumps to the next deadline while nothing runs, stands still while something does. */
#include "test_server_fixture.h"

static int setup(void **state)
{
    struct fx *f = tl_mem_alloc(sizeof *f);
    fx_init(f, false);
    f->o.time_skipping = true;
    f->o.time_skipping_locked = true;
    fx_open(f);
    *state = f;
    return 0;
}

static int64_t server_time(struct fx *f)
{
    TpTs__GetCurrentTimeResponse *r =
        fx_must(f, TL_M_GetCurrentTime, &(Google__Protobuf__Empty)GOOGLE__PROTOBUF__EMPTY__INIT);
    return tl_pb_timestamp_ns_or(r->time, 0);
}

static void lock(struct fx *f, bool on)
{
    TpTs__LockTimeSkippingRequest l = TP_TS__LOCK_TIME_SKIPPING_REQUEST__INIT;
    TpTs__UnlockTimeSkippingRequest u = TP_TS__UNLOCK_TIME_SKIPPING_REQUEST__INIT;
    if (on) {
        fx_must(f, TL_M_LockTimeSkipping, &l);
    } else {
        fx_must(f, TL_M_UnlockTimeSkipping, &u);
    }
}

static void test_month_long_timer(void **state)
{
    struct fx *f = *state;
    struct fx_call poll;
    int64_t real = f->now_ns, month = INT64_C(30) * 86400;
    fx_start_workflow(f, "o-1");
    TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
    fx_complete(f, w->task_token, fx_timer_command(f, "1", month * 1000), NULL);
    fx_start(f, &poll, TL_M_PollWorkflowTaskQueue, fx_poll_request(f, "orders", false));
    fx_pump(f);
    assert_null(poll.res); /* locked */
    int64_t before = server_time(f);
    lock(f, false);
    fx_pump(f);
    assert_non_null(poll.res);
    w = fx_end(&poll, NULL, NULL, NULL);
    assert_int_equal(f->now_ns, real);
    assert_int_equal(server_time(f) - before, month * TL_NS_PER_S);
    fx_pump(f);
    assert_int_equal(server_time(f) - before, month * TL_NS_PER_S); /* a worker has the task */
    fx_complete(f, w->task_token, fx_complete_command(f), NULL);
}

static void test_activity_holds_time(void **state)
{
    struct fx *f = *state;
    fx_start_workflow(f, "o-1");
    TpWs__PollWorkflowTaskQueueResponse *w = fx_poll(f);
    fx_complete(f, w->task_token, fx_activity_command(f, "1", 0), fx_timer_command(f, "2", 5000));
    TpWs__PollActivityTaskQueueResponse *a = fx_poll_activity(f);
    int64_t before = server_time(f);
    lock(f, false);
    fx_pump(f);
    assert_int_equal(server_time(f), before);
    fx_complete_activity(f, a->task_token);
    w = fx_poll(f);
    fx_complete(f, w->task_token, NULL, NULL);
    w = fx_poll(f); /* the timer: time has skipped to it */
    assert_int_equal(server_time(f), before + 5 * TL_NS_PER_S);
    fx_complete(f, w->task_token, fx_complete_command(f), NULL);
    assert_int_equal(f->now_ns, before);
}

static void test_sleep(void **state)
{
    struct fx *f = *state;
    TpTs__SleepRequest s = TP_TS__SLEEP_REQUEST__INIT;
    struct fx_call call;
    int64_t before = server_time(f);
    s.duration = tl_pb_duration_ms(&f->arena, 3600000);
    fx_start(f, &call, TL_M_Sleep, &s);
    fx_pump(f);
    assert_null(call.res); /* locked: real time */
    TpTs__SleepResponse *r = fx_must(f, TL_M_UnlockTimeSkippingWithSleep, &s);
    assert_non_null(r);
    assert_int_equal(server_time(f), before + INT64_C(3600) * TL_NS_PER_S);
    fx_end(&call, NULL, NULL, NULL);
    int status;
    char *message;
    TpTs__UnlockTimeSkippingRequest u = TP_TS__UNLOCK_TIME_SKIPPING_REQUEST__INIT;
    fx_must(f, TL_M_UnlockTimeSkipping, &u); /* locked again after the sleep */
    assert_null(fx_try(f, TL_M_UnlockTimeSkipping, &u, &status, &message, NULL));
    assert_int_equal(status, 9);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, fx_teardown)
    const struct CMUnitTest tests[] = {T(test_month_long_timer), T(test_activity_holds_time),
                                       T(test_sleep)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
