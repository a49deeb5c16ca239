/* Reflection shared by the files of this folder: how libprotobuf-c lays fields out in memory and
 * how their types travel. Private to host/proto. Thread: any. */
#pragma once

#include "proto/pb.h"
#include "proto/reflect.h"

enum tl_pb_wire { TL_PB_VARINT = 0, TL_PB_64 = 1, TL_PB_LEN = 2, TL_PB_32 = 5 };

/* By a table: this is asked for each field of each message. */
static inline enum tl_pb_wire tl_pb_wire_of(ProtobufCType type)
{
    static const uint8_t wires[] = {
        [PROTOBUF_C_TYPE_SFIXED32] = TL_PB_32, [PROTOBUF_C_TYPE_FIXED32] = TL_PB_32,
        [PROTOBUF_C_TYPE_FLOAT] = TL_PB_32,    [PROTOBUF_C_TYPE_SFIXED64] = TL_PB_64,
        [PROTOBUF_C_TYPE_FIXED64] = TL_PB_64,  [PROTOBUF_C_TYPE_DOUBLE] = TL_PB_64,
        [PROTOBUF_C_TYPE_STRING] = TL_PB_LEN,  [PROTOBUF_C_TYPE_BYTES] = TL_PB_LEN,
        [PROTOBUF_C_TYPE_MESSAGE] = TL_PB_LEN, /* the others are varints, which is 0 */
    };
    return (enum tl_pb_wire)wires[type];
}
_Static_assert(TL_PB_VARINT == 0 && PROTOBUF_C_TYPE_MESSAGE == 16, "the table ends with the types");

static inline uint32_t tl_pb_load_32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t tl_pb_load_64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void *tl_pb_load_pointer(const void *p)
{
    void *v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void tl_pb_store_pointer(void *p, const void *v)
{
    memcpy(p, &v, sizeof v);
}

static inline void *tl_pb_field_at(const void *msg, const ProtobufCFieldDescriptor *f)
{
    return (char *)(uintptr_t)msg + f->offset;
}

static inline bool tl_pb_is_repeated(const ProtobufCFieldDescriptor *f)
{
    return f->label == PROTOBUF_C_LABEL_REPEATED;
}

static inline bool tl_pb_is_oneof(const ProtobufCFieldDescriptor *f)
{
    return (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
}

/* Number of the member that a oneof has set (the oneof is named by one of its members). */
static inline uint32_t tl_pb_oneof_case(const void *msg, const ProtobufCFieldDescriptor *f)
{
    return tl_pb_load_32((const char *)msg + f->quantifier_offset);
}

static inline size_t tl_pb_count(const void *msg, const ProtobufCFieldDescriptor *f)
{
    return (size_t)tl_pb_load_64((const char *)msg + f->quantifier_offset);
}
_Static_assert(sizeof(size_t) == 8, "counts are read as 64 bits");
_Static_assert(sizeof(protobuf_c_boolean) == 4, "booleans are read as 32 bits");

/* Whether a field outside repeated fields is sent: a oneof member when it is the one that is set,
 * any other when it differs from its default. */
bool tl_pb_is_set(const void *msg, const ProtobufCFieldDescriptor *f);

/* --- Bytes ------------------------------------------------------------------------------------- */

struct tl_pb_span {
    const uint8_t *p, *end;
};

/* A varint of several bytes; false when it is cut short or has more than 64 bits. */
bool tl_pb_take_long_varint(struct tl_pb_span *s, uint64_t *v);

/* Takes a varint from the front; false as above. */
static inline bool tl_pb_take_varint(struct tl_pb_span *s, uint64_t *v)
{
    if (s->p != s->end && *s->p < 0x80) {
        *v = *s->p++;
        return true;
    }
    return tl_pb_take_long_varint(s, v);
}

/* The field with the number, or NULL. Nearly all fields are in the first range of numbers without a gap,
 * where the number tells the place. */
static inline const ProtobufCFieldDescriptor *
tl_pb_find_field(const ProtobufCMessageDescriptor *desc, uint32_t number)
{
    const ProtobufCIntRange *ranges = desc->field_ranges; /* and where the last one ends */
    if (desc->n_field_ranges == 0) {
        return NULL;
    }
    uint32_t place = number - (uint32_t)ranges[0].start_value;
    if (place < ranges[1].orig_index) {
        return &desc->fields[place];
    }
    return desc->n_field_ranges > 1 ? protobuf_c_message_descriptor_get_field(desc, number) : NULL;
}

/* The message in bytes that tl_pb_check has passed; without that, anything may happen.
 * Owns: the arena, strings and bytes included. Errors: NULL when the arena is full. */
void *tl_pb_unpack(struct tl_arena *arena, const ProtobufCMessageDescriptor *desc,
                   struct tl_str bytes);
