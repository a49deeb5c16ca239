/* See hook_module.h. What may raise runs inside a pcall. */
#include "luahost/hook_module.h"

#include <lauxlib.h>

#include "luahost/host.h"

struct loading {
    const char *what, *module;
    const char *const *functions;
};

tl_rc tl_hook_error(lua_State *L, const char *module, struct tl_error *err)
{
    const char *text = lua_tostring(L, -1); /* in place: no metamethod, nothing that raises */
    tl_error_set(err, TL_ESCRIPT, "%s: %s", module, text ? text : "an error that is not a text");
    lua_settop(L, 1);
    return TL_ESCRIPT;
}

/* [-1, +1, e] (loading): the module, checked */
static int load_module(lua_State *L)
{
    const struct loading *m = lua_touserdata(L, 1);
    lua_getglobal(L, "require");
    lua_pushstring(L, m->module);
    lua_call(L, 1, 1);
    if (!lua_istable(L, -1)) {
        return luaL_error(L, "a %s module returns a table, got %s", m->what, luaL_typename(L, -1));
    }
    for (size_t i = 0; m->functions[i]; i++) {
        if (lua_getfield(L, -1, m->functions[i]) != LUA_TFUNCTION) {
            return luaL_error(L, "the %s module has no function '%s'", m->what, m->functions[i]);
        }
        lua_pop(L, 1);
    }
    return 1;
}

lua_State *tl_hook_open(const char *what, const char *module, const char *path, const char *cpath,
                        const char *const *functions, struct tl_error *err)
{
    struct loading m = {what, module, functions};
    lua_State *L = tl_host_guest_state_new(path, cpath);
    if (!L) {
        tl_error_set(err, TL_ELIMIT, "no memory for a Lua state");
        return NULL;
    }
    lua_pushcfunction(L, load_module);
    lua_pushlightuserdata(L, &m);
    if (lua_pcall(L, 1, 1, 0) != LUA_OK) {
        tl_hook_error(L, module, err);
        lua_close(L);
        return NULL;
    }
    return L;
}

bool tl_hook_takes(lua_State *L, const char *function, int arguments)
{
    lua_Debug d;
    lua_getfield(L, 1, function);
    (void)lua_getinfo(L, ">uS", &d); /* takes the function */
    return d.nparams >= arguments || d.isvararg || *d.what == 'C';
}

static void set_text(lua_State *L, const char *field, struct tl_str text)
{
    if (text.n) {
        lua_pushlstring(L, text.p, text.n);
        lua_setfield(L, -2, field);
    }
}

static void set_workflow(lua_State *L, const struct tl_payload_context *c, bool whole)
{
    set_text(L, "workflow_id", c->workflow_id);
    if (whole) {
        set_text(L, "run_id", c->run_id);
        set_text(L, "workflow_type", c->workflow_type);
    }
}

static void set_activity(lua_State *L, const struct tl_payload_context *c, bool whole)
{
    if (c->workflow_id.n) {
        set_workflow(L, c, whole);
        set_text(L, "workflow_type", c->workflow_type);
    } else if (whole) {
        set_text(L, "run_id", c->activity_run_id);
    }
    set_text(L, "activity_type", c->activity_type);
    set_text(L, "activity_id", c->activity_id);
    set_text(L, "activity_task_queue", c->task_queue);
    lua_pushboolean(L, c->is_local);
    lua_setfield(L, -2, "is_local");
}

void tl_hook_push_context(lua_State *L, const struct tl_payload_context *c, bool whole)
{
    static const char *const kinds[] = {[TL_PAYLOAD_OF_WORKFLOW] = "workflow",
                                        [TL_PAYLOAD_OF_ACTIVITY] = "activity",
                                        [TL_PAYLOAD_OF_NEXUS] = "nexus"};
    if (!c || c->owner == TL_PAYLOAD_OF_NOTHING) {
        lua_pushnil(L);
        return;
    }
    lua_createtable(L, 0, 9);
    set_text(L, "kind", tl_str(kinds[c->owner]));
    set_text(L, "namespace", c->namespace_);
    if (c->owner == TL_PAYLOAD_OF_WORKFLOW) {
        set_workflow(L, c, whole);
    } else if (c->owner == TL_PAYLOAD_OF_ACTIVITY) {
        set_activity(L, c, whole);
    } else {
        set_text(L, "endpoint", c->endpoint);
        set_text(L, "service", c->service);
        set_text(L, "operation", c->operation);
    }
}
