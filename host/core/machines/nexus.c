/* Nexus operation. The code schedules it; the server writes Scheduled for the command, then Started when
 * its handler carries on with it, then how it ended; one that its handler ends at once has no Started.
 * The code may cancel it:
 *   try        request it and tell the code at once; whatever the operation does later is not told;
 *   wait       request it; the code learns how the operation ends;
 *   requested  request it; the code is told canceled when the handler has the request, and failed when
 *              that is given up;
 *   abandon    request nothing, tell the code at once; what comes later is swallowed.
 * One cancelled before its command left is taken back and told that it was never scheduled.
 * What the code sees of an end that the server wrote is the server's failure; it names the operation.
 * Thread: the run's. */
#include "core/run_int.h"

#include <tl_enums.h>

/* clang-format off */
#define NEXUS_STATES(S)                                                                            \
    S(NEW)                                                                                         \
    S(SCHEDULE_CREATED)                                                                            \
    S(SCHEDULED)                                                                                   \
    S(STARTED)                                                                                     \
    S(CANCELING)                                                                                   \
    S(CANCELING_STARTED)                                                                           \
    S(ABANDONED)                                                                                   \
    S(DONE)
#define NEXUS_EVENTS(E)                                                                            \
    E(SCHEDULE)                                                                                    \
    E(CANCEL)                                                                                      \
    E(TRY_CANCEL)                                                                                  \
    E(ABANDON)                                                                                     \
    E(OP_SCHEDULED)                                                                                \
    E(OP_STARTED)                                                                                  \
    E(OP_COMPLETED)                                                                                \
    E(OP_FAILED)                                                                                   \
    E(OP_CANCELED)                                                                                 \
    E(OP_TIMED_OUT)                                                                                \
    E(CANCEL_RECORDED)                                                                             \
    E(CANCEL_DELIVERED)                                                                            \
    E(CANCEL_LOST)
/* CANCEL stands for the types that wait. */
#define NEXUS_TABLE(T)                                                                             \
    /* state             event             action           next                           */      \
    T(NEW,               SCHEDULE,         NULL,            SCHEDULE_CREATED)                      \
    T(SCHEDULE_CREATED,  OP_SCHEDULED,     check_recorded,  SCHEDULED)                             \
    T(SCHEDULE_CREATED,  CANCEL,           take_back,       DONE)                                  \
    T(SCHEDULE_CREATED,  TRY_CANCEL,       take_back,       DONE)                                  \
    T(SCHEDULE_CREATED,  ABANDON,          take_back,       DONE)                                  \
    T(SCHEDULED,         OP_STARTED,       tell_started,    STARTED)                               \
    T(SCHEDULED,         OP_COMPLETED,     tell_completed,  DONE)                                  \
    T(SCHEDULED,         OP_FAILED,        tell_failed,     DONE)                                  \
    T(SCHEDULED,         OP_CANCELED,      tell_canceled,   DONE)                                  \
    T(SCHEDULED,         OP_TIMED_OUT,     tell_timed_out,  DONE)                                  \
    T(SCHEDULED,         CANCEL,           request_cancel,  CANCELING)                             \
    T(SCHEDULED,         TRY_CANCEL,       try_cancel,      ABANDONED)                             \
    T(SCHEDULED,         ABANDON,          tell_abandoned,  ABANDONED)                             \
    T(STARTED,           OP_COMPLETED,     tell_completed,  DONE)                                  \
    T(STARTED,           OP_FAILED,        tell_failed,     DONE)                                  \
    T(STARTED,           OP_CANCELED,      tell_canceled,   DONE)                                  \
    T(STARTED,           OP_TIMED_OUT,     tell_timed_out,  DONE)                                  \
    T(STARTED,           CANCEL,           request_cancel,  CANCELING_STARTED)                     \
    T(STARTED,           TRY_CANCEL,       try_cancel,      ABANDONED)                             \
    T(STARTED,           ABANDON,          tell_abandoned,  ABANDONED)                             \
    T(CANCELING,         CANCEL,           NULL,            CANCELING)                             \
    T(CANCELING,         CANCEL_RECORDED,  NULL,            CANCELING)                             \
    T(CANCELING,         OP_STARTED,       tell_started,    CANCELING_STARTED)                     \
    T(CANCELING,         OP_COMPLETED,     tell_completed,  DONE)                                  \
    T(CANCELING,         OP_FAILED,        tell_failed,     DONE)                                  \
    T(CANCELING,         OP_CANCELED,      tell_canceled,   DONE)                                  \
    T(CANCELING,         OP_TIMED_OUT,     tell_timed_out,  DONE)                                  \
    T(CANCELING_STARTED, CANCEL,           NULL,            CANCELING_STARTED)                     \
    T(CANCELING_STARTED, CANCEL_RECORDED,  NULL,            CANCELING_STARTED)                     \
    T(CANCELING_STARTED, CANCEL_DELIVERED, delivered,       CANCELING_STARTED)                     \
    T(CANCELING_STARTED, CANCEL_LOST,      lost,            CANCELING_STARTED)                     \
    T(CANCELING_STARTED, OP_COMPLETED,     wait_completed,  DONE)                                  \
    T(CANCELING_STARTED, OP_FAILED,        wait_failed,     DONE)                                  \
    T(CANCELING_STARTED, OP_CANCELED,      wait_canceled,   DONE)                                  \
    T(CANCELING_STARTED, OP_TIMED_OUT,     wait_timed_out,  DONE)                                  \
    T(ABANDONED,         TRY_CANCEL,       NULL,            ABANDONED)                             \
    T(ABANDONED,         ABANDON,          NULL,            ABANDONED)                             \
    T(ABANDONED,         CANCEL_RECORDED,  NULL,            ABANDONED)                             \
    T(ABANDONED,         CANCEL_DELIVERED, NULL,            ABANDONED)                             \
    T(ABANDONED,         CANCEL_LOST,      NULL,            ABANDONED)                             \
    T(ABANDONED,         OP_STARTED,       NULL,            ABANDONED)                             \
    T(ABANDONED,         OP_COMPLETED,     NULL,            DONE)                                  \
    T(ABANDONED,         OP_FAILED,        NULL,            DONE)                                  \
    T(ABANDONED,         OP_CANCELED,      NULL,            DONE)                                  \
    T(ABANDONED,         OP_TIMED_OUT,     NULL,            DONE)                                  \
    T(DONE,              CANCEL,           NULL,            DONE)                                  \
    T(DONE,              TRY_CANCEL,       NULL,            DONE)                                  \
    T(DONE,              ABANDON,          NULL,            DONE)

