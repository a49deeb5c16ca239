/* Goal: a C program embeds server, client and worker through the public header alone: Lua workflows,
 * C activities, signals, queries, results, failures, bad arguments.
 * Method: a script is written to a folder, everything else goes through tlua_* functions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "embed/embed_int.h"
#include "include/temporal_lua.h"
#include "rpc/grpc.h"

static char folder[] = "test-embed-XXXXXX";

static const char script[] =
    "local workflow = require 'temporal.workflow'\n"
    "local temporal = require 'temporal'\n"
    "local options = { start_to_close_timeout = '10s', retry_policy = { maximum_attempts = 1 } }\n"
    "local Greeting = workflow.define('Greeting', function(name)\n"
    "  return workflow.execute_activity('compose', options, name)\n"
    "end)\n"
    "local Gate = workflow.define('Gate', function()\n"
    "  local who\n"
    "  workflow.set_query_handler('who', function(default) return who or default end)\n"
    "  workflow.set_signal_handler('open', function(name) who = name end)\n"
    "  workflow.wait_condition(function() return who ~= nil end)\n"
    "  return who\n"
    "end)\n"
    "local Guest = workflow.define('Guest', function(name)\n"
    "  local hall = workflow.nexus_client { endpoint = 'hall', service = 'hall' }\n"
    "  return hall:execute_operation('greet', {}, name)\n"
    "end)\n"
    "return { Greeting, Gate, Guest }\n";

static int write_script(void **state)
{
    char path[200];
    (void)state;
    if (!mkdtemp(folder)) {
        return -1;
    }
    snprintf(path, sizeof path, "%s/greeting.lua", folder);
    FILE *f = fopen(path, "w");
    fputs(script, f);
    return fclose(f);
}

static int remove_folder(void **state)
{
    char command[200];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

/* --- Activities -------------------------------------------------------------------------------- */

static void compose(tlua_activity *a, void *ud)
{
    const tlua_host_api *api = tlua_host();
    tlua_payload in;
    char out[200];
    tlua_metric greetings = TLUA_METRIC_INIT;
    greetings.name = "greetings";
    assert_int_equal(api->record_metric(a, &greetings, 2, NULL, 0), TLUA_OK);
    assert_string_equal(ud, "Hello");
    assert_int_equal(api->input(a, 0, &in), TLUA_OK);
    assert_int_equal(api->input(a, 1, &in), TLUA_ENOTFOUND);
    if (in.data.size > 100) {
        tlua_failure f = TLUA_FAILURE_INIT;
        f.type = "TooLong";
        f.message = "the name is too long";
        f.non_retryable = true;
        (api->fail)(a, &f); /* cmocka has a macro of that name */
        return;
    }
    int n = snprintf(out, sizeof out, "\"%s, %.*s!\"", (const char *)ud, (int)in.data.size - 2,
                     in.data.data + 1);
    assert_int_equal(api->put_json(a, TLUA_RESULT, out, (size_t)n), TLUA_OK);
}

static void greet_guest(tlua_operation *o, void *ud)
{
    const tlua_host_api *api = tlua_host();
    tlua_payload in;
    char out[200];
    assert_int_equal(api->operation_input(o, &in), TLUA_OK);
    int n = snprintf(out, sizeof out, "\"%s, %.*s?\"", (const char *)ud, (int)in.data.size - 2,
                     in.data.data + 1);
    assert_int_equal(api->operation_put(o, TLUA_RESULT, "json/plain", out, (size_t)n), TLUA_OK);
}

/* --- The program ------------------------------------------------------------------------------- */

struct program {
    tlua_server *server;
    tlua_client *client;
    tlua_worker *worker;
    tlua_metrics *metrics; /* NULL: nothing is measured */
};

