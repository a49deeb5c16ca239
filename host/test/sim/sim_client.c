/* The clients: each workflow has one that starts it, sends its signals, asks queries, reads its history
 * and waits for its end, repeating a call (with the same request id) until it is answered. */
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/list.h"
#include "base/mem.h"
#include "proto/payload.h"
#include "proto/pb.h"
#include "sim/sim.h"
#include "tl_enums.h"

enum what { CALL_START, CALL_SIGNAL, CALL_QUERY, CALL_HISTORY, CALL_STOP };

static void done(void *ud, struct tl_rpc_result *res)
{
    struct sim_call *c = ud;
    struct sim *s = c->w->sim;
    c->result = res;
    c->msg.next = NULL;
    *s->done_tail = &c->msg;
    s->done_tail = &c->msg.next;
}

static void submit(struct sim_workflow *w, enum what what, enum tl_method method, void *request)
{
    struct sim_call *c = TL_NEW(struct sim_call);
    struct tl_error err;
    c->w = w;
    c->what = (int)what;
    c->signals_before = w->signals_acked;
    if (tl_client_submit(w->sim->client, method, request, 10 * TL_NS_PER_S, done, c, &c->call,
                         &err) != TL_OK) {
        sim_fail(w->sim, "%s: %s", w->id, err.message);
        tl_mem_free(c);
        return;
    }
    w->busy++;
}

/* --- calls ------------------------------------------------------------------------------------ */

static TpCommon__Payloads *integers(struct tl_arena *arena, int count, const int *values)
{
    TpCommon__Payloads *list = TL_PB_NEW(arena, TpCommon__Payloads, tp_common__payloads);
    list->payloads = TL_ARENA_ARRAY(arena, TpCommon__Payload *, (size_t)count);
    for (int i = 0; i < count; i++) {
        list->payloads[i] = tl_payload_json(arena, tl_str(tl_arena_printf(arena, "%d", values[i])));
    }
    list->n_payloads = (size_t)count;
    return list;
}

static TpCommon__WorkflowExecution *execution(struct sim_workflow *w, struct tl_arena *arena,
                                              bool with_run)
{
    TpCommon__WorkflowExecution *e =
        TL_PB_NEW(arena, TpCommon__WorkflowExecution, tp_common__workflow_execution);
    e->workflow_id = w->id;
    e->run_id = with_run ? w->run_id : e->run_id;
    return e;
}

static void call_start(struct sim_workflow *w, struct tl_arena *arena)
{
    static const char *const types[] = {"Order", "Chain", "Wait", "Wait"};
    int args[] = {w->number + 1, w->kind == SIM_CHAIN ? 2 : w->signals};
    TpWs__StartWorkflowExecutionRequest *r = TL_PB_NEW(arena, TpWs__StartWorkflowExecutionRequest,
                                                       tp_ws__start_workflow_execution_request);
    r->workflow_id = w->id;
    r->workflow_type = TL_PB_NEW(arena, TpCommon__WorkflowType, tp_common__workflow_type);
    r->workflow_type->name = tl_arena_cstr(arena, tl_str(types[w->kind]));
    r->task_queue = TL_PB_NEW(arena, TpTq__TaskQueue, tp_tq__task_queue);
    r->task_queue->name = tl_arena_cstr(arena, TL_STR_LIT("sim"));
    r->input = integers(arena, 2, args);
    r->request_id = tl_arena_printf(arena, "start-%s", w->id);
    submit(w, CALL_START, TL_M_StartWorkflowExecution, r);
}

static void call_signal(struct sim_workflow *w, struct tl_arena *arena)
{
    int number = w->signals_acked + 1;
    TpWs__SignalWorkflowExecutionRequest *r = TL_PB_NEW(arena, TpWs__SignalWorkflowExecutionRequest,
                                                        tp_ws__signal_workflow_execution_request);
    r->workflow_execution = execution(w, arena, true);
    r->signal_name = tl_arena_cstr(arena, TL_STR_LIT("s"));
    r->input = integers(arena, 1, &number);
    r->request_id = tl_arena_printf(arena, "signal-%s-%d", w->id, number);
    w->signals_sent = number;
    submit(w, CALL_SIGNAL, TL_M_SignalWorkflowExecution, r);
}

static void call_query(struct sim_workflow *w, struct tl_arena *arena)
{
    TpWs__QueryWorkflowRequest *r =
        TL_PB_NEW(arena, TpWs__QueryWorkflowRequest, tp_ws__query_workflow_request);
    r->execution = execution(w, arena, true);
    r->query = TL_PB_NEW(arena, TpQuery__WorkflowQuery, tp_query__workflow_query);
    r->query->query_type = tl_arena_cstr(arena, TL_STR_LIT("count"));
    submit(w, CALL_QUERY, TL_M_QueryWorkflow, r);
}

