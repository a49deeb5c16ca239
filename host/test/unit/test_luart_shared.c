/* Pass-through modules: evaluated once, shared by all runs of a bundle, read-only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../support/lua_rig.h"

#define DEFINE(body)                                                                               \
    "local shared = require('shared') "                                                            \
    "return require('temporal.workflow').define('W', function(...) " body " end)"

static const char *const passed[] = {"shared", NULL};

/* A bundle of the workflow "main" and the pass-through module "shared". */
static struct tl_bundle_config config_of(struct tl_bundle_source *sources, const char *shared,
                                         const char *main)
{
    sources[0] = (struct tl_bundle_source){TL_STR_LIT("shared"), tl_str(shared)};
    sources[1] = (struct tl_bundle_source){TL_STR_LIT("main"), tl_str(main)};
    return (struct tl_bundle_config){
        .sources = sources, .source_count = 2, .passthrough_modules = passed};
}

static void open_both(struct lua_rig *r, const char *shared, const char *main)
{
    struct tl_bundle_source sources[2];
    struct tl_bundle_config c = config_of(sources, shared, main);
    lua_rig_open_config(r, &c);
}

static void check(const char *shared, const char *main, const char *wanted)
{
    struct lua_rig r;
    open_both(&r, shared, main);
    for (int i = 0; i < 2; i++) { /* the second run finds what the first one found */
        lua_rig_start(&r, "W", NULL);
        const char *got = lua_rig_step(&r);
        if (!strstr(got, wanted)) {
            fail_msg("run %d of %s: %s, not %s", i + 1, shared, got, wanted);
        }
        lua_rig_evict(&r);
    }
    lua_rig_close(&r);
}

static void runs_read_what_they_share(void **state)
{
    (void)state;
    check("return { rate = 7, names = { 'a', 'b' } }",
          DEFINE("local t = {} for k, v in pairs(shared) do t[#t + 1] = k end "
                 "return shared.rate, #shared.names, table.concat(t, ' '), "
                 "shared == require('shared'), next(shared.names)"),
          "complete(7,2,\"names rate\",true,1,\"a\")");
    check("local C = {} C.__index = C function C.new(n) return setmetatable({ n = n }, C) end "
          "function C:add(m) self.n = self.n + m return self end return C",
          DEFINE("return shared.new(1):add(2).n"), "complete(3)");
    /* Values of the library among them, as the converter sees them. */
    check("local t = require('temporal') return { empty = t.array {}, raw = t.bytes('\\1'), "
          "none = t.null, list = { t.array { 1 } } }",
          DEFINE("local t = require('temporal') return shared.empty, shared.raw, shared.none, "
                 "t.is_array(shared.list[1]), tostring(shared.raw) == '\\1', t.array {}"),
          "complete([],<binary/plain:\x01>,null,true,true,[])");
    /* Its functions reach the run that calls them. */
    check("local w = require('temporal.workflow') local charge = w.activity('charge', "
          "{ start_to_close_timeout = 5 }) return { nap = function() w.sleep(30) end, "
          "charge = function(n) return charge(n) end, at = function() return os.time() end, "
          "pick = function() return math.random(1, 1) end }",
          DEFINE("assert(shared.at() > 0 and shared.pick() == 1) "
                 "require('temporal.workflow').spawn(shared.charge, 5) shared.nap()"),
          "timer 1 30s; activity 1 charge(5)");
}

static void nothing_of_a_run_reaches_another(void **state)
{
    static const char *const bodies[] = {
        "shared.rate = 8",
        "shared.new = {}",
        "shared.list[#shared.list + 1] = 1",
        "table.insert(shared.list, 1)",
        "rawset(shared, 'rate', 8)",
        "setmetatable(shared, {})",
        "require('temporal').array(shared.list)",
        "shared.remember(5)",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        char main[400];
        snprintf(main, sizeof main, DEFINE("%s"), bodies[i]);
        check("local seen = {} return { rate = 7, list = {}, "
              "remember = function(x) seen[x] = true end }",
              main, "attempt to change a table that is shared by all runs");
    }
    /* Names that a run gives itself are its own, and those of the module the module's. */
    check("return { get = function() return rawget(_G, 'mine') end }",
          DEFINE("local before = rawget(_G, 'mine') rawset(_G, 'mine', 5) "
                 "return before == nil, mine, shared.get() == nil"),
          "complete(true,5,true)");
    check("return { error = require('temporal').failure { type = 'Shared', message = 'm' } }",
          DEFINE("error(shared.error)"), "Shared");
}

