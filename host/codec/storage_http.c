/* The storage driver of object stores over HTTP. See storage.h. */
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "codec/storage.h"
#include "crypto/aead.h"
#include "crypto/digest.h"
#include "fetch/fetch.h"

#define URL_MAX_BYTES 4096
#define KEY_MAX_BYTES 1025 /* of object stores, with the NUL */

struct http_driver {
    struct tl_storage_driver base;
    char *endpoint, *bucket, *key_prefix;
    char *headers[TL_FETCH_HEADERS_MAX + 1];
    int64_t timeout_ms;
    struct tl_fetch_tls *tls; /* NULL: none */
    struct tl_fetch *fetch;   /* NULL before the first use */
};

/* One request; the answer's body goes to `body`. */
static tl_rc run(struct http_driver *h, const char *method, const char *bucket, const char *key,
                 struct tl_str bytes, int *status, struct tl_buf *body, struct tl_error *err)
{
    char url[URL_MAX_BYTES];
    int n = snprintf(url, sizeof url, "%s/%s/", h->endpoint, bucket);
    for (; *key && n < URL_MAX_BYTES; key++) { /* a percent sign is part of a key, no escape */
        n += snprintf(url + n, sizeof url - (size_t)n, *key == '%' ? "%%25" : "%c", *key);
    }
    if (n >= URL_MAX_BYTES) {
        return tl_error_set(err, TL_EINVAL, "the object's address is too long");
    }
    struct tl_fetch_request r = {.method = method,
                                 .url = url,
                                 .headers = (const char *const *)h->headers,
                                 .body = bytes,
                                 .timeout_ms = h->timeout_ms};
    tl_rc rc = h->fetch ? TL_OK : tl_fetch_open(&h->fetch, h->tls, err);
    if (rc == TL_OK) {
        rc = tl_fetch_run(h->fetch, &r, status, body, err);
    }
    bool head = strcmp(method, "HEAD") == 0 && *status == 404;
    if (rc == TL_OK && !head && (*status < 200 || *status > 299)) {
        rc = tl_fetch_refused(url, *status, tl_buf_str(body), err);
    }
    return rc;
}

static tl_rc put_object(struct http_driver *h, const char *key, struct tl_str bytes,
                        struct tl_error *err)
{
    struct tl_buf body;
    int status = 0;
    tl_buf_init(&body, (size_t)1 << 20);
    tl_rc rc = run(h, "HEAD", h->bucket, key, (struct tl_str){NULL, 0}, &status, &body, err);
    if (rc == TL_OK && status == 404) { /* the same content need not travel twice */
        tl_buf_clear(&body);
        rc = run(h, "PUT", h->bucket, key, bytes, &status, &body, err);
    }
    tl_buf_deinit(&body);
    return rc;
}

static tl_rc store(struct tl_storage_driver *d, struct tl_str bytes,
                   const struct tl_payload_context *context, TpSdk__ExternalStorageReference *ref,
                   struct tl_arena *arena, struct tl_error *err)
{
    (void)context;
    struct http_driver *h = (struct http_driver *)d;
    char hex[TL_SHA256_HEX], key[KEY_MAX_BYTES];
    bool added = tl_storage_claim_hash(ref, arena, bytes, hex);
    if (snprintf(key, sizeof key, "%s/d/sha256/%s", h->key_prefix, hex) >= (int)sizeof key) {
        return tl_error_set(err, TL_EINVAL, "the object's key is too long");
    }
    added = added && tl_storage_claim_add(ref, arena, "bucket", tl_str(h->bucket)) &&
            tl_storage_claim_add(ref, arena, "key", tl_str(key));
    return added ? put_object(h, key, bytes, err)
                 : tl_error_set(err, TL_ELIMIT, "a payload is too large");
}

/* What a claim from the network may ask this server for: a path of plain segments. */
static bool plain_path(const char *text)
{
    for (const char *c = text; *c; c++) {
        if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f || strchr("?#\\\"<>", *c)) {
            return false;
        }
    }
    return *text && *text != '/' && !strstr(text, "..") && !strstr(text, "//");
}

