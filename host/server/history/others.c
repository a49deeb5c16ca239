/* Signals to other runs and requests for their cancellation: what a run remembers of them until they
 * are answered. The caller carries requests from run to run; everything here may be told twice.
 * Thread: the run's owner. Owns: see rs.h; requests and effects live in the caller's arena. */
#include "server/history/rs.h"

/* --- state ----------------------------------------------------------------------------------- */

static struct tl_external *external_of(const struct tl_rs *rs, int64_t initiated_id)
{
    return rs->externals ? tl_map_get_num(rs->externals, (uint64_t)initiated_id) : NULL;
}

static void remove_external(struct tl_rs *rs, int64_t initiated_id)
{
    struct tl_external *x =
        rs->externals ? tl_map_del_num(rs->externals, (uint64_t)initiated_id) : NULL;
    if (!x) {
        return;
    }
    (x->is_signal ? &rs->pending_signals : &rs->pending_cancels)[0]--;
    tl_mem_free(x->event.p);
    tl_mem_free(x);
    if (rs->externals->count == 0) {
        tl_rs_drop_map(&rs->externals);
    }
}

void tl_rs_others_free(struct tl_rs *rs)
{
    while (rs->externals) {
        remove_external(rs, (int64_t)tl_map_first(rs->externals)->num);
    }
}

size_t tl_rs_others_bytes(const struct tl_rs *rs)
{
    size_t n = 0;
    if (rs->externals) {
        TL_MAP_EACH (e, rs->externals) {
            const struct tl_external *x = e->value;
            n += sizeof(*x) + 100 + x->event.n;
        }
    }
    return n;
}

static void add_external(struct tl_rs *rs, int64_t initiated_id, bool is_signal,
                         struct tl_str event)
{
    struct tl_external *x = TL_NEW(struct tl_external);
    x->initiated_id = initiated_id;
    x->is_signal = is_signal;
    tl_set_blob(&x->event, event);
    tl_map_put_num(tl_rs_need_map(&rs->externals), (uint64_t)initiated_id, x);
    (is_signal ? &rs->pending_signals : &rs->pending_cancels)[0]++;
}

tl_rc tl_rs_external_load(struct tl_rs *rs, struct tl_str event, struct tl_arena *scratch,
                          struct tl_error *err)
{
    TpHistory__HistoryEvent *e = NULL;
    tl_rc rc = tl_pb_decode(&tp_history__history_event__descriptor, event, scratch, &e, err);
    if (rc != TL_OK) {
        return rc;
    }
    bool is_signal = (int)e->event_type == EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED;
    bool is_cancel =
        (int)e->event_type == EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED;
    if ((!is_signal && !is_cancel) || external_of(rs, e->event_id)) {
        return tl_error_set(err, TL_EDECODE, "a request to another run is damaged");
    }
    add_external(rs, e->event_id, is_signal, event);
    return TL_OK;
}

/* --- events ---------------------------------------------------------------------------------- */

/* The initiating event that the answer to a request names. */
static int64_t initiated_of(const TpHistory__HistoryEvent *e)
{
#define CASE(NAME, field)                                                                          \
    case EVENT_TYPE_##NAME:                                                                        \
        return e->field##_event_attributes->initiated_event_id;
    switch ((int)e->event_type) {
        CASE(SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED, signal_external_workflow_execution_failed)
        CASE(EXTERNAL_WORKFLOW_EXECUTION_SIGNALED, external_workflow_execution_signaled)
        CASE(REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED,
             request_cancel_external_workflow_execution_failed)
        CASE(EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED,
             external_workflow_execution_cancel_requested)
    default:
        return 0;
    }
#undef CASE
}

tl_rc tl_apply_external_initiated(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                                  struct tl_arena *scratch, struct tl_error *err)
{
    struct tl_str bytes;
    tl_rc rc = tl_pb_encode_arena(e, scratch, &bytes, err);
    if (rc == TL_OK) {
        remove_external(rs, e->event_id);
        add_external(rs, e->event_id,
                     (int)e->event_type == EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED,
                     bytes);
    }
    return rc;
}

tl_rc tl_apply_external_over(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                             struct tl_arena *scratch, struct tl_error *err)
{
    (void)scratch, (void)err;
    remove_external(rs, initiated_of(e));
    return TL_OK;
}

/* --- what is asked of others ----------------------------------------------------------------- */

static void fill_signal(const TpHistory__SignalExternalWorkflowExecutionInitiatedEventAttributes *a,
                        struct tl_other_request *out)
{
    out->is_signal = true;
    out->namespace_ = tl_str(a->namespace_);
    out->workflow_id = tl_str(a->workflow_execution->workflow_id);
    out->run_id = tl_str(a->workflow_execution->run_id);
    out->signal_name = a->signal_name;
    out->input = a->input;
    out->header = a->header;
    out->child_only = a->child_workflow_only;
}

static void
fill_cancel(const TpHistory__RequestCancelExternalWorkflowExecutionInitiatedEventAttributes *a,
            struct tl_other_request *out)
{
    out->namespace_ = tl_str(a->namespace_);
    out->workflow_id = tl_str(a->workflow_execution->workflow_id);
    out->run_id = tl_str(a->workflow_execution->run_id);
    out->reason = a->reason;
    out->child_only = a->child_workflow_only;
}

