/* Long polls as asynchronous calls: how many are out, on which queue, and when to pause.
 * A slot is taken before the poll leaves, so a task never comes without room for it; it is the only
 * back-pressure there is. Threads: any; state under worker->poll_mutex. */
#include "base/log.h"
#include "base/mem.h"
#include "worker/build.h"

#define POLL_TIMEOUT_NS (70 * TL_NS_PER_S)
#define QUICK_NS (20 * TL_NS_PER_MS) /* an empty answer sooner than this is not a long poll's */
#define QUICK_MAX 8
#define TAKEN_NS (5 * TL_NS_PER_S)       /* polls that were not refused by then have been taken */
#define REFUSED_NS (60 * TL_NS_PER_S)    /* so long they are made again when they are refused */
#define HELD_BACK_NS (50 * TL_NS_PER_MS) /* resources may allow another slot then */

/* --- Rate limit -------------------------------------------------------------------------------- */

/* One token per activity poll; an empty answer gives it back. Holds poll_mutex. */
static bool take_token(struct tl_worker *w, struct tl_poller *p)
{
    double rate = w->opt.max_activities_per_second;
    if (p->kind != TL_POLL_ACTIVITY || rate <= 0) {
        return true;
    }
    int64_t now = tl_worker_now(w);
    w->tokens += (double)(now - w->tokens_ns) * rate / (double)TL_NS_PER_S;
    w->tokens = w->tokens > (rate > 1 ? rate : 1) ? (rate > 1 ? rate : 1) : w->tokens;
    w->tokens_ns = now;
    if (w->tokens >= 1) {
        w->tokens -= 1;
        return true;
    }
    p->paused = true;
    p->resume_ns = now + (int64_t)((1 - w->tokens) * (double)TL_NS_PER_S / rate) + 1;
    return false;
}

/* --- Issuing ----------------------------------------------------------------------------------- */

static bool full(const struct tl_poller *p)
{
    return atomic_load_explicit(&p->outstanding, memory_order_relaxed) >=
           atomic_load(&p->scale.target);
}

/* Which slots its tasks take. */
static struct tl_slots *slots_of(const struct tl_poller *p)
{
    struct tl_worker *w = p->worker;
    return p->kind == TL_POLL_ACTIVITY ? &w->act_slots
           : p->kind == TL_POLL_NEXUS  ? &w->nexus_slots
                                       : &w->wf_slots;
}

static bool may_poll(const struct tl_poller *p)
{
    bool waits = p->set->current && tl_slots_asked(slots_of(p), p->kind == TL_POLL_STICKY);
    return !p->paused && !full(p) && !waits;
}

/* The queue that nobody listens to goes first, so that the last slots never leave one of them deaf. */
static struct tl_poller *choose_workflow(struct tl_poll_set *set)
{
    struct tl_poller *normal = &set->pollers[TL_POLL_NORMAL];
    struct tl_poller *sticky = &set->pollers[TL_POLL_STICKY];
    if (may_poll(normal) && atomic_load(&normal->outstanding) == 0) {
        return normal;
    }
    if (may_poll(sticky)) {
        return sticky;
    }
    return may_poll(normal) ? normal : NULL;
}

static struct tl_poller *choose(struct tl_poll_set *set, enum tl_poll_kind kind)
{
    struct tl_poller *p = &set->pollers[kind];
    return kind == TL_POLL_NORMAL ? choose_workflow(set) : may_poll(p) ? p : NULL;
}

static void poll_done(void *ud, struct tl_rpc_result *res);
static void handle_rest(struct tl_reply_to *to, struct tl_rpc_result *res);

static void issue(struct tl_poll *poll)
{
    struct tl_poller *p = poll->poller;
    struct tl_worker *w = p->worker;
    struct tl_str request_bytes = poll->request; /* the poll may be gone when the call returns */
    struct tl_rpc_call *call = tl_channel_call(w->channel, p->method, request_bytes,
                                               POLL_TIMEOUT_NS, poll_done, &poll->to);
    tl_mem_free((char *)(uintptr_t)request_bytes.p);
    pthread_mutex_lock(&w->poll_mutex);
    bool finished = poll->finished;
    poll->call = call;
    if (!finished && w->polls_cancel) {
        tl_rpc_cancel(call);
    }
    pthread_mutex_unlock(&w->poll_mutex);
    if (finished) {
        tl_rpc_call_release(call);
        tl_mem_free(poll);
    }
}

/* Whether a poll may leave now: there is a slot, where it needs one, and the rate allows it. Holds
 * poll_mutex. *look: control has to time a pause. */
