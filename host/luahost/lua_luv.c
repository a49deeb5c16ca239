/* See lua_luv.h. luv is used through the three functions that it offers to hosts. */
#include "luahost/lua_luv.h"

#include <dlfcn.h>
#include <lauxlib.h>
#include <string.h>

#include "base/log.h"

typedef int (*luv_pcall)(lua_State *L, int arguments, int results, int flags);

struct luv {
    void (*set_loop)(lua_State *L, void *loop);
    void (*set_callback)(lua_State *L, luv_pcall fn);
    int (*open)(lua_State *L);
};

static int add_traceback(lua_State *L)
{
    luaL_traceback(L, L, luaL_tolstring(L, 1, NULL), 1);
    return 1;
}

/* In place of luv's own, which ends the process at an error. [-(arguments + 1), +results, -] */
static int call_back(lua_State *L, int arguments, int results, int flags)
{
    int base = lua_gettop(L) - arguments;
    (void)flags;
    lua_pushcfunction(L, add_traceback);
    lua_insert(L, base);
    int rc = lua_pcall(L, arguments, results, base);
    lua_remove(L, base);
    if (rc != LUA_OK) {
        TL_LOG(TL_LOG_ERROR, "activity_loop.callback_failed", TL_C("error", lua_tostring(L, -1)));
        lua_pop(L, 1);
        return -rc;
    }
    return results == LUA_MULTRET ? lua_gettop(L) - base + 1 : results;
}

/* [-0, +0, e] Finds luv's functions in the file. dlsym gives objects; that they are functions, POSIX says. */
static void find(lua_State *L, const char *path, struct luv *out)
{
    void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!lib) {
        luaL_error(L, "luv cannot be loaded: %s", dlerror());
    }
    void *set_loop = dlsym(lib, "luv_set_loop"), *set_callback = dlsym(lib, "luv_set_callback");
    void *open = dlsym(lib, "luaopen_luv");
    if (!set_loop || !set_callback || !open) {
        luaL_error(L, "%s does not let its host choose the loop: a newer luv is needed", path);
    }
    if (dlsym(lib, "uv_version") != tl_loop_library()) {
        luaL_error(
            L,
            "%s brings a libuv of its own and cannot share the loop of coroutine activities: "
            "use one that is linked with the system's libuv",
            path);
    }
    memcpy(&out->set_loop, &set_loop, sizeof set_loop);
    memcpy(&out->set_callback, &set_callback, sizeof set_callback);
    memcpy(&out->open, &open, sizeof open);
}

/* What upvalue 1 names is not for activities. */
static int refused(lua_State *L)
{
    return luaL_error(L, "uv.%s: the loop belongs to the worker and runs other activities",
                      lua_tostring(L, lua_upvalueindex(1)));
}

/* [-0, +1, e] The loader: the path of luv is argument 2, the loop is upvalue 1. */
static int open_luv(lua_State *L)
{
    static const char *const not_ours[] = {"run", "stop", "loop_close", "loop_configure", "walk"};
    struct luv luv = {0};
    find(L, luaL_checkstring(L, 2), &luv);
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
    lua_State *main = lua_tothread(L, -1);
    lua_pop(L, 1);
    luv.set_loop(main, tl_loop_native(lua_touserdata(L, lua_upvalueindex(1))));
    luv.set_callback(main, call_back);
    lua_pushcfunction(L, luv.open);
    lua_call(L, 0, 1);
    for (size_t i = 0; i < sizeof not_ours / sizeof not_ours[0]; i++) {
        lua_pushstring(L, not_ours[i]);
        lua_pushcclosure(L, refused, 1);
        lua_setfield(L, -2, not_ours[i]);
    }
    return 1;
}

/* A searcher of `require`: upvalue 1 is the loop. */
static int search(lua_State *L)
{
    if (strcmp(luaL_checkstring(L, 1), "luv") != 0) {
        return 0;
    }
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "searchpath");
    lua_pushliteral(L, "luv");
    lua_getfield(L, -3, "cpath");
    lua_call(L, 2, 2);
    if (lua_isnil(L, -2)) {
        lua_pushfstring(L, "\n\tluv is not installed for Lua 5.4 (Debian: lua-luv)%s",
                        lua_tostring(L, -1));
        return 1;
    }
    lua_pop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushcclosure(L, open_luv, 1);
    lua_insert(L, -2);
    return 2;
}

void tl_luv_share(lua_State *L, struct tl_loop *loop)
{
    lua_getglobal(L, "table");
    lua_getfield(L, -1, "insert");
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "searchers");
    lua_replace(L, -2);
    lua_pushinteger(L, 2);
    lua_pushlightuserdata(L, loop);
    lua_pushcclosure(L, search, 1);
    lua_call(L, 3, 0);
    lua_pop(L, 1);
}