enum {
#define S(name) NEXUS_S_##name,
    NEXUS_STATES(S)
#undef S
    NEXUS_S_COUNT,
};
enum {
#define E(name) NEXUS_E_##name,
    NEXUS_EVENTS(E)
#undef E
    NEXUS_E_COUNT,
};
/* clang-format on */

/* The machine's strings. */
enum { TEXT_OPERATION, TEXT_SERVICE, TEXT_ENDPOINT, TEXT_TOKEN, TEXT_COUNT };

static tl_rc arena_full(const struct tl_machine *machine, struct tl_error *err)
{
    return tl_error_set(err, TL_ELIMIT, "Nexus operation %u: the arena is full", machine->seq);
}

static tl_rc check_recorded(struct tl_run *run, struct tl_machine *machine,
                            const struct tl_fsm_input *input, struct tl_error *err)
{
    const TpHistory__NexusOperationScheduledEventAttributes *recorded =
        input->event->nexus_operation_scheduled_event_attributes;
    const struct {
        const char *what;
        struct tl_str theirs;
        unsigned text;
    } checks[] = {
        {"endpoint", tl_str(recorded->endpoint), TEXT_ENDPOINT},
        {"service", tl_str(recorded->service), TEXT_SERVICE},
        {"operation", tl_str(recorded->operation), TEXT_OPERATION},
    };
    (void)run;
    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        struct tl_str ours = tl_machine_text(machine, checks[i].text);
        if (!tl_str_eq(checks[i].theirs, ours)) {
            return tl_error_set(
                err, TL_ENONDETERMINISM,
                "history has a Nexus operation with the %s '%.*s', the code scheduled '%.*s'",
                checks[i].what, TL_STR_FMT(checks[i].theirs), TL_STR_FMT(ours));
        }
    }
    return TL_OK;
}

/* --- failures --------------------------------------------------------------------------------- */

