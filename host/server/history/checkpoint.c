/* Checkpoints (RunState) and recovery from log rows.
 * Thread: the run's owner. Owns: a loaded state belongs to the caller. */
#include <string.h>

#include "base/fault.h"
#include "server/history/execution.h"
#include "server/history/operation.h"

static ProtobufCBinaryData view(const struct tl_blob *b)
{
    return tl_pb_bytes_view(tl_blob_str(b));
}

/* --- save ------------------------------------------------------------------------------------ */

static void save_scalars(const struct tl_rs *rs, TlV1__RunState *s)
{
    s->execution_timeout_ns = rs->execution_timeout_ns;
    s->run_timeout_ns = rs->run_timeout_ns;
    s->task_timeout_ns = rs->task_timeout_ns;
    s->attempt = rs->attempt;
    s->execution_expiration_ns = rs->execution_expiration_ns;
    s->run_expiration_ns = rs->run_expiration_ns;
    s->first_backoff_interval_ns = rs->first_backoff_ns;
    s->start_ns = rs->start_ns;
    s->close_ns = rs->close_ns;
    s->status = rs->status;
    s->close_event_id = rs->close_event_id;
    s->next_event_id = rs->next_event_id;
    s->history_bytes = rs->history_bytes;
    s->last_log_id = rs->last_log_id;
    s->cancel_requested = rs->cancel_requested;
    s->signal_count = rs->signal_count;
    s->previous_started_event_id = rs->previous_started_id;
    s->last_completed_event_id = rs->last_completed_id;
    s->had_workflow_task = rs->had_wft;
    s->initiator = rs->initiator;
    s->record_count = rs->record_count;
    s->versioning_behavior = rs->versioning_behavior;
    s->visibility_changes = rs->visibility_changes;
}

static void save_texts(const struct tl_rs *rs, TlV1__RunState *s)
{
    s->workflow_type = tl_pb_text(rs->workflow_type);
    s->task_queue = tl_pb_text(rs->task_queue);
    s->first_run_id = tl_pb_text(rs->first_run_id);
    s->original_run_id = tl_pb_text(rs->original_run_id);
    s->continued_run_id = tl_pb_text(rs->continued_run_id);
    s->new_run_id = tl_pb_text(rs->new_run_id);
    s->start_request_id = tl_pb_text(rs->start_request_id);
    s->cron_schedule = tl_pb_text(rs->cron_schedule);
    s->cancel_request_id = tl_pb_text(rs->cancel_request_id);
    s->worker_deployment_name = tl_pb_text(rs->deployment_name);
    s->build_id = tl_pb_text(rs->build_id);
    s->set_build = tl_pb_text(rs->set_build);
    s->worker_deployment_version = tl_pb_text(rs->ran_on);
    s->retry_policy = view(&rs->retry_policy);
    s->memo = view(&rs->memo);
    s->search_attributes = view(&rs->search_attributes);
    s->start_event = view(&rs->start_event);
    s->user_metadata = view(&rs->user_metadata);
    s->versioning_override = view(&rs->versioning_override);
    s->priority = view(&rs->priority);
}

static bool save_batches(const struct tl_rs *rs, struct tl_arena *a, TlV1__RunState *s)
{
    size_t n = rs->batch_n;
    if (n == 0) {
        return true;
    }
    s->batch_log_ids = TL_ARENA_ARRAY(a, int64_t, n);
    s->batch_events = TL_ARENA_ARRAY(a, int64_t, n);
    s->batch_bytes = TL_ARENA_ARRAY(a, int64_t, n);
    if (!s->batch_log_ids || !s->batch_events || !s->batch_bytes) {
        return false;
    }
    int64_t log_id = 0;
    for (size_t i = 0; i < n; i++) {
        s->batch_log_ids[i] = rs->batches[i].log_id - log_id;
        s->batch_events[i] = rs->batches[i].event_count;
        s->batch_bytes[i] = rs->batches[i].bytes_n;
        log_id = rs->batches[i].log_id;
    }
    s->n_batch_log_ids = s->n_batch_events = s->n_batch_bytes = n;
    return true;
}

