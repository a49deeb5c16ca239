/* Child workflow. The code starts it; the server writes Initiated for the command, then Started or
 * StartFailed, then how the last run of the child's chain ended. The code may cancel it:
 *   try        request it and tell the code at once; whatever the child does later is not told;
 *   wait       request it; the code learns how the child ends;
 *   requested  request it; the code is told canceled when the server has passed the request on;
 *   abandon    request nothing, tell the code at once; what comes later is swallowed.
 * One cancelled before its command left is taken back and told that it was never started. One
 * cancelled between Initiated and Started is resolved without having been told started.
 * The code sees a failure whose ChildWorkflowExecutionFailureInfo names type, id, run and both
 * events; its cause is the child's failure, a timeout, a termination, or a CanceledFailureInfo.
 * Thread: the run's. */
#include "core/run_int.h"

#include <tl_enums.h>

/* clang-format off */
#define CHILD_STATES(S)                                                                            \
    S(NEW)                                                                                         \
    S(START_CREATED)                                                                               \
    S(START_RECORDED)                                                                              \
    S(STARTED)                                                                                     \
    S(START_CANCELING)                                                                             \
    S(CANCELING)                                                                                   \
    S(ABANDONED)                                                                                   \
    S(DONE)
#define CHILD_EVENTS(E)                                                                            \
    E(START)                                                                                       \
    E(CANCEL)                                                                                      \
    E(TRY_CANCEL)                                                                                  \
    E(ABANDON)                                                                                     \
    E(CANCEL_DELIVERED)                                                                            \
    E(START_INITIATED)                                                                             \
    E(START_FAILED)                                                                                \
    E(CHILD_STARTED)                                                                               \
    E(CHILD_COMPLETED)                                                                             \
    E(CHILD_FAILED)                                                                                \
    E(CHILD_CANCELED)                                                                              \
    E(CHILD_TIMED_OUT)                                                                             \
    E(CHILD_TERMINATED)
/* CANCEL stands for the types that wait. In the *_CANCELING states the request is on its way. */
#define CHILD_TABLE(T)                                                                             \
    /* state           event             action             next                            */      \
    T(NEW,             START,            NULL,              START_CREATED)                         \
    T(START_CREATED,   START_INITIATED,  check_recorded,    START_RECORDED)                        \
    T(START_CREATED,   CANCEL,           take_back,         DONE)                                  \
    T(START_CREATED,   TRY_CANCEL,       take_back,         DONE)                                  \
    T(START_CREATED,   ABANDON,          take_back,         DONE)                                  \
    T(START_RECORDED,  CHILD_STARTED,    tell_started,      STARTED)                               \
    T(START_RECORDED,  START_FAILED,     tell_start_failed, DONE)                                  \
    T(START_RECORDED,  CANCEL,           request_cancel,    START_CANCELING)                       \
    T(START_RECORDED,  TRY_CANCEL,       try_cancel,        ABANDONED)                             \
    T(START_RECORDED,  ABANDON,          tell_canceled,     ABANDONED)                             \
    T(STARTED,         CHILD_COMPLETED,  tell_completed,    DONE)                                  \
    T(STARTED,         CHILD_FAILED,     tell_failed,       DONE)                                  \
    T(STARTED,         CHILD_CANCELED,   tell_canceled,     DONE)                                  \
    T(STARTED,         CHILD_TIMED_OUT,  tell_timed_out,    DONE)                                  \
    T(STARTED,         CHILD_TERMINATED, tell_terminated,   DONE)                                  \
    T(STARTED,         CANCEL,           request_cancel,    CANCELING)                             \
    T(STARTED,         TRY_CANCEL,       try_cancel,        ABANDONED)                             \
    T(STARTED,         ABANDON,          tell_canceled,     ABANDONED)                             \
    T(START_CANCELING, CANCEL,           NULL,              START_CANCELING)                       \
    T(START_CANCELING, CANCEL_DELIVERED, tell_canceled,     ABANDONED)                             \
    T(START_CANCELING, CHILD_STARTED,    tell_started,      CANCELING)                             \
    T(START_CANCELING, START_FAILED,     tell_start_failed, DONE)                                  \
    T(CANCELING,       CANCEL,           NULL,              CANCELING)                             \
    T(CANCELING,       CANCEL_DELIVERED, tell_canceled,     ABANDONED)                             \
    T(CANCELING,       CHILD_COMPLETED,  tell_completed,    DONE)                                  \
    T(CANCELING,       CHILD_FAILED,     tell_failed,       DONE)                                  \
    T(CANCELING,       CHILD_CANCELED,   tell_canceled,     DONE)                                  \
    T(CANCELING,       CHILD_TIMED_OUT,  tell_timed_out,    DONE)                                  \
    T(CANCELING,       CHILD_TERMINATED, tell_terminated,   DONE)                                  \
    T(ABANDONED,       CANCEL,           NULL,              ABANDONED)                             \
    T(ABANDONED,       TRY_CANCEL,       NULL,              ABANDONED)                             \
    T(ABANDONED,       ABANDON,          NULL,              ABANDONED)                             \
    T(ABANDONED,       CHILD_STARTED,    NULL,              ABANDONED)                             \
    T(ABANDONED,       START_FAILED,     NULL,              DONE)                                  \
    T(ABANDONED,       CHILD_COMPLETED,  NULL,              DONE)                                  \
    T(ABANDONED,       CHILD_FAILED,     NULL,              DONE)                                  \
    T(ABANDONED,       CHILD_CANCELED,   NULL,              DONE)                                  \
    T(ABANDONED,       CHILD_TIMED_OUT,  NULL,              DONE)                                  \
    T(ABANDONED,       CHILD_TERMINATED, NULL,              DONE)                                  \
    T(DONE,            CANCEL,           NULL,              DONE)                                  \
    T(DONE,            TRY_CANCEL,       NULL,              DONE)                                  \
    T(DONE,            ABANDON,          NULL,              DONE)

