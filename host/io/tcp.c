/* See tcp.h. The memory goes when the last of its handles and requests has called back. */
#include "io/tcp.h"

#include <stdio.h>
#include <string.h>

#include <uv.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/mem.h"
#include "io/loop_int.h"

#define BUFFER_MAX ((size_t)256 * 1024)
#define BLOCK_BYTES ((size_t)16 * 1024)

/* One socket: an address that does not answer costs one. */
struct socket {
    uv_tcp_t uv;
    uv_connect_t connect;
    struct tl_tcp *tcp; /* NULL: nobody wants it any more */
};

struct tl_tcp {
    uv_loop_t *loop;
    struct socket *socket; /* NULL before the address is known, and after close */
    uv_getaddrinfo_t lookup;
    struct addrinfo *addresses, *next; /* found; next: to be tried */
    enum tl_tcp_state state;
    struct tl_error error;
    char *host;
    int port;
    void (*changed)(void *ud);
    void *ud;
    char *buffer;
    size_t from, to, size;
    size_t unsent;
    bool reading, closed;
    int holds; /* the owner, the lookup, writes under way */
};

struct write {
    uv_write_t uv;
    struct tl_tcp *tcp;
    size_t n;
    char bytes[];
};

static void release(struct tl_tcp *t)
{
    if (--t->holds == 0) {
        if (t->addresses) {
            uv_freeaddrinfo(t->addresses);
        }
        tl_mem_free(t->buffer);
        tl_mem_free(t->host);
        tl_mem_free(t);
    }
}

static void tell(struct tl_tcp *t)
{
    if (!t->closed) {
        t->changed(t->ud);
    }
}

static void fail(struct tl_tcp *t, const char *what, int code)
{
    t->state = TL_TCP_FAILED;
    (void)tl_error_set(&t->error, TL_EIO, "%s %s:%d: %s", what, t->host, t->port,
                       uv_strerror(code));
    tell(t);
}

static void socket_closed(uv_handle_t *handle)
{
    tl_mem_free(TL_CONTAINER(handle, struct socket, uv));
}

