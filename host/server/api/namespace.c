/* Namespaces. What is stored is the description itself; its capabilities are those of this server and
 * are filled in when it is shown. Thread: engine. */
#include <temporal/api/operatorservice/v1/request_response.pb-c.h>

#include "base/limits.h"
#include "server/api/api.h"

#define RETENTION_MIN_NS (3600 * TL_NS_PER_S)

TpWs__DescribeNamespaceResponse *tl_api_namespace(struct tl_call *c, const struct tl_namespace *ns)
{
    TpWs__DescribeNamespaceResponse *d = NULL;
    struct tl_error err;
    if (tl_pb_decode(&tp_ws__describe_namespace_response__descriptor, ns->bytes, c->arena, &d,
                     &err) != TL_OK) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINTERNAL), "the namespace cannot be shown");
        return NULL;
    }
    return d;
}

static TpWs__DescribeNamespaceResponse *description(struct tl_call *c,
                                                    const struct tl_namespace *ns)
{
    TpWs__DescribeNamespaceResponse *d = tl_api_namespace(c, ns);
    if (!d) {
        return NULL;
    }
    TpNamespace__NamespaceInfo__Capabilities *caps =
        TL_PB_NEW(c->arena, TpNamespace__NamespaceInfo__Capabilities,
                  tp_namespace__namespace_info__capabilities);
    TpNamespace__NamespaceInfo__Limits *limits = TL_PB_NEW(
        c->arena, TpNamespace__NamespaceInfo__Limits, tp_namespace__namespace_info__limits);
    if (!caps || !limits) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINTERNAL), "the namespace cannot be shown");
        return NULL;
    }
    caps->worker_poll_complete_on_shutdown = true;
    limits->blob_size_limit_error = c->s->env.limits.blob_bytes;
    limits->memo_size_limit_error = c->s->env.limits.memo_bytes;
    caps->sync_update = true;
    caps->async_update = true;
    caps->workflow_pause = true;
    caps->worker_heartbeats = true;
    caps->worker_commands = c->s->o.worker_commands != 0;
    caps->poller_autoscaling = true;
    caps->eager_workflow_start = true;
    caps->standalone_activities = true;
    caps->standalone_nexus_operation = true;
    caps->standalone_activity_start_delay = true;
    caps->standalone_activity_batch_operations = true;
    caps->standalone_activity_operator_commands = true;
    d->namespace_info->capabilities = caps;
    d->namespace_info->limits = limits;
    return d;
}

static struct tl_namespace *find(struct tl_call *c, const char *name, const char *id)
{
    struct tl_namespace *ns = *name ? tl_namespace_find(c->s, tl_str(name)) : NULL;
    if (!*name) {
        TL_MAP_EACH (e, &c->s->namespaces) {
            struct tl_namespace *other = e->value;
            if (tl_str_eqc(other->id, id) && !other->deleted) {
                ns = other;
            }
        }
    }
    if (!ns) {
        TpErrdetails__NamespaceNotFoundFailure d = TP_ERRDETAILS__NAMESPACE_NOT_FOUND_FAILURE__INIT;
        d.namespace_ = tl_pb_cstr(c->arena, tl_str(*name ? name : id));
        char *text = tl_arena_printf(c->arena, "Namespace %s is not found.", d.namespace_);
        tl_call_error(c, c->s->namespaces_deleted_seq, tl_rc_grpc_status(TL_ENOTFOUND), text, &d);
    }
    return ns;
}

/* False after an answer: this server is one cluster and keeps no archive. */
static bool check_single(struct tl_call *c, bool global, int history, int visibility)
{
    if (global) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL),
                       "global namespaces: this server replicates to no other cluster");
        return false;
    }
    if (history == ARCHIVAL_STATE_ENABLED || visibility == ARCHIVAL_STATE_ENABLED) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL),
                       "archival: this server keeps no archive, only what is within the retention");
        return false;
    }
    return true;
}

static bool check_cluster(struct tl_call *c, const char *name)
{
    if (*name && strcmp(name, TL_CLUSTER_NAME) != 0) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL),
                       "cluster \"%s\": this server knows itself alone, as \"" TL_CLUSTER_NAME "\"",
                       name);
        return false;
    }
    return true;
}

static bool check_clusters(struct tl_call *c, const char *active,
                           TpReplication__ClusterReplicationConfig *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!check_cluster(c, list[i]->cluster_name)) {
            return false;
        }
    }
    return check_cluster(c, active);
}

