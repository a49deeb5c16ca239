/* What operators do to an activity execution: pause, unpause, reset, new options. The changes are those of
 * activity_change.c; here is what is particular: each request once, and in which states it can be.
 * Thread: the run's owner. */
#include <string.h>

#include "server/history/execution.h"

/* Beginning of every request: the state to keep its id in. *done: it was carried out before.
 * Errors: TL_ELIMIT. */
static tl_rc begin(struct tl_tx *tx, TlV1__ActivityExecutionState **state, struct tl_error *err)
{
    tx->error_kind = TL_ERR_PLAIN;
    *state = tl_execution_state(tx->rs, tx->arena);
    return *state ? TL_OK : tl_error_set(err, TL_ELIMIT, "no memory to change an activity");
}

static bool is_repeated(const char *request_id, const char *last)
{
    return tl_has_text(request_id) && strcmp(request_id, last) == 0;
}

/* The last thing of a request that was carried out. */
static tl_rc done(struct tl_tx *tx, TlV1__ActivityExecutionState *state, char **slot,
                  char *request_id, struct tl_error *err)
{
    if (tl_has_text(request_id)) {
        *slot = request_id;
        tl_execution_keep(tx, state);
    }
    return tl_tx_result(tx, err);
}

/* Open, and nobody has asked to cancel it. Errors: TL_EPRECONDITION. */
static tl_rc need_running(const struct tl_tx *tx, const char *what, struct tl_error *err)
{
    const struct tl_act *act = tl_execution_act(tx->rs);
    return tl_rs_open(tx->rs) && act && !act->cancel_requested
               ? TL_OK
               : tl_error_set(err, TL_EPRECONDITION, "activity is in %s state %s", what,
                              tl_execution_status_name(tx->rs));
}

tl_rc tl_tx_activity_execution_pause(struct tl_tx *tx,
                                     const TpWs__PauseActivityExecutionRequest *req,
                                     struct tl_error *err)
{
    const struct tl_activity_pick all = {.all = true};
    TlV1__ActivityExecutionState *state;
    tl_rc rc = begin(tx, &state, err);
    if (rc != TL_OK || is_repeated(req->request_id, state->pause_request_id)) {
        return rc;
    }
    rc = need_running(tx, "non-pausable", err);
    if (rc == TL_OK) {
        rc = tl_tx_activity_pause(tx, &all, req->identity, req->reason, req->request_id, err);
    }
    return rc == TL_OK ? done(tx, state, &state->pause_request_id, req->request_id, err) : rc;
}

tl_rc tl_tx_activity_execution_unpause(struct tl_tx *tx,
                                       const TpWs__UnpauseActivityExecutionRequest *req,
                                       struct tl_error *err)
{
    const struct tl_activity_pick all = {.all = true};
    const struct tl_activity_unpause how = {.jitter_ns = tl_pb_duration_ns_or(req->jitter, 0)};
    TlV1__ActivityExecutionState *state;
    const struct tl_act *act = tl_execution_act(tx->rs);
    tl_rc rc = begin(tx, &state, err);
    if (rc != TL_OK || is_repeated(req->request_id, state->unpause_request_id)) {
        return rc;
    }
    rc = need_running(tx, "non-unpausable", err);
    if (rc == TL_OK && !act->paused) {
        rc = tl_error_set(err, TL_EPRECONDITION, "activity is in non-unpausable state %s",
                          tl_execution_status_name(tx->rs));
    }
    if (rc == TL_OK) {
        rc = tl_tx_activity_unpause(tx, &all, &how, err);
    }
    return rc == TL_OK ? done(tx, state, &state->unpause_request_id, req->request_id, err) : rc;
}

tl_rc tl_tx_activity_execution_reset(struct tl_tx *tx,
                                     const TpWs__ResetActivityExecutionRequest *req,
                                     struct tl_error *err)
{
    const struct tl_activity_pick all = {.all = true};
    const struct tl_activity_reset how = {.reset_heartbeat = req->reset_heartbeat,
                                          .keep_paused = req->keep_paused,
                                          .restore_options = req->restore_original_options,
                                          .jitter_ns = tl_pb_duration_ns_or(req->jitter, 0)};
    TlV1__ActivityExecutionState *state;
    const struct tl_act *act = tl_execution_act(tx->rs);
    tl_rc rc = begin(tx, &state, err);
    if (rc != TL_OK || is_repeated(req->request_id, state->reset_request_id)) {
        return rc;
    }
    if (!tl_rs_open(tx->rs)) {
        return tl_error_set(err, TL_EPRECONDITION, "activity execution is not running");
    }
    if (act->cancel_requested || act->reset) {
        return tl_error_set(err, TL_EPRECONDITION, "cannot reset an activity with a pending %s",
                            act->reset ? "reset" : "cancellation");
    }
    rc = tl_tx_activity_reset(tx, &all, &how, err);
    return rc == TL_OK ? done(tx, state, &state->reset_request_id, req->request_id, err) : rc;
}

tl_rc tl_tx_activity_execution_change(struct tl_tx *tx,
                                      const TpWs__UpdateActivityExecutionOptionsRequest *req,
                                      struct tl_error *err)
{
    const struct tl_activity_pick all = {.all = true};
    const struct tl_activity_options_change change = {
        .options = req->activity_options,
        .paths = req->update_mask ? req->update_mask->paths : NULL,
        .path_count = req->update_mask ? req->update_mask->n_paths : 0,
        .restore_original = req->restore_original,
    };
    TlV1__ActivityExecutionState *state;
    const struct tl_act *act = tl_execution_act(tx->rs);
    tl_rc rc = begin(tx, &state, err);
    if (rc != TL_OK || is_repeated(req->request_id, state->options_request_id)) {
        return rc;
    }
    if (!tl_rs_open(tx->rs) || act->cancel_requested || act->reset) {
        return tl_error_set(err, TL_EPRECONDITION, "Cannot update options for activity in state %s",
                            act->reset ? "ResetRequested" : tl_execution_status_name(tx->rs));
    }
    rc = tl_tx_activity_change_options(tx, &all, &change, err);
    return rc == TL_OK ? done(tx, state, &state->options_request_id, req->request_id, err) : rc;
}
