/* Waiting for several futures: wait_any, wait_all, as_completed. See sandbox.def.
 * Each is a step function: it looks, and either answers or waits and is called again.
 * Thread: the run's. Owner: Lua memory. */
#include "luart/options.h"
#include "luart/wf.h"

struct wait_options {
    int64_t timeout;
};

static const struct tl_opt wait_opts[] = {
    TL_OPT("timeout", TL_OPT_NS, 0, struct wait_options, timeout),
};

/* Replaces the list at index 1 by a copy that only this call knows; returns its length. */
static lua_Integer copy_list(lua_State *L, const char *what)
{
    if (lua_type(L, 1) != LUA_TTABLE) {
        luaL_error(L, "%s: a list of futures is expected, got %s", what, luaL_typename(L, 1));
    }
    lua_Integer n = (lua_Integer)lua_rawlen(L, 1);
    luaL_argcheck(L, n < INT32_MAX, 1, "too many futures");
    lua_createtable(L, (int)n, 0);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, 1, i);
        if (!tl_future_test(L, -1)) {
            luaL_error(L, "%s: item %I of the list is a %s, not a future", what, (LUAI_UACINT)i,
                       luaL_typename(L, -1));
        }
        lua_rawseti(L, -2, i);
    }
    lua_replace(L, 1);
    return n;
}

/* The future at place i of the list at index; NULL when the place was struck out. */
static struct tl_future *item(lua_State *L, int index, lua_Integer i)
{
    lua_rawgeti(L, index, i);
    struct tl_future *future = lua_touserdata(L, -1);
    lua_pop(L, 1); /* the list keeps it */
    return future;
}

/* Leaves the timer of a timeout (or nil) at index 2. */
static void start_timeout(lua_State *L, const char *what)
{
    struct wait_options options = {-1};
    lua_settop(L, 2);
    TL_OPTIONS_READ(L, 2, what, wait_opts, (void *[]){&options}, tl_cmd_arena(L));
    lua_settop(L, 1);
    if (options.timeout > 0) {
        tl_wf_start_timeout(L, "wait_any", options.timeout, NULL, NULL, 0);
    } else if (options.timeout == 0) {
        lua_pushboolean(L, 0); /* look once */
    } else {
        lua_pushnil(L);
    }
}

static void stop_timeout(lua_State *L)
{
    struct tl_future *timer = tl_future_test(L, 2);
    if (timer && timer->state == TL_FUTURE_PENDING) {
        tl_future_cancel(L, tl_run_of(L), timer);
    }
}

/* Waits for any pending future of the list at `list` and, when it is one, the timer at index 2. */
static int wait_pending(lua_State *L, int list, lua_Integer n, lua_KFunction k)
{
    struct tl_future *timer = list == 1 ? tl_future_test(L, 2) : NULL;
    tl_await_room(L, (int)n + 1);
    for (lua_Integer i = 1; i <= n; i++) {
        struct tl_future *future = item(L, list, i);
        if (future && future->state == TL_FUTURE_PENDING) {
            tl_await_add(L, future);
        }
    }
    if (timer) {
        tl_await_add(L, timer);
    }
    return tl_await_yield(L, (lua_KContext)n, k);
}

/* --- wait_any --------------------------------------------------------------------------------- */

static int any_woken(lua_State *L, int status, lua_KContext ctx);

static int any_step(lua_State *L, lua_Integer n)
{
    for (lua_Integer i = 1; i <= n; i++) {
        if (item(L, 1, i)->state != TL_FUTURE_PENDING) {
            stop_timeout(L);
            lua_rawgeti(L, 1, i);
            return 1;
        }
    }
    struct tl_future *timer = tl_future_test(L, 2);
    if ((timer && timer->state != TL_FUTURE_PENDING) || lua_isboolean(L, 2) || n == 0) {
        stop_timeout(L);
        lua_pushnil(L);
        return 1;
    }
    return wait_pending(L, 1, n, any_woken);
}

static int any_woken(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    lua_settop(L, 2);
    if (tl_await_end(L) == TL_WAKE_CANCEL) {
        stop_timeout(L);
        return tl_await_raise_cancelled(L);
    }
    return any_step(L, (lua_Integer)ctx);
}

