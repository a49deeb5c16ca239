/* What all actors share: inbox, timers, slots, and a reader of top-level protobuf fields. */
#include "base/assert.h"
#include "worker/worker_int.h"

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
