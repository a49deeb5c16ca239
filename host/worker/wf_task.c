/* A workflow task from its bytes to its answer. See wf_int.h for the order of calls. */
#include <stdio.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/version.h"
#include "proto/failure.h"
#include "worker/local.h"

/* The type by which workflows say that they fail when they do not fit their history. */
#define NONDETERMINISM "NondeterminismError"

#define TASK_TIMEOUT_DEFAULT_NS (10 * TL_NS_PER_S)
/* A later attempt that waited for so long is one that the server has given up by now. */
#define QUARANTINE_WAIT_NS (10 * TL_NS_PER_S)

/* --- In ---------------------------------------------------------------------------------------- */

static struct tl_str run_id_of(const TpWs__PollWorkflowTaskQueueResponse *poll)
{
    return poll->workflow_execution ? tl_str(poll->workflow_execution->run_id) : (struct tl_str){0};
}

static struct tl_wf_task *decode(struct tl_wf_actor *a, struct tl_str body, struct tl_slot *slot,
                                 struct tl_build *from)
{
    struct tl_error err = {0};
    struct tl_wf_task *t = TL_NEW(struct tl_wf_task);
    t->owner = a;
    t->from = from;
    t->slot = slot;
    t->memory = tl_wf_arena_get(a);
    t->taken_ns = tl_worker_now(a->actor.worker);
    tl_list_init(&t->node);
    tl_rc rc = tl_pb_decode(&tp_ws__poll_workflow_task_queue_response__descriptor, body,
                            &t->memory->arena, &t->poll, &err);
    if (rc == TL_OK && (!run_id_of(t->poll).n || !t->poll->workflow_type)) {
        rc = tl_error_set(&err, TL_EDECODE, "a workflow task without run id or workflow type");
    }
    if (rc != TL_OK) {
        TL_LOG(TL_LOG_ERROR, "workflow_task.dropped", TL_C("error", err.message));
        tl_wf_task_free(t, false);
        return NULL;
    }
    tl_slot_use(slot, tl_str(t->poll->workflow_type->name), TL_STR_LIT(""));
    return t;
}

static struct tl_wf_run *find_or_make(struct tl_wf_actor *a, struct tl_str run_id)
{
    struct tl_wf_run *r = tl_map_get(&a->runs, run_id);
    if (!r) {
        r = TL_NEW(struct tl_wf_run);
        r->owner = a;
        r->run_id = tl_str_n(tl_mem_dup(run_id), run_id.n);
        tl_list_init(&r->idle);
        tl_list_init(&r->waiting);
        tl_list_init(&r->locals);
        tl_map_put(&a->runs, r->run_id, r);
    }
    return r;
}

static void place(struct tl_wf_task *t)
{
    t->run = find_or_make(t->owner, run_id_of(t->poll));
    if (t->run->task) {
        tl_list_push(&t->run->waiting, &t->node);
    } else {
        tl_wf_task_begin(t);
    }
}

void tl_wf_task_take(struct tl_wf_actor *a, struct tl_str body, struct tl_slot *slot,
                     struct tl_build *from)
{
    struct tl_wf_task *t = decode(a, body, slot, from);
    if (t) {
        tl_meter_task_taken(t);
        place(t);
    }
}

/* The same for a task that came inline with the answer to r's task; r has no task now. Owns r's
 * fate: next task, idle or gone. */
static void take_inline(struct tl_wf_run *r, struct tl_str body, struct tl_slot *slot,
                        struct tl_build *from)
{
    struct tl_wf_task *t = decode(r->owner, body, slot, from);
    if (t && tl_str_eq(run_id_of(t->poll), r->run_id)) {
        t->run = r;
        tl_wf_task_begin(t);
        return;
    }
    if (t) {
        place(t);
    }
    tl_wf_run_free_for_next(r);
}

/* Hands a task over to the quarantine; its run has no task now, and is free for the next. */
static void move(struct tl_wf_task *t)
{
    struct tl_wf_run *r = t->run;
    struct tl_worker *w = t->owner->actor.worker;
    struct tl_wf_actor *q = t->owner + w->wf_count;
    tl_wf_drop_state(r);
    if (atomic_fetch_add(&w->quarantined_tasks, 1) >= TL_QUARANTINE_TASKS_MAX) {
        atomic_fetch_sub(&w->quarantined_tasks, 1);
        tl_wf_task_free(t, false);
    } else {
        tl_timer_clear(&t->owner->actor, &t->timer);
        t->owner = q;
        t->run = NULL;
        t->msg.kind = TL_WM_MOVED;
        struct tl_slot *slot = t->slot;
        t->slot = NULL;
        bool sent = tl_inbox_send_always(&q->actor.inbox, &t->msg);
        TL_ASSERT(sent); /* the inbox closes when no task is in quarantine */
        tl_slot_give(slot);
        tl_pollers_fill_workflow(w);
    }
    tl_wf_run_free_for_next(r);
}

