/* RespondWorkflowTaskCompleted: check everything, then write the Completed event, carry out the
 * commands, flush what was buffered, schedule the next task. A completion that the server refuses
 * fails the task instead.
 * Thread: the run's owner. */
#include <stdio.h>
#include <string.h>

#include "server/history/commands.h"
#include "server/history/policy.h"
#include "server/history/rs.h"

/* --- the checking state ---------------------------------------------------------------------- */

static bool done_init(struct tl_wft_done *d, struct tl_tx *tx,
                      const TpWs__RespondWorkflowTaskCompletedRequest *req)
{
    const struct tl_rs *rs = tx->rs;
    *d = (struct tl_wft_done){.tx = tx, .req = req};
    d->completed_id = rs->wft.started_id + 1;
    d->next_id = d->completed_id + 1;
    d->buffered = rs->buffer_n;
    d->pending_acts = rs->acts ? rs->acts->count : 0;
    d->pending_timers = rs->timers ? rs->timers->count : 0;
    d->pending_children = rs->children ? rs->children->count : 0;
    d->pending_signals = rs->pending_signals;
    d->pending_cancels = rs->pending_cancels;
    d->pending_nexus = rs->nexus_ops ? rs->nexus_ops->count : 0;
    tl_map_init(&d->nexus_cancels);
    tl_map_init(&d->child_ids);
    tl_map_init(&d->timers);
    tl_map_init(&d->act_ids);
    tl_map_init(&d->acts);
    tl_map_init(&d->updates);
    d->eager = TL_ARENA_ARRAY(tx->arena, int64_t, (size_t)tx->env->limits.eager_activities_max + 1);
    return d->eager != NULL && tl_updates_read(d);
}

static void done_deinit(struct tl_wft_done *d)
{
    tl_map_deinit(&d->timers);
    tl_map_deinit(&d->act_ids);
    tl_map_deinit(&d->acts);
    tl_map_deinit(&d->child_ids);
    tl_map_deinit(&d->nexus_cancels);
    tl_map_deinit(&d->updates);
}

/* --- refusal --------------------------------------------------------------------------------- */

static void refusal_message(const struct tl_refusal *no, char *out, size_t cap)
{
    char cause[100];
    tl_cause_name(no->cause, cause, sizeof(cause));
    if (no->has_message) {
        snprintf(out, cap, "%s: %s", cause, no->message);
    } else {
        snprintf(out, cap, "%s", cause);
    }
}

static tl_rc refuse(struct tl_wft_done *d, struct tl_error *err)
{
    struct tl_tx *tx = d->tx;
    struct tl_failure_cut space;
    char message[520];
    refusal_message(&d->no, message, sizeof(message));
    if (tx->rs->wft.attempt > 1 && d->no.cause != WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND) {
        /* It keeps failing: let it time out, which is the back-off. */
        return tl_error_set(err, TL_EINVAL, "%s", message);
    }
    tl_cut_server(&space, message, false);
    space.outer.source = (char *)(uintptr_t) ""; /* this failure of the server names none */
    tl_wft_fail_started(tx, d->no.cause, &space.outer, d->req->identity, d->req->binary_checksum);
    if (d->no.cause != WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND && !d->no.terminate) {
        tl_updates_task_refused(tx);
    }
    if (d->no.terminate) {
        tl_close_terminate(tx, message, NULL, TL_IDENTITY_SERVICE, NULL, 0);
    } else {
        tl_wft_schedule(tx, 0);
    }
    tl_query_answer(tx, d->req);
    tl_rc rc = tl_tx_result(tx, err);
    return rc != TL_OK ? rc : tl_error_set(err, TL_EINVAL, "%s", message);
}

/* --- acceptance ------------------------------------------------------------------------------ */

