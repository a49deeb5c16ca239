/* The ports of server start-dev: gRPC, and what HTTP serves. Thread: main. */
#pragma once

#include "cli/cli.h"
#include "http/api.h"
#include "http/http.h"
#include "http/pages.h"
#include "rpc/grpc.h"
#include "server/server.h"

struct tl_dev_ports {
    const char *ip, *ui_ip;
    struct tl_grpc_server *grpc;
    struct tl_http_api *api;
    struct tl_http_page *page;
    struct tl_http *http, *metrics, *ui; /* NULL: not asked for */
};

/* Opens what the command line asks for; on failure everything is closed again.
 * Errors: TL_EINVAL, TL_EUNAVAILABLE (port in use), TL_EPERMISSION, TL_EIO; the message names the port. */
tl_rc tl_dev_ports_open(struct tl_dev_ports *p, struct tl_cli *cli, struct tl_server *server,
                        struct tl_metrics *metrics, struct tl_error *err) TL_MUST_USE;
/* One line for each port, as the official tool says it. */
void tl_dev_ports_print(const struct tl_dev_ports *p, struct tl_cli *cli);
void tl_dev_ports_close(struct tl_dev_ports *p);
