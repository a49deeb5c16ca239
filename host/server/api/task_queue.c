/* Describing task queues: all versions of a queue together, or one by one (the older "enhanced" mode, whose keys are
 * build ids). Thread: engine. */
#include "server/api/api.h"
#include "server/deployments.h"
#include "server/task_queues.h"

/* Tasks of one priority, or of all. */
struct task_sum {
    size_t backlog;
    double added_per_s, taken_per_s;
    int64_t oldest_ns;
    bool any;
};

/* Versions of one queue added up. */
struct queue_sum {
    struct tl_server *s;
    struct tl_arena *arena;
    struct tl_pb_list list;
    struct task_sum all, priorities[TL_MATCH_PRIORITIES];
    int64_t now_ns;
    double worker_per_s;                            /* what its polls ask for; negative: no limit */
    TpDeployment__WorkerDeploymentOptions *options; /* of the pollers being added */
};

static void add_poller(void *ud, struct tl_str identity, int64_t last_poll_ns)
{
    struct queue_sum *p = ud;
    TpTq__PollerInfo *info = TL_PB_NEW(p->arena, TpTq__PollerInfo, tp_tq__poller_info);
    if (info && tl_pb_push(p->arena, &p->list, info)) {
        info->identity = tl_pb_cstr(p->arena, identity);
        info->last_access_time = tl_pb_timestamp(p->arena, last_poll_ns);
        info->rate_per_second = p->worker_per_s >= 0 ? p->worker_per_s : TL_QUEUE_TASKS_PER_S;
        info->deployment_options = p->options;
    }
}

static void add_tasks(struct task_sum *sum, const struct tl_match_queue_info *info)
{
    sum->any = true;
    sum->backlog += info->backlog;
    sum->added_per_s += info->added_per_s;
    sum->taken_per_s += info->taken_per_s;
    if (info->oldest_ns && (!sum->oldest_ns || info->oldest_ns < sum->oldest_ns)) {
        sum->oldest_ns = info->oldest_ns;
    }
}

static void add_queue(void *ud, const struct tl_match_key *key)
{
    struct queue_sum *q = ud;
    struct tl_match_queue_info info;
    struct tl_str deployment, build_id;
    q->options = NULL;
    if (tl_version_split(key->version, &deployment, &build_id) && deployment.n) {
        q->options = TL_PB_NEW(q->arena, TpDeployment__WorkerDeploymentOptions,
                               tp_deployment__worker_deployment_options);
        if (q->options) {
            q->options->deployment_name = tl_pb_cstr(q->arena, deployment);
            q->options->build_id = tl_pb_cstr(q->arena, build_id);
            q->options->worker_versioning_mode =
                (TpEnums__WorkerVersioningMode)WORKER_VERSIONING_MODE_VERSIONED;
        }
    }
    tl_match_queue_info(&q->s->matcher, key, q->now_ns, &info);
    tl_match_pollers(&q->s->matcher, key, q->now_ns, add_poller, q);
    add_tasks(&q->all, &info);
    for (int i = 1; i <= TL_MATCH_PRIORITIES; i++) {
        if (tl_match_priority_info(&q->s->matcher, key, i, q->now_ns, &info)) {
            add_tasks(&q->priorities[i - 1], &info);
        }
    }
}

/* "deployment.build", as older clients write a version. */
static char *old_name(struct tl_call *c, struct tl_str version)
{
    struct tl_str name, build_id;
    return tl_version_split(version, &name, &build_id)
               ? tl_arena_printf(c->arena, "%.*s.%.*s", TL_STR_FMT(name), TL_STR_FMT(build_id))
               : (char *)(uintptr_t)TL_UNVERSIONED;
}

static TpTq__TaskQueueVersioningInfo *versioning_of(struct tl_call *c, struct tl_str queue,
                                                    int type)
{
    const struct tl_route *route = tl_route_of_queue(c->s, c->ns, queue, type);
    if (!route->has_current && !route->has_ramping) {
        return NULL;
    }
    TpTq__TaskQueueVersioningInfo *v =
        TL_PB_NEW(c->arena, TpTq__TaskQueueVersioningInfo, tp_tq__task_queue_versioning_info);
    if (v) {
        v->current_deployment_version = tl_version_message(route->current, c->arena);
        v->current_version = old_name(c, route->current);
        v->ramping_version = route->has_ramping ? old_name(c, route->ramping) : v->ramping_version;
        v->ramping_deployment_version = tl_version_message(route->ramping, c->arena);
        v->ramping_version_percentage = route->percentage;
        v->update_time = tl_pb_timestamp(c->arena, route->changed_ns);
    }
    return v;
}

