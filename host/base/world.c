/* The real world: the machine's clocks and getrandom(2). Thread: any. */
#include "base/world.h"

#include <stdatomic.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

#include "base/assert.h"

static int64_t now_ns(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * TL_NS_PER_S + ts.tv_nsec;
}

/* The machine's wall clock may be set back; event times may not go back. */
static int64_t real_wall(void *ud)
{
    static _Atomic int64_t last;
    (void)ud;
    int64_t now = now_ns(CLOCK_REALTIME), seen = atomic_load(&last);
    while (now > seen && !atomic_compare_exchange_weak(&last, &seen, now)) {
    }
    return now > seen ? now : seen;
}

static int64_t real_mono(void *ud)
{
    (void)ud;
    return now_ns(CLOCK_MONOTONIC);
}

static uint64_t real_random(void *ud)
{
    static _Thread_local uint64_t pool[32];
    static _Thread_local size_t left;
    (void)ud;
    if (left == 0) {
        TL_ASSERT(getrandom(pool, sizeof pool, 0) == (ssize_t)sizeof pool);
        left = sizeof pool / sizeof pool[0];
    }
    return pool[--left];
}

const struct tl_world *tl_world_real(void)
{
    static const struct tl_world real = {NULL, real_wall, real_mono, real_random};
    return &real;
}

void tl_uuid4(const struct tl_world *w, char out[37])
{
    uint64_t a = tl_world_random(w), b = tl_world_random(w);
    a = (a & UINT64_C(0xffffffffffff0fff)) | UINT64_C(0x4000);
    b = (b & UINT64_C(0x3fffffffffffffff)) | UINT64_C(0x8000000000000000);
    snprintf(out, 37, "%08x-%04x-%04x-%04x-%012llx", (unsigned)(a >> 32),
             (unsigned)(a >> 16) & 0xffff, (unsigned)a & 0xffff, (unsigned)(b >> 48),
             (unsigned long long)(b & UINT64_C(0xffffffffffff)));
}
