/* What operators do to pending activities of a workflow: pause, unpause, reset, new options.
 * Thread: engine. */
#include "server/api/api.h"
#include "server/history/activity.h"

/* The activities that a request names by id or type, or all of them; false: it names none, and the
 * call is answered. */
static bool pick(struct tl_call *c, const char *id, const char *type, bool all,
                 struct tl_activity_pick *out)
{
    *out = (struct tl_activity_pick){tl_str(id), tl_str(type), all};
    if (!out->id.n && !out->type.n && !all) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL),
                       "Activity is not set: give its id or its type");
        return false;
    }
    return true;
}

static bool jitter(struct tl_call *c, const Google__Protobuf__Duration *d, int64_t *out)
{
    *out = tl_pb_duration_ns_or(d, 0);
    if (*out < 0) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "Jitter cannot be negative");
        return false;
    }
    return true;
}

static bool end(struct tl_call *c, struct tl_exec *e, struct tl_tx *tx, tl_rc rc,
                struct tl_error *err, const void *response)
{
    bool ok = tl_api_end(c, e, tx, rc, err);
    if (ok && response) {
        tl_call_reply(c, e->seq, response);
    }
    return ok;
}

void tl_api_pause_activity(struct tl_call *c)
{
    const TpWs__PauseActivityRequest *req = c->req;
    TpWs__PauseActivityResponse r = TP_WS__PAUSE_ACTIVITY_RESPONSE__INIT;
    bool by_id = req->activity_case == TP_WS__PAUSE_ACTIVITY_REQUEST__ACTIVITY_ID;
    bool by_type = req->activity_case == TP_WS__PAUSE_ACTIVITY_REQUEST__ACTIVITY_TYPE;
    struct tl_activity_pick which;
    struct tl_tx tx;
    struct tl_error err;
    struct tl_exec *e = NULL;
    if (pick(c, by_id ? req->id : "", by_type ? req->type : "", false, &which) &&
        (e = tl_api_find(c, req->execution)) != NULL) {
        tl_run_begin(c->s, e, &tx, c->arena);
        tl_rc rc =
            tl_tx_activity_pause(&tx, &which, req->identity, req->reason, req->request_id, &err);
        end(c, e, &tx, rc, &err, &r);
    }
}

void tl_api_unpause_activity(struct tl_call *c)
{
    const TpWs__UnpauseActivityRequest *req = c->req;
    TpWs__UnpauseActivityResponse r = TP_WS__UNPAUSE_ACTIVITY_RESPONSE__INIT;
    bool by_id = req->activity_case == TP_WS__UNPAUSE_ACTIVITY_REQUEST__ACTIVITY_ID;
    bool by_type = req->activity_case == TP_WS__UNPAUSE_ACTIVITY_REQUEST__ACTIVITY_TYPE;
    bool all = req->activity_case == TP_WS__UNPAUSE_ACTIVITY_REQUEST__ACTIVITY_UNPAUSE_ALL &&
               req->unpause_all;
    struct tl_activity_unpause how = {.reset_attempts = req->reset_attempts,
                                      .reset_heartbeat = req->reset_heartbeat};
    struct tl_activity_pick which;
    struct tl_tx tx;
    struct tl_error err;
    struct tl_exec *e = NULL;
    if (pick(c, by_id ? req->id : "", by_type ? req->type : "", all, &which) &&
        jitter(c, req->jitter, &how.jitter_ns) && (e = tl_api_find(c, req->execution)) != NULL) {
        tl_run_begin(c->s, e, &tx, c->arena);
        tl_rc rc = tl_tx_activity_unpause(&tx, &which, &how, &err);
        end(c, e, &tx, rc, &err, &r);
    }
}

void tl_api_reset_activity(struct tl_call *c)
{
    const TpWs__ResetActivityRequest *req = c->req;
    TpWs__ResetActivityResponse r = TP_WS__RESET_ACTIVITY_RESPONSE__INIT;
    bool by_id = req->activity_case == TP_WS__RESET_ACTIVITY_REQUEST__ACTIVITY_ID;
    bool by_type = req->activity_case == TP_WS__RESET_ACTIVITY_REQUEST__ACTIVITY_TYPE;
    bool all =
        req->activity_case == TP_WS__RESET_ACTIVITY_REQUEST__ACTIVITY_MATCH_ALL && req->match_all;
    struct tl_activity_reset how = {.reset_heartbeat = req->reset_heartbeat,
                                    .keep_paused = req->keep_paused,
                                    .restore_options = req->restore_original_options};
    struct tl_activity_pick which;
    struct tl_tx tx;
    struct tl_error err;
    struct tl_exec *e = NULL;
    if (pick(c, by_id ? req->id : "", by_type ? req->type : "", all, &which) &&
        jitter(c, req->jitter, &how.jitter_ns) && (e = tl_api_find(c, req->execution)) != NULL) {
        tl_run_begin(c->s, e, &tx, c->arena);
        tl_rc rc = tl_tx_activity_reset(&tx, &which, &how, &err);
        end(c, e, &tx, rc, &err, &r);
    }
}

void tl_api_update_activity_options(struct tl_call *c)
{
    const TpWs__UpdateActivityOptionsRequest *req = c->req;
    TpWs__UpdateActivityOptionsResponse r = TP_WS__UPDATE_ACTIVITY_OPTIONS_RESPONSE__INIT;
    bool by_id = req->activity_case == TP_WS__UPDATE_ACTIVITY_OPTIONS_REQUEST__ACTIVITY_ID;
    bool by_type = req->activity_case == TP_WS__UPDATE_ACTIVITY_OPTIONS_REQUEST__ACTIVITY_TYPE;
    bool all = req->activity_case == TP_WS__UPDATE_ACTIVITY_OPTIONS_REQUEST__ACTIVITY_MATCH_ALL &&
               req->match_all;
    struct tl_activity_options_change change = {
        .options = req->activity_options,
        .paths = req->update_mask ? req->update_mask->paths : NULL,
        .path_count = req->update_mask ? req->update_mask->n_paths : 0,
        .restore_original = req->restore_original,
    };
    struct tl_activity_pick which;
    struct tl_tx tx;
    struct tl_error err;
    struct tl_exec *e = NULL;
    if (!pick(c, by_id ? req->id : "", by_type ? req->type : "", all, &which) ||
        (e = tl_api_find(c, req->execution)) == NULL) {
        return;
    }
    tl_run_begin(c->s, e, &tx, c->arena);
    tl_rc rc = tl_tx_activity_change_options(&tx, &which, &change, &err);
    if (end(c, e, &tx, rc, &err, NULL)) {
        r.activity_options = tl_rs_activity_options(e->rs, &which, c->arena);
        tl_call_reply(c, e->seq, &r);
    }
}
