/* Base64 (RFC 4648). Thread: any. */
#pragma once

#include "base/buf.h"
#include "base/str.h"

/* Appends the padded standard form. False at the buffer's ceiling. */
bool tl_base64_encode(struct tl_str bytes, struct tl_buf *out);
/* Bytes that decoding n characters may need at most. */
size_t tl_base64_decoded_max(size_t n);
/* Decodes the standard or the URL-safe alphabet, padded or not, into out[tl_base64_decoded_max(n)].
 * False when text is malformed. */
bool tl_base64_decode(struct tl_str text, char *out, size_t *n);
