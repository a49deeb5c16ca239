/* String functions whose cost the stock library does not bound: searches count their steps, results
 * have a ceiling. See sandbox.def.
 * Thread: the run's. Owner: Lua memory. */
#include "luart/run_int.h"
#include "luart/sandbox_pattern.h"

#include <string.h>

/* The position an optional argument means: 1-based, negative from the end, at least 1. */
static size_t start_position(lua_State *L, int arg, size_t n)
{
    lua_Integer i = luaL_optinteger(L, arg, 1);
    if (i > 0) {
        return (size_t)i;
    }
    if (i == 0 || i < -(lua_Integer)n) {
        return 1;
    }
    return n + (size_t)(i + 1);
}

static bool has_specials(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] && strchr("^$*+?.([%-", p[i])) {
            return true;
        }
    }
    return false;
}

static int find(lua_State *L, bool positions)
{
    size_t n, pattern_n;
    const char *s = luaL_checklstring(L, 1, &n), *p = luaL_checklstring(L, 2, &pattern_n);
    size_t init = start_position(L, 3, n) - 1;
    if (init > n) {
        lua_pushnil(L);
        return 1;
    }
    if (positions && (lua_toboolean(L, 4) || !has_specials(p, pattern_n))) {
        const char *hit = pattern_n ? memmem(s + init, n - init, p, pattern_n) : s + init;
        if (!hit) {
            lua_pushnil(L);
            return 1;
        }
        lua_pushinteger(L, hit - s + 1);
        lua_pushinteger(L, hit - s + (lua_Integer)pattern_n);
        return 2;
    }
    bool anchor = pattern_n > 0 && *p == '^';
    struct tl_match m;
    tl_pattern_init(&m, L, s, n, p, pattern_n);
    for (const char *at = s + init;; at++) {
        m.level = 0;
        const char *e = tl_pattern_match(&m, at, p + anchor);
        if (e && positions) {
            lua_pushinteger(L, at - s + 1);
            lua_pushinteger(L, e - s);
            return tl_pattern_push_captures(&m, NULL, NULL) + 2;
        }
        if (e) {
            return tl_pattern_push_captures(&m, at, e);
        }
        if (at >= m.src_end || anchor) {
            break;
        }
    }
    lua_pushnil(L);
    return 1;
}

int tl_lib_str_find(lua_State *L)
{
    return find(L, true);
}

int tl_lib_str_match(lua_State *L)
{
    return find(L, false);
}

/* Upvalues: string, pattern, offset to go on at, offset where the last match ended (-1: none). */
static int gmatch_next(lua_State *L)
{
    size_t n, pattern_n;
    const char *s = lua_tolstring(L, lua_upvalueindex(1), &n);
    const char *p = lua_tolstring(L, lua_upvalueindex(2), &pattern_n);
    size_t at = (size_t)lua_tointeger(L, lua_upvalueindex(3));
    lua_Integer last = lua_tointeger(L, lua_upvalueindex(4));
    struct tl_match m;
    tl_pattern_init(&m, L, s, n, p, pattern_n);
    for (; at <= n; at++) {
        m.level = 0;
        const char *e = tl_pattern_match(&m, s + at, p);
        if (e && e - s != last) {
            lua_pushinteger(L, e - s);
            lua_copy(L, -1, lua_upvalueindex(3));
            lua_replace(L, lua_upvalueindex(4));
            return tl_pattern_push_captures(&m, s + at, e);
        }
    }
    lua_pushinteger(L, (lua_Integer)n + 1);
    lua_replace(L, lua_upvalueindex(3));
    return 0;
}

int tl_lib_str_gmatch(lua_State *L)
{
    size_t n;
    luaL_checklstring(L, 1, &n);
    luaL_checkstring(L, 2);
    size_t init = start_position(L, 3, n) - 1;
    lua_settop(L, 2);
    lua_pushinteger(L, (lua_Integer)(init > n ? n + 1 : init));
    lua_pushinteger(L, -1);
    lua_pushcclosure(L, gmatch_next, 4);
    return 1;
}

static void add_template(struct tl_match *m, luaL_Buffer *b, const char *s, const char *e)
{
    size_t n;
    const char *t = lua_tolstring(m->L, 3, &n), *end = t + n;
    while (t < end) {
        const char *percent = memchr(t, '%', (size_t)(end - t));
        if (!percent) {
            break;
        }
        luaL_addlstring(b, t, (size_t)(percent - t));
        char c = percent + 1 < end ? percent[1] : '\0';
        if (c == '%') {
            luaL_addchar(b, '%');
        } else if (c == '0') {
            luaL_addlstring(b, s, (size_t)(e - s));
        } else if (c >= '1' && c <= '9') {
            tl_pattern_push_capture(m, c - '1', s, e);
            luaL_tolstring(m->L, -1, NULL); /* a position is a number */
            lua_remove(m->L, -2);
            luaL_addvalue(b);
        } else {
            luaL_error(m->L, "invalid use of '%%' in replacement string");
        }
        t = percent + 2;
    }
    luaL_addlstring(b, t, (size_t)(end - t));
}

