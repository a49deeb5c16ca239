/* Private to embed/. */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "base/metrics.h"
#include "client/client.h"
#include "include/temporal_lua.h"
#include "server/server.h"

struct tlua_server {
    struct tl_server *server;
};

struct tlua_client {
    bool remote; /* the channel is gRPC's */
    struct tl_channel *channel;
    struct tl_client *client;
    struct tl_metrics *metrics; /* retained; NULL: not measured */
};

struct tlua_metrics {
    struct tl_metrics *registry;
};

/* Copies a caller's options struct, which may be older (shorter) or newer than ours: what it does not
 * have is zero. False when it is NULL or has no size. */
bool embed_options(void *ours, size_t our_size, const void *theirs);
/* Hands an error out; returns its code. err may be NULL. */
int embed_error(tlua_error *err, tl_rc rc, const struct tl_error *from);
int embed_error_text(tlua_error *err, int code, const char *message);
