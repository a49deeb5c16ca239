/* Private to the folder: the layout of a run's mutable state and of a transaction, and the functions
 * that the files of the folder share.
 *
 * One rule keeps live and recovered state equal: state changes only in
 *   apply.c    from an event (live: as it is added; recovery: as it is read back), and
 *   delta.c    from a RunDelta,
 * or in an operation that marks what it touched in the transaction so that tl_tx_finish writes it
 * into the RunDelta. Fields marked "memory" are in neither and are not in checkpoints.
 * Ownership: strings and blobs are malloc'd and belong to the state. NULL is the empty string. */
#pragma once

#include <tl_enums.h>

#include "base/assert.h"
#include "base/heap.h"
#include "base/map.h"
#include "base/mem.h"
#include "proto/pb.h"
#include "server/history/activity.h"
#include "server/history/history.h"
#include "server/history/nexus.h"

struct tl_blob {
    char *p;
    size_t n;
};

/* The workflow task. scheduled_id == 0: none; attempt is then that of the next one. */
struct tl_wft {
    int64_t scheduled_id, started_id;
    int64_t scheduled_ns, original_ns, started_ns, timeout_ns, history_bytes;
    char *request_id, *identity, *build_id;
    int32_t attempt;
    uint32_t suggest_reasons; /* bit N: SuggestContinueAsNewReason N */
    bool sticky;              /* scheduled for the sticky queue */
    bool use_versioning;      /* of the worker version stamp that build_id belongs to */
    bool transient;           /* Scheduled and Started are not in the history */
    bool started_volatile;    /* memory: nothing on disk says that it is started */
    bool speculative;         /* memory: nothing on disk says that it is; its ids are predicted */
    bool unstuck;             /* memory: nobody polls the sticky queue, offered on the normal one */
    bool drops_sticky; /* memory: started on the normal queue; stickiness goes with Started */
};

enum tl_due_kind { TL_DUE_ACTIVITY, TL_DUE_TIMER, TL_DUE_NEXUS };

/* Base of what waits in a run's heap. */
struct tl_due {
    struct tl_heap_node node;
    enum tl_due_kind kind;
};

struct tl_act {
    struct tl_due due;
    int64_t scheduled_id, scheduled_ns;
    int64_t started_ns, heartbeat_ns, attempt_ns, last_completed_ns, cancel_event_id;
    int64_t schedule_to_close_ns, schedule_to_start_ns, start_to_close_ns, heartbeat_timeout_ns;
    int64_t retry_initial_ns, retry_max_ns;
    double retry_coefficient;
    int32_t retry_attempts_max, attempt;
    int64_t start_delay_ns, original_delay_ns, heartbeat_count, retry_interval_ns, last_started_ns;
    uint64_t stamp;
    char *activity_id, *task_queue, *identity, *request_id, *last_identity;
    char *pause_identity, *pause_reason, *pause_request_id;
    char *control_queue;    /* of the worker that took it last; NULL: it takes no commands */
    int32_t worker_attempt; /* with it: the attempt in that worker's token */
    int64_t pause_ns;
    struct tl_blob attributes; /* encoded ActivityTaskScheduledEventAttributes, as they are now */
    struct tl_blob original; /* as the event has them, when its options were changed; else empty */
    struct tl_blob last_failure; /* encoded Failure */
    struct tl_blob heartbeat;    /* encoded Payloads */
    bool started, cancel_requested, has_priority, with_run;
    bool paused; /* the next attempt is not dispatched */
    bool reset,
        reset_heartbeat; /* while started: attempts were set back, its token names another */
    bool offered;        /* memory: this attempt was given to matching */
};

struct tl_timer {
    struct tl_due due;
    int64_t started_id, fire_ns;
    char id[];
};

/* While the run is paused. */
struct tl_pause {
    bool on;
    int64_t at_ns;
    char *identity, *reason, *request_id;
};

/* A child workflow that has not ended. */
struct tl_child {
    int64_t initiated_id, started_id; /* started_id: 0 while that event is in the buffer */
    bool started;
    int close_policy;
    char *namespace_, *namespace_id, *workflow_id, *workflow_type, *run_id;
    struct tl_blob event; /* encoded Initiated event, until it has started */
};

/* A signal to another run, or its cancellation, that is not answered. */
struct tl_external {
    int64_t initiated_id;
    bool is_signal;
    struct tl_blob event; /* encoded Initiated event */
};

/* The attempts of one request to the handler of a Nexus operation. */
struct tl_nexus_try {
    int32_t attempts; /* that are over */
    int64_t next_ns;  /* when the next may begin; 0: there is none to be made */
    int64_t last_ns;
    struct tl_blob failure; /* encoded Failure of the last one */
    bool offered;           /* memory: the next one was given to the engine */
    int64_t blocked_ns;     /* memory: the endpoint's circuit is open until then; 0: it is not */
    int64_t expires_ns;     /* memory: a worker has it until then; 0: none has */
};