static bool save_activities(const struct tl_rs *rs, struct tl_arena *a, TlV1__RunState *s)
{
    struct tl_pb_list list = {0};
    if (!rs->acts) {
        return true;
    }
    TL_MAP_EACH (e, rs->acts) {
        const struct tl_act *act = e->value;
        TlV1__ActivityState *state = TL_ARENA_NEW(a, TlV1__ActivityState);
        if (!state || !tl_pb_push(a, &list, state)) {
            return false;
        }
        tl_delta_from_act(act, state);
        state->attributes = view(act->original.n ? &act->original : &act->attributes);
    }
    s->n_activities = list.n;
    s->activities = list.items;
    return true;
}

static bool save_children(const struct tl_rs *rs, struct tl_arena *a, TlV1__RunState *s)
{
    struct tl_pb_list children = {0}, externals = {0};
    if (rs->children) {
        TL_MAP_EACH (e, rs->children) {
            const struct tl_child *c = e->value;
            TlV1__ChildState *state = TL_ARENA_NEW(a, TlV1__ChildState);
            if (!state || !tl_pb_push(a, &children, state)) {
                return false;
            }
            *state = (TlV1__ChildState)TL_V1__CHILD_STATE__INIT;
            state->initiated_event_id = c->initiated_id;
            state->started_event_id = c->started_id;
            state->started = c->started;
            state->parent_close_policy = c->close_policy;
            state->namespace_ = tl_pb_text(c->namespace_);
            state->namespace_id = tl_pb_text(c->namespace_id);
            state->workflow_id = tl_pb_text(c->workflow_id);
            state->workflow_type = tl_pb_text(c->workflow_type);
            state->run_id = tl_pb_text(c->run_id);
            state->initiated_event = view(&c->event);
        }
    }
    if (rs->externals) {
        TL_MAP_EACH (e, rs->externals) {
            const struct tl_external *x = e->value;
            TlV1__ExternalState *state = TL_ARENA_NEW(a, TlV1__ExternalState);
            if (!state || !tl_pb_push(a, &externals, state)) {
                return false;
            }
            *state = (TlV1__ExternalState)TL_V1__EXTERNAL_STATE__INIT;
            state->initiated_event = view(&x->event);
        }
    }
    s->n_children = children.n;
    s->children = children.items;
    s->n_externals = externals.n;
    s->externals = externals.items;
    return true;
}

static void save_parent(const struct tl_parent *p, TlV1__ParentState *out)
{
    *out = (TlV1__ParentState)TL_V1__PARENT_STATE__INIT;
    out->namespace_ = tl_pb_text(p->namespace_);
    out->namespace_id = tl_pb_text(p->namespace_id);
    out->workflow_id = tl_pb_text(p->workflow_id);
    out->run_id = tl_pb_text(p->run_id);
    out->initiated_event_id = p->initiated_id;
    out->root_workflow_id = tl_pb_text(p->root_workflow_id);
    out->root_run_id = tl_pb_text(p->root_run_id);
}

static bool save_timers(const struct tl_rs *rs, struct tl_arena *a, TlV1__RunState *s)
{
    struct tl_pb_list list = {0};
    if (!rs->timers) {
        return true;
    }
    TL_MAP_EACH (e, rs->timers) {
        const struct tl_timer *timer = e->value;
        TlV1__TimerState *state = TL_ARENA_NEW(a, TlV1__TimerState);
        if (!state || !tl_pb_push(a, &list, state)) {
            return false;
        }
        *state = (TlV1__TimerState)TL_V1__TIMER_STATE__INIT;
        state->timer_id = (char *)(uintptr_t)timer->id;
        state->started_event_id = timer->started_id;
        state->fire_ns = timer->fire_ns;
    }
    s->n_timers = list.n;
    s->timers = list.items;
    return true;
}

static bool save_signals_and_buffer(const struct tl_rs *rs, struct tl_arena *a, TlV1__RunState *s)
{
    struct tl_pb_list ids = {0};
    if (rs->signal_ids) {
        TL_MAP_EACH (e, rs->signal_ids) {
            char *id = tl_pb_cstr(a, tl_map_key(e));
            if (!id || !tl_pb_push(a, &ids, id)) {
                return false;
            }
        }
    }
    s->n_signal_request_ids = ids.n;
    s->signal_request_ids = ids.items;
    if (rs->buffer_n > 0) {
        s->buffered_events = TL_ARENA_ARRAY(a, ProtobufCBinaryData, rs->buffer_n);
        if (!s->buffered_events) {
            return false;
        }
        for (size_t i = 0; i < rs->buffer_n; i++) {
            s->buffered_events[i] =
                tl_pb_bytes_view(tl_str_n(rs->buffer[i].bytes, rs->buffer[i].n));
        }
        s->n_buffered_events = rs->buffer_n;
    }
    return true;
}

