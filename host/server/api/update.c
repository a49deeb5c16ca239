/* UpdateWorkflowExecution, PollWorkflowExecutionUpdate, and ExecuteMultiOperation: an update for a
 * workflow that is started when it does not run. Thread: engine. */
#include "base/limits.h"
#include "server/api/api.h"

static bool refuse(struct tl_call *c, const char *text)
{
    tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "%s", text);
    return false;
}

/* The stage that is waited for; false after an answer. */
static bool check_update(struct tl_call *c, const TpUpdate__Request *r,
                         const TpUpdate__WaitPolicy *wait, int *stage)
{
    *stage = wait ? (int)wait->lifecycle_stage : 0;
    if (*stage == UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_UNSPECIFIED) {
        *stage = UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED;
    }
    if (!r || !r->meta) {
        return refuse(c, "Update meta is not set on request.");
    }
    if (tl_str(r->meta->update_id).n > (size_t)tl_limit_id_bytes) {
        return refuse(c, "UpdateId length exceeds limit.");
    }
    if (!r->input) {
        return refuse(c, "Update input is not set on request.");
    }
    if (!*r->input->name) {
        return refuse(c, "Update name is not set on request.");
    }
    if (r->n_completion_callbacks) {
        return refuse(c, "Completion callbacks of updates are not supported by this server.");
    }
    if (tl_pb_size(r) > (size_t)c->s->env.limits.blob_bytes) {
        return refuse(c, "Blob data size exceeds limit.");
    }
    if (*stage == UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ADMITTED) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EPERMISSION),
                       "UpdateWorkflowExecution issued asynchronously and waiting on update "
                       "admitted is not supported.");
        return false;
    }
    return true;
}

/* The id the update goes by: the caller's, or one made here and kept while the call waits. */
static bool name_update(struct tl_call *c, TpUpdate__Request *r)
{
    char made[37];
    if (*r->meta->update_id) {
        return true;
    }
    if (c->parked && c->parked->update_id) {
        r->meta->update_id = tl_pb_cstr(c->arena, tl_str(c->parked->update_id));
    } else {
        tl_uuid4(c->s->world, made);
        r->meta->update_id = tl_pb_cstr(c->arena, tl_str(made));
    }
    return r->meta->update_id || refuse(c, "the request is too large");
}

/* A call that comes back from waiting: its run; NULL after an answer. *back: it was waiting. */
static struct tl_exec *waited_for(struct tl_call *c, bool *back)
{
    struct tl_error err;
    struct tl_parked *p = c->parked;
    *back = p && p->kind == TL_PARKED_UPDATE && p->update_id && !p->retry;
    if (!*back) {
        if (p && p->kind == TL_PARKED_UPDATE && p->retry) {
            /* Aborted by a run that went on: ask the one that runs now. */
            p->retry = false;
            p->run_number = 0;
        }
        return NULL;
    }
    c->operation = p->operation;
    struct tl_exec *e = tl_run_by_number(c->s, p->run_number, &err);
    if (!e) {
        tl_call_not_found(c, 0, err.message);
    }
    return e;
}

/* Waits until the task that is about to close the run has ended. */
static void wait_for_close(struct tl_call *c, struct tl_exec *e)
{
    struct tl_parked *p = c->parked ? c->parked : tl_parked_new(c->s, c, TL_PARKED_WAIT);
    p->until_ns =
        p->until_ns ? p->until_ns : tl_parked_deadline(c->s, c->rpc, c->s->o.long_poll_ns);
    p->kind = TL_PARKED_WAIT;
    c->parked = NULL;
    tl_due_set(&c->s->waits, &p->due, p->until_ns);
    tl_list_push(&e->waiters, &p->link);
}

/* Admits the update on a run that exists; false after an answer or when the call waits. */
static bool admit(struct tl_call *c, struct tl_exec *e, const TpUpdate__Request *request)
{
    struct tl_tx tx;
    struct tl_error err;
    tl_run_begin(c->s, e, &tx, c->arena);
    tl_rc rc = tl_tx_update_admit(&tx, request, &err);
    if (rc != TL_OK && tx.error_kind == TL_ERR_WORKFLOW_CLOSING && !tx.touched &&
        !(c->parked && c->parked->expired)) {
        tl_tx_abort(&tx);
        wait_for_close(c, e);
        return false;
    }
    return tl_api_end(c, e, &tx, rc, &err);
}

static void set_waiting(struct tl_call *c, struct tl_exec *e)
{
    if (c->parked) { /* back from a run that went on: it waits for this one now */
        c->parked->kind = TL_PARKED_UPDATE;
        c->parked->run_number = e->number;
        c->parked->operation = c->operation;
    }
}

void tl_api_update_workflow_execution(struct tl_call *c)
{
    const TpWs__UpdateWorkflowExecutionRequest *req = c->req;
    int stage;
    bool back;
    if (!check_update(c, req->request, req->wait_policy, &stage) || !name_update(c, req->request)) {
        return;
    }
    struct tl_exec *e = waited_for(c, &back);
    if (!back) {
        e = tl_api_find_in_chain(c, req->workflow_execution, req->first_execution_run_id);
        if (!e || !admit(c, e, req->request)) {
            return;
        }
        set_waiting(c, e);
    }
    if (e) {
        tl_update_answer(c, e, tl_str(req->request->meta->update_id), stage);
    }
}