/* A Nexus operation that has not ended. */
struct tl_nexus_op {
    struct tl_due due;
    int64_t scheduled_id, scheduled_ns, started_ns;
    int64_t schedule_to_close_ns, schedule_to_start_ns, start_to_close_ns;
    char *endpoint, *endpoint_id, *service, *operation, *request_id, *token;
    struct tl_blob event; /* encoded Scheduled event */
    bool started;
    struct tl_nexus_try start, cancel;
    int64_t cancel_requested_id, cancel_requested_ns;
    int cancel_state; /* NEXUS_OPERATION_CANCELLATION_STATE_* */
};

/* Somebody to be told when the run has ended. */
struct tl_callback {
    struct tl_blob callback; /* encoded Callback */
    char *request_id;        /* of the start that attached it; NULL: the run's own */
    int64_t registered_ns;
};

/* The run that started this one; workflow_id NULL: none. */
struct tl_parent {
    char *namespace_, *namespace_id, *workflow_id, *run_id, *root_workflow_id, *root_run_id;
    int64_t initiated_id;
};

/* How far the run's clock is ahead, and what is to become of it; time_skipping.c. */
struct tl_skipping {
    bool known;      /* it was configured, or inherited skipped time */
    bool configured; /* there is a configuration: these are its fields */
    bool enabled, no_propagation;
    int32_t skips_max;
    bool ff; /* it has a fast forward */
    char *ff_id;
    int64_t ff_ns;
    int64_t ff_target_ns; /* of the run's clock */
    bool ff_reached;
    int32_t skips;      /* of this session */
    int64_t skipped_ns; /* the run's clock less the server's */
};

/* An event that arrived while a workflow task was started: encoded, without id. */
struct tl_buffered {
    char *bytes;
    size_t n;
    int type;
    bool fresh; /* memory: buffered by the current transaction */
};

enum tl_update_state {
    TL_UPDATE_ADMITTED,
    TL_UPDATE_SENT, /* with the workflow task that is, or was, started */
    TL_UPDATE_ACCEPTED,
    TL_UPDATE_COMPLETED,
};

struct tl_update {
    struct tl_list link; /* in tl_rs.update_queue until it is completed */
    char *id;
    enum tl_update_state state;
    int64_t admitted_id, accepted_id, completed_id; /* of the events; admitted by a reset only */
    struct tl_blob
        request; /* memory: encoded Request, until accepted; not when it is in the history */
};

struct tl_batch_ref {
    int64_t log_id, first_event_id;
    uint32_t event_count, bytes_n;
    char *cached; /* memory: encoded History, or NULL */
};

struct tl_query_node {
    uint64_t id;
    struct tl_blob query;
};

struct tl_rs {
    uint64_t run_number, namespace_number;
    enum tl_run_kind kind;
    struct tl_blob execution; /* encoded ActivityExecutionState, OperationExecutionState */
    struct tl_blob
        outcome; /* encoded ActivityExecutionOutcome, PollNexusOperationExecutionResponse */
    char *namespace_name, *namespace_id, *workflow_id, *run_id;
    /* from WorkflowExecutionStarted */
    char *workflow_type, *task_queue, *first_run_id, *original_run_id, *continued_run_id;
    char *cron_schedule;
    struct tl_blob memo, search_attributes, start_event, retry_policy, user_metadata, priority;
    int64_t execution_timeout_ns, run_timeout_ns, task_timeout_ns;
    int64_t execution_expiration_ns, run_expiration_ns, first_backoff_ns, start_ns;
    int32_t attempt;
    int initiator;
    /* whole run */
    char *start_request_id, *cancel_request_id, *new_run_id;
    int status;
    int64_t close_ns, close_event_id;
    bool cancel_requested, had_wft;
    int64_t next_event_id, history_bytes, last_log_id, record_count, visibility_changes;
    int64_t signal_count, previous_started_id, last_completed_id;
    char *sticky_queue;
    int64_t sticky_timeout_ns;
    char *deployment_name, *build_id;
    char *set_build; /* see tl_rs_versioning */
    int versioning_behavior;
    char *ran_on;  /* "deployment:build" it ran on or inherited; versioning.c */
    char *left_by; /* memory: see tl_rs_versioning */
    struct tl_blob versioning_override; /* encoded VersioningOverride */
    int override_behavior;              /* memory: of the override */
    bool pause_untold;                  /* memory: a paused activity has gone */
    bool override_once;                 /* memory: it ends with the first task on its version */
    char *override_version;             /* memory: of the override, when it pins */
    bool moving;                        /* memory: in transition to another version */
    char *moves_to;                     /* memory: that version; NULL: unversioned */
    struct tl_wft wft;
    /* pending things; a map is made when first needed */
    struct tl_map *acts, *act_ids, *timers, *signal_ids;
    struct tl_map *children, *externals; /* by initiated id */
    size_t pending_signals, pending_cancels;
    struct tl_map *nexus_ops; /* by scheduled id */
    struct tl_callback *callbacks;
    size_t callback_n, callback_cap;
    struct tl_map *attached_ids; /* request ids of starts that were attached to this run */
    struct tl_parent parent;
    struct tl_pause pause;
    struct tl_skipping skipping;
    struct tl_heap heap;
    struct tl_buffered *buffer;
    size_t buffer_n, buffer_cap, buffer_bytes;
    struct tl_batch_ref *batches;
    size_t batch_n, batch_cap;
    size_t cached_bytes;           /* memory */
    struct tl_query_node *queries; /* memory */
    size_t query_n, query_cap;
    struct tl_map *updates;      /* id -> struct tl_update */
    struct tl_list update_queue; /* those that are not completed, in order of admission */
    size_t updates_open;         /* in the queue */
    uint64_t version;            /* memory */
    bool close_attempted;        /* memory: the last task tried to close and had unhandled events */
};

