/* temporal.core, part: what only coroutine activities may do: wait for something that wakes them, and TCP
 * connections on their loop. lua/temporal/net.lua and activity.lua make the library of it. Thread: the loop's. */
#include <lauxlib.h>
#include <string.h>

#include "base/world.h"
#include "io/tcp.h"
#include "luahost/lua_loop.h"

#define CONNECTION_TYPE "temporal.core.connection_of_loop"

struct connection {
    struct tl_list node;       /* of the loop's connections */
    struct tl_tcp *tcp;        /* NULL: closed */
    struct tl_lua_task **user; /* whom to wake; memory of the userdata in user value 1 */
};

static struct tl_lua_task *task(lua_State *L)
{
    struct tl_lua_task *t = tl_lua_task_of(L);
    if (!t) {
        luaL_error(L, "only activities with kind = \"coroutine\" can wait for this");
    }
    return t;
}

/* --- waiting ---------------------------------------------------------------------------------- */

static int parked(lua_State *L, int status, lua_KContext ctx)
{
    (void)L;
    (void)status;
    (void)ctx;
    return 0;
}

/* [-0, +0, v] core.activity_park(deadline): returns when somebody woke the activity (it may have been cancelled) or
 * when the monotonic clock shows the deadline, in ns; nil: never. Look again what has come true. */
static int park(lua_State *L)
{
    return tl_lua_task_wait(L, task(L), luaL_optinteger(L, 1, INT64_MAX), 0, parked);
}

/* [-0, +1, v] core.activity_parker(): what activity_unpark takes */
static int parker(lua_State *L)
{
    tl_lua_task_push_ref(L, task(L));
    luaL_setmetatable(L, "temporal.core.parker");
    return 1;
}

/* [-0, +0, v] core.activity_unpark(parker): wakes the activity, if it has not ended */
static int unpark(lua_State *L)
{
    struct tl_lua_task **ref = luaL_checkudata(L, 1, "temporal.core.parker");
    if (*ref) {
        tl_lua_task_wake(*ref);
    }
    return 0;
}

/* --- connections ------------------------------------------------------------------------------ */

static struct connection *check(lua_State *L)
{
    struct connection *c = luaL_checkudata(L, 1, CONNECTION_TYPE);
    if (!c->tcp) {
        luaL_error(L, "the connection is closed");
    }
    return c;
}

static void changed(void *ud)
{
    struct connection *c = ud;
    if (*c->user) {
        tl_lua_task_wake(*c->user);
    }
}

/* [-0, +1, v] core.tcp_open(host, port): begins to connect */
static int tcp_open(lua_State *L)
{
    struct tl_error err;
    struct tl_lua_task *t = task(L);
    const char *host = luaL_checkstring(L, 1);
    lua_Integer port = luaL_checkinteger(L, 2);
    luaL_argcheck(L, port > 0 && port < 65536, 2, "a port is a number from 1 to 65535");
    struct connection *c = lua_newuserdatauv(L, sizeof *c, 1);
    memset(c, 0, sizeof *c);
    tl_list_init(&c->node);
    luaL_setmetatable(L, CONNECTION_TYPE);
    c->user = tl_lua_task_push_ref(L, t);
    luaL_setmetatable(L, "temporal.core.parker");
    lua_setiuservalue(L, -2, 1);
    if (tl_tcp_open(tl_lua_task_loop(t), host, (int)port, changed, c, &c->tcp, &err) != TL_OK) {
        return luaL_error(L, "%s", err.message);
    }
    tl_list_push(tl_lua_task_connections(t), &c->node);
    return 1;
}

/* [-0, +2, v] core.tcp_state(connection): "connecting", "open", "ended", "failed"; what has failed. The activity
 * that asks is the one that is woken from now on. */
static int tcp_state(lua_State *L)
{
    static const char *const names[] = {"connecting", "open", "ended", "failed"};
    struct connection *c = check(L);
    c->user = tl_lua_task_push_ref(L, task(L));
    luaL_setmetatable(L, "temporal.core.parker");
    lua_setiuservalue(L, 1, 1);
    lua_pushstring(L, names[tl_tcp_state(c->tcp)]);
    lua_pushstring(L, tl_tcp_error(c->tcp));
    return 2;
}

/* [-0, +1, v] core.tcp_take(connection): what has come, "" when nothing has */
static int tcp_take(lua_State *L)
{
    struct connection *c = check(L);
    struct tl_str s = tl_tcp_buffered(c->tcp);
    lua_pushlstring(L, s.p, s.n);
    tl_tcp_consume(c->tcp, s.n);
    return 1;
}

/* [-0, +0, v] core.tcp_write(connection, bytes) */
static int tcp_write(lua_State *L)
{
    struct tl_error err;
    size_t n;
    struct connection *c = check(L);
    const char *p = luaL_checklstring(L, 2, &n);
    if (tl_tcp_write(c->tcp, tl_str_n(p, n), &err) != TL_OK) {
        return luaL_error(L, "%s", err.message);
    }
    return 0;
}

/* [-0, +1, v] core.tcp_unsent(connection): bytes that are still to be sent */
static int tcp_unsent(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)tl_tcp_unsent(check(L)->tcp));
    return 1;
}

void tl_core_net_close(struct tl_list *node)
{
    struct connection *c = TL_CONTAINER(node, struct connection, node);
    tl_tcp_close(c->tcp);
    c->tcp = NULL;
}

/* [-0, +0, v] core.tcp_close(connection); also __gc */
static int tcp_close(lua_State *L)
{
    struct connection *c = luaL_checkudata(L, 1, CONNECTION_TYPE);
    if (c->tcp) {
        tl_list_remove(&c->node);
        tl_core_net_close(&c->node);
    }
    return 0;
}

static const luaL_Reg functions[] = {
    // clang-format off
    {"activity_park", park},
    {"activity_parker", parker},
    {"activity_unpark", unpark},
    {"tcp_open", tcp_open},
    {"tcp_state", tcp_state},
    {"tcp_take", tcp_take},
    {"tcp_write", tcp_write},
    {"tcp_unsent", tcp_unsent},
    {"tcp_close", tcp_close},
    {NULL, NULL},
    // clang-format on
};

void tl_core_net(lua_State *L)
{
    luaL_newmetatable(L, "temporal.core.parker");
    luaL_newmetatable(L, CONNECTION_TYPE);
    lua_pushcfunction(L, tcp_close);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 2);
    luaL_setfuncs(L, functions, 0);
}