static bool take_place(struct tl_poller *p, struct tl_slot **slot, bool *look)
{
    struct tl_slots *slots = slots_of(p);
    bool needs_slot = p->set->current;
    *slot = needs_slot ? tl_slots_take(slots, p->kind == TL_POLL_STICKY) : NULL;
    if (needs_slot && !*slot) {
        if (tl_slots_held_back(slots)) {
            p->paused = true;
            p->resume_ns = tl_worker_now(p->worker) + HELD_BACK_NS;
            *look = true;
        }
        return false;
    }
    if (take_token(p->worker, p)) {
        return true;
    }
    *look = true;
    tl_slot_give(*slot);
    return false;
}

static struct tl_poll *new_poll(struct tl_poller *p, struct tl_slot *slot)
{
    struct tl_poll *poll = TL_NEW(struct tl_poll);
    poll->to.on_result = handle_rest;
    poll->poller = p;
    poll->build = p->set->build ? tl_build_retain(p->set->build) : NULL;
    poll->slot = slot;
    poll->scaled = p->scale.on;
    poll->request = tl_str_n(tl_mem_dup(p->request), p->request.n);
    poll->started_ns = tl_worker_now(p->worker);
    tl_list_push(&p->polls, &poll->node);
    atomic_fetch_add(&p->outstanding, 1);
    return poll;
}

/* One poll that is missing, of the first set that may send one; false when none may go out.
 * TL_POLL_NORMAL stands for both kinds of workflow task polls. */
static bool fill_one(struct tl_worker *w, enum tl_poll_kind kind)
{
    struct tl_poll *poll = NULL;
    struct tl_slot *slot;
    bool look = false;
    pthread_mutex_lock(&w->poll_mutex);
    TL_LIST_EACH (n, &w->poll_sets) {
        struct tl_poll_set *set = TL_CONTAINER(n, struct tl_poll_set, node);
        struct tl_poller *p = NULL;
        if (w->polls_open && !set->closed && !poll) {
            p = choose(set, kind);
        }
        poll = p && take_place(p, &slot, &look) ? new_poll(p, slot) : poll;
    }
    pthread_mutex_unlock(&w->poll_mutex);
    if (look) {
        tl_worker_wake(w);
    }
    if (poll) {
        issue(poll);
    }
    return poll != NULL;
}

void tl_pollers_fill_workflow(struct tl_worker *w)
{
    struct tl_poll_set *only = w->poll_set;
    while (
        !(only && full(&only->pollers[TL_POLL_NORMAL]) && full(&only->pollers[TL_POLL_STICKY])) &&
        fill_one(w, TL_POLL_NORMAL)) {
    }
}

static void fill_kind(struct tl_worker *w, enum tl_poll_kind kind)
{
    struct tl_poll_set *only = w->poll_set;
    while (!(only && full(&only->pollers[kind])) && fill_one(w, kind)) {
    }
}

void tl_pollers_fill_activity(struct tl_worker *w)
{
    fill_kind(w, TL_POLL_ACTIVITY);
}

void tl_pollers_fill_nexus(struct tl_worker *w)
{
    fill_kind(w, TL_POLL_NEXUS);
}

void tl_pollers_fill(struct tl_worker *w)
{
    tl_pollers_fill_workflow(w);
    tl_pollers_fill_activity(w);
    tl_pollers_fill_nexus(w);
}

static void fill_same(struct tl_poller *p)
{
    if (p->kind == TL_POLL_ACTIVITY || p->kind == TL_POLL_NEXUS) {
        fill_kind(p->worker, p->kind);
    } else {
        tl_pollers_fill_workflow(p->worker);
    }
}

/* --- Results ----------------------------------------------------------------------------------- */

/* What the server says about the number of polls: a message in a field of the response. */
static struct tl_str scaling_decision(enum tl_poll_kind kind, struct tl_str body)
{
    static const uint32_t numbers[TL_POLL_KINDS] = {
        [TL_POLL_NORMAL] = 16, [TL_POLL_STICKY] = 16, [TL_POLL_ACTIVITY] = 18, [TL_POLL_NEXUS] = 3};
    struct tl_wire_field f;
    while (tl_wire_next(&body, &f)) {
        if (f.number == numbers[kind] && f.type == 2) {
            return f.bytes.p ? f.bytes : TL_STR_LIT("");
        }
    }
    return (struct tl_str){0};
}

/* On the transport's thread: finds the receiver. The task token is the mark of a task; the run id
 * (fields 2 and 2.2 of the response) decides the actor before anything is decoded. */
