/* Local activities: attempts, timeouts, retries. See local.h. */
#include "worker/local.h"

#include <math.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/mem.h"

#define TASK_BYTES_MAX ((size_t)1 << 30)
#define RETRY_INITIAL_NS TL_NS_PER_S
#define RETRY_COEFFICIENT 2.0
#define RETRY_MAX_FACTOR 100

enum try_state { TRY_QUEUED, TRY_RUNNING, TRY_UNWANTED };

/* One attempt. */
struct tl_local_try {
    struct tl_msg msg;   /* to the pool, then back to the actor */
    struct tl_list node; /* worker->local_waiting, under local_mutex */
    struct tl_worker *worker;
    struct tl_wf_actor *actor;
    struct tl_local_act *local; /* the actor's; NULL: nobody waits */
    atomic_int holds;           /* actor, thread */
    atomic_int state;
    atomic_llong started_ns; /* monotonic; 0: not yet */
    struct tl_act *act;      /* running; under running_mutex */
    unsigned reasons;        /* asked to stop; under running_mutex */
    struct tl_build *build;  /* a use: the run's */
    struct tl_slot *slot;    /* from the hand-over to the pool on */
    struct tl_buf body;      /* encoded task */
    struct tl_local_end_to to;
    enum tl_act_end end;
    struct tl_buf answer;
};

/* A local activity of a run, from the request to its end. */
struct tl_local_act {
    struct tl_list node; /* run->locals */
    struct tl_wf_run *run;
    struct tl_arena arena;
    TpWs__PollActivityTaskQueueResponse *task; /* in the arena */
    uint32_t seq, attempt;
    int64_t original_schedule_ns; /* on the wall clock */
    int64_t begun_ns;             /* monotonic, as the rest */
    int64_t scheduled_ns;         /* this attempt */
    int64_t started_ns;           /* the attempt that ended last */
    int64_t deadline_ns;          /* of all attempts; INT64_MAX: none */
    int64_t schedule_to_start_ns, start_to_close_ns, retry_threshold_ns;
    struct tl_timer timer;
    struct tl_local_try *current; /* NULL: in a pause, or ended */
    bool ended;                   /* `end` waits for a held task */
    struct tl_local_end end;
};

/* --- slots (any thread) ----------------------------------------------------------------------- */

void tl_locals_init(struct tl_worker *w)
{
    pthread_mutex_init(&w->local_mutex, NULL);
    tl_list_init(&w->local_waiting);
}

void tl_locals_deinit(struct tl_worker *w)
{
    TL_ASSERT(tl_list_empty(&w->local_waiting));
    pthread_mutex_destroy(&w->local_mutex);
}

static void try_release(struct tl_local_try *t)
{
    if (atomic_fetch_sub(&t->holds, 1) == 1) {
        tl_build_release(t->build);
        tl_buf_deinit(&t->body);
        tl_buf_deinit(&t->answer);
        tl_mem_free(t);
    }
}

/* To the pool with a slot. */
static void send_try(struct tl_local_try *t, struct tl_slot *slot)
{
    t->slot = slot;
    tl_pool_post(t->worker, TL_POOL_ACTIVITY, &t->msg);
}

void tl_locals_fill(struct tl_worker *w)
{
    struct tl_slot *slot;
    do {
        pthread_mutex_lock(&w->local_mutex);
        bool any = !tl_list_empty(&w->local_waiting);
        slot = any ? tl_slots_take(&w->local_slots, false) : NULL;
        struct tl_list *n = slot ? tl_list_pop(&w->local_waiting) : NULL;
        pthread_mutex_unlock(&w->local_mutex);
        if (slot) {
            send_try(TL_CONTAINER(n, struct tl_local_try, node), slot);
        }
    } while (slot);
}

bool tl_locals_waiting(struct tl_worker *w)
{
    pthread_mutex_lock(&w->local_mutex);
    bool any = !tl_list_empty(&w->local_waiting);
    pthread_mutex_unlock(&w->local_mutex);
    return any;
}

