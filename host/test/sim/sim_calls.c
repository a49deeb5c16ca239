/* The requests of the clients. A call that is repeated carries the request id of the first time.
 * Ownership: requests live until they are encoded. */
#include <stdio.h>
#include <string.h>

#include <temporal/api/operatorservice/v1/request_response.pb-c.h>

#include "base/limits.h"
#include "base/mem.h"
#include "proto/payload.h"
#include "proto/pb.h"
#include "sim/sim.h"
#include "tl_enums.h"

#define CALL_TIMEOUT_NS (10 * TL_NS_PER_S)

static void done(void *ud, struct tl_rpc_result *res)
{
    struct sim_call *c = ud;
    struct sim *s = c->sim;
    c->result = res;
    c->msg.next = NULL;
    *s->done_tail = &c->msg;
    s->done_tail = &c->msg.next;
}

void sim_call_submit(const struct sim_call *like, enum tl_method method, void *request)
{
    struct sim_call *c = TL_NEW(struct sim_call);
    struct tl_error err;
    *c = *like;
    if (tl_client_submit(c->sim->client, method, request, CALL_TIMEOUT_NS, done, c, &c->call,
                         &err) != TL_OK) {
        sim_fail(c->sim, "call %d: %s", (int)c->what, err.message);
        tl_mem_free(c);
        return;
    }
    ++*c->busy;
}

static void submit_update(struct sim_workflow *w, enum sim_what what, enum tl_method method,
                          void *request, int update)
{
    struct sim_call c = {.sim = w->sim,
                         .w = w,
                         .id = w->id,
                         .replied = sim_call_replied,
                         .busy = &w->busy,
                         .what = what,
                         .signals_before = w->signals_acked,
                         .beat = w->manual.beats_sent,
                         .update = update};
    sim_call_submit(&c, method, request);
}

static void submit(struct sim_workflow *w, enum sim_what what, enum tl_method method, void *request)
{
    submit_update(w, what, method, request, 0);
}

/* --- parts of requests ---------------------------------------------------------------------------- */

TpCommon__Payloads *sim_integers(struct tl_arena *arena, int count, const int *values)
{
    TpCommon__Payloads *list = TL_PB_NEW(arena, TpCommon__Payloads, tp_common__payloads);
    list->payloads = TL_ARENA_ARRAY(arena, TpCommon__Payload *, (size_t)count);
    for (int i = 0; i < count; i++) {
        list->payloads[i] = tl_payload_json(arena, tl_str(tl_arena_printf(arena, "%d", values[i])));
    }
    list->n_payloads = (size_t)count;
    return list;
}

static TpCommon__WorkflowExecution *execution(struct sim_workflow *w, struct tl_arena *arena)
{
    TpCommon__WorkflowExecution *e =
        TL_PB_NEW(arena, TpCommon__WorkflowExecution, tp_common__workflow_execution);
    e->workflow_id = w->id;
    e->run_id = w->run_id;
    return e;
}

static TpCommon__WorkflowType *type_of(struct sim_workflow *w, struct tl_arena *arena)
{
    TpCommon__WorkflowType *t = TL_PB_NEW(arena, TpCommon__WorkflowType, tp_common__workflow_type);
    t->name = tl_arena_cstr(arena, tl_str(sim_kinds[w->kind].type));
    return t;
}

int sim_integer(const TpCommon__Payloads *payloads)
{
    char text[32] = "";
    int n = 0;
    if (payloads && payloads->n_payloads && payloads->payloads[0]->data.len < sizeof text) {
        memcpy(text, payloads->payloads[0]->data.data, payloads->payloads[0]->data.len);
    }
    return sscanf(text, "%d", &n) == 1 ? n : 0;
}

TpTq__TaskQueue *sim_queue(struct tl_arena *arena)
{
    TpTq__TaskQueue *q = TL_PB_NEW(arena, TpTq__TaskQueue, tp_tq__task_queue);
    q->name = tl_arena_cstr(arena, TL_STR_LIT("sim"));
    return q;
}

