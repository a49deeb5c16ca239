/* Private to host/core: a run's memory, the task being handled, and what machines may do.
 *
 * Invariants: machines are found by (kind, seq) or by the id of their initiating event, never by
 * address; slots are stable for a machine's life. outgoing[] holds the commands whose events are
 * still to come, in order. Everything reachable from `task` dies with the task.
 * Ownership: see struct tl_run. Thread: the run's. */
#pragma once

#include <temporal/api/history/v1/message.pb-c.h>

#include "core/fsm.h"
#include "core/history.h"
#include "core/run.h"
#include "proto/pb.h"

/* --- machines --------------------------------------------------------------------------------- */

enum tl_machine_kind {
    TL_MACHINE_NONE,
    TL_MACHINE_TASK,
    TL_MACHINE_TIMER,
    TL_MACHINE_ACTIVITY,
    TL_MACHINE_ONEWAY, /* commands that are recorded and never answered */
    TL_MACHINE_PATCH,
    TL_MACHINE_CLOSE,
    TL_MACHINE_LOCAL,
    TL_MACHINE_CHILD,
    TL_MACHINE_SIGNAL_EXTERNAL,
    TL_MACHINE_CANCEL_EXTERNAL,
    TL_MACHINE_UPDATE,
    TL_MACHINE_NEXUS,
    TL_MACHINE_COUNT,
};

struct tl_machine {
    uint8_t kind;         /* enum tl_machine_kind; NONE: a free slot */
    uint8_t state;        /* written by tl_fsm_apply only */
    uint8_t cancellation; /* activity, child, Nexus: enum tl_cancellation_type */
    bool dropped;         /* cancelled before its command was sent: the command goes too */
    bool of_child;        /* cancellation of an external run: seq is a child's, who asked for it */
    uint32_t seq;         /* the language's number; patch: index in run->patches; next free slot */
    int64_t event_id;     /* of the initiating event; 0: not recorded yet */
    int64_t started_id;   /* child: of its started event; 0: none yet. Nexus: not 0: end was told */
    /* Owned, or NULL: the strings of its kind with their zeros: (local) activity type and id,
     * timer id, marker name, child's type, id, namespace and run id, signal name and target, target,
     * update id and its client's identity, Nexus operation, service, endpoint and token. */
    char *text;
};

/* What a machine is given with an event or a command. */
struct tl_fsm_input {
    const TpHistory__HistoryEvent *event; /* NULL for the language's commands */
    const struct tl_cmd *cmd;             /* NULL for events */
};

extern const struct tl_fsm tl_task_fsm, tl_timer_fsm, tl_activity_fsm, tl_oneway_fsm, tl_patch_fsm,
    tl_close_fsm, tl_local_fsm, tl_child_fsm, tl_signal_external_fsm, tl_cancel_external_fsm,
    tl_update_fsm, tl_nexus_fsm;

/* Ordered by key, keys only ever appended in rising order: binary search, lazy deletion. */
struct tl_slot_index {
    struct tl_slot_entry {
        int64_t key;
        uint32_t slot; /* TL_SLOT_NONE: deleted */
    } * entries;
    uint32_t first, count, cap, live;
};
#define TL_SLOT_NONE UINT32_MAX

/* --- commands on their way -------------------------------------------------------------------- */

struct tl_outgoing {
    uint32_t slot;
    uint8_t command; /* COMMAND_TYPE_* */
    bool answers;    /* PROTOCOL_MESSAGE: it completes an update that was accepted before */
};
/* The event that the server writes for it. */
int tl_outgoing_event(const struct tl_outgoing *out);
/* Its event is the one that begins its machine. */
bool tl_outgoing_initiates(const struct tl_outgoing *out);

/* The part of an outgoing command that lives only while its task is handled. */
struct tl_outgoing_body {
    ProtobufCMessage *attrs;
    TpSdk__UserMetadata *metadata;
    struct tl_event_groups groups;
    struct tl_str where;
};

struct tl_command_info {
    const char *text;
    uint8_t event_type;
    uint8_t machine;
    uint8_t attributes_case;
    bool closes;
    bool initiates;
};
/* Never NULL for the commands of commands.def. */
const struct tl_command_info *tl_command_info(int command_type);

/* --- the run ---------------------------------------------------------------------------------- */

