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

static bool take_varint(struct tl_str *rest, uint64_t *out)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64 && rest->n; shift += 7) {
        uint8_t b = (uint8_t)*rest->p;
        rest->p++;
        rest->n--;
        v |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80)) {
            *out = v;
            return true;
        }
    }
    return false;
}

bool tl_wire_next(struct tl_str *rest, struct tl_wire_field *f)
{
    uint64_t tag = 0, n = 0;
    if (!rest->n || !take_varint(rest, &tag)) {
        return false;
    }
    *f = (struct tl_wire_field){.number = (uint32_t)(tag >> 3), .type = (int)(tag & 7)};
    switch (f->type) {
    case 0:
        return take_varint(rest, &f->value);
    case 1:
        n = 8;
        break;
    case 2:
        if (!take_varint(rest, &n)) {
            return false;
        }
        break;
    case 5:
        n = 4;
        break;
    default:
        return false;
    }
    if (n > rest->n) {
        return false;
    }
    f->bytes = tl_str_n(rest->p, (size_t)n);
    rest->p += n;
    rest->n -= (size_t)n;
    return true;
}

struct tl_str tl_wire_find(struct tl_str message, uint32_t number)
{
    struct tl_wire_field f;
    while (tl_wire_next(&message, &f)) {
        if (f.number == number && f.type == 2) {
            return f.bytes;
        }
    }
    return (struct tl_str){0};
}
