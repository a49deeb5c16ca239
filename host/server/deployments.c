/* The table of worker deployments and what is stored of it. See deployments.h. */
#include "server/deployments.h"

#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"

#define RECORD_BYTES_MAX ((size_t)64 << 20)
#define KEY_PREFIX "deployment/"

/* --- the table ------------------------------------------------------------------------------------- */

/* "deployment/<namespace number>/<name>": its key in memory and in the meta table. */
static struct tl_str key_of(struct tl_server *s, const struct tl_namespace *ns, struct tl_str name)
{
    tl_buf_clear(&s->scratch);
    tl_buf_printf(&s->scratch, KEY_PREFIX "%016llx/", (unsigned long long)ns->number);
    tl_buf_put_str(&s->scratch, name);
    return tl_buf_str(&s->scratch);
}

static struct tl_str name_of(const struct tl_deployment *dep)
{
    return tl_str(dep->d->info->name);
}

static void deployment_free(struct tl_deployment *dep)
{
    tl_arena_deinit(&dep->arena);
    tl_mem_free((void *)(uintptr_t)dep->bytes.p);
    tl_mem_free(dep);
}

/* What is remembered about task queues follows from the table. */
static void forget_routes(struct tl_server *s)
{
    TL_MAP_EACH (e, &s->routes) {
        tl_mem_free(e->value);
    }
    tl_map_deinit(&s->routes);
    tl_map_init(&s->routes);
    tl_map_deinit(&s->polled_versions);
    tl_map_init(&s->polled_versions);
}

void tl_deployments_init(struct tl_server *s)
{
    tl_map_init(&s->deployments);
    tl_map_init(&s->routes);
    tl_map_init(&s->polled_versions);
}

static void clear(struct tl_server *s)
{
    TL_MAP_EACH (e, &s->deployments) {
        deployment_free(e->value);
    }
    tl_map_deinit(&s->deployments);
    tl_map_init(&s->deployments);
    forget_routes(s);
}

void tl_deployments_free(struct tl_server *s)
{
    clear(s);
    tl_map_deinit(&s->deployments);
    tl_map_deinit(&s->routes);
    tl_map_deinit(&s->polled_versions);
}

static tl_rc decode(struct tl_deployment *dep, struct tl_error *err)
{
    tl_arena_reset(&dep->arena);
    tl_rc rc =
        tl_pb_decode(&tl_v1__deployment_record__descriptor, dep->bytes, &dep->arena, &dep->d, err);
    if (rc == TL_OK && (!dep->d->info || !dep->d->info->routing_config)) {
        rc = tl_error_set(err, TL_EDECODE, "the record of a worker deployment is damaged");
    }
    return rc;
}

static tl_rc load_row(void *ud, struct tl_str key, struct tl_str value, struct tl_error *err)
{
    struct tl_server *s = ud;
    unsigned long long number = 0;
    char head[sizeof KEY_PREFIX + 16];
    if (key.n < sizeof head) {
        return tl_error_set(err, TL_EDECODE, "the key of a worker deployment is damaged");
    }
    memcpy(head, key.p, sizeof head - 1);
    head[sizeof head - 1] = 0;
    struct tl_namespace *ns = sscanf(head, KEY_PREFIX "%16llx", &number) == 1
                                  ? tl_map_get_num(&s->namespace_numbers, number)
                                  : NULL;
    if (!ns) {
        TL_LOG(TL_LOG_WARN, "server.deployment_without_namespace", TL_S("key", key));
        return TL_OK;
    }
    struct tl_deployment *dep = TL_NEW(struct tl_deployment);
    tl_arena_init(&dep->arena, RECORD_BYTES_MAX);
    dep->ns = ns;
    dep->bytes = (struct tl_str){tl_mem_dup(value), value.n};
    tl_rc rc = decode(dep, err);
    if (rc != TL_OK) {
        deployment_free(dep);
        return rc;
    }
    tl_map_put(&s->deployments, key, dep);
    return TL_OK;
}

