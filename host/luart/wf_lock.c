/* workflow.lock, semaphore, wait_group and future. See sandbox.def and sync.h.
 * Thread: the run's. Owner: Lua memory of the run. */
#include "luart/options.h"
#include "luart/sync.h"

#define META_SEMAPHORE "workflow.semaphore"
#define META_LOCK "workflow.lock"
#define META_GUARD "workflow.guard"
#define META_WAIT_GROUP "workflow.wait_group"

/* --- semaphores and locks --------------------------------------------------------------------- */

/* User value 1: the queue's table of waiter, wanted. */
struct semaphore {
    lua_Integer free, capacity;
    bool lock;
    struct tl_queue queue;
};
enum { SEMAPHORE_WIDTH = 2 };

/* User value 1: the semaphore. */
struct guard {
    lua_Integer count; /* 0: given back */
};

struct acquire_options {
    int64_t timeout;
    TpCommon__Payload *summary;
    int32_t count;
};

static const struct tl_opt acquire_opts[] = {
    TL_OPT("timeout", TL_OPT_NS, 0, struct acquire_options, timeout),
    TL_OPT("timeout_summary", TL_OPT_PAYLOAD, 0, struct acquire_options, summary),
    TL_OPT("count", TL_OPT_INT, 0, struct acquire_options, count),
};

static struct semaphore *check_semaphore(lua_State *L, int index)
{
    struct semaphore *s = luaL_testudata(L, index, META_LOCK);
    if (!s) {
        s = luaL_testudata(L, index, META_SEMAPHORE);
    }
    if (!s) {
        luaL_error(L, "a lock or semaphore is expected, got a %s (is it called with a colon?)",
                   luaL_typename(L, index));
    }
    return s;
}

/* Serves waiters from the head while there is enough for it. The semaphore is at index. */
static void serve(lua_State *L, int index, struct semaphore *s)
{
    int top = lua_gettop(L);
    struct tl_future *head;
    lua_getiuservalue(L, index, 1);
    while ((head = tl_queue_head(L, top + 1, &s->queue, SEMAPHORE_WIDTH))) {
        tl_queue_peek(L, top + 1, &s->queue, 1);
        lua_Integer wanted = lua_tointeger(L, -1);
        lua_pop(L, 1);
        if (wanted > s->free) {
            break;
        }
        s->free -= wanted;
        tl_future_resolve(L, tl_run_of(L), head, false, 0);
        tl_queue_drop(L, top + 1, &s->queue, SEMAPHORE_WIDTH);
    }
    lua_settop(L, top);
}

static void give_back(lua_State *L, int index, lua_Integer count)
{
    struct semaphore *s = check_semaphore(L, index);
    if (count > s->capacity - s->free) {
        luaL_error(L, s->lock ? "the lock is not held" : "more is released than was acquired");
    }
    s->free += count;
    serve(L, index, s);
}

static int guard_release(lua_State *L)
{
    struct guard *g = luaL_checkudata(L, 1, META_GUARD);
    lua_Integer count = g->count;
    g->count = 0;
    if (count) {
        lua_getiuservalue(L, 1, 1);
        give_back(L, lua_gettop(L), count);
    }
    return 0;
}

/* Pushes what acquire returns: closing it releases. The semaphore is at index. */
static int push_guard(lua_State *L, int index, lua_Integer count)
{
    static const luaL_Reg methods[] = {{"release", guard_release}, {NULL, NULL}};
    static const luaL_Reg meta[] = {{"__close", guard_release}, {NULL, NULL}};
    struct guard *g = lua_newuserdatauv(L, sizeof *g, 1);
    g->count = count;
    lua_pushvalue(L, index);
    lua_setiuservalue(L, -2, 1);
    tl_sync_meta(L, META_GUARD, methods, meta);
    return 1;
}

static bool has_waiters(lua_State *L, int index, struct semaphore *s)
{
    lua_getiuservalue(L, index, 1);
    bool any = tl_queue_head(L, lua_gettop(L), &s->queue, SEMAPHORE_WIDTH) != NULL;
    lua_pop(L, 1);
    return any;
}

static bool take_now(lua_State *L, int index, struct semaphore *s, lua_Integer count)
{
    if (count > s->free || has_waiters(L, index, s)) {
        return false;
    }
    s->free -= count;
    return true;
}

static struct acquire_options read_acquire(lua_State *L, const char *what, struct semaphore *s,
                                           int index)
{
    struct acquire_options o = {-1, NULL, 1};
    TL_OPTIONS_READ(L, index, what, acquire_opts, (void *[]){&o}, tl_cmd_arena(L));
    if (o.count < 1 || o.count > s->capacity) {
        luaL_error(L, "%s: count must be between 1 and %I", what, (LUAI_UACINT)s->capacity);
    }
    return o;
}

