/* Mutex-guarded chain: one lock per send, one per drain. A receiver that waits sleeps on a semaphore of its own,
 * outside the mutex, and is woken after the sender has let go of it: a receiver that is woken by a condition
 * variable runs into the mutex that the sender still holds, and its next unlock is a system call in any case.
 * See inbox.h. */
#include "base/inbox.h"

#include <errno.h>
#include <semaphore.h>
#include <time.h>

#include "base/assert.h"

#if defined(__SANITIZE_THREAD__)
void __tsan_acquire(void *p);
#define WOKEN_BY(sem) __tsan_acquire(sem) /* ThreadSanitizer does not know sem_clockwait */
#else
#define WOKEN_BY(sem) (void)(sem)
#endif

struct tl_inbox_waiter {
    struct tl_inbox_waiter *next;
    sem_t wake;
    bool woken; /* out of the list: whoever took it out posts */
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

/* Under the mutex: the receiver to be woken once it is unlocked, or NULL. */
static struct tl_inbox_waiter *choose_one(struct tl_inbox *b)
{
    struct tl_inbox_waiter *w = b->waiters;
    if (w) {
        b->waiters = w->next;
        w->next = NULL;
        w->woken = true;
    }
    return w;
}

/* Under the mutex. */
static struct tl_inbox_waiter *choose_all(struct tl_inbox *b)
{
    struct tl_inbox_waiter *all = b->waiters;
    for (struct tl_inbox_waiter *w = all; w; w = w->next) {
        w->woken = true;
    }
    b->waiters = NULL;
    return all;
}

/* Not under the mutex. A receiver is gone, with its inbox perhaps, once it has been told. */
static void wake(struct tl_inbox_waiter *chosen)
{
    while (chosen) {
        struct tl_inbox_waiter *next = chosen->next;
        sem_post(&chosen->wake);
        chosen = next;
    }
}

static bool send(struct tl_inbox *b, struct tl_msg *m, bool always)
{
    pthread_mutex_lock(&b->mutex);
    bool ok = !b->closed && (always || b->count < b->count_max);
    struct tl_inbox_waiter *chosen = NULL;
    if (ok) {
        m->next = NULL;
        *b->tail = m;
        b->tail = &m->next;
        b->count++;
        chosen = choose_one(b);
    }
    pthread_mutex_unlock(&b->mutex);
    wake(chosen);
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

static int sleep_until(sem_t *wake, int64_t deadline_mono_ns)
{
    struct timespec ts = {deadline_mono_ns / 1000000000, deadline_mono_ns % 1000000000};
    int rc;
    do {
        rc = deadline_mono_ns == INT64_MAX ? sem_wait(wake)
                                           : sem_clockwait(wake, CLOCK_MONOTONIC, &ts);
    } while (rc != 0 && errno == EINTR);
    return rc;
}

/* Holds the mutex before and after. Returns when a message is there, the deadline passed, or a kick or
 * close came. */
static void wait_first(struct tl_inbox *b, int64_t deadline_mono_ns)
{
    if (b->head || b->closed || deadline_mono_ns == 0) {
        return;
    }
    struct tl_inbox_waiter w = {.next = b->waiters};
    sem_init(&w.wake, 0, 0);
    b->waiters = &w;
    pthread_mutex_unlock(&b->mutex);
    bool told = sleep_until(&w.wake, deadline_mono_ns) == 0;
    WOKEN_BY(&w.wake);
    pthread_mutex_lock(&b->mutex);
    if (!told && w.woken) { /* chosen at the last moment: the post is on its way to our stack */
        pthread_mutex_unlock(&b->mutex);
        (void)sleep_until(&w.wake, INT64_MAX);
        pthread_mutex_lock(&b->mutex);
    }
    for (struct tl_inbox_waiter **at = &b->waiters; !w.woken && *at; at = &(*at)->next) {
        if (*at == &w) {
            *at = w.next;
            break;
        }
    }
    sem_destroy(&w.wake);
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

/* Under the mutex; *other: who is to be woken for the message after it. */
static struct tl_msg *take_first(struct tl_inbox *b, struct tl_inbox_waiter **other)
{
    struct tl_msg *m = b->head;
    *other = NULL;
    if (m) {
        b->head = m->next;
        if (!b->head) {
            b->tail = &b->head;
        } else {
            *other = choose_one(b);
        }
        b->count--;
    }
    return m;
}

struct tl_msg *tl_inbox_take_one(struct tl_inbox *b, int64_t deadline_mono_ns)
{
    pthread_mutex_lock(&b->mutex);
    wait_first(b, deadline_mono_ns);
    struct tl_inbox_waiter *other;
    struct tl_msg *m = take_first(b, &other);
    pthread_mutex_unlock(&b->mutex);
    wake(other);
    return m;
}

struct tl_msg *tl_inbox_take_one_since(struct tl_inbox *b, int64_t deadline_mono_ns, uint64_t kicks)
{
    pthread_mutex_lock(&b->mutex);
    wait_first(b, b->kicks == kicks ? deadline_mono_ns : 0);
    struct tl_inbox_waiter *other;
    struct tl_msg *m = take_first(b, &other);
    pthread_mutex_unlock(&b->mutex);
    wake(other);
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
    struct tl_inbox_waiter *chosen = choose_all(b);
    pthread_mutex_unlock(&b->mutex);
    wake(chosen);
}

void tl_inbox_close(struct tl_inbox *b)
{
    pthread_mutex_lock(&b->mutex);
    b->closed = true;
    b->kicks++;
    struct tl_inbox_waiter *chosen = choose_all(b);
    pthread_mutex_unlock(&b->mutex);
    wake(chosen);
}

bool tl_inbox_closed(struct tl_inbox *b)
{
    pthread_mutex_lock(&b->mutex);
    bool closed = b->closed;
    pthread_mutex_unlock(&b->mutex);
    return closed;
}
