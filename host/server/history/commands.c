/* Commands of a workflow task completion: the table, the check of all before any is carried out, and
 * the small commands. The larger ones are in commands_*.c.
 * Thread: the run's owner. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "server/history/commands.h"
#include "server/history/rs.h"

/* --- refusals -------------------------------------------------------------------------------- */

void tl_refuse(struct tl_wft_done *d, int cause, const char *fmt, ...)
{
    d->no.cause = cause;
    d->no.has_message = fmt != NULL;
    if (fmt) {
        va_list args;
        va_start(args, fmt);
        vsnprintf(d->no.message, sizeof(d->no.message), fmt, args);
        va_end(args);
    }
}

void tl_refuse_terminate(struct tl_wft_done *d, int cause, const char *message)
{
    tl_refuse(d, cause, "%s", message);
    d->no.terminate = true;
}

void tl_cause_name(int cause, char *out, size_t cap)
{
    const char *name = tl_pb_enum_name(&tp_enums__workflow_task_failed_cause__descriptor, cause);
    const char *prefix = "WORKFLOW_TASK_FAILED_CAUSE_";
    size_t n = 0;
    bool upper = true;
    name = name ? name + strlen(prefix) : "UNSPECIFIED";
    for (; *name && n + 1 < cap; name++) {
        if (*name == '_') {
            upper = true;
            continue;
        }
        out[n++] = upper || *name < 'A' || *name > 'Z' ? *name : (char)(*name - 'A' + 'a');
        upper = false;
    }
    out[n] = 0;
}

void tl_command_decorate(struct tl_ev *ev, const TpCommand__Command *c)
{
    ev->e.user_metadata = c->user_metadata;
    ev->e.event_group_markers = c->event_group_markers;
    ev->e.n_event_group_markers = c->n_event_group_markers;
}

/* --- marker ---------------------------------------------------------------------------------- */

static int64_t map_bytes(const TpCommand__RecordMarkerCommandAttributes *a)
{
    int64_t bytes = 0;
    for (size_t i = 0; i < a->n_details; i++) {
        bytes += (int64_t)tl_str(a->details[i]->key).n + tl_message_bytes(a->details[i]->value);
    }
    return bytes;
}

static void check_marker(struct tl_wft_done *d, const TpCommand__Command *c)
{
    const int cause = WORKFLOW_TASK_FAILED_CAUSE_BAD_RECORD_MARKER_ATTRIBUTES;
    const TpCommand__RecordMarkerCommandAttributes *a = c->record_marker_command_attributes;
    const struct tl_history_limits *limits = &d->tx->env->limits;
    if (!tl_has_text(a->marker_name)) {
        tl_refuse(d, cause, "MarkerName is not set on RecordMarkerCommand.");
    } else if ((int64_t)strlen(a->marker_name) > limits->id_bytes) {
        tl_refuse(d, cause,
                  "MarkerName on RecordMarkerCommand exceeds length limit. Length=%zu Limit=%lld",
                  strlen(a->marker_name), (long long)limits->id_bytes);
    } else if (map_bytes(a) > limits->blob_bytes) {
        tl_refuse_terminate(d, cause, "RecordMarkerCommandAttributes.Details exceeds size limit.");
    }
    d->next_id++;
}

static void run_marker(struct tl_wft_done *d, const TpCommand__Command *c)
{
    const TpCommand__RecordMarkerCommandAttributes *in = c->record_marker_command_attributes;
    TpHistory__MarkerRecordedEventAttributes a = TP_HISTORY__MARKER_RECORDED_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    struct tl_pb_list details = {0};
    for (size_t i = 0; i < in->n_details; i++) {
        TpHistory__MarkerRecordedEventAttributes__DetailsEntry *entry =
            TL_PB_NEW(d->tx->arena, TpHistory__MarkerRecordedEventAttributes__DetailsEntry,
                      tp_history__marker_recorded_event_attributes__details_entry);
        if (!entry || !tl_pb_push(d->tx->arena, &details, entry)) {
            tl_tx_break(d->tx, "a marker");
            return;
        }
        entry->key = in->details[i]->key;
        entry->value = in->details[i]->value;
    }
    tl_ev_init(&ev, d->tx->now_ns);
    a.marker_name = in->marker_name;
    a.n_details = details.n;
    a.details = details.items;
    a.workflow_task_completed_event_id = d->completed_id;
    a.header = in->header;
    a.failure = in->failure;
    TL_EV_SET(&ev, MARKER_RECORDED, marker_recorded, &a);
    tl_command_decorate(&ev, c);
    tl_tx_add(d->tx, &ev);
}

