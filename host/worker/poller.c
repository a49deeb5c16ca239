/* Long polls as asynchronous calls: how many are out, on which queue, and when to pause.
 * A slot is taken before the poll leaves, so a task never comes without room for it; it is the only
 * back-pressure there is. Threads: any; state under worker->poll_mutex. */
#include "base/log.h"
#include "base/mem.h"
#include "proto/pb.h"
#include "temporal/api/taskqueue/v1/message.pb-c.h"
#include "tl_enums.h"
#include "worker/build.h"

#define POLL_TIMEOUT_NS (70 * TL_NS_PER_S)
#define QUICK_NS (20 * TL_NS_PER_MS) /* an empty answer sooner than this is not a long poll's */
#define QUICK_MAX 8
#define HELD_BACK_NS (50 * TL_NS_PER_MS) /* resources may allow another slot then */
#define REQUEST_BYTES_MAX ((size_t)1 << 20)

/* --- Requests ---------------------------------------------------------------------------------- */

static tl_rc keep_request(struct tl_poller *p, const void *msg, struct tl_error *err)
{
    struct tl_buf b;
    tl_buf_init(&b, REQUEST_BYTES_MAX);
    tl_rc rc = tl_pb_encode(msg, &b, err);
    if (rc == TL_OK) {
        p->request.p = tl_buf_take(&b, &p->request.n);
    }
    tl_buf_deinit(&b);
    return rc;
}

static tl_rc workflow_request(struct tl_build *b, struct tl_poller *p, struct tl_error *err)
{
    struct tl_worker *w = b->worker;
    TpWs__PollWorkflowTaskQueueRequest req = TP_WS__POLL_WORKFLOW_TASK_QUEUE_REQUEST__INIT;
    TpCommon__WorkerVersionCapabilities caps;
    TpTq__TaskQueue queue = TP_TQ__TASK_QUEUE__INIT;
    bool sticky = p->kind == TL_POLL_STICKY;
    queue.name = sticky ? w->sticky_queue : w->task_queue;
    queue.kind = (TpEnums__TaskQueueKind)(sticky ? TASK_QUEUE_KIND_STICKY : TASK_QUEUE_KIND_NORMAL);
    if (sticky) {
        queue.normal_name = w->task_queue;
    }
    req.namespace_ = w->namespace_name;
    req.task_queue = &queue;
    req.identity = w->identity;
    req.worker_instance_key = w->instance_key;
    tl_version_poll_workflow(b, &req, &caps);
    p->method = TL_M_PollWorkflowTaskQueue;
    return keep_request(p, &req, err);
}

static tl_rc activity_request(struct tl_build *b, struct tl_poller *p, struct tl_error *err)
{
    struct tl_worker *w = b->worker;
    TpWs__PollActivityTaskQueueRequest req = TP_WS__POLL_ACTIVITY_TASK_QUEUE_REQUEST__INIT;
    TpCommon__WorkerVersionCapabilities caps;
    TpTq__TaskQueue queue = TP_TQ__TASK_QUEUE__INIT;
    TpTq__TaskQueueMetadata metadata = TP_TQ__TASK_QUEUE_METADATA__INIT;
    Google__Protobuf__DoubleValue rate = GOOGLE__PROTOBUF__DOUBLE_VALUE__INIT;
    queue.name = w->task_queue;
    queue.kind = (TpEnums__TaskQueueKind)TASK_QUEUE_KIND_NORMAL;
    req.namespace_ = w->namespace_name;
    req.task_queue = &queue;
    req.identity = w->identity;
    req.worker_instance_key = w->instance_key;
    if (w->opt.max_task_queue_activities_per_second > 0) {
        rate.value = w->opt.max_task_queue_activities_per_second;
        metadata.max_tasks_per_second = &rate;
        req.task_queue_metadata = &metadata;
    }
    tl_version_poll_activity(b, &req, &caps);
    p->method = TL_M_PollActivityTaskQueue;
    return keep_request(p, &req, err);
}

/* The common queue gets its share, at least one; the sticky queue the rest, at least one. */
static void split(const struct tl_worker *w, const struct tl_build *build,
                  struct tl_poller_behavior out[TL_POLL_KINDS])
{
    static const struct tl_poller_behavior none = {0};
    struct tl_poller_behavior b = tl_worker_workflow_polls(&w->opt);
    int polls = (int)b.maximum;
    bool sticky = build->lang && w->opt.max_cached_workflows > 0;
    out[TL_POLL_NORMAL] = build->lang ? b : none;
    out[TL_POLL_STICKY] = sticky ? b : none;
    if (sticky && !b.autoscaling) {
        int normal = (int)(polls * w->opt.nonsticky_to_sticky_poll_ratio);
        normal = normal < 1 ? 1 : normal > polls - 1 ? polls - 1 : normal;
        out[TL_POLL_NORMAL].maximum = normal;
        out[TL_POLL_STICKY].maximum = polls - normal;
    }
    bool activities =
        build->registry && tl_registry_count(build->registry) && !w->opt.no_remote_activities;
    out[TL_POLL_ACTIVITY] = activities ? tl_worker_activity_polls(&w->opt) : none;
}

