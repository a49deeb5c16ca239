/* Worker deployments: what they are, and where their routing goes. Thread: engine. */
#include "server/api/deployment.h"

#include <math.h>

#define TOKEN_BYTES 8
#define PAGE_DEFAULT 100

/* --- what several methods need ------------------------------------------------------------------------ */

static ProtobufCBinaryData token_of(struct tl_call *c, const struct tl_deployment *dep)
{
    char bytes[TOKEN_BYTES];
    uint64_t v = (uint64_t)dep->d->changed_ns;
    for (int i = 0; i < TOKEN_BYTES; i++) {
        bytes[i] = (char)(v >> (8 * i));
    }
    return tl_pb_bytes(c->arena, tl_str_n(bytes, sizeof bytes), NULL);
}

static bool check_token(struct tl_call *c, const struct tl_deployment *dep,
                        ProtobufCBinaryData token)
{
    if (token.len == 0 || tl_str_eq(tl_pb_str(token), tl_pb_str(token_of(c, dep)))) {
        return true;
    }
    tl_call_errorf(
        c, tl_rc_grpc_status(TL_EPRECONDITION),
        "conflict token mismatch: worker deployment %s was changed since it was described",
        dep->d->info->name);
    return false;
}

bool tl_api_check_manager(struct tl_call *c, const struct tl_deployment *dep, const char *identity)
{
    const char *manager = dep->d->info->manager_identity;
    if (!*manager || strcmp(manager, identity) == 0) {
        return true;
    }
    tl_call_errorf(c, tl_rc_grpc_status(TL_EPRECONDITION),
                   "worker deployment %s is managed by \"%s\", not by \"%s\": set the manager "
                   "identity to your own, or unset it",
                   dep->d->info->name, manager, identity);
    return false;
}

struct tl_deployment *tl_api_deployment(struct tl_call *c, const char *name)
{
    struct tl_error err;
    if (tl_deployment_check_name(name, &err) != TL_OK) {
        tl_call_errorf(c, tl_rc_grpc_status(err.code), "%s", err.message);
        return NULL;
    }
    struct tl_deployment *dep = tl_deployment_find(c->s, c->ns, tl_str(name));
    if (!dep) {
        tl_call_not_found(
            c, 0,
            tl_arena_printf(c->arena,
                            "there is no worker deployment \"%s\": it is made when its "
                            "first worker polls",
                            name));
        return NULL;
    }
    tl_drainage_refresh(c->s, dep);
    return dep;
}

bool tl_api_deployment_store(struct tl_call *c, struct tl_deployment *dep, const char *identity)
{
    struct tl_error err;
    if (*identity) {
        dep->d->info->last_modifier_identity = tl_pb_cstr(&dep->arena, tl_str(identity));
    }
    tl_deployment_settle(c->s, dep);
    if (tl_deployment_save(c->s, dep, true, &err) != TL_OK) {
        tl_call_errorf(c, tl_rc_grpc_status(err.code), "%s", err.message);
        return false;
    }
    return true;
}

bool tl_api_deployment_save(struct tl_call *c, struct tl_deployment *dep, const char *identity)
{
    if (!tl_api_deployment_store(c, dep, identity)) {
        return false;
    }
    tl_deployments_reroute(c->s, c->ns, c->arena);
    return true;
}

/* --- answers -------------------------------------------------------------------------------------------- */

typedef TpDeployment__WorkerDeploymentInfo__WorkerDeploymentVersionSummary summary;

static summary *summarise(struct tl_call *c, const tl_version_info *v)
{
    summary *m =
        TL_PB_NEW(c->arena, summary,
                  tp_deployment__worker_deployment_info__worker_deployment_version_summary);
    if (m) {
        m->version = v->version;
        m->status = v->status;
        m->deployment_version = v->deployment_version;
        m->create_time = v->create_time;
        m->drainage_info = v->drainage_info;
        if (v->drainage_info) {
            m->drainage_status = v->drainage_info->status;
        }
        m->current_since_time = v->current_since_time;
        m->ramping_since_time = v->ramping_since_time;
        m->routing_update_time = v->routing_changed_time;
        m->first_activation_time = v->first_activation_time;
        m->last_current_time = v->last_current_time;
        m->last_deactivation_time = v->last_deactivation_time;
    }
    return m;
}

