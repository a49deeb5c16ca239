/* Goal: server, worker and client work together, without Lua in between: a workflow with one activity
 * and a timer, in threads and stepped, and again after the server was reopened.
 * Method: a language in C whose workflow schedules an activity, sleeps, and completes with the input. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "proto/payload.h"
#include "proto/pb.h"
#include "server/server.h"
#include "tl_enums.h"
#include "worker/worker.h"

/* --- a language in C ------------------------------------------------------------------------------- */

static void schedule(const struct tl_activation *a, struct tl_completion *out)
{
    TpCommand__ScheduleActivityTaskCommandAttributes *attrs =
        TL_PB_NEW(a->arena, TpCommand__ScheduleActivityTaskCommandAttributes,
                  tp_command__schedule_activity_task_command_attributes);
    attrs->activity_type = TL_PB_NEW(a->arena, TpCommon__ActivityType, tp_common__activity_type);
    attrs->activity_type->name = tl_pb_cstr(a->arena, TL_STR_LIT("act"));
    attrs->task_queue = TL_PB_NEW(a->arena, TpTq__TaskQueue, tp_tq__task_queue);
    attrs->task_queue->name = tl_pb_cstr(a->arena, TL_STR_LIT("q"));
    attrs->start_to_close_timeout = tl_pb_duration_ms(a->arena, 10000);
    struct tl_cmd *c = tl_completion_add(out, TL_CMD_SCHEDULE_ACTIVITY);
    c->seq = 1;
    c->attrs = &attrs->base;
}

static void sleep_a_little(const struct tl_activation *a, struct tl_completion *out)
{
    TpCommand__StartTimerCommandAttributes *attrs =
        TL_PB_NEW(a->arena, TpCommand__StartTimerCommandAttributes,
                  tp_command__start_timer_command_attributes);
    attrs->start_to_fire_timeout = tl_pb_duration_ms(a->arena, 5);
    struct tl_cmd *c = tl_completion_add(out, TL_CMD_START_TIMER);
    c->seq = 1;
    c->attrs = &attrs->base;
}

static void complete(const struct tl_activation *a, struct tl_completion *out)
{
    TpCommand__CompleteWorkflowExecutionCommandAttributes *attrs =
        TL_PB_NEW(a->arena, TpCommand__CompleteWorkflowExecutionCommandAttributes,
                  tp_command__complete_workflow_execution_command_attributes);
    tl_completion_add(out, TL_CMD_COMPLETE)->attrs = &attrs->base;
}

static tl_rc activate(void *ud, const struct tl_activation *a, struct tl_completion *out,
                      struct tl_error *err)
{
    (void)ud;
    (void)err;
    for (size_t i = 0; i < a->job_count; i++) {
        switch (a->jobs[i].type) {
        case TL_JOB_INIT:
            schedule(a, out);
            break;
        case TL_JOB_ACTIVITY_RESOLVED:
            sleep_a_little(a, out);
            break;
        case TL_JOB_TIMER_FIRED:
            complete(a, out);
            break;
        default:
            break;
        }
    }
    return TL_OK;
}

static size_t run_bytes(void *ud)
{
    (void)ud;
    return 100;
}

static void run_free(void *ud)
{
    (void)ud;
}

static tl_rc open_run(void *ud, const struct tl_run_info *info, struct tl_run_lang *out,
                      struct tl_error *err)
{
    (void)ud;
    (void)info;
    (void)err;
    *out = (struct tl_run_lang){.lang = {NULL, activate}, .bytes = run_bytes, .free = run_free};
    return TL_OK;
}

/* --- the parts --------------------------------------------------------------------------------------- */

struct whole {
    struct tl_server *server;
    struct tl_channel *channel;
    struct tl_client *client;
    struct tl_registry *registry;
    struct tl_worker_lang lang;
    struct tl_worker *worker;
};

static void act(void *thread_state, void *ud, struct tl_activity *a)
{
    (void)thread_state;
    (void)ud;
    tl_activity_complete(a, a->task->input);
}

