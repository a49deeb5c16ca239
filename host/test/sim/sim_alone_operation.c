/* Nexus operations without a workflow: their requests, and what the answers say. See sim_alone.c. */
#include <string.h>

#include "proto/payload.h"
#include "proto/pb.h"
#include "sim/sim.h"
#include "tl_enums.h"

/* --- answers ----------------------------------------------------------------------------------------- */

static bool read_outcome(const TpWs__PollNexusOperationExecutionResponse *r, struct tl_arena *arena,
                         struct sim_told *told)
{
    told->succeeded =
        r->outcome_case == TP_WS__POLL_NEXUS_OPERATION_EXECUTION_RESPONSE__OUTCOME_RESULT;
    bool failed =
        r->outcome_case == TP_WS__POLL_NEXUS_OPERATION_EXECUTION_RESPONSE__OUTCOME_FAILURE;
    told->over = told->succeeded || failed;
    if (told->succeeded) {
        told->result = tl_pb_str(r->result->data);
        return tl_pb_encode_arena(r->result, arena, &told->outcome, NULL) == TL_OK;
    }
    return !failed || tl_pb_encode_arena(r->failure, arena, &told->outcome, NULL) == TL_OK;
}

bool sim_alone_operation_read(const struct sim_call *c, struct tl_arena *arena,
                              struct sim_told *told)
{
    const void *message = sim_call_decode(c, arena);
    if (!message) {
        return false;
    }
    switch ((int)c->what) {
    case SIM_CALL_ALONE_START:
        told->run_id = ((const TpWs__StartNexusOperationExecutionResponse *)message)->run_id;
        return true;
    case SIM_CALL_ALONE_OUTCOME:
        return read_outcome(message, arena, told);
    case SIM_CALL_ALONE_DESCRIBE: {
        const TpWs__DescribeNexusOperationExecutionResponse *r = message;
        told->run_id = r->info ? r->info->run_id : "";
        told->status = r->info ? (int)r->info->status : 0;
        return true;
    }
    default:
        told->count = ((const TpWs__CountNexusOperationExecutionsResponse *)message)->count;
        return true;
    }
}

/* --- requests ---------------------------------------------------------------------------------------- */

static void call_start(struct sim_alone *a, struct tl_arena *arena, struct sim_call *c)
{
    TpWs__StartNexusOperationExecutionRequest *r =
        TL_PB_NEW(arena, TpWs__StartNexusOperationExecutionRequest,
                  tp_ws__start_nexus_operation_execution_request);
    bool again = c->what == SIM_CALL_ALONE_AGAIN;
    const char *operation = a->kind == SIM_ALONE_NEXUS ? "double" : "endless";
    r->operation_id = a->id;
    r->endpoint = tl_arena_printf(arena, "solo-%d", a->number);
    r->service = tl_arena_cstr(arena, TL_STR_LIT("Shop"));
    r->operation = tl_arena_cstr(arena, tl_str(operation));
    r->input = tl_payload_json(arena, tl_str(tl_arena_printf(arena, "%d", a->number + 1)));
    r->request_id = tl_arena_printf(arena, "%s-%s", again ? "again" : "start", a->id);
    r->id_reuse_policy =
        (TpEnums__NexusOperationIdReusePolicy)NEXUS_OPERATION_ID_REUSE_POLICY_REJECT_DUPLICATE;
    sim_call_submit(c, TL_M_StartNexusOperationExecution, r);
}

static void call_outcome(struct sim_alone *a, struct tl_arena *arena, struct sim_call *c)
{
    TpWs__PollNexusOperationExecutionRequest *r =
        TL_PB_NEW(arena, TpWs__PollNexusOperationExecutionRequest,
                  tp_ws__poll_nexus_operation_execution_request);
    r->operation_id = a->id;
    r->run_id = a->run_id;
    r->wait_stage = (TpEnums__NexusOperationWaitStage)NEXUS_OPERATION_WAIT_STAGE_CLOSED;
    sim_call_submit(c, TL_M_PollNexusOperationExecution, r);
}

static void call_describe(struct sim_alone *a, struct tl_arena *arena, struct sim_call *c)
{
    TpWs__DescribeNexusOperationExecutionRequest *r =
        TL_PB_NEW(arena, TpWs__DescribeNexusOperationExecutionRequest,
                  tp_ws__describe_nexus_operation_execution_request);
    r->operation_id = a->id;
    r->run_id = a->run_id;
    sim_call_submit(c, TL_M_DescribeNexusOperationExecution, r);
}

static void call_count(struct sim_alone *a, struct tl_arena *arena, struct sim_call *c)
{
    TpWs__CountNexusOperationExecutionsRequest *r =
        TL_PB_NEW(arena, TpWs__CountNexusOperationExecutionsRequest,
                  tp_ws__count_nexus_operation_executions_request);
    r->query = tl_arena_printf(arena, "OperationId = '%s'", a->id);
    sim_call_submit(c, TL_M_CountNexusOperationExecutions, r);
}

static void call_stop(struct sim_alone *a, struct tl_arena *arena, struct sim_call *c)
{
    TpWs__TerminateNexusOperationExecutionRequest *r =
        TL_PB_NEW(arena, TpWs__TerminateNexusOperationExecutionRequest,
                  tp_ws__terminate_nexus_operation_execution_request);
    r->operation_id = a->id;
    r->run_id = a->run_id;
    r->request_id = tl_arena_printf(arena, "stop-%s", a->id);
    sim_call_submit(c, TL_M_TerminateNexusOperationExecution, r);
}

static void call_delete(struct sim_alone *a, struct tl_arena *arena, struct sim_call *c)
{
    TpWs__DeleteNexusOperationExecutionRequest *r =
        TL_PB_NEW(arena, TpWs__DeleteNexusOperationExecutionRequest,
                  tp_ws__delete_nexus_operation_execution_request);
    r->operation_id = a->id;
    r->run_id = a->run_id;
    sim_call_submit(c, TL_M_DeleteNexusOperationExecution, r);
}

void sim_alone_operation_call(struct sim_alone *a, struct tl_arena *arena, struct sim_call *c)
{
    static void (*const calls[SIM_CALLS])(struct sim_alone *, struct tl_arena *,
                                          struct sim_call *) = {
        [SIM_CALL_ALONE_START] = call_start,     [SIM_CALL_ALONE_AGAIN] = call_start,
        [SIM_CALL_ALONE_OUTCOME] = call_outcome, [SIM_CALL_ALONE_DESCRIBE] = call_describe,
        [SIM_CALL_ALONE_COUNT] = call_count,     [SIM_CALL_ALONE_STOP] = call_stop,
        [SIM_CALL_ALONE_DELETE] = call_delete,
    };
    if (c->what == SIM_CALL_ENDPOINT) {
        sim_call_endpoint(c, arena, tl_arena_printf(arena, "solo-%d", a->number));
    } else {
        calls[c->what](a, arena, c);
    }
}