static summary *summary_at(struct tl_call *c, const struct tl_deployment *dep,
                           const TpDeployment__WorkerDeploymentVersion *at)
{
    const tl_version_info *v = at ? tl_deployment_version(dep, tl_str(at->build_id)) : NULL;
    return v ? summarise(c, v) : NULL;
}

void tl_api_describe_worker_deployment(struct tl_call *c)
{
    const TpWs__DescribeWorkerDeploymentRequest *req = c->req;
    TpWs__DescribeWorkerDeploymentResponse r = TP_WS__DESCRIBE_WORKER_DEPLOYMENT_RESPONSE__INIT;
    struct tl_pb_list list = {0};
    struct tl_deployment *dep = tl_api_deployment(c, req->deployment_name);
    if (!dep) {
        return;
    }
    TpDeployment__WorkerDeploymentInfo info = *dep->d->info;
    for (size_t i = dep->d->n_versions; i > 0; i--) { /* the newest first */
        summary *m = summarise(c, dep->d->versions[i - 1]);
        if (!m || !tl_pb_push(c->arena, &list, m)) {
            tl_call_errorf(c, tl_rc_grpc_status(TL_ELIMIT), "the worker deployment is too large");
            return;
        }
    }
    info.n_version_summaries = list.n;
    info.version_summaries = list.items;
    info.routing_config_update_state =
        (TpEnums__RoutingConfigUpdateState)ROUTING_CONFIG_UPDATE_STATE_COMPLETED;
    r.worker_deployment_info = &info;
    r.conflict_token = token_of(c, dep);
    tl_call_reply(c, dep->seq, &r);
}

struct lister {
    struct tl_call *c;
    struct tl_pb_list list;
    size_t skip, max;
    uint64_t seq;
    bool more, full;
};

static void add_summary(void *ud, struct tl_deployment *dep)
{
    struct lister *l = ud;
    if (l->skip) {
        l->skip--;
        return;
    }
    if (l->list.n == l->max) {
        l->more = true;
        return;
    }
    tl_drainage_refresh(l->c->s, dep);
    TpWs__ListWorkerDeploymentsResponse__WorkerDeploymentSummary *m =
        TL_PB_NEW(l->c->arena, TpWs__ListWorkerDeploymentsResponse__WorkerDeploymentSummary,
                  tp_ws__list_worker_deployments_response__worker_deployment_summary);
    if (!m || !tl_pb_push(l->c->arena, &l->list, m)) {
        l->full = true;
        return;
    }
    const TpDeployment__WorkerDeploymentInfo *info = dep->d->info;
    m->name = info->name;
    m->create_time = info->create_time;
    m->routing_config = info->routing_config;
    if (dep->d->n_versions) {
        m->latest_version_summary = summarise(l->c, dep->d->versions[dep->d->n_versions - 1]);
    }
    m->current_version_summary =
        summary_at(l->c, dep, info->routing_config->current_deployment_version);
    m->ramping_version_summary =
        summary_at(l->c, dep, info->routing_config->ramping_deployment_version);
    l->seq = dep->seq > l->seq ? dep->seq : l->seq;
}