static tl_rc request(struct tl_build *b, struct tl_poller *p, struct tl_error *err)
{
    return p->kind == TL_POLL_ACTIVITY ? activity_request(b, p, err) : workflow_request(b, p, err);
}

static void pause_over(struct tl_timer *t);

tl_rc tl_pollers_init(struct tl_worker *w, struct tl_error *err)
{
    struct tl_poller_behavior b[TL_POLL_KINDS];
    tl_rc rc = TL_OK;
    struct tl_build *build = tl_build_current(w);
    split(w, build, b);
    for (int k = 0; k < TL_POLL_KINDS; k++) {
        struct tl_poller *p = &w->pollers[k];
        *p =
            (struct tl_poller){.kind = (enum tl_poll_kind)k, .max = (int)b[k].maximum, .worker = w};
        tl_poll_scale_init(&p->scale, &b[k], tl_worker_now(w));
        tl_list_init(&p->polls);
        p->timer.fire = pause_over;
        p->retry.max_ns = 10 * TL_NS_PER_S;
    }
    for (int k = 0; k < TL_POLL_KINDS && rc == TL_OK; k++) {
        rc = request(build, &w->pollers[k], err);
    }
    tl_build_release(build);
    w->tokens = 1;
    return rc;
}

void tl_pollers_deinit(struct tl_worker *w)
{
    for (int k = 0; k < TL_POLL_KINDS; k++) {
        tl_mem_free((char *)(uintptr_t)w->pollers[k].request.p);
    }
}

tl_rc tl_pollers_describe(struct tl_worker *w, struct tl_error *err)
{
    struct tl_build *b = tl_build_current(w);
    tl_rc rc = TL_OK;
    pthread_mutex_lock(&w->poll_mutex);
    for (int k = 0; k < TL_POLL_KINDS && rc == TL_OK; k++) {
        struct tl_str old = w->pollers[k].request;
        rc = request(b, &w->pollers[k], err);
        if (rc == TL_OK) {
            tl_mem_free((char *)(uintptr_t)old.p);
        }
    }
    pthread_mutex_unlock(&w->poll_mutex);
    tl_build_release(b);
    return rc;
}

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

static bool may_poll(const struct tl_poller *p)
{
    return !p->paused && !full(p);
}

/* The queue that nobody listens to goes first, so that the last slots never leave one of them deaf. */
static struct tl_poller *choose_workflow(struct tl_worker *w)
{
    struct tl_poller *normal = &w->pollers[TL_POLL_NORMAL], *sticky = &w->pollers[TL_POLL_STICKY];
    if (may_poll(normal) && atomic_load(&normal->outstanding) == 0) {
        return normal;
    }
    if (may_poll(sticky)) {
        return sticky;
    }
    return may_poll(normal) ? normal : NULL;
}

