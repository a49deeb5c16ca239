/* The names of the sandbox: _G and the libraries are protected tables that find their functions in
 * one static table when they are asked for, so that a small run pays for what it uses only.
 * Thread: the run's; the static table is filled once. Owner: the run's heap. */
#include "luart/run_int.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/near.h"

enum row_kind { ROW_FN, ROW_STOCK, ROW_VALUE, ROW_SUB, ROW_FORBID };

enum sandbox_value {
    VALUE_VERSION,
    VALUE_HUGE,
    VALUE_MAXINTEGER,
    VALUE_MININTEGER,
    VALUE_PI,
    VALUE_CHARPATTERN,
    VALUE_NULL,
    VALUE_DEFAULT_VERSION,
};

struct row {
    uint8_t lib, kind, value; /* value: enum sandbox_value or enum tl_lib */
    const char *name;
    lua_CFunction fn;
    const char *text; /* stock library, or hint */
};

static struct row rows[] = {
#define OWN(lib, name, fn) {TL_LIB_##lib, ROW_FN, 0, name, tl_lib_##fn, NULL},
#define STOCK(lib, name, from) {TL_LIB_##lib, ROW_STOCK, 0, name, NULL, from},
#define DATA(lib, name, fn) {TL_LIB_##lib, ROW_FN, 0, name, tl_vm_lib_##fn, NULL},
#define VALUE(lib, name, value) {TL_LIB_##lib, ROW_VALUE, VALUE_##value, name, NULL, NULL},
#define SUB(lib, name, sub) {TL_LIB_##lib, ROW_SUB, TL_LIB_##sub, name, NULL, NULL},
#define FORBID(lib, name, hint) {TL_LIB_##lib, ROW_FORBID, 0, name, NULL, hint},
#include "luart/sandbox.def"
#undef OWN
#undef STOCK
#undef DATA
#undef VALUE
#undef SUB
#undef FORBID
};

enum { ROW_COUNT = sizeof rows / sizeof *rows };

static struct {
    const char *name;
    int first, last; /* rows */
} libs[TL_LIB_COUNT] = {
    [TL_LIB_G] = {"_G", 0, -1},
    [TL_LIB_COROUTINE] = {"coroutine", 0, -1},
    [TL_LIB_DEBUG] = {"debug", 0, -1},
    [TL_LIB_IO] = {"io", 0, -1},
    [TL_LIB_MATH] = {"math", 0, -1},
    [TL_LIB_OS] = {"os", 0, -1},
    [TL_LIB_PACKAGE] = {"package", 0, -1},
    [TL_LIB_STRING] = {"string", 0, -1},
    [TL_LIB_TABLE] = {"table", 0, -1},
    [TL_LIB_UTF8] = {"utf8", 0, -1},
    [TL_LIB_TEMPORAL] = {"temporal", 0, -1},
    [TL_LIB_JSON] = {"temporal.json", 0, -1},
    [TL_LIB_WORKFLOW] = {"workflow", 0, -1},
    [TL_LIB_LOG] = {"workflow.log", 0, -1},
    [TL_LIB_UNSAFE] = {"workflow.unsafe", 0, -1},
    [TL_LIB_ACTIVITY] = {"activity", 0, -1},
};

/* --- the static table ------------------------------------------------------------------------- */

static void *plain_alloc(void *ud, void *p, size_t old_size, size_t n)
{
    (void)ud;
    (void)old_size;
    if (n == 0) {
        tl_mem_free(p);
        return NULL;
    }
    return tl_mem_realloc(p, n);
}

/* String metamethods of the stock library ("10" + 1 works through them). */
static const char *const arith_names[] = {"__add", "__sub", "__mul",  "__mod",
                                          "__pow", "__div", "__idiv", "__unm"};
enum { ARITH_COUNT = sizeof arith_names / sizeof *arith_names };
static lua_CFunction arith[ARITH_COUNT];
static lua_CFunction stock_format;

