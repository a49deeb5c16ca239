/* One activity task from its bytes to its answer, on an activity thread. */
#include <stdio.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/near.h"
#include "proto/failure.h"
#include "proto/pb.h"
#include "tl_enums.h"
#include "worker/answer.h"
#include "worker/local.h"
#include "worker/build.h"
#include "worker/registry_int.h"
#include "worker/worker_int.h"

#define ACT_BYTES_MAX ((size_t)1 << 30)
#define NEAR_MAX 2       /* edits between a name and its near match */
#define NAMES_BYTES 4096 /* of a message that lists names */

/* --- Memory ------------------------------------------------------------------------------------ */

static struct tl_act *act_new(struct tl_worker *w)
{
    struct tl_act *a = TL_NEW(struct tl_act);
    pthread_condattr_t attr;
    a->worker = w;
    a->begun_ns = tl_worker_now(w);
    tl_arena_init(&a->arena, ACT_BYTES_MAX);
    atomic_store(&a->holds, 1);
    tl_list_init(&a->running);
    pthread_mutex_init(&a->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&a->cond, &attr);
    pthread_condattr_destroy(&attr);
    tl_buf_init(&a->details, (size_t)tl_limit_blob_bytes);
    a->pub.arena = &a->arena;
    a->pub.namespace_name = tl_str(w->namespace_name);
    a->pub.task_queue = tl_str(w->task_queue);
    return a;
}

void tl_act_release(struct tl_act *a)
{
    if (atomic_fetch_sub(&a->holds, 1) == 1) {
        tl_buf_deinit(&a->details);
        pthread_cond_destroy(&a->cond);
        pthread_mutex_destroy(&a->mutex);
        tl_arena_deinit(&a->arena);
        tl_mem_free(a);
    }
}

/* --- Answers ----------------------------------------------------------------------------------- */

static tl_rc encode_completed(struct tl_act *a, struct tl_error *err)
{
    TpWs__RespondActivityTaskCompletedRequest req =
        TP_WS__RESPOND_ACTIVITY_TASK_COMPLETED_REQUEST__INIT;
    req.task_token = a->pub.task->task_token;
    req.identity = a->worker->identity;
    req.namespace_ = a->worker->namespace_name;
    req.result = (TpCommon__Payloads *)(uintptr_t)a->end_body;
    tl_rc rc =
        tl_answer_encode(&a->answer, TL_M_RespondActivityTaskCompleted, &req, &a->arena, err);
    return rc == TL_OK ? tl_answer_check_size(a->worker, "the result", a->answer.bytes.n, err) : rc;
}

static tl_rc encode_failed(struct tl_act *a, const TpFailure__Failure *failure, int cause,
                           struct tl_error *err)
{
    TpWs__RespondActivityTaskFailedRequest req = TP_WS__RESPOND_ACTIVITY_TASK_FAILED_REQUEST__INIT;
    req.task_token = a->pub.task->task_token;
    req.identity = a->worker->identity;
    req.namespace_ = a->worker->namespace_name;
    req.failure = (TpFailure__Failure *)(uintptr_t)failure;
    req.cause = (TpEnums__ActivityTaskFailedCause)cause;
    pthread_mutex_lock(&a->mutex);
    /* The next attempt shall see them, whether the throttle still holds them back or this failure
     * overtakes the heartbeat on its way. */
    if (a->details_new || a->details_unsure) {
        TpCommon__Payloads *details = NULL;
        if (tl_pb_decode(&tp_common__payloads__descriptor, tl_buf_str(&a->details), &a->arena,
                         &details, NULL) == TL_OK) {
            req.last_heartbeat_details = details;
        }
    }
    pthread_mutex_unlock(&a->mutex);
    return tl_answer_encode(&a->answer, TL_M_RespondActivityTaskFailed, &req, &a->arena, err);
}

