/* Private to host/core: driving one workflow task or replay.
 * Ownership: struct tl_task lives on the caller's stack. Thread: the run's. */
#pragma once

#include "core/run_int.h"

/* Between begin and end run->task is set; task->arena, lang and history are the caller's to fill in
 * before. */
void tl_task_begin(struct tl_run *run, struct tl_task *task);
void tl_task_end(struct tl_run *run);
/* Applies groups and runs the language until the history is used up. */
tl_rc tl_task_catch_up(struct tl_run *run, struct tl_error *err) TL_MUST_USE;
/* Runs the language until it has nothing more to be told. */
tl_rc tl_task_run_jobs(struct tl_run *run, struct tl_error *err) TL_MUST_USE;
/* One activation with the jobs collected; the completion is not taken. */
tl_rc tl_task_activate(struct tl_run *run, bool queries, struct tl_completion *out,
                       struct tl_error *err) TL_MUST_USE;
