/* What a batch operation does to one run. See batch.h. Thread: engine. */
#include "base/log.h"
#include "server/batch.h"
#include "server/history/activity.h"
#include "server/history/activity_execution.h"
#include "server/reset.h"

typedef TpWs__StartBatchOperationRequest request;

int tl_batch_type(const request *req)
{
    switch (req->operation_case) {
    case TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_TERMINATION_OPERATION:
        return BATCH_OPERATION_TYPE_TERMINATE;
    case TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_SIGNAL_OPERATION:
        return BATCH_OPERATION_TYPE_SIGNAL;
    case TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_CANCELLATION_OPERATION:
        return BATCH_OPERATION_TYPE_CANCEL;
    case TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_DELETION_OPERATION:
        return BATCH_OPERATION_TYPE_DELETE;
    case TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_RESET_OPERATION:
        return BATCH_OPERATION_TYPE_RESET;
    case TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_UPDATE_WORKFLOW_OPTIONS_OPERATION:
        return BATCH_OPERATION_TYPE_UPDATE_EXECUTION_OPTIONS;
    case TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_UNPAUSE_ACTIVITIES_OPERATION:
        return BATCH_OPERATION_TYPE_UNPAUSE_ACTIVITY;
    case TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_RESET_ACTIVITIES_OPERATION:
        return BATCH_OPERATION_TYPE_RESET_ACTIVITY;
    case TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_UPDATE_ACTIVITY_OPTIONS_OPERATION:
        return BATCH_OPERATION_TYPE_UPDATE_ACTIVITY_OPTIONS;
    case TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_CANCEL_ACTIVITIES_OPERATION:
        return BATCH_OPERATION_TYPE_CANCEL_ACTIVITY;
    case TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_TERMINATE_ACTIVITIES_OPERATION:
        return BATCH_OPERATION_TYPE_TERMINATE_ACTIVITY;
    case TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_DELETE_ACTIVITIES_OPERATION:
        return BATCH_OPERATION_TYPE_DELETE_ACTIVITY;
    default:
        return 0;
    }
}

enum tl_run_kind tl_batch_kind(int type)
{
    bool activities = type == BATCH_OPERATION_TYPE_CANCEL_ACTIVITY ||
                      type == BATCH_OPERATION_TYPE_TERMINATE_ACTIVITY ||
                      type == BATCH_OPERATION_TYPE_DELETE_ACTIVITY;
    return activities ? TL_RUN_ACTIVITY : TL_RUN_WORKFLOW;
}

bool tl_batch_wants_open(int type)
{
    return type && type != BATCH_OPERATION_TYPE_RESET && type != BATCH_OPERATION_TYPE_DELETE &&
           type != BATCH_OPERATION_TYPE_DELETE_ACTIVITY;
}

static const char *or_else(const char *text, const char *otherwise)
{
    return text && *text ? text : otherwise;
}

static tl_rc signal_run(struct tl_tx *tx, const request *req, struct tl_error *err)
{
    const TpBatch__BatchOperationSignal *op = req->signal_operation;
    /* The job's id: a run that is named twice gets the signal once. */
    struct tl_signal signal = {.name = op->signal,
                               .input = op->input,
                               .header = op->header,
                               .identity = op->identity,
                               .request_id = req->job_id};
    return tl_tx_signal(tx, &signal, err);
}

static tl_rc cancel_run(struct tl_tx *tx, const request *req, struct tl_error *err)
{
    TpWs__RequestCancelWorkflowExecutionRequest cancel =
        TP_WS__REQUEST_CANCEL_WORKFLOW_EXECUTION_REQUEST__INIT;
    cancel.reason = req->reason;
    cancel.identity = req->cancellation_operation->identity;
    cancel.request_id = req->job_id;
    return tl_tx_request_cancel(tx, &cancel, err);
}

static tl_rc terminate_run(struct tl_tx *tx, const request *req, struct tl_error *err)
{
    const TpBatch__BatchOperationTermination *op = req->termination_operation;
    return tl_tx_terminate(tx, req->reason, op->details, or_else(op->identity, "frontend-service"),
                           NULL, 0, err);
}

