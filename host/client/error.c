/* From a gRPC status and its details to an error that says what to do. */
#include "client/client.h"

#include <stdarg.h>
#include <stdio.h>

#include "client/client_int.h"
#include "google/rpc/status.pb-c.h"
#include "proto/pb.h"
#include "temporal/api/errordetails/v1/message.pb-c.h"

void tl_client_error_clear(struct tl_client_error *err)
{
    if (err) {
        *err = (struct tl_client_error){.run_id = ""};
    }
}

tl_rc tl_client_error_local(struct tl_client_error *err, tl_rc code, const char *fmt, ...)
{
    if (err) {
        va_list ap;
        tl_client_error_clear(err);
        err->error.code = code;
        err->grpc_status = tl_rc_grpc_status(code);
        va_start(ap, fmt);
        vsnprintf(err->error.message, sizeof err->error.message, fmt, ap);
        va_end(ap);
    }
    return code;
}

/* Kinds that a detail message implies by its mere presence. */
static const struct {
    const ProtobufCMessageDescriptor *desc;
    enum tl_client_error_kind kind;
} kinds[] = {
    {&tp_errdetails__workflow_execution_already_started_failure__descriptor, TL_CE_ALREADY_STARTED},
    {&tp_errdetails__not_found_failure__descriptor, TL_CE_NOT_FOUND},
    {&tp_errdetails__namespace_not_found_failure__descriptor, TL_CE_NAMESPACE_NOT_FOUND},
    {&tp_errdetails__query_failed_failure__descriptor, TL_CE_QUERY_FAILED},
    {&tp_errdetails__workflow_not_ready_failure__descriptor, TL_CE_NOT_READY},
    {&tp_errdetails__multi_operation_execution_failure__descriptor, TL_CE_MULTI_OPERATION},
};

/* A message without text is told by its code. */
static void set_message(struct tl_client_error *err, tl_rc code, struct tl_str text)
{
    tl_error_set(&err->error, code, "%.*s", TL_STR_FMT(text));
    if (!err->error.message[0]) {
        tl_error_set(&err->error, code, "%s", tl_rc_text(code));
    }
}

static const ProtobufCMessageDescriptor *find_any(const Google__Protobuf__Any *any)
{
    struct tl_str url = tl_str(any->type_url);
    for (size_t i = url.n; i > 0; i--) {
        if (url.p[i - 1] == '/') {
            return tl_pb_find_message(tl_str_n(url.p + i, url.n - i));
        }
    }
    return NULL;
}

static void read_detail(const Google__Protobuf__Any *any, struct tl_arena *arena,
                        struct tl_client_error *err);

/* A multi-operation fails with one status per operation: the first that is not "aborted because of
 * another" tells the cause. */
static void read_multi(const TpErrdetails__MultiOperationExecutionFailure *m,
                       struct tl_arena *arena, struct tl_client_error *err)
{
    for (size_t i = 0; i < m->n_statuses; i++) {
        const TpErrdetails__MultiOperationExecutionFailure__OperationStatus *s = m->statuses[i];
        if (s->code != 0 && s->code != 10) {
            err->grpc_status = s->code;
            set_message(err, tl_rc_from_grpc_status(s->code), tl_str(s->message));
            for (size_t j = 0; j < s->n_details; j++) {
                read_detail(s->details[j], arena, err);
            }
            return;
        }
    }
}

static void read_detail(const Google__Protobuf__Any *any, struct tl_arena *arena,
                        struct tl_client_error *err)
{
    const ProtobufCMessageDescriptor *desc = find_any(any);
    void *msg = NULL;
    if (!desc || tl_pb_decode(desc, tl_pb_str(any->value), arena, &msg, NULL) != TL_OK) {
        return;
    }
    /* By this message's own type: an earlier one may have set the kind. */
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (kinds[i].desc == desc) {
            err->kind = kinds[i].kind;
        }
    }
    if (desc == &tp_errdetails__workflow_execution_already_started_failure__descriptor) {
        err->run_id = ((TpErrdetails__WorkflowExecutionAlreadyStartedFailure *)msg)->run_id;
    } else if (desc == &tp_errdetails__query_failed_failure__descriptor) {
        err->failure = ((TpErrdetails__QueryFailedFailure *)msg)->failure;
    } else if (desc == &tp_errdetails__multi_operation_execution_failure__descriptor) {
        read_multi(msg, arena, err);
    }
}

tl_rc tl_client_error_from_result(const struct tl_rpc_result *res, struct tl_arena *arena,
                                  struct tl_client_error *err)
{
    tl_rc code = tl_rc_from_grpc_status(res->status);
    TpRpc__Status *status = NULL;
    if (!err) {
        return code;
    }
    tl_client_error_clear(err);
    err->grpc_status = res->status;
    set_message(err, code, res->message);
    if (code == TL_ENOTFOUND) {
        err->kind = TL_CE_NOT_FOUND;
    }
    err->details = tl_arena_str(arena, res->details);
    if (res->details.n &&
        tl_pb_decode(&tp_rpc__status__descriptor, res->details, arena, &status, NULL) == TL_OK) {
        for (size_t i = 0; i < status->n_details; i++) {
            read_detail(status->details[i], arena, err);
        }
    }
    return err->error.code;
}