static void start(struct program *p)
{
    tlua_error err;
    tlua_server_options so = TLUA_SERVER_OPTIONS_INIT;
    tlua_worker_options wo = TLUA_WORKER_OPTIONS_INIT;
    const char *roots[] = {folder}, *workflows[] = {"greeting"};
    wo.task_queue = "q";
    wo.roots = roots;
    wo.roots_count = 1;
    wo.workflows = workflows;
    wo.workflows_count = 1;
    wo.metrics = p->metrics;
    assert_int_equal(tlua_server_open(&so, &p->server, &err), TLUA_OK);
    assert_int_equal(tlua_client_open(p->server, NULL, &p->client, &err), TLUA_OK);
    if (tlua_worker_new(p->client, &wo, &p->worker, &err) != TLUA_OK) {
        fail_msg("%s", err.message);
    }
    char greeting[] = "Hello";
    static char kept[sizeof greeting];
    memcpy(kept, greeting, sizeof kept);
    assert_int_equal(tlua_worker_register(p->worker, "compose", compose, kept, &err), TLUA_OK);
    assert_int_equal(tlua_worker_register(p->worker, "compose", compose, kept, &err), TLUA_EEXISTS);
    tlua_operation_handler greet = TLUA_OPERATION_HANDLER_INIT;
    assert_int_equal(tlua_worker_register_operation(p->worker, "hall", "greet", &greet, &err),
                     TLUA_EINVAL); /* without start */
    greet.start = greet_guest;
    greet.ud = kept;
    assert_int_equal(tlua_worker_register_operation(p->worker, "", "greet", &greet, &err),
                     TLUA_EINVAL);
    assert_int_equal(tlua_worker_register_operation(p->worker, "hall", "greet", &greet, &err),
                     TLUA_OK);
    assert_int_equal(tlua_worker_register_operation(p->worker, "hall", "greet", &greet, &err),
                     TLUA_EEXISTS);
    assert_int_equal(tlua_worker_load(p->worker, "/nowhere/lib.so", &err), TLUA_ENOTFOUND);
    assert_int_equal(tlua_worker_start(p->worker, &err), TLUA_OK);
    assert_int_equal(tlua_worker_start(p->worker, &err), TLUA_EPRECONDITION);
    assert_int_equal(tlua_worker_register(p->worker, "late", compose, NULL, &err),
                     TLUA_EPRECONDITION);
    assert_int_equal(tlua_worker_register_operation(p->worker, "hall", "late", &greet, &err),
                     TLUA_EPRECONDITION);
}

static void stop(struct program *p)
{
    tlua_error err;
    assert_int_equal(tlua_worker_stop(p->worker, 0, &err), TLUA_OK);
    assert_int_equal(tlua_worker_stop(p->worker, 0, &err), TLUA_OK);
    tlua_worker_free(p->worker);
    tlua_client_close(p->client);
    tlua_server_close(p->server);
}

static tlua_payload json(const char *text)
{
    return (tlua_payload){{"json/plain", 10}, {text, strlen(text)}};
}

static int begin(struct program *p, const char *id, const char *type, const tlua_payload *arg,
                 char run_id[64])
{
    tlua_error err;
    tlua_start_options o = TLUA_START_OPTIONS_INIT;
    o.workflow_id = id;
    o.workflow_type = type;
    o.task_queue = "q";
    o.args = arg;
    o.args_count = arg ? 1 : 0;
    return tlua_client_start(p->client, &o, run_id, &err);
}

static void expect_json(const tlua_reply *r, const char *text)
{
    tlua_payload v;
    assert_int_equal(tlua_reply_count(r), 1);
    assert_int_equal(tlua_reply_value(r, 0, &v), TLUA_OK);
    assert_int_equal(v.data.size, strlen(text));
    assert_memory_equal(v.data.data, text, v.data.size);
}

static void a_lua_workflow_calls_a_c_activity(void **state)
{
    (void)state;
    struct program p = {0};
    tlua_error err;
    tlua_reply *r;
    char run_id[64];
    tlua_payload name = json("\"Ada\"");
    start(&p);
    assert_int_equal(begin(&p, "g-1", "Greeting", &name, run_id), TLUA_OK);
    assert_int_equal(strlen(run_id), 36);
    assert_int_equal(tlua_client_result(p.client, "g-1", run_id, 20000, &r, &err), TLUA_OK);
    assert_int_equal(tlua_reply_status(r), TLUA_WORKFLOW_COMPLETED);
    expect_json(r, "\"Hello, Ada!\"");
    tlua_reply_free(r);
    stop(&p);
}

