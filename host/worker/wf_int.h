/* Private to worker/wf_*.c: cached runs and the tasks they have in work.
 *
 * Life of a task: poll result -> take (decode) -> [wait behind the run's task] -> begin -> [fetch
 * pages] -> handle -> respond -> answer -> next.
 * A run entry exists while it has state (core, language) or a task; a task holds its slot from the
 * poll to the answer. Thread: the actor's. */
#pragma once

#include "proto/pb.h"
#include "tl_enums.h"
#include "worker/build.h"

struct tl_task_arena {
    struct tl_list node;
    struct tl_arena arena;
};

struct tl_wf_run {
    struct tl_wf_actor *owner;
    struct tl_str run_id;    /* owned */
    struct tl_run *core;     /* NULL: no state */
    struct tl_build *build;  /* a use, while there is state or a task was tried */
    bool stays;              /* open, and this build answered its last completed task */
    struct tl_run_lang lang; /* when core is set */
    struct tl_list idle;     /* owner->idle when there is state and no task */
    struct tl_wf_task *task; /* in work */
    struct tl_list waiting;  /* of struct tl_wf_task */
    int64_t bytes;
    struct tl_list locals;   /* of struct tl_local_act; with state only */
    int64_t started_wall_ns; /* of the run, as its history tells; 0: not known */
    bool ended;              /* its last answer ended it */
    struct tl_meter_replay replay;
};

struct tl_wf_task {
    struct tl_reply_to to;
    struct tl_wf_actor *owner;
    struct tl_wf_run *run;
    struct tl_list node;
    struct tl_msg msg; /* TL_WM_MOVED */
    struct tl_task_arena *memory;
    struct tl_build *from; /* a use of the version it was polled for; NULL: unversioned */
    TpWs__PollWorkflowTaskQueueResponse *poll;
    struct tl_timer timer; /* the next attempt of the call under way */
    struct tl_retry retry;
    enum tl_method method;    /* of that call */
    struct tl_str request;    /* its bytes, in the arena */
    struct tl_pb_list events; /* while fetching */
    bool fetching;
    bool evict;           /* drop the run's state after the answer */
    bool shortened;       /* the answer stands for one that could not be sent */
    bool finishes;        /* its answer ends the run */
    bool held;            /* waits for local activities; `timer` is its heartbeat */
    struct tl_slot *slot; /* NULL: in the quarantine */
    int eager;            /* activity slots reserved: */
    struct tl_slot **eager_slots;
    int64_t taken_ns;
    int ending; /* command type that ends the run, for metrics; else 0 */
    /* What was answered, in the arena: the server may refuse a command. */
    TpCommand__Command **commands;
    const struct tl_str *places;
    size_t command_count;
};

/* A place for the first task of a workflow that a client of this process starts; then that task. */
struct tl_wf_place {
    struct tl_msg msg;
    struct tl_slot *slot;
    struct tl_build *build; /* a use of the version it is for; NULL: unversioned */
    char *task;             /* owned; encoded */
    size_t task_bytes;
};
/* wf_eager.c: takes it; the place is gone. */
void tl_wf_place_taken(struct tl_wf_actor *a, struct tl_wf_place *p);

/* wf_actor.c */
struct tl_task_arena *tl_wf_arena_get(struct tl_wf_actor *a);
void tl_wf_arena_put(struct tl_wf_actor *a, struct tl_task_arena *m);
/* Drops core and language; no user code runs. */
void tl_wf_drop_state(struct tl_wf_run *r);
/* The run's memory changed: account, then evict others while above the limits. */
void tl_wf_account(struct tl_wf_run *r);
/* The run has no task: next one, idle list, or gone. */
void tl_wf_run_free_for_next(struct tl_wf_run *r);
/* Frees a task; gives back its slot (unless it was taken out: `keep_slot`) and reserved activity slots. */
void tl_wf_task_free(struct tl_wf_task *t, bool keep_slot);

/* wf_task.c */
/* Decodes a task (the slot and the use of `from` come along) and begins it or queues it behind its run's
 * task. */
void tl_wf_task_take(struct tl_wf_actor *a, struct tl_str body, struct tl_slot *slot,
                     struct tl_build *from);
/* Passes it on when the run is in quarantine and this actor is not. */
void tl_wf_task_begin(struct tl_wf_task *t);
/* A task that was passed on has arrived in the quarantine. */
void tl_wf_task_moved(struct tl_wf_task *t);
/* All history is there. */
void tl_wf_task_handle(struct tl_wf_task *t);
/* A local activity has ended while the task is held (end in the task's arena). False: it is held no
 * more, and may be gone. */
bool tl_wf_task_local_ended(struct tl_wf_task *t, const struct tl_local_end *end);
/* How long the server waits for an answer to a task of this run. */
int64_t tl_wf_task_timeout_ns(const struct tl_wf_run *r);
/* Ends the task without telling the server, which lets it time out. */
void tl_wf_task_abandon(struct tl_wf_task *t);
/* (Re)sends task->request. */
void tl_wf_task_send(struct tl_wf_task *t);
/* True: the call will be made again after a pause. */
bool tl_wf_task_retry(struct tl_wf_task *t, const struct tl_rpc_result *res);

/* wf_history.c */
/* Gets the rest of the history (from_start: all of it), then handles the task. */
void tl_wf_fetch(struct tl_wf_task *t, bool from_start);

/* wf_respond.c */
void tl_wf_respond_completed(struct tl_wf_task *t, const struct tl_wft_result *result);
/* Writes the places in the script ("a.lua:3, a.lua:9") of the commands that a refusal is about: its text
 * begins with the cause. "" when they are not known. */
void tl_wf_refused_places(const struct tl_wf_task *t, struct tl_str refusal, char *out, size_t cap);
void tl_wf_respond_query(struct tl_wf_task *t, const TpQuery__WorkflowQueryResult *result);
/* Completes the task with a command that fails the workflow with an error of this type. */
void tl_wf_respond_failure(struct tl_wf_task *t, const char *type, const char *message);
void tl_wf_respond_failed(struct tl_wf_task *t, TpEnums__WorkflowTaskFailedCause cause,
                          const TpFailure__Failure *failure);
/* A plain failure with this text; answers the direct query when the task is one. */
void tl_wf_respond_error(struct tl_wf_task *t, TpEnums__WorkflowTaskFailedCause cause,
                         const char *type, const char *message);
