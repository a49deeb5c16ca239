/* Operation executions: Nexus operations that a client starts, without a workflow. Such a run is a state, a
 * record and transactions like any other run (history.h), of the kind TL_RUN_OPERATION; it has one Nexus
 * operation and no workflow task, and ends with it. Its events are those of a workflow that does nothing
 * else, less the workflow tasks; nobody reads them as a history.
 * What handlers do to it are the operations of nexus.h: tl_tx_nexus_answer and its kin.
 * Thread: the run's owner. Owns: nothing; what is filled in lives in the arena. */
#pragma once

#include "server/history/nexus.h"

/* The request checks alone, before a run exists. Errors: TL_EINVAL, in the server's words. */
tl_rc tl_operation_check(const struct tl_history_env *env,
                         const TpWs__StartNexusOperationExecutionRequest *req,
                         struct tl_error *err) TL_MUST_USE;
/* The first operation of such a run. Errors: as the check; TL_ELIMIT. */
tl_rc tl_tx_operation_start(struct tl_tx *tx, const TpWs__StartNexusOperationExecutionRequest *req,
                            struct tl_str endpoint_id, struct tl_error *err) TL_MUST_USE;
/* A start found it (USE_EXISTING) and leaves its callbacks and links, as on_conflict_options say. The same
 * request again changes nothing. Errors: TL_EPRECONDITION (closed). */
tl_rc tl_tx_operation_attach(struct tl_tx *tx, const TpWs__StartNexusOperationExecutionRequest *req,
                             struct tl_error *err) TL_MUST_USE;
/* Its handler is asked to cancel it, as soon as it has started. The same request again changes nothing.
 * Errors: TL_EPRECONDITION (closed; cancelled by another request). */
tl_rc tl_tx_operation_cancel(struct tl_tx *tx,
                             const TpWs__RequestCancelNexusOperationExecutionRequest *req,
                             struct tl_error *err) TL_MUST_USE;
/* Its handler does not hear of it. Errors: TL_EPRECONDITION (closed, but by this request). */
tl_rc tl_tx_operation_terminate(struct tl_tx *tx, const char *reason, const char *identity,
                                const char *request_id, struct tl_error *err) TL_MUST_USE;

/* NEXUS_OPERATION_EXECUTION_STATUS_* for a status as rows have it (WORKFLOW_EXECUTION_STATUS_*). */
int tl_operation_status(int64_t workflow_status);
/* Whether it has come to NEXUS_OPERATION_WAIT_STAGE_STARTED or _CLOSED. */
bool tl_rs_operation_reached(const struct tl_rs *rs, int wait_stage);
/* Fills the answer of DescribeNexusOperationExecution, all but the long poll token. Errors: TL_ELIMIT. */
tl_rc tl_rs_operation_describe(const struct tl_rs *rs, int64_t now_ns,
                               const TpWs__DescribeNexusOperationExecutionRequest *req,
                               struct tl_arena *arena,
                               TpWs__DescribeNexusOperationExecutionResponse *out,
                               struct tl_error *err) TL_MUST_USE;
/* Fills the answer of PollNexusOperationExecution. Errors: TL_ELIMIT. */
tl_rc tl_rs_operation_poll(const struct tl_rs *rs, struct tl_arena *arena,
                           TpWs__PollNexusOperationExecutionResponse *out,
                           struct tl_error *err) TL_MUST_USE;
