/* The control actor: start-up, messages that are nobody else's, shutdown. It sleeps while all is
 * well; no task passes through it.
 *
 * Start: GetSystemInfo, DescribeNamespace, then the polls.
 * Stop: no new polls and ShutdownWorker, which makes the server answer those that are out (else they
 * are cancelled after a moment); tasks finish; when the grace is over activities are cancelled; calls
 * that fail are not made again some seconds later; when nothing is left, the inboxes close. */
#include <stdio.h>

#include "base/log.h"
#include "proto/pb.h"
#include "tl_enums.h"
#include "worker/build.h"
#include "worker/local.h"
#include "worker/worker_int.h"

#define CALL_TIMEOUT_NS (10 * TL_NS_PER_S)
#define POLLS_GRACE_NS TL_NS_PER_S
#define GIVE_UP_NS (5 * TL_NS_PER_S)
#define REQUEST_BYTES_MAX ((size_t)65536)
#define SCRATCH_BYTES_MAX ((size_t)1 << 20)

/* --- Calls of control -------------------------------------------------------------------------- */

void tl_control_call(struct tl_worker *w, enum tl_method m, const void *req, struct tl_reply_to *to)
{
    struct tl_buf b;
    struct tl_error err = {0};
    tl_buf_init(&b, REQUEST_BYTES_MAX);
    if (tl_pb_encode(req, &b, &err) == TL_OK) {
        atomic_fetch_add(&w->calls, 1);
        to->actor = &w->control;
        tl_worker_call(w, m, tl_buf_str(&b), CALL_TIMEOUT_NS, to);
    } else {
        tl_worker_fatal(w, TL_EINVAL, tl_method_info(m)->name, err.message);
    }
    tl_buf_deinit(&b);
}

/* --- Start ------------------------------------------------------------------------------------- */

static void ask_info(struct tl_worker *w)
{
    TpWs__GetSystemInfoRequest req = TP_WS__GET_SYSTEM_INFO_REQUEST__INIT;
    tl_control_call(w, TL_M_GetSystemInfo, &req, &w->info_to);
}

static void ask_namespace(struct tl_worker *w)
{
    TpWs__DescribeNamespaceRequest req = TP_WS__DESCRIBE_NAMESPACE_REQUEST__INIT;
    req.namespace_ = w->namespace_name;
    tl_control_call(w, TL_M_DescribeNamespace, &req, &w->namespace_to);
}

/* Polls go out again only when this is answered: polls themselves tell nothing for a minute when there
 * is nothing to do. */
void tl_control_probe(struct tl_worker *w)
{
    TpWs__GetSystemInfoRequest req = TP_WS__GET_SYSTEM_INFO_REQUEST__INIT;
    if (w->away && !w->probing && !tl_worker_stopping(w)) {
        w->probing = true;
        tl_control_call(w, TL_M_GetSystemInfo, &req, &w->probe_to);
    }
}

static void probe_again(struct tl_timer *t)
{
    tl_control_probe(TL_CONTAINER(t, struct tl_worker, probe_timer));
}

static void probe_came(struct tl_reply_to *to, struct tl_rpc_result *res)
{
    struct tl_worker *w = TL_CONTAINER(to, struct tl_worker, probe_to);
    atomic_fetch_sub(&w->calls, 1);
    w->probing = false;
    if (tl_worker_stopping(w)) {
        tl_worker_tick(w);
    } else if (res->status == STATUS_UNAVAILABLE || res->status == STATUS_DEADLINE_EXCEEDED) {
        tl_timer_set(&w->control, &w->probe_timer,
                     tl_worker_retry_ns(w, &w->probe_retry, res->status));
    } else {
        w->away = false;
        w->probe_retry.attempt = 0;
        tl_worker_found(w);
        tl_pollers_resume(w);
    }
    tl_rpc_result_free(res);
}

static void open_polls(struct tl_worker *w)
{
    if (tl_worker_stopping(w)) {
        return;
    }
    pthread_mutex_lock(&w->poll_mutex);
    w->polls_open = true;
    w->polls_opened_ns = tl_worker_now(w);
    w->tokens_ns = tl_worker_now(w);
    pthread_mutex_unlock(&w->poll_mutex);
    struct tl_build *b = tl_build_current(w);
    TL_LOG(TL_LOG_INFO, "worker.started", TL_C("task_queue", w->task_queue),
           TL_C("namespace", w->namespace_name), TL_C("build_id", b->id),
           TL_C("identity", w->identity));
    tl_build_release(b);
    tl_meter_worker_started(w);
    tl_wf_eager_open(w);
    tl_pollers_fill(w);
    w->started_wall_ns = tl_world_wall_ns(w->world);
    tl_commands_begin(w);
    tl_report_start(w);
}

