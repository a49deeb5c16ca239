/* Handlers of signals, queries and updates: how they are kept, found, listed and counted, and the
 * signals that wait for one. A slot maps a name (true: dynamic) to a function, or to a record
 * { function, description, abandon, validator or nil } where the script said more.
 * Thread: the run's. Owner: everything is in the run's slots. */
#include <stdio.h>
#include <string.h>

#include "luart/intercept.h"
#include "luart/options.h"
#include "luart/run_jobs.h"
#include "luart/wf.h"
#include "proto/pb.h"

enum { RECORD_FN = 1, RECORD_DESCRIPTION, RECORD_ABANDON, RECORD_VALIDATOR };

/* --- keeping ---------------------------------------------------------------------------------- */

static const char *const policy_names[] = {"warn_and_abandon", "abandon", NULL};

struct handler_options {
    char *description;
    int policy;
};

static const struct tl_opt handler_opts[] = {
    TL_OPT_CHECKED("handler", TL_OPT_FUNCTION),
    TL_OPT("description", TL_OPT_STRING, 0, struct handler_options, description),
    {"unfinished_policy", TL_OPT_ENUM, 0, offsetof(struct handler_options, policy), policy_names},
    TL_OPT_CHECKED("validator", TL_OPT_FUNCTION),
};

/* How many of them a kind of handler has. A query leaves nothing behind: the policy is not for it. */
static size_t option_count(enum tl_slot slot)
{
    return slot == TL_SLOT_QUERIES ? 2 : slot == TL_SLOT_SIGNALS ? 3 : 4;
}

static int all_results(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    return lua_gettop(L) - (int)ctx;
}

int tl_handler_call_with_self(lua_State *L)
{
    tl_slot_push(L, tl_run_of(L), TL_SLOT_SELF);
    lua_insert(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_callk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, all_results);
    return lua_gettop(L);
}

void tl_handler_read(lua_State *L, int index, const char *what, enum tl_slot slot, bool with_self)
{
    struct handler_options o = {NULL, 0};
    int value = lua_absindex(L, index), top = lua_gettop(L);
    bool validated = false;
    luaL_checkstack(L, 8, NULL);
    if (lua_isfunction(L, value)) {
        lua_pushvalue(L, value);
    } else if (lua_istable(L, value)) {
        tl_options_read(L, value, what, handler_opts, option_count(slot), (void *[]){&o},
                        tl_cmd_arena(L));
        validated = slot == TL_SLOT_UPDATES && lua_getfield(L, value, "validator") != LUA_TNIL;
        lua_settop(L, top);
        if (lua_getfield(L, value, "handler") != LUA_TFUNCTION) {
            luaL_error(L, "%s: the table of a handler needs handler (a function)", what);
        }
    } else {
        luaL_error(L, "%s: a handler is a function or a table with field handler, got a %s", what,
                   luaL_typename(L, value));
    }
    if (with_self) {
        lua_pushcclosure(L, tl_handler_call_with_self, 1);
    }
    if (o.description || o.policy || validated) {
        lua_createtable(L, 4, 0);
        lua_insert(L, -2);
        lua_rawseti(L, -2, RECORD_FN);
        lua_pushstring(L, o.description ? o.description : "");
        lua_rawseti(L, -2, RECORD_DESCRIPTION);
        lua_pushboolean(L, o.policy == 1);
        lua_rawseti(L, -2, RECORD_ABANDON);
    }
    if (validated) {
        lua_getfield(L, value, "validator");
        if (with_self) {
            lua_pushcclosure(L, tl_handler_call_with_self, 1);
        }
        lua_rawseti(L, -2, RECORD_VALIDATOR);
    }
}

void tl_handlers_take(lua_State *L, struct tl_lua_run *run, int definition, const char *key,
                      const char *dynamic_key, enum tl_slot slot, bool with_self)
{
    int top = lua_gettop(L);
    char what[80];
    if (lua_getfield(L, definition, key) == LUA_TTABLE) {
        tl_slot_table(L, run, slot);
        lua_pushnil(L);
        while (lua_next(L, top + 1)) {
            snprintf(what, sizeof what, "workflow.define: %s.%.40s", key, lua_tostring(L, -2));
            lua_pushvalue(L, -2);
            tl_handler_read(L, -2, what, slot, with_self);
            lua_rawset(L, top + 2);
            lua_pop(L, 1);
        }
    }
    lua_settop(L, top);
    if (lua_getfield(L, definition, dynamic_key) != LUA_TNIL) {
        snprintf(what, sizeof what, "workflow.define: %s", dynamic_key);
        tl_slot_table(L, run, slot);
        lua_pushboolean(L, 1);
        tl_handler_read(L, top + 1, what, slot, with_self);
        lua_rawset(L, top + 2);
    }
    lua_settop(L, top);
}

