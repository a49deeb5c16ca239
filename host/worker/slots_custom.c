/* Slots of a supplier of the user's own. Polls do not wait: what finds no slot leaves a wish, control passes
 * it on to the supplier, and a grant wakes control, which fills the polls. So a supplier is never called with
 * a lock of ours held, and may take its time.
 *
 * One reservation is under way at a time for each kind, of workflow tasks one for each queue.
 * Thread: any; state under the mutex. */
#include "base/mem.h"
#include "worker/build.h"
#include "worker/local.h"

enum { KINDS = 4 };

/* One reservation; `of` is the supplier's way back to us. */
struct tlua_slot_wait {
    struct tl_custom_slots *of;
    bool sticky;
    bool wanted;          /* to be asked for by control */
    bool asked;           /* the supplier has not granted yet */
    struct tl_list ready; /* of struct tl_slot, granted */
};

struct tl_custom_slots {
    struct tl_worker *worker;
    struct tl_slots *slots;
    enum tlua_slot_kind kind;
    tlua_slot_supplier supplier;
    pthread_mutex_t mutex; /* guards the rest */
    struct tlua_slot_wait waits[2];
    bool closed;
};

struct tl_custom_slots *tl_custom_slots_new(struct tl_worker *w, struct tl_slots *of,
                                            enum tlua_slot_kind kind,
                                            const tlua_slot_supplier *supplier)
{
    struct tl_custom_slots *c = TL_NEW(struct tl_custom_slots);
    c->worker = w;
    c->slots = of;
    c->kind = kind;
    c->supplier = *supplier;
    pthread_mutex_init(&c->mutex, NULL);
    for (int i = 0; i < 2; i++) {
        c->waits[i].of = c;
        c->waits[i].sticky = i == 1;
        tl_list_init(&c->waits[i].ready);
    }
    return c;
}

/* Slots that were granted and nobody takes. */
static void drop_ready(struct tl_custom_slots *c, bool close)
{
    struct tl_list *n;
    do {
        pthread_mutex_lock(&c->mutex);
        c->closed = c->closed || close;
        n = tl_list_pop(&c->waits[0].ready);
        n = n ? n : tl_list_pop(&c->waits[1].ready);
        pthread_mutex_unlock(&c->mutex);
        tl_slot_give(n ? TL_CONTAINER(n, struct tl_slot, node) : NULL);
    } while (n);
}

void tl_custom_slots_free(struct tl_custom_slots *c)
{
    if (!c) {
        return;
    }
    drop_ready(c, true);
    if (c->supplier.close) {
        c->supplier.close(c->supplier.ud);
    }
    pthread_mutex_destroy(&c->mutex);
    tl_mem_free(c);
}

static tlua_bytes view(struct tl_str s)
{
    return (tlua_bytes){s.p, s.n};
}

/* Owns a use of *build for as long as the request is looked at. */
static tlua_slot_request request(struct tl_custom_slots *c, bool sticky, struct tl_build **build)
{
    struct tl_worker *w = c->worker;
    *build = tl_build_current(w);
    return (tlua_slot_request){.size = sizeof(tlua_slot_request),
                               .kind = (int)c->kind,
                               .is_sticky = sticky,
                               .task_queue = view(tl_str(w->task_queue)),
                               .worker_identity = view(tl_str(w->identity)),
                               .worker_build_id = view(tl_str((*build)->id)),
                               .worker_deployment_name =
                                   view(tl_str(tl_worker_deploys(w) ? w->deployment_name : ""))};
}

static struct tl_slot *new_slot(struct tl_custom_slots *c, bool sticky, void *permit)
{
    struct tl_slot *slot = TL_NEW(struct tl_slot);
    slot->of = c->slots;
    slot->permit = permit;
    slot->sticky = sticky;
    tl_list_init(&slot->node);
    atomic_fetch_add(&c->slots->used, 1);
    return slot;
}

struct tl_slot *tl_custom_slots_try(struct tl_custom_slots *c)
{
    struct tl_build *build;
    tlua_slot_request r = request(c, false, &build);
    void *permit = c->supplier.try_reserve(c->supplier.ud, &r);
    tl_build_release(build);
    return permit ? new_slot(c, false, permit) : NULL;
}

static void wake(struct tl_worker *w)
{
    atomic_store(&w->slots_moved, true);
    tl_worker_wake(w);
}

