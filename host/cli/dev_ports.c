/* See dev_ports.h. */
#include "cli/dev_ports.h"

#include <stdio.h>
#include <string.h>

#define REQUEST_BYTES_MAX (4 * 1024 * 1024) /* as every Temporal server */
#define UI_PORT_ABOVE 1000
#define PORT_MAX 65535

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

static tl_rc open_api(struct tl_dev_ports *p, struct tl_cli *cli, struct tl_server *server,
                      struct tl_error *err)
{
    if (!tl_cli_given(cli, "http-port")) {
        return TL_OK;
    }
    p->api = tl_http_api_new(tl_server_service(server), false);
    return open_http(&p->http, "HTTP", p->ip, tl_cli_integer(cli, "http-port"), tl_http_api_handle,
                     p->api, err);
}

static int64_t ui_port(struct tl_cli *cli)
{
    int64_t port = tl_cli_integer(cli, "port");
    if (tl_cli_given(cli, "ui-port")) {
        return tl_cli_integer(cli, "ui-port");
    }
    return port == 0 ? 0 : port + UI_PORT_ABOVE > PORT_MAX ? PORT_MAX : port + UI_PORT_ABOVE;
}

static tl_rc open_ui(struct tl_dev_ports *p, struct tl_cli *cli, struct tl_server *server,
                     struct tl_error *err)
{
    struct tl_http_page_options o = {
        .public_path = tl_cli_text(cli, "ui-public-path"),
        .asset_path = tl_cli_text(cli, "ui-asset-path"),
        .codec_endpoint = tl_cli_text(cli, "ui-codec-endpoint"),
    };
    if (tl_cli_flag(cli, "headless")) {
        return TL_OK;
    }
    p->ui_ip = tl_cli_text(cli, "ui-ip") ? tl_cli_text(cli, "ui-ip") : p->ip;
    tl_rc rc = tl_http_page_new(&p->page, &o, tl_server_service(server), err);
    if (rc != TL_OK) {
        return rc;
    }
    rc = open_http(&p->ui, "UI", p->ui_ip, ui_port(cli), tl_http_page_handle, p->page, err);
    if (rc != TL_OK && !tl_cli_given(cli, "ui-port")) {
        rc = tl_error_wrap(err, rc, "--ui-port and --headless choose another way");
    }
    return rc;
}

tl_rc tl_dev_ports_open(struct tl_dev_ports *p, struct tl_cli *cli, struct tl_server *server,
                        struct tl_metrics *metrics, struct tl_error *err)
{
    memset(p, 0, sizeof *p);
    p->ip = tl_cli_text(cli, "ip");
    tl_rc rc = open_grpc(p, cli, server, err);
    if (rc == TL_OK) {
        rc = open_api(p, cli, server, err);
    }
    if (rc == TL_OK) {
        rc = open_ui(p, cli, server, err);
    }
    if (rc == TL_OK) {
        rc = open_http(&p->metrics, "metrics", p->ip, tl_cli_integer(cli, "metrics-port"),
                       tl_http_metrics_handle, metrics, err);
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
    const char *path = tl_cli_text(cli, "ui-public-path");
    print_port("Server:", "", p->ip, tl_grpc_server_port(p->grpc), "");
    if (p->http) {
        print_port("HTTP:", "", p->ip, tl_http_port(p->http), "");
    }
    if (p->ui) {
        print_port("UI:", "http://", p->ui_ip, tl_http_port(p->ui), path ? path : "");
    }
    print_port("Metrics:", "http://", p->ip, tl_http_port(p->metrics), "/metrics");
    fflush(stdout);
}

void tl_dev_ports_close(struct tl_dev_ports *p)
{
    tl_http_close(p->metrics);
    tl_http_close(p->ui);
    tl_http_page_free(p->page);
    tl_http_close(p->http);
    tl_http_api_free(p->api);
    tl_grpc_server_close(p->grpc);
    memset(p, 0, sizeof *p);
}