tl_rc tl_deployments_load(struct tl_server *s, struct tl_error *err)
{
    clear(s);
    return tl_store_meta_each(tl_store_point_reader(s->store), TL_STR_LIT(KEY_PREFIX), load_row, s,
                              err);
}

struct tl_deployment *tl_deployment_find(struct tl_server *s, const struct tl_namespace *ns,
                                         struct tl_str name)
{
    return s->deployments.count ? tl_map_get(&s->deployments, key_of(s, ns, name)) : NULL;
}

struct tl_deployment *tl_deployment_make(struct tl_server *s, struct tl_namespace *ns,
                                         struct tl_str name, const char *identity)
{
    struct tl_deployment *dep = TL_NEW(struct tl_deployment);
    tl_arena_init(&dep->arena, RECORD_BYTES_MAX);
    struct tl_arena *a = &dep->arena;
    dep->ns = ns;
    dep->fresh = true;
    dep->d = TL_PB_NEW(a, TlV1__DeploymentRecord, tl_v1__deployment_record);
    TpDeployment__WorkerDeploymentInfo *info =
        TL_PB_NEW(a, TpDeployment__WorkerDeploymentInfo, tp_deployment__worker_deployment_info);
    TpDeployment__RoutingConfig *routing =
        TL_PB_NEW(a, TpDeployment__RoutingConfig, tp_deployment__routing_config);
    if (!dep->d || !info || !routing) {
        deployment_free(dep);
        return NULL;
    }
    dep->d->info = info;
    info->routing_config = routing;
    info->name = tl_pb_cstr(a, name);
    info->create_time = tl_pb_timestamp(a, tl_engine_now(s));
    info->last_modifier_identity = tl_pb_cstr(a, tl_str(identity));
    routing->current_version = tl_pb_cstr(a, TL_STR_LIT(TL_UNVERSIONED));
    tl_map_put(&s->deployments, key_of(s, ns, name), dep);
    return dep;
}

tl_rc tl_deployment_save(struct tl_server *s, struct tl_deployment *dep, bool client,
                         struct tl_error *err)
{
    struct tl_buf b;
    int64_t now = tl_engine_now(s);
    if (client || dep->fresh) {
        dep->d->changed_ns = now > dep->d->changed_ns ? now : dep->d->changed_ns + 1;
    }
    tl_buf_init(&b, RECORD_BYTES_MAX);
    tl_rc rc = tl_pb_encode(dep->d, &b, err);
    if (rc == TL_OK) {
        tl_mem_free((void *)(uintptr_t)dep->bytes.p);
        dep->bytes = (struct tl_str){tl_mem_dup(tl_buf_str(&b)), b.n};
        rc = decode(dep, err);
    }
    tl_buf_deinit(&b);
    if (rc != TL_OK) {
        tl_deployment_revert(s, dep);
        return rc;
    }
    dep->fresh = false;
    dep->seq = s->open->seq;
    tl_batch_meta_put(&s->open->ops, key_of(s, dep->ns, name_of(dep)), dep->bytes);
    forget_routes(s);
    return TL_OK;
}

void tl_deployment_revert(struct tl_server *s, struct tl_deployment *dep)
{
    struct tl_error err;
    if (dep->fresh) {
        tl_map_del(&s->deployments, key_of(s, dep->ns, name_of(dep)));
        deployment_free(dep);
    } else if (decode(dep, &err) != TL_OK) {
        /* It was decoded before: only memory can be short. Read again with the runs. */
        TL_LOG(TL_LOG_ERROR, "server.deployment_lost", TL_C("cause", err.message));
        s->poisoned = true;
    }
}

void tl_deployment_delete(struct tl_server *s, struct tl_deployment *dep)
{
    struct tl_str key = key_of(s, dep->ns, name_of(dep));
    tl_batch_meta_delete(&s->open->ops, key);
    tl_map_del(&s->deployments, key);
    deployment_free(dep);
    forget_routes(s);
}