void tl_wf_task_moved(struct tl_wf_task *t)
{
    int64_t waited = tl_worker_now(t->owner->actor.worker) - t->taken_ns;
    if (t->poll->attempt > 1 && waited > QUARANTINE_WAIT_NS) {
        tl_wf_task_free(t, false);
    } else {
        place(t);
    }
}

void tl_wf_task_begin(struct tl_wf_task *t)
{
    struct tl_wf_run *r = t->run;
    struct tl_worker *w = t->owner->actor.worker;
    TL_ASSERT(!r->task);
    if (!t->owner->quarantine && tl_wf_in_quarantine(w, r->run_id)) {
        move(t);
        return;
    }
    r->task = t;
    tl_list_remove(&r->idle);
    if (t->from && r->build && r->build != t->from) { /* the server has moved the run */
        tl_wf_drop_state(r);
    }
    enum tl_run_fit fit = tl_run_check_fit(r->core, t->poll);
    if (fit == TL_FIT_READY && r->core) {
        TL_COUNT(w, cache_hits);
        tl_meter_cache(t, true);
    } else {
        TL_COUNT(w, cache_misses);
        tl_wf_drop_state(r);
    }
    if (fit == TL_FIT_FETCH) {
        tl_meter_cache(t, false);
        TL_COUNT(w, full_history_fetches);
        tl_wf_fetch(t, true);
    } else if (t->poll->next_page_token.len) {
        tl_wf_fetch(t, false);
    } else {
        tl_wf_task_handle(t);
    }
}

/* --- Work -------------------------------------------------------------------------------------- */

/* What a run may compute in one go: little where others wait behind it, else all of its budget. In
 * steps nobody waits. */
static int64_t turn_ms(const struct tl_wf_actor *a)
{
    const struct tl_worker *w = a->actor.worker;
    int64_t all = w->opt.workflow_cpu_limit_ms;
    return a->quarantine || w->stepped || all < TL_WF_TURN_MS ? all : TL_WF_TURN_MS;
}

/* Of the run's first event; 0: the history does not begin there. */
static int64_t start_time(const TpHistory__History *h)
{
    return h && h->n_events && h->events[0]->event_id == 1
               ? tl_pb_timestamp_ns_or(h->events[0]->event_time, 0)
               : 0;
}

static tl_rc open_run(struct tl_wf_task *t, struct tl_error *err)
{
    struct tl_wf_run *r = t->run;
    struct tl_worker *w = t->owner->actor.worker;
    TL_ASSERT(!r->build);
    r->build = t->from ? tl_build_retain(t->from)
                       : tl_build_of_history(w, r->run_id, t->poll->history, &r->stays);
    if (!r->build->lang) { /* no poll asked for it */
        return tl_error_set(err, TL_ENOTFOUND, "this build has no workflows");
    }
    struct tl_run_info info = {
        .namespace_name = tl_str(w->namespace_name),
        .task_queue = tl_str(w->task_queue),
        .workflow_id = tl_str(t->poll->workflow_execution->workflow_id),
        .run_id = r->run_id,
        .workflow_type = tl_str(t->poll->workflow_type->name),
        .failure_error_types = w->opt.workflow_failure_error_types,
        .deployment_name = tl_str(w->deployment_name),
        .build_id = tl_str(r->build->id),
        .memory_bytes_max = w->opt.max_workflow_memory,
        .cpu_ms_max = w->opt.debug_mode ? 0 : turn_ms(t->owner),
        .stepped = w->stepped,
        .metrics = w->meter.registry,
    };
    struct tl_run_lang lang = {0};
    tl_rc rc = r->build->lang->open(r->build->lang->ud, &info, &lang, err);
    if (rc != TL_OK) {
        return rc;
    }
    struct tl_run_config config = {
        .run_id = info.run_id,
        .workflow_id = info.workflow_id,
        .workflow_type = info.workflow_type,
        .sdk_name = TL_STR_LIT(TL_SDK_NAME),
        .sdk_version = TL_STR_LIT(TL_VERSION),
        .sdk_metadata = w->sdk_metadata,
    };
    r->core = tl_run_new(&config);
    r->lang = lang;
    r->started_wall_ns = start_time(t->poll->history);
    r->ended = false;
    return TL_OK;
}