static void close_socket(struct tl_tcp *t)
{
    if (t->socket) {
        t->socket->tcp = NULL;
        uv_close((uv_handle_t *)&t->socket->uv, socket_closed);
        t->socket = NULL;
        t->reading = false;
    }
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Called while the socket is open, so its connection is there. */
static void room(uv_handle_t *handle, size_t wanted, uv_buf_t *buf)
{
    struct tl_tcp *t = TL_CONTAINER(handle, struct socket, uv)->tcp;
    (void)wanted;
    if (t->from > 0 && t->size - t->to < BLOCK_BYTES) {
        memmove(t->buffer, t->buffer + t->from, t->to - t->from);
        t->to -= t->from;
        t->from = 0;
    }
    if (t->size - t->to < BLOCK_BYTES) {
        t->size = t->to + BLOCK_BYTES;
        t->buffer = tl_mem_realloc(t->buffer, t->size);
    }
    *buf = uv_buf_init(t->buffer + t->to, (unsigned)(t->size - t->to));
}

/* Whether no more comes before some of it is consumed. */
static bool is_full(const struct tl_tcp *t)
{
    return t->to - t->from >= BUFFER_MAX;
}

static void came(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct tl_tcp *t = TL_CONTAINER(stream, struct socket, uv)->tcp;
    (void)buf;
    if (n == 0 || !t) {
        return;
    }
    if (n > 0) {
        t->to += (size_t)n;
    }
    if (n < 0 || is_full(t)) {
        uv_read_stop(stream);
        t->reading = false;
    }
    if (n < 0 && n != UV_EOF) {
        fail(t, "reading from", (int)n);
        return;
    }
    t->state = n == UV_EOF ? TL_TCP_ENDED : t->state;
    tell(t);
}

static void read_on(struct tl_tcp *t)
{
    if (!t->reading && t->state == TL_TCP_OPEN && !is_full(t)) {
        t->reading = uv_read_start((uv_stream_t *)&t->socket->uv, room, came) == 0;
    }
}

struct tl_str tl_tcp_buffered(const struct tl_tcp *t)
{
    return tl_str_n(t->buffer ? t->buffer + t->from : "", t->to - t->from);
}

void tl_tcp_consume(struct tl_tcp *t, size_t n)
{
    TL_ASSERT(n <= t->to - t->from);
    t->from += n;
    if (t->from == t->to) {
        t->from = t->to = 0;
    }
    read_on(t);
}

/* --- connecting ------------------------------------------------------------------------------- */

static void try_next(struct tl_tcp *t, int code);

static void connected(uv_connect_t *request, int status)
{
    struct tl_tcp *t = TL_CONTAINER(request, struct socket, connect)->tcp;
    if (!t) {
        return;
    }
    if (status != 0) {
        close_socket(t);
        try_next(t, status);
        return;
    }
    t->state = TL_TCP_OPEN;
    uv_tcp_nodelay(&t->socket->uv, 1);
    read_on(t);
    tell(t);
}

/* code: how the address before went. */
static void try_next(struct tl_tcp *t, int code)
{
    while (t->next) {
        struct addrinfo *a = t->next;
        t->next = a->ai_next;
        t->socket = TL_NEW(struct socket);
        t->socket->tcp = t;
        code = uv_tcp_init(t->loop, &t->socket->uv);
        TL_ASSERT(code == 0); /* without an address it makes no system call */
        code = uv_tcp_connect(&t->socket->connect, &t->socket->uv, a->ai_addr, connected);
        if (code == 0) {
            return;
        }
        close_socket(t);
    }
    fail(t, "connecting to", code);
}

static void found(uv_getaddrinfo_t *request, int status, struct addrinfo *list)
{
    struct tl_tcp *t = TL_CONTAINER(request, struct tl_tcp, lookup);
    t->addresses = t->next = list;
    if (!t->closed && status != 0) {
        fail(t, "looking up", status);
    } else if (!t->closed) {
        try_next(t, UV_EAI_NONAME);
    }
    release(t);
}

tl_rc tl_tcp_open(struct tl_loop *l, const char *host, int port, void (*changed)(void *ud),
                  void *ud, struct tl_tcp **out, struct tl_error *err)
{
    char service[16];
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct tl_tcp *t = TL_NEW(struct tl_tcp);
    *out = NULL;
    t->loop = tl_loop_uv(l);
    t->host = tl_mem_dup(tl_str(host));
    t->port = port;
    t->changed = changed;
    t->ud = ud;
    t->holds = 2;
    snprintf(service, sizeof service, "%d", port);
    int rc = uv_getaddrinfo(t->loop, &t->lookup, found, host, service, &hints);
    if (rc != 0) {
        t->holds = 1;
        release(t);
        return tl_error_set(err, TL_EIO, "looking up %s: %s", host, uv_strerror(rc));
    }
    *out = t;
    return TL_OK;
}

enum tl_tcp_state tl_tcp_state(const struct tl_tcp *t)
{
    return t->state;
}

const char *tl_tcp_error(const struct tl_tcp *t)
{
    return t->error.message;
}

/* --- writing ---------------------------------------------------------------------------------- */

static void written(uv_write_t *request, int status)
{
    struct write *w = TL_CONTAINER(request, struct write, uv);
    struct tl_tcp *t = w->tcp;
    t->unsent -= w->n;
    tl_mem_free(w);
    if (!t->closed && status != 0 && t->state != TL_TCP_FAILED) {
        fail(t, "writing to", status);
    } else {
        tell(t);
    }
    release(t);
}

tl_rc tl_tcp_write(struct tl_tcp *t, struct tl_str bytes, struct tl_error *err)
{
    if (t->state != TL_TCP_OPEN && t->state != TL_TCP_ENDED) {
        return tl_error_set(err, TL_EPRECONDITION, "the connection is not open");
    }
    struct write *w = tl_mem_alloc(sizeof *w + bytes.n);
    w->tcp = t;
    w->n = bytes.n;
    memcpy(w->bytes, bytes.p, bytes.n);
    uv_buf_t buf = uv_buf_init(w->bytes, (unsigned)bytes.n);
    int rc = uv_write(&w->uv, (uv_stream_t *)&t->socket->uv, &buf, 1, written);
    if (rc != 0) {
        tl_mem_free(w);
        return tl_error_set(err, TL_EIO, "writing to %s:%d: %s", t->host, t->port, uv_strerror(rc));
    }
    t->unsent += bytes.n;
    t->holds++;
    return TL_OK;
}

size_t tl_tcp_unsent(const struct tl_tcp *t)
{
    return t->unsent;
}

void tl_tcp_close(struct tl_tcp *t)
{
    if (t && !t->closed) {
        t->closed = true;
        if (t->state == TL_TCP_CONNECTING && !t->addresses) {
            (void)uv_cancel(
                (uv_req_t *)&t->lookup); /* refused when it runs already: then it is waited for */
        }
        close_socket(t);
        release(t);
    }
}