struct tl_slot *tl_custom_slots_take(struct tl_custom_slots *c, bool sticky)
{
    struct tlua_slot_wait *wait = &c->waits[sticky];
    pthread_mutex_lock(&c->mutex);
    struct tl_list *n = tl_list_pop(&wait->ready);
    bool ask = !n && !wait->asked && !wait->wanted && !c->closed;
    wait->wanted = wait->wanted || ask;
    pthread_mutex_unlock(&c->mutex);
    if (ask) {
        wake(c->worker);
    }
    return n ? TL_CONTAINER(n, struct tl_slot, node) : NULL;
}

bool tl_custom_slots_asked(struct tl_custom_slots *c, bool sticky)
{
    struct tlua_slot_wait *wait = &c->waits[sticky];
    pthread_mutex_lock(&c->mutex);
    bool asked = tl_list_empty(&wait->ready) && (wait->asked || wait->wanted);
    pthread_mutex_unlock(&c->mutex);
    return asked;
}

void tlua_slot_grant(tlua_slot_wait *wait, void *permit)
{
    struct tl_custom_slots *c = wait->of;
    pthread_mutex_lock(&c->mutex);
    bool expected = wait->asked, closed = c->closed;
    wait->asked = false;
    struct tl_slot *slot = expected && permit && !closed ? new_slot(c, wait->sticky, permit) : NULL;
    if (slot) {
        tl_list_push(&wait->ready, &slot->node);
    }
    pthread_mutex_unlock(&c->mutex);
    if (!slot && permit) {
        c->supplier.release(c->supplier.ud, NULL, permit);
    }
    if (!closed) {
        wake(c->worker);
    }
}

static tlua_slot_info info_of(const struct tl_slot *slot)
{
    return (tlua_slot_info){.size = sizeof(tlua_slot_info),
                            .kind = (int)slot->of->custom->kind,
                            .is_sticky = slot->sticky,
                            .type = view(tl_str(slot->type)),
                            .operation = view(tl_str(slot->operation))};
}

void tl_custom_slot_use(struct tl_slot *slot, struct tl_str type, struct tl_str operation)
{
    const tlua_slot_supplier *s = &slot->of->custom->supplier;
    if (slot->type) { /* the next task of its run has come inline */
        return;
    }
    slot->type = tl_mem_dup(type);
    slot->operation = tl_mem_dup(operation);
    tlua_slot_info info = info_of(slot);
    if (s->mark_used) {
        s->mark_used(s->ud, &info, slot->permit);
    }
}

void tl_custom_slot_give(struct tl_slot *slot)
{
    const tlua_slot_supplier *s = &slot->of->custom->supplier;
    tlua_slot_info info = slot->type ? info_of(slot) : (tlua_slot_info){0};
    s->release(s->ud, slot->type ? &info : NULL, slot->permit);
    tl_mem_free(slot->type);
    tl_mem_free(slot->operation);
    tl_mem_free(slot);
}

/* --- control ------------------------------------------------------------------------------------- */

/* In the order of their end: local activities of tasks in work want slots until those have ended. */
static struct tl_slots *slots_at(struct tl_worker *w, int i)
{
    struct tl_slots *all[KINDS] = {&w->wf_slots, &w->act_slots, &w->nexus_slots, &w->local_slots};
    return all[i];
}

static void ask(struct tl_custom_slots *c, struct tlua_slot_wait *wait)
{
    struct tl_build *build;
    pthread_mutex_lock(&c->mutex);
    bool wanted = wait->wanted && !c->closed;
    wait->wanted = false;
    wait->asked = wait->asked || wanted;
    pthread_mutex_unlock(&c->mutex);
    if (wanted) {
        tlua_slot_request r = request(c, wait->sticky, &build);
        c->supplier.reserve(c->supplier.ud, &r, wait);
        tl_build_release(build);
    }
}

void tl_slots_look(struct tl_worker *w)
{
    if (!atomic_load(&w->slots_moved)) {
        return;
    }
    atomic_store(&w->slots_moved, false);
    for (int i = 0; i < KINDS; i++) {
        struct tl_custom_slots *c = slots_at(w, i)->custom;
        for (int k = 0; c && k < 2; k++) {
            ask(c, &c->waits[k]);
        }
    }
    tl_pollers_fill(w);
    tl_locals_fill(w);
    if (w->local_slots.custom && !tl_locals_waiting(w)) {
        drop_ready(w->local_slots.custom, false);
    }
}

void tl_slots_stop(struct tl_worker *w)
{
    for (int i = 0; i < KINDS - 1; i++) {
        struct tl_custom_slots *c = slots_at(w, i)->custom;
        if (c) {
            drop_ready(c, true);
        }
    }
}