static void a_lua_workflow_calls_a_c_operation(void **state)
{
    (void)state;
    struct program p = {0};
    tlua_error err;
    tlua_reply *r;
    tlua_payload name = json("\"Ada\"");
    start(&p);
    assert_int_equal(tlua_client_create_nexus_endpoint(p.client, "hall", "", &err), TLUA_EINVAL);
    assert_int_equal(tlua_client_create_nexus_endpoint(p.client, "hall", "q", &err), TLUA_OK);
    assert_int_equal(tlua_client_create_nexus_endpoint(p.client, "hall", "q", &err), TLUA_EEXISTS);
    assert_int_equal(begin(&p, "guest", "Guest", &name, NULL), TLUA_OK);
    assert_int_equal(tlua_client_result(p.client, "guest", NULL, 20000, &r, &err), TLUA_OK);
    assert_int_equal(tlua_reply_status(r), TLUA_WORKFLOW_COMPLETED);
    expect_json(r, "\"Hello, Ada?\"");
    tlua_reply_free(r);
    stop(&p);
}

/* Whether the first task of the workflow went with the start. */
static bool was_eager(struct program *p, const char *id)
{
    struct tl_arena arena;
    struct tl_client_error err;
    TpWs__GetWorkflowExecutionHistoryRequest req =
        TP_WS__GET_WORKFLOW_EXECUTION_HISTORY_REQUEST__INIT;
    TpCommon__WorkflowExecution execution = TP_COMMON__WORKFLOW_EXECUTION__INIT;
    TpWs__GetWorkflowExecutionHistoryResponse *resp;
    execution.workflow_id = (char *)(uintptr_t)id;
    req.execution = &execution;
    tl_arena_init(&arena, (size_t)1 << 24);
    assert_int_equal(tl_client_call(p->client->client, TL_M_GetWorkflowExecutionHistory, &req,
                                    &arena, &resp, 0, &err),
                     TL_OK);
    bool eager = resp->history->events[0]
                     ->workflow_execution_started_event_attributes->eager_execution_accepted;
    tl_arena_deinit(&arena);
    return eager;
}

static void a_start_may_be_eager(void **state)
{
    (void)state;
    struct program p = {0};
    tlua_error err;
    tlua_reply *r;
    tlua_payload name = json("\"Ada\"");
    tlua_start_options o = TLUA_START_OPTIONS_INIT;
    start(&p);
    assert_int_equal(begin(&p, "polled", "Greeting", &name, NULL), TLUA_OK);
    assert_int_equal(tlua_client_result(p.client, "polled", NULL, 20000, &r, &err), TLUA_OK);
    tlua_reply_free(r);
    assert_false(was_eager(&p, "polled"));
    o.workflow_id = "eager";
    o.workflow_type = "Greeting";
    o.task_queue = "q";
    o.args = &name;
    o.args_count = 1;
    o.request_eager_start = 1;
    assert_int_equal(tlua_client_start(p.client, &o, NULL, &err), TLUA_OK);
    assert_int_equal(tlua_client_result(p.client, "eager", NULL, 20000, &r, &err), TLUA_OK);
    expect_json(r, "\"Hello, Ada!\"");
    tlua_reply_free(r);
    assert_true(was_eager(&p, "eager"));
    stop(&p);
}

