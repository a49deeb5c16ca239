/* Private to the folder: what operation executions (operation_execution.h) are made of. */
#pragma once

#include "server/history/operation_execution.h"
#include "server/history/rs.h"

/* Its one operation; never NULL after the start. */
struct tl_nexus_op *tl_operation_op(const struct tl_rs *rs);
/* What the state says beside the operation, to be changed and kept; NULL without memory. */
TlV1__OperationExecutionState *tl_operation_state(const struct tl_rs *rs, struct tl_arena *arena);
/* Of an execution, else nothing is done: links that came with an answer are the execution's; the event has
 * ended the operation, and so the run. */
void tl_operation_add_links(struct tl_tx *tx, TpCommon__Link *const *links, size_t n);
void tl_operation_close(struct tl_tx *tx, const TpHistory__HistoryEvent *ended);
/* Applies an event that ends the operation, or one that ends the run: the outcome, where it says one. False:
 * no memory. */
bool tl_rs_operation_over(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                          struct tl_arena *scratch);
