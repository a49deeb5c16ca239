/* The embedder's server and client (include/temporal_lua.h): thin, everything is done by the modules
 * below. Thread: as the public header says. */
#include <stdio.h>
#include <string.h>

#include <temporal/api/operatorservice/v1/request_response.pb-c.h>

#include "base/mem.h"
#include "embed/embed_int.h"
#include "proto/pb.h"
#include "tl_enums.h"
#include "worker/native.h"

#define CALL_BYTES_MAX ((size_t)512 * 1024 * 1024)

/* --- Shared ------------------------------------------------------------------------------------ */

bool embed_options(void *ours, size_t our_size, const void *theirs)
{
    size_t size = 0;
    memset(ours, 0, our_size);
    if (theirs) {
        memcpy(&size, theirs, sizeof size);
        memcpy(ours, theirs, size < our_size ? size : our_size);
    }
    return size >= sizeof size;
}

int embed_error_text(tlua_error *err, int code, const char *message)
{
    if (err) {
        err->code = code;
        snprintf(err->message, sizeof err->message, "%s", message);
    }
    return code;
}

int embed_error(tlua_error *err, tl_rc rc, const struct tl_error *from)
{
    return embed_error_text(err, rc, rc == TL_OK ? "" : from->message);
}

/* --- Server ------------------------------------------------------------------------------------ */

int tlua_server_open(const tlua_server_options *options, tlua_server **out, tlua_error *err)
{
    tlua_server_options o;
    struct tl_server_options so;
    struct tl_server *server = NULL;
    struct tl_error e = {0};
    *out = NULL;
    if (!embed_options(&o, sizeof o, options)) {
        return embed_error_text(err, TLUA_EINVAL, "use TLUA_SERVER_OPTIONS_INIT");
    }
    tl_server_options_default(&so);
    so.db_path = o.db_path;
    so.namespaces = &o.namespace_name;
    so.namespace_count = o.namespace_name ? 1 : 0;
    tl_rc rc = tl_server_open(&server, &so, &e);
    if (rc == TL_OK) {
        rc = tl_server_start(server, &e);
    }
    if (rc != TL_OK) {
        tl_server_close(server);
        return embed_error(err, rc, &e);
    }
    *out = TL_NEW(struct tlua_server);
    (*out)->server = server;
    return TLUA_OK;
}

void tlua_server_close(tlua_server *server)
{
    if (server) {
        tl_server_stop(server->server);
        tl_server_close(server->server);
        tl_mem_free(server);
    }
}

/* --- Client ------------------------------------------------------------------------------------ */

int tlua_client_open(tlua_server *server, const char *namespace_name, tlua_client **out,
                     tlua_error *err)
{
    *out = NULL;
    if (!server) {
        return embed_error_text(err, TLUA_EINVAL, "a client needs a server");
    }
    tlua_client *c = TL_NEW(struct tlua_client);
    c->channel = tl_local_channel_open(tl_server_service(server->server));
    struct tl_client_config config = {
        .channel = c->channel,
        .namespace_name = tl_str(namespace_name),
    };
    c->client = tl_client_new(&config);
    *out = c;
    return TLUA_OK;
}

void tlua_client_close(tlua_client *client)
{
    if (client) {
        tl_client_free(client->client);
        tl_channel_close(client->channel);
        tl_metrics_free(client->metrics);
        tl_mem_free(client);
    }
}

int tlua_client_measure(tlua_client *client, tlua_metrics *metrics, tlua_error *err)
{
    if (!client || !metrics) {
        return embed_error_text(err, TLUA_EINVAL, "client and metrics are required");
    }
    if (client->metrics) {
        return embed_error_text(err, TLUA_EPRECONDITION, "a client is measured once");
    }
    client->metrics = tl_metrics_retain(metrics->registry);
    tl_client_measure(client->client, client->metrics);
    return TLUA_OK;
}

static void keep_run_id(char run_id[64], const char *from)
{
    if (run_id) {
        snprintf(run_id, 64, "%s", from ? from : "");
    }
}

