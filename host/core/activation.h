/* The border between the engine and a language: an activation (jobs) goes in, a completion
 * (commands) comes out. The engine calls struct tl_lang; nothing else is shared.
 *
 * Invariants: jobs are in the order init, what markers say (patches, versions, side effects), random
 * seed, signals and updates, other resolutions; ends of local activities and queries are in an activation of their
 * own. Commands are in call order. Timers, activities, children, Nexus operations, and signals and
 * cancellations of other runs are numbered by the language, each kind from 1 upwards without reuse.
 * Ownership: everything an activation points to, and everything a completion holds, lives in
 * activation->arena (or in the task's decoded history) and is gone when the next activation of the
 * run begins; whoever needs it longer copies it.
 * Thread: the one thread that drives the run. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <temporal/api/command/v1/message.pb-c.h>
#include <temporal/api/common/v1/message.pb-c.h>
#include <temporal/api/failure/v1/message.pb-c.h>
#include <temporal/api/history/v1/message.pb-c.h>
#include <temporal/api/query/v1/message.pb-c.h>
#include <temporal/api/sdk/v1/event_group_marker.pb-c.h>
#include <temporal/api/sdk/v1/user_metadata.pb-c.h>
#include <temporal/api/update/v1/message.pb-c.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"

/* --- jobs ------------------------------------------------------------------------------------- */

enum tl_job_type {
    TL_JOB_INIT,        /* first job of a run: start the workflow function */
    TL_JOB_PATCH,       /* this patch id is in history: patched() is true */
    TL_JOB_VERSION,     /* this numbered version is in history */
    TL_JOB_SIDE_EFFECT, /* this value is in history: a side effect's, in order of the calls */
    TL_JOB_RANDOM_SEED, /* the run was reset: reseed */
    TL_JOB_SIGNAL,
    TL_JOB_UPDATE, /* accept or reject it in this activation; answer it when it is done */
    TL_JOB_CANCEL, /* cancellation of the workflow was requested */
    TL_JOB_TIMER_FIRED,
    TL_JOB_ACTIVITY_RESOLVED,
    TL_JOB_LOCAL_ACTIVITY_RESOLVED, /* activity; in an activation without other jobs */
    TL_JOB_CHILD_STARTED,           /* or it will never start */
    TL_JOB_CHILD_RESOLVED, /* may come without CHILD_STARTED: cancelled while it was being started */
    TL_JOB_SIGNAL_EXTERNAL_RESOLVED,
    TL_JOB_CANCEL_EXTERNAL_RESOLVED,
    TL_JOB_NEXUS_STARTED,  /* its handler carries on with it */
    TL_JOB_NEXUS_RESOLVED, /* may come without NEXUS_STARTED: ended at once, or never started */
    TL_JOB_QUERY,
};

enum tl_activity_status {
    TL_ACTIVITY_COMPLETED, /* result */
    TL_ACTIVITY_FAILED,    /* failure: ActivityFailureInfo around what went wrong or a timeout */
    TL_ACTIVITY_CANCELED,  /* failure: ActivityFailureInfo; its cause is a CanceledFailureInfo */
    TL_ACTIVITY_BACKOFF,   /* local ones: start a timer of backoff_ns, then schedule it again */
};

enum tl_child_start {
    TL_CHILD_STARTED,        /* run_id */
    TL_CHILD_NOT_STARTED,    /* failure: its cause tells why (an id in use, an unknown namespace) */
    TL_CHILD_START_CANCELED, /* failure: cancelled before its command was sent */
};

enum tl_child_status {
    TL_CHILD_COMPLETED, /* result */
    TL_CHILD_FAILED,    /* failure: ChildWorkflowExecutionFailureInfo around what ended it */
    TL_CHILD_CANCELED,  /* failure: the same; its cause is a CanceledFailureInfo */
};

