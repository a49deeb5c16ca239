/* What to change in the script so that a run which does not fit goes on as it began: a sentence and a
 * piece of Lua.
 * Ownership: texts live in the task's arena. Thread: the run's. */
#include "core/run_int.h"

#include <tl_enums.h>

#define PATCH_BYTES_MAX 8192

/* A Lua string literal on one line. */
static void put_quoted(struct tl_buf *out, struct tl_str text)
{
    tl_buf_putc(out, '"');
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c == '"' || c == '\\') {
            tl_buf_putc(out, '\\');
            tl_buf_putc(out, (char)c);
        } else if (c < 0x20 || c == 0x7f) {
            tl_buf_printf(out, "\\x%02x", c);
        } else {
            tl_buf_putc(out, (char)c);
        }
    }
    tl_buf_putc(out, '"');
}

static void put_call(struct tl_buf *out, const char *function, struct tl_str first,
                     const char *rest)
{
    tl_buf_printf(out, "%s(", function);
    if (first.n) {
        put_quoted(out, first);
    }
    tl_buf_printf(out, "%s)", rest);
}

static void put_marker_call(struct tl_buf *out, const struct tl_nde_side *side)
{
    if (tl_str_eqc(side->name, TL_PATCH_MARKER_NAME)) {
        put_call(out, "workflow.patched", side->id, "");
    } else if (tl_str_eqc(side->name, TL_VERSION_MARKER_NAME)) {
        put_call(out, "workflow.version", side->id, ", min, max");
    } else if (tl_str_eqc(side->id, TL_SIDE_EFFECT_MARKER_NAME)) {
        put_call(out, "workflow.side_effect", TL_STR_LIT(""), "fn");
    } else if (tl_str_eqc(side->id, TL_MUTABLE_SIDE_EFFECT_MARKER_NAME)) {
        put_call(out, "workflow.mutable_side_effect", TL_STR_LIT(""), "id, fn");
    } else {
        put_call(out, "workflow.execute_local_activity", side->name, ", options, ...");
    }
}

/* The call that leads to this event or command, as a statement; what it is given stays "...". */
static void put_statement(struct tl_buf *out, const struct tl_nde_side *side)
{
    switch (side->event_type) {
    case EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
        put_call(out, "workflow.execute_activity", side->name, ", options, ...");
        break;
    case EVENT_TYPE_TIMER_STARTED:
        tl_buf_printf(out, "workflow.sleep(%.*s)", TL_STR_FMT(side->duration));
        break;
    case EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED:
        put_call(out, "workflow.execute_child_workflow", side->name, ", options, ...");
        break;
    case EVENT_TYPE_NEXUS_OPERATION_SCHEDULED:
        put_call(out, "client:execute_operation", side->name, ", options, input");
        break;
    case EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED:
        put_call(out, "workflow.external_workflow", side->id, "");
        put_call(out, ":signal", side->name, ", ...");
        break;
    case EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED:
        put_call(out, "workflow.external_workflow", side->id, "");
        tl_buf_printf(out, ":cancel()");
        break;
    case EVENT_TYPE_MARKER_RECORDED:
        put_marker_call(out, side);
        break;
    case EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES:
        tl_buf_printf(out, "workflow.upsert_search_attributes(fields)");
        break;
    case EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED:
        tl_buf_printf(out, "workflow.upsert_memo(fields)");
        break;
    case EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
        tl_buf_printf(out, "return result");
        break;
    case EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
        tl_buf_printf(out, "error(failure)");
        break;
    case EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED:
    case EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED:
        tl_buf_printf(out, "-- the handler of the update as it was");
        break;
    case EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
        tl_buf_printf(out, "workflow.continue_as_new(options, ...)");
        break;
    default:
        tl_buf_printf(out, "-- %s", side->type ? side->type : "as before");
        break;
    }
}

static void put_line(struct tl_buf *out, const struct tl_nde_side *side)
{
    tl_buf_printf(out, "  ");
    put_statement(out, side);
    if (side->event_id) {
        tl_buf_printf(out, " -- event %lld", (long long)side->event_id);
    } else if (side->where.n) {
        tl_buf_printf(out, " -- %.*s", TL_STR_FMT(side->where));
    }
    tl_buf_putc(out, '\n');
}

/* "add-charge": what is done with what, in letters that are safe in an id. */
static void put_patch_id(struct tl_buf *out, const char *verb, const struct tl_nde_side *side)
{
    struct tl_str what = side->name.n ? side->name : tl_str(side->type ? side->type : "step");
    tl_buf_printf(out, "\"%s-", verb);
    for (size_t i = 0; i < what.n && i < 40; i++) {
        char c = what.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        bool upper = c >= 'A' && c <= 'Z';
        if (upper && i > 0 && what.p[i - 1] >= 'a' && what.p[i - 1] <= 'z') {
            tl_buf_putc(out, '-');
        }
        tl_buf_putc(out, plain ? c : upper ? (char)(c - 'A' + 'a') : '-');
    }
    tl_buf_putc(out, '"');
}

