/* How an execution without a workflow ended, in the shape of Temporal's own command line: activities and
 * Nexus operations. */
#pragma once

#include "cli/connect.h"

struct tl_cli_outcome {
    const char *kind;                  /* "activity" */
    const char *id_name, *id, *run_id; /* id_name: of the JSON member, "activityId" */
    const TpFailure__Failure *failure; /* NULL: it has completed */
    const TpCommon__Payloads *result;  /* NULL: none */
};

/* Prints it. Returns the exit code: 1, with "KIND failed" on stderr, when it did not complete. */
int tl_cli_print_outcome(struct tl_cli_session *s, const struct tl_cli_outcome *o);
