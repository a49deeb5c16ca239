/* The encrypting codec. See codec.h. */
#include "base/mem.h"
#include "base/world.h"
#include "codec/codec.h"
#include "crypto/aead.h"
#include "proto/payload.h"
#include "proto/pb.h"

#define ENCODING "binary/encrypted"
#define KEY_ID "encryption-key-id"
#define KEY_MAX 32

struct key {
    char *id;
    uint8_t bytes[KEY_MAX];
    size_t n;
};

struct aes_codec {
    struct tl_codec base;
    struct key *keys;
    size_t n, active;
};

static const struct key *find_key(const struct aes_codec *c, struct tl_str id)
{
    for (size_t i = 0; i < c->n; i++) {
        if (tl_str_eqc(id, c->keys[i].id)) {
            return &c->keys[i];
        }
    }
    return NULL;
}

static struct tl_str key_bytes(const struct key *k)
{
    return tl_str_n((const char *)k->bytes, k->n);
}

static tl_rc too_large(struct tl_error *err)
{
    return tl_error_set(err, TL_ELIMIT, "a payload is too large");
}

static void fresh_nonce(uint8_t nonce[TL_AES_GCM_NONCE])
{
    uint64_t random[2] = {tl_world_random(tl_world_real()), tl_world_random(tl_world_real())};
    memcpy(nonce, random, TL_AES_GCM_NONCE);
}

static tl_rc encrypt(const struct aes_codec *c, TpCommon__Payload **p, struct tl_arena *arena,
                     struct tl_error *err)
{
    const struct key *key = &c->keys[c->active];
    struct tl_str plain;
    tl_rc rc = tl_pb_encode_arena(*p, arena, &plain, err);
    if (rc != TL_OK) {
        return rc;
    }
    size_t n = TL_AES_GCM_NONCE + plain.n + TL_AES_GCM_TAG;
    uint8_t *data = tl_arena_alloc(arena, n);
    TpCommon__Payload *sealed = tl_payload_new(arena, ENCODING, (struct tl_str){NULL, 0});
    if (!data || !sealed ||
        !tl_payload_set_metadata(arena, sealed, TL_STR_LIT(KEY_ID), tl_str(key->id))) {
        return too_large(err);
    }
    fresh_nonce(data);
    tl_aes_gcm_seal(key_bytes(key), data, plain, data + TL_AES_GCM_NONCE);
    sealed->data = (ProtobufCBinaryData){n, data};
    *p = sealed;
    return TL_OK;
}

static tl_rc decrypt(const struct aes_codec *c, TpCommon__Payload **p, struct tl_arena *arena,
                     struct tl_error *err)
{
    struct tl_str data = tl_payload_data(*p);
    struct tl_str id = tl_payload_metadata(*p, TL_STR_LIT(KEY_ID));
    const struct key *key = find_key(c, id);
    if (!key) {
        return tl_error_set(err, TL_EPERMISSION,
                            "a payload is encrypted with the key '%.*s', which is not among the "
                            "keys of this connection",
                            (int)(id.n < 100 ? id.n : 100), id.p ? id.p : "");
    }
    if (data.n < TL_AES_GCM_NONCE + TL_AES_GCM_TAG) {
        return tl_error_set(err, TL_EDATALOSS, "an encrypted payload of %zu bytes is cut off",
                            data.n);
    }
    size_t n = data.n - TL_AES_GCM_NONCE - TL_AES_GCM_TAG;
    uint8_t *plain = tl_arena_alloc(arena, n + 1);
    if (!plain) {
        return too_large(err);
    }
    struct tl_str sealed = tl_str_n(data.p + TL_AES_GCM_NONCE, data.n - TL_AES_GCM_NONCE);
    if (!tl_aes_gcm_open(key_bytes(key), (const uint8_t *)data.p, sealed, plain)) {
        return tl_error_set(err, TL_EDATALOSS,
                            "a payload cannot be decrypted: the key '%s' is not the one it was "
                            "encrypted with, or the bytes were changed",
                            key->id);
    }
    return tl_pb_decode(&tp_common__payload__descriptor, tl_str_n((const char *)plain, n), arena, p,
                        err);
}

static tl_rc apply(struct tl_codec *codec, enum tl_codec_way way, struct tl_payload_span *span,
                   struct tl_arena *arena, struct tl_error *err)
{
    struct aes_codec *c = (struct aes_codec *)codec;
    tl_rc rc = TL_OK;
    for (size_t i = 0; i < span->n && rc == TL_OK; i++) {
        if (way == TL_CODEC_ENCODE) {
            rc = encrypt(c, &span->items[i], arena, err);
        } else if (tl_str_eqc(tl_payload_encoding(span->items[i]), ENCODING)) {
            rc = decrypt(c, &span->items[i], arena, err);
        }
    }
    return rc;
}

static void free_codec(struct tl_codec *codec)
{
    struct aes_codec *c = (struct aes_codec *)codec;
    for (size_t i = 0; i < c->n; i++) {
        tl_secret_wipe(c->keys[i].bytes, KEY_MAX);
        tl_mem_free(c->keys[i].id);
    }
    tl_mem_free(c->keys);
    tl_mem_free(c);
}

static const struct tl_codec_ops ops = {"aes_gcm", apply, free_codec};

static tl_rc check_keys(const struct tl_codec_key *keys, size_t n, struct tl_str active,
                        size_t *active_index, struct tl_error *err)
{
    bool found = false;
    for (size_t i = 0; i < n; i++) {
        if (!tl_aes_key_size_ok(keys[i].key.n)) {
            return tl_error_set(err, TL_EINVAL, "key '%.*s' has %zu bytes; AES takes 16, 24 or 32",
                                (int)keys[i].id.n, keys[i].id.p, keys[i].key.n);
        }
        if (tl_str_eq(keys[i].id, active)) {
            found = true;
            *active_index = i;
        }
    }
    return found ? TL_OK
                 : tl_error_set(err, TL_EINVAL, "no key has the active id '%.*s'", (int)active.n,
                                active.p);
}

tl_rc tl_codec_aes_gcm(struct tl_codec **out, const struct tl_codec_key *keys, size_t n,
                       struct tl_str active, struct tl_error *err)
{
    size_t active_index = 0;
    tl_rc rc = check_keys(keys, n, active, &active_index, err);
    if (rc != TL_OK) {
        return rc;
    }
    struct aes_codec *c = TL_NEW(struct aes_codec);
    c->base.ops = &ops;
    c->keys = TL_NEW_ARRAY(struct key, n);
    c->n = n;
    c->active = active_index;
    for (size_t i = 0; i < n; i++) {
        c->keys[i].id = tl_mem_dup(keys[i].id);
        c->keys[i].n = keys[i].key.n;
        memcpy(c->keys[i].bytes, keys[i].key.p, keys[i].key.n);
    }
    *out = &c->base;
    return TL_OK;
}
