/* AES-GCM over mbedTLS: encryption that also notices every change of the bytes.
 * Ownership: nothing is kept. Thread: any. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

#define TL_AES_GCM_NONCE 12 /* bytes; never twice under one key */
#define TL_AES_GCM_TAG 16   /* bytes that sealing adds */

/* Whether a key of n bytes is one: AES-128, AES-192 or AES-256. */
bool tl_aes_key_size_ok(size_t n);
/* Writes plain.n + TL_AES_GCM_TAG bytes to out: the ciphertext, then the tag. The key has a size
 * that tl_aes_key_size_ok accepts. */
void tl_aes_gcm_seal(struct tl_str key, const uint8_t nonce[TL_AES_GCM_NONCE], struct tl_str plain,
                     uint8_t *out);
/* The reverse: writes sealed.n - TL_AES_GCM_TAG bytes to out. False when sealed is shorter than a
 * tag, was made with another key or nonce, or was changed; out then holds zeros. */
bool tl_aes_gcm_open(struct tl_str key, const uint8_t nonce[TL_AES_GCM_NONCE], struct tl_str sealed,
                     uint8_t *out);
/* Overwrites a secret in a way that the compiler keeps. */
void tl_secret_wipe(void *p, size_t n);
/* Whether two texts are equal, in a time that tells at most their lengths. */
bool tl_secret_equal(struct tl_str a, struct tl_str b);
