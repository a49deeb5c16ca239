/* See link.h. */
#include "rpc/grpc/link.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/world.h"
#include "rpc/grpc/common.h"
#include "rpc/grpc/credentials.h"

#define KEEPALIVE_MS 30000
#define KEEPALIVE_TIMEOUT_MS 15000
#define CONNECT_MS 5000       /* one attempt to connect */
#define RECONNECT_MS_MAX 1000 /* the longest pause between two attempts */
#define RESOLUTION_MS 30000   /* least time between two look-ups of a name */
#define LOOK_NS TL_NS_PER_S   /* between two looks at the files */

enum { FILES = 3 };

struct tl_grpc_links {
    struct tl_grpc_channel_options o; /* with texts of its own */
    char *proxy;                      /* URL; NULL: none */
    _Atomic int64_t due_ns;           /* the next look; INT64_MAX: there are no files */
    pthread_mutex_t mutex;            /* for what follows */
    struct tl_grpc_link *now;
    grpc_channel
        *next; /* of the files as they are now; no server has accepted it yet; NULL: none */
    struct stat seen[FILES];
    bool failing;
};

/* --- making one ----------------------------------------------------------------------------------- */

static grpc_arg int_arg(const char *key, int value)
{
    return (grpc_arg){
        .type = GRPC_ARG_INTEGER, .key = (char *)(uintptr_t)key, .value.integer = value};
}

static grpc_arg text_arg(const char *key, const char *value)
{
    return (grpc_arg){.type = GRPC_ARG_STRING,
                      .key = (char *)(uintptr_t)key,
                      .value.string = (char *)(uintptr_t)value};
}

static int ms_arg(int64_t ms, int standard)
{
    if (ms < 0) {
        return INT_MAX; /* the library's word for never */
    }
    return ms == 0 ? standard : ms > INT_MAX ? INT_MAX : (int)ms;
}

/* The library takes user and password as one text before "@", so neither may hold what would end it. */
static bool fits_user_info(const char *text)
{
    for (const char *c = text; *c; c++) {
        if (*c <= ' ' || *c > '~' || strchr("@/?#%[]", *c)) {
            return false;
        }
    }
    return true;
}

/* The proxy as the URL that the library wants. */
static tl_rc proxy_url(const struct tl_grpc_channel_options *o, char **out, struct tl_error *err)
{
    *out = NULL;
    if (!o->proxy) {
        return TL_OK;
    }
    bool named = o->proxy_user && o->proxy_password;
    if (named && (!fits_user_info(o->proxy_user) || strchr(o->proxy_user, ':') ||
                  !fits_user_info(o->proxy_password))) {
        return tl_error_set(err, TL_EINVAL,
                            "the proxy's user and password are printable ASCII without spaces and "
                            "@ / ? # %% [ ]");
    }
    tl_rc rc = tl_grpc_check_address("the proxy", o->proxy, err);
    if (rc == TL_OK) {
        size_t size = strlen(o->proxy) + sizeof "http://:@" +
                      (named ? strlen(o->proxy_user) + strlen(o->proxy_password) : 0);
        *out = tl_mem_alloc(size);
        snprintf(*out, size, "http://%s%s%s%s%s", named ? o->proxy_user : "", named ? ":" : "",
                 named ? o->proxy_password : "", named ? "@" : "", o->proxy);
    }
    return rc;
}

/* Where connections go: directly to the first address of the name, round all of them, or by a proxy. */
static size_t route_args(const struct tl_grpc_channel_options *o, const char *proxy, grpc_arg *args)
{
    size_t n = 0;
    args[n++] = int_arg(GRPC_ARG_ENABLE_HTTP_PROXY, proxy != NULL);
    if (proxy) {
        args[n++] = text_arg(GRPC_ARG_HTTP_PROXY, proxy);
    }
    if (o->round_robin) {
        args[n++] = text_arg(GRPC_ARG_LB_POLICY_NAME, "round_robin");
        args[n++] = int_arg(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS,
                            ms_arg(o->resolution_ms, RESOLUTION_MS));
    }
    return n;
}