/* --- finding ---------------------------------------------------------------------------------- */

/* Replaces the value on top by its function. */
static void open_record(lua_State *L, struct tl_handler *out)
{
    if (!lua_istable(L, -1)) {
        return;
    }
    if (lua_rawgeti(L, -1, RECORD_ABANDON) == LUA_TBOOLEAN) {
        out->abandon = lua_toboolean(L, -1);
    }
    lua_pop(L, 1);
    lua_rawgeti(L, -1, RECORD_FN);
    lua_remove(L, -2);
}

bool tl_handler_push(lua_State *L, struct tl_lua_run *run, enum tl_slot slot, struct tl_str name,
                     struct tl_handler *out)
{
    *out = (struct tl_handler){false, false};
    tl_slot_push(L, run, slot);
    if (!lua_istable(L, -1)) {
        lua_pop(L, 1);
        return false;
    }
    lua_pushlstring(L, name.p, name.n);
    if (lua_rawget(L, -2) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_pushboolean(L, 1);
        out->dynamic = true;
        if (lua_rawget(L, -2) == LUA_TNIL) {
            lua_pop(L, 2);
            return false;
        }
    }
    lua_remove(L, -2);
    open_record(L, out);
    return true;
}

bool tl_handler_push_validator(lua_State *L, struct tl_lua_run *run, struct tl_str name,
                               bool dynamic)
{
    int top = lua_gettop(L);
    tl_slot_push(L, run, TL_SLOT_UPDATES);
    if (dynamic) {
        lua_pushboolean(L, 1);
    } else {
        lua_pushlstring(L, name.p, name.n);
    }
    bool found =
        lua_rawget(L, -2) == LUA_TTABLE && lua_rawgeti(L, -1, RECORD_VALIDATOR) == LUA_TFUNCTION;
    if (found) {
        lua_insert(L, top + 1);
    }
    lua_settop(L, top + found);
    return found;
}

/* --- listing ---------------------------------------------------------------------------------- */

static void add_name(lua_State *L, int list, const char *name, const char *description)
{
    lua_createtable(L, 0, 2);
    if (name) {
        lua_pushstring(L, name);
        lua_setfield(L, -2, "name");
    }
    if (description && *description) {
        lua_pushstring(L, description);
        lua_setfield(L, -2, "description");
    }
    lua_rawseti(L, list, (lua_Integer)lua_rawlen(L, list) + 1);
}

void tl_handlers_push_list(lua_State *L, struct tl_lua_run *run, enum tl_slot slot)
{
    lua_newtable(L);
    int list = lua_gettop(L);
    lua_pushcfunction(L, tl_vm_lib_array);
    lua_pushvalue(L, list);
    lua_call(L, 1, 0);
    tl_slot_push(L, run, slot);
    if (lua_istable(L, -1)) {
        lua_pushcfunction(L, tl_lib_pairs); /* sorted: the dynamic one, a boolean, comes last */
        lua_pushvalue(L, -2);
        lua_call(L, 1, 1);
        int next = lua_gettop(L);
        for (;;) {
            lua_pushvalue(L, next);
            lua_call(L, 0, 2);
            if (lua_isnil(L, -2)) {
                break;
            }
            const char *description = "";
            if (lua_istable(L, -1)) {
                lua_rawgeti(L, -1, RECORD_DESCRIPTION);
                description = lua_tostring(L, -1);
            }
            add_name(L, list,
                     lua_type(L, next + 1) == LUA_TSTRING ? lua_tostring(L, next + 1) : NULL,
                     description);
            lua_settop(L, next);
        }
    }
    lua_settop(L, list);
}

