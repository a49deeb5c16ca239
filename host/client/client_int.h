/* Private to client/. */
#pragma once

#include "client/client.h"

struct tl_client {
    struct tl_channel *channel;
    char *namespace_name, *identity; /* owned, NUL-terminated */
    const struct tl_world *world;
    struct tl_client_pump pump;
    int64_t rpc_timeout_ns;
    struct tl_client_retry retry;
    struct tl_metrics *metrics;  /* borrowed; may be NULL */
    struct tl_channel *measured; /* `channel` when there are metrics; owned */
    struct tl_eager_set *eager;  /* a use */
};

/* Sets err (when not NULL) to a local error with no details; returns code. */
tl_rc tl_client_error_local(struct tl_client_error *err, tl_rc code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Makes err (when not NULL) empty. */
void tl_client_error_clear(struct tl_client_error *err);
