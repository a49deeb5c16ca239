/* History: the state machine of one workflow run, sans-IO. No clock, socket, thread or database:
 * time and ids come in, one log record and a list of effects come out.
 *
 *   struct tl_rs  mutable state of one run (lives long, small).
 *   struct tl_tx  one transaction on one run (lives on the stack of the caller for one request).
 *
 * A transaction:
 *     tl_tx_begin(&tx, rs, env, now_ns, arena);
 *     rc = tl_tx_signal(&tx, ...);             one or more operations
 *     if (rc != TL_OK && !tx.touched) { ... answer the error; tl_tx_abort(&tx); }
 *     tl_tx_finish(&tx, next_log_id, &record); record.bytes is one log row, or empty: nothing to write
 *     walk tx.effects; look at tl_rs_deadline_ns(rs) again
 * An operation that fails leaves the run as it was (it validates first), and tx.touched as it was.
 * Some operations fail AND change the run (a refused completion fails the workflow task): then
 * tx.touched is true, the transaction must be finished and written, and the error answered after.
 * So the rule for callers: finish when tx.touched, abort otherwise, whatever rc was.
 *
 * Event sourced: a record is temporal_lua.v1.LogRecord { encoded History, RunDelta }. Live and
 * recovered state go through the same apply functions. Recovery: tl_rs_load(checkpoint) or
 * tl_rs_new, then tl_rs_apply_record for each later row in order, then tl_rs_regenerate.
 * Checkpoints hold durable state only: a WorkflowTaskStarted nobody needed on disk yet (it is not
 * written until the task ends, something else must be written, or somebody reads the history) is not
 * in them, nor are buffered queries.
 *
 * Time: callers say and hear server time. A run that has skipped time is ahead of it; its events and
 * state are in its own time (time_skipping.c), and so is what tl_rs_info and descriptions tell.
 *
 * Ownership: a tl_rs owns everything it points to. A tl_tx owns nothing but its buffers; everything it
 * hands out (effects, results, record bytes) lives in the task arena of the transaction.
 * Thread: one at a time (the engine thread). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <temporal/api/history/v1/message.pb-c.h>
#include <temporal/api/nexus/v1/message.pb-c.h>
#include <temporal/api/query/v1/message.pb-c.h>
#include <temporal/api/update/v1/message.pb-c.h>
#include <temporal/api/workflowservice/v1/request_response.pb-c.h>
#include <temporal_lua/v1/state.pb-c.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

struct tl_rs;
struct tl_tx;

#define TL_NS_NEVER INT64_MAX

/* --- what the caller supplies ---------------------------------------------------------------- */

/* Limits that are enforced here; tl_history_limits_default fills them from base/limits.def. */
struct tl_history_limits {
    int64_t blob_bytes, memo_bytes, id_bytes;
    int64_t history_bytes, history_count, history_bytes_suggest, history_count_suggest;
    int64_t pending_activities, pending_timers, signals_per_run;
    int64_t pending_children, pending_signals, pending_cancels;
    int64_t pending_nexus_operations, nexus_header_bytes, nexus_token_bytes;
    int64_t nexus_request_timeout_ms;         /* a handler's time for one request */
    int64_t updates_in_flight, updates_total; /* of one run */
    int64_t buffered_events, buffered_bytes;
    int64_t eager_activities_max;     /* per workflow task completion */
    int64_t wft_heartbeat_timeout_ms; /* force_create_new_workflow_task without commands */
    int64_t run_min_interval_ms;    /* a run of a chain starts no sooner after the one before it */
    int64_t activity_failure_bytes; /* of a failure kept for the next attempt; cut above that */
};
void tl_history_limits_default(struct tl_history_limits *out);

/* Shared by all runs of a server; outlives every transaction. */
struct tl_history_env {
    struct tl_history_limits limits;
    void *ud;
    uint64_t (*random)(void *ud);
    /* Identity of the next run of a chain (retry, cron, continue-as-new); its number comes back in
     * the NEW_RUN effect. */
    void (*new_run_id)(void *ud, char out[37], uint64_t *run_number);
    /* Whether a workflow of the namespace may set these search attributes, and would be within the
     * limits with `merged`; gives payloads their types. NULL: everything goes. Errors: TL_EINVAL with
     * the message for the workflow task, TL_ELIMIT too large. */
    tl_rc (*check_attributes)(void *ud, uint64_t namespace_number,
                              const TpCommon__SearchAttributes *sa,
                              const TpCommon__SearchAttributes *merged, struct tl_arena *arena,
                              struct tl_error *err);
    /* Id of a namespace by name, empty when there is none. NULL: only the run's own is known. */
    struct tl_str (*namespace_id)(void *ud, struct tl_str name);
    /* Id of a Nexus endpoint by name, empty when there is none. NULL: there are none. */
    struct tl_str (*nexus_endpoint_id)(void *ud, struct tl_str name);
    /* The number of a namespace, as check_attributes takes it; 0 when there is none. NULL: likewise. */
    uint64_t (*namespace_number)(void *ud, struct tl_str name);
    /* Workers that take commands are told by one that an activity they run is not wanted any more. */
    bool worker_commands;
};

