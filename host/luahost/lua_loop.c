/* See lua_loop.h. */
#include "luahost/lua_loop.h"

#include <lauxlib.h>
#include <time.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/world.h"
#include "luahost/lua_luv.h"
#include "luahost/sessions.h"

#define DRAIN_MS 5000

struct tl_lua_loop {
    struct tl_lua_activities *of;
    struct tl_loop *loop;
    lua_State *L;
    struct tl_host *host;
    pthread_t thread, watcher;
    bool has_thread, has_watcher;
    struct tl_error error; /* of the start */
    tl_rc rc;

    pthread_mutex_t mutex;
    pthread_cond_t cond; /* started; for the watcher: a task came, or the end */
    bool started, stopping;
    struct tl_list posted; /* of struct tl_lua_task, new; guarded */
    struct tl_list woken;  /* of struct tl_lua_task, `wake`; guarded */

    size_t tasks;               /* alive; guarded */
    struct tl_list connections; /* open ones of this state */
    int64_t block_limit_ns;
    struct tl_lua_task *running;   /* guarded for the watcher */
    atomic_llong running_since_ns; /* 0: none */
};

struct tl_lua_task {
    struct tl_list node; /* posted */
    struct tl_list wake; /* loop->woken, guarded */
    struct tl_lua_loop *loop;
    struct tl_lua_entry *entry;
    struct tl_lua_call call;
    lua_State *co;
    int co_ref;
    struct tl_loop_timer *timer;
    bool waiting; /* in tl_lua_task_wait */
    bool wanted;  /* woken while it did not wait */
    int shields;
    struct tl_session *session; /* NULL: it holds none */
    struct tl_lua_task **ref;   /* memory of a userdata of the state */
};

static int64_t now_ns(void)
{
    return tl_world_mono_ns(tl_world_real());
}

/* --- waking ----------------------------------------------------------------------------------- */

/* Thread: any, while the task lives. */
static void wake_later(void *ud)
{
    struct tl_lua_task *t = ud;
    struct tl_lua_loop *l = t->loop;
    pthread_mutex_lock(&l->mutex);
    if (tl_list_empty(&t->wake)) {
        tl_list_push(&l->woken, &t->wake);
    }
    pthread_mutex_unlock(&l->mutex);
    tl_loop_wake(l->loop);
}

void tl_lua_task_wake(struct tl_lua_task *t)
{
    wake_later(t);
}

struct tl_lua_task **tl_lua_task_push_ref(lua_State *L, struct tl_lua_task *t)
{
    if (t->ref) {
        lua_rawgetp(L, LUA_REGISTRYINDEX, t);
        return t->ref;
    }
    struct tl_lua_task **ref = lua_newuserdatauv(L, sizeof *ref, 0);
    *ref = t;
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, t);
    t->ref = ref;
    return ref;
}

struct tl_list *tl_lua_task_connections(struct tl_lua_task *t)
{
    return &t->loop->connections;
}

struct tl_session **tl_lua_task_session(struct tl_lua_task *t)
{
    return &t->session;
}

struct tl_loop *tl_lua_task_loop(struct tl_lua_task *t)
{
    return t->loop->loop;
}

struct tl_lua_task *tl_lua_task_of(lua_State *L)
{
    return tl_host_get(L)->task;
}

/* --- running ---------------------------------------------------------------------------------- */

/* Whose turn it is, for what Lua asks of the host and for the watcher. */
static void set_running(struct tl_lua_loop *l, struct tl_lua_task *t)
{
    struct tl_host *h = l->host;
    h->current = t ? t->call.activity : NULL;
    h->current_data = l->of;
    h->task = t;
    h->shields = t ? t->shields : 0;
    pthread_mutex_lock(&l->mutex);
    l->running = t;
    pthread_mutex_unlock(&l->mutex);
    atomic_store(&l->running_since_ns, t ? now_ns() : 0);
}

static void cancel_timer(struct tl_lua_task *t)
{
    tl_loop_timer_cancel(t->timer);
    t->timer = NULL;
}

