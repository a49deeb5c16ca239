/* Goal: the command line's cells read as those of Temporal's own: times, durations, tables, cards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/world.h"
#include "cli/print.h"

static struct tl_arena arena;

static int setup(void **state)
{
    (void)state;
    tl_arena_init(&arena, 1 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tl_arena_deinit(&arena);
    return 0;
}

static void durations_are_written_as_go_writes_them(void **state)
{
    static const struct {
        int64_t ns;
        const char *text;
    } rows[] = {{0, "0s"},
                {1, "1ns"},
                {1500, "1.5us"},
                {20 * TL_NS_PER_MS, "20ms"},
                {1500 * TL_NS_PER_MS, "1.5s"},
                {60 * TL_NS_PER_S, "1m0s"},
                {90 * TL_NS_PER_S, "1m30s"},
                {INT64_C(259200) * TL_NS_PER_S, "72h0m0s"},
                {-1500 * TL_NS_PER_MS, "-1.5s"}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_string_equal(tl_print_duration(&arena, rows[i].ns), rows[i].text);
    }
}

static void ages_have_days_and_spaces(void **state)
{
    (void)state;
    assert_string_equal(tl_print_age(&arena, 0), "0s");
    assert_string_equal(tl_print_age(&arena, 61 * TL_NS_PER_S), "1m 1s");
    assert_string_equal(tl_print_age(&arena, 3600 * TL_NS_PER_S), "1h 0m 0s");
    assert_string_equal(tl_print_age(&arena, INT64_C(90000) * TL_NS_PER_S), "1d 1h 0m 0s");
}

static void relative_times_name_the_largest_unit(void **state)
{
    static const struct {
        int64_t ago_s;
        const char *text;
    } rows[] = {{0, "now"},
                {1, "1 second ago"},
                {59, "59 seconds ago"},
                {60, "1 minute ago"},
                {119, "1 minute ago"},
                {120, "2 minutes ago"},
                {3600, "1 hour ago"},
                {7200, "2 hours ago"},
                {86400, "1 day ago"},
                {6 * 86400, "6 days ago"},
                {7 * 86400, "1 week ago"},
                {15 * 86400, "2 weeks ago"},
                {30 * 86400, "1 month ago"},
                {61 * 86400, "2 months ago"},
                {365 * 86400, "1 year ago"},
                {800 * 86400, "2 years ago"},
                {-7200, "2 hours from now"}};
    struct tl_print p = {.now_ns = INT64_C(1900000000) * TL_NS_PER_S};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        Google__Protobuf__Timestamp t = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
        t.seconds = INT64_C(1900000000) - rows[i].ago_s;
        assert_string_equal(tl_print_time(&p, &arena, &t), rows[i].text);
    }
    assert_string_equal(tl_print_time(&p, &arena, NULL), "");
}

static void absolute_times(void **state)
{
    Google__Protobuf__Timestamp t = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    struct tl_print p = {.times = TL_PRINT_ISO};
    (void)state;
    t.seconds = 1795234526;
    t.nanos = 120000000;
    assert_string_equal(tl_print_time(&p, &arena, &t), "2026-11-21T04:15:26Z");
    p.times = TL_PRINT_RAW;
    assert_string_equal(tl_print_time(&p, &arena, &t), "2026-11-21 04:15:26.12 +0000 UTC");
}

static void tables_centre_titles_and_align_cells(void **state)
{
    static const struct tl_print_column columns[] = {{"Name", 0, false}, {"Count", 0, true}};
    static const char *const cells[] = {"a longer one", "7", "\xc3\xa4\xc3\xb6", "1234567"};
    struct tl_print p = {.mode = TL_PRINT_TEXT};
    (void)state;
    tl_buf_init(&p.out, 4096);
    tl_print_table(&p, columns, 2, cells, 2, true, 1);
    assert_string_equal(p.out.p, "      Name       Count \n"
                                 "  a longer one        7\n"
                                 "  \xc3\xa4\xc3\xb6            1234567\n");
    tl_buf_clear(&p.out);
    p.mode = TL_PRINT_NONE;
    tl_print_table(&p, columns, 2, cells, 2, true, 1);
    tl_print_line(&p, "%s", "nothing");
    assert_int_equal(p.out.n, 0);
    tl_buf_deinit(&p.out);
}

static void cards_leave_out_what_may_be_empty(void **state)
{
    static const struct tl_print_row rows[] = {
        {"WorkflowId", "w", false}, {"VeryLongNameOfNothing", "", true}, {"X", NULL, false}};
    struct tl_print p = {.mode = TL_PRINT_TEXT};
    struct tl_error err;
    (void)state;
    tl_buf_init(&p.out, 4096);
    tl_print_card(&p, rows, 3);
    assert_string_equal(p.out.p, "  WorkflowId  w\n  X           \n");
    tl_buf_clear(&p.out);
    p.mode = TL_PRINT_JSONL;
    assert_int_equal(tl_print_fields(&p, rows, 3, &err), TL_OK);
    assert_string_equal(p.out.p, "{\"workflowId\":\"w\",\"x\":\"\"}\n");
    tl_buf_deinit(&p.out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_are_written_as_go_writes_them),
        cmocka_unit_test(ages_have_days_and_spaces),
        cmocka_unit_test(relative_times_name_the_largest_unit),
        cmocka_unit_test(absolute_times),
        cmocka_unit_test(tables_centre_titles_and_align_cells),
        cmocka_unit_test(cards_leave_out_what_may_be_empty),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