static void put_if(struct tl_buf *out, bool negated, const char *verb,
                   const struct tl_nde_side *side)
{
    tl_buf_printf(out, "if %sworkflow.patched(", negated ? "not " : "");
    put_patch_id(out, verb, side);
    tl_buf_printf(out, ") then\n");
}

static void put_choice(struct tl_buf *out, const char *verb, const struct tl_nde_report *r)
{
    const struct tl_nde_side *near_event = &r->near_event, *near_command = &r->near_command;
    bool both = r->kind == TL_NDE_REORDERED;
    put_if(out, false, verb, &r->expected);
    put_line(out, &r->produced);
    if (both) {
        put_line(out, near_command);
    }
    tl_buf_printf(out, "else\n");
    put_line(out, &r->expected);
    if (both) {
        put_line(out, near_event);
    }
    tl_buf_printf(out, "end\n");
}

static void put_patch(struct tl_buf *out, const struct tl_nde_report *r)
{
    switch (r->kind) {
    case TL_NDE_ADDED:
        put_if(out, false, "add", &r->produced);
        put_line(out, &r->produced);
        tl_buf_printf(out, "end\n");
        break;
    case TL_NDE_REMOVED:
        put_if(out, true, "remove", &r->expected);
        put_line(out, &r->expected);
        tl_buf_printf(out, "end\n");
        break;
    case TL_NDE_REORDERED:
        put_choice(out, "order", r);
        break;
    case TL_NDE_CHANGED:
        put_choice(out, "change", r);
        break;
    case TL_NDE_ENDED_EARLY:
        put_if(out, true, "end-before", &r->expected);
        put_line(out, &r->expected);
        tl_buf_printf(out, "  -- and what followed it in the old code\nend\n");
        break;
    case TL_NDE_ENDED_LATE:
        put_if(out, true, "go-on-with", &r->produced);
        put_line(out, &r->expected);
        tl_buf_printf(out, "end\n");
        break;
    case TL_NDE_STATE:
    case TL_NDE_HISTORY:
        break;
    }
}

/* The recorded event is a patch marker: the call of workflow.patched itself is what is missing. */
static bool lost_patch(const struct tl_nde_report *r)
{
    return r->expected.event_type == EVENT_TYPE_MARKER_RECORDED &&
           (tl_str_eqc(r->expected.name, TL_PATCH_MARKER_NAME)) &&
           (r->kind == TL_NDE_REMOVED || r->kind == TL_NDE_CHANGED);
}

static const char *sentence(const struct tl_nde_report *r)
{
    if (lost_patch(r)) {
        return "A call of workflow.patched is gone while runs that recorded it are open; put "
               "workflow.deprecate_patch in its place until they have ended.";
    }
    switch (r->kind) {
    case TL_NDE_ADDED:
        return "Put the new call behind workflow.patched(\"some-id\"), so that runs which began "
               "without it go on without it.";
    case TL_NDE_REMOVED:
        return "Put the call back for runs which began with it: `if not "
               "workflow.patched(\"some-id\") then ... end`.";
    case TL_NDE_REORDERED:
        return "Restore the old order, or choose between both orders with "
               "workflow.patched(\"some-id\"). Look for anything whose order is not fixed.";
    case TL_NDE_CHANGED:
        return "Keep the old call for runs which began with it and choose the new one with "
               "workflow.patched(\"some-id\"); where the new call only stands before the old one, "
               "guard it alone.";
    case TL_NDE_ENDED_EARLY:
        return "The function now returns or fails before it did; keep the old path for runs which "
               "began with it, with workflow.patched(\"some-id\").";
    case TL_NDE_ENDED_LATE:
        return "The run ended here, the code now goes on; keep the old ending for runs which began "
               "with it, with workflow.patched(\"some-id\").";
    case TL_NDE_STATE:
        return "The code cancels or waits at another moment than before; compare it with the code "
               "that began this run.";
    case TL_NDE_HISTORY:
        return "Get the history again; it is incomplete, damaged, or from a newer server.";
    }
    return "";
}

void tl_core_suggest(struct tl_nde_report *report, struct tl_arena *arena)
{
    struct tl_buf text;
    tl_buf_init(&text, PATCH_BYTES_MAX);
    if (lost_patch(report)) {
        put_call(&text, "workflow.deprecate_patch", report->expected.id, "");
        tl_buf_putc(&text, '\n');
    } else {
        put_patch(&text, report);
    }
    report->suggestion = tl_str(sentence(report));
    report->patch = tl_arena_str(arena, tl_buf_str(&text));
    tl_buf_deinit(&text);
}
