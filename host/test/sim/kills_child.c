/* The process that gets killed. See kills.h. 24 client threads; a fact is written to the ledger with
 * one write(2) after it was acknowledged, so that it survives the kill. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/embedded_server.h"
#include "proto/payload.h"
#include "proto/pb.h"
#include "sim/kills.h"
#include "sim/sim.h"

#define CLIENTS 24

struct child {
    struct sim parts; /* scripts and worker only */
    struct tl_cli_server server;
    const char *prefix;
    int ledger;
};

struct client_thread {
    struct child *child;
    int number;
};

static void note(struct child *c, const char *kind, const char *id, const char *text)
{
    char line[256];
    int n = snprintf(line, sizeof line, "%s %s %s\n", kind, id, text);
    if (write(c->ledger, line, (size_t)n) != n) {
        _exit(3);
    }
}

static bool start(struct child *c, const char *id, struct tl_arena *arena)
{
    struct tl_client_error err;
    TpWs__StartWorkflowExecutionRequest r;
    TpWs__StartWorkflowExecutionResponse *response;
    TpCommon__WorkflowType type;
    TpTq__TaskQueue queue;
    tp_ws__start_workflow_execution_request__init(&r);
    tp_common__workflow_type__init(&type);
    tp_tq__task_queue__init(&queue);
    type.name = tl_arena_cstr(arena, TL_STR_LIT("Order"));
    queue.name = tl_arena_cstr(arena, TL_STR_LIT("sim"));
    r.workflow_id = tl_arena_cstr(arena, tl_str(id));
    r.workflow_type = &type;
    r.task_queue = &queue;
    TpCommon__Payload *items[] = {tl_payload_json(arena, TL_STR_LIT("7")),
                                  tl_payload_json(arena, TL_STR_LIT("1"))};
    TpCommon__Payloads input;
    tp_common__payloads__init(&input);
    input.payloads = items;
    input.n_payloads = 2;
    r.input = &input;
    if (tl_client_call(c->server.client, TL_M_StartWorkflowExecution, &r, arena, &response, 0,
                       &err) != TL_OK) {
        fprintf(stderr, "start %s: %s\n", id, err.error.message);
        return false;
    }
    note(c, "S", id, response->run_id);
    return true;
}

static bool signal_it(struct child *c, const char *id, struct tl_arena *arena)
{
    struct tl_client_error err;
    TpWs__SignalWorkflowExecutionRequest r;
    TpCommon__WorkflowExecution execution;
    tp_ws__signal_workflow_execution_request__init(&r);
    tp_common__workflow_execution__init(&execution);
    execution.workflow_id = tl_arena_cstr(arena, tl_str(id));
    r.workflow_execution = &execution;
    r.signal_name = tl_arena_cstr(arena, TL_STR_LIT("s"));
    TpCommon__Payload *item = tl_payload_json(arena, TL_STR_LIT("1"));
    TpCommon__Payloads input;
    tp_common__payloads__init(&input);
    input.payloads = &item;
    input.n_payloads = 1;
    r.input = &input;
    if (tl_client_call(c->server.client, TL_M_SignalWorkflowExecution, &r, arena, NULL, 0, &err) !=
        TL_OK) {
        fprintf(stderr, "signal %s: %s\n", id, err.error.message);
        return false;
    }
    note(c, "G", id, "1");
    return true;
}

static bool await(struct child *c, const char *id, struct tl_arena *arena)
{
    struct tl_client_error err;
    struct tl_client_result result;
    struct tl_client_result_query query = {.workflow_id = tl_str(id), .follow_runs = true};
    if (tl_client_result(c->server.client, &query, arena, &result, &err) != TL_OK) {
        fprintf(stderr, "result %s: %s\n", id, err.error.message);
        return false;
    }
    note(c, "C", id,
         result.status == TP_ENUMS__WORKFLOW_EXECUTION_STATUS__WORKFLOW_EXECUTION_STATUS_COMPLETED
             ? "completed"
             : "failed");
    return true;
}

static void *client_main(void *ud)
{
    struct client_thread *t = ud;
    bool ok = true;
    for (int i = 0; ok; i++) {
        struct tl_arena arena;
        char id[64];
        tl_arena_init(&arena, (size_t)tl_limit_request_bytes);
        snprintf(id, sizeof id, "%s-%d-%d", t->child->prefix, t->number, i);
        ok = start(t->child, id, &arena) && signal_it(t->child, id, &arena) &&
             await(t->child, id, &arena);
        tl_arena_deinit(&arena);
    }
    return NULL;
}

static void run_fourteen(void *thread_state, void *ud, struct tl_activity *a)
{
    (void)thread_state;
    (void)ud;
    tl_activity_complete(a, a->task->input);
}

bool sim_kills_worker(struct sim *parts, struct tl_client *client, struct tl_error *err)
{
    struct tl_activity_impl echo = {run_fourteen, NULL};
    struct tl_worker_config config = {.client = client};
    parts->registry = tl_registry_new();
    tl_worker_options_init(&config.options);
    config.options.task_queue = TL_STR_LIT("sim");
    config.lang = parts->lang;
    config.registry = parts->registry;
    return tl_registry_add(parts->registry, TL_STR_LIT("double"), &echo, err) == TL_OK &&
           tl_registry_add(parts->registry, TL_STR_LIT("once"), &echo, err) == TL_OK &&
           tl_worker_new(&parts->workers[0], &config, err) == TL_OK &&
           tl_worker_start(parts->workers[0], err) == TL_OK;
}

static bool open_all(struct child *c, const char *db)
{
    struct tl_error err = {0};
    if (tl_cli_server_open(&c->server, db, "default", false, &err) == TL_OK &&
        sim_scripts_only(&c->parts) && sim_kills_worker(&c->parts, c->server.client, &err)) {
        return true;
    }
    fprintf(stderr, "child: %s\n", err.message);
    return false;
}

int sim_kills_child(const char *db, const char *ledger, const char *prefix)
{
    struct child *c = tl_mem_alloc(sizeof *c);
    pthread_t threads[CLIENTS];
    struct client_thread clients[CLIENTS];
    tl_log_level(TL_LOG_ERROR);
    c->prefix = prefix;
    c->ledger = open(ledger, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (c->ledger < 0 || !open_all(c, db)) {
        return 3;
    }
    note(c, "R", "ready", "-");
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client_thread){c, i};
        if (pthread_create(&threads[i], NULL, client_main, &clients[i]) != 0) {
            return 3;
        }
    }
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(threads[i], NULL);
    }
    return 3; /* the clients only stop when a call failed */
}
