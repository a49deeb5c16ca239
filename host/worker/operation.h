/* Nexus operations: what a handler sees of the request it answers, and how it answers.
 *
 * A request either starts an operation (request->start_operation) or asks for the cancellation of one that
 * has started (request->cancel_operation). The server gives each a time; what is answered later is refused
 * there, and the server asks again as long as the operation itself has time.
 *
 * Invariants: a handler ends its request exactly once, by one of the functions below "Ends".
 * Ownership: struct tl_operation and its arena belong to the worker and live until run returns.
 * Thread: run is called on an activity thread. Functions marked (any) may be called from other threads
 * while run has not returned. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"
#include "temporal/api/common/v1/message.pb-c.h"
#include "temporal/api/failure/v1/message.pb-c.h"
#include "temporal/api/nexus/v1/message.pb-c.h"
#include "worker/activity.h"

struct tl_operation {
    const TpNexus__Request *request; /* decoded; names of headers are in lower case */
    struct tl_arena *arena;          /* for results and failures */
    struct tl_str namespace_name, task_queue;
    int64_t deadline_ns; /* wall time at which the server gives the request up; 0: not known */
};

/* --- Context (any) ----------------------------------------------------------------------------- */

/* Texts of the request, whatever it asks for. Borrowed. */
const char *tl_operation_service(const struct tl_operation *o);
const char *tl_operation_name(const struct tl_operation *o);
/* Set of TL_CANCEL_TIMED_OUT (the request's time is over) and TL_CANCEL_WORKER_SHUTDOWN (the grace of a
 * shutdown is); 0: go on. */
unsigned tl_operation_cancel_reasons(const struct tl_operation *o);
/* Waits until there is a reason to stop or until the deadline (CLOCK_MONOTONIC ns); returns the reasons.
 * In a stepped worker it returns at once. */
unsigned tl_operation_wait_cancelled(struct tl_operation *o, int64_t deadline_mono_ns);
/* Waits until the worker's shutdown begins or until the deadline; returns whether it has begun. */
bool tl_operation_wait_shutdown(struct tl_operation *o, int64_t deadline_mono_ns);
/* The worker's client, as tl_activity_client. */
const struct tl_client *tl_operation_client(const struct tl_operation *o);

/* --- Ends -------------------------------------------------------------------------------------- */

/* A link that goes with the answer to a start: to what the handler made. The texts are copied. Errors:
 * TL_ELIMIT. */
tl_rc tl_operation_add_link(struct tl_operation *o, struct tl_str url, struct tl_str type,
                            struct tl_error *err) TL_MUST_USE;
/* A start: the operation is over, with this result (NULL: none). */
void tl_operation_complete(struct tl_operation *o, const TpCommon__Payload *result);
/* A start: the operation goes on under this token, a text in the arena. Its end is told to the callback. */
void tl_operation_started(struct tl_operation *o, const char *token);
/* A start: the operation has failed (an application failure) or is cancelled (a canceled one). */
void tl_operation_fail(struct tl_operation *o, const TpFailure__Failure *failure);
/* A cancellation: it was asked for. That the operation has ended is told to the callback. */
void tl_operation_cancel_taken(struct tl_operation *o);
/* The request itself failed: a failure of kind NexusHandlerFailureInfo, which tells whether it is made
 * again. */
void tl_operation_refuse(struct tl_operation *o, const TpFailure__Failure *failure);
/* No answer: the server has given the request up already. */
void tl_operation_drop(struct tl_operation *o);
/* True once one of them was called. */
bool tl_operation_ended(const struct tl_operation *o);

/* --- Registry ---------------------------------------------------------------------------------- */

struct tl_operation_impl {
    /* Answers one request. thread_state: as for activities. */
    void (*run)(void *thread_state, void *ud, struct tl_operation *o);
    void *ud;
};

/* Adds an operation of a service to the registry. Only before a worker uses it. Errors: TL_EEXISTS. */
tl_rc tl_registry_add_operation(struct tl_registry *r, struct tl_str service,
                                struct tl_str operation, const struct tl_operation_impl *impl,
                                struct tl_error *err) TL_MUST_USE;
/* NULL when there is none. */
const struct tl_operation_impl *tl_registry_find_operation(const struct tl_registry *r,
                                                           struct tl_str service,
                                                           struct tl_str operation);
size_t tl_registry_operation_count(const struct tl_registry *r);
/* In order of registration; index < count. Borrowed. */
void tl_registry_operation_at(const struct tl_registry *r, size_t index, struct tl_str *service,
                              struct tl_str *operation);
