/* Sets of compatible builds: the table, its operations, what is stored of it. See version_sets.h. */
#include "server/version_sets.h"

#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"
#include "server/deployments.h"

#define RECORD_BYTES_MAX ((size_t)1 << 20)
#define KEY_PREFIX "version-sets/"
#define KEY_HEAD (sizeof KEY_PREFIX - 1 + 16 + 1) /* with "<namespace number>/" */
/* The service's defaults for one task queue. */
#define SETS_MAX 10
#define BUILDS_MAX 100

struct queue_sets {
    struct tl_arena arena;
    TlV1__VersionSets *v; /* in the arena */
    uint64_t seq;
};

/* --- looking up ---------------------------------------------------------------------------------- */

static struct tl_str key_of(struct tl_server *s, const struct tl_namespace *ns, struct tl_str queue)
{
    tl_buf_clear(&s->scratch);
    tl_buf_printf(&s->scratch, KEY_PREFIX "%016llx/", (unsigned long long)ns->number);
    tl_buf_put_str(&s->scratch, queue);
    return tl_buf_str(&s->scratch);
}

const TlV1__VersionSets *tl_version_sets_of(struct tl_server *s, const struct tl_namespace *ns,
                                            struct tl_str queue, uint64_t *seq)
{
    const struct queue_sets *q =
        s->version_sets.count ? tl_map_get(&s->version_sets, key_of(s, ns, queue)) : NULL;
    *seq = q ? q->seq : 0;
    return q ? q->v : NULL;
}

/* Where a build ID is; false when it is in no set. */
static bool find(const TlV1__VersionSets *v, struct tl_str build_id, size_t *set, size_t *at)
{
    for (size_t i = 0; v && i < v->n_sets; i++) {
        for (size_t k = 0; k < v->sets[i]->n_build_ids; k++) {
            if (tl_str_eqc(build_id, v->sets[i]->build_ids[k])) {
                *set = i;
                *at = k;
                return true;
            }
        }
    }
    return false;
}

struct tl_str tl_version_of_build(struct tl_arena *arena, const char *build_id)
{
    char *text = build_id && *build_id ? tl_arena_printf(arena, ":%s", build_id) : NULL;
    return text ? tl_str(text) : (struct tl_str){0};
}

static struct tl_str without_colon(struct tl_str build)
{
    return build.n ? tl_str_n(build.p + 1, build.n - 1) : build;
}

struct tl_str tl_version_sets_route(struct tl_server *s, const struct tl_namespace *ns,
                                    struct tl_str queue, struct tl_str build)
{
    uint64_t seq;
    size_t set, at;
    const TlV1__VersionSets *v = tl_version_sets_of(s, ns, queue, &seq);
    if (build.n) {
        return find(v, without_colon(build), &set, &at) ? tl_str(v->sets[set]->version) : build;
    }
    return v && v->n_sets ? tl_str(v->sets[v->n_sets - 1]->version) : (struct tl_str){0};
}

struct tl_str tl_version_sets_newer(struct tl_server *s, const struct tl_namespace *ns,
                                    struct tl_str queue, struct tl_str build)
{
    uint64_t seq;
    size_t set, at;
    const TlV1__VersionSets *v = tl_version_sets_of(s, ns, queue, &seq);
    if (!find(v, without_colon(build), &set, &at) || at + 1 == v->sets[set]->n_build_ids) {
        return (struct tl_str){0};
    }
    return tl_str(v->sets[set]->build_ids[v->sets[set]->n_build_ids - 1]);
}

/* --- operations ---------------------------------------------------------------------------------- */

/* On a copy of the sets, which the caller keeps when it succeeds. */
struct edit {
    TlV1__VersionSets *v;
    struct tl_arena *arena;
};

static tl_rc too_large(struct tl_error *err)
{
    return tl_error_set(err, TL_ELIMIT, "the version sets are too large");
}

