/* Tasks: offering them to matching, starting activities when a poll takes them, taking a delivery back when
 * it could not be handed over. Thread: engine. */
#include "base/assert.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/deliver.h"
#include "server/deployments.h"
#include "server/history/activity.h"
#include "server/task_queues.h"
#include "server/version_sets.h"
#include "server/worker_commands.h"

/* --- offers --------------------------------------------------------------------------------------- */

/* Terms by a priority, which may be NULL; the fairness key is borrowed from it. */
static struct tl_match_terms terms_from(const TpCommon__Priority *p, int64_t since_ns)
{
    struct tl_match_terms terms = {.since_ns = since_ns};
    if (p) {
        terms.priority = p->priority_key;
        terms.fairness_key = p->fairness_key ? tl_str(p->fairness_key) : (struct tl_str){0};
        terms.weight = (double)p->fairness_weight;
    }
    return terms;
}

struct tl_match_terms tl_dispatch_run_terms(const struct tl_rs_info *info, int64_t since_ns,
                                            struct tl_arena *arena)
{
    TpCommon__Priority *p = NULL;
    if (info->priority.n &&
        tl_pb_decode(&tp_common__priority__descriptor, info->priority, arena, &p, NULL) != TL_OK) {
        p = NULL; /* a turn like that of others */
    }
    return terms_from(p, since_ns);
}

void tl_dispatch_offer(struct tl_server *s, const struct tl_match_key *key, struct tl_match_task *t,
                       const struct tl_match_terms *terms, struct tl_arena *arena)
{
    struct tl_match_poll *poll;
    if (s->putting_back) {
        t->place = s->putting_back->place;
        s->putting_back = NULL;
        poll = tl_match_put_back(&s->matcher, key, t, terms, tl_engine_now(s));
    } else {
        poll = tl_match_offer(&s->matcher, key, t, terms, tl_engine_now(s));
    }
    tl_task_queues_look(s);
    if (poll) {
        tl_poll_take(s, TL_CONTAINER(poll, struct tl_parked, poll), t, arena);
    }
}

/* Whether a run whose tasks the routing sends to `version` has to leave the worker that holds it, which is of
 * the version it ran on. */
static bool leaves_worker(struct tl_server *s, const struct tl_exec *e, struct tl_str queue,
                          struct tl_str version)
{
    struct tl_rs_versioning at;
    tl_rs_versioning(e->rs, &at);
    return tl_version_is_set(version)
               ? !at.set_build.n || tl_version_sets_newer(s, e->ns, queue, at.set_build).n
               : !tl_str_eq(version, at.ran_on) && (version.n || at.ran_on.n);
}

void tl_dispatch_workflow_task(struct tl_server *s, struct tl_exec *e, const struct tl_effect *fx,
                               struct tl_arena *arena)
{
    struct tl_workflow_task *w = &e->wft;
    tl_match_task_drop(&s->matcher, &w->task);
    struct tl_match_key key = {.namespace_number = e->ns->number,
                               .type = TL_QUEUE_WORKFLOW,
                               .sticky = fx->u.wft.sticky,
                               .name = fx->u.wft.task_queue};
    struct tl_rs_info info;
    tl_rs_info(e->rs, &info);
    struct tl_str version = tl_route_workflow(s, e, info.task_queue);
    if (fx->u.wft.sticky && (leaves_worker(s, e, info.task_queue, version) ||
                             !tl_match_attended(&s->matcher, &key, tl_engine_now(s)))) {
        struct tl_tx tx;
        struct tl_error err;
        tl_run_begin(s, e, &tx, arena);
        tl_rc rc = tl_tx_wft_unstick(&tx, fx->u.wft.scheduled_id, &err);
        if (rc == TL_OK) {
            rc = tl_run_end(s, e, &tx, &err);
        } else if (!tx.touched) {
            tl_tx_abort(&tx);
        }
        if (rc == TL_OK) {
            return; /* it was dispatched again, to the normal queue */
        }
    }
    if (!tl_str_eq(w->queue, fx->u.wft.task_queue)) {
        tl_mem_free((void *)(uintptr_t)w->queue.p);
        w->queue = tl_str_n(tl_mem_dup(fx->u.wft.task_queue), fx->u.wft.task_queue.n);
    }
    key.name = w->queue;
    key.version = fx->u.wft.sticky ? (struct tl_str){0} : version;
    w->scheduled_id = fx->u.wft.scheduled_id;
    w->attempt = fx->u.wft.attempt;
    w->sticky = fx->u.wft.sticky;
    struct tl_match_terms terms =
        tl_dispatch_run_terms(&info, info.wft_scheduled_ns - info.skipped_ns, arena);
    tl_dispatch_offer(s, &key, &w->task, &terms, arena);
}