static void task_free(struct tl_lua_task *t)
{
    struct tl_lua_loop *l = t->loop;
    struct tl_activity *a = t->call.activity;
    cancel_timer(t);
    tl_activity_on_change(a, NULL, NULL);
    tl_session_leave(t->session); /* nobody wakes it any more */
    if (t->ref) {
        *t->ref = NULL;
        lua_pushnil(l->L);
        lua_rawsetp(l->L, LUA_REGISTRYINDEX, t);
    }
    luaL_unref(l->L, LUA_REGISTRYINDEX, t->co_ref);
    pthread_mutex_lock(&l->mutex);
    tl_list_remove(&t->wake);
    l->tasks--;
    pthread_mutex_unlock(&l->mutex);
    tl_mem_free(t);
    tl_activity_finish(a);
}

/* [-0, +1, e] The error is at 1, the coroutine it ended at 2. */
static int describe(lua_State *L)
{
    lua_State *co = lua_tothread(L, 2);
    lua_settop(L, 1);
    tl_lua_call_describe(L, co, 0);
    return 1;
}

/* The error is on top of the coroutine; its stack is still there. */
static void task_failed(struct tl_lua_task *t)
{
    lua_State *L = t->loop->L;
    lua_pushcfunction(L, describe);
    lua_xmove(t->co, L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, t->co_ref);
    if (lua_pcall(L, 2, 1, 0) != LUA_OK) {
        TL_LOG(TL_LOG_WARN, "activity.error_not_described", TL_C("activity_type", t->entry->name));
    }
    (void)lua_resetthread(t->co); /* closes what is to be closed */
    tl_lua_call_failed(L, t->call.activity);
}

static void resume(struct tl_lua_task *t, int arguments)
{
    struct tl_lua_loop *l = t->loop;
    int results, top = lua_gettop(l->L);
    t->waiting = false;
    cancel_timer(t);
    set_running(l, t);
    int rc = lua_resume(t->co, l->L, arguments, &results);
    if (rc == LUA_YIELD && !t->waiting) {
        lua_settop(t->co, 0);
        lua_pushliteral(
            t->co, "a coroutine activity yields only inside temporal.activity and temporal.net: "
                   "use activity.await to wait for something else");
        rc = LUA_ERRRUN;
    }
    if (rc == LUA_YIELD) {
        t->shields = l->host->shields;
        lua_pop(t->co, results);
    } else if (rc != LUA_OK) {
        task_failed(t);
    }
    int64_t held_ns = now_ns() - atomic_load(&l->running_since_ns);
    if (held_ns > l->block_limit_ns) {
        TL_LOG(TL_LOG_WARN, "activity.blocked_the_loop", TL_C("activity_type", t->entry->name),
               TL_C("activity_id", t->call.activity->task->activity_id),
               TL_I("ms", held_ns / TL_NS_PER_MS));
    }
    set_running(l, NULL);
    lua_settop(l->L, top);
    if (rc != LUA_YIELD) {
        task_free(t);
    }
}

static void timer_fired(void *ud)
{
    resume(ud, 0);
}

int tl_lua_task_wait(lua_State *L, struct tl_lua_task *t, int64_t deadline_ns, lua_KContext ctx,
                     lua_KFunction k)
{
    if (L != t->co) {
        return luaL_error(
            L, "this waits in the activity's own coroutine only, not in one that it made");
    }
    if (!lua_isyieldable(L)) {
        return luaL_error(
            L, "this waits, which is not possible inside of a C function that calls back "
               "(table.sort, string.gsub, a metamethod of C)");
    }
    if (t->wanted) {
        t->wanted = false;
        return k(L, LUA_YIELD, ctx);
    }
    if (deadline_ns != INT64_MAX) {
        int64_t left = deadline_ns - now_ns();
        int64_t ms = left > 0 ? (left + TL_NS_PER_MS - 1) / TL_NS_PER_MS : 0;
        t->timer = tl_loop_timer_start(t->loop->loop, ms, 0, timer_fired, t);
    }
    t->waiting = true;
    return lua_yieldk(L, 0, ctx, k);
}

/* [-0, +1, e] A coroutine with its function and the call (a light userdata, at 2) on its stack; the name of the
 * activity is at 1. */
