/* workflow.select: the first of several futures and channels. See sandbox.def.
 * A step looks at the cases in order and either answers or waits and is called again; a channel that
 * serves the call while it waits decides, since the value is taken then.
 * Thread: the run's. Owner: Lua memory. */
#include <string.h>

#include "luart/channel.h"

/* Stack of a call under way. */
enum {
    AT_ITEMS = 1, /* futures and channels by place */
    AT_HANDLERS,  /* functions by place */
    AT_SENDS,     /* values to send by place; absent: receive */
    AT_DEFAULT,   /* function or nil */
    AT_WAITER,    /* of the wait that ended last, or nil */
};

static int handled(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    return lua_gettop(L) - (int)ctx;
}

/* Calls the function of a case with the `nargs` values on top, or returns the item and them. */
static int answer(lua_State *L, lua_Integer place, int nargs)
{
    bool has = lua_rawgeti(L, AT_HANDLERS, place) == LUA_TFUNCTION;
    if (!has) {
        lua_pop(L, 1);
        lua_rawgeti(L, AT_ITEMS, place);
        lua_insert(L, -nargs - 1);
        return nargs + 1;
    }
    lua_insert(L, -nargs - 1);
    int below = lua_gettop(L) - nargs - 1;
    lua_callk(L, nargs, LUA_MULTRET, below, handled);
    return handled(L, LUA_OK, below);
}

/* What a channel gave the waiter: tag, then value and ok, or whether the value was taken. */
static int answer_waiter(lua_State *L)
{
    lua_settop(L, AT_WAITER);
    tl_future_values(L, AT_WAITER); /* a list, then its items */
    lua_Integer place = lua_tointeger(L, AT_WAITER + 2);
    bool sends = lua_rawgeti(L, AT_SENDS, place) != LUA_TNIL;
    lua_pop(L, 1);
    if (sends && !lua_toboolean(L, AT_WAITER + 3)) {
        return luaL_error(L, "the channel was closed while workflow.select waited to send");
    }
    return answer(L, place, sends ? 0 : 2);
}

/* Looks at one case; its values are on top when it is ready. */
static bool ready(lua_State *L, lua_Integer place, int *nargs)
{
    int top = lua_gettop(L);
    lua_rawgeti(L, AT_ITEMS, place);
    struct tl_future *future = tl_future_test(L, -1);
    if (future) {
        *nargs = 0;
        if (future->state != TL_FUTURE_PENDING) {
            lua_rawgeti(L, AT_HANDLERS, place);
            *nargs = lua_isfunction(L, -1); /* without one the answer is the future alone */
            lua_settop(L, top + *nargs);
            return true;
        }
    } else if (lua_rawgeti(L, AT_SENDS, place) != LUA_TNIL) {
        *nargs = 0;
        if (tl_channel_give(L, top + 1)) {
            lua_settop(L, top);
            return true;
        }
    } else {
        lua_pop(L, 1);
        *nargs = 2;
        if (tl_channel_take(L, top + 1)) {
            lua_remove(L, top + 1);
            return true;
        }
    }
    lua_settop(L, top);
    return false;
}

static int woken(lua_State *L, int status, lua_KContext ctx);

/* Waits for every case at once. */
static int wait_all_cases(lua_State *L, lua_Integer n)
{
    struct tl_future *waiter = NULL;
    lua_settop(L, AT_DEFAULT);
    lua_pushnil(L); /* AT_WAITER */
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, AT_ITEMS, i);
        if (tl_future_test(L, -1)) {
            lua_pop(L, 1);
            continue;
        }
        if (!waiter) {
            waiter = tl_waiter_new(L);
            lua_replace(L, AT_WAITER);
        }
        int channel = lua_gettop(L);
        lua_pushvalue(L, AT_WAITER);
        if (lua_rawgeti(L, AT_SENDS, i) != LUA_TNIL) {
            tl_channel_await_give(L, channel, i);
        } else {
            lua_pop(L, 1);
            tl_channel_await_take(L, channel, i);
        }
        lua_settop(L, AT_WAITER);
    }
    tl_await_room(L, (int)n + 1);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, AT_ITEMS, i);
        struct tl_future *future = tl_future_test(L, -1);
        lua_pop(L, 1);
        if (future) {
            tl_await_add(L, future);
        }
    }
    if (waiter) {
        tl_await_add(L, waiter);
    }
    return tl_await_yield(L, (lua_KContext)n, woken);
}

