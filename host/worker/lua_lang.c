/* The Lua language over a bundle: what worker.h calls struct tl_worker_lang. */
#include "base/mem.h"
#include "crypto/digest.h"
#include "luart/bundle.h"
#include "luart/luart.h"
#include "worker/worker.h"

/* Where no clock may decide, a millisecond of CPU time is this many VM instructions. */
#define STEPS_PER_MS UINT64_C(100000)

struct lua_lang {
    struct tl_worker_lang lang; /* first */
    struct tl_bundle *bundle;
    struct tl_watchdog *watchdog; /* NULL when none could be started */
    char digest[TL_SHA256_HEX];
};

static size_t run_bytes(void *ud)
{
    return tl_lua_run_bytes(ud);
}

static void run_free(void *ud)
{
    tl_lua_run_free(ud);
}

static bool run_fails_on(void *ud, struct tl_str type)
{
    return tl_lua_run_fails_on(ud, type);
}

static tl_rc open(void *ud, const struct tl_run_info *info, struct tl_run_lang *out,
                  struct tl_error *err)
{
    struct lua_lang *l = ud;
    struct tl_lua_run *run = NULL;
    struct tl_lua_run_config config = {
        .memory_bytes_max = (size_t)info->memory_bytes_max,
        .namespace_ = info->namespace_name,
        .task_queue = info->task_queue,
        .workflow_id = info->workflow_id,
        .run_id = info->run_id,
        .failure_error_types = info->failure_error_types,
        .deployment_name = info->deployment_name,
        .build_id = info->build_id,
        .metrics = info->metrics,
    };
    if (info->stepped) {
        config.steps_max = (uint64_t)info->cpu_ms_max * STEPS_PER_MS;
    } else if (info->cpu_ms_max > 0) {
        config.cpu_budget_ns = info->cpu_ms_max * 1000000;
        config.watchdog = l->watchdog;
    }
    tl_rc rc = tl_lua_run_new(&run, l->bundle, info->workflow_type, &config, err);
    if (rc != TL_OK) {
        return rc;
    }
    const struct tl_bundle_workflow *wf = tl_bundle_workflow_find(l->bundle, info->workflow_type);
    *out = (struct tl_run_lang){
        .lang = tl_lua_run_lang(run),
        .run = run,
        .bytes = run_bytes,
        .free = run_free,
        .fails_on = run_fails_on,
        .versioning_behavior = wf ? wf->versioning_behavior : (struct tl_str){0},
    };
    return TL_OK;
}

static void thread_end(void *ud)
{
    (void)ud;
    tl_lua_thread_end();
}

static void add_source(void *ud, struct tl_str module, struct tl_str file, struct tl_str text)
{
    struct tl_digest *d = ud;
    tl_digest_put_field(d, module);
    tl_digest_put_field(d, file);
    tl_digest_put_field(d, text);
}

void tl_worker_bundle_digest(const struct tl_bundle *bundle, char out[65])
{
    struct tl_digest *d = tl_digest_new();
    int version = tl_bundle_semantics_version();
    char bytes[4] = {(char)version, (char)(version >> 8), (char)(version >> 16),
                     (char)(version >> 24)};
    tl_digest_put_field(d, tl_str_n(bytes, sizeof bytes));
    tl_bundle_each_source(bundle, add_source, d);
    tl_digest_finish_hex(d, out);
}

struct tl_worker_lang *tl_worker_lua_lang_new(struct tl_bundle *bundle)
{
    struct lua_lang *l = TL_NEW(struct lua_lang);
    l->bundle = bundle;
    if (tl_watchdog_new(&l->watchdog, NULL) != TL_OK) {
        l->watchdog = NULL;
    }
    tl_worker_bundle_digest(bundle, l->digest);
    l->lang = (struct tl_worker_lang){
        .ud = l, .open = open, .thread_end = thread_end, .digest = tl_str(l->digest)};
    return &l->lang;
}

void tl_worker_lua_lang_free(struct tl_worker_lang *lang)
{
    if (lang) {
        struct lua_lang *l = lang->ud;
        tl_watchdog_free(l->watchdog);
        tl_mem_free(l);
    }
}
