/* Layered Bloom filter, seven probes derived from one 128-bit hash, ten bits per entry. */
#include "server/visibility/known.h"

#include "base/assert.h"
#include "base/mem.h"

#define PROBES 7
#define BITS_PER_ENTRY 10
#define FIRST_BITS ((uint64_t)1 << 17)

void tl_known_init(struct tl_known *k, bool complete)
{
    *k = (struct tl_known){.complete = complete};
}

void tl_known_deinit(struct tl_known *k)
{
    for (size_t i = 0; i < k->layer_count; i++) {
        tl_mem_free(k->layers[i].bits);
    }
    *k = (struct tl_known){0};
}

static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static void hash(struct tl_str key, uint64_t *a, uint64_t *b)
{
    uint64_t h = UINT64_C(0x9e3779b97f4a7c15) ^ key.n;
    size_t i = 0;
    for (; i + 8 <= key.n; i += 8) {
        uint64_t w;
        memcpy(&w, key.p + i, 8);
        h = mix(h ^ w) + UINT64_C(0x9e3779b97f4a7c15);
    }
    uint64_t tail = 0;
    if (i < key.n) {
        memcpy(&tail, key.p + i, key.n - i);
    }
    *a = mix(h ^ tail);
    *b = mix(*a + UINT64_C(0x632be59bd9b4e019)) | 1;
}

static bool has(const struct tl_known_layer *l, uint64_t a, uint64_t b)
{
    for (int i = 0; i < PROBES; i++, a += b) {
        uint64_t bit = a & l->mask;
        if (!(l->bits[bit >> 6] & (UINT64_C(1) << (bit & 63)))) {
            return false;
        }
    }
    return true;
}

static void grow(struct tl_known *k)
{
    uint64_t bits = FIRST_BITS;
    if (k->layer_count) {
        bits = (k->layers[k->layer_count - 1].mask + 1) * 2;
    }
    if (k->layer_count == TL_KNOWN_LAYERS) {
        return; /* the last layer gets fuller: more "maybe", never a wrong "no" */
    }
    struct tl_known_layer *l = &k->layers[k->layer_count++];
    *l = (struct tl_known_layer){.bits = TL_NEW_ARRAY(uint64_t, (size_t)(bits / 64)),
                                 .mask = bits - 1,
                                 .count_max = (size_t)(bits / BITS_PER_ENTRY)};
}

void tl_known_add(struct tl_known *k, struct tl_str key)
{
    uint64_t a, b;
    hash(key, &a, &b);
    for (size_t i = 0; i < k->layer_count; i++) {
        if (has(&k->layers[i], a, b)) {
            return;
        }
    }
    if (!k->layer_count ||
        k->layers[k->layer_count - 1].count >= k->layers[k->layer_count - 1].count_max) {
        grow(k);
    }
    struct tl_known_layer *l = &k->layers[k->layer_count - 1];
    for (int i = 0; i < PROBES; i++, a += b) {
        uint64_t bit = a & l->mask;
        l->bits[bit >> 6] |= UINT64_C(1) << (bit & 63);
    }
    l->count++;
}

bool tl_known_maybe(const struct tl_known *k, struct tl_str key)
{
    uint64_t a, b;
    if (!k->complete) {
        return true;
    }
    hash(key, &a, &b);
    for (size_t i = k->layer_count; i-- > 0;) {
        if (has(&k->layers[i], a, b)) {
            return true;
        }
    }
    return false;
}

void tl_known_merge(struct tl_known *k, struct tl_known *other)
{
    /* The larger layers go last: that is where additions go. */
    struct tl_known_layer all[2 * TL_KNOWN_LAYERS] = {0};
    size_t n = 0;
    for (size_t i = 0; i < other->layer_count; i++) {
        all[n++] = other->layers[i];
    }
    for (size_t i = 0; i < k->layer_count; i++) {
        all[n++] = k->layers[i];
    }
    for (size_t i = 1; i < n; i++) {
        for (size_t j = i; j > 0 && all[j - 1].mask > all[j].mask; j--) {
            struct tl_known_layer t = all[j];
            all[j] = all[j - 1];
            all[j - 1] = t;
        }
    }
    /* Sizes double per layer: 24 of them would be 2^40 bits, more than fits in memory. */
    TL_ASSERT(n <= TL_KNOWN_LAYERS);
    memcpy(k->layers, all, n * sizeof *all);
    k->layer_count = n;
    k->complete = true;
    *other = (struct tl_known){0};
}
