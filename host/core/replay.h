/* Replays a whole history through a language and says whether they agree. Used by the replayer, the
 * reload gate, the debugger and the benchmark.
 * Ownership: results live in the given arena and borrow from the history. Thread: one at a time. */
#pragma once

#include "core/run.h"

struct tl_replay_config {
    struct tl_str workflow_id, run_id; /* run_id empty: the history's original_execution_run_id */
    /* NULL: a fresh run. Else a run that has seen the events before these: the history goes on
     * where it stands (events it already knows are skipped). Stays the caller's. */
    struct tl_run *run;
    void (*trace)(void *ud, const char *machine, uint32_t seq, const char *state, const char *event,
                  const char *next);
    void *trace_ud;
};

struct tl_replay_result {
    size_t event_count;
    size_t task_count; /* workflow tasks (after joining failed and empty ones) */
    size_t activation_count;
    bool finished;                /* the history ends with the run's end */
    struct tl_nde_report *report; /* set with TL_ENONDETERMINISM and TL_EINVAL */
};

/* The workflow's type, empty when the history does not begin with WorkflowExecutionStarted. */
struct tl_str tl_replay_workflow_type(const TpHistory__History *history);

/* Errors: TL_ENONDETERMINISM with out->report; TL_EINVAL for a history that is not valid; what the
 * language returned. `config` may be NULL. */
tl_rc tl_replay(const TpHistory__History *history, const struct tl_replay_config *config,
                const struct tl_lang *lang, struct tl_arena *arena, struct tl_replay_result *out,
                struct tl_error *err);