int tlua_client_start(tlua_client *client, const tlua_start_options *options, char run_id[64],
                      tlua_error *err)
{
    tlua_start_options o;
    struct tl_arena arena;
    struct tl_client_error e = {.run_id = ""};
    TpWs__StartWorkflowExecutionRequest req = TP_WS__START_WORKFLOW_EXECUTION_REQUEST__INIT;
    TpWs__StartWorkflowExecutionResponse *resp = NULL;
    TpCommon__WorkflowType type = TP_COMMON__WORKFLOW_TYPE__INIT;
    TpTq__TaskQueue queue = TP_TQ__TASK_QUEUE__INIT;
    keep_run_id(run_id, "");
    if (!embed_options(&o, sizeof o, options) || !o.workflow_id || !o.workflow_type ||
        !o.task_queue) {
        return embed_error_text(err, TLUA_EINVAL,
                                "workflow_id, workflow_type and task_queue are required");
    }
    tl_arena_init(&arena, CALL_BYTES_MAX);
    type.name = tl_pb_text(o.workflow_type);
    queue.name = tl_pb_text(o.task_queue);
    req.workflow_id = tl_pb_text(o.workflow_id);
    req.workflow_type = &type;
    req.task_queue = &queue;
    req.request_eager_execution = o.request_eager_start != 0;
    tl_rc rc = tl_native_payloads(&arena, o.args, o.args_count, &req.input);
    if (rc != TL_OK) {
        tl_error_set(&e.error, rc, "the arguments do not fit the memory limit");
    } else {
        if (o.execution_timeout_ms > 0) {
            req.workflow_execution_timeout = tl_pb_duration_ms(&arena, o.execution_timeout_ms);
        }
        if (o.run_timeout_ms > 0) {
            req.workflow_run_timeout = tl_pb_duration_ms(&arena, o.run_timeout_ms);
        }
        rc =
            tl_client_call(client->client, TL_M_StartWorkflowExecution, &req, &arena, &resp, 0, &e);
        keep_run_id(run_id, rc == TL_OK ? resp->run_id : e.run_id);
    }
    tl_arena_deinit(&arena);
    return embed_error(err, rc, &e.error);
}

static int simple_call(tlua_client *client, enum tl_method method, void *req,
                       struct tl_arena *arena, tlua_error *err)
{
    struct tl_client_error e = {.run_id = ""};
    tl_rc rc = tl_client_call(client->client, method, req, arena, NULL, 0, &e);
    tl_arena_deinit(arena);
    return embed_error(err, rc, &e.error);
}

static void execution_of(TpCommon__WorkflowExecution *e, const char *workflow_id,
                         const char *run_id)
{
    tp_common__workflow_execution__init(e);
    e->workflow_id = tl_pb_text(workflow_id);
    e->run_id = tl_pb_text(run_id);
}

int tlua_client_signal(tlua_client *client, const char *workflow_id, const char *run_id,
                       const char *signal, const tlua_payload *args, size_t args_count,
                       tlua_error *err)
{
    struct tl_arena arena;
    TpWs__SignalWorkflowExecutionRequest req = TP_WS__SIGNAL_WORKFLOW_EXECUTION_REQUEST__INIT;
    TpCommon__WorkflowExecution execution;
    tl_arena_init(&arena, CALL_BYTES_MAX);
    execution_of(&execution, workflow_id, run_id);
    req.workflow_execution = &execution;
    req.signal_name = tl_pb_text(signal);
    if (tl_native_payloads(&arena, args, args_count, &req.input) != TL_OK) {
        tl_arena_deinit(&arena);
        return embed_error_text(err, TLUA_ELIMIT, "the arguments do not fit the memory limit");
    }
    return simple_call(client, TL_M_SignalWorkflowExecution, &req, &arena, err);
}

int tlua_client_cancel(tlua_client *client, const char *workflow_id, const char *run_id,
                       tlua_error *err)
{
    struct tl_arena arena;
    TpWs__RequestCancelWorkflowExecutionRequest req =
        TP_WS__REQUEST_CANCEL_WORKFLOW_EXECUTION_REQUEST__INIT;
    TpCommon__WorkflowExecution execution;
    tl_arena_init(&arena, CALL_BYTES_MAX);
    execution_of(&execution, workflow_id, run_id);
    req.workflow_execution = &execution;
    return simple_call(client, TL_M_RequestCancelWorkflowExecution, &req, &arena, err);
}

int tlua_client_terminate(tlua_client *client, const char *workflow_id, const char *run_id,
                          const char *reason, tlua_error *err)
{
    struct tl_arena arena;
    TpWs__TerminateWorkflowExecutionRequest req = TP_WS__TERMINATE_WORKFLOW_EXECUTION_REQUEST__INIT;
    TpCommon__WorkflowExecution execution;
    tl_arena_init(&arena, CALL_BYTES_MAX);
    execution_of(&execution, workflow_id, run_id);
    req.workflow_execution = &execution;
    req.reason = tl_pb_text(reason);
    return simple_call(client, TL_M_TerminateWorkflowExecution, &req, &arena, err);
}

/* --- Replies ----------------------------------------------------------------------------------- */

struct tlua_reply {
    struct tl_arena arena;
    int status;
    const TpCommon__Payloads *values;
    const TpFailure__Failure *failure; /* innermost */
};

static tlua_reply *reply_new(void)
{
    tlua_reply *r = TL_NEW(struct tlua_reply);
    tl_arena_init(&r->arena, CALL_BYTES_MAX);
    r->status = TLUA_WORKFLOW_COMPLETED;
    return r;
}

static int reply_done(tlua_reply *r, tl_rc rc, const struct tl_client_error *e, tlua_reply **out,
                      tlua_error *err)
{
    if (rc == TL_OK) {
        *out = r;
    } else {
        tlua_reply_free(r);
    }
    return embed_error(err, rc, &e->error);
}

