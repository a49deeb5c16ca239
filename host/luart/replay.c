/* See replay.h. */
#include "luart/replay.h"

#include <stdio.h>
#include <string.h>

#include "base/rng.h"

static struct tl_str either(struct tl_str given, const char *otherwise)
{
    return given.n ? given : tl_str(otherwise ? otherwise : "");
}

/* The run that the history's first event describes. */
static struct tl_lua_run_config run_config(const TpHistory__History *history,
                                           const struct tl_lua_replay_config *config)
{
    const TpHistory__WorkflowExecutionStartedEventAttributes *start =
        history->events[0]->workflow_execution_started_event_attributes;
    return (struct tl_lua_run_config){
        .steps_max = config->steps_max,
        .namespace_ = either(config->namespace_, "default"),
        .task_queue = tl_str(start->task_queue ? start->task_queue->name : ""),
        .workflow_id = either(config->workflow_id, start->workflow_id),
        .run_id = either(config->run_id, start->original_execution_run_id),
        .failure_error_types = config->failure_error_types,
        .deployment_name = config->deployment_name,
        .build_id = config->build_id,
    };
}

static tl_rc no_start(struct tl_error *err)
{
    return tl_error_set(err, TL_EINVAL,
                        "the history does not begin with WorkflowExecutionStarted: a part of a "
                        "history cannot be replayed");
}

/* --- what ran last ---------------------------------------------------------------------------- */

enum { LINES_KEPT = 24, LINE_BYTES = 80 };

struct lines { /* a ring */
    char text[LINES_KEPT][LINE_BYTES];
    size_t count;
};

static void keep_line(void *ud, const char *source, int line)
{
    struct lines *lines = ud;
    char *to = lines->text[lines->count % LINES_KEPT], text[LINE_BYTES];
    snprintf(text, sizeof text, "%s:%d", source, line);
    if (lines->count && strcmp(lines->text[(lines->count - 1) % LINES_KEPT], text) == 0) {
        return; /* a line goes on */
    }
    memcpy(to, text, sizeof text);
    lines->count++;
}

/* The same replay in a fresh state that notes its lines: the first one noted none, to be quick. */
static void trace(struct tl_bundle *bundle, const TpHistory__History *history,
                  struct tl_lua_run_config made_with, struct tl_arena *arena,
                  struct tl_nde_report *report)
{
    struct lines lines = {0};
    struct tl_lua_run *run;
    struct tl_arena scratch;
    struct tl_replay_result again;
    struct tl_replay_config config = {.workflow_id = made_with.workflow_id,
                                      .run_id = made_with.run_id};
    made_with.line = keep_line;
    made_with.line_ud = &lines;
    if (tl_lua_run_new(&run, bundle, tl_replay_workflow_type(history), &made_with, NULL) != TL_OK) {
        return;
    }
    tl_arena_init(&scratch, arena->bytes_max);
    struct tl_lang lang = tl_lua_run_lang(run);
    tl_rc rc = tl_replay(history, &config, &lang, &scratch, &again, NULL);
    size_t n = lines.count < LINES_KEPT ? lines.count : LINES_KEPT;
    struct tl_str *out = rc == TL_ENONDETERMINISM ? TL_ARENA_ARRAY(arena, struct tl_str, n) : NULL;
    for (size_t i = 0; out && i < n; i++) {
        out[i] = tl_arena_str(arena, tl_str(lines.text[(lines.count - n + i) % LINES_KEPT]));
    }
    report->trace = out;
    report->trace_count = out ? n : 0;
    tl_lua_run_free(run);
    tl_arena_deinit(&scratch);
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
        return no_start(err);
    }
    struct tl_lua_run *run;
    struct tl_lua_run_config made_with = run_config(history, config);
    tl_rc rc = tl_lua_run_new(&run, bundle, type, &made_with, err);
    if (rc != TL_OK) {
        return rc;
    }
    struct tl_lang lang = tl_lua_run_lang(run);
    struct tl_replay_config replay_config = {.workflow_id = made_with.workflow_id,
                                             .run_id = made_with.run_id};
    rc = tl_replay(history, &replay_config, &lang, arena, out, err);
    tl_lua_run_free(run);
    if (rc == TL_ENONDETERMINISM && out->report) {
        trace(bundle, history, made_with, arena, out->report);
    }
    return rc;
}

/* --- reruns ----------------------------------------------------------------------------------- */

struct cache {
    const struct tl_lua_rerun_config *config;
    struct tl_bundle *bundle;
    struct tl_str type;
    struct tl_lua_run_config run_config;
    struct tl_lua_run *lua; /* NULL: none yet */
    struct tl_rng rng;
};

/* What the tasks log was logged when they ran first. */
static void no_log(void *ud, enum tl_log_level level, struct tl_str message, struct tl_str where)
{
    (void)ud;
    (void)level;
    (void)message;
    (void)where;
}

static tl_rc open_lua(void *ud, struct tl_lang *lang, struct tl_error *err)
{
    struct cache *c = ud;
    tl_lua_run_free(c->lua);
    c->lua = NULL;
    tl_rc rc = tl_lua_run_new(&c->lua, c->bundle, c->type, &c->run_config, err);
    if (rc != TL_OK) {
        return rc;
    }
    *lang = tl_lua_run_lang(c->lua);
    if (c->config->opened) {
        c->config->opened(c->config->ud, c->lua);
    }
    return TL_OK;
}

static bool forgets(void *ud, size_t task)
{
    struct cache *c = ud;
    (void)task;
    return c->config->cache_size == 0 || (c->config->cache_size == 1 && tl_rng_next(&c->rng) & 1);
}

static const char *query(void *ud, size_t task)
{
    struct cache *c = ud;
    return c->config->query ? c->config->query(c->config->ud, task) : NULL;
}

static tl_rc answered(void *ud, int64_t started_event_id, struct tl_str answer,
                      struct tl_error *err)
{
    struct cache *c = ud;
    return c->config->answered(c->config->ud, started_event_id, answer, err);
}

tl_rc tl_lua_rerun(struct tl_bundle *bundle, const TpHistory__History *history,
                   const struct tl_lua_rerun_config *config, struct tl_arena *arena,
                   struct tl_rerun_result *out, struct tl_error *err)
{
    *out = (struct tl_rerun_result){0};
    struct cache cache = {
        .config = config, .bundle = bundle, .type = tl_replay_workflow_type(history)};
    if (!cache.type.n) {
        return no_start(err);
    }
    cache.run_config = run_config(history, &config->replay);
    cache.run_config.log = no_log;
    tl_rng_seed(&cache.rng, config->seed);
    struct tl_rerun_config rerun_config = {
        .workflow_id = cache.run_config.workflow_id,
        .run_id = cache.run_config.run_id,
        .ud = &cache,
        .open = open_lua,
        .forgets = forgets,
        .query = query,
        .answered = answered,
    };
    tl_rc rc = tl_rerun(history, &rerun_config, arena, out, err);
    tl_lua_run_free(cache.lua);
    return rc;
}
