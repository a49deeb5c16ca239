/* Fibers (coroutines of the workflow): who waits for what, and who runs next. Ready fibers run first
 * in, first out; conditions are looked at when none is ready, in the order in which they were awaited.
 * Thread: the run's. Owner: fibers and futures are userdata in the run's heap, kept by the tables in
 * TL_SLOT_FIBERS and TL_SLOT_PENDING while anything can still happen to them. */
#include "luart/run_int.h"
#include "luart/wf.h"

#include <string.h>

#include "base/assert.h"

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

void tl_fiber_wake(struct tl_lua_run *run, struct tl_fiber *f, enum tl_wake reason)
{
    for (int i = 0; i < f->wait_count; i++) {
        wait_unlink(&f->waits[i]);
    }
    f->wait_count = 0;
    cond_unlink(run, f);
    f->wake = (uint8_t)reason;
    make_ready(run, f);
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

void tl_fiber_push(lua_State *L, struct tl_lua_run *run, struct tl_fiber *f)
{
    tl_slot_table(L, run, TL_SLOT_FIBERS);
    lua_rawgeti(L, -1, f->future.seq);
    lua_remove(L, -2);
}

struct tl_fiber *tl_fiber_new(lua_State *L, struct tl_lua_run *run, enum tl_fiber_kind kind,
                              int nargs, const char *name)
{
    luaL_checkstack(L, 8, NULL);
    struct tl_fiber *f = lua_newuserdatauv(L, sizeof *f, 4);
    memset(f, 0, sizeof *f);
    tl_future_set_meta(L);
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
    tl_fiber_wake(run, f, TL_WAKE_CANCEL);
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
    tl_fiber_wake(run, run->current, TL_WAKE_NONE);
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
            tl_fiber_wake(run, f, reason);
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
