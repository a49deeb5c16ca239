/* Private to the folder: one completion of a workflow task being worked on (wft_complete.c), the
 * commands (commands*.c) and protocol messages (update_messages.c) in it.
 * Thread: the run's owner. Owner: everything lives in the transaction's arena. */
#pragma once

#include "server/history/rs.h"

/* Why a completion is refused. */
struct tl_refusal {
    int cause; /* WORKFLOW_TASK_FAILED_CAUSE_*; 0: accepted */
    bool terminate;
    bool has_message;
    char message[400];
};
/* What a command of this completion did to an activity or timer, while checking. */
enum tl_overlay { TL_OVER_NONE, TL_OVER_RUNNING, TL_OVER_CANCELLING, TL_OVER_GONE };
struct tl_over_act {
    enum tl_overlay state;
    const char *activity_id;
};
enum tl_update_message_kind { TL_UPDATE_ACCEPTANCE, TL_UPDATE_REJECTION, TL_UPDATE_RESPONSE };
/* A protocol message of a completion. */
struct tl_update_message {
    const TpProtocol__Message *message;
    enum tl_update_message_kind kind;
    void *body; /* decoded: Acceptance, Rejection or Response */
    bool checked, run;
};
/* One completion being worked on (wft_complete.c): all commands are checked against the state and an
 * overlay of what the ones before will have done; only then is any of them carried out. */
struct tl_wft_done {
    struct tl_tx *tx;
    const TpWs__RespondWorkflowTaskCompletedRequest *req;
    int64_t completed_id; /* predicted while checking */
    int64_t next_id;      /* while checking: id that the next event would get */
    size_t buffered;      /* events that would wait when the next command runs */
    size_t pending_acts, pending_timers, pending_children, pending_signals, pending_cancels;
    size_t pending_nexus;
    struct tl_map nexus_cancels; /* scheduled ids that this completion cancels */
    struct tl_map child_ids;     /* workflow ids of children started by this completion */
    struct tl_map timers;        /* overlay: timer id -> enum tl_overlay */
    struct tl_map act_ids;       /* overlay: activity id -> enum tl_overlay */
    struct tl_map acts;          /* overlay: scheduled id -> struct tl_over_act */
    struct tl_update_message *messages;
    size_t message_n;
    struct tl_map updates; /* overlay: update id -> what the messages before made of it */
    int64_t *eager;        /* scheduled ids, eager_activities_max at most */
    size_t eager_n;
    struct tl_refusal no;
};
void tl_refuse(struct tl_wft_done *d, int cause, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void tl_refuse_terminate(struct tl_wft_done *d, int cause, const char *message);
/* All commands in order; d->no tells of the first refused one. */
void tl_commands_check(struct tl_wft_done *d);
/* After tl_commands_check accepted them. */
void tl_commands_run(struct tl_wft_done *d);
/* "" or why the sequence of commands is malformed. */
tl_rc tl_commands_check_sequence(const TpWs__RespondWorkflowTaskCompletedRequest *req,
                                 struct tl_error *err) TL_MUST_USE;

typedef void (*tl_command_fn)(struct tl_wft_done *d, const TpCommand__Command *c);
void tl_command_check_activity(struct tl_wft_done *d, const TpCommand__Command *c);
void tl_command_run_activity(struct tl_wft_done *d, const TpCommand__Command *c);
void tl_command_check_cancel_activity(struct tl_wft_done *d, const TpCommand__Command *c);
void tl_command_run_cancel_activity(struct tl_wft_done *d, const TpCommand__Command *c);
void tl_command_check_timer(struct tl_wft_done *d, const TpCommand__Command *c);
void tl_command_run_timer(struct tl_wft_done *d, const TpCommand__Command *c);
void tl_command_check_cancel_timer(struct tl_wft_done *d, const TpCommand__Command *c);
void tl_command_run_cancel_timer(struct tl_wft_done *d, const TpCommand__Command *c);
/* What a command sets for its own run (`merged` is what that comes to) or for another (the same twice).
 * NULL is fine. False: refused with BAD_SEARCH_ATTRIBUTES. */
bool tl_command_check_attributes(struct tl_wft_done *d, uint64_t namespace_number,
                                 const TpCommon__SearchAttributes *sa,
                                 const TpCommon__SearchAttributes *merged);
void tl_command_check_complete(struct tl_wft_done *d, const TpCommand__Command *c);
void tl_command_run_complete(struct tl_wft_done *d, const TpCommand__Command *c);
void tl_command_check_fail(struct tl_wft_done *d, const TpCommand__Command *c);
void tl_command_run_fail(struct tl_wft_done *d, const TpCommand__Command *c);
void tl_command_check_cancel(struct tl_wft_done *d, const TpCommand__Command *c);
void tl_command_run_cancel(struct tl_wft_done *d, const TpCommand__Command *c);
void tl_command_check_continue(struct tl_wft_done *d, const TpCommand__Command *c);
void tl_command_run_continue(struct tl_wft_done *d, const TpCommand__Command *c);
void tl_command_check_child(struct tl_wft_done *d, const TpCommand__Command *c);
void tl_command_run_child(struct tl_wft_done *d, const TpCommand__Command *c);
void tl_command_check_signal_other(struct tl_wft_done *d, const TpCommand__Command *c);
void tl_command_run_signal_other(struct tl_wft_done *d, const TpCommand__Command *c);
void tl_command_check_cancel_other(struct tl_wft_done *d, const TpCommand__Command *c);
void tl_command_run_cancel_other(struct tl_wft_done *d, const TpCommand__Command *c);
void tl_command_check_nexus(struct tl_wft_done *d, const TpCommand__Command *c);
void tl_command_run_nexus(struct tl_wft_done *d, const TpCommand__Command *c);
void tl_command_check_cancel_nexus(struct tl_wft_done *d, const TpCommand__Command *c);
void tl_command_run_cancel_nexus(struct tl_wft_done *d, const TpCommand__Command *c);
void tl_command_check_message(struct tl_wft_done *d, const TpCommand__Command *c);
void tl_command_run_message(struct tl_wft_done *d, const TpCommand__Command *c);
/* update_messages.c: the protocol messages; read decodes them (false: no memory), the rest are those
 * that no command named. */
bool tl_updates_read(struct tl_wft_done *d);
void tl_updates_check_rest(struct tl_wft_done *d);
void tl_updates_run_rest(struct tl_wft_done *d);
/* A speculative task brought nothing but rejections: it need not be in the history. */
bool tl_updates_only_rejected(const struct tl_wft_done *d);
/* "BadStartTimerAttributes" of WORKFLOW_TASK_FAILED_CAUSE_BAD_START_TIMER_ATTRIBUTES. */
void tl_cause_name(int cause, char *out, size_t cap);
static inline void *tl_over(enum tl_overlay o)
{
    return (void *)(uintptr_t)o;
}
static inline enum tl_overlay tl_over_get(const struct tl_map *m, const char *id)
{
    return (enum tl_overlay)(uintptr_t)tl_map_get(m, tl_str(id));
}
/* Copies a command's user metadata and group markers to its event. */
void tl_command_decorate(struct tl_ev *ev, const TpCommand__Command *c);
