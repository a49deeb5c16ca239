/* workflow.define. See sandbox.def.
 * Thread: the run's. Owner: functions are kept in the run's slots. */
#include <stdio.h>
#include <string.h>

#include "luart/options.h"
#include "luart/wf.h"

#define META_DEFINITION "temporal.workflow_definition"

static const char *const versioning_names[] = {"unspecified", "pinned", "auto_upgrade", NULL};

struct define_options {
    char *name;
    int versioning;
    protobuf_c_boolean dynamic;
    protobuf_c_boolean sandboxed;
};

static const struct tl_opt define_opts[] = {
    TL_OPT("name", TL_OPT_STRING, 0, struct define_options, name),
    TL_OPT_CHECKED("run", TL_OPT_FUNCTION),
    TL_OPT_CHECKED("init", TL_OPT_FUNCTION),
    TL_OPT_CHECKED("signals", TL_OPT_TABLE),
    TL_OPT_CHECKED("updates", TL_OPT_TABLE),
    TL_OPT_CHECKED("queries", TL_OPT_TABLE),
    TL_OPT_CHECKED("dynamic_signal", TL_OPT_ANY),
    TL_OPT_CHECKED("dynamic_update", TL_OPT_ANY),
    TL_OPT_CHECKED("dynamic_query", TL_OPT_ANY),
    TL_OPT("dynamic", TL_OPT_BOOL, 0, struct define_options, dynamic),
    TL_OPT_CHECKED("failure_error_types", TL_OPT_TABLE),
    TL_OPT_CHECKED("args", TL_OPT_TABLE),
    TL_OPT_CHECKED("result", TL_OPT_ANY),
    TL_OPT("sandboxed", TL_OPT_BOOL, 0, struct define_options, sandboxed),
    {"versioning_behavior", TL_OPT_ENUM, 0, offsetof(struct define_options, versioning),
     versioning_names},
};

/* All values of a handler table must be handlers. */
static void check_handlers(lua_State *L, const char *key, enum tl_slot slot)
{
    char what[96];
    lua_getfield(L, 1, key);
    if (lua_istable(L, -1)) {
        lua_pushnil(L);
        while (lua_next(L, -2)) {
            if (lua_type(L, -2) != LUA_TSTRING) {
                luaL_error(L, "workflow.define: %s must be a table of handlers by name", key);
            }
            snprintf(what, sizeof what, "workflow.define: %s.%.60s", key, lua_tostring(L, -2));
            tl_handler_read(L, -1, what, slot, false);
            lua_pop(L, 2);
        }
    }
    lua_pop(L, 1);
}

