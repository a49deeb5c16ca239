/* Inside of the server: what its files share. One struct tl_server; everything in it belongs to the
 * engine (engine thread, or the caller of tl_server_step) unless a field says otherwise.
 *
 * Life of a request: handle() posts it to the inbox; the engine decodes it into its arena and calls
 * the method's handler (api/); the handler reads runs, makes transactions on them (run.c), whose
 * records go into the open commit, and answers through tl_call_reply: at once when what the answer
 * reflects is durable, otherwise the answer waits in the commit that makes it so (commit.c). */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include <temporal/api/errordetails/v1/message.pb-c.h>
#include <temporal_lua/v1/token.pb-c.h>
#include <temporal/api/workflowservice/v1/request_response.pb-c.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/heap.h"
#include "base/inbox.h"
#include "base/list.h"
#include "base/map.h"
#include "proto/pb.h"
#include "server/history/history.h"
#include "server/history/nexus.h"
#include "server/matching/matching.h"
#include "server/metrics.h"
#include "server/server.h"
#include "server/visibility/attributes.h"
#include "server/visibility/known.h"
#include "store/store.h"
#include "tl_enums.h"

/* What arrives in the engine's inbox. */
enum tl_engine_msg {
    TL_MSG_REQUEST = 1,
    TL_MSG_CANCEL,
    TL_MSG_COMMITTED,
    TL_MSG_KNOWN_IDS,
    TL_MSG_BATCH_PAGE,
    TL_MSG_WAKE
};

/* tl_match_task.kind */
enum tl_offer_kind {
    TL_OFFER_WORKFLOW,
    TL_OFFER_ACTIVITY,
    TL_OFFER_QUERY,
    TL_OFFER_NEXUS,
    TL_OFFER_COMMAND
};

/* TASK_QUEUE_TYPE_* as the matcher has it, and back. */
static inline enum tl_queue_type tl_queue_type_of(int task_queue_type)
{
    return task_queue_type == TASK_QUEUE_TYPE_ACTIVITY ? TL_QUEUE_ACTIVITY
           : task_queue_type == TASK_QUEUE_TYPE_NEXUS  ? TL_QUEUE_NEXUS
                                                       : TL_QUEUE_WORKFLOW;
}
static inline int tl_task_queue_type(enum tl_queue_type t)
{
    return t == TL_QUEUE_ACTIVITY ? TASK_QUEUE_TYPE_ACTIVITY
           : t == TL_QUEUE_NEXUS  ? TASK_QUEUE_TYPE_NEXUS
                                  : TASK_QUEUE_TYPE_WORKFLOW;
}

/* --- deadlines ----------------------------------------------------------------------------------- */

/* Something to do at a time. `fire` is called once, with the node outside its heap. */
struct tl_due {
    struct tl_heap_node node;
    void (*fire)(struct tl_server *s, struct tl_due *due);
};

/* --- namespaces ---------------------------------------------------------------------------------- */

/* The one cluster that there is. */
#define TL_CLUSTER_NAME "active"

struct tl_namespace {
    uint64_t number;
    struct tl_str name, id; /* heap */
    struct tl_str bytes;    /* heap: encoded DescribeNamespaceResponse, what is stored */
    struct tl_attrs attrs;  /* its custom search attributes, from bytes */
    int64_t retention_ns;
    uint64_t seq;         /* commit that holds its newest write */
    uint64_t made_seq;    /* commit that made it; 0: it was stored before */
    bool deleted;         /* its runs are being removed; renamed, so that the name is free */
    bool emptied;         /* and all have gone */
    struct tl_str former; /* heap: the name before the deletion, while that may still fail */
};

/* The number under which runs of a namespace are stored: executions without a workflow have ids of their own
 * and are in no list of workflows, so they are the runs of negative numbers. */
#define TL_SCOPE_OPERATIONS (INT64_C(1) << 40)
static inline int64_t tl_scope_of(uint64_t namespace_number, enum tl_run_kind kind)
{
    int64_t n = (int64_t)namespace_number;
    return kind == TL_RUN_WORKFLOW ? n : kind == TL_RUN_ACTIVITY ? -n : -n - TL_SCOPE_OPERATIONS;
}
static inline int64_t tl_ns_scope(const struct tl_namespace *ns, enum tl_run_kind kind)
{
    return tl_scope_of(ns->number, kind);
}
static inline enum tl_run_kind tl_scope_kind(int64_t scope)
{
    return scope > 0                      ? TL_RUN_WORKFLOW
           : scope > -TL_SCOPE_OPERATIONS ? TL_RUN_ACTIVITY
                                          : TL_RUN_OPERATION;
}
static inline int64_t tl_scope_namespace(int64_t scope)
{
    return scope > 0 ? scope : scope > -TL_SCOPE_OPERATIONS ? -scope : -scope - TL_SCOPE_OPERATIONS;
}