static grpc_channel *make_channel(const struct tl_grpc_channel_options *o, const char *proxy,
                                  grpc_channel_credentials *credentials)
{
    int keepalive = ms_arg(o->keepalive_ms, KEEPALIVE_MS);
    int timeout = ms_arg(o->keepalive_timeout_ms, KEEPALIVE_TIMEOUT_MS);
    grpc_arg args[24];
    size_t n = 0;
    args[n++] = int_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, TL_GRPC_MESSAGE_BYTES_MAX);
    args[n++] = int_arg(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, -1);
    args[n++] = int_arg(GRPC_ARG_MAX_METADATA_SIZE, TL_GRPC_METADATA_BYTES_MAX);
    args[n++] = int_arg(GRPC_ARG_KEEPALIVE_TIME_MS, keepalive);
    args[n++] = int_arg(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, timeout);
    args[n++] = int_arg(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    /* The default of two would end the pings in the middle of a long poll. */
    args[n++] = int_arg(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
    /* Temporal's rules for retries are the client's (client/retry.c). */
    args[n++] = int_arg(GRPC_ARG_ENABLE_RETRIES, 0);
    args[n++] = int_arg(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
    args[n++] = int_arg(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    n += route_args(o, proxy, args + n);
    /* Counters of calls for channelz, which nobody can ask here, and a filter that does nothing without
     * compression: some hundredths of what a call takes. */
    args[n++] = int_arg(GRPC_ARG_ENABLE_CHANNELZ, 0);
    args[n++] = int_arg(GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, o->compress);
    if (o->compress) {
        args[n++] = int_arg(GRPC_COMPRESSION_CHANNEL_DEFAULT_ALGORITHM, GRPC_COMPRESS_GZIP);
    }
    args[n++] = int_arg(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, CONNECT_MS);
    args[n++] = int_arg(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
    args[n++] = int_arg(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, RECONNECT_MS_MAX);
    args[n++] = text_arg(GRPC_ARG_PRIMARY_USER_AGENT_STRING,
                         TL_GRPC_CLIENT_NAME "/" TL_GRPC_CLIENT_VERSION);
    if (o->domain && *o->domain) {
        args[n++] = text_arg(GRPC_SSL_TARGET_NAME_OVERRIDE_ARG, o->domain);
    }
    if (o->authority && *o->authority) {
        args[n++] = text_arg(GRPC_ARG_DEFAULT_AUTHORITY, o->authority);
    }
    TL_ASSERT(n <= sizeof args / sizeof args[0]);
    return grpc_channel_create(o->address, credentials, &(grpc_channel_args){n, args});
}

/* Owns: the result; NULL on an error. */
static grpc_channel *connect_to(const struct tl_grpc_links *l, struct tl_error *err)
{
    grpc_channel_credentials *credentials = NULL;
    if (tl_grpc_channel_credentials(&l->o, &credentials, err) != TL_OK) {
        return NULL;
    }
    grpc_channel *made = make_channel(&l->o, l->proxy, credentials);
    grpc_channel_credentials_release(credentials);
    return made;
}

static struct tl_grpc_link *new_link(grpc_channel *grpc)
{
    struct tl_grpc_link *link = TL_NEW(struct tl_grpc_link);
    link->grpc = grpc;
    atomic_store(&link->holds, 1);
    return link;
}

void tl_grpc_link_release(struct tl_grpc_link *link)
{
    if (link && atomic_fetch_sub(&link->holds, 1) == 1) {
        grpc_channel_destroy(link->grpc);
        tl_mem_free(link);
    }
}

/* --- files that change ---------------------------------------------------------------------------- */

static const char *path_of(const struct tl_grpc_links *l, int i)
{
    const char *const paths[FILES] = {l->o.client_cert.path, l->o.client_private_key.path,
                                      l->o.server_root_ca_cert.path};
    return l->o.tls ? paths[i] : NULL;
}

/* Whether one of the files is another one than at the last look, which this is from now on. */
static bool have_changed(struct tl_grpc_links *l)
{
    bool changed = false;
    for (int i = 0; i < FILES; i++) {
        struct stat now;
        memset(&now, 0, sizeof now);
        if (path_of(l, i) && stat(path_of(l, i), &now) != 0) {
            memset(&now, 0, sizeof now);
        }
        changed = changed || !tl_grpc_same_file(&now, &l->seen[i]);
        l->seen[i] = now;
    }
    return changed;
}

static void kept(struct tl_grpc_links *l, const char *why)
{
    if (!l->failing) {
        TL_LOG(TL_LOG_WARN, "grpc.certificates_kept", TL_C("address", l->o.address),
               TL_C("error", why));
    }
    l->failing = true;
}

static void drop_next(struct tl_grpc_links *l)
{
    if (l->next) {
        grpc_channel_destroy(l->next);
        l->next = NULL;
    }
}

static void look(struct tl_grpc_links *l)
{
    struct tl_error err = {0};
    if (have_changed(l)) {
        drop_next(l);
        l->next = connect_to(l, &err);
        if (!l->next) {
            kept(l, err.message);
        }
    }
    int state =
        l->next ? (int)grpc_channel_check_connectivity_state(l->next, 1) : GRPC_CHANNEL_IDLE;
    if (state == GRPC_CHANNEL_READY) {
        tl_grpc_link_release(l->now);
        l->now = new_link(l->next);
        l->next = NULL;
        l->failing = false;
        TL_LOG(TL_LOG_INFO, "grpc.certificates_read_again", TL_C("address", l->o.address));
    } else if (state == GRPC_CHANNEL_TRANSIENT_FAILURE) {
        kept(l, "the files have changed, but no connection can be made with them: is the key "
                "that of the certificate, and does the server know who signed it?");
    }
}

struct tl_grpc_link *tl_grpc_links_take(struct tl_grpc_links *l)
{
    bool watched = atomic_load(&l->due_ns) != INT64_MAX;
    int64_t now_ns = watched ? tl_world_mono_ns(tl_world_real()) : 0;
    pthread_mutex_lock(&l->mutex);
    if (watched && now_ns >= atomic_load(&l->due_ns)) {
        look(l);
        atomic_store(&l->due_ns, now_ns + LOOK_NS);
    }
    struct tl_grpc_link *link = l->now;
    atomic_fetch_add(&link->holds, 1);
    pthread_mutex_unlock(&l->mutex);
    return link;
}

/* --- life ----------------------------------------------------------------------------------------- */

static void copy_text(const char **text)
{
    *text = *text ? tl_mem_dup(tl_str(*text)) : NULL;
}

static void free_text(const char **text)
{
    tl_mem_free((char *)(uintptr_t)*text);
}

/* Those that a connection is made of. */
static void each_text(struct tl_grpc_channel_options *o, void (*fn)(const char **text))
{
    const char **texts[] = {&o->address,
                            &o->authority,
                            &o->domain,
                            &o->server_root_ca_cert.text,
                            &o->server_root_ca_cert.path,
                            &o->client_cert.text,
                            &o->client_cert.path,
                            &o->client_private_key.text,
                            &o->client_private_key.path};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        fn(texts[i]);
    }
}

tl_rc tl_grpc_links_open(struct tl_grpc_links **out, const struct tl_grpc_channel_options *o,
                         struct tl_error *err)
{
    char *proxy = NULL;
    tl_rc rc = proxy_url(o, &proxy, err);
    if (rc != TL_OK) {
        return rc;
    }
    struct tl_grpc_links *l = TL_NEW(struct tl_grpc_links);
    struct tl_error why = {0};
    l->o = *o;
    each_text(&l->o, copy_text);
    l->proxy = proxy;
    pthread_mutex_init(&l->mutex, NULL);
    bool watched = have_changed(l); /* there is one: the looks before saw none */
    atomic_store(&l->due_ns, watched ? tl_world_mono_ns(tl_world_real()) + LOOK_NS : INT64_MAX);
    grpc_channel *first = connect_to(l, &why);
    if (!first) {
        tl_grpc_links_close(l);
        return tl_error_set(err, TL_EINVAL, "%s", why.message);
    }
    l->now = new_link(first);
    *out = l;
    return TL_OK;
}

void tl_grpc_links_close(struct tl_grpc_links *l)
{
    if (!l) {
        return;
    }
    drop_next(l);
    tl_grpc_link_release(l->now);
    each_text(&l->o, free_text);
    tl_mem_free(l->proxy);
    pthread_mutex_destroy(&l->mutex);
    tl_mem_free(l);
}
