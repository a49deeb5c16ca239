/* Deep copies of messages by their descriptors. See pb.h. Thread: any. */
#include "proto/pb.h"

#include "proto/pb_int.h"

/* The value at p was copied bytewise: gives it its own copy of what it points to. */
static bool own_value(ProtobufCType type, void *p, struct tl_arena *arena)
{
    if (type == PROTOBUF_C_TYPE_STRING) {
        const char *s = tl_pb_load_pointer(p);
        if (!s) {
            return true;
        }
        char *copy = tl_pb_cstr(arena, tl_str(s));
        tl_pb_store_pointer(p, copy);
        return copy != NULL;
    }
    if (type == PROTOBUF_C_TYPE_BYTES) {
        ProtobufCBinaryData *data = p;
        bool ok = true;
        *data = tl_pb_bytes(arena, tl_pb_str(*data), &ok);
        return ok;
    }
    if (type == PROTOBUF_C_TYPE_MESSAGE) {
        const void *msg = tl_pb_load_pointer(p);
        if (!msg) {
            return true;
        }
        void *copy = tl_pb_clone(msg, arena);
        tl_pb_store_pointer(p, copy);
        return copy != NULL;
    }
    return true;
}

static bool own_field(ProtobufCMessage *msg, const ProtobufCFieldDescriptor *f,
                      struct tl_arena *arena)
{
    char *p = tl_pb_field_at(msg, f);
    if (!tl_pb_is_repeated(f)) {
        bool absent = tl_pb_is_oneof(f) && tl_pb_oneof_case(msg, f) != f->id;
        return absent || own_value(f->type, p, arena);
    }
    size_t n = tl_pb_count(msg, f);
    if (n == 0) {
        tl_pb_store_pointer(p, NULL);
        return true;
    }
    size_t step = tl_pb_element_size(f->type);
    char *items = tl_arena_copy(arena, tl_pb_load_pointer(p), n * step);
    tl_pb_store_pointer(p, items);
    for (size_t i = 0; items && i < n; i++) {
        if (!own_value(f->type, items + i * step, arena)) {
            return false;
        }
    }
    return items != NULL;
}

static bool own_unknown(ProtobufCMessage *msg, struct tl_arena *arena)
{
    size_t n = msg->n_unknown_fields;
    if (n == 0) {
        msg->unknown_fields = NULL;
        return true;
    }
    msg->unknown_fields =
        tl_arena_copy(arena, msg->unknown_fields, n * sizeof *msg->unknown_fields);
    for (size_t i = 0; msg->unknown_fields && i < n; i++) {
        ProtobufCMessageUnknownField *u = &msg->unknown_fields[i];
        u->data = tl_arena_copy(arena, u->data, u->len);
        if (!u->data) {
            return false;
        }
    }
    return msg->unknown_fields != NULL;
}

void *tl_pb_clone(const void *source, struct tl_arena *arena)
{
    const ProtobufCMessage *from = source;
    const ProtobufCMessageDescriptor *desc = from->descriptor;
    ProtobufCMessage *msg = tl_arena_copy(arena, from, desc->sizeof_message);
    if (!msg || !own_unknown(msg, arena)) {
        return NULL;
    }
    for (unsigned i = 0; i < desc->n_fields; i++) {
        if (!own_field(msg, &desc->fields[i], arena)) {
            return NULL;
        }
    }
    return msg;
}
