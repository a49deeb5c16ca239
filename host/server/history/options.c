/* Options that clients change while a run is open: its versioning override, its time skipping.
 * Thread: the run's owner. */
#include <string.h>

#include "server/history/rs.h"

static bool is_path(const char *path, const char *snake, const char *camel)
{
    return strcmp(path, snake) == 0 || strcmp(path, camel) == 0;
}

/* A field of that message. */
static bool is_below(const char *path, const char *message)
{
    size_t n = strlen(message);
    return strncmp(path, message, n) == 0 && path[n] == '.';
}

tl_rc tl_options_change_read(const Google__Protobuf__FieldMask *mask,
                             const TpWorkflow__WorkflowExecutionOptions *options,
                             const char *identity, struct tl_options_change *out,
                             struct tl_error *err)
{
    *out = (struct tl_options_change){.options = options, .identity = identity};
    if (!mask || mask->n_paths == 0) {
        return tl_error_set(err, TL_EINVAL, "UpdateMask is not set on request.");
    }
    for (size_t i = 0; i < mask->n_paths; i++) {
        const char *path = mask->paths[i];
        if (is_path(path, "versioning_override", "versioningOverride")) {
            out->versioning_override = true;
        } else if (is_path(path, "time_skipping_config", "timeSkippingConfig")) {
            out->time_skipping = true;
        } else if (is_below(path, "time_skipping_config") || is_below(path, "timeSkippingConfig")) {
            return tl_error_set(err, TL_EINVAL,
                                "error applying update_options: time_skipping_config doesn't "
                                "support partial update");
        } else {
            return tl_error_set(err, TL_EINVAL,
                                "update_mask names \"%s\": only versioning_override and "
                                "time_skipping_config can be changed",
                                path);
        }
    }
    return TL_OK;
}

tl_rc tl_apply_options_updated(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                               struct tl_arena *scratch, struct tl_error *err)
{
    const TpHistory__WorkflowExecutionOptionsUpdatedEventAttributes *a =
        e->workflow_execution_options_updated_event_attributes;
    int64_t now_ns = tl_pb_timestamp_ns_or(e->event_time, 0);
    bool ok = true;
    if (a->unset_versioning_override || a->versioning_override) {
        ok = tl_rs_change_override(rs, a->versioning_override, scratch);
    }
    if (!ok) {
        return tl_error_set(err, TL_EDECODE, "event %lld cannot be kept", (long long)e->event_id);
    }
    if (a->time_skipping_config_updated) {
        tl_skipping_changed(rs, now_ns, a->time_skipping_config);
    }
    return tl_rs_callbacks_keep(rs, a->attached_completion_callbacks,
                                a->n_attached_completion_callbacks, a->attached_request_id, now_ns,
                                err);
}

/* Whether two messages of a kind, NULL: none, say the same. */
static tl_rc same(const void *a, const void *b, struct tl_arena *arena, bool *out,
                  struct tl_error *err)
{
    struct tl_str left = {NULL, 0}, right = {NULL, 0};
    tl_rc rc = a ? tl_pb_encode_arena(a, arena, &left, err) : TL_OK;
    if (rc == TL_OK && b) {
        rc = tl_pb_encode_arena(b, arena, &right, err);
    }
    *out = !a == !b && tl_str_eq(left, right);
    return rc;
}

static tl_rc current_options(const struct tl_rs *rs, struct tl_arena *arena,
                             TpWorkflow__WorkflowExecutionOptions *out, struct tl_error *err)
{
    bool full = false;
    *out = (TpWorkflow__WorkflowExecutionOptions)TP_WORKFLOW__WORKFLOW_EXECUTION_OPTIONS__INIT;
    out->versioning_override = tl_rs_override(rs, arena);
    out->priority = tl_blob_decode(&rs->priority, &tp_common__priority__descriptor, arena);
    out->time_skipping_config = tl_skipping_config(rs, true, arena, &full);
    full = full || (rs->versioning_override.n && !out->versioning_override) ||
           (rs->priority.n && !out->priority);
    return full ? tl_error_set(err, TL_ELIMIT, "no memory for the options of the run") : TL_OK;
}

/* Puts the changed ones into *now. *changed: an event has to tell of it. */
static tl_rc merge(struct tl_tx *tx, const struct tl_options_change *change,
                   TpWorkflow__WorkflowExecutionOptions *now, bool *changed, bool *skipping_changed,
                   struct tl_error *err)
{
    const TpWorkflow__WorkflowExecutionOptions *o = change->options;
    struct tl_str version;
    bool equal = true;
    int behavior;
    tl_rc rc = TL_OK;
    *changed = *skipping_changed = false;
    if (change->versioning_override) {
        TpWorkflow__VersioningOverride *wanted = o ? o->versioning_override : NULL;
        rc = tl_override_read(wanted, tx->arena, &behavior, &version, err);
        rc = rc == TL_OK ? same(wanted, now->versioning_override, tx->arena, &equal, err) : rc;
        now->versioning_override = wanted;
        *changed = !equal;
    }
    if (rc == TL_OK && change->time_skipping) {
        TpCommon__TimeSkippingConfig *wanted = o ? o->time_skipping_config : NULL;
        rc = same(wanted, now->time_skipping_config, tx->arena, &equal, err);
        now->time_skipping_config = wanted;
        *skipping_changed = !equal || (wanted && wanted->fast_forward_config);
        *changed = *changed || *skipping_changed;
    }
    return rc;
}

tl_rc tl_tx_change_options(struct tl_tx *tx, const struct tl_options_change *change,
                           TpWorkflow__WorkflowExecutionOptions *merged, struct tl_error *err)
{
    bool changed, skipping_changed;
    tl_rc rc = tl_tx_need_open(tx, err);
    if (rc == TL_OK) {
        rc = current_options(tx->rs, tx->arena, merged, err);
    }
    if (rc == TL_OK) {
        rc = merge(tx, change, merged, &changed, &skipping_changed, err);
    }
    if (rc != TL_OK || !changed) {
        return rc;
    }
    TpHistory__WorkflowExecutionOptionsUpdatedEventAttributes a =
        TP_HISTORY__WORKFLOW_EXECUTION_OPTIONS_UPDATED_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    tl_ev_init(&ev, tx->now_ns);
    a.versioning_override = merged->versioning_override;
    a.unset_versioning_override = !merged->versioning_override;
    a.identity = (char *)(uintptr_t)change->identity;
    a.priority = merged->priority;
    a.time_skipping_config = merged->time_skipping_config;
    a.time_skipping_config_updated = skipping_changed;
    TL_EV_SET(&ev, WORKFLOW_EXECUTION_OPTIONS_UPDATED, workflow_execution_options_updated, &a);
    ev.e.worker_may_ignore = true;
    tl_tx_add(tx, &ev);
    return tl_tx_result(tx, err);
}
