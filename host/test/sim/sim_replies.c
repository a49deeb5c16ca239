/* What the answers say, held against what the client knows. */
#include <stdio.h>
#include <string.h>

#include <google/rpc/status.pb-c.h>
#include <temporal/api/errordetails/v1/message.pb-c.h>

#include "base/limits.h"
#include "base/mem.h"
#include "proto/pb.h"
#include "sim/sim.h"
#include "tl_enums.h"

enum {
    GRPC_CANCELLED = 1,
    GRPC_DEADLINE = 4,
    GRPC_NOT_FOUND = 5,
    GRPC_EXISTS = 6,
    GRPC_PRECONDITION = 9,
    GRPC_ABORTED = 10,
    GRPC_UNAVAILABLE = 14
};

void *sim_call_decode(const struct sim_call *c, struct tl_arena *arena)
{
    void *message = NULL;
    struct tl_error err;
    if (tl_pb_decode(tl_method_info(c->result->method)->output, c->result->body, arena, &message,
                     &err) != TL_OK) {
        sim_fail(c->sim, "call %d: %s", (int)c->what, err.message);
        return NULL;
    }
    return message;
}

static void answered(struct sim_workflow *w, enum sim_ask ask)
{
    w->asks &= ~(unsigned)ask;
}

/* --- starts ---------------------------------------------------------------------------------------- */

static void start_replied(struct sim_call *c, struct tl_arena *arena)
{
    struct sim_workflow *w = c->w;
    const void *message = sim_call_decode(c, arena);
    if (!message) {
        return;
    }
    /* Both answers begin with the run id; each is read as what it is. */
    const char *run_id =
        w->greeted ? ((const TpWs__SignalWithStartWorkflowExecutionResponse *)message)->run_id
                   : ((const TpWs__StartWorkflowExecutionResponse *)message)->run_id;
    if (w->greeted) {
        w->signals_acked = 1;
    }
    snprintf(w->run_id, sizeof w->run_id, "%s", run_id);
    w->start_acked = true;
    w->runs = 1;
}

/* A repeated start of a chain that has gone on is refused; the refusal names the first run. */
static bool start_refused(struct sim_call *c)
{
    const TpRpc__Status *status = NULL;
    const TpErrdetails__WorkflowExecutionAlreadyStartedFailure *d = NULL;
    struct sim_workflow *w = c->w;
    struct tl_arena arena;
    tl_arena_init(&arena, (size_t)tl_limit_request_bytes);
    bool ok = tl_pb_decode(&tp_rpc__status__descriptor, c->result->details, &arena, &status,
                           NULL) == TL_OK &&
              status->n_details == 1 &&
              tl_pb_decode(&tp_errdetails__workflow_execution_already_started_failure__descriptor,
                           tl_pb_str(status->details[0]->value), &arena, &d, NULL) == TL_OK;
    if (ok) {
        snprintf(w->run_id, sizeof w->run_id, "%s", d->first_execution_run_id);
        w->start_acked = true;
        w->runs = 1;
    }
    tl_arena_deinit(&arena);
    return ok;
}

/* --- histories --------------------------------------------------------------------------------------- */

/* The next run of a chain, or the end. */
static void run_closed(struct sim_workflow *w, const TpHistory__History *history,
                       const struct tl_client_result *result)
{
    const TpHistory__HistoryEvent *last = history->events[history->n_events - 1];
    sim_check_complete(w, history);
    w->close_type = 0;
    if (result->new_run_id[0]) {
        snprintf(w->run_id, sizeof w->run_id, "%s", result->new_run_id);
        w->seen_count = 0;
        w->page_token_n = 0;
        w->runs++;
        return;
    }
    sim_check_close(w, last);
    if (!w->closed) {
        w->closed = true;
        w->asks = sim_asks_of(w);
    }
}

static void history_replied(struct sim_call *c, struct tl_arena *arena)
{
    struct sim_workflow *w = c->w;
    struct tl_client_result result;
    const TpWs__GetWorkflowExecutionHistoryResponse *r = sim_call_decode(c, arena);
    if (!r || !r->history || !r->history->n_events || r->next_page_token.len) {
        sim_fail(w->sim, "%s: a history in one page has %zu events, more behind: %d", w->id,
                 r && r->history ? r->history->n_events : 0, r && r->next_page_token.len);
        return;
    }
    if (w->deleted) {
        sim_fail(w->sim, "%s: was deleted and still has a history", w->id);
        return;
    }
    const TpHistory__HistoryEvent *last = r->history->events[r->history->n_events - 1];
    sim_check_history(w, r->history);
    bool closed = tl_client_result_from_event(last, arena, &result);
    if (w->close_type && w->close_type != (int)last->event_type) {
        sim_fail(w->sim, "%s: its end was told and is not in the history", w->id);
    } else if (closed && w->closed) {
        answered(w, SIM_ASK_HISTORY);
    } else if (closed) {
        run_closed(w, r->history, &result);
    } else if (w->closed) {
        sim_fail(w->sim, "%s: has ended and runs again", w->id);
    }
}

