/* The Lua state of a run: made with its own heap, entered under a budget, abandoned by longjmp when
 * the budget or the memory is spent (no pcall of the script can catch that).
 * Thread: the run's. Owner: the run record owns heap and state. */
#include "luart/run_int.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/world.h"

enum { STEPS_PER_HOOK = 1000 };

/* --- abandoning ------------------------------------------------------------------------------- */

void tl_state_where(lua_State *L, char *out, size_t cap)
{
    lua_Debug ar;
    out[0] = '\0';
    for (int level = 0; lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Sl", &ar);
        if (ar.currentline > 0) {
            snprintf(out, cap, "%s:%d", ar.short_src, ar.currentline);
            return;
        }
    }
}

/* Leaves the run for ever. L tells where it was; may be NULL. Does not return. */
static _Noreturn void abandon(struct tl_lua_run *run, lua_State *L, tl_rc rc)
{
    TL_ASSERT(run->abandon);
    run->abandon_rc = rc;
    run->abandon_where[0] = '\0';
    if (L) {
        tl_state_where(L, run->abandon_where, sizeof run->abandon_where);
    }
    longjmp(*run->abandon, 1);
}

static void on_exhausted(void *ud)
{
    struct tl_lua_run *run = ud;
    if (run->abandon && !TL_WITHOUT(27)) {
        abandon(run, run->running, TL_EMEMORY);
    }
}

static void on_hook(lua_State *L, lua_Debug *ar)
{
    struct tl_lua_run *run = tl_run_of(L);
    if (atomic_load_explicit(&run->expired, memory_order_relaxed)) {
        abandon(run, L, TL_EDEADLOCK);
    }
    if (run->config.line && ar->event == LUA_HOOKLINE) {
        lua_getinfo(L, "S", ar);
        run->config.line(run->config.line_ud, ar->short_src, ar->currentline);
        return;
    }
    if (run->config.steps_max == 0) {
        lua_sethook(L, NULL, 0, 0); /* of an activation that ended in time */
        return;
    }
    run->steps += STEPS_PER_HOOK;
    if (run->steps > run->config.steps_max) {
        if (TL_WITHOUT(25)) {
            run->steps = 0;
            luaL_error(L, "over the budget");
        }
        abandon(run, L, TL_EDEADLOCK);
    }
}

/* An error that nothing protects: the message is all that is left of the run. */
static int on_panic(lua_State *L)
{
    struct tl_lua_run *run = tl_run_of(L);
    const char *message = lua_tostring(L, -1);
    if (run->task_error) {
        tl_error_set(run->task_error, TL_ESCRIPT, "%s", message ? message : "error of no text");
    }
    abandon(run, L, TL_ESCRIPT);
}

void tl_state_tick(lua_State *L, uint32_t steps)
{
    struct tl_lua_run *run = tl_run_of(L);
    if (TL_WITHOUT(24)) {
        return;
    }
    if (atomic_load_explicit(&run->expired, memory_order_relaxed)) {
        abandon(run, L, TL_EDEADLOCK);
    }
    if (run->config.steps_max) {
        run->steps += steps;
        if (run->steps > run->config.steps_max) {
            abandon(run, L, TL_EDEADLOCK);
        }
    }
}

lua_State *tl_state_switch(struct tl_lua_run *run, lua_State *co)
{
    lua_State *before = run->running;
    run->running = co;
    /* The signal hooks what runs at that moment; what runs later is hooked here. */
    if (co && atomic_load_explicit(&run->expired, memory_order_relaxed)) {
        lua_sethook(co, on_hook, LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
    }
    return before;
}

/* --- entering --------------------------------------------------------------------------------- */

/* watch is NULL where nothing measures. */
static tl_rc abandoned(struct tl_lua_run *run, const struct tl_watch *watch, struct tl_error *err)
{
    const char *where = run->abandon_where[0] ? run->abandon_where : "the script";
    if (run->abandon_rc == TL_EDEADLOCK && watch) {
        return tl_error_set(err, TL_EDEADLOCK,
                            "%s: potential deadlock: the workflow did not yield within its CPU "
                            "budget (it had %lld ms of a budget of %lld ms); move long "
                            "computations into activities",
                            where, (long long)(tl_watch_spent_ns(watch) / TL_NS_PER_MS),
                            (long long)(run->config.cpu_budget_ns / TL_NS_PER_MS));
    }
    if (run->abandon_rc == TL_EDEADLOCK) {
        return tl_error_set(err, TL_EDEADLOCK,
                            "%s: potential deadlock: the workflow did not yield within its CPU "
                            "budget; move long computations into activities",
                            where);
    }
    if (run->abandon_rc == TL_EMEMORY) {
        return tl_error_set(err, TL_EMEMORY,
                            "%s: the workflow needs more memory than its limit of %zu bytes", where,
                            run->heap.used_max);
    }
    return run->abandon_rc; /* on_panic has set the message */
}

tl_rc tl_state_enter(struct tl_lua_run *run, tl_rc (*fn)(struct tl_lua_run *run, void *ud),
                     void *ud, struct tl_error *err)
{
    jmp_buf target;
    struct tl_watch watch;
    struct tl_error own;
    volatile bool watched = run->config.watchdog && run->config.cpu_budget_ns > 0;
    struct tl_error *volatile message = err ? err : &own;
    volatile tl_rc rc;
    if (run->dead) {
        return tl_error_set(err, TL_EPRECONDITION, "the run was abandoned");
    }
    TL_ASSERT(!run->abandon);
    run->steps = 0;
    run->task_error = message;
    run->task_rc = TL_OK;
    atomic_store(&run->expired, false);
    if (watched) {
        watch.expired = &run->expired;
        watch.running = &run->running;
        watch.hook = on_hook;
        tl_watch_begin(run->config.watchdog, &watch, run->config.cpu_budget_ns);
    }
    if (setjmp(target) == 0) {
        run->abandon = &target;
        tl_vm_use_files(&run->files);
        tl_state_switch(run, run->main);
        rc = fn(run, ud);
    } else {
        run->dead = true;
        rc = abandoned(run, watched ? &watch : NULL, message);
    }
    run->running = NULL;
    run->abandon = NULL;
    tl_vm_use_files(NULL);
    if (watched) {
        tl_watch_end(run->config.watchdog, &watch);
    }
    run->task_error = NULL;
    return rc;
}

/* --- slots ------------------------------------------------------------------------------------ */

void tl_slot_push(lua_State *L, struct tl_lua_run *run, enum tl_slot slot)
{
    if (L == run->main) {
        lua_pushvalue(L, (int)slot);
        return;
    }
    luaL_checkstack(L, 1, NULL);
    lua_pushvalue(run->main, (int)slot);
    lua_xmove(run->main, L, 1);
}

void tl_slot_set(lua_State *L, struct tl_lua_run *run, enum tl_slot slot)
{
    if (L != run->main) {
        lua_xmove(L, run->main, 1);
    }
    lua_replace(run->main, (int)slot);
}

void tl_slot_table(lua_State *L, struct tl_lua_run *run, enum tl_slot slot)
{
    tl_slot_push(L, run, slot);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        tl_slot_set(L, run, slot);
    }
}