static void add_completed(struct tl_wft_done *d)
{
    const TpWs__RespondWorkflowTaskCompletedRequest *req = d->req;
    const struct tl_wft *w = &d->tx->rs->wft;
    const TpDeployment__WorkerDeploymentOptions *o = req->deployment_options;
    TpDeployment__WorkerDeploymentVersion version = TP_DEPLOYMENT__WORKER_DEPLOYMENT_VERSION__INIT;
    TpHistory__WorkflowTaskCompletedEventAttributes a =
        TP_HISTORY__WORKFLOW_TASK_COMPLETED_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    bool versioned = o && (int)o->worker_versioning_mode == WORKER_VERSIONING_MODE_VERSIONED;
    tl_ev_init(&ev, d->tx->now_ns);
    a.scheduled_event_id = w->scheduled_id;
    a.started_event_id = w->started_id;
    a.identity = req->identity;
    a.binary_checksum = req->binary_checksum;
    a.worker_version = req->worker_version_stamp;
    a.sdk_metadata = req->sdk_metadata;
    a.metering_metadata = req->metering_metadata;
    if (o) {
        a.worker_deployment_name = o->deployment_name;
    }
    if (versioned) {
        version.build_id = o->build_id;
        version.deployment_name = o->deployment_name;
        a.deployment_version = &version;
    }
    if (!o || versioned) {
        a.versioning_behavior = req->versioning_behavior;
    }
    TL_EV_SET(&ev, WORKFLOW_TASK_COMPLETED, workflow_task_completed, &a);
    tl_tx_append(d->tx, &ev.e, TL_PLACE_APPLY);
}

static void set_stickiness(struct tl_wft_done *d)
{
    const TpTq__StickyExecutionAttributes *s = d->req->sticky_attributes;
    if (s && s->worker_task_queue && tl_has_text(s->worker_task_queue->name)) {
        tl_rs_set_sticky(d->tx->rs, s->worker_task_queue->name,
                         tl_pb_duration_ns_or(s->schedule_to_start_timeout, 0));
        d->tx->p->sticky_dirty = true;
    }
}

/* Updates that came while the task ran get a task of their own: a speculative one when it can go with
 * the reply, because only a normal one finds its own way. */
static void schedule_for_updates(struct tl_wft_done *d, struct tl_wft_completed *out)
{
    struct tl_tx *tx = d->tx;
    if (tx->rs->wft.scheduled_id || !tl_rs_open(tx->rs) || !tl_rs_updates_waiting(tx->rs)) {
        return;
    }
    if (d->req->return_new_workflow_task) {
        tl_wft_schedule_speculative(tx);
        out->deliver_next_inline = tx->rs->wft.scheduled_id != 0;
    } else {
        tl_wft_schedule(tx, 0);
    }
}

/* A speculative task that only rejected updates: the worker goes back to the task before it. */
static tl_rc drop(struct tl_wft_done *d, struct tl_wft_completed *out, struct tl_error *err)
{
    struct tl_tx *tx = d->tx;
    char *before = tx->rs->sticky_queue ? tl_mem_dup(tl_str(tx->rs->sticky_queue)) : NULL;
    tl_wft_drop_speculative(tx);
    set_stickiness(d);
    if (tx->rs->sticky_queue && before && strcmp(tx->rs->sticky_queue, before) == 0) {
        tx->p->sticky_dirty = false; /* nothing to write */
    }
    tl_mem_free(before);
    out->reset_history_event_id = tx->rs->previous_started_id;
    tl_updates_run_rest(d);
    schedule_for_updates(d, out);
    tl_query_answer(tx, d->req);
    return tl_tx_result(tx, err);
}

static tl_rc start_eager(struct tl_wft_done *d, struct tl_wft_completed *out, struct tl_error *err)
{
    struct tl_tx *tx = d->tx;
    if (d->eager_n == 0 || !tl_rs_open(tx->rs)) {
        return TL_OK;
    }
    out->eager = TL_ARENA_ARRAY(tx->arena, struct tl_activity_started, d->eager_n);
    if (!out->eager) {
        tl_tx_break(tx, "the eager activities");
        return tl_tx_result(tx, err);
    }
    for (size_t i = 0; i < d->eager_n; i++) {
        struct tl_act *act = tl_rs_act(tx->rs, d->eager[i]);
        char request_id[40];
        if (!act) { /* cancelled by a later command of this completion */
            continue;
        }
        snprintf(request_id, sizeof(request_id), "eager-%016llx",
                 (unsigned long long)tx->env->random(tx->env->ud));
        tl_rc rc = tl_activity_start_now(tx, act, d->req->identity, request_id,
                                         d->req->worker_control_task_queue,
                                         &out->eager[out->eager_count], err);
        if (rc != TL_OK) {
            tl_tx_break(tx, "the eager activities");
            return rc;
        }
        out->eager_count++;
    }
    return TL_OK;
}

static bool is_heartbeat(const TpWs__RespondWorkflowTaskCompletedRequest *req)
{
    return req->force_create_new_workflow_task && req->n_commands == 0 && req->n_messages == 0;
}

