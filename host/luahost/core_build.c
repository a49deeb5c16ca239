/* temporal.core, part: builds, and requests from other threads to the script that runs workers.
 * Thread: the state's; tl_host_request: any. See build.h. */
#include <lauxlib.h>
#include <pthread.h>

#include "base/log.h"
#include "base/mem.h"
#include "luahost/build.h"
#include "luahost/plan.h"
#include "luart/convert.h"

#define BUILD_TYPE "temporal.core.build"

static const char handler_key;

/* --- making ----------------------------------------------------------------------------------- */

static tl_rc open_bundle(lua_State *L, int plan, struct tl_host_build *b, struct tl_error *err)
{
    struct tl_bundle_config config;
    tl_host_bundle_plan(L, plan, &config);
    if (!config.workflow_modules[0] && !config.source_count) {
        return TL_OK; /* a worker for activities only */
    }
    tl_rc rc = tl_bundle_open(&b->bundle, &config, err);
    if (rc == TL_OK) {
        rc = tl_lua_externs_new(L, plan, &b->externs, err);
    }
    if (rc == TL_OK) {
        tl_bundle_set_extern(b->bundle, tl_lua_externs_view(b->externs));
        b->lang = tl_worker_lua_lang_new(b->bundle);
    }
    return rc;
}

static tl_rc register_activities(lua_State *L, int plan, struct tl_host_build *b,
                                 struct tl_error *err)
{
    /* What activity states are told of the plan, under which name. */
    static const char *const fields[][2] = {{"interceptors", "interceptors"},
                                            {"roots", "roots"},
                                            {"activity_config", "config"},
                                            {"default_kind", "default_kind"}};
    b->registry = tl_registry_new();
    const char **native = tl_host_plan_list(L, plan, "native");
    for (size_t i = 0; native[i]; i++) {
        tl_rc rc = tl_native_load(b->registry, tl_str(native[i]), err);
        if (rc != TL_OK) {
            return rc;
        }
    }
    lua_getfield(L, plan, "activity_modules");
    lua_getfield(L, plan, "functions");
    lua_getfield(L, plan, "converter_modules");
    lua_getfield(L, plan, "nexus_modules");
    lua_getfield(L, plan, "nexus_handlers");
    int top = lua_gettop(L);
    size_t n;
    lua_pushcfunction(L, tl_stock_lib_json_encode);
    lua_createtable(L, 0, 4);
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        lua_getfield(L, plan, fields[i][0]);
        lua_setfield(L, -2, fields[i][1]);
    }
    lua_call(L, 1, 1);
    const char *text = lua_tolstring(L, -1, &n);
    lua_getfield(L, plan, "process_program");
    lua_getfield(L, plan, "process_count");
    lua_getfield(L, plan, "activity_block_limit");
    const struct tl_lua_activity_sources from = {.modules = top - 4,
                                                 .functions = top - 3,
                                                 .converters = top - 2,
                                                 .nexus_modules = top - 1,
                                                 .nexus_handlers = top,
                                                 .block_limit_ns = luaL_checkinteger(L, -1),
                                                 .process_count = (int)luaL_optinteger(L, -2, 0),
                                                 .process_program = luaL_optstring(L, -3, NULL),
                                                 .plan = tl_str_n(text, n)};
    return tl_lua_activities_new(L, &from, b->registry, &b->activities, err);
}

/* A worker without activities in Lua and without texts of its own is named by its bundle alone, as
 * `temporal-lua replay` and an embedding program would name it. */
