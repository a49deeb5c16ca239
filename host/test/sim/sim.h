/* Simulation: server, worker and clients in one thread, one seed. The clock jumps to the next deadline
 * when nobody has work; the disk is tl_vfs; processes die and the power fails at seeded moments. The
 * clients remember everything that was acknowledged to them and check it for ever after.
 *
 * Invariants that are checked
 *   safety    no acknowledged start, signal or result is lost; no history that was read once changes its
 *             prefix; a query counts at least the signals acknowledged before it; an activity with one
 *             attempt runs at most once; every history is valid and replays.
 *   liveness  in the quiet phase (no faults) every workflow ends.
 * Thread: one. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"
#include "base/world.h"
#include "client/client.h"
#include "luart/bundle.h"
#include "server/server.h"
#include "store/vfs_fault.h"
#include "worker/worker.h"

#define SIM_WORKFLOWS_MAX 64
#define SIM_SIGNALS_MAX 4
#define SIM_EVENTS_MAX 400

struct sim;

/* What a client knows of one workflow. */
struct sim_workflow {
    struct sim *sim;
    int number;
    char id[32], run_id[64];
    int kind; /* enum sim_kind */
    bool start_acked, closed, stop_asked, stop_acked;
    int signals, signals_sent, signals_acked;
    int once_runs;                 /* executions of the single-attempt activity */
    uint64_t seen[SIM_EVENTS_MAX]; /* hash of each event that was ever read */
    size_t seen_count;
    int busy;        /* calls under way */
    int64_t next_ns; /* when the client does something again */
};

enum sim_kind { SIM_ORDER, SIM_CHAIN, SIM_CANCELLED, SIM_TERMINATED };

struct sim_call {
    struct tl_msg msg;
    struct sim_workflow *w;
    int what;           /* enum in sim_client.c */
    int signals_before; /* acknowledged when the call was made */
    struct tl_rpc_call *call;
    struct tl_rpc_result *result;
};

struct sim_options {
    uint64_t seed;
    int workflows;
    int power_cuts_max, kills_max, worker_restarts_max; /* faults in the noisy phase */
    bool verbose;
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
    struct tl_channel *channel;
    struct tl_client *client;
    struct tl_bundle *bundle;
    struct tl_worker_lang *lang;
    struct tl_registry *registry;
    struct tl_worker *worker;
    int64_t server_next_ns, worker_next_ns;
    struct sim_workflow workflows[SIM_WORKFLOWS_MAX];
    struct tl_msg *done_head, **done_tail;
    int power_cuts, kills, worker_restarts, rounds;
    bool quiet;
    uint64_t trace;    /* hash of everything that happened */
    char failure[512]; /* the first broken promise; empty: none */
};

/* --- sim_run.c --- */
/* Runs one seed to its end. True when every promise held; sim->failure tells otherwise. */
bool sim_run(struct sim *s, const struct sim_options *options);

/* --- sim_parts.c: the world, the server's and the worker's lives --- */
void sim_world_open(struct sim *s);
/* The bundle and language; _open also registers the activities. */
bool sim_scripts_only(struct sim *s);
bool sim_scripts_open(struct sim *s);
bool sim_server_open(struct sim *s);
void sim_server_crash(struct sim *s, bool power_cut);
bool sim_worker_open(struct sim *s);
/* crash: none of its last calls gets through; else it stops gracefully. */
void sim_worker_close(struct sim *s, bool crash);
void sim_close(struct sim *s);
void sim_fail(struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sim_trace(struct sim *s, const void *p, size_t n);

/* --- sim_client.c --- */
void sim_client_open(struct sim *s);
/* Handles replies and makes due calls; true when it did something. *next_ns: when it wants to be
 * called again. */
bool sim_client_step(struct sim *s, int64_t *next_ns);
bool sim_client_all_closed(const struct sim *s);

/* --- sim_check.c --- */
/* A history (from event 1) that was read: compares with what was seen before and remembers it. */
void sim_check_history(struct sim_workflow *w, const TpHistory__History *history);
/* Valid in itself and replayed by the scripts. */
void sim_check_complete(struct sim_workflow *w, const TpHistory__History *history);
void sim_check_close(struct sim_workflow *w, const TpHistory__HistoryEvent *event);