void tl_deployments_each(struct tl_server *s, const struct tl_namespace *ns,
                         void (*fn)(void *ud, struct tl_deployment *dep), void *ud)
{
    TL_MAP_EACH (e, &s->deployments) {
        struct tl_deployment *dep = e->value;
        if (dep->ns == ns) {
            fn(ud, dep);
        }
    }
}

/* --- versions ---------------------------------------------------------------------------------------- */

tl_version_info *tl_deployment_version(const struct tl_deployment *dep, struct tl_str build_id)
{
    for (size_t i = 0; i < dep->d->n_versions; i++) {
        if (tl_str_eqc(build_id, dep->d->versions[i]->deployment_version->build_id)) {
            return dep->d->versions[i];
        }
    }
    return NULL;
}

bool tl_version_has_queue(const tl_version_info *v, struct tl_str queue, int type)
{
    for (size_t i = 0; i < v->n_task_queue_infos; i++) {
        if ((int)v->task_queue_infos[i]->type == type &&
            tl_str_eqc(queue, v->task_queue_infos[i]->name)) {
            return true;
        }
    }
    return false;
}

bool tl_version_polled(struct tl_server *s, const struct tl_deployment *dep,
                       const tl_version_info *v)
{
    struct tl_arena a;
    bool polled = false;
    tl_arena_init(&a, 1 << 16);
    struct tl_str version =
        tl_version_text(&a, dep->d->info->name, v->deployment_version->build_id);
    for (size_t i = 0; i < v->n_task_queue_infos; i++) {
        struct tl_match_key key = {dep->ns->number,
                                   tl_queue_type_of((int)v->task_queue_infos[i]->type), false,
                                   tl_str(v->task_queue_infos[i]->name), version};
        struct tl_match_queue_info info;
        tl_match_queue_info(&s->matcher, &key, tl_engine_now(s), &info);
        polled = polled || info.polls > 0 ||
                 tl_match_pollers(&s->matcher, &key, tl_engine_now(s), NULL, NULL) > 0;
    }
    tl_arena_deinit(&a);
    return polled;
}

void tl_deployment_drop_version(struct tl_deployment *dep, const tl_version_info *v)
{
    size_t kept = 0;
    for (size_t i = 0; i < dep->d->n_versions; i++) {
        if (dep->d->versions[i] != v) {
            dep->d->versions[kept++] = dep->d->versions[i];
        }
    }
    dep->d->n_versions = kept;
}

/* The oldest version that nobody needs makes room for a new one. */
static bool make_room(struct tl_server *s, struct tl_deployment *dep)
{
    for (size_t i = 0; i < dep->d->n_versions; i++) {
        const tl_version_info *v = dep->d->versions[i];
        bool idle = (int)v->status == WORKER_DEPLOYMENT_VERSION_STATUS_DRAINED ||
                    (int)v->status == WORKER_DEPLOYMENT_VERSION_STATUS_INACTIVE;
        if (idle && !tl_version_polled(s, dep, v)) {
            tl_deployment_drop_version(dep, v);
            return true;
        }
    }
    return false;
}

