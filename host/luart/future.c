/* Futures: handles of activities, timers, children, coroutines, and what workflow.future made. What
 * holds their results, who waits for them, and what cancelling them means.
 * Thread: the run's. Owner: as in sched.c. */
#include "luart/run_int.h"
#include "luart/wf.h"

#include <string.h>

#include "base/assert.h"

#define META_FUTURE "workflow.future"

/* --- methods ---------------------------------------------------------------------------------- */

static lua_Integer pending_key(enum tl_future_kind kind, uint32_t seq)
{
    return (lua_Integer)seq * TL_FUTURE_KIND_COUNT + (lua_Integer)kind;
}

static int future_result(lua_State *L)
{
    return tl_future_await(L);
}

static int future_cancel(lua_State *L)
{
    struct tl_future *future = tl_future_check(L, 1);
    struct tl_str reason = {NULL, 0};
    tl_command_check(L, "future:cancel");
    if (!lua_isnoneornil(L, 2)) {
        luaL_argexpected(L, future->kind == TL_FUTURE_CHILD, 2,
                         "no value: only a child workflow can be told why");
        reason.p = luaL_checklstring(L, 2, &reason.n);
    }
    tl_future_cancel_because(L, tl_run_of(L), future, reason);
    return 0;
}

static int future_done(lua_State *L)
{
    lua_pushboolean(L, tl_future_check(L, 1)->state != TL_FUTURE_PENDING);
    return 1;
}

static struct tl_future *check_user(lua_State *L, const char *what)
{
    struct tl_future *future = tl_future_check(L, 1);
    tl_command_check(L, what);
    if (future->kind != TL_FUTURE_USER) {
        luaL_error(L, "%s: only what workflow.future made can be given a result", what);
    }
    return future;
}

/* resolve(...) -> whether it was pending: the first result stays. */
static int future_resolve(lua_State *L)
{
    struct tl_future *future = check_user(L, "future:resolve");
    bool pending = future->state == TL_FUTURE_PENDING;
    if (pending) {
        tl_future_resolve(L, tl_run_of(L), future, false, lua_gettop(L) - 1);
    }
    lua_pushboolean(L, pending);
    return 1;
}

/* fail(err) -> whether it was pending. */
static int future_fail(lua_State *L)
{
    struct tl_future *future = check_user(L, "future:fail");
    bool pending = future->state == TL_FUTURE_PENDING;
    luaL_checkany(L, 2);
    lua_settop(L, 2);
    if (pending) {
        tl_future_resolve(L, tl_run_of(L), future, true, 1);
    }
    lua_pushboolean(L, pending);
    return 1;
}

/* The error it failed with, or nil. */
static int future_error(lua_State *L)
{
    if (tl_future_check(L, 1)->state == TL_FUTURE_FAILED) {
        lua_getiuservalue(L, 1, 1);
    } else {
        lua_pushnil(L);
    }
    return 1;
}

static int future_index(lua_State *L)
{
    static const luaL_Reg methods[] = {{"result", future_result},   {"cancel", future_cancel},
                                       {"done", future_done},       {"error", future_error},
                                       {"resolve", future_resolve}, {"fail", future_fail}};
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        if (strcmp(key, methods[i].name) == 0) {
            lua_pushcfunction(L, methods[i].func);
            return 1;
        }
    }
    if (tl_future_check(L, 1)->kind == TL_FUTURE_CHILD) {
        return tl_wf_child_index(L, key);
    }
    if (tl_future_check(L, 1)->kind == TL_FUTURE_NEXUS) {
        return tl_wf_nexus_index(L, key);
    }
    return luaL_error(L,
                      "a future has no '%s' (it has result, cancel, done, error, resolve and fail)",
                      tl_sandbox_tostring(L, 2, NULL));
}

void tl_future_set_meta(lua_State *L)
{
    if (luaL_newmetatable(L, META_FUTURE)) {
        lua_pushcfunction(L, future_index);
        lua_setfield(L, -2, "__index");
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
        lua_pushliteral(L, "future");
        lua_setfield(L, -2, "__name");
    }
    lua_setmetatable(L, -2);
}

/* --- all that are pending ------------------------------------------------------------------------ */

struct tl_future *tl_future_test(lua_State *L, int index)
{
    return luaL_testudata(L, index, META_FUTURE);
}

struct tl_future *tl_future_check(lua_State *L, int index)
{
    struct tl_future *future = tl_future_test(L, index);
    if (!future) {
        luaL_error(L,
                   "a future is expected (an activity's or timer's handle, or a coroutine of "
                   "workflow.spawn), got %s",
                   luaL_typename(L, index));
    }
    return future;
}

