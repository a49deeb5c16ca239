/* Table functions: a stable merge sort (ties and invalid comparators have one result everywhere),
 * and loops that the budget can stop. See sandbox.def.
 * Thread: the run's. Owner: Lua memory. */
#include "luart/run_int.h"

#include <string.h>

enum { LOOPS_PER_TICK = 4096, INSERTION_MAX = 8 };

static void check_table(lua_State *L, int arg)
{
    if (lua_type(L, arg) != LUA_TTABLE) {
        luaL_checktype(L, arg, LUA_TTABLE);
    }
}

static void refuse_protected(lua_State *L, int arg)
{
    check_table(L, arg);
    if (tl_sandbox_lib_of(L, arg) >= 0) {
        luaL_error(L, "the sandbox's own tables are read-only");
    }
}

/* --- sort ------------------------------------------------------------------------------------- */

struct sorter {
    lua_State *L;
    int values;  /* index of the list of values */
    int compare; /* index of the comparator, 0: < */
    uint32_t ops;
};

/* Whether value b must stand before value a. */
static bool before(struct sorter *s, uint32_t b, uint32_t a)
{
    lua_State *L = s->L;
    bool less;
    if (++s->ops % LOOPS_PER_TICK == 0) {
        tl_state_tick(L, LOOPS_PER_TICK);
    }
    if (s->compare) {
        lua_pushvalue(L, s->compare);
        lua_rawgeti(L, s->values, b);
        lua_rawgeti(L, s->values, a);
        lua_call(L, 2, 1);
        less = lua_toboolean(L, -1);
        lua_pop(L, 1);
    } else {
        lua_rawgeti(L, s->values, b);
        lua_rawgeti(L, s->values, a);
        less = lua_compare(L, -2, -1, LUA_OPLT);
        lua_pop(L, 2);
    }
    return less;
}

static void insertion(struct sorter *s, uint32_t *order, size_t from, size_t to)
{
    for (size_t i = from + 1; i < to; i++) {
        uint32_t v = order[i];
        size_t at = i;
        while (at > from && before(s, v, order[at - 1])) {
            order[at] = order[at - 1];
            at--;
        }
        order[at] = v;
    }
}

static void merge(struct sorter *s, const uint32_t *from, uint32_t *to, size_t low, size_t middle,
                  size_t high)
{
    size_t a = low, b = middle, out = low;
    while (a < middle && b < high) {
        to[out++] = before(s, from[b], from[a]) ? from[b++] : from[a++];
    }
    memcpy(to + out, from + a, (middle - a) * sizeof *to);
    out += middle - a;
    memcpy(to + out, from + b, (high - b) * sizeof *to);
}

/* Sorts value numbers 1..n bottom-up; the result is in the array returned. */
static uint32_t *sort_order(struct sorter *s, uint32_t *order, uint32_t *spare, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        order[i] = (uint32_t)i + 1;
    }
    for (size_t i = 0; i < n; i += INSERTION_MAX) {
        insertion(s, order, i, i + INSERTION_MAX < n ? i + INSERTION_MAX : n);
    }
    for (size_t width = INSERTION_MAX; width < n; width *= 2) {
        for (size_t low = 0; low < n; low += 2 * width) {
            size_t middle = low + width < n ? low + width : n;
            size_t high = low + 2 * width < n ? low + 2 * width : n;
            merge(s, order, spare, low, middle, high);
        }
        uint32_t *swap = order;
        order = spare;
        spare = swap;
    }
    return order;
}

int tl_lib_tab_sort(lua_State *L)
{
    refuse_protected(L, 1);
#ifdef TL_SANDBOX_SWITCH
    if (TL_WITHOUT(10) || TL_WITHOUT(11)) {
        return tl_without_sort(L);
    }
#endif
    lua_Integer n = luaL_len(L, 1);
    if (!lua_isnoneornil(L, 2)) {
        luaL_checktype(L, 2, LUA_TFUNCTION);
    }
    lua_settop(L, 2);
    if (n < 2) {
        return 0;
    }
    luaL_argcheck(L, n < INT32_MAX, 1, "array too big");
    lua_createtable(L, (int)n, 0);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_geti(L, 1, i);
        lua_rawseti(L, 3, i);
        if (i % LOOPS_PER_TICK == 0) {
            tl_state_tick(L, LOOPS_PER_TICK);
        }
    }
    uint32_t *order = lua_newuserdatauv(L, 2 * (size_t)n * sizeof *order, 0);
    struct sorter s = {L, 3, lua_isnil(L, 2) ? 0 : 2, 0};
    order = sort_order(&s, order, order + n, (size_t)n);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, 3, order[i - 1]);
        lua_seti(L, 1, i);
    }
    return 0;
}

