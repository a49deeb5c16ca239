/* Events of a history as lines of text, and the end of a workflow as text and JSON. */
#pragma once

#include <temporal/api/history/v1/message.pb-c.h>

#include "cli/connect.h"

/* The table's first line, then a line per event: id, time, type. */
void tl_cli_events_title(struct tl_print *p);
void tl_cli_event_line(struct tl_print *p, struct tl_arena *arena,
                       const TpHistory__HistoryEvent *e);
/* A heading and one line per field, "path.to.field: value". */
tl_rc tl_cli_event_detail(struct tl_print *p, const TpHistory__HistoryEvent *e,
                          struct tl_error *err) TL_MUST_USE;

/* "COMPLETED", "FAILED", "TIMEOUT", ...; "" for an event that ends no workflow. */
const char *tl_cli_close_status(const TpHistory__HistoryEvent *e);
/* The card "Results:" of a close event. duration_ns 0: not shown. */
void tl_cli_print_results(struct tl_print *p, struct tl_arena *arena,
                          const TpHistory__HistoryEvent *e, int64_t duration_ns);
/* Members closeEvent and result of an object that is being written. */
tl_rc tl_cli_write_close(const struct tl_print *p, const TpHistory__HistoryEvent *e,
                         struct tl_jw *w, struct tl_error *err) TL_MUST_USE;

/* Prints a history event by event, through continue-as-new when it follows. */
struct tl_cli_events {
    struct tl_cli_session *s;
    const char *workflow_id, *run_id;
    bool follow, detailed;
};
/* *close is the event that ended the (last) run, NULL when it runs on; in the session's arena. */
tl_rc tl_cli_print_events(const struct tl_cli_events *o, const TpHistory__HistoryEvent **close,
                          struct tl_client_error *err) TL_MUST_USE;