void tl_api_list_worker_deployments(struct tl_call *c)
{
    const TpWs__ListWorkerDeploymentsRequest *req = c->req;
    TpWs__ListWorkerDeploymentsResponse r = TP_WS__LIST_WORKER_DEPLOYMENTS_RESPONSE__INIT;
    struct lister l = {.c = c, .max = PAGE_DEFAULT};
    uint32_t skip = 0;
    if (req->next_page_token.len && req->next_page_token.len != sizeof skip) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "Invalid NextPageToken.");
        return;
    }
    if (req->next_page_token.len) {
        memcpy(&skip, req->next_page_token.data, sizeof skip);
    }
    if (req->page_size > 0 && req->page_size < 1000) {
        l.max = (size_t)req->page_size;
    }
    l.skip = skip;
    tl_deployments_each(c->s, c->ns, add_summary, &l);
    if (l.full) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_ELIMIT), "the page is too large");
        return;
    }
    r.n_worker_deployments = l.list.n;
    r.worker_deployments = l.list.items;
    if (l.more) {
        skip += (uint32_t)l.list.n;
        r.next_page_token = tl_pb_bytes(c->arena, tl_str_n((const char *)&skip, sizeof skip), NULL);
    }
    tl_call_reply(c, l.seq, &r);
}

/* --- routing ---------------------------------------------------------------------------------------------- */

/* The build id a request means: its own field, or behind the dot of the older one. NULL after an answer. */
static const char *wanted_build(struct tl_call *c, const char *deployment, const char *build_id,
                                const char *version)
{
    size_t n = strlen(deployment);
    if (*build_id || !*version || strcmp(version, TL_UNVERSIONED) == 0) {
        return build_id;
    }
    if (strncmp(version, deployment, n) != 0 || (version[n] != '.' && version[n] != ':')) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL),
                       "version \"%s\" is none of worker deployment %s", version, deployment);
        return NULL;
    }
    return version + n + 1;
}

/* A queue of the version that would lose its workers must have another deployment to go to. */
static const char *missing_queue(struct tl_call *c, const struct tl_deployment *dep,
                                 const tl_version_info *v)
{
    const TpDeployment__WorkerDeploymentVersion *at =
        dep->d->info->routing_config->current_deployment_version;
    const tl_version_info *old = at ? tl_deployment_version(dep, tl_str(at->build_id)) : NULL;
    for (size_t i = 0; old && i < old->n_task_queue_infos; i++) {
        const TpDeployment__WorkerDeploymentVersionInfo__VersionTaskQueueInfo *q =
            old->task_queue_infos[i];
        const struct tl_route *route =
            tl_route_of_queue(c->s, c->ns, tl_str(q->name), (int)q->type);
        struct tl_str mine = tl_version_text(c->arena, at->deployment_name, at->build_id);
        if (!tl_version_has_queue(v, tl_str(q->name), (int)q->type) &&
            tl_str_eq(route->current, mine)) {
            return q->name;
        }
    }
    return NULL;
}

/* The version to route to; *out NULL: unversioned. False after an answer. */
static bool target(struct tl_call *c, struct tl_deployment *dep, const char *build_id,
                   const char *identity, bool allow_no_pollers, bool ignore_missing,
                   tl_version_info **out)
{
    struct tl_error err;
    *out = *build_id ? tl_deployment_version(dep, tl_str(build_id)) : NULL;
    if (!*build_id) {
        return true;
    }
    if (!*out && !allow_no_pollers) {
        tl_call_not_found(
            c, 0,
            tl_arena_printf(c->arena,
                            "worker deployment %s has no version with build ID \"%s\": "
                            "it is made when its first worker polls, or at once with "
                            "allow_no_pollers",
                            dep->d->info->name, build_id));
        return false;
    }
    tl_rc rc = TL_OK;
    if (!*out) {
        rc = tl_deployment_check_build_id(build_id, &err);
        rc = rc == TL_OK
                 ? tl_deployment_add_version(c->s, dep, tl_str(build_id), identity, out, &err)
                 : rc;
    }
    if (rc != TL_OK) {
        tl_deployment_revert(c->s, dep);
        tl_call_errorf(c, tl_rc_grpc_status(rc), "%s", err.message);
        return false;
    }
    const char *missing = ignore_missing ? NULL : missing_queue(c, dep, *out);
    if (missing) {
        tl_call_errorf(
            c, tl_rc_grpc_status(TL_EPRECONDITION),
            "version %s does not poll task queue \"%s\", which the current version does: "
            "start its workers there, or ignore missing task queues",
            build_id, missing);
        tl_deployment_revert(c->s, dep);
        return false;
    }
    return true;
}

