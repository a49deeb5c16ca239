/* Local activities between their machines, the markers ahead and the worker: requests on their way
 * out, ends on their way in.
 * Ends are told in the order of their markers and never together with other jobs: that is how they
 * come when the code runs first, and it makes the order on replay the same. Ends of one batch (those
 * that one activation caused by cancelling) are told together.
 * Ownership: struct tl_local is the run's; ends and requests the task's. Thread: the run's. */
#include "core/run_int.h"

#include <stdio.h>
#include <tl_enums.h>

#include "base/mem.h"
#include "base/world.h"

#define TASK_BYTES_MAX ((size_t)1 << 30)

/* --- what is kept ----------------------------------------------------------------------------- */

struct tl_local *tl_local_find(struct tl_run *run, uint32_t seq)
{
    for (uint32_t i = 0; i < run->local_count; i++) {
        if (run->local_list[i].seq == seq) {
            return &run->local_list[i];
        }
    }
    return NULL;
}

static void drop_task(struct tl_local *local)
{
    tl_mem_free((char *)(uintptr_t)local->task.p);
    local->task = (struct tl_str){0};
}

tl_rc tl_local_dress(struct tl_run *run, const struct tl_local *local, struct tl_cmd *out,
                     struct tl_error *err)
{
    TpCommand__Command *dressed = NULL;
    *out = (struct tl_cmd){0};
    if (!local->dress.n) {
        return TL_OK;
    }
    tl_rc rc = tl_pb_decode(&tp_command__command__descriptor, local->dress, run->task->current,
                            &dressed, err);
    if (rc == TL_OK) {
        out->metadata = dressed->user_metadata;
        out->groups =
            (struct tl_event_groups){dressed->n_event_group_markers, dressed->event_group_markers};
    }
    return rc;
}

void tl_local_forget(struct tl_run *run, uint32_t seq)
{
    struct tl_local *local = tl_local_find(run, seq);
    if (!local) {
        return;
    }
    drop_task(local);
    tl_mem_free((char *)(uintptr_t)local->dress.p);
    size_t behind = (size_t)(run->local_list + run->local_count - (local + 1));
    memmove(local, local + 1, behind * sizeof(*local));
    run->local_count--;
    if (run->local_count == 0) {
        tl_mem_free(run->local_list);
        run->local_list = NULL;
        run->local_cap = 0;
    }
}

void tl_locals_free(struct tl_run *run)
{
    for (uint32_t i = 0; i < run->local_count; i++) {
        drop_task(&run->local_list[i]);
        tl_mem_free((char *)(uintptr_t)run->local_list[i].dress.p);
    }
    tl_mem_free(run->local_list);
    run->local_list = NULL;
    run->local_count = run->local_cap = 0;
}

/* --- requests --------------------------------------------------------------------------------- */

static Google__Protobuf__Duration *duration(struct tl_arena *arena, int64_t ns, bool *ok)
{
    Google__Protobuf__Duration *d = ns > 0 ? tl_pb_duration_ns(arena, ns) : NULL;
    *ok = *ok && (d || ns <= 0);
    return d;
}

/* What an activity thread gets: the same as for an activity that was polled. */
static TpWs__PollActivityTaskQueueResponse *
make_task(struct tl_run *run, const struct tl_machine *machine, const struct tl_local_activity *la)
{
    struct tl_arena *arena = run->task->current;
    char seq_text[16];
    struct tl_str type, id = tl_machine_id(run, machine, seq_text, &type);
    bool ok = true;
    TpWs__PollActivityTaskQueueResponse *task = TL_PB_NEW(
        arena, TpWs__PollActivityTaskQueueResponse, tp_ws__poll_activity_task_queue_response);
    TpCommon__WorkflowExecution *execution =
        TL_PB_NEW(arena, TpCommon__WorkflowExecution, tp_common__workflow_execution);
    TpCommon__WorkflowType *workflow =
        TL_PB_NEW(arena, TpCommon__WorkflowType, tp_common__workflow_type);
    TpCommon__ActivityType *activity =
        TL_PB_NEW(arena, TpCommon__ActivityType, tp_common__activity_type);
    if (!task || !execution || !workflow || !activity) {
        return NULL;
    }
    execution->workflow_id = tl_pb_cstr(arena, run->workflow_id);
    execution->run_id = tl_pb_cstr(arena, run->run_id);
    workflow->name = tl_pb_cstr(arena, run->workflow_type);
    activity->name = tl_pb_cstr(arena, type);
    task->activity_id = tl_pb_cstr(arena, id);
    task->workflow_execution = execution;
    task->workflow_type = workflow;
    task->activity_type = activity;
    task->header = (TpCommon__Header *)(uintptr_t)la->header;
    task->input = (TpCommon__Payloads *)(uintptr_t)la->input;
    task->retry_policy = (TpCommon__RetryPolicy *)(uintptr_t)la->retry;
    task->schedule_to_close_timeout = duration(arena, la->schedule_to_close_ns, &ok);
    task->start_to_close_timeout = duration(
        arena, la->start_to_close_ns ? la->start_to_close_ns : la->schedule_to_close_ns, &ok);
    task->attempt = (int32_t)(la->attempt ? la->attempt : 1);
    ok = ok && execution->workflow_id && execution->run_id && workflow->name && activity->name &&
         task->activity_id;
    return ok ? task : NULL;
}