struct tl_job {
    enum tl_job_type type;
    union {
        struct {
            const TpHistory__WorkflowExecutionStartedEventAttributes *attrs;
            uint64_t seed; /* for the run's random numbers */
            int64_t start_time_ns;
        } init;
        struct {
            struct tl_str change_id;
        } patch;
        struct {
            struct tl_str change_id;
            int32_t version;
        } version;
        struct {
            struct tl_str id; /* of a mutable side effect; empty: a plain one */
            uint32_t call;    /* mutable: the how manieth call with this id; 0: next */
            const TpCommon__Payloads *value; /* never NULL */
        } side_effect;
        struct {
            uint64_t seed;
        } random_seed;
        struct {
            const TpHistory__WorkflowExecutionSignaledEventAttributes *attrs;
            int64_t event_id;
        } signal;
        struct {
            struct tl_str instance_id; /* names it in the answers */
            struct tl_str id, name;
            const TpCommon__Payloads *input; /* may be NULL */
            const TpCommon__Header *header;  /* may be NULL */
            const TpUpdate__Meta *meta;
            bool run_validator; /* false: it was accepted when this ran before */
        } update;
        struct {
            struct tl_str cause;
        } cancel;
        struct {
            uint32_t seq;
        } timer;
        struct {
            uint32_t seq;
            enum tl_activity_status status;
            const TpCommon__Payloads *result;  /* may be NULL */
            const TpFailure__Failure *failure; /* NULL when completed */
            uint32_t attempt;                  /* back-off: of the next one */
            int64_t backoff_ns, original_schedule_ns;
        } activity;
        struct {
            uint32_t seq;
            enum tl_child_start status;
            struct tl_str run_id;
            const TpFailure__Failure *failure; /* NULL when started */
        } child_started;
        struct {
            uint32_t seq;
            enum tl_child_status status;
            const TpCommon__Payloads *result;  /* may be NULL */
            const TpFailure__Failure *failure; /* NULL when completed */
        } child;
        struct {
            uint32_t seq;
            const TpFailure__Failure *failure; /* NULL: delivered */
        } external;                            /* both kinds */
        struct {
            uint32_t seq;
            struct tl_str token;
        } nexus_started;
        struct {
            uint32_t seq;
            const TpCommon__Payload *result; /* may be NULL */
            const TpFailure__Failure
                *failure; /* NULL when completed; else NexusOperationFailureInfo */
        } nexus;
        struct {
            struct tl_str id; /* "" = the task's direct query */
            const TpQuery__WorkflowQuery *query;
        } query;
    } u;
};

struct tl_activation {
    struct tl_str run_id;
    int64_t now_ns;         /* the workflow's time: that of the last WorkflowTaskStarted */
    bool is_replaying;      /* always true for queries */
    int64_t history_length; /* id of the last event applied */
    int64_t history_bytes;
    bool continue_as_new_suggested;
    uint32_t continue_as_new_reasons;       /* bit n: TpEnums__SuggestContinueAsNewReason n */
    bool target_deployment_version_changed; /* the run may move by continuing as new */
    /* Who completed the task that is replayed; empty: this worker handles it, or it is not known. */
    struct tl_str deployment_name, build_id;
    /* Bit n: the language's logic flag n was recorded earlier in this run. All, while tasks are replayed that
     * another SDK completed. */
    uint64_t lang_flags;
    const struct tl_job *jobs;
    size_t job_count;
    struct tl_arena *arena; /* for the completion; reset before the run's next activation */
};

/* --- commands --------------------------------------------------------------------------------- */

enum tl_cmd_type {
    TL_CMD_START_TIMER,             /* attrs: StartTimer; seq */
    TL_CMD_CANCEL_TIMER,            /* seq */
    TL_CMD_SCHEDULE_ACTIVITY,       /* attrs: ScheduleActivityTask; seq; cancellation */
    TL_CMD_REQUEST_CANCEL_ACTIVITY, /* seq */
    TL_CMD_START_CHILD,             /* attrs: StartChildWorkflowExecution; seq; cancellation */
    TL_CMD_CANCEL_CHILD,            /* seq; u.reason */
    TL_CMD_SIGNAL_EXTERNAL,         /* attrs: SignalExternalWorkflowExecution; seq */
    TL_CMD_CANCEL_SIGNAL,   /* seq: of a signal; one that was sent already is not called back */
    TL_CMD_CANCEL_EXTERNAL, /* attrs: RequestCancelExternalWorkflowExecution; seq */
    TL_CMD_SCHEDULE_NEXUS,  /* attrs: ScheduleNexusOperation; seq; cancellation */
    TL_CMD_CANCEL_NEXUS,    /* seq */
    TL_CMD_COMPLETE,        /* attrs: CompleteWorkflowExecution */
    TL_CMD_FAIL,            /* attrs: FailWorkflowExecution */
    TL_CMD_CANCEL,          /* attrs: CancelWorkflowExecution */
    TL_CMD_CONTINUE_AS_NEW, /* attrs: ContinueAsNewWorkflowExecution */
    TL_CMD_SET_PATCH,       /* patch */
    TL_CMD_QUERY_RESULT,    /* query */
    TL_CMD_UPSERT_SEARCH_ATTRIBUTES, /* attrs: UpsertWorkflowSearchAttributes */
    TL_CMD_MODIFY_PROPERTIES,        /* attrs: ModifyWorkflowProperties */
    TL_CMD_SCHEDULE_LOCAL_ACTIVITY,  /* local; seq; cancellation */
    TL_CMD_CANCEL_LOCAL_ACTIVITY,    /* seq */
    TL_CMD_UPDATE_RESPONSE,          /* update */
    TL_CMD_RECORD_MARKER,            /* attrs: RecordMarker (not the engine's own marker names) */
    TL_CMD_COUNT,
};