static void signals_queries_and_taken_ids(void **state)
{
    (void)state;
    struct program p = {0};
    tlua_error err;
    tlua_reply *r;
    char run_id[64], holder[64];
    tlua_payload nobody = json("\"nobody\""), ada = json("\"Ada\"");
    start(&p);
    assert_int_equal(begin(&p, "gate", "Gate", NULL, run_id), TLUA_OK);
    assert_int_equal(begin(&p, "gate", "Gate", NULL, holder), TLUA_EEXISTS);
    assert_string_equal(holder, run_id);
    assert_int_equal(tlua_client_query(p.client, "gate", "", "who", &nobody, 1, &r, &err), TLUA_OK);
    expect_json(r, "\"nobody\"");
    tlua_reply_free(r);
    assert_int_equal(tlua_client_query(p.client, "gate", NULL, "what", NULL, 0, &r, &err),
                     TLUA_EINVAL);
    assert_int_equal(tlua_client_result(p.client, "gate", NULL, 50, &r, &err), TLUA_EDEADLINE);
    assert_int_equal(tlua_client_signal(p.client, "gate", NULL, "open", &ada, 1, &err), TLUA_OK);
    assert_int_equal(tlua_client_result(p.client, "gate", NULL, 20000, &r, &err), TLUA_OK);
    expect_json(r, "\"Ada\"");
    tlua_reply_free(r);
    assert_int_equal(tlua_client_signal(p.client, "no-such", NULL, "open", NULL, 0, &err),
                     TLUA_ENOTFOUND);
    stop(&p);
}

static void failures_and_terminations_are_told(void **state)
{
    (void)state;
    struct program p = {0};
    tlua_error err;
    tlua_reply *r;
    char text[200] = "\"";
    memset(text + 1, 'a', 150);
    memcpy(text + 151, "\"", 2);
    tlua_payload name = json(text);
    start(&p);
    assert_int_equal(begin(&p, "long", "Greeting", &name, NULL), TLUA_OK);
    assert_int_equal(tlua_client_result(p.client, "long", NULL, 20000, &r, &err), TLUA_OK);
    assert_int_equal(tlua_reply_status(r), TLUA_WORKFLOW_FAILED);
    assert_string_equal(tlua_reply_failure_type(r), "TooLong");
    assert_string_equal(tlua_reply_failure_message(r), "the name is too long");
    tlua_reply_free(r);
    assert_int_equal(begin(&p, "gate", "Gate", NULL, NULL), TLUA_OK);
    assert_int_equal(tlua_client_terminate(p.client, "gate", NULL, "enough", &err), TLUA_OK);
    assert_int_equal(tlua_client_result(p.client, "gate", NULL, 20000, &r, &err), TLUA_OK);
    assert_int_equal(tlua_reply_status(r), TLUA_WORKFLOW_TERMINATED);
    assert_string_equal(tlua_reply_failure_message(r), "enough");
    tlua_reply_free(r);
    assert_int_equal(begin(&p, "gate", "Gate", NULL, NULL), TLUA_OK);
    assert_int_equal(tlua_client_cancel(p.client, "gate", NULL, &err), TLUA_OK);
    assert_int_equal(tlua_client_result(p.client, "gate", NULL, 20000, &r, &err), TLUA_OK);
    assert_int_equal(tlua_reply_status(r), TLUA_WORKFLOW_CANCELED);
    tlua_reply_free(r);
    stop(&p);
}

static void bad_arguments_are_values(void **state)
{
    (void)state;
    tlua_error err;
    tlua_server *server;
    tlua_client *client;
    tlua_worker *worker;
    tlua_server_options so = TLUA_SERVER_OPTIONS_INIT;
    tlua_worker_options wo = TLUA_WORKER_OPTIONS_INIT;
    tlua_start_options start_options = TLUA_START_OPTIONS_INIT;
    const char *missing[] = {"no.such.module"}, *roots[] = {folder};
    assert_int_equal(tlua_server_open(NULL, &server, &err), TLUA_EINVAL);
    assert_null(server);
    so.db_path = "/nowhere/at/all.db";
    assert_int_equal(tlua_server_open(&so, &server, &err), TLUA_ENOTFOUND);
    assert_true(err.message[0] != 0);
    so.db_path = NULL;
    assert_int_equal(tlua_server_open(&so, &server, NULL), TLUA_OK);
    assert_int_equal(tlua_client_open(server, NULL, &client, NULL), TLUA_OK);
    assert_int_equal(tlua_client_start(client, &start_options, NULL, &err), TLUA_EINVAL);
    assert_int_equal(tlua_worker_new(client, &wo, &worker, &err), TLUA_EINVAL);
    wo.task_queue = "q";
    wo.roots = roots;
    wo.roots_count = 1;
    wo.workflows = missing;
    wo.workflows_count = 1;
    assert_int_equal(tlua_worker_new(client, &wo, &worker, &err), TLUA_ENOTFOUND);
    assert_non_null(strstr(err.message, "no.such.module"));
    tlua_worker_free(NULL);
    tlua_reply_free(NULL);
    tlua_client_close(client);
    tlua_server_close(server);
}

