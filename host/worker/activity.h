/* Activities: the registry of implementations, and what an implementation sees of the task it runs.
 *
 * Invariants: an implementation ends a task exactly once: complete, fail, cancel or async; heartbeats
 * are throttled by the worker, the last details are never lost while the activity lives.
 * Ownership: struct tl_activity and its arena belong to the worker and live until run returns (async
 * activities too: only their token lives on), or, of a detached one, until tl_activity_finish.
 * Thread: run is called on an activity thread. Functions marked (any) may be called from other
 * threads while run has not returned. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"
#include "temporal/api/common/v1/message.pb-c.h"
#include "temporal/api/failure/v1/message.pb-c.h"
#include "temporal/api/workflowservice/v1/request_response.pb-c.h"

/* Why an activity should stop; several may be set. */
enum tl_cancel_reason {
    TL_CANCEL_REQUESTED = 1, /* by the workflow */
    TL_CANCEL_NOT_FOUND = 2, /* the server does not know the task any more */
    TL_CANCEL_PAUSED = 4,
    TL_CANCEL_RESET = 8,
    TL_CANCEL_TIMED_OUT = 16,
    TL_CANCEL_WORKER_SHUTDOWN = 32,
};

/* How a task has ended. */
enum tl_act_end { TL_ACT_OPEN, TL_ACT_COMPLETED, TL_ACT_FAILED, TL_ACT_CANCELED, TL_ACT_ASYNC };

struct tl_activity;

/* What the functions below do for a task that is not in work in its worker's process. */
struct tl_client;
struct tl_activity_ops {
    tl_rc (*heartbeat)(struct tl_activity *a, const TpCommon__Payloads *details,
                       struct tl_error *err);
    unsigned (*cancel_reasons)(const struct tl_activity *a);
    bool (*shutting_down)(const struct tl_activity *a);
    /* Until cancelled, or until the worker's shutdown. */
    void (*wait)(struct tl_activity *a, bool shutdown, int64_t deadline_mono_ns);
    void (*end)(struct tl_activity *a, enum tl_act_end how, const void *body);
    bool (*ended)(const struct tl_activity *a);
    const struct tl_client *(*client)(const struct tl_activity *a);
};

struct tl_activity {
    const struct tl_activity_ops *ops;               /* NULL: a task of a worker here */
    const TpWs__PollActivityTaskQueueResponse *task; /* decoded: type, ids, input, timeouts ... */
    struct tl_arena *arena;                          /* for results and failures */
    struct tl_str namespace_name, task_queue;        /* where the task was polled */
    bool is_local; /* heartbeats do nothing, and it cannot be ended later */
};

/* --- Context (any) ----------------------------------------------------------------------------- */

/* Records progress; sent at once or when the throttle allows. details (may be NULL) are encoded
 * before return. Errors: TL_ELIMIT (details too large), TL_ECANCELLED (the activity should stop). */
tl_rc tl_activity_heartbeat(struct tl_activity *a, const TpCommon__Payloads *details,
                            struct tl_error *err);
/* Set of tl_cancel_reason, 0 while not cancelled. */
unsigned tl_activity_cancel_reasons(const struct tl_activity *a);
/* Waits until cancelled or until the deadline (CLOCK_MONOTONIC ns); returns the reasons. A stepped
 * worker cannot learn of a cancellation while the activity runs and returns at once. */
unsigned tl_activity_wait_cancelled(struct tl_activity *a, int64_t deadline_mono_ns);
/* True from the begin of the worker's shutdown, before the grace is over. */
bool tl_activity_worker_shutting_down(const struct tl_activity *a);
/* Waits until the worker's shutdown begins or until the deadline (CLOCK_MONOTONIC ns); returns whether
 * it has begun. A stepped worker returns at once. */
bool tl_activity_wait_shutdown(struct tl_activity *a, int64_t deadline_mono_ns);
/* The worker's client, for calls that the activity makes itself: its channel, namespace and identity.
 * Borrowed; lives as long as the worker, or as the activity where the worker is another process. */
const struct tl_client *tl_activity_client(const struct tl_activity *a);
/* fn(ud) is called once when the activity is cancelled, at once if it is already; on the control
 * actor's thread, must only post. NULL removes it (and waits for a call under way). */
