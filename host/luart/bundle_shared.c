/* Pass-through modules: evaluated once, in the state that holds the bundle's code and is frozen with it, so
 * that all runs have the same values by reference. Before that everything that can be reached from them is
 * looked at: what a run could change must not be in it.
 * Thread: the one that opens the bundle. Owner: the bundle owns the state. */
#include "luart/bundle_int.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

/* --- which modules ------------------------------------------------------------------------------ */

static tl_rc add_shared(void *ud, struct tl_str name, const char *path, struct tl_error *err)
{
    struct tl_bundle *b = ud;
    struct tl_bundle_module *m = tl_map_get(&b->modules, name);
    if (path) {
        return tl_error_set(err, TL_EINVAL,
                            "passthrough_modules: \"%s\": modules are named as in require", path);
    }
    if (!m) {
        struct tl_str file, text;
        tl_rc rc = tl_bundle_read_module(b, name, &file, &text, err);
        if (rc != TL_OK) {
            return tl_error_wrap(err, rc, "passthrough_modules");
        }
        m = tl_bundle_add_module(b, name, file, text);
    }
    if (m->entry || m->interceptor) {
        return tl_error_set(
            err, TL_EINVAL, "passthrough_modules: \"%.*s\" is %s: each run evaluates it for itself",
            TL_STR_FMT(name), m->entry ? "a workflow module" : "an interceptor's module");
    }
    m->shared = true;
    return TL_OK;
}

static tl_rc add_all(struct tl_bundle *b, struct tl_error *err)
{
    const char *const *names = b->config->passthrough_modules;
    tl_rc rc = TL_OK;
    b->outside = true;
    for (size_t i = 0; names && names[i] && rc == TL_OK; i++) {
        rc = tl_bundle_expand(b, names[i], add_shared, b, err);
    }
    b->outside = false;
    return rc;
}

/* --- whether a value can be shared ---------------------------------------------------------------- */

/* Stack of the walk: what is still to be looked at as { value, path } pairs, and what was. */
enum { WALK_TODO = 1, WALK_SEEN, WALK_VALUE, WALK_PATH, WALK_TOP = WALK_PATH };

struct walk {
    lua_State *L;
    lua_Integer todo; /* entries of WALK_TODO */
    struct tl_str module;
};

/* Queues the value on top (popped); its path is that of WALK_PATH with `step` at its end. */
static void queue(struct walk *w, const char *step)
{
    lua_State *L = w->L;
    int type = lua_type(L, -1);
    bool inner =
        type == LUA_TTABLE || type == LUA_TFUNCTION || type == LUA_TUSERDATA || type == LUA_TTHREAD;
    if (!inner || (type == LUA_TTABLE && tl_sandbox_lib_of(L, -1) >= 0)) {
        lua_pop(L, 1);
        return;
    }
    lua_pushvalue(L, -1);
    bool seen = lua_rawget(L, WALK_SEEN) != LUA_TNIL;
    lua_pop(L, 1);
    if (seen) {
        lua_pop(L, 1);
        return;
    }
    lua_pushvalue(L, -1);
    lua_pushboolean(L, 1);
    lua_rawset(L, WALK_SEEN);
    lua_rawseti(L, WALK_TODO, ++w->todo);
    lua_pushfstring(L, "%s%s", lua_tostring(L, WALK_PATH), step);
    lua_rawseti(L, WALK_TODO, ++w->todo);
}

static int refuse(const struct walk *w, const char *what)
{
    return luaL_error(
        w->L,
        "pass-through module '%s': %s %s; all runs share the module's values, so they "
        "are tables, functions that keep no state, text, numbers and booleans",
        w->module.p, lua_tostring(w->L, WALK_PATH), what);
}

static void look_at_table(struct walk *w)
{
    lua_State *L = w->L;
    char step[80];
    if (lua_getmetatable(L, WALK_VALUE)) {
        queue(w, "<metatable>");
    }
    for (lua_pushnil(L); lua_next(L, WALK_VALUE);) {
        if (lua_type(L, -2) == LUA_TSTRING) {
            snprintf(step, sizeof step, ".%.60s", lua_tostring(L, -2));
        } else if (lua_isinteger(L, -2)) {
            snprintf(step, sizeof step, "[%lld]", (long long)lua_tointeger(L, -2));
        } else {
            snprintf(step, sizeof step, "[a %s]", luaL_typename(L, -2));
        }
        queue(w, step);
        lua_pushvalue(L, -1);
        queue(w, "<key>");
    }
}

