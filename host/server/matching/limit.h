/* What holds tasks of a queue back, of all its versions together: a limit of the queue's rate, one of the rate of
 * each fairness key, and the weights that an operator gave to keys. Private to matching/.
 * Thread: one owner. */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "server/matching/matching.h"
#include "server/matching/rate.h"

struct tl_match_limit {
    struct tl_list queues; /* of struct tl_match_queue */
    bool has_whole, has_keys;
    struct tl_limiter whole;
    double key_per_s;      /* of a key of weight 1 */
    struct tl_map keys;    /* fairness key -> struct key_limit: those that went lately */
    struct tl_map weights; /* fairness key -> double: an operator's */
};

struct tl_match_limit *tl_match_limit_new(void);
void tl_match_limit_free(struct tl_match_limit *l);
void tl_match_limit_set(struct tl_match_limit *l, const struct tl_match_rules *rules,
                        int64_t now_ns);

/* In all of these NULL means that there are no limits. */
static inline bool tl_match_limit_has_keys(const struct tl_match_limit *l)
{
    return l && l->has_keys;
}
/* From when on the whole queue, or a key, may have one more; INT64_MAX: never. */
int64_t tl_match_limit_ready_ns(const struct tl_match_limit *l);
int64_t tl_match_limit_key_ready_ns(const struct tl_match_limit *l, struct tl_str key);
/* A task has gone. */
void tl_match_limit_take(struct tl_match_limit *l, struct tl_str key, double weight,
                         int64_t now_ns);
/* Weight of a task with these terms: an operator's for its key goes before the task's own. */
double tl_match_weight(const struct tl_match_limit *l, const struct tl_match_terms *terms);