static void page_replied(struct sim_call *c, struct tl_arena *arena)
{
    struct sim_workflow *w = c->w;
    const TpWs__GetWorkflowExecutionHistoryResponse *r = sim_call_decode(c, arena);
    if (!r || !r->history || r->next_page_token.len > sizeof w->page_token) {
        sim_fail(w->sim, "%s: a page without history", w->id);
        return;
    }
    if (w->deleted) {
        sim_fail(w->sim, "%s: was deleted and still has pages", w->id);
    }
    int64_t first_id = w->page_token_n ? w->page_next : 1;
    sim_check_page(w, r->history, first_id);
    w->page_next = first_id + (int64_t)r->history->n_events;
    w->page_token_n = r->next_page_token.len;
    if (w->page_token_n) {
        memcpy(w->page_token, r->next_page_token.data, w->page_token_n);
    } else if (w->closed && w->page_next != (int64_t)w->seen_count + 1 && w->paged_closed) {
        sim_fail(w->sim, "%s: the pages end before event %lld of %zu", w->id,
                 (long long)w->page_next, w->seen_count);
    } else if (w->closed) {
        answered(w, SIM_ASK_PAGES);
    }
    /* Pages that began while it ran may end where it stood then. */
    w->paged_closed = w->closed && (w->paged_closed || !w->page_token_n);
}

/* Empty when nothing happened in time. */
static void await_replied(struct sim_call *c, struct tl_arena *arena)
{
    struct tl_client_result result;
    const TpWs__GetWorkflowExecutionHistoryResponse *r = sim_call_decode(c, arena);
    if (r && r->history && r->history->n_events) {
        const TpHistory__HistoryEvent *last = r->history->events[r->history->n_events - 1];
        if (r->history->n_events != 1 || !tl_client_result_from_event(last, arena, &result)) {
            sim_fail(c->w->sim, "%s: asked for its end and got %s", c->w->id,
                     tl_pb_enum_name(&tp_enums__event_type__descriptor, (int)last->event_type));
        }
        c->w->close_type = (int)last->event_type;
    }
}

/* --- questions ---------------------------------------------------------------------------------------- */

static void query_replied(struct sim_call *c, struct tl_arena *arena)
{
    struct sim_workflow *w = c->w;
    char text[16] = "";
    int count = -1;
    const TpWs__QueryWorkflowResponse *r = sim_call_decode(c, arena);
    if (r && r->query_result && r->query_result->n_payloads == 1 &&
        r->query_result->payloads[0]->data.len < sizeof text) {
        memcpy(text, r->query_result->payloads[0]->data.data,
               r->query_result->payloads[0]->data.len);
    }
    if (sscanf(text, "%d", &count) != 1 || count < c->signals_before || count > w->signals_sent) {
        sim_fail(w->sim, "%s: a query counts '%s' signals, %d were acknowledged, %d sent", w->id,
                 text, c->signals_before, w->signals_sent);
    }
    if (w->deleted) {
        sim_fail(w->sim, "%s: was deleted and answers a query", w->id);
    }
    answered(w, SIM_ASK_QUERY);
}

/* The first is 1, the second 1 + 2, and so on: whatever was carried out twice, or out of order, shows. */
static void update_replied(struct sim_call *c, struct tl_arena *arena)
{
    struct sim_workflow *w = c->w;
    char text[16] = "";
    int sum = -1;
    const TpWs__UpdateWorkflowExecutionResponse *r = sim_call_decode(c, arena);
    if (!r || !r->outcome) {
        return; /* it is accepted: nothing is said of its outcome yet */
    }
    const TpCommon__Payloads *result =
        r->outcome->value_case == TP_UPDATE__OUTCOME__VALUE_SUCCESS ? r->outcome->success : NULL;
    if (result && result->n_payloads == 1 && result->payloads[0]->data.len < sizeof text) {
        memcpy(text, result->payloads[0]->data.data, result->payloads[0]->data.len);
    }
    if (sscanf(text, "%d", &sum) != 1 || sum != c->update * (c->update + 1) / 2) {
        sim_fail(w->sim, "%s: update %d answers '%s'", w->id, c->update, text);
    }
    if (w->deleted) {
        sim_fail(w->sim, "%s: was deleted and answers an update", w->id);
    }
    w->updates_acked = c->update > w->updates_acked ? c->update : w->updates_acked;
    if (w->updates_acked == w->updates) {
        answered(w, SIM_ASK_UPDATE);
    }
}

