/* The codec that asks a codec server: POST of the payloads as JSON to <endpoint>/encode and /decode, as
 * the codec servers of Temporal's SDKs take them. See codec.h. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/limits.h"
#include "base/mem.h"
#include "codec/codec.h"
#include "crypto/aead.h"
#include "fetch/fetch.h"
#include "proto/json.h"
#include "proto/pb.h"

#define ATTEMPTS 3
#define PAUSE_NS 200000000 /* before the second attempt; more before the next */
#define NAMESPACE_MARK "{namespace}"

struct remote_codec {
    struct tl_codec base;
    char *urls[2]; /* by enum tl_codec_way */
    char *headers[TL_FETCH_HEADERS_MAX + 1];
    int64_t timeout_ms;
    struct tl_fetch_tls *tls; /* NULL: none */
    struct tl_fetch *fetch;   /* NULL before the first use */
};

static tl_rc err_final(struct tl_error *err)
{
    if (err) {
        err->code = TL_EPRECONDITION;
    }
    return TL_EPRECONDITION;
}

static tl_rc ask_once(struct remote_codec *c, enum tl_codec_way way, struct tl_str json,
                      struct tl_buf *answer, struct tl_error *err)
{
    int status;
    struct tl_fetch_request r = {.method = "POST",
                                 .url = c->urls[way],
                                 .headers = (const char *const *)c->headers,
                                 .body = json,
                                 .timeout_ms = c->timeout_ms};
    tl_rc rc = c->fetch ? TL_OK : tl_fetch_open(&c->fetch, c->tls, err);
    if (rc == TL_OK) {
        rc = tl_fetch_run(c->fetch, &r, &status, answer, err);
    }
    if (rc == TL_OK && status != 200) {
        rc = tl_fetch_refused(r.url, status, tl_buf_str(answer), err);
    }
    return rc;
}

/* A server that is not there for a moment is asked again here: above, the same error would repeat the
 * whole call, for as long as a long poll may last. */
static tl_rc ask(struct remote_codec *c, enum tl_codec_way way, struct tl_str json,
                 struct tl_buf *answer, struct tl_error *err)
{
    tl_rc rc = ask_once(c, way, json, answer, err);
    for (int attempt = 1; rc == TL_EUNAVAILABLE && attempt < ATTEMPTS; attempt++) {
        struct timespec pause = {0, attempt * PAUSE_NS};
        nanosleep(&pause, NULL);
        tl_buf_clear(answer);
        rc = ask_once(c, way, json, answer, err);
    }
    return rc == TL_EUNAVAILABLE || rc == TL_EDEADLINE ? err_final(err) : rc;
}

static tl_rc read_answer(const char *url, struct tl_str json, struct tl_payload_span *span,
                         struct tl_arena *arena, struct tl_error *err)
{
    TpCommon__Payloads *all;
    char room[TL_FETCH_SHOWN_BYTES];
    url = tl_fetch_shown(url, room);
    tl_rc rc =
        tl_json_read(&tp_common__payloads__descriptor, json,
                     &(struct tl_json_read_options){.ignore_unknown = true}, arena, &all, err);
    if (rc != TL_OK) {
        return tl_error_wrap(err, rc, "%s answered no payloads", url);
    }
    if (all->n_payloads == 0 || (span->one && all->n_payloads != 1)) {
        return tl_error_set(err, TL_EDECODE, "%s answered %zu payloads for %zu", url,
                            all->n_payloads, span->n);
    }
    span->items = all->payloads;
    span->n = all->n_payloads;
    return TL_OK;
}

static tl_rc apply(struct tl_codec *codec, enum tl_codec_way way, struct tl_payload_span *span,
                   struct tl_arena *arena, struct tl_error *err)
{
    struct remote_codec *c = (struct remote_codec *)codec;
    size_t bytes_max = (size_t)tl_limit_request_bytes * 2; /* base64 */
    TpCommon__Payloads all = TP_COMMON__PAYLOADS__INIT;
    struct tl_buf request, answer;
    all.payloads = span->items;
    all.n_payloads = span->n;
    tl_buf_init(&request, bytes_max);
    tl_buf_init(&answer, bytes_max);
    tl_rc rc = tl_json_write(&all, NULL, &request, err);
    if (rc == TL_OK) {
        rc = ask(c, way, tl_buf_str(&request), &answer, err);
    }
    if (rc == TL_OK) {
        rc = read_answer(c->urls[way], tl_buf_str(&answer), span, arena, err);
    }
    tl_buf_deinit(&request);
    tl_buf_deinit(&answer);
    return rc;
}

