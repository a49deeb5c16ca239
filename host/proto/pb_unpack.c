/* From bytes that the validator has passed to messages in libprotobuf-c's layout: one walk, everything in
 * the arena. The library's own unpack looks at each field of a descriptor for each message, which for
 * history events (some sixty kinds of attributes) is most of the work. See pb_int.h. Thread: any. */
#include "proto/pb_int.h"

static void *new_message(struct tl_arena *arena, const ProtobufCMessageDescriptor *desc,
                         struct tl_pb_span s);

/* The field whose value begins at s->p; the validator has seen that it is whole. */
static inline struct tl_pb_span take_value(struct tl_pb_span *s, unsigned wire)
{
    struct tl_pb_span body = {s->p, s->p};
    uint64_t n = 0;
    switch (wire) {
    case TL_PB_VARINT:
        (void)tl_pb_take_varint(s, &n);
        body.end = s->p;
        return body;
    case TL_PB_LEN:
        (void)tl_pb_take_varint(s, &n);
        body.p = s->p;
        break;
    default:
        n = wire == TL_PB_64 ? 8 : 4;
        break;
    }
    s->p += n;
    body.end = s->p;
    return body;
}

/* Of a value of fixed size in memory. */
static size_t value_size(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    default:
        return 4;
    }
}

/* A number, whose bytes are taken from the body. */
static void store_number(ProtobufCType type, struct tl_pb_span *body, void *at)
{
    enum tl_pb_wire wire = tl_pb_wire_of(type);
    if (wire != TL_PB_VARINT) {
        size_t n = wire == TL_PB_64 ? 8 : 4;
        memcpy(at, body->p, n);
        body->p += n;
        return;
    }
    uint64_t v = 0;
    (void)tl_pb_take_varint(body, &v);
    uint32_t low = (uint32_t)v;
    switch (type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
        memcpy(at, &v, sizeof v);
        return;
    case PROTOBUF_C_TYPE_SINT64:
        v = (v >> 1) ^ (0 - (v & 1));
        memcpy(at, &v, sizeof v);
        return;
    case PROTOBUF_C_TYPE_SINT32:
        low = (low >> 1) ^ (0 - (low & 1));
        break;
    case PROTOBUF_C_TYPE_BOOL:
        low = v != 0;
        break;
    default: /* int32, uint32, enum */
        break;
    }
    memcpy(at, &low, sizeof low);
}

static bool store(struct tl_arena *arena, const ProtobufCFieldDescriptor *f, struct tl_pb_span body,
                  void *at)
{
    size_t n = (size_t)(body.end - body.p);
    ProtobufCBinaryData data = {n, NULL};
    void *made;
    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING:
        made = tl_arena_alloc(arena, n + 1);
        if (made) {
            memcpy(made, body.p, n);
        }
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        made = new_message(arena, f->descriptor, body);
        break;
    case PROTOBUF_C_TYPE_BYTES:
        data.data = n ? tl_arena_copy(arena, body.p, n) : NULL;
        memcpy(at, &data, sizeof data);
        return !n || data.data;
    default:
        store_number(f->type, &body, at);
        return true;
    }
    tl_pb_store_pointer(at, made);
    return made != NULL;
}

static bool is_packed(const ProtobufCFieldDescriptor *f, unsigned wire)
{
    return wire == TL_PB_LEN && tl_pb_wire_of(f->type) != TL_PB_LEN;
}

/* How many values one occurrence of a repeated field holds. */
static size_t count_in(const ProtobufCFieldDescriptor *f, unsigned wire, struct tl_pb_span body)
{
    size_t count = 0;
    if (!is_packed(f, wire)) {
        return 1;
    }
    if (tl_pb_wire_of(f->type) != TL_PB_VARINT) {
        return (size_t)(body.end - body.p) / value_size(f->type);
    }
    for (; body.p != body.end; body.p++) {
        count += *body.p < 0x80;
    }
    return count;
}

/* How many values of the field there are from here to the end of the message. */
static size_t count_rest(const ProtobufCFieldDescriptor *f, struct tl_pb_span rest)
{
    size_t count = 0;
    while (rest.p != rest.end) {
        uint64_t tag = 0;
        (void)tl_pb_take_varint(&rest, &tag);
        unsigned wire = (unsigned)(tag & 7);
        struct tl_pb_span body = take_value(&rest, wire);
        count += tag >> 3 == f->id ? count_in(f, wire, body) : 0;
    }
    return count;
}

