/* pairs and next in one specified order: numbers by value, then strings bytewise, then false and
 * true. Other keys have no order that two processes share, so they raise. Deleted fields are skipped;
 * fields added during a traversal by pairs are not visited.
 * Thread: the run's. Owner: snapshots are Lua memory. */
#include "luart/run_int.h"

#include <stdlib.h>
#include <string.h>

/* One key, of the class its order starts with. Strings are borrowed from the table. */
struct key {
    enum { KEY_INTEGER, KEY_FLOAT, KEY_STRING, KEY_BOOLEAN } type;
    union {
        lua_Integer i;
        lua_Number f;
        struct tl_str s;
    } u;
};

/* Integers and floats by exact value. A float key is never integral (Lua makes it an integer). */
static int cmp_integer_float(lua_Integer i, lua_Number f)
{
    if (f >= 0x1p63) {
        return -1;
    }
    if (f < -0x1p63) {
        return 1;
    }
    lua_Integer whole = (lua_Integer)f; /* towards zero */
    if (i != whole) {
        return i < whole ? -1 : 1;
    }
    return f > 0 ? -1 : 1; /* the fraction decides; for whole == 0 too */
}

static int cmp_key(const void *pa, const void *pb)
{
    const struct key *a = pa, *b = pb;
    int class_a = a->type <= KEY_FLOAT ? 0 : (int)a->type;
    int class_b = b->type <= KEY_FLOAT ? 0 : (int)b->type;
    if (class_a != class_b) {
        return class_a < class_b ? -1 : 1;
    }
    if (a->type == KEY_STRING) {
        return tl_str_cmp(a->u.s, b->u.s);
    }
    if (a->type == KEY_FLOAT) {
        return b->type == KEY_FLOAT ? (a->u.f > b->u.f) - (a->u.f < b->u.f)
                                    : -cmp_integer_float(b->u.i, a->u.f);
    }
    return b->type == KEY_FLOAT ? cmp_integer_float(a->u.i, b->u.f)
                                : (a->u.i > b->u.i) - (a->u.i < b->u.i);
}

/* False for a key that has no place in the order. */
static bool get_key(lua_State *L, int index, struct key *k)
{
    switch (lua_type(L, index)) {
    case LUA_TNUMBER:
        if (lua_isinteger(L, index)) {
            k->type = KEY_INTEGER;
            k->u.i = lua_tointeger(L, index);
        } else {
            k->type = KEY_FLOAT;
            k->u.f = lua_tonumber(L, index);
        }
        return true;
    case LUA_TSTRING:
        k->type = KEY_STRING;
        k->u.s.p = lua_tolstring(L, index, &k->u.s.n);
        return true;
    case LUA_TBOOLEAN:
        k->type = KEY_BOOLEAN;
        k->u.i = lua_toboolean(L, index);
        return true;
    default:
        return false;
    }
}

static void push_key(lua_State *L, const struct key *k)
{
    switch (k->type) {
    case KEY_INTEGER:
        lua_pushinteger(L, k->u.i);
        break;
    case KEY_FLOAT:
        lua_pushnumber(L, k->u.f);
        break;
    case KEY_STRING:
        lua_pushlstring(L, k->u.s.p, k->u.s.n);
        break;
    case KEY_BOOLEAN:
        lua_pushboolean(L, (int)k->u.i);
        break;
    }
}

static int bad_key(lua_State *L, const char *type)
{
    return luaL_error(L,
                      "cannot traverse a table that has a %s as key: its order would differ "
                      "from run to run; use string or number keys, or keep a list",
                      type);
}

/* Counts the keys; *is_sequence when they are exactly 1..n in storage order. Raises for a bad key,
 * naming the first type in a fixed order, as storage order is not determined. */
static size_t count_keys(lua_State *L, int table, bool *is_sequence)
{
    size_t n = 0;
    unsigned bad = 0;
    struct key k;
    *is_sequence = true;
    lua_pushnil(L);
    while (lua_next(L, table)) {
        lua_pop(L, 1);
        n++;
        if (!get_key(L, -1, &k)) {
            bad |= 1u << lua_type(L, -1);
        } else if (k.type != KEY_INTEGER || k.u.i != (lua_Integer)n) {
            *is_sequence = false;
        }
        if (n % 4096 == 0) {
            tl_state_tick(L, 4096);
        }
    }
    for (int t = 0; bad && t < LUA_NUMTYPES; t++) {
        if (bad & (1u << t)) {
            bad_key(L, lua_typename(L, t));
        }
    }
    return n;
}

