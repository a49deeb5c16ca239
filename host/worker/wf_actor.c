/* A workflow actor: its inbox, the table of runs, the cache. See wf_int.h. */
#include <sys/resource.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/mem.h"
#include "worker/local.h"

#define TASK_BYTES_MAX ((size_t)2 << 30)
#define ARENA_FIRST_BYTES ((size_t)16 * 1024)
#define ARENAS_SPARE 64
#define RUN_OVERHEAD_BYTES ((int64_t)512)
#define QUARANTINE_NICE 5

/* --- Arenas ------------------------------------------------------------------------------------ */

struct tl_task_arena *tl_wf_arena_get(struct tl_wf_actor *a)
{
    struct tl_list *n = tl_list_pop(&a->arenas);
    if (n) {
        a->arena_count--;
        return TL_CONTAINER(n, struct tl_task_arena, node);
    }
    struct tl_task_arena *m = TL_NEW(struct tl_task_arena);
    tl_arena_init(&m->arena, TASK_BYTES_MAX);
    (void)tl_arena_alloc(&m->arena, ARENA_FIRST_BYTES); /* the chunk that a reset keeps */
    tl_arena_reset(&m->arena);
    tl_list_init(&m->node);
    return m;
}

void tl_wf_arena_put(struct tl_wf_actor *a, struct tl_task_arena *m)
{
    if (a->arena_count < ARENAS_SPARE) {
        tl_arena_reset(&m->arena);
        tl_list_push_front(&a->arenas, &m->node);
        a->arena_count++;
    } else {
        tl_arena_deinit(&m->arena);
        tl_mem_free(m);
    }
}

/* --- Cache ------------------------------------------------------------------------------------- */

static void count_cached(struct tl_wf_run *r, int64_t runs, int64_t bytes)
{
    struct tl_wf_actor *a = r->owner;
    a->cached_count += runs;
    a->cached_bytes += bytes;
    r->bytes += bytes;
    atomic_fetch_add(&a->actor.worker->cached_runs, runs);
    atomic_fetch_add(&a->actor.worker->cached_bytes, bytes);
}

void tl_wf_drop_state(struct tl_wf_run *r)
{
    if (r->core) {
        tl_list_remove(&r->idle);
        count_cached(r, -1, -r->bytes);
        tl_locals_drop(r);
        tl_run_free(r->core);
        r->lang.free(r->lang.run);
        if (!r->ended && !tl_worker_stopping(r->owner->actor.worker)) {
            tl_meter_evicted(r->owner->actor.worker);
        }
        r->core = NULL;
        r->lang = (struct tl_run_lang){0};
    }
    if (r->build && r->stays && !r->build->set) {
        tl_build_park(r->build, r->run_id);
    }
    tl_build_release(r->build);
    r->build = NULL;
    r->stays = false;
}

static void free_entry(struct tl_wf_run *r)
{
    TL_ASSERT(!r->task && !r->core && tl_list_empty(&r->waiting));
    tl_map_del(&r->owner->runs, r->run_id);
    tl_mem_free((char *)(uintptr_t)r->run_id.p);
    tl_mem_free(r);
}

static void evict_one(struct tl_wf_actor *a)
{
    struct tl_wf_run *r = TL_CONTAINER(tl_list_first(&a->idle), struct tl_wf_run, idle);
    tl_wf_drop_state(r);
    free_entry(r);
    TL_COUNT(a->actor.worker, evictions);
}

static void evict(struct tl_wf_actor *a)
{
    while ((a->cached_count > a->count_max || a->cached_bytes > a->bytes_max) &&
           !tl_list_empty(&a->idle)) {
        evict_one(a);
    }
}

void tl_wf_account(struct tl_wf_run *r)
{
    if (r->core) {
        int64_t now = RUN_OVERHEAD_BYTES + (int64_t)tl_run_bytes(r->core) +
                      (int64_t)r->lang.bytes(r->lang.run);
        count_cached(r, r->bytes ? 0 : 1, now - r->bytes);
    }
}

void tl_wf_run_free_for_next(struct tl_wf_run *r)
{
    struct tl_wf_actor *a = r->owner;
    TL_ASSERT(!r->task);
    struct tl_list *n = tl_list_pop(&r->waiting);
    if (n) {
        tl_wf_task_begin(TL_CONTAINER(n, struct tl_wf_task, node));
        return;
    }
    if (r->core) {
        tl_list_remove(&r->idle);
        tl_list_push(&a->idle, &r->idle);
    } else {
        free_entry(r);
    }
    evict(a);
}

