/* See curl.h. */
#include "fetch/curl.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

#define LIBRARY "libcurl-gnutls.so.4"

static struct tl_curl functions;
static struct tl_error failure;

static void missing(const char *what)
{
    (void)tl_error_set(&failure, TL_EUNAVAILABLE,
                       "HTTP requests need " LIBRARY " (Debian package libcurl3-gnutls): %s", what);
}

static void load(void)
{
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        missing(dlerror());
        return;
    }
#define X(name)                                                                                    \
    {                                                                                              \
        void *at = dlsym(library, "curl_" #name);                                                  \
        memcpy(&functions.name, &at, sizeof at);                                                   \
        if (!at) {                                                                                 \
            missing("curl_" #name);                                                                \
        }                                                                                          \
    }
    TL_CURL_FUNCTIONS(X)
#undef X
    if (failure.code == TL_OK && functions.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        missing("it does not start");
    }
}

tl_rc tl_curl_load(const struct tl_curl **out, struct tl_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    *out = &functions;
    return failure.code == TL_OK ? TL_OK : tl_error_set(err, failure.code, "%s", failure.message);
}
