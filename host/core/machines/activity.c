/* Activity. The code schedules it; the server writes Started beside the event that closes it, after
 * all attempts. The code may cancel it:
 *   try      request it and tell the code at once; whatever the activity says later is not told;
 *   wait     request it; the code learns what the activity says (canceled, completed, failed);
 *   abandon  request nothing, tell the code at once; what comes later is swallowed.
 * One cancelled before its command left is taken back and told canceled.
 * The code sees a failure whose ActivityFailureInfo names type, id and both events; its cause is
 * the activity's failure, a timeout, or a CanceledFailureInfo.
 * Thread: the run's. */
#include "core/run_int.h"

#include <tl_enums.h>

/* clang-format off */
#define ACTIVITY_STATES(S)                                                                         \
    S(NEW)                                                                                         \
    S(SCHEDULE_CREATED)                                                                            \
    S(SCHEDULED)                                                                                   \
    S(STARTED)                                                                                     \
    S(CANCEL_CREATED)                                                                              \
    S(CANCEL_REQUESTED)                                                                            \
    S(CANCEL_REQUESTED_STARTED)                                                                    \
    S(ABANDONED)                                                                                   \
    S(DONE)
#define ACTIVITY_EVENTS(E)                                                                         \
    E(SCHEDULE)                                                                                    \
    E(CANCEL)                                                                                      \
    E(ABANDON)                                                                                     \
    E(TASK_SCHEDULED)                                                                              \
    E(TASK_STARTED)                                                                                \
    E(TASK_COMPLETED)                                                                              \
    E(TASK_FAILED)                                                                                 \
    E(TASK_TIMED_OUT)                                                                              \
    E(TASK_CANCEL_REQUESTED)                                                                       \
    E(TASK_CANCELED)
/* CANCEL_CREATED is entered from SCHEDULED; Started only ever comes beside the closing event, but a
 * history that shows it earlier is taken as it is. */
#define ACTIVITY_TABLE(T)                                                                          \
    /* state                    event                  action          next                     */ \
    T(NEW,                      SCHEDULE,              NULL,           SCHEDULE_CREATED)           \
    T(SCHEDULE_CREATED,         TASK_SCHEDULED,        check_recorded, SCHEDULED)                  \
    T(SCHEDULE_CREATED,         CANCEL,                take_back,      DONE)                       \
    T(SCHEDULE_CREATED,         ABANDON,               take_back,      DONE)                       \
    T(SCHEDULED,                TASK_STARTED,          NULL,           STARTED)                    \
    T(SCHEDULED,                TASK_TIMED_OUT,        tell_timed_out, DONE)                       \
    T(SCHEDULED,                CANCEL,                request_cancel, CANCEL_CREATED)             \
    T(SCHEDULED,                ABANDON,               tell_canceled,  ABANDONED)                  \
    T(STARTED,                  TASK_COMPLETED,        tell_completed, DONE)                       \
    T(STARTED,                  TASK_FAILED,           tell_failed,    DONE)                       \
    T(STARTED,                  TASK_TIMED_OUT,        tell_timed_out, DONE)                       \
    T(STARTED,                  TASK_CANCELED,         tell_canceled,  DONE)                       \
    T(STARTED,                  CANCEL,                request_cancel, CANCEL_CREATED)             \
    T(STARTED,                  ABANDON,               tell_canceled,  ABANDONED)                  \
    T(CANCEL_CREATED,           CANCEL,                NULL,           CANCEL_CREATED)             \
    T(CANCEL_CREATED,           TASK_CANCEL_REQUESTED, NULL,           CANCEL_REQUESTED)           \
    T(CANCEL_REQUESTED,         CANCEL,                NULL,           CANCEL_REQUESTED)           \
    T(CANCEL_REQUESTED,         TASK_STARTED,          NULL,           CANCEL_REQUESTED_STARTED)   \
    T(CANCEL_REQUESTED,         TASK_CANCELED,         wait_canceled,  DONE)                       \
    T(CANCEL_REQUESTED,         TASK_TIMED_OUT,        wait_timed_out, DONE)                       \
    T(CANCEL_REQUESTED,         TASK_COMPLETED,        wait_completed, DONE)                       \
    T(CANCEL_REQUESTED,         TASK_FAILED,           wait_failed,    DONE)                       \
    T(CANCEL_REQUESTED_STARTED, CANCEL,                NULL,           CANCEL_REQUESTED_STARTED)   \
    T(CANCEL_REQUESTED_STARTED, TASK_CANCELED,         wait_canceled,  DONE)                       \
    T(CANCEL_REQUESTED_STARTED, TASK_TIMED_OUT,        wait_timed_out, DONE)                       \
    T(CANCEL_REQUESTED_STARTED, TASK_COMPLETED,        wait_completed, DONE)                       \
    T(CANCEL_REQUESTED_STARTED, TASK_FAILED,           wait_failed,    DONE)                       \
    T(ABANDONED,                ABANDON,               NULL,           ABANDONED)                  \
    T(ABANDONED,                TASK_STARTED,          NULL,           ABANDONED)                  \
    T(ABANDONED,                TASK_COMPLETED,        NULL,           DONE)                       \
    T(ABANDONED,                TASK_FAILED,           NULL,           DONE)                       \
    T(ABANDONED,                TASK_TIMED_OUT,        NULL,           DONE)                       \
    T(ABANDONED,                TASK_CANCELED,         NULL,           DONE)                       \
    T(DONE,                     CANCEL,                NULL,           DONE)                       \
    T(DONE,                     ABANDON,               NULL,           DONE)

