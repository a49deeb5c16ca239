/* The system endpoint of Nexus: the engine carries the operation out itself, as the request that a client
 * would have made, and answers it. What it did and that the workflow knows become durable together.
 * Thread: engine. */
#include "base/log.h"
#include "proto/failure.h"
#include "proto/nexus.h"
#include "proto/payload.h"
#include "server/api/api.h"
#include "server/history/nexus_system.h"

typedef TpHistory__NexusOperationScheduledEventAttributes scheduled;
typedef TpWs__SignalWithStartWorkflowExecutionRequest request;

/* Whether asking again may help, as Temporal judges it. */
static bool is_retryable(int status)
{
    switch (tl_rc_from_grpc_status(status)) {
    case TL_ECANCELLED:
    case TL_EUNAVAILABLE:
    case TL_EDEADLINE:
    case TL_ELIMIT:
    case TL_EABORTED:
    case TL_EINTERNAL:
        return true;
    default:
        return false;
    }
}

/* Temporal's name of the error. */
static const char *error_name(int status)
{
    switch (tl_rc_from_grpc_status(status)) {
    case TL_EINVAL:
        return "InvalidArgument";
    case TL_EEXISTS:
        return "WorkflowExecutionAlreadyStarted";
    case TL_ENOTFOUND:
        return "NotFound";
    case TL_EPRECONDITION:
        return "FailedPrecondition";
    case TL_ELIMIT:
        return "ResourceExhausted";
    case TL_EUNAVAILABLE:
        return "Unavailable";
    default:
        return "Internal";
    }
}

static void refuse(struct tl_nexus_answer *a, int status, struct tl_str message,
                   struct tl_arena *arena)
{
    bool again = is_retryable(status);
    const char *text = tl_arena_printf(arena, "%s: %.*s", error_name(status), TL_STR_FMT(message));
    a->outcome = again ? TL_NEXUS_RETRY : TL_NEXUS_FAILED;
    a->failure = text ? tl_failure_server(arena, tl_str(text), !again) : NULL;
}

static bool link_to_caller(const struct tl_exec *e, int64_t scheduled_id, request *r,
                           struct tl_arena *arena)
{
    struct tl_rs_info info;
    struct tl_pb_list list = {0};
    tl_rs_info(e->rs, &info);
    TpCommon__Link *l = tl_nexus_event_link(arena, e->ns->name, info.id.workflow_id, info.id.run_id,
                                            scheduled_id, EVENT_TYPE_NEXUS_OPERATION_SCHEDULED);
    if (!l || !tl_pb_push(arena, &list, l)) {
        return false;
    }
    r->links = list.items;
    r->n_links = list.n;
    return true;
}

/* The response as the operation's result, and its link as the answer's. Errors: TL_EDECODE, TL_ELIMIT. */
static tl_rc succeed(struct tl_nexus_answer *a, struct tl_str body, struct tl_arena *arena,
                     struct tl_error *err)
{
    const ProtobufCMessageDescriptor *desc =
        &tp_ws__signal_with_start_workflow_execution_response__descriptor;
    TpWs__SignalWithStartWorkflowExecutionResponse *r = NULL;
    struct tl_pb_list list = {0};
    tl_rc rc = tl_pb_decode(desc, body, arena, &r, err);
    if (rc != TL_OK) {
        return rc;
    }
    a->outcome = TL_NEXUS_COMPLETED;
    a->result = tl_payload_new(arena, TL_ENCODING_PROTOBUF, body);
    if (!a->result ||
        !tl_payload_set_metadata(arena, a->result, TL_STR_LIT("messageType"), tl_str(desc->name)) ||
        (r->signal_link && !tl_pb_push(arena, &list, r->signal_link))) {
        return tl_error_set(err, TL_ELIMIT, "no memory for the result of an operation");
    }
    a->links = list.items;
    a->n_links = list.n;
    return TL_OK;
}

static tl_rc carry_out(struct tl_server *s, struct tl_exec *e, const struct tl_nexus_ref *ref,
                       struct tl_arena *arena, struct tl_nexus_answer *a, struct tl_error *err)
{
    const scheduled *op = tl_rs_nexus_scheduled(e->rs, ref->scheduled_id, arena);
    struct tl_own_answer own = {.status = tl_rc_grpc_status(TL_EINTERNAL)};
    request *r = NULL;
    if (!op) {
        return tl_error_set(err, TL_ELIMIT, "no memory for an operation");
    }
    struct tl_nexus_system_input in = {.service = op->service,
                                       .operation = op->operation,
                                       .payload = op->input,
                                       .namespace_ = e->ns->name,
                                       .namespace_number = e->ns->number};
    tl_rc rc = tl_nexus_system_read(&s->env, &in, arena, &r, err);
    if (rc == TL_EINVAL) { /* other limits than when it was scheduled */
        refuse(a, tl_rc_grpc_status(rc), tl_str(err->message), arena);
        return TL_OK;
    }
    if (rc != TL_OK || !link_to_caller(e, ref->scheduled_id, r, arena)) {
        return tl_error_set(err, TL_ELIMIT, "no memory for a request");
    }
    r->request_id = op->request_id;
    struct tl_call c = {.s = s, .own = &own, .arena = arena, .req = r, .ns = e->ns};
    tl_api_row(TL_M_SignalWithStartWorkflowExecution)->handle(&c);
    if (own.status == 0) {
        return succeed(a, own.body, arena, err);
    }
    refuse(a, own.status, own.message, arena);
    return TL_OK;
}

void tl_nexus_run_system(struct tl_server *s, struct tl_exec *e, const struct tl_nexus_ref *ref,
                         struct tl_arena *arena)
{
    struct tl_nexus_answer a = {.outcome = TL_NEXUS_FAILED};
    struct tl_tx tx;
    struct tl_error err;
    tl_rc rc = carry_out(s, e, ref, arena, &a, &err);
    if (rc != TL_OK) {
        refuse(&a, tl_rc_grpc_status(rc), tl_str(err.message), arena);
    }
    if (e->closed) {
        return; /* it made way for the run that it asked for */
    }
    tl_run_begin(s, e, &tx, arena);
    rc = tl_tx_nexus_answer(&tx, ref, &a, &err);
    if (!tx.touched) {
        tl_tx_abort(&tx);
    } else if (tl_run_end(s, e, &tx, &err) != TL_OK) {
        rc = err.code;
    }
    if (rc != TL_OK) {
        TL_LOG(TL_LOG_ERROR, "server.nexus_failed", TL_C("cause", err.message),
               TL_I("run", e->number));
    }
}
