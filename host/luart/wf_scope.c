/* Coroutines and clean-up: spawn, shield, defer, scope, cancel_scope. See sandbox.def.
 * Thread: the run's. Owner: Lua memory. */
#include "luart/options.h"
#include "luart/sync.h"

/* spawn(function, ...) -> future of what it returns. It starts when the caller next waits. */
int tl_lib_wf_spawn(lua_State *L)
{
    tl_command_check(L, "workflow.spawn");
    luaL_checktype(L, 1, LUA_TFUNCTION);
    tl_fiber_new(L, tl_run_of(L), TL_FIBER_SPAWN, lua_gettop(L) - 1, NULL);
    return 1;
}

/* The same under its other name: a function of its own, so that tracebacks tell the two apart. */
int tl_lib_wf_async(lua_State *L)
{
    return tl_lib_wf_spawn(L);
}

/* --- shield ----------------------------------------------------------------------------------- */

static int shielded(lua_State *L, int status, lua_KContext ctx)
{
    struct tl_fiber *f = tl_run_of(L)->current;
    f->shield--;
    if (status != LUA_OK && status != LUA_YIELD) {
        return lua_error(L);
    }
    return lua_gettop(L) - (int)ctx;
}

/* Calls the function below nargs values on top with cancellation held back. `below`: values under
 * the function. */
static int call_shielded(lua_State *L, int nargs, int below)
{
    struct tl_fiber *f = tl_run_of(L)->current;
    f->shield++;
    int status = lua_pcallk(L, nargs, LUA_MULTRET, 0, below, shielded);
    return shielded(L, status, below);
}

/* shield(function, ...): a cancellation that comes meanwhile is raised at the first await after. */
int tl_lib_wf_shield(lua_State *L)
{
    tl_command_check(L, "workflow.shield");
    luaL_checktype(L, 1, LUA_TFUNCTION);
    if (!tl_run_of(L)->current) {
        return luaL_error(L, "workflow.shield cannot be used here");
    }
    return call_shielded(L, lua_gettop(L) - 1, 0);
}

/* --- defer ------------------------------------------------------------------------------------ */

static int defer_close(lua_State *L)
{
    lua_settop(L, 2);
    lua_getiuservalue(L, 1, 1);
    if (!lua_isfunction(L, -1) || !tl_run_of(L)->current) {
        return 0;
    }
    lua_pushnil(L);
    lua_setiuservalue(L, 1, 1); /* once */
    lua_pushvalue(L, 2);
    call_shielded(L, 1, 2);
    return 0;
}

/* local x <close> = defer(function(err) ... end): called when the scope ends, with its error. */
int tl_lib_wf_defer(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    lua_newuserdatauv(L, 0, 1);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);
    if (luaL_newmetatable(L, "workflow.defer")) {
        lua_pushcfunction(L, defer_close);
        lua_setfield(L, -2, "__close");
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_setmetatable(L, -2);
    return 1;
}

/* --- scope ------------------------------------------------------------------------------------ */

struct scope_options {
    int64_t timeout;
    TpCommon__Payload *summary;
};

static const struct tl_opt scope_opts[] = {
    TL_OPT("timeout", TL_OPT_NS, 0, struct scope_options, timeout),
    TL_OPT("timeout_summary", TL_OPT_PAYLOAD, 0, struct scope_options, summary),
};

enum { SCOPE_TIMED_OUT = 1, SCOPE_CANCELLED = 2 };

static int scope_woken(lua_State *L, int status, lua_KContext ctx);

/* Index 1: the coroutine of the scope's function; 2: the timer or nil. */
static int scope_wait(lua_State *L, lua_KContext ctx)
{
    struct tl_future *timer = tl_future_test(L, 2);
    tl_await_room(L, 2);
    tl_await_add(L, tl_future_check(L, 1));
    if (timer && timer->state == TL_FUTURE_PENDING) {
        tl_await_add(L, timer);
    }
    return tl_await_yield(L, ctx, scope_woken);
}

static int scope_end(lua_State *L, lua_KContext ctx)
{
    struct tl_future *body = tl_future_check(L, 1), *timer = tl_future_test(L, 2);
    if (timer && timer->state == TL_FUTURE_PENDING) {
        tl_future_cancel(L, tl_run_of(L), timer);
    }
    if (body->state == TL_FUTURE_FAILED && (ctx & SCOPE_TIMED_OUT) && !(ctx & SCOPE_CANCELLED)) {
        lua_getiuservalue(L, 1, 1);
        if (tl_vm_error_has(L, -1, "CancelledError")) {
            tl_vm_push_error(L, "TimeoutError", "the scope's time is up");
            lua_insert(L, -2);
            lua_setfield(L, -2, "cause");
        }
        return lua_error(L);
    }
    return tl_future_values(L, 1);
}

