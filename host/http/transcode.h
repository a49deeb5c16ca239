/* JSON in, messages out, and back: google.api.http's rules. Private to this folder. Thread: any; one
 * per arena. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "http/http.h"
#include "http/routes.h"

/* How JSON is read and written; from the media types "application/json", "+pretty" and
 * "+no-payload-shorthand". */
struct tl_http_json {
    bool pretty;
    bool long_payloads;
};
/* The form that a media type names; unknown types are plain JSON. */
struct tl_http_json tl_http_json_of(struct tl_str media_type);
const char *tl_http_json_type(struct tl_http_json form);

/* The request message as bytes, in the request's arena: the body where the route has one, then query
 * parameters (dotted names of fields in either spelling; unknown ones are skipped), then what stands in
 * the path. Errors: TL_EINVAL, TL_EDECODE naming the field or the place in the body, TL_ELIMIT. */
tl_rc tl_http_read_request(struct tl_http_request *r, const struct tl_http_match *match,
                           struct tl_http_json form, struct tl_str *out,
                           struct tl_error *err) TL_MUST_USE;
/* Appends encoded bytes of a message as JSON. Errors: TL_EDECODE, TL_EINVAL, TL_ELIMIT. */
tl_rc tl_http_write_message(const ProtobufCMessageDescriptor *desc, struct tl_str bytes,
                            struct tl_http_json form, struct tl_arena *arena, struct tl_buf *out,
                            struct tl_error *err) TL_MUST_USE;
/* Appends a gRPC status as JSON: code, message, details (google.rpc.Status bytes, may be empty). */
void tl_http_write_status(int status, struct tl_str message, struct tl_str details,
                          struct tl_http_json form, struct tl_arena *arena, struct tl_buf *out);
/* HTTP status of a gRPC status. */
int tl_http_status_of(int grpc_status);

/* Sets the field that a dotted path names, from text; repeated fields are appended to. *known (may be
 * NULL) tells whether there is such a field. Errors: TL_EINVAL, TL_EDECODE, TL_ELIMIT. */
tl_rc tl_http_set_field(ProtobufCMessage *msg, struct tl_str path, struct tl_str text,
                        struct tl_arena *arena, bool *known, struct tl_error *err) TL_MUST_USE;
