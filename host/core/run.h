/* One workflow run on a worker: history events in, commands out. The engine is sans-IO: it has no
 * clock, thread or socket; all it knows comes from the workflow tasks handed to it.
 *
 * Invariants: a task's commands are checked against history while replaying (type and id) and sent
 * only when not; memory that outlives a task holds no decoded protobuf and does not grow with the
 * history; after a failed task the run is broken and only good for tl_run_free.
 * Ownership: the run owns its machines; a task's results live in the task's arena.
 * Thread: one at a time. */
#pragma once

#include <temporal/api/sdk/v1/task_complete_metadata.pb-c.h>
#include <temporal/api/workflowservice/v1/request_response.pb-c.h>

#include "core/activation.h"
#include "core/report.h"

struct tl_run;

struct tl_run_config {
    struct tl_str run_id, workflow_id, workflow_type;
    struct tl_str sdk_name, sdk_version; /* recorded in completions when they change */
    bool sdk_metadata;                   /* the server records metadata (GetSystemInfo) */
    /* Called at every state change of a machine; NULL: none. */
    void (*trace)(void *ud, const char *machine, uint32_t seq, const char *state, const char *event,
                  const char *next);
    void *trace_ud;
};

/* --- life cycle ------------------------------------------------------------------------------- */

/* Copies what it keeps of the configuration. Free with tl_run_free. */
struct tl_run *tl_run_new(const struct tl_run_config *config);
void tl_run_free(struct tl_run *run); /* NULL is fine */

/* --- workflow tasks --------------------------------------------------------------------------- */

/* What a task needs before it can be handled by a (cached) run. */
enum tl_run_fit {
    TL_FIT_READY, /* handle it with this run (once its next_page_token is used up) */
    TL_FIT_FRESH, /* the history starts at event 1: handle it with a new run and a new language */
    TL_FIT_FETCH, /* get the history from event 1 first, then as TL_FIT_FRESH */
};
/* run may be NULL (not cached). */
enum tl_run_fit tl_run_check_fit(const struct tl_run *run,
                                 const TpWs__PollWorkflowTaskQueueResponse *poll);

/* The server forgot the run's last task, which only rejected updates: the run goes back to the end
 * of the task that was started by event started_event_id. A run that cannot do so is broken. */
void tl_run_rewind(struct tl_run *run, int64_t started_event_id);

struct tl_wft {
    /* Decoded into the task's arena; its history is complete up to started_event_id (all pages
     * joined). Partial histories continue what the run has seen. */
    const TpWs__PollWorkflowTaskQueueResponse *poll;
};

/* What the worker is to do about a local activity of the run. */
struct tl_local_request {
    uint32_t seq;
    bool cancel;        /* it asks to stop; else it is to be run */
    struct tl_str task; /* encoded PollActivityTaskQueueResponse without times and token */
    uint32_t attempt;   /* the first to make */
    int64_t original_schedule_ns;                     /* 0: now */
    int64_t schedule_to_start_ns, retry_threshold_ns; /* 0: none; the workflow task's timeout */
};

/* How a local activity ended; result and failure live in the task's arena. */
struct tl_local_end {
    uint32_t seq;
    uint32_t attempt;
    enum tl_activity_status status; /* not BACKOFF: backoff_ns says that */
    const TpCommon__Payloads *result;
    const TpFailure__Failure *failure;
    int64_t runtime_ns, original_schedule_ns;
    int64_t backoff_ns; /* > 0: failed, to be tried again after a timer of the workflow */
};

struct tl_wft_result {
    /* For RespondWorkflowTaskCompleted, when !failed and the poll had no direct query. */
    TpCommand__Command **commands;
    const struct tl_str *places; /* "file:line" of each command's call; may be empty */
    size_t command_count;
    TpProtocol__Message **messages; /* answers to updates */
    size_t message_count;
    TpWs__RespondWorkflowTaskCompletedRequest__QueryResultsEntry **query_results;
    size_t query_result_count;
    TpSdk__WorkflowTaskCompletedMetadata *sdk_metadata; /* NULL when the server has no use for it */
    /* For RespondQueryTaskCompleted; set when the poll had a direct query, also when failed. */
    TpQuery__WorkflowQueryResult *direct_query;

    /* For RespondWorkflowTaskFailed. */
    bool failed;
    TpEnums__WorkflowTaskFailedCause cause;
    const TpFailure__Failure *failure;
    struct tl_nde_report *report; /* set when the return code is TL_ENONDETERMINISM */

    /* Local activities to be run, and to be cancelled; copy what is needed longer than the arena. */
    const struct tl_local_request *local_requests;
    size_t local_request_count;
    /* Not to be answered yet: local activities are under way. Goes on with tl_run_local_ended or
     * tl_run_heartbeat; poll, lang and arena must live until then. */
    bool held;
    bool force_new_task; /* the answer asks for another task at once: the wait goes on in it */

    bool evict;    /* drop the run and its language after answering */
    bool finished; /* the run has ended (its close command is among the commands, or in history) */
    size_t event_count;      /* events applied */
    size_t activation_count; /* times the language ran */
};

/* Applies the task's history, runs the language until the run is caught up, and answers.
 * rc != TL_OK goes with out->failed (and a failed out->direct_query where one was asked): cause and
 * failure say what to tell the server, and the run is broken.
 * Owns: results live in task_arena and borrow from the poll. Thread: the run's.
 * Errors: TL_ENONDETERMINISM (report), TL_EINVAL (the history is not valid), TL_EPRECONDITION (the
 * run is broken or does not fit), TL_ELIMIT (arena), or what the language returned. */
tl_rc tl_run_handle_task(struct tl_run *run, const struct tl_wft *task, const struct tl_lang *lang,
                         struct tl_arena *task_arena, struct tl_wft_result *out,
                         struct tl_error *err);

/* A local activity has ended while its task is held; what nobody waits for is ignored. Runs the
 * language and answers as tl_run_handle_task does: again held, or done. */
tl_rc tl_run_local_ended(struct tl_run *run, const struct tl_local_end *end,
                         struct tl_wft_result *out, struct tl_error *err);
/* The held task is answered with the commands so far, before it times out. */
tl_rc tl_run_heartbeat(struct tl_run *run, struct tl_wft_result *out, struct tl_error *err);

/* --- looking at a run ------------------------------------------------------------------------- */

bool tl_run_broken(const struct tl_run *run);
bool tl_run_finished(const struct tl_run *run);
int64_t tl_run_started_event_id(const struct tl_run *run); /* last WorkflowTaskStarted handled */
int64_t tl_run_last_event_id(const struct tl_run *run);
int64_t tl_run_now_ns(const struct tl_run *run);
size_t tl_run_bytes(const struct tl_run *run);            /* memory held between tasks */
int64_t tl_run_task_timeout_ns(const struct tl_run *run); /* 0: not known */
size_t tl_run_pending_count(const struct tl_run *run);    /* timers and activities under way */
/* The random seed a run gets from its original_execution_run_id. */
uint64_t tl_run_seed(struct tl_str original_execution_run_id);
