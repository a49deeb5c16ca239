/* Fibers (coroutines of the workflow) and futures: who waits for what, and who runs next. Ready
 * fibers run first in, first out; conditions are looked at when none is ready, in the order in
 * which they were awaited.
 * Thread: the run's. Owner: fibers and futures are userdata in the run's heap, kept by the tables in
 * TL_SLOT_FIBERS and TL_SLOT_PENDING while anything can still happen to them. */
#include "luart/run_int.h"
#include "luart/wf.h"

#include <string.h>

#include "base/assert.h"
#include "luart/wf.h"

#define META_FUTURE "workflow.future"

/* --- queues ----------------------------------------------------------------------------------- */

static void make_ready(struct tl_lua_run *run, struct tl_fiber *f)
{
    f->status = TL_FIBER_READY;
    f->ready_next = NULL;
    if (run->ready_last) {
        run->ready_last->ready_next = f;
    } else {
        run->ready = f;
    }
    run->ready_last = f;
}

static struct tl_fiber *take_ready(struct tl_lua_run *run)
{
    struct tl_fiber *f = run->ready;
    if (f) {
        run->ready = f->ready_next;
        if (!run->ready) {
            run->ready_last = NULL;
        }
    }
    return f;
}

static void cond_unlink(struct tl_lua_run *run, struct tl_fiber *f)
{
    if (!f->in_cond) {
        return;
    }
    f->in_cond = false;
    *(f->cond_prev ? &f->cond_prev->cond_next : &run->conds) = f->cond_next;
    *(f->cond_next ? &f->cond_next->cond_prev : &run->conds_last) = f->cond_prev;
}

static void cond_link(struct tl_lua_run *run, struct tl_fiber *f)
{
    f->in_cond = true;
    f->cond_next = NULL;
    f->cond_prev = run->conds_last;
    *(f->cond_prev ? &f->cond_prev->cond_next : &run->conds) = f;
    run->conds_last = f;
}

static void wait_unlink(struct tl_wait *w)
{
    if (w->future) {
        *(w->prev ? &w->prev->next : &w->future->waits) = w->next;
        if (w->next) {
            w->next->prev = w->prev;
        }
        w->future = NULL;
    }
}

static void wake(struct tl_lua_run *run, struct tl_fiber *f, enum tl_wake reason)
{
    for (int i = 0; i < f->wait_count; i++) {
        wait_unlink(&f->waits[i]);
    }
    f->wait_count = 0;
    cond_unlink(run, f);
    f->wake = (uint8_t)reason;
    make_ready(run, f);
}

/* --- futures ---------------------------------------------------------------------------------- */

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

static void set_future_meta(lua_State *L)
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
    struct tl_future *future = lua_newuserdatauv(L, sizeof *future,
                                                 kind == TL_FUTURE_CHILD   ? 3
                                                 : kind == TL_FUTURE_NEXUS ? 2
                                                                           : 1);
    memset(future, 0, sizeof *future);
    future->kind = (uint8_t)kind;
    future->seq = ++run->future_seq[kind];
    set_future_meta(L);
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

void tl_fiber_push(lua_State *L, struct tl_lua_run *run, struct tl_fiber *f)
{
    tl_slot_table(L, run, TL_SLOT_FIBERS);
    lua_rawgeti(L, -1, f->future.seq);
    lua_remove(L, -2);
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
        wake(run, future->waits->fiber, TL_WAKE_FUTURE);
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

/* --- fibers ----------------------------------------------------------------------------------- */

static int fiber_after(lua_State *L, int status, lua_KContext ctx)
{
    struct tl_lua_run *run = tl_run_of(L);
    (void)ctx;
    tl_run_fiber_ended(L, run, run->current, status != LUA_OK && status != LUA_YIELD, 2);
    return 0;
}

/* First function of each fiber's coroutine: everything runs under a protected call that may yield,
 * so that errors get a traceback and __close handlers may await. */
static int fiber_body(lua_State *L)
{
    lua_pushcfunction(L, tl_run_traceback);
    lua_insert(L, 1);
    int status = lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 1, 0, fiber_after);
    return fiber_after(L, status, 0);
}

