/* Updates of a run: its registry. An update is admitted and sent in memory only, its acceptance and
 * its outcome are events; a rejection leaves no trace. So a restart forgets what was not accepted,
 * and the client, who is told UNAVAILABLE, asks again. A reset admits by an event: the worker reads
 * such a request in the history, no message brings it.
 * Thread: the run's owner. Owns: the registry belongs to the state. */
#include <string.h>

#include "server/history/rs.h"

/* From this attempt on an update would only meet the same broken code. */
#define REFUSE_FROM_ATTEMPT 3

#define UNPROCESSED                                                                                \
    "Workflow Update is rejected because it wasn't processed by worker. Probably, Workflow "       \
    "Update "                                                                                      \
    "is not supported by the worker."

/* --- registry -------------------------------------------------------------------------------- */

static struct tl_update *find(const struct tl_rs *rs, struct tl_str id)
{
    return rs->updates ? tl_map_get(rs->updates, id) : NULL;
}

static struct tl_update *add(struct tl_rs *rs, const char *id)
{
    struct tl_update *u = TL_NEW(struct tl_update);
    u->id = tl_mem_dup(tl_str(id));
    tl_list_init(&u->link);
    tl_list_push(&rs->update_queue, &u->link);
    rs->updates_open++;
    tl_map_put(tl_rs_need_map(&rs->updates), tl_str(u->id), u);
    return u;
}

static void leave_queue(struct tl_rs *rs, struct tl_update *u)
{
    if (tl_list_linked(&u->link)) {
        tl_list_remove(&u->link);
        rs->updates_open--;
    }
    tl_set_blob(&u->request, (struct tl_str){NULL, 0});
}

static void forget(struct tl_rs *rs, struct tl_update *u)
{
    leave_queue(rs, u);
    tl_map_del(rs->updates, tl_str(u->id));
    tl_mem_free(u->id);
    tl_mem_free(u);
}

void tl_rs_update_admitted(struct tl_rs *rs, const char *id, int64_t event_id)
{
    struct tl_update *u = find(rs, tl_str(id));
    u = u ? u : add(rs, id);
    u->admitted_id = event_id;
}

void tl_rs_updates_forget_rejected(struct tl_rs *rs)
{
    TL_LIST_EACH (it, &rs->update_queue) {
        struct tl_update *u = TL_CONTAINER(it, struct tl_update, link);
        if (u->state == TL_UPDATE_ADMITTED && u->admitted_id &&
            u->admitted_id < rs->previous_started_id) {
            forget(rs, u);
        }
    }
}

void tl_rs_update_accepted(struct tl_rs *rs, const char *id, int64_t event_id)
{
    struct tl_update *u = find(rs, tl_str(id));
    u = u ? u : add(rs, id);
    /* Kept in the order of their events, which is the order in which recovery meets them. */
    tl_map_del(rs->updates, tl_str(u->id));
    tl_map_put(rs->updates, tl_str(u->id), u);
    u->state = TL_UPDATE_ACCEPTED;
    u->accepted_id = event_id;
    tl_set_blob(&u->request, (struct tl_str){NULL, 0});
}

void tl_rs_update_completed(struct tl_rs *rs, const char *id, int64_t accepted_id, int64_t event_id)
{
    struct tl_update *u = find(rs, tl_str(id));
    u = u ? u : add(rs, id);
    u->state = TL_UPDATE_COMPLETED;
    u->accepted_id = accepted_id;
    u->completed_id = event_id;
    leave_queue(rs, u);
}

void tl_rs_updates_free(struct tl_rs *rs)
{
    if (!rs->updates) {
        return;
    }
    TL_MAP_EACH (e, rs->updates) {
        struct tl_update *u = e->value;
        tl_mem_free(u->request.p);
        tl_mem_free(u->id);
        tl_mem_free(u);
    }
    tl_map_deinit(rs->updates);
    tl_mem_free(rs->updates);
    rs->updates = NULL;
}

size_t tl_rs_updates_total(const struct tl_rs *rs)
{
    return rs->updates ? rs->updates->count : 0;
}

TpUpdate__Request *tl_update_request(const struct tl_rs *rs, const char *id, struct tl_arena *arena)
{
    const struct tl_update *u = find(rs, tl_str(id));
    return u ? tl_blob_decode(&u->request, &tp_update__request__descriptor, arena) : NULL;
}

bool tl_update_in_history(const struct tl_rs *rs, const char *id)
{
    const struct tl_update *u = find(rs, tl_str(id));
    return u && u->admitted_id;
}

int64_t tl_update_accepted_id(const struct tl_rs *rs, const char *id)
{
    const struct tl_update *u = find(rs, tl_str(id));
    return u ? u->accepted_id : 0;
}

