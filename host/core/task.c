/* One workflow task, from the poll's response to what is answered: commands, query results, or the
 * reason why the task fails.
 * Ownership: results live in the task's arena. Thread: the run's. */
#include "core/task_int.h"

#include <tl_enums.h>

#include "base/assert.h"

/* --- queries ---------------------------------------------------------------------------------- */

static tl_rc add_query(struct tl_run *run, const char *id, const TpQuery__WorkflowQuery *query,
                       struct tl_error *err)
{
    struct tl_job *job = tl_core_add_job(run, TL_JOB_QUERY, err);
    if (!job) {
        return TL_ELIMIT;
    }
    job->u.query.id = tl_str(id);
    job->u.query.query = query;
    return TL_OK;
}

static TpQuery__WorkflowQueryResult *failed_query(struct tl_arena *arena, struct tl_str message,
                                                  const TpFailure__Failure *failure)
{
    TpQuery__WorkflowQueryResult *r =
        TL_PB_NEW(arena, TpQuery__WorkflowQueryResult, tp_query__workflow_query_result);
    if (r) {
        r->result_type = (TpEnums__QueryResultType)QUERY_RESULT_TYPE_FAILED;
        r->error_message = tl_pb_cstr(arena, message);
        r->failure = (TpFailure__Failure *)(uintptr_t)failure;
    }
    return r && r->error_message ? r : NULL;
}

/* The language's answer for one query; what it left out is a failure. */
static TpQuery__WorkflowQueryResult *query_result(const struct tl_completion *completion,
                                                  struct tl_str id, struct tl_arena *arena)
{
    for (size_t i = 0; i < completion->cmd_count; i++) {
        const struct tl_cmd *cmd = &completion->cmds[i];
        if (cmd->type != TL_CMD_QUERY_RESULT || !tl_str_eq(cmd->u.query.id, id)) {
            continue;
        }
        if (cmd->u.query.failure || cmd->u.query.error.n) {
            return failed_query(arena, cmd->u.query.error, cmd->u.query.failure);
        }
        TpQuery__WorkflowQueryResult *r =
            TL_PB_NEW(arena, TpQuery__WorkflowQueryResult, tp_query__workflow_query_result);
        if (r) {
            r->result_type = (TpEnums__QueryResultType)QUERY_RESULT_TYPE_ANSWERED;
            r->answer = cmd->u.query.result;
        }
        return r;
    }
    return failed_query(arena, TL_STR_LIT("the workflow gave no answer to this query"), NULL);
}

static bool add_result_entry(struct tl_arena *arena, const char *id,
                             TpQuery__WorkflowQueryResult *result, struct tl_wft_result *out)
{
    TpWs__RespondWorkflowTaskCompletedRequest__QueryResultsEntry *entry =
        TL_PB_NEW(arena, TpWs__RespondWorkflowTaskCompletedRequest__QueryResultsEntry,
                  tp_ws__respond_workflow_task_completed_request__query_results_entry);
    if (!entry || !result) {
        return false;
    }
    entry->key = (char *)(uintptr_t)id;
    entry->value = result;
    out->query_results[out->query_result_count++] = entry;
    return true;
}

static tl_rc collect_results(struct tl_run *run, const TpWs__PollWorkflowTaskQueueResponse *poll,
                             const struct tl_completion *completion, struct tl_wft_result *out,
                             struct tl_error *err)
{
    struct tl_arena *arena = run->task->arena;
    bool ok = true;
    if (poll->query) {
        out->direct_query = query_result(completion, TL_STR_LIT(""), arena);
        ok = out->direct_query != NULL;
    } else {
        out->query_results = TL_ARENA_ARRAY(
            arena, TpWs__RespondWorkflowTaskCompletedRequest__QueryResultsEntry *, poll->n_queries);
        ok = out->query_results != NULL;
        for (size_t i = 0; i < poll->n_queries && ok; i++) {
            const char *id = poll->queries[i]->key;
            ok = add_result_entry(arena, id, query_result(completion, tl_str(id), arena), out);
        }
    }
    return ok ? TL_OK : tl_error_set(err, TL_ELIMIT, "query results: the arena is full");
}

/* Queries come last, in an activation of their own. A language that fails here has failed queries,
 * not the task; but the run is of no use any more. */
