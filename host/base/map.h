/* Hash map from bytes or from a 64-bit number to a pointer; iteration is in insertion order, never
 * in hash order. Keys are copied. Values belong to the caller.
 * Thread: whoever owns the map. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/str.h"

struct tl_map_entry {
    struct tl_list order;      /* private */
    struct tl_map_entry *next; /* private: bucket chain */
    uint64_t hash;             /* private */
    void *value;               /* public */
    uint64_t num;              /* read-only: numeric key */
    size_t key_n;              /* private */
    char key[];                /* private: bytes key */
};

struct tl_map {
    struct tl_map_entry **buckets;
    size_t bucket_count;
    size_t count; /* read-only */
    struct tl_list order;
};

void tl_map_init(struct tl_map *m);
void tl_map_deinit(struct tl_map *m); /* frees entries, not values */

void *tl_map_get(const struct tl_map *m, struct tl_str key);
void *tl_map_put(struct tl_map *m, struct tl_str key, void *value); /* returns the old value */
void *tl_map_del(struct tl_map *m, struct tl_str key);              /* returns the old value */

void *tl_map_get_num(const struct tl_map *m, uint64_t key);
void *tl_map_put_num(struct tl_map *m, uint64_t key, void *value);
void *tl_map_del_num(struct tl_map *m, uint64_t key);

static inline struct tl_str tl_map_key(const struct tl_map_entry *e)
{
    return (struct tl_str){e->key, e->key_n};
}

/* Iteration in insertion order; the body may delete the current entry. */
struct tl_map_entry *tl_map_first(const struct tl_map *m);
struct tl_map_entry *tl_map_next(const struct tl_map *m, const struct tl_map_entry *e);
#define TL_MAP_EACH(e, m)                                                                          \
    for (struct tl_map_entry *e = tl_map_first(m), *e##_n = e ? tl_map_next((m), e) : NULL; e;     \
         e = e##_n, e##_n = e ? tl_map_next((m), e) : NULL)
