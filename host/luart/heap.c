/* See heap.h. Thread: one at a time. Owner: the holder of the struct. */
#include "luart/heap.h"

#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "base/poison.h"

enum { CHUNK_BYTES = 2048 - 16 }; /* with malloc's own header two fit into a page */
_Static_assert(CHUNK_BYTES - TL_HEAP_STEP >= TL_HEAP_SMALL_MAX, "a chunk holds any small block");
_Static_assert(TL_HEAP_CLASSES == 32, "one bit for each class");

struct tl_heap_large {
    struct tl_heap_large *prev, *next;
    size_t n;
    size_t unused; /* keeps the block 16-byte aligned */
};

void tl_vm_heap_init(struct tl_vm_heap *h, size_t used_max)
{
    *h = (struct tl_vm_heap){.used_max = used_max};
}

void tl_vm_heap_drop(struct tl_vm_heap *h)
{
    for (void *c = h->chunks, *next; c; c = next) {
        memcpy(&next, c, sizeof next);
        tl_mem_free(c);
    }
    for (struct tl_heap_large *b = h->large, *next; b; b = next) {
        next = b->next;
        tl_mem_free(b);
    }
    h->chunks = NULL;
    h->large = NULL;
    h->next = h->end = NULL;
    memset(h->free, 0, sizeof h->free);
    h->free_mask = 0;
    h->used = h->held = 0;
}

static size_t round_up(size_t n)
{
    return (n + TL_HEAP_STEP - 1) & ~(size_t)(TL_HEAP_STEP - 1);
}

static void give_small(struct tl_vm_heap *h, void *p, size_t n)
{
    size_t class = n / TL_HEAP_STEP - 1;
    tl_unpoison(p, sizeof(void *));
    memcpy(p, &h->free[class], sizeof(void *));
    tl_poison(p, n);
    h->free[class] = p;
    h->free_mask |= UINT32_C(1) << class;
}

static void *pop_free(struct tl_vm_heap *h, size_t class)
{
    void *p = h->free[class];
    tl_unpoison(p, sizeof(void *));
    memcpy(&h->free[class], p, sizeof(void *));
    if (!h->free[class]) {
        h->free_mask &= ~(UINT32_C(1) << class);
    }
    return p;
}

static bool new_chunk(struct tl_vm_heap *h)
{
    char *chunk = tl_mem_try(CHUNK_BYTES);
    if (!chunk) {
        return false;
    }
    /* What is left of the old chunk serves smaller blocks. */
    size_t left = (size_t)(h->end - h->next) & ~(size_t)(TL_HEAP_STEP - 1);
    if (left >= TL_HEAP_STEP) {
        give_small(h, h->next, left);
    }
    memcpy(chunk, &h->chunks, sizeof h->chunks);
    h->chunks = chunk;
    h->held += CHUNK_BYTES;
    h->next = chunk + TL_HEAP_STEP;
    h->end = chunk + CHUNK_BYTES;
    tl_poison(h->next, CHUNK_BYTES - TL_HEAP_STEP);
    return true;
}

static void *take_small(struct tl_vm_heap *h, size_t n)
{
    size_t class = n / TL_HEAP_STEP - 1;
    if (h->free[class]) {
        return pop_free(h, class);
    }
    if ((size_t)(h->end - h->next) < n) {
        /* Rather part of a larger block that was freed than more memory. */
        uint32_t larger = h->free_mask & ~((UINT32_C(2) << class) - 1);
        if (larger) {
            size_t from = (size_t)__builtin_ctz(larger);
            char *p = pop_free(h, from);
            give_small(h, p + n, (from + 1) * TL_HEAP_STEP - n);
            return p;
        }
        if (!new_chunk(h)) {
            return NULL;
        }
    }
    void *p = h->next;
    h->next += n;
    return p;
}

static void *take_large(struct tl_vm_heap *h, size_t n)
{
    struct tl_heap_large *b = tl_mem_try(sizeof *b + n);
    if (!b) {
        return NULL;
    }
    b->n = n;
    b->next = h->large;
    if (b->next) {
        b->next->prev = b;
    }
    h->large = b;
    h->held += sizeof *b + n;
    return b + 1;
}

static void give_large(struct tl_vm_heap *h, void *p)
{
    struct tl_heap_large *b = (struct tl_heap_large *)p - 1;
    if (b->prev) {
        b->prev->next = b->next;
    } else {
        h->large = b->next;
    }
    if (b->next) {
        b->next->prev = b->prev;
    }
    h->held -= sizeof *b + b->n;
    tl_mem_free(b);
}

/* A block of n bytes, of which `size` will be used. */
static void *take(struct tl_vm_heap *h, size_t n, size_t size)
{
    void *p = n <= TL_HEAP_SMALL_MAX ? take_small(h, n) : take_large(h, n);
    if (p) {
        tl_poison(p, n);
        tl_unpoison(p, size);
    }
    return p;
}

static void give(struct tl_vm_heap *h, void *p, size_t n)
{
    h->used -= n;
    if (n <= TL_HEAP_SMALL_MAX) {
        give_small(h, p, n);
    } else {
        give_large(h, p);
    }
}

/* A growth that cannot be: once it is refused, twice in a row it is the end of the run. */
static void *refuse(struct tl_vm_heap *h)
{
    if (h->refused && h->exhausted) {
        h->exhausted(h->exhausted_ud);
    }
    h->refused = true;
    return NULL;
}

void *tl_vm_heap_alloc(void *ud, void *p, size_t old_size, size_t new_size)
{
    struct tl_vm_heap *h = ud;
    size_t old_n = p ? round_up(old_size) : 0, n = round_up(new_size);
    if (new_size == 0) {
        if (p && old_n) {
            give(h, p, old_n);
        }
        return NULL;
    }
    if (n < new_size) {
        return refuse(h);
    }
    if (n == old_n) {
        tl_poison(p, n);
        tl_unpoison(p, new_size);
        return p;
    }
    if (n > old_n && (n - old_n > h->used_max || h->used > h->used_max - (n - old_n))) {
        return refuse(h);
    }
    void *to = take(h, n, new_size);
    if (!to) {
        /* Lua takes it for granted that shrinking works. */
        return n < old_n ? p : refuse(h);
    }
    if (n > old_n) {
        h->refused = false;
    }
    h->used += n;
    if (old_n) {
        memcpy(to, p, old_size < new_size ? old_size : new_size);
        give(h, p, old_n);
    }
    return to;
}
