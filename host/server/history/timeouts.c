/* Everything that happens because time passes: user timers, activity timeouts and retries, workflow
 * task timeouts, first-task back-off, run timeout.
 * Thread: the run's owner. */
#include <stdio.h>

#include "server/history/execution.h"
#include "server/history/policy.h"

/* --- user timers ----------------------------------------------------------------------------- */

static void fire_timer(struct tl_tx *tx, struct tl_timer *timer)
{
    TpHistory__TimerFiredEventAttributes a = TP_HISTORY__TIMER_FIRED_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    tl_ev_init(&ev, tx->now_ns);
    a.timer_id = tl_arena_cstr(tx->arena, tl_str(timer->id));
    a.started_event_id = timer->started_id;
    if (!a.timer_id) {
        tl_tx_break(tx, "a timer");
        return;
    }
    TL_EV_SET(&ev, TIMER_FIRED, timer_fired, &a);
    tl_tx_add(tx, &ev);
    tl_wft_schedule(tx, 0);
}

/* --- activities ------------------------------------------------------------------------------ */

static const char *timeout_name(int type)
{
    switch (type) {
    case TIMEOUT_TYPE_START_TO_CLOSE:
        return "StartToClose";
    case TIMEOUT_TYPE_SCHEDULE_TO_START:
        return "ScheduleToStart";
    case TIMEOUT_TYPE_SCHEDULE_TO_CLOSE:
        return "ScheduleToClose";
    default:
        return "Heartbeat";
    }
}

struct timeout_failure {
    TpFailure__Failure f;
    TpFailure__TimeoutFailureInfo info;
    char message[64];
};

static void make_failure(struct timeout_failure *t, int type)
{
    t->f = (TpFailure__Failure)TP_FAILURE__FAILURE__INIT;
    t->info = (TpFailure__TimeoutFailureInfo)TP_FAILURE__TIMEOUT_FAILURE_INFO__INIT;
    snprintf(t->message, sizeof(t->message), "activity %s timeout", timeout_name(type));
    t->f.message = t->message;
    t->f.source = (char *)(uintptr_t) "Server";
    t->info.timeout_type = (TpEnums__TimeoutType)type;
    t->f.failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_TIMEOUT_FAILURE_INFO;
    t->f.timeout_failure_info = &t->info;
}

static void time_out_activity(struct tl_tx *tx, struct tl_act *act, int type)
{
    struct timeout_failure t;
    make_failure(&t, type);
    if (tx->rs->kind == TL_RUN_ACTIVITY && act->started) {
        act->last_completed_ns = tx->now_ns;
    }
    int retry_state = tl_activity_retry(tx, act, &t.f);
    if (retry_state == RETRY_STATE_IN_PROGRESS) {
        return;
    }
    if (retry_state == RETRY_STATE_TIMEOUT && type != TIMEOUT_TYPE_SCHEDULE_TO_START) {
        make_failure(&t, TIMEOUT_TYPE_SCHEDULE_TO_CLOSE);
        t.f.message = (char *)(uintptr_t) "Not enough time to schedule next retry before activity "
                                          "ScheduleToClose timeout, giving up retrying";
    }
    t.info.last_heartbeat_details =
        tl_blob_decode(&act->heartbeat, &tp_common__payloads__descriptor, tx->arena);
    t.f.cause = tl_blob_decode(&act->last_failure, &tp_failure__failure__descriptor, tx->arena);
    if (tx->rs->kind == TL_RUN_ACTIVITY) {
        tl_execution_timed_out(tx, act, &t.f, retry_state);
        return;
    }
    TpHistory__ActivityTaskTimedOutEventAttributes a =
        TP_HISTORY__ACTIVITY_TASK_TIMED_OUT_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    tl_ev_init(&ev, tx->now_ns);
    a.scheduled_event_id = act->scheduled_id;
    a.started_event_id = tl_activity_write_started(tx, act);
    a.failure = &t.f;
    a.retry_state = (TpEnums__RetryState)retry_state;
    TL_EV_SET(&ev, ACTIVITY_TASK_TIMED_OUT, activity_task_timed_out, &a);
    tl_tx_add(tx, &ev);
    tl_wft_schedule(tx, 0);
}

static void fire_activity(struct tl_tx *tx, struct tl_act *act)
{
    int type = 0;
    if (tl_activity_timeout_ns(act, &type) <= tx->now_ns) {
        time_out_activity(tx, act, type);
        return;
    }
    tx->touched = true;
    if (tl_rs_paused(tx->rs)) {
        act->offered = true; /* held back until the run is unpaused */
        tl_rs_act_arm(tx->rs, act);
        return;
    }
    /* The back-off before this attempt is over. */
    size_t before = tx->effects.n;
    tl_effects_act(&tx->effects, tx->rs, act);
    if (tx->effects.n == before) {
        tl_tx_break(tx, "the effects");
        act->offered = true;
    }
    tl_rs_act_arm(tx->rs, act);
}

/* --- the run --------------------------------------------------------------------------------- */

/* True when something of the run itself was due. */
static bool fire_run(struct tl_tx *tx)
{
    struct tl_rs *rs = tx->rs;
    const struct tl_wft *w = &rs->wft;
    if (rs->run_expiration_ns > 0 && rs->run_expiration_ns <= tx->now_ns) {
        tl_close_time_out(tx);
        return true;
    }
    if (tl_skipping_fire(tx)) {
        return true;
    }
    if (tl_rs_in_backoff(rs) && !tl_rs_paused(rs)) {
        tl_wft_schedule(tx, 0);
        return true;
    }
    if (w->started_id && tl_ns_add(w->started_ns, w->timeout_ns) <= tx->now_ns) {
        tl_wft_time_out(tx, TIMEOUT_TYPE_START_TO_CLOSE);
        tl_wft_schedule(tx, 0);
        return true;
    }
    if (w->scheduled_id && !w->started_id) {
        tl_wft_time_out(tx, TIMEOUT_TYPE_SCHEDULE_TO_START);
        tl_wft_schedule(tx, 0);
        return true;
    }
    return false;
}

static bool fire_one(struct tl_tx *tx)
{
    struct tl_rs *rs = tx->rs;
    const struct tl_heap_node *node = tl_heap_peek(&rs->heap);
    int64_t run_ns = tl_rs_run_deadline_ns(rs);
    if (node && node->deadline_ns <= tx->now_ns && node->deadline_ns <= run_ns) {
        struct tl_due *due =
            TL_CONTAINER((struct tl_heap_node *)(uintptr_t)node, struct tl_due, node);
        if (due->kind == TL_DUE_TIMER) {
            fire_timer(tx, TL_CONTAINER(due, struct tl_timer, due));
        } else if (due->kind == TL_DUE_NEXUS) {
            tl_nexus_fire(tx, TL_CONTAINER(due, struct tl_nexus_op, due));
        } else {
            fire_activity(tx, TL_CONTAINER(due, struct tl_act, due));
        }
        return true;
    }
    return run_ns <= tx->now_ns && fire_run(tx);
}

tl_rc tl_tx_fire_due(struct tl_tx *tx, struct tl_error *err)
{
    tx->error_kind = TL_ERR_PLAIN;
    while (tl_rs_open(tx->rs) && !tx->p->broken && fire_one(tx)) {
    }
    tl_buffer_enforce_limit(tx);
    return tl_tx_result(tx, err);
}
