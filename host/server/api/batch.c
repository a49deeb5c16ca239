/* Batch operations: start, stop, describe, list. The work is done by batch.c. Thread: engine. */
#include "server/batch.h"

#include <math.h>

#include "base/limits.h"
#include "server/api/deployment.h"
#include "server/reset.h"

typedef TpWs__StartBatchOperationRequest request;

static bool refuse(struct tl_call *c, const char *message)
{
    tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "%s", message);
    return false;
}

/* --- start --------------------------------------------------------------------------------------- */

/* An execution that a request names with its kind. */
static bool check_kind(struct tl_call *c, const TpCommon__Execution *x, enum tl_run_kind kind)
{
    int wanted = kind == TL_RUN_ACTIVITY ? EXECUTION_TYPE_ACTIVITY : EXECUTION_TYPE_WORKFLOW;
    if ((int)x->type == wanted || (int)x->type == EXECUTION_TYPE_UNSPECIFIED) {
        return true;
    }
    return refuse(c, kind == TL_RUN_ACTIVITY
                         ? "TargetExecutions: only activities can be named in this operation."
                         : "TargetExecutions: only workflows can be named in this operation.");
}

static bool check_executions(struct tl_call *c, const request *req)
{
    enum tl_run_kind kind = tl_batch_kind(tl_batch_type(req));
    if (kind == TL_RUN_ACTIVITY && req->n_executions) {
        return refuse(c, "Executions are workflows: name activities in TargetExecutions.");
    }
    if (req->n_executions && req->n_target_executions) {
        return refuse(c,
                      "Executions and TargetExecutions are both set on request. Only one of them "
                      "is allowed.");
    }
    size_t n = req->n_executions + req->n_target_executions;
    bool query = *req->visibility_query != 0;
    if (!n && !query) {
        return refuse(c, "Workflow executions and visibility filter are not set on request.");
    }
    if (n && query) {
        return refuse(c, "Workflow executions and visibility filter are both set on request. Only "
                         "one of them is allowed.");
    }
    if (n > (size_t)tl_limit_batch_executions) {
        return refuse(c, "Workflow executions count exceeded.");
    }
    for (size_t i = 0; i < n; i++) {
        const TpCommon__Execution *x = req->n_executions ? NULL : req->target_executions[i];
        if (x && !check_kind(c, x, kind)) {
            return false;
        }
        const char *id = x ? x->business_id : req->executions[i]->workflow_id;
        const char *run = x ? x->run_id : req->executions[i]->run_id;
        if (!tl_api_check_id(c, kind == TL_RUN_ACTIVITY ? "ActivityId" : "WorkflowId", id, true)) {
            return false;
        }
        if (*run && strlen(run) != 36) {
            return refuse(c, "Invalid RunId.");
        }
    }
    return true;
}

/* Operations on activities say which: by type, or all. */
static bool names_activities(const request *req)
{
    switch (req->operation_case) {
    case TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_UNPAUSE_ACTIVITIES_OPERATION:
        return req->unpause_activities_operation->activity_case !=
               TP_BATCH__BATCH_OPERATION_UNPAUSE_ACTIVITIES__ACTIVITY__NOT_SET;
    case TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_RESET_ACTIVITIES_OPERATION:
        return req->reset_activities_operation->activity_case !=
               TP_BATCH__BATCH_OPERATION_RESET_ACTIVITIES__ACTIVITY__NOT_SET;
    case TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_UPDATE_ACTIVITY_OPTIONS_OPERATION:
        return req->update_activity_options_operation->activity_case !=
               TP_BATCH__BATCH_OPERATION_UPDATE_ACTIVITY_OPTIONS__ACTIVITY__NOT_SET;
    default:
        return true;
    }
}