struct tl_fiber *tl_fiber_new(lua_State *L, struct tl_lua_run *run, enum tl_fiber_kind kind,
                              int nargs, const char *name)
{
    luaL_checkstack(L, 8, NULL);
    struct tl_fiber *f = lua_newuserdatauv(L, sizeof *f, 4);
    memset(f, 0, sizeof *f);
    set_future_meta(L);
    f->future.kind = TL_FUTURE_FIBER;
    f->future.seq = ++run->fiber_seq;
    f->kind = (uint8_t)kind;
    f->waits = f->wait_two;
    f->co = lua_newthread(L);
    lua_setiuservalue(L, -2, 2);
    if (name) {
        lua_pushstring(L, name);
        lua_setiuservalue(L, -2, 3);
    }
    if (kind == TL_FIBER_SPAWN && run->current) { /* still part of the update being handled */
        tl_fiber_push(L, run, run->current);
        lua_getiuservalue(L, -1, TL_FIBER_UPDATE_INFO);
        lua_setiuservalue(L, -3, TL_FIBER_UPDATE_INFO);
        lua_pop(L, 1);
        f->signal_event_id = run->current->signal_event_id;
        tl_event_groups_inherit(L, f->co);
    }
    tl_slot_table(L, run, TL_SLOT_FIBERS);
    lua_pushvalue(L, -2);
    lua_rawseti(L, -2, f->future.seq);
    lua_pop(L, 1);
    lua_insert(L, -nargs - 2);
    lua_pushcfunction(f->co, fiber_body);
    if (!lua_checkstack(f->co, nargs + 4)) {
        luaL_error(L, "too many arguments");
    }
    lua_xmove(L, f->co, nargs + 1);
    f->nargs = nargs + 1;
    f->prev = run->fibers_last;
    *(f->prev ? &f->prev->next : &run->fibers) = f;
    run->fibers_last = f;
    make_ready(run, f);
    return f;
}

static void fiber_drop(struct tl_lua_run *run, struct tl_fiber *f)
{
    lua_State *L = run->main;
    f->status = TL_FIBER_DONE;
    *(f->prev ? &f->prev->next : &run->fibers) = f->next;
    *(f->next ? &f->next->prev : &run->fibers_last) = f->prev;
    tl_fiber_push(L, run, f);
    lua_getiuservalue(L, -1, 2); /* the coroutine */
    tl_event_groups_forget(L);
    lua_pop(L, 1);
    lua_pushnil(L);
    lua_setiuservalue(L, -2, 2);
    tl_slot_table(L, run, TL_SLOT_FIBERS);
    lua_pushnil(L);
    lua_rawseti(L, -2, f->future.seq);
    lua_pop(L, 2);
}

void tl_fiber_cancel(lua_State *L, struct tl_lua_run *run, struct tl_fiber *f)
{
    if (f->status == TL_FIBER_DONE) {
        return;
    }
    if (f->status != TL_FIBER_BLOCKED || f->shield) {
        f->cancel_pending = true;
        return;
    }
    if (f->forwards) {
        struct tl_future *future = f->waits[0].future;
        f->cancel_through = true;
        tl_future_cancel(L, run, future);
        return;
    }
    wake(run, f, TL_WAKE_CANCEL);
}

/* --- awaiting --------------------------------------------------------------------------------- */

void tl_command_check(lua_State *L, const char *what)
{
    struct tl_lua_run *run = tl_run_of(L);
    if (run->phase != TL_PHASE_RUN || !run->out) {
        luaL_error(L,
                   "%s cannot be used while a module is loaded, only inside a workflow "
                   "function",
                   what);
    }
    if (run->read_only) {
        luaL_error(L, "%s cannot be used in %s, which must not change the workflow", what,
                   run->read_only);
    }
}

int tl_await_raise_cancelled(lua_State *L)
{
    tl_vm_push_error(L, "CancelledError", "cancelled");
    return lua_error(L);
}

void tl_await_check(lua_State *L, const char *what)
{
    struct tl_lua_run *run = tl_run_of(L);
    tl_command_check(L, what);
    struct tl_fiber *f = run->current;
    if (!f || !lua_isyieldable(L)) {
        luaL_error(L,
                   "%s cannot wait here: inside a comparator of table.sort, a callback of "
                   "string.gsub, a metamethod called from C, an init function or a module being "
                   "loaded nothing can be awaited",
                   what);
    }
    if (f->cancel_pending && !f->shield) {
        f->cancel_pending = false;
        tl_await_raise_cancelled(L);
    }
}

void tl_await_room(lua_State *L, int n)
{
    struct tl_fiber *f = tl_run_of(L)->current;
    f->wait_count = 0;
    f->waits = f->wait_two;
    if (n > 2) {
        size_t bytes = (size_t)n * sizeof(struct tl_wait);
        f->waits = lua_newuserdatauv(L, bytes, 0);
        memset(f->waits, 0, bytes);
    }
}

void tl_await_add(lua_State *L, struct tl_future *future)
{
    struct tl_fiber *f = tl_run_of(L)->current;
    struct tl_wait *w = &f->waits[f->wait_count++];
    struct tl_wait **last = &future->waits;
    *w = (struct tl_wait){f, future, NULL, NULL};
    while (*last) { /* few wait for one future */
        w->prev = *last;
        last = &(*last)->next;
    }
    *last = w;
}

void tl_await_condition(lua_State *L, int cond_index,
                        bool (*cond_fn)(struct tl_lua_run *run, struct tl_fiber *f), void *ud)
{
    struct tl_lua_run *run = tl_run_of(L);
    struct tl_fiber *f = run->current;
    f->cond_index = cond_index;
    f->cond_fn = cond_fn;
    f->cond_ud = ud;
    cond_link(run, f);
}

void tl_await_turn(lua_State *L)
{
    struct tl_lua_run *run = tl_run_of(L);
    run->current->wait_count = 0;
    wake(run, run->current, TL_WAKE_NONE);
}

