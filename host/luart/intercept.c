/* See intercept.h. The slot holds { [hook's name] = list of functions, outermost first }; nil when no
 * interceptor has a hook. */
#include "luart/intercept.h"

#include <stdio.h>
#include <string.h>

#include "luart/options.h"
#include "luart/wf.h"
#include "proto/pb.h"

static const char *const hook_names[] = {
#define HOOK(name, text, inbound) text,
#include "luart/hooks.def"
#undef HOOK
};

/* --- loading ----------------------------------------------------------------------------------- */

static const struct tl_opt section_opts[] = {
    TL_OPT_CHECKED("activity", TL_OPT_TABLE),
    TL_OPT_CHECKED("client", TL_OPT_TABLE),
    TL_OPT_CHECKED("extern_functions", TL_OPT_TABLE),
    TL_OPT_CHECKED("name", TL_OPT_ANY),
    TL_OPT_CHECKED("nexus", TL_OPT_TABLE),
    TL_OPT_CHECKED("workflow", TL_OPT_TABLE),
};

static const struct tl_opt hook_opts[] = {
#define HOOK(name, text, inbound) TL_OPT_CHECKED(text, TL_OPT_FUNCTION),
#include "luart/hooks.def"
#undef HOOK
};

/* Adds the hooks of the section on top to the lists in the table at `all`. */
static void add_hooks(lua_State *L, const char *what, int all)
{
    int section = lua_gettop(L);
    TL_OPTIONS_READ(L, section, what, hook_opts, NULL, tl_cmd_arena(L));
    for (int i = 0; i < TL_HOOK_COUNT; i++) {
        lua_pushstring(L, hook_names[i]);
        if (lua_rawget(L, section) == LUA_TFUNCTION) {
            if (lua_getfield(L, all, hook_names[i]) == LUA_TNIL) {
                lua_newtable(L);
                lua_pushvalue(L, -1);
                lua_setfield(L, all, hook_names[i]);
                lua_remove(L, -2);
            }
            lua_pushvalue(L, section + 1);
            lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
        }
        lua_settop(L, section);
    }
}

/* Pushes what the module gives: a table, or what its function makes of the configuration. */
static void push_interceptor(lua_State *L, struct tl_lua_run *run,
                             const struct tl_bundle_interceptor *c)
{
    tl_module_require(L, run, c->module);
    if (lua_isfunction(L, -1)) {
        if (c->config.n) {
            tl_vm_json_decode(L, c->config);
        } else {
            lua_newtable(L);
        }
        lua_call(L, 1, 1);
    }
    if (!lua_istable(L, -1)) {
        luaL_error(
            L,
            "interceptor %s: the module gives a %s; it returns a table with sections (client, "
            "workflow, activity), or a function that makes one of its configuration",
            c->module.p, luaL_typename(L, -1));
    }
}

void tl_intercept_load(lua_State *L, struct tl_lua_run *run)
{
    int top = lua_gettop(L);
    size_t n;
    const struct tl_bundle_interceptor *list = tl_bundle_interceptors(run->bundle, &n);
    if (n == 0) {
        return;
    }
    luaL_checkstack(L, 16, NULL);
    lua_newtable(L);
    for (size_t i = 0; i < n; i++) {
        char what[200];
        snprintf(what, sizeof what, "interceptor %.*s", TL_STR_FMT(list[i].module));
        push_interceptor(L, run, &list[i]);
        TL_OPTIONS_READ(L, top + 2, what, section_opts, NULL, tl_cmd_arena(L));
        if (lua_getfield(L, top + 2, "workflow") != LUA_TNIL) {
            add_hooks(L, what, top + 1);
        }
        lua_settop(L, top + 2);
        if (lua_getfield(L, top + 2, "extern_functions") != LUA_TNIL) {
            tl_extern_add(L, run);
        }
        lua_settop(L, top + 1);
    }
    lua_pushnil(L);
    if (lua_next(L, top + 1)) {
        lua_settop(L, top + 1);
        tl_slot_set(L, run, TL_SLOT_INTERCEPTORS);
    }
    lua_settop(L, top);
}

