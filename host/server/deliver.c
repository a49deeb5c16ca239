/* Tasks and polls: offering tasks to matching, starting them when a poll takes them, building the
 * answers of polls, taking a delivery back when it could not be handed over. Thread: engine. */
#include "base/assert.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/deliver.h"
#include "server/deployments.h"
#include "server/history/activity.h"
#include "server/page.h"
#include "server/task_queues.h"
#include "server/version_sets.h"

/* --- polls --------------------------------------------------------------------------------------- */

static tl_rc decode_poll(struct tl_server *s, const struct tl_parked *p, struct tl_arena *arena,
                         struct tl_poll_request *out, struct tl_error *err)
{
    const TpTq__TaskQueue *tq;
    *out = (struct tl_poll_request){.tasks_per_s = -1};
    const struct tl_method_info *m = tl_method_info(p->rpc->method);
    void *msg = NULL;
    tl_rc rc = tl_pb_decode(m->input, p->rpc->body, arena, &msg, err);
    if (rc != TL_OK) {
        return rc;
    }
    if (p->queue_type == TL_QUEUE_ACTIVITY) {
        const TpWs__PollActivityTaskQueueRequest *a = msg;
        tq = a->task_queue;
        out->identity = a->identity;
        out->instance_key = a->worker_instance_key;
        out->deployment_options = a->deployment_options;
        out->version_capabilities = a->worker_version_capabilities;
        if (a->task_queue_metadata && a->task_queue_metadata->max_tasks_per_second) {
            out->tasks_per_s = a->task_queue_metadata->max_tasks_per_second->value;
        }
    } else if (p->queue_type == TL_QUEUE_NEXUS) {
        const TpWs__PollNexusTaskQueueRequest *n = msg;
        tq = n->task_queue;
        out->identity = n->identity;
        out->instance_key = n->worker_instance_key;
        out->deployment_options = n->deployment_options;
    } else {
        const TpWs__PollWorkflowTaskQueueRequest *w = msg;
        tq = w->task_queue;
        out->identity = w->identity;
        out->instance_key = w->worker_instance_key;
        out->deployment_options = w->deployment_options;
        out->version_capabilities = w->worker_version_capabilities;
    }
    out->queue = tq ? tl_str(tq->name) : (struct tl_str){0};
    out->version = tl_version_of_worker(arena, out->deployment_options);
    out->normal_queue = tq ? tl_str(tq->normal_name) : out->queue;
    const TpCommon__WorkerVersionCapabilities *caps = out->version_capabilities;
    if (!out->version.n && caps && caps->use_versioning) {
        out->build = tl_version_of_build(arena, caps->build_id);
        out->version = tl_version_sets_route(s, p->ns, out->queue, out->build);
    }
    out->sticky =
        tq && (int)tq->kind == TASK_QUEUE_KIND_STICKY && p->queue_type == TL_QUEUE_WORKFLOW;
    return TL_OK;
}

tl_rc tl_poll_decode(struct tl_server *s, const struct tl_parked *p, struct tl_arena *arena,
                     struct tl_poll_request *out, struct tl_error *err)
{
    return decode_poll(s, p, arena, out, err);
}

static struct tl_match_key poll_key(const struct tl_parked *p, const struct tl_poll_request *r)
{
    struct tl_match_key key = {.namespace_number = p->ns->number,
                               .type = p->queue_type,
                               .sticky = r->sticky,
                               .name = r->queue};
    if (!r->sticky) { /* a sticky queue is one worker's own */
        key.version = r->version;
    }
    return key;
}

void tl_poll_answer_empty(struct tl_server *s, struct tl_parked *p)
{
    struct tl_rpc_request *rpc = p->rpc;
    tl_parked_free(s, p);
    tl_reply_at(s, rpc, 0, 0, (struct tl_str){0}, (struct tl_str){0}, (struct tl_str){0}, NULL);
}

static void refuse_poll(struct tl_server *s, struct tl_parked *p, const struct tl_error *err)
{
    tl_parked_refuse(s, p, tl_rc_grpc_status(err->code), err->message);
}

