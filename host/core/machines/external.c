/* Signals to other runs and cancellation of other runs, children among them. The server writes
 * Initiated for the command, then whether it got there. A signal that has not left yet can be taken
 * back; one that has is not called back, and the code hears what became of it.
 * A cancellation may belong to a child machine: then nobody is told but that machine.
 * Thread: the run's. */
#include "core/run_int.h"

#include <stdio.h>
#include <tl_enums.h>

/* clang-format off */
#define SIGNAL_STATES(S) S(NEW) S(CREATED) S(RECORDED) S(DONE)
#define SIGNAL_EVENTS(E) E(SEND) E(CANCEL) E(INITIATED) E(SIGNALED) E(FAILED)
#define SIGNAL_TABLE(T)                                                                            \
    /* state    event      action         next    */                                               \
    T(NEW,      SEND,      NULL,          CREATED)                                                 \
    T(CREATED,  INITIATED, check_signal,  RECORDED)                                                \
    T(CREATED,  CANCEL,    take_back,     DONE)                                                    \
    T(RECORDED, CANCEL,    NULL,          RECORDED)                                                \
    T(RECORDED, SIGNALED,  tell_signaled, DONE)                                                    \
    T(RECORDED, FAILED,    signal_failed, DONE)                                                    \
    T(DONE,     CANCEL,    NULL,          DONE)

#define CANCEL_STATES(S) S(NEW) S(CREATED) S(RECORDED) S(DONE)
#define CANCEL_EVENTS(E) E(SEND) E(INITIATED) E(REQUESTED) E(FAILED)
#define CANCEL_TABLE(T)                                                                            \
    /* state    event      action          next    */                                              \
    T(NEW,      SEND,      NULL,           CREATED)                                                \
    T(CREATED,  INITIATED, check_cancel,   RECORDED)                                               \
    T(RECORDED, REQUESTED, tell_requested, DONE)                                                   \
    T(RECORDED, FAILED,    cancel_failed,  DONE)

enum {
#define S(name) SIGNAL_S_##name,
    SIGNAL_STATES(S)
#undef S
    SIGNAL_S_COUNT,
};
enum {
#define E(name) SIGNAL_E_##name,
    SIGNAL_EVENTS(E)
#undef E
    SIGNAL_E_COUNT,
};
enum {
#define S(name) CANCEL_S_##name,
    CANCEL_STATES(S)
#undef S
    CANCEL_S_COUNT,
};
enum {
#define E(name) CANCEL_E_##name,
    CANCEL_EVENTS(E)
#undef E
    CANCEL_E_COUNT,
};
/* clang-format on */

static tl_rc arena_full(const struct tl_machine *machine, const char *what, struct tl_error *err)
{
    return tl_error_set(err, TL_ELIMIT, "%s %u: the arena is full", what, machine->seq);
}

/* Target ids are checked where a core with the flag wrote the history; others make ids in their own
 * way. */
static tl_rc check_target(struct tl_run *run, const TpCommon__WorkflowExecution *recorded,
                          struct tl_str ours, const char *what, struct tl_error *err)
{
    struct tl_str id = tl_str(recorded ? recorded->workflow_id : "");
    bool checks = tl_core_use_flag(run, TL_FLAG_ID_AND_TYPE_CHECKS, run->task->group.last) &&
                  run->sdk_family == TL_SDK_CORE;
    if (checks && !tl_str_eq(id, ours)) {
        return tl_error_set(err, TL_ENONDETERMINISM,
                            "history %s the workflow '%.*s', the code '%.*s'", what, TL_STR_FMT(id),
                            TL_STR_FMT(ours));
    }
    return TL_OK;
}

static tl_rc tell(struct tl_run *run, const struct tl_machine *machine, enum tl_job_type type,
                  const TpFailure__Failure *failure, struct tl_error *err)
{
    struct tl_job *job = tl_core_add_job(run, type, err);
    if (!job) {
        return TL_ELIMIT;
    }
    job->u.external.seq = machine->seq;
    job->u.external.failure = failure;
    return TL_OK;
}

