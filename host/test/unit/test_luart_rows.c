/* The determinism table of docs/determinism.md, row by row: each case fails when its mitigation is
 * taken away (`./dev test sandbox --without ROW` proves that, with the build that can). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/german_locale.h"
#include "../support/lua_rig.h"
#include "base/world.h"
#include "luart/vm/vm.h"
#include "worker/worker.h"

/* The body of a workflow without input gives exactly this text (or, after '~', holds it). */
static void expect(const char *body, const char *wanted)
{
    struct lua_rig r;
    const char *text = lua_rig_body(&r, body);
    bool fits = wanted[0] == '~' ? strstr(text, wanted + 1) != NULL : strcmp(text, wanted) == 0;
    if (!fits) {
        fail_msg("%s\ngives  %s\nwanted %s", body, text, wanted);
    }
    lua_rig_close(&r);
}

/* "return workflow.define('W', function(...) BODY end)" opened, and started with its first job. */
static void start_body(struct lua_rig *r, const char *body)
{
    char source[4096];
    snprintf(source, sizeof source,
             "local workflow = require 'temporal.workflow'\n"
             "return workflow.define('W', function(...) %s\nend)",
             body);
    lua_rig_open(r, source);
    lua_rig_start(r, "W", NULL);
}

#define KEYS_OF                                                                                    \
    "local s = {} for k in pairs(t) do s[#s + 1] = tostring(k) end return table.concat(s, ' ')"

/* --- the order of tables ------------------------------------------------------------------------ */

static void row_01_short_string_keys(void **state)
{
    (void)state;
    expect("local t = { h = 1, c = 1, a = 1, g = 1, e = 1, b = 1, f = 1, d = 1 } " KEYS_OF,
           "complete(\"a b c d e f g h\")");
}

static void row_02_long_string_keys(void **state)
{
    (void)state;
    expect("local t = {} for c in ('hcagebfd'):gmatch('.') do t[c:rep(50)] = c end "
           "local s = '' for _, v in pairs(t) do s = s .. v end return s",
           "complete(\"abcdefgh\")");
}

static void row_03_object_keys(void **state)
{
    (void)state;
    expect("local t = { [{}] = 1, [{}] = 2 } for k, v in pairs(t) do return v end",
           "~cannot traverse a table that has a table as key");
}

static void row_04_function_keys(void **state)
{
    (void)state;
    expect("local t = { [print] = 1, [pairs] = 2 } for k, v in pairs(t) do return v end",
           "~cannot traverse a table that has a function as key");
}

static void row_05_mixed_keys(void **state)
{
    (void)state;
    expect("local t = { [7] = 1, [9] = 2, [coroutine.create(print)] = 3 } "
           "for k, v in next, t do return v end",
           "~cannot traverse a table that has a thread as key");
}

static void row_06_insertion_history(void **state)
{
    (void)state;
    expect("local keys = { 114, 142, 135, 128, 107, 121, 100 } "
           "local up, down, grown = {}, {}, {} "
           "for i = 1, #keys do up[keys[i]] = 1 down[keys[#keys + 1 - i]] = 1 end "
           "for i = 1, 500 do grown[i] = 1 end for i = 1, 500 do grown[i] = nil end "
           "for i = 1, #keys do grown[keys[i]] = 1 end "
           "local out = {} for _, t in ipairs { up, down, grown } do local s = {} "
           "for k in pairs(t) do s[#s + 1] = k end out[#out + 1] = table.concat(s, ',') end "
           "return out[1], out[1] == out[2], out[2] == out[3]",
           "complete(\"100,107,114,121,128,135,142\",true,true)");
}

static void row_07_preallocation(void **state)
{
    (void)state;
    expect("local json = require 'temporal.json' "
           "local decoded = json.decode('{\"c\":1,\"b\":1,\"a\":1,\"e\":1,\"d\":1}') "
           "local literal = { a = 1, b = 1, c = 1, d = 1, e = 1 } "
           "local added = {} for _, k in ipairs { 'e', 'd', 'c', 'b', 'a' } do added[k] = 1 end "
           "local out = {} for _, t in ipairs { decoded, literal, added } do local s = '' "
           "for k in pairs(t) do s = s .. k end out[#out + 1] = s end "
           "return table.concat(out, ' ')",
           "complete(\"abcde abcde abcde\")");
}

