/* Goal: the mapping of messages to JSON equals proto3's and reads every spelling that Temporal's tools
 * have written; hostile text is an error value.
 * Method: tables of texts, and random messages of every type through JSON and back. */
#include "test_proto_fixture.h"

#include <google/protobuf/any.pb-c.h>
#include <google/protobuf/struct.pb-c.h>
#include <google/protobuf/wrappers.pb-c.h>
#include <math.h>
#include <temporal/api/common/v1/message.pb-c.h>
#include <temporal/api/history/v1/message.pb-c.h>
#include <temporal/api/protocol/v1/message.pb-c.h>
#include <temporal/api/workflowservice/v1/request_response.pb-c.h>

#include "proto/json.h"
#include "proto/payload.h"
#include "proto/pb.h"
#include "test/support/pb_random.h"
#include "tl_enums.h"

/* --- messages --- */

static void written(const void *msg, const struct tl_json_write_options *o, const char *text)
{
    tl_buf_clear(&out);
    assert_int_equal(tl_json_write(msg, o, &out, &err), TL_OK);
    assert_string_equal(out.p, text);
}

static void *read_ok(const ProtobufCMessageDescriptor *desc, const char *text,
                     const struct tl_json_read_options *o)
{
    void *msg = NULL;
    if (tl_json_read(desc, tl_str(text), o, &arena, &msg, &err)) {
        fail_msg("%s: %s", text, err.message);
    }
    return msg;
}

static void read_fails(const ProtobufCMessageDescriptor *desc, const char *text)
{
    void *msg = NULL;
    if (tl_json_read(desc, tl_str(text), NULL, &arena, &msg, &err) != TL_EDECODE) {
        fail_msg("accepted: %s", text);
    }
}

static void random_messages_round_trip(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4000; i++) {
        struct tl_test_pb t = {.arena = &arena, .depth_max = 4, .unique_keys = true};
        const ProtobufCMessageDescriptor *desc = tl_pb_message_at(i % tl_test_pb_count());
        struct tl_json_write_options o = {
            .pretty = i % 3 == 0, .proto_names = i % 5 == 0, .enums = (enum tl_json_enums)(i % 3)};
        tl_arena_reset(&arena);
        tl_rng_seed(&t.rng, i);
        void *msg = tl_test_pb_message(&t, desc);
        void *back = NULL;
        struct tl_str before;
        struct tl_str after;
        tl_buf_clear(&out);
        assert_int_equal(tl_json_write(msg, &o, &out, &err), TL_OK);
        if (tl_json_read(desc, tl_buf_str(&out), NULL, &arena, &back, &err)) {
            fail_msg("%s, seed %zu: %s in %s", desc->name, i, err.message, out.p);
        }
        assert_int_equal(tl_pb_encode_arena(msg, &arena, &before, &err), TL_OK);
        assert_int_equal(tl_pb_encode_arena(back, &arena, &after, &err), TL_OK);
        if (!tl_str_eq(before, after)) {
            fail_msg("%s, seed %zu changed: %s", desc->name, i, out.p);
        }
    }
}

static void enums_in_every_spelling(void **state)
{
    (void)state;
    static const char *const SPELLINGS[] = {
        "EVENT_TYPE_WORKFLOW_EXECUTION_STARTED", "WorkflowExecutionStarted",
        "WORKFLOW_EXECUTION_STARTED", "EventTypeWorkflowExecutionStarted",
        "workflow_execution_started"};
    int value;
    const ProtobufCEnumDescriptor *desc = &tp_enums__event_type__descriptor;
    for (size_t i = 0; i < sizeof SPELLINGS / sizeof *SPELLINGS; i++) {
        assert_true(tl_json_enum_value(desc, tl_str(SPELLINGS[i]), &value));
        assert_int_equal(value, EVENT_TYPE_WORKFLOW_EXECUTION_STARTED);
    }
    assert_false(tl_json_enum_value(desc, TL_STR_LIT("WorkflowExecutionStarte"), &value));
    assert_false(tl_json_enum_value(desc, TL_STR_LIT(""), &value));
    char text[64];
    assert_int_equal(tl_json_enum_short(desc, EVENT_TYPE_TIMER_FIRED, text, sizeof text), 10);
    assert_string_equal(text, "TimerFired");
    assert_int_equal(tl_json_enum_short(desc, 9999, text, sizeof text), 0);
    /* Every value of every enum that a message uses comes back from its short form. */
    for (unsigned i = 0; i < desc->n_values; i++) {
        size_t n = tl_json_enum_short(desc, desc->values[i].value, text, sizeof text);
        assert_true(tl_json_enum_value(desc, tl_str_n(text, n), &value));
        assert_int_equal(value, desc->values[i].value);
    }
}

