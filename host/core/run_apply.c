/* History events are applied to a run: to the machines they belong to, as jobs for the language,
 * and against the commands the code made.
 * Ownership: the run's. Thread: the run's. */
#include "core/run_int.h"

#include <tl_enums.h>

static int type_of(const TpHistory__HistoryEvent *event)
{
    return (int)event->event_type;
}

static bool is_command(const TpHistory__HistoryEvent *event)
{
    return tl_event_info(type_of(event))->event_class == TL_EVENT_COMMAND;
}

static const TpHistory__HistoryEvent *event_after(const struct tl_run *run)
{
    const struct tl_task *task = run->task;
    size_t next = task->index + 1;
    return next < task->group.end ? task->history.events[next] : NULL;
}

/* --- events that follow a command ------------------------------------------------------------- */

static tl_rc machine_event(struct tl_run *run, struct tl_machine *machine,
                           const TpHistory__HistoryEvent *event, struct tl_error *err)
{
    static tl_rc (*const apply[TL_MACHINE_COUNT])(struct tl_run *, struct tl_machine *,
                                                  const TpHistory__HistoryEvent *,
                                                  struct tl_error *) = {
        [TL_MACHINE_TIMER] = tl_timer_event,
        [TL_MACHINE_ACTIVITY] = tl_activity_event,
        [TL_MACHINE_ONEWAY] = tl_oneway_event,
        [TL_MACHINE_PATCH] = tl_patch_event,
        [TL_MACHINE_CLOSE] = tl_close_event,
        [TL_MACHINE_LOCAL] = tl_local_event,
        [TL_MACHINE_CHILD] = tl_child_event,
        [TL_MACHINE_SIGNAL_EXTERNAL] = tl_signal_external_event,
        [TL_MACHINE_CANCEL_EXTERNAL] = tl_cancel_external_event,
        [TL_MACHINE_UPDATE] = tl_update_event,
        [TL_MACHINE_NEXUS] = tl_nexus_event,
    };
    return apply[machine->kind](run, machine, event, err);
}

static void drop_if_done(struct tl_run *run, uint32_t slot)
{
    const struct tl_machine *machine = &run->machines[slot];
    if (!machine->dropped && tl_fsm_final(tl_machine_fsm(machine), machine->state)) {
        tl_core_drop_machine(run, slot);
    }
}

static tl_rc apply_follow(struct tl_run *run, const TpHistory__HistoryEvent *event,
                          struct tl_error *err)
{
    uint32_t slot;
    int64_t link = tl_event_link(event);
    struct tl_machine *machine = tl_core_find_event(run, link, &slot);
    if (!machine && event->worker_may_ignore) {
        return TL_OK; /* it has ended: how its cancellation fared is of no use any more */
    }
    if (!machine || machine->kind != tl_event_info(type_of(event))->machine) {
        return tl_core_mismatch(run, event, false, err,
                                "it answers event %lld, which no command of the code began",
                                (long long)link);
    }
    tl_rc rc = machine_event(run, machine, event, err);
    if (rc != TL_OK) {
        return tl_core_refused(run, event, false, err);
    }
    drop_if_done(run, slot);
    return TL_OK;
}

/* --- events written for commands -------------------------------------------------------------- */

/* The marker of a deprecated patch, or of a numbered version, may be without its call. */
static bool skips_marker(struct tl_run *run, const TpHistory__HistoryEvent *event)
{
    struct tl_patch_marker marker;
    if (!tl_patch_marker_read(event, run->task->current, &marker) ||
        (!marker.deprecated && !marker.numbered)) {
        return false;
    }
    if (tl_core_outgoing_count(run) == 0) {
        return true;
    }
    const struct tl_machine *machine = &run->machines[run->outgoing[run->outgoing_first].slot];
    return machine->kind != TL_MACHINE_PATCH ||
           run->patches[machine->seq].numbered != marker.numbered ||
           !tl_str_eq(tl_str(run->patches[machine->seq].id), marker.id);
}

/* For the report of a later one that does not fit: the command's own text is gone by then. */
static void remember_match(struct tl_run *run, const TpHistory__HistoryEvent *event)
{
    struct tl_task *task = run->task;
    struct tl_str where = run->bodies ? run->bodies[run->outgoing_first].where : (struct tl_str){0};
    size_t n = where.n < sizeof(task->matched_where) ? where.n : sizeof(task->matched_where) - 1;
    task->matched = event;
    if (n) {
        memcpy(task->matched_where, where.p, n);
    }
    task->matched_where[n] = '\0';
}