/* --- loops ------------------------------------------------------------------------------------ */

int tl_lib_tab_insert(lua_State *L)
{
    refuse_protected(L, 1);
    lua_Integer at = (lua_Integer)((lua_Unsigned)luaL_len(L, 1) + 1);
    switch (lua_gettop(L)) {
    case 2:
        break;
    case 3: {
        lua_Integer end = at;
        at = luaL_checkinteger(L, 2);
        luaL_argcheck(L, (lua_Unsigned)at - 1u < (lua_Unsigned)end, 2, "position out of bounds");
        for (lua_Integer i = end; i > at; i--) {
            lua_geti(L, 1, i - 1);
            lua_seti(L, 1, i);
            if (i % LOOPS_PER_TICK == 0) {
                tl_state_tick(L, LOOPS_PER_TICK);
            }
        }
        break;
    }
    default:
        return luaL_error(L, "wrong number of arguments to 'insert'");
    }
    lua_seti(L, 1, at);
    return 0;
}

int tl_lib_tab_remove(lua_State *L)
{
    refuse_protected(L, 1);
    lua_Integer n = luaL_len(L, 1), at = luaL_optinteger(L, 2, n);
    if (at != n) {
        luaL_argcheck(L, (lua_Unsigned)at - 1u <= (lua_Unsigned)n, 2, "position out of bounds");
    }
    lua_geti(L, 1, at);
    for (; at < n; at++) {
        lua_geti(L, 1, at + 1);
        lua_seti(L, 1, at);
        if (at % LOOPS_PER_TICK == 0) {
            tl_state_tick(L, LOOPS_PER_TICK);
        }
    }
    lua_pushnil(L);
    lua_seti(L, 1, at);
    return 1;
}

int tl_lib_tab_move(lua_State *L)
{
    int to = lua_isnoneornil(L, 5) ? 1 : 5;
    check_table(L, 1);
    refuse_protected(L, to);
    lua_Integer first = luaL_checkinteger(L, 2), last = luaL_checkinteger(L, 3);
    lua_Integer target = luaL_checkinteger(L, 4);
    if (last >= first) {
        luaL_argcheck(L, first > 0 || last < LUA_MAXINTEGER + first, 3,
                      "too many elements to move");
        lua_Integer n = last - first + 1;
        luaL_argcheck(L, target <= LUA_MAXINTEGER - n + 1, 4, "destination wrap around");
        bool forward =
            target > last || target <= first || (to != 1 && !lua_compare(L, 1, to, LUA_OPEQ));
        for (lua_Integer i = 0; i < n; i++) {
            lua_Integer k = forward ? i : n - 1 - i;
            lua_geti(L, 1, first + k);
            lua_seti(L, to, target + k);
            if (i % LOOPS_PER_TICK == 0) {
                tl_state_tick(L, LOOPS_PER_TICK);
            }
        }
    }
    lua_pushvalue(L, to);
    return 1;
}

int tl_lib_tab_concat(lua_State *L)
{
    check_table(L, 1);
    size_t between_n;
    const char *between = luaL_optlstring(L, 2, "", &between_n);
    lua_Integer i = luaL_optinteger(L, 3, 1);
    lua_Integer last = lua_isnoneornil(L, 4) ? luaL_len(L, 1) : luaL_checkinteger(L, 4);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (lua_Integer n = 1; i <= last; n++, i++) {
        lua_geti(L, 1, i);
        if (!lua_isstring(L, -1)) {
            return luaL_error(L, "invalid value (a %s) at index %I in table for 'concat'",
                              luaL_typename(L, -1), (LUAI_UACINT)i);
        }
        luaL_addvalue(&b);
        if (i == last) {
            break;
        }
        luaL_addlstring(&b, between, between_n);
        if (n % LOOPS_PER_TICK == 0) {
            tl_state_tick(L, LOOPS_PER_TICK);
        }
    }
    luaL_pushresult(&b);
    return 1;
}
