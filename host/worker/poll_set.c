/* The sets of polls: what their requests say, how many polls a set has, and its part in the worker: the
 * current version's, an older one's, or the only one of an unversioned worker. See struct tl_poll_set.
 * Thread: any; state under worker->poll_mutex. */
#include "base/assert.h"
#include "base/mem.h"
#include "proto/pb.h"
#include "temporal/api/taskqueue/v1/message.pb-c.h"
#include "tl_enums.h"
#include "worker/build.h"
#include "worker/operation.h"

#define REQUEST_BYTES_MAX ((size_t)1 << 20)

/* Polls of an older version: it has few tasks left, and most of them on the sticky queue. */
static const int old_polls[TL_POLL_KINDS] = {
    [TL_POLL_NORMAL] = 1, [TL_POLL_STICKY] = 4, [TL_POLL_ACTIVITY] = 2, [TL_POLL_NEXUS] = 2};

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
    queue.name = sticky ? p->set->sticky_queue : w->task_queue;
    queue.kind = (TpEnums__TaskQueueKind)(sticky ? TASK_QUEUE_KIND_STICKY : TASK_QUEUE_KIND_NORMAL);
    if (sticky) {
        queue.normal_name = w->task_queue;
    }
    req.namespace_ = w->namespace_name;
    req.task_queue = &queue;
    req.identity = w->identity;
    req.worker_instance_key = p->set->instance_key;
    req.worker_control_task_queue = tl_commands_queue(w);
    tl_version_poll(b, &req.deployment_options, &req.worker_version_capabilities, &caps);
    if (req.worker_version_capabilities) {
        req.binary_checksum = b->id;
    }
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
    req.worker_instance_key = p->set->instance_key;
    req.worker_control_task_queue = tl_commands_queue(w);
    if (w->opt.max_task_queue_activities_per_second > 0) {
        rate.value = w->opt.max_task_queue_activities_per_second;
        metadata.max_tasks_per_second = &rate;
        req.task_queue_metadata = &metadata;
    }
    tl_version_poll(b, &req.deployment_options, &req.worker_version_capabilities, &caps);
    p->method = TL_M_PollActivityTaskQueue;
    return keep_request(p, &req, err);
}

static tl_rc nexus_request(struct tl_build *b, struct tl_poller *p, struct tl_error *err)
{
    struct tl_worker *w = b->worker;
    TpWs__PollNexusTaskQueueRequest req = TP_WS__POLL_NEXUS_TASK_QUEUE_REQUEST__INIT;
    TpCommon__WorkerVersionCapabilities caps;
    TpTq__TaskQueue queue = TP_TQ__TASK_QUEUE__INIT;
    queue.name = w->task_queue;
    queue.kind = (TpEnums__TaskQueueKind)TASK_QUEUE_KIND_NORMAL;
    req.namespace_ = w->namespace_name;
    req.task_queue = &queue;
    req.identity = w->identity;
    req.worker_instance_key = p->set->instance_key;
    tl_version_poll(b, &req.deployment_options, &req.worker_version_capabilities, &caps);
    p->method = TL_M_PollNexusTaskQueue;
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
    bool operations = build->registry && tl_registry_operation_count(build->registry);
    out[TL_POLL_NEXUS] = operations ? w->opt.nexus_task_poller_behavior : none;
}

static tl_rc request(struct tl_build *b, struct tl_poller *p, struct tl_error *err)
{
    switch (p->kind) {
    case TL_POLL_ACTIVITY:
        return activity_request(b, p, err);
    case TL_POLL_NEXUS:
        return nexus_request(b, p, err);
    case TL_POLL_NORMAL:
    case TL_POLL_STICKY:
    case TL_POLL_KINDS:
        break;
    }
    return workflow_request(b, p, err);
}

static tl_rc set_requests(struct tl_poll_set *set, struct tl_build *b, struct tl_error *err)
{
    tl_rc rc = TL_OK;
    for (int k = 0; k < TL_POLL_KINDS && rc == TL_OK; k++) {
        struct tl_str old = set->pollers[k].request;
        rc = request(b, &set->pollers[k], err);
        if (rc == TL_OK) {
            tl_mem_free((char *)(uintptr_t)old.p);
        }
    }
    return rc;
}

