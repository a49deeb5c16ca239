/* Reset: a new run that begins with the events of another, up to one of its workflow tasks, which
 * fails with the cause RESET_WORKFLOW; its worker replays up to there and goes on with another seed.
 * Thread: the run's owner. */
#include "base/fault.h"
#include "server/history/rs.h"

/* --- looking ------------------------------------------------------------------------------------- */

static void note_build(struct tl_reset_scan *scan, const TpHistory__HistoryEvent *e)
{
    const TpHistory__WorkflowTaskCompletedEventAttributes *a =
        e->workflow_task_completed_event_attributes;
    const char *build = a->deployment_version ? a->deployment_version->build_id
                        : a->worker_version   ? a->worker_version->build_id
                                              : NULL;
    if (scan->build_id && !scan->build_completed_id && build &&
        strcmp(build, scan->build_id) == 0) {
        scan->build_completed_id = e->event_id;
    }
}

void tl_reset_scan_event(struct tl_reset_scan *scan, const TpHistory__HistoryEvent *e)
{
    switch ((int)e->event_type) {
    case EVENT_TYPE_WORKFLOW_TASK_SCHEDULED:
        scan->task_pending = true;
        scan->last_scheduled_id = e->event_id;
        if (!scan->first_scheduled_id) {
            scan->first_scheduled_id = e->event_id;
        }
        break;
    case EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
        scan->last_completed_id = e->event_id;
        if (!scan->first_completed_id) {
            scan->first_completed_id = e->event_id;
        }
        note_build(scan, e);
        scan->task_pending = false;
        break;
    case EVENT_TYPE_WORKFLOW_TASK_FAILED:
    case EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT:
        scan->task_pending = false;
        break;
    case EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED:
        scan->children++;
        break;
    case EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED:
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED:
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED:
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED:
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT:
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED:
        scan->children--;
        break;
    default:
        break;
    }
}

/* --- doing --------------------------------------------------------------------------------------- */

void tl_rs_note_reset(struct tl_rs *rs, int64_t reset_ns)
{
    rs->start_ns = reset_ns;
    rs->visibility_changes++;
    if (rs->execution_timeout_ns > 0) {
        rs->execution_expiration_ns = tl_ns_add(reset_ns, rs->execution_timeout_ns);
    }
    if (rs->run_timeout_ns > 0) {
        rs->run_expiration_ns = tl_ns_add(reset_ns, rs->run_timeout_ns);
        if (rs->execution_expiration_ns > 0 &&
            rs->run_expiration_ns > rs->execution_expiration_ns) {
            rs->run_expiration_ns = rs->execution_expiration_ns;
        }
    }
}

tl_rc tl_tx_reset_copy(struct tl_tx *tx, TpHistory__HistoryEvent *e, struct tl_error *err)
{
    if (e->event_id != tx->rs->next_event_id) {
        return tl_error_set(err, TL_EDATALOSS, "event %lld is missing",
                            (long long)tx->rs->next_event_id);
    }
    tx->p->copied = true;
    tl_tx_append(tx, e, TL_PLACE_APPLY);
    return tl_tx_result(tx, err);
}

static void fail_task(struct tl_tx *tx, const struct tl_reset *reset)
{
    TpHistory__WorkflowTaskFailedEventAttributes a =
        TP_HISTORY__WORKFLOW_TASK_FAILED_EVENT_ATTRIBUTES__INIT;
    TpFailure__Failure failure = TP_FAILURE__FAILURE__INIT;
    TpFailure__ResetWorkflowFailureInfo info = TP_FAILURE__RESET_WORKFLOW_FAILURE_INFO__INIT;
    struct tl_wft *w = &tx->rs->wft;
    struct tl_ev ev;
    if (!w->started_id) {
        w->started_id = tx->rs->next_event_id;
        w->started_ns = tx->now_ns;
        w->history_bytes = tx->rs->history_bytes;
        w->started_volatile = true;
        tl_set_str(&w->identity, TL_IDENTITY_SERVICE);
        tl_wft_materialise(tx);
    }
    failure.message = tl_pb_text(reset->reason);
    failure.failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_RESET_WORKFLOW_FAILURE_INFO;
    failure.reset_workflow_failure_info = &info;
    a.scheduled_event_id = w->scheduled_id;
    a.started_event_id = w->started_id;
    a.cause = (TpEnums__WorkflowTaskFailedCause)WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW;
    a.failure = &failure;
    a.identity = (char *)(uintptr_t)TL_IDENTITY_SERVICE;
    a.base_run_id = (char *)(uintptr_t)reset->base_run_id;
    a.new_run_id = tx->rs->run_id;
    tl_ev_init(&ev, tx->now_ns);
    TL_EV_SET(&ev, WORKFLOW_TASK_FAILED, workflow_task_failed, &a);
    tl_tx_append(tx, &ev.e, TL_PLACE_APPLY);
}

