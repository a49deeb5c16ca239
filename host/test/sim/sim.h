/* Simulation: server, workers and clients in one thread, one seed. The clock jumps to the next deadline
 * when nobody has work; the disk is tl_vfs; processes die, commits fail and the power fails at seeded
 * moments, answers get lost. The clients remember everything that was acknowledged to them and check it for ever after.
 *
 * Invariants that are checked
 *   safety    no acknowledged start, signal, heartbeat, activity result, end or deletion is lost; a
 *             repeated request has its effect once; no history that was read once changes its prefix;
 *             a query counts at least the signals acknowledged before it; an update is carried out once,
 *             in order, and its outcome stays; what a run signals to another, or cancels there, arrives
 *             once; an activity with one attempt runs at most once; a child exists once, its parent
 *             hears its end once, and the parent's end does to it what its policy says; a paused run
 *             does nothing; a reset happens once, begins with the events before its point and keeps the
 *             signals; a Nexus operation is asked for under one request ID and ends once; a batch
 *             operation reaches each workflow once; a pinned run stays on its build, no run goes back to
 *             an older one, and none begins there once a newer one is acknowledged; a command names the newest attempt
 *             of its activity, and comes only from a server that sends commands; an activity or operation
 *             without a workflow exists once and has one outcome for ever; lists, counts and descriptions agree
 *             with histories; every history is valid and replays.
 *   liveness  in the quiet phase (no faults) every workflow ends and every question is answered.
 *   recovery  when all has ended the power fails once more, and all of it is asked again.
 * Thread: one. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/map.h"
#include "base/rng.h"
#include "base/world.h"
#include "client/client.h"
#include "luart/bundle.h"
#include "server/server.h"
#include "store/vfs_fault.h"
#include "worker/worker.h"

#define SIM_WORKFLOWS_MAX 64
#define SIM_SIGNALS_MAX 4
#define SIM_UPDATES_MAX 4
#define SIM_EVENTS_MAX 400
#define SIM_TOKEN_MAX 256
#define SIM_POINTS_MAX 16
#define SIM_ONCE 4 /* activities with one attempt in one workflow */
#define SIM_ALONE_MAX 8
#define SIM_WORKERS 4 /* the last two are the builds of a deployment */

struct sim;

enum sim_kind {
    SIM_ORDER,      /* activities, a timer, signals, queries */
    SIM_CHAIN,      /* continues as new */
    SIM_CANCELLED,  /* sleeps until it is cancelled, then cleans up */
    SIM_TERMINATED, /* sleeps until it is terminated */
    SIM_RACES,      /* timers and activities, some cancelled */
    SIM_MANUAL,     /* an activity that the client heartbeats and completes */
    SIM_RETRIED,    /* fails twice, its retry policy starts it again */
    SIM_TIMED_OUT,  /* sleeps until its run timeout */
    SIM_PARENT,     /* a child it waits for, one that it abandons, one that ends with it */
    SIM_UPDATED,    /* updates, half of whose handlers wait */
    SIM_SENDER,     /* signals to another run, and the cancellation of a third */
    SIM_PAUSED,     /* paused and unpaused while it works */
    SIM_RESET,      /* reset to an earlier task, signals come before and after */
    SIM_NEXUS,      /* two Nexus operations, behind one stands a workflow that the client starts */
    SIM_PINNED,     /* stays on the build of a deployment that it began on */
    SIM_MOVING,     /* goes on with the deployment's current build */
    SIM_BATCHED,    /* signalled by batch operations on all of its kind */
    SIM_KINDS,
};

struct sim_kind_info {
    const char *type; /* of the workflow */
    int status;       /* in which it ends */
    int close_event;  /* that its history ends with */
};
extern const struct sim_kind_info sim_kinds[SIM_KINDS];

/* What is still to be asked of a workflow that has ended. */
enum sim_ask {
    SIM_ASK_QUERY = 1,
    SIM_ASK_LIST = 2,
    SIM_ASK_COUNT = 4,
    SIM_ASK_HISTORY = 8,
    SIM_ASK_DESCRIBE = 16,
    SIM_ASK_DELETE = 32,
    SIM_ASK_PAGES = 64,
    SIM_ASK_CHILDREN = 128,
    SIM_ASK_UPDATE = 256,
};

/* An activity that the client completes, as its last execution left it. */
struct sim_manual {
    uint8_t token[SIM_TOKEN_MAX];
    size_t token_n; /* 0: none waits */
    int beats_sent, beats_acked;
    bool done_acked;
};

/* Pauses of a workflow: each is followed by its end before the next comes. */
struct sim_pauses {
    int steps, acked; /* pause, unpause, pause ...: how many there shall be, were acknowledged */
    bool sent;        /* the next one was, and may have happened */
    bool repeated;    /* it was sent more than once */
};