static void open_whole(struct whole *w, const char *db)
{
    struct tl_error err = {0};
    struct tl_server_options o;
    struct tl_activity_impl impl = {act, NULL};
    tl_log_level(TL_LOG_WARN);
    tl_server_options_default(&o);
    o.db_path = db;
    if (tl_server_open(&w->server, &o, &err) != TL_OK ||
        tl_server_start(w->server, &err) != TL_OK) {
        fail_msg("%s", err.message);
    }
    w->channel = tl_local_channel_open(tl_server_service(w->server));
    struct tl_client_config cc = {.channel = w->channel};
    w->client = tl_client_new(&cc);
    w->registry = tl_registry_new();
    assert_int_equal(tl_registry_add(w->registry, TL_STR_LIT("act"), &impl, &err), TL_OK);
    w->lang = (struct tl_worker_lang){.open = open_run, .digest = TL_STR_LIT("c")};
    struct tl_worker_config config = {
        .client = w->client, .lang = &w->lang, .registry = w->registry};
    tl_worker_options_init(&config.options);
    config.options.task_queue = TL_STR_LIT("q");
    if (tl_worker_new(&w->worker, &config, &err) != TL_OK ||
        tl_worker_start(w->worker, &err) != TL_OK) {
        fail_msg("%s", err.message);
    }
}

static void close_whole(struct whole *w)
{
    tl_worker_free(w->worker);
    tl_registry_free(w->registry);
    tl_client_free(w->client);
    tl_channel_close(w->channel);
    tl_server_stop(w->server);
    tl_server_close(w->server);
}

static void start(struct whole *w, const char *id)
{
    struct tl_arena arena;
    struct tl_client_error err = {0};
    tl_arena_init(&arena, (size_t)tl_limit_request_bytes);
    TpWs__StartWorkflowExecutionRequest *r = TL_PB_NEW(&arena, TpWs__StartWorkflowExecutionRequest,
                                                       tp_ws__start_workflow_execution_request);
    r->workflow_id = tl_arena_cstr(&arena, tl_str(id));
    r->workflow_type = TL_PB_NEW(&arena, TpCommon__WorkflowType, tp_common__workflow_type);
    r->workflow_type->name = tl_arena_cstr(&arena, TL_STR_LIT("W"));
    r->task_queue = TL_PB_NEW(&arena, TpTq__TaskQueue, tp_tq__task_queue);
    r->task_queue->name = tl_arena_cstr(&arena, TL_STR_LIT("q"));
    if (tl_client_call(w->client, TL_M_StartWorkflowExecution, r, &arena, NULL, 0, &err) != TL_OK) {
        fail_msg("start: %s", err.error.message);
    }
    tl_arena_deinit(&arena);
}

static void await(struct whole *w, const char *id)
{
    struct tl_arena arena;
    struct tl_client_error err = {0};
    struct tl_client_result result;
    struct tl_client_result_query query = {
        .workflow_id = tl_str(id), .follow_runs = true, .timeout_ns = 20 * TL_NS_PER_S};
    tl_arena_init(&arena, (size_t)tl_limit_request_bytes);
    if (tl_client_result(w->client, &query, &arena, &result, &err) != TL_OK) {
        fail_msg("result of %s: %s", id, err.error.message);
    }
    assert_int_equal((int)result.status, WORKFLOW_EXECUTION_STATUS_COMPLETED);
    tl_arena_deinit(&arena);
}

static void runs_a_workflow_in_threads(void **state)
{
    (void)state;
    struct whole w = {0};
    open_whole(&w, NULL);
    for (int i = 0; i < 50; i++) {
        char id[16];
        snprintf(id, sizeof id, "w-%d", i);
        start(&w, id);
    }
    for (int i = 0; i < 50; i++) {
        char id[16];
        snprintf(id, sizeof id, "w-%d", i);
        await(&w, id);
    }
    struct tl_worker_stats stats;
    tl_worker_stats(w.worker, &stats);
    assert_int_equal(stats.workflow_tasks_failed, 0);
    assert_int_equal(stats.activities_completed, 50);
    close_whole(&w);
}

static void finishes_after_a_restart(void **state)
{
    (void)state;
    struct whole w = {0};
    char db[64];
    snprintf(db, sizeof db, "test-whole-%ld.db", (long)getpid());
    open_whole(&w, db);
    start(&w, "one");
    start(&w, "two");
    await(&w, "one");
    close_whole(&w);
    open_whole(&w, db);
    await(&w, "one");
    await(&w, "two");
    close_whole(&w);
    static const char *const suffixes[] = {"", "-wal", "-shm", ".lock"};
    for (size_t i = 0; i < 4; i++) {
        char path[96];
        snprintf(path, sizeof path, "%s%s", db, suffixes[i]);
        unlink(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_a_workflow_in_threads),
        cmocka_unit_test(finishes_after_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
