/* temporal.core, part: workers. Thread: the state's; the worker has threads of its own. */
#include <lauxlib.h>
#include <pthread.h>

#include "base/mem.h"
#include "base/world.h"
#include "luahost/build.h"
#include "luahost/lua_process.h"
#include "luahost/slot_lua.h"
#include "luahost/worker_options.h"
#include "worker/operation.h"
#include "worker/worker.h"

#define WORKER_TYPE "temporal.core.worker"

struct worker_box {
    struct tl_list link; /* in the host's list while started */
    struct tl_worker *worker;
    struct tl_host *host;
    bool watched, fatal;                                      /* under the host's workers_mutex */
    bool polls_workflows, polls_activities, polls_operations; /* for what it was made with */
    pthread_mutex_t garbage_mutex;
    struct tl_list garbage;      /* of struct tl_host_build: builds that the worker has let go of */
    struct tl_list builds;       /* all that are not freed */
    struct tl_host_build *first; /* until the worker starts or another is promoted; the worker's */
    struct tl_lua_slots *slots[TLUA_SLOT_NEXUS]; /* suppliers that are modules */
};

static struct worker_box *check_worker(lua_State *L, int index)
{
    struct worker_box *b = luaL_checkudata(L, index, WORKER_TYPE);
    if (!b->worker) {
        luaL_argerror(L, index, "the worker is closed");
    }
    return b;
}

/* --- making ----------------------------------------------------------------------------------- */

/* Blocking calls of the script give up while a worker that it watches has failed. Holds the mutex. */
static void set_watch(struct worker_box *b, bool watched, bool fatal)
{
    int before = b->watched && b->fatal;
    b->watched = watched;
    b->fatal = fatal;
    atomic_fetch_add(&b->host->abandon, (watched && fatal) - before);
}

static void on_fatal(void *ud, tl_rc rc, const char *message)
{
    struct worker_box *b = ud;
    (void)rc;
    (void)message; /* tl_worker_wait tells it again */
    pthread_mutex_lock(&b->host->workers_mutex);
    set_watch(b, b->watched, true);
    pthread_mutex_unlock(&b->host->workers_mutex);
    tl_host_wake(b->host);
}

/* [-0, +0, v] core.worker_watch(worker, on): while on, a fatal error of the worker ends the blocking
 * calls of this script */
static int worker_watch(lua_State *L)
{
    struct worker_box *b = check_worker(L, 1);
    pthread_mutex_lock(&b->host->workers_mutex);
    set_watch(b, lua_toboolean(L, 2), b->fatal);
    pthread_mutex_unlock(&b->host->workers_mutex);
    return 0;
}

static void list_worker(struct worker_box *b, bool on)
{
    pthread_mutex_lock(&b->host->workers_mutex);
    if (on) {
        tl_list_push(&b->host->workers, &b->link);
    } else {
        tl_list_remove(&b->link);
    }
    pthread_mutex_unlock(&b->host->workers_mutex);
}

bool tl_host_shutdown_workers(struct tl_host *h)
{
    pthread_mutex_lock(&h->workers_mutex);
    bool any = !tl_list_empty(&h->workers);
    h->stopping = true;
    TL_LIST_EACH (it, &h->workers) {
        tl_worker_shutdown(TL_CONTAINER(it, struct worker_box, link)->worker, -1);
    }
    pthread_mutex_unlock(&h->workers_mutex);
    return any;
}

const char *tl_host_not_well(struct tl_host *h)
{
    const char *problem = NULL;
    pthread_mutex_lock(&h->workers_mutex);
    TL_LIST_EACH (it, &h->workers) {
        if (tl_worker_failed(TL_CONTAINER(it, struct worker_box, link)->worker)) {
            problem = "a worker cannot go on: see the log";
        }
    }
    pthread_mutex_unlock(&h->workers_mutex);
    return problem;
}

