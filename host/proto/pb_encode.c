/* The encoder: walks a message once and writes from the end of the buffer towards its front, so
 * that every length is known when its prefix is written. See pb.h.
 * Output order is libprotobuf-c's: fields by number, then unknown fields. It differs from it where
 * that one loses data: a set oneof is sent even when empty, and so is negative zero.
 * Thread: any; one temporary heap block for messages beyond SMALL bytes. */
#include "base/mem.h"
#include "proto/pb.h"
#include "proto/pb_int.h"

#define SMALL 2048

struct back {
    uint8_t *base;
    size_t cap;
    size_t at;     /* first used byte */
    uint8_t *heap; /* base when it is not the caller's small block */
    unsigned depth;
    struct tl_error *err;
};

static tl_rc grow(struct back *b, size_t n)
{
    size_t used = b->cap - b->at;
    if (n > SIZE_MAX / 4 || b->cap > SIZE_MAX / 4) {
        return tl_error_set(b->err, TL_ELIMIT, "message is too large to encode");
    }
    size_t cap = b->cap * 2 > used + n ? b->cap * 2 : (used + n) * 2;
    uint8_t *base = tl_mem_try(cap);
    if (!base) {
        return tl_error_set(b->err, TL_ELIMIT, "no memory left to encode a message");
    }
    memcpy(base + cap - used, b->base + b->at, used);
    tl_mem_free(b->heap);
    b->heap = base;
    b->base = base;
    b->cap = cap;
    b->at = cap - used;
    return TL_OK;
}

static tl_rc put(struct back *b, const void *p, size_t n)
{
    if (b->at < n) {
        tl_rc rc = grow(b, n);
        if (rc) {
            return rc;
        }
    }
    b->at -= n;
    if (n > 0) {
        memcpy(b->base + b->at, p, n);
    }
    return TL_OK;
}

static tl_rc put_varint(struct back *b, uint64_t v)
{
    if (v < 0x80 && b->at > 0) {
        b->base[--b->at] = (uint8_t)v;
        return TL_OK;
    }
    uint8_t bytes[10];
    size_t n = 0;
    while (v >= 0x80) {
        bytes[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    bytes[n++] = (uint8_t)v;
    return put(b, bytes, n);
}

static tl_rc put_tag(struct back *b, uint32_t number, enum tl_pb_wire wire)
{
    return put_varint(b, (uint64_t)number << 3 | (uint64_t)wire);
}

/* A scalar as it stands in memory, widened the way its type is sent. */
static uint64_t scalar_bits(ProtobufCType type, const void *p)
{
    switch (type) {
    case PROTOBUF_C_TYPE_BOOL:
        return tl_pb_load_32(p) != 0;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_ENUM:
        return (uint64_t)(int64_t)(int32_t)tl_pb_load_32(p);
    case PROTOBUF_C_TYPE_SINT32: {
        uint32_t v = (uint32_t)tl_pb_load_32(p);
        return (uint32_t)(v << 1) ^ (v >> 31 ? UINT32_MAX : 0);
    }
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        return tl_pb_load_32(p);
    case PROTOBUF_C_TYPE_SINT64: {
        uint64_t v = tl_pb_load_64(p);
        return (v << 1) ^ (v >> 63 ? UINT64_MAX : 0);
    }
    default:
        return tl_pb_load_64(p);
    }
}

static tl_rc put_scalar(struct back *b, ProtobufCType type, const void *p)
{
    uint64_t bits = scalar_bits(type, p);
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(bits >> (8 * i));
    }
    switch (tl_pb_wire_of(type)) {
    case TL_PB_32:
        return put(b, bytes, 4);
    case TL_PB_64:
        return put(b, bytes, 8);
    default:
        return put_varint(b, bits);
    }
}

static tl_rc put_body(struct back *b, const ProtobufCMessage *msg);

/* One value with its length prefix where it has one, without tag. */
static tl_rc put_value(struct back *b, const ProtobufCFieldDescriptor *f, const void *p)
{
    size_t before = b->cap - b->at;
    tl_rc rc;
    if (f->type == PROTOBUF_C_TYPE_STRING) {
        const char *s = tl_pb_load_pointer(p);
        rc = put(b, s, s ? strlen(s) : 0);
    } else if (f->type == PROTOBUF_C_TYPE_BYTES) {
        const ProtobufCBinaryData *data = p;
        rc = put(b, data->data, data->len);
    } else if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
        rc = put_body(b, tl_pb_load_pointer(p));
    } else {
        return put_scalar(b, f->type, p);
    }
    return rc ? rc : put_varint(b, (b->cap - b->at) - before);
}