static void fields_in_both_spellings(void **state)
{
    (void)state;
    TpHistory__HistoryEvent *e = read_ok(
        &tp_history__history_event__descriptor,
        "{\"event_id\":\"5\",\"eventType\":\"TimerFired\",\"eventTime\":\"2026-01-02T03:04:05."
        "678Z\","
        "\"timerFiredEventAttributes\":{\"timer_id\":\"t\",\"startedEventId\":4},\"version\":null}",
        NULL);
    assert_int_equal(e->event_id, 5);
    assert_int_equal(e->event_type, EVENT_TYPE_TIMER_FIRED);
    assert_int_equal(e->event_time->seconds, 1767323045);
    assert_int_equal(e->event_time->nanos, 678000000);
    assert_int_equal(e->attributes_case,
                     TP_HISTORY__HISTORY_EVENT__ATTRIBUTES_TIMER_FIRED_EVENT_ATTRIBUTES);
    assert_int_equal(e->timer_fired_event_attributes->started_event_id, 4);
    /* The last of two wins. */
    e = read_ok(&tp_history__history_event__descriptor, "{\"eventId\":1,\"event_id\":2.0}", NULL);
    assert_int_equal(e->event_id, 2);
}

static void unknown_names(void **state)
{
    (void)state;
    const ProtobufCMessageDescriptor *desc = &tp_history__history_event__descriptor;
    struct tl_json_read_options ignore = {.ignore_unknown = true};
    read_fails(desc, "{\"x\":1}");
    read_fails(desc, "{\"eventType\":\"Nonsense\"}");
    TpHistory__HistoryEvent *e =
        read_ok(desc, "{\"x\":{\"y\":[1,{}]},\"eventType\":\"Nonsense\",\"eventId\":3}", &ignore);
    assert_int_equal(e->event_id, 3);
    assert_int_equal(e->event_type, 0);
}

static void wrong_types_are_refused(void **state)
{
    (void)state;
    // clang-format off
    static const char *const BAD[] = {
        "[]", "1", "null", "\"x\"", "{\"eventId\":1.5}", "{\"eventId\":\"1x\"}",
        "{\"eventId\":\" 1\"}", "{\"eventId\":\"\"}", "{\"eventId\":true}",
        "{\"eventId\":9223372036854775808}", "{\"eventTime\":1}",
        "{\"eventTime\":\"2026-02-30T00:00:00Z\"}", "{\"eventTime\":\"2026-01-01\"}",
        "{\"eventTime\":\"2026-01-01T00:00:00\"}", "{\"workerMayIgnore\":1}",
        "{\"workerMayIgnore\":\"true\"}", "{\"eventType\":3000000000}",
        "{\"timerFiredEventAttributes\":[]}", "{\"timerFiredEventAttributes\":{\"timerId\":1}}",
        "{\"timerFiredEventAttributes\":{\"timerId\":\"a\\u0000\"}}", "{\"links\":{}}",
        "{\"links\":[null]}", "{\"eventId\":1}x",
    };
    // clang-format on
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        read_fails(&tp_history__history_event__descriptor, BAD[i]);
    }
    read_fails(&tp_common__payload__descriptor, "{\"data\":\"!\"}");
    read_fails(&tp_common__payload__descriptor, "{\"metadata\":[]}");
    read_fails(&tp_common__payload__descriptor, "{\"metadata\":{\"a\":null}}");
    /* An arena that is too small is a limit, not a malformed text. */
    struct tl_arena small;
    void *msg;
    tl_arena_init(&small, 64);
    assert_int_equal(tl_json_read(&tp_history__history_event__descriptor, TL_STR_LIT("{}"), NULL,
                                  &small, &msg, &err),
                     TL_ELIMIT);
    tl_arena_deinit(&small);
}