/* --- search attributes and memo -------------------------------------------------------------- */

bool tl_command_check_attributes(struct tl_wft_done *d, uint64_t namespace_number,
                                 const TpCommon__SearchAttributes *sa,
                                 const TpCommon__SearchAttributes *merged)
{
    const int cause = WORKFLOW_TASK_FAILED_CAUSE_BAD_SEARCH_ATTRIBUTES;
    const struct tl_history_env *env = d->tx->env;
    struct tl_error err;
    if (!sa || !env->check_attributes) {
        return true;
    }
    tl_rc rc = env->check_attributes(env->ud, namespace_number, sa, merged, d->tx->arena, &err);
    if (rc == TL_EINVAL) {
        tl_refuse(d, cause, "%s", err.message);
    } else if (rc != TL_OK) {
        tl_refuse_terminate(d, cause, err.message);
    }
    return rc == TL_OK;
}

/* The run's attributes as they will be after the upsert. NULL: the arena is full. */
static const TpCommon__SearchAttributes *after_upsert(struct tl_wft_done *d,
                                                      const TpCommon__SearchAttributes *s)
{
    const TpCommon__SearchAttributes *now = tl_blob_decode(
        &d->tx->rs->search_attributes, &tp_common__search_attributes__descriptor, d->tx->arena);
    return tl_search_attributes_merge(now, s, d->tx->arena);
}

static void check_search_attributes(struct tl_wft_done *d, const TpCommand__Command *c)
{
    const int cause = WORKFLOW_TASK_FAILED_CAUSE_BAD_SEARCH_ATTRIBUTES;
    const TpCommon__SearchAttributes *s =
        c->upsert_workflow_search_attributes_command_attributes->search_attributes;
    if (!s) {
        tl_refuse(d, cause,
                  "SearchAttributes is not set on UpsertWorkflowSearchAttributesCommand.");
    } else if (s->n_indexed_fields == 0) {
        tl_refuse(d, cause, "IndexedFields is not set on UpsertWorkflowSearchAttributesCommand.");
    } else if (tl_message_bytes(s) > d->tx->env->limits.memo_bytes) {
        tl_refuse_terminate(d, cause, "Search attributes size exceeds limit.");
    } else {
        tl_command_check_attributes(d, d->tx->rs->namespace_number, s, after_upsert(d, s));
    }
    d->next_id++;
}

static void run_search_attributes(struct tl_wft_done *d, const TpCommand__Command *c)
{
    TpHistory__UpsertWorkflowSearchAttributesEventAttributes a =
        TP_HISTORY__UPSERT_WORKFLOW_SEARCH_ATTRIBUTES_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    tl_ev_init(&ev, d->tx->now_ns);
    a.workflow_task_completed_event_id = d->completed_id;
    a.search_attributes =
        c->upsert_workflow_search_attributes_command_attributes->search_attributes;
    TL_EV_SET(&ev, UPSERT_WORKFLOW_SEARCH_ATTRIBUTES, upsert_workflow_search_attributes, &a);
    tl_command_decorate(&ev, c);
    tl_tx_add(d->tx, &ev);
}

static void check_properties(struct tl_wft_done *d, const TpCommand__Command *c)
{
    const int cause = WORKFLOW_TASK_FAILED_CAUSE_BAD_MODIFY_WORKFLOW_PROPERTIES_ATTRIBUTES;
    const TpCommon__Memo *m = c->modify_workflow_properties_command_attributes->upserted_memo;
    if (!m) {
        tl_refuse(d, cause, "UpsertedMemo is not set on ModifyWorkflowPropertiesCommand.");
    } else if (m->n_fields == 0) {
        tl_refuse(d, cause, "UpsertedMemo.Fields is not set on ModifyWorkflowPropertiesCommand.");
    } else if (tl_message_bytes(m) > d->tx->env->limits.memo_bytes) {
        tl_refuse_terminate(d, cause,
                            "ModifyWorkflowPropertiesCommandAttributes. Memo exceeds size limit.");
    }
    d->next_id++;
}

