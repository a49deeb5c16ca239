/* workflow.define and the handlers of signals and queries. See sandbox.def.
 * Thread: the run's. Owner: functions are kept in the run's slots. */
#include <string.h>

#include "luart/options.h"
#include "luart/wf.h"

#define META_DEFINITION "temporal.workflow_definition"

static const char *const versioning_names[] = {"unspecified", "pinned", "auto_upgrade", NULL};

struct define_options {
    char *name;
    int versioning;
};

static const struct tl_opt define_opts[] = {
    TL_OPT("name", TL_OPT_STRING, 0, struct define_options, name),
    TL_OPT_CHECKED("run", TL_OPT_FUNCTION),
    TL_OPT_CHECKED("init", TL_OPT_FUNCTION),
    TL_OPT_CHECKED("signals", TL_OPT_TABLE),
    TL_OPT_CHECKED("queries", TL_OPT_TABLE),
    {"versioning_behavior", TL_OPT_ENUM, 0, offsetof(struct define_options, versioning),
     versioning_names},
};

/* All values of a handler table must be functions. */
static void check_handlers(lua_State *L, const char *key)
{
    lua_getfield(L, 1, key);
    if (lua_istable(L, -1)) {
        lua_pushnil(L);
        while (lua_next(L, -2)) {
            if (lua_type(L, -2) != LUA_TSTRING || !lua_isfunction(L, -1)) {
                luaL_error(L, "workflow.define: %s must be a table of functions by name", key);
            }
            lua_pop(L, 1);
        }
    }
    lua_pop(L, 1);
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
    struct define_options options = {NULL, 0};
    struct tl_str name;
    lua_settop(L, 2);
    if (run->phase == TL_PHASE_RUN) {
        return luaL_error(L, "workflow.define belongs at the top of a module, not into a workflow");
    }
    if (lua_istable(L, 1)) {
        TL_OPTIONS_READ(L, 1, "workflow.define", define_opts, (void *[]){&options},
                        tl_cmd_arena(L));
        lua_getfield(L, 1, "run");
        if (!options.name || !*options.name || !lua_isfunction(L, -1)) {
            return luaL_error(L,
                              "workflow.define: name (a string) and run (a function) are needed");
        }
        lua_replace(L, 2);
        check_handlers(L, "signals");
        check_handlers(L, "queries");
        name = tl_str(options.name);
    } else {
        luaL_checktype(L, 1, LUA_TSTRING);
        luaL_checktype(L, 2, LUA_TFUNCTION);
        name.p = lua_tolstring(L, 1, &name.n);
        luaL_argcheck(L, name.n > 0, 1, "a workflow type has a name");
    }
    if (run->phase == TL_PHASE_PROBE) {
        tl_bundle_record_workflow(
            L, run, name, tl_str(options.versioning ? versioning_names[options.versioning] : ""));
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

/* --- handlers --------------------------------------------------------------------------------- */

/* Sets the handler at index 2 (nil: none) for the key at index 1. */
static void set_handler(lua_State *L, const char *what, enum tl_slot slot)
{
    tl_command_check(L, what);
    if (!lua_isnil(L, 2)) {
        luaL_checktype(L, 2, LUA_TFUNCTION);
    }
    tl_slot_table(L, tl_run_of(L), slot);
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 2);
    lua_rawset(L, -3);
    lua_settop(L, 2);
}

static void set_named(lua_State *L, const char *what, enum tl_slot slot)
{
    size_t n;
    const char *name = luaL_checklstring(L, 1, &n);
    lua_settop(L, 2);
    luaL_argcheck(L, lua_type(L, 1) == LUA_TSTRING && n > 0, 1, "a name is expected");
    luaL_argcheck(L, strncmp(name, "__temporal_", 11) != 0 && strcmp(name, "__stack_trace") != 0, 1,
                  "the name is reserved");
    set_handler(L, what, slot);
}

static void set_dynamic(lua_State *L, const char *what, enum tl_slot slot)
{
    lua_settop(L, 1);
    lua_pushboolean(L, 1);
    lua_insert(L, 1);
    set_handler(L, what, slot);
}

int tl_lib_wf_set_signal_handler(lua_State *L)
{
    set_named(L, "workflow.set_signal_handler", TL_SLOT_SIGNALS);
    tl_run_flush_signals(L, tl_run_of(L));
    return 0;
}

int tl_lib_wf_set_dynamic_signal_handler(lua_State *L)
{
    set_dynamic(L, "workflow.set_dynamic_signal_handler", TL_SLOT_SIGNALS);
    tl_run_flush_signals(L, tl_run_of(L));
    return 0;
}

int tl_lib_wf_set_query_handler(lua_State *L)
{
    set_named(L, "workflow.set_query_handler", TL_SLOT_QUERIES);
    return 0;
}

int tl_lib_wf_set_dynamic_query_handler(lua_State *L)
{
    set_dynamic(L, "workflow.set_dynamic_query_handler", TL_SLOT_QUERIES);
    return 0;
}

int tl_lib_wf_all_handlers_finished(lua_State *L)
{
    lua_pushboolean(L, tl_run_of(L)->signals_running == 0);
    return 1;
}
