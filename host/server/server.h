/* The embedded server: a Temporal-compatible service on one SQLite file, in this process.
 *
 * One owner of all execution state (the engine), one writer (the store side), one reader for lists
 * and closed histories. Each is state + inbox + step; in a running server each has a thread that only
 * loops over the step, in simulation the caller calls the steps.
 *
 *   threads:  tl_server_open  tl_server_start ... tl_server_stop  tl_server_close
 *   stepped:  tl_server_open  { tl_server_step  tl_server_commit_step } ...  tl_server_close
 *
 * Promise: a reply, a read or a delivered task reflects only what is durable (with a file: synced).
 * Ownership: the server owns its threads, connections and memory; the world outlives it.
 * Thread: open, start, stop, step and close from one thread; the service and the clock calls from
 * any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/metrics.h"
#include "base/str.h"
#include "base/world.h"
#include "rpc/rpc.h"
#include "server/history/history.h"

struct tl_server;

struct tl_server_options {
    const struct tl_world *world; /* NULL: the machine's clocks and randomness */
    const char *db_path;        /* NULL: an unlinked temporary file, nothing survives the process */
    const char *vfs_name;       /* SQLite VFS, NULL: the default one */
    const char *const *pragmas; /* "name=value" given by the user; win over ours */
    size_t pragma_count;
    const char *const *namespaces; /* registered at open when missing, besides "default" */
    size_t namespace_count;
    /* "Name=Type": registered at open in "default" and in those namespaces when missing. */
    const char *const *search_attributes;
    size_t search_attribute_count;
    /* The TestService: a clock that jumps to the next deadline while it is unlocked and nothing runs. */
    bool time_skipping;
    bool time_skipping_locked; /* start with the lock counter at 1 */
    /* Clients may have single runs skip time (TimeSkippingConfig); 0: refused. */
    int64_t run_time_skipping;
    int64_t run_time_skips_max;   /* at most so many in a row, unless the request says otherwise */
    int64_t workflow_id_reuse_ns; /* least time between two starts of one workflow id; 0: none */
    int64_t long_poll_ns;         /* how long a history long poll waits */
    int64_t poll_expiry_ns;       /* how long a task poll is parked at most */
    int64_t sticky_absent_ns;     /* a sticky queue without a poll for this long is bypassed */
    int64_t checkpoint_ns;        /* at least this often the rows of changed runs are written */
    size_t checkpoint_rows;       /* ... and at the latest when so many wait */
    size_t closed_runs_kept;      /* recently closed runs kept in memory */
    int64_t history_cache_bytes;  /* encoded events of one run kept in memory for polls and reads */
    int64_t long_polls_max;       /* parked polls, all together */
    int64_t buffered_queries_max; /* queries that may wait for one run's workflow task */
    int64_t drainage_grace_ns;    /* before a version that takes no new runs is first looked at */
    int64_t drainage_refresh_ns;  /* between two looks */
    int64_t deployment_versions_max, deployment_queues_max; /* per deployment; per version */
    int64_t version_sets;         /* operators may make sets of builds; 0: refused */
    int64_t version_sets_workers; /* workers may poll as builds of sets; 0: refused */
    int64_t worker_commands; /* namespaces announce that workers take commands; 0: they do not */
    int64_t worker_command_cancels;  /* ... and are told by them what to cancel; 0: they are not */
    struct tl_history_limits limits; /* of runs; workflow_id_reuse_ns counts, not its field here */
    struct tl_metrics
        *metrics; /* what is counted goes there; NULL: nothing is. Outlives the server */
};

/* The defaults of a local development server. */
void tl_server_options_default(struct tl_server_options *o);

/* Opens (creating or recovering) the database and re-arms everything that was under way.
 * Owns: *out belongs to the caller until tl_server_close. Errors: TL_ESCHEMA, TL_ELOCKED, TL_ECORRUPT,
 * TL_EIO, TL_EINVAL (a namespace name). */
tl_rc tl_server_open(struct tl_server **out, const struct tl_server_options *o,
                     struct tl_error *err) TL_MUST_USE;
/* What a transport delivers requests to; valid until close. Thread: any. */
const struct tl_rpc_service *tl_server_service(struct tl_server *s);

/* --- with threads ---- */
/* Starts the engine, store and reader threads. Errors: TL_EIO when no thread can be made. */
tl_rc tl_server_start(struct tl_server *s, struct tl_error *err) TL_MUST_USE;
/* Ends the threads after the work that is under way. Parked polls are answered empty, requests that
 * still wait UNAVAILABLE. Idempotent. */
void tl_server_stop(struct tl_server *s);

/* --- stepped ---- */
/* One round of the engine: all messages, all due deadlines, then hands a batch to the store if that
 * is idle. Returns when it wants to be called next, in the world's wall clock (INT64_MAX: only when a
 * message comes or tl_server_commit_step did something). */
int64_t tl_server_step(struct tl_server *s);
/* One round of the store and of the reader: commits the waiting batch, sends its replies, runs the
 * waiting reads. False when there was nothing to do. */
bool tl_server_commit_step(struct tl_server *s);

/* Writes the last checkpoint, answers what still waits and frees everything. NULL is fine. */
void tl_server_close(struct tl_server *s);
/* Frees without checkpoint and without a last commit, as a crash would leave the file: for tests of
 * recovery. Waiting requests are answered UNAVAILABLE. */
void tl_server_abandon(struct tl_server *s);

/* The server's clock: the world's wall clock plus what was skipped. Thread: any. */
int64_t tl_server_now_ns(struct tl_server *s);
/* Lock counter of time skipping; time skips only at zero. Thread: any. */
void tl_server_lock_time_skipping(struct tl_server *s);
void tl_server_unlock_time_skipping(struct tl_server *s);

/* What is being held now; for tests, metrics and leak hunting. Thread: as step, or any while idle. */
struct tl_server_stats {
    size_t runs_open, runs_held; /* executions that run; executions in memory */
    size_t polls_parked;
    size_t tasks_queued;
    uint64_t commits, commit_items; /* transactions so far and operations in them */
    uint64_t commits_failed;
    int64_t skipped_ns; /* time skipped so far */
};
void tl_server_stats(struct tl_server *s, struct tl_server_stats *out);
