/* server start-dev: the embedded server behind a port. The main thread waits in the event loop for a
 * signal; engine, store, reader and gRPC have threads of their own. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "cli/cli.h"
#include "cli/dev_config.h"
#include "io/loop.h"
#include "rpc/grpc.h"
#include "server/server.h"

#define KEYS_TEXT_MAX 16384

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
    tl_buf_init(&idle, KEYS_TEXT_MAX);
    tl_rc rc = tl_dev_config_apply(tl_cli_texts(cli, "dynamic-config-value"), o, &idle, err);
    if (rc == TL_OK && idle.n) {
        TL_LOG(TL_LOG_INFO, "server.settings_without_effect", TL_S("keys", tl_buf_str(&idle)));
    }
    tl_buf_deinit(&idle);
    return rc;
}

/* As the official tool says it: the loopback addresses by their name, IPv6 in brackets. */
static void print_ready(const char *ip, int port)
{
    if (strcmp(ip, "127.0.0.1") == 0 || strcmp(ip, "::1") == 0) {
        ip = "localhost";
    }
    printf(strchr(ip, ':') ? "%-8s [%s]:%d\n" : "%-8s %s:%d\n", "Server:", ip, port);
    fflush(stdout);
}

static int serve(struct tl_cli *cli, struct tl_server *server, struct tl_loop *loop)
{
    struct tl_grpc_server *port;
    struct tl_error err;
    const char *ip = tl_cli_text(cli, "ip");
    struct tl_grpc_server_options o = {
        .ip = ip,
        .port = (int)tl_cli_integer(cli, "port"),
        .cert_file = tl_cli_text(cli, "tls-cert-path"),
        .key_file = tl_cli_text(cli, "tls-key-path"),
        .client_ca_file = tl_cli_text(cli, "tls-client-ca-path"),
    };
    if (tl_loop_on_stop(loop, on_stop, loop, &err) != TL_OK ||
        tl_grpc_server_open(&port, &o, tl_server_service(server), &err) != TL_OK) {
        return tl_cli_fail(1, "%s", err.message);
    }
    print_ready(ip, tl_grpc_server_port(port));
    tl_loop_run(loop);
    tl_grpc_server_close(port);
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
        code = serve(cli, server, loop);
        tl_server_stop(server);
    } else {
        tl_cli_fail(1, "%s", err.message);
    }
    tl_server_close(server);
    tl_loop_close(loop);
    return code;
}

int tl_cmd_server_start_dev(struct tl_cli *cli)
{
    struct tl_server_options o;
    struct tl_error err;
    int64_t port = tl_cli_integer(cli, "port");
    int code = tl_cli_log_options(cli);
    if (code) {
        return code;
    }
    if (port < 0 || port > 65535) {
        return tl_cli_fail(2, "--port wants 0 to 65535, got %lld", (long long)port);
    }
    if (read_options(cli, &o, &err) != TL_OK) {
        return tl_cli_fail(2, "%s", err.message);
    }
    return open_and_serve(cli, &o);
}
