/* replay: histories from files, folders, stdin or a server against workflow scripts. Each is told as soon as
 * it is replayed. Exit code 0 when all fit, 1 when one does not, 2 for a wrong command line. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "base/mem.h"
#include "cli/connect.h"
#include "cli/replay_plugins.h"
#include "cli/script.h"
#include "luart/bundle.h"
#include "luart/replay.h"
#include "proto/history_json.h"
#include "proto/jsonv.h"
#include "proto/pb.h"

int tl_cmd_replay(struct tl_cli *cli);

#define FOLDER_DEPTH_MAX 32

struct replay {
    struct tl_cli *cli;
    struct tl_bundle *bundle;          /* NULL: */
    struct tl_replay_plugins *plugins; /* they have it */
    int code;                          /* of a plugin that raised: the command ends */
    struct tl_lua_replay_config config;
    bool json;
    bool only_nondeterminism; /* other failures are told and do not count */
    size_t count, failed, passed_over;
};

/* What is said of one history. */
struct outcome {
    const char *file; /* NULL: of a server */
    struct tl_str workflow_id, run_id;
    tl_rc rc;
    struct tl_replay_result result;
    struct tl_error err;
    struct tl_replay_told told; /* by a replayer with plugins, in place of the report */
};

/* --- telling ---------------------------------------------------------------------------------- */

static const char *verdict(const struct replay *r, const struct outcome *o)
{
    if (o->told.held_back) {
        return "held back by a plugin";
    }
    if (o->rc == TL_OK) {
        return "ok";
    }
    return r->only_nondeterminism && o->rc != TL_ENONDETERMINISM ? "not judged" : "FAILED";
}

static void put_name(const struct outcome *o, struct tl_buf *text)
{
    if (o->file) {
        tl_buf_puts(text, strcmp(o->file, "-") == 0 ? "stdin" : o->file);
    } else {
        tl_buf_printf(text, "%.*s %.*s", TL_STR_FMT(o->workflow_id), TL_STR_FMT(o->run_id));
    }
}

static void put_text(const struct replay *r, const struct outcome *o, struct tl_buf *text)
{
    put_name(o, text);
    if (o->rc == TL_OK && !o->told.held_back) {
        tl_buf_printf(text, ": ok, %zu events, %zu workflow tasks\n", o->result.event_count,
                      o->result.task_count);
        return;
    }
    tl_buf_printf(text, ": %s\n", verdict(r, o));
    if (o->result.report) {
        tl_nde_report_text(o->result.report, text);
    } else if (o->told.text.n) {
        tl_buf_put_str(text, o->told.text);
        if (o->told.text.p[o->told.text.n - 1] != '\n') {
            tl_buf_putc(text, '\n');
        }
    } else if (!o->told.held_back) {
        tl_buf_printf(text, "%s\n", o->err.message);
    }
}

static void put_member(struct tl_jw *w, const char *name, struct tl_str value)
{
    tl_jw_name(w, tl_str(name));
    tl_jw_string(w, value);
}

