/* Versions of worker deployments, and the options of a run that say on which it is. Thread: engine. */
#include "server/api/deployment.h"

/* --- finding ----------------------------------------------------------------------------------------------- */

/* The two names of a version: the message, or the older "deployment.build". */
static bool names(struct tl_call *c, const TpDeployment__WorkerDeploymentVersion *v,
                  const char *version, const char **deployment, const char **build_id)
{
    const char *dot = strpbrk(version, ".:");
    if (v) {
        *deployment = v->deployment_name;
        *build_id = v->build_id;
    } else if (dot) {
        *deployment = tl_arena_cstr(c->arena, tl_str_n(version, (size_t)(dot - version)));
        *build_id = dot + 1;
    }
    if ((!v && !dot) || !*deployment || !**build_id) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL),
                       "deployment_version needs a deployment name and a build ID");
        return false;
    }
    return true;
}

static tl_version_info *find(struct tl_call *c, const TpDeployment__WorkerDeploymentVersion *v,
                             const char *version, struct tl_deployment **dep)
{
    const char *deployment, *build_id;
    if (!names(c, v, version, &deployment, &build_id)) {
        return NULL;
    }
    *dep = tl_api_deployment(c, deployment);
    tl_version_info *found = *dep ? tl_deployment_version(*dep, tl_str(build_id)) : NULL;
    if (*dep && !found) {
        tl_call_not_found(
            c, (*dep)->seq,
            tl_arena_printf(c->arena, "worker deployment %s has no version with build ID \"%s\"",
                            deployment, build_id));
    }
    return found;
}

/* --- describe ------------------------------------------------------------------------------------------------ */

static TpTq__TaskQueueStats *stats_of(struct tl_call *c, const tl_version_info *v,
                                      const char *queue, int type)
{
    struct tl_match_queue_info info;
    struct tl_match_key key = {
        c->ns->number, tl_queue_type_of(type), false, tl_str(queue),
        tl_version_text(c->arena, v->deployment_name, v->deployment_version->build_id)};
    TpTq__TaskQueueStats *stats =
        TL_PB_NEW(c->arena, TpTq__TaskQueueStats, tp_tq__task_queue_stats);
    tl_match_queue_info(&c->s->matcher, &key, tl_engine_now(c->s), &info);
    if (stats) {
        stats->approximate_backlog_count = (int64_t)info.backlog;
        stats->tasks_add_rate = (float)info.added_per_s;
        stats->tasks_dispatch_rate = (float)info.taken_per_s;
        stats->approximate_backlog_age =
            tl_pb_duration_ns(c->arena, info.oldest_ns ? tl_engine_now(c->s) - info.oldest_ns : 0);
    }
    return stats;
}

void tl_api_describe_worker_deployment_version(struct tl_call *c)
{
    const TpWs__DescribeWorkerDeploymentVersionRequest *req = c->req;
    TpWs__DescribeWorkerDeploymentVersionResponse r =
        TP_WS__DESCRIBE_WORKER_DEPLOYMENT_VERSION_RESPONSE__INIT;
    struct tl_deployment *dep;
    struct tl_pb_list list = {0};
    tl_version_info *v = find(c, req->deployment_version, req->version, &dep);
    if (!v) {
        return;
    }
    for (size_t i = 0; i < v->n_task_queue_infos; i++) {
        TpWs__DescribeWorkerDeploymentVersionResponse__VersionTaskQueue *q =
            TL_PB_NEW(c->arena, TpWs__DescribeWorkerDeploymentVersionResponse__VersionTaskQueue,
                      tp_ws__describe_worker_deployment_version_response__version_task_queue);
        if (!q || !tl_pb_push(c->arena, &list, q)) {
            tl_call_errorf(c, tl_rc_grpc_status(TL_ELIMIT), "the version is too large");
            return;
        }
        q->name = v->task_queue_infos[i]->name;
        q->type = v->task_queue_infos[i]->type;
        if (req->report_task_queue_stats) {
            q->stats = stats_of(c, v, q->name, (int)q->type);
        }
    }
    r.worker_deployment_version_info = v;
    r.n_version_task_queues = list.n;
    r.version_task_queues = list.items;
    tl_call_reply(c, dep->seq, &r);
}

/* --- delete -------------------------------------------------------------------------------------------------- */

