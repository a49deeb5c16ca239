/* Bump allocation in chunks that double up to 256 KiB. See arena.h. */
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/poison.h"

#define CHUNK_MIN ((size_t)1024)
#define CHUNK_MAX ((size_t)256 * 1024)
#define ALIGN ((size_t)16)

struct tl_arena_chunk {
    struct tl_arena_chunk *prev;
    size_t size; /* usable bytes behind this header */
};

static size_t round_up(size_t n)
{
    return (n + ALIGN - 1) & ~(ALIGN - 1);
}

static char *chunk_data(struct tl_arena_chunk *c)
{
    return (char *)c + round_up(sizeof *c);
}

void tl_arena_init(struct tl_arena *a, size_t bytes_max)
{
    *a = (struct tl_arena){.bytes_max = bytes_max};
}

static void free_chunks(struct tl_arena *a, struct tl_arena_chunk *keep)
{
    struct tl_arena_chunk *c = a->head;
    while (c && c != keep) {
        struct tl_arena_chunk *prev = c->prev;
        tl_mem_free(c);
        c = prev;
    }
}

void tl_arena_deinit(struct tl_arena *a)
{
    free_chunks(a, NULL);
    *a = (struct tl_arena){.bytes_max = a->bytes_max};
}

void tl_arena_reset(struct tl_arena *a)
{
    struct tl_arena_chunk *first = a->head;
    bool one = first && !first->prev;
    while (first && first->prev) {
        first = first->prev;
    }
    free_chunks(a, first);
    a->head = first;
    if (first) {
        tl_unpoison(chunk_data(first), first->size);
        memset(chunk_data(first), 0, one ? (size_t)(a->next - chunk_data(first)) : first->size);
        tl_poison(chunk_data(first), first->size);
        a->next = chunk_data(first);
        a->end = a->next + first->size;
        a->bytes = first->size + round_up(sizeof *first);
    }
}

static bool grow(struct tl_arena *a, size_t need)
{
    size_t size = a->head ? a->head->size * 2 : CHUNK_MIN;
    if (size > CHUNK_MAX) {
        size = CHUNK_MAX;
    }
    if (size < need) {
        size = need;
    }
    size_t header = round_up(sizeof(struct tl_arena_chunk));
    if (size > a->bytes_max - (a->bytes < a->bytes_max ? a->bytes : a->bytes_max)) {
        size = need; /* the last piece below the limit */
    }
    if (a->bytes > a->bytes_max || size > a->bytes_max - a->bytes) {
        return false;
    }
    struct tl_arena_chunk *c = tl_mem_try(header + size);
    if (!c) {
        return false;
    }
    c->prev = a->head;
    c->size = size;
    a->head = c;
    a->next = chunk_data(c);
    a->end = a->next + size;
    a->bytes += header + size;
    tl_poison(a->next, size);
    return true;
}

void *tl_arena_alloc(struct tl_arena *a, size_t n)
{
    if (n > SIZE_MAX - ALIGN - TL_REDZONE) {
        return NULL;
    }
    size_t need = round_up(n ? n : 1) + TL_REDZONE;
    if ((!a->next || (size_t)(a->end - a->next) < need) && !grow(a, need)) {
        return NULL;
    }
    void *p = a->next;
    a->next += need;
    tl_unpoison(p, n);
    return p;
}

void *tl_arena_copy(struct tl_arena *a, const void *p, size_t n)
{
    void *q = tl_arena_alloc(a, n);
    if (q && n) {
        memcpy(q, p, n);
    }
    return q;
}

char *tl_arena_cstr(struct tl_arena *a, struct tl_str s)
{
    if (s.n == SIZE_MAX) {
        return NULL;
    }
    char *q = tl_arena_alloc(a, s.n + 1);
    if (q && s.n) {
        memcpy(q, s.p, s.n);
    }
    return q;
}

struct tl_str tl_arena_str(struct tl_arena *a, struct tl_str s)
{
    char *q = tl_arena_cstr(a, s);
    return (struct tl_str){q, q ? s.n : 0};
}

char *tl_arena_printf(struct tl_arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    TL_ASSERT(n >= 0);
    char *q = tl_arena_alloc(a, (size_t)n + 1);
    if (q) {
        va_start(ap, fmt);
        vsnprintf(q, (size_t)n + 1, fmt, ap);
        va_end(ap);
    }
    return q;
}
