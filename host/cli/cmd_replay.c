/* replay: histories from files against workflow scripts. Exit code 1 when one does not fit. */
#include <stdio.h>

#include "base/limits.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "core/replay.h"
#include "luart/bundle.h"
#include "luart/luart.h"
#include "proto/history_json.h"
#include "proto/jsonv.h"

#define STEPS_MAX UINT64_C(2000000000) /* VM instructions of one activation: about ten seconds */

int tl_cmd_replay(struct tl_cli *cli);

struct outcome {
    tl_rc rc;
    struct tl_replay_result result;
    struct tl_error err;
};

static void replay(struct tl_bundle *bundle, const TpHistory__History *history,
                   struct tl_arena *arena, struct outcome *out)
{
    struct tl_lua_run *run = NULL;
    struct tl_lua_run_config config = {.steps_max = STEPS_MAX};
    out->rc = tl_lua_run_new(&run, bundle, tl_replay_workflow_type(history), &config, &out->err);
    if (out->rc == TL_OK) {
        struct tl_lang lang = tl_lua_run_lang(run);
        out->rc = tl_replay(history, NULL, &lang, arena, &out->result, &out->err);
    }
    tl_lua_run_free(run);
}

static void print_text(const char *file, const struct outcome *o, struct tl_buf *text)
{
    if (o->rc == TL_OK) {
        tl_buf_printf(text, "%s: ok, %zu events, %zu workflow tasks\n", file, o->result.event_count,
                      o->result.task_count);
        return;
    }
    tl_buf_printf(text, "%s: FAILED\n", file);
    if (o->result.report) {
        tl_nde_report_text(o->result.report, text);
    } else {
        tl_buf_printf(text, "%s\n", o->err.message);
    }
}

static void print_json(const char *file, const struct outcome *o, struct tl_buf *text)
{
    struct tl_buf report;
    struct tl_jw w;
    tl_buf_init(&report, (size_t)tl_limit_blob_bytes);
    if (o->result.report) {
        tl_nde_report_json(o->result.report, &report);
    }
    tl_jw_init(&w, text, 0, 8);
    tl_jw_object(&w);
    tl_jw_name(&w, TL_STR_LIT("file"));
    tl_jw_string(&w, tl_str(file));
    tl_jw_name(&w, TL_STR_LIT("ok"));
    tl_jw_bool(&w, o->rc == TL_OK);
    tl_jw_name(&w, TL_STR_LIT("events"));
    tl_jw_uint(&w, o->result.event_count);
    tl_jw_name(&w, TL_STR_LIT("code"));
    tl_jw_string(&w, tl_str(tl_rc_name(o->rc)));
    tl_jw_name(&w, TL_STR_LIT("message"));
    tl_jw_string(&w, tl_str(o->rc == TL_OK ? "" : o->err.message));
    tl_jw_name(&w, TL_STR_LIT("report"));
    tl_jw_raw(&w, report.n ? tl_buf_str(&report) : TL_STR_LIT("null"));
    tl_jw_object_end(&w);
    if (tl_jw_finish(&w, NULL) != TL_OK) { /* a file name that is not UTF-8 */
        tl_buf_clear(text);
        tl_buf_printf(text, "{\"ok\":%s}", o->rc == TL_OK ? "true" : "false");
    }
    tl_buf_putc(text, '\n');
    tl_buf_deinit(&report);
}

static bool replay_file(struct tl_bundle *bundle, const char *file, bool json)
{
    struct tl_arena arena;
    struct tl_buf text;
    struct outcome o = {0};
    TpHistory__History *history;
    char *bytes = NULL;
    size_t n;
    tl_arena_init(&arena, (size_t)tl_limit_request_bytes * 8);
    tl_buf_init(&text, (size_t)tl_limit_blob_bytes * 2);
    o.rc = tl_cli_read_file(file, &bytes, &n, &o.err);
    if (o.rc == TL_OK) {
        o.rc = tl_history_read(tl_str_n(bytes, n), &arena, &history, &o.err);
    }
    if (o.rc == TL_OK) {
        replay(bundle, history, &arena, &o);
    }
    if (json) {
        print_json(file, &o, &text);
    } else {
        print_text(file, &o, &text);
    }
    fwrite(text.p, 1, text.n, stdout);
    tl_buf_deinit(&text);
    tl_mem_free(bytes);
    tl_arena_deinit(&arena);
    return o.rc == TL_OK;
}

int tl_cmd_replay(struct tl_cli *cli)
{
    static const char *const here[] = {".", NULL};
    int count, failed = 0;
    bool json = tl_cli_json(cli);
    char **files = tl_cli_args(cli, &count);
    const char *const *roots = tl_cli_texts(cli, "root");
    struct tl_bundle *bundle;
    struct tl_error err;
    struct tl_bundle_config config = {
        .roots = roots[0] ? roots : here,
        .workflow_modules = tl_cli_texts(cli, "workflows"),
        .activity_modules = tl_cli_texts(cli, "activities"),
    };
    if (tl_bundle_open(&bundle, &config, &err) != TL_OK) {
        return tl_cli_fail(1, "%s", err.message);
    }
    for (int i = 0; i < count; i++) {
        failed += !replay_file(bundle, files[i], json);
    }
    tl_bundle_close(bundle);
    if (!json && count > 1) {
        printf("%d of %d histories fit\n", count - failed, count);
    }
    return failed ? 1 : 0;
}
