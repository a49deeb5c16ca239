/* Top-level fields of an encoded message, read without decoding it: what routes a message, or a number in
 * an answer. Thread: any. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct tl_wire_field {
    uint32_t number;
    int type;            /* 0 varint, 1 64 bits, 2 bytes, 5 32 bits */
    uint64_t value;      /* varint */
    struct tl_str bytes; /* type 2 */
};
/* Takes the next top-level field off the front; false at the end or at malformed bytes. */
bool tl_wire_next(struct tl_str *rest, struct tl_wire_field *f);
/* First occurrence of a length-delimited field; empty when absent. */
struct tl_str tl_wire_find(struct tl_str message, uint32_t number);
