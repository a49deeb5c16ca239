/* Mutex-guarded chain: one lock per send, one per drain. Measured contention on two cores does not
 * justify a lock-free queue. See inbox.h. */
#include "base/inbox.h"

#include <errno.h>
#include <time.h>

#include "base/assert.h"

void tl_inbox_init(struct tl_inbox *b, size_t count_max)
{
    pthread_condattr_t attr;
    *b = (struct tl_inbox){.count_max = count_max};
    b->tail = &b->head;
    pthread_mutex_init(&b->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&b->cond, &attr);
    pthread_condattr_destroy(&attr);
}

void tl_inbox_deinit(struct tl_inbox *b)
{
    TL_ASSERT(b->head == NULL);
    pthread_cond_destroy(&b->cond);
    pthread_mutex_destroy(&b->mutex);
}

void tl_inbox_waker(struct tl_inbox *b, void (*waker)(void *ud), void *ud)
{
    b->waker = waker;
    b->waker_ud = ud;
}

static bool send(struct tl_inbox *b, struct tl_msg *m, bool always)
{
    pthread_mutex_lock(&b->mutex);
    bool ok = !b->closed && (always || b->count < b->count_max);
    bool wake = false, was_empty = b->head == NULL;
    /* After the unlock the receiver may have taken the message and be gone with its inbox. */
    void (*waker)(void *ud) = b->waker;
    void *waker_ud = b->waker_ud;
    if (ok) {
        m->next = NULL;
        *b->tail = m;
        b->tail = &m->next;
        b->count++;
        wake = b->waiters > 0;
    }
    if (wake) {
        pthread_cond_signal(&b->cond);
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
    b->waiters++;
    if (deadline_mono_ns == INT64_MAX) {
        pthread_cond_wait(&b->cond, &b->mutex);
    } else {
        pthread_cond_timedwait(&b->cond, &b->mutex, &ts);
    }
    b->waiters--;
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
            pthread_cond_signal(&b->cond);
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
    pthread_cond_broadcast(&b->cond);
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
    pthread_cond_broadcast(&b->cond);
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
