/* See connect.h. */
#include "cli/connect.h"

#include "base/limits.h"
#include "base/log.h"
#include "cli/codec_options.h"
#include "proto/pb.h"

#define ADDRESS_DEFAULT "localhost:7233"
#define ARENA_BYTES_MAX ((size_t)tl_limit_request_bytes * 8)

static int open_server(struct tl_cli_session *s, enum tl_cli_db db)
{
    struct tl_error err;
    const char *path = tl_cli_text(s->cli, "db-filename"), *address;
    const char *namespace_name = tl_cli_text(s->cli, "namespace");
    int code = tl_cli_address(s->cli, &address);
    if (code) {
        return code;
    }
    tl_rc rc =
        path ? tl_cli_server_open(&s->server, path, namespace_name, db == TL_CLI_DB_EXISTS, &err)
             : tl_cli_remote_open(&s->server, s->cli, address ? address : ADDRESS_DEFAULT,
                                  namespace_name, &err);
    return rc == TL_OK ? 0 : tl_cli_fail(1, "%s", err.message);
}

static int open_codec(struct tl_cli_session *s)
{
    struct tl_error err;
    tl_rc rc = tl_cli_codec_open(s->cli, s->server.channel, &s->coded, &err);
    return rc == TL_OK ? 0 : tl_cli_fail(2, "%s", err.message);
}

/* A server that cannot be reached is told as such, once, instead of by the command's own call. */
static int reach(struct tl_cli_session *s)
{
    TpWs__GetSystemInfoRequest r = TP_WS__GET_SYSTEM_INFO_REQUEST__INIT;
    struct tl_client_error err;
    int64_t timeout_ns = tl_cli_duration_ns(s->cli, "client-connect-timeout");
    int64_t left_ns = tl_cli_time_left_ns(s);
    if (left_ns && left_ns < timeout_ns) {
        timeout_ns = left_ns;
    }
    if (s->server.server || tl_client_call(s->client, TL_M_GetSystemInfo, &r, &s->arena, NULL,
                                           timeout_ns, &err) == TL_OK) {
        return 0;
    }
    return tl_cli_call_failed("failed reaching server", &err);
}

int tl_cli_session_run(struct tl_cli *cli, enum tl_cli_db db, int (*body)(struct tl_cli_session *s))
{
    struct tl_cli_session s = {.cli = cli};
    const struct tl_world *world = tl_world_real();
    const char *identity = tl_cli_text(cli, "identity");
    int64_t timeout_ns = tl_cli_duration_ns(cli, "command-timeout");
    int code = tl_cli_log_options(cli);
    if (code == 0) {
        code = open_server(&s, db);
    }
    if (code) {
        return code;
    }
    code = open_codec(&s);
    if (code) {
        tl_cli_server_close(&s.server);
        return code;
    }
    struct tl_client_config config = {.channel = s.coded ? s.coded : s.server.channel,
                                      .namespace_name = tl_str(tl_cli_text(cli, "namespace")),
                                      .identity = tl_str(identity)};
    s.client = tl_client_new(&config);
    s.deadline_mono_ns = timeout_ns ? tl_world_mono_ns(world) + timeout_ns : 0;
    tl_arena_init(&s.arena, ARENA_BYTES_MAX);
    tl_print_init(&s.print, cli, tl_world_wall_ns(world));
    code = reach(&s);
    code = code ? code : body(&s);
    tl_print_deinit(&s.print);
    tl_arena_deinit(&s.arena);
    tl_client_free(s.client);
    tl_channel_close(s.coded);
    tl_cli_server_close(&s.server);
    return code;
}

int64_t tl_cli_time_left_ns(const struct tl_cli_session *s)
{
    if (!s->deadline_mono_ns) {
        return 0;
    }
    int64_t left = s->deadline_mono_ns - tl_world_mono_ns(tl_client_world(s->client));
    return left > 0 ? left : 1;
}

tl_rc tl_cli_call(struct tl_cli_session *s, enum tl_method method, void *request, void *resp,
                  struct tl_client_error *err)
{
    return tl_client_call(s->client, method, request, &s->arena, resp, tl_cli_time_left_ns(s), err);
}

char *tl_cli_field(struct tl_cli_session *s, const char *name)
{
    const char *text = tl_cli_text(s->cli, name);
    return (char *)(uintptr_t)(text ? text : "");
}

char *tl_cli_identity(struct tl_cli_session *s)
{
    return tl_pb_cstr(&s->arena, tl_client_identity(s->client));
}

TpCommon__WorkflowExecution tl_cli_execution(struct tl_cli_session *s)
{
    TpCommon__WorkflowExecution e = TP_COMMON__WORKFLOW_EXECUTION__INIT;
    e.workflow_id = tl_cli_field(s, "workflow-id");
    e.run_id = tl_cli_field(s, "run-id");
    return e;
}

int tl_cli_call_failed(const char *what, const struct tl_client_error *err)
{
    return tl_cli_fail(1, "%s: %s", what, err->error.message);
}

int tl_cli_printed(tl_rc rc, const struct tl_error *err)
{
    return rc == TL_OK ? 0 : tl_cli_fail(1, "the output cannot be written: %s", err->message);
}
