/* Private to worker/: local activities. The workflow actor that owns the run owns them: it keeps their
 * times, retries them and tells the run how they ended; an activity thread runs one attempt at a time.
 *
 * Invariants: an attempt is shared by the actor and one thread and freed by the last; one that nobody
 * waits for any more (timed out, evicted) runs to its end unheard. A slot is taken by an attempt that
 * is with a thread. Thread: the actor's, but for what is marked. */
#pragma once

#include "worker/wf_int.h"

struct tl_local_try;

/* Starts and cancels what the run asked for. */
void tl_locals_request(struct tl_wf_run *r, const struct tl_wft_result *result);
/* Tells the held task what ended while there was none, as long as it stays held. */
void tl_locals_flush(struct tl_wf_task *t);
/* The run's state goes: nobody waits for them any more. */
void tl_locals_drop(struct tl_wf_run *r);
/* A message TL_WM_LOCAL_DONE. */
void tl_local_done(struct tl_msg *m);
/* A message TL_WM_LOCAL. Thread: an activity thread's. */
void tl_local_run(struct tl_worker *w, struct tl_msg *m, const struct tl_act_state *state);
/* The build of its run, borrowed as long as the message. */
struct tl_build *tl_local_build(struct tl_msg *m);
/* Worker's part: slots. */
void tl_locals_init(struct tl_worker *w);
void tl_locals_deinit(struct tl_worker *w);
/* Those that wait for a slot begin while there are slots. Thread: any. */
void tl_locals_fill(struct tl_worker *w);
/* Whether any waits for a slot. Thread: any. */
bool tl_locals_waiting(struct tl_worker *w);

/* Who is told how an attempt has ended. Lives until then. */
struct tl_local_end_to {
    struct tl_act **slot;    /* the running activity for tl_act_cancelled, under running_mutex */
    const unsigned *reasons; /* asked before it was there */
    struct tl_buf *answer;   /* Payloads or Failure, encoded */
    void (*ended)(struct tl_local_end_to *to, enum tl_act_end end); /* thread: any */
};

/* act_run.c, on an activity thread: one attempt from its bytes to its end; `to` is told, perhaps after this
 * has returned. */
void tl_act_run_local(struct tl_worker *w, struct tl_str body, struct tl_local_end_to *to,
                      const struct tl_act_state *state);
