/* Workflow tasks that a poll takes: they start, and the answer has their history, queries and updates.
 * See deliver.h. Thread: engine. */
#include "base/mem.h"
#include "server/deliver.h"
#include "server/page.h"

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

bool tl_workflow_task_start(struct tl_server *s, struct tl_parked *p, struct tl_exec *e,
                            struct tl_arena *arena)
{
    struct tl_poll_request r;
    struct tl_wft_started started = {0};
    struct tl_error err;
    struct tl_tx tx;
    if (tl_poll_decode(s, p, arena, &r, &err) != TL_OK) {
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
        struct tl_match_key key = tl_poll_key(p, &r);
        struct tl_match_queue_info info;
        tl_match_queue_info(&s->matcher, &key, tl_engine_now(s), &info);
        resp.backlog_count_hint = backlog_hint(&info, tl_engine_now(s));
        resp.poller_scaling_decision = tl_poll_advice(s, p, &r, arena);
        rc = tl_reply_message(s, rpc, e->seq, &resp, &d, &err);
    }
    if (rc != TL_OK) {
        /* The task is started but cannot be shown; its timeout brings it back. */
        tl_poll_refuse(s, p, &err);
        return true;
    }
    tl_parked_free(s, p);
    return true;
}
