/* See watchdog.h. Threads: one of the watchdog's own; begin and end on script threads; the signal
 * handler on script threads. Owner: the watchdog owns its thread, watches belong to their callers. */
#include "luart/watchdog_int.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/world.h"

enum { TICK_MS = 5, IDLE_TICKS = 200 };

struct tl_watchdog {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    struct tl_list watches; /* guarded by mutex */
    bool asleep, stop;      /* guarded by mutex */
};

/* The innermost watch of this thread; read by the signal handler. */
static _Thread_local struct tl_watch *volatile tl_watch_current;
static struct sigaction former;
static pthread_once_t handler_once = PTHREAD_ONCE_INIT;
static int handler_errno;

static void on_signal(int signal, siginfo_t *info, void *context)
{
    struct tl_watch *w = tl_watch_current;
    if (w && atomic_load_explicit(w->expired, memory_order_relaxed)) {
        lua_State *L = *w->running;
        if (L) {
            /* Every event, so that no way through the VM misses it. */
            lua_sethook(L, w->hook, LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
        }
    }
    if (former.sa_flags & SA_SIGINFO) {
        if (former.sa_sigaction) {
            former.sa_sigaction(signal, info, context);
        }
    } else if (former.sa_handler != SIG_DFL && former.sa_handler != SIG_IGN) {
        former.sa_handler(signal);
    }
}

static void install_handler(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    handler_errno = sigaction(SIGURG, &action, &former) == 0 ? 0 : errno;
}

static int64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    if (clock_gettime(clock, &t) != 0) {
        return 0;
    }
    return (int64_t)t.tv_sec * TL_NS_PER_S + t.tv_nsec;
}

/* Looks at every watched thread once. Caller holds the mutex, so no watched thread can leave. */
static void sample(struct tl_watchdog *w)
{
    TL_LIST_EACH (it, &w->watches) {
        struct tl_watch *watch = TL_CONTAINER(it, struct tl_watch, link);
        if (clock_ns(watch->clock) >= watch->deadline_ns) {
            atomic_store_explicit(watch->expired, true, memory_order_relaxed);
            pthread_kill(watch->thread, SIGURG); /* again at every tick, until the run is gone */
        }
    }
}

static void *watch_loop(void *arg)
{
    struct tl_watchdog *w = arg;
    int idle = 0;
    pthread_mutex_lock(&w->mutex);
    while (!w->stop) {
        if (tl_list_empty(&w->watches) && ++idle > IDLE_TICKS) {
            w->asleep = true;
            pthread_cond_wait(&w->cond, &w->mutex);
            w->asleep = false;
            idle = 0;
            continue;
        }
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += TICK_MS * TL_NS_PER_MS;
        until.tv_sec += until.tv_nsec / TL_NS_PER_S;
        until.tv_nsec %= TL_NS_PER_S;
        pthread_cond_timedwait(&w->cond, &w->mutex, &until);
        if (!tl_list_empty(&w->watches)) {
            idle = 0;
            sample(w);
        }
    }
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}

tl_rc tl_watchdog_new(struct tl_watchdog **out, struct tl_error *err)
{
    pthread_once(&handler_once, install_handler);
    if (handler_errno) {
        return tl_error_set(err, TL_EUNAVAILABLE, "watchdog: no handler for SIGURG: %s",
                            strerror(handler_errno));
    }
    struct tl_watchdog *w = TL_NEW(struct tl_watchdog);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->cond, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&w->mutex, NULL);
    tl_list_init(&w->watches);
    int rc = pthread_create(&w->thread, NULL, watch_loop, w);
    if (rc != 0) {
        pthread_cond_destroy(&w->cond);
        pthread_mutex_destroy(&w->mutex);
        tl_mem_free(w);
        return tl_error_set(err, TL_EUNAVAILABLE, "watchdog: no thread: %s", strerror(rc));
    }
    *out = w;
    return TL_OK;
}

void tl_watchdog_free(struct tl_watchdog *w)
{
    if (!w) {
        return;
    }
    pthread_mutex_lock(&w->mutex);
    TL_ASSERT(tl_list_empty(&w->watches));
    w->stop = true;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->mutex);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->cond);
    pthread_mutex_destroy(&w->mutex);
    tl_mem_free(w);
}

void tl_watch_begin(struct tl_watchdog *w, struct tl_watch *watch, int64_t budget_ns)
{
    watch->thread = pthread_self();
    TL_ASSERT(pthread_getcpuclockid(watch->thread, &watch->clock) == 0);
    watch->begun_ns = clock_ns(watch->clock);
    watch->deadline_ns = watch->begun_ns + budget_ns;
    watch->outer = tl_watch_current;
    tl_watch_current = watch;
    pthread_mutex_lock(&w->mutex);
    tl_list_push(&w->watches, &watch->link);
    if (w->asleep) {
        pthread_cond_signal(&w->cond);
    }
    pthread_mutex_unlock(&w->mutex);
}

int64_t tl_watch_spent_ns(const struct tl_watch *watch)
{
    return clock_ns(watch->clock) - watch->begun_ns;
}

void tl_watch_end(struct tl_watchdog *w, struct tl_watch *watch)
{
    tl_watch_current = watch->outer;
    pthread_mutex_lock(&w->mutex);
    tl_list_remove(&watch->link);
    pthread_mutex_unlock(&w->mutex);
}
