/* Private to worker/: the actors and what they share.
 *
 *   control   heartbeats, poll back-off, late answers of activities, start and shutdown
 *   wf[i]     workflow actors: runs by hash of the run id; then as many again, the quarantine
 *   pools     activity threads on one inbox, Nexus threads on another
 *
 * Between actors only messages travel. What they share directly is in struct tl_worker under its own
 * mutex (pollers, the killed set, the list of running activities) or atomic (slots, counters). */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/heap.h"
#include "base/inbox.h"
#include "base/list.h"
#include "base/map.h"
#include "client/eager.h"
#include "core/run.h"
#include "proto/wire.h"
#include "worker/meter.h"
#include "worker/resource.h"
#include "worker/worker.h"

/* --- Messages ---------------------------------------------------------------------------------- */

/* tl_msg.kind: what is around the node. */
enum tl_worker_msg {
    TL_WM_RESULT = 1,  /* struct tl_rpc_result; ud is a struct tl_reply_to */
    TL_WM_POLL,        /* struct tl_rpc_result with a task; ud is the struct tl_poll */
    TL_WM_ACTIVITY,    /* struct tl_act_task: an eager activity */
    TL_WM_HEARTBEAT,   /* struct tl_act, hb_msg: details wait to be sent */
    TL_WM_ACT_ENDED,   /* struct tl_act, end_msg: the last word on its heartbeats */
    TL_WM_LOCAL,       /* struct tl_local_try: an attempt of a local activity, to its pool ... */
    TL_WM_LOCAL_DONE,  /* ... and back to its actor */
    TL_WM_MOVED,       /* struct tl_wf_task, on its way into the quarantine */
    TL_WM_STARTED,     /* struct tl_wf_place: the first task of a workflow that was started here */
    TL_WM_STOP_LOCALS, /* actor's stop_msg: the grace of a shutdown is over */
    TL_WM_TICK,        /* worker's tick_msg: look whether the worker can stop */
};

/* What every call of ours carries as ud: who gets the result and what it is for. The first member of
 * the object that made the call. */
struct tl_actor;
struct tl_reply_to {
    struct tl_actor *actor;
    void (*on_result)(struct tl_reply_to *to,
                      struct tl_rpc_result *res); /* on the actor's thread */
    /* Takes a success, whose body says nothing, on the transport's thread, without waking anybody; NULL: the
     * actor hears of successes too. */
    void (*on_ok)(struct tl_reply_to *to);
};

/* --- Actors ------------------------------------------------------------------------------------ */

struct tl_build;

struct tl_timer {
    struct tl_heap_node node;
    void (*fire)(struct tl_timer *t);
};

struct tl_actor {
    struct tl_worker *worker;
    struct tl_inbox inbox;
    struct tl_heap timers;
    pthread_t thread;
    bool has_thread;
    bool busy; /* being stepped: a nested step leaves it alone */
};

void tl_actor_init(struct tl_actor *a, struct tl_worker *w);
void tl_actor_deinit(struct tl_actor *a);
/* Fires what is due; false when nothing was. */
bool tl_actor_fire(struct tl_actor *a);
/* The name of a thread of ours, for debuggers and top: "prefix-3". */
void tl_actor_name_thread(pthread_t thread, const char *prefix, int number);
/* When the next timer is due (world's clock), INT64_MAX for never. */
int64_t tl_actor_deadline(const struct tl_actor *a);
/* (Re)arms. Thread: the actor's. */
void tl_timer_set(struct tl_actor *a, struct tl_timer *t, int64_t delay_ns);
void tl_timer_clear(struct tl_actor *a, struct tl_timer *t);
/* Posts a result to an actor; frees it when the actor is gone. */
void tl_actor_post_result(struct tl_actor *a, struct tl_rpc_result *res);

/* --- Slots and polls --------------------------------------------------------------------------- */

struct tl_custom_slots;

