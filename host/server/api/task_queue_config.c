/* UpdateTaskQueueConfig: rate limits and fairness weights of task queues. Thread: engine. */
#include "server/api/api.h"
#include "server/task_queues.h"

#define REASON_BYTES_MAX 1000
#define FAIRNESS_KEY_BYTES_MAX 64
#define WEIGHTS_MAX 1000

typedef TpWs__UpdateTaskQueueConfigRequest__RateLimitUpdate rate_update;
typedef TpWs__UpdateTaskQueueConfigRequest__SetFairnessWeightOverridesEntry set_entry;
typedef TpTq__TaskQueueConfig__FairnessWeightOverridesEntry weight_entry;

static bool refuse(struct tl_call *c, tl_rc code, const char *message)
{
    tl_call_errorf(c, tl_rc_grpc_status(code), "%s", message);
    return false;
}

static bool check_rate(struct tl_call *c, const rate_update *u, const char *what, const char *label)
{
    const TpWs__UpdateTaskQueueConfigRequest *req = c->req;
    if (!u || !u->rate_limit) {
        return true;
    }
    if ((int)req->task_queue_type == TASK_QUEUE_TYPE_WORKFLOW) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL),
                       "Setting %s on workflow task queues is not allowed.", what);
        return false;
    }
    if (!(u->rate_limit->requests_per_second >= 0)) { /* a NaN, too */
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL),
                       "RequestsPerSecond for %s rate limit must be non-negative.", label);
        return false;
    }
    if (strlen(u->reason) > REASON_BYTES_MAX) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL),
                       "%s.Reason field too long (max %d characters).", label, REASON_BYTES_MAX);
        return false;
    }
    return true;
}

static bool check_key(struct tl_call *c, const char *key)
{
    if (!*key) {
        return refuse(c, TL_EINVAL, "fairness weight override key must not be empty");
    }
    return strlen(key) <= FAIRNESS_KEY_BYTES_MAX ||
           refuse(c, TL_EINVAL, "fairness key length exceeds limit");
}

static bool is_unset(const TpWs__UpdateTaskQueueConfigRequest *req, const char *key)
{
    for (size_t i = 0; i < req->n_unset_fairness_weight_overrides; i++) {
        if (strcmp(req->unset_fairness_weight_overrides[i], key) == 0) {
            return true;
        }
    }
    return false;
}

static bool check_weights(struct tl_call *c)
{
    const TpWs__UpdateTaskQueueConfigRequest *req = c->req;
    size_t n = req->n_set_fairness_weight_overrides + req->n_unset_fairness_weight_overrides;
    if (n > WEIGHTS_MAX) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL),
                       "too many fairness weight overrides in request: got %zu, maximum %d", n,
                       WEIGHTS_MAX);
        return false;
    }
    for (size_t i = 0; i < req->n_set_fairness_weight_overrides; i++) {
        const set_entry *e = req->set_fairness_weight_overrides[i];
        if (!check_key(c, e->key)) {
            return false;
        }
        if (!(e->value > 0)) {
            tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL),
                           "invalid fairness weight for key \"%s\": must be greater than zero",
                           e->key);
            return false;
        }
        if (is_unset(req, e->key)) {
            tl_call_errorf(
                c, tl_rc_grpc_status(TL_EINVAL),
                "fairness weight override key \"%s\" present in both set and unset lists", e->key);
            return false;
        }
    }
    for (size_t i = 0; i < req->n_unset_fairness_weight_overrides; i++) {
        if (!check_key(c, req->unset_fairness_weight_overrides[i])) {
            return false;
        }
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
    return check_rate(c, req->update_queue_rate_limit, "rate limit", "UpdateQueueRateLimit") &&
           check_rate(c, req->update_fairness_key_rate_limit_default, "fairness key rate limit",
                      "UpdateFairnessKeyRateLimitDefault") &&
           check_weights(c);
}

