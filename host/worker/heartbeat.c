/* Heartbeats of activities, throttled. Thread: control.
 * The first is sent at once. After each one that was sent, the next waits for 80 % of the heartbeat
 * timeout (or the default where there is none), at most max_heartbeat_throttle_interval; of those
 * that come meanwhile only the newest is sent. Replies bring cancellation. */
#include "base/log.h"
#include "proto/pb.h"
#include "worker/worker_int.h"

#define REQUEST_BYTES_MAX ((size_t)64 << 20)
#define HEARTBEAT_TIMEOUT_NS (10 * TL_NS_PER_S)

static int64_t interval_ns(const struct tl_act *a)
{
    const struct tl_worker_options *o = &a->worker->opt;
    int64_t timeout = tl_pb_duration_ns_or(a->pub.task->heartbeat_timeout, 0);
    int64_t most = o->max_heartbeat_throttle_interval_ms * TL_NS_PER_MS;
    int64_t interval =
        timeout > 0 ? timeout / 5 * 4 : o->default_heartbeat_throttle_interval_ms * TL_NS_PER_MS;
    return interval < most ? interval : most;
}

static void throttle_over(struct tl_timer *t)
{
    tl_heartbeat_wanted(TL_CONTAINER(t, struct tl_act, hb_timer));
}

static void learn(struct tl_act *a, struct tl_str body)
{
    struct tl_wire_field f;
    unsigned reasons = 0;
    while (tl_wire_next(&body, &f)) { /* cancel_requested 1, activity_paused 2, activity_reset 3 */
        if (f.type == 0 && f.value) {
            reasons |= f.number == 1   ? TL_CANCEL_REQUESTED
                       : f.number == 2 ? TL_CANCEL_PAUSED
                       : f.number == 3 ? TL_CANCEL_RESET
                                       : 0;
        }
    }
    if (reasons) {
        tl_act_cancelled(a, reasons);
    }
}

static void mark_unsent(struct tl_act *a)
{
    pthread_mutex_lock(&a->mutex);
    a->details_new = true;
    pthread_mutex_unlock(&a->mutex);
}

static void mark_taken(struct tl_act *a)
{
    pthread_mutex_lock(&a->mutex);
    a->details_unsure = false;
    pthread_mutex_unlock(&a->mutex);
}

static void heartbeat_answered(struct tl_reply_to *to, struct tl_rpc_result *res)
{
    struct tl_act *a = TL_CONTAINER(to, struct tl_act, hb_to);
    struct tl_worker *w = a->worker;
    a->hb_in_flight = false;
    atomic_fetch_sub(&w->calls, 1);
    if (res->status == 0) {
        tl_worker_found(w);
        a->hb_retry.attempt = 0;
        mark_taken(a);
        learn(a, res->body);
    } else if (res->status == STATUS_NOT_FOUND) {
        tl_act_cancelled(a, TL_CANCEL_NOT_FOUND);
    } else if (res->status == 4 || tl_retry_allowed(res)) {
        tl_worker_lost(w, tl_method_info(res->method)->name, res->status, res->message);
        mark_unsent(a);
        a->hb_next_ns = tl_worker_now(w) + tl_worker_retry_ns(w, &a->hb_retry, res->status);
    } else {
        TL_LOG(TL_LOG_WARN, "activity.heartbeat_refused",
               TL_C("activity_id", a->pub.task->activity_id), TL_I("status", res->status),
               TL_S("error", res->message));
    }
    tl_rpc_result_free(res);
    tl_heartbeat_wanted(a);
    tl_act_release(a);
    tl_worker_tick(w);
}

static void send_heartbeat(struct tl_act *a)
{
    struct tl_worker *w = a->worker;
    struct tl_buf b;
    tl_buf_init(&b, REQUEST_BYTES_MAX);
    tl_pb_put_field(&b, 1, tl_pb_str(a->pub.task->task_token));
    pthread_mutex_lock(&a->mutex);
    tl_pb_put_field(&b, 2, tl_buf_str(&a->details));
    a->details_new = false;
    a->details_unsure = true;
    pthread_mutex_unlock(&a->mutex);
    tl_pb_put_field(&b, 3, tl_str(w->identity));
    tl_pb_put_field(&b, 4, tl_str(w->namespace_name));
    a->hb_in_flight = true;
    a->hb_next_ns = tl_worker_now(w) + interval_ns(a);
    a->hb_to = (struct tl_reply_to){&w->control, heartbeat_answered, NULL};
    atomic_fetch_add(&a->holds, 1);
    atomic_fetch_add(&w->calls, 1);
    tl_worker_call(w, TL_M_RecordActivityTaskHeartbeat, tl_buf_str(&b), HEARTBEAT_TIMEOUT_NS,
                   &a->hb_to);
    tl_buf_deinit(&b);
}

void tl_heartbeat_wanted(struct tl_act *a)
{
    struct tl_worker *w = a->worker;
    if (a->hb_in_flight) {
        return; /* its answer comes back here */
    }
    pthread_mutex_lock(&a->mutex);
    bool ended = a->ended; /* a->end is settled only then */
    bool send = a->details_new && (!ended || a->end == TL_ACT_ASYNC);
    a->hb_posted = send;
    pthread_mutex_unlock(&a->mutex);
    if (!send) {
        return;
    }
    int64_t wait = a->hb_next_ns - tl_worker_now(w);
    if (wait > 0 && !ended) {
        a->hb_timer.fire = throttle_over;
        tl_timer_set(&w->control, &a->hb_timer, wait);
    } else {
        send_heartbeat(a);
    }
}

void tl_heartbeat_ended(struct tl_act *a)
{
    tl_timer_clear(&a->worker->control, &a->hb_timer);
    if (a->end == TL_ACT_ASYNC) {
        tl_heartbeat_wanted(a); /* the last word before the task is left open */
    }
    tl_act_release(a); /* control's hold */
}
