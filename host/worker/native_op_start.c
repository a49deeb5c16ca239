/* Workflows behind Nexus operations in C: their start with the request's callback and links, and their
 * cancellation. Thread: that of the request. */
#include <string.h>

#include "client/client.h"
#include "proto/nexus.h"
#include "proto/nexus_token.h"
#include "proto/pb.h"
#include "tl_enums.h"
#include "worker/native.h"
#include "worker/native_operation.h"

#define CALL_NS (10 * TL_NS_PER_S)

typedef TpWs__StartWorkflowExecutionRequest start_request;

/* No longer than the request has time. */
static int64_t call_ns(const struct tl_operation *o)
{
    int64_t left = o->deadline_ns ? o->deadline_ns - tl_world_wall_ns(tl_world_real()) : CALL_NS;
    return left < 1 ? 1 : left < CALL_NS ? left : CALL_NS;
}

static tl_rc full(struct tl_error *err)
{
    return tl_error_set(err, TL_ELIMIT, "no memory for the start of a workflow");
}

static bool fill_links(start_request *r, const TpNexus__StartOperationRequest *s,
                       struct tl_arena *arena)
{
    struct tl_pb_list links = {0};
    for (size_t i = 0; i < s->n_links; i++) {
        TpCommon__Link *l =
            tl_nexus_link_read(arena, tl_str(s->links[i]->url), tl_str(s->links[i]->type));
        if (l && !tl_pb_push(arena, &links, l)) { /* links of other kinds cannot go along */
            return false;
        }
    }
    r->links = links.items;
    r->n_links = links.n;
    return true;
}

static bool push_header(struct tl_arena *arena, struct tl_pb_list *list, char *key, char *value)
{
    TpCommon__Callback__Nexus__HeaderEntry *h = TL_PB_NEW(
        arena, TpCommon__Callback__Nexus__HeaderEntry, tp_common__callback__nexus__header_entry);
    if (!h) {
        return false;
    }
    h->key = key;
    h->value = value;
    return tl_pb_push(arena, list, h);
}

/* The server tells the caller of the workflow's end. */
static bool fill_callback(start_request *r, const TpNexus__StartOperationRequest *s, char *token,
                          struct tl_arena *arena)
{
    struct tl_pb_list headers = {0}, callbacks = {0};
    TpCommon__Callback *c = TL_PB_NEW(arena, TpCommon__Callback, tp_common__callback);
    TpCommon__Callback__Nexus *n =
        TL_PB_NEW(arena, TpCommon__Callback__Nexus, tp_common__callback__nexus);
    char *key = tl_pb_cstr(arena, TL_STR_LIT(TL_NEXUS_OPERATION_TOKEN));
    bool ok = c && n && key && push_header(arena, &headers, key, token);
    for (size_t i = 0; ok && i < s->n_callback_header; i++) {
        ok = push_header(arena, &headers, s->callback_header[i]->key, s->callback_header[i]->value);
    }
    if (!ok || !tl_pb_push(arena, &callbacks, c)) {
        return false;
    }
    n->url = s->callback;
    n->header = headers.items;
    n->n_header = headers.n;
    c->variant_case = TP_COMMON__CALLBACK__VARIANT_NEXUS;
    c->nexus = n;
    c->links = r->links;
    c->n_links = r->n_links;
    r->completion_callbacks = callbacks.items;
    r->n_completion_callbacks = callbacks.n;
    return true;
}

static bool fill_names(start_request *r, const struct tl_operation *o,
                       const tlua_operation_workflow *w)
{
    struct tl_arena *a = o->arena;
    struct tl_str queue = w->task_queue ? tl_str(w->task_queue) : o->task_queue;
    r->namespace_ = tl_pb_cstr(a, o->namespace_name);
    r->workflow_id = tl_pb_cstr(a, tl_str(w->workflow_id));
    r->workflow_type = TL_PB_NEW(a, TpCommon__WorkflowType, tp_common__workflow_type);
    r->task_queue = TL_PB_NEW(a, TpTq__TaskQueue, tp_tq__task_queue);
    r->on_conflict_options =
        TL_PB_NEW(a, TpWorkflow__OnConflictOptions, tp_workflow__on_conflict_options);
    if (!r->namespace_ || !r->workflow_id || !r->workflow_type || !r->task_queue ||
        !r->on_conflict_options) {
        return false;
    }
    r->workflow_type->name = tl_pb_cstr(a, tl_str(w->workflow_type));
    r->task_queue->name = tl_pb_cstr(a, queue);
    r->on_conflict_options->attach_request_id = true;
    r->on_conflict_options->attach_completion_callbacks = true;
    r->on_conflict_options->attach_links = true;
    return r->workflow_type->name && r->task_queue->name;
}