struct tl_tx_private {
    struct tl_buf events; /* encoded History of this record */
    int64_t first_event_id;
    int32_t event_count;
    bool execution_dirty, outcome_dirty;
    bool wft_dirty, sticky_dirty, start_request_dirty, cancel_request_dirty, buffer_flushed;
    int64_t reset_ns; /* the run begins here with the events of another; 0: it does not */
    bool visibility_dirty, closed;
    bool offer_wft; /* a task was scheduled here: offer it unless it is started here too */
    bool copied;    /* events of another run, by a reset, that is not done yet */
    bool broken;    /* memory ran out in the middle: the run must be reloaded */
    struct tl_str close_event; /* encoded: what a parent is to hear */
    struct tl_effect *orphans; /* CLOSE_CHILD for the children that the run leaves behind */
    size_t orphan_n;
    struct tl_effect *told; /* CALLBACK for those who want to know how the run ended */
    size_t told_n;
    int64_t *dirty_acts, *offer_acts, *applied_ids, *dirty_nexus;
    size_t dirty_n, dirty_cap, offer_n, offer_cap, applied_n, applied_cap;
    size_t dirty_nexus_n, dirty_nexus_cap;
    struct tl_error error; /* the cause of `broken` */
};

/* An event on the stack. */
struct tl_ev {
    TpHistory__HistoryEvent e;
    Google__Protobuf__Timestamp time;
};

#define TL_EV_SET(ev, NAME, field, attrs)                                                          \
    ((ev)->e.event_type = (TpEnums__EventType)EVENT_TYPE_##NAME,                                   \
     (ev)->e.attributes_case = TP_HISTORY__HISTORY_EVENT__ATTRIBUTES_##NAME##_EVENT_ATTRIBUTES,    \
     (ev)->e.field##_event_attributes = (attrs))

#define TL_IDENTITY_SERVICE "history-service"

/* --- values (state.c) ------------------------------------------------------------------------ */

void tl_set_str(char **slot, const char *s); /* frees the old one; "" and NULL become NULL */
void tl_set_blob(struct tl_blob *b, struct tl_str s);
/* Encodes msg (NULL: empty) into the blob. False when it cannot be encoded. */
bool tl_set_blob_message(struct tl_blob *b, const void *msg);
static inline struct tl_str tl_blob_str(const struct tl_blob *b)
{
    return (struct tl_str){b->p, b->n};
}
static inline const char *tl_or_empty(const char *s)
{
    return s ? s : "";
}
static inline bool tl_has_text(const char *s)
{
    return s && *s;
}
/* a + b, at most TL_NS_NEVER - 1: deadlines of enormous timeouts. */
static inline int64_t tl_ns_add(int64_t a, int64_t b)
{
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) || sum == TL_NS_NEVER ? TL_NS_NEVER - 1 : sum;
}
Google__Protobuf__Duration tl_duration_value(int64_t ns);
Google__Protobuf__Timestamp tl_timestamp_value(int64_t ns);
/* Size of a message, 0 for NULL. */
int64_t tl_message_bytes(const void *msg);
/* Decodes a blob into the arena; NULL when empty or when memory ran out. */
void *tl_blob_decode(const struct tl_blob *b, const ProtobufCMessageDescriptor *desc,
                     struct tl_arena *arena);
/* The same for an encoded event. */
TpHistory__HistoryEvent *tl_blob_event(const struct tl_blob *b, struct tl_arena *arena);

/* --- state (state.c) ------------------------------------------------------------------------- */

struct tl_act *tl_rs_act(const struct tl_rs *rs, int64_t scheduled_id);
struct tl_act *tl_rs_act_by_id(const struct tl_rs *rs, struct tl_str activity_id);
struct tl_timer *tl_rs_timer(const struct tl_rs *rs, struct tl_str timer_id);
/* Makes an activity from its Scheduled attributes. False when they cannot be encoded. */
struct tl_act *tl_rs_act_add(struct tl_rs *rs, int64_t scheduled_id, int64_t scheduled_ns,
                             const TpHistory__ActivityTaskScheduledEventAttributes *attrs,
                             struct tl_str encoded);