static tl_rc encode_canceled(struct tl_act *a, struct tl_error *err)
{
    /* Asked for by the workflow: Canceled. Else the task failed for another reason and may be tried
     * again, here after a pause or by another worker. */
    static const struct {
        unsigned reason;
        const char *type, *message;
    } rows[] = {
        {TL_CANCEL_WORKER_SHUTDOWN, "WorkerShutdown",
         "the worker shut down before the activity ended"},
        {TL_CANCEL_PAUSED, "ActivityPaused", "the activity was paused"},
        {TL_CANCEL_RESET, "ActivityReset", "the activity was reset"},
        {TL_CANCEL_TIMED_OUT, "ActivityTimedOut", "the activity timed out"},
    };
    unsigned reasons = atomic_load(&a->reasons);
    for (size_t i = 0; !(reasons & TL_CANCEL_REQUESTED) && i < sizeof rows / sizeof rows[0]; i++) {
        if (reasons & rows[i].reason) {
            return encode_failed(a,
                                 tl_activity_failure(&a->arena, tl_str(rows[i].type),
                                                     tl_str(rows[i].message), false),
                                 ACTIVITY_TASK_FAILED_CAUSE_UNSPECIFIED, err);
        }
    }
    if (!(reasons & TL_CANCEL_REQUESTED)) {
        TpFailure__Failure f = TP_FAILURE__FAILURE__INIT;
        TpFailure__CanceledFailureInfo info = TP_FAILURE__CANCELED_FAILURE_INFO__INIT;
        info.details = (TpCommon__Payloads *)(uintptr_t)a->end_body;
        f.message = (char *)(uintptr_t) "the activity cancelled itself";
        f.failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_CANCELED_FAILURE_INFO;
        f.canceled_failure_info = &info;
        return encode_failed(a, &f, ACTIVITY_TASK_FAILED_CAUSE_UNSPECIFIED, err);
    }
    TpWs__RespondActivityTaskCanceledRequest req =
        TP_WS__RESPOND_ACTIVITY_TASK_CANCELED_REQUEST__INIT;
    req.task_token = a->pub.task->task_token;
    req.identity = a->worker->identity;
    req.namespace_ = a->worker->namespace_name;
    req.details = (TpCommon__Payloads *)(uintptr_t)a->end_body;
    return tl_answer_encode(&a->answer, TL_M_RespondActivityTaskCanceled, &req, &a->arena, err);
}

static tl_rc encode_answer(struct tl_act *a, struct tl_error *err)
{
    switch (a->end) {
    case TL_ACT_COMPLETED:
        return encode_completed(a, err);
    case TL_ACT_FAILED:
        return encode_failed(a, a->end_body, ACTIVITY_TASK_FAILED_CAUSE_UNSPECIFIED, err);
    case TL_ACT_CANCELED:
        return encode_canceled(a, err);
    case TL_ACT_ASYNC:
    case TL_ACT_OPEN:
        break;
    }
    TL_UNREACHABLE();
}

/* On control: the answer does not fit into a request, its length and the limit are in `words`. A smaller one
 * in its place; false: there is none. */
static bool answer_smaller(struct tl_act *a, struct tl_str words)
{
    const TpFailure__Failure *was = a->end == TL_ACT_FAILED ? a->end_body : NULL;
    struct tl_error err = {0};
    if (a->answer.method == TL_M_RespondActivityTaskCanceled) {
        a->end_body = NULL; /* without its details */
        return encode_canceled(a, &err) == TL_OK;
    }
    bool final = !was || (was->failure_info_case ==
                              TP_FAILURE__FAILURE__FAILURE_INFO_APPLICATION_FAILURE_INFO &&
                          was->application_failure_info->non_retryable);
    const char *text = tl_arena_printf(
        &a->arena, "the %s does not fit into one request (%.*s): store the data elsewhere%s%.400s",
        was ? "failure" : "result", TL_STR_FMT(words),
        was ? "; it begins: " : " and return a reference", was ? was->message : "");
    TpFailure__Failure *f = tl_activity_failure(
        &a->arena, was ? TL_STR_LIT("FailureTooLarge") : TL_STR_LIT("ResultTooLarge"), tl_str(text),
        final);
    a->end = TL_ACT_FAILED;
    a->end_body = f;
    return f && encode_failed(a, f, ACTIVITY_TASK_FAILED_CAUSE_PAYLOADS_TOO_LARGE, &err) == TL_OK;
}