/* Resets of a workflow. */
struct sim_resets {
    int wanted, acked;
    int64_t points[SIM_POINTS_MAX]; /* events of the newest run that it can go back to */
    size_t point_count;
    int64_t point; /* of the reset that is asked for, or was the last; 0: none */
    bool sent;     /* one was and is not acknowledged */
};

/* The Nexus operation behind which a workflow stands, as its handler was asked for it. */
#define SIM_HEADERS_MAX 4
struct sim_later {
    bool endpoint_acked, known, acked; /* the handler was asked; the workflow is started */
    char request_id[64], url[128];
    int headers;
    char names[SIM_HEADERS_MAX][64], values[SIM_HEADERS_MAX][512];
};

/* What a client knows of one workflow. */
struct sim_workflow {
    struct sim *sim;
    int number;
    enum sim_kind kind;
    char id[32], run_id[64];
    bool greeted; /* started together with its first signal */
    bool start_acked, closed, stop_asked, stop_acked;
    int signals, signals_sent, signals_acked;
    int updates, updates_acked; /* the next is asked for when the one before is acknowledged */
    int runs;                   /* runs of the chain that are known */
    int close_type;             /* the close event of the newest one that was told, 0: none */
    unsigned asks;              /* of enum sim_ask */
    bool wants_delete, delete_asked, deleted;
    struct sim_manual manual;
    struct sim_pauses pauses;
    struct sim_resets resets;
    struct sim_later later;
    bool start_asked;
    int builds_before; /* of enum sim_build: acknowledged as current before its start was asked for */
    int once_runs[SIM_ONCE]; /* executions of the single-attempt activities */
    uint8_t page_token[SIM_TOKEN_MAX];
    bool paged_closed;             /* the pages under way began after the end */
    size_t page_token_n;           /* 0: the next page is the first */
    int64_t page_next;             /* event id that the next page begins with */
    uint64_t seen[SIM_EVENTS_MAX]; /* hash of each event that was ever read */
    size_t seen_count;
    int busy;        /* calls under way */
    int64_t next_ns; /* when the client does something again */
};

enum sim_what {
    SIM_CALL_START,
    SIM_CALL_SIGNAL,
    SIM_CALL_QUERY,
    SIM_CALL_HISTORY,
    SIM_CALL_STOP,
    SIM_CALL_PAGE,  /* some events of the history, behind those of the last page */
    SIM_CALL_AWAIT, /* a long poll for the close event */
    SIM_CALL_LIST,
    SIM_CALL_COUNT,
    SIM_CALL_DESCRIBE,
    SIM_CALL_AGAIN, /* a start that must be refused */
    SIM_CALL_BEAT,
    SIM_CALL_DONE, /* the manual activity's result */
    SIM_CALL_DELETE,
    SIM_CALL_CHILDREN, /* a list of all children of a parent */
    SIM_CALL_UPDATE,
    SIM_CALL_PAUSE,
    SIM_CALL_UNPAUSE,
    SIM_CALL_RESET,
    SIM_CALL_ENDPOINT, /* of a workflow's Nexus operations */
    SIM_CALL_BACK,     /* the start of the workflow that stands behind one of them */
    SIM_CALL_ALONE_START,
    SIM_CALL_ALONE_AGAIN,   /* a start that must be refused */
    SIM_CALL_ALONE_OUTCOME, /* a long poll */
    SIM_CALL_ALONE_DESCRIBE,
    SIM_CALL_ALONE_COUNT,
    SIM_CALL_ALONE_STOP,
    SIM_CALL_ALONE_DELETE,
    SIM_CALL_BATCH_START,
    SIM_CALL_BATCH_DESCRIBE,
    SIM_CALL_ROLLOUT,
    SIM_CALL_ROUTING,
    SIM_CALLS,
};

struct sim_call {
    struct tl_msg msg;
    struct sim *sim;
    struct sim_workflow *w;
    struct sim_alone *alone;
    const char *id; /* of whom it is for */
    void (*replied)(
        struct sim_call *c); /* checks the answer against what is known and remembers it */
    int *busy;               /* counts the calls of whoever made it */
    enum sim_what what;
    int signals_before; /* acknowledged when the call was made */
    int beat, update;
    struct tl_rpc_call *call;
    struct tl_rpc_result *result;
};

/* What a client knows of one activity or Nexus operation without a workflow. */
enum sim_alone_kind {
    SIM_ALONE_RETRIED, /* "double": fails now and then */
    SIM_ALONE_ONCE,    /* one attempt */
    SIM_ALONE_STOPPED, /* never answers, is terminated */
    SIM_ALONE_NEXUS,   /* an operation that answers at once; its handler fails now and then */
    SIM_ALONE_ENDLESS, /* an operation that goes on until it is terminated */
    SIM_ALONE_KINDS,
};

