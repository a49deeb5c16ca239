/* Chained hash map, iterated in insertion order. See map.h. The hash is FNV-1a for bytes and a
 * multiplicative mix for numbers: keys come from peers, but order never depends on the hash and
 * chains are bounded by the limits on what a peer may create. */
#include "base/map.h"

#include "base/assert.h"
#include "base/mem.h"

#define BUCKETS_MIN ((size_t)8)

void tl_map_init(struct tl_map *m)
{
    *m = (struct tl_map){0};
    tl_list_init(&m->order);
}

void tl_map_deinit(struct tl_map *m)
{
    TL_LIST_EACH (it, &m->order) {
        tl_mem_free(TL_CONTAINER(it, struct tl_map_entry, order));
    }
    tl_mem_free(m->buckets);
    tl_map_init(m);
}

static uint64_t mix(uint64_t x)
{
    x ^= x >> 33;
    x *= UINT64_C(0xff51afd7ed558ccd);
    x ^= x >> 33;
    x *= UINT64_C(0xc4ceb9fe1a85ec53);
    return x ^ (x >> 33);
}

static uint64_t hash_bytes(struct tl_str s)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < s.n; i++) {
        h = (h ^ (uint8_t)s.p[i]) * UINT64_C(0x100000001b3);
    }
    return mix(h);
}

static bool same(const struct tl_map_entry *e, uint64_t hash, const struct tl_str *key,
                 uint64_t num)
{
    if (e->hash != hash) {
        return false;
    }
    return key ? tl_str_eq(tl_map_key(e), *key) : e->num == num;
}

static struct tl_map_entry **slot(const struct tl_map *m, uint64_t hash, const struct tl_str *key,
                                  uint64_t num)
{
    struct tl_map_entry **at = &m->buckets[hash & (m->bucket_count - 1)];
    while (*at && !same(*at, hash, key, num)) {
        at = &(*at)->next;
    }
    return at;
}

static void rehash(struct tl_map *m)
{
    size_t count = m->bucket_count ? m->bucket_count * 2 : BUCKETS_MIN;
    tl_mem_free(m->buckets);
    m->buckets = TL_NEW_ARRAY(struct tl_map_entry *, count);
    m->bucket_count = count;
    TL_LIST_EACH (it, &m->order) {
        struct tl_map_entry *e = TL_CONTAINER(it, struct tl_map_entry, order);
        struct tl_map_entry **at = &m->buckets[e->hash & (count - 1)];
        e->next = *at;
        *at = e;
    }
}

static void *get(const struct tl_map *m, uint64_t hash, const struct tl_str *key, uint64_t num)
{
    if (!m->bucket_count) {
        return NULL;
    }
    struct tl_map_entry *e = *slot(m, hash, key, num);
    return e ? e->value : NULL;
}

static void *put(struct tl_map *m, uint64_t hash, const struct tl_str *key, uint64_t num,
                 void *value)
{
    if (m->count >= m->bucket_count) {
        rehash(m);
    }
    struct tl_map_entry **at = slot(m, hash, key, num);
    if (*at) {
        void *old = (*at)->value;
        (*at)->value = value;
        return old;
    }
    struct tl_map_entry *e = tl_mem_alloc(sizeof *e + (key ? key->n : 0) + 1);
    e->hash = hash;
    e->num = num;
    e->value = value;
    if (key && key->n) {
        memcpy(e->key, key->p, key->n);
        e->key_n = key->n;
    }
    *at = e;
    tl_list_push(&m->order, &e->order);
    m->count++;
    return NULL;
}

static void *del(struct tl_map *m, uint64_t hash, const struct tl_str *key, uint64_t num)
{
    if (!m->bucket_count) {
        return NULL;
    }
    struct tl_map_entry **at = slot(m, hash, key, num);
    struct tl_map_entry *e = *at;
    if (!e) {
        return NULL;
    }
    void *old = e->value;
    *at = e->next;
    tl_list_remove(&e->order);
    tl_mem_free(e);
    m->count--;
    return old;
}

void *tl_map_get(const struct tl_map *m, struct tl_str key)
{
    return get(m, hash_bytes(key), &key, 0);
}

void *tl_map_put(struct tl_map *m, struct tl_str key, void *value)
{
    return put(m, hash_bytes(key), &key, 0, value);
}

void *tl_map_del(struct tl_map *m, struct tl_str key)
{
    return del(m, hash_bytes(key), &key, 0);
}

void *tl_map_get_num(const struct tl_map *m, uint64_t key)
{
    return get(m, mix(key + 1), NULL, key);
}

void *tl_map_put_num(struct tl_map *m, uint64_t key, void *value)
{
    return put(m, mix(key + 1), NULL, key, value);
}

void *tl_map_del_num(struct tl_map *m, uint64_t key)
{
    return del(m, mix(key + 1), NULL, key);
}

struct tl_map_entry *tl_map_first(const struct tl_map *m)
{
    return m->order.next == &m->order ? NULL
                                      : TL_CONTAINER(m->order.next, struct tl_map_entry, order);
}

struct tl_map_entry *tl_map_next(const struct tl_map *m, const struct tl_map_entry *e)
{
    return e->order.next == &m->order ? NULL
                                      : TL_CONTAINER(e->order.next, struct tl_map_entry, order);
}