static TpCommon__Payloads *arguments(struct sim_workflow *w, struct tl_arena *arena)
{
    int second = w->kind == SIM_CHAIN ? 2 : w->kind == SIM_UPDATED ? w->updates : w->signals;
    return sim_integers(arena, 2, (int[]){w->number + 1, second});
}

static bool is_versioned(const struct sim_workflow *w)
{
    return w->kind == SIM_PINNED || w->kind == SIM_MOVING;
}

/* --- starts ---------------------------------------------------------------------------------------- */

static void call_start(struct sim_workflow *w, struct tl_arena *arena, enum sim_what what)
{
    TpWs__StartWorkflowExecutionRequest *r = TL_PB_NEW(arena, TpWs__StartWorkflowExecutionRequest,
                                                       tp_ws__start_workflow_execution_request);
    r->workflow_id = w->id;
    r->workflow_type = type_of(w, arena);
    r->task_queue = sim_queue(arena);
    if (is_versioned(w)) {
        r->task_queue->name = tl_arena_cstr(arena, TL_STR_LIT("builds"));
    }
    r->input = arguments(w, arena);
    r->request_id =
        tl_arena_printf(arena, "%s-%s", what == SIM_CALL_AGAIN ? "again" : "start", w->id);
    /* A chain has other request ids in its later runs: repeated late, a start is a new one. */
    if (what == SIM_CALL_AGAIN || w->kind == SIM_CHAIN || w->kind == SIM_RETRIED) {
        r->workflow_id_reuse_policy =
            (TpEnums__WorkflowIdReusePolicy)WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE;
    }
    if (w->kind == SIM_RETRIED) {
        r->retry_policy = TL_PB_NEW(arena, TpCommon__RetryPolicy, tp_common__retry_policy);
        r->retry_policy->initial_interval = tl_pb_duration_ns(arena, TL_NS_PER_S);
        r->retry_policy->backoff_coefficient = 2;
    }
    if (w->kind == SIM_TIMED_OUT) {
        r->workflow_run_timeout = tl_pb_duration_ns(arena, (5 + w->number) * TL_NS_PER_S);
    }
    submit(w, what, TL_M_StartWorkflowExecution, r);
}

/* A workflow that is started together with its first signal. */
static void call_greet(struct sim_workflow *w, struct tl_arena *arena)
{
    TpWs__SignalWithStartWorkflowExecutionRequest *r =
        TL_PB_NEW(arena, TpWs__SignalWithStartWorkflowExecutionRequest,
                  tp_ws__signal_with_start_workflow_execution_request);
    r->workflow_id = w->id;
    r->workflow_type = type_of(w, arena);
    r->task_queue = sim_queue(arena);
    r->input = arguments(w, arena);
    r->request_id = tl_arena_printf(arena, "greet-%s", w->id);
    r->signal_name = tl_arena_cstr(arena, TL_STR_LIT("s"));
    r->signal_input = sim_integers(arena, 1, (int[]){1});
    w->signals_sent = 1;
    submit(w, SIM_CALL_START, TL_M_SignalWithStartWorkflowExecution, r);
}

/* --- what is done to a workflow ----------------------------------------------------------------------- */

static void call_signal(struct sim_workflow *w, struct tl_arena *arena)
{
    int number = w->signals_acked + 1;
    TpWs__SignalWorkflowExecutionRequest *r = TL_PB_NEW(arena, TpWs__SignalWorkflowExecutionRequest,
                                                        tp_ws__signal_workflow_execution_request);
    r->workflow_execution = execution(w, arena);
    r->signal_name = tl_arena_cstr(arena, TL_STR_LIT("s"));
    r->input = sim_integers(arena, 1, &number);
    r->request_id = tl_arena_printf(arena, "signal-%s-%d", w->id, number);
    w->signals_sent = number;
    submit(w, SIM_CALL_SIGNAL, TL_M_SignalWorkflowExecution, r);
}