int tlua_client_create_nexus_endpoint(tlua_client *client, const char *name, const char *task_queue,
                                      tlua_error *err)
{
    struct tl_arena arena;
    struct tl_client_error e = {.kind = TL_CE_OTHER};
    TpOs__CreateNexusEndpointRequest req = TP_OS__CREATE_NEXUS_ENDPOINT_REQUEST__INIT;
    TpNexus__EndpointSpec spec = TP_NEXUS__ENDPOINT_SPEC__INIT;
    TpNexus__EndpointTarget target = TP_NEXUS__ENDPOINT_TARGET__INIT;
    TpNexus__EndpointTarget__Worker worker = TP_NEXUS__ENDPOINT_TARGET__WORKER__INIT;
    TpOs__CreateNexusEndpointResponse *resp = NULL;
    tl_arena_init(&arena, CALL_BYTES_MAX);
    req.spec = &spec;
    spec.name = tl_pb_text(name);
    spec.target = &target;
    target.variant_case = TP_NEXUS__ENDPOINT_TARGET__VARIANT_WORKER;
    target.worker = &worker;
    worker.task_queue = tl_pb_text(task_queue);
    worker.namespace_ = tl_pb_cstr(&arena, tl_client_namespace(client->client));
    tl_rc rc = worker.namespace_ ? tl_client_call(client->client, TL_M_CreateNexusEndpoint, &req,
                                                  &arena, &resp, 0, &e)
                                 : tl_error_set(&e.error, TL_ELIMIT, "no memory for a request");
    tl_arena_deinit(&arena);
    return embed_error(err, rc, &e.error);
}

int tlua_client_query(tlua_client *client, const char *workflow_id, const char *run_id,
                      const char *query, const tlua_payload *args, size_t args_count,
                      tlua_reply **out, tlua_error *err)
{
    struct tl_client_error e = {.run_id = ""};
    TpWs__QueryWorkflowRequest req = TP_WS__QUERY_WORKFLOW_REQUEST__INIT;
    TpQuery__WorkflowQuery q = TP_QUERY__WORKFLOW_QUERY__INIT;
    TpCommon__WorkflowExecution execution;
    TpCommon__Payloads *result = NULL;
    tlua_reply *r = reply_new();
    *out = NULL;
    execution_of(&execution, workflow_id, run_id);
    q.query_type = tl_pb_text(query);
    req.execution = &execution;
    req.query = &q;
    tl_rc rc = tl_native_payloads(&r->arena, args, args_count, &q.query_args);
    if (rc != TL_OK) {
        tl_error_set(&e.error, rc, "the arguments do not fit the memory limit");
    } else {
        rc = tl_client_query(client->client, &req, &r->arena, &result, 0, &e);
        r->values = result;
    }
    return reply_done(r, rc, &e, out, err);
}

int tlua_client_result(tlua_client *client, const char *workflow_id, const char *run_id,
                       int64_t timeout_ms, tlua_reply **out, tlua_error *err)
{
    struct tl_client_error e = {.run_id = ""};
    struct tl_client_result result;
    struct tl_client_result_query query = {
        .workflow_id = tl_str(workflow_id),
        .run_id = tl_str(run_id),
        .follow_runs = true,
        .timeout_ns = timeout_ms > 0 && timeout_ms < INT64_MAX / TL_NS_PER_MS / 2
                          ? timeout_ms * TL_NS_PER_MS
                          : 0,
    };
    tlua_reply *r = reply_new();
    *out = NULL;
    tl_rc rc = tl_client_result(client->client, &query, &r->arena, &result, &e);
    if (rc == TL_OK) {
        r->status = (int)result.status;
        r->values = result.result;
        r->failure = result.failure;
        while (r->failure && r->failure->cause) {
            r->failure = r->failure->cause;
        }
    }
    return reply_done(r, rc, &e, out, err);
}

int tlua_reply_status(const tlua_reply *reply)
{
    return reply->status;
}

size_t tlua_reply_count(const tlua_reply *reply)
{
    return reply->values ? reply->values->n_payloads : 0;
}

int tlua_reply_value(const tlua_reply *reply, size_t index, tlua_payload *out)
{
    if (index >= tlua_reply_count(reply)) {
        return TLUA_ENOTFOUND;
    }
    tl_native_view(reply->values->payloads[index], out);
    return TLUA_OK;
}

const char *tlua_reply_failure_type(const tlua_reply *reply)
{
    const TpFailure__Failure *f = reply->failure;
    return f && f->failure_info_case == TP_FAILURE__FAILURE__FAILURE_INFO_APPLICATION_FAILURE_INFO
               ? f->application_failure_info->type
               : "";
}

const char *tlua_reply_failure_message(const tlua_reply *reply)
{
    return reply->failure ? reply->failure->message : "";
}

void tlua_reply_free(tlua_reply *reply)
{
    if (reply) {
        tl_arena_deinit(&reply->arena);
        tl_mem_free(reply);
    }
}
