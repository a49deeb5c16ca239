/* What the sandbox would do without one of its mitigations; see vm/without.h. Empty but in the
 * switch build. Thread: the run's. Owner: Lua memory. */
#include "luart/run_int.h"

#ifdef TL_SANDBOX_SWITCH

#include <stdlib.h>
#include <time.h>

static int stock_next(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 2);
    if (lua_next(L, 1)) {
        return 2;
    }
    lua_pushnil(L);
    return 1;
}

int tl_without_pairs(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    lua_pushcfunction(L, stock_next);
    lua_insert(L, 1);
    lua_pushnil(L);
    return 3;
}

int tl_without_next(lua_State *L)
{
    return stock_next(L);
}

int tl_without_sort(lua_State *L)
{
    lua_pushcfunction(L, luaopen_table);
    lua_call(L, 0, 1);
    lua_getfield(L, -1, "sort");
    lua_insert(L, 1);
    lua_pop(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

int tl_without_random(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)(arc4random() & INT32_MAX));
    return 1;
}

int64_t tl_without_now(void)
{
    return (int64_t)time(NULL);
}

static tl_rc close_fibers(struct tl_lua_run *run, void *ud)
{
    (void)ud;
    for (struct tl_fiber *f = run->fibers; f; f = f->next) {
        lua_resetthread(f->co);
    }
    return TL_OK;
}

void tl_without_close(struct tl_lua_run *run)
{
    run->replaying = false;
    if (run->main && !run->dead && tl_state_enter(run, close_fibers, NULL, NULL) != TL_OK) {
        run->dead = true;
    }
}

#endif
