/* Transactions: adding events, collecting effects, and turning both into one log record.
 * Thread: the run's owner. Owns: struct tl_tx_private is malloc'd by begin and freed by finish or
 * abort; results live in the task arena. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "server/history/policy.h"
#include "server/history/priority.h"
#include "server/history/rs.h"

/* Ceiling of one record; far above what one request may bring. */
#define RECORD_BYTES_MAX ((size_t)1 << 30)
/* Events get task ids that grow with their ids, as a server that numbers tasks per shard gives them. */
#define TASK_ID_BASE 1048576

#define REASON_HISTORY_BYTES "Workflow history size exceeds limit."
#define REASON_HISTORY_COUNT "Workflow history count exceeds limit."

/* --- begin and end --------------------------------------------------------------------------- */

void tl_tx_begin(struct tl_tx *tx, struct tl_rs *rs, const struct tl_history_env *env,
                 int64_t now_ns, struct tl_arena *arena)
{
    *tx = (struct tl_tx){.rs = rs, .env = env, .server_ns = now_ns, .arena = arena};
    tx->now_ns = tl_rs_time_ns(rs, now_ns);
    tx->effects.arena = arena;
    tx->p = TL_NEW(struct tl_tx_private);
    tl_buf_init(&tx->p->events, RECORD_BYTES_MAX);
}

static void end(struct tl_tx *tx)
{
    tl_buf_deinit(&tx->p->events);
    tl_mem_free(tx->p);
    tx->p = NULL;
}

void tl_tx_abort(struct tl_tx *tx)
{
    TL_ASSERT(!tx->touched);
    end(tx);
}

void tl_tx_break(struct tl_tx *tx, const char *what)
{
    if (!tx->p->broken) {
        tx->p->broken = true;
        tl_error_set(&tx->p->error, TL_ELIMIT, "no memory for %s", what);
    }
    tx->touched = true;
}

tl_rc tl_tx_result(struct tl_tx *tx, struct tl_error *err)
{
    if (!tx->p->broken) {
        return TL_OK;
    }
    if (err) {
        *err = tx->p->error;
    }
    return tx->p->error.code;
}

tl_rc tl_tx_fail(struct tl_tx *tx, enum tl_error_kind kind, struct tl_error *err, tl_rc rc,
                 const char *fmt, ...)
{
    char text[480];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    tx->error_kind = kind;
    return tl_error_set(err, rc, "%s", text);
}

tl_rc tl_tx_tell_worker(struct tl_tx *tx, struct tl_error *err)
{
    tl_wft_schedule(tx, 0);
    tl_buffer_enforce_limit(tx);
    return tl_tx_result(tx, err);
}

tl_rc tl_tx_need_open(struct tl_tx *tx, struct tl_error *err)
{
    if (tl_rs_open(tx->rs)) {
        return TL_OK;
    }
    return tl_tx_fail(tx, TL_ERR_NOT_FOUND, err, TL_ENOTFOUND,
                      "workflow execution already completed");
}

/* --- events ---------------------------------------------------------------------------------- */

void tl_ev_init(struct tl_ev *ev, int64_t time_ns)
{
    ev->e = (TpHistory__HistoryEvent)TP_HISTORY__HISTORY_EVENT__INIT;
    ev->time = tl_timestamp_value(time_ns);
    ev->e.event_time = &ev->time;
}

static bool push_id(struct tl_tx *tx, int64_t **items, size_t *n, size_t *cap, int64_t id)
{
    if (*n == *cap) {
        size_t more = *cap ? *cap * 2 : 8;
        int64_t *copy = TL_ARENA_ARRAY(tx->arena, int64_t, more);
        if (!copy) {
            tl_tx_break(tx, "the transaction");
            return false;
        }
        if (*n > 0) {
            memcpy(copy, *items, *n * sizeof(int64_t));
        }
        *items = copy;
        *cap = more;
    }
    (*items)[(*n)++] = id;
    return true;
}

static bool has_id(const int64_t *items, size_t n, int64_t id)
{
    for (size_t i = 0; i < n; i++) {
        if (items[i] == id) {
            return true;
        }
    }
    return false;
}

void tl_tx_touch_act(struct tl_tx *tx, const struct tl_act *act)
{
    struct tl_tx_private *p = tx->p;
    tx->touched = true;
    if (!has_id(p->dirty_acts, p->dirty_n, act->scheduled_id)) {
        push_id(tx, &p->dirty_acts, &p->dirty_n, &p->dirty_cap, act->scheduled_id);
    }
}