static int make_coroutine(lua_State *L)
{
    lua_State *co = lua_newthread(L);
    lua_pushcfunction(co, tl_lua_call_body);
    lua_rawgetp(L, LUA_REGISTRYINDEX, L); /* the functions */
    lua_pushvalue(L, 1);
    lua_rawget(L, -2);
    lua_xmove(L, co, 1);
    lua_pushvalue(L, 2);
    lua_xmove(L, co, 1);
    lua_settop(L, 3);
    return 1;
}

static void begin(struct tl_lua_task *t)
{
    lua_State *L = t->loop->L;
    lua_pushcfunction(L, make_coroutine);
    lua_pushstring(L, t->entry->name);
    lua_pushlightuserdata(L, &t->call);
    if (lua_pcall(L, 2, 1, 0) != LUA_OK) {
        set_running(t->loop, t);
        tl_lua_call_failed(L, t->call.activity);
        set_running(t->loop, NULL);
        task_free(t);
        return;
    }
    t->co = lua_tothread(L, -1);
    t->co_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    tl_activity_on_change(t->call.activity, wake_later, t);
    resume(t, 2);
}

static struct tl_list *take_one(struct tl_lua_loop *l, struct tl_list *list)
{
    pthread_mutex_lock(&l->mutex);
    struct tl_list *n = tl_list_pop(list);
    pthread_mutex_unlock(&l->mutex);
    return n;
}

static void take_all(struct tl_lua_loop *l, struct tl_list *from, struct tl_list *to)
{
    tl_list_init(to);
    pthread_mutex_lock(&l->mutex);
    for (struct tl_list *n; (n = tl_list_pop(from)) != NULL;) {
        tl_list_push(to, n);
    }
    pthread_mutex_unlock(&l->mutex);
}

/* What came since the last turn; what comes meanwhile waits for the next. */
static void turn(void *ud)
{
    struct tl_lua_loop *l = ud;
    struct tl_list posted, woken, *n;
    take_all(l, &l->posted, &posted);
    take_all(l, &l->woken, &woken);
    while ((n = take_one(l, &posted)) != NULL) {
        begin(TL_CONTAINER(n, struct tl_lua_task, node));
    }
    while ((n = take_one(l, &woken)) !=
           NULL) { /* one whose task has ended meanwhile is not there any more */
        struct tl_lua_task *t = TL_CONTAINER(n, struct tl_lua_task, wake);
        if (t->waiting) {
            resume(t, 0);
        } else {
            t->wanted = true;
        }
    }
}

void tl_lua_loop_post(struct tl_lua_loop *l, struct tl_lua_entry *e, struct tl_activity *a)
{
    struct tl_lua_task *t = TL_NEW(struct tl_lua_task);
    *t = (struct tl_lua_task){.loop = l, .entry = e, .call = {.activity = a}, .co_ref = LUA_NOREF};
    tl_list_init(&t->node);
    tl_list_init(&t->wake);
    tl_activity_detach(a);
    pthread_mutex_lock(&l->mutex);
    if (l->tasks++ == 0) {
        pthread_cond_broadcast(&l->cond);
    }
    tl_list_push(&l->posted, &t->node);
    pthread_mutex_unlock(&l->mutex);
    tl_loop_wake(l->loop);
}

/* --- who holds the loop up -------------------------------------------------------------------- */

/* Looks while there are tasks. An activity that never comes back is reported here; how long one took that did
 * is reported by the loop. */
static void *watch(void *ud)
{
    struct tl_lua_loop *l = ud;
    int64_t told = 0;
    pthread_mutex_lock(&l->mutex);
    while (!l->stopping) {
        if (l->tasks == 0) {
            pthread_cond_wait(&l->cond, &l->mutex);
            continue;
        }
        int64_t at = now_ns() + l->block_limit_ns / 2;
        struct timespec ts = {at / TL_NS_PER_S, at % TL_NS_PER_S};
        pthread_cond_timedwait(&l->cond, &l->mutex, &ts);
        int64_t since = atomic_load(&l->running_since_ns), held = now_ns() - since;
        if (since && since != told && l->running && held > l->block_limit_ns) {
            told = since;
            TL_LOG(TL_LOG_WARN, "activity.blocks_the_loop",
                   TL_C("activity_type", l->running->entry->name),
                   TL_C("activity_id", l->running->call.activity->task->activity_id),
                   TL_I("ms", held / TL_NS_PER_MS), TL_I("activities", l->tasks));
        }
    }
    pthread_mutex_unlock(&l->mutex);
    return NULL;
}

