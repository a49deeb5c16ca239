/* Payload codecs written in Lua. See coding_lua.h. Everything that may raise runs inside a pcall. */
#include "luahost/coding_lua.h"

#include <lauxlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "luahost/hook_module.h"
#include "proto/payload.h"
#include "proto/pb.h"

#define SPAN_MAX 1000000

struct lua_codec {
    struct tl_codec base;
    lua_State *L; /* its module is the only value on the stack */
    char *module;
};

struct lua_job {
    enum tl_codec_way way;
    struct tl_payload_span *span;
    struct tl_arena *arena;
    struct tl_error *err;
    const char *module;
};

static const char *const function_names[] = {"encode", "decode", NULL};

/* [-0, +1, m] */
static void push_payload(lua_State *L, const TpCommon__Payload *p)
{
    lua_createtable(L, 0, 2);
    lua_createtable(L, 0, (int)p->n_metadata);
    for (size_t i = 0; i < p->n_metadata; i++) {
        const TpCommon__Payload__MetadataEntry *entry = p->metadata[i];
        lua_pushlstring(L, (const char *)entry->value.data, entry->value.len);
        lua_setfield(L, -2, entry->key);
    }
    lua_setfield(L, -2, "metadata");
    lua_pushlstring(L, p->data.len ? (const char *)p->data.data : "", p->data.len);
    lua_setfield(L, -2, "data");
}

/* [-0, +0, e] The payload table on top. */
static TpCommon__Payload *read_payload(lua_State *L, struct tl_arena *arena)
{
    size_t n;
    TpCommon__Payload *p = TL_PB_NEW(arena, TpCommon__Payload, tp_common__payload);
    bool ok = p != NULL && lua_istable(L, -1);
    if (!ok) {
        luaL_error(L, "a payload is a table with metadata and data, got %s", luaL_typename(L, -1));
    }
    if (lua_getfield(L, -1, "data") != LUA_TSTRING) {
        luaL_error(L, "data of a payload is a string, got %s", luaL_typename(L, -1));
    }
    const char *data = lua_tolstring(L, -1, &n);
    p->data = tl_pb_bytes(arena, tl_str_n(data, n), &ok);
    lua_pop(L, 1);
    if (lua_getfield(L, -1, "metadata") != LUA_TTABLE) {
        luaL_error(L, "metadata of a payload is a table, got %s", luaL_typename(L, -1));
    }
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING) {
            luaL_error(L, "metadata of a payload holds texts under names");
        }
        size_t key_n;
        const char *key = lua_tolstring(L, -2, &key_n), *value = lua_tolstring(L, -1, &n);
        ok = tl_payload_set_metadata(arena, p, tl_str_n(key, key_n), tl_str_n(value, n)) && ok;
    }
    lua_pop(L, 1);
    if (!ok) {
        luaL_error(L, "a payload is too large");
    }
    return p;
}

/* [-0, +0, e] (module, job): calls the module's function over the job's span */
static int run_job(lua_State *L)
{
    struct lua_job *job = lua_touserdata(L, 2);
    struct tl_payload_span *span = job->span;
    lua_getfield(L, 1, function_names[job->way]);
    lua_createtable(L, (int)(span->n < SPAN_MAX ? span->n : SPAN_MAX), 0);
    for (size_t i = 0; i < span->n; i++) {
        push_payload(L, span->items[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    tl_hook_push_context(L, span->context, false);
    lua_call(L, 2, 1);
    if (!lua_istable(L, -1)) {
        return luaL_error(L, "%s must return a list of payloads, got %s", function_names[job->way],
                          luaL_typename(L, -1));
    }
    size_t n = (size_t)lua_rawlen(L, -1);
    TpCommon__Payload **items = tl_arena_alloc(job->arena, n * sizeof(void *) + 1);
    if (n == 0 || !items) {
        return luaL_error(L, "%s returned no payloads", function_names[job->way]);
    }
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        items[i] = read_payload(L, job->arena);
        lua_pop(L, 1);
    }
    span->items = items;
    span->n = n;
    return 0;
}

static tl_rc apply(struct tl_codec *codec, enum tl_codec_way way, struct tl_payload_span *span,
                   struct tl_arena *arena, struct tl_error *err)
{
    struct lua_codec *c = (struct lua_codec *)codec;
    struct lua_job job = {way, span, arena, err, c->module};
    lua_pushcfunction(c->L, run_job);
    lua_pushvalue(c->L, 1);
    lua_pushlightuserdata(c->L, &job);
    if (lua_pcall(c->L, 2, 0, 0) != LUA_OK) {
        return tl_hook_error(c->L, c->module, err);
    }
    return TL_OK;
}

static void free_codec(struct tl_codec *codec)
{
    struct lua_codec *c = (struct lua_codec *)codec;
    lua_close(c->L);
    tl_mem_free(c->module);
    tl_mem_free(c);
}

static const struct tl_codec_ops ops = {"lua", apply, free_codec};

tl_rc tl_codec_lua(struct tl_codec **out, const char *module, const char *path, const char *cpath,
                   struct tl_error *err)
{
    struct tl_error own;
    err = err ? err : &own;
    lua_State *L = tl_hook_open("codec", module, path, cpath, function_names, err);
    if (!L) {
        return err->code;
    }
    struct lua_codec *c = TL_NEW(struct lua_codec);
    bool asks = tl_hook_takes(L, "encode", 2) || tl_hook_takes(L, "decode", 2);
    *c = (struct lua_codec){{&ops, asks}, L, tl_mem_dup(tl_str(module))};
    *out = &c->base;
    return TL_OK;
}
