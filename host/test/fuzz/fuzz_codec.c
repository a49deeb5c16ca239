/* Fuzzer of what decoders of payloads get: any bytes as an encrypted, a compressed or a stored payload, and
 * any message that is walked for payloads. What comes out is a payload that can be encoded, or an error.
 * Input: which of them (1 byte), the bytes. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "codec/message.h"
#include "codec/storage.h"
#include "proto/payload.h"
#include "proto/pb.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static tl_rc keep(struct tl_storage_driver *d, struct tl_str bytes,
                  const struct tl_payload_context *context, TpSdk__ExternalStorageReference *ref,
                  struct tl_arena *arena, struct tl_error *err)
{
    (void)context;
    (void)d;
    (void)bytes;
    (void)ref;
    (void)arena;
    return tl_error_set(err, TL_EIO, "nothing is kept");
}

/* The claim's "data" is what was stored; its hash is looked at and does not matter. */
static tl_rc give(struct tl_storage_driver *d, const TpSdk__ExternalStorageReference *ref,
                  const struct tl_payload_context *context, struct tl_arena *arena,
                  struct tl_str *out, struct tl_error *err)
{
    (void)context;
    (void)d;
    (void)arena;
    *out = tl_str(tl_storage_claim_get(ref, "data"));
    tl_rc rc = tl_storage_claim_check(ref, *out, err);
    return rc == TL_OK || rc == TL_EDATALOSS ? TL_OK : rc;
}

static void let_go(struct tl_storage_driver *d)
{
    (void)d;
}

static const struct tl_storage_driver_ops driver_ops = {keep, give, let_go};
static struct tl_storage_driver driver = {&driver_ops, NULL, false};

/* zlib, AES-GCM and storage, as a connection might have them. */
static void open_chain(struct tl_codec_chain *chain)
{
    struct tl_codec *aes, *zlib;
    const struct tl_codec_key key = {TL_STR_LIT("k"), TL_STR_LIT("0123456789abcdef")};
    const struct tl_storage_options storage = {.drivers = {&driver}, .names = {"d"}, .n = 1};
    TL_ASSERT(tl_codec_zlib(&zlib, 6, 0, NULL) == TL_OK);
    TL_ASSERT(tl_codec_aes_gcm(&aes, &key, 1, key.id, NULL) == TL_OK);
    TL_ASSERT(tl_codec_chain_add(chain, tl_codec_storage(&storage)) &&
              tl_codec_chain_add(chain, aes) && tl_codec_chain_add(chain, zlib));
}

static void decode_one(struct tl_codec_chain *chain, const char *encoding, const char *message,
                       struct tl_str bytes, struct tl_arena *arena)
{
    struct tl_error err;
    struct tl_str out;
    TpCommon__Payload *p = tl_payload_new(arena, encoding, bytes);
    TL_ASSERT(p && tl_payload_set_metadata(arena, p, TL_STR_LIT("messageType"), tl_str(message)) &&
              tl_payload_set_metadata(arena, p, TL_STR_LIT("encryption-key-id"), TL_STR_LIT("k")));
    struct tl_payload_span span = {&p, 1, true, NULL};
    tl_rc rc = tl_codec_chain_apply(chain, TL_CODEC_DECODE, &span, arena, &err);
    TL_ASSERT(rc == TL_OK
                  ? span.n == 1 && tl_pb_encode_arena(span.items[0], arena, &out, &err) == TL_OK
                  : *err.message != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct {
        const char *encoding, *message;
    } kinds[] = {
        {"binary/encrypted", ""},
        {"binary/zlib", ""},
        {"json/protobuf", "temporal.api.sdk.v1.ExternalStorageReference"},
    };
    struct tl_codec_chain chain = {0};
    struct tl_arena arena;
    struct tl_error err;
    struct tl_str out;
    if (size < 1) {
        return 0;
    }
    struct tl_str bytes = tl_str_n((const char *)data + 1, size - 1);
    tl_arena_init(&arena, (size_t)256 << 20);
    open_chain(&chain);
    if (data[0] % 4 < 3) {
        decode_one(&chain, kinds[data[0] % 4].encoding, kinds[data[0] % 4].message, bytes, &arena);
    } else {
        struct tl_coder coder = {&chain, TL_HEADERS_CODED, false, NULL};
        tl_rc rc = tl_coder_body(&coder, TL_M_GetWorkflowExecutionHistory, TL_CODEC_DECODE, bytes,
                                 bytes, &arena, &out, &err);
        TL_ASSERT(rc == TL_OK || *err.message);
    }
    tl_codec_chain_deinit(&chain);
    tl_arena_deinit(&arena);
    return 0;
}