/* An application failure whose type is the name of the cause. NULL: the arena is full. */
static TpFailure__Failure *failure_of(struct tl_run *run, const char *type, const char *doing,
                                      const char *why)
{
    struct tl_arena *a = run->task->current;
    TpFailure__Failure *f = TL_PB_NEW(a, TpFailure__Failure, tp_failure__failure);
    TpFailure__ApplicationFailureInfo *info =
        TL_PB_NEW(a, TpFailure__ApplicationFailureInfo, tp_failure__application_failure_info);
    char text[120];
    snprintf(text, sizeof(text), "Unable to %s external workflow because %s", doing, why);
    if (!f || !info || !(f->message = tl_pb_cstr(a, tl_str(text))) ||
        !(info->type = tl_pb_cstr(a, tl_str(type)))) {
        return NULL;
    }
    f->failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_APPLICATION_FAILURE_INFO;
    f->application_failure_info = info;
    return f;
}

/* --- signals ---------------------------------------------------------------------------------- */

static tl_rc check_signal(struct tl_run *run, struct tl_machine *machine,
                          const struct tl_fsm_input *input, struct tl_error *err)
{
    const TpHistory__SignalExternalWorkflowExecutionInitiatedEventAttributes *recorded =
        input->event->signal_external_workflow_execution_initiated_event_attributes;
    struct tl_str name = tl_str(recorded->signal_name), ours = tl_machine_text(machine, 0);
    if (!tl_str_eq(name, ours)) {
        return tl_error_set(err, TL_ENONDETERMINISM,
                            "history has the signal '%.*s', the code sent '%.*s'", TL_STR_FMT(name),
                            TL_STR_FMT(ours));
    }
    return check_target(run, recorded->workflow_execution, tl_machine_text(machine, 1), "signals",
                        err);
}

static tl_rc tell_signaled(struct tl_run *run, struct tl_machine *machine,
                           const struct tl_fsm_input *input, struct tl_error *err)
{
    (void)input;
    return tell(run, machine, TL_JOB_SIGNAL_EXTERNAL_RESOLVED, NULL, err);
}

static tl_rc signal_failed(struct tl_run *run, struct tl_machine *machine,
                           const struct tl_fsm_input *input, struct tl_error *err)
{
    const TpHistory__SignalExternalWorkflowExecutionFailedEventAttributes *a =
        input->event->signal_external_workflow_execution_failed_event_attributes;
    const char *type = "Unspecified", *why = "unknown";
    switch ((int)a->cause) {
    case SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND:
        type = "ExternalWorkflowExecutionNotFound";
        why = "it was not found";
        break;
    case SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_NAMESPACE_NOT_FOUND:
        type = "NamespaceNotFound";
        why = "it was not found";
        break;
    case SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_SIGNAL_COUNT_LIMIT_EXCEEDED:
        type = "SignalCountLimitExceeded";
        why = "The per-workflow signal limit was exceeded";
        break;
    default:
        break;
    }
    const TpFailure__Failure *failure = failure_of(run, type, "signal", why);
    return failure ? tell(run, machine, TL_JOB_SIGNAL_EXTERNAL_RESOLVED, failure, err)
                   : arena_full(machine, "signal", err);
}

static tl_rc take_back(struct tl_run *run, struct tl_machine *machine,
                       const struct tl_fsm_input *input, struct tl_error *err)
{
    const TpFailure__Failure *f =
        tl_core_canceled(run, "Signal was cancelled before being sent", NULL);
    (void)input;
    if (!f) {
        return arena_full(machine, "signal", err);
    }
    machine->dropped = true;
    run->dropped_count++;
    return tell(run, machine, TL_JOB_SIGNAL_EXTERNAL_RESOLVED, f, err);
}

#define T(state, event, action, next) TL_FSM_EDGE(SIGNAL, state, event, action, next)
static const struct tl_fsm_edge signal_edges[SIGNAL_S_COUNT * SIGNAL_E_COUNT] = {SIGNAL_TABLE(T)};
#undef T
static _Atomic uint8_t signal_taken[SIGNAL_S_COUNT * SIGNAL_E_COUNT];
#define NAME(name) #name,
static const char *const signal_states[] = {SIGNAL_STATES(NAME)};
static const char *const signal_events[] = {SIGNAL_EVENTS(NAME)};
#undef NAME
const struct tl_fsm tl_signal_external_fsm = {
    "external signal", signal_states,       signal_events, SIGNAL_S_COUNT,
    SIGNAL_E_COUNT,    1u << SIGNAL_S_DONE, signal_edges,  signal_taken};