struct tl_future *tl_future_new(lua_State *L, struct tl_lua_run *run, enum tl_future_kind kind)
{
    struct tl_future *future = lua_newuserdatauv(
        L, sizeof *future, kind == TL_FUTURE_CHILD || kind == TL_FUTURE_NEXUS ? 3 : 1);
    memset(future, 0, sizeof *future);
    future->kind = (uint8_t)kind;
    future->seq = ++run->future_seq[kind];
    tl_future_set_meta(L);
    tl_slot_table(L, run, TL_SLOT_PENDING);
    lua_pushvalue(L, -2);
    lua_rawseti(L, -2, pending_key(kind, future->seq));
    lua_pop(L, 1);
    return future;
}

struct tl_future *tl_future_find(lua_State *L, struct tl_lua_run *run, enum tl_future_kind kind,
                                 uint32_t seq)
{
    tl_slot_table(L, run, TL_SLOT_PENDING);
    lua_rawgeti(L, -1, pending_key(kind, seq));
    lua_remove(L, -2);
    struct tl_future *future = lua_touserdata(L, -1);
    if (!future) {
        lua_pop(L, 1);
    }
    return future;
}

void tl_future_unlist(lua_State *L, struct tl_lua_run *run, const struct tl_future *future)
{
    tl_slot_table(L, run, TL_SLOT_PENDING);
    lua_pushnil(L);
    lua_rawseti(L, -2, pending_key((enum tl_future_kind)future->kind, future->seq));
    lua_pop(L, 1);
}

void tl_future_relist(lua_State *L, struct tl_lua_run *run, struct tl_future *future)
{
    future->seq = ++run->future_seq[TL_FUTURE_ACTIVITY];
    tl_slot_table(L, run, TL_SLOT_PENDING);
    lua_insert(L, -2);
    lua_rawseti(L, -2, pending_key((enum tl_future_kind)future->kind, future->seq));
    lua_pop(L, 1);
}

/* Pushes the userdata of a pending future. */
static void push_future(lua_State *L, struct tl_lua_run *run, struct tl_future *future)
{
    if (future->kind == TL_FUTURE_FIBER) {
        tl_fiber_push(L, run, (struct tl_fiber *)future);
    } else {
        TL_ASSERT(tl_future_find(L, run, (enum tl_future_kind)future->kind, future->seq));
    }
}

void tl_future_resolve(lua_State *L, struct tl_lua_run *run, struct tl_future *future, bool failed,
                       int n)
{
    if (n > 1) {
        lua_createtable(L, n, 1);
        lua_insert(L, -n - 1);
        for (int i = n; i >= 1; i--) {
            lua_rawseti(L, -i - 1, i);
        }
        lua_pushinteger(L, n);
        lua_setfield(L, -2, "n");
        future->several = true;
    } else if (n == 0) {
        lua_pushnil(L);
    }
    push_future(L, run, future);
    lua_insert(L, -2);
    lua_setiuservalue(L, -2, 1);
    if (future->kind != TL_FUTURE_FIBER) {
        tl_slot_table(L, run, TL_SLOT_PENDING);
        lua_pushnil(L);
        lua_rawseti(L, -2, pending_key((enum tl_future_kind)future->kind, future->seq));
        lua_pop(L, 1);
        tl_event_groups_forget(L);
    }
    future->state = failed ? TL_FUTURE_FAILED : TL_FUTURE_DONE;
    future->done_order = ++run->done_seq;
    while (future->waits) {
        tl_fiber_wake(run, future->waits->fiber, TL_WAKE_FUTURE);
    }
    lua_pop(L, 1); /* nothing looked at the future's memory after this */
}

int tl_future_values(lua_State *L, int index)
{
    struct tl_future *future = tl_future_check(L, index);
    lua_getiuservalue(L, index, 1);
    if (future->state == TL_FUTURE_FAILED) {
        return lua_error(L);
    }
    if (!future->several) {
        return 1;
    }
    int list = lua_gettop(L);
    lua_getfield(L, list, "n");
    int n = (int)lua_tointeger(L, -1);
    lua_pop(L, 1);
    luaL_checkstack(L, n, "too many results");
    for (int i = 1; i <= n; i++) {
        lua_rawgeti(L, list, i);
    }
    return n;
}

/* --- cancelling ------------------------------------------------------------------------------- */

static void cancel_by_command(lua_State *L, struct tl_future *future, enum tl_cmd_type type,
                              struct tl_str reason)
{
    if (!future->cancel_requested) {
        future->cancel_requested = true;
        struct tl_str kept = {NULL, 0};
        if (reason.n) {
            kept = tl_arena_str(tl_cmd_arena(L), reason);
            tl_cmd_need(L, (void *)(uintptr_t)kept.p);
        }
        struct tl_event_groups groups = tl_event_groups_kept(L, future);
        struct tl_cmd *cmd = tl_cmd_new(L, type);
        cmd->groups = groups;
        cmd->seq = future->seq;
        cmd->cancellation = (enum tl_cancellation_type)future->cancellation;
        cmd->u.reason = kept;
    }
}

