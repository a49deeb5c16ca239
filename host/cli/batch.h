/* Commands that are about one workflow (--workflow-id), or one activity without a workflow (--activity-id),
 * or about all that a query finds (--query, as a batch operation of the service). */
#pragma once

#include "cli/confirm.h"

struct tl_cli_target {
    bool batch;
    TpCommon__WorkflowExecution execution;    /* when it is one */
    TpWs__StartBatchOperationRequest request; /* when it is a batch; without its operation */
};

/* What may stand beside --workflow-id. */
enum { TL_CLI_TARGET_REASON = 1, TL_CLI_TARGET_YES = 2 };

/* Reads --workflow-id, --run-id, --query, --reason, --yes and --rps; for a batch counts the workflows
 * and asks the user. Strings in the arena, or borrowed from argv. Returns 0, or an exit code after
 * the error was printed. */
int tl_cli_target(struct tl_cli_session *s, unsigned allowed, struct tl_cli_target *out);
/* The same for activities without a workflow; the execution has the id of the activity. */
int tl_cli_target_activity(struct tl_cli_session *s, unsigned allowed, struct tl_cli_target *out);
/* Starts the batch, tells its job ID, and on a database file waits for its end: it has no other
 * server. Returns an exit code. */
int tl_cli_batch_start(struct tl_cli_session *s, struct tl_cli_target *target);
/* --reason, or who asked. In the arena. */
char *tl_cli_reason(struct tl_cli_session *s);
