/* See rerun.h. */
#include "core/rerun.h"

#include <tl_enums.h>

#include "core/replay.h"
#include "core/run_int.h"

#define UPDATE_REQUEST_URL "type.googleapis.com/temporal.api.update.v1.Request"

struct rerun {
    const TpHistory__History *history;
    const struct tl_rerun_config *config;
    struct tl_arena *arena;
    struct tl_rerun_result *out;
    struct tl_run *run; /* NULL: not cached */
    struct tl_lang lang;
    size_t from;         /* events before this index were handed out to the cached run */
    int64_t previous_id; /* started event of the last task that was completed */
};

static const TpHistory__HistoryEvent *event_at(const struct rerun *r, size_t index)
{
    return index < r->history->n_events && tl_event_valid(r->history->events[index])
               ? r->history->events[index]
               : NULL;
}

/* The completion of the task that was started by the event at `started`, 0 when it did not come to one. */
static size_t completion_of(const struct rerun *r, size_t started)
{
    const TpHistory__HistoryEvent *e = event_at(r, started + 1);
    return e && (int)e->event_type == EVENT_TYPE_WORKFLOW_TASK_COMPLETED ? started + 1 : 0;
}

/* The events that came of the task's commands are those behind its completion. */
static const TpHistory__HistoryEvent *command_event(const struct rerun *r, size_t index)
{
    const TpHistory__HistoryEvent *e = event_at(r, index);
    return e && tl_event_info((int)e->event_type)->event_class == TL_EVENT_COMMAND ? e : NULL;
}

/* --- making the poll -------------------------------------------------------------------------- */

/* The request of an update that the task accepted. One that came by an admitted event is in the history. */
static tl_rc add_message(struct rerun *r, struct tl_pb_list *messages,
                         const TpHistory__WorkflowExecutionUpdateAcceptedEventAttributes *a,
                         struct tl_error *err)
{
    struct tl_str request;
    TpProtocol__Message *m = TL_PB_NEW(r->arena, TpProtocol__Message, tp_protocol__message);
    Google__Protobuf__Any *body = TL_PB_NEW(r->arena, Google__Protobuf__Any, google__protobuf__any);
    tl_rc rc = tl_pb_encode_arena(a->accepted_request, r->arena, &request, err);
    if (rc != TL_OK) {
        return rc;
    }
    if (!m || !body || !tl_pb_push(r->arena, messages, m)) {
        return tl_error_set(err, TL_ELIMIT, "an update: the arena is full");
    }
    body->type_url = (char *)(uintptr_t)UPDATE_REQUEST_URL;
    body->value = tl_pb_bytes_view(request);
    m->id = a->accepted_request_message_id;
    m->protocol_instance_id = a->protocol_instance_id;
    m->body = body;
    m->sequencing_id_case = TP_PROTOCOL__MESSAGE__SEQUENCING_ID_EVENT_ID;
    m->event_id = a->accepted_request_sequencing_event_id;
    return TL_OK;
}

static tl_rc add_messages(struct rerun *r, size_t completed, struct tl_pb_list *messages,
                          struct tl_error *err)
{
    const TpHistory__HistoryEvent *e;
    tl_rc rc = TL_OK;
    for (size_t i = completed + 1; rc == TL_OK && (e = command_event(r, i)); i++) {
        if ((int)e->event_type == EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED &&
            e->workflow_execution_update_accepted_event_attributes->accepted_request) {
            rc = add_message(r, messages, e->workflow_execution_update_accepted_event_attributes,
                             err);
        }
    }
    return rc;
}

/* Events up to `end`: all of them, or those that the cached run has not seen. */
static TpWs__PollWorkflowTaskQueueResponse *make_poll(struct rerun *r, size_t end)
{
    TpWs__PollWorkflowTaskQueueResponse *poll = TL_PB_NEW(
        r->arena, TpWs__PollWorkflowTaskQueueResponse, tp_ws__poll_workflow_task_queue_response);
    TpHistory__History *part = TL_PB_NEW(r->arena, TpHistory__History, tp_history__history);
    if (poll && part) {
        part->events = r->history->events + r->from;
        part->n_events = end - r->from;
        poll->history = part;
        poll->previous_started_event_id = r->previous_id;
    }
    return part ? poll : NULL;
}

/* --- answering it ----------------------------------------------------------------------------- */

static tl_rc end_local(struct rerun *r, const TpHistory__HistoryEvent *event,
                       struct tl_wft_result *result, struct tl_error *err)
{
    struct tl_local_marker marker;
    if (!tl_local_marker_is(event) || !tl_local_marker_read(event, r->arena, &marker)) {
        return TL_OK;
    }
    const struct tl_local *local = tl_local_find(r->run, marker.seq);
    if (!local) {
        return TL_OK;
    }
    const struct tl_local_end end = {
        .seq = marker.seq,
        .attempt = marker.attempt,
        .status = marker.status,
        .result = marker.result,
        .failure = marker.failure,
        .runtime_ns = marker.complete_ns - local->scheduled_ns,
        .original_schedule_ns = marker.original_ns,
        .backoff_ns = marker.backoff_ns,
    };
    return tl_run_local_ended(r->run, &end, result, err);
}