/* Queue, timeouts, retries and priority from the attributes. */
void tl_act_set_options(struct tl_act *act,
                        const TpHistory__ActivityTaskScheduledEventAttributes *attrs);
void tl_rs_act_remove(struct tl_rs *rs, int64_t scheduled_id);
void tl_rs_act_arm(struct tl_rs *rs, struct tl_act *act); /* puts it where its next deadline is */
void tl_rs_timer_add(struct tl_rs *rs, const char *timer_id, int64_t started_id, int64_t fire_ns);
void tl_rs_timer_remove(struct tl_rs *rs, const char *timer_id);
void tl_rs_clear_pending(struct tl_rs *rs);       /* activities and timers of a closed run */
struct tl_map *tl_rs_need_map(struct tl_map **m); /* made when it is not there */
void tl_rs_drop_map(struct tl_map **m);           /* its values are gone already */
void tl_rs_clear_sticky(struct tl_rs *rs);
void tl_rs_set_sticky(struct tl_rs *rs, const char *task_queue, int64_t timeout_ns);
void tl_wft_clear(struct tl_wft *wft, int32_t next_attempt);
bool tl_rs_signal_seen(const struct tl_rs *rs, const char *request_id);
void tl_rs_signal_note(struct tl_rs *rs, const char *request_id);
void tl_rs_buffer_push(struct tl_rs *rs, struct tl_str bytes, int type, bool fresh);
void tl_rs_buffer_clear(struct tl_rs *rs);
void tl_rs_batch_push(struct tl_rs *rs, int64_t log_id, int64_t first_event_id, uint32_t count,
                      char *cached, size_t bytes_n);
/* A message's cost in next deadline terms: first task, workflow task, run timeout. */
int64_t tl_rs_run_deadline_ns(const struct tl_rs *rs);
static inline bool tl_rs_open(const struct tl_rs *rs)
{
    return rs->status == WORKFLOW_EXECUTION_STATUS_RUNNING;
}
/* Waits for the back-off of its first workflow task. */
static inline bool tl_rs_in_backoff(const struct tl_rs *rs)
{
    return rs->first_backoff_ns > 0 && !rs->had_wft;
}
/* Stickiness as the next workflow task will see it. */
static inline bool tl_rs_is_sticky(const struct tl_rs *rs)
{
    return rs->sticky_queue && !rs->wft.drops_sticky;
}

/* --- children.c ------------------------------------------------------------------------------ */

/* Checkpoints: adds what was saved. Errors: TL_EDECODE. */
tl_rc tl_rs_child_load(struct tl_rs *rs, const TlV1__ChildState *state, struct tl_error *err);
void tl_rs_children_free(struct tl_rs *rs);
void tl_parent_free(struct tl_parent *parent);
size_t tl_rs_children_bytes(const struct tl_rs *rs);
/* The effects of what is started but not answered. Returns how many there should be. */
size_t tl_rs_children_regenerate(const struct tl_rs *rs, struct tl_effects *out);
/* The run is about to close with this encoded event: keeps what children and parent must hear. */
void tl_children_closing(struct tl_tx *tx, struct tl_str event);
/* Adds the effects of tl_children_closing. */
void tl_children_close_effects(struct tl_tx *tx);
/* An event whose effect was applied while it was buffered has its id now. */
void tl_rs_event_placed(struct tl_rs *rs, const TpHistory__HistoryEvent *e);
/* The run's parent for the next run of its chain; NULL when it has none, or when the arena is full. */
const struct tl_start_parent *tl_rs_start_parent(const struct tl_rs *rs, struct tl_arena *arena);
/* Id of a namespace; the run's own for an empty name; empty when there is none. */
struct tl_str tl_namespace_id(const struct tl_tx *tx, const char *name);
typedef tl_rc tl_apply_fn(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                          struct tl_arena *scratch, struct tl_error *err);
tl_apply_fn tl_apply_child_initiated, tl_apply_child_started, tl_apply_child_over;

/* --- others.c -------------------------------------------------------------------------------- */

/* Checkpoints: adds what was saved. Errors: TL_EDECODE. */
tl_rc tl_rs_external_load(struct tl_rs *rs, struct tl_str event, struct tl_arena *scratch,
                          struct tl_error *err);
void tl_rs_others_free(struct tl_rs *rs);
size_t tl_rs_others_bytes(const struct tl_rs *rs);
/* The effects of what is not answered. Returns how many there should be. */
size_t tl_rs_others_regenerate(const struct tl_rs *rs, struct tl_effects *out);
tl_apply_fn tl_apply_external_initiated, tl_apply_external_over;