bool tl_rs_update_find(const struct tl_rs *rs, struct tl_str id, struct tl_rs_update *out)
{
    static const int stages[] = {
        [TL_UPDATE_ADMITTED] = UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ADMITTED,
        [TL_UPDATE_SENT] = UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ADMITTED,
        [TL_UPDATE_ACCEPTED] = UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED,
        [TL_UPDATE_COMPLETED] = UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED,
    };
    const struct tl_update *u = find(rs, id);
    if (!u) {
        return false;
    }
    *out = (struct tl_rs_update){.stage = stages[u->state], .completed_event_id = u->completed_id};
    if (u->state == TL_UPDATE_ACCEPTED && !tl_rs_open(rs)) {
        out->stage = UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED;
    }
    return true;
}

/* --- admission ------------------------------------------------------------------------------- */

static tl_rc check_limits(struct tl_tx *tx, struct tl_error *err)
{
    const struct tl_history_limits *limits = &tx->env->limits;
    if ((int64_t)tx->rs->updates_open >= limits->updates_in_flight) {
        tx->error_cause = RESOURCE_EXHAUSTED_CAUSE_CONCURRENT_LIMIT;
        return tl_tx_fail(tx, TL_ERR_RESOURCE_EXHAUSTED, err, TL_ELIMIT,
                          "limit on number of concurrent in-flight updates has been reached (%lld)",
                          (long long)limits->updates_in_flight);
    }
    if ((int64_t)tl_rs_updates_total(tx->rs) >= limits->updates_total) {
        return tl_tx_fail(tx, TL_ERR_PLAIN, err, TL_EPRECONDITION,
                          "limit on number of total updates has been reached (%lld)",
                          (long long)limits->updates_total);
    }
    return TL_OK;
}

tl_rc tl_tx_update_admit(struct tl_tx *tx, const TpUpdate__Request *request, struct tl_error *err)
{
    struct tl_rs *rs = tx->rs;
    struct tl_str id = tl_str(request->meta->update_id);
    tx->error_kind = TL_ERR_PLAIN;
    if (find(rs, id)) {
        return TL_OK;
    }
    tl_rc rc = tl_tx_need_open(tx, err);
    if (rc != TL_OK) {
        return rc;
    }
    if (tl_rs_paused(rs)) {
        return tl_error_set(err, TL_EPRECONDITION,
                            "Workflow is paused. Cannot update the workflow.");
    }
    if (rs->wft.attempt >= REFUSE_FROM_ATTEMPT) {
        return tl_tx_fail(
            tx, TL_ERR_WORKFLOW_NOT_READY, err, TL_EPRECONDITION,
            "Unable to perform workflow execution update due to Workflow Task in failed state.");
    }
    if (rs->close_attempted && rs->wft.started_id) {
        tx->error_cause = RESOURCE_EXHAUSTED_CAUSE_BUSY_WORKFLOW;
        return tl_tx_fail(tx, TL_ERR_WORKFLOW_CLOSING, err, TL_ELIMIT,
                          "workflow operation can not be applied because workflow is closing");
    }
    rc = check_limits(tx, err);
    if (rc != TL_OK) {
        return rc;
    }
    struct tl_update *u = add(rs, request->meta->update_id);
    tx->touched = true;
    if (!tl_set_blob_message(&u->request, request)) {
        tl_tx_break(tx, "an update");
    }
    tl_wft_schedule_speculative(tx);
    return tl_tx_result(tx, err);
}

/* --- delivery -------------------------------------------------------------------------------- */

bool tl_rs_updates_waiting(const struct tl_rs *rs)
{
    TL_LIST_EACH (it, (struct tl_list *)(uintptr_t)&rs->update_queue) {
        if (TL_CONTAINER(it, struct tl_update, link)->state == TL_UPDATE_ADMITTED) {
            return true;
        }
    }
    return false;
}

/* What was sent with a task that came to nothing is sent again, but not by a heartbeat: there the
 * worker still has it. */
tl_rc tl_updates_send(struct tl_tx *tx, struct tl_wft_started *out, struct tl_error *err)
{
    struct tl_rs *rs = tx->rs;
    bool again = rs->wft.original_ns == rs->wft.scheduled_ns;
    if (rs->updates_open == 0) {
        return TL_OK;
    }
    out->updates = TL_ARENA_ARRAY(tx->arena, struct tl_rs_update_request, rs->updates_open);
    if (!out->updates) {
        return tl_error_set(err, TL_ELIMIT, "no memory for the updates of a workflow task");
    }
    TL_LIST_EACH (it, &rs->update_queue) {
        struct tl_update *u = TL_CONTAINER(it, struct tl_update, link);
        if (u->state != TL_UPDATE_ADMITTED && !(again && u->state == TL_UPDATE_SENT)) {
            continue;
        }
        u->state = TL_UPDATE_SENT;
        if (u->admitted_id) {
            continue;
        }
        struct tl_rs_update_request *r = &out->updates[out->update_count++];
        r->id = tl_arena_str(tx->arena, tl_str(u->id));
        r->request = tl_arena_str(tx->arena, tl_blob_str(&u->request));
    }
    return TL_OK;
}

