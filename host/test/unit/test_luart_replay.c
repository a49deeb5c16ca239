/* The Lua language under the engine: histories replayed against scripts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include <tl_enums.h>

#include "../support/history_builder.h"
#include "core/replay.h"
#include "luart/luart.h"

#define HEAD                                                                                       \
    "local workflow = require 'temporal.workflow'\nlocal temporal = require 'temporal'\n"          \
    "return workflow.define('W', function(...)\n"
#define OPTS "{ start_to_close_timeout = '30s' }"

struct fixture {
    struct tl_arena arena;
    struct tl_hb hb;
    struct tl_replay_result result;
    struct tl_error err;
};

static void begin(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    tl_arena_init(&f->arena, 1 << 28);
    tl_hb_init(&f->hb, &f->arena);
    tl_hb_start(&f->hb, "W");
}

static tl_rc replay(struct fixture *f, const char *body)
{
    char source[8192];
    snprintf(source, sizeof source, HEAD "%s\nend)", body);
    struct tl_bundle_source one = {TL_STR_LIT("main"), tl_str(source)};
    struct tl_bundle_config config = {.sources = &one, .source_count = 1};
    struct tl_lua_run_config run_config = {.task_queue = TL_STR_LIT("queue")};
    struct tl_bundle *bundle;
    struct tl_lua_run *run;
    if (tl_bundle_open(&bundle, &config, &f->err) != TL_OK ||
        tl_lua_run_new(&run, bundle, TL_STR_LIT("W"), &run_config, &f->err) != TL_OK) {
        fail_msg("%s", f->err.message);
    }
    struct tl_lang lang = tl_lua_run_lang(run);
    tl_rc rc = tl_replay(tl_hb_history(&f->hb), NULL, &lang, &f->arena, &f->result, &f->err);
    tl_lua_run_free(run);
    tl_bundle_close(bundle);
    return rc;
}

static void agree(struct fixture *f, const char *body)
{
    if (replay(f, body) != TL_OK) {
        fail_msg("%s", f->err.message);
    }
    assert_true(f->result.finished);
    tl_arena_deinit(&f->arena);
}

static void end(struct fixture *f, int type)
{
    tl_hb_add(&f->hb, type);
}

static void activities_timers_and_signals(void **state)
{
    struct fixture f;
    (void)state;
    begin(&f);
    tl_hb_full_task(&f.hb);
    int64_t a = tl_hb_activity_scheduled(&f.hb, "1", "charge");
    tl_hb_activity_started(&f.hb, a);
    tl_hb_activity_completed(&f.hb, a, "\"r-1\"");
    tl_hb_full_task(&f.hb);
    int64_t t = tl_hb_timer_started(&f.hb, "1");
    tl_hb_timer_fired(&f.hb, t);
    tl_hb_full_task(&f.hb);
    tl_hb_signaled(&f.hb, "go");
    tl_hb_full_task(&f.hb);
    end(&f, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    agree(&f, "local going = false\n"
              "workflow.set_signal_handler('go', function() going = true end)\n"
              "workflow.execute_activity('charge', " OPTS ")\n"
              "workflow.sleep(60)\n"
              "workflow.wait_condition(function() return going end)");
}

static void a_cancelled_activity(void **state)
{
    struct fixture f;
    (void)state;
    begin(&f);
    tl_hb_full_task(&f.hb);
    int64_t a = tl_hb_activity_scheduled(&f.hb, "1", "slow");
    tl_hb_activity_started(&f.hb, a);
    tl_hb_cancel_requested(&f.hb, "user");
    tl_hb_full_task(&f.hb);
    tl_hb_activity_cancel_requested(&f.hb, a);
    end(&f, EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED);
    agree(&f, "local ok, err = pcall(workflow.execute_activity, 'slow', " OPTS ")\n"
              "assert(not ok and err.type == 'CancelledError', tostring(err))\n"
              "error(err)");
}

static void waiting_for_a_cancelled_activity(void **state)
{
    struct fixture f;
    (void)state;
    begin(&f);
    tl_hb_full_task(&f.hb);
    int64_t a = tl_hb_activity_scheduled(&f.hb, "1", "slow");
    tl_hb_activity_started(&f.hb, a);
    tl_hb_cancel_requested(&f.hb, "user");
    tl_hb_full_task(&f.hb);
    tl_hb_activity_cancel_requested(&f.hb, a);
    tl_hb_activity_canceled(&f.hb, a);
    tl_hb_full_task(&f.hb);
    end(&f, EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED);
    agree(&f, "workflow.execute_activity('slow', { start_to_close_timeout = 5,\n"
              "  cancellation_type = 'wait_cancellation_completed' })");
}

static void timers_that_are_cancelled(void **state)
{
    struct fixture f;
    (void)state;
    begin(&f);
    tl_hb_full_task(&f.hb);
    int64_t t = tl_hb_timer_started(&f.hb, "1");
    tl_hb_signaled(&f.hb, "go");
    tl_hb_full_task(&f.hb);
    tl_hb_timer_canceled(&f.hb, t);
    end(&f, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    agree(&f, "local going = false\n"
              "workflow.set_signal_handler('go', function() going = true end)\n"
              "assert(workflow.wait_condition(function() return going end, { timeout = '1h' }))\n"
              "local gone = workflow.start_timer(5) gone:cancel()");
}

static void patches_follow_the_history(void **state)
{
    struct fixture f;
    (void)state;
    begin(&f);
    tl_hb_full_task(&f.hb);
    tl_hb_patch(&f.hb, "new", false);
    tl_hb_patch_upsert(&f.hb);
    int64_t t = tl_hb_timer_started(&f.hb, "1");
    tl_hb_timer_fired(&f.hb, t);
    tl_hb_full_task(&f.hb);
    end(&f, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    agree(&f, "if workflow.patched('new') then workflow.sleep(1) end assert(not "
              "workflow.patched('newer'))");
    begin(&f);
    tl_hb_full_task(&f.hb);
    end(&f, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    agree(&f, "if workflow.patched('new') then workflow.sleep(1) end");
}

static void a_changed_script_is_told(void **state)
{
    struct fixture f;
    (void)state;
    begin(&f);
    tl_hb_full_task(&f.hb);
    int64_t a = tl_hb_activity_scheduled(&f.hb, "1", "charge");
    tl_hb_activity_started(&f.hb, a);
    tl_hb_activity_completed(&f.hb, a, "1");
    tl_hb_full_task(&f.hb);
    end(&f, EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    assert_int_equal(replay(&f, "\nworkflow.execute_activity('bill', " OPTS ")"),
                     TL_ENONDETERMINISM);
    assert_non_null(f.result.report);
    assert_true(tl_str_eqc(f.result.report->expected.name, "charge"));
    assert_true(tl_str_eqc(f.result.report->produced.name, "bill"));
    assert_true(tl_str_eqc(f.result.report->produced.where, "main.lua:5"));
    assert_int_equal(replay(&f, "workflow.sleep(1)"), TL_ENONDETERMINISM);
    assert_int_equal(replay(&f, "error(\"x\")"), TL_ESCRIPT);
    tl_arena_deinit(&f.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(activities_timers_and_signals),
        cmocka_unit_test(a_cancelled_activity),
        cmocka_unit_test(waiting_for_a_cancelled_activity),
        cmocka_unit_test(timers_that_are_cancelled),
        cmocka_unit_test(patches_follow_the_history),
        cmocka_unit_test(a_changed_script_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
