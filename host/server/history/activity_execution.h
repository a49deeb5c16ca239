/* Activity executions: activities that a client starts, without a workflow. Such a run is a state, a
 * record and transactions like any other run (history.h), of the kind TL_RUN_ACTIVITY; it has one
 * activity and no workflow task, and ends with it. Its events are those of a workflow that does nothing
 * else, less the workflow tasks; nobody reads them as a history.
 * What workers do to it are the operations of history.h: tl_tx_activity_start and its kin.
 * Thread: the run's owner. Owns: nothing; what is filled in lives in the arena. */
#pragma once

#include <temporal/api/activity/v1/message.pb-c.h>

#include "server/history/activity.h"

/* The request checks alone, before a run exists. Errors: TL_EINVAL, in the server's words. */
tl_rc tl_activity_execution_check(const struct tl_history_env *env,
                                  const TpWs__StartActivityExecutionRequest *req,
                                  struct tl_error *err) TL_MUST_USE;
/* The first operation of such a run. Errors: as the check; TL_ELIMIT. */
tl_rc tl_tx_activity_execution_start(struct tl_tx *tx,
                                     const TpWs__StartActivityExecutionRequest *req,
                                     struct tl_error *err) TL_MUST_USE;
/* A start found it (USE_EXISTING) and leaves its callbacks and links, as on_conflict_options say. The same
 * request again changes nothing. Errors: TL_EPRECONDITION (closed). */
tl_rc tl_tx_activity_execution_attach(struct tl_tx *tx,
                                      const TpWs__StartActivityExecutionRequest *req,
                                      struct tl_error *err) TL_MUST_USE;
/* Without a worker it is cancelled at once, else that hears of it by its heartbeat. The same request again
 * changes nothing. Errors: TL_EPRECONDITION (closed; cancelled by another request). */
tl_rc tl_tx_activity_execution_cancel(struct tl_tx *tx,
                                      const TpWs__RequestCancelActivityExecutionRequest *req,
                                      struct tl_error *err) TL_MUST_USE;
/* Errors: TL_EPRECONDITION (closed, but by this request). */
tl_rc tl_tx_activity_execution_terminate(struct tl_tx *tx, const char *reason, const char *identity,
                                         const char *request_id, struct tl_error *err) TL_MUST_USE;
/* The operators' requests, each done once per request id. Errors: TL_EPRECONDITION (a state in which that
 * cannot be), TL_EINVAL (options that a start would be refused for). */
tl_rc tl_tx_activity_execution_pause(struct tl_tx *tx,
                                     const TpWs__PauseActivityExecutionRequest *req,
                                     struct tl_error *err) TL_MUST_USE;
tl_rc tl_tx_activity_execution_unpause(struct tl_tx *tx,
                                       const TpWs__UnpauseActivityExecutionRequest *req,
                                       struct tl_error *err) TL_MUST_USE;
tl_rc tl_tx_activity_execution_reset(struct tl_tx *tx,
                                     const TpWs__ResetActivityExecutionRequest *req,
                                     struct tl_error *err) TL_MUST_USE;
tl_rc tl_tx_activity_execution_change(struct tl_tx *tx,
                                      const TpWs__UpdateActivityExecutionOptionsRequest *req,
                                      struct tl_error *err) TL_MUST_USE;

/* ACTIVITY_EXECUTION_STATUS_* for a status as rows have it (WORKFLOW_EXECUTION_STATUS_*). */
int tl_activity_execution_status(int64_t workflow_status);
/* Fills the answer of DescribeActivityExecution, all but the long poll token. Errors: TL_ELIMIT. */
tl_rc tl_rs_activity_execution_describe(const struct tl_rs *rs, int64_t now_ns,
                                        const TpWs__DescribeActivityExecutionRequest *req,
                                        struct tl_arena *arena,
                                        TpWs__DescribeActivityExecutionResponse *out,
                                        struct tl_error *err) TL_MUST_USE;
/* NULL while it is open, or without memory. */
TpActivity__ActivityExecutionOutcome *tl_rs_activity_execution_outcome(const struct tl_rs *rs,
                                                                       struct tl_arena *arena);
/* NULL when it has none. */
TpNexus__PropagatedSerializationContext *tl_rs_activity_execution_context(const struct tl_rs *rs,
                                                                          struct tl_arena *arena);