static void look_at_function(struct walk *w)
{
    lua_State *L = w->L;
    char step[200];
    lua_Debug ar;
    const char *name;
    lua_pushvalue(L, WALK_VALUE);
    lua_getinfo(L, ">S", &ar);
    for (int i = 1; (name = lua_getupvalue(L, WALK_VALUE, i)) != NULL; i++) {
        if (lua_iscfunction(L, WALK_VALUE)) {
            refuse(w, "is a function of the library that keeps state");
        }
        if (tl_vm_assigns_upvalue(L, WALK_VALUE, i)) {
            lua_pushfstring(L, "(%s:%d) assigns to its upvalue '%s'", ar.short_src, ar.linedefined,
                            name);
            refuse(w, lua_tostring(L, -1));
        }
        snprintf(step, sizeof step, "<upvalue %.60s>", name);
        queue(w, step);
    }
}

/* Raises when something that can be reached from the value on top (popped) cannot be shared. WALK_SEEN of
 * the modules before is at index 1 of L. */
static void check_value(lua_State *L, struct tl_str module)
{
    struct walk w = {L, 0, module};
    size_t n;
    lua_createtable(L, 0, 0);
    lua_insert(L, WALK_TODO);
    lua_settop(L, 3); /* todo, seen, value */
    lua_pushlstring(L, module.p, module.n);
    lua_pushvalue(L, WALK_VALUE);
    queue(&w, "");
    while (w.todo > 0) {
        lua_rawgeti(L, WALK_TODO, w.todo--);
        lua_replace(L, WALK_PATH);
        lua_rawgeti(L, WALK_TODO, w.todo--);
        lua_replace(L, WALK_VALUE);
        switch (lua_type(L, WALK_VALUE)) {
        case LUA_TTABLE:
            look_at_table(&w);
            break;
        case LUA_TFUNCTION:
            look_at_function(&w);
            break;
        case LUA_TTHREAD:
            refuse(&w, "is a coroutine");
            break;
        default:
            if (!tl_vm_to_bytes(L, WALK_VALUE, &n)) {
                lua_pushfstring(L, "is an object of the library (%s)",
                                tl_sandbox_tostring(L, WALK_VALUE, NULL));
                refuse(&w, lua_tostring(L, -1));
            }
            lua_getmetatable(L, WALK_VALUE);
            queue(&w, "<metatable>");
        }
        lua_settop(L, WALK_TOP);
    }
    lua_settop(L, WALK_SEEN);
    lua_remove(L, WALK_TODO);
}

/* --- evaluating them ------------------------------------------------------------------------------ */

/* Runs take metatables of the library that shared values have for theirs: remembers which. Leaves pairs
 * of name and metatable on the stack. */
static int keep_metatables(lua_State *L, struct tl_bundle *b, int seen)
{
    int first = lua_gettop(L) + 1;
    for (lua_pushnil(L); lua_next(L, LUA_REGISTRYINDEX); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TTABLE) {
            continue;
        }
        lua_pushvalue(L, -1);
        bool shared = lua_rawget(L, seen) != LUA_TNIL;
        lua_pop(L, 1);
        if (shared) {
            luaL_checkstack(L, 6, NULL);
            lua_pushvalue(L, -2);
            lua_insert(L, first);
            lua_pushvalue(L, -1);
            lua_insert(L, first + 1);
            b->shared_meta_count++;
        }
    }
    return first;
}

/* Protected: evaluates the modules; leaves the values to be shared on the stack, which become part of the
 * main thread's. */