const char *tl_host_not_ready(struct tl_host *h)
{
    const char *problem = "no worker has started";
    pthread_mutex_lock(&h->workers_mutex);
    if (h->stopping) {
        problem = "the workers shut down";
    } else if (!tl_list_empty(&h->workers)) {
        problem = NULL;
        TL_LIST_EACH (it, &h->workers) {
            struct tl_worker *w = TL_CONTAINER(it, struct worker_box, link)->worker;
            if (!tl_worker_ready(w)) {
                problem = tl_worker_state(w) == TL_WORKER_RUNNING
                              ? "a worker waits for the service's answers"
                              : "a worker shuts down";
            }
        }
    }
    pthread_mutex_unlock(&h->workers_mutex);
    return problem;
}

/* The worker has no more use for a build: it is freed by the state's thread. Any thread. */
static void release_build(void *ud)
{
    struct tl_host_build *build = ud;
    struct worker_box *b = build->worker_box;
    pthread_mutex_lock(&b->garbage_mutex);
    tl_list_push(&b->garbage, &build->garbage);
    tl_host_wake(b->host);
    pthread_mutex_unlock(&b->garbage_mutex);
}

static void collect_builds(struct worker_box *b)
{
    struct tl_list *n;
    do {
        pthread_mutex_lock(&b->garbage_mutex);
        n = tl_list_pop(&b->garbage);
        pthread_mutex_unlock(&b->garbage_mutex);
        if (n) {
            tl_host_build_free(TL_CONTAINER(n, struct tl_host_build, garbage));
        }
    } while (n);
}

static void free_box(struct worker_box *b)
{
    if (!b->host) {
        return;
    }
    list_worker(b, false);
    tl_worker_free(b->worker);
    for (int i = 0; i < TLUA_SLOT_NEXUS; i++) {
        tl_lua_slots_release(b->slots[i]);
    }
    collect_builds(b);
    pthread_mutex_destroy(&b->garbage_mutex);
    memset(b, 0, sizeof *b);
}

/* [-0, +1, v] core.worker_new(connection, options, plan) */
static int worker_new(lua_State *L)
{
    struct tl_host_connection *c = tl_host_check_connection(L, 1);
    struct tl_error err;
    luaL_checktype(L, 2, LUA_TTABLE);
    luaL_checktype(L, 3, LUA_TTABLE);
    lua_settop(L, 3);
    struct worker_box *b = lua_newuserdatauv(L, sizeof *b, 1);
    memset(b, 0, sizeof *b);
    luaL_setmetatable(L, WORKER_TYPE);
    lua_pushvalue(L, 1); /* the connection lives as long as the worker */
    lua_setiuservalue(L, 4, 1);
    b->host = tl_host_get(L);
    tl_list_init(&b->link);
    tl_list_init(&b->garbage);
    tl_list_init(&b->builds);
    pthread_mutex_init(&b->garbage_mutex, NULL);
    struct tl_host_build *build;
    struct tl_worker_config config = {.client = c->client, .on_fatal = on_fatal, .on_fatal_ud = b};
    tl_host_read_worker_options(L, 2, &config.options);
    tl_rc rc = tl_host_build_open(L, 3, &build, &err);
    if (rc == TL_OK) {
        rc = tl_host_open_suppliers(L, 2, b->slots, &config.options.tuner, &err);
    }
    if (rc == TL_OK) {
        build->worker_box = b;
        config.lang = build->lang;
        config.registry = build->registry;
        b->polls_workflows = build->lang != NULL;
        b->polls_activities =
            tl_registry_count(build->registry) > 0 && !config.options.no_remote_activities;
        b->polls_operations = tl_registry_operation_count(build->registry) > 0;
        config.digest = tl_str(build->digest);
        config.release = release_build;
        config.release_ud = build;
        b->first = build;
        tl_list_push(&b->builds, &build->of_worker);
        rc = tl_worker_new(&b->worker, &config, &err);
    }
    if (rc != TL_OK) {
        tl_host_build_free(build);
    }
    if (rc != TL_OK) {
        free_box(b);
        return luaL_error(L, "%s", err.message);
    }
    lua_settop(L, 4);
    return 1;
}

