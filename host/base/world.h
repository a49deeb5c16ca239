/* Everything that varies from run to run comes through a world: the clocks, randomness, and the
 * places where a test wants a fault. The real world reads the machine; the simulated world
 * (host/test/sim) is driven by one seed.
 * Owns: nothing; the world outlives everything that holds it. Thread: the functions of the real
 * world may be called from any thread; a simulated world lives in one thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct tl_world {
    void *ud;
    /* Nanoseconds since the Unix epoch, as the server stamps events. Never goes back. */
    int64_t (*wall_ns)(void *ud);
    /* Nanoseconds of a clock that only moves forward: deadlines, latencies. Skipped together with
     * wall_ns where time is skipped. */
    int64_t (*mono_ns)(void *ud);
    /* 64 unpredictable bits (seeded bits in simulation): run ids, request ids, jitter. */
    uint64_t (*random)(void *ud);
};

static inline int64_t tl_world_wall_ns(const struct tl_world *w)
{
    return w->wall_ns(w->ud);
}

static inline int64_t tl_world_mono_ns(const struct tl_world *w)
{
    return w->mono_ns(w->ud);
}

static inline uint64_t tl_world_random(const struct tl_world *w)
{
    return w->random(w->ud);
}

#define TL_NS_PER_MS INT64_C(1000000)
#define TL_NS_PER_S INT64_C(1000000000)

/* The machine's own clocks and getrandom(2). */
const struct tl_world *tl_world_real(void);

/* A UUIDv4 from world randomness as 36 characters and a NUL. */
void tl_uuid4(const struct tl_world *w, char out[37]);