static void row_08_collections(void **state)
{
    (void)state;
    /* Garbage between the steps makes collections fall where the memory limit puts them. */
    static const char body[] =
        "local t, seed = {}, 1 "
        "for i = 1, 4000 do seed = (seed * 1103515245 + 12345) % 2147483648 "
        "local k = 'key' .. seed % 97 if seed % 3 == 0 then t[k] = nil else t[k] = i end "
        "local waste = ('x'):rep(seed % 300) .. i end "
        "local s = {} for k in pairs(t) do s[#s + 1] = k end "
        "for i = 2, #s do if s[i - 1] >= s[i] then return 'out of order' end end return #s > 20";
    for (size_t kb = 300; kb <= 1200; kb += 300) {
        struct lua_rig r;
        start_body(&r, "return 1");
        lua_rig_close(&r);
        char source[2048];
        snprintf(source, sizeof source,
                 "return require('temporal.workflow').define('W', function() %s\nend)", body);
        lua_rig_open(&r, source);
        r.config.memory_bytes_max = kb << 10;
        lua_rig_start(&r, "W", NULL);
        assert_string_equal(lua_rig_step(&r), "complete(true)");
        lua_rig_close(&r);
    }
}

static void row_09_borders(void **state)
{
    (void)state;
    /* #t against its definition: doubling from 1 to the first hole, then bisecting. */
    expect("local function border(t) local low, high = 0, 1 "
           "while t[high] ~= nil do low = high high = high * 2 end "
           "while high - low > 1 do local m = (low + high) // 2 "
           "if t[m] ~= nil then low = m else high = m end end return low end "
           "local seed, wrong = 1, 0 "
           "for p = 1, 1500 do local t = {} for i = 1, 12 do "
           "seed = (seed * 1103515245 + 12345) % 2147483648 "
           "local k = seed // 7 % 8 + 1 if seed // 1000 % 3 == 0 then t[k] = nil else t[k] = i end "
           "end "
           "if #t ~= border(t) then wrong = wrong + 1 end end return wrong",
           "complete(0)");
}

static void row_10_sorting(void **state)
{
    (void)state;
    expect("local t = {} for i = 1, 400 do t[i] = { i % 3, i } end "
           "table.sort(t, function(a, b) return a[1] < b[1] end) "
           "for i = 2, 400 do if t[i - 1][1] == t[i][1] and t[i - 1][2] > t[i][2] then "
           "return 'ties moved' end end return 'stable'",
           "complete(\"stable\")");
}

static void row_11_invalid_comparators(void **state)
{
    (void)state;
    expect("local t = {} for i = 1, 200 do t[i] = i % 7 end "
           "return pcall(table.sort, t, function() return true end)",
           "complete(true)");
}

static void row_37_fields_added_in_a_loop(void **state)
{
    (void)state;
    expect("local t, s = { a = 1, b = 2, c = 3 }, '' for k in pairs(t) do s = s .. k "
           "for i = 1, 40 do t[k .. i] = i end t[k] = nil end return s",
           "complete(\"abc\")");
}

/* --- text --------------------------------------------------------------------------------------- */

static void row_12_text_of_objects(void **state)
{
    (void)state;
    expect("local a, b = {}, {} return tostring(b), tostring(a), tostring(b), "
           "string.format('%s', print)",
           "complete(\"table: #1\",\"table: #2\",\"table: #1\",\"function: #3\")");
    expect("return string.format('%p', {})", "~%p");
}

static void row_13_places_in_messages(void **state)
{
    (void)state;
    expect("return select(2, pcall(error, 'x', 2)), select(2, pcall(function() error('y') end))",
           "complete(\"main.lua:1: x\",\"main.lua:1: y\")");
}

static void row_14_collector_figures(void **state)
{
    (void)state;
    expect("local n = collectgarbage('count') local t = {} for i = 1, 1000 do t[i] = {} end "
           "return n, collectgarbage('count'), collectgarbage()",
           "complete(0,0,0)");
}

static void row_15_finalizers(void **state)
{
    (void)state;
    expect("return setmetatable({}, { __gc = print })",
           "~__gc is not available in a workflow: when it acts depends on the garbage collector");
    expect("local mt = { __index = {} } local n = 0 setmetatable({}, mt) "
           "mt.__gc = function() n = n + 1 end setmetatable({}, { __index = mt }) "
           "for i = 1, 3000 do local x = setmetatable({}, { __close = print }) end return n",
           "complete(0)");
}

static void row_16_weak_tables(void **state)
{
    (void)state;
    expect("return setmetatable({}, { __mode = 'k' })", "~__mode is not available in a workflow");
    expect("local mt = {} local t = setmetatable({}, mt) mt.__mode = 'kv' "
           "for i = 1, 500 do t[i] = {} end local junk "
           "for i = 1, 20000 do junk = { i } end local n = 0 for _ in pairs(t) do n = n + 1 end "
           "return n",
           "complete(500)");
}

