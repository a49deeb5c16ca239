/* What the methods of executions without a workflow share. Thread: engine. */
#pragma once

#include "server/api/api.h"
#include "server/history/activity_execution.h"

/* The execution of these ids; answers and returns NULL when there is none or the ids are bad. */
struct tl_exec *tl_api_find_execution(struct tl_call *c, enum tl_run_kind kind, const char *id,
                                      const char *run_id);
/* What a start comes to that meets e (NULL: nothing has the id). The policies of these ids are a part
 * of those of workflow ids, under other numbers, which both kinds share. *info is of e. */
enum tl_id_verdict tl_api_execution_judge(const struct tl_exec *e, const char *request_id,
                                          int reuse_policy, int conflict_policy,
                                          struct tl_rs_info *info);
/* A new execution with a transaction for its start; and the end of that. A start that failed leaves
 * nothing. False after an answer. */
struct tl_exec *tl_api_execution_begin(struct tl_call *c, enum tl_run_kind kind, const char *id,
                                       struct tl_tx *tx);
bool tl_api_execution_end(struct tl_call *c, struct tl_exec *e, struct tl_tx *tx, tl_rc rc,
                          struct tl_error *err);
/* What every request for a change says. */
struct tl_api_change {
    const char *request_id, *identity, *reason;
};
/* False after an answer INVALID_ARGUMENT. */
bool tl_api_check_change(struct tl_call *c, const struct tl_api_change *r);
/* A long poll comes back: its run. NULL after an answer. */
struct tl_exec *tl_api_waited_for(struct tl_call *c);
/* The call waits until the run changes, or is over. */
void tl_api_wait_for(struct tl_call *c, struct tl_exec *e, bool wants_close);
/* What a description reflects, for whoever waits for a change. Errors: TL_ELIMIT. */
tl_rc tl_api_poll_token(struct tl_call *c, const struct tl_exec *e, ProtobufCBinaryData *out,
                        struct tl_error *err) TL_MUST_USE;
/* Whether the run is still as the token says. False after an answer, with *answered set, too. */
bool tl_api_is_known(struct tl_call *c, const struct tl_exec *e, ProtobufCBinaryData token,
                     bool *answered);
