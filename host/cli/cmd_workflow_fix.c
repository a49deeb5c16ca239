/* workflow fix-history-json: a history in any spelling that Temporal's tools have used, written as they
 * write it now. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "proto/history_json.h"

int tl_cmd_workflow_fix_history_json(struct tl_cli *cli);

static int write_target(const char *target, struct tl_str text)
{
    bool to_stdout = !target || !*target || strcmp(target, "-") == 0;
    FILE *f = to_stdout ? stdout : fopen(target, "wb");
    if (!f) {
        return tl_cli_fail(1, "cannot write '%s': %s", target, strerror(errno));
    }
    bool ok = fwrite(text.p, 1, text.n, f) == text.n;
    ok = (to_stdout ? fflush(f) : fclose(f)) == 0 && ok;
    return ok ? 0
              : tl_cli_fail(1, "cannot write '%s': %s", to_stdout ? "stdout" : target,
                            strerror(errno));
}

int tl_cmd_workflow_fix_history_json(struct tl_cli *cli)
{
    struct tl_arena arena;
    struct tl_buf out;
    struct tl_error err;
    TpHistory__History *history = NULL;
    char *text = NULL;
    size_t n;
    tl_arena_init(&arena, (size_t)tl_limit_request_bytes * 8);
    tl_buf_init(&out, (size_t)tl_limit_request_bytes * 8);
    tl_rc rc = tl_cli_read_file(tl_cli_text(cli, "source"), &text, &n, &err);
    if (rc == TL_OK) {
        rc = tl_history_read(tl_str_n(text, n), &arena, &history, &err);
    }
    if (rc == TL_OK) {
        rc = tl_history_write_json(history, &out, &err);
    }
    int code = rc == TL_OK ? write_target(tl_cli_text(cli, "target"), tl_buf_str(&out))
                           : tl_cli_fail(1, "%s", err.message);
    tl_mem_free(text);
    tl_buf_deinit(&out);
    tl_arena_deinit(&arena);
    return code;
}