/* To the pool when there is a slot, else behind the others. */
static void submit(struct tl_local_try *t)
{
    struct tl_worker *w = t->worker;
    pthread_mutex_lock(&w->local_mutex);
    tl_list_push(&w->local_waiting, &t->node);
    pthread_mutex_unlock(&w->local_mutex);
    tl_locals_fill(w);
}

static void give_slot(struct tl_worker *w, struct tl_slot *slot)
{
    tl_slot_give(slot);
    tl_locals_fill(w);
    tl_worker_tick(w);
}

struct tl_build *tl_local_build(struct tl_msg *m)
{
    return TL_CONTAINER(m, struct tl_local_try, msg)->build;
}

static void run_ended(struct tl_local_end_to *to, enum tl_act_end end)
{
    struct tl_local_try *t = TL_CONTAINER(to, struct tl_local_try, to);
    struct tl_worker *w = t->worker;
    t->end = end;
    t->msg.kind = TL_WM_LOCAL_DONE;
    /* The actor's hold goes with the message; while the slot is used its inbox is open. */
    struct tl_slot *slot = t->slot; /* the attempt may be gone once it is sent */
    bool sent = tl_inbox_send_always(&t->actor->actor.inbox, &t->msg);
    TL_ASSERT(sent);
    give_slot(w, slot);
}

void tl_local_run(struct tl_worker *w, struct tl_msg *m, const struct tl_act_state *state)
{
    struct tl_local_try *t = TL_CONTAINER(m, struct tl_local_try, msg);
    int expected = TRY_QUEUED;
    struct tl_slot *slot = t->slot; /* the attempt may be gone when it has ended */
    if (atomic_compare_exchange_strong(&t->state, &expected, TRY_RUNNING)) {
        tl_slot_use(slot,
                    tl_wire_find(tl_wire_find(tl_buf_str(&t->body), TL_ACTIVITY_TYPE_FIELD), 1),
                    TL_STR_LIT(""));
        atomic_store(&t->started_ns, tl_worker_now(w));
        t->to = (struct tl_local_end_to){&t->act, &t->reasons, &t->answer, run_ended};
        tl_act_run_local(w, tl_buf_str(&t->body), &t->to, state);
    } else {
        try_release(t);
        give_slot(w, slot);
    }
}

/* --- attempts --------------------------------------------------------------------------------- */

static void stop_try(struct tl_local_try *t, unsigned reasons)
{
    struct tl_worker *w = t->worker;
    pthread_mutex_lock(&w->running_mutex);
    t->reasons |= reasons;
    if (t->act) {
        tl_act_cancelled(t->act, reasons);
    }
    pthread_mutex_unlock(&w->running_mutex);
}

/* Nobody waits for this attempt any more. */
static void forget_try(struct tl_local_act *la, unsigned reasons)
{
    struct tl_local_try *t = la->current;
    if (!t) {
        return;
    }
    la->current = NULL;
    t->local = NULL;
    pthread_mutex_lock(&t->worker->local_mutex);
    bool waiting = !tl_list_empty(&t->node);
    tl_list_remove(&t->node);
    pthread_mutex_unlock(&t->worker->local_mutex);
    int expected = TRY_QUEUED;
    if (!atomic_compare_exchange_strong(&t->state, &expected, TRY_UNWANTED)) {
        stop_try(t, reasons); /* it runs; its message comes to nothing */
        return;
    }
    if (waiting) {
        try_release(t); /* the thread's, which never saw it */
    }
    try_release(t);
}

static void arm(struct tl_local_act *la);