static void times_have_their_text(void **state)
{
    (void)state;
    static const struct {
        int64_t s;
        int32_t ns;
        const char *text;
    } TIMES[] = {
        {0, 0, "\"1970-01-01T00:00:00Z\""},
        {-1, 999000000, "\"1969-12-31T23:59:59.999Z\""},
        {951782400, 1000, "\"2000-02-29T00:00:00.000001Z\""},
        {253402300799, 999999999, "\"9999-12-31T23:59:59.999999999Z\""},
        {-62135596800, 0, "\"0001-01-01T00:00:00Z\""},
    };
    for (size_t i = 0; i < sizeof TIMES / sizeof *TIMES; i++) {
        Google__Protobuf__Timestamp t = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
        t.seconds = TIMES[i].s;
        t.nanos = TIMES[i].ns;
        written(&t, NULL, TIMES[i].text);
    }
    Google__Protobuf__Timestamp *t =
        read_ok(&google__protobuf__timestamp__descriptor, "\"2026-01-01T01:30:00.5+02:00\"", NULL);
    assert_int_equal(t->seconds, 1767223800);
    assert_int_equal(t->nanos, 500000000);
    Google__Protobuf__Timestamp far = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    far.seconds = 253402300800;
    assert_int_equal(tl_json_write(&far, NULL, &out, &err), TL_EINVAL);
    // clang-format off
    static const struct {
        int64_t s;
        int32_t ns;
        const char *text;
    } SPANS[] = {{0, 0, "\"0s\""}, {1, 500000000, "\"1.500s\""}, {0, -1, "\"-0.000000001s\""},
                 {-3, -250000, "\"-3.000250s\""}, {315576000000, 0, "\"315576000000s\""}};
    // clang-format on
    for (size_t i = 0; i < sizeof SPANS / sizeof *SPANS; i++) {
        Google__Protobuf__Duration d = GOOGLE__PROTOBUF__DURATION__INIT;
        d.seconds = SPANS[i].s;
        d.nanos = SPANS[i].ns;
        written(&d, NULL, SPANS[i].text);
        Google__Protobuf__Duration *back =
            read_ok(&google__protobuf__duration__descriptor, SPANS[i].text, NULL);
        assert_true(back->seconds == d.seconds && back->nanos == d.nanos);
    }
    // clang-format off
    static const char *const BAD[] = {"\"1\"", "\"s\"", "\"1m\"", "\"1.s\"", "\"1.0000000001s\"",
                                      "\"--1s\"", "\"+1s\"", "\"999999999999s\"", "1", "\"1s \""};
    // clang-format on
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        read_fails(&google__protobuf__duration__descriptor, BAD[i]);
    }
}

