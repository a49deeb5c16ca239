/* Worker: polls one task queue, runs workflows through core and a language, and activities and Nexus
 * operation handlers on a pool of threads.
 *
 *   polls (async calls) --> workflow threads (run -> thread by hash of the run id; each owns its
 *        |                  runs and language states)  --> completions
 *        +--------------->  activity threads (one queue; a thread state each) --> results
 *                           control actor: heartbeats, retries, poll back-off, shutdown
 *
 * Invariants: a run has at most one task in work; a slot is held from before the poll until the
 * server has answered the completion; nothing sleeps or polls in a loop; the cache evicts without
 * running user code.
 * Ownership: the worker borrows client, registry and language; they must outlive it.
 * Thread: new, start, wait and free belong to one owner; shutdown may be called from any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"
#include "base/world.h"
#include "client/client.h"
#include "core/activation.h"
#include "include/temporal_lua.h"
#include "worker/activity.h"
#include "worker/operation.h"

/* --- Options ----------------------------------------------------------------------------------- */

/* How many polls of one kind are outstanding. */
struct tl_poller_behavior {
    bool autoscaling; /* from minimum to maximum, as the server advises; else always maximum */
    int64_t minimum, maximum, initial;
};

/* Slots of one kind: a fixed number, or one that follows memory and CPU. */
struct tl_slot_config {
    bool resource_based;
    int64_t minimum, maximum; /* fixed: maximum alone counts */
    int64_t ramp_throttle_ms; /* least time between two slots beyond minimum */
    const tlua_slot_supplier
        *supplier; /* NULL: one of ours; else it alone counts; as long as the worker */
};

/* Replaces the max_concurrent_... options. */
struct tl_tuner_options {
    bool given;
    double target_memory_usage, target_cpu_usage; /* shares of the machine or container, 0 to 1 */
    struct tl_slot_config workflow, activity, local_activity, nexus;
};

struct tl_worker_options {
    struct tl_tuner_options tuner;
#define INT(name, def, min, max, text) int64_t name;
#define DUR(name, def, min, max, text) int64_t name##_ms;
#define REAL(name, def, min, max, text) double name;
#define BOOL(name, def, text) bool name;
#define TEXT(name, text) struct tl_str name;
#define POLLER(name, def, max, text) struct tl_poller_behavior name;
#define NONE(name, reason)
#include "worker/options.def"
#undef INT
#undef DUR
#undef REAL
#undef BOOL
#undef TEXT
#undef POLLER
#undef NONE
};

enum tl_option_kind {
    TL_OPT_INT,
    TL_OPT_DURATION,
    TL_OPT_REAL,
    TL_OPT_BOOL,
    TL_OPT_TEXT,
    TL_OPT_POLLER,
    TL_OPT_NONE, /* not in the struct: text says why it cannot be given */
};

/* The options as data, for hosts that read them from a table. Durations are milliseconds. */
struct tl_option_row {
    const char *name;
    enum tl_option_kind kind;
    size_t offset; /* in struct tl_worker_options, of the kind's type */
    double def, min, max;
    const char *text;
};
/* Rows in the order of the table; the last has name NULL. */
const struct tl_option_row *tl_worker_option_rows(void);
void tl_worker_options_init(struct tl_worker_options *o); /* the defaults */
/* Sets an option from text: "5", "90s", "true", "autoscaling:1-20:5". A text is copied to `texts`; ranges are
 * tl_worker_options_check's. Errors: TL_EINVAL (no such option, with the near match; no value of its kind; an
 * option that means nothing here). */
tl_rc tl_worker_option_set(struct tl_worker_options *o, struct tl_str name, struct tl_str text,
                           struct tl_arena *texts, struct tl_error *err) TL_MUST_USE;
/* "5", or "autoscaling[:MIN-MAX[:INITIAL]]". False: neither. */
bool tl_poller_behavior_parse(struct tl_str text, struct tl_poller_behavior *out);
/* The poller behaviours that hold: the older options win where they are given. */
struct tl_poller_behavior tl_worker_workflow_polls(const struct tl_worker_options *o);
struct tl_poller_behavior tl_worker_activity_polls(const struct tl_worker_options *o);
/* Ranges and the rules between options. Errors: TL_EINVAL naming the option and what to do. */
tl_rc tl_worker_options_check(const struct tl_worker_options *o, struct tl_error *err) TL_MUST_USE;

/* --- Language ---------------------------------------------------------------------------------- */

