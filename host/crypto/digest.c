/* SHA-256. See digest.h. mbedTLS's functions fail only on hardware back ends and bad arguments:
 * neither exists here, so a failure is an assertion. */
#include "crypto/digest.h"

#include <mbedtls/sha256.h>

#include "base/assert.h"
#include "base/mem.h"

struct tl_digest {
    mbedtls_sha256_context sha;
};

struct tl_digest *tl_digest_new(void)
{
    struct tl_digest *d = TL_NEW(struct tl_digest);
    mbedtls_sha256_init(&d->sha);
    TL_ASSERT(mbedtls_sha256_starts_ret(&d->sha, 0) == 0);
    return d;
}

void tl_digest_put(struct tl_digest *d, struct tl_str bytes)
{
    if (bytes.n) {
        TL_ASSERT(mbedtls_sha256_update_ret(&d->sha, (const unsigned char *)bytes.p, bytes.n) == 0);
    }
}

void tl_digest_put_field(struct tl_digest *d, struct tl_str bytes)
{
    char length[8];
    uint64_t n = bytes.n;
    for (int i = 0; i < 8; i++) {
        length[i] = (char)(n >> (8 * i));
    }
    tl_digest_put(d, tl_str_n(length, sizeof length));
    tl_digest_put(d, bytes);
}

void tl_digest_finish(struct tl_digest *d, uint8_t out[TL_SHA256_BYTES])
{
    TL_ASSERT(mbedtls_sha256_finish_ret(&d->sha, out) == 0);
    mbedtls_sha256_free(&d->sha);
    tl_mem_free(d);
}

void tl_digest_finish_hex(struct tl_digest *d, char out[TL_SHA256_HEX])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t bytes[TL_SHA256_BYTES];
    tl_digest_finish(d, bytes);
    for (size_t i = 0; i < sizeof bytes; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * TL_SHA256_BYTES] = '\0';
}

void tl_sha256(struct tl_str bytes, uint8_t out[TL_SHA256_BYTES])
{
    struct tl_digest *d = tl_digest_new();
    tl_digest_put(d, bytes);
    tl_digest_finish(d, out);
}