void tl_tx_touch_nexus(struct tl_tx *tx, const struct tl_nexus_op *op)
{
    struct tl_tx_private *p = tx->p;
    tx->touched = true;
    if (!has_id(p->dirty_nexus, p->dirty_nexus_n, op->scheduled_id)) {
        push_id(tx, &p->dirty_nexus, &p->dirty_nexus_n, &p->dirty_nexus_cap, op->scheduled_id);
    }
}

void tl_tx_offer_act(struct tl_tx *tx, const struct tl_act *act)
{
    struct tl_tx_private *p = tx->p;
    tx->touched = true;
    push_id(tx, &p->offer_acts, &p->offer_n, &p->offer_cap, act->scheduled_id);
}

static bool is_close(int type)
{
    switch (type) {
    case EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
    case EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
    case EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT:
    case EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED:
    case EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
    case EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED:
        return true;
    default:
        return false;
    }
}

static void note_what_changed(struct tl_tx *tx, int type)
{
    if (is_close(type)) {
        tx->p->closed = true;
        tx->p->visibility_dirty = true;
    }
    if (type == EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES ||
        type == EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED ||
        type == EVENT_TYPE_WORKFLOW_EXECUTION_PAUSED ||
        type == EVENT_TYPE_WORKFLOW_EXECUTION_UNPAUSED ||
        type == EVENT_TYPE_WORKFLOW_EXECUTION_STARTED) {
        tx->p->visibility_dirty = true;
    }
}

/* Parents hear how a child ended, children that their parent has, callbacks how the run has. */
static void keep_for_family(struct tl_tx *tx, const TpHistory__HistoryEvent *e)
{
    struct tl_str bytes;
    if (tl_pb_encode_arena(e, tx->arena, &bytes, &tx->p->error) != TL_OK) {
        tl_tx_break(tx, "an event");
        return;
    }
    tl_children_closing(tx, bytes);
    tl_callbacks_closing(tx, bytes);
}

/* Whatever is written makes a speculative task a normal one, in front of it; one that was not started
 * just goes when the run ends. */
static void settle_speculative(struct tl_tx *tx, int type)
{
    struct tl_wft *w = &tx->rs->wft;
    if (w->speculative && is_close(type) && !w->started_id) {
        tl_wft_clear(w, w->attempt);
    } else if (w->speculative) {
        tl_wft_convert(tx);
    }
}

int64_t tl_tx_append(struct tl_tx *tx, TpHistory__HistoryEvent *e, enum tl_place place)
{
    struct tl_tx_private *p = tx->p;
    struct tl_rs *rs = tx->rs;
    tx->touched = true;
    settle_speculative(tx, (int)e->event_type);
    if (p->broken) {
        return 0;
    }
    e->event_id = rs->next_event_id;
    e->task_id = TASK_ID_BASE + e->event_id;
    if (tl_pb_put_message(&p->events, 1, e, &p->error) != TL_OK) {
        tl_tx_break(tx, "an event");
        return 0;
    }
    if (p->event_count++ == 0) {
        p->first_event_id = e->event_id;
    }
    if (is_close((int)e->event_type)) {
        keep_for_family(tx, e);
        tl_activities_tell_workers(tx); /* after this event they are gone */
    }
    rs->next_event_id++;
    if (place != TL_PLACE_APPLY) {
        tl_rs_event_placed(rs, e);
    }
    if (place == TL_PLACE_BEFORE) {
        push_id(tx, &p->applied_ids, &p->applied_n, &p->applied_cap, e->event_id);
    } else if (place == TL_PLACE_APPLY && tl_rs_apply_event(rs, e, tx->arena, &p->error) != TL_OK) {
        tl_tx_break(tx, "an event");
    }
    note_what_changed(tx, (int)e->event_type);
    return e->event_id;
}

static void buffer_event(struct tl_tx *tx, TpHistory__HistoryEvent *e)
{
    struct tl_buf bytes;
    tx->touched = true;
    tl_wft_materialise(tx);
    tl_buf_init(&bytes, RECORD_BYTES_MAX);
    if (tl_pb_encode(e, &bytes, &tx->p->error) != TL_OK) {
        tl_tx_break(tx, "a buffered event");
    } else {
        tl_rs_buffer_push(tx->rs, tl_buf_str(&bytes), (int)e->event_type, true);
        if (tl_rs_apply_event(tx->rs, e, tx->arena, &tx->p->error) != TL_OK) {
            tl_tx_break(tx, "a buffered event");
        }
    }
    tl_buf_deinit(&bytes);
}

void tl_tx_buffer(struct tl_tx *tx, struct tl_ev *ev)
{
    buffer_event(tx, &ev->e);
}

