/* Fibers, futures, signals, cancellation: what a workflow function does with the jobs it gets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "../support/lua_rig.h"

#define HEAD "local workflow = require 'temporal.workflow'\nlocal temporal = require 'temporal'\n"
#define OPTS "{ start_to_close_timeout = '30s' }"

static void completes(void **state)
{
    struct lua_rig r;
    (void)state;
    lua_rig_open(&r, HEAD "return workflow.define('Add', function(a, b) return a + b, 'x' end)");
    lua_rig_start(&r, "Add", "1", "2.5", NULL);
    assert_string_equal(lua_rig_step(&r), "complete(3.5,\"x\")");
    lua_rig_close(&r);
}

static void runs_activities_and_timers(void **state)
{
    struct lua_rig r;
    (void)state;
    lua_rig_open(&r,
                 HEAD "return workflow.define('W', function(order)\n"
                      "  local receipt = workflow.execute_activity('charge', " OPTS ", order, 42)\n"
                      "  workflow.sleep('1h30m')\n"
                      "  local h = workflow.start_activity('ship', " OPTS ")\n"
                      "  local t = workflow.start_timer(5)\n"
                      "  local first = workflow.wait_any { h, t }\n"
                      "  return receipt, first == t, h:result()\n"
                      "end)");
    lua_rig_start(&r, "W", "{\"id\":\"o-1\"}", NULL);
    assert_string_equal(lua_rig_step(&r), "activity 1 charge({\"id\":\"o-1\"},42)");
    assert_string_equal(r.out.cmds[0].where.p, "main.lua:4");
    lua_rig_result(&r, 1, "\"r-1\"");
    assert_string_equal(lua_rig_step(&r), "timer 1 1h30m");
    lua_rig_timer(&r, 1);
    assert_string_equal(lua_rig_step(&r), "activity 2 ship(); timer 2 5s");
    lua_rig_timer(&r, 2);
    assert_string_equal(lua_rig_step(&r), "");
    lua_rig_result(&r, 2, "[1,2]");
    assert_string_equal(lua_rig_step(&r), "complete(\"r-1\",true,[1,2])");
    lua_rig_close(&r);
}

static void raises_activity_errors(void **state)
{
    struct lua_rig r;
    (void)state;
    lua_rig_open(
        &r,
        HEAD "return workflow.define('W', function()\n"
             "  local ok, err = pcall(workflow.execute_activity, 'charge', " OPTS ")\n"
             "  assert(not ok and err.type == 'ActivityError' and err.cause.type == 'Declined')\n"
             "  assert(temporal.is_failure(err, 'Declined') and not temporal.is_cancelled(err))\n"
             "  assert(tostring(err):find('Declined: no funds', 1, true))\n"
             "  workflow.execute_activity('charge', " OPTS ")\n"
             "end)");
    lua_rig_start(&r, "W", NULL);
    assert_string_equal(lua_rig_step(&r), "activity 1 charge()");
    lua_rig_failure(&r, 1, "Declined", "no funds");
    assert_string_equal(lua_rig_step(&r), "activity 2 charge()");
    lua_rig_failure(&r, 2, "Declined", "none");
    assert_string_equal(lua_rig_step(&r), "fail(ActivityError: activity error <- Declined: none)");
    lua_rig_close(&r);
}

static void bugs_fail_the_task(void **state)
{
    struct lua_rig r;
    (void)state;
    assert_string_equal(lua_rig_body(&r, "\nlocal t = nil\nreturn t.x"),
                        "task failed: main.lua:3: attempt to index a nil value (local 't')");
    assert_int_equal(lua_rig_rc(&r), TL_ESCRIPT);
    assert_non_null(strstr(r.out.task_failure->stack_trace, "main.lua:3"));
    assert_true(tl_lua_run_dead(r.run));
    lua_rig_close(&r);
    assert_string_equal(
        lua_rig_body(&r,
                     "error(temporal.failure { type = 'Bad', message = 'm', details = { 1 } })"),
        "fail(Bad: m)");
    lua_rig_close(&r);
    assert_non_null(strstr(lua_rig_body(&r, "return function() end"),
                           "task failed: result 1: a function has no JSON form"));
    lua_rig_close(&r);
}

static void signals_wait_for_their_handlers(void **state)
{
    struct lua_rig r;
    (void)state;
    lua_rig_open(
        &r, HEAD
        "return workflow.define('W', function()\n"
        "  local seen = {}\n"
        "  workflow.sleep(1)\n"
        "  workflow.set_signal_handler('b', function(x) seen[#seen + 1] = 'b' .. x end)\n"
        "  workflow.set_signal_handler('a', function(x) seen[#seen + 1] = 'a' .. x end)\n"
        "  workflow.set_dynamic_signal_handler(function(name, x) seen[#seen + 1] = name .. x end)\n"
        "  workflow.wait_condition(function() return #seen == 4 end)\n"
        "  return seen\n"
        "end)");
    lua_rig_start(&r, "W", NULL);
    lua_rig_signal(&r, "a", "1", NULL);
    lua_rig_signal(&r, "b", "2", NULL);
    lua_rig_signal(&r, "other", "3", NULL);
    assert_string_equal(lua_rig_step(&r), "timer 1 1s");
    lua_rig_timer(&r, 1);
    assert_string_equal(lua_rig_step(&r), "");
    lua_rig_signal(&r, "a", "4", NULL);
    assert_string_equal(lua_rig_step(&r), "complete([\"b2\",\"a1\",\"other3\",\"a4\"])");
    lua_rig_close(&r);
}

/* Logic flag 2: histories from before it keep what they did when a wait_all was cancelled. */
static void cancelled_wait_all_follows_its_flag(void **state)
{
    static const struct {
        bool replaying;
        uint64_t flags;
        const char *expected;
    } cases[] = {{false, 0, "cancel_activity 1; cancel_timer 1; cancelled"},
                 {true, 1 << 1 | 1 << 2, "cancel_activity 1; cancel_timer 1; cancelled"},
                 {true, 1 << 1, "cancelled"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lua_rig r;
        lua_rig_open(&r, HEAD "return workflow.define('W', function()\n"
                              "  workflow.wait_all { workflow.start_activity('a', " OPTS "),\n"
                              "    workflow.start_timer(5) }\n"
                              "end)");
        r.replaying = cases[i].replaying;
        r.lang_flags = cases[i].flags;
        lua_rig_start(&r, "W", NULL);
        assert_string_equal(lua_rig_step(&r), "activity 1 a(); timer 1 5s");
        lua_rig_cancel(&r);
        assert_string_equal(lua_rig_step(&r), cases[i].expected);
        assert_int_equal(r.out.lang_flags_used, cases[i].replaying ? 0 : 1 << 1 | 1 << 2);
        lua_rig_close(&r);
    }
}

/* Logic flag 4: closing a coroutine that is blocked is true, in histories from before it false. */
static void closing_a_blocked_coroutine_follows_its_flag(void **state)
{
    static const struct {
        bool replaying;
        uint64_t flags;
        const char *expected;
    } cases[] = {{false, 0, "true,\"nil\",false,\"mine\""},
                 {true, 1 << 1 | 1 << 4, "true,\"nil\",false,\"mine\""},
                 {true, 1 << 1, "false,\"CancelledError\",false,\"mine\""}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lua_rig r;
        lua_rig_open(&r, HEAD "local function closed(fn)\n"
                              "  local co = coroutine.create(fn)\n"
                              "  workflow.spawn(function() coroutine.resume(co) end)\n"
                              "  workflow.sleep(0)\n"
                              "  return coroutine.close(co)\n"
                              "end\n"
                              "return workflow.define('W', function()\n"
                              "  local one, err = closed(function() workflow.sleep(60) end)\n"
                              "  local two, own = closed(function()\n"
                              "    pcall(workflow.sleep, 60) error('mine', 0) end)\n"
                              "  return one, tostring(err and err.type), two, own\n"
                              "end)");
        r.replaying = cases[i].replaying;
        r.lang_flags = cases[i].flags;
        lua_rig_start(&r, "W", NULL);
        assert_non_null(strstr(lua_rig_step(&r), cases[i].expected));
        assert_int_equal(r.out.lang_flags_used, cases[i].replaying ? 0 : 1 << 1 | 1 << 4);
        lua_rig_close(&r);
    }
}

static void definition_tables_have_handlers_and_self(void **state)
{
    struct lua_rig r;
    (void)state;
    lua_rig_open(&r, HEAD "return workflow.define { name = 'Counter',\n"
                          "  init = function(start) return { n = start } end,\n"
                          "  run = function(self, start)\n"
                          "    workflow.wait_condition(function() return self.n >= 5 end)\n"
                          "    return self.n, start\n"
                          "  end,\n"
                          "  signals = { add = function(self, by) self.n = self.n + by end },\n"
                          "  queries = { get = function(self, f) return self.n * (f or 1) end },\n"
                          "}");
    lua_rig_start(&r, "Counter", "1", NULL);
    lua_rig_signal(&r, "add", "2", NULL);
    assert_string_equal(lua_rig_step(&r), "");
    assert_string_equal(lua_rig_query(&r, "get", NULL), "3");
    assert_string_equal(lua_rig_query(&r, "get", "10", NULL), "30");
    lua_rig_signal(&r, "add", "2", NULL);
    assert_string_equal(lua_rig_step(&r), "complete(5,1)");
    assert_string_equal(lua_rig_query(&r, "get", NULL), "5");
    lua_rig_close(&r);
}

static void queries_change_nothing(void **state)
{
    struct lua_rig r;
    (void)state;
    lua_rig_open(
        &r,
        HEAD "return workflow.define('W', function()\n"
             "  workflow.set_query_handler('random', function() return math.random(1000000) end)\n"
             "  workflow.set_query_handler('id', function() return tostring({}) end)\n"
             "  workflow.set_query_handler('sleep', function() workflow.sleep(1) end)\n"
             "  workflow.set_query_handler('boom', function() error('no') end)\n"
             "  workflow.sleep(1)\n"
             "  return tostring({}), math.random(1000000)\n"
             "end)");
    lua_rig_start(&r, "W", NULL);
    lua_rig_step(&r);
    assert_string_equal(lua_rig_query(&r, "id", NULL), "\"table: #q1\"");
    lua_rig_query(&r, "random", NULL);
    assert_non_null(strstr(lua_rig_query(&r, "sleep", NULL), "failed: main.lua:6: workflow.sleep "
                                                             "cannot be used in a query handler"));
    assert_string_equal(lua_rig_query(&r, "boom", NULL), "failed: main.lua:7: no");
    assert_string_equal(lua_rig_query(&r, "nothing", NULL),
                        "failed: query handler for \"nothing\" expected but not found; known "
                        "queries: [boom, id, random, sleep]");
    assert_non_null(strstr(lua_rig_query(&r, "__stack_trace", NULL), "main.lua:8"));
    assert_non_null(strstr(lua_rig_query(&r, "__temporal_workflow_metadata", NULL),
                           "{\"name\":\"__stack_trace\"}"));
    lua_rig_timer(&r, 1);
    char with[200];
    snprintf(with, sizeof with, "%s", lua_rig_step(&r));
    lua_rig_evict(&r);
    lua_rig_start(&r, "W", NULL);
    lua_rig_step(&r);
    lua_rig_timer(&r, 1);
    assert_string_equal(lua_rig_step(&r), with);
    lua_rig_close(&r);
}

static void cancellation_is_raised_once(void **state)
{
    struct lua_rig r;
    (void)state;
    lua_rig_open(&r, HEAD "return workflow.define('W', function()\n"
                          "  local ok, err = pcall(workflow.sleep, 3600)\n"
                          "  assert(not ok and err.type == 'CancelledError')\n"
                          "  workflow.execute_activity('refund', " OPTS ")\n"
                          "  error(err)\n"
                          "end)");
    lua_rig_start(&r, "W", NULL);
    assert_string_equal(lua_rig_step(&r), "timer 1 1h");
    lua_rig_cancel(&r);
    assert_string_equal(lua_rig_step(&r), "cancel_timer 1; activity 1 refund()");
    lua_rig_result(&r, 1, "null");
    assert_string_equal(lua_rig_step(&r), "cancelled");
    lua_rig_close(&r);
}

static void cancellation_of_activities(void **state)
{
    struct lua_rig r;
    (void)state;
    lua_rig_open(&r, HEAD
                 "return workflow.define('W', function()\n"
                 "  local h = workflow.start_activity('a', " OPTS ")\n"
                 "  h:cancel()\n"
                 "  local ok, err = pcall(h.result, h)\n"
                 "  assert(not ok and err.type == 'ActivityError' and temporal.is_cancelled(err))\n"
                 "  workflow.execute_activity('b', " OPTS ")\n"
                 "end)");
    lua_rig_start(&r, "W", NULL);
    assert_string_equal(lua_rig_step(&r), "activity 1 a(); cancel_activity 1");
    lua_rig_cancelled(&r, 1);
    assert_string_equal(lua_rig_step(&r), "activity 2 b()");
    lua_rig_cancel(&r);
    assert_string_equal(lua_rig_step(&r), "cancel_activity 2");
    lua_rig_cancelled(&r, 2);
    assert_string_equal(lua_rig_step(&r), "cancelled");
    lua_rig_close(&r);
}

static void shield_and_defer(void **state)
{
    struct lua_rig r;
    (void)state;
    lua_rig_open(
        &r,
        HEAD "return workflow.define('W', function()\n"
             "  local undo <close> = workflow.defer(function(err)\n"
             "    if err then workflow.execute_activity('undo', " OPTS ") end\n"
             "  end)\n"
             "  local v = workflow.shield(function() return workflow.execute_activity('a', " OPTS
             ") end)\n"
             "  workflow.execute_activity('never', " OPTS ")\n"
             "end)");
    lua_rig_start(&r, "W", NULL);
    assert_string_equal(lua_rig_step(&r), "activity 1 a()");
    lua_rig_cancel(&r);
    assert_string_equal(lua_rig_step(&r), "");
    lua_rig_result(&r, 1, "1");
    assert_string_equal(lua_rig_step(&r), "activity 2 undo()");
    lua_rig_result(&r, 2, "1");
    assert_string_equal(lua_rig_step(&r), "cancelled");
    lua_rig_close(&r);
}

static void scopes_time_out(void **state)
{
    struct lua_rig r;
    (void)state;
    lua_rig_open(&r,
                 HEAD "return workflow.define('W', function()\n"
                      "  local ok, err = pcall(workflow.scope, { timeout = '5m' }, function(x)\n"
                      "    workflow.execute_activity('slow', " OPTS ", x)\n"
                      "  end, 7)\n"
                      "  assert(not ok and err.type == 'TimeoutError', tostring(err))\n"
                      "  return workflow.scope({ timeout = 9 }, function() return 'in time' end)\n"
                      "end)");
    lua_rig_start(&r, "W", NULL);
    assert_string_equal(lua_rig_step(&r), "timer 1 5m; activity 1 slow(7)");
    lua_rig_timer(&r, 1);
    assert_string_equal(lua_rig_step(&r), "cancel_activity 1");
    lua_rig_cancelled(&r, 1);
    assert_string_equal(lua_rig_step(&r), "timer 2 9s; cancel_timer 2; complete(\"in time\")");
    lua_rig_close(&r);
}

static void spawned_coroutines(void **state)
{
    struct lua_rig r;
    (void)state;
    lua_rig_open(&r,
                 HEAD "return workflow.define('W', function()\n"
                      "  local order, fs = {}, {}\n"
                      "  for i = 1, 3 do\n"
                      "    fs[i] = workflow.spawn(function(x)\n"
                      "      order[#order + 1] = 's' .. x\n"
                      "      local r = workflow.execute_activity('a', " OPTS ", x)\n"
                      "      order[#order + 1] = 'e' .. x\n"
                      "      return r\n"
                      "    end, i)\n"
                      "  end\n"
                      "  local done = {}\n"
                      "  for f in workflow.as_completed(fs) do done[#done + 1] = f:result() end\n"
                      "  local all = workflow.wait_all(fs)\n"
                      "  return order, done, { all[1], all[2], all[3] }, all.n\n"
                      "end)");
    lua_rig_start(&r, "W", NULL);
    assert_string_equal(lua_rig_step(&r), "activity 1 a(1); activity 2 a(2); activity 3 a(3)");
    lua_rig_result(&r, 3, "30");
    assert_string_equal(lua_rig_step(&r), "");
    lua_rig_result(&r, 2, "20");
    lua_rig_result(&r, 1, "10");
    assert_string_equal(lua_rig_step(&r),
                        "complete([\"s1\",\"s2\",\"s3\",\"e3\",\"e2\",\"e1\"],[30,20,10],"
                        "[10,20,30],3)");
    lua_rig_close(&r);
}

static void awaits_inside_user_coroutines(void **state)
{
    struct lua_rig r;
    (void)state;
    lua_rig_open(&r, HEAD "return workflow.define('W', function()\n"
                          "  local gen = coroutine.wrap(function()\n"
                          "    for i = 1, 2 do coroutine.yield(workflow.execute_activity('a', " OPTS
                          ", i)) end\n"
                          "  end)\n"
                          "  local a, b = gen(), gen()\n"
                          "  local co = coroutine.create(function() workflow.sleep(60) end)\n"
                          "  local f = workflow.spawn(function() return coroutine.resume(co) end)\n"
                          "  workflow.sleep(0)\n"
                          "  local ok, why = coroutine.resume(co)\n"
                          "  local closed = coroutine.close(co)\n"
                          "  local resumed, err = f:result()\n"
                          "  return a, b, ok, why, resumed, err\n"
                          "end)");
    lua_rig_start(&r, "W", NULL);
    assert_string_equal(lua_rig_step(&r), "activity 1 a(1)");
    lua_rig_result(&r, 1, "1");
    assert_string_equal(lua_rig_step(&r), "activity 2 a(2)");
    lua_rig_result(&r, 2, "2");
    const char *text = lua_rig_step(&r);
    assert_non_null(strstr(text, "timer 1 1m; cancel_timer 1; complete(1,2,false,\"cannot resume a "
                                 "coroutine that is blocked in an await\",false,"));
    lua_rig_close(&r);
}

static void select_and_conditions(void **state)
{
    struct lua_rig r;
    (void)state;
    lua_rig_open(
        &r,
        HEAD "return workflow.define('W', function()\n"
             "  local a = workflow.start_activity('a', " OPTS ")\n"
             "  local t = workflow.start_timer(3)\n"
             "  local d = workflow.select { { a }, default = function() return 'none' end }\n"
             "  local s = workflow.select { { a, function(f) return 'a' .. f:result() end },\n"
             "                              { t, function() return 't' end } }\n"
             "  local c1 = workflow.wait_condition(function() return false end, { timeout = 7 })\n"
             "  local c2 = workflow.wait_condition(function() return true end, { timeout = 7 })\n"
             "  local c3 = workflow.wait_condition(function() return false end, { timeout = 0 })\n"
             "  return d, s, c1, c2, c3\n"
             "end)");
    lua_rig_start(&r, "W", NULL);
    assert_string_equal(lua_rig_step(&r), "activity 1 a(); timer 1 3s");
    lua_rig_result(&r, 1, "5");
    assert_string_equal(lua_rig_step(&r), "timer 2 7s");
    lua_rig_timer(&r, 2);
    assert_string_equal(lua_rig_step(&r), "complete(\"none\",\"a5\",false,true,false)");
    lua_rig_close(&r);
}

static void continue_as_new_cannot_be_caught(void **state)
{
    struct lua_rig r;
    (void)state;
    lua_rig_open(
        &r, HEAD
        "return workflow.define('W', function(n)\n"
        "  local x <close> = workflow.defer(function() workflow.sleep(1) end)\n"
        "  pcall(function() pcall(workflow.continue_as_new, { task_queue = 'q2' }, n + 1) end)\n"
        "  workflow.sleep(9)\n"
        "end)");
    lua_rig_start(&r, "W", "1", NULL);
    assert_string_equal(lua_rig_step(&r), "continue_as_new W(2) on q2");
    lua_rig_close(&r);
}

static void patches(void **state)
{
    const char *body = "local a = workflow.patched('one') local b = workflow.patched('one') "
                       "workflow.deprecate_patch('two') return a, b";
    struct lua_rig r;
    (void)state;
    assert_string_equal(lua_rig_body(&r, body),
                        "patch one; patch two deprecated; complete(true,true)");
    lua_rig_evict(&r);
    r.replaying = true;
    lua_rig_start(&r, "W", NULL);
    assert_string_equal(lua_rig_step(&r), "patch two deprecated; complete(false,false)");
    lua_rig_evict(&r);
    lua_rig_start(&r, "W", NULL);
    lua_rig_patch(&r, "one");
    assert_string_equal(lua_rig_step(&r), "patch one; patch two deprecated; complete(true,true)");
    lua_rig_close(&r);
}

static void options_are_checked(void **state)
{
    static const struct {
        const char *body, *error;
    } rows[] = {
        {"workflow.execute_activity('a', { start_to_close_timout = 1 })",
         "unknown option 'start_to_close_timout' (did you mean 'start_to_close_timeout'?)"},
        {"workflow.execute_activity('a', {})", "needs start_to_close_timeout"},
        {"workflow.execute_activity('a', { start_to_close_timeout = '5 parsecs' })",
         "start_to_close_timeout"},
        {"workflow.execute_activity('a', { start_to_close_timeout = -1 })", "between 0 and 100"},
        {"workflow.execute_activity('a', 42)", "options must be a table"},
        {"workflow.execute_activity('a', { 1 })", "option names are strings"},
        {"workflow.execute_activity('a', { start_to_close_timeout = 1, cancellation_type = 'x' })",
         "must be one of \"try_cancel\""},
        {"workflow.execute_activity('a', { start_to_close_timeout = 1, retry_policy = "
         "{ maximum_attemps = 1 } })",
         "did you mean 'maximum_attempts'?"},
        {"workflow.sleep({})", "a duration is a number of seconds"},
        {"workflow.define('X', function() end)", "belongs at the top of a module"},
        {"workflow.wait_any { 1 }", "not a future"},
        {"workflow.sleep(1, { sumary = 'x' })", "did you mean 'summary'?"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct lua_rig r;
        const char *text = lua_rig_body(&r, rows[i].body);
        if (!strstr(text, rows[i].error) || strncmp(text, "task failed: main.lua:1: ", 25) != 0) {
            fail_msg("%s\ngives %s\nnot %s", rows[i].body, text, rows[i].error);
        }
        lua_rig_close(&r);
    }
}

static void memo_and_search_attributes(void **state)
{
    struct lua_rig r;
    (void)state;
    assert_string_equal(
        lua_rig_body(&r,
                     "workflow.upsert_memo { b = 2, a = 'x' }\n"
                     "workflow.upsert_search_attributes { K = 'v', N = 1, D = 1.5, B = true,\n"
                     "  L = { 'a' }, T = temporal.search_attribute('Text', 't') }\n"
                     "workflow.upsert_search_attributes { K = temporal.null }\n"
                     "local i = workflow.info()\n"
                     "return i.memo, i.search_attributes, i.workflow_id, i.attempt, i.task_queue"),
        "memo a=\"x\" b=2; search B=true:Bool D=1.5:Double K=\"v\":Keyword L=[\"a\"]:KeywordList "
        "N=1:Int T=\"t\":Text; search K=:removed; complete({\"a\":\"x\",\"b\":2},{\"B\":true,"
        "\"D\":1.5,\"L\":[\"a\"],\"N\":1,\"T\":\"t\"},\"wf-1\",1,\"queue\")");
    lua_rig_close(&r);
}

static void logs_are_silent_on_replay(void **state)
{
    struct lua_rig r;
    (void)state;
    lua_rig_body(&r, "print('a', 1, nil) workflow.log.info('order', { b = 2, a = 1 }) "
                     "workflow.log('short') warn('w') return 1");
    assert_string_equal(r.log, "a\t1\tnil\norder a=1 b=2\nshort\nw\n");
    lua_rig_evict(&r);
    r.log[0] = '\0';
    r.replaying = true;
    lua_rig_start(&r, "W", NULL);
    lua_rig_step(&r);
    assert_string_equal(r.log, "");
    lua_rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(completes),
        cmocka_unit_test(runs_activities_and_timers),
        cmocka_unit_test(raises_activity_errors),
        cmocka_unit_test(bugs_fail_the_task),
        cmocka_unit_test(signals_wait_for_their_handlers),
        cmocka_unit_test(cancelled_wait_all_follows_its_flag),
        cmocka_unit_test(closing_a_blocked_coroutine_follows_its_flag),
        cmocka_unit_test(definition_tables_have_handlers_and_self),
        cmocka_unit_test(queries_change_nothing),
        cmocka_unit_test(cancellation_is_raised_once),
        cmocka_unit_test(cancellation_of_activities),
        cmocka_unit_test(shield_and_defer),
        cmocka_unit_test(scopes_time_out),
        cmocka_unit_test(spawned_coroutines),
        cmocka_unit_test(awaits_inside_user_coroutines),
        cmocka_unit_test(select_and_conditions),
        cmocka_unit_test(continue_as_new_cannot_be_caught),
        cmocka_unit_test(patches),
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test(memo_and_search_attributes),
        cmocka_unit_test(logs_are_silent_on_replay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