/* A place for a task. Those of our own suppliers are alike: one object stands for all of them. */
struct tl_slot {
    struct tl_slots *of;
    /* of a supplier of the user's own: */
    struct tl_list node; /* while it waits for a poll */
    void *permit;
    bool sticky;
    char *type, *operation; /* what it is used for; NULL: nothing yet */
};

/* Places for tasks of one kind, slots.c. */
struct tl_slots {
    atomic_int used;
    int min, max;                 /* up to min always, beyond while the resources allow it */
    struct tl_resource *resource; /* NULL: a fixed number */
    const struct tl_world *world;
    int64_t ramp_ns;       /* between two beyond min */
    atomic_llong grown_ns; /* when the last one beyond min was given */
    struct tl_slot plain;
    struct tl_custom_slots *custom; /* NULL: ours; then min and max say nothing */
};
/* Errors: TL_EUNAVAILABLE, when the system does not tell its resources. */
tl_rc tl_slots_open(struct tl_worker *w, struct tl_error *err);
void tl_slots_close(struct tl_worker *w);
/* A slot that there is now; NULL: none. */
struct tl_slot *tl_slots_try(struct tl_slots *s);
/* The same for who can wait: a supplier of the user's own is asked for one, and when it is there the polls
 * are filled, or local activities begin. */
struct tl_slot *tl_slots_take(struct tl_slots *s, bool sticky);
/* It has been asked for one and has not answered. */
bool tl_slots_asked(const struct tl_slots *s, bool sticky);
/* One in any case, also beyond the maximum: for a task that is there already. */
struct tl_slot *tl_slots_force(struct tl_slots *s);
/* A slot may be had later although none is given back: ask again. */
bool tl_slots_held_back(const struct tl_slots *s);
/* A task of this workflow or activity type, or of this Nexus service and operation, has come for it. NULL is
 * fine, here and below. */
void tl_slot_use(struct tl_slot *slot, struct tl_str type, struct tl_str operation);
void tl_slot_give(struct tl_slot *slot);

/* slots_custom.c: suppliers of the user's own. */
struct tl_custom_slots *tl_custom_slots_new(struct tl_worker *w, struct tl_slots *of,
                                            enum tlua_slot_kind kind,
                                            const tlua_slot_supplier *supplier);
void tl_custom_slots_free(struct tl_custom_slots *c);
struct tl_slot *tl_custom_slots_try(struct tl_custom_slots *c);
struct tl_slot *tl_custom_slots_take(struct tl_custom_slots *c, bool sticky);
bool tl_custom_slots_asked(struct tl_custom_slots *c, bool sticky);
void tl_custom_slot_use(struct tl_slot *slot, struct tl_str type, struct tl_str operation);
void tl_custom_slot_give(struct tl_slot *slot);
/* On control: asks for what is wanted, and passes on what has been granted. */
void tl_slots_look(struct tl_worker *w);
/* Slots that wait for polls go back, those still to come, too. On control. */
void tl_slots_stop(struct tl_worker *w);

/* gRPC's */
#define STATUS_DEADLINE_EXCEEDED 4
#define STATUS_NOT_FOUND 5
#define STATUS_UNAVAILABLE 14

enum tl_poll_kind {
    TL_POLL_NORMAL,
    TL_POLL_STICKY,
    TL_POLL_ACTIVITY,
    TL_POLL_NEXUS,
    TL_POLL_KINDS
};

/* The number of polls of one kind, poll_scale.c. Guarded by worker->poll_mutex but for target. */
struct tl_poll_scale {
    bool on;
    bool advised;  /* the server has given advice, or says that it does */
    bool may_grow; /* the last period brought more tasks than the one before */
    int min, max;
    atomic_int target; /* polls that should be out */
    int taken, taken_before;
    int64_t period_ns; /* begin of the period */
};
void tl_poll_scale_init(struct tl_poll_scale *s, const struct tl_poller_behavior *b,
                        int64_t now_ns);
