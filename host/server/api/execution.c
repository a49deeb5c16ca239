/* What the methods of executions without a workflow share. See execution.h. Thread: engine. */
#include "server/api/execution.h"

struct tl_exec *tl_api_find_execution(struct tl_call *c, enum tl_run_kind kind, const char *id,
                                      const char *run_id)
{
    bool activity = kind == TL_RUN_ACTIVITY;
    const char *name = activity ? "activity ID" : "operation_id";
    struct tl_error err;
    size_t n = strlen(id);
    if (n == 0) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "%s is required", name);
        return NULL;
    }
    if (n > (size_t)c->s->env.limits.id_bytes) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL),
                       "%s exceeds length limit. Length=%zu Limit=%lld", name, n,
                       (long long)c->s->env.limits.id_bytes);
        return NULL;
    }
    if (*run_id && strlen(run_id) != 36) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "%s",
                       activity ? "invalid run id: must be a valid UUID"
                                : "run_id is not a valid UUID");
        return NULL;
    }
    struct tl_exec *e = tl_run_find_execution(c->s, c->ns, kind, tl_str(id), tl_str(run_id), &err);
    if (!e && err.code == TL_ENOTFOUND) {
        tl_call_not_found(c, 0, err.message);
    } else if (!e) {
        tl_call_errorf(c, tl_rc_grpc_status(err.code), "%s", err.message);
    }
    return e;
}

/* --- start ------------------------------------------------------------------------------------------ */

enum tl_id_verdict tl_api_execution_judge(const struct tl_exec *e, const char *request_id,
                                          int reuse_policy, int conflict_policy,
                                          struct tl_rs_info *info)
{
    static const int reuse[] = {
        [ACTIVITY_ID_REUSE_POLICY_UNSPECIFIED] = WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
        [ACTIVITY_ID_REUSE_POLICY_ALLOW_DUPLICATE] = WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
        [ACTIVITY_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY] =
            WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY,
        [ACTIVITY_ID_REUSE_POLICY_REJECT_DUPLICATE] = WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
    };
    static const int conflict[] = {
        [ACTIVITY_ID_CONFLICT_POLICY_UNSPECIFIED] = WORKFLOW_ID_CONFLICT_POLICY_FAIL,
        [ACTIVITY_ID_CONFLICT_POLICY_FAIL] = WORKFLOW_ID_CONFLICT_POLICY_FAIL,
        [ACTIVITY_ID_CONFLICT_POLICY_USE_EXISTING] = WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
    };
    _Static_assert((int)NEXUS_OPERATION_ID_REUSE_POLICY_ALLOW_DUPLICATE ==
                           (int)ACTIVITY_ID_REUSE_POLICY_ALLOW_DUPLICATE &&
                       (int)NEXUS_OPERATION_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY ==
                           (int)ACTIVITY_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY &&
                       (int)NEXUS_OPERATION_ID_REUSE_POLICY_REJECT_DUPLICATE ==
                           (int)ACTIVITY_ID_REUSE_POLICY_REJECT_DUPLICATE &&
                       (int)NEXUS_OPERATION_ID_CONFLICT_POLICY_FAIL ==
                           (int)ACTIVITY_ID_CONFLICT_POLICY_FAIL &&
                       (int)NEXUS_OPERATION_ID_CONFLICT_POLICY_USE_EXISTING ==
                           (int)ACTIVITY_ID_CONFLICT_POLICY_USE_EXISTING,
                   "policies of both kinds have the same numbers");
    if (!e) {
        return TL_ID_FREE;
    }
    tl_rs_info(e->rs, info);
    if (tl_rs_attached(e->rs, tl_str(request_id))) {
        return TL_ID_SAME_REQUEST;
    }
    return tl_id_judge(info, tl_str(request_id), reuse[reuse_policy], conflict[conflict_policy]);
}

