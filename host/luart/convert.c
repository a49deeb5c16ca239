/* Values and payloads, errors and failures; see convert.h. Compiled for the sandbox VM here and for
 * the stock Lua by a file of host/luahost that defines TL_STOCK_LUA and includes this one.
 * Thread: that of the lua_State. Owner: results are the arena's or Lua's. */
#include "luart/convert.h"

#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/duration.h"
#include "proto/payload.h"
#include "proto/pb.h"
#include "proto/utf8.h"
#ifndef TL_STOCK_LUA
#include "luart/run_int.h"
#endif

#define META_BYTES "temporal.bytes"
#define META_ARRAY "temporal.array"
#define META_RAW "temporal.raw_payload"
#define META_ERROR "temporal.error"

static const char null_tag = 0;

static int bytes_tostring(lua_State *L);
static int bytes_len(lua_State *L);
static int bytes_eq(lua_State *L);
static int error_tostring(lua_State *L);

/* --- helpers ---------------------------------------------------------------------------------- */

/* Raises when an arena had no room. */
static void *need(lua_State *L, void *p)
{
    if (!p) {
        luaL_error(L, "the value is too large to encode");
    }
    return p;
}

static int raw_field(lua_State *L, int index, const char *key)
{
    int t = lua_absindex(L, index);
    lua_pushstring(L, key);
    return lua_rawget(L, t);
}

/* The string at index as text in the arena, "" for anything else. An error's text must not stop the
 * error: what protobuf strings cannot hold is replaced. */
static char *arena_text(lua_State *L, int index, struct tl_arena *arena)
{
    struct tl_str s = TL_STR_LIT("");
    if (lua_type(L, index) == LUA_TSTRING) {
        s.p = lua_tolstring(L, index, &s.n);
    }
    return need(L, tl_pb_clean(arena, s));
}

static bool has_meta(lua_State *L, int index, const char *name)
{
    if (!lua_getmetatable(L, index)) {
        return false;
    }
    luaL_getmetatable(L, name);
    bool same = lua_rawequal(L, -1, -2) && lua_istable(L, -1);
    lua_pop(L, 2);
    return same;
}