static tl_rc apply_command_event(struct tl_run *run, const TpHistory__HistoryEvent *event,
                                 struct tl_error *err)
{
    bool taken;
    tl_rc rc = tl_local_recorded(run, event, &taken, err);
    if (rc != TL_OK || taken) {
        return rc == TL_OK ? TL_OK : tl_core_refused(run, event, false, err);
    }
    if (skips_marker(run, event)) {
        if (tl_patch_upsert_is(event_after(run))) {
            run->task->index++;
            run->last_event_id++;
        }
        return TL_OK;
    }
    if (tl_core_outgoing_count(run) == 0) {
        return tl_core_mismatch(run, event, false, err, "the code made no command for it");
    }
    const struct tl_outgoing *out = &run->outgoing[run->outgoing_first];
    uint32_t slot = out->slot;
    const struct tl_command_info *info = tl_command_info(out->command);
    struct tl_machine *machine = &run->machines[slot];
    int64_t link = tl_event_link(event);
    bool initiates = tl_outgoing_initiates(out);
    if (tl_outgoing_event(out) != type_of(event)) {
        return tl_core_mismatch(run, event, true, err, "the code made %s here", info->text);
    }
    if (!initiates && link != machine->event_id) {
        return tl_core_mismatch(run, event, true, err,
                                "it belongs to what event %lld began, the code's command to what "
                                "event %lld began",
                                (long long)link, (long long)machine->event_id);
    }
    rc = machine_event(run, machine, event, err);
    if (rc != TL_OK) {
        return tl_core_refused(run, event, true, err);
    }
    remember_match(run, event);
    tl_core_pop_command(run);
    if (initiates && !tl_fsm_final(tl_machine_fsm(machine), machine->state)) {
        tl_core_record_event(run, slot, event->event_id);
    }
    drop_if_done(run, slot);
    return TL_OK;
}

/* --- events that stand for themselves --------------------------------------------------------- */

static tl_rc apply_start(struct tl_run *run, const TpHistory__HistoryEvent *event,
                         struct tl_error *err)
{
    const TpHistory__WorkflowExecutionStartedEventAttributes *a =
        event->workflow_execution_started_event_attributes;
    if (run->initialised || event->event_id != 1) {
        return tl_core_bad_history(run, event, err, "the run starts a second time");
    }
    tl_rc rc = tl_core_inherit_start(run, a, err);
    struct tl_job *job = rc == TL_OK ? tl_core_add_job(run, TL_JOB_INIT, err) : NULL;
    if (!job) {
        return rc == TL_OK ? TL_ELIMIT : rc;
    }
    run->initialised = true;
    run->now_ns = tl_pb_timestamp_ns_or(event->event_time, 0);
    run->task_timeout_ns = tl_pb_duration_ns_or(a->workflow_task_timeout, 0);
    job->u.init.attrs = a;
    job->u.init.seed = tl_run_seed(tl_str(a->original_execution_run_id));
    job->u.init.start_time_ns = run->now_ns;
    return TL_OK;
}

static tl_rc apply_job(struct tl_run *run, const TpHistory__HistoryEvent *event,
                       struct tl_error *err)
{
    if (type_of(event) == EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ADMITTED) {
        return tl_update_admitted(run, event, err);
    }
    bool signal = type_of(event) == EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED;
    struct tl_job *job = tl_core_add_job(run, signal ? TL_JOB_SIGNAL : TL_JOB_CANCEL, err);
    if (!job) {
        return TL_ELIMIT;
    }
    if (signal) {
        job->u.signal.attrs = event->workflow_execution_signaled_event_attributes;
        job->u.signal.event_id = event->event_id;
    } else {
        job->u.cancel.cause =
            tl_str(event->workflow_execution_cancel_requested_event_attributes->cause);
    }
    return TL_OK;
}

static tl_rc apply_task_event(struct tl_run *run, const TpHistory__HistoryEvent *event,
                              struct tl_error *err)
{
    tl_rc rc = tl_task_event(run, event, err);
    if (rc != TL_OK) {
        return tl_core_bad_history(run, event, err, "%s", err->message);
    }
    if (type_of(event) == EVENT_TYPE_WORKFLOW_TASK_COMPLETED) {
        run->after_completed = true;
    } else if (tl_core_outgoing_count(run) > 0) {
        /* Only a cached run can meet this: its own task came to nothing on the server. */
        return tl_error_set(err, TL_EPRECONDITION,
                            "the task whose commands are waiting ended as %s: replay from event 1",
                            tl_event_info(type_of(event))->text);
    }
    return TL_OK;
}

static tl_rc apply_end(struct tl_run *run, const TpHistory__HistoryEvent *event,
                       struct tl_error *err)
{
    if (run->task->index + 1 < run->task->history.count) {
        return tl_core_bad_history(run, event, err, "events follow the end of the run");
    }
    return TL_OK;
}