tl_rc tl_local_add(struct tl_run *run, const struct tl_machine *machine, const struct tl_cmd *cmd,
                   struct tl_error *err)
{
    const struct tl_local_activity *la = cmd->u.local;
    TpWs__PollActivityTaskQueueResponse *task = make_task(run, machine, la);
    struct tl_str dress = {0};
    struct tl_buf bytes;
    tl_buf_init(&bytes, TASK_BYTES_MAX);
    tl_rc rc = task
                   ? tl_pb_encode(task, &bytes, err)
                   : tl_error_set(err, TL_ELIMIT, "local activity %u: the arena is full", cmd->seq);
    if (rc == TL_OK && (cmd->metadata || cmd->groups.n)) {
        TpCommand__Command dressed = TP_COMMAND__COMMAND__INIT;
        dressed.user_metadata = cmd->metadata;
        dressed.n_event_group_markers = cmd->groups.n;
        dressed.event_group_markers = cmd->groups.items;
        rc = tl_pb_encode_arena(&dressed, run->task->current, &dress, err);
    }
    if (rc == TL_OK) {
        run->local_seq = cmd->seq;
        if (run->local_count == run->local_cap) {
            run->local_cap = run->local_cap ? run->local_cap * 2 : 2;
            run->local_list =
                tl_mem_realloc(run->local_list, run->local_cap * sizeof(*run->local_list));
        }
        run->local_list[run->local_count++] = (struct tl_local){
            .seq = cmd->seq,
            .ordinal = ++run->local_ordinal,
            .attempt = la->attempt ? la->attempt : 1,
            .original_ns = la->original_schedule_ns,
            .schedule_to_start_ns = la->schedule_to_start_ns,
            .retry_threshold_ns = la->retry_threshold_ns,
            .scheduled_ns = run->now_ns,
            .dress = {dress.n ? tl_mem_dup(dress) : NULL, dress.n},
            .task = {tl_mem_dup(tl_buf_str(&bytes)), bytes.n},
        };
    }
    tl_buf_deinit(&bytes);
    return rc;
}

static tl_rc add_request(struct tl_run *run, const struct tl_local_request *request,
                         struct tl_error *err)
{
    struct tl_task *task = run->task;
    if (task->request_count == task->request_cap) {
        size_t cap = task->request_cap ? task->request_cap * 2 : 4;
        struct tl_local_request *list = TL_ARENA_ARRAY(task->arena, struct tl_local_request, cap);
        if (!list) {
            return tl_error_set(err, TL_ELIMIT, "local activities: the arena is full");
        }
        if (task->request_count) {
            memcpy(list, task->requests, task->request_count * sizeof(*list));
        }
        task->requests = list;
        task->request_cap = cap;
    }
    task->requests[task->request_count++] = *request;
    return TL_OK;
}

tl_rc tl_local_request_cancel(struct tl_run *run, uint32_t seq, struct tl_error *err)
{
    return add_request(run, &(struct tl_local_request){.seq = seq, .cancel = true}, err);
}

static const struct tl_machine *machine_of(const struct tl_run *run, uint32_t seq)
{
    uint32_t slot;
    return tl_core_find((struct tl_run *)(uintptr_t)run, TL_MACHINE_LOCAL, seq, &slot);
}

uint32_t tl_locals_outstanding(const struct tl_run *run)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < run->local_count && !run->finished; i++) {
        n += tl_local_with_worker(machine_of(run, run->local_list[i].seq));
    }
    return n;
}

