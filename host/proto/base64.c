/* Base64. See base64.h. */
#include "proto/base64.h"

static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool tl_base64_encode(struct tl_str bytes, struct tl_buf *out)
{
    if (bytes.n > SIZE_MAX / 2) {
        return false;
    }
    size_t length = (bytes.n + 2) / 3 * 4;
    char *at = tl_buf_reserve(out, length);
    if (!at) {
        return false;
    }
    const unsigned char *p = (const unsigned char *)bytes.p;
    for (size_t i = 0; i < bytes.n; i += 3) {
        size_t left = bytes.n - i;
        uint32_t v = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
                     (left > 2 ? p[i + 2] : 0u);
        *at++ = ALPHABET[v >> 18];
        *at++ = ALPHABET[v >> 12 & 63];
        *at++ = left > 1 ? ALPHABET[v >> 6 & 63] : '=';
        *at++ = left > 2 ? ALPHABET[v & 63] : '=';
    }
    tl_buf_added(out, length);
    return true;
}

size_t tl_base64_decoded_max(size_t n)
{
    return n / 4 * 3 + 3;
}

static int digit(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    if (c == '+' || c == '-') {
        return 62;
    }
    return c == '/' || c == '_' ? 63 : -1;
}

bool tl_base64_decode(struct tl_str text, char *out, size_t *n)
{
    size_t length = text.n;
    size_t padding = 0;
    while (padding < 2 && length > 0 && text.p[length - 1] == '=') {
        length--;
        padding++;
    }
    if (length % 4 == 1 || (padding > 0 && (length + padding) % 4 != 0)) {
        return false;
    }
    uint32_t bits = 0;
    unsigned held = 0;
    size_t used = 0;
    for (size_t i = 0; i < length; i++) {
        int value = digit(text.p[i]);
        if (value < 0) {
            return false;
        }
        bits = (bits << 6 | (uint32_t)value) & 0xFFFFFF;
        held += 6;
        if (held >= 8) {
            held -= 8;
            out[used++] = (char)(bits >> held & 0xFF);
        }
    }
    *n = used;
    return true;
}