/* One poll has ended. decision: the server's PollerScalingDecision, p NULL for none. */
void tl_poll_scale_result(struct tl_poll_scale *s, int status, bool task, struct tl_str decision,
                          int64_t now_ns);

/* All polls of one kind. Guarded by worker->poll_mutex. */
struct tl_poller {
    enum tl_poll_kind kind;
    int max; /* 0: this worker does not poll this kind */
    struct tl_poll_scale scale;
    atomic_int outstanding; /* written under the mutex, read without as a hint */
    struct tl_list polls;   /* of struct tl_poll */
    struct tl_str request;  /* encoded once per build; owned */
    enum tl_method method;
    bool paused;          /* backing off or rate limited */
    int64_t resume_ns;    /* paused by a filler: control arms the timer; else 0 */
    unsigned quick_count; /* empty answers that came at once, in a row */
    int64_t refused_ns;   /* under poll_mutex: the first refusal since a poll was taken; 0: none */
    struct tl_retry retry;
    struct tl_timer timer; /* control's: ends the pause */
    struct tl_worker *worker;
    struct tl_poll_set *set;
};

/* What the last heartbeat of the worker told; report.c. */
struct tl_report_counts {
    uint64_t processed, failed;
};

/* The polls that name one version, with a sticky queue and an instance key of their own. An unversioned
 * worker has one set, whose polls name the current build; a versioned one has a set for each build. The
 * polls of the current version each hold a slot; those of an older one are few and hold none: a task
 * takes its slot when it comes, so the limits are the current version's and what others still have to
 * end goes beyond them.
 * Owned by its build, or by the worker. */
struct tl_poll_set {
    struct tl_list node; /* worker->poll_sets, under poll_mutex */
    struct tl_worker *worker;
    struct tl_build *build; /* NULL: polls name the current one */
    struct tl_poller pollers[TL_POLL_KINDS];
    char *sticky_queue, *instance_key;
    bool current;        /* under poll_mutex */
    bool closed;         /* no poll leaves any more; under poll_mutex */
    int64_t reported_ns; /* wall time of its last heartbeat; report.c */
    struct tl_report_counts reported_tasks, reported_activities, reported_nexus;
    struct tl_reply_to leave_to; /* control's */
};

struct tl_poll {
    struct tl_reply_to to;
    struct tl_str request; /* of its own: the poller's may change; freed once it has left */
    struct tl_list node;
    struct tl_poller *poller;
    struct tl_build *build;   /* a use; NULL: unversioned */
    struct tl_slot *slot;     /* NULL: it holds none; under poll_mutex */
    bool scaled;              /* what the server says about the number of polls counts */
    struct tl_rpc_call *call; /* NULL until tl_channel_call has returned */
    bool finished;            /* result came before that */
    int64_t started_ns;
    int status;             /* of the result, and what it says about the number of polls: */
    struct tl_str decision; /* borrowed from it; p NULL for nothing */
};

/* Finds out what the first build makes the worker poll for, and makes the poll set of an unversioned
 * worker, or of the first version. Errors: encoding. */
tl_rc tl_pollers_init(struct tl_worker *w, struct tl_error *err);
void tl_pollers_deinit(struct tl_worker *w);
/* A set of polls for this version; `current`: with all polls. Errors: encoding. */
tl_rc tl_poll_set_new(struct tl_build *b, bool current, struct tl_error *err);
/* Nothing of it is outstanding. NULL is fine. */
void tl_poll_set_free(struct tl_poll_set *set);
/* The set that polls for this build. */
struct tl_poll_set *tl_poll_set_of(const struct tl_build *b);
/* The current build's set has all polls from now on, the others few. Any thread. */
void tl_poll_sets_settle(struct tl_worker *w);
/* No poll of it leaves any more. On control. */
void tl_poll_set_close(struct tl_poll_set *set);
/* Polls that leave from now on name the current build, or their version's, and the queue of commands. Errors:
 * encoding; then they stay as they are. */
