/* HTTP/1.1 ports: a listener hands whole requests to a handler and sends what it answers. What is
 * served on them (the HTTP API, metrics, the status page) are handlers in this folder.
 *
 * On loopback addresses a request must name a loopback host, and a page of another origin is refused unless it is
 * named: a web site must not reach the server through the user's browser.
 * Threads: each listener has one thread of its own per address; handlers run on it. open and close:
 * the owner's thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"

#define TL_HTTP_BODY_BYTES_MAX ((size_t)4 * 1024 * 1024)

/* --- Requests ----------------------------------------------------------------------------------- */

struct tl_http_param {
    struct tl_str name, value; /* decoded */
    struct tl_http_param *next;
};

/* One request, whole. Belongs to the listener; valid until it is answered. */
struct tl_http_request {
    struct tl_str method; /* "GET" */
    struct tl_str path;   /* as sent: still percent-encoded, without the query */
    struct tl_str body;
    struct tl_http_param *params; /* of the query, in order */
    struct tl_arena arena;        /* for the handler; lives as long as the request */
    void *slot;                   /* the handler's own */
};

/* A header's value, empty when it was not sent. Thread: the listener's. */
struct tl_str tl_http_header(struct tl_http_request *r, const char *name);
/* Decodes %XX into the arena. False for a malformed escape, a NUL byte, or when the arena is full. */
bool tl_http_unescape(struct tl_arena *arena, struct tl_str in, struct tl_str *out);
/* The first parameter with this name, NULL when there is none. */
const struct tl_http_param *tl_http_param(const struct tl_http_request *r, const char *name);

/* Answers; the bytes are copied. Exactly once per request, in `handle` or `resumed`. extra: one more
 * header as name and value, both NULL for none. Thread: the listener's. */
void tl_http_reply_with(struct tl_http_request *r, int status, const char *content_type,
                        struct tl_str body, const char *extra_name, const char *extra_value);
void tl_http_reply(struct tl_http_request *r, int status, const char *content_type,
                   struct tl_str body);

/* What a handler that cannot answer at once does instead, inside `handle`. `resumed` runs on the
 * listener's thread after tl_http_wake; `cancel` asks for an early wake when the listener closes: it
 * runs on any thread, under the listener's lock, and may only post. */
struct tl_http_wait {
    void (*resumed)(struct tl_http_request *r);
    void (*cancel)(struct tl_http_request *r);
};
void tl_http_wait(struct tl_http_request *r, const struct tl_http_wait *w);
/* Once per wait, from any thread, also before `handle` has returned. */
void tl_http_wake(struct tl_http_request *r);

/* --- Listeners ------------------------------------------------------------------------------------ */

struct tl_http_handler {
    void *ud;
    void (*handle)(void *ud, struct tl_http_request *r);
};

struct tl_http_options {
    const char *ip; /* address or name; NULL: localhost, on each of its addresses */
    int port;       /* 0: any free one */
    struct tl_http_handler handler;
    /* Pages that may use the port from a browser, as "https://host:port"; NULL-terminated, borrowed until close;
     * NULL: only its own. Their preflight requests are answered here. */
    const char *const *origins;
};

struct tl_http;

/* Serves until close. Owns: *out belongs to the caller; the handler must outlive it.
 * Errors: TL_EINVAL (address), TL_EUNAVAILABLE (port in use; library missing), TL_EPERMISSION,
 * TL_EIO. */
tl_rc tl_http_open(struct tl_http **out, const struct tl_http_options *o,
                   struct tl_error *err) TL_MUST_USE;
int tl_http_port(const struct tl_http *h);
/* Takes no new connections, cancels what waits, and returns when every request is answered. NULL is
 * fine. */
void tl_http_close(struct tl_http *h);