static bool same_version(const TpDeployment__WorkerDeploymentVersion *a, const tl_version_info *b)
{
    return a && b ? strcmp(a->build_id, b->deployment_version->build_id) == 0 : !a && !b;
}

/* The table's messages go when it is saved. */
static TpDeployment__WorkerDeploymentVersion *
copy_version(struct tl_call *c, const TpDeployment__WorkerDeploymentVersion *v)
{
    return v ? tl_pb_clone(v, c->arena) : NULL;
}

static char *old_text(struct tl_arena *a, const tl_version_info *v, bool unversioned)
{
    return v ? v->version
             : tl_pb_cstr(a, unversioned ? TL_STR_LIT(TL_UNVERSIONED) : TL_STR_LIT(""));
}

static void unset_ramp(TpDeployment__RoutingConfig *r, Google__Protobuf__Timestamp *now)
{
    r->ramping_deployment_version = NULL;
    r->ramping_version = (char *)(uintptr_t) "";
    r->ramping_version_percentage = 0;
    r->ramping_version_changed_time = r->ramping_version_percentage_changed_time = now;
}

/* The deployment a client may change; a new one when it may have no pollers. NULL after an answer. */
static struct tl_deployment *to_change(struct tl_call *c, const char *name, const char *identity,
                                       ProtobufCBinaryData token, bool make)
{
    struct tl_error err;
    bool known = tl_deployment_find(c->s, c->ns, tl_str(name)) != NULL;
    if (!known && make && tl_deployment_check_name(name, &err) == TL_OK) {
        return tl_deployment_make(c->s, c->ns, tl_str(name), identity);
    }
    if (!known && tl_deployment_check_name(name, &err) == TL_OK) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EPRECONDITION),
                       "there is no worker deployment \"%s\": it is made when its first worker "
                       "polls, or at once with allow_no_pollers",
                       name);
        return NULL;
    }
    struct tl_deployment *dep = tl_api_deployment(c, name);
    return dep && check_token(c, dep, token) && tl_api_check_manager(c, dep, identity) ? dep : NULL;
}

/* What the two requests that change routing have in common. */
struct wanted_route {
    const char *deployment_name, *build_id, *version, *identity;
    ProtobufCBinaryData conflict_token;
    bool allow_no_pollers, ignore_missing_task_queues;
};
#define WANTED_ROUTE(req)                                                                          \
    (&(struct wanted_route){(req)->deployment_name, (req)->build_id, (req)->version,               \
                            (req)->identity, (req)->conflict_token, (req)->allow_no_pollers,       \
                            (req)->ignore_missing_task_queues})

/* The deployment whose routing changes, *v the version it goes to (NULL: unversioned). NULL after an answer. */
static struct tl_deployment *to_route(struct tl_call *c, const struct wanted_route *r,
                                      tl_version_info **v)
{
    const char *build_id = wanted_build(c, r->deployment_name, r->build_id, r->version);
    if (!build_id) {
        return NULL;
    }
    struct tl_deployment *dep = to_change(c, r->deployment_name, r->identity, r->conflict_token,
                                          *build_id && r->allow_no_pollers);
    return dep && target(c, dep, build_id, r->identity, r->allow_no_pollers,
                         r->ignore_missing_task_queues, v)
               ? dep
               : NULL;
}