/* What a language is told about the run it opens; texts are borrowed for the call. */
struct tl_run_info {
    struct tl_str namespace_name, task_queue, workflow_id, run_id, workflow_type;
    struct tl_str failure_error_types; /* separated by commas; may be empty */
    struct tl_str deployment_name, build_id;
    int64_t memory_bytes_max, cpu_ms_max; /* cpu 0: no limit */
    bool stepped;                         /* no clock may decide: count steps instead of time */
    struct tl_metrics *metrics;           /* of the worker; NULL: none */
};

/* A language makes runs. The worker has one implementation over a Lua bundle (tl_worker_lua_lang);
 * tests and native hosts bring their own. All functions are called by workflow threads, several at a
 * time; one run is only ever used by one thread at a time. */
struct tl_run_lang {
    struct tl_lang lang;
    void *run;                  /* the language's own */
    size_t (*bytes)(void *run); /* memory held now */
    void (*free)(void *run);    /* runs no user code */
    /* Whether an error of this type fails the workflow and not its task. NULL: none does. */
    bool (*fails_on)(void *run, struct tl_str type);
    struct tl_str versioning_behavior; /* "pinned", "auto_upgrade" or empty; as long as the run */
};
struct tl_worker_lang {
    void *ud;
    /* TL_ENOTFOUND: no such workflow type (the message lists near matches). */
    tl_rc (*open)(void *ud, const struct tl_run_info *info, struct tl_run_lang *out,
                  struct tl_error *err);
    /* A workflow thread ends. May be NULL. */
    void (*thread_end)(void *ud);
    struct tl_str digest; /* build ID when the options name none; borrowed */
};

struct tl_bundle;
/* The Lua language over a bundle. Owns: the block returned, until tl_worker_lua_lang_free; the
 * bundle is borrowed and must outlive it. */
struct tl_worker_lang *tl_worker_lua_lang_new(struct tl_bundle *bundle);
void tl_worker_lua_lang_free(struct tl_worker_lang *lang);
/* SHA-256 of a bundle's sources and the language's version as 64 hexadecimal digits and a NUL. */
void tl_worker_bundle_digest(const struct tl_bundle *bundle, char out[65]);

/* --- Life cycle -------------------------------------------------------------------------------- */

struct tl_worker;

struct tl_worker_config {
    struct tl_client *client;           /* borrowed: channel, namespace, identity */
    const struct tl_worker_lang *lang;  /* NULL: an activity-only worker */
    const struct tl_registry *registry; /* NULL or empty: a workflow-only worker */
    const struct tl_world *world;       /* NULL = the real one */
    struct tl_worker_options options;   /* texts are copied */
    /* Of the first build: its digest (empty: the language's), and who wants to know that nobody uses
     * language and registry any more (as in struct tl_worker_build; may be NULL). */
    struct tl_str digest;
    void (*release)(void *ud);
    void *release_ud;
    /* Tells once why the worker cannot go on (namespace gone, not allowed, ...). May be NULL.
     * Thread: the control actor's. The worker is shutting down when it is called. */
    void (*on_fatal)(void *ud, tl_rc rc, const char *message);
    void *on_fatal_ud;
};

/* Checks the options. Errors: TL_EINVAL. */
tl_rc tl_worker_new(struct tl_worker **out, const struct tl_worker_config *config,
                    struct tl_error *err) TL_MUST_USE;
/* Starts threads and polls. A worker starts once. Errors: TL_EPRECONDITION. */
tl_rc tl_worker_start(struct tl_worker *w, struct tl_error *err) TL_MUST_USE;
/* Stops polling, lets tasks finish, gives activities grace_ms (negative: the option), then cancels
 * them. Idempotent; returns at once. Thread: any. */
void tl_worker_shutdown(struct tl_worker *w, int64_t grace_ms);
/* Waits until the worker has left (shutdown or a fatal error) and its threads have ended; true then,
 * false at the deadline (CLOCK_MONOTONIC ns; INT64_MAX: none). *rc: TL_OK or the fatal error. */
bool tl_worker_wait(struct tl_worker *w, int64_t deadline_mono_ns, tl_rc *rc, struct tl_error *err);
/* A started worker is shut down and waited for first; a stepped one must have been stepped to
 * TL_WORKER_STOPPED. NULL is fine. */
void tl_worker_free(struct tl_worker *w);

enum tl_worker_state { TL_WORKER_NEW, TL_WORKER_RUNNING, TL_WORKER_STOPPING, TL_WORKER_STOPPED };
enum tl_worker_state tl_worker_state(const struct tl_worker *w); /* any thread */

