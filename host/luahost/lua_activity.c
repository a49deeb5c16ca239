/* See lua_activity.h. Threads: tl_lua_activities_new/free on the host script's; run_module on activity
 * threads; run_function posts to the host script's thread and waits for it. */
#include "luahost/lua_activity.h"

#include <lauxlib.h>
#include <pthread.h>

#include "base/mem.h"
#include "luart/convert.h"

struct entry {
    struct tl_lua_activities *owner;
    char *name;
    int function_ref; /* in the host's registry; LUA_NOREF for an activity of a module */
};

struct tl_lua_activities {
    struct tl_host *host;
    char *path, *cpath;
    char **modules;
    size_t module_count;
    char *
        *converters; /* modules with payload converters; each state keeps what they gave under this
                        * struct's address in its registry */
    size_t converter_count;
    char *interceptors; /* JSON */
    struct entry **entries;
    size_t entry_count;
    struct tl_str sources; /* of the modules, from the first state; owned */
};

/* --- calling ---------------------------------------------------------------------------------- */

struct call_frame {
    struct tl_activity *activity;
    TpFailure__Failure *failure; /* set when the function raised */
    bool cancelled;
};

/* [-1, +1, e] message handler: a text becomes an error with that message and a stack trace; error
 * tables keep their own */
static int add_traceback(lua_State *L)
{
    if (lua_type(L, 1) == LUA_TSTRING) {
        tl_stock_push_error(L, "ApplicationError", lua_tostring(L, 1));
        lua_pushliteral(L, "LuaError");
        lua_setfield(L, -2, "type");
        luaL_traceback(L, L, NULL, 1);
        lua_setfield(L, -2, "stack_trace");
    }
    return 1;
}

/* [-0, +0, e] The function is at 1, the frame at 2: decodes, calls, encodes, completes. */
static int call_and_complete(lua_State *L)
{
    struct call_frame *f = lua_touserdata(L, 2);
    lua_settop(L, 1);
    tl_host_use_activity_data(L);
    int n = tl_stock_payloads_decode(L, f->activity->task->input);
    lua_call(L, n, LUA_MULTRET);
    int results = lua_gettop(L);
    if (!tl_activity_ended(f->activity)) {
        tl_host_use_activity_data(L); /* the function may have used clients */
        TpCommon__Payloads *out =
            tl_stock_payloads_encode(L, 1, results, f->activity->arena, "result");
        tl_activity_complete(f->activity, out);
    }
    return 0;
}

/* [-1, +0, e] The error value is at 1, the frame at 2. */
static int describe_error(lua_State *L)
{
    struct call_frame *f = lua_touserdata(L, 2);
    f->cancelled = tl_stock_error_has(L, 1, "CancelledError");
    tl_host_use_activity_data(L);
    f->failure = tl_stock_failure_encode(L, 1, f->activity->arena);
    return 0;
}

static void end_with_error(lua_State *L, struct tl_activity *a)
{
    struct call_frame f = {a, NULL, false};
    lua_pushcfunction(L, describe_error);
    lua_insert(L, -2);
    lua_pushlightuserdata(L, &f);
    if (lua_pcall(L, 2, 0, 0) != LUA_OK) {
        lua_pop(L, 1);
    }
    if (tl_activity_ended(a)) {
        return;
    }
    if (f.cancelled && tl_activity_cancel_reasons(a)) {
        tl_activity_end_canceled(a, NULL);
        return;
    }
    if (!f.failure) {
        f.failure = tl_activity_failure(
            a->arena, TL_STR_LIT("LuaError"),
            TL_STR_LIT("the activity raised an error that cannot be sent"), false);
    }
    tl_activity_fail(a, f.failure);
}