static tl_rc no_value(struct back *b, const ProtobufCMessage *msg,
                      const ProtobufCFieldDescriptor *f)
{
    return tl_error_set(b->err, TL_EINVAL, "%s.%s has no value", msg->descriptor->name, f->name);
}

static tl_rc put_repeated(struct back *b, const ProtobufCMessage *msg,
                          const ProtobufCFieldDescriptor *f)
{
    size_t n = tl_pb_count(msg, f);
    const char *items = tl_pb_load_pointer(tl_pb_field_at(msg, f));
    size_t step = tl_pb_element_size(f->type);
    enum tl_pb_wire wire = tl_pb_wire_of(f->type);
    size_t before = b->cap - b->at;
    if (n == 0) {
        return TL_OK;
    }
    bool pointers = f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_MESSAGE;
    for (size_t i = n; i-- > 0;) {
        const char *item = items + i * step;
        if (pointers && !tl_pb_load_pointer(item)) {
            return no_value(b, msg, f);
        }
        tl_rc rc = put_value(b, f, item);
        if (rc == TL_OK && wire == TL_PB_LEN) {
            rc = put_tag(b, f->id, TL_PB_LEN);
        }
        if (rc) {
            return rc;
        }
    }
    if (wire == TL_PB_LEN) {
        return TL_OK;
    }
    tl_rc rc = put_varint(b, (b->cap - b->at) - before);
    return rc ? rc : put_tag(b, f->id, TL_PB_LEN);
}

static bool differs_from_default(const ProtobufCFieldDescriptor *f, const void *p)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING: {
        const char *s = tl_pb_load_pointer(p);
        return s && *s;
    }
    case PROTOBUF_C_TYPE_BYTES:
        return ((const ProtobufCBinaryData *)p)->len > 0;
    case PROTOBUF_C_TYPE_MESSAGE:
        return tl_pb_load_pointer(p) != NULL;
    default:
        return scalar_bits(f->type, p) != 0;
    }
}

bool tl_pb_is_set(const void *msg, const ProtobufCFieldDescriptor *f)
{
    return tl_pb_is_oneof(f) ? tl_pb_oneof_case(msg, f) == f->id
                             : differs_from_default(f, tl_pb_field_at(msg, f));
}

static tl_rc put_field(struct back *b, const ProtobufCMessage *msg,
                       const ProtobufCFieldDescriptor *f)
{
    if (tl_pb_is_repeated(f)) {
        return put_repeated(b, msg, f);
    }
    if (!tl_pb_is_set(msg, f)) {
        return TL_OK;
    }
    const void *p = tl_pb_field_at(msg, f);
    if (f->type == PROTOBUF_C_TYPE_MESSAGE && !tl_pb_load_pointer(p)) {
        return no_value(b, msg, f); /* a oneof is set to a message that is not there */
    }
    tl_rc rc = put_value(b, f, p);
    return rc ? rc : put_tag(b, f->id, tl_pb_wire_of(f->type));
}

static tl_rc put_body(struct back *b, const ProtobufCMessage *msg)
{
    if (b->depth > TL_PB_DEPTH_MAX) {
        return tl_error_set(b->err, TL_ELIMIT, "%s: messages are nested too deeply",
                            msg->descriptor->name);
    }
    b->depth++;
    tl_rc rc = TL_OK;
    for (unsigned i = msg->n_unknown_fields; rc == TL_OK && i-- > 0;) {
        const ProtobufCMessageUnknownField *u = &msg->unknown_fields[i];
        rc = put(b, u->data, u->len);
        if (rc == TL_OK) {
            rc = put_tag(b, u->tag, (enum tl_pb_wire)u->wire_type);
        }
    }
    const ProtobufCMessageDescriptor *desc = msg->descriptor;
    unsigned oneof = 0; /* where the case of the oneof at hand stands, 0: none */
    uint32_t which = 0;
    for (unsigned i = desc->n_fields; rc == TL_OK && i-- > 0;) {
        const ProtobufCFieldDescriptor *f = &desc->fields[i];
        if (tl_pb_is_oneof(f)) {
            /* An event has one of 60 attributes: the others must cost next to nothing. */
            if (f->quantifier_offset != oneof) {
                oneof = f->quantifier_offset;
                which = tl_pb_oneof_case(msg, f);
            }
            if (which != f->id) {
                continue;
            }
        }
        rc = put_field(b, msg, f);
    }
    b->depth--;
    return rc;
}

