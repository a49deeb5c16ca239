/* See dev_ports.h. */
#include "cli/dev_ports.h"

#include <stdio.h>
#include <string.h>

#define REQUEST_BYTES_MAX (4 * 1024 * 1024) /* as every Temporal server */

static tl_rc open_grpc(struct tl_dev_ports *p, struct tl_cli *cli, struct tl_server *server,
                       struct tl_error *err)
{
    struct tl_grpc_server_options o = {
        .ip = p->ip,
        .port = (int)tl_cli_integer(cli, "port"),
        .request_bytes_max = REQUEST_BYTES_MAX,
        .cert_path = tl_cli_text(cli, "tls-cert-path"),
        .key_path = tl_cli_text(cli, "tls-key-path"),
        .client_ca_path = tl_cli_text(cli, "tls-client-ca-path"),
    };
    tl_rc rc = tl_grpc_server_open(&p->grpc, &o, tl_server_service(server), err);
    return rc == TL_OK ? rc : tl_error_wrap(err, rc, "cannot open the frontend port");
}

static tl_rc open_http(struct tl_http **out, const char *what, const char *ip, int64_t port,
                       void (*handle)(void *ud, struct tl_http_request *r), void *ud,
                       struct tl_error *err)
{
    struct tl_http_options o = {.ip = ip, .port = (int)port, .handler = {ud, handle}};
    tl_rc rc = tl_http_open(out, &o, err);
    return rc == TL_OK ? rc : tl_error_wrap(err, rc, "cannot open the %s port", what);
}

tl_rc tl_dev_ports_open(struct tl_dev_ports *p, struct tl_cli *cli, struct tl_server *server,
                        struct tl_error *err)
{
    memset(p, 0, sizeof *p);
    p->ip = tl_cli_text(cli, "ip");
    tl_rc rc = open_grpc(p, cli, server, err);
    if (rc == TL_OK && tl_cli_given(cli, "http-port")) {
        p->api = tl_http_api_new(tl_server_service(server), false);
        rc = open_http(&p->http, "HTTP", p->ip, tl_cli_integer(cli, "http-port"),
                       tl_http_api_handle, p->api, err);
    }
    if (rc != TL_OK) {
        tl_dev_ports_close(p);
    }
    return rc;
}

/* The loopback addresses by their name, IPv6 in brackets. */
static void print_port(const char *what, const char *scheme, const char *ip, int port,
                       const char *path)
{
    if (strcmp(ip, "127.0.0.1") == 0 || strcmp(ip, "::1") == 0) {
        ip = "localhost";
    }
    printf(strchr(ip, ':') ? "%-8s %s[%s]:%d%s\n" : "%-8s %s%s:%d%s\n", what, scheme, ip, port,
           path);
}

void tl_dev_ports_print(const struct tl_dev_ports *p, struct tl_cli *cli)
{
    (void)cli;
    print_port("Server:", "", p->ip, tl_grpc_server_port(p->grpc), "");
    if (p->http) {
        print_port("HTTP:", "", p->ip, tl_http_port(p->http), "");
    }
    fflush(stdout);
}

void tl_dev_ports_close(struct tl_dev_ports *p)
{
    tl_http_close(p->http);
    tl_http_api_free(p->api);
    tl_grpc_server_close(p->grpc);
    memset(p, 0, sizeof *p);
}