/* Whether an open run may have the status: a pause is there as soon as it is acknowledged, until its end is
 * asked for. */
static bool is_open(const struct sim_workflow *w, int status)
{
    bool paused = w->pauses.acked % 2 == 1;
    bool may_be = paused || w->pauses.sent, must_be = paused && !w->pauses.sent;
    return status == WORKFLOW_EXECUTION_STATUS_PAUSED
               ? may_be
               : status == WORKFLOW_EXECUTION_STATUS_RUNNING && !must_be;
}

/* A run that was read to its end has a status; one that was not may have one. */
static void check_status(struct sim_workflow *w, int status, const char *where)
{
    int end = sim_kinds[w->kind].status;
    bool over = w->closed || w->close_type;
    bool chained = status == WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW ||
                   (w->kind == SIM_RETRIED && status == WORKFLOW_EXECUTION_STATUS_FAILED);
    bool fine = status == end || (!w->closed && (chained || (!over && is_open(w, status))));
    if (!fine) {
        sim_fail(w->sim, "%s: the %s says %s", w->id, where,
                 tl_pb_enum_name(&tp_enums__workflow_execution_status__descriptor, status));
    }
}

/* How many runs a list may have. */
static void check_runs(struct sim_workflow *w, int64_t count, const char *where)
{
    int64_t least = w->runs - (w->delete_asked ? 1 : 0), most = w->runs - (w->deleted ? 1 : 0);
    if (!w->closed && (w->kind == SIM_CHAIN || w->kind == SIM_RETRIED)) {
        most = 3; /* the chain may be ahead of what was read */
    }
    if (count < least || count > most) {
        sim_fail(w->sim, "%s: the %s has %lld runs, %d are known, deleted: %d", w->id, where,
                 (long long)count, w->runs, w->deleted);
    }
}

static void list_replied(struct sim_call *c, struct tl_arena *arena)
{
    struct sim_workflow *w = c->w;
    const TpEnums__WorkflowExecutionStatus terminated =
        (TpEnums__WorkflowExecutionStatus)WORKFLOW_EXECUTION_STATUS_TERMINATED;
    const TpEnums__WorkflowExecutionStatus completed =
        (TpEnums__WorkflowExecutionStatus)WORKFLOW_EXECUTION_STATUS_COMPLETED;
    bool found = false;
    const TpWs__ListWorkflowExecutionsResponse *r = sim_call_decode(c, arena);
    for (size_t i = 0; r && i < r->n_executions; i++) {
        const TpWorkflow__WorkflowExecutionInfo *info = r->executions[i];
        if (strcmp(info->execution->run_id, w->run_id) == 0) {
            check_status(w, (int)info->status, "list");
            found = true;
        } else if (w->kind == SIM_RESET && info->status != terminated &&
                   info->status != completed) {
            sim_fail(w->sim, "%s: a run that was reset goes on", w->id);
        }
    }
    if (!r || (found ? w->deleted : !w->delete_asked)) {
        sim_fail(w->sim, "%s: the list %s its newest run", w->id, found ? "has" : "lacks");
        return;
    }
    check_runs(w, (int64_t)r->n_executions, "list");
    answered(w, SIM_ASK_LIST);
}

/* After the parent's end: a has completed, b is abandoned and lives, c was terminated; each exists
 * once. The policy is carried out a little after the end: c may still run. */
static void children_replied(struct sim_call *c, struct tl_arena *arena)
{
    static const int ends[] = {WORKFLOW_EXECUTION_STATUS_COMPLETED,
                               WORKFLOW_EXECUTION_STATUS_RUNNING,
                               WORKFLOW_EXECUTION_STATUS_TERMINATED};
    struct sim_workflow *w = c->w;
    unsigned found = 0;
    bool settled = true;
    const TpWs__ListWorkflowExecutionsResponse *r = sim_call_decode(c, arena);
    for (size_t i = 0; r && i < r->n_executions; i++) {
        const char *id = r->executions[i]->execution->workflow_id;
        int which = id[strlen(w->id) + 1] - 'a', status = (int)r->executions[i]->status;
        bool late = which == 2 && status == WORKFLOW_EXECUTION_STATUS_RUNNING;
        if (which < 0 || which > 2 || (found & 1U << which) || (status != ends[which] && !late)) {
            sim_fail(w->sim, "%s: is there twice or has the status %d", id, status);
            return;
        }
        found |= 1U << which;
        settled = settled && !late;
    }
    if (found != 7) {
        sim_fail(w->sim, "%s: a child is lost, there are %x", w->id, found);
    } else if (settled) {
        answered(w, SIM_ASK_CHILDREN);
    }
}