static TpTq__TaskQueueStats *stats_of(const struct queue_sum *q, const struct task_sum *sum)
{
    TpTq__TaskQueueStats *stats =
        TL_PB_NEW(q->arena, TpTq__TaskQueueStats, tp_tq__task_queue_stats);
    if (stats) {
        stats->approximate_backlog_count = (int64_t)sum->backlog;
        stats->approximate_backlog_age =
            tl_pb_duration_ns(q->arena, sum->oldest_ns ? q->now_ns - sum->oldest_ns : 0);
        stats->tasks_add_rate = (float)sum->added_per_s;
        stats->tasks_dispatch_rate = (float)sum->taken_per_s;
    }
    return stats;
}

typedef TpWs__DescribeTaskQueueResponse__StatsByPriorityKeyEntry priority_entry;

/* Of the default priority always, of others that there were tasks of. */
static bool put_stats(const struct queue_sum *q, TpWs__DescribeTaskQueueResponse *r)
{
    struct tl_pb_list list = {0};
    r->stats = stats_of(q, &q->all);
    for (int i = 1; i <= TL_MATCH_PRIORITIES; i++) {
        if (!q->priorities[i - 1].any && i != TL_MATCH_PRIORITY_DEFAULT) {
            continue;
        }
        priority_entry *e =
            TL_PB_NEW(q->arena, priority_entry,
                      tp_ws__describe_task_queue_response__stats_by_priority_key_entry);
        if (!e || !tl_pb_push(q->arena, &list, e)) {
            return false;
        }
        e->key = i;
        e->value = stats_of(q, &q->priorities[i - 1]);
    }
    r->n_stats_by_priority_key = list.n;
    r->stats_by_priority_key = list.items;
    return true;
}

static struct tl_match_key key_of(struct tl_call *c, const TpTq__TaskQueue *queue, int type)
{
    return (struct tl_match_key){.namespace_number = c->ns->number,
                                 .type = tl_queue_type_of(type),
                                 .sticky = (int)queue->kind == TASK_QUEUE_KIND_STICKY,
                                 .name = tl_str(queue->name)};
}

static struct queue_sum sum_begin(struct tl_call *c, const struct tl_match_key *key, int type,
                                  int64_t now_ns)
{
    const struct tl_queue_settings *set = tl_task_queue_settings(c->s, c->ns, key->name, type);
    return (struct queue_sum){.s = c->s,
                              .arena = c->arena,
                              .now_ns = now_ns,
                              .worker_per_s = set ? set->worker_per_s : -1};
}

/* --- enhanced -------------------------------------------------------------------------------------------- */

typedef TpWs__DescribeTaskQueueResponse__VersionsInfoEntry version_entry;

/* Versions that an answer tells of, by build id; "" is unversioned. */
struct version_list {
    struct queue_sum sum; /* of the build and type being added */
    struct tl_pb_list entries;
    struct tl_str build_id;
    bool failed;
};

static struct tl_str build_id_of(const struct tl_match_key *key)
{
    struct tl_str deployment, build_id = {0};
    return tl_version_split(key->version, &deployment, &build_id) ? build_id : (struct tl_str){0};
}

static void add_version(struct version_list *v, struct tl_str build_id)
{
    version_entry **all = v->entries.items;
    for (size_t i = 0; i < v->entries.n; i++) {
        if (tl_str_eqc(build_id, all[i]->key)) {
            return;
        }
    }
    version_entry *e = TL_PB_NEW(v->sum.arena, version_entry,
                                 tp_ws__describe_task_queue_response__versions_info_entry);
    TpTq__TaskQueueVersionInfo *info =
        TL_PB_NEW(v->sum.arena, TpTq__TaskQueueVersionInfo, tp_tq__task_queue_version_info);
    if (!e || !info || !tl_pb_push(v->sum.arena, &v->entries, e)) {
        v->failed = true;
        return;
    }
    e->key = tl_pb_cstr(v->sum.arena, build_id);
    e->value = info;
}

static void add_if_active(void *ud, const struct tl_match_key *key)
{
    struct version_list *v = ud;
    struct tl_match_queue_info info;
    tl_match_queue_info(&v->sum.s->matcher, key, v->sum.now_ns, &info);
    if (info.backlog || tl_match_pollers(&v->sum.s->matcher, key, v->sum.now_ns, NULL, NULL)) {
        add_version(v, build_id_of(key));
    }
}