enum {
#define S(name) CHILD_S_##name,
    CHILD_STATES(S)
#undef S
    CHILD_S_COUNT,
};
enum {
#define E(name) CHILD_E_##name,
    CHILD_EVENTS(E)
#undef E
    CHILD_E_COUNT,
};
/* clang-format on */

/* The machine's strings. */
enum { TEXT_TYPE, TEXT_ID, TEXT_NAMESPACE, TEXT_RUN_ID, TEXT_COUNT };

static void set_text(struct tl_machine *machine, unsigned index, struct tl_str s)
{
    struct tl_str all[TEXT_COUNT];
    for (unsigned i = 0; i < TEXT_COUNT; i++) {
        all[i] = i == index ? s : tl_machine_text(machine, i);
    }
    tl_machine_set_texts(machine, all, TEXT_COUNT);
}

static tl_rc arena_full(const struct tl_machine *machine, struct tl_error *err)
{
    return tl_error_set(err, TL_ELIMIT, "child workflow %u: the arena is full", machine->seq);
}

static tl_rc check_recorded(struct tl_run *run, struct tl_machine *machine,
                            const struct tl_fsm_input *input, struct tl_error *err)
{
    const TpHistory__StartChildWorkflowExecutionInitiatedEventAttributes *recorded =
        input->event->start_child_workflow_execution_initiated_event_attributes;
    struct tl_str id = tl_str(recorded->workflow_id);
    struct tl_str type = tl_str(recorded->workflow_type ? recorded->workflow_type->name : "");
    struct tl_str our_type = tl_machine_text(machine, TEXT_TYPE);
    struct tl_str our_id = tl_machine_text(machine, TEXT_ID);
    /* As for activities: old histories of the core were never checked, other SDKs make ids in
     * their own way. */
    bool core_checks = tl_core_use_flag(run, TL_FLAG_ID_AND_TYPE_CHECKS, run->task->group.last);
    bool check_ids = run->sdk_family == TL_SDK_CORE && core_checks;
    bool check_types = run->sdk_family != TL_SDK_CORE || core_checks;
    if (check_types && !tl_str_eq(type, our_type)) {
        return tl_error_set(err, TL_ENONDETERMINISM,
                            "history has a child workflow of type '%.*s', the code started '%.*s'",
                            TL_STR_FMT(type), TL_STR_FMT(our_type));
    }
    if (tl_str_eq(id, our_id)) {
        return TL_OK;
    }
    if (check_ids) {
        return tl_error_set(err, TL_ENONDETERMINISM,
                            "history has the child workflow id '%.*s', the code made '%.*s'",
                            TL_STR_FMT(id), TL_STR_FMT(our_id));
    }
    set_text(machine, TEXT_ID, id);
    return TL_OK;
}

