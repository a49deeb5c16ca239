/* Drives one Lua run through struct tl_lang, as the engine would: jobs in, commands out as text.
 * Thread: one. Owner: the rig owns bundle, run and arena until lua_rig_close. */
#pragma once

#include "luart/luart.h"

struct lua_rig {
    struct tl_bundle *bundle;
    struct tl_lua_run *run;
    struct tl_lang lang;
    struct tl_lua_run_config config; /* set before lua_rig_start to change it */
    struct tl_arena arena;
    struct tl_job jobs[64];
    size_t job_count;
    struct tl_completion out;
    struct tl_error err;
    int64_t now_ns;
    bool replaying;
    int64_t signal_event_id; /* of the last signal */
    uint64_t lang_flags;     /* recorded in the history that is replayed */
    char text[8192];         /* commands of the last step */
    char log[8192];          /* lines logged so far */
};

/* Opens a bundle of one module "main" with this text. Fails the test when it does not open. */
void lua_rig_open(struct lua_rig *r, const char *source);
/* A bundle of several modules: name, text, name, text ..., NULL. */
void lua_rig_open_many(struct lua_rig *r, ...);
void lua_rig_open_config(struct lua_rig *r, const struct tl_bundle_config *config);
void lua_rig_close(struct lua_rig *r);
/* Makes the run and its first job; arguments are JSON texts, NULL-terminated. */
void lua_rig_start(struct lua_rig *r, const char *type, ...);
/* Drops the run (eviction); lua_rig_start may follow. */
void lua_rig_evict(struct lua_rig *r);

/* Adds jobs. Arguments are JSON texts, NULL-terminated. */
void lua_rig_signal(struct lua_rig *r, const char *name, ...);
void lua_rig_timer(struct lua_rig *r, uint32_t seq);
void lua_rig_result(struct lua_rig *r, uint32_t seq, const char *json);
void lua_rig_failure(struct lua_rig *r, uint32_t seq, const char *type, const char *message);
void lua_rig_cancelled(struct lua_rig *r, uint32_t seq);
void lua_rig_cancel(struct lua_rig *r);
void lua_rig_patch(struct lua_rig *r, const char *id);
/* Runs the jobs added; the result is in r->text ("timer 1 30s; complete(1)") and returned. A failed
 * task gives "task failed: message". */
const char *lua_rig_step(struct lua_rig *r);
/* The error code of the last step. */
tl_rc lua_rig_rc(const struct lua_rig *r);
/* A query in an activation of its own: its result as JSON, or "failed: message". */
const char *lua_rig_query(struct lua_rig *r, const char *name, ...);

/* Source "return workflow.define('W', function(...) BODY end)" run with no arguments: what the first
 * step gives. For tests of one expression. */
const char *lua_rig_body(struct lua_rig *r, const char *body);
