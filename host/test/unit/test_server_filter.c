/* The list filter language: what it compiles to and how it complains; the filter of known ids. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "server/visibility/attributes.h"
#include "server/visibility/filter.h"
#include "server/visibility/known.h"
#include "tl_enums.h"

static struct tl_arena arena;

static struct tl_attr custom_items[] = {
    {{"Who", 3}, INDEXED_VALUE_TYPE_KEYWORD},      {{"Note", 4}, INDEXED_VALUE_TYPE_TEXT},
    {{"Count", 5}, INDEXED_VALUE_TYPE_INT},        {{"Price", 5}, INDEXED_VALUE_TYPE_DOUBLE},
    {{"Paid", 4}, INDEXED_VALUE_TYPE_BOOL},        {{"Due", 3}, INDEXED_VALUE_TYPE_DATETIME},
    {{"Tags", 4}, INDEXED_VALUE_TYPE_KEYWORD_LIST}};
static const struct tl_attrs custom = {custom_items, 7};
static const struct tl_filter_scope scope = {&custom, 1, INT64_C(1000000) * 1000000000, false};

#define REST " AND number NOT IN (SELECT v.number FROM run v WHERE v.division IS NOT NULL)"
#define FIND "number IN (SELECT v.run FROM search_value v WHERE v.name=? AND "

static const char *compile(const char *text, struct tl_filter *f)
{
    static struct tl_error err;
    tl_rc rc = tl_filter_compile(tl_str(text), &scope, &arena, f, &err);
    return rc == TL_OK ? f->where : err.message;
}

/* What the query compiles to, without what every filter ends with. */
static void compiles(const char *query, const char *expected, struct tl_filter *f)
{
    char whole[1000];
    snprintf(whole, sizeof whole, "(%s)" REST, expected);
    assert_string_equal(compile(query, f), whole);
}

static void test_compiles(void **state)
{
    (void)state;
    struct tl_filter f;
    assert_string_equal(compile("", &f), REST + 5);
    compiles("WorkflowId = 'a' AND (ExecutionStatus != \"Running\" or NOT HistoryLength>=7)",
             "(workflow_id=?) AND ((status!=?) OR NOT (history_length>=?))", &f);
    assert_int_equal(f.bind_count, 3);
    assert_string_equal(f.binds[0].text.p, "a");
    assert_int_equal(f.binds[1].num, 1);
    assert_int_equal(f.binds[2].num, 7);
    compiles("WorkflowType IN ('a', 'b''c') and RunId not in ('x')",
             "(type IN (?,?)) AND (run_id NOT IN (?))", &f);
    assert_string_equal(f.binds[1].text.p, "b'c");
    compiles("StartTime BETWEEN '2026-11-21T10:00:00Z' AND 5", "(start_ns BETWEEN ? AND ?)", &f);
    assert_int_equal(f.binds[0].num, INT64_C(1795255200000000000));
    compiles("WorkflowId STARTS_WITH 'or'", "(workflow_id>=? AND workflow_id<?)", &f);
    compiles("WorkflowId NOT STARTS_WITH 'or'", "(workflow_id<? OR workflow_id>=?)", &f);
    compiles("CloseTime IS NULL AND `ParentWorkflowId` IS NOT NULL",
             "(close_ns IS NULL) AND (parent_workflow_id IS NOT NULL)", &f);
    compiles("\"ExecutionStatus\" = 'WORKFLOW_EXECUTION_STATUS_FAILED'", "(status=?)", &f);
    assert_int_equal(f.binds[0].num, 3);
    compile("GROUP BY ExecutionStatus", &f);
    assert_string_equal(f.group_by, "status");
    compiles("ScheduleId = 's'", "(workflow_id=?)", &f);
    compiles("TemporalWorkflowType = 's'", "(type=?)", &f);
    assert_string_equal(compile("NamespaceDivision = 'x'", &f), "((division=?))");
}

static void test_times_and_spans(void **state)
{
    (void)state;
    struct tl_filter f;
    static const struct {
        const char *query;
        int64_t expected;
    } cases[] = {
        {"ExecutionDuration > '1h30m'", INT64_C(5400000000000)},
        {"ExecutionDuration > '01:30:05'", INT64_C(5405000000000)},
        {"ExecutionDuration > 60", 60},
        {"ExecutionDuration > '60'", 60},
        {"ExecutionDuration > '-2s'", INT64_C(-2000000000)},
        {"StartTime > '24h'", scope.now_ns - INT64_C(86400000000000)},
        {"Due > '7d'", scope.now_ns - INT64_C(604800000000000)},
        {"StartTime > '2026-11-21'", INT64_C(1795219200000000000)},
        {"StartTime > '2026-11-21T01:00:00+01:00'", INT64_C(1795219200000000000)},
        {"StartTime > 17", 17},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *text = compile(cases[i].query, &f);
        if (f.bind_count == 0 || f.binds[f.bind_count - 1].num != cases[i].expected) {
            fail_msg("%s: %s", cases[i].query, text);
        }
    }
}

