/* The wire validator: one pass over encoded bytes before they are decoded. See pb.h.
 * Thread: any; uses the C stack for nesting, at most TL_PB_DEPTH_MAX small frames. */
#include "proto/pb.h"

#include "proto/pb_int.h"
#include "proto/utf8.h"

/* What libprotobuf-c allocates beside the fields themselves (64-bit). */
#define COST_SCANNED_FIELD ((size_t)40)
#define COST_UNKNOWN_FIELD ((size_t)32)
#define COST_ALLOCATION ((size_t)16)
#define VARINT_BYTES_MAX 10 /* of which the last has one bit */
/* Fields of one message that are watched for a second occurrence. */
#define SEEN_WORDS 8

struct check {
    const ProtobufCMessageDescriptor *desc; /* innermost message, for messages */
    uint32_t number;                        /* field at hand, for messages */
    size_t cost_left;
    unsigned depth;
    struct tl_error *err;
};

static tl_rc malformed(struct check *c, const char *what)
{
    return tl_error_set(c->err, TL_EDECODE, "%s, field %u: %s", c->desc->name, c->number, what);
}

static tl_rc charge(struct check *c, size_t bytes)
{
    if (bytes > c->cost_left) {
        return tl_error_set(c->err, TL_ELIMIT,
                            "%s, field %u: the message would need too much memory for its size",
                            c->desc->name, c->number);
    }
    c->cost_left -= bytes;
    return TL_OK;
}

bool tl_pb_take_long_varint(struct tl_pb_span *s, uint64_t *v)
{
    const uint8_t *p = s->p;
    unsigned left = s->end - p < VARINT_BYTES_MAX ? (unsigned)(s->end - p) : VARINT_BYTES_MAX;
    uint64_t value = 0;
    for (unsigned i = 0; i < left; i++) {
        value |= (uint64_t)(p[i] & 0x7F) << (7 * i);
        if (p[i] < 0x80) {
            s->p = p + i + 1;
            *v = value;
            return i < VARINT_BYTES_MAX - 1 || p[i] <= 1;
        }
    }
    return false;
}

static bool skip_bytes(struct tl_pb_span *s, uint64_t n, struct tl_pb_span *skipped)
{
    if (n > (uint64_t)(s->end - s->p)) {
        return false;
    }
    *skipped = (struct tl_pb_span){s->p, s->p + n};
    s->p += n;
    return true;
}

static tl_rc check_message(struct check *c, const ProtobufCMessageDescriptor *desc,
                           struct tl_pb_span s);

static tl_rc check_packed(struct check *c, const ProtobufCFieldDescriptor *f,
                          struct tl_pb_span body)
{
    size_t bytes = (size_t)(body.end - body.p);
    enum tl_pb_wire wire = tl_pb_wire_of(f->type);
    if (wire == TL_PB_VARINT) {
        size_t count = 0;
        uint64_t v;
        while (body.p != body.end) {
            if (!tl_pb_take_varint(&body, &v)) {
                return malformed(c, "malformed varint in a packed field");
            }
            count++;
        }
        return charge(c, COST_ALLOCATION + count * 8);
    }
    if (bytes % (wire == TL_PB_32 ? 4 : 8) != 0) {
        return malformed(c, "packed field is cut short");
    }
    return charge(c, COST_ALLOCATION + bytes);
}

static tl_rc check_body(struct check *c, const ProtobufCFieldDescriptor *f, struct tl_pb_span body)
{
    size_t bytes = (size_t)(body.end - body.p);
    tl_rc rc = TL_OK;
    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING:
        if (bytes > 0 && memchr(body.p, 0, bytes)) {
            return malformed(c, "a string holds a NUL byte");
        }
        if (!tl_utf8_ok(tl_str_n(body.p, bytes))) {
            return malformed(c, "a string is not valid UTF-8");
        }
        return charge(c, bytes + COST_ALLOCATION);
    case PROTOBUF_C_TYPE_BYTES:
        return charge(c, bytes + COST_ALLOCATION);
    case PROTOBUF_C_TYPE_MESSAGE: {
        if (c->depth == TL_PB_DEPTH_MAX) {
            return malformed(c, "messages are nested too deeply");
        }
        const ProtobufCMessageDescriptor *outer = c->desc;
        uint32_t number = c->number;
        c->depth++;
        rc = check_message(c, f->descriptor, body);
        c->depth--;
        c->desc = outer;
        c->number = number;
        return rc;
    }
    default:
        return check_packed(c, f, body);
    }
}

