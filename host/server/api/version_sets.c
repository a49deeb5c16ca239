/* UpdateWorkerBuildIdCompatibility and GetWorkerBuildIdCompatibility: sets of compatible builds, for servers that
 * are told to have them. Thread: engine. */
#include "server/api/api.h"
#include "server/version_sets.h"

#define BUILD_ID_BYTES_MAX 255

static bool allowed(struct tl_call *c)
{
    if (!c->s->o.version_sets) {
        TpErrdetails__PermissionDeniedFailure d = TP_ERRDETAILS__PERMISSION_DENIED_FAILURE__INIT;
        tl_call_error(c, 0, tl_rc_grpc_status(TL_EPERMISSION),
                      "Worker versioning v0.1 (Version Set-based, deprecated) is disabled on this "
                      "namespace.",
                      &d);
    }
    return c->s->o.version_sets;
}

static bool check_build(struct tl_call *c, const char *field, const char *build_id)
{
    if (!*build_id) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL),
                       "request to update worker build ID compatability requires: `%s` to be set",
                       field);
        return false;
    }
    if (strlen(build_id) > BUILD_ID_BYTES_MAX) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL),
                       "request to update worker build ID compatability requires: Worker build IDs "
                       "to be no larger than %d characters",
                       BUILD_ID_BYTES_MAX);
        return false;
    }
    return true;
}

static bool check_operation(struct tl_call *c,
                            const TpWs__UpdateWorkerBuildIdCompatibilityRequest *req)
{
    switch (req->operation_case) {
    case TP_WS__UPDATE_WORKER_BUILD_ID_COMPATIBILITY_REQUEST__OPERATION_ADD_NEW_BUILD_ID_IN_NEW_DEFAULT_SET:
        return check_build(c, "add_new_version_id_in_new_default_set",
                           req->add_new_build_id_in_new_default_set);
    case TP_WS__UPDATE_WORKER_BUILD_ID_COMPATIBILITY_REQUEST__OPERATION_ADD_NEW_COMPATIBLE_BUILD_ID:
        return check_build(c, "add_new_compatible_version",
                           req->add_new_compatible_build_id->new_build_id) &&
               check_build(c, "existing_compatible_version",
                           req->add_new_compatible_build_id->existing_compatible_build_id);
    case TP_WS__UPDATE_WORKER_BUILD_ID_COMPATIBILITY_REQUEST__OPERATION_PROMOTE_SET_BY_BUILD_ID:
        return check_build(c, "promote_set_by_version_id", req->promote_set_by_build_id);
    case TP_WS__UPDATE_WORKER_BUILD_ID_COMPATIBILITY_REQUEST__OPERATION_PROMOTE_BUILD_ID_WITHIN_SET:
        return check_build(c, "promote_version_id_within_set", req->promote_build_id_within_set);
    case TP_WS__UPDATE_WORKER_BUILD_ID_COMPATIBILITY_REQUEST__OPERATION_MERGE_SETS:
        return check_build(c, "primary_set_build_id", req->merge_sets->primary_set_build_id) &&
               check_build(c, "secondary_set_build_id", req->merge_sets->secondary_set_build_id);
    default:
        tl_call_errorf(
            c, tl_rc_grpc_status(TL_EINVAL),
            "request to update worker build ID compatability requires: an operation to be "
            "specified");
        return false;
    }
}

void tl_api_update_worker_build_id_compatibility(struct tl_call *c)
{
    const TpWs__UpdateWorkerBuildIdCompatibilityRequest *req = c->req;
    TpWs__UpdateWorkerBuildIdCompatibilityResponse r =
        TP_WS__UPDATE_WORKER_BUILD_ID_COMPATIBILITY_RESPONSE__INIT;
    struct tl_error err;
    uint64_t seq;
    if (!allowed(c) || !tl_api_check_id(c, "TaskQueue", req->task_queue, true) ||
        !check_operation(c, req)) {
        return;
    }
    if (tl_version_sets_update(c->s, c->ns, req, c->arena, &err) != TL_OK) {
        tl_call_errorf(c, tl_rc_grpc_status(err.code), "%s", err.message);
        return;
    }
    (void)tl_version_sets_of(c->s, c->ns, tl_str(req->task_queue), &seq);
    tl_call_reply(c, seq, &r);
}

void tl_api_get_worker_build_id_compatibility(struct tl_call *c)
{
    const TpWs__GetWorkerBuildIdCompatibilityRequest *req = c->req;
    TpWs__GetWorkerBuildIdCompatibilityResponse r =
        TP_WS__GET_WORKER_BUILD_ID_COMPATIBILITY_RESPONSE__INIT;
    struct tl_pb_list list = {0};
    uint64_t seq;
    if (!allowed(c) || !tl_api_check_id(c, "TaskQueue", req->task_queue, true)) {
        return;
    }
    const TlV1__VersionSets *v = tl_version_sets_of(c->s, c->ns, tl_str(req->task_queue), &seq);
    size_t n = v ? v->n_sets : 0;
    size_t first = req->max_sets > 0 && (size_t)req->max_sets < n ? n - (size_t)req->max_sets : 0;
    for (size_t i = first; i < n; i++) {
        TpTq__CompatibleVersionSet *set =
            TL_PB_NEW(c->arena, TpTq__CompatibleVersionSet, tp_tq__compatible_version_set);
        if (!set || !tl_pb_push(c->arena, &list, set)) {
            tl_call_errorf(c, tl_rc_grpc_status(TL_ELIMIT), "the version sets are too large");
            return;
        }
        set->n_build_ids = v->sets[i]->n_build_ids;
        set->build_ids = v->sets[i]->build_ids;
    }
    r.n_major_version_sets = list.n;
    r.major_version_sets = list.items;
    tl_call_reply(c, seq, &r);
}
