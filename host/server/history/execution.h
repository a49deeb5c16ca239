/* Private to the folder: what activity executions (activity_execution.h) are made of. */
#pragma once

#include "server/history/activity_execution.h"
#include "server/history/policy.h"
#include "server/history/rs.h"

/* Its one activity; never NULL after the start. */
struct tl_act *tl_execution_act(const struct tl_rs *rs);
/* What the state says beside the activity, to be changed and kept; NULL without memory. */
TlV1__ActivityExecutionState *tl_execution_state(const struct tl_rs *rs, struct tl_arena *arena);
void tl_execution_keep(struct tl_tx *tx, const TlV1__ActivityExecutionState *state);
/* Its activity has ended, and so has the run. Of what workers send nothing is kept but by these. */
void tl_execution_completed(struct tl_tx *tx, struct tl_act *act, const TpCommon__Payloads *result,
                            const char *identity);
void tl_execution_failed(struct tl_tx *tx, struct tl_act *act, const TpFailure__Failure *failure,
                         int retry_state, const char *identity);
void tl_execution_canceled(struct tl_tx *tx, struct tl_act *act, const TpCommon__Payloads *details,
                           const char *identity);
void tl_execution_timed_out(struct tl_tx *tx, struct tl_act *act, TpFailure__Failure *failure,
                            int retry_state);
/* Applies a close event: the outcome, where the event says it. False: no memory. */
bool tl_rs_execution_closed(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                            struct tl_arena *scratch);
/* "Running", for messages. */
const char *tl_execution_status_name(const struct tl_rs *rs);
/* Paused, and no worker is at it: what clients are told instead of "running". */
bool tl_execution_paused(const struct tl_rs *rs);

/* start.c: the queue of a start. Errors: TL_EINVAL. */
tl_rc tl_task_queue_check(const struct tl_history_limits *limits, const TpTq__TaskQueue *queue,
                          struct tl_error *err) TL_MUST_USE;
/* activity_execution.c: the metadata of a start without a workflow, which only lists and screens show.
 * Errors: TL_EINVAL. */
tl_rc tl_user_metadata_check(const TpSdk__UserMetadata *m, struct tl_error *err) TL_MUST_USE;
