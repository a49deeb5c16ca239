/* Protobuf messages in arenas. Decoding validates the bytes before libprotobuf-c sees them (it has
 * no depth limit, checks no UTF-8 and loses data when a sub-message occurs twice); encoding writes
 * each message in one backward pass and sends every set oneof, even with an empty value.
 *
 * Invariants: a decoded message lives in the arena it was decoded into and dies with it; strings
 * are NUL-terminated, valid UTF-8 and hold no NUL; no element of a repeated field is NULL; only the
 * value of a map entry may be NULL (when it is a message).
 * Ownership: builders borrow what they are given unless their comment says "copies".
 * Thread: any; one thread per arena at a time. */
#pragma once

#include <google/protobuf/duration.pb-c.h>
#include <google/protobuf/timestamp.pb-c.h>
#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

/* Deepest message nesting that is read or written. */
#define TL_PB_DEPTH_MAX 100
/* Bytes of memory that decoding may cost: FLOOR + FACTOR for each byte of the wire. Honest messages
 * cost about 5 bytes per wire byte, the densest about 20. */
#define TL_PB_COST_FLOOR ((size_t)4 * 1024 * 1024)
#define TL_PB_COST_FACTOR ((size_t)24)

/* --- names ------------------------------------------------------------------------------------ */

/* Descriptor by full protobuf name ("temporal.api.common.v1.Payload"), NULL when unknown. */
const ProtobufCMessageDescriptor *tl_pb_find_message(struct tl_str full_name);
const ProtobufCServiceDescriptor *tl_pb_find_service(struct tl_str full_name);
/* All messages in order of their names; NULL past the last. */
const ProtobufCMessageDescriptor *tl_pb_message_at(size_t index);
/* The value's own name ("EVENT_TYPE_TIMER_FIRED"), or NULL for a number the enum does not have. */
const char *tl_pb_enum_name(const ProtobufCEnumDescriptor *desc, int value);

/* --- decode, encode, copy --------------------------------------------------------------------- */

/* A protobuf-c allocator that takes from the arena and never frees. `out` is filled, no
 * ownership. */
void tl_pb_allocator(ProtobufCAllocator *out, struct tl_arena *arena);

/* Checks bytes against the descriptor: nesting, UTF-8 without NUL in strings, wire types of known
 * fields, no groups, no sub-message twice, memory cost. Errors: TL_EDECODE, TL_ELIMIT. */
tl_rc tl_pb_check(const ProtobufCMessageDescriptor *desc, struct tl_str bytes,
                  struct tl_error *err) TL_MUST_USE;
/* Checks and decodes. `out` is the address of a pointer to the message's struct.
 * Owns: the message is in the arena and borrows nothing from bytes. Errors: TL_EDECODE (malformed),
 * TL_ELIMIT (cost, or the arena is full). */
tl_rc tl_pb_decode(const ProtobufCMessageDescriptor *desc, struct tl_str bytes,
                   struct tl_arena *arena, void *out, struct tl_error *err) TL_MUST_USE;

/* Appends the encoded message. `msg` is a pointer to any generated struct. Errors: TL_EINVAL (a
 * NULL element or a set oneof message without value), TL_ELIMIT (buffer's ceiling, nesting). */
tl_rc tl_pb_encode(const void *msg, struct tl_buf *out, struct tl_error *err) TL_MUST_USE;
/* The same into the arena; *out is owned by the arena. */
tl_rc tl_pb_encode_arena(const void *msg, struct tl_arena *arena, struct tl_str *out,
                         struct tl_error *err) TL_MUST_USE;
/* Bytes the message would take; SIZE_MAX when it cannot be encoded. */
size_t tl_pb_size(const void *msg);

/* Deep copy into the arena; shares nothing with the source. NULL when the arena is full. */
void *tl_pb_clone(const void *msg, struct tl_arena *arena);

/* --- already encoded bytes -------------------------------------------------------------------- */

/* Makes packing emit bytes verbatim after the known fields. bytes = (tag length value)* of the
 * length-delimited field `number`, as tl_pb_put_field writes them; borrowed until msg is encoded.
 * This is how stored events enter a history without being decoded. Errors: TL_EINVAL, TL_ELIMIT. */
tl_rc tl_pb_raw_field(void *msg, uint32_t number, struct tl_str bytes, struct tl_arena *arena,
                      struct tl_error *err) TL_MUST_USE;
/* Appends one length-delimited field: tag, length, bytes. False at the buffer's ceiling. */
bool tl_pb_put_field(struct tl_buf *buf, uint32_t number, struct tl_str bytes);
/* Appends one field whose value is the encoded message. */
tl_rc tl_pb_put_message(struct tl_buf *buf, uint32_t number, const void *msg,
                        struct tl_error *err) TL_MUST_USE;

