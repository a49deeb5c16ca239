/* The CPU budget of workflow code. One thread per watchdog samples the CPU time of the threads that
 * are inside a run, only while there are any; a run that spent its budget gets a hook, which
 * abandons it from wherever it is (pcall cannot swallow that).
 * Where time is simulated nothing samples: runs count VM instructions instead (steps_max).
 *
 * Invariants: the hook is set on the thread that runs the script, from a signal handler (SIGURG, whose
 * former handler is called on); a thread that left the run is never touched.
 * Ownership: the watchdog owns its thread; a watch is the caller's memory, linked between begin and
 * end. Thread: begin and end on the thread that runs the script. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct tl_watchdog;

/* Starts the sampling thread. Free with tl_watchdog_free when no run uses it any more.
 * Errors: TL_EUNAVAILABLE (no thread, no signal handler). */
tl_rc tl_watchdog_new(struct tl_watchdog **out, struct tl_error *err) TL_MUST_USE;
void tl_watchdog_free(struct tl_watchdog *w); /* NULL is fine */
