/* What coordination objects (locks, channels, groups) are made of: waiters, queues of waiters, and
 * method tables. A waiter is a future that only its queue and the fiber that waits know. It is alive
 * while the fiber is blocked: whoever serves the queue resolves living ones only, so nothing is given
 * to a fiber that a timeout or a cancellation woke first, and what was given stays the fiber's.
 * Thread: the run's. Owner: Lua memory of the run. */
#pragma once

#include "luart/wf.h"

/* Items first .. last - 1 of a table that the object keeps; `width` slots each, a waiter first. */
struct tl_queue {
    lua_Integer first, last;
    lua_Integer compacted; /* length after the last compaction */
};

/* Appends the `width` values on top of L (popped), the first a waiter, after dropping dead ones. */
void tl_queue_push(lua_State *L, int table, struct tl_queue *q, int width);
/* Drops dead waiters at the head; the head's waiter (borrowed from the table), NULL when empty. */
struct tl_future *tl_queue_head(lua_State *L, int table, struct tl_queue *q, int width);
/* Pushes slot `place` (0: the waiter) of the head. */
void tl_queue_peek(lua_State *L, int table, const struct tl_queue *q, int place);
/* Removes the head. */
void tl_queue_drop(lua_State *L, int table, struct tl_queue *q, int width);

/* Pushes a new waiter. */
struct tl_future *tl_waiter_new(lua_State *L);
/* Nobody waits any more: who serves the queue passes over it. */
void tl_waiter_kill(lua_State *L, struct tl_future *waiter);
/* Waits for the waiter at index, and, when given, for the timer at index `timer` (0, or a value that
 * is no future: none). Use as `return tl_waiter_await(...)`. */
int tl_waiter_await(lua_State *L, int waiter, int timer, lua_KContext ctx, lua_KFunction k);

struct tl_wait_options {
    int64_t timeout_ns; /* -1: none */
    TpCommon__Payload *summary;
    const char *what; /* the call that waits */
};
/* Reads { timeout, timeout_summary } at index; `what` is a constant. */
struct tl_wait_options tl_wait_options_read(lua_State *L, int index, const char *what);
/* Pushes the timer of a timeout, nil when there is none. */
void tl_wait_timer(lua_State *L, const struct tl_wait_options *o);
/* Stops the timer at index when it still runs. */
void tl_wait_timer_stop(lua_State *L, int index);

/* Sets the metatable of the object on top: methods, and the metamethods in `meta` (NULL: none), both
 * ended by { NULL, NULL }. A name it does not have raises. */
void tl_sync_meta(lua_State *L, const char *type, const luaL_Reg *methods, const luaL_Reg *meta);
