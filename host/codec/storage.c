/* The codec of external storage. See storage.h. */
#include "codec/storage.h"

#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "crypto/digest.h"
#include "proto/json.h"
#include "proto/payload.h"
#include "proto/pb.h"

#define MESSAGE_TYPE "temporal.api.sdk.v1.ExternalStorageReference"
/* Before the message there was this, with other names of fields. */
#define OLD_ENCODING "json/external-storage-reference"

struct storage_codec {
    struct tl_codec base;
    struct tl_storage_options o;
};

/* --- claims ----------------------------------------------------------------------------------- */

bool tl_storage_claim_add(TpSdk__ExternalStorageReference *ref, struct tl_arena *arena,
                          const char *key, struct tl_str value)
{
    size_t n = ref->n_claim_data;
    TpSdk__ExternalStorageReference__ClaimDataEntry *e =
        TL_PB_NEW(arena, TpSdk__ExternalStorageReference__ClaimDataEntry,
                  tp_sdk__external_storage_reference__claim_data_entry);
    void *grown = TL_ARENA_ARRAY(arena, TpSdk__ExternalStorageReference__ClaimDataEntry *, n + 1);
    if (!e || !grown) {
        return false;
    }
    e->key = tl_pb_cstr(arena, tl_str(key));
    e->value = tl_pb_cstr(arena, value);
    if (n) {
        memcpy(grown, ref->claim_data, n * sizeof e);
    }
    ref->claim_data = grown;
    ref->claim_data[ref->n_claim_data++] = e;
    return e->key && e->value;
}

const char *tl_storage_claim_get(const TpSdk__ExternalStorageReference *ref, const char *key)
{
    const TpSdk__ExternalStorageReference__ClaimDataEntry *e =
        TL_PB_MAP_GET(TpSdk__ExternalStorageReference__ClaimDataEntry, ref->n_claim_data,
                      ref->claim_data, tl_str(key));
    return e ? e->value : "";
}

static void hash_hex(struct tl_str bytes, char *hex)
{
    struct tl_digest *d = tl_digest_new();
    tl_digest_put(d, bytes);
    tl_digest_finish_hex(d, hex);
}

bool tl_storage_claim_hash(TpSdk__ExternalStorageReference *ref, struct tl_arena *arena,
                           struct tl_str bytes, char *hex)
{
    hash_hex(bytes, hex);
    return tl_storage_claim_add(ref, arena, "hash_algorithm", TL_STR_LIT("sha256")) &&
           tl_storage_claim_add(ref, arena, "hash_value", tl_str(hex));
}

tl_rc tl_storage_claim_check(const TpSdk__ExternalStorageReference *ref, struct tl_str bytes,
                             struct tl_error *err)
{
    char hex[TL_SHA256_HEX];
    const char *algorithm = tl_storage_claim_get(ref, "hash_algorithm");
    if (strcmp(algorithm, "sha256") != 0) {
        return tl_error_set(err, TL_EDATALOSS, "the claim names the hash '%.40s', not sha256",
                            algorithm);
    }
    hash_hex(bytes, hex);
    return strcasecmp(hex, tl_storage_claim_get(ref, "hash_value")) == 0
               ? TL_OK
               : tl_error_set(err, TL_EDATALOSS,
                              "the %zu bytes that were found are not those that were stored",
                              bytes.n);
}

/* --- storing ---------------------------------------------------------------------------------- */

static tl_rc too_large(struct tl_error *err)
{
    return tl_error_set(err, TL_ELIMIT, "a payload is too large");
}

static tl_rc make_reference(TpSdk__ExternalStorageReference *ref, size_t stored_bytes,
                            struct tl_arena *arena, TpCommon__Payload **out, struct tl_error *err)
{
    struct tl_buf json;
    tl_buf_init(&json, (size_t)tl_limit_request_bytes);
    tl_rc rc = tl_json_write(ref, NULL, &json, err);
    if (rc == TL_OK) {
        TpCommon__Payload *p = tl_payload_new(arena, TL_ENCODING_JSON_PROTOBUF, tl_buf_str(&json));
        TpCommon__Payload__ExternalPayloadDetails *d =
            TL_PB_NEW(arena, TpCommon__Payload__ExternalPayloadDetails,
                      tp_common__payload__external_payload_details);
        TpCommon__Payload__ExternalPayloadDetails **list =
            TL_ARENA_NEW(arena, TpCommon__Payload__ExternalPayloadDetails *);
        if (p && d && list &&
            tl_payload_set_metadata(arena, p, TL_STR_LIT("messageType"),
                                    TL_STR_LIT(MESSAGE_TYPE))) {
            d->size_bytes = (int64_t)stored_bytes;
            list[0] = d;
            p->external_payloads = list;
            p->n_external_payloads = 1;
            *out = p;
        } else {
            rc = too_large(err);
        }
    }
    tl_buf_deinit(&json);
    return rc;
}