/* --- mutable state --------------------------------------------------------------------------- */

/* What a run is: activity_execution.h, operation_execution.h tell of those without a workflow. */
enum tl_run_kind { TL_RUN_WORKFLOW, TL_RUN_ACTIVITY, TL_RUN_OPERATION };

struct tl_rs_identity {
    uint64_t run_number, namespace_number;
    struct tl_str namespace_name, namespace_id, workflow_id, run_id;
    enum tl_run_kind kind; /* of others than workflows, workflow_id is their own id */
};

/* A run without history: the first operation must be tl_tx_start. Copies the strings.
 * Owns: the caller, until tl_rs_free. */
struct tl_rs *tl_rs_new(const struct tl_rs_identity *identity);
void tl_rs_free(struct tl_rs *rs); /* NULL is fine */

/* State from checkpoint bytes (tl_rs_checkpoint). Errors: TL_EDECODE, TL_ELIMIT. */
tl_rc tl_rs_load(struct tl_rs **out, const struct tl_rs_identity *identity,
                 struct tl_str checkpoint, struct tl_error *err) TL_MUST_USE;
/* Applies one later log row. Rows must come in order of their log ids; `scratch` may be reset after.
 * Errors: TL_EDECODE, TL_EDATALOSS (a gap in the event ids). */
tl_rc tl_rs_apply_record(struct tl_rs *rs, int64_t log_id, struct tl_str record,
                         struct tl_arena *scratch, struct tl_error *err) TL_MUST_USE;
/* Appends the durable state as temporal_lua.v1.RunState. Errors: TL_ELIMIT. */
tl_rc tl_rs_checkpoint(const struct tl_rs *rs, struct tl_buf *out,
                       struct tl_error *err) TL_MUST_USE;
/* Bytes of memory the run costs, cached events included. */
size_t tl_rs_bytes(const struct tl_rs *rs);
/* Drops the oldest cached event bytes that are durable (log id <= durable_log_id) until at most
 * keep_bytes stay cached. Returns bytes freed. */
size_t tl_rs_shrink(struct tl_rs *rs, int64_t durable_log_id, size_t keep_bytes);

/* Views into the run; valid until its next change. */
struct tl_rs_info {
    struct tl_rs_identity id;
    struct tl_str endpoint, service; /* of an operation execution */
    struct tl_str workflow_type, task_queue, first_run_id, original_run_id, continued_run_id,
        new_run_id;
    struct tl_str start_request_id, cron_schedule;
    struct tl_str memo;              /* encoded TpCommon__Memo, empty when none */
    struct tl_str search_attributes; /* encoded TpCommon__SearchAttributes */
    struct tl_str priority;          /* encoded TpCommon__Priority */
    int status;                      /* WORKFLOW_EXECUTION_STATUS_*; 0 before start */
    bool closed;
    int64_t start_ns, execution_ns /* start + first back-off */, close_ns;
    int64_t skipped_ns;     /* the run's clock less the server's */
    int64_t next_event_id;  /* of the durable-or-pending history, volatile start excluded */
    int64_t close_event_id; /* 0 while open */
    int64_t history_length, history_bytes;
    int64_t last_log_id;
    int64_t state_transition_count;
    uint64_t version;           /* changes with every finished transaction that touched the run */
    int64_t visibility_version; /* changes with memo, search attributes and status */
    bool cancel_requested;
    /* workflow task */
    bool wft_pending, wft_started, wft_started_volatile;
    int64_t wft_scheduled_id, wft_started_id, wft_scheduled_ns;
    int32_t wft_attempt;
    bool wft_sticky;            /* the pending task is meant for the sticky queue */
    struct tl_str sticky_queue; /* empty when not sticky */
    int64_t previous_started_event_id;
    bool ever_completed_wft;
    size_t pending_activities, pending_timers, buffered_events, buffered_queries;
    size_t pending_children, pending_signals, pending_cancels, pending_nexus;
    struct tl_str parent_workflow_id, parent_run_id; /* empty when it is no child */
    struct tl_str root_workflow_id, root_run_id;     /* its own when it has no parent */
};
void tl_rs_info(const struct tl_rs *rs, struct tl_rs_info *out);

/* Fills workflow_execution_info, execution_config, pending_activities, pending_workflow_task (and
 * what DescribeWorkflowExecution shows besides) from the state. Errors: TL_ELIMIT. */
tl_rc tl_rs_describe(const struct tl_rs *rs, int64_t now_ns, struct tl_arena *arena,
                     TpWs__DescribeWorkflowExecutionResponse *out,
                     struct tl_error *err) TL_MUST_USE;

