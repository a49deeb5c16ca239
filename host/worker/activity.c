/* What an implementation sees: heartbeats, cancellation, the end. See activity.h. */
#include "worker/activity.h"

#include <stdio.h>
#include <time.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/list.h"
#include "proto/pb.h"
#include "worker/worker_int.h"

static struct tl_act *act_of(const struct tl_activity *a)
{
    return TL_CONTAINER((uintptr_t)a, struct tl_act, pub);
}

/* --- Heartbeats -------------------------------------------------------------------------------- */

/* Makes the details the newest ones; returns whether control must be told. Holds the mutex. */
static bool keep_details(struct tl_act *a, struct tl_buf *fresh)
{
    struct tl_buf old = a->details;
    a->details = *fresh;
    *fresh = old;
    a->details_new = true;
    if (a->hb_posted) {
        return false;
    }
    a->hb_posted = true;
    if (!a->hb_known) {
        a->hb_known = true;
        atomic_fetch_add(&a->holds, 1);
    }
    return true;
}

tl_rc tl_activity_heartbeat(struct tl_activity *activity, const TpCommon__Payloads *details,
                            struct tl_error *err)
{
    if (activity->ops) {
        return activity->ops->heartbeat(activity, details, err);
    }
    struct tl_act *a = act_of(activity);
    struct tl_worker *w = a->worker;
    if (activity->is_local) { /* nobody keeps them */
        return atomic_load(&a->reasons)
                   ? tl_error_set(err, TL_ECANCELLED, "the activity should stop")
                   : TL_OK;
    }
    struct tl_buf fresh;
    tl_rc rc = TL_OK;
    bool tell = false;
    tl_buf_init(&fresh, (size_t)tl_limit_blob_bytes);
    if (details) {
        rc = tl_pb_encode(details, &fresh, err);
    }
    if (rc == TL_OK) {
        pthread_mutex_lock(&a->mutex);
        tell = !a->ended && keep_details(a, &fresh);
        pthread_mutex_unlock(&a->mutex);
    }
    tl_buf_deinit(&fresh);
    if (tell && w->stepped) {
        tl_heartbeat_wanted(a);
    } else if (tell) {
        a->hb_msg.kind = TL_WM_HEARTBEAT;
        bool sent = tl_inbox_send_always(&w->control.inbox, &a->hb_msg);
        TL_ASSERT(sent); /* control outlives running activities */
    }
    if (rc == TL_OK && atomic_load(&a->reasons)) {
        rc = tl_error_set(err, TL_ECANCELLED, "the activity should stop");
    }
    return rc;
}

/* --- Cancellation ------------------------------------------------------------------------------ */

unsigned tl_activity_cancel_reasons(const struct tl_activity *activity)
{
    return activity->ops ? activity->ops->cancel_reasons(activity)
                         : atomic_load(&act_of(activity)->reasons);
}

static bool is_cancelled(const struct tl_act *a)
{
    return atomic_load(&a->reasons) != 0;
}

static bool is_shutting_down(const struct tl_act *a)
{
    return tl_worker_stopping(a->worker);
}

static void wait_for(struct tl_act *a, bool (*what)(const struct tl_act *a), int64_t deadline_ns)
{
    struct timespec ts = {deadline_ns / TL_NS_PER_S, deadline_ns % TL_NS_PER_S};
    int rc = 0;
    if (a->worker->stepped) {
        return;
    }
    pthread_mutex_lock(&a->mutex);
    while (!what(a) && rc == 0) {
        rc = deadline_ns == INT64_MAX ? pthread_cond_wait(&a->cond, &a->mutex)
                                      : pthread_cond_timedwait(&a->cond, &a->mutex, &ts);
    }
    pthread_mutex_unlock(&a->mutex);
}

unsigned tl_activity_wait_cancelled(struct tl_activity *activity, int64_t deadline_mono_ns)
{
    if (activity->ops) {
        activity->ops->wait(activity, false, deadline_mono_ns);
    } else {
        wait_for(act_of(activity), is_cancelled, deadline_mono_ns);
    }
    return tl_activity_cancel_reasons(activity);
}

bool tl_activity_worker_shutting_down(const struct tl_activity *activity)
{
    return activity->ops ? activity->ops->shutting_down(activity)
                         : is_shutting_down(act_of(activity));
}