/* NULL when the arena is full. */
static const TpFailure__Failure *own_failure(struct tl_run *run, const struct tl_machine *machine,
                                             const char *message, const TpFailure__Failure *cause)
{
    struct tl_arena *a = run->task->current;
    TpFailure__Failure *f = TL_PB_NEW(a, TpFailure__Failure, tp_failure__failure);
    TpFailure__NexusOperationFailureInfo *info = TL_PB_NEW(
        a, TpFailure__NexusOperationFailureInfo, tp_failure__nexus_operation_failure_info);
    TpFailure__Failure *canceled = tl_core_canceled(run, "", NULL);
    if (!f || !info || !canceled) {
        return NULL;
    }
    f->message = tl_pb_cstr(a, tl_str(message));
    info->scheduled_event_id = machine->event_id;
    info->endpoint = tl_pb_cstr(a, tl_machine_text(machine, TEXT_ENDPOINT));
    info->service = tl_pb_cstr(a, tl_machine_text(machine, TEXT_SERVICE));
    info->operation = tl_pb_cstr(a, tl_machine_text(machine, TEXT_OPERATION));
    info->operation_token = tl_pb_cstr(a, tl_machine_text(machine, TEXT_TOKEN));
    if (!f->message || !info->endpoint || !info->service || !info->operation ||
        !info->operation_token) {
        return NULL;
    }
    f->failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_NEXUS_OPERATION_EXECUTION_FAILURE_INFO;
    f->nexus_operation_execution_failure_info = info;
    f->cause = cause ? (TpFailure__Failure *)(uintptr_t)cause : canceled;
    return f;
}

/* --- telling the code ------------------------------------------------------------------------- */

static tl_rc tell(struct tl_run *run, const struct tl_machine *machine,
                  const TpCommon__Payload *result, const TpFailure__Failure *failure, bool failed,
                  struct tl_error *err)
{
    if (failed && !failure) {
        return arena_full(machine, err);
    }
    struct tl_job *job = tl_core_add_job(run, TL_JOB_NEXUS_RESOLVED, err);
    if (!job) {
        return TL_ELIMIT;
    }
    job->u.nexus.seq = machine->seq;
    job->u.nexus.result = result;
    job->u.nexus.failure = failure;
    return TL_OK;
}

static tl_rc tell_started(struct tl_run *run, struct tl_machine *machine,
                          const struct tl_fsm_input *input, struct tl_error *err)
{
    const TpHistory__NexusOperationStartedEventAttributes *a =
        input->event->nexus_operation_started_event_attributes;
    struct tl_str token = tl_str(*a->operation_token ? a->operation_token : a->operation_id);
    struct tl_str texts[TEXT_COUNT];
    for (unsigned i = 0; i < TEXT_COUNT; i++) {
        texts[i] = i == TEXT_TOKEN ? token : tl_machine_text(machine, i);
    }
    tl_machine_set_texts(machine, texts, TEXT_COUNT);
    struct tl_job *job = tl_core_add_job(run, TL_JOB_NEXUS_STARTED, err);
    if (!job) {
        return TL_ELIMIT;
    }
    job->u.nexus_started.seq = machine->seq;
    job->u.nexus_started.token = token;
    return TL_OK;
}

static tl_rc tell_completed(struct tl_run *run, struct tl_machine *machine,
                            const struct tl_fsm_input *input, struct tl_error *err)
{
    return tell(run, machine, input->event->nexus_operation_completed_event_attributes->result,
                NULL, false, err);
}

/* What the server says, or when it says nothing, so much. */
static tl_rc tell_end(struct tl_run *run, struct tl_machine *machine, const TpFailure__Failure *f,
                      struct tl_error *err)
{
    return tell(run, machine, NULL,
                f ? f : own_failure(run, machine, "nexus operation completed unsuccessfully", NULL),
                true, err);
}

static tl_rc tell_failed(struct tl_run *run, struct tl_machine *machine,
                         const struct tl_fsm_input *input, struct tl_error *err)
{
    return tell_end(run, machine, input->event->nexus_operation_failed_event_attributes->failure,
                    err);
}

static tl_rc tell_canceled(struct tl_run *run, struct tl_machine *machine,
                           const struct tl_fsm_input *input, struct tl_error *err)
{
    return tell_end(run, machine, input->event->nexus_operation_canceled_event_attributes->failure,
                    err);
}

static tl_rc tell_timed_out(struct tl_run *run, struct tl_machine *machine,
                            const struct tl_fsm_input *input, struct tl_error *err)
{
    return tell_end(run, machine, input->event->nexus_operation_timed_out_event_attributes->failure,
                    err);
}

