/* Where the routing of worker deployments sends a task, and what a versioned poll makes known.
 * See deployments.h. */
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "server/deployments.h"
#include "server/version_sets.h"

/* Task queues whose routes are remembered; beyond, all are forgotten at once. */
#define ROUTES_MAX 10000

/* --- routes ------------------------------------------------------------------------------------------- */

struct search {
    struct tl_str queue;
    int type;
    int64_t current_ns, ramping_ns;
    struct tl_deployment *current, *ramping;
};

static const TpDeployment__RoutingConfig *routing_of(const struct tl_deployment *dep)
{
    return dep->d->info->routing_config;
}

static bool serves(const struct tl_deployment *dep, const TpDeployment__WorkerDeploymentVersion *at,
                   const struct search *q)
{
    const tl_version_info *v = at ? tl_deployment_version(dep, tl_str(at->build_id)) : NULL;
    return v && tl_version_has_queue(v, q->queue, q->type);
}

/* Of several deployments with workers on one queue the one that was routed last counts. */
static void consider(void *ud, struct tl_deployment *dep)
{
    struct search *q = ud;
    const TpDeployment__RoutingConfig *r = routing_of(dep);
    int64_t current_ns = tl_pb_timestamp_ns_or(r->current_version_changed_time, 0);
    int64_t ramping_ns = tl_pb_timestamp_ns_or(r->ramping_version_changed_time, 0);
    bool has_current = serves(dep, r->current_deployment_version, q);
    bool ramps = r->ramping_version_percentage > 0;
    if (has_current && current_ns > q->current_ns) {
        q->current = dep;
        q->current_ns = current_ns;
    }
    /* A ramp to unversioned workers concerns the queues of the current version. */
    bool has_ramping =
        r->ramping_deployment_version ? serves(dep, r->ramping_deployment_version, q) : has_current;
    if (ramps && has_ramping && ramping_ns > q->ramping_ns) {
        q->ramping = dep;
        q->ramping_ns = ramping_ns;
    }
}

static struct tl_route *route_new(struct tl_arena *a, const struct search *q)
{
    struct tl_str current = {0}, ramping = {0};
    if (q->current) {
        const TpDeployment__WorkerDeploymentVersion *v =
            routing_of(q->current)->current_deployment_version;
        current = tl_version_text(a, v->deployment_name, v->build_id);
    }
    if (q->ramping && routing_of(q->ramping)->ramping_deployment_version) {
        const TpDeployment__WorkerDeploymentVersion *v =
            routing_of(q->ramping)->ramping_deployment_version;
        ramping = tl_version_text(a, v->deployment_name, v->build_id);
    }
    struct tl_route *r = tl_mem_alloc(sizeof *r + current.n + ramping.n + 1);
    char *text = (char *)(r + 1);
    memcpy(text, current.p ? current.p : "", current.n);
    memcpy(text + current.n, ramping.p ? ramping.p : "", ramping.n);
    *r = (struct tl_route){.current = tl_str_n(text, current.n),
                           .ramping = tl_str_n(text + current.n, ramping.n),
                           .has_current = q->current != NULL,
                           .has_ramping = q->ramping != NULL};
    r->percentage = q->ramping ? routing_of(q->ramping)->ramping_version_percentage : 0;
    r->changed_ns = q->current_ns > q->ramping_ns ? q->current_ns : q->ramping_ns;
    return r;
}

static struct tl_str route_key(struct tl_server *s, const struct tl_namespace *ns,
                               struct tl_str queue, int type)
{
    tl_buf_clear(&s->scratch);
    tl_buf_put(&s->scratch, &ns->number, sizeof ns->number);
    tl_buf_put(&s->scratch, &"wan"[tl_queue_type_of(type)], 1);
    tl_buf_put_str(&s->scratch, queue);
    return tl_buf_str(&s->scratch);
}

const struct tl_route *tl_route_of_queue(struct tl_server *s, const struct tl_namespace *ns,
                                         struct tl_str queue, int type)
{
    static const struct tl_route none;
    if (s->deployments.count == 0) {
        return &none;
    }
    struct tl_route *r = tl_map_get(&s->routes, route_key(s, ns, queue, type));
    if (r) {
        return r;
    }
    struct search q = {.queue = queue, .type = type};
    struct tl_arena a;
    tl_deployments_each(s, ns, consider, &q);
    if (s->routes.count >= ROUTES_MAX) {
        TL_MAP_EACH (e, &s->routes) {
            tl_mem_free(e->value);
        }
        tl_map_deinit(&s->routes);
        tl_map_init(&s->routes);
    }
    tl_arena_init(&a, 1 << 16);
    r = route_new(&a, &q);
    tl_arena_deinit(&a);
    tl_map_put(&s->routes, route_key(s, ns, queue, type), r);
    return r;
}

/* --- versions of tasks --------------------------------------------------------------------------------- */

/* Where a workflow id stands among all, from 0 to 100: the same for ever, so that a ramp that grows
 * only adds workflows. */