/* --- pause.c --------------------------------------------------------------------------------- */

void tl_pause_set(struct tl_pause *pause, int64_t at_ns, const char *identity, const char *reason,
                  const char *request_id);
void tl_pause_free(struct tl_pause *pause);
/* Sets the search attribute by which lists find what is paused, the run and types of its activities, or
 * takes it away. False: no memory. */
bool tl_pause_tell(struct tl_rs *rs, struct tl_arena *scratch);
tl_apply_fn tl_apply_paused, tl_apply_unpaused;
/* Paused while it is open: what clients are told instead of "running". */
static inline bool tl_rs_paused(const struct tl_rs *rs)
{
    return rs->pause.on && tl_rs_open(rs);
}

/* --- nexus.c, callbacks.c ---------------------------------------------------------------------- */

struct tl_nexus_op *tl_rs_nexus(const struct tl_rs *rs, int64_t scheduled_id);
/* The operation that an event of its end names; 0: it is no such event. */
int64_t tl_nexus_ended_id(const TpHistory__HistoryEvent *e);
void tl_rs_nexus_free(struct tl_rs *rs); /* all of them */
size_t tl_rs_nexus_bytes(const struct tl_rs *rs);
/* Puts it where its next deadline is. */
void tl_rs_nexus_arm(struct tl_rs *rs, struct tl_nexus_op *op);
/* The request that is to be made, or was; NULL: none, nothing is asked of the handler now. */
struct tl_nexus_try *tl_nexus_current(struct tl_nexus_op *op, bool *is_cancel);
/* Something of the operation is due. */
void tl_nexus_fire(struct tl_tx *tx, struct tl_nexus_op *op);
void tl_tx_touch_nexus(struct tl_tx *tx, const struct tl_nexus_op *op);
/* The attempt under way failed: another one after a while. */
void tl_nexus_back_off(struct tl_tx *tx, struct tl_nexus_op *op, struct tl_nexus_try *t,
                       const TpFailure__Failure *failure);
/* What the events that end an operation say: the cause under a failure that names the operation. */
TpFailure__Failure *tl_nexus_op_failure(struct tl_tx *tx, const struct tl_nexus_op *op,
                                        TpFailure__Failure *cause);
void tl_delta_from_nexus(const struct tl_nexus_op *op, struct tl_arena *arena,
                         TlV1__NexusOperationState *out);
/* Errors: TL_EDATALOSS (unknown operation). */
tl_rc tl_rs_nexus_apply(struct tl_rs *rs, const TlV1__NexusOperationState *in,
                        struct tl_error *err) TL_MUST_USE;
/* Checkpoints. */
bool tl_rs_nexus_save(const struct tl_rs *rs, struct tl_arena *arena, TlV1__RunState *out);
tl_rc tl_rs_nexus_load(struct tl_rs *rs, const TlV1__RunState *s, struct tl_arena *scratch,
                       struct tl_error *err) TL_MUST_USE;
/* pending_nexus_operations. Errors: TL_ELIMIT. */
TpWorkflow__PendingNexusOperationInfo *tl_nexus_pending(const struct tl_nexus_op *op,
                                                        int64_t now_ns, struct tl_arena *arena);
tl_rc tl_rs_nexus_describe(const struct tl_rs *rs, int64_t now_ns, struct tl_arena *arena,
                           TpWs__DescribeWorkflowExecutionResponse *out,
                           struct tl_error *err) TL_MUST_USE;
tl_apply_fn tl_apply_nexus_scheduled, tl_apply_nexus_started, tl_apply_nexus_over,
    tl_apply_nexus_cancel_requested, tl_apply_nexus_cancel_over;
/* Keeps the callbacks that an event names. */
tl_rc tl_rs_callbacks_keep(struct tl_rs *rs, TpCommon__Callback *const *callbacks, size_t n,
                           const char *request_id, int64_t now_ns,
                           struct tl_error *err) TL_MUST_USE;
void tl_rs_callbacks_free(struct tl_rs *rs);
bool tl_rs_callbacks_save(const struct tl_rs *rs, struct tl_arena *arena, TlV1__RunState *out);
tl_rc tl_rs_callbacks_load(struct tl_rs *rs, const TlV1__RunState *s,
                           struct tl_error *err) TL_MUST_USE;
/* All of them, for the next run of the chain. False when the arena is full. */
bool tl_rs_callbacks_hand_on(const struct tl_rs *rs, struct tl_arena *arena,
                             TpWs__StartWorkflowExecutionRequest *req);
tl_rc tl_rs_callbacks_describe(const struct tl_rs *rs, struct tl_arena *arena,
                               TpWs__DescribeWorkflowExecutionResponse *out,
                               struct tl_error *err) TL_MUST_USE;
/* The run is about to close with this encoded event. */
void tl_callbacks_closing(struct tl_tx *tx, struct tl_str event);
void tl_callbacks_close_effects(struct tl_tx *tx);