/* What a script calls the function, for messages: "workflow.sleep". */
static bool push_function_name(lua_State *L, lua_CFunction fn)
{
    for (int r = 0; r < ROW_COUNT; r++) {
        if (rows[r].fn == fn && rows[r].lib == TL_LIB_G) {
            lua_pushstring(L, rows[r].name);
            return true;
        }
        if (rows[r].fn == fn) {
            lua_pushfstring(L, "%s.%s", libs[rows[r].lib].name, rows[r].name);
            return true;
        }
    }
    return false;
}

/* The stock functions are private to the VM; a throw-away state hands out their addresses. */
static void fill_rows(void)
{
    static const struct {
        const char *name;
        lua_CFunction open;
    } opens[] = {{"_G", luaopen_base},
                 {"math", luaopen_math},
                 {"string", luaopen_string},
                 {"table", luaopen_table},
                 {"utf8", luaopen_utf8}};
    lua_State *L = lua_newstate(plain_alloc, NULL);
    TL_ASSERT(L);
    for (size_t i = 0; i < sizeof opens / sizeof *opens; i++) {
        lua_pushcfunction(L, opens[i].open);
        lua_call(L, 0, 1);
        for (int r = 0; r < ROW_COUNT; r++) {
            if (rows[r].kind == ROW_STOCK && strcmp(rows[r].text, opens[i].name) == 0) {
                lua_getfield(L, -1, rows[r].name);
                rows[r].fn = lua_tocfunction(L, -1);
                lua_pop(L, 1);
            }
        }
        if (opens[i].open == luaopen_string) {
            lua_getfield(L, -1, "format");
            stock_format = lua_tocfunction(L, -1);
            TL_ASSERT(stock_format);
            lua_pop(L, 1);
        }
        lua_pop(L, 1);
    }
    lua_pushliteral(L, "");
    TL_ASSERT(lua_getmetatable(L, -1));
    for (int i = 0; i < ARITH_COUNT; i++) {
        lua_getfield(L, -1, arith_names[i]);
        arith[i] = lua_tocfunction(L, -1);
        TL_ASSERT(arith[i]);
        lua_pop(L, 1);
    }
    lua_close(L);
    tl_vm_set_names(push_function_name);
    for (int r = 0; r < ROW_COUNT; r++) {
        TL_ASSERT(rows[r].kind != ROW_STOCK || rows[r].fn);
        TL_ASSERT(r == 0 || rows[r].lib > rows[r - 1].lib ||
                  (rows[r].lib == rows[r - 1].lib && strcmp(rows[r].name, rows[r - 1].name) > 0));
        if (libs[rows[r].lib].last < 0) {
            libs[rows[r].lib].first = r;
        }
        libs[rows[r].lib].last = r;
    }
}

static pthread_once_t rows_once = PTHREAD_ONCE_INIT;

