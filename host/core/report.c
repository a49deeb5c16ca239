/* Rendering of non-determinism reports, for people and for programs.
 * Ownership: borrows the report. Thread: any. */
#include "core/report.h"

#include "proto/jsonv.h"

const char *tl_nde_kind_name(enum tl_nde_kind kind)
{
    switch (kind) {
    case TL_NDE_ADDED:
        return "command_added";
    case TL_NDE_REMOVED:
        return "command_removed";
    case TL_NDE_REORDERED:
        return "commands_reordered";
    case TL_NDE_CHANGED:
        return "command_changed";
    case TL_NDE_ENDED_EARLY:
        return "ended_early";
    case TL_NDE_ENDED_LATE:
        return "ended_late";
    case TL_NDE_STATE:
        return "wrong_state";
    case TL_NDE_HISTORY:
        return "history_invalid";
    }
    return "unknown";
}

/* Attributes of more bytes are cut in texts for people. */
#define ATTRIBUTES_BYTES_SHOWN 300

/* Cut before a character, never in it. */
static struct tl_str shown(struct tl_str text)
{
    if (text.n <= ATTRIBUTES_BYTES_SHOWN) {
        return text;
    }
    text.n = ATTRIBUTES_BYTES_SHOWN;
    while (text.n && ((unsigned char)text.p[text.n] & 0xc0) == 0x80) {
        text.n--;
    }
    return text;
}

static void put_side(struct tl_buf *out, const char *label, const struct tl_nde_side *side)
{
    if (!side->type) {
        return;
    }
    tl_buf_printf(out, "  %-9s %s", label, side->type);
    if (side->event_id) {
        tl_buf_printf(out, " (event %lld)", (long long)side->event_id);
    }
    if (side->id.n) {
        tl_buf_printf(out, " id \"%.*s\"", TL_STR_FMT(side->id));
    }
    if (side->name.n) {
        tl_buf_printf(out, " type \"%.*s\"", TL_STR_FMT(side->name));
    }
    if (side->where.n) {
        tl_buf_printf(out, " at %.*s", TL_STR_FMT(side->where));
    }
    tl_buf_putc(out, '\n');
    if (side->attributes.n) {
        struct tl_str text = shown(side->attributes);
        tl_buf_printf(out, "            %.*s%s\n", TL_STR_FMT(text),
                      text.n < side->attributes.n ? "..." : "");
    }
}

/* Lines of Lua below the hint. */
static void put_lines(struct tl_buf *out, struct tl_str text)
{
    while (text.n) {
        const char *end = memchr(text.p, '\n', text.n);
        size_t n = end ? (size_t)(end - text.p) : text.n;
        tl_buf_printf(out, "      %.*s\n", (int)n, text.p);
        n += end ? 1 : 0;
        text = tl_str_n(text.p + n, text.n - n);
    }
}

static void put_trace(struct tl_buf *out, const struct tl_nde_report *report)
{
    for (size_t i = 0; i < report->trace_count; i++) {
        tl_buf_printf(out, "%s%.*s", i == 0 ? "  ran last: " : ", ", TL_STR_FMT(report->trace[i]));
    }
    if (report->trace_count) {
        tl_buf_putc(out, '\n');
    }
}

bool tl_nde_report_text(const struct tl_nde_report *report, struct tl_buf *out)
{
    tl_buf_printf(out, "%s: workflow %.*s \"%.*s\" run %.*s\n", tl_nde_kind_name(report->kind),
                  TL_STR_FMT(report->workflow_type), TL_STR_FMT(report->workflow_id),
                  TL_STR_FMT(report->run_id));
    if (report->task_started_event_id) {
        tl_buf_printf(out, "  in the workflow task started at event %lld\n",
                      (long long)report->task_started_event_id);
    }
    put_side(out, "history:", &report->expected);
    put_side(out, "code:", &report->produced);
    tl_buf_printf(out, "  found:    %.*s\n", TL_STR_FMT(report->detail));
    put_side(out, "later in code:", &report->near_command);
    put_side(out, "later in history:", &report->near_event);
    put_side(out, "last fit:", &report->previous);
    put_trace(out, report);
    bool ok = tl_buf_printf(out, "  hint:     %.*s\n", TL_STR_FMT(report->suggestion));
    put_lines(out, report->patch);
    return ok && !tl_buf_failed(out);
}

static void put_text(struct tl_jw *w, const char *name, struct tl_str text)
{
    if (text.n) {
        tl_jw_name(w, tl_str(name));
        tl_jw_string(w, text);
    }
}

static void put_json_side(struct tl_jw *w, const char *name, const struct tl_nde_side *side)
{
    if (!side->type) {
        return;
    }
    tl_jw_name(w, tl_str(name));
    tl_jw_object(w);
    put_text(w, "type", tl_str(side->type));
    if (side->event_id) {
        tl_jw_name(w, TL_STR_LIT("event_id"));
        tl_jw_int(w, side->event_id);
    }
    put_text(w, "id", side->id);
    put_text(w, "name", side->name);
    put_text(w, "where", side->where);
    if (side->attributes.n) {
        tl_jw_name(w, TL_STR_LIT("attributes"));
        tl_jw_raw(w, side->attributes);
    }
    tl_jw_object_end(w);
}

bool tl_nde_report_json(const struct tl_nde_report *report, struct tl_buf *out)
{
    struct tl_jw w;
    tl_jw_init(&w, out, 0, 4);
    tl_jw_object(&w);
    put_text(&w, "kind", tl_str(tl_nde_kind_name(report->kind)));
    put_text(&w, "workflow_type", report->workflow_type);
    put_text(&w, "workflow_id", report->workflow_id);
    put_text(&w, "run_id", report->run_id);
    tl_jw_name(&w, TL_STR_LIT("task_started_event_id"));
    tl_jw_int(&w, report->task_started_event_id);
    put_json_side(&w, "expected", &report->expected);
    put_json_side(&w, "produced", &report->produced);
    put_json_side(&w, "near_command", &report->near_command);
    put_json_side(&w, "near_event", &report->near_event);
    put_json_side(&w, "previous", &report->previous);
    put_text(&w, "detail", report->detail);
    put_text(&w, "suggestion", report->suggestion);
    put_text(&w, "patch", report->patch);
    if (report->trace_count) {
        tl_jw_name(&w, TL_STR_LIT("trace"));
        tl_jw_array(&w);
        for (size_t i = 0; i < report->trace_count; i++) {
            tl_jw_string(&w, report->trace[i]);
        }
        tl_jw_array_end(&w);
    }
    tl_jw_object_end(&w);
    return tl_jw_finish(&w, NULL) == TL_OK;
}