/* Under versioning by sets of builds only the newest build of a set gets tasks. */
static tl_rc check_build(struct tl_server *s, const struct tl_parked *p,
                         const struct tl_poll_request *r, struct tl_error *err)
{
    if (!r->version_capabilities || !r->version_capabilities->use_versioning ||
        (r->version.n && !r->build.n)) { /* of a deployment */
        return TL_OK;
    }
    if (!s->o.version_sets_workers) {
        return tl_error_set(err, TL_EPERMISSION,
                            "Worker versioning in workflow progress APIs is disabled on this "
                            "namespace.");
    }
    if (!r->build.n) {
        return tl_error_set(err, TL_EINVAL,
                            "WorkerVersionStamp must be present if UseVersioning is true.");
    }
    struct tl_str queue = r->sticky && r->normal_queue.n ? r->normal_queue : r->queue;
    struct tl_str newer = tl_version_sets_newer(s, p->ns, queue, r->build);
    return newer.n ? tl_error_set(err, TL_EPRECONDITION,
                                  "Task queue has a newer compatible build: \"%.*s\"",
                                  TL_STR_FMT(newer))
                   : TL_OK;
}

void tl_poll_enter(struct tl_server *s, struct tl_parked *p, struct tl_arena *arena)
{
    struct tl_poll_request r;
    struct tl_error err;
    if (decode_poll(s, p, arena, &r, &err) != TL_OK || check_build(s, p, &r, &err) != TL_OK) {
        refuse_poll(s, p, &err);
        return;
    }
    const TpDeployment__WorkerDeploymentOptions *o = r.deployment_options;
    int type = tl_task_queue_type(p->queue_type);
    if (o && (int)o->worker_versioning_mode == WORKER_VERSIONING_MODE_VERSIONED && !r.sticky &&
        tl_deployments_polled(s, p->ns, o, r.queue, type, r.identity, arena, &err) != TL_OK) {
        refuse_poll(s, p, &err);
        return;
    }
    struct tl_match_key key = poll_key(p, &r);
    s->last_poll_mono_ns = tl_engine_mono(s);
    if (s->matcher.polls_parked >= (size_t)s->o.long_polls_max) {
        tl_error_set(&err, TL_ELIMIT, "%zu polls are waiting, as many as this server keeps",
                     s->matcher.polls_parked);
        refuse_poll(s, p, &err);
        return;
    }
    if (p->queue_type == TL_QUEUE_ACTIVITY) {
        tl_task_queue_polled(s, p->ns, r.queue, type, r.tasks_per_s);
    }
    struct tl_match_task *t =
        tl_match_poll(&s->matcher, &key, &p->poll, tl_str(r.identity), tl_engine_now(s));
    tl_task_queues_look(s);
    if (t) {
        tl_poll_take(s, p, t, arena);
    } else if (!tl_heap_has(&p->due.node)) {
        tl_due_set(&s->waits, &p->due, tl_parked_deadline(s, p->rpc, s->o.poll_expiry_ns));
    }
}

TpTq__PollerScalingDecision *tl_poll_advice(struct tl_server *s, const struct tl_parked *p,
                                            const struct tl_poll_request *r, struct tl_arena *arena)
{
    struct tl_match_key key = poll_key(p, r);
    int delta = tl_match_advice(&s->matcher, &key, &p->poll, tl_engine_now(s));
    TpTq__PollerScalingDecision *d =
        delta ? TL_PB_NEW(arena, TpTq__PollerScalingDecision, tp_tq__poller_scaling_decision)
              : NULL;
    if (d) {
        d->poll_request_delta_suggestion = delta;
    }
    return d;
}

/* --- workflow tasks ------------------------------------------------------------------------------- */

