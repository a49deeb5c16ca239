/* Frozen states: their memory is made read-only after freezing, so that any write to it, by a collector
 * or by a script of the states made on them, ends this test. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "luart/vm/vm.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define POOL_BYTES ((size_t)4 << 20)

/* Memory that is only ever given, from pages of its own. */
struct pool {
    char *base;
    size_t used;
};

static void *pool_alloc(void *ud, void *block, size_t old_size, size_t new_size)
{
    struct pool *p = ud;
    if (new_size == 0 || (block && new_size <= old_size)) {
        return new_size ? block : NULL;
    }
    p->used = (p->used + 15) & ~(size_t)15;
    assert_true(p->used + new_size <= POOL_BYTES);
    void *to = p->base + p->used;
    p->used += new_size;
    if (block) {
        memcpy(to, block, old_size);
    }
    return to;
}

static void *plain_alloc(void *ud, void *block, size_t old_size, size_t new_size)
{
    size_t *bytes = ud;
    *bytes += new_size - (block ? old_size : 0);
    if (new_size == 0) {
        free(block);
        return NULL;
    }
    return realloc(block, new_size);
}

static void open_libraries(lua_State *L)
{
    assert_true(tl_vm_seal(L));
    luaL_requiref(L, LUA_GNAME, luaopen_base, 1);
    luaL_requiref(L, LUA_STRLIBNAME, luaopen_string, 1);
    luaL_requiref(L, LUA_TABLIBNAME, luaopen_table, 1);
    luaL_requiref(L, LUA_COLIBNAME, luaopen_coroutine, 1);
    lua_settop(L, 0);
}

