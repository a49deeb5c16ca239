/* Listeners over libmicrohttpd: sockets, limits, and the life of a request.
 *
 *   headers -> take_headers -> body -> take_body ... -> deliver -> handler -> reply
 *                                                          |          ^
 *                                                          +-- wait --+ (suspended; wake from any thread)
 *
 * A peer that is slow on purpose is cut off by age: the library's own timeout counts silence only, so
 * when a connection comes, those that have been receiving or sending one message for too long are shut
 * down.
 * Thread: the callbacks run on the thread of their daemon; the list of connections is guarded. */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/socket.h"
#include "base/world.h"
#include "http/listen_int.h"

#define CONNECTIONS_MAX 256
#define LIBRARY_CONNECTIONS_MAX 1000 /* above ours, which is looked after in accept_policy */
#define HEADER_BYTES_MAX ((size_t)32 * 1024)
#define SILENCE_S 60u
#define MESSAGE_NS_MAX (INT64_C(60) * 1000000000)
#define BODIES_BYTES_MAX ((size_t)64 * 1024 * 1024)
#define ARENA_BYTES_MAX ((size_t)256 * 1024 * 1024)
#define STACK_BYTES ((size_t)512 * 1024)

enum state { HANDLING, WAITING, WOKEN, ANSWERED };

struct request {
    struct tl_http_request face; /* first */
    struct tl_http *h;
    struct MHD_Connection *connection;
    struct tl_buf body;
    const char *origin; /* of a listed page; NULL: of none */
    int refuse;         /* status that the request is refused with once it has been read */
    bool delivered;
    bool suspended;   /* guarded */
    enum state state; /* guarded */
    const struct tl_http_wait *wait;
    enum MHD_Result queued;
};

struct tl_http_conn {
    struct tl_list link; /* in tl_http.connections */
    struct MHD_Connection *connection;
    int fd;
    int64_t since_ns; /* when the message under way began; INT64_MAX while a handler works */
    struct request *request;
};

static struct request *of(struct tl_http_request *r)
{
    return TL_CONTAINER(r, struct request, face);
}

static int64_t now_ns(void)
{
    return tl_world_mono_ns(tl_world_real());
}

/* --- connections ------------------------------------------------------------------------------------ */

