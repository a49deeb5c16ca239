/* Changing the options of a run. Thread: engine. */
#include "server/api/api.h"

bool tl_api_check_options(struct tl_call *c, const Google__Protobuf__FieldMask *mask,
                          const TpWorkflow__WorkflowExecutionOptions *options)
{
    struct tl_options_change change;
    struct tl_error err;
    tl_rc rc = tl_options_change_read(mask, options, NULL, &change, &err);
    if (rc == TL_OK && options) {
        rc = tl_override_check(options->versioning_override, &err);
    }
    if (rc != TL_OK) {
        tl_call_errorf(c, tl_rc_grpc_status(rc), "%s", err.message);
        return false;
    }
    return !options || tl_api_check_time_skipping(c, options->time_skipping_config);
}

bool tl_api_check_post_reset(struct tl_call *c, TpWorkflow__PostResetOperation *const *operations,
                             size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const TpWorkflow__PostResetOperation *o = operations[i];
        if (o->variant_case != TP_WORKFLOW__POST_RESET_OPERATION__VARIANT_UPDATE_WORKFLOW_OPTIONS) {
            tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL),
                           "unsupported post reset operation %zu: only options can be changed", i);
            return false;
        }
        if (!tl_api_check_options(c, o->update_workflow_options->update_mask,
                                  o->update_workflow_options->workflow_execution_options)) {
            return false;
        }
    }
    return true;
}

void tl_api_update_workflow_execution_options(struct tl_call *c)
{
    const TpWs__UpdateWorkflowExecutionOptionsRequest *req = c->req;
    TpWs__UpdateWorkflowExecutionOptionsResponse r =
        TP_WS__UPDATE_WORKFLOW_EXECUTION_OPTIONS_RESPONSE__INIT;
    TpWorkflow__WorkflowExecutionOptions merged;
    struct tl_options_change change;
    struct tl_tx tx;
    struct tl_error err;
    if (!tl_api_check_options(c, req->update_mask, req->workflow_execution_options)) {
        return;
    }
    struct tl_exec *e = tl_api_find(c, req->workflow_execution);
    if (!e) {
        return;
    }
    tl_run_begin(c->s, e, &tx, c->arena);
    tl_rc rc = tl_options_change_read(req->update_mask, req->workflow_execution_options,
                                      req->identity, &change, &err);
    rc = rc == TL_OK ? tl_tx_change_options(&tx, &change, &merged, &err) : rc;
    int64_t at_ns = tx.now_ns;
    if (tl_api_end(c, e, &tx, rc, &err)) {
        tl_dispatch_changed(c->s, e, c->arena);
        r.workflow_execution_options = &merged;
        r.update_time = tl_pb_timestamp(c->arena, at_ns);
        tl_call_reply(c, e->seq, &r);
    }
}
