/* See embedded_server.h. */
#include "cli/embedded_server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rpc/grpc.h"

static void make_client(struct tl_cli_server *s, const char *namespace_name)
{
    struct tl_client_config config = {.channel = s->channel,
                                      .namespace_name = tl_str(namespace_name)};
    s->client = tl_client_new(&config);
}

tl_rc tl_cli_server_open(struct tl_cli_server *s, const char *db, const char *namespace_name,
                         bool must_exist, struct tl_error *err)
{
    struct tl_server_options o;
    memset(s, 0, sizeof *s);
    if (must_exist && access(db, R_OK) != 0) {
        return tl_error_set(err, TL_ENOTFOUND, "cannot read the database '%s': %s", db,
                            strerror(errno));
    }
    tl_server_options_default(&o);
    o.db_path = db;
    tl_rc rc = tl_server_open(&s->server, &o, err);
    if (rc == TL_OK) {
        rc = tl_server_start(s->server, err);
    }
    if (rc != TL_OK) {
        tl_server_close(s->server);
        s->server = NULL;
        return rc;
    }
    s->channel = tl_local_channel_open(tl_server_service(s->server));
    make_client(s, namespace_name);
    return TL_OK;
}

int tl_cli_address(struct tl_cli *cli, const char **address)
{
    *address = tl_cli_text(cli, "address");
    if (!*address || !tl_cli_text(cli, "db-filename")) {
        return 0;
    }
    if (*address != getenv("TEMPORAL_ADDRESS")) {
        return tl_cli_fail(2, "--address and --db-filename exclude each other");
    }
    *address = NULL;
    return 0;
}

bool tl_cli_wants_tls(struct tl_cli *cli)
{
    const char *said = tl_cli_text(cli, "tls");
    if (said) {
        return strcmp(said, "true") == 0 || strcmp(said, "1") == 0;
    }
    return tl_cli_text(cli, "api-key") || tl_cli_text(cli, "tls-ca-path") ||
           tl_cli_text(cli, "tls-cert-path");
}

tl_rc tl_cli_remote_open(struct tl_cli_server *s, struct tl_cli *cli, const char *address,
                         const char *namespace_name, struct tl_error *err)
{
    struct tl_grpc_channel_options o = {
        .address = address,
        .namespace_name = namespace_name,
        .api_key = tl_cli_text(cli, "api-key"),
        .tls = tl_cli_wants_tls(cli),
        .ca_file = tl_cli_text(cli, "tls-ca-path"),
        .cert_file = tl_cli_text(cli, "tls-cert-path"),
        .key_file = tl_cli_text(cli, "tls-key-path"),
        .server_name = tl_cli_text(cli, "tls-server-name"),
    };
    memset(s, 0, sizeof *s);
    tl_rc rc = tl_grpc_channel_open(&s->channel, &o, err);
    if (rc == TL_OK) {
        make_client(s, namespace_name);
    }
    return rc;
}

void tl_cli_server_close(struct tl_cli_server *s)
{
    tl_client_free(s->client);
    tl_channel_close(s->channel);
    if (s->server) {
        tl_server_stop(s->server);
    }
    tl_server_close(s->server);
    memset(s, 0, sizeof *s);
}