/* --- life ------------------------------------------------------------------------------------- */

/* [-0, +0, v] core.worker_start(worker) */
static int worker_start(lua_State *L)
{
    struct tl_error err;
    struct worker_box *b = check_worker(L, 1);
    tl_rc rc = b->first ? tl_lua_activities_prepare(b->first->activities, &err) : TL_OK;
    if (rc == TL_OK) {
        rc = tl_worker_start(b->worker, &err);
    }
    if (rc != TL_OK) {
        return luaL_error(L, "%s", err.message);
    }
    b->first = NULL;
    list_worker(b, true);
    pthread_mutex_lock(&b->host->workers_mutex);
    bool stopping = b->host->stopping; /* the signal came while the script was being loaded */
    pthread_mutex_unlock(&b->host->workers_mutex);
    if (stopping) {
        tl_worker_shutdown(b->worker, -1);
    }
    return 0;
}

/* [-0, +0, v] core.worker_shutdown(worker, grace_ms); returns at once */
static int worker_shutdown(lua_State *L)
{
    tl_worker_shutdown(check_worker(L, 1)->worker, luaL_optinteger(L, 2, -1));
    return 0;
}

/* The script's thread serves its own activities while it waits for the worker's end, so another
 * thread does the waiting and wakes it. */
struct waiter {
    struct worker_box *box;
    atomic_bool ended;
    tl_rc rc;
    struct tl_error err;
};

static void *wait_for_worker(void *ud)
{
    struct waiter *w = ud;
    tl_worker_wait(w->box->worker, INT64_MAX, &w->rc, &w->err);
    atomic_store(&w->ended, true);
    tl_host_wake(w->box->host);
    return NULL;
}

static void wait_serving(struct waiter *w)
{
    pthread_t thread;
    if (tl_worker_state(w->box->worker) == TL_WORKER_NEW) {
        return;
    }
    if (pthread_create(&thread, NULL, wait_for_worker, w) != 0) {
        w->rc = tl_error_set(&w->err, TL_EUNAVAILABLE, "cannot start a thread");
        return;
    }
    while (!atomic_load(&w->ended)) {
        tl_host_serve(w->box->host, INT64_MAX);
        collect_builds(w->box);
    }
    pthread_join(thread, NULL);
    TL_LIST_EACH (n, &w->box->builds) { /* nothing of them runs any more */
        tl_lua_activities_stop(TL_CONTAINER(n, struct tl_host_build, of_worker)->activities);
    }
}

/* [-0, +0, v] core.worker_wait(worker): returns when it has ended, raises its fatal error */
static int worker_wait(lua_State *L)
{
    struct waiter w = {.box = check_worker(L, 1)};
    wait_serving(&w);
    if (w.rc != TL_OK) {
        return luaL_error(L, "%s", w.err.message);
    }
    return 0;
}

/* [-0, +1, v] core.worker_state(worker) */
static int worker_state(lua_State *L)
{
    static const char *const names[] = {"new", "running", "stopping", "stopped"};
    lua_pushstring(L, names[tl_worker_state(check_worker(L, 1)->worker)]);
    return 1;
}

/* [-0, +3, v] core.worker_serves(worker): whether it was made with activities of the task queue, with Nexus
 * operations, with workflows: then it polls for them */
static int worker_serves(lua_State *L)
{
    const struct worker_box *b = check_worker(L, 1);
    lua_pushboolean(L, b->polls_activities);
    lua_pushboolean(L, b->polls_operations);
    lua_pushboolean(L, b->polls_workflows);
    return 3;
}