/* --- runs in memory ------------------------------------------------------------------------------ */

struct tl_exec;

/* An activity that waits for a poll. Freed when it is delivered or dropped. */
struct tl_activity_task {
    struct tl_match_task task;
    struct tl_match_terms terms; /* its fairness key stands behind the queue's name */
    struct tl_list link;         /* in tl_exec.activities */
    struct tl_exec *exec;
    int64_t scheduled_id;
    int32_t attempt;
    uint64_t stamp;
    bool with_run; /* for workers of the run's build, where the queue has sets of builds */
    size_t queue_n;
    char queue[];
};

/* A request to the handler of a Nexus operation that waits for a poll. Freed when it is delivered or
 * dropped. */
struct tl_nexus_task {
    struct tl_match_task task;
    struct tl_list link; /* in tl_exec.nexus */
    struct tl_exec *exec;
    struct tl_nexus_ref ref;
};

/* The run's pending workflow task while it waits for a poll. */
struct tl_workflow_task {
    struct tl_match_task task;
    int64_t scheduled_id;
    int32_t attempt;
    bool sticky;
    struct tl_str queue; /* heap */
};

struct tl_exec {
    uint64_t number;
    struct tl_rs *rs;
    struct tl_namespace *ns;
    struct tl_due due;    /* in tl_server.timers */
    struct tl_list lru;   /* linked while closed and stored */
    struct tl_list dirty; /* linked while its row is behind its log */
    struct tl_list warm;  /* linked while open and its events may be in memory */
    int64_t touched_ns;   /* mono time of its last transaction, to the round */
    int64_t dirty_log_id; /* oldest log row that its stored row does not reflect; 0: none */
    uint64_t seq;         /* commit that holds its newest write */
    uint64_t row_seq;     /* commit that holds its newest row */
    uint64_t previous;    /* run that had the workflow id before; 0: none or not in memory */
    struct tl_workflow_task wft;
    struct tl_list activities; /* struct tl_activity_task */
    struct tl_list nexus;      /* struct tl_nexus_task */
    struct tl_list waiters;    /* struct tl_parked: history long polls, queries */
    bool current;              /* it is what `current` finds under its workflow id */
    bool stored;               /* its row exists (or is in a commit) */
    bool closed;
    int64_t visibility_stored; /* visibility_version of its stored row */
    size_t key_n;
    char key[]; /* tl_ns_scope and workflow id */
};

/* --- calls --------------------------------------------------------------------------------------- */

enum tl_parked_kind {
    TL_PARKED_POLL,
    TL_PARKED_WAIT,
    TL_PARKED_QUERY,
    TL_PARKED_UPDATE,
    TL_PARKED_SLEEP
};

/* Which part of an ExecuteMultiOperation is being worked on: errors name both. */
enum tl_operation {
    TL_OPERATION_NONE,
    TL_OPERATION_START,
    TL_OPERATION_UPDATE,        /* of a run that was there */
    TL_OPERATION_UPDATE_OF_NEW, /* the start has succeeded */
};

/* A request that is not answered yet and that nobody is working on. Owned by the engine; reachable
 * through the request's slot. */
struct tl_parked {
    enum tl_parked_kind kind;
    struct tl_rpc_request *rpc;
    struct tl_due due;             /* in tl_server.waits; sleeps: in tl_server.timers */
    struct tl_list link;           /* in tl_exec.waiters, tl_server.woken, or none */
    struct tl_match_poll poll;     /* POLL */
    enum tl_queue_type queue_type; /* POLL */
    struct tl_namespace *ns;
    uint64_t run_number;       /* WAIT, QUERY: the run */
    bool wants_close;          /* WAIT: only the end of the run matters */
    bool expired;              /* the deadline has passed */
    int64_t until_ns;          /* WAIT, QUERY: mono deadline, kept over retries */
    int64_t target_ns;         /* WAIT for a fast forward: where it goes */
    struct tl_match_task task; /* QUERY sent to matching */
    uint64_t query_id;         /* QUERY */
    bool query_buffered;       /* QUERY: it rides on a workflow task */
    bool query_sticky;
    bool relock;                 /* SLEEP: lock time skipping afterwards */
    char *update_id;             /* UPDATE: owned */
    enum tl_operation operation; /* UPDATE */
    bool retry;                  /* UPDATE: its run went on: begin again */
};

