/* Goal: decoding refuses hostile bytes with an error value; encoding says exactly what the message
 * says; copies, raw fields and times keep their promises.
 * Method: hand-made wire bytes, and random messages of every type compared with libprotobuf-c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <google/protobuf/struct.pb-c.h>
#include <temporal/api/failure/v1/message.pb-c.h>
#include <temporal/api/history/v1/message.pb-c.h>
#include <temporal/api/protocol/v1/message.pb-c.h>
#include <temporal/api/sdk/v1/task_complete_metadata.pb-c.h>
#include <temporal/api/workflowservice/v1/request_response.pb-c.h>

#include "base/mem.h"
#include "proto/pb.h"
#include "test/support/pb_random.h"
#include "tl_enums.h"

static struct tl_arena arena;
static struct tl_error err;

static int set_up(void **state)
{
    (void)state;
    tl_arena_init(&arena, 64 * 1024 * 1024);
    err = (struct tl_error){0};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tl_arena_deinit(&arena);
    return 0;
}

#define BYTES(lit) tl_str_n((lit), sizeof(lit) - 1)

static void names_are_found(void **state)
{
    (void)state;
    assert_ptr_equal(tl_pb_find_message(TL_STR_LIT("temporal.api.common.v1.Payload")),
                     &tp_common__payload__descriptor);
    assert_null(tl_pb_find_message(TL_STR_LIT("temporal.api.common.v1.Payloa")));
    assert_null(tl_pb_find_message(TL_STR_LIT("")));
    size_t count = 0;
    for (const ProtobufCMessageDescriptor *d; (d = tl_pb_message_at(count)); count++) {
        assert_ptr_equal(tl_pb_find_message(tl_str(d->name)), d);
    }
    assert_true(count > 700);
    const ProtobufCServiceDescriptor *s =
        tl_pb_find_service(TL_STR_LIT("temporal.api.workflowservice.v1.WorkflowService"));
    assert_non_null(s);
    assert_true(s->n_methods > 100);
    assert_null(tl_pb_find_service(TL_STR_LIT("x")));
    assert_string_equal(tl_pb_enum_name(&tp_enums__event_type__descriptor, EVENT_TYPE_TIMER_FIRED),
                        "EVENT_TYPE_TIMER_FIRED");
    assert_null(tl_pb_enum_name(&tp_enums__event_type__descriptor, 99999));
}

static void refused(const ProtobufCMessageDescriptor *desc, struct tl_str bytes, tl_rc rc)
{
    void *msg = NULL;
    err.message[0] = 0;
    assert_int_equal(tl_pb_decode(desc, bytes, &arena, &msg, &err), rc);
    assert_null(msg);
    assert_int_not_equal(err.message[0], 0);
}

static void malformed_bytes_are_refused(void **state)
{
    (void)state;
    const ProtobufCMessageDescriptor *type = &tp_common__workflow_type__descriptor;
    // clang-format off
    static const struct {
        const char *p;
        size_t n;
    } BAD[] = {
        {"\x0a", 1},                                         /* length missing */
        {"\x0a\x05" "abc", 5},                               /* cut short */
        {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11}, /* huge length */
        {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12}, /* varint of 11 bytes */
        {"\x0a\x02\xc3\x28", 4},                             /* not UTF-8 */
        {"\x0a\x03\xed\xa0\x80", 5},                         /* surrogate */
        {"\x0a\x02\xc0\x80", 4},                             /* overlong NUL */
        {"\x0a\x03" "a\0b", 5},                              /* NUL in a string */
        {"\x08\x01", 2},                                     /* wrong wire type */
        {"\x0b\x0c", 2},                                     /* group */
        {"\x13\x14", 2},                                     /* unknown group */
        {"\x16", 1},                                         /* wire type 6 */
        {"\x02\x00", 2},                                     /* field number 0 */
        {"\x15\x00\x00\x00", 4},                             /* unknown fixed32, cut */
        {"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80", 11}, /* endless tag */
    };
    // clang-format on
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        refused(type, tl_str_n(BAD[i].p, BAD[i].n), TL_EDECODE);
    }
    /* A singular sub-message twice: libprotobuf-c would lose the first one's fields. */
    refused(&tp_history__history_event__descriptor, BYTES("\x12\x02\x08\x05\x12\x02\x10\x07"),
            TL_EDECODE);
    /* Packed bytes that end inside a varint. */
    refused(&tp_sdk__workflow_task_completed_metadata__descriptor, BYTES("\x0a\x02\x01\x80"),
            TL_EDECODE);
}