/* --- Sets -------------------------------------------------------------------------------------- */

static int polls_of_old(const struct tl_poller *p)
{
    int most = old_polls[p->kind];
    return p->max < most ? p->max : most;
}

static void init_poller(struct tl_poller *p, struct tl_poll_set *set, enum tl_poll_kind kind,
                        const struct tl_poller_behavior *b)
{
    struct tl_worker *w = set->worker;
    *p = (struct tl_poller){.kind = kind, .max = (int)b->maximum, .worker = w, .set = set};
    tl_poll_scale_init(&p->scale, b, tl_worker_now(w));
    p->scale.advised = w->polls_advised;
    if (!set->current) {
        p->scale.on = false;
        atomic_store(&p->scale.target, polls_of_old(p));
    }
    tl_list_init(&p->polls);
    p->timer.fire = tl_poller_pause_over;
    p->retry.max_ns = 10 * TL_NS_PER_S;
}

static struct tl_poll_set *make(struct tl_worker *w, struct tl_build *from, struct tl_build *owner,
                                bool current)
{
    struct tl_poll_set *set = TL_NEW(struct tl_poll_set);
    struct tl_poller_behavior b[TL_POLL_KINDS];
    struct tl_arena a;
    char uuid[37];
    tl_uuid4(w->world, uuid);
    tl_arena_init(&a, REQUEST_BYTES_MAX);
    char *queue = tl_arena_printf(&a, "%s-%s", w->identity, uuid);
    TL_ASSERT(queue != NULL);
    set->worker = w;
    set->build = owner;
    set->current = current;
    set->instance_key = tl_mem_dup(tl_str(uuid));
    set->sticky_queue = tl_mem_dup(tl_str(queue));
    tl_arena_deinit(&a);
    tl_list_init(&set->node);
    split(w, from, b);
    for (int k = 0; k < TL_POLL_KINDS; k++) {
        init_poller(&set->pollers[k], set, (enum tl_poll_kind)k, &b[k]);
    }
    return set;
}

void tl_poll_set_free(struct tl_poll_set *set)
{
    if (!set) {
        return;
    }
    pthread_mutex_lock(&set->worker->poll_mutex);
    tl_list_remove(&set->node);
    pthread_mutex_unlock(&set->worker->poll_mutex);
    for (int k = 0; k < TL_POLL_KINDS; k++) {
        TL_ASSERT(tl_list_empty(&set->pollers[k].polls));
        if (!set->closed) { /* the worker ends, no thread runs */
            tl_timer_clear(&set->worker->control, &set->pollers[k].timer);
        }
        tl_mem_free((char *)(uintptr_t)set->pollers[k].request.p);
    }
    tl_mem_free(set->sticky_queue);
    tl_mem_free(set->instance_key);
    tl_mem_free(set);
}

static void add(struct tl_poll_set *set)
{
    pthread_mutex_lock(&set->worker->poll_mutex);
    if (set->current) {
        tl_list_push(&set->worker->poll_sets, &set->node);
    } else { /* the current one is the last */
        tl_list_push_front(&set->worker->poll_sets, &set->node);
    }
    pthread_mutex_unlock(&set->worker->poll_mutex);
}

tl_rc tl_poll_set_new(struct tl_build *b, bool current, struct tl_error *err)
{
    struct tl_poll_set *set = make(b->worker, b, b, current);
    tl_rc rc = set_requests(set, b, err);
    if (rc != TL_OK) {
        tl_poll_set_free(set);
        return rc;
    }
    b->set = set;
    add(set);
    return TL_OK;
}

struct tl_poll_set *tl_poll_set_of(const struct tl_build *b)
{
    return b->set ? b->set : b->worker->poll_set;
}