static int step(lua_State *L, lua_Integer n)
{
    int nargs;
    lua_settop(L, AT_DEFAULT);
    for (lua_Integer i = 1; i <= n; i++) {
        if (ready(L, i, &nargs)) {
            return answer(L, i, nargs);
        }
    }
    if (lua_isfunction(L, AT_DEFAULT)) {
        lua_callk(L, 0, LUA_MULTRET, AT_DEFAULT - 1, handled);
        return handled(L, LUA_OK, AT_DEFAULT - 1);
    }
    return n ? wait_all_cases(L, n) : 0;
}

static int woken(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    lua_settop(L, AT_WAITER);
    struct tl_future *waiter = tl_future_test(L, AT_WAITER);
    enum tl_wake reason = tl_await_end(L);
    if (waiter && waiter->state == TL_FUTURE_DONE) {
        return answer_waiter(L);
    }
    if (waiter) {
        tl_waiter_kill(L, waiter);
    }
    return reason == TL_WAKE_CANCEL ? tl_await_raise_cancelled(L) : step(L, (lua_Integer)ctx);
}

/* Copies case `i` of the list at index 5 to the tables. */
static void read_case(lua_State *L, lua_Integer i)
{
    int list = AT_WAITER;
    if (lua_rawgeti(L, list, i) != LUA_TTABLE) {
        luaL_error(L, "workflow.select: case %I is a %s, not { future or channel, function }",
                   (LUAI_UACINT)i, luaL_typename(L, -1));
    }
    lua_pushnil(L);
    while (lua_next(L, list + 1)) {
        if (lua_type(L, -2) == LUA_TSTRING && strcmp(lua_tostring(L, -2), "send") != 0) {
            luaL_error(L, "workflow.select: case %I: unknown field '%s' (known: send)",
                       (LUAI_UACINT)i, lua_tostring(L, -2));
        }
        lua_pop(L, 1);
    }
    lua_rawgeti(L, list + 1, 1);
    bool channel = tl_channel_is(L, -1);
    if (!channel && !tl_future_test(L, -1)) {
        luaL_error(L, "workflow.select: case %I begins with a %s, not a future or channel",
                   (LUAI_UACINT)i, luaL_typename(L, -1));
    }
    lua_rawseti(L, AT_ITEMS, i);
    lua_rawgeti(L, list + 1, 2);
    lua_rawseti(L, AT_HANDLERS, i);
    if (lua_getfield(L, list + 1, "send") != LUA_TNIL) {
        if (!channel) {
            luaL_error(L, "workflow.select: case %I: send is for channels", (LUAI_UACINT)i);
        }
        lua_rawseti(L, AT_SENDS, i);
    }
    lua_settop(L, list);
}

/* select { { future, function(future) }, { channel, function(value, ok) },
 * { channel, function(), send = value }, default = function() }: calls the function of the first
 * case that is ready and returns what it returns. */
int tl_lib_wf_select(lua_State *L)
{
    tl_await_check(L, "workflow.select");
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    for (int i = AT_ITEMS; i <= AT_SENDS; i++) {
        lua_newtable(L);
        lua_insert(L, 1);
    }
    lua_pushliteral(L, "default");
    lua_rawget(L, -2);
    lua_insert(L, AT_DEFAULT);
    lua_Integer n = (lua_Integer)lua_rawlen(L, AT_WAITER);
    luaL_argcheck(L, n < INT32_MAX, 1, "too many cases");
    for (lua_Integer i = 1; i <= n; i++) {
        read_case(L, i);
    }
    return step(L, n);
}
