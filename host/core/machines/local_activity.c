/* Local activity. The code schedules it; the worker of this workflow task runs it and says how it
 * ended; only then a command is made, the marker that records the end. Replaying, the end is told
 * from the marker, which is looked for ahead of the code (locals.c).
 * Cancelled by the code:
 *   try      the worker is told to cancel it, the code is told canceled at once;
 *   wait     the worker is told, the code learns how it ends;
 *   abandon  nobody is told, the code is told canceled at once.
 * One whose request the worker has not seen yet ends canceled at once. On replay a cancellation does
 * nothing: what came of it is in the marker.
 * Thread: the run's. */
#include "core/run_int.h"

#include <tl_enums.h>

/* clang-format off */
#define LOCAL_STATES(S)                                                                            \
    S(NEW)                                                                                         \
    S(REQUESTED)      /* the worker owes its end */                                                \
    S(WAITING)        /* replaying: for its marker to come in sight */                             \
    S(TOLD)           /* ahead of its marker */                                                    \
    S(MARKER_CREATED)                                                                              \
    S(RECORDED)
#define LOCAL_EVENTS(E)                                                                            \
    E(SCHEDULE)                                                                                    \
    E(SCHEDULE_REPLAY)                                                                             \
    E(RESOLVE)                                                                                     \
    E(CANCEL)                                                                                      \
    E(CANCEL_WAIT)                                                                                 \
    E(ABANDON)                                                                                     \
    E(KNOWN)                                                                                       \
    E(GO_LIVE)                                                                                     \
    E(RECORD)
#define LOCAL_TABLE(T)                                                                             \
    /* state           event            action          next            */                         \
    T(NEW,             SCHEDULE,        NULL,           REQUESTED)                                 \
    T(NEW,             SCHEDULE_REPLAY, NULL,           WAITING)                                   \
    T(REQUESTED,       RESOLVE,         NULL,           MARKER_CREATED)                            \
    T(REQUESTED,       CANCEL,          request_cancel, REQUESTED)                                 \
    T(REQUESTED,       CANCEL_WAIT,     request_cancel, REQUESTED)                                 \
    T(REQUESTED,       ABANDON,         NULL,           REQUESTED)                                 \
    T(WAITING,         CANCEL,          NULL,           WAITING)                                   \
    T(WAITING,         CANCEL_WAIT,     NULL,           WAITING)                                   \
    T(WAITING,         ABANDON,         NULL,           WAITING)                                   \
    T(WAITING,         KNOWN,           NULL,           TOLD)                                      \
    T(WAITING,         GO_LIVE,         NULL,           REQUESTED)                                 \
    T(TOLD,            CANCEL,          NULL,           TOLD)                                      \
    T(TOLD,            CANCEL_WAIT,     NULL,           TOLD)                                      \
    T(TOLD,            ABANDON,         NULL,           TOLD)                                      \
    T(TOLD,            RECORD,          check_marker,   RECORDED)                                  \
    T(MARKER_CREATED,  CANCEL,          NULL,           MARKER_CREATED)                            \
    T(MARKER_CREATED,  CANCEL_WAIT,     NULL,           MARKER_CREATED)                            \
    T(MARKER_CREATED,  ABANDON,         NULL,           MARKER_CREATED)                            \
    T(MARKER_CREATED,  RECORD,          check_marker,   RECORDED)

enum {
#define S(name) LOCAL_S_##name,
    LOCAL_STATES(S)
#undef S
    LOCAL_S_COUNT,
};
enum {
#define E(name) LOCAL_E_##name,
    LOCAL_EVENTS(E)
#undef E
    LOCAL_E_COUNT,
};
/* clang-format on */

static tl_rc request_cancel(struct tl_run *run, struct tl_machine *machine,
                            const struct tl_fsm_input *input, struct tl_error *err)
{
    (void)input;
    const struct tl_local *local = tl_local_find(run, machine->seq);
    if (local->asked || local->task.n) {
        return TL_OK; /* once is enough; one that was not requested never begins */
    }
    return tl_local_request_cancel(run, machine->seq, err);
}

