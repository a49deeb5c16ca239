/* Fuzzer of scripts: any text as the module of a bundle, and the first task of each workflow that it defines.
 * What is accepted runs within its steps and memory and does the same twice. */
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/mem.h"
#include "luart/luart.h"
#include "proto/pb.h"

#define STEPS_MAX UINT64_C(200000)
#define MEMORY_MAX ((size_t)8 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The commands of the first activation as their types, and how it ended. */
static tl_rc first_task(struct tl_bundle *bundle, struct tl_str type, struct tl_buf *out)
{
    struct tl_lua_run_config config = {.steps_max = STEPS_MAX, .memory_bytes_max = MEMORY_MAX};
    struct tl_lua_run *run;
    struct tl_error err;
    struct tl_arena arena;
    TpHistory__WorkflowExecutionStartedEventAttributes start =
        TP_HISTORY__WORKFLOW_EXECUTION_STARTED_EVENT_ATTRIBUTES__INIT;
    struct tl_job job = {.type = TL_JOB_INIT, .u.init = {&start, 7, 1000}};
    tl_rc rc = tl_lua_run_new(&run, bundle, type, &config, &err);
    if (rc != TL_OK) {
        return rc;
    }
    tl_arena_init(&arena, (size_t)64 << 20);
    struct tl_activation activation = {
        .now_ns = 1000, .history_length = 3, .jobs = &job, .job_count = 1, .arena = &arena};
    struct tl_completion completion = {.arena = &arena};
    struct tl_lang lang = tl_lua_run_lang(run);
    rc = lang.activate(lang.ud, &activation, &completion, &err);
    for (size_t i = 0; rc == TL_OK && i < completion.cmd_count; i++) {
        (void)tl_buf_printf(out, "%d %u %.*s\n", completion.cmds[i].type, completion.cmds[i].seq,
                            TL_STR_FMT(completion.cmds[i].where));
    }
    tl_lua_run_free(run);
    tl_arena_deinit(&arena);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tl_bundle_source source = {TL_STR_LIT("main"), tl_str_n((const char *)data, size)};
    struct tl_bundle_config config = {.sources = &source,
                                      .source_count = 1,
                                      .memory_bytes_max = MEMORY_MAX,
                                      .steps_max = STEPS_MAX};
    struct tl_bundle *bundle;
    struct tl_error err = {0};
    if (tl_bundle_open(&bundle, &config, &err) != TL_OK) {
        TL_ASSERT(*err.message);
        return 0;
    }
    const struct tl_bundle_workflow *w;
    for (size_t i = 0; (w = tl_bundle_workflow_at(bundle, i)) != NULL; i++) {
        struct tl_buf once, again;
        struct tl_str type = w->dynamic ? TL_STR_LIT("any") : w->type;
        tl_buf_init(&once, (size_t)64 << 20);
        tl_buf_init(&again, (size_t)64 << 20);
        tl_rc rc = first_task(bundle, type, &once);
        TL_ASSERT(first_task(bundle, type, &again) == rc);
        TL_ASSERT(tl_str_eq(tl_buf_str(&once), tl_buf_str(&again)));
        tl_buf_deinit(&once);
        tl_buf_deinit(&again);
    }
    tl_bundle_close(bundle);
    return 0;
}