/* The next one; when all are acknowledged, one of them again. */
static void call_update(struct sim_workflow *w, struct tl_arena *arena)
{
    int number = w->updates_acked < w->updates
                     ? w->updates_acked + 1
                     : 1 + (int)tl_rng_below(&w->sim->rng, (uint64_t)w->updates);
    TpWs__UpdateWorkflowExecutionRequest *r = TL_PB_NEW(arena, TpWs__UpdateWorkflowExecutionRequest,
                                                        tp_ws__update_workflow_execution_request);
    r->workflow_execution = execution(w, arena);
    r->wait_policy = TL_PB_NEW(arena, TpUpdate__WaitPolicy, tp_update__wait_policy);
    r->wait_policy->lifecycle_stage = (TpEnums__UpdateWorkflowExecutionLifecycleStage)
        UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED;
    r->request = TL_PB_NEW(arena, TpUpdate__Request, tp_update__request);
    r->request->meta = TL_PB_NEW(arena, TpUpdate__Meta, tp_update__meta);
    r->request->meta->update_id = tl_arena_printf(arena, "update-%d", number);
    r->request->input = TL_PB_NEW(arena, TpUpdate__Input, tp_update__input);
    r->request->input->name = tl_arena_cstr(arena, TL_STR_LIT("add"));
    r->request->input->args = sim_integers(arena, 1, &number);
    submit_update(w, SIM_CALL_UPDATE, TL_M_UpdateWorkflowExecution, r, number);
}

static void call_stop(struct sim_workflow *w, struct tl_arena *arena)
{
    w->stop_asked = true;
    if (w->kind == SIM_CANCELLED) {
        TpWs__RequestCancelWorkflowExecutionRequest *r =
            TL_PB_NEW(arena, TpWs__RequestCancelWorkflowExecutionRequest,
                      tp_ws__request_cancel_workflow_execution_request);
        r->workflow_execution = execution(w, arena);
        r->request_id = tl_arena_printf(arena, "cancel-%s", w->id);
        submit(w, SIM_CALL_STOP, TL_M_RequestCancelWorkflowExecution, r);
        return;
    }
    TpWs__TerminateWorkflowExecutionRequest *r =
        TL_PB_NEW(arena, TpWs__TerminateWorkflowExecutionRequest,
                  tp_ws__terminate_workflow_execution_request);
    r->workflow_execution = execution(w, arena);
    submit(w, SIM_CALL_STOP, TL_M_TerminateWorkflowExecution, r);
}

static void call_delete(struct sim_workflow *w, struct tl_arena *arena)
{
    TpWs__DeleteWorkflowExecutionRequest *r = TL_PB_NEW(arena, TpWs__DeleteWorkflowExecutionRequest,
                                                        tp_ws__delete_workflow_execution_request);
    r->workflow_execution = execution(w, arena);
    w->delete_asked = true;
    submit(w, SIM_CALL_DELETE, TL_M_DeleteWorkflowExecution, r);
}

static void call_pause(struct sim_workflow *w, struct tl_arena *arena)
{
    TpWs__PauseWorkflowExecutionRequest *r = TL_PB_NEW(arena, TpWs__PauseWorkflowExecutionRequest,
                                                       tp_ws__pause_workflow_execution_request);
    r->workflow_id = w->id;
    r->run_id = w->run_id;
    r->request_id = tl_arena_printf(arena, "pause-%s-%d", w->id, w->pauses.acked);
    w->pauses.repeated = w->pauses.sent;
    w->pauses.sent = true;
    submit(w, SIM_CALL_PAUSE, TL_M_PauseWorkflowExecution, r);
}