static void any_shows_its_message(void **state)
{
    (void)state;
    TpProtocol__Message m = TP_PROTOCOL__MESSAGE__INIT;
    Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
    uint8_t name[] = {0x0A, 0x01, 'x'};
    m.body = &any;
    any.type_url = "type.googleapis.com/temporal.api.common.v1.WorkflowType";
    any.value = (ProtobufCBinaryData){3, name};
    written(&m, NULL,
            "{\"body\":{\"@type\":\"type.googleapis.com/temporal.api.common.v1."
            "WorkflowType\",\"name\":\"x\"}}");
    TpProtocol__Message *back =
        read_ok(&tp_protocol__message__descriptor,
                "{\"body\":{\"name\":\"x\",\"@type\":\"type.googleapis.com/temporal.api.common.v1."
                "WorkflowType\"}}",
                NULL);
    assert_int_equal(back->body->value.len, 3);
    assert_memory_equal(back->body->value.data, name, 3);
    /* A type with JSON of its own is in "value". */
    uint8_t seconds[] = {0x08, 0x02};
    any.type_url = "type.googleapis.com/google.protobuf.Duration";
    any.value = (ProtobufCBinaryData){2, seconds};
    written(&any, NULL,
            "{\"@type\":\"type.googleapis.com/google.protobuf.Duration\",\"value\":"
            "\"2s\"}");
    Google__Protobuf__Any *inner = read_ok(&google__protobuf__any__descriptor, out.p, NULL);
    assert_int_equal(inner->value.len, 2);
    /* An unknown type and broken bytes keep their bytes. */
    any.type_url = "x.y/none.Such";
    written(&any, NULL, "{\"@type\":\"x.y/none.Such\",\"@bytes\":\"CAI=\"}");
    inner = read_ok(&google__protobuf__any__descriptor, out.p, NULL);
    assert_int_equal(inner->value.len, 2);
    assert_string_equal(inner->type_url, "x.y/none.Such");
    any.type_url = "type.googleapis.com/temporal.api.common.v1.WorkflowType";
    any.value.len = 1;
    written(&any, NULL,
            "{\"@type\":\"type.googleapis.com/temporal.api.common.v1.WorkflowType\","
            "\"@bytes\":\"CA==\"}");
    inner = read_ok(&google__protobuf__any__descriptor, out.p, NULL);
    assert_int_equal(inner->value.len, 1);
    inner = read_ok(&google__protobuf__any__descriptor, "{}", NULL);
    assert_int_equal(inner->value.len, 0);
    read_fails(&google__protobuf__any__descriptor, "{\"@type\":1}");
    read_fails(&google__protobuf__any__descriptor, "{\"@type\":\"x/none.Such\",\"value\":1}");
}

static void of_equal_keys_the_last_is_written(void **state)
{
    (void)state;
    TpCommon__Payload *p = tl_payload_new(&arena, "a", TL_STR_LIT("x"));
    assert_true(tl_payload_set_metadata(&arena, p, TL_STR_LIT("k"), TL_STR_LIT("b")));
    assert_true(tl_payload_set_metadata(&arena, p, TL_STR_LIT("z"), TL_STR_LIT("c")));
    p->metadata[2]->key = p->metadata[0]->key;
    written(p, NULL, "{\"metadata\":{\"k\":\"Yg==\",\"encoding\":\"Yw==\"},\"data\":\"eA==\"}");
}

static void values_and_wrappers(void **state)
{
    (void)state;
    const char *text = "{\"a\":[1,null,\"s\",true,{}],\"b\":{\"c\":-1.5}}";
    Google__Protobuf__Struct *s = read_ok(&google__protobuf__struct__descriptor, text, NULL);
    written(s, NULL, text);
    Google__Protobuf__DoubleValue *d =
        read_ok(&google__protobuf__double_value__descriptor, "\"NaN\"", NULL);
    assert_true(d->value != d->value);
    written(d, NULL, "\"NaN\"");
    d->value = -(double)INFINITY;
    written(d, NULL, "\"-Infinity\"");
    Google__Protobuf__UInt64Value *u =
        read_ok(&google__protobuf__uint64_value__descriptor, "18446744073709551615", NULL);
    assert_true(u->value == UINT64_MAX);
    written(u, NULL, "\"18446744073709551615\"");
    read_fails(&google__protobuf__uint64_value__descriptor, "18446744073709551616");
    read_fails(&google__protobuf__uint64_value__descriptor, "-1");
    read_fails(&google__protobuf__float_value__descriptor, "1e39");
    read_fails(&google__protobuf__int32_value__descriptor, "2147483648");
}

static void defaults_on_request(void **state)
{
    (void)state;
    TpCommon__WorkflowType t = TP_COMMON__WORKFLOW_TYPE__INIT;
    struct tl_json_write_options o = {.defaults = true};
    written(&t, NULL, "{}");
    written(&t, &o, "{\"name\":\"\"}");
    TpCommon__Payload p = TP_COMMON__PAYLOAD__INIT;
    written(&p, &o, "{\"metadata\":{},\"data\":\"\",\"externalPayloads\":[]}");
}

