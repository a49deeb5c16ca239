/* Fuzzer of replay: any bytes as a history, JSON or encoded, against the workflows of the fixtures (the seeds
 * are their histories) and one that takes every other type. Whatever comes of it comes of it twice, and a
 * failure says why. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "luart/replay.h"
#include "proto/history_json.h"

#define STEPS_MAX UINT64_C(1000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char any_type[] =
    "local workflow = require 'temporal.workflow'\n"
    "local opts = { start_to_close_timeout = 5 }\n"
    "return workflow.define { dynamic = true, run = function(type, ...)\n"
    "  local got = 0\n"
    "  workflow.set_dynamic_signal_handler(function(name, ...)\n"
    "    got = got + 1\n"
    "    pcall(workflow.execute_activity, name, opts, ...)\n"
    "  end)\n"
    "  workflow.set_dynamic_update_handler(function(name, ...)\n"
    "    workflow.sleep(got)\n"
    "    return name, ...\n"
    "  end)\n"
    "  if workflow.patched('new') then pcall(workflow.execute_local_activity, 'near', opts, ...) "
    "end\n"
    "  workflow.version('price', 1, 5)\n"
    "  local all = { workflow.start_activity('a', opts, ...), workflow.start_timer(1) }\n"
    "  local side = workflow.side_effect(function() return math.random() end)\n"
    "  pcall(workflow.execute_child_workflow, 'Child', { id = type }, side)\n"
    "  pcall(workflow.wait_all, all)\n"
    "  workflow.wait_condition(function() return got > 1 end, { timeout = 60 })\n"
    "  workflow.continue_as_new({}, got)\n"
    "end }\n";

static struct tl_bundle *open_bundle(void)
{
    static struct tl_bundle *bundle;
    static const char *const roots[] = {"spec/fixtures/histories", NULL};
    static const char *const modules[] = {"workflows", NULL};
    struct tl_bundle_source source = {TL_STR_LIT("any"), tl_str(any_type)};
    struct tl_bundle_config config = {
        .roots = roots, .workflow_modules = modules, .sources = &source, .source_count = 1};
    struct tl_error err;
    if (!bundle && tl_bundle_open(&bundle, &config, &err) != TL_OK) {
        fprintf(stderr, "run it in the top folder: %s\n", err.message);
        abort();
    }
    return bundle;
}

static void check_report(const struct tl_nde_report *report)
{
    struct tl_buf out;
    tl_buf_init(&out, (size_t)64 << 20);
    TL_ASSERT(tl_nde_report_text(report, &out) && tl_nde_report_json(report, &out));
    tl_buf_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tl_bundle *bundle = open_bundle();
    const struct tl_lua_replay_config config = {.steps_max = STEPS_MAX};
    struct tl_arena arena;
    struct tl_replay_result once, again;
    struct tl_error err = {0}, other = {0};
    TpHistory__History *history;
    tl_arena_init(&arena, (size_t)512 << 20);
    if (tl_history_read(tl_str_n((const char *)data, size), &arena, &history, &err) == TL_OK) {
        tl_rc rc = tl_lua_replay(bundle, history, &config, &arena, &once, &err);
        tl_rc second = tl_lua_replay(bundle, history, &config, &arena, &again, &other);
        TL_ASSERT(rc == second && once.task_count == again.task_count);
        TL_ASSERT(rc == TL_OK || (*err.message && strcmp(err.message, other.message) == 0));
        if (once.report) {
            check_report(once.report);
        }
    }
    tl_arena_deinit(&arena);
    return 0;
}
