/* Histories for tests. Ownership: the arena's. Thread: tests. */
#include "test/support/history_builder.h"

#include <tl_enums.h>

#include "base/assert.h"
#include "core/history.h"

void tl_hb_init(struct tl_hb *hb, struct tl_arena *arena)
{
    *hb = (struct tl_hb){
        .arena = arena,
        .first_id = 1,
        .time_ns = INT64_C(1700000000) * 1000000000,
        .sdk_name = "temporal-lua",
        .flags = {1, 2, 3},
        .flag_count = 3,
    };
}

static char *text(const struct tl_hb *hb, const char *s)
{
    return tl_pb_cstr(hb->arena, tl_str(s));
}

static TpCommon__Payloads *payloads(const struct tl_hb *hb, const char *data)
{
    TpCommon__Payloads *list = TL_PB_NEW(hb->arena, TpCommon__Payloads, tp_common__payloads);
    TpCommon__Payload *p = TL_PB_NEW(hb->arena, TpCommon__Payload, tp_common__payload);
    struct tl_pb_list items = {0};
    p->data = tl_pb_bytes(hb->arena, tl_str(data), NULL);
    TL_ASSERT(tl_pb_push(hb->arena, &items, p));
    list->payloads = items.items;
    list->n_payloads = items.n;
    return list;
}

TpHistory__HistoryEvent *tl_hb_add(struct tl_hb *hb, int event_type)
{
    TpHistory__HistoryEvent *e =
        TL_PB_NEW(hb->arena, TpHistory__HistoryEvent, tp_history__history_event);
    e->event_id = tl_hb_last_id(hb) + 1;
    hb->time_ns += 1000000000;
    e->event_time = tl_pb_timestamp(hb->arena, hb->time_ns);
    e->event_type = (TpEnums__EventType)event_type;
    unsigned member = tl_event_info(event_type)->attributes_case;
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field(&tp_history__history_event__descriptor, member);
    if (field) {
        e->attributes_case = (TpHistory__HistoryEvent__AttributesCase)member;
        e->workflow_execution_started_event_attributes = tl_pb_new(hb->arena, field->descriptor);
    }
    TL_ASSERT(tl_pb_push(hb->arena, &hb->events, e));
    return e;
}

int64_t tl_hb_last_id(const struct tl_hb *hb)
{
    return hb->first_id + (int64_t)hb->events.n - 1;
}

TpHistory__HistoryEvent *tl_hb_event(const struct tl_hb *hb, int64_t event_id)
{
    return ((TpHistory__HistoryEvent **)hb->events.items)[event_id - hb->first_id];
}

void tl_hb_start(struct tl_hb *hb, const char *workflow_type)
{
    TpHistory__WorkflowExecutionStartedEventAttributes *a =
        tl_hb_add(hb, EVENT_TYPE_WORKFLOW_EXECUTION_STARTED)
            ->workflow_execution_started_event_attributes;
    a->workflow_type = TL_PB_NEW(hb->arena, TpCommon__WorkflowType, tp_common__workflow_type);
    a->workflow_type->name = text(hb, workflow_type);
    a->original_execution_run_id = text(hb, "run-1");
    a->workflow_id = text(hb, "wf-1");
}

void tl_hb_task_scheduled(struct tl_hb *hb)
{
    hb->scheduled_id = tl_hb_add(hb, EVENT_TYPE_WORKFLOW_TASK_SCHEDULED)->event_id;
}

void tl_hb_task_started(struct tl_hb *hb)
{
    TpHistory__HistoryEvent *e = tl_hb_add(hb, EVENT_TYPE_WORKFLOW_TASK_STARTED);
    e->workflow_task_started_event_attributes->scheduled_event_id = hb->scheduled_id;
    e->workflow_task_started_event_attributes->history_size_bytes = 100 * e->event_id;
    hb->started_id = e->event_id;
}

void tl_hb_task_completed(struct tl_hb *hb)
{
    TpHistory__WorkflowTaskCompletedEventAttributes *a =
        tl_hb_add(hb, EVENT_TYPE_WORKFLOW_TASK_COMPLETED)->workflow_task_completed_event_attributes;
    a->scheduled_event_id = hb->scheduled_id;
    a->started_event_id = hb->started_id;
    hb->previous_started_id = hb->started_id;
    if (hb->sdk_name && !hb->metadata_written) {
        hb->metadata_written = true;
        a->sdk_metadata = TL_PB_NEW(hb->arena, TpSdk__WorkflowTaskCompletedMetadata,
                                    tp_sdk__workflow_task_completed_metadata);
        a->sdk_metadata->sdk_name = text(hb, hb->sdk_name);
        a->sdk_metadata->core_used_flags = tl_arena_copy(hb->arena, hb->flags, sizeof(hb->flags));
        a->sdk_metadata->n_core_used_flags = hb->flag_count;
    }
}