void tl_wf_task_free(struct tl_wf_task *t, bool keep_slot)
{
    struct tl_worker *w = t->owner->actor.worker;
    bool eager = t->eager > 0, quarantined = t->owner->quarantine;
    tl_timer_clear(&t->owner->actor, &t->timer);
    while (t->eager > 0) {
        tl_slot_give(t->eager_slots[--t->eager]);
    }
    struct tl_slot *slot = t->slot;
    tl_build_release(t->from);
    tl_wf_arena_put(t->owner, t->memory);
    tl_mem_free(t);
    if (!keep_slot && quarantined) {
        atomic_fetch_sub(&w->quarantined_tasks, 1);
        tl_worker_tick(w);
    } else if (!keep_slot) {
        tl_slot_give(slot);
        tl_pollers_fill_workflow(w);
        tl_worker_tick(w);
    }
    if (eager) {
        tl_pollers_fill_activity(w);
    }
}

/* --- Routing ----------------------------------------------------------------------------------- */

static uint64_t hash(struct tl_str s)
{
    uint64_t h = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < s.n; i++) {
        h = (h ^ (uint8_t)s.p[i]) * UINT64_C(1099511628211);
    }
    return h ^ (h >> 29);
}

struct tl_wf_actor *tl_wf_route(struct tl_worker *w, struct tl_str run_id)
{
    return &w->wf[hash(run_id) % (uint64_t)w->wf_count];
}

bool tl_wf_in_quarantine(struct tl_worker *w, struct tl_str run_id)
{
    if (!atomic_load(&w->quarantined_count)) {
        return false;
    }
    pthread_mutex_lock(&w->quarantine_mutex);
    bool in = tl_map_get(&w->quarantined, run_id) != NULL;
    pthread_mutex_unlock(&w->quarantine_mutex);
    return in;
}

static void forget(struct tl_worker *w, struct tl_str run_id)
{
    tl_map_del(&w->quarantined, run_id);
    atomic_store(&w->quarantined_count, (int)w->quarantined.count);
}

void tl_wf_leave_quarantine(struct tl_worker *w, struct tl_str run_id)
{
    pthread_mutex_lock(&w->quarantine_mutex);
    forget(w, run_id);
    pthread_mutex_unlock(&w->quarantine_mutex);
}

bool tl_wf_quarantine(struct tl_worker *w, struct tl_str run_id)
{
    struct tl_wf_actor *q = tl_wf_route(w, run_id) + w->wf_count;
    pthread_mutex_lock(&w->quarantine_mutex);
    if (!w->stepped && !q->actor.has_thread) {
        q->actor.has_thread = pthread_create(&q->actor.thread, NULL, tl_wf_thread, q) == 0;
        if (q->actor.has_thread) {
            tl_actor_name_thread(q->actor.thread, w->workflow_thread_name, (int)(q - w->wf));
        }
    }
    bool served = w->stepped || q->actor.has_thread;
    if (served && !tl_map_get(&w->quarantined, run_id)) {
        TL_COUNT(w, quarantined_runs);
        if (w->quarantined.count >= TL_QUARANTINE_RUNS_MAX) {
            struct tl_str oldest = tl_map_key(tl_map_first(&w->quarantined));
            char *key = tl_mem_dup(oldest); /* the view dies with the entry */
            forget(w, tl_str_n(key, oldest.n));
            tl_mem_free(key);
        }
        tl_map_put(&w->quarantined, run_id, w);
        atomic_store(&w->quarantined_count, (int)w->quarantined.count);
    }
    pthread_mutex_unlock(&w->quarantine_mutex);
    return served;
}

/* --- Messages ---------------------------------------------------------------------------------- */

/* What a poll that brought a task leaves. */
struct polled {
    struct tl_slot *slot;
    struct tl_build *build; /* a use; NULL: unversioned */
};

/* Polls whose tasks are in the batch go out again before any of the tasks is looked at: with
 * everything on few cores the next task then arrives while this one runs. Leaves slot and version of
 * each in its ud. */
static void poll_again(struct tl_wf_actor *a, struct tl_msg *batch)
{
    bool any = false;
    for (struct tl_msg *m = batch; m; m = m->next) {
        if (m->kind == TL_WM_POLL) {
            struct tl_rpc_result *res = TL_CONTAINER(m, struct tl_rpc_result, msg);
            struct polled *p = TL_NEW(struct polled);
            p->build = tl_poll_finished(TL_CONTAINER(res->ud, struct tl_poll, to), &p->slot);
            res->ud = p;
            any = true;
        }
    }
    if (any) {
        tl_pollers_fill_workflow(a->actor.worker);
    }
}