static void test_compiles_indexed(void **state)
{
    (void)state;
    struct tl_filter f;
    compiles("Who = 'me'", "(" FIND "(v.value=?)))", &f);
    assert_string_equal(f.binds[0].text.p, "1/2/Who");
    assert_string_equal(f.binds[1].text.p, "me");
    compiles("NOT Count > 3",
             "NOT ((SELECT v.value FROM search_value v WHERE v.run=run.number AND v.name=?)>?)",
             &f);
    compiles("Paid = true AND Price >= 1.5", "(" FIND "(v.value=?))) AND (" FIND "(v.value>=?)))",
             &f);
    assert_int_equal(f.binds[1].num, 1);
    assert_true(f.binds[3].kind == TL_VALUE_DOUBLE && f.binds[3].real == 1.5);
    compiles("Tags = 'a'", "(" FIND "v.value=?))", &f);
    compiles(
        "Tags NOT IN ('a','b')",
        "(number NOT IN (SELECT v.run FROM search_value v WHERE v.name=? AND v.value IN (?,?)))",
        &f);
    compiles("Note = 'Two words-here'",
             "(((" FIND "v.value=?)) OR (" FIND "v.value=?) AND " FIND "v.value=?))))", &f);
    assert_int_equal(f.bind_count, 6);
    assert_true(tl_str_eqc(f.binds[1].text, "two"));
    compiles("Who IS NULL",
             "(NOT EXISTS (SELECT 1 FROM search_value v WHERE v.run=run.number AND v.name=?))", &f);
    compiles("ChangeVersion = 'p-1'", "(" FIND "v.value=?))", &f);
    assert_string_equal(f.binds[0].text.p, "1/7/TemporalChangeVersion");
}

static void test_complains(void **state)
{
    (void)state;
    struct tl_filter f;
    static const struct {
        const char *query, *expected;
    } cases[] = {
        {"WorkflowID = 'x'", "did you mean \"WorkflowId\""},
        {"Countt = 1", "did you mean \"Count\""},
        {"WorkflowId = 7", "position 14"},
        {"WorkflowId = 'x", "position 14"},
        {"WorkflowId 'x'", "an operator"},
        {"ExecutionStatus = 'Runing'", "a status"},
        {"ExecutionStatus = 77", "a status"},
        {"StartTime > 'yesterday'", "a time"},
        {"StartTime > '24'", "a time"},
        {"HistoryLength = 'many'", "a number"},
        {"Paid = 'true'", "TRUE or FALSE"},
        {"(WorkflowId = 'x'", "at the end"},
        {"WorkflowId = 'x' 'y'", "AND, OR or the end"},
        {"WorkflowId = 'x' ORDER BY StartTime", "not supported: 'ORDER BY' clause"},
        {"ORDER BY StartTime", "not supported: 'ORDER BY' clause"},
        {"WorkflowId = 'x' LIMIT 5", "not supported: 'LIMIT' clause"},
        {"GROUP BY WorkflowId", "not supported for search attribute WorkflowId"},
        {"GROUP BY Who", "not supported for search attribute Who"},
        {"GROUP BY ExecutionStatus, WorkflowId", "only a single field"},
        {"HistoryLength STARTS_WITH 'x'", "position 15: operation is not supported: operator "
                                          "'STARTS_WITH' not supported for Int type "
                                          "search attribute 'HistoryLength'"},
        {"Tags > 'x'", "operator '>' not supported for KeywordList type search attribute 'Tags'"},
        {"Tags STARTS_WITH 'x'", "operator 'STARTS_WITH' not supported for KeywordList"},
        {"Note IN ('x')", "operator 'IN' not supported for Text type search attribute 'Note'"},
        {"Note < 'x'", "operator '<' not supported for Text"},
        {"Note = ' !! '", "no tokens found"},
        {"Paid BETWEEN true AND false", "operator 'BETWEEN' not supported for Bool"},
        {"'Who' = 'x'", "the name of a search attribute expected"},
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
        cmocka_unit_test_setup_teardown(test_compiles_indexed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_times_and_spans, setup, teardown),
        cmocka_unit_test_setup_teardown(test_complains, setup, teardown),
        cmocka_unit_test_setup_teardown(test_times, setup, teardown),
        cmocka_unit_test_setup_teardown(test_known, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