enum tl_sdk_family {
    TL_SDK_UNKNOWN, /* nothing recorded: ids are adopted */
    TL_SDK_CORE,    /* the official core's rules: ids are sequence numbers */
    TL_SDK_OTHER,   /* ids are adopted */
};

struct tl_patch {
    char *id;       /* owned */
    bool announced; /* found in history ahead of the code */
    bool created;   /* the code called it */
    bool numbered;  /* a numbered version: its marker is `Version`, not `core_patch` */
    bool upserted;  /* announced: an upsert of TemporalChangeVersion is beside the marker */
    int32_t version;
};

/* What was recorded before the last completion recorded more: the server may drop that completion. */
struct tl_unsent {
    uint32_t core_flags, core_flags_used;
    uint64_t lang_flags, lang_flags_used;
    bool sdk_name_recorded, sdk_version_recorded;
};

/* Copies of encoded messages that continue-as-new inherits. */
struct tl_inherited {
    struct tl_str memo, search_attributes, retry_policy; /* owned; n == 0: none */
};

/* An update that a reset has put into the history, until the event of its acceptance is met. */
struct tl_admitted {
    struct tl_admitted *next;
    char *id, *request; /* owned; the request encoded */
    size_t request_n;
    int64_t event_id;
};

struct tl_task; /* below */

struct tl_run {
    char *text; /* owned: all strings of the configuration, one after the other */
    struct tl_str run_id, workflow_id, workflow_type, sdk_name, sdk_version;
    void (*trace)(void *ud, const char *machine, uint32_t seq, const char *state, const char *event,
                  const char *next);
    void *trace_ud;
    struct tl_task *task; /* borrowed; NULL between tasks */

    int64_t now_ns;
    int64_t last_event_id;    /* last event applied */
    int64_t started_event_id; /* last WorkflowTaskStarted whose task ran the code */
    int64_t group_started_id; /* WorkflowTaskStarted that ends the group being applied */
    int64_t history_bytes;
    int64_t seen_event_id; /* history ended there when the code began this task */
    int64_t task_timeout_ns;

    uint32_t core_flags, core_flags_used; /* bit n: row n of flags.def */
    uint64_t lang_flags, lang_flags_used;
    enum tl_sdk_family sdk_family;
    bool other_language; /* completed the tasks so far: no old version of this language did */

    bool sdk_metadata, sdk_name_recorded, sdk_version_recorded;
    bool continue_as_new_suggested, target_deployment_version_changed;
    uint32_t continue_as_new_reasons; /* see activation.h */
    bool initialised;                 /* the init job was made */
    bool replaying;
    bool after_completed; /* after WorkflowTaskCompleted, only command events since */
    bool finished;        /* the code has closed the run */
    bool closed;          /* history has */
    bool broken;

    struct tl_machine workflow_task;
    struct tl_machine *machines; /* slots */
    uint32_t machine_cap, machine_live, machine_free;
    struct tl_slot_index timers, activities, locals, children, signals, nexus, by_event;
    uint32_t timer_seq, activity_seq, child_seq, signal_seq, cancel_seq,
        nexus_seq;          /* highest seen */
    uint32_t dropped_count; /* machines whose unsent commands are to be swept */

    struct tl_outgoing *outgoing;
    struct tl_outgoing_body *bodies; /* parallel to outgoing; NULL between tasks */
    uint32_t outgoing_first, outgoing_count, outgoing_cap;

    struct tl_local *local_list;
    uint32_t local_count, local_cap, local_seq, local_ordinal;

    struct tl_patch *patches;
    uint32_t patch_count, patch_cap;
    struct tl_inherited inherited;
    struct tl_admitted *admitted; /* in the order of their events */
    struct tl_unsent unsent;
};

/* A request for an update that was delivered in this task. */
struct tl_update_request {
    struct tl_update_request *next;
    struct tl_str instance_id, message_id;
    int64_t sequencing_event_id;
    const TpUpdate__Request *request;
};