static struct tl_http_conn *conn_of(const struct request *r)
{
    const union MHD_ConnectionInfo *info =
        r->h->mhd->get_connection_info(r->connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

/* since_ns: see struct tl_http_conn. */
static void mark(struct request *r, int64_t since_ns)
{
    struct tl_http_conn *c = conn_of(r);
    if (c) {
        pthread_mutex_lock(&r->h->mutex);
        c->since_ns = since_ns;
        pthread_mutex_unlock(&r->h->mutex);
    }
}

static enum MHD_Result accept_policy(void *ud, const struct sockaddr *a, socklen_t n)
{
    struct tl_http *h = ud;
    int64_t now = now_ns();
    (void)a;
    (void)n;
    pthread_mutex_lock(&h->mutex);
    TL_LIST_EACH (it, &h->connections) {
        struct tl_http_conn *c = TL_CONTAINER(it, struct tl_http_conn, link);
        if (c->since_ns != INT64_MAX && now - c->since_ns > MESSAGE_NS_MAX) {
            shutdown(c->fd, SHUT_RDWR);
        }
    }
    bool room = h->connection_count < CONNECTIONS_MAX && !h->closing;
    pthread_mutex_unlock(&h->mutex);
    return room ? MHD_YES : MHD_NO;
}

static void connection_changed(void *ud, struct MHD_Connection *connection, void **socket_context,
                               enum MHD_ConnectionNotificationCode code)
{
    struct tl_http *h = ud;
    struct tl_http_conn *c = *socket_context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        c = TL_NEW(struct tl_http_conn);
        c->connection = connection;
        c->fd =
            h->mhd->get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
        c->since_ns = now_ns();
        *socket_context = c;
        pthread_mutex_lock(&h->mutex);
        tl_list_push(&h->connections, &c->link);
        h->connection_count++;
        pthread_mutex_unlock(&h->mutex);
    } else if (c) {
        pthread_mutex_lock(&h->mutex);
        tl_list_remove(&c->link);
        h->connection_count--;
        pthread_mutex_unlock(&h->mutex);
        tl_mem_free(c);
        *socket_context = NULL;
    }
}

/* --- answers ------------------------------------------------------------------------------------------ */

static void free_bytes(void *p)
{
    tl_mem_free(p);
}

/* Tells the browser of a listed page that it may read the answer, and send what it asks to send. */
static void allow_origin(struct request *r, struct MHD_Response *response)
{
    const struct tl_mhd *m = r->h->mhd;
    const char *headers = m->lookup_connection_value(r->connection, MHD_HEADER_KIND,
                                                     "Access-Control-Request-Headers");
    m->add_response_header(response, "Access-Control-Allow-Origin", r->origin);
    m->add_response_header(response, "Access-Control-Allow-Credentials", "true");
    m->add_response_header(response, "Vary", "Origin");
    if (headers) {
        m->add_response_header(response, "Access-Control-Allow-Headers", headers);
        m->add_response_header(response, "Access-Control-Allow-Methods", "GET, POST");
    }
}

static enum MHD_Result send_bytes(struct request *r, int status, const char *type,
                                  struct tl_str body, const char *name, const char *value)
{
    const struct tl_mhd *m = r->h->mhd;
    char *copy = tl_mem_dup(body);
    struct MHD_Response *response =
        m->create_response_from_buffer_with_free_callback(body.n, copy, free_bytes);
    if (!response) {
        tl_mem_free(copy);
        return MHD_NO;
    }
    m->add_response_header(response, "Content-Type", type);
    m->add_response_header(response, "Cache-Control", "no-store");
    m->add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (r->origin) {
        allow_origin(r, response);
    }
    if (name) {
        m->add_response_header(response, name, value);
    }
    mark(r, now_ns());
    enum MHD_Result ok = m->queue_response(r->connection, (unsigned)status, response);
    m->destroy_response(response);
    return ok;
}

void tl_http_reply_with(struct tl_http_request *face, int status, const char *content_type,
                        struct tl_str body, const char *extra_name, const char *extra_value)
{
    struct request *r = of(face);
    r->queued = send_bytes(r, status, content_type, body, extra_name, extra_value);
    pthread_mutex_lock(&r->h->mutex);
    TL_ASSERT(r->state != ANSWERED && r->state != WAITING);
    r->state = ANSWERED;
    r->h->under_way--;
    pthread_cond_broadcast(&r->h->changed);
    pthread_mutex_unlock(&r->h->mutex);
}

void tl_http_reply(struct tl_http_request *r, int status, const char *content_type,
                   struct tl_str body)
{
    tl_http_reply_with(r, status, content_type, body, NULL, NULL);
}

static enum MHD_Result refuse(struct request *r, int status)
{
    const char *text = status == 413 ? "{\"code\":8,\"message\":\"the request body is too large\"}"
                       : status == 503 ? "{\"code\":14,\"message\":\"too many requests at once\"}"
                       : status == 403 ? "{\"code\":7,\"message\":\"Host or Origin not allowed\"}"
                                       : "{\"code\":3,\"message\":\"malformed URL\"}";
    return send_bytes(r, status, "application/json", tl_str(text), NULL, NULL);
}

void tl_http_wait(struct tl_http_request *face, const struct tl_http_wait *w)
{
    struct request *r = of(face);
    TL_ASSERT(!r->wait);
    r->wait = w;
}

void tl_http_wake(struct tl_http_request *face)
{
    struct request *r = of(face);
    struct tl_http *h = r->h;
    pthread_mutex_lock(&h->mutex);
    TL_ASSERT(r->state == HANDLING || r->state == WAITING);
    r->state = WOKEN;
    if (r->suspended) {
        r->suspended = false;
        h->mhd->resume_connection(r->connection);
    }
    pthread_mutex_unlock(&h->mutex);
}

/* --- requests ------------------------------------------------------------------------------------------- */

struct tl_str tl_http_header(struct tl_http_request *face, const char *name)
{
    struct request *r = of(face);
    return tl_str(r->h->mhd->lookup_connection_value(r->connection, MHD_HEADER_KIND, name));
}

static enum MHD_Result take_param(void *ud, enum MHD_ValueKind kind, const char *name,
                                  const char *value)
{
    struct request *r = ud;
    struct tl_http_param *p = TL_ARENA_NEW(&r->face.arena, struct tl_http_param), **at;
    (void)kind;
    if (!p || !tl_http_unescape(&r->face.arena, tl_str(name), &p->name) ||
        !tl_http_unescape(&r->face.arena, tl_str(value), &p->value)) {
        r->refuse = 400;
        return MHD_NO;
    }
    for (at = &r->face.params; *at; at = &(*at)->next) {
    }
    *at = p;
    return MHD_YES;
}

static struct request *take_headers(struct tl_http *h, struct MHD_Connection *connection,
                                    const char *url, const char *method)
{
    struct request *r = TL_NEW(struct request);
    r->h = h;
    r->connection = connection;
    tl_arena_init(&r->face.arena, ARENA_BYTES_MAX);
    tl_buf_init(&r->body, TL_HTTP_BODY_BYTES_MAX);
    r->face.method = tl_arena_str(&r->face.arena, tl_str(method));
    r->face.path = tl_arena_str(&r->face.arena, tl_str(url));
    h->mhd->get_connection_values(connection, MHD_GET_ARGUMENT_KIND, take_param, r);
    struct tl_str origin = tl_http_header(&r->face, "Origin");
    if (tl_http_origin_listed(h->origins, origin)) {
        r->origin = tl_arena_cstr(&r->face.arena, origin);
        origin = (struct tl_str){0};
    }
    if (!tl_http_host_allowed(tl_http_header(&r->face, "Host"), origin, h->loopback)) {
        r->refuse = 403;
    }
    struct tl_str length = tl_http_header(&r->face, "Content-Length");
    if (length.n > 7 || (length.n == 7 && tl_str_cmp(length, TL_STR_LIT("4194304")) > 0)) {
        r->refuse = 413;
    }
    struct tl_http_conn *c = conn_of(r);
    pthread_mutex_lock(&h->mutex);
    if (c) {
        c->request = r;
        c->since_ns = now_ns();
    }
    pthread_mutex_unlock(&h->mutex);
    return r;
}

/* What is too much is read and dropped, up to a point: a peer that is cut off while it sends does not
 * see the answer. */
static enum MHD_Result take_body(struct request *r, const char *data, size_t n)
{
    bool room = false;
    pthread_mutex_lock(&r->h->mutex);
    if (r->h->body_bytes + n <= BODIES_BYTES_MAX && r->body.n + n <= TL_HTTP_BODY_BYTES_MAX) {
        room = true;
        r->h->body_bytes += n;
    }
    pthread_mutex_unlock(&r->h->mutex);
    if (room) {
        tl_buf_put(&r->body, data, n);
    } else if (!r->refuse) {
        r->refuse = r->body.n + n > TL_HTTP_BODY_BYTES_MAX ? 413 : 503;
    }
    struct tl_http_conn *c = conn_of(r);
    return c && now_ns() - c->since_ns > MESSAGE_NS_MAX ? MHD_NO : MHD_YES;
}

/* Suspends a request whose handler waits, unless it has been woken already. */
static enum MHD_Result after_handler(struct request *r)
{
    struct tl_http *h = r->h;
    pthread_mutex_lock(&h->mutex);
    if (r->state == HANDLING) {
        TL_ASSERT(r->wait);
        r->state = WAITING;
        r->suspended = true;
        h->mhd->suspend_connection(r->connection);
        if (h->closing) {
            r->wait->cancel(&r->face);
        }
        pthread_mutex_unlock(&h->mutex);
        return MHD_YES;
    }
    bool woken = r->state == WOKEN;
    pthread_mutex_unlock(&h->mutex);
    if (woken) {
        r->wait->resumed(&r->face);
    }
    return r->queued;
}

static enum MHD_Result deliver(struct request *r)
{
    if (r->refuse) {
        return refuse(r, r->refuse);
    }
    if (r->origin && tl_str_eqc(r->face.method, "OPTIONS")) {
        return send_bytes(r, 204, "text/plain", TL_STR_LIT(""), NULL, NULL);
    }
    r->delivered = true;
    r->face.body = tl_buf_str(&r->body);
    mark(r, INT64_MAX);
    pthread_mutex_lock(&r->h->mutex);
    r->h->under_way++;
    pthread_mutex_unlock(&r->h->mutex);
    r->h->handler.handle(r->h->handler.ud, &r->face);
    return after_handler(r);
}

static enum MHD_Result on_request(void *ud, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *n, void **slot)
{
    struct tl_http *h = ud;
    struct request *r = *slot;
    (void)version;
    if (!r) {
        *slot = r = take_headers(h, connection, url, method);
        /* Refused before the body is sent, the peer need not send it. */
        return r->refuse ? refuse(r, r->refuse) : MHD_YES;
    }
    if (*n) {
        size_t size = *n;
        *n = 0;
        return take_body(r, data, size);
    }
    return r->delivered ? after_handler(r) : deliver(r);
}

static void on_completed(void *ud, struct MHD_Connection *connection, void **slot,
                         enum MHD_RequestTerminationCode why)
{
    struct tl_http *h = ud;
    struct request *r = *slot;
    (void)connection;
    (void)why;
    if (!r) {
        return;
    }
    struct tl_http_conn *c = conn_of(r);
    pthread_mutex_lock(&h->mutex);
    TL_ASSERT(!r->delivered || r->state == ANSWERED);
    h->body_bytes -= r->body.n;
    if (c) {
        c->request = NULL;
        c->since_ns = now_ns();
    }
    pthread_mutex_unlock(&h->mutex);
    tl_buf_deinit(&r->body);
    tl_arena_deinit(&r->face.arena);
    tl_mem_free(r);
    *slot = NULL;
}

/* Paths and values are decoded by us, one segment at a time: an escaped slash stays in its segment. */
static size_t keep_escapes(void *ud, struct MHD_Connection *connection, char *text)
{
    (void)ud;
    (void)connection;
    return strlen(text);
}

/* --- life ------------------------------------------------------------------------------------------------ */

static bool is_loopback(const struct sockaddr *a)
{
    if (a->sa_family == AF_INET6) {
        return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr);
    }
    uint32_t ip = ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr);
    return ip >> 24 == 127;
}

