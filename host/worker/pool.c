/* The threads of activities and those of Nexus handlers: an inbox each, as many threads as turn out to be
 * needed. A pool that keeps up stays small (each thread has a language state); when the queue stands still for
 * a moment, because activities block, it grows by what waits, at most to the double, up to the number of slots
 * or the limit of the options. */
#include "base/assert.h"
#include "base/log.h"
#include "base/mem.h"
#include "worker/build.h"
#include "worker/local.h"
#include "worker/registry_int.h"
#include "worker/worker_int.h"

#define LOOK_NS (5 * TL_NS_PER_MS)
#define STEP_DEPTH_MAX 16
#define NEXUS_REQUEST_FIELD 2 /* of PollNexusTaskQueueResponse */
#define NEXUS_START_FIELD 3   /* of Request: service and operation are 1 and 2 of both */
#define NEXUS_CANCEL_FIELD 4
#define CUSTOM_THREADS_MAX 500
#define INBOX_MAX ((size_t)1 << 20)

#define POOL_EACH(p, w) for (struct tl_pool *p = (w)->pools; p < (w)->pools + TL_POOL_KINDS; p++)

/* --- Tasks ------------------------------------------------------------------------------------- */

static void state_close(struct tl_act_state *s)
{
    if (s->build) {
        const struct tl_thread_hooks *hooks =
            s->build->registry ? tl_registry_hooks(s->build->registry) : NULL;
        if (s->open && hooks->thread_close) {
            hooks->thread_close(hooks->ud, s->state);
        }
        tl_build_release(s->build);
    }
    *s = (struct tl_act_state){0};
}

/* Makes the state that of a build, whose use is taken over. A state is made for its first task, and
 * tried again with the next when that fails. */
static void state_use(struct tl_act_state *s, struct tl_build *b)
{
    if (s->build == b) {
        tl_build_release(b);
    } else {
        state_close(s);
        s->build = b;
    }
    const struct tl_thread_hooks *hooks = b->registry ? tl_registry_hooks(b->registry) : NULL;
    s->error = NULL;
    if (s->open || !hooks || !hooks->thread_open) {
        return;
    }
    if (hooks->thread_open(hooks->ud, &s->state, &s->err) == TL_OK) {
        s->open = true;
    } else {
        TL_LOG(TL_LOG_ERROR, "activity_thread.not_opened", TL_C("error", s->err.message));
        s->error = s->err.message;
    }
}

/* An idle thread keeps no old build loaded. */
static void state_renew(struct tl_act_state *s)
{
    if (s->build && tl_build_is_old(s->build)) {
        state_close(s);
    }
}

/* of: the version it is for, a use that is taken over; NULL: unversioned */
static void run_remote(struct tl_worker *w, struct tl_str body, struct tl_slot *slot,
                       struct tl_build *of, struct tl_act_state *s)
{
    struct tl_str type = tl_wire_find(tl_wire_find(body, TL_ACTIVITY_TYPE_FIELD), 1);
    tl_slot_use(slot, type, TL_STR_LIT(""));
    state_use(s, of ? of : tl_build_of_activity(w, type));
    tl_act_run(w, body, slot, s);
}

/* of: as for run_remote */
static void run_nexus(struct tl_worker *w, struct tl_str body, struct tl_slot *slot,
                      struct tl_build *of, struct tl_act_state *s)
{
    struct tl_str request = tl_wire_find(body, NEXUS_REQUEST_FIELD);
    struct tl_str about = tl_wire_find(request, NEXUS_START_FIELD);
    about = about.n ? about : tl_wire_find(request, NEXUS_CANCEL_FIELD);
    struct tl_str service = tl_wire_find(about, 1), operation = tl_wire_find(about, 2);
    tl_slot_use(slot, service, operation);
    state_use(s, of ? of : tl_build_of_operation(w, service, operation));
    tl_op_run(w, body, slot, s);
}

