/* Counting and limiting rates. See rate.h. */
#include "server/matching/rate.h"

#include <string.h>

#include "base/world.h"

#define SLOT_NS (5 * TL_NS_PER_S)
#define BURST_NS TL_NS_PER_S
#define PER_SECOND_MIN 1e-9 /* below it an interval has no place in 64 bits */

static void advance(struct tl_rate *r, int64_t now_ns)
{
    int64_t slot = now_ns / SLOT_NS;
    if (!r->begun_ns) {
        r->begun_ns = now_ns;
        r->slot = slot;
    }
    if (slot - r->slot >= TL_RATE_SLOTS) {
        memset(r->counts, 0, sizeof r->counts);
        r->slot = slot;
    }
    while (r->slot < slot) {
        r->counts[++r->slot % TL_RATE_SLOTS] = 0;
    }
}

void tl_rate_note(struct tl_rate *r, int64_t now_ns)
{
    advance(r, now_ns);
    r->counts[r->slot % TL_RATE_SLOTS]++;
}

double tl_rate_per_s(struct tl_rate r, int64_t now_ns)
{
    uint64_t sum = 0;
    if (!r.begun_ns) {
        return 0;
    }
    advance(&r, now_ns);
    int64_t covered = now_ns - r.begun_ns, most = TL_RATE_SLOTS * SLOT_NS;
    for (int i = 0; i < TL_RATE_SLOTS; i++) {
        sum += r.counts[i];
    }
    covered = covered > most ? most : covered < TL_NS_PER_S ? TL_NS_PER_S : covered;
    return (double)sum * (double)TL_NS_PER_S / (double)covered;
}

/* --- limiting ------------------------------------------------------------------------------------ */

void tl_limiter_set(struct tl_limiter *l, double per_second, int64_t now_ns)
{
    bool stopped = l->interval_ns == 0 && l->ready_ns == 0; /* a new one has its burst */
    l->interval_ns = per_second > PER_SECOND_MIN ? (int64_t)((double)TL_NS_PER_S / per_second) : 0;
    l->interval_ns += per_second > PER_SECOND_MIN && l->interval_ns == 0;
    if (stopped) {
        l->ready_ns = now_ns - BURST_NS;
    } else if (l->ready_ns > now_ns + BURST_NS) {
        l->ready_ns = now_ns + BURST_NS;
    }
}

int64_t tl_limiter_ready_ns(const struct tl_limiter *l)
{
    return l->interval_ns ? l->ready_ns : INT64_MAX;
}

/* `ready` is where the next token's interval begins: a second behind now at most, which is the burst. */
void tl_limiter_take(struct tl_limiter *l, double tokens, int64_t now_ns)
{
    int64_t from = l->ready_ns > now_ns - BURST_NS ? l->ready_ns : now_ns - BURST_NS;
    l->ready_ns = from + (int64_t)((double)l->interval_ns * tokens);
}