static tl_rc retrieve(struct tl_storage_driver *d, const TpSdk__ExternalStorageReference *ref,
                      const struct tl_payload_context *context, struct tl_arena *arena,
                      struct tl_str *out, struct tl_error *err)
{
    (void)context;
    struct http_driver *h = (struct http_driver *)d;
    const char *bucket = tl_storage_claim_get(ref, "bucket"),
               *key = tl_storage_claim_get(ref, "key");
    struct tl_buf body;
    int status = 0;
    if (!plain_path(key) || !plain_path(bucket)) {
        return tl_error_set(err, TL_EDECODE, "the claim has no usable bucket and key");
    }
    tl_buf_init(&body, (size_t)tl_limit_request_bytes);
    tl_rc rc = run(h, "GET", bucket, key, (struct tl_str){NULL, 0}, &status, &body, err);
    if (rc == TL_OK) {
        rc = tl_storage_claim_check(ref, tl_buf_str(&body), err);
    }
    if (rc == TL_OK) {
        *out = tl_arena_str(arena, tl_buf_str(&body));
        rc = out->p ? TL_OK : tl_error_set(err, TL_ELIMIT, "a payload is too large");
    }
    tl_buf_deinit(&body);
    return rc;
}

static void free_driver(struct tl_storage_driver *d)
{
    struct http_driver *h = (struct http_driver *)d;
    tl_fetch_close(h->fetch);
    tl_fetch_tls_close(h->tls);
    for (char **header = h->headers; *header; header++) {
        tl_secret_wipe(*header, strlen(*header));
        tl_mem_free(*header);
    }
    tl_mem_free(h->endpoint);
    tl_mem_free(h->bucket);
    tl_mem_free(h->key_prefix);
    tl_mem_free(h);
}

static const struct tl_storage_driver_ops ops = {store, retrieve, free_driver};

/* "v0/ns/<namespace>", escaped as a path. */
static char *make_prefix(struct tl_str namespace_name)
{
    struct tl_buf b;
    char escaped[4];
    tl_buf_init(&b, KEY_MAX_BYTES);
    tl_buf_put(&b, "v0/ns/", 6);
    for (size_t i = 0; i < namespace_name.n; i++) {
        unsigned char c = (unsigned char)namespace_name.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '_' || (c == '.' && namespace_name.n > 2);
        if (plain) {
            tl_buf_putc(&b, (char)c);
        } else {
            snprintf(escaped, sizeof escaped, "%%%02X", c);
            tl_buf_put(&b, escaped, 3);
        }
    }
    char *prefix = tl_mem_dup(tl_buf_str(&b));
    tl_buf_deinit(&b);
    return prefix;
}

tl_rc tl_storage_http(struct tl_storage_driver **out, const struct tl_storage_http_options *o,
                      struct tl_error *err)
{
    struct tl_str endpoint = o->endpoint;
    while (endpoint.n && endpoint.p[endpoint.n - 1] == '/') {
        endpoint.n--;
    }
    struct http_driver *h = TL_NEW(struct http_driver);
    h->base.ops = &ops;
    h->timeout_ms = o->timeout_ms;
    h->endpoint = tl_mem_dup(endpoint);
    h->bucket = tl_mem_dup(o->bucket);
    h->key_prefix = make_prefix(o->namespace_name);
    size_t n = 0;
    for (; o->headers && o->headers[n] && n < TL_FETCH_HEADERS_MAX; n++) {
        h->headers[n] = tl_mem_dup(tl_str(o->headers[n]));
    }
    *out = &h->base;
    if (!plain_path(h->bucket) || strncmp(h->endpoint, "http", 4) != 0 || o->timeout_ms <= 0) {
        free_driver(&h->base);
        return tl_error_set(
            err, TL_EINVAL,
            "an object store has an http or https endpoint, a bucket and a timeout");
    }
    tl_rc rc = o->tls ? tl_fetch_tls_open(&h->tls, o->tls, err) : TL_OK;
    if (rc != TL_OK) {
        free_driver(&h->base);
        return tl_error_wrap(err, rc, "tls of the object store");
    }
    return TL_OK;
}
