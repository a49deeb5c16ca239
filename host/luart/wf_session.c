/* workflow.create_session and its kin: functions of the module temporal.session of the bundle, which is the
 * library's own (lua/temporal). Thread: the run's. */
#include "luart/wf.h"

static int all_results(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    return lua_gettop(L);
}

/* [-all, +n, e] Calls the module's function with the arguments. */
static int call(lua_State *L, const char *name)
{
    int n = lua_gettop(L);
    tl_module_require(L, tl_run_of(L), TL_STR_LIT("temporal.session"));
    lua_getfield(L, -1, name);
    lua_insert(L, 1);
    lua_pop(L, 1); /* the module */
    lua_callk(L, n, LUA_MULTRET, 0, all_results);
    return lua_gettop(L);
}

int tl_lib_wf_create_session(lua_State *L)
{
    return call(L, "create_session");
}

int tl_lib_wf_recreate_session(lua_State *L)
{
    return call(L, "recreate_session");
}

int tl_lib_wf_complete_session(lua_State *L)
{
    return call(L, "complete_session");
}
