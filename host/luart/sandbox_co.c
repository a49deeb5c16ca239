/* Coroutines of the script, through wrappers: an await inside one is passed up to the fiber that
 * resumed it, and comes back the same way; a plain yield stays private.
 * Thread: the run's. Owner: Lua memory. */
#include "luart/wf.h"

static lua_State *get_co(lua_State *L)
{
    lua_State *co = lua_tothread(L, 1);
    luaL_argexpected(L, co, 1, "coroutine");
    return co;
}

int tl_lib_co_create(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_State *co = lua_newthread(L);
    *tl_co_word(co) = (uintptr_t)tl_run_of(L);
    if (TL_WITHOUT(26)) {
        lua_sethook(co, NULL, 0, 0);
    }
    tl_event_groups_inherit(L, co);
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    return 1;
}

static const char *status_of(lua_State *L, lua_State *co)
{
    lua_Debug ar;
    if (co == L) {
        return "running";
    }
    switch (lua_status(co)) {
    case LUA_YIELD:
        return "suspended";
    case LUA_OK:
        if (lua_getstack(co, 0, &ar)) {
            return "normal";
        }
        return lua_gettop(co) == 0 ? "dead" : "suspended";
    default:
        return "dead";
    }
}

static int go_on(lua_State *L, int status, lua_KContext ctx);

/* Resumes co (at index 1 of L) with nargs values on its stack. Returns the number of values moved
 * to L, -1 with an error on L's top, or yields on when an await blocks it. wrapped: raise errors. */
