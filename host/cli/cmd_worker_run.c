/* worker run: the main thread owns the Lua state and waits in it; a second thread runs the event loop
 * that turns SIGINT and SIGTERM into a shutdown of the workers. */
#include <lauxlib.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/codec_options.h"
#include "cli/worker_port.h"
#include "cli/embedded_server.h"
#include "cli/script.h"
#include "cli/watch.h"
#include "io/loop.h"
#include "luahost/host.h"
#include "worker/worker.h"

#define COLUMNS_DEFAULT 80

int tl_cmd_worker_run(struct tl_cli *cli);
int tl_cmd_worker_build_id(struct tl_cli *cli);

static bool on_stop(void *ud, int signal, unsigned count)
{
    if (count > 1) {
        return false; /* the second signal ends the process at once */
    }
    TL_LOG(TL_LOG_INFO, "worker.stopping", TL_I("signal", signal));
    return tl_host_shutdown_workers(ud); /* before there is a worker nobody would look */
}

static void nobody_reads(int signal)
{
    (void)signal;
}

/* A reader of our output that has gone ends no worker: writing fails, and that is all. Not SIG_IGN, which the
 * programs that activities start would inherit. */
static void outlive_readers(void)
{
    struct sigaction action = {.sa_handler = nobody_reads, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    (void)sigaction(SIGPIPE, &action, NULL);
}

/* SIGHUP, or scripts that have changed. The answer goes to the log. */
static void reload(void *ud)
{
    tl_host_request(ud, "reload", NULL, NULL);
}

static void *serve_loop(void *ud)
{
    tl_loop_run(ud);
    return NULL;
}

/* Sets a field of the table on top unless the text is NULL. */
static void set_text(lua_State *L, const char *field, const char *text)
{
    if (text) {
        lua_pushstring(L, text);
        lua_setfield(L, -2, field);
    }
}

static void set_metadata(lua_State *L, struct tl_cli *cli)
{
    struct tl_grpc_header list[TL_CLI_GRPC_META_MAX];
    char *names;
    size_t n = tl_cli_grpc_meta(cli, list, &names);
    lua_createtable(L, 0, (int)n);
    for (size_t i = 0; i < n; i++) {
        lua_pushlstring(L, list[i].value.p, list[i].value.n);
        lua_setfield(L, -2, list[i].name);
    }
    lua_setfield(L, -2, "metadata");
    tl_mem_free(names);
}

/* Sets the fields of temporal.connect; returns 0 or an exit code. */
static int set_address(lua_State *L, struct tl_cli *cli, const char *address)
{
    set_text(L, "address", address);
    set_text(L, "api_key", tl_cli_text(cli, "api-key"));
    set_text(L, "authority", tl_cli_text(cli, "client-authority"));
    if (!tl_cli_wants_tls(cli)) {
        lua_pushboolean(L, false);
    } else {
        static const char *const fields[][2] = {
            {"server_root_ca_cert_path", "tls-ca-path"},
            {"server_root_ca_cert", "tls-ca-data"},
            {"client_cert_path", "tls-cert-path"},
            {"client_cert", "tls-cert-data"},
            {"client_private_key_path", "tls-key-path"},
            {"client_private_key", "tls-key-data"},
            {"domain", "tls-server-name"},
        };
        lua_createtable(L, 0, 8);
        for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
            set_text(L, fields[i][0], tl_cli_text(cli, fields[i][1]));
        }
        lua_pushboolean(L, tl_cli_flag(cli, "tls-disable-host-verification"));
        lua_setfield(L, -2, "disable_host_verification");
    }
    lua_setfield(L, -2, "tls");
    set_metadata(L, cli);
    return 0;
}

/* Sets `tls` of the options of codec.remote on top, when any of it is given. */
static void push_codec_tls(lua_State *L, struct tl_cli *cli)
{
    struct tl_fetch_tls_options tls;
    if (!tl_cli_codec_tls(cli, &tls)) {
        return;
    }
    lua_newtable(L);
    for (const struct tl_cli_codec_tls *t = tl_cli_codec_tls_texts; t->option; t++) {
        set_text(L, t->field, tl_cli_text(cli, t->option));
    }
    lua_pushboolean(L, tls.disable_host_verification);
    lua_setfield(L, -2, "disable_host_verification");
    lua_setfield(L, -2, "tls");
}

