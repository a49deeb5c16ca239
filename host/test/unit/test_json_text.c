/* Goal: the JSON value layer is strict and loses nothing; hostile text is an error value; base64 in both
 * alphabets.
 * Method: tables of texts. */
#include "test_proto_fixture.h"

#include <float.h>
#include <google/protobuf/struct.pb-c.h>
#include <locale.h>
#include <math.h>

#include "base/mem.h"
#include "base/rng.h"
#include "proto/base64.h"
#include "proto/json.h"

/* Reads all tokens; the first error. */
static tl_rc drain(struct tl_str text, unsigned flags, unsigned depth)
{
    struct tl_jreader r;
    struct tl_jtok t = {.kind = TL_J_NULL};
    tl_rc rc = TL_OK;
    tl_jreader_init(&r, text, flags, depth);
    while (rc == TL_OK && (rc = tl_jtok_next(&r, &t, &err)) == TL_OK && t.kind != TL_J_END) {
    }
    tl_jreader_deinit(&r);
    return rc;
}

static void strict_grammar(void **state)
{
    (void)state;
    // clang-format off
    static const char *const GOOD[] = {
        "null", " true ", "false", "0", "-0", "-12", "1.5", "1e5", "1E-5", "0.0", "\"\"", "[]",
        "{}", "[1,2]", "{\"a\":1}", "[[],{}]", "{\"a\":{\"b\":[null]}}",
        "\"\\u00e9\\ud83c\\udf19\"", "\t\r\n[ 1 , 2 ]\n", "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        "123456789012345678901234567890",
    };
    // clang-format on
    // clang-format off
    static const char *const BAD[] = {
        "", " ", "nul", "nulll", "tru", "01", "-", "-01", "1.", ".5", "1e", "1e+", "+1", "0x1",
        "NaN", "Infinity", "'a'", "\"", "\"a", "\"\\x\"", "\"\\u12\"", "\"\\ud83c\"",
        "\"\\udf19\"", "\"\\ud83cx\"", "\"\n\"", "[", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "]",
        "{", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,}", "{a:1}", "{1:1}", "{\"a\" 1}",
        "{\"a\":1 \"b\":2}", "[1}", "{\"a\":1]", "1 2", "{} []", "//x\n1", "[1]x", "1e999",
        "\xEF\xBB\xBF" "1", "\"\xff\"", "\"\xed\xa0\x80\"", "\"a\x01\"",
    };
    // clang-format on
    for (size_t i = 0; i < sizeof GOOD / sizeof *GOOD; i++) {
        if (drain(tl_str(GOOD[i]), 0, 10)) {
            fail_msg("%s: %s", GOOD[i], err.message);
        }
    }
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        if (drain(tl_str(BAD[i]), 0, 10) != TL_EDECODE) {
            fail_msg("accepted: %s", BAD[i]);
        }
    }
    assert_int_equal(drain(tl_str_n("\"a\0b\"", 5), 0, 1), TL_EDECODE);
    assert_int_equal(drain(TL_STR_LIT("\"\\ud83c\""), TL_JREAD_LONE_SURROGATES, 1), TL_OK);
    assert_int_equal(drain(TL_STR_LIT("[[[1]]]"), 0, 3), TL_OK);
    assert_int_equal(drain(TL_STR_LIT("[[[1]]]"), 0, 2), TL_ELIMIT);
}

static void errors_tell_the_place(void **state)
{
    (void)state;
    assert_int_equal(drain(TL_STR_LIT("{\n  \"a\": tru\n}"), 0, 3), TL_EDECODE);
    assert_non_null(strstr(err.message, "line 2, column 8"));
}

static void deep_nesting_is_limited(void **state)
{
    (void)state;
    size_t n = 3000000;
    char *text = tl_mem_alloc(n);
    memset(text, '[', n);
    assert_int_equal(drain(tl_str_n(text, n), 0, TL_JSON_DEPTH_CEILING), TL_ELIMIT);
    void *list;
    assert_int_equal(tl_json_read(&google__protobuf__list_value__descriptor, tl_str_n(text, n),
                                  NULL, &arena, &list, &err),
                     TL_ELIMIT);
    tl_mem_free(text);
}