void tl_api_register_namespace(struct tl_call *c)
{
    const TpWs__RegisterNamespaceRequest *req = c->req;
    TpWs__RegisterNamespaceResponse r = TP_WS__REGISTER_NAMESPACE_RESPONSE__INIT;
    int64_t retention = tl_pb_duration_ns_or(req->workflow_execution_retention_period, 0);
    struct tl_namespace *old = tl_map_get(&c->s->namespaces, tl_str(req->namespace_));
    if (!tl_namespace_name_ok(tl_str(req->namespace_))) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "%s",
                       *req->namespace_ ? "Invalid namespace name."
                                        : "Namespace not set on request.");
        return;
    }
    if (old) {
        TpErrdetails__NamespaceAlreadyExistsFailure d =
            TP_ERRDETAILS__NAMESPACE_ALREADY_EXISTS_FAILURE__INIT;
        tl_call_error(c, old->seq, tl_rc_grpc_status(TL_EEXISTS),
                      tl_arena_printf(c->arena, "Namespace \"%s\" already exists", req->namespace_),
                      &d);
        return;
    }
    if (retention < RETENTION_MIN_NS) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL),
                       "A valid retention period is not set on request.");
        return;
    }
    if (!check_single(c, req->is_global_namespace, (int)req->history_archival_state,
                      (int)req->visibility_archival_state) ||
        !check_clusters(c, req->active_cluster_name, req->clusters, req->n_clusters)) {
        return;
    }
    TpWs__DescribeNamespaceResponse *d = tl_namespace_describe_new(c->s, req, retention, c->arena);
    struct tl_namespace *ns = d ? tl_namespace_put(c->s, d) : NULL;
    if (!ns) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_ELIMIT),
                       "the description of the namespace is too large");
        return;
    }
    tl_call_reply(c, ns->seq, &r);
}

void tl_api_describe_namespace(struct tl_call *c)
{
    const TpWs__DescribeNamespaceRequest *req = c->req;
    if (!*req->namespace_ && !*req->id) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "Namespace not set on request.");
        return;
    }
    struct tl_namespace *ns = find(c, req->namespace_, req->id);
    TpWs__DescribeNamespaceResponse *d = ns ? description(c, ns) : NULL;
    if (d) {
        tl_call_reply(c, ns->seq, d);
    }
}

void tl_api_list_namespaces(struct tl_call *c)
{
    const TpWs__ListNamespacesRequest *req = c->req;
    TpWs__ListNamespacesResponse r = TP_WS__LIST_NAMESPACES_RESPONSE__INIT;
    TlV1__ListToken token = TL_V1__LIST_TOKEN__INIT;
    const TlV1__ListToken *after = NULL;
    struct tl_pb_list list = {0};
    struct tl_error err;
    uint64_t seq = 0;
    size_t page = req->page_size > 0 && req->page_size < 1000 ? (size_t)req->page_size : 1000;
    if (req->next_page_token.len &&
        tl_pb_decode(&tl_v1__list_token__descriptor, tl_pb_str(req->next_page_token), c->arena,
                     &after, &err) != TL_OK) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "Invalid NextPageToken.");
        return;
    }
    TL_MAP_EACH (e, &c->s->namespaces) {
        struct tl_namespace *ns = e->value;
        bool hidden =
            ns->deleted && !(req->namespace_filter && req->namespace_filter->include_deleted);
        if (hidden || (after && (int64_t)ns->number <= after->number)) {
            continue;
        }
        if (list.n == page) {
            struct tl_str bytes;
            if (tl_pb_encode_arena(&token, c->arena, &bytes, &err) == TL_OK) {
                r.next_page_token = tl_pb_bytes_view(bytes);
            }
            break;
        }
        TpWs__DescribeNamespaceResponse *d = description(c, ns);
        if (!d) {
            return;
        }
        if (!tl_pb_push(c->arena, &list, d)) {
            break;
        }
        token.number = (int64_t)ns->number;
        seq = ns->seq > seq ? ns->seq : seq;
    }
    r.n_namespaces = list.n;
    r.namespaces = list.items;
    tl_call_reply(c, seq, &r);
}