/* Runs the encoder; on success the bytes are b->base + b->at .. b->cap. The caller frees
 * b->heap. */
static tl_rc encode(struct back *b, uint8_t *small, const void *msg, struct tl_error *err)
{
    *b = (struct back){.base = small, .cap = SMALL, .at = SMALL, .err = err};
    return put_body(b, msg);
}

tl_rc tl_pb_encode(const void *msg, struct tl_buf *out, struct tl_error *err)
{
    uint8_t small[SMALL];
    struct back b;
    tl_rc rc = encode(&b, small, msg, err);
    if (rc == TL_OK && !tl_buf_put(out, b.base + b.at, b.cap - b.at)) {
        rc = tl_error_set(err, TL_ELIMIT, "%s: %zu encoded bytes are too many",
                          ((const ProtobufCMessage *)msg)->descriptor->name, b.cap - b.at);
    }
    tl_mem_free(b.heap);
    return rc;
}

tl_rc tl_pb_encode_arena(const void *msg, struct tl_arena *arena, struct tl_str *out,
                         struct tl_error *err)
{
    uint8_t small[SMALL];
    struct back b;
    tl_rc rc = encode(&b, small, msg, err);
    if (rc == TL_OK) {
        *out = tl_str_n(tl_arena_copy(arena, b.base + b.at, b.cap - b.at), b.cap - b.at);
        if (!out->p) {
            rc = tl_error_set(err, TL_ELIMIT, "%s: no memory left for the encoded message",
                              ((const ProtobufCMessage *)msg)->descriptor->name);
        }
    }
    tl_mem_free(b.heap);
    return rc;
}

size_t tl_pb_size(const void *msg)
{
    uint8_t small[SMALL];
    struct back b;
    size_t size = encode(&b, small, msg, NULL) == TL_OK ? b.cap - b.at : SIZE_MAX;
    tl_mem_free(b.heap);
    return size;
}

tl_rc tl_pb_raw_field(void *message, uint32_t number, struct tl_str bytes, struct tl_arena *arena,
                      struct tl_error *err)
{
    ProtobufCMessage *msg = message;
    uint8_t tag[5];
    size_t tag_bytes = 0;
    for (uint32_t v = number << 3 | TL_PB_LEN; v || tag_bytes == 0; v >>= 7) {
        tag[tag_bytes++] = (uint8_t)((v & 0x7F) | (v >> 7 ? 0x80 : 0));
    }
    if (bytes.n == 0) {
        return TL_OK;
    }
    if (number == 0 || number >> 29 != 0 || bytes.n < tag_bytes ||
        memcmp(bytes.p, tag, tag_bytes) != 0) {
        return tl_error_set(err, TL_EINVAL, "%s: encoded bytes do not begin with field %u",
                            msg->descriptor->name, number);
    }
    unsigned n = msg->n_unknown_fields;
    ProtobufCMessageUnknownField *fields =
        TL_ARENA_ARRAY(arena, ProtobufCMessageUnknownField, (size_t)n + 1);
    if (!fields) {
        return tl_error_set(err, TL_ELIMIT, "no memory left for encoded bytes");
    }
    if (n > 0) {
        memcpy(fields, msg->unknown_fields, n * sizeof *fields);
    }
    ProtobufCBinaryData rest = tl_pb_bytes_view(tl_str_n(bytes.p + tag_bytes, bytes.n - tag_bytes));
    fields[n] = (ProtobufCMessageUnknownField){.tag = number,
                                               .wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED,
                                               .len = rest.len,
                                               .data = rest.data};
    msg->unknown_fields = fields;
    msg->n_unknown_fields = n + 1;
    return TL_OK;
}

bool tl_pb_put_field(struct tl_buf *buf, uint32_t number, struct tl_str bytes)
{
    return tl_buf_put_varint(buf, (uint64_t)number << 3 | TL_PB_LEN) &&
           tl_buf_put_varint(buf, bytes.n) && tl_buf_put_str(buf, bytes);
}

tl_rc tl_pb_put_message(struct tl_buf *buf, uint32_t number, const void *msg, struct tl_error *err)
{
    uint8_t small[SMALL];
    struct back b;
    tl_rc rc = encode(&b, small, msg, err);
    if (rc == TL_OK && !tl_pb_put_field(buf, number, tl_str_n(b.base + b.at, b.cap - b.at))) {
        rc = tl_error_set(err, TL_ELIMIT, "%s: %zu encoded bytes are too many",
                          ((const ProtobufCMessage *)msg)->descriptor->name, b.cap - b.at);
    }
    tl_mem_free(b.heap);
    return rc;
}