static void free_codec(struct tl_codec *codec)
{
    struct remote_codec *c = (struct remote_codec *)codec;
    tl_fetch_close(c->fetch);
    tl_fetch_tls_close(c->tls);
    for (char **h = c->headers; *h; h++) {
        tl_secret_wipe(*h, strlen(*h));
        tl_mem_free(*h);
    }
    tl_mem_free(c->urls[0]);
    tl_mem_free(c->urls[1]);
    tl_mem_free(c);
}

static const struct tl_codec_ops ops = {"remote", apply, free_codec};

/* The endpoint with the namespace in its place and the path behind it. */
static char *make_url(struct tl_str endpoint, struct tl_str namespace_name, const char *path)
{
    struct tl_buf b;
    tl_buf_init(&b, (size_t)1 << 20);
    while (endpoint.n && endpoint.p[endpoint.n - 1] == '/') {
        endpoint.n--;
    }
    const char *at = endpoint.p, *end = endpoint.p + endpoint.n, *mark;
    while ((mark = memmem(at, (size_t)(end - at), NAMESPACE_MARK, sizeof NAMESPACE_MARK - 1))) {
        tl_buf_put(&b, at, (size_t)(mark - at));
        tl_buf_put(&b, namespace_name.p, namespace_name.n);
        at = mark + sizeof NAMESPACE_MARK - 1;
    }
    tl_buf_put(&b, at, (size_t)(end - at));
    tl_buf_put(&b, path, strlen(path));
    char *url = tl_mem_dup(tl_buf_str(&b));
    tl_buf_deinit(&b);
    return url;
}

static char *make_header(const char *name, struct tl_str value)
{
    size_t cap = strlen(name) + value.n + 3;
    char *line = tl_mem_alloc(cap);
    snprintf(line, cap, "%s: %.*s", name, TL_STR_FMT(value));
    return line;
}

static tl_rc check(const struct tl_codec_remote *o, struct tl_error *err)
{
    bool http = (o->endpoint.n > 7 && memcmp(o->endpoint.p, "http://", 7) == 0) ||
                (o->endpoint.n > 8 && memcmp(o->endpoint.p, "https://", 8) == 0);
    if (!http) {
        return tl_error_set(err, TL_EINVAL,
                            "the endpoint of a codec server begins with http:// or https://, got "
                            "'%.*s'",
                            (int)(o->endpoint.n < 100 ? o->endpoint.n : 100), o->endpoint.p);
    }
    size_t n = 0;
    for (; o->headers && o->headers[n]; n++) {
        const char *colon = strchr(o->headers[n], ':');
        if (!colon || colon == o->headers[n] || strpbrk(o->headers[n], "\r\n")) {
            return tl_error_set(err, TL_EINVAL,
                                "header %zu of the codec server is not of the form 'Name: value'",
                                n + 1);
        }
    }
    if (n > TL_FETCH_HEADERS_MAX - 3) {
        return tl_error_set(err, TL_EINVAL, "at most %d headers for a codec server",
                            TL_FETCH_HEADERS_MAX - 3);
    }
    if (o->timeout_ms <= 0) {
        return tl_error_set(err, TL_EINVAL, "the timeout of a codec server is more than 0");
    }
    return memchr(o->auth.n ? o->auth.p : "", '\n', o->auth.n)
               ? tl_error_set(err, TL_EINVAL, "the auth of a codec server is one line")
               : TL_OK;
}

tl_rc tl_codec_remote(struct tl_codec **out, const struct tl_codec_remote *o, struct tl_error *err)
{
    tl_rc rc = check(o, err);
    if (rc != TL_OK) {
        return rc;
    }
    struct tl_fetch_tls *tls = NULL;
    rc = o->tls ? tl_fetch_tls_open(&tls, o->tls, err) : TL_OK;
    if (rc != TL_OK) {
        return tl_error_wrap(err, rc, "tls of the codec server");
    }
    struct remote_codec *c = TL_NEW(struct remote_codec);
    size_t n = 0;
    c->tls = tls;
    c->base.ops = &ops;
    c->timeout_ms = o->timeout_ms;
    c->urls[TL_CODEC_ENCODE] = make_url(o->endpoint, o->namespace_name, "/encode");
    c->urls[TL_CODEC_DECODE] = make_url(o->endpoint, o->namespace_name, "/decode");
    c->headers[n++] = tl_mem_dup(TL_STR_LIT("Content-Type: application/json"));
    c->headers[n++] = make_header("X-Namespace", o->namespace_name);
    if (o->auth.n) {
        c->headers[n++] = make_header("Authorization", o->auth);
    }
    for (size_t i = 0; o->headers && o->headers[i]; i++) {
        c->headers[n++] = tl_mem_dup(tl_str(o->headers[i]));
    }
    *out = &c->base;
    return TL_OK;
}
