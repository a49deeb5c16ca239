/* Heartbeats of the worker itself: what it polls, how busy it is, when it began. Thread: control.
 * Sent every worker_heartbeat_interval to a service that announces them, and a last one with the goodbye.
 * A failure is nobody's loss: the next one says more. Each set of polls is a worker of its own to the
 * service, with its own instance key. */
#include <stdio.h>
#include <unistd.h>

#include "base/version.h"
#include "proto/pb.h"
#include "tl_enums.h"
#include "worker/build.h"
#include "worker/worker_int.h"

#define SETS_MAX 64
#define ARENA_BYTES_MAX ((size_t)1 << 20)
#define STATUS_UNIMPLEMENTED 12

/* polls: how many of the slots wait for a task with a poll; they count as available. */
static TpWorker__WorkerSlotsInfo *slots_info(struct tl_arena *a, const struct tl_slots *s,
                                             int polls, uint64_t done, uint64_t failed,
                                             struct tl_report_counts *before)
{
    TpWorker__WorkerSlotsInfo *i =
        TL_PB_NEW(a, TpWorker__WorkerSlotsInfo, tp_worker__worker_slots_info);
    if (i) {
        int used = atomic_load(&s->used) - polls;
        used = used > 0 ? used : 0;
        i->current_used_slots = used;
        i->current_available_slots = !s->custom && used < s->max ? s->max - used : 0;
        i->slot_supplier_kind = tl_pb_cstr(a, tl_str(s->custom     ? "Custom"
                                                     : s->resource ? "ResourceBased"
                                                                   : "Fixed"));
        i->total_processed_tasks = (int32_t)(done + failed);
        i->total_failed_tasks = (int32_t)failed;
        i->last_interval_processed_tasks = (int32_t)(done + failed - before->processed);
        i->last_interval_failure_tasks = (int32_t)(failed - before->failed);
        *before = (struct tl_report_counts){done + failed, failed};
    }
    return i;
}

static TpWorker__WorkerPollerInfo *poller_info(struct tl_arena *a, const struct tl_poller *p)
{
    TpWorker__WorkerPollerInfo *i =
        TL_PB_NEW(a, TpWorker__WorkerPollerInfo, tp_worker__worker_poller_info);
    if (i) {
        i->current_pollers = atomic_load(&p->outstanding);
        i->is_autoscaling = p->scale.on;
    }
    return i;
}

static TpWorker__WorkerHostInfo *host_info(struct tl_worker *w, struct tl_arena *a)
{
    TpWorker__WorkerHostInfo *i =
        TL_PB_NEW(a, TpWorker__WorkerHostInfo, tp_worker__worker_host_info);
    char name[256] = "";
    if (!i) {
        return NULL;
    }
    gethostname(name, sizeof name - 1);
    i->host_name = tl_pb_cstr(a, tl_str(name));
    i->process_id = tl_arena_printf(a, "%ld", (long)getpid());
    i->worker_grouping_key = w->commands.key;
    if (w->resource_open) {
        double memory, cpu;
        tl_resource_shares(&w->resource, tl_worker_now(w), &memory, &cpu);
        i->current_host_mem_usage = (float)memory;
        i->current_host_cpu_usage = (float)cpu;
    }
    return i->host_name && i->process_id ? i : NULL;
}

static TpDeployment__WorkerDeploymentVersion *
version_of(const struct tl_worker *w, const struct tl_build *b, struct tl_arena *a)
{
    TpDeployment__WorkerDeploymentVersion *v = TL_PB_NEW(a, TpDeployment__WorkerDeploymentVersion,
                                                         tp_deployment__worker_deployment_version);
    if (v) {
        v->deployment_name = tl_pb_cstr(a, tl_str(w->deployment_name ? w->deployment_name : ""));
        v->build_id = tl_pb_cstr(a, tl_str(b->id));
    }
    return v;
}

static int polls_of(const struct tl_poll_set *set, enum tl_poll_kind kind)
{
    return atomic_load(&set->pollers[kind].outstanding);
}