static void start_again(struct tl_timer *t)
{
    ask_info(TL_CONTAINER(t, struct tl_worker, start_timer));
}

/* True when the start goes on: answered, or a server that does not know the method. */
static bool start_step_ok(struct tl_worker *w, const struct tl_rpc_result *res)
{
    const char *method = tl_method_info(res->method)->name;
    if (tl_worker_stopping(w)) {
        return false;
    }
    if (res->status == 0 || res->status == 12) {
        tl_worker_found(w);
        w->start_retry.attempt = 0;
        return true;
    }
    if (res->status == 4 || tl_retry_allowed(res)) {
        tl_worker_lost(w, method, res->status, res->message);
        tl_timer_set(&w->control, &w->start_timer,
                     tl_worker_retry_ns(w, &w->start_retry, res->status));
    } else {
        char text[400];
        snprintf(text, sizeof text, "%.*s", TL_STR_FMT(res->message));
        tl_worker_fatal(w, tl_rc_from_grpc_status(res->status), method, text);
    }
    return false;
}

static void info_came(struct tl_reply_to *to, struct tl_rpc_result *res)
{
    struct tl_worker *w = TL_CONTAINER(to, struct tl_worker, info_to);
    atomic_fetch_sub(&w->calls, 1);
    if (start_step_ok(w, res)) {
        struct tl_arena scratch;
        TpWs__GetSystemInfoResponse *info = NULL;
        tl_arena_init(&scratch, SCRATCH_BYTES_MAX);
        if (res->status == 0 && tl_pb_decode(&tp_ws__get_system_info_response__descriptor,
                                             res->body, &scratch, &info, NULL) == TL_OK) {
            w->sdk_metadata = info->capabilities && info->capabilities->sdk_metadata;
        }
        tl_arena_deinit(&scratch);
        ask_namespace(w);
    }
    tl_rpc_result_free(res);
}

static void namespace_came(struct tl_reply_to *to, struct tl_rpc_result *res)
{
    struct tl_worker *w = TL_CONTAINER(to, struct tl_worker, namespace_to);
    atomic_fetch_sub(&w->calls, 1);
    if (start_step_ok(w, res)) {
        struct tl_arena scratch;
        TpWs__DescribeNamespaceResponse *ns = NULL;
        tl_arena_init(&scratch, SCRATCH_BYTES_MAX);
        if (res->status == 0 && tl_pb_decode(&tp_ws__describe_namespace_response__descriptor,
                                             res->body, &scratch, &ns, NULL) == TL_OK) {
            const TpNamespace__NamespaceInfo__Capabilities *caps =
                ns->namespace_info ? ns->namespace_info->capabilities : NULL;
            w->poll_complete_on_shutdown = caps && caps->worker_poll_complete_on_shutdown;
            w->reports = caps && caps->worker_heartbeats;
            if (caps && caps->poller_autoscaling) {
                tl_pollers_advised(w);
            }
            if (caps && caps->worker_commands && !w->commands.queue) {
                tl_commands_prepare(w);
            }
        }
        tl_arena_deinit(&scratch);
        open_polls(w);
    }
    tl_rpc_result_free(res);
}

/* --- Stop -------------------------------------------------------------------------------------- */

static void polls_over(struct tl_timer *t)
{
    tl_pollers_stop(TL_CONTAINER(t, struct tl_worker, polls_timer), true);
}

static void grace_over(struct tl_timer *t)
{
    struct tl_worker *w = TL_CONTAINER(t, struct tl_worker, grace_timer);
    tl_pool_cancel_all(w, TL_CANCEL_WORKER_SHUTDOWN);
    TL_WF_EACH(a, w)
    {
        a->stop_msg.kind = TL_WM_STOP_LOCALS;
        if (!a->stop_sent) {
            a->stop_sent = tl_inbox_send_always(&a->actor.inbox, &a->stop_msg);
        }
    }
}

static void give_up(struct tl_timer *t)
{
    struct tl_worker *w = TL_CONTAINER(t, struct tl_worker, give_up_timer);
    int activities = atomic_load(&w->act_slots.used), locals = atomic_load(&w->local_slots.used),
        handlers = atomic_load(&w->nexus_slots.used);
    atomic_store(&w->giving_up, true);
    if (activities + locals + handlers > 0) { /* nobody can end them from outside */
        TL_LOG(TL_LOG_WARN, "worker.waits", TL_C("task_queue", w->task_queue),
               TL_I("activities", activities), TL_I("local_activities", locals),
               TL_I("nexus_handlers", handlers),
               TL_C("text", "they were cancelled and go on: the worker stops when they end"));
    }
}