/* Moves an element to the end, the newest place. */
static void move_to_end(void *items, size_t n, size_t at)
{
    void **all = items, *it = all[at];
    memmove(all + at, all + at + 1, (n - at - 1) * sizeof *all);
    all[n - 1] = it;
}

static bool append(struct tl_arena *arena, void ***items, size_t *n, void *item)
{
    struct tl_pb_list list = {0};
    for (size_t i = 0; i < *n; i++) {
        if (!tl_pb_push(arena, &list, (*items)[i])) {
            return false;
        }
    }
    if (!item || !tl_pb_push(arena, &list, item)) {
        return false;
    }
    *items = list.items;
    *n = list.n;
    return true;
}

static bool append_build(struct edit *e, TlV1__VersionSet *set, const char *build_id)
{
    void **items = (void **)set->build_ids;
    bool ok = append(e->arena, &items, &set->n_build_ids, tl_pb_cstr(e->arena, tl_str(build_id)));
    set->build_ids = (char **)items;
    return ok;
}

static tl_rc add_default(struct edit *e, const char *build_id, struct tl_error *err)
{
    size_t set, at;
    if (find(e->v, tl_str(build_id), &set, &at)) {
        bool same = set + 1 == e->v->n_sets && e->v->sets[set]->n_build_ids == 1;
        return same ? TL_OK : tl_error_set(err, TL_EINVAL, "version %s already exists", build_id);
    }
    TlV1__VersionSet *fresh = TL_PB_NEW(e->arena, TlV1__VersionSet, tl_v1__version_set);
    void **items = (void **)e->v->sets;
    if (!fresh || !append(e->arena, &items, &e->v->n_sets, fresh) ||
        !append_build(e, fresh, build_id)) {
        return too_large(err);
    }
    e->v->sets = (TlV1__VersionSet **)items;
    fresh->version = tl_arena_printf(e->arena, ":%s", build_id);
    return fresh->version ? TL_OK : too_large(err);
}

static tl_rc
add_compatible(struct edit *e,
               const TpWs__UpdateWorkerBuildIdCompatibilityRequest__AddNewCompatibleVersion *op,
               struct tl_error *err)
{
    size_t set, at, of, other;
    if (!find(e->v, tl_str(op->existing_compatible_build_id), &set, &at)) {
        return tl_error_set(err, TL_ENOTFOUND, "targeted compatible_version %s not found",
                            op->existing_compatible_build_id);
    }
    if (find(e->v, tl_str(op->new_build_id), &of, &other)) {
        if (of != set) {
            return tl_error_set(
                err, TL_EINVAL,
                "%s requested to be made compatible with %s but both versions exist "
                "and are incompatible",
                op->new_build_id, op->existing_compatible_build_id);
        }
        if (op->make_set_default && of + 1 != e->v->n_sets) {
            return tl_error_set(err, TL_EINVAL,
                                "version %s already exists and is not default for queue",
                                op->new_build_id);
        }
        return other + 1 == e->v->sets[of]->n_build_ids
                   ? TL_OK
                   : tl_error_set(err, TL_EINVAL,
                                  "version %s already exists and is not default in set",
                                  op->new_build_id);
    }
    if (!append_build(e, e->v->sets[set], op->new_build_id)) {
        return too_large(err);
    }
    if (op->make_set_default) {
        move_to_end(e->v->sets, e->v->n_sets, set);
    }
    return TL_OK;
}

static tl_rc promote(struct edit *e, const char *build_id, bool whole_set, struct tl_error *err)
{
    size_t set, at;
    if (!find(e->v, tl_str(build_id), &set, &at)) {
        return tl_error_set(err, TL_ENOTFOUND, "targeted version %s not found", build_id);
    }
    if (whole_set) {
        move_to_end(e->v->sets, e->v->n_sets, set);
    } else {
        move_to_end(e->v->sets[set]->build_ids, e->v->sets[set]->n_build_ids, at);
    }
    return TL_OK;
}

/* The builds of the secondary set come before those of the primary one, whose newest stays the newest; the set
 * stands where the newer of both did. */
