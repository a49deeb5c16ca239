/* See lua_extern.h. */
#include "luahost/lua_extern.h"

#include <lauxlib.h>
#include <pthread.h>

#include "base/mem.h"
#include "luahost/host.h"
#include "luart/convert.h"
#include "proto/pb.h"

/* An idle state: its functions by name are on its stack at 1. */
struct idle {
    lua_State *L;
    struct idle *next;
};

struct tl_lua_externs {
    char *path, *cpath;
    char *interceptors;    /* JSON of the plan's */
    struct tl_str sources; /* of the modules, from the first state; owned */
    pthread_mutex_t mutex;
    struct idle *idle; /* under the mutex */
};

/* --- states ------------------------------------------------------------------------------------ */

/* [-0, +1, e] Pushes the functions by name, nil when there are none. The first state tells what it loaded,
 * the others load that. */
static int load_functions(lua_State *L)
{
    struct tl_lua_externs *e = lua_touserdata(L, 1);
    lua_settop(L, 0);
    lua_getglobal(L, "require");
    lua_pushliteral(L, "temporal.internal.interceptors");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "open_extern");
    lua_pushstring(L, e->interceptors);
    lua_pushlstring(L, e->sources.p ? e->sources.p : "", e->sources.n);
    lua_call(L, 2, 2); /* functions, sources */
    if (!e->sources.p) {
        size_t n;
        const char *text = lua_tolstring(L, -1, &n);
        e->sources = tl_str_n(tl_mem_dup(tl_str_n(text, n)), n);
    }
    lua_pop(L, 1);
    return 1;
}

static tl_rc open_state(struct tl_lua_externs *e, lua_State **out, struct tl_error *err)
{
    lua_State *L = tl_host_guest_state_new(e->path, e->cpath);
    if (!L) {
        return tl_error_set(err, TL_EMEMORY, "no memory for a Lua state");
    }
    lua_pushcfunction(L, load_functions);
    lua_pushlightuserdata(L, e);
    if (lua_pcall(L, 1, 1, 0) != LUA_OK) {
        tl_rc rc = tl_error_set(err, TL_ESCRIPT, "%s", luaL_tolstring(L, -1, NULL));
        lua_close(L);
        return rc;
    }
    *out = L;
    return TL_OK;
}

static struct idle *take(struct tl_lua_externs *e, struct tl_error *err)
{
    lua_State *L = NULL;
    pthread_mutex_lock(&e->mutex);
    struct idle *s = e->idle;
    if (s) {
        e->idle = s->next;
    }
    pthread_mutex_unlock(&e->mutex);
    if (!s && open_state(e, &L, err) == TL_OK) {
        s = TL_NEW(struct idle);
        s->L = L;
    }
    return s;
}

static void give_back(struct tl_lua_externs *e, struct idle *s)
{
    pthread_mutex_lock(&e->mutex);
    s->next = e->idle;
    e->idle = s;
    pthread_mutex_unlock(&e->mutex);
}

/* --- calling ----------------------------------------------------------------------------------- */

struct call_frame {
    struct tl_str name;
    const TpCommon__Payloads *args;
    struct tl_arena *arena;
    TpCommon__Payloads *out;
};

/* [-0, +0, e] The functions are at 1, the frame at 2. */
static int call_function(lua_State *L)
{
    struct call_frame *f = lua_touserdata(L, 2);
    lua_pushlstring(L, f->name.p, f->name.n);
    if (lua_rawget(L, 1) != LUA_TFUNCTION) {
        return luaL_error(L, "there is no extern function '%s'", f->name.p);
    }
    int base = lua_gettop(L) - 1;
    int n = tl_stock_payloads_decode(L, f->args);
    lua_call(L, n, LUA_MULTRET);
    n = lua_gettop(L) - base;
    f->out = tl_stock_payloads_encode(L, base + 1, n, f->arena, "result of an extern function");
    return 0;
}

static tl_rc call(void *ud, struct tl_str name, const TpCommon__Payloads *args,
                  struct tl_arena *arena, TpCommon__Payloads **out, struct tl_error *err)
{
    struct call_frame f = {name, args, arena, NULL};
    struct idle *s = take(ud, err);
    if (!s) {
        return err->code;
    }
    tl_rc rc = TL_OK;
    lua_pushcfunction(s->L, call_function);
    lua_pushvalue(s->L, 1);
    lua_pushlightuserdata(s->L, &f);
    if (lua_pcall(s->L, 2, 0, 0) != LUA_OK) {
        rc = tl_error_set(err, TL_ESCRIPT, "%s", luaL_tolstring(s->L, -1, NULL));
    }
    lua_settop(s->L, 1);
    give_back(ud, s);
    *out = f.out;
    return rc;
}

/* --- making ------------------------------------------------------------------------------------ */

static char *package_field(lua_State *L, const char *name)
{
    lua_getglobal(L, "package");
    lua_getfield(L, -1, name);
    char *copy = lua_isstring(L, -1) ? tl_mem_dup(tl_str(lua_tostring(L, -1))) : NULL;
    lua_pop(L, 2);
    return copy;
}

/* [-0, +0, e] Keeps the JSON of the plan's interceptors. */
static void read_plan(lua_State *L, int plan, struct tl_lua_externs *e)
{
    lua_pushcfunction(L, tl_stock_lib_json_encode);
    lua_getfield(L, plan, "interceptors");
    lua_call(L, 1, 1);
    e->interceptors = tl_mem_dup(tl_str(lua_tostring(L, -1)));
    lua_pop(L, 1);
}

tl_rc tl_lua_externs_new(lua_State *L, int plan, struct tl_lua_externs **out, struct tl_error *err)
{
    lua_State *first = NULL;
    *out = NULL;
    if (lua_getfield(L, plan, "interceptors") != LUA_TTABLE || lua_rawlen(L, -1) == 0) {
        lua_pop(L, 1);
        return TL_OK;
    }
    lua_pop(L, 1);
    struct tl_lua_externs *e = TL_NEW(struct tl_lua_externs);
    pthread_mutex_init(&e->mutex, NULL);
    read_plan(L, plan, e);
    e->path = package_field(L, "path");
    e->cpath = package_field(L, "cpath");
    tl_rc rc = open_state(e, &first, err);
    if (rc == TL_OK && lua_istable(first, 1)) {
        struct idle *s = TL_NEW(struct idle);
        s->L = first;
        give_back(e, s);
        *out = e;
        return TL_OK;
    }
    if (first) {
        lua_close(first); /* they give no functions */
    }
    tl_lua_externs_free(e);
    return rc;
}

void tl_lua_externs_free(struct tl_lua_externs *e)
{
    if (!e) {
        return;
    }
    for (struct idle *s = e->idle, *next; s; s = next) {
        next = s->next;
        lua_close(s->L);
        tl_mem_free(s);
    }
    pthread_mutex_destroy(&e->mutex);
    tl_mem_free((char *)(uintptr_t)e->sources.p);
    tl_mem_free(e->interceptors);
    tl_mem_free(e->path);
    tl_mem_free(e->cpath);
    tl_mem_free(e);
}

struct tl_bundle_extern tl_lua_externs_view(struct tl_lua_externs *e)
{
    return (struct tl_bundle_extern){e, e ? call : NULL};
}