static void check_dynamic_handler(lua_State *L, const char *key, enum tl_slot slot)
{
    char what[96];
    if (lua_getfield(L, 1, key) != LUA_TNIL) {
        snprintf(what, sizeof what, "workflow.define: %s", key);
        tl_handler_read(L, -1, what, slot, false);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

/* Reads the table form at index 1; leaves run at index 2. Returns the type, empty: dynamic. */
static struct tl_str read_definition(lua_State *L, struct define_options *o)
{
    TL_OPTIONS_READ(L, 1, "workflow.define", define_opts, (void *[]){o}, tl_cmd_arena(L));
    bool named = o->name && *o->name;
    if (o->dynamic && o->name) {
        luaL_error(L, "workflow.define: a dynamic workflow takes every type without a definition; "
                      "it has no name of its own");
    }
    if (lua_getfield(L, 1, "run") != LUA_TFUNCTION || (!named && !o->dynamic)) {
        luaL_error(L, "workflow.define: name (a string) and run (a function) are needed");
    }
    lua_replace(L, 2);
    check_handlers(L, "signals", TL_SLOT_SIGNALS);
    check_handlers(L, "updates", TL_SLOT_UPDATES);
    check_handlers(L, "queries", TL_SLOT_QUERIES);
    check_dynamic_handler(L, "dynamic_signal", TL_SLOT_SIGNALS);
    check_dynamic_handler(L, "dynamic_update", TL_SLOT_UPDATES);
    check_dynamic_handler(L, "dynamic_query", TL_SLOT_QUERIES);
    if (lua_getfield(L, 1, "failure_error_types") != LUA_TNIL) {
        lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
        for (lua_Integer i = 1; i <= n; i++) {
            if (lua_rawgeti(L, 3, i) != LUA_TSTRING) {
                luaL_error(L, "workflow.define: failure_error_types must be a list of error types, "
                              "as { \"LuaError\" }");
            }
            lua_pop(L, 1);
        }
    }
    lua_settop(L, 2);
    return o->dynamic ? TL_STR_LIT("") : tl_str(o->name);
}

/* Pushes what define returns: the name, usable where a workflow type is wanted. */
static void push_definition(lua_State *L, struct tl_str name)
{
    lua_createtable(L, 0, 1);
    lua_pushlstring(L, name.p, name.n);
    lua_setfield(L, -2, "name");
    if (luaL_newmetatable(L, META_DEFINITION)) {
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_setmetatable(L, -2);
}

bool tl_wf_definition_name(lua_State *L, int index, struct tl_str *name)
{
    name->p = NULL;
    name->n = 0;
    if (lua_istable(L, index) && lua_getmetatable(L, index)) {
        int t = lua_absindex(L, index < 0 ? index - 1 : index);
        luaL_getmetatable(L, META_DEFINITION);
        if (lua_rawequal(L, -1, -2)) {
            lua_getfield(L, t, "name");
            name->p = lua_tolstring(L, -1, &name->n);
            lua_pop(L, 1); /* the definition keeps it */
        }
        lua_pop(L, 2);
    }
    return name->n > 0;
}

struct tl_str tl_wf_type_name(lua_State *L, int index, const char *what)
{
    struct tl_str name = {NULL, 0};
    if (lua_type(L, index) == LUA_TSTRING) {
        name.p = lua_tolstring(L, index, &name.n);
    } else {
        tl_wf_definition_name(L, index, &name);
    }
    if (!name.p || !name.n) {
        luaL_error(L, "%s: a workflow type is a name or a definition, got a %s", what,
                   luaL_typename(L, index));
    }
    return name;
}

/* define("Order", fn) or define { name = "Order", run = fn, ... }. */
int tl_lib_wf_define(lua_State *L)
{
    struct tl_lua_run *run = tl_run_of(L);
    struct define_options options = {.sandboxed = true};
    struct tl_str name;
    if (lua_gettop(L) > (lua_istable(L, 1) ? 1 : 2)) {
        return luaL_error(L, "workflow.define takes a name and a function, or one table with name, "
                             "run and the options");
    }
    lua_settop(L, 2);
    tl_shared_check(L, "workflow.define");
    if (run->phase == TL_PHASE_RUN) {
        return luaL_error(L, "workflow.define belongs at the top of a module, not into a workflow");
    }
    if (lua_istable(L, 1)) {
        name = read_definition(L, &options);
        tl_wf_bind_models(L, 1, 2, name);
    } else {
        luaL_checktype(L, 1, LUA_TSTRING);
        luaL_checktype(L, 2, LUA_TFUNCTION);
        name.p = lua_tolstring(L, 1, &name.n);
        luaL_argcheck(L, name.n > 0, 1, "a workflow type has a name");
    }
    if (run->phase == TL_PHASE_PROBE) {
        tl_bundle_record_workflow(
            L, run, name, tl_str(options.versioning ? versioning_names[options.versioning] : ""),
            !options.sandboxed);
    } else if (tl_str_eq(name, run->type->type)) {
        lua_pushvalue(L, 2);
        tl_slot_set(L, run, TL_SLOT_RUN);
        if (lua_istable(L, 1)) {
            lua_pushvalue(L, 1);
        } else {
            lua_pushnil(L);
        }
        tl_slot_set(L, run, TL_SLOT_DEFINITION);
    }
    push_definition(L, name);
    return 1;
}