/* [-0, +1, v] core.worker_stats(worker) */
static int worker_stats(lua_State *L)
{
    struct tl_worker_stats s;
    struct worker_box *b = check_worker(L, 1);
    tl_worker_stats(b->worker, &s);
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"workflow_tasks_completed", s.workflow_tasks_completed},
        {"workflow_tasks_failed", s.workflow_tasks_failed},
        {"workflow_tasks_eager", s.workflow_tasks_eager},
        {"queries_answered", s.queries_answered},
        {"activities_completed", s.activities_completed},
        {"activities_failed", s.activities_failed},
        {"activities_eager", s.activities_eager},
        {"nexus_tasks_completed", s.nexus_tasks_completed},
        {"nexus_tasks_failed", s.nexus_tasks_failed},
        {"cache_hits", s.cache_hits},
        {"cache_misses", s.cache_misses},
        {"evictions", s.evictions},
        {"quarantined_runs", s.quarantined_runs},
        {"killed_runs", s.killed_runs},
        {"cached_runs", (uint64_t)s.cached_runs},
        {"workflow_slots_used", (uint64_t)s.workflow_slots_used},
        {"activity_slots_used", (uint64_t)s.activity_slots_used},
        {"nexus_slots_used", (uint64_t)s.nexus_slots_used},
        {"activity_threads", (uint64_t)s.activity_threads},
        {"nexus_threads", (uint64_t)s.nexus_threads},
        {"polls", (uint64_t)tl_worker_polls(b->worker)},
    };
    lua_newtable(L);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        lua_pushinteger(L, (lua_Integer)rows[i].value);
        lua_setfield(L, -2, rows[i].name);
    }
    return 1;
}

/* --- builds ----------------------------------------------------------------------------------- */

/* [-0, +0|+2, v] core.worker_promote(worker, build): the worker owns the build then; or nil and why it
 * was refused */
static int worker_promote(lua_State *L)
{
    struct tl_error err;
    struct worker_box *b = check_worker(L, 1);
    struct tl_host_build *build = tl_host_check_build(L, 2, false);
    struct tl_worker_build view = tl_host_build_view(build);
    build->worker_box = b;
    view.release = release_build;
    view.release_ud = build;
    tl_rc rc = tl_lua_activities_prepare(build->activities, &err);
    if (rc == TL_OK) {
        b->first = NULL;
        rc = tl_worker_promote(b->worker, &view, &err);
    }
    if (rc != TL_OK) {
        lua_pushnil(L);
        lua_pushstring(L, err.message);
        return 2;
    }
    (void)tl_host_check_build(L, 2, true);
    tl_list_push(&b->builds, &build->of_worker);
    collect_builds(b);
    lua_pushboolean(L, true);
    return 1;
}

/* [-0, +1|+2, v] core.worker_select_build(worker, id): true, or nil and why not; "": the one before */
static int worker_select_build(lua_State *L)
{
    struct tl_error err;
    size_t n;
    struct worker_box *b = check_worker(L, 1);
    const char *id = luaL_optlstring(L, 2, "", &n);
    if (tl_worker_select_build(b->worker, tl_str_n(id, n), &err) != TL_OK) {
        lua_pushnil(L);
        lua_pushstring(L, err.message);
        return 2;
    }
    collect_builds(b);
    lua_pushboolean(L, true);
    return 1;
}

/* [-0, +1|+2, v] core.worker_retire_build(worker, id): true, or nil and why not */
static int worker_retire_build(lua_State *L)
{
    struct tl_error err;
    size_t n;
    struct worker_box *b = check_worker(L, 1);
    const char *id = luaL_checklstring(L, 2, &n);
    if (tl_worker_retire_build(b->worker, tl_str_n(id, n), &err) != TL_OK) {
        lua_pushnil(L);
        lua_pushstring(L, err.message);
        return 2;
    }
    lua_pushboolean(L, true);
    return 1;
}

/* [-0, +0, v] core.worker_pause(worker, ns): that long by the wall's clock, running what this host is
 * asked for meanwhile */
static int worker_pause(lua_State *L)
{
    struct worker_box *b = check_worker(L, 1);
    lua_Integer ns = luaL_checkinteger(L, 2);
    int64_t now = tl_world_mono_ns(tl_world_real());
    int64_t end = ns > INT64_MAX - now ? INT64_MAX : now + ns;
    for (; now < end; now = tl_world_mono_ns(tl_world_real())) {
        tl_host_serve(b->host, end);
    }
    return 0;
}

