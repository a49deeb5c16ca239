/* Reading histories: pages forwards and backwards, long polls. Stored bytes are spliced, not decoded.
 * A page that is not wholly in memory is read on the reader thread. Thread: engine; the job: reader. */
#include "base/limits.h"
#include "base/mem.h"
#include "server/api/api.h"
#include "server/page.h"

#define FIELD_HISTORY 1
#define FIELD_TOKEN 3

/* One read, from the request to the answer. */
struct read {
    struct tl_exec *e;
    struct tl_rs_info info;
    int64_t first, last; /* events wanted; last 0: all there are */
    int64_t page_size;
    struct tl_str extra; /* behind the last page */
    bool reverse;
    struct tl_page page;
    struct tl_str token;
};

/* A page that has to be read. Owns everything. */
struct page_job {
    struct tl_job job;
    struct tl_rpc_request *rpc;
    struct tl_arena arena;
    struct tl_page page;
    struct tl_str extra, token;
    bool reverse;
};

static tl_rc put_answer(const struct tl_page *page, struct tl_reader *reader, bool reverse,
                        struct tl_str extra, struct tl_str token, struct tl_buf *out,
                        struct tl_error *err)
{
    struct tl_buf events;
    tl_buf_init(&events, (size_t)tl_limit_request_bytes);
    tl_rc rc = reverse ? tl_page_fill_reverse(page, reader, &events, err)
                       : tl_page_fill(page, reader, &events, err);
    if (rc == TL_OK) {
        tl_buf_put_str(&events, extra);
        tl_pb_put_field(out, FIELD_HISTORY, tl_buf_str(&events));
        if (token.n) {
            tl_pb_put_field(out, FIELD_TOKEN, token);
        }
        if (tl_buf_failed(&events) || tl_buf_failed(out)) {
            rc = tl_error_set(err, TL_ELIMIT, "a history page is too large");
        }
    }
    tl_buf_deinit(&events);
    return rc;
}

static void run_page_job(struct tl_server *s, struct tl_reader *reader, struct tl_job *job)
{
    struct page_job *j = TL_CONTAINER(job, struct page_job, job);
    struct tl_buf out;
    struct tl_error err = {.code = TL_EUNAVAILABLE, .message = "the server is shutting down"};
    (void)s;
    tl_buf_init(&out, (size_t)tl_limit_request_bytes);
    tl_rc rc = reader ? put_answer(&j->page, reader, j->reverse, j->extra, j->token, &out, &err)
                      : TL_EUNAVAILABLE;
    if (rc == TL_OK) {
        tl_rpc_reply(j->rpc, 0, (struct tl_str){0}, (struct tl_str){0}, tl_buf_str(&out));
    } else {
        tl_rpc_reply(j->rpc, tl_rc_grpc_status(rc), tl_err_str(&err), (struct tl_str){0},
                     (struct tl_str){0});
    }
    tl_buf_deinit(&out);
    tl_arena_deinit(&j->arena);
    tl_mem_free(j);
}

/* --- planning and answering ---------------------------------------------------------------------------- */

static tl_rc plan(const struct read *r, bool copy, struct tl_arena *arena, struct tl_page *out,
                  struct tl_error *err)
{
    return r->reverse
               ? tl_page_plan_reverse(r->e->rs, r->last, r->page_size, copy, arena, out, err)
               : tl_page_plan(r->e->rs, r->first, r->last, r->page_size, copy, arena, out, err);
}

static void send_job(struct tl_call *c, struct read *r)
{
    struct page_job *j = TL_NEW(struct page_job);
    struct tl_error err;
    tl_arena_init(&j->arena, (size_t)tl_limit_request_bytes);
    j->job.run = run_page_job;
    j->rpc = c->rpc;
    j->reverse = r->reverse;
    j->token = tl_arena_str(&j->arena, r->token);
    j->extra = tl_arena_str(&j->arena, r->extra);
    if (plan(r, true, &j->arena, &j->page, &err) != TL_OK) {
        tl_arena_deinit(&j->arena);
        tl_mem_free(j);
        tl_call_errorf(c, tl_rc_grpc_status(err.code), "%s", err.message);
        return;
    }
    c->rpc->slot = NULL;
    tl_job_at(c->s, r->e->seq, &j->job);
}