/* The semaphore is at index 1, a timer or nil below the waiter on top. True: acquired. */
static bool acquire_ended(lua_State *L)
{
    struct tl_future *waiter = tl_future_check(L, -1);
    enum tl_wake reason = tl_await_end(L);
    bool got = waiter->state == TL_FUTURE_DONE;
    tl_wait_timer_stop(L, lua_gettop(L) - 1);
    if (!got) {
        tl_waiter_kill(L, waiter);
        serve(L, 1, check_semaphore(L, 1)); /* those behind it may want less */
    }
    if (reason == TL_WAKE_CANCEL) {
        tl_await_raise_cancelled(L);
    }
    return got;
}

/* Waits for `count` of the semaphore at index 1, which has not so much. ctx of k: the count. */
static int acquire_wait(lua_State *L, int64_t timeout, TpCommon__Payload *summary,
                        lua_Integer count, lua_KFunction k)
{
    struct semaphore *s = check_semaphore(L, 1);
    struct tl_wait_options wait = {timeout, summary,
                                   s->lock ? "lock:acquire" : "semaphore:acquire"};
    tl_wait_timer(L, &wait);
    tl_waiter_new(L);
    int waiter = lua_gettop(L);
    lua_getiuservalue(L, 1, 1);
    lua_pushvalue(L, waiter);
    lua_pushinteger(L, count);
    tl_queue_push(L, waiter + 1, &s->queue, SEMAPHORE_WIDTH);
    lua_settop(L, waiter);
    return tl_waiter_await(L, waiter, waiter - 1, (lua_KContext)count, k);
}

static int acquired(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    if (!acquire_ended(L)) {
        lua_pushnil(L);
        return 1;
    }
    return push_guard(L, 1, (lua_Integer)ctx);
}

/* acquire([{ timeout =, count = }]) -> guard; nil when the time is over. */
static int semaphore_acquire(lua_State *L)
{
    struct semaphore *s = check_semaphore(L, 1);
    const char *what = s->lock ? "lock:acquire" : "semaphore:acquire";
    tl_await_check(L, what);
    struct acquire_options o = read_acquire(L, what, s, 2);
    if (take_now(L, 1, s, o.count)) {
        return push_guard(L, 1, o.count);
    }
    if (o.timeout == 0) {
        lua_pushnil(L);
        return 1;
    }
    lua_settop(L, 1);
    return acquire_wait(L, o.timeout, o.summary, o.count, acquired);
}

static int semaphore_try_acquire(lua_State *L)
{
    struct semaphore *s = check_semaphore(L, 1);
    lua_Integer count = luaL_optinteger(L, 2, 1);
    tl_command_check(L, s->lock ? "lock:try_acquire" : "semaphore:try_acquire");
    luaL_argcheck(L, count >= 1 && count <= s->capacity, 2, "no such count");
    if (take_now(L, 1, s, count)) {
        return push_guard(L, 1, count);
    }
    lua_pushnil(L);
    return 1;
}

static int semaphore_release(lua_State *L)
{
    struct semaphore *s = check_semaphore(L, 1);
    lua_Integer count = luaL_optinteger(L, 2, 1);
    tl_command_check(L, s->lock ? "lock:release" : "semaphore:release");
    luaL_argcheck(L, count >= 1, 2, "the count is 1 or more");
    give_back(L, 1, count);
    return 0;
}

static int with_done(lua_State *L, int status, lua_KContext ctx)
{
    (void)ctx;
    give_back(L, 1, 1);
    if (status != LUA_OK && status != LUA_YIELD) {
        return lua_error(L);
    }
    return lua_gettop(L) - 1;
}

/* 1: semaphore, 2: function, then its arguments */
static int with_call(lua_State *L)
{
    int status = lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, with_done);
    return with_done(L, status, 0);
}

static int with_acquired(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    acquire_ended(L);
    lua_pop(L, 2); /* waiter and timer */
    return with_call(L);
}

/* with(function, ...): calls it while one is held, and returns what it returns. */
static int semaphore_with(lua_State *L)
{
    struct semaphore *s = check_semaphore(L, 1);
    tl_await_check(L, s->lock ? "lock:with" : "semaphore:with");
    luaL_checktype(L, 2, LUA_TFUNCTION);
    if (take_now(L, 1, s, 1)) {
        return with_call(L);
    }
    return acquire_wait(L, -1, NULL, 1, with_acquired);
}

static int semaphore_available(lua_State *L)
{
    lua_pushinteger(L, check_semaphore(L, 1)->free);
    return 1;
}

static int lock_locked(lua_State *L)
{
    lua_pushboolean(L, check_semaphore(L, 1)->free == 0);
    return 1;
}

