/* Scalars, strings, bytes and enums from JSON. See json_int.h. Thread: any. */
#include <float.h>
#include <math.h>

#include "proto/base64.h"
#include "proto/json_int.h"

static tl_rc wrong(struct tl_json_in *in, const struct tl_jtok *t,
                   const ProtobufCFieldDescriptor *f, const char *what)
{
    return tl_json_fail(in, t, "field %s must be %s", f->name, what);
}

/* A number may come as a string: reads the one inside t into *number. */
static bool unquote_number(const struct tl_jtok *t, struct tl_jtok *number)
{
    if (t->kind == TL_J_INT || t->kind == TL_J_DOUBLE) {
        *number = *t;
        return true;
    }
    if (t->kind != TL_J_STRING || t->text.n == 0 || t->text.n > 64) {
        return false;
    }
    char first = t->text.p[0];
    char last = t->text.p[t->text.n - 1];
    if ((first != '-' && (first < '0' || first > '9')) || last < '0' || last > '9') {
        return false; /* no white space inside the quotes */
    }
    struct tl_jreader r;
    struct tl_jtok end;
    tl_jreader_init(&r, t->text, 0, 0);
    bool ok = tl_jtok_next(&r, number, NULL) == TL_OK && tl_jtok_next(&r, &end, NULL) == TL_OK;
    tl_jreader_deinit(&r);
    return ok && (number->kind == TL_J_INT || number->kind == TL_J_DOUBLE);
}

static bool to_uint64(const struct tl_jtok *n, uint64_t *v)
{
    if (n->kind == TL_J_INT) {
        *v = (uint64_t)n->i;
        return n->i >= 0;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < n->text.n; i++) {
        char c = n->text.p[i];
        if (c < '0' || c > '9') {
            /* 1e3 and 1.0 are integers too, as far as doubles are exact. */
            bool exact = n->d >= 0 && n->d <= 9007199254740992.0 && n->d == floor(n->d);
            *v = exact ? (uint64_t)n->d : 0;
            return exact;
        }
        if (__builtin_mul_overflow(value, UINT64_C(10), &value) ||
            __builtin_add_overflow(value, (uint64_t)(c - '0'), &value)) {
            return false;
        }
    }
    *v = value;
    return true;
}

static bool to_int64(const struct tl_jtok *n, int64_t *v)
{
    if (n->kind == TL_J_INT) {
        *v = n->i;
        return true;
    }
    bool exact = fabs(n->d) <= 9007199254740992.0 && n->d == floor(n->d);
    *v = exact ? (int64_t)n->d : 0;
    return exact;
}

static tl_rc get_int32(struct tl_json_in *in, const ProtobufCFieldDescriptor *f,
                       const struct tl_jtok *t, void *p)
{
    struct tl_jtok n;
    int64_t v;
    if (!unquote_number(t, &n) || !to_int64(&n, &v) || v < INT32_MIN || v > INT32_MAX) {
        return wrong(in, t, f, "a 32-bit integer");
    }
    int32_t value = (int32_t)v;
    memcpy(p, &value, sizeof value);
    return TL_OK;
}

static tl_rc get_uint32(struct tl_json_in *in, const ProtobufCFieldDescriptor *f,
                        const struct tl_jtok *t, void *p)
{
    struct tl_jtok n;
    uint64_t v;
    if (!unquote_number(t, &n) || !to_uint64(&n, &v) || v > UINT32_MAX) {
        return wrong(in, t, f, "an unsigned 32-bit integer");
    }
    uint32_t value = (uint32_t)v;
    memcpy(p, &value, sizeof value);
    return TL_OK;
}

static tl_rc get_int64(struct tl_json_in *in, const ProtobufCFieldDescriptor *f,
                       const struct tl_jtok *t, void *p)
{
    struct tl_jtok n;
    int64_t v;
    if (!unquote_number(t, &n) || !to_int64(&n, &v)) {
        return wrong(in, t, f, "a 64-bit integer");
    }
    memcpy(p, &v, sizeof v);
    return TL_OK;
}

static tl_rc get_uint64(struct tl_json_in *in, const ProtobufCFieldDescriptor *f,
                        const struct tl_jtok *t, void *p)
{
    struct tl_jtok n;
    uint64_t v;
    if (!unquote_number(t, &n) || !to_uint64(&n, &v)) {
        return wrong(in, t, f, "an unsigned 64-bit integer");
    }
    memcpy(p, &v, sizeof v);
    return TL_OK;
}

