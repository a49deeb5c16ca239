/* An embedded server with a client, for commands that work on a database file. Thread: main. */
#pragma once

#include "base/error.h"
#include "client/client.h"
#include "server/server.h"

struct tl_cli_server {
    struct tl_server *server;
    struct tl_channel *channel;
    struct tl_client *client;
};

/* db NULL: in memory. must_exist: a file that is not there is TL_ENOTFOUND instead of a new database. */
tl_rc tl_cli_server_open(struct tl_cli_server *s, const char *db, const char *namespace_name,
                         bool must_exist, struct tl_error *err) TL_MUST_USE;
void tl_cli_server_close(struct tl_cli_server *s);
