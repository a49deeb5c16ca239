/* The watchdog's private side: what a run tells it. See watchdog.h. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "base/list.h"
#include "luart/vm/vm.h"
#include "luart/watchdog.h"

/* One stay of a thread inside a run; lives on the stack of the thread. */
struct tl_watch {
    struct tl_list link; /* in the watchdog's list */
    pthread_t thread;
    clockid_t clock;               /* CPU time of the thread */
    int64_t begun_ns, deadline_ns; /* on that clock */
    atomic_bool *expired;          /* of the run: the budget is spent */
    lua_State *volatile *running;  /* of the run: the coroutine that runs now */
    lua_Hook hook;
    struct tl_watch *outer; /* of the same thread */
};

/* Begins watching the calling thread. Thread: the one that runs the script. */
void tl_watch_begin(struct tl_watchdog *w, struct tl_watch *watch, int64_t budget_ns);
/* CPU time since then. Thread: the same. */
int64_t tl_watch_spent_ns(const struct tl_watch *watch);
void tl_watch_end(struct tl_watchdog *w, struct tl_watch *watch);