/* Updates that events speak of: the others live in memory only. */
static bool save_updates(const struct tl_rs *rs, struct tl_arena *a, TlV1__RunState *s)
{
    struct tl_pb_list list = {0};
    if (!rs->updates) {
        return true;
    }
    TL_MAP_EACH (e, rs->updates) {
        const struct tl_update *u = e->value;
        TlV1__UpdateState *state = TL_PB_NEW(a, TlV1__UpdateState, tl_v1__update_state);
        if ((!u->admitted_id && !u->accepted_id) ||
            (TL_FAULT(forget_update) && u->state == TL_UPDATE_COMPLETED)) {
            continue;
        }
        if (!state || !tl_pb_push(a, &list, state)) {
            return false;
        }
        state->update_id = u->id;
        state->accepted_event_id = u->accepted_id;
        state->completed_event_id = u->completed_id;
        state->admitted_event_id = u->admitted_id;
    }
    s->n_updates = list.n;
    s->updates = list.items;
    return true;
}

static void load_updates(struct tl_rs *rs, const TlV1__RunState *s)
{
    for (size_t i = 0; i < s->n_updates; i++) {
        const TlV1__UpdateState *u = s->updates[i];
        if (u->admitted_event_id) {
            tl_rs_update_admitted(rs, u->update_id, u->admitted_event_id);
        }
        if (u->completed_event_id) {
            tl_rs_update_completed(rs, u->update_id, u->accepted_event_id, u->completed_event_id);
        } else if (u->accepted_event_id) {
            tl_rs_update_accepted(rs, u->update_id, u->accepted_event_id);
        }
    }
}

tl_rc tl_rs_checkpoint(const struct tl_rs *rs, struct tl_buf *out, struct tl_error *err)
{
    TlV1__RunState s = TL_V1__RUN_STATE__INIT;
    TlV1__WorkflowTaskState wft;
    TlV1__StickyState sticky = TL_V1__STICKY_STATE__INIT;
    TlV1__PauseState pause = TL_V1__PAUSE_STATE__INIT;
    TlV1__ParentState parent;
    struct tl_arena a;
    tl_arena_init(&a, TL_ARENA_UNLIMITED);
    save_scalars(rs, &s);
    save_texts(rs, &s);
    tl_delta_from_wft(&rs->wft, true, &wft);
    s.workflow_task = &wft;
    if (rs->parent.workflow_id) {
        save_parent(&rs->parent, &parent);
        s.parent = &parent;
    }
    if (rs->pause.on && !TL_FAULT(forget_pause)) {
        pause.paused_ns = rs->pause.at_ns;
        pause.identity = tl_pb_text(rs->pause.identity);
        pause.reason = tl_pb_text(rs->pause.reason);
        pause.request_id = tl_pb_text(rs->pause.request_id);
        s.pause = &pause;
    }
    if (rs->skipping.known) {
        s.time_skipping = tl_skipping_save(&rs->skipping, &a);
    }
    if (rs->sticky_queue) {
        sticky.task_queue = rs->sticky_queue;
        sticky.schedule_to_start_timeout_ns = rs->sticky_timeout_ns;
        s.sticky = &sticky;
    }
    if (!TL_FAULT(forget_outcome)) {
        s.activity_outcome = view(&rs->outcome);
    }
    s.activity_execution = rs->kind == TL_RUN_ACTIVITY ? tl_execution_state(rs, &a) : NULL;
    s.operation_execution = rs->kind == TL_RUN_OPERATION ? tl_operation_state(rs, &a) : NULL;
    tl_rc rc = TL_OK;
    bool no_state = rs->kind != TL_RUN_WORKFLOW && !s.activity_execution && !s.operation_execution;
    no_state = no_state || (rs->skipping.known && !s.time_skipping);
    if (no_state || !save_batches(rs, &a, &s) || !save_activities(rs, &a, &s) ||
        !save_timers(rs, &a, &s) || !save_children(rs, &a, &s) || !tl_rs_nexus_save(rs, &a, &s) ||
        !tl_rs_callbacks_save(rs, &a, &s) || !save_signals_and_buffer(rs, &a, &s) ||
        !save_updates(rs, &a, &s)) {
        rc = tl_error_set(err, TL_ELIMIT, "no memory to save the run");
    } else {
        rc = tl_pb_encode(&s, out, err);
    }
    tl_arena_deinit(&a);
    return rc;
}