/* A frozen state whose index 1 is the chunk; its memory can only be read. */
static lua_State *freeze(struct pool *p, const char *chunk)
{
    p->base = mmap(NULL, POOL_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    p->used = 0;
    assert_true(p->base != MAP_FAILED);
    lua_State *L = lua_newstate(pool_alloc, p);
    assert_true(tl_vm_seal(L));
    assert_int_equal(luaL_loadbufferx(L, chunk, strlen(chunk), "=module.lua", "t"), LUA_OK);
    tl_vm_freeze(L);
    assert_int_equal(mprotect(p->base, POOL_BYTES, PROT_READ), 0);
    return L;
}

static void release(struct pool *p)
{
    munmap(p->base, POOL_BYTES);
}

/* Runs the frozen chunk; its value is left at index 1. */
static void run_chunk(lua_State *L, lua_State *frozen)
{
    tl_vm_push_frozen(L, frozen, 1);
    if (lua_pcall(L, 0, 1, 0) != LUA_OK) {
        fail_msg("%s", lua_tostring(L, -1));
    }
}

/* The text of what module.name(text) returns. */
static const char *call(lua_State *L, const char *name, const char *text)
{
    lua_settop(L, 1);
    lua_getfield(L, 1, name);
    lua_pushstring(L, text);
    if (lua_pcall(L, 1, 1, 0) != LUA_OK) {
        return lua_tostring(L, -1);
    }
    return luaL_tolstring(L, -1, NULL);
}

#define LONG_TEXT "a text of more than forty characters is never interned by the VM"

static const char module[] =
    "local M, count = {}, 0\n"
    "function M.step() count = count + 1 return count end\n"
    "function M.is_word(s) return s == 'word' and ({word = 'found'})[s] end\n"
    "function M.long(s)\n"
    "  local t = {['" LONG_TEXT "'] = 'found'}\n"
    "  return s == '" LONG_TEXT "' and t[s] and t[s .. ''] and ({[s] = 1})['" LONG_TEXT "']\n"
    "end\n"
    "function M.fails() error('boom') end\n"
    "function M.load(s) return load(s)() end\n"
    "function M.global(s) shared_name = s return shared_name end\n"
    "function M.garbage()\n"
    "  local t = setmetatable({}, {__index = function(_, k) return k .. '!' end})\n"
    "  for i = 1, 2000 do t[i % 50] = {('x'):rep(i % 60), function() return t, i end} end\n"
    "  local co = coroutine.wrap(function() for i = 1, 100 do coroutine.yield(t[i] and i or i) end "
    "end)\n"
    "  for _ = 1, 100 do co() end\n"
    "  collectgarbage() collectgarbage('generational') collectgarbage() "
    "collectgarbage('incremental')\n"
    "  return t.word .. #t\n"
    "end\n"
    "return M\n";

static void test_strings_of_both_sides_are_the_same(void **unused)
{
    (void)unused;
    struct pool p;
    size_t bytes = 0;
    lua_State *frozen = freeze(&p, module);
    lua_State *L = tl_vm_newstate(plain_alloc, &bytes, frozen);
    open_libraries(L);
    run_chunk(L, frozen);
    assert_string_equal(call(L, "is_word", "word"), "found");
    assert_string_equal(call(L, "is_word", "words"), "false");
    assert_string_equal(call(L, "long", LONG_TEXT), "1");
    /* Made of parts, and by the lexer of a script that the run loads itself. */
    assert_string_equal(call(L, "load", "return ('wo' .. 'rd') == 'word' and #'word'"), "4");
    assert_string_equal(call(L, "load", "if not nil then return 'reserved words are words' end"),
                        "reserved words are words");
    assert_string_equal(
        call(L, "load",
             "local w = setmetatable({}, {__tostring = function() return 'meta' end}) "
             "return tostring(w)"),
        "meta");
    lua_close(L);
    release(&p);
}

static size_t refused_from = SIZE_MAX;

static void *scarce_alloc(void *ud, void *block, size_t old_size, size_t new_size)
{
    size_t *bytes = ud, used = block ? old_size : 0;
    return *bytes - used + new_size > refused_from && new_size > used
               ? NULL
               : plain_alloc(ud, block, old_size, new_size);
}

static void test_the_message_of_memory_is_one_string_too(void **unused)
{
    (void)unused;
    struct pool p;
    size_t bytes = 0;
    refused_from = SIZE_MAX;
    lua_State *frozen =
        freeze(&p, "local _, e = pcall(string.rep, 'x', 1 << 20)\n"
                   "return {is = function() return e == 'not enough memory' end}\n");
    lua_State *L = tl_vm_newstate(scarce_alloc, &bytes, frozen);
    open_libraries(L);
    refused_from = (size_t)1 << 18;
    run_chunk(L, frozen);
    refused_from = SIZE_MAX;
    assert_string_equal(call(L, "is", ""), "true");
    lua_close(L);
    release(&p);
}

static void test_each_state_has_values_of_its_own(void **unused)
{
    (void)unused;
    struct pool p;
    size_t bytes[2] = {0, 0};
    lua_State *frozen = freeze(&p, module), *L[2];
    for (int i = 0; i < 2; i++) {
        L[i] = tl_vm_newstate(plain_alloc, &bytes[i], frozen);
        open_libraries(L[i]);
        run_chunk(L[i], frozen);
    }
    assert_string_equal(call(L[0], "step", ""), "1");
    assert_string_equal(call(L[0], "step", ""), "2");
    assert_string_equal(call(L[1], "step", ""), "1");
    assert_string_equal(call(L[0], "global", "mine"), "mine");
    lua_getglobal(L[0], "shared_name");
    assert_string_equal(lua_tostring(L[0], -1), "mine");
    lua_getglobal(L[1], "shared_name");
    assert_true(lua_isnil(L[1], -1));
    for (int i = 0; i < 2; i++) {
        lua_close(L[i]);
        assert_int_equal(bytes[i], 0); /* nothing of the frozen state is freed, all else is */
    }
    release(&p);
}

static void test_errors_have_their_lines(void **unused)
{
    (void)unused;
    struct pool p;
    size_t bytes = 0;
    lua_State *frozen = freeze(&p, module);
    lua_State *L = tl_vm_newstate(plain_alloc, &bytes, frozen);
    lua_Debug ar;
    open_libraries(L);
    run_chunk(L, frozen);
    assert_string_equal(call(L, "fails", ""), "module.lua:8: boom");
    lua_getfield(L, 1, "long");
    lua_getinfo(L, ">S", &ar);
    assert_int_equal(ar.linedefined, 4);
    assert_string_equal(ar.short_src, "module.lua");
    lua_close(L);
    release(&p);
}

static void *collect_and_run(void *arg)
{
    lua_State *frozen = arg;
    for (int i = 0; i < 5; i++) {
        size_t bytes = 0;
        lua_State *L = tl_vm_newstate(plain_alloc, &bytes, frozen);
        open_libraries(L);
        run_chunk(L, frozen);
        assert_string_equal(call(L, "garbage", ""), "word!49");
        lua_gc(L, LUA_GCCOLLECT);
        assert_string_equal(call(L, "is_word", "word"), "found");
        lua_close(L);
        assert_int_equal(bytes, 0);
    }
    return NULL;
}

static void test_collectors_and_threads_only_read(void **unused)
{
    (void)unused;
    struct pool p;
    pthread_t threads[3];
    lua_State *frozen = freeze(&p, module);
    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, collect_and_run, frozen), 0);
    }
    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
        pthread_join(threads[i], NULL);
    }
    release(&p);
}