static void poll_done(void *ud, struct tl_rpc_result *res)
{
    struct tl_poll *poll = TL_CONTAINER(ud, struct tl_poll, to);
    struct tl_worker *w = poll->poller->worker;
    bool task = res->status == 0 && tl_wire_find(res->body, 1).n > 0;
    enum tl_poll_kind kind = poll->poller->kind;
    tl_worker_enter(w);
    /* Kept for tl_poll_finished: a cancelled poll comes here with poll_mutex held. */
    poll->status = res->status;
    poll->decision =
        poll->scaled && res->status == 0 ? scaling_decision(kind, res->body) : (struct tl_str){0};
    res->msg.kind = task ? TL_WM_POLL : TL_WM_RESULT;
    if (!task) {
        tl_actor_post_result(&w->control, res);
    } else if (kind == TL_POLL_ACTIVITY || kind == TL_POLL_NEXUS) {
        tl_pool_post(w, kind == TL_POLL_NEXUS ? TL_POOL_NEXUS : TL_POOL_ACTIVITY, &res->msg);
    } else {
        struct tl_str run_id = tl_wire_find(tl_wire_find(res->body, 2), 2);
        tl_actor_post_result(&tl_wf_route(w, run_id)->actor, res);
    }
    tl_worker_exit(w);
}

struct tl_build *tl_poll_finished(struct tl_poll *poll, struct tl_slot **slot)
{
    struct tl_poller *p = poll->poller;
    struct tl_worker *w = p->worker;
    struct tl_build *build = poll->build;
    int status = poll->status;
    bool task = slot != NULL;
    pthread_mutex_lock(&w->poll_mutex);
    tl_list_remove(&poll->node);
    atomic_fetch_sub(&p->outstanding, 1);
    tl_poll_scale_result(&p->scale, poll->status, task, poll->decision, tl_worker_now(w));
    if (status == 0 || status == STATUS_DEADLINE_EXCEEDED) {
        p->refused_ns = 0;
    }
    struct tl_slot *unused = task ? NULL : poll->slot;
    if (task) {
        *slot = poll->slot ? poll->slot : tl_slots_force(slots_of(p));
        p->retry.attempt = 0;
        p->quick_count = 0;
    }
    struct tl_rpc_call *call = poll->call;
    poll->finished = true;
    pthread_mutex_unlock(&w->poll_mutex);
    tl_slot_give(unused);
    if (call) {
        tl_rpc_call_release(call);
        tl_mem_free(poll);
    }
    if (task) {
        tl_worker_found(w);
    }
    if (status == 0) {
        tl_meter_poll(w, (int)p->kind, task);
    }
    return build;
}

static void pause_for(struct tl_poller *p, int64_t delay_ns)
{
    pthread_mutex_lock(&p->worker->poll_mutex);
    p->paused = true;
    p->resume_ns = 0;
    pthread_mutex_unlock(&p->worker->poll_mutex);
    tl_timer_set(&p->worker->control, &p->timer, delay_ns);
}

void tl_poller_pause_over(struct tl_timer *t)
{
    struct tl_poller *p = TL_CONTAINER(t, struct tl_poller, timer);
    if (p->worker->away) {
        tl_control_probe(p->worker); /* one call instead of all the polls */
        return;
    }
    pthread_mutex_lock(&p->worker->poll_mutex);
    p->paused = false;
    p->resume_ns = 0;
    pthread_mutex_unlock(&p->worker->poll_mutex);
    fill_same(p);
}

/* Calls fn for the pollers of all sets; sets do not go while control runs, which alone closes them. */
static void each_poller(struct tl_worker *w, void (*fn)(struct tl_poller *p))
{
    TL_LIST_EACH (n, &w->poll_sets) {
        struct tl_poll_set *set = TL_CONTAINER(n, struct tl_poll_set, node);
        for (int k = 0; k < TL_POLL_KINDS; k++) {
            fn(&set->pollers[k]);
        }
    }
}

static void resume(struct tl_poller *p)
{
    tl_timer_clear(&p->worker->control, &p->timer);
    p->paused = false;
    p->resume_ns = 0;
    p->retry.attempt = 0;
}

void tl_pollers_resume(struct tl_worker *w)
{
    pthread_mutex_lock(&w->poll_mutex);
    each_poller(w, resume);
    pthread_mutex_unlock(&w->poll_mutex);
    tl_pollers_fill(w);
}

/* A timer belongs to control's heap, which nobody else touches. */
static void arm(struct tl_poller *p)
{
    if (p->resume_ns) {
        tl_timer_set(&p->worker->control, &p->timer, p->resume_ns - tl_worker_now(p->worker));
        p->resume_ns = 0;
    }
}

void tl_pollers_look(struct tl_worker *w)
{
    pthread_mutex_lock(&w->poll_mutex);
    each_poller(w, arm);
    pthread_mutex_unlock(&w->poll_mutex);
}

/* An empty answer at the end of its time is the normal end of a poll. A server that answers empty at
 * once again and again would make us spin: it gets the pauses of a failing one. */
