/* Client: calls to a Temporal service through any transport, with Temporal's rules for retries and
 * its typed errors. Encoding, filling of namespace, identity and request id, retry and error mapping
 * happen here once, for scripts, command line, worker and embedders.
 *
 * Invariants: a request id is made once per logical call, so that a retried start or signal takes
 * effect once; only errors that Temporal calls transient are retried, and never past the deadline.
 * Ownership: requests are the caller's; responses live in the arena the caller names.
 * Thread: a client may be used from any number of threads at once; each call uses its own arena. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/metrics.h"
#include "base/str.h"
#include "base/world.h"
#include "client/eager.h"
#include "rpc/rpc.h"
#include "temporal/api/enums/v1/workflow.pb-c.h"
#include "temporal/api/failure/v1/message.pb-c.h"
#include "temporal/api/history/v1/message.pb-c.h"
#include "temporal/api/workflowservice/v1/request_response.pb-c.h"

/* --- Errors ------------------------------------------------------------------------------------ */

/* What the server said beyond the status: from the details of the reply. */
enum tl_client_error_kind {
    TL_CE_OTHER,           /* see error.code */
    TL_CE_ALREADY_STARTED, /* run_id: the run that holds the workflow id */
    TL_CE_NOT_FOUND,       /* workflow, run, schedule ... */
    TL_CE_NAMESPACE_NOT_FOUND,
    TL_CE_QUERY_FAILED,   /* failure: what the query handler raised */
    TL_CE_QUERY_REJECTED, /* by the reject condition; `status` tells the state of the run */
    TL_CE_NOT_READY,      /* the workflow has not completed its first task */
    TL_CE_MULTI_OPERATION,
};

struct tl_client_error {
    struct tl_error error; /* code and message, always filled on failure */
    enum tl_client_error_kind kind;
    int grpc_status;
    const char *run_id;                /* arena; "" when not told */
    const TpFailure__Failure *failure; /* arena; NULL when not told */
    TpEnums__WorkflowExecutionStatus status;
    struct tl_str details; /* the reply's google.rpc.Status bytes; arena; may be empty */
};

/* --- Life cycle -------------------------------------------------------------------------------- */

/* How a blocking call waits where the thread has other work to do: in a stepped environment the pump
 * runs server and worker; in a Lua host it runs activities given as closures.
 *   pump: do some work or sleep until woken or until the deadline; false gives the call up
 *         (TL_ECANCELLED). Thread: the caller's.
 *   wake: make pump return. Thread: any. */
struct tl_client_pump {
    void *ud;
    bool (*pump)(void *ud, int64_t deadline_mono_ns);
    void (*wake)(void *ud);
};

/* The pause before the next attempt; pure, for owners that keep their own timers. */
struct tl_retry {
    int64_t initial_ns, max_ns; /* 0 = 100 ms, 5 s */
    double factor;              /* of a pause over the one before; 0 = 1.7 */
    double jitter;              /* share of a pause that is random; 0 = 0.2, negative: none */
    uint32_t attempt;           /* failures so far */
};

/* How calls of a client are tried again; all zero: with the defaults. */
struct tl_client_retry {
    struct tl_retry pauses;
    int64_t total_ns;     /* of a call with all its attempts, unless its caller says; 0 = 30 s */
    bool limited;         /* whether retries_max counts */
    uint32_t retries_max; /* attempts after the first */
};

struct tl_client_config {
    struct tl_channel *channel;   /* borrowed; must outlive the client */
    struct tl_str namespace_name; /* "" = "default" */
    struct tl_str identity;       /* "" = "pid@host" */
    const struct tl_world *world; /* NULL = the real one */
    struct tl_client_pump pump;   /* all NULL: block the thread */
    int64_t rpc_timeout_ns;       /* of one attempt of a unary call; 0 = 10 s */
    struct tl_client_retry retry;
    struct tl_metrics *metrics; /* of its calls and its workers; borrowed; NULL: none */
    struct tl_eager_set *eager; /* of the connection, retained; NULL: one of its own */
};

struct tl_client;

/* Owns: nothing but copies of the texts. */
struct tl_client *tl_client_new(const struct tl_client_config *config);
void tl_client_free(struct tl_client *c); /* no call may be under way; NULL is fine */

/* Borrowed from the client. */
struct tl_str tl_client_namespace(const struct tl_client *c);
struct tl_str tl_client_identity(const struct tl_client *c);
struct tl_channel *tl_client_channel(const struct tl_client *c);
const struct tl_world *tl_client_world(const struct tl_client *c);
struct tl_metrics *tl_client_metrics(const struct tl_client *c); /* NULL: none */
/* Its calls, and workers made of it from now on, are measured by this registry, which is borrowed. Once, and
 * while no call is under way. */
void tl_client_measure(struct tl_client *c, struct tl_metrics *metrics);
struct tl_eager_set *tl_client_eager(const struct tl_client *c);
/* "pid@host" of this process, at most cap - 1 bytes. */
void tl_client_default_identity(char *out, size_t cap);

/* --- Calls ------------------------------------------------------------------------------------- */

