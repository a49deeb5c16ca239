/* libcurl, loaded with the first request. As with the HTTP ports' library, a process that sends none pays
 * nothing and does not even need it. Private to this folder. Thread: any. */
#pragma once

#include <curl/curl.h>

#include "base/error.h"

/* libcurl's header checks the types of options by macros over these names. */
#define TL_CURL_FUNCTIONS(X)                                                                       \
    X(global_init)                                                                                 \
    X(easy_init)                                                                                   \
    X(easy_reset)                                                                                  \
    X(easy_setopt)                                                                                 \
    X(easy_perform)                                                                                \
    X(easy_getinfo)                                                                                \
    X(easy_strerror)                                                                               \
    X(easy_cleanup)                                                                                \
    X(slist_append)                                                                                \
    X(slist_free_all)                                                                              \
    X(url)                                                                                         \
    X(url_set)                                                                                     \
    X(url_get)                                                                                     \
    X(url_cleanup)                                                                                 \
    X(free)

struct tl_curl {
#define X(name) __typeof__(&(curl_##name)) name;
    TL_CURL_FUNCTIONS(X)
#undef X
};

/* Loads the library at the first call. *out lives as long as the process.
 * Errors: TL_EUNAVAILABLE (it is not there, or too old): the message names the package. */
tl_rc tl_curl_load(const struct tl_curl **out, struct tl_error *err) TL_MUST_USE;