int64_t tl_tx_add(struct tl_tx *tx, struct tl_ev *ev)
{
    if (tx->rs->wft.started_id && tl_event_is_buffered_type((int)ev->e.event_type)) {
        buffer_event(tx, &ev->e);
        return 0;
    }
    return tl_tx_append(tx, &ev->e, TL_PLACE_APPLY);
}

/* --- effects --------------------------------------------------------------------------------- */

struct tl_effect *tl_effects_add(struct tl_effects *fx, enum tl_effect_kind kind)
{
    if (fx->n == fx->cap) {
        size_t more = fx->cap ? fx->cap * 2 : 8;
        struct tl_effect *copy = TL_ARENA_ARRAY(fx->arena, struct tl_effect, more);
        if (!copy) {
            return NULL;
        }
        if (fx->n > 0) {
            memcpy(copy, fx->items, fx->n * sizeof(*copy));
        }
        fx->items = copy;
        fx->cap = more;
    }
    struct tl_effect *f = &fx->items[fx->n++];
    *f = (struct tl_effect){.kind = kind};
    return f;
}

static struct tl_effect *add_effect(struct tl_tx *tx, enum tl_effect_kind kind)
{
    struct tl_effect *f = tl_effects_add(&tx->effects, kind);
    if (!f) {
        tl_tx_break(tx, "the effects");
    }
    return f;
}

static struct tl_str keep(struct tl_arena *a, const char *s)
{
    return tl_arena_str(a, tl_str(tl_or_empty(s)));
}

static void dispatch_wft(struct tl_effects *fx, const struct tl_rs *rs)
{
    bool sticky = rs->wft.sticky && !rs->wft.unstuck && rs->sticky_queue;
    struct tl_effect *f = tl_effects_add(fx, TL_FX_DISPATCH_WFT);
    if (!f) {
        return;
    }
    f->u.wft.normal_task_queue = keep(fx->arena, rs->task_queue);
    f->u.wft.task_queue = sticky ? keep(fx->arena, rs->sticky_queue) : f->u.wft.normal_task_queue;
    f->u.wft.sticky = sticky;
    f->u.wft.scheduled_id = rs->wft.scheduled_id;
    f->u.wft.attempt = rs->wft.attempt;
}

static const TpCommon__Priority *priority_of(const struct tl_rs *rs, const struct tl_act *act,
                                             struct tl_arena *arena)
{
    const TpHistory__ActivityTaskScheduledEventAttributes *attrs =
        act->has_priority
            ? tl_blob_decode(&act->attributes,
                             &tp_history__activity_task_scheduled_event_attributes__descriptor,
                             arena)
            : NULL;
    return tl_priority_merge(rs, attrs ? attrs->priority : NULL, arena);
}

void tl_effects_act(struct tl_effects *fx, const struct tl_rs *rs, struct tl_act *act)
{
    struct tl_effect *f = tl_effects_add(fx, TL_FX_DISPATCH_ACTIVITY);
    if (!f) {
        return;
    }
    f->u.activity.task_queue = keep(fx->arena, act->task_queue);
    f->u.activity.activity_id = keep(fx->arena, act->activity_id);
    f->u.activity.scheduled_id = act->scheduled_id;
    f->u.activity.attempt = act->attempt;
    f->u.activity.stamp = act->stamp;
    f->u.activity.with_run = act->with_run;
    f->u.activity.since_ns = act->attempt_ns - rs->skipping.skipped_ns;
    f->u.activity.priority = priority_of(rs, act, fx->arena);
    act->offered = true;
}

static void offer_activities(struct tl_tx *tx)
{
    for (size_t i = 0; i < tx->p->offer_n; i++) {
        struct tl_act *act = tl_rs_act(tx->rs, tx->p->offer_acts[i]);
        if (act && !act->started && !act->offered) {
            if (tl_rs_paused(tx->rs)) {
                act->offered = true; /* held back until the run is unpaused */
            } else {
                tl_effects_act(&tx->effects, tx->rs, act);
            }
            tl_rs_act_arm(tx->rs, act);
        }
    }
}

static void closing_effects(struct tl_tx *tx)
{
    const struct tl_tx_private *p = tx->p;
    if (p->visibility_dirty) {
        add_effect(tx, TL_FX_VISIBILITY_CHANGED);
    }
    if (p->event_count > 0 || tx->rs->kind != TL_RUN_WORKFLOW) {
        add_effect(tx, TL_FX_HISTORY_CHANGED);
    }
    if (p->closed) {
        tl_children_close_effects(tx);
        tl_callbacks_close_effects(tx);
        struct tl_effect *f = add_effect(tx, TL_FX_CLOSED);
        if (f) {
            f->u.status = tx->rs->status;
        }
    }
}

/* --- finish ---------------------------------------------------------------------------------- */

