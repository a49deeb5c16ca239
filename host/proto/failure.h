/* Failures: the chain of causes that crosses process borders.
 * Builders copy strings into the arena, borrow sub-messages (details, cause), and return NULL when
 * the arena is full. Texts are cleaned (`tl_pb_clean`), so that any text
 * a script raises can be sent. Thread: any. */
#pragma once

#include <temporal/api/failure/v1/message.pb-c.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

/* The `source` of failures made here. */
#define TL_FAILURE_SOURCE "TemporalLua"
/* The type of a failure for payloads that the codecs could not code. */
#define TL_FAILURE_CODEC "PayloadCodecError"

struct tl_failure_application {
    struct tl_str message;
    struct tl_str type;
    struct tl_str stack_trace;
    bool non_retryable;
    int64_t next_retry_delay_ms; /* 0: none */
    int category;                /* APPLICATION_ERROR_CATEGORY_* */
    TpCommon__Payloads *details; /* borrowed, may be NULL */
    TpFailure__Failure *cause;   /* borrowed, may be NULL */
};
TpFailure__Failure *tl_failure_application(struct tl_arena *arena,
                                           const struct tl_failure_application *options);
/* timeout_type: TIMEOUT_TYPE_*. */
TpFailure__Failure *tl_failure_timeout(struct tl_arena *arena, struct tl_str message,
                                       int timeout_type, TpCommon__Payloads *heartbeat_details);
TpFailure__Failure *tl_failure_canceled(struct tl_arena *arena, struct tl_str message,
                                        TpCommon__Payloads *details);
TpFailure__Failure *tl_failure_terminated(struct tl_arena *arena, struct tl_str message,
                                          struct tl_str identity);
TpFailure__Failure *tl_failure_server(struct tl_arena *arena, struct tl_str message,
                                      bool non_retryable);
/* Whether it says of itself that it is nothing to worry about; NULL does not. */
bool tl_failure_is_benign(const TpFailure__Failure *f);