tl_rc tl_workflow_task_history(struct tl_server *s, struct tl_exec *e, int64_t first, int64_t last,
                               struct tl_str extra, struct tl_arena *arena,
                               TpWs__PollWorkflowTaskQueueResponse *out, struct tl_error *err)
{
    struct tl_page page = {0};
    struct tl_buf bytes;
    TlV1__PageToken token = TL_V1__PAGE_TOKEN__INIT;
    tl_rc rc = tl_page_plan(e->rs, first, last, tl_limit_page_events, false, arena, &page, err);
    tl_buf_init(&bytes, (size_t)tl_limit_request_bytes);
    if (rc == TL_OK) {
        rc = tl_page_fill(&page, tl_store_point_reader(s->store), &bytes, err);
    }
    out->history = TL_PB_NEW(arena, TpHistory__History, tp_history__history);
    if (rc == TL_OK && page.next_event_id) {
        token.run_number = e->number;
        token.next_event_id = page.next_event_id;
        token.upto_event_id = last;
        token.extra_events = tl_pb_bytes_view(extra);
        struct tl_str t = {0};
        rc = tl_pb_encode_arena(&token, arena, &t, err);
        out->next_page_token = tl_pb_bytes_view(t);
    } else if (rc == TL_OK) {
        tl_buf_put_str(&bytes, extra);
    }
    if (rc == TL_OK) {
        rc = out->history ? tl_pb_raw_field(out->history, 1,
                                            tl_arena_str(arena, tl_buf_str(&bytes)), arena, err)
                          : tl_error_set(err, TL_ELIMIT, "a workflow task is too large");
    }
    tl_buf_deinit(&bytes);
    return rc;
}

static tl_rc put_queries(const struct tl_wft_started *w, struct tl_arena *arena,
                         TpWs__PollWorkflowTaskQueueResponse *out, struct tl_error *err)
{
    struct tl_pb_list list = {0};
    for (size_t i = 0; i < w->query_count; i++) {
        TpWs__PollWorkflowTaskQueueResponse__QueriesEntry *q =
            TL_PB_NEW(arena, TpWs__PollWorkflowTaskQueueResponse__QueriesEntry,
                      tp_ws__poll_workflow_task_queue_response__queries_entry);
        if (!q || !tl_pb_push(arena, &list, q)) {
            return tl_error_set(err, TL_ELIMIT, "a workflow task is too large");
        }
        q->key = tl_arena_printf(arena, "%llu", (unsigned long long)w->queries[i].id);
        tl_rc rc = tl_pb_decode(&tp_query__workflow_query__descriptor, w->queries[i].query, arena,
                                &q->value, err);
        if (rc != TL_OK) {
            return rc;
        }
    }
    out->n_queries = list.n;
    out->queries = list.items;
    return TL_OK;
}

/* An update's request travels as a protocol message, to be looked at after the events before the
 * task's start. */
static TpProtocol__Message *update_message(const struct tl_rs_update_request *u,
                                           int64_t started_event_id, struct tl_arena *arena)
{
    TpProtocol__Message *m = TL_PB_NEW(arena, TpProtocol__Message, tp_protocol__message);
    Google__Protobuf__Any *body = TL_PB_NEW(arena, Google__Protobuf__Any, google__protobuf__any);
    if (!m || !body) {
        return NULL;
    }
    m->id = tl_arena_printf(arena, "%.*s/request", TL_STR_FMT(u->id));
    m->protocol_instance_id = tl_pb_cstr(arena, u->id);
    m->sequencing_id_case = TP_PROTOCOL__MESSAGE__SEQUENCING_ID_EVENT_ID;
    m->event_id = started_event_id - 1;
    m->body = body;
    body->type_url = (char *)(uintptr_t) "type.googleapis.com/temporal.api.update.v1.Request";
    body->value = tl_pb_bytes_view(u->request);
    return m->id && m->protocol_instance_id ? m : NULL;
}

static tl_rc put_updates(const struct tl_wft_started *w, struct tl_arena *arena,
                         TpWs__PollWorkflowTaskQueueResponse *out, struct tl_error *err)
{
    struct tl_pb_list list = {0};
    for (size_t i = 0; i < w->update_count; i++) {
        TpProtocol__Message *m = update_message(&w->updates[i], w->ref.started_id, arena);
        if (!m || !tl_pb_push(arena, &list, m)) {
            return tl_error_set(err, TL_ELIMIT, "a workflow task is too large");
        }
    }
    out->n_messages = list.n;
    out->messages = list.items;
    return TL_OK;
}