tl_rc tl_deployment_add_version(struct tl_server *s, struct tl_deployment *dep,
                                struct tl_str build_id, const char *identity, tl_version_info **out,
                                struct tl_error *err)
{
    struct tl_arena *a = &dep->arena;
    tl_drainage_refresh(s, dep);
    if (dep->d->n_versions >= (size_t)s->o.deployment_versions_max && !make_room(s, dep)) {
        return tl_error_set(err, TL_ELIMIT,
                            "worker deployment %s has %zu versions, as many as it may have, and "
                            "all are in use: delete drained versions",
                            dep->d->info->name, dep->d->n_versions);
    }
    tl_version_info *v =
        TL_PB_NEW(a, tl_version_info, tp_deployment__worker_deployment_version_info);
    struct tl_pb_list list = {0};
    for (size_t i = 0; i < dep->d->n_versions; i++) {
        if (!tl_pb_push(a, &list, dep->d->versions[i])) {
            v = NULL;
        }
    }
    if (!v || !tl_pb_push(a, &list, v)) {
        return tl_error_set(err, TL_ELIMIT, "the worker deployment is too large");
    }
    dep->d->versions = list.items;
    dep->d->n_versions = list.n;
    v->deployment_version = TL_PB_NEW(a, TpDeployment__WorkerDeploymentVersion,
                                      tp_deployment__worker_deployment_version);
    if (!v->deployment_version) {
        return tl_error_set(err, TL_ELIMIT, "the worker deployment is too large");
    }
    v->deployment_version->build_id = tl_pb_cstr(a, build_id);
    v->deployment_version->deployment_name = dep->d->info->name;
    v->deployment_name = dep->d->info->name;
    v->version = tl_arena_printf(a, "%s.%s", dep->d->info->name, v->deployment_version->build_id);
    v->create_time = tl_pb_timestamp(a, tl_engine_now(s));
    v->status = (TpEnums__WorkerDeploymentVersionStatus)WORKER_DEPLOYMENT_VERSION_STATUS_INACTIVE;
    v->last_modifier_identity = tl_pb_cstr(a, tl_str(identity));
    *out = v;
    return TL_OK;
}

/* --- what follows from the routing ------------------------------------------------------------------- */

static bool is_version(const TpDeployment__WorkerDeploymentVersion *at, const tl_version_info *v)
{
    return at && strcmp(at->build_id, v->deployment_version->build_id) == 0;
}

static void deactivate(struct tl_deployment *dep, tl_version_info *v,
                       Google__Protobuf__Timestamp *now)
{
    v->drainage_info = TL_PB_NEW(&dep->arena, TpDeployment__VersionDrainageInfo,
                                 tp_deployment__version_drainage_info);
    if (v->drainage_info) {
        v->drainage_info->status = (TpEnums__VersionDrainageStatus)VERSION_DRAINAGE_STATUS_DRAINING;
        v->drainage_info->last_changed_time = now;
        v->drainage_info->last_checked_time = now;
    }
    v->last_deactivation_time = now;
    v->current_since_time = v->ramping_since_time = NULL;
    v->ramp_percentage = 0;
    v->status = (TpEnums__WorkerDeploymentVersionStatus)WORKER_DEPLOYMENT_VERSION_STATUS_DRAINING;
}

static void activate(tl_version_info *v, bool current, float percentage,
                     Google__Protobuf__Timestamp *now)
{
    int status = current ? WORKER_DEPLOYMENT_VERSION_STATUS_CURRENT
                         : WORKER_DEPLOYMENT_VERSION_STATUS_RAMPING;
    if ((int)v->status != status) {
        v->current_since_time = current ? now : NULL;
        v->ramping_since_time = current ? NULL : now;
        v->first_activation_time = v->first_activation_time ? v->first_activation_time : now;
    }
    if (current) {
        v->last_current_time = now;
    }
    v->ramp_percentage = percentage;
    v->drainage_info = NULL;
    v->status = (TpEnums__WorkerDeploymentVersionStatus)status;
}

void tl_deployment_settle(struct tl_server *s, struct tl_deployment *dep)
{
    const TpDeployment__RoutingConfig *r = dep->d->info->routing_config;
    Google__Protobuf__Timestamp *now = tl_pb_timestamp(&dep->arena, tl_engine_now(s));
    for (size_t i = 0; i < dep->d->n_versions; i++) {
        tl_version_info *v = dep->d->versions[i];
        int before = (int)v->status;
        float percentage = v->ramp_percentage;
        bool was_active = before == WORKER_DEPLOYMENT_VERSION_STATUS_CURRENT ||
                          before == WORKER_DEPLOYMENT_VERSION_STATUS_RAMPING;
        if (is_version(r->current_deployment_version, v)) {
            activate(v, true, 0, now);
        } else if (is_version(r->ramping_deployment_version, v)) {
            activate(v, false, r->ramping_version_percentage, now);
        } else if (was_active) {
            deactivate(dep, v, now);
        }
        if ((int)v->status != before || percentage != v->ramp_percentage) {
            v->routing_changed_time = now;
        }
    }
}

