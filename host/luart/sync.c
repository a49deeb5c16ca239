/* See sync.h. Thread: the run's. Owner: Lua memory of the run. */
#include "luart/sync.h"

#include <string.h>

#include "luart/options.h"

enum { COMPACT_FROM = 64 };

/* --- queues ----------------------------------------------------------------------------------- */

static bool alive(lua_State *L, int table, lua_Integer place)
{
    lua_rawgeti(L, table, place);
    const struct tl_future *waiter = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return waiter && waiter->state == TL_FUTURE_PENDING && waiter->waits;
}

/* Moves the living together; every item is looked at once per doubling of the queue. */
static void compact(lua_State *L, int table, struct tl_queue *q, int width)
{
    lua_Integer to = q->first;
    for (lua_Integer from = q->first; from < q->last; from += width) {
        if (!alive(L, table, from)) {
            continue;
        }
        for (int i = 0; i < width; i++) {
            lua_rawgeti(L, table, from + i);
            lua_rawseti(L, table, to++);
        }
    }
    for (lua_Integer i = to; i < q->last; i++) {
        lua_pushnil(L);
        lua_rawseti(L, table, i);
    }
    q->last = to;
    q->compacted = q->last - q->first;
}

void tl_queue_push(lua_State *L, int table, struct tl_queue *q, int width)
{
    luaL_checkstack(L, 4, NULL);
    tl_queue_head(L, table, q, width);
    if (q->last - q->first >= COMPACT_FROM && q->last - q->first >= 2 * q->compacted) {
        compact(L, table, q, width);
    }
    for (int i = width; i-- > 0;) {
        lua_rawseti(L, table, q->last + i);
    }
    q->last += width;
}

struct tl_future *tl_queue_head(lua_State *L, int table, struct tl_queue *q, int width)
{
    while (q->first < q->last && !alive(L, table, q->first)) {
        tl_queue_drop(L, table, q, width);
    }
    if (q->first == q->last) {
        q->first = q->last = 1; /* so that the table's array part is used again */
        q->compacted = 0;
        return NULL;
    }
    lua_rawgeti(L, table, q->first);
    struct tl_future *waiter = lua_touserdata(L, -1);
    lua_pop(L, 1); /* the table keeps it */
    return waiter;
}

void tl_queue_peek(lua_State *L, int table, const struct tl_queue *q, int place)
{
    lua_rawgeti(L, table, q->first + place);
}

void tl_queue_drop(lua_State *L, int table, struct tl_queue *q, int width)
{
    for (int i = 0; i < width; i++) {
        lua_pushnil(L);
        lua_rawseti(L, table, q->first++);
    }
}

/* --- waiters ---------------------------------------------------------------------------------- */

struct tl_future *tl_waiter_new(lua_State *L)
{
    return tl_future_new(L, tl_run_of(L), TL_FUTURE_USER);
}

void tl_waiter_kill(lua_State *L, struct tl_future *waiter)
{
    if (waiter->state == TL_FUTURE_PENDING) {
        tl_future_resolve(L, tl_run_of(L), waiter, true, 0);
    }
}

int tl_waiter_await(lua_State *L, int waiter, int timer, lua_KContext ctx, lua_KFunction k)
{
    struct tl_future *t = timer ? tl_future_test(L, timer) : NULL;
    tl_await_room(L, 2);
    tl_await_add(L, tl_future_check(L, waiter));
    if (t) {
        tl_await_add(L, t);
    }
    return tl_await_yield(L, ctx, k);
}

/* --- timeouts --------------------------------------------------------------------------------- */

static const struct tl_opt wait_opts[] = {
    TL_OPT("timeout", TL_OPT_NS, 0, struct tl_wait_options, timeout_ns),
    TL_OPT("timeout_summary", TL_OPT_PAYLOAD, 0, struct tl_wait_options, summary),
};

struct tl_wait_options tl_wait_options_read(lua_State *L, int index, const char *what)
{
    struct tl_wait_options o = {-1, NULL, what};
    TL_OPTIONS_READ(L, index, what, wait_opts, (void *[]){&o}, tl_cmd_arena(L));
    return o;
}

void tl_wait_timer(lua_State *L, const struct tl_wait_options *o)
{
    if (o->timeout_ns > 0) {
        tl_wf_start_timeout(L, o->what, o->timeout_ns, o->summary, NULL, 0);
    } else {
        lua_pushnil(L);
    }
}

void tl_wait_timer_stop(lua_State *L, int index)
{
    struct tl_future *timer = tl_future_test(L, index);
    if (timer && timer->state == TL_FUTURE_PENDING) {
        tl_future_cancel(L, tl_run_of(L), timer);
    }
}

/* --- methods ---------------------------------------------------------------------------------- */

/* Upvalues: the methods (light userdata), the type's name. */
static int index_method(lua_State *L)
{
    const luaL_Reg *methods = lua_touserdata(L, lua_upvalueindex(1));
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    for (const luaL_Reg *m = methods; m->name; m++) {
        if (strcmp(key, m->name) == 0) {
            lua_pushcfunction(L, m->func);
            return 1;
        }
    }
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (const luaL_Reg *m = methods; m->name; m++) {
        luaL_addstring(&b, m == methods ? "" : ", ");
        luaL_addstring(&b, m->name);
    }
    luaL_pushresult(&b);
    return luaL_error(L, "a %s has no '%s' (it has %s)",
                      lua_tostring(L, lua_upvalueindex(2)) + strlen("workflow."),
                      tl_sandbox_tostring(L, 2, NULL), lua_tostring(L, 3));
}

void tl_sync_meta(lua_State *L, const char *type, const luaL_Reg *methods, const luaL_Reg *meta)
{
    if (luaL_newmetatable(L, type)) {
        lua_pushlightuserdata(L, (void *)(uintptr_t)methods);
        lua_pushstring(L, type);
        lua_pushcclosure(L, index_method, 2);
        lua_setfield(L, -2, "__index");
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
        lua_pushstring(L, type + strlen("workflow."));
        lua_setfield(L, -2, "__name");
        if (meta) {
            luaL_setfuncs(L, meta, 0);
        }
    }
    lua_setmetatable(L, -2);
}
