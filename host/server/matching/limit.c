/* Limits of a task queue's rates. See limit.h. */
#include "server/matching/limit.h"

#include "base/mem.h"
#include "base/world.h"

/* Keys whose use is remembered; beyond, those that have their whole burst again go, then the oldest. */
#define KEYS_MAX 2000

struct key_limit {
    struct tl_limiter limiter;
    double per_s;
};

struct tl_match_limit *tl_match_limit_new(void)
{
    struct tl_match_limit *l = TL_NEW(struct tl_match_limit);
    tl_list_init(&l->queues);
    tl_map_init(&l->keys);
    tl_map_init(&l->weights);
    return l;
}

static void clear(struct tl_map *m)
{
    TL_MAP_EACH (e, m) {
        tl_mem_free(e->value);
    }
    tl_map_deinit(m);
    tl_map_init(m);
}

void tl_match_limit_free(struct tl_match_limit *l)
{
    clear(&l->keys);
    clear(&l->weights);
    tl_mem_free(l);
}

void tl_match_limit_set(struct tl_match_limit *l, const struct tl_match_rules *rules,
                        int64_t now_ns)
{
    l->has_whole = rules->per_s >= 0;
    if (l->has_whole) {
        tl_limiter_set(&l->whole, rules->per_s, now_ns);
    } else {
        l->whole = (struct tl_limiter){0};
    }
    l->has_keys = rules->key_per_s >= 0;
    l->key_per_s = rules->key_per_s;
    if (!l->has_keys) {
        clear(&l->keys);
    }
    clear(&l->weights);
    for (size_t i = 0; i < rules->weight_count; i++) {
        double *w = TL_NEW(double);
        *w = rules->weights[i].weight;
        tl_mem_free(tl_map_put(&l->weights, rules->weights[i].key, w));
    }
    TL_MAP_EACH (e, &l->keys) { /* what was owed under the old limit is for a second at most */
        struct key_limit *k = e->value;
        if (k->limiter.ready_ns > now_ns + TL_NS_PER_S) {
            k->limiter.ready_ns = now_ns + TL_NS_PER_S;
        }
    }
}

int64_t tl_match_limit_ready_ns(const struct tl_match_limit *l)
{
    return l && l->has_whole ? tl_limiter_ready_ns(&l->whole) : INT64_MIN;
}

int64_t tl_match_limit_key_ready_ns(const struct tl_match_limit *l, struct tl_str key)
{
    if (!tl_match_limit_has_keys(l)) {
        return INT64_MIN;
    }
    if (!(l->key_per_s > 0)) {
        return INT64_MAX;
    }
    const struct key_limit *k = tl_map_get(&l->keys, key);
    return k ? tl_limiter_ready_ns(&k->limiter) : INT64_MIN;
}

static void make_room(struct tl_match_limit *l, int64_t now_ns)
{
    for (int all = 0; all < 2 && l->keys.count >= KEYS_MAX; all++) {
        TL_MAP_EACH (e, &l->keys) {
            struct key_limit *k = e->value;
            if (k->limiter.ready_ns <= now_ns - TL_NS_PER_S || (all && l->keys.count >= KEYS_MAX)) {
                tl_map_del(&l->keys, tl_map_key(e));
                tl_mem_free(k);
            }
        }
    }
}

void tl_match_limit_take(struct tl_match_limit *l, struct tl_str key, double weight, int64_t now_ns)
{
    if (l && l->has_whole) {
        tl_limiter_take(&l->whole, 1, now_ns);
    }
    if (!tl_match_limit_has_keys(l)) {
        return;
    }
    struct key_limit *k = tl_map_get(&l->keys, key);
    if (!k) {
        make_room(l, now_ns);
        k = TL_NEW(struct key_limit);
        tl_map_put(&l->keys, key, k);
    }
    double per_s = l->key_per_s * weight;
    if (per_s < k->per_s || per_s > k->per_s) {
        tl_limiter_set(&k->limiter, per_s, now_ns);
        k->per_s = per_s;
    }
    tl_limiter_take(&k->limiter, 1, now_ns);
}

double tl_match_weight(const struct tl_match_limit *l, const struct tl_match_terms *terms)
{
    const double *set =
        l && terms && l->weights.count ? tl_map_get(&l->weights, terms->fairness_key) : NULL;
    double weight = set ? *set : terms ? terms->weight : 0;
    return weight > 0 ? weight : 1;
}
