/* Payload converters of the user in the sandbox: loaded into each run before it decodes anything, and
 * called while values are encoded and decoded. A converter can neither await nor make commands, and
 * its random numbers are its own: how often it is called is no part of what a run does.
 * Thread: the run's. */
#include "luart/run_int.h"

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
        lua_xmove(L, co, 2);
    }
    tl_rng_seed(&own, run->seed);
    run->rng_now = &own;
    run->read_only = "a payload converter";
    int status = lua_pcall(co, 1, 1, 0);
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
    if (tl_run_call_converter(L) != LUA_OK) {
        lua_error(L);
    }
    lua_pop(L, 1);
}
