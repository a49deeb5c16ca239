/* temporal.core, part: payloads, failures, messages and small tools. Values cross between Lua and the
 * rest as strings of encoded bytes. Thread: the state's. */
#include <lauxlib.h>
#include <string.h>

#include "base/duration.h"
#include "base/limits.h"
#include "luahost/core_arena.h"
#include "luahost/host.h"
#include "luahost/pb_lua.h"
#include "luart/convert.h"
#include "proto/history_json.h"
#include "proto/payload.h"
#include "proto/pb.h"

#define VERSION "0.1.0"
#define DATA_TYPE "temporal.core.data"

/* [-0, +1, v] */
static int push_message_bytes(lua_State *L, const void *msg, struct tl_arena *arena)
{
    struct tl_str bytes;
    struct tl_error err;
    if (tl_pb_encode_arena(msg, arena, &bytes, &err) != TL_OK) {
        return luaL_error(L, "%s", err.message);
    }
    lua_pushlstring(L, bytes.p ? bytes.p : "", bytes.n);
    return 1;
}

/* [-0, +1, v] core.encode(...): encoded Payloads, nil without arguments */
static int encode(lua_State *L)
{
    int n = lua_gettop(L);
    if (n == 0) {
        return 0;
    }
    struct tl_arena *arena = tl_core_push_arena(L);
    return push_message_bytes(L, tl_stock_payloads_encode(L, 1, n, arena, "argument"), arena);
}

/* [-0, +1, v] core.encode_one(value): one encoded Payload */
static int encode_one(lua_State *L)
{
    luaL_checkany(L, 1);
    struct tl_arena *arena = tl_core_push_arena(L);
    return push_message_bytes(L, tl_stock_payload_encode(L, 1, arena, "value"), arena);
}

/* [-0, +1, v] core.encode_search_attribute(value[, type]): one encoded Payload that names the type.
 * Search attributes are read by the server: no codec applies. */
static int encode_search_attribute(lua_State *L)
{
    luaL_checkany(L, 1);
    const char *type = luaL_optstring(L, 2, NULL);
    struct tl_arena *arena = tl_core_push_arena(L);
    TpCommon__Payload *p = tl_stock_payload_encode_own(L, 1, arena, "search attribute");
    if (type && !tl_payload_set_metadata(arena, p, TL_STR_LIT("type"), tl_str(type))) {
        return luaL_error(L, "a search attribute is too large");
    }
    return push_message_bytes(L, p, arena);
}

static void *decode_bytes(lua_State *L, int index, const ProtobufCMessageDescriptor *desc,
                          struct tl_arena *arena)
{
    size_t n;
    const char *p = luaL_checklstring(L, index, &n);
    void *msg;
    struct tl_error err;
    if (tl_pb_decode(desc, tl_str_n(p, n), arena, &msg, &err) != TL_OK) {
        luaL_error(L, "%s", err.message);
    }
    return msg;
}

/* [-0, +n, v] core.decode(bytes): the values of encoded Payloads */
static int decode(lua_State *L)
{
    struct tl_arena *arena = tl_core_push_arena(L);
    return tl_stock_payloads_decode(L, decode_bytes(L, 1, &tp_common__payloads__descriptor, arena));
}

/* [-0, +1, v] core.decode_one(bytes): the value of one encoded Payload */
static int decode_one(lua_State *L)
{
    struct tl_arena *arena = tl_core_push_arena(L);
    tl_stock_payload_decode(L, decode_bytes(L, 1, &tp_common__payload__descriptor, arena));
    return 1;
}

/* [-0, +1, v] core.decode_failure(bytes): an error table */
static int decode_failure(lua_State *L)
{
    struct tl_arena *arena = tl_core_push_arena(L);
    tl_stock_failure_decode(L, decode_bytes(L, 1, &tp_failure__failure__descriptor, arena));
    return 1;
}

/* [-0, +1, v] core.encode_failure(err): an encoded Failure */
static int encode_failure(lua_State *L)
{
    struct tl_arena *arena = tl_core_push_arena(L);
    return push_message_bytes(L, tl_stock_failure_encode(L, 1, arena), arena);
}

/* [-0, +1, v] core.decode_message(name, bytes, words): a table, as core.call gives it; nil for a
 * name that nobody knows */