/* --- load ------------------------------------------------------------------------------------ */

static void load_scalars(struct tl_rs *rs, const TlV1__RunState *s)
{
    rs->execution_timeout_ns = s->execution_timeout_ns;
    rs->run_timeout_ns = s->run_timeout_ns;
    rs->task_timeout_ns = s->task_timeout_ns;
    rs->attempt = s->attempt;
    rs->execution_expiration_ns = s->execution_expiration_ns;
    rs->run_expiration_ns = s->run_expiration_ns;
    rs->first_backoff_ns = s->first_backoff_interval_ns;
    rs->start_ns = s->start_ns;
    rs->close_ns = s->close_ns;
    rs->status = s->status;
    rs->close_event_id = s->close_event_id;
    rs->next_event_id = s->next_event_id;
    rs->history_bytes = s->history_bytes;
    rs->last_log_id = s->last_log_id;
    rs->cancel_requested = s->cancel_requested;
    rs->signal_count = s->signal_count;
    rs->previous_started_id = s->previous_started_event_id;
    rs->last_completed_id = s->last_completed_event_id;
    rs->had_wft = s->had_workflow_task;
    rs->initiator = s->initiator;
    rs->record_count = s->record_count;
    rs->versioning_behavior = s->versioning_behavior;
    rs->visibility_changes = s->visibility_changes;
}

static tl_rc load_versioning(struct tl_rs *rs, const TlV1__RunState *s, struct tl_arena *scratch,
                             struct tl_error *err)
{
    const struct tl_blob bytes = {(char *)s->versioning_override.data, s->versioning_override.len};
    const TpWorkflow__VersioningOverride *o =
        tl_blob_decode(&bytes, &tp_workflow__versioning_override__descriptor, scratch);
    tl_set_str(&rs->ran_on, s->worker_deployment_version);
    return tl_rs_set_override(rs, o, scratch)
               ? TL_OK
               : tl_error_set(err, TL_EDECODE, "the versioning override of the run is damaged");
}

static void load_texts(struct tl_rs *rs, const TlV1__RunState *s)
{
    tl_set_str(&rs->workflow_type, s->workflow_type);
    tl_set_str(&rs->task_queue, s->task_queue);
    tl_set_str(&rs->first_run_id, s->first_run_id);
    tl_set_str(&rs->original_run_id, s->original_run_id);
    tl_set_str(&rs->continued_run_id, s->continued_run_id);
    tl_set_str(&rs->new_run_id, s->new_run_id);
    tl_set_str(&rs->start_request_id, s->start_request_id);
    tl_set_str(&rs->cron_schedule, s->cron_schedule);
    tl_set_str(&rs->cancel_request_id, s->cancel_request_id);
    tl_set_str(&rs->deployment_name, s->worker_deployment_name);
    tl_set_str(&rs->build_id, s->build_id);
    tl_set_str(&rs->set_build, s->set_build);
    tl_set_blob(&rs->retry_policy, tl_pb_str(s->retry_policy));
    tl_set_blob(&rs->memo, tl_pb_str(s->memo));
    tl_set_blob(&rs->search_attributes, tl_pb_str(s->search_attributes));
    tl_set_blob(&rs->start_event, tl_pb_str(s->start_event));
    tl_set_blob(&rs->user_metadata, tl_pb_str(s->user_metadata));
    tl_set_blob(&rs->priority, tl_pb_str(s->priority));
}

static tl_rc load_batches(struct tl_rs *rs, const TlV1__RunState *s, struct tl_error *err)
{
    int64_t log_id = 0, event_id = 1;
    if (s->n_batch_events != s->n_batch_log_ids || s->n_batch_bytes != s->n_batch_log_ids) {
        return tl_error_set(err, TL_EDECODE, "the batch list of the run is damaged");
    }
    for (size_t i = 0; i < s->n_batch_log_ids; i++) {
        int64_t count = s->batch_events[i], bytes = s->batch_bytes[i];
        if (count <= 0 || count > UINT32_MAX || bytes <= 0 || bytes > UINT32_MAX) {
            return tl_error_set(err, TL_EDECODE, "the batch list of the run is damaged");
        }
        log_id += s->batch_log_ids[i];
        tl_rs_batch_push(rs, log_id, event_id, (uint32_t)count, NULL, (size_t)bytes);
        event_id += count;
    }
    return TL_OK;
}