void tl_hb_task_failed(struct tl_hb *hb, int cause, const char *new_run_id)
{
    TpHistory__WorkflowTaskFailedEventAttributes *a =
        tl_hb_add(hb, EVENT_TYPE_WORKFLOW_TASK_FAILED)->workflow_task_failed_event_attributes;
    a->scheduled_event_id = hb->scheduled_id;
    a->started_event_id = hb->started_id;
    a->cause = (TpEnums__WorkflowTaskFailedCause)cause;
    a->new_run_id = text(hb, new_run_id);
}

void tl_hb_task_timed_out(struct tl_hb *hb)
{
    TpHistory__WorkflowTaskTimedOutEventAttributes *a =
        tl_hb_add(hb, EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT)->workflow_task_timed_out_event_attributes;
    a->scheduled_event_id = hb->scheduled_id;
    a->started_event_id = hb->started_id;
}

void tl_hb_task(struct tl_hb *hb)
{
    tl_hb_task_scheduled(hb);
    tl_hb_task_started(hb);
}

void tl_hb_full_task(struct tl_hb *hb)
{
    tl_hb_task(hb);
    tl_hb_task_completed(hb);
}

int64_t tl_hb_timer_started(struct tl_hb *hb, const char *id)
{
    TpHistory__HistoryEvent *e = tl_hb_add(hb, EVENT_TYPE_TIMER_STARTED);
    e->timer_started_event_attributes->timer_id = text(hb, id);
    return e->event_id;
}

void tl_hb_timer_fired(struct tl_hb *hb, int64_t started_event_id)
{
    TpHistory__TimerFiredEventAttributes *a =
        tl_hb_add(hb, EVENT_TYPE_TIMER_FIRED)->timer_fired_event_attributes;
    a->started_event_id = started_event_id;
    a->timer_id = tl_hb_event(hb, started_event_id)->timer_started_event_attributes->timer_id;
}

void tl_hb_timer_canceled(struct tl_hb *hb, int64_t started_event_id)
{
    TpHistory__TimerCanceledEventAttributes *a =
        tl_hb_add(hb, EVENT_TYPE_TIMER_CANCELED)->timer_canceled_event_attributes;
    a->started_event_id = started_event_id;
    a->timer_id = tl_hb_event(hb, started_event_id)->timer_started_event_attributes->timer_id;
}

int64_t tl_hb_activity_scheduled(struct tl_hb *hb, const char *id, const char *type)
{
    TpHistory__HistoryEvent *e = tl_hb_add(hb, EVENT_TYPE_ACTIVITY_TASK_SCHEDULED);
    TpHistory__ActivityTaskScheduledEventAttributes *a =
        e->activity_task_scheduled_event_attributes;
    a->activity_id = text(hb, id);
    a->activity_type = TL_PB_NEW(hb->arena, TpCommon__ActivityType, tp_common__activity_type);
    a->activity_type->name = text(hb, type);
    return e->event_id;
}

void tl_hb_activity_started(struct tl_hb *hb, int64_t scheduled_event_id)
{
    tl_hb_add(hb, EVENT_TYPE_ACTIVITY_TASK_STARTED)
        ->activity_task_started_event_attributes->scheduled_event_id = scheduled_event_id;
}

void tl_hb_activity_completed(struct tl_hb *hb, int64_t scheduled_event_id, const char *result)
{
    TpHistory__ActivityTaskCompletedEventAttributes *a =
        tl_hb_add(hb, EVENT_TYPE_ACTIVITY_TASK_COMPLETED)->activity_task_completed_event_attributes;
    a->scheduled_event_id = scheduled_event_id;
    a->result = payloads(hb, result);
}

void tl_hb_activity_failed(struct tl_hb *hb, int64_t scheduled_event_id, const char *message)
{
    TpHistory__ActivityTaskFailedEventAttributes *a =
        tl_hb_add(hb, EVENT_TYPE_ACTIVITY_TASK_FAILED)->activity_task_failed_event_attributes;
    a->scheduled_event_id = scheduled_event_id;
    a->failure = TL_PB_NEW(hb->arena, TpFailure__Failure, tp_failure__failure);
    a->failure->message = text(hb, message);
}