static double ramp_place(struct tl_str workflow_id)
{
    uint64_t h = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < workflow_id.n; i++) {
        h = (h ^ (unsigned char)workflow_id.p[i]) * UINT64_C(1099511628211);
    }
    h ^= h >> 33; /* the last bytes reach the upper bits */
    h *= UINT64_C(0xff51afd7ed558ccd);
    h ^= h >> 33;
    return 100.0 * (double)(h >> 11) / 9007199254740992.0;
}

static struct tl_str routed(struct tl_server *s, struct tl_exec *e, struct tl_str queue, int type)
{
    const struct tl_route *r = tl_route_of_queue(s, e->ns, queue, type);
    if (r->has_ramping) {
        struct tl_str id = {e->key + sizeof e->ns->number, e->key_n - sizeof e->ns->number};
        if (ramp_place(id) < (double)r->percentage) {
            return r->ramping;
        }
    }
    return r->current;
}

/* The version of a set of builds; empty when the task is for none. A run that has had a task by workers without a
 * build stays with them. */
static struct tl_str by_set(struct tl_server *s, struct tl_exec *e,
                            const struct tl_rs_versioning *v, struct tl_str queue, bool with_run)
{
    struct tl_rs_info info;
    if (!s->version_sets.count && !v->set_build.n) {
        return (struct tl_str){0};
    }
    tl_rs_info(e->rs, &info);
    if (with_run && !v->set_build.n && info.ever_completed_wft) {
        return (struct tl_str){0};
    }
    return tl_version_sets_route(s, e->ns, queue, with_run ? v->set_build : (struct tl_str){0});
}

struct tl_str tl_route_workflow(struct tl_server *s, struct tl_exec *e, struct tl_str queue)
{
    struct tl_rs_versioning v;
    tl_rs_versioning(e->rs, &v);
    if (v.behavior == VERSIONING_BEHAVIOR_PINNED) {
        return v.version;
    }
    struct tl_str version = routed(s, e, queue, TASK_QUEUE_TYPE_WORKFLOW);
    return version.n ? version : by_set(s, e, &v, queue, true);
}

bool tl_version_serves(struct tl_server *s, const struct tl_namespace *ns, struct tl_str version,
                       struct tl_str queue, int type)
{
    struct tl_str name, build_id;
    if (!tl_version_split(version, &name, &build_id)) {
        return false;
    }
    const struct tl_deployment *dep = tl_deployment_find(s, ns, name);
    const tl_version_info *v = dep ? tl_deployment_version(dep, build_id) : NULL;
    return v && tl_version_has_queue(v, queue, type);
}

struct tl_str tl_route_activity(struct tl_server *s, struct tl_exec *e, struct tl_str queue,
                                bool with_run)
{
    struct tl_rs_versioning v;
    tl_rs_versioning(e->rs, &v);
    /* An activity on a queue that the run's version does not serve follows that queue. */
    if (v.behavior == VERSIONING_BEHAVIOR_PINNED &&
        tl_version_serves(s, e->ns, v.version, queue, TASK_QUEUE_TYPE_ACTIVITY)) {
        return v.version;
    }
    struct tl_str version = routed(s, e, queue, TASK_QUEUE_TYPE_ACTIVITY);
    return version.n ? version : by_set(s, e, &v, queue, with_run);
}

/* --- polls ------------------------------------------------------------------------------------------------ */

static tl_rc check_name(const char *what, const char *value, const char *forbidden,
                        struct tl_error *err)
{
    if (!*value) {
        return tl_error_set(err, TL_EINVAL, "deployment options need %s", what);
    }
    const char *bad = strpbrk(value, forbidden);
    if (bad || strncmp(value, "__", 2) == 0) {
        return tl_error_set(err, TL_EINVAL,
                            "not %s: \"%s\" (it may have none of \"%s\" and not begin with __)",
                            what, value, forbidden);
    }
    return TL_OK;
}

tl_rc tl_deployment_check_name(const char *name, struct tl_error *err)
{
    return check_name("a deployment name", name, ":.", err);
}

tl_rc tl_deployment_check_build_id(const char *build_id, struct tl_error *err)
{
    return check_name("a build ID", build_id, "", err);
}

static tl_rc add_queue(struct tl_deployment *dep, tl_version_info *v, struct tl_str queue, int type,
                       struct tl_error *err)
{
    struct tl_arena *a = &dep->arena;
    struct tl_pb_list list = {0};
    TpDeployment__WorkerDeploymentVersionInfo__VersionTaskQueueInfo *q =
        TL_PB_NEW(a, TpDeployment__WorkerDeploymentVersionInfo__VersionTaskQueueInfo,
                  tp_deployment__worker_deployment_version_info__version_task_queue_info);
    bool ok = q != NULL;
    for (size_t i = 0; ok && i < v->n_task_queue_infos; i++) {
        ok = tl_pb_push(a, &list, v->task_queue_infos[i]);
    }
    if (!ok || !tl_pb_push(a, &list, q)) {
        return tl_error_set(err, TL_ELIMIT, "the worker deployment is too large");
    }
    q->name = tl_pb_cstr(a, queue);
    q->type = (TpEnums__TaskQueueType)type;
    v->task_queue_infos = list.items;
    v->n_task_queue_infos = list.n;
    return TL_OK;
}

