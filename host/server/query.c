/* Queries. A query is a parked request with a number; it goes straight to a worker through matching,
 * or rides on the run's workflow task. Thread: engine. */
#include "base/log.h"
#include "server/deliver.h"
#include "server/deployments.h"

/* A worker that was asked on its sticky queue and is silent for so long is taken for dead. */
#define STICKY_WAIT_NS (10 * TL_NS_PER_S)
/* Without a poll for so long the queue counts as abandoned in the answer. */
#define POLLER_ABSENT_NS (20 * TL_NS_PER_S)

static void refuse(struct tl_server *s, struct tl_parked *p, uint64_t seq,
                   const struct tl_error *err, enum tl_error_kind kind, struct tl_arena *arena)
{
    struct tl_call c = {.s = s, .rpc = p->rpc, .arena = arena, .ns = p->ns};
    struct tl_exec at = {.seq = seq};
    tl_parked_free(s, p);
    tl_call_tx_error(&c, &at, kind, 0, err);
}

static void send_direct(struct tl_server *s, struct tl_parked *p, struct tl_exec *e, bool may_stick,
                        struct tl_arena *arena)
{
    struct tl_rs_info info;
    tl_rs_info(e->rs, &info);
    struct tl_match_key key = {.namespace_number = e->ns->number,
                               .type = TL_QUEUE_WORKFLOW,
                               .sticky = true,
                               .name = info.sticky_queue};
    int64_t now = tl_engine_now(s);
    p->query_sticky = may_stick && info.sticky_queue.n && tl_match_attended(&s->matcher, &key, now);
    if (!p->query_sticky) {
        key.sticky = false;
        key.name = info.task_queue;
        key.version = tl_route_workflow(s, e, info.task_queue);
    }
    int64_t until = p->until_ns, sticky_until = tl_engine_mono(s) + STICKY_WAIT_NS;
    tl_due_set(&s->waits, &p->due, p->query_sticky && sticky_until < until ? sticky_until : until);
    struct tl_match_terms terms = tl_dispatch_run_terms(&info, 0, arena);
    struct tl_match_poll *poll = tl_match_offer(&s->matcher, &key, &p->task, &terms, now);
    if (poll) {
        tl_poll_take(s, TL_CONTAINER(poll, struct tl_parked, poll), &p->task, arena);
    }
}

static void buffer(struct tl_server *s, struct tl_parked *p, struct tl_exec *e,
                   struct tl_arena *arena)
{
    const TpWs__QueryWorkflowRequest *req = NULL;
    struct tl_str query = {0};
    struct tl_error err;
    struct tl_tx tx;
    tl_rc rc =
        tl_pb_decode(&tp_ws__query_workflow_request__descriptor, p->rpc->body, arena, &req, &err);
    if (rc == TL_OK) {
        rc = tl_pb_encode_arena(req->query, arena, &query, &err);
    }
    if (rc == TL_OK) {
        tl_run_begin(s, e, &tx, arena);
        rc = tl_tx_query_buffer(&tx, p->query_id, query, &err);
        if (rc == TL_OK) {
            p->query_buffered = true;
            tl_list_push(&e->waiters, &p->link);
            tl_due_set(&s->waits, &p->due, p->until_ns);
        }
        if (rc == TL_OK || tx.touched) {
            tl_rc end = tl_run_end(s, e, &tx, &err);
            rc = rc == TL_OK ? end : rc;
        } else {
            tl_tx_abort(&tx);
        }
    }
    if (rc != TL_OK) {
        refuse(s, p, e->seq, &err, TL_ERR_PLAIN, arena);
    }
}

static void time_out(struct tl_server *s, struct tl_parked *p, struct tl_exec *e,
                     struct tl_arena *arena)
{
    struct tl_error err;
    struct tl_rs_info info;
    struct tl_match_queue_info queue;
    tl_rs_info(e->rs, &info);
    struct tl_match_key key = {.namespace_number = e->ns->number,
                               .type = TL_QUEUE_WORKFLOW,
                               .name = info.task_queue,
                               .version = tl_route_workflow(s, e, info.task_queue)};
    tl_match_queue_info(&s->matcher, &key, tl_engine_now(s), &queue);
    if (!queue.polls && tl_engine_now(s) - queue.last_poll_ns > POLLER_ABSENT_NS) {
        tl_error_set(&err, TL_EPRECONDITION,
                     "no poller seen for task queue recently, worker may be down");
    } else {
        tl_error_set(&err, TL_EDEADLINE, "the query was not answered in time");
    }
    refuse(s, p, e->seq, &err, TL_ERR_PLAIN, arena);
}

/* A paused run answers no query. True when it was told so. */
static bool rejected_paused(struct tl_server *s, struct tl_parked *p, struct tl_exec *e,
                            struct tl_arena *arena)
{
    TpWs__QueryWorkflowResponse r = TP_WS__QUERY_WORKFLOW_RESPONSE__INIT;
    TpQuery__QueryRejected q = TP_QUERY__QUERY_REJECTED__INIT;
    struct tl_call c = {.s = s, .rpc = p->rpc, .arena = arena, .ns = p->ns};
    struct tl_rs_info info;
    tl_rs_info(e->rs, &info);
    if (info.status != WORKFLOW_EXECUTION_STATUS_PAUSED) {
        return false;
    }
    tl_parked_free(s, p);
    q.status = (TpEnums__WorkflowExecutionStatus)info.status;
    r.query_rejected = &q;
    tl_call_reply(&c, e->seq, &r);
    return true;
}

