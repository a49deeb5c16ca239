/* The Lua functions of the activities that hold sessions (lua/temporal/internal/session_activities.lua).
 * Thread: that of the coroutine activities' loop. */
#include <lauxlib.h>
#include <unistd.h>

#include "luahost/host.h"
#include "luahost/sessions.h"
#include "worker/activity.h"

static struct tl_lua_task *task_of(lua_State *L)
{
    struct tl_lua_task *t = tl_lua_task_of(L);
    if (!t) {
        luaL_error(L, "a session is held by a coroutine activity");
    }
    return t;
}

/* [-0, +0, v] core.session_room(task_queue, max): how many sessions the worker of this queue takes; 0 when it ends */
static int room(lua_State *L)
{
    struct tl_str queue;
    queue.p = luaL_checklstring(L, 1, &queue.n);
    lua_Integer max = luaL_checkinteger(L, 2);
    luaL_argcheck(L, max >= 0, 2, "a number from 0 up");
    tl_session_room(queue, (size_t)max);
    return 0;
}

/* [-0, +1, v] core.session_enter(id, task_queue): whether there was room; the activity holds it to its end */
static int enter(lua_State *L)
{
    struct tl_str id, queue;
    id.p = luaL_checklstring(L, 1, &id.n);
    queue.p = luaL_checklstring(L, 2, &queue.n);
    struct tl_lua_task *t = task_of(L);
    struct tl_session **held = tl_lua_task_session(t);
    luaL_argcheck(L, !*held, 1, "this activity holds a session already");
    *held = tl_session_enter(id, queue, t);
    lua_pushboolean(L, *held != NULL);
    return 1;
}

static int wait_on(lua_State *L, int status, lua_KContext deadline_ns)
{
    (void)status;
    struct tl_lua_task *t = task_of(L);
    const struct tl_activity *a = tl_host_get(L)->current;
    bool complete = tl_session_is_complete(*tl_lua_task_session(t));
    if (complete || tl_activity_cancel_reasons(a) || tl_activity_worker_shutting_down(a) ||
        tl_world_mono_ns(tl_world_real()) >= deadline_ns) {
        lua_pushboolean(L, complete);
        return 1;
    }
    return tl_lua_task_wait(L, t, deadline_ns, deadline_ns, wait_on);
}

/* [-0, +1, v] core.session_wait(ns): true once the session is to end; false when the time is over, the activity was
 * cancelled or the worker shuts down */
static int wait(lua_State *L)
{
    int64_t ns = luaL_checkinteger(L, 1);
    luaL_argcheck(L, *tl_lua_task_session(task_of(L)), 1, "this activity holds no session");
    return wait_on(L, LUA_OK, tl_world_mono_ns(tl_world_real()) + ns);
}

/* [-0, +1, v] core.session_complete(id): whether a worker of this process had it */
static int complete(lua_State *L)
{
    struct tl_str id;
    id.p = luaL_checklstring(L, 1, &id.n);
    lua_pushboolean(L, tl_session_complete(id));
    return 1;
}

/* [-0, +1, -] core.host_name() */
static int host_name(lua_State *L)
{
    char name[256] = "";
    (void)gethostname(name, sizeof name - 1);
    lua_pushstring(L, name);
    return 1;
}

static const luaL_Reg functions[] = {
    {"session_room", room},         {"session_enter", enter}, {"session_wait", wait},
    {"session_complete", complete}, {"host_name", host_name}, {NULL, NULL},
};

void tl_core_session(lua_State *L)
{
    luaL_setfuncs(L, functions, 0);
}