static tl_rc merge(struct edit *e,
                   const TpWs__UpdateWorkerBuildIdCompatibilityRequest__MergeSets *op,
                   struct tl_error *err)
{
    size_t set, other, at;
    if (!find(e->v, tl_str(op->primary_set_build_id), &set, &at)) {
        return tl_error_set(err, TL_ENOTFOUND, "targeted primary version %s not found",
                            op->primary_set_build_id);
    }
    if (!find(e->v, tl_str(op->secondary_set_build_id), &other, &at)) {
        return tl_error_set(err, TL_ENOTFOUND, "targeted secondary version %s not found",
                            op->secondary_set_build_id);
    }
    if (set == other) {
        return TL_OK;
    }
    TlV1__VersionSet *from = e->v->sets[other], *into = e->v->sets[set];
    size_t n = into->n_build_ids;
    char **own = into->build_ids;
    into->build_ids = from->build_ids;
    into->n_build_ids = from->n_build_ids;
    for (size_t i = 0; i < n; i++) {
        if (!append_build(e, into, own[i])) {
            return too_large(err);
        }
    }
    e->v->sets[set > other ? set : other] = into;
    move_to_end(e->v->sets, e->v->n_sets, set > other ? other : set);
    e->v->n_sets--;
    return TL_OK;
}

static tl_rc check_limits(const TlV1__VersionSets *v, struct tl_error *err)
{
    size_t builds = 0;
    for (size_t i = 0; i < v->n_sets; i++) {
        builds += v->sets[i]->n_build_ids;
    }
    if (v->n_sets > SETS_MAX) {
        return tl_error_set(err, TL_EPRECONDITION,
                            "update would exceed number of compatible version sets permitted in "
                            "namespace dynamic config (%zu/%d)",
                            v->n_sets, SETS_MAX);
    }
    if (builds > BUILDS_MAX) {
        return tl_error_set(
            err, TL_EPRECONDITION,
            "update would exceed number of build IDs permitted in namespace dynamic "
            "config (%zu/%d)",
            builds, BUILDS_MAX);
    }
    return TL_OK;
}

static tl_rc carry_out(struct edit *e, const TpWs__UpdateWorkerBuildIdCompatibilityRequest *req,
                       struct tl_error *err)
{
    switch (req->operation_case) {
    case TP_WS__UPDATE_WORKER_BUILD_ID_COMPATIBILITY_REQUEST__OPERATION_ADD_NEW_BUILD_ID_IN_NEW_DEFAULT_SET:
        return add_default(e, req->add_new_build_id_in_new_default_set, err);
    case TP_WS__UPDATE_WORKER_BUILD_ID_COMPATIBILITY_REQUEST__OPERATION_ADD_NEW_COMPATIBLE_BUILD_ID:
        return add_compatible(e, req->add_new_compatible_build_id, err);
    case TP_WS__UPDATE_WORKER_BUILD_ID_COMPATIBILITY_REQUEST__OPERATION_PROMOTE_SET_BY_BUILD_ID:
        return promote(e, req->promote_set_by_build_id, true, err);
    case TP_WS__UPDATE_WORKER_BUILD_ID_COMPATIBILITY_REQUEST__OPERATION_PROMOTE_BUILD_ID_WITHIN_SET:
        return promote(e, req->promote_build_id_within_set, false, err);
    case TP_WS__UPDATE_WORKER_BUILD_ID_COMPATIBILITY_REQUEST__OPERATION_MERGE_SETS:
        return merge(e, req->merge_sets, err);
    default:
        return tl_error_set(err, TL_EINVAL, "an operation must be specified");
    }
}

/* --- what is stored ------------------------------------------------------------------------------- */

static struct queue_sets *need(struct tl_server *s, struct tl_str key)
{
    struct queue_sets *q = tl_map_get(&s->version_sets, key);
    if (!q) {
        q = TL_NEW(struct queue_sets);
        tl_arena_init(&q->arena, RECORD_BYTES_MAX * 8);
        tl_map_put(&s->version_sets, key, q);
    }
    return q;
}

