/* Slots: how many tasks of one kind may be in work. A fixed number, or as many as the resources allow
 * between a minimum that is always given and a maximum that is never passed. Thread: any. */
#include "base/assert.h"
#include "worker/worker_int.h"

static void init(struct tl_worker *w, struct tl_slots *s, enum tlua_slot_kind kind,
                 const struct tl_slot_config *c, int64_t fixed)
{
    bool tuned = w->opt.tuner.given;
    *s = (struct tl_slots){.world = w->world, .max = (int)(tuned ? c->maximum : fixed)};
    s->plain.of = s;
    if (tuned && c->supplier) {
        s->custom = tl_custom_slots_new(w, s, kind, c->supplier);
        return;
    }
    s->min = s->max;
    if (tuned && c->resource_based) {
        s->min = (int)c->minimum;
        s->ramp_ns = c->ramp_throttle_ms * TL_NS_PER_MS;
        s->resource = &w->resource;
    }
}

tl_rc tl_slots_open(struct tl_worker *w, struct tl_error *err)
{
    const struct tl_tuner_options *t = &w->opt.tuner;
    const struct tl_worker_options *o = &w->opt;
    init(w, &w->wf_slots, TLUA_SLOT_WORKFLOW, &t->workflow, o->max_concurrent_workflow_tasks);
    init(w, &w->act_slots, TLUA_SLOT_ACTIVITY, &t->activity, o->max_concurrent_activities);
    init(w, &w->local_slots, TLUA_SLOT_LOCAL_ACTIVITY, &t->local_activity,
         o->max_concurrent_local_activities);
    init(w, &w->nexus_slots, TLUA_SLOT_NEXUS, &t->nexus, o->max_concurrent_nexus_tasks);
    if (!w->wf_slots.resource && !w->act_slots.resource && !w->local_slots.resource &&
        !w->nexus_slots.resource) {
        return TL_OK;
    }
    tl_rc rc = tl_resource_init(&w->resource, "", t->target_memory_usage, t->target_cpu_usage, err);
    w->resource_open = w->resource_tunes = rc == TL_OK;
    return rc;
}

void tl_slots_close(struct tl_worker *w)
{
    tl_custom_slots_free(w->wf_slots.custom);
    tl_custom_slots_free(w->act_slots.custom);
    tl_custom_slots_free(w->local_slots.custom);
    tl_custom_slots_free(w->nexus_slots.custom);
    if (w->resource_open) {
        tl_resource_deinit(&w->resource);
    }
}

/* Beyond the minimum: one slot per ramp_throttle, while the machine can take more. */
static bool may_grow(struct tl_slots *s)
{
    int64_t now = tl_world_mono_ns(s->world);
    long long last = atomic_load(&s->grown_ns);
    if (last && now - last < s->ramp_ns) {
        return false;
    }
    return tl_resource_allows(s->resource, now) &&
           atomic_compare_exchange_strong(&s->grown_ns, &last, now);
}

struct tl_slot *tl_slots_try(struct tl_slots *s)
{
    int used = atomic_load(&s->used);
    while (!s->custom && used < s->max) {
        if (used >= s->min && !may_grow(s)) {
            return NULL;
        }
        if (atomic_compare_exchange_weak(&s->used, &used, used + 1)) {
            return &s->plain;
        }
    }
    return s->custom ? tl_custom_slots_try(s->custom) : NULL;
}

struct tl_slot *tl_slots_take(struct tl_slots *s, bool sticky)
{
    return s->custom ? tl_custom_slots_take(s->custom, sticky) : tl_slots_try(s);
}

bool tl_slots_asked(const struct tl_slots *s, bool sticky)
{
    return s->custom && tl_custom_slots_asked(s->custom, sticky);
}

struct tl_slot *tl_slots_force(struct tl_slots *s)
{
    atomic_fetch_add(&s->used, 1);
    return &s->plain;
}

bool tl_slots_held_back(const struct tl_slots *s)
{
    return s->resource && atomic_load(&s->used) < s->max;
}

void tl_slot_use(struct tl_slot *slot, struct tl_str type, struct tl_str operation)
{
    if (slot && slot != &slot->of->plain) {
        tl_custom_slot_use(slot, type, operation);
    }
}

void tl_slot_give(struct tl_slot *slot)
{
    if (!slot) {
        return;
    }
    struct tl_slots *s = slot->of;
    if (slot != &s->plain) {
        tl_custom_slot_give(slot);
    }
    int before = atomic_fetch_sub(&s->used, 1);
    TL_ASSERT(before > 0);
}