/* True when the sub-message field was seen before in this message. libprotobuf-c would lose fields
 * of the first occurrence. */
static bool seen_twice(const ProtobufCMessageDescriptor *desc, const ProtobufCFieldDescriptor *f,
                       uint64_t *seen)
{
    if (f->type != PROTOBUF_C_TYPE_MESSAGE || tl_pb_is_repeated(f)) {
        return false;
    }
    size_t index = (size_t)(f - desc->fields);
    if (index >= SEEN_WORDS * 64) {
        return false;
    }
    uint64_t bit = UINT64_C(1) << (index % 64);
    bool twice = (seen[index / 64] & bit) != 0;
    seen[index / 64] |= bit;
    return twice;
}

static tl_rc check_known(struct check *c, const ProtobufCFieldDescriptor *f, unsigned wire,
                         struct tl_pb_span body)
{
    bool repeated = tl_pb_is_repeated(f);
    enum tl_pb_wire expected = tl_pb_wire_of(f->type);
    bool packed = repeated && wire == TL_PB_LEN && expected != TL_PB_LEN;
    if (!packed && wire != (unsigned)expected) {
        return malformed(c, "wrong wire type");
    }
    if (repeated) {
        tl_rc rc = charge(c, 16);
        if (rc) {
            return rc;
        }
    }
    return wire == TL_PB_LEN ? check_body(c, f, body) : TL_OK;
}

/* Reads the value behind a tag; *body is set for length-delimited fields. */
static tl_rc read_value(struct check *c, struct tl_pb_span *s, unsigned wire,
                        struct tl_pb_span *body)
{
    uint64_t v;
    switch (wire) {
    case TL_PB_VARINT:
        return tl_pb_take_varint(s, &v) ? TL_OK : malformed(c, "malformed varint");
    case TL_PB_64:
        return skip_bytes(s, 8, body) ? TL_OK : malformed(c, "value is cut short");
    case TL_PB_32:
        return skip_bytes(s, 4, body) ? TL_OK : malformed(c, "value is cut short");
    case TL_PB_LEN:
        return tl_pb_take_varint(s, &v) && skip_bytes(s, v, body)
                   ? TL_OK
                   : malformed(c, "value is cut short");
    default:
        return malformed(c, "groups and unknown wire types are not supported");
    }
}

static tl_rc check_message(struct check *c, const ProtobufCMessageDescriptor *desc,
                           struct tl_pb_span s)
{
    uint64_t seen[SEEN_WORDS] = {0};
    c->desc = desc;
    c->number = 0;
    tl_rc rc = charge(c, desc->sizeof_message + COST_ALLOCATION);
    while (rc == TL_OK && s.p != s.end) {
        uint64_t tag;
        c->number = 0;
        if (!tl_pb_take_varint(&s, &tag) || tag > UINT32_MAX || tag >> 3 == 0) {
            return malformed(c, "malformed tag");
        }
        c->number = (uint32_t)(tag >> 3);
        struct tl_pb_span body = {s.p, s.p};
        unsigned wire = (unsigned)(tag & 7);
        const uint8_t *start = s.p;
        rc = read_value(c, &s, wire, &body);
        if (rc == TL_OK) {
            rc = charge(c, COST_SCANNED_FIELD);
        }
        if (rc) {
            return rc;
        }
        const ProtobufCFieldDescriptor *f = tl_pb_find_field(desc, c->number);
        if (!f) {
            rc = charge(c, COST_UNKNOWN_FIELD + COST_ALLOCATION + (size_t)(s.p - start));
        } else if (seen_twice(desc, f, seen)) {
            return malformed(c, "a sub-message that must be single occurs twice");
        } else {
            rc = check_known(c, f, wire, body);
        }
    }
    return rc;
}

tl_rc tl_pb_check(const ProtobufCMessageDescriptor *desc, struct tl_str bytes, struct tl_error *err)
{
    struct check c = {.desc = desc, .err = err};
    size_t scaled =
        bytes.n <= SIZE_MAX / (2 * TL_PB_COST_FACTOR) ? bytes.n * TL_PB_COST_FACTOR : SIZE_MAX / 2;
    c.cost_left = TL_PB_COST_FLOOR + scaled;
    const uint8_t *p = (const uint8_t *)bytes.p;
    return check_message(&c, desc, (struct tl_pb_span){p, p ? p + bytes.n : p});
}
