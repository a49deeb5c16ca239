/* workflow.extern_functions: functions of the host that interceptors give to workflows. Arguments and
 * results are copied as payloads; nothing is recorded, so the function is called again on replay, and what
 * it returns must not decide what the workflow does. See sandbox.def and docs/interceptors.md.
 * Thread: the run's. Owner: copies are the activation arena's. */
#include "luart/bundle_int.h"
#include "luart/intercept.h"

/* Upvalue: the name. */
static int call_extern(lua_State *L)
{
    struct tl_lua_run *run = tl_run_of(L);
    const struct tl_bundle_extern *e = &run->bundle->extern_;
    struct tl_arena *arena = tl_cmd_arena(L);
    TpCommon__Payloads *out = NULL;
    struct tl_error err;
    struct tl_str name;
    name.p = lua_tolstring(L, lua_upvalueindex(1), &name.n);
    if (run->phase != TL_PHASE_RUN) {
        return luaL_error(L, "extern function '%s': a module that is being loaded cannot call it",
                          name.p);
    }
    if (!e->call) {
        return luaL_error(
            L, "extern function '%s' is not there: the host of this replay gives none", name.p);
    }
    TpCommon__Payloads *args =
        tl_vm_payloads_encode(L, 1, lua_gettop(L), arena, "argument of an extern function");
    if (e->call(e->ud, name, args, arena, &out, &err) != TL_OK) {
        return luaL_error(L, "extern function '%s': %s", name.p, err.message);
    }
    lua_settop(L, 0);
    return tl_vm_payloads_decode(L, out);
}

void tl_extern_add(lua_State *L, struct tl_lua_run *run)
{
    int given = lua_gettop(L);
    tl_slot_table(L, run, TL_SLOT_EXTERN);
    lua_pushnil(L);
    while (lua_next(L, given)) {
        if (lua_type(L, -2) != LUA_TSTRING || !lua_isfunction(L, -1)) {
            luaL_error(L, "interceptor: extern_functions maps names to functions, got a %s for %s",
                       luaL_typename(L, -1), tl_sandbox_tostring(L, -2, NULL));
        }
        lua_pop(L, 1);
        lua_pushvalue(L, -1);
        lua_pushvalue(L, -1);
        lua_pushcclosure(L, call_extern, 1);
        lua_rawset(L, given + 1);
    }
    lua_settop(L, given);
}

/* extern_functions() -> table name -> function, of the caller's own. */
int tl_lib_wf_extern_functions(lua_State *L)
{
    lua_settop(L, 0);
    lua_newtable(L);
    tl_slot_push(L, tl_run_of(L), TL_SLOT_EXTERN);
    if (lua_istable(L, 2)) {
        lua_pushnil(L);
        while (lua_next(L, 2)) {
            lua_pushvalue(L, -2);
            lua_insert(L, -2);
            lua_rawset(L, 1);
        }
    }
    lua_settop(L, 1);
    return 1;
}