/* On control: the codecs cannot code the answer. A failure that says so in its place, without the heartbeat
 * details, which they might not code either; false: there is none. */
static bool answer_uncoded(struct tl_act *a, struct tl_str words)
{
    struct tl_error err = {0};
    const char *text = tl_arena_printf(&a->arena, "%.*s", TL_STR_FMT(words));
    TpFailure__Failure *f =
        text ? tl_activity_failure(&a->arena, TL_STR_LIT(TL_FAILURE_CODEC), tl_str(text), false)
             : NULL;
    pthread_mutex_lock(&a->mutex);
    a->details_new = a->details_unsure = false;
    pthread_mutex_unlock(&a->mutex);
    a->end = TL_ACT_FAILED;
    a->end_body = f;
    return f && encode_failed(a, f, ACTIVITY_TASK_FAILED_CAUSE_UNSPECIFIED, &err) == TL_OK;
}

static bool answer_replace(struct tl_answer *answer, struct tl_str words, bool too_large)
{
    struct tl_act *a = TL_CONTAINER(answer, struct tl_act, answer);
    return too_large ? answer_smaller(a, words) : answer_uncoded(a, words);
}

static void answer_refused(struct tl_answer *answer, const struct tl_rpc_result *res)
{
    const struct tl_act *a = TL_CONTAINER(answer, struct tl_act, answer);
    /* NOT_FOUND: it timed out, or its workflow has ended. */
    TL_LOG(res->status == STATUS_NOT_FOUND ? TL_LOG_DEBUG : TL_LOG_WARN, "activity.answer_refused",
           TL_C("activity_type", a->pub.task->activity_type->name),
           TL_C("activity_id", a->pub.task->activity_id), TL_I("status", res->status),
           TL_S("error", res->message));
}

static void answer_ended(struct tl_answer *answer)
{
    tl_act_release(TL_CONTAINER(answer, struct tl_act, answer));
}

static const struct tl_answer_kind answer_kind = {30 * TL_NS_PER_S, answer_replace, answer_refused,
                                                  answer_ended};

/* --- Running ----------------------------------------------------------------------------------- */

static void fail_with(struct tl_act *a, const char *type, const char *message)
{
    a->end = TL_ACT_FAILED;
    a->end_body = tl_activity_failure(&a->arena, tl_str(type), tl_str(message), false);
}

/* Names in order, and the nearest to the one that was asked for. */
static void list_names(struct tl_buf *b, struct tl_str wanted, const struct tl_str *names,
                       size_t count)
{
    struct tl_near near = {.wanted = wanted, .too_many = NEAR_MAX + 1, .fold_case = true};
    for (size_t i = 0; i < count; i++) {
        tl_near_look(&near, names[i]);
    }
    if (near.best.p) {
        tl_buf_printf(b, "did you mean '%.*s'? ", TL_STR_FMT(near.best));
    }
    for (size_t i = 0; i < count; i++) {
        if (b->n >= NAMES_BYTES) {
            tl_buf_printf(b, " and %zu more", count - i);
            return;
        }
        tl_buf_printf(b, "%s%.*s", i ? ", " : "registered: ", TL_STR_FMT(names[i]));
    }
}

static void not_registered(struct tl_act *a, const struct tl_registry *r)
{
    struct tl_buf b;
    struct tl_str wanted = tl_str(a->pub.task->activity_type->name);
    size_t count = r ? tl_registry_count(r) : 0;
    const struct tl_str *names = count ? tl_registry_names(r, &a->arena) : NULL;
    tl_meter_activity_unregistered(a);
    tl_buf_init(&b, 16384);
    tl_buf_printf(&b, "activity '%.*s' is not registered on this worker; ", TL_STR_FMT(wanted));
    if (count) {
        list_names(&b, wanted, names, names ? count : 0);
    } else {
        tl_buf_printf(&b, "it has no activities");
    }
    fail_with(a, "NotFoundError", b.p);
    tl_buf_deinit(&b);
}

