/* Binary heap of intrusive nodes, ordered by (deadline, sequence): equal deadlines leave in order of
 * insertion, so timers fire in creation order on every machine. Nodes belong to the caller.
 * Thread: whoever owns the heap. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tl_heap_node {
    int64_t deadline_ns; /* read-only after insert */
    uint64_t seq;        /* private: insertion number */
    size_t index1;       /* private: 1-based place in the heap, 0 when outside */
};

struct tl_heap {
    struct tl_heap_node **nodes;
    size_t count, cap;
    uint64_t seq;
};

void tl_heap_init(struct tl_heap *h);
void tl_heap_deinit(struct tl_heap *h); /* frees the array, not the nodes */
void tl_heap_insert(struct tl_heap *h, struct tl_heap_node *n, int64_t deadline_ns);
void tl_heap_remove(struct tl_heap *h, struct tl_heap_node *n); /* fine when outside */
struct tl_heap_node *tl_heap_peek(const struct tl_heap *h);     /* NULL when empty */
static inline bool tl_heap_has(const struct tl_heap_node *n)
{
    return n->index1 != 0;
}
