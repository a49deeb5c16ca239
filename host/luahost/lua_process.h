/* Activities in child processes: what crashes, leaks or is killed there fails one attempt of one activity. The worker
 * has a pool of processes, each with one Lua state; an activity thread takes a process for its task, relays
 * heartbeats and cancellation, and puts it back. A process that has died is replaced with the next task.
 *
 * Invariants: a process runs one task at a time; a task whose process dies fails retryably.
 * Ownership: the pool belongs to its activities and ends after the last of their tasks.
 * Thread: any, but for what is marked. */
#pragma once

#include "luahost/lua_activity_int.h"

struct tl_lua_processes;

struct tl_lua_process_options {
    int size; /* processes at most */
    const char
        *program; /* NULL: this program, where it can be one; else temporal-lua or a Lua 5.4 */
};

/* Errors: TL_EINVAL (no program is known). Owns: *out. */
tl_rc tl_lua_processes_new(struct tl_lua_activities *of, const struct tl_lua_process_options *o,
                           struct tl_lua_processes **out, struct tl_error *err);
/* Starts a first process, so that what is wrong with the modules is told. Errors: TL_ESCRIPT, TL_EUNAVAILABLE. */
tl_rc tl_lua_processes_prepare(struct tl_lua_processes *p, struct tl_error *err);
/* Runs one task in a process and ends it. Thread: an activity thread's, which it holds meanwhile. */
void tl_lua_processes_run(struct tl_lua_processes *p, const struct tl_lua_entry *e,
                          struct tl_activity *a);
/* No task is left. Waits for the processes to tear down; kills those that take too long. */
void tl_lua_processes_stop(struct tl_lua_processes *p);
/* After tl_lua_processes_stop, or without any process. */
void tl_lua_processes_free(struct tl_lua_processes *p);

/* The binary says that it can be started as an activity process, by this argument alone. */
#define TL_LUA_PROCESS_COMMAND "activity-process"
void tl_lua_process_program_is_ours(void);
/* What such a process does until its worker is gone (lua_process_child.c). Returns the exit code. */
int tl_lua_process_main(void);
