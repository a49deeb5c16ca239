/* The dispatch table, and what several handlers need. Thread: engine. */
#include <stddef.h>

#include <temporal/api/operatorservice/v1/request_response.pb-c.h>

#include "base/limits.h"
#include "server/api/api.h"

#define INSPACE(method, handler)                                                                   \
    [TL_M_##method] = {.handle = tl_api_##handler,                                                 \
                       .namespace_offset = offsetof(TpWs__##method##Request, namespace_)},
#define OPERATOR(method, handler)                                                                  \
    [TL_M_##method] = {.handle = tl_api_##handler,                                                 \
                       .namespace_offset = offsetof(TpOs__##method##Request, namespace_)},
#define GLOBAL(method, handler) [TL_M_##method] = {.handle = tl_api_##handler},
#define ABSENT(method) [TL_M_##method] = {.handle = NULL},
#define REFUSED(method, error, message)                                                            \
    [TL_M_##method] = {.refusal = error, .refusal_text = message},
static const struct tl_api_row rows[TL_METHOD_COUNT] = {
#include "server/api/table.def"
};
#undef INSPACE
#undef OPERATOR
#undef GLOBAL
#undef ABSENT
#undef REFUSED

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
    if (n > (size_t)c->s->env.limits.id_bytes) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "%s length exceeds limit.", field);
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
        tl_call_not_found(c, e->seq, "workflow execution not found");
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

/* Has the call handled again, with parked->run_number set, when the open commit is durable. */
static void after_commit(struct tl_call *c, uint64_t run_number)
{
    struct tl_parked *p = c->parked ? c->parked : tl_parked_new(c->s, c, TL_PARKED_WAIT);
    c->parked = NULL;
    p->run_number = run_number;
    tl_due_set(&c->s->waits, &p->due, tl_parked_deadline(c->s, c->rpc, 60 * TL_NS_PER_S));
    tl_list_push(&c->s->after_commit, &p->link);
}

void tl_api_erase(struct tl_call *c, struct tl_exec *e, const void *response)
{
    struct tl_error err;
    if (e->seq > c->s->durable_seq) {
        after_commit(c, e->number);
        return;
    }
    if (tl_run_erase(c->s, e, &err) != TL_OK) {
        tl_call_errorf(c, tl_rc_grpc_status(err.code), "%s", err.message);
        return;
    }
    tl_call_reply(c, c->s->open->seq, response);
}

/* --- links ------------------------------------------------------------------------------------------ */

static TpCommon__Link__WorkflowEvent *link_to_run(struct tl_call *c, const struct tl_rs_info *info,
                                                  TpCommon__Link **link)
{
    TpCommon__Link *l = TL_PB_NEW(c->arena, TpCommon__Link, tp_common__link);
    TpCommon__Link__WorkflowEvent *e =
        TL_PB_NEW(c->arena, TpCommon__Link__WorkflowEvent, tp_common__link__workflow_event);
    if (!l || !e) {
        return NULL;
    }
    l->variant_case = TP_COMMON__LINK__VARIANT_WORKFLOW_EVENT;
    l->workflow_event = e;
    e->namespace_ = tl_pb_cstr(c->arena, c->ns->name);
    e->workflow_id = tl_pb_cstr(c->arena, info->id.workflow_id);
    e->run_id = tl_pb_cstr(c->arena, info->id.run_id);
    *link = l;
    return e;
}

TpCommon__Link *tl_api_link_to_start(struct tl_call *c, const struct tl_rs_info *info)
{
    TpCommon__Link *link = NULL;
    TpCommon__Link__WorkflowEvent *e = link_to_run(c, info, &link);
    TpCommon__Link__WorkflowEvent__EventReference *ref =
        TL_PB_NEW(c->arena, TpCommon__Link__WorkflowEvent__EventReference,
                  tp_common__link__workflow_event__event_reference);
    if (!e || !ref) {
        return NULL;
    }
    ref->event_id = 1;
    ref->event_type = (TpEnums__EventType)EVENT_TYPE_WORKFLOW_EXECUTION_STARTED;
    e->reference_case = TP_COMMON__LINK__WORKFLOW_EVENT__REFERENCE_EVENT_REF;
    e->event_ref = ref;
    return link;
}

TpCommon__Link *tl_api_link_to_signal(struct tl_call *c, const struct tl_rs_info *info,
                                      const char *request_id)
{
    TpCommon__Link *link = NULL;
    TpCommon__Link__WorkflowEvent *e = link_to_run(c, info, &link);
    TpCommon__Link__WorkflowEvent__RequestIdReference *ref =
        TL_PB_NEW(c->arena, TpCommon__Link__WorkflowEvent__RequestIdReference,
                  tp_common__link__workflow_event__request_id_reference);
    if (!e || !ref) {
        return NULL;
    }
    ref->request_id = tl_pb_cstr(c->arena, tl_str(request_id));
    ref->event_type = (TpEnums__EventType)EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED;
    e->reference_case = TP_COMMON__LINK__WORKFLOW_EVENT__REFERENCE_REQUEST_ID_REF;
    e->request_id_ref = ref;
    return link;
}