static tl_rc apply_class(struct tl_run *run, const TpHistory__HistoryEvent *event,
                         struct tl_error *err)
{
    switch ((enum tl_event_class)tl_event_info(type_of(event))->event_class) {
    case TL_EVENT_START:
        return apply_start(run, event, err);
    case TL_EVENT_TASK:
        return apply_task_event(run, event, err);
    case TL_EVENT_COMMAND:
        return apply_command_event(run, event, err);
    case TL_EVENT_FOLLOW:
        return apply_follow(run, event, err);
    case TL_EVENT_JOB:
        return apply_job(run, event, err);
    case TL_EVENT_END:
        return apply_end(run, event, err);
    case TL_EVENT_PASS:
    case TL_EVENT_UNKNOWN:
        break;
    }
    return tl_core_bad_history(run, event, err, "this worker does not know what it means");
}

/* --- groups ----------------------------------------------------------------------------------- */

/* Command events come right after WorkflowTaskCompleted: whatever else shows that the server wrote
 * none for the commands that are left. */
static tl_rc leave_commands(struct tl_run *run, const TpHistory__HistoryEvent *event,
                            struct tl_error *err)
{
    if (!run->after_completed) {
        return TL_OK;
    }
    run->after_completed = false;
    if (tl_core_outgoing_count(run) > 0) {
        return tl_core_mismatch(run, event, true, err, "history has no event for this command");
    }
    return TL_OK;
}

static tl_rc apply_event(struct tl_run *run, const TpHistory__HistoryEvent *event,
                         struct tl_error *err)
{
    int type = type_of(event);
    const struct tl_event_info *info = tl_event_info(type);
    if (event->event_id != run->last_event_id + 1) {
        return tl_core_bad_history(run, event, err, "event %lld was expected",
                                   (long long)run->last_event_id + 1);
    }
    if (run->closed) {
        return tl_core_bad_history(run, event, err, "events follow the end of the run");
    }
    if (run->last_event_id == 0 && type != EVENT_TYPE_WORKFLOW_EXECUTION_STARTED) {
        return tl_core_bad_history(run, event, err,
                                   "a history begins with "
                                   "WorkflowExecutionStarted");
    }
    run->last_event_id = event->event_id;
    bool passes = event->worker_may_ignore &&
                  (info->event_class == TL_EVENT_PASS || info->event_class == TL_EVENT_UNKNOWN);
    if (!passes && !tl_event_valid(event)) {
        return tl_core_bad_history(run, event, err, "its attributes do not fit its type %d", type);
    }
    if (info->event_class != TL_EVENT_COMMAND && type != EVENT_TYPE_WORKFLOW_TASK_COMPLETED) {
        tl_rc rc = leave_commands(run, event, err);
        if (rc != TL_OK) {
            return rc;
        }
    }
    if (passes) {
        return TL_OK;
    }
    run->closed = tl_event_closes(type);
    return apply_class(run, event, err);
}

/* Replay ends with the first event of the last group that nobody has answered yet. */
static void watch_replay(struct tl_run *run, const TpHistory__HistoryEvent *event)
{
    if (run->replaying && run->task->group.last &&
        event->event_id > run->task->previous_started_id &&
        type_of(event) != EVENT_TYPE_WORKFLOW_TASK_COMPLETED && !is_command(event)) {
        run->replaying = false;
    }
}

/* A query wants the state that the last completed task left: what came since waits for its task. */
static size_t answered_end(const struct tl_run *run)
{
    const struct tl_task *task = run->task;
    const struct tl_history_group *group = &task->group;
    if (!task->query_only || !group->last || group->first == group->end) {
        return group->end;
    }
    int last_type = type_of(task->history.events[group->end - 1]);
    if (tl_event_closes(last_type)) {
        return group->end;
    }
    size_t i = group->first;
    while (i < group->end &&
           (type_of(task->history.events[i]) == EVENT_TYPE_WORKFLOW_TASK_COMPLETED ||
            is_command(task->history.events[i]))) {
        i++;
    }
    return i;
}

static tl_rc announce_patch(struct tl_run *run, const struct tl_patch_marker *marker,
                            const TpHistory__HistoryEvent *next, struct tl_error *err)
{
    struct tl_job *job =
        tl_core_add_job(run, marker->numbered ? TL_JOB_VERSION : TL_JOB_PATCH, err);
    if (!job) {
        return TL_ELIMIT;
    }
    if (marker->numbered) {
        job->u.version.change_id = marker->id;
        job->u.version.version = marker->version;
    } else {
        job->u.patch.change_id = marker->id;
    }
    uint32_t index = tl_patch_index(run, marker->id, marker->numbered); /* may move the array */
    run->patches[index].announced = true;
    run->patches[index].upserted = tl_patch_upsert_is(next);
    run->patches[index].version = marker->version;
    return TL_OK;
}