/* --- calling ----------------------------------------------------------------------------------- */

bool tl_intercept_has(lua_State *L, enum tl_hook hook)
{
    int top = lua_gettop(L);
    tl_slot_push(L, tl_run_of(L), TL_SLOT_INTERCEPTORS);
    bool has = lua_istable(L, -1) && lua_getfield(L, -1, hook_names[hook]) == LUA_TTABLE;
    lua_settop(L, top);
    return has;
}

static int all_results(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    return lua_gettop(L) - (int)ctx;
}

/* One step of a chain. Upvalues: the hook, the function it gets as next. */
static int step(lua_State *L)
{
    lua_settop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_callk(L, 2, LUA_MULTRET, 0, all_results);
    return lua_gettop(L);
}

void tl_intercept_chain(lua_State *L, enum tl_hook hook)
{
    int last = lua_gettop(L);
    luaL_checkstack(L, 8, NULL);
    tl_slot_push(L, tl_run_of(L), TL_SLOT_INTERCEPTORS);
    if (lua_istable(L, -1) && lua_getfield(L, -1, hook_names[hook]) == LUA_TTABLE) {
        int list = lua_gettop(L);
        lua_pushvalue(L, last);
        for (lua_Integer i = (lua_Integer)lua_rawlen(L, list); i > 0; i--) {
            lua_rawgeti(L, list, i);
            lua_insert(L, -2);
            lua_pushcclosure(L, step, 2);
        }
        lua_replace(L, last);
    }
    lua_settop(L, last);
}

int tl_intercept_call(lua_State *L, enum tl_hook hook, lua_KContext ctx, lua_KFunction k)
{
    tl_intercept_chain(L, hook);
    lua_insert(L, -2);
    lua_callk(L, 1, LUA_MULTRET, ctx, k);
    return k(L, LUA_OK, ctx);
}

int tl_intercept_future(lua_State *L, int status, lua_KContext ctx)
{
    int base = (int)(ctx >> 1);
    (void)status;
    if (!(ctx & 1)) {
        return lua_gettop(L) - base;
    }
    if (lua_gettop(L) == base || !tl_future_test(L, base + 1)) {
        return luaL_error(L, "a hook of an interceptor must return what next(input) returned: a "
                             "handle that can be waited for");
    }
    lua_settop(L, base + 1);
    return tl_wf_await_top(L);
}

/* --- inputs ------------------------------------------------------------------------------------ */

#define INPUT_ARGS "interceptor: input.args"

void tl_intercept_push_headers(lua_State *L, const TpCommon__Header *header)
{
    size_t n = header ? header->n_fields : 0;
    lua_createtable(L, 0, (int)n);
    for (size_t i = 0; i < n; i++) {
        lua_pushstring(L, header->fields[i]->key);
        tl_vm_payload_decode(L, header->fields[i]->value);
        lua_rawset(L, -3);
    }
}

/* Packs the n values on top into a table with n. */
static void pack(lua_State *L, int n)
{
    lua_createtable(L, n, 1);
    lua_insert(L, -n - 1);
    int table = lua_gettop(L) - n;
    for (int i = n; i > 0; i--) {
        lua_rawseti(L, table, i);
    }
    lua_pushinteger(L, n);
    lua_setfield(L, table, "n");
}

int tl_wf_spread(lua_State *L, int list, const char *what)
{
    if (!lua_istable(L, list)) {
        return luaL_error(L, "%s must be a list, got a %s", what, luaL_typename(L, list));
    }
    lua_pushliteral(L, "n");
    lua_rawget(L, list);
    lua_Integer n = lua_tointeger(L, -1), length = (lua_Integer)lua_rawlen(L, list);
    lua_pop(L, 1);
    n = n > length ? n : length;
    if (n > 100000) {
        return luaL_error(L, "%s is too long", what);
    }
    luaL_checkstack(L, (int)n + 8, "too many arguments");
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, list, i);
    }
    return (int)n;
}

