/* Bundles: which modules are found, what is defined in them, how activity modules and files that also
 * hold worker code are seen from a workflow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/lua_rig.h"

#define DEFINE(name, body)                                                                         \
    "return require('temporal.workflow').define('" name "', function(...) " body " end)"

enum { LIST_BYTES = 500 };

static char root[64];

static void write_file(const char *relative, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", root, relative);
    for (char *slash = strchr(path + strlen(root) + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int make_root(void **state)
{
    (void)state;
    snprintf(root, sizeof root, "%s", "/tmp/luart-XXXXXX");
    return mkdtemp(root) ? 0 : 1;
}

static int drop_root(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

static tl_rc open_with(struct tl_bundle **b, struct tl_error *err, const char *const *workflows,
                       const char *const *activities)
{
    const char *const roots[] = {root, NULL};
    struct tl_bundle_config c = {
        .roots = roots, .workflow_modules = workflows, .activity_modules = activities};
    return tl_bundle_open(b, &c, err);
}

static void list_source(void *ud, struct tl_str module, struct tl_str file, struct tl_str text)
{
    char *out = ud;
    (void)text;
    size_t n = strlen(out);
    snprintf(out + n, LIST_BYTES - n, "%.*s=%.*s ", TL_STR_FMT(module), TL_STR_FMT(file));
}

static void finds_modules(void **state)
{
    struct tl_bundle *b;
    struct tl_error err;
    char all[LIST_BYTES] = "";
    (void)state;
    write_file("workflows/order.lua",
               "#!/usr/bin/env temporal-lua\nlocal m = require 'lib.money'\n"
               "local function later() return require('lib.late') end\n" DEFINE(
                   "Order", "return m.x, later().y"));
    write_file("workflows/refund.lua", DEFINE("Refund", "return 1"));
    write_file("workflows/deep/init.lua", DEFINE("Deep", "return 2"));
    write_file("workflows/deep/inner.lua", "error('is not loaded by the pattern')");
    write_file("lib/money.lua", "return { x = 5, name = ... }");
    write_file("lib/late.lua", "return { y = 6 }");
    assert_int_equal(open_with(&b, &err, (const char *[]){"workflows.*", NULL}, NULL), TL_OK);
    assert_true(tl_str_eqc(tl_bundle_workflow_at(b, 0)->type, "Deep"));
    assert_true(tl_str_eqc(tl_bundle_workflow_at(b, 1)->type, "Order"));
    assert_true(tl_str_eqc(tl_bundle_workflow_at(b, 1)->file, "workflows/order.lua"));
    assert_null(tl_bundle_workflow_at(b, 3));
    assert_non_null(tl_bundle_workflow_find(b, TL_STR_LIT("Refund")));
    assert_null(tl_bundle_workflow_find(b, TL_STR_LIT("Missing")));
    tl_bundle_each_source(b, list_source, all);
    assert_string_equal(all, "lib.late=lib/late.lua lib.money=lib/money.lua "
                             "workflows.deep=workflows/deep/init.lua "
                             "workflows.order=workflows/order.lua "
                             "workflows.refund=workflows/refund.lua ");

    struct lua_rig r;
    memset(&r, 0, sizeof r);
    r.bundle = b;
    tl_arena_init(&r.arena, 1 << 24);
    lua_rig_start(&r, "Order", NULL);
    assert_string_equal(lua_rig_step(&r), "complete(5,6)");
    struct tl_lua_run *none;
    assert_int_equal(tl_lua_run_new(&none, b, TL_STR_LIT("Missing"), &r.config, &err),
                     TL_ENOTFOUND);
    assert_non_null(strstr(err.message, "known are: Deep, Order, Refund"));
    lua_rig_close(&r);
}

static void says_what_is_wrong(void **state)
{
    static const struct {
        const char *text;
        tl_rc rc;
        const char *message;
    } rows[] = {
        {"local x = = 1", TL_ESCRIPT, "bad.lua:1: unexpected symbol near '='"},
        {"local a\nerror('at load')", TL_ESCRIPT, "bad.lua:2: at load"},
        {"\nrequire 'lib.none'", TL_ESCRIPT, "bad.lua:2: module 'lib.none' is not in the bundle"},
        {"require 'bad'", TL_ESCRIPT, "requires itself"},
        {"while true do end", TL_EDEADLOCK, "bad.lua:1: potential deadlock"},
        {"local w = require 'temporal.workflow' w.sleep(1)", TL_ESCRIPT,
         "workflow.sleep cannot be used while a module is loaded"},
        {"local w = require 'temporal.workflow' w.define('A', print) w.define('A', print)",
         TL_ESCRIPT, "the workflow \"A\" is defined twice"},
        {"local w = require 'temporal.workflow' w.define { name = 'A', run = print, signal = {} }",
         TL_ESCRIPT, "unknown option 'signal' (did you mean 'signals'?)"},
        {"local w = require 'temporal.workflow' w.activity('a', { start_to_close = 1 })",
         TL_ESCRIPT, "unknown option 'start_to_close'"},
        {"return os.getenv('X')", TL_ESCRIPT, "os.getenv is not available in a workflow"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tl_bundle_source one = {TL_STR_LIT("bad"), tl_str(rows[i].text)};
        struct tl_bundle_config c = {.sources = &one, .source_count = 1, .steps_max = 1000000};
        struct tl_bundle *b;
        struct tl_error err;
        tl_rc rc = tl_bundle_open(&b, &c, &err);
        if (rc != rows[i].rc || !strstr(err.message, rows[i].message)) {
            fail_msg("%s\ngives %d %s\nwanted %s", rows[i].text, rc, err.message, rows[i].message);
        }
    }
    struct tl_bundle *b;
    struct tl_error err;
    assert_int_equal(open_with(&b, &err, (const char *[]){"nowhere", NULL}, NULL), TL_ENOTFOUND);
    assert_int_equal(open_with(&b, &err, (const char *[]){"nowhere.*", NULL}, NULL), TL_ENOTFOUND);
    assert_int_equal(open_with(&b, &err, (const char *[]){"..etc.passwd", NULL}, NULL),
                     TL_ENOTFOUND);
    struct tl_bundle_source two[] = {{TL_STR_LIT("a"), TL_STR_LIT(DEFINE("Same", ""))},
                                     {TL_STR_LIT("b"), TL_STR_LIT(DEFINE("Same", ""))}};
    struct tl_bundle_config c = {.sources = two, .source_count = 2};
    assert_int_equal(tl_bundle_open(&b, &c, &err), TL_EEXISTS);
    assert_non_null(strstr(err.message, "defined by two modules: a and b"));
    c.source_bytes_max = 10;
    assert_int_equal(tl_bundle_open(&b, &c, &err), TL_ELIMIT);
}

/* A name that gives nothing is a mistake; a folder's pattern may find helpers beside workflows. */
static void a_module_named_for_workflows_must_define_one(void **state)
{
    struct tl_bundle *b;
    struct tl_error err;
    (void)state;
    write_file("none/helper.lua", "return { x = 1 }");
    write_file("none/other.lua", "return { y = 1 }");
    write_file("some/helper.lua", "return { x = 1 }");
    write_file("some/flow.lua", DEFINE("Flow", "return 1"));
    write_file("hands_on.lua", "return require 'some.flow'");
    write_file("keeps.lua", "require 'some.flow'");
    static const struct {
        const char *names[3];
        const char *message; /* NULL: fine */
    } rows[] = {
        {{"none.helper"}, "module \"none.helper\" defines no workflow"},
        {{"none/helper.lua"}, "module \"none.helper\" defines no workflow"},
        {{"some.flow", "none.helper"}, "module \"none.helper\" defines no workflow"},
        {{"keeps"}, "module \"keeps\" defines no workflow: \"Flow\" is defined by some.flow"},
        {{"none.*"}, "none.helper, none.other: none of these modules defines a workflow"},
        {{"some.*", "none.*"}, NULL},
        {{"hands_on"}, NULL},
        {{"some.flow", "hands_on"}, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *const names[] = {rows[i].names[0], rows[i].names[1], NULL};
        tl_rc rc = open_with(&b, &err, names, NULL);
        if (!rows[i].message) {
            assert_int_equal(rc, TL_OK);
            tl_bundle_close(b);
        } else if (rc != TL_EINVAL || !strstr(err.message, rows[i].message)) {
            fail_msg("row %zu gives %d %s\nwanted %s", i, rc, rc ? err.message : "",
                     rows[i].message);
        }
    }
}

static void activity_modules_give_proxies(void **state)
{
    struct tl_bundle *b;
    struct tl_error err;
    (void)state;
    write_file(
        "activities/payment.lua",
        "local activity = require 'temporal.activity'\n"
        "local socket = require 'socket'\n"
        "local log = io.open('/nonexistent/log', 'a')\n"
        "local key = os.getenv('KEY') .. socket.host\n"
        "local function charge() return socket.connect() end\n"
        "return { charge = charge, plain = function() end,\n"
        "  refund = activity.define('Refund!', function() end, { start_to_close_timeout = '9s',\n"
        "    kind = 'coroutine' }) }\n");
    write_file("activities/list.lua", "local a = require 'temporal.activity'\n"
                                      "return { a.define('one', print), a.define('two', print) }");
    write_file("activities/single.lua",
               "return require('temporal.activity').define('solo', print)");
    write_file("activities/broken.lua", "local a = require 'temporal.activity'\n"
                                        "a.define('before', print) error('no database')");
    write_file(
        "use.lua",
        "local workflow = require 'temporal.workflow'\n"
        "local payment, list = require 'activities.payment', require 'activities.list'\n"
        "local solo, broken = require 'activities.single', require 'activities.broken'\n"
        "local o = { start_to_close_timeout = 5 }\n"
        "return workflow.define('Use', function()\n"
        "  local charge = workflow.activity(payment.charge, { start_to_close_timeout = '30s' })\n"
        "  charge:start(1) workflow.start_activity(payment.plain, o) payment.refund:start('x')\n"
        "  workflow.start_activity(list[2], o) workflow.start_activity(list.one, o)\n"
        "  workflow.start_activity(solo, o) workflow.start_activity(broken.before, o)\n"
        "  charge(2)\n"
        "end)");
    assert_int_equal(open_with(&b, &err, (const char *[]){"use.lua", NULL},
                               (const char *[]){"activities.*", NULL}),
                     TL_OK);
    struct lua_rig r;
    memset(&r, 0, sizeof r);
    r.bundle = b;
    tl_arena_init(&r.arena, 1 << 24);
    lua_rig_start(&r, "Use", NULL);
    assert_string_equal(
        lua_rig_step(&r),
        "activity 1 charge(1); activity 2 plain(); activity 3 Refund!(\"x\"); "
        "activity 4 two(); activity 5 one(); activity 6 solo(); activity 7 before(); "
        "activity 8 charge(2)");
    lua_rig_close(&r);
}

static void one_file_may_hold_everything(void **state)
{
    struct lua_rig r;
    (void)state;
    lua_rig_open(
        &r, "local temporal = require 'temporal'\n"
            "local workflow = require 'temporal.workflow'\n"
            "local activity = require 'temporal.activity'\n"
            "local uv = require 'luv'\n"
            "local greet = activity.define('greet', function(name) return io.read() .. name end)\n"
            "local client = temporal.connect { address = os.getenv('TEMPORAL_ADDRESS') or 'x' }\n"
            "workflow.define('Hello', function(name)\n"
            "  return workflow.execute_activity(greet, { start_to_close_timeout = 1 }, name)\n"
            "end)\n"
            "workflow.define('Bad', function() return client:list() end)\n"
            "local worker <close> = temporal.worker { task_queue = 'q', workflows = { 'main' } }\n"
            "worker:start()\n"
            "print(client:execute_workflow('Hello', { id = 'x' }, 'Lua'))\n"
            "for i, e in ipairs(client:list()) do error('never') end\n"
            "for e in client:list_workflows() do error('never') end\n"
            "for k in pairs(client.things) do error('never') end\n"
            "local n = #client.a + (client.b + 1 > 2 and 1 or 2)\n"
            "worker:run()");
    lua_rig_start(&r, "Hello", "\"you\"", NULL);
    assert_string_equal(lua_rig_step(&r), "activity 1 greet(\"you\")");
    lua_rig_evict(&r);
    lua_rig_start(&r, "Bad", NULL);
    assert_non_null(strstr(lua_rig_step(&r), "is not available in a workflow: it belongs to the "
                                             "worker or client part of the file"));
    lua_rig_close(&r);
}

static void modules_are_each_runs_own(void **state)
{
    struct lua_rig r;
    (void)state;
    lua_rig_open_many(&r, "counter",
                      "local n = 0 return { next = function() n = n + 1 return n end }", "main",
                      "local c = require 'counter'\nassert(require 'counter' == c)\n"
                      "return require('temporal.workflow').define('W', function() c.next() "
                      "return c.next() end)\n",
                      NULL);
    for (int i = 0; i < 2; i++) {
        lua_rig_start(&r, "W", NULL);
        assert_string_equal(lua_rig_step(&r), "complete(2)");
        lua_rig_evict(&r);
    }
    lua_rig_close(&r);
}

static void a_module_may_return_a_list(void **state)
{
    struct lua_rig r;
    (void)state;
    lua_rig_open_many(&r, "main", "return { require 'parts.a', require 'parts.b' }", "parts.a",
                      DEFINE("A", "return 'a'"), "parts.b",
                      "local w = require 'temporal.workflow' return w.define { name = 'B', "
                      "versioning_behavior = 'pinned', run = function() return 'b' end }",
                      NULL);
    assert_true(tl_str_eqc(tl_bundle_workflow_find(r.bundle, TL_STR_LIT("B"))->versioning_behavior,
                           "pinned"));
    lua_rig_start(&r, "B", NULL);
    assert_string_equal(lua_rig_step(&r), "complete(\"b\")");
    lua_rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(finds_modules, make_root, drop_root),
        cmocka_unit_test_setup_teardown(says_what_is_wrong, make_root, drop_root),
        cmocka_unit_test_setup_teardown(a_module_named_for_workflows_must_define_one, make_root,
                                        drop_root),
        cmocka_unit_test_setup_teardown(activity_modules_give_proxies, make_root, drop_root),
        cmocka_unit_test(one_file_may_hold_everything),
        cmocka_unit_test(modules_are_each_runs_own),
        cmocka_unit_test(a_module_may_return_a_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
