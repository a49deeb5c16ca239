/* Jobs: the start of the workflow function, timers, activities, cancellation. Signals are in
 * handlers.c, queries in queries.c.
 * Thread: the run's. Owner: what jobs point to is the engine's; values are copied into Lua. */
#include "luart/intercept.h"
#include "luart/run_jobs.h"

#include <stdio.h>
#include <string.h>

#include "proto/pb.h"

/* --- init ------------------------------------------------------------------------------------- */

static int all_results(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    return lua_gettop(L) - (int)ctx;
}

static int all_results_above(lua_State *L, int status, lua_KContext ctx)
{
    return all_results(L, status, ctx >> 1);
}

/* The workflow's function is at index 1, its arguments behind; the input is { type =, args =, headers = }.
 * The dynamic workflow gets the type before its arguments. */
static int intercept_main(lua_State *L, struct tl_lua_run *run, int nargs)
{
    bool dynamic = run->type->dynamic;
    const TpHistory__WorkflowExecutionStartedEventAttributes *a = tl_run_started(L);
    tl_intercept_push_inbound(L, "type", run->workflow_type, nargs - dynamic, a->header);
    lua_pushvalue(L, 1);
    tl_intercept_last(L, dynamic ? "type" : NULL);
    lua_insert(L, 1);
    lua_replace(L, 2);
    lua_settop(L, 2);
    lua_insert(L, 1); /* the input below the last function */
    return tl_intercept_call(L, TL_HOOK_EXECUTE_WORKFLOW, 0, all_results_above);
}

/* First function of the main fiber; its arguments are the workflow's. Loads the module, runs init,
 * then the workflow function. */
static int main_entry(lua_State *L)
{
    struct tl_lua_run *run = tl_run_of(L);
    if (run->type->dynamic) {
        lua_pushlstring(L, run->workflow_type.p, run->workflow_type.n);
        lua_insert(L, 1);
    }
    int nargs = lua_gettop(L);
    run->phase = TL_PHASE_LOAD;
    tl_intercept_load(L, run);
    tl_module_require(L, run, run->type->module);
    run->phase = TL_PHASE_RUN;
    lua_settop(L, nargs);
    tl_slot_push(L, run, TL_SLOT_RUN);
    if (!lua_isfunction(L, -1)) {
        return luaL_error(L, "%s does not define the workflow \"%s\" when it is loaded again",
                          run->type->file.p, run->type->type.p);
    }
    tl_slot_push(L, run, TL_SLOT_DEFINITION);
    bool with_self = false;
    if (lua_istable(L, -1)) {
        int definition = lua_gettop(L);
        with_self = lua_getfield(L, definition, "init") == LUA_TFUNCTION;
        if (with_self) {
            luaL_checkstack(L, nargs, "too many arguments");
            for (int i = 1; i <= nargs; i++) {
                lua_pushvalue(L, i);
            }
            lua_call(L, nargs, 1);
            tl_slot_set(L, run, TL_SLOT_SELF);
        } else {
            lua_pop(L, 1);
        }
        tl_handlers_take(L, run, definition, "signals", "dynamic_signal", TL_SLOT_SIGNALS,
                         with_self);
        tl_handlers_take(L, run, definition, "updates", "dynamic_update", TL_SLOT_UPDATES,
                         with_self);
        tl_handlers_take(L, run, definition, "queries", "dynamic_query", TL_SLOT_QUERIES,
                         with_self);
    }
    lua_pop(L, 1);
    run->started = true;
    tl_run_flush_signals(L, run);
    if (with_self) {
        lua_pushcclosure(L, tl_handler_call_with_self, 1);
    }
    lua_insert(L, 1);
    if (tl_intercept_has(L, TL_HOOK_EXECUTE_WORKFLOW)) {
        return intercept_main(L, run, nargs);
    }
    lua_callk(L, nargs, LUA_MULTRET, 0, all_results);
    return lua_gettop(L);
}

static void apply_init(struct tl_lua_run *run, const struct tl_job *job)
{
    lua_State *L = run->main;
    const TpHistory__WorkflowExecutionStartedEventAttributes *attrs = job->u.init.attrs;
    TpHistory__WorkflowExecutionStartedEventAttributes kept = *attrs;
    struct tl_str bytes;
    struct tl_error err;
    run->seed = job->u.init.seed;
    tl_rng_seed(&run->rng, run->seed);
    run->start_ns = job->u.init.start_time_ns;
    run->attempt = attrs->attempt > 0 ? attrs->attempt : 1;
    tl_converters_load(run);
    /* What info() needs later; the input goes into the function and is not kept twice. */
    kept.input = NULL;
    kept.prev_auto_reset_points = NULL;
    kept.n_completion_callbacks = 0;
    if (tl_pb_encode_arena(&kept, run->activation->arena, &bytes, &err) != TL_OK) {
        luaL_error(L, "start attributes: %s", err.message);
    }
    lua_pushlstring(L, bytes.p, bytes.n);
    tl_slot_set(L, run, TL_SLOT_STARTED);
    lua_pushcfunction(L, main_entry);
    int n = tl_vm_payloads_decode(L, attrs->input);
    tl_fiber_new(L, run, TL_FIBER_MAIN, n, NULL);
}