void tl_query_proceed(struct tl_server *s, struct tl_parked *p, struct tl_exec *e,
                      struct tl_arena *arena)
{
    struct tl_error err = {0};
    enum tl_error_kind kind = TL_ERR_PLAIN;
    if (p->expired && tl_engine_mono(s) >= p->until_ns) {
        time_out(s, p, e, arena);
        return;
    }
    if (rejected_paused(s, p, e, arena)) {
        return;
    }
    bool may_stick = !(p->expired && p->query_sticky);
    p->expired = false;
    tl_rc rc = TL_OK;
    int64_t until_wall = tl_engine_now(s) + (p->until_ns - tl_engine_mono(s));
    switch (
        tl_rs_query_route(e->rs, until_wall, (size_t)s->o.buffered_queries_max, &rc, &kind, &err)) {
    case TL_QUERY_DIRECT:
        send_direct(s, p, e, may_stick, arena);
        return;
    case TL_QUERY_BUFFER:
        buffer(s, p, e, arena);
        return;
    case TL_QUERY_REFUSE:
        err.code = rc;
        refuse(s, p, e->seq, &err, kind, arena);
        return;
    }
}

void tl_query_reply(struct tl_server *s, struct tl_parked *p, uint64_t seq, int result_type,
                    const TpCommon__Payloads *result, const char *error_message,
                    const TpFailure__Failure *failure, struct tl_arena *arena)
{
    struct tl_call c = {.s = s, .rpc = p->rpc, .arena = arena, .ns = p->ns};
    tl_parked_free(s, p);
    if (result_type == QUERY_RESULT_TYPE_ANSWERED) {
        TpWs__QueryWorkflowResponse resp = TP_WS__QUERY_WORKFLOW_RESPONSE__INIT;
        resp.query_result = (TpCommon__Payloads *)(uintptr_t)result;
        tl_call_reply(&c, seq, &resp);
        return;
    }
    TpErrdetails__QueryFailedFailure d = TP_ERRDETAILS__QUERY_FAILED_FAILURE__INIT;
    d.failure = (TpFailure__Failure *)(uintptr_t)failure;
    tl_call_error(&c, seq, tl_rc_grpc_status(TL_EINVAL),
                  error_message && *error_message ? error_message : "query failed", &d);
}

void tl_query_effect(struct tl_server *s, struct tl_exec *e, const struct tl_effect *fx,
                     struct tl_arena *arena)
{
    struct tl_parked *p = tl_map_get_num(&s->queries, fx->u.query.id);
    if (!p) {
        return;
    }
    p->query_buffered = false;
    tl_parked_unlink(s, p);
    if (fx->kind == TL_FX_QUERY_ANSWERED) {
        const TpQuery__WorkflowQueryResult *r = fx->u.query.result;
        tl_query_reply(s, p, e->seq, (int)r->result_type, r->answer, r->error_message, r->failure,
                       arena);
    } else if (fx->kind == TL_FX_QUERY_UNBLOCKED) {
        send_direct(s, p, e, true, arena);
    } else {
        struct tl_error err;
        tl_error_set(&err, fx->u.query.rc, "%.*s", TL_STR_FMT(fx->u.query.message));
        refuse(s, p, e->seq, &err, fx->u.query.error_kind, arena);
    }
}

void tl_query_undo(struct tl_server *s, const struct tl_delivery *d)
{
    struct tl_parked *p = tl_map_get_num(&s->queries, d->query_id);
    if (p) {
        tl_parked_wake(s, p);
    }
}

static tl_rc query_response(struct tl_server *s, struct tl_parked *query, struct tl_exec *e,
                            struct tl_arena *arena, TpWs__PollWorkflowTaskQueueResponse *out,
                            struct tl_error *err)
{
    const TpWs__QueryWorkflowRequest *req = NULL;
    TlV1__QueryToken token = TL_V1__QUERY_TOKEN__INIT;
    struct tl_str bytes;
    struct tl_rs_info info;
    tl_rc rc = tl_pb_decode(&tp_ws__query_workflow_request__descriptor, query->rpc->body, arena,
                            &req, err);
    if (rc != TL_OK) {
        return rc;
    }
    tl_rs_info(e->rs, &info);
    token.query_id = query->query_id;
    rc = tl_pb_encode_arena(&token, arena, &bytes, err);
    if (rc != TL_OK) {
        return rc;
    }
    out->task_token = tl_pb_bytes_view(bytes);
    out->query = req->query;
    out->attempt = 1;
    out->previous_started_event_id = info.previous_started_event_id;
    tl_workflow_task_head(e, arena, out);
    if (query->query_sticky) {
        out->history = TL_PB_NEW(arena, TpHistory__History, tp_history__history);
        return TL_OK;
    }
    return tl_workflow_task_history(s, e, 1, 0, (struct tl_str){0}, arena, out, err);
}

void tl_query_deliver(struct tl_server *s, struct tl_parked *query, struct tl_parked *poll,
                      struct tl_arena *arena)
{
    struct tl_error err;
    TpWs__PollWorkflowTaskQueueResponse resp = TP_WS__POLL_WORKFLOW_TASK_QUEUE_RESPONSE__INIT;
    struct tl_delivery d = {.run_number = query->run_number, .query_id = query->query_id};
    struct tl_exec *e = tl_run_by_number(s, query->run_number, &err);
    tl_rc rc = e ? query_response(s, query, e, arena, &resp, &err) : err.code;
    if (rc == TL_OK) {
        struct tl_poll_request r;
        if (tl_poll_decode(s, poll, arena, &r, &err) == TL_OK) {
            resp.poller_scaling_decision = tl_poll_advice(s, poll, &r, arena);
        }
        rc = tl_reply_message(s, poll->rpc, e->seq, &resp, &d, &err);
    }
    if (rc != TL_OK) {
        refuse(s, query, e ? e->seq : 0, &err, TL_ERR_PLAIN, arena);
        tl_poll_enter(s, poll, arena);
        return;
    }
    tl_parked_free(s, poll);
}
