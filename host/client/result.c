/* Results of workflows, history pages, queries: the calls with logic of their own. */
#include "client/client.h"

#include "base/assert.h"
#include "client/client_int.h"
#include "proto/pb.h"
#include "tl_enums.h"

#define PAGE_BYTES_MAX ((size_t)1024 * 1024 * 1024)

/* --- History ----------------------------------------------------------------------------------- */

void tl_history_iter_init(struct tl_history_iter *it, struct tl_client *c)
{
    *it = (struct tl_history_iter){.client = c};
    tl_arena_init(&it->tokens[0], PAGE_BYTES_MAX);
    tl_arena_init(&it->tokens[1], PAGE_BYTES_MAX);
}

void tl_history_iter_deinit(struct tl_history_iter *it)
{
    tl_arena_deinit(&it->tokens[0]);
    tl_arena_deinit(&it->tokens[1]);
}

/* Keeps the token for the next page; the previous one dies. */
static void keep_token(struct tl_history_iter *it, struct tl_str token)
{
    it->turn ^= 1;
    struct tl_arena *a = &it->tokens[it->turn];
    tl_arena_reset(a);
    it->token = token.n ? tl_arena_str(a, token) : (struct tl_str){0};
    it->done = token.n == 0;
}

static int64_t time_left(const struct tl_history_iter *it)
{
    if (!it->deadline_mono_ns) {
        return it->wait_new_event ? -1 : 0;
    }
    return it->deadline_mono_ns - tl_world_mono_ns(it->client->world);
}

const TpHistory__History *tl_history_iter_next(struct tl_history_iter *it, struct tl_arena *arena,
                                               tl_rc *rc, struct tl_client_error *err)
{
    *rc = TL_OK;
    while (!it->done) {
        TpWs__GetWorkflowExecutionHistoryRequest req =
            TP_WS__GET_WORKFLOW_EXECUTION_HISTORY_REQUEST__INIT;
        TpWs__GetWorkflowExecutionHistoryResponse *resp = NULL;
        TpCommon__WorkflowExecution execution = TP_COMMON__WORKFLOW_EXECUTION__INIT;
        int64_t left_ns = time_left(it);
        if (it->deadline_mono_ns && left_ns <= 0) {
            *rc = tl_client_error_local(err, TL_EDEADLINE,
                                        "no end of the history within the time given");
            return NULL;
        }
        execution.workflow_id = tl_pb_cstr(arena, it->workflow_id);
        execution.run_id = tl_pb_cstr(arena, it->run_id);
        if (!execution.workflow_id || !execution.run_id) {
            *rc = tl_client_error_local(err, TL_EINVAL, "workflow id or run id with a NUL byte");
            return NULL;
        }
        req.execution = &execution;
        req.maximum_page_size = it->page_size;
        req.wait_new_event = it->wait_new_event;
        req.skip_archival = true;
        req.next_page_token = tl_pb_bytes_view(it->token);
        req.history_event_filter_type =
            (TpEnums__HistoryEventFilterType)(it->close_event_only
                                                  ? HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT
                                                  : HISTORY_EVENT_FILTER_TYPE_ALL_EVENT);
        *rc = tl_client_call(it->client, TL_M_GetWorkflowExecutionHistory, &req, arena, &resp,
                             left_ns, err);
        if (*rc != TL_OK) {
            return NULL;
        }
        keep_token(it, tl_pb_str(resp->next_page_token));
        if (resp->history && resp->history->n_events) {
            return resp->history;
        }
    }
    return NULL;
}

tl_rc tl_client_history(struct tl_client *c, struct tl_str workflow_id, struct tl_str run_id,
                        struct tl_arena *arena, TpHistory__History **out,
                        struct tl_client_error *err)
{
    struct tl_history_iter it;
    struct tl_pb_list events = {0};
    const TpHistory__History *page;
    tl_rc rc;
    bool ok = true;
    tl_history_iter_init(&it, c);
    it.workflow_id = workflow_id;
    it.run_id = run_id;
    while ((page = tl_history_iter_next(&it, arena, &rc, err)) != NULL) {
        for (size_t i = 0; i < page->n_events; i++) {
            ok = tl_pb_push(arena, &events, page->events[i]) && ok;
        }
    }
    tl_history_iter_deinit(&it);
    if (rc != TL_OK) {
        return rc;
    }
    TpHistory__History *h = TL_PB_NEW(arena, TpHistory__History, tp_history__history);
    if (!ok || !h) {
        return tl_client_error_local(err, TL_ELIMIT, "the history does not fit the memory limit");
    }
    h->n_events = events.n;
    h->events = events.items;
    *out = h;
    return TL_OK;
}