/* The earliest moment at which tl_tx_fire_due has something to do; TL_NS_NEVER when none. The caller
 * keeps ONE timer per run and sets it again after every transaction (and after recovery). */
int64_t tl_rs_deadline_ns(const struct tl_rs *rs);

/* --- reading history ------------------------------------------------------------------------- */

/* One batch = one record with events. Pages split between batches only. */
struct tl_rs_batch {
    int64_t log_id;
    int64_t first_event_id;
    int32_t event_count;
    uint32_t bytes_n;
    /* Encoded History `(tag len event)*`. p == NULL: not cached, read the log row log_id and take
     * tl_record_history of it. */
    struct tl_str bytes;
};
size_t tl_rs_batch_count(const struct tl_rs *rs);
void tl_rs_batch_at(const struct tl_rs *rs, size_t index, struct tl_rs_batch *out);
/* Index of the batch that holds event_id; tl_rs_batch_count when it is past the end. */
size_t tl_rs_batch_find(const struct tl_rs *rs, int64_t event_id);
/* The encoded History inside a log row's bytes: a view, empty when the row has no events. */
tl_rc tl_record_history(struct tl_str record, struct tl_str *out, struct tl_error *err) TL_MUST_USE;
/* Splits encoded History bytes: the next event's bytes and the rest; false at the end. */
bool tl_history_next(struct tl_str *rest, struct tl_str *event);

/* --- transactions ---------------------------------------------------------------------------- */

/* What a gRPC status carries in its details (temporal.api.errordetails). The status is that of rc. */
enum tl_error_kind {
    TL_ERR_PLAIN,
    TL_ERR_NOT_FOUND, /* NotFoundFailure */
    TL_ERR_NAMESPACE_NOT_FOUND,
    TL_ERR_ALREADY_STARTED,    /* WorkflowExecutionAlreadyStartedFailure */
    TL_ERR_QUERY_FAILED,       /* QueryFailedFailure */
    TL_ERR_WORKFLOW_NOT_READY, /* WorkflowNotReadyFailure */
    TL_ERR_RESOURCE_EXHAUSTED, /* ResourceExhaustedFailure; cause in error_cause */
    TL_ERR_WORKFLOW_CLOSING, /* ResourceExhaustedFailure; worth another try when the task has ended */
    TL_ERR_STALE_TASK,       /* a task that is no longer wanted: matching drops it silently */
};

enum tl_effect_kind {
    TL_FX_DISPATCH_WFT,       /* u.wft: offer the workflow task to matching */
    TL_FX_DISPATCH_ACTIVITY,  /* u.activity: offer the activity to matching */
    TL_FX_CANCEL_ACTIVITY,    /* u.activity: cancel requested; its worker hears by heartbeat */
    TL_FX_TELL_WORKER,        /* u.attempt: its worker takes commands and is to cancel it */
    TL_FX_START_CHILD,        /* u.initiated_id: tl_rs_child_request tells what to start */
    TL_FX_SIGNAL_OTHER,       /* u.initiated_id: tl_rs_other_request tells whom */
    TL_FX_CANCEL_OTHER,       /* likewise */
    TL_FX_DISPATCH_NEXUS,     /* u.initiated_id: the operation has a request for its handler */
    TL_FX_CALLBACK,           /* u.callback: the run has ended */
    TL_FX_CLOSE_CHILD,        /* u.child: the parent has closed */
    TL_FX_TELL_PARENT,        /* u.parent: a child's chain has ended */
    TL_FX_NEW_RUN,            /* u.new_run: start the next run of the chain, same commit */
    TL_FX_CLOSED,             /* u.status; always the last of the run */
    TL_FX_HISTORY_CHANGED,    /* events were added: wake long polls */
    TL_FX_VISIBILITY_CHANGED, /* memo, search attributes or status */
    TL_FX_QUERY_ANSWERED,     /* u.query: an answer for a buffered query */
    TL_FX_QUERY_UNBLOCKED, /* u.query: forgotten here; ask tl_rs_query_route again (now DIRECT) */
    TL_FX_QUERY_FAILED,    /* u.query: cannot be answered; rc and message tell */
    TL_FX_UPDATE_CHANGED,  /* u.update: accepted or completed: look again */
    TL_FX_UPDATE_REJECTED, /* u.update: with this failure; forgotten here */
    TL_FX_UPDATE_ABORTED,  /* u.update: forgotten here; rc and message tell */
    TL_FX_UPDATE_RETRY,    /* u.update: forgotten here; the next run may take it */
};

/* What a task token must match. */
struct tl_task_ref {
    int64_t scheduled_id, started_id, started_ns;
    int32_t attempt;
};

struct tl_start;

