/* Pause: a run that takes no workflow task and offers no activity until it is unpaused. Signals, timers,
 * timeouts and the answers of what was out already go on and are recorded.
 *
 * An activity that is held back counts as offered (memory), so that only its timeouts are waited for.
 * Thread: the run's owner. */
#include <stdlib.h>
#include <string.h>

#include "proto/jsonv.h"
#include "proto/payload.h"
#include "server/history/rs.h"

#define ATTRIBUTE "TemporalPauseInfo"

/* --- state ----------------------------------------------------------------------------------- */

void tl_pause_free(struct tl_pause *pause)
{
    tl_mem_free(pause->identity);
    tl_mem_free(pause->reason);
    tl_mem_free(pause->request_id);
    *pause = (struct tl_pause){0};
}

void tl_pause_set(struct tl_pause *pause, int64_t at_ns, const char *identity, const char *reason,
                  const char *request_id)
{
    pause->on = true;
    pause->at_ns = at_ns;
    tl_set_str(&pause->identity, identity);
    tl_set_str(&pause->reason, reason);
    tl_set_str(&pause->request_id, request_id);
}

static int compare(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

/* The types of paused activities, sorted; NULL when the arena is full. */
static const char **paused_types(const struct tl_rs *rs, struct tl_arena *scratch, size_t *n)
{
    size_t count = rs->acts ? rs->acts->count : 0;
    const char **types = TL_ARENA_ARRAY(scratch, const char *, count + 1);
    *n = 0;
    if (!types || !rs->acts) {
        return types;
    }
    TL_MAP_EACH (e, rs->acts) {
        const struct tl_act *act = e->value;
        const TpHistory__ActivityTaskScheduledEventAttributes *attrs =
            act->paused
                ? tl_blob_decode(&act->attributes,
                                 &tp_history__activity_task_scheduled_event_attributes__descriptor,
                                 scratch)
                : NULL;
        if (attrs && attrs->activity_type) {
            types[(*n)++] = attrs->activity_type->name;
        }
    }
    if (*n > 1) {
        qsort(types, *n, sizeof *types, compare);
    }
    return types;
}

/* ["Workflow:ID","Reason:WHY","property:activityType=TYPE"...], as far as they are paused. *none: nothing
 * is. False when the arena is full. */
static bool attribute_value(const struct tl_rs *rs, struct tl_arena *scratch,
                            TpCommon__Payload **out, bool *none)
{
    struct tl_buf json;
    struct tl_jw w;
    size_t n;
    const char **types = paused_types(rs, scratch, &n);
    *none = !rs->pause.on && n == 0;
    if (!types || *none) {
        return types != NULL;
    }
    tl_buf_init(&json, (size_t)1 << 20);
    tl_jw_init(&w, &json, 0, 4);
    tl_jw_array(&w);
    if (rs->pause.on) {
        tl_jw_string(&w, tl_str(tl_arena_printf(scratch, "Workflow:%s", rs->workflow_id)));
        if (rs->pause.reason) {
            tl_jw_string(&w, tl_str(tl_arena_printf(scratch, "Reason:%s", rs->pause.reason)));
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || strcmp(types[i], types[i - 1]) != 0) {
            tl_jw_string(&w,
                         tl_str(tl_arena_printf(scratch, "property:activityType=%s", types[i])));
        }
    }
    tl_jw_array_end(&w);
    *out = tl_jw_finish(&w, NULL) == TL_OK ? tl_payload_json(scratch, tl_buf_str(&json)) : NULL;
    tl_buf_deinit(&json);
    return *out &&
           tl_payload_set_metadata(scratch, *out, TL_STR_LIT("type"), TL_STR_LIT("KeywordList"));
}

bool tl_pause_tell(struct tl_rs *rs, struct tl_arena *scratch)
{
    TpCommon__SearchAttributes__IndexedFieldsEntry field =
        TP_COMMON__SEARCH_ATTRIBUTES__INDEXED_FIELDS_ENTRY__INIT;
    TpCommon__SearchAttributes__IndexedFieldsEntry *fields[] = {&field};
    TpCommon__SearchAttributes upserted = TP_COMMON__SEARCH_ATTRIBUTES__INIT;
    const TpCommon__SearchAttributes *now =
        tl_blob_decode(&rs->search_attributes, &tp_common__search_attributes__descriptor, scratch);
    const TpCommon__Payload *told = NULL;
    bool none;
    rs->pause_untold = false;
    if (rs->kind == TL_RUN_ACTIVITY) {
        return true; /* its status tells */
    }
    if (!attribute_value(rs, scratch, &field.value, &none)) {
        return false;
    }
    for (size_t i = 0; now && i < now->n_indexed_fields; i++) {
        bool same = strcmp(now->indexed_fields[i]->key, ATTRIBUTE) == 0;
        told = same ? now->indexed_fields[i]->value : told;
    }
    if (none ? !told : told && tl_str_eq(tl_pb_str(told->data), tl_pb_str(field.value->data))) {
        return true;
    }
    field.key = (char *)(uintptr_t)ATTRIBUTE;
    upserted.n_indexed_fields = 1;
    upserted.indexed_fields = fields;
    rs->visibility_changes++;
    const TpCommon__SearchAttributes *merged = tl_search_attributes_merge(now, &upserted, scratch);
    return merged && tl_set_blob_message(&rs->search_attributes, merged);
}

/* What matching has of them is void from here on, and comes back stale. */
static void hold_activities(struct tl_rs *rs, bool hold)
{
    if (!rs->acts) {
        return;
    }
    TL_MAP_EACH (e, rs->acts) {
        struct tl_act *act = e->value;
        if (!act->started) {
            act->stamp++;
            act->offered = hold;
            tl_rs_act_arm(rs, act);
        }
    }
}

static tl_rc applied(struct tl_rs *rs, const TpHistory__HistoryEvent *e, struct tl_arena *scratch,
                     struct tl_error *err)
{
    hold_activities(rs, rs->pause.on);
    rs->visibility_changes++;
    return tl_pause_tell(rs, scratch)
               ? TL_OK
               : tl_error_set(err, TL_EDECODE, "event %lld cannot be kept", (long long)e->event_id);
}

tl_rc tl_apply_paused(struct tl_rs *rs, const TpHistory__HistoryEvent *e, struct tl_arena *scratch,
                      struct tl_error *err)
{
    const TpHistory__WorkflowExecutionPausedEventAttributes *a =
        e->workflow_execution_paused_event_attributes;
    tl_pause_set(&rs->pause, tl_pb_timestamp_ns_or(e->event_time, 0), a->identity, a->reason,
                 a->request_id);
    return applied(rs, e, scratch, err);
}

tl_rc tl_apply_unpaused(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                        struct tl_arena *scratch, struct tl_error *err)
{
    tl_pause_free(&rs->pause);
    return applied(rs, e, scratch, err);
}

/* --- requests -------------------------------------------------------------------------------- */

static tl_rc check(struct tl_tx *tx, const struct tl_pause_request *req, struct tl_error *err)
{
    const struct {
        const char *value, *name;
    } texts[] = {
        {req->reason, "reason"}, {req->request_id, "request id"}, {req->identity, "identity"}};
    tx->error_kind = TL_ERR_PLAIN;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if ((int64_t)tl_str(tl_or_empty(texts[i].value)).n > tx->env->limits.id_bytes) {
            return tl_error_set(err, TL_EINVAL, "%s is too long.", texts[i].name);
        }
    }
    return tl_tx_need_open(tx, err);
}

