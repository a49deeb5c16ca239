/* require inside the sandbox: the library's own modules, then the bundle's. Each run has its own
 * instance of every module but pass-through ones.
 * Thread: the run's. Owner: values are kept in the run's slot. */
#include <stdio.h>
#include <string.h>

#include "luart/wf.h"

static const struct {
    const char *name;
    enum tl_lib lib;
} own_modules[] = {
    {"temporal", TL_LIB_TEMPORAL},
    {"temporal.workflow", TL_LIB_WORKFLOW},
    {"temporal.activity", TL_LIB_ACTIVITY},
    {"temporal.json", TL_LIB_JSON},
    {"string", TL_LIB_STRING},
    {"table", TL_LIB_TABLE},
    {"math", TL_LIB_MATH},
    {"utf8", TL_LIB_UTF8},
    {"os", TL_LIB_OS},
    {"coroutine", TL_LIB_COROUTINE},
};

/* Pushes what require of an activity module gives: proxies by place, key and activity type. */
static void push_proxies(lua_State *L, const struct tl_bundle_module *m)
{
    lua_newtable(L);
    int table = lua_gettop(L);
    lua_Integer n = 0;
    for (size_t i = 0; i < m->activity_count; i++) {
        const struct tl_bundle_activity *a = &m->activities[i];
        lua_settop(L, table);
        if (a->options.n) {
            tl_vm_json_decode(L, a->options);
        } else {
            lua_pushnil(L);
        }
        tl_wf_push_activity(L, a->name, -1);
        if (m->activity_single) {
            lua_replace(L, table);
            break;
        }
        if (!a->key.n) {
            lua_pushvalue(L, -1);
            lua_rawseti(L, table, ++n);
        }
        const struct tl_str names[] = {a->key, a->name};
        for (size_t k = 0; k < 2; k++) {
            lua_pushlstring(L, names[k].p, names[k].n);
            lua_pushvalue(L, -1);
            if (names[k].n && lua_rawget(L, table) == LUA_TNIL) {
                lua_pop(L, 1);
                lua_pushvalue(L, -2);
                lua_rawset(L, table);
            } else {
                lua_pop(L, 2);
            }
        }
    }
    lua_settop(L, table);
}

struct reader {
    struct tl_str code;
    bool done;
};

static const char *read_code(lua_State *L, void *ud, size_t *n)
{
    struct reader *r = ud;
    (void)L;
    *n = r->done ? 0 : r->code.n;
    r->done = true;
    return *n ? r->code.p : NULL;
}

void tl_module_load(lua_State *L, const struct tl_bundle_module *m)
{
    char name[256];
    struct reader r = {m->code, false};
    snprintf(name, sizeof name, "=%.*s", TL_STR_FMT(m->file));
    if (lua_load(L, read_code, &r, name, "b") != LUA_OK) {
        lua_error(L);
    }
}

/* Runs the module's chunk; its value is left on top. */
static void run_chunk(lua_State *L, struct tl_lua_run *run, const struct tl_bundle_module *m)
{
    if (m->frozen_index) {
        tl_vm_push_frozen(L, tl_bundle_code(run->bundle), m->frozen_index);
    } else {
        tl_module_load(L, m);
    }
    struct tl_str before = run->loading;
    bool lenient = run->lenient;
    run->loading = m->name;
    run->lenient = m->mixed;
    lua_pushlstring(L, m->name.p, m->name.n);
    int status = lua_pcall(L, 1, 1, 0);
    run->loading = before;
    run->lenient = lenient;
    if (status != LUA_OK) {
        lua_error(L);
    }
}

static int not_found(lua_State *L, struct tl_lua_run *run, struct tl_str name)
{
    bool ours = name.n > 9 && memcmp(name.p, "temporal.", 9) == 0;
    if (run->phase != TL_PHASE_RUN && run->lenient) {
        tl_sandbox_push_inert(L, name.p);
        return 1;
    }
    if (ours) {
        return luaL_error(L,
                          "module '%s' is not available in a workflow: it belongs to workers, "
                          "clients and tests; a workflow has temporal, temporal.workflow and "
                          "temporal.activity",
                          name.p);
    }
    return luaL_error(L,
                      "module '%s' is not in the bundle: a workflow can require modules that are "
                      "found below the worker's roots (name.lua or name/init.lua); C modules and "
                      "installed rocks belong into activities",
                      name.p);
}

void tl_module_require(lua_State *L, struct tl_lua_run *run, struct tl_str name)
{
    luaL_checkstack(L, 12, NULL);
    for (size_t i = 0; i < sizeof own_modules / sizeof *own_modules; i++) {
        if (tl_str_eqc(name, own_modules[i].name)) {
            tl_sandbox_push_lib(L, run, own_modules[i].lib);
            return;
        }
    }
    if (run->probe && tl_bundle_probes_activity(run) && run->loading.n) {
        tl_sandbox_push_inert(L, name.p);
        return;
    }
    tl_slot_table(L, run, TL_SLOT_MODULES);
    int modules = lua_gettop(L);
    lua_pushlstring(L, name.p, name.n);
    if (lua_rawget(L, modules) != LUA_TNIL) {
        if (lua_isboolean(L, -1) && !lua_toboolean(L, -1)) {
            luaL_error(L, "module '%s' requires itself (directly or through others)", name.p);
        }
        lua_remove(L, modules);
        return;
    }
    lua_pop(L, 1);
    const struct tl_bundle_module *m = tl_bundle_module_find(run->bundle, name);
    if (m && m->shared_index && tl_bundle_code(run->bundle)) {
        tl_vm_push_shared(L, tl_bundle_code(run->bundle), m->shared_index);
        lua_remove(L, modules);
        return;
    }
    if (!m && run->probe) {
        m = tl_bundle_module_load(L, run, name);
    }
    if (!m) {
        not_found(L, run, name);
        lua_remove(L, modules);
        return;
    }
    lua_pushlstring(L, name.p, name.n);
    lua_pushboolean(L, 0);
    lua_rawset(L, modules);
    if (m->kind == TL_MODULE_ACTIVITY && !(run->probe && tl_bundle_probes_activity(run))) {
        push_proxies(L, m);
    } else {
        run_chunk(L, run, m);
    }
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_pushboolean(L, 1);
    }
    lua_pushlstring(L, name.p, name.n);
    lua_pushvalue(L, -2);
    lua_rawset(L, modules);
    lua_remove(L, modules);
}