void tl_workflow_task_head(struct tl_exec *e, struct tl_arena *arena,
                           TpWs__PollWorkflowTaskQueueResponse *out)
{
    struct tl_rs_info info;
    tl_rs_info(e->rs, &info);
    out->workflow_execution =
        TL_PB_NEW(arena, TpCommon__WorkflowExecution, tp_common__workflow_execution);
    out->workflow_type = TL_PB_NEW(arena, TpCommon__WorkflowType, tp_common__workflow_type);
    out->workflow_execution_task_queue = TL_PB_NEW(arena, TpTq__TaskQueue, tp_tq__task_queue);
    if (out->workflow_execution && out->workflow_type && out->workflow_execution_task_queue) {
        out->workflow_execution->workflow_id = tl_pb_cstr(arena, info.id.workflow_id);
        out->workflow_execution->run_id = tl_pb_cstr(arena, info.id.run_id);
        out->workflow_type->name = tl_pb_cstr(arena, info.workflow_type);
        out->workflow_execution_task_queue->name = tl_pb_cstr(arena, info.task_queue);
        out->workflow_execution_task_queue->kind = (TpEnums__TaskQueueKind)TASK_QUEUE_KIND_NORMAL;
    }
}

tl_rc tl_workflow_task_response(struct tl_server *s, struct tl_exec *e,
                                const struct tl_wft_started *w, struct tl_arena *arena,
                                TpWs__PollWorkflowTaskQueueResponse *out, struct tl_error *err)
{
    struct tl_work_token token = {
        .namespace_number = e->ns->number, .run_number = e->number, .ref = w->ref};
    struct tl_str bytes;
    tl_workflow_task_head(e, arena, out);
    tl_rc rc = tl_work_token_encode(&token, arena, &bytes, err);
    if (rc == TL_OK) {
        out->task_token = tl_pb_bytes_view(bytes);
        rc = tl_workflow_task_history(s, e, w->history_from, w->history_upto, w->extra_events,
                                      arena, out, err);
    }
    if (rc == TL_OK) {
        rc = put_queries(w, arena, out, err);
    }
    if (rc == TL_OK) {
        rc = put_updates(w, arena, out, err);
    }
    out->previous_started_event_id = w->previous_started_event_id;
    out->started_event_id = w->ref.started_id;
    out->attempt = w->attempt;
    out->scheduled_time = tl_pb_timestamp(arena, w->scheduled_ns);
    out->started_time = tl_pb_timestamp(arena, w->started_ns);
    return rc;
}

/* A worker of the Go SDK that is told of tasks in its sticky queue polls only that until an answer tells of
 * none. What polls on their way will take in a moment is no backlog: were it told, the last answer to
 * come could be one that does, and nobody would poll the normal queue for a minute. */
static int64_t backlog_hint(const struct tl_match_queue_info *info, int64_t now_ns)
{
    bool waits = info->oldest_ns > 0 && now_ns - info->oldest_ns >= TL_NS_PER_S;
    return waits ? (int64_t)info->backlog : 0;
}