tl_rc tl_pollers_describe(struct tl_worker *w, struct tl_error *err);
/* The server says that it gives advice on the number of polls. */
void tl_pollers_advised(struct tl_worker *w);
/* Issues polls while there are slots. Any thread; cheap when all polls are out. */
void tl_pollers_fill_workflow(struct tl_worker *w);
void tl_pollers_fill_activity(struct tl_worker *w);
void tl_pollers_fill_nexus(struct tl_worker *w);
void tl_pollers_fill(struct tl_worker *w); /* all kinds */
/* A poll's result has arrived: its place is free, the poll is gone. slot: it brought a task, for which the
 * caller has this slot now; NULL: it brought none. Returns the version it was for, a use; NULL: unversioned. */
struct tl_build *tl_poll_finished(struct tl_poll *poll, struct tl_slot **slot) TL_MUST_USE;
#define TL_ACTIVITY_TYPE_FIELD 5 /* of PollActivityTaskQueueResponse; the name is its field 1 */

/* Fires on control: the pause is over. */
void tl_poller_pause_over(struct tl_timer *t);
/* On control: arms the timers of pollers that fillers have paused. */
void tl_pollers_look(struct tl_worker *w);
/* On control: ends all pauses, the server can be reached again. */
void tl_pollers_resume(struct tl_worker *w);
/* No polls from now on; cancel: also end those that are out. */
void tl_pollers_stop(struct tl_worker *w, bool cancel);
int tl_pollers_outstanding(struct tl_worker *w);

/* --- Workflow actors --------------------------------------------------------------------------- */

struct tl_wf_actor {
    struct tl_actor actor;
    bool quarantine;
    struct tl_map runs;    /* run id -> struct tl_wf_run */
    struct tl_list idle;   /* runs with state and no task, least recently used first */
    struct tl_list arenas; /* spare struct tl_task_arena */
    size_t arena_count;
    int64_t cached_count, cached_bytes;
    int64_t count_max, bytes_max;
    struct tl_msg stop_msg;
    bool stop_sent;   /* control's */
    bool stop_locals; /* no task is held from here on */
};

/* All of them: one half for every run, one half for the runs in quarantine. */
#define TL_WF_EACH(a, w) for (struct tl_wf_actor *a = (w)->wf; a < (w)->wf + 2 * (w)->wf_count; a++)

void tl_wf_init(struct tl_wf_actor *a, struct tl_worker *w, bool quarantine);
void tl_wf_deinit(struct tl_wf_actor *a);
/* Takes all messages (waiting until the deadline for the first) and fires timers; false when there
 * was nothing. */
bool tl_wf_step(struct tl_wf_actor *a, int64_t deadline_mono_ns);
void *tl_wf_thread(void *ud);
/* The actor that takes a run's tasks; it passes them on when the run is in quarantine. */
struct tl_wf_actor *tl_wf_route(struct tl_worker *w, struct tl_str run_id);
/* Later tasks of this run go to the quarantine. False: it has no thread, so they do not. */
bool tl_wf_quarantine(struct tl_worker *w, struct tl_str run_id);
bool tl_wf_in_quarantine(struct tl_worker *w, struct tl_str run_id);
/* It has ended, or begins anew as any other. */
void tl_wf_leave_quarantine(struct tl_worker *w, struct tl_str run_id);

/* wf_eager.c: clients of this process may give first tasks to this worker. On control. */
void tl_wf_eager_open(struct tl_worker *w);
/* No place is given away any more; those that were hold their slots until they are ended. */
void tl_wf_eager_close(struct tl_worker *w);

/* --- Activities -------------------------------------------------------------------------------- */

/* An activity that came with a completion. Owned by its receiver. */
struct tl_act_task {
    struct tl_msg msg;
    struct tl_build *build; /* a use of the version it is for; NULL: unversioned */
    struct tl_slot *slot;
    struct tl_str body; /* behind the struct */
};