/* Another SDK's markers have no number; they were matched when they came in sight. */
static tl_rc check_marker(struct tl_run *run, struct tl_machine *machine,
                          const struct tl_fsm_input *input, struct tl_error *err)
{
    struct tl_local_marker m;
    char seq_text[16];
    struct tl_str type, id = tl_machine_id(run, machine, seq_text, &type);
    if (!tl_local_marker_read(input->event, run->task->current, &m)) {
        return tl_error_set(err, TL_ENONDETERMINISM,
                            "the code ran the local activity %.*s (%.*s), the marker is of another "
                            "kind",
                            TL_STR_FMT(id), TL_STR_FMT(type));
    }
    bool same_id = m.seq == 0 || (m.seq == machine->seq && tl_str_eq(m.id, id));
    if (!same_id || (m.type.n && !tl_str_eq(m.type, type))) {
        return tl_error_set(err, TL_ENONDETERMINISM,
                            "history has the local activity %.*s (%.*s), the code ran %.*s (%.*s)",
                            TL_STR_FMT(m.id), TL_STR_FMT(m.type), TL_STR_FMT(id), TL_STR_FMT(type));
    }
    tl_local_forget(run, machine->seq);
    return TL_OK;
}

#define T(state, event, action, next) TL_FSM_EDGE(LOCAL, state, event, action, next)
static const struct tl_fsm_edge edges[LOCAL_S_COUNT * LOCAL_E_COUNT] = {LOCAL_TABLE(T)};
#undef T
static _Atomic uint8_t taken_edges[LOCAL_S_COUNT * LOCAL_E_COUNT];
#define NAME(name) #name,
static const char *const states[] = {LOCAL_STATES(NAME)};
static const char *const events[] = {LOCAL_EVENTS(NAME)};
#undef NAME
const struct tl_fsm tl_local_fsm = {
    "local activity",       states, events,     LOCAL_S_COUNT, LOCAL_E_COUNT,
    1u << LOCAL_S_RECORDED, edges,  taken_edges};

bool tl_local_waits_for_marker(const struct tl_machine *machine)
{
    return machine->state == LOCAL_S_WAITING;
}

bool tl_local_told(const struct tl_machine *machine)
{
    return machine->state == LOCAL_S_TOLD;
}

bool tl_local_with_worker(const struct tl_machine *machine)
{
    return machine->state == LOCAL_S_REQUESTED;
}

bool tl_local_ended(const struct tl_machine *machine)
{
    return machine->state == LOCAL_S_MARKER_CREATED;
}

/* --- the end ---------------------------------------------------------------------------------- */

static tl_rc canceled_end(struct tl_run *run, const struct tl_local *local,
                          struct tl_local_marker *end, struct tl_error *err)
{
    const TpFailure__Failure *failure = tl_core_canceled(run, "Activity cancelled", NULL);
    if (!failure) {
        return tl_error_set(err, TL_ELIMIT, "local activity %u: the arena is full", local->seq);
    }
    *end = (struct tl_local_marker){
        .seq = local->seq,
        .attempt = local->attempt,
        .original_ns = local->original_ns,
        .status = TL_ACTIVITY_CANCELED,
        .failure = failure,
    };
    return failure->message
               ? TL_OK
               : tl_error_set(err, TL_ELIMIT, "local activity %u: the arena is full", local->seq);
}

/* The marker's command, and the end into the queue. */
static tl_rc record_end(struct tl_run *run, uint32_t slot, const struct tl_local_marker *from,
                        struct tl_error *err)
{
    struct tl_machine *machine = &run->machines[slot];
    const struct tl_local *local = tl_local_find(run, machine->seq);
    struct tl_local_marker end = *from;
    char seq_text[16];
    end.id = tl_machine_id(run, machine, seq_text, &end.type);
    end.id = tl_arena_str(run->task->current, end.id);
    end.batch = run->task->batch; /* says nothing of the activations before: a cache saves some */
    run->task->batch_begun = true;
    /* complete_ns comes as how long it ran; the workflow's time never goes back. */
    end.complete_ns += local->scheduled_ns;
    end.complete_ns = end.complete_ns > run->now_ns ? end.complete_ns : run->now_ns;
    TpCommand__RecordMarkerCommandAttributes *attrs =
        tl_local_marker_make(run->task->current, &end);
    if (!attrs || !end.id.p) {
        return tl_error_set(err, TL_ELIMIT, "local activity %u: the arena is full", end.seq);
    }
    struct tl_cmd dress;
    tl_rc rc = tl_local_dress(run, local, &dress, err);
    if (rc != TL_OK) {
        return rc;
    }
    tl_core_push_command(run, slot, COMMAND_TYPE_RECORD_MARKER, &attrs->base, &dress);
    rc = tl_fsm_apply(&tl_local_fsm, run, machine, LOCAL_E_RESOLVE, &(struct tl_fsm_input){0}, err);
    return rc == TL_OK ? tl_local_push(run, &end, err) : rc;
}