static bool check_operation(struct tl_call *c, const request *req)
{
    if (req->operation_case == TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION__NOT_SET) {
        return refuse(c, "Batch operation is not set on request.");
    }
    int type = tl_batch_type(req);
    if (!type) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EUNIMPLEMENTED),
                       "this server does not carry out batch operations of this kind (field %d of "
                       "StartBatchOperationRequest)",
                       (int)req->operation_case);
        return false;
    }
    struct tl_reset_request reset;
    struct tl_error err;
    if (type == BATCH_OPERATION_TYPE_RESET && tl_batch_reset_request(req, &reset, &err) != TL_OK) {
        tl_call_errorf(c, tl_rc_grpc_status(err.code), "%s", err.message);
        return false;
    }
    if (type == BATCH_OPERATION_TYPE_RESET &&
        !tl_api_check_post_reset(c, req->reset_operation->post_reset_operations,
                                 req->reset_operation->n_post_reset_operations)) {
        return false;
    }
    if (type == BATCH_OPERATION_TYPE_UPDATE_EXECUTION_OPTIONS) {
        const TpBatch__BatchOperationUpdateWorkflowExecutionOptions *op =
            req->update_workflow_options_operation;
        return tl_api_check_options(c, op->update_mask, op->workflow_execution_options);
    }
    if (!names_activities(req)) {
        return refuse(c, "Activities are not set on request: give their type or match_all.");
    }
    return type != BATCH_OPERATION_TYPE_SIGNAL ||
           tl_api_check_id(c, "SignalName", req->signal_operation->signal, true);
}

static bool check_query(struct tl_call *c, const request *req)
{
    struct tl_filter filter;
    struct tl_error err;
    if (*req->visibility_query &&
        tl_batch_filter(req, c->ns, tl_engine_now(c->s), c->arena, &filter, &err) != TL_OK) {
        tl_call_errorf(c, tl_rc_grpc_status(err.code), "%s", err.message);
        return false;
    }
    return true;
}

static bool check_room(struct tl_call *c, const request *req)
{
    TpErrdetails__WorkflowExecutionAlreadyStartedFailure taken =
        TP_ERRDETAILS__WORKFLOW_EXECUTION_ALREADY_STARTED_FAILURE__INIT;
    TpErrdetails__ResourceExhaustedFailure full = TP_ERRDETAILS__RESOURCE_EXHAUSTED_FAILURE__INIT;
    const struct tl_batch_job *job = tl_batch_find(c->s, c->ns, req->job_id);
    if (job) {
        tl_call_error(c, job->seq, tl_rc_grpc_status(TL_EEXISTS),
                      tl_arena_printf(c->arena, "Batch operation %s exists already.", req->job_id),
                      &taken);
        return false;
    }
    if (c->s->batches_running >= (size_t)tl_limit_batches_running) {
        full.cause = (TpEnums__ResourceExhaustedCause)RESOURCE_EXHAUSTED_CAUSE_CONCURRENT_LIMIT;
        full.scope = (TpEnums__ResourceExhaustedScope)RESOURCE_EXHAUSTED_SCOPE_NAMESPACE;
        tl_call_error(c, 0, tl_rc_grpc_status(TL_ELIMIT),
                      "Max concurrent batch operations is reached", &full);
        return false;
    }
    return true;
}

void tl_api_start_batch_operation(struct tl_call *c)
{
    const request *req = c->req;
    TpWs__StartBatchOperationResponse r = TP_WS__START_BATCH_OPERATION_RESPONSE__INIT;
    struct tl_batch_job *job = NULL;
    struct tl_error err;
    float rate = req->max_operations_per_second;
    if (!tl_api_check_id(c, "JobId", req->job_id, true) ||
        !tl_api_check_id(c, "Reason", req->reason, true)) {
        return;
    }
    if (!isfinite(rate) || rate < 0) {
        refuse(c, "MaxOperationsPerSecond must be 0 (no limit) or a positive number.");
        return;
    }
    if (!check_executions(c, req) || !check_operation(c, req) || !check_query(c, req) ||
        !check_room(c, req)) {
        return;
    }
    if (tl_batch_start(c->s, c->ns, req, &job, &err) != TL_OK) {
        tl_call_errorf(c, tl_rc_grpc_status(err.code), "%s", err.message);
        return;
    }
    tl_call_reply(c, job->seq, &r);
}