static int decode_message(lua_State *L)
{
    size_t n;
    const char *name = luaL_checklstring(L, 1, &n);
    const ProtobufCMessageDescriptor *desc = tl_pb_find_message(tl_str_n(name, n));
    if (!desc) {
        return 0;
    }
    struct tl_arena *arena = tl_core_push_arena(L);
    tl_pb_to_lua(L, decode_bytes(L, 2, desc, arena),
                 lua_toboolean(L, 3) ? TL_PB_LUA_WORDS : TL_PB_LUA_PLAIN);
    return 1;
}

/* [-0, +1, v] core.make_failure(fields | message [, fields]): an error table; `kind` may name
 * another class than ApplicationError */
static int make_failure(lua_State *L)
{
    if (!lua_istable(L, 1) || lua_getfield(L, 1, "kind") == LUA_TNIL) {
        lua_settop(L, 2);
        return tl_stock_lib_failure(L);
    }
    lua_settop(L, 1);
    lua_getfield(L, 1, "kind");
    lua_getfield(L, 1, "message");
    const char *kind = luaL_checkstring(L, 2);
    if (lua_isnil(L, 3)) {
        lua_pushliteral(L, "");
    } else {
        luaL_checkstring(L, 3);
    }
    tl_stock_wrap_error(L, kind);
    static const char *const fields[] = {"type", "details", "cause"};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        lua_getfield(L, 1, fields[i]);
        lua_setfield(L, -2, fields[i]);
    }
    return 1;
}

/* [-0, +1|+2, v] core.duration(value): nanoseconds, or nil and a message */
static int duration(lua_State *L)
{
    size_t n;
    int64_t ns;
    struct tl_error err;
    if (lua_type(L, 1) != LUA_TNUMBER && lua_type(L, 1) != LUA_TSTRING) {
        lua_pushnil(L);
        lua_pushfstring(L, "a duration is a number of seconds or text like \"90s\", got %s",
                        luaL_typename(L, 1));
        return 2;
    }
    char digits[64];
    struct tl_str text;
    if (lua_type(L, 1) == LUA_TNUMBER) {
        snprintf(digits, sizeof digits, "%.9f", (double)lua_tonumber(L, 1));
        text = tl_str(digits);
    } else {
        const char *p = lua_tolstring(L, 1, &n);
        text = tl_str_n(p, n);
    }
    if (tl_duration_parse(text, &ns, &err) != TL_OK) {
        lua_pushnil(L);
        lua_pushstring(L, err.message);
        return 2;
    }
    lua_pushinteger(L, ns);
    return 1;
}

/* [-0, +1, m] core.uuid() */
static int uuid(lua_State *L)
{
    char text[37];
    tl_uuid4(tl_world_real(), text);
    lua_pushstring(L, text);
    return 1;
}

/* [-0, +1, -] core.mono_ns(): a clock for deadlines */
static int mono_ns(lua_State *L)
{
    lua_pushinteger(L, tl_world_mono_ns(tl_world_real()));
    return 1;
}

/* [-0, +1, v] core.history_to_json(bytes): an encoded History as Temporal's tools write it */
static int history_to_json(lua_State *L)
{
    struct tl_buf text;
    struct tl_error err;
    struct tl_arena *arena = tl_core_push_arena(L);
    TpHistory__History *history = decode_bytes(L, 1, &tp_history__history__descriptor, arena);
    tl_buf_init(&text, (size_t)tl_limit_request_bytes * 4);
    tl_rc rc = tl_history_write_json(history, &text, &err);
    if (rc == TL_OK) {
        char *copy = tl_arena_cstr(arena, tl_buf_str(&text)); /* so that a raise leaks nothing */
        size_t n = text.n;
        tl_buf_deinit(&text);
        lua_pushlstring(L, copy ? copy : "", copy ? n : 0);
        return 1;
    }
    tl_buf_deinit(&text);
    return luaL_error(L, "%s", err.message);
}

/* --- with payload converters of the user ------------------------------------------------------ */

/* What converts values, and may have converters of the user: functions of temporal.core, which have none,
 * and methods of core.data(names). */
static const luaL_Reg conversions[] = {
    {"encode", encode},
    {"encode_one", encode_one},
    {"decode", decode},
    {"decode_one", decode_one},
    {"encode_failure", encode_failure},
    {"decode_failure", decode_failure},
    {NULL, NULL},
};

static int convert_plainly(lua_State *L)
{
    lua_pushnil(L);
    tl_stock_converters_use(L);
    return conversions[lua_tointeger(L, lua_upvalueindex(1))].func(L);
}

