/* Visits the payloads of any message by its descriptor: what codecs of payloads are applied to.
 * Left alone are search attributes (the server reads them), what the core writes into its own
 * markers, and, unless asked for, headers. Messages inside a google.protobuf.Any whose type is known
 * are opened and closed again. Thread: any. */
#pragma once

#include <temporal/api/common/v1/message.pb-c.h>
#include <temporal/api/failure/v1/message.pb-c.h>

#include "base/arena.h"
#include "base/error.h"

/* Metadata of a payload that is a request to the service itself (a Nexus operation of its system endpoint):
 * the payloads in it are visited, the service reads the rest. */
#define TL_PAYLOAD_SYSTEM_KEY "__temporal_system_payload"
#define TL_PAYLOAD_SYSTEM_VALUE "true"

struct tl_payload_context;

/* The payloads of one place. `items` may be replaced; the array is the arena's. */
struct tl_payload_span {
    TpCommon__Payload **items;
    size_t n;
    bool one; /* the place holds exactly one */
    /* Whose they are (payload_context.h); NULL: nobody asked, or nothing tells. The walk leaves it NULL. */
    const struct tl_payload_context *context;
};

struct tl_payload_visitor {
    void *ud;
    bool headers; /* visit headers too */
    /* Never called with n == 0. An error ends the walk. */
    tl_rc (*payloads)(void *ud, struct tl_payload_span *span, struct tl_arena *arena,
                      struct tl_error *err);
    /* Before and after the fields of each message that can hold payloads; NULL: not wanted. */
    tl_rc (*enter)(void *ud, const void *msg, struct tl_arena *arena, struct tl_error *err);
    void (*leave)(void *ud);
    /* A failure, before its payloads; NULL: not wanted. */
    tl_rc (*failure)(void *ud, TpFailure__Failure *failure, struct tl_arena *arena,
                     struct tl_error *err);
};

/* Whether messages of this type can hold payloads or failures at all. */
bool tl_payload_walk_concerns(const ProtobufCMessageDescriptor *desc);
/* Visits all payloads of msg (a pointer to any generated struct), which is changed in place; new
 * parts come from the arena. Errors: the visitor's, TL_ELIMIT (nesting, arena is full), TL_EINVAL
 * (the visitor gave another number than one for a place that holds one). */
tl_rc tl_payload_walk(void *msg, const struct tl_payload_visitor *v, struct tl_arena *arena,
                      struct tl_error *err) TL_MUST_USE;
