/* Base functions that differ from the stock ones; see sandbox.def for the whole list.
 * Thread: the run's. Owner: Lua memory. */
#include "luart/run_int.h"

#include <stdio.h>
#include <string.h>

#include "proto/pb.h"

/* --- text of values --------------------------------------------------------------------------- */

/* Objects are numbered in the order in which their text is first asked for; queries number apart,
 * so that they leave no trace. */
static uint32_t object_id(lua_State *L, int index, bool *of_query)
{
    struct tl_lua_run *run = tl_run_of(L);
    bool query = run->rng_now == &run->query_rng;
    *of_query = false;
    for (int pass = 0; pass < 2; pass++) {
        tl_slot_push(L, run, pass == 0 ? TL_SLOT_IDS : TL_SLOT_QUERY_IDS);
        if (lua_istable(L, -1)) {
            lua_pushvalue(L, index);
            if (lua_rawget(L, -2) == LUA_TNUMBER) {
                uint32_t id = (uint32_t)lua_tointeger(L, -1);
                *of_query = pass == 1;
                lua_pop(L, 2);
                return id;
            }
            lua_pop(L, 1);
        }
        lua_pop(L, 1);
    }
    uint32_t id = query ? ++run->query_id_seq : ++run->id_seq;
    *of_query = query;
    tl_slot_table(L, run, query ? TL_SLOT_QUERY_IDS : TL_SLOT_IDS);
    lua_pushvalue(L, index);
    lua_pushinteger(L, id);
    lua_rawset(L, -3);
    lua_pop(L, 1);
    return id;
}

const char *tl_sandbox_tostring(lua_State *L, int index, size_t *n)
{
    index = lua_absindex(L, index);
    luaL_checkstack(L, 8, NULL);
    if (TL_WITHOUT(12)) {
        return luaL_tolstring(L, index, n);
    }
    if (luaL_callmeta(L, index, "__tostring")) {
        if (!lua_isstring(L, -1)) {
            luaL_error(L, "'__tostring' must return a string");
        }
        return lua_tolstring(L, -1, n);
    }
    if (tl_vm_is_null(L, index)) {
        lua_pushliteral(L, "null");
        return lua_tolstring(L, -1, n);
    }
    if (lua_type(L, index) == LUA_TNIL || lua_type(L, index) == LUA_TBOOLEAN ||
        lua_type(L, index) == LUA_TNUMBER || lua_type(L, index) == LUA_TSTRING) {
        return luaL_tolstring(L, index, n);
    }
    bool of_query;
    uint32_t id = object_id(L, index, &of_query);
    int type = luaL_getmetafield(L, index, "__name");
    const char *kind = type == LUA_TSTRING ? lua_tostring(L, -1) : luaL_typename(L, index);
    lua_pushfstring(L, "%s: #%s%d", kind, of_query ? "q" : "", (int)id);
    if (type != LUA_TNIL) {
        lua_remove(L, -2);
    }
    return lua_tolstring(L, -1, n);
}

int tl_lib_tostring(lua_State *L)
{
    luaL_checkany(L, 1);
    tl_sandbox_tostring(L, 1, NULL);
    return 1;
}

/* --- print, warn: the log --------------------------------------------------------------------- */

static int log_values(lua_State *L, enum tl_log_level level, const char *between)
{
    int n = lua_gettop(L);
    luaL_Buffer b;
    for (int i = 1; i <= n; i++) {
        tl_sandbox_tostring(L, i, NULL);
        lua_replace(L, i);
    }
    luaL_buffinit(L, &b);
    for (int i = 1; i <= n; i++) {
        if (i > 1) {
            luaL_addstring(&b, between);
        }
        lua_pushvalue(L, i);
        luaL_addvalue(&b);
    }
    luaL_pushresult(&b);
    struct tl_str text;
    text.p = lua_tolstring(L, -1, &text.n);
    tl_run_log(L, level, text);
    return 0;
}

int tl_lib_print(lua_State *L)
{
    struct tl_lua_run *run = tl_run_of(L);
    if (run->lenient && run->phase != TL_PHASE_RUN) {
        return 0; /* the worker or client part of the file, which does nothing here */
    }
    return log_values(L, TL_LOG_INFO, "\t");
}

int tl_lib_warn(lua_State *L)
{
    luaL_checkstring(L, 1);
    for (int i = 2; i <= lua_gettop(L); i++) {
        luaL_checkstring(L, i);
    }
    if (lua_gettop(L) == 1 && lua_tostring(L, 1)[0] == '@') {
        return 0; /* a control message: nothing to switch here */
    }
    return log_values(L, TL_LOG_WARN, "");
}