static int scope_woken(lua_State *L, int status, lua_KContext ctx)
{
    struct tl_lua_run *run = tl_run_of(L);
    struct tl_future *body = tl_future_check(L, 1), *timer = tl_future_test(L, 2);
    enum tl_wake reason = tl_await_end(L);
    (void)status;
    if (reason == TL_WAKE_CANCEL) {
        ctx |= SCOPE_CANCELLED;
        tl_future_cancel(L, run, body);
    } else if (body->state == TL_FUTURE_PENDING && timer && timer->state != TL_FUTURE_PENDING &&
               !(ctx & SCOPE_TIMED_OUT)) {
        ctx |= SCOPE_TIMED_OUT;
        tl_future_cancel(L, run, body);
    }
    return body->state == TL_FUTURE_PENDING ? scope_wait(L, ctx) : scope_end(L, ctx);
}

/* scope({ timeout = }, function, ...): runs the function; when the time is up its awaits are
 * cancelled and the scope raises a TimeoutError. A cancellation from outside goes through. */
int tl_lib_wf_scope(lua_State *L)
{
    struct scope_options options = {-1, NULL};
    tl_await_check(L, "workflow.scope");
    TL_OPTIONS_READ(L, 1, "workflow.scope", scope_opts, (void *[]){&options}, tl_cmd_arena(L));
    luaL_checktype(L, 2, LUA_TFUNCTION);
    tl_fiber_new(L, tl_run_of(L), TL_FIBER_SPAWN, lua_gettop(L) - 2, "scope")->owned = true;
    lua_replace(L, 1);
    lua_settop(L, 1);
    if (options.timeout >= 0) {
        tl_wf_start_timeout(L, "scope", options.timeout, options.summary, NULL, 0);
    } else {
        lua_pushnil(L);
    }
    return scope_wait(L, 0);
}

/* --- scopes as objects ------------------------------------------------------------------------ */

#define META_SCOPE "workflow.cancel_scope"

/* User values: the body while it runs, the options. */
struct cancel_scope {
    bool cancelled, ran;
};
enum { SCOPE_BODY = 1, SCOPE_OPTIONS };

static struct cancel_scope *check_scope(lua_State *L)
{
    return luaL_checkudata(L, 1, META_SCOPE);
}

/* run(function, ...): as workflow.scope; cancel() reaches it from anywhere. */
static int cancel_scope_run(lua_State *L)
{
    struct cancel_scope *scope = check_scope(L);
    struct scope_options options = {-1, NULL};
    tl_await_check(L, "cancel_scope:run");
    luaL_checktype(L, 2, LUA_TFUNCTION);
    if (scope->ran) {
        return luaL_error(L, "cancel_scope:run: a scope is run once");
    }
    scope->ran = true;
    lua_getiuservalue(L, 1, SCOPE_OPTIONS);
    TL_OPTIONS_READ(L, lua_gettop(L), "workflow.cancel_scope", scope_opts, (void *[]){&options},
                    tl_cmd_arena(L));
    lua_pop(L, 1);
    struct tl_fiber *body =
        tl_fiber_new(L, tl_run_of(L), TL_FIBER_SPAWN, lua_gettop(L) - 2, "scope");
    body->owned = true;
    lua_pushvalue(L, 2);
    lua_setiuservalue(L, 1, SCOPE_BODY);
    if (scope->cancelled) {
        tl_fiber_cancel(L, tl_run_of(L), body); /* raised where it first waits */
    }
    lua_remove(L, 1);
    if (options.timeout >= 0) {
        tl_wf_start_timeout(L, "cancel_scope", options.timeout, options.summary, NULL, 0);
    } else {
        lua_pushnil(L);
    }
    return scope_wait(L, 0);
}

/* cancel(): what the scope's function waits for is cancelled; before run, what it will wait for. */
static int cancel_scope_cancel(lua_State *L)
{
    struct cancel_scope *scope = check_scope(L);
    tl_command_check(L, "cancel_scope:cancel");
    scope->cancelled = true;
    lua_getiuservalue(L, 1, SCOPE_BODY);
    struct tl_future *body = tl_future_test(L, -1);
    if (body) {
        tl_future_cancel(L, tl_run_of(L), body);
    }
    return 0;
}

static int cancel_scope_cancelled(lua_State *L)
{
    lua_pushboolean(L, check_scope(L)->cancelled);
    return 1;
}

/* cancel_scope([{ timeout = }]) -> scope */
int tl_lib_wf_cancel_scope(lua_State *L)
{
    static const luaL_Reg methods[] = {{"run", cancel_scope_run},
                                       {"cancel", cancel_scope_cancel},
                                       {"cancelled", cancel_scope_cancelled},
                                       {NULL, NULL}};
    struct scope_options options = {-1, NULL};
    tl_command_check(L, "workflow.cancel_scope");
    lua_settop(L, 1);
    TL_OPTIONS_READ(L, 1, "workflow.cancel_scope", scope_opts, (void *[]){&options},
                    tl_cmd_arena(L));
    struct cancel_scope *scope = lua_newuserdatauv(L, sizeof *scope, 2);
    *scope = (struct cancel_scope){false, false};
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, SCOPE_OPTIONS);
    tl_sync_meta(L, META_SCOPE, methods, NULL);
    return 1;
}
