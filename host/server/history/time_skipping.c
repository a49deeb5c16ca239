/* Time skipping of one run: its clock is ahead of the server's by what it has skipped. While nothing of
 * the run is under way but timers and back-offs, each transaction ends with a jump to the next of them.
 *
 * All times in the state of a run are times of its own clock; tl_tx_begin, tl_rs_deadline_ns and the
 * other doors of the folder turn server time into it and back. The state follows from events alone.
 * Thread: the run's owner. Owns: tl_skipping.ff_id, freed with the run. */
#include "server/history/rs.h"

static int64_t event_ns(const TpHistory__HistoryEvent *e)
{
    return tl_pb_timestamp_ns_or(e->event_time, 0);
}

/* --- state ----------------------------------------------------------------------------------- */

static void set_config(struct tl_skipping *k, const TpCommon__TimeSkippingConfig *c)
{
    const TpCommon__FastForwardConfig *ff = c ? c->fast_forward_config : NULL;
    k->known = true;
    k->configured = c != NULL;
    k->enabled = c && c->enabled;
    k->no_propagation = c && c->disable_propagation;
    k->skips_max = c ? c->max_session_skip_count : 0;
    k->ff = ff != NULL;
    k->ff_ns = ff ? tl_pb_duration_ns_or(ff->duration, 0) : 0;
    tl_set_str(&k->ff_id, ff ? ff->id : NULL);
    k->ff_target_ns = 0;
    k->ff_reached = false;
}

void tl_skipping_started(struct tl_rs *rs, int64_t now_ns, const TpCommon__TimeSkippingConfig *c,
                         const TpCommon__TimeSkippingStatePropagation *from)
{
    struct tl_skipping *k = &rs->skipping;
    if (!c && !(from && tl_pb_duration_ns_or(from->initial_skipped_duration, 0) > 0)) {
        return;
    }
    set_config(k, c);
    k->skipped_ns = from ? tl_pb_duration_ns_or(from->initial_skipped_duration, 0) : 0;
    k->skips = from ? from->initial_skip_count : 0;
    if (!k->ff) {
        return;
    }
    k->ff_target_ns = tl_ns_add(now_ns, k->ff_ns);
    if (from && from->fast_forward_target_time) {
        k->ff_target_ns = tl_pb_timestamp_ns_or(from->fast_forward_target_time, 0);
        k->ff_reached = k->ff_target_ns <= now_ns;
        k->enabled = k->enabled && !k->ff_reached;
    }
}

void tl_skipping_changed(struct tl_rs *rs, int64_t now_ns, const TpCommon__TimeSkippingConfig *c)
{
    struct tl_skipping *k = &rs->skipping;
    if (!k->known && !c) {
        return;
    }
    set_config(k, c);
    k->skips = 0;
    k->ff_target_ns = k->ff ? tl_ns_add(now_ns, k->ff_ns) : 0;
}

tl_rc tl_apply_time_skipped(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                            struct tl_arena *scratch, struct tl_error *err)
{
    const TpHistory__WorkflowExecutionTimeSkippingTransitionedEventAttributes *a =
        e->workflow_execution_time_skipping_transitioned_event_attributes;
    struct tl_skipping *k = &rs->skipping;
    (void)scratch;
    if (!k->known || (!a->target_time && !a->disabled_after_fast_forward)) {
        return tl_error_set(err, TL_EDECODE, "event %lld skips time in a run that cannot",
                            (long long)e->event_id);
    }
    if (a->target_time) {
        int64_t ahead = tl_pb_timestamp_ns_or(a->target_time, 0) - event_ns(e);
        k->skipped_ns = ahead > 0 ? tl_ns_add(k->skipped_ns, ahead) : k->skipped_ns;
    }
    if (a->disabled_after_fast_forward && k->ff) {
        k->ff_reached = true;
        k->enabled = false;
    }
    k->skips++;
    if (k->skips >= k->skips_max) {
        k->enabled = false;
    }
    return TL_OK;
}

void tl_skipping_free(struct tl_skipping *k)
{
    tl_set_str(&k->ff_id, NULL);
}

TlV1__TimeSkippingState *tl_skipping_save(const struct tl_skipping *k, struct tl_arena *arena)
{
    TlV1__TimeSkippingState *s =
        TL_PB_NEW(arena, TlV1__TimeSkippingState, tl_v1__time_skipping_state);
    if (s) {
        s->configured = k->configured;
        s->enabled = k->enabled;
        s->no_propagation = k->no_propagation;
        s->skips_max = k->skips_max;
        s->skips = k->skips;
        s->skipped_ns = k->skipped_ns;
        s->fast_forward = k->ff;
        s->fast_forward_id = tl_pb_text(k->ff_id);
        s->fast_forward_ns = k->ff_ns;
        s->fast_forward_target_ns = k->ff_target_ns;
        s->fast_forward_reached = k->ff_reached;
    }
    return s;
}