/* --- shorthand --- */

static const struct tl_json_write_options SHORT_OUT = {.payload_shorthand = true};
static const struct tl_json_read_options SHORT_IN = {.payload_shorthand = true};

static void shorthand_is_written_where_it_is_exact(void **state)
{
    (void)state;
    static const struct {
        const char *json, *text;
    } ROWS[] = {
        {"{\"a\": [1, 2.50]}", "{\"a\":[1,2.50]}"},
        {"\"x\"", "\"x\""},
        {"7", "7"},
        {"null", "{\"metadata\":{\"encoding\":\"anNvbi9wbGFpbg==\"},\"data\":\"bnVsbA==\"}"},
        {"{\"metadata\":1}",
         "{\"metadata\":{\"encoding\":\"anNvbi9wbGFpbg==\"},\"data\":\"eyJtZXRhZGF0YSI6MX0=\"}"},
        {"nonsense",
         "{\"metadata\":{\"encoding\":\"anNvbi9wbGFpbg==\"},\"data\":\"bm9uc2Vuc2U=\"}"},
    };
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        TpCommon__Payload *p = tl_payload_json(&arena, tl_str(ROWS[i].json));
        written(p, &SHORT_OUT, ROWS[i].text);
        TpCommon__Payload *back = read_ok(&tp_common__payload__descriptor, out.p, &SHORT_IN);
        assert_int_equal(tl_payload_kind(back), TL_PAYLOAD_JSON);
        written(back, &SHORT_OUT, ROWS[i].text);
    }
    TpCommon__Payload *null = tl_payload_null(&arena);
    written(null, &SHORT_OUT, "{\"metadata\":{\"encoding\":\"YmluYXJ5L251bGw=\"}}");
    TpCommon__Payload *typed =
        tl_payload_new(&arena, TL_ENCODING_JSON_PROTOBUF, TL_STR_LIT("{\"name\":\"n\"}"));
    assert_true(
        tl_payload_set_metadata(&arena, typed, TL_STR_LIT("messageType"), TL_STR_LIT("a.B")));
    written(typed, &SHORT_OUT, "{\"_protoMessageType\":\"a.B\",\"name\":\"n\"}");
    TpCommon__Payload *back = read_ok(&tp_common__payload__descriptor, out.p, &SHORT_IN);
    assert_int_equal(tl_payload_kind(back), TL_PAYLOAD_JSON_PROTOBUF);
    assert_true(tl_str_eqc(tl_payload_metadata(back, TL_STR_LIT("messageType")), "a.B"));
    assert_true(tl_str_eqc(tl_payload_data(back), "{\"name\":\"n\"}"));
    /* More metadata than the encoding would be lost. */
    TpCommon__Payload *more = tl_payload_json(&arena, TL_STR_LIT("1"));
    assert_true(tl_payload_set_metadata(&arena, more, TL_STR_LIT("x"), TL_STR_LIT("y")));
    written(more, &SHORT_OUT,
            "{\"metadata\":{\"encoding\":\"anNvbi9wbGFpbg==\",\"x\":\"eQ==\"},"
            "\"data\":\"MQ==\"}");
}