static bool to_double(const struct tl_jtok *t, double *v)
{
    struct tl_jtok n;
    if (t->kind == TL_J_STRING && tl_str_eqc(t->text, "NaN")) {
        *v = (double)NAN;
    } else if (t->kind == TL_J_STRING && tl_str_eqc(t->text, "Infinity")) {
        *v = (double)INFINITY;
    } else if (t->kind == TL_J_STRING && tl_str_eqc(t->text, "-Infinity")) {
        *v = -(double)INFINITY;
    } else if (unquote_number(t, &n)) {
        *v = n.d;
    } else {
        return false;
    }
    return true;
}

static tl_rc get_real(struct tl_json_in *in, const ProtobufCFieldDescriptor *f,
                      const struct tl_jtok *t, void *p)
{
    double v;
    if (!to_double(t, &v)) {
        return wrong(in, t, f, "a number");
    }
    if (f->type == PROTOBUF_C_TYPE_DOUBLE) {
        memcpy(p, &v, sizeof v);
        return TL_OK;
    }
    if (isfinite(v) && fabs(v) > (double)FLT_MAX) {
        return wrong(in, t, f, "in the range of a float");
    }
    float narrow = (float)v;
    memcpy(p, &narrow, sizeof narrow);
    return TL_OK;
}

static tl_rc get_string(struct tl_json_in *in, const ProtobufCFieldDescriptor *f,
                        const struct tl_jtok *t, void *p)
{
    if (t->kind != TL_J_STRING) {
        return wrong(in, t, f, "a string");
    }
    if (t->text.n > 0 && memchr(t->text.p, 0, t->text.n)) {
        return wrong(in, t, f, "a string without NUL character");
    }
    char *copy = tl_pb_cstr(in->arena, t->text);
    tl_pb_store_pointer(p, copy);
    return copy ? TL_OK : tl_json_full(in);
}

static tl_rc get_bytes(struct tl_json_in *in, const ProtobufCFieldDescriptor *f,
                       const struct tl_jtok *t, void *p)
{
    if (t->kind != TL_J_STRING) {
        return wrong(in, t, f, "a base64 string");
    }
    char *out = tl_arena_alloc(in->arena, tl_base64_decoded_max(t->text.n));
    size_t n;
    if (!out) {
        return tl_json_full(in);
    }
    if (!tl_base64_decode(t->text, out, &n)) {
        return wrong(in, t, f, "a base64 string");
    }
    *(ProtobufCBinaryData *)p = (ProtobufCBinaryData){n, n > 0 ? (uint8_t *)out : NULL};
    return TL_OK;
}

static tl_rc get_bool(struct tl_json_in *in, const ProtobufCFieldDescriptor *f,
                      const struct tl_jtok *t, void *p)
{
    if (t->kind != TL_J_BOOL) {
        return wrong(in, t, f, "true or false");
    }
    protobuf_c_boolean v = t->b;
    memcpy(p, &v, sizeof v);
    return TL_OK;
}

static tl_rc get_enum(struct tl_json_in *in, const ProtobufCFieldDescriptor *f,
                      const struct tl_jtok *t, void *p, bool *skipped)
{
    if (t->kind == TL_J_INT) {
        return get_int32(in, f, t, p);
    }
    if (t->kind != TL_J_STRING) {
        return wrong(in, t, f, "the name or number of an enum value");
    }
    int value = 0;
    if (!tl_json_enum_value(f->descriptor, t->text, &value)) {
        *skipped = in->options->ignore_unknown;
        const ProtobufCEnumDescriptor *desc = f->descriptor;
        return *skipped ? TL_OK
                        : tl_json_fail(in, t, "%s has no value \"%.*s\"", desc->short_name,
                                       (int)(t->text.n < 64 ? t->text.n : 64), t->text.p);
    }
    memcpy(p, &value, sizeof value);
    return TL_OK;
}

tl_rc tl_json_get_scalar(struct tl_json_in *in, const ProtobufCFieldDescriptor *f,
                         const struct tl_jtok *t, void *p, bool *skipped)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        return get_int32(in, f, t, p);
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        return get_uint32(in, f, t, p);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return get_int64(in, f, t, p);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return get_uint64(in, f, t, p);
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_DOUBLE:
        return get_real(in, f, t, p);
    case PROTOBUF_C_TYPE_BOOL:
        return get_bool(in, f, t, p);
    case PROTOBUF_C_TYPE_ENUM:
        return get_enum(in, f, t, p, skipped);
    case PROTOBUF_C_TYPE_STRING:
        return get_string(in, f, t, p);
    case PROTOBUF_C_TYPE_BYTES:
        return get_bytes(in, f, t, p);
    case PROTOBUF_C_TYPE_MESSAGE:
        break;
    }
    return wrong(in, t, f, "a scalar");
}
