/* See timeline.h. Rows are collected in one pass over the events, keyed by the event that began them,
 * and drawn against a common time axis. Pure: no I/O, no clock. */
#include "cli/timeline.h"

#include <stdio.h>
#include <string.h>

#include "base/duration.h"
#include "base/map.h"
#include "base/mem.h"
#include "proto/pb.h"
#include "tl_enums.h"

struct row {
    int64_t event_id;
    int64_t begin_ns, started_ns, end_ns; /* 0: not yet */
    char mark;                            /* 'b' bar, 'p' point */
    char what[64];
    char note[96];
};

struct drawing {
    struct tl_map by_id; /* event id that began it -> row */
    struct row *rows;
    size_t count, cap;
    int64_t first_ns, last_ns;
    char type[64], outcome[160];
};

static struct row *add(struct drawing *d, const TpHistory__HistoryEvent *e, char mark,
                       const char *what, const char *name)
{
    struct row *r = &d->rows[d->count++];
    r->event_id = e->event_id;
    r->begin_ns = tl_pb_timestamp_ns_or(e->event_time, 0);
    r->mark = mark;
    snprintf(r->what, sizeof r->what, "%s%s%s", what, name && *name ? " " : "", name ? name : "");
    if (mark == 'p') {
        r->end_ns = r->begin_ns;
    }
    tl_map_put_num(&d->by_id, (uint64_t)e->event_id, r);
    return r;
}

static struct row *row_of(struct drawing *d, int64_t event_id)
{
    return tl_map_get_num(&d->by_id, (uint64_t)event_id);
}

static void end(struct drawing *d, int64_t event_id, const TpHistory__HistoryEvent *e,
                const char *note)
{
    struct row *r = row_of(d, event_id);
    if (r) {
        r->end_ns = tl_pb_timestamp_ns_or(e->event_time, 0);
        if (note) {
            size_t n = strlen(r->note);
            snprintf(r->note + n, sizeof r->note - n, "%s%s", n ? ", " : "", note);
        }
    }
}

static const char *failure_text(const TpFailure__Failure *f)
{
    return f && f->message && *f->message ? f->message : "failed";
}

static void started(struct drawing *d, int64_t event_id, const TpHistory__HistoryEvent *e,
                    int attempt)
{
    struct row *r = row_of(d, event_id);
    if (r) {
        r->started_ns = tl_pb_timestamp_ns_or(e->event_time, 0);
        if (attempt > 1) {
            snprintf(r->note, sizeof r->note, "%d attempts", attempt);
        }
    }
}

static void outcome(struct drawing *d, const TpHistory__HistoryEvent *e, const char *what,
                    const char *why)
{
    add(d, e, 'p', what, "");
    snprintf(d->outcome, sizeof d->outcome, "%s%s%s", what, why ? ": " : "", why ? why : "");
}

/* Events of activities; false when it is none of them. */
static bool activity_event(struct drawing *d, const TpHistory__HistoryEvent *e)
{
    switch ((int)e->event_type) {
    case EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
        add(d, e, 'b', "activity",
            e->activity_task_scheduled_event_attributes->activity_type
                ? e->activity_task_scheduled_event_attributes->activity_type->name
                : "");
        return true;
    case EVENT_TYPE_ACTIVITY_TASK_STARTED:
        started(d, e->activity_task_started_event_attributes->scheduled_event_id, e,
                e->activity_task_started_event_attributes->attempt);
        return true;
    case EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
        end(d, e->activity_task_completed_event_attributes->scheduled_event_id, e, NULL);
        return true;
    case EVENT_TYPE_ACTIVITY_TASK_FAILED:
        end(d, e->activity_task_failed_event_attributes->scheduled_event_id, e,
            failure_text(e->activity_task_failed_event_attributes->failure));
        return true;
    case EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT:
        end(d, e->activity_task_timed_out_event_attributes->scheduled_event_id, e, "timed out");
        return true;
    case EVENT_TYPE_ACTIVITY_TASK_CANCELED:
        end(d, e->activity_task_canceled_event_attributes->scheduled_event_id, e, "cancelled");
        return true;
    default:
        return false;
    }
}

static bool task_event(struct drawing *d, const TpHistory__HistoryEvent *e)
{
    switch ((int)e->event_type) {
    case EVENT_TYPE_WORKFLOW_TASK_SCHEDULED:
        add(d, e, 'b', "workflow task", "");
        return true;
    case EVENT_TYPE_WORKFLOW_TASK_STARTED:
        started(d, e->workflow_task_started_event_attributes->scheduled_event_id, e, 1);
        return true;
    case EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
        end(d, e->workflow_task_completed_event_attributes->scheduled_event_id, e, NULL);
        return true;
    case EVENT_TYPE_WORKFLOW_TASK_FAILED:
        end(d, e->workflow_task_failed_event_attributes->scheduled_event_id, e,
            failure_text(e->workflow_task_failed_event_attributes->failure));
        return true;
    case EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT:
        end(d, e->workflow_task_timed_out_event_attributes->scheduled_event_id, e, "timed out");
        return true;
    case EVENT_TYPE_TIMER_STARTED:
        add(d, e, 'b', "timer", e->timer_started_event_attributes->timer_id);
        return true;
    case EVENT_TYPE_TIMER_FIRED:
        end(d, e->timer_fired_event_attributes->started_event_id, e, NULL);
        return true;
    case EVENT_TYPE_TIMER_CANCELED:
        end(d, e->timer_canceled_event_attributes->started_event_id, e, "cancelled");
        return true;
    default:
        return false;
    }
}

