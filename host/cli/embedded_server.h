/* A client of an embedded server on a database file, or of a server at an address. Thread: main. */
#pragma once

#include "base/error.h"
#include "cli/cli.h"
#include "client/client.h"
#include "rpc/grpc.h"
#include "server/server.h"

struct tl_cli_server {
    struct tl_server *server; /* NULL: at an address */
    struct tl_channel *channel;
    struct tl_client *client;
};

/* db NULL: in memory. must_exist: a file that is not there is TL_ENOTFOUND instead of a new database. */
tl_rc tl_cli_server_open(struct tl_cli_server *s, const char *db, const char *namespace_name,
                         bool must_exist, struct tl_error *err) TL_MUST_USE;
/* The address that the options of with_address (commands.lua) lead to; NULL in *address: none, use
 * the embedded server. A --db-filename wins over an address from the environment.
 * Returns 0 or an exit code. */
int tl_cli_address(struct tl_cli *cli, const char **address);
/* Whether these options ask for TLS. */
bool tl_cli_wants_tls(struct tl_cli *cli);
/* The headers of --grpc-meta, at most TL_CLI_GRPC_META_MAX, names in lower case. Owns: *names, which
 * the headers borrow (tl_mem_free). Returns their number. */
#define TL_CLI_GRPC_META_MAX 64
size_t tl_cli_grpc_meta(struct tl_cli *cli, struct tl_grpc_header *out, char **names);
/* A client of the server at the address, with the options of with_address. Nothing is sent yet. */
tl_rc tl_cli_remote_open(struct tl_cli_server *s, struct tl_cli *cli, const char *address,
                         const char *namespace_name, struct tl_error *err) TL_MUST_USE;
void tl_cli_server_close(struct tl_cli_server *s);