TpWorker__WorkerHeartbeat *tl_report_of(struct tl_poll_set *set, const struct tl_build *now_on,
                                        int status, struct tl_arena *a)
{
    struct tl_worker *w = set->worker;
    struct tl_worker_stats s;
    TpWorker__WorkerHeartbeat *h =
        TL_PB_NEW(a, TpWorker__WorkerHeartbeat, tp_worker__worker_heartbeat);
    int64_t now = tl_world_wall_ns(w->world);
    if (!h) {
        return NULL;
    }
    tl_worker_stats(w, &s);
    h->worker_instance_key = set->instance_key;
    h->worker_identity = w->identity;
    h->task_queue = w->task_queue;
    h->sdk_name = (char *)(uintptr_t)TL_SDK_NAME;
    h->sdk_version = (char *)(uintptr_t)TL_VERSION;
    h->status = (TpEnums__WorkerStatus)status;
    h->host_info = host_info(w, a);
    h->deployment_version = version_of(w, set->build ? set->build : now_on, a);
    h->start_time = tl_pb_timestamp(a, w->started_wall_ns);
    h->heartbeat_time = tl_pb_timestamp(a, now);
    h->elapsed_since_last_heartbeat =
        tl_pb_duration_ns(a, set->reported_ns ? now - set->reported_ns : 0);
    h->workflow_task_slots_info =
        slots_info(a, &w->wf_slots, polls_of(set, TL_POLL_NORMAL) + polls_of(set, TL_POLL_STICKY),
                   s.workflow_tasks_completed, s.workflow_tasks_failed, &set->reported_tasks);
    h->activity_task_slots_info =
        slots_info(a, &w->act_slots, polls_of(set, TL_POLL_ACTIVITY), s.activities_completed,
                   s.activities_failed, &set->reported_activities);
    if (w->polls_max[TL_POLL_NEXUS]) {
        h->nexus_task_slots_info =
            slots_info(a, &w->nexus_slots, polls_of(set, TL_POLL_NEXUS), s.nexus_tasks_completed,
                       s.nexus_tasks_failed, &set->reported_nexus);
        h->nexus_poller_info = poller_info(a, &set->pollers[TL_POLL_NEXUS]);
    }
    h->workflow_poller_info = poller_info(a, &set->pollers[TL_POLL_NORMAL]);
    h->workflow_sticky_poller_info = poller_info(a, &set->pollers[TL_POLL_STICKY]);
    h->activity_poller_info = poller_info(a, &set->pollers[TL_POLL_ACTIVITY]);
    h->total_sticky_cache_hit = (int32_t)s.cache_hits;
    h->total_sticky_cache_miss = (int32_t)s.cache_misses;
    h->current_sticky_cache_size = (int32_t)s.cached_runs;
    set->reported_ns = now;
    return h;
}

static void report_again(struct tl_timer *t);

static void report_came(struct tl_reply_to *to, struct tl_rpc_result *res)
{
    struct tl_worker *w = TL_CONTAINER(to, struct tl_worker, report_to);
    atomic_fetch_sub(&w->calls, 1);
    if (tl_worker_stopping(w)) {
        tl_worker_tick(w);
    } else if (res->status != STATUS_UNIMPLEMENTED) {
        w->report_timer.fire = report_again;
        tl_timer_set(&w->control, &w->report_timer,
                     w->opt.worker_heartbeat_interval_ms * TL_NS_PER_MS);
    }
    tl_rpc_result_free(res);
}

static void send_report(struct tl_worker *w)
{
    TpWorker__WorkerHeartbeat *heartbeats[SETS_MAX];
    TpWs__RecordWorkerHeartbeatRequest req = TP_WS__RECORD_WORKER_HEARTBEAT_REQUEST__INIT;
    struct tl_arena arena;
    tl_arena_init(&arena, ARENA_BYTES_MAX);
    req.namespace_ = w->namespace_name;
    req.identity = w->identity;
    req.worker_heartbeat = heartbeats;
    struct tl_build *now_on = tl_build_current(w);
    pthread_mutex_lock(&w->poll_mutex);
    TL_LIST_EACH (node, &w->poll_sets) {
        struct tl_poll_set *set = TL_CONTAINER(node, struct tl_poll_set, node);
        if (!set->closed && req.n_worker_heartbeat < SETS_MAX) {
            TpWorker__WorkerHeartbeat *h = tl_report_of(set, now_on, WORKER_STATUS_RUNNING, &arena);
            if (h) {
                heartbeats[req.n_worker_heartbeat++] = h;
            }
        }
    }
    pthread_mutex_unlock(&w->poll_mutex);
    w->report_to.on_result = report_came;
    tl_control_call(w, TL_M_RecordWorkerHeartbeat, &req, &w->report_to);
    tl_build_release(now_on);
    tl_arena_deinit(&arena);
}

static void report_again(struct tl_timer *t)
{
    struct tl_worker *w = TL_CONTAINER(t, struct tl_worker, report_timer);
    if (!tl_worker_stopping(w)) {
        send_report(w);
    }
}

/* A tuner has it open already; without one it is read for heartbeats alone. */
static void open_resource(struct tl_worker *w)
{
    struct tl_error err = {0};
    if (!w->resource_open && !w->stepped) {
        w->resource_open = tl_resource_init(&w->resource, "", 1, 1, &err) == TL_OK;
        if (w->resource_open) { /* CPU is told from one look to the next */
            double memory, cpu;
            tl_resource_shares(&w->resource, tl_worker_now(w), &memory, &cpu);
        }
    }
}

void tl_report_start(struct tl_worker *w)
{
    if (w->reports && w->opt.worker_heartbeat_interval_ms > 0) {
        open_resource(w);
        send_report(w);
    }
}