static bool begin_try(struct tl_local_act *la)
{
    struct tl_wf_actor *a = la->run->owner;
    struct tl_worker *w = a->actor.worker;
    struct tl_local_try *t = TL_NEW(struct tl_local_try);
    struct tl_error err = {0};
    int64_t wall_ns = tl_world_wall_ns(w->world);
    *t = (struct tl_local_try){.worker = w, .actor = a, .local = la};
    t->build = tl_build_retain(la->run->build);
    atomic_store(&t->holds, 2);
    tl_list_init(&t->node);
    t->msg.kind = TL_WM_LOCAL;
    tl_buf_init(&t->body, TASK_BYTES_MAX);
    tl_buf_init(&t->answer, TASK_BYTES_MAX);
    la->task->attempt = (int32_t)la->attempt;
    la->task->workflow_namespace = w->namespace_name;
    la->task->scheduled_time = tl_pb_timestamp(&la->arena, la->original_schedule_ns);
    la->task->current_attempt_scheduled_time = tl_pb_timestamp(&la->arena, wall_ns);
    la->task->started_time = la->task->current_attempt_scheduled_time;
    if (tl_pb_encode(la->task, &t->body, &err) != TL_OK) {
        TL_LOG(TL_LOG_ERROR, "local_activity.dropped", TL_C("error", err.message));
        try_release(t);
        try_release(t);
        return false;
    }
    la->current = t;
    la->scheduled_ns = tl_worker_now(w);
    arm(la);
    submit(t);
    return true;
}

/* --- ends ------------------------------------------------------------------------------------- */

static void free_local(struct tl_local_act *la)
{
    tl_timer_clear(&la->run->owner->actor, &la->timer);
    tl_list_remove(&la->node);
    tl_arena_deinit(&la->arena);
    tl_mem_free(la);
}

/* Tells the held task, into whose arena the end goes. False: the task is not held any more. */
static bool tell(struct tl_wf_task *t, struct tl_local_act *la)
{
    struct tl_local_end end = la->end;
    struct tl_arena *arena = &t->memory->arena;
    end.result = end.result ? tl_pb_clone(end.result, arena) : NULL;
    end.failure = end.failure ? tl_pb_clone(end.failure, arena) : NULL;
    bool lost = (la->end.result && !end.result) || (la->end.failure && !end.failure);
    free_local(la);
    if (lost) {
        TL_LOG(TL_LOG_ERROR, "local_activity.dropped", TL_S("run_id", t->run->run_id),
               TL_C("error", "its end does not fit the memory limit of a workflow task"));
        tl_wf_task_abandon(t);
        return false;
    }
    return tl_wf_task_local_ended(t, &end);
}

void tl_locals_flush(struct tl_wf_task *t)
{
    bool any = true;
    while (any && t->held) {
        struct tl_local_act *ended = NULL;
        TL_LIST_EACH (n, &t->run->locals) {
            struct tl_local_act *la = TL_CONTAINER(n, struct tl_local_act, node);
            ended = ended ? ended : (la->ended ? la : NULL);
        }
        any = ended && tell(t, ended);
    }
}

/* Its end goes behind those that wait to be told already. */
static void set_end(struct tl_local_act *la, enum tl_activity_status status,
                    const TpCommon__Payloads *result, const TpFailure__Failure *failure,
                    int64_t backoff_ns)
{
    struct tl_wf_run *r = la->run;
    la->ended = true;
    tl_timer_clear(&r->owner->actor, &la->timer);
    la->end = (struct tl_local_end){
        .seq = la->seq,
        .attempt = la->attempt,
        .status = status,
        .result = result,
        .failure = failure,
        .runtime_ns = tl_worker_now(r->owner->actor.worker) - la->begun_ns,
        .original_schedule_ns = la->original_schedule_ns,
        .backoff_ns = backoff_ns,
    };
    tl_list_remove(&la->node);
    tl_list_push(&r->locals, &la->node);
}

/* It has ended for good, or until the workflow's timer; bodies are in la->arena. la may be gone
 * afterwards. */
static void finish(struct tl_local_act *la, enum tl_activity_status status,
                   const TpCommon__Payloads *result, const TpFailure__Failure *failure,
                   int64_t backoff_ns)
{
    struct tl_wf_run *r = la->run;
    set_end(la, status, result, failure, backoff_ns);
    if (r->task && r->task->held) {
        tl_locals_flush(r->task);
    }
}

