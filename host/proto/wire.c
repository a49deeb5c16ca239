/* See wire.h. */
#include "proto/wire.h"

static bool take_varint(struct tl_str *rest, uint64_t *out)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64 && rest->n; shift += 7) {
        uint8_t b = (uint8_t)*rest->p;
        rest->p++;
        rest->n--;
        v |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80)) {
            *out = v;
            return true;
        }
    }
    return false;
}

bool tl_wire_next(struct tl_str *rest, struct tl_wire_field *f)
{
    uint64_t tag = 0, n = 0;
    if (!rest->n || !take_varint(rest, &tag)) {
        return false;
    }
    *f = (struct tl_wire_field){.number = (uint32_t)(tag >> 3), .type = (int)(tag & 7)};
    switch (f->type) {
    case 0:
        return take_varint(rest, &f->value);
    case 1:
        n = 8;
        break;
    case 2:
        if (!take_varint(rest, &n)) {
            return false;
        }
        break;
    case 5:
        n = 4;
        break;
    default:
        return false;
    }
    if (n > rest->n) {
        return false;
    }
    f->bytes = tl_str_n(rest->p, (size_t)n);
    rest->p += n;
    rest->n -= (size_t)n;
    return true;
}

struct tl_str tl_wire_find(struct tl_str message, uint32_t number)
{
    struct tl_wire_field f;
    while (tl_wire_next(&message, &f)) {
        if (f.number == number && f.type == 2) {
            return f.bytes;
        }
    }
    return (struct tl_str){0};
}