static void row_17_eviction_runs_no_code(void **state)
{
    struct lua_rig r;
    (void)state;
    start_body(&r,
               "local x <close> = setmetatable({}, { __close = function() print('closed') end }) "
               "workflow.sleep(5) print('slept') return 1");
    assert_string_equal(lua_rig_step(&r), "timer 1 5s");
    lua_rig_evict(&r);
    assert_string_equal(r.log, "");
    lua_rig_start(&r, "W", NULL);
    lua_rig_step(&r);
    lua_rig_timer(&r, 1);
    assert_string_equal(lua_rig_step(&r), "complete(1)");
    assert_string_equal(r.log, "slept\nclosed\n");
    lua_rig_close(&r);
}

/* --- chance and time ---------------------------------------------------------------------------- */

static void row_18_random_numbers(void **state)
{
    static const char body[] = "return math.random(1000000), math.random(1000000), math.random(0)";
    char first[200];
    struct lua_rig r;
    (void)state;
    start_body(&r, body);
    snprintf(first, sizeof first, "%s", lua_rig_step(&r));
    lua_rig_close(&r);
    expect(body, first);
    expect("math.randomseed(1)", "~math.randomseed is not available in a workflow");
}

static void row_19_clock(void **state)
{
    (void)state;
    setenv("TZ", "America/New_York", 1);
    expect("return os.time(), os.date('%Y-%m-%d %H:%M:%S'), "
           "os.time { year = 2024, month = 7, day = 2, hour = 0 }",
           "complete(1700000000,\"2023-11-14 22:13:20\",1719878400)");
    unsetenv("TZ");
}

static void row_20_doors_to_the_machine(void **state)
{
    static const char *const doors[] = {"io.open", "io.popen",   "os.getenv", "os.execute",
                                        "os.exit", "os.tmpname", "dofile",    "loadfile"};
    (void)state;
    for (size_t i = 0; i < sizeof doors / sizeof *doors; i++) {
        char body[64], wanted[96];
        snprintf(body, sizeof body, "return %s('x')", doors[i]);
        snprintf(wanted, sizeof wanted, "~%s is not available in a workflow", doors[i]);
        expect(body, wanted);
    }
}

static void row_21_debug(void **state)
{
    (void)state;
    expect("return debug.getregistry()", "~debug.getregistry is not available in a workflow");
    expect("return debug.sethook()", "~debug.sethook is not available in a workflow");
    expect("return debug.getupvalue(print, 1)", "~debug.getupvalue is not available in a workflow");
}

static void row_22_packages(void **state)
{
    (void)state;
    expect("return package.loadlib('x', '*')", "~package.loadlib is not available in a workflow");
    expect("return package.path", "~package.path is not available in a workflow");
    expect("return require('socket')", "~module 'socket'");
}

static void row_23_binary_chunks(void **state)
{
    (void)state;
    expect("return load('\\27Lua damaged')", "~attempt to load a binary chunk");
    expect("return load('return 1', 'x', 'b')", "~source text only");
}

/* --- budgets ------------------------------------------------------------------------------------ */

static void row_24_functions_that_compute(void **state)
{
    (void)state;
    expect("return ('a'):rep(70):find('.-.-.-.-b')", "~potential deadlock");
    expect("local t = {} return table.move(t, 1, 5000000, 2)", "~potential deadlock");
    expect("return pcall(string.rep, 'x', 1 << 40)", "~resulting string too large");
}

static void row_25_budget_cannot_be_caught(void **state)
{
    (void)state;
    expect("pcall(function() while true do end end) return 'survived'", "~potential deadlock");
}

static void row_26_budget_holds_in_coroutines(void **state)
{
    (void)state;
    expect("coroutine.wrap(function() for i = 1, 9000000 do end end)() return 'done'",
           "~potential deadlock");
}

static void row_27_memory_cannot_be_caught(void **state)
{
    struct lua_rig r;
    (void)state;
    start_body(&r, "return 1");
    lua_rig_close(&r);
    lua_rig_open(&r, "return require('temporal.workflow').define('W', function() "
                     "local kept = {} pcall(function() while true do "
                     "kept[#kept + 1] = ('x'):rep(10000) .. #kept end end) "
                     "return 'still running' end)");
    r.config.steps_max = 0;
    r.config.memory_bytes_max = 2 << 20;
    lua_rig_start(&r, "W", NULL);
    const char *text = lua_rig_step(&r);
    if (!strstr(text, "the workflow needs more memory than its limit")) {
        fail_msg("%s", text);
    }
    assert_int_equal(lua_rig_rc(&r), TL_EMEMORY);
    lua_rig_close(&r);
}