int tl_handlers_unknown(lua_State *L, struct tl_lua_run *run, enum tl_slot slot, const char *name)
{
    bool query = slot == TL_SLOT_QUERIES;
    luaL_Buffer b;
    tl_handlers_push_list(L, run, slot);
    int list = lua_gettop(L);
    luaL_buffinit(L, &b);
    for (lua_Integer i = 1; lua_rawgeti(L, list, i) != LUA_TNIL; i++) {
        lua_getfield(L, -1, "name");
        lua_remove(L, -2);
        if (i > 1) {
            luaL_addstring(&b, ", ");
        }
        luaL_addvalue(&b);
    }
    lua_pop(L, 1);
    luaL_pushresult(&b);
    return luaL_error(L, "%s handler for \"%s\" expected but not found; known %s: [%s]",
                      query ? "query" : "update", name, query ? "queries" : "updates",
                      lua_tostring(L, -1));
}

/* --- counting --------------------------------------------------------------------------------- */

struct tl_fiber *tl_handler_start(lua_State *L, struct tl_lua_run *run, enum tl_fiber_kind kind,
                                  int nargs, const char *word, struct tl_str name, bool abandon)
{
    char text[200];
    snprintf(text, sizeof text, "%s %.*s", word, (int)(name.n < 150 ? name.n : 150), name.p);
    struct tl_fiber *f = tl_fiber_new(L, run, kind, nargs, text);
    f->abandon = abandon;
    run->handlers_running++;
    return f;
}

/* Adds one to the count of what the fiber's name says; names are kept in order of their start. */
static void count_unfinished(lua_State *L, struct tl_lua_run *run, struct tl_fiber *f, int names)
{
    tl_fiber_push(L, run, f);
    lua_getiuservalue(L, -1, 3);
    lua_pushvalue(L, -1);
    if (lua_rawget(L, names) == LUA_TNIL) {
        lua_pushvalue(L, -2);
        lua_rawseti(L, names, (lua_Integer)lua_rawlen(L, names) + 1);
    }
    lua_Integer count = lua_tointeger(L, -1);
    lua_pop(L, 1);
    lua_pushinteger(L, count + 1);
    lua_rawset(L, names);
    lua_pop(L, 1);
}

void tl_handlers_warn_unfinished(lua_State *L, struct tl_lua_run *run)
{
    int names = lua_gettop(L) + 1;
    bool any = false;
    if (!run->handlers_running || run->replaying || run->warned_unfinished) {
        return;
    }
    run->warned_unfinished = true;
    luaL_checkstack(L, 8, NULL);
    lua_newtable(L);
    for (struct tl_fiber *f = run->fibers; f; f = f->next) {
        if (tl_fiber_is_handler(f) && !f->abandon && f != run->current) {
            count_unfinished(L, run, f, names);
            any = true;
        }
    }
    if (any) {
        luaL_Buffer b;
        luaL_buffinit(L, &b);
        luaL_addstring(&b, "the workflow has ended while handlers were still running: ");
        for (lua_Integer i = 1; lua_rawgeti(L, names, i) != LUA_TNIL; i++) {
            lua_pushvalue(L, -1);
            lua_rawget(L, names);
            lua_Integer count = lua_tointeger(L, -1);
            lua_pop(L, 1);
            lua_pushfstring(L, count > 1 ? "%s%s (%I times)" : "%s%s", i > 1 ? ", " : "",
                            lua_tostring(L, -1), (LUAI_UACINT)count);
            lua_remove(L, -2);
            luaL_addvalue(&b);
        }
        lua_pop(L, 1);
        luaL_addstring(&b, "; wait for workflow.all_handlers_finished first, or give them "
                           "unfinished_policy = \"abandon\"");
        luaL_pushresult(&b);
        tl_run_log(L, TL_LOG_WARN, tl_str(lua_tostring(L, -1)));
    }
    lua_settop(L, names - 1);
}

static int no_results(lua_State *L, int status, lua_KContext ctx)
{
    (void)L;
    (void)status;
    (void)ctx;
    return 0;
}

/* --- signals ---------------------------------------------------------------------------------- */

/* First function of a signal's fiber: handler, whether it is dynamic, name, and the encoded event with
 * arguments and header alone. */
