/* The pages of a history that did not fit the poll's response, or that an uncached run needs from
 * event 1. Asynchronous: the actor serves other runs meanwhile. */
#include "base/log.h"
#include "worker/wf_int.h"

#define ATTEMPTS_MAX 5

static void send_request(struct tl_wf_task *t, ProtobufCBinaryData token);

/* The task cannot be worked on. A query is told, so that its caller does not wait; a workflow task
 * times out and comes again. */
static void give_up(struct tl_wf_task *t, const char *message)
{
    TL_LOG(TL_LOG_WARN, "workflow_task.history_missing",
           TL_C("workflow_id", t->poll->workflow_execution->workflow_id),
           TL_S("run_id", t->run->run_id), TL_C("error", message));
    t->fetching = false;
    t->evict = true;
    if (t->poll->query) {
        tl_wf_respond_error(t,
                            (TpEnums__WorkflowTaskFailedCause)
                                WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE,
                            "HistoryNotAvailable", message);
    } else {
        tl_wf_task_abandon(t);
    }
}

static bool add_events(struct tl_wf_task *t, const TpHistory__History *h)
{
    for (size_t i = 0; h && i < h->n_events; i++) {
        if (!tl_pb_push(&t->memory->arena, &t->events, h->events[i])) {
            return false;
        }
    }
    return true;
}

/* All pages are there: the poll looks as if they had come with it. */
static void complete(struct tl_wf_task *t)
{
    TpHistory__History *h = TL_PB_NEW(&t->memory->arena, TpHistory__History, tp_history__history);
    if (!h) {
        give_up(t, "the history does not fit the memory limit");
        return;
    }
    h->n_events = t->events.n;
    h->events = t->events.items;
    t->poll->history = h;
    t->poll->next_page_token = (ProtobufCBinaryData){0, NULL};
    t->fetching = false;
    t->retry.attempt = 0;
    tl_wf_task_handle(t);
}

static void page_came(struct tl_reply_to *to, struct tl_rpc_result *res)
{
    struct tl_wf_task *t = TL_CONTAINER(to, struct tl_wf_task, to);
    struct tl_error err = {0};
    TpWs__GetWorkflowExecutionHistoryResponse *page = NULL;
    tl_rc rc = TL_OK;
    if (res->status != 0) {
        if (t->retry.attempt < ATTEMPTS_MAX && tl_wf_task_retry(t, res)) {
            tl_rpc_result_free(res);
            return;
        }
        rc = tl_error_set(&err, TL_EUNAVAILABLE, "%.*s", TL_STR_FMT(res->message));
    } else {
        rc = tl_pb_decode(&tp_ws__get_workflow_execution_history_response__descriptor, res->body,
                          &t->memory->arena, &page, &err);
        if (rc == TL_OK && !add_events(t, page->history)) {
            rc = tl_error_set(&err, TL_ELIMIT, "the history does not fit the memory limit");
        }
    }
    tl_rpc_result_free(res);
    if (rc != TL_OK) {
        give_up(t, err.message);
    } else if (page->next_page_token.len) {
        send_request(t, page->next_page_token);
    } else {
        complete(t);
    }
}

static void send_request(struct tl_wf_task *t, ProtobufCBinaryData token)
{
    struct tl_error err = {0};
    TpWs__GetWorkflowExecutionHistoryRequest req =
        TP_WS__GET_WORKFLOW_EXECUTION_HISTORY_REQUEST__INIT;
    req.namespace_ = t->owner->actor.worker->namespace_name;
    req.execution = t->poll->workflow_execution;
    req.next_page_token = token;
    t->method = TL_M_GetWorkflowExecutionHistory;
    if (tl_pb_encode_arena(&req, &t->memory->arena, &t->request, &err) != TL_OK) {
        give_up(t, err.message);
        return;
    }
    t->fetching = true;
    t->to.on_result = page_came;
    tl_wf_task_send(t);
}

void tl_wf_fetch(struct tl_wf_task *t, bool from_start)
{
    t->events = (struct tl_pb_list){0};
    if (!from_start && !add_events(t, t->poll->history)) {
        give_up(t, "the history does not fit the memory limit");
        return;
    }
    send_request(t, from_start ? (ProtobufCBinaryData){0, NULL} : t->poll->next_page_token);
}