struct build_copy {
    char id[1100], digest[TL_SHA256_HEX];
    bool current, previous, retired;
    int64_t users, parked_runs;
};

struct build_copies {
    struct build_copy *list;
    size_t count;
};

/* Under the worker's mutex: nothing of Lua, which may raise. */
static void copy_build(void *ud, const struct tl_worker_build_info *info)
{
    struct build_copies *c = ud;
    c->list = tl_mem_realloc(c->list, (c->count + 1) * sizeof *c->list);
    struct build_copy *copy = &c->list[c->count++];
    memset(copy, 0, sizeof *copy);
    memcpy(copy->id, info->id.p, info->id.n < sizeof copy->id ? info->id.n : sizeof copy->id - 1);
    memcpy(copy->digest, info->digest.p,
           info->digest.n < sizeof copy->digest ? info->digest.n : sizeof copy->digest - 1);
    copy->current = info->current;
    copy->previous = info->previous;
    copy->retired = info->retired;
    copy->users = info->users;
    copy->parked_runs = info->parked_runs;
}

static void push_build(lua_State *L, const struct build_copy *b)
{
    lua_createtable(L, 0, 7);
    lua_pushstring(L, b->id);
    lua_setfield(L, -2, "id");
    lua_pushstring(L, b->digest);
    lua_setfield(L, -2, "digest");
    lua_pushboolean(L, b->current);
    lua_setfield(L, -2, "current");
    lua_pushboolean(L, b->previous);
    lua_setfield(L, -2, "previous");
    lua_pushboolean(L, b->retired);
    lua_setfield(L, -2, "retired");
    lua_pushinteger(L, b->users);
    lua_setfield(L, -2, "users");
    lua_pushinteger(L, b->parked_runs);
    lua_setfield(L, -2, "parked_runs");
}

/* [-0, +1, v] core.worker_builds(worker): the loaded builds, the current one last */
static int worker_builds(lua_State *L)
{
    struct build_copies c = {0};
    struct worker_box *b = check_worker(L, 1);
    collect_builds(b);
    tl_worker_each_build(b->worker, copy_build, &c);
    lua_createtable(L, (int)c.count, 0);
    for (size_t i = 0; i < c.count; i++) {
        push_build(L, &c.list[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    tl_mem_free(c.list);
    return 1;
}

/* [-0, +0, -] __gc: a worker that still runs is shut down without grace; functions given as activities
 * are served until it has ended. */
static int worker_gc(lua_State *L)
{
    struct worker_box *b = luaL_checkudata(L, 1, WORKER_TYPE);
    if (b->worker) {
        struct waiter w = {.box = b};
        tl_worker_shutdown(b->worker, 0);
        wait_serving(&w);
    }
    free_box(b);
    return 0;
}

/* [-0, +1, -] core.activity_process(): an activity process's life, for an interpreter that was started as one; its
 * exit code */
static int activity_process(lua_State *L)
{
    lua_pushinteger(L, tl_lua_process_main());
    return 1;
}

static const luaL_Reg functions[] = {
    // clang-format off
    {"worker_new", worker_new},
    {"worker_start", worker_start},
    {"worker_shutdown", worker_shutdown},
    {"worker_wait", worker_wait},
    {"worker_state", worker_state},
    {"worker_serves", worker_serves},
    {"worker_watch", worker_watch},
    {"worker_stats", worker_stats},
    {"worker_promote", worker_promote},
    {"worker_select_build", worker_select_build},
    {"worker_retire_build", worker_retire_build},
    {"worker_pause", worker_pause},
    {"worker_builds", worker_builds},
    {"activity_process", activity_process},
    {NULL, NULL},
    // clang-format on
};

void tl_core_worker(lua_State *L)
{
    luaL_newmetatable(L, WORKER_TYPE);
    lua_pushcfunction(L, worker_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    luaL_setfuncs(L, functions, 0);
}