/* --- drainage ------------------------------------------------------------------------------------------ */

/* The builds of the deployment on which pinned runs are open: one look at all runs, however many versions are
 * due, since a deployment may have a hundred of them and a namespace a hundred thousand runs. */
static void find_pinned_builds(struct tl_server *s, const struct tl_deployment *dep,
                               struct tl_map *builds)
{
    TL_MAP_EACH (entry, &s->runs) {
        const struct tl_exec *e = entry->value;
        struct tl_rs_versioning at;
        struct tl_str deployment, build_id;
        if (e->closed || e->ns != dep->ns) {
            continue;
        }
        tl_rs_versioning(e->rs, &at);
        if (at.behavior == VERSIONING_BEHAVIOR_PINNED &&
            tl_version_split(at.version, &deployment, &build_id) &&
            tl_str_eqc(deployment, dep->d->info->name) && !tl_map_get(builds, build_id)) {
            tl_map_put(builds, build_id, s);
        }
    }
}

static bool is_due(const struct tl_server *s, const tl_version_info *v, int64_t now)
{
    const TpDeployment__VersionDrainageInfo *d = v->drainage_info;
    if (!d) {
        return false;
    }
    int64_t changed = tl_pb_timestamp_ns_or(d->last_changed_time, 0);
    int64_t checked = tl_pb_timestamp_ns_or(d->last_checked_time, 0);
    int64_t wait = checked == changed ? s->o.drainage_grace_ns : s->o.drainage_refresh_ns;
    return now >= checked + wait && now > checked;
}

/* True when the status of the version changed. */
static bool set_drainage(struct tl_deployment *dep, tl_version_info *v, bool draining, int64_t now)
{
    TpDeployment__VersionDrainageInfo *d = v->drainage_info;
    int status = draining ? VERSION_DRAINAGE_STATUS_DRAINING : VERSION_DRAINAGE_STATUS_DRAINED;
    d->last_checked_time = tl_pb_timestamp(&dep->arena, now);
    if ((int)d->status == status) {
        return false;
    }
    d->status = (TpEnums__VersionDrainageStatus)status;
    d->last_changed_time = d->last_checked_time;
    v->status =
        (TpEnums__WorkerDeploymentVersionStatus)(draining
                                                     ? WORKER_DEPLOYMENT_VERSION_STATUS_DRAINING
                                                     : WORKER_DEPLOYMENT_VERSION_STATUS_DRAINED);
    return true;
}

void tl_drainage_refresh(struct tl_server *s, struct tl_deployment *dep)
{
    int64_t now = tl_engine_now(s);
    bool looked = false, changed = false;
    struct tl_map pinned;
    struct tl_error err;
    tl_map_init(&pinned);
    for (size_t i = 0; i < dep->d->n_versions; i++) {
        tl_version_info *v = dep->d->versions[i];
        if (!is_due(s, v, now)) {
            continue;
        }
        if (!looked) {
            find_pinned_builds(s, dep, &pinned);
            looked = true;
        }
        bool draining = tl_map_get(&pinned, tl_str(v->deployment_version->build_id)) != NULL;
        changed = set_drainage(dep, v, draining, now) || changed;
    }
    tl_map_deinit(&pinned);
    if (changed && tl_deployment_save(s, dep, false, &err) != TL_OK) {
        TL_LOG(TL_LOG_ERROR, "server.drainage_failed", TL_C("cause", err.message));
    }
}
