/* SHA-256, over mbedTLS. Used for build IDs: not a security border by itself.
 * Ownership: a digest belongs to its maker until finished. Thread: one at a time per digest. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

#define TL_SHA256_BYTES 32
#define TL_SHA256_HEX 65 /* with the NUL */

struct tl_digest;

/* Never NULL. Free with tl_digest_finish. */
struct tl_digest *tl_digest_new(void);
/* Adds bytes. */
void tl_digest_put(struct tl_digest *d, struct tl_str bytes);
/* Adds the length and then the bytes, so that ("ab","c") and ("a","bc") differ. */
void tl_digest_put_field(struct tl_digest *d, struct tl_str bytes);
/* Writes the digest and frees d. */
void tl_digest_finish(struct tl_digest *d, uint8_t out[TL_SHA256_BYTES]);
/* The same as lower-case hexadecimal text. */
void tl_digest_finish_hex(struct tl_digest *d, char out[TL_SHA256_HEX]);

/* All at once. */
void tl_sha256(struct tl_str bytes, uint8_t out[TL_SHA256_BYTES]);
