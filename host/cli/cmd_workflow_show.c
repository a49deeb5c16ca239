/* workflow show: a history from a server, a database or a file, drawn or as JSON. */
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/embedded_server.h"
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

static int print_history(const TpHistory__History *history, bool json)
{
    struct tl_buf text;
    struct tl_error err;
    tl_rc rc = TL_OK;
    tl_buf_init(&text, (size_t)tl_limit_request_bytes * 4);
    if (json) {
        rc = tl_history_write_json(history, &text, &err);
        tl_buf_putc(&text, '\n');
    } else {
        tl_timeline_draw(history, terminal_columns(), &text);
    }
    if (rc == TL_OK) {
        fwrite(text.p, 1, text.n, stdout);
    }
    tl_buf_deinit(&text);
    return rc == TL_OK ? 0 : tl_cli_fail(1, "%s", err.message);
}

static int show_file(struct tl_cli *cli, bool json)
{
    struct tl_arena arena;
    struct tl_error err;
    TpHistory__History *history;
    char *text = NULL;
    size_t n;
    int code;
    tl_arena_init(&arena, (size_t)tl_limit_request_bytes * 8);
    tl_rc rc = tl_cli_read_file(tl_cli_text(cli, "history-file"), &text, &n, &err);
    if (rc == TL_OK) {
        rc = tl_history_read(tl_str_n(text, n), &arena, &history, &err);
    }
    code = rc == TL_OK ? print_history(history, json) : tl_cli_fail(1, "%s", err.message);
    tl_mem_free(text);
    tl_arena_deinit(&arena);
    return code;
}

static int show_served(struct tl_cli *cli, const char *address, bool json)
{
    struct tl_cli_server s;
    struct tl_client_error err = {0};
    struct tl_arena arena;
    TpHistory__History *history;
    const char *run_id = tl_cli_text(cli, "run-id");
    const char *ns = tl_cli_text(cli, "namespace");
    int code = 1;
    tl_rc rc = address
                   ? tl_cli_remote_open(&s, cli, address, ns, &err.error)
                   : tl_cli_server_open(&s, tl_cli_text(cli, "db-filename"), ns, true, &err.error);
    if (rc != TL_OK) {
        return tl_cli_fail(1, "%s", err.error.message);
    }
    tl_arena_init(&arena, (size_t)tl_limit_request_bytes * 8);
    rc = tl_client_history(s.client, tl_str(tl_cli_text(cli, "workflow-id")), tl_str(run_id),
                           &arena, &history, &err);
    code = rc == TL_OK ? print_history(history, json) : tl_cli_fail(1, "%s", err.error.message);
    tl_arena_deinit(&arena);
    tl_cli_server_close(&s);
    return code;
}

int tl_cmd_workflow_show(struct tl_cli *cli)
{
    int json = tl_cli_json(cli);
    if (json < 0) {
        return 2;
    }
    bool file = tl_cli_text(cli, "history-file") != NULL;
    if (file && tl_cli_text(cli, "workflow-id")) {
        return tl_cli_fail(2, "workflow show: --history-file and --workflow-id exclude each other");
    }
    if (file) {
        return show_file(cli, json);
    }
    const char *address;
    int code = tl_cli_address(cli, &address);
    if (code) {
        return code;
    }
    if (!tl_cli_text(cli, "workflow-id") || (!address && !tl_cli_text(cli, "db-filename"))) {
        return tl_cli_fail(2, "workflow show: give --history-file, or --workflow-id with "
                              "--db-filename or --address");
    }
    return show_served(cli, address, json);
}