/* --- tables and metatables -------------------------------------------------------------------- */

int tl_lib_rawget(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkany(L, 2);
    lua_settop(L, 2);
    int lib = tl_sandbox_lib_of(L, 1);
    lua_pushvalue(L, 2);
    if (lua_rawget(L, 1) == LUA_TNIL && lib >= 0) {
        lua_pop(L, 1);
        tl_sandbox_lookup(L, lib, 2);
    }
    return 1;
}

int tl_lib_rawset(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkany(L, 2);
    luaL_checkany(L, 3);
    lua_settop(L, 3);
    int lib = TL_WITHOUT(35) ? -1 : tl_sandbox_lib_of(L, 1);
    if (lib >= 0) {
        lua_pushcfunction(L, tl_lib_rawget);
        lua_pushvalue(L, 1);
        lua_pushvalue(L, 2);
        lua_call(L, 2, 1);
        bool mine = lib == TL_LIB_G && lua_type(L, 2) == LUA_TSTRING;
        if (mine && !lua_isnil(L, -1)) {
            tl_sandbox_push_names(L, lib);
            for (lua_Integer i = 1; lua_rawgeti(L, 5, i) != LUA_TNIL; i++) {
                mine = mine && !lua_rawequal(L, -1, 2);
                lua_pop(L, 1);
            }
        }
        if (!mine) {
            return luaL_error(L, "the sandbox's own tables are read-only (rawset of '%s')",
                              tl_sandbox_tostring(L, 2, NULL));
        }
        lua_settop(L, 3);
    }
    lua_rawset(L, 1);
    return 1;
}

int tl_lib_setmetatable(lua_State *L)
{
    static const char *const refused[] = {"__gc", "__mode"};
    luaL_checktype(L, 1, LUA_TTABLE);
    int type = lua_type(L, 2);
    luaL_argexpected(L, type == LUA_TNIL || type == LUA_TTABLE, 2, "nil or table");
    if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL) {
        return luaL_error(L, "cannot change a protected metatable");
    }
    for (size_t i = 0; type == LUA_TTABLE && i < 2; i++) {
        if (TL_WITHOUT(i == 0 ? 15 : 16)) {
            continue;
        }
        lua_pushstring(L, refused[i]);
        if (lua_rawget(L, 2) != LUA_TNIL) {
            return luaL_error(L,
                              "%s is not available in a workflow: when it acts depends on the "
                              "garbage collector; %s",
                              refused[i],
                              i == 0 ? "use a <close> variable or workflow.defer"
                                     : "remove what is no longer needed explicitly");
        }
        lua_pop(L, 1);
    }
    lua_settop(L, 2);
    lua_setmetatable(L, 1);
    return 1;
}

int tl_lib_collectgarbage(lua_State *L)
{
    static const char *const options[] = {"collect",      "stop",        "restart",    "count",
                                          "step",         "setpause",    "setstepmul", "isrunning",
                                          "generational", "incremental", NULL};
    int option = luaL_checkoption(L, 1, "collect", options);
    if (option == 4 || option == 7) {
        lua_pushboolean(L, 1);
    } else if (option >= 8) {
        lua_pushliteral(L, "incremental");
    } else {
        lua_pushinteger(L, TL_WITHOUT(14) ? lua_gc(L, LUA_GCCOUNT)
                                          : 0); /* what the collector does must not be seen */
    }
    return 1;
}

/* --- load, require, traceback ----------------------------------------------------------------- */

/* Joins the pieces that a reader function returns; leaves the text at index 1. */
static void read_pieces(lua_State *L)
{
    lua_newtable(L);
    int list = lua_gettop(L);
    lua_Integer n = 0;
    for (;;) {
        lua_pushvalue(L, 1);
        lua_call(L, 0, 1);
        if (lua_isnil(L, -1) || (lua_isstring(L, -1) && lua_rawlen(L, -1) == 0)) {
            break;
        }
        if (lua_type(L, -1) != LUA_TSTRING) {
            luaL_error(L, "reader function must return a string");
        }
        lua_rawseti(L, list, ++n);
    }
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, list, i);
        luaL_addvalue(&b);
    }
    luaL_pushresult(&b);
    lua_replace(L, 1);
}