/* Whether it polls, and the service answers; not while it shuts down. Any thread. */
bool tl_worker_ready(struct tl_worker *w);
/* Whether a fatal error ended it. Any thread. */
bool tl_worker_failed(struct tl_worker *w);
/* Takes the names of all metrics of workers in a registry, so that no program can. */
struct tl_metrics;
void tl_meter_register(struct tl_metrics *registry);

/* Numbers for logs and tests; any thread. */
struct tl_worker_stats {
    uint64_t workflow_tasks_completed, workflow_tasks_failed, queries_answered;
    uint64_t workflow_tasks_eager; /* came with the answer to a start */
    uint64_t activities_completed, activities_failed, activities_eager;
    uint64_t nexus_tasks_completed, nexus_tasks_failed;
    uint64_t cache_hits, cache_misses, evictions, full_history_fetches;
    uint64_t quarantined_runs; /* of which a task computed for longer than others should wait */
    uint64_t killed_runs;      /* over their budget of CPU time or memory */
    int64_t cached_runs, cached_bytes;
    int64_t workflow_slots_used, activity_slots_used, nexus_slots_used, activity_threads,
        nexus_threads;
};
void tl_worker_stats(const struct tl_worker *w, struct tl_worker_stats *out);
/* Polls that are out; those of the current version hold a slot each. Thread: any. */
int tl_worker_polls(struct tl_worker *w);

/* --- Builds ------------------------------------------------------------------------------------ */

/* One set of scripts. A worker may hold several: new runs begin on the current one, cached runs finish
 * on theirs, an evicted one is replayed with the build that its last completed task names, as long as
 * that is loaded. Activities run on the newest build that has them. */
struct tl_worker_build {
    const struct tl_worker_lang *lang;  /* NULL: no workflows */
    const struct tl_registry *registry; /* NULL: no activities */
    struct tl_str digest;               /* of the scripts; empty: the language's */
    /* Nobody uses lang and registry any more; on any thread, must only post. NULL: they outlive the
     * worker. Called for what the worker accepted only, at the latest by tl_worker_free. */
    void (*release)(void *ud);
    void *release_ud;
};

/* The build ID that a worker's option build_id gives a set of scripts with this digest: the digest for
 * an empty one and "auto", else the option with {hash} replaced. Owns: the caller, tl_mem_free. */
char *tl_worker_make_build_id(struct tl_str option, struct tl_str digest);
/* Makes a build the current one; running tasks are not disturbed. A versioned worker begins to poll
 * for it as another version of the deployment: who routes the deployment there then calls
 * tl_worker_select_build. Thread: any.
 * Errors: TL_EEXISTS (the current build has the same scripts, or another loaded one has its ID),
 * TL_EPRECONDITION (the build ID is fixed; the first workflows or activities). */
tl_rc tl_worker_promote(struct tl_worker *w, const struct tl_worker_build *build,
                        struct tl_error *err) TL_MUST_USE;
/* Makes a loaded build current again; an empty id: the one before the current one. Of a versioned worker
 * the current one is that with the most polls: the server routes. Thread: any. Errors: TL_ENOTFOUND. */
tl_rc tl_worker_select_build(struct tl_worker *w, struct tl_str id,
                             struct tl_error *err) TL_MUST_USE;
/* A version that is not current takes no more tasks and is dropped when what it runs has ended; without
 * this call when the server says that it has drained. Thread: any. Errors: TL_ENOTFOUND,
 * TL_EPRECONDITION (the current one). */
tl_rc tl_worker_retire_build(struct tl_worker *w, struct tl_str id,
                             struct tl_error *err) TL_MUST_USE;

struct tl_worker_build_info {
    struct tl_str id, digest;
    bool current, previous;
    bool retired;        /* a version that has drained and takes no tasks any more */
    int64_t users;       /* runs with state, activity threads, polls of the version */
    int64_t parked_runs; /* open runs without state that it answered last */
};
/* Calls fn for each loaded build, the current one last; fn must not call the worker. Thread: any. */
void tl_worker_each_build(struct tl_worker *w,
                          void (*fn)(void *ud, const struct tl_worker_build_info *info), void *ud);

/* --- Stepping (simulation, test environments) -------------------------------------------------- */

/* Instead of tl_worker_start: the first step begins polling; everything runs on the caller's thread,
 * activities included. Does what can be done now and returns whether anything was done;
 * *next_mono_ns (world's clock) is when a timer wants the next step, INT64_MAX for never. */
bool tl_worker_step(struct tl_worker *w, int64_t *next_mono_ns);
