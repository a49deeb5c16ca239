/* One libuv loop on one thread: signals, timers, and wake-ups from other threads. Used by the long
 * running commands (worker run, server start); nothing inside worker or server needs it.
 *
 * Invariants: callbacks run on the loop's thread, inside tl_loop_run.
 * Ownership: the loop owns its handles and timers until close.
 * Thread: one, except tl_loop_post_stop and tl_loop_wake (any). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct tl_loop;
struct tl_loop_timer;

/* Errors: TL_EIO. */
tl_rc tl_loop_open(struct tl_loop **out, struct tl_error *err) TL_MUST_USE;
void tl_loop_close(struct tl_loop *l); /* stops signals and timers; NULL is fine */

/* SIGINT and SIGTERM: the first calls fn(ud, signal, 1), the second fn(ud, signal, 2) and so on.
 * Without a reaction to the second (fn returns false) the process is ended as if the signal had not
 * been caught. Errors: TL_EIO. */
tl_rc tl_loop_on_stop(struct tl_loop *l, bool (*fn)(void *ud, int signal, unsigned count), void *ud,
                      struct tl_error *err) TL_MUST_USE;
/* SIGHUP, where a command reloads. Errors: TL_EIO. */
tl_rc tl_loop_on_hangup(struct tl_loop *l, void (*fn)(void *ud), void *ud,
                        struct tl_error *err) TL_MUST_USE;

/* fn(ud) after delay_ms, then every repeat_ms (0: once). The timer lives until cancelled or until the
 * loop is closed, also after it has fired. */
struct tl_loop_timer *tl_loop_timer_start(struct tl_loop *l, int64_t delay_ms, int64_t repeat_ms,
                                          void (*fn)(void *ud), void *ud);
void tl_loop_timer_cancel(struct tl_loop_timer *t); /* NULL is fine */

/* fn(ud, name) for every entry of a folder that is written, made, renamed or removed; name may be NULL.
 * Lives until cancelled or until the loop is closed. Errors: TL_EIO. */
struct tl_loop_watch;
tl_rc tl_loop_watch(struct tl_loop *l, const char *folder, struct tl_loop_watch **out,
                    void (*fn)(void *ud, const char *name), void *ud,
                    struct tl_error *err) TL_MUST_USE;
void tl_loop_watch_cancel(struct tl_loop_watch *w); /* NULL is fine */

/* fn(ud) on the loop's thread soon after each tl_loop_wake; several wakes may become one call. */
void tl_loop_on_wake(struct tl_loop *l, void (*fn)(void *ud), void *ud);
void tl_loop_wake(struct tl_loop *l); /* any thread, also a signal handler */

/* Serves callbacks until tl_loop_post_stop. */
void tl_loop_run(struct tl_loop *l);
void tl_loop_post_stop(
    struct tl_loop *l); /* any thread; remembered when the loop does not run yet */

/* For libraries that work on the loop, too: its uv_loop_t. What they put there carries a `data` of theirs. */
void *tl_loop_native(struct tl_loop *l);
/* Tells one libuv from another: the address of its uv_version. */
const void *tl_loop_library(void);
/* Closes what such libraries have open and serves callbacks until nothing is under way; false: something still
 * is after wait_ms, so the loop cannot be closed. Thread: the loop's, outside of tl_loop_run. */
bool tl_loop_drain(struct tl_loop *l, int64_t wait_ms);
