/* See core_arena.h. */
#include "luahost/core_arena.h"

#include <lauxlib.h>

#include "base/limits.h"

#define ARENA_TYPE "temporal.core.arena"

static int arena_gc(lua_State *L)
{
    tl_arena_deinit(lua_touserdata(L, 1));
    return 0;
}

struct tl_arena *tl_core_push_arena(lua_State *L)
{
    struct tl_arena *a = lua_newuserdatauv(L, sizeof *a, 0);
    tl_arena_init(a, (size_t)tl_limit_request_bytes * 4);
    if (luaL_newmetatable(L, ARENA_TYPE)) {
        lua_pushcfunction(L, arena_gc);
        lua_setfield(L, -2, "__gc");
        lua_pushcfunction(L, arena_gc);
        lua_setfield(L, -2, "__close");
    }
    lua_setmetatable(L, -2);
    lua_toclose(L, -1);
    return a;
}
