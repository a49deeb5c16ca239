/* A C program with a Temporal server, a client and a worker inside: no other process, no port.
 *   embedding FOLDER-OF-WORKFLOWS NAME
 * The workflow is workflows/welcome.lua; its activity is the C function below. Link: -ltemporal_lua. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "temporal_lua.h"

/* "letter" gets a name as JSON text and answers "Dear <name>,". */
static void letter(tlua_activity *a, void *ud)
{
    const tlua_host_api *host = tlua_host();
    tlua_payload name;
    char text[256];
    (void)ud;
    if (host->input(a, 0, &name) != TLUA_OK || name.data.size > 200) {
        tlua_failure f = TLUA_FAILURE_INIT;
        f.type = "BadName";
        f.message = "a name of at most 200 bytes, please";
        f.non_retryable = true;
        host->fail(a, &f);
        return;
    }
    /* The JSON text without its first quote, behind the greeting. */
    int n = snprintf(text, sizeof text, "\"Dear %.*s", (int)name.data.size - 1, name.data.data + 1);
    memcpy(text + n - 1, ",\"", 3);
    host->put_json(a, TLUA_RESULT, text, (size_t)n + 1);
}

struct parts {
    tlua_server *server;
    tlua_client *client;
    tlua_worker *worker;
};

static int start(struct parts *p, const char *folder, tlua_error *err)
{
    const char *workflows[] = {"workflows.welcome"};
    tlua_server_options server =
        TLUA_SERVER_OPTIONS_INIT; /* db_path: a file to survive the process */
    tlua_worker_options worker = TLUA_WORKER_OPTIONS_INIT;
    worker.task_queue = "letters";
    worker.roots = &folder;
    worker.roots_count = 1;
    worker.workflows = workflows;
    worker.workflows_count = 1;
    int rc = tlua_server_open(&server, &p->server, err);
    rc = rc ? rc : tlua_client_open(p->server, NULL, &p->client, err);
    rc = rc ? rc : tlua_worker_new(p->client, &worker, &p->worker, err);
    rc = rc ? rc : tlua_worker_register(p->worker, "letter", letter, NULL, err);
    return rc ? rc : tlua_worker_start(p->worker, err);
}

static int welcome(struct parts *p, const char *name, tlua_error *err)
{
    char json[300], run_id[64];
    tlua_reply *reply = NULL;
    tlua_payload value;
    int n = snprintf(json, sizeof json, "\"%s\"", name);
    const tlua_payload argument = {{"json/plain", strlen("json/plain")}, {json, (size_t)n}};
    tlua_start_options o = TLUA_START_OPTIONS_INIT;
    o.workflow_id = "welcome-1";
    o.workflow_type = "Welcome";
    o.task_queue = "letters";
    o.args = &argument;
    o.args_count = 1;
    int rc = tlua_client_start(p->client, &o, run_id, err);
    rc = rc ? rc : tlua_client_result(p->client, o.workflow_id, NULL, 10000, &reply, err);
    if (rc) {
        return rc;
    }
    if (tlua_reply_status(reply) == TLUA_WORKFLOW_COMPLETED &&
        tlua_reply_value(reply, 0, &value) == TLUA_OK) {
        printf("%.*s\n", (int)value.data.size, value.data.data);
    } else {
        printf("failed: %s: %s\n", tlua_reply_failure_type(reply),
               tlua_reply_failure_message(reply));
    }
    tlua_reply_free(reply);
    return TLUA_OK;
}

int main(int argc, char **argv)
{
    struct parts p = {0};
    tlua_error err = {0};
    if (argc != 3 || strlen(argv[2]) > 250) {
        fprintf(stderr, "usage: %s FOLDER NAME\n", argv[0]);
        return 2;
    }
    int rc = start(&p, argv[1], &err);
    rc = rc ? rc : welcome(&p, argv[2], &err);
    tlua_worker_free(p.worker); /* stops it first */
    tlua_client_close(p.client);
    tlua_server_close(p.server);
    if (rc) {
        fprintf(stderr, "%s: %s\n", argv[0], err.message);
    }
    return rc ? 1 : 0;
}