static bool is_listed(const TpCommon__RetryPolicy *p, const char *type)
{
    for (size_t i = 0; p && i < p->n_non_retryable_error_types; i++) {
        if (strcmp(p->non_retryable_error_types[i], type) == 0) {
            return true;
        }
    }
    return false;
}

/* The pause before the next attempt; -1: there is none. */
static int64_t next_pause_ns(const struct tl_local_act *la, const TpFailure__Failure *failure)
{
    const TpCommon__RetryPolicy *p = la->task->retry_policy;
    const TpFailure__ApplicationFailureInfo *app =
        (int)failure->failure_info_case ==
                TP_FAILURE__FAILURE__FAILURE_INFO_APPLICATION_FAILURE_INFO
            ? failure->application_failure_info
            : NULL;
    if ((p && p->maximum_attempts > 0 && la->attempt >= (uint32_t)p->maximum_attempts) ||
        (app && (app->non_retryable || is_listed(p, app->type)))) {
        return -1;
    }
    if (app && app->next_retry_delay) {
        return tl_pb_duration_ns_or(app->next_retry_delay, 0);
    }
    int64_t initial = p ? tl_pb_duration_ns_or(p->initial_interval, 0) : 0;
    initial = initial > 0 ? initial : RETRY_INITIAL_NS;
    int64_t most = p ? tl_pb_duration_ns_or(p->maximum_interval, 0) : 0;
    double limit = most > 0 ? (double)most : (double)initial * RETRY_MAX_FACTOR;
    double coefficient =
        p && p->backoff_coefficient >= 1 ? p->backoff_coefficient : RETRY_COEFFICIENT;
    double pause = (double)initial * pow(coefficient, (double)(la->attempt - 1));
    pause = pause < limit ? pause : limit; /* an overflow to infinity ends here */
    return pause < (double)(INT64_MAX / 4) ? (int64_t)pause : INT64_MAX / 4;
}

/* The attempt has failed in a way that may be tried again. */
static void retry_or_finish(struct tl_local_act *la, const TpFailure__Failure *failure)
{
    struct tl_wf_run *r = la->run;
    struct tl_worker *w = r->owner->actor.worker;
    int64_t pause = next_pause_ns(la, failure), now = tl_worker_now(w);
    if (pause < 0 || (la->deadline_ns != INT64_MAX && pause >= la->deadline_ns - now)) {
        finish(la, TL_ACTIVITY_FAILED, NULL, failure, 0);
    } else if (pause > la->retry_threshold_ns) {
        finish(la, TL_ACTIVITY_FAILED, NULL, failure, pause);
    } else {
        la->attempt++;
        tl_timer_set(&r->owner->actor, &la->timer, pause);
    }
}

static TpFailure__Failure *timeout_failure(struct tl_local_act *la, int type)
{
    TpFailure__Failure *f = TL_PB_NEW(&la->arena, TpFailure__Failure, tp_failure__failure);
    TpFailure__TimeoutFailureInfo *info =
        TL_PB_NEW(&la->arena, TpFailure__TimeoutFailureInfo, tp_failure__timeout_failure_info);
    TL_ASSERT(f && info); /* an arena of a gigabyte that holds one task */
    f->message = (char *)(uintptr_t) "Activity timed out";
    info->timeout_type = (TpEnums__TimeoutType)type;
    f->failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_TIMEOUT_FAILURE_INFO;
    f->timeout_failure_info = info;
    return f;
}

/* Which timeout is due (0: none), and when the next one is. A thread says when it starts, but wakes
 * nobody: what is not started yet is looked at again after start_to_close. */
static int timeout_due(const struct tl_local_act *la, int64_t now, int64_t *next)
{
    int64_t started = la->current ? atomic_load(&la->current->started_ns) : 0;
    *next = la->deadline_ns;
    if (la->deadline_ns <= now) {
        return TIMEOUT_TYPE_SCHEDULE_TO_CLOSE;
    }
    if (!started && la->schedule_to_start_ns > 0) {
        int64_t due = la->scheduled_ns + la->schedule_to_start_ns;
        if (due <= now) {
            return TIMEOUT_TYPE_SCHEDULE_TO_START;
        }
        *next = due < *next ? due : *next;
    }
    if (la->start_to_close_ns > 0) {
        int64_t due = (started ? started : now) + la->start_to_close_ns;
        if (due <= now) {
            return TIMEOUT_TYPE_START_TO_CLOSE;
        }
        *next = due < *next ? due : *next;
    }
    return 0;
}

