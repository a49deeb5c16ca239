/* What is set for task queues, by operators and by their workers: how many tasks a second may leave them.
 * What operators set is stored; what a worker's poll says holds until a later poll says otherwise.
 * Thread: engine. */
#pragma once

#include <temporal/api/taskqueue/v1/message.pb-c.h>

#include "server/engine.h"

/* Tasks a second that a queue gives away when nobody set a limit. */
#define TL_QUEUE_TASKS_PER_S 100000.0

struct tl_queue_settings {
    struct tl_arena arena;
    TpTq__TaskQueueConfig *config; /* in the arena; NULL: nothing was set */
    double worker_per_s;           /* by the last poll; negative: nothing */
    uint64_t seq;                  /* commit that holds the newest config */
};

void tl_task_queues_init(struct tl_server *s);
void tl_task_queues_free(struct tl_server *s);
/* Forgets what was stored and reads it again. */
tl_rc tl_task_queues_load(struct tl_server *s, struct tl_error *err) TL_MUST_USE;
/* NULL: nothing is set. `type`: TASK_QUEUE_TYPE_... */
const struct tl_queue_settings *tl_task_queue_settings(struct tl_server *s,
                                                       const struct tl_namespace *ns,
                                                       struct tl_str name, int type);
/* Stores a config in the open commit and follows it; `config` is copied. Errors: TL_ELIMIT. */
tl_rc tl_task_queue_configure(struct tl_server *s, struct tl_namespace *ns, struct tl_str name,
                              int type, const TpTq__TaskQueueConfig *config,
                              struct tl_error *err) TL_MUST_USE;
/* A poll came; per_s: the limit it names, negative for none. */
void tl_task_queue_polled(struct tl_server *s, struct tl_namespace *ns, struct tl_str name,
                          int type, double per_s);
/* The limit that holds, and where it comes from (RATE_LIMIT_SOURCE_...). */
double tl_task_queue_per_s(const struct tl_queue_settings *q, int *source);
/* A task or a poll has come to matching: arms the timer of what a limit keeps apart. */
void tl_task_queues_look(struct tl_server *s);