/* What a request that the server makes itself was answered: nothing waits for a commit. */
struct tl_own_answer {
    int status;            /* 0: it succeeded */
    struct tl_str message; /* why not */
    struct tl_str body;    /* the response; both are the call's arena's */
};

/* One request being handled. Lives on the engine's stack. */
struct tl_call {
    struct tl_server *s;
    struct tl_rpc_request *rpc;
    struct tl_own_answer *own; /* the server's own request, which has no rpc and is never parked */
    struct tl_arena *arena;
    const void *req;         /* decoded */
    struct tl_namespace *ns; /* of the request, when its message has a namespace */
    enum tl_operation operation;
    /* The same request came back from waiting. A handler that parks it again takes it (and sets NULL);
     * otherwise it is freed after the handler has answered. */
    struct tl_parked *parked;
};

/* --- commits ------------------------------------------------------------------------------------- */

/* What to undo when the reply of a poll cannot be handed over. */
struct tl_delivery {
    uint64_t run_number;
    uint64_t query_id; /* a query went out; 0: a workflow task or an activity */
    bool is_activity;
    int nexus_request;       /* enum tl_nexus_request; 0: no Nexus task */
    uint64_t worker_command; /* commands to a worker, in their `attempt`; 0: none */
    int64_t scheduled_id;
    int32_t attempt;
    struct tl_match_place place; /* in the queue */
    struct tl_task_ref ref;
};

struct tl_pending_reply {
    struct tl_pending_reply *next;
    struct tl_rpc_request *rpc;
    int status;
    struct tl_str message, details, body; /* in the commit's arena */
    struct tl_delivery *delivery;         /* NULL: an ordinary reply */
    bool undelivered;                     /* set by whoever tried */
};

/* A delivery to be taken back. */
struct tl_undo {
    struct tl_undo *next;
    struct tl_delivery delivery;
};

struct tl_reply_list {
    struct tl_pending_reply *first, **last;
};

/* Work for the reader, perhaps after a commit that it has to see. `run` owns the job; a NULL reader
 * means that it cannot be done and is to be answered UNAVAILABLE. */
struct tl_job {
    struct tl_msg msg;
    struct tl_job *next; /* while it waits for a commit */
    void (*run)(struct tl_server *s, struct tl_reader *reader, struct tl_job *job);
};

/* One transaction with everything that waits for it. The open one belongs to the engine, one under
 * way to the store side, except `late`. */
struct tl_commit {
    struct tl_msg msg;
    uint64_t seq;
    int64_t last_log_id; /* newest log row in it or before it */
    struct tl_batch ops;
    struct tl_arena arena;
    struct tl_reply_list replies;
    struct tl_job *jobs;
    struct tl_arena late_arena; /* engine's: what came while the commit was under way */
    struct tl_reply_list late;
    tl_rc rc;
    struct tl_error err;
};

/* --- the server ---------------------------------------------------------------------------------- */

struct tl_server {
    struct tl_server_options o;
    const struct tl_world *world;
    struct tl_store *store;
    struct tl_history_env env;
    struct tl_rpc_service service;
    struct tl_server_metrics metrics;

    /* between threads */
    struct tl_inbox inbox;        /* engine */
    struct tl_inbox store_inbox;  /* struct tl_commit.msg */
    struct tl_inbox reader_inbox; /* struct tl_job.msg */
    atomic_llong skipped_ns;
    atomic_int skip_locks;
    atomic_bool wal_job_queued, wake_queued, stop_wanted;
    struct tl_msg wake_msg;
    struct tl_job wal_job;
    pthread_t threads[3];
    int thread_count;

