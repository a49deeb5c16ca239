/* What a worker answers about updates: protocol messages that come with a completion. An acceptance
 * or a response has its place among the commands, by a command that names it; a rejection has none.
 * Thread: the run's owner. */
#include <stdlib.h>
#include <string.h>

#include "server/history/commands.h"
#include "server/history/rs.h"

#define CAUSE WORKFLOW_TASK_FAILED_CAUSE_BAD_UPDATE_WORKFLOW_EXECUTION_MESSAGE
/* Events since the last completed task that a worker may be made to forget again. */
#define FORGOTTEN_EVENTS_MAX 10

/* What the check knows of an update: its state after the messages before, plus one; 0: nothing. */
enum over { OVER_NONE, OVER_DELIVERED, OVER_ACCEPTED, OVER_ENDED };

/* --- reading --------------------------------------------------------------------------------- */

static bool decode_body(struct tl_wft_done *d, struct tl_update_message *m)
{
    static const struct {
        enum tl_update_message_kind kind;
        const ProtobufCMessageDescriptor *desc;
    } kinds[] = {
        {TL_UPDATE_ACCEPTANCE, &tp_update__acceptance__descriptor},
        {TL_UPDATE_REJECTION, &tp_update__rejection__descriptor},
        {TL_UPDATE_RESPONSE, &tp_update__response__descriptor},
    };
    const Google__Protobuf__Any *body = m->message->body;
    if (!body) {
        tl_refuse(d, CAUSE, "Update %s received message with nil body",
                  m->message->protocol_instance_id);
        return false;
    }
    const char *slash = strrchr(body->type_url, '/');
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct tl_error err;
        if (!slash || strcmp(slash + 1, kinds[i].desc->name) != 0) {
            continue;
        }
        m->kind = kinds[i].kind;
        if (tl_pb_decode(kinds[i].desc, tl_pb_str(body->value), d->tx->arena, &m->body, &err) !=
            TL_OK) {
            tl_refuse(d, CAUSE, "unable to unmarshal request: %s", err.message);
            return false;
        }
        return true;
    }
    tl_refuse(d, CAUSE, "Message type %s not supported", body->type_url);
    return false;
}

bool tl_updates_read(struct tl_wft_done *d)
{
    const TpWs__RespondWorkflowTaskCompletedRequest *req = d->req;
    d->messages = TL_ARENA_ARRAY(d->tx->arena, struct tl_update_message, req->n_messages + 1);
    if (!d->messages) {
        return false;
    }
    for (size_t i = 0; i < req->n_messages && !d->no.cause; i++) {
        struct tl_update_message *m = &d->messages[d->message_n++];
        m->message = req->messages[i];
        if (tl_message_bytes(m->message) > d->tx->env->limits.blob_bytes) {
            tl_refuse_terminate(d, CAUSE, "Message exceeds size limit.");
        } else {
            decode_body(d, m);
        }
    }
    return true;
}

/* --- checking -------------------------------------------------------------------------------- */

static enum over known(const struct tl_wft_done *d, struct tl_str id)
{
    struct tl_rs_update u;
    enum over over = (enum over)(uintptr_t)tl_map_get(&d->updates, id);
    if (over || !tl_rs_update_find(d->tx->rs, id, &u)) {
        return over;
    }
    return u.stage == UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ADMITTED   ? OVER_DELIVERED
           : u.stage == UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED ? OVER_ACCEPTED
                                                                           : OVER_ENDED;
}

/* The request that came along with the answer: the registry may have lost the update. */
static const TpUpdate__Request *brought(const struct tl_update_message *m)
{
    switch (m->kind) {
    case TL_UPDATE_ACCEPTANCE:
        return ((const TpUpdate__Acceptance *)m->body)->accepted_request;
    case TL_UPDATE_REJECTION:
        return ((const TpUpdate__Rejection *)m->body)->rejected_request;
    case TL_UPDATE_RESPONSE:
        break;
    }
    return NULL;
}