struct tl_effect {
    enum tl_effect_kind kind;
    union {
        struct {
            struct tl_str task_queue; /* the queue to offer it on */
            struct tl_str normal_task_queue;
            bool sticky;
            int64_t scheduled_id;
            int32_t attempt;
        } wft;
        struct {
            struct tl_str task_queue, activity_id;
            int64_t scheduled_id, since_ns;
            int32_t attempt;
            bool with_run;                      /* for workers of the run's build */
            uint64_t stamp;                     /* hand back to tl_tx_activity_start */
            const TpCommon__Priority *priority; /* with what it takes over; NULL when none */
        } activity;
        struct {
            struct tl_str control_queue, activity_id;
            struct tl_task_ref ref; /* as the worker's token has it */
        } attempt;
        struct {
            const struct tl_start *start;
            uint64_t run_number;
            struct tl_str run_id;
        } new_run;
        int64_t initiated_id;
        struct {
            struct tl_str namespace_, workflow_id, first_run_id;
            bool terminate; /* false: request its cancellation */
        } child;
        struct {
            struct tl_str run_id;
            int64_t initiated_id;
            struct tl_str event; /* encoded HistoryEvent that closed the child */
        } parent;
        struct {
            struct tl_str callback; /* encoded Callback */
            struct tl_str event;    /* encoded HistoryEvent that closed the run */
        } callback;
        int status;
        struct {
            uint64_t id;
            const TpQuery__WorkflowQueryResult *result; /* ANSWERED */
            tl_rc rc;                                   /* FAILED */
            enum tl_error_kind error_kind;
            struct tl_str message;
        } query;
        struct {
            struct tl_str id;
            const TpFailure__Failure *failure; /* REJECTED */
            tl_rc rc;                          /* ABORTED */
            enum tl_error_kind error_kind;
            struct tl_str message;
        } update;
    } u;
};

struct tl_effects {
    struct tl_effect *items;
    size_t n, cap;
    struct tl_arena *arena;
};

struct tl_record {
    struct tl_str bytes; /* LogRecord; n == 0: nothing to write, log_id was not used */
    int64_t log_id;
    int64_t prev_log_id;    /* previous row of the run, 0: none */
    int64_t first_event_id; /* 0 when the row holds no events */
    int32_t event_count;
};

struct tl_tx {
    struct tl_rs *rs;
    const struct tl_history_env *env;
    int64_t now_ns; /* on the run's clock, which may have skipped time */
    int64_t server_ns;
    struct tl_arena *arena;
    struct tl_effects effects;     /* complete after tl_tx_finish */
    bool touched;                  /* something changed: must be finished */
    enum tl_error_kind error_kind; /* of the last operation that failed */
    int error_cause;               /* RESOURCE_EXHAUSTED_CAUSE_* */
    struct tl_tx_private *p;       /* private */
};

/* The arena must outlive the transaction and the use of its results. */
void tl_tx_begin(struct tl_tx *tx, struct tl_rs *rs, const struct tl_history_env *env,
                 int64_t now_ns, struct tl_arena *arena);
/* Encodes the record, appends it to the run under log_id, completes the effects. Errors: TL_ELIMIT
 * (arena full): the run must then be dropped and reloaded. */
tl_rc tl_tx_finish(struct tl_tx *tx, int64_t log_id, struct tl_record *out,
                   struct tl_error *err) TL_MUST_USE;
/* Ends a transaction that changed nothing; asserts !tx->touched. */
void tl_tx_abort(struct tl_tx *tx);

/* Re-dispatches what a recovered run waits for: its workflow task and activities. No record. */
tl_rc tl_rs_regenerate(struct tl_rs *rs, const struct tl_history_env *env, int64_t now_ns,
                       struct tl_effects *out, struct tl_error *err) TL_MUST_USE;

/* Everything that is due at tx->now_ns, in order of deadlines: timers, activity and workflow task
 * timeouts, first-task and retry back-offs, run and execution timeout. */
tl_rc tl_tx_fire_due(struct tl_tx *tx, struct tl_error *err) TL_MUST_USE;

/* --- start, signal, cancel, terminate -------------------------------------------------------- */

/* Who starts a run as a child. */
struct tl_start_parent {
    struct tl_str namespace_, namespace_id, workflow_id, run_id, root_workflow_id, root_run_id;
    int64_t initiated_id;
};

struct tl_start {
    const TpWs__StartWorkflowExecutionRequest *req;
    /* The chain; all zero for a client's start. */
    struct tl_str first_run_id, continued_run_id, original_run_id;
    int initiator;                   /* CONTINUE_AS_NEW_INITIATOR_* */
    int32_t attempt;                 /* 0 counts as 1 */
    int64_t execution_expiration_ns; /* 0: from the execution timeout */
    int64_t first_backoff_ns;        /* added to the request's start delay */
    const TpWorkflow__ResetPoints *reset_points;
    const struct tl_start_parent *parent; /* NULL: no child */
    /* Version of the pinned run that this one follows; NULL: none. */
    const TpDeployment__WorkerDeploymentVersion *inherited_pinned;
    struct tl_str
        set_build; /* of the run that this one follows, under versioning by sets of builds */
    const TpCommon__TimeSkippingStatePropagation *skipped; /* of the run it follows or was
                                                              started by; NULL: none */
    bool eager;           /* the first workflow task is delivered in the reply */
    bool hold_first_task; /* no first task yet: the caller signals next (signal-with-start) */
};
/* Validates everything the server checks in the request (ids, timeouts, sizes, retry policy, cron).
 * Errors: TL_EINVAL, TL_ELIMIT. */
