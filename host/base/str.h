/* Views of bytes: pointer and length, never owning, not NUL-terminated.
 * A view of length 0 may have p == NULL. Whoever keeps a view longer than its source copies it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct tl_str {
    const char *p; /* borrowed bytes */
    size_t n;      /* length in bytes */
};

/* For printf: printf("%.*s", TL_STR_FMT(s)). */
#define TL_STR_FMT(s) (int)(s).n, ((s).p ? (s).p : "")
#define TL_STR_LIT(lit) ((struct tl_str){(lit), sizeof(lit) - 1})

static inline struct tl_str tl_str(const char *c)
{
    return (struct tl_str){c, c ? strlen(c) : 0};
}

static inline struct tl_str tl_str_n(const void *p, size_t n)
{
    return (struct tl_str){(const char *)p, n};
}

static inline bool tl_str_eq(struct tl_str a, struct tl_str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool tl_str_eqc(struct tl_str a, const char *b)
{
    return tl_str_eq(a, tl_str(b));
}

/* Bytewise order, shorter first on a common prefix. */
static inline int tl_str_cmp(struct tl_str a, struct tl_str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.p, b.p, n) : 0;
    return c ? c : (a.n > b.n) - (a.n < b.n);
}