static void numbers_keep_their_kind(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum tl_jkind kind;
        int64_t i;
        double d;
    } ROWS[] = {
        {"0", TL_J_INT, 0, 0},
        {"9223372036854775807", TL_J_INT, INT64_MAX, 9223372036854775807.0},
        {"-9223372036854775808", TL_J_INT, INT64_MIN, -9223372036854775808.0},
        {"9223372036854775808", TL_J_DOUBLE, 0, 9223372036854775808.0},
        {"-9223372036854775809", TL_J_DOUBLE, 0, -9223372036854775809.0},
        {"9007199254740993", TL_J_INT, 9007199254740993, 9007199254740993.0},
        {"1.0", TL_J_DOUBLE, 0, 1.0},
        {"1e2", TL_J_DOUBLE, 0, 100},
        {"0.1", TL_J_DOUBLE, 0, 0.1},
        {"-0.3", TL_J_DOUBLE, 0, -0.3},
        {"179769313486231570000000000000000000000e270", TL_J_DOUBLE, 0, DBL_MAX},
        {"4.9e-324", TL_J_DOUBLE, 0, 4.9e-324},
        {"0.000000000000000000000000000000000000000000000000000000000000000000001", TL_J_DOUBLE, 0,
         1e-69},
    };
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        struct tl_jreader r;
        struct tl_jtok t;
        tl_jreader_init(&r, tl_str(ROWS[i].text), 0, 0);
        assert_int_equal(tl_jtok_next(&r, &t, &err), TL_OK);
        assert_int_equal(t.kind, ROWS[i].kind);
        assert_true(t.i == ROWS[i].i);
        assert_true(t.d == ROWS[i].d);
        assert_true(tl_str_eqc(t.text, ROWS[i].text));
        tl_jreader_deinit(&r);
    }
}

static void doubles_are_shortest(void **state)
{
    (void)state;
    // clang-format off
    static const struct {
        double v;
        const char *text;
    } ROWS[] = {
        {0.1, "0.1"}, {1, "1"}, {-0.0, "-0"}, {1e15, "1e+15"},
        {123456789012345.0, "123456789012345"}, {0.1 + 0.2, "0.30000000000000004"},
        {5e-324, "5e-324"}, {DBL_MAX, "1.7976931348623157e+308"}, {1e21, "1e+21"}, {-2.5, "-2.5"},
        {1.0 / 3, "0.3333333333333333"},
    };
    // clang-format on
    char text[32];
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        size_t n = tl_json_double_text(ROWS[i].v, text);
        assert_string_equal(text, ROWS[i].text);
        assert_int_equal(strlen(text), n);
    }
    struct tl_rng rng;
    tl_rng_seed(&rng, 1);
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = tl_rng_next(&rng);
        double v;
        double back;
        memcpy(&v, &bits, sizeof v);
        if (v - v != 0) {
            continue;
        }
        size_t n = tl_json_double_text(v, text);
        assert_true(tl_json_double_value(tl_str_n(text, n), &back));
        assert_true(back == v);
    }
    tl_json_float_text(0.1f, text);
    assert_string_equal(text, "0.1");
}

static void locale_does_not_matter(void **state)
{
    (void)state;
    /* Where no locale with a comma is installed this still checks the C locale. */
    setlocale(LC_ALL, "de_DE.UTF-8");
    char text[32];
    double v;
    tl_json_double_text(1.0 / 3, text);
    assert_string_equal(text, "0.3333333333333333");
    assert_true(tl_json_double_value(TL_STR_LIT("1234.5678901234567"), &v) &&
                v == 1234.5678901234567);
    setlocale(LC_ALL, "C");
}

static void strings_are_decoded(void **state)
{
    (void)state;
    struct tl_jreader r;
    struct tl_jtok t;
    tl_jreader_init(&r, TL_STR_LIT("[\"plain\",\"a\\u0000b\\n\\ud83c\\udf19\",\"\",\"\\\\\"]"), 0,
                    2);
    assert_int_equal(tl_jtok_next(&r, &t, &err), TL_OK);
    assert_int_equal(tl_jtok_next(&r, &t, &err), TL_OK);
    assert_true(tl_str_eqc(t.text, "plain"));
    assert_int_equal(tl_jtok_next(&r, &t, &err), TL_OK);
    assert_true(tl_str_eq(t.text, tl_str_n("a\0b\n\xF0\x9F\x8C\x99", 8)));
    assert_int_equal(tl_jtok_next(&r, &t, &err), TL_OK);
    assert_true(t.text.n == 0 && t.text.p);
    assert_int_equal(tl_jtok_next(&r, &t, &err), TL_OK);
    assert_true(tl_str_eqc(t.text, "\\"));
    tl_jreader_deinit(&r);
}

static void reader_goes_back_and_skips(void **state)
{
    (void)state;
    struct tl_jreader r;
    struct tl_jtok t;
    tl_jreader_init(&r, TL_STR_LIT("{\"a\":[1,{\"x\":[]}],\"b\":2}"), 0, 5);
    assert_int_equal(tl_jtok_next(&r, &t, &err), TL_OK);
    struct tl_jmark mark = tl_jreader_mark(&r);
    for (int round = 0; round < 2; round++) {
        tl_jreader_rewind(&r, mark);
        assert_int_equal(tl_jtok_next(&r, &t, &err), TL_OK);
        assert_true(t.kind == TL_J_NAME && tl_str_eqc(t.text, "a"));
        assert_int_equal(tl_jtok_next(&r, &t, &err), TL_OK);
        assert_int_equal(tl_jtok_skip(&r, &t, &err), TL_OK);
        assert_int_equal(tl_jtok_next(&r, &t, &err), TL_OK);
        assert_true(t.kind == TL_J_NAME && tl_str_eqc(t.text, "b"));
    }
    tl_jreader_deinit(&r);
}