static int new_semaphore(lua_State *L, lua_Integer count, bool lock)
{
    static const luaL_Reg methods[] = {
        {"acquire", semaphore_acquire},     {"try_acquire", semaphore_try_acquire},
        {"release", semaphore_release},     {"with", semaphore_with},
        {"available", semaphore_available}, {NULL, NULL}};
    static const luaL_Reg lock_methods[] = {
        {"acquire", semaphore_acquire}, {"try_acquire", semaphore_try_acquire},
        {"release", semaphore_release}, {"with", semaphore_with},
        {"locked", lock_locked},        {NULL, NULL}};
    struct semaphore *s = lua_newuserdatauv(L, sizeof *s, 1);
    *s = (struct semaphore){count, count, lock, {1, 1, 0}};
    lua_newtable(L);
    lua_setiuservalue(L, -2, 1);
    tl_sync_meta(L, lock ? META_LOCK : META_SEMAPHORE, lock ? lock_methods : methods, NULL);
    return 1;
}

int tl_lib_wf_semaphore(lua_State *L)
{
    lua_Integer count = luaL_checkinteger(L, 1);
    luaL_argcheck(L, count >= 1 && count <= INT32_MAX, 1, "a semaphore counts from 1 upwards");
    return new_semaphore(L, count, false);
}

int tl_lib_wf_lock(lua_State *L)
{
    return new_semaphore(L, 1, true);
}

/* --- wait groups ------------------------------------------------------------------------------ */

/* User value 1: the queue's table. */
struct wait_group {
    lua_Integer count;
    struct tl_queue queue;
};

static struct wait_group *check_wait_group(lua_State *L)
{
    return luaL_checkudata(L, 1, META_WAIT_GROUP);
}

static int change(lua_State *L, struct wait_group *g, lua_Integer by)
{
    if (by < 0 && g->count < -by) {
        return luaL_error(L, "wait_group:done was called more often than was added");
    }
    g->count += by;
    lua_settop(L, 1);
    lua_getiuservalue(L, 1, 1);
    struct tl_future *head;
    while (g->count == 0 && (head = tl_queue_head(L, 2, &g->queue, 1))) {
        tl_future_resolve(L, tl_run_of(L), head, false, 0);
        tl_queue_drop(L, 2, &g->queue, 1);
    }
    return 0;
}

static int wait_group_add(lua_State *L)
{
    struct wait_group *g = check_wait_group(L);
    lua_Integer n = luaL_optinteger(L, 2, 1);
    tl_command_check(L, "wait_group:add");
    luaL_argcheck(L, n >= 0 && n <= INT32_MAX, 2, "the number is 0 or more");
    return change(L, g, n);
}

static int wait_group_done(lua_State *L)
{
    tl_command_check(L, "wait_group:done");
    return change(L, check_wait_group(L), -1);
}

/* 1: group, 2: timer or nil, 3: waiter */
static int wait_group_woken(lua_State *L, int status, lua_KContext ctx)
{
    struct tl_future *waiter = tl_future_check(L, 3);
    enum tl_wake reason = tl_await_end(L);
    (void)status;
    (void)ctx;
    tl_wait_timer_stop(L, 2);
    bool done = waiter->state == TL_FUTURE_DONE;
    tl_waiter_kill(L, waiter);
    if (reason == TL_WAKE_CANCEL) {
        return tl_await_raise_cancelled(L);
    }
    lua_pushboolean(L, done);
    return 1;
}

/* wait([{ timeout = }]): true when the count is 0; false when the time is over. */
static int wait_group_wait(lua_State *L)
{
    struct wait_group *g = check_wait_group(L);
    tl_await_check(L, "wait_group:wait");
    struct tl_wait_options o = tl_wait_options_read(L, 2, "wait_group:wait");
    if (g->count == 0 || o.timeout_ns == 0) {
        lua_pushboolean(L, g->count == 0);
        return 1;
    }
    lua_settop(L, 1);
    tl_wait_timer(L, &o);
    tl_waiter_new(L);
    lua_getiuservalue(L, 1, 1);
    lua_pushvalue(L, 3);
    tl_queue_push(L, 4, &g->queue, 1);
    lua_settop(L, 3);
    return tl_waiter_await(L, 3, 2, 0, wait_group_woken);
}

int tl_lib_wf_wait_group(lua_State *L)
{
    static const luaL_Reg methods[] = {{"add", wait_group_add},
                                       {"done", wait_group_done},
                                       {"wait", wait_group_wait},
                                       {NULL, NULL}};
    struct wait_group *g = lua_newuserdatauv(L, sizeof *g, 1);
    *g = (struct wait_group){0, {1, 1, 0}};
    lua_newtable(L);
    lua_setiuservalue(L, -2, 1);
    tl_sync_meta(L, META_WAIT_GROUP, methods, NULL);
    return 1;
}

/* --- futures of the script -------------------------------------------------------------------- */

int tl_lib_wf_future(lua_State *L)
{
    tl_command_check(L, "workflow.future");
    tl_future_new(L, tl_run_of(L), TL_FUTURE_USER);
    return 1;
}
