/* From "this event does not fit this command" to a report that names both sides, what is near, and
 * what to do.
 * Ownership: reports live in the task's arena. Thread: the run's. */
#include "core/run_int.h"

#include "proto/json.h"

#include <stdarg.h>
#include <stdio.h>
#include <tl_enums.h>

/* How many later commands and events are looked at for a near match. */
#define NEAR_MAX 1000

static struct tl_str update_of(const TpHistory__HistoryEvent *event)
{
    if ((int)event->event_type == EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED) {
        return tl_str(
            event->workflow_execution_update_accepted_event_attributes->protocol_instance_id);
    }
    const TpUpdate__Meta *meta = event->workflow_execution_update_completed_event_attributes->meta;
    return tl_str(meta ? meta->update_id : "");
}

/* How many bytes of attributes a report takes along, per side. */
#define ATTRIBUTES_BYTES_MAX 65536

/* A message as JSON that fits a report; empty when there is none, or it is larger. */
static struct tl_str attributes_json(const ProtobufCMessage *attrs, struct tl_arena *arena)
{
    static const struct tl_json_write_options options = {.proto_names = true,
                                                         .payload_shorthand = true};
    struct tl_buf text;
    struct tl_str copy = {0};
    if (!attrs) {
        return copy;
    }
    tl_buf_init(&text, ATTRIBUTES_BYTES_MAX);
    if (tl_json_write(attrs, &options, &text, NULL) == TL_OK) {
        copy = tl_arena_str(arena, tl_buf_str(&text));
    }
    tl_buf_deinit(&text);
    return copy;
}

/* Seconds as a script writes them. */
static struct tl_str seconds_text(const Google__Protobuf__Duration *d, struct tl_arena *arena)
{
    char text[40];
    snprintf(text, sizeof(text), "%.9g", (double)tl_pb_duration_ns_or(d, 0) / 1e9);
    return tl_arena_str(arena, tl_str(text));
}

static void marker_side(const TpHistory__HistoryEvent *event, struct tl_arena *arena,
                        struct tl_nde_side *side)
{
    struct tl_patch_marker marker;
    struct tl_local_marker local;
    side->id = tl_str(event->marker_recorded_event_attributes->marker_name);
    if (tl_patch_marker_read(event, arena, &marker)) {
        side->name = side->id;
        side->id = marker.id;
    } else if (tl_local_marker_read(event, arena, &local)) {
        side->name = local.type;
        side->id = local.id;
    }
}

static struct tl_nde_side event_side(const TpHistory__HistoryEvent *event, struct tl_arena *arena)
{
    struct tl_nde_side side = {0};
    if (!event) {
        return side;
    }
    side.type = tl_event_info((int)event->event_type)->text;
    side.event_type = (int)event->event_type;
    side.event_id = event->event_id;
    if (!tl_event_valid(event)) {
        return side;
    }
    if (event->attributes_case) { /* all members of the union are pointers to messages */
        side.attributes = attributes_json(
            (const ProtobufCMessage *)event->workflow_execution_started_event_attributes, arena);
    }
    switch ((int)event->event_type) {
    case EVENT_TYPE_ACTIVITY_TASK_SCHEDULED: {
        const TpHistory__ActivityTaskScheduledEventAttributes *a =
            event->activity_task_scheduled_event_attributes;
        side.id = tl_str(a->activity_id);
        side.name = tl_str(a->activity_type ? a->activity_type->name : "");
        break;
    }
    case EVENT_TYPE_TIMER_STARTED:
        side.id = tl_str(event->timer_started_event_attributes->timer_id);
        side.duration =
            seconds_text(event->timer_started_event_attributes->start_to_fire_timeout, arena);
        break;
    case EVENT_TYPE_TIMER_FIRED:
        side.id = tl_str(event->timer_fired_event_attributes->timer_id);
        break;
    case EVENT_TYPE_TIMER_CANCELED:
        side.id = tl_str(event->timer_canceled_event_attributes->timer_id);
        break;
    case EVENT_TYPE_MARKER_RECORDED:
        marker_side(event, arena, &side);
        break;
    case EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED: {
        const TpHistory__StartChildWorkflowExecutionInitiatedEventAttributes *a =
            event->start_child_workflow_execution_initiated_event_attributes;
        side.id = tl_str(a->workflow_id);
        side.name = tl_str(a->workflow_type ? a->workflow_type->name : "");
        break;
    }
    case EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED: {
        const TpHistory__SignalExternalWorkflowExecutionInitiatedEventAttributes *a =
            event->signal_external_workflow_execution_initiated_event_attributes;
        side.id = tl_str(a->workflow_execution ? a->workflow_execution->workflow_id : "");
        side.name = tl_str(a->signal_name);
        break;
    }
    case EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED: {
        const TpHistory__RequestCancelExternalWorkflowExecutionInitiatedEventAttributes *a =
            event->request_cancel_external_workflow_execution_initiated_event_attributes;
        side.id = tl_str(a->workflow_execution ? a->workflow_execution->workflow_id : "");
        break;
    }
    case EVENT_TYPE_NEXUS_OPERATION_SCHEDULED:
        side.id = tl_str(event->nexus_operation_scheduled_event_attributes->service);
        side.name = tl_str(event->nexus_operation_scheduled_event_attributes->operation);
        break;
    case EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED:
    case EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED:
        side.id = update_of(event);
        break;
    default:
        break;
    }
    return side;
}

