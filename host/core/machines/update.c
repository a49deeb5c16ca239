/* Update. A request comes as a protocol message, or on replay from the event of its acceptance; the
 * language accepts or rejects it at once, and answers what it accepted now or in a later task. An
 * acceptance and an answer are messages with a command that gives them their place; a rejection is a
 * message alone and leaves nothing in the history.
 * Thread: the run's. */
#include "core/run_int.h"

#include <google/protobuf/any.pb-c.h>
#include <tl_enums.h>

#include "base/mem.h"

#define TYPE_URL "type.googleapis.com/"

/* clang-format off */
#define UPDATE_STATES(S) S(NEW) S(ACCEPTED) S(RECORDED) S(ANSWERED_EARLY) S(ANSWERED) S(COMPLETED) S(REJECTED)
#define UPDATE_EVENTS(E) E(ACCEPT) E(REJECT) E(ANSWER) E(RECORD) E(COMPLETE)
#define UPDATE_TABLE(T)                                                                            \
    /* state           event     action           next          */                                 \
    T(NEW,             ACCEPT,   NULL,            ACCEPTED)                                        \
    T(NEW,             REJECT,   NULL,            REJECTED)                                        \
    T(ACCEPTED,        ANSWER,   NULL,            ANSWERED_EARLY)                                  \
    T(ACCEPTED,        RECORD,   check_accepted,  RECORDED)                                        \
    T(RECORDED,        ANSWER,   NULL,            ANSWERED)                                        \
    T(ANSWERED_EARLY,  RECORD,   check_accepted,  ANSWERED)                                        \
    T(ANSWERED,        COMPLETE, check_completed, COMPLETED)

enum {
#define S(name) UPDATE_S_##name,
    UPDATE_STATES(S)
#undef S
    UPDATE_S_COUNT,
};
enum {
#define E(name) UPDATE_E_##name,
    UPDATE_EVENTS(E)
#undef E
    UPDATE_E_COUNT,
};
/* clang-format on */

static tl_rc check_id(const struct tl_machine *machine, struct tl_str recorded, const char *what,
                      struct tl_error *err)
{
    struct tl_str ours = tl_str(machine->text);
    if (!tl_str_eq(recorded, ours)) {
        return tl_error_set(err, TL_ENONDETERMINISM,
                            "history %s the update '%.*s', the code the update '%.*s'", what,
                            TL_STR_FMT(recorded), TL_STR_FMT(ours));
    }
    return TL_OK;
}

static tl_rc check_accepted(struct tl_run *run, struct tl_machine *machine,
                            const struct tl_fsm_input *input, struct tl_error *err)
{
    (void)run;
    return check_id(machine,
                    tl_str(input->event->workflow_execution_update_accepted_event_attributes
                               ->protocol_instance_id),
                    "accepts", err);
}

static tl_rc check_completed(struct tl_run *run, struct tl_machine *machine,
                             const struct tl_fsm_input *input, struct tl_error *err)
{
    const TpUpdate__Meta *meta =
        input->event->workflow_execution_update_completed_event_attributes->meta;
    (void)run;
    return check_id(machine, tl_str(meta ? meta->update_id : ""), "completes", err);
}

#define T(state, event, action, next) TL_FSM_EDGE(UPDATE, state, event, action, next)
static const struct tl_fsm_edge edges[UPDATE_S_COUNT * UPDATE_E_COUNT] = {UPDATE_TABLE(T)};
#undef T
static _Atomic uint8_t taken[UPDATE_S_COUNT * UPDATE_E_COUNT];
#define NAME(name) #name,
static const char *const states[] = {UPDATE_STATES(NAME)};
static const char *const events[] = {UPDATE_EVENTS(NAME)};
#undef NAME
const struct tl_fsm tl_update_fsm = {
    "update",       states,         events,
    UPDATE_S_COUNT, UPDATE_E_COUNT, 1u << UPDATE_S_COMPLETED | 1u << UPDATE_S_REJECTED,
    edges,          taken};