/* --- stop, describe ------------------------------------------------------------------------------ */

static struct tl_batch_job *find(struct tl_call *c, const char *job_id)
{
    if (!tl_api_check_id(c, "JobId", job_id, true)) {
        return NULL;
    }
    struct tl_batch_job *job = tl_batch_find(c->s, c->ns, job_id);
    if (!job) {
        tl_call_not_found(
            c, 0, tl_arena_printf(c->arena, "batch operation not found for job ID: %s", job_id));
    }
    return job;
}

void tl_api_stop_batch_operation(struct tl_call *c)
{
    const TpWs__StopBatchOperationRequest *req = c->req;
    TpWs__StopBatchOperationResponse r = TP_WS__STOP_BATCH_OPERATION_RESPONSE__INIT;
    if (!tl_api_check_id(c, "Reason", req->reason, true)) {
        return;
    }
    struct tl_batch_job *job = find(c, req->job_id);
    if (!job) {
        return;
    }
    if (!tl_batch_runs(job)) {
        tl_call_not_found(c, job->seq, "batch operation already completed");
        return;
    }
    tl_batch_stop(c->s, job, req->reason, req->identity);
    tl_call_reply(c, job->seq, &r);
}

/* Who asked for it: the operation says so. */
static char *identity_of(const request *req)
{
    switch (req->operation_case) {
    case TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_TERMINATION_OPERATION:
        return req->termination_operation->identity;
    case TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_SIGNAL_OPERATION:
        return req->signal_operation->identity;
    case TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_CANCELLATION_OPERATION:
        return req->cancellation_operation->identity;
    case TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_DELETION_OPERATION:
        return req->deletion_operation->identity;
    case TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_RESET_OPERATION:
        return req->reset_operation->identity;
    case TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_UPDATE_WORKFLOW_OPTIONS_OPERATION:
        return req->update_workflow_options_operation->identity;
    case TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_UNPAUSE_ACTIVITIES_OPERATION:
        return req->unpause_activities_operation->identity;
    case TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_RESET_ACTIVITIES_OPERATION:
        return req->reset_activities_operation->identity;
    case TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_UPDATE_ACTIVITY_OPTIONS_OPERATION:
        return req->update_activity_options_operation->identity;
    case TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_CANCEL_ACTIVITIES_OPERATION:
        return req->cancel_activities_operation->identity;
    case TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_TERMINATE_ACTIVITIES_OPERATION:
        return req->terminate_activities_operation->identity;
    default:
        return (char *)(uintptr_t) "";
    }
}

static bool put_executions(struct tl_call *c, const request *req,
                           TpWs__DescribeBatchOperationResponse *r)
{
    struct tl_pb_list list = {0};
    for (size_t i = 0; i < req->n_executions; i++) {
        TpCommon__Execution *x = TL_PB_NEW(c->arena, TpCommon__Execution, tp_common__execution);
        if (!x || !tl_pb_push(c->arena, &list, x)) {
            return false;
        }
        x->type = (TpEnums__ExecutionType)EXECUTION_TYPE_WORKFLOW;
        x->business_id = req->executions[i]->workflow_id;
        x->run_id = req->executions[i]->run_id;
    }
    r->n_executions = req->n_executions ? list.n : req->n_target_executions;
    r->executions = req->n_executions ? (TpCommon__Execution **)list.items : req->target_executions;
    return true;
}