static void arm(struct tl_local_act *la)
{
    struct tl_wf_actor *a = la->run->owner;
    int64_t now = tl_worker_now(a->actor.worker), next;
    (void)timeout_due(la, now, &next);
    if (next != INT64_MAX) {
        tl_timer_set(&a->actor, &la->timer, next > now ? next - now : 0);
    }
}

static void timer_fired(struct tl_timer *timer)
{
    struct tl_local_act *la = TL_CONTAINER(timer, struct tl_local_act, timer);
    if (!la->current) { /* the pause is over */
        if (!begin_try(la)) {
            finish(la, TL_ACTIVITY_FAILED, NULL,
                   tl_activity_failure(&la->arena, TL_STR_LIT("WorkerError"),
                                       TL_STR_LIT("the task cannot be encoded"), true),
                   0);
        }
        return;
    }
    int64_t next;
    int type = timeout_due(la, tl_worker_now(la->run->owner->actor.worker), &next);
    if (!type) {
        arm(la);
        return;
    }
    int64_t started = atomic_load(&la->current->started_ns);
    forget_try(la, TL_CANCEL_TIMED_OUT);
    TpFailure__Failure *failure = timeout_failure(la, type);
    tl_meter_local_ended(la->run->owner->actor.worker, la->task, started, TL_METER_LOCAL_FAILED,
                         failure);
    if (type == TIMEOUT_TYPE_START_TO_CLOSE) {
        retry_or_finish(la, failure);
    } else {
        finish(la, TL_ACTIVITY_FAILED, NULL, failure, 0);
    }
}

/* Decodes the attempt's answer and acts on it. */
static void attempt_ended(struct tl_local_act *la, enum tl_act_end how, struct tl_str answer)
{
    struct tl_error err = {0};
    TpCommon__Payloads *result = NULL;
    TpFailure__Failure *failure = NULL;
    bool completed = how == TL_ACT_COMPLETED;
    tl_rc rc =
        completed
            ? tl_pb_decode(&tp_common__payloads__descriptor, answer, &la->arena, &result, &err)
            : tl_pb_decode(&tp_failure__failure__descriptor, answer, &la->arena, &failure, &err);
    if (rc != TL_OK) {
        failure =
            tl_activity_failure(&la->arena, TL_STR_LIT("WorkerError"), tl_str(err.message), true);
        completed = false;
        how = TL_ACT_FAILED;
    }
    tl_timer_clear(&la->run->owner->actor, &la->timer);
    tl_meter_local_ended(la->run->owner->actor.worker, la->task, la->started_ns,
                         completed                ? TL_METER_LOCAL_SUCCEEDED
                         : how == TL_ACT_CANCELED ? TL_METER_LOCAL_CANCELED
                                                  : TL_METER_LOCAL_FAILED,
                         failure);
    if (completed) {
        finish(la, TL_ACTIVITY_COMPLETED, result && result->n_payloads ? result : NULL, NULL, 0);
    } else if (how == TL_ACT_CANCELED) {
        finish(la, TL_ACTIVITY_CANCELED, NULL, failure, 0);
    } else {
        retry_or_finish(la, failure);
    }
}

void tl_local_done(struct tl_msg *m)
{
    struct tl_local_try *t = TL_CONTAINER(m, struct tl_local_try, msg);
    struct tl_local_act *la = t->local;
    if (la) {
        la->current = NULL;
        la->started_ns = atomic_load(&t->started_ns);
        attempt_ended(la, t->end, tl_buf_str(&t->answer));
        try_release(t); /* the actor's own; below the one that came with the message */
    } else {
        try_release(t);
    }
    try_release(t);
}

/* --- requests --------------------------------------------------------------------------------- */