static void set_port(struct sockaddr *a, int port)
{
    if (a->sa_family == AF_INET6) {
        ((struct sockaddr_in6 *)(void *)a)->sin6_port = htons((uint16_t)port);
    } else {
        ((struct sockaddr_in *)(void *)a)->sin_port = htons((uint16_t)port);
    }
}

static tl_rc start_daemon(struct tl_http *h, int fd, struct tl_error *err)
{
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC;
    if (listen(fd, 64) != 0) {
        close(fd);
        return tl_error_set(err, TL_EIO, "cannot listen on port %d", h->port);
    }
    struct MHD_Daemon *d = h->mhd->start_daemon(
        flags, 0, accept_policy, h, on_request, h, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_NOTIFY_CONNECTION, connection_changed, h, MHD_OPTION_NOTIFY_COMPLETED,
        on_completed, h, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)LIBRARY_CONNECTIONS_MAX,
        MHD_OPTION_CONNECTION_TIMEOUT, SILENCE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        HEADER_BYTES_MAX, MHD_OPTION_THREAD_STACK_SIZE, STACK_BYTES, MHD_OPTION_END);
    if (!d) {
        close(fd);
        return tl_error_set(err, TL_EIO, "cannot serve HTTP on port %d", h->port);
    }
    h->daemons[h->daemon_count++] = d;
    return TL_OK;
}

