/* Goal: the worker with real scripts against the real server in one process: results, scripts that
 * never end or eat memory are stopped and who computes for long stands in nobody's way, unknown types
 * are told with what there is, a small cache loses nothing, the digest names the build.
 * Method: bundles from text, threads, an in-memory server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "luart/bundle.h"
#include "proto/pb.h"
#include "server/server.h"
#include "tl_enums.h"
#include "worker/native.h"
#include "worker/worker.h"

static const char script[] =
    "local workflow = require 'temporal.workflow'\n"
    "local opts = { start_to_close_timeout = '10s' }\n"
    "return {\n"
    "  workflow.define('Echo', function(x) return workflow.execute_activity('echo', opts, x) "
    "end),\n"
    "  workflow.define('Steps', function(n)\n"
    "    local sum = 0\n"
    "    for i = 1, n do sum = sum + workflow.execute_activity('echo', opts, i) end\n"
    "    return sum\n"
    "  end),\n"
    "  workflow.define('Long', function(turns)\n"
    "    local sum = 0\n"
    "    for i = 1, turns do sum = (sum * 31 + i) % 1000003 end\n"
    "    return workflow.execute_activity('echo', opts, 'long')\n"
    "  end),\n"
    "  workflow.define('Spin', function() while true do end end),\n"
    "  workflow.define('Eat', function()\n"
    "    local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end\n"
    "  end),\n"
    "}\n";

struct whole {
    struct tl_server *server;
    struct tl_channel *channel;
    struct tl_client *client;
    struct tl_registry *registry;
    struct tl_bundle *bundle;
    struct tl_worker_lang *lang;
    struct tl_worker *worker;
    struct tl_arena arena;
    struct tl_client_error err;
};

static void echo(tlua_activity *a, void *ud)
{
    const tlua_host_api *api = tl_native_host_api();
    tlua_payload in;
    (void)ud;
    if (api->input(a, 0, &in) == TLUA_OK) {
        api->put_json(a, TLUA_RESULT, in.data.data, in.data.size);
    }
}

static void open_whole(struct whole *w, void (*change)(struct tl_worker_options *))
{
    struct tl_error err = {0};
    struct tl_server_options so;
    struct tl_bundle_source source = {TL_STR_LIT("w"), tl_str(script)};
    struct tl_bundle_config bc = {.sources = &source, .source_count = 1};
    *w = (struct whole){0};
    tl_log_level(TL_LOG_NEVER);
    tl_arena_init(&w->arena, (size_t)1 << 26);
    tl_server_options_default(&so);
    assert_int_equal(tl_server_open(&w->server, &so, NULL), TL_OK);
    assert_int_equal(tl_server_start(w->server, NULL), TL_OK);
    w->channel = tl_local_channel_open(tl_server_service(w->server));
    struct tl_client_config cc = {.channel = w->channel};
    w->client = tl_client_new(&cc);
    w->registry = tl_registry_new();
    assert_int_equal(tl_native_add(w->registry, TL_STR_LIT("echo"), echo, NULL, NULL), TL_OK);
    if (tl_bundle_open(&w->bundle, &bc, &err) != TL_OK) {
        fail_msg("%s", err.message);
    }
    w->lang = tl_worker_lua_lang_new(w->bundle);
    struct tl_worker_config config = {
        .client = w->client, .lang = w->lang, .registry = w->registry};
    tl_worker_options_init(&config.options);
    config.options.task_queue = TL_STR_LIT("q");
    if (change) {
        change(&config.options);
    }
    assert_int_equal(tl_worker_new(&w->worker, &config, &err), TL_OK);
    assert_int_equal(tl_worker_start(w->worker, &err), TL_OK);
}

static void close_whole(struct whole *w)
{
    tl_worker_free(w->worker);
    tl_worker_lua_lang_free(w->lang);
    tl_bundle_close(w->bundle);
    tl_registry_free(w->registry);
    tl_client_free(w->client);
    tl_channel_close(w->channel);
    tl_server_stop(w->server);
    tl_server_close(w->server);
    tl_arena_deinit(&w->arena);
    tl_log_level(TL_LOG_INFO);
}

static void start(struct whole *w, const char *id, const char *type, const char *json)
{
    TpWs__StartWorkflowExecutionRequest r = TP_WS__START_WORKFLOW_EXECUTION_REQUEST__INIT;
    TpCommon__WorkflowType t = TP_COMMON__WORKFLOW_TYPE__INIT;
    TpTq__TaskQueue q = TP_TQ__TASK_QUEUE__INIT;
    TpCommon__Payloads input = TP_COMMON__PAYLOADS__INIT;
    TpCommon__Payload *p =
        tl_native_payload(&w->arena, TL_STR_LIT("json/plain"), tl_str(json ? json : "null"));
    input.n_payloads = 1;
    input.payloads = &p;
    t.name = (char *)(uintptr_t)type;
    q.name = (char *)(uintptr_t) "q";
    r.workflow_id = (char *)(uintptr_t)id;
    r.workflow_type = &t;
    r.task_queue = &q;
    r.input = &input;
    assert_int_equal(
        tl_client_call(w->client, TL_M_StartWorkflowExecution, &r, &w->arena, NULL, 0, &w->err),
        TL_OK);
}

static void expect_result(struct whole *w, const char *id, const char *json)
{
    struct tl_client_result result;
    struct tl_client_result_query q = {
        .workflow_id = tl_str(id), .timeout_ns = 120 * TL_NS_PER_S, .follow_runs = true};
    if (tl_client_result(w->client, &q, &w->arena, &result, &w->err) != TL_OK) {
        fail_msg("%s: %s", id, w->err.error.message);
    }
    assert_int_equal((int)result.status, WORKFLOW_EXECUTION_STATUS_COMPLETED);
    struct tl_str data = tl_pb_str(result.result->payloads[0]->data);
    assert_int_equal(data.n, strlen(json));
    assert_memory_equal(data.p, json, data.n);
}

/* The first WorkflowTaskFailed of a run, which must come within seconds. */
static const TpHistory__WorkflowTaskFailedEventAttributes *failed_task(struct whole *w,
                                                                       const char *id)
{
    for (int i = 0; i < 1000; i++) {
        TpHistory__History *h = NULL;
        assert_int_equal(
            tl_client_history(w->client, tl_str(id), (struct tl_str){0}, &w->arena, &h, &w->err),
            TL_OK);
        for (size_t k = 0; k < h->n_events; k++) {
            if (h->events[k]->attributes_case ==
                TP_HISTORY__HISTORY_EVENT__ATTRIBUTES_WORKFLOW_TASK_FAILED_EVENT_ATTRIBUTES) {
                return h->events[k]->workflow_task_failed_event_attributes;
            }
        }
        usleep(5000);
    }
    fail_msg("%s: no workflow task failed", id);
    return NULL;
}