static void take_polled(struct tl_worker *w, struct tl_rpc_result *res, struct tl_act_state *s)
{
    struct tl_poll *poll = TL_CONTAINER(res->ud, struct tl_poll, to);
    bool nexus = poll->poller->kind == TL_POLL_NEXUS;
    struct tl_slot *slot;
    struct tl_build *of = tl_poll_finished(poll, &slot);
    if (nexus) {
        tl_pollers_fill_nexus(w);
        run_nexus(w, res->body, slot, of, s);
    } else {
        tl_pollers_fill_activity(w);
        tl_meter_activity_received(w, res->body, false);
        run_remote(w, res->body, slot, of, s);
    }
    tl_rpc_result_free(res);
}

static void take(struct tl_worker *w, struct tl_msg *m, struct tl_act_state *s)
{
    if (m->kind == TL_WM_POLL) {
        take_polled(w, TL_CONTAINER(m, struct tl_rpc_result, msg), s);
    } else if (m->kind == TL_WM_LOCAL) {
        state_use(s, tl_build_retain(tl_local_build(m)));
        tl_local_run(w, m, s);
    } else {
        struct tl_act_task *task = TL_CONTAINER(m, struct tl_act_task, msg);
        tl_meter_activity_received(w, task->body, true);
        run_remote(w, task->body, task->slot, task->build, s);
        tl_mem_free(task);
    }
}

/* Nobody is free to take what waits: the pool is to be looked at. */
static void want_growth(struct tl_pool *p)
{
    if (!p->worker->stepped && atomic_load(&p->idle) == 0 &&
        !atomic_exchange(&p->grow_wanted, true)) {
        tl_worker_wake(p->worker);
    }
}

static size_t waiting(struct tl_pool *p)
{
    pthread_mutex_lock(&p->inbox.mutex);
    size_t n = p->inbox.count;
    pthread_mutex_unlock(&p->inbox.mutex);
    return n;
}

static void *thread_main(void *ud)
{
    struct tl_pool *p = ud;
    struct tl_act_state state = {0};
    for (;;) {
        uint64_t kicks = tl_inbox_kicks(&p->inbox);
        state_renew(&state);
        atomic_fetch_add(&p->idle, 1);
        struct tl_msg *m = tl_inbox_take_one_since(&p->inbox, INT64_MAX, kicks);
        atomic_fetch_sub(&p->idle, 1);
        if (m) {
            atomic_fetch_add(&p->taken, 1);
            /* What came while this thread was still idle found no reason to ask for another. */
            if (waiting(p) > 0) {
                want_growth(p);
            }
            take(p->worker, m, &state);
        } else if (tl_inbox_closed(&p->inbox)) {
            break;
        }
    }
    state_close(&state);
    return NULL;
}

static bool step(struct tl_pool *p)
{
    struct tl_act_state nested = {0}; /* a step within an activity must not close its state */
    if (p->depth >= STEP_DEPTH_MAX) {
        return false;
    }
    struct tl_msg *m = tl_inbox_take_one(&p->inbox, 0);
    if (m) {
        take(p->worker, m, p->depth++ ? &nested : &p->state);
        state_close(&nested);
        p->depth--;
    }
    return m != NULL;
}

bool tl_pools_step(struct tl_worker *w)
{
    bool any = false;
    POOL_EACH(p, w)
    {
        any = step(p) || any;
    }
    return any;
}

/* --- Size -------------------------------------------------------------------------------------- */

static bool spawn(struct tl_pool *p)
{
    int n = atomic_load(&p->thread_count);
    if (n >= p->thread_max || pthread_create(&p->threads[n], NULL, thread_main, p) != 0) {
        return false;
    }
    tl_actor_name_thread(p->threads[n], p->thread_name, n);
    atomic_store(&p->thread_count, n + 1);
    return true;
}

static void watch(struct tl_pool *p)
{
    p->taken_seen = atomic_load(&p->taken);
    tl_timer_set(&p->worker->control, &p->grow, LOOK_NS);
}