static void offer_workflow_task(struct tl_server *s, struct tl_exec *e, struct tl_arena *arena)
{
    struct tl_effect fx = {.kind = TL_FX_DISPATCH_WFT};
    fx.u.wft.task_queue = e->wft.queue;
    fx.u.wft.sticky = e->wft.sticky;
    fx.u.wft.scheduled_id = e->wft.scheduled_id;
    fx.u.wft.attempt = e->wft.attempt;
    tl_dispatch_workflow_task(s, e, &fx, arena);
}

struct leaving {
    struct tl_server *s;
    struct tl_arena *arena;
};

static void offer_elsewhere(void *ud, struct tl_match_task *t)
{
    struct leaving *l = ud;
    if (t->kind == TL_OFFER_WORKFLOW) {
        offer_workflow_task(l->s, TL_CONTAINER(t, struct tl_exec, wft.task), l->arena);
    } else if (t->kind == TL_OFFER_QUERY) { /* its wait for this worker is over */
        struct tl_parked *p = TL_CONTAINER(t, struct tl_parked, task);
        tl_due_set(&l->s->waits, &p->due, tl_engine_mono(l->s));
    }
}

void tl_dispatch_leave(struct tl_server *s, const struct tl_match_key *sticky,
                       struct tl_arena *arena)
{
    struct leaving l = {s, arena};
    tl_match_abandon(&s->matcher, sticky, offer_elsewhere, &l);
}

/* --- activities -------------------------------------------------------------------------------------- */

void tl_activity_task_free(struct tl_server *s, struct tl_activity_task *t)
{
    tl_match_task_drop(&s->matcher, &t->task);
    tl_list_remove(&t->link);
    tl_mem_free(t);
}

static void offer_activity(struct tl_server *s, struct tl_activity_task *t, struct tl_arena *arena)
{
    struct tl_str queue = {t->queue, t->queue_n};
    struct tl_match_key key = {t->exec->ns->number, TL_QUEUE_ACTIVITY, false, queue,
                               tl_route_activity(s, t->exec, queue, t->with_run)};
    tl_dispatch_offer(s, &key, &t->task, &t->terms, arena);
}

static struct tl_activity_task *find_offered(const struct tl_exec *e, int64_t scheduled_id)
{
    TL_LIST_EACH (it, &e->activities) {
        struct tl_activity_task *t = TL_CONTAINER(it, struct tl_activity_task, link);
        if (t->scheduled_id == scheduled_id) {
            return t;
        }
    }
    return NULL;
}

/* Whether the activity waits for a transition. Those of a run that moves are offered when it ended. */
static bool held_back(const struct tl_exec *e)
{
    struct tl_rs_versioning v;
    tl_rs_versioning(e->rs, &v);
    return v.moving;
}

/* Whether its workflow task waits where the routing does not send it any more. */
static bool misplaced(struct tl_server *s, struct tl_exec *e)
{
    struct tl_rs_info info;
    if (!tl_match_task_queued(&e->wft.task)) {
        return false;
    }
    tl_rs_info(e->rs, &info);
    struct tl_str version = tl_route_workflow(s, e, info.task_queue);
    return e->wft.sticky ? leaves_worker(s, e, info.task_queue, version)
                         : !tl_str_eq(tl_match_queue_key(e->wft.task.queue).version, version);
}

static void dispatch_again(struct tl_server *s, struct tl_exec *e, bool workflow_task,
                           struct tl_arena *arena)
{
    size_t n = 0;
    TL_LIST_EACH (it, &e->activities) {
        n++;
    }
    int64_t *waiting = tl_mem_alloc((n + 1) * sizeof *waiting);
    n = 0;
    TL_LIST_EACH (it, &e->activities) {
        struct tl_activity_task *t = TL_CONTAINER(it, struct tl_activity_task, link);
        if (tl_match_task_queued(&t->task) &&
            !tl_str_eq(
                tl_match_queue_key(t->task.queue).version,
                tl_route_activity(s, e, (struct tl_str){t->queue, t->queue_n}, t->with_run))) {
            tl_match_task_drop(&s->matcher, &t->task);
            waiting[n++] = t->scheduled_id;
        }
    }
    if (workflow_task) {
        offer_workflow_task(s, e, arena);
    }
    /* An offer may begin or end a transition, and with it drop tasks: look each time. */
    for (size_t i = 0; i < n; i++) {
        struct tl_activity_task *t = find_offered(e, waiting[i]);
        if (t && !tl_match_task_queued(&t->task)) {
            offer_activity(s, t, arena);
        }
    }
    tl_mem_free(waiting);
}

