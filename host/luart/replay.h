/* A whole history through the scripts of a bundle: what `temporal-lua replay`, temporal.replayer and
 * the replay at the end of a test environment share.
 * Ownership: results live in the given arena. Thread: one at a time. */
#pragma once

#include "core/replay.h"
#include "core/rerun.h"
#include "luart/luart.h"

struct tl_lua_replay_config {
    struct tl_str namespace_;                                     /* empty: "default" */
    struct tl_str workflow_id, run_id;                            /* empty: what the history says */
    struct tl_str failure_error_types, deployment_name, build_id; /* as tl_lua_run_config's */
    uint64_t steps_max; /* VM instructions of one activation; 0: not counted */
};

/* VM instructions of one activation in a replay that nobody debugs: about ten seconds. */
#define TL_LUA_REPLAY_STEPS_MAX UINT64_C(2000000000)

/* On non-determinism the history is replayed once more to collect the lines that ran last (report->trace).
 * Owns: the report in the arena. Errors: those of tl_replay and of tl_lua_run_new; TL_EINVAL without a
 * report for a history that does not begin with the run's start. config may be NULL. */
tl_rc tl_lua_replay(struct tl_bundle *bundle, const TpHistory__History *history,
                    const struct tl_lua_replay_config *config, struct tl_arena *arena,
                    struct tl_replay_result *out, struct tl_error *err) TL_MUST_USE;

/* A rerun of every completed task of a history (core/rerun.h). */
struct tl_lua_rerun_config {
    struct tl_lua_replay_config replay;
    /* Runs that the worker's cache has room for. 0: each task is answered by a new run; 1: other runs
     * push this one out now and then; more: it stays. */
    size_t cache_size;
    uint64_t seed; /* when it is pushed out */
    void *ud;      /* of the functions below */
    /* As tl_rerun_config's. */
    tl_rc (*answered)(void *ud, int64_t started_event_id, struct tl_str answer,
                      struct tl_error *err);
    const char *(*query)(void *ud, size_t task);      /* may be NULL */
    void (*opened)(void *ud, struct tl_lua_run *lua); /* may be NULL; for tests: a run was made */
};

/* Owns: nothing; the arena is reset on the way. Errors: those of tl_rerun and of tl_lua_run_new. */
tl_rc tl_lua_rerun(struct tl_bundle *bundle, const TpHistory__History *history,
                   const struct tl_lua_rerun_config *config, struct tl_arena *arena,
                   struct tl_rerun_result *out, struct tl_error *err) TL_MUST_USE;
