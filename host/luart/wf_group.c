/* workflow.group: coroutines that end together. The first error cancels the others; wait ends when
 * none is left. See sandbox.def and sync.h.
 * Thread: the run's. Owner: Lua memory of the run. */
#include "luart/sync.h"

#define META_GROUP "workflow.group"

/* User values: place -> fiber's userdata while it runs, the first error, the waiters. */
struct group {
    lua_Integer places; /* given out so far */
    lua_Integer running;
    bool failed;    /* there is an error */
    bool cancelled; /* what runs was cancelled, and nothing is spawned any more */
    struct tl_queue waiters;
};
enum { FIBERS = 1, ERROR, WAITERS };

static struct group *check(lua_State *L, int index)
{
    return luaL_checkudata(L, index, META_GROUP);
}

static void cancel_all(lua_State *L, int index, struct group *g)
{
    int top = lua_gettop(L);
    g->cancelled = true;
    lua_getiuservalue(L, index, FIBERS);
    for (lua_Integer i = 1; i <= g->places; i++) {
        if (lua_rawgeti(L, top + 1, i) == LUA_TUSERDATA) {
            tl_future_cancel(L, tl_run_of(L), tl_future_check(L, -1));
        }
        lua_pop(L, 1);
    }
    lua_settop(L, top);
}

/* --- members ---------------------------------------------------------------------------------- */

enum { CHILD_GROUP = 1, CHILD_PLACE, CHILD_HANDLER, CHILD_FUNCTION };

static int child_ended(lua_State *L, int status, lua_KContext ctx)
{
    struct group *g = check(L, CHILD_GROUP);
    bool failed = status != LUA_OK && status != LUA_YIELD;
    struct tl_future *head;
    int top = lua_gettop(L);
    (void)ctx;
    g->running--;
    lua_getiuservalue(L, CHILD_GROUP, FIBERS);
    lua_pushnil(L);
    lua_rawseti(L, top + 1, lua_tointeger(L, CHILD_PLACE));
    lua_settop(L, top);
    if (failed && !g->failed && !(g->cancelled && tl_vm_error_has(L, -1, "CancelledError"))) {
        g->failed = true;
        lua_pushvalue(L, top);
        lua_setiuservalue(L, CHILD_GROUP, ERROR);
        cancel_all(L, CHILD_GROUP, g);
    }
    lua_getiuservalue(L, CHILD_GROUP, WAITERS);
    while (g->running == 0 && (head = tl_queue_head(L, top + 1, &g->waiters, 1))) {
        tl_future_resolve(L, tl_run_of(L), head, false, 0);
        tl_queue_drop(L, top + 1, &g->waiters, 1);
    }
    lua_settop(L, top);
    return failed ? lua_error(L) : top - CHILD_HANDLER;
}

/* First function of a member: group, place, message handler, function, arguments. */
static int child_entry(lua_State *L)
{
    int nargs = lua_gettop(L) - CHILD_FUNCTION;
    int status = lua_pcallk(L, nargs, LUA_MULTRET, CHILD_HANDLER, 0, child_ended);
    return child_ended(L, status, 0);
}

/* spawn(function, ...) -> future */
static int group_spawn(lua_State *L)
{
    struct group *g = check(L, 1);
    tl_command_check(L, "group:spawn");
    luaL_checktype(L, 2, LUA_TFUNCTION);
    if (g->cancelled) {
        return luaL_error(L, "group:spawn: the group was cancelled%s",
                          g->failed ? " because a coroutine of it failed" : "");
    }
    int nargs = lua_gettop(L) - 2;
    g->places++;
    g->running++;
    lua_pushinteger(L, g->places);
    lua_insert(L, 2);
    lua_pushcfunction(L, tl_run_traceback);
    lua_insert(L, 3);
    lua_pushcfunction(L, child_entry);
    lua_insert(L, 1);
    lua_pushvalue(L, 2);
    lua_insert(L, 1); /* the group stays below */
    tl_fiber_new(L, tl_run_of(L), TL_FIBER_SPAWN, nargs + 4, "group")->owned = true;
    lua_getiuservalue(L, 1, FIBERS);
    lua_pushvalue(L, 2);
    lua_rawseti(L, -2, g->places);
    lua_settop(L, 2);
    return 1;
}

/* cancel(): what runs is cancelled; wait raises no error for it. */
static int group_cancel(lua_State *L)
{
    struct group *g = check(L, 1);
    tl_command_check(L, "group:cancel");
    cancel_all(L, 1, g);
    return 0;
}

static int group_count(lua_State *L)
{
    lua_pushinteger(L, check(L, 1)->running);
    return 1;
}

/* --- waiting ---------------------------------------------------------------------------------- */

enum { WAIT_CANCELLED = 1, WAIT_CLOSING = 2 };

static int wait_woken(lua_State *L, int status, lua_KContext ctx);

/* 1: the group; 2: the error that closes the scope, or nil. */
static int wait_step(lua_State *L, lua_KContext ctx)
{
    struct group *g = check(L, 1);
    lua_settop(L, 2);
    if (g->running) {
        tl_waiter_new(L);
        lua_getiuservalue(L, 1, WAITERS);
        lua_pushvalue(L, 3);
        tl_queue_push(L, 4, &g->waiters, 1);
        lua_settop(L, 3);
        return tl_waiter_await(L, 3, 0, ctx, wait_woken);
    }
    if (ctx & WAIT_CANCELLED) {
        return tl_await_raise_cancelled(L);
    }
    if (g->failed && lua_isnil(L, 2)) {
        lua_getiuservalue(L, 1, ERROR);
        return lua_error(L);
    }
    return 0;
}

static int wait_woken(lua_State *L, int status, lua_KContext ctx)
{
    struct tl_future *waiter = tl_future_check(L, 3);
    (void)status;
    if (tl_await_end(L) == TL_WAKE_CANCEL) {
        tl_waiter_kill(L, waiter);
        cancel_all(L, 1, check(L, 1));
        ctx |= WAIT_CANCELLED;
    }
    return wait_step(L, ctx);
}

/* wait(): until none runs; raises the first error. A cancellation goes through to all of them. */
static int group_wait(lua_State *L)
{
    check(L, 1);
    tl_await_check(L, "group:wait");
    lua_settop(L, 1);
    lua_pushnil(L);
    return wait_step(L, 0);
}

/* The end of the scope: waits; an error that leaves the scope cancels what runs first. */
static int group_close(lua_State *L)
{
    struct group *g = check(L, 1);
    lua_settop(L, 2);
    if (!tl_run_of(L)->current) {
        return 0; /* the module is being loaded: nothing has been spawned */
    }
    if (!lua_isnil(L, 2)) {
        cancel_all(L, 1, g);
    }
    return g->running || g->failed ? wait_step(L, WAIT_CLOSING) : 0;
}

int tl_lib_wf_group(lua_State *L)
{
    static const luaL_Reg methods[] = {{"spawn", group_spawn},
                                       {"wait", group_wait},
                                       {"cancel", group_cancel},
                                       {"count", group_count},
                                       {NULL, NULL}};
    static const luaL_Reg meta[] = {{"__close", group_close}, {NULL, NULL}};
    struct group *g = lua_newuserdatauv(L, sizeof *g, 3);
    *g = (struct group){.waiters = {1, 1, 0}};
    lua_newtable(L);
    lua_setiuservalue(L, -2, FIBERS);
    lua_newtable(L);
    lua_setiuservalue(L, -2, WAITERS);
    tl_sync_meta(L, META_GROUP, methods, meta);
    return 1;
}
