/* What all actors share: inbox, timers, the names of threads. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "worker/worker_int.h"

#define THREAD_NAME_MAX 15 /* on Linux */

#define INBOX_MAX ((size_t)1 << 20) /* messages are bounded by slots and polls long before */

void tl_actor_init(struct tl_actor *a, struct tl_worker *w)
{
    *a = (struct tl_actor){.worker = w};
    tl_inbox_init(&a->inbox, INBOX_MAX);
    tl_heap_init(&a->timers);
}

void tl_actor_deinit(struct tl_actor *a)
{
    tl_heap_deinit(&a->timers);
    tl_inbox_deinit(&a->inbox);
}

bool tl_actor_fire(struct tl_actor *a)
{
    bool any = false;
    struct tl_heap_node *n;
    int64_t now = tl_worker_now(a->worker);
    while ((n = tl_heap_peek(&a->timers)) != NULL && n->deadline_ns <= now) {
        struct tl_timer *t = TL_CONTAINER(n, struct tl_timer, node);
        tl_heap_remove(&a->timers, n);
        t->fire(t);
        any = true;
    }
    return any;
}

void tl_actor_name_thread(pthread_t thread, const char *prefix, int number)
{
#ifdef __linux__ /* elsewhere a thread can only name itself */
    char name[THREAD_NAME_MAX + 1], suffix[THREAD_NAME_MAX + 1];
    size_t n = (size_t)snprintf(suffix, sizeof suffix, "-%d", number);
    size_t kept = strnlen(prefix, THREAD_NAME_MAX - n);
    memcpy(name, prefix, kept);
    memcpy(name + kept, suffix, n + 1);
    (void)pthread_setname_np(thread, name);
#else
    (void)thread, (void)prefix, (void)number;
#endif
}

int64_t tl_actor_deadline(const struct tl_actor *a)
{
    const struct tl_heap_node *n = tl_heap_peek(&a->timers);
    return n ? n->deadline_ns : INT64_MAX;
}

void tl_timer_set(struct tl_actor *a, struct tl_timer *t, int64_t delay_ns)
{
    tl_heap_remove(&a->timers, &t->node);
    tl_heap_insert(&a->timers, &t->node, tl_worker_now(a->worker) + (delay_ns > 0 ? delay_ns : 0));
}

void tl_timer_clear(struct tl_actor *a, struct tl_timer *t)
{
    tl_heap_remove(&a->timers, &t->node);
}

void tl_actor_post_result(struct tl_actor *a, struct tl_rpc_result *res)
{
    if (!tl_inbox_send_always(&a->inbox, &res->msg)) {
        tl_rpc_result_free(res);
    }
}