struct tl_exec *tl_api_execution_begin(struct tl_call *c, enum tl_run_kind kind, const char *id,
                                       struct tl_tx *tx)
{
    char run_id[37];
    uint64_t number;
    tl_run_new_id(c->s, run_id, &number);
    struct tl_exec *e =
        tl_run_make_execution(c->s, c->ns, kind, tl_str(id), tl_str(run_id), number);
    tl_run_begin(c->s, e, tx, c->arena);
    return e;
}

bool tl_api_execution_end(struct tl_call *c, struct tl_exec *e, struct tl_tx *tx, tl_rc rc,
                          struct tl_error *err)
{
    if (rc == TL_OK) {
        return tl_api_end(c, e, tx, rc, err);
    }
    /* Nothing of it may be written: the transaction is thrown away with its run. */
    tl_tx_discard(tx);
    tl_run_drop(c->s, e, true);
    tl_call_errorf(c, tl_rc_grpc_status(err->code), "%s", err->message);
    return false;
}

/* --- changes ---------------------------------------------------------------------------------------- */

bool tl_api_check_change(struct tl_call *c, const struct tl_api_change *r)
{
    const long long most = (long long)c->s->env.limits.id_bytes;
    const struct {
        const char *what, *value;
    } texts[] = {{"request ID", r->request_id}, {"identity", r->identity}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if ((long long)strlen(texts[i].value) > most) {
            tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL),
                           "%s exceeds length limit. Length=%zu Limit=%lld", texts[i].what,
                           strlen(texts[i].value), most);
            return false;
        }
    }
    if ((int64_t)strlen(r->reason) > c->s->env.limits.blob_bytes) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "reason exceeds length limit");
        return false;
    }
    return true;
}

/* --- long polls ------------------------------------------------------------------------------------- */

struct tl_exec *tl_api_waited_for(struct tl_call *c)
{
    struct tl_error err;
    struct tl_exec *e = tl_run_by_number(c->s, c->parked->run_number, &err);
    if (!e) {
        tl_call_not_found(c, 0, err.message);
    }
    return e;
}

void tl_api_wait_for(struct tl_call *c, struct tl_exec *e, bool wants_close)
{
    struct tl_parked *p = c->parked ? c->parked : tl_parked_new(c->s, c, TL_PARKED_WAIT);
    if (!c->parked) {
        p->until_ns = tl_parked_deadline(c->s, c->rpc, c->s->o.long_poll_ns);
    }
    c->parked = NULL;
    p->run_number = e->number;
    p->wants_close = wants_close;
    tl_due_set(&c->s->waits, &p->due, p->until_ns);
    tl_list_push(&e->waiters, &p->link);
}

tl_rc tl_api_poll_token(struct tl_call *c, const struct tl_exec *e, ProtobufCBinaryData *out,
                        struct tl_error *err)
{
    TlV1__ActivityPollToken token = TL_V1__ACTIVITY_POLL_TOKEN__INIT;
    struct tl_rs_info info;
    struct tl_str bytes;
    tl_rs_info(e->rs, &info);
    token.run_number = e->number;
    token.log_id = info.last_log_id;
    tl_rc rc = tl_pb_encode_arena(&token, c->arena, &bytes, err);
    *out = rc == TL_OK ? tl_pb_bytes_view(bytes) : (ProtobufCBinaryData){0};
    return rc;
}

bool tl_api_is_known(struct tl_call *c, const struct tl_exec *e, ProtobufCBinaryData bytes,
                     bool *answered)
{
    const TlV1__ActivityPollToken *token;
    struct tl_rs_info info;
    *answered = true;
    if (tl_pb_decode(&tl_v1__activity_poll_token__descriptor, tl_pb_str(bytes), c->arena, &token,
                     NULL) != TL_OK ||
        !token->run_number) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "invalid long poll token");
        return false;
    }
    if (token->run_number != e->number) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "long poll token does not match execution");
        return false;
    }
    tl_rs_info(e->rs, &info);
    *answered = false;
    return token->log_id == info.last_log_id;
}
