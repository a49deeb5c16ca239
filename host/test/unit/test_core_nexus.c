/* Goal: every edge of the machine of Nexus operations is taken by some history, and it does what the
 * official core's does.
 * Method: as test_core_machines.c. */
#include "test/unit/test_core_fixture.h"

#define E(name) EVENT_TYPE_NEXUS_OPERATION_##name
static const struct {
    int event;
    const char *told; /* when the code hears of it */
} ends[] = {
    {E(COMPLETED), "nexus 1 completed end"},
    {E(FAILED), "nexus 1 failed<end"},
    {E(CANCELED), "nexus 1 failed<end"},
    {E(TIMED_OUT), "nexus 1 failed<end"},
};
enum { ENDS = sizeof(ends) / sizeof(ends[0]) };

static void again(struct fixture *f)
{
    tl_hb_init(&f->hb, &f->arena);
    tl_hb_start(&f->hb, "order");
    tl_hb_full_task(&f->hb);
}

/* 5: Scheduled (6: Started) its end, task, Completed */
static void ends_are_told(void **state)
{
    struct fixture *f = *state;
    for (int started = 0; started < 2; started++) {
        for (size_t i = 0; i < ENDS; i++) {
            char log[200];
            again(f);
            int64_t op = tl_hb_nexus_scheduled(&f->hb, "charge");
            if (started) {
                tl_hb_follow(&f->hb, E(STARTED), op, NULL);
            }
            tl_hb_follow(&f->hb, ends[i].event, op, "end");
            tl_hb_full_task(&f->hb);
            tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
            snprintf(log, sizeof(log), "init?|%s%s?", started ? "nexus 1 started token," : "",
                     ends[i].told);
            agrees(f, TL_STEPS(DO(NEXUS, .name = "charge"), DO(WAIT_NEXUS, .n = 1), DO(COMPLETE)),
                   log);
        }
    }
}

/* An end without a failure, or without a result, is one still. */
static void bare_ends_are_told(void **state)
{
    struct fixture *f = *state;
    again(f);
    int64_t a = tl_hb_nexus_scheduled(&f->hb, "charge");
    int64_t b = tl_hb_nexus_scheduled(&f->hb, "charge");
    tl_hb_follow(&f->hb, E(FAILED), a, NULL);
    tl_hb_follow(&f->hb, E(COMPLETED), b, NULL);
    tl_hb_full_task(&f->hb);
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    agrees(f,
           TL_STEPS(DO(NEXUS, .name = "charge"), DO(NEXUS, .name = "charge"),
                    DO(WAIT_NEXUS, .n = 2), DO(COMPLETE)),
           "init?|nexus 1 failed<nexus operation completed unsuccessfully<canceled,"
           "nexus 2 completed?");
}

/* 5: Scheduled (6: Started) signal, task, CancelRequested unless abandoned, (Started,) the request's
 * answer, signal, task, the end, signal, task, Canceled. answer 0: none. */
static void cancelled(struct fixture *f, bool started_before, bool request, int answer, size_t end)
{
    again(f);
    int64_t op = tl_hb_nexus_scheduled(&f->hb, "charge");
    if (started_before) {
        tl_hb_follow(&f->hb, E(STARTED), op, NULL);
    }
    tl_hb_signaled(&f->hb, "stop");
    tl_hb_full_task(&f->hb);
    if (request) {
        tl_hb_follow(&f->hb, E(CANCEL_REQUESTED), op, NULL);
    }
    if (!started_before && answer) { /* the request is made of what has started */
        tl_hb_follow(&f->hb, E(STARTED), op, NULL);
    }
    if (answer) {
        tl_hb_follow(&f->hb, answer, op, "gone");
        tl_hb_event(&f->hb, tl_hb_last_id(&f->hb))->worker_may_ignore = true;
    }
    tl_hb_signaled(&f->hb, "more");
    tl_hb_full_task(&f->hb);
    tl_hb_follow(&f->hb, ends[end].event, op, "end");
    tl_hb_signaled(&f->hb, "end");
    tl_hb_full_task(&f->hb);
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED);
}

#define STEPS(type)                                                                                \
    TL_STEPS(DO(NEXUS, .name = "charge", .n = (type)), DO(WAIT_SIGNALS, .n = 1),                   \
             DO(CANCEL_NEXUS, .n = 1), DO(CANCEL_NEXUS, .n = 1), DO(WAIT_SIGNALS, .n = 2),         \
             DO(CANCEL_NEXUS, .n = 1), DO(WAIT_SIGNALS, .n = 3), DO(CANCEL_NEXUS, .n = 1),         \
             DO(CANCELED))
static const int answers[] = {0, E(CANCEL_REQUEST_COMPLETED), E(CANCEL_REQUEST_FAILED)};

static void cancelled_at_once(void **state)
{
    struct fixture *f = *state;
    for (int t = 0; t < 2; t++) {
        enum tl_cancellation_type type = t ? TL_CANCEL_ABANDON : TL_CANCEL_TRY;
        for (int started = 0; started < 2; started++) {
            for (size_t end = 0; end < ENDS; end++) {
                for (int a = 0; a < (t ? 1 : 3); a++) {
                    cancelled(f, started, !t, answers[a], end);
                    assert_int_equal(replay(f, STEPS(type)), TL_OK);
                    const char *told = strstr(f->script.log, "cancelled after starting<canceled");
                    assert_non_null(told);
                    assert_null(strstr(told, "nexus 1")); /* nothing of what comes later */
                }
            }
        }
    }
}

