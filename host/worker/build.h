/* Private to worker/: the builds of a worker. A build is one set of scripts: a language for workflows
 * and a registry of activities under one build ID. New runs begin on the current one; a run with state
 * stays on the build that it began with; a run without state is replayed with the build that its last
 * completed task names, while that is loaded.
 *
 * A build of a versioned worker has polls of its own (struct tl_poll_set): the server decides which run
 * is whose, and what a poll brought is run by the poll's build. It stays until the server says that its
 * version has drained (drain.c).
 *
 * Invariants: the current build and the one before it (for a rollback) stay loaded, and every build
 * with users or parked runs; what is not loaded any more has been handed back to its owner.
 * Ownership: a build borrows language and registry until `release` was called, on whatever thread
 * dropped the last user. Thread: any; state under worker->builds_mutex. */
#pragma once

#include "proto/pb.h"
#include "worker/worker_int.h"

struct tl_build {
    struct tl_list node; /* worker->builds, newest promotion last */
    struct tl_worker *worker;
    char *id, *digest;
    const struct tl_worker_lang *lang;
    const struct tl_registry *registry;
    void (*release)(void *ud);
    void *release_ud;
    TpDeployment__WorkerDeploymentOptions deployment; /* when versioned */
    TpCommon__WorkerVersionStamp stamp;
    struct tl_poll_set *set; /* when versioned; else NULL */
    bool served;             /* it was the current one once */
    bool retired;            /* versioned: it goes when nobody uses it any more */
    bool retire_wanted;
    bool known;           /* the server does not deny it */
    int64_t checked_ns;   /* control's: when the server was asked whether it has drained */
    int users;            /* runs with state, activity threads, polls, calls under way */
    struct tl_map parked; /* run ids: open runs without state that this build answered last */
};

/* Makes the first build. Errors: TL_EINVAL (a template of a build ID that is none). */
tl_rc tl_builds_init(struct tl_worker *w, const struct tl_worker_config *config,
                     struct tl_error *err);
void tl_builds_deinit(struct tl_worker *w);
/* The oldest version that control has to look at: one that is to go (retire), or one that the server was
 * last asked about before `before_ns` and that may have drained. A use, or NULL. */
struct tl_build *tl_build_to_drain(struct tl_worker *w, bool retire, int64_t before_ns);
/* The version takes no part any more; false when it is the current one or the one before. */
bool tl_build_retire(struct tl_build *b);

/* Each of these takes a use, given back with tl_build_release. */
struct tl_build *tl_build_current(struct tl_worker *w);
/* The one that the last completed task of this history names, when loaded; else the current one.
 * *named: it was found by its name. The run is parked no more. */
struct tl_build *tl_build_of_history(struct tl_worker *w, struct tl_str run_id,
                                     const TpHistory__History *history, bool *named);
/* The newest that has this activity; the current one when none has. */
struct tl_build *tl_build_of_activity(struct tl_worker *w, struct tl_str type);
/* The same for an operation of a Nexus service. */
struct tl_build *tl_build_of_operation(struct tl_worker *w, struct tl_str service,
                                       struct tl_str operation);
struct tl_build *tl_build_retain(struct tl_build *b);
void tl_build_release(struct tl_build *b); /* NULL is fine */
/* The run's state goes while the run is open. */
void tl_build_park(struct tl_build *b, struct tl_str run_id);
/* Whether new work would go elsewhere. A hint, without the mutex. */
static inline bool tl_build_is_old(const struct tl_build *b)
{
    return atomic_load_explicit(&b->worker->build_now, memory_order_acquire) != b;
}