static void put_json(const struct replay *r, const struct outcome *o, struct tl_buf *text)
{
    struct tl_buf report;
    struct tl_jw w;
    tl_buf_init(&report, (size_t)tl_limit_blob_bytes);
    if (o->result.report) {
        tl_nde_report_json(o->result.report, &report);
    } else if (o->told.report_json.n) {
        tl_buf_put_str(&report, o->told.report_json);
    }
    tl_jw_init(&w, text, 0, 8);
    tl_jw_object(&w);
    if (o->file) {
        put_member(&w, "file", tl_str(o->file));
    }
    put_member(&w, "workflow_id", o->workflow_id);
    put_member(&w, "run_id", o->run_id);
    tl_jw_name(&w, TL_STR_LIT("ok"));
    tl_jw_bool(&w, o->rc == TL_OK);
    put_member(&w, "verdict", tl_str(verdict(r, o)));
    tl_jw_name(&w, TL_STR_LIT("events"));
    tl_jw_uint(&w, o->result.event_count);
    put_member(&w, "code", o->told.code.n ? o->told.code : tl_str(tl_rc_name(o->rc)));
    put_member(&w, "message",
               o->told.message.n ? o->told.message : tl_str(o->rc == TL_OK ? "" : o->err.message));
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

static void tell(struct replay *r, const struct outcome *o)
{
    struct tl_buf text;
    r->count++;
    if (o->told.held_back ||
        (o->rc != TL_OK && r->only_nondeterminism && o->rc != TL_ENONDETERMINISM)) {
        r->passed_over++;
    } else {
        r->failed += o->rc != TL_OK;
    }
    tl_buf_init(&text, (size_t)tl_limit_blob_bytes * 2);
    if (r->json) {
        put_json(r, o, &text);
    } else {
        put_text(r, o, &text);
    }
    fwrite(text.p, 1, text.n, stdout);
    fflush(stdout); /* whoever replays thousands wants to see how far it is */
    tl_buf_deinit(&text);
}

static void tell_all(const struct replay *r)
{
    if (r->json || r->count < 2) {
        return;
    }
    printf("%zu of %zu histories fit", r->count - r->failed - r->passed_over, r->count);
    if (r->passed_over) {
        printf(", %zu could not be judged", r->passed_over);
    }
    printf("\n");
}

/* --- replaying -------------------------------------------------------------------------------- */

/* The same by a replayer with plugins. */
static void replay_with_plugins(struct replay *r, const TpHistory__History *history,
                                struct tl_arena *arena, struct outcome *o)
{
    struct tl_str bytes;
    o->rc = tl_pb_encode_arena(history, arena, &bytes, &o->err);
    if (o->rc != TL_OK) {
        return;
    }
    if (!tl_replay_plugins_replay(r->plugins, bytes, o->workflow_id, o->run_id, arena, &o->told)) {
        r->code = 1;
        o->rc = tl_error_set(&o->err, TL_ESCRIPT, "a plugin raised an error");
        return;
    }
    if (!o->told.held_back) {
        o->workflow_id = o->told.workflow_id;
        o->run_id = o->told.run_id;
    }
    o->result.event_count = o->told.event_count;
    o->result.task_count = o->told.task_count;
    if (o->told.code.n) {
        o->rc = tl_str_eqc(o->told.code, tl_rc_name(TL_ENONDETERMINISM)) ? TL_ENONDETERMINISM
                                                                         : TL_ESCRIPT;
    }
}

static void replay(struct replay *r, const TpHistory__History *history, struct tl_arena *arena,
                   struct outcome *o)
{
    if (r->plugins) {
        replay_with_plugins(r, history, arena, o);
        return;
    }
    struct tl_lua_replay_config config = r->config;
    config.workflow_id = o->workflow_id;
    config.run_id = o->run_id;
    o->rc = tl_lua_replay(r->bundle, history, &config, arena, &o->result, &o->err);
    if (tl_replay_workflow_type(history).n && !o->workflow_id.n) {
        const TpHistory__WorkflowExecutionStartedEventAttributes *a =
            history->events[0]->workflow_execution_started_event_attributes;
        o->workflow_id = tl_str(a->workflow_id);
        o->run_id = tl_str(a->original_execution_run_id);
    }
}

static void replay_file(struct replay *r, const char *file)
{
    if (r->code) {
        return;
    }
    struct tl_arena arena;
    struct outcome o = {.file = file};
    TpHistory__History *history;
    char *bytes = NULL;
    size_t n;
    tl_arena_init(&arena, (size_t)tl_limit_request_bytes * 8);
    o.rc = tl_cli_read_file(file, &bytes, &n, &o.err);
    if (o.rc == TL_OK) {
        o.rc = tl_history_read(tl_str_n(bytes, n), &arena, &history, &o.err);
    }
    if (o.rc == TL_OK) {
        replay(r, history, &arena, &o);
    }
    tell(r, &o);
    tl_mem_free(bytes);
    tl_arena_deinit(&arena);
}

/* --- folders ---------------------------------------------------------------------------------- */

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool is_history(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && (strcmp(dot, ".json") == 0 || strcmp(dot, ".pb") == 0 ||
                   strcmp(dot, ".binpb") == 0 || strcmp(dot, ".bin") == 0);
}

/* The names in a folder, without hidden ones. */
struct names {
    char **list;
    size_t n, cap;
};

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool read_folder(const char *folder, struct names *out)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    *out = (struct names){0};
    while (dir && (entry = readdir(dir))) {
        if (entry->d_name[0] == '.') {
            continue;
        }
        if (out->n == out->cap) {
            out->cap = out->cap ? out->cap * 2 : 64;
            out->list = tl_mem_realloc(out->list, out->cap * sizeof *out->list);
        }
        out->list[out->n++] = tl_mem_dup(tl_str(entry->d_name));
    }
    if (out->n) {
        qsort(out->list, out->n, sizeof *out->list, by_bytes);
    }
    return dir && closedir(dir) == 0;
}

