/* Describing runs and task queues, and queries. Thread: engine. */
#include "server/api/api.h"
#include "server/deployments.h"

void tl_api_describe_workflow_execution(struct tl_call *c)
{
    const TpWs__DescribeWorkflowExecutionRequest *req = c->req;
    TpWs__DescribeWorkflowExecutionResponse r = TP_WS__DESCRIBE_WORKFLOW_EXECUTION_RESPONSE__INIT;
    struct tl_error err;
    struct tl_exec *e = tl_api_find(c, req->execution);
    if (!e) {
        return;
    }
    if (tl_rs_describe(e->rs, tl_engine_now(c->s), c->arena, &r, &err) != TL_OK) {
        tl_call_errorf(c, tl_rc_grpc_status(err.code), "%s", err.message);
        return;
    }
    tl_attrs_visible(&c->ns->attrs, r.workflow_execution_info->search_attributes);
    tl_call_reply(c, e->seq, &r);
}

/* --- task queues ---------------------------------------------------------------------------------------- */

/* All versions of one queue together. */
struct queue_sum {
    struct tl_server *s;
    struct tl_arena *arena;
    struct tl_pb_list list;
    size_t backlog;
    int64_t oldest_ns, now_ns;
    TpDeployment__WorkerDeploymentOptions *options; /* of the pollers being added */
};

static void add_poller(void *ud, struct tl_str identity, int64_t last_poll_ns)
{
    struct queue_sum *p = ud;
    TpTq__PollerInfo *info = TL_PB_NEW(p->arena, TpTq__PollerInfo, tp_tq__poller_info);
    if (info && tl_pb_push(p->arena, &p->list, info)) {
        info->identity = tl_pb_cstr(p->arena, identity);
        info->last_access_time = tl_pb_timestamp(p->arena, last_poll_ns);
        info->rate_per_second = 100000;
        info->deployment_options = p->options;
    }
}

static void add_queue(void *ud, const struct tl_match_key *key)
{
    struct queue_sum *q = ud;
    struct tl_match_queue_info info;
    struct tl_str deployment, build_id;
    q->options = NULL;
    if (tl_version_split(key->version, &deployment, &build_id)) {
        q->options = TL_PB_NEW(q->arena, TpDeployment__WorkerDeploymentOptions,
                               tp_deployment__worker_deployment_options);
        if (q->options) {
            q->options->deployment_name = tl_pb_cstr(q->arena, deployment);
            q->options->build_id = tl_pb_cstr(q->arena, build_id);
            q->options->worker_versioning_mode =
                (TpEnums__WorkerVersioningMode)WORKER_VERSIONING_MODE_VERSIONED;
        }
    }
    tl_match_queue_info(&q->s->matcher, key, &info);
    tl_match_pollers(&q->s->matcher, key, q->now_ns, add_poller, q);
    q->backlog += info.backlog;
    if (info.oldest_ns && (!q->oldest_ns || info.oldest_ns < q->oldest_ns)) {
        q->oldest_ns = info.oldest_ns;
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

void tl_api_describe_task_queue(struct tl_call *c)
{
    const TpWs__DescribeTaskQueueRequest *req = c->req;
    TpWs__DescribeTaskQueueResponse r = TP_WS__DESCRIBE_TASK_QUEUE_RESPONSE__INIT;
    TpTq__TaskQueueStats stats = TP_TQ__TASK_QUEUE_STATS__INIT;
    TpTq__TaskQueueStatus status = TP_TQ__TASK_QUEUE_STATUS__INIT;
    struct queue_sum sum = {.s = c->s, .arena = c->arena, .now_ns = tl_engine_now(c->s)};
    if (!req->task_queue) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "TaskQueue is not set on request.");
        return;
    }
    if (!tl_api_check_id(c, "TaskQueue", req->task_queue->name, true)) {
        return;
    }
    if ((int)req->api_mode == DESCRIBE_TASK_QUEUE_MODE_ENHANCED) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EUNIMPLEMENTED),
                       "the enhanced mode of DescribeTaskQueue is not supported");
        return;
    }
    int type = (int)req->task_queue_type == TASK_QUEUE_TYPE_ACTIVITY ? TASK_QUEUE_TYPE_ACTIVITY
                                                                     : TASK_QUEUE_TYPE_WORKFLOW;
    struct tl_match_key key = {.namespace_number = c->ns->number,
                               .type = type == TASK_QUEUE_TYPE_ACTIVITY ? TL_QUEUE_ACTIVITY
                                                                        : TL_QUEUE_WORKFLOW,
                               .sticky = (int)req->task_queue->kind == TASK_QUEUE_KIND_STICKY,
                               .name = tl_str(req->task_queue->name)};
    tl_match_each_version(&c->s->matcher, &key, add_queue, &sum);
    r.n_pollers = sum.list.n;
    r.pollers = sum.list.items;
    r.versioning_info = versioning_of(c, key.name, type);
    if (req->report_stats) {
        stats.approximate_backlog_count = (int64_t)sum.backlog;
        stats.approximate_backlog_age =
            tl_pb_duration_ns(c->arena, sum.oldest_ns ? sum.now_ns - sum.oldest_ns : 0);
        r.stats = &stats;
    }
    if (req->include_task_queue_status) {
        status.backlog_count_hint = (int64_t)sum.backlog;
        status.rate_per_second = 100000;
        r.task_queue_status = &status;
    }
    tl_call_reply(c, 0, &r);
}

