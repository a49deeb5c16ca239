/* temporal.core, part: connection settings from files and the environment. Thread: the state's. */
#include <lauxlib.h>

#include "config/profile.h"
#include "luahost/core_arena.h"
#include "luahost/host.h"

static const char *text_field(lua_State *L, const char *name)
{
    lua_getfield(L, 1, name);
    const char *text = luaL_optstring(L, -1, NULL);
    lua_pop(L, 1);
    return text; /* still referenced by the table */
}

static bool flag_field(lua_State *L, const char *name)
{
    lua_getfield(L, 1, name);
    bool flag = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return flag;
}

static void set_text(lua_State *L, const char *name, const char *text)
{
    if (text) {
        lua_pushstring(L, text);
        lua_setfield(L, -2, name);
    }
}

static void set_switch(lua_State *L, const char *name, enum tl_profile_switch s)
{
    if (s != TL_SWITCH_UNSET) {
        lua_pushboolean(L, s == TL_SWITCH_ON);
        lua_setfield(L, -2, name);
    }
}

/* [-0, +1|+2, v] core.load_profile{ config_file, config_source, profile, disable_file, disable_env,
 * strict }: the settings under the names of struct tl_profile, `namespace`, and `grpc_meta`; or nil and
 * a message */
static int load_profile(lua_State *L)
{
    struct tl_profile p;
    struct tl_error err;
    luaL_checktype(L, 1, LUA_TTABLE);
    struct tl_profile_source source = {
        .config_file = text_field(L, "config_file"),
        .config = tl_str(text_field(L, "config_source")),
        .profile = text_field(L, "profile"),
        .disable_file = flag_field(L, "disable_file"),
        .disable_env = flag_field(L, "disable_env"),
        .strict = flag_field(L, "strict"),
    };
    struct tl_arena *arena = tl_core_push_arena(L);
    if (tl_profile_load(&source, arena, &p, &err) != TL_OK) {
        lua_pushnil(L);
        lua_pushstring(L, err.message);
        return 2;
    }
    lua_newtable(L);
#define X(field, key, variable) set_text(L, #field, p.field);
    TL_PROFILE_TEXTS(X)
#undef X
    set_text(L, "namespace", p.namespace_name);
    set_switch(L, "tls", p.tls);
    set_switch(L, "disable_host_verification", p.disable_host_verification);
    lua_newtable(L);
    for (size_t i = 0; i < p.meta_count; i++) {
        set_text(L, p.meta[i].name, p.meta[i].value);
    }
    lua_setfield(L, -2, "grpc_meta");
    return 1;
}

static void push_name(void *ud, struct tl_str name)
{
    lua_State *L = ud;
    lua_pushlstring(L, name.p, name.n);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
}

/* [-0, +1|+2, v] core.profile_names{ config_file, config_source, disable_env }: the names of all profiles of the
 * file; or nil and a message */
static int profile_names(lua_State *L)
{
    struct tl_error err;
    luaL_checktype(L, 1, LUA_TTABLE);
    struct tl_profile_source source = {
        .config_file = text_field(L, "config_file"),
        .config = tl_str(text_field(L, "config_source")),
        .disable_env = flag_field(L, "disable_env"),
    };
    struct tl_arena *arena = tl_core_push_arena(L);
    lua_newtable(L);
    if (tl_profile_names(&source, arena, push_name, L, &err) != TL_OK) {
        lua_pushnil(L);
        lua_pushstring(L, err.message);
        return 2;
    }
    return 1;
}

static const luaL_Reg functions[] = {
    {"load_profile", load_profile},
    {"profile_names", profile_names},
    {NULL, NULL},
};

void tl_core_profile(lua_State *L)
{
    luaL_setfuncs(L, functions, 0);
}