void tl_skipping_load(struct tl_skipping *k, const TlV1__TimeSkippingState *s)
{
    if (!s) {
        return;
    }
    k->known = true;
    k->configured = s->configured;
    k->enabled = s->enabled;
    k->no_propagation = s->no_propagation;
    k->skips_max = s->skips_max;
    k->skips = s->skips;
    k->skipped_ns = s->skipped_ns;
    k->ff = s->fast_forward;
    tl_set_str(&k->ff_id, s->fast_forward_id);
    k->ff_ns = s->fast_forward_ns;
    k->ff_target_ns = s->fast_forward_target_ns;
    k->ff_reached = s->fast_forward_reached;
}

bool tl_rs_skips_time(const struct tl_rs *rs)
{
    return rs->skipping.enabled;
}

/* --- the jump -------------------------------------------------------------------------------- */

/* The fast forward that is under way ends then; TL_NS_NEVER: there is none. */
static int64_t fast_forward_ns(const struct tl_skipping *k)
{
    return k->enabled && k->ff && !k->ff_reached ? k->ff_target_ns : TL_NS_NEVER;
}

int64_t tl_skipping_deadline_ns(const struct tl_rs *rs)
{
    return fast_forward_ns(&rs->skipping);
}

/* Nothing that takes real time is under way. An activity in the back-off before its next attempt waits
 * like a timer. */
static bool is_idle(const struct tl_rs *rs, int64_t now_ns)
{
    if (!tl_rs_open(rs) || tl_rs_paused(rs) || rs->wft.scheduled_id ||
        !(rs->had_wft || tl_rs_in_backoff(rs))) {
        return false;
    }
    if ((rs->children && rs->children->count) || (rs->externals && rs->externals->count) ||
        (rs->nexus_ops && rs->nexus_ops->count)) {
        return false;
    }
    if (rs->acts) {
        TL_MAP_EACH (entry, rs->acts) {
            const struct tl_act *act = entry->value;
            if (act->started || act->paused || act->attempt <= 1 || act->attempt_ns <= now_ns) {
                return false;
            }
        }
    }
    return true;
}

/* What the run waits for next; TL_NS_NEVER: nothing that time brings. */
static int64_t next_ns(const struct tl_rs *rs)
{
    const struct tl_heap_node *node = tl_heap_peek(&rs->heap);
    int64_t at_ns = node ? node->deadline_ns : TL_NS_NEVER;
    if (tl_rs_in_backoff(rs)) {
        int64_t first_ns = tl_ns_add(rs->start_ns, rs->first_backoff_ns);
        return first_ns < at_ns ? first_ns : at_ns;
    }
    return rs->run_expiration_ns > 0 && rs->run_expiration_ns < at_ns ? rs->run_expiration_ns
                                                                      : at_ns;
}

/* target_ns 0: time stays, skipping ends. */
static void add_transition(struct tl_tx *tx, int64_t target_ns, bool disabled)
{
    TpHistory__WorkflowExecutionTimeSkippingTransitionedEventAttributes a =
        TP_HISTORY__WORKFLOW_EXECUTION_TIME_SKIPPING_TRANSITIONED_EVENT_ATTRIBUTES__INIT;
    Google__Protobuf__Timestamp target = tl_timestamp_value(target_ns);
    Google__Protobuf__Timestamp wall = tl_timestamp_value(tx->server_ns);
    struct tl_ev ev;
    tl_ev_init(&ev, tx->now_ns);
    a.target_time = target_ns ? &target : NULL;
    a.disabled_after_fast_forward = disabled;
    a.wall_clock_time = &wall;
    TL_EV_SET(&ev, WORKFLOW_EXECUTION_TIME_SKIPPING_TRANSITIONED,
              workflow_execution_time_skipping_transitioned, &a);
    ev.e.worker_may_ignore = true;
    tl_tx_add(tx, &ev);
    tx->now_ns = tl_rs_time_ns(tx->rs, tx->server_ns);
}

void tl_skipping_settle(struct tl_tx *tx)
{
    const struct tl_rs *rs = tx->rs;
    if (!rs->skipping.enabled || tx->p->copied || tx->p->broken || !is_idle(rs, tx->now_ns)) {
        return;
    }
    int64_t ff_ns = fast_forward_ns(&rs->skipping), at_ns = next_ns(rs);
    if (ff_ns <= tx->now_ns) {
        add_transition(tx, 0, true);
    } else if (at_ns > tx->now_ns && (at_ns != TL_NS_NEVER || ff_ns != TL_NS_NEVER)) {
        /* What is due already comes without a jump. */
        bool ends = ff_ns <= at_ns;
        add_transition(tx, ends ? ff_ns : at_ns, ends);
    }
}