/* *changed: it was not known before. */
static tl_rc make_known(struct tl_server *s, struct tl_namespace *ns,
                        const TpDeployment__WorkerDeploymentOptions *o, struct tl_str queue,
                        int type, const char *identity, bool *changed, struct tl_error *err)
{
    struct tl_deployment *dep = tl_deployment_find(s, ns, tl_str(o->deployment_name));
    tl_rc rc = TL_OK;
    if (!dep) {
        dep = tl_deployment_make(s, ns, tl_str(o->deployment_name), identity);
    }
    if (!dep) {
        return tl_error_set(err, TL_ELIMIT, "there is no memory for a worker deployment");
    }
    tl_version_info *v = tl_deployment_version(dep, tl_str(o->build_id));
    if (v && tl_version_has_queue(v, queue, type)) {
        return TL_OK;
    }
    *changed = true;
    if (!v) {
        rc = tl_deployment_add_version(s, dep, tl_str(o->build_id), identity, &v, err);
    }
    if (rc == TL_OK && v->n_task_queue_infos >= (size_t)s->o.deployment_queues_max) {
        rc = tl_error_set(err, TL_ELIMIT,
                          "version %s of worker deployment %s polls %zu task queues, as many as it "
                          "may",
                          o->build_id, o->deployment_name, v->n_task_queue_infos);
    }
    if (rc == TL_OK) {
        rc = add_queue(dep, v, queue, type, err);
    }
    if (rc != TL_OK) {
        tl_deployment_revert(s, dep);
        return rc;
    }
    tl_deployment_settle(s, dep);
    return tl_deployment_save(s, dep, false, err);
}

tl_rc tl_deployments_polled(struct tl_server *s, struct tl_namespace *ns,
                            const TpDeployment__WorkerDeploymentOptions *o, struct tl_str queue,
                            int type, const char *identity, struct tl_arena *arena,
                            struct tl_error *err)
{
    struct tl_buf key;
    tl_rc rc = tl_deployment_check_name(o->deployment_name, err);
    if (rc == TL_OK) {
        rc = tl_deployment_check_build_id(o->build_id, err);
    }
    if (rc != TL_OK) {
        return rc;
    }
    tl_buf_init(&key, 1 << 16);
    tl_buf_put_str(&key, route_key(s, ns, queue, type));
    tl_buf_put(&key, "", 1);
    tl_buf_puts(&key, o->deployment_name);
    tl_buf_puts(&key, ":");
    tl_buf_puts(&key, o->build_id);
    if (!tl_map_get(&s->polled_versions, tl_buf_str(&key))) {
        bool changed = false;
        rc = make_known(s, ns, o, queue, type, identity, &changed, err);
        if (rc == TL_OK) {
            tl_map_put(&s->polled_versions, tl_buf_str(&key), s);
        }
        if (rc == TL_OK && changed) {
            tl_deployments_reroute(s, ns, arena);
        }
    }
    tl_buf_deinit(&key);
    return rc;
}

/* --- what waits ---------------------------------------------------------------------------------------------- */

/* A run with tasks that wait. */
struct waiting {
    struct tl_match_place oldest;
    uint64_t run;
};

static int compare_age(const void *a, const void *b)
{
    const struct waiting *x = a, *y = b;
    return tl_match_older(&x->oldest, &y->oldest) ? -1 : x != y;
}

/* False when none of its tasks waits. */
static bool waits(const struct tl_exec *e, struct waiting *out)
{
    bool found = tl_match_task_queued(&e->wft.task);
    out->run = e->number;
    out->oldest = e->wft.task.place;
    TL_LIST_EACH (it, &e->activities) {
        const struct tl_match_task *t = &TL_CONTAINER(it, struct tl_activity_task, link)->task;
        if (tl_match_task_queued(t) && (!found || tl_match_older(&t->place, &out->oldest))) {
            found = true;
            out->oldest = t->place;
        }
    }
    return found;
}

void tl_deployments_reroute(struct tl_server *s, const struct tl_namespace *ns,
                            struct tl_arena *arena)
{
    size_t n = 0;
    struct waiting *runs = TL_NEW_ARRAY(struct waiting, s->runs.count + 1);
    TL_MAP_EACH (entry, &s->runs) {
        const struct tl_exec *e = entry->value;
        n += e->ns == ns && !e->closed && waits(e, &runs[n]);
    }
    qsort(runs, n, sizeof runs[0], compare_age); /* who waited longest arrives first */
    for (size_t i = 0; i < n; i++) {
        struct tl_exec *e = tl_map_get_num(&s->runs, runs[i].run);
        if (e && !e->closed) {
            tl_dispatch_routed(s, e, arena);
        }
    }
    tl_mem_free(runs);
    TL_MAP_EACH (entry, &s->queries) {
        struct tl_parked *p = entry->value;
        if (p->ns == ns && tl_match_task_queued(&p->task)) {
            tl_parked_wake(s, p);
        }
    }
}