void tl_api_describe_batch_operation(struct tl_call *c)
{
    const TpWs__DescribeBatchOperationRequest *req = c->req;
    TpWs__DescribeBatchOperationResponse r = TP_WS__DESCRIBE_BATCH_OPERATION_RESPONSE__INIT;
    struct tl_batch_job *job = find(c, req->job_id);
    if (!job) {
        return;
    }
    r.operation_type = (TpEnums__BatchOperationType)tl_batch_type(job->req);
    r.job_id = job->req->job_id;
    r.state = (TpEnums__BatchOperationState)job->at.state;
    r.start_time = tl_pb_timestamp(c->arena, job->start_ns);
    r.close_time = job->at.close_ns ? tl_pb_timestamp(c->arena, job->at.close_ns) : NULL;
    r.total_operation_count = job->at.total;
    r.complete_operation_count = job->at.completed;
    r.failure_operation_count = job->at.failed;
    r.identity = identity_of(job->req);
    r.reason = job->req->reason;
    r.query = job->req->visibility_query;
    if (!put_executions(c, job->req, &r)) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_ELIMIT), "the description is too large");
        return;
    }
    tl_call_reply(c, job->seq, &r);
}

/* --- list ---------------------------------------------------------------------------------------- */

static TpBatch__BatchOperationInfo *info_of(struct tl_call *c, const struct tl_batch_job *job)
{
    TpBatch__BatchOperationInfo *i =
        TL_PB_NEW(c->arena, TpBatch__BatchOperationInfo, tp_batch__batch_operation_info);
    if (i) {
        i->job_id = job->req->job_id;
        i->state = (TpEnums__BatchOperationState)job->at.state;
        i->start_time = tl_pb_timestamp(c->arena, job->start_ns);
        i->close_time = job->at.close_ns ? tl_pb_timestamp(c->arena, job->at.close_ns) : NULL;
        i->operation_type = (TpEnums__BatchOperationType)tl_batch_type(job->req);
    }
    return i;
}

/* Number of the last job of the page before; INT64_MAX: from the newest on. */
static bool read_token(struct tl_call *c, ProtobufCBinaryData bytes, int64_t *before)
{
    const TlV1__ListToken *t;
    struct tl_error err;
    *before = INT64_MAX;
    if (!bytes.len) {
        return true;
    }
    if (tl_pb_decode(&tl_v1__list_token__descriptor, tl_pb_str(bytes), c->arena, &t, &err) !=
        TL_OK) {
        return refuse(c, "Invalid NextPageToken.");
    }
    *before = t->number;
    return true;
}

/* Newest first. */
void tl_api_list_batch_operations(struct tl_call *c)
{
    const TpWs__ListBatchOperationsRequest *req = c->req;
    TpWs__ListBatchOperationsResponse r = TP_WS__LIST_BATCH_OPERATIONS_RESPONSE__INIT;
    TlV1__ListToken token = TL_V1__LIST_TOKEN__INIT;
    struct tl_pb_list list = {0};
    struct tl_str bytes = {0};
    uint64_t seq = 0;
    int64_t before;
    size_t most = req->page_size > 0 && req->page_size < tl_limit_list_page
                      ? (size_t)req->page_size
                      : (size_t)tl_limit_list_page;
    if (!read_token(c, req->next_page_token, &before)) {
        return;
    }
    for (struct tl_list *it = c->s->batches.prev; it != &c->s->batches; it = it->prev) {
        struct tl_batch_job *job = TL_CONTAINER(it, struct tl_batch_job, link);
        if (job->ns != c->ns || (int64_t)job->number >= before) {
            continue;
        }
        if (list.n == most) {
            if (tl_pb_encode_arena(&token, c->arena, &bytes, NULL) == TL_OK) {
                r.next_page_token = tl_pb_bytes_view(bytes);
            }
            break;
        }
        TpBatch__BatchOperationInfo *i = info_of(c, job);
        if (!i || !tl_pb_push(c->arena, &list, i)) {
            tl_call_errorf(c, tl_rc_grpc_status(TL_ELIMIT), "the page is too large");
            return;
        }
        token.number = (int64_t)job->number;
        seq = job->seq > seq ? job->seq : seq;
    }
    r.n_operation_info = list.n;
    r.operation_info = (TpBatch__BatchOperationInfo **)list.items;
    tl_call_reply(c, seq, &r);
}
