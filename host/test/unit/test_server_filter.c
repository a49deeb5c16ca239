/* The list filter language: what it compiles to and how it complains; the filter of known ids. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "server/visibility/filter.h"
#include "server/visibility/known.h"

static struct tl_arena arena;

static const char *compile(const char *text, struct tl_filter *f)
{
    static struct tl_error err;
    tl_rc rc = tl_filter_compile(tl_str(text), &arena, f, &err);
    return rc == TL_OK ? f->where : err.message;
}

static void test_compiles(void **state)
{
    (void)state;
    struct tl_filter f;
    assert_string_equal(compile("", &f), "");
    assert_string_equal(
        compile("WorkflowId = 'a' AND (ExecutionStatus != \"Running\" or NOT HistoryLength>=7)",
                &f),
        "(workflow_id=?) AND ((status!=?) OR NOT (history_length>=?))");
    assert_int_equal(f.bind_count, 3);
    assert_string_equal(f.binds[0].text.p, "a");
    assert_int_equal(f.binds[1].num, 1);
    assert_int_equal(f.binds[2].num, 7);
    assert_string_equal(compile("WorkflowType IN ('a', 'b''c') and RunId not in ('x')", &f),
                        "(type IN (?,?)) AND (run_id NOT IN (?))");
    assert_string_equal(f.binds[1].text.p, "b'c");
    assert_string_equal(compile("StartTime BETWEEN '2026-11-21T10:00:00Z' AND 5", &f),
                        "(start_ns BETWEEN ? AND ?)");
    assert_int_equal(f.binds[0].num, INT64_C(1795255200000000000));
    assert_string_equal(compile("WorkflowId STARTS_WITH 'or'", &f),
                        "(workflow_id>=? AND workflow_id<?)");
    assert_string_equal(compile("WorkflowId NOT STARTS_WITH 'or'", &f),
                        "(workflow_id<? OR workflow_id>=?)");
    assert_string_equal(compile("CloseTime IS NULL AND ParentWorkflowId IS NOT NULL", &f),
                        "(close_ns IS NULL) AND (parent_workflow_id IS NOT NULL)");
    assert_string_equal(compile("ExecutionDuration > '1h30m'", &f), "((close_ns-execution_ns)>?)");
    assert_int_equal(f.binds[0].num, INT64_C(5400000000000));
    compile("GROUP BY ExecutionStatus", &f);
    assert_string_equal(f.group_by, "status");
}

static void test_complains(void **state)
{
    (void)state;
    struct tl_filter f;
    static const struct {
        const char *query, *expected;
    } cases[] = {
        {"WorkflowID = 'x'", "did you mean \"WorkflowId\""},
        {"WorkflowId = 7", "position 14"},
        {"WorkflowId = 'x", "position 14"},
        {"WorkflowId 'x'", "an operator"},
        {"ExecutionStatus = 'Runing'", "a status"},
        {"StartTime > 'yesterday'", "a time"},
        {"HistoryLength = 'many'", "a whole number"},
        {"(WorkflowId = 'x'", "at the end"},
        {"WorkflowId = 'x' 'y'", "AND, OR or the end"},
        {"WorkflowId = 'x' ORDER BY StartTime", "ORDER BY is not supported"},
        {"GROUP BY WorkflowId", "ExecutionStatus only"},
        {"HistoryLength STARTS_WITH 'x'", "text attribute"},
        {"WorkflowId = 'x'; DROP TABLE run", "position 17"},
        {"Nonsense = 'x'", "no search attribute is called \"Nonsense\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *text = compile(cases[i].query, &f);
        if (!strstr(text, cases[i].expected)) {
            fail_msg("%s\n gave: %s\n not: %s", cases[i].query, text, cases[i].expected);
        }
    }
    char deep[200] = {0};
    memset(deep, '(', 120);
    assert_non_null(strstr(compile(deep, &f), "parentheses within each other"));
}

static void test_times(void **state)
{
    (void)state;
    int64_t ns;
    assert_int_equal(tl_filter_time(TL_STR_LIT("1970-01-01T00:00:01.5Z"), &ns, NULL), TL_OK);
    assert_int_equal(ns, 1500000000);
    assert_int_equal(tl_filter_time(TL_STR_LIT("2000-02-29T23:30:00-01:30"), &ns, NULL), TL_OK);
    assert_int_equal(ns, INT64_C(951872400000000000));
    assert_int_equal(tl_filter_time(TL_STR_LIT("2000-02-29"), &ns, NULL), TL_EINVAL);
    assert_int_equal(tl_filter_time(TL_STR_LIT("2000-02-29T23:30:00"), &ns, NULL), TL_EINVAL);
}

static void test_known(void **state)
{
    (void)state;
    struct tl_known a, b;
    char key[32];
    int maybe = 0;
    tl_known_init(&a, true);
    tl_known_init(&b, true);
    for (int i = 0; i < 60000; i++) {
        int n = snprintf(key, sizeof key, "id-%d", i);
        tl_known_add(i % 2 ? &a : &b, tl_str_n(key, (size_t)n));
    }
    tl_known_merge(&a, &b);
    for (int i = 0; i < 60000; i++) {
        int n = snprintf(key, sizeof key, "id-%d", i);
        assert_true(tl_known_maybe(&a, tl_str_n(key, (size_t)n)));
        n = snprintf(key, sizeof key, "other-%d", i);
        maybe += tl_known_maybe(&a, tl_str_n(key, (size_t)n));
    }
    assert_true(maybe < 3000);
    tl_known_deinit(&a);
    tl_known_init(&a, false);
    assert_true(tl_known_maybe(&a, TL_STR_LIT("x"))); /* not complete: nobody knows */
    tl_known_deinit(&a);
}

static int teardown(void **state)
{
    (void)state;
    tl_arena_deinit(&arena);
    return 0;
}

static int setup(void **state)
{
    (void)state;
    tl_arena_init(&arena, TL_ARENA_UNLIMITED);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_compiles, setup, teardown),
        cmocka_unit_test_setup_teardown(test_complains, setup, teardown),
        cmocka_unit_test_setup_teardown(test_times, setup, teardown),
        cmocka_unit_test_setup_teardown(test_known, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
