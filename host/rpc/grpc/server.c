/* The listening side: ports, credentials, life. Thread: the owner's, and one for completions. */
#include "rpc/grpc/server.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/socket.h"
#include "rpc/grpc/stream.h"

#define CALLS_EXPECTED 64
#define MEMORY_BYTES_MAX ((size_t)1 << 30)
#define GRACE_MS 1000
#define ADDRESSES_MAX 8
#define PING_INTERVAL_MS 1000 /* clients ping about every 30 s; the default calls that an attack */

/* --- addresses ------------------------------------------------------------------------------------ */

/* Whether the port can be had. The library tells only that it cannot, not why. */
static tl_rc probe(const struct addrinfo *a, const char *name, int port, bool *usable,
                   struct tl_error *err)
{
    int fd;
    tl_rc rc = tl_socket_bind(a, name, port, &fd, err);
    *usable = fd >= 0;
    if (fd >= 0) {
        close(fd);
    }
    return rc;
}

static void address_text(const struct addrinfo *a, int port, char *out, size_t cap)
{
    char host[NI_MAXHOST] = "";
    getnameinfo(a->ai_addr, a->ai_addrlen, host, sizeof host, NULL, 0, NI_NUMERICHOST);
    snprintf(out, cap, a->ai_family == AF_INET6 ? "[%s]:%d" : "%s:%d", host, port);
}

/* The first address must be had; those after it (::1 beside 127.0.0.1) get the same port. */
static tl_rc listen_on(struct tl_grpc_server *s, const struct addrinfo *list, const char *name,
                       const struct tl_grpc_server_options *o, struct tl_error *err)
{
    char text[NI_MAXHOST + 16];
    int port = o->port;
    s->port = 0;
    for (const struct addrinfo *a = list; a; a = a->ai_next) {
        bool usable;
        grpc_server_credentials *credentials = NULL;
        tl_rc rc = probe(a, name, port, &usable, err);
        if (rc == TL_OK && !usable) {
            continue;
        }
        if (rc == TL_OK) { /* of its own: changed files are told once to each */
            rc = tl_grpc_server_credentials(o, &credentials, &s->files, err);
        }
        if (rc != TL_OK) {
            return rc;
        }
        address_text(a, s->port ? s->port : port, text, sizeof text);
        int bound = grpc_server_add_http2_port(s->grpc, text, credentials);
        grpc_server_credentials_release(credentials);
        if (!bound && !s->port) {
            return s->files ? tl_error_set(err, TL_EINVAL,
                                           "cannot listen on %s: the certificate and the key are "
                                           "not usable together",
                                           text)
                            : tl_error_set(err, TL_EIO, "cannot listen on %s", text);
        }
        s->port = s->port ? s->port : bound;
    }
    if (!s->port) {
        return tl_error_set(err, TL_EINVAL, "'%s' is not an address of this machine", name);
    }
    return TL_OK;
}

static tl_rc resolve_and_listen(struct tl_grpc_server *s, const struct tl_grpc_server_options *o,
                                struct tl_error *err)
{
    const char *name = o->ip && *o->ip ? o->ip : "localhost";
    struct addrinfo *list;
    tl_rc rc = tl_socket_resolve(name, o->port, &list, err);
    if (rc != TL_OK) {
        return rc;
    }
    rc = listen_on(s, list, name, o, err);
    freeaddrinfo(list);
    return rc;
}

/* --- life ------------------------------------------------------------------------------------------ */

static grpc_arg int_arg(const char *key, int value)
{
    return (grpc_arg){
        .type = GRPC_ARG_INTEGER, .key = (char *)(uintptr_t)key, .value.integer = value};
}

static grpc_server *make_grpc_server(int request_bytes_max)
{
    grpc_resource_quota *quota = grpc_resource_quota_create("temporal-lua");
    grpc_arg args[] = {
        int_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH,
                request_bytes_max > 0 ? request_bytes_max : TL_GRPC_MESSAGE_BYTES_MAX),
        int_arg(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, -1),
        int_arg(GRPC_ARG_MAX_METADATA_SIZE, TL_GRPC_METADATA_BYTES_MAX),
        int_arg(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, PING_INTERVAL_MS),
        int_arg(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
        /* Two servers on one port would share its connections without a word. */
        int_arg(GRPC_ARG_ALLOW_REUSEPORT, 0),
        int_arg(GRPC_ARG_ENABLE_CHANNELZ, 0),
        {.type = GRPC_ARG_POINTER,
         .key = (char *)(uintptr_t)GRPC_ARG_RESOURCE_QUOTA,
         .value.pointer = {quota, grpc_resource_quota_arg_vtable()}},
    };
    grpc_resource_quota_resize(quota, MEMORY_BYTES_MAX);
    grpc_server *server =
        grpc_server_create(&(grpc_channel_args){sizeof args / sizeof args[0], args}, NULL);
    grpc_resource_quota_unref(quota);
    return server;
}