/* An answer until the service has taken it: answer.h. */
struct tl_answer_kind;
struct tl_answer {
    struct tl_reply_to to; /* first */
    const struct tl_answer_kind *kind;
    struct tl_worker *worker;
    int64_t until_mono_ns; /* later nobody waits for it */
    /* the thread's; control's once the answer is sent */
    struct tl_str bytes; /* encoded, in the arena of its task */
    enum tl_method method;
    bool replaced; /* it stands for one that could not be sent */
    struct tl_timer timer;
    struct tl_retry retry;
};

/* One activity in work. Held by its thread until the answer is taken, by control once it heartbeats,
 * and by its heartbeat call. */
struct tl_act {
    struct tl_activity pub; /* first: what implementations see */
    struct tl_worker *worker;
    int64_t begun_ns;     /* monotonic */
    struct tl_slot *slot; /* NULL: of a local one, whose caller has it */
    struct tl_arena arena;
    atomic_int holds;
    struct tl_list running; /* worker->running, under running_mutex */

    pthread_mutex_t mutex; /* guards the next group */
    pthread_cond_t cond;   /* reasons changed */
    struct tl_buf details; /* newest heartbeat, encoded Payloads */
    bool details_new;      /* not sent yet */
    bool details_unsure;   /* sent, and the server has not said that it has them */
    bool hb_posted;        /* control has been told and has not come to rest */
    bool hb_known;         /* control holds the activity */
    bool ended;            /* no more heartbeats */
    void (*on_cancel)(void *ud);
    void *on_cancel_ud;
    void (*on_change)(void *ud);
    void *on_change_ud;
    atomic_uint reasons; /* written under the mutex */

    struct tl_msg hb_msg, end_msg;
    /* control's */
    struct tl_reply_to hb_to;
    struct tl_timer hb_timer;
    int64_t hb_next_ns; /* not before */
    bool hb_in_flight;
    struct tl_retry hb_retry;

    /* the thread's; control's once the answer is sent */
    enum tl_act_end end;
    const void *end_body; /* TpCommon__Payloads or TpFailure__Failure, in the arena */
    struct tl_answer answer;

    struct tl_build *build; /* borrowed in run; a use when detached */
    bool detached;    /* it is over when run has returned and tl_activity_finish was called: */
    atomic_int parts; /* how many of the two are to come */
    struct tl_local_end_to *local_to; /* of a local activity: who is told of the end */
};

/* What a thread runs activities with: the language state of one build. */
struct tl_act_state {
    struct tl_build *build; /* a use; NULL: none yet */
    void *state;            /* when open */
    bool open;
    const char *error; /* why it is not; NULL: there is nothing to open, or it is open */
    struct tl_error err;
};

/* The threads of activities, local ones among them, and those of Nexus handlers. */
enum tl_pool_kind { TL_POOL_ACTIVITY, TL_POOL_NEXUS, TL_POOL_KINDS };

struct tl_pool {
    struct tl_worker *worker;
    const char *thread_name; /* what the names of its threads begin with */
    struct tl_inbox inbox;
    pthread_t *threads;
    atomic_int thread_count;
    int thread_max;
    atomic_int idle;
    atomic_ulong taken;
    unsigned long taken_seen; /* control's: at the last look */
    struct tl_timer grow;     /* control's */
    atomic_bool grow_wanted;
    struct tl_act_state state; /* of a stepped worker */
    int depth;                 /* of nested steps */
};

void tl_pools_init(struct tl_worker *w);
void tl_pools_deinit(struct tl_worker *w);
/* The first thread of each that is polled for. Errors: TL_EUNAVAILABLE. */
tl_rc tl_pools_start(struct tl_worker *w, struct tl_error *err);
/* Queues a task that holds a slot. Any thread. */
void tl_pool_post(struct tl_worker *w, enum tl_pool_kind kind, struct tl_msg *m);
/* Runs one task of each inline; false when there was none. */
bool tl_pools_step(struct tl_worker *w);
/* On control: begins to watch the queues for which tl_pool_post asked for it. */
void tl_pools_look(struct tl_worker *w);
/* Threads without work let go of an old build. Any thread. */
void tl_pools_kick(struct tl_worker *w);
/* On control, or before it runs: no task comes any more. */
void tl_pools_close(struct tl_worker *w);
void tl_pools_join(struct tl_worker *w);
void tl_pool_cancel_all(struct tl_worker *w, unsigned reasons);
/* Wakes the activities that wait for the shutdown. */
void tl_pool_shutdown_began(struct tl_worker *w);
/* Runs one task from its bytes to its answer; gives its slot back. */
void tl_act_run(struct tl_worker *w, struct tl_str body, struct tl_slot *slot,
                const struct tl_act_state *state);