/* Too long a history ends the run: nothing may grow without bound. */
static void enforce_history_limit(struct tl_tx *tx)
{
    const struct tl_history_limits *limits = &tx->env->limits;
    int64_t bytes = tx->rs->history_bytes + (int64_t)tx->p->events.n;
    int64_t count = tx->rs->next_event_id - 1;
    if (!tl_rs_open(tx->rs) || tx->p->event_count == 0) {
        return;
    }
    if (bytes > limits->history_bytes) {
        tl_close_terminate(tx, REASON_HISTORY_BYTES, NULL, TL_IDENTITY_SERVICE, NULL, 0);
    } else if (count > limits->history_count) {
        tl_close_terminate(tx, REASON_HISTORY_COUNT, NULL, TL_IDENTITY_SERVICE, NULL, 0);
    }
}

static tl_rc encode_record(struct tl_tx *tx, struct tl_str history, struct tl_record *out,
                           struct tl_error *err)
{
    TlV1__LogRecord row = TL_V1__LOG_RECORD__INIT;
    TlV1__RunDelta delta;
    bool empty = true;
    if (!tl_delta_build(tx, &delta, &empty)) {
        return tl_error_set(err, TL_ELIMIT, "no memory for the log record");
    }
    if (history.n == 0 && empty) {
        return TL_OK;
    }
    row.history = tl_pb_bytes_view(history);
    if (!empty || delta.n_applied_event_ids > 0) {
        row.delta = &delta;
    }
    return tl_pb_encode_arena(&row, tx->arena, &out->bytes, err);
}

static void settle_run(struct tl_tx *tx, int64_t log_id, struct tl_record *out)
{
    struct tl_rs *rs = tx->rs;
    struct tl_tx_private *p = tx->p;
    rs->version++;
    for (size_t i = 0; i < rs->buffer_n; i++) {
        rs->buffer[i].fresh = false;
    }
    if (out->bytes.n == 0) {
        return;
    }
    out->log_id = log_id;
    out->prev_log_id = rs->last_log_id;
    out->first_event_id = p->first_event_id;
    out->event_count = p->event_count;
    rs->last_log_id = log_id;
    rs->record_count++;
    if (p->event_count > 0) {
        size_t n = 0;
        char *bytes = tl_buf_take(&p->events, &n);
        tl_rs_batch_push(rs, log_id, p->first_event_id, (uint32_t)p->event_count, bytes, n);
        rs->history_bytes += (int64_t)n;
    }
}

tl_rc tl_tx_finish(struct tl_tx *tx, int64_t log_id, struct tl_record *out, struct tl_error *err)
{
    *out = (struct tl_record){.bytes = {NULL, 0}};
    tl_skipping_settle(tx);
    enforce_history_limit(tx);
    const struct tl_wft *wft = &tx->rs->wft;
    bool offer_wft = tx->p->offer_wft && wft->scheduled_id && !wft->started_id;
    if (offer_wft) {
        dispatch_wft(&tx->effects, tx->rs);
    }
    offer_activities(tx);
    tl_query_finish(tx);
    if (tx->p->closed) {
        tl_updates_closed(tx);
    }
    closing_effects(tx);
    tl_rc rc = tl_tx_result(tx, err);
    if (rc == TL_OK) {
        rc = encode_record(tx, tl_buf_str(&tx->p->events), out, err);
    }
    if (rc == TL_OK) {
        settle_run(tx, log_id, out);
    } else {
        out->bytes = (struct tl_str){NULL, 0};
    }
    end(tx);
    return rc;
}

tl_rc tl_rs_regenerate(struct tl_rs *rs, const struct tl_history_env *env, int64_t now_ns,
                       struct tl_effects *out, struct tl_error *err)
{
    (void)env;
    size_t before = out->n, wanted = 0;
    now_ns = tl_rs_time_ns(rs, now_ns);
    if (!tl_rs_open(rs)) {
        return TL_OK;
    }
    tl_rs_updates_forget_rejected(rs);
    if (rs->wft.scheduled_id && !rs->wft.started_id) {
        dispatch_wft(out, rs);
        wanted++;
    }
    if (rs->acts && !tl_rs_paused(rs)) {
        TL_MAP_EACH (e, rs->acts) {
            struct tl_act *act = e->value;
            if (!act->started && !act->paused && act->attempt_ns <= now_ns) {
                tl_effects_act(out, rs, act);
                tl_rs_act_arm(rs, act);
                wanted++;
            }
        }
    }
    wanted += tl_rs_children_regenerate(rs, out) + tl_rs_others_regenerate(rs, out);
    return out->n - before == wanted
               ? TL_OK
               : tl_error_set(err, TL_ELIMIT, "no memory to dispatch a recovered run");
}
