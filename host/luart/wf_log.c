/* workflow.log and workflow.metric_meter: what a workflow tells the outside, silent on replay. See
 * sandbox.def. Thread: the run's. */
#include "luart/measure.h"
#include "luart/wf.h"

#define FIELDS_MAX 64

/* Adds the fields of the table at `from` to the one at `to`, in order of names. */
static void add_fields(lua_State *L, int from, int to)
{
    lua_pushcfunction(L, tl_lib_pairs);
    lua_pushvalue(L, from);
    lua_call(L, 1, 1); /* the iterator needs neither table nor key */
    int next = lua_gettop(L);
    while (lua_pushvalue(L, next), lua_call(L, 0, 2), !lua_isnil(L, -2)) {
        tl_sandbox_tostring(L, -2, NULL);
        lua_insert(L, -2);
        if (lua_type(L, -1) != LUA_TNUMBER && lua_type(L, -1) != LUA_TBOOLEAN) {
            tl_sandbox_tostring(L, -1, NULL);
            lua_remove(L, -2);
        }
        lua_rawset(L, to);
        lua_settop(L, next);
    }
    lua_settop(L, next - 1);
}

/* The fields of the table at `index` as those of a line; texts are on the stack above. */
static size_t read_fields(lua_State *L, int index, struct tl_log_field *out)
{
    size_t n = 0;
    lua_pushcfunction(L, tl_lib_pairs);
    lua_pushvalue(L, index);
    lua_call(L, 1, 1);
    int next = lua_gettop(L);
    luaL_checkstack(L, 3 * FIELDS_MAX, "too many fields");
    while (lua_pushvalue(L, next), lua_call(L, 0, 2), !lua_isnil(L, -2)) {
        struct tl_str text;
        lua_Number number = lua_tonumber(L, -1);
        bool raw = lua_type(L, -1) == LUA_TBOOLEAN ||
                   (lua_type(L, -1) == LUA_TNUMBER && number - number == 0);
        if (n == FIELDS_MAX) {
            luaL_error(L, "log: at most %d fields", FIELDS_MAX);
        }
        text.p = tl_sandbox_tostring(L, -1, &text.n);
        lua_remove(L, -2);
        out[n++] = (struct tl_log_field){raw ? TL_F_RAW : TL_F_STR, lua_tostring(L, -2), text, 0};
    }
    out[n] = (struct tl_log_field){.kind = TL_F_END};
    return n;
}

/* log.info(message [, fields]). What the logger has of its own: base, the index of its fields (0: none), and
 * whether it writes on replay, too. */
static int log_at(lua_State *L, enum tl_log_level level, int base, bool on_replay)
{
    struct tl_log_field own[FIELDS_MAX + 1];
    luaL_checkany(L, 1);
    lua_settop(L, 2);
    tl_sandbox_tostring(L, 1, NULL);
    lua_replace(L, 1);
    lua_newtable(L);
    if (base) {
        lua_pushvalue(L, base);
        add_fields(L, 4, 3);
        lua_settop(L, 3);
    }
    if (lua_istable(L, 2)) {
        add_fields(L, 2, 3);
    }
    read_fields(L, 3, own);
    struct tl_str text;
    text.p = lua_tolstring(L, 1, &text.n);
    tl_run_log_fields(L, level, text, own, on_replay);
    return 0;
}

int tl_lib_log_trace(lua_State *L)
{
    return log_at(L, TL_LOG_TRACE, 0, false);
}

int tl_lib_log_debug(lua_State *L)
{
    return log_at(L, TL_LOG_DEBUG, 0, false);
}

int tl_lib_log_info(lua_State *L)
{
    return log_at(L, TL_LOG_INFO, 0, false);
}

int tl_lib_log_warn(lua_State *L)
{
    return log_at(L, TL_LOG_WARN, 0, false);
}

int tl_lib_log_error(lua_State *L)
{
    return log_at(L, TL_LOG_ERROR, 0, false);
}

/* Upvalues: level, fields, whether it writes on replay. */
static int bound_log(lua_State *L)
{
    return log_at(L, (enum tl_log_level)lua_tointeger(L, lua_upvalueindex(1)), lua_upvalueindex(2),
                  lua_toboolean(L, lua_upvalueindex(3)));
}

/* with(fields [, { log_during_replay = true }]): a logger with these fields in each line. Upvalues, when it is
 * a method of such a logger: nothing, its fields, whether it writes on replay. */
int tl_lib_log_with(lua_State *L)
{
    static const char *const names[] = {"trace", "debug", "info", "warn", "error"};
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 2);
    bool on_replay = lua_toboolean(L, lua_upvalueindex(3));
    if (!lua_isnil(L, 2)) {
        luaL_checktype(L, 2, LUA_TTABLE);
        for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) {
            if (lua_type(L, -2) != LUA_TSTRING ||
                strcmp(lua_tostring(L, -2), "log_during_replay") != 0) {
                return luaL_error(L, "workflow.log.with: there is one option, log_during_replay");
            }
            on_replay = lua_toboolean(L, -1);
        }
    }
    lua_newtable(L);
    if (lua_istable(L, lua_upvalueindex(2))) {
        lua_pushvalue(L, lua_upvalueindex(2));
        add_fields(L, 4, 3);
        lua_settop(L, 3);
    }
    add_fields(L, 1, 3);
    lua_createtable(L, 0, 6);
    for (int i = 0; i < 6; i++) {
        lua_pushinteger(L, TL_LOG_TRACE + i);
        lua_pushvalue(L, 3);
        lua_pushboolean(L, on_replay);
        lua_pushcclosure(L, i < 5 ? bound_log : tl_lib_log_with, 3);
        lua_setfield(L, 4, i < 5 ? names[i] : "with");
    }
    return 1;
}

static void set_text(lua_State *L, const char *name, struct tl_str value)
{
    lua_pushlstring(L, value.p ? value.p : "", value.n);
    lua_setfield(L, -2, name);
}

int tl_lib_wf_metric_meter(lua_State *L)
{
    const struct tl_lua_run *run = tl_run_of(L);
    lua_createtable(L, 0, 3);
    set_text(L, "namespace", run->config.namespace_);
    set_text(L, "task_queue", run->config.task_queue);
    set_text(L, "workflow_type", run->workflow_type);
    tl_vm_push_meter(L, run->config.metrics);
    return 1;
}