/* The workflow task (or replay) being handled; lives on the stack of the call. */
struct tl_task {
    struct tl_history history;
    struct tl_history_group group;
    size_t index;                /* of the event being applied */
    int64_t previous_started_id; /* events up to it were answered before */
    bool timed;                  /* the group's time is set */
    bool query_only;             /* nothing new: apply answered events only, send nothing */
    const struct tl_lang *lang;
    struct tl_arena *arena;     /* of the task: results and reports */
    struct tl_arena scratch[2]; /* while replaying, by turns: a group's jobs and commands */
    unsigned turn;
    struct tl_arena *current; /* where this group's jobs and commands live */
    struct tl_job *jobs;      /* in current */
    size_t job_count, job_cap;
    struct tl_local_marker *ends; /* in current: of local activities, not told yet */
    size_t end_first, end_count, end_cap;
    int64_t batch;                     /* of the next end: batches of this task that were told */
    bool batch_begun;                  /* an end of this batch was recorded */
    struct tl_local_request *requests; /* in arena */
    size_t request_count, request_cap;
    const TpWs__PollWorkflowTaskQueueResponse *poll; /* NULL: a replay */
    struct tl_update_request *updates;               /* newest first */
    struct tl_pb_list messages;                      /* answers to updates, in order */
    /* The completion of the task under way, NULL when it is not in the history. */
    const TpHistory__WorkflowTaskCompletedEventAttributes *completed;
    const TpHistory__HistoryEvent *matched; /* the last event that a command fitted; may be NULL */
    char matched_where[96];                 /* where that command was made */
    struct tl_nde_report *report;
    const TpFailure__Failure *failure; /* from the language */
    size_t event_count, group_count, activation_count;
};

/* --- run_machines.c: slots, indexes, outgoing commands ---------------------------------------- */

/* A new machine; its slot in *slot. Pointers to machines die with the next call. */
struct tl_machine *tl_core_add_machine(struct tl_run *run, enum tl_machine_kind kind, uint32_t seq,
                                       uint32_t *slot);
/* Drops a machine that is done; it must not be referred to by outgoing commands. */
void tl_core_drop_machine(struct tl_run *run, uint32_t slot);
/* NULL when there is none (resolved, or never made). */
struct tl_machine *tl_core_find(struct tl_run *run, enum tl_machine_kind kind, uint32_t seq,
                                uint32_t *slot);
struct tl_machine *tl_core_find_event(struct tl_run *run, int64_t event_id, uint32_t *slot);
void tl_core_record_event(struct tl_run *run, uint32_t slot, int64_t event_id);
const struct tl_fsm *tl_machine_fsm(const struct tl_machine *machine);

void tl_core_push_command(struct tl_run *run, uint32_t slot, int command_type,
                          ProtobufCMessage *attrs, const struct tl_cmd *cmd);
static inline uint32_t tl_core_outgoing_count(const struct tl_run *run)
{
    return run->outgoing_count - run->outgoing_first;
}
void tl_core_pop_command(struct tl_run *run);
/* Removes the commands of machines that were cancelled before being sent, and those machines. */
void tl_core_sweep_commands(struct tl_run *run);
/* Drops what lives only during a task and gives spare memory back. */
void tl_core_trim(struct tl_run *run);

/* A machine's text: activity id, timer id, marker name, patch id, child's or target's workflow id;
 * *name gets an activity's or child's type, a signal's name. */
struct tl_str tl_machine_id(const struct tl_run *run, const struct tl_machine *machine,
                            char seq_text[static 16], struct tl_str *name);
/* Copies "first\0second\0" as the machine's text; empty strings are fine. */
void tl_machine_set_text(struct tl_machine *machine, struct tl_str first, struct tl_str second);
/* The same with n strings; they may borrow from the old text. */
void tl_machine_set_texts(struct tl_machine *machine, const struct tl_str *strings, unsigned n);
/* The string at index of those that its kind of machine keeps; "" without a text. */
struct tl_str tl_machine_text(const struct tl_machine *machine, unsigned index);
/* Bytes of the text with its zeros. */
size_t tl_machine_text_bytes(const struct tl_machine *machine);

/* --- jobs (run.c) ----------------------------------------------------------------------------- */

/* A new job of the group being applied, NULL when the arena is full (then err is set). */
struct tl_job *tl_core_add_job(struct tl_run *run, enum tl_job_type type, struct tl_error *err);
/* The failure of something that was cancelled; details may be NULL. In the arena of the task under way,
 * NULL when that is full. */
