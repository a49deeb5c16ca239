/* Calls that wait for an update: parked on the run under the update's id, answered when the update is
 * as far as they want it, or when their time is over. Thread: engine. */
#include "base/mem.h"
#include "server/page.h"

#define COMPLETED_BY_CLOSE                                                                         \
    "Workflow Update failed because the Workflow completed before the Update completed."

/* --- outcome -------------------------------------------------------------------------------------- */

static tl_rc failed_by_close(struct tl_arena *arena, TpUpdate__Outcome *out, struct tl_error *err)
{
    TpFailure__Failure *f = TL_PB_NEW(arena, TpFailure__Failure, tp_failure__failure);
    TpFailure__ApplicationFailureInfo *info =
        TL_PB_NEW(arena, TpFailure__ApplicationFailureInfo, tp_failure__application_failure_info);
    if (!f || !info) {
        return tl_error_set(err, TL_ELIMIT, "no memory for the outcome of an update");
    }
    f->message = (char *)(uintptr_t)COMPLETED_BY_CLOSE;
    f->source = (char *)(uintptr_t) "Server";
    f->failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_APPLICATION_FAILURE_INFO;
    f->application_failure_info = info;
    info->type = (char *)(uintptr_t) "AcceptedUpdateCompletedWorkflow";
    info->non_retryable = true;
    out->value_case = TP_UPDATE__OUTCOME__VALUE_FAILURE;
    out->failure = f;
    return TL_OK;
}

static tl_rc find_event(struct tl_str events, int64_t event_id, struct tl_arena *arena,
                        TpUpdate__Outcome *out, struct tl_error *err)
{
    struct tl_str bytes;
    while (tl_history_next(&events, &bytes)) {
        TpHistory__HistoryEvent *e = NULL;
        tl_rc rc = tl_pb_decode(&tp_history__history_event__descriptor, bytes, arena, &e, err);
        if (rc != TL_OK) {
            return rc;
        }
        if (e->event_id == event_id &&
            (int)e->event_type == EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED &&
            e->workflow_execution_update_completed_event_attributes) {
            *out = *e->workflow_execution_update_completed_event_attributes->outcome;
            return TL_OK;
        }
    }
    return tl_error_set(err, TL_EDATALOSS, "event %lld does not hold the outcome of an update",
                        (long long)event_id);
}

static tl_rc read_outcome(struct tl_server *s, struct tl_exec *e, int64_t event_id,
                          struct tl_arena *arena, TpUpdate__Outcome *out, struct tl_error *err)
{
    struct tl_page page = {0};
    struct tl_buf bytes;
    if (!event_id) {
        return failed_by_close(arena, out, err);
    }
    tl_buf_init(&bytes, (size_t)1 << 30);
    tl_rc rc = tl_page_plan(e->rs, event_id, event_id, 1, false, arena, &page, err);
    if (rc == TL_OK) {
        rc = tl_page_fill(&page, tl_store_point_reader(s->store), &bytes, err);
    }
    if (rc == TL_OK) {
        rc = find_event(tl_arena_str(arena, tl_buf_str(&bytes)), event_id, arena, out, err);
    }
    tl_buf_deinit(&bytes);
    return rc;
}

/* --- answers -------------------------------------------------------------------------------------- */

static TpUpdate__UpdateRef *make_ref(struct tl_exec *e, struct tl_str id, struct tl_arena *arena)
{
    struct tl_rs_info info;
    TpUpdate__UpdateRef *ref = TL_PB_NEW(arena, TpUpdate__UpdateRef, tp_update__update_ref);
    TpCommon__WorkflowExecution *x =
        TL_PB_NEW(arena, TpCommon__WorkflowExecution, tp_common__workflow_execution);
    tl_rs_info(e->rs, &info);
    if (ref && x) {
        x->workflow_id = tl_pb_cstr(arena, info.id.workflow_id);
        x->run_id = tl_pb_cstr(arena, info.id.run_id);
        ref->workflow_execution = x;
        ref->update_id = tl_pb_cstr(arena, id);
    }
    return ref;
}

static void reply_multi(struct tl_call *c, struct tl_exec *e,
                        TpWs__UpdateWorkflowExecutionResponse *update)
{
    TpWs__ExecuteMultiOperationResponse r = TP_WS__EXECUTE_MULTI_OPERATION_RESPONSE__INIT;
    TpWs__ExecuteMultiOperationResponse__Response
        first = TP_WS__EXECUTE_MULTI_OPERATION_RESPONSE__RESPONSE__INIT,
        second = TP_WS__EXECUTE_MULTI_OPERATION_RESPONSE__RESPONSE__INIT;
    TpWs__ExecuteMultiOperationResponse__Response *both[] = {&first, &second};
    TpWs__StartWorkflowExecutionResponse start = TP_WS__START_WORKFLOW_EXECUTION_RESPONSE__INIT;
    struct tl_rs_info info;
    tl_rs_info(e->rs, &info);
    start.run_id = tl_pb_cstr(c->arena, info.id.run_id);
    start.first_execution_run_id = tl_pb_cstr(c->arena, info.first_run_id);
    start.started = c->operation == TL_OPERATION_UPDATE_OF_NEW;
    start.status = (TpEnums__WorkflowExecutionStatus)info.status;
    first.response_case =
        TP_WS__EXECUTE_MULTI_OPERATION_RESPONSE__RESPONSE__RESPONSE_START_WORKFLOW;
    first.start_workflow = &start;
    second.response_case =
        TP_WS__EXECUTE_MULTI_OPERATION_RESPONSE__RESPONSE__RESPONSE_UPDATE_WORKFLOW;
    second.update_workflow = update;
    r.n_responses = 2;
    r.responses = both;
    tl_call_reply(c, e->seq, &r);
}