static bool fill_rest(start_request *r, const struct tl_operation *o,
                      const tlua_operation_workflow *w)
{
    struct tl_arena *a = o->arena;
    bool ok = true;
    if (w->execution_timeout_ms > 0) {
        r->workflow_execution_timeout = tl_pb_duration_ms(a, w->execution_timeout_ms);
        ok = r->workflow_execution_timeout != NULL;
    }
    if (w->run_timeout_ms > 0) {
        r->workflow_run_timeout = tl_pb_duration_ms(a, w->run_timeout_ms);
        ok = ok && r->workflow_run_timeout;
    }
    return ok && tl_native_payloads(a, w->args, w->args_count, &r->input) == TL_OK;
}

/* A link to what was started, as the answer of the operation. Best effort: it only informs. */
static void note_link(struct tl_operation *o, const start_request *r,
                      const TpWs__StartWorkflowExecutionResponse *resp)
{
    TpCommon__Link *link =
        resp->link
            ? resp->link
            : tl_nexus_event_link(o->arena, tl_str(r->namespace_), tl_str(r->workflow_id),
                                  tl_str(resp->run_id), 1, EVENT_TYPE_WORKFLOW_EXECUTION_STARTED);
    TpNexus__Link *url = link ? tl_nexus_link_of(o->arena, link) : NULL;
    if (url) {
        (void)!tl_operation_add_link(o, tl_str(url->url), tl_str(url->type), NULL);
    }
}

tl_rc tl_native_start_workflow(struct tl_operation *o, const tlua_operation_workflow *w,
                               char run_id[64], const char **token, struct tl_error *err)
{
    start_request r = TP_WS__START_WORKFLOW_EXECUTION_REQUEST__INIT;
    TpWs__StartWorkflowExecutionResponse *resp = NULL;
    struct tl_client_error e = {.kind = TL_CE_OTHER};
    const TpNexus__StartOperationRequest *s = o->request->start_operation;
    if (!w || w->size < sizeof *w || !w->workflow_id || !*w->workflow_id || !w->workflow_type ||
        !*w->workflow_type) {
        return tl_error_set(err, TL_EINVAL, "workflow_id and workflow_type are required");
    }
    char *text = tl_nexus_workflow_token(o->arena, o->namespace_name, tl_str(w->workflow_id));
    if (!text || !fill_names(&r, o, w) || !fill_rest(&r, o, w) || !fill_links(&r, s, o->arena) ||
        (*s->callback && !fill_callback(&r, s, text, o->arena))) {
        return full(err);
    }
    r.request_id = s->request_id;
    struct tl_client *c = (struct tl_client *)(uintptr_t)tl_operation_client(o);
    tl_rc rc = tl_client_call(c, TL_M_StartWorkflowExecution, &r, o->arena, &resp, call_ns(o), &e);
    if (rc != TL_OK) {
        return tl_error_set(err, rc, "%s", e.error.message);
    }
    if (run_id) {
        size_t n = strlen(resp->run_id);
        n = n < 63 ? n : 63;
        memcpy(run_id, resp->run_id, n);
        run_id[n] = '\0';
    }
    note_link(o, &r, resp);
    *token = text;
    return TL_OK;
}

tl_rc tl_native_cancel_workflow(struct tl_operation *o, const char *token, struct tl_error *err)
{
    TpWs__RequestCancelWorkflowExecutionRequest r =
        TP_WS__REQUEST_CANCEL_WORKFLOW_EXECUTION_REQUEST__INIT;
    TpCommon__WorkflowExecution x = TP_COMMON__WORKFLOW_EXECUTION__INIT;
    TpWs__RequestCancelWorkflowExecutionResponse *resp = NULL;
    struct tl_client_error e = {.kind = TL_CE_OTHER};
    struct tl_nexus_workflow w;
    tl_rc rc = tl_nexus_workflow_of_token(tl_str(token), o->arena, &w, err);
    if (rc != TL_OK) {
        return rc;
    }
    if (!tl_str_eq(w.namespace_, o->namespace_name)) {
        return tl_error_set(err, TL_ENOTFOUND,
                            "the operation token is of namespace '%.*s', this worker's is '%.*s'",
                            TL_STR_FMT(w.namespace_), TL_STR_FMT(o->namespace_name));
    }
    x.workflow_id = tl_pb_cstr(o->arena, w.workflow_id);
    r.workflow_execution = &x;
    struct tl_client *c = (struct tl_client *)(uintptr_t)tl_operation_client(o);
    rc = x.workflow_id ? tl_client_call(c, TL_M_RequestCancelWorkflowExecution, &r, o->arena, &resp,
                                        call_ns(o), &e)
                       : full(&e.error);
    return rc == TL_OK ? TL_OK : tl_error_set(err, rc, "%s", e.error.message);
}