/* --- requests --------------------------------------------------------------------------------- */

/* Few are under way at a time: the server allows ten. */
static struct tl_machine *find(struct tl_run *run, struct tl_str id, uint32_t *slot)
{
    for (uint32_t i = 0; i < run->machine_cap; i++) {
        struct tl_machine *machine = &run->machines[i];
        if (machine->kind == TL_MACHINE_UPDATE && tl_str_eqc(id, machine->text)) {
            *slot = i;
            return machine;
        }
    }
    return NULL;
}

/* The request as it was delivered in this task: answers repeat it. */
static const struct tl_update_request *request_of(const struct tl_run *run, struct tl_str id)
{
    const struct tl_update_request *r = run->task->updates;
    while (r && !tl_str_eq(r->instance_id, id)) {
        r = r->next;
    }
    return r;
}

static tl_rc full(struct tl_error *err)
{
    return tl_error_set(err, TL_ELIMIT, "an update: the arena is full");
}

/* A request: it makes a machine and a job, which the language answers in this
 * activation. Errors: TL_EINVAL (no request, or under way already), TL_ELIMIT. */
static tl_rc deliver(struct tl_run *run, const struct tl_update_request *request,
                     bool run_validator, struct tl_error *err)
{
    const TpUpdate__Request *r = request->request;
    uint32_t slot;
    if (!r || !r->meta || !r->input) {
        return tl_error_set(err, TL_EINVAL, "the update '%.*s' has no request",
                            TL_STR_FMT(request->instance_id));
    }
    if (find(run, request->instance_id, &slot)) {
        return tl_error_set(err, TL_EINVAL, "the update '%.*s' is under way already",
                            TL_STR_FMT(request->instance_id));
    }
    struct tl_update_request *kept = TL_ARENA_NEW(run->task->arena, struct tl_update_request);
    struct tl_job *job = kept ? tl_core_add_job(run, TL_JOB_UPDATE, err) : NULL;
    if (!job) {
        return full(err);
    }
    *kept = *request;
    kept->next = run->task->updates;
    run->task->updates = kept;
    job->u.update.instance_id = request->instance_id;
    job->u.update.id = tl_str(r->meta->update_id);
    job->u.update.name = tl_str(r->input->name);
    job->u.update.input = r->input->args;
    job->u.update.header = r->input->header;
    job->u.update.meta = r->meta;
    job->u.update.run_validator = run_validator;
    struct tl_machine *machine = tl_core_add_machine(run, TL_MACHINE_UPDATE, 0, &slot);
    tl_machine_set_text(machine, request->instance_id, tl_str(r->meta->identity));
    return TL_OK;
}

tl_rc tl_update_take_messages(struct tl_run *run, const TpWs__PollWorkflowTaskQueueResponse *poll,
                              struct tl_error *err)
{
    for (size_t i = 0; i < poll->n_messages; i++) {
        const TpProtocol__Message *m = poll->messages[i];
        struct tl_update_request r = {.instance_id = tl_str(m->protocol_instance_id),
                                      .message_id = tl_str(m->id)};
        if (!m->body ||
            !tl_str_eqc(tl_str(m->body->type_url), TYPE_URL "temporal.api.update.v1.Request")) {
            return tl_error_set(err, TL_EINVAL, "this worker does not know the message '%s' (%s)",
                                m->id, m->body ? m->body->type_url : "no body");
        }
        if (m->sequencing_id_case == TP_PROTOCOL__MESSAGE__SEQUENCING_ID_EVENT_ID) {
            r.sequencing_event_id = m->event_id;
        }
        tl_rc rc = tl_pb_decode(&tp_update__request__descriptor, tl_pb_str(m->body->value),
                                run->task->arena, &r.request, err);
        if (rc == TL_OK) {
            rc = deliver(run, &r, true, err);
        }
        if (rc != TL_OK) {
            return rc;
        }
    }
    return TL_OK;
}

/* --- requests that a reset has put into the history ----------------------------------------------- */