static void says_what_cannot_be_shared(void **state)
{
    static const struct {
        const char *shared, *message;
    } rows[] = {
        {"local n = 0\nreturn { deep = { count = function() n = n + 1 return n end } }",
         "pass-through module 'shared': shared.deep.count (shared.lua:2) assigns to its upvalue "
         "'n'"},
        {"local M = {}\nlocal cache\nlocal function get() cache = cache or {} return cache end\n"
         "function M.size() return #get() end\nreturn M",
         "shared.size<upvalue get> (shared.lua:3) assigns to its upvalue 'cache'"},
        {"return { [5] = coroutine.create(print) }", "shared[5] is a coroutine"},
        {"return setmetatable({}, { __index = ('x'):gmatch('.') })",
         "shared<metatable>.__index is a function of the library that keeps state"},
        {"return { lock = require('temporal.workflow').lock() }",
         "shared.lock is an object of the library (lock: #1)"},
        {"return { id = math.random() }",
         "shared.lua:1: math.random cannot be used while a pass-through module is loaded"},
        {"return { at = os.time() }", "the time cannot be used while a pass-through module"},
        {"return { at = os.date() }", "the time cannot be used while a pass-through module"},
        {"return { at = os.clock() }", "os.clock cannot be used while a pass-through module"},
        {"return require('temporal.workflow').define('Other', print)",
         "workflow.define cannot be used while a pass-through module is loaded"},
        {"local a = require('temporal.activity') return a.define('x', print)",
         "passthrough_modules: 'shared' is an activity module"},
        {"error('at load')", "shared.lua:1: at load"},
        {"local x = = 1", "shared.lua:1: unexpected symbol near '='"},
        {"return require('missing')", "module 'missing' is not in the bundle"},
        {"while true do end", "loading the pass-through modules: shared.lua:1: potential deadlock"},
        {"local t = {} for i = 1, 1e7 do t[i] = {} end", "more memory than its limit"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tl_bundle_source sources[2];
        struct tl_bundle_config c = config_of(sources, rows[i].shared, DEFINE("return 1"));
        struct tl_bundle *b;
        struct tl_error err = {0};
        c.steps_max = 20000000;
        c.memory_bytes_max = 8 << 20;
        assert_int_not_equal(tl_bundle_open(&b, &c, &err), TL_OK);
        if (!strstr(err.message, rows[i].message)) {
            fail_msg("%s: %s, not %s", rows[i].shared, err.message, rows[i].message);
        }
    }
}

static void says_which_modules_cannot_be(void **state)
{
    static const struct {
        const char *name, *message;
    } rows[] = {
        {"main", "passthrough_modules: \"main\" is a workflow module"},
        {"shraed", "passthrough_modules: module \"shraed\" is in none of the roots"},
        {"none.*", "no module matches \"none.*\""},
        {"/tmp/shared.lua", "modules are named as in require"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tl_bundle_source sources[2];
        struct tl_bundle_config c = config_of(sources, "return {}", DEFINE("return 1"));
        const char *const names[] = {rows[i].name, NULL}, *const main[] = {"main", NULL};
        struct tl_bundle *b;
        struct tl_error err = {0};
        c.passthrough_modules = names;
        c.workflow_modules = main;
        assert_int_not_equal(tl_bundle_open(&b, &c, &err), TL_OK);
        if (!strstr(err.message, rows[i].message)) {
            fail_msg("%s: %s", rows[i].name, err.message);
        }
    }
}

static void a_workflow_that_writes_while_it_loads_is_refused(void **state)
{
    struct tl_bundle_source sources[2];
    struct tl_bundle_config c = config_of(sources, "return { n = 1 }",
                                          "local shared = require('shared')\nshared.n = 2\n"
                                          "return require('temporal.workflow').define('W', print)");
    struct tl_bundle *b;
    struct tl_error err = {0};
    (void)state;
    assert_int_equal(tl_bundle_open(&b, &c, &err), TL_ESCRIPT);
    assert_non_null(strstr(err.message, "main.lua:2: attempt to change a table that is shared"));
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void list_source(void *ud, struct tl_str module, struct tl_str file, struct tl_str text)
{
    char *out = ud;
    size_t n = strlen(out);
    snprintf(out + n, 400 - n, "%.*s=%.*s%s ", TL_STR_FMT(module), TL_STR_FMT(file),
             file.n ? "" : text.p);
}

/* What a pass-through module requires is found where it was, and shared, too. */
static void modules_outside_of_the_roots_are_let_in(void **state)
{
    char folder[] = "/tmp/luart-shared-XXXXXX", path[200], all[400] = "";
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/rock.lua", folder);
    write_file(path, "return { inner = require('rock_inner'), name = ... }");
    snprintf(path, sizeof path, "%s/rock_inner.lua", folder);
    write_file(path, "return { 5 }");
    snprintf(path, sizeof path, "/nowhere/?.so;./?/nothing;%s/?.lua", folder);
    struct tl_bundle_source one = {
        TL_STR_LIT("main"),
        tl_str("local rock = require('rock') return require('temporal.workflow')"
               ".define('W', function() return rock.name, rock.inner[1], "
               "rock.inner == require('rock_inner'), pcall(rawset, rock.inner, "
               "1, 2) end)")};
    const char *const names[] = {"rock", NULL};
    struct tl_bundle_config c = {
        .sources = &one, .source_count = 1, .passthrough_modules = names, .package_path = path};
    struct lua_rig r;
    lua_rig_open_config(&r, &c);
    tl_bundle_each_source(r.bundle, list_source, all);
    assert_string_equal(all, "main=main.lua rock=rock.lua rock=shared rock_inner=rock_inner.lua "
                             "rock_inner=shared ");
    lua_rig_start(&r, "W", NULL);
    assert_non_null(strstr(lua_rig_step(&r), "complete(\"rock\",5,true,false,"));
    lua_rig_close(&r);

    c.passthrough_modules = NULL; /* nobody lets them in */
    struct tl_bundle *b;
    struct tl_error err;
    assert_int_equal(tl_bundle_open(&b, &c, &err), TL_ESCRIPT);
    assert_non_null(strstr(err.message, "module 'rock' is not in the bundle"));
    snprintf(path, sizeof path, "rm -rf '%s'", folder);
    assert_int_equal(system(path), 0);
}

static size_t bytes_of_a_run(const char *shared, bool pass)
{
    struct tl_bundle_source sources[2];
    struct tl_bundle_config c =
        config_of(sources, shared, DEFINE("require('temporal.workflow').sleep(1) return #shared"));
    const char *const main[] = {"main", NULL}, *const roots[] = {".", NULL};
    struct lua_rig r;
    if (!pass) {
        c.passthrough_modules = NULL;
    }
    c.workflow_modules = main;
    c.roots = roots;
    lua_rig_open_config(&r, &c);
    lua_rig_start(&r, "W", NULL);
    assert_string_equal(lua_rig_step(&r), "timer 1 1s");
    size_t bytes = tl_lua_run_bytes(r.run);
    lua_rig_close(&r);
    return bytes;
}

static void what_is_shared_costs_a_run_nothing(void **state)
{
    static const char large[] = "local t = {} for i = 1, 2000 do t[i] = { i, tostring(i), "
                                "function() return i end } end return t";
    (void)state;
    size_t own = bytes_of_a_run(large, false), passed_large = bytes_of_a_run(large, true);
    size_t passed_small = bytes_of_a_run("return {}", true);
    assert_true(own > passed_large + 400000);
    assert_true(passed_large <= passed_small + 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_read_what_they_share),
        cmocka_unit_test(nothing_of_a_run_reaches_another),
        cmocka_unit_test(says_what_cannot_be_shared),
        cmocka_unit_test(says_which_modules_cannot_be),
        cmocka_unit_test(a_workflow_that_writes_while_it_loads_is_refused),
        cmocka_unit_test(modules_outside_of_the_roots_are_let_in),
        cmocka_unit_test(what_is_shared_costs_a_run_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