/* Appends what replaces the match from s to e. */
static void add_replacement(struct tl_match *m, luaL_Buffer *b, const char *s, const char *e,
                            int type)
{
    lua_State *L = m->L;
    if (type == LUA_TSTRING || type == LUA_TNUMBER) {
        add_template(m, b, s, e);
        return;
    }
    if (type == LUA_TFUNCTION) {
        lua_pushvalue(L, 3);
        int n = tl_pattern_push_captures(m, s, e);
        lua_call(L, n, 1);
    } else {
        tl_pattern_push_capture(m, 0, s, e);
        lua_gettable(L, 3);
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        luaL_addlstring(b, s, (size_t)(e - s));
    } else if (!lua_isstring(L, -1)) {
        luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    } else {
        luaL_addvalue(b);
    }
}

int tl_lib_str_gsub(lua_State *L)
{
    size_t n, pattern_n;
    const char *s = luaL_checklstring(L, 1, &n), *p = luaL_checklstring(L, 2, &pattern_n);
    int type = lua_type(L, 3);
    luaL_argexpected(L,
                     type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TFUNCTION ||
                         type == LUA_TTABLE,
                     3, "string/function/table");
    lua_Integer count_max = luaL_optinteger(L, 4, (lua_Integer)n + 1), count = 0;
    bool anchor = pattern_n > 0 && *p == '^';
    const char *at = s, *last = NULL;
    struct tl_match m;
    luaL_Buffer b;
    tl_pattern_init(&m, L, s, n, p, pattern_n);
    luaL_buffinit(L, &b);
    while (count < count_max) {
        m.level = 0;
        const char *e = tl_pattern_match(&m, at, p + anchor);
        if (e && e != last) {
            count++;
            add_replacement(&m, &b, at, e, type);
            at = last = e;
        } else if (at < m.src_end) {
            luaL_addchar(&b, *at);
            at++;
        } else {
            break;
        }
        if (anchor) {
            break;
        }
    }
    luaL_addlstring(&b, at, (size_t)(m.src_end - at));
    luaL_pushresult(&b);
    lua_pushinteger(L, count);
    return 2;
}

int tl_lib_str_rep(lua_State *L)
{
    size_t n, between_n;
    const char *s = luaL_checklstring(L, 1, &n);
    lua_Integer times = luaL_checkinteger(L, 2);
    const char *between = luaL_optlstring(L, 3, "", &between_n);
    size_t unit = n + between_n;
    if (times <= 0 || unit == 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    if ((uint64_t)times > tl_run_of(L)->heap.used_max / unit) {
        return luaL_error(L, "resulting string too large");
    }
    size_t total = (size_t)times * n + (size_t)(times - 1) * between_n;
    luaL_Buffer b;
    char *out = luaL_buffinitsize(L, &b, total);
    for (lua_Integer i = 0; i < times; i++) {
        memcpy(out, s, n);
        out += n;
        if (i + 1 < times) {
            memcpy(out, between, between_n);
            out += between_n;
        }
        if (i % 4096 == 4095) {
            tl_state_tick(L, 4096);
        }
    }
    luaL_pushresultsize(&b, total);
    return 1;
}

/* The stock formatter, once objects have become text without addresses. */
int tl_lib_str_format(lua_State *L)
{
    size_t n;
    const char *f = luaL_checklstring(L, 1, &n), *end = f + n;
    int arg = 1, top = lua_gettop(L);
    while (f < end) {
        if (*f++ != '%') {
            continue;
        }
        if (f < end && *f == '%') {
            f++;
            continue;
        }
        while (f < end && *f && strchr("-+ #0123456789.", *f)) {
            f++;
        }
        arg++;
        char conversion = f < end ? *f : '\0';
        if (conversion == 'p') {
            return luaL_error(L, "string.format: '%%p' is not available in a workflow: addresses "
                                 "differ from run to run; use %%s, which numbers objects");
        }
        if (conversion == 's' && arg <= top && !lua_isstring(L, arg)) {
            tl_sandbox_tostring(L, arg, NULL);
            lua_replace(L, arg);
        }
    }
    return tl_sandbox_stock_format()(L);
}
