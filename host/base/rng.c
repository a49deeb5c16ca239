/* xoshiro256** and splitmix64, both public-domain algorithms. See rng.h. */
#include "base/rng.h"

#include "base/assert.h"

static uint64_t splitmix(uint64_t *x)
{
    uint64_t z = (*x += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void tl_rng_seed(struct tl_rng *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        r->s[i] = splitmix(&seed);
    }
}

static uint64_t rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

uint64_t tl_rng_next(struct tl_rng *r)
{
    uint64_t *s = r->s, result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

uint64_t tl_rng_below(struct tl_rng *r, uint64_t bound)
{
    TL_ASSERT(bound > 0);
    uint64_t reject_below = (0 - bound) % bound, x;
    do {
        x = tl_rng_next(r);
    } while (x < reject_below);
    return x % bound;
}

double tl_rng_unit(struct tl_rng *r)
{
    return (double)(tl_rng_next(r) >> 11) * 0x1.0p-53;
}