/* --- life ------------------------------------------------------------------------------------- */

/* [-0, +0, m] */
static int furnish(lua_State *L)
{
    lua_pushvalue(L, 1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, L); /* the functions */
    return 0;
}

static tl_rc open_all(struct tl_lua_loop *l, struct tl_error *err)
{
    tl_rc rc = tl_loop_open(&l->loop, err);
    if (rc != TL_OK) {
        return rc;
    }
    tl_loop_on_wake(l->loop, turn, l);
    rc = tl_lua_state_load(l->of, &l->L, err);
    if (rc != TL_OK) {
        return rc;
    }
    l->host = tl_host_get(l->L);
    tl_luv_share(l->L, l->loop);
    lua_pushcfunction(l->L, furnish);
    lua_pushvalue(l->L, 1);
    lua_call(l->L, 1, 0);
    return tl_lua_state_setup(l->L, TL_LUA_COROUTINE, err);
}

static void close_all(struct tl_lua_loop *l)
{
    if (l->L) {
        tl_lua_state_teardown(l->L);
    }
    for (struct tl_list *n; (n = tl_list_pop(&l->connections)) != NULL;) {
        tl_core_net_close(n);
    }
    if (l->loop && !tl_loop_drain(l->loop, DRAIN_MS)) {
        TL_LOG(TL_LOG_WARN, "activity_loop.left", TL_C("why", "a request of luv does not end"));
        return; /* what it will call must stay */
    }
    if (l->L) {
        lua_close(l->L);
    }
    tl_loop_close(l->loop);
}

static void *loop_main(void *ud)
{
    struct tl_lua_loop *l = ud;
    tl_rc rc = open_all(l, &l->error);
    pthread_mutex_lock(&l->mutex);
    l->rc = rc;
    l->started = true;
    pthread_cond_broadcast(&l->cond);
    pthread_mutex_unlock(&l->mutex);
    if (rc == TL_OK) {
        tl_loop_run(l->loop);
    }
    close_all(l);
    return NULL;
}

tl_rc tl_lua_loop_start(struct tl_lua_activities *of, int64_t block_limit_ns,
                        struct tl_lua_loop **out, struct tl_error *err)
{
    struct tl_lua_loop *l = TL_NEW(struct tl_lua_loop);
    pthread_condattr_t attr;
    *out = NULL;
    l->of = of;
    l->block_limit_ns = block_limit_ns;
    tl_list_init(&l->posted);
    tl_list_init(&l->woken);
    tl_list_init(&l->connections);
    pthread_mutex_init(&l->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&l->cond, &attr);
    pthread_condattr_destroy(&attr);
    l->has_thread = pthread_create(&l->thread, NULL, loop_main, l) == 0;
    pthread_mutex_lock(&l->mutex);
    while (l->has_thread && !l->started) {
        pthread_cond_wait(&l->cond, &l->mutex);
    }
    pthread_mutex_unlock(&l->mutex);
    l->has_watcher = l->has_thread && pthread_create(&l->watcher, NULL, watch, l) == 0;
    tl_rc rc = l->rc;
    if (!l->has_watcher) {
        rc =
            tl_error_set(err, TL_EUNAVAILABLE, "no thread for coroutine activities can be started");
    } else if (rc != TL_OK) {
        rc = tl_error_set(err, rc, "%s", l->error.message);
    }
    if (rc != TL_OK) {
        tl_lua_loop_stop(l);
        return rc;
    }
    *out = l;
    return TL_OK;
}

void tl_lua_loop_stop(struct tl_lua_loop *l)
{
    if (!l) {
        return;
    }
    pthread_mutex_lock(&l->mutex);
    l->stopping = true;
    pthread_cond_broadcast(&l->cond);
    pthread_mutex_unlock(&l->mutex);
    if (l->has_watcher) {
        pthread_join(l->watcher, NULL);
    }
    if (l->has_thread) {
        if (l->rc == TL_OK) {
            tl_loop_post_stop(l->loop);
        }
        pthread_join(l->thread, NULL);
    }
    pthread_cond_destroy(&l->cond);
    pthread_mutex_destroy(&l->mutex);
    tl_mem_free(l);
}