tl_rc tl_tx_start(struct tl_tx *tx, const struct tl_start *start, struct tl_error *err) TL_MUST_USE;
/* The request checks alone, before a run exists: nothing is changed. */
tl_rc tl_history_check_start(const struct tl_history_env *env,
                             const TpWs__StartWorkflowExecutionRequest *req,
                             struct tl_error *err) TL_MUST_USE;

struct tl_signal {
    const char *name;
    const TpCommon__Payloads *input;
    const TpCommon__Header *header;
    const char *identity, *request_id;
    TpCommon__Link **links;
    size_t n_links;
    bool skip_workflow_task;
    const TpCommon__WorkflowExecution *external; /* the run that sends it; NULL: a client */
    bool child_only;                             /* only when the run is a child of `external` */
};
/* A repeated request id changes nothing and succeeds. Errors: TL_ENOTFOUND (closed), TL_EINVAL,
 * TL_ELIMIT (signals_per_run: RESOURCE_EXHAUSTED). */
tl_rc tl_tx_signal(struct tl_tx *tx, const struct tl_signal *signal,
                   struct tl_error *err) TL_MUST_USE;
/* Idempotent; succeeds without change on a closed run and when already requested. */
tl_rc tl_tx_request_cancel(struct tl_tx *tx, const TpWs__RequestCancelWorkflowExecutionRequest *req,
                           struct tl_error *err) TL_MUST_USE;
struct tl_cancel {
    const char *reason, *identity, *request_id;
    TpCommon__Link **links;
    size_t n_links;
    const TpCommon__WorkflowExecution *external; /* the run that asks for it; NULL: a client */
    int64_t external_initiated_id;
    bool child_only; /* only when the run is a child of `external` */
};
/* The same for whoever asks. Errors: TL_ENOTFOUND (open, and no child of `external`). */
tl_rc tl_tx_cancel(struct tl_tx *tx, const struct tl_cancel *cancel,
                   struct tl_error *err) TL_MUST_USE;
/* Errors: TL_ENOTFOUND (closed). */
tl_rc tl_tx_terminate(struct tl_tx *tx, const char *reason, const TpCommon__Payloads *details,
                      const char *identity, TpCommon__Link **links, size_t n_links,
                      struct tl_error *err) TL_MUST_USE;

/* A start found this run (USE_EXISTING) and wants to be remembered by it: its request id, callbacks, links.
 * Errors: TL_ENOTFOUND (closed). */
struct tl_attach {
    const char *request_id; /* NULL: not */
    TpCommon__Callback **callbacks;
    size_t n_callbacks;
    TpCommon__Link **links;
    size_t n_links;
};
tl_rc tl_tx_attach(struct tl_tx *tx, const struct tl_attach *attach,
                   struct tl_error *err) TL_MUST_USE;
/* Whether a start with this request id was attached. */
bool tl_rs_attached(const struct tl_rs *rs, struct tl_str request_id);

/* --- pause ------------------------------------------------------------------------------------ */

struct tl_pause_request {
    const char *identity, *reason, *request_id;
};
/* No workflow task is scheduled and no activity offered until tl_tx_unpause. A task that is started
 * may end; one that only waits fails. The same request id again changes nothing and succeeds.
 * Errors: TL_ENOTFOUND (closed), TL_EPRECONDITION (already paused; not paused), TL_EINVAL. */
tl_rc tl_tx_pause(struct tl_tx *tx, const struct tl_pause_request *req,
                  struct tl_error *err) TL_MUST_USE;
tl_rc tl_tx_unpause(struct tl_tx *tx, const struct tl_pause_request *req,
                    struct tl_error *err) TL_MUST_USE;

/* --- reset ------------------------------------------------------------------------------------ */

/* What a reset has to know of a history: zeroed (but build_id), then fed its events in order. */
struct tl_reset_scan {
    const char *build_id; /* NULL: none looked for */
    bool task_pending;    /* a workflow task is scheduled or started behind the last event */
    int64_t children;     /* child workflows that have not ended */
    int64_t first_scheduled_id, last_scheduled_id, first_completed_id, last_completed_id;
    int64_t build_completed_id; /* first task completed by build_id */
};
void tl_reset_scan_event(struct tl_reset_scan *scan, const TpHistory__HistoryEvent *e);