static void good_bytes_decode(void **state)
{
    (void)state;
    TpCommon__WorkflowType *type;
    assert_int_equal(tl_pb_decode(&tp_common__workflow_type__descriptor,
                                  BYTES("\x0a\x03"
                                        "abc\x10\x07"),
                                  &arena, &type, &err),
                     TL_OK);
    assert_string_equal(type->name, "abc");
    assert_int_equal(type->base.n_unknown_fields, 1);
    assert_int_equal(tl_pb_decode(&tp_common__workflow_type__descriptor, (struct tl_str){0}, &arena,
                                  &type, &err),
                     TL_OK);
    assert_string_equal(type->name, "");
    /* Unpacked where packed is usual, and the other way round. */
    TpSdk__WorkflowTaskCompletedMetadata *meta;
    assert_int_equal(tl_pb_decode(&tp_sdk__workflow_task_completed_metadata__descriptor,
                                  BYTES("\x08\x01\x0a\x02\x02\x03\x08\x04"), &arena, &meta, &err),
                     TL_OK);
    assert_int_equal(meta->n_core_used_flags, 4);
    assert_int_equal(meta->core_used_flags[3], 4);
}

/* Failure{cause: Failure{cause: ...}} of the given depth. */
static struct tl_str nested_causes(size_t depth)
{
    struct tl_buf a;
    struct tl_buf b;
    tl_buf_init(&a, 1 << 22);
    tl_buf_init(&b, 1 << 22);
    for (size_t i = 1; i < depth; i++) {
        tl_buf_clear(&b);
        assert_true(tl_pb_put_field(&b, 4, tl_buf_str(&a)));
        struct tl_buf swap = a;
        a = b;
        b = swap;
    }
    struct tl_str out = tl_arena_str(&arena, tl_buf_str(&a));
    tl_buf_deinit(&a);
    tl_buf_deinit(&b);
    return out;
}

static void nesting_is_limited(void **state)
{
    (void)state;
    TpFailure__Failure *f;
    struct tl_str fits = nested_causes(TL_PB_DEPTH_MAX + 1);
    assert_int_equal(tl_pb_decode(&tp_failure__failure__descriptor, fits, &arena, &f, &err), TL_OK);
    struct tl_buf out;
    tl_buf_init(&out, 1 << 20);
    assert_int_equal(tl_pb_encode(f, &out, &err), TL_OK);
    assert_true(tl_str_eq(tl_buf_str(&out), fits));
    refused(&tp_failure__failure__descriptor, nested_causes(TL_PB_DEPTH_MAX + 2), TL_EDECODE);
    refused(&tp_failure__failure__descriptor, nested_causes(20000), TL_EDECODE);
    /* One level more on the way out. */
    TpFailure__Failure outer = TP_FAILURE__FAILURE__INIT;
    outer.cause = f;
    tl_buf_clear(&out);
    assert_int_equal(tl_pb_encode(&outer, &out, &err), TL_ELIMIT);
    assert_int_equal(tl_pb_size(&outer), SIZE_MAX);
    tl_buf_deinit(&out);
}

static void amplification_is_limited(void **state)
{
    (void)state;
    /* Empty events: 2 bytes of wire, hundreds of memory. */
    size_t count = 2000000;
    char *bytes = tl_mem_alloc(count * 2);
    for (size_t i = 0; i < count; i++) {
        bytes[2 * i] = 0x0a;
    }
    refused(&tp_history__history__descriptor, tl_str_n(bytes, count * 2), TL_ELIMIT);
    assert_true(arena.bytes < 1024 * 1024);
    /* Few of them are fine. */
    TpHistory__History *h;
    assert_int_equal(
        tl_pb_decode(&tp_history__history__descriptor, tl_str_n(bytes, 2000), &arena, &h, &err),
        TL_OK);
    assert_int_equal(h->n_events, 1000);
    tl_mem_free(bytes);
}