TpFailure__Failure *tl_core_canceled(struct tl_run *run, const char *message,
                                     const TpCommon__Payloads *details);

/* --- run_apply.c: events ---------------------------------------------------------------------- */

/* Applies the next group. *applied: false when there was none. */
tl_rc tl_core_apply_group(struct tl_run *run, bool *applied, struct tl_error *err) TL_MUST_USE;
/* Once no more events follow: commands that history does not have are an error. */
tl_rc tl_core_check_end(struct tl_run *run, struct tl_error *err) TL_MUST_USE;

/* --- run_commands.c: what the language answered ----------------------------------------------- */

tl_rc tl_core_take_completion(struct tl_run *run, const struct tl_completion *completion,
                              struct tl_error *err) TL_MUST_USE;
/* The commands for the server, in the task's arena. */
tl_rc tl_core_encode_commands(struct tl_run *run, struct tl_wft_result *out,
                              struct tl_error *err) TL_MUST_USE;

/* --- inherit.c: what continue-as-new takes along ---------------------------------------------- */

tl_rc tl_core_inherit_start(struct tl_run *run,
                            const TpHistory__WorkflowExecutionStartedEventAttributes *attrs,
                            struct tl_error *err) TL_MUST_USE;
tl_rc tl_core_inherit_upsert(struct tl_run *run, const TpCommon__SearchAttributes *upserted,
                             struct tl_error *err) TL_MUST_USE;
tl_rc tl_core_inherit_fill(struct tl_run *run,
                           TpCommand__ContinueAsNewWorkflowExecutionCommandAttributes *attrs,
                           struct tl_error *err) TL_MUST_USE;
void tl_core_inherit_free(struct tl_run *run);

/* --- sdk_flags.c ------------------------------------------------------------------------------ */

enum tl_core_flag { /* bit numbers in core_flags: the rows of flags.def, not the wire's numbers */
#define X(number, name, why) TL_FLAG_##name,
#include "core/flags.def"
#undef X
                    TL_FLAG_COUNT,
};

void tl_core_read_metadata(struct tl_run *run,
                           const TpHistory__WorkflowTaskCompletedEventAttributes *attrs);
/* May behaviour n be used now? Recording it makes it so for the rest of the run. */
bool tl_core_use_flag(struct tl_run *run, enum tl_core_flag flag, bool record);
/* What the completion records; everything known is used from now on. NULL when the server has no
 * use for it, or when the arena is full: then the task must fail. */
TpSdk__WorkflowTaskCompletedMetadata *tl_core_write_metadata(struct tl_run *run,
                                                             struct tl_arena *arena);

/* --- mismatch.c ------------------------------------------------------------------------------- */

/* Fills the task's report from the event being applied (NULL: none) and the next outgoing command
 * (have_command false: leave it out), sets err and returns TL_ENONDETERMINISM. */