static void invoke(struct tl_act *a, const struct tl_act_state *state)
{
    const struct tl_registry *r = state->build->registry;
    const struct tl_activity_impl *impl =
        r ? tl_registry_find(r, tl_str(a->pub.task->activity_type->name)) : NULL;
    if (!impl) {
        not_registered(a, r);
    } else if (state->error) {
        fail_with(a, "WorkerError", state->error);
    } else {
        a->build = state->build;
        impl->run(state->open ? state->state : NULL, impl->ud, &a->pub);
        if (!a->detached && a->end == TL_ACT_OPEN) {
            fail_with(a, "WorkerError", "the activity returned without an end");
        }
    }
}

static void set_running(struct tl_act *a, bool on)
{
    struct tl_worker *w = a->worker;
    pthread_mutex_lock(&w->running_mutex);
    if (on) {
        tl_list_push(&w->running, &a->running);
    } else {
        tl_list_remove(&a->running);
    }
    pthread_mutex_unlock(&w->running_mutex);
}

/* No heartbeat is accepted from here on; control hears of the end if it knows the activity. */
static void close_heartbeats(struct tl_act *a)
{
    pthread_mutex_lock(&a->mutex);
    a->ended = true;
    bool known = a->hb_known;
    pthread_mutex_unlock(&a->mutex);
    if (known && a->worker->stepped) {
        tl_heartbeat_ended(a);
    } else if (known) {
        a->end_msg.kind = TL_WM_ACT_ENDED;
        bool sent = tl_inbox_send_always(&a->worker->control.inbox, &a->end_msg);
        TL_ASSERT(sent);
    }
}

/* As the other SDKs do: who looks at the log of a worker sees what its activities failed with. */
static void log_failed(const struct tl_act *a)
{
    const TpWs__PollActivityTaskQueueResponse *t = a->pub.task;
    const TpFailure__Failure *f = a->end == TL_ACT_FAILED ? a->end_body : NULL;
    if (!f) {
        return;
    }
    const TpFailure__ApplicationFailureInfo *info =
        (int)f->failure_info_case == TP_FAILURE__FAILURE__FAILURE_INFO_APPLICATION_FAILURE_INFO
            ? f->application_failure_info
            : NULL;
    TL_LOG(tl_failure_is_benign(f) ? TL_LOG_DEBUG : TL_LOG_WARN,
           a->pub.is_local ? "local_activity.failed" : "activity.failed",
           TL_C("activity_type", t->activity_type->name), TL_C("activity_id", t->activity_id),
           TL_C("workflow_type", t->workflow_type ? t->workflow_type->name : ""),
           TL_C("workflow_id", t->workflow_execution ? t->workflow_execution->workflow_id : ""),
           TL_C("run_id", t->workflow_execution ? t->workflow_execution->run_id : ""),
           TL_I("attempt", t->attempt), TL_C("type", info ? info->type : ""),
           TL_C("error", f->message));
}

static void report(struct tl_act *a)
{
    struct tl_worker *w = a->worker;
    struct tl_error err = {0};
    tl_meter_activity_ended(a);
    if (a->end == TL_ACT_ASYNC ||
        (a->end == TL_ACT_CANCELED && atomic_load(&a->reasons) == TL_CANCEL_NOT_FOUND)) {
        tl_act_release(a);
        return;
    }
    tl_rc rc = encode_answer(a, &err);
    if (rc != TL_OK) {
        TpFailure__Failure *f = tl_activity_failure(
            &a->arena, rc == TL_ELIMIT ? TL_STR_LIT("ResultTooLarge") : TL_STR_LIT("WorkerError"),
            tl_str(err.message), rc == TL_ELIMIT);
        a->end = TL_ACT_FAILED;
        a->end_body = f;
        rc = encode_failed(a, f, ACTIVITY_TASK_FAILED_CAUSE_PAYLOADS_TOO_LARGE, &err);
    }
    if (rc != TL_OK) {
        TL_LOG(TL_LOG_ERROR, "activity.not_answered", TL_C("error", err.message),
               TL_C("activity_id", a->pub.task->activity_id));
        tl_act_release(a);
        return;
    }
    if (a->end == TL_ACT_COMPLETED) {
        TL_COUNT(w, activities_completed);
    } else {
        TL_COUNT(w, activities_failed);
    }
    log_failed(a);
    tl_answer_send(&a->answer, &answer_kind, w, INT64_MAX);
}