static void full_arena_is_an_error(void **state)
{
    (void)state;
    char text[5000];
    struct tl_buf b;
    memset(text, 'x', sizeof text);
    tl_buf_init(&b, 8192);
    assert_true(tl_pb_put_field(&b, 1, tl_str_n(text, sizeof text)));
    struct tl_arena small;
    tl_arena_init(&small, 2048);
    void *msg = NULL;
    assert_int_equal(
        tl_pb_decode(&tp_common__workflow_type__descriptor, tl_buf_str(&b), &small, &msg, &err),
        TL_ELIMIT);
    tl_arena_deinit(&small);
    tl_buf_deinit(&b);
}

static void oneofs_are_sent_even_when_empty(void **state)
{
    (void)state;
    struct tl_str out;
    Google__Protobuf__Value v = GOOGLE__PROTOBUF__VALUE__INIT;
    v.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
    v.string_value = (char *)protobuf_c_empty_string;
    assert_int_equal(tl_pb_encode_arena(&v, &arena, &out, &err), TL_OK);
    assert_true(tl_str_eq(out, BYTES("\x1a\x00")));
    v.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE;
    v.number_value = 0;
    assert_int_equal(tl_pb_encode_arena(&v, &arena, &out, &err), TL_OK);
    assert_true(tl_str_eq(out, BYTES("\x11\0\0\0\0\0\0\0\0")));
    TpFailure__Failure f = TP_FAILURE__FAILURE__INIT;
    f.failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_SERVER_FAILURE_INFO;
    assert_int_equal(tl_pb_encode_arena(&f, &arena, &out, &err), TL_EINVAL);
    TpCommon__Payload *items[1] = {NULL};
    TpCommon__Payloads ps = TP_COMMON__PAYLOADS__INIT;
    ps.n_payloads = 1;
    ps.payloads = items;
    assert_int_equal(tl_pb_encode_arena(&ps, &arena, &out, &err), TL_EINVAL);
}

static void random_messages_round_trip(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3000; i++) {
        struct tl_test_pb t = {.arena = &arena, .depth_max = 4};
        const ProtobufCMessageDescriptor *desc = tl_pb_message_at(i % tl_test_pb_count());
        tl_arena_reset(&arena);
        tl_rng_seed(&t.rng, i);
        ProtobufCMessage *msg = tl_test_pb_message(&t, desc);
        ProtobufCMessage *back;
        struct tl_str out;
        struct tl_str again;
        assert_int_equal(tl_pb_encode_arena(msg, &arena, &out, &err), TL_OK);
        assert_int_equal(tl_pb_size(msg), out.n);
        tl_rc rc = tl_pb_decode(desc, out, &arena, &back, &err);
        if (rc) {
            fail_msg("%s, seed %zu: %s", desc->name, i, err.message);
        }
        assert_int_equal(tl_pb_encode_arena(back, &arena, &again, &err), TL_OK);
        assert_true(tl_str_eq(out, again));
        /* libprotobuf-c says the same of the decoded message: its strings are not its own empty
         * one, so that it loses no oneof. */
        assert_int_equal(protobuf_c_message_get_packed_size(back), out.n);
        uint8_t *packed = tl_arena_alloc(&arena, out.n);
        protobuf_c_message_pack(back, packed);
        assert_memory_equal(packed, out.p, out.n);
        void *clone = tl_pb_clone(back, &arena);
        assert_int_equal(tl_pb_encode_arena(clone, &arena, &again, &err), TL_OK);
        assert_true(tl_str_eq(out, again));
    }
}

static void mutated_bytes_never_crash(void **state)
{
    (void)state;
    size_t accepted = 0;
    for (size_t i = 0; i < 6000; i++) {
        struct tl_test_pb t = {.arena = &arena, .depth_max = 5};
        tl_arena_reset(&arena);
        tl_rng_seed(&t.rng, i);
        const ProtobufCMessageDescriptor *desc =
            i % 2 ? &tp_history__history__descriptor
                  : &tp_ws__respond_workflow_task_completed_request__descriptor;
        struct tl_str out;
        void *msg = tl_test_pb_message(&t, desc);
        assert_int_equal(tl_pb_encode_arena(msg, &arena, &out, &err), TL_OK);
        char *bytes = tl_arena_copy(&arena, out.p, out.n);
        for (size_t k = tl_rng_below(&t.rng, 4); out.n > 0 && k-- > 0;) {
            bytes[tl_rng_below(&t.rng, out.n)] = (char)tl_rng_next(&t.rng);
        }
        size_t n = tl_rng_below(&t.rng, 4) ? out.n : tl_rng_below(&t.rng, out.n + 1);
        if (tl_pb_decode(desc, tl_str_n(bytes, n), &arena, &msg, &err) == TL_OK) {
            accepted++;
            assert_int_equal(tl_pb_encode_arena(msg, &arena, &out, &err), TL_OK);
        }
    }
    assert_true(accepted > 500 && accepted < 5500);
}