static void make_digest(lua_State *L, int plan, struct tl_host_build *b)
{
    size_t n = 0;
    struct tl_digest *d = tl_digest_new();
    if (b->lang) {
        tl_digest_put_field(d, b->lang->digest);
    }
    struct tl_str activities = tl_lua_activities_sources(b->activities);
    bool more = activities.n > 0;
    tl_digest_put_field(d, activities);
    if (lua_getfield(L, plan, "script_text") == LUA_TSTRING) {
        const char *text = lua_tolstring(L, -1, &n);
        tl_digest_put_field(d, tl_str_n(text, n));
        more = true;
    }
    lua_pop(L, 1);
    tl_digest_finish_hex(d, b->digest);
    if (!more && b->lang) {
        memcpy(b->digest, b->lang->digest.p, b->lang->digest.n);
    }
}

tl_rc tl_host_build_open(lua_State *L, int plan, struct tl_host_build **out, struct tl_error *err)
{
    int top = lua_gettop(L);
    struct tl_host_build *b = TL_NEW(struct tl_host_build);
    *out = NULL;
    tl_list_init(&b->garbage);
    tl_list_init(&b->of_worker);
    tl_rc rc = open_bundle(L, plan, b, err);
    if (rc == TL_OK) {
        rc = register_activities(L, plan, b, err);
    }
    if (rc == TL_OK) {
        make_digest(L, plan, b);
        *out = b;
    } else {
        tl_host_build_free(b);
    }
    lua_settop(L, top);
    return rc;
}

void tl_host_build_free(struct tl_host_build *b)
{
    if (b) {
        tl_list_remove(&b->of_worker);
        tl_worker_lua_lang_free(b->lang);
        tl_bundle_close(b->bundle);
        tl_lua_externs_free(b->externs);
        tl_registry_free(b->registry);
        tl_lua_activities_free(b->activities);
        tl_mem_free(b);
    }
}

struct tl_worker_build tl_host_build_view(struct tl_host_build *b)
{
    return (struct tl_worker_build){
        .lang = b->lang, .registry = b->registry, .digest = tl_str(b->digest)};
}

/* --- as userdata ------------------------------------------------------------------------------ */

struct tl_host_build *tl_host_test_build(lua_State *L, int index)
{
    struct tl_host_build **box = luaL_testudata(L, index, BUILD_TYPE);
    return box ? *box : NULL;
}

struct tl_host_build *tl_host_check_build(lua_State *L, int index, bool take)
{
    struct tl_host_build **box = luaL_checkudata(L, index, BUILD_TYPE);
    struct tl_host_build *b = *box;
    if (!b) {
        luaL_argerror(L, index, "the build belongs to a worker");
    }
    if (take) {
        *box = NULL;
    }
    return b;
}

/* [-0, +1, v] core.build_open(plan): raises what is wrong with the scripts */
static int build_open(lua_State *L)
{
    struct tl_error err;
    luaL_checktype(L, 1, LUA_TTABLE);
    struct tl_host_build **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = NULL;
    luaL_setmetatable(L, BUILD_TYPE);
    if (tl_host_build_open(L, 1, box, &err) != TL_OK) {
        return luaL_error(L, "%s", err.message);
    }
    if ((*box)->bundle && !tl_bundle_workflow_at((*box)->bundle, 0)) {
        return luaL_error(L, "the workflow modules define no workflow"); /* an emptied file */
    }
    return 1;
}

static int build_gc(lua_State *L)
{
    struct tl_host_build **box = luaL_checkudata(L, 1, BUILD_TYPE);
    tl_host_build_free(*box);
    *box = NULL;
    return 0;
}

/* [-0, +1, v] core.build_id(build, option): the build ID under the worker option build_id */
static int build_id(lua_State *L)
{
    size_t n;
    struct tl_host_build *b = tl_host_check_build(L, 1, false);
    const char *option = luaL_optlstring(L, 2, "", &n);
    char *id = tl_worker_make_build_id(tl_str_n(option, n), tl_str(b->digest));
    lua_pushstring(L, id);
    tl_mem_free(id);
    return 1;
}

/* --- requests --------------------------------------------------------------------------------- */

struct request {
    struct tl_host_job job;
    char *command;
    void (*done)(void *ud, bool ok, const char *answer);
    void *ud;
};