static tl_rc answer_queries(struct tl_run *run, const TpWs__PollWorkflowTaskQueueResponse *poll,
                            struct tl_wft_result *out, struct tl_error *err)
{
    if (!poll->query && poll->n_queries == 0) {
        return TL_OK;
    }
    tl_rc rc = TL_OK;
    if (poll->query) {
        rc = add_query(run, "", poll->query, err);
    }
    for (size_t i = 0; i < poll->n_queries && rc == TL_OK && !poll->query; i++) {
        if (poll->queries[i]->value) {
            rc = add_query(run, poll->queries[i]->key, poll->queries[i]->value, err);
        }
    }
    if (rc != TL_OK) {
        return rc;
    }
    struct tl_completion completion;
    struct tl_task *task = run->task;
    bool replaying = run->replaying;
    run->replaying = false; /* answers leave with the task: its arena, not the scratch */
    struct tl_error why = {0};
    rc = tl_task_activate(run, true, &completion, &why);
    run->replaying = replaying;
    if (rc == TL_OK) {
        return collect_results(run, poll, &completion, out, err);
    }
    run->broken = true;
    out->evict = true;
    struct tl_completion failed = {.arena = task->arena};
    for (size_t i = 0; i < (poll->query ? 1 : poll->n_queries); i++) {
        struct tl_cmd *cmd = tl_completion_add(&failed, TL_CMD_QUERY_RESULT);
        if (!cmd) {
            return tl_error_set(err, TL_ELIMIT, "query results: the arena is full");
        }
        cmd->u.query.id = tl_str(poll->query ? "" : poll->queries[i]->key);
        cmd->u.query.error = tl_arena_str(task->arena, tl_str(why.message));
        cmd->u.query.failure = task->failure;
    }
    return collect_results(run, poll, &failed, out, err);
}

/* --- failures --------------------------------------------------------------------------------- */

/* A failure with the error's text, when the language gave none. */
static TpFailure__Failure *make_failure(struct tl_arena *arena, tl_rc rc, const char *message)
{
    TpFailure__Failure *f = TL_PB_NEW(arena, TpFailure__Failure, tp_failure__failure);
    TpFailure__ApplicationFailureInfo *info =
        TL_PB_NEW(arena, TpFailure__ApplicationFailureInfo, tp_failure__application_failure_info);
    if (!f || !info) {
        return NULL;
    }
    f->message = tl_pb_cstr(arena, tl_str(message));
    f->source = tl_pb_cstr(arena, TL_STR_LIT("temporal-lua"));
    info->type = tl_pb_cstr(
        arena, tl_str(rc == TL_ENONDETERMINISM ? "NonDeterminismError" : tl_rc_name(rc)));
    if (!f->message || !f->source || !info->type) {
        return NULL;
    }
    f->failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_APPLICATION_FAILURE_INFO;
    f->application_failure_info = info;
    return f;
}

static tl_rc fail_task(struct tl_run *run, const TpWs__PollWorkflowTaskQueueResponse *poll,
                       tl_rc rc, struct tl_wft_result *out, struct tl_error *err)
{
    struct tl_arena *arena = run->task->arena;
    run->broken = true;
    out->evict = true;
    out->report = run->task->report;
    /* The language's failure may live in a scratch arena that ends with this call. */
    out->failure = run->task->failure ? tl_pb_clone(run->task->failure, arena)
                                      : make_failure(arena, rc, err->message);
    if (poll->query) {
        out->direct_query = failed_query(arena, tl_str(err->message), out->failure);
    }
    out->failed = true;
    int cause = WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE;
    if (rc == TL_ENONDETERMINISM) {
        cause = WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR;
    }
    out->cause = (TpEnums__WorkflowTaskFailedCause)cause;
    out->commands = NULL;
    out->command_count = 0;
    out->messages = NULL;
    out->message_count = 0;
    out->query_results = NULL;
    out->query_result_count = 0;
    return rc;
}

/* --- the task --------------------------------------------------------------------------------- */

static tl_rc check_task(const struct tl_run *run, const TpWs__PollWorkflowTaskQueueResponse *poll,
                        struct tl_error *err)
{
    if (run->broken) {
        return tl_error_set(err, TL_EPRECONDITION, "the run is broken and must be replaced");
    }
    if (poll->query && poll->n_queries) {
        return tl_error_set(err, TL_EINVAL, "a task has one query or several, not both kinds");
    }
    if (tl_run_check_fit(run, poll) != TL_FIT_READY) {
        return tl_error_set(err, TL_EPRECONDITION,
                            "the task's history does not continue at event %lld",
                            (long long)run->last_event_id + 1);
    }
    return TL_OK;
}

