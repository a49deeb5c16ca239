/* workflow.channel: values from coroutine to coroutine, first in, first out. See channel.h and
 * sandbox.def. A receiver waits only while there is no value, a sender only while there is no room;
 * a value goes to the receiver that has waited longest, whoever runs next.
 * Thread: the run's. Owner: Lua memory of the run. */
#include "luart/channel.h"

#define META_CHANNEL "workflow.channel"

/* User values: the values kept, the receivers (waiter, tag), the senders (waiter, tag, value). */
struct channel {
    lua_Integer capacity, first, last; /* values at first .. last - 1 */
    bool closed;
    struct tl_queue receivers, senders;
};
enum { VALUES = 1, RECEIVERS, SENDERS };
enum { RECEIVER_WIDTH = 2, SENDER_WIDTH = 3 };

static struct channel *check(lua_State *L, int index)
{
    return luaL_checkudata(L, index, META_CHANNEL);
}

bool tl_channel_is(lua_State *L, int index)
{
    return luaL_testudata(L, index, META_CHANNEL) != NULL;
}

/* --- values ----------------------------------------------------------------------------------- */

/* Appends the value on top (popped). */
static void keep_value(lua_State *L, int index, struct channel *c)
{
    lua_getiuservalue(L, index, VALUES);
    lua_insert(L, -2);
    lua_rawseti(L, -2, c->last++);
    lua_pop(L, 1);
}

static void take_value(lua_State *L, int index, struct channel *c)
{
    lua_getiuservalue(L, index, VALUES);
    lua_rawgeti(L, -1, c->first);
    lua_pushnil(L);
    lua_rawseti(L, -3, c->first++);
    lua_remove(L, -2);
    if (c->first == c->last) {
        c->first = c->last = 1;
    }
}

/* The sender that has waited longest: pushes its value and lets it go on. False: there is none. */
static bool take_from_sender(lua_State *L, int index, struct channel *c)
{
    lua_getiuservalue(L, index, SENDERS);
    int table = lua_gettop(L);
    struct tl_future *head = tl_queue_head(L, table, &c->senders, SENDER_WIDTH);
    if (!head) {
        lua_pop(L, 1);
        return false;
    }
    tl_queue_peek(L, table, &c->senders, 2);
    tl_queue_peek(L, table, &c->senders, 1);
    lua_pushboolean(L, 1);
    tl_future_resolve(L, tl_run_of(L), head, false, 2);
    tl_queue_drop(L, table, &c->senders, SENDER_WIDTH);
    lua_remove(L, table);
    return true;
}

bool tl_channel_take(lua_State *L, int index)
{
    struct channel *c = check(L, index);
    index = lua_absindex(L, index);
    luaL_checkstack(L, 8, NULL);
    if (c->first < c->last) {
        take_value(L, index, c);
        if (take_from_sender(L, index, c)) {
            keep_value(L, index, c);
        }
    } else if (!take_from_sender(L, index, c)) {
        if (!c->closed) {
            return false;
        }
        lua_pushnil(L);
        lua_pushboolean(L, 0);
        return true;
    }
    lua_pushboolean(L, 1);
    return true;
}

bool tl_channel_give(lua_State *L, int index)
{
    struct channel *c = check(L, index);
    index = lua_absindex(L, index);
    luaL_checkstack(L, 8, NULL);
    if (c->closed) {
        luaL_error(L, "the channel is closed: nothing can be sent any more");
    }
    lua_getiuservalue(L, index, RECEIVERS);
    int table = lua_gettop(L);
    struct tl_future *head = tl_queue_head(L, table, &c->receivers, RECEIVER_WIDTH);
    if (head) {
        tl_queue_peek(L, table, &c->receivers, 1);
        lua_pushvalue(L, table - 1);
        lua_pushboolean(L, 1);
        tl_future_resolve(L, tl_run_of(L), head, false, 3);
        tl_queue_drop(L, table, &c->receivers, RECEIVER_WIDTH);
        lua_settop(L, table - 2);
        return true;
    }
    lua_settop(L, table - 1);
    if (c->last - c->first >= c->capacity) {
        return false;
    }
    keep_value(L, index, c);
    return true;
}

