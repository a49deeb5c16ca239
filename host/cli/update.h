/* What the commands about updates share. Thread: main. */
#pragma once

#include "cli/input.h"

/* A request for an update; lives as long as what points to it. */
struct tl_cli_update {
    TpUpdate__Request request;
    TpUpdate__Meta meta;
    TpUpdate__Input input;
    TpUpdate__WaitPolicy wait;
    char uuid[37];
};

/* Reads --<prefix>id (or makes one), --<name_option> and the --<prefix>input options. `id_option` is
 * "update-id". Returns 0 or an exit code. */
int tl_cli_update_read(struct tl_cli_session *s, const char *prefix, const char *name_option,
                       bool wait_for_result, struct tl_cli_update *out);
/* Polls until the update has an outcome, unless *outcome is there. Returns 0 or an exit code. */
int tl_cli_update_wait(struct tl_cli_session *s, const TpCommon__WorkflowExecution *execution,
                       const char *update_id, TpUpdate__Outcome **outcome);
/* Prints the rows (all text) and, with an outcome, its values under `result_name`; a failure is the
 * command's. Returns 0 or an exit code. */
int tl_cli_update_print(struct tl_cli_session *s, const struct tl_print_row *rows, size_t n,
                        const char *result_name, const TpUpdate__Outcome *outcome);
