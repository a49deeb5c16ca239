/* Models and protobuf values in workflows: the modules temporal.model and temporal.proto of the bundle,
 * which are the library's own (lua/temporal). Thread: the run's. */
#include "luart/wf.h"

/* [-0, +1, e] Pushes a function of the module. */
static void push_function(lua_State *L, const char *module, const char *name)
{
    tl_module_require(L, tl_run_of(L), tl_str(module));
    lua_getfield(L, -1, name);
    lua_remove(L, -2);
}

/* Calls the module's function `new` with the arguments. */
static int call_new(lua_State *L, const char *module)
{
    if (tl_bundle_probes_activity(tl_run_of(L))) {
        tl_sandbox_push_inert(L, module); /* only names of activities are looked for */
        return 1;
    }
    lua_settop(L, 2);
    push_function(L, module, "new");
    lua_insert(L, 1);
    lua_call(L, 2, 1);
    return 1;
}

/* temporal.model{ name =, fields = } */
int tl_lib_model(lua_State *L)
{
    return call_new(L, "temporal.model");
}

/* temporal.proto(name, fields) */
int tl_lib_proto(lua_State *L)
{
    return call_new(L, "temporal.proto");
}

void tl_wf_bind_models(lua_State *L, int definition, int fn, struct tl_str type)
{
    int top = lua_gettop(L);
    lua_getfield(L, definition, "args");
    lua_getfield(L, definition, "result");
    if (lua_isnil(L, -1) && lua_isnil(L, -2)) {
        lua_settop(L, top);
        return;
    }
    push_function(L, "temporal.model", "bind");
    lua_pushfstring(L, "workflow '%s'", type.p);
    lua_pushvalue(L, fn);
    lua_pushvalue(L, top + 1);
    lua_pushvalue(L, top + 2);
    lua_call(L, 4, 1);
    lua_replace(L, fn);
    lua_settop(L, top);
}