/* A task that nobody has begun would wait for ever: it fails, and unpausing schedules another. */
static void fail_waiting_task(struct tl_tx *tx)
{
    struct tl_wft *w = &tx->rs->wft;
    if (!w->scheduled_id || w->started_id) {
        return;
    }
    if (w->speculative) {
        tl_wft_drop_speculative(tx);
        return;
    }
    tl_wft_fail_started(tx, WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_PAUSE_REQUESTED_BEFORE_TASK_STARTED,
                        NULL, TL_IDENTITY_SERVICE, NULL);
    w->attempt = 1;
}

tl_rc tl_tx_pause(struct tl_tx *tx, const struct tl_pause_request *req, struct tl_error *err)
{
    const struct tl_pause *pause = &tx->rs->pause;
    TpHistory__WorkflowExecutionPausedEventAttributes a =
        TP_HISTORY__WORKFLOW_EXECUTION_PAUSED_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    tl_rc rc = check(tx, req, err);
    if (rc != TL_OK) {
        return rc;
    }
    if (pause->on) {
        return tl_has_text(req->request_id) &&
                       tl_str_eqc(tl_str(tl_or_empty(pause->request_id)), req->request_id)
                   ? TL_OK
                   : tl_error_set(err, TL_EPRECONDITION, "workflow is already paused.");
    }
    fail_waiting_task(tx);
    tl_ev_init(&ev, tx->now_ns);
    a.identity = tl_pb_text(req->identity);
    a.reason = tl_pb_text(req->reason);
    a.request_id = tl_pb_text(req->request_id);
    ev.e.worker_may_ignore = true;
    TL_EV_SET(&ev, WORKFLOW_EXECUTION_PAUSED, workflow_execution_paused, &a);
    tl_tx_add(tx, &ev);
    tx->p->visibility_dirty = true;
    return tl_tx_result(tx, err);
}

tl_rc tl_tx_unpause(struct tl_tx *tx, const struct tl_pause_request *req, struct tl_error *err)
{
    struct tl_rs *rs = tx->rs;
    TpHistory__WorkflowExecutionUnpausedEventAttributes a =
        TP_HISTORY__WORKFLOW_EXECUTION_UNPAUSED_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    tl_rc rc = check(tx, req, err);
    if (rc != TL_OK) {
        return rc;
    }
    if (!rs->pause.on) {
        return tl_error_set(err, TL_EPRECONDITION, "workflow is not paused.");
    }
    tl_ev_init(&ev, tx->now_ns);
    a.identity = tl_pb_text(req->identity);
    a.reason = tl_pb_text(req->reason);
    a.request_id = tl_pb_text(req->request_id);
    ev.e.worker_may_ignore = true;
    TL_EV_SET(&ev, WORKFLOW_EXECUTION_UNPAUSED, workflow_execution_unpaused, &a);
    tl_tx_add(tx, &ev);
    tx->p->visibility_dirty = true;
    if (rs->acts) {
        TL_MAP_EACH (e, rs->acts) {
            const struct tl_act *act = e->value;
            if (!act->started && !act->paused && act->attempt_ns <= tx->now_ns) {
                tl_tx_offer_act(tx, act);
            }
        }
    }
    if (!tl_rs_in_backoff(rs)) {
        tl_wft_schedule(tx, 0);
    }
    return tl_tx_result(tx, err);
}