/* Pushes the options of codec.remote, nil without --codec-endpoint; returns 0 or an exit code. */
static int push_codec_server(lua_State *L, struct tl_cli *cli)
{
    const char *endpoint, *const *headers = tl_cli_texts(cli, "codec-header");
    struct tl_error err;
    if (tl_cli_codec_endpoint(cli, &endpoint, &err) != TL_OK) {
        return tl_cli_fail(2, "%s", err.message);
    }
    if (!endpoint) {
        lua_pushnil(L);
        return 0;
    }
    lua_createtable(L, 0, 3);
    set_text(L, "endpoint", endpoint);
    set_text(L, "auth", tl_cli_text(cli, "codec-auth"));
    lua_newtable(L);
    for (size_t i = 0; headers[i]; i++) {
        size_t name_n = strcspn(headers[i], "=");
        lua_pushlstring(L, headers[i], name_n);
        lua_pushstring(L, headers[i] + name_n + 1);
        lua_settable(L, -3);
    }
    lua_setfield(L, -2, "headers");
    push_codec_tls(L, cli);
    return 0;
}

/* The flags that were given, under the names of the options. */
static void push_flags(lua_State *L, struct tl_cli *cli)
{
    lua_newtable(L);
    for (const struct tl_option_row *r = tl_worker_option_rows(); r->name; r++) {
        char flag[128];
        size_t n = strlen(r->name);
        if (r->kind == TL_OPT_NONE || strcmp(r->name, "task_queue") == 0 || n >= sizeof flag) {
            continue; /* no flag: commands.lua says which */
        }
        for (size_t i = 0; i <= n; i++) {
            flag[i] = r->name[i] == '_' ? '-' : r->name[i];
        }
        if (tl_cli_given(cli, flag)) {
            bool on = r->kind == TL_OPT_BOOL && tl_cli_flag(cli, flag);
            set_text(L, r->name,
                     r->kind != TL_OPT_BOOL ? tl_cli_text(cli, flag)
                     : on                   ? "true"
                                            : "false");
        }
    }
}

/* [-0, +1, -] The width of the terminal as it is now */
static int terminal_columns(lua_State *L)
{
    struct winsize size = {0};
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    lua_pushinteger(L, known ? size.ws_col : COLUMNS_DEFAULT);
    return 1;
}

/* Flags, the file of settings, and the width of the terminal that shows the status. */
static void push_settings(lua_State *L, struct tl_cli *cli)
{
    lua_createtable(L, 0, 3);
    push_flags(L, cli);
    lua_setfield(L, -2, "flags");
    set_text(L, "config", tl_cli_text(cli, "config"));
    if (isatty(STDOUT_FILENO) && !tl_cli_flag(cli, "no-status")) {
        tl_log_over_status(isatty(STDERR_FILENO));
        lua_pushcfunction(L, terminal_columns);
        lua_setfield(L, -2, "columns");
    }
}

/* Pushes the driver, the list of scripts, the connection options, the addresses of metrics and health,
 * the codec server and the settings. */