/* --- failures --------------------------------------------------------------------------------- */

/* A ChildWorkflowExecutionFailureInfo around cause (NULL: the arena is full already). */
static TpFailure__Failure *wrap_failure(struct tl_run *run, const struct tl_machine *machine,
                                        const char *message, const TpFailure__Failure *cause,
                                        int retry_state)
{
    struct tl_arena *a = run->task->current;
    TpFailure__Failure *f = TL_PB_NEW(a, TpFailure__Failure, tp_failure__failure);
    TpFailure__ChildWorkflowExecutionFailureInfo *info =
        TL_PB_NEW(a, TpFailure__ChildWorkflowExecutionFailureInfo,
                  tp_failure__child_workflow_execution_failure_info);
    TpCommon__WorkflowType *type = TL_PB_NEW(a, TpCommon__WorkflowType, tp_common__workflow_type);
    TpCommon__WorkflowExecution *execution =
        TL_PB_NEW(a, TpCommon__WorkflowExecution, tp_common__workflow_execution);
    if (!f || !info || !type || !execution || !cause) {
        return NULL;
    }
    f->message = tl_pb_cstr(a, tl_str(message));
    type->name = tl_pb_cstr(a, tl_machine_text(machine, TEXT_TYPE));
    execution->workflow_id = tl_pb_cstr(a, tl_machine_text(machine, TEXT_ID));
    execution->run_id = tl_pb_cstr(a, tl_machine_text(machine, TEXT_RUN_ID));
    info->namespace_ = tl_pb_cstr(a, tl_machine_text(machine, TEXT_NAMESPACE));
    if (!f->message || !type->name || !execution->workflow_id || !execution->run_id ||
        !info->namespace_) {
        return NULL;
    }
    info->workflow_type = type;
    info->workflow_execution = execution;
    info->initiated_event_id = machine->event_id;
    info->started_event_id = machine->started_id;
    info->retry_state = (TpEnums__RetryState)retry_state;
    f->cause = (TpFailure__Failure *)(uintptr_t)cause;
    f->failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_CHILD_WORKFLOW_EXECUTION_FAILURE_INFO;
    f->child_workflow_execution_failure_info = info;
    return f;
}

static TpFailure__Failure *new_cause(struct tl_run *run, const char *message)
{
    struct tl_arena *a = run->task->current;
    TpFailure__Failure *f = TL_PB_NEW(a, TpFailure__Failure, tp_failure__failure);
    if (f && !(f->message = tl_pb_cstr(a, tl_str(message)))) {
        return NULL;
    }
    return f;
}

/* --- telling the code ------------------------------------------------------------------------- */

static tl_rc tell_start(struct tl_run *run, const struct tl_machine *machine,
                        enum tl_child_start status, const TpFailure__Failure *failure,
                        struct tl_error *err)
{
    if (status != TL_CHILD_STARTED && !failure) {
        return arena_full(machine, err);
    }
    struct tl_job *job = tl_core_add_job(run, TL_JOB_CHILD_STARTED, err);
    if (!job) {
        return TL_ELIMIT;
    }
    job->u.child_started.seq = machine->seq;
    job->u.child_started.status = status;
    job->u.child_started.failure = failure;
    return TL_OK;
}