void tl_dispatch_changed(struct tl_server *s, struct tl_exec *e, struct tl_arena *arena)
{
    dispatch_again(s, e, tl_match_task_queued(&e->wft.task), arena);
}

void tl_dispatch_routed(struct tl_server *s, struct tl_exec *e, struct tl_arena *arena)
{
    dispatch_again(s, e, misplaced(s, e), arena);
}

void tl_dispatch_activity(struct tl_server *s, struct tl_exec *e, const struct tl_effect *fx,
                          struct tl_arena *arena)
{
    struct tl_str queue = fx->u.activity.task_queue;
    /* After a transition it is offered again. */
    struct tl_activity_task *old = find_offered(e, fx->u.activity.scheduled_id);
    if (old) {
        tl_activity_task_free(s, old);
    }
    if (held_back(e)) {
        return;
    }
    struct tl_match_terms terms = terms_from(fx->u.activity.priority, fx->u.activity.since_ns);
    struct tl_activity_task *t = tl_mem_alloc(sizeof *t + queue.n + terms.fairness_key.n + 1);
    tl_match_task_init(&t->task, TL_OFFER_ACTIVITY);
    tl_list_init(&t->link);
    t->exec = e;
    t->scheduled_id = fx->u.activity.scheduled_id;
    t->attempt = fx->u.activity.attempt;
    t->stamp = fx->u.activity.stamp;
    t->with_run = fx->u.activity.with_run;
    t->queue_n = queue.n;
    memcpy(t->queue, queue.p, queue.n);
    t->terms = terms;
    if (terms.fairness_key.n) {
        t->terms.fairness_key.p =
            memcpy(t->queue + queue.n, terms.fairness_key.p, terms.fairness_key.n);
    }
    tl_list_push(&e->activities, &t->link);
    offer_activity(s, t, arena);
}

tl_rc tl_activity_token(const struct tl_exec *e, const struct tl_task_ref *ref,
                        struct tl_str activity_id, struct tl_arena *arena, struct tl_str *out,
                        struct tl_error *err)
{
    const struct tl_work_token token = {.namespace_number = e->ns->number,
                                        .run_number = e->number,
                                        .is_activity = true,
                                        .ref = *ref,
                                        .activity_id = activity_id};
    return tl_work_token_encode(&token, arena, out, err);
}

/* A worker of another version asks for an activity of a run that is not pinned: when the run itself
 * belongs on that version it moves first, and its activities wait. True when the poll gets nothing. */
static bool moves_first(struct tl_server *s, struct tl_exec *e, struct tl_str version,
                        struct tl_arena *arena)
{
    struct tl_rs_versioning v;
    struct tl_rs_info info;
    struct tl_error err;
    struct tl_tx tx;
    tl_rs_versioning(e->rs, &v);
    tl_rs_info(e->rs, &info);
    if (v.moving) {
        return true;
    }
    if (info.id.kind != TL_RUN_WORKFLOW || v.behavior == VERSIONING_BEHAVIOR_PINNED ||
        tl_str_eq(v.version, version) || tl_version_is_set(version)) {
        return false;
    }
    if (version.n && tl_str_eq(v.left_by, version)) {
        return false; /* it would come back here for ever */
    }
    if (!tl_str_eq(tl_route_workflow(s, e, info.task_queue), version)) {
        return false; /* an activity with a life of its own */
    }
    tl_run_begin(s, e, &tx, arena);
    tl_rc rc = tl_tx_move(&tx, version, &err);
    if (rc != TL_OK && !tx.touched) {
        tl_tx_abort(&tx);
        return false;
    }
    if (tl_run_end(s, e, &tx, &err) != TL_OK) {
        TL_LOG(TL_LOG_ERROR, "server.transition_failed", TL_C("cause", err.message),
               TL_I("run", e->number));
    }
    return true;
}

static void answer_activity(struct tl_server *s, struct tl_parked *p, struct tl_exec *e,
                            uint64_t seq, struct tl_activity_started *a, struct tl_str activity_id,
                            const struct tl_delivery *d, struct tl_arena *arena)
{
    struct tl_error err;
    struct tl_str token;
    tl_rc rc = tl_activity_token(e, &a->ref, activity_id, arena, &token, &err);
    if (rc == TL_OK) {
        a->response->task_token = tl_pb_bytes_view(token);
        rc = tl_reply_message(s, p->rpc, seq, a->response, d, &err);
    }
    if (rc != TL_OK) {
        tl_poll_refuse(s, p, &err);
        return;
    }
    tl_parked_free(s, p);
}