/* --- Results ----------------------------------------------------------------------------------- */

static TpFailure__Failure *made_failure(struct tl_arena *arena, const char *message)
{
    TpFailure__Failure *f = TL_PB_NEW(arena, TpFailure__Failure, tp_failure__failure);
    if (f) {
        f->message = tl_pb_cstr(arena, tl_str(message));
        if (!f->message) {
            return NULL;
        }
    }
    return f;
}

static const TpFailure__Failure *
canceled_failure(struct tl_arena *arena,
                 const TpHistory__WorkflowExecutionCanceledEventAttributes *a)
{
    TpFailure__Failure *f = made_failure(arena, "Workflow canceled");
    TpFailure__CanceledFailureInfo *info =
        TL_PB_NEW(arena, TpFailure__CanceledFailureInfo, tp_failure__canceled_failure_info);
    if (!f || !info) {
        return NULL;
    }
    info->details = a->details;
    f->failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_CANCELED_FAILURE_INFO;
    f->canceled_failure_info = info;
    return f;
}

static const TpFailure__Failure *
terminated_failure(struct tl_arena *arena,
                   const TpHistory__WorkflowExecutionTerminatedEventAttributes *a)
{
    TpFailure__Failure *f = made_failure(arena, a->reason[0] ? a->reason : "Workflow terminated");
    TpFailure__TerminatedFailureInfo *info =
        TL_PB_NEW(arena, TpFailure__TerminatedFailureInfo, tp_failure__terminated_failure_info);
    if (!f || !info) {
        return NULL;
    }
    info->identity = a->identity;
    f->failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_TERMINATED_FAILURE_INFO;
    f->terminated_failure_info = info;
    return f;
}

static const TpFailure__Failure *timeout_failure(struct tl_arena *arena)
{
    TpFailure__Failure *f = made_failure(arena, "Workflow timed out");
    TpFailure__TimeoutFailureInfo *info =
        TL_PB_NEW(arena, TpFailure__TimeoutFailureInfo, tp_failure__timeout_failure_info);
    if (!f || !info) {
        return NULL;
    }
    info->timeout_type = (TpEnums__TimeoutType)TIMEOUT_TYPE_START_TO_CLOSE;
    f->failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_TIMEOUT_FAILURE_INFO;
    f->timeout_failure_info = info;
    return f;
}

static void set_status(struct tl_client_result *out, int status, const char *new_run_id)
{
    out->status = (TpEnums__WorkflowExecutionStatus)status;
    out->new_run_id = new_run_id;
}

bool tl_client_result_from_event(const TpHistory__HistoryEvent *event, struct tl_arena *arena,
                                 struct tl_client_result *out)
{
    *out = (struct tl_client_result){.run_id = "", .new_run_id = "", .event = event};
    /* By the attributes that are there, not by event_type: a peer may send a pair that disagrees. */
    switch (event->attributes_case) {
    case TP_HISTORY__HISTORY_EVENT__ATTRIBUTES_WORKFLOW_EXECUTION_COMPLETED_EVENT_ATTRIBUTES: {
        const TpHistory__WorkflowExecutionCompletedEventAttributes *a =
            event->workflow_execution_completed_event_attributes;
        set_status(out, WORKFLOW_EXECUTION_STATUS_COMPLETED, a->new_execution_run_id);
        out->result = a->result;
        return true;
    }
    case TP_HISTORY__HISTORY_EVENT__ATTRIBUTES_WORKFLOW_EXECUTION_FAILED_EVENT_ATTRIBUTES: {
        const TpHistory__WorkflowExecutionFailedEventAttributes *a =
            event->workflow_execution_failed_event_attributes;
        set_status(out, WORKFLOW_EXECUTION_STATUS_FAILED, a->new_execution_run_id);
        out->failure = a->failure;
        return true;
    }
    case TP_HISTORY__HISTORY_EVENT__ATTRIBUTES_WORKFLOW_EXECUTION_CANCELED_EVENT_ATTRIBUTES:
        set_status(out, WORKFLOW_EXECUTION_STATUS_CANCELED, "");
        out->failure = canceled_failure(arena, event->workflow_execution_canceled_event_attributes);
        return true;
    case TP_HISTORY__HISTORY_EVENT__ATTRIBUTES_WORKFLOW_EXECUTION_TERMINATED_EVENT_ATTRIBUTES:
        set_status(out, WORKFLOW_EXECUTION_STATUS_TERMINATED, "");
        out->failure =
            terminated_failure(arena, event->workflow_execution_terminated_event_attributes);
        return true;
    case TP_HISTORY__HISTORY_EVENT__ATTRIBUTES_WORKFLOW_EXECUTION_TIMED_OUT_EVENT_ATTRIBUTES:
        set_status(out, WORKFLOW_EXECUTION_STATUS_TIMED_OUT,
                   event->workflow_execution_timed_out_event_attributes->new_execution_run_id);
        out->failure = timeout_failure(arena);
        return true;
    case TP_HISTORY__HISTORY_EVENT__ATTRIBUTES_WORKFLOW_EXECUTION_CONTINUED_AS_NEW_EVENT_ATTRIBUTES:
        set_status(
            out, WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW,
            event->workflow_execution_continued_as_new_event_attributes->new_execution_run_id);
        return true;
    default:
        return false;
    }
}