static int resume(lua_State *L, lua_State *co, int nargs, bool wrapped)
{
    struct tl_lua_run *run = tl_run_of(L);
    int n = 0;
    lua_State *before = tl_state_switch(run, co);
    int status = lua_resume(co, L, nargs, &n);
    tl_state_switch(run, before);
    if (status == LUA_YIELD && tl_co_awaiting(co) && !TL_WITHOUT(36)) {
        /* An await further in: the fiber blocks, and goes on in there when it wakes. */
        tl_co_set_awaiting(L, true);
        return lua_yieldk(L, 0, wrapped, go_on);
    }
    if (status != LUA_YIELD && lua_checkstack(co, 1)) {
        tl_event_groups_forget_thread(L, co);
    }
    if (status == LUA_OK || status == LUA_YIELD) {
        if (!lua_checkstack(L, n + 1)) {
            lua_pop(co, n);
            return luaL_error(L, "too many results to resume");
        }
        if (!wrapped) {
            lua_pushboolean(L, 1);
        }
        lua_xmove(co, L, n);
        return n + !wrapped;
    }
    if (!wrapped) {
        lua_pushboolean(L, 0);
        lua_xmove(co, L, 1);
        return 2;
    }
    int closed = lua_resetthread(co); /* its pending <close> variables */
    (void)closed;
    lua_xmove(co, L, 1);
    if (lua_type(L, -1) == LUA_TSTRING) {
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

static int go_on(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    bool wrapped = ctx != 0;
    lua_State *co = lua_tothread(L, wrapped ? lua_upvalueindex(1) : 1);
    tl_co_set_awaiting(L, false);
    tl_co_set_awaiting(co, false);
    return resume(L, co, 0, wrapped);
}

/* Why co cannot be resumed; NULL when it can. */
static const char *refusal(lua_State *L, lua_State *co, int nargs)
{
    if (tl_co_awaiting(co)) {
        return "cannot resume a coroutine that is blocked in an await";
    }
    if (!lua_checkstack(co, nargs)) {
        return "too many arguments to resume";
    }
    const char *status = status_of(L, co);
    if (status[0] != 's') {
        lua_pushfstring(L, "cannot resume %s coroutine",
                        status[0] == 'd' ? "dead" : "non-suspended");
        return lua_tostring(L, -1);
    }
    return NULL;
}

int tl_lib_co_resume(lua_State *L)
{
    lua_State *co = get_co(L);
    int nargs = lua_gettop(L) - 1;
    const char *why = refusal(L, co, nargs);
    if (why) {
        lua_pushboolean(L, 0);
        lua_pushstring(L, why);
        return 2;
    }
    lua_xmove(L, co, nargs);
    return resume(L, co, nargs, false);
}

static int wrap_call(lua_State *L)
{
    lua_State *co = lua_tothread(L, lua_upvalueindex(1));
    int nargs = lua_gettop(L);
    const char *why = refusal(L, co, nargs);
    if (why) {
        return luaL_error(L, "%s", why);
    }
    lua_xmove(L, co, nargs);
    return resume(L, co, nargs, true);
}

int tl_lib_co_wrap(lua_State *L)
{
    tl_lib_co_create(L);
    lua_pushcclosure(L, wrap_call, 1);
    return 1;
}

int tl_lib_co_yield(lua_State *L)
{
    struct tl_lua_run *run = tl_run_of(L);
    if (!lua_isyieldable(L) || (run->current && run->current->co == L)) {
        return luaL_error(L, "attempt to yield from outside a coroutine; use workflow.sleep(0) to "
                             "let other coroutines of the workflow run");
    }
    return lua_yield(L, lua_gettop(L));
}

int tl_lib_co_status(lua_State *L)
{
    lua_pushstring(L, status_of(L, get_co(L)));
    return 1;
}

int tl_lib_co_isyieldable(lua_State *L)
{
    lua_State *co = lua_isthread(L, 1) ? lua_tothread(L, 1) : L;
    struct tl_lua_run *run = tl_run_of(L);
    lua_pushboolean(L, lua_isyieldable(co) && !(run->current && run->current->co == co));
    return 1;
}

int tl_lib_co_running(lua_State *L)
{
    struct tl_lua_run *run = tl_run_of(L);
    lua_pushthread(L);
    lua_pushboolean(L, run->current ? run->current->co == L : L == run->main);
    return 2;
}

/* --- close ------------------------------------------------------------------------------------ */

/* The fiber whose await is in co itself, not in a coroutine further in. */
static struct tl_fiber *fiber_awaiting(struct tl_lua_run *run, lua_State *co)
{
    for (struct tl_fiber *f = run->fibers; f; f = f->next) {
        if (f->status == TL_FIBER_BLOCKED && f->await_co == co) {
            return f;
        }
    }
    return NULL;
}

static bool no_longer_awaiting(struct tl_lua_run *run, struct tl_fiber *f)
{
    (void)run;
    return !tl_co_awaiting(f->cond_ud);
}

static int close_now(lua_State *L, lua_State *co)
{
    const char *status = status_of(L, co);
    if (status[0] != 's' && status[0] != 'd') {
        return luaL_error(L, "cannot close a %s coroutine", status);
    }
    if (lua_resetthread(co) == LUA_OK) {
        lua_pushboolean(L, 1);
        return 1;
    }
    lua_pushboolean(L, 0);
    lua_xmove(co, L, 1);
    return 2;
}

static int close_waited(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    if (tl_await_end(L) == TL_WAKE_CANCEL) {
        return tl_await_raise_cancelled(L);
    }
    int n = close_now(L, get_co(L));
    /* Closing is how the wait ended: its own cancellation is no error of the coroutine. */
    if (n == 2 && tl_vm_error_has(L, -1, "CancelledError") &&
        tl_run_uses_flag(tl_run_of(L), TL_LANG_FLAG_CLOSE_CANCELS)) {
        lua_pushboolean(L, 1);
        return 1;
    }
    return n;
}

int tl_lib_co_close(lua_State *L)
{
    lua_State *co = get_co(L);
    struct tl_lua_run *run = tl_run_of(L);
    if (!tl_co_awaiting(co)) {
        return close_now(L, co);
    }
    struct tl_fiber *f = fiber_awaiting(run, co);
    if (!f) {
        return luaL_error(L, "cannot close a coroutine while one inside it is blocked in an await");
    }
    tl_await_check(L, "coroutine.close");
    tl_fiber_cancel(L, run, f);
    tl_await_room(L, 0);
    tl_await_condition(L, 0, no_longer_awaiting, co);
    return tl_await_yield(L, 0, close_waited);
}