/* Both decoders' messages, written by both packers, give the same bytes. */
static void decodes_as_the_library(const ProtobufCMessageDescriptor *desc, struct tl_str bytes)
{
    ProtobufCAllocator allocator;
    tl_pb_allocator(&allocator, &arena);
    ProtobufCMessage *ours, *theirs;
    assert_int_equal(tl_pb_decode(desc, bytes, &arena, &ours, &err), TL_OK);
    theirs = protobuf_c_message_unpack(desc, &allocator, bytes.n, (const uint8_t *)bytes.p);
    assert_non_null(theirs);
    size_t n = protobuf_c_message_get_packed_size(theirs);
    assert_int_equal(protobuf_c_message_get_packed_size(ours), n);
    uint8_t *a = tl_arena_alloc(&arena, n), *b = tl_arena_alloc(&arena, n);
    protobuf_c_message_pack(ours, a);
    protobuf_c_message_pack(theirs, b);
    assert_memory_equal(a, b, n);
    struct tl_str c, d;
    assert_int_equal(tl_pb_encode_arena(ours, &arena, &c, &err), TL_OK);
    assert_int_equal(tl_pb_encode_arena(theirs, &arena, &d, &err), TL_OK);
    assert_true(tl_str_eq(c, d));
}

static void bytes_mean_what_they_mean_to_the_library(void **state)
{
    (void)state;
    size_t compared = 0;
    for (size_t i = 0; i < 6000; i++) {
        struct tl_test_pb t = {.arena = &arena, .depth_max = 4};
        const ProtobufCMessageDescriptor *desc = tl_pb_message_at(i % tl_test_pb_count());
        /* Of another type, fields are unknown, or come in another order and with other sizes. */
        const ProtobufCMessageDescriptor *as = tl_pb_message_at(
            (i % tl_test_pb_count() + i / tl_test_pb_count()) % tl_test_pb_count());
        struct tl_str out;
        void *msg;
        tl_arena_reset(&arena);
        tl_rng_seed(&t.rng, i);
        msg = tl_test_pb_message(&t, desc);
        assert_int_equal(tl_pb_encode_arena(msg, &arena, &out, &err), TL_OK);
        if (tl_pb_check(as, out, &err) == TL_OK) {
            decodes_as_the_library(as, out);
            compared++;
        }
    }
    assert_true(compared > 1500);
}