static void apply_update(const TpWs__UpdateNamespaceRequest *req,
                         TpWs__DescribeNamespaceResponse *d, struct tl_arena *arena)
{
    const TpNamespace__UpdateNamespaceInfo *u = req->update_info;
    if (u && *u->description) {
        d->namespace_info->description = u->description;
    }
    if (u && *u->owner_email) {
        d->namespace_info->owner_email = u->owner_email;
    }
    for (size_t i = 0; u && i < u->n_data; i++) {
        struct tl_pb_list data = {0};
        for (size_t k = 0; k < d->namespace_info->n_data; k++) {
            if (strcmp(d->namespace_info->data[k]->key, u->data[i]->key) != 0) {
                tl_pb_push(arena, &data, d->namespace_info->data[k]);
            }
        }
        TpNamespace__NamespaceInfo__DataEntry *e = TL_PB_NEW(
            arena, TpNamespace__NamespaceInfo__DataEntry, tp_namespace__namespace_info__data_entry);
        if (e) {
            e->key = u->data[i]->key;
            e->value = u->data[i]->value;
            tl_pb_push(arena, &data, e);
        }
        d->namespace_info->n_data = data.n;
        d->namespace_info->data = data.items;
    }
    if (req->config && req->config->workflow_execution_retention_ttl) {
        d->config->workflow_execution_retention_ttl = req->config->workflow_execution_retention_ttl;
    }
}

void tl_api_update_namespace(struct tl_call *c)
{
    const TpWs__UpdateNamespaceRequest *req = c->req;
    TpWs__UpdateNamespaceResponse r = TP_WS__UPDATE_NAMESPACE_RESPONSE__INIT;
    struct tl_namespace *ns = find(c, req->namespace_, "");
    TpWs__DescribeNamespaceResponse *d = ns ? description(c, ns) : NULL;
    if (!d) {
        return;
    }
    if (req->config && req->config->workflow_execution_retention_ttl &&
        tl_pb_duration_ns_or(req->config->workflow_execution_retention_ttl, 0) < RETENTION_MIN_NS) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "A minimal retention of 1h is needed.");
        return;
    }
    const TpNamespace__NamespaceConfig *config = req->config;
    const TpReplication__NamespaceReplicationConfig *replication = req->replication_config;
    if (!check_single(c, req->promote_namespace, config ? (int)config->history_archival_state : 0,
                      config ? (int)config->visibility_archival_state : 0) ||
        (replication && !check_clusters(c, replication->active_cluster_name, replication->clusters,
                                        replication->n_clusters))) {
        return;
    }
    if (replication && (int)replication->state == REPLICATION_STATE_HANDOVER) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL),
                       "handover: this server replicates to no other cluster");
        return;
    }
    struct tl_error err;
    if (req->config && tl_attrs_merge(d->config, req->config, c->arena, &err) != TL_OK) {
        tl_call_errorf(c, tl_rc_grpc_status(err.code), "%s", err.message);
        return;
    }
    apply_update(req, d, c->arena);
    ns = tl_namespace_put(c->s, d);
    if (!ns) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_ELIMIT),
                       "the description of the namespace is too large");
        return;
    }
    r.namespace_info = d->namespace_info;
    r.config = d->config;
    r.replication_config = d->replication_config;
    tl_call_reply(c, ns->seq, &r);
}

/* Its runs go in the background; the name is free at once. */
void tl_api_delete_namespace(struct tl_call *c)
{
    const TpOs__DeleteNamespaceRequest *req = c->req;
    TpOs__DeleteNamespaceResponse r = TP_OS__DELETE_NAMESPACE_RESPONSE__INIT;
    struct tl_error err;
    if (!*req->namespace_ && !*req->namespace_id) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "Namespace not set on request.");
        return;
    }
    if (*req->namespace_ && *req->namespace_id) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL),
                       "give the name of the namespace or its id, not both");
        return;
    }
    if (tl_pb_duration_ns_or(req->namespace_delete_delay, 0) > 0) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL),
                       "namespace_delete_delay: this server deletes at once");
        return;
    }
    struct tl_namespace *ns = find(c, req->namespace_, req->namespace_id);
    if (!ns) {
        return;
    }
    if (tl_namespace_delete(c->s, ns, c->arena, &err) != TL_OK) {
        tl_call_errorf(c, tl_rc_grpc_status(err.code), "%s", err.message);
        return;
    }
    r.deleted_namespace = tl_pb_cstr(c->arena, ns->name);
    tl_call_reply(c, ns->seq, &r);
}
