/* External storage written in Lua. See storage_lua.h. What may raise runs inside a pcall. */
#include "luahost/storage_lua.h"

#include <lauxlib.h>
#include <string.h>

#include "base/mem.h"
#include "luahost/hook_module.h"

struct lua_driver {
    struct tl_storage_driver base;
    lua_State *L; /* its module is the only value on the stack */
    char *module;
};

struct driver_job {
    struct tl_str bytes; /* to store; what was retrieved */
    TpSdk__ExternalStorageReference *ref;
    struct tl_arena *arena;
    const struct tl_payload_context *context;
};

/* --- drivers ---------------------------------------------------------------------------------- */

/* [-0, +0, e] (module, job) */
static int run_store(lua_State *L)
{
    struct driver_job *job = lua_touserdata(L, 2);
    lua_getfield(L, 1, "store");
    lua_pushlstring(L, job->bytes.p, job->bytes.n);
    tl_hook_push_context(L, job->context, true);
    lua_call(L, 2, 1);
    if (!lua_istable(L, -1)) {
        return luaL_error(L, "store must return a claim, a table of texts, got %s",
                          luaL_typename(L, -1));
    }
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING) {
            return luaL_error(L, "a claim holds texts under names");
        }
        if (!tl_storage_claim_add(job->ref, job->arena, lua_tostring(L, -2),
                                  tl_str(lua_tostring(L, -1)))) {
            return luaL_error(L, "a claim is too large");
        }
    }
    return 0;
}

/* [-0, +0, e] (module, job) */
static int run_retrieve(lua_State *L)
{
    struct driver_job *job = lua_touserdata(L, 2);
    size_t n;
    lua_getfield(L, 1, "retrieve");
    lua_newtable(L);
    for (size_t i = 0; i < job->ref->n_claim_data; i++) {
        lua_pushstring(L, job->ref->claim_data[i]->value);
        lua_setfield(L, -2, job->ref->claim_data[i]->key);
    }
    tl_hook_push_context(L, job->context, true);
    lua_call(L, 2, 1);
    if (lua_type(L, -1) != LUA_TSTRING) {
        return luaL_error(L, "retrieve must return the bytes, got %s", luaL_typename(L, -1));
    }
    const char *p = lua_tolstring(L, -1, &n);
    job->bytes = tl_arena_str(job->arena, tl_str_n(p, n));
    return n && !job->bytes.p ? luaL_error(L, "a payload is too large") : 0;
}

static tl_rc run(struct lua_driver *d, lua_CFunction fn, struct driver_job *job,
                 struct tl_error *err)
{
    lua_pushcfunction(d->L, fn);
    lua_pushvalue(d->L, 1);
    lua_pushlightuserdata(d->L, job);
    return lua_pcall(d->L, 2, 0, 0) == LUA_OK ? TL_OK : tl_hook_error(d->L, d->module, err);
}

static tl_rc store(struct tl_storage_driver *d, struct tl_str bytes,
                   const struct tl_payload_context *context, TpSdk__ExternalStorageReference *ref,
                   struct tl_arena *arena, struct tl_error *err)
{
    struct driver_job job = {bytes, ref, arena, context};
    return run((struct lua_driver *)d, run_store, &job, err);
}

static tl_rc retrieve(struct tl_storage_driver *d, const TpSdk__ExternalStorageReference *ref,
                      const struct tl_payload_context *context, struct tl_arena *arena,
                      struct tl_str *out, struct tl_error *err)
{
    struct driver_job job = {
        {NULL, 0}, (TpSdk__ExternalStorageReference *)(uintptr_t)ref, arena, context};
    tl_rc rc = run((struct lua_driver *)d, run_retrieve, &job, err);
    *out = job.bytes;
    return rc;
}

static void free_driver(struct tl_storage_driver *base)
{
    struct lua_driver *d = (struct lua_driver *)base;
    lua_close(d->L);
    tl_mem_free(d->module);
    tl_mem_free(d);
}

static const struct tl_storage_driver_ops ops = {store, retrieve, free_driver};