static void log_failure(const struct tl_wf_task *t, const char *message)
{
    /* One line per broken script and run: the attempts that follow say nothing new. */
    TL_LOG(t->poll->attempt > 1 ? TL_LOG_DEBUG : TL_LOG_WARN, "workflow_task.failed",
           TL_C("workflow_type", t->poll->workflow_type->name),
           TL_C("workflow_id", t->poll->workflow_execution->workflow_id),
           TL_S("run_id", t->run->run_id), TL_I("attempt", t->poll->attempt),
           TL_C("error", message));
}

/* What the language or the engine could not do. */
static void handle_failed(struct tl_wf_task *t, tl_rc rc, const struct tl_wft_result *result,
                          const struct tl_error *err)
{
    struct tl_worker *w = t->owner->actor.worker;
    const char *message = err->message[0]   ? err->message
                          : result->failure ? result->failure->message
                                            : tl_rc_text(rc);
    t->evict = true;
    TL_COUNT(w, workflow_tasks_failed);
    tl_meter_task_failed(t, rc == TL_ENONDETERMINISM ? "NonDeterminismError" : "WorkflowError");
    log_failure(t, message);
    if (rc == TL_EDEADLOCK || rc == TL_EMEMORY) {
        TL_COUNT(w, killed_runs);
        tl_wf_quarantine(w, t->run->run_id);
    }
    const struct tl_run_lang *lang = &t->run->lang;
    if (rc == TL_ENONDETERMINISM && !t->poll->query && lang->fails_on &&
        lang->fails_on(lang->run, TL_STR_LIT(NONDETERMINISM))) {
        t->finishes = true;
        tl_wf_respond_failure(t, NONDETERMINISM, message);
    } else if (t->poll->query) {
        if (result->direct_query) {
            tl_wf_respond_query(t, result->direct_query);
        } else {
            tl_wf_respond_error(t, result->cause, "WorkflowTaskFailed", message);
        }
    } else if (t->poll->attempt > 1) {
        tl_wf_task_abandon(t);
    } else if (result->failed && result->failure) {
        tl_wf_respond_failed(t, result->cause, result->failure);
    } else {
        tl_wf_respond_error(t,
                            (TpEnums__WorkflowTaskFailedCause)
                                WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE,
                            tl_rc_name(rc), message);
    }
}

int64_t tl_wf_task_timeout_ns(const struct tl_wf_run *r)
{
    int64_t ns = r->core ? tl_run_task_timeout_ns(r->core) : 0;
    return ns > 0 ? ns : TASK_TIMEOUT_DEFAULT_NS;
}

static void heartbeat(struct tl_timer *timer);

/* The task waits for local activities; before it times out it is answered and goes on as another. */
static void hold(struct tl_wf_task *t)
{
    struct tl_wf_actor *a = t->owner;
    int64_t spent = tl_worker_now(a->actor.worker) - t->taken_ns;
    int64_t due = tl_wf_task_timeout_ns(t->run) / 10 * 8 - spent;
    if (!t->held) {
        t->timer.fire = heartbeat;
        tl_timer_set(&a->actor, &t->timer, due > 0 ? due : 0);
    }
    t->held = true;
}

/* What became of the task; true: it is held. */
static bool handled(struct tl_wf_task *t, tl_rc rc, const struct tl_wft_result *result,
                    const struct tl_error *err)
{
    struct tl_wf_run *r = t->run;
    struct tl_worker *w = t->owner->actor.worker;
    if (rc == TL_EDEADLOCK && turn_ms(t->owner) < w->opt.workflow_cpu_limit_ms &&
        tl_wf_quarantine(w, r->run_id)) {
        t->held = false;
        r->task = NULL;
        move(t);
        return false;
    }
    tl_wf_account(r);
    tl_locals_request(r, result);
    if (rc == TL_OK && result->held && t->owner->stop_locals) {
        tl_wf_task_abandon(t);
        return false;
    }
    if (rc == TL_OK && result->held) {
        hold(t);
        return true;
    }
    tl_timer_clear(&t->owner->actor, &t->timer);
    t->held = false;
    t->finishes = result->finished;
    /* A worker that stops does not go on with it: the next one runs what has not ended again. */
    t->evict =
        result->evict || result->finished || (result->force_new_task && tl_worker_stopping(w));
    if (rc != TL_OK || result->failed || (t->poll->query && !result->direct_query)) {
        handle_failed(t, rc, result, err);
    } else if (t->poll->query) {
        TL_COUNT(w, queries_answered);
        tl_wf_respond_query(t, result->direct_query);
    } else {
        tl_wf_respond_completed(t, result);
    }
    return false;
}