static tl_rc take(struct queue_sets *q, struct tl_str bytes, struct tl_error *err)
{
    q->v = NULL;
    tl_arena_reset(&q->arena);
    return tl_pb_decode(&tl_v1__version_sets__descriptor, bytes, &q->arena, &q->v, err);
}

static void answer(void *ud, struct tl_match_poll *poll)
{
    tl_poll_answer_empty(ud, TL_CONTAINER(poll, struct tl_parked, poll));
}

static void answer_version(void *ud, const struct tl_match_key *key)
{
    struct tl_server *s = ud;
    if (tl_version_is_set(key->version)) {
        tl_match_each_poll(&s->matcher, key, answer, s);
    }
}

/* Polls of builds come again and are told where they belong now; what waits is offered again. */
static void follow(struct tl_server *s, struct tl_namespace *ns, struct tl_str queue,
                   struct tl_arena *arena)
{
    struct tl_match_key key = {
        .namespace_number = ns->number, .type = TL_QUEUE_WORKFLOW, .name = queue};
    tl_match_each_version(&s->matcher, &key, answer_version, s);
    key.type = TL_QUEUE_ACTIVITY;
    tl_match_each_version(&s->matcher, &key, answer_version, s);
    tl_deployments_reroute(s, ns, arena);
}

tl_rc tl_version_sets_update(struct tl_server *s, struct tl_namespace *ns,
                             const TpWs__UpdateWorkerBuildIdCompatibilityRequest *req,
                             struct tl_arena *arena, struct tl_error *err)
{
    TlV1__VersionSets none = TL_V1__VERSION_SETS__INIT;
    struct edit e = {.arena = arena};
    struct tl_str queue = tl_str(req->task_queue), before = {0}, bytes = {0};
    uint64_t seq;
    const TlV1__VersionSets *now = tl_version_sets_of(s, ns, queue, &seq);
    tl_rc rc = tl_pb_encode_arena(now ? now : &none, arena, &before, err);
    if (rc == TL_OK) {
        rc = tl_pb_decode(&tl_v1__version_sets__descriptor, before, arena, &e.v, err);
    }
    if (rc == TL_OK) {
        rc = carry_out(&e, req, err);
    }
    if (rc == TL_OK) {
        rc = check_limits(e.v, err);
    }
    if (rc == TL_OK) {
        rc = tl_pb_encode_arena(e.v, arena, &bytes, err);
    }
    if (rc != TL_OK || tl_str_eq(bytes, before)) {
        return rc;
    }
    struct tl_str key = key_of(s, ns, queue);
    struct queue_sets *q = need(s, key);
    rc = take(q, bytes, err);
    q->seq = s->open->seq;
    tl_batch_meta_put(&s->open->ops, key, bytes);
    follow(s, ns, queue, arena);
    return rc;
}

static tl_rc load_row(void *ud, struct tl_str key, struct tl_str value, struct tl_error *err)
{
    struct tl_server *s = ud;
    if (key.n <= KEY_HEAD) {
        return tl_error_set(err, TL_EDECODE, "the key of a task queue's version sets is damaged");
    }
    return take(need(s, key), value, err);
}

void tl_version_sets_init(struct tl_server *s)
{
    tl_map_init(&s->version_sets);
}

void tl_version_sets_free(struct tl_server *s)
{
    TL_MAP_EACH (e, &s->version_sets) {
        struct queue_sets *q = e->value;
        tl_arena_deinit(&q->arena);
        tl_mem_free(q);
    }
    tl_map_deinit(&s->version_sets);
}

tl_rc tl_version_sets_load(struct tl_server *s, struct tl_error *err)
{
    tl_version_sets_free(s);
    tl_version_sets_init(s);
    return tl_store_meta_each(tl_store_point_reader(s->store), TL_STR_LIT(KEY_PREFIX), load_row, s,
                              err);
}