tl_rc tl_locals_take_requests(struct tl_run *run, struct tl_wft_result *out, struct tl_error *err)
{
    struct tl_task *task = run->task;
    for (uint32_t i = 0; i < run->local_count && !run->finished; i++) {
        struct tl_local *local = &run->local_list[i];
        if (!local->task.n || !tl_local_with_worker(machine_of(run, local->seq))) {
            continue;
        }
        struct tl_local_request request = {
            .seq = local->seq,
            .task = tl_arena_str(task->arena, local->task),
            .attempt = local->attempt,
            .original_schedule_ns = local->original_ns,
            .schedule_to_start_ns = local->schedule_to_start_ns,
            .retry_threshold_ns = local->retry_threshold_ns,
        };
        tl_rc rc = request.task.p ? add_request(run, &request, err)
                                  : tl_error_set(err, TL_ELIMIT, "requests: the arena is full");
        if (rc == TL_OK && local->asked) { /* on replay, with `wait`: it is to end soon */
            rc = tl_local_request_cancel(run, local->seq, err);
        }
        if (rc != TL_OK) {
            return rc;
        }
        drop_task(local);
    }
    out->local_requests = task->requests;
    out->local_request_count = task->request_count;
    task->requests = NULL;
    task->request_count = task->request_cap = 0;
    return TL_OK;
}

tl_rc tl_locals_go_live(struct tl_run *run, struct tl_error *err)
{
    for (uint32_t i = 0; i < run->local_count; i++) {
        uint32_t slot;
        struct tl_machine *machine =
            tl_core_find(run, TL_MACHINE_LOCAL, run->local_list[i].seq, &slot);
        if (tl_local_waits_for_marker(machine)) {
            tl_rc rc = tl_local_go_live(run, machine, err);
            if (rc != TL_OK) {
                return rc;
            }
        }
    }
    return TL_OK;
}

/* --- ends ------------------------------------------------------------------------------------- */

tl_rc tl_local_push(struct tl_run *run, const struct tl_local_marker *end, struct tl_error *err)
{
    struct tl_task *task = run->task;
    if (task->end_count == task->end_cap) {
        size_t cap = task->end_cap ? task->end_cap * 2 : 4;
        struct tl_local_marker *ends = TL_ARENA_ARRAY(task->current, struct tl_local_marker, cap);
        if (!ends) {
            return tl_error_set(err, TL_ELIMIT, "local activities: the arena is full");
        }
        if (task->end_count) {
            memcpy(ends, task->ends, task->end_count * sizeof(*ends));
        }
        task->ends = ends;
        task->end_cap = cap;
    }
    task->ends[task->end_count++] = *end;
    return TL_OK;
}

tl_rc tl_local_look_ahead(struct tl_run *run, const TpHistory__HistoryEvent *event,
                          struct tl_error *err)
{
    struct tl_local_marker end;
    if (!tl_local_marker_is(event)) {
        return TL_OK;
    }
    if (!tl_local_marker_read(event, run->task->current, &end)) {
        return tl_core_bad_history(run, event, err, "the local activity in it cannot be read");
    }
    return tl_local_push(run, &end, err);
}

/* The activity that an end belongs to. Other SDKs give no number: Go's ids count local activities,
 * Java's say nothing, so the first of its type that waits is taken. */
static struct tl_local *match(struct tl_run *run, const struct tl_local_marker *end)
{
    if (end->seq) {
        return tl_local_find(run, end->seq);
    }
    struct tl_local *first = NULL;
    for (uint32_t i = 0; i < run->local_count; i++) {
        struct tl_local *local = &run->local_list[i];
        const struct tl_machine *machine = machine_of(run, local->seq);
        char ordinal[16];
        snprintf(ordinal, sizeof ordinal, "%u", local->ordinal);
        if (!tl_local_waits_for_marker(machine) ||
            (end->type.n && !tl_str_eqc(end->type, machine->text))) {
            continue;
        }
        if (tl_str_eqc(end->id, ordinal)) {
            return local;
        }
        first = first ? first : local;
    }
    return first;
}