void tl_act_release(struct tl_act *a);
void tl_act_cancelled(struct tl_act *a, unsigned reasons); /* any thread */
void tl_act_shutdown_began(struct tl_act *a);              /* any thread */

/* --- Nexus operations, op_run.c ---------------------------------------------------------------- */

/* Runs the handler of one Nexus task from its bytes to its answer; gives its slot back. */
void tl_op_run(struct tl_worker *w, struct tl_str body, struct tl_slot *slot,
               const struct tl_act_state *state);
/* The worker's shutdown has begun (reasons 0), or its grace is over. Any thread. */
void tl_ops_tell(struct tl_worker *w, unsigned reasons);

/* report.c, on control. `now_on`: the current build. The heartbeat borrows from the worker; NULL when the
 * arena is full. */
TpWorker__WorkerHeartbeat *tl_report_of(struct tl_poll_set *set, const struct tl_build *now_on,
                                        int status, struct tl_arena *a);
/* Begins to tell the service of the worker, if it wants to hear. */
void tl_report_start(struct tl_worker *w);

/* heartbeat.c, on control */
void tl_heartbeat_wanted(struct tl_act *a);
void tl_heartbeat_ended(struct tl_act *a);

/* --- Commands of the service, commands.c, on control ------------------------------------------- */

struct tl_commands {
    char key[37]; /* of this worker, as the service knows it beside others of the process */
    char *queue;  /* in worker->texts; NULL: the service sends none */
    struct tl_reply_to poll_to, answer_to;
    struct tl_rpc_call *poll; /* out; NULL: none */
    int64_t polled_ns;
    struct tl_timer timer;
    struct tl_retry retry;
};
/* The service sends commands: requests name the queue from now on. */
void tl_commands_prepare(struct tl_worker *w);
/* Begins to poll for them. */
void tl_commands_begin(struct tl_worker *w);
/* Commands that came are answered, no more are asked for. */
void tl_commands_stop(struct tl_worker *w);
/* What requests name; "" without commands. Borrowed. */
char *tl_commands_queue(struct tl_worker *w);

/* --- Worker ------------------------------------------------------------------------------------ */

enum {
    TL_QUARANTINE_RUNS_MAX = 1024,  /* the oldest leaves */
    TL_QUARANTINE_TASKS_MAX = 1024, /* beyond, a task is left to time out */
    TL_WF_TURN_MS = 5, /* CPU time of a task before its run goes into quarantine, where it has all
                           of its budget */
};

struct tl_worker {
    struct tl_client *client;
    struct tl_channel *channel;
    const struct tl_world *world;
    struct tl_worker_options opt; /* texts owned below */
    struct tl_arena texts;
    char *namespace_name, *identity, *task_queue;
    char *deployment_name;
    const char *workflow_thread_name;
    void (*on_fatal)(void *ud, tl_rc rc, const char *message);
    void *on_fatal_ud;

    atomic_int state; /* enum tl_worker_state */
    atomic_bool shutdown_wanted;
    atomic_llong grace_ms; /* of the first shutdown call */
    bool stepped;          /* no threads */

    struct tl_actor control;
    struct tl_wf_actor *wf; /* wf_count, then as many of the quarantine */
    struct tl_eager_worker eager;
    int wf_count;
    atomic_int quarantined_tasks; /* they hold no slot */
    struct tl_pool pools[TL_POOL_KINDS];
    struct tl_list running;    /* of struct tl_act; under running_mutex */
    struct tl_list operations; /* of struct tl_op; under running_mutex */
    atomic_int answers;        /* of activities and operations: sent, not answered */