/* The first address must be had; those after it (::1 beside 127.0.0.1) get the same port. */
static tl_rc listen_on(struct tl_http *h, const struct addrinfo *list,
                       const struct tl_http_options *o, struct tl_error *err)
{
    const char *name = o->ip && *o->ip ? o->ip : "localhost";
    h->loopback = true;
    for (const struct addrinfo *a = list; a && h->daemon_count < TL_HTTP_ADDRESSES_MAX;
         a = a->ai_next) {
        int fd;
        set_port(a->ai_addr, h->port ? h->port : o->port);
        tl_rc rc = tl_socket_bind(a, name, h->port ? h->port : o->port, &fd, err);
        if (rc != TL_OK) {
            return rc;
        }
        if (fd < 0) {
            continue;
        }
        h->port = h->port ? h->port : tl_socket_port(fd);
        h->loopback = h->loopback && is_loopback(a->ai_addr);
        rc = start_daemon(h, fd, err);
        if (rc != TL_OK) {
            return rc;
        }
    }
    if (!h->daemon_count) {
        return tl_error_set(err, TL_EINVAL, "'%s' is not an address of this machine", name);
    }
    return TL_OK;
}

tl_rc tl_http_open(struct tl_http **out, const struct tl_http_options *o, struct tl_error *err)
{
    struct tl_http *h = TL_NEW(struct tl_http);
    struct addrinfo *list = NULL;
    h->handler = o->handler;
    h->origins = o->origins;
    tl_list_init(&h->connections);
    pthread_mutex_init(&h->mutex, NULL);
    pthread_cond_init(&h->changed, NULL);
    tl_rc rc = tl_mhd_load(&h->mhd, err);
    if (rc == TL_OK) {
        rc = tl_socket_resolve(o->ip, o->port, &list, err);
    }
    if (rc == TL_OK) {
        rc = listen_on(h, list, o, err);
    }
    if (list) {
        freeaddrinfo(list);
    }
    if (rc != TL_OK) {
        tl_http_close(h);
        h = NULL;
    }
    *out = h;
    return rc;
}

int tl_http_port(const struct tl_http *h)
{
    return h->port;
}

static void cancel_waiting(struct tl_http *h)
{
    pthread_mutex_lock(&h->mutex);
    h->closing = true;
    TL_LIST_EACH (it, &h->connections) {
        struct request *r = TL_CONTAINER(it, struct tl_http_conn, link)->request;
        if (r && r->suspended) {
            r->wait->cancel(&r->face);
        }
    }
    pthread_mutex_unlock(&h->mutex);
}

void tl_http_close(struct tl_http *h)
{
    if (!h) {
        return;
    }
    for (size_t i = 0; i < h->daemon_count; i++) {
        int fd = h->mhd->quiesce_daemon(h->daemons[i]);
        if (fd >= 0) {
            close(fd);
        }
    }
    cancel_waiting(h);
    pthread_mutex_lock(&h->mutex);
    while (h->under_way) {
        pthread_cond_wait(&h->changed, &h->mutex);
    }
    pthread_mutex_unlock(&h->mutex);
    for (size_t i = 0; i < h->daemon_count; i++) {
        h->mhd->stop_daemon(h->daemons[i]);
    }
    pthread_cond_destroy(&h->changed);
    pthread_mutex_destroy(&h->mutex);
    tl_mem_free(h);
}