/* The task is over: its answer goes out, its slot is free. */
static void finish_remote(struct tl_act *a)
{
    set_running(a, false);
    atomic_fetch_add(&a->holds, 1); /* report may let go while we still close */
    close_heartbeats(a);
    report(a);
    tl_act_release(a);
}

static void slot_free(struct tl_worker *w, struct tl_slot *slot)
{
    tl_slot_give(slot);
    tl_pollers_fill_activity(w);
    tl_worker_tick(w);
}

void tl_activity_detach(struct tl_activity *activity)
{
    struct tl_act *a = TL_CONTAINER(activity, struct tl_act, pub);
    TL_ASSERT(!a->detached && a->build);
    a->detached = true;
    tl_build_retain(a->build);
    atomic_store(&a->parts, 2);
}

/* Whether this was the last of the two parts of a detached task. */
static bool part_done(struct tl_act *a)
{
    return atomic_fetch_sub(&a->parts, 1) == 1;
}

static void finish_local(struct tl_act *a);

static void finish_detached(struct tl_act *a)
{
    struct tl_worker *w = a->worker;
    struct tl_build *b = a->build;
    struct tl_slot *slot = a->slot;
    tl_worker_enter(w); /* with the slot given back, nothing else holds the worker */
    if (a->local_to) {
        finish_local(a);
    } else {
        finish_remote(a);
        slot_free(w, slot);
    }
    tl_build_release(b);
    tl_worker_exit(w);
}

void tl_activity_finish(struct tl_activity *activity)
{
    struct tl_act *a = TL_CONTAINER(activity, struct tl_act, pub);
    TL_ASSERT(a->detached);
    if (a->end == TL_ACT_OPEN) {
        fail_with(a, "WorkerError", "the activity returned without an end");
    }
    if (part_done(a)) {
        finish_detached(a);
    }
}

void tl_act_run(struct tl_worker *w, struct tl_str body, struct tl_slot *slot,
                const struct tl_act_state *state)
{
    struct tl_act *a = act_new(w);
    struct tl_error err = {0};
    TpWs__PollActivityTaskQueueResponse *task = NULL;
    tl_rc rc = tl_pb_decode(&tp_ws__poll_activity_task_queue_response__descriptor, body, &a->arena,
                            &task, &err);
    if (rc == TL_OK && !task->activity_type) {
        rc = tl_error_set(&err, TL_EDECODE, "an activity task without activity type");
    }
    if (rc != TL_OK) {
        TL_LOG(TL_LOG_ERROR, "activity.dropped", TL_C("error", err.message));
        tl_act_release(a);
        slot_free(w, slot);
        return;
    }
    a->pub.task = task;
    a->slot = slot;
    tl_meter_activity_started(a);
    set_running(a, true);
    invoke(a, state);
    if (!a->detached) {
        finish_remote(a);
        slot_free(w, slot);
    } else if (part_done(a)) {
        finish_detached(a);
    }
}

/* --- Local activities -------------------------------------------------------------------------- */

static void set_slot(struct tl_act *a, struct tl_act **slot, const unsigned *reasons)
{
    struct tl_worker *w = a->worker;
    pthread_mutex_lock(&w->running_mutex);
    *slot = reasons ? a : NULL;
    unsigned asked = reasons ? *reasons : 0;
    pthread_mutex_unlock(&w->running_mutex);
    if (asked) {
        tl_act_cancelled(a, asked);
    }
}