static struct tl_slots *slots_of(struct tl_poller *p)
{
    return p->kind == TL_POLL_ACTIVITY ? &p->worker->act_slots : &p->worker->wf_slots;
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

/* One poll of the chosen poller; false when none may go out. */
static bool fill_one(struct tl_worker *w, bool activity)
{
    struct tl_poll *poll = NULL;
    bool look = false;
    pthread_mutex_lock(&w->poll_mutex);
    struct tl_poller *p = NULL;
    if (w->polls_open) {
        struct tl_poller *a = &w->pollers[TL_POLL_ACTIVITY];
        p = activity ? (may_poll(a) ? a : NULL) : choose_workflow(w);
    }
    bool slot = p && tl_slots_try(slots_of(p));
    if (p && !slot && tl_slots_held_back(slots_of(p))) {
        p->paused = true;
        p->resume_ns = tl_worker_now(w) + HELD_BACK_NS;
        look = true;
    }
    if (slot) {
        if (take_token(w, p)) {
            poll = TL_NEW(struct tl_poll);
            poll->to.on_result = handle_rest;
            poll->poller = p;
            poll->request = tl_str_n(tl_mem_dup(p->request), p->request.n);
            poll->started_ns = tl_worker_now(w);
            tl_list_push(&p->polls, &poll->node);
            atomic_fetch_add(&p->outstanding, 1);
        } else {
            tl_slots_give(slots_of(p));
            look = true;
        }
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
    while ((!full(&w->pollers[TL_POLL_NORMAL]) || !full(&w->pollers[TL_POLL_STICKY])) &&
           fill_one(w, false)) {
    }
}

void tl_pollers_fill_activity(struct tl_worker *w)
{
    while (!full(&w->pollers[TL_POLL_ACTIVITY]) && fill_one(w, true)) {
    }
}

static void fill_same(struct tl_poller *p)
{
    if (p->kind == TL_POLL_ACTIVITY) {
        tl_pollers_fill_activity(p->worker);
    } else {
        tl_pollers_fill_workflow(p->worker);
    }
}

/* --- Results ----------------------------------------------------------------------------------- */

/* What the server says about the number of polls: a message in a field of the response. */
static struct tl_str scaling_decision(enum tl_poll_kind kind, struct tl_str body)
{
    struct tl_wire_field f;
    uint32_t number = kind == TL_POLL_ACTIVITY ? 18 : 16;
    while (tl_wire_next(&body, &f)) {
        if (f.number == number && f.type == 2) {
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
    poll->decision = poll->poller->scale.on && res->status == 0 ? scaling_decision(kind, res->body)
                                                                : (struct tl_str){0};
    res->msg.kind = task ? TL_WM_POLL : TL_WM_RESULT;
    if (!task) {
        tl_actor_post_result(&w->control, res);
    } else if (kind == TL_POLL_ACTIVITY) {
        tl_pool_post(w, &res->msg);
    } else {
        struct tl_str run_id = tl_wire_find(tl_wire_find(res->body, 2), 2);
        tl_actor_post_result(&tl_wf_route(w, run_id)->actor, res);
    }
    tl_worker_exit(w);
}

void tl_poll_finished(struct tl_poll *poll, bool task)
{
    struct tl_poller *p = poll->poller;
    struct tl_worker *w = p->worker;
    pthread_mutex_lock(&w->poll_mutex);
    tl_list_remove(&poll->node);
    atomic_fetch_sub(&p->outstanding, 1);
    tl_poll_scale_result(&p->scale, poll->status, task, poll->decision, tl_worker_now(w));
    if (task) {
        p->retry.attempt = 0;
        p->quick_count = 0;
    }
    struct tl_rpc_call *call = poll->call;
    poll->finished = true;
    pthread_mutex_unlock(&w->poll_mutex);
    if (call) {
        tl_rpc_call_release(call);
        tl_mem_free(poll);
    }
    if (task) {
        tl_worker_found(w);
    }
}

static void pause_for(struct tl_poller *p, int64_t delay_ns)
{
    pthread_mutex_lock(&p->worker->poll_mutex);
    p->paused = true;
    p->resume_ns = 0;
    pthread_mutex_unlock(&p->worker->poll_mutex);
    tl_timer_set(&p->worker->control, &p->timer, delay_ns);
}

static void pause_over(struct tl_timer *t)
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

void tl_pollers_resume(struct tl_worker *w)
{
    for (int k = 0; k < TL_POLL_KINDS; k++) {
        struct tl_poller *p = &w->pollers[k];
        tl_timer_clear(&w->control, &p->timer);
        pthread_mutex_lock(&w->poll_mutex);
        p->paused = false;
        p->resume_ns = 0;
        p->retry.attempt = 0;
        pthread_mutex_unlock(&w->poll_mutex);
        fill_same(p);
    }
}

void tl_pollers_look(struct tl_worker *w)
{
    for (int k = 0; k < TL_POLL_KINDS; k++) {
        struct tl_poller *p = &w->pollers[k];
        pthread_mutex_lock(&w->poll_mutex);
        int64_t resume = p->resume_ns;
        p->resume_ns = 0;
        pthread_mutex_unlock(&w->poll_mutex);
        if (resume) {
            tl_timer_set(&w->control, &p->timer, resume - tl_worker_now(w));
        }
    }
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

static void handle_failed(struct tl_poller *p, const struct tl_rpc_result *res)
{
    struct tl_worker *w = p->worker;
    const char *method = tl_method_info(res->method)->name;
    if (!tl_retry_allowed(res->method, res->status)) {
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
    int64_t lasted = tl_worker_now(p->worker) - poll->started_ns;
    tl_poll_finished(poll, false);
    tl_slots_give(slots_of(p));
    if (!tl_worker_stopping(p->worker)) {
        if (res->status == 0 || res->status == 4) {
            handle_empty(p, lasted);
        } else {
            handle_failed(p, res);
        }
        fill_same(p);
    }
    tl_worker_tick(p->worker);
    tl_rpc_result_free(res);
}

/* --- Stopping ---------------------------------------------------------------------------------- */

void tl_pollers_stop(struct tl_worker *w, bool cancel)
{
    pthread_mutex_lock(&w->poll_mutex);
    w->polls_open = false;
    for (int k = 0; k < TL_POLL_KINDS && cancel && !w->polls_cancel; k++) {
        TL_LIST_EACH (n, &w->pollers[k].polls) {
            struct tl_poll *poll = TL_CONTAINER(n, struct tl_poll, node);
            if (poll->call) {
                tl_rpc_cancel(poll->call);
            }
        }
    }
    w->polls_cancel = w->polls_cancel || cancel;
    pthread_mutex_unlock(&w->poll_mutex);
    for (int k = 0; k < TL_POLL_KINDS; k++) {
        tl_timer_clear(&w->control, &w->pollers[k].timer);
    }
}

int tl_pollers_outstanding(const struct tl_worker *w)
{
    int n = 0;
    for (int k = 0; k < TL_POLL_KINDS; k++) {
        n += atomic_load(&w->pollers[k].outstanding);
    }
    return n;
}