bool tl_skipping_fire(struct tl_tx *tx)
{
    if (fast_forward_ns(&tx->rs->skipping) > tx->now_ns) {
        return false;
    }
    add_transition(tx, 0, true);
    return true;
}

/* --- what others see ------------------------------------------------------------------------- */

TpCommon__TimeSkippingConfig *tl_skipping_config(const struct tl_rs *rs, bool fast_forward,
                                                 struct tl_arena *arena, bool *full)
{
    const struct tl_skipping *k = &rs->skipping;
    if (!k->configured) {
        return NULL;
    }
    TpCommon__TimeSkippingConfig *c =
        TL_PB_NEW(arena, TpCommon__TimeSkippingConfig, tp_common__time_skipping_config);
    if (!c) {
        *full = true;
        return NULL;
    }
    c->enabled = k->enabled;
    c->disable_propagation = k->no_propagation;
    c->max_session_skip_count = k->skips_max;
    if (k->ff && fast_forward) {
        TpCommon__FastForwardConfig *ff =
            TL_PB_NEW(arena, TpCommon__FastForwardConfig, tp_common__fast_forward_config);
        if (!ff || !(ff->id = tl_pb_cstr(arena, tl_str(tl_or_empty(k->ff_id)))) ||
            !(ff->duration = tl_pb_duration_ns(arena, k->ff_ns))) {
            *full = true;
            return NULL;
        }
        c->fast_forward_config = ff;
    }
    return c;
}

/* The next run of a chain goes on with the clock, the session and the fast forward; a child with the
 * clock alone. */
static TpCommon__TimeSkippingStatePropagation *propagation(const struct tl_rs *rs, bool next_run,
                                                           struct tl_arena *arena, bool *full)
{
    const struct tl_skipping *k = &rs->skipping;
    if (!k->known || (!next_run && k->skipped_ns == 0)) {
        return NULL;
    }
    TpCommon__TimeSkippingStatePropagation *p = TL_PB_NEW(
        arena, TpCommon__TimeSkippingStatePropagation, tp_common__time_skipping_state_propagation);
    if (!p || !(p->initial_skipped_duration = tl_pb_duration_ns(arena, k->skipped_ns)) ||
        (next_run && k->ff &&
         !(p->fast_forward_target_time = tl_pb_timestamp(arena, k->ff_target_ns)))) {
        *full = true;
        return NULL;
    }
    p->initial_skip_count = next_run ? k->skips : 0;
    return p;
}

bool tl_skipping_hand_on(const struct tl_rs *rs, struct tl_arena *arena,
                         TpCommon__TimeSkippingConfig **config,
                         TpCommon__TimeSkippingStatePropagation **state)
{
    bool full = false;
    *config = tl_skipping_config(rs, true, arena, &full);
    *state = propagation(rs, true, arena, &full);
    return !full;
}

bool tl_skipping_hand_to_child(const struct tl_rs *rs, struct tl_arena *arena,
                               TpCommon__TimeSkippingConfig **config,
                               TpCommon__TimeSkippingStatePropagation **state)
{
    bool full = false;
    *config = rs->skipping.no_propagation ? NULL : tl_skipping_config(rs, false, arena, &full);
    *state = propagation(rs, false, arena, &full);
    return !full;
}

TpCommon__TimeSkippingFastForwardInfo *tl_rs_fast_forward(const struct tl_rs *rs,
                                                          struct tl_arena *arena, bool *full)
{
    const struct tl_skipping *k = &rs->skipping;
    if (!k->ff) {
        return NULL;
    }
    TpCommon__TimeSkippingFastForwardInfo *i = TL_PB_NEW(
        arena, TpCommon__TimeSkippingFastForwardInfo, tp_common__time_skipping_fast_forward_info);
    if (!i || !(i->fast_forward_duration = tl_pb_duration_ns(arena, k->ff_ns)) ||
        !(i->fast_forward_id = tl_pb_cstr(arena, tl_str(tl_or_empty(k->ff_id)))) ||
        !(i->target_time = tl_pb_timestamp(arena, k->ff_target_ns))) {
        *full = true;
        return NULL;
    }
    i->has_completed = k->ff_reached;
    return i;
}

TpCommon__TimeSkippingInfo *tl_skipping_describe(const struct tl_rs *rs, int64_t now_ns,
                                                 struct tl_arena *arena, bool *full)
{
    if (!rs->skipping.known) {
        return NULL;
    }
    TpCommon__TimeSkippingInfo *i =
        TL_PB_NEW(arena, TpCommon__TimeSkippingInfo, tp_common__time_skipping_info);
    if (!i || !(i->current_time = tl_pb_timestamp(arena, now_ns))) {
        *full = true;
        return NULL;
    }
    i->effective_config = tl_skipping_config(rs, true, arena, full);
    i->fast_forward_info = tl_rs_fast_forward(rs, arena, full);
    i->current_session_skip_count = rs->skipping.skips;
    return i;
}
