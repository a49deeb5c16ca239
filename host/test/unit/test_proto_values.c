/* Goal: payloads and failures are built as the protocol has them.
 * Method: build, look, encode and decode. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "proto/failure.h"
#include "proto/payload.h"
#include "proto/pb.h"
#include "proto/utf8.h"
#include "tl_enums.h"

static struct tl_arena arena;
static struct tl_buf out;
static struct tl_error err;

static int set_up(void **state)
{
    (void)state;
    tl_arena_init(&arena, 1024 * 1024);
    tl_buf_init(&out, 64 * 1024);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tl_arena_deinit(&arena);
    tl_buf_deinit(&out);
    return 0;
}

static void payloads_name_their_encoding(void **state)
{
    (void)state;
    struct {
        TpCommon__Payload *p;
        enum tl_payload_kind kind;
        const char *encoding;
    } rows[] = {
        {tl_payload_null(&arena), TL_PAYLOAD_NULL, "binary/null"},
        {tl_payload_new(&arena, "binary/plain", tl_str_n("\0\xff", 2)), TL_PAYLOAD_BYTES,
         "binary/plain"},
        {tl_payload_json(&arena, TL_STR_LIT("[1]")), TL_PAYLOAD_JSON, "json/plain"},
        {tl_payload_new(&arena, "binary/encrypted", TL_STR_LIT("x")), TL_PAYLOAD_OTHER,
         "binary/encrypted"},
        {tl_payload_new(&arena, TL_ENCODING_PROTOBUF, TL_STR_LIT("x")), TL_PAYLOAD_PROTOBUF,
         "binary/protobuf"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_non_null(rows[i].p);
        assert_int_equal(tl_payload_kind(rows[i].p), rows[i].kind);
        assert_true(tl_str_eqc(tl_payload_encoding(rows[i].p), rows[i].encoding));
    }
    assert_int_equal(rows[1].p->data.len, 2);
    assert_int_equal(tl_payload_kind(NULL), TL_PAYLOAD_OTHER);
    assert_int_equal(tl_payload_data(NULL).n, 0);
    TpCommon__Payload none = TP_COMMON__PAYLOAD__INIT;
    assert_int_equal(tl_payload_kind(&none), TL_PAYLOAD_OTHER);
    /* Replacing keeps one entry. */
    assert_true(tl_payload_set_metadata(&arena, rows[0].p, TL_STR_LIT("encoding"),
                                        TL_STR_LIT("json/plain")));
    assert_int_equal(rows[0].p->n_metadata, 1);
    assert_int_equal(tl_payload_kind(rows[0].p), TL_PAYLOAD_JSON);
    struct tl_arena small;
    tl_arena_init(&small, 64);
    assert_null(tl_payload_json(&small, TL_STR_LIT("[1]")));
    tl_arena_deinit(&small);
}

static void payload_text(void **state)
{
    (void)state;
    struct tl_str text;
    TpCommon__Payload *p = tl_payload_json_text(&arena, TL_STR_LIT("a \"b\"\n\xE2\x82\xAC"));
    assert_true(tl_str_eqc(tl_payload_data(p), "\"a \\\"b\\\"\\n\xE2\x82\xAC\""));
    assert_int_equal(tl_payload_text(p, &arena, &text, &err), TL_OK);
    assert_true(tl_str_eqc(text, "a \"b\"\n\xE2\x82\xAC"));
    p = tl_payload_json_text(&arena, TL_STR_LIT(""));
    assert_int_equal(tl_payload_text(p, &arena, &text, &err), TL_OK);
    assert_int_equal(text.n, 0);
    assert_null(tl_payload_json_text(&arena, TL_STR_LIT("\xff")));
    p = tl_payload_json(&arena, TL_STR_LIT("1"));
    assert_int_equal(tl_payload_text(p, &arena, &text, &err), TL_EINVAL);
    p = tl_payload_json(&arena, TL_STR_LIT("\"a\" x"));
    assert_int_equal(tl_payload_text(p, &arena, &text, &err), TL_EDECODE);
    assert_int_equal(tl_payload_text(tl_payload_null(&arena), &arena, &text, &err), TL_EINVAL);
}

static void payload_lists(void **state)
{
    (void)state;
    TpCommon__Payload *p = tl_payload_null(&arena);
    TpCommon__Payloads *one = tl_payloads_of(&arena, p);
    TpCommon__Payloads *none = tl_payloads_of(&arena, NULL);
    assert_ptr_equal(tl_payloads_at(one, 0), p);
    assert_null(tl_payloads_at(one, 1));
    assert_null(tl_payloads_at(NULL, 0));
    assert_int_equal(none->n_payloads, 0);
}