static struct tl_admitted **admitted_at(struct tl_run *run, struct tl_str id)
{
    struct tl_admitted **at = &run->admitted;
    while (*at && !tl_str_eqc(id, (*at)->id)) {
        at = &(*at)->next;
    }
    return at;
}

static void free_admitted(struct tl_admitted *a)
{
    tl_mem_free(a->id);
    tl_mem_free(a->request);
    tl_mem_free(a);
}

tl_rc tl_update_admitted(struct tl_run *run, const TpHistory__HistoryEvent *event,
                         struct tl_error *err)
{
    const TpUpdate__Request *r =
        event->workflow_execution_update_admitted_event_attributes->request;
    struct tl_str bytes;
    if (!r || !r->meta) {
        return tl_core_bad_history(run, event, err, "it admits no update");
    }
    tl_rc rc = tl_pb_encode_arena(r, run->task->current, &bytes, err);
    struct tl_admitted **at = admitted_at(run, tl_str(r->meta->update_id));
    if (rc != TL_OK || *at) {
        return rc;
    }
    struct tl_admitted *a = *at = TL_NEW(struct tl_admitted);
    a->id = tl_mem_dup(tl_str(r->meta->update_id));
    a->request = tl_mem_dup(bytes);
    a->request_n = bytes.n;
    a->event_id = event->event_id;
    return TL_OK;
}

/* Takes an admitted request out: decoded into the task's arena. */
static tl_rc take_admitted(struct tl_run *run, struct tl_admitted **at, TpUpdate__Request **out,
                           struct tl_error *err)
{
    struct tl_admitted *a = *at;
    tl_rc rc = tl_pb_decode(&tp_update__request__descriptor, tl_str_n(a->request, a->request_n),
                            run->task->arena, out, err);
    *at = a->next;
    free_admitted(a);
    return rc;
}

tl_rc tl_update_deliver_admitted(struct tl_run *run, int64_t from_event_id, struct tl_error *err)
{
    struct tl_admitted **at = &run->admitted;
    while (*at) {
        struct tl_update_request r = {.instance_id =
                                          tl_arena_str(run->task->arena, tl_str((*at)->id)),
                                      .sequencing_event_id = (*at)->event_id};
        if ((*at)->event_id < from_event_id) { /* rejected long ago */
            at = &(*at)->next;
            continue;
        }
        char *message =
            tl_arena_printf(run->task->arena, "%.*s/request", TL_STR_FMT(r.instance_id));
        TpUpdate__Request *request = NULL;
        tl_rc rc = take_admitted(run, at, &request, err);
        if (rc != TL_OK || !message || !r.instance_id.p) {
            return rc != TL_OK ? rc : full(err);
        }
        r.message_id = tl_str(message);
        r.request = request;
        rc = deliver(run, &r, true, err);
        if (rc != TL_OK) {
            return rc;
        }
    }
    return TL_OK;
}

void tl_update_free_admitted(struct tl_run *run)
{
    while (run->admitted) {
        struct tl_admitted *a = run->admitted;
        run->admitted = a->next;
        free_admitted(a);
    }
}

tl_rc tl_update_replay(struct tl_run *run, const TpHistory__HistoryEvent *event,
                       struct tl_error *err)
{
    const TpHistory__WorkflowExecutionUpdateAcceptedEventAttributes *a =
        event->workflow_execution_update_accepted_event_attributes;
    struct tl_update_request r = {.instance_id = tl_str(a->protocol_instance_id),
                                  .message_id = tl_str(a->accepted_request_message_id),
                                  .sequencing_event_id = a->accepted_request_sequencing_event_id,
                                  .request = a->accepted_request};
    struct tl_admitted **at = admitted_at(run, r.instance_id);
    if (*at) {
        TpUpdate__Request *request = NULL;
        tl_rc rc = take_admitted(run, at, &request, err);
        if (rc != TL_OK) {
            return rc;
        }
        r.request = r.request ? r.request : request;
    }
    return deliver(run, &r, false, err);
}

