/* See lua_activity.h. Threads: tl_lua_activities_new/free on the host script's; run_module on activity
 * threads; run_function posts to the host script's thread and waits for it. */
#include "luahost/lua_activity_int.h"

#include <lauxlib.h>

#include "base/mem.h"
#include "luahost/lua_loop.h"
#include "luahost/lua_process.h"
#include "luart/convert.h"

/* "thread", "coroutine", "process": the words of activity.define. */
static const char *kind_name(enum tl_lua_kind kind)
{
    static const char *const names[TL_LUA_KINDS] = {"thread", "coroutine", "process"};
    return names[kind];
}

/* --- activities of modules -------------------------------------------------------------------- */

/* [-0, +1, e] Pushes a function of temporal.internal.build_sources. */
static void push_build_sources(lua_State *L, const char *name)
{
    lua_getglobal(L, "require");
    lua_pushliteral(L, "temporal.internal.build_sources");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, name);
    lua_remove(L, -2);
}

static void push_names(lua_State *L, char *const *names, size_t n)
{
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        lua_pushstring(L, names[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

/* [-0, +1, e] Pushes what a loader, a module of ours, makes of modules of these names, which are loaded in the
 * order given. */
static void load(lua_State *L, const char *loader, char *const *modules, size_t n, const char *plan)
{
    lua_getglobal(L, "require");
    lua_pushstring(L, loader);
    lua_call(L, 1, 1);
    push_names(L, modules, n);
    lua_pushstring(L, plan);
    lua_call(L, 2, 1);
}

/* [-0, +2, e] Pushes what was made of the modules of activities and of Nexus services. */
static int load_modules(lua_State *L)
{
    struct tl_lua_activities *a = lua_touserdata(L, 1);
    lua_settop(L, 0);
    luaL_requiref(L, "temporal.core", luaopen_temporal_core, 0);
    lua_pop(L, 1);
    if (a->sources.n) {
        push_build_sources(L, "install");
        lua_pushlstring(L, a->sources.p, a->sources.n);
        lua_call(L, 1, 0);
    }
    push_names(L, a->converters, a->converter_count);
    tl_host_push_converters(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, a);
    load(L, "temporal.internal.activities", a->modules, a->module_count, a->plan);
    load(L, "temporal.internal.nexus_services", a->nexus_modules, a->nexus_module_count, a->plan);
    return 2;
}

static int message_handler(lua_State *L)
{
    lua_settop(L, 1);
    tl_lua_call_describe(L, L, 1);
    return 1;
}

tl_rc tl_lua_state_load(struct tl_lua_activities *a, lua_State **out, struct tl_error *err)
{
    lua_State *L = a->own_process ? tl_host_state_new(a->path, a->cpath)
                                  : tl_host_guest_state_new(a->path, a->cpath);
    if (!L) {
        return tl_error_set(err, TL_EMEMORY, "no memory for a Lua state");
    }
    lua_pushcfunction(L, message_handler);
    lua_pushcfunction(L, load_modules);
    lua_pushlightuserdata(L, a);
    if (lua_pcall(L, 1, 2, 1) != LUA_OK) {
        tl_rc rc = tl_error_set(err, TL_ESCRIPT, "%s", luaL_tolstring(L, -1, NULL));
        lua_close(L);
        return rc;
    }
    lua_getfield(L, 2, "functions");
    lua_replace(L, 1);
    *out = L;
    return TL_OK;
}

/* [-0, +0, -] Calls a method of what loading gave; the error text is on top when it is false. */
static bool call_loaded(lua_State *L, const char *method, const char *argument)
{
    lua_getfield(L, 2, method);
    lua_pushvalue(L, 2);
    lua_pushstring(L, argument);
    if (lua_pcall(L, 2, 0, 0) == LUA_OK) {
        return true;
    }
    luaL_tolstring(L, -1, NULL);
    return false;
}

tl_rc tl_lua_state_setup(lua_State *L, enum tl_lua_kind kind, struct tl_error *err)
{
    return call_loaded(L, "setup", kind_name(kind))
               ? TL_OK
               : tl_error_set(err, TL_ESCRIPT, "%s", lua_tostring(L, -1));
}

tl_rc tl_lua_state_open(struct tl_lua_activities *a, enum tl_lua_kind kind, lua_State **out,
                        struct tl_error *err)
{
    lua_State *L;
    tl_rc rc = tl_lua_state_load(a, &L, err);
    if (rc == TL_OK) {
        rc = tl_lua_state_setup(L, kind, err);
        if (rc != TL_OK) {
            lua_close(L);
        }
    }
    *out = rc == TL_OK ? L : NULL;
    return rc;
}

void tl_lua_state_teardown(lua_State *L)
{
    (void)call_loaded(L, "teardown", NULL); /* logs what fails */
}

void tl_lua_state_close(lua_State *L)
{
    if (L) {
        tl_lua_state_teardown(L);
        lua_close(L);
    }
}

/* Whether something of a module runs on the pool's threads. */
static bool uses_threads(const struct tl_lua_activities *a)
{
    return a->kind_counts[TL_LUA_THREAD] + a->nexus_module_count > 0;
}

static tl_rc thread_open(void *ud, void **state, struct tl_error *err)
{
    struct tl_lua_activities *a = ud;
    *state = NULL;
    if (!uses_threads(a)) {
        return TL_OK;
    }
    pthread_mutex_lock(&a->mutex);
    lua_State *L = a->spare;
    a->spare = NULL;
    pthread_mutex_unlock(&a->mutex);
    tl_rc rc = L ? TL_OK : tl_lua_state_open(a, TL_LUA_THREAD, &L, err);
    *state = L;
    return rc;
}

static void thread_close(void *ud, void *state)
{
    (void)ud;
    tl_lua_state_close(state);
}

/* The loop is started once; when that fails, the next task tries again. */
static tl_rc need_loop(struct tl_lua_activities *a, struct tl_error *err)
{
    pthread_mutex_lock(&a->mutex);
    tl_rc rc = a->loop ? TL_OK : tl_lua_loop_start(a, a->block_limit_ns, &a->loop, err);
    pthread_mutex_unlock(&a->mutex);
    return rc;
}

static void run_coroutine(void *thread_state, void *ud, struct tl_activity *a)
{
    struct tl_lua_entry *e = ud;
    struct tl_error err;
    (void)thread_state;
    if (need_loop(e->owner, &err) != TL_OK) {
        tl_lua_fail_plainly(a, err.message);
    } else {
        tl_lua_loop_post(e->owner->loop, e, a);
    }
}

static void run_process(void *thread_state, void *ud, struct tl_activity *a)
{
    struct tl_lua_entry *e = ud;
    (void)thread_state;
    tl_lua_processes_run(e->owner->processes, e, a);
}

tl_rc tl_lua_activities_prepare(struct tl_lua_activities *a, struct tl_error *err)
{
    tl_rc rc = TL_OK;
    if (!a) {
        return TL_OK;
    }
    pthread_mutex_lock(&a->mutex);
    if (uses_threads(a) && !a->spare) {
        rc = tl_lua_state_open(a, TL_LUA_THREAD, &a->spare, err);
    }
    pthread_mutex_unlock(&a->mutex);
    if (rc == TL_OK && a->kind_counts[TL_LUA_COROUTINE]) {
        rc = need_loop(a, err);
    }
    if (rc == TL_OK && a->processes) {
        rc = tl_lua_processes_prepare(a->processes, err);
    }
    if (rc != TL_OK) {
        tl_lua_activities_stop(a); /* what has been set up already */
    }
    return rc;
}

static void run_module(void *thread_state, void *ud, struct tl_activity *a)
{
    struct tl_lua_entry *e = ud;
    lua_State *L = thread_state;
    if (!L || lua_getfield(L, 1, e->name) != LUA_TFUNCTION) {
        if (L) {
            lua_pop(L, 1);
        }
        tl_lua_fail_plainly(a, "the activity's module is not loaded in this thread");
        return;
    }
    tl_lua_activity_call(tl_host_get(L), a, e->owner);
}

/* --- functions of the host script ------------------------------------------------------------- */

struct function_call {
    struct tl_lua_entry *entry;
    struct tl_activity *activity;
};

static void serve_function(struct tl_host *h, void *ud)
{
    struct function_call *c = ud;
    lua_rawgeti(h->L, LUA_REGISTRYINDEX, c->entry->function_ref);
    tl_lua_activity_call(h, c->activity, c->entry->owner);
}

static void run_function(void *thread_state, void *ud, struct tl_activity *a)
{
    (void)thread_state;
    struct tl_lua_entry *e = ud;
    struct function_call c = {e, a};
    if (!tl_host_run(e->owner->host, serve_function, &c)) {
        tl_lua_fail_plainly(a, "the script that gave this activity as a function has ended");
    }
}

/* What runs the activities of modules. */
static void (*const run_of_kind[TL_LUA_KINDS])(void *thread_state, void *ud,
                                               struct tl_activity *a) = {
    [TL_LUA_THREAD] = run_module,
    [TL_LUA_COROUTINE] = run_coroutine,
    [TL_LUA_PROCESS] = run_process,
};

/* --- making ----------------------------------------------------------------------------------- */

/* kind: of an activity of a module; function_ref LUA_NOREF then. */
static tl_rc add_entry(struct tl_lua_activities *a, struct tl_registry *registry, const char *name,
                       enum tl_lua_kind kind, int function_ref, struct tl_error *err)
{
    struct tl_lua_entry *e = TL_NEW(struct tl_lua_entry);
    *e = (struct tl_lua_entry){a, tl_mem_dup(tl_str(name)), kind, function_ref};
    a->entries = tl_mem_realloc(a->entries, (a->entry_count + 1) * sizeof *a->entries);
    a->entries[a->entry_count++] = e;
    struct tl_activity_impl impl = {run_function, e};
    if (function_ref == LUA_NOREF) {
        a->kind_counts[kind]++;
        impl.run = run_of_kind[kind];
    }
    return tl_registry_add(registry, tl_str(name), &impl, err);
}

/* [-0, +1, e] Pushes the text of what the state has loaded. */
static int collect_sources(lua_State *L)
{
    push_build_sources(L, "collect");
    lua_call(L, 0, 1);
    return 1;
}

static tl_rc keep_sources(struct tl_lua_activities *a, lua_State *L, struct tl_error *err)
{
    size_t n;
    lua_pushcfunction(L, collect_sources);
    if (lua_pcall(L, 0, 1, 0) != LUA_OK) {
        return tl_error_set(err, TL_ESCRIPT, "%s", luaL_tolstring(L, -1, NULL));
    }
    const char *text = lua_tolstring(L, -1, &n);
    a->sources = tl_str_n(tl_mem_dup(tl_str_n(text, n)), n);
    lua_pop(L, 1);
    return TL_OK;
}

static enum tl_lua_kind kind_of(const char *name)
{
    enum tl_lua_kind kind = TL_LUA_THREAD;
    for (int k = 0; name && k < TL_LUA_KINDS; k++) {
        if (strcmp(name, kind_name((enum tl_lua_kind)k)) == 0) {
            kind = (enum tl_lua_kind)k;
        }
    }
    return kind;
}

static tl_rc add_modules(struct tl_lua_activities *a, struct tl_registry *registry,
                         struct tl_error *err)
{
    lua_State *probe;
    tl_rc rc = tl_lua_state_load(a, &probe, err);
    if (rc != TL_OK) {
        return rc;
    }
    rc = keep_sources(a, probe, err);
    lua_getfield(probe, 2, "kinds");
    int kinds = lua_gettop(probe);
    for (lua_pushnil(probe); rc == TL_OK && lua_next(probe, 1); lua_pop(probe, 2)) {
        const char *name = lua_tostring(probe, -2);
        lua_getfield(probe, kinds, name);
        rc = add_entry(a, registry, name, kind_of(lua_tostring(probe, -1)), LUA_NOREF, err);
    }
    if (rc == TL_OK) {
        rc = tl_lua_operations_add(a->operations, probe, TL_LUA_OPERATIONS_INDEX, false, registry,
                                   err);
    }
    lua_close(probe);
    return rc;
}

static char **read_names(lua_State *L, int index, size_t *n)
{
    *n = (size_t)lua_rawlen(L, index);
    char **names = TL_NEW_ARRAY(char *, *n);
    for (size_t i = 0; i < *n; i++) {
        lua_rawgeti(L, index, (lua_Integer)i + 1);
        names[i] = tl_mem_dup(tl_str(lua_tostring(L, -1)));
        lua_pop(L, 1);
    }
    return names;
}

static void free_names(char **names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        tl_mem_free(names[i]);
    }
    tl_mem_free(names);
}

/* [-0, +0, e] (activities, names): this state's converters, for functions of the host script. */
static int keep_converters(lua_State *L)
{
    tl_host_push_converters(L, 2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, lua_touserdata(L, 1));
    return 0;
}

static tl_rc load_converters(lua_State *L, int names, struct tl_lua_activities *a,
                             struct tl_error *err)
{
    a->converters = read_names(L, names, &a->converter_count);
    lua_pushcfunction(L, keep_converters);
    lua_pushlightuserdata(L, a);
    lua_pushvalue(L, names);
    if (lua_pcall(L, 2, 0, 0) != LUA_OK) {
        tl_rc rc = tl_error_set(err, TL_ESCRIPT, "%s", luaL_tolstring(L, -1, NULL));
        lua_pop(L, 2);
        return rc;
    }
    return TL_OK;
}

static char *package_field(lua_State *L, const char *name)
{
    lua_getglobal(L, "package");
    lua_getfield(L, -1, name);
    char *copy = lua_isstring(L, -1) ? tl_mem_dup(tl_str(lua_tostring(L, -1))) : NULL;
    lua_pop(L, 2);
    return copy;
}

static tl_rc add_processes(struct tl_lua_activities *a, const struct tl_lua_activity_sources *from,
                           struct tl_error *err)
{
    const struct tl_lua_process_options o = {from->process_count, from->process_program};
    if (o.size > 0) {
        return tl_lua_processes_new(a, &o, &a->processes, err);
    }
    size_t i = 0;
    while (a->entries[i]->kind != TL_LUA_PROCESS) {
        i++;
    }
    return tl_error_set(err, TL_EINVAL,
                        "activity '%s' has kind = 'process': give the worker activity_executor = "
                        "{ kind = \"processes\", size = n }",
                        a->entries[i]->name);
}

tl_rc tl_lua_activities_new(lua_State *L, const struct tl_lua_activity_sources *from,
                            struct tl_registry *registry, struct tl_lua_activities **out,
                            struct tl_error *err)
{
    struct tl_lua_activities *a = TL_NEW(struct tl_lua_activities);
    a->host = tl_host_get(L);
    a->path = package_field(L, "path");
    a->cpath = package_field(L, "cpath");
    a->plan = tl_mem_dup(from->plan);
    a->block_limit_ns = from->block_limit_ns;
    pthread_mutex_init(&a->mutex, NULL);
    a->modules = read_names(L, from->modules, &a->module_count);
    tl_rc rc = load_converters(L, from->converters, a, err);
    a->nexus_modules = read_names(L, from->nexus_modules, &a->nexus_module_count);
    a->operations = tl_lua_operations_new(a->host, a);
    if (rc == TL_OK && a->module_count + a->nexus_module_count) {
        rc = add_modules(a, registry, err);
    }
    if (rc == TL_OK && a->kind_counts[TL_LUA_PROCESS]) {
        rc = add_processes(a, from, err);
    }
    if (rc == TL_OK) {
        rc = tl_lua_operations_add(a->operations, L, from->nexus_handlers, true, registry, err);
    }
    for (lua_pushnil(L); rc == TL_OK && lua_next(L, from->functions);) {
        lua_pushvalue(L, -1);
        int ref = luaL_ref(L, LUA_REGISTRYINDEX);
        lua_pop(L, 1);
        rc = add_entry(a, registry, lua_tostring(L, -1), TL_LUA_THREAD, ref, err);
        if (rc != TL_OK) {
            lua_pop(L, 1);
        }
    }
    struct tl_thread_hooks hooks = {thread_open, thread_close, a};
    tl_registry_thread_hooks(registry, &hooks);
    if (rc != TL_OK) {
        tl_lua_activities_free(a);
        a = NULL;
    }
    *out = a;
    return rc;
}

struct tl_str tl_lua_activities_sources(const struct tl_lua_activities *a)
{
    return a ? a->sources : (struct tl_str){0};
}

void tl_lua_activities_stop(struct tl_lua_activities *a)
{
    if (!a) {
        return;
    }
    pthread_mutex_lock(&a->mutex);
    struct tl_lua_loop *loop = a->loop;
    lua_State *spare = a->spare;
    a->loop = NULL;
    a->spare = NULL;
    pthread_mutex_unlock(&a->mutex);
    tl_lua_loop_stop(loop);
    tl_lua_state_close(spare);
    if (a->processes) {
        tl_lua_processes_stop(a->processes);
    }
}

void tl_lua_activities_free(struct tl_lua_activities *a)
{
    if (!a) {
        return;
    }
    tl_lua_activities_stop(a);
    tl_lua_processes_free(a->processes);
    pthread_mutex_destroy(&a->mutex);
    for (size_t i = 0; i < a->entry_count; i++) {
        luaL_unref(a->host->L, LUA_REGISTRYINDEX, a->entries[i]->function_ref);
        tl_mem_free(a->entries[i]->name);
        tl_mem_free(a->entries[i]);
    }
    lua_pushnil(a->host->L);
    lua_rawsetp(a->host->L, LUA_REGISTRYINDEX, a);
    tl_lua_operations_free(a->operations);
    free_names(a->modules, a->module_count);
    free_names(a->nexus_modules, a->nexus_module_count);
    free_names(a->converters, a->converter_count);
    tl_mem_free(a->plan);
    tl_mem_free((char *)(uintptr_t)a->sources.p);
    tl_mem_free(a->entries);
    tl_mem_free(a->path);
    tl_mem_free(a->cpath);
    tl_mem_free(a);
}
