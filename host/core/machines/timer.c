/* Timer. The code starts it; the server fires it; the code may cancel it first. A timer cancelled
 * before its command left is taken back, so neither command is sent. Cancelling one that has fired
 * does nothing; the server drops a firing that meets a cancellation in the same task.
 * Thread: the run's. */
#include "core/run_int.h"

#include <tl_enums.h>

/* clang-format off */
#define TIMER_STATES(S) S(NEW) S(START_CREATED) S(STARTED) S(CANCEL_CREATED) S(CANCELED) S(FIRED)
#define TIMER_EVENTS(E) E(START) E(CANCEL) E(TIMER_STARTED) E(TIMER_FIRED) E(TIMER_CANCELED)
#define TIMER_TABLE(T)                                                                             \
    /* state         event           action       next           */                                \
    T(NEW,            START,          NULL,        START_CREATED)                                  \
    T(START_CREATED,  TIMER_STARTED,  check_id,    STARTED)                                        \
    T(START_CREATED,  CANCEL,         take_back,   CANCELED)                                       \
    T(STARTED,        TIMER_FIRED,    resolve,     FIRED)                                          \
    T(STARTED,        CANCEL,         emit_cancel, CANCEL_CREATED)                                 \
    T(CANCEL_CREATED, CANCEL,         NULL,        CANCEL_CREATED)                                 \
    T(CANCEL_CREATED, TIMER_CANCELED, NULL,        CANCELED)                                       \
    T(CANCELED,       CANCEL,         NULL,        CANCELED)

enum {
#define S(name) TIMER_S_##name,
    TIMER_STATES(S)
#undef S
    TIMER_S_COUNT,
};
enum {
#define E(name) TIMER_E_##name,
    TIMER_EVENTS(E)
#undef E
    TIMER_E_COUNT,
};
/* clang-format on */

static tl_rc check_id(struct tl_run *run, struct tl_machine *machine,
                      const struct tl_fsm_input *input, struct tl_error *err)
{
    struct tl_str recorded = tl_str(input->event->timer_started_event_attributes->timer_id);
    char seq_text[16];
    struct tl_str name, ours = tl_machine_id(run, machine, seq_text, &name);
    if (tl_str_eq(recorded, ours)) {
        return TL_OK;
    }
    if (run->sdk_family == TL_SDK_CORE &&
        tl_core_use_flag(run, TL_FLAG_ID_AND_TYPE_CHECKS, run->task->group.last)) {
        return tl_error_set(err, TL_ENONDETERMINISM,
                            "history has the timer id '%.*s', the code made '%.*s'",
                            TL_STR_FMT(recorded), TL_STR_FMT(ours));
    }
    tl_machine_set_text(machine, recorded, (struct tl_str){0}); /* another SDK's numbering */
    return TL_OK;
}

static tl_rc take_back(struct tl_run *run, struct tl_machine *machine,
                       const struct tl_fsm_input *input, struct tl_error *err)
{
    (void)input, (void)err;
    machine->dropped = true;
    run->dropped_count++;
    return TL_OK;
}

static tl_rc resolve(struct tl_run *run, struct tl_machine *machine,
                     const struct tl_fsm_input *input, struct tl_error *err)
{
    struct tl_str recorded = tl_str(input->event->timer_fired_event_attributes->timer_id);
    char seq_text[16];
    struct tl_str name, ours = tl_machine_id(run, machine, seq_text, &name);
    if (!tl_str_eq(recorded, ours)) {
        return tl_error_set(err, TL_ENONDETERMINISM, "the timer started as '%.*s' fires as '%.*s'",
                            TL_STR_FMT(ours), TL_STR_FMT(recorded));
    }
    struct tl_job *job = tl_core_add_job(run, TL_JOB_TIMER_FIRED, err);
    if (!job) {
        return TL_ELIMIT;
    }
    job->u.timer.seq = machine->seq;
    return TL_OK;
}