/* ------------------------------------------------------------------------------------------------ */

static void scripts_run(void **state)
{
    (void)state;
    struct whole w;
    open_whole(&w, NULL);
    start(&w, "a", "Echo", "{\"n\":[1,2,3]}");
    start(&w, "b", "Steps", "10");
    expect_result(&w, "a", "{\"n\":[1,2,3]}");
    expect_result(&w, "b", "55");
    struct tl_worker_stats s;
    tl_worker_stats(w.worker, &s);
    assert_int_equal(s.workflow_tasks_failed, 0);
    assert_int_equal(s.activities_completed, 11);
    close_whole(&w);
}

static void no_cache(struct tl_worker_options *o)
{
    o->max_cached_workflows = 0;
}

static void one_cached(struct tl_worker_options *o)
{
    o->max_cached_workflows = 1;
}

static void a_small_cache_loses_nothing(void **state)
{
    (void)state;
    void (*const changes[])(struct tl_worker_options *) = {no_cache, one_cached};
    for (int i = 0; i < 2; i++) {
        struct whole w;
        char id[16];
        open_whole(&w, changes[i]);
        for (int k = 0; k < 6; k++) {
            snprintf(id, sizeof id, "s%d", k);
            start(&w, id, "Steps", "8");
        }
        for (int k = 0; k < 6; k++) {
            snprintf(id, sizeof id, "s%d", k);
            expect_result(&w, id, "36");
        }
        struct tl_worker_stats s;
        tl_worker_stats(w.worker, &s);
        for (int k = 0; k < 1000 && s.cached_runs; k++) { /* until the last answers are in */
            usleep(1000);
            tl_worker_stats(w.worker, &s);
        }
        assert_int_equal(s.workflow_tasks_failed, 0);
        assert_int_equal(s.cached_runs, 0);
        close_whole(&w);
    }
}

static void tight(struct tl_worker_options *o)
{
    o->workflow_cpu_limit_ms = 200;
    o->max_workflow_memory = 4 << 20;
    o->workflow_threads = 1;
}