struct sim_alone {
    struct sim *sim;
    int number;
    enum sim_alone_kind kind;
    char id[32], run_id[64];
    bool endpoint_acked; /* of an operation */
    bool start_acked, stop_asked, stop_acked;
    bool over; /* its outcome is known: it stays */
    uint64_t outcome;
    bool succeeded;
    bool wants_delete, delete_asked, deleted;
    unsigned asks; /* of enum sim_ask */
    int once_runs; /* executions of one with one attempt */
    int busy;
    int64_t next_ns;
};

/* Batch operations, one after the other: each signals all workflows of the kind SIM_BATCHED, which end
 * with the last. */
#define SIM_BATCHES 2
struct sim_batches {
    struct sim *sim;
    int number;    /* of the one that is next or under way, from 1 */
    char id[32];   /* of its job */
    bool acked;    /* its start is acknowledged */
    bool repeated; /* it was sent before */
    int asks;      /* how often the last one is still to be described after its end */
    int busy;
    int64_t next_ns;
};

/* The deployment whose current version is first none, then the build "a", then "b". */
enum sim_build { SIM_BUILD_NONE, SIM_BUILD_A, SIM_BUILD_B };
struct sim_deployment {
    struct sim *sim;
    int sent, acked; /* of enum sim_build */
    int asks;        /* how often it is still to be described */
    int busy;
    int64_t next_ns;
};

struct sim_options {
    uint64_t seed;
    int workflows, alone; /* how many; activities without a workflow, too */
    int power_cuts_max, kills_max, worker_restarts_max; /* faults in the noisy phase */
    bool commit_faults;                                 /* commits fail now and then, too */
    bool verbose;                                       /* tell what failed */
    bool story;                                         /* tell everything */
};

struct sim {
    struct sim_options options;
    struct tl_rng rng;
    struct tl_world world;
    int64_t now_ns;
    struct tl_vfs *vfs;
    char vfs_name[32];
    struct tl_server *server; /* NULL while it is down */
    struct tl_rpc_service link;
    bool link_cut; /* requests do not get through, though the server lives */
    struct tl_channel lossy, *direct;
    struct tl_client *client;
    struct tl_bundle *bundle;
    struct tl_worker_lang *lang;
    struct tl_registry *registry;
    struct tl_worker *workers[SIM_WORKERS];
    int64_t server_next_ns, workers_next_ns[SIM_WORKERS];
    struct sim_workflow workflows[SIM_WORKFLOWS_MAX];
    struct sim_alone alone[SIM_ALONE_MAX];
    struct sim_batches batches;
    struct sim_deployment deployment;
    struct tl_msg *done_head, **done_tail;
    int power_cuts, kills, worker_restarts, rounds, answers_lost;
    bool commit_waits; /* the server has gone on since the last commit */
    bool fragile;      /* since then something happened that must not happen again */
    bool quiet;        /* no more faults */
    int64_t quiet_since_ns;
    bool last_cut;          /* the power cut after the end of all */
    bool worker_commands;   /* the server sends commands to workers: every other two seeds */
    struct tl_map attempts; /* "run/scheduled event" -> the newest attempt that was given out */
    long commands;          /* that came to workers */
    const char *slowest;    /* the id of what was not done when it was last looked at */
    long calls_answered[SIM_CALLS];
    uint64_t trace;    /* hash of everything that happened */
    char failure[512]; /* the first broken promise; empty: none */
};

/* --- sim_run.c --- */
/* Runs one seed to its end. True when every promise held; sim->failure tells otherwise. */
bool sim_run(struct sim *s, const struct sim_options *options);

/* --- sim_scripts.c --- */
/* The bundle and language. */
bool sim_scripts_only(struct sim *s);