/* Under the mutex. The polls that are out go on; they keep no slots. */
static void become_old(struct tl_poller *p)
{
    p->scale.on = false;
    atomic_store(&p->scale.target, polls_of_old(p));
    TL_LIST_EACH (n, &p->polls) {
        struct tl_poll *poll = TL_CONTAINER(n, struct tl_poll, node);
        tl_slot_give(poll->slot);
        poll->slot = NULL;
    }
}

/* Under the mutex. */
static void set_role(struct tl_poll_set *set, bool current)
{
    struct tl_worker *w = set->worker;
    struct tl_poller_behavior b[TL_POLL_KINDS];
    split(w, set->build, b);
    for (int k = 0; k < TL_POLL_KINDS && set->current != current; k++) {
        if (current) {
            tl_poll_scale_init(&set->pollers[k].scale, &b[k], tl_worker_now(w));
            set->pollers[k].scale.advised = w->polls_advised;
        } else {
            become_old(&set->pollers[k]);
        }
    }
    set->current = current;
}

void tl_poll_sets_settle(struct tl_worker *w)
{
    struct tl_poll_set *last = NULL;
    pthread_mutex_lock(&w->poll_mutex);
    struct tl_build *now = atomic_load(&w->build_now);
    TL_LIST_EACH (n, &w->poll_sets) {
        struct tl_poll_set *set = TL_CONTAINER(n, struct tl_poll_set, node);
        if (set->build) {
            set_role(set, set->build == now);
            last = set->build == now ? set : last;
        }
    }
    if (last) { /* older ones, whose polls need no slots, come first */
        tl_list_remove(&last->node);
        tl_list_push(&w->poll_sets, &last->node);
    }
    pthread_mutex_unlock(&w->poll_mutex);
}

void tl_poll_set_close(struct tl_poll_set *set)
{
    struct tl_worker *w = set->worker;
    pthread_mutex_lock(&w->poll_mutex);
    set_role(set, false);
    set->closed = true;
    for (int k = 0; k < TL_POLL_KINDS; k++) {
        set->pollers[k].resume_ns = 0;
        tl_timer_clear(&w->control, &set->pollers[k].timer);
    }
    pthread_mutex_unlock(&w->poll_mutex);
}

/* --- Of the worker ----------------------------------------------------------------------------- */

tl_rc tl_pollers_init(struct tl_worker *w, struct tl_error *err)
{
    struct tl_poller_behavior b[TL_POLL_KINDS];
    struct tl_build *build = tl_build_current(w);
    tl_rc rc = TL_OK;
    split(w, build, b);
    for (int k = 0; k < TL_POLL_KINDS; k++) {
        w->polls_max[k] = (int)b[k].maximum;
    }
    if (tl_worker_deploys(w)) {
        rc = tl_poll_set_new(build, true, err);
    } else {
        w->poll_set = make(w, build, NULL, true);
        add(w->poll_set);
        rc = set_requests(w->poll_set, build, err);
    }
    tl_build_release(build);
    w->tokens = 1;
    return rc;
}

void tl_pollers_deinit(struct tl_worker *w)
{
    tl_poll_set_free(w->poll_set);
}

void tl_pollers_advised(struct tl_worker *w)
{
    pthread_mutex_lock(&w->poll_mutex);
    w->polls_advised = true;
    TL_LIST_EACH (n, &w->poll_sets) {
        struct tl_poll_set *set = TL_CONTAINER(n, struct tl_poll_set, node);
        for (int k = 0; k < TL_POLL_KINDS; k++) {
            set->pollers[k].scale.advised = true;
        }
    }
    pthread_mutex_unlock(&w->poll_mutex);
}

tl_rc tl_pollers_describe(struct tl_worker *w, struct tl_error *err)
{
    tl_rc rc = TL_OK;
    struct tl_build *b = tl_build_current(w);
    pthread_mutex_lock(&w->poll_mutex);
    TL_LIST_EACH (n, &w->poll_sets) {
        struct tl_poll_set *set = TL_CONTAINER(n, struct tl_poll_set, node);
        rc = rc == TL_OK ? set_requests(set, set->build ? set->build : b, err) : rc;
    }
    pthread_mutex_unlock(&w->poll_mutex);
    tl_build_release(b);
    return rc;
}
