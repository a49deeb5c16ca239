/* A history handed out once more, task by task, as a worker got it: each completed workflow task is a
 * poll's response, answered by the engine as on a worker, with a cache that may have forgotten the run.
 * Replay holds code to the types and ids of what it did; the answers of two reruns can be compared byte
 * for byte. It asks more than a replay does: the code must be the one that made the history, since nothing
 * is replayed in a task that is answered (a new patch, say, is taken as it was not then).
 * Ownership: the caller's arena holds what belongs to one task only. Thread: one at a time. */
#pragma once

#include "core/run.h"

struct tl_rerun_config {
    struct tl_str workflow_id, run_id;
    void *ud; /* of the functions below */
    /* A language for a run that is not in the cache; the one before, if any, is used no more. */
    tl_rc (*open)(void *ud, struct tl_lang *lang, struct tl_error *err);
    /* Whether the cache has lost the run before this task (the first one is number 1). */
    bool (*forgets)(void *ud, size_t task);
    /* Name of a query to ask before this task is handed out, or NULL. May be NULL itself. */
    const char *(*query)(void *ud, size_t task);
    /* What the worker would send for the task: an encoded RespondWorkflowTaskCompletedRequest with the
     * commands and the messages, without what tells workers apart (identity, SDK, build, sticky queue). */
    tl_rc (*answered)(void *ud, int64_t started_event_id, struct tl_str answer,
                      struct tl_error *err);
};

struct tl_rerun_result {
    size_t task_count;            /* tasks answered */
    size_t fresh_count;           /* of them, by a run that had to be made from event 1 */
    struct tl_nde_report *report; /* as tl_replay_result's; lives in the arena */
};

/* Owns: nothing; `arena` is reset before each task. Errors: those of tl_run_handle_task and of the
 * functions given; TL_EINVAL for a history that does not begin with the run's start. */
tl_rc tl_rerun(const TpHistory__History *history, const struct tl_rerun_config *config,
               struct tl_arena *arena, struct tl_rerun_result *out,
               struct tl_error *err) TL_MUST_USE;