void tl_hb_activity_timed_out(struct tl_hb *hb, int64_t scheduled_event_id)
{
    TpHistory__ActivityTaskTimedOutEventAttributes *a =
        tl_hb_add(hb, EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT)->activity_task_timed_out_event_attributes;
    a->scheduled_event_id = scheduled_event_id;
    a->failure = TL_PB_NEW(hb->arena, TpFailure__Failure, tp_failure__failure);
    a->failure->message = text(hb, "too slow");
}

void tl_hb_activity_cancel_requested(struct tl_hb *hb, int64_t scheduled_event_id)
{
    tl_hb_add(hb, EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED)
        ->activity_task_cancel_requested_event_attributes->scheduled_event_id = scheduled_event_id;
}

void tl_hb_activity_canceled(struct tl_hb *hb, int64_t scheduled_event_id)
{
    tl_hb_add(hb, EVENT_TYPE_ACTIVITY_TASK_CANCELED)
        ->activity_task_canceled_event_attributes->scheduled_event_id = scheduled_event_id;
}

static TpCommon__WorkflowExecution *execution(const struct tl_hb *hb, const char *id,
                                              const char *run_id)
{
    TpCommon__WorkflowExecution *e =
        TL_PB_NEW(hb->arena, TpCommon__WorkflowExecution, tp_common__workflow_execution);
    e->workflow_id = text(hb, id);
    e->run_id = text(hb, run_id);
    return e;
}

int64_t tl_hb_child_initiated(struct tl_hb *hb, const char *id, const char *type)
{
    TpHistory__HistoryEvent *e = tl_hb_add(hb, EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED);
    TpHistory__StartChildWorkflowExecutionInitiatedEventAttributes *a =
        e->start_child_workflow_execution_initiated_event_attributes;
    a->workflow_id = text(hb, id);
    a->workflow_type = TL_PB_NEW(hb->arena, TpCommon__WorkflowType, tp_common__workflow_type);
    a->workflow_type->name = text(hb, type);
    return e->event_id;
}

int64_t tl_hb_signal_initiated(struct tl_hb *hb, const char *id, const char *signal_name)
{
    TpHistory__HistoryEvent *e =
        tl_hb_add(hb, EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED);
    TpHistory__SignalExternalWorkflowExecutionInitiatedEventAttributes *a =
        e->signal_external_workflow_execution_initiated_event_attributes;
    a->workflow_execution = execution(hb, id, "");
    a->signal_name = text(hb, signal_name);
    return e->event_id;
}

int64_t tl_hb_cancel_initiated(struct tl_hb *hb, const char *id)
{
    TpHistory__HistoryEvent *e =
        tl_hb_add(hb, EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED);
    e->request_cancel_external_workflow_execution_initiated_event_attributes->workflow_execution =
        execution(hb, id, "");
    return e->event_id;
}

int64_t tl_hb_nexus_scheduled(struct tl_hb *hb, const char *operation)
{
    TpHistory__HistoryEvent *e = tl_hb_add(hb, EVENT_TYPE_NEXUS_OPERATION_SCHEDULED);
    TpHistory__NexusOperationScheduledEventAttributes *a =
        e->nexus_operation_scheduled_event_attributes;
    a->endpoint = text(hb, "pay");
    a->service = text(hb, "payments");
    a->operation = text(hb, operation);
    return e->event_id;
}

/* How a Nexus operation ended, or its cancellation. */
static void nexus_with(struct tl_hb *hb, TpHistory__HistoryEvent *e, const char *with)
{
    TpFailure__Failure *f = TL_PB_NEW(hb->arena, TpFailure__Failure, tp_failure__failure);
    f->message = text(hb, with);
    switch ((int)e->event_type) {
    case EVENT_TYPE_NEXUS_OPERATION_COMPLETED:
        e->nexus_operation_completed_event_attributes->result = payloads(hb, with)->payloads[0];
        break;
    case EVENT_TYPE_NEXUS_OPERATION_FAILED:
        e->nexus_operation_failed_event_attributes->failure = f;
        break;
    case EVENT_TYPE_NEXUS_OPERATION_CANCELED:
        e->nexus_operation_canceled_event_attributes->failure = f;
        break;
    case EVENT_TYPE_NEXUS_OPERATION_TIMED_OUT:
        e->nexus_operation_timed_out_event_attributes->failure = f;
        break;
    case EVENT_TYPE_NEXUS_OPERATION_CANCEL_REQUEST_FAILED:
        e->nexus_operation_cancel_request_failed_event_attributes->failure = f;
        break;
    default:
        break;
    }
}

