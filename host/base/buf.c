/* Growable bytes. See buf.h. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"

void tl_buf_init(struct tl_buf *b, size_t bytes_max)
{
    *b = (struct tl_buf){.bytes_max = bytes_max};
}

void tl_buf_deinit(struct tl_buf *b)
{
    tl_mem_free(b->p);
    *b = (struct tl_buf){.bytes_max = b->bytes_max};
}

void tl_buf_clear(struct tl_buf *b)
{
    b->n = 0;
    b->failed = false;
    if (b->p) {
        b->p[0] = 0;
    }
}

bool tl_buf_failed(const struct tl_buf *b)
{
    return b->failed;
}

struct tl_str tl_buf_str(const struct tl_buf *b)
{
    return (struct tl_str){b->p, b->n};
}

char *tl_buf_take(struct tl_buf *b, size_t *n)
{
    char *p = b->p ? b->p : tl_mem_alloc(1);
    if (n) {
        *n = b->n;
    }
    *b = (struct tl_buf){.bytes_max = b->bytes_max};
    return p;
}

char *tl_buf_reserve(struct tl_buf *b, size_t n)
{
    if (b->failed || n > b->bytes_max || b->n > b->bytes_max - n) {
        b->failed = true;
        return NULL;
    }
    if (b->n + n + 1 > b->cap) {
        size_t cap = b->cap ? b->cap * 2 : 64;
        while (cap < b->n + n + 1) {
            cap *= 2;
        }
        b->p = tl_mem_realloc(b->p, cap);
        b->cap = cap;
    }
    return b->p + b->n;
}

void tl_buf_added(struct tl_buf *b, size_t n)
{
    TL_ASSERT(b->n + n < b->cap);
    b->n += n;
    b->p[b->n] = 0;
}

bool tl_buf_put(struct tl_buf *b, const void *p, size_t n)
{
    char *at = tl_buf_reserve(b, n);
    if (!at) {
        return false;
    }
    if (n) {
        memcpy(at, p, n);
    }
    tl_buf_added(b, n);
    return true;
}

bool tl_buf_putc(struct tl_buf *b, char c)
{
    return tl_buf_put(b, &c, 1);
}

bool tl_buf_puts(struct tl_buf *b, const char *s)
{
    return tl_buf_put(b, s, strlen(s));
}

bool tl_buf_put_str(struct tl_buf *b, struct tl_str s)
{
    return tl_buf_put(b, s.p, s.n);
}

bool tl_buf_printf(struct tl_buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    TL_ASSERT(n >= 0);
    char *at = tl_buf_reserve(b, (size_t)n);
    if (!at) {
        return false;
    }
    va_start(ap, fmt);
    vsnprintf(at, (size_t)n + 1, fmt, ap);
    va_end(ap);
    tl_buf_added(b, (size_t)n);
    return true;
}

bool tl_buf_put_varint(struct tl_buf *b, uint64_t v)
{
    uint8_t bytes[10];
    size_t n = 0;
    do {
        bytes[n] = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
        v >>= 7;
        n++;
    } while (v);
    return tl_buf_put(b, bytes, n);
}