/* Blocking call of any method. Empty fields `namespace`, `identity` and `request_id` of the request
 * are filled for the duration of the call. A start that asks for eager execution gets it when a worker of
 * the client's connection has a slot. timeout_ns bounds the call with all its retries: 0 = the
 * default of the method, negative = none.
 * Owns: *resp (may be NULL) is decoded into the arena. Errors: every gRPC status, mapped. */
tl_rc tl_client_call(struct tl_client *c, enum tl_method method, void *request,
                     struct tl_arena *arena, void *resp, int64_t timeout_ns,
                     struct tl_client_error *err) TL_MUST_USE;
/* The same with an encoded request, sent as it is; *body is in the arena. For raw access. */
tl_rc tl_client_call_bytes(struct tl_client *c, enum tl_method method, struct tl_str request,
                           struct tl_arena *arena, struct tl_str *body, int64_t timeout_ns,
                           struct tl_client_error *err) TL_MUST_USE;
/* One attempt without retry; done gets the result (rpc.h: any thread, must only post). Fills the
 * request's empty fields like tl_client_call. The call handle must be released by the caller.
 * Errors: only encoding; then done does not fire and *call is NULL. */
tl_rc tl_client_submit(struct tl_client *c, enum tl_method method, void *request,
                       int64_t timeout_ns, tl_rpc_done_fn done, void *ud, struct tl_rpc_call **call,
                       struct tl_error *err) TL_MUST_USE;
/* Turns a result that is not OK into an error; decoded details go to the arena. Returns the code. */
tl_rc tl_client_error_from_result(const struct tl_rpc_result *res, struct tl_arena *arena,
                                  struct tl_client_error *err);

/* --- Retry ------------------------------------------------------------------------------------- */

/* Whether the call that ended so may be made again: its status is one that passes, by its method. */
bool tl_retry_allowed(const struct tl_rpc_result *res);
/* Counts a failure and returns the pause: exponential (factor 1.7), +-20 % of jitter from the world;
 * RESOURCE_EXHAUSTED starts at one second. */
int64_t tl_retry_next_ns(struct tl_retry *r, int grpc_status, const struct tl_world *world);

/* --- Results of workflows ---------------------------------------------------------------------- */

struct tl_client_result_query {
    struct tl_str workflow_id;
    struct tl_str run_id; /* "" = the current run */
    bool follow_runs;     /* through continue-as-new, retry and cron */
    int64_t timeout_ns;   /* 0 or less: wait for ever; else TL_EDEADLINE */
};

struct tl_client_result {
    TpEnums__WorkflowExecutionStatus status; /* of the last run looked at; never RUNNING */
    const char *run_id;                      /* that run; "" when the query named none; arena */
    const char *new_run_id;                  /* set when not followed; "" otherwise; arena */
    const TpCommon__Payloads *result;        /* COMPLETED; may be NULL; arena */
    const TpFailure__Failure *failure;       /* FAILED; a made one for CANCELED, TERMINATED,
                                                     TIMED_OUT as other SDKs show it; arena */
    const TpHistory__HistoryEvent *event;    /* the close event; arena */
};

/* Waits for the end of a workflow. A workflow that failed is TL_OK with its status. */
tl_rc tl_client_result(struct tl_client *c, const struct tl_client_result_query *query,
                       struct tl_arena *arena, struct tl_client_result *out,
                       struct tl_client_error *err) TL_MUST_USE;
/* Reads a close event; false when the event does not close a run. */
bool tl_client_result_from_event(const TpHistory__HistoryEvent *event, struct tl_arena *arena,
                                 struct tl_client_result *out);

/* --- History ----------------------------------------------------------------------------------- */

/* Pages of a history. Fill the public part, then next until it returns NULL with TL_OK in *rc. */
struct tl_history_iter {
    struct tl_client *client;
    struct tl_str workflow_id, run_id; /* borrowed while iterating; run id "" = current */
    bool wait_new_event;               /* follow a running workflow to its close event */
    bool close_event_only;
    int32_t page_size;         /* 0 = the server's */
    int64_t deadline_mono_ns;  /* 0 = none */
    struct tl_str token;       /* private */
    struct tl_arena tokens[2]; /* private */
    unsigned turn;             /* private */
    bool done;                 /* private */
};
/* Makes the iterator ready; deinit releases what it holds. */
void tl_history_iter_init(struct tl_history_iter *it, struct tl_client *c);
void tl_history_iter_deinit(struct tl_history_iter *it);
/* The next page with at least one event, in the arena (which the caller may reset between pages);
 * NULL at the end. */
const TpHistory__History *tl_history_iter_next(struct tl_history_iter *it, struct tl_arena *arena,
                                               tl_rc *rc, struct tl_client_error *err);
/* A whole history, newest page last, all in the arena. */
tl_rc tl_client_history(struct tl_client *c, struct tl_str workflow_id, struct tl_str run_id,
                        struct tl_arena *arena, TpHistory__History **out,
                        struct tl_client_error *err) TL_MUST_USE;

/* --- Queries ----------------------------------------------------------------------------------- */

/* Like tl_client_call with QueryWorkflow; a query that the reject condition refused is an error of
 * kind TL_CE_QUERY_REJECTED. */
tl_rc tl_client_query(struct tl_client *c, TpWs__QueryWorkflowRequest *request,
                      struct tl_arena *arena, TpCommon__Payloads **result, int64_t timeout_ns,
                      struct tl_client_error *err) TL_MUST_USE;