static void add_if_of_build(void *ud, const struct tl_match_key *key)
{
    struct version_list *v = ud;
    if (tl_str_eq(build_id_of(key), v->build_id)) {
        add_queue(&v->sum, key);
    }
}

static bool add_type(struct tl_call *c, struct version_list *v, const version_entry *e, int type,
                     struct tl_pb_list *list)
{
    const TpWs__DescribeTaskQueueRequest *req = c->req;
    struct tl_match_key key = key_of(c, req->task_queue, type);
    TpTq__TaskQueueVersionInfo__TypesInfoEntry *entry =
        TL_PB_NEW(c->arena, TpTq__TaskQueueVersionInfo__TypesInfoEntry,
                  tp_tq__task_queue_version_info__types_info_entry);
    TpTq__TaskQueueTypeInfo *info =
        TL_PB_NEW(c->arena, TpTq__TaskQueueTypeInfo, tp_tq__task_queue_type_info);
    if (!entry || !info || !tl_pb_push(c->arena, list, entry)) {
        return false;
    }
    entry->key = type;
    entry->value = info;
    v->sum = sum_begin(c, &key, type, v->sum.now_ns);
    v->build_id = tl_str(e->key);
    if (type >= TASK_QUEUE_TYPE_WORKFLOW && type <= TASK_QUEUE_TYPE_NEXUS) {
        tl_match_each_version(&c->s->matcher, &key, add_if_of_build, v);
    }
    if (req->report_pollers) {
        info->n_pollers = v->sum.list.n;
        info->pollers = v->sum.list.items;
    }
    if (req->report_stats) {
        info->stats = stats_of(&v->sum, &v->sum.all);
    }
    return true;
}

/* New work goes to a build while tasks of the queue are routed there; whether runs that wait still need another is not
 * known here. */
static int reachability(struct tl_call *c, const version_entry *e)
{
    const TpWs__DescribeTaskQueueRequest *req = c->req;
    const struct tl_route *route =
        tl_route_of_queue(c->s, c->ns, tl_str(req->task_queue->name), TASK_QUEUE_TYPE_WORKFLOW);
    const struct tl_str versions[] = {route->current, route->ramping};
    const bool there[] = {route->has_current || !*e->key, route->has_ramping};
    for (size_t i = 0; i < 2; i++) {
        struct tl_match_key key = {.version = versions[i]};
        if (there[i] && tl_str_eqc(build_id_of(&key), e->key)) {
            return BUILD_ID_TASK_REACHABILITY_REACHABLE;
        }
    }
    return BUILD_ID_TASK_REACHABILITY_UNSPECIFIED;
}

static bool add_types(struct tl_call *c, struct version_list *v)
{
    static const TpEnums__TaskQueueType both[] = {(TpEnums__TaskQueueType)TASK_QUEUE_TYPE_WORKFLOW,
                                                  (TpEnums__TaskQueueType)TASK_QUEUE_TYPE_ACTIVITY};
    const TpWs__DescribeTaskQueueRequest *req = c->req;
    size_t n = req->n_task_queue_types ? req->n_task_queue_types : 2;
    const TpEnums__TaskQueueType *types = req->n_task_queue_types ? req->task_queue_types : both;
    version_entry **all = v->entries.items;
    for (size_t i = 0; i < v->entries.n; i++) {
        version_entry *e = all[i];
        struct tl_pb_list list = {0};
        for (size_t k = 0; k < n; k++) {
            if (!add_type(c, v, e, (int)types[k], &list)) {
                return false;
            }
        }
        e->value->types_info = list.items;
        e->value->n_types_info = list.n;
        if (req->report_task_reachability) {
            e->value->task_reachability = (TpEnums__BuildIdTaskReachability)reachability(c, e);
        }
    }
    return true;
}