static void answer(struct request *r, bool ok, const char *text)
{
    if (r->done) {
        r->done(r->ud, ok, text);
    }
    tl_mem_free(r->command);
    tl_mem_free(r);
}

static void drop_request(struct tl_host_job *job)
{
    answer(TL_CONTAINER(job, struct request, job), false, "the worker has ended");
}

/* The handler returns whether it went well, and a text. */
static void serve_request(struct tl_host *h, struct tl_host_job *job)
{
    struct request *r = TL_CONTAINER(job, struct request, job);
    lua_State *L = h->L;
    int top = lua_gettop(L);
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &handler_key) != LUA_TFUNCTION) {
        answer(r, false, "the script takes no requests");
    } else {
        lua_pushstring(L, r->command);
        bool called = lua_pcall(L, 1, 2, 0) == LUA_OK;
        const char *text = luaL_tolstring(L, called ? -1 : top + 1, NULL);
        answer(r, called && lua_toboolean(L, top + 1), text);
    }
    lua_settop(L, top);
}

bool tl_host_request(struct tl_host *h, const char *command,
                     void (*done)(void *ud, bool ok, const char *answer), void *ud)
{
    struct request *r = TL_NEW(struct request);
    *r = (struct request){.job = {.run = serve_request, .drop = drop_request},
                          .command = tl_mem_dup(tl_str(command)),
                          .done = done,
                          .ud = ud};
    if (tl_inbox_send_always(&h->inbox, &r->job.msg)) {
        return true;
    }
    tl_mem_free(r->command);
    tl_mem_free(r);
    return false;
}

/* [-0, +0, v] core.on_request(fn): fn(command) -> ok, text; runs while the script waits */
static int on_request(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &handler_key);
    return 0;
}

/* --- modules of a folder ---------------------------------------------------------------------- */

static void add_module(void *ud, const char *name)
{
    lua_State *L = ud;
    lua_pushstring(L, name);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
}

/* [-0, +1|+2, v] core.find_modules(roots, pattern): names, sorted; or nil and why there are none */
static int find_modules(lua_State *L)
{
    struct tl_error err;
    const char *pattern = luaL_checkstring(L, 2);
    const char **roots = tl_host_text_list(L, 1);
    lua_newtable(L);
    if (tl_bundle_find_modules(roots, pattern, add_module, L, &err) != TL_OK) {
        lua_pushnil(L);
        lua_pushstring(L, err.message);
        return 2;
    }
    return 1;
}

/* [-0, +1, v] core.missing_module(roots, name): the message for a module that is in none of them */
static int missing_module(lua_State *L)
{
    struct tl_error err = {0};
    const char *name = luaL_checkstring(L, 2);
    (void)tl_bundle_missing_module(tl_host_text_list(L, 1), name, &err);
    lua_pushstring(L, err.message);
    return 1;
}

/* [-0, +0, v] core.log_info(event, text) and core.log_warn: a line in the process's log */
static int log_info(lua_State *L)
{
    TL_LOG(TL_LOG_INFO, luaL_checkstring(L, 1), TL_C("text", luaL_checkstring(L, 2)));
    return 0;
}

static int log_warn(lua_State *L)
{
    TL_LOG(TL_LOG_WARN, luaL_checkstring(L, 1), TL_C("text", luaL_checkstring(L, 2)));
    return 0;
}

static const luaL_Reg functions[] = {
    // clang-format off
    {"build_open", build_open},
    {"build_id", build_id},
    {"find_modules", find_modules},
    {"missing_module", missing_module},
    {"on_request", on_request},
    {"log_info", log_info},
    {"log_warn", log_warn},
    {NULL, NULL},
    // clang-format on
};

void tl_core_build(lua_State *L)
{
    luaL_newmetatable(L, BUILD_TYPE);
    lua_pushcfunction(L, build_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    luaL_setfuncs(L, functions, 0);
}