static tl_rc cancel_activity(struct tl_tx *tx, const request *req, struct tl_error *err)
{
    TpWs__RequestCancelActivityExecutionRequest cancel =
        TP_WS__REQUEST_CANCEL_ACTIVITY_EXECUTION_REQUEST__INIT;
    const TpBatch__BatchOperationCancelActivities *op = req->cancel_activities_operation;
    cancel.identity = op->identity;
    cancel.reason = op->reason;
    cancel.request_id = req->job_id;
    return tl_tx_activity_execution_cancel(tx, &cancel, err);
}

static tl_rc terminate_activity(struct tl_tx *tx, const request *req, struct tl_error *err)
{
    const TpBatch__BatchOperationTerminateActivities *op = req->terminate_activities_operation;
    return tl_tx_activity_execution_terminate(tx, op->reason, op->identity, req->job_id, err);
}

static tl_rc update_options(struct tl_tx *tx, const request *req, struct tl_error *err)
{
    const TpBatch__BatchOperationUpdateWorkflowExecutionOptions *op =
        req->update_workflow_options_operation;
    TpWorkflow__WorkflowExecutionOptions merged;
    struct tl_options_change change;
    tl_rc rc = tl_options_change_read(op->update_mask, op->workflow_execution_options, op->identity,
                                      &change, err);
    return rc == TL_OK ? tl_tx_change_options(tx, &change, &merged, err) : rc;
}

static struct tl_activity_pick pick(bool by_type, const char *type, bool match_all)
{
    return (struct tl_activity_pick){.type = tl_str(by_type ? type : ""), .all = match_all};
}

static tl_rc unpause_activities(struct tl_tx *tx, const request *req, struct tl_error *err)
{
    const TpBatch__BatchOperationUnpauseActivities *op = req->unpause_activities_operation;
    const struct tl_activity_pick which = pick(
        op->activity_case == TP_BATCH__BATCH_OPERATION_UNPAUSE_ACTIVITIES__ACTIVITY_TYPE, op->type,
        op->activity_case == TP_BATCH__BATCH_OPERATION_UNPAUSE_ACTIVITIES__ACTIVITY_MATCH_ALL &&
            op->match_all);
    const struct tl_activity_unpause how = {.reset_attempts = op->reset_attempts,
                                            .reset_heartbeat = op->reset_heartbeat,
                                            .jitter_ns = tl_pb_duration_ns_or(op->jitter, 0)};
    return tl_tx_activity_unpause(tx, &which, &how, err);
}

static tl_rc reset_activities(struct tl_tx *tx, const request *req, struct tl_error *err)
{
    const TpBatch__BatchOperationResetActivities *op = req->reset_activities_operation;
    const struct tl_activity_pick which = pick(
        op->activity_case == TP_BATCH__BATCH_OPERATION_RESET_ACTIVITIES__ACTIVITY_TYPE, op->type,
        op->activity_case == TP_BATCH__BATCH_OPERATION_RESET_ACTIVITIES__ACTIVITY_MATCH_ALL &&
            op->match_all);
    const struct tl_activity_reset how = {.reset_heartbeat = op->reset_heartbeat,
                                          .keep_paused = op->keep_paused,
                                          .restore_options = op->restore_original_options,
                                          .jitter_ns = tl_pb_duration_ns_or(op->jitter, 0)};
    return tl_tx_activity_reset(tx, &which, &how, err);
}

static tl_rc change_activity_options(struct tl_tx *tx, const request *req, struct tl_error *err)
{
    const TpBatch__BatchOperationUpdateActivityOptions *op = req->update_activity_options_operation;
    const struct tl_activity_pick which =
        pick(op->activity_case == TP_BATCH__BATCH_OPERATION_UPDATE_ACTIVITY_OPTIONS__ACTIVITY_TYPE,
             op->type,
             op->activity_case ==
                     TP_BATCH__BATCH_OPERATION_UPDATE_ACTIVITY_OPTIONS__ACTIVITY_MATCH_ALL &&
                 op->match_all);
    const struct tl_activity_options_change change = {
        .options = op->activity_options,
        .paths = op->update_mask ? op->update_mask->paths : NULL,
        .path_count = op->update_mask ? op->update_mask->n_paths : 0,
        .restore_original = op->restore_original,
    };
    return tl_tx_activity_change_options(tx, &which, &change, err);
}