static struct tl_nde_side command_side(const struct tl_run *run, uint32_t at,
                                       struct tl_arena *arena)
{
    struct tl_nde_side side = {0};
    const struct tl_machine *machine = &run->machines[run->outgoing[at].slot];
    char seq_text[16];
    struct tl_str name;
    side.type = tl_command_info(run->outgoing[at].command)->text;
    side.id = tl_arena_str(arena, tl_machine_id(run, machine, seq_text, &name));
    side.name = tl_arena_str(arena, name);
    if (machine->kind == TL_MACHINE_PATCH) {
        side.name = tl_str(run->patches[machine->seq].numbered ? TL_VERSION_MARKER_NAME
                                                               : TL_PATCH_MARKER_NAME);
    }
    side.event_type = tl_command_info(run->outgoing[at].command)->event_type;
    if (run->bodies) {
        const ProtobufCMessage *attrs = run->bodies[at].attrs;
        side.where = tl_arena_str(arena, run->bodies[at].where);
        side.attributes = attributes_json(attrs, arena);
        if (attrs && attrs->descriptor == &tp_command__start_timer_command_attributes__descriptor) {
            side.duration = seconds_text(
                ((const TpCommand__StartTimerCommandAttributes *)attrs)->start_to_fire_timeout,
                arena);
        }
    }
    return side;
}

/* Would this event be what the server writes for this command? Ids count only among runs whose ids
 * are ours to make. */
static bool fits(const struct tl_run *run, const struct tl_nde_side *event, int event_type,
                 const struct tl_nde_side *command, const struct tl_outgoing *out)
{
    if (tl_outgoing_event(out) != event_type || !tl_str_eq(event->name, command->name)) {
        return false;
    }
    return run->sdk_family != TL_SDK_CORE || tl_str_eq(event->id, command->id);
}

static void find_near_command(struct tl_run *run, const TpHistory__HistoryEvent *event,
                              bool have_command, struct tl_nde_report *report)
{
    uint32_t from = run->outgoing_first + (have_command ? 1 : 0);
    for (uint32_t i = from; i < run->outgoing_count && i < from + NEAR_MAX; i++) {
        struct tl_nde_side side = command_side(run, i, run->task->arena);
        if (fits(run, &report->expected, (int)event->event_type, &side, &run->outgoing[i])) {
            report->near_command = side;
            return;
        }
    }
}

static void find_near_event(struct tl_run *run, size_t from, struct tl_nde_report *report)
{
    const struct tl_history *h = &run->task->history;
    for (size_t i = from; i < h->count && i < from + NEAR_MAX; i++) {
        const TpHistory__HistoryEvent *event = h->events[i];
        if (tl_event_info((int)event->event_type)->event_class != TL_EVENT_COMMAND) {
            continue;
        }
        struct tl_nde_side side = event_side(event, run->task->arena);
        if (fits(run, &side, (int)event->event_type, &report->produced,
                 &run->outgoing[run->outgoing_first])) {
            report->near_event = side;
            return;
        }
    }
}

static enum tl_nde_kind classify(const struct tl_run *run, const TpHistory__HistoryEvent *event,
                                 bool have_command, const struct tl_nde_report *report)
{
    bool command_event =
        event && tl_event_info((int)event->event_type)->event_class == TL_EVENT_COMMAND;
    bool history_ends = event && tl_event_closes((int)event->event_type);
    bool code_ends =
        have_command && tl_command_info(run->outgoing[run->outgoing_first].command)->closes;
    if (history_ends && !code_ends) {
        return TL_NDE_ENDED_LATE;
    }
    if (code_ends && !history_ends) {
        return TL_NDE_ENDED_EARLY;
    }
    if (!have_command) {
        return command_event && run->finished ? TL_NDE_ENDED_EARLY : TL_NDE_REMOVED;
    }
    if (!command_event) {
        return TL_NDE_ADDED;
    }
    if (report->near_command.type && report->near_event.type) {
        return TL_NDE_REORDERED;
    }
    if (report->near_command.type) {
        return TL_NDE_ADDED;
    }
    return report->near_event.type ? TL_NDE_REMOVED : TL_NDE_CHANGED;
}