static tl_rc load_activities(struct tl_rs *rs, const TlV1__RunState *s, struct tl_arena *scratch,
                             struct tl_error *err)
{
    for (size_t i = 0; i < s->n_activities; i++) {
        TpHistory__ActivityTaskScheduledEventAttributes *attrs = NULL;
        struct tl_str encoded = tl_pb_str(s->activities[i]->attributes);
        tl_rc rc = tl_pb_decode(&tp_history__activity_task_scheduled_event_attributes__descriptor,
                                encoded, scratch, &attrs, err);
        if (rc != TL_OK) {
            return rc;
        }
        struct tl_act *act = tl_rs_act_add(rs, s->activities[i]->scheduled_event_id,
                                           s->activities[i]->scheduled_ns, attrs, encoded);
        if (!tl_delta_to_act(act, s->activities[i], scratch)) {
            return tl_error_set(err, TL_EDECODE, "damaged options of an activity");
        }
        tl_rs_act_arm(rs, act);
    }
    return TL_OK;
}

static tl_rc load_children(struct tl_rs *rs, const TlV1__RunState *s, struct tl_arena *scratch,
                           struct tl_error *err)
{
    tl_rc rc = TL_OK;
    for (size_t i = 0; i < s->n_children && rc == TL_OK; i++) {
        rc = tl_rs_child_load(rs, s->children[i], err);
    }
    for (size_t i = 0; i < s->n_externals && rc == TL_OK; i++) {
        rc = tl_rs_external_load(rs, tl_pb_str(s->externals[i]->initiated_event), scratch, err);
    }
    return rc;
}

static void load_parent(struct tl_parent *p, const TlV1__ParentState *s)
{
    tl_set_str(&p->namespace_, s->namespace_);
    tl_set_str(&p->namespace_id, s->namespace_id);
    tl_set_str(&p->workflow_id, s->workflow_id);
    tl_set_str(&p->run_id, s->run_id);
    tl_set_str(&p->root_workflow_id, s->root_workflow_id);
    tl_set_str(&p->root_run_id, s->root_run_id);
    p->initiated_id = s->initiated_event_id;
}

/* Buffered events had their effect before the checkpoint: only the bytes are kept. */
static tl_rc load_buffer(struct tl_rs *rs, const TlV1__RunState *s, struct tl_arena *scratch,
                         struct tl_error *err)
{
    for (size_t i = 0; i < s->n_buffered_events; i++) {
        TpHistory__HistoryEvent *e = NULL;
        struct tl_str bytes = tl_pb_str(s->buffered_events[i]);
        tl_rc rc = tl_pb_decode(&tp_history__history_event__descriptor, bytes, scratch, &e, err);
        if (rc != TL_OK) {
            return rc;
        }
        tl_rs_buffer_push(rs, bytes, (int)e->event_type, false);
    }
    return TL_OK;
}

static tl_rc load_all(struct tl_rs *rs, struct tl_str checkpoint, struct tl_arena *scratch,
                      struct tl_error *err)
{
    TlV1__RunState *s = NULL;
    tl_rc rc = tl_pb_decode(&tl_v1__run_state__descriptor, checkpoint, scratch, &s, err);
    if (rc != TL_OK) {
        return rc;
    }
    load_scalars(rs, s);
    load_texts(rs, s);
    tl_set_blob(&rs->outcome, tl_pb_str(s->activity_outcome));
    const void *state = s->activity_execution    ? (const void *)s->activity_execution
                        : s->operation_execution ? (const void *)s->operation_execution
                                                 : NULL;
    if ((rs->kind == TL_RUN_ACTIVITY) != (s->activity_execution != NULL) ||
        (rs->kind == TL_RUN_OPERATION) != (s->operation_execution != NULL) ||
        (state && !tl_set_blob_message(&rs->execution, state))) {
        return tl_error_set(err, TL_EDECODE, "the run is not of its kind");
    }
    if (s->sticky) {
        tl_rs_set_sticky(rs, s->sticky->task_queue, s->sticky->schedule_to_start_timeout_ns);
    }
    if (s->workflow_task) {
        tl_delta_to_wft(&rs->wft, s->workflow_task);
    }
    for (size_t i = 0; i < s->n_signal_request_ids; i++) {
        tl_rs_signal_note(rs, s->signal_request_ids[i]);
    }
    load_updates(rs, s);
    for (size_t i = 0; i < s->n_timers; i++) {
        tl_rs_timer_remove(rs, s->timers[i]->timer_id);
        tl_rs_timer_add(rs, s->timers[i]->timer_id, s->timers[i]->started_event_id,
                        s->timers[i]->fire_ns);
    }
    if (s->parent) {
        load_parent(&rs->parent, s->parent);
    }
    tl_skipping_load(&rs->skipping, s->time_skipping);
    if (s->pause) {
        tl_pause_set(&rs->pause, s->pause->paused_ns, s->pause->identity, s->pause->reason,
                     s->pause->request_id);
    }
    rc = load_versioning(rs, s, scratch, err);
    if (rc == TL_OK) {
        rc = load_batches(rs, s, err);
    }
    if (rc == TL_OK) {
        rc = load_children(rs, s, scratch, err);
    }
    if (rc == TL_OK) {
        rc = tl_rs_nexus_load(rs, s, scratch, err);
    }
    if (rc == TL_OK) {
        rc = tl_rs_callbacks_load(rs, s, err);
    }
    if (rc == TL_OK) {
        rc = load_activities(rs, s, scratch, err);
    }
    return rc == TL_OK ? load_buffer(rs, s, scratch, err) : rc;
}