/* As freeze, with the value of the chunk at index 1. */
static lua_State *freeze_value(struct pool *p, const char *chunk)
{
    p->base = mmap(NULL, POOL_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    p->used = 0;
    assert_true(p->base != MAP_FAILED);
    lua_State *L = lua_newstate(pool_alloc, p);
    open_libraries(L);
    assert_int_equal(luaL_loadbufferx(L, chunk, strlen(chunk), "=module.lua", "t"), LUA_OK);
    lua_call(L, 0, 1);
    tl_vm_freeze(L);
    assert_int_equal(mprotect(p->base, POOL_BYTES, PROT_READ), 0);
    return L;
}

static const char values[] =
    "local base = {}\n"
    "base.__index = base\n"
    "function base.hello(self) return 'hello ' .. self.name end\n"
    "local shared = setmetatable({ name = 'shared', list = {3, 1, 2}, deep = { er = { 7 } },\n"
    "  ['" LONG_TEXT "'] = 5, [1.5] = 'half', [true] = 'yes' }, base)\n"
    "shared.base, shared.none = base, setmetatable({}, {})\n"
    "function shared.set() shared.name = 'x' end\n"
    "function shared.adder(n) return function(m) return n + m + #shared.list end end\n"
    "return shared\n";

/* Runs `code` with the shared value as its argument; the text of its result. */
static const char *with_value(lua_State *L, lua_State *frozen, const char *code)
{
    lua_settop(L, 0);
    assert_int_equal(luaL_loadbufferx(L, code, strlen(code), "=run", "t"), LUA_OK);
    tl_vm_push_shared(L, frozen, 1);
    lua_pcall(L, 1, 1, 0);
    return luaL_tolstring(L, -1, NULL);
}

static void test_values_are_shared_and_read(void **unused)
{
    static const char *const rows[][2] = {
        {"local s = ... return s.name .. #s.list .. s.list[3] .. s.deep.er[1] .. s[1.5] .. s[true]",
         "shared327halfyes"},
        {"local s = ... return s['" LONG_TEXT "'] + #s.none .. tostring(s.none.x)", "5nil"},
        {"local s = ... return s:hello()", "hello shared"},
        {"local s = ... return s.adder(10)(1)", "14"},
        {"local s = ... return setmetatable({name = 'mine'}, s.base):hello()", "hello mine"},
        {"local s = ... local o = setmetatable({}, s.base) o.name = 'new' return o:hello()",
         "hello new"},
        {"local s = ... local t = {} for _, v in ipairs(s.list) do t[#t + 1] = v end table.sort(t) "
         "return table.concat(t)",
         "123"},
        {"local s = ... local t = {[s] = 'key', v = s} collectgarbage() collectgarbage() "
         "collectgarbage('generational') for i = 1, 1000 do t[i] = {s, s.list} end "
         "collectgarbage() "
         "return t[s] .. t.v.name",
         "keyshared"},
    };
    (void)unused;
    struct pool p;
    size_t bytes = 0;
    lua_State *frozen = freeze_value(&p, values);
    lua_State *L = tl_vm_newstate(plain_alloc, &bytes, frozen);
    open_libraries(L);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_string_equal(with_value(L, frozen, rows[i][0]), rows[i][1]);
    }
    tl_vm_push_shared(L, frozen, 1);
    assert_true(tl_vm_is_frozen(L, -1));
    lua_newtable(L);
    assert_false(tl_vm_is_frozen(L, -1));
    lua_close(L);
    assert_int_equal(bytes, 0);
    release(&p);
}

#define REFUSED "attempt to change a table that is shared by all runs (of a pass-through module)"