static int convert_with_data(lua_State *L)
{
    luaL_checkudata(L, 1, DATA_TYPE);
    lua_getiuservalue(L, 1, 1);
    tl_stock_converters_use(L);
    lua_getiuservalue(L, 1, 2);
    tl_stock_converters_context(L);
    lua_remove(L, 1);
    return conversions[lua_tointeger(L, lua_upvalueindex(1))].func(L);
}

/* [-0, +0, e] Adds the conversions to the table on top, as closures of fn. */
static void set_conversions(lua_State *L, lua_CFunction fn)
{
    for (lua_Integer i = 0; conversions[i].name; i++) {
        lua_pushinteger(L, i);
        lua_pushcclosure(L, fn, 1);
        lua_setfield(L, -2, conversions[i].name);
    }
}

void tl_host_push_converters(lua_State *L, int names)
{
    size_t n = lua_istable(L, names) ? (size_t)lua_rawlen(L, names) : 0;
    names = lua_absindex(L, names);
    if (n == 0) {
        lua_pushnil(L);
        return;
    }
    lua_newtable(L);
    for (size_t i = 1; i <= n; i++) {
        lua_rawgeti(L, names, (lua_Integer)i);
        const char *name = luaL_checkstring(L, -1);
        bool proto = strncmp(name, "proto:", 6) == 0; /* a file of descriptors, no module */
        lua_getglobal(L, "require");
        lua_pushstring(L, proto ? "temporal.proto" : name);
        lua_call(L, 1, 1);
        if (proto) {
            lua_getfield(L, -1, "of_name");
            lua_replace(L, -2);
            lua_pushstring(L, name);
            lua_call(L, 1, 1);
        }
        lua_remove(L, -2);
        tl_stock_converters_add(L, -2, -1, name);
        lua_pop(L, 1);
    }
}

/* [-0, +1, v] data:with_context(table): the same, with what converters are told of whose values they are */
static int with_context(lua_State *L)
{
    luaL_checkudata(L, 1, DATA_TYPE);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    if (lua_getiuservalue(L, 1, 1) == LUA_TNIL) {
        lua_settop(L, 1); /* nobody would be told */
        return 1;
    }
    tl_host_push_data(L);
    lua_pushvalue(L, 2);
    lua_setiuservalue(L, -2, 2);
    return 1;
}

void tl_host_push_data(lua_State *L)
{
    lua_newuserdatauv(L, 0, 2);
    luaL_setmetatable(L, DATA_TYPE);
    lua_insert(L, -2);
    lua_setiuservalue(L, -2, 1);
}

/* [-0, +1, v] core.data(names): converts with the payload converters of these modules, which are loaded
 * into this state */
static int data(lua_State *L)
{
    lua_settop(L, 1);
    tl_host_push_converters(L, 1);
    tl_host_push_data(L);
    return 1;
}

/* [-0, +1, m] core.time_ns(): nanoseconds since the epoch */
static int time_ns(lua_State *L)
{
    lua_pushinteger(L, tl_world_wall_ns(tl_world_real()));
    return 1;
}

static const luaL_Reg functions[] = {
    {"data", data},
    {"encode_search_attribute", encode_search_attribute},
    {"decode_message", decode_message},
    {"make_failure", make_failure},
    {"is_failure", tl_stock_lib_is_failure},
    {"array", tl_stock_lib_array},
    {"bytes", tl_stock_lib_bytes},
    {"int", tl_stock_lib_int},
    {"json_encode", tl_stock_lib_json_encode},
    {"json_decode", tl_stock_lib_json_decode},
    {"duration", duration},
    {"uuid", uuid},
    {"mono_ns", mono_ns},
    {"time_ns", time_ns},
    {"history_to_json", history_to_json},
    {NULL, NULL},
};

void tl_core_data(lua_State *L)
{
    luaL_setfuncs(L, functions, 0);
    set_conversions(L, convert_plainly);
    luaL_newmetatable(L, DATA_TYPE);
    lua_newtable(L);
    set_conversions(L, convert_with_data);
    lua_pushcfunction(L, with_context);
    lua_setfield(L, -2, "with_context");
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    tl_stock_push_null(L);
    lua_setfield(L, -2, "null");
    lua_pushliteral(L, VERSION);
    lua_setfield(L, -2, "version");
}