static tl_rc tell_started(struct tl_run *run, struct tl_machine *machine,
                          const struct tl_fsm_input *input, struct tl_error *err)
{
    const TpHistory__ChildWorkflowExecutionStartedEventAttributes *a =
        input->event->child_workflow_execution_started_event_attributes;
    struct tl_str run_id = tl_str(a->workflow_execution ? a->workflow_execution->run_id : "");
    machine->started_id = input->event->event_id;
    set_text(machine, TEXT_RUN_ID, run_id);
    tl_rc rc = tell_start(run, machine, TL_CHILD_STARTED, NULL, err);
    if (rc == TL_OK) {
        run->task->jobs[run->task->job_count - 1].u.child_started.run_id = run_id;
    }
    return rc;
}

static tl_rc tell_start_failed(struct tl_run *run, struct tl_machine *machine,
                               const struct tl_fsm_input *input, struct tl_error *err)
{
    const TpHistory__StartChildWorkflowExecutionFailedEventAttributes *a =
        input->event->start_child_workflow_execution_failed_event_attributes;
    const char *type = "ChildWorkflowStartError", *text = "the server refused to start it";
    switch ((int)a->cause) {
    case START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_WORKFLOW_ALREADY_EXISTS:
        type = "WorkflowAlreadyStartedError";
        text = "Workflow execution already started";
        break;
    case START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_NAMESPACE_NOT_FOUND:
        type = "NamespaceNotFoundError";
        text = "its namespace does not exist";
        break;
    case START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_INVALID_VERSIONING_OVERRIDE:
        type = "InvalidVersioningOverrideError";
        text = "Invalid versioning override";
        break;
    default:
        break;
    }
    TpFailure__Failure *cause = new_cause(run, text);
    TpFailure__ApplicationFailureInfo *info =
        TL_PB_NEW(run->task->current, TpFailure__ApplicationFailureInfo,
                  tp_failure__application_failure_info);
    if (!cause || !info || !(info->type = tl_pb_cstr(run->task->current, tl_str(type)))) {
        return arena_full(machine, err);
    }
    info->non_retryable = true;
    cause->failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_APPLICATION_FAILURE_INFO;
    cause->application_failure_info = info;
    return tell_start(run, machine, TL_CHILD_NOT_STARTED,
                      wrap_failure(run, machine, "Child Workflow execution could not be started",
                                   cause, RETRY_STATE_NON_RETRYABLE_FAILURE),
                      err);
}

static tl_rc tell(struct tl_run *run, const struct tl_machine *machine, enum tl_child_status status,
                  const TpCommon__Payloads *result, const TpFailure__Failure *failure,
                  struct tl_error *err)
{
    if (status != TL_CHILD_COMPLETED && !failure) {
        return arena_full(machine, err);
    }
    struct tl_job *job = tl_core_add_job(run, TL_JOB_CHILD_RESOLVED, err);
    if (!job) {
        return TL_ELIMIT;
    }
    job->u.child.seq = machine->seq;
    job->u.child.status = status;
    job->u.child.result = result;
    job->u.child.failure = failure;
    return TL_OK;
}

static tl_rc tell_completed(struct tl_run *run, struct tl_machine *machine,
                            const struct tl_fsm_input *input, struct tl_error *err)
{
    return tell(run, machine, TL_CHILD_COMPLETED,
                input->event->child_workflow_execution_completed_event_attributes->result, NULL,
                err);
}

static tl_rc tell_failed(struct tl_run *run, struct tl_machine *machine,
                         const struct tl_fsm_input *input, struct tl_error *err)
{
    const TpHistory__ChildWorkflowExecutionFailedEventAttributes *a =
        input->event->child_workflow_execution_failed_event_attributes;
    const TpFailure__Failure *cause = a->failure ? a->failure : new_cause(run, "");
    return tell(
        run, machine, TL_CHILD_FAILED, NULL,
        wrap_failure(run, machine, "Child Workflow execution failed", cause, (int)a->retry_state),
        err);
}