static void run_properties(struct tl_wft_done *d, const TpCommand__Command *c)
{
    TpHistory__WorkflowPropertiesModifiedEventAttributes a =
        TP_HISTORY__WORKFLOW_PROPERTIES_MODIFIED_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    tl_ev_init(&ev, d->tx->now_ns);
    a.workflow_task_completed_event_id = d->completed_id;
    a.upserted_memo = c->modify_workflow_properties_command_attributes->upserted_memo;
    TL_EV_SET(&ev, WORKFLOW_PROPERTIES_MODIFIED, workflow_properties_modified, &a);
    tl_command_decorate(&ev, c);
    tl_tx_add(d->tx, &ev);
}

/* --- table ----------------------------------------------------------------------------------- */

#define CASE(NAME) TP_COMMAND__COMMAND__ATTRIBUTES_##NAME##_COMMAND_ATTRIBUTES
#define CAUSE(NAME) WORKFLOW_TASK_FAILED_CAUSE_##NAME

static const struct command_row {
    int type;
    TpCommand__Command__AttributesCase attributes;
    const char *name;
    int cause; /* when the attributes are missing */
    tl_command_fn check, run;
    bool closes;
} ROWS[] = {
    {COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK, CASE(SCHEDULE_ACTIVITY_TASK), "ScheduleActivityTask",
     CAUSE(BAD_SCHEDULE_ACTIVITY_ATTRIBUTES), tl_command_check_activity, tl_command_run_activity,
     false},
    {COMMAND_TYPE_REQUEST_CANCEL_ACTIVITY_TASK, CASE(REQUEST_CANCEL_ACTIVITY_TASK),
     "RequestCancelActivityTask", CAUSE(BAD_REQUEST_CANCEL_ACTIVITY_ATTRIBUTES),
     tl_command_check_cancel_activity, tl_command_run_cancel_activity, false},
    {COMMAND_TYPE_START_TIMER, CASE(START_TIMER), "StartTimer", CAUSE(BAD_START_TIMER_ATTRIBUTES),
     tl_command_check_timer, tl_command_run_timer, false},
    {COMMAND_TYPE_CANCEL_TIMER, CASE(CANCEL_TIMER), "CancelTimer",
     CAUSE(BAD_CANCEL_TIMER_ATTRIBUTES), tl_command_check_cancel_timer, tl_command_run_cancel_timer,
     false},
    {COMMAND_TYPE_RECORD_MARKER, CASE(RECORD_MARKER), "RecordMarker",
     CAUSE(BAD_RECORD_MARKER_ATTRIBUTES), check_marker, run_marker, false},
    {COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES, CASE(UPSERT_WORKFLOW_SEARCH_ATTRIBUTES),
     "UpsertWorkflowSearchAttributes", CAUSE(BAD_SEARCH_ATTRIBUTES), check_search_attributes,
     run_search_attributes, false},
    {COMMAND_TYPE_MODIFY_WORKFLOW_PROPERTIES, CASE(MODIFY_WORKFLOW_PROPERTIES),
     "ModifyWorkflowProperties", CAUSE(BAD_MODIFY_WORKFLOW_PROPERTIES_ATTRIBUTES), check_properties,
     run_properties, false},
    {COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION, CASE(COMPLETE_WORKFLOW_EXECUTION),
     "CompleteWorkflowExecution", CAUSE(BAD_COMPLETE_WORKFLOW_EXECUTION_ATTRIBUTES),
     tl_command_check_complete, tl_command_run_complete, true},
    {COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION, CASE(FAIL_WORKFLOW_EXECUTION), "FailWorkflowExecution",
     CAUSE(BAD_FAIL_WORKFLOW_EXECUTION_ATTRIBUTES), tl_command_check_fail, tl_command_run_fail,
     true},
    {COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION, CASE(CANCEL_WORKFLOW_EXECUTION),
     "CancelWorkflowExecution", CAUSE(BAD_CANCEL_WORKFLOW_EXECUTION_ATTRIBUTES),
     tl_command_check_cancel, tl_command_run_cancel, true},
    {COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION, CASE(CONTINUE_AS_NEW_WORKFLOW_EXECUTION),
     "ContinueAsNewWorkflowExecution", CAUSE(BAD_CONTINUE_AS_NEW_ATTRIBUTES),
     tl_command_check_continue, tl_command_run_continue, true},
    {COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION, CASE(START_CHILD_WORKFLOW_EXECUTION),
     "StartChildWorkflowExecution", CAUSE(BAD_START_CHILD_EXECUTION_ATTRIBUTES),
     tl_command_check_child, tl_command_run_child, false},
    {COMMAND_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION, CASE(SIGNAL_EXTERNAL_WORKFLOW_EXECUTION),
     "SignalExternalWorkflowExecution", CAUSE(BAD_SIGNAL_WORKFLOW_EXECUTION_ATTRIBUTES),
     tl_command_check_signal_other, tl_command_run_signal_other, false},
    {COMMAND_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION,
     CASE(REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION), "RequestCancelExternalWorkflowExecution",
     CAUSE(BAD_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_ATTRIBUTES),
     tl_command_check_cancel_other, tl_command_run_cancel_other, false},
    {COMMAND_TYPE_PROTOCOL_MESSAGE, CASE(PROTOCOL_MESSAGE), "ProtocolMessage",
     CAUSE(BAD_UPDATE_WORKFLOW_EXECUTION_MESSAGE), tl_command_check_message, tl_command_run_message,
     false},
    {COMMAND_TYPE_SCHEDULE_NEXUS_OPERATION, CASE(SCHEDULE_NEXUS_OPERATION),
     "ScheduleNexusOperation", CAUSE(BAD_SCHEDULE_NEXUS_OPERATION_ATTRIBUTES),
     tl_command_check_nexus, tl_command_run_nexus, false},
    {COMMAND_TYPE_REQUEST_CANCEL_NEXUS_OPERATION, CASE(REQUEST_CANCEL_NEXUS_OPERATION),
     "RequestCancelNexusOperation", CAUSE(BAD_REQUEST_CANCEL_NEXUS_OPERATION_ATTRIBUTES),
     tl_command_check_cancel_nexus, tl_command_run_cancel_nexus, false},
};