static void wrong_state(struct tl_wft_done *d, const struct tl_update_message *m, enum over state)
{
    static const char *const names[] = {"Unspecified", "Sent", "Accepted", "Completed"};
    static const char *const kinds[] = {[TL_UPDATE_ACCEPTANCE] = "Acceptance",
                                        [TL_UPDATE_REJECTION] = "Rejection",
                                        [TL_UPDATE_RESPONSE] = "Response"};
    tl_refuse(d, CAUSE,
              "invalid state transition attempted for Update %s: received *update.%s message while "
              "in state %s",
              m->message->protocol_instance_id, kinds[m->kind], names[state]);
}

static void check_response(struct tl_wft_done *d, const struct tl_update_message *m)
{
    const TpUpdate__Response *r = m->body;
    const char *id = m->message->protocol_instance_id;
    if (!r->meta) {
        tl_refuse(d, CAUSE, "invalid *update.Response: meta is not set");
    } else if (strcmp(r->meta->update_id, id) != 0) {
        tl_refuse(d, CAUSE, "invalid *update.Response: meta.update_id != %s", id);
    } else if (!r->outcome) {
        tl_refuse(d, CAUSE, "invalid *update.Response: outcome is not set");
    }
}

static void check(struct tl_wft_done *d, struct tl_update_message *m)
{
    struct tl_str id = tl_str(m->message->protocol_instance_id);
    enum over state = known(d, id), next = OVER_ENDED;
    m->checked = true;
    if (state == OVER_NONE) {
        if (!brought(m)) {
            tl_refuse(d, CAUSE,
                      "update %.*s wasn't found on the server. This is most likely a transient "
                      "error which will be resolved automatically by retries",
                      TL_STR_FMT(id));
            return;
        }
        state = OVER_DELIVERED;
    }
    if (m->kind == TL_UPDATE_RESPONSE) {
        if (state != OVER_ACCEPTED) {
            wrong_state(d, m, state);
            return;
        }
        check_response(d, m);
    } else {
        if (state != OVER_DELIVERED) {
            wrong_state(d, m, state);
            return;
        }
        next = m->kind == TL_UPDATE_ACCEPTANCE ? OVER_ACCEPTED : OVER_ENDED;
    }
    tl_map_put(&d->updates, id, (void *)(uintptr_t)next);
    d->next_id += m->kind == TL_UPDATE_REJECTION ? 0 : 1;
}

static struct tl_update_message *message_of(struct tl_wft_done *d, const char *id)
{
    for (size_t i = 0; i < d->message_n; i++) {
        if (strcmp(d->messages[i].message->id, id) == 0) {
            return &d->messages[i];
        }
    }
    return NULL;
}

void tl_command_check_message(struct tl_wft_done *d, const TpCommand__Command *c)
{
    const char *id = c->protocol_message_command_attributes->message_id;
    struct tl_update_message *m = message_of(d, id);
    if (!tl_has_text(id)) {
        tl_refuse(d, CAUSE, "ProtocolMessageCommandAttributes.MessageId is not set.");
    } else if (!m || m->checked) {
        tl_refuse(d, CAUSE, "ProtocolMessageCommand referenced absent message ID %s", id);
    } else {
        check(d, m);
    }
}

void tl_updates_check_rest(struct tl_wft_done *d)
{
    for (size_t i = 0; i < d->message_n && !d->no.cause; i++) {
        if (!d->messages[i].checked) {
            check(d, &d->messages[i]);
        }
    }
}

/* --- carrying out ---------------------------------------------------------------------------- */

