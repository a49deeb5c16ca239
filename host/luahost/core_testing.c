/* temporal.core, part: what tests need beside a client and a worker: the server's clock.
 * Thread: the state's; the functions only post to the server. */
#include <lauxlib.h>

#include "luahost/host.h"
#include "server/server.h"

/* [-0, +0, v] core.time_lock(server): time passes as on the wall */
static int time_lock(lua_State *L)
{
    tl_server_lock_time_skipping(tl_host_check_server(L, 1)->server);
    return 0;
}

/* [-0, +0, v] core.time_unlock(server): time jumps while nothing runs */
static int time_unlock(lua_State *L)
{
    tl_server_unlock_time_skipping(tl_host_check_server(L, 1)->server);
    return 0;
}

/* [-0, +1, v] core.time_now(server): nanoseconds since the epoch on the server's clock */
static int time_now(lua_State *L)
{
    lua_pushinteger(L, tl_server_now_ns(tl_host_check_server(L, 1)->server));
    return 1;
}

static const luaL_Reg functions[] = {
    {"time_lock", time_lock},
    {"time_unlock", time_unlock},
    {"time_now", time_now},
    {NULL, NULL},
};

void tl_core_testing(lua_State *L)
{
    luaL_setfuncs(L, functions, 0);
}