void tl_api_poll_workflow_execution_update(struct tl_call *c)
{
    const TpWs__PollWorkflowExecutionUpdateRequest *req = c->req;
    struct tl_rs_update u;
    bool back;
    int stage = req->wait_policy ? (int)req->wait_policy->lifecycle_stage : 0;
    if (!req->update_ref) {
        refuse(c, "UpdateRef is not set on request.");
        return;
    }
    struct tl_str id = tl_str(req->update_ref->update_id);
    struct tl_exec *e = waited_for(c, &back);
    if (!back) {
        e = tl_api_find(c, req->update_ref->workflow_execution);
        if (e && !tl_rs_update_find(e->rs, id, &u)) {
            tl_call_not_found(
                c, e->seq, tl_arena_printf(c->arena, "update \"%.*s\" not found", TL_STR_FMT(id)));
            return;
        }
    }
    if (e) {
        tl_update_answer(c, e, id, stage);
    }
}

/* --- update with start ------------------------------------------------------------------------------ */

static bool check_operations(struct tl_call *c, const TpWs__ExecuteMultiOperationRequest *req)
{
    if (req->n_operations != 2 ||
        req->operations[0]->operation_case !=
            TP_WS__EXECUTE_MULTI_OPERATION_REQUEST__OPERATION__OPERATION_START_WORKFLOW ||
        req->operations[1]->operation_case !=
            TP_WS__EXECUTE_MULTI_OPERATION_REQUEST__OPERATION__OPERATION_UPDATE_WORKFLOW) {
        return refuse(c, "Operations have to be exactly [Start, Update].");
    }
    return true;
}

static bool check_start(struct tl_call *c, const TpWs__StartWorkflowExecutionRequest *start)
{
    if (*start->cron_schedule) {
        return refuse(c, "CronSchedule is not allowed.");
    }
    if (start->request_eager_execution) {
        return refuse(c, "RequestEagerExecution is not supported.");
    }
    if (start->workflow_start_delay) {
        return refuse(c, "WorkflowStartDelay is not supported.");
    }
    return true;
}

static bool check_target(struct tl_call *c, const TpWs__StartWorkflowExecutionRequest *start,
                         const TpWs__UpdateWorkflowExecutionRequest *update)
{
    const TpCommon__WorkflowExecution *x = update->workflow_execution;
    if (*update->first_execution_run_id) {
        return refuse(c, "FirstExecutionRunId is not allowed.");
    }
    if (!x) {
        return refuse(c, "Execution is not set on request.");
    }
    if (*x->run_id) {
        return refuse(c, "RunId is not allowed.");
    }
    if (strcmp(x->workflow_id, start->workflow_id) != 0) {
        return refuse(c, "WorkflowId is not consistent with previous operation(s).");
    }
    if ((*start->namespace_ && !tl_str_eqc(c->ns->name, start->namespace_)) ||
        (*update->namespace_ && !tl_str_eqc(c->ns->name, update->namespace_))) {
        return refuse(c, "Operation namespace did not match request's namespace.");
    }
    return true;
}

/* The run that the update goes to without a start; NULL: none. */
static struct tl_exec *run_in_place(struct tl_call *c,
                                    const TpWs__StartWorkflowExecutionRequest *start,
                                    struct tl_str update_id)
{
    struct tl_error err;
    struct tl_rs_info info;
    struct tl_rs_update u;
    struct tl_exec *e = tl_run_current(c->s, c->ns, tl_str(start->workflow_id), &err);
    if (!e) {
        return NULL;
    }
    tl_rs_info(e->rs, &info);
    bool known = tl_rs_update_find(e->rs, update_id, &u);
    if (info.closed) {
        return known ? e : NULL;
    }
    bool same = *start->request_id && tl_str_eqc(info.start_request_id, start->request_id);
    bool use = (int)start->workflow_id_conflict_policy == WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING;
    return known || same || use ? e : NULL;
}

static struct tl_exec *start_or_update(struct tl_call *c,
                                       const TpWs__StartWorkflowExecutionRequest *start,
                                       const TpUpdate__Request *request)
{
    struct tl_exec *e = run_in_place(c, start, tl_str(request->meta->update_id));
    if (e) {
        c->operation = TL_OPERATION_UPDATE;
        return admit(c, e, request) ? e : NULL;
    }
    c->operation = TL_OPERATION_START;
    return tl_api_start_with_update(c, start, request);
}

void tl_api_execute_multi_operation(struct tl_call *c)
{
    const TpWs__ExecuteMultiOperationRequest *req = c->req;
    int stage;
    bool back;
    if (!check_operations(c, req)) {
        return;
    }
    const TpWs__StartWorkflowExecutionRequest *start = req->operations[0]->start_workflow;
    const TpWs__UpdateWorkflowExecutionRequest *update = req->operations[1]->update_workflow;
    c->operation = TL_OPERATION_START;
    if (!check_start(c, start)) {
        return;
    }
    c->operation = TL_OPERATION_UPDATE;
    if (!check_target(c, start, update) ||
        !check_update(c, update->request, update->wait_policy, &stage) ||
        !name_update(c, update->request)) {
        return;
    }
    struct tl_exec *e = waited_for(c, &back);
    if (!back) {
        e = start_or_update(c, start, update->request);
        if (!e) {
            return;
        }
        set_waiting(c, e);
    }
    if (e) {
        tl_update_answer(c, e, tl_str(update->request->meta->update_id), stage);
    }
}