static int signal_entry(lua_State *L)
{
    TpHistory__WorkflowExecutionSignaledEventAttributes *event = NULL;
    struct tl_error err;
    struct tl_str bytes, name;
    bool dynamic = lua_toboolean(L, 2);
    bytes.p = lua_tolstring(L, 4, &bytes.n);
    if (tl_pb_decode(&tp_history__workflow_execution_signaled_event_attributes__descriptor, bytes,
                     tl_cmd_arena(L), &event, &err) != TL_OK) {
        return luaL_error(L, "signal arguments: %s", err.message);
    }
    lua_settop(L, 3);
    lua_remove(L, 2);
    if (!tl_intercept_has(L, TL_HOOK_HANDLE_SIGNAL)) {
        lua_settop(L, dynamic ? 2 : 1);
        tl_vm_payloads_decode(L, event->input);
        lua_callk(L, lua_gettop(L) - 1, 0, 0, all_results);
        return 0;
    }
    name.p = lua_tolstring(L, 2, &name.n);
    int n = tl_vm_payloads_decode(L, event->input);
    tl_intercept_push_inbound(L, "signal", name, n, event->header);
    lua_pushvalue(L, 1);
    tl_intercept_last(L, dynamic ? "signal" : NULL);
    return tl_intercept_call(L, TL_HOOK_HANDLE_SIGNAL, 0, no_results);
}

/* Starts the handler of a signal whose encoded event is on top (popped). False: there is no
 * handler, nothing popped. */
static bool dispatch(lua_State *L, struct tl_lua_run *run, struct tl_str name, int64_t event_id)
{
    struct tl_handler handler;
    luaL_checkstack(L, 8, NULL);
    if (!run->started || !tl_handler_push(L, run, TL_SLOT_SIGNALS, name, &handler)) {
        return false;
    }
    lua_pushcfunction(L, signal_entry);
    lua_insert(L, -2);
    lua_pushboolean(L, handler.dynamic);
    lua_pushlstring(L, name.p, name.n);
    lua_pushvalue(L, -5);
    tl_handler_start(L, run, TL_FIBER_SIGNAL, 4, "signal", name, handler.abandon)->signal_event_id =
        event_id;
    lua_pop(L, 2);
    return true;
}

void tl_run_flush_signals(lua_State *L, struct tl_lua_run *run)
{
    int top = lua_gettop(L);
    tl_slot_push(L, run, TL_SLOT_BUFFERED);
    if (!lua_istable(L, -1)) {
        lua_settop(L, top);
        return;
    }
    int list = lua_gettop(L);
    lua_Integer n = (lua_Integer)lua_rawlen(L, list), kept = 0;
    for (lua_Integer i = 1; i <= n; i++) {
        struct tl_str name;
        lua_rawgeti(L, list, i);
        lua_rawgeti(L, -1, 1);
        name.p = lua_tolstring(L, -1, &name.n);
        lua_rawgeti(L, -2, 3);
        int64_t event_id = lua_tointeger(L, -1);
        lua_pop(L, 1);
        lua_rawgeti(L, -2, 2);
        if (!dispatch(L, run, name, event_id)) {
            lua_pushvalue(L, list + 1);
            lua_rawseti(L, list, ++kept);
        }
        lua_settop(L, list);
    }
    for (lua_Integer i = kept + 1; i <= n; i++) {
        lua_pushnil(L);
        lua_rawseti(L, list, i);
    }
    if (kept == 0) {
        lua_pushnil(L);
        tl_slot_set(L, run, TL_SLOT_BUFFERED);
    }
    lua_settop(L, top);
}

void tl_run_apply_signal(struct tl_lua_run *run, const struct tl_job *job)
{
    lua_State *L = run->main;
    const TpHistory__WorkflowExecutionSignaledEventAttributes *signal = job->u.signal.attrs;
    struct tl_str bytes = {NULL, 0}, name = tl_str(signal->signal_name);
    struct tl_error err;
    TpHistory__WorkflowExecutionSignaledEventAttributes kept =
        TP_HISTORY__WORKFLOW_EXECUTION_SIGNALED_EVENT_ATTRIBUTES__INIT;
    kept.input = signal->input;
    kept.header = signal->header;
    if (tl_pb_encode_arena(&kept, run->activation->arena, &bytes, &err) != TL_OK) {
        luaL_error(L, "signal arguments: %s", err.message);
    }
    lua_pushlstring(L, bytes.p, bytes.n);
    if (dispatch(L, run, name, job->u.signal.event_id)) {
        return;
    }
    tl_slot_table(L, run, TL_SLOT_BUFFERED);
    lua_createtable(L, 3, 0);
    lua_pushlstring(L, name.p, name.n);
    lua_rawseti(L, -2, 1);
    lua_pushvalue(L, -3);
    lua_rawseti(L, -2, 2);
    lua_pushinteger(L, job->u.signal.event_id);
    lua_rawseti(L, -2, 3);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
}

