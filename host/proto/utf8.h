/* UTF-8 (RFC 3629: no surrogates, no overlong forms, at most U+10FFFF). Thread: any. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* True when all of s is well-formed. */
bool tl_utf8_ok(struct tl_str s);
/* Length of the well-formed character at the front of s, 0 when there is none. */
size_t tl_utf8_front(struct tl_str s);
/* Writes the code point (must be a scalar value) to out[0..3] and returns its length. */
size_t tl_utf8_put(char *out, uint32_t code_point);