static const char *tell_key(void *user_data)
{
    return *(int *)user_data ? "key" : NULL;
}

/* The same calls over a port. */
static void a_server_elsewhere_is_reached(void **state)
{
    tlua_server_options so = TLUA_SERVER_OPTIONS_INIT;
    tlua_connect_options co = TLUA_CONNECT_OPTIONS_INIT;
    tlua_start_options start = TLUA_START_OPTIONS_INIT;
    const tlua_header good = {"x-spec", {"1", 1}}, bad = {"X", {"1", 1}}, none = {NULL, {"1", 1}};
    tlua_server *server;
    tlua_client *client, *local;
    tlua_error err;
    struct tl_grpc_server *port;
    struct tl_grpc_server_options po = {.ip = "127.0.0.1"};
    char address[32], run_id[64];
    (void)state;
    assert_int_equal(tlua_server_open(&so, &server, &err), TLUA_OK);
    assert_int_equal(tl_grpc_server_open(&port, &po, tl_server_service(server->server), NULL),
                     TL_OK);
    assert_int_equal(tlua_client_connect(NULL, &client, &err), TLUA_EINVAL);
    assert_int_equal(tlua_client_connect(&co, &client, &err), TLUA_EINVAL);
    assert_non_null(strstr(err.message, "host:port"));
    snprintf(address, sizeof address, "127.0.0.1:%d", tl_grpc_server_port(port));
    co.address = address;
    co.metadata = &bad;
    co.metadata_count = 1;
    assert_int_equal(tlua_client_connect(&co, &client, &err), TLUA_EINVAL);
    co.metadata = &good;
    assert_int_equal(tlua_client_connect(&co, &client, &err), TLUA_OK);
    start.workflow_id = "w";
    start.workflow_type = "Gate";
    start.task_queue = "q";
    assert_int_equal(tlua_client_start(client, &start, run_id, &err), TLUA_OK);
    assert_int_equal(tlua_client_set_api_key(client, "key\n", &err), TLUA_EINVAL);
    assert_int_equal(tlua_client_set_api_key(client, "key", &err), TLUA_OK);
    assert_int_equal(tlua_client_set_metadata(client, &none, 1, &err), TLUA_EINVAL);
    assert_int_equal(tlua_client_set_metadata(client, NULL, 0, &err), TLUA_OK);
    assert_int_equal(tlua_client_terminate(client, "w", run_id, "enough", &err), TLUA_OK);
    tlua_client_close(client);
    co.api_key_fn = tell_key;
    co.api_key_user_data = &(int){0};
    assert_int_equal(tlua_client_connect(&co, &client, &err), TLUA_EINVAL);
    assert_non_null(strstr(err.message, "told no API key"));
    co.api_key_user_data = &(int){1};
    assert_int_equal(tlua_client_connect(&co, &client, &err), TLUA_OK);
    tlua_client_close(client);
    assert_int_equal(tlua_client_open(server, NULL, &local, &err), TLUA_OK);
    assert_int_equal(tlua_client_set_api_key(local, "key", &err), TLUA_EINVAL);
    tlua_client_close(local);
    tl_grpc_server_close(port);
    tlua_server_close(server);
}

/* --- Metrics ----------------------------------------------------------------------------------- */

static void keep_page(void *ud, tlua_bytes text)
{
    char **page = ud;
    assert_null(*page); /* once */
    *page = calloc(1, text.size + 1);
    memcpy(*page, text.data, text.size);
}

