/* See plan.h. */
#include "luahost/plan.h"

#include <lauxlib.h>
#include <string.h>

const char **tl_host_text_list(lua_State *L, int index)
{
    index = lua_absindex(L, index);
    luaL_checkstack(L, 4, NULL);
    luaL_checktype(L, index, LUA_TTABLE);
    size_t n = (size_t)lua_rawlen(L, index);
    const char **list = lua_newuserdatauv(L, (n + 1) * sizeof *list, 0);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, index, (lua_Integer)i + 1);
        list[i] = luaL_checkstring(L, -1);
        lua_pop(L, 1);
    }
    list[n] = NULL;
    return list;
}

const char **tl_host_plan_list(lua_State *L, int plan, const char *name)
{
    luaL_checkstack(L, 4, NULL);
    lua_getfield(L, plan, name);
    return tl_host_text_list(L, -1);
}

static void read_sources(lua_State *L, int plan, struct tl_bundle_config *config)
{
    lua_getfield(L, plan, "workflow_texts");
    size_t n = (size_t)lua_rawlen(L, -1), length;
    struct tl_bundle_source *list = lua_newuserdatauv(L, (n + 1) * sizeof *list, 0);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, -2, (lua_Integer)i + 1);
        lua_getfield(L, -1, "name");
        const char *p = luaL_checklstring(L, -1, &length);
        list[i].name = tl_str_n(p, length);
        lua_getfield(L, -2, "text");
        p = luaL_checklstring(L, -1, &length);
        list[i].text = tl_str_n(p, length);
        lua_pop(L, 3);
    }
    config->sources = list;
    config->source_count = n;
}

static struct tl_str text_field(lua_State *L, const char *name)
{
    struct tl_str s;
    lua_getfield(L, -1, name);
    s.p = luaL_checklstring(L, -1, &s.n);
    lua_pop(L, 1); /* the table keeps it */
    return s;
}

static void read_interceptors(lua_State *L, int plan, struct tl_bundle_config *config)
{
    if (lua_getfield(L, plan, "interceptors") != LUA_TTABLE) {
        return;
    }
    size_t n = (size_t)lua_rawlen(L, -1);
    struct tl_bundle_interceptor *list = lua_newuserdatauv(L, (n + 1) * sizeof *list, 0);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, -2, (lua_Integer)i + 1);
        list[i] = (struct tl_bundle_interceptor){text_field(L, "module"), text_field(L, "config"),
                                                 text_field(L, "text")};
        lua_pop(L, 1);
    }
    config->interceptors = list;
    config->interceptor_count = n;
}

void tl_host_bundle_plan(lua_State *L, int plan, struct tl_bundle_config *config)
{
    memset(config, 0, sizeof *config);
    config->roots = tl_host_plan_list(L, plan, "roots");
    config->workflow_modules = tl_host_plan_list(L, plan, "workflow_modules");
    config->activity_modules = tl_host_plan_list(L, plan, "activity_modules");
    config->converter_modules = tl_host_plan_list(L, plan, "converter_modules");
    config->passthrough_modules = tl_host_plan_list(L, plan, "passthrough_modules");
    lua_getfield(L, plan, "package_path");
    config->package_path = lua_tostring(L, -1); /* the plan keeps it */
    lua_getfield(L, plan, "unsandboxed");
    config->unsandboxed = lua_toboolean(L, -1);
    read_sources(L, plan, config);
    read_interceptors(L, plan, config);
}
