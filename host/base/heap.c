/* Binary heap with a tie-break by insertion. See heap.h. */
#include "base/heap.h"

#include "base/assert.h"
#include "base/mem.h"

void tl_heap_init(struct tl_heap *h)
{
    *h = (struct tl_heap){0};
}

void tl_heap_deinit(struct tl_heap *h)
{
    tl_mem_free(h->nodes);
    *h = (struct tl_heap){0};
}

static bool before(const struct tl_heap_node *a, const struct tl_heap_node *b)
{
    return a->deadline_ns != b->deadline_ns ? a->deadline_ns < b->deadline_ns : a->seq < b->seq;
}

static void place(struct tl_heap *h, size_t index, struct tl_heap_node *n)
{
    h->nodes[index] = n;
    n->index1 = index + 1;
}

static void up(struct tl_heap *h, size_t i, struct tl_heap_node *n)
{
    while (i > 0 && before(n, h->nodes[(i - 1) / 2])) {
        place(h, i, h->nodes[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    place(h, i, n);
}

static void down(struct tl_heap *h, size_t i, struct tl_heap_node *n)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= h->count) {
            break;
        }
        if (child + 1 < h->count && before(h->nodes[child + 1], h->nodes[child])) {
            child++;
        }
        if (!before(h->nodes[child], n)) {
            break;
        }
        place(h, i, h->nodes[child]);
        i = child;
    }
    place(h, i, n);
}

void tl_heap_insert(struct tl_heap *h, struct tl_heap_node *n, int64_t deadline_ns)
{
    TL_ASSERT(n->index1 == 0);
    if (h->count == h->cap) {
        h->cap = h->cap ? h->cap * 2 : 16;
        h->nodes = tl_mem_realloc(h->nodes, h->cap * sizeof *h->nodes);
    }
    n->deadline_ns = deadline_ns;
    n->seq = h->seq++;
    h->count++;
    up(h, h->count - 1, n);
}

void tl_heap_remove(struct tl_heap *h, struct tl_heap_node *n)
{
    if (n->index1 == 0) {
        return;
    }
    size_t i = n->index1 - 1;
    TL_ASSERT(i < h->count && h->nodes[i] == n);
    struct tl_heap_node *last = h->nodes[--h->count];
    n->index1 = 0;
    if (last == n) {
        return;
    }
    if (i > 0 && before(last, h->nodes[(i - 1) / 2])) {
        up(h, i, last);
    } else {
        down(h, i, last);
    }
}

struct tl_heap_node *tl_heap_peek(const struct tl_heap *h)
{
    return h->count ? h->nodes[0] : NULL;
}