static tl_rc emit_cancel(struct tl_run *run, struct tl_machine *machine,
                         const struct tl_fsm_input *input, struct tl_error *err)
{
    TpCommand__CancelTimerCommandAttributes *attrs =
        TL_PB_NEW(run->task->current, TpCommand__CancelTimerCommandAttributes,
                  tp_command__cancel_timer_command_attributes);
    char seq_text[16];
    struct tl_str name, id = tl_machine_id(run, machine, seq_text, &name);
    if (!attrs || !(attrs->timer_id = tl_pb_cstr(run->task->current, id))) {
        return tl_error_set(err, TL_ELIMIT, "cancel of timer %u: the arena is full", machine->seq);
    }
    tl_core_push_command(run, (uint32_t)(machine - run->machines), COMMAND_TYPE_CANCEL_TIMER,
                         &attrs->base, input->cmd);
    return TL_OK;
}

#define T(state, event, action, next) TL_FSM_EDGE(TIMER, state, event, action, next)
static const struct tl_fsm_edge edges[TIMER_S_COUNT * TIMER_E_COUNT] = {TIMER_TABLE(T)};
#undef T
static _Atomic uint8_t taken[TIMER_S_COUNT * TIMER_E_COUNT];
#define NAME(name) #name,
static const char *const states[] = {TIMER_STATES(NAME)};
static const char *const events[] = {TIMER_EVENTS(NAME)};
#undef NAME
const struct tl_fsm tl_timer_fsm = {"timer",       states,
                                    events,        TIMER_S_COUNT,
                                    TIMER_E_COUNT, 1u << TIMER_S_CANCELED | 1u << TIMER_S_FIRED,
                                    edges,         taken};

tl_rc tl_timer_start(struct tl_run *run, const struct tl_cmd *cmd, struct tl_error *err)
{
    if (cmd->seq <= run->timer_seq || !cmd->attrs ||
        cmd->attrs->descriptor != &tp_command__start_timer_command_attributes__descriptor) {
        return tl_error_set(err, TL_EINVAL, "timer %u: number not rising or attributes missing",
                            cmd->seq);
    }
    run->timer_seq = cmd->seq;
    TpCommand__StartTimerCommandAttributes *attrs =
        (TpCommand__StartTimerCommandAttributes *)cmd->attrs;
    uint32_t slot;
    struct tl_machine *machine = tl_core_add_machine(run, TL_MACHINE_TIMER, cmd->seq, &slot);
    if (attrs->timer_id && attrs->timer_id[0]) {
        tl_machine_set_text(machine, tl_str(attrs->timer_id), (struct tl_str){0});
    } else {
        char seq_text[16];
        struct tl_str name, id = tl_machine_id(run, machine, seq_text, &name);
        attrs->timer_id = tl_pb_cstr(run->task->current, id);
        if (!attrs->timer_id) {
            return tl_error_set(err, TL_ELIMIT, "timer %u: the arena is full", cmd->seq);
        }
    }
    tl_core_push_command(run, slot, COMMAND_TYPE_START_TIMER, cmd->attrs, cmd);
    return tl_fsm_apply(&tl_timer_fsm, run, machine, TIMER_E_START,
                        &(struct tl_fsm_input){.cmd = cmd}, err);
}

tl_rc tl_timer_cancel(struct tl_run *run, const struct tl_cmd *cmd, struct tl_error *err)
{
    if (cmd->seq == 0 || cmd->seq > run->timer_seq) {
        return tl_error_set(err, TL_EINVAL, "cancel of timer %u, which was never started",
                            cmd->seq);
    }
    uint32_t slot;
    struct tl_machine *machine = tl_core_find(run, TL_MACHINE_TIMER, cmd->seq, &slot);
    if (!machine) {
        return TL_OK; /* fired or cancelled already */
    }
    return tl_fsm_apply(&tl_timer_fsm, run, machine, TIMER_E_CANCEL,
                        &(struct tl_fsm_input){.cmd = cmd}, err);
}

tl_rc tl_timer_event(struct tl_run *run, struct tl_machine *machine,
                     const TpHistory__HistoryEvent *event, struct tl_error *err)
{
    uint8_t input = TIMER_E_TIMER_STARTED;
    if ((int)event->event_type == EVENT_TYPE_TIMER_FIRED) {
        input = TIMER_E_TIMER_FIRED;
    } else if ((int)event->event_type == EVENT_TYPE_TIMER_CANCELED) {
        input = TIMER_E_TIMER_CANCELED;
    }
    return tl_fsm_apply(&tl_timer_fsm, run, machine, input, &(struct tl_fsm_input){.event = event},
                        err);
}
