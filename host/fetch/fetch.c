/* See fetch.h. */
#include "fetch/fetch.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "fetch/curl.h"
#include "fetch/tls.h"

#define TOLD_MAX 200 /* bytes of a refusal's body in its message */

struct tl_fetch {
    const struct tl_curl *curl;
    CURL *handle;
    const struct tl_fetch_tls *tls;
    char problem[CURL_ERROR_SIZE];
};

tl_rc tl_fetch_open(struct tl_fetch **out, const struct tl_fetch_tls *tls, struct tl_error *err)
{
    const struct tl_curl *curl;
    *out = NULL;
    tl_rc rc = tl_curl_load(&curl, err);
    if (rc != TL_OK) {
        return rc;
    }
    CURL *handle = curl->easy_init();
    if (!handle) {
        return tl_error_set(err, TL_EMEMORY, "no memory for HTTP requests");
    }
    struct tl_fetch *f = TL_NEW(struct tl_fetch);
    f->curl = curl;
    f->handle = handle;
    f->tls = tls;
    *out = f;
    return TL_OK;
}

void tl_fetch_close(struct tl_fetch *f)
{
    if (f) {
        f->curl->easy_cleanup(f->handle);
        tl_mem_free(f);
    }
}

static size_t receive(char *p, size_t size, size_t count, void *ud)
{
    return tl_buf_put(ud, p, size * count) ? size * count : 0;
}

static struct curl_slist *header_list(const struct tl_curl *curl, const char *const *headers)
{
    /* An empty one takes the wait for "100 Continue" away. */
    struct curl_slist *list = curl->slist_append(NULL, "Expect:");
    for (size_t i = 0; list && headers && headers[i]; i++) {
        struct curl_slist *longer = curl->slist_append(list, headers[i]);
        if (!longer) {
            curl->slist_free_all(list);
        }
        list = longer;
    }
    return list;
}

static void set_options(struct tl_fetch *f, const struct tl_fetch_request *r,
                        const struct tl_tls_route *route, struct curl_slist *headers,
                        struct tl_buf *body)
{
    const struct tl_curl *c = f->curl;
    bool head = strcmp(r->method, "HEAD") == 0, get = strcmp(r->method, "GET") == 0;
    c->easy_reset(f->handle); /* keeps connections */
    c->easy_setopt(f->handle, CURLOPT_URL, route->url ? route->url : r->url);
    c->easy_setopt(f->handle, CURLOPT_CONNECT_TO, route->connect);
    tl_tls_apply(f->tls, c, f->handle);
    c->easy_setopt(f->handle, CURLOPT_PROTOCOLS_STR, "http,https");
    c->easy_setopt(f->handle, CURLOPT_NOSIGNAL, 1L);
    c->easy_setopt(f->handle, CURLOPT_TIMEOUT_MS, (long)r->timeout_ms);
    c->easy_setopt(f->handle, CURLOPT_ERRORBUFFER, f->problem);
    c->easy_setopt(f->handle, CURLOPT_HTTPHEADER, headers);
    c->easy_setopt(f->handle, CURLOPT_WRITEFUNCTION, receive);
    c->easy_setopt(f->handle, CURLOPT_WRITEDATA, body);
    if (head) {
        c->easy_setopt(f->handle, CURLOPT_NOBODY, 1L);
    } else if (!get) {
        c->easy_setopt(f->handle, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.n);
        c->easy_setopt(f->handle, CURLOPT_POSTFIELDS, r->body.n ? r->body.p : "");
        c->easy_setopt(f->handle, CURLOPT_CUSTOMREQUEST, r->method);
    }
}

const char *tl_fetch_shown(const char *url, char out[TL_FETCH_SHOWN_BYTES])
{
    const char *mark = strstr(url, "://");
    const char *host = mark ? mark + 3 : url;
    size_t authority = strcspn(host, "/?#");
    const char *at = memrchr(host, '@', authority);
    const char *shown = at ? at + 1 : host;
    snprintf(out, TL_FETCH_SHOWN_BYTES, "%.*s%s%.*s", (int)(host - url), url, at ? "***@" : "",
             (int)strcspn(shown, "?"), shown);
    return out;
}

static tl_rc failed(struct tl_fetch *f, const struct tl_fetch_request *r, CURLcode code,
                    const struct tl_buf *body, struct tl_error *err)
{
    const char *problem = f->problem[0] ? f->problem : f->curl->easy_strerror(code);
    char room[TL_FETCH_SHOWN_BYTES];
    const char *url = tl_fetch_shown(r->url, room);
    if (code == CURLE_WRITE_ERROR) {
        return tl_error_set(err, TL_ELIMIT, "%s: the answer is larger than %zu bytes", url,
                            body->bytes_max);
    }
    if (code == CURLE_OPERATION_TIMEDOUT) {
        return tl_error_set(err, TL_EDEADLINE, "%s: no answer within %lld ms", url,
                            (long long)r->timeout_ms);
    }
    if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE ||
        code == CURLE_SSL_CERTPROBLEM) { /* asking again changes nothing */
        return tl_error_set(err, TL_EPRECONDITION, "%s: %s", url, problem);
    }
    bool wrong = code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL;
    return tl_error_set(err, wrong ? TL_EINVAL : TL_EUNAVAILABLE, "%s: %s", url, problem);
}

tl_rc tl_fetch_run(struct tl_fetch *f, const struct tl_fetch_request *r, int *status,
                   struct tl_buf *body, struct tl_error *err)
{
    long code = 0;
    struct tl_tls_route route;
    tl_rc routed = tl_tls_route(f->tls, f->curl, r->url, &route, err);
    if (routed != TL_OK) {
        return routed;
    }
    struct curl_slist *headers = header_list(f->curl, r->headers);
    if (!headers) {
        tl_tls_route_free(f->curl, &route);
        return tl_error_set(err, TL_EMEMORY, "no memory for HTTP headers");
    }
    f->problem[0] = '\0';
    set_options(f, r, &route, headers, body);
    CURLcode rc = f->curl->easy_perform(f->handle);
    f->curl->easy_getinfo(f->handle, CURLINFO_RESPONSE_CODE, &code);
    f->curl->slist_free_all(headers);
    tl_tls_route_free(f->curl, &route);
    *status = (int)code;
    return rc == CURLE_OK ? TL_OK : failed(f, r, rc, body, err);
}

tl_rc tl_fetch_refused(const char *url, int status, struct tl_str body, struct tl_error *err)
{
    tl_rc rc = TL_EINVAL;
    if (status == 408 || status == 429 || status >= 500) {
        rc = TL_EUNAVAILABLE;
    } else if (status == 404) {
        rc = TL_ENOTFOUND;
    } else if (status == 401 || status == 403) {
        rc = TL_EPERMISSION;
    }
    char told[TOLD_MAX + 1], room[TL_FETCH_SHOWN_BYTES];
    size_t n = body.n < TOLD_MAX ? body.n : TOLD_MAX;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)body.p[i];
        told[i] = (char)(c >= 0x20 && c < 0x7f ? c : ' ');
    }
    told[n] = '\0';
    return tl_error_set(err, rc, "%s answered %d%s%s", tl_fetch_shown(url, room), status,
                        n ? ": " : "", told);
}
