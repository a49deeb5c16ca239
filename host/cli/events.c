/* See events.h. */
#include "cli/events.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "proto/payload.h"
#include "proto/pb.h"
#include "tl_enums.h"

#define PATH_MAX_BYTES 1024

static const struct tl_print_column columns[] = {
    {"ID", 3, true}, {"Time", 20, false}, {"Type", 26, false}};

/* The event's type by its attributes ("WorkflowExecutionStarted"), in the arena. */
static const char *event_type(struct tl_arena *arena, const TpHistory__HistoryEvent *e)
{
    return tl_print_enum(arena, &tp_enums__event_type__descriptor, (int)e->event_type);
}

void tl_cli_events_title(struct tl_print *p)
{
    tl_print_table(p, columns, 3, NULL, 0, true, 1);
}

void tl_cli_event_line(struct tl_print *p, struct tl_arena *arena, const TpHistory__HistoryEvent *e)
{
    const char *cells[] = {tl_print_number(arena, e->event_id),
                           tl_print_time_iso(arena, e->event_time), event_type(arena, e)};
    tl_print_table(p, columns, 3, cells, 1, false, 1);
}

/* --- an event field by field -------------------------------------------------------------------- */

struct flat {
    char **lines;
    size_t n, cap;
    char path[PATH_MAX_BYTES];
};

static void add_line(struct flat *f, struct tl_str value)
{
    struct tl_buf line;
    if (f->n == f->cap) {
        f->cap = f->cap ? 2 * f->cap : 32;
        f->lines = tl_mem_realloc(f->lines, f->cap * sizeof *f->lines);
    }
    tl_buf_init(&line, (size_t)tl_limit_request_bytes * 2);
    tl_buf_printf(&line, "%s: ", f->path);
    tl_buf_put_str(&line, value);
    f->lines[f->n++] = tl_buf_take(&line, NULL);
}

/* Appends ".name" or "[index]" to the path; the attributes of an event stand at its top. */
static void enter(struct flat *f, struct tl_str name, size_t index)
{
    size_t n = strlen(f->path);
    static const char suffix[] = "EventAttributes";
    bool lifted = n == 0 && name.n >= sizeof suffix &&
                  memcmp(name.p + name.n - (sizeof suffix - 1), suffix, sizeof suffix - 1) == 0;
    if (!name.p) {
        snprintf(f->path + n, sizeof f->path - n, "[%zu]", index);
    } else if (!lifted) {
        snprintf(f->path + n, sizeof f->path - n, "%s%.*s", n ? "." : "", TL_STR_FMT(name));
    }
}