static struct tl_wf_run *next_held(struct tl_wf_actor *a)
{
    TL_MAP_EACH (e, &a->runs) {
        struct tl_wf_run *r = e->value;
        if (r->task && r->task->held) {
            return r;
        }
    }
    return NULL;
}

/* The grace of a shutdown is over: who waits for local activities waits no longer. */
static void abandon_held(struct tl_wf_actor *a)
{
    for (struct tl_wf_run *r = next_held(a); r; r = next_held(a)) {
        tl_wf_task_abandon(r->task);
    }
}

static void dispatch(struct tl_wf_actor *a, struct tl_msg *m)
{
    if (m->kind == TL_WM_LOCAL_DONE) {
        tl_local_done(m);
        return;
    }
    if (m->kind == TL_WM_MOVED) {
        tl_wf_task_moved(TL_CONTAINER(m, struct tl_wf_task, msg));
        return;
    }
    if (m->kind == TL_WM_STARTED) {
        tl_wf_place_taken(a, TL_CONTAINER(m, struct tl_wf_place, msg));
        return;
    }
    if (m->kind == TL_WM_STOP_LOCALS) {
        a->stop_locals = true;
        abandon_held(a);
        return;
    }
    struct tl_rpc_result *res = TL_CONTAINER(m, struct tl_rpc_result, msg);
    if (m->kind == TL_WM_POLL) {
        struct polled *p = res->ud;
        tl_wf_task_take(a, res->body, p->slot, p->build);
        tl_mem_free(p);
        tl_rpc_result_free(res);
    } else {
        struct tl_reply_to *to = res->ud;
        to->on_result(to, res);
    }
}

bool tl_wf_step(struct tl_wf_actor *a, int64_t deadline_mono_ns)
{
    if (a->actor.busy) {
        return false;
    }
    a->actor.busy = true;
    struct tl_msg *m = tl_inbox_take_all(&a->actor.inbox, deadline_mono_ns);
    bool any = m != NULL;
    poll_again(a, m);
    while (m) {
        struct tl_msg *next = m->next;
        dispatch(a, m);
        m = next;
    }
    any = tl_actor_fire(&a->actor) || any;
    a->actor.busy = false;
    return any;
}

void *tl_wf_thread(void *ud)
{
    struct tl_wf_actor *a = ud;
    if (a->quarantine) { /* of this thread alone, on Linux; elsewhere it would be of all */
#ifdef __linux__
        (void)setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + QUARANTINE_NICE);
#endif
    }
    while (!tl_inbox_closed(&a->actor.inbox)) {
        tl_wf_step(a, tl_actor_deadline(&a->actor));
    }
    struct tl_build *b = tl_build_current(a->actor.worker);
    if (b->lang && b->lang->thread_end) {
        b->lang->thread_end(b->lang->ud);
    }
    tl_build_release(b);
    return NULL;
}

/* --- Life cycle -------------------------------------------------------------------------------- */

/* The cache is shared out; what is in quarantine adds an eighth. */
static int64_t share(const struct tl_worker *w, int64_t all, bool quarantine)
{
    int64_t each = all / w->wf_count;
    return quarantine && each > 0 ? each / 8 + 1 : each;
}

void tl_wf_init(struct tl_wf_actor *a, struct tl_worker *w, bool quarantine)
{
    *a = (struct tl_wf_actor){
        .quarantine = quarantine,
        .count_max = share(w, w->opt.max_cached_workflows, quarantine),
        .bytes_max = share(w, w->opt.max_cached_bytes, quarantine),
    };
    tl_actor_init(&a->actor, w);
    tl_map_init(&a->runs);
    tl_list_init(&a->idle);
    tl_list_init(&a->arenas);
}

void tl_wf_deinit(struct tl_wf_actor *a)
{
    while (!tl_list_empty(&a->idle)) {
        struct tl_wf_run *r = TL_CONTAINER(tl_list_first(&a->idle), struct tl_wf_run, idle);
        tl_wf_drop_state(r);
        free_entry(r);
    }
    /* What came when nobody looked any more: ends of local activities that nobody waits for. */
    for (struct tl_msg *m = tl_inbox_take_all(&a->actor.inbox, 0), *next; m; m = next) {
        next = m->next;
        if (m->kind == TL_WM_LOCAL_DONE) {
            tl_local_done(m);
        }
    }
    TL_ASSERT(a->runs.count == 0);
    for (struct tl_list *n; (n = tl_list_pop(&a->arenas)) != NULL;) {
        struct tl_task_arena *m = TL_CONTAINER(n, struct tl_task_arena, node);
        tl_arena_deinit(&m->arena);
        tl_mem_free(m);
    }
    tl_map_deinit(&a->runs);
    tl_actor_deinit(&a->actor);
}
