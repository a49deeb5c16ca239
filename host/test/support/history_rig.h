/* A run of host/server/history under test: a clock that the test moves, the log as a list of rows, and
 * short words for what clients and workers do. Each call is one transaction. After every transaction
 * the run rebuilt from the rows is compared with the live one.
 * Owns: everything it hands out, until history_rig_close. Thread: the test's. */
#pragma once

#include "server/history/activity.h"
#include "server/history/history.h"

#define RIG_START_NS INT64_C(1700000000000000000)
#define RIG_S INT64_C(1000000000)
#define RIG_MS INT64_C(1000000)

struct rig_row {
    int64_t log_id;
    struct tl_str bytes;
};

struct history_rig {
    struct tl_rs *rs;
    struct tl_history_env env;
    struct tl_arena arena; /* of the whole test */
    struct tl_tx tx;
    struct tl_error err;
    struct tl_record record;   /* of the last transaction */
    struct tl_effects effects; /* of the last transaction */
    enum tl_error_kind error_kind;
    int64_t now_ns;
    int64_t next_log_id;
    struct rig_row *rows;
    size_t row_n, row_cap;
    uint64_t next_run; /* number that new_run_id gives next */
    uint64_t random;
    struct tl_wft_started task;          /* of the last poll */
    struct tl_activity_started activity; /* of the last activity poll */
    struct tl_wft_completed completed;
    bool compare; /* recover and compare after every transaction (on by default) */
};

void history_rig_open(struct history_rig *r);
void history_rig_close(struct history_rig *r);

/* --- transactions ---------------------------------------------------------------------------- */
struct tl_tx *rig_begin(struct history_rig *r);
/* Finishes or aborts; keeps the row; compares. Returns rc. */
tl_rc rig_end(struct history_rig *r, tl_rc rc);
/* A run rebuilt from all rows (checkpoint: from a checkpoint made after row `from`). */
struct tl_rs *rig_recover(struct history_rig *r);
void rig_assert_same(struct history_rig *r, const struct tl_rs *other);
/* Drops the live run, as a crash does, and goes on with the recovered one. */
void rig_crash(struct history_rig *r);
void rig_advance(struct history_rig *r, int64_t ns); /* moves the clock, fires nothing */
/* Moves the clock to the run's next deadline and fires what is due. False when there is none. */
bool rig_fire(struct history_rig *r);
/* Moves the clock step by step, firing each deadline at its time. */
void rig_run_until(struct history_rig *r, int64_t at_ns);

/* --- looking --------------------------------------------------------------------------------- */
size_t rig_event_count(struct history_rig *r);
const TpHistory__HistoryEvent *rig_event(struct history_rig *r, int64_t event_id);
const TpHistory__HistoryEvent *rig_last(struct history_rig *r);
/* "WorkflowExecutionStarted WorkflowTaskScheduled ..." from event `first` on. */
const char *rig_types(struct history_rig *r, int64_t first);
const struct tl_effect *rig_effect(struct history_rig *r,
                                   enum tl_effect_kind kind); /* first or NULL */
size_t rig_effect_count(struct history_rig *r, enum tl_effect_kind kind);
struct tl_rs_info rig_info(struct history_rig *r);
/* Types of the events in encoded History bytes, as rig_types. */
const char *rig_bytes_types(struct history_rig *r, struct tl_str history);

/* --- doing ----------------------------------------------------------------------------------- */
TpWs__StartWorkflowExecutionRequest *rig_start_request(struct history_rig *r);
tl_rc rig_start_with(struct history_rig *r, TpWs__StartWorkflowExecutionRequest *req);
void rig_start(struct history_rig *r); /* type "T", queue "q", no timeouts */
tl_rc rig_signal(struct history_rig *r, const char *name, const char *request_id);
tl_rc rig_cancel(struct history_rig *r);
tl_rc rig_terminate(struct history_rig *r);
/* Starts the pending task; sticky: polled from the sticky queue. */
tl_rc rig_poll_on(struct history_rig *r, bool sticky);
void rig_poll(struct history_rig *r);
/* Completions: fill req, add commands, send. */
TpWs__RespondWorkflowTaskCompletedRequest *rig_completion(struct history_rig *r);
void rig_add_command(struct history_rig *r, TpWs__RespondWorkflowTaskCompletedRequest *req,
                     TpCommand__Command *c);
tl_rc rig_send(struct history_rig *r, TpWs__RespondWorkflowTaskCompletedRequest *req);
tl_rc rig_complete(struct history_rig *r, TpCommand__Command *c); /* one command or NULL */
void rig_stick(struct history_rig *r,
               TpWs__RespondWorkflowTaskCompletedRequest *req); /* "sticky-q", 10 s */
tl_rc rig_fail_task(struct history_rig *r);
tl_rc rig_fail_task_for(struct history_rig *r, int cause); /* WORKFLOW_TASK_FAILED_CAUSE_* */
/* Starts the activity with this scheduled id (attempt and stamp as last offered). */
tl_rc rig_poll_activity(struct history_rig *r, int64_t scheduled_id);
tl_rc rig_activity_complete(struct history_rig *r);
tl_rc rig_activity_fail(struct history_rig *r, const char *type, bool non_retryable,
                        int64_t delay_ns);
tl_rc rig_heartbeat(struct history_rig *r, const char *details, struct tl_heartbeat_reply *reply);

/* --- commands -------------------------------------------------------------------------------- */
TpCommand__Command *rig_cmd_timer(struct history_rig *r, const char *id, int64_t ns);
TpCommand__Command *rig_cmd_cancel_timer(struct history_rig *r, const char *id);
/* start_to_close 10 s; change the attributes as needed. */
TpCommand__Command *rig_cmd_activity(struct history_rig *r, const char *id);
TpCommand__Command *rig_cmd_cancel_activity(struct history_rig *r, int64_t scheduled_id);
TpCommand__Command *rig_cmd_complete(struct history_rig *r);
TpCommand__Command *rig_cmd_fail(struct history_rig *r, const char *type);
TpCommand__Command *rig_cmd_cancel(struct history_rig *r);
TpCommand__Command *rig_cmd_continue(struct history_rig *r);
TpCommand__Command *rig_cmd_marker(struct history_rig *r, const char *name);
TpCommand__Command *rig_cmd_memo(struct history_rig *r, const char *key, const char *json);
TpCommand__Command *rig_cmd_attribute(struct history_rig *r, const char *key, const char *json);

/* --- values ---------------------------------------------------------------------------------- */
TpCommon__Payloads *rig_payloads(struct history_rig *r, const char *json);
TpFailure__Failure *rig_failure(struct history_rig *r, const char *type, bool non_retryable,
                                int64_t delay_ns);
Google__Protobuf__Duration *rig_duration(struct history_rig *r, int64_t ns);
int64_t rig_ns(const Google__Protobuf__Timestamp *t);
int64_t rig_span(const Google__Protobuf__Duration *d);
TpCommon__RetryPolicy *rig_retry(struct history_rig *r, int64_t initial_ns, double coefficient,
                                 int64_t max_ns, int32_t attempts);