/* --- answers ------------------------------------------------------------------------------------ */

static tl_rc add_message(struct tl_run *run, struct tl_str instance_id, char *id,
                         const ProtobufCMessage *body, struct tl_error *err)
{
    struct tl_task *task = run->task;
    TpProtocol__Message *m = TL_PB_NEW(task->arena, TpProtocol__Message, tp_protocol__message);
    Google__Protobuf__Any *any =
        TL_PB_NEW(task->arena, Google__Protobuf__Any, google__protobuf__any);
    struct tl_str value;
    if (!m || !any || !id || !tl_pb_push(task->arena, &task->messages, m)) {
        return full(err);
    }
    tl_rc rc = tl_pb_encode_arena(body, task->arena, &value, err);
    if (rc != TL_OK) {
        return rc;
    }
    any->type_url = tl_arena_printf(task->arena, TYPE_URL "%s", body->descriptor->name);
    any->value = tl_pb_bytes_view(value);
    m->id = id;
    m->protocol_instance_id = tl_pb_cstr(task->arena, instance_id);
    m->body = any;
    return any->type_url && m->protocol_instance_id ? TL_OK : full(err);
}

static tl_rc send_acceptance(struct tl_run *run, const struct tl_update_request *r, char *id,
                             struct tl_error *err)
{
    TpUpdate__Acceptance body = TP_UPDATE__ACCEPTANCE__INIT;
    body.accepted_request_message_id = tl_pb_cstr(run->task->arena, r->message_id);
    body.accepted_request_sequencing_event_id = r->sequencing_event_id;
    body.accepted_request = (TpUpdate__Request *)(uintptr_t)r->request;
    return body.accepted_request_message_id ? add_message(run, r->instance_id, id, &body.base, err)
                                            : full(err);
}

static tl_rc send_rejection(struct tl_run *run, const struct tl_update_request *r,
                            const TpFailure__Failure *failure, struct tl_error *err)
{
    TpUpdate__Rejection body = TP_UPDATE__REJECTION__INIT;
    char *id = tl_arena_printf(run->task->arena, "%.*s/reject", TL_STR_FMT(r->message_id));
    body.rejected_request_message_id = tl_pb_cstr(run->task->arena, r->message_id);
    body.rejected_request_sequencing_event_id = r->sequencing_event_id;
    body.rejected_request = (TpUpdate__Request *)(uintptr_t)r->request;
    body.failure = (TpFailure__Failure *)(uintptr_t)failure;
    return body.rejected_request_message_id ? add_message(run, r->instance_id, id, &body.base, err)
                                            : full(err);
}

static tl_rc send_response(struct tl_run *run, const struct tl_machine *machine,
                           const struct tl_cmd *cmd, char *id, struct tl_error *err)
{
    TpUpdate__Response body = TP_UPDATE__RESPONSE__INIT;
    TpUpdate__Meta meta = TP_UPDATE__META__INIT;
    TpUpdate__Outcome outcome = TP_UPDATE__OUTCOME__INIT;
    TpCommon__Payloads nothing = TP_COMMON__PAYLOADS__INIT;
    meta.update_id = machine->text;
    meta.identity = machine->text + strlen(machine->text) + 1;
    if (cmd->u.update.answer == TL_UPDATE_FAILED) {
        outcome.value_case = TP_UPDATE__OUTCOME__VALUE_FAILURE;
        outcome.failure = cmd->u.update.failure;
    } else {
        outcome.value_case = TP_UPDATE__OUTCOME__VALUE_SUCCESS;
        outcome.success = cmd->u.update.result ? cmd->u.update.result : &nothing;
    }
    body.meta = &meta;
    body.outcome = &outcome;
    return add_message(run, tl_str(machine->text), id, &body.base, err);
}

