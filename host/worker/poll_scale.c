/* How many polls of one kind are outstanding when their number follows the load. Pure: time comes in
 * by parameter, the caller locks (worker->poll_mutex); only `target` is read without.
 *
 * The server sends advice with tasks: more polls while its backlog grows, fewer when a poll waited
 * long. An empty poll takes one away, but only where the server gives advice (it has, or its namespace says
 * so): from one that never does we should never come up again. For the same reason errors count only then. */
#include "worker/worker_int.h"

#define STATUS_RESOURCE_EXHAUSTED 8
#define PERIOD_NS (100 * TL_NS_PER_MS)
#define GROWTH 1.1 /* of tasks per period: more polls bring nothing when they bring no more tasks */

void tl_poll_scale_init(struct tl_poll_scale *s, const struct tl_poller_behavior *b, int64_t now_ns)
{
    *s = (struct tl_poll_scale){.on = b->autoscaling,
                                .min = (int)b->minimum,
                                .max = (int)b->maximum,
                                .may_grow = true,
                                .period_ns = now_ns};
    atomic_store(&s->target, (int)(b->autoscaling ? b->initial : b->maximum));
}

static void set_target(struct tl_poll_scale *s, int64_t target)
{
    target = target > s->max ? s->max : target < s->min ? s->min : target;
    atomic_store(&s->target, (int)target);
}

/* Compares the tasks of a period with those of the one before. */
static void count_task(struct tl_poll_scale *s, int64_t now_ns)
{
    int64_t passed = now_ns - s->period_ns;
    if (passed >= PERIOD_NS) {
        int before = passed >= 2 * PERIOD_NS ? 0 : s->taken_before;
        s->may_grow = before == 0 || (double)s->taken >= GROWTH * (double)before;
        s->taken_before = passed >= 2 * PERIOD_NS ? 0 : s->taken;
        s->taken = 0;
        s->period_ns = now_ns;
    }
    s->taken++;
}

void tl_poll_scale_result(struct tl_poll_scale *s, int status, bool task, struct tl_str decision,
                          int64_t now_ns)
{
    int target = atomic_load(&s->target);
    if (!s->on) {
        return;
    }
    if (task) {
        count_task(s, now_ns);
    }
    if (status == 0 && decision.p) {
        struct tl_wire_field f = {0};
        int32_t delta = tl_wire_next(&decision, &f) && f.number == 1 ? (int32_t)f.value : 0;
        s->advised = true;
        if (delta < 0 || s->may_grow) {
            set_target(s, (int64_t)target + delta);
        }
    } else if (s->advised && !task) {
        set_target(s, status == STATUS_RESOURCE_EXHAUSTED ? target / 2 : target - 1);
    }
}
