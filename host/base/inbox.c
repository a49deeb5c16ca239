/* Mutex-guarded chain: one lock per send, one per drain. Measured contention on two cores does not
 * justify a lock-free queue. Each receiver that waits has a condition of its own: with several on one,
 * glibc before 2.41 may lose a signal (its bug 25847), and a message would lie there until the next. See inbox.h. */
#include "base/inbox.h"

#include <errno.h>
#include <time.h>

#include "base/assert.h"

struct tl_inbox_waiter {
    struct tl_inbox_waiter *next;
    pthread_cond_t cond;
    bool woken; /* and out of the list */
};

void tl_inbox_init(struct tl_inbox *b, size_t count_max)
{
    *b = (struct tl_inbox){.count_max = count_max};
    b->tail = &b->head;
    pthread_mutex_init(&b->mutex, NULL);
}

void tl_inbox_deinit(struct tl_inbox *b)
{
    TL_ASSERT(b->head == NULL && b->waiters == NULL);
    pthread_mutex_destroy(&b->mutex);
}

void tl_inbox_waker(struct tl_inbox *b, void (*waker)(void *ud), void *ud)
{
    b->waker = waker;
    b->waker_ud = ud;
}

/* Under the mutex. */
static void wake_one(struct tl_inbox *b)
{
    struct tl_inbox_waiter *w = b->waiters;
    if (w) {
        b->waiters = w->next;
        w->woken = true;
        pthread_cond_signal(&w->cond);
    }
}

static void wake_all(struct tl_inbox *b)
{
    while (b->waiters) {
        wake_one(b);
    }
}

static bool send(struct tl_inbox *b, struct tl_msg *m, bool always)
{
    pthread_mutex_lock(&b->mutex);
    bool ok = !b->closed && (always || b->count < b->count_max);
    bool was_empty = b->head == NULL;
    /* After the unlock the receiver may have taken the message and be gone with its inbox. */
    void (*waker)(void *ud) = b->waker;
    void *waker_ud = b->waker_ud;
    if (ok) {
        m->next = NULL;
        *b->tail = m;
        b->tail = &m->next;
        b->count++;
        wake_one(b);
    }
    pthread_mutex_unlock(&b->mutex);
    if (ok && was_empty && waker) {
        waker(waker_ud);
    }
    return ok;
}

bool tl_inbox_send(struct tl_inbox *b, struct tl_msg *m)
{
    return send(b, m, false);
}

bool tl_inbox_send_always(struct tl_inbox *b, struct tl_msg *m)
{
    return send(b, m, true);
}

/* Holds the mutex. Returns when a message is there, the deadline passed, or a kick or close came. */
static void wait_first(struct tl_inbox *b, int64_t deadline_mono_ns)
{
    struct timespec ts = {deadline_mono_ns / 1000000000, deadline_mono_ns % 1000000000};
    if (b->head || b->closed || deadline_mono_ns == 0) {
        return;
    }
    struct tl_inbox_waiter w = {.next = b->waiters};
    pthread_condattr_t attr;
    int rc = 0;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w.cond, &attr);
    pthread_condattr_destroy(&attr);
    b->waiters = &w;
    while (!w.woken && rc == 0) {
        rc = deadline_mono_ns == INT64_MAX ? pthread_cond_wait(&w.cond, &b->mutex)
                                           : pthread_cond_timedwait(&w.cond, &b->mutex, &ts);
    }
    for (struct tl_inbox_waiter **at = &b->waiters; !w.woken && *at; at = &(*at)->next) {
        if (*at == &w) {
            *at = w.next;
            break;
        }
    }
    pthread_cond_destroy(&w.cond);
}

struct tl_msg *tl_inbox_take_all(struct tl_inbox *b, int64_t deadline_mono_ns)
{
    pthread_mutex_lock(&b->mutex);
    wait_first(b, deadline_mono_ns);
    struct tl_msg *m = b->head;
    b->head = NULL;
    b->tail = &b->head;
    b->count = 0;
    pthread_mutex_unlock(&b->mutex);
    return m;
}

/* Under the mutex. */
static struct tl_msg *take_first(struct tl_inbox *b)
{
    struct tl_msg *m = b->head;
    if (m) {
        b->head = m->next;
        if (!b->head) {
            b->tail = &b->head;
        } else {
            wake_one(b);
        }
        b->count--;
    }
    return m;
}

struct tl_msg *tl_inbox_take_one(struct tl_inbox *b, int64_t deadline_mono_ns)
{
    pthread_mutex_lock(&b->mutex);
    wait_first(b, deadline_mono_ns);
    struct tl_msg *m = take_first(b);
    pthread_mutex_unlock(&b->mutex);
    return m;
}

struct tl_msg *tl_inbox_take_one_since(struct tl_inbox *b, int64_t deadline_mono_ns, uint64_t kicks)
{
    pthread_mutex_lock(&b->mutex);
    wait_first(b, b->kicks == kicks ? deadline_mono_ns : 0);
    struct tl_msg *m = take_first(b);
    pthread_mutex_unlock(&b->mutex);
    return m;
}

uint64_t tl_inbox_kicks(struct tl_inbox *b)
{
    pthread_mutex_lock(&b->mutex);
    uint64_t kicks = b->kicks;
    pthread_mutex_unlock(&b->mutex);
    return kicks;
}

void tl_inbox_kick(struct tl_inbox *b)
{
    pthread_mutex_lock(&b->mutex);
    b->kicks++;
    wake_all(b);
    pthread_mutex_unlock(&b->mutex);
    if (b->waker) {
        b->waker(b->waker_ud);
    }
}

void tl_inbox_close(struct tl_inbox *b)
{
    pthread_mutex_lock(&b->mutex);
    b->closed = true;
    b->kicks++;
    wake_all(b);
    pthread_mutex_unlock(&b->mutex);
    if (b->waker) {
        b->waker(b->waker_ud);
    }
}

bool tl_inbox_closed(struct tl_inbox *b)
{
    pthread_mutex_lock(&b->mutex);
    bool closed = b->closed;
    pthread_mutex_unlock(&b->mutex);
    return closed;
}
