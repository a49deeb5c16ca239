/* Prints what a cached run costs: memory growth per run blocked in its first activity, and the time
 * to create and block it. Not a test: it asserts nothing about figures.
 *   usage: bench_luart [runs] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/world.h"
#include "luart/luart.h"
#include "proto/pb.h"

static const char source[] =
    "local workflow = require 'temporal.workflow'\n"
    "return workflow.define('Small', function(order)\n"
    "  local status = 'new'\n"
    "  workflow.set_query_handler('status', function() return status end)\n"
    "  local receipt = workflow.execute_activity('charge', { start_to_close_timeout = '30s' }, "
    "order)\n"
    "  status = 'charged'\n"
    "  return receipt\n"
    "end)\n";

static size_t resident_bytes(void)
{
    long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f || fscanf(f, "%ld %ld", &pages, &resident) != 2) {
        resident = 0;
    }
    if (f) {
        fclose(f);
    }
    return (size_t)resident * (size_t)sysconf(_SC_PAGESIZE);
}

static void start(struct tl_lua_run *run, struct tl_arena *arena,
                  TpHistory__WorkflowExecutionStartedEventAttributes *attrs)
{
    struct tl_job job = {.type = TL_JOB_INIT};
    struct tl_error err;
    job.u.init.attrs = attrs;
    job.u.init.seed = 7;
    struct tl_activation a = {.now_ns = 1, .jobs = &job, .job_count = 1, .arena = arena};
    struct tl_completion out = {.arena = arena};
    struct tl_lang lang = tl_lua_run_lang(run);
    if (lang.activate(lang.ud, &a, &out, &err) != TL_OK || out.cmd_count != 1) {
        fprintf(stderr, "activate: %s\n", err.message);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    size_t n = argc > 1 ? strtoul(argv[1], NULL, 10) : 10000, held = 0;
    struct tl_bundle_source one = {TL_STR_LIT("small"), TL_STR_LIT(source)};
    struct tl_bundle_config config = {.sources = &one, .source_count = 1};
    struct tl_lua_run_config run_config = {.namespace_ = TL_STR_LIT("default"),
                                           .task_queue = TL_STR_LIT("orders"),
                                           .workflow_id = TL_STR_LIT("order-123456")};
    struct tl_bundle *bundle;
    struct tl_error err;
    struct tl_arena arena, kept;
    if (tl_bundle_open(&bundle, &config, &err) != TL_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    tl_arena_init(&arena, 64 << 20);
    tl_arena_init(&kept, 64 << 20);
    TpHistory__WorkflowExecutionStartedEventAttributes *attrs =
        TL_PB_NEW(&kept, TpHistory__WorkflowExecutionStartedEventAttributes,
                  tp_history__workflow_execution_started_event_attributes);
    attrs->first_execution_run_id = tl_pb_cstr(&kept, TL_STR_LIT("run-0"));
    struct tl_lua_run **runs = TL_NEW_ARRAY(struct tl_lua_run *, n);
    memset(runs, 1, n * sizeof *runs); /* so that the list itself is resident before */
    size_t before = resident_bytes();
    const struct tl_world *world = tl_world_real();
    int64_t t0 = tl_world_mono_ns(world);
    for (size_t i = 0; i < n; i++) {
        if (tl_lua_run_new(&runs[i], bundle, TL_STR_LIT("Small"), &run_config, &err) != TL_OK) {
            fprintf(stderr, "%s\n", err.message);
            return 1;
        }
        start(runs[i], &arena, attrs);
        tl_arena_reset(&arena);
    }
    int64_t t1 = tl_world_mono_ns(world);
    size_t after = resident_bytes();
    for (size_t i = 0; i < n; i++) {
        held += tl_lua_run_bytes(runs[i]);
    }
    printf("%zu blocked runs: %.0f bytes of memory each, %.0f of them accounted, %.1f us to create "
           "and block\n",
           n, (double)(after - before) / (double)n, (double)held / (double)n,
           (double)(t1 - t0) / 1e3 / (double)n);
    for (size_t i = 0; i < n; i++) {
        tl_lua_run_free(runs[i]);
    }
    tl_mem_free(runs);
    tl_bundle_close(bundle);
    tl_arena_deinit(&arena);
    tl_arena_deinit(&kept);
    tl_lua_thread_end();
    return 0;
}
