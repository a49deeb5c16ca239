/* Intrusive doubly linked list with a sentinel head. An unlinked node points to itself.
 * Thread: whoever owns the list. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct tl_list {
    struct tl_list *prev, *next;
};

#define TL_CONTAINER(ptr, type, member) ((type *)(void *)(((char *)(ptr)) - offsetof(type, member)))

static inline void tl_list_init(struct tl_list *l)
{
    l->prev = l->next = l;
}

static inline bool tl_list_empty(const struct tl_list *l)
{
    return l->next == l;
}

/* True when the node is in some list (only for nodes that were initialised). */
static inline bool tl_list_linked(const struct tl_list *n)
{
    return n->next != n;
}

static inline void tl_list_push(struct tl_list *l, struct tl_list *n) /* at the end */
{
    n->prev = l->prev;
    n->next = l;
    l->prev->next = n;
    l->prev = n;
}

static inline void tl_list_push_front(struct tl_list *l, struct tl_list *n)
{
    n->next = l->next;
    n->prev = l;
    l->next->prev = n;
    l->next = n;
}

static inline void tl_list_remove(struct tl_list *n)
{
    n->prev->next = n->next;
    n->next->prev = n->prev;
    n->prev = n->next = n;
}

static inline struct tl_list *tl_list_first(struct tl_list *l)
{
    return l->next == l ? NULL : l->next;
}

static inline struct tl_list *tl_list_pop(struct tl_list *l)
{
    struct tl_list *n = tl_list_first(l);
    if (n) {
        tl_list_remove(n);
    }
    return n;
}

/* The body may remove `it` (not the following node). */
#define TL_LIST_EACH(it, list)                                                                     \
    for (struct tl_list *it = (list)->next, *it##_next = it->next; it != (list);                   \
         it = it##_next, it##_next = it->next)