void tl_lua_activity_call(struct tl_host *h, struct tl_activity *a,
                          const struct tl_lua_activities *of)
{
    lua_State *L = h->L;
    int base = lua_gettop(L) - 1;
    struct call_frame f = {a, NULL, false};
    struct tl_activity *outer = h->current;
    int outer_shields = h->shields;
    h->current = a;
    h->shields = 0;
    const void *outer_data = h->current_data;
    h->current_data = of;
    lua_pushcfunction(L, add_traceback);
    lua_insert(L, base + 1);
    lua_pushcfunction(L, call_and_complete);
    lua_insert(L, base + 2);
    lua_pushlightuserdata(L, &f);
    if (lua_pcall(L, 2, 0, base + 1) != LUA_OK) {
        end_with_error(L, a);
    }
    lua_settop(L, base);
    h->current = outer;
    h->shields = outer_shields;
    h->current_data = outer_data;
}

static void fail_plainly(struct tl_activity *a, const char *message)
{
    tl_activity_fail(
        a, tl_activity_failure(a->arena, TL_STR_LIT("WorkerError"), tl_str(message), false));
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

/* [-0, +1, e] Pushes the table name -> function of everything the modules define. Modules are required
 * in the order given; a module returns a definition, a list of them, or a table name -> function. */
static int collect_modules(lua_State *L)
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
    lua_getglobal(L, "require");
    lua_pushliteral(L, "temporal.internal.activities");
    lua_call(L, 1, 1);
    push_names(L, a->modules, a->module_count);
    lua_pushstring(L, a->interceptors);
    lua_call(L, 2, 1);
    return 1;
}

/* A state with all modules loaded; their functions are on its stack at 1. */
static tl_rc open_state(struct tl_lua_activities *a, lua_State **out, struct tl_error *err)
{
    lua_State *L = tl_host_state_new(a->path, a->cpath);
    if (!L) {
        return tl_error_set(err, TL_EMEMORY, "no memory for a Lua state");
    }
    lua_pushcfunction(L, add_traceback);
    lua_pushcfunction(L, collect_modules);
    lua_pushlightuserdata(L, a);
    if (lua_pcall(L, 1, 1, 1) != LUA_OK) {
        tl_rc rc = tl_error_set(err, TL_ESCRIPT, "%s", luaL_tolstring(L, -1, NULL));
        lua_close(L);
        return rc;
    }
    lua_remove(L, 1);
    *out = L;
    return TL_OK;
}

static tl_rc thread_open(void *ud, void **state, struct tl_error *err)
{
    struct tl_lua_activities *a = ud;
    lua_State *L = NULL;
    *state = NULL;
    if (a->module_count == 0) {
        return TL_OK;
    }
    tl_rc rc = open_state(a, &L, err);
    *state = L;
    return rc;
}

static void thread_close(void *ud, void *state)
{
    (void)ud;
    if (state) {
        lua_close(state);
    }
}

static void run_module(void *thread_state, void *ud, struct tl_activity *a)
{
    struct entry *e = ud;
    lua_State *L = thread_state;
    if (!L || lua_getfield(L, 1, e->name) != LUA_TFUNCTION) {
        if (L) {
            lua_pop(L, 1);
        }
        fail_plainly(a, "the activity's module is not loaded in this thread");
        return;
    }
    tl_lua_activity_call(tl_host_get(L), a, e->owner);
}

/* --- functions of the host script ------------------------------------------------------------- */

struct function_job {
    struct tl_host_job job;
    struct entry *entry;
    struct tl_activity *activity;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool done;
};

static void serve_function(struct tl_host *h, struct tl_host_job *job)
{
    struct function_job *j = TL_CONTAINER(job, struct function_job, job);
    lua_rawgeti(h->L, LUA_REGISTRYINDEX, j->entry->function_ref);
    tl_lua_activity_call(h, j->activity, j->entry->owner);
    pthread_mutex_lock(&j->mutex);
    j->done = true;
    pthread_cond_signal(&j->cond);
    pthread_mutex_unlock(&j->mutex);
}