/* --- building --------------------------------------------------------------------------------- */

/* A message with default values; NULL when the arena is full. */
void *tl_pb_new(struct tl_arena *arena, const ProtobufCMessageDescriptor *desc);
/* TL_PB_NEW(arena, TpCommon__Payload, tp_common__payload) */
#define TL_PB_NEW(arena, Type, name) ((Type *)tl_pb_new((arena), &name##__descriptor))

/* Copies into the arena. The empty string needs no memory. NULL when the arena is full or when s
 * holds a NUL byte: text from outside is checked where it enters. */
char *tl_pb_cstr(struct tl_arena *arena, struct tl_str s);
/* The same for text that is made sendable, never refused: the message of an error, say. A NUL byte
 * becomes \0, what is no UTF-8 a question mark. NULL when the arena is full. */
char *tl_pb_clean(struct tl_arena *arena, struct tl_str s);
/* Copies into the arena; *ok (may be NULL) turns false when the arena is full. */
ProtobufCBinaryData tl_pb_bytes(struct tl_arena *arena, struct tl_str s, bool *ok);
/* Views: borrowed, nothing is copied. */
static inline ProtobufCBinaryData tl_pb_bytes_view(struct tl_str s)
{
    return (ProtobufCBinaryData){s.n, (uint8_t *)(uintptr_t)s.p};
}
static inline struct tl_str tl_pb_str(ProtobufCBinaryData b)
{
    return (struct tl_str){(const char *)b.data, b.len};
}
/* For a field of a message, whose type is char * though nobody writes there; NULL is "". */
static inline char *tl_pb_text(const char *s)
{
    return (char *)(uintptr_t)(s ? s : "");
}

/* A growing repeated field of messages or strings. Fill, then assign:
 *   struct tl_pb_list l = {0}; tl_pb_push(arena, &l, payload); msg->n_x = l.n; msg->x = l.items; */
struct tl_pb_list {
    void *items; /* array of pointers, in the arena */
    size_t n;
    size_t cap; /* private */
};
/* False when the arena is full. */
bool tl_pb_push(struct tl_arena *arena, struct tl_pb_list *list, const void *item);

/* The last entry with this key of a map with string keys, NULL when absent:
 *   TL_PB_MAP_GET(TpCommon__Payload__MetadataEntry, p->n_metadata, p->metadata, TL_STR_LIT("k")) */
void *tl_pb_map_find(const void *entries, size_t n, struct tl_str key);
#define TL_PB_MAP_GET(EntryType, n, entries, key)                                                  \
    ((EntryType *)tl_pb_map_find((entries), (n), (key)))

/* --- time ------------------------------------------------------------------------------------- */

/* Nanoseconds since the epoch to Timestamp; NULL when the arena is full. */
Google__Protobuf__Timestamp *tl_pb_timestamp(struct tl_arena *arena, int64_t ns);
/* NULL gives 0. Errors: TL_EINVAL for nanos out of range or a time outside 1678..2262. */
tl_rc tl_pb_ns_from_timestamp(const Google__Protobuf__Timestamp *t, int64_t *ns,
                              struct tl_error *err) TL_MUST_USE;
/* The same without errors: `absent` for NULL and for a time that is out of range. */
int64_t tl_pb_timestamp_ns_or(const Google__Protobuf__Timestamp *t, int64_t absent);

/* Milliseconds or nanoseconds to Duration; NULL when the arena is full. */
Google__Protobuf__Duration *tl_pb_duration_ms(struct tl_arena *arena, int64_t ms);
Google__Protobuf__Duration *tl_pb_duration_ns(struct tl_arena *arena, int64_t ns);
/* NULL gives 0. A part of a millisecond counts as a whole one, so that no timeout becomes "none".
 * Errors: TL_EINVAL for a malformed or (ns) unrepresentable duration. */
tl_rc tl_pb_ms_from_duration(const Google__Protobuf__Duration *d, int64_t *ms,
                             struct tl_error *err) TL_MUST_USE;
tl_rc tl_pb_ns_from_duration(const Google__Protobuf__Duration *d, int64_t *ns,
                             struct tl_error *err) TL_MUST_USE;
/* The same without errors: `absent` for NULL; out of range is clamped, malformed is `absent`. */
int64_t tl_pb_duration_ms_or(const Google__Protobuf__Duration *d, int64_t absent);
int64_t tl_pb_duration_ns_or(const Google__Protobuf__Duration *d, int64_t absent);
