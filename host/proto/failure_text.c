/* Failure chains as text. See failure.h. Thread: any. */
#include "proto/failure.h"

#include "proto/pb.h"
#include "tl_enums.h"

/* Longest chain that is walked: what decoding admits, and a stop for a cycle made by hand. */
#define CHAIN_MAX 200

static const struct {
    TpFailure__Failure__FailureInfoCase info_case;
    const char *name;
} KINDS[] = {
    {TP_FAILURE__FAILURE__FAILURE_INFO_APPLICATION_FAILURE_INFO, "application"},
    {TP_FAILURE__FAILURE__FAILURE_INFO_TIMEOUT_FAILURE_INFO, "timeout"},
    {TP_FAILURE__FAILURE__FAILURE_INFO_CANCELED_FAILURE_INFO, "canceled"},
    {TP_FAILURE__FAILURE__FAILURE_INFO_TERMINATED_FAILURE_INFO, "terminated"},
    {TP_FAILURE__FAILURE__FAILURE_INFO_SERVER_FAILURE_INFO, "server"},
    {TP_FAILURE__FAILURE__FAILURE_INFO_RESET_WORKFLOW_FAILURE_INFO, "reset"},
    {TP_FAILURE__FAILURE__FAILURE_INFO_ACTIVITY_FAILURE_INFO, "activity"},
    {TP_FAILURE__FAILURE__FAILURE_INFO_CHILD_WORKFLOW_EXECUTION_FAILURE_INFO, "child_workflow"},
    {TP_FAILURE__FAILURE__FAILURE_INFO_NEXUS_OPERATION_EXECUTION_FAILURE_INFO, "nexus_operation"},
    {TP_FAILURE__FAILURE__FAILURE_INFO_NEXUS_HANDLER_FAILURE_INFO, "nexus_handler"},
};

const char *tl_failure_kind(const TpFailure__Failure *f)
{
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++) {
        if (f->failure_info_case == KINDS[i].info_case) {
            return KINDS[i].name;
        }
    }
    return "failure";
}

const TpFailure__Failure *tl_failure_root(const TpFailure__Failure *f)
{
    for (int i = 0; f && f->cause && i < CHAIN_MAX; i++) {
        f = f->cause;
    }
    return f;
}

/* An enum value without the prefix that its type repeats: "START_TO_CLOSE". */
static const char *short_enum(const ProtobufCEnumDescriptor *desc, int value, const char *prefix)
{
    const char *name = tl_pb_enum_name(desc, value);
    size_t n = strlen(prefix);
    if (!name) {
        return "unknown";
    }
    return strncmp(name, prefix, n) == 0 ? name + n : name;
}

static void retry_state(TpEnums__RetryState state, struct tl_buf *out)
{
    if (state != 0) {
        tl_buf_printf(out, ", retry state %s",
                      short_enum(&tp_enums__retry_state__descriptor, (int)state, "RETRY_STATE_"));
    }
}

static void activity_text(const TpFailure__ActivityFailureInfo *info, struct tl_buf *out)
{
    tl_buf_printf(out, " (activity %s, id %s",
                  info->activity_type ? info->activity_type->name : "?", info->activity_id);
    retry_state(info->retry_state, out);
    tl_buf_puts(out, ")");
}

static void child_text(const TpFailure__ChildWorkflowExecutionFailureInfo *info, struct tl_buf *out)
{
    tl_buf_printf(out, " (child workflow %s, id %s",
                  info->workflow_type ? info->workflow_type->name : "?",
                  info->workflow_execution ? info->workflow_execution->workflow_id : "?");
    retry_state(info->retry_state, out);
    tl_buf_puts(out, ")");
}

/* What stands before the message: the user's error type where there is one. */
static const char *title(const TpFailure__Failure *f)
{
    if (f->failure_info_case == TP_FAILURE__FAILURE__FAILURE_INFO_APPLICATION_FAILURE_INFO &&
        f->application_failure_info && *f->application_failure_info->type) {
        return f->application_failure_info->type;
    }
    if (f->failure_info_case == TP_FAILURE__FAILURE__FAILURE_INFO_NEXUS_HANDLER_FAILURE_INFO &&
        f->nexus_handler_failure_info && *f->nexus_handler_failure_info->type) {
        return f->nexus_handler_failure_info->type;
    }
    return tl_failure_kind(f);
}

/* What the kind adds behind the message. A member of the union may be missing only in a message
 * made by hand. */
static void kind_text(const TpFailure__Failure *f, struct tl_buf *out)
{
    if (!f->application_failure_info) {
        return;
    }
    switch (f->failure_info_case) {
    case TP_FAILURE__FAILURE__FAILURE_INFO_APPLICATION_FAILURE_INFO:
        if (f->application_failure_info->non_retryable) {
            tl_buf_puts(out, " (non-retryable)");
        }
        break;
    case TP_FAILURE__FAILURE__FAILURE_INFO_SERVER_FAILURE_INFO:
        if (f->server_failure_info->non_retryable) {
            tl_buf_puts(out, " (non-retryable)");
        }
        break;
    case TP_FAILURE__FAILURE__FAILURE_INFO_TIMEOUT_FAILURE_INFO:
        tl_buf_printf(out, " (%s)",
                      short_enum(&tp_enums__timeout_type__descriptor,
                                 (int)f->timeout_failure_info->timeout_type, "TIMEOUT_TYPE_"));
        break;
    case TP_FAILURE__FAILURE__FAILURE_INFO_TERMINATED_FAILURE_INFO:
        if (*f->terminated_failure_info->identity) {
            tl_buf_printf(out, " (by %s)", f->terminated_failure_info->identity);
        }
        break;
    case TP_FAILURE__FAILURE__FAILURE_INFO_ACTIVITY_FAILURE_INFO:
        activity_text(f->activity_failure_info, out);
        break;
    case TP_FAILURE__FAILURE__FAILURE_INFO_CHILD_WORKFLOW_EXECUTION_FAILURE_INFO:
        child_text(f->child_workflow_execution_failure_info, out);
        break;
    case TP_FAILURE__FAILURE__FAILURE_INFO_NEXUS_OPERATION_EXECUTION_FAILURE_INFO:
        tl_buf_printf(out, " (nexus operation %s.%s at %s)",
                      f->nexus_operation_execution_failure_info->service,
                      f->nexus_operation_execution_failure_info->operation,
                      f->nexus_operation_execution_failure_info->endpoint);
        break;
    default:
        break;
    }
}

static void stack_text(const char *stack, struct tl_buf *out)
{
    while (*stack) {
        size_t n = strcspn(stack, "\n");
        if (n > 0) {
            tl_buf_puts(out, "    ");
            tl_buf_put(out, stack, n);
            tl_buf_putc(out, '\n');
        }
        stack += n + (stack[n] == '\n');
    }
}

void tl_failure_text(const TpFailure__Failure *failure, bool stack_traces, struct tl_buf *out)
{
    const TpFailure__Failure *f = failure;
    for (int i = 0; f && i < CHAIN_MAX; i++, f = f->cause) {
        tl_buf_printf(out, "%s%s: %s", i ? "caused by " : "", title(f), f->message);
        kind_text(f, out);
        tl_buf_putc(out, '\n');
        if (stack_traces) {
            stack_text(f->stack_trace, out);
        }
    }
}