/* The command that gives an acceptance or a response its place. */
static tl_rc push_command(struct tl_run *run, uint32_t slot, const struct tl_cmd *cmd,
                          const char *id, bool answers, struct tl_error *err)
{
    TpCommand__ProtocolMessageCommandAttributes *attrs =
        TL_PB_NEW(run->task->current, TpCommand__ProtocolMessageCommandAttributes,
                  tp_command__protocol_message_command_attributes);
    if (!attrs) {
        return full(err);
    }
    attrs->message_id = (char *)(uintptr_t)id;
    tl_core_push_command(run, slot, COMMAND_TYPE_PROTOCOL_MESSAGE, &attrs->base, cmd);
    run->outgoing[run->outgoing_count - 1].answers = answers;
    return TL_OK;
}

static tl_rc misplaced(const struct tl_cmd *cmd, struct tl_error *err)
{
    return tl_error_set(err, TL_EINVAL,
                        "the language answered the update '%.*s', which is not "
                        "under way",
                        TL_STR_FMT(cmd->u.update.instance_id));
}

static tl_rc accept(struct tl_run *run, uint32_t slot, const struct tl_update_request *r,
                    const struct tl_cmd *cmd, struct tl_error *err)
{
    char *id = tl_arena_printf(run->task->arena, "%.*s/accept", TL_STR_FMT(r->message_id));
    if (!id) {
        return full(err);
    }
    tl_rc rc = run->replaying ? TL_OK : send_acceptance(run, r, id, err);
    return rc == TL_OK ? push_command(run, slot, cmd, id, false, err) : rc;
}

static tl_rc answer(struct tl_run *run, uint32_t slot, const struct tl_cmd *cmd,
                    struct tl_error *err)
{
    char *id = tl_arena_printf(run->task->arena, "%s/request/complete", run->machines[slot].text);
    if (!id) {
        return full(err);
    }
    tl_rc rc = run->replaying ? TL_OK : send_response(run, &run->machines[slot], cmd, id, err);
    return rc == TL_OK ? push_command(run, slot, cmd, id, true, err) : rc;
}

tl_rc tl_update_respond(struct tl_run *run, const struct tl_cmd *cmd, struct tl_error *err)
{
    static const uint8_t inputs[] = {
        [TL_UPDATE_ACCEPT] = UPDATE_E_ACCEPT,
        [TL_UPDATE_REJECT] = UPDATE_E_REJECT,
        [TL_UPDATE_COMPLETE] = UPDATE_E_ANSWER,
        [TL_UPDATE_FAILED] = UPDATE_E_ANSWER,
    };
    uint32_t slot;
    struct tl_machine *machine = find(run, cmd->u.update.instance_id, &slot);
    const struct tl_update_request *r = request_of(run, cmd->u.update.instance_id);
    bool first =
        cmd->u.update.answer == TL_UPDATE_ACCEPT || cmd->u.update.answer == TL_UPDATE_REJECT;
    if (!machine || (first && !r)) {
        return misplaced(cmd, err);
    }
    tl_rc rc = tl_fsm_apply(&tl_update_fsm, run, machine, inputs[cmd->u.update.answer],
                            &(struct tl_fsm_input){.cmd = cmd}, err);
    if (rc != TL_OK) {
        return rc;
    }
    switch (cmd->u.update.answer) {
    case TL_UPDATE_ACCEPT:
        return accept(run, slot, r, cmd, err);
    case TL_UPDATE_REJECT:
        rc = run->replaying ? TL_OK : send_rejection(run, r, cmd->u.update.failure, err);
        tl_core_drop_machine(run, slot);
        return rc;
    case TL_UPDATE_COMPLETE:
    case TL_UPDATE_FAILED:
        break;
    }
    return answer(run, slot, cmd, err);
}

tl_rc tl_update_event(struct tl_run *run, struct tl_machine *machine,
                      const TpHistory__HistoryEvent *event, struct tl_error *err)
{
    bool completed = (int)event->event_type == EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED;
    return tl_fsm_apply(&tl_update_fsm, run, machine,
                        completed ? UPDATE_E_COMPLETE : UPDATE_E_RECORD,
                        &(struct tl_fsm_input){.event = event}, err);
}