typedef tl_rc operation(struct tl_tx *tx, const request *req, struct tl_error *err);

/* One transaction with the operation. */
static tl_rc transact(struct tl_server *s, struct tl_exec *e, operation *operate,
                      const request *req, struct tl_error *err)
{
    struct tl_tx tx;
    struct tl_error end;
    tl_arena_reset(&s->arena);
    tl_run_begin(s, e, &tx, &s->arena);
    tl_rc rc = operate(&tx, req, err);
    if (tl_run_end(s, e, &tx, &end) != TL_OK) {
        *err = end;
        return end.code;
    }
    return rc;
}

static tl_rc end_before_deletion(struct tl_tx *tx, const request *req, struct tl_error *err)
{
    if (tl_batch_kind(tl_batch_type(req)) == TL_RUN_ACTIVITY) {
        return tl_tx_activity_execution_terminate(tx, "Delete activity execution", "", "", err);
    }
    return tl_tx_terminate(tx, "Delete workflow execution", NULL, "history-service", NULL, 0, err);
}

/* A running one is terminated first; it goes when all it wrote is durable. */
static enum tl_batch_outcome delete_run(struct tl_server *s, struct tl_exec *e, const request *req,
                                        bool ahead, struct tl_error *err)
{
    if (!e->closed && transact(s, e, end_before_deletion, req, err) != TL_OK) {
        return TL_BATCH_FAILED;
    }
    if (ahead || e->seq > s->durable_seq) {
        return TL_BATCH_WAIT;
    }
    return tl_run_erase(s, e, err) == TL_OK ? TL_BATCH_DONE : TL_BATCH_FAILED;
}

tl_rc tl_batch_reset_request(const request *req, struct tl_reset_request *out, struct tl_error *err)
{
    const TpBatch__BatchOperationReset *op = req->reset_operation;
    const TpCommon__ResetOptions *o = op->options;
    int reapply = (int)(o ? o->reset_reapply_type : op->reset_reapply_type);
    *out = (struct tl_reset_request){.reason = req->reason, .request_id = req->job_id};
    tl_reset_exclude(out, reapply, o ? o->reset_reapply_exclude_types : NULL,
                     o ? o->n_reset_reapply_exclude_types : 0);
    out->after = op->post_reset_operations;
    out->n_after = op->n_post_reset_operations;
    if (!o) {
        bool first = (int)op->reset_type == RESET_TYPE_FIRST_WORKFLOW_TASK;
        out->point = first ? TL_RESET_FIRST_TASK : TL_RESET_LAST_TASK;
        return first || (int)op->reset_type == RESET_TYPE_LAST_WORKFLOW_TASK
                   ? TL_OK
                   : tl_error_set(err, TL_EINVAL, "ResetType is not set on request.");
    }
    switch (o->target_case) {
    case TP_COMMON__RESET_OPTIONS__TARGET_FIRST_WORKFLOW_TASK:
        out->point = TL_RESET_FIRST_TASK;
        return TL_OK;
    case TP_COMMON__RESET_OPTIONS__TARGET_LAST_WORKFLOW_TASK:
        out->point = TL_RESET_LAST_TASK;
        return TL_OK;
    case TP_COMMON__RESET_OPTIONS__TARGET_WORKFLOW_TASK_ID:
        out->point = TL_RESET_EVENT;
        out->finish_event_id = o->workflow_task_id;
        return TL_OK;
    case TP_COMMON__RESET_OPTIONS__TARGET_BUILD_ID:
        out->point = TL_RESET_BUILD;
        out->build_id = o->build_id;
        return TL_OK;
    default:
        return tl_error_set(err, TL_EINVAL, "ResetOptions.target is not set on request.");
    }
}

