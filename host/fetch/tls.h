/* Options of TLS as libcurl takes them. Private to this folder; see fetch.h for the rest.
 * Thread: as struct tl_fetch_tls. */
#pragma once

#include "fetch/curl.h"
#include "fetch/fetch.h"

/* What a request to an address with a name of its own needs; free with tl_tls_route_free. */
struct tl_tls_route {
    char *url;                  /* by libcurl; NULL: the request's own */
    struct curl_slist *connect; /* where that leads; NULL: where it says */
};

/* Sets the options of one request; NULL is fine. */
void tl_tls_apply(const struct tl_fetch_tls *tls, const struct tl_curl *curl, CURL *handle);
/* How `url` is asked for under the domain of the options; of no domain (or no options) an empty route.
 * Errors: TL_EINVAL (the address), TL_EMEMORY. */
tl_rc tl_tls_route(const struct tl_fetch_tls *tls, const struct tl_curl *curl, const char *url,
                   struct tl_tls_route *out, struct tl_error *err) TL_MUST_USE;
void tl_tls_route_free(const struct tl_curl *curl, struct tl_tls_route *route);