static tl_rc tell_timed_out(struct tl_run *run, struct tl_machine *machine,
                            const struct tl_fsm_input *input, struct tl_error *err)
{
    const TpHistory__ChildWorkflowExecutionTimedOutEventAttributes *a =
        input->event->child_workflow_execution_timed_out_event_attributes;
    TpFailure__Failure *cause = new_cause(run, "Timed out");
    TpFailure__TimeoutFailureInfo *info = TL_PB_NEW(
        run->task->current, TpFailure__TimeoutFailureInfo, tp_failure__timeout_failure_info);
    if (!cause || !info) {
        return arena_full(machine, err);
    }
    info->timeout_type = (TpEnums__TimeoutType)TIMEOUT_TYPE_START_TO_CLOSE;
    cause->failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_TIMEOUT_FAILURE_INFO;
    cause->timeout_failure_info = info;
    return tell(run, machine, TL_CHILD_FAILED, NULL,
                wrap_failure(run, machine, "Child Workflow execution timed out", cause,
                             (int)a->retry_state),
                err);
}

static tl_rc tell_terminated(struct tl_run *run, struct tl_machine *machine,
                             const struct tl_fsm_input *input, struct tl_error *err)
{
    (void)input;
    TpFailure__Failure *cause = new_cause(run, "Terminated");
    TpFailure__TerminatedFailureInfo *info = TL_PB_NEW(
        run->task->current, TpFailure__TerminatedFailureInfo, tp_failure__terminated_failure_info);
    if (!cause || !info) {
        return arena_full(machine, err);
    }
    cause->failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_TERMINATED_FAILURE_INFO;
    cause->terminated_failure_info = info;
    return tell(run, machine, TL_CHILD_FAILED, NULL,
                wrap_failure(run, machine, "Child Workflow execution terminated", cause,
                             RETRY_STATE_NON_RETRYABLE_FAILURE),
                err);
}

static tl_rc tell_canceled(struct tl_run *run, struct tl_machine *machine,
                           const struct tl_fsm_input *input, struct tl_error *err)
{
    (void)input;
    return tell(run, machine, TL_CHILD_CANCELED, NULL,
                wrap_failure(run, machine, "Child Workflow execution cancelled",
                             tl_core_canceled(run, "", NULL), RETRY_STATE_NON_RETRYABLE_FAILURE),
                err);
}

/* --- cancelling ------------------------------------------------------------------------------- */

static tl_rc take_back(struct tl_run *run, struct tl_machine *machine,
                       const struct tl_fsm_input *input, struct tl_error *err)
{
    (void)input;
    machine->dropped = true;
    run->dropped_count++;
    return tell_start(
        run, machine, TL_CHILD_START_CANCELED,
        wrap_failure(run, machine, "Child Workflow Execution cancelled before scheduled",
                     tl_core_canceled(run, "", NULL), RETRY_STATE_NON_RETRYABLE_FAILURE),
        err);
}

static tl_rc request_cancel(struct tl_run *run, struct tl_machine *machine,
                            const struct tl_fsm_input *input, struct tl_error *err)
{
    return tl_cancel_external_child(run, (uint32_t)(machine - run->machines), input->cmd, err);
}

static tl_rc try_cancel(struct tl_run *run, struct tl_machine *machine,
                        const struct tl_fsm_input *input, struct tl_error *err)
{
    tl_rc rc = tell_canceled(run, machine, input, err);
    return rc == TL_OK ? request_cancel(run, machine, input, err) : rc;
}

#define T(state, event, action, next) TL_FSM_EDGE(CHILD, state, event, action, next)
static const struct tl_fsm_edge edges[CHILD_S_COUNT * CHILD_E_COUNT] = {CHILD_TABLE(T)};
#undef T
static _Atomic uint8_t taken[CHILD_S_COUNT * CHILD_E_COUNT];
#define NAME(name) #name,
static const char *const states[] = {CHILD_STATES(NAME)};
static const char *const events[] = {CHILD_EVENTS(NAME)};
#undef NAME
const struct tl_fsm tl_child_fsm = {
    "child workflow",   states, events, CHILD_S_COUNT, CHILD_E_COUNT,
    1u << CHILD_S_DONE, edges,  taken};

/* --- commands and events ---------------------------------------------------------------------- */