static tl_rc accept(struct tl_wft_done *d, struct tl_wft_completed *out, struct tl_error *err)
{
    struct tl_tx *tx = d->tx;
    struct tl_rs *rs = tx->rs;
    int64_t original_ns = is_heartbeat(d->req) ? rs->wft.original_ns : 0;
    if (rs->wft.transient) {
        tl_wft_write_transient(tx, d->req->identity);
    } else {
        tl_wft_materialise(tx);
    }
    add_completed(d);
    bool moving =
        tl_versioning_completed(tx, tl_version_of_worker(tx->arena, d->req->deployment_options));
    if (!moving) {
        set_stickiness(d);
    }
    tl_commands_run(d);
    tl_rc rc = start_eager(d, out, err);
    if (rc == TL_OK && (d->req->force_create_new_workflow_task || rs->buffer_n > 0 || moving)) {
        tl_wft_schedule(tx, original_ns);
        out->deliver_next_inline =
            rs->wft.scheduled_id && d->req->return_new_workflow_task && !moving;
    }
    if (rc == TL_OK) {
        schedule_for_updates(d, out);
    }
    tl_query_answer(tx, d->req);
    return rc != TL_OK ? rc : tl_tx_result(tx, err);
}

/* --- entry ----------------------------------------------------------------------------------- */

static tl_rc time_out_heartbeat(struct tl_tx *tx, struct tl_error *err)
{
    tl_wft_time_out(tx, TIMEOUT_TYPE_START_TO_CLOSE);
    tl_wft_schedule(tx, 0);
    tl_rc rc = tl_tx_result(tx, err);
    return rc != TL_OK ? rc
                       : tl_tx_fail(tx, TL_ERR_NOT_FOUND, err, TL_ENOTFOUND,
                                    "workflow task heartbeat timeout");
}

static tl_rc check_request(struct tl_tx *tx, const struct tl_task_ref *ref,
                           const TpWs__RespondWorkflowTaskCompletedRequest *req,
                           struct tl_error *err)
{
    const TpDeployment__WorkerDeploymentOptions *o = req->deployment_options;
    if (!tl_wft_matches(tx->rs, ref)) {
        return tl_tx_fail(tx, TL_ERR_NOT_FOUND, err, TL_ENOTFOUND, "Workflow task not found.");
    }
    if (tl_rs_paused(tx->rs) && req->force_create_new_workflow_task) {
        return tl_error_set(err, TL_EPRECONDITION,
                            "Workflow is paused and force create new workflow task is not "
                            "allowed.");
    }
    if ((int)req->versioning_behavior != VERSIONING_BEHAVIOR_UNSPECIFIED &&
        (!o || (int)o->worker_versioning_mode != WORKER_VERSIONING_MODE_VERSIONED)) {
        return tl_error_set(err, TL_EINVAL,
                            "versioning behavior cannot be specified without deployment options "
                            "being set with versioned mode");
    }
    return tl_commands_check_sequence(req, err);
}

tl_rc tl_tx_wft_complete(struct tl_tx *tx, const struct tl_task_ref *ref,
                         const TpWs__RespondWorkflowTaskCompletedRequest *req,
                         struct tl_wft_completed *out, struct tl_error *err)
{
    struct tl_wft_done d;
    tx->error_kind = TL_ERR_PLAIN;
    *out = (struct tl_wft_completed){.eager = NULL};
    tl_rc rc = check_request(tx, ref, req, err);
    if (rc != TL_OK) {
        return rc;
    }
    int64_t heartbeat_ns = tx->env->limits.wft_heartbeat_timeout_ms * TL_NS_IN_MS;
    if (is_heartbeat(req) && tx->now_ns > tl_ns_add(tx->rs->wft.original_ns, heartbeat_ns)) {
        return time_out_heartbeat(tx, err);
    }
    if (!done_init(&d, tx, req)) {
        done_deinit(&d);
        return tl_error_set(err, TL_ELIMIT, "no memory for a workflow task completion");
    }
    if (!d.no.cause) {
        tl_commands_check(&d);
    }
    rc = tl_tx_result(tx, err);
    if (rc == TL_OK) {
        rc = d.no.cause                     ? refuse(&d, err)
             : tl_updates_only_rejected(&d) ? drop(&d, out, err)
                                            : accept(&d, out, err);
    }
    done_deinit(&d);
    return rc;
}
