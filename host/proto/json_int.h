/* Shared by the files of the JSON mapping. Private to host/proto. Thread: one at a time per
 * object. */
#pragma once

#include "proto/json.h"
#include "proto/pb_int.h"

/* Nesting of JSON text: every message level may cost an object and an array. */
#define TL_JSON_DEPTH_MAX 256

/* Types whose JSON is not an object of their fields. */
enum tl_json_special {
    TL_JSON_PLAIN,
    TL_JSON_TIMESTAMP,
    TL_JSON_DURATION,
    TL_JSON_FIELD_MASK,
    TL_JSON_ANY,
    TL_JSON_STRUCT,
    TL_JSON_VALUE,
    TL_JSON_LIST,
    TL_JSON_WRAPPER,
    TL_JSON_PAYLOAD,  /* plain unless the shorthand is on */
    TL_JSON_PAYLOADS, /* plain unless the shorthand is on */
};
enum tl_json_special tl_json_special_of(const ProtobufCMessageDescriptor *desc, bool shorthand);
/* The field with this lowerCamel or original name. */
const ProtobufCFieldDescriptor *tl_json_find_field(const ProtobufCMessageDescriptor *desc,
                                                   struct tl_str name);

/* Text of times. Errors: TL_EINVAL. out has room for 64 bytes and is NUL-terminated. */
tl_rc tl_json_timestamp_text(int64_t seconds, int32_t nanos, char *out, struct tl_error *err);
tl_rc tl_json_duration_text(int64_t seconds, int32_t nanos, char *out, struct tl_error *err);
bool tl_json_timestamp_value(struct tl_str text, int64_t *seconds, int32_t *nanos);
bool tl_json_duration_value(struct tl_str text, int64_t *seconds, int32_t *nanos);

/* --- writing --- */

struct tl_json_out {
    struct tl_jw *w;
    const struct tl_json_write_options *options;
    struct tl_error *err;
};
/* Any message as a value, special or not. */
tl_rc tl_json_put_message(struct tl_json_out *o, const void *msg);
/* Only the members of a plain message, inside an object that is open. */
tl_rc tl_json_put_fields(struct tl_json_out *o, const void *msg);
/* One value of the field's type that stands at p. */
tl_rc tl_json_put_value(struct tl_json_out *o, const ProtobufCFieldDescriptor *f, const void *p);
/* A map as an object; of entries with the same key only the last is written. */
tl_rc tl_json_put_map(struct tl_json_out *o, const void *msg, const ProtobufCFieldDescriptor *f);
tl_rc tl_json_put_special(struct tl_json_out *o, enum tl_json_special special, const void *msg);
tl_rc tl_json_put_payload(struct tl_json_out *o, const void *msg);
tl_rc tl_json_put_payloads(struct tl_json_out *o, const void *msg);

/* --- reading --- */

struct tl_json_in {
    struct tl_jreader r;
    const struct tl_json_read_options *options;
    struct tl_arena *arena;
    struct tl_error *err;
};
/* "JSON, line L, column C: what", at the token. */
tl_rc tl_json_fail(struct tl_json_in *in, const struct tl_jtok *t, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
tl_rc tl_json_full(struct tl_json_in *in);
/* A message from the value that begins with token t. */
tl_rc tl_json_get_message(struct tl_json_in *in, const ProtobufCMessageDescriptor *desc,
                          const struct tl_jtok *t, void **out);
/* The members of an object that is open, into a plain message; reads the closing brace. skip (may
 * be NULL) is a member name that is passed over. */
tl_rc tl_json_get_fields(struct tl_json_in *in, ProtobufCMessage *msg, const char *skip);
/* A scalar, string, bytes or enum value. *skipped: an unknown enum name that may be ignored. */
tl_rc tl_json_get_scalar(struct tl_json_in *in, const ProtobufCFieldDescriptor *f,
                         const struct tl_jtok *t, void *p, bool *skipped);
tl_rc tl_json_get_special(struct tl_json_in *in, enum tl_json_special special,
                          const ProtobufCMessageDescriptor *desc, const struct tl_jtok *t,
                          void **out);
tl_rc tl_json_get_payload(struct tl_json_in *in, const struct tl_jtok *t, void **out);
tl_rc tl_json_get_payloads(struct tl_json_in *in, const struct tl_jtok *t, void **out);