void tl_hb_follow(struct tl_hb *hb, int event_type, int64_t initiated_event_id, const char *with)
{
    TpHistory__HistoryEvent *e = tl_hb_add(hb, event_type);
    /* All members of the union are pointers to attributes messages. */
    char *attrs = (char *)e->workflow_execution_started_event_attributes;
    *(int64_t *)(void *)(attrs + tl_event_info(event_type)->link_offset) = initiated_event_id;
    switch (event_type) {
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED:
        e->child_workflow_execution_started_event_attributes->workflow_execution =
            execution(hb, "", "child-run");
        break;
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED:
        e->child_workflow_execution_completed_event_attributes->result =
            with ? payloads(hb, with) : NULL;
        break;
    case EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED: {
        TpFailure__Failure *f = TL_PB_NEW(hb->arena, TpFailure__Failure, tp_failure__failure);
        f->message = text(hb, with ? with : "");
        e->child_workflow_execution_failed_event_attributes->failure = with ? f : NULL;
        break;
    }
    case EVENT_TYPE_NEXUS_OPERATION_STARTED:
        e->nexus_operation_started_event_attributes->operation_token = text(hb, "token");
        break;
    default:
        if (with) {
            nexus_with(hb, e, with);
        }
        break;
    }
}

void tl_hb_signaled(struct tl_hb *hb, const char *name)
{
    tl_hb_add(hb, EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)
        ->workflow_execution_signaled_event_attributes->signal_name = text(hb, name);
}

void tl_hb_cancel_requested(struct tl_hb *hb, const char *cause)
{
    tl_hb_add(hb, EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED)
        ->workflow_execution_cancel_requested_event_attributes->cause = text(hb, cause);
}

static void add_detail(const struct tl_hb *hb, TpHistory__MarkerRecordedEventAttributes *a,
                       const char *key, struct tl_str data)
{
    TpHistory__MarkerRecordedEventAttributes__DetailsEntry *entry =
        TL_PB_NEW(hb->arena, TpHistory__MarkerRecordedEventAttributes__DetailsEntry,
                  tp_history__marker_recorded_event_attributes__details_entry);
    entry->key = text(hb, key);
    entry->value = payloads(hb, "");
    entry->value->payloads[0]->data = tl_pb_bytes(hb->arena, data, NULL);
    struct tl_pb_list list = {a->details, a->n_details, a->n_details};
    TL_ASSERT(tl_pb_push(hb->arena, &list, entry));
    a->details = list.items;
    a->n_details = list.n;
}

static TpHistory__MarkerRecordedEventAttributes *add_marker(struct tl_hb *hb, const char *name)
{
    TpHistory__MarkerRecordedEventAttributes *a =
        tl_hb_add(hb, EVENT_TYPE_MARKER_RECORDED)->marker_recorded_event_attributes;
    a->marker_name = text(hb, name);
    return a;
}

void tl_hb_patch(struct tl_hb *hb, const char *id, bool deprecated)
{
    add_detail(hb, add_marker(hb, "core_patch"), "patch-data",
               tl_str(tl_arena_printf(hb->arena, "{\"id\":\"%s\",\"deprecated\":%s}", id,
                                      deprecated ? "true" : "false")));
}

void tl_hb_patch_old_form(struct tl_hb *hb, const char *id, bool deprecated)
{
    TpHistory__MarkerRecordedEventAttributes *a = add_marker(hb, "core_patch");
    add_detail(hb, a, "patch_id", tl_str(id));
    add_detail(hb, a, "deprecated", tl_str_n(deprecated ? "\1" : "\0", 1));
}

void tl_hb_patch_upsert(struct tl_hb *hb)
{
    TpHistory__UpsertWorkflowSearchAttributesEventAttributes *a =
        tl_hb_add(hb, EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES)
            ->upsert_workflow_search_attributes_event_attributes;
    TpCommon__SearchAttributes__IndexedFieldsEntry *entry =
        TL_PB_NEW(hb->arena, TpCommon__SearchAttributes__IndexedFieldsEntry,
                  tp_common__search_attributes__indexed_fields_entry);
    entry->key = text(hb, "TemporalChangeVersion");
    a->search_attributes =
        TL_PB_NEW(hb->arena, TpCommon__SearchAttributes, tp_common__search_attributes);
    struct tl_pb_list list = {0};
    TL_ASSERT(tl_pb_push(hb->arena, &list, entry));
    a->search_attributes->indexed_fields = list.items;
    a->search_attributes->n_indexed_fields = list.n;
}