/* Gives the value on top one of our metatables, made on first use. */
static void set_meta(lua_State *L, const char *name)
{
    if (luaL_newmetatable(L, name)) {
        static const luaL_Reg bytes[] = {
            {"__tostring", bytes_tostring}, {"__len", bytes_len}, {"__eq", bytes_eq}, {NULL, NULL}};
        static const luaL_Reg error[] = {{"__tostring", error_tostring}, {NULL, NULL}};
        if (strcmp(name, META_BYTES) == 0) {
            luaL_setfuncs(L, bytes, 0);
        } else if (strcmp(name, META_ERROR) == 0) {
            luaL_setfuncs(L, error, 0);
        }
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_setmetatable(L, -2);
}

/* --- types ------------------------------------------------------------------------------------ */

void TL_LUA_NAME(push_null)(lua_State *L)
{
    lua_pushlightuserdata(L, (void *)(uintptr_t)&null_tag);
}

bool TL_LUA_NAME(is_null)(lua_State *L, int index)
{
    return lua_islightuserdata(L, index) && lua_touserdata(L, index) == &null_tag;
}

void TL_LUA_NAME(push_bytes)(lua_State *L, const char *p, size_t n)
{
    lua_newuserdatauv(L, 0, 1);
    lua_pushlstring(L, p, n);
    lua_setiuservalue(L, -2, 1);
    set_meta(L, META_BYTES);
}

const char *TL_LUA_NAME(to_bytes)(lua_State *L, int index, size_t *n)
{
    *n = 0;
    if (lua_type(L, index) != LUA_TUSERDATA || !has_meta(L, index, META_BYTES)) {
        return NULL;
    }
    lua_getiuservalue(L, index, 1);
    const char *p = lua_tolstring(L, -1, n);
    lua_pop(L, 1); /* the object keeps its string */
    return p;
}

static int bytes_tostring(lua_State *L)
{
    size_t n;
    luaL_argcheck(L, TL_LUA_NAME(to_bytes)(L, 1, &n) != NULL, 1, "temporal.bytes expected");
    lua_getiuservalue(L, 1, 1);
    return 1;
}

static int bytes_len(lua_State *L)
{
    size_t n;
    TL_LUA_NAME(to_bytes)(L, 1, &n);
    lua_pushinteger(L, (lua_Integer)n);
    return 1;
}

static int bytes_eq(lua_State *L)
{
    size_t an, bn;
    const char *a = TL_LUA_NAME(to_bytes)(L, 1, &an), *b = TL_LUA_NAME(to_bytes)(L, 2, &bn);
    lua_pushboolean(L, a && b && an == bn && memcmp(a, b, an) == 0);
    return 1;
}

int TL_LUA_NAME(lib_array)(lua_State *L)
{
    lua_settop(L, 1);
    if (lua_isnil(L, 1)) {
        lua_newtable(L);
    } else {
        luaL_checktype(L, 1, LUA_TTABLE);
    }
    if (lua_getmetatable(L, -1)) {
        if (!has_meta(L, -2, META_ARRAY)) {
            return luaL_argerror(L, 1, "the table has a metatable already");
        }
        lua_pop(L, 1);
        return 1;
    }
    set_meta(L, META_ARRAY);
    return 1;
}

int TL_LUA_NAME(lib_is_array)(lua_State *L)
{
    luaL_checkany(L, 1);
    lua_pushboolean(L, lua_istable(L, 1) && has_meta(L, 1, META_ARRAY));
    return 1;
}

int TL_LUA_NAME(lib_bytes)(lua_State *L)
{
    size_t n;
    if (TL_LUA_NAME(to_bytes)(L, 1, &n)) {
        lua_settop(L, 1);
        return 1;
    }
    luaL_checktype(L, 1, LUA_TSTRING);
    const char *p = lua_tolstring(L, 1, &n);
    TL_LUA_NAME(push_bytes)(L, p, n);
    return 1;
}

int TL_LUA_NAME(lib_int)(lua_State *L)
{
    lua_Number v = luaL_checknumber(L, 1);
    if (lua_isinteger(L, 1)) {
        lua_settop(L, 1);
        return 1;
    }
    if (!(v >= -0x1p63 && v < 0x1p63) || (lua_Number)(lua_Integer)v != v) {
        return luaL_argerror(L, 1, "the number has no integer form");
    }
    lua_pushinteger(L, (lua_Integer)v);
    return 1;
}

#include "luart/convert_json.inc"

int TL_LUA_NAME(lib_json_encode)(lua_State *L)
{
    luaL_checkany(L, 1);
    lua_settop(L, 1);
    luaL_checkstack(L, 10, "encoding JSON");
    struct json_out o = {L, NULL, 2, "json.encode", lua_newuserdatauv(L, 64, 0), 0, 64};
    json_write(&o, NULL, 1);
    lua_pushlstring(L, o.p, o.n);
    return 1;
}

int TL_LUA_NAME(lib_json_decode)(lua_State *L)
{
    struct tl_str text;
    luaL_checktype(L, 1, LUA_TSTRING);
    text.p = lua_tolstring(L, 1, &text.n);
    lua_settop(L, 1);
    TL_LUA_NAME(json_decode)(L, text);
    return 1;
}

/* --- payloads --------------------------------------------------------------------------------- */

static TpCommon__Payload *make_payload(lua_State *L, struct tl_arena *arena, const char *encoding,
                                       struct tl_str data)
{
    TpCommon__Payload *p = need(L, TL_PB_NEW(arena, TpCommon__Payload, tp_common__payload));
    TpCommon__Payload__MetadataEntry *e = need(
        L, TL_PB_NEW(arena, TpCommon__Payload__MetadataEntry, tp_common__payload__metadata_entry));
    e->key = need(L, tl_pb_cstr(arena, TL_STR_LIT("encoding")));
    e->value = tl_pb_bytes_view(tl_str(encoding));
    p->metadata = need(L, TL_ARENA_NEW(arena, TpCommon__Payload__MetadataEntry *));
    p->metadata[0] = e;
    p->n_metadata = 1;
    p->data = tl_pb_bytes_view(data);
    return p;
}

static struct tl_str copy_bytes(lua_State *L, struct tl_arena *arena, const char *p, size_t n)
{
    struct tl_str out = tl_arena_str(arena, tl_str_n(p, n));
    if (n && !out.p) {
        need(L, NULL);
    }
    return out;
}

static int metadata_cmp(const void *a, const void *b)
{
    const TpCommon__Payload__MetadataEntry *const *x = a, *const *y = b;
    return strcmp((*x)->key, (*y)->key);
}

/* A raw payload object: { metadata = { encoding = "..." }, data = "..." }. */
static TpCommon__Payload *encode_raw(lua_State *L, int index, struct tl_arena *arena)
{
    int top = lua_gettop(L), t = lua_absindex(L, index);
    struct tl_pb_list list = {0};
    size_t n = 0;
    const char *data = NULL;
    if (raw_field(L, t, "data") == LUA_TSTRING) {
        data = lua_tolstring(L, -1, &n);
    }
    TpCommon__Payload *p = need(L, TL_PB_NEW(arena, TpCommon__Payload, tp_common__payload));
    p->data = tl_pb_bytes_view(copy_bytes(L, arena, data, n));
    if (raw_field(L, t, "metadata") == LUA_TTABLE) {
        int metadata = lua_gettop(L);
        lua_pushnil(L);
        while (lua_next(L, metadata)) {
            if (lua_type(L, -2) == LUA_TSTRING && lua_type(L, -1) == LUA_TSTRING) {
                TpCommon__Payload__MetadataEntry *e =
                    need(L, TL_PB_NEW(arena, TpCommon__Payload__MetadataEntry,
                                      tp_common__payload__metadata_entry));
                e->key = arena_text(L, -2, arena);
                const char *value = lua_tolstring(L, -1, &n);
                e->value = tl_pb_bytes_view(copy_bytes(L, arena, value, n));
                if (!tl_pb_push(arena, &list, e)) {
                    need(L, NULL);
                }
            }
            lua_pop(L, 1);
        }
    }
    p->n_metadata = list.n;
    p->metadata = list.items;
    if (list.n > 1) { /* Lua's order of keys is not determined */
        qsort(p->metadata, list.n, sizeof *p->metadata, metadata_cmp);
    }
    lua_settop(L, top);
    return p;
}

#include "luart/convert_custom.inc"

TpCommon__Payload *TL_LUA_NAME(payload_encode_own)(lua_State *L, int index, struct tl_arena *arena,
                                                   const char *what)
{
    size_t n;
    if (lua_isnil(L, index)) {
        return make_payload(L, arena, TL_ENCODING_NULL, (struct tl_str){NULL, 0});
    }
    const char *bytes = TL_LUA_NAME(to_bytes)(L, index, &n);
    if (bytes) {
        return make_payload(L, arena, TL_ENCODING_BYTES, copy_bytes(L, arena, bytes, n));
    }
    return make_payload(L, arena, TL_ENCODING_JSON,
                        TL_LUA_NAME(json_encode)(L, index, arena, what));
}

static TpCommon__Payload *encode_value(lua_State *L, int index, struct tl_arena *arena,
                                       const char *what)
{
    luaL_checkstack(L, 10, "encoding a value"); /* what a function returned may fill the stack */
    if (lua_istable(L, index) && has_meta(L, index, META_RAW)) {
        return encode_raw(L, index, arena);
    }
    TpCommon__Payload *p = lua_isnil(L, index) ? NULL : encode_custom(L, index, arena);
    if (!p && lua_istable(L, index) && push_stand_in(L, index)) {
        bool raw = lua_istable(L, -1) && has_meta(L, -1, META_RAW);
        p = raw ? encode_raw(L, -1, arena) : TL_LUA_NAME(payload_encode_own)(L, -1, arena, what);
        lua_pop(L, 1);
    }
    return p ? p : TL_LUA_NAME(payload_encode_own)(L, index, arena, what);
}

static TpCommon__Payloads *encode_values(lua_State *L, int first, int n, struct tl_arena *arena,
                                         const char *what)
{
    if (n <= 0) {
        return NULL;
    }
    TpCommon__Payloads *out = need(L, TL_PB_NEW(arena, TpCommon__Payloads, tp_common__payloads));
    out->payloads = need(L, TL_ARENA_ARRAY(arena, TpCommon__Payload *, (size_t)n));
    for (int i = 0; i < n; i++) {
        char numbered[96];
        snprintf(numbered, sizeof numbered, "%s %d", what, i + 1);
        out->payloads[i] = encode_value(L, first + i, arena, numbered);
        out->n_payloads = (size_t)i + 1;
    }
    return out;
}

TpCommon__Payload *TL_LUA_NAME(payload_encode)(lua_State *L, int index, struct tl_arena *arena,
                                               const char *what)
{
    begin_conversion(L);
    return encode_value(L, index, arena, what);
}

TpCommon__Payloads *TL_LUA_NAME(payloads_encode)(lua_State *L, int first, int n,
                                                 struct tl_arena *arena, const char *what)
{
    begin_conversion(L);
    return encode_values(L, first, n, arena, what);
}

static void push_raw(lua_State *L, const TpCommon__Payload *p)
{
    lua_createtable(L, 0, 2);
    lua_pushlstring(L, (const char *)p->data.data, p->data.len);
    lua_setfield(L, -2, "data");
    lua_createtable(L, 0, (int)p->n_metadata);
    for (size_t i = 0; i < p->n_metadata; i++) {
        lua_pushstring(L, p->metadata[i]->key);
        lua_pushlstring(L, (const char *)p->metadata[i]->value.data, p->metadata[i]->value.len);
        lua_rawset(L, -3);
    }
    lua_setfield(L, -2, "metadata");
    set_meta(L, META_RAW);
}

void TL_LUA_NAME(payload_decode_own)(lua_State *L, const TpCommon__Payload *payload)
{
    luaL_checkstack(L, 8, "decoding a payload");
    struct tl_str data = tl_payload_data(payload);
    switch (tl_payload_kind(payload)) {
    case TL_PAYLOAD_JSON:
    case TL_PAYLOAD_JSON_PROTOBUF:
        TL_LUA_NAME(json_decode)(L, data);
        break;
    case TL_PAYLOAD_NULL:
        lua_pushnil(L);
        break;
    case TL_PAYLOAD_BYTES:
        TL_LUA_NAME(push_bytes)(L, data.p, data.n);
        break;
    case TL_PAYLOAD_PROTOBUF:
    case TL_PAYLOAD_OTHER:
        push_raw(L, payload);
        break;
    }
}

static void decode_value(lua_State *L, const TpCommon__Payload *payload)
{
    luaL_checkstack(L, 8, "decoding a payload");
    if (!decode_custom(L, payload, tl_payload_encoding(payload))) {
        TL_LUA_NAME(payload_decode_own)(L, payload);
    }
}

void TL_LUA_NAME(payload_decode)(lua_State *L, const TpCommon__Payload *payload)
{
    begin_conversion(L);
    decode_value(L, payload);
}

void TL_LUA_NAME(push_payload)(lua_State *L, const TpCommon__Payload *payload)
{
    luaL_checkstack(L, 8, "a payload");
    push_raw(L, payload);
}

TpCommon__Payload *TL_LUA_NAME(read_payload)(lua_State *L, int index, struct tl_arena *arena)
{
    return encode_raw(L, index, arena);
}

int TL_LUA_NAME(payloads_decode)(lua_State *L, const TpCommon__Payloads *payloads)
{
    size_t n = payloads ? payloads->n_payloads : 0;
    begin_conversion(L);
    luaL_checkstack(L, (int)(n < 100000 ? n : 100000) + 8, "too many values");
    for (size_t i = 0; i < n; i++) {
        decode_value(L, payloads->payloads[i]);
    }
    return (int)n;
}

#include "luart/convert_failure.inc"
