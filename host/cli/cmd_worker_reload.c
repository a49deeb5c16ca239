/* worker reload, rollback and builds: requests to a worker that runs in another process. */
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "cli/cli.h"
#include "cli/worker_port.h"

int tl_cmd_worker_reload(struct tl_cli *cli);
int tl_cmd_worker_rollback(struct tl_cli *cli);
int tl_cmd_worker_builds(struct tl_cli *cli);

static int ask(struct tl_cli *cli, const char *command)
{
    struct tl_buf answer;
    struct tl_error err;
    bool good = false;
    int64_t pid = tl_cli_integer(cli, "pid");
    if (pid < 0 || pid > INT32_MAX) {
        return tl_cli_fail(2, "--pid: %lld is no process", (long long)pid);
    }
    tl_buf_init(&answer, (size_t)tl_limit_blob_bytes * 2);
    tl_rc rc = tl_worker_port_ask((pid_t)pid, command, &good, &answer, &err);
    int code = rc == TL_OK && good ? 0 : 1;
    if (rc != TL_OK) {
        code = tl_cli_fail(1, "%s", err.message);
    } else {
        size_t head = (size_t)((char *)memchr(answer.p, '\n', answer.n) - answer.p) + 1;
        FILE *out = good ? stdout : stderr;
        fwrite(answer.p + head, 1, answer.n - head, out);
        fputc('\n', out);
    }
    tl_buf_deinit(&answer);
    return code;
}

int tl_cmd_worker_reload(struct tl_cli *cli)
{
    return ask(cli, tl_cli_flag(cli, "skip-replay") ? "reload without replay" : "reload");
}

int tl_cmd_worker_rollback(struct tl_cli *cli)
{
    return ask(cli, "rollback");
}

int tl_cmd_worker_builds(struct tl_cli *cli)
{
    return ask(cli, "builds");
}