/* With the name of the activity around it, as for other activities. */
static const TpFailure__Failure *wrap(struct tl_run *run, const struct tl_machine *machine,
                                      const struct tl_local_marker *end)
{
    struct tl_arena *arena = run->task->current;
    if ((int)end->failure->failure_info_case ==
        TP_FAILURE__FAILURE__FAILURE_INFO_ACTIVITY_FAILURE_INFO) {
        return end->failure;
    }
    bool timeout = (int)end->failure->failure_info_case ==
                   TP_FAILURE__FAILURE__FAILURE_INFO_TIMEOUT_FAILURE_INFO;
    const char *message = end->status == TL_ACTIVITY_CANCELED ? "Local activity cancelled"
                          : timeout                           ? "Local activity timed out"
                                                              : "Local activity failed";
    char seq_text[16];
    struct tl_str type, id = tl_machine_id(run, machine, seq_text, &type);
    TpFailure__Failure *f = TL_PB_NEW(arena, TpFailure__Failure, tp_failure__failure);
    TpFailure__ActivityFailureInfo *info =
        TL_PB_NEW(arena, TpFailure__ActivityFailureInfo, tp_failure__activity_failure_info);
    TpCommon__ActivityType *name =
        TL_PB_NEW(arena, TpCommon__ActivityType, tp_common__activity_type);
    if (!f || !info || !name) {
        return NULL;
    }
    f->message = tl_pb_cstr(arena, tl_str(message));
    name->name = tl_pb_cstr(arena, type);
    info->activity_type = name;
    info->activity_id = tl_pb_cstr(arena, id);
    f->cause = (TpFailure__Failure *)(uintptr_t)end->failure;
    f->failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_ACTIVITY_FAILURE_INFO;
    f->activity_failure_info = info;
    return f->message && name->name && info->activity_id ? f : NULL;
}

static tl_rc tell(struct tl_run *run, const struct tl_machine *machine,
                  const struct tl_local_marker *end, struct tl_error *err)
{
    struct tl_job *job = tl_core_add_job(run, TL_JOB_LOCAL_ACTIVITY_RESOLVED, err);
    if (!job) {
        return TL_ELIMIT;
    }
    job->u.activity.seq = machine->seq;
    job->u.activity.status = end->backoff_ns > 0 ? TL_ACTIVITY_BACKOFF : end->status;
    job->u.activity.result = end->result;
    job->u.activity.attempt = end->attempt + 1;
    job->u.activity.backoff_ns = end->backoff_ns;
    job->u.activity.original_schedule_ns = end->original_ns;
    if (end->failure) {
        job->u.activity.failure = wrap(run, machine, end);
        if (!job->u.activity.failure) {
            return tl_error_set(err, TL_ELIMIT, "local activity %u: the arena is full",
                                machine->seq);
        }
    }
    run->now_ns = end->complete_ns > run->now_ns ? end->complete_ns : run->now_ns;
    return TL_OK;
}

tl_rc tl_local_deliver(struct tl_run *run, bool *any, struct tl_error *err)
{
    struct tl_task *task = run->task;
    int64_t batch = 0;
    *any = false;
    while (task->end_first < task->end_count) {
        const struct tl_local_marker *end = &task->ends[task->end_first];
        struct tl_local *local = match(run, end);
        uint32_t slot;
        struct tl_machine *machine =
            local ? tl_core_find(run, TL_MACHINE_LOCAL, local->seq, &slot) : NULL;
        bool ahead = machine && tl_local_waits_for_marker(machine);
        if (!machine || !(ahead || tl_local_ended(machine)) || (*any && end->batch != batch)) {
            return TL_OK; /* the code has not scheduled it yet, or it comes later */
        }
        tl_rc rc = ahead ? tl_local_known(run, machine, err) : TL_OK;
        if (rc == TL_OK) {
            if (ahead) {
                local->marker_event_id = end->event_id;
                drop_task(local);
            }
            rc = tell(run, machine, end, err);
        }
        if (rc != TL_OK) {
            return rc;
        }
        *any = true;
        batch = end->batch;
        task->end_first++;
    }
    return TL_OK;
}

tl_rc tl_local_recorded(struct tl_run *run, const TpHistory__HistoryEvent *event, bool *taken,
                        struct tl_error *err)
{
    *taken = false;
    for (uint32_t i = 0; i < run->local_count; i++) {
        uint32_t slot;
        struct tl_machine *machine =
            tl_core_find(run, TL_MACHINE_LOCAL, run->local_list[i].seq, &slot);
        if (run->local_list[i].marker_event_id != event->event_id || !tl_local_told(machine)) {
            continue;
        }
        *taken = true;
        tl_rc rc = tl_local_event(run, machine, event, err);
        if (rc == TL_OK) {
            tl_core_drop_machine(run, slot);
        }
        return rc;
    }
    return TL_OK;
}
