/* server start-dev: the embedded server behind a port. The main thread waits in the event loop for a
 * signal; engine, store, reader and gRPC have threads of their own. */
#include <stdio.h>

#include "base/log.h"
#include "cli/cli.h"
#include "cli/dev_config.h"
#include "cli/dev_ports.h"
#include "io/loop.h"
#include "server/server.h"

#define KEYS_TEXT_MAX 16384
#define CONFIG_TEXT_MAX 65536

int tl_cmd_server_start_dev(struct tl_cli *cli);

static bool on_stop(void *ud, int signal, unsigned count)
{
    if (count > 1) {
        return false; /* the second signal ends the process at once */
    }
    TL_LOG(TL_LOG_INFO, "server.stopping", TL_I("signal", signal));
    tl_loop_post_stop(ud);
    return true;
}

static size_t count_of(const char *const *texts)
{
    size_t n = 0;
    while (texts[n]) {
        n++;
    }
    return n;
}

static tl_rc read_options(struct tl_cli *cli, struct tl_server_options *o, struct tl_error *err)
{
    struct tl_buf idle;
    tl_server_options_default(o);
    o->db_path = tl_cli_text(cli, "db-filename");
    o->namespaces = tl_cli_texts(cli, "namespace");
    o->namespace_count = count_of(o->namespaces);
    o->pragmas = tl_cli_texts(cli, "sqlite-pragma");
    o->pragma_count = count_of(o->pragmas);
    o->search_attributes = tl_cli_texts(cli, "search-attribute");
    o->search_attribute_count = count_of(o->search_attributes);
    tl_buf_init(&idle, KEYS_TEXT_MAX);
    tl_rc rc = tl_dev_config_apply(tl_cli_texts(cli, "dynamic-config-value"), o, &idle, err);
    if (rc == TL_OK && idle.n) {
        TL_LOG(TL_LOG_INFO, "server.settings_without_effect", TL_S("keys", tl_buf_str(&idle)));
    }
    tl_buf_deinit(&idle);
    return rc;
}

static void print_config(struct tl_cli *cli, const struct tl_server_options *o)
{
    struct tl_buf text;
    tl_buf_init(&text, CONFIG_TEXT_MAX);
    tl_cli_print_options(cli, &text);
    tl_dev_config_print(o, &text);
    fputs(text.p, stderr);
    tl_buf_deinit(&text);
}

static int serve(struct tl_cli *cli, struct tl_server *server, struct tl_metrics *metrics,
                 struct tl_loop *loop)
{
    struct tl_dev_ports ports;
    struct tl_error err;
    if (tl_loop_on_stop(loop, on_stop, loop, &err) != TL_OK ||
        tl_dev_ports_open(&ports, cli, server, metrics, &err) != TL_OK) {
        return tl_cli_fail(1, "%s", err.message);
    }
    tl_dev_ports_print(&ports, cli);
    tl_loop_run(loop);
    tl_dev_ports_close(&ports);
    return 0;
}

static int open_and_serve(struct tl_cli *cli, const struct tl_server_options *o)
{
    struct tl_server *server = NULL;
    struct tl_loop *loop;
    struct tl_error err;
    int code = 1;
    if (tl_loop_open(&loop, &err) != TL_OK) {
        return tl_cli_fail(1, "%s", err.message);
    }
    tl_rc rc = tl_server_open(&server, o, &err);
    if (rc == TL_OK) {
        rc = tl_server_start(server, &err);
    }
    if (rc == TL_OK) {
        code = serve(cli, server, o->metrics, loop);
        tl_server_stop(server);
    } else {
        tl_cli_fail(1, "%s", err.message);
    }
    tl_server_close(server);
    tl_loop_close(loop);
    return code;
}

static int check_ports(struct tl_cli *cli)
{
    static const char *const names[] = {"port", "http-port", "metrics-port", "ui-port"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        int64_t port = tl_cli_text(cli, names[i]) ? tl_cli_integer(cli, names[i]) : 0;
        if (port < 0 || port > 65535) {
            return tl_cli_fail(2, "--%s wants 0 to 65535, got %lld", names[i], (long long)port);
        }
    }
    return 0;
}

int tl_cmd_server_start_dev(struct tl_cli *cli)
{
    struct tl_server_options o;
    struct tl_error err;
    int code = tl_cli_log_options(cli);
    code = code ? code : check_ports(cli);
    if (code) {
        return code;
    }
    if (read_options(cli, &o, &err) != TL_OK) {
        return tl_cli_fail(2, "%s", err.message);
    }
    if (tl_cli_flag(cli, "log-config")) {
        print_config(cli, &o);
    }
    o.metrics = tl_metrics_new(NULL);
    code = open_and_serve(cli, &o);
    tl_metrics_free(o.metrics);
    return code;
}
