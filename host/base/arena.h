/* Arena: many allocations, one lifetime. Memory comes in chunks and is freed all together by reset
 * or deinit; there is no free of a single object.
 * Invariants: everything handed out is 16-byte aligned and zeroed; total bytes never exceed the limit.
 * Ownership: the arena owns its chunks; whoever holds the arena decides the lifetime of all of it.
 * Thread: one at a time. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct tl_arena_chunk;

struct tl_arena {
    struct tl_arena_chunk *head; /* private: newest chunk */
    char *next;                  /* private: bump pointer in head */
    char *end;                   /* private */
    size_t bytes;                /* read-only: bytes taken from malloc */
    size_t bytes_max;            /* read-only: ceiling; allocations beyond return NULL */
};

/* Life cycle. bytes_max is mandatory: TL_ARENA_UNLIMITED only for process-lifetime arenas. */
#define TL_ARENA_UNLIMITED ((size_t)-1)
void tl_arena_init(struct tl_arena *a, size_t bytes_max);
void tl_arena_deinit(struct tl_arena *a);
/* Frees everything but the first chunk. */
void tl_arena_reset(struct tl_arena *a);

/* Operations. NULL when the limit is reached (a value the caller turns into TL_ELIMIT). */
void *tl_arena_alloc(struct tl_arena *a, size_t n);
void *tl_arena_copy(struct tl_arena *a, const void *p, size_t n);
struct tl_str tl_arena_str(struct tl_arena *a, struct tl_str s); /* copy; also NUL-terminated */
char *tl_arena_cstr(struct tl_arena *a, struct tl_str s);        /* NUL-terminated copy */
char *tl_arena_printf(struct tl_arena *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#define TL_ARENA_NEW(a, type) ((type *)tl_arena_alloc((a), sizeof(type)))
#define TL_ARENA_ARRAY(a, type, n) ((type *)tl_arena_alloc((a), sizeof(type) * (n)))