static void leave_came(struct tl_reply_to *to, struct tl_rpc_result *res)
{
    struct tl_poll_set *set = TL_CONTAINER(to, struct tl_poll_set, leave_to);
    struct tl_worker *w = set->worker;
    atomic_fetch_sub(&w->calls, 1);
    if (res->status != 0 && tl_worker_stopping(w)) {
        tl_pollers_stop(w, true); /* nobody will end them for us */
    }
    tl_build_release(set->build);
    tl_rpc_result_free(res);
}

void tl_control_leave(struct tl_poll_set *set, const char *reason)
{
    struct tl_worker *w = set->worker;
    TpWs__ShutdownWorkerRequest req = TP_WS__SHUTDOWN_WORKER_REQUEST__INIT;
    TpEnums__TaskQueueType types[3];
    struct tl_build *now_on = NULL;
    struct tl_arena arena;
    req.namespace_ = w->namespace_name;
    req.identity = w->identity;
    req.sticky_task_queue =
        w->polls_max[TL_POLL_STICKY] ? set->sticky_queue : req.sticky_task_queue;
    req.task_queue = w->task_queue;
    req.worker_instance_key = set->instance_key;
    req.reason = (char *)(uintptr_t)reason;
    req.task_queue_types = types;
    if (w->polls_max[TL_POLL_NORMAL]) {
        types[req.n_task_queue_types++] = (TpEnums__TaskQueueType)TASK_QUEUE_TYPE_WORKFLOW;
    }
    if (w->polls_max[TL_POLL_ACTIVITY]) {
        types[req.n_task_queue_types++] = (TpEnums__TaskQueueType)TASK_QUEUE_TYPE_ACTIVITY;
    }
    if (w->polls_max[TL_POLL_NEXUS]) {
        types[req.n_task_queue_types++] = (TpEnums__TaskQueueType)TASK_QUEUE_TYPE_NEXUS;
    }
    if (set->build) {
        tl_build_retain(set->build);
    }
    if (w->reports && w->opt.worker_heartbeat_interval_ms > 0) {
        now_on = tl_build_current(w);
        tl_arena_init(&arena, SCRATCH_BYTES_MAX);
        req.worker_heartbeat = tl_report_of(set, now_on, WORKER_STATUS_SHUTTING_DOWN, &arena);
    }
    set->leave_to.on_result = leave_came;
    tl_control_call(w, TL_M_ShutdownWorker, &req, &set->leave_to);
    if (now_on) {
        tl_build_release(now_on);
        tl_arena_deinit(&arena);
    }
}

/* Sets that are closed have said so already. */
static void tell_server(struct tl_worker *w)
{
    struct tl_poll_set *sets[64];
    size_t n = 0;
    pthread_mutex_lock(&w->poll_mutex);
    TL_LIST_EACH (node, &w->poll_sets) {
        struct tl_poll_set *set = TL_CONTAINER(node, struct tl_poll_set, node);
        if (!set->closed && n < sizeof sets / sizeof sets[0]) {
            sets[n++] = set;
        }
    }
    pthread_mutex_unlock(&w->poll_mutex);
    while (n > 0) {
        tl_control_leave(sets[--n], "graceful shutdown");
    }
}

static void begin_leaving(struct tl_worker *w)
{
    int64_t grace_ns = (int64_t)atomic_load(&w->grace_ms) * TL_NS_PER_MS;
    w->leaving = true;
    atomic_store(&w->state, TL_WORKER_STOPPING);
    TL_LOG(TL_LOG_INFO, "worker.stopping", TL_C("task_queue", w->task_queue),
           TL_I("grace_ms", atomic_load(&w->grace_ms)));
    pthread_mutex_lock(&w->poll_mutex);
    bool polled = w->polls_open;
    pthread_mutex_unlock(&w->poll_mutex);
    tl_timer_clear(&w->control, &w->start_timer);
    tl_timer_clear(&w->control, &w->probe_timer);
    tl_timer_clear(&w->control, &w->report_timer);
    tl_drain_stop(w);
    tl_wf_eager_close(w);
    tl_commands_stop(w);
    tl_pollers_stop(w, !w->poll_complete_on_shutdown);
    tl_slots_stop(w);
    tl_pool_shutdown_began(w);
    if (polled) {
        tell_server(w);
    }
    tl_timer_set(&w->control, &w->polls_timer, POLLS_GRACE_NS);
    tl_timer_set(&w->control, &w->give_up_timer, grace_ns + GIVE_UP_NS);
    if (grace_ns > 0) {
        tl_timer_set(&w->control, &w->grace_timer, grace_ns);
    } else {
        grace_over(&w->grace_timer);
    }
}