static const struct command_row *row_of(const TpCommand__Command *c)
{
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        if (ROWS[i].type == (int)c->command_type) {
            return &ROWS[i];
        }
    }
    return NULL;
}

/* --- all of them ----------------------------------------------------------------------------- */

tl_rc tl_commands_check_sequence(const TpWs__RespondWorkflowTaskCompletedRequest *req,
                                 struct tl_error *err)
{
    const struct command_row *closing = NULL;
    for (size_t i = 0; i < req->n_commands; i++) {
        const struct command_row *row = row_of(req->commands[i]);
        if (closing) {
            return tl_error_set(err, TL_EINVAL,
                                "invalid command sequence: command %s must be the last command.",
                                closing->name);
        }
        if (!row) {
            return tl_error_set(err, TL_EINVAL, "unknown command type: %d",
                                (int)req->commands[i]->command_type);
        }
        if (row->closes) {
            closing = row;
        }
    }
    return TL_OK;
}

void tl_commands_check(struct tl_wft_done *d)
{
    for (size_t i = 0; i < d->req->n_commands && !d->no.cause; i++) {
        const TpCommand__Command *c = d->req->commands[i];
        const struct command_row *row = row_of(c);
        if (c->attributes_case != row->attributes) {
            tl_refuse(d, row->cause, "%sCommandAttributes is not set on %sCommand.", row->name,
                      row->name);
        } else {
            row->check(d, c);
        }
    }
    tl_updates_check_rest(d);
}

void tl_commands_run(struct tl_wft_done *d)
{
    for (size_t i = 0; i < d->req->n_commands; i++) {
        row_of(d->req->commands[i])->run(d, d->req->commands[i]);
    }
    tl_updates_run_rest(d);
    if (!tl_rs_open(d->tx->rs)) { /* activities cancelled by the task that ended the run */
        tl_rs_buffer_clear(d->tx->rs);
    }
}