/* --- time_skipping.c ------------------------------------------------------------------------- */

/* Server time on the run's clock. */
static inline int64_t tl_rs_time_ns(const struct tl_rs *rs, int64_t server_ns)
{
    return tl_ns_add(server_ns, rs->skipping.skipped_ns);
}
/* What the start of a run, and a change of its options (NULL: skipping ends), say. */
void tl_skipping_started(struct tl_rs *rs, int64_t now_ns, const TpCommon__TimeSkippingConfig *c,
                         const TpCommon__TimeSkippingStatePropagation *from);
void tl_skipping_changed(struct tl_rs *rs, int64_t now_ns, const TpCommon__TimeSkippingConfig *c);
tl_apply_fn tl_apply_time_skipped;
void tl_skipping_free(struct tl_skipping *k);
/* Checkpoints. NULL when the arena is full. */
TlV1__TimeSkippingState *tl_skipping_save(const struct tl_skipping *k, struct tl_arena *arena);
void tl_skipping_load(struct tl_skipping *k, const TlV1__TimeSkippingState *s);
/* The transaction ends: jumps when nothing of the run is under way. */
void tl_skipping_settle(struct tl_tx *tx);
/* A fast forward ends by the time that really passes. */
int64_t tl_skipping_deadline_ns(const struct tl_rs *rs);
bool tl_skipping_fire(struct tl_tx *tx); /* false: none was due */
/* The configuration as it is now, NULL when there is none; *full: the arena was. */
TpCommon__TimeSkippingConfig *tl_skipping_config(const struct tl_rs *rs, bool fast_forward,
                                                 struct tl_arena *arena, bool *full);
/* What the next run of the chain begins with; what a child does. False when the arena is full. */
bool tl_skipping_hand_on(const struct tl_rs *rs, struct tl_arena *arena,
                         TpCommon__TimeSkippingConfig **config,
                         TpCommon__TimeSkippingStatePropagation **state);
bool tl_skipping_hand_to_child(const struct tl_rs *rs, struct tl_arena *arena,
                               TpCommon__TimeSkippingConfig **config,
                               TpCommon__TimeSkippingStatePropagation **state);
/* now_ns is of the run's clock. NULL when it never skipped; *full: the arena was. */
TpCommon__TimeSkippingInfo *tl_skipping_describe(const struct tl_rs *rs, int64_t now_ns,
                                                 struct tl_arena *arena, bool *full);

/* --- reset.c --------------------------------------------------------------------------------- */

void tl_rs_note_reset(struct tl_rs *rs, int64_t reset_ns); /* start and timeouts begin anew */

/* --- apply.c, delta.c ------------------------------------------------------------------------ */

/* The effect of an event on the state. effect: false when it was applied while it was buffered.
 * Errors: TL_EDECODE (an event that contradicts the state). */
tl_rc tl_rs_apply_event(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                        struct tl_arena *scratch, struct tl_error *err) TL_MUST_USE;
void tl_delta_from_wft(const struct tl_wft *wft, bool durable_only, TlV1__WorkflowTaskState *out);
void tl_delta_to_wft(struct tl_wft *wft, const TlV1__WorkflowTaskState *in);
void tl_delta_from_act(const struct tl_act *act, TlV1__ActivityState *out);
/* False when the options it says cannot be read. */
bool tl_delta_to_act(struct tl_act *act, const TlV1__ActivityState *in, struct tl_arena *scratch);
tl_rc tl_rs_apply_delta(struct tl_rs *rs, const TlV1__RunDelta *delta, struct tl_arena *scratch,
                        struct tl_error *err) TL_MUST_USE;
/* The delta of a transaction; *empty when there is nothing in it. False when memory ran out. */
bool tl_delta_build(struct tl_tx *tx, TlV1__RunDelta *out, bool *empty);

/* --- tx.c ------------------------------------------------------------------------------------ */

void tl_ev_init(struct tl_ev *ev, int64_t time_ns);
/* Buffers the event though no workflow task is started: it goes behind what else this transaction
 * adds. */
void tl_tx_buffer(struct tl_tx *tx, struct tl_ev *ev);
/* Adds the event: buffers it or gives it an id, encodes it, applies it. Returns its id, 0 when
 * buffered. Trouble is kept in p->broken. */