/* Every history below it, by name. */
static void replay_folder(struct replay *r, const char *folder, int depth)
{
    struct names names = {0};
    if (depth >= FOLDER_DEPTH_MAX || !read_folder(folder, &names)) {
        struct outcome o = {.file = folder, .rc = TL_EIO};
        (void)tl_error_set(&o.err, TL_EIO, "cannot read the folder '%s'", folder);
        tell(r, &o);
    }
    for (size_t i = 0; i < names.n; i++) {
        struct tl_buf path;
        tl_buf_init(&path, 1 << 16);
        tl_buf_printf(&path, "%s/%s", folder, names.list[i]);
        (void)tl_buf_putc(&path, '\0');
        if (is_folder(path.p)) {
            replay_folder(r, path.p, depth + 1);
        } else if (is_history(names.list[i])) {
            replay_file(r, path.p);
        }
        tl_buf_deinit(&path);
        tl_mem_free(names.list[i]);
    }
    tl_mem_free(names.list);
}

/* --- a server --------------------------------------------------------------------------------- */

static struct replay *of_session; /* the body of a session has no other argument */

static void replay_served(struct replay *r, struct tl_cli_session *s,
                          const TpCommon__WorkflowExecution *execution, struct tl_arena *arena)
{
    struct tl_client_error err;
    TpHistory__History *history;
    if (r->code) {
        return;
    }
    struct outcome o = {.workflow_id = tl_str(execution->workflow_id),
                        .run_id = tl_str(execution->run_id)};
    o.rc = tl_client_history(s->client, o.workflow_id, o.run_id, arena, &history, &err);
    if (o.rc == TL_OK) {
        replay(r, history, arena, &o);
    } else {
        o.err = err.error;
    }
    tell(r, &o);
}

/* All runs that match, page by page; each history is there only while it is replayed. */
static int replay_query(struct tl_cli_session *s)
{
    struct replay *r = of_session;
    TpWs__ListWorkflowExecutionsRequest request = TP_WS__LIST_WORKFLOW_EXECUTIONS_REQUEST__INIT;
    TpWs__ListWorkflowExecutionsResponse *page;
    struct tl_client_error err;
    struct tl_arena of_page, of_history;
    int64_t limit = tl_cli_integer(s->cli, "limit"), done = 0;
    int code = 0;
    request.query = tl_cli_field(s, "query");
    tl_arena_init(&of_page, s->arena.bytes_max);
    tl_arena_init(&of_history, s->arena.bytes_max);
    do {
        tl_arena_reset(&of_page);
        if (tl_client_call(s->client, TL_M_ListWorkflowExecutions, &request, &of_page, &page,
                           tl_cli_time_left_ns(s), &err) != TL_OK) {
            code = tl_cli_call_failed("replay: failed listing workflows", &err);
            break;
        }
        for (size_t i = 0; i < page->n_executions && (limit == 0 || done < limit); i++, done++) {
            tl_arena_reset(&of_history);
            replay_served(r, s, page->executions[i]->execution, &of_history);
        }
        request.next_page_token =
            tl_pb_bytes_view(tl_arena_str(&s->arena, tl_pb_str(page->next_page_token)));
    } while (request.next_page_token.len && (limit == 0 || done < limit));
    tl_arena_deinit(&of_page);
    tl_arena_deinit(&of_history);
    return code;
}

/* --- the command ------------------------------------------------------------------------------ */

