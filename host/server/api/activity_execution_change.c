/* What operators do to activities by id: those without a workflow, and with a workflow id those of that
 * workflow, as the older methods do (activity_change.c). Thread: engine. */
#include "server/api/execution.h"

/* What a request names. */
struct ids {
    char *workflow_id, *activity_id, *run_id;
};

/* The run that has the activity; *pick: which of a workflow's it is. NULL after an answer. */
static struct tl_exec *find(struct tl_call *c, const struct ids *ids, struct tl_activity_pick *pick)
{
    TpCommon__WorkflowExecution execution = TP_COMMON__WORKFLOW_EXECUTION__INIT;
    if (!*ids->workflow_id) {
        return tl_api_find_execution(c, TL_RUN_ACTIVITY, ids->activity_id, ids->run_id);
    }
    execution.workflow_id = ids->workflow_id;
    execution.run_id = ids->run_id;
    *pick = (struct tl_activity_pick){.id = tl_str(ids->activity_id)};
    return tl_api_check_id(c, "ActivityId", ids->activity_id, true) ? tl_api_find(c, &execution)
                                                                    : NULL;
}

static bool jitter_ok(struct tl_call *c, const Google__Protobuf__Duration *d)
{
    if (tl_pb_duration_ns_or(d, 0) < 0) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "Jitter cannot be negative");
        return false;
    }
    return true;
}

void tl_api_pause_activity_execution(struct tl_call *c)
{
    const TpWs__PauseActivityExecutionRequest *req = c->req;
    TpWs__PauseActivityExecutionResponse r = TP_WS__PAUSE_ACTIVITY_EXECUTION_RESPONSE__INIT;
    const struct tl_api_change change = {req->request_id, req->identity, req->reason};
    const struct ids ids = {req->workflow_id, req->activity_id, req->run_id};
    struct tl_activity_pick pick;
    struct tl_tx tx;
    struct tl_error err;
    struct tl_exec *e = tl_api_check_change(c, &change) ? find(c, &ids, &pick) : NULL;
    if (!e) {
        return;
    }
    tl_run_begin(c->s, e, &tx, c->arena);
    tl_rc rc = *req->workflow_id ? tl_tx_activity_pause(&tx, &pick, req->identity, req->reason,
                                                        req->request_id, &err)
                                 : tl_tx_activity_execution_pause(&tx, req, &err);
    if (tl_api_end(c, e, &tx, rc, &err)) {
        tl_call_reply(c, e->seq, &r);
    }
}

void tl_api_unpause_activity_execution(struct tl_call *c)
{
    const TpWs__UnpauseActivityExecutionRequest *req = c->req;
    TpWs__UnpauseActivityExecutionResponse r = TP_WS__UNPAUSE_ACTIVITY_EXECUTION_RESPONSE__INIT;
    const struct tl_api_change change = {req->request_id, req->identity, req->reason};
    const struct ids ids = {req->workflow_id, req->activity_id, req->run_id};
    const struct tl_activity_unpause how = {.jitter_ns = tl_pb_duration_ns_or(req->jitter, 0)};
    struct tl_activity_pick pick;
    struct tl_tx tx;
    struct tl_error err;
    struct tl_exec *e =
        tl_api_check_change(c, &change) && jitter_ok(c, req->jitter) ? find(c, &ids, &pick) : NULL;
    if (!e) {
        return;
    }
    tl_run_begin(c->s, e, &tx, c->arena);
    tl_rc rc = *req->workflow_id ? tl_tx_activity_unpause(&tx, &pick, &how, &err)
                                 : tl_tx_activity_execution_unpause(&tx, req, &err);
    if (tl_api_end(c, e, &tx, rc, &err)) {
        tl_call_reply(c, e->seq, &r);
    }
}

void tl_api_reset_activity_execution(struct tl_call *c)
{
    const TpWs__ResetActivityExecutionRequest *req = c->req;
    TpWs__ResetActivityExecutionResponse r = TP_WS__RESET_ACTIVITY_EXECUTION_RESPONSE__INIT;
    const struct tl_api_change change = {req->request_id, req->identity, ""};
    const struct ids ids = {req->workflow_id, req->activity_id, req->run_id};
    const struct tl_activity_reset how = {.reset_heartbeat = req->reset_heartbeat,
                                          .keep_paused = req->keep_paused,
                                          .restore_options = req->restore_original_options,
                                          .jitter_ns = tl_pb_duration_ns_or(req->jitter, 0)};
    struct tl_activity_pick pick;
    struct tl_tx tx;
    struct tl_error err;
    struct tl_exec *e =
        tl_api_check_change(c, &change) && jitter_ok(c, req->jitter) ? find(c, &ids, &pick) : NULL;
    if (!e) {
        return;
    }
    tl_run_begin(c->s, e, &tx, c->arena);
    tl_rc rc = *req->workflow_id ? tl_tx_activity_reset(&tx, &pick, &how, &err)
                                 : tl_tx_activity_execution_reset(&tx, req, &err);
    if (tl_api_end(c, e, &tx, rc, &err)) {
        tl_call_reply(c, e->seq, &r);
    }
}

void tl_api_update_activity_execution_options(struct tl_call *c)
{
    const TpWs__UpdateActivityExecutionOptionsRequest *req = c->req;
    TpWs__UpdateActivityExecutionOptionsResponse r =
        TP_WS__UPDATE_ACTIVITY_EXECUTION_OPTIONS_RESPONSE__INIT;
    const struct tl_api_change change = {req->request_id, req->identity, ""};
    const struct ids ids = {req->workflow_id, req->activity_id, req->run_id};
    const struct tl_activity_options_change options = {
        .options = req->activity_options,
        .paths = req->update_mask ? req->update_mask->paths : NULL,
        .path_count = req->update_mask ? req->update_mask->n_paths : 0,
        .restore_original = req->restore_original,
    };
    struct tl_activity_pick pick = {.all = true};
    struct tl_tx tx;
    struct tl_error err;
    struct tl_exec *e = tl_api_check_change(c, &change) ? find(c, &ids, &pick) : NULL;
    if (!e) {
        return;
    }
    tl_run_begin(c->s, e, &tx, c->arena);
    tl_rc rc = *req->workflow_id ? tl_tx_activity_change_options(&tx, &pick, &options, &err)
                                 : tl_tx_activity_execution_change(&tx, req, &err);
    if (tl_api_end(c, e, &tx, rc, &err)) {
        r.activity_options = tl_rs_activity_options(e->rs, &pick, c->arena);
        tl_call_reply(c, e->seq, &r);
    }
}