static void call_history(struct sim_workflow *w, struct tl_arena *arena)
{
    TpWs__GetWorkflowExecutionHistoryRequest *r =
        TL_PB_NEW(arena, TpWs__GetWorkflowExecutionHistoryRequest,
                  tp_ws__get_workflow_execution_history_request);
    r->execution = execution(w, arena, true);
    r->maximum_page_size = 1000;
    submit(w, CALL_HISTORY, TL_M_GetWorkflowExecutionHistory, r);
}

static void call_stop(struct sim_workflow *w, struct tl_arena *arena)
{
    w->stop_asked = true;
    if (w->kind == SIM_CANCELLED) {
        TpWs__RequestCancelWorkflowExecutionRequest *r =
            TL_PB_NEW(arena, TpWs__RequestCancelWorkflowExecutionRequest,
                      tp_ws__request_cancel_workflow_execution_request);
        r->workflow_execution = execution(w, arena, true);
        r->request_id = tl_arena_printf(arena, "cancel-%s", w->id);
        submit(w, CALL_STOP, TL_M_RequestCancelWorkflowExecution, r);
        return;
    }
    TpWs__TerminateWorkflowExecutionRequest *r =
        TL_PB_NEW(arena, TpWs__TerminateWorkflowExecutionRequest,
                  tp_ws__terminate_workflow_execution_request);
    r->workflow_execution = execution(w, arena, true);
    submit(w, CALL_STOP, TL_M_TerminateWorkflowExecution, r);
}

/* --- replies ---------------------------------------------------------------------------------- */

static void start_replied(struct sim_workflow *w, struct tl_rpc_result *res, struct tl_arena *arena)
{
    TpWs__StartWorkflowExecutionResponse *r;
    struct tl_error err;
    if (tl_pb_decode(&tp_ws__start_workflow_execution_response__descriptor, res->body, arena, &r,
                     &err) != TL_OK) {
        sim_fail(w->sim, "%s: %s", w->id, err.message);
        return;
    }
    if (w->start_acked && strcmp(w->run_id, r->run_id) != 0) {
        sim_fail(w->sim, "%s: a repeated start made another run", w->id);
    }
    snprintf(w->run_id, sizeof w->run_id, "%s", r->run_id);
    w->start_acked = true;
}

static void query_replied(struct sim_call *c, struct tl_arena *arena)
{
    TpWs__QueryWorkflowResponse *r;
    struct tl_error err;
    char text[16] = "";
    int count = -1;
    if (tl_pb_decode(&tp_ws__query_workflow_response__descriptor, c->result->body, arena, &r,
                     &err) != TL_OK) {
        sim_fail(c->w->sim, "%s: %s", c->w->id, err.message);
        return;
    }
    if (r->query_result && r->query_result->n_payloads == 1 &&
        r->query_result->payloads[0]->data.len < sizeof text) {
        memcpy(text, r->query_result->payloads[0]->data.data,
               r->query_result->payloads[0]->data.len);
    }
    if (sscanf(text, "%d", &count) != 1 || count < c->signals_before ||
        count > c->w->signals_sent) {
        sim_fail(c->w->sim, "%s: a query counts '%s' signals, %d were acknowledged, %d sent",
                 c->w->id, text, c->signals_before, c->w->signals_sent);
    }
}

static void history_replied(struct sim_workflow *w, struct tl_rpc_result *res,
                            struct tl_arena *arena)
{
    TpWs__GetWorkflowExecutionHistoryResponse *r;
    struct tl_error err;
    if (tl_pb_decode(&tp_ws__get_workflow_execution_history_response__descriptor, res->body, arena,
                     &r, &err) != TL_OK ||
        !r->history || r->history->n_events == 0) {
        sim_fail(w->sim, "%s: an empty history", w->id);
        return;
    }
    sim_check_history(w, r->history);
    const TpHistory__HistoryEvent *last = r->history->events[r->history->n_events - 1];
    struct tl_client_result result;
    if (tl_client_result_from_event(last, arena, &result)) {
        sim_check_complete(w, r->history);
        if (last->event_type ==
            (TpEnums__EventType)EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW) {
            snprintf(w->run_id, sizeof w->run_id, "%s", result.new_run_id);
            w->seen_count = 0;
        } else {
            sim_check_close(w, last);
            w->closed = true;
        }
    }
}