static struct tl_local_act *find(struct tl_wf_run *r, uint32_t seq)
{
    TL_LIST_EACH (n, &r->locals) {
        struct tl_local_act *la = TL_CONTAINER(n, struct tl_local_act, node);
        if (la->seq == seq) {
            return la;
        }
    }
    return NULL;
}

/* Cancelled between two attempts, it ends at once; running, it says how it ends. */
static void cancel(struct tl_wf_run *r, uint32_t seq)
{
    struct tl_local_act *la = find(r, seq);
    if (!la || la->ended) {
        return;
    }
    if (la->current && atomic_load(&la->current->started_ns)) {
        stop_try(la->current, TL_CANCEL_REQUESTED);
        return;
    }
    forget_try(la, TL_CANCEL_REQUESTED);
    tl_meter_local_ended(r->owner->actor.worker, la->task, 0, TL_METER_LOCAL_CANCELED, NULL);
    TpFailure__Failure *f = TL_PB_NEW(&la->arena, TpFailure__Failure, tp_failure__failure);
    TpFailure__CanceledFailureInfo *info =
        TL_PB_NEW(&la->arena, TpFailure__CanceledFailureInfo, tp_failure__canceled_failure_info);
    TL_ASSERT(f && info);
    f->message = (char *)(uintptr_t) "Activity cancelled";
    f->failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_CANCELED_FAILURE_INFO;
    f->canceled_failure_info = info;
    set_end(la, TL_ACTIVITY_CANCELED, NULL, f, 0); /* told when all requests are seen to */
}

static void start(struct tl_wf_run *r, const struct tl_local_request *q)
{
    struct tl_worker *w = r->owner->actor.worker;
    struct tl_error err = {0};
    struct tl_local_act *la = TL_NEW(struct tl_local_act);
    *la = (struct tl_local_act){
        .run = r,
        .seq = q->seq,
        .attempt = q->attempt,
        .original_schedule_ns =
            q->original_schedule_ns ? q->original_schedule_ns : tl_world_wall_ns(w->world),
        .begun_ns = tl_worker_now(w),
        .deadline_ns = INT64_MAX,
        .schedule_to_start_ns = q->schedule_to_start_ns,
        .retry_threshold_ns =
            q->retry_threshold_ns > 0 ? q->retry_threshold_ns : tl_wf_task_timeout_ns(r),
    };
    la->timer.fire = timer_fired;
    tl_list_push(&r->locals, &la->node);
    tl_arena_init(&la->arena, TASK_BYTES_MAX);
    if (tl_pb_decode(&tp_ws__poll_activity_task_queue_response__descriptor, q->task, &la->arena,
                     &la->task, &err) != TL_OK) {
        TL_LOG(TL_LOG_ERROR, "local_activity.dropped", TL_C("error", err.message));
        free_local(la);
        return;
    }
    la->start_to_close_ns = tl_pb_duration_ns_or(la->task->start_to_close_timeout, 0);
    int64_t total = tl_pb_duration_ns_or(la->task->schedule_to_close_timeout, 0);
    if (total > 0) { /* counts from the first scheduling, before the workflow's timer */
        int64_t past = tl_world_wall_ns(w->world) - la->original_schedule_ns;
        la->deadline_ns = la->begun_ns + total - (past > 0 ? past : 0);
    }
    if (!begin_try(la)) {
        free_local(la);
    }
}

void tl_locals_request(struct tl_wf_run *r, const struct tl_wft_result *result)
{
    for (size_t i = 0; i < result->local_request_count; i++) {
        const struct tl_local_request *q = &result->local_requests[i];
        if (q->cancel) {
            cancel(r, q->seq);
        } else {
            start(r, q);
        }
    }
}

void tl_locals_drop(struct tl_wf_run *r)
{
    while (!tl_list_empty(&r->locals)) {
        struct tl_local_act *la =
            TL_CONTAINER(tl_list_first(&r->locals), struct tl_local_act, node);
        forget_try(la, TL_CANCEL_NOT_FOUND);
        free_local(la);
    }
}
