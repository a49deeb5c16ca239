/* Inputs of the system endpoint. See nexus_system.h. */
#include "server/history/nexus_system.h"

#include <string.h>

#include "proto/json.h"
#include "proto/payload.h"
#include "server/history/rs.h"

#define ENDPOINT "__temporal_system"
#define SERVICE "temporal.api.workflowservice.v1.WorkflowService"
#define SIGNAL_WITH_START "SignalWithStartWorkflowExecution"

typedef TpWs__SignalWithStartWorkflowExecutionRequest request;

bool tl_nexus_is_system(const char *endpoint)
{
    return strcmp(endpoint, ENDPOINT) == 0;
}

TpWs__StartWorkflowExecutionRequest tl_signal_start_as_start(const request *r)
{
    TpWs__StartWorkflowExecutionRequest q = TP_WS__START_WORKFLOW_EXECUTION_REQUEST__INIT;
    q.namespace_ = r->namespace_;
    q.workflow_id = r->workflow_id;
    q.workflow_type = r->workflow_type;
    q.task_queue = r->task_queue;
    q.input = r->input;
    q.workflow_execution_timeout = r->workflow_execution_timeout;
    q.workflow_run_timeout = r->workflow_run_timeout;
    q.workflow_task_timeout = r->workflow_task_timeout;
    q.identity = r->identity;
    q.request_id = r->request_id;
    q.workflow_id_reuse_policy = r->workflow_id_reuse_policy;
    q.workflow_id_conflict_policy = r->workflow_id_conflict_policy;
    q.retry_policy = r->retry_policy;
    q.cron_schedule = r->cron_schedule;
    q.memo = r->memo;
    q.search_attributes = r->search_attributes;
    q.header = r->header;
    q.workflow_start_delay = r->workflow_start_delay;
    q.user_metadata = r->user_metadata;
    q.n_links = r->n_links;
    q.links = r->links;
    q.versioning_override = r->versioning_override;
    q.priority = r->priority;
    q.time_skipping_config = r->time_skipping_config;
    return q;
}

tl_rc tl_signal_start_check(const struct tl_history_env *env, const request *r,
                            struct tl_error *err)
{
    if (!tl_has_text(r->signal_name)) {
        return tl_error_set(err, TL_EINVAL, "SignalName is not set on request.");
    }
    if ((int64_t)strlen(r->signal_name) > env->limits.id_bytes) {
        return tl_error_set(err, TL_EINVAL, "SignalName length exceeds limit.");
    }
    if (r->workflow_id_conflict_policy ==
        (TpEnums__WorkflowIdConflictPolicy)WORKFLOW_ID_CONFLICT_POLICY_FAIL) {
        return tl_error_set(err, TL_EINVAL,
                            "Invalid WorkflowIDConflictPolicy: WORKFLOW_ID_CONFLICT_POLICY_FAIL is "
                            "not supported for this operation.");
    }
    return TL_OK;
}

static tl_rc decode(const TpCommon__Payload *p, struct tl_arena *arena, request **out,
                    struct tl_error *err)
{
    const ProtobufCMessageDescriptor *desc =
        &tp_ws__signal_with_start_workflow_execution_request__descriptor;
    const struct tl_json_read_options lenient = {.ignore_unknown = true};
    enum tl_payload_kind kind = tl_payload_kind(p);
    struct tl_error why = {0};
    tl_rc rc = TL_EDECODE;
    if (kind == TL_PAYLOAD_PROTOBUF) {
        rc = tl_pb_decode(desc, tl_payload_data(p), arena, out, &why);
    } else if (kind == TL_PAYLOAD_JSON || kind == TL_PAYLOAD_JSON_PROTOBUF) {
        rc = tl_json_read(desc, tl_payload_data(p), &lenient, arena, out, &why);
    } else {
        tl_error_set(&why, TL_EDECODE, "its encoding is neither protobuf nor JSON");
    }
    return rc == TL_OK
               ? TL_OK
               : tl_error_set(err, TL_EINVAL, "failed to decode input payload: %s", why.message);
}

/* What the service fills in, or the workflow's task decides. */
static tl_rc check_own(const struct tl_nexus_system_input *in, request *r, struct tl_arena *arena,
                       struct tl_error *err)
{
    if (*r->namespace_ && !tl_str_eqc(in->namespace_, r->namespace_)) {
        return tl_error_set(err, TL_EINVAL,
                            "Namespace in request \"%.200s\" does not match namespace in context "
                            "\"%.*s\"",
                            r->namespace_, TL_STR_FMT(in->namespace_));
    }
    if (*r->request_id) {
        return tl_error_set(err, TL_EINVAL, "RequestID should not be set on the request");
    }
    if (r->n_links) {
        return tl_error_set(err, TL_EINVAL, "Links should not be set on the request");
    }
    r->namespace_ = tl_pb_cstr(arena, in->namespace_);
    return r->namespace_ ? TL_OK : tl_error_set(err, TL_ELIMIT, "no memory for a request");
}

tl_rc tl_nexus_system_read(const struct tl_history_env *env, const struct tl_nexus_system_input *in,
                           struct tl_arena *arena, request **out, struct tl_error *err)
{
    if (strcmp(in->service, SERVICE) != 0) {
        return tl_error_set(err, TL_EINVAL, "service \"%.200s\" not found", in->service);
    }
    if (strcmp(in->operation, SIGNAL_WITH_START) != 0) {
        return tl_error_set(err, TL_EINVAL, "operation \"%.200s\" not found", in->operation);
    }
    request *r = NULL;
    tl_rc rc = decode(in->payload, arena, &r, err);
    if (rc == TL_OK) {
        rc = check_own(in, r, arena, err);
    }
    if (rc == TL_OK) {
        rc = tl_signal_start_check(env, r, err);
    }
    if (rc == TL_OK) {
        TpWs__StartWorkflowExecutionRequest start = tl_signal_start_as_start(r);
        rc = tl_history_check_start(env, &start, err);
    }
    if (rc == TL_OK && r->search_attributes && env->check_attributes) {
        rc = env->check_attributes(env->ud, in->namespace_number, r->search_attributes,
                                   r->search_attributes, arena, err);
    }
    *out = rc == TL_OK ? r : NULL;
    return rc;
}

const TpHistory__NexusOperationScheduledEventAttributes *
tl_rs_nexus_scheduled(const struct tl_rs *rs, int64_t scheduled_id, struct tl_arena *arena)
{
    const struct tl_nexus_op *op = tl_rs_nexus(rs, scheduled_id);
    const TpHistory__HistoryEvent *e =
        op ? tl_blob_decode(&op->event, &tp_history__history_event__descriptor, arena) : NULL;
    return e ? e->nexus_operation_scheduled_event_attributes : NULL;
}