/* UNAVAILABLE and its kin are answers of a broken connection: ask again. What a live server may answer
 * beside OK depends on the call. */
static bool refusal_is_fine(const struct sim_call *c)
{
    int status = c->result->status;
    if (status == 14 || status == 4 || status == 1 || status == 10) {
        return true;
    }
    if (c->what == CALL_QUERY) {
        return true; /* not ready, no worker yet, a full buffer of queries */
    }
    if (status == 5 && c->w->start_acked) { /* a run that has ended takes no signal and no stop */
        return c->what == CALL_STOP || (c->what == CALL_SIGNAL && c->w->kind != SIM_ORDER);
    }
    return false;
}

static void replied(struct sim_call *c)
{
    struct sim_workflow *w = c->w;
    struct tl_arena arena;
    tl_arena_init(&arena, (size_t)tl_limit_request_bytes);
    sim_trace(w->sim, &c->what, sizeof c->what);
    sim_trace(w->sim, c->result->body.p, c->result->body.n);
    if (c->result->status != 0) {
        if (!refusal_is_fine(c)) {
            sim_fail(w->sim, "%s: call %d answered %d: %.*s", w->id, c->what, c->result->status,
                     TL_STR_FMT(c->result->message));
        }
    } else if (c->what == CALL_START) {
        start_replied(w, c->result, &arena);
    } else if (c->what == CALL_SIGNAL) {
        w->signals_acked = w->signals_sent;
    } else if (c->what == CALL_QUERY) {
        query_replied(c, &arena);
    } else if (c->what == CALL_HISTORY) {
        history_replied(w, c->result, &arena);
    } else {
        w->stop_acked = true;
    }
    tl_arena_deinit(&arena);
}

/* --- steps ------------------------------------------------------------------------------------ */

void sim_client_open(struct sim *s)
{
    s->done_head = NULL;
    s->done_tail = &s->done_head;
    for (int i = 0; i < s->options.workflows; i++) {
        struct sim_workflow *w = &s->workflows[i];
        memset(w, 0, sizeof *w);
        w->sim = s;
        w->number = i;
        w->kind = tl_rng_below(&s->rng, 2) ? SIM_ORDER : (int)tl_rng_below(&s->rng, 4);
        w->signals = w->kind == SIM_ORDER ? (int)tl_rng_below(&s->rng, SIM_SIGNALS_MAX + 1) : 0;
        snprintf(w->id, sizeof w->id, "wf-%d", i);
        w->next_ns = s->now_ns + (int64_t)tl_rng_below(&s->rng, 5000) * TL_NS_PER_MS;
    }
}

static void act(struct sim_workflow *w)
{
    struct sim *s = w->sim;
    struct tl_arena arena;
    uint64_t dice = tl_rng_below(&s->rng, 10);
    tl_arena_init(&arena, (size_t)tl_limit_request_bytes);
    if (!w->start_acked) {
        call_start(w, &arena);
    } else if (w->signals_acked < w->signals && dice < 5) {
        call_signal(w, &arena);
    } else if (w->kind >= SIM_CANCELLED && !w->stop_acked && dice < 4) {
        call_stop(w, &arena);
    } else if (w->kind == SIM_ORDER && dice < 8) {
        call_query(w, &arena);
    } else {
        call_history(w, &arena);
    }
    w->next_ns = s->now_ns + (1 + (int64_t)tl_rng_below(&s->rng, 3000)) * TL_NS_PER_MS;
    tl_arena_deinit(&arena);
}

bool sim_client_step(struct sim *s, int64_t *next_ns)
{
    struct tl_msg *m = s->done_head;
    bool did = m != NULL;
    s->done_head = NULL;
    s->done_tail = &s->done_head;
    while (m) {
        struct sim_call *c = TL_CONTAINER(m, struct sim_call, msg);
        m = m->next;
        replied(c);
        c->w->busy--;
        tl_rpc_call_release(c->call);
        tl_rpc_result_free(c->result);
        tl_mem_free(c);
    }
    *next_ns = INT64_MAX;
    for (int i = 0; i < s->options.workflows; i++) {
        struct sim_workflow *w = &s->workflows[i];
        if (w->closed || w->busy > 0) {
            continue;
        }
        if (w->next_ns <= s->now_ns && s->worker) {
            act(w);
            did = true;
        } else if (w->next_ns < *next_ns) {
            *next_ns = w->next_ns;
        }
    }
    return did;
}

bool sim_client_all_closed(const struct sim *s)
{
    for (int i = 0; i < s->options.workflows; i++) {
        if (!s->workflows[i].closed || s->workflows[i].busy > 0) {
            return false;
        }
    }
    return true;
}