/* --- resolutions ------------------------------------------------------------------------------ */

static void apply_timer(struct tl_lua_run *run, uint32_t seq)
{
    struct tl_future *future = tl_future_find(run->main, run, TL_FUTURE_TIMER, seq);
    if (future && future->local) {
        tl_run_local_again(run, future);
    } else if (future) {
        tl_future_resolve(run->main, run, future, false, 0);
    }
}

static void apply_activity(struct tl_lua_run *run, const struct tl_job *job)
{
    lua_State *L = run->main;
    struct tl_future *future = tl_future_find(L, run, TL_FUTURE_ACTIVITY, job->u.activity.seq);
    if (!future) {
        return;
    }
    tl_context_recall(L);
    if (job->u.activity.status == TL_ACTIVITY_COMPLETED) {
        int n = tl_vm_payloads_decode(L, job->u.activity.result);
        tl_future_resolve(L, run, future, false, n);
        return;
    }
    if (job->u.activity.failure) {
        tl_vm_failure_decode(L, job->u.activity.failure);
    } else {
        tl_vm_push_error(L, "CancelledError", "the activity was cancelled");
    }
    tl_future_resolve(L, run, future, true, 1);
}

static void push_failure(lua_State *L, const TpFailure__Failure *failure, const char *otherwise)
{
    if (failure) {
        tl_vm_failure_decode(L, failure);
    } else {
        tl_vm_push_error(L, "CancelledError", otherwise);
    }
}

/* Ends the wait for a child's start and, unless it has started, the child's future, with the error on
 * top (popped). */
static void child_lost(struct tl_lua_run *run, uint32_t seq)
{
    lua_State *L = run->main;
    static const enum tl_future_kind kinds[] = {TL_FUTURE_CHILD_START, TL_FUTURE_CHILD};
    int error = lua_gettop(L);
    for (int i = 0; i < 2; i++) {
        struct tl_future *future = tl_future_find(L, run, kinds[i], seq);
        if (future) {
            lua_pushvalue(L, error);
            tl_future_resolve(L, run, future, true, 1);
        }
    }
    lua_settop(L, error - 1);
}

static void apply_child_started(struct tl_lua_run *run, const struct tl_job *job)
{
    lua_State *L = run->main;
    uint32_t seq = job->u.child_started.seq;
    if (job->u.child_started.status != TL_CHILD_STARTED) {
        push_failure(L, job->u.child_started.failure, "the child workflow was cancelled");
        child_lost(run, seq);
        return;
    }
    struct tl_future *child = tl_future_find(L, run, TL_FUTURE_CHILD, seq);
    if (!child) {
        return;
    }
    int handle = lua_gettop(L);
    lua_pushlstring(L, job->u.child_started.run_id.p, job->u.child_started.run_id.n);
    lua_setiuservalue(L, handle, 3);
    struct tl_future *start = tl_future_find(L, run, TL_FUTURE_CHILD_START, seq);
    if (start) {
        lua_pushvalue(L, handle);
        tl_future_resolve(L, run, start, false, 1);
    }
    lua_settop(L, handle - 1);
}

static void apply_child(struct tl_lua_run *run, const struct tl_job *job)
{
    lua_State *L = run->main;
    struct tl_future *future = tl_future_find(L, run, TL_FUTURE_CHILD, job->u.child.seq);
    if (future) {
        tl_context_recall(L);
    }
    if (job->u.child.status != TL_CHILD_COMPLETED) {
        push_failure(L, job->u.child.failure, "the child workflow was cancelled");
        child_lost(run, job->u.child.seq);
        return;
    }
    if (future) {
        int n = tl_vm_payloads_decode(L, job->u.child.result);
        tl_future_resolve(L, run, future, false, n);
    }
}