/* Answers with the page; `token_at_end`: a token also at the end, for the next long poll. */
static void answer_page(struct tl_call *c, struct read *r, bool token_at_end)
{
    TlV1__PageToken token = TL_V1__PAGE_TOKEN__INIT;
    struct tl_error err;
    struct tl_buf out;
    tl_rc rc = plan(r, false, c->arena, &r->page, &err);
    if (rc == TL_OK && (r->page.next_event_id || token_at_end)) {
        token.run_number = r->e->number;
        token.next_event_id = r->page.next_event_id ? r->page.next_event_id : r->info.next_event_id;
        if (r->page.next_event_id) {
            token.upto_event_id = r->reverse ? 0 : r->last;
            token.extra_events = tl_pb_bytes_view(r->extra);
            r->extra = (struct tl_str){0};
        }
        rc = tl_pb_encode_arena(&token, c->arena, &r->token, &err);
    }
    if (rc == TL_OK && r->page.missing) {
        send_job(c, r);
        return;
    }
    tl_buf_init(&out, (size_t)tl_limit_request_bytes);
    if (rc == TL_OK) {
        rc = put_answer(&r->page, NULL, r->reverse, r->extra, r->token, &out, &err);
    }
    if (rc == TL_OK) {
        tl_call_reply_bytes(c, r->e->seq, tl_buf_str(&out));
    } else {
        tl_call_errorf(c, tl_rc_grpc_status(rc), "%s", err.message);
    }
    tl_buf_deinit(&out);
}

/* Nothing came in time: an empty page and where to go on. */
static void answer_nothing(struct tl_call *c, struct read *r)
{
    TlV1__PageToken token = TL_V1__PAGE_TOKEN__INIT;
    TpWs__GetWorkflowExecutionHistoryResponse resp =
        TP_WS__GET_WORKFLOW_EXECUTION_HISTORY_RESPONSE__INIT;
    TpHistory__History empty = TP_HISTORY__HISTORY__INIT;
    struct tl_str bytes;
    struct tl_error err;
    token.run_number = r->e->number;
    token.next_event_id = r->first;
    if (tl_pb_encode_arena(&token, c->arena, &bytes, &err) != TL_OK) {
        tl_call_errorf(c, tl_rc_grpc_status(err.code), "%s", err.message);
        return;
    }
    resp.history = &empty;
    resp.next_page_token = tl_pb_bytes_view(bytes);
    tl_call_reply(c, r->e->seq, &resp);
}

static void wait_for_more(struct tl_call *c, struct read *r, bool wants_close)
{
    if (c->parked && c->parked->expired) {
        answer_nothing(c, r);
        return;
    }
    struct tl_parked *p = c->parked ? c->parked : tl_parked_new(c->s, c, TL_PARKED_WAIT);
    if (!c->parked) {
        p->until_ns = tl_parked_deadline(c->s, c->rpc, c->s->o.long_poll_ns);
    }
    c->parked = NULL;
    p->run_number = r->e->number;
    p->wants_close = wants_close;
    tl_due_set(&c->s->waits, &p->due, p->until_ns);
    tl_list_push(&r->e->waiters, &p->link);
}

/* --- requests ------------------------------------------------------------------------------------------ */

/* Whether a page token is of the execution that the request names; a run id may be left out. */
static bool fits(struct tl_exec *e, const TpCommon__WorkflowExecution *execution)
{
    struct tl_rs_info info;
    tl_rs_info(e->rs, &info);
    return !execution ||
           ((!*execution->workflow_id || tl_str_eqc(info.id.workflow_id, execution->workflow_id)) &&
            (!*execution->run_id || tl_str_eqc(info.id.run_id, execution->run_id)));
}