static void row_28_stack_depth(void **state)
{
    /* How deep C calls may nest does not depend on what the thread did before. */
    char first[64] = "";
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct lua_rig r;
        start_body(&r, "local function deep(n) local ok, m = pcall(deep, n + 1) "
                       "return ok and m or n end local at_start = deep(0) workflow.sleep(1) "
                       "return at_start, deep(0)");
        assert_string_equal(lua_rig_step(&r), "timer 1 1s");
        lua_rig_timer(&r, 1);
        if (i == 0) {
            snprintf(first, sizeof first, "%s", lua_rig_step(&r));
            assert_non_null(strstr(first, "complete(1"));
        } else {
            assert_string_equal(lua_rig_step(&r), first);
        }
        lua_rig_close(&r);
    }
}

/* --- numbers ------------------------------------------------------------------------------------ */

static void row_29_locale(void **state)
{
    (void)state;
    if (!tl_enter_german_locale(TL_BUILD_DIR)) {
        skip(); /* no localedef or no locale sources on this machine */
    }
    expect("return tostring(1.5), tonumber('1.5'), tostring(tonumber('1,5')), 'a' < 'B', "
           "('%.1f'):format(2.5)",
           "complete(\"1.5\",1.5,\"nil\",false,\"2.5\")");
    setlocale(LC_ALL, "C");
}

static void row_30_mathematics(void **state)
{
    (void)state;
    /* A digest of 600 results, correctly rounded; a libm misses some by a unit in the last place. */
    expect(
        "local h = 0 for i = 1, 600 do local x = i * 0.37 "
        "for _, v in ipairs { math.sin(x), math.cos(x), math.tan(x), math.exp(x / 9), "
        "math.log(x), x ^ 1.7, math.atan(x, 3), math.log(x, 10) } do "
        "local s = string.format('%a', v) for j = 1, #s do h = (h * 31 + s:byte(j)) % 4294967291 "
        "end end end return h",
        "complete(2411935100)");
}

static void row_31_nan(void **state)
{
    (void)state;
    expect("local z = 0.0 return tostring(z / z), tostring(-(z / z)), "
           "string.format('%f', z / z), string.pack('<d', z / z):byte(8)",
           "complete(\"nan\",\"nan\",\"nan\",127)");
}

static void row_32_integers(void **state)
{
    (void)state;
    expect("return math.mininteger // -1 == math.mininteger, math.maxinteger + 0.0 == "
           "math.maxinteger, 1 == 1.0, ({ [1] = 'x' })[1.0], tostring(1 // 0.0), 7 // -2, 7 % -2",
           "complete(true,false,true,\"x\",\"inf\",-4,-1)");
    expect("return 1 // 0", "~attempt to divide by zero");
    expect("return ('%d'):format(3.5)", "~number has no integer representation");
}

/* --- shared state ------------------------------------------------------------------------------- */

static void row_33_string_metatable(void **state)
{
    (void)state;
    expect("return getmetatable('')", "complete(false)");
    expect("getmetatable('').__index = {} ", "~attempt to index a boolean value");
}

static void row_34_globals_and_modules(void **state)
{
    struct lua_rig r;
    (void)state;
    expect("counter = 1", "~assignment to undeclared global 'counter'");
    lua_rig_open_many(&r, "main",
                      "local n = require 'count' return require('temporal.workflow').define('W', "
                      "function() n.count = n.count + 1 return n.count end)",
                      "count", "return { count = 0 }", NULL);
    for (int i = 0; i < 3; i++) {
        lua_rig_start(&r, "W", NULL);
        assert_string_equal(lua_rig_step(&r), "complete(1)");
        lua_rig_evict(&r);
    }
    lua_rig_close(&r);
}

static void row_35_raw_access(void **state)
{
    (void)state;
    expect("rawset(string, 'upper', print)", "~the sandbox's own tables are read-only");
    expect("rawset(_G, 'pairs', print)", "~the sandbox's own tables are read-only");
}

static void row_36_waits_pass_through_coroutines(void **state)
{
    struct lua_rig r;
    (void)state;
    start_body(&r, "local gen = coroutine.wrap(function() for i = 1, 2 do workflow.sleep(i) "
                   "coroutine.yield(i * 10) end end) return gen(), gen()");
    assert_string_equal(lua_rig_step(&r), "timer 1 1s");
    lua_rig_timer(&r, 1);
    assert_string_equal(lua_rig_step(&r), "timer 2 2s");
    lua_rig_timer(&r, 2);
    assert_string_equal(lua_rig_step(&r), "complete(10,20)");
    lua_rig_close(&r);
}

