/* temporal.core, part: what tests need beside a client and a worker: the server's clock and replay.
 * Thread: the state's; the clock functions only post to the server. */
#include <lauxlib.h>

#include "base/limits.h"
#include "core/replay.h"
#include "luahost/core_arena.h"
#include "luahost/host.h"
#include "luahost/plan.h"
#include "luart/luart.h"
#include "proto/history_json.h"
#include "server/server.h"

/* [-0, +0, v] core.time_lock(server): time passes as on the wall */
static int time_lock(lua_State *L)
{
    tl_server_lock_time_skipping(tl_host_check_server(L, 1)->server);
    return 0;
}

/* [-0, +0, v] core.time_unlock(server): time jumps while nothing runs */
static int time_unlock(lua_State *L)
{
    tl_server_unlock_time_skipping(tl_host_check_server(L, 1)->server);
    return 0;
}

/* [-0, +1, v] core.time_now(server): nanoseconds since the epoch on the server's clock */
static int time_now(lua_State *L)
{
    lua_pushinteger(L, tl_server_now_ns(tl_host_check_server(L, 1)->server));
    return 1;
}

struct replay_frame {
    struct tl_bundle *bundle;
    struct tl_lua_run *run;
    struct tl_replay_result result;
    struct tl_error err;
    tl_rc rc;
    struct tl_str failure_error_types; /* the plan's */
};

static void replay_history(struct replay_frame *f, const TpHistory__History *history,
                           struct tl_arena *arena)
{
    struct tl_lua_run_config config = {
        .steps_max = UINT64_C(1000000000),
        .failure_error_types = f->failure_error_types,
    };
    f->rc = tl_lua_run_new(&f->run, f->bundle, tl_replay_workflow_type(history), &config, &f->err);
    if (f->rc == TL_OK) {
        struct tl_lang lang = tl_lua_run_lang(f->run);
        f->rc = tl_replay(history, NULL, &lang, arena, &f->result, &f->err);
    }
    tl_lua_run_free(f->run);
    tl_bundle_close(f->bundle);
}

static char *report_text(const struct tl_nde_report *report, struct tl_arena *arena)
{
    struct tl_buf text;
    tl_buf_init(&text, (size_t)tl_limit_blob_bytes);
    tl_nde_report_text(report, &text);
    char *copy = tl_arena_cstr(arena, tl_buf_str(&text));
    tl_buf_deinit(&text);
    return copy;
}

/* [-0, +1|+2, v] core.replay(plan, history): event count, or nil and what is wrong. The history is the
 * text of a file as Temporal's tools export it, or encoded. */
static int replay(lua_State *L)
{
    struct replay_frame f = {0};
    TpHistory__History *history;
    size_t n;
    luaL_checktype(L, 1, LUA_TTABLE);
    const char *text = luaL_checklstring(L, 2, &n);
    struct tl_arena *arena = tl_core_push_arena(L);
    f.rc = tl_history_read(tl_str_n(text, n), arena, &history, &f.err);
    if (f.rc == TL_OK) {
        struct tl_bundle_config config;
        tl_host_bundle_plan(L, 1, &config);
        f.rc = tl_bundle_open(&f.bundle, &config, &f.err);
    }
    if (lua_getfield(L, 1, "failure_error_types") == LUA_TSTRING) {
        f.failure_error_types = tl_str(lua_tostring(L, -1)); /* the plan keeps it */
    }
    if (f.rc == TL_OK) {
        replay_history(&f, history, arena);
    }
    if (f.rc == TL_OK) {
        lua_pushinteger(L, (lua_Integer)f.result.event_count);
        return 1;
    }
    lua_pushnil(L);
    lua_pushstring(L, f.result.report ? report_text(f.result.report, arena) : f.err.message);
    return 2;
}

static const luaL_Reg functions[] = {
    {"time_lock", time_lock},
    {"time_unlock", time_unlock},
    {"time_now", time_now},
    {"replay", replay},
    {NULL, NULL},
};

void tl_core_testing(lua_State *L)
{
    luaL_setfuncs(L, functions, 0);
}