/* from: the field's tag. The first occurrence makes room for all of them. */
static bool add_repeated(struct tl_arena *arena, void *msg, const ProtobufCFieldDescriptor *f,
                         unsigned wire, struct tl_pb_span body, struct tl_pb_span from)
{
    size_t *count = (size_t *)((char *)msg + f->quantifier_offset);
    size_t size = value_size(f->type), n = count_in(f, wire, body);
    char *list = tl_pb_load_pointer(tl_pb_field_at(msg, f));
    if (!list && n) {
        list = tl_arena_alloc(arena, count_rest(f, from) * size);
        if (!list) {
            return false;
        }
        tl_pb_store_pointer(tl_pb_field_at(msg, f), list);
    }
    if (!is_packed(f, wire)) {
        return store(arena, f, body, list + (*count)++ * size);
    }
    for (; n > 0; n--) {
        store_number(f->type, &body, list + (*count)++ * size);
    }
    return true;
}

/* A member of a oneof takes the place of the one before it. */
static void set_case(void *msg, const ProtobufCFieldDescriptor *f)
{
    uint32_t *number = (uint32_t *)((char *)msg + f->quantifier_offset);
    if (*number) {
        const ProtobufCFieldDescriptor *old =
            protobuf_c_message_descriptor_get_field(((ProtobufCMessage *)msg)->descriptor, *number);
        memset(tl_pb_field_at(msg, old), 0, value_size(old->type));
    }
    *number = f->id;
}

static bool add_single(struct tl_arena *arena, void *msg, const ProtobufCFieldDescriptor *f,
                       struct tl_pb_span body)
{
    if (tl_pb_is_oneof(f)) {
        set_case(msg, f);
    } else if (f->label == PROTOBUF_C_LABEL_OPTIONAL && f->quantifier_offset) {
        *(protobuf_c_boolean *)((char *)msg + f->quantifier_offset) = 1;
    }
    return store(arena, f, body, tl_pb_field_at(msg, f));
}

/* value: with the length before it, as the library keeps it */
static bool add_unknown(struct tl_arena *arena, ProtobufCMessage *msg, uint64_t tag,
                        struct tl_pb_span value)
{
    unsigned n = msg->n_unknown_fields;
    if ((n & (n - 1)) == 0) { /* full: 0, 1, 2, 4, 8 ... */
        ProtobufCMessageUnknownField *more =
            TL_ARENA_ARRAY(arena, ProtobufCMessageUnknownField, n ? (size_t)n * 2 : 1);
        if (!more) {
            return false;
        }
        if (n) {
            memcpy(more, msg->unknown_fields, n * sizeof *more);
        }
        msg->unknown_fields = more;
    }
    size_t bytes = (size_t)(value.end - value.p);
    ProtobufCMessageUnknownField *u = &msg->unknown_fields[n];
    u->tag = (uint32_t)(tag >> 3);
    u->wire_type = (ProtobufCWireType)(tag & 7);
    u->len = bytes;
    u->data = tl_arena_copy(arena, value.p, bytes);
    msg->n_unknown_fields = n + 1;
    return u->data != NULL;
}

/* NULL: the arena is full. */
static void *new_message(struct tl_arena *arena, const ProtobufCMessageDescriptor *desc,
                         struct tl_pb_span s)
{
    ProtobufCMessage *msg = tl_pb_new(arena, desc);
    while (msg && s.p != s.end) {
        struct tl_pb_span from = s;
        uint64_t tag = 0;
        (void)tl_pb_take_varint(&s, &tag);
        unsigned wire = (unsigned)(tag & 7);
        const uint8_t *value = s.p;
        struct tl_pb_span body = take_value(&s, wire);
        const ProtobufCFieldDescriptor *f = tl_pb_find_field(desc, (uint32_t)(tag >> 3));
        bool ok = !f ? add_unknown(arena, msg, tag, (struct tl_pb_span){value, s.p})
                  : tl_pb_is_repeated(f) ? add_repeated(arena, msg, f, wire, body, from)
                                         : add_single(arena, msg, f, body);
        msg = ok ? msg : NULL;
    }
    return msg;
}

void *tl_pb_unpack(struct tl_arena *arena, const ProtobufCMessageDescriptor *desc,
                   struct tl_str bytes)
{
    const uint8_t *p = (const uint8_t *)bytes.p;
    return new_message(arena, desc, (struct tl_pb_span){p, p ? p + bytes.n : p});
}