static void rare_forms_decode_as_in_the_library(void **state)
{
    (void)state;
    /* Repeated enums packed, apart, packed again; unknown fields between them. */
    decodes_as_the_library(&tp_sdk__workflow_task_completed_metadata__descriptor,
                           BYTES("\x0a\x02\x01\x02\x08\x83\x01\x0a\x00\x0a\x03\xff\x01\x05"
                                 "\xba\x3e\x02xy\xc0\x3e\x96\x01\x10\x07"));
    /* Members of a oneof take each other's place: number, string, bool, null. */
    decodes_as_the_library(&google__protobuf__value__descriptor,
                           BYTES("\x11\0\0\0\0\0\0\xf0\x3f\x1a\x02hi\x20\x01\x08\x00"));
    /* A negative enum of ten bytes; a bool of more than one. */
    decodes_as_the_library(&google__protobuf__value__descriptor,
                           BYTES("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
    decodes_as_the_library(&google__protobuf__value__descriptor, BYTES("\x20\x80\x01"));
    /* Repeated messages with other fields between them, empty ones too. */
    decodes_as_the_library(&tp_common__payloads__descriptor,
                           BYTES("\x0a\x03\x12\x01x\x18\x05\x0a\x00\x0a\x02\x12\x00"));
    Google__Protobuf__Value *v;
    assert_int_equal(tl_pb_decode(&google__protobuf__value__descriptor, BYTES("\x1a\x02hi\x20\x01"),
                                  &arena, &v, &err),
                     TL_OK);
    assert_int_equal(v->kind_case, GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE);
    assert_int_equal(v->bool_value, 1);
    assert_int_equal(
        tl_pb_decode(&google__protobuf__value__descriptor, BYTES("\x20\x80\x01"), &arena, &v, &err),
        TL_OK);
    assert_int_equal(v->bool_value, 1);
    TpSdk__WorkflowTaskCompletedMetadata *m;
    assert_int_equal(tl_pb_decode(&tp_sdk__workflow_task_completed_metadata__descriptor,
                                  BYTES("\x0a\x02\x01\x02\x08\x83\x01"), &arena, &m, &err),
                     TL_OK);
    assert_int_equal(m->n_core_used_flags, 3);
    assert_int_equal(m->core_used_flags[2], 131);
}

static const ProtobufCFieldDescriptor *field_of(const ProtobufCMessageDescriptor *desc, uint32_t id)
{
    for (unsigned i = 0; i < desc->n_fields; i++) {
        if (desc->fields[i].id == id) {
            return &desc->fields[i];
        }
    }
    return NULL;
}

/* A value of nothing but zeros with its tag, of the type of f (NULL: a varint). */
static struct tl_str zero_of(const ProtobufCFieldDescriptor *f, uint32_t id, char out[16])
{
    static const unsigned char wires[] = {
        [PROTOBUF_C_TYPE_FIXED32] = 5,  [PROTOBUF_C_TYPE_SFIXED32] = 5,
        [PROTOBUF_C_TYPE_FLOAT] = 5,    [PROTOBUF_C_TYPE_FIXED64] = 1,
        [PROTOBUF_C_TYPE_SFIXED64] = 1, [PROTOBUF_C_TYPE_DOUBLE] = 1,
        [PROTOBUF_C_TYPE_STRING] = 2,   [PROTOBUF_C_TYPE_BYTES] = 2,
        [PROTOBUF_C_TYPE_MESSAGE] = 2,
    };
    unsigned wire = f ? wires[f->type] : 0;
    size_t n = 0;
    uint32_t tag = id << 3 | wire;
    memset(out, 0, 16);
    for (; tag > 0x7F; tag >>= 7) {
        out[n++] = (char)(tag | 0x80);
    }
    out[n++] = (char)tag;
    return tl_str_n(out, n + (wire == 1 ? 8 : wire == 5 ? 4 : 1));
}

static void every_field_of_every_message_is_found_by_its_number(void **state)
{
    (void)state;
    size_t known = 0, unknown = 0;
    const ProtobufCMessageDescriptor *d;
    for (size_t i = 0; (d = tl_pb_message_at(i)) != NULL; i++) {
        uint32_t last = d->n_fields ? d->fields[d->n_fields - 1].id : 0;
        for (uint32_t id = 1; id <= last + 2; id++) {
            char bytes[16];
            const ProtobufCFieldDescriptor *f = field_of(d, id);
            ProtobufCMessage *msg = NULL;
            assert_int_equal(tl_pb_decode(d, zero_of(f, id, bytes), &arena, &msg, &err), TL_OK);
            assert_int_equal(msg->n_unknown_fields, f ? 0 : 1);
            assert_true(f || msg->unknown_fields[0].tag == id);
            known += f != NULL;
            unknown += f == NULL;
        }
        tl_arena_reset(&arena);
    }
    assert_true(known > 3000 && unknown > 1500);
}

static void clone_shares_nothing(void **state)
{
    (void)state;
    struct tl_arena source;
    tl_arena_init(&source, 1 << 20);
    struct tl_test_pb t = {.arena = &source, .depth_max = 6};
    void *msg = NULL;
    for (uint64_t seed = 0; !msg || tl_pb_size(msg) < 2000; seed++) {
        tl_arena_reset(&source);
        tl_rng_seed(&t.rng, seed);
        msg = tl_test_pb_message(&t, &tp_history__history__descriptor);
    }
    ProtobufCMessage *base = msg;
    assert_int_equal(tl_pb_raw_field(base, 1, BYTES("\x0a\x02\x08\x07"), &source, &err), TL_OK);
    struct tl_str before;
    struct tl_str after;
    assert_int_equal(tl_pb_encode_arena(msg, &arena, &before, &err), TL_OK);
    void *copy = tl_pb_clone(msg, &arena);
    tl_arena_deinit(&source);
    assert_int_equal(tl_pb_encode_arena(copy, &arena, &after, &err), TL_OK);
    assert_true(tl_str_eq(before, after));
    struct tl_arena small;
    tl_arena_init(&small, 512);
    assert_null(tl_pb_clone(copy, &small));
    tl_arena_deinit(&small);
}

static void stored_events_are_spliced(void **state)
{
    (void)state;
    struct tl_buf events;
    tl_buf_init(&events, 1 << 16);
    for (int64_t id = 1; id <= 3; id++) {
        TpHistory__HistoryEvent e = TP_HISTORY__HISTORY_EVENT__INIT;
        e.event_id = id;
        assert_int_equal(tl_pb_put_message(&events, 1, &e, &err), TL_OK);
    }
    TpHistory__History h = TP_HISTORY__HISTORY__INIT;
    assert_int_equal(tl_pb_raw_field(&h, 1, tl_buf_str(&events), &arena, &err), TL_OK);
    TpHistory__HistoryEvent last = TP_HISTORY__HISTORY_EVENT__INIT;
    struct tl_buf tail;
    tl_buf_init(&tail, 1 << 16);
    last.event_id = 4;
    assert_int_equal(tl_pb_put_message(&tail, 1, &last, &err), TL_OK);
    assert_int_equal(tl_pb_raw_field(&h, 1, tl_buf_str(&tail), &arena, &err), TL_OK);
    TpWs__PollWorkflowTaskQueueResponse r = TP_WS__POLL_WORKFLOW_TASK_QUEUE_RESPONSE__INIT;
    r.history = &h;
    r.attempt = 1;
    struct tl_str out;
    TpWs__PollWorkflowTaskQueueResponse *back;
    assert_int_equal(tl_pb_encode_arena(&r, &arena, &out, &err), TL_OK);
    assert_int_equal(tl_pb_decode(&tp_ws__poll_workflow_task_queue_response__descriptor, out,
                                  &arena, &back, &err),
                     TL_OK);
    assert_int_equal(back->history->n_events, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(back->history->events[i]->event_id, i + 1);
    }
    assert_int_equal(protobuf_c_message_get_packed_size(&r.base), out.n);
    /* Bytes of another field, or none. */
    assert_int_equal(tl_pb_raw_field(&h, 2, tl_buf_str(&events), &arena, &err), TL_EINVAL);
    assert_int_equal(tl_pb_raw_field(&h, 1, BYTES("\x0a"), &arena, &err), TL_OK);
    assert_int_equal(tl_pb_raw_field(&h, 1, (struct tl_str){0}, &arena, &err), TL_OK);
    tl_buf_deinit(&events);
    tl_buf_deinit(&tail);
}

static void maps_answer_with_the_last_entry(void **state)
{
    (void)state;
    TpCommon__Payload *p;
    /* metadata {"k": "1"}, {"j": "2"}, {"k": "3"} */
    assert_int_equal(tl_pb_decode(&tp_common__payload__descriptor,
                                  BYTES("\x0a\x06\x0a\x01k\x12\x01"
                                        "1"
                                        "\x0a\x06\x0a\x01j\x12\x01"
                                        "2"
                                        "\x0a\x06\x0a\x01k\x12\x01"
                                        "3"),
                                  &arena, &p, &err),
                     TL_OK);
    TpCommon__Payload__MetadataEntry *e = TL_PB_MAP_GET(
        TpCommon__Payload__MetadataEntry, p->n_metadata, p->metadata, TL_STR_LIT("k"));
    assert_non_null(e);
    assert_true(tl_str_eqc(tl_pb_str(e->value), "3"));
    assert_null(tl_pb_map_find(p->metadata, p->n_metadata, TL_STR_LIT("x")));
    assert_null(tl_pb_map_find(NULL, 0, TL_STR_LIT("x")));
}

static void timestamps_convert(void **state)
{
    (void)state;
    static const int64_t NS[] = {0, 1, -1, 1700000000123456789, -1500000000, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < sizeof NS / sizeof *NS; i++) {
        Google__Protobuf__Timestamp *t = tl_pb_timestamp(&arena, NS[i]);
        int64_t back;
        assert_true(t->nanos >= 0 && t->nanos <= 999999999);
        assert_int_equal(tl_pb_ns_from_timestamp(t, &back, &err), TL_OK);
        assert_true(back == NS[i]);
    }
    int64_t ns = 5;
    Google__Protobuf__Timestamp bad = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    assert_int_equal(tl_pb_ns_from_timestamp(NULL, &ns, &err), TL_OK);
    assert_int_equal(ns, 0);
    bad.nanos = 1000000000;
    assert_int_equal(tl_pb_ns_from_timestamp(&bad, &ns, &err), TL_EINVAL);
    bad.nanos = 0;
    bad.seconds = INT64_MAX;
    assert_int_equal(tl_pb_ns_from_timestamp(&bad, &ns, &err), TL_EINVAL);
    bad.seconds = INT64_MIN;
    assert_int_equal(tl_pb_ns_from_timestamp(&bad, &ns, &err), TL_EINVAL);
    assert_int_equal(tl_pb_timestamp_ns_or(&bad, -7), -7);
    assert_int_equal(tl_pb_timestamp_ns_or(NULL, -7), -7);
}

static void durations_convert(void **state)
{
    (void)state;
    static const int64_t MS[] = {0, 1, 999, 1000, 1500, -1500, 315576000000000};
    for (size_t i = 0; i < sizeof MS / sizeof *MS; i++) {
        int64_t back;
        assert_int_equal(tl_pb_ms_from_duration(tl_pb_duration_ms(&arena, MS[i]), &back, &err),
                         TL_OK);
        assert_true(back == MS[i]);
    }
    int64_t v;
    assert_int_equal(tl_pb_ns_from_duration(tl_pb_duration_ns(&arena, -1500000001), &v, &err),
                     TL_OK);
    assert_int_equal(v, -1500000001);
    /* A part of a millisecond is a whole one. */
    assert_int_equal(tl_pb_ms_from_duration(tl_pb_duration_ns(&arena, 1), &v, &err), TL_OK);
    assert_int_equal(v, 1);
    assert_int_equal(tl_pb_ms_from_duration(tl_pb_duration_ns(&arena, -1000001), &v, &err), TL_OK);
    assert_int_equal(v, -2);
    Google__Protobuf__Duration bad = GOOGLE__PROTOBUF__DURATION__INIT;
    bad.seconds = 1;
    bad.nanos = -1;
    assert_int_equal(tl_pb_ms_from_duration(&bad, &v, &err), TL_EINVAL);
    assert_int_equal(tl_pb_duration_ms_or(&bad, 42), 42);
    bad.nanos = 0;
    bad.seconds = INT64_MIN;
    assert_int_equal(tl_pb_ms_from_duration(&bad, &v, &err), TL_EINVAL);
    assert_true(tl_pb_duration_ms_or(&bad, 42) == -315576000000000);
    assert_true(tl_pb_duration_ns_or(&bad, 42) == INT64_MIN);
    bad.seconds = 20000000000;
    assert_int_equal(tl_pb_ns_from_duration(&bad, &v, &err), TL_EINVAL);
    assert_true(tl_pb_duration_ns_or(&bad, 42) == INT64_MAX);
    assert_int_equal(tl_pb_duration_ns_or(NULL, 42), 42);
}

static void builders_copy(void **state)
{
    (void)state;
    assert_string_equal(tl_pb_cstr(&arena, TL_STR_LIT("")), "");
    assert_null(tl_pb_cstr(&arena, BYTES("a\0b")));
    struct tl_pb_list list = {0};
    static int numbers[100];
    for (int i = 0; i < 100; i++) {
        assert_true(tl_pb_push(&arena, &list, &numbers[i]));
    }
    assert_int_equal(list.n, 100);
    for (int i = 0; i < 100; i++) {
        assert_ptr_equal(((int **)list.items)[i], &numbers[i]);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(names_are_found),
        T(malformed_bytes_are_refused),
        T(good_bytes_decode),
        T(nesting_is_limited),
        T(amplification_is_limited),
        T(full_arena_is_an_error),
        T(oneofs_are_sent_even_when_empty),
        T(random_messages_round_trip),
        T(mutated_bytes_never_crash),
        T(bytes_mean_what_they_mean_to_the_library),
        T(rare_forms_decode_as_in_the_library),
        T(every_field_of_every_message_is_found_by_its_number),
        T(clone_shares_nothing),
        T(stored_events_are_spliced),
        T(maps_answer_with_the_last_entry),
        T(timestamps_convert),
        T(durations_convert),
        T(builders_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
