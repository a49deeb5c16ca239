/* The host of a stock Lua state. See host.h. Thread: the state's, but for tl_host_wake. */
#include "luahost/host.h"

#include <lauxlib.h>
#include <lualib.h>

#include "base/world.h"
#include "luahost/build.h"
#include "luahost/embedded.h"

#define HOST_JOBS_MAX 100000
#define ABANDON_LOOK_NS (10 * TL_NS_PER_MS)

static const char host_key, alarm_key;

static int host_gc(lua_State *L)
{
    struct tl_host *h = lua_touserdata(L, 1);
    tl_inbox_close(&h->inbox);
    for (struct tl_msg *m; (m = tl_inbox_take_one(&h->inbox, 0)) != NULL;) {
        struct tl_host_job *job = TL_CONTAINER(m, struct tl_host_job, msg);
        if (m != &h->wake && job->drop) {
            job->drop(job);
        }
    }
    tl_inbox_deinit(&h->inbox);
    pthread_mutex_destroy(&h->workers_mutex);
    return 0;
}

static struct tl_host *make_host(lua_State *L)
{
    struct tl_host *h = lua_newuserdatauv(L, sizeof *h, 0);
    memset(h, 0, sizeof *h);
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
    h->L = lua_tothread(L, -1);
    lua_pop(L, 1);
    tl_inbox_init(&h->inbox, HOST_JOBS_MAX);
    pthread_mutex_init(&h->workers_mutex, NULL);
    tl_list_init(&h->workers);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, host_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &host_key);
    return h;
}

struct tl_host *tl_host_get(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &host_key);
    struct tl_host *h = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return h ? h : make_host(L);
}

void tl_host_look_at_alarm(struct tl_host *h)
{
    lua_State *L = h->L;
    if (!h->alarm_ns || tl_world_mono_ns(tl_world_real()) < h->alarm_ns || !lua_checkstack(L, 8)) {
        return;
    }
    h->alarm_ns = 0; /* what it calls may come here */
    int top = lua_gettop(L);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &alarm_key);
    if (lua_pcall(L, 0, 0, 0) != LUA_OK) {
        TL_LOG(TL_LOG_ERROR, "script.alarm_failed", TL_C("error", luaL_tolstring(L, -1, NULL)));
    }
    lua_settop(L, top);
}

/* [-0, +0, v] core.set_alarm(fn, mono_ns): fn() runs once from then on, inside a call that waits; nil: none */
static int set_alarm(lua_State *L)
{
    struct tl_host *h = tl_host_get(L);
    if (lua_isnoneornil(L, 1)) {
        h->alarm_ns = 0;
        return 0;
    }
    luaL_checktype(L, 1, LUA_TFUNCTION);
    h->alarm_ns = luaL_checkinteger(L, 2);
    lua_settop(L, 1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &alarm_key);
    return 0;
}

void tl_host_serve(struct tl_host *h, int64_t deadline_mono_ns)
{
    tl_host_look_at_alarm(h);
    if (h->alarm_ns && h->alarm_ns < deadline_mono_ns) {
        deadline_mono_ns = h->alarm_ns;
    }
    struct tl_msg *m = tl_inbox_take_one(&h->inbox, deadline_mono_ns);
    if (m == &h->wake) {
        atomic_store(&h->wake_posted, false);
    } else if (m) {
        struct tl_host_job *job = TL_CONTAINER(m, struct tl_host_job, msg);
        job->run(h, job);
    }
}

/* The message stays in the inbox until it is served, so a wake that comes before the wait counts. */
void tl_host_wake(struct tl_host *h)
{
    if (!atomic_exchange(&h->wake_posted, true) && !tl_inbox_send_always(&h->inbox, &h->wake)) {
        atomic_store(&h->wake_posted, false);
    }
}

struct call_job {
    struct tl_host_job job;
    void (*fn)(struct tl_host *h, void *ud);
    void *ud;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool done;
};

static void serve_call(struct tl_host *h, struct tl_host_job *job)
{
    struct call_job *c = TL_CONTAINER(job, struct call_job, job);
    c->fn(h, c->ud);
    pthread_mutex_lock(&c->mutex);
    c->done = true;
    pthread_cond_signal(&c->cond);
    pthread_mutex_unlock(&c->mutex);
}