tl_rc tl_local_resolve(struct tl_run *run, const struct tl_local_marker *end, bool *taken,
                       struct tl_error *err)
{
    uint32_t slot;
    struct tl_machine *machine = tl_core_find(run, TL_MACHINE_LOCAL, end->seq, &slot);
    *taken = machine && machine->state == LOCAL_S_REQUESTED;
    return *taken ? record_end(run, slot, end, err) : TL_OK;
}

tl_rc tl_local_known(struct tl_run *run, struct tl_machine *machine, struct tl_error *err)
{
    return tl_fsm_apply(&tl_local_fsm, run, machine, LOCAL_E_KNOWN, &(struct tl_fsm_input){0}, err);
}

tl_rc tl_local_go_live(struct tl_run *run, struct tl_machine *machine, struct tl_error *err)
{
    return tl_fsm_apply(&tl_local_fsm, run, machine, LOCAL_E_GO_LIVE, &(struct tl_fsm_input){0},
                        err);
}

/* --- commands and events ---------------------------------------------------------------------- */

tl_rc tl_local_schedule(struct tl_run *run, const struct tl_cmd *cmd, struct tl_error *err)
{
    if (cmd->seq <= run->local_seq || !cmd->u.local || cmd->u.local->type.n == 0) {
        return tl_error_set(err, TL_EINVAL, "local activity %u: number not rising or type missing",
                            cmd->seq);
    }
    uint32_t slot;
    struct tl_machine *machine = tl_core_add_machine(run, TL_MACHINE_LOCAL, cmd->seq, &slot);
    machine->cancellation = (uint8_t)cmd->cancellation;
    tl_machine_set_text(machine, cmd->u.local->type, cmd->u.local->id);
    tl_rc rc = tl_local_add(run, machine, cmd, err);
    if (rc != TL_OK) {
        return rc;
    }
    bool live = !run->replaying && !run->task->query_only;
    return tl_fsm_apply(&tl_local_fsm, run, &run->machines[slot],
                        live ? LOCAL_E_SCHEDULE : LOCAL_E_SCHEDULE_REPLAY,
                        &(struct tl_fsm_input){.cmd = cmd}, err);
}

tl_rc tl_local_cancel(struct tl_run *run, const struct tl_cmd *cmd, struct tl_error *err)
{
    static const uint8_t inputs[] = {[TL_CANCEL_TRY] = LOCAL_E_CANCEL,
                                     [TL_CANCEL_WAIT] = LOCAL_E_CANCEL_WAIT,
                                     [TL_CANCEL_ABANDON] = LOCAL_E_ABANDON};
    if (cmd->seq == 0 || cmd->seq > run->local_seq) {
        return tl_error_set(err, TL_EINVAL,
                            "cancel of local activity %u, which was never scheduled", cmd->seq);
    }
    uint32_t slot;
    struct tl_machine *machine = tl_core_find(run, TL_MACHINE_LOCAL, cmd->seq, &slot);
    if (!machine) {
        return TL_OK; /* recorded already */
    }
    tl_rc rc = tl_fsm_apply(&tl_local_fsm, run, machine, inputs[machine->cancellation],
                            &(struct tl_fsm_input){.cmd = cmd}, err);
    if (rc != TL_OK || machine->state != LOCAL_S_REQUESTED) {
        return rc;
    }
    struct tl_local *local = tl_local_find(run, cmd->seq);
    local->asked = true;
    bool unseen = local->task.n > 0;
    if (machine->cancellation == TL_CANCEL_WAIT && !unseen) {
        return TL_OK;
    }
    struct tl_local_marker end;
    rc = canceled_end(run, local, &end, err);
    return rc == TL_OK ? record_end(run, slot, &end, err) : rc;
}

tl_rc tl_local_event(struct tl_run *run, struct tl_machine *machine,
                     const TpHistory__HistoryEvent *event, struct tl_error *err)
{
    return tl_fsm_apply(&tl_local_fsm, run, machine, LOCAL_E_RECORD,
                        &(struct tl_fsm_input){.event = event}, err);
}
