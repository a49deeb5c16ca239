/* Activities written in Lua: modules run in a pool of isolated stock states, one per activity thread;
 * functions of the host script run in its own state, on its own thread.
 *
 * Invariants: a task is ended exactly once, whatever the function does; an error value becomes a
 * failure, a CancelledError of a task whose cancellation was requested becomes Canceled.
 * Ownership: the plan belongs to the worker that uses it and outlives its threads. */
#pragma once

#include <lua.h>

#include "base/error.h"
#include "base/map.h"
#include "luahost/host.h"
#include "worker/activity.h"

struct tl_lua_activities; /* opaque: module names, paths, the host for functions */

/* What a worker's plan says of activities; the numbers are stack indexes. */
struct tl_lua_activity_sources {
    int modules;        /* list of module names */
    int functions;      /* table name -> function of the host script */
    int converters;     /* list of names of modules with payload converters */
    int nexus_modules;  /* list of names of modules with Nexus services */
    int nexus_handlers; /* list of { service, operation, run } of the host script */
    int64_t
        block_limit_ns; /* of a coroutine activity, before it is reported that it holds its loop */
    int process_count;  /* of activities with kind "process", at most; 0: there are none */
    const char *process_program; /* NULL: this program */
    struct tl_str
        plan; /* JSON of what activity states are told: see temporal.internal.activities */
};

/* Reads the activities of a worker and registers them. Modules are loaded once, in a state of their
 * own, to learn their names; payload converters into this state too. Errors: TL_ESCRIPT, TL_EEXISTS,
 * TL_EINVAL. Owns: *out until tl_lua_activities_free, after the registry's last user is gone. */
tl_rc tl_lua_activities_new(lua_State *L, const struct tl_lua_activity_sources *from,
                            struct tl_registry *registry, struct tl_lua_activities **out,
                            struct tl_error *err);
/* The text of every Lua module that loading them has loaded, for a digest; empty when there is none.
 * Borrowed. a may be NULL. */
struct tl_str tl_lua_activities_sources(const struct tl_lua_activities *a);
void tl_lua_activities_free(struct tl_lua_activities *a);
/* The worker has ended: tears down what does not live on its threads and ends the processes. Idempotent; a may be
 * NULL. Thread: any. */
void tl_lua_activities_stop(struct tl_lua_activities *a);
/* Makes a first state of each kind that is wanted and runs the `setup` of the modules in it, so that what is
 * wrong is told before the worker takes tasks. a may be NULL. Errors: TL_ESCRIPT naming the module. */
tl_rc tl_lua_activities_prepare(struct tl_lua_activities *a, struct tl_error *err) TL_MUST_USE;

/* Runs the function on top of the stack (which is popped) with the task's input on this state's
 * thread and ends the task. `of` has loaded its payload converters into this state. */
void tl_lua_activity_call(struct tl_host *h, struct tl_activity *a,
                          const struct tl_lua_activities *of);