static void shorthand_lists(void **state)
{
    (void)state;
    TpCommon__Payloads *ps =
        read_ok(&tp_common__payloads__descriptor,
                "[1,null,{\"metadata\":{\"encoding\":\"YmluYXJ5L3BsYWlu\"},\"data\":\"aGk=\"},"
                "{\"metadata\":\"no\"}]",
                &SHORT_IN);
    assert_int_equal(ps->n_payloads, 4);
    assert_int_equal(tl_payload_kind(ps->payloads[0]), TL_PAYLOAD_JSON);
    assert_int_equal(tl_payload_kind(ps->payloads[1]), TL_PAYLOAD_NULL);
    assert_int_equal(tl_payload_kind(ps->payloads[2]), TL_PAYLOAD_BYTES);
    assert_true(tl_str_eqc(tl_payload_data(ps->payloads[2]), "hi"));
    assert_true(tl_str_eqc(tl_payload_data(ps->payloads[3]), "{\"metadata\":\"no\"}"));
    struct tl_str before;
    struct tl_str after;
    tl_buf_clear(&out);
    assert_int_equal(tl_json_write(ps, &SHORT_OUT, &out, &err), TL_OK);
    assert_int_equal(out.p[0], '[');
    TpCommon__Payloads *back = read_ok(&tp_common__payloads__descriptor, out.p, &SHORT_IN);
    assert_int_equal(tl_pb_encode_arena(ps, &arena, &before, &err), TL_OK);
    assert_int_equal(tl_pb_encode_arena(back, &arena, &after, &err), TL_OK);
    assert_true(tl_str_eq(before, after));
    ps = read_ok(&tp_common__payloads__descriptor, "{\"payloads\":[2]}", &SHORT_IN);
    assert_true(tl_str_eqc(tl_payload_data(ps->payloads[0]), "2"));
    /* In a request, as HTTP clients send it. */
    TpWs__StartWorkflowExecutionRequest *r = read_ok(
        &tp_ws__start_workflow_execution_request__descriptor,
        "{\"workflowType\":{\"name\":\"w\"},\"input\":[{\"a\":\"b\"}],\"memo\":{\"fields\":{\"m\":"
        "[1,2]}}}",
        &SHORT_IN);
    assert_true(tl_str_eqc(tl_payload_data(r->input->payloads[0]), "{\"a\":\"b\"}"));
    assert_true(tl_str_eqc(tl_payload_data(r->memo->fields[0]->value), "[1,2]"));
    /* Without the option the same text is refused. */
    read_fails(&tp_ws__start_workflow_execution_request__descriptor, "{\"input\":[1]}");
}

static void mutated_text_never_crashes(void **state)
{
    (void)state;
    size_t accepted = 0;
    for (size_t i = 0; i < 5000; i++) {
        struct tl_test_pb t = {.arena = &arena, .depth_max = 4};
        struct tl_json_read_options o = {.ignore_unknown = i % 2 == 0,
                                         .payload_shorthand = i % 3 == 0};
        const ProtobufCMessageDescriptor *desc = &tp_history__history_event__descriptor;
        tl_arena_reset(&arena);
        tl_rng_seed(&t.rng, i);
        void *msg = tl_test_pb_message(&t, desc);
        tl_buf_clear(&out);
        assert_int_equal(tl_json_write(msg, NULL, &out, &err), TL_OK);
        for (size_t k = tl_rng_below(&t.rng, 3); out.n > 0 && k-- > 0;) {
            static const char LIKELY[] = "{}[]\",:\\0e-";
            out.p[tl_rng_below(&t.rng, out.n)] = LIKELY[tl_rng_below(&t.rng, sizeof LIKELY - 1)];
        }
        size_t n = tl_rng_below(&t.rng, 4) ? out.n : tl_rng_below(&t.rng, out.n + 1);
        struct tl_str text = tl_arena_str(&arena, tl_str_n(out.p, n));
        if (tl_json_read(desc, text, &o, &arena, &msg, &err) == TL_OK) {
            struct tl_str bytes;
            accepted++;
            assert_int_equal(tl_pb_encode_arena(msg, &arena, &bytes, &err), TL_OK);
            assert_int_equal(tl_pb_check(desc, bytes, &err), TL_OK);
        }
    }
    assert_true(accepted > 500 && accepted < 4800);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    // clang-format off
    const struct CMUnitTest tests[] = {
        T(random_messages_round_trip), T(enums_in_every_spelling), T(fields_in_both_spellings),
        T(unknown_names), T(wrong_types_are_refused), T(times_have_their_text),
        T(any_shows_its_message), T(of_equal_keys_the_last_is_written), T(values_and_wrappers),
        T(defaults_on_request), T(shorthand_is_written_where_it_is_exact), T(shorthand_lists),
        T(mutated_text_never_crashes),
    };
    // clang-format on
    return cmocka_run_group_tests(tests, NULL, NULL);
}
