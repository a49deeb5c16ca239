/* What the end of a workflow says of handlers that it leaves unfinished. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "../support/lua_rig.h"

#define HEAD "local workflow = require 'temporal.workflow'\nlocal temporal = require 'temporal'\n"
#define WAITING                                                                                    \
    "  workflow.set_signal_handler('slow', function() workflow.sleep(100) end)\n"                  \
    "  workflow.set_signal_handler('left', {\n"                                                    \
    "    handler = function() workflow.sleep(100) end, unfinished_policy = 'abandon' })\n"         \
    "  workflow.set_dynamic_signal_handler(function() workflow.sleep(100) end)\n"                  \
    "  workflow.sleep(1)\n"

/* Starts a workflow that ends by `ending` while handlers of these signals wait. */
static const char *end_with(struct lua_rig *r, const char *ending, bool replaying,
                            const char *const *signals)
{
    char source[2000];
    snprintf(source, sizeof source,
             HEAD "return workflow.define('W', function()\n" WAITING "%s\nend)", ending);
    lua_rig_open(r, source);
    lua_rig_start(r, "W", NULL);
    lua_rig_step(r);
    for (; *signals; signals++) {
        lua_rig_signal(r, *signals, NULL);
    }
    lua_rig_step(r);
    lua_rig_timer(r, 1);
    r->replaying = replaying;
    return lua_rig_step(r);
}

static void are_named_once_each(void **state)
{
    struct lua_rig r;
    const char *const signals[] = {"slow", "left", "odd", "slow", NULL};
    (void)state;
    assert_string_equal(end_with(&r, "return 1", false, signals), "complete(1)");
    assert_string_equal(r.log,
                        "the workflow has ended while handlers were still running: signal slow "
                        "(2 times), signal odd; wait for workflow.all_handlers_finished first, or "
                        "give them unfinished_policy = \"abandon\"\n");
    lua_rig_close(&r);
}

static void are_named_at_every_end(void **state)
{
    static const char *const endings[] = {"error(temporal.failure('no'))",
                                          "workflow.continue_as_new({})",
                                          "return pcall(workflow.continue_as_new, {})"};
    const char *const signals[] = {"slow", NULL};
    struct lua_rig r;
    (void)state;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        end_with(&r, endings[i], false, signals);
        assert_non_null(strstr(r.log, "still running: signal slow;"));
        lua_rig_close(&r);
    }
}

static void are_not_named_when_allowed(void **state)
{
    struct lua_rig r;
    const char *const left[] = {"left", NULL}, *const slow[] = {"slow", NULL};
    (void)state;
    assert_string_equal(end_with(&r, "return 1", false, left), "complete(1)");
    assert_string_equal(r.log, "");
    lua_rig_close(&r);
    assert_string_equal(end_with(&r, "return 1", true, slow), "complete(1)"); /* replay is silent */
    assert_string_equal(r.log, "");
    lua_rig_close(&r);
}

/* What handlers ask for belongs to their signals' groups, which go with what was asked for. */
static void groups_of_handlers_leave_nothing(void **state)
{
    enum { EARLY = 200, LATE = 1500 };
    struct lua_rig r;
    size_t early = 0;
    (void)state;
    lua_rig_open(&r, HEAD
                 "return workflow.define('W', function()\n"
                 "  workflow.set_signal_handler('s', function()\n"
                 "    local g = workflow.create_event_group('g')\n"
                 "    g:scope(workflow.execute_activity, 'a', { start_to_close_timeout = 1 })\n"
                 "    coroutine.wrap(function() g:scope(coroutine.wrap(function() end)) end)()\n"
                 "    workflow.start_timer(10):cancel()\n"
                 "  end)\n"
                 "  workflow.wait_condition(function() return false end)\n"
                 "end)");
    lua_rig_start(&r, "W", NULL);
    lua_rig_step(&r);
    for (uint32_t i = 1; i <= LATE; i++) {
        lua_rig_signal(&r, "s", NULL);
        lua_rig_step(&r);
        assert_int_equal(r.out.cmd_count, 1);
        assert_int_equal(r.out.cmds[0].groups.n, 2);
        lua_rig_result(&r, i, "1");
        lua_rig_step(&r);
        assert_int_equal(r.out.cmds[0].groups.n, 1); /* the timer */
        if (i == EARLY) {
            early = tl_lua_run_bytes(r.run);
        }
    }
    assert_true(tl_lua_run_bytes(r.run) < early + early / 2);
    lua_rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(are_named_once_each),
        cmocka_unit_test(are_named_at_every_end),
        cmocka_unit_test(are_not_named_when_allowed),
        cmocka_unit_test(groups_of_handlers_leave_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