tl_rc tl_rs_other_request(const struct tl_rs *rs, int64_t initiated_id, struct tl_arena *arena,
                          struct tl_other_request *out, struct tl_error *err)
{
    const struct tl_external *x = external_of(rs, initiated_id);
    if (!tl_rs_open(rs) || !x) {
        return tl_error_set(err, TL_ENOTFOUND, "Pending request to another run not found.");
    }
    const TpHistory__HistoryEvent *e = tl_blob_event(&x->event, arena);
    TpCommon__WorkflowExecution *source =
        TL_PB_NEW(arena, TpCommon__WorkflowExecution, tp_common__workflow_execution);
    *out = (struct tl_other_request){
        .source = source,
        .request_id = tl_arena_printf(arena, "%s:%lld", rs->run_id, (long long)initiated_id)};
    if (!e || !source || !out->request_id ||
        !(source->workflow_id = tl_pb_cstr(arena, tl_str(rs->workflow_id))) ||
        !(source->run_id = tl_pb_cstr(arena, tl_str(rs->run_id)))) {
        return tl_error_set(err, TL_ELIMIT, "no memory for a request to another run");
    }
    if (x->is_signal) {
        fill_signal(e->signal_external_workflow_execution_initiated_event_attributes, out);
    } else {
        fill_cancel(e->request_cancel_external_workflow_execution_initiated_event_attributes, out);
    }
    return TL_OK;
}

size_t tl_rs_others_regenerate(const struct tl_rs *rs, struct tl_effects *out)
{
    size_t wanted = 0;
    if (rs->externals) {
        TL_MAP_EACH (e, rs->externals) {
            const struct tl_external *x = e->value;
            struct tl_effect *f =
                tl_effects_add(out, x->is_signal ? TL_FX_SIGNAL_OTHER : TL_FX_CANCEL_OTHER);
            wanted++;
            if (f) {
                f->u.initiated_id = x->initiated_id;
            }
        }
    }
    return wanted;
}

/* --- what others answer ---------------------------------------------------------------------- */

/* The events of a signal and of a cancellation differ by their generated types alone. */
#define FILL_FAILED(failed, in, initiated)                                                         \
    ((failed).workflow_task_completed_event_id = (in)->workflow_task_completed_event_id,           \
     (failed).namespace_ = (in)->namespace_, (failed).namespace_id = (in)->namespace_id,           \
     (failed).workflow_execution = (in)->workflow_execution,                                       \
     (failed).initiated_event_id = (initiated)->event_id, (failed).control = (in)->control)
#define FILL_DONE(done, in, initiated)                                                             \
    ((done).initiated_event_id = (initiated)->event_id, (done).namespace_ = (in)->namespace_,      \
     (done).namespace_id = (in)->namespace_id,                                                     \
     (done).workflow_execution = (in)->workflow_execution)

static void add_signal_answer(struct tl_tx *tx, const TpHistory__HistoryEvent *initiated,
                              bool has_failed, int cause)
{
    const TpHistory__SignalExternalWorkflowExecutionInitiatedEventAttributes *in =
        initiated->signal_external_workflow_execution_initiated_event_attributes;
    TpHistory__SignalExternalWorkflowExecutionFailedEventAttributes failed =
        TP_HISTORY__SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_EVENT_ATTRIBUTES__INIT;
    TpHistory__ExternalWorkflowExecutionSignaledEventAttributes done =
        TP_HISTORY__EXTERNAL_WORKFLOW_EXECUTION_SIGNALED_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    tl_ev_init(&ev, tx->now_ns);
    if (has_failed) {
        failed.cause = (TpEnums__SignalExternalWorkflowExecutionFailedCause)cause;
        FILL_FAILED(failed, in, initiated);
        TL_EV_SET(&ev, SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED,
                  signal_external_workflow_execution_failed, &failed);
    } else {
        FILL_DONE(done, in, initiated);
        done.control = in->control;
        TL_EV_SET(&ev, EXTERNAL_WORKFLOW_EXECUTION_SIGNALED, external_workflow_execution_signaled,
                  &done);
    }
    tl_tx_add(tx, &ev);
}

static void add_cancel_answer(struct tl_tx *tx, const TpHistory__HistoryEvent *initiated,
                              bool has_failed, int cause)
{
    const TpHistory__RequestCancelExternalWorkflowExecutionInitiatedEventAttributes *in =
        initiated->request_cancel_external_workflow_execution_initiated_event_attributes;
    TpHistory__RequestCancelExternalWorkflowExecutionFailedEventAttributes failed =
        TP_HISTORY__REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_EVENT_ATTRIBUTES__INIT;
    TpHistory__ExternalWorkflowExecutionCancelRequestedEventAttributes done =
        TP_HISTORY__EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    tl_ev_init(&ev, tx->now_ns);
    if (has_failed) {
        failed.cause = (TpEnums__CancelExternalWorkflowExecutionFailedCause)cause;
        FILL_FAILED(failed, in, initiated);
        TL_EV_SET(&ev, REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED,
                  request_cancel_external_workflow_execution_failed, &failed);
    } else {
        FILL_DONE(done, in, initiated);
        TL_EV_SET(&ev, EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED,
                  external_workflow_execution_cancel_requested, &done);
    }
    tl_tx_add(tx, &ev);
}

tl_rc tl_tx_other_done(struct tl_tx *tx, int64_t initiated_id, bool failed, int cause,
                       struct tl_error *err)
{
    struct tl_rs *rs = tx->rs;
    const struct tl_external *x = external_of(rs, initiated_id);
    tx->error_kind = TL_ERR_PLAIN;
    if (!tl_rs_open(rs) || !x) {
        return TL_OK;
    }
    const TpHistory__HistoryEvent *e = tl_blob_event(&x->event, tx->arena);
    if (!e) {
        return tl_error_set(err, TL_ELIMIT, "no memory for the answer of another run");
    }
    (x->is_signal ? add_signal_answer : add_cancel_answer)(tx, e, failed, cause);
    return tl_tx_tell_worker(tx, err);
}