/* wait_any(futures [, { timeout = }]) -> the first of the list that is done; nil on timeout. */
int tl_lib_wf_wait_any(lua_State *L)
{
    tl_await_check(L, "workflow.wait_any");
    lua_Integer n = copy_list(L, "workflow.wait_any");
    start_timeout(L, "workflow.wait_any");
    return any_step(L, n);
}

/* --- wait_all --------------------------------------------------------------------------------- */

static int all_woken(lua_State *L, int status, lua_KContext ctx);

static int all_step(lua_State *L, lua_Integer n)
{
    bool pending = false;
    for (lua_Integer i = 1; i <= n; i++) {
        struct tl_future *future = item(L, 1, i);
        pending = pending || future->state == TL_FUTURE_PENDING;
        if (future->state == TL_FUTURE_FAILED) {
            lua_rawgeti(L, 1, i);
            return lua_toboolean(L, 2) ? tl_future_raise_cancelled(L, lua_gettop(L))
                                       : tl_future_values(L, lua_gettop(L)); /* raises */
        }
    }
    if (pending) {
        return wait_pending(L, 1, n, all_woken);
    }
    if (lua_toboolean(L, 2)) {
        return tl_await_raise_cancelled(L); /* they ended well all the same */
    }
    lua_createtable(L, (int)n, 1);
    int results = lua_gettop(L);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, 1, i);
        int count = tl_future_values(L, results + 1);
        lua_settop(L, lua_gettop(L) - (count > 0 ? count - 1 : 0));
        lua_rawseti(L, results, i);
        lua_settop(L, results);
    }
    lua_pushinteger(L, n);
    lua_setfield(L, results, "n");
    return 1;
}

/* A cancellation goes through to what is waited for, as it does in future:result(); index 2 tells
 * that one came. Runs from before the flag only stop waiting. */
static int all_woken(lua_State *L, int status, lua_KContext ctx)
{
    struct tl_lua_run *run = tl_run_of(L);
    (void)status;
    lua_settop(L, 2);
    if (tl_await_end(L) == TL_WAKE_CANCEL) {
        if (!tl_run_uses_flag(run, TL_LANG_FLAG_WAIT_ALL_CANCELS)) {
            return tl_await_raise_cancelled(L);
        }
        lua_pushboolean(L, 1);
        lua_replace(L, 2);
        for (lua_Integer i = 1; i <= (lua_Integer)ctx; i++) {
            tl_future_cancel(L, run, item(L, 1, i));
        }
    }
    return all_step(L, (lua_Integer)ctx);
}

/* wait_all(futures) -> list of results with field n; raises as soon as one has failed.
 * 1: the futures, 2: whether the wait was cancelled (nil: not). */
int tl_lib_wf_wait_all(lua_State *L)
{
    tl_await_check(L, "workflow.wait_all");
    lua_Integer n = copy_list(L, "workflow.wait_all");
    lua_settop(L, 1);
    lua_pushnil(L);
    return all_step(L, n);
}

/* --- as_completed ----------------------------------------------------------------------------- */

static int next_woken(lua_State *L, int status, lua_KContext ctx);

static int next_step(lua_State *L)
{
    int list = lua_upvalueindex(1);
    lua_Integer n = lua_tointeger(L, lua_upvalueindex(2)), first = 0, open = 0;
    for (lua_Integer i = 1; i <= n; i++) {
        struct tl_future *future = item(L, list, i);
        if (!future) {
            continue;
        }
        open++;
        if (future->state != TL_FUTURE_PENDING &&
            (!first || future->done_order < item(L, list, first)->done_order)) {
            first = i;
        }
    }
    lua_settop(L, 0);
    if (first) {
        lua_rawgeti(L, list, first);
        lua_pushboolean(L, 0);
        lua_rawseti(L, list, first);
        return 1;
    }
    if (!open) {
        lua_pushnil(L);
        return 1;
    }
    tl_await_check(L, "workflow.as_completed");
    return wait_pending(L, list, n, next_woken);
}

static int next_woken(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    if (tl_await_end(L) == TL_WAKE_CANCEL) {
        return tl_await_raise_cancelled(L);
    }
    return next_step(L);
}

/* for future in as_completed(futures): in the order in which they are done. */
int tl_lib_wf_as_completed(lua_State *L)
{
    lua_Integer n = copy_list(L, "workflow.as_completed");
    lua_settop(L, 1);
    lua_pushinteger(L, n);
    lua_pushcclosure(L, next_step, 2);
    return 1;
}
