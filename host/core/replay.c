/* Replaying a whole history: the same engine as on a worker, with nothing to answer.
 * Ownership: results live in the given arena. Thread: one at a time. */
#include "core/replay.h"

#include <tl_enums.h>

#include "core/task_int.h"

struct tl_str tl_replay_workflow_type(const TpHistory__History *history)
{
    if (!history || history->n_events == 0 || !tl_event_valid(history->events[0]) ||
        (int)history->events[0]->event_type != EVENT_TYPE_WORKFLOW_EXECUTION_STARTED) {
        return (struct tl_str){0};
    }
    const TpCommon__WorkflowType *type =
        history->events[0]->workflow_execution_started_event_attributes->workflow_type;
    return tl_str(type ? type->name : "");
}

static struct tl_run *open_run(const TpHistory__History *history,
                               const struct tl_replay_config *config)
{
    struct tl_run_config run_config = {
        .run_id = config->run_id,
        .workflow_id = config->workflow_id,
        .workflow_type = tl_replay_workflow_type(history),
        .sdk_name = TL_STR_LIT("temporal-lua"),
        .sdk_metadata = true,
        .trace = config->trace,
        .trace_ud = config->trace_ud,
    };
    if (run_config.workflow_type.n) {
        const TpHistory__WorkflowExecutionStartedEventAttributes *a =
            history->events[0]->workflow_execution_started_event_attributes;
        if (!run_config.run_id.n) {
            run_config.run_id = tl_str(a->original_execution_run_id);
        }
        if (!run_config.workflow_id.n) {
            run_config.workflow_id = tl_str(a->workflow_id);
        }
    }
    return tl_run_new(&run_config);
}

tl_rc tl_replay(const TpHistory__History *history, const struct tl_replay_config *config,
                const struct tl_lang *lang, struct tl_arena *arena, struct tl_replay_result *out,
                struct tl_error *err)
{
    static const struct tl_replay_config defaults;
    struct tl_error own = {0};
    err = err ? err : &own;
    config = config ? config : &defaults;
    *out = (struct tl_replay_result){0};
    struct tl_run *run = config->run ? config->run : open_run(history, config);
    if (run->broken) {
        return tl_error_set(err, TL_EPRECONDITION, "the run is broken and must be replaced");
    }
    struct tl_task task = {
        .previous_started_id = INT64_MAX, /* nothing is new */
        .lang = lang,
        .arena = arena,
    };
    tl_history_init(&task.history, history->events, history->n_events, true);
    tl_task_begin(run, &task);
    run->replaying = true;
    tl_rc rc = tl_task_catch_up(run, err);
    if (rc == TL_OK && !run->initialised) {
        rc = tl_core_bad_history(run, NULL, err, "the history is empty");
    }
    if (rc == TL_OK) {
        rc = tl_core_check_end(run, err);
    }
    run->broken = rc != TL_OK;
    out->event_count = task.event_count;
    out->task_count = task.group_count;
    out->activation_count = task.activation_count;
    out->finished = run->closed;
    out->report = task.report;
    tl_task_end(run);
    if (run != config->run) {
        tl_run_free(run);
    }
    return rc;
}