int64_t tl_tx_add(struct tl_tx *tx, struct tl_ev *ev);
/* When the state hears of an event that gets its place in the history. */
enum tl_place {
    TL_PLACE_APPLY,  /* now */
    TL_PLACE_HERE,   /* it did, earlier in this transaction; on recovery: from this place */
    TL_PLACE_BEFORE, /* it did, in an earlier record */
};
int64_t tl_tx_append(struct tl_tx *tx, TpHistory__HistoryEvent *e, enum tl_place place);
void tl_tx_break(struct tl_tx *tx, const char *what);
/* TL_OK, or the error of a broken transaction. */
tl_rc tl_tx_result(struct tl_tx *tx, struct tl_error *err);
void tl_tx_touch_act(struct tl_tx *tx, const struct tl_act *act);
void tl_tx_offer_act(struct tl_tx *tx, const struct tl_act *act);
struct tl_effect *tl_effects_add(struct tl_effects *fx, enum tl_effect_kind kind); /* NULL: full */
tl_rc tl_tx_fail(struct tl_tx *tx, enum tl_error_kind kind, struct tl_error *err, tl_rc rc,
                 const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* Fills a DISPATCH effect. */
void tl_effects_act(struct tl_effects *fx, const struct tl_rs *rs, struct tl_act *act);
/* An event of something that the run waited for was added: its worker hears of it.
 * Errors: those of tl_tx_result. */
tl_rc tl_tx_tell_worker(struct tl_tx *tx, struct tl_error *err) TL_MUST_USE;
/* NOT_FOUND for a closed run. */
tl_rc tl_tx_need_open(struct tl_tx *tx, struct tl_error *err) TL_MUST_USE;

/* --- buffer.c -------------------------------------------------------------------------------- */

bool tl_event_is_buffered_type(int type);
void tl_buffer_flush(struct tl_tx *tx);
/* Finds a buffered TimerFired; *started_id is the timer's. Index or -1. */
int tl_buffer_find_timer(struct tl_tx *tx, const char *timer_id, int64_t *started_id);
void tl_buffer_drop(struct tl_rs *rs, size_t index);
/* A close event of the activity waits in the buffer. */
bool tl_buffer_has_activity_close(struct tl_tx *tx, int64_t scheduled_id);
/* A close event of the Nexus operation waits in the buffer. */
bool tl_buffer_has_nexus_close(struct tl_tx *tx, int64_t scheduled_id);
/* Too much buffered: fails the started task (FORCE_CLOSE_COMMAND) and schedules the next. */
void tl_buffer_enforce_limit(struct tl_tx *tx);

/* --- wft.c ----------------------------------------------------------------------------------- */

/* Schedules a task unless one is pending; original_ns 0: now. */
void tl_wft_schedule(struct tl_tx *tx, int64_t original_ns);
/* The started task ends: makes Started an event (unless the attempt is transient). */
void tl_wft_materialise(struct tl_tx *tx);
/* Fails the started task: event on attempt 1, next attempt, stickiness. */
void tl_wft_fail_started(struct tl_tx *tx, int cause, const TpFailure__Failure *failure,
                         const char *identity, const char *binary_checksum);
void tl_wft_time_out(struct tl_tx *tx, int timeout_type);
/* A transient attempt succeeds: its Scheduled and Started go into the history after all. */
void tl_wft_write_transient(struct tl_tx *tx, const char *identity);
bool tl_wft_matches(const struct tl_rs *rs, const struct tl_task_ref *ref);

/* Schedules a speculative task unless a task is pending or the run is in its first back-off. */
void tl_wft_schedule_speculative(struct tl_tx *tx);
/* A speculative task becomes a normal one: its events go into the history. */
void tl_wft_convert(struct tl_tx *tx);
/* The started speculative task ends without a trace. */
void tl_wft_drop_speculative(struct tl_tx *tx);

/* --- update.c: the registry ------------------------------------------------------------------- */

void tl_rs_update_admitted(struct tl_rs *rs, const char *id, int64_t event_id);
void tl_rs_update_accepted(struct tl_rs *rs, const char *id, int64_t event_id);
void tl_rs_update_completed(struct tl_rs *rs, const char *id, int64_t accepted_id,
                            int64_t event_id);
void tl_rs_updates_free(struct tl_rs *rs);
size_t tl_rs_updates_total(const struct tl_rs *rs);
/* Some update was not sent to a worker yet. */
bool tl_rs_updates_waiting(const struct tl_rs *rs);
/* The request of an update that is not accepted, in the arena; NULL when there is none. */
TpUpdate__Request *tl_update_request(const struct tl_rs *rs, const char *id,
                                     struct tl_arena *arena);
/* Its request is in the history, by a reset. */
bool tl_update_in_history(const struct tl_rs *rs, const char *id);
/* A rejection has no event: what was admitted before a completed task, and not accepted, was rejected. */
void tl_rs_updates_forget_rejected(struct tl_rs *rs);
int64_t tl_update_accepted_id(const struct tl_rs *rs, const char *id);
/* Puts the updates that the started task carries into `out`. Errors: TL_ELIMIT. */
tl_rc tl_updates_send(struct tl_tx *tx, struct tl_wft_started *out,
                      struct tl_error *err) TL_MUST_USE;
void tl_update_tell_changed(struct tl_tx *tx, const char *id);
/* Tells those who wait and forgets it; `failure` must live as long as the transaction's arena. */
void tl_update_reject(struct tl_tx *tx, const char *id, const TpFailure__Failure *failure);
/* Rejects what was sent and not answered. */
void tl_updates_reject_unprocessed(struct tl_tx *tx);
/* The server refused the completion: what went with the task is lost. */
void tl_updates_task_refused(struct tl_tx *tx);
/* The run has closed: no update will go on here. */
void tl_updates_closed(struct tl_tx *tx);
/* --- versioning.c ---------------------------------------------------------------------------- */

/* What an override means. `version` is in the arena. Errors: TL_EINVAL. */
/* Whether it ends with the first task that the version completes. */
bool tl_override_is_once(const TpWorkflow__VersioningOverride *o);
tl_rc tl_override_read(const TpWorkflow__VersioningOverride *o, struct tl_arena *arena,
                       int *behavior, struct tl_str *version, struct tl_error *err) TL_MUST_USE;
/* Keeps an override, NULL: none. False when memory ran out. */
bool tl_rs_set_override(struct tl_rs *rs, const TpWorkflow__VersioningOverride *o,
                        struct tl_arena *scratch);
/* The same by an event; search attributes follow. */
bool tl_rs_change_override(struct tl_rs *rs, const TpWorkflow__VersioningOverride *o,
                           struct tl_arena *scratch);
/* The run has been on this version; search attributes follow. False when memory ran out. */
/* The run is one of the set of builds that the stamp is of, or of none; had_task: a worker of the build did one. */
bool tl_rs_ran_on_build(struct tl_rs *rs, const TpCommon__WorkerVersionStamp *stamp, bool had_task,
                        struct tl_arena *scratch);
bool tl_rs_ran_on(struct tl_rs *rs, int behavior, struct tl_str version, struct tl_arena *scratch);
/* options.c */
tl_apply_fn tl_apply_options_updated;
/* A worker of this version starts the workflow task: begins or ends a transition. */
void tl_versioning_started(struct tl_tx *tx, struct tl_str version);
/* One completed it. True while the run is still on its way to another version. */
bool tl_versioning_completed(struct tl_tx *tx, struct tl_str version);
/* A pinned run hands its version on to the run after it, unless that is to start anew. */
void tl_versioning_inherit(struct tl_tx *tx, struct tl_start *start,
                           TpWs__StartWorkflowExecutionRequest *req, int initial_behavior);

/* --- start ----------------------------------------------------------------------------------- */

int64_t tl_run_timeout_ns(int64_t run_ns, int64_t execution_ns);
int64_t tl_task_timeout_ns(int64_t task_ns, int64_t run_ns);
/* Longest duration that is kept; longer ones are cut. */
#define TL_DURATION_MAX_NS (INT64_C(250) * 365 * 86400 * TL_NS_IN_S)
#define TL_NS_IN_S INT64_C(1000000000)
#define TL_NS_IN_MS INT64_C(1000000)
/* 0 for NULL; negative or of mixed signs: *ok = false. */
int64_t tl_duration_checked_ns(const Google__Protobuf__Duration *d, const char **problem);

/* --- memo.c ---------------------------------------------------------------------------------- */

/* current + upserted; a null value deletes. Returned in the arena, NULL when it is full. */
TpCommon__Memo *tl_memo_merge(const TpCommon__Memo *current, const TpCommon__Memo *upserted,
                              struct tl_arena *arena);
TpCommon__SearchAttributes *tl_search_attributes_merge(const TpCommon__SearchAttributes *current,
                                                       const TpCommon__SearchAttributes *upserted,
                                                       struct tl_arena *arena);

/* --- activity.c, timeouts.c, query.c --------------------------------------------------------- */

/* Starts a scheduled activity (no checks) and fills the answer for its worker. */
tl_rc tl_activity_start_now(struct tl_tx *tx, struct tl_act *act, const char *identity,
                            const char *request_id, const char *control_queue,
                            struct tl_activity_started *out, struct tl_error *err) TL_MUST_USE;
/* Its worker is to cancel it, when there is one and that takes commands. */
void tl_activity_tell_worker(struct tl_tx *tx, const struct tl_act *act);
/* The run ends: the workers of all its activities are. */
void tl_activities_tell_workers(struct tl_tx *tx);
/* Writes the Started event that goes beside a close event; its id, 0 when buffered or not started. */
int64_t tl_activity_write_started(struct tl_tx *tx, struct tl_act *act);
/* Earliest timeout of an activity that is not waiting to be offered. */
int64_t tl_activity_timeout_ns(const struct tl_act *act, int *timeout_type);
/* When something must be done for it: offer it, or time it out. */
int64_t tl_activity_deadline_ns(const struct tl_act *act);
void tl_query_finish(struct tl_tx *tx);
void tl_query_answer(struct tl_tx *tx, const TpWs__RespondWorkflowTaskCompletedRequest *req);
void tl_rs_queries_free(struct tl_rs *rs);
