/* Growable bytes with a mandatory ceiling. Once an append would pass the ceiling the buffer turns
 * "failed": it keeps what it has, ignores further appends, and tl_buf_failed tells.
 * Owns its bytes (malloc) until deinit or take. Thread: one at a time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct tl_buf {
    char *p;          /* read-only: bytes, NULL when empty; kept NUL-terminated */
    size_t n;         /* read-only: used */
    size_t cap;       /* private */
    size_t bytes_max; /* private: ceiling */
    bool failed;      /* read-only */
};

void tl_buf_init(struct tl_buf *b, size_t bytes_max);
void tl_buf_deinit(struct tl_buf *b);
void tl_buf_clear(struct tl_buf *b); /* keeps the memory */
bool tl_buf_failed(const struct tl_buf *b);
struct tl_str tl_buf_str(const struct tl_buf *b); /* borrowed until the next change */
/* Transfers the bytes out (free with tl_mem_free); the buffer is empty afterwards. */
char *tl_buf_take(struct tl_buf *b, size_t *n);

/* All appends return false (and mark failed) at the ceiling. */
bool tl_buf_put(struct tl_buf *b, const void *p, size_t n);
bool tl_buf_putc(struct tl_buf *b, char c);
bool tl_buf_puts(struct tl_buf *b, const char *s);
bool tl_buf_put_str(struct tl_buf *b, struct tl_str s);
bool tl_buf_printf(struct tl_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Room for n bytes to be written by the caller, who then calls tl_buf_added. NULL at the ceiling. */
char *tl_buf_reserve(struct tl_buf *b, size_t n);
void tl_buf_added(struct tl_buf *b, size_t n);
/* Protobuf-style varint. */
bool tl_buf_put_varint(struct tl_buf *b, uint64_t v);