void tl_activity_on_cancel(struct tl_activity *a, void (*fn)(void *ud), void *ud);

/* fn(ud) is called, on whatever thread, when something has changed that an implementation may wait for: the
 * activity was cancelled, or the worker's shutdown began; at once if either has. It must only post. NULL
 * removes it (and waits for a call under way). */
void tl_activity_on_change(struct tl_activity *a, void (*fn)(void *ud), void *ud);

/* --- Ends -------------------------------------------------------------------------------------- */

/* result may be NULL. A result that is too large becomes a failure. */
void tl_activity_complete(struct tl_activity *a, const TpCommon__Payloads *result);
void tl_activity_fail(struct tl_activity *a, const TpFailure__Failure *failure);
/* Reports Canceled; where the server did not ask for it, a failure of that kind. details may be
 * NULL. */
void tl_activity_end_canceled(struct tl_activity *a, const TpCommon__Payloads *details);
/* The task stays open at the server and is ended later by its token. */
void tl_activity_complete_async(struct tl_activity *a);
/* True once one of the four was called. */
bool tl_activity_ended(const struct tl_activity *a);
/* A failure in the arena: message, type; NULL when the arena is full. */
TpFailure__Failure *tl_activity_failure(struct tl_arena *arena, struct tl_str type,
                                        struct tl_str message, bool non_retryable);

/* --- Tasks that outlive run --------------------------------------------------------------------- */

/* In run: the task goes on after run has returned. Somebody ends it (with one of the four) and then calls
 * tl_activity_finish. Until then the activity's memory and the registry that runs it stay. */
void tl_activity_detach(struct tl_activity *a);
/* The end of a detached task, which has been ended: it is reported, its slot given back, `a` is gone. Once;
 * also before run has returned. Thread: any, one that ends only after the worker's threads have. */
void tl_activity_finish(struct tl_activity *a);

/* --- Registry ---------------------------------------------------------------------------------- */

struct tl_activity_impl {
    /* Runs one task and ends it. thread_state: what thread_open made for this thread (or NULL). */
    void (*run)(void *thread_state, void *ud, struct tl_activity *a);
    void *ud;
};

/* Per activity thread; open failing fails the task retryably and is tried again with the next. */
struct tl_thread_hooks {
    tl_rc (*thread_open)(void *ud, void **state, struct tl_error *err);
    void (*thread_close)(void *ud, void *state);
    void *ud;
};

struct tl_registry;
struct tl_registry *tl_registry_new(void);
void tl_registry_free(struct tl_registry *r);
/* The empty name takes every type that no other takes (a dynamic activity). Only before a worker
 * uses it. Errors: TL_EEXISTS. */
tl_rc tl_registry_add(struct tl_registry *r, struct tl_str name,
                      const struct tl_activity_impl *impl, struct tl_error *err) TL_MUST_USE;
void tl_registry_thread_hooks(struct tl_registry *r, const struct tl_thread_hooks *hooks);
/* NULL when nothing takes the type. */
const struct tl_activity_impl *tl_registry_find(const struct tl_registry *r, struct tl_str name);
size_t tl_registry_count(const struct tl_registry *r);
/* All names, sorted, for messages. Owns: the list is the arena's, the names are the registry's. NULL: no memory. */
const struct tl_str *tl_registry_names(const struct tl_registry *r, struct tl_arena *arena);

/* --- Native activities ------------------------------------------------------------------------- */

/* Loads a shared object that exports tlua_module_v1 (temporal_lua.h) and adds its activities. `path`
 * is a path, or a bare name looked up by the dynamic loader. The object stays loaded until the
 * registry is freed. Errors: TL_ENOTFOUND (no such file), TL_EINVAL (not loadable, no entry point,
 * other ABI, the module refused), TL_EEXISTS (a name is taken). */
tl_rc tl_native_load(struct tl_registry *r, struct tl_str path, struct tl_error *err) TL_MUST_USE;
/* The table handed to modules; also what embedders use. */
struct tlua_host_api;
const struct tlua_host_api *tl_native_host_api(void);