enum {
#define S(name) ACTIVITY_S_##name,
    ACTIVITY_STATES(S)
#undef S
    ACTIVITY_S_COUNT,
};
enum {
#define E(name) ACTIVITY_E_##name,
    ACTIVITY_EVENTS(E)
#undef E
    ACTIVITY_E_COUNT,
};
/* clang-format on */

static tl_rc check_recorded(struct tl_run *run, struct tl_machine *machine,
                            const struct tl_fsm_input *input, struct tl_error *err)
{
    const TpHistory__ActivityTaskScheduledEventAttributes *recorded =
        input->event->activity_task_scheduled_event_attributes;
    struct tl_str id = tl_str(recorded->activity_id);
    struct tl_str type = tl_str(recorded->activity_type ? recorded->activity_type->name : "");
    char seq_text[16];
    struct tl_str our_type, our_id = tl_machine_id(run, machine, seq_text, &our_type);
    /* Old histories of the core were never checked; other SDKs number in their own way, but their
     * types must fit. */
    bool core_checks = tl_core_use_flag(run, TL_FLAG_ID_AND_TYPE_CHECKS, run->task->group.last);
    bool check_ids = run->sdk_family == TL_SDK_CORE && core_checks;
    bool check_types = run->sdk_family != TL_SDK_CORE || core_checks;
    if (check_types && !tl_str_eq(type, our_type)) {
        return tl_error_set(err, TL_ENONDETERMINISM,
                            "history has an activity of type '%.*s', the code scheduled '%.*s'",
                            TL_STR_FMT(type), TL_STR_FMT(our_type));
    }
    if (tl_str_eq(id, our_id)) {
        return TL_OK;
    }
    if (check_ids) {
        return tl_error_set(err, TL_ENONDETERMINISM,
                            "history has the activity id '%.*s', the code made '%.*s'",
                            TL_STR_FMT(id), TL_STR_FMT(our_id));
    }
    tl_machine_set_text(machine, our_type, id);
    return TL_OK;
}

/* --- telling the code ------------------------------------------------------------------------- */

static struct tl_job *tell(struct tl_run *run, const struct tl_machine *machine,
                           enum tl_activity_status status, struct tl_error *err)
{
    struct tl_job *job = tl_core_add_job(run, TL_JOB_ACTIVITY_RESOLVED, err);
    if (job) {
        job->u.activity.seq = machine->seq;
        job->u.activity.status = status;
    }
    return job;
}

/* An ActivityFailureInfo around cause. NULL when the arena is full. */
static TpFailure__Failure *wrap_failure(struct tl_run *run, const struct tl_machine *machine,
                                        const char *message, const TpFailure__Failure *cause,
                                        const char *identity, int retry_state,
                                        int64_t started_event_id)
{
    struct tl_arena *a = run->task->current;
    TpFailure__Failure *f = TL_PB_NEW(a, TpFailure__Failure, tp_failure__failure);
    TpFailure__ActivityFailureInfo *info =
        TL_PB_NEW(a, TpFailure__ActivityFailureInfo, tp_failure__activity_failure_info);
    TpCommon__ActivityType *type = TL_PB_NEW(a, TpCommon__ActivityType, tp_common__activity_type);
    if (!f || !info || !type) {
        return NULL;
    }
    char seq_text[16];
    struct tl_str type_name, id = tl_machine_id(run, machine, seq_text, &type_name);
    type->name = tl_pb_cstr(a, type_name);
    info->activity_id = tl_pb_cstr(a, id);
    f->message = tl_pb_cstr(a, tl_str(message));
    if (!type->name || !info->activity_id || !f->message) {
        return NULL;
    }
    info->activity_type = type;
    info->identity = (char *)(uintptr_t)identity;
    info->retry_state = (TpEnums__RetryState)retry_state;
    info->scheduled_event_id = machine->event_id;
    info->started_event_id = started_event_id;
    f->cause = (TpFailure__Failure *)(uintptr_t)cause;
    f->failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_ACTIVITY_FAILURE_INFO;
    f->activity_failure_info = info;
    return f;
}

