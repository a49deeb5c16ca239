/* Random messages by reflection. See pb_random.h. */
#include "test/support/pb_random.h"

#include <google/protobuf/any.pb-c.h>
#include <google/protobuf/field_mask.pb-c.h>
#include <google/protobuf/struct.pb-c.h>
#include <stdio.h>

#include "base/assert.h"
#include "proto/json_int.h"

static void *message(struct tl_test_pb *t, const ProtobufCMessageDescriptor *desc, unsigned depth);

static char *text(struct tl_test_pb *t)
{
    static const char *const PIECES[] = {
        "a", "Z9",   "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x8C\x99", "\"", "\\", "\n",
        " ", "\x01", "/"};
    char out[64];
    size_t used = 0;
    for (size_t n = tl_rng_below(&t->rng, 7); n > 0; n--) {
        const char *piece = PIECES[tl_rng_below(&t->rng, sizeof PIECES / sizeof *PIECES)];
        memcpy(out + used, piece, strlen(piece));
        used += strlen(piece);
    }
    char *copy = tl_pb_cstr(t->arena, tl_str_n(out, used));
    TL_ASSERT(copy);
    return copy;
}

static uint64_t bits(struct tl_test_pb *t)
{
    uint64_t v = tl_rng_next(&t->rng);
    return v >> tl_rng_below(&t->rng, 64);
}

static double real(struct tl_test_pb *t)
{
    static const double SOME[] = {0.5,           -1,     1e300, 1e-310, 3, 0.1,
                                  123456789.125, 5e-324, 1e15,  1e16};
    if (tl_rng_below(&t->rng, 2)) {
        return SOME[tl_rng_below(&t->rng, sizeof SOME / sizeof *SOME)];
    }
    return (tl_rng_unit(&t->rng) - 0.5) * 1e6;
}

static void value(struct tl_test_pb *t, const ProtobufCFieldDescriptor *f, void *p, unsigned depth)
{
    uint64_t v = bits(t);
    switch (f->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
        tl_pb_store_pointer(p, message(t, f->descriptor, depth + 1));
        return;
    case PROTOBUF_C_TYPE_STRING:
        tl_pb_store_pointer(p, text(t));
        return;
    case PROTOBUF_C_TYPE_BYTES: {
        char raw[40];
        size_t n = tl_rng_below(&t->rng, sizeof raw);
        for (size_t i = 0; i < n; i++) {
            raw[i] = (char)tl_rng_next(&t->rng);
        }
        *(ProtobufCBinaryData *)p = tl_pb_bytes(t->arena, tl_str_n(raw, n), NULL);
        return;
    }
    case PROTOBUF_C_TYPE_BOOL:
        v &= 1;
        break;
    case PROTOBUF_C_TYPE_ENUM: {
        const ProtobufCEnumDescriptor *desc = f->descriptor;
        v = (uint64_t)desc->values[tl_rng_below(&t->rng, desc->n_values)].value;
        break;
    }
    case PROTOBUF_C_TYPE_DOUBLE: {
        double d = real(t);
        memcpy(p, &d, sizeof d);
        return;
    }
    case PROTOBUF_C_TYPE_FLOAT: {
        float s = (float)(tl_rng_unit(&t->rng) * 100);
        memcpy(p, &s, sizeof s);
        return;
    }
    default:
        break;
    }
    memcpy(p, &v, tl_pb_element_size(f->type)); /* little endian: the low half for 32 bits */
}

static void list(struct tl_test_pb *t, ProtobufCMessage *msg, const ProtobufCFieldDescriptor *f,
                 unsigned depth)
{
    bool single = t->unique_keys && tl_pb_is_map(msg->descriptor, f);
    size_t n = tl_rng_below(&t->rng, single ? 2 : 3);
    size_t step = tl_pb_element_size(f->type);
    char *items = tl_arena_alloc(t->arena, n * step);
    TL_ASSERT(items);
    for (size_t i = 0; i < n; i++) {
        value(t, f, items + i * step, depth);
    }
    memcpy((char *)msg + f->quantifier_offset, &n, sizeof n);
    tl_pb_store_pointer(tl_pb_field_at(msg, f), items);
}