static tl_rc store_one(struct storage_codec *c, TpCommon__Payload **p,
                       const struct tl_payload_context *context, struct tl_arena *arena,
                       struct tl_error *err)
{
    struct tl_str bytes;
    int at = 0;
    tl_rc rc = TL_OK;
    size_t n = tl_pb_size(*p);
    if (n < c->o.threshold_bytes) {
        return TL_OK;
    }
    if (c->o.selector.select) {
        rc = c->o.selector.select(c->o.selector.ud, *p, n, context, &at, err);
    }
    if (rc != TL_OK || at < 0) {
        return rc;
    }
    struct tl_storage_driver *d = c->o.drivers[at];
    TpSdk__ExternalStorageReference *ref =
        TL_PB_NEW(arena, TpSdk__ExternalStorageReference, tp_sdk__external_storage_reference);
    if (!ref) {
        return too_large(err);
    }
    ref->driver_name = d->name;
    rc = tl_pb_encode_arena(*p, arena, &bytes, err);
    if (rc == TL_OK) {
        rc = d->ops->store(d, bytes, context, ref, arena, err);
    }
    if (rc != TL_OK) {
        return tl_error_wrap(err, rc, "storage driver '%s'", d->name);
    }
    return make_reference(ref, bytes.n, arena, p, err);
}

/* --- retrieving ------------------------------------------------------------------------------- */

/* *out NULL: the payload is no reference. */
static tl_rc read_reference(const TpCommon__Payload *p, struct tl_arena *arena,
                            TpSdk__ExternalStorageReference **out, struct tl_error *err)
{
    struct tl_json_read_options o = {.ignore_unknown = true};
    *out = NULL;
    if (tl_payload_kind(p) != TL_PAYLOAD_JSON_PROTOBUF ||
        !tl_str_eqc(tl_payload_metadata(p, TL_STR_LIT("messageType")), MESSAGE_TYPE)) {
        return TL_OK;
    }
    return tl_json_read(&tp_sdk__external_storage_reference__descriptor, tl_payload_data(p), &o,
                        arena, out, err);
}

static struct tl_storage_driver *find_driver(const struct storage_codec *c, const char *name)
{
    for (size_t i = 0; i < c->o.n; i++) {
        if (strcmp(c->o.drivers[i]->name, name) == 0) {
            return c->o.drivers[i];
        }
    }
    return NULL;
}

static tl_rc retrieve_one(struct storage_codec *c, TpCommon__Payload **p,
                          const struct tl_payload_context *context, struct tl_arena *arena,
                          struct tl_error *err)
{
    TpSdk__ExternalStorageReference *ref;
    struct tl_str bytes;
    tl_rc rc = read_reference(*p, arena, &ref, err);
    if (rc != TL_OK || !ref) {
        return rc;
    }
    struct tl_storage_driver *d = find_driver(c, ref->driver_name);
    if (!d) {
        return tl_error_set(err, TL_ENOTFOUND,
                            "a payload is kept by the storage driver '%.100s', which is not among "
                            "those of this connection",
                            ref->driver_name);
    }
    rc = d->ops->retrieve(d, ref, context, arena, &bytes, err);
    if (rc == TL_OK) {
        rc = tl_pb_decode(&tp_common__payload__descriptor, bytes, arena, p, err);
    }
    return rc == TL_OK ? TL_OK : tl_error_wrap(err, rc, "storage driver '%s'", d->name);
}

/* --- the codec -------------------------------------------------------------------------------- */

static tl_rc apply(struct tl_codec *codec, enum tl_codec_way way, struct tl_payload_span *span,
                   struct tl_arena *arena, struct tl_error *err)
{
    struct storage_codec *c = (struct storage_codec *)codec;
    tl_rc rc = TL_OK;
    for (size_t i = 0; i < span->n && rc == TL_OK; i++) {
        rc = way == TL_CODEC_ENCODE ? store_one(c, &span->items[i], span->context, arena, err)
                                    : retrieve_one(c, &span->items[i], span->context, arena, err);
    }
    return rc;
}

void tl_storage_options_free(struct tl_storage_options *o)
{
    for (size_t i = 0; i < o->n; i++) {
        tl_mem_free(o->drivers[i]->name);
        o->drivers[i]->ops->free(o->drivers[i]);
    }
    if (o->selector.free) {
        o->selector.free(o->selector.ud);
    }
    o->n = 0;
    o->selector = (struct tl_storage_selector){0};
}

static void free_codec(struct tl_codec *codec)
{
    struct storage_codec *c = (struct storage_codec *)codec;
    tl_storage_options_free(&c->o);
    tl_mem_free(c);
}

static const struct tl_codec_ops ops = {"external_storage", apply, free_codec};

struct tl_codec *tl_codec_storage(const struct tl_storage_options *options)
{
    struct storage_codec *c = TL_NEW(struct storage_codec);
    c->base.ops = &ops;
    c->o = *options;
    c->base.asks_context = c->o.selector.select != NULL;
    for (size_t i = 0; i < c->o.n; i++) {
        c->base.asks_context = c->base.asks_context || c->o.drivers[i]->asks_context;
        c->o.drivers[i]->name = tl_mem_dup(tl_str(options->names[i]));
        c->o.names[i] = NULL;
    }
    return &c->base;
}