static tl_rc tell_failure(struct tl_run *run, const struct tl_machine *machine,
                          enum tl_activity_status status, const TpFailure__Failure *failure,
                          struct tl_error *err)
{
    if (!failure) {
        return tl_error_set(err, TL_ELIMIT, "activity %u: the arena is full", machine->seq);
    }
    struct tl_job *job = tell(run, machine, status, err);
    if (!job) {
        return TL_ELIMIT;
    }
    job->u.activity.failure = failure;
    return TL_OK;
}

static tl_rc tell_completed(struct tl_run *run, struct tl_machine *machine,
                            const struct tl_fsm_input *input, struct tl_error *err)
{
    struct tl_job *job = tell(run, machine, TL_ACTIVITY_COMPLETED, err);
    if (!job) {
        return TL_ELIMIT;
    }
    job->u.activity.result = input->event->activity_task_completed_event_attributes->result;
    return TL_OK;
}

static tl_rc tell_failed(struct tl_run *run, struct tl_machine *machine,
                         const struct tl_fsm_input *input, struct tl_error *err)
{
    const TpHistory__ActivityTaskFailedEventAttributes *a =
        input->event->activity_task_failed_event_attributes;
    return tell_failure(run, machine, TL_ACTIVITY_FAILED,
                        wrap_failure(run, machine, "Activity task failed", a->failure, a->identity,
                                     (int)a->retry_state, a->started_event_id),
                        err);
}

static tl_rc tell_timed_out(struct tl_run *run, struct tl_machine *machine,
                            const struct tl_fsm_input *input, struct tl_error *err)
{
    const TpHistory__ActivityTaskTimedOutEventAttributes *a =
        input->event->activity_task_timed_out_event_attributes;
    return tell_failure(run, machine, TL_ACTIVITY_FAILED,
                        wrap_failure(run, machine, "Activity task timed out", a->failure, "",
                                     (int)a->retry_state, a->started_event_id),
                        err);
}

static tl_rc tell_canceled(struct tl_run *run, struct tl_machine *machine,
                           const struct tl_fsm_input *input, struct tl_error *err)
{
    const TpHistory__ActivityTaskCanceledEventAttributes *a =
        input->event ? input->event->activity_task_canceled_event_attributes : NULL;
    TpFailure__Failure *cause = tl_core_canceled(run, "", a ? a->details : NULL);
    if (!cause) {
        return tl_error_set(err, TL_ELIMIT, "activity %u: the arena is full", machine->seq);
    }
    return tell_failure(run, machine, TL_ACTIVITY_CANCELED,
                        wrap_failure(run, machine, "Activity cancelled", cause,
                                     a ? a->identity : "", RETRY_STATE_CANCEL_REQUESTED,
                                     a ? a->started_event_id : 0),
                        err);
}

/* --- cancelling ------------------------------------------------------------------------------- */

static tl_rc take_back(struct tl_run *run, struct tl_machine *machine,
                       const struct tl_fsm_input *input, struct tl_error *err)
{
    machine->dropped = true;
    run->dropped_count++;
    return tell_canceled(run, machine, input, err);
}

static tl_rc request_cancel(struct tl_run *run, struct tl_machine *machine,
                            const struct tl_fsm_input *input, struct tl_error *err)
{
    TpCommand__RequestCancelActivityTaskCommandAttributes *attrs =
        TL_PB_NEW(run->task->current, TpCommand__RequestCancelActivityTaskCommandAttributes,
                  tp_command__request_cancel_activity_task_command_attributes);
    if (!attrs) {
        return tl_error_set(err, TL_ELIMIT, "cancel of activity %u: the arena is full",
                            machine->seq);
    }
    attrs->scheduled_event_id = machine->event_id;
    tl_core_push_command(run, (uint32_t)(machine - run->machines),
                         COMMAND_TYPE_REQUEST_CANCEL_ACTIVITY_TASK, &attrs->base, input->cmd);
    return machine->cancellation == TL_CANCEL_WAIT ? TL_OK
                                                   : tell_canceled(run, machine, input, err);
}

/* With `try` the code was told when it asked. */
#define WAIT_ACTION(what)                                                                          \
    static tl_rc wait_##what(struct tl_run *run, struct tl_machine *machine,                       \
                             const struct tl_fsm_input *input, struct tl_error *err)               \
    {                                                                                              \
        return machine->cancellation == TL_CANCEL_WAIT ? tell_##what(run, machine, input, err)     \
                                                       : TL_OK;                                    \
    }
WAIT_ACTION(completed)
WAIT_ACTION(failed)
WAIT_ACTION(timed_out)
WAIT_ACTION(canceled)