lua_State *tl_state_aux(struct tl_lua_run *run)
{
    lua_State *co = lua_tothread(run->main, TL_SLOT_AUX);
    if (!co) {
        co = lua_newthread(run->main);
        lua_replace(run->main, TL_SLOT_AUX);
    }
    return co;
}

/* --- making ----------------------------------------------------------------------------------- */

bool tl_state_copy_text(struct tl_lua_run *run, struct tl_str *s)
{
    char *to = tl_vm_heap_alloc(&run->heap, NULL, 0, s->n + 1);
    if (!to) {
        return false;
    }
    if (s->n) {
        memcpy(to, s->p, s->n);
    }
    to[s->n] = '\0';
    s->p = to;
    return true;
}

static tl_rc open_state(struct tl_lua_run *run, void *ud)
{
    lua_State *L = run->main;
    (void)ud;
    luaL_checkstack(L, TL_SLOT_COUNT + 10, NULL);
    lua_settop(L, TL_SLOT_COUNT);
    tl_sandbox_open(L, run);
    return TL_OK;
}

struct tl_lua_run *tl_state_new(const struct tl_lua_run_config *config, const lua_State *code,
                                struct tl_error *err)
{
    struct tl_lua_run *run = TL_NEW(struct tl_lua_run);
    size_t limit =
        config->memory_bytes_max ? config->memory_bytes_max : (size_t)tl_limit_run_memory_bytes;
    tl_vm_heap_init(&run->heap, limit);
    run->heap.exhausted = on_exhausted;
    run->heap.exhausted_ud = run;
    run->config = *config;
    run->rng_now = &run->rng;
    TL_ASSERT(((uintptr_t)run & TL_CO_FLAGS) == 0);
    struct tl_str *texts[] = {
        &run->config.namespace_, &run->config.task_queue,          &run->config.workflow_id,
        &run->config.run_id,     &run->config.failure_error_types, &run->config.deployment_name,
        &run->config.build_id};
    bool ok = true;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        ok = ok && tl_state_copy_text(run, texts[i]);
    }
    run->main = ok ? tl_vm_newstate(tl_vm_heap_alloc, &run->heap, code) : NULL;
    if (!run->main || !tl_vm_seal(run->main)) {
        tl_error_set(err, TL_EMEMORY, "a workflow state needs more than %zu bytes", limit);
        tl_state_free(run);
        return NULL;
    }
    *tl_co_word(run->main) = (uintptr_t)run;
    lua_atpanic(run->main, on_panic);
    if (config->steps_max || config->line) {
        int mask = (config->steps_max ? LUA_MASKCOUNT : 0) | (config->line ? LUA_MASKLINE : 0);
        lua_sethook(run->main, on_hook, mask, STEPS_PER_HOOK);
    }
    if (tl_state_enter(run, open_state, NULL, err) != TL_OK) {
        tl_state_free(run);
        return NULL;
    }
    return run;
}

void tl_state_free(struct tl_lua_run *run)
{
    if (run) {
#ifdef TL_SANDBOX_SWITCH
        if (TL_WITHOUT(17)) {
            tl_without_close(run);
        }
#endif
        tl_vm_close_files(&run->files);
        tl_vm_heap_drop(&run->heap);
        tl_mem_free(run);
    }
}

void tl_lua_thread_end(void)
{
    tl_det_thread_end();
}
