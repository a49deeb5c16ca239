/* A listener and its connections. Private to this folder; handlers use http.h. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "http/http.h"
#include "http/mhd.h"

#define TL_HTTP_ADDRESSES_MAX 4

struct tl_http {
    const struct tl_mhd *mhd;
    struct tl_http_handler handler;
    const char *const *origins; /* pages of other hosts that may come; NULL: none */
    int port;
    size_t daemon_count;
    struct MHD_Daemon *daemons[TL_HTTP_ADDRESSES_MAX];
    bool loopback; /* every address is one: only loopback hosts may be named */
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct tl_list connections; /* guarded: struct tl_http_conn */
    size_t connection_count;    /* guarded */
    size_t body_bytes;          /* guarded: of requests being received or handled, all together */
    size_t under_way;           /* guarded: handled and not yet answered */
    bool closing;               /* guarded */
};

/* Whether the list (may be NULL) names the origin. Thread: any. */
bool tl_http_origin_listed(const char *const *origins, struct tl_str origin);
/* Whether a request with these headers may be served; a listed origin counts as none. Thread: any. */
bool tl_http_host_allowed(struct tl_str host, struct tl_str origin, bool loopback);
