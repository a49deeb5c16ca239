/* Goal: the arithmetic of policies: cron schedules, retry intervals, what is retried, timeouts.
 * Method: tables. Looks behind the module's contract. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "server/history/commands.h"
#include "server/history/policy.h"
#include "server/history/rs.h"

/* "2024-02-29 12:00" as nanoseconds, UTC. */
static int64_t at(const char *text)
{
    struct tm t = {0};
    assert_int_equal(sscanf(text, "%d-%d-%d %d:%d:%d", &t.tm_year, &t.tm_mon, &t.tm_mday,
                            &t.tm_hour, &t.tm_min, &t.tm_sec),
                     6);
    t.tm_year -= 1900;
    t.tm_mon -= 1;
    return (int64_t)timegm(&t) * TL_NS_IN_S;
}

static void schedules_find_their_next_time(void **state)
{
    static const struct {
        const char *schedule, *scheduled, *now, *next;
    } CASES[] = {
        {"* * * * *", "2024-03-01 10:00:00", "2024-03-01 10:00:00", "2024-03-01 10:01:00"},
        {"*/15 * * * *", "2024-03-01 10:00:00", "2024-03-01 10:07:30", "2024-03-01 10:15:00"},
        {"0 12 * * *", "2024-03-01 12:00:00", "2024-03-01 12:00:01", "2024-03-02 12:00:00"},
        /* Missed times are skipped, not made up for. */
        {"0 12 * * *", "2024-03-01 12:00:00", "2024-03-09 13:00:00", "2024-03-10 12:00:00"},
        {"0 0 29 2 *", "2024-03-01 00:00:00", "2024-03-01 00:00:00", "2028-02-29 00:00:00"},
        {"0 0 * * MON-FRI", "2024-03-01 00:00:00", "2024-03-01 00:00:01", "2024-03-04 00:00:00"},
        {"0 0 * * 7", "2024-03-01 00:00:00", "2024-03-01 00:00:01", "2024-03-03 00:00:00"},
        /* Day of month and day of week: either, when both are given. */
        {"0 0 13 * 5", "2024-03-02 00:00:00", "2024-03-02 00:00:00", "2024-03-08 00:00:00"},
        {"0 0 13 * 5", "2024-03-08 00:00:00", "2024-03-08 00:00:01", "2024-03-13 00:00:00"},
        {"5,35 8-10/2 * jan *", "2024-01-31 10:35:00", "2024-01-31 10:35:01",
         "2025-01-01 08:05:00"},
        {"30 4/6 * * *", "2024-03-01 05:00:00", "2024-03-01 05:00:00", "2024-03-01 10:30:00"},
        {"@hourly", "2024-03-01 10:00:00", "2024-03-01 10:59:59", "2024-03-01 11:00:00"},
        {"@weekly", "2024-03-01 10:00:00", "2024-03-01 10:00:00", "2024-03-03 00:00:00"},
        {"@every 90s", "2024-03-01 10:00:00", "2024-03-01 10:04:00", "2024-03-01 10:04:30"},
        {"CRON_TZ=UTC 0 6 * * *", "2024-03-01 10:00:00", "2024-03-01 10:00:00",
         "2024-03-02 06:00:00"},
        /* The time it was due at has not come yet: that one. */
        {"0 12 * * *", "2024-03-01 12:00:00", "2024-03-01 11:00:00", "2024-03-01 12:00:00"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        int64_t now_ns = at(CASES[i].now);
        int64_t want_ns = at(CASES[i].next) - now_ns;
        int64_t got_ns = tl_cron_backoff_ns(CASES[i].schedule, at(CASES[i].scheduled), now_ns);
        if (got_ns != want_ns) {
            fail_msg("%s after %s: %lld s, not %lld s", CASES[i].schedule, CASES[i].now,
                     (long long)(got_ns / TL_NS_IN_S), (long long)(want_ns / TL_NS_IN_S));
        }
    }
    /* Parts of a second count as a whole one. */
    int64_t late_ns = at("2024-03-01 10:00:30") + 1;
    assert_int_equal(tl_cron_backoff_ns("* * * * *", late_ns, late_ns), 30 * TL_NS_IN_S);
}

static void malformed_schedules_are_refused(void **state)
{
    static const char *const BAD[] = {
        "",
        "* * * *",
        "* * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 8",
        "a * * * *",
        "5-3 * * * *",
        "*/0 * * * *",
        "1,, * * * *",
        "@sometimes",
        "@every",
        "@every -3s",
        "CRON_TZ=Mars/Base 0 * * * *",
        "99999999999999999999 * * * *",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        if (tl_cron_check(BAD[i], NULL) != TL_EINVAL) {
            fail_msg("\"%s\" was accepted", BAD[i]);
        }
    }
    struct tl_error err = {0};
    assert_int_equal(tl_cron_check("0 0 31 2 *", &err), TL_EINVAL);
    assert_non_null(strstr(err.message, "no time can be found"));
    assert_int_equal(tl_cron_check("0 0 29 2 *", &err), TL_OK);
}

static void intervals_grow_to_the_maximum(void **state)
{
    static const struct {
        int32_t attempt, attempts_max;
        int64_t max_s, expiration_s, delay_s;
        int retry_state;
        int64_t interval_s;
    } CASES[] = {
        {1, 0, 100, 0, -1, RETRY_STATE_IN_PROGRESS, 2},
        {2, 0, 100, 0, -1, RETRY_STATE_IN_PROGRESS, 6},
        {4, 0, 100, 0, -1, RETRY_STATE_IN_PROGRESS, 54},
        {5, 0, 100, 0, -1, RETRY_STATE_IN_PROGRESS, 100},
        {1000, 0, 100, 0, -1, RETRY_STATE_IN_PROGRESS, 100},
        {2, 3, 100, 0, -1, RETRY_STATE_IN_PROGRESS, 6},
        {3, 3, 100, 0, -1, RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED, 0},
        {1, 0, 100, 1002, -1, RETRY_STATE_IN_PROGRESS, 2},
        {1, 0, 100, 1001, -1, RETRY_STATE_TIMEOUT, 0},
        {1, 0, 100, 0, 7, RETRY_STATE_IN_PROGRESS, 7},
        {1, 0, 100, 0, 700, RETRY_STATE_IN_PROGRESS, 100},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct tl_backoff b = tl_retry_backoff(
            1000 * TL_NS_IN_S, CASES[i].attempt, CASES[i].attempts_max, 2 * TL_NS_IN_S,
            CASES[i].max_s * TL_NS_IN_S, 3.0, CASES[i].expiration_s * TL_NS_IN_S,
            CASES[i].delay_s < 0 ? -1 : CASES[i].delay_s * TL_NS_IN_S);
        if (b.retry_state != CASES[i].retry_state ||
            b.interval_ns != CASES[i].interval_s * TL_NS_IN_S) {
            fail_msg("case %zu: state %d, %lld ns", i, b.retry_state, (long long)b.interval_ns);
        }
    }
}

static void some_failures_are_never_retried(void **state)
{
    TpFailure__Failure f = TP_FAILURE__FAILURE__INIT;
    TpFailure__TimeoutFailureInfo timeout = TP_FAILURE__TIMEOUT_FAILURE_INFO__INIT;
    TpFailure__CanceledFailureInfo canceled = TP_FAILURE__CANCELED_FAILURE_INFO__INIT;
    TpFailure__ActivityFailureInfo activity = TP_FAILURE__ACTIVITY_FAILURE_INFO__INIT;
    char *types[] = {(char *)(uintptr_t) "TemporalTimeout:Heartbeat"};
    (void)state;
    assert_true(tl_failure_is_retryable(NULL, NULL, 0));
    f.failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_TIMEOUT_FAILURE_INFO;
    f.timeout_failure_info = &timeout;
    static const struct {
        int type;
        bool plain, named;
    } TIMEOUTS[] = {
        {TIMEOUT_TYPE_START_TO_CLOSE, true, true},
        {TIMEOUT_TYPE_HEARTBEAT, true, false},
        {TIMEOUT_TYPE_SCHEDULE_TO_START, false, false},
        {TIMEOUT_TYPE_SCHEDULE_TO_CLOSE, false, false},
    };
    for (size_t i = 0; i < 4; i++) {
        timeout.timeout_type = (TpEnums__TimeoutType)TIMEOUTS[i].type;
        assert_int_equal(tl_failure_is_retryable(&f, NULL, 0), TIMEOUTS[i].plain);
        assert_int_equal(tl_failure_is_retryable(&f, types, 1), TIMEOUTS[i].named);
    }
    f.failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_CANCELED_FAILURE_INFO;
    f.canceled_failure_info = &canceled;
    assert_false(tl_failure_is_retryable(&f, NULL, 0));
    f.failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_ACTIVITY_FAILURE_INFO;
    f.activity_failure_info = &activity;
    assert_true(tl_failure_is_retryable(&f, NULL, 0));
}

static void timeouts_are_completed_as_the_server_does(void **state)
{
    (void)state;
    assert_int_equal(tl_run_timeout_ns(0, 0), 0);
    assert_int_equal(tl_run_timeout_ns(0, 5), 5);
    assert_int_equal(tl_run_timeout_ns(9, 5), 5);
    assert_int_equal(tl_run_timeout_ns(3, 5), 3);
    assert_int_equal(tl_task_timeout_ns(0, 0), 10 * TL_NS_IN_S);
    assert_int_equal(tl_task_timeout_ns(500 * TL_NS_IN_S, 0), 120 * TL_NS_IN_S);
    assert_int_equal(tl_task_timeout_ns(0, 4 * TL_NS_IN_S), 4 * TL_NS_IN_S);
    Google__Protobuf__Duration d = GOOGLE__PROTOBUF__DURATION__INIT;
    const char *problem = NULL;
    d.seconds = INT64_MAX;
    assert_int_equal(tl_duration_checked_ns(&d, &problem), TL_DURATION_MAX_NS);
    assert_null(problem);
    d.seconds = 1;
    d.nanos = -1;
    tl_duration_checked_ns(&d, &problem);
    assert_string_equal(problem, "mismatched signs");
    assert_int_equal(tl_ns_add(INT64_MAX - 5, 100), TL_NS_NEVER - 1);
}

static void causes_have_the_names_that_workers_see(void **state)
{
    char name[100];
    (void)state;
    tl_cause_name(WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND, name, sizeof(name));
    assert_string_equal(name, "UnhandledCommand");
    tl_cause_name(WORKFLOW_TASK_FAILED_CAUSE_BAD_START_TIMER_ATTRIBUTES, name, sizeof(name));
    assert_string_equal(name, "BadStartTimerAttributes");
    tl_cause_name(12345, name, sizeof(name));
    assert_string_equal(name, "Unspecified");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schedules_find_their_next_time),
        cmocka_unit_test(malformed_schedules_are_refused),
        cmocka_unit_test(intervals_grow_to_the_maximum),
        cmocka_unit_test(some_failures_are_never_retried),
        cmocka_unit_test(timeouts_are_completed_as_the_server_does),
        cmocka_unit_test(causes_have_the_names_that_workers_see),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
