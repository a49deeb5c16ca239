/* Building failures. See failure.h. Thread: any. */
#include "proto/failure.h"

#include "proto/pb.h"
#include "tl_enums.h"

static TpFailure__Failure *new_failure(struct tl_arena *arena, struct tl_str message,
                                       TpFailure__Failure__FailureInfoCase info_case, void *info)
{
    TpFailure__Failure *f = TL_PB_NEW(arena, TpFailure__Failure, tp_failure__failure);
    if (!f || !info) {
        return NULL;
    }
    f->message = tl_pb_clean(arena, message);
    f->source = tl_pb_cstr(arena, TL_STR_LIT(TL_FAILURE_SOURCE));
    f->failure_info_case = info_case;
    /* All members of the union are message pointers. */
    f->application_failure_info = info;
    return f->message && f->source ? f : NULL;
}

TpFailure__Failure *tl_failure_application(struct tl_arena *arena,
                                           const struct tl_failure_application *o)
{
    TpFailure__ApplicationFailureInfo *info =
        TL_PB_NEW(arena, TpFailure__ApplicationFailureInfo, tp_failure__application_failure_info);
    TpFailure__Failure *f = new_failure(
        arena, o->message, TP_FAILURE__FAILURE__FAILURE_INFO_APPLICATION_FAILURE_INFO, info);
    if (!f) {
        return NULL;
    }
    info->type = tl_pb_clean(arena, o->type);
    info->non_retryable = o->non_retryable;
    info->details = o->details;
    info->category = (TpEnums__ApplicationErrorCategory)o->category;
    f->stack_trace = tl_pb_clean(arena, o->stack_trace);
    f->cause = o->cause;
    if (o->next_retry_delay_ms > 0) {
        info->next_retry_delay = tl_pb_duration_ms(arena, o->next_retry_delay_ms);
        if (!info->next_retry_delay) {
            return NULL;
        }
    }
    return info->type && f->stack_trace ? f : NULL;
}

TpFailure__Failure *tl_failure_timeout(struct tl_arena *arena, struct tl_str message,
                                       int timeout_type, TpCommon__Payloads *heartbeat_details)
{
    TpFailure__TimeoutFailureInfo *info =
        TL_PB_NEW(arena, TpFailure__TimeoutFailureInfo, tp_failure__timeout_failure_info);
    if (info) {
        info->timeout_type = (TpEnums__TimeoutType)timeout_type;
        info->last_heartbeat_details = heartbeat_details;
    }
    return new_failure(arena, message, TP_FAILURE__FAILURE__FAILURE_INFO_TIMEOUT_FAILURE_INFO,
                       info);
}

TpFailure__Failure *tl_failure_canceled(struct tl_arena *arena, struct tl_str message,
                                        TpCommon__Payloads *details)
{
    TpFailure__CanceledFailureInfo *info =
        TL_PB_NEW(arena, TpFailure__CanceledFailureInfo, tp_failure__canceled_failure_info);
    if (info) {
        info->details = details;
    }
    return new_failure(arena, message, TP_FAILURE__FAILURE__FAILURE_INFO_CANCELED_FAILURE_INFO,
                       info);
}

TpFailure__Failure *tl_failure_terminated(struct tl_arena *arena, struct tl_str message,
                                          struct tl_str identity)
{
    TpFailure__TerminatedFailureInfo *info =
        TL_PB_NEW(arena, TpFailure__TerminatedFailureInfo, tp_failure__terminated_failure_info);
    if (info) {
        info->identity = tl_pb_clean(arena, identity);
    }
    return info && info->identity
               ? new_failure(arena, message,
                             TP_FAILURE__FAILURE__FAILURE_INFO_TERMINATED_FAILURE_INFO, info)
               : NULL;
}

TpFailure__Failure *tl_failure_server(struct tl_arena *arena, struct tl_str message,
                                      bool non_retryable)
{
    TpFailure__ServerFailureInfo *info =
        TL_PB_NEW(arena, TpFailure__ServerFailureInfo, tp_failure__server_failure_info);
    if (info) {
        info->non_retryable = non_retryable;
    }
    return new_failure(arena, message, TP_FAILURE__FAILURE__FAILURE_INFO_SERVER_FAILURE_INFO, info);
}

bool tl_failure_is_benign(const TpFailure__Failure *f)
{
    return f &&
           (int)f->failure_info_case ==
               TP_FAILURE__FAILURE__FAILURE_INFO_APPLICATION_FAILURE_INFO &&
           (int)f->application_failure_info->category == APPLICATION_ERROR_CATEGORY_BENIGN;
}