static void failures_have_their_kind(void **state)
{
    (void)state;
    TpCommon__Payloads *details = tl_payloads_of(&arena, tl_payload_null(&arena));
    struct tl_failure_application app = {.message = TL_STR_LIT("boom"),
                                         .type = TL_STR_LIT("T"),
                                         .stack_trace = TL_STR_LIT("at a\n\nat b"),
                                         .non_retryable = true,
                                         .next_retry_delay_ms = 1500,
                                         .category = APPLICATION_ERROR_CATEGORY_BENIGN,
                                         .details = details};
    TpFailure__Failure *cause = tl_failure_application(&arena, &app);
    assert_int_equal(cause->application_failure_info->next_retry_delay->nanos, 500000000);
    assert_string_equal(cause->source, TL_FAILURE_SOURCE);
    const struct {
        TpFailure__Failure *f;
        TpFailure__Failure__FailureInfoCase kind;
    } rows[] = {
        {cause, TP_FAILURE__FAILURE__FAILURE_INFO_APPLICATION_FAILURE_INFO},
        {tl_failure_timeout(&arena, TL_STR_LIT("t"), TIMEOUT_TYPE_HEARTBEAT, details),
         TP_FAILURE__FAILURE__FAILURE_INFO_TIMEOUT_FAILURE_INFO},
        {tl_failure_canceled(&arena, TL_STR_LIT("c"), details),
         TP_FAILURE__FAILURE__FAILURE_INFO_CANCELED_FAILURE_INFO},
        {tl_failure_terminated(&arena, TL_STR_LIT("k"), TL_STR_LIT("ops")),
         TP_FAILURE__FAILURE__FAILURE_INFO_TERMINATED_FAILURE_INFO},
        {tl_failure_server(&arena, TL_STR_LIT("s"), true),
         TP_FAILURE__FAILURE__FAILURE_INFO_SERVER_FAILURE_INFO},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tl_str bytes;
        TpFailure__Failure *back;
        assert_int_equal(rows[i].f->failure_info_case, rows[i].kind);
        assert_int_equal(tl_pb_encode_arena(rows[i].f, &arena, &bytes, &err), TL_OK);
        assert_int_equal(tl_pb_decode(&tp_failure__failure__descriptor, bytes, &arena, &back, &err),
                         TL_OK);
        assert_int_equal(back->failure_info_case, rows[i].kind);
        assert_string_equal(back->message, rows[i].f->message);
    }
}

static void failure_text_is_made_sendable(void **state)
{
    (void)state;
    struct tl_failure_application app = {
        .message = TL_STR_LIT("\xff ok \xE2\x82 \xE2\x82\xAC\xC3"),
        .type = tl_str_n("a\0b\xC3\xA9\0", 6),
    };
    TpFailure__Failure *f = tl_failure_application(&arena, &app);
    assert_string_equal(f->message, "? ok ?? \xE2\x82\xAC?");
    assert_string_equal(f->application_failure_info->type, "a\\0b\xC3\xA9\\0");
    struct tl_arena small;
    tl_arena_init(&small, 128);
    assert_null(tl_failure_application(&small, &app));
    tl_arena_deinit(&small);
}

static void utf8_edges(void **state)
{
    (void)state;
    // clang-format off
    static const char *const GOOD[] = {"", "abc", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80",
                                       "\xED\x9F\xBF", "\xEE\x80\x80", "\xEF\xBF\xBF",
                                       "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF", "12345678\xC3\xA9"};
    // clang-format on
    static const char *const BAD[] = {"\x80",
                                      "\xC0\x80",
                                      "\xC1\xBF",
                                      "\xC2",
                                      "\xC2\x41",
                                      "\xE0\x9F\xBF",
                                      "\xED\xA0\x80",
                                      "\xE2\x82",
                                      "\xF0\x8F\xBF\xBF",
                                      "\xF4\x90\x80\x80",
                                      "\xF5\x80\x80\x80",
                                      "\xF0\x90\x80",
                                      "1234567\xFF",
                                      "12345678\xC3"};
    for (size_t i = 0; i < sizeof GOOD / sizeof *GOOD; i++) {
        assert_true(tl_utf8_ok(tl_str(GOOD[i])));
    }
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        assert_false(tl_utf8_ok(tl_str(BAD[i])));
    }
    for (uint32_t c = 1; c < 0x110000; c += 97) {
        char bytes[4];
        size_t n = tl_utf8_put(bytes, c);
        bool surrogate = c >= 0xD800 && c <= 0xDFFF;
        assert_int_equal(tl_utf8_front(tl_str_n(bytes, n)), surrogate ? 0 : n);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(payloads_name_their_encoding),
        T(payload_text),
        T(payload_lists),
        T(failures_have_their_kind),
        T(failure_text_is_made_sendable),
        T(utf8_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
