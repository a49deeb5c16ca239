/* Answers to requests: messages, errors with their details. Thread: engine. */
#include <stdarg.h>
#include <stdio.h>

#include <google/rpc/status.pb-c.h>

#include "server/engine.h"

#define TYPE_URL "type.googleapis.com/"

/* google.rpc.Status bytes with one detail message; empty when details is NULL. */
static struct tl_str error_details(struct tl_arena *arena, int status, const char *message,
                                   const void *details)
{
    const ProtobufCMessage *detail = details;
    TpRpc__Status st = TP_RPC__STATUS__INIT;
    Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
    Google__Protobuf__Any *list[1] = {&any};
    struct tl_str value, out;
    if (!detail || tl_pb_encode_arena(detail, arena, &value, NULL) != TL_OK) {
        return (struct tl_str){0};
    }
    any.type_url = tl_arena_printf(arena, TYPE_URL "%s", detail->descriptor->name);
    any.value = tl_pb_bytes_view(value);
    st.code = status;
    st.message = tl_pb_cstr(arena, tl_str(message));
    st.n_details = 1;
    st.details = list;
    if (!any.type_url || !st.message || tl_pb_encode_arena(&st, arena, &out, NULL) != TL_OK) {
        return (struct tl_str){0};
    }
    return out;
}

static void reply_delivery(struct tl_call *c, uint64_t seq, const void *msg,
                           const struct tl_delivery *delivery)
{
    struct tl_error err;
    if (c->own) {
        c->own->status = 0;
        if (tl_pb_encode_arena(msg, c->arena, &c->own->body, &err) != TL_OK) {
            tl_call_error(c, 0, tl_rc_grpc_status(TL_EINTERNAL), err.message, NULL);
        }
        return;
    }
    if (tl_reply_message(c->s, c->rpc, seq, msg, delivery, &err) != TL_OK) {
        tl_call_error(c, 0, tl_rc_grpc_status(TL_EINTERNAL), err.message, NULL);
    }
}

void tl_call_reply(struct tl_call *c, uint64_t seq, const void *msg)
{
    reply_delivery(c, seq, msg, NULL);
}

void tl_call_reply_bytes(struct tl_call *c, uint64_t seq, struct tl_str body)
{
    tl_reply_at(c->s, c->rpc, seq, 0, (struct tl_str){0}, (struct tl_str){0}, body, NULL);
}

/* One operation's status inside the error of an ExecuteMultiOperation. */
static bool operation_status(TpErrdetails__MultiOperationExecutionFailure__OperationStatus *out,
                             int status, const char *message, const void *details,
                             struct tl_arena *arena)
{
    const ProtobufCMessage *detail = details;
    struct tl_str value;
    out->code = status;
    out->message = (char *)(uintptr_t)message;
    if (!detail) {
        return true;
    }
    Google__Protobuf__Any *any = TL_PB_NEW(arena, Google__Protobuf__Any, google__protobuf__any);
    struct tl_pb_list list = {0};
    if (!any || !tl_pb_push(arena, &list, any) ||
        tl_pb_encode_arena(detail, arena, &value, NULL) != TL_OK) {
        return false;
    }
    any->type_url = tl_arena_printf(arena, TYPE_URL "%s", detail->descriptor->name);
    any->value = tl_pb_bytes_view(value);
    out->n_details = 1;
    out->details = list.items;
    return any->type_url != NULL;
}