struct tl_reset {
    const char *base_run_id, *reason, *request_id;
};
/* A new run instead of tl_tx_start: the events of the base in order, in as many transactions as
 * wanted; then, in one, tl_tx_reset (a workflow task must be pending: it fails), what is sent again,
 * and tl_tx_reset_done. Timeouts of the run, and its activities, begin anew.
 * Errors: TL_EDATALOSS (an event is missing), TL_EDECODE, TL_ELIMIT. */
tl_rc tl_tx_reset_copy(struct tl_tx *tx, TpHistory__HistoryEvent *e,
                       struct tl_error *err) TL_MUST_USE;
tl_rc tl_tx_reset(struct tl_tx *tx, const struct tl_reset *reset, struct tl_error *err) TL_MUST_USE;
/* Signals and accepted updates; events of other types are not sent again. */
tl_rc tl_tx_reset_reapply(struct tl_tx *tx, const TpHistory__HistoryEvent *e,
                          struct tl_error *err) TL_MUST_USE;
tl_rc tl_tx_reset_done(struct tl_tx *tx, struct tl_error *err) TL_MUST_USE;

/* --- children and other runs ----------------------------------------------------------------- */

/* What goes from run to run is delivered at least once: each of these operations does nothing, and
 * succeeds, when what it tells was heard before or nobody waits for it any more. */

/* What START_CHILD wants. Errors: TL_ENOTFOUND (not pending, or started), TL_ELIMIT. */
struct tl_child_request {
    TpWs__StartWorkflowExecutionRequest *req; /* its request id tells one child from another */
    const TpCommon__TimeSkippingStatePropagation *skipped;
    struct tl_start_parent parent;
    bool inherits_build;
};
tl_rc tl_rs_child_request(const struct tl_rs *rs, int64_t initiated_id, struct tl_arena *arena,
                          struct tl_child_request *out, struct tl_error *err) TL_MUST_USE;
/* run_id: the first of the child's chain. */
tl_rc tl_tx_child_started(struct tl_tx *tx, int64_t initiated_id, struct tl_str run_id,
                          struct tl_error *err) TL_MUST_USE;
/* cause: START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_*. */
tl_rc tl_tx_child_start_failed(struct tl_tx *tx, int64_t initiated_id, int cause,
                               struct tl_error *err) TL_MUST_USE;
struct tl_child_closed {
    int64_t initiated_id;
    struct tl_str workflow_id, run_id, first_run_id;
    const TpHistory__HistoryEvent *event; /* that closed it */
};
tl_rc tl_tx_child_closed(struct tl_tx *tx, const struct tl_child_closed *closed,
                         struct tl_error *err) TL_MUST_USE;

/* What SIGNAL_OTHER and CANCEL_OTHER want. Errors: TL_ENOTFOUND (answered), TL_ELIMIT. */
struct tl_other_request {
    struct tl_str namespace_, workflow_id, run_id; /* run_id may be empty */
    const TpCommon__WorkflowExecution *source;
    const char *signal_name, *reason, *request_id;
    const TpCommon__Payloads *input;
    const TpCommon__Header *header;
    bool is_signal, child_only;
};
tl_rc tl_rs_other_request(const struct tl_rs *rs, int64_t initiated_id, struct tl_arena *arena,
                          struct tl_other_request *out, struct tl_error *err) TL_MUST_USE;
/* cause: 0 when it got there, else {SIGNAL,CANCEL}_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_*. */
tl_rc tl_tx_other_done(struct tl_tx *tx, int64_t initiated_id, bool failed, int cause,
                       struct tl_error *err) TL_MUST_USE;
bool tl_rs_is_child_of(const struct tl_rs *rs, struct tl_str workflow_id, struct tl_str run_id);

/* --- workflow tasks -------------------------------------------------------------------------- */

struct tl_wft_start {
    struct tl_str task_queue; /* the queue the poll came on */
    bool sticky;              /* it is the run's sticky queue */
    bool inline_reply;        /* goes out in the reply of a completion: the worker has the run */
    const char *identity, *request_id;
    const TpCommon__WorkerVersionCapabilities *version_capabilities; /* NULL when none */
    struct tl_str version; /* of the worker, "deployment:build"; empty: unversioned */
};
struct tl_wft_started {
    struct tl_task_ref ref;
    int64_t previous_started_event_id;
    int64_t history_from; /* first event id the response must carry (sticky or everything) */
    int64_t history_upto; /* last event id stored in batches; extra_events follow */
    /* Encoded History bytes with predicted ids: Scheduled (of a transient attempt), Started. */
    struct tl_str extra_events;
    int64_t scheduled_ns, started_ns;
    int32_t attempt;
    struct tl_rs_query *queries; /* buffered queries that ride on this task */
    size_t query_count;
    struct tl_rs_update_request *updates; /* go as protocol messages, sequenced before Started */
    size_t update_count;
};
struct tl_rs_update_request {
    struct tl_str id;
    struct tl_str request; /* encoded TpUpdate__Request */
};
struct tl_rs_query {
    uint64_t id;         /* the map key in the response is its decimal text */
    struct tl_str query; /* encoded TpQuery__WorkflowQuery */
};
/* Starts the pending task; volatile: usually leaves nothing to write. Errors: TL_ENOTFOUND with
 * TL_ERR_STALE_TASK when scheduled_id/attempt is not what is pending or it is already started. */