/* Types whose fields may not hold just anything. True when msg was filled here. */
static bool special(struct tl_test_pb *t, ProtobufCMessage *msg)
{
    uint64_t v = tl_rng_next(&t->rng);
    if (msg->descriptor == &google__protobuf__timestamp__descriptor) {
        Google__Protobuf__Timestamp *ts = (Google__Protobuf__Timestamp *)msg;
        ts->seconds = (int64_t)(v % 315537897600) - 62135596800;
        ts->nanos = (int32_t)((v >> 32) % 1000000000);
        return true;
    }
    if (msg->descriptor == &google__protobuf__duration__descriptor) {
        Google__Protobuf__Duration *d = (Google__Protobuf__Duration *)msg;
        int sign = v & 1 ? 1 : -1;
        d->seconds = (int64_t)(v % 1000000) * sign;
        d->nanos = (int32_t)((v >> 32) % 1000000000) * sign;
        return true;
    }
    if (msg->descriptor == &google__protobuf__field_mask__descriptor) {
        static char *paths[] = {"workflow_id", "a.long_name"};
        Google__Protobuf__FieldMask *mask = (Google__Protobuf__FieldMask *)msg;
        mask->n_paths = v % 3;
        mask->paths = paths;
        return true;
    }
    if (msg->descriptor == &google__protobuf__any__descriptor) {
        static uint8_t bytes[] = {0x0A, 0x01, 'x'};
        Google__Protobuf__Any *any = (Google__Protobuf__Any *)msg;
        any->type_url = v & 1 ? "type.googleapis.com/temporal.api.common.v1.WorkflowType"
                              : "type.googleapis.com/unknown.Type";
        any->value = (ProtobufCBinaryData){sizeof bytes, bytes};
        return true;
    }
    return false;
}

/* A google.protobuf.Value without kind is JSON null, which reads as the null kind. */
static void settle_value(ProtobufCMessage *msg)
{
    if (msg->descriptor == &google__protobuf__value__descriptor) {
        Google__Protobuf__Value *v = (Google__Protobuf__Value *)msg;
        if (v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND__NOT_SET) {
            v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE;
            v->null_value = (Google__Protobuf__NullValue)0;
        }
    }
}

static void *message(struct tl_test_pb *t, const ProtobufCMessageDescriptor *desc, unsigned depth)
{
    ProtobufCMessage *msg = tl_pb_new(t->arena, desc);
    TL_ASSERT(msg);
    if (special(t, msg)) {
        return msg;
    }
    /* A map entry that is there has both parts. */
    bool entry = desc->n_fields == 2 && strcmp(desc->fields[0].name, "key") == 0 &&
                 strcmp(desc->fields[1].name, "value") == 0;
    for (unsigned i = 0; i < desc->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &desc->fields[i];
        bool deep = f->type == PROTOBUF_C_TYPE_MESSAGE && depth >= t->depth_max;
        if (!entry && (deep || tl_rng_below(&t->rng, 3) == 0)) {
            continue;
        }
        if (tl_pb_is_repeated(f)) {
            list(t, msg, f, depth);
            continue;
        }
        if (tl_pb_is_oneof(f)) {
            if (tl_pb_oneof_case(msg, f) != 0) {
                continue;
            }
            memcpy((char *)msg + f->quantifier_offset, &f->id, sizeof f->id);
        }
        value(t, f, tl_pb_field_at(msg, f), depth);
    }
    settle_value(msg);
    return msg;
}

void *tl_test_pb_message(struct tl_test_pb *t, const ProtobufCMessageDescriptor *desc)
{
    return message(t, desc, 0);
}

size_t tl_test_pb_count(void)
{
    size_t n = 0;
    while (tl_pb_message_at(n)) {
        n++;
    }
    return n;
}
