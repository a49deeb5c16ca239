/* Polls and their answers: shared by polls.c, deliver.c, deliver_workflow.c, query.c and the API.
 * Thread: engine. */
#pragma once

#include "base/limits.h"
#include "server/engine.h"

/* What a poll says, in the arena it was decoded into. */
struct tl_poll_request {
    struct tl_str queue;
    bool sticky;
    const char *identity, *instance_key;
    const char *control_queue; /* where its worker takes commands; empty: nowhere */
    const TpDeployment__WorkerDeploymentOptions *deployment_options;
    const TpCommon__WorkerVersionCapabilities *version_capabilities;
    struct tl_str version;      /* of its workers in matching; empty: unversioned */
    struct tl_str build;        /* under versioning by sets of builds: ":" and the build ID */
    struct tl_str normal_queue; /* of a sticky one; empty: not told */
    double tasks_per_s;         /* limit for the queue; negative: none */
};
tl_rc tl_poll_decode(struct tl_server *s, const struct tl_parked *p, struct tl_arena *arena,
                     struct tl_poll_request *out, struct tl_error *err) TL_MUST_USE;

/* The queue in matching that a poll waits at. */
struct tl_match_key tl_poll_key(const struct tl_parked *p, const struct tl_poll_request *r);
/* Answers the poll with the error and frees it. */
void tl_poll_refuse(struct tl_server *s, struct tl_parked *p, const struct tl_error *err);
/* What a poll that got a task is told about the number of polls, in the arena; NULL: nothing. */
TpTq__PollerScalingDecision *tl_poll_advice(struct tl_server *s, const struct tl_parked *p,
                                            const struct tl_poll_request *r,
                                            struct tl_arena *arena);

/* The token of a started activity: the same bytes whoever asks. Errors: TL_ELIMIT. */
tl_rc tl_activity_token(const struct tl_exec *e, const struct tl_task_ref *ref,
                        struct tl_str activity_id, struct tl_arena *arena, struct tl_str *out,
                        struct tl_error *err) TL_MUST_USE;
/* Execution, type and normal task queue. */
void tl_workflow_task_head(struct tl_exec *e, struct tl_arena *arena,
                           TpWs__PollWorkflowTaskQueueResponse *out);
/* Events first..last (0: all) and `extra` behind them; a page token when they do not fit. */
tl_rc tl_workflow_task_history(struct tl_server *s, struct tl_exec *e, int64_t first, int64_t last,
                               struct tl_str extra, struct tl_arena *arena,
                               TpWs__PollWorkflowTaskQueueResponse *out,
                               struct tl_error *err) TL_MUST_USE;
/* The whole answer for a task that has been started. */
tl_rc tl_workflow_task_response(struct tl_server *s, struct tl_exec *e,
                                const struct tl_wft_started *w, struct tl_arena *arena,
                                TpWs__PollWorkflowTaskQueueResponse *out,
                                struct tl_error *err) TL_MUST_USE;
/* Starts the run's task for the poll and answers it. False when the task is stale: the poll is to look for
 * another. */
bool tl_workflow_task_start(struct tl_server *s, struct tl_parked *p, struct tl_exec *e,
                            struct tl_arena *arena) TL_MUST_USE;
