/* See embedded_server.h. */
#include "cli/embedded_server.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

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
    struct tl_client_config config = {.channel = s->channel,
                                      .namespace_name = tl_str(namespace_name)};
    s->client = tl_client_new(&config);
    return TL_OK;
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