void tl_channel_await_take(lua_State *L, int index, lua_Integer tag)
{
    struct channel *c = check(L, index);
    lua_getiuservalue(L, index, RECEIVERS);
    lua_insert(L, -2);
    lua_pushinteger(L, tag);
    tl_queue_push(L, lua_gettop(L) - 2, &c->receivers, RECEIVER_WIDTH);
    lua_pop(L, 1);
}

void tl_channel_await_give(lua_State *L, int index, lua_Integer tag)
{
    struct channel *c = check(L, index);
    lua_getiuservalue(L, index, SENDERS);
    lua_insert(L, -3);
    lua_pushinteger(L, tag);
    lua_insert(L, -2);
    tl_queue_push(L, lua_gettop(L) - 3, &c->senders, SENDER_WIDTH);
    lua_pop(L, 1);
}

/* --- waiting ---------------------------------------------------------------------------------- */

/* The wait of a receiver or sender is over: 2 is the timer or nil, 3 the waiter. Pushes what it was
 * resolved with and returns true; false when the time was over. */
static bool wait_ended(lua_State *L)
{
    struct tl_future *waiter = tl_future_check(L, 3);
    enum tl_wake reason = tl_await_end(L);
    tl_wait_timer_stop(L, 2);
    bool served = waiter->state == TL_FUTURE_DONE;
    tl_waiter_kill(L, waiter);
    if (reason == TL_WAKE_CANCEL) {
        tl_await_raise_cancelled(L);
    }
    if (served) {
        tl_future_values(L, 3);
    }
    return served;
}

static int received(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    if (wait_ended(L)) {
        return 2; /* value and ok, above the tag */
    }
    lua_pushnil(L);
    lua_pushboolean(L, 0);
    lua_pushliteral(L, "timeout");
    return 3;
}

/* receive([{ timeout = }]) -> value, true; nil, false when it is closed and empty; nil, false,
 * "timeout". */
static int channel_receive(lua_State *L)
{
    check(L, 1);
    tl_await_check(L, "channel:receive");
    struct tl_wait_options o = tl_wait_options_read(L, 2, "channel:receive");
    lua_settop(L, 1);
    if (tl_channel_take(L, 1)) {
        return 2;
    }
    if (o.timeout_ns == 0) {
        lua_pushnil(L);
        lua_pushboolean(L, 0);
        lua_pushliteral(L, "timeout");
        return 3;
    }
    tl_wait_timer(L, &o);
    tl_waiter_new(L);
    lua_pushvalue(L, 3);
    tl_channel_await_take(L, 1, 0);
    return tl_waiter_await(L, 3, 2, 0, received);
}

/* try_receive() -> value, true; nil, false when there is none now. */
static int channel_try_receive(lua_State *L)
{
    check(L, 1);
    tl_command_check(L, "channel:try_receive");
    if (!tl_channel_take(L, 1)) {
        lua_pushnil(L);
        lua_pushboolean(L, 0);
    }
    return 2;
}

static int sent(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    bool served = wait_ended(L);
    if (served && !lua_toboolean(L, -1)) {
        return luaL_error(L, "the channel was closed while channel:send waited");
    }
    lua_pushboolean(L, served);
    return 1;
}

/* send(value [, { timeout = }]) -> true; false when the time is over. */
static int channel_send(lua_State *L)
{
    check(L, 1);
    tl_await_check(L, "channel:send");
    struct tl_wait_options o = tl_wait_options_read(L, 3, "channel:send");
    lua_settop(L, 2);
    if (tl_channel_give(L, 1)) {
        lua_pushboolean(L, 1);
        return 1;
    }
    if (o.timeout_ns == 0) {
        lua_pushboolean(L, 0);
        return 1;
    }
    tl_wait_timer(L, &o);
    lua_insert(L, 2);
    tl_waiter_new(L);
    lua_insert(L, 3);
    lua_pushvalue(L, 3);
    lua_insert(L, 4); /* channel, timer, waiter, waiter, value */
    tl_channel_await_give(L, 1, 0);
    return tl_waiter_await(L, 3, 2, 0, sent);
}