static void heartbeat(struct tl_timer *timer)
{
    struct tl_wf_task *t = TL_CONTAINER(timer, struct tl_wf_task, timer);
    struct tl_wft_result result = {0};
    struct tl_error err = {0};
    tl_rc rc = tl_run_heartbeat(t->run->core, &result, &err);
    handled(t, rc, &result, &err);
}

bool tl_wf_task_local_ended(struct tl_wf_task *t, const struct tl_local_end *end)
{
    struct tl_wft_result result = {0};
    struct tl_error err = {0};
    tl_rc rc = tl_run_local_ended(t->run->core, end, &result, &err);
    return handled(t, rc, &result, &err);
}

void tl_wf_task_handle(struct tl_wf_task *t)
{
    struct tl_wf_run *r = t->run;
    struct tl_wft_result result = {0};
    struct tl_wft wft = {.poll = t->poll};
    struct tl_error err = {0};
    const struct tl_lang *lang = &r->lang.lang;
    bool fresh = !r->core;
    tl_rc rc = fresh ? open_run(t, &err) : TL_OK;
    if (rc != TL_OK) {
        result.cause = (TpEnums__WorkflowTaskFailedCause)
            WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE;
        handle_failed(t, rc, &result, &err);
        return;
    }
    lang = fresh ? tl_meter_replay_begins(r, lang) : lang;
    rc = tl_run_handle_task(r->core, &wft, lang, &t->memory->arena, &result, &err);
    if (fresh) {
        tl_meter_replay_ended(r, t);
    }
    if (handled(t, rc, &result, &err)) {
        tl_locals_flush(t);
    }
}

/* --- Out --------------------------------------------------------------------------------------- */

/* The run's next concern once its task is gone. */
static void close_task(struct tl_wf_task *t)
{
    struct tl_wf_run *r = t->run;
    TL_ASSERT(r->task == t);
    r->ended = t->finishes;
    if (t->owner->quarantine && t->finishes) {
        tl_wf_leave_quarantine(t->owner->actor.worker, r->run_id);
    }
    r->task = NULL;
    if (t->evict) {
        tl_wf_drop_state(r); /* a held run has its task open, in the task's memory */
    }
    tl_wf_task_free(t, false);
    tl_wf_run_free_for_next(r);
}

void tl_wf_task_abandon(struct tl_wf_task *t)
{
    t->evict = true;
    t->held = false;
    close_task(t);
}

static void send_again(struct tl_timer *timer)
{
    tl_wf_task_send(TL_CONTAINER(timer, struct tl_wf_task, timer));
}

bool tl_wf_task_retry(struct tl_wf_task *t, const struct tl_rpc_result *res)
{
    struct tl_worker *w = t->owner->actor.worker;
    bool deadline = res->status == 4; /* nobody knows whether it arrived: the same bytes again */
    if (atomic_load(&w->giving_up) || (!deadline && !tl_retry_allowed(res))) {
        return false;
    }
    tl_worker_lost(w, tl_method_info(t->method)->name, res->status, res->message);
    t->timer.fire = send_again;
    tl_timer_set(&t->owner->actor, &t->timer, tl_worker_retry_ns(w, &t->retry, res->status));
    return true;
}

/* Activities that came with the answer use the slots reserved for them. */
static void take_eager(struct tl_wf_task *t, struct tl_str body)
{
    struct tl_worker *w = t->owner->actor.worker;
    struct tl_wire_field f;
    while (t->eager > 0 && tl_wire_next(&body, &f)) {
        if (f.number == 2 && f.type == 2) {
            struct tl_act_task *task = tl_mem_alloc(sizeof *task + f.bytes.n + 1);
            char *copy = (char *)(task + 1);
            memcpy(copy, f.bytes.p, f.bytes.n);
            task->body = tl_str_n(copy, f.bytes.n);
            task->msg.kind = TL_WM_ACTIVITY;
            task->build = t->from ? tl_build_retain(t->from) : NULL;
            task->slot = t->eager_slots[--t->eager];
            TL_COUNT(w, activities_eager);
            tl_pool_post(w, TL_POOL_ACTIVITY, &task->msg);
        }
    }
}