/* False when the task is stale. Frees the task. */
static bool start_activity(struct tl_server *s, struct tl_parked *p, struct tl_activity_task *t,
                           struct tl_arena *arena)
{
    struct tl_exec *e = t->exec;
    struct tl_poll_request r;
    struct tl_activity_started started = {0};
    struct tl_error err;
    struct tl_tx tx;
    uint64_t before = e->seq;
    struct tl_delivery d = {.run_number = e->number,
                            .is_activity = true,
                            .scheduled_id = t->scheduled_id,
                            .attempt = t->attempt,
                            .place = t->task.place};
    char request_id[37];
    tl_uuid4(s->world, request_id);
    tl_rc rc = tl_poll_decode(s, p, arena, &r, &err);
    uint64_t stamp = t->stamp;
    tl_activity_task_free(s, t);
    if (rc != TL_OK || moves_first(s, e, r.version, arena)) {
        return false;
    }
    tl_run_begin(s, e, &tx, arena);
    rc = tl_tx_activity_start(&tx, d.scheduled_id, d.attempt, stamp, r.identity, request_id,
                              r.control_queue, &started, &err);
    if (rc != TL_OK && !tx.touched) {
        tl_tx_abort(&tx);
        return false;
    }
    if (tl_run_end(s, e, &tx, &err) != TL_OK || rc != TL_OK) {
        return false;
    }
    d.ref = started.ref;
    started.response->poller_scaling_decision = tl_poll_advice(s, p, &r, arena);
    bool wait = started.durable_first && !TL_FAULT(deliver_activity_twice);
    answer_activity(s, p, e, wait ? e->seq : before, &started,
                    tl_str(started.response->activity_id), &d, arena);
    return true;
}

/* --- meeting ------------------------------------------------------------------------------------------- */

void tl_poll_take(struct tl_server *s, struct tl_parked *p, struct tl_match_task *t,
                  struct tl_arena *arena)
{
    bool taken = true;
    switch ((enum tl_offer_kind)t->kind) {
    case TL_OFFER_WORKFLOW:
        taken = tl_workflow_task_start(s, p, TL_CONTAINER(t, struct tl_exec, wft.task), arena);
        break;
    case TL_OFFER_ACTIVITY:
        taken = start_activity(s, p, TL_CONTAINER(t, struct tl_activity_task, task), arena);
        break;
    case TL_OFFER_QUERY:
        tl_query_deliver(s, TL_CONTAINER(t, struct tl_parked, task), p, arena);
        break;
    case TL_OFFER_COMMAND:
        tl_worker_command_start(s, p, TL_CONTAINER(t, struct tl_worker_command, task), arena);
        break;
    case TL_OFFER_NEXUS:
        taken = tl_nexus_start_task(s, p, TL_CONTAINER(t, struct tl_nexus_task, task), arena);
        break;
    }
    if (!taken) {
        tl_poll_enter(s, p, arena);
    }
}

void tl_delivery_undo(struct tl_server *s, const struct tl_delivery *d)
{
    struct tl_exec *e = tl_map_get_num(&s->runs, d->run_number);
    struct tl_tx tx;
    struct tl_error err;
    if (d->query_id) {
        tl_query_undo(s, d);
        return;
    }
    if (d->worker_command) {
        tl_worker_command_undo(s, d);
        return;
    }
    if (!e || e->closed) {
        return;
    }
    if (d->nexus_request) {
        tl_nexus_undo(s, e, d);
        return;
    }
    tl_arena_reset(&s->arena);
    tl_run_begin(s, e, &tx, &s->arena);
    tl_rc rc = d->is_activity ? tl_tx_activity_unstart(&tx, &d->ref, &err)
                              : tl_tx_wft_unstart(&tx, &d->ref, &err);
    s->putting_back = d;
    if (rc == TL_OK || tx.touched) {
        rc = tl_run_end(s, e, &tx, &err);
    } else {
        tl_tx_abort(&tx);
    }
    s->putting_back = NULL;
    if (rc != TL_OK) {
        TL_LOG(TL_LOG_WARN, "server.delivery_lost", TL_C("cause", err.message),
               TL_I("run", d->run_number));
    }
}

void tl_dispatch_drop(struct tl_server *s, struct tl_exec *e)
{
    tl_match_task_drop(&s->matcher, &e->wft.task);
    TL_LIST_EACH (it, &e->activities) {
        tl_activity_task_free(s, TL_CONTAINER(it, struct tl_activity_task, link));
    }
    TL_LIST_EACH (it, &e->nexus) {
        tl_nexus_task_free(s, TL_CONTAINER(it, struct tl_nexus_task, link));
    }
}