static void hogs_are_stopped_and_others_go_on(void **state)
{
    (void)state;
#ifdef __SANITIZE_THREAD__
    const bool spins = false; /* it holds the watchdog's signal back until the script calls libc */
#else
    const bool spins = true;
#endif
    struct whole w;
    open_whole(&w, tight);
    if (spins) {
        start(&w, "spin", "Spin", NULL);
    }
    start(&w, "eat", "Eat", NULL);
    start(&w, "good", "Echo", "1");
    expect_result(&w, "good", "1");
    if (spins) {
        assert_non_null(failed_task(&w, "spin")->failure);
    }
    assert_non_null(failed_task(&w, "eat")->failure);
    struct tl_worker_stats s;
    tl_worker_stats(w.worker, &s);
    /* More when a machine is slow enough for later attempts to be seen. */
    assert_true(s.killed_runs >= (spins ? 2 : 1));
    start(&w, "later", "Echo", "2");
    expect_result(&w, "later", "2");
    close_whole(&w);
}

static void one_thread(struct tl_worker_options *o)
{
    o->workflow_cpu_limit_ms = 60000;
    o->workflow_threads = 1;
    o->max_concurrent_workflow_tasks = 3;
}

/* The places of the events' ends among each other tell who waited for whom. */
static int64_t end_time_ns(struct whole *w, const char *id)
{
    TpHistory__History *h = NULL;
    assert_int_equal(
        tl_client_history(w->client, tl_str(id), (struct tl_str){0}, &w->arena, &h, &w->err),
        TL_OK);
    return tl_pb_timestamp_ns_or(h->events[h->n_events - 1]->event_time, 0);
}

/* More of them than there are slots, and one thread: they compute in quarantine, without a slot. */
static void who_computes_for_long_lets_others_pass(void **state)
{
    (void)state;
#ifdef __SANITIZE_THREAD__
    const char *turns =
        "1000000"; /* each takes more than ten times as long: four must fit a task's 10 s */
#else
    const char *turns = "15000000";
#endif
    struct whole w;
    char id[16];
    open_whole(&w, one_thread);
    for (int i = 0; i < 4; i++) {
        snprintf(id, sizeof id, "long%d", i);
        start(&w, id, "Long", turns);
    }
    start(&w, "good", "Echo", "1");
    expect_result(&w, "good", "1");
    for (int i = 0; i < 4; i++) {
        snprintf(id, sizeof id, "long%d", i);
        expect_result(&w, id, "\"long\"");
    }
    assert_true(end_time_ns(&w, "good") < end_time_ns(&w, "long3"));
    struct tl_worker_stats s;
    tl_worker_stats(w.worker, &s);
    assert_int_equal(s.quarantined_runs, 4);
    assert_int_equal(s.killed_runs, 0);
    assert_int_equal(s.workflow_tasks_failed, 0);
    close_whole(&w);
}

static void an_unknown_type_lists_what_there_is(void **state)
{
    (void)state;
    struct whole w;
    open_whole(&w, NULL);
    start(&w, "x", "Ecko", NULL);
    const char *message = failed_task(&w, "x")->failure->message;
    assert_non_null(strstr(message, "Ecko"));
    assert_non_null(strstr(message, "Echo"));
    close_whole(&w);
}

static void the_digest_names_the_sources(void **state)
{
    (void)state;
    const char *texts[] = {script,
                           "return require('temporal.workflow').define('W', function() end)"};
    char digest[3][65];
    for (int i = 0; i < 3; i++) {
        struct tl_bundle *b;
        struct tl_bundle_source source = {TL_STR_LIT("w"), tl_str(texts[i % 2])};
        struct tl_bundle_config bc = {.sources = &source, .source_count = 1};
        assert_int_equal(tl_bundle_open(&b, &bc, NULL), TL_OK);
        tl_worker_bundle_digest(b, digest[i]);
        assert_int_equal(strlen(digest[i]), 64);
        tl_bundle_close(b);
    }
    assert_string_equal(digest[0], digest[2]);
    assert_string_not_equal(digest[0], digest[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scripts_run),
        cmocka_unit_test(a_small_cache_loses_nothing),
        cmocka_unit_test(hogs_are_stopped_and_others_go_on),
        cmocka_unit_test(who_computes_for_long_lets_others_pass),
        cmocka_unit_test(an_unknown_type_lists_what_there_is),
        cmocka_unit_test(the_digest_names_the_sources),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