static void apply_external(struct tl_lua_run *run, const struct tl_job *job)
{
    lua_State *L = run->main;
    struct tl_future *future = tl_future_find(
        L, run, job->type == TL_JOB_SIGNAL_EXTERNAL_RESOLVED ? TL_FUTURE_SIGNAL : TL_FUTURE_CANCEL,
        job->u.external.seq);
    if (!future) {
        return;
    }
    bool failed = job->u.external.failure != NULL;
    if (failed) {
        tl_vm_failure_decode(L, job->u.external.failure);
    }
    tl_future_resolve(L, run, future, failed, failed);
}

static void apply_cancel(struct tl_lua_run *run, struct tl_str cause)
{
    run->cancel_requested = true;
    if (cause.n) {
        lua_pushlstring(run->main, cause.p, cause.n);
        tl_slot_set(run->main, run, TL_SLOT_CANCEL_REASON);
    }
    for (struct tl_fiber *f = run->fibers; f; f = f->next) {
        if (f->kind == TL_FIBER_MAIN) {
            tl_fiber_cancel(run->main, run, f);
            return;
        }
    }
}

static void apply_patch(struct tl_lua_run *run, struct tl_str id)
{
    lua_State *L = run->main;
    tl_slot_table(L, run, TL_SLOT_PATCHES);
    lua_pushlstring(L, id.p, id.n);
    lua_pushvalue(L, -1);
    if (lua_rawget(L, -3) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_pushliteral(L, "seen");
        lua_rawset(L, -3);
    }
}

/* --- all -------------------------------------------------------------------------------------- */

/* The seed of a run that was reset, and who wanted to hear of it. They can neither
 * wait nor make commands. */
static void apply_seed(struct tl_lua_run *run, uint64_t seed)
{
    lua_State *L = tl_state_aux(run);
    int top = lua_gettop(L);
    run->seed = seed;
    tl_rng_seed(&run->rng, seed);
    lua_pushcfunction(L, tl_run_traceback);
    tl_slot_push(L, run, TL_SLOT_SEED_CALLBACKS);
    for (lua_Integer i = 1; lua_istable(L, top + 2) && run->task_rc == TL_OK &&
                            lua_rawgeti(L, top + 2, i) == LUA_TFUNCTION;
         i++) {
        lua_pushinteger(L, (lua_Integer)seed);
        lua_State *before = tl_state_switch(run, L);
        run->read_only = "a callback for the random seed";
        int status = lua_pcall(L, 1, 0, top + 1);
        run->read_only = NULL;
        tl_state_switch(run, before);
        if (status != LUA_OK) {
            tl_run_fail_task(L, run, -1);
        }
        lua_settop(L, top + 2);
    }
    lua_settop(L, top);
}

void tl_run_apply_job(struct tl_lua_run *run, const struct tl_job *job)
{
    switch (job->type) {
    case TL_JOB_INIT:
        apply_init(run, job);
        break;
    case TL_JOB_PATCH:
        apply_patch(run, job->u.patch.change_id);
        break;
    case TL_JOB_VERSION:
        tl_run_apply_version(run, job->u.version.change_id, job->u.version.version);
        break;
    case TL_JOB_SIDE_EFFECT:
        tl_run_apply_side_effect(run, job->u.side_effect.id, job->u.side_effect.call,
                                 job->u.side_effect.value);
        break;
    case TL_JOB_RANDOM_SEED:
        apply_seed(run, job->u.random_seed.seed);
        break;
    case TL_JOB_SIGNAL:
        tl_run_apply_signal(run, job);
        break;
    case TL_JOB_UPDATE:
        tl_run_apply_update(run, job);
        break;
    case TL_JOB_CANCEL:
        apply_cancel(run, job->u.cancel.cause);
        break;
    case TL_JOB_TIMER_FIRED:
        apply_timer(run, job->u.timer.seq);
        break;
    case TL_JOB_ACTIVITY_RESOLVED:
        apply_activity(run, job);
        break;
    case TL_JOB_LOCAL_ACTIVITY_RESOLVED:
        tl_run_apply_local(run, job);
        break;
    case TL_JOB_CHILD_STARTED:
        apply_child_started(run, job);
        break;
    case TL_JOB_CHILD_RESOLVED:
        apply_child(run, job);
        break;
    case TL_JOB_SIGNAL_EXTERNAL_RESOLVED:
    case TL_JOB_CANCEL_EXTERNAL_RESOLVED:
        apply_external(run, job);
        break;
    case TL_JOB_NEXUS_STARTED:
        tl_run_apply_nexus_started(run, job);
        break;
    case TL_JOB_NEXUS_RESOLVED:
        tl_run_apply_nexus(run, job);
        break;
    case TL_JOB_QUERY:
        tl_run_apply_query(run, job);
        break;
    }
}