    pthread_mutex_t poll_mutex;
    struct tl_list poll_sets;     /* of struct tl_poll_set, the current version's last */
    struct tl_poll_set *poll_set; /* of an unversioned worker; else NULL */
    int polls_max[TL_POLL_KINDS]; /* what it polls for was decided when it started; 0: not at all */
    bool polls_open;              /* under poll_mutex */
    int64_t polls_opened_ns;      /* under poll_mutex */
    bool polls_advised;           /* the server says so; under poll_mutex */
    bool polls_cancel;            /* under poll_mutex: end polls as soon as their handle is known */
    atomic_bool lost;             /* the service does not answer polls */
    struct tl_slots wf_slots, act_slots, local_slots, nexus_slots;
    atomic_bool slots_moved;     /* a supplier of the user's own is to be asked, or has granted */
    struct tl_resource resource; /* of the slots that follow it, and for heartbeats */
    bool resource_open;          /* control's, once the worker runs */
    bool resource_tunes;         /* some slots follow it */

    pthread_mutex_t builds_mutex;
    struct tl_list builds;                /* of struct tl_build, newest promotion last */
    _Atomic(struct tl_build *) build_now; /* written under the mutex */
    struct tl_build *build_before;        /* where a rollback leads; NULL: nowhere */
    int64_t build_count;

    pthread_mutex_t local_mutex;  /* local activities that wait for a slot */
    struct tl_list local_waiting; /* of struct tl_local_try */

    double tokens; /* of max_activities_per_second; under poll_mutex */
    int64_t tokens_ns;

    pthread_mutex_t quarantine_mutex; /* the next two, and starting the quarantine's threads */
    struct tl_map quarantined;        /* run ids */
    atomic_int quarantined_count;     /* of them */

    pthread_mutex_t running_mutex; /* running, operations */

    /* control's */
    struct tl_reply_to info_to, namespace_to, probe_to, drain_to, report_to;
    struct tl_timer report_timer;
    struct tl_commands commands;
    int64_t started_wall_ns;
    bool reports;              /* the service takes heartbeats of workers */
    struct tl_build *draining; /* a use of the build that drain_to asks about */
    const struct tl_build
        *draining_under;    /* the current one at that time; compared, never followed */
    struct tl_list retired; /* of struct tl_retired: versions to delete */
    struct tl_timer drain_timer;
    struct tl_retry probe_retry;
    bool away, probing; /* the server could not be reached; a call asks whether it can */
    struct tl_retry start_retry;
    struct tl_timer start_timer, probe_timer, polls_timer, grace_timer, give_up_timer;
    atomic_int calls; /* of control, under way */
    bool sdk_metadata, poll_complete_on_shutdown;
    bool began, leaving;   /* start-up, shutdown has begun */
    atomic_bool giving_up; /* calls are not made again */
    atomic_int in_callbacks;
    struct tl_msg tick_msg;
    atomic_bool tick_posted;

    pthread_mutex_t done_mutex;
    pthread_cond_t done_cond;
    bool done, joined; /* under done_mutex */
    tl_rc fatal_rc;    /* under done_mutex */
    struct tl_error fatal;

// clang-format off
#define TL_STATS(X)                      \
    X(workflow_tasks_completed)          \
    X(workflow_tasks_failed)             \
    X(workflow_tasks_eager)              \
    X(queries_answered)                  \
    X(activities_completed)              \
    X(activities_failed)                 \
    X(activities_eager)                  \
    X(nexus_tasks_completed)             \
    X(nexus_tasks_failed)                \
    X(cache_hits)                        \
    X(cache_misses)                      \
    X(evictions)                         \
    X(full_history_fetches)              \
    X(quarantined_runs)                  \
    X(killed_runs)
// clang-format on
#define X(name) atomic_ullong name;
    struct {
        TL_STATS(X)
    } stats;
#undef X
    atomic_llong cached_runs, cached_bytes;
    struct tl_meter meter;
};
/* Whether the worker is of a deployment's version; otherwise its build stands in the older fields. */
static inline bool tl_worker_deploys(const struct tl_worker *w)
{
    return w->opt.use_worker_versioning && w->opt.deployment_name.n > 0;
}