/* The run, from the token, the waiting room or the execution. False after an answer. */
static bool find_run(struct tl_call *c, struct read *r,
                     const TpCommon__WorkflowExecution *execution, ProtobufCBinaryData token_bytes,
                     const TlV1__PageToken **token)
{
    struct tl_error err;
    *token = NULL;
    if (token_bytes.len) {
        if (tl_pb_decode(&tl_v1__page_token__descriptor, tl_pb_str(token_bytes), c->arena, token,
                         &err) != TL_OK ||
            (*token)->next_event_id < 1) {
            tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "Invalid NextPageToken.");
            return false;
        }
    }
    uint64_t number = c->parked ? c->parked->run_number : *token ? (*token)->run_number : 0;
    if (number) {
        r->e = tl_run_by_number(c->s, number, &err);
        if (!r->e || r->e->ns != c->ns) {
            tl_call_not_found(c, 0, "the run of the page token does not exist any more");
            return false;
        }
        if (*token && !fits(r->e, execution)) {
            tl_call_not_found(c, 0, "the page token is of another run than the execution");
            return false;
        }
    } else {
        r->e = tl_api_find(c, execution);
    }
    if (!r->e) {
        return false;
    }
    tl_rs_info(r->e->rs, &r->info);
    return true;
}

/* A started workflow task that is only in memory becomes an event before anybody sees the history. */
static bool materialise(struct tl_call *c, struct read *r)
{
    struct tl_tx tx;
    struct tl_error err;
    if (r->info.closed || !r->info.wft_started_volatile) {
        return true;
    }
    tl_run_begin(c->s, r->e, &tx, c->arena);
    tl_rc rc = tl_tx_materialise_started(&tx, &err);
    if (!tl_api_end(c, r->e, &tx, rc, &err)) {
        return false;
    }
    tl_rs_info(r->e->rs, &r->info);
    return true;
}

static int64_t page_size(int32_t wanted)
{
    return wanted > 0 && wanted < tl_limit_page_events ? wanted : tl_limit_page_events;
}

static void answer_close_event(struct tl_call *c, struct read *r, bool wait)
{
    if (!r->info.closed && wait) {
        wait_for_more(c, r, true);
        return;
    }
    r->first = r->info.closed ? r->info.close_event_id : r->info.next_event_id - 1;
    r->last = r->first;
    answer_page(c, r, false);
}

void tl_api_get_workflow_execution_history(struct tl_call *c)
{
    const TpWs__GetWorkflowExecutionHistoryRequest *req = c->req;
    const TlV1__PageToken *token;
    struct read r = {.first = 1, .page_size = page_size(req->maximum_page_size)};
    if (!find_run(c, &r, req->execution, req->next_page_token, &token)) {
        return;
    }
    if (token) {
        r.first = token->next_event_id;
        r.last = token->upto_event_id;
        r.extra = tl_pb_str(token->extra_events);
    }
    if ((int)req->history_event_filter_type == HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT) {
        answer_close_event(c, &r, req->wait_new_event);
        return;
    }
    if (!r.last && !materialise(c, &r)) {
        return;
    }
    if (r.first >= r.info.next_event_id && !r.last && !r.info.closed && req->wait_new_event) {
        wait_for_more(c, &r, false);
        return;
    }
    answer_page(c, &r, req->wait_new_event && !r.info.closed && !r.last);
}

void tl_api_get_workflow_execution_history_reverse(struct tl_call *c)
{
    const TpWs__GetWorkflowExecutionHistoryReverseRequest *req = c->req;
    const TlV1__PageToken *token;
    struct read r = {.first = 1, .page_size = page_size(req->maximum_page_size), .reverse = true};
    if (!find_run(c, &r, req->execution, req->next_page_token, &token) || !materialise(c, &r)) {
        return;
    }
    r.last = token ? token->next_event_id : 0;
    answer_page(c, &r, false);
}