static void shut_down(struct tl_grpc_tag *tag, bool ok)
{
    struct tl_grpc_server *s = TL_CONTAINER(tag, struct tl_grpc_server, shutdown_tag);
    (void)ok;
    pthread_mutex_lock(&s->mutex);
    s->shutdown_done = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->mutex);
}

static void *serve(void *ud)
{
    tl_grpc_serve(ud);
    return NULL;
}

/* The library is started; server_free ends it. */
static struct tl_grpc_server *server_new(const struct tl_grpc_server_options *o,
                                         const struct tl_rpc_service *service)
{
    struct tl_grpc_server *s = TL_NEW(struct tl_grpc_server);
    pthread_condattr_t attr;
    s->service = service;
    s->shutdown_tag.done = shut_down;
    tl_list_init(&s->calls);
    tl_list_init(&s->streams);
    pthread_mutex_init(&s->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->changed, &attr);
    pthread_condattr_destroy(&attr);
    s->grpc = make_grpc_server(o->request_bytes_max);
    s->cq = grpc_completion_queue_create_for_next(NULL);
    grpc_server_register_completion_queue(s->grpc, s->cq, NULL);
    return s;
}

/* Every call has been freed and the server is shut down or was never started. */
static void server_free(struct tl_grpc_server *s, bool has_thread)
{
    grpc_server_destroy(s->grpc);
    grpc_completion_queue_shutdown(s->cq);
    if (has_thread) {
        pthread_join(s->thread, NULL);
    }
    grpc_completion_queue_destroy(s->cq);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->mutex);
    struct tl_grpc_cert_files *files = s->files;
    tl_mem_free(s);
    grpc_shutdown_blocking(); /* only now does nobody ask for certificates any more */
    tl_grpc_cert_files_free(files);
}

tl_rc tl_grpc_server_open(struct tl_grpc_server **out, const struct tl_grpc_server_options *o,
                          const struct tl_rpc_service *service, struct tl_error *err)
{
    tl_rc rc = tl_grpc_start(err);
    if (rc != TL_OK) {
        return rc;
    }
    struct tl_grpc_server *s = server_new(o, service);
    bool has_thread = pthread_create(&s->thread, NULL, serve, s->cq) == 0;
    rc = has_thread ? resolve_and_listen(s, o, err)
                    : tl_error_set(err, TL_EIO, "cannot start a thread");
    if (rc != TL_OK) {
        server_free(s, has_thread);
        return rc;
    }
    grpc_server_start(s->grpc);
    for (int i = 0; i < CALLS_EXPECTED; i++) {
        tl_grpc_call_expect(s);
    }
    *out = s;
    return TL_OK;
}

int tl_grpc_server_port(const struct tl_grpc_server *s)
{
    return s->port;
}

static bool wait_shutdown(struct tl_grpc_server *s, int64_t ms)
{
    struct timespec at;
    int failed = 0;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += ms / 1000;
    pthread_mutex_lock(&s->mutex);
    while (!s->shutdown_done && !failed) {
        failed = pthread_cond_timedwait(&s->changed, &s->mutex, &at);
    }
    bool done = s->shutdown_done;
    pthread_mutex_unlock(&s->mutex);
    return done;
}

void tl_grpc_server_close(struct tl_grpc_server *s)
{
    if (!s) {
        return;
    }
    atomic_store(&s->closing, true);
    grpc_server_shutdown_and_notify(s->grpc, s->cq, tl_grpc_tag_sent(&s->shutdown_tag));
    tl_grpc_calls_give_up_polls(s);
    tl_grpc_streams_end(s);
    if (!wait_shutdown(s, GRACE_MS)) {
        grpc_server_cancel_all_calls(s->grpc);
    }
    pthread_mutex_lock(&s->mutex);
    while (!s->shutdown_done || s->live) {
        pthread_cond_wait(&s->changed, &s->mutex);
    }
    pthread_mutex_unlock(&s->mutex);
    server_free(s, true);
}
