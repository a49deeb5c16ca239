/* Commands to workers: an activity that a worker runs is not wanted any more. They go as Nexus tasks to the
 * queue that the worker named when it took the activity, and outlive the run that they come from: each is
 * in memory and a row of the meta table, written with what the run wrote. An attempt at delivery lasts ten
 * seconds, from its offer to the worker's answer; after three the worker is taken for gone. Commands may be
 * carried out twice: workers do not mind.
 * Thread: engine. */
#pragma once

#include "server/engine.h"

/* Commands to one worker. */
struct tl_worker_command {
    struct tl_match_task task;
    struct tl_due due; /* in tl_server.waits: the end of the attempt, or the begin of the next */
    uint64_t number, namespace_number;
    int32_t attempt; /* 0: none has begun */
    bool backing_off;
    uint64_t seq;                 /* commit that holds its newest write */
    struct tl_str queue, request; /* its own memory; request: an encoded ExecuteCommandsRequest */
    char bytes[];
};

void tl_worker_commands_init(struct tl_server *s);
void tl_worker_commands_free(struct tl_server *s);
/* Forgets and reads again what is stored; attempts that were under way begin again. */
tl_rc tl_worker_commands_load(struct tl_server *s, struct tl_error *err) TL_MUST_USE;
/* Sends what a run's effects (TL_FX_TELL_WORKER) say, all to one worker together. */
void tl_worker_commands_send(struct tl_server *s, struct tl_exec *e, const struct tl_effects *fx,
                             struct tl_arena *arena);
/* A poll takes the commands. */
void tl_worker_command_start(struct tl_server *s, struct tl_parked *p, struct tl_worker_command *c,
                             struct tl_arena *arena);
/* The reply of the poll could not be handed over: they go back to their place. */
void tl_worker_command_undo(struct tl_server *s, const struct tl_delivery *d);
/* What a token names. NULL when that attempt is over. */
struct tl_worker_command *tl_worker_command_find(struct tl_server *s,
                                                 const struct tl_work_token *token);
/* What the worker said; `cause` is for the log. Returns the commit that a reply has to wait for. */
uint64_t tl_worker_command_answered(struct tl_server *s, struct tl_worker_command *c,
                                    enum tl_nexus_outcome outcome, const char *cause);