static void describe_enhanced(struct tl_call *c)
{
    const TpWs__DescribeTaskQueueRequest *req = c->req;
    const TpTq__TaskQueueVersionSelection *wanted = req->versions;
    TpWs__DescribeTaskQueueResponse r = TP_WS__DESCRIBE_TASK_QUEUE_RESPONSE__INIT;
    struct version_list v = {.sum = {.s = c->s, .arena = c->arena, .now_ns = tl_engine_now(c->s)}};
    if ((int)req->task_queue->kind == TASK_QUEUE_KIND_STICKY) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL),
                       "a sticky task queue has no enhanced description: ask with api_mode "
                       "UNSPECIFIED, or for its normal task queue");
        return;
    }
    for (size_t i = 0; wanted && i < wanted->n_build_ids; i++) {
        add_version(&v, tl_str(wanted->build_ids[i]));
    }
    if (!wanted || wanted->unversioned) {
        add_version(&v, (struct tl_str){0});
    }
    for (int type = TASK_QUEUE_TYPE_WORKFLOW;
         wanted && wanted->all_active && type <= TASK_QUEUE_TYPE_NEXUS; type++) {
        struct tl_match_key key = key_of(c, req->task_queue, type);
        tl_match_each_version(&c->s->matcher, &key, add_if_active, &v);
    }
    if (v.failed || !add_types(c, &v)) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_ELIMIT), "the description is too large");
        return;
    }
    r.n_versions_info = v.entries.n;
    r.versions_info = v.entries.items;
    tl_call_reply(c, 0, &r);
}

/* --- the RPCs -------------------------------------------------------------------------------------------- */

static bool check_queue(struct tl_call *c, const TpTq__TaskQueue *queue)
{
    if (!queue) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "TaskQueue is not set on request.");
        return false;
    }
    return tl_api_check_id(c, "TaskQueue", queue->name, true);
}

void tl_api_describe_task_queue(struct tl_call *c)
{
    const TpWs__DescribeTaskQueueRequest *req = c->req;
    TpWs__DescribeTaskQueueResponse r = TP_WS__DESCRIBE_TASK_QUEUE_RESPONSE__INIT;
    TpTq__TaskQueueStatus status = TP_TQ__TASK_QUEUE_STATUS__INIT;
    TpWs__DescribeTaskQueueResponse__EffectiveRateLimit effective =
        TP_WS__DESCRIBE_TASK_QUEUE_RESPONSE__EFFECTIVE_RATE_LIMIT__INIT;
    if (!check_queue(c, req->task_queue)) {
        return;
    }
    if ((int)req->api_mode == DESCRIBE_TASK_QUEUE_MODE_ENHANCED) {
        describe_enhanced(c);
        return;
    }
    int type = tl_task_queue_type(tl_queue_type_of((int)req->task_queue_type));
    struct tl_match_key key = key_of(c, req->task_queue, type);
    struct queue_sum sum = sum_begin(c, &key, type, tl_engine_now(c->s));
    const struct tl_queue_settings *set = tl_task_queue_settings(c->s, c->ns, key.name, type);
    int source;
    double per_s = tl_task_queue_per_s(set, &source);
    tl_match_each_version(&c->s->matcher, &key, add_queue, &sum);
    effective.requests_per_second = (float)per_s;
    effective.rate_limit_source = (TpEnums__RateLimitSource)source;
    r.effective_rate_limit = &effective;
    r.config = req->report_config && set ? set->config : NULL;
    r.n_pollers = sum.list.n;
    r.pollers = sum.list.items;
    r.versioning_info = versioning_of(c, key.name, type);
    if (req->report_stats && !put_stats(&sum, &r)) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_ELIMIT), "the description is too large");
        return;
    }
    if (req->include_task_queue_status) {
        status.backlog_count_hint = (int64_t)sum.all.backlog;
        status.rate_per_second = per_s;
        r.task_queue_status = &status;
    }
    tl_call_reply(c, set ? set->seq : 0, &r);
}

/* A task queue is one here: its root partition. */
void tl_api_list_task_queue_partitions(struct tl_call *c)
{
    const TpWs__ListTaskQueuePartitionsRequest *req = c->req;
    TpWs__ListTaskQueuePartitionsResponse r = TP_WS__LIST_TASK_QUEUE_PARTITIONS_RESPONSE__INIT;
    TpTq__TaskQueuePartitionMetadata root = TP_TQ__TASK_QUEUE_PARTITION_METADATA__INIT;
    TpTq__TaskQueuePartitionMetadata *list[] = {&root};
    if (!check_queue(c, req->task_queue)) {
        return;
    }
    root.key = req->task_queue->name;
    r.n_activity_task_queue_partitions = r.n_workflow_task_queue_partitions = 1;
    r.activity_task_queue_partitions = r.workflow_task_queue_partitions = list;
    tl_call_reply(c, 0, &r);
}
