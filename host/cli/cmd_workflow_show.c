/* workflow show: a history from a service or a file: drawn, event by event, or as JSON. */
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "cli/events.h"
#include "cli/timeline.h"
#include "proto/history_json.h"

int tl_cmd_workflow_show(struct tl_cli *cli);

static int terminal_columns(void)
{
    struct winsize size;
    if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        return size.ws_col;
    }
    return 100;
}

/* Reversed in place: a history that has been read is its reader's. */
static void reverse(TpHistory__History *history)
{
    for (size_t i = 0; i < history->n_events / 2; i++) {
        TpHistory__HistoryEvent *e = history->events[i];
        history->events[i] = history->events[history->n_events - 1 - i];
        history->events[history->n_events - 1 - i] = e;
    }
}

/* --- text ----------------------------------------------------------------------------------------- */

static int draw(struct tl_print *p, const TpHistory__History *history)
{
    if (p->mode == TL_PRINT_TEXT) {
        tl_timeline_draw(history, terminal_columns(), &p->out);
    }
    return 0;
}

/* The events as they stand, and the result of a workflow that has ended. */
static int print_events(struct tl_print *p, struct tl_arena *arena,
                        const TpHistory__History *history, bool detailed)
{
    struct tl_error err;
    const TpHistory__HistoryEvent *close = NULL;
    tl_print_line(p, "Progress:");
    if (!detailed) {
        tl_cli_events_title(p);
    }
    for (size_t i = 0; i < history->n_events; i++) {
        const TpHistory__HistoryEvent *e = history->events[i];
        close = *tl_cli_close_status(e) ? e : close;
        if (!detailed) {
            tl_cli_event_line(p, arena, e);
            continue;
        }
        if (i > 0) {
            tl_print_line(p, "%s", "");
        }
        if (tl_cli_event_detail(p, e, &err) != TL_OK) {
            return tl_cli_printed(err.code, &err);
        }
    }
    if (close) {
        tl_print_line(p, "%s", "");
        tl_cli_print_results(p, arena, close, 0);
    }
    return 0;
}

/* --- JSON ----------------------------------------------------------------------------------------- */

static int print_json(struct tl_print *p, const TpHistory__History *history)
{
    struct tl_error err = {0};
    tl_rc rc;
    if (p->mode == TL_PRINT_JSON) {
        rc = tl_history_write_json(history, &p->out, &err);
        tl_buf_putc(&p->out, '\n');
    } else {
        p->shorthand = false; /* replayers read the payloads in full */
        rc = tl_print_message(p, history, &err);
    }
    return tl_cli_printed(rc, &err);
}

static int print_history(struct tl_cli *cli, struct tl_print *p, struct tl_arena *arena,
                         TpHistory__History *history)
{
    bool backwards = tl_cli_flag(cli, "reverse"), detailed = tl_cli_flag(cli, "detailed");
    if (backwards) {
        reverse(history);
    }
    if (tl_print_is_json(p)) {
        return print_json(p, history);
    }
    return backwards || detailed ? print_events(p, arena, history, detailed) : draw(p, history);
}

/* --- where it comes from -------------------------------------------------------------------------- */

static int show_file(struct tl_cli *cli)
{
    struct tl_arena arena;
    struct tl_print print;
    struct tl_error err;
    TpHistory__History *history;
    char *text = NULL;
    size_t n;
    int code;
    tl_arena_init(&arena, (size_t)tl_limit_request_bytes * 8);
    tl_print_init(&print, cli, tl_world_wall_ns(tl_world_real()));
    tl_rc rc = tl_cli_read_file(tl_cli_text(cli, "history-file"), &text, &n, &err);
    if (rc == TL_OK) {
        rc = tl_history_read(tl_str_n(text, n), &arena, &history, &err);
    }
    code = rc == TL_OK ? print_history(cli, &print, &arena, history)
                       : tl_cli_fail(1, "%s", err.message);
    tl_mem_free(text);
    tl_print_deinit(&print);
    tl_arena_deinit(&arena);
    return code;
}

static int follow(struct tl_cli_session *s)
{
    struct tl_client_error err;
    const TpHistory__HistoryEvent *close = NULL;
    struct tl_cli_events events = {.s = s,
                                   .workflow_id = tl_cli_field(s, "workflow-id"),
                                   .run_id = tl_cli_field(s, "run-id"),
                                   .follow = true,
                                   .detailed = tl_cli_flag(s->cli, "detailed")};
    tl_print_line(&s->print, "Progress:");
    if (tl_cli_print_events(&events, &close, &err) != TL_OK) {
        return tl_cli_call_failed("displaying history failed", &err);
    }
    if (close) {
        tl_print_line(&s->print, "%s", "");
        tl_cli_print_results(&s->print, &s->arena, close, 0);
    }
    return 0;
}

/* Waits for the end of the run, so that the history is whole. */
static int wait_for_end(struct tl_cli_session *s)
{
    struct tl_client_error err;
    struct tl_client_result result;
    struct tl_client_result_query query = {.workflow_id = tl_str(tl_cli_field(s, "workflow-id")),
                                           .run_id = tl_str(tl_cli_field(s, "run-id")),
                                           .timeout_ns = tl_cli_time_left_ns(s)};
    if (tl_client_result(s->client, &query, &s->arena, &result, &err) != TL_OK) {
        return tl_cli_call_failed("displaying history failed", &err);
    }
    return 0;
}

static int show_served(struct tl_cli_session *s)
{
    struct tl_client_error err;
    TpHistory__History *history;
    bool following = tl_cli_flag(s->cli, "follow");
    if (following && s->print.mode == TL_PRINT_TEXT) {
        return follow(s);
    }
    int code = following ? wait_for_end(s) : 0;
    if (code) {
        return code;
    }
    if (tl_client_history(s->client, tl_str(tl_cli_field(s, "workflow-id")),
                          tl_str(tl_cli_field(s, "run-id")), &s->arena, &history, &err) != TL_OK) {
        return tl_cli_fail(1, "%s", err.error.message);
    }
    return print_history(s->cli, &s->print, &s->arena, history);
}

int tl_cmd_workflow_show(struct tl_cli *cli)
{
    bool file = tl_cli_text(cli, "history-file") != NULL;
    int code = tl_cli_log_options(cli);
    if (code) {
        return code;
    }
    if (file && tl_cli_text(cli, "workflow-id")) {
        return tl_cli_fail(2, "workflow show: --history-file and --workflow-id exclude each other");
    }
    if (tl_cli_flag(cli, "follow") && (file || tl_cli_flag(cli, "reverse"))) {
        return tl_cli_fail(2, "workflow show: --follow and %s exclude each other",
                           file ? "--history-file" : "--reverse");
    }
    if (file) {
        return show_file(cli);
    }
    if (!tl_cli_text(cli, "workflow-id")) {
        return tl_cli_fail(2, "workflow show: give --workflow-id or --history-file");
    }
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, show_served);
}
