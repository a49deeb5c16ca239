/* The part of history.h about activities: what workers report of them, what operators change.
 * Rules of history.h hold: operations validate first, results live in the transaction's arena.
 * Thread: the run's owner. */
#pragma once

#include "server/history/history.h"

struct tl_activity_started {
    struct tl_task_ref ref; /* started_id is 0: the event is written when the activity closes */
    TpWs__PollActivityTaskQueueResponse *response; /* all but task_token */
    bool durable_first; /* the reply waits for the commit: a lost start would be one too many */
};
/* control_queue: where the worker takes commands; NULL or empty: nowhere. Errors: TL_ENOTFOUND with
 * TL_ERR_STALE_TASK. */
tl_rc tl_tx_activity_start(struct tl_tx *tx, int64_t scheduled_id, int32_t attempt, uint64_t stamp,
                           const char *identity, const char *request_id, const char *control_queue,
                           struct tl_activity_started *out, struct tl_error *err) TL_MUST_USE;

/* Which activity a worker or client means: by token (ref != NULL) or by activity id. */
struct tl_activity_key {
    const struct tl_task_ref *ref;
    struct tl_str activity_id;
};
tl_rc tl_tx_activity_complete(struct tl_tx *tx, const struct tl_activity_key *key,
                              const TpCommon__Payloads *result, const char *identity,
                              struct tl_error *err) TL_MUST_USE;
tl_rc tl_tx_activity_fail(struct tl_tx *tx, const struct tl_activity_key *key,
                          const TpFailure__Failure *failure,
                          const TpCommon__Payloads *last_heartbeat, const char *identity,
                          struct tl_error *err) TL_MUST_USE;
tl_rc tl_tx_activity_cancel(struct tl_tx *tx, const struct tl_activity_key *key,
                            const TpCommon__Payloads *details, const char *identity,
                            struct tl_error *err) TL_MUST_USE;
struct tl_heartbeat_reply {
    bool cancel_requested, paused, reset;
};
tl_rc tl_tx_activity_heartbeat(struct tl_tx *tx, const struct tl_activity_key *key,
                               const TpCommon__Payloads *details, const char *identity,
                               struct tl_heartbeat_reply *out, struct tl_error *err) TL_MUST_USE;

/* As tl_tx_wft_unstart, for a delivered activity. */
tl_rc tl_tx_activity_unstart(struct tl_tx *tx, const struct tl_task_ref *ref,
                             struct tl_error *err) TL_MUST_USE;

/* --- what operators change -------------------------------------------------------------------- */

/* Which pending activities: by id, by type, or all. */
struct tl_activity_pick {
    struct tl_str id, type;
    bool all;
};
/* An attempt that runs goes on; its heartbeats tell it. The next one waits until unpause. Nothing changes
 * when one refuses: TL_ENOTFOUND (none is picked), TL_EPRECONDITION (paused by another request). */
tl_rc tl_tx_activity_pause(struct tl_tx *tx, const struct tl_activity_pick *pick,
                           const char *identity, const char *reason, const char *request_id,
                           struct tl_error *err) TL_MUST_USE;
struct tl_activity_unpause {
    bool reset_attempts, reset_heartbeat;
    int64_t jitter_ns; /* the attempt is dispatched at a random time within it */
};
/* Those that are not paused stay as they are. Errors: TL_ENOTFOUND. */
tl_rc tl_tx_activity_unpause(struct tl_tx *tx, const struct tl_activity_pick *pick,
                             const struct tl_activity_unpause *how,
                             struct tl_error *err) TL_MUST_USE;
struct tl_activity_reset {
    bool reset_heartbeat, keep_paused, restore_options;
    int64_t jitter_ns;
};
/* Attempts count from 1 again and a waiting one is dispatched now; one that runs ends first.
 * Errors: TL_ENOTFOUND. */
tl_rc tl_tx_activity_reset(struct tl_tx *tx, const struct tl_activity_pick *pick,
                           const struct tl_activity_reset *how, struct tl_error *err) TL_MUST_USE;
struct tl_activity_options_change {
    const TpActivity__ActivityOptions *options; /* NULL with restore_original */
    char *const *paths;                         /* of the field mask */
    size_t path_count;
    bool restore_original;
};
/* Errors: TL_ENOTFOUND, TL_EINVAL (mask, or options that a command would be refused for). */
tl_rc tl_tx_activity_change_options(struct tl_tx *tx, const struct tl_activity_pick *pick,
                                    const struct tl_activity_options_change *change,
                                    struct tl_error *err) TL_MUST_USE;
/* The options of the first activity that is picked, in the arena; NULL when there is none. */
TpActivity__ActivityOptions *tl_rs_activity_options(const struct tl_rs *rs,
                                                    const struct tl_activity_pick *pick,
                                                    struct tl_arena *arena);
