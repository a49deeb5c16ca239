/* See headers.h. */
#include "rpc/grpc/headers.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

static struct tl_grpc_headers *make(void)
{
    struct tl_grpc_headers *h = TL_NEW(struct tl_grpc_headers);
    atomic_store(&h->holds, 1);
    return h;
}

struct tl_grpc_headers *tl_grpc_headers_retain(struct tl_grpc_headers *h)
{
    atomic_fetch_add(&h->holds, 1);
    return h;
}

void tl_grpc_headers_release(struct tl_grpc_headers *h)
{
    if (h && atomic_fetch_sub(&h->holds, 1) == 1) {
        for (size_t i = 0; i < h->count; i++) {
            grpc_slice_unref(h->list[i].key);
            grpc_slice_unref(h->list[i].value);
        }
        tl_mem_free(h);
    }
}

static tl_rc add(struct tl_grpc_headers *h, const char *name, struct tl_str value,
                 struct tl_error *err)
{
    if (h->count == TL_GRPC_HEADERS_MAX) {
        return tl_error_set(err, TL_EINVAL, "a call cannot carry more than %d headers",
                            TL_GRPC_HEADERS_MAX);
    }
    grpc_metadata *m = &h->list[h->count++]; /* freed with the set */
    m->key = tl_grpc_slice(tl_str(name));
    m->value = tl_grpc_slice(value);
    if (!grpc_header_key_is_legal(m->key) || strncmp(name, "grpc-", 5) == 0) {
        return tl_error_set(err, TL_EINVAL,
                            "'%s' cannot be the name of a header: lower-case letters, digits and "
                            "._- not beginning with grpc-",
                            name);
    }
    if (!grpc_is_binary_header(m->key) && !grpc_header_nonbin_value_is_legal(m->value)) {
        return tl_error_set(err, TL_EINVAL,
                            "the header '%s' has characters that cannot be sent: printable ASCII, "
                            "or a name that ends in -bin",
                            name);
    }
    return TL_OK;
}

static tl_rc add_api_key(struct tl_grpc_headers *h, const char *api_key, struct tl_error *err)
{
    if (!api_key || !*api_key) {
        return TL_OK;
    }
    if (strlen(api_key) > TL_GRPC_API_KEY_BYTES_MAX) {
        return tl_error_set(err, TL_EINVAL, "the API key is longer than %zu bytes",
                            TL_GRPC_API_KEY_BYTES_MAX);
    }
    size_t n = strlen(api_key) + sizeof "Bearer ";
    char *text = tl_mem_alloc(n);
    snprintf(text, n, "Bearer %s", api_key);
    tl_rc rc = add(h, "authorization", tl_str(text), NULL);
    tl_mem_free(text);
    h->has_key = rc == TL_OK;
    return rc == TL_OK ? rc
                       : tl_error_set(err, rc,
                                      "the API key has characters that cannot be sent: a "
                                      "line end from its file perhaps");
}

static tl_rc add_metadata(struct tl_grpc_headers *h, const struct tl_grpc_header *metadata,
                          size_t count, struct tl_error *err)
{
    tl_rc rc = TL_OK;
    for (size_t i = 0; rc == TL_OK && i < count; i++) {
        rc = add(h, metadata[i].name, metadata[i].value, err);
    }
    return rc;
}

static void add_copies(struct tl_grpc_headers *h, const struct tl_grpc_headers *old, size_t from,
                       size_t to)
{
    for (size_t i = from; i < to; i++) {
        h->list[h->count].key = grpc_slice_ref(old->list[i].key);
        h->list[h->count++].value = grpc_slice_ref(old->list[i].value);
    }
}

/* A set that cannot be used is freed. */
static tl_rc done(struct tl_grpc_headers **out, struct tl_grpc_headers *h, tl_rc rc,
                  struct tl_error *err)
{
    for (size_t i = h->fixed + 1; rc == TL_OK && h->has_key && i < h->count; i++) {
        if (tl_str_eqc(tl_grpc_slice_str(&h->list[i].key), "authorization")) {
            rc = tl_error_set(err, TL_EINVAL,
                              "give an API key or a header 'authorization', not both");
        }
    }
    if (rc != TL_OK) {
        tl_grpc_headers_release(h);
        h = NULL;
    }
    *out = h;
    return rc;
}

tl_rc tl_grpc_headers_new(struct tl_grpc_headers **out, const struct tl_grpc_channel_options *o,
                          struct tl_error *err)
{
    struct tl_grpc_headers *h = make();
    tl_rc rc = add(h, "client-name", TL_STR_LIT(TL_GRPC_CLIENT_NAME), err);
    if (rc == TL_OK) {
        rc = add(h, "client-version", TL_STR_LIT(TL_GRPC_CLIENT_VERSION), err);
    }
    if (rc == TL_OK && o->namespace_name && *o->namespace_name) {
        rc = add(h, "temporal-namespace", tl_str(o->namespace_name), err);
    }
    h->fixed = h->count;
    if (rc == TL_OK) {
        rc = add_api_key(h, o->api_key, err);
    }
    if (rc == TL_OK) {
        rc = add_metadata(h, o->metadata, o->metadata_count, err);
    }
    return done(out, h, rc, err);
}

tl_rc tl_grpc_headers_with_api_key(struct tl_grpc_headers **out, const struct tl_grpc_headers *old,
                                   const char *api_key, struct tl_error *err)
{
    struct tl_grpc_headers *h = make();
    h->fixed = old->fixed;
    add_copies(h, old, 0, old->fixed);
    tl_rc rc = add_api_key(h, api_key, err);
    size_t metadata = old->fixed + old->has_key;
    if (rc == TL_OK && h->count + (old->count - metadata) > TL_GRPC_HEADERS_MAX) {
        rc = tl_error_set(err, TL_EINVAL, "a call cannot carry more than %d headers",
                          TL_GRPC_HEADERS_MAX);
    }
    if (rc == TL_OK) {
        add_copies(h, old, metadata, old->count);
    }
    return done(out, h, rc, err);
}

tl_rc tl_grpc_headers_with_metadata(struct tl_grpc_headers **out, const struct tl_grpc_headers *old,
                                    const struct tl_grpc_header *metadata, size_t count,
                                    struct tl_error *err)
{
    struct tl_grpc_headers *h = make();
    h->fixed = old->fixed;
    h->has_key = old->has_key;
    add_copies(h, old, 0, old->fixed + old->has_key);
    return done(out, h, add_metadata(h, metadata, count, err), err);
}