static void writer_writes(void **state)
{
    (void)state;
    struct tl_jw w;
    tl_jw_init(&w, &out, TL_JW_FLOAT_POINT, 5);
    tl_jw_object(&w);
    tl_jw_name(&w, TL_STR_LIT("a\"\n"));
    tl_jw_array(&w);
    tl_jw_int(&w, INT64_MIN);
    tl_jw_uint(&w, UINT64_MAX);
    tl_jw_double(&w, 3);
    tl_jw_double(&w, 1e300);
    tl_jw_bool(&w, true);
    tl_jw_null(&w);
    tl_jw_string(&w, tl_str_n("\x01\0\x7f", 3));
    tl_jw_base64(&w, TL_STR_LIT("hi"));
    tl_jw_array_end(&w);
    tl_jw_name(&w, TL_STR_LIT(""));
    tl_jw_object(&w);
    tl_jw_object_end(&w);
    tl_jw_object_end(&w);
    assert_int_equal(tl_jw_finish(&w, &err), TL_OK);
    assert_string_equal(out.p,
                        "{\"a\\\"\\n\":[-9223372036854775808,18446744073709551615,3.0,1e+300,"
                        "true,null,\"\\u0001\\u0000\x7f\",\"aGk=\"],\"\":{}}");
    assert_int_equal(drain(tl_buf_str(&out), 0, 5), TL_OK);
}

static void writer_reports_failures(void **state)
{
    (void)state;
    struct tl_jw w;
    tl_jw_init(&w, &out, 0, 1);
    tl_jw_array(&w);
    tl_jw_array(&w);
    tl_jw_array_end(&w);
    assert_int_equal(tl_jw_finish(&w, &err), TL_ELIMIT);
    tl_jw_init(&w, &out, 0, 1);
    tl_jw_string(&w, TL_STR_LIT("\xff"));
    assert_int_equal(tl_jw_finish(&w, &err), TL_EINVAL);
    tl_jw_init(&w, &out, 0, 1);
    tl_jw_double(&w, (double)INFINITY);
    assert_int_equal(tl_jw_finish(&w, &err), TL_EINVAL);
    struct tl_buf small;
    tl_buf_init(&small, 4);
    tl_jw_init(&w, &small, 0, 1);
    tl_jw_string(&w, TL_STR_LIT("longer"));
    assert_int_equal(tl_jw_finish(&w, &err), TL_ELIMIT);
    tl_buf_deinit(&small);
}

static void copies_keep_numbers(void **state)
{
    (void)state;
    const char *text = "{\"n\":[1.10,123456789012345678901234567890,-0.0],\"s\":\"\\u00e9\"}";
    struct tl_jreader r;
    struct tl_jtok t;
    struct tl_jw w;
    tl_jreader_init(&r, tl_str(text), 0, 4);
    tl_jw_init(&w, &out, TL_JW_PRETTY, 4);
    assert_int_equal(tl_jtok_next(&r, &t, &err), TL_OK);
    assert_int_equal(tl_jw_copy(&w, &r, &t, &err), TL_OK);
    assert_int_equal(tl_jw_finish(&w, &err), TL_OK);
    assert_string_equal(out.p, "{\n  \"n\": [\n    1.10,\n    123456789012345678901234567890,\n    "
                               "-0.0\n  ],\n  \"s\": \"\xC3\xA9\"\n}");
    tl_jreader_deinit(&r);
}

static void base64_both_alphabets(void **state)
{
    (void)state;
    static const struct {
        const char *text, *bytes;
    } ROWS[] = {{"", ""},        {"Zg==", "f"},        {"Zg", "f"},        {"Zm8=", "fo"},
                {"Zm9v", "foo"}, {"-_8=", "\xfb\xff"}, {"+/8", "\xfb\xff"}};
    char bytes[16];
    size_t n;
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        assert_true(tl_base64_decode(tl_str(ROWS[i].text), bytes, &n));
        assert_true(tl_str_eqc(tl_str_n(bytes, n), ROWS[i].bytes));
    }
    static const char *const BAD[] = {"Z", "Zg=", "Zg===", "Z g=", "=", "Zm9v=", "Z\xC3\xA9=="};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        assert_false(tl_base64_decode(tl_str(BAD[i]), bytes, &n));
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    // clang-format off
    const struct CMUnitTest tests[] = {
        T(strict_grammar), T(errors_tell_the_place), T(deep_nesting_is_limited),
        T(numbers_keep_their_kind), T(doubles_are_shortest), T(locale_does_not_matter),
        T(strings_are_decoded), T(reader_goes_back_and_skips), T(writer_writes),
        T(writer_reports_failures), T(copies_keep_numbers), T(base64_both_alphabets),
    };
    // clang-format on
    return cmocka_run_group_tests(tests, NULL, NULL);
}