void tl_api_set_worker_deployment_current_version(struct tl_call *c)
{
    const TpWs__SetWorkerDeploymentCurrentVersionRequest *req = c->req;
    TpWs__SetWorkerDeploymentCurrentVersionResponse r =
        TP_WS__SET_WORKER_DEPLOYMENT_CURRENT_VERSION_RESPONSE__INIT;
    tl_version_info *v;
    struct tl_deployment *dep = to_route(c, WANTED_ROUTE(req), &v);
    if (!dep) {
        return;
    }
    TpDeployment__RoutingConfig *routing = dep->d->info->routing_config;
    r.previous_version = tl_pb_cstr(c->arena, tl_str(routing->current_version));
    r.previous_deployment_version = copy_version(c, routing->current_deployment_version);
    if (!same_version(routing->current_deployment_version, v)) {
        Google__Protobuf__Timestamp *now = tl_pb_timestamp(&dep->arena, tl_engine_now(c->s));
        if (v && same_version(routing->ramping_deployment_version, v)) {
            unset_ramp(routing, now);
        }
        routing->current_deployment_version = v ? v->deployment_version : NULL;
        routing->current_version = old_text(&dep->arena, v, true);
        routing->current_version_changed_time = now;
        routing->revision_number++;
        if (!tl_api_deployment_save(c, dep, req->identity)) {
            return;
        }
    }
    r.conflict_token = token_of(c, dep);
    tl_call_reply(c, dep->seq, &r);
}

static bool check_ramp(struct tl_call *c, const struct tl_deployment *dep, const tl_version_info *v,
                       float percentage)
{
    const TpDeployment__RoutingConfig *r = dep->d->info->routing_config;
    if (!(percentage >= 0 && percentage <= 100)) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL),
                       "the percentage of a ramp is a number from 0 to 100");
        return false;
    }
    if ((v && same_version(r->current_deployment_version, v)) ||
        (!v && percentage > 0 && !r->current_deployment_version)) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EPRECONDITION),
                       "ramping version %s is already the current one",
                       v ? v->deployment_version->build_id : TL_UNVERSIONED);
        return false;
    }
    return true;
}

void tl_api_set_worker_deployment_ramping_version(struct tl_call *c)
{
    const TpWs__SetWorkerDeploymentRampingVersionRequest *req = c->req;
    TpWs__SetWorkerDeploymentRampingVersionResponse r =
        TP_WS__SET_WORKER_DEPLOYMENT_RAMPING_VERSION_RESPONSE__INIT;
    tl_version_info *v;
    struct tl_deployment *dep = to_route(c, WANTED_ROUTE(req), &v);
    if (!dep) {
        return;
    }
    if (!check_ramp(c, dep, v, req->percentage)) {
        tl_deployment_revert(c->s, dep);
        return;
    }
    TpDeployment__RoutingConfig *routing = dep->d->info->routing_config;
    bool moved = !same_version(routing->ramping_deployment_version, v) ||
                 (!v && (req->percentage > 0) != (routing->ramping_version_percentage > 0));
    bool changed = moved || fabsf(routing->ramping_version_percentage - req->percentage) > 0;
    r.previous_version = tl_pb_cstr(c->arena, tl_str(routing->ramping_version));
    r.previous_percentage = routing->ramping_version_percentage;
    r.previous_deployment_version = copy_version(c, routing->ramping_deployment_version);
    if (changed) {
        Google__Protobuf__Timestamp *now = tl_pb_timestamp(&dep->arena, tl_engine_now(c->s));
        routing->ramping_deployment_version = v ? v->deployment_version : NULL;
        routing->ramping_version = old_text(&dep->arena, v, req->percentage > 0);
        routing->ramping_version_percentage = req->percentage;
        routing->ramping_version_percentage_changed_time = now;
        routing->ramping_version_changed_time = moved ? now : routing->ramping_version_changed_time;
        routing->revision_number++;
        if (!tl_api_deployment_save(c, dep, req->identity)) {
            return;
        }
    }
    r.conflict_token = token_of(c, dep);
    tl_call_reply(c, dep->seq, &r);
}

/* --- the deployment itself --------------------------------------------------------------------------------- */