void tl_intercept_push_inbound(lua_State *L, const char *key, struct tl_str name, int n,
                               const TpCommon__Header *header)
{
    luaL_checkstack(L, 8, NULL);
    pack(L, n);
    lua_createtable(L, 0, 4);
    lua_insert(L, -2);
    lua_setfield(L, -2, "args");
    lua_pushlstring(L, name.p, name.n);
    lua_setfield(L, -2, key);
    tl_intercept_push_headers(L, header);
    lua_setfield(L, -2, "headers");
}

static void check_input(lua_State *L)
{
    lua_settop(L, 1);
    if (!lua_istable(L, 1)) {
        luaL_error(L, "interceptor: next(input) wants the input, a table, got a %s",
                   luaL_typename(L, 1));
    }
}

/* Upvalues: the function, the key of what goes before the arguments or nil. */
static int call_last(lua_State *L)
{
    int n = 0;
    check_input(L);
    lua_pushvalue(L, lua_upvalueindex(1));
    if (!lua_isnil(L, lua_upvalueindex(2))) {
        lua_pushvalue(L, lua_upvalueindex(2));
        lua_rawget(L, 1);
        n = 1;
    }
    lua_pushliteral(L, "args");
    lua_rawget(L, 1);
    lua_replace(L, 1);
    n += tl_wf_spread(L, 1, INPUT_ARGS);
    lua_callk(L, n, LUA_MULTRET, 1, all_results);
    return lua_gettop(L) - 1;
}

void tl_intercept_last(lua_State *L, const char *key)
{
    if (key) {
        lua_pushstring(L, key);
    } else {
        lua_pushnil(L);
    }
    lua_pushcclosure(L, call_last, 2);
}

/* Copies what the table at `from` has into the table on top. */
static void copy_fields(lua_State *L, int from)
{
    if (!lua_istable(L, from)) {
        return;
    }
    lua_pushnil(L);
    while (lua_next(L, from)) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, -4);
    }
}

/* The options' own table stays as it is: hooks get a copy of its headers. */
static void own_headers(lua_State *L, int input)
{
    lua_getfield(L, input, "headers");
    lua_newtable(L);
    copy_fields(L, lua_gettop(L) - 1);
    lua_setfield(L, input, "headers");
    lua_settop(L, input);
}

void tl_intercept_push_outbound(lua_State *L, const char *key, struct tl_str name, int own,
                                int options, int first)
{
    int top = lua_gettop(L);
    luaL_checkstack(L, (top >= first ? top - first + 1 : 0) + 12, "too many arguments");
    lua_newtable(L);
    int input = lua_gettop(L);
    if (options && !lua_isnoneornil(L, options) && !lua_istable(L, options)) {
        luaL_error(L, "options must be a table, got a %s (options come second, arguments last)",
                   luaL_typename(L, options));
    }
    if (own) {
        copy_fields(L, own);
    }
    if (options) {
        copy_fields(L, options);
    }
    lua_pushlstring(L, name.p, name.n);
    lua_setfield(L, input, key);
    for (int i = first; i <= top; i++) {
        lua_pushvalue(L, i);
    }
    pack(L, top >= first ? top - first + 1 : 0);
    lua_setfield(L, input, "args");
    own_headers(L, input);
}

void tl_intercept_open_outbound(lua_State *L, const char *key)
{
    check_input(L);
    lua_getfield(L, 1, key); /* 2 */
    lua_newtable(L);         /* 3: the options */
    copy_fields(L, 1);
    lua_pushnil(L);
    lua_setfield(L, 3, key);
    lua_pushnil(L);
    lua_setfield(L, 3, "args");
    lua_getfield(L, 1, "args");
    lua_replace(L, 1);
    tl_wf_spread(L, 1, INPUT_ARGS);
    lua_remove(L, 1);
}