static void look_again(struct tl_timer *t)
{
    struct tl_pool *p = TL_CONTAINER(t, struct tl_pool, grow);
    size_t n = waiting(p);
    if (n && atomic_load(&p->taken) == p->taken_seen) {
        size_t most = (size_t)atomic_load(&p->thread_count);
        most = most ? most : 1;
        for (n = n < most ? n : most; n > 0 && spawn(p); n--) {
        }
    }
    atomic_store(&p->grow_wanted, false);
    if (waiting(p) && p->thread_count < p->thread_max && !atomic_exchange(&p->grow_wanted, true)) {
        watch(p);
    }
}

void tl_pools_look(struct tl_worker *w)
{
    POOL_EACH(p, w)
    {
        if (atomic_load(&p->grow_wanted) && !tl_heap_has(&p->grow.node)) {
            watch(p);
        }
    }
}

void tl_pool_post(struct tl_worker *w, enum tl_pool_kind kind, struct tl_msg *m)
{
    struct tl_pool *p = &w->pools[kind];
    bool sent = tl_inbox_send_always(&p->inbox, m);
    TL_ASSERT(sent); /* the inbox closes when no slot is in use */
    want_growth(p);
}

void tl_pools_kick(struct tl_worker *w)
{
    POOL_EACH(p, w)
    {
        tl_inbox_kick(&p->inbox);
    }
}

/* --- Life cycle -------------------------------------------------------------------------------- */

/* A supplier of the user's own may give any number; what finds no thread waits for one. */
static int64_t slots_of(const struct tl_slot_config *tuned, bool given, int64_t fixed)
{
    return !given ? fixed : tuned->supplier ? CUSTOM_THREADS_MAX : tuned->maximum;
}

static void init(struct tl_pool *p, struct tl_worker *w, int64_t slots, int64_t limit)
{
    p->worker = w;
    tl_inbox_init(&p->inbox, INBOX_MAX);
    p->grow.fire = look_again;
    p->thread_max = (int)(limit > 0 && limit < slots ? limit : slots);
    p->threads = TL_NEW_ARRAY(pthread_t, (size_t)p->thread_max);
}

void tl_pools_init(struct tl_worker *w)
{
    const struct tl_worker_options *o = &w->opt;
    const struct tl_tuner_options *t = &o->tuner;
    init(&w->pools[TL_POOL_ACTIVITY], w,
         slots_of(&t->activity, t->given, o->max_concurrent_activities) +
             slots_of(&t->local_activity, t->given, o->max_concurrent_local_activities),
         o->activity_threads);
    init(&w->pools[TL_POOL_NEXUS], w, slots_of(&t->nexus, t->given, o->max_concurrent_nexus_tasks),
         o->nexus_threads);
}

tl_rc tl_pools_start(struct tl_worker *w, struct tl_error *err)
{
    bool ok = (w->polls_max[TL_POLL_ACTIVITY] == 0 || spawn(&w->pools[TL_POOL_ACTIVITY])) &&
              (w->polls_max[TL_POLL_NEXUS] == 0 || spawn(&w->pools[TL_POOL_NEXUS]));
    return ok ? TL_OK
              : tl_error_set(err, TL_EUNAVAILABLE, "no thread for activities can be started");
}

void tl_pools_close(struct tl_worker *w)
{
    POOL_EACH(p, w)
    {
        tl_timer_clear(&w->control, &p->grow);
        tl_inbox_close(&p->inbox);
    }
}

void tl_pools_join(struct tl_worker *w)
{
    POOL_EACH(p, w)
    {
        for (int i = 0; i < p->thread_count; i++) {
            pthread_join(p->threads[i], NULL);
        }
    }
}

void tl_pools_deinit(struct tl_worker *w)
{
    POOL_EACH(p, w)
    {
        state_close(&p->state);
        tl_inbox_deinit(&p->inbox);
        tl_mem_free(p->threads);
    }
}