void tl_future_cancel_because(lua_State *L, struct tl_lua_run *run, struct tl_future *future,
                              struct tl_str reason)
{
    if (future->state != TL_FUTURE_PENDING) {
        return;
    }
    switch ((enum tl_future_kind)future->kind) {
    case TL_FUTURE_FIBER:
        tl_fiber_cancel(L, run, (struct tl_fiber *)future);
        break;
    case TL_FUTURE_TIMER:
        cancel_by_command(L, future, TL_CMD_CANCEL_TIMER, reason);
        tl_vm_push_error(L, "CancelledError", "the timer was cancelled");
        tl_future_resolve(L, run, future, true, 1);
        break;
    case TL_FUTURE_USER:
        tl_vm_push_error(L, "CancelledError", "the future was cancelled");
        tl_future_resolve(L, run, future, true, 1);
        break;
    case TL_FUTURE_ACTIVITY:
        if (future->local) {
            tl_wf_cancel_local(L, run, future);
        } else {
            cancel_by_command(L, future, TL_CMD_REQUEST_CANCEL_ACTIVITY, reason);
        }
        break;
    case TL_FUTURE_CHILD:
        cancel_by_command(L, future, TL_CMD_CANCEL_CHILD, reason);
        break;
    case TL_FUTURE_CHILD_START:
        future = tl_future_find(L, run, TL_FUTURE_CHILD, future->seq);
        if (future) {
            cancel_by_command(L, future, TL_CMD_CANCEL_CHILD, reason);
            lua_pop(L, 1);
        }
        break;
    case TL_FUTURE_NEXUS:
        cancel_by_command(L, future, TL_CMD_CANCEL_NEXUS, reason);
        break;
    case TL_FUTURE_NEXUS_START:
        future = tl_future_find(L, run, TL_FUTURE_NEXUS, future->seq);
        if (future) {
            cancel_by_command(L, future, TL_CMD_CANCEL_NEXUS, reason);
            lua_pop(L, 1);
        }
        break;
    case TL_FUTURE_SIGNAL:
        cancel_by_command(L, future, TL_CMD_CANCEL_SIGNAL, reason);
        break;
    case TL_FUTURE_CANCEL: /* cannot be called back */
    case TL_FUTURE_KIND_COUNT:
        break;
    }
}

void tl_future_cancel(lua_State *L, struct tl_lua_run *run, struct tl_future *future)
{
    tl_future_cancel_because(L, run, future, (struct tl_str){NULL, 0});
}
/* --- awaiting one ----------------------------------------------------------------------------- */

int tl_future_raise_cancelled(lua_State *L, int index)
{
    lua_getiuservalue(L, index, 1);
    if (tl_vm_error_has(L, -1, "CancelledError")) {
        tl_vm_push_error(L, "CancelledError", "cancelled");
        lua_insert(L, -2);
        lua_setfield(L, -2, "cause");
    }
    return lua_error(L);
}

static int future_awaited(lua_State *L, int status, lua_KContext ctx)
{
    struct tl_fiber *f = tl_run_of(L)->current;
    struct tl_future *future = tl_future_check(L, 1);
    bool through = f->cancel_through;
    (void)status;
    (void)ctx;
    f->forwards = f->cancel_through = false;
    enum tl_wake reason = tl_await_end(L);
    if (reason == TL_WAKE_CANCEL) {
        return tl_await_raise_cancelled(L);
    }
    if (through && future->state == TL_FUTURE_FAILED) {
        return tl_future_raise_cancelled(L, 1);
    }
    if (through && (future->kind == TL_FUTURE_SIGNAL || future->kind == TL_FUTURE_CANCEL)) {
        f->cancel_pending = true; /* it had left already: the next await hears of it */
    }
    return tl_future_values(L, 1);
}

int tl_future_await(lua_State *L)
{
    struct tl_lua_run *run = tl_run_of(L);
    struct tl_future *future = tl_future_check(L, 1);
    lua_settop(L, 1);
    if (future->state != TL_FUTURE_PENDING) {
        return tl_future_values(L, 1);
    }
    tl_await_check(L, "future:result");
    if (run->current == (struct tl_fiber *)future) {
        return luaL_error(L, "a coroutine cannot wait for its own result");
    }
    tl_await_room(L, 1);
    tl_await_add(L, future);
    run->current->forwards = true;
    return tl_await_yield(L, 0, future_awaited);
}
