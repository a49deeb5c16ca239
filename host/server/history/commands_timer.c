/* StartTimer and CancelTimer.
 * Thread: the run's owner. */
#include <string.h>

#include "server/history/commands.h"
#include "server/history/rs.h"

static bool is_running(const struct tl_wft_done *d, const char *timer_id)
{
    enum tl_overlay over = tl_over_get(&d->timers, timer_id);
    return over == TL_OVER_NONE ? tl_rs_timer(d->tx->rs, tl_str(timer_id)) != NULL
                                : over == TL_OVER_RUNNING;
}

static bool check_id(struct tl_wft_done *d, int cause, const char *command, const char *timer_id)
{
    const long long id_bytes = (long long)d->tx->env->limits.id_bytes;
    if (!tl_has_text(timer_id)) {
        tl_refuse(d, cause, "TimerId is not set on %s.", command);
        return false;
    }
    if ((long long)strlen(timer_id) > id_bytes) {
        tl_refuse(d, cause, "TimerId on %s exceeds length limit. Length=%zu Limit=%lld", command,
                  strlen(timer_id), id_bytes);
        return false;
    }
    return true;
}

void tl_command_check_timer(struct tl_wft_done *d, const TpCommand__Command *c)
{
    const int cause = WORKFLOW_TASK_FAILED_CAUSE_BAD_START_TIMER_ATTRIBUTES;
    const TpCommand__StartTimerCommandAttributes *a = c->start_timer_command_attributes;
    const int64_t timers_max = d->tx->env->limits.pending_timers;
    const char *problem = NULL;
    if (!check_id(d, cause, "StartTimerCommand", a->timer_id)) {
        return;
    }
    tl_duration_checked_ns(a->start_to_fire_timeout, &problem);
    if (problem) {
        tl_refuse(d, cause,
                  "An invalid StartToFireTimeout is set on StartTimerCommand: %s. TimerId=%.200s",
                  problem, a->timer_id);
    } else if ((int64_t)d->pending_timers >= timers_max) {
        tl_refuse(d, cause,
                  "the number of pending timers, %zu, has reached the per-workflow limit of %lld",
                  d->pending_timers, (long long)timers_max);
    } else if (is_running(d, a->timer_id)) {
        tl_refuse(d, WORKFLOW_TASK_FAILED_CAUSE_START_TIMER_DUPLICATE_ID,
                  "a timer with this id is running already, TimerID: %.200s", a->timer_id);
    } else {
        tl_map_put(&d->timers, tl_str(a->timer_id), tl_over(TL_OVER_RUNNING));
        d->pending_timers++;
        d->next_id++;
    }
}

void tl_command_run_timer(struct tl_wft_done *d, const TpCommand__Command *c)
{
    const TpCommand__StartTimerCommandAttributes *in = c->start_timer_command_attributes;
    const char *problem = NULL;
    Google__Protobuf__Duration timeout =
        tl_duration_value(tl_duration_checked_ns(in->start_to_fire_timeout, &problem));
    TpHistory__TimerStartedEventAttributes a = TP_HISTORY__TIMER_STARTED_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    tl_ev_init(&ev, d->tx->now_ns);
    a.timer_id = in->timer_id;
    a.start_to_fire_timeout = &timeout;
    a.workflow_task_completed_event_id = d->completed_id;
    TL_EV_SET(&ev, TIMER_STARTED, timer_started, &a);
    tl_command_decorate(&ev, c);
    tl_tx_add(d->tx, &ev);
}

void tl_command_check_cancel_timer(struct tl_wft_done *d, const TpCommand__Command *c)
{
    const int cause = WORKFLOW_TASK_FAILED_CAUSE_BAD_CANCEL_TIMER_ATTRIBUTES;
    const char *timer_id = c->cancel_timer_command_attributes->timer_id;
    int64_t started_id = 0;
    if (!check_id(d, cause, "CancelTimerCommand", timer_id)) {
        return;
    }
    if (is_running(d, timer_id)) {
        d->pending_timers--;
    } else if (tl_over_get(&d->timers, timer_id) == TL_OVER_NONE &&
               tl_buffer_find_timer(d->tx, timer_id, &started_id) >= 0) {
        d->buffered--; /* it fired, but the worker has not heard: the cancellation wins */
    } else {
        tl_refuse(d, cause, "no timer with this id is running, TimerID: %.200s", timer_id);
        return;
    }
    tl_map_put(&d->timers, tl_str(timer_id), tl_over(TL_OVER_GONE));
    d->next_id++;
}

void tl_command_run_cancel_timer(struct tl_wft_done *d, const TpCommand__Command *c)
{
    struct tl_rs *rs = d->tx->rs;
    TpHistory__TimerCanceledEventAttributes a = TP_HISTORY__TIMER_CANCELED_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    a.timer_id = c->cancel_timer_command_attributes->timer_id;
    const struct tl_timer *timer = tl_rs_timer(rs, tl_str(a.timer_id));
    if (timer) {
        a.started_event_id = timer->started_id;
    } else {
        int index = tl_buffer_find_timer(d->tx, a.timer_id, &a.started_event_id);
        if (index >= 0) {
            tl_buffer_drop(rs, (size_t)index);
            d->tx->p->buffer_flushed = true;
        }
    }
    tl_ev_init(&ev, d->tx->now_ns);
    a.workflow_task_completed_event_id = d->completed_id;
    a.identity = d->req->identity;
    TL_EV_SET(&ev, TIMER_CANCELED, timer_canceled, &a);
    tl_command_decorate(&ev, c);
    tl_tx_add(d->tx, &ev);
}