/* --- ends ------------------------------------------------------------------------------------ */

static struct tl_effect *tell(struct tl_tx *tx, enum tl_effect_kind kind, const char *id)
{
    struct tl_effect *f = tl_effects_add(&tx->effects, kind);
    if (!f) {
        tl_tx_break(tx, "the updates");
        return NULL;
    }
    f->u.update.id = tl_arena_str(tx->arena, tl_str(id));
    tx->touched = true;
    return f;
}

void tl_update_tell_changed(struct tl_tx *tx, const char *id)
{
    tell(tx, TL_FX_UPDATE_CHANGED, id);
}

void tl_update_reject(struct tl_tx *tx, const char *id, const TpFailure__Failure *failure)
{
    struct tl_update *u = find(tx->rs, tl_str(id));
    struct tl_effect *f = tell(tx, TL_FX_UPDATE_REJECTED, id);
    if (f) {
        f->u.update.failure = failure;
    }
    if (u) {
        forget(tx->rs, u);
    }
}

static const TpFailure__Failure *server_failure(struct tl_tx *tx, const char *message,
                                                const char *type)
{
    TpFailure__Failure *f = TL_PB_NEW(tx->arena, TpFailure__Failure, tp_failure__failure);
    TpFailure__ApplicationFailureInfo *info = TL_PB_NEW(
        tx->arena, TpFailure__ApplicationFailureInfo, tp_failure__application_failure_info);
    if (!f || !info) {
        tl_tx_break(tx, "the failure of an update");
        return NULL;
    }
    f->message = (char *)(uintptr_t)message;
    f->source = (char *)(uintptr_t) "Server";
    f->failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_APPLICATION_FAILURE_INFO;
    f->application_failure_info = info;
    info->type = (char *)(uintptr_t)type;
    info->non_retryable = true;
    return f;
}

void tl_updates_reject_unprocessed(struct tl_tx *tx)
{
    TL_LIST_EACH (it, &tx->rs->update_queue) {
        struct tl_update *u = TL_CONTAINER(it, struct tl_update, link);
        if (u->state == TL_UPDATE_SENT) {
            tl_update_reject(tx, u->id, server_failure(tx, UNPROCESSED, "UnprocessedUpdate"));
        }
    }
}

static void abort_update(struct tl_tx *tx, struct tl_update *u, tl_rc rc, enum tl_error_kind kind,
                         const char *message)
{
    struct tl_effect *f = tell(tx, TL_FX_UPDATE_ABORTED, u->id);
    if (f) {
        f->u.update.rc = rc;
        f->u.update.error_kind = kind;
        f->u.update.message = tl_str(message);
    }
    if (u->admitted_id && tl_rs_open(tx->rs)) {
        u->state = TL_UPDATE_ADMITTED; /* the next task shows it again */
    } else {
        forget(tx->rs, u);
    }
}

void tl_updates_task_refused(struct tl_tx *tx)
{
    TL_LIST_EACH (it, &tx->rs->update_queue) {
        struct tl_update *u = TL_CONTAINER(it, struct tl_update, link);
        if (u->state == TL_UPDATE_SENT) {
            abort_update(tx, u, TL_EPRECONDITION, TL_ERR_WORKFLOW_NOT_READY,
                         "Unable to perform workflow execution update due to unexpected workflow "
                         "task failure.");
        }
    }
}

void tl_updates_closed(struct tl_tx *tx)
{
    struct tl_rs *rs = tx->rs;
    bool continues = tl_has_text(rs->new_run_id);
    TL_LIST_EACH (it, &rs->update_queue) {
        struct tl_update *u = TL_CONTAINER(it, struct tl_update, link);
        if (u->state == TL_UPDATE_ACCEPTED) {
            tell(tx, TL_FX_UPDATE_CHANGED, u->id);
        } else if (continues) {
            tell(tx, TL_FX_UPDATE_RETRY, u->id);
            forget(rs, u);
        } else {
            abort_update(tx, u, TL_ENOTFOUND, TL_ERR_NOT_FOUND,
                         "update aborted by closing workflow");
        }
    }
}
