/* The compressing codec. See codec.h. */
#include <limits.h>
#include <zlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "codec/codec.h"
#include "proto/payload.h"
#include "proto/pb.h"

#define ENCODING "binary/zlib"

struct zlib_codec {
    struct tl_codec base;
    int level;
    size_t min_bytes;
};

static tl_rc compress_one(const struct zlib_codec *c, TpCommon__Payload **p, struct tl_arena *arena,
                          struct tl_error *err)
{
    struct tl_str plain;
    tl_rc rc = tl_pb_encode_arena(*p, arena, &plain, err);
    if (rc != TL_OK || plain.n < c->min_bytes) {
        return rc;
    }
    uLongf n = compressBound(plain.n);
    uint8_t *data = tl_arena_alloc(arena, n);
    if (!data || compress2(data, &n, (const Bytef *)plain.p, plain.n, c->level) != Z_OK) {
        return tl_error_set(err, TL_ELIMIT, "a payload of %zu bytes is too large", plain.n);
    }
    TpCommon__Payload *packed = tl_payload_new(arena, ENCODING, (struct tl_str){NULL, 0});
    if (!packed) {
        return tl_error_set(err, TL_ELIMIT, "a payload of %zu bytes is too large", plain.n);
    }
    packed->data = (ProtobufCBinaryData){n, data};
    if (tl_pb_size(packed) < plain.n) {
        *p = packed;
    }
    return TL_OK;
}

/* Inflates to `out`. Errors: TL_EDATALOSS, TL_ELIMIT. */
static tl_rc inflate_all(struct tl_str data, struct tl_buf *out, struct tl_error *err)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)data.p, .avail_in = (uInt)data.n};
    Bytef piece[16384];
    int rc = data.n <= UINT_MAX ? inflateInit(&z) : Z_DATA_ERROR;
    bool room = true, ready = rc == Z_OK;
    while (rc == Z_OK && room) {
        z.next_out = piece;
        z.avail_out = sizeof piece;
        rc = inflate(&z, Z_NO_FLUSH);
        room = tl_buf_put(out, piece, sizeof piece - z.avail_out);
    }
    bool whole = rc == Z_STREAM_END && z.avail_in == 0;
    if (ready) {
        inflateEnd(&z);
    }
    if (!room) {
        return tl_error_set(err, TL_ELIMIT, "a compressed payload is larger than %lld bytes",
                            (long long)tl_limit_request_bytes);
    }
    return whole ? TL_OK
                 : tl_error_set(err, TL_EDATALOSS, "a compressed payload of %zu bytes is damaged",
                                data.n);
}

static tl_rc expand_one(TpCommon__Payload **p, struct tl_arena *arena, struct tl_error *err)
{
    struct tl_buf plain;
    tl_buf_init(&plain, (size_t)tl_limit_request_bytes);
    tl_rc rc = inflate_all(tl_payload_data(*p), &plain, err);
    if (rc == TL_OK) {
        rc = tl_pb_decode(&tp_common__payload__descriptor, tl_buf_str(&plain), arena, p, err);
    }
    tl_buf_deinit(&plain);
    return rc;
}

static tl_rc apply(struct tl_codec *codec, enum tl_codec_way way, struct tl_payload_span *span,
                   struct tl_arena *arena, struct tl_error *err)
{
    struct zlib_codec *c = (struct zlib_codec *)codec;
    tl_rc rc = TL_OK;
    for (size_t i = 0; i < span->n && rc == TL_OK; i++) {
        if (way == TL_CODEC_ENCODE) {
            rc = compress_one(c, &span->items[i], arena, err);
        } else if (tl_str_eqc(tl_payload_encoding(span->items[i]), ENCODING)) {
            rc = expand_one(&span->items[i], arena, err);
        }
    }
    return rc;
}

static void free_codec(struct tl_codec *codec)
{
    tl_mem_free(codec);
}

static const struct tl_codec_ops ops = {"zlib", apply, free_codec};

tl_rc tl_codec_zlib(struct tl_codec **out, int level, size_t min_bytes, struct tl_error *err)
{
    if (level < 1 || level > 9) {
        return tl_error_set(err, TL_EINVAL, "level is from 1 to 9, got %d", level);
    }
    struct zlib_codec *c = TL_NEW(struct zlib_codec);
    *c = (struct zlib_codec){{&ops, false}, level, min_bytes};
    *out = &c->base;
    return TL_OK;
}