tl_rc tl_rs_load(struct tl_rs **out, const struct tl_rs_identity *identity,
                 struct tl_str checkpoint, struct tl_error *err)
{
    struct tl_rs *rs = tl_rs_new(identity);
    struct tl_arena scratch;
    tl_arena_init(&scratch, TL_ARENA_UNLIMITED);
    tl_rc rc = load_all(rs, checkpoint, &scratch, err);
    tl_arena_deinit(&scratch);
    if (rc != TL_OK) {
        tl_rs_free(rs);
        rs = NULL;
    }
    *out = rs;
    return rc;
}

/* --- log rows -------------------------------------------------------------------------------- */

static bool was_applied(const TlV1__RunDelta *delta, int64_t event_id)
{
    for (size_t i = 0; delta && i < delta->n_applied_event_ids; i++) {
        if (delta->applied_event_ids[i] == event_id) {
            return true;
        }
    }
    return false;
}

static tl_rc apply_events(struct tl_rs *rs, struct tl_str history, const TlV1__RunDelta *delta,
                          struct tl_arena *scratch, uint32_t *count, struct tl_error *err)
{
    struct tl_str rest = history, bytes;
    while (tl_history_next(&rest, &bytes)) {
        TpHistory__HistoryEvent *e = NULL;
        tl_rc rc = tl_pb_decode(&tp_history__history_event__descriptor, bytes, scratch, &e, err);
        if (rc != TL_OK) {
            return rc;
        }
        if (e->event_id != rs->next_event_id) {
            return tl_error_set(err, TL_EDATALOSS, "event %lld follows event %lld",
                                (long long)e->event_id, (long long)(rs->next_event_id - 1));
        }
        rs->next_event_id++;
        (*count)++;
        if (was_applied(delta, e->event_id)) {
            tl_rs_event_placed(rs, e);
        } else {
            rc = tl_rs_apply_event(rs, e, scratch, err);
            if (rc != TL_OK) {
                return rc;
            }
        }
    }
    return rest.n == 0 ? TL_OK : tl_error_set(err, TL_EDECODE, "a log row is damaged");
}

tl_rc tl_rs_apply_record(struct tl_rs *rs, int64_t log_id, struct tl_str record,
                         struct tl_arena *scratch, struct tl_error *err)
{
    TlV1__LogRecord *row = NULL;
    tl_rc rc = tl_pb_decode(&tl_v1__log_record__descriptor, record, scratch, &row, err);
    if (rc != TL_OK) {
        return rc;
    }
    struct tl_str history = tl_pb_str(row->history);
    int64_t first = rs->next_event_id;
    uint32_t count = 0;
    rc = apply_events(rs, history, row->delta, scratch, &count, err);
    if (rc == TL_OK && row->delta) {
        rc = tl_rs_apply_delta(rs, row->delta, scratch, err);
    }
    if (rc != TL_OK) {
        return rc;
    }
    if (count > 0) {
        char *cached = tl_mem_alloc(history.n);
        memcpy(cached, history.p, history.n);
        tl_rs_batch_push(rs, log_id, first, count, cached, history.n);
        rs->history_bytes += (int64_t)history.n;
    }
    rs->last_log_id = log_id;
    rs->record_count++;
    rs->version++;
    return TL_OK;
}