tl_rc tl_tx_wft_start(struct tl_tx *tx, int64_t scheduled_id, int32_t attempt,
                      const struct tl_wft_start *start, struct tl_wft_started *out,
                      struct tl_error *err) TL_MUST_USE;
/* Makes a volatile WorkflowTaskStarted durable (history is about to be read). */
tl_rc tl_tx_materialise_started(struct tl_tx *tx, struct tl_error *err) TL_MUST_USE;

struct tl_activity_started; /* activity.h */
struct tl_wft_completed {
    bool deliver_next_inline; /* call tl_tx_wft_start in this transaction and put it in the reply */
    struct tl_activity_started *eager; /* activities that start with this completion */
    size_t eager_count;
    int64_t reset_history_event_id;
};
/* Completes the task: commands in order, buffered events flushed, next task scheduled. A completion
 * that is refused fails the task (tx->touched) and returns TL_EINVAL with a message the worker sees. */
tl_rc tl_tx_wft_complete(struct tl_tx *tx, const struct tl_task_ref *ref,
                         const TpWs__RespondWorkflowTaskCompletedRequest *req,
                         struct tl_wft_completed *out, struct tl_error *err) TL_MUST_USE;
tl_rc tl_tx_wft_fail(struct tl_tx *tx, const struct tl_task_ref *ref,
                     const TpWs__RespondWorkflowTaskFailedRequest *req,
                     struct tl_error *err) TL_MUST_USE;
/* Nobody polls the sticky queue: the pending task goes to the normal queue, nothing is written. The
 * new DISPATCH_WFT is among the effects. */
tl_rc tl_tx_wft_unstick(struct tl_tx *tx, int64_t scheduled_id, struct tl_error *err) TL_MUST_USE;
/* ResetStickyTaskQueue. */
tl_rc tl_tx_reset_sticky(struct tl_tx *tx, struct tl_error *err) TL_MUST_USE;

/* --- worker deployment versions --------------------------------------------------------------- */

/* A version is the text "deployment:build"; empty: no version. Where a run stands: */
struct tl_rs_versioning {
    int behavior;          /* VERSIONING_BEHAVIOR_*, the override's when there is one */
    struct tl_str version; /* it belongs to; that of a pinning override when there is one */
    struct tl_str ran_on;  /* of the last completed task, or inherited */
    bool moving;           /* a transition is under way: activities wait */
    struct tl_str target;  /* of the transition */
    /* The version that completed the last task without a behavior: the run did not move there, and would
     * not the next time. Memory. */
    struct tl_str left_by;
    /* Of the last completed task, or inherited, under versioning by sets of builds: ":" and the build ID. */
    struct tl_str set_build;
};
/* Views, valid until the next change of the run. */
void tl_rs_versioning(const struct tl_rs *rs, struct tl_rs_versioning *out);
/* "deployment:build" in the arena; empty when one of them is. */
struct tl_str tl_version_text(struct tl_arena *arena, const char *deployment, const char *build_id);
/* Views of its parts; false for no version. */
bool tl_version_split(struct tl_str version, struct tl_str *deployment, struct tl_str *build_id);
/* What a poll or completion says its worker is. */
struct tl_str tl_version_of_worker(struct tl_arena *arena,
                                   const TpDeployment__WorkerDeploymentOptions *o);
/* NULL for no version, or without memory. */
TpDeployment__WorkerDeploymentVersion *tl_version_message(struct tl_str version,
                                                          struct tl_arena *arena);
/* Begins a transition: activities wait until a workflow task has completed on `version`.
 * Errors: TL_ENOTFOUND (closed). */
tl_rc tl_tx_move(struct tl_tx *tx, struct tl_str version, struct tl_error *err) TL_MUST_USE;
/* The override of a run, NULL for none; in the arena. */
TpWorkflow__VersioningOverride *tl_rs_override(const struct tl_rs *rs, struct tl_arena *arena);
/* Whether a client's override can be kept. Errors: TL_EINVAL. */
tl_rc tl_override_check(const TpWorkflow__VersioningOverride *o, struct tl_error *err) TL_MUST_USE;

/* --- options of a run --------------------------------------------------------------------------- */

