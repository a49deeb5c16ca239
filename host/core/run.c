/* A run's life and the handling of one workflow task: apply a group of events, run the language,
 * take its commands, until the history is used up; then answer.
 * Ownership: the run owns its machines; everything else lives in the task's arenas.
 * Thread: the run's. */
#include "core/run.h"

#include <tl_enums.h>

#include "base/assert.h"
#include "base/mem.h"
#include "core/run_int.h"
#include "core/task_int.h"

/* --- seed ------------------------------------------------------------------------------------- */

static uint64_t rotate(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

/* SipHash-1-3 with key 0 over the text and one byte 0xff: the official core's seed, for ever. */
uint64_t tl_run_seed(struct tl_str original_execution_run_id)
{
    uint64_t v[4] = {UINT64_C(0x736f6d6570736575), UINT64_C(0x646f72616e646f6d),
                     UINT64_C(0x6c7967656e657261), UINT64_C(0x7465646279746573)};
    size_t n = original_execution_run_id.n + 1;
    uint64_t word = 0;
    for (size_t i = 0; i < n; i++) {
        uint8_t byte = i + 1 < n ? (uint8_t)original_execution_run_id.p[i] : 0xff;
        word |= (uint64_t)byte << (i % 8 * 8);
        if (i % 8 == 7) {
            v[3] ^= word;
            sip_round(v);
            v[0] ^= word;
            word = 0;
        }
    }
    word |= (uint64_t)n << 56;
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* --- life cycle ------------------------------------------------------------------------------- */

static struct tl_str append(char **to, struct tl_str s)
{
    struct tl_str kept = {*to, s.n};
    if (s.n) {
        memcpy(*to, s.p, s.n);
    }
    *to += s.n;
    return kept;
}

struct tl_run *tl_run_new(const struct tl_run_config *config)
{
    struct tl_run *run = TL_NEW(struct tl_run);
    char *to = run->text =
        tl_mem_alloc(config->run_id.n + config->workflow_id.n + config->workflow_type.n +
                     config->sdk_name.n + config->sdk_version.n + 1);
    run->run_id = append(&to, config->run_id);
    run->workflow_id = append(&to, config->workflow_id);
    run->workflow_type = append(&to, config->workflow_type);
    run->sdk_name = append(&to, config->sdk_name);
    run->sdk_version = append(&to, config->sdk_version);
    run->sdk_metadata = config->sdk_metadata;
    run->trace = config->trace;
    run->trace_ud = config->trace_ud;
    run->machine_free = TL_SLOT_NONE;
    run->workflow_task = (struct tl_machine){.kind = TL_MACHINE_TASK};
    return run;
}

void tl_run_free(struct tl_run *run)
{
    if (!run) {
        return;
    }
    if (run->task) { /* held for local activities */
        tl_task_end(run);
    }
    for (uint32_t i = 0; i < run->machine_cap; i++) {
        tl_mem_free(run->machines[i].text);
    }
    tl_locals_free(run);
    for (uint32_t i = 0; i < run->patch_count; i++) {
        tl_mem_free(run->patches[i].id);
    }
    tl_mem_free(run->patches);
    tl_mem_free(run->machines);
    tl_mem_free(run->timers.entries);
    tl_mem_free(run->activities.entries);
    tl_mem_free(run->locals.entries);
    tl_mem_free(run->children.entries);
    tl_mem_free(run->signals.entries);
    tl_mem_free(run->nexus.entries);
    tl_mem_free(run->by_event.entries);
    tl_mem_free(run->outgoing);
    tl_mem_free(run->bodies);
    tl_core_inherit_free(run);
    tl_update_free_admitted(run);
    tl_mem_free(run->text);
    tl_mem_free(run);
}

/* --- looking ---------------------------------------------------------------------------------- */

bool tl_run_broken(const struct tl_run *run)
{
    return run->broken;
}

bool tl_run_finished(const struct tl_run *run)
{
    return run->finished || run->closed;
}

int64_t tl_run_started_event_id(const struct tl_run *run)
{
    return run->started_event_id;
}

int64_t tl_run_last_event_id(const struct tl_run *run)
{
    return run->last_event_id;
}

int64_t tl_run_now_ns(const struct tl_run *run)
{
    return run->now_ns;
}

int64_t tl_run_task_timeout_ns(const struct tl_run *run)
{
    return run->task_timeout_ns;
}

size_t tl_run_pending_count(const struct tl_run *run)
{
    return run->timers.live + run->activities.live + run->locals.live + run->children.live +
           run->signals.live + run->nexus.live;
}

size_t tl_run_bytes(const struct tl_run *run)
{
    size_t bytes = sizeof(*run) + run->run_id.n + run->workflow_id.n + run->workflow_type.n +
                   run->sdk_name.n + run->sdk_version.n + 1;
    bytes += run->machine_cap * sizeof(*run->machines);
    bytes += (run->timers.cap + run->activities.cap + run->locals.cap + run->children.cap +
              run->signals.cap + run->nexus.cap + run->by_event.cap) *
             sizeof(struct tl_slot_entry);
    bytes += run->outgoing_cap * sizeof(*run->outgoing) + run->patch_cap * sizeof(*run->patches);
    bytes +=
        run->inherited.memo.n + run->inherited.search_attributes.n + run->inherited.retry_policy.n;
    for (uint32_t i = 0; i < run->machine_cap; i++) {
        bytes += tl_machine_text_bytes(&run->machines[i]);
    }
    bytes += run->local_cap * sizeof(*run->local_list);
    for (uint32_t i = 0; i < run->local_count; i++) {
        bytes += run->local_list[i].task.n;
    }
    for (uint32_t i = 0; i < run->patch_count; i++) {
        bytes += strlen(run->patches[i].id) + 1;
    }
    return bytes;
}

void tl_run_rewind(struct tl_run *run, int64_t started_event_id)
{
    const struct tl_unsent *before = &run->unsent;
    struct tl_error err;
    TL_ASSERT(!run->task);
    if (run->broken || run->finished || run->closed || tl_core_outgoing_count(run) > 0 ||
        started_event_id <= 0 || started_event_id >= run->started_event_id ||
        tl_task_drop(run, &err) != TL_OK) {
        run->broken = true; /* not what the server can mean: replay */
        return;
    }
    run->last_event_id = run->workflow_task.event_id - 1;
    run->started_event_id = started_event_id;
    run->after_completed = false;
    run->core_flags = before->core_flags;
    run->core_flags_used = before->core_flags_used;
    run->lang_flags = before->lang_flags;
    run->lang_flags_used = before->lang_flags_used;
    run->sdk_name_recorded = before->sdk_name_recorded;
    run->sdk_version_recorded = before->sdk_version_recorded;
}

enum tl_run_fit tl_run_check_fit(const struct tl_run *run,
                                 const TpWs__PollWorkflowTaskQueueResponse *poll)
{
    const TpHistory__History *h = poll->history;
    size_t count = h ? h->n_events : 0;
    if (count && h->events[0]->event_id <= 1 && (!run || run->broken || run->last_event_id > 0)) {
        return TL_FIT_FRESH;
    }
    if (!run || run->broken) {
        return TL_FIT_FETCH;
    }
    if (count == 0) { /* a query to a sticky worker */
        return run->initialised && run->started_event_id >= poll->previous_started_event_id
                   ? TL_FIT_READY
                   : TL_FIT_FETCH;
    }
    if (h->events[0]->event_id > run->last_event_id + 1) {
        return TL_FIT_FETCH;
    }
    /* The answer to our last task must come first; when it does not, or when there is nothing new at
     * all, that task came to nothing. */
    bool waiting = tl_core_outgoing_count(run) > 0;
    for (size_t i = 0; i < count; i++) {
        if (h->events[i]->event_id == run->last_event_id + 1) {
            bool completed = (int)h->events[i]->event_type == EVENT_TYPE_WORKFLOW_TASK_COMPLETED;
            return waiting && !completed && !run->after_completed ? TL_FIT_FETCH : TL_FIT_READY;
        }
    }
    return waiting ? TL_FIT_FETCH : TL_FIT_READY;
}

/* --- jobs ------------------------------------------------------------------------------------- */

struct tl_job *tl_core_add_job(struct tl_run *run, enum tl_job_type type, struct tl_error *err)
{
    struct tl_task *task = run->task;
    if (task->job_count == task->job_cap) {
        size_t cap = task->job_cap ? task->job_cap * 2 : 8;
        struct tl_job *jobs = TL_ARENA_ARRAY(task->current, struct tl_job, cap);
        if (!jobs) {
            tl_error_set(err, TL_ELIMIT, "jobs: the arena is full");
            return NULL;
        }
        if (task->job_count) {
            memcpy(jobs, task->jobs, task->job_count * sizeof(*jobs));
        }
        task->jobs = jobs;
        task->job_cap = cap;
    }
    struct tl_job *job = &task->jobs[task->job_count++];
    *job = (struct tl_job){.type = type};
    return job;
}

TpFailure__Failure *tl_core_canceled(struct tl_run *run, const char *message,
                                     const TpCommon__Payloads *details)
{
    struct tl_arena *a = run->task->current;
    TpFailure__Failure *f = TL_PB_NEW(a, TpFailure__Failure, tp_failure__failure);
    TpFailure__CanceledFailureInfo *info =
        TL_PB_NEW(a, TpFailure__CanceledFailureInfo, tp_failure__canceled_failure_info);
    if (!f || !info || !(f->message = tl_pb_cstr(a, tl_str(message)))) {
        return NULL;
    }
    info->details = (TpCommon__Payloads *)(uintptr_t)details;
    f->failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_CANCELED_FAILURE_INFO;
    f->canceled_failure_info = info;
    return f;
}

/* Ranks of the jobs' order; equal ranks keep the order of events. */
static unsigned rank(enum tl_job_type type)
{
    switch (type) {
    case TL_JOB_INIT:
        return 0;
    case TL_JOB_PATCH:
    case TL_JOB_VERSION:
    case TL_JOB_SIDE_EFFECT:
        return 1;
    case TL_JOB_RANDOM_SEED:
        return 2;
    case TL_JOB_SIGNAL:
    case TL_JOB_UPDATE:
        return 3;
    case TL_JOB_CANCEL:
    case TL_JOB_TIMER_FIRED:
    case TL_JOB_ACTIVITY_RESOLVED:
    case TL_JOB_CHILD_STARTED:
    case TL_JOB_CHILD_RESOLVED:
    case TL_JOB_SIGNAL_EXTERNAL_RESOLVED:
    case TL_JOB_CANCEL_EXTERNAL_RESOLVED:
    case TL_JOB_NEXUS_STARTED:
    case TL_JOB_NEXUS_RESOLVED:
        return 4;
    case TL_JOB_LOCAL_ACTIVITY_RESOLVED:
        return 5;
    case TL_JOB_QUERY:
        return 6;
    }
    return 6;
}

static bool sort_jobs(struct tl_task *task)
{
    bool sorted = true;
    for (size_t i = 1; i < task->job_count && sorted; i++) {
        sorted = rank(task->jobs[i - 1].type) <= rank(task->jobs[i].type);
    }
    if (sorted) {
        return true;
    }
    struct tl_job *jobs = TL_ARENA_ARRAY(task->current, struct tl_job, task->job_cap);
    size_t n = 0;
    for (unsigned r = 0; jobs && r <= 6; r++) {
        for (size_t i = 0; i < task->job_count; i++) {
            if (rank(task->jobs[i].type) == r) {
                jobs[n++] = task->jobs[i];
            }
        }
    }
    task->jobs = jobs;
    return jobs != NULL;
}

/* --- activations ------------------------------------------------------------------------------ */

/* The version of the code that handled the task which is replayed. */
static void set_version(const struct tl_task *task, struct tl_activation *a)
{
    const TpHistory__WorkflowTaskCompletedEventAttributes *done = task->completed;
    if (done && done->deployment_version) {
        a->deployment_name = tl_str(done->deployment_version->deployment_name);
        a->build_id = tl_str(done->deployment_version->build_id);
    } else if (done && done->worker_version) {
        a->build_id = tl_str(done->worker_version->build_id);
    }
}

tl_rc tl_task_activate(struct tl_run *run, bool queries, struct tl_completion *out,
                       struct tl_error *err)
{
    struct tl_task *task = run->task;
    struct tl_activation activation = {
        .run_id = run->run_id,
        .now_ns = run->now_ns,
        .is_replaying = run->replaying || queries,
        .history_length = queries ? run->last_event_id : run->seen_event_id,
        .history_bytes = run->history_bytes,
        .continue_as_new_suggested = run->continue_as_new_suggested,
        .continue_as_new_reasons = run->continue_as_new_reasons,
        .target_deployment_version_changed = run->target_deployment_version_changed,
        .lang_flags = run->lang_flags | run->lang_flags_used,
    };
    if (run->replaying && run->other_language) {
        activation.lang_flags = UINT64_MAX;
    }
    if (run->replaying) {
        set_version(task, &activation);
    }
    if (!sort_jobs(task)) {
        return tl_error_set(err, TL_ELIMIT, "jobs: the arena is full");
    }
    activation.jobs = task->jobs;
    activation.job_count = task->job_count;
    /* Commands that will be sent live as long as the task. */
    task->current = run->replaying ? &task->scratch[task->turn] : task->arena;
    activation.arena = task->current;
    task->jobs = NULL;
    task->job_count = task->job_cap = 0;
    task->activation_count++;
    if (task->batch_begun && !queries) {
        task->batch++;
        task->batch_begun = false;
    }
    *out = (struct tl_completion){.arena = task->current};
    tl_rc rc = task->lang->activate(task->lang->ud, &activation, out, err);
    task->failure = rc == TL_OK ? NULL : out->task_failure;
    return rc;
}

/* Runs the language until no job is left. Cancelling can make new jobs at once; ends of local
 * activities come when there is nothing else. */
tl_rc tl_task_run_jobs(struct tl_run *run, struct tl_error *err)
{
    struct tl_task *task = run->task;
    while (!run->finished) {
        struct tl_completion completion;
        bool any = task->job_count > 0;
        tl_rc rc = any ? TL_OK : tl_local_deliver(run, &any, err);
        if (rc == TL_OK && !any) {
            break;
        }
        if (rc == TL_OK) {
            rc = tl_task_activate(run, false, &completion, err);
        }
        if (rc == TL_OK) {
            rc = tl_core_take_completion(run, &completion, err);
        }
        if (rc != TL_OK) {
            return rc;
        }
    }
    task->jobs = NULL; /* nobody is left to tell */
    task->job_count = task->job_cap = 0;
    return TL_OK;
}

/* What the code sees of the time of a task. */
struct moment {
    int64_t now_ns, history_bytes, seen_event_id;
    bool continue_as_new_suggested;
};

static struct moment moment_of(const struct tl_run *run)
{
    return (struct moment){run->now_ns, run->history_bytes, run->seen_event_id,
                           run->continue_as_new_suggested};
}

/* A task that only goes on waiting for local activities tells the code nothing, and on replay it is
 * one with the task before: the code's time stands still. */
static bool only_waits(const struct tl_run *run)
{
    const struct tl_task *task = run->task;
    if (task->job_count > 0 || task->end_count > 0 || tl_locals_outstanding(run) == 0) {
        return false;
    }
    for (size_t i = task->group.first; i < task->group.end; i++) {
        if (tl_event_info((int)task->history.events[i]->event_type)->event_class != TL_EVENT_TASK) {
            return false;
        }
    }
    return true;
}

tl_rc tl_task_catch_up(struct tl_run *run, struct tl_error *err)
{
    struct tl_task *task = run->task;
    bool applied;
    do {
        /* The arena before last: its commands have met their events. */
        task->turn ^= 1;
        task->current = &task->scratch[task->turn];
        tl_arena_reset(task->current);
        task->ends = NULL;
        task->end_first = task->end_count = task->end_cap = 0;
        struct moment before = moment_of(run);
        tl_rc rc = tl_core_apply_group(run, &applied, err);
        if (rc == TL_OK && only_waits(run)) {
            run->now_ns = before.now_ns;
            run->history_bytes = before.history_bytes;
            run->seen_event_id = before.seen_event_id;
            run->continue_as_new_suggested = before.continue_as_new_suggested;
        }
        if (rc == TL_OK) {
            rc = tl_task_run_jobs(run, err);
        }
        if (rc != TL_OK) {
            return rc;
        }
    } while (applied && !task->group.last);
    return TL_OK;
}

void tl_task_begin(struct tl_run *run, struct tl_task *task)
{
    run->task = task;
    for (int i = 0; i < 2; i++) {
        tl_arena_init(&task->scratch[i], task->arena->bytes_max);
    }
    task->current = task->arena;
}

void tl_task_end(struct tl_run *run)
{
    tl_arena_deinit(&run->task->scratch[0]);
    tl_arena_deinit(&run->task->scratch[1]);
    run->task = NULL;
    tl_core_trim(run);
}
