/* See replay.h. */
#include "luart/replay.h"

static struct tl_str either(struct tl_str given, const char *otherwise)
{
    return given.n ? given : tl_str(otherwise ? otherwise : "");
}

tl_rc tl_lua_replay(struct tl_bundle *bundle, const TpHistory__History *history,
                    const struct tl_lua_replay_config *config, struct tl_arena *arena,
                    struct tl_replay_result *out, struct tl_error *err)
{
    static const struct tl_lua_replay_config defaults = {.steps_max = TL_LUA_REPLAY_STEPS_MAX};
    config = config ? config : &defaults;
    *out = (struct tl_replay_result){0};
    struct tl_str type = tl_replay_workflow_type(history);
    if (!type.n) {
        return tl_error_set(err, TL_EINVAL,
                            "the history does not begin with WorkflowExecutionStarted: a part of a "
                            "history cannot be replayed");
    }
    const TpHistory__WorkflowExecutionStartedEventAttributes *start =
        history->events[0]->workflow_execution_started_event_attributes;
    struct tl_lua_run *run;
    struct tl_lua_run_config run_config = {
        .steps_max = config->steps_max,
        .namespace_ = either(config->namespace_, "default"),
        .task_queue = tl_str(start->task_queue ? start->task_queue->name : ""),
        .workflow_id = either(config->workflow_id, start->workflow_id),
        .run_id = either(config->run_id, start->original_execution_run_id),
        .failure_error_types = config->failure_error_types,
        .deployment_name = config->deployment_name,
        .build_id = config->build_id,
    };
    tl_rc rc = tl_lua_run_new(&run, bundle, type, &run_config, err);
    if (rc != TL_OK) {
        return rc;
    }
    struct tl_lang lang = tl_lua_run_lang(run);
    struct tl_replay_config replay_config = {.workflow_id = run_config.workflow_id,
                                             .run_id = run_config.run_id};
    rc = tl_replay(history, &replay_config, &lang, arena, out, err);
    tl_lua_run_free(run);
    return rc;
}
