/* One workflow run in Lua: a sandboxed state of its own behind struct tl_lang.
 *
 * Invariants: a run's memory is its own arena with a limit, so eviction and killing free it without
 * running user code; after an activation that failed the run answers nothing but tl_lua_run_free;
 * results depend on the jobs only, never on time, addresses, locale or collections.
 * Ownership: the run borrows its bundle and watchdog, which outlive it, and copies its configuration.
 * Thread: one at a time, and activations of one run on one thread at a time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "base/metrics.h"
#include "core/activation.h"
#include "luart/bundle.h"
#include "luart/watchdog.h"

struct tl_lua_run;

struct tl_lua_run_config {
    size_t memory_bytes_max;      /* 0: tl_limit_run_memory_bytes */
    int64_t cpu_budget_ns;        /* CPU time of one activation; 0: none; needs watchdog */
    struct tl_watchdog *watchdog; /* NULL: no CPU budget */
    uint64_t steps_max; /* VM instructions of one activation (simulation); 0: not counted */
    struct tl_str namespace_, task_queue, workflow_id, run_id;
    /* Types of errors that fail the workflow instead of its task, separated by commas ("LuaError":
     * every plain error). */
    struct tl_str failure_error_types;
    struct tl_str deployment_name, build_id; /* of this worker; may be empty */
    /* Where print and workflow.log go, never called while replaying. NULL: the process's log.
     * The strings are borrowed for the call; it must not call back into the run. */
    void (*log)(void *ud, enum tl_log_level level, struct tl_str message, struct tl_str where);
    void *log_ud;
    struct tl_metrics *metrics; /* where meters record; outlives the run; NULL: nowhere */
    /* Called at every line that runs, which is slow: to tell what led to a report. NULL: never. */
    void (*line)(void *ud, const char *source, int line);
    void *line_ud;
};

/* Owns: *out, until tl_lua_run_free. The type must be one of the bundle's (else TL_ENOTFOUND, with
 * the types there are). Errors: TL_ENOTFOUND, TL_EMEMORY. */
tl_rc tl_lua_run_new(struct tl_lua_run **out, struct tl_bundle *bundle, struct tl_str workflow_type,
                     const struct tl_lua_run_config *config, struct tl_error *err) TL_MUST_USE;
/* Drops the run's memory; no user code runs. NULL is fine. */
void tl_lua_run_free(struct tl_lua_run *run);

/* The language side for tl_run_handle_task and tl_replay; valid as long as the run.
 * Errors of activate: TL_ESCRIPT (a bug in the script: message, file, line, traceback),
 * TL_EDEADLOCK (budget spent), TL_EMEMORY (limit reached); out->task_failure has the details. */
struct tl_lang tl_lua_run_lang(struct tl_lua_run *run);

size_t tl_lua_run_bytes(const struct tl_lua_run *run); /* memory held now */
/* Whether an error of this type fails the workflow and not its task, by the worker's list or the
 * definition's. False for a run that is dead. */
bool tl_lua_run_fails_on(struct tl_lua_run *run, struct tl_str type);
bool tl_lua_run_dead(const struct tl_lua_run *run); /* an activation failed: only free it */
/* A thread that ran workflow code calls this before it ends (frees per-thread caches). */
void tl_lua_thread_end(void);