/* --- cancelling ------------------------------------------------------------------------------- */

static tl_rc take_back(struct tl_run *run, struct tl_machine *machine,
                       const struct tl_fsm_input *input, struct tl_error *err)
{
    (void)input;
    machine->dropped = true;
    run->dropped_count++;
    return tell(run, machine, NULL,
                own_failure(run, machine, "Nexus Operation cancelled before scheduled", NULL), true,
                err);
}

static tl_rc tell_abandoned(struct tl_run *run, struct tl_machine *machine,
                            const struct tl_fsm_input *input, struct tl_error *err)
{
    (void)input;
    return tell(run, machine, NULL,
                own_failure(run, machine, "Nexus operation cancelled after starting", NULL), true,
                err);
}

static tl_rc request_cancel(struct tl_run *run, struct tl_machine *machine,
                            const struct tl_fsm_input *input, struct tl_error *err)
{
    TpCommand__RequestCancelNexusOperationCommandAttributes *attrs =
        TL_PB_NEW(run->task->current, TpCommand__RequestCancelNexusOperationCommandAttributes,
                  tp_command__request_cancel_nexus_operation_command_attributes);
    if (!attrs) {
        return arena_full(machine, err);
    }
    attrs->scheduled_event_id = machine->event_id;
    tl_core_push_command(run, (uint32_t)(machine - run->machines),
                         COMMAND_TYPE_REQUEST_CANCEL_NEXUS_OPERATION, &attrs->base, input->cmd);
    return TL_OK;
}

static tl_rc try_cancel(struct tl_run *run, struct tl_machine *machine,
                        const struct tl_fsm_input *input, struct tl_error *err)
{
    tl_rc rc = request_cancel(run, machine, input, err);
    return rc == TL_OK ? tell_abandoned(run, machine, input, err) : rc;
}

/* The code, when it waits for that, is told once: `started_id` keeps that it was. */
static tl_rc tell_request(struct tl_run *run, struct tl_machine *machine, const char *message,
                          const TpFailure__Failure *cause, struct tl_error *err)
{
    if (machine->cancellation != TL_CANCEL_WAIT_REQUESTED || machine->started_id) {
        return TL_OK;
    }
    machine->started_id = machine->event_id;
    return tell(run, machine, NULL, own_failure(run, machine, message, cause), true, err);
}

static tl_rc delivered(struct tl_run *run, struct tl_machine *machine,
                       const struct tl_fsm_input *input, struct tl_error *err)
{
    (void)input;
    return tell_request(run, machine, "Nexus operation cancellation request completed", NULL, err);
}

static tl_rc lost(struct tl_run *run, struct tl_machine *machine, const struct tl_fsm_input *input,
                  struct tl_error *err)
{
    const TpHistory__NexusOperationCancelRequestFailedEventAttributes *a =
        input->event->nexus_operation_cancel_request_failed_event_attributes;
    return tell_request(run, machine, "Nexus operation cancellation request failed", a->failure,
                        err);
}

/* What the code was told already is not told again. */
#define WAIT_ACTION(what)                                                                          \
    static tl_rc wait_##what(struct tl_run *run, struct tl_machine *machine,                       \
                             const struct tl_fsm_input *input, struct tl_error *err)               \
    {                                                                                              \
        return machine->started_id ? TL_OK : tell_##what(run, machine, input, err);                \
    }
WAIT_ACTION(completed)
WAIT_ACTION(failed)
WAIT_ACTION(canceled)
WAIT_ACTION(timed_out)

#define T(state, event, action, next) TL_FSM_EDGE(NEXUS, state, event, action, next)
static const struct tl_fsm_edge edges[NEXUS_S_COUNT * NEXUS_E_COUNT] = {NEXUS_TABLE(T)};
#undef T
static _Atomic uint8_t taken[NEXUS_S_COUNT * NEXUS_E_COUNT];
#define NAME(name) #name,
static const char *const states[] = {NEXUS_STATES(NAME)};
static const char *const events[] = {NEXUS_EVENTS(NAME)};
#undef NAME
const struct tl_fsm tl_nexus_fsm = {
    "Nexus operation",  states, events, NEXUS_S_COUNT, NEXUS_E_COUNT,
    1u << NEXUS_S_DONE, edges,  taken};

/* --- commands and events ---------------------------------------------------------------------- */