static tl_rc reset_run(struct tl_server *s, struct tl_exec *e, const request *req,
                       struct tl_error *err)
{
    struct tl_reset_request reset;
    struct tl_exec *made;
    tl_rc rc = tl_batch_reset_request(req, &reset, err);
    return rc == TL_OK ? tl_run_reset(s, e, &reset, &made, err) : rc;
}

static struct tl_exec *find(struct tl_server *s, const struct tl_batch_job *job,
                            const struct tl_batch_item *item, struct tl_error *err)
{
    TpCommon__WorkflowExecution x = TP_COMMON__WORKFLOW_EXECUTION__INIT;
    const request *req = job->req;
    if (*req->visibility_query) {
        return tl_run_by_number(s, item->number, err);
    }
    if (tl_batch_kind(tl_batch_type(req)) == TL_RUN_ACTIVITY) {
        const TpCommon__Execution *named = req->target_executions[item->number];
        return tl_run_find_execution(s, job->ns, TL_RUN_ACTIVITY, tl_str(named->business_id),
                                     tl_str(named->run_id), err);
    }
    if (req->n_target_executions) {
        x.workflow_id = req->target_executions[item->number]->business_id;
        x.run_id = req->target_executions[item->number]->run_id;
        return tl_run_find(s, job->ns, &x, err);
    }
    return tl_run_find(s, job->ns, req->executions[item->number], err);
}

/* Those that are one transaction of the run. */
static operation *const operations[] = {
    [BATCH_OPERATION_TYPE_TERMINATE] = terminate_run,
    [BATCH_OPERATION_TYPE_SIGNAL] = signal_run,
    [BATCH_OPERATION_TYPE_CANCEL] = cancel_run,
    [BATCH_OPERATION_TYPE_UPDATE_EXECUTION_OPTIONS] = update_options,
    [BATCH_OPERATION_TYPE_CANCEL_ACTIVITY] = cancel_activity,
    [BATCH_OPERATION_TYPE_TERMINATE_ACTIVITY] = terminate_activity,
    [BATCH_OPERATION_TYPE_UNPAUSE_ACTIVITY] = unpause_activities,
    [BATCH_OPERATION_TYPE_RESET_ACTIVITY] = reset_activities,
    [BATCH_OPERATION_TYPE_UPDATE_ACTIVITY_OPTIONS] = change_activity_options,
};

static operation *operation_of(int type)
{
    bool listed = type >= 0 && (size_t)type < sizeof operations / sizeof *operations;
    return listed ? operations[type] : NULL;
}

enum tl_batch_outcome tl_batch_apply(struct tl_server *s, const struct tl_batch_job *job,
                                     const struct tl_batch_item *item, bool ahead)
{
    struct tl_error err = {0};
    tl_rc rc = TL_OK;
    struct tl_exec *e = find(s, job, item, &err);
    enum tl_batch_outcome out = TL_BATCH_DONE;
    int type = tl_batch_type(job->req);
    if (!e) {
        rc = err.code;
    } else if (e->closed && tl_batch_kind(type) == TL_RUN_ACTIVITY && tl_batch_wants_open(type)) {
        rc = TL_ENOTFOUND;
    } else if (operation_of(type)) {
        rc = transact(s, e, operation_of(type), job->req, &err);
        if (rc == TL_OK && type == BATCH_OPERATION_TYPE_UPDATE_EXECUTION_OPTIONS) {
            tl_dispatch_changed(s, e, &s->arena); /* what waits for another version goes there */
        }
    } else if (type == BATCH_OPERATION_TYPE_RESET) {
        rc = reset_run(s, e, job->req, &err);
    } else {
        out = delete_run(s, e, job->req, ahead, &err);
    }
    if (rc != TL_OK && rc != TL_ENOTFOUND) {
        out = TL_BATCH_FAILED;
    }
    if (out == TL_BATCH_FAILED) {
        TL_LOG(TL_LOG_WARN, "server.batch_item_failed", TL_C("job", job->req->job_id),
               TL_C("cause", err.message));
    }
    return out;
}
