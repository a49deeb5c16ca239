/* Reset of a workflow: a new run from the history of another. Thread: engine. */
#pragma once

#include "server/engine.h"

enum tl_reset_point { TL_RESET_EVENT, TL_RESET_FIRST_TASK, TL_RESET_LAST_TASK, TL_RESET_BUILD };

struct tl_reset_request {
    enum tl_reset_point point;
    int64_t finish_event_id; /* TL_RESET_EVENT: events before it are kept */
    const char *build_id;    /* TL_RESET_BUILD: to before its first completed workflow task */
    const char *reason, *request_id;
    bool without_signals, without_updates; /* those behind the point are not sent again */
    /* What is done with the new run at last, in order: changes of its options. */
    TpWorkflow__PostResetOperation **after;
    size_t n_after;
};

/* What is not sent again: RESET_REAPPLY_EXCLUDE_TYPE_*, or by the older RESET_REAPPLY_TYPE_*. */
void tl_reset_exclude(struct tl_reset_request *request, int reapply_type,
                      const TpEnums__ResetReapplyExcludeType *types, size_t n);

/* Terminates the newest run of the workflow when it is open, and starts one that has the events of
 * `base` before the point, then the signals and the accepted updates that came after it, there and in
 * the runs that continued it. A request id that made the newest run makes no other. All in the open commit.
 * Errors: TL_EINVAL (no such point, or one that nothing can begin at), TL_EIO, TL_ELIMIT; when it fails
 * after the first change the open commit is refused. */
tl_rc tl_run_reset(struct tl_server *s, struct tl_exec *base,
                   const struct tl_reset_request *request, struct tl_exec **out,
                   struct tl_error *err) TL_MUST_USE;