/* --- the script's calls ----------------------------------------------------------------------- */

/* Sets the handler at index 2 (nil: none) for the key at index 1. */
static void set_handler(lua_State *L, const char *what, enum tl_slot slot)
{
    tl_command_check(L, what);
    if (!lua_isnil(L, 2)) {
        tl_handler_read(L, 2, what, slot, false);
        lua_replace(L, 2);
    }
    tl_slot_table(L, tl_run_of(L), slot);
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 2);
    lua_rawset(L, -3);
    lua_settop(L, 2);
}

static void check_name(lua_State *L, const char *what)
{
    size_t n = 0;
    const char *name = lua_type(L, 1) == LUA_TSTRING ? lua_tolstring(L, 1, &n) : NULL;
    if (!n) {
        luaL_error(L, "%s: the name of the handler is expected, got a %s", what,
                   luaL_typename(L, 1));
    }
    if (strncmp(name, "__temporal_", 11) == 0 || strcmp(name, "__stack_trace") == 0 ||
        strcmp(name, "__enhanced_stack_trace") == 0) {
        luaL_error(L, "%s: the name %s is reserved", what, name);
    }
}

static void set_named(lua_State *L, const char *what, enum tl_slot slot)
{
    lua_settop(L, 2);
    check_name(L, what);
    set_handler(L, what, slot);
}

static void set_dynamic(lua_State *L, const char *what, enum tl_slot slot)
{
    lua_settop(L, 1);
    lua_pushboolean(L, 1);
    lua_insert(L, 1);
    set_handler(L, what, slot);
}

/* Pushes the function for the key at index 1, nil when there is none. */
static int get_handler(lua_State *L, enum tl_slot slot)
{
    struct tl_handler handler = {false, false};
    lua_settop(L, 1);
    tl_slot_push(L, tl_run_of(L), slot);
    if (!lua_istable(L, 2)) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushvalue(L, 1);
    lua_rawget(L, 2);
    open_record(L, &handler);
    return 1;
}

static int get_named(lua_State *L, const char *what, enum tl_slot slot)
{
    check_name(L, what);
    return get_handler(L, slot);
}

static int get_dynamic(lua_State *L, enum tl_slot slot)
{
    lua_settop(L, 0);
    lua_pushboolean(L, 1);
    return get_handler(L, slot);
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

/* A name of nil is every name without a handler of its own. */
int tl_lib_wf_set_update_handler(lua_State *L)
{
    if (lua_isnil(L, 1)) {
        lua_settop(L, 2);
        lua_remove(L, 1);
        set_dynamic(L, "workflow.set_update_handler", TL_SLOT_UPDATES);
    } else {
        set_named(L, "workflow.set_update_handler", TL_SLOT_UPDATES);
    }
    return 0;
}

int tl_lib_wf_set_dynamic_update_handler(lua_State *L)
{
    set_dynamic(L, "workflow.set_dynamic_update_handler", TL_SLOT_UPDATES);
    return 0;
}

int tl_lib_wf_get_update_handler(lua_State *L)
{
    return get_named(L, "workflow.get_update_handler", TL_SLOT_UPDATES);
}

int tl_lib_wf_get_dynamic_update_handler(lua_State *L)
{
    return get_dynamic(L, TL_SLOT_UPDATES);
}

int tl_lib_wf_get_signal_handler(lua_State *L)
{
    return get_named(L, "workflow.get_signal_handler", TL_SLOT_SIGNALS);
}

int tl_lib_wf_get_dynamic_signal_handler(lua_State *L)
{
    return get_dynamic(L, TL_SLOT_SIGNALS);
}

int tl_lib_wf_get_query_handler(lua_State *L)
{
    return get_named(L, "workflow.get_query_handler", TL_SLOT_QUERIES);
}

int tl_lib_wf_get_dynamic_query_handler(lua_State *L)
{
    return get_dynamic(L, TL_SLOT_QUERIES);
}

int tl_lib_wf_all_handlers_finished(lua_State *L)
{
    lua_pushboolean(L, tl_run_of(L)->handlers_running == 0);
    return 1;
}
