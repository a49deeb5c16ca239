/* workflow.patched, workflow.deprecate_patch. See sandbox.def.
 * Thread: the run's. Owner: commands are the activation arena's. */
#include "luart/intercept.h"
#include "luart/wf.h"

static void set_patch(lua_State *L, struct tl_str id, bool deprecated,
                      const struct tl_event_groups *groups)
{
    struct tl_cmd *cmd = tl_cmd_new(L, TL_CMD_SET_PATCH);
    cmd->u.patch.id = tl_arena_str(tl_cmd_arena(L), id);
    cmd->u.patch.deprecated = deprecated;
    tl_cmd_need(L, (void *)(uintptr_t)cmd->u.patch.id.p);
    tl_event_groups_add(L, cmd, groups);
}

static int activate(lua_State *L)
{
    lua_pushboolean(L, true);
    return 1;
}

/* Whether the run takes up the patch at `id`, which no task of it has met: interceptors may hold it back. They are
 * not asked again on replay, so what they do must leave no trace in the run. */
static bool takes_up(lua_State *L, int id)
{
    int top = lua_gettop(L);
    if (!tl_intercept_has(L, TL_HOOK_PATCHED)) {
        return true;
    }
    lua_pushcfunction(L, activate);
    tl_intercept_chain(L, TL_HOOK_PATCHED);
    lua_createtable(L, 0, 1);
    lua_pushvalue(L, id);
    lua_setfield(L, -2, "patch_id");
    if (tl_run_call_apart(L, 1, "the hook patched") != LUA_OK) {
        lua_error(L);
    }
    lua_settop(L, top + 1);
    if (!lua_isboolean(L, -1)) {
        luaL_error(L, "the hook patched must return true or false, got a %s", luaL_typename(L, -1));
    }
    bool active = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return active;
}

/* patched(id): true when the run is, or was, past this change. The first answer stays. */
static int use_patch(lua_State *L, const char *what, bool deprecated)
{
    struct tl_lua_run *run = tl_run_of(L);
    struct tl_str id;
    tl_command_check(L, what);
    luaL_checktype(L, 1, LUA_TSTRING);
    id.p = lua_tolstring(L, 1, &id.n);
    luaL_argcheck(L, id.n > 0, 1, "a patch has an id");
    struct tl_event_groups groups = tl_event_groups_option(L, 2, what);
    lua_settop(L, 1);
    tl_slot_table(L, run, TL_SLOT_PATCHES);
    lua_pushvalue(L, 1);
    if (lua_rawget(L, 2) == LUA_TBOOLEAN) {
        return 1;
    }
    bool use = deprecated || lua_type(L, -1) == LUA_TSTRING || (!run->replaying && takes_up(L, 1));
    lua_pushvalue(L, 1);
    lua_pushboolean(L, use);
    lua_rawset(L, 2);
    if (use) {
        set_patch(L, id, deprecated, &groups);
    }
    lua_pushboolean(L, use);
    return 1;
}

int tl_lib_wf_patched(lua_State *L)
{
    return use_patch(L, "workflow.patched", false);
}

int tl_lib_wf_deprecate_patch(lua_State *L)
{
    use_patch(L, "workflow.deprecate_patch", true);
    return 0;
}