tl_rc tl_storage_lua(struct tl_storage_driver **out, const char *module, const char *path,
                     const char *cpath, struct tl_error *err)
{
    static const char *const functions[] = {"store", "retrieve", NULL};
    struct tl_error own;
    err = err ? err : &own;
    lua_State *L = tl_hook_open("storage driver", module, path, cpath, functions, err);
    if (!L) {
        return err->code;
    }
    struct lua_driver *d = TL_NEW(struct lua_driver);
    d->base.ops = &ops;
    d->base.asks_context = tl_hook_takes(L, "store", 2) || tl_hook_takes(L, "retrieve", 2);
    d->L = L;
    d->module = tl_mem_dup(tl_str(module));
    *out = &d->base;
    return TL_OK;
}

/* --- the selector ----------------------------------------------------------------------------- */

struct lua_selector {
    lua_State *L;
    char *module;
    size_t n;
    char *names[TL_STORAGE_DRIVERS_MAX];
};

struct select_job {
    const TpCommon__Payload *payload;
    size_t bytes;
    const struct lua_selector *selector;
    const struct tl_payload_context *context;
    int driver;
};

/* [-0, +0, e] (module, job) */
static int run_select(lua_State *L)
{
    struct select_job *job = lua_touserdata(L, 2);
    lua_getfield(L, 1, "select");
    lua_newtable(L);
    lua_pushinteger(L, (lua_Integer)job->bytes);
    lua_setfield(L, -2, "size");
    lua_newtable(L);
    for (size_t i = 0; i < job->payload->n_metadata; i++) {
        const TpCommon__Payload__MetadataEntry *e = job->payload->metadata[i];
        lua_pushlstring(L, (const char *)e->value.data, e->value.len);
        lua_setfield(L, -2, e->key);
    }
    lua_setfield(L, -2, "metadata");
    tl_hook_push_context(L, job->context, true);
    lua_setfield(L, -2, "context");
    lua_call(L, 1, 1);
    if (lua_isnil(L, -1)) {
        job->driver = -1;
        return 0;
    }
    const char *name = lua_tostring(L, -1);
    for (size_t i = 0; name && i < job->selector->n; i++) {
        if (strcmp(job->selector->names[i], name) == 0) {
            job->driver = (int)i;
            return 0;
        }
    }
    return luaL_error(L, "select must return a driver's name or nil, got '%s'",
                      name ? name : luaL_typename(L, -1));
}

static tl_rc choose(void *ud, const TpCommon__Payload *payload, size_t bytes,
                    const struct tl_payload_context *context, int *driver, struct tl_error *err)
{
    struct lua_selector *s = ud;
    struct select_job job = {payload, bytes, s, context, 0};
    lua_pushcfunction(s->L, run_select);
    lua_pushvalue(s->L, 1);
    lua_pushlightuserdata(s->L, &job);
    if (lua_pcall(s->L, 2, 0, 0) != LUA_OK) {
        return tl_hook_error(s->L, s->module, err);
    }
    *driver = job.driver;
    return TL_OK;
}

static void free_selector(void *ud)
{
    struct lua_selector *s = ud;
    lua_close(s->L);
    for (size_t i = 0; i < s->n; i++) {
        tl_mem_free(s->names[i]);
    }
    tl_mem_free(s->module);
    tl_mem_free(s);
}

tl_rc tl_storage_selector_lua(struct tl_storage_selector *out, const char *module, const char *path,
                              const char *cpath, const char *const *names, size_t n,
                              struct tl_error *err)
{
    static const char *const functions[] = {"select", NULL};
    struct tl_error own;
    err = err ? err : &own;
    lua_State *L = tl_hook_open("driver selector", module, path, cpath, functions, err);
    if (!L) {
        return err->code;
    }
    struct lua_selector *s = TL_NEW(struct lua_selector);
    s->L = L;
    s->module = tl_mem_dup(tl_str(module));
    s->n = n;
    for (size_t i = 0; i < n; i++) {
        s->names[i] = tl_mem_dup(tl_str(names[i]));
    }
    *out = (struct tl_storage_selector){s, choose, free_selector};
    return TL_OK;
}