static int load_shared(lua_State *L)
{
    struct tl_lua_run *run = tl_run_of(L);
    struct tl_bundle *b = run->bundle;
    lua_settop(L, 0);
    tl_sandbox_fill(L, run);
    TL_MAP_EACH (e, &b->modules) {
        const struct tl_bundle_module *m = e->value;
        if (m->shared) {
            tl_module_require(L, run, m->name);
            lua_settop(L, 0);
        }
    }
    lua_newtable(L); /* seen */
    TL_MAP_EACH (e, &b->modules) {
        struct tl_bundle_module *m = e->value;
        tl_slot_table(L, run, TL_SLOT_MODULES);
        lua_pushlstring(L, m->name.p, m->name.n);
        bool there = lua_rawget(L, -2) != LUA_TNIL;
        lua_remove(L, -2);
        if (m->shared && m->kind == TL_MODULE_ACTIVITY) {
            luaL_error(L, "passthrough_modules: '%s' is an activity module", m->name.p);
        }
        m->shared = there && m->kind == TL_MODULE_CODE; /* what one requires is shared, too */
        if (m->shared) {
            check_value(L, m->name);
        } else {
            lua_pop(L, 1);
        }
    }
    keep_metatables(L, b, 1);
    lua_remove(L, 1);
    return lua_gettop(L);
}

/* Moves what load_shared left on L to the main thread's stack, and the modules' values behind it. */
static void keep_values(struct tl_lua_run *run, lua_State *L)
{
    struct tl_bundle *b = run->bundle;
    lua_State *main = run->main;
    int n = lua_gettop(L);
    luaL_checkstack(main, n + (int)b->modules.count + LUA_MINSTACK, NULL);
    b->shared_meta_index = lua_gettop(main) + 1;
    lua_xmove(L, main, n);
    TL_MAP_EACH (e, &b->modules) {
        struct tl_bundle_module *m = e->value;
        if (m->shared) {
            lua_pushvalue(main, TL_SLOT_MODULES);
            lua_pushlstring(main, m->name.p, m->name.n);
            lua_rawget(main, -2);
            lua_remove(main, -2);
            m->shared_index = lua_gettop(main);
        }
    }
}

static tl_rc run_shared(struct tl_lua_run *run, void *ud)
{
    lua_State *L = tl_state_aux(run);
    (void)ud;
    tl_state_switch(run, L);
    lua_pushcfunction(L, load_shared);
    if (lua_pcall(L, 0, LUA_MULTRET, 0) != LUA_OK) {
        return tl_error_set(run->task_error, TL_ESCRIPT, "%s", tl_sandbox_tostring(L, -1, NULL));
    }
    keep_values(run, L);
    return TL_OK;
}

tl_rc tl_bundle_share(struct tl_bundle *b, struct tl_error *err)
{
    struct tl_error own_error;
    struct tl_probe p = {.b = b, .err = err ? err : &own_error};
    tl_arena_init(&p.arena, 64 << 20);
    tl_rc rc = add_all(b, err);
    if (rc == TL_OK) {
        b->code_run = tl_bundle_new_probe(&p, NULL, err);
        rc = b->code_run ? TL_OK : TL_EMEMORY;
    }
    b->shares = b->config->passthrough_modules && b->config->passthrough_modules[0];
    if (rc == TL_OK && b->shares) {
        b->code_run->sharing = true;
        b->outside = true;
        rc = tl_state_enter(b->code_run, run_shared, NULL, err);
        b->outside = false;
        if (rc == TL_EDEADLOCK || rc == TL_EMEMORY) {
            tl_error_wrap(err, rc, "loading the pass-through modules");
        }
    }
    if (b->code_run) {
        b->code_run->probe = NULL;
        b->code_run->arena = NULL;
    }
    tl_arena_deinit(&p.arena);
    return rc;
}

/* --- in runs --------------------------------------------------------------------------------------- */

void tl_bundle_take_shared(struct tl_lua_run *run)
{
    const struct tl_bundle *b = run->bundle;
    lua_State *L = run->main;
    for (int i = 0; i < b->shared_meta_count; i++) {
        int at = b->shared_meta_index + 2 * i;
        tl_vm_push_shared(L, tl_bundle_code(b), at);
        tl_vm_push_shared(L, tl_bundle_code(b), at + 1);
        lua_rawset(L, LUA_REGISTRYINDEX);
    }
}

const struct tl_lua_run *tl_bundle_code_run(const struct tl_bundle *b)
{
    return b->code_run;
}

void tl_shared_check(lua_State *L, const char *what)
{
    if (tl_run_of(L)->sharing) {
        luaL_error(
            L,
            "%s cannot be used while a pass-through module is loaded: that happens once, for "
            "all runs, not when one of them runs",
            what);
    }
}
