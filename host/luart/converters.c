/* Payload converters of the user in the sandbox: loaded into each run before it decodes anything, and
 * called while values are encoded and decoded. A converter can neither await nor make commands, and
 * its random numbers are its own: how often it is called is no part of what a run does.
 * Thread: the run's. */
#include "luart/run_int.h"

/* --- whose values they are -------------------------------------------------------------------------
 * One context at most waits for the next conversion, so that none is left over where a conversion fails. */

void tl_context_begin(lua_State *L)
{
    if (tl_vm_converters_any(L)) {
        struct tl_lua_run *run = tl_run_of(L);
        run->context_used = run->context_waits;
        run->context_waits = false;
    }
}

static void set_text(lua_State *L, const char *field, struct tl_str text)
{
    lua_pushlstring(L, text.p ? text.p : "", text.n);
    lua_setfield(L, -2, field);
}

static void push_new(lua_State *L, const char *kind, struct tl_str namespace_)
{
    luaL_checkstack(L, 6, "a converter's context");
    lua_createtable(L, 0, 7);
    set_text(L, "kind", tl_str(kind));
    set_text(L, "namespace", namespace_);
}

void tl_context_push(lua_State *L)
{
    struct tl_lua_run *run = tl_run_of(L);
    if (run->context_used) {
        tl_slot_push(L, run, TL_SLOT_CONTEXT);
        return;
    }
    push_new(L, "workflow", run->config.namespace_);
    set_text(L, "workflow_id", run->config.workflow_id);
}

/* The table on top (popped) is told to the next conversion. */
static void tell_next(lua_State *L)
{
    struct tl_lua_run *run = tl_run_of(L);
    tl_slot_set(L, run, TL_SLOT_CONTEXT);
    run->context_waits = true;
}

void tl_context_workflow(lua_State *L, struct tl_str namespace_, struct tl_str workflow_id)
{
    if (tl_vm_converters_any(L)) {
        push_new(L, "workflow", namespace_);
        set_text(L, "workflow_id", workflow_id);
        tell_next(L);
    }
}

void tl_context_activity(lua_State *L, const char *type, const char *id, const char *task_queue,
                         bool local)
{
    struct tl_lua_run *run = tl_run_of(L);
    if (!tl_vm_converters_any(L)) {
        return;
    }
    push_new(L, "activity", run->config.namespace_);
    set_text(L, "workflow_id", run->config.workflow_id);
    set_text(L, "workflow_type", run->workflow_type);
    set_text(L, "activity_type", tl_str(type));
    set_text(L, "activity_task_queue",
             task_queue && *task_queue ? tl_str(task_queue) : run->config.task_queue);
    if (id && *id) {
        set_text(L, "activity_id", tl_str(id));
    }
    lua_pushboolean(L, local);
    lua_setfield(L, -2, "is_local");
    tell_next(L);
}

void tl_context_nexus(lua_State *L, const char *endpoint, const char *service,
                      const char *operation)
{
    if (tl_vm_converters_any(L)) {
        push_new(L, "nexus", tl_run_of(L)->config.namespace_);
        set_text(L, "endpoint", tl_str(endpoint));
        set_text(L, "service", tl_str(service));
        set_text(L, "operation", tl_str(operation));
        tell_next(L);
    }
}

void tl_context_keep(lua_State *L)
{
    struct tl_lua_run *run = tl_run_of(L);
    if (tl_vm_converters_any(L)) {
        int future = lua_gettop(L);
        luaL_checkstack(L, 4, NULL);
        tl_slot_table(L, run, TL_SLOT_CONTEXTS);
        lua_pushvalue(L, future);
        tl_slot_push(L, run, TL_SLOT_CONTEXT);
        lua_rawset(L, -3);
        lua_settop(L, future);
    }
}

void tl_context_recall(lua_State *L)
{
    struct tl_lua_run *run = tl_run_of(L);
    int future = lua_gettop(L);
    if (!tl_vm_converters_any(L)) {
        return;
    }
    luaL_checkstack(L, 4, NULL);
    tl_slot_table(L, run, TL_SLOT_CONTEXTS);
    lua_pushvalue(L, future);
    if (lua_rawget(L, -2) == LUA_TTABLE) {
        tell_next(L);
        lua_pushvalue(L, future);
        lua_pushnil(L);
        lua_rawset(L, -3);
    }
    lua_settop(L, future);
}

/* --- calling them ---------------------------------------------------------------------------------- */

int tl_run_call_converter(lua_State *L)
{
    struct tl_lua_run *run = tl_run_of(L);
    const char *read_only = run->read_only;
    struct tl_rng own, *rng = run->rng_now;
    bool apart = L == run->main;
    lua_State *co = L, *before = NULL;
    if (apart) { /* nothing is called on the main thread */
        co = tl_state_aux(run);
        before = tl_state_switch(run, co);
        lua_xmove(L, co, 3);
    }
    tl_rng_seed(&own, run->seed);
    run->rng_now = &own;
    run->read_only = "a payload converter";
    int status = lua_pcall(co, 2, 1, 0);
    run->read_only = read_only;
    run->rng_now = rng;
    if (apart) {
        if (status != LUA_OK) {
            tl_sandbox_tostring(co, -1, NULL);
            lua_remove(co, -2);
        }
        lua_xmove(co, L, 1);
        tl_state_switch(run, before);
    }
    return status;
}

/* [-0, +0, e] Makes the list of converters of the bundle's modules and uses it. */
int tl_converters_probe(lua_State *L)
{
    struct tl_lua_run *run = tl_run_of(L);
    lua_settop(L, 0);
    lua_newtable(L);
    for (const char *const *name = tl_bundle_converters(run->bundle); *name; name++) {
        tl_module_require(L, run, tl_str(*name));
        tl_vm_converters_add(L, 1, -1, *name);
        lua_settop(L, 1);
    }
    tl_vm_converters_use(L);
    return 0;
}

void tl_converters_load(struct tl_lua_run *run)
{
    lua_State *L = run->main;
    if (!tl_bundle_converters(run->bundle)[0]) {
        return;
    }
    lua_pushcfunction(L, tl_converters_probe);
    lua_pushnil(L);
    lua_pushnil(L);
    if (tl_run_call_converter(L) != LUA_OK) {
        lua_error(L);
    }
    lua_pop(L, 1);
}
