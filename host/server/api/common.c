/* The dispatch table, and what several handlers need. Thread: engine. */
#include <stddef.h>

#include "base/limits.h"
#include "server/api/api.h"

#define INSPACE(method, handler)                                                                   \
    [TL_M_##method] = {tl_api_##handler, offsetof(TpWs__##method##Request, namespace_)},
#define GLOBAL(method, handler) [TL_M_##method] = {tl_api_##handler, 0},
#define ABSENT(method) [TL_M_##method] = {NULL, 0},
static const struct tl_api_row rows[TL_METHOD_COUNT] = {
#include "server/api/table.def"
};
#undef INSPACE
#undef GLOBAL
#undef ABSENT

const struct tl_api_row *tl_api_row(enum tl_method m)
{
    return &rows[m];
}

bool tl_api_check_id(struct tl_call *c, const char *field, const char *value, bool required)
{
    size_t n = strlen(value);
    if (required && n == 0) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "%s is not set on request.", field);
        return false;
    }
    if (n > (size_t)tl_limit_id_bytes) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "%s exceeds length limit.", field);
        return false;
    }
    return true;
}

static void answer_absent(struct tl_call *c, const struct tl_error *err)
{
    if (err->code == TL_ENOTFOUND) {
        tl_call_not_found(c, 0, err->message);
    } else {
        tl_call_errorf(c, tl_rc_grpc_status(err->code), "%s", err->message);
    }
}

struct tl_exec *tl_api_find(struct tl_call *c, const TpCommon__WorkflowExecution *execution)
{
    struct tl_error err;
    if (!execution) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "Execution is not set on request.");
        return NULL;
    }
    if (!tl_api_check_id(c, "WorkflowId", execution->workflow_id, true)) {
        return NULL;
    }
    struct tl_str run_id = tl_str(execution->run_id);
    if (run_id.n && run_id.n != 36) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "Invalid RunId.");
        return NULL;
    }
    struct tl_exec *e = tl_run_find(c->s, c->ns, execution, &err);
    if (!e) {
        answer_absent(c, &err);
    }
    return e;
}

struct tl_exec *tl_api_find_in_chain(struct tl_call *c,
                                     const TpCommon__WorkflowExecution *execution,
                                     const char *first_run_id)
{
    struct tl_error err;
    struct tl_rs_info info;
    if (!*first_run_id || !execution) {
        return tl_api_find(c, execution);
    }
    if (!tl_api_check_id(c, "WorkflowId", execution->workflow_id, true)) {
        return NULL;
    }
    struct tl_exec *e = tl_run_current(c->s, c->ns, tl_str(execution->workflow_id), &err);
    if (!e) {
        answer_absent(c, &err);
        return NULL;
    }
    tl_rs_info(e->rs, &info);
    if (!tl_str_eqc(info.first_run_id, first_run_id)) {
        tl_call_not_found(
            c, e->seq,
            "workflow execution not found: another chain of runs has taken the workflow ID");
        return NULL;
    }
    return e;
}

struct tl_exec *tl_api_task(struct tl_call *c, ProtobufCBinaryData bytes, bool is_activity,
                            struct tl_work_token *out)
{
    struct tl_error err;
    if (!bytes.len) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "Task token not set on request.");
        return NULL;
    }
    if (tl_work_token_decode(tl_pb_str(bytes), c->arena, out, &err) != TL_OK) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "%s", err.message);
        return NULL;
    }
    struct tl_exec *e =
        out->is_activity == is_activity ? tl_run_by_number(c->s, out->run_number, &err) : NULL;
    if (!e || e->ns->number != out->namespace_number) {
        tl_call_not_found(c, 0,
                          is_activity ? "invalid activityID or activity already timed out or "
                                        "invoking workflow is completed"
                                      : "Workflow task not found.");
        return NULL;
    }
    c->ns = e->ns;
    return e;
}

bool tl_api_end(struct tl_call *c, struct tl_exec *e, struct tl_tx *tx, tl_rc rc,
                struct tl_error *err)
{
    enum tl_error_kind kind = tx->error_kind;
    int cause = tx->error_cause;
    struct tl_error end;
    if (!tx->touched) {
        tl_tx_abort(tx);
    } else if (tl_run_end(c->s, e, tx, &end) != TL_OK) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EUNAVAILABLE), "%s", end.message);
        return false;
    }
    if (rc != TL_OK) {
        tl_call_tx_error(c, e, kind, cause, err);
        return false;
    }
    return true;
}

void tl_api_after_commit(struct tl_call *c, uint64_t run_number)
{
    struct tl_parked *p = c->parked ? c->parked : tl_parked_new(c->s, c, TL_PARKED_WAIT);
    c->parked = NULL;
    p->run_number = run_number;
    tl_due_set(&c->s->waits, &p->due, tl_parked_deadline(c->s, c->rpc, 60 * TL_NS_PER_S));
    tl_list_push(&c->s->after_commit, &p->link);
}