/* The server took the completion: it may carry the next task and activities. */
static void accepted(struct tl_wf_task *t, struct tl_rpc_result *res)
{
    struct tl_wf_run *r = t->run;
    struct tl_str inline_task = {0};
    tl_worker_found(t->owner->actor.worker);
    tl_meter_task_answered(t);
    if (t->method == TL_M_RespondWorkflowTaskCompleted) {
        struct tl_str rest = res->body;
        struct tl_wire_field f;
        TL_COUNT(t->owner->actor.worker, workflow_tasks_completed);
        r->stays = !t->finishes;
        take_eager(t, res->body);
        while (tl_wire_next(&rest, &f)) {
            if (f.number == 1 && f.type == 2 && tl_wire_find(f.bytes, 1).n) {
                inline_task = f.bytes;
            } else if (f.number == 3 && f.value) {
                tl_run_rewind(r->core, (int64_t)f.value); /* the server forgot this task */
                t->evict |= tl_run_broken(r->core);
            }
        }
    }
    if (!inline_task.n) {
        close_task(t);
        return;
    }
    bool evict = t->evict;
    struct tl_build *from = t->from;
    struct tl_slot *slot = t->slot;
    t->from = NULL; /* the next task is for the same version */
    r->task = NULL;
    tl_wf_task_free(t, true);
    if (evict) {
        tl_wf_drop_state(r);
    }
    take_inline(r, inline_task, slot, from);
}

/* A completion that no retry will mend. INVALID_ARGUMENT: the server has failed the task itself
 * (an unhandled event or a refused command) and schedules another: replay it. NOT_FOUND: the task
 * timed out or the run is gone. */
static void refused(struct tl_wf_task *t, const struct tl_rpc_result *res)
{
    bool too_large = !t->shortened && tl_rpc_result_is_too_large(res);
    char places[400];
    tl_wf_refused_places(t, res->message, places, sizeof places);
    bool stale = res->status == STATUS_NOT_FOUND ||
                 (res->status == 3 && t->method == TL_M_RespondWorkflowTaskCompleted &&
                  memmem(res->message.p, res->message.n, "UnhandledCommand", 16) != NULL);
    TL_LOG(stale ? TL_LOG_DEBUG : TL_LOG_WARN, "workflow_task.refused",
           TL_C("method", tl_method_info(t->method)->name),
           TL_C("workflow_id", t->poll->workflow_execution->workflow_id),
           TL_S("run_id", t->run->run_id), TL_I("status", res->status), TL_S("error", res->message),
           (struct tl_log_field){places[0] ? TL_F_STR : TL_F_END, "script", tl_str(places), 0});
    t->evict = t->evict || t->method != TL_M_RespondQueryTaskCompleted;
    if (res->final && !t->shortened && (t->poll->query || t->poll->attempt <= 1)) {
        char text[600];
        snprintf(text, sizeof text, "%.*s", TL_STR_FMT(res->message));
        t->shortened = true;
        tl_wf_respond_error(t,
                            (TpEnums__WorkflowTaskFailedCause)
                                WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE,
                            TL_FAILURE_CODEC, text);
        return;
    }
    if (too_large) {
        char text[600];
        const char *what = t->method == TL_M_RespondQueryTaskCompleted ? "query's answer"
                           : t->method == TL_M_RespondWorkflowTaskFailed
                               ? "workflow task's failure"
                               : "workflow task's commands";
        snprintf(text, sizeof text, "the %s do%s not fit into one request (%.*s)", what,
                 t->method == TL_M_RespondWorkflowTaskCompleted ? "" : "es",
                 TL_STR_FMT(res->message));
        t->shortened = true;
        tl_meter_task_failed(t, "GrpcMessageTooLarge");
        tl_wf_respond_error(
            t, (TpEnums__WorkflowTaskFailedCause)WORKFLOW_TASK_FAILED_CAUSE_GRPC_MESSAGE_TOO_LARGE,
            "GrpcMessageTooLarge", text);
        return;
    }
    close_task(t);
}

static void task_answered(struct tl_reply_to *to, struct tl_rpc_result *res)
{
    struct tl_wf_task *t = TL_CONTAINER(to, struct tl_wf_task, to);
    if (res->status == 0) {
        accepted(t, res);
    } else if (tl_rpc_result_is_too_large(res) || !tl_wf_task_retry(t, res)) {
        refused(t, res);
    }
    tl_rpc_result_free(res);
}

void tl_wf_task_send(struct tl_wf_task *t)
{
    if (!t->fetching) {
        t->to.on_result = task_answered;
    }
    t->to.actor = &t->owner->actor;
    tl_worker_call(t->to.actor->worker, t->method, t->request, 30 * TL_NS_PER_S, &t->to);
}
