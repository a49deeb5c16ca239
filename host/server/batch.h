/* Batch operations: one operation on every run that a query finds, or on a list of runs: of workflows, or
 * of activities without one. A job is
 * durable: its progress is in the commit that makes its operations durable, so after a crash it goes
 * on where it was and does nothing twice. It works between requests, some runs per commit, and
 * waits for that commit before it goes on: callers are not held up, and the log does not pile up.
 * Ownership: jobs belong to the server. Thread: engine. */
#pragma once

#include "server/engine.h"
#include "server/visibility/filter.h"

struct tl_batch_item {
    int64_t start_ns;
    uint64_t number;
};

struct tl_batch_job {
    struct tl_list link; /* in tl_server.batches */
    uint64_t number;     /* in order of start */
    struct tl_namespace *ns;
    struct tl_arena arena; /* of the request */
    const TpWs__StartBatchOperationRequest *req;
    int64_t start_ns;
    TlV1__BatchProgress at;
    struct tl_str stop_reason, stop_identity; /* heap; `at` points to them */
    uint64_t seq;                             /* commit to wait for before it goes on */
    int64_t not_before_ns;                    /* mono: its rate, or a list to be tried again */
    uint64_t ticket;                          /* list under way; 0: none */
    struct tl_batch_item *page;               /* heap: runs found and not done */
    size_t page_n, page_at;
    bool last_page;
};

/* --- batch.c: jobs ------------------------------------------------------------------------------- */

/* A new job, stored in the open commit. The request has been checked and is copied.
 * Errors: TL_ELIMIT. */
tl_rc tl_batch_start(struct tl_server *s, struct tl_namespace *ns,
                     const TpWs__StartBatchOperationRequest *req, struct tl_batch_job **out,
                     struct tl_error *err) TL_MUST_USE;
/* NULL when there is none. */
struct tl_batch_job *tl_batch_find(struct tl_server *s, const struct tl_namespace *ns,
                                   const char *job_id);
bool tl_batch_runs(const struct tl_batch_job *job);
/* Ends a running job where it is. */
void tl_batch_stop(struct tl_server *s, struct tl_batch_job *job, const char *reason,
                   const char *identity);
/* What its query means, the part included that the kind of operation adds; in the arena.
 * Errors: TL_EINVAL, TL_ELIMIT. */
tl_rc tl_batch_filter(const TpWs__StartBatchOperationRequest *req, const struct tl_namespace *ns,
                      int64_t now_ns, struct tl_arena *arena, struct tl_filter *out,
                      struct tl_error *err) TL_MUST_USE;
/* Does what jobs can do in this round. Returns when to look again (mono). */
int64_t tl_batches_due(struct tl_server *s);
/* A page of a job's query came from the reader. */
void tl_batch_page_arrived(struct tl_server *s, struct tl_msg *m);
/* Forgets all jobs and reads those that are stored. Errors: TL_EIO, TL_EDECODE. */
tl_rc tl_batches_load(struct tl_server *s, struct tl_error *err) TL_MUST_USE;
void tl_batches_free(struct tl_server *s);

/* --- batch_ops.c: operations --------------------------------------------------------------------- */

/* BATCH_OPERATION_TYPE_* of the request; 0 when this server does not carry it out. */
int tl_batch_type(const TpWs__StartBatchOperationRequest *req);
/* What the operation is for. */
enum tl_run_kind tl_batch_kind(int type);
struct tl_reset_request;
/* What a batch of resets does to each run. Errors: TL_EINVAL, TL_EUNIMPLEMENTED. */
tl_rc tl_batch_reset_request(const TpWs__StartBatchOperationRequest *req,
                             struct tl_reset_request *out, struct tl_error *err) TL_MUST_USE;
/* Whether the operation is for runs only that have not ended. */
bool tl_batch_wants_open(int type);

enum tl_batch_outcome {
    TL_BATCH_DONE,
    TL_BATCH_FAILED,
    TL_BATCH_WAIT /* it has to be asked again when the open commit is durable */
};
/* Carries the operation out on one run. `ahead` says that a run before it waits: it is prepared, but
 * not finished. A run that is gone, or closed, is done. */
enum tl_batch_outcome tl_batch_apply(struct tl_server *s, const struct tl_batch_job *job,
                                     const struct tl_batch_item *item, bool ahead);
