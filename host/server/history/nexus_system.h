/* The system endpoint of Nexus: operations that the service itself answers, for workflows. There is one,
 * SignalWithStartWorkflowExecution of the service of the same name; its input is the request of that RPC.
 * What may be in it is checked when a workflow schedules it, and again when it is carried out, by which
 * time the limits may be others.
 * Thread: the caller's. */
#pragma once

#include "server/history/history.h"

/* Whether an endpoint's name is that of the service itself. No endpoint that is made can have it. */
bool tl_nexus_is_system(const char *endpoint);

struct tl_nexus_system_input {
    const char *service, *operation;
    const TpCommon__Payload *payload; /* binary/protobuf or JSON; NULL: none */
    struct tl_str namespace_;         /* of the workflow; the only one it may name */
    uint64_t namespace_number;
};
/* The request, ready but for its request id and links. Owns: *out is the arena's.
 * Errors: TL_EINVAL (no such operation, or what is wrong with the input), TL_ELIMIT. */
tl_rc tl_nexus_system_read(const struct tl_history_env *env, const struct tl_nexus_system_input *in,
                           struct tl_arena *arena,
                           TpWs__SignalWithStartWorkflowExecutionRequest **out,
                           struct tl_error *err) TL_MUST_USE;
/* What was scheduled as that operation. Owns: the arena. NULL: it has ended, or there is no memory. */
const TpHistory__NexusOperationScheduledEventAttributes *
tl_rs_nexus_scheduled(const struct tl_rs *rs, int64_t scheduled_id, struct tl_arena *arena);

/* Signal-with-start is a start and a signal; this is the start. Borrows from r. */
TpWs__StartWorkflowExecutionRequest
tl_signal_start_as_start(const TpWs__SignalWithStartWorkflowExecutionRequest *r);
/* What no start may be asked for together with a signal. Errors: TL_EINVAL. */
tl_rc tl_signal_start_check(const struct tl_history_env *env,
                            const TpWs__SignalWithStartWorkflowExecutionRequest *r,
                            struct tl_error *err) TL_MUST_USE;