/* Reads --interceptor MODULE[=CONFIG]. Owns: the list; its texts are the command line's. */
static struct tl_bundle_interceptor *read_interceptors(struct replay *r, size_t *n)
{
    const char *const *given = tl_cli_texts(r->cli, "interceptor");
    for (*n = 0; given[*n]; (*n)++) {
    }
    struct tl_bundle_interceptor *list = TL_NEW_ARRAY(struct tl_bundle_interceptor, *n + 1);
    for (size_t i = 0; i < *n; i++) {
        const char *equals = strchr(given[i], '=');
        list[i].module =
            tl_str_n(given[i], equals ? (size_t)(equals - given[i]) : strlen(given[i]));
        list[i].config = tl_str(equals ? equals + 1 : "");
    }
    return list;
}

/* Where Lua scripts find their modules; pass-through modules are found there, too. Owns: the text. */
static char *package_path(void)
{
    char *path = NULL;
    lua_State *L = tl_cli_script_state((char *[]){NULL}, 0);
    if (L && lua_getglobal(L, "package") == LUA_TTABLE &&
        lua_getfield(L, -1, "path") == LUA_TSTRING) {
        path = tl_mem_dup(tl_str(lua_tostring(L, -1)));
    }
    if (L) {
        lua_close(L);
    }
    return path;
}

static int open_scripts(struct replay *r)
{
    static const char *const here[] = {".", NULL};
    const char *const *shared = tl_cli_texts(r->cli, "passthrough-module");
    int code = tl_replay_plugins_open(r->cli, &r->plugins);
    if (code != 0 || r->plugins) {
        return code;
    }
    char *path = shared[0] ? package_path() : NULL;
    const char *const *roots = tl_cli_texts(r->cli, "root");
    struct tl_error err;
    size_t n;
    struct tl_bundle_interceptor *interceptors = read_interceptors(r, &n);
    struct tl_bundle_config config = {
        .roots = roots[0] ? roots : here,
        .workflow_modules = tl_cli_texts(r->cli, "workflows"),
        .activity_modules = tl_cli_texts(r->cli, "activities"),
        .passthrough_modules = shared,
        .package_path = path,
        .interceptors = interceptors,
        .interceptor_count = n,
    };
    tl_rc rc = tl_bundle_open(&r->bundle, &config, &err);
    tl_mem_free(interceptors);
    tl_mem_free(path);
    if (rc != TL_OK) {
        return tl_cli_fail(1, "%s", err.message);
    }
    return 0;
}

static int replay_all(struct replay *r, char **paths, int count)
{
    for (int i = 0; i < count; i++) {
        if (is_folder(paths[i])) {
            replay_folder(r, paths[i], 0);
        } else {
            replay_file(r, paths[i]);
        }
    }
    if (!tl_cli_text(r->cli, "query")) {
        return 0;
    }
    of_session = r;
    return tl_cli_session_run(r->cli, TL_CLI_DB_EXISTS, replay_query);
}

int tl_cmd_replay(struct tl_cli *cli)
{
    int count, code;
    char **paths = tl_cli_args(cli, &count);
    const char *report = tl_cli_text(cli, "report"), *output = tl_cli_text(cli, "output");
    struct replay r = {
        .cli = cli,
        .config = {.steps_max = TL_LUA_REPLAY_STEPS_MAX,
                   .namespace_ = tl_str(tl_cli_text(cli, "namespace"))},
        .json = strcmp(report ? report : output, "text") != 0,
        .only_nondeterminism = tl_cli_flag(cli, "only-determinism-failures"),
    };
    if (count == 0 && !tl_cli_text(cli, "query")) {
        return tl_cli_fail(2,
                           "replay: give HISTORY-FILEs, folders of them, - for stdin, or --query");
    }
    if (tl_cli_integer(cli, "limit") < 0) {
        return tl_cli_fail(2, "replay: --limit wants a number from 0 up");
    }
    code = tl_cli_log_options(cli);
    if (code == 0) {
        code = open_scripts(&r);
    }
    if (code == 0) {
        code = replay_all(&r, paths, count);
        int ended = tl_replay_plugins_close(r.plugins, r.code == 0);
        code = code ? code : r.code ? r.code : ended;
        tell_all(&r);
        tl_bundle_close(r.bundle);
    }
    if (code == 0 && r.count == 0) {
        return tl_cli_fail(1, "replay: there are no histories: nothing was checked");
    }
    return code ? code : r.failed ? 1 : 0;
}