bool tl_activity_wait_shutdown(struct tl_activity *activity, int64_t deadline_mono_ns)
{
    if (activity->ops) {
        activity->ops->wait(activity, true, deadline_mono_ns);
    } else {
        wait_for(act_of(activity), is_shutting_down, deadline_mono_ns);
    }
    return tl_activity_worker_shutting_down(activity);
}

const struct tl_client *tl_activity_client(const struct tl_activity *activity)
{
    return activity->ops ? activity->ops->client(activity) : act_of(activity)->worker->client;
}

/* Holds the mutex. */
static void tell_change(struct tl_act *a)
{
    pthread_cond_broadcast(&a->cond);
    if (a->on_change) {
        a->on_change(a->on_change_ud);
    }
}

void tl_act_shutdown_began(struct tl_act *a)
{
    pthread_mutex_lock(&a->mutex);
    tell_change(a);
    pthread_mutex_unlock(&a->mutex);
}

void tl_activity_on_change(struct tl_activity *activity, void (*fn)(void *ud), void *ud)
{
    struct tl_act *a = act_of(activity);
    pthread_mutex_lock(&a->mutex);
    a->on_change = fn;
    a->on_change_ud = ud;
    if (fn && (is_cancelled(a) || is_shutting_down(a))) {
        fn(ud);
    }
    pthread_mutex_unlock(&a->mutex);
}

void tl_activity_on_cancel(struct tl_activity *activity, void (*fn)(void *ud), void *ud)
{
    struct tl_act *a = act_of(activity);
    pthread_mutex_lock(&a->mutex);
    a->on_cancel = fn;
    a->on_cancel_ud = ud;
    if (fn && atomic_load(&a->reasons)) {
        fn(ud);
    }
    pthread_mutex_unlock(&a->mutex);
}

void tl_act_cancelled(struct tl_act *a, unsigned reasons)
{
    pthread_mutex_lock(&a->mutex);
    unsigned before = atomic_fetch_or(&a->reasons, reasons);
    if (!before && a->on_cancel) {
        a->on_cancel(a->on_cancel_ud);
    }
    tell_change(a);
    pthread_mutex_unlock(&a->mutex);
}

/* --- Ends -------------------------------------------------------------------------------------- */

static void end(struct tl_activity *activity, enum tl_act_end how, const void *body)
{
    TL_ASSERT(!tl_activity_ended(activity));
    if (activity->ops) {
        activity->ops->end(activity, how, body);
        return;
    }
    struct tl_act *a = act_of(activity);
    a->end = how;
    a->end_body = body;
}

void tl_activity_complete(struct tl_activity *a, const TpCommon__Payloads *result)
{
    end(a, TL_ACT_COMPLETED, result);
}

void tl_activity_fail(struct tl_activity *a, const TpFailure__Failure *failure)
{
    end(a, TL_ACT_FAILED, failure);
}

void tl_activity_end_canceled(struct tl_activity *a, const TpCommon__Payloads *details)
{
    end(a, TL_ACT_CANCELED, details);
}

void tl_activity_complete_async(struct tl_activity *a)
{
    end(a, TL_ACT_ASYNC, NULL);
}

bool tl_activity_ended(const struct tl_activity *a)
{
    return a->ops ? a->ops->ended(a) : act_of(a)->end != TL_ACT_OPEN;
}

TpFailure__Failure *tl_activity_failure(struct tl_arena *arena, struct tl_str type,
                                        struct tl_str message, bool non_retryable)
{
    TpFailure__Failure *f = TL_PB_NEW(arena, TpFailure__Failure, tp_failure__failure);
    TpFailure__ApplicationFailureInfo *info =
        TL_PB_NEW(arena, TpFailure__ApplicationFailureInfo, tp_failure__application_failure_info);
    if (!f || !info) {
        return NULL;
    }
    f->message = tl_pb_cstr(arena, message);
    f->source = tl_pb_cstr(arena, TL_STR_LIT("LuaSDK"));
    info->type = tl_pb_cstr(arena, type);
    info->non_retryable = non_retryable;
    f->failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_APPLICATION_FAILURE_INFO;
    f->application_failure_info = info;
    return f->message && f->source && info->type ? f : NULL;
}