/* The code has run as far as it can: the answer, or the wait for local activities. */
static tl_rc answer(struct tl_run *run, bool heartbeat, struct tl_wft_result *out,
                    struct tl_error *err)
{
    struct tl_task *task = run->task;
    const TpWs__PollWorkflowTaskQueueResponse *poll = task->poll;
    bool live = !task->query_only && !run->closed && !run->replaying;
    tl_rc rc = live ? tl_locals_take_requests(run, out, err) : TL_OK;
    if (rc != TL_OK) {
        return rc;
    }
    bool waits = live && tl_locals_outstanding(run) > 0;
    out->held = waits && !heartbeat;
    out->force_new_task = waits && heartbeat;
    if (out->held) {
        return TL_OK;
    }
    if (live) {
        rc = tl_core_encode_commands(run, out, err);
        out->messages = task->messages.items;
        out->message_count = task->messages.n;
    }
    if (rc == TL_OK) {
        rc = answer_queries(run, poll, out, err);
    }
    if (rc == TL_OK && !poll->query && !out->evict) {
        run->unsent = (struct tl_unsent){run->core_flags,        run->core_flags_used,
                                         run->lang_flags,        run->lang_flags_used,
                                         run->sdk_name_recorded, run->sdk_version_recorded};
        out->sdk_metadata = tl_core_write_metadata(run, task->arena);
        if (run->sdk_metadata && !out->sdk_metadata) {
            rc = tl_error_set(err, TL_ELIMIT, "metadata: the arena is full");
        }
    }
    return rc;
}

static tl_rc work(struct tl_run *run, struct tl_wft_result *out, struct tl_error *err)
{
    const TpWs__PollWorkflowTaskQueueResponse *poll = run->task->poll;
    tl_rc rc = check_task(run, poll, err);
    if (rc == TL_OK) {
        rc = tl_task_catch_up(run, err);
    }
    if (rc != TL_OK) {
        return rc;
    }
    if (!run->initialised) {
        return tl_core_bad_history(run, NULL, err, "the history does not reach the run's start");
    }
    if (!run->task->query_only && !run->closed && run->started_event_id != poll->started_event_id) {
        return tl_core_bad_history(
            run, NULL, err, "the history ends at event %lld, the task was started at %lld",
            (long long)run->last_event_id, (long long)poll->started_event_id);
    }
    return answer(run, false, out, err);
}

/* Ends the task unless it is held. */
static tl_rc leave(struct tl_run *run, tl_rc rc, struct tl_wft_result *out, struct tl_error *err)
{
    if (rc != TL_OK) {
        out->held = false;
        rc = fail_task(run, run->task->poll, rc, out, err);
    }
    out->finished = tl_run_finished(run);
    out->event_count = run->task->event_count;
    out->activation_count = run->task->activation_count;
    if (!out->held) {
        tl_task_end(run);
    }
    return rc;
}

tl_rc tl_run_handle_task(struct tl_run *run, const struct tl_wft *wft, const struct tl_lang *lang,
                         struct tl_arena *task_arena, struct tl_wft_result *out,
                         struct tl_error *err)
{
    TL_ASSERT(!run->task);
    const TpWs__PollWorkflowTaskQueueResponse *poll = wft->poll;
    struct tl_error own = {0};
    err = err ? err : &own;
    *out = (struct tl_wft_result){0};
    struct tl_task *task = TL_ARENA_NEW(task_arena, struct tl_task);
    if (!task) {
        out->failed = true;
        return tl_error_set(err, TL_ELIMIT, "workflow task: the arena is full");
    }
    *task = (struct tl_task){
        .previous_started_id = poll->previous_started_event_id,
        .query_only = poll->query != NULL,
        .poll = poll,
        .lang = lang,
        .arena = task_arena,
    };
    if (poll->history) {
        tl_history_init(&task->history, poll->history->events, poll->history->n_events, true);
    }
    tl_task_begin(run, task);
    run->replaying = poll->previous_started_event_id > 0;
    return leave(run, work(run, out, err), out, err);
}

tl_rc tl_run_local_ended(struct tl_run *run, const struct tl_local_end *end,
                         struct tl_wft_result *out, struct tl_error *err)
{
    TL_ASSERT(run->task);
    struct tl_error own = {0};
    err = err ? err : &own;
    *out = (struct tl_wft_result){0};
    const struct tl_local_marker marker = {
        .seq = end->seq,
        .attempt = end->attempt,
        .complete_ns = end->runtime_ns,
        .backoff_ns = end->backoff_ns,
        .original_ns = end->original_schedule_ns,
        .status = end->status,
        .result = end->result,
        .failure = end->failure,
    };
    bool taken;
    /* The last group may have had nothing to tell and left its own arena, which ends before the answer is
     * sent. */
    run->task->current = run->task->arena;
    tl_rc rc = tl_local_resolve(run, &marker, &taken, err);
    if (rc == TL_OK && taken) {
        rc = tl_task_run_jobs(run, err);
    }
    if (rc == TL_OK) {
        rc = answer(run, false, out, err);
    }
    return leave(run, rc, out, err);
}

tl_rc tl_run_heartbeat(struct tl_run *run, struct tl_wft_result *out, struct tl_error *err)
{
    TL_ASSERT(run->task);
    struct tl_error own = {0};
    err = err ? err : &own;
    *out = (struct tl_wft_result){0};
    return leave(run, answer(run, true, out, err), out, err);
}
