/* How busy the machine (or the container) is, and whether another task may start: what the slots of a
 * resource-based tuner ask. Two PID controllers, for memory and CPU, as in the other SDKs: a slot is
 * given while both say that the target is far enough away.
 *
 * Read from /proc and, where a limit is set, from the process's cgroup (version 2), at most every
 * 100 ms. Thread: any. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct tl_pid {
    double target, p, d, before;
    bool begun;
};

struct tl_resource {
    pthread_mutex_t mutex; /* guards the rest */
    const char *root;      /* where proc and sys are; borrowed; "" but in tests */
    struct tl_pid memory_pid, cpu_pid;
    double memory_output, cpu_output;
    double memory, cpu; /* last shares in use, 0 to 1 */
    int64_t read_ns;    /* 0: never */
    double busy_before; /* CPU seconds */
    bool unreadable;
};

/* Errors: TL_EUNAVAILABLE when the system does not tell its memory. */
tl_rc tl_resource_init(struct tl_resource *r, const char *root, double target_memory,
                       double target_cpu, struct tl_error *err) TL_MUST_USE;
void tl_resource_deinit(struct tl_resource *r);
/* Memory and CPU in use, 0 to 1 each. */
void tl_resource_shares(struct tl_resource *r, int64_t now_mono_ns, double *memory, double *cpu);
/* Whether one more task may start now. What cannot be read stands for a full machine. */
bool tl_resource_allows(struct tl_resource *r, int64_t now_mono_ns);
