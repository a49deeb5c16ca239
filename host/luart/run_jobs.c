/* Jobs: the start of the workflow function, signals, timers, activities, queries.
 * Thread: the run's. Owner: what jobs point to is the engine's; values are copied into Lua. */
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

/* A handler of the definition table: gets self first. Upvalue: the function. */
static int call_with_self(lua_State *L)
{
    tl_slot_push(L, tl_run_of(L), TL_SLOT_SELF);
    lua_insert(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_callk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, all_results);
    return lua_gettop(L);
}

/* Registers the handlers in field `key` of the definition at index. */
static void take_handlers(lua_State *L, struct tl_lua_run *run, int definition, const char *key,
                          enum tl_slot slot, bool with_self)
{
    lua_getfield(L, definition, key);
    if (lua_istable(L, -1)) {
        int from = lua_gettop(L);
        tl_slot_table(L, run, slot);
        lua_pushnil(L);
        while (lua_next(L, from)) {
            if (with_self) {
                lua_pushcclosure(L, call_with_self, 1);
            }
            lua_pushvalue(L, -2);
            lua_insert(L, -2);
            lua_rawset(L, from + 1);
        }
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

/* First function of the main fiber; its arguments are the workflow's. Loads the module, runs init,
 * then the workflow function. */
static int main_entry(lua_State *L)
{
    struct tl_lua_run *run = tl_run_of(L);
    int nargs = lua_gettop(L);
    run->phase = TL_PHASE_LOAD;
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
        take_handlers(L, run, definition, "signals", TL_SLOT_SIGNALS, with_self);
        take_handlers(L, run, definition, "queries", TL_SLOT_QUERIES, with_self);
    }
    lua_pop(L, 1);
    run->started = true;
    tl_run_flush_signals(L, run);
    lua_insert(L, 1);
    if (with_self) {
        tl_slot_push(L, run, TL_SLOT_SELF);
        lua_insert(L, 2);
    }
    lua_callk(L, nargs + with_self, LUA_MULTRET, 0, all_results);
    return lua_gettop(L);
}

static void apply_init(struct tl_lua_run *run, const struct tl_job *job)
{
    lua_State *L = run->main;
    const TpHistory__WorkflowExecutionStartedEventAttributes *attrs = job->u.init.attrs;
    TpHistory__WorkflowExecutionStartedEventAttributes kept = *attrs;
    struct tl_str bytes;
    struct tl_error err;
    tl_rng_seed(&run->rng, job->u.init.seed);
    run->start_ns = job->u.init.start_time_ns;
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

/* --- signals ---------------------------------------------------------------------------------- */

/* First function of a signal's fiber: handler, name (dynamic) or false, encoded arguments. */
static int signal_entry(lua_State *L)
{
    TpCommon__Payloads *payloads = NULL;
    struct tl_error err;
    struct tl_str bytes;
    bytes.p = lua_tolstring(L, 3, &bytes.n);
    if (tl_pb_decode(&tp_common__payloads__descriptor, bytes, tl_cmd_arena(L), &payloads, &err) !=
        TL_OK) {
        return luaL_error(L, "signal arguments: %s", err.message);
    }
    if (lua_toboolean(L, 2)) {
        lua_settop(L, 2);
    } else {
        lua_settop(L, 1);
    }
    tl_vm_payloads_decode(L, payloads);
    lua_callk(L, lua_gettop(L) - 1, 0, 0, all_results);
    return 0;
}

/* Pushes the handler for a name: its own, or the dynamic one (*dynamic). False: none, no push. */
static bool push_handler(lua_State *L, struct tl_lua_run *run, enum tl_slot slot,
                         struct tl_str name, bool *dynamic)
{
    *dynamic = false;
    tl_slot_push(L, run, slot);
    if (!lua_istable(L, -1)) {
        lua_pop(L, 1);
        return false;
    }
    lua_pushlstring(L, name.p, name.n);
    if (lua_rawget(L, -2) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_pushboolean(L, 1);
        *dynamic = true;
        if (lua_rawget(L, -2) == LUA_TNIL) {
            lua_pop(L, 2);
            return false;
        }
    }
    lua_remove(L, -2);
    return true;
}

/* Starts the handler of a signal whose encoded arguments are on top (popped). False: there is no
 * handler, nothing popped. */
static bool dispatch(lua_State *L, struct tl_lua_run *run, struct tl_str name)
{
    bool dynamic;
    luaL_checkstack(L, 8, NULL);
    if (!run->started || !push_handler(L, run, TL_SLOT_SIGNALS, name, &dynamic)) {
        return false;
    }
    lua_pushcfunction(L, signal_entry);
    lua_insert(L, -2);
    if (dynamic) {
        lua_pushlstring(L, name.p, name.n);
    } else {
        lua_pushboolean(L, 0);
    }
    lua_pushvalue(L, -4);
    run->signals_running++;
    char text[200];
    snprintf(text, sizeof text, "signal %.*s", (int)(name.n < 150 ? name.n : 150), name.p);
    tl_fiber_new(L, run, TL_FIBER_SIGNAL, 3, text);
    lua_pop(L, 2);
    return true;
}

void tl_run_flush_signals(lua_State *L, struct tl_lua_run *run)
{
    int top = lua_gettop(L);
    tl_slot_push(L, run, TL_SLOT_BUFFERED);
    if (!lua_istable(L, -1)) {
        lua_settop(L, top);
        return;
    }
    int list = lua_gettop(L);
    lua_Integer n = (lua_Integer)lua_rawlen(L, list), kept = 0;
    for (lua_Integer i = 1; i <= n; i++) {
        struct tl_str name;
        lua_rawgeti(L, list, i);
        lua_rawgeti(L, -1, 1);
        name.p = lua_tolstring(L, -1, &name.n);
        lua_rawgeti(L, -2, 2);
        if (!dispatch(L, run, name)) {
            lua_pushvalue(L, list + 1);
            lua_rawseti(L, list, ++kept);
        }
        lua_settop(L, list);
    }
    for (lua_Integer i = kept + 1; i <= n; i++) {
        lua_pushnil(L);
        lua_rawseti(L, list, i);
    }
    if (kept == 0) {
        lua_pushnil(L);
        tl_slot_set(L, run, TL_SLOT_BUFFERED);
    }
    lua_settop(L, top);
}

static void apply_signal(struct tl_lua_run *run,
                         const TpHistory__WorkflowExecutionSignaledEventAttributes *signal)
{
    lua_State *L = run->main;
    struct tl_str bytes = {NULL, 0}, name = tl_str(signal->signal_name);
    struct tl_error err;
    if (signal->input &&
        tl_pb_encode_arena(signal->input, run->activation->arena, &bytes, &err) != TL_OK) {
        luaL_error(L, "signal arguments: %s", err.message);
    }
    lua_pushlstring(L, bytes.p, bytes.n);
    if (dispatch(L, run, name)) {
        return;
    }
    tl_slot_table(L, run, TL_SLOT_BUFFERED);
    lua_createtable(L, 2, 0);
    lua_pushlstring(L, name.p, name.n);
    lua_rawseti(L, -2, 1);
    lua_pushvalue(L, -3);
    lua_rawseti(L, -2, 2);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
}

/* --- resolutions ------------------------------------------------------------------------------ */

static void apply_timer(struct tl_lua_run *run, uint32_t seq)
{
    struct tl_future *future = tl_future_find(run->main, run, TL_FUTURE_TIMER, seq);
    if (future) {
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

static void apply_cancel(struct tl_lua_run *run)
{
    run->cancel_requested = true;
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

/* --- queries ---------------------------------------------------------------------------------- */

void tl_run_push_stacks(lua_State *L, struct tl_lua_run *run)
{
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (struct tl_fiber *f = run->fibers; f; f = f->next) {
        if (f->kind == TL_FIBER_QUERY || f == run->current) {
            continue;
        }
        tl_fiber_push(L, run, f);
        lua_getiuservalue(L, -1, 3);
        const char *name = lua_tostring(L, -1);
        char title[240];
        snprintf(title, sizeof title, "coroutine %u (%s)", (unsigned)f->future.seq,
                 name                       ? name
                 : f->kind == TL_FIBER_MAIN ? "workflow"
                                            : "spawned");
        lua_pop(L, 2);
        luaL_traceback(L, f->await_co ? f->await_co : f->co, title, 0);
        luaL_addvalue(&b);
        if (f->await_co && f->await_co != f->co) {
            luaL_addchar(&b, '\n');
            luaL_traceback(L, f->co, "resumed from", 0);
            luaL_addvalue(&b);
        }
        luaL_addstring(&b, "\n\n");
    }
    luaL_pushresult(&b);
}

/* Pushes the sorted names in a handler table as a list of { name = ... }. */
static void push_names(lua_State *L, struct tl_lua_run *run, enum tl_slot slot,
                       const char *built_in)
{
    lua_newtable(L);
    int list = lua_gettop(L);
    lua_Integer n = 0;
    lua_pushcfunction(L, tl_vm_lib_array);
    lua_pushvalue(L, list);
    lua_call(L, 1, 0);
    if (built_in) {
        lua_newtable(L);
        lua_pushstring(L, built_in);
        lua_setfield(L, -2, "name");
        lua_rawseti(L, list, ++n);
    }
    tl_slot_push(L, run, slot);
    if (lua_istable(L, -1)) {
        lua_pushcfunction(L, tl_lib_pairs);
        lua_insert(L, -2);
        lua_call(L, 1, 3);
        lua_pop(L, 2);
        int next = lua_gettop(L);
        for (;;) {
            lua_pushvalue(L, next);
            lua_call(L, 0, 1);
            if (lua_isnil(L, -1)) {
                break;
            }
            if (lua_type(L, -1) == LUA_TSTRING) {
                lua_newtable(L);
                lua_insert(L, -2);
                lua_setfield(L, -2, "name");
                lua_rawseti(L, list, ++n);
            } else {
                lua_settop(L, next);
            }
        }
    }
    lua_settop(L, list);
}

/* The value of __temporal_workflow_metadata as a raw json/protobuf payload. */
static void push_metadata(lua_State *L, struct tl_lua_run *run)
{
    lua_newtable(L);
    lua_newtable(L);
    lua_pushlstring(L, run->type->type.p, run->type->type.n);
    lua_setfield(L, -2, "type");
    push_names(L, run, TL_SLOT_QUERIES, "__stack_trace");
    lua_setfield(L, -2, "queryDefinitions");
    push_names(L, run, TL_SLOT_SIGNALS, NULL);
    lua_setfield(L, -2, "signalDefinitions");
    lua_setfield(L, -2, "definition");
    tl_slot_push(L, run, TL_SLOT_DETAILS);
    lua_setfield(L, -2, "currentDetails");
}

static int unknown_query(lua_State *L, struct tl_lua_run *run, const char *name)
{
    luaL_Buffer b;
    push_names(L, run, TL_SLOT_QUERIES, NULL);
    int list = lua_gettop(L);
    luaL_buffinit(L, &b);
    for (lua_Integer i = 1; lua_rawgeti(L, list, i) != LUA_TNIL; i++) {
        lua_getfield(L, -1, "name");
        lua_remove(L, -2);
        if (i > 1) {
            luaL_addstring(&b, ", ");
        }
        luaL_addvalue(&b);
    }
    lua_pop(L, 1);
    luaL_pushresult(&b);
    return luaL_error(L, "query handler for \"%s\" expected but not found; known queries: [%s]",
                      name, lua_tostring(L, -1));
}

/* First function of a query's fiber. */
static int query_entry(lua_State *L)
{
    struct tl_lua_run *run = tl_run_of(L);
    struct tl_str name = tl_str(run->query->query_type);
    bool dynamic;
    if (tl_str_eqc(name, "__stack_trace")) {
        tl_run_push_stacks(L, run);
        return 1;
    }
    if (tl_str_eqc(name, "__temporal_workflow_metadata")) {
        push_metadata(L, run);
        return 1;
    }
    if (!push_handler(L, run, TL_SLOT_QUERIES, name, &dynamic)) {
        return unknown_query(L, run, name.p);
    }
    if (dynamic) {
        lua_pushlstring(L, name.p, name.n);
    }
    int n = tl_vm_payloads_decode(L, run->query->query_args);
    lua_call(L, n + dynamic, LUA_MULTRET);
    return lua_gettop(L);
}

void tl_run_answer_query(lua_State *L, struct tl_lua_run *run, bool failed, int first)
{
    struct tl_arena *arena = tl_cmd_arena(L);
    TpCommon__Payloads *result = NULL;
    TpFailure__Failure *failure = NULL;
    if (failed) {
        failure = tl_vm_failure_encode(L, first, arena);
    } else {
        result = tl_vm_payloads_encode(L, first, lua_gettop(L) - first + 1, arena, "query result");
    }
    struct tl_cmd *cmd = tl_cmd_need(L, tl_completion_add(run->out, TL_CMD_QUERY_RESULT));
    cmd->u.query.id = run->query_id;
    cmd->u.query.result = result;
    cmd->u.query.failure = failure;
    if (failure) {
        cmd->u.query.error = tl_str(failure->message);
    }
}

static void apply_query(struct tl_lua_run *run, const struct tl_job *job)
{
    lua_State *L = run->main;
    struct tl_fiber *ready = run->ready, *ready_last = run->ready_last;
    /* A stream of its own: what a query draws must not move the workflow's. */
    tl_rng_seed(&run->query_rng, (uint64_t)run->now_ns ^ UINT64_C(0x71756572795f7267));
    run->rng_now = &run->query_rng;
    run->read_only = "a query handler";
    run->query_id = job->u.query.id;
    run->query = job->u.query.query;
    run->query_id_seq = 0;
    run->ready = run->ready_last = NULL;
    lua_pushcfunction(L, query_entry);
    tl_fiber_new(L, run, TL_FIBER_QUERY, 0, run->query->query_type);
    tl_sched_run_ready(run);
    run->ready = ready;
    run->ready_last = ready_last;
    run->query = NULL;
    run->read_only = NULL;
    run->rng_now = &run->rng;
    lua_pushnil(L);
    tl_slot_set(L, run, TL_SLOT_QUERY_IDS);
}

/* --- all -------------------------------------------------------------------------------------- */

void tl_run_apply_job(struct tl_lua_run *run, const struct tl_job *job)
{
    switch (job->type) {
    case TL_JOB_INIT:
        apply_init(run, job);
        break;
    case TL_JOB_PATCH:
        apply_patch(run, job->u.patch.change_id);
        break;
    case TL_JOB_RANDOM_SEED:
        tl_rng_seed(&run->rng, job->u.random_seed.seed);
        break;
    case TL_JOB_SIGNAL:
        apply_signal(run, job->u.signal);
        break;
    case TL_JOB_CANCEL:
        apply_cancel(run);
        break;
    case TL_JOB_TIMER_FIRED:
        apply_timer(run, job->u.timer.seq);
        break;
    case TL_JOB_ACTIVITY_RESOLVED:
        apply_activity(run, job);
        break;
    case TL_JOB_QUERY:
        apply_query(run, job);
        break;
    }
}