#define TL_COUNT(w, name) atomic_fetch_add_explicit(&(w)->stats.name, 1, memory_order_relaxed)

static inline int64_t tl_worker_now(const struct tl_worker *w)
{
    return tl_world_mono_ns(w->world);
}
/* Around every callback of the transport: the worker may be told to free itself by what the callback
 * posts, and waits until the callback has let go. */
static inline void tl_worker_enter(struct tl_worker *w)
{
    atomic_fetch_add(&w->in_callbacks, 1);
}
static inline void tl_worker_exit(struct tl_worker *w)
{
    atomic_fetch_sub(&w->in_callbacks, 1);
}
static inline bool tl_worker_stopping(const struct tl_worker *w)
{
    return atomic_load(&w->shutdown_wanted);
}
/* Makes control look around: pauses to time, a pool that stands still, shutdown. Any thread. */
void tl_worker_wake(struct tl_worker *w);
/* The same while stopping, otherwise nothing: something may have been the last. Any thread. */
void tl_worker_tick(struct tl_worker *w);
/* Ends the worker with an error; on control. */
void tl_worker_fatal(struct tl_worker *w, tl_rc rc, const char *what, const char *message);
/* A poll or call failed in a way that will pass / succeeded: one line per change. */
void tl_worker_lost(struct tl_worker *w, const char *what, int status, struct tl_str message);
void tl_worker_found(struct tl_worker *w);
/* The pause before a call is made again. A server that cannot be reached is back within seconds as a
 * rule and asking costs it nothing: these pauses stay short. Counts a failure in *r. */
int64_t tl_worker_retry_ns(const struct tl_worker *w, struct tl_retry *r, int status);
/* Asks the server whether it is there again; tells tl_worker_found. On control. */
void tl_control_probe(struct tl_worker *w);
/* Starts one call of a worker actor. The handle is released at once: such calls are not cancelled. */
void tl_worker_call(struct tl_worker *w, enum tl_method m, struct tl_str request,
                    int64_t timeout_ns, struct tl_reply_to *to);

/* version.c: which build it is, in requests. Fields stay borrowed from the build. */
/* Sets the one field of a poll that tells it; `room` is for what *caps may point to. */
void tl_version_poll(struct tl_build *b, TpDeployment__WorkerDeploymentOptions **deployment,
                     TpCommon__WorkerVersionCapabilities **caps,
                     TpCommon__WorkerVersionCapabilities *room);
void tl_version_completed(struct tl_build *b, TpWs__RespondWorkflowTaskCompletedRequest *req,
                          struct tl_str behavior);
void tl_version_failed(struct tl_build *b, TpWs__RespondWorkflowTaskFailedRequest *req);

/* drain.c, on control: old versions of a versioned worker */
void tl_drain_begin(struct tl_worker *w);
/* Retires what tl_worker_retire_build named. */
void tl_drain_look(struct tl_worker *w);
void tl_drain_stop(struct tl_worker *w);
void tl_drain_deinit(struct tl_worker *w);

/* control.c */
/* A call of control: counted until its answer is taken. */
void tl_control_call(struct tl_worker *w, enum tl_method m, const void *req,
                     struct tl_reply_to *to);
/* Asks the server to answer the polls of a set, which hears no more of it. */
void tl_control_leave(struct tl_poll_set *set, const char *reason);
bool tl_control_step(struct tl_worker *w, int64_t deadline_mono_ns);
void tl_control_begin(struct tl_worker *w);
void *tl_control_thread(void *ud);
