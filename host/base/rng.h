/* xoshiro256** seeded by splitmix64: the same seed gives the same numbers everywhere.
 * Not for secrets. Thread: whoever owns the struct. */
#pragma once

#include <stdint.h>

struct tl_rng {
    uint64_t s[4];
};

void tl_rng_seed(struct tl_rng *r, uint64_t seed);
uint64_t tl_rng_next(struct tl_rng *r);
uint64_t tl_rng_below(struct tl_rng *r, uint64_t bound); /* 0 <= x < bound, unbiased; bound > 0 */
double tl_rng_unit(struct tl_rng *r);                    /* 0 <= x < 1 */