void tl_hb_marker(struct tl_hb *hb, const char *name)
{
    add_marker(hb, name);
}

static void local_end(struct tl_hb *hb, TpHistory__MarkerRecordedEventAttributes *a,
                      const char *result)
{
    if (result && *result != '!' && *result != '~') {
        add_detail(hb, a, "result", tl_str(result));
        return;
    }
    a->failure = TL_PB_NEW(hb->arena, TpFailure__Failure, tp_failure__failure);
    a->failure->message = text(hb, result && *result == '!' ? "stopped" : "broken");
    if (result && *result == '!') {
        a->failure->failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_CANCELED_FAILURE_INFO;
        a->failure->canceled_failure_info =
            TL_PB_NEW(hb->arena, TpFailure__CanceledFailureInfo, tp_failure__canceled_failure_info);
    }
}

void tl_hb_local(struct tl_hb *hb, unsigned seq, const char *type, int index, const char *result)
{
    TpHistory__MarkerRecordedEventAttributes *a = add_marker(hb, "core_local_activity");
    long long seconds = hb->time_ns / 1000000000 + 100;
    const char *backoff = result && *result == '~' ? "{\"seconds\":0,\"nanos\":50000000}" : "null";
    const char *group =
        index < 0 ? "" : tl_arena_printf(hb->arena, ",\"activation_index\":%d", index);
    add_detail(hb, a, "data",
               tl_str(tl_arena_printf(
                   hb->arena,
                   "{\"seq\":%u,\"attempt\":1,\"activity_id\":\"%u\",\"activity_type\":\"%s\","
                   "\"complete_time\":{\"seconds\":%lld,\"nanos\":5},\"backoff\":%s,"
                   "\"original_schedule_time\":{\"seconds\":7,\"nanos\":8}%s}",
                   seq, seq, type, seconds, backoff, group)));
    local_end(hb, a, result);
}

void tl_hb_local_go(struct tl_hb *hb, const char *id, const char *type, const char *result)
{
    TpHistory__MarkerRecordedEventAttributes *a = add_marker(hb, "LocalActivity");
    add_detail(hb, a, "data",
               tl_str(tl_arena_printf(hb->arena,
                                      "{\"ActivityID\":\"%s\",\"ActivityType\":\"%s\","
                                      "\"ReplayTime\":\"2040-01-02T03:04:05.5Z\",\"Attempt\":1,"
                                      "\"Backoff\":0}",
                                      id, type)));
    local_end(hb, a, result);
}

static TpHistory__History *history_from(const struct tl_hb *hb, int64_t first_event_id)
{
    TpHistory__History *h = TL_PB_NEW(hb->arena, TpHistory__History, tp_history__history);
    int64_t last = tl_hb_last_id(hb);
    if (first_event_id >= hb->first_id && first_event_id <= last) {
        /* A copy: later events of the builder are not this history's. */
        h->n_events = (size_t)(last - first_event_id + 1);
        h->events = tl_arena_copy(hb->arena,
                                  (TpHistory__HistoryEvent **)hb->events.items +
                                      (first_event_id - hb->first_id),
                                  h->n_events * sizeof(*h->events));
    }
    return h;
}

TpHistory__History *tl_hb_history(const struct tl_hb *hb)
{
    return history_from(hb, hb->first_id);
}

static TpQuery__WorkflowQuery *query(const struct tl_hb *hb, const char *query_type)
{
    TpQuery__WorkflowQuery *q =
        TL_PB_NEW(hb->arena, TpQuery__WorkflowQuery, tp_query__workflow_query);
    q->query_type = text(hb, query_type);
    return q;
}

TpWs__PollWorkflowTaskQueueResponse *tl_hb_poll(const struct tl_hb *hb, int64_t first_event_id)
{
    TpWs__PollWorkflowTaskQueueResponse *p = TL_PB_NEW(
        hb->arena, TpWs__PollWorkflowTaskQueueResponse, tp_ws__poll_workflow_task_queue_response);
    p->history = history_from(hb, first_event_id);
    p->previous_started_event_id = hb->previous_started_id;
    p->started_event_id = hb->started_id;
    p->attempt = 1;
    return p;
}