tl_rc tl_nexus_schedule(struct tl_run *run, const struct tl_cmd *cmd, struct tl_error *err)
{
    if (cmd->seq <= run->nexus_seq || !cmd->attrs ||
        cmd->attrs->descriptor !=
            &tp_command__schedule_nexus_operation_command_attributes__descriptor) {
        return tl_error_set(err, TL_EINVAL,
                            "Nexus operation %u: number not rising or attributes missing",
                            cmd->seq);
    }
    run->nexus_seq = cmd->seq;
    const TpCommand__ScheduleNexusOperationCommandAttributes *attrs =
        (const TpCommand__ScheduleNexusOperationCommandAttributes *)cmd->attrs;
    uint32_t slot;
    struct tl_machine *machine = tl_core_add_machine(run, TL_MACHINE_NEXUS, cmd->seq, &slot);
    machine->cancellation = (uint8_t)cmd->cancellation;
    struct tl_str texts[TEXT_COUNT] = {
        [TEXT_OPERATION] = tl_str(attrs->operation),
        [TEXT_SERVICE] = tl_str(attrs->service),
        [TEXT_ENDPOINT] = tl_str(attrs->endpoint),
    };
    tl_machine_set_texts(machine, texts, TEXT_COUNT);
    tl_core_push_command(run, slot, COMMAND_TYPE_SCHEDULE_NEXUS_OPERATION, cmd->attrs, cmd);
    return tl_fsm_apply(&tl_nexus_fsm, run, machine, NEXUS_E_SCHEDULE,
                        &(struct tl_fsm_input){.cmd = cmd}, err);
}

tl_rc tl_nexus_cancel(struct tl_run *run, const struct tl_cmd *cmd, struct tl_error *err)
{
    static const uint8_t inputs[] = {[TL_CANCEL_TRY] = NEXUS_E_TRY_CANCEL,
                                     [TL_CANCEL_WAIT] = NEXUS_E_CANCEL,
                                     [TL_CANCEL_ABANDON] = NEXUS_E_ABANDON,
                                     [TL_CANCEL_WAIT_REQUESTED] = NEXUS_E_CANCEL};
    if (cmd->seq == 0 || cmd->seq > run->nexus_seq) {
        return tl_error_set(err, TL_EINVAL,
                            "cancel of Nexus operation %u, which was never scheduled", cmd->seq);
    }
    uint32_t slot;
    struct tl_machine *machine = tl_core_find(run, TL_MACHINE_NEXUS, cmd->seq, &slot);
    if (!machine) {
        return TL_OK; /* resolved already */
    }
    return tl_fsm_apply(&tl_nexus_fsm, run, machine, inputs[machine->cancellation],
                        &(struct tl_fsm_input){.cmd = cmd}, err);
}

tl_rc tl_nexus_event(struct tl_run *run, struct tl_machine *machine,
                     const TpHistory__HistoryEvent *event, struct tl_error *err)
{
    static const struct {
        uint8_t type, input;
    } map[] = {
        {EVENT_TYPE_NEXUS_OPERATION_SCHEDULED, NEXUS_E_OP_SCHEDULED},
        {EVENT_TYPE_NEXUS_OPERATION_STARTED, NEXUS_E_OP_STARTED},
        {EVENT_TYPE_NEXUS_OPERATION_COMPLETED, NEXUS_E_OP_COMPLETED},
        {EVENT_TYPE_NEXUS_OPERATION_FAILED, NEXUS_E_OP_FAILED},
        {EVENT_TYPE_NEXUS_OPERATION_CANCELED, NEXUS_E_OP_CANCELED},
        {EVENT_TYPE_NEXUS_OPERATION_TIMED_OUT, NEXUS_E_OP_TIMED_OUT},
        {EVENT_TYPE_NEXUS_OPERATION_CANCEL_REQUESTED, NEXUS_E_CANCEL_RECORDED},
        {EVENT_TYPE_NEXUS_OPERATION_CANCEL_REQUEST_COMPLETED, NEXUS_E_CANCEL_DELIVERED},
        {EVENT_TYPE_NEXUS_OPERATION_CANCEL_REQUEST_FAILED, NEXUS_E_CANCEL_LOST},
    };
    uint8_t input = 0;
    for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++) {
        if (map[i].type == (int)event->event_type) {
            input = map[i].input;
        }
    }
    return tl_fsm_apply(&tl_nexus_fsm, run, machine, input, &(struct tl_fsm_input){.event = event},
                        err);
}