static void call_unpause(struct sim_workflow *w, struct tl_arena *arena)
{
    TpWs__UnpauseWorkflowExecutionRequest *r = TL_PB_NEW(
        arena, TpWs__UnpauseWorkflowExecutionRequest, tp_ws__unpause_workflow_execution_request);
    r->workflow_id = w->id;
    r->run_id = w->run_id;
    r->request_id = tl_arena_printf(arena, "unpause-%s-%d", w->id, w->pauses.acked);
    w->pauses.repeated = w->pauses.sent;
    w->pauses.sent = true;
    submit(w, SIM_CALL_UNPAUSE, TL_M_UnpauseWorkflowExecution, r);
}

static void call_reset(struct sim_workflow *w, struct tl_arena *arena)
{
    struct sim_resets *resets = &w->resets;
    TpWs__ResetWorkflowExecutionRequest *r = TL_PB_NEW(arena, TpWs__ResetWorkflowExecutionRequest,
                                                       tp_ws__reset_workflow_execution_request);
    if (!resets->sent) {
        resets->point = resets->points[tl_rng_below(&w->sim->rng, resets->point_count)];
        resets->sent = true;
    }
    r->workflow_execution = execution(w, arena);
    r->request_id = tl_arena_printf(arena, "reset-%s-%d", w->id, resets->acked);
    r->workflow_task_finish_event_id = resets->point;
    submit(w, SIM_CALL_RESET, TL_M_ResetWorkflowExecution, r);
}

void sim_call_endpoint(const struct sim_call *like, struct tl_arena *arena, const char *name)
{
    TpOs__CreateNexusEndpointRequest *r =
        TL_PB_NEW(arena, TpOs__CreateNexusEndpointRequest, tp_os__create_nexus_endpoint_request);
    r->spec = TL_PB_NEW(arena, TpNexus__EndpointSpec, tp_nexus__endpoint_spec);
    r->spec->name = tl_arena_cstr(arena, tl_str(name));
    r->spec->target = TL_PB_NEW(arena, TpNexus__EndpointTarget, tp_nexus__endpoint_target);
    r->spec->target->variant_case = TP_NEXUS__ENDPOINT_TARGET__VARIANT_WORKER;
    r->spec->target->worker =
        TL_PB_NEW(arena, TpNexus__EndpointTarget__Worker, tp_nexus__endpoint_target__worker);
    r->spec->target->worker->namespace_ = tl_arena_cstr(arena, TL_STR_LIT("default"));
    r->spec->target->worker->task_queue = tl_arena_cstr(arena, TL_STR_LIT("sim"));
    sim_call_submit(like, TL_M_CreateNexusEndpoint, r);
}

static void call_endpoint(struct sim_workflow *w, struct tl_arena *arena)
{
    struct sim_call c = {.sim = w->sim,
                         .w = w,
                         .id = w->id,
                         .replied = sim_call_replied,
                         .busy = &w->busy,
                         .what = SIM_CALL_ENDPOINT};
    sim_call_endpoint(&c, arena, tl_arena_printf(arena, "shop-%d", w->number + 1));
}