/* What happens when an activity, a child or a Nexus operation is cancelled by the workflow. */
enum tl_cancellation_type {
    TL_CANCEL_TRY,            /* request it and resolve as canceled at once */
    TL_CANCEL_WAIT,           /* request it and wait for the end */
    TL_CANCEL_ABANDON,        /* request nothing, resolve as canceled at once */
    TL_CANCEL_WAIT_REQUESTED, /* not activities: request it, resolve when it was passed on */
};

/* A local activity: run by the worker of the workflow task, recorded as a marker when it has ended.
 * Everything is the arena's. */
struct tl_local_activity {
    struct tl_str type, id; /* id empty: seq as text */
    const TpCommon__Payloads *input;
    const TpCommon__Header *header;
    int64_t schedule_to_close_ns, schedule_to_start_ns, start_to_close_ns; /* 0: none */
    const TpCommon__RetryPolicy *retry;                                    /* NULL: the defaults */
    int64_t
        retry_threshold_ns; /* longer pauses are timers of the workflow; 0: the task's timeout */
    uint32_t attempt;       /* after a back-off, else 0 */
    int64_t original_schedule_ns; /* likewise */
};

/* Groups that a command's event belongs to, for those who look at the history; nothing is decided by
 * them, and replay does not compare them. */
struct tl_event_groups {
    size_t n;
    TpSdk__EventGroupMarker **items;
};

/* What the language says of an update: accept or reject first, one of the others later. */
enum tl_update_answer { TL_UPDATE_ACCEPT, TL_UPDATE_REJECT, TL_UPDATE_COMPLETE, TL_UPDATE_FAILED };

struct tl_cmd {
    enum tl_cmd_type type;
    uint32_t seq;
    /* TpCommand__*CommandAttributes in the arena. An empty timer_id or activity_id is filled by the
     * engine with seq as text. */
    ProtobufCMessage *attrs;
    TpSdk__UserMetadata *metadata; /* may be NULL */
    struct tl_event_groups groups;
    enum tl_cancellation_type cancellation;
    union {
        struct {
            struct tl_str id;
            bool deprecated;
            bool numbered; /* a numbered version */
            int32_t version;
        } patch;
        const struct tl_local_activity *local;
        struct {
            struct tl_str id;                  /* of the job */
            TpCommon__Payloads *result;        /* answered; may be NULL */
            struct tl_str error;               /* failed: message ... */
            const TpFailure__Failure *failure; /* ... and failure; NULL: answered */
        } query;
        struct tl_str reason; /* why a child is cancelled; may be empty */
        struct {
            struct tl_str instance_id; /* of the job */
            enum tl_update_answer answer;
            TpCommon__Payloads *result;  /* COMPLETE; may be NULL */
            TpFailure__Failure *failure; /* REJECT, FAILED */
        } update;
    } u;
    struct tl_str where; /* "file:line" of the call, for reports; may be empty */
};

struct tl_completion {
    struct tl_cmd *cmds;
    size_t cmd_count;
    size_t cmd_cap; /* private */
    struct tl_arena *arena;
    uint64_t lang_flags_used;               /* bit n: logic flag n was used while not replaying */
    const TpFailure__Failure *task_failure; /* details when activate fails; may be NULL */
};

/* A new zeroed command at the end; NULL when the arena is full. */
struct tl_cmd *tl_completion_add(struct tl_completion *completion, enum tl_cmd_type type);

/* The language side of one run. */
struct tl_lang {
    void *ud;
    /* Runs jobs until everything is blocked. rc != TL_OK fails the workflow task (never the
     * workflow): TL_ESCRIPT, TL_EDEADLOCK, TL_EMEMORY ...; out->task_failure gives details. After a
     * failure the engine calls this run's language no more. */
    tl_rc (*activate)(void *ud, const struct tl_activation *activation, struct tl_completion *out,
                      struct tl_error *err);
};