#define T(state, event, action, next) TL_FSM_EDGE(ACTIVITY, state, event, action, next)
static const struct tl_fsm_edge edges[ACTIVITY_S_COUNT * ACTIVITY_E_COUNT] = {ACTIVITY_TABLE(T)};
#undef T
static _Atomic uint8_t taken[ACTIVITY_S_COUNT * ACTIVITY_E_COUNT];
#define NAME(name) #name,
static const char *const states[] = {ACTIVITY_STATES(NAME)};
static const char *const events[] = {ACTIVITY_EVENTS(NAME)};
#undef NAME
const struct tl_fsm tl_activity_fsm = {
    "activity", states, events, ACTIVITY_S_COUNT, ACTIVITY_E_COUNT, 1u << ACTIVITY_S_DONE,
    edges,      taken};

/* --- commands and events ---------------------------------------------------------------------- */

tl_rc tl_activity_schedule(struct tl_run *run, const struct tl_cmd *cmd, struct tl_error *err)
{
    if (cmd->seq <= run->activity_seq || !cmd->attrs ||
        cmd->attrs->descriptor !=
            &tp_command__schedule_activity_task_command_attributes__descriptor) {
        return tl_error_set(err, TL_EINVAL, "activity %u: number not rising or attributes missing",
                            cmd->seq);
    }
    run->activity_seq = cmd->seq;
    TpCommand__ScheduleActivityTaskCommandAttributes *attrs =
        (TpCommand__ScheduleActivityTaskCommandAttributes *)cmd->attrs;
    uint32_t slot;
    struct tl_machine *machine = tl_core_add_machine(run, TL_MACHINE_ACTIVITY, cmd->seq, &slot);
    machine->cancellation = (uint8_t)cmd->cancellation;
    tl_machine_set_text(machine, tl_str(attrs->activity_type ? attrs->activity_type->name : ""),
                        tl_str(attrs->activity_id));
    if (!attrs->activity_id || !attrs->activity_id[0]) {
        char seq_text[16];
        struct tl_str type, id = tl_machine_id(run, machine, seq_text, &type);
        attrs->activity_id = tl_pb_cstr(run->task->current, id);
        if (!attrs->activity_id) {
            return tl_error_set(err, TL_ELIMIT, "activity %u: the arena is full", cmd->seq);
        }
    }
    tl_core_push_command(run, slot, COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK, cmd->attrs, cmd);
    return tl_fsm_apply(&tl_activity_fsm, run, machine, ACTIVITY_E_SCHEDULE,
                        &(struct tl_fsm_input){.cmd = cmd}, err);
}

tl_rc tl_activity_cancel(struct tl_run *run, const struct tl_cmd *cmd, struct tl_error *err)
{
    if (cmd->seq == 0 || cmd->seq > run->activity_seq) {
        return tl_error_set(err, TL_EINVAL, "cancel of activity %u, which was never scheduled",
                            cmd->seq);
    }
    uint32_t slot;
    struct tl_machine *machine = tl_core_find(run, TL_MACHINE_ACTIVITY, cmd->seq, &slot);
    if (!machine) {
        return TL_OK; /* resolved already */
    }
    uint8_t input =
        machine->cancellation == TL_CANCEL_ABANDON ? ACTIVITY_E_ABANDON : ACTIVITY_E_CANCEL;
    return tl_fsm_apply(&tl_activity_fsm, run, machine, input, &(struct tl_fsm_input){.cmd = cmd},
                        err);
}

tl_rc tl_activity_event(struct tl_run *run, struct tl_machine *machine,
                        const TpHistory__HistoryEvent *event, struct tl_error *err)
{
    static const struct {
        uint8_t type, input;
    } map[] = {
        {EVENT_TYPE_ACTIVITY_TASK_SCHEDULED, ACTIVITY_E_TASK_SCHEDULED},
        {EVENT_TYPE_ACTIVITY_TASK_STARTED, ACTIVITY_E_TASK_STARTED},
        {EVENT_TYPE_ACTIVITY_TASK_COMPLETED, ACTIVITY_E_TASK_COMPLETED},
        {EVENT_TYPE_ACTIVITY_TASK_FAILED, ACTIVITY_E_TASK_FAILED},
        {EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT, ACTIVITY_E_TASK_TIMED_OUT},
        {EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED, ACTIVITY_E_TASK_CANCEL_REQUESTED},
        {EVENT_TYPE_ACTIVITY_TASK_CANCELED, ACTIVITY_E_TASK_CANCELED},
    };
    uint8_t input = 0;
    for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++) {
        if (map[i].type == (int)event->event_type) {
            input = map[i].input;
        }
    }
    return tl_fsm_apply(&tl_activity_fsm, run, machine, input,
                        &(struct tl_fsm_input){.event = event}, err);
}