/* Local activities end as their markers say; what the task did not see the end of is left to the next. */
static tl_rc end_locals(struct rerun *r, size_t completed, struct tl_wft_result *result,
                        struct tl_error *err)
{
    const TpHistory__HistoryEvent *e;
    tl_rc rc = TL_OK;
    for (size_t i = completed + 1; rc == TL_OK && result->held && (e = command_event(r, i)); i++) {
        rc = end_local(r, e, result, err);
    }
    return rc == TL_OK && result->held ? tl_run_heartbeat(r->run, result, err) : rc;
}

static void forget(struct rerun *r)
{
    tl_run_free(r->run);
    r->run = NULL;
    r->from = 0;
}

static tl_rc make_run(struct rerun *r, struct tl_error *err)
{
    const TpHistory__WorkflowExecutionStartedEventAttributes *a =
        r->history->events[0]->workflow_execution_started_event_attributes;
    const struct tl_rerun_config *c = r->config;
    struct tl_run_config config = {
        .run_id = c->run_id.n ? c->run_id : tl_str(a->original_execution_run_id),
        .workflow_id = c->workflow_id.n ? c->workflow_id : tl_str(a->workflow_id),
        .workflow_type = tl_replay_workflow_type(r->history),
        .sdk_name = TL_STR_LIT("temporal-lua"),
        .sdk_metadata = true,
    };
    tl_rc rc = c->open(c->ud, &r->lang, err);
    if (rc == TL_OK) {
        r->run = tl_run_new(&config);
        r->out->fresh_count++;
    }
    return rc;
}

/* A query between tasks leaves no trace; what it answers is not looked at. */
static tl_rc ask(struct rerun *r, const char *name, struct tl_error *err)
{
    struct tl_wft_result result;
    TpWs__PollWorkflowTaskQueueResponse *poll = make_poll(r, r->from);
    TpQuery__WorkflowQuery *query =
        TL_PB_NEW(r->arena, TpQuery__WorkflowQuery, tp_query__workflow_query);
    if (!poll || !query) {
        return tl_error_set(err, TL_ELIMIT, "a query: the arena is full");
    }
    query->query_type = (char *)(uintptr_t)name;
    poll->query = query;
    poll->started_event_id = r->previous_id;
    return tl_run_handle_task(r->run, &(struct tl_wft){.poll = poll}, &r->lang, r->arena, &result,
                              err);
}

static tl_rc tell(struct rerun *r, int64_t started_event_id, const struct tl_wft_result *result,
                  struct tl_error *err)
{
    struct tl_str bytes;
    TpWs__RespondWorkflowTaskCompletedRequest answer =
        TP_WS__RESPOND_WORKFLOW_TASK_COMPLETED_REQUEST__INIT;
    answer.commands = result->commands;
    answer.n_commands = result->command_count;
    answer.messages = result->messages;
    answer.n_messages = result->message_count;
    answer.force_create_new_workflow_task = result->force_new_task;
    tl_rc rc = tl_pb_encode_arena(&answer, r->arena, &bytes, err);
    return rc == TL_OK ? r->config->answered(r->config->ud, started_event_id, bytes, err) : rc;
}

static tl_rc run_task(struct rerun *r, size_t started, size_t completed, struct tl_error *err)
{
    struct tl_wft_result result = {0};
    struct tl_pb_list messages = {0};
    const struct tl_rerun_config *c = r->config;
    size_t number = ++r->out->task_count;
    tl_rc rc = TL_OK;
    tl_arena_reset(r->arena);
    if (r->run && c->forgets(c->ud, number)) {
        forget(r);
    }
    const char *query = r->run && c->query ? c->query(c->ud, number) : NULL;
    if (query) {
        rc = ask(r, query, err);
    }
    if (rc == TL_OK && !r->run) {
        rc = make_run(r, err);
    }
    TpWs__PollWorkflowTaskQueueResponse *poll = make_poll(r, started + 1);
    if (rc == TL_OK && !poll) {
        rc = tl_error_set(err, TL_ELIMIT, "a task: the arena is full");
    }
    if (rc == TL_OK) {
        rc = add_messages(r, completed, &messages, err);
    }
    if (rc != TL_OK) {
        return rc;
    }
    poll->started_event_id = r->history->events[started]->event_id;
    poll->messages = messages.items;
    poll->n_messages = messages.n;
    rc = tl_run_handle_task(r->run, &(struct tl_wft){.poll = poll}, &r->lang, r->arena, &result,
                            err);
    if (rc == TL_OK) {
        rc = end_locals(r, completed, &result, err);
    }
    r->out->report = result.report;
    return rc == TL_OK ? tell(r, poll->started_event_id, &result, err) : rc;
}

tl_rc tl_rerun(const TpHistory__History *history, const struct tl_rerun_config *config,
               struct tl_arena *arena, struct tl_rerun_result *out, struct tl_error *err)
{
    struct tl_error own = {0};
    struct rerun r = {.history = history, .config = config, .arena = arena, .out = out};
    tl_rc rc = TL_OK;
    err = err ? err : &own;
    *out = (struct tl_rerun_result){0};
    if (!tl_replay_workflow_type(history).n) {
        return tl_error_set(err, TL_EINVAL,
                            "the history does not begin with WorkflowExecutionStarted");
    }
    for (size_t i = 0; rc == TL_OK && i < history->n_events; i++) {
        size_t completed = (int)history->events[i]->event_type == EVENT_TYPE_WORKFLOW_TASK_STARTED
                               ? completion_of(&r, i)
                               : 0;
        if (completed) {
            rc = run_task(&r, i, completed, err);
            r.from = i + 1;
            r.previous_id = history->events[i]->event_id;
        }
    }
    tl_run_free(r.run);
    return rc;
}