bool tl_host_run(struct tl_host *h, void (*fn)(struct tl_host *h, void *ud), void *ud)
{
    struct call_job c = {.job = {.run = serve_call}, .fn = fn, .ud = ud};
    pthread_mutex_init(&c.mutex, NULL);
    pthread_cond_init(&c.cond, NULL);
    bool sent = tl_inbox_send_always(&h->inbox, &c.job.msg);
    pthread_mutex_lock(&c.mutex);
    while (sent && !c.done) {
        pthread_cond_wait(&c.cond, &c.mutex);
    }
    pthread_mutex_unlock(&c.mutex);
    pthread_cond_destroy(&c.cond);
    pthread_mutex_destroy(&c.mutex);
    return sent;
}

static bool pump(void *ud, int64_t deadline_mono_ns)
{
    struct tl_host *h = ud;
    if (atomic_load(&h->abandon)) { /* the call is being cancelled: that wakes nobody for sure */
        int64_t soon = tl_world_mono_ns(tl_world_real()) + ABANDON_LOOK_NS;
        deadline_mono_ns = deadline_mono_ns < soon ? deadline_mono_ns : soon;
    }
    tl_host_serve(h, deadline_mono_ns);
    return atomic_load(&h->abandon) == 0;
}

static void wake(void *ud)
{
    tl_host_wake(ud);
}

struct tl_client_pump tl_host_pump(struct tl_host *h)
{
    return (struct tl_client_pump){h, pump, wake};
}

/* [-0, +1, e] Loader of a built-in Lua module: upvalue 1 is its row. */
static int load_embedded(lua_State *L)
{
    const struct tl_embedded_file *f = lua_touserdata(L, lua_upvalueindex(1));
    if (tl_embedded_load(L, f) != LUA_OK) {
        return lua_error(L);
    }
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

/* [-0, +0, m] Makes `require "temporal..."` find the modules that are built into the program. */
static void preload(lua_State *L)
{
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    lua_pushcfunction(L, luaopen_temporal_core);
    lua_setfield(L, -2, "temporal.core");
    for (const struct tl_embedded_file *f = tl_embedded_files; f->module; f++) {
        lua_pushlightuserdata(L, (void *)(uintptr_t)f);
        lua_pushcclosure(L, load_embedded, 1);
        lua_setfield(L, -2, f->module);
    }
    lua_pop(L, 1);
}

static void set_path(lua_State *L, const char *field, const char *value)
{
    if (value) {
        lua_getglobal(L, "package");
        lua_pushstring(L, value);
        lua_setfield(L, -2, field);
        lua_pop(L, 1);
    }
}

lua_State *tl_host_state_new(const char *path, const char *cpath)
{
    lua_State *L = luaL_newstate();
    if (L) {
        luaL_openlibs(L);
        preload(L);
        set_path(L, "path", path);
        set_path(L, "cpath", cpath);
    }
    return L;
}

/* [-0, +0, e] os.exit of a state in a worker's process */
static int refuse_exit(lua_State *L)
{
    return luaL_error(
        L, "os.exit would end the whole worker: return or raise an error (an activity in a "
           "process of its own may exit)");
}

lua_State *tl_host_guest_state_new(const char *path, const char *cpath)
{
    lua_State *L = tl_host_state_new(path, cpath);
    if (L) {
        lua_getglobal(L, "os");
        lua_pushcfunction(L, refuse_exit);
        lua_setfield(L, -2, "exit");
        lua_pop(L, 1);
    }
    return L;
}

/* [-0, +1, v] core.embedded_text(module): the text of a built-in Lua module, nil when there is none */
static int embedded_text(lua_State *L)
{
    const char *module = luaL_checkstring(L, 1);
    for (const struct tl_embedded_file *f = tl_embedded_files; f->module; f++) {
        if (strcmp(f->module, module) == 0) {
            lua_pushlstring(L, f->text, f->size);
            return 1;
        }
    }
    return 0;
}

int luaopen_temporal_core(lua_State *L)
{
    lua_newtable(L);
    lua_pushcfunction(L, embedded_text);
    lua_setfield(L, -2, "embedded_text");
    lua_pushcfunction(L, set_alarm);
    lua_setfield(L, -2, "set_alarm");
    tl_core_data(L);
    tl_core_client(L);
    tl_core_worker(L);
    tl_core_worker_options(L);
    tl_core_activity(L);
    tl_core_net(L);
    tl_core_operation(L);
    tl_core_codec_server(L);
    tl_core_runtime(L);
    tl_core_profile(L);
    tl_core_testing(L);
    tl_core_replay(L);
    tl_core_session(L);
    tl_core_build(L);
    return 1;
}
