/* See mhd.h. */
#include "http/mhd.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

#define LIBRARY "libmicrohttpd.so.12"

static struct tl_mhd functions;
static struct tl_error failure;

static void missing(const char *what)
{
    (void)tl_error_set(&failure, TL_EUNAVAILABLE,
                       "HTTP ports need " LIBRARY " (Debian package libmicrohttpd12): %s", what);
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
        void *at = dlsym(library, "MHD_" #name);                                                   \
        memcpy(&functions.name, &at, sizeof at);                                                   \
        if (!at) {                                                                                 \
            missing("MHD_" #name);                                                                 \
        }                                                                                          \
    }
    TL_MHD_FUNCTIONS(X)
#undef X
}

tl_rc tl_mhd_load(const struct tl_mhd **out, struct tl_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    *out = &functions;
    return failure.code == TL_OK ? TL_OK : tl_error_set(err, failure.code, "%s", failure.message);
}