static void handle_empty(struct tl_poller *p, int64_t lasted_ns)
{
    pthread_mutex_lock(&p->worker->poll_mutex);
    p->quick_count = lasted_ns < QUICK_NS ? p->quick_count + 1 : 0;
    bool spin = p->quick_count > QUICK_MAX;
    if (!spin) {
        p->retry.attempt = 0;
    }
    if (p->kind == TL_POLL_ACTIVITY) {
        p->worker->tokens += 1;
    }
    bool paused = p->paused;
    pthread_mutex_unlock(&p->worker->poll_mutex);
    tl_worker_found(p->worker);
    if (spin && !paused) {
        pause_for(p, tl_retry_next_ns(&p->retry, 0, p->worker->world));
    }
}

/* Whether a refusal that no retry should help is one for good. Where keys and rights are renewed, and behind
 * proxies, that is refused for a while which was taken before; who is refused right after the start has been set
 * up wrongly, and wants to hear of it now. */
static bool refused_for_good(struct tl_poller *p)
{
    struct tl_worker *w = p->worker;
    int64_t now = tl_worker_now(w);
    pthread_mutex_lock(&w->poll_mutex);
    if (!p->refused_ns) {
        p->refused_ns = now;
    }
    bool good = p->refused_ns - w->polls_opened_ns < TAKEN_NS || now - p->refused_ns >= REFUSED_NS;
    pthread_mutex_unlock(&w->poll_mutex);
    return good;
}

static void handle_failed(struct tl_poller *p, const struct tl_rpc_result *res)
{
    struct tl_worker *w = p->worker;
    const char *method = tl_method_info(res->method)->name;
    if (!tl_retry_allowed(res) && (res->final || refused_for_good(p))) {
        char *text = tl_mem_dup(res->message);
        tl_worker_fatal(w, tl_rc_from_grpc_status(res->status), method, text);
        tl_mem_free(text);
        return;
    }
    w->away = w->away || res->status == STATUS_UNAVAILABLE;
    tl_worker_lost(w, method, res->status, res->message);
    pthread_mutex_lock(&w->poll_mutex);
    bool paused = p->paused && p->resume_ns == 0;
    pthread_mutex_unlock(&w->poll_mutex);
    if (!paused) { /* polls that fail together count once */
        pause_for(p, tl_worker_retry_ns(w, &p->retry, res->status));
    }
}

/* On control: empty and failed polls. */
static void handle_rest(struct tl_reply_to *to, struct tl_rpc_result *res)
{
    struct tl_poll *poll = TL_CONTAINER(to, struct tl_poll, to);
    struct tl_poller *p = poll->poller;
    struct tl_worker *w = p->worker;
    int64_t lasted = tl_worker_now(w) - poll->started_ns;
    struct tl_build *build = tl_poll_finished(poll, NULL);
    if (!tl_worker_stopping(w)) {
        bool closed = p->set->closed; /* control closes */
        if (closed) {
            tl_worker_found(w);
        } else if (res->status == 0 || res->status == STATUS_DEADLINE_EXCEEDED) {
            handle_empty(p, lasted);
        } else {
            handle_failed(p, res);
        }
        fill_same(p);
    }
    tl_build_release(build);
    tl_worker_tick(w);
    tl_rpc_result_free(res);
}

/* --- Stopping ---------------------------------------------------------------------------------- */

static void cancel_polls(struct tl_poller *p)
{
    TL_LIST_EACH (n, &p->polls) {
        struct tl_poll *poll = TL_CONTAINER(n, struct tl_poll, node);
        if (poll->call) {
            tl_rpc_cancel(poll->call);
        }
    }
}

static void clear_timer(struct tl_poller *p)
{
    tl_timer_clear(&p->worker->control, &p->timer);
}

void tl_pollers_stop(struct tl_worker *w, bool cancel)
{
    pthread_mutex_lock(&w->poll_mutex);
    w->polls_open = false;
    if (cancel && !w->polls_cancel) {
        each_poller(w, cancel_polls);
    }
    w->polls_cancel = w->polls_cancel || cancel;
    each_poller(w, clear_timer);
    pthread_mutex_unlock(&w->poll_mutex);
}

int tl_pollers_outstanding(struct tl_worker *w)
{
    int n = 0;
    pthread_mutex_lock(&w->poll_mutex);
    TL_LIST_EACH (node, &w->poll_sets) {
        struct tl_poll_set *set = TL_CONTAINER(node, struct tl_poll_set, node);
        for (int k = 0; k < TL_POLL_KINDS; k++) {
            n += atomic_load(&set->pollers[k].outstanding);
        }
    }
    pthread_mutex_unlock(&w->poll_mutex);
    return n;
}