static bool close_event(struct drawing *d, const TpHistory__HistoryEvent *e)
{
    switch ((int)e->event_type) {
    case EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
        outcome(d, e, "completed", NULL);
        return true;
    case EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
        outcome(d, e, "failed",
                failure_text(e->workflow_execution_failed_event_attributes->failure));
        return true;
    case EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED:
        outcome(d, e, "cancelled", NULL);
        return true;
    case EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED:
        outcome(d, e, "terminated", e->workflow_execution_terminated_event_attributes->reason);
        return true;
    case EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT:
        outcome(d, e, "timed out", NULL);
        return true;
    case EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
        outcome(d, e, "continued as new",
                e->workflow_execution_continued_as_new_event_attributes->new_execution_run_id);
        return true;
    default:
        return false;
    }
}

/* "EVENT_TYPE_MARKER_RECORDED" -> "marker recorded" */
static void point_by_name(struct drawing *d, const TpHistory__HistoryEvent *e)
{
    const char *name = tl_pb_enum_name(&tp_enums__event_type__descriptor, (int)e->event_type);
    char text[64];
    size_t n = 0;
    name = name ? name : "EVENT_TYPE_UNKNOWN";
    for (const char *p = name + strlen("EVENT_TYPE_"); *p && n + 1 < sizeof text; p++) {
        text[n++] = *p == '_' ? ' ' : (char)(*p | 0x20);
    }
    text[n] = 0;
    add(d, e, 'p', text, "");
}

static void collect(struct drawing *d, const TpHistory__HistoryEvent *e)
{
    int64_t ns = tl_pb_timestamp_ns_or(e->event_time, 0);
    d->first_ns = d->count == 0 && d->first_ns == 0 ? ns : d->first_ns;
    d->last_ns = ns > d->last_ns ? ns : d->last_ns;
    if (activity_event(d, e) || task_event(d, e) || close_event(d, e)) {
        return;
    }
    switch ((int)e->event_type) {
    case EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
        snprintf(d->type, sizeof d->type, "%s",
                 e->workflow_execution_started_event_attributes->workflow_type
                     ? e->workflow_execution_started_event_attributes->workflow_type->name
                     : "");
        add(d, e, 'p', "started", "");
        break;
    case EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
        add(d, e, 'p', "signal", e->workflow_execution_signaled_event_attributes->signal_name);
        break;
    case EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED:
        break; /* told by the activity's own row */
    default:
        point_by_name(d, e);
    }
}

/* Durations to three significant places at most: "1.204s", "118ms". */
static void span_text(int64_t ns, char *out, size_t cap)
{
    if (ns >= 60 * INT64_C(1000000000)) {
        tl_duration_format(ns / 1000000000 * 1000000000, out, cap);
    } else if (ns >= 1000000000) {
        snprintf(out, cap, "%.2fs", (double)ns / 1e9);
    } else {
        snprintf(out, cap, "%.1fms", (double)ns / 1e6);
    }
}

static int column(const struct drawing *d, int64_t ns, int width)
{
    int64_t span = d->last_ns - d->first_ns;
    if (span <= 0) {
        return 0;
    }
    double at = (double)(ns - d->first_ns) / (double)span * (width - 1);
    return at < 0 ? 0 : at > width - 1 ? width - 1 : (int)at;
}

/* Waiting is drawn light, working dark, a point as a dot, what is still open with an arrow. */
static void draw_bar(const struct drawing *d, const struct row *r, int width, struct tl_buf *out)
{
    int64_t end_ns = r->end_ns ? r->end_ns : d->last_ns;
    int from = column(d, r->begin_ns, width), to = column(d, end_ns, width);
    int work = r->started_ns ? column(d, r->started_ns, width) : r->what[0] == 't' ? to + 1 : from;
    for (int i = 0; i < width; i++) {
        if (i < from || i > to) {
            tl_buf_puts(out, i == 0 || i == width - 1 ? "·" : " ");
        } else if (r->mark == 'p') {
            tl_buf_puts(out, "●");
        } else if (!r->end_ns && i == to) {
            tl_buf_puts(out, "▶");
        } else {
            tl_buf_puts(out, i >= work ? "█" : "░");
        }
    }
}

static void draw_row(const struct drawing *d, const struct row *r, int width, struct tl_buf *out)
{
    char span[64] = "";
    if (r->mark == 'b' && r->end_ns) {
        span_text(r->end_ns - r->begin_ns, span, sizeof span);
    }
    tl_buf_printf(out, "%6lld  %-26.26s ", (long long)r->event_id, r->what);
    draw_bar(d, r, width, out);
    const char *took = r->mark == 'p' ? "" : r->end_ns ? span : "open";
    tl_buf_printf(out, " %9s%s%s\n", took, r->note[0] ? "  " : "", r->note);
}

void tl_timeline_draw(const TpHistory__History *history, int columns, struct tl_buf *out)
{
    struct drawing d = {0};
    int width = (columns < 72 ? 72 : columns) - 46;
    char span[64];
    tl_map_init(&d.by_id);
    d.rows = TL_NEW_ARRAY(struct row, history->n_events + 1);
    for (size_t i = 0; i < history->n_events; i++) {
        collect(&d, history->events[i]);
    }
    span_text(d.last_ns - d.first_ns, span, sizeof span);
    tl_buf_printf(out, "workflow %s: %s, %zu events in %s\n\n", d.type,
                  d.outcome[0] ? d.outcome : "running", history->n_events, span);
    tl_buf_printf(out, " event  %-26s 0%*s\n", "what", width - 1, span);
    for (size_t i = 0; i < d.count; i++) {
        draw_row(&d, &d.rows[i], width, out);
    }
    tl_buf_puts(out, "\n░ waiting  █ at work  ● moment  ▶ still open\n");
    tl_mem_free(d.rows);
    tl_map_deinit(&d.by_id);
}
