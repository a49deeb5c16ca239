/* A worker that a test steps by hand, against a service that the test plays (fake_service.h), with
 * scripted workflows (script_lang.h) and histories built event by event (history_builder.h).
 * Thread: tests. */
#pragma once

#include <stdatomic.h>

#include "test/support/fake_service.h"
#include "test/support/history_builder.h"
#include "test/support/script_lang.h"
#include "worker/worker.h"

struct env_type {
    const char *name;
    const struct tl_step *steps;
    tl_rc activate_rc; /* not TL_OK: every activation fails with it */
};

struct env {
    struct fake_service fake;
    struct tl_worker_lang lang;
    struct tl_registry *registry;
    struct tl_worker_config config;
    struct tl_worker *worker;
    const struct env_type *types; /* ends with name NULL */
    atomic_int open_runs, opened;
    struct tl_arena arena;
    char log[8192]; /* event names of log lines, one per line */
    size_t log_n;
    pthread_mutex_t log_mutex;
};

/* Defaults: task queue "q", no activities. Change e->config.options, then env_start. */
void env_init(struct env *e, const struct env_type *types);
/* Makes the worker and steps it until the polls are out. */
void env_start(struct env *e);
/* Makes the worker and starts its threads. */
void env_start_threads(struct env *e);
/* Steps until nothing is left to do. */
void env_settle(struct env *e);
/* Moves the clock and settles. */
void env_pass(struct env *e, int64_t ms);
/* Stops the worker (answering what it asks for) and frees everything; checks that nothing leaks. */
void env_end(struct env *e);

/* Answers a waiting poll of the common (or the sticky) queue with a task; settles. */
void env_give(struct env *e, const TpWs__PollWorkflowTaskQueueResponse *poll);
void env_give_sticky(struct env *e, const TpWs__PollWorkflowTaskQueueResponse *poll);
void env_give_activity(struct env *e, const TpWs__PollActivityTaskQueueResponse *task);
/* Takes the request that must wait and decodes it. */
void *env_expect(struct env *e, enum tl_method m, struct tl_rpc_request **req);
/* Nothing of this method waits. */
void env_expect_none(struct env *e, enum tl_method m);
/* A poll's response with a workflow type, for builder histories that have none set. */
TpWs__PollWorkflowTaskQueueResponse *env_poll(struct tl_hb *hb, int64_t first_event_id,
                                              const char *run_id, const char *type);
/* An activity task. */
TpWs__PollActivityTaskQueueResponse *env_activity(struct env *e, const char *type, int attempt,
                                                  int64_t heartbeat_ms);
struct tl_worker_stats env_stats(struct env *e);
/* How many log lines had this event. */
int env_logged(struct env *e, const char *event);