/* What the handler of "later" has promised: a workflow whose end calls back. */
static void call_back(struct sim_workflow *w, struct tl_arena *arena)
{
    struct sim_later *later = &w->later;
    TpWs__StartWorkflowExecutionRequest *r = TL_PB_NEW(arena, TpWs__StartWorkflowExecutionRequest,
                                                       tp_ws__start_workflow_execution_request);
    TpCommon__Callback *callback = TL_PB_NEW(arena, TpCommon__Callback, tp_common__callback);
    TpCommon__Callback__Nexus *nexus =
        TL_PB_NEW(arena, TpCommon__Callback__Nexus, tp_common__callback__nexus);
    r->workflow_id = tl_arena_printf(arena, "%s-back", w->id);
    r->workflow_type = TL_PB_NEW(arena, TpCommon__WorkflowType, tp_common__workflow_type);
    r->workflow_type->name = tl_arena_cstr(arena, TL_STR_LIT("Child"));
    r->task_queue = sim_queue(arena);
    r->input = sim_integers(arena, 1, (int[]){(w->number + 1) * 2});
    r->request_id = later->request_id;
    nexus->url = later->url;
    nexus->n_header = (size_t)later->headers;
    nexus->header =
        TL_ARENA_ARRAY(arena, TpCommon__Callback__Nexus__HeaderEntry *, nexus->n_header + 1);
    for (int i = 0; i < later->headers; i++) {
        nexus->header[i] = TL_PB_NEW(arena, TpCommon__Callback__Nexus__HeaderEntry,
                                     tp_common__callback__nexus__header_entry);
        nexus->header[i]->key = later->names[i];
        nexus->header[i]->value = later->values[i];
    }
    callback->variant_case = TP_COMMON__CALLBACK__VARIANT_NEXUS;
    callback->nexus = nexus;
    r->completion_callbacks = TL_ARENA_ARRAY(arena, TpCommon__Callback *, 1);
    r->completion_callbacks[0] = callback;
    r->n_completion_callbacks = 1;
    submit(w, SIM_CALL_BACK, TL_M_StartWorkflowExecution, r);
}

static ProtobufCBinaryData manual_token(struct sim_workflow *w)
{
    return (ProtobufCBinaryData){w->manual.token_n, w->manual.token};
}

static void call_beat(struct sim_workflow *w, struct tl_arena *arena)
{
    TpWs__RecordActivityTaskHeartbeatRequest *r =
        TL_PB_NEW(arena, TpWs__RecordActivityTaskHeartbeatRequest,
                  tp_ws__record_activity_task_heartbeat_request);
    w->manual.beats_sent++;
    r->task_token = manual_token(w);
    r->details = sim_integers(arena, 1, &w->manual.beats_sent);
    submit(w, SIM_CALL_BEAT, TL_M_RecordActivityTaskHeartbeat, r);
}

static void call_done(struct sim_workflow *w, struct tl_arena *arena)
{
    TpWs__RespondActivityTaskCompletedRequest *r =
        TL_PB_NEW(arena, TpWs__RespondActivityTaskCompletedRequest,
                  tp_ws__respond_activity_task_completed_request);
    r->task_token = manual_token(w);
    r->result = sim_integers(arena, 1, (int[]){(w->number + 1) * 2});
    submit(w, SIM_CALL_DONE, TL_M_RespondActivityTaskCompleted, r);
}

/* --- questions ---------------------------------------------------------------------------------------- */

static void call_query(struct sim_workflow *w, struct tl_arena *arena)
{
    TpWs__QueryWorkflowRequest *r =
        TL_PB_NEW(arena, TpWs__QueryWorkflowRequest, tp_ws__query_workflow_request);
    r->execution = execution(w, arena);
    r->query = TL_PB_NEW(arena, TpQuery__WorkflowQuery, tp_query__workflow_query);
    r->query->query_type = tl_arena_cstr(arena, TL_STR_LIT("count"));
    submit(w, SIM_CALL_QUERY, TL_M_QueryWorkflow, r);
}

static void call_history(struct sim_workflow *w, struct tl_arena *arena, enum sim_what what)
{
    TpWs__GetWorkflowExecutionHistoryRequest *r =
        TL_PB_NEW(arena, TpWs__GetWorkflowExecutionHistoryRequest,
                  tp_ws__get_workflow_execution_history_request);
    r->execution = execution(w, arena);
    r->maximum_page_size = what == SIM_CALL_PAGE ? 1 + (int)tl_rng_below(&w->sim->rng, 8) : 1000;
    if (what == SIM_CALL_PAGE) {
        r->next_page_token = (ProtobufCBinaryData){w->page_token_n, w->page_token};
    }
    if (what == SIM_CALL_AWAIT) {
        r->wait_new_event = true;
        r->history_event_filter_type =
            (TpEnums__HistoryEventFilterType)HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT;
    }
    submit(w, what, TL_M_GetWorkflowExecutionHistory, r);
}