/* Waits for the close event of one run; it and the run's id are copied to the arena. */
static tl_rc wait_closed(struct tl_client *c, const struct tl_client_result_query *q,
                         struct tl_str run_id, int64_t deadline, struct tl_arena *arena,
                         TpHistory__HistoryEvent **event, struct tl_client_error *err)
{
    struct tl_history_iter it;
    struct tl_arena page_arena;
    const TpHistory__History *page;
    tl_rc rc;
    tl_arena_init(&page_arena, PAGE_BYTES_MAX);
    tl_history_iter_init(&it, c);
    it.workflow_id = q->workflow_id;
    it.run_id = run_id;
    it.wait_new_event = true;
    it.close_event_only = true;
    it.deadline_mono_ns = deadline;
    *event = NULL;
    page = tl_history_iter_next(&it, &page_arena, &rc, err);
    if (page) {
        *event = tl_pb_clone(page->events[page->n_events - 1], arena);
        if (!*event) {
            rc = tl_client_error_local(err, TL_ELIMIT, "the result does not fit the memory limit");
        }
    } else if (rc == TL_OK) {
        rc = tl_client_error_local(err, TL_EINTERNAL, "the history ended without a close event");
    } else if (err && err->failure) {
        err->failure = tl_pb_clone(err->failure, arena);
    }
    if (err && rc != TL_OK) {
        err->run_id = ""; /* was in the page arena; a history call names no run */
    }
    tl_history_iter_deinit(&it);
    tl_arena_deinit(&page_arena);
    return rc;
}

tl_rc tl_client_result(struct tl_client *c, const struct tl_client_result_query *query,
                       struct tl_arena *arena, struct tl_client_result *out,
                       struct tl_client_error *err)
{
    struct tl_str run_id = tl_arena_str(arena, query->run_id);
    int64_t deadline = query->timeout_ns > 0 ? tl_world_mono_ns(c->world) + query->timeout_ns : 0;
    *out = (struct tl_client_result){.run_id = "", .new_run_id = ""};
    for (;;) {
        TpHistory__HistoryEvent *event = NULL;
        tl_rc rc = wait_closed(c, query, run_id, deadline, arena, &event, err);
        if (rc != TL_OK) {
            return rc;
        }
        if (!tl_client_result_from_event(event, arena, out)) {
            return tl_client_error_local(err, TL_EINTERNAL,
                                         "event %lld does not close the workflow",
                                         (long long)event->event_id);
        }
        out->run_id = run_id.n ? run_id.p : "";
        if (!query->follow_runs || !out->new_run_id[0]) {
            return TL_OK;
        }
        run_id = tl_str(out->new_run_id);
    }
}

/* --- Queries ----------------------------------------------------------------------------------- */

tl_rc tl_client_query(struct tl_client *c, TpWs__QueryWorkflowRequest *request,
                      struct tl_arena *arena, TpCommon__Payloads **result, int64_t timeout_ns,
                      struct tl_client_error *err)
{
    TpWs__QueryWorkflowResponse *resp = NULL;
    *result = NULL;
    tl_rc rc = tl_client_call(c, TL_M_QueryWorkflow, request, arena, &resp, timeout_ns, err);
    if (rc != TL_OK) {
        return rc;
    }
    if (resp->query_rejected) {
        rc = tl_client_error_local(err, TL_EPRECONDITION,
                                   "query rejected: the workflow's status is %s",
                                   tl_pb_enum_name(&tp_enums__workflow_execution_status__descriptor,
                                                   (int)resp->query_rejected->status));
        if (err) {
            err->kind = TL_CE_QUERY_REJECTED;
            err->status = resp->query_rejected->status;
        }
        return rc;
    }
    *result = resp->query_result;
    return TL_OK;
}
