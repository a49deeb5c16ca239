/* Rates of a task queue: how many tasks came and went lately, and how many may go. Pure: time comes in by
 * parameter. Private to matching/. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Things in each of the last TL_RATE_SLOTS stretches of time, the newest at slot % TL_RATE_SLOTS. */
#define TL_RATE_SLOTS 6

struct tl_rate {
    int64_t begun_ns, slot;
    uint32_t counts[TL_RATE_SLOTS];
};
void tl_rate_note(struct tl_rate *r, int64_t now_ns);
double tl_rate_per_s(struct tl_rate r, int64_t now_ns);

/* Tokens at an even pace, of which as many may go at once as the pace gives in a second. */
struct tl_limiter {
    int64_t interval_ns; /* between two; 0: no token ever */
    int64_t ready_ns;    /* from then on one may go */
};
/* What is saved up stays, what was overdrawn is owed for a second at most. */
void tl_limiter_set(struct tl_limiter *l, double per_second, int64_t now_ns);
/* INT64_MAX: never. */
int64_t tl_limiter_ready_ns(const struct tl_limiter *l);
/* Takes `tokens` whether they are there or not; tl_limiter_ready_ns tells before. */
void tl_limiter_take(struct tl_limiter *l, double tokens, int64_t now_ns);
