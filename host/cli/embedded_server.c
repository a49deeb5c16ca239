/* See embedded_server.h. */
#include "cli/embedded_server.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"

#define GRPC_META_BYTES_MAX ((size_t)16 << 20) /* more than a command line can have */

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
    if (tl_cli_given(cli, "address")) {
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
    static const char *const asking[] = {"api-key", "tls-ca-path", "tls-ca-data", "tls-cert-path",
                                         "tls-cert-data"};
    for (size_t i = 0; i < sizeof asking / sizeof asking[0]; i++) {
        if (tl_cli_text(cli, asking[i])) {
            return true;
        }
    }
    return tl_cli_flag(cli, "tls-disable-host-verification");
}

size_t tl_cli_grpc_meta(struct tl_cli *cli, struct tl_grpc_header *out, char **names)
{
    const char *const *texts = tl_cli_texts(cli, "grpc-meta");
    struct tl_buf all;
    size_t n = 0;
    tl_buf_init(&all, GRPC_META_BYTES_MAX);
    for (; texts[n]; n++) { /* the parser has seen to their form and number */
        for (const char *p = texts[n]; *p != '='; p++) {
            tl_buf_putc(&all, (char)tolower((unsigned char)*p));
        }
        tl_buf_putc(&all, 0);
    }
    char *at = *names = tl_buf_take(&all, &(size_t){0});
    for (size_t i = 0; i < n; i++) {
        out[i] = (struct tl_grpc_header){at, tl_str(strchr(texts[i], '=') + 1)};
        at += strlen(at) + 1;
    }
    return n;
}

tl_rc tl_cli_remote_open(struct tl_cli_server *s, struct tl_cli *cli, const char *address,
                         const char *namespace_name, struct tl_error *err)
{
    struct tl_grpc_header metadata[TL_CLI_GRPC_META_MAX];
    struct tl_grpc_channel_options o = {
        .address = address,
        .namespace_name = namespace_name,
        .authority = tl_cli_text(cli, "client-authority"),
        .api_key = tl_cli_text(cli, "api-key"),
        .tls = tl_cli_wants_tls(cli),
        .server_root_ca_cert = {tl_cli_text(cli, "tls-ca-data"), tl_cli_text(cli, "tls-ca-path")},
        .client_cert = {tl_cli_text(cli, "tls-cert-data"), tl_cli_text(cli, "tls-cert-path")},
        .client_private_key = {tl_cli_text(cli, "tls-key-data"), tl_cli_text(cli, "tls-key-path")},
        .domain = tl_cli_text(cli, "tls-server-name"),
        .disable_host_verification = tl_cli_flag(cli, "tls-disable-host-verification"),
        .metadata = metadata,
    };
    char *names;
    memset(s, 0, sizeof *s);
    o.metadata_count = tl_cli_grpc_meta(cli, metadata, &names);
    tl_rc rc = tl_grpc_channel_open(&s->channel, &o, err);
    tl_mem_free(names);
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
