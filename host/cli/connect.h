/* How commands reach a service: one place that knows --db-filename (an embedded server in this
 * process) and --address, and hands a command a client, an arena and a printer.
 * Owns: everything in the session, until the body of the command returns. Thread: main. */
#pragma once

#include "base/arena.h"
#include "cli/cli.h"
#include "cli/embedded_server.h"
#include "cli/print.h"
#include "client/client.h"

struct tl_cli_session {
    struct tl_cli *cli;
    struct tl_cli_server server; /* embedded, or a channel to the address */
    struct tl_channel *coded;    /* above the server's with --codec-endpoint; else NULL */
    struct tl_client *client;
    struct tl_arena arena; /* of the command */
    struct tl_print print;
    int64_t deadline_mono_ns; /* from --command-timeout; 0 = none */
};

/* Whether a database that is not there is made, or an error. */
enum tl_cli_db { TL_CLI_DB_EXISTS, TL_CLI_DB_CREATE };

/* Connects, runs the body and disconnects. Returns the exit code; errors have been printed. */
int tl_cli_session_run(struct tl_cli *cli, enum tl_cli_db db,
                       int (*body)(struct tl_cli_session *s));

/* tl_client_call within the time of the command; the response lives in the session's arena. */
tl_rc tl_cli_call(struct tl_cli_session *s, enum tl_method method, void *request, void *resp,
                  struct tl_client_error *err) TL_MUST_USE;
/* What is left for the command: 0 = no limit, never negative. */
int64_t tl_cli_time_left_ns(const struct tl_cli_session *s);

/* Text of an option as a protobuf string; "" when it was not given. Borrowed from argv. */
char *tl_cli_field(struct tl_cli_session *s, const char *name);
/* Who asks, for the requests inside requests (batches); the arena's. */
char *tl_cli_identity(struct tl_cli_session *s);
/* --workflow-id and --run-id. Borrowed from argv. */
TpCommon__WorkflowExecution tl_cli_execution(struct tl_cli_session *s);
/* Prints "what: message" and returns 1. */
int tl_cli_call_failed(const char *what, const struct tl_client_error *err);
/* 0, or prints the error of a printer and returns 1. */
int tl_cli_printed(tl_rc rc, const struct tl_error *err);