tl_rc tl_core_mismatch(struct tl_run *run, const TpHistory__HistoryEvent *event, bool have_command,
                       struct tl_error *err, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/* A machine refused: keeps err's sentence as the report's detail. */
tl_rc tl_core_refused(struct tl_run *run, const TpHistory__HistoryEvent *event, bool have_command,
                      struct tl_error *err);
/* The history itself is wrong; returns TL_EINVAL. */
tl_rc tl_core_bad_history(struct tl_run *run, const TpHistory__HistoryEvent *event,
                          struct tl_error *err, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* suggest.c: fills suggestion and patch from what else the report says. */
void tl_core_suggest(struct tl_nde_report *report, struct tl_arena *arena);

/* --- machines/: one file each ----------------------------------------------------------------- */

/* Language commands. Errors: TL_EINVAL for what a language must not do, or the machine's. */
tl_rc tl_timer_start(struct tl_run *run, const struct tl_cmd *cmd, struct tl_error *err);
tl_rc tl_timer_cancel(struct tl_run *run, const struct tl_cmd *cmd, struct tl_error *err);
tl_rc tl_activity_schedule(struct tl_run *run, const struct tl_cmd *cmd, struct tl_error *err);
tl_rc tl_activity_cancel(struct tl_run *run, const struct tl_cmd *cmd, struct tl_error *err);
tl_rc tl_child_start(struct tl_run *run, const struct tl_cmd *cmd, struct tl_error *err);
tl_rc tl_child_cancel(struct tl_run *run, const struct tl_cmd *cmd, struct tl_error *err);
tl_rc tl_signal_external_send(struct tl_run *run, const struct tl_cmd *cmd, struct tl_error *err);
tl_rc tl_signal_external_cancel(struct tl_run *run, const struct tl_cmd *cmd, struct tl_error *err);
tl_rc tl_cancel_external_send(struct tl_run *run, const struct tl_cmd *cmd, struct tl_error *err);
tl_rc tl_nexus_schedule(struct tl_run *run, const struct tl_cmd *cmd, struct tl_error *err);
tl_rc tl_nexus_cancel(struct tl_run *run, const struct tl_cmd *cmd, struct tl_error *err);
tl_rc tl_patch_set(struct tl_run *run, const struct tl_cmd *cmd, struct tl_error *err);
tl_rc tl_local_schedule(struct tl_run *run, const struct tl_cmd *cmd, struct tl_error *err);
tl_rc tl_local_cancel(struct tl_run *run, const struct tl_cmd *cmd, struct tl_error *err);
/* The worker's result; the machine's marker command is made. *taken: false when nobody waits. */
tl_rc tl_local_resolve(struct tl_run *run, const struct tl_local_marker *end, bool *taken,
                       struct tl_error *err);
/* The end is being told ahead of its marker. */
tl_rc tl_local_known(struct tl_run *run, struct tl_machine *machine, struct tl_error *err);
tl_rc tl_local_go_live(struct tl_run *run, struct tl_machine *machine, struct tl_error *err);
bool tl_local_waits_for_marker(const struct tl_machine *machine);
bool tl_local_told(const struct tl_machine *machine); /* ahead of its marker */
bool tl_local_with_worker(const struct tl_machine *machine);
/* The end was pushed and may be told. */
bool tl_local_ended(const struct tl_machine *machine);
tl_rc tl_close_run(struct tl_run *run, const struct tl_cmd *cmd, struct tl_error *err);
tl_rc tl_oneway_send(struct tl_run *run, const struct tl_cmd *cmd, struct tl_error *err);
tl_rc tl_update_respond(struct tl_run *run, const struct tl_cmd *cmd, struct tl_error *err);
/* For commands the engine makes itself: the machine and its command are there already. */
tl_rc tl_oneway_begin(struct tl_run *run, struct tl_machine *machine, const struct tl_cmd *cmd,
                      struct tl_error *err);

/* Asks the server to cancel a child: the machine's number is the child's. */
tl_rc tl_cancel_external_child(struct tl_run *run, uint32_t child_slot, const struct tl_cmd *cmd,
                               struct tl_error *err);
/* The server has passed the request on to the child with that number; it may be gone. */
tl_rc tl_child_cancel_delivered(struct tl_run *run, uint32_t seq, struct tl_error *err);

/* Applies a history event to a machine of that kind. */
tl_rc tl_task_event(struct tl_run *run, const TpHistory__HistoryEvent *event, struct tl_error *err);
/* The server has forgotten the started task. */
tl_rc tl_task_drop(struct tl_run *run, struct tl_error *err) TL_MUST_USE;
tl_rc tl_timer_event(struct tl_run *run, struct tl_machine *machine,
                     const TpHistory__HistoryEvent *event, struct tl_error *err);
tl_rc tl_activity_event(struct tl_run *run, struct tl_machine *machine,
                        const TpHistory__HistoryEvent *event, struct tl_error *err);
tl_rc tl_oneway_event(struct tl_run *run, struct tl_machine *machine,
                      const TpHistory__HistoryEvent *event, struct tl_error *err);
tl_rc tl_patch_event(struct tl_run *run, struct tl_machine *machine,
                     const TpHistory__HistoryEvent *event, struct tl_error *err);
tl_rc tl_close_event(struct tl_run *run, struct tl_machine *machine,
                     const TpHistory__HistoryEvent *event, struct tl_error *err);
tl_rc tl_local_event(struct tl_run *run, struct tl_machine *machine,
                     const TpHistory__HistoryEvent *event, struct tl_error *err);
tl_rc tl_child_event(struct tl_run *run, struct tl_machine *machine,
                     const TpHistory__HistoryEvent *event, struct tl_error *err);
tl_rc tl_signal_external_event(struct tl_run *run, struct tl_machine *machine,
                               const TpHistory__HistoryEvent *event, struct tl_error *err);
tl_rc tl_cancel_external_event(struct tl_run *run, struct tl_machine *machine,
                               const TpHistory__HistoryEvent *event, struct tl_error *err);
tl_rc tl_nexus_event(struct tl_run *run, struct tl_machine *machine,
                     const TpHistory__HistoryEvent *event, struct tl_error *err);

tl_rc tl_update_event(struct tl_run *run, struct tl_machine *machine,
                      const TpHistory__HistoryEvent *event, struct tl_error *err);

/* Those that came with the task. */
tl_rc tl_update_take_messages(struct tl_run *run, const TpWs__PollWorkflowTaskQueueResponse *poll,
                              struct tl_error *err) TL_MUST_USE;
/* The event of an acceptance that the group's task will be followed by. */
tl_rc tl_update_replay(struct tl_run *run, const TpHistory__HistoryEvent *event,
                       struct tl_error *err) TL_MUST_USE;
/* WorkflowExecutionUpdateAdmitted: kept until its acceptance is met or, from event from_event_id on,
 * until deliver_admitted. */
tl_rc tl_update_admitted(struct tl_run *run, const TpHistory__HistoryEvent *event,
                         struct tl_error *err) TL_MUST_USE;
tl_rc tl_update_deliver_admitted(struct tl_run *run, int64_t from_event_id,
                                 struct tl_error *err) TL_MUST_USE;
void tl_update_free_admitted(struct tl_run *run);

/* patch_marker.c: the wire form of a patch, shared with the official core, and of a numbered
 * version, shared with Go. */
struct tl_patch_marker {
    struct tl_str id;
    bool deprecated;
    bool numbered;
    int32_t version;
};
#define TL_PATCH_MARKER_NAME "core_patch"
#define TL_VERSION_MARKER_NAME "Version"
#define TL_PATCH_SEARCH_ATTRIBUTE "TemporalChangeVersion"
/* False when the event is no (readable) patch marker. out->id may live in the arena. */
bool tl_patch_marker_read(const TpHistory__HistoryEvent *event, struct tl_arena *arena,
                          struct tl_patch_marker *out);
TpCommand__RecordMarkerCommandAttributes *tl_patch_marker_make(struct tl_arena *arena,
                                                               const struct tl_patch_marker *patch);
/* The upsert beside a marker: all patch ids so far; *too_big when the server would refuse it. */
TpCommand__UpsertWorkflowSearchAttributesCommandAttributes *
tl_patch_upsert_make(const struct tl_run *run, struct tl_arena *arena, bool *too_big);
/* Index of a patch or numbered version; it is added when `id` is new. */
uint32_t tl_patch_index(struct tl_run *run, struct tl_str id, bool numbered);
/* True for the upsert that goes with such a marker; event may be NULL. */
bool tl_patch_upsert_is(const TpHistory__HistoryEvent *event);

/* markers.c: what markers hold. */

/* Values of a marker's detail, NULL when it has none. */
const TpCommon__Payloads *tl_marker_detail(const TpHistory__MarkerRecordedEventAttributes *a,
                                           struct tl_str key);
/* A detail that is one JSON text or whole number. */
bool tl_marker_text(const TpHistory__MarkerRecordedEventAttributes *a, const char *key,
                    struct tl_arena *arena, struct tl_str *out);
bool tl_marker_integer(const TpHistory__MarkerRecordedEventAttributes *a, const char *key,
                       int64_t *out);
/* A JSON payload of the buffer's text (copied); type: its metadata "type", NULL: none. */
TpCommon__Payload *tl_marker_json(struct tl_arena *arena, const struct tl_buf *text,
                                  const char *type);
/* Appends a detail to a list of a marker command's details. False when the arena is full, or for
 * value NULL. */
bool tl_marker_add(struct tl_arena *arena, struct tl_pb_list *details, const char *key,
                   const TpCommon__Payloads *values);
bool tl_marker_add_payload(struct tl_arena *arena, struct tl_pb_list *details, const char *key,
                           TpCommon__Payload *value);

/* The marker of a side effect, ours (which is Go's) or Java's. */
struct tl_side_effect {
    struct tl_str id; /* empty: a plain one */
    uint32_t call;
    const TpCommon__Payloads *value;
};
#define TL_SIDE_EFFECT_MARKER_NAME "SideEffect"
#define TL_MUTABLE_SIDE_EFFECT_MARKER_NAME "MutableSideEffect"
bool tl_side_effect_read(const TpHistory__HistoryEvent *event, struct tl_arena *arena,
                         struct tl_side_effect *out);

/* local_marker.c: how a local activity ended, as its marker says it. */
struct tl_local_marker {
    uint32_t seq; /* 0: another SDK's marker, which has none */
    uint32_t attempt;
    struct tl_str id, type;
    int64_t complete_ns, backoff_ns, original_ns; /* 0: none */
    int64_t batch; /* equal ones in a row were told in one activation; -1: not recorded */
    int64_t event_id;
    enum tl_activity_status status;
    const TpCommon__Payloads *result;
    const TpFailure__Failure *failure; /* as recorded: not wrapped */
};
#define TL_LOCAL_MARKER_NAME "core_local_activity"
bool tl_local_marker_is(const TpHistory__HistoryEvent *event);
/* False when the event is none, or cannot be read. */
bool tl_local_marker_read(const TpHistory__HistoryEvent *event, struct tl_arena *arena,
                          struct tl_local_marker *out);
TpCommand__RecordMarkerCommandAttributes *tl_local_marker_make(struct tl_arena *arena,
                                                               const struct tl_local_marker *m);

/* locals.c: local activities between their machines, the markers ahead and the worker. */

/* What is kept of a local activity beside its machine, until its marker is recorded. */
struct tl_local {
    uint32_t seq;
    uint32_t ordinal; /* the how manieth of the run */
    uint32_t attempt;
    uint8_t asked;       /* cancelled by the code */
    int64_t original_ns; /* first scheduled; 0: not known */
    int64_t schedule_to_start_ns, retry_threshold_ns;
    int64_t scheduled_ns;    /* the workflow's time then */
    int64_t marker_event_id; /* told from this marker, ahead of it */
    struct tl_str
        dress; /* owned: encoded Command with metadata and groups of the marker's; or empty */
    struct tl_str task; /* owned: encoded PollActivityTaskQueueResponse, until it is requested */
};

tl_rc tl_local_add(struct tl_run *run, const struct tl_machine *machine, const struct tl_cmd *cmd,
                   struct tl_error *err);
/* NULL when there is none (any more). Valid until the next local activity is scheduled. */
struct tl_local *tl_local_find(struct tl_run *run, uint32_t seq);
/* Metadata and groups for the marker's command, in the group's arena. */
tl_rc tl_local_dress(struct tl_run *run, const struct tl_local *local, struct tl_cmd *out,
                     struct tl_error *err);
void tl_local_forget(struct tl_run *run, uint32_t seq);
void tl_locals_free(struct tl_run *run);
/* The worker is to cancel it. */
tl_rc tl_local_request_cancel(struct tl_run *run, uint32_t seq, struct tl_error *err);
/* Puts an end into the queue of what is to be told; `end` is copied. */
tl_rc tl_local_push(struct tl_run *run, const struct tl_local_marker *end, struct tl_error *err);
/* Markers among the commands of the group's task. */
tl_rc tl_local_look_ahead(struct tl_run *run, const TpHistory__HistoryEvent *event,
                          struct tl_error *err);
/* Makes jobs of the ends that belong into the next activation. *any: there were some. */
tl_rc tl_local_deliver(struct tl_run *run, bool *any, struct tl_error *err);
/* Replay is over: what has no marker is to be run. */
tl_rc tl_locals_go_live(struct tl_run *run, struct tl_error *err);
/* Those whose end the worker owes. */
uint32_t tl_locals_outstanding(const struct tl_run *run);
/* Moves requests that are due into the result. */
tl_rc tl_locals_take_requests(struct tl_run *run, struct tl_wft_result *out, struct tl_error *err);
/* True: the event is the marker of one that was told ahead of it; the machine has taken it. */
tl_rc tl_local_recorded(struct tl_run *run, const TpHistory__HistoryEvent *event, bool *taken,
                        struct tl_error *err);