int tl_await_yield(lua_State *L, lua_KContext ctx, lua_KFunction k)
{
    struct tl_fiber *f = tl_run_of(L)->current;
    if (f->status == TL_FIBER_RUNNING) {
        f->status = TL_FIBER_BLOCKED;
    }
    f->await_co = L;
    tl_co_set_awaiting(L, true);
    return lua_yieldk(L, 0, ctx, k);
}

enum tl_wake tl_await_end(lua_State *L)
{
    struct tl_fiber *f = tl_run_of(L)->current;
    enum tl_wake reason = (enum tl_wake)f->wake;
    tl_co_set_awaiting(L, false);
    f->await_co = NULL;
    f->wake = TL_WAKE_NONE;
    return reason;
}

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

/* --- running ---------------------------------------------------------------------------------- */

/* Evaluates what f waits for. True: wake it (run->current's error is in its user value). */
static bool cond_holds(struct tl_lua_run *run, struct tl_fiber *f, enum tl_wake *reason)
{
    *reason = TL_WAKE_CONDITION;
    if (!f->cond_index) {
        return f->cond_fn && f->cond_fn(run, f);
    }
    if (!lua_checkstack(f->await_co, 1)) {
        return false;
    }
    lua_State *L = tl_state_aux(run);
    lua_pushvalue(f->await_co, f->cond_index);
    lua_xmove(f->await_co, L, 1);
    const char *before = run->read_only;
    run->read_only = "a predicate of wait_condition";
    tl_state_switch(run, L);
    int status = lua_pcall(L, 0, 1, 0);
    tl_state_switch(run, run->main);
    run->read_only = before;
    if (status != LUA_OK) {
        *reason = TL_WAKE_ERROR;
        tl_fiber_push(L, run, f);
        lua_insert(L, -2);
        lua_setiuservalue(L, -2, 1);
        lua_pop(L, 1);
        return true;
    }
    bool holds = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return holds;
}

static bool check_conditions(struct tl_lua_run *run)
{
    bool any = false;
    for (struct tl_fiber *f = run->conds, *next; f; f = next) {
        enum tl_wake reason;
        next = f->cond_next;
        if (cond_holds(run, f, &reason)) {
            wake(run, f, reason);
            any = true;
        }
    }
    return any;
}

/* Always from the outermost level: how deep C calls may nest is then the same everywhere. */
static int resume(struct tl_lua_run *run, lua_State *co, int nargs, int *n)
{
    (void)run;
#ifdef TL_SANDBOX_SWITCH
    if (TL_WITHOUT(28)) {
        static int resumed;
        int calls = resumed++ % 97;
        tl_vm_nest(run->main, calls);
        int status = lua_resume(co, run->main, nargs, n);
        tl_vm_nest(run->main, -calls);
        return status;
    }
#endif
    return lua_resume(co, NULL, nargs, n);
}

static void run_fiber(struct tl_lua_run *run, struct tl_fiber *f)
{
    int n = 0, nargs = f->nargs;
    if (!lua_isnil(run->main, TL_SLOT_NEXT)) {
        lua_pushnil(run->main);
        lua_replace(run->main, TL_SLOT_NEXT);
    }
    run->current = f;
    f->status = TL_FIBER_RUNNING;
    f->nargs = 0;
    tl_state_switch(run, f->co);
    int status = resume(run, f->co, nargs, &n);
    tl_state_switch(run, run->main);
    run->current = NULL;
    if (status == LUA_YIELD) {
        TL_ASSERT(f->status != TL_FIBER_RUNNING);
        return;
    }
    if (status != LUA_OK) {
        /* Not the script's function failed (that is caught) but what came after it: a result that
         * has no JSON form. */
        lua_xmove(f->co, run->main, 1);
        run->current = f;
        tl_run_fiber_ended(run->main, run, f, true, lua_gettop(run->main));
        run->current = NULL;
        lua_settop(run->main, TL_SLOT_COUNT);
    }
    fiber_drop(run, f);
}

/* The workflow has ended. Updates that came with this task are still answered as far as they get
 * without waiting; whatever else is left runs no more. */
static void run_last(struct tl_lua_run *run)
{
    for (struct tl_fiber *f; run->task_rc == TL_OK && (f = take_ready(run));) {
        if (f->kind == TL_FIBER_UPDATE) {
            run_fiber(run, f);
        }
    }
    tl_handlers_warn_unfinished(run->main, run);
}

void tl_sched_run_ready(struct tl_lua_run *run)
{
    for (struct tl_fiber *f; run->task_rc == TL_OK && (f = take_ready(run));) {
        run_fiber(run, f);
        if (run->finished && !run->read_only) {
            run_last(run);
            return;
        }
    }
}

void tl_sched_run(struct tl_lua_run *run)
{
    while (!run->finished && run->task_rc == TL_OK) {
        tl_sched_run_ready(run);
        if (run->finished || run->task_rc != TL_OK || !check_conditions(run)) {
            return;
        }
    }
}