static void cancellations_that_wait(void **state)
{
    struct fixture *f = *state;
    for (int t = 0; t < 2; t++) {
        for (int started = 0; started < 2; started++) {
            for (size_t end = 0; end < ENDS; end++) {
                for (int a = 0; a < 3; a++) {
                    cancelled(f, started, true, answers[a], end);
                    assert_int_equal(
                        replay(f, STEPS(t ? TL_CANCEL_WAIT_REQUESTED : TL_CANCEL_WAIT)), TL_OK);
                    const char *stop = strstr(f->script.log, "signal stop");
                    const char *last = strstr(stop, "signal end");
                    const char *told =
                        strstr(stop, a == 2 ? "request failed<gone" : "request completed<canceled");
                    bool early = t && a;
                    assert_true(early == (told && told < last));
                    assert_true(early != (strstr(last, ends[end].told) != NULL));
                }
            }
        }
    }
}

/* A handler that ends it at once, or later, after the cancellation was asked for but before it has
 * started: DONE is reached from CANCELING. */
static void ends_cross_the_cancellation(void **state)
{
    struct fixture *f = *state;
    for (size_t end = 0; end < ENDS; end++) {
        cancelled(f, false, true, 0, end);
        assert_int_equal(replay(f, STEPS(TL_CANCEL_WAIT)), TL_OK);
        assert_non_null(strstr(f->script.log, ends[end].told));
    }
    /* What became of the request is told after the end: nobody cares. */
    again(f);
    int64_t op = tl_hb_nexus_scheduled(&f->hb, "charge");
    tl_hb_follow(&f->hb, E(STARTED), op, NULL);
    tl_hb_signaled(&f->hb, "stop");
    tl_hb_full_task(&f->hb);
    tl_hb_follow(&f->hb, E(CANCEL_REQUESTED), op, NULL);
    tl_hb_follow(&f->hb, E(COMPLETED), op, "end");
    tl_hb_follow(&f->hb, E(CANCEL_REQUEST_COMPLETED), op, NULL);
    tl_hb_event(&f->hb, tl_hb_last_id(&f->hb))->worker_may_ignore = true;
    tl_hb_full_task(&f->hb);
    tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    agrees(f,
           TL_STEPS(DO(NEXUS, .name = "charge", .n = TL_CANCEL_WAIT), DO(WAIT_SIGNALS, .n = 1),
                    DO(CANCEL_NEXUS, .n = 1), DO(WAIT_NEXUS, .n = 1), DO(COMPLETE)),
           "init?|signal stop,nexus 1 started token?|nexus 1 completed end?");
}

/* Cancelled in the task that scheduled it: no command is left. */
static void taken_back(void **state)
{
    struct fixture *f = *state;
    static const enum tl_cancellation_type types[] = {TL_CANCEL_TRY, TL_CANCEL_WAIT,
                                                      TL_CANCEL_ABANDON, TL_CANCEL_WAIT_REQUESTED};
    for (size_t i = 0; i < 4; i++) {
        again(f);
        tl_hb_add(&f->hb, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
        assert_int_equal(
            replay(f, TL_STEPS(DO(NEXUS, .name = "charge", .n = types[i]), DO(CANCEL_NEXUS, .n = 1),
                               DO(CANCEL_NEXUS, .n = 1), DO(COMPLETE))),
            TL_OK);
    }
}

static void what_differs_is_told(void **state)
{
    struct fixture *f = *state;
    again(f);
    tl_hb_nexus_scheduled(&f->hb, "charge");
    assert_int_equal(replay(f, TL_STEPS(DO(NEXUS, .name = "refund"), DO(WAIT_NEXUS, .n = 1))),
                     TL_ENONDETERMINISM);
    assert_non_null(strstr(f->err.message, "the operation 'charge', the code scheduled 'refund'"));
    assert_int_equal(replay(f, TL_STEPS(DO(TIMER), DO(WAIT_TIMER, .n = 1))), TL_ENONDETERMINISM);
    assert_non_null(strstr(f->err.message, "NexusOperationScheduled(payments charge)"));
    again(f);
    tl_hb_follow(&f->hb, E(COMPLETED), 3, "end");
    assert_int_equal(replay(f, TL_STEPS(DO(WAIT_SIGNALS, .n = 1))), TL_ENONDETERMINISM);
    assert_int_equal(replay(f, TL_STEPS(DO(CANCEL_NEXUS, .n = 7))), TL_EINVAL);
}

static bool is_mine(const char *machine)
{
    return strcmp(machine, "Nexus operation") == 0;
}

static void all_edges_are_taken(void **state)
{
    (void)state;
    assert_edges_taken(is_mine);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(ends_are_told),           TEST(bare_ends_are_told),          TEST(cancelled_at_once),
        TEST(cancellations_that_wait), TEST(ends_cross_the_cancellation), TEST(taken_back),
        TEST(what_differs_is_told),    TEST(all_edges_are_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