static void row_38_print_is_silent_on_replay(void **state)
{
    struct lua_rig r;
    (void)state;
    start_body(&r, "print('one') workflow.sleep(1) print('two')");
    r.replaying = true;
    assert_string_equal(lua_rig_step(&r), "timer 1 1s");
    assert_string_equal(r.log, "");
    r.replaying = false;
    lua_rig_timer(&r, 1);
    lua_rig_step(&r);
    assert_string_equal(r.log, "two\n");
    lua_rig_close(&r);
}

static void row_39_queries_leave_no_trace(void **state)
{
    static const char body[] =
        "workflow.set_query_handler('draw', function() local t = {} for i = 1, 9 do "
        "t[i] = tostring({}) .. math.random(100) end return #t end) "
        "workflow.sleep(1) return math.random(1000000), tostring({})";
    char without_query[200];
    struct lua_rig r;
    (void)state;
    for (int pass = 0; pass < 2; pass++) {
        start_body(&r, body);
        lua_rig_step(&r);
        if (pass == 1) {
            assert_string_equal(lua_rig_query(&r, "draw", NULL), "9");
        }
        lua_rig_timer(&r, 1);
        const char *text = lua_rig_step(&r);
        if (pass == 0) {
            snprintf(without_query, sizeof without_query, "%s", text);
        }
        assert_string_equal(text, without_query);
        lua_rig_close(&r);
    }
}

static void row_40_builds(void **state)
{
    static const char *const sources[] = {
        "return require('temporal.workflow').define('W', function() return 1 end)",
        "return require('temporal.workflow').define('W', function() return 2 end)",
        "return require('temporal.workflow').define('W', function() return 1 end)"};
    char digests[3][65];
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct lua_rig r;
        lua_rig_open(&r, sources[i]);
        tl_worker_bundle_digest(r.bundle, digests[i]);
        lua_rig_close(&r);
    }
    assert_string_equal(digests[0], digests[2]);
    assert_string_not_equal(digests[0], digests[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(row_01_short_string_keys),
        cmocka_unit_test(row_02_long_string_keys),
        cmocka_unit_test(row_03_object_keys),
        cmocka_unit_test(row_04_function_keys),
        cmocka_unit_test(row_05_mixed_keys),
        cmocka_unit_test(row_06_insertion_history),
        cmocka_unit_test(row_07_preallocation),
        cmocka_unit_test(row_08_collections),
        cmocka_unit_test(row_09_borders),
        cmocka_unit_test(row_10_sorting),
        cmocka_unit_test(row_11_invalid_comparators),
        cmocka_unit_test(row_12_text_of_objects),
        cmocka_unit_test(row_13_places_in_messages),
        cmocka_unit_test(row_14_collector_figures),
        cmocka_unit_test(row_15_finalizers),
        cmocka_unit_test(row_16_weak_tables),
        cmocka_unit_test(row_17_eviction_runs_no_code),
        cmocka_unit_test(row_18_random_numbers),
        cmocka_unit_test(row_19_clock),
        cmocka_unit_test(row_20_doors_to_the_machine),
        cmocka_unit_test(row_21_debug),
        cmocka_unit_test(row_22_packages),
        cmocka_unit_test(row_23_binary_chunks),
        cmocka_unit_test(row_24_functions_that_compute),
        cmocka_unit_test(row_25_budget_cannot_be_caught),
        cmocka_unit_test(row_26_budget_holds_in_coroutines),
        cmocka_unit_test(row_27_memory_cannot_be_caught),
        cmocka_unit_test(row_28_stack_depth),
        cmocka_unit_test(row_29_locale),
        cmocka_unit_test(row_30_mathematics),
        cmocka_unit_test(row_31_nan),
        cmocka_unit_test(row_32_integers),
        cmocka_unit_test(row_33_string_metatable),
        cmocka_unit_test(row_34_globals_and_modules),
        cmocka_unit_test(row_35_raw_access),
        cmocka_unit_test(row_36_waits_pass_through_coroutines),
        cmocka_unit_test(row_37_fields_added_in_a_loop),
        cmocka_unit_test(row_38_print_is_silent_on_replay),
        cmocka_unit_test(row_39_queries_leave_no_trace),
        cmocka_unit_test(row_40_builds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