static void reply(struct tl_call *c, struct tl_exec *e, struct tl_str id, int stage,
                  TpUpdate__Outcome *outcome)
{
    TpWs__UpdateWorkflowExecutionResponse r = TP_WS__UPDATE_WORKFLOW_EXECUTION_RESPONSE__INIT;
    TpWs__PollWorkflowExecutionUpdateResponse p =
        TP_WS__POLL_WORKFLOW_EXECUTION_UPDATE_RESPONSE__INIT;
    r.update_ref = p.update_ref = make_ref(e, id, c->arena);
    r.outcome = p.outcome = outcome;
    r.stage = p.stage = (TpEnums__UpdateWorkflowExecutionLifecycleStage)stage;
    if (!r.update_ref) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_ELIMIT), "no memory for the answer of an update");
    } else if (c->rpc->method == TL_M_PollWorkflowExecutionUpdate) {
        tl_call_reply(c, e->seq, &p);
    } else if (c->rpc->method == TL_M_ExecuteMultiOperation) {
        reply_multi(c, e, &r);
    } else {
        tl_call_reply(c, e->seq, &r);
    }
}

static void park(struct tl_call *c, struct tl_exec *e, struct tl_str id)
{
    struct tl_parked *p = c->parked ? c->parked : tl_parked_new(c->s, c, TL_PARKED_UPDATE);
    if (!p->update_id) {
        p->update_id = tl_mem_dup(id);
        p->run_number = e->number;
        p->operation = c->operation;
    }
    if (!p->until_ns) {
        p->until_ns = tl_parked_deadline(c->s, c->rpc, c->s->o.long_poll_ns);
    }
    c->parked = NULL;
    tl_due_set(&c->s->waits, &p->due, p->until_ns);
    tl_list_push(&e->waiters, &p->link);
}

void tl_update_answer(struct tl_call *c, struct tl_exec *e, struct tl_str id, int wait_stage)
{
    struct tl_rs_update u;
    struct tl_error err;
    TpUpdate__Outcome outcome = TP_UPDATE__OUTCOME__INIT;
    if (!tl_rs_update_find(e->rs, id, &u)) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EUNAVAILABLE), "workflow update was aborted");
        return;
    }
    if (u.stage < wait_stage && !(c->parked && c->parked->expired)) {
        park(c, e, id);
        return;
    }
    if (u.stage != UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED) {
        reply(c, e, id, u.stage, NULL);
    } else if (read_outcome(c->s, e, u.completed_event_id, c->arena, &outcome, &err) != TL_OK) {
        tl_call_errorf(c, tl_rc_grpc_status(err.code), "%s", err.message);
    } else {
        reply(c, e, id, u.stage, &outcome);
    }
}

/* --- effects -------------------------------------------------------------------------------------- */

static void answer_waiter(struct tl_server *s, struct tl_exec *e, struct tl_parked *p,
                          const struct tl_effect *fx, struct tl_arena *arena)
{
    struct tl_call c = {
        .s = s, .rpc = p->rpc, .arena = arena, .ns = p->ns, .operation = p->operation};
    TpUpdate__Outcome outcome = TP_UPDATE__OUTCOME__INIT;
    struct tl_error err;
    tl_parked_free(s, p);
    if (fx->kind == TL_FX_UPDATE_REJECTED) {
        outcome.value_case = TP_UPDATE__OUTCOME__VALUE_FAILURE;
        outcome.failure = (TpFailure__Failure *)(uintptr_t)fx->u.update.failure;
        reply(&c, e, fx->u.update.id, UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED,
              &outcome);
        return;
    }
    tl_error_set(&err, fx->u.update.rc, "%.*s", TL_STR_FMT(fx->u.update.message));
    tl_call_tx_error(&c, e, fx->u.update.error_kind, 0, &err);
}

void tl_update_effect(struct tl_server *s, struct tl_exec *e, const struct tl_effect *fx,
                      struct tl_arena *arena)
{
    TL_LIST_EACH (it, &e->waiters) {
        struct tl_parked *p = TL_CONTAINER(it, struct tl_parked, link);
        if (p->kind != TL_PARKED_UPDATE || !tl_str_eqc(fx->u.update.id, p->update_id)) {
            continue;
        }
        if (fx->kind == TL_FX_UPDATE_REJECTED || fx->kind == TL_FX_UPDATE_ABORTED) {
            answer_waiter(s, e, p, fx, arena);
            continue;
        }
        if (fx->kind == TL_FX_UPDATE_RETRY) {
            p->retry = true; /* from the start, with the id it has got */
        }
        tl_parked_wake(s, p);
    }
}