/* False when the task is stale: the poll is to look for another. */
static bool start_workflow_task(struct tl_server *s, struct tl_parked *p, struct tl_exec *e,
                                struct tl_arena *arena)
{
    struct tl_poll_request r;
    struct tl_wft_started started = {0};
    struct tl_error err;
    struct tl_tx tx;
    if (decode_poll(s, p, arena, &r, &err) != TL_OK) {
        return false;
    }
    struct tl_wft_start start = {.task_queue = r.queue,
                                 .sticky = r.sticky,
                                 .identity = r.identity,
                                 .version_capabilities = r.version_capabilities,
                                 .version = r.build.n ? (struct tl_str){0} : r.version};
    struct tl_delivery d = {.run_number = e->number,
                            .scheduled_id = e->wft.scheduled_id,
                            .attempt = e->wft.attempt,
                            .place = e->wft.task.place};
    char request_id[37];
    tl_uuid4(s->world, request_id);
    start.request_id = request_id;
    tl_run_begin(s, e, &tx, arena);
    tl_rc rc = tl_tx_wft_start(&tx, e->wft.scheduled_id, e->wft.attempt, &start, &started, &err);
    if (rc != TL_OK && !tx.touched) {
        tl_tx_abort(&tx);
        return false;
    }
    if (tl_run_end(s, e, &tx, &err) != TL_OK || rc != TL_OK) {
        return false;
    }
    TpWs__PollWorkflowTaskQueueResponse resp = TP_WS__POLL_WORKFLOW_TASK_QUEUE_RESPONSE__INIT;
    rc = tl_workflow_task_response(s, e, &started, arena, &resp, &err);
    struct tl_rpc_request *rpc = p->rpc;
    d.ref = started.ref;
    if (rc == TL_OK) {
        struct tl_match_key key = poll_key(p, &r);
        struct tl_match_queue_info info;
        tl_match_queue_info(&s->matcher, &key, tl_engine_now(s), &info);
        resp.backlog_count_hint = backlog_hint(&info, tl_engine_now(s));
        resp.poller_scaling_decision = tl_poll_advice(s, p, &r, arena);
        rc = tl_reply_message(s, rpc, e->seq, &resp, &d, &err);
    }
    if (rc != TL_OK) {
        /* The task is started but cannot be shown; its timeout brings it back. */
        refuse_poll(s, p, &err);
        return true;
    }
    tl_parked_free(s, p);
    return true;
}

struct tl_match_terms tl_dispatch_terms(const TpCommon__Priority *p, int64_t since_ns)
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
    return tl_dispatch_terms(p, since_ns);
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
    struct tl_rs_versioning at;
    tl_rs_info(e->rs, &info);
    tl_rs_versioning(e->rs, &at);
    struct tl_str version = tl_route_workflow(s, e, info.task_queue);
    /* The worker that holds the run is of the version it ran on. */
    bool moves =
        tl_version_is_set(version)
            ? !at.set_build.n || tl_version_sets_newer(s, e->ns, info.task_queue, at.set_build).n
            : !tl_str_eq(version, at.ran_on) && (version.n || at.ran_on.n);
    if (fx->u.wft.sticky && (moves || !tl_match_attended(&s->matcher, &key, tl_engine_now(s)))) {
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

void tl_dispatch_again(struct tl_server *s, struct tl_exec *e, struct tl_arena *arena)
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
    if (tl_match_task_queued(&e->wft.task)) {
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
    struct tl_match_terms terms =
        tl_dispatch_terms(fx->u.activity.priority, fx->u.activity.since_ns);
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
    struct tl_work_token tt = {e->ns->number, e->number, true, a->ref, activity_id, 0};
    tl_rc rc = tl_work_token_encode(&tt, arena, &token, &err);
    if (rc == TL_OK) {
        a->response->task_token = tl_pb_bytes_view(token);
        rc = tl_reply_message(s, p->rpc, seq, a->response, d, &err);
    }
    if (rc != TL_OK) {
        refuse_poll(s, p, &err);
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
    tl_rc rc = decode_poll(s, p, arena, &r, &err);
    uint64_t stamp = t->stamp;
    tl_activity_task_free(s, t);
    if (rc != TL_OK || moves_first(s, e, r.version, arena)) {
        return false;
    }
    tl_run_begin(s, e, &tx, arena);
    rc = tl_tx_activity_start(&tx, d.scheduled_id, d.attempt, stamp, r.identity, request_id,
                              r.deployment_options, &started, &err);
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
        taken = start_workflow_task(s, p, TL_CONTAINER(t, struct tl_exec, wft.task), arena);
        break;
    case TL_OFFER_ACTIVITY:
        taken = start_activity(s, p, TL_CONTAINER(t, struct tl_activity_task, task), arena);
        break;
    case TL_OFFER_QUERY:
        tl_query_deliver(s, TL_CONTAINER(t, struct tl_parked, task), p, arena);
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