    /* engine */
    struct tl_arena arena; /* of the request being handled */
    struct tl_buf scratch;
    struct tl_heap timers;           /* server time */
    struct tl_heap waits;            /* mono time */
    struct tl_map namespaces;        /* name -> struct tl_namespace */
    struct tl_map namespace_numbers; /* number -> the same */
    uint64_t namespaces_next;
    uint64_t
        namespaces_deleted_seq; /* commit of the newest deletion: until then a name may come back */
    struct tl_map runs;         /* number -> struct tl_exec */
    struct tl_map current;      /* key -> struct tl_exec */
    struct tl_list dirty;       /* struct tl_exec, oldest dirty_log_id first */
    size_t dirty_count;
    int64_t dirty_since_ns; /* mono time when the list became non-empty */
    struct tl_list lru;     /* closed runs, longest unused first */
    size_t lru_count, open_count;
    struct tl_list warm;   /* struct tl_exec, longest untouched first */
    int64_t round_mono_ns; /* when the round began */
    struct tl_known known; /* workflow ids that may exist in the database */
    struct tl_matcher matcher;
    struct tl_list cross;        /* struct tl_cross: what one run wants of another */
    struct tl_list woken;        /* struct tl_parked to be handled again */
    struct tl_list after_commit; /* struct tl_parked to be woken when the open commit is durable */
    struct tl_map erased;        /* run number -> commit that deletes it, until that is durable */
    struct tl_list batches;      /* struct tl_batch_job, oldest first */
    uint64_t batches_next, batch_tickets;
    size_t batches_running;
    struct tl_map queries;         /* id -> struct tl_parked */
    struct tl_map version_sets;    /* key in meta -> struct queue_sets */
    struct tl_map task_queues;     /* key in meta -> struct tl_queue_settings */
    struct tl_due limits_due;      /* in timers: a limit of theirs lets a task go */
    struct tl_map endpoints;       /* id -> struct tl_nexus_endpoint, in order of ids */
    struct tl_map deployments;     /* key in meta -> struct tl_deployment */
    struct tl_map routes;          /* task queue -> struct tl_route; forgotten with every change */
    struct tl_map workers;         /* namespace and instance key -> what it told, workers.c */
    struct tl_list workers_by_age; /* the longest silent first */
    struct tl_map polled_versions; /* task queue and version of polls that changed nothing */
    struct tl_map worker_commands; /* number -> struct tl_worker_command */
    uint64_t worker_command_numbers;
    uint64_t query_ids;
    struct tl_undo *undos; /* deliveries to be taken back in this round */
    bool poisoned;         /* the open commit must be refused */
    struct tl_map lost;    /* run numbers to be read again after a failed commit */
    int64_t lost_retry_ns; /* mono; nothing is served while runs are lost */
    int64_t next_log_id, durable_log_id;
    uint64_t next_run_number;
    uint64_t next_seq, durable_seq;
    struct tl_commit *open, *in_flight, *spare;
    const struct tl_delivery *putting_back;
    int64_t last_poll_mono_ns;
    int64_t retention_at_ns; /* mono time of the next look for runs to remove */
    uint64_t commits, commit_items, commits_failed;
    bool stopping, abandoned;
};

/* --- engine.c: loop, time ------------------------------------------------------------------------ */

int64_t tl_engine_now(struct tl_server *s); /* server time */
int64_t tl_engine_mono(struct tl_server *s);
/* Takes a due out of its heap (fine when outside) and puts it in again. */
void tl_due_set(struct tl_heap *h, struct tl_due *d, int64_t at_ns);
/* Handles one request; `parked` when it comes back from waiting. */
void tl_engine_handle(struct tl_server *s, struct tl_rpc_request *rpc, struct tl_parked *parked);
/* One round over a chain of messages. Returns when the next one is wanted (mono). */
int64_t tl_engine_round(struct tl_server *s, struct tl_msg *messages);
/* Makes the engine take a round. Thread: any. */
void tl_engine_wake(struct tl_server *s);
/* Answers everything that waits; new requests are refused from now on. */
void tl_engine_stop(struct tl_server *s);
/* The workflow ids of an old database have been collected. */
void tl_known_arrived(struct tl_server *s, struct tl_msg *m);
/* Starts collecting them on the reader; nothing to do for a new database. */
void tl_known_collect(struct tl_server *s);
/* clock.c: jumps to the next deadline when time skipping allows it. True when it jumped; otherwise
 * *recheck_mono_ns is when to look again (INT64_MAX: after the next message). */
bool tl_clock_skip(struct tl_server *s, int64_t *recheck_mono_ns);

/* --- commit.c ------------------------------------------------------------------------------------ */

