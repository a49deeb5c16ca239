/* Failures: the chain of causes that crosses process borders.
 * Builders copy strings into the arena, borrow sub-messages (details, cause), and return NULL when
 * the arena is full. Invalid UTF-8 in a text is replaced by '?', NUL bytes end it, so that any text
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
TpFailure__Failure *tl_failure_reset(struct tl_arena *arena, struct tl_str message,
                                     TpCommon__Payloads *heartbeat_details);

struct tl_failure_activity {
    int64_t scheduled_event_id;
    int64_t started_event_id;
    struct tl_str activity_id;
    struct tl_str activity_type;
    struct tl_str identity;
    int retry_state; /* RETRY_STATE_* */
    TpFailure__Failure *cause;
};
/* Its message is "activity error". */
TpFailure__Failure *tl_failure_activity(struct tl_arena *arena,
                                        const struct tl_failure_activity *options);

struct tl_failure_child {
    struct tl_str namespace_name;
    struct tl_str workflow_id;
    struct tl_str run_id;
    struct tl_str workflow_type;
    int64_t initiated_event_id;
    int64_t started_event_id;
    int retry_state;
    TpFailure__Failure *cause;
};
/* Its message is "Child Workflow execution failed". */
TpFailure__Failure *tl_failure_child(struct tl_arena *arena,
                                     const struct tl_failure_child *options);

/* The chain as text, one line per failure ("Type: message" and what the kind adds), causes below
 * each other, stack traces indented when asked for. */
void tl_failure_text(const TpFailure__Failure *failure, bool stack_traces, struct tl_buf *out);
/* Short name of the kind: "application", "timeout", ..., "failure" when none is set. */
const char *tl_failure_kind(const TpFailure__Failure *failure);
/* The end of the chain of causes; NULL for NULL. */
const TpFailure__Failure *tl_failure_root(const TpFailure__Failure *failure);