static void count_replied(struct sim_call *c, struct tl_arena *arena)
{
    const TpWs__CountWorkflowExecutionsResponse *r = sim_call_decode(c, arena);
    check_runs(c->w, r ? r->count : -1, "count");
    answered(c->w, SIM_ASK_COUNT);
}

static void describe_replied(struct sim_call *c, struct tl_arena *arena)
{
    struct sim_workflow *w = c->w;
    const TpWs__DescribeWorkflowExecutionResponse *r = sim_call_decode(c, arena);
    if (!r || !r->workflow_execution_info) {
        sim_fail(w->sim, "%s: a description without content", w->id);
        return;
    }
    int64_t length = r->workflow_execution_info->history_length;
    check_status(w, (int)r->workflow_execution_info->status, "description");
    if (w->closed ? length != (int64_t)w->seen_count : length < (int64_t)w->seen_count) {
        sim_fail(w->sim, "%s: is described with %lld events, %zu were read", w->id,
                 (long long)length, w->seen_count);
    }
    if (w->deleted) {
        sim_fail(w->sim, "%s: was deleted and has a description", w->id);
    }
    answered(w, SIM_ASK_DESCRIBE);
}

/* --- pauses and resets ------------------------------------------------------------------------------ */

/* Acknowledged, or known to have happened. */
static void pause_step_done(struct sim_workflow *w)
{
    w->pauses.acked++;
    w->pauses.sent = false;
}

/* The new run begins with what was read of the old one before the point. */
static void reset_replied(struct sim_call *c, struct tl_arena *arena)
{
    struct sim_workflow *w = c->w;
    const TpWs__ResetWorkflowExecutionResponse *r = sim_call_decode(c, arena);
    if (!r || !r->run_id[0] || strcmp(r->run_id, w->run_id) == 0) {
        sim_fail(w->sim, "%s: a reset answers the run %s", w->id, r ? r->run_id : "");
        return;
    }
    snprintf(w->run_id, sizeof w->run_id, "%s", r->run_id);
    w->seen_count = (size_t)w->resets.point - 1;
    w->page_token_n = 0;
    w->close_type = 0;
    w->runs++;
    w->resets.acked++;
    w->resets.sent = false;
    w->resets.point_count = 0;
}

/* --- refusals ---------------------------------------------------------------------------------------- */

bool sim_call_lost(const struct sim_call *c)
{
    int status = c->result->status;
    return status == GRPC_UNAVAILABLE || status == GRPC_DEADLINE || status == GRPC_CANCELLED ||
           status == GRPC_ABORTED;
}

/* What a live server may answer beside OK depends on the call. */
static bool refusal_is_fine(const struct sim_call *c)
{
    const struct sim_workflow *w = c->w;
    int status = c->result->status;
    if (sim_call_lost(c)) {
        return true;
    }
    switch (c->what) {
    case SIM_CALL_QUERY: /* not ready, no worker yet, a full buffer of queries */
        return status != GRPC_NOT_FOUND || w->delete_asked;
    case SIM_CALL_AGAIN:
        return status == GRPC_EXISTS;
    case SIM_CALL_START:
        return status == GRPC_EXISTS && (w->kind == SIM_CHAIN || w->kind == SIM_RETRIED);
    case SIM_CALL_ENDPOINT: /* it was made, and the answer was lost */
        return status == GRPC_EXISTS;
    case SIM_CALL_PAUSE:
        return status == GRPC_NOT_FOUND;
    case SIM_CALL_UNPAUSE: /* the answer of the first was lost */
        return w->pauses.repeated && (status == GRPC_NOT_FOUND || status == GRPC_PRECONDITION);
    case SIM_CALL_STOP: /* a run that has ended takes no signal and no stop */
        return status == GRPC_NOT_FOUND;
    case SIM_CALL_SIGNAL:
        return status == GRPC_NOT_FOUND && w->kind != SIM_ORDER;
    case SIM_CALL_BEAT:
    case SIM_CALL_DONE: /* a token of an attempt that is over */
        return status == GRPC_NOT_FOUND;
    default:
        return status == GRPC_NOT_FOUND && w->delete_asked;
    }
}