void tl_api_delete_worker_deployment_version(struct tl_call *c)
{
    const TpWs__DeleteWorkerDeploymentVersionRequest *req = c->req;
    TpWs__DeleteWorkerDeploymentVersionResponse r =
        TP_WS__DELETE_WORKER_DEPLOYMENT_VERSION_RESPONSE__INIT;
    struct tl_deployment *dep;
    const char *why = NULL;
    tl_version_info *v = find(c, req->deployment_version, req->version, &dep);
    if (!v || !tl_api_check_manager(c, dep, req->identity)) {
        return;
    }
    int status = (int)v->status;
    if (status == WORKER_DEPLOYMENT_VERSION_STATUS_CURRENT ||
        status == WORKER_DEPLOYMENT_VERSION_STATUS_RAMPING) {
        why = "it is current or ramping: route its traffic to another version first";
    } else if (tl_version_polled(c->s, dep, v)) {
        why = "workers poll for it, or did in the last five minutes";
    } else if (status == WORKER_DEPLOYMENT_VERSION_STATUS_DRAINING && !req->skip_drainage) {
        why = "it is draining: wait until it has drained, or skip that";
    }
    if (why) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EPRECONDITION), "version %s cannot be deleted: %s",
                       v->deployment_version->build_id, why);
        return;
    }
    tl_deployment_drop_version(dep, v);
    /* Nothing goes to a version that has drained: then there is no need to look at all that waits. */
    bool in_use = status == WORKER_DEPLOYMENT_VERSION_STATUS_DRAINING;
    if ((in_use ? tl_api_deployment_save : tl_api_deployment_store)(c, dep, req->identity)) {
        tl_call_reply(c, dep->seq, &r);
    }
}

/* --- metadata ------------------------------------------------------------------------------------------------ */

static bool removed(const TpWs__UpdateWorkerDeploymentVersionMetadataRequest *req, const char *key)
{
    for (size_t i = 0; i < req->n_remove_entries; i++) {
        if (strcmp(req->remove_entries[i], key) == 0) {
            return true;
        }
    }
    return false;
}

static bool upserted(const TpWs__UpdateWorkerDeploymentVersionMetadataRequest *req, const char *key)
{
    for (size_t i = 0; i < req->n_upsert_entries; i++) {
        if (strcmp(req->upsert_entries[i]->key, key) == 0) {
            return true;
        }
    }
    return false;
}

static bool put_entry(struct tl_arena *a, struct tl_pb_list *list, const char *key,
                      const TpCommon__Payload *value)
{
    TpDeployment__VersionMetadata__EntriesEntry *e =
        TL_PB_NEW(a, TpDeployment__VersionMetadata__EntriesEntry,
                  tp_deployment__version_metadata__entries_entry);
    if (!e || !tl_pb_push(a, list, e)) {
        return false;
    }
    e->key = tl_pb_cstr(a, tl_str(key));
    e->value = (TpCommon__Payload *)(uintptr_t)value; /* is encoded before the request goes */
    return true;
}

void tl_api_update_worker_deployment_version_metadata(struct tl_call *c)
{
    const TpWs__UpdateWorkerDeploymentVersionMetadataRequest *req = c->req;
    TpWs__UpdateWorkerDeploymentVersionMetadataResponse r =
        TP_WS__UPDATE_WORKER_DEPLOYMENT_VERSION_METADATA_RESPONSE__INIT;
    struct tl_deployment *dep;
    struct tl_pb_list list = {0};
    tl_version_info *v = find(c, req->deployment_version, req->version, &dep);
    if (!v || !tl_api_check_manager(c, dep, req->identity)) {
        return;
    }
    struct tl_arena *a = &dep->arena;
    const TpDeployment__VersionMetadata *old = v->metadata;
    bool ok = true;
    for (size_t i = 0; ok && old && i < old->n_entries; i++) {
        const char *key = old->entries[i]->key;
        ok = removed(req, key) || upserted(req, key) ||
             put_entry(a, &list, key, old->entries[i]->value);
    }
    for (size_t i = 0; ok && i < req->n_upsert_entries; i++) {
        ok = put_entry(a, &list, req->upsert_entries[i]->key, req->upsert_entries[i]->value);
    }
    TpDeployment__VersionMetadata *now =
        TL_PB_NEW(a, TpDeployment__VersionMetadata, tp_deployment__version_metadata);
    if (!ok || !now) {
        tl_deployment_revert(c->s, dep);
        tl_call_errorf(c, tl_rc_grpc_status(TL_ELIMIT), "the metadata is too large");
        return;
    }
    now->n_entries = list.n;
    now->entries = list.items;
    v->metadata = now;
    v->last_modifier_identity = tl_pb_cstr(a, tl_str(req->identity));
    char *build_id = tl_pb_cstr(c->arena, tl_str(v->deployment_version->build_id));
    if (tl_api_deployment_store(c, dep, req->identity)) {
        v = tl_deployment_version(dep, tl_str(build_id));
        r.metadata = v ? v->metadata : NULL;
        tl_call_reply(c, dep->seq, &r);
    }
}
