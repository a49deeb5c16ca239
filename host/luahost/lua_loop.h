/* Coroutine activities: one event loop on a thread of its own with one Lua state, in which each activity is a
 * coroutine. They take turns where they wait; what computes holds all of them up, which is reported.
 *
 * Invariants: a coroutine is resumed by the loop only, never from inside another one; a wait ends when its
 * time is over or when somebody woke the activity, and whoever waits looks again what has come true.
 * Ownership: a loop belongs to its activities and ends after the last of their tasks.
 * Thread: the loop's, but for start, post and stop. */
#pragma once

#include "io/loop.h"
#include "luahost/lua_activity_int.h"

struct tl_lua_loop;
struct tl_session;

/* Starts the thread and sets the modules up; what is wrong with them is the error. block_limit_ns: how long an
 * activity may run without waiting before it is reported. Errors: TL_ESCRIPT, TL_EIO, TL_EUNAVAILABLE. */
tl_rc tl_lua_loop_start(struct tl_lua_activities *of, int64_t block_limit_ns,
                        struct tl_lua_loop **out, struct tl_error *err);
/* Runs the activity of this entry as a coroutine; the task is detached. Thread: any. */
void tl_lua_loop_post(struct tl_lua_loop *l, struct tl_lua_entry *e, struct tl_activity *a);
/* Tears down and ends the thread; no task is left. NULL is fine. */
void tl_lua_loop_stop(struct tl_lua_loop *l);

/* --- for functions that coroutine activities call ----------------------------------------------- */

struct tl_lua_task;

/* The loop's task that runs `L`; NULL where there is none: an activity on a thread. */
struct tl_lua_task *tl_lua_task_of(lua_State *L);
/* Lets the others run until the deadline (CLOCK_MONOTONIC) or until the activity is woken, for whatever
 * reason (also: it was cancelled); then k(L, LUA_YIELD, ctx) goes on. Raises outside of the activity's own
 * coroutine. Use: return tl_lua_task_wait(...). */
int tl_lua_task_wait(lua_State *L, struct tl_lua_task *t, int64_t deadline_ns, lua_KContext ctx,
                     lua_KFunction k);
/* It goes on soon, or its next wait ends at once. */
void tl_lua_task_wake(struct tl_lua_task *t);
/* A place that points to the task while it lives and is NULL afterwards. [-0, +1, m] leaves the userdata that
 * holds it on the stack. */
struct tl_lua_task **tl_lua_task_push_ref(lua_State *L, struct tl_lua_task *t);
/* The session that the task holds (sessions.h); it is left when the task ends. */
struct tl_session **tl_lua_task_session(struct tl_lua_task *t);
struct tl_loop *tl_lua_task_loop(struct tl_lua_task *t);
/* The open connections of the loop's state, of struct tl_core_connection's `node`. */
struct tl_list *tl_lua_task_connections(struct tl_lua_task *t);
/* core_net.c: closes the connection of this node, which was taken out of the list. */
void tl_core_net_close(struct tl_list *node);