/* --- sim_parts.c: the world, the server's and the workers' lives --- */
void sim_world_open(struct sim *s);
/* The scripts and the activities. */
bool sim_scripts_open(struct sim *s);
bool sim_server_open(struct sim *s);
void sim_server_crash(struct sim *s, bool power_cut);
bool sim_worker_open(struct sim *s, int which);
/* crash: none of its last calls gets through; else it stops gracefully. */
void sim_worker_close(struct sim *s, int which, bool crash);
void sim_close(struct sim *s);
void sim_fail(struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A line of the seed's story, when it was asked for. */
void sim_tell(struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sim_trace(struct sim *s, const void *p, size_t n);

/* --- sim_link.c --- */
struct tl_channel *sim_link_open(struct sim *s);
void sim_link_close(struct sim *s);

/* --- sim_commands.c: commands to workers --- */
void sim_commands_open(struct sim *s);
void sim_commands_close(struct sim *s);
/* An answer passes the link: what it gives out is noted, the commands in it are checked. */
void sim_commands_passed(struct sim *s, const struct tl_rpc_result *res);

/* --- sim_activities.c --- */
bool sim_activities_add(struct sim *s);

/* --- sim_operations.c: handlers of Nexus operations --- */
bool sim_operations_add(struct sim *s);

/* --- sim_batch.c: batch operations --- */
void sim_batches_open(struct sim *s);
/* The next call. */
void sim_batches_act(struct sim_batches *b);
/* It has to wait: for an answer, for workflows to be started, or for nothing any more. */
bool sim_batches_rest(const struct sim_batches *b);
bool sim_batches_done(const struct sim_batches *b);
void sim_batches_ask_again(struct sim_batches *b);

/* --- sim_deployment.c: builds --- */
extern const char *const sim_builds[]; /* by enum sim_build */
void sim_deployment_open(struct sim *s);
/* The next call. */
void sim_deployment_act(struct sim_deployment *d);
bool sim_deployment_rests(const struct sim_deployment *d);
bool sim_deployment_done(const struct sim_deployment *d);
void sim_deployment_ask_again(struct sim_deployment *d);
/* Of a whole history: its tasks ran on the builds that they may run on. */
void sim_deployment_check(struct sim_workflow *w, const TpHistory__History *history);

/* --- sim_client.c --- */
void sim_client_open(struct sim *s);
/* Handles replies and makes due calls; true when it did something. *next_ns: when it wants to be
 * called again. */
bool sim_client_step(struct sim *s, int64_t *next_ns);
/* Takes the last replies and looks at none. */
void sim_client_close(struct sim *s);
/* All has ended and every question was answered. */
bool sim_client_all_done(struct sim *s);
/* Everything is asked once more. */
void sim_client_ask_again(struct sim *s);
/* What there is to ask of a workflow that has ended. */
unsigned sim_asks_of(const struct sim_workflow *w);

/* --- sim_calls.c: requests --- */
/* Makes a call; its answer comes to sim_client_step. */
void sim_call_make(struct sim_workflow *w, enum sim_what what);
/* Sends a request; `like` says whose it is. Without an answer when the call cannot be made. */
void sim_call_submit(const struct sim_call *like, enum tl_method method, void *request);
/* Makes an endpoint of Nexus operations whose handlers are the simulated workers. */
void sim_call_endpoint(const struct sim_call *like, struct tl_arena *arena, const char *name);
/* A list of JSON integers in the arena. */
TpCommon__Payloads *sim_integers(struct tl_arena *arena, int count, const int *values);
TpTq__TaskQueue *sim_queue(struct tl_arena *arena);
/* The first integer of a list; 0 when there is none. */
int sim_integer(const TpCommon__Payloads *payloads);

/* --- sim_replies.c --- */
void sim_call_replied(struct sim_call *c);
/* The answer's message in the arena; NULL (and the seed has failed) when it is none. */
void *sim_call_decode(const struct sim_call *c, struct tl_arena *arena);
/* The call did not get through, or its answer did not: it is made again. */
bool sim_call_lost(const struct sim_call *c);
/* Counts an answer and adds it to the trace. */
void sim_call_note(const struct sim_call *c);

/* --- sim_alone.c, sim_alone_operation.c: activities and operations without a workflow --- */
void sim_alone_open(struct sim *s);
/* The next call, or nothing when it has to wait for an answer. */
void sim_alone_act(struct sim_alone *a);
bool sim_alone_rests(const struct sim_alone *a);
/* What there is to ask of one whose outcome is known. */
unsigned sim_alone_asks_of(const struct sim_alone *a);
/* What an answer tells, of an activity or an operation. */
struct sim_told {
    const char *run_id;
    bool over, succeeded;
    struct tl_str result, outcome; /* the JSON of a success; the encoded outcome, whatever it is */
    int status;
    int64_t count;
};
/* False, and the seed has failed: the answer cannot be read. */
bool sim_alone_operation_read(const struct sim_call *c, struct tl_arena *arena,
                              struct sim_told *told);
/* Makes the call for an operation. */
void sim_alone_operation_call(struct sim_alone *a, struct tl_arena *arena, struct sim_call *c);
/* NULL when the task is of none of them. */
struct sim_alone *sim_alone_of(struct sim *s, const TpWs__PollActivityTaskQueueResponse *task);

/* --- sim_check.c --- */
/* A history (from event 1) that was read: compares with what was seen before and remembers it. */
void sim_check_history(struct sim_workflow *w, const TpHistory__History *history);
/* Some events in the middle: those that were read before are the same. */
void sim_check_page(struct sim_workflow *w, const TpHistory__History *page, int64_t first_id);
/* Valid in itself and replayed by the scripts. */
void sim_check_complete(struct sim_workflow *w, const TpHistory__History *history);
/* The last event of a chain: the right end with the right result. */
void sim_check_close(struct sim_workflow *w, const TpHistory__HistoryEvent *event);