tl_rc tl_child_start(struct tl_run *run, const struct tl_cmd *cmd, struct tl_error *err)
{
    if (cmd->seq <= run->child_seq || !cmd->attrs ||
        cmd->attrs->descriptor !=
            &tp_command__start_child_workflow_execution_command_attributes__descriptor) {
        return tl_error_set(err, TL_EINVAL,
                            "child workflow %u: number not rising or attributes missing", cmd->seq);
    }
    run->child_seq = cmd->seq;
    const TpCommand__StartChildWorkflowExecutionCommandAttributes *attrs =
        (const TpCommand__StartChildWorkflowExecutionCommandAttributes *)cmd->attrs;
    uint32_t slot;
    struct tl_machine *machine = tl_core_add_machine(run, TL_MACHINE_CHILD, cmd->seq, &slot);
    machine->cancellation = (uint8_t)cmd->cancellation;
    struct tl_str texts[TEXT_COUNT] = {
        [TEXT_TYPE] = tl_str(attrs->workflow_type ? attrs->workflow_type->name : ""),
        [TEXT_ID] = tl_str(attrs->workflow_id),
        [TEXT_NAMESPACE] = tl_str(attrs->namespace_),
    };
    tl_machine_set_texts(machine, texts, TEXT_COUNT);
    tl_core_push_command(run, slot, COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION, cmd->attrs, cmd);
    return tl_fsm_apply(&tl_child_fsm, run, machine, CHILD_E_START,
                        &(struct tl_fsm_input){.cmd = cmd}, err);
}

tl_rc tl_child_cancel(struct tl_run *run, const struct tl_cmd *cmd, struct tl_error *err)
{
    static const uint8_t inputs[] = {[TL_CANCEL_TRY] = CHILD_E_TRY_CANCEL,
                                     [TL_CANCEL_WAIT] = CHILD_E_CANCEL,
                                     [TL_CANCEL_ABANDON] = CHILD_E_ABANDON,
                                     [TL_CANCEL_WAIT_REQUESTED] = CHILD_E_CANCEL};
    if (cmd->seq == 0 || cmd->seq > run->child_seq) {
        return tl_error_set(err, TL_EINVAL, "cancel of child workflow %u, which was never started",
                            cmd->seq);
    }
    uint32_t slot;
    struct tl_machine *machine = tl_core_find(run, TL_MACHINE_CHILD, cmd->seq, &slot);
    if (!machine) {
        return TL_OK; /* resolved already */
    }
    return tl_fsm_apply(&tl_child_fsm, run, machine, inputs[machine->cancellation],
                        &(struct tl_fsm_input){.cmd = cmd}, err);
}

tl_rc tl_child_cancel_delivered(struct tl_run *run, uint32_t seq, struct tl_error *err)
{
    uint32_t slot;
    struct tl_machine *machine = tl_core_find(run, TL_MACHINE_CHILD, seq, &slot);
    if (!machine || machine->cancellation != TL_CANCEL_WAIT_REQUESTED ||
        (machine->state != CHILD_S_CANCELING && machine->state != CHILD_S_START_CANCELING)) {
        return TL_OK;
    }
    return tl_fsm_apply(&tl_child_fsm, run, machine, CHILD_E_CANCEL_DELIVERED,
                        &(struct tl_fsm_input){0}, err);
}

tl_rc tl_child_event(struct tl_run *run, struct tl_machine *machine,
                     const TpHistory__HistoryEvent *event, struct tl_error *err)
{
    static const struct {
        uint8_t type, input;
    } map[] = {
        {EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED, CHILD_E_START_INITIATED},
        {EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED, CHILD_E_START_FAILED},
        {EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED, CHILD_E_CHILD_STARTED},
        {EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED, CHILD_E_CHILD_COMPLETED},
        {EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED, CHILD_E_CHILD_FAILED},
        {EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED, CHILD_E_CHILD_CANCELED},
        {EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT, CHILD_E_CHILD_TIMED_OUT},
        {EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED, CHILD_E_CHILD_TERMINATED},
    };
    uint8_t input = 0;
    for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++) {
        if (map[i].type == (int)event->event_type) {
            input = map[i].input;
        }
    }
    return tl_fsm_apply(&tl_child_fsm, run, machine, input, &(struct tl_fsm_input){.event = event},
                        err);
}