tl_rc tl_signal_external_send(struct tl_run *run, const struct tl_cmd *cmd, struct tl_error *err)
{
    if (cmd->seq <= run->signal_seq || !cmd->attrs ||
        cmd->attrs->descriptor !=
            &tp_command__signal_external_workflow_execution_command_attributes__descriptor) {
        return tl_error_set(err, TL_EINVAL,
                            "external signal %u: number not rising or attributes missing",
                            cmd->seq);
    }
    run->signal_seq = cmd->seq;
    const TpCommand__SignalExternalWorkflowExecutionCommandAttributes *attrs =
        (const TpCommand__SignalExternalWorkflowExecutionCommandAttributes *)cmd->attrs;
    uint32_t slot;
    struct tl_machine *machine =
        tl_core_add_machine(run, TL_MACHINE_SIGNAL_EXTERNAL, cmd->seq, &slot);
    tl_machine_set_text(machine, tl_str(attrs->signal_name),
                        tl_str(attrs->execution ? attrs->execution->workflow_id : ""));
    tl_core_push_command(run, slot, COMMAND_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION, cmd->attrs,
                         cmd);
    return tl_fsm_apply(&tl_signal_external_fsm, run, machine, SIGNAL_E_SEND,
                        &(struct tl_fsm_input){.cmd = cmd}, err);
}

tl_rc tl_signal_external_cancel(struct tl_run *run, const struct tl_cmd *cmd, struct tl_error *err)
{
    if (cmd->seq == 0 || cmd->seq > run->signal_seq) {
        return tl_error_set(err, TL_EINVAL, "cancel of external signal %u, which was never sent",
                            cmd->seq);
    }
    uint32_t slot;
    struct tl_machine *machine = tl_core_find(run, TL_MACHINE_SIGNAL_EXTERNAL, cmd->seq, &slot);
    if (!machine) {
        return TL_OK; /* resolved already */
    }
    return tl_fsm_apply(&tl_signal_external_fsm, run, machine, SIGNAL_E_CANCEL,
                        &(struct tl_fsm_input){.cmd = cmd}, err);
}

tl_rc tl_signal_external_event(struct tl_run *run, struct tl_machine *machine,
                               const TpHistory__HistoryEvent *event, struct tl_error *err)
{
    uint8_t input = SIGNAL_E_INITIATED;
    if ((int)event->event_type == EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED) {
        input = SIGNAL_E_SIGNALED;
    } else if ((int)event->event_type == EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED) {
        input = SIGNAL_E_FAILED;
    }
    return tl_fsm_apply(&tl_signal_external_fsm, run, machine, input,
                        &(struct tl_fsm_input){.event = event}, err);
}

/* --- cancellations ---------------------------------------------------------------------------- */

static tl_rc check_cancel(struct tl_run *run, struct tl_machine *machine,
                          const struct tl_fsm_input *input, struct tl_error *err)
{
    return check_target(
        run,
        input->event->request_cancel_external_workflow_execution_initiated_event_attributes
            ->workflow_execution,
        tl_machine_text(machine, 0), "cancels", err);
}

static tl_rc tell_requested(struct tl_run *run, struct tl_machine *machine,
                            const struct tl_fsm_input *input, struct tl_error *err)
{
    (void)input;
    return machine->of_child ? tl_child_cancel_delivered(run, machine->seq, err)
                             : tell(run, machine, TL_JOB_CANCEL_EXTERNAL_RESOLVED, NULL, err);
}

static tl_rc cancel_failed(struct tl_run *run, struct tl_machine *machine,
                           const struct tl_fsm_input *input, struct tl_error *err)
{
    const TpHistory__RequestCancelExternalWorkflowExecutionFailedEventAttributes *a =
        input->event->request_cancel_external_workflow_execution_failed_event_attributes;
    const char *type = "Unspecified", *why = "unknown";
    if (machine->of_child) {
        return TL_OK; /* it has ended; its end says so */
    }
    switch ((int)a->cause) {
    case CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND:
        type = "ExternalWorkflowExecutionNotFound";
        why = "not found";
        break;
    case CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_NAMESPACE_NOT_FOUND:
        type = "NamespaceNotFound";
        why = "not found";
        break;
    default:
        break;
    }
    const TpFailure__Failure *failure = failure_of(run, type, "cancel", why);
    return failure ? tell(run, machine, TL_JOB_CANCEL_EXTERNAL_RESOLVED, failure, err)
                   : arena_full(machine, "cancellation", err);
}