/* UpdateWorkflowExecutionOptions: which of them change, to what (NULL: removed). */
struct tl_options_change {
    const TpWorkflow__WorkflowExecutionOptions *options; /* NULL: all of those named are removed */
    bool versioning_override, time_skipping;
    const char *identity;
};
/* The same from a request; nothing is copied. Errors: TL_EINVAL (no mask, other paths). */
tl_rc tl_options_change_read(const Google__Protobuf__FieldMask *mask,
                             const TpWorkflow__WorkflowExecutionOptions *options,
                             const char *identity, struct tl_options_change *out,
                             struct tl_error *err) TL_MUST_USE;
/* No event when nothing changes; a fast forward always begins anew. *merged: all options, as they are
 * then. Errors: TL_EINVAL, TL_ENOTFOUND (closed), TL_ELIMIT. */
tl_rc tl_tx_change_options(struct tl_tx *tx, const struct tl_options_change *change,
                           TpWorkflow__WorkflowExecutionOptions *merged,
                           struct tl_error *err) TL_MUST_USE;
/* Of the run's time skipping. NULL when there is none; *full: the arena was. */
TpCommon__TimeSkippingFastForwardInfo *tl_rs_fast_forward(const struct tl_rs *rs,
                                                          struct tl_arena *arena, bool *full);
/* Time is skipped as soon as the run is idle. */
bool tl_rs_skips_time(const struct tl_rs *rs);

/* --- deliveries taken back ------------------------------------------------------------------- */

/* The worker never saw the task that was started (its poll's caller had gone): as if it had not been
 * started, and offered again. Errors: TL_ENOTFOUND with TL_ERR_STALE_TASK when the task is another one
 * by now, or when its start is in the history already: then its timeout brings it back. */
tl_rc tl_tx_wft_unstart(struct tl_tx *tx, const struct tl_task_ref *ref,
                        struct tl_error *err) TL_MUST_USE;
/* Ends a transaction without writing what it changed: the caller throws the run away with it. */
void tl_tx_discard(struct tl_tx *tx);

/* --- queries --------------------------------------------------------------------------------- */

enum tl_query_route {
    TL_QUERY_DIRECT, /* straight to matching, on the sticky queue when there is one */
    TL_QUERY_BUFFER, /* tl_tx_query_buffer: rides on the current or next task */
    TL_QUERY_REFUSE, /* *rc, *kind and err are filled (WorkflowNotReady, buffer full) */
};
/* deadline_ns: server time at which the caller gives up (TL_NS_NEVER: none); a first task that comes
 * later than that refuses the query. buffered_max: how many queries may wait on the run. The status of
 * a closed run (query reject condition) is the caller's to look at. */
enum tl_query_route tl_rs_query_route(const struct tl_rs *rs, int64_t deadline_ns,
                                      size_t buffered_max, tl_rc *rc, enum tl_error_kind *kind,
                                      struct tl_error *err);
/* Memory only. `query` is copied. Errors: TL_ELIMIT. */
tl_rc tl_tx_query_buffer(struct tl_tx *tx, uint64_t id, struct tl_str query,
                         struct tl_error *err) TL_MUST_USE;
/* The caller gave up (deadline): forgets the query; fine when unknown. */
void tl_rs_query_forget(struct tl_rs *rs, uint64_t id);

/* --- updates --------------------------------------------------------------------------------- */

/* Where an update stands. */
struct tl_rs_update {
    int stage; /* UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_* */
    /* The event that holds the outcome. 0 although completed: the run closed before the update was,
     * which is its failure. */
    int64_t completed_event_id;
};
bool tl_rs_update_find(const struct tl_rs *rs, struct tl_str id, struct tl_rs_update *out);
/* Admits the update (request->meta is set) unless the run knows its id; an idle run gets a
 * speculative task. Memory only. Errors: TL_ENOTFOUND (closed), TL_EPRECONDITION (the task keeps
 * failing; too many updates in all), TL_ELIMIT (too many at once; TL_ERR_WORKFLOW_CLOSING). */
tl_rc tl_tx_update_admit(struct tl_tx *tx, const TpUpdate__Request *request,
                         struct tl_error *err) TL_MUST_USE;

/* --- task tokens ----------------------------------------------------------------------------- */

/* Opaque bytes for workers: which run, which task. Encoded as temporal_lua.v1.TaskToken. */
struct tl_work_token {
    uint64_t namespace_number, run_number;
    bool is_activity;
    struct tl_task_ref ref;
    struct tl_str activity_id;
    int nexus_request;       /* enum tl_nexus_request; 0: no Nexus task */
    uint64_t worker_command; /* 0: none; else there is no run, and ref.attempt is the task's */
};
tl_rc tl_work_token_encode(const struct tl_work_token *token, struct tl_arena *arena,
                           struct tl_str *out, struct tl_error *err) TL_MUST_USE;
/* Errors: TL_EINVAL ("Unable to deserialize task token."). */
tl_rc tl_work_token_decode(struct tl_str bytes, struct tl_arena *arena, struct tl_work_token *out,
                           struct tl_error *err) TL_MUST_USE;