static struct tl_str arena_text(struct tl_arena *arena, const char *text)
{
    return tl_arena_str(arena, tl_str(text));
}

static struct tl_nde_report *new_report(struct tl_run *run, const TpHistory__HistoryEvent *event)
{
    struct tl_arena *arena = run->task->arena;
    struct tl_nde_report *report = TL_ARENA_NEW(arena, struct tl_nde_report);
    if (!report) {
        return NULL;
    }
    report->workflow_type = tl_arena_str(arena, run->workflow_type);
    report->workflow_id = tl_arena_str(arena, run->workflow_id);
    report->run_id = tl_arena_str(arena, run->run_id);
    report->task_started_event_id = run->started_event_id;
    report->expected = event_side(event, arena);
    report->previous = event_side(run->task->matched, arena);
    report->previous.where = tl_arena_str(arena, tl_str(run->task->matched_where));
    run->task->report = report;
    return report;
}

/* What err says: "event 5 ActivityTaskScheduled(1 charge): <detail>". */
static void set_message(struct tl_error *err, tl_rc rc, const struct tl_nde_report *report,
                        const char *detail)
{
    const struct tl_nde_side *e = &report->expected, *p = &report->produced;
    char left[160] = "", right[200] = "";
    if (e->type) {
        snprintf(left, sizeof(left), "event %lld %s(%.*s%s%.*s): ", (long long)e->event_id, e->type,
                 TL_STR_FMT(e->id), e->id.n && e->name.n ? " " : "", TL_STR_FMT(e->name));
    }
    if (p->type) {
        snprintf(right, sizeof(right), "; the code's next command is %s(%.*s%s%.*s)%s%.*s", p->type,
                 TL_STR_FMT(p->id), p->id.n && p->name.n ? " " : "", TL_STR_FMT(p->name),
                 p->where.n ? " at " : "", TL_STR_FMT(p->where));
    }
    tl_error_set(err, rc, "%s%s%s", left, detail, right);
}

static tl_rc report_mismatch(struct tl_run *run, const TpHistory__HistoryEvent *event,
                             bool have_command, bool refused, const char *detail,
                             struct tl_error *err)
{
    struct tl_nde_report *report = new_report(run, event);
    if (!report) {
        return tl_error_set(err, TL_ELIMIT, "report: the arena is full");
    }
    bool command_event =
        event && tl_event_info((int)event->event_type)->event_class == TL_EVENT_COMMAND;
    if (have_command) {
        report->produced = command_side(run, run->outgoing_first, run->task->arena);
        find_near_event(run, run->task->index + (event ? 1 : 0), report);
    }
    if (command_event) {
        find_near_command(run, event, have_command, report);
    }
    report->kind =
        refused && !command_event ? TL_NDE_STATE : classify(run, event, have_command, report);
    report->detail = arena_text(run->task->arena, detail);
    tl_core_suggest(report, run->task->arena);
    set_message(err, TL_ENONDETERMINISM, report, detail);
    return TL_ENONDETERMINISM;
}

tl_rc tl_core_mismatch(struct tl_run *run, const TpHistory__HistoryEvent *event, bool have_command,
                       struct tl_error *err, const char *fmt, ...)
{
    char detail[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(detail, sizeof(detail), fmt, ap);
    va_end(ap);
    return report_mismatch(run, event, have_command, false, detail, err);
}

tl_rc tl_core_refused(struct tl_run *run, const TpHistory__HistoryEvent *event, bool have_command,
                      struct tl_error *err)
{
    if (err->code != TL_ENONDETERMINISM) {
        return err->code;
    }
    char detail[256];
    snprintf(detail, sizeof(detail), "%.255s", err->message);
    return report_mismatch(run, event, have_command, true, detail, err);
}

tl_rc tl_core_bad_history(struct tl_run *run, const TpHistory__HistoryEvent *event,
                          struct tl_error *err, const char *fmt, ...)
{
    char detail[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(detail, sizeof(detail), fmt, ap);
    va_end(ap);
    struct tl_nde_report *report = new_report(run, event);
    if (!report) {
        return tl_error_set(err, TL_ELIMIT, "report: the arena is full");
    }
    report->kind = TL_NDE_HISTORY;
    report->detail = arena_text(run->task->arena, detail);
    tl_core_suggest(report, run->task->arena);
    set_message(err, TL_EINVAL, report, detail);
    return TL_EINVAL;
}