TpWs__PollWorkflowTaskQueueResponse *tl_hb_query(const struct tl_hb *hb, int64_t first_event_id,
                                                 const char *query_type)
{
    TpWs__PollWorkflowTaskQueueResponse *p = tl_hb_poll(hb, first_event_id);
    p->started_event_id = 0;
    p->query = query(hb, query_type);
    return p;
}

void tl_hb_poll_add_query(const struct tl_hb *hb, TpWs__PollWorkflowTaskQueueResponse *poll,
                          const char *id, const char *query_type)
{
    TpWs__PollWorkflowTaskQueueResponse__QueriesEntry *entry =
        TL_PB_NEW(hb->arena, TpWs__PollWorkflowTaskQueueResponse__QueriesEntry,
                  tp_ws__poll_workflow_task_queue_response__queries_entry);
    entry->key = text(hb, id);
    entry->value = query(hb, query_type);
    struct tl_pb_list list = {poll->queries, poll->n_queries, poll->n_queries};
    TL_ASSERT(tl_pb_push(hb->arena, &list, entry));
    poll->queries = list.items;
    poll->n_queries = list.n;
}

/* --- updates ---------------------------------------------------------------------------------- */

static TpUpdate__Request *update_request(const struct tl_hb *hb, const char *id, const char *name)
{
    TpUpdate__Request *r = TL_PB_NEW(hb->arena, TpUpdate__Request, tp_update__request);
    r->meta = TL_PB_NEW(hb->arena, TpUpdate__Meta, tp_update__meta);
    r->meta->update_id = text(hb, id);
    r->meta->identity = text(hb, "client");
    r->input = TL_PB_NEW(hb->arena, TpUpdate__Input, tp_update__input);
    r->input->name = text(hb, name);
    return r;
}

int64_t tl_hb_update_accepted(struct tl_hb *hb, const char *id, const char *name,
                              int64_t sequencing_event_id)
{
    TpHistory__HistoryEvent *e = tl_hb_add(hb, EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED);
    TpHistory__WorkflowExecutionUpdateAcceptedEventAttributes *a =
        e->workflow_execution_update_accepted_event_attributes;
    a->protocol_instance_id = text(hb, id);
    a->accepted_request_message_id = tl_arena_printf(hb->arena, "%s/request", id);
    a->accepted_request_sequencing_event_id = sequencing_event_id;
    if (name) {
        a->accepted_request = update_request(hb, id, name);
    }
    return e->event_id;
}

void tl_hb_update_completed(struct tl_hb *hb, const char *id, int64_t accepted_event_id)
{
    TpHistory__HistoryEvent *e = tl_hb_add(hb, EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED);
    TpHistory__WorkflowExecutionUpdateCompletedEventAttributes *a =
        e->workflow_execution_update_completed_event_attributes;
    a->meta = update_request(hb, id, "")->meta;
    a->accepted_event_id = accepted_event_id;
    a->outcome = TL_PB_NEW(hb->arena, TpUpdate__Outcome, tp_update__outcome);
}

void tl_hb_update_admitted(struct tl_hb *hb, const char *id, const char *name)
{
    TpHistory__HistoryEvent *e = tl_hb_add(hb, EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ADMITTED);
    e->workflow_execution_update_admitted_event_attributes->request = update_request(hb, id, name);
}

void tl_hb_poll_add_update(const struct tl_hb *hb, TpWs__PollWorkflowTaskQueueResponse *poll,
                           const char *id, const char *name)
{
    TpProtocol__Message *m = TL_PB_NEW(hb->arena, TpProtocol__Message, tp_protocol__message);
    struct tl_str bytes;
    TL_ASSERT(tl_pb_encode_arena(update_request(hb, id, name), hb->arena, &bytes, NULL) == TL_OK);
    m->id = tl_arena_printf(hb->arena, "%s/request", id);
    m->protocol_instance_id = text(hb, id);
    m->sequencing_id_case = TP_PROTOCOL__MESSAGE__SEQUENCING_ID_EVENT_ID;
    m->event_id = poll->started_event_id - 1;
    m->body = TL_PB_NEW(hb->arena, Google__Protobuf__Any, google__protobuf__any);
    m->body->type_url = text(hb, "type.googleapis.com/temporal.api.update.v1.Request");
    m->body->value = tl_pb_bytes_view(bytes);
    struct tl_pb_list list = {poll->messages, poll->n_messages, poll->n_messages};
    TL_ASSERT(tl_pb_push(hb->arena, &list, m));
    poll->messages = list.items;
    poll->n_messages = list.n;
}