static void refused(struct sim_call *c)
{
    struct sim_workflow *w = c->w;
    if (!refusal_is_fine(c)) {
        sim_fail(w->sim, "%s: call %d answered %d: %.*s", w->id, (int)c->what, c->result->status,
                 TL_STR_FMT(c->result->message));
        return;
    }
    if (sim_call_lost(c)) {
        return;
    }
    if (c->what == SIM_CALL_PAGE) {
        w->page_token_n = 0;
    }
    if (c->what == SIM_CALL_BEAT || c->what == SIM_CALL_DONE) {
        w->manual.token_n = 0; /* the next attempt brings another */
    }
    if (c->what == SIM_CALL_PAUSE) {
        w->pauses.steps = w->pauses.acked; /* it has ended */
    }
    if (c->what == SIM_CALL_UNPAUSE) {
        pause_step_done(w);
    }
    if (c->what == SIM_CALL_ENDPOINT) {
        w->later.endpoint_acked = true;
    }
    if (c->what == SIM_CALL_START && !start_refused(c)) {
        sim_fail(w->sim, "%s: a refused start does not say why", w->id);
    }
    if (c->what == SIM_CALL_DELETE) {
        w->deleted = true;
        answered(w, SIM_ASK_DELETE);
    }
    if (w->deleted && c->result->status == GRPC_NOT_FOUND) {
        static const enum sim_ask asks[SIM_CALLS] = {[SIM_CALL_QUERY] = SIM_ASK_QUERY,
                                                     [SIM_CALL_HISTORY] = SIM_ASK_HISTORY,
                                                     [SIM_CALL_PAGE] = SIM_ASK_PAGES,
                                                     [SIM_CALL_UPDATE] = SIM_ASK_UPDATE,
                                                     [SIM_CALL_DESCRIBE] = SIM_ASK_DESCRIBE};
        answered(w, asks[c->what]);
    }
}

static void accepted(struct sim_call *c, struct tl_arena *arena)
{
    static void (*const replied[SIM_CALLS])(struct sim_call *, struct tl_arena *) = {
        [SIM_CALL_START] = start_replied,       [SIM_CALL_HISTORY] = history_replied,
        [SIM_CALL_AWAIT] = await_replied,       [SIM_CALL_QUERY] = query_replied,
        [SIM_CALL_PAGE] = page_replied,         [SIM_CALL_LIST] = list_replied,
        [SIM_CALL_COUNT] = count_replied,       [SIM_CALL_DESCRIBE] = describe_replied,
        [SIM_CALL_CHILDREN] = children_replied, [SIM_CALL_UPDATE] = update_replied,
        [SIM_CALL_RESET] = reset_replied,
    };
    struct sim_workflow *w = c->w;
    switch (c->what) {
    case SIM_CALL_SIGNAL:
        w->signals_acked = w->signals_sent;
        break;
    case SIM_CALL_STOP:
        w->stop_acked = true;
        break;
    case SIM_CALL_PAUSE:
    case SIM_CALL_UNPAUSE:
        pause_step_done(w);
        break;
    case SIM_CALL_ENDPOINT:
        w->later.endpoint_acked = true;
        break;
    case SIM_CALL_BACK:
        w->later.acked = true;
        break;
    case SIM_CALL_AGAIN:
        sim_fail(w->sim, "%s: was started a second time", w->id);
        break;
    case SIM_CALL_BEAT:
        w->manual.beats_acked = c->beat;
        break;
    case SIM_CALL_DONE:
        w->manual.done_acked = true;
        w->manual.token_n = 0;
        break;
    case SIM_CALL_DELETE:
        w->deleted = true;
        answered(w, SIM_ASK_DELETE);
        w->asks |= sim_asks_of(w); /* all of it is to be gone */
        break;
    default:
        replied[c->what](c, arena);
    }
}

void sim_call_note(const struct sim_call *c)
{
    struct sim *s = c->sim;
    sim_trace(s, &c->what, sizeof c->what);
    sim_trace(s, &c->result->status, sizeof c->result->status);
    sim_trace(s, c->result->body.p, c->result->body.n);
    sim_tell(s, "%s: %s answers %d, %zu bytes %.*s", c->id, tl_method_info(c->result->method)->name,
             c->result->status, c->result->body.n, TL_STR_FMT(c->result->message));
    s->calls_answered[c->what] += c->result->status == 0;
}

void sim_call_replied(struct sim_call *c)
{
    struct tl_arena arena;
    tl_arena_init(&arena, (size_t)tl_limit_request_bytes);
    sim_call_note(c);
    if (c->result->status != 0) {
        refused(c);
    } else {
        accepted(c, &arena);
    }
    tl_arena_deinit(&arena);
}