static void run_function(void *thread_state, void *ud, struct tl_activity *a)
{
    (void)thread_state;
    struct entry *e = ud;
    struct function_job j = {.job = {.run = serve_function}, .entry = e, .activity = a};
    pthread_mutex_init(&j.mutex, NULL);
    pthread_cond_init(&j.cond, NULL);
    if (!tl_inbox_send_always(&e->owner->host->inbox, &j.job.msg)) {
        fail_plainly(a, "the script that gave this activity as a function has ended");
        j.done = true;
    }
    pthread_mutex_lock(&j.mutex);
    while (!j.done) {
        pthread_cond_wait(&j.cond, &j.mutex);
    }
    pthread_mutex_unlock(&j.mutex);
    pthread_cond_destroy(&j.cond);
    pthread_mutex_destroy(&j.mutex);
}

/* --- making ----------------------------------------------------------------------------------- */

static tl_rc add_entry(struct tl_lua_activities *a, struct tl_registry *registry, const char *name,
                       int function_ref, struct tl_error *err)
{
    struct entry *e = TL_NEW(struct entry);
    *e = (struct entry){a, tl_mem_dup(tl_str(name)), function_ref};
    a->entries = tl_mem_realloc(a->entries, (a->entry_count + 1) * sizeof *a->entries);
    a->entries[a->entry_count++] = e;
    struct tl_activity_impl impl = {function_ref == LUA_NOREF ? run_module : run_function, e};
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

static tl_rc add_modules(struct tl_lua_activities *a, struct tl_registry *registry,
                         struct tl_error *err)
{
    lua_State *probe;
    tl_rc rc = open_state(a, &probe, err);
    if (rc != TL_OK) {
        return rc;
    }
    rc = keep_sources(a, probe, err);
    for (lua_pushnil(probe); rc == TL_OK && lua_next(probe, 1); lua_pop(probe, 1)) {
        rc = add_entry(a, registry, lua_tostring(probe, -2), LUA_NOREF, err);
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

tl_rc tl_lua_activities_new(lua_State *L, const struct tl_lua_activity_sources *from,
                            struct tl_registry *registry, struct tl_lua_activities **out,
                            struct tl_error *err)
{
    struct tl_lua_activities *a = TL_NEW(struct tl_lua_activities);
    a->host = tl_host_get(L);
    a->path = package_field(L, "path");
    a->cpath = package_field(L, "cpath");
    a->interceptors = tl_mem_dup(from->interceptors);
    a->modules = read_names(L, from->modules, &a->module_count);
    tl_rc rc = load_converters(L, from->converters, a, err);
    if (rc == TL_OK && a->module_count) {
        rc = add_modules(a, registry, err);
    }
    for (lua_pushnil(L); rc == TL_OK && lua_next(L, from->functions);) {
        lua_pushvalue(L, -1);
        int ref = luaL_ref(L, LUA_REGISTRYINDEX);
        lua_pop(L, 1);
        rc = add_entry(a, registry, lua_tostring(L, -1), ref, err);
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

void tl_lua_activities_free(struct tl_lua_activities *a)
{
    if (!a) {
        return;
    }
    for (size_t i = 0; i < a->entry_count; i++) {
        luaL_unref(a->host->L, LUA_REGISTRYINDEX, a->entries[i]->function_ref);
        tl_mem_free(a->entries[i]->name);
        tl_mem_free(a->entries[i]);
    }
    lua_pushnil(a->host->L);
    lua_rawsetp(a->host->L, LUA_REGISTRYINDEX, a);
    free_names(a->modules, a->module_count);
    free_names(a->converters, a->converter_count);
    tl_mem_free(a->interceptors);
    tl_mem_free((char *)(uintptr_t)a->sources.p);
    tl_mem_free(a->entries);
    tl_mem_free(a->path);
    tl_mem_free(a->cpath);
    tl_mem_free(a);
}