void tl_commit_init(struct tl_server *s);
void tl_commit_deinit(struct tl_server *s);
/* Hands the open commit to the store side when that is idle and there is something in it. */
void tl_commit_submit(struct tl_server *s);
/* Store side: makes a commit durable and sends its replies. Thread: store. */
void tl_commit_execute(struct tl_server *s, struct tl_commit *c);
/* Engine: a commit came back. */
void tl_commit_done(struct tl_server *s, struct tl_commit *c);
/* Answers when `seq` is durable. The bytes are copied where they must wait; `delivery` may be NULL. */
void tl_reply_at(struct tl_server *s, struct tl_rpc_request *rpc, uint64_t seq, int status,
                 struct tl_str message, struct tl_str details, struct tl_str body,
                 const struct tl_delivery *delivery);
/* Runs the job on the reader once `seq` is durable. */
void tl_job_at(struct tl_server *s, uint64_t seq, struct tl_job *job);
/* The open commit is given up: its replies are UNAVAILABLE, what it touched is read again. Only while
 * none is under way. */
void tl_commit_give_up(struct tl_server *s, const char *why);
/* Nothing under way and nothing to commit. */
bool tl_commit_idle(const struct tl_server *s);
/* Answers what waits in commits that will never be made. */
void tl_commit_abandon(struct tl_server *s);
/* Takes back the deliveries that could not be handed over. */
void tl_commit_undo(struct tl_server *s);
/* Encodes and answers when `seq` is durable. */
tl_rc tl_reply_message(struct tl_server *s, struct tl_rpc_request *rpc, uint64_t seq,
                       const void *msg, const struct tl_delivery *delivery,
                       struct tl_error *err) TL_MUST_USE;

/* --- call.c: answers ----------------------------------------------------------------------------- */

/* Encodes and sends; errors of encoding become INTERNAL. */
void tl_call_reply(struct tl_call *c, uint64_t seq, const void *msg);
void tl_call_reply_bytes(struct tl_call *c, uint64_t seq, struct tl_str body);
/* Error answers, at `seq` when they reflect a run. `details` may be NULL (a message of errordetails). */
void tl_call_error(struct tl_call *c, uint64_t seq, int status, const char *message,
                   const void *details);