/* What an update makes of a limit; the one that is there when there is no update. */
static TpTq__RateLimitConfig *updated(struct tl_call *c, const rate_update *u,
                                      TpTq__RateLimitConfig *now)
{
    const TpWs__UpdateTaskQueueConfigRequest *req = c->req;
    if (!u) {
        return now;
    }
    TpTq__RateLimitConfig *limit =
        TL_PB_NEW(c->arena, TpTq__RateLimitConfig, tp_tq__rate_limit_config);
    TpTq__ConfigMetadata *metadata =
        TL_PB_NEW(c->arena, TpTq__ConfigMetadata, tp_tq__config_metadata);
    if (limit && metadata) {
        metadata->reason = u->reason;
        metadata->update_identity = req->identity;
        metadata->update_time = tl_pb_timestamp(c->arena, tl_engine_now(c->s));
        limit->rate_limit = u->rate_limit;
        limit->metadata = metadata;
    }
    return limit;
}

static bool set_weight(struct tl_call *c, struct tl_pb_list *list, const set_entry *set)
{
    weight_entry **all = list->items;
    for (size_t i = 0; i < list->n; i++) {
        if (strcmp(all[i]->key, set->key) == 0) {
            all[i]->value = set->value;
            return true;
        }
    }
    weight_entry *e = TL_PB_NEW(c->arena, weight_entry,
                                tp_tq__task_queue_config__fairness_weight_overrides_entry);
    if (!e || !tl_pb_push(c->arena, list, e)) {
        return refuse(c, TL_ELIMIT, "the weights of fairness keys are too large");
    }
    e->key = set->key;
    e->value = set->value;
    return true;
}

/* The weights that are there, without those that are unset, with those that are set. Answers when they are
 * too many. */
static bool merge_weights(struct tl_call *c, TpTq__TaskQueueConfig *config)
{
    const TpWs__UpdateTaskQueueConfigRequest *req = c->req;
    struct tl_pb_list list = {0};
    for (size_t i = 0; i < config->n_fairness_weight_overrides; i++) {
        const weight_entry *e = config->fairness_weight_overrides[i];
        set_entry copy = {.key = e->key, .value = e->value};
        if (!is_unset(req, e->key) && !set_weight(c, &list, &copy)) {
            return false;
        }
    }
    for (size_t i = 0; i < req->n_set_fairness_weight_overrides; i++) {
        if (!set_weight(c, &list, req->set_fairness_weight_overrides[i])) {
            return false;
        }
    }
    if (list.n > WEIGHTS_MAX) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL),
                       "fairness weight overrides update rejected: the queue would have %zu of "
                       "them, maximum %d",
                       list.n, WEIGHTS_MAX);
        return false;
    }
    config->n_fairness_weight_overrides = list.n;
    config->fairness_weight_overrides = list.items;
    return true;
}

void tl_api_update_task_queue_config(struct tl_call *c)
{
    const TpWs__UpdateTaskQueueConfigRequest *req = c->req;
    TpWs__UpdateTaskQueueConfigResponse r = TP_WS__UPDATE_TASK_QUEUE_CONFIG_RESPONSE__INIT;
    TpTq__TaskQueueConfig config = TP_TQ__TASK_QUEUE_CONFIG__INIT;
    struct tl_error err;
    if (!check(c)) {
        return;
    }
    struct tl_str name = tl_str(req->task_queue);
    int type = (int)req->task_queue_type;
    const struct tl_queue_settings *q = tl_task_queue_settings(c->s, c->ns, name, type);
    if (q && q->config) {
        config = *q->config;
    }
    if (req->update_queue_rate_limit || req->update_fairness_key_rate_limit_default ||
        req->n_set_fairness_weight_overrides || req->n_unset_fairness_weight_overrides) {
        config.queue_rate_limit = updated(c, req->update_queue_rate_limit, config.queue_rate_limit);
        config.fairness_keys_rate_limit_default =
            updated(c, req->update_fairness_key_rate_limit_default,
                    config.fairness_keys_rate_limit_default);
        if (!merge_weights(c, &config)) {
            return;
        }
        if (tl_task_queue_configure(c->s, c->ns, name, type, &config, &err) != TL_OK) {
            tl_call_errorf(c, tl_rc_grpc_status(err.code), "%s", err.message);
            return;
        }
        q = tl_task_queue_settings(c->s, c->ns, name, type);
    }
    r.config = q && q->config ? q->config : &config;
    tl_call_reply(c, q ? q->seq : 0, &r);
}