/* The code must know before it runs what its answers were when it ran before: markers stand among
 * the commands that the group's task made, which is at the begin of the next group. */
static tl_rc announce_markers(struct tl_run *run, struct tl_error *err)
{
    struct tl_task *task = run->task;
    struct tl_history_group next;
    if (!tl_history_peek(&task->history, run->started_event_id, &next)) {
        return TL_OK;
    }
    for (size_t i = next.first; i < next.end; i++) {
        TpHistory__HistoryEvent *const *event = &task->history.events[i];
        struct tl_patch_marker patch;
        struct tl_side_effect effect;
        tl_rc rc = tl_local_look_ahead(run, *event, err);
        if (rc != TL_OK) {
            return rc;
        }
        if (tl_patch_marker_read(*event, task->current, &patch)) {
            rc = announce_patch(run, &patch, i + 1 < next.end ? event[1] : NULL, err);
        } else if (tl_side_effect_read(*event, task->current, &effect)) {
            struct tl_job *job = tl_core_add_job(run, TL_JOB_SIDE_EFFECT, err);
            rc = job ? TL_OK : TL_ELIMIT;
            if (job) {
                job->u.side_effect.id = effect.id;
                job->u.side_effect.call = effect.call;
                job->u.side_effect.value = effect.value;
            }
        } else if (type_of(*event) == EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED &&
                   tl_event_valid(*event)) {
            rc = tl_update_replay(run, *event, err);
        }
        if (rc != TL_OK) {
            return rc;
        }
    }
    return TL_OK;
}

/* Requests that nobody has answered yet come behind all events of the last group: the server
 * sequences them before WorkflowTaskStarted. */
static tl_rc take_updates(struct tl_run *run, int64_t first_event_id, struct tl_error *err)
{
    const struct tl_task *task = run->task;
    if (!task->group.last || run->replaying || run->closed || task->query_only || !task->poll) {
        return TL_OK;
    }
    tl_rc rc = tl_update_deliver_admitted(run, first_event_id, err);
    return rc == TL_OK ? tl_update_take_messages(run, task->poll, err) : rc;
}

/* Metadata of tasks completed in this group and of the one that will complete it: their flags say
 * how the code behaved. */
static void read_group_metadata(struct tl_run *run)
{
    struct tl_task *task = run->task;
    for (size_t i = task->group.first; i < task->group.end; i++) {
        const TpHistory__HistoryEvent *event = task->history.events[i];
        if (type_of(event) == EVENT_TYPE_WORKFLOW_TASK_COMPLETED && tl_event_valid(event)) {
            tl_core_read_metadata(run, event->workflow_task_completed_event_attributes);
        }
    }
    task->completed = tl_history_next_completed(&task->history, task->group.end);
    tl_core_read_metadata(run, task->completed);
}

tl_rc tl_core_apply_group(struct tl_run *run, bool *applied, struct tl_error *err)
{
    struct tl_task *task = run->task;
    *applied = tl_history_take(&task->history, run->started_event_id, &task->group);
    if (!*applied) {
        run->replaying = false;
        return TL_OK;
    }
    task->group_count++;
    read_group_metadata(run);
    size_t first = task->group.first, end = answered_end(run);
    TpHistory__HistoryEvent *const *events = task->history.events;
    while (first < end && task->event_count == 0 && events[first]->event_id <= run->last_event_id) {
        first++; /* what a partial history repeats */
    }
    run->group_started_id = 0;
    task->timed = false;
    if (end > first && type_of(events[end - 1]) == EVENT_TYPE_WORKFLOW_TASK_STARTED) {
        run->group_started_id = events[end - 1]->event_id;
    }
    for (task->index = first; task->index < end; task->index++) {
        watch_replay(run, events[task->index]);
        tl_rc rc = apply_event(run, events[task->index], err);
        if (rc != TL_OK) {
            return rc;
        }
    }
    task->event_count += end - first;
    tl_rc rc = announce_markers(run, err);
    if (rc == TL_OK) {
        rc = take_updates(run, end > first ? events[first]->event_id : 0, err);
    }
    if (rc == TL_OK && !run->replaying && !task->query_only) {
        rc = tl_locals_go_live(run, err);
    }
    return rc;
}

tl_rc tl_core_check_end(struct tl_run *run, struct tl_error *err)
{
    return leave_commands(run, NULL, err);
}