/* Pushes a list of the table's keys in order and returns their number. */
static size_t push_sorted(lua_State *L, int table, size_t n)
{
    luaL_checkstack(L, 6, NULL);
    struct key *keys = lua_newuserdatauv(L, n * sizeof *keys, 0);
    size_t i = 0;
    lua_pushnil(L);
    while (lua_next(L, table)) {
        lua_pop(L, 1);
        get_key(L, -1, &keys[i++]);
    }
    qsort(keys, n, sizeof *keys, cmp_key);
    lua_createtable(L, n < INT32_MAX ? (int)n : 0, 0);
    for (i = 0; i < n; i++) {
        push_key(L, &keys[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_remove(L, -2);
    return n;
}

/* The list of names of a protected table, global variables of the script included. */
static size_t push_protected(lua_State *L, int table, int lib)
{
    int n = tl_sandbox_push_names(L, lib);
    int names = lua_gettop(L);
    if (lib == TL_LIB_G) {
        lua_newtable(L);
        for (int i = 1; i <= n; i++) {
            lua_rawgeti(L, names, i);
            lua_pushboolean(L, 1);
            lua_rawset(L, -3);
        }
        lua_pushnil(L);
        while (lua_next(L, table)) {
            lua_pop(L, 1);
            lua_pushvalue(L, -1);
            lua_pushboolean(L, 1);
            lua_rawset(L, names + 1);
        }
        bool sequence;
        size_t count = count_keys(L, names + 1, &sequence);
        push_sorted(L, names + 1, count);
        lua_replace(L, names);
        lua_settop(L, names);
        return count;
    }
    return (size_t)n;
}

/* Pushes the value that the traversal shows for the key on top. */
static void push_value(lua_State *L, int table, int lib)
{
    lua_pushvalue(L, -1);
    if (lua_rawget(L, table) == LUA_TNIL && lib >= 0) {
        lua_pop(L, 1);
        tl_sandbox_lookup(L, lib, lua_gettop(L));
    }
}

/* Iterator over a snapshot. Upvalues: table, list of keys, position, library. */
static int snapshot_next(lua_State *L)
{
    lua_Integer at = lua_tointeger(L, lua_upvalueindex(3));
    int lib = (int)lua_tointeger(L, lua_upvalueindex(4));
    lua_settop(L, 0);
    for (;;) {
        at++;
        if (lua_rawgeti(L, lua_upvalueindex(2), at) == LUA_TNIL) {
            break;
        }
        push_value(L, lua_upvalueindex(1), lib);
        if (!lua_isnil(L, -1)) {
            break;
        }
        lua_pop(L, 2);
    }
    lua_pushinteger(L, at);
    lua_replace(L, lua_upvalueindex(3));
    return lua_gettop(L);
}

/* Iterator over 1..n as it was at the start. Upvalues: table, position, n. */
static int sequence_next(lua_State *L)
{
    lua_Integer at = lua_tointeger(L, lua_upvalueindex(2));
    lua_Integer n = lua_tointeger(L, lua_upvalueindex(3));
    lua_settop(L, 0);
    while (at < n) {
        lua_pushinteger(L, ++at);
        if (lua_rawgeti(L, lua_upvalueindex(1), at) != LUA_TNIL) {
            lua_pushinteger(L, at);
            lua_replace(L, lua_upvalueindex(2));
            return 2;
        }
        lua_settop(L, 0);
    }
    lua_pushinteger(L, n);
    lua_replace(L, lua_upvalueindex(2));
    lua_pushnil(L);
    return 1;
}

static int pairs_continued(lua_State *L, int status, lua_KContext ctx)
{
    (void)L;
    (void)status;
    (void)ctx;
    return 3;
}

int tl_lib_pairs(lua_State *L)
{
    luaL_checkany(L, 1);
#ifdef TL_SANDBOX_SWITCH
    if (TL_WITHOUT_ORDER) {
        return tl_without_pairs(L);
    }
#endif
    int lib = tl_sandbox_lib_of(L, 1);
    if (lib < 0 && luaL_getmetafield(L, 1, "__pairs") != LUA_TNIL) {
        lua_pushvalue(L, 1);
        lua_callk(L, 1, 3, 0, pairs_continued);
        return 3;
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    bool sequence = false;
    lua_pushvalue(L, 1);
    if (lib >= 0) {
        push_protected(L, 1, lib);
    } else {
        size_t n = count_keys(L, 1, &sequence);
        if (sequence) {
            lua_pushinteger(L, 0);
            lua_pushinteger(L, (lua_Integer)n);
            lua_pushcclosure(L, sequence_next, 3);
        } else {
            push_sorted(L, 1, n);
        }
    }
    if (!sequence) {
        lua_pushinteger(L, 0);
        lua_pushinteger(L, lib);
        lua_pushcclosure(L, snapshot_next, 4);
    }
    lua_pushvalue(L, 1);
    lua_pushnil(L);
    return 3;
}

/* --- next ------------------------------------------------------------------------------------- */

/* The least key of the table that is greater than `after` (NULL: the least). Pushes it and its value,
 * or nil. One pass, no memory. */
static int least_key(lua_State *L, const struct key *after)
{
    struct key best = {0}, k;
    bool found = false;
    size_t n = 0;
    lua_pushnil(L);
    while (lua_next(L, 1)) {
        lua_pop(L, 1);
        if (!get_key(L, -1, &k)) {
            bool sequence;
            count_keys(L, 1, &sequence); /* raises, with the type that comes first */
        }
        if ((!after || cmp_key(&k, after) > 0) && (!found || cmp_key(&k, &best) < 0)) {
            best = k;
            found = true;
        }
        if (++n % 4096 == 0) {
            tl_state_tick(L, 4096);
        }
    }
    if (!found) {
        lua_pushnil(L);
        return 1;
    }
    push_key(L, &best);
    lua_pushvalue(L, -1);
    lua_rawget(L, 1);
    return 2;
}

/* The cached snapshot is { table, keys, position of the key given last }. It is forgotten at every
 * await, so what a loop sees depends on the script alone. */
static bool cache_fits(lua_State *L, struct tl_lua_run *run)
{
    int top = lua_gettop(L);
    bool fits = false;
    tl_slot_push(L, run, TL_SLOT_NEXT);
    if (lua_istable(L, -1)) {
        lua_rawgeti(L, top + 1, 1);
        lua_rawgeti(L, top + 1, 2);
        lua_rawgeti(L, top + 1, 3);
        lua_rawgeti(L, top + 3, lua_tointeger(L, -1));
        fits = lua_rawequal(L, top + 2, 1) && lua_rawequal(L, -1, 2);
    }
    lua_settop(L, top);
    return fits;
}

/* Moves the cached snapshot on; returns the results of next. */
static int step_cache(lua_State *L, struct tl_lua_run *run)
{
    int cache = lua_gettop(L) + 1;
    tl_slot_push(L, run, TL_SLOT_NEXT);
    lua_rawgeti(L, cache, 2);
    lua_rawgeti(L, cache, 3);
    lua_Integer at = lua_tointeger(L, -1);
    lua_pop(L, 1);
    while (lua_rawgeti(L, cache + 1, ++at) != LUA_TNIL) {
        lua_pushvalue(L, -1);
        if (lua_rawget(L, 1) != LUA_TNIL) {
            lua_pushinteger(L, at);
            lua_rawseti(L, cache, 3);
            return 2;
        }
        lua_pop(L, 2);
    }
    lua_pushnil(L);
    tl_slot_set(L, run, TL_SLOT_NEXT);
    return 1; /* the nil that ended the list */
}

static void start_cache(lua_State *L, struct tl_lua_run *run, const struct key *after)
{
    bool sequence;
    size_t n = count_keys(L, 1, &sequence);
    push_sorted(L, 1, n);
    int keys = lua_gettop(L);
    size_t low = 0, high = n; /* keys at or before `after` */
    while (low < high) {
        size_t middle = (low + high) / 2;
        struct key k;
        lua_rawgeti(L, keys, (lua_Integer)middle + 1);
        get_key(L, -1, &k);
        lua_pop(L, 1);
        if (cmp_key(&k, after) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    lua_createtable(L, 3, 0);
    lua_pushvalue(L, 1);
    lua_rawseti(L, -2, 1);
    lua_pushvalue(L, keys);
    lua_rawseti(L, -2, 2);
    lua_pushinteger(L, (lua_Integer)low);
    lua_rawseti(L, -2, 3);
    tl_slot_set(L, run, TL_SLOT_NEXT);
    lua_settop(L, keys - 1);
}

/* next over a protected table: walks its names. */
static int next_protected(lua_State *L, int lib)
{
    lua_Integer n = (lua_Integer)push_protected(L, 1, lib), at = 1;
    if (!lua_isnil(L, 2)) {
        bool here = false;
        for (; at <= n && !here; at++) {
            lua_rawgeti(L, 3, at);
            here = lua_rawequal(L, -1, 2);
            lua_pop(L, 1);
        }
    }
    if (lua_rawgeti(L, 3, at) == LUA_TNIL) {
        return 1;
    }
    push_value(L, 1, lib);
    return 2;
}

int tl_lib_next(lua_State *L)
{
#ifdef TL_SANDBOX_SWITCH
    if (TL_WITHOUT_ORDER) {
        return tl_without_next(L);
    }
#endif
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 2);
    struct tl_lua_run *run = tl_run_of(L);
    int lib = tl_sandbox_lib_of(L, 1);
    struct key after;
    if (lib >= 0) {
        return next_protected(L, lib);
    }
    if (lua_isnil(L, 2)) {
        return least_key(L, NULL);
    }
    if (cache_fits(L, run)) {
        return step_cache(L, run);
    }
    if (!get_key(L, 2, &after)) {
        return bad_key(L, luaL_typename(L, 2));
    }
    /* One sorting serves the rest of the loop. */
    start_cache(L, run, &after);
    return step_cache(L, run);
}