void tl_call_errorf(struct tl_call *c, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The answer for a failed history operation: status from err, details from the transaction. */
void tl_call_tx_error(struct tl_call *c, const struct tl_exec *e, enum tl_error_kind kind,
                      int cause, const struct tl_error *err);
void tl_call_not_found(struct tl_call *c, uint64_t seq, const char *message);

/* --- namespaces.c -------------------------------------------------------------------------------- */

tl_rc tl_namespaces_load(struct tl_server *s, struct tl_error *err) TL_MUST_USE;
void tl_namespaces_free(struct tl_server *s);
/* Forgets and reads again what is stored. */
tl_rc tl_namespaces_reload(struct tl_server *s, struct tl_error *err) TL_MUST_USE;
/* NULL also for one that is deleted. */
struct tl_namespace *tl_namespace_find(struct tl_server *s, struct tl_str name);
/* Gives it another name, under which nobody finds it; its runs are removed from now on (tl_retention_due).
 * Errors: TL_ECORRUPT, TL_ELIMIT. */
tl_rc tl_namespace_delete(struct tl_server *s, struct tl_namespace *ns, struct tl_arena *arena,
                          struct tl_error *err) TL_MUST_USE;
/* Registers or replaces; the message names it. Copies. */
struct tl_namespace *tl_namespace_put(struct tl_server *s,
                                      const TpWs__DescribeNamespaceResponse *description);
/* Registers with defaults when missing. Errors: TL_EINVAL (the name). */
tl_rc tl_namespace_ensure(struct tl_server *s, struct tl_str name,
                          struct tl_error *err) TL_MUST_USE;
/* For tl_history_env.namespace_id. */
struct tl_str tl_namespace_id_of(void *server, struct tl_str name);
/* For tl_history_env.namespace_number. */
uint64_t tl_namespace_number_of(void *server, struct tl_str name);
bool tl_namespace_name_ok(struct tl_str name);
/* Registers a search attribute, "Name=Type", in the namespace when it has none of that name.
 * Errors: TL_EINVAL. */
tl_rc tl_namespace_ensure_attribute(struct tl_server *s, struct tl_str name,
                                    struct tl_str attribute, struct tl_error *err) TL_MUST_USE;
/* For tl_history_env.check_attributes. */
tl_rc tl_namespace_check_attributes(void *server, uint64_t namespace_number,
                                    const TpCommon__SearchAttributes *sa,
                                    const TpCommon__SearchAttributes *merged,
                                    struct tl_arena *arena, struct tl_error *err) TL_MUST_USE;
/* What a new namespace looks like; borrows from the request. NULL: arena full. */
TpWs__DescribeNamespaceResponse *
tl_namespace_describe_new(struct tl_server *s, const TpWs__RegisterNamespaceRequest *req,
                          int64_t retention_ns, struct tl_arena *arena);

/* --- run.c: runs in memory ------------------------------------------------------------------------ */

/* The newest run of a workflow id; NULL with err set (TL_ENOTFOUND, or what the disk said). */
struct tl_exec *tl_run_current(struct tl_server *s, struct tl_namespace *ns,
                               struct tl_str workflow_id, struct tl_error *err);
/* By run id when it has one, else the newest. */
struct tl_exec *tl_run_find(struct tl_server *s, struct tl_namespace *ns,
                            const TpCommon__WorkflowExecution *execution, struct tl_error *err);
struct tl_exec *tl_run_by_number(struct tl_server *s, uint64_t number, struct tl_error *err);
/* An execution without a workflow, likewise by run id when there is one, else the newest. */
struct tl_exec *tl_run_find_execution(struct tl_server *s, struct tl_namespace *ns,
                                      enum tl_run_kind kind, struct tl_str id, struct tl_str run_id,
                                      struct tl_error *err);
/* A new run under the workflow id; it becomes the current one. */
struct tl_exec *tl_run_make(struct tl_server *s, struct tl_namespace *ns, struct tl_str workflow_id,
                            struct tl_str run_id, uint64_t number);
/* The same for a run of any kind. */
struct tl_exec *tl_run_make_execution(struct tl_server *s, struct tl_namespace *ns,
                                      enum tl_run_kind kind, struct tl_str id, struct tl_str run_id,
                                      uint64_t number);
/* The same around a state that exists; takes it over. */
struct tl_exec *tl_run_adopt(struct tl_server *s, struct tl_namespace *ns, struct tl_rs *rs);
/* Takes the run out of memory: tasks, timers and tables. Waiters are woken or, with `refuse`,
 * answered UNAVAILABLE. */
void tl_run_drop(struct tl_server *s, struct tl_exec *e, bool refuse);
/* Forgets closed runs beyond the limit. */
void tl_run_trim(struct tl_server *s);
/* Drops the events of open runs that nobody has touched for a while from memory. Returns when to look
 * again (mono). */
int64_t tl_run_cool(struct tl_server *s);
/* Removes runs whose retention is over or whose namespace is deleted, some at a time. Returns when to look
 * again (mono). */
int64_t tl_retention_due(struct tl_server *s);
/* For tl_history_env.new_run_id. */
void tl_run_new_id(void *server, char out[37], uint64_t *run_number);
/* Run number inside a run id of ours; 0 when it is none. */
uint64_t tl_run_id_number(struct tl_str run_id);

void tl_run_begin(struct tl_server *s, struct tl_exec *e, struct tl_tx *tx, struct tl_arena *arena);
/* Finishes when touched (record into the open commit, effects carried out, timer set) or aborts.
 * Errors: the run was dropped and read again; answer the error. */
tl_rc tl_run_end(struct tl_server *s, struct tl_exec *e, struct tl_tx *tx,
                 struct tl_error *err) TL_MUST_USE;
/* Carries out effects (also those of recovery). */
void tl_run_effects(struct tl_server *s, struct tl_exec *e, const struct tl_effects *fx,
                    struct tl_arena *arena);
/* Sets the run's timer from its state. */
void tl_run_arm(struct tl_server *s, struct tl_exec *e);
/* Removes a closed run, its row and its log, in the open commit. All it wrote must be durable. */
tl_rc tl_run_erase(struct tl_server *s, struct tl_exec *e, struct tl_error *err) TL_MUST_USE;
/* Forgets deletions that are durable. */
void tl_run_erased_settle(struct tl_server *s);

/* --- recover.c, checkpoint.c ----------------------------------------------------------------------- */

/* Fixes number ranges, then reads all open runs and the log after the last checkpoint. */
tl_rc tl_recover(struct tl_server *s, struct tl_error *err) TL_MUST_USE;
/* After a failed commit: drops what was touched since the last durable state and reads it again. */
void tl_recover_failed(struct tl_server *s);
/* Tries again to read what could not be read. */
void tl_recover_lost(struct tl_server *s);
/* Marks that the row of e does not reflect log row log_id. */
void tl_checkpoint_dirty(struct tl_server *s, struct tl_exec *e, int64_t log_id);
/* Puts rows of dirty runs into the open commit, at most `rows`. */
void tl_checkpoint_flush(struct tl_server *s, size_t rows);
/* Flushes when it is time; returns when to look again (mono). */
int64_t tl_checkpoint_due(struct tl_server *s);

/* --- reuse.c ----------------------------------------------------------------------------------------- */

/* What becomes of a start under a workflow id, by the policies after their defaults. */
enum tl_id_verdict {
    TL_ID_FREE,
    TL_ID_TERMINATE,    /* the running one first: tl_id_terminate */
    TL_ID_USE_EXISTING, /* the running one */
    TL_ID_SAME_REQUEST, /* it is what this request started */
    TL_ID_RUNNING,
    TL_ID_USED,
    TL_ID_USED_WELL, /* by a run that completed */
};
/* current: the newest run of the id, NULL when there is none. */
enum tl_id_verdict tl_id_judge(const struct tl_rs_info *current, struct tl_str request_id,
                               int reuse, int conflict);
/* Terminates the running e in favour of the new run. */
tl_rc tl_id_terminate(struct tl_server *s, struct tl_exec *e, const char *new_run_id,
                      struct tl_arena *arena, struct tl_error *err) TL_MUST_USE;

/* --- cross.c: from run to run ------------------------------------------------------------------------ */

/* Takes an effect that concerns another run; copies what it needs. */
void tl_cross_add(struct tl_server *s, struct tl_exec *e, const struct tl_effect *fx);
/* Carries out what was added, and what follows from it. Resets the engine's arena. */
void tl_cross_run(struct tl_server *s);
/* Forgets what was added: the commit it belongs to was given up. */
void tl_cross_clear(struct tl_server *s);

/* --- deliver.c: polls and tasks --------------------------------------------------------------------- */

void tl_dispatch_workflow_task(struct tl_server *s, struct tl_exec *e, const struct tl_effect *fx,
                               struct tl_arena *arena);
/* A worker leaves: what waits in its sticky queue, and what comes for it, goes to the normal queues. */
void tl_dispatch_leave(struct tl_server *s, const struct tl_match_key *sticky,
                       struct tl_arena *arena);
void tl_dispatch_activity(struct tl_server *s, struct tl_exec *e, const struct tl_effect *fx,
                          struct tl_arena *arena);
/* The options of a run have changed: its waiting tasks are offered where the routing sends them now, and its workflow
 * task on the terms that it has now. */
void tl_dispatch_changed(struct tl_server *s, struct tl_exec *e, struct tl_arena *arena);
/* The routing has changed: those of its waiting tasks that it sends elsewhere now are offered there. */
void tl_dispatch_routed(struct tl_server *s, struct tl_exec *e, struct tl_arena *arena);
/* Offers a task to matching; whoever was waiting for it takes it. */
void tl_dispatch_offer(struct tl_server *s, const struct tl_match_key *key, struct tl_match_task *t,
                       const struct tl_match_terms *terms, struct tl_arena *arena);
/* Terms of a run's workflow task, or of a query of it (since_ns 0). */
struct tl_match_terms tl_dispatch_run_terms(const struct tl_rs_info *info, int64_t since_ns,
                                            struct tl_arena *arena);
/* A parked or new poll takes a task; when the task turns out stale the poll looks for another. */
void tl_poll_take(struct tl_server *s, struct tl_parked *p, struct tl_match_task *t,
                  struct tl_arena *arena);
/* Parks the poll or gives it a task. */
void tl_poll_enter(struct tl_server *s, struct tl_parked *p, struct tl_arena *arena);
/* Answers a poll without a task. */
void tl_poll_answer_empty(struct tl_server *s, struct tl_parked *p);
/* The reply of a poll could not be handed over: its task goes back. */
void tl_delivery_undo(struct tl_server *s, const struct tl_delivery *d);
/* Drops what waits in matching for the run. */
void tl_dispatch_drop(struct tl_server *s, struct tl_exec *e);
void tl_activity_task_free(struct tl_server *s, struct tl_activity_task *t);

/* --- nexus.c: requests to handlers, completions ------------------------------------------------------- */

/* The operation has a request for its handler: offers it to whom its endpoint names. */
void tl_nexus_dispatch(struct tl_server *s, struct tl_exec *e, int64_t scheduled_id,
                       struct tl_arena *arena);
/* nexus_system.c: the request is the service's own to carry out. */
void tl_nexus_run_system(struct tl_server *s, struct tl_exec *e, const struct tl_nexus_ref *ref,
                         struct tl_arena *arena);
/* A poll takes the request. False when it is stale; the task is freed. */
bool tl_nexus_start_task(struct tl_server *s, struct tl_parked *p, struct tl_nexus_task *t,
                         struct tl_arena *arena);
void tl_nexus_task_free(struct tl_server *s, struct tl_nexus_task *t);
/* Drops what nobody waits for any more. */
void tl_nexus_settle(struct tl_server *s, struct tl_exec *e);
/* The reply of the poll could not be handed over. */
void tl_nexus_undo(struct tl_server *s, struct tl_exec *e, const struct tl_delivery *d);
/* A handler's answer counts for its endpoint: whether it lets others through. */
void tl_nexus_answered(struct tl_server *s, struct tl_exec *e, int64_t scheduled_id, bool good);
/* The run has ended with this event: tells who waits for it through this callback. */
void tl_nexus_callback(struct tl_server *s, struct tl_exec *e, struct tl_str callback,
                       struct tl_str event);
/* Whether this server can carry out a callback. Errors: TL_EINVAL. */
tl_rc tl_nexus_check_callbacks(TpCommon__Callback *const *callbacks, size_t n,
                               struct tl_error *err) TL_MUST_USE;

/* --- parked.c ----------------------------------------------------------------------------------------- */

struct tl_parked *tl_parked_new(struct tl_server *s, struct tl_call *c, enum tl_parked_kind kind);
/* Whether a deadline is that of a parked request. */
bool tl_parked_is(const struct tl_due *due);
/* Unlinks from everything; the request stays. */
void tl_parked_unlink(struct tl_server *s, struct tl_parked *p);
void tl_parked_free(struct tl_server *s, struct tl_parked *p); /* unlinks first */
/* Its caller went away. */
void tl_parked_cancelled(struct tl_server *s, struct tl_parked *p);
/* To be handled again in this round. */
void tl_parked_wake(struct tl_server *s, struct tl_parked *p);
/* Answers it with an error status. */
void tl_parked_refuse(struct tl_server *s, struct tl_parked *p, int status, const char *message);
/* Mono time when a long poll of this request ends: `longest_ns`, less when its caller allows less. */
int64_t tl_parked_deadline(struct tl_server *s, const struct tl_rpc_request *rpc,
                           int64_t longest_ns);
/* Wakes those who wait for a change of the run. */
void tl_waiters_changed(struct tl_server *s, struct tl_exec *e, bool closed);

/* --- query.c ------------------------------------------------------------------------------------------ */

/* Asks the run how a parked query is to be answered and does it. */
void tl_query_proceed(struct tl_server *s, struct tl_parked *p, struct tl_exec *e,
                      struct tl_arena *arena);
/* A worker's answer; NULL result fields are absent. Consumes the parked query. */
void tl_query_reply(struct tl_server *s, struct tl_parked *p, uint64_t seq, int result_type,
                    const TpCommon__Payloads *result, const char *error_message,
                    const TpFailure__Failure *failure, struct tl_arena *arena);
void tl_query_effect(struct tl_server *s, struct tl_exec *e, const struct tl_effect *fx,
                     struct tl_arena *arena);
/* The delivery of a query could not be handed over. */
void tl_query_undo(struct tl_server *s, const struct tl_delivery *d);
/* Gives the query to a worker's poll. */
void tl_query_deliver(struct tl_server *s, struct tl_parked *query, struct tl_parked *poll,
                      struct tl_arena *arena);

/* --- update.c ----------------------------------------------------------------------------------------- */

/* Answers a call about an update that is at wait_stage or beyond, or whose time is over; otherwise
 * parks it. */
void tl_update_answer(struct tl_call *c, struct tl_exec *e, struct tl_str id, int wait_stage);
void tl_update_effect(struct tl_server *s, struct tl_exec *e, const struct tl_effect *fx,
                      struct tl_arena *arena);

static inline struct tl_str tl_err_str(const struct tl_error *e)
{
    return tl_str(e->message);
}
