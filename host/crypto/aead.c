/* AES-GCM. See aead.h. */
#include "crypto/aead.h"

#include <mbedtls/gcm.h>
#include <mbedtls/platform_util.h>

#include "base/assert.h"

bool tl_aes_key_size_ok(size_t n)
{
    return n == 16 || n == 24 || n == 32;
}

static void begin(mbedtls_gcm_context *gcm, struct tl_str key)
{
    TL_ASSERT(tl_aes_key_size_ok(key.n));
    mbedtls_gcm_init(gcm);
    TL_ASSERT(mbedtls_gcm_setkey(gcm, MBEDTLS_CIPHER_ID_AES, (const unsigned char *)key.p,
                                 (unsigned)(key.n * 8)) == 0);
}

void tl_aes_gcm_seal(struct tl_str key, const uint8_t nonce[TL_AES_GCM_NONCE], struct tl_str plain,
                     uint8_t *out)
{
    mbedtls_gcm_context gcm;
    begin(&gcm, key);
    TL_ASSERT(mbedtls_gcm_crypt_and_tag(&gcm, MBEDTLS_GCM_ENCRYPT, plain.n, nonce, TL_AES_GCM_NONCE,
                                        NULL, 0, (const unsigned char *)plain.p, out,
                                        TL_AES_GCM_TAG, out + plain.n) == 0);
    mbedtls_gcm_free(&gcm);
}

bool tl_aes_gcm_open(struct tl_str key, const uint8_t nonce[TL_AES_GCM_NONCE], struct tl_str sealed,
                     uint8_t *out)
{
    if (sealed.n < TL_AES_GCM_TAG) {
        return false;
    }
    mbedtls_gcm_context gcm;
    size_t n = sealed.n - TL_AES_GCM_TAG;
    begin(&gcm, key);
    int rc = mbedtls_gcm_auth_decrypt(&gcm, n, nonce, TL_AES_GCM_NONCE, NULL, 0,
                                      (const unsigned char *)sealed.p + n, TL_AES_GCM_TAG,
                                      (const unsigned char *)sealed.p, out);
    mbedtls_gcm_free(&gcm);
    return rc == 0;
}

void tl_secret_wipe(void *p, size_t n)
{
    mbedtls_platform_zeroize(p, n);
}

bool tl_secret_equal(struct tl_str a, struct tl_str b)
{
    volatile unsigned char differs = a.n != b.n;
    for (size_t i = 0; i < a.n && i < b.n; i++) {
        differs |= (unsigned char)((unsigned char)a.p[i] ^ (unsigned char)b.p[i]);
    }
    return !differs;
}