static bool quiet(struct tl_worker *w)
{
    /* Who no longer waits for a slot has one: look there first. */
    return !tl_locals_waiting(w) && tl_pollers_outstanding(w) == 0 &&
           atomic_load(&w->wf_slots.used) == 0 && atomic_load(&w->quarantined_tasks) == 0 &&
           atomic_load(&w->act_slots.used) == 0 && atomic_load(&w->local_slots.used) == 0 &&
           atomic_load(&w->nexus_slots.used) == 0 && atomic_load(&w->answers) == 0 &&
           atomic_load(&w->calls) == 0;
}

static void leave(struct tl_worker *w)
{
    tl_timer_clear(&w->control, &w->polls_timer);
    tl_timer_clear(&w->control, &w->grace_timer);
    tl_timer_clear(&w->control, &w->give_up_timer);
    TL_WF_EACH(a, w)
    {
        tl_inbox_close(&a->actor.inbox);
    }
    tl_pools_close(w);
    tl_inbox_close(&w->control.inbox);
    atomic_store(&w->state, TL_WORKER_STOPPED);
    TL_LOG(TL_LOG_INFO, "worker.stopped", TL_C("task_queue", w->task_queue));
    pthread_mutex_lock(&w->done_mutex);
    w->done = true;
    pthread_cond_broadcast(&w->done_cond);
    pthread_mutex_unlock(&w->done_mutex);
}

/* A tick has come or something ended. */
static void look(struct tl_worker *w)
{
    tl_pollers_look(w);
    tl_slots_look(w);
    tl_pools_look(w);
    tl_drain_look(w);
    if (tl_worker_stopping(w) && !w->leaving) {
        begin_leaving(w);
    }
    if (w->leaving && atomic_load(&w->state) != TL_WORKER_STOPPED && quiet(w)) {
        leave(w);
    }
}

/* --- The actor --------------------------------------------------------------------------------- */

static void dispatch(struct tl_worker *w, struct tl_msg *m)
{
    switch ((enum tl_worker_msg)m->kind) {
    case TL_WM_RESULT: {
        struct tl_rpc_result *res = TL_CONTAINER(m, struct tl_rpc_result, msg);
        struct tl_reply_to *to = res->ud;
        to->on_result(to, res);
        break;
    }
    case TL_WM_HEARTBEAT:
        tl_heartbeat_wanted(TL_CONTAINER(m, struct tl_act, hb_msg));
        break;
    case TL_WM_ACT_ENDED:
        tl_heartbeat_ended(TL_CONTAINER(m, struct tl_act, end_msg));
        break;
    case TL_WM_TICK:
        atomic_store(&w->tick_posted, false);
        break;
    case TL_WM_POLL:
    case TL_WM_ACTIVITY:
    case TL_WM_LOCAL:
    case TL_WM_LOCAL_DONE:
    case TL_WM_MOVED:
    case TL_WM_STARTED:
    case TL_WM_STOP_LOCALS:
        break;
    }
}

void tl_control_begin(struct tl_worker *w)
{
    w->began = true;
    w->info_to.on_result = info_came;
    w->probe_to.on_result = probe_came;
    w->probe_timer.fire = probe_again;
    w->namespace_to.on_result = namespace_came;
    w->start_timer.fire = start_again;
    w->polls_timer.fire = polls_over;
    w->grace_timer.fire = grace_over;
    w->give_up_timer.fire = give_up;
    tl_drain_begin(w);
    ask_info(w);
}

bool tl_control_step(struct tl_worker *w, int64_t deadline_mono_ns)
{
    if (w->control.busy) {
        return false;
    }
    w->control.busy = true;
    struct tl_msg *m = tl_inbox_take_all(&w->control.inbox, deadline_mono_ns);
    bool any = m != NULL;
    while (m) {
        struct tl_msg *next = m->next;
        dispatch(w, m);
        m = next;
    }
    any = tl_actor_fire(&w->control) || any;
    look(w);
    w->control.busy = false;
    return any;
}

void *tl_control_thread(void *ud)
{
    struct tl_worker *w = ud;
    tl_control_begin(w);
    while (atomic_load(&w->state) != TL_WORKER_STOPPED) {
        tl_control_step(w, tl_actor_deadline(&w->control));
    }
    return NULL;
}
