/* UTF-8 check. See utf8.h. */
#include "proto/utf8.h"

static bool is_tail(unsigned char c)
{
    return (c & 0xC0) == 0x80;
}

/* Length of the well-formed sequence of two or more bytes at p, 0 when malformed. */
static size_t sequence(const unsigned char *p, size_t n)
{
    unsigned char c = p[0];
    if (c >= 0xC2 && c <= 0xDF) {
        return n >= 2 && is_tail(p[1]) ? 2 : 0;
    }
    if (c >= 0xE0 && c <= 0xEF) {
        if (n < 3 || !is_tail(p[1]) || !is_tail(p[2])) {
            return 0;
        }
        bool overlong = c == 0xE0 && p[1] < 0xA0;
        bool surrogate = c == 0xED && p[1] > 0x9F;
        return overlong || surrogate ? 0 : 3;
    }
    if (c >= 0xF0 && c <= 0xF4) {
        if (n < 4 || !is_tail(p[1]) || !is_tail(p[2]) || !is_tail(p[3])) {
            return 0;
        }
        bool overlong = c == 0xF0 && p[1] < 0x90;
        bool beyond = c == 0xF4 && p[1] > 0x8F;
        return overlong || beyond ? 0 : 4;
    }
    return 0;
}

size_t tl_utf8_front(struct tl_str s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    if (s.n == 0) {
        return 0;
    }
    return p[0] < 0x80 ? 1 : sequence(p, s.n);
}

bool tl_utf8_ok(struct tl_str s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    size_t i = 0;
    while (i < s.n) {
        /* Most text is ASCII: eight bytes at a time. */
        uint64_t word;
        if (s.n - i >= sizeof word) {
            memcpy(&word, p + i, sizeof word);
            if ((word & UINT64_C(0x8080808080808080)) == 0) {
                i += sizeof word;
                continue;
            }
        }
        if (p[i] < 0x80) {
            i++;
            continue;
        }
        size_t length = sequence(p + i, s.n - i);
        if (length == 0) {
            return false;
        }
        i += length;
    }
    return true;
}

size_t tl_utf8_put(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | (c >> 6));
        out[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | (c >> 12));
        out[1] = (char)(0x80 | ((c >> 6) & 0x3F));
        out[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | (c >> 18));
    out[1] = (char)(0x80 | ((c >> 12) & 0x3F));
    out[2] = (char)(0x80 | ((c >> 6) & 0x3F));
    out[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}