static const struct row *find_row(int lib, const char *name)
{
    int low = libs[lib].first, high = libs[lib].last;
    while (low <= high) {
        int middle = (low + high) / 2, c = strcmp(name, rows[middle].name);
        if (c == 0) {
            return &rows[middle];
        }
        if (c < 0) {
            high = middle - 1;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

lua_CFunction tl_sandbox_stock_format(void)
{
    return stock_format;
}

/* --- what does not exist ---------------------------------------------------------------------- */

/* Raises "X is not available in a workflow: why; use Y". */
static int forbid(lua_State *L, const char *name, const char *hint)
{
    return luaL_error(L, "%s is not available in a workflow: %s", name, hint);
}

static const char *inert_name(lua_State *L)
{
    lua_getiuservalue(L, 1, 1);
    return lua_tostring(L, -1);
}

/* Anything done with an inert object gives it again while loading, and raises while running. */
static void inert_check(lua_State *L)
{
    if (tl_run_of(L)->phase == TL_PHASE_RUN) {
        forbid(L, inert_name(L), "it belongs to the worker or client part of the file");
    }
}

static int inert_index(lua_State *L)
{
    inert_check(L);
    if (lua_type(L, 2) == LUA_TNUMBER) {
        lua_pushnil(L); /* so that ipairs ends */
        return 1;
    }
    lua_settop(L, 1);
    return 1;
}

static int inert_call(lua_State *L)
{
    inert_check(L);
    if (lua_gettop(L) == 3 && lua_isnil(L, 2) && lua_isnil(L, 3)) {
        lua_pushnil(L); /* the first step of a generic for: ends it */
        return 1;
    }
    lua_settop(L, 1);
    return 1;
}

static int inert_same(lua_State *L)
{
    if (!luaL_testudata(L, 1, "temporal.inert")) {
        lua_settop(L, 2);
        lua_insert(L, 1);
    }
    inert_check(L);
    lua_settop(L, 1);
    return 1;
}

static int inert_nothing(lua_State *L)
{
    inert_check(L);
    return 0;
}

static int inert_len(lua_State *L)
{
    inert_check(L);
    lua_pushinteger(L, 0);
    return 1;
}

static int inert_false(lua_State *L)
{
    lua_pushboolean(L, 0);
    return 1;
}

static int inert_text(lua_State *L)
{
    lua_pushliteral(L, "");
    return 1;
}

static int inert_pairs(lua_State *L)
{
    inert_check(L);
    lua_settop(L, 1);
    lua_pushnil(L);
    lua_pushnil(L);
    return 3; /* the object is its own iterator, which ends at once */
}

void tl_sandbox_push_inert(lua_State *L, const char *name)
{
    static const luaL_Reg methods[] = {
        {"__index", inert_index},   {"__newindex", inert_nothing}, {"__call", inert_call},
        {"__close", inert_nothing}, {"__len", inert_len},          {"__lt", inert_false},
        {"__le", inert_false},      {"__concat", inert_text},      {"__tostring", inert_text},
        {"__add", inert_same},      {"__sub", inert_same},         {"__mul", inert_same},
        {"__div", inert_same},      {"__idiv", inert_same},        {"__mod", inert_same},
        {"__unm", inert_same},      {"__pairs", inert_pairs},      {NULL, NULL}};
    lua_newuserdatauv(L, 0, 1);
    lua_pushstring(L, name);
    lua_setiuservalue(L, -2, 1);
    if (luaL_newmetatable(L, "temporal.inert")) {
        luaL_setfuncs(L, methods, 0);
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_setmetatable(L, -2);
}

/* --- protected tables ------------------------------------------------------------------------- */

static void push_value(lua_State *L, int value)
{
    switch ((enum sandbox_value)value) {
    case VALUE_VERSION:
        lua_pushliteral(L, LUA_VERSION);
        break;
    case VALUE_HUGE:
        lua_pushnumber(L, (lua_Number)HUGE_VAL);
        break;
    case VALUE_MAXINTEGER:
        lua_pushinteger(L, LUA_MAXINTEGER);
        break;
    case VALUE_MININTEGER:
        lua_pushinteger(L, LUA_MININTEGER);
        break;
    case VALUE_PI:
        lua_pushnumber(L, 3.141592653589793238462643383279502884);
        break;
    case VALUE_CHARPATTERN:
        lua_pushlstring(L, "[\0-\x7F\xC2-\xFD][\x80-\xBF]*", 14);
        break;
    case VALUE_NULL:
        tl_vm_push_null(L);
        break;
    case VALUE_DEFAULT_VERSION:
        lua_pushinteger(L, TL_DEFAULT_VERSION);
        break;
    }
}

int tl_sandbox_lib_of(lua_State *L, int index)
{
    if (lua_type(L, index) != LUA_TTABLE) {
        return -1;
    }
    const void *p = lua_topointer(L, index);
    struct tl_lua_run *run = tl_run_of(L);
    const struct tl_lua_run *shared = run->bundle ? tl_bundle_code_run(run->bundle) : NULL;
    for (int i = 0; i < TL_LIB_COUNT; i++) {
        if (run->lib_tables[i] == p || (shared && shared->lib_tables[i] == p)) {
            return i;
        }
    }
    return -1;
}

/* Pushes what the host has under a name of io or os, for workflows outside of the sandbox. False, no
 * push: what would end the worker, outlive the run, or change results everywhere stays forbidden. */
static bool push_host(lua_State *L, struct tl_lua_run *run, int lib, const char *name)
{
    static const char *const of_os[] = {"execute", "getenv", "remove", "rename", "tmpname"};
    bool given = lib == TL_LIB_IO && strcmp(name, "popen") != 0;
    for (size_t i = 0; lib == TL_LIB_OS && i < sizeof of_os / sizeof *of_os; i++) {
        given = given || strcmp(name, of_os[i]) == 0;
    }
    if (!given) {
        return false;
    }
    luaL_checkstack(L, 8, NULL);
    tl_slot_push(L, run, TL_SLOT_HOST);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        tl_vm_push_host(L);
        lua_pushvalue(L, -1);
        tl_slot_set(L, run, TL_SLOT_HOST);
    }
    lua_getfield(L, -1, libs[lib].name);
    lua_getfield(L, -1, name);
    lua_replace(L, -3);
    lua_pop(L, 1);
    return true;
}

void tl_sandbox_lookup(lua_State *L, int lib, int key_index)
{
    size_t n = 0;
    const char *name =
        lua_type(L, key_index) == LUA_TSTRING ? lua_tolstring(L, key_index, &n) : NULL;
    const struct row *r = name && strlen(name) == n ? find_row(lib, name) : NULL;
    struct tl_lua_run *run = tl_run_of(L);
    if (!r) {
        lua_pushnil(L);
        return;
    }
    switch ((enum row_kind)r->kind) {
    case ROW_FN:
    case ROW_STOCK:
        lua_pushcfunction(L, r->fn);
        break;
    case ROW_VALUE:
        push_value(L, r->value);
        break;
    case ROW_SUB:
        tl_sandbox_push_lib(L, run, (enum tl_lib)r->value);
        break;
    case ROW_FORBID: {
        if (run->unsandboxed && push_host(L, run, lib, r->name)) {
            break;
        }
        int table_row = lib == TL_LIB_DEBUG ? 21 : lib == TL_LIB_PACKAGE ? 22 : 20;
        if (TL_WITHOUT(table_row)) {
            lua_pushnil(L);
            break;
        }
        char full[64];
        bool global = lib == TL_LIB_G;
        snprintf(full, sizeof full, "%s%s%s", global ? "" : libs[lib].name, global ? "" : ".",
                 r->name);
        if (run->lenient && run->phase != TL_PHASE_RUN) {
            tl_sandbox_push_inert(L, full);
        } else {
            forbid(L, full, r->text);
        }
        break;
    }
    }
}

/* Raises for a name that a library of ours does not have: calling nil would say less. */
static int unknown_name(lua_State *L, int lib)
{
    struct tl_str name = {NULL, 0};
    name.p = tl_sandbox_tostring(L, 2, &name.n);
    struct tl_near near = {.wanted = name, .too_many = name.n / 3 + 2, .fold_case = true};
    for (int r = libs[lib].first; r <= libs[lib].last; r++) {
        if (rows[r].kind != ROW_FORBID) {
            tl_near_look(&near, tl_str(rows[r].name));
        }
    }
    if (near.best.p) {
        return luaL_error(L, "%s has no '%s' (did you mean '%s'?)", libs[lib].name, name.p,
                          near.best.p);
    }
    return luaL_error(L, "%s has no '%s'", libs[lib].name, name.p);
}

static int lib_index(lua_State *L)
{
    int lib = tl_sandbox_lib_of(L, 1);
    if (lib < 0) {
        return 0;
    }
    tl_sandbox_lookup(L, lib, 2);
    struct tl_lua_run *run = tl_run_of(L);
    if (lua_isnil(L, -1) && lib >= TL_LIB_TEMPORAL &&
        !(run->lenient && run->phase != TL_PHASE_RUN)) {
        return unknown_name(L, lib);
    }
    if ((lua_isfunction(L, -1) || lua_istable(L, -1)) && !tl_vm_is_frozen(L, 1)) {
        /* Found without this call from now on; nothing shows that it is cached. */
        lua_pushvalue(L, 2);
        lua_pushvalue(L, -2);
        lua_rawset(L, 1);
    }
    return 1;
}

static int lib_newindex(lua_State *L)
{
    int lib = tl_sandbox_lib_of(L, 1);
    const char *key = tl_sandbox_tostring(L, 2, NULL);
    if (TL_WITHOUT(34)) {
        lua_rawset(L, 1);
        return 0;
    }
    if (lib == TL_LIB_G) {
        return luaL_error(L,
                          "assignment to undeclared global '%s'; use a local, or declare it "
                          "with rawset(_G, \"%s\", value)",
                          key, key);
    }
    return luaL_error(L, "the library %s is read-only (assignment to '%s')",
                      lib >= 0 ? libs[lib].name : "", key);
}

/* workflow.log("...") is workflow.log.info("..."). */
static int lib_call(lua_State *L)
{
    int lib = tl_sandbox_lib_of(L, 1);
    if (lib != TL_LIB_LOG) {
        return luaL_error(L, "attempt to call the library %s", lib >= 0 ? libs[lib].name : "");
    }
    lua_remove(L, 1);
    return tl_lib_log_info(L);
}

void tl_sandbox_push_lib(lua_State *L, struct tl_lua_run *run, enum tl_lib lib)
{
    luaL_checkstack(L, 6, NULL);
    if (lib == TL_LIB_G) {
        lua_pushglobaltable(L);
        return;
    }
    tl_slot_table(L, run, TL_SLOT_LIBS);
    if (lua_rawgeti(L, -1, (lua_Integer)lib) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_newtable(L);
        tl_slot_push(L, run, TL_SLOT_LIB_META);
        lua_setmetatable(L, -2);
        run->lib_tables[lib] = lua_topointer(L, -1);
        lua_pushvalue(L, -1);
        lua_rawseti(L, -3, (lua_Integer)lib);
    }
    lua_remove(L, -2);
}

int tl_sandbox_push_names(lua_State *L, int lib)
{
    int n = 0;
    lua_newtable(L);
    for (int r = libs[lib].first; r <= libs[lib].last; r++) {
        if (rows[r].kind != ROW_FORBID) {
            lua_pushstring(L, rows[r].name);
            lua_rawseti(L, -2, ++n);
        }
    }
    return n;
}

void tl_sandbox_fill(lua_State *L, struct tl_lua_run *run)
{
    for (int lib = 0; lib < TL_LIB_COUNT; lib++) {
        tl_sandbox_push_lib(L, run, (enum tl_lib)lib);
        for (int n = tl_sandbox_push_names(L, lib); n > 0; n--) {
            lua_rawgeti(L, -1, n);
            lua_gettable(L, -3); /* keeps it */
            lua_pop(L, 1);
        }
        lua_pop(L, 2);
    }
}

/* ("x"):upper() without a table of the string library. */
static int string_index(lua_State *L)
{
    tl_sandbox_lookup(L, TL_LIB_STRING, 2);
    return 1;
}

void tl_sandbox_open(lua_State *L, struct tl_lua_run *run)
{
    static const luaL_Reg meta[] = {
        {"__index", lib_index}, {"__newindex", lib_newindex}, {"__call", lib_call}, {NULL, NULL}};
    pthread_once(&rows_once, fill_rows);
    lua_createtable(L, 0, 4);
    luaL_setfuncs(L, meta, 0);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pushglobaltable(L);
    run->lib_tables[TL_LIB_G] = lua_topointer(L, -1);
    lua_pushvalue(L, -2);
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
    tl_slot_set(L, run, TL_SLOT_LIB_META);

    lua_pushliteral(L, "");
    lua_createtable(L, 0, ARITH_COUNT + 2);
    for (int i = 0; i < ARITH_COUNT; i++) {
        lua_pushcfunction(L, arith[i]);
        lua_setfield(L, -2, arith_names[i]);
    }
    lua_pushcfunction(L, string_index);
    lua_setfield(L, -2, "__index");
    if (!TL_WITHOUT(33)) {
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
}