static bool page_has(tlua_metrics *m, const char *text)
{
    char *page = NULL;
    assert_int_equal(tlua_metrics_write(m, keep_page, &page, NULL), TLUA_OK);
    assert_non_null(page);
    bool found = strstr(page, text) != NULL;
    free(page);
    return found;
}

static void workers_and_activities_are_measured(void **state)
{
    (void)state;
    tlua_error err;
    tlua_reply *r;
    char run_id[64];
    tlua_payload name = json("\"Ada\"");
    tlua_attribute shop = {"shop", {"7th", 3}};
    tlua_metrics_options mo = TLUA_METRICS_OPTIONS_INIT;
    struct program p = {0};
    mo.prefix = "own_";
    mo.labels = &shop;
    mo.labels_count = 1;
    mo.counters_total_suffix = true;
    assert_int_equal(tlua_metrics_new(&mo, &p.metrics, &err), TLUA_OK);
    start(&p);
    assert_int_equal(begin(&p, "g-1", "Greeting", &name, run_id), TLUA_OK);
    assert_int_equal(tlua_client_result(p.client, "g-1", run_id, 20000, &r, &err), TLUA_OK);
    tlua_reply_free(r);
    assert_true(page_has(p.metrics, "\ngreetings_total{activity_type=\"compose\",namespace="
                                    "\"default\",task_queue=\"q\",shop=\"7th\"} 2\n"));
    stop(&p);
    assert_true(page_has(p.metrics, "\nown_workflow_completed_total{"));
    assert_true(page_has(p.metrics, "operation=\"RespondActivityTaskCompleted\""));
    tlua_metrics_free(p.metrics);
}

static void metrics_may_go_before_their_worker(void **state)
{
    (void)state;
    tlua_error err;
    struct program p = {0};
    assert_int_equal(tlua_metrics_new(NULL, &p.metrics, &err), TLUA_OK);
    start(&p);
    tlua_metrics_free(p.metrics);
    stop(&p);
    tlua_metrics_free(NULL);
}

static void bad_metrics_are_values(void **state)
{
    (void)state;
    tlua_error err;
    tlua_metrics *m;
    tlua_attribute wrong = {"a b", {"7", 1}};
    tlua_metrics_options mo = TLUA_METRICS_OPTIONS_INIT;
    mo.prefix = "a b";
    assert_int_equal(tlua_metrics_new(&mo, &m, &err), TLUA_EINVAL);
    assert_null(m);
    assert_non_null(strstr(err.message, "prefix"));
    mo.prefix = "a-b";
    assert_int_equal(tlua_metrics_new(&mo, &m, &err), TLUA_EINVAL);
    mo.prefix = "";
    mo.labels = &wrong;
    mo.labels_count = 1;
    assert_int_equal(tlua_metrics_new(&mo, &m, &err), TLUA_EINVAL);
    assert_non_null(strstr(err.message, "'a b' is no name of a label"));
    mo.labels_count = 33;
    assert_int_equal(tlua_metrics_new(&mo, &m, &err), TLUA_EINVAL);
    assert_non_null(strstr(err.message, "at most 32"));
    mo.size = 0;
    assert_int_equal(tlua_metrics_new(&mo, &m, &err), TLUA_EINVAL);
    assert_int_equal(tlua_metrics_write(NULL, keep_page, NULL, &err), TLUA_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lua_workflow_calls_a_c_activity),
        cmocka_unit_test(a_lua_workflow_calls_a_c_operation),
        cmocka_unit_test(a_start_may_be_eager),
        cmocka_unit_test(signals_queries_and_taken_ids),
        cmocka_unit_test(failures_and_terminations_are_told),
        cmocka_unit_test(bad_arguments_are_values),
        cmocka_unit_test(a_server_elsewhere_is_reached),
        cmocka_unit_test(workers_and_activities_are_measured),
        cmocka_unit_test(metrics_may_go_before_their_worker),
        cmocka_unit_test(bad_metrics_are_values),
    };
    return cmocka_run_group_tests(tests, write_script, remove_folder);
}
