/* Workflow task. The server schedules it, a worker starts it, and it ends completed, failed or
 * timed out; one at a time. The start that closes a group sets the workflow's time. A task that a
 * reset failed carries the new run's id: the run's random numbers start afresh.
 * Thread: the run's. */
#include "core/run_int.h"

#include <tl_enums.h>

/* clang-format off */
#define TASK_STATES(S) S(NONE) S(SCHEDULED) S(STARTED) S(COMPLETED) S(FAILED) S(TIMED_OUT)
#define TASK_EVENTS(E) E(SCHEDULE) E(START) E(COMPLETE) E(FAIL) E(TIME_OUT) E(DROP)
#define TASK_TABLE(T)                                                                              \
    /* state     event     action  next       */                                                   \
    T(NONE,      SCHEDULE, open,   SCHEDULED)                                                      \
    T(SCHEDULED, START,    start,  STARTED)                                                        \
    T(SCHEDULED, FAIL,     fail,   FAILED) /* the run was paused */                                \
    T(SCHEDULED, TIME_OUT, NULL,   TIMED_OUT)                                                      \
    T(STARTED,   COMPLETE, NULL,   COMPLETED)                                                      \
    T(STARTED,   FAIL,     fail,   FAILED)                                                         \
    T(STARTED,   TIME_OUT, NULL,   TIMED_OUT)                                                      \
    T(STARTED,   DROP,     NULL,   COMPLETED)                                                      \
    T(COMPLETED, SCHEDULE, open,   SCHEDULED)                                                      \
    T(FAILED,    SCHEDULE, open,   SCHEDULED)                                                      \
    T(TIMED_OUT, SCHEDULE, open,   SCHEDULED)

enum {
#define S(name) TASK_S_##name,
    TASK_STATES(S)
#undef S
    TASK_S_COUNT,
};
enum {
#define E(name) TASK_E_##name,
    TASK_EVENTS(E)
#undef E
    TASK_E_COUNT,
};
/* clang-format on */

static tl_rc open(struct tl_run *run, struct tl_machine *machine, const struct tl_fsm_input *input,
                  struct tl_error *err)
{
    (void)run, (void)err;
    machine->event_id = input->event->event_id;
    return TL_OK;
}

static tl_rc start(struct tl_run *run, struct tl_machine *machine, const struct tl_fsm_input *input,
                   struct tl_error *err)
{
    (void)machine;
    const TpHistory__HistoryEvent *event = input->event;
    const TpHistory__WorkflowTaskStartedEventAttributes *a =
        event->workflow_task_started_event_attributes;
    struct tl_task *task = run->task;
    bool last = event->event_id >= run->group_started_id;
    size_t next = task->index + 1;
    if (!last &&
        (int)task->history.events[next]->event_type != EVENT_TYPE_WORKFLOW_TASK_COMPLETED) {
        return TL_OK; /* this task came to nothing: the code never saw its time */
    }
    if (last && run->group_started_id) {
        run->started_event_id = run->group_started_id;
    }
    if (task->timed) {
        return TL_OK; /* what ran in the first of these tasks went on in this one */
    }
    task->timed = run->group_started_id != 0;
    run->history_bytes = a->history_size_bytes > 0 ? a->history_size_bytes : 0;
    run->continue_as_new_suggested = a->suggest_continue_as_new != 0;
    run->target_deployment_version_changed = a->target_worker_deployment_version_changed != 0;
    run->continue_as_new_reasons = 0;
    for (size_t i = 0; i < a->n_suggest_continue_as_new_reasons; i++) {
        unsigned reason = (unsigned)a->suggest_continue_as_new_reasons[i];
        run->continue_as_new_reasons |= reason < 32 ? 1u << reason : 0;
    }
    run->seen_event_id = event->event_id;
    int64_t now_ns;
    tl_rc rc = tl_pb_ns_from_timestamp(event->event_time, &now_ns, err);
    if (rc != TL_OK || !event->event_time) {
        return tl_error_set(err, TL_EINVAL, "WorkflowTaskStarted has no usable time");
    }
    run->now_ns = now_ns > run->now_ns ? now_ns : run->now_ns;
    return TL_OK;
}

static tl_rc fail(struct tl_run *run, struct tl_machine *machine, const struct tl_fsm_input *input,
                  struct tl_error *err)
{
    (void)machine;
    const TpHistory__WorkflowTaskFailedEventAttributes *a =
        input->event->workflow_task_failed_event_attributes;
    if ((int)a->cause != WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW) {
        return TL_OK;
    }
    struct tl_job *job = tl_core_add_job(run, TL_JOB_RANDOM_SEED, err);
    if (!job) {
        return TL_ELIMIT;
    }
    job->u.random_seed.seed = tl_run_seed(tl_str(a->new_run_id));
    return TL_OK;
}

#define T(state, event, action, next) TL_FSM_EDGE(TASK, state, event, action, next)
static const struct tl_fsm_edge edges[TASK_S_COUNT * TASK_E_COUNT] = {TASK_TABLE(T)};
#undef T
static _Atomic uint8_t taken[TASK_S_COUNT * TASK_E_COUNT];
#define NAME(name) #name,
static const char *const states[] = {TASK_STATES(NAME)};
static const char *const events[] = {TASK_EVENTS(NAME)};
#undef NAME
const struct tl_fsm tl_task_fsm = {"workflow task", states, events, TASK_S_COUNT,
                                   TASK_E_COUNT,    0,      edges,  taken};

tl_rc tl_task_event(struct tl_run *run, const TpHistory__HistoryEvent *event, struct tl_error *err)
{
    uint8_t input = TASK_E_SCHEDULE;
    switch ((int)event->event_type) {
    case EVENT_TYPE_WORKFLOW_TASK_STARTED:
        input = TASK_E_START;
        break;
    case EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
        input = TASK_E_COMPLETE;
        break;
    case EVENT_TYPE_WORKFLOW_TASK_FAILED:
        input = TASK_E_FAIL;
        break;
    case EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT:
        input = TASK_E_TIME_OUT;
        break;
    default:
        break;
    }
    int64_t scheduled = tl_event_link(event);
    if (input != TASK_E_SCHEDULE && scheduled != run->workflow_task.event_id) {
        return tl_error_set(err, TL_EINVAL,
                            "it belongs to the workflow task scheduled at %lld, the current one "
                            "was scheduled at %lld",
                            (long long)scheduled, (long long)run->workflow_task.event_id);
    }
    return tl_fsm_apply(&tl_task_fsm, run, &run->workflow_task, input,
                        &(struct tl_fsm_input){.event = event}, err);
}

tl_rc tl_task_drop(struct tl_run *run, struct tl_error *err)
{
    return tl_fsm_apply(&tl_task_fsm, run, &run->workflow_task, TASK_E_DROP,
                        &(struct tl_fsm_input){0}, err);
}