tl_rc tl_tx_reset(struct tl_tx *tx, const struct tl_reset *reset, struct tl_error *err)
{
    struct tl_rs *rs = tx->rs;
    tl_rs_updates_forget_rejected(rs);
    fail_task(tx, reset);
    tx->p->reset_ns = tx->now_ns;
    tl_rs_note_reset(rs, tx->now_ns);
    if (tl_has_text(reset->request_id) && !TL_FAULT(repeat_reset)) {
        tl_set_str(&rs->start_request_id, reset->request_id);
        tx->p->start_request_dirty = true;
    }
    if (rs->acts) {
        TL_MAP_EACH (entry, rs->acts) {
            struct tl_act *act = entry->value;
            act->scheduled_ns = act->attempt_ns = tx->now_ns;
            tl_tx_touch_act(tx, act);
            tl_tx_offer_act(tx, act);
            tl_rs_act_arm(rs, act);
        }
    }
    return tl_tx_result(tx, err);
}

static void signal_again(struct tl_tx *tx, const TpHistory__HistoryEvent *e)
{
    TpHistory__WorkflowExecutionSignaledEventAttributes *a =
        e->workflow_execution_signaled_event_attributes;
    if (tl_rs_signal_seen(tx->rs, a->request_id)) {
        return;
    }
    struct tl_ev ev;
    tl_ev_init(&ev, tx->now_ns);
    ev.e.links = e->links;
    ev.e.n_links = e->n_links;
    TL_EV_SET(&ev, WORKFLOW_EXECUTION_SIGNALED, workflow_execution_signaled, a);
    tl_tx_append(tx, &ev.e, TL_PLACE_APPLY);
}

/* No request: it was admitted by an event, which comes before, here or in what was kept. */
static void admit_again(struct tl_tx *tx, TpUpdate__Request *request, int origin)
{
    TpHistory__WorkflowExecutionUpdateAdmittedEventAttributes a =
        TP_HISTORY__WORKFLOW_EXECUTION_UPDATE_ADMITTED_EVENT_ATTRIBUTES__INIT;
    struct tl_rs_update known;
    struct tl_ev ev;
    if (!request || !request->meta ||
        tl_rs_update_find(tx->rs, tl_str(request->meta->update_id), &known)) {
        return;
    }
    a.request = request;
    a.origin = (TpEnums__UpdateAdmittedEventOrigin)origin;
    tl_ev_init(&ev, tx->now_ns);
    TL_EV_SET(&ev, WORKFLOW_EXECUTION_UPDATE_ADMITTED, workflow_execution_update_admitted, &a);
    tl_tx_append(tx, &ev.e, TL_PLACE_APPLY);
}

tl_rc tl_tx_reset_reapply(struct tl_tx *tx, const TpHistory__HistoryEvent *e, struct tl_error *err)
{
    switch ((int)e->event_type) {
    case EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
        signal_again(tx, e);
        break;
    case EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ADMITTED:
        admit_again(tx, e->workflow_execution_update_admitted_event_attributes->request,
                    (int)e->workflow_execution_update_admitted_event_attributes->origin);
        break;
    case EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED:
        admit_again(tx, e->workflow_execution_update_accepted_event_attributes->accepted_request,
                    UPDATE_ADMITTED_EVENT_ORIGIN_REAPPLY);
        break;
    default:
        break;
    }
    return tl_tx_result(tx, err);
}

tl_rc tl_tx_reset_done(struct tl_tx *tx, struct tl_error *err)
{
    tl_wft_schedule(tx, 0);
    tl_rs_children_regenerate(tx->rs, &tx->effects);
    tl_rs_others_regenerate(tx->rs, &tx->effects);
    return tl_tx_result(tx, err);
}