/* try_send(value) -> whether it was taken */
static int channel_try_send(lua_State *L)
{
    check(L, 1);
    tl_command_check(L, "channel:try_send");
    lua_settop(L, 2);
    lua_pushboolean(L, tl_channel_give(L, 1));
    return 1;
}

/* close(): receivers that wait get nil, false; senders that wait get an error. Once is enough. */
static int channel_close(lua_State *L)
{
    struct channel *c = check(L, 1);
    struct tl_lua_run *run = tl_run_of(L);
    struct tl_future *head;
    tl_command_check(L, "channel:close");
    c->closed = true;
    lua_settop(L, 1);
    lua_getiuservalue(L, 1, RECEIVERS);
    while ((head = tl_queue_head(L, 2, &c->receivers, RECEIVER_WIDTH))) {
        tl_queue_peek(L, 2, &c->receivers, 1);
        lua_pushnil(L);
        lua_pushboolean(L, 0);
        tl_future_resolve(L, run, head, false, 3);
        tl_queue_drop(L, 2, &c->receivers, RECEIVER_WIDTH);
    }
    lua_getiuservalue(L, 1, SENDERS);
    while ((head = tl_queue_head(L, 3, &c->senders, SENDER_WIDTH))) {
        tl_queue_peek(L, 3, &c->senders, 1);
        lua_pushboolean(L, 0);
        tl_future_resolve(L, run, head, false, 2);
        tl_queue_drop(L, 3, &c->senders, SENDER_WIDTH);
    }
    return 0;
}

static int channel_closed(lua_State *L)
{
    lua_pushboolean(L, check(L, 1)->closed);
    return 1;
}

static int channel_count(lua_State *L)
{
    const struct channel *c = check(L, 1);
    lua_pushinteger(L, c->last - c->first);
    return 1;
}

static int each_received(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    wait_ended(L);
    lua_settop(L, lua_gettop(L) - 1);
    return 1; /* the value; nil at the end */
}

/* The iterator of each: the channel is its first argument. */
static int each_step(lua_State *L)
{
    tl_await_check(L, "channel:each");
    lua_settop(L, 1);
    if (tl_channel_take(L, 1)) {
        lua_settop(L, 2);
        return 1;
    }
    lua_pushnil(L);
    tl_waiter_new(L);
    lua_pushvalue(L, 3);
    tl_channel_await_take(L, 1, 0);
    return tl_waiter_await(L, 3, 0, 0, each_received);
}

/* for value in channel:each(): until it is closed and empty, or a nil comes. */
static int channel_each(lua_State *L)
{
    check(L, 1);
    lua_settop(L, 1);
    lua_pushcfunction(L, each_step);
    lua_insert(L, 1);
    return 2;
}

int tl_lib_wf_channel(lua_State *L)
{
    static const luaL_Reg methods[] = {{"send", channel_send},
                                       {"receive", channel_receive},
                                       {"try_send", channel_try_send},
                                       {"try_receive", channel_try_receive},
                                       {"close", channel_close},
                                       {"closed", channel_closed},
                                       {"count", channel_count},
                                       {"each", channel_each},
                                       {NULL, NULL}};
    lua_Integer capacity = luaL_optinteger(L, 1, 0);
    luaL_argcheck(L, capacity >= 0 && capacity <= INT32_MAX, 1, "a capacity is 0 or more");
    struct channel *c = lua_newuserdatauv(L, sizeof *c, 3);
    *c = (struct channel){capacity, 1, 1, false, {1, 1, 0}, {1, 1, 0}};
    for (int i = VALUES; i <= SENDERS; i++) {
        lua_newtable(L);
        lua_setiuservalue(L, -2, i);
    }
    tl_sync_meta(L, META_CHANNEL, methods, NULL);
    return 1;
}