static void call_list(struct sim_workflow *w, struct tl_arena *arena)
{
    TpWs__ListWorkflowExecutionsRequest *r = TL_PB_NEW(arena, TpWs__ListWorkflowExecutionsRequest,
                                                       tp_ws__list_workflow_executions_request);
    r->page_size = 100;
    r->query = tl_arena_printf(arena, "WorkflowId = '%s'", w->id);
    submit(w, SIM_CALL_LIST, TL_M_ListWorkflowExecutions, r);
}

static void call_children(struct sim_workflow *w, struct tl_arena *arena)
{
    TpWs__ListWorkflowExecutionsRequest *r = TL_PB_NEW(arena, TpWs__ListWorkflowExecutionsRequest,
                                                       tp_ws__list_workflow_executions_request);
    r->page_size = 100;
    r->query = tl_arena_printf(arena, "WorkflowId STARTS_WITH '%s-'", w->id);
    submit(w, SIM_CALL_CHILDREN, TL_M_ListWorkflowExecutions, r);
}

static void call_count(struct sim_workflow *w, struct tl_arena *arena)
{
    TpWs__CountWorkflowExecutionsRequest *r = TL_PB_NEW(arena, TpWs__CountWorkflowExecutionsRequest,
                                                        tp_ws__count_workflow_executions_request);
    r->query = tl_arena_printf(arena, "WorkflowId = '%s'", w->id);
    submit(w, SIM_CALL_COUNT, TL_M_CountWorkflowExecutions, r);
}

static void call_describe(struct sim_workflow *w, struct tl_arena *arena)
{
    TpWs__DescribeWorkflowExecutionRequest *r = TL_PB_NEW(
        arena, TpWs__DescribeWorkflowExecutionRequest, tp_ws__describe_workflow_execution_request);
    r->execution = execution(w, arena);
    submit(w, SIM_CALL_DESCRIBE, TL_M_DescribeWorkflowExecution, r);
}

void sim_call_make(struct sim_workflow *w, enum sim_what what)
{
    static void (*const calls[SIM_CALLS])(struct sim_workflow *, struct tl_arena *) = {
        [SIM_CALL_SIGNAL] = call_signal,     [SIM_CALL_QUERY] = call_query,
        [SIM_CALL_STOP] = call_stop,         [SIM_CALL_LIST] = call_list,
        [SIM_CALL_COUNT] = call_count,       [SIM_CALL_DESCRIBE] = call_describe,
        [SIM_CALL_BEAT] = call_beat,         [SIM_CALL_DONE] = call_done,
        [SIM_CALL_DELETE] = call_delete,     [SIM_CALL_CHILDREN] = call_children,
        [SIM_CALL_UPDATE] = call_update,     [SIM_CALL_PAUSE] = call_pause,
        [SIM_CALL_UNPAUSE] = call_unpause,   [SIM_CALL_RESET] = call_reset,
        [SIM_CALL_ENDPOINT] = call_endpoint, [SIM_CALL_BACK] = call_back,
    };
    struct tl_arena arena;
    sim_tell(w->sim, "%s: call %d, run %s", w->id, (int)what, w->run_id);
    tl_arena_init(&arena, (size_t)tl_limit_request_bytes);
    if (what == SIM_CALL_HISTORY || what == SIM_CALL_PAGE || what == SIM_CALL_AWAIT) {
        call_history(w, &arena, what);
    } else if (what == SIM_CALL_START && w->greeted) {
        call_greet(w, &arena);
    } else if (what == SIM_CALL_START || what == SIM_CALL_AGAIN) {
        call_start(w, &arena, what);
    } else {
        calls[what](w, &arena);
    }
    tl_arena_deinit(&arena);
}