static void test_shared_tables_cannot_be_written(void **unused)
{
    static const char *const writes[] = {
        "s.name = 'x'",
        "s.new = 'x'",
        "s.list[1] = 9",
        "s.list[4] = 9",
        "s[s.name] = nil",
        "s[1.5] = nil",
        "s['" LONG_TEXT "'] = nil",
        "s.base.__newindex = print",
        "table.insert(s.list, 4)",
        "table.remove(s.list)",
        "table.sort(s.list)",
        "rawset(s, 'name', 1)",
        "rawset(s, 'new', 1)",
        "rawset(s.list, 1, 1)",
        "setmetatable(s.list, {})",
        "setmetatable({}, {__newindex = s}).name = 2",
    };
    (void)unused;
    struct pool p;
    size_t bytes = 0;
    char code[300];
    lua_State *frozen = freeze_value(&p, values);
    lua_State *L = tl_vm_newstate(plain_alloc, &bytes, frozen);
    open_libraries(L);
    for (size_t i = 0; i < sizeof writes / sizeof *writes; i++) {
        snprintf(code, sizeof code, "local s = ...\n\n%s\nreturn 'written'", writes[i]);
        assert_string_equal(with_value(L, frozen, code), "run:3: " REFUSED);
    }
    assert_string_equal(with_value(L, frozen, "(...).set()"), "module.lua:7: " REFUSED);
    assert_string_equal(with_value(L, frozen, "local s = ... return s.name .. #s.list"), "shared3");
    lua_close(L);
    release(&p);
}

static void test_functions_that_keep_state_are_seen(void **unused)
{
    static const struct {
        const char *code;
        int assigned; /* upvalue, 0: none */
    } rows[] = {
        {"local n = 0 return function() n = n + 1 return n end", 1},
        {"local n, m = 0, 1 return function() local k = n return function() m = k end end", 2},
        {"local n = 0 local function get() return n end n = 5 return get", 0},
        {"local function fact(n) return n < 2 and 1 or n * fact(n - 1) end return fact", 0},
        {"local n = 0 return function() local n = n n = n + 1 return n end", 0},
        {"return function() x = 1 end", 0},
    };
    (void)unused;
    size_t bytes = 0;
    lua_State *L = tl_vm_newstate(plain_alloc, &bytes, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int found = 0;
        lua_settop(L, 0);
        assert_int_equal(luaL_loadstring(L, rows[i].code), LUA_OK);
        lua_call(L, 0, 1);
        for (int u = 1; lua_getupvalue(L, 1, u); u++) {
            found = tl_vm_assigns_upvalue(L, 1, u) ? u : found;
        }
        assert_int_equal(found, rows[i].assigned);
    }
    lua_close(L);
}

static void test_code_costs_a_state_nothing(void **unused)
{
    (void)unused;
    size_t bytes[2] = {0, 0};
    const char *sizes[2] = {"return 1", NULL};
    /* 300 functions inside one that is not called. */
    char *large = malloc(64 << 10), *end = large;
    end = stpcpy(end, "local function unused()\n");
    for (int i = 0; i < 300; i++) {
        end +=
            snprintf(end, 100,
                     "do local function f() return self.field_%d .. 'constant %d' end end\n", i, i);
    }
    stpcpy(end, "end\nreturn 1");
    sizes[1] = large;
    for (int i = 0; i < 2; i++) {
        struct pool p;
        lua_State *frozen = freeze(&p, sizes[i]);
        lua_State *L = tl_vm_newstate(plain_alloc, &bytes[i], frozen);
        open_libraries(L);
        run_chunk(L, frozen);
        lua_gc(L, LUA_GCCOLLECT);
        assert_true(i == 0 || p.used > 60000);
        size_t held = bytes[i];
        lua_close(L);
        bytes[i] = held;
        release(&p);
    }
    free(large);
    assert_true(bytes[1] < bytes[0] + 200); /* a closure */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strings_of_both_sides_are_the_same),
        cmocka_unit_test(test_the_message_of_memory_is_one_string_too),
        cmocka_unit_test(test_each_state_has_values_of_its_own),
        cmocka_unit_test(test_errors_have_their_lines),
        cmocka_unit_test(test_collectors_and_threads_only_read),
        cmocka_unit_test(test_values_are_shared_and_read),
        cmocka_unit_test(test_shared_tables_cannot_be_written),
        cmocka_unit_test(test_functions_that_keep_state_are_seen),
        cmocka_unit_test(test_code_costs_a_state_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
