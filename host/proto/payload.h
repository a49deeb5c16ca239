/* Payloads: one value of user data with its encoding in the metadata.
 * Builders copy what they are given into the arena and return NULL when it is full; accessors
 * return views into the message. Thread: any. */
#pragma once

#include <temporal/api/common/v1/message.pb-c.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"

#define TL_ENCODING_NULL "binary/null"
#define TL_ENCODING_BYTES "binary/plain"
#define TL_ENCODING_JSON "json/plain"
#define TL_ENCODING_JSON_PROTOBUF "json/protobuf"
#define TL_ENCODING_PROTOBUF "binary/protobuf"

enum tl_payload_kind {
    TL_PAYLOAD_OTHER, /* no encoding, or one that is not listed here */
    TL_PAYLOAD_NULL,
    TL_PAYLOAD_BYTES,
    TL_PAYLOAD_JSON,
    TL_PAYLOAD_JSON_PROTOBUF,
    TL_PAYLOAD_PROTOBUF,
};

TpCommon__Payload *tl_payload_new(struct tl_arena *arena, const char *encoding, struct tl_str data);
TpCommon__Payload *tl_payload_null(struct tl_arena *arena);
/* json must be one JSON value; it is stored as it stands. */
TpCommon__Payload *tl_payload_json(struct tl_arena *arena, struct tl_str json);
/* json/plain payload holding the text as a JSON string. NULL also when text is not UTF-8. */
TpCommon__Payload *tl_payload_json_text(struct tl_arena *arena, struct tl_str text);
/* Replaces the key or adds it. False when the arena is full. */
bool tl_payload_set_metadata(struct tl_arena *arena, TpCommon__Payload *p, struct tl_str key,
                             struct tl_str value);

/* Value of a metadata key (the last one wins), length 0 and p == NULL when absent. p may be
 * NULL. */
struct tl_str tl_payload_metadata(const TpCommon__Payload *p, struct tl_str key);
struct tl_str tl_payload_encoding(const TpCommon__Payload *p);
enum tl_payload_kind tl_payload_kind(const TpCommon__Payload *p);
struct tl_str tl_payload_data(const TpCommon__Payload *p);
/* The text of a json/plain payload that holds a JSON string. Errors: TL_EINVAL (other encoding or
 * another JSON type), TL_EDECODE (not JSON), TL_ELIMIT. *out is in the arena. */
tl_rc tl_payload_text(const TpCommon__Payload *p, struct tl_arena *arena, struct tl_str *out,
                      struct tl_error *err) TL_MUST_USE;

/* A list of one (p == NULL: of none). Borrows p. */
TpCommon__Payloads *tl_payloads_of(struct tl_arena *arena, TpCommon__Payload *p);
/* A list over the first n items. Copies the array, borrows the payloads. */
TpCommon__Payloads *tl_payloads_new(struct tl_arena *arena, TpCommon__Payload *const *items,
                                    size_t n);
/* Item i, NULL when there are fewer or ps is NULL. */
TpCommon__Payload *tl_payloads_at(const TpCommon__Payloads *ps, size_t i);