/* --- queries --------------------------------------------------------------------------------------------- */

static bool rejected(struct tl_call *c, struct tl_exec *e, int condition)
{
    TpWs__QueryWorkflowResponse r = TP_WS__QUERY_WORKFLOW_RESPONSE__INIT;
    TpQuery__QueryRejected q = TP_QUERY__QUERY_REJECTED__INIT;
    struct tl_rs_info info;
    tl_rs_info(e->rs, &info);
    bool no = (condition == QUERY_REJECT_CONDITION_NOT_OPEN && info.closed) ||
              (condition == QUERY_REJECT_CONDITION_NOT_COMPLETED_CLEANLY && info.closed &&
               info.status != WORKFLOW_EXECUTION_STATUS_COMPLETED &&
               info.status != WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW);
    if (no) {
        q.status = (TpEnums__WorkflowExecutionStatus)info.status;
        r.query_rejected = &q;
        tl_call_reply(c, e->seq, &r);
    }
    return no;
}

void tl_api_query_workflow(struct tl_call *c)
{
    const TpWs__QueryWorkflowRequest *req = c->req;
    struct tl_error err;
    struct tl_exec *e;
    struct tl_parked *p = c->parked;
    if (!req->query || !*req->query->query_type) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "%s is not set on request.",
                       req->query ? "QueryType" : "WorkflowQuery");
        return;
    }
    e = p ? tl_run_by_number(c->s, p->run_number, &err) : tl_api_find(c, req->execution);
    if (!e) {
        if (p) {
            tl_call_not_found(c, 0, err.message);
        }
        return;
    }
    if (rejected(c, e, (int)req->query_reject_condition)) {
        return;
    }
    if (!p) {
        p = tl_parked_new(c->s, c, TL_PARKED_QUERY);
        p->run_number = e->number;
        p->query_id = c->s->query_ids++;
        p->until_ns = tl_parked_deadline(c->s, c->rpc, c->s->o.poll_expiry_ns);
        tl_map_put_num(&c->s->queries, p->query_id, p);
    }
    c->parked = NULL;
    tl_query_proceed(c->s, p, e, c->arena);
}

void tl_api_respond_query_task_completed(struct tl_call *c)
{
    const TpWs__RespondQueryTaskCompletedRequest *req = c->req;
    TpWs__RespondQueryTaskCompletedResponse r = TP_WS__RESPOND_QUERY_TASK_COMPLETED_RESPONSE__INIT;
    const TlV1__QueryToken *token;
    struct tl_error err;
    if (req->task_token.len == 0) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "Task token not set on request.");
        return;
    }
    if (tl_pb_decode(&tl_v1__query_token__descriptor, tl_pb_str(req->task_token), c->arena, &token,
                     &err) != TL_OK) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "Error deserializing task token.");
        return;
    }
    struct tl_parked *p = tl_map_get_num(&c->s->queries, token->query_id);
    if (!p) {
        tl_call_not_found(c, 0, "query task not found, or already expired");
        return;
    }
    tl_query_reply(c->s, p, 0, (int)req->completed_type, req->query_result, req->error_message,
                   req->failure, c->arena);
    tl_call_reply(c, 0, &r);
}