static int push_driver(lua_State *L, struct tl_cli *cli)
{
    int count;
    const char *address;
    char **scripts = tl_cli_args(cli, &count);
    int code = tl_cli_address(cli, &address);
    if (code) {
        return code;
    }
    lua_getglobal(L, "require");
    lua_pushliteral(L, "temporal.internal.run_workers");
    if (tl_cli_script_call(L, 1, 1)) {
        return 1;
    }
    lua_createtable(L, count, 0);
    for (int i = 0; i < count; i++) {
        lua_pushstring(L, scripts[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_createtable(L, 0, 2);
    set_text(L, "db_filename", tl_cli_text(cli, "db-filename"));
    set_text(L, "namespace", tl_cli_text(cli, "namespace"));
    code = address ? set_address(L, cli, address) : 0;
    lua_createtable(L, 0, 2);
    set_text(L, "metrics", tl_cli_text(cli, "metrics-address"));
    set_text(L, "health", tl_cli_text(cli, "health-address"));
    code = code ? code : push_codec_server(L, cli);
    if (code == 0) {
        push_settings(L, cli);
    }
    return code;
}

/* The folders that hold the scripts, and those of --watch-folder. Opens nothing without --watch. */
static tl_rc open_watch(lua_State *L, struct tl_cli *cli, struct tl_loop *loop,
                        struct tl_watch **out, struct tl_error *err)
{
    int count;
    size_t n = 0;
    char **scripts = tl_cli_args(cli, &count);
    const char *const *more = tl_cli_texts(cli, "watch-folder");
    *out = NULL;
    if (!tl_cli_flag(cli, "watch") && !more[0]) {
        return TL_OK;
    }
    size_t most = (size_t)count;
    while (more[most - (size_t)count]) {
        most++;
    }
    char **folders = TL_NEW_ARRAY(char *, most);
    for (int i = 0; i < count; i++) {
        const char *slash = strrchr(scripts[i], '/');
        folders[n++] = slash ? tl_mem_dup(tl_str_n(scripts[i], (size_t)(slash - scripts[i]) + 1))
                             : tl_mem_dup(TL_STR_LIT("."));
    }
    for (size_t i = 0; more[i]; i++) {
        folders[n++] = tl_mem_dup(tl_str(more[i]));
    }
    tl_rc rc = tl_watch_open(out, loop, folders, n, reload, tl_host_get(L), err);
    while (n) {
        tl_mem_free(folders[--n]);
    }
    tl_mem_free(folders);
    return rc;
}

static int run_with_loop(lua_State *L, struct tl_cli *cli, struct tl_loop *loop)
{
    pthread_t thread;
    struct tl_error err;
    struct tl_watch *watch;
    struct tl_worker_port *port = NULL;
    if (tl_loop_on_stop(loop, on_stop, tl_host_get(L), &err) != TL_OK ||
        tl_loop_on_hangup(loop, reload, tl_host_get(L), &err) != TL_OK ||
        open_watch(L, cli, loop, &watch, &err) != TL_OK) {
        return tl_cli_fail(1, "%s", err.message);
    }
    if (tl_worker_port_open(&port, tl_host_get(L), &err) != TL_OK) {
        TL_LOG(TL_LOG_WARN, "worker.no_port", TL_C("error", err.message));
    }
    if (pthread_create(&thread, NULL, serve_loop, loop) != 0) {
        tl_worker_port_close(port);
        tl_watch_close(watch);
        return tl_cli_fail(1, "cannot start a thread");
    }
    int code = push_driver(L, cli);
    if (code == 0) {
        code = tl_cli_script_call(L, 5, 0);
    }
    tl_worker_port_close(port);
    tl_loop_post_stop(loop);
    pthread_join(thread, NULL);
    tl_watch_close(watch);
    return code;
}

int tl_cmd_worker_run(struct tl_cli *cli)
{
    int argc, code = tl_cli_log_options(cli);
    char **argv = tl_cli_args(cli, &argc);
    struct tl_loop *loop;
    struct tl_error err;
    if (code) {
        return code;
    }
    outlive_readers();
    if (tl_loop_open(&loop, &err) != TL_OK) {
        return tl_cli_fail(1, "%s", err.message);
    }
    lua_State *L = tl_cli_script_state(argv, argc);
    code = L ? run_with_loop(L, cli, loop) : 1;
    if (L) {
        lua_close(L);
    }
    tl_loop_close(loop);
    return code;
}

/* worker build-id: the same state and scripts, but no server. */
int tl_cmd_worker_build_id(struct tl_cli *cli)
{
    int count, code = 1;
    char **scripts = tl_cli_args(cli, &count);
    lua_State *L = tl_cli_script_state(scripts, count);
    if (!L) {
        return 1;
    }
    lua_getglobal(L, "require");
    lua_pushliteral(L, "temporal.internal.build_ids");
    if (tl_cli_script_call(L, 1, 1) == 0) {
        lua_createtable(L, count, 0);
        for (int i = 0; i < count; i++) {
            lua_pushstring(L, scripts[i]);
            lua_rawseti(L, -2, i + 1);
        }
        code = tl_cli_script_call(L, 1, 0);
    }
    lua_close(L);
    return code;
}