void tl_api_set_worker_deployment_manager(struct tl_call *c)
{
    const TpWs__SetWorkerDeploymentManagerRequest *req = c->req;
    TpWs__SetWorkerDeploymentManagerResponse r =
        TP_WS__SET_WORKER_DEPLOYMENT_MANAGER_RESPONSE__INIT;
    bool self = req->new_manager_identity_case ==
                    TP_WS__SET_WORKER_DEPLOYMENT_MANAGER_REQUEST__NEW_MANAGER_IDENTITY_SELF &&
                req->self;
    bool named =
        req->new_manager_identity_case ==
        TP_WS__SET_WORKER_DEPLOYMENT_MANAGER_REQUEST__NEW_MANAGER_IDENTITY_MANAGER_IDENTITY;
    if ((!self && !named) || (self && !*req->identity)) {
        tl_call_errorf(
            c, tl_rc_grpc_status(TL_EINVAL),
            "set manager_identity (empty: none), or self with the identity of the caller");
        return;
    }
    struct tl_deployment *dep = tl_api_deployment(c, req->deployment_name);
    if (!dep || !check_token(c, dep, req->conflict_token)) {
        return;
    }
    const char *manager = self ? req->identity : req->manager_identity;
    r.previous_manager_identity = tl_pb_cstr(c->arena, tl_str(dep->d->info->manager_identity));
    if (strcmp(manager, dep->d->info->manager_identity) != 0) {
        dep->d->info->manager_identity = tl_pb_cstr(&dep->arena, tl_str(manager));
        if (!tl_api_deployment_store(c, dep, req->identity)) {
            return;
        }
    }
    r.conflict_token = token_of(c, dep);
    tl_call_reply(c, dep->seq, &r);
}

void tl_api_create_worker_deployment(struct tl_call *c)
{
    const TpWs__CreateWorkerDeploymentRequest *req = c->req;
    TpWs__CreateWorkerDeploymentResponse r = TP_WS__CREATE_WORKER_DEPLOYMENT_RESPONSE__INIT;
    struct tl_error err = {0};
    tl_rc rc = tl_deployment_check_name(req->deployment_name, &err);
    struct tl_deployment *dep =
        rc == TL_OK ? tl_deployment_find(c->s, c->ns, tl_str(req->deployment_name)) : NULL;
    /* The same request once more: its first answer was lost. */
    bool again = dep && *req->request_id && strcmp(dep->d->create_request_id, req->request_id) == 0;
    if (dep && !again) {
        rc = tl_error_set(&err, TL_EEXISTS, "there is a worker deployment \"%s\" already",
                          req->deployment_name);
    }
    if (rc == TL_OK && !dep) {
        dep = tl_deployment_make(c->s, c->ns, tl_str(req->deployment_name), req->identity);
        rc = dep ? TL_OK : tl_error_set(&err, TL_ELIMIT, "there is no memory for it");
        if (dep) {
            dep->d->create_request_id = tl_pb_cstr(&dep->arena, tl_str(req->request_id));
            rc = tl_deployment_save(c->s, dep, true, &err);
        }
    }
    if (rc != TL_OK) {
        tl_call_errorf(c, tl_rc_grpc_status(rc), "%s", err.message);
        return;
    }
    r.conflict_token = token_of(c, dep);
    tl_call_reply(c, dep->seq, &r);
}

void tl_api_delete_worker_deployment(struct tl_call *c)
{
    const TpWs__DeleteWorkerDeploymentRequest *req = c->req;
    TpWs__DeleteWorkerDeploymentResponse r = TP_WS__DELETE_WORKER_DEPLOYMENT_RESPONSE__INIT;
    struct tl_deployment *dep = tl_api_deployment(c, req->deployment_name);
    if (!dep || !tl_api_check_manager(c, dep, req->identity)) {
        return;
    }
    if (dep->d->n_versions) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EPRECONDITION),
                       "worker deployment %s still has %zu versions: delete them first",
                       req->deployment_name, dep->d->n_versions);
        return;
    }
    tl_deployment_delete(c->s, dep);
    tl_call_reply(c, c->s->open->seq, &r);
}