static void run_acceptance(struct tl_wft_done *d, const struct tl_update_message *m)
{
    struct tl_tx *tx = d->tx;
    const TpUpdate__Acceptance *in = m->body;
    TpHistory__WorkflowExecutionUpdateAcceptedEventAttributes a =
        TP_HISTORY__WORKFLOW_EXECUTION_UPDATE_ACCEPTED_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    tl_ev_init(&ev, tx->now_ns);
    a.protocol_instance_id = m->message->protocol_instance_id;
    a.accepted_request_message_id =
        tl_arena_printf(tx->arena, "%s/request", a.protocol_instance_id);
    a.accepted_request_sequencing_event_id = in->accepted_request_sequencing_event_id;
    if (!tl_update_in_history(tx->rs, a.protocol_instance_id)) {
        a.accepted_request = tl_update_request(tx->rs, a.protocol_instance_id, tx->arena);
        a.accepted_request = a.accepted_request ? a.accepted_request : in->accepted_request;
    }
    if (!a.accepted_request_message_id) {
        tl_tx_break(tx, "an update");
        return;
    }
    TL_EV_SET(&ev, WORKFLOW_EXECUTION_UPDATE_ACCEPTED, workflow_execution_update_accepted, &a);
    tl_tx_add(tx, &ev);
    tl_update_tell_changed(tx, a.protocol_instance_id);
}

static void run_response(struct tl_wft_done *d, const struct tl_update_message *m)
{
    struct tl_tx *tx = d->tx;
    const TpUpdate__Response *in = m->body;
    TpHistory__WorkflowExecutionUpdateCompletedEventAttributes a =
        TP_HISTORY__WORKFLOW_EXECUTION_UPDATE_COMPLETED_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    tl_ev_init(&ev, tx->now_ns);
    a.meta = in->meta;
    a.outcome = in->outcome;
    a.accepted_event_id = tl_update_accepted_id(tx->rs, in->meta->update_id);
    TL_EV_SET(&ev, WORKFLOW_EXECUTION_UPDATE_COMPLETED, workflow_execution_update_completed, &a);
    tl_tx_add(tx, &ev);
    tl_update_tell_changed(tx, in->meta->update_id);
}

static void run(struct tl_wft_done *d, struct tl_update_message *m)
{
    m->run = true;
    switch (m->kind) {
    case TL_UPDATE_REJECTION:
        tl_update_reject(d->tx, m->message->protocol_instance_id,
                         ((const TpUpdate__Rejection *)m->body)->failure);
        break;
    case TL_UPDATE_ACCEPTANCE:
    case TL_UPDATE_RESPONSE:
        if (!tl_rs_open(d->tx->rs)) {
            break; /* its place would be behind the end: it goes with the run */
        }
        if (m->kind == TL_UPDATE_ACCEPTANCE) {
            run_acceptance(d, m);
        } else {
            run_response(d, m);
        }
        break;
    }
}

void tl_command_run_message(struct tl_wft_done *d, const TpCommand__Command *c)
{
    run(d, message_of(d, c->protocol_message_command_attributes->message_id));
}

void tl_updates_run_rest(struct tl_wft_done *d)
{
    for (size_t i = 0; i < d->message_n; i++) {
        if (!d->messages[i].run) {
            run(d, &d->messages[i]);
        }
    }
    if (!d->req->force_create_new_workflow_task && tl_rs_open(d->tx->rs)) {
        tl_updates_reject_unprocessed(d->tx);
    }
}

bool tl_updates_only_rejected(const struct tl_wft_done *d)
{
    const struct tl_rs *rs = d->tx->rs;
    int64_t shown = rs->wft.scheduled_id - rs->previous_started_id - 2;
    bool can_forget =
        d->req->capabilities && d->req->capabilities->discard_speculative_workflow_task_with_events;
    if (!rs->wft.speculative || rs->moving || d->req->n_commands > 0 ||
        d->req->force_create_new_workflow_task || shown > (can_forget ? FORGOTTEN_EVENTS_MAX : 0)) {
        return false;
    }
    for (size_t i = 0; i < d->message_n; i++) {
        if (d->messages[i].kind != TL_UPDATE_REJECTION) {
            return false;
        }
    }
    return true;
}