int tl_lib_load(lua_State *L)
{
    bool env = !lua_isnone(L, 4);
    const char *mode = luaL_optstring(L, 3, "t");
    bool pieces = lua_type(L, 1) != LUA_TSTRING;
    lua_settop(L, 4);
    if (pieces) {
        luaL_checktype(L, 1, LUA_TFUNCTION);
        read_pieces(L);
    }
    size_t n;
    const char *text = lua_tolstring(L, 1, &n);
    const char *name = luaL_optstring(L, 2, pieces ? "=(load)" : text);
    lua_settop(L, 4);
    if (!strchr(mode, 't')) {
        lua_pushnil(L);
        lua_pushliteral(L, "load takes source text only in a workflow (mode 't')");
        return 2;
    }
    if (luaL_loadbufferx(L, text, n, name, TL_WITHOUT(23) ? "bt" : "t") != LUA_OK) {
        lua_pushnil(L);
        lua_insert(L, -2);
        return 2;
    }
    if (env) {
        lua_pushvalue(L, 4);
        if (!lua_setupvalue(L, -2, 1)) {
            lua_pop(L, 1);
        }
    }
    return 1;
}

int tl_lib_require(lua_State *L)
{
    struct tl_str name;
    luaL_checktype(L, 1, LUA_TSTRING);
    name.p = lua_tolstring(L, 1, &name.n);
    tl_module_require(L, tl_run_of(L), name);
    return 1;
}

int tl_lib_traceback(lua_State *L)
{
    lua_State *of = L;
    int arg = 0;
    if (lua_isthread(L, 1)) {
        of = lua_tothread(L, 1);
        arg = 1;
    }
    const char *message = lua_tostring(L, arg + 1);
    if (!message && !lua_isnoneornil(L, arg + 1)) {
        lua_pushvalue(L, arg + 1);
        return 1;
    }
    int level = (int)luaL_optinteger(L, arg + 2, of == L ? 1 : 0);
    luaL_traceback(L, of, message, level);
    return 1;
}

/* --- random ----------------------------------------------------------------------------------- */

/* math.random's numbers from `rng`. */
static int draw(lua_State *L, struct tl_rng *rng)
{
    lua_Integer low = 1, high;
    switch (lua_gettop(L)) {
    case 0:
        lua_pushnumber(L, tl_rng_unit(rng));
        return 1;
    case 1:
        high = luaL_checkinteger(L, 1);
        if (high == 0) {
            lua_pushinteger(L, (lua_Integer)tl_rng_next(rng));
            return 1;
        }
        break;
    case 2:
        low = luaL_checkinteger(L, 1);
        high = luaL_checkinteger(L, 2);
        break;
    default:
        return luaL_error(L, "wrong number of arguments");
    }
    luaL_argcheck(L, low <= high, lua_gettop(L), "interval is empty");
    uint64_t range = (uint64_t)high - (uint64_t)low + 1; /* 0: all of them */
    uint64_t v = range ? tl_rng_below(rng, range) : tl_rng_next(rng);
    lua_pushinteger(L, (lua_Integer)((uint64_t)low + v));
    return 1;
}

int tl_lib_random(lua_State *L)
{
#ifdef TL_SANDBOX_SWITCH
    if (TL_WITHOUT(18)) {
        return tl_without_random(L);
    }
#endif
    tl_shared_check(L, "math.random");
    return draw(L, tl_run_of(L)->rng_now);
}

static int own_random(lua_State *L)
{
    return draw(L, lua_touserdata(L, lua_upvalueindex(1)));
}

/* new_random([name]) -> a function like math.random with a stream of its own: of the name and the
 * run's seed alone, or, without a name, seeded by the next number of the run's stream. */
int tl_lib_wf_new_random(lua_State *L)
{
    struct tl_lua_run *run = tl_run_of(L);
    size_t n;
    uint64_t seed;
    tl_command_check(L, "workflow.new_random");
    if (lua_isnoneornil(L, 1)) {
        seed = tl_rng_next(run->rng_now);
    } else {
        const char *name = luaL_checklstring(L, 1, &n);
        seed = run->seed ^ UINT64_C(0xcbf29ce484222325);
        for (size_t i = 0; i < n; i++) {
            seed = (seed ^ (unsigned char)name[i]) * UINT64_C(0x100000001b3);
        }
    }
    tl_rng_seed(lua_newuserdatauv(L, sizeof(struct tl_rng), 0), seed);
    lua_pushcclosure(L, own_random, 1);
    return 1;
}

int tl_lib_wf_random_seed(lua_State *L)
{
    tl_command_check(L, "workflow.random_seed");
    lua_pushinteger(L, (lua_Integer)tl_run_of(L)->seed);
    return 1;
}