/* Of two operations one failed, so that the other was not done, unless it is a start that was. */
static void multi_error(struct tl_call *c, uint64_t seq, int status, const char *message,
                        const void *details)
{
    typedef TpErrdetails__MultiOperationExecutionFailure__OperationStatus op_status;
    const op_status zero = TP_ERRDETAILS__MULTI_OPERATION_EXECUTION_FAILURE__OPERATION_STATUS__INIT;
    TpErrdetails__MultiOperationExecutionFailure all =
        TP_ERRDETAILS__MULTI_OPERATION_EXECUTION_FAILURE__INIT;
    TpFailure__MultiOperationExecutionAborted aborted =
        TP_FAILURE__MULTI_OPERATION_EXECUTION_ABORTED__INIT;
    op_status failed = zero, other = zero;
    bool start = c->operation == TL_OPERATION_START;
    op_status *both[] = {start ? &failed : &other, start ? &other : &failed};
    char *text = tl_arena_printf(c->arena, "MultiOperation could not be executed: %s failed: %s",
                                 start ? "Start" : "Update", message);
    if (c->operation != TL_OPERATION_UPDATE_OF_NEW) {
        operation_status(&other, tl_rc_grpc_status(TL_EABORTED), "Operation was aborted.", &aborted,
                         c->arena);
    }
    operation_status(&failed, status, message, details, c->arena);
    all.n_statuses = 2;
    all.statuses = both;
    c->operation = TL_OPERATION_NONE;
    tl_call_error(c, seq, status, text ? text : message, &all);
}

void tl_call_error(struct tl_call *c, uint64_t seq, int status, const char *message,
                   const void *details)
{
    if (c->own) {
        *c->own = (struct tl_own_answer){.status = status,
                                         .message = tl_arena_str(c->arena, tl_str(message))};
        return;
    }
    if (c->operation != TL_OPERATION_NONE) {
        multi_error(c, seq, status, message, details);
        return;
    }
    struct tl_str d = error_details(c->arena, status, message, details);
    tl_reply_at(c->s, c->rpc, seq, status, tl_str(message), d, (struct tl_str){0}, NULL);
}

void tl_call_errorf(struct tl_call *c, int status, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    tl_call_error(c, 0, status, text, NULL);
}

void tl_call_not_found(struct tl_call *c, uint64_t seq, const char *message)
{
    TpErrdetails__NotFoundFailure d = TP_ERRDETAILS__NOT_FOUND_FAILURE__INIT;
    if (c->s->erased.count && seq < c->s->open->seq) {
        seq = c->s->open->seq; /* what is missing may be a deletion that is not durable */
    }
    tl_call_error(c, seq, tl_rc_grpc_status(TL_ENOTFOUND), message, &d);
}

void tl_call_tx_error(struct tl_call *c, const struct tl_exec *e, enum tl_error_kind kind,
                      int cause, const struct tl_error *err)
{
    uint64_t seq = e ? e->seq : 0;
    int status = tl_rc_grpc_status(err->code);
    TpErrdetails__QueryFailedFailure query = TP_ERRDETAILS__QUERY_FAILED_FAILURE__INIT;
    TpErrdetails__WorkflowNotReadyFailure not_ready =
        TP_ERRDETAILS__WORKFLOW_NOT_READY_FAILURE__INIT;
    TpErrdetails__ResourceExhaustedFailure exhausted =
        TP_ERRDETAILS__RESOURCE_EXHAUSTED_FAILURE__INIT;
    switch (kind) {
    case TL_ERR_NOT_FOUND:
    case TL_ERR_STALE_TASK:
        tl_call_not_found(c, seq, err->message);
        return;
    case TL_ERR_QUERY_FAILED:
        tl_call_error(c, seq, status, err->message, &query);
        return;
    case TL_ERR_WORKFLOW_NOT_READY:
        tl_call_error(c, seq, status, err->message, &not_ready);
        return;
    case TL_ERR_WORKFLOW_CLOSING:
    case TL_ERR_RESOURCE_EXHAUSTED:
        exhausted.cause = (TpEnums__ResourceExhaustedCause)cause;
        exhausted.scope = (TpEnums__ResourceExhaustedScope)RESOURCE_EXHAUSTED_SCOPE_NAMESPACE;
        tl_call_error(c, seq, status, err->message, &exhausted);
        return;
    case TL_ERR_PLAIN:
    case TL_ERR_NAMESPACE_NOT_FOUND:
    case TL_ERR_ALREADY_STARTED:
        break;
    }
    if (err->code == TL_ENOTFOUND) {
        tl_call_not_found(c, seq, err->message);
    } else {
        tl_call_error(c, seq, status, err->message, NULL);
    }
}