/* The end as its actor reads it: Payloads, or a Failure. */
static tl_rc encode_local(struct tl_act *a, struct tl_buf *answer, struct tl_error *err)
{
    static const TpCommon__Payloads nothing = TP_COMMON__PAYLOADS__INIT;
    if (a->end == TL_ACT_ASYNC) {
        fail_with(a, "AsyncNotSupported", "a local activity cannot be completed later");
        ((TpFailure__Failure *)(uintptr_t)a->end_body)->application_failure_info->non_retryable =
            true;
    }
    if (a->end == TL_ACT_CANCELED) {
        TpFailure__Failure *f = TL_PB_NEW(&a->arena, TpFailure__Failure, tp_failure__failure);
        TpFailure__CanceledFailureInfo *info =
            TL_PB_NEW(&a->arena, TpFailure__CanceledFailureInfo, tp_failure__canceled_failure_info);
        if (!f || !info) {
            return tl_error_set(err, TL_ELIMIT, "the arena is full");
        }
        info->details = (TpCommon__Payloads *)(uintptr_t)a->end_body;
        f->message = (char *)(uintptr_t) "Activity cancelled";
        f->failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_CANCELED_FAILURE_INFO;
        f->canceled_failure_info = info;
        a->end_body = f;
    }
    tl_rc rc = tl_pb_encode(a->end_body ? a->end_body : &nothing, answer, err);
    return rc == TL_OK ? tl_answer_check_size(a->worker, "the result", answer->n, err) : rc;
}

static void finish_local(struct tl_act *a)
{
    struct tl_worker *w = a->worker;
    struct tl_local_end_to *to = a->local_to;
    struct tl_error err = {0};
    set_slot(a, to->slot, NULL);
    set_running(a, false);
    tl_rc rc = encode_local(a, to->answer, &err);
    if (rc != TL_OK) {
        a->end = TL_ACT_FAILED;
        a->end_body =
            tl_activity_failure(&a->arena, TL_STR_LIT("ResultTooLarge"), tl_str(err.message), true);
        tl_buf_clear(to->answer);
        rc = tl_pb_encode(a->end_body, to->answer, &err);
        TL_ASSERT(rc == TL_OK);
    }
    log_failed(a);
    enum tl_act_end end = a->end;
    if (end == TL_ACT_COMPLETED) {
        TL_COUNT(w, activities_completed);
    } else {
        TL_COUNT(w, activities_failed);
    }
    tl_act_release(a);
    to->ended(to, end);
}

void tl_act_run_local(struct tl_worker *w, struct tl_str body, struct tl_local_end_to *to,
                      const struct tl_act_state *state)
{
    struct tl_act *a = act_new(w);
    struct tl_error err = {0};
    TpWs__PollActivityTaskQueueResponse *task = NULL;
    tl_rc rc = tl_pb_decode(&tp_ws__poll_activity_task_queue_response__descriptor, body, &a->arena,
                            &task, &err);
    TL_ASSERT(rc == TL_OK && task->activity_type); /* our own bytes */
    a->pub.task = task;
    a->pub.is_local = true;
    a->local_to = to;
    tl_meter_local_began(a);
    set_running(a, true);
    set_slot(a, to->slot, to->reasons);
    invoke(a, state);
    if (!a->detached) {
        finish_local(a);
    } else if (part_done(a)) {
        finish_detached(a);
    }
}

void tl_pool_shutdown_began(struct tl_worker *w)
{
    pthread_mutex_lock(&w->running_mutex);
    TL_LIST_EACH (n, &w->running) {
        tl_act_shutdown_began(TL_CONTAINER(n, struct tl_act, running));
    }
    pthread_mutex_unlock(&w->running_mutex);
    tl_ops_tell(w, 0);
}

void tl_pool_cancel_all(struct tl_worker *w, unsigned reasons)
{
    pthread_mutex_lock(&w->running_mutex);
    TL_LIST_EACH (n, &w->running) {
        tl_act_cancelled(TL_CONTAINER(n, struct tl_act, running), reasons);
    }
    pthread_mutex_unlock(&w->running_mutex);
    tl_ops_tell(w, reasons);
}