static tl_rc flatten(struct flat *f, struct tl_jreader *r, const struct tl_jtok *first,
                     struct tl_error *err)
{
    size_t at = strlen(f->path), index = 0;
    struct tl_jtok t = *first;
    tl_rc rc = TL_OK;
    bool object = t.kind == TL_J_OBJECT;
    if (t.kind != TL_J_OBJECT && t.kind != TL_J_ARRAY) {
        add_line(f, t.kind == TL_J_NULL   ? TL_STR_LIT("null")
                    : t.kind == TL_J_BOOL ? (t.b ? TL_STR_LIT("true") : TL_STR_LIT("false"))
                                          : t.text);
        return TL_OK;
    }
    while ((rc = tl_jtok_next(r, &t, err)) == TL_OK && t.kind != TL_J_OBJECT_END &&
           t.kind != TL_J_ARRAY_END) {
        bool heading =
            at == 0 && (tl_str_eqc(t.text, "eventId") || tl_str_eqc(t.text, "eventType"));
        if (object) {
            enter(f, t.text, 0);
            rc = tl_jtok_next(r, &t, err);
        } else {
            enter(f, (struct tl_str){0}, index++);
        }
        if (rc == TL_OK) {
            rc = heading && object ? tl_jtok_skip(r, &t, err) : flatten(f, r, &t, err);
        }
        f->path[at] = 0;
        if (rc != TL_OK) {
            break;
        }
    }
    return rc;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

tl_rc tl_cli_event_detail(struct tl_print *p, const TpHistory__HistoryEvent *e,
                          struct tl_error *err)
{
    struct tl_json_write_options options = {.payload_shorthand = p->shorthand};
    struct flat f = {0};
    struct tl_buf text;
    struct tl_jreader r;
    struct tl_jtok t;
    char type[96];
    if (!tl_json_enum_short(&tp_enums__event_type__descriptor, (int)e->event_type, type,
                            sizeof type)) {
        snprintf(type, sizeof type, "%d", (int)e->event_type);
    }
    tl_print_line(p, "--------------- [%lld] %s ---------------", (long long)e->event_id, type);
    tl_buf_init(&text, (size_t)tl_limit_request_bytes * 2);
    tl_rc rc = tl_json_write(e, &options, &text, err);
    if (rc == TL_OK) {
        tl_jreader_init(&r, tl_buf_str(&text), TL_JREAD_LONE_SURROGATES, TL_JSON_DEPTH_CEILING);
        rc = tl_jtok_next(&r, &t, err);
        rc = rc == TL_OK ? flatten(&f, &r, &t, err) : rc;
        tl_jreader_deinit(&r);
    }
    if (f.n) {
        qsort(f.lines, f.n, sizeof *f.lines, by_text);
    }
    for (size_t i = 0; i < f.n; i++) {
        tl_print_line(p, "%s", f.lines[i]);
        tl_mem_free(f.lines[i]);
    }
    tl_mem_free(f.lines);
    tl_buf_deinit(&text);
    return rc;
}

/* --- the end of a workflow ------------------------------------------------------------------------ */

const char *tl_cli_close_status(const TpHistory__HistoryEvent *e)
{
    switch ((int)e->event_type) {
    case EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
        return "COMPLETED";
    case EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
        return "FAILED";
    case EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT:
        return "TIMEOUT";
    case EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED:
        return "CANCELED";
    case EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED:
        return "TERMINATED";
    case EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
        return "CONTINUED_AS_NEW";
    default:
        return "";
    }
}

static const TpCommon__Payloads *result_of(const TpHistory__HistoryEvent *e)
{
    return (int)e->event_type == EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED &&
                   e->workflow_execution_completed_event_attributes
               ? e->workflow_execution_completed_event_attributes->result
               : NULL;
}

void tl_cli_print_results(struct tl_print *p, struct tl_arena *arena,
                          const TpHistory__HistoryEvent *e, int64_t duration_ns)
{
    const TpCommon__Payloads *result = result_of(e);
    bool completed = (int)e->event_type == EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED;
    struct tl_str encoding = tl_payload_encoding(tl_payloads_at(result, 0));
    bool failed = (int)e->event_type == EVENT_TYPE_WORKFLOW_EXECUTION_FAILED;
    const char *failure =
        failed ? tl_print_failure(arena, e->workflow_execution_failed_event_attributes->failure)
               : "";
    int64_t step = 10 * TL_NS_PER_MS;
    struct tl_print_row rows[] = {
        {"RunTime", duration_ns > 0 ? tl_print_duration(arena, duration_ns / step * step) : "",
         true},
        {"Status", tl_cli_close_status(e), false},
        {"Result", completed ? tl_print_payloads_text(p, arena, result) : "", true},
        {"ResultEncoding", tl_arena_cstr(arena, encoding), true},
        {"Failure", failure, true},
    };
    tl_print_line(p, "Results:");
    tl_print_card(p, rows, sizeof rows / sizeof rows[0]);
}

tl_rc tl_cli_write_close(const struct tl_print *p, const TpHistory__HistoryEvent *e,
                         struct tl_jw *w, struct tl_error *err)
{
    struct tl_json_write_options options = tl_print_json_options(p);
    tl_jw_name(w, TL_STR_LIT("closeEvent"));
    tl_rc rc = tl_json_write_value(e, &options, w, err);
    if (rc == TL_OK && (int)e->event_type == EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED) {
        tl_jw_name(w, TL_STR_LIT("result"));
        rc = tl_print_payloads(p, result_of(e), w, err);
    }
    return rc;
}

/* --- a whole history ------------------------------------------------------------------------------ */

static tl_rc print_page(const struct tl_cli_events *o, const TpHistory__History *page, bool *first,
                        struct tl_arena *arena, struct tl_error *err)
{
    struct tl_print *p = &o->s->print;
    tl_rc rc = TL_OK;
    for (size_t i = 0; rc == TL_OK && i < page->n_events; i++) {
        if (!o->detailed) {
            tl_cli_event_line(p, arena, page->events[i]);
            continue;
        }
        if (!*first) {
            tl_print_line(p, "%s", "");
        }
        *first = false;
        rc = tl_cli_event_detail(p, page->events[i], err);
    }
    tl_print_flush(p);
    return rc;
}

/* One run; *last is its last event, cloned into the session's arena. */
static tl_rc print_run(const struct tl_cli_events *o, const char *run_id, bool *first,
                       const TpHistory__HistoryEvent **last, struct tl_client_error *err)
{
    struct tl_history_iter it;
    struct tl_arena page_arena;
    const TpHistory__History *page;
    int64_t left = tl_cli_time_left_ns(o->s);
    tl_rc rc;
    tl_history_iter_init(&it, o->s->client);
    tl_arena_init(&page_arena, (size_t)tl_limit_request_bytes * 8);
    it.workflow_id = tl_str(o->workflow_id);
    it.run_id = tl_str(run_id);
    it.wait_new_event = o->follow;
    it.deadline_mono_ns = left ? tl_world_mono_ns(tl_client_world(o->s->client)) + left : 0;
    *last = NULL;
    while ((page = tl_history_iter_next(&it, &page_arena, &rc, err)) != NULL) {
        rc = print_page(o, page, first, &page_arena, &err->error);
        *last = tl_pb_clone(page->events[page->n_events - 1], &o->s->arena);
        if (rc != TL_OK) {
            break;
        }
        tl_arena_reset(&page_arena);
    }
    tl_history_iter_deinit(&it);
    tl_arena_deinit(&page_arena);
    return rc;
}

tl_rc tl_cli_print_events(const struct tl_cli_events *o, const TpHistory__HistoryEvent **close,
                          struct tl_client_error *err)
{
    const char *run_id = o->run_id;
    bool first = true;
    tl_rc rc;
    if (!o->detailed) {
        tl_cli_events_title(&o->s->print);
    }
    do {
        const TpHistory__HistoryEvent *last;
        rc = print_run(o, run_id, &first, &last, err);
        *close = rc == TL_OK && last && *tl_cli_close_status(last) ? last : NULL;
        run_id =
            *close && (int)(*close)->event_type == EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW
                ? (*close)
                      ->workflow_execution_continued_as_new_event_attributes->new_execution_run_id
                : "";
    } while (o->follow && *run_id);
    return rc;
}
