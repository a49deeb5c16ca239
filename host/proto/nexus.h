/* Nexus on the wire: links as URLs, and the failures of handlers in their two forms: Temporal's own
 * Failure, which workers send when the server says that it understands them, and the Failure of the
 * Nexus protocol, which older workers send.
 * Built messages live in the arena and may borrow from what they were built of. Thread: any. */
#pragma once

#include <temporal/api/common/v1/message.pb-c.h>
#include <temporal/api/failure/v1/message.pb-c.h>
#include <temporal/api/nexus/v1/message.pb-c.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"

/* Where completions go that the server carries out itself. */
#define TL_NEXUS_SYSTEM_CALLBACK "temporal://system"
/* Header of a callback that tells whose completion it is. */
#define TL_NEXUS_CALLBACK_TOKEN "temporal-callback-token"
/* Header of a callback with the token of the operation, in case that it ends before its start is answered. */
#define TL_NEXUS_OPERATION_TOKEN "nexus-operation-token"

/* "temporal:///namespaces/<ns>/workflows/<id>/<run>/history?..." with its type. Links to operations
 * without a workflow are ".../nexus-operations/<id>/<run>/details", to activities ".../activities/<id>/<run>/details".
 * Only these have such a form; NULL for others, and when the arena is full. */
TpNexus__Link *tl_nexus_link_of(struct tl_arena *arena, const TpCommon__Link *link);
/* NULL when the link is none of these, malformed, or the arena is full. */
TpCommon__Link *tl_nexus_link_read(struct tl_arena *arena, struct tl_str url, struct tl_str type);
/* A link to one event of a run. NULL when the arena is full. */
TpCommon__Link *tl_nexus_event_link(struct tl_arena *arena, struct tl_str namespace_,
                                    struct tl_str workflow_id, struct tl_str run_id,
                                    int64_t event_id, int event_type);

/* A link to a Nexus operation without a workflow. NULL when the arena is full. */
TpCommon__Link *tl_nexus_operation_link(struct tl_arena *arena, struct tl_str namespace_,
                                        struct tl_str operation_id, struct tl_str run_id);
/* A link to an activity without a workflow. NULL when the arena is full. */
TpCommon__Link *tl_nexus_activity_link(struct tl_arena *arena, struct tl_str namespace_,
                                       struct tl_str activity_id, struct tl_str run_id);

/* Whether a handler that failed in this way is asked again. `type` is like "NOT_FOUND"; what nobody knows
 * is. */
bool tl_nexus_handler_retryable(const char *type, int retry_behavior);
/* A failure of kind NexusHandlerFailureInfo. cause may be NULL. NULL when the arena is full. */
TpFailure__Failure *tl_nexus_handler_failure(struct tl_arena *arena, struct tl_str type,
                                             struct tl_str message, int retry_behavior,
                                             TpFailure__Failure *cause);
/* The protocol's failure as Temporal's. Errors: TL_EDECODE, TL_ELIMIT. */
tl_rc tl_nexus_failure_read(const TpNexus__Failure *in, struct tl_arena *arena,
                            TpFailure__Failure **out, struct tl_error *err) TL_MUST_USE;
/* A handler error of older workers as a failure. Errors: as above. */
tl_rc tl_nexus_handler_error_read(const TpNexus__HandlerError *in, struct tl_arena *arena,
                                  TpFailure__Failure **out, struct tl_error *err) TL_MUST_USE;
/* The way back, for servers that know no other form: Temporal's failure as the protocol's, with the text,
 * the stack trace and the kinds of the whole chain of causes, without payloads: no codec would find them
 * there. NULL when the arena is full. */
TpNexus__Failure *tl_nexus_failure_write(struct tl_arena *arena, const TpFailure__Failure *failure);
/* Milliseconds of a header "9.5s", "250ms", "2m"; false when it is none. */
bool tl_nexus_timeout_read(struct tl_str text, int64_t *ms);
