/* Requests: decoding of their parts. Thread: the listener's. */
#include <string.h>

#include "http/listen_int.h"

static int hex(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool tl_http_unescape(struct tl_arena *arena, struct tl_str in, struct tl_str *out)
{
    char *p = tl_arena_alloc(arena, in.n + 1);
    size_t n = 0;
    if (!p) {
        return false;
    }
    for (size_t i = 0; i < in.n; i++) {
        char c = in.p[i];
        if (c == '%') {
            int high = i + 2 < in.n ? hex(in.p[i + 1]) : -1;
            int low = i + 2 < in.n ? hex(in.p[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return false;
            }
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (c == 0) {
            return false;
        }
        p[n++] = c;
    }
    *out = tl_str_n(p, n);
    return true;
}

const struct tl_http_param *tl_http_param(const struct tl_http_request *r, const char *name)
{
    for (const struct tl_http_param *p = r->params; p; p = p->next) {
        if (tl_str_eqc(p->name, name)) {
            return p;
        }
    }
    return NULL;
}

/* The host of "host:port", "[::1]:port" or "scheme://host:port"; without brackets. */
static struct tl_str host_of(struct tl_str text)
{
    for (size_t i = 0; i + 2 < text.n; i++) {
        if (memcmp(text.p + i, "://", 3) == 0) {
            text = tl_str_n(text.p + i + 3, text.n - i - 3);
            break;
        }
    }
    const char *end = text.n ? memchr(text.p, text.p[0] == '[' ? ']' : ':', text.n) : NULL;
    size_t n = end ? (size_t)(end - text.p) : text.n;
    return text.n && text.p[0] == '[' ? tl_str_n(text.p + 1, n ? n - 1 : 0) : tl_str_n(text.p, n);
}

/* localhost and its subdomains, 127.0.0.0/8, ::1. */
static bool is_loopback_host(struct tl_str host)
{
    static const char local[] = "localhost";
    size_t n = sizeof local - 1;
    if (tl_str_eqc(host, "::1")) {
        return true;
    }
    if (host.n >= n && strncasecmp(host.p + host.n - n, local, n) == 0) {
        return host.n == n || host.p[host.n - n - 1] == '.';
    }
    if (host.n < 7 || memcmp(host.p, "127.", 4) != 0) {
        return false;
    }
    for (size_t i = 0; i < host.n; i++) {
        if (host.p[i] != '.' && (host.p[i] < '0' || host.p[i] > '9')) {
            return false;
        }
    }
    return true;
}

bool tl_http_origin_listed(const char *const *origins, struct tl_str origin)
{
    for (; origin.n && origins && *origins; origins++) {
        if (tl_str_eqc(origin, *origins)) {
            return true;
        }
    }
    return false;
}

bool tl_http_host_allowed(struct tl_str host, struct tl_str origin, bool loopback)
{
    if (origin.n && !tl_str_eq(host_of(origin), host_of(host))) {
        return false;
    }
    return !loopback || is_loopback_host(host_of(host));
}