#define T(state, event, action, next) TL_FSM_EDGE(CANCEL, state, event, action, next)
static const struct tl_fsm_edge cancel_edges[CANCEL_S_COUNT * CANCEL_E_COUNT] = {CANCEL_TABLE(T)};
#undef T
static _Atomic uint8_t cancel_taken[CANCEL_S_COUNT * CANCEL_E_COUNT];
#define NAME(name) #name,
static const char *const cancel_states[] = {CANCEL_STATES(NAME)};
static const char *const cancel_events[] = {CANCEL_EVENTS(NAME)};
#undef NAME
const struct tl_fsm tl_cancel_external_fsm = {
    "external cancellation", cancel_states,       cancel_events, CANCEL_S_COUNT,
    CANCEL_E_COUNT,          1u << CANCEL_S_DONE, cancel_edges,  cancel_taken};

static tl_rc send_cancel(struct tl_run *run, uint32_t seq, bool of_child,
                         TpCommand__RequestCancelExternalWorkflowExecutionCommandAttributes *attrs,
                         const struct tl_cmd *cmd, struct tl_error *err)
{
    uint32_t slot;
    struct tl_machine *machine = tl_core_add_machine(run, TL_MACHINE_CANCEL_EXTERNAL, seq, &slot);
    machine->of_child = of_child;
    tl_machine_set_text(machine, tl_str(attrs->workflow_id), (struct tl_str){0});
    tl_core_push_command(run, slot, COMMAND_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION,
                         &attrs->base, cmd);
    return tl_fsm_apply(&tl_cancel_external_fsm, run, machine, CANCEL_E_SEND,
                        &(struct tl_fsm_input){.cmd = cmd}, err);
}

tl_rc tl_cancel_external_send(struct tl_run *run, const struct tl_cmd *cmd, struct tl_error *err)
{
    if (cmd->seq <= run->cancel_seq || !cmd->attrs ||
        cmd->attrs->descriptor !=
            &tp_command__request_cancel_external_workflow_execution_command_attributes__descriptor) {
        return tl_error_set(err, TL_EINVAL,
                            "external cancellation %u: number not rising or attributes missing",
                            cmd->seq);
    }
    run->cancel_seq = cmd->seq;
    return send_cancel(
        run, cmd->seq, false,
        (TpCommand__RequestCancelExternalWorkflowExecutionCommandAttributes *)cmd->attrs, cmd, err);
}

tl_rc tl_cancel_external_child(struct tl_run *run, uint32_t child_slot, const struct tl_cmd *cmd,
                               struct tl_error *err)
{
    struct tl_arena *a = run->task->current;
    const struct tl_machine *child = &run->machines[child_slot];
    TpCommand__RequestCancelExternalWorkflowExecutionCommandAttributes *attrs =
        TL_PB_NEW(a, TpCommand__RequestCancelExternalWorkflowExecutionCommandAttributes,
                  tp_command__request_cancel_external_workflow_execution_command_attributes);
    if (!attrs || !(attrs->workflow_id = tl_pb_cstr(a, tl_machine_text(child, 1))) ||
        !(attrs->namespace_ = tl_pb_cstr(a, tl_machine_text(child, 2))) ||
        !(attrs->run_id = tl_pb_cstr(a, tl_machine_text(child, 3))) ||
        !(attrs->reason = tl_pb_cstr(a, cmd->u.reason))) {
        return arena_full(child, "cancel of child workflow", err);
    }
    attrs->child_workflow_only = true;
    /* The machine of the child may move: its number is taken now. */
    return send_cancel(run, child->seq, true, attrs, cmd, err);
}

tl_rc tl_cancel_external_event(struct tl_run *run, struct tl_machine *machine,
                               const TpHistory__HistoryEvent *event, struct tl_error *err)
{
    uint8_t input = CANCEL_E_INITIATED;
    int type = (int)event->event_type;
    if (type == EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED) {
        input = CANCEL_E_REQUESTED;
    } else if (type == EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED) {
        input = CANCEL_E_FAILED;
    }
    return tl_fsm_apply(&tl_cancel_external_fsm, run, machine, input,
                        &(struct tl_fsm_input){.event = event}, err);
}
