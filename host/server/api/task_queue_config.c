/* UpdateTaskQueueConfig: rate limits of task queues. Thread: engine. */
#include "server/api/api.h"
#include "server/task_queues.h"

#define REASON_BYTES_MAX 1000

typedef TpWs__UpdateTaskQueueConfigRequest__RateLimitUpdate rate_update;

static bool refuse(struct tl_call *c, tl_rc code, const char *message)
{
    tl_call_errorf(c, tl_rc_grpc_status(code), "%s", message);
    return false;
}

static bool check_rate(struct tl_call *c, const rate_update *u)
{
    const TpWs__UpdateTaskQueueConfigRequest *req = c->req;
    if (!u || !u->rate_limit) {
        return true;
    }
    if ((int)req->task_queue_type == TASK_QUEUE_TYPE_WORKFLOW) {
        return refuse(c, TL_EINVAL, "Setting rate limit on workflow task queues is not allowed.");
    }
    if (!(u->rate_limit->requests_per_second >= 0)) { /* a NaN, too */
        return refuse(
            c, TL_EINVAL,
            "RequestsPerSecond for UpdateQueueRateLimit rate limit must be non-negative.");
    }
    if (strlen(u->reason) > REASON_BYTES_MAX) {
        return refuse(c, TL_EINVAL,
                      "UpdateQueueRateLimit.Reason field too long (max 1000 characters).");
    }
    return true;
}

static bool check(struct tl_call *c)
{
    const TpWs__UpdateTaskQueueConfigRequest *req = c->req;
    int type = (int)req->task_queue_type;
    if (!tl_api_check_id(c, "TaskQueue", req->task_queue, true) ||
        !tl_api_check_id(c, "Identity", req->identity, false)) {
        return false;
    }
    if (type < TASK_QUEUE_TYPE_WORKFLOW || type > TASK_QUEUE_TYPE_NEXUS) {
        return refuse(c, TL_EINVAL, "TaskQueueType is not set on request.");
    }
    /* Nothing here tells tasks of one fairness key from those of another. */
    if (req->update_fairness_key_rate_limit_default || req->n_set_fairness_weight_overrides ||
        req->n_unset_fairness_weight_overrides) {
        return refuse(
            c, TL_EUNIMPLEMENTED,
            "this server knows no fairness keys: only the limit of the whole queue can be "
            "set (update_queue_rate_limit)");
    }
    return check_rate(c, req->update_queue_rate_limit);
}

void tl_api_update_task_queue_config(struct tl_call *c)
{
    const TpWs__UpdateTaskQueueConfigRequest *req = c->req;
    const rate_update *u = req->update_queue_rate_limit;
    TpWs__UpdateTaskQueueConfigResponse r = TP_WS__UPDATE_TASK_QUEUE_CONFIG_RESPONSE__INIT;
    TpTq__TaskQueueConfig config = TP_TQ__TASK_QUEUE_CONFIG__INIT;
    TpTq__RateLimitConfig limit = TP_TQ__RATE_LIMIT_CONFIG__INIT;
    TpTq__ConfigMetadata metadata = TP_TQ__CONFIG_METADATA__INIT;
    struct tl_error err;
    if (!check(c)) {
        return;
    }
    struct tl_str name = tl_str(req->task_queue);
    int type = (int)req->task_queue_type;
    if (u) {
        metadata.reason = u->reason;
        metadata.update_identity = req->identity;
        metadata.update_time = tl_pb_timestamp(c->arena, tl_engine_now(c->s));
        limit.rate_limit = u->rate_limit;
        limit.metadata = &metadata;
        config.queue_rate_limit = &limit;
        if (tl_task_queue_configure(c->s, c->ns, name, type, &config, &err) != TL_OK) {
            tl_call_errorf(c, tl_rc_grpc_status(err.code), "%s", err.message);
            return;
        }
    }
    const struct tl_queue_settings *q = tl_task_queue_settings(c->s, c->ns, name, type);
    r.config = q && q->config ? q->config : &config;
    tl_call_reply(c, q ? q->seq : 0, &r);
}
