/* Goal: a workflow task goes from poll to answer as the protocol wants it: queues, stickiness, cache,
 * history pages, inline tasks, failures, refused answers, queries, eager activities.
 * Method: a stepped worker with scripted workflows; the test plays the service and the clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "proto/pb.h"
#include "test/support/worker_env.h"
#include "tl_enums.h"

static const struct env_type types[] = {
    {"Timer", TL_STEPS(DO(TIMER), DO(WAIT_TIMER, .n = 1), DO(COMPLETE)), TL_OK},
    {"Signals", TL_STEPS(DO(WAIT_SIGNALS, .n = 2), DO(COMPLETE)), TL_OK},
    {"Five",
     TL_STEPS(DO(ACTIVITY, .name = "a"), DO(ACTIVITY, .name = "a"), DO(ACTIVITY, .name = "a"),
              DO(ACTIVITY, .name = "a"), DO(ACTIVITY, .name = "a"), DO(WAIT_ACTIVITY, .n = 1),
              DO(COMPLETE)),
     TL_OK},
    {"Bug", TL_STEPS(DO(RAISE)), TL_OK},
    {"Hog", TL_STEPS(DO(COMPLETE)), TL_EDEADLOCK},
    {NULL, NULL, TL_OK},
};

#define COMPLETED TL_M_RespondWorkflowTaskCompleted
#define FAILED TL_M_RespondWorkflowTaskFailed

/* A run's history up to its first started task. */
static void first_task(struct env *e, struct tl_hb *hb, const char *type)
{
    tl_hb_init(hb, &e->arena);
    tl_hb_start(hb, type);
    tl_hb_task(hb);
}

static void give_first(struct env *e, struct tl_hb *hb, const char *run_id, const char *type)
{
    first_task(e, hb, type);
    env_give(e, env_poll(hb, 1, run_id, type));
}

static void accept(struct env *e)
{
    struct tl_rpc_request *req;
    env_expect(e, COMPLETED, &req);
    fake_reply_empty(req);
    env_settle(e);
}

/* ------------------------------------------------------------------------------------------------ */

static void polls_are_split_between_the_queues(void **state)
{
    (void)state;
    struct env e;
    struct tl_rpc_request *req, *all[16];
    int normal = 0, sticky = 0;
    size_t n = 0;
    env_init(&e, types);
    env_start(&e);
    while ((req = fake_take(&e.fake, TL_M_PollWorkflowTaskQueue)) != NULL) {
        TpWs__PollWorkflowTaskQueueRequest *r = fake_decode(&e.fake, req);
        assert_string_equal(r->namespace_, "default");
        assert_string_equal(r->identity, "tester");
        assert_int_equal(strlen(r->worker_instance_key), 36);
        if ((int)r->task_queue->kind == TASK_QUEUE_KIND_STICKY) {
            assert_string_equal(r->task_queue->normal_name, "q");
            sticky++;
        } else {
            assert_string_equal(r->task_queue->name, "q");
            normal++;
        }
        all[n++] = req;
    }
    assert_int_equal(normal, 3); /* 16 polls, a fifth of them on the common queue */
    assert_int_equal(sticky, 13);
    env_expect_none(&e, TL_M_PollActivityTaskQueue); /* no activities are registered */
    while (n) {
        fake_put_back(&e.fake, all[--n]);
    }
    env_end(&e);
}

static void without_cache_there_is_no_sticky_queue(void **state)
{
    (void)state;
    struct env e;
    struct tl_hb hb;
    struct tl_rpc_request *req;
    env_init(&e, types);
    e.config.options.max_cached_workflows = 0;
    e.config.options.max_concurrent_workflow_task_polls = 1;
    env_start(&e);
    assert_int_equal(fake_waiting(&e.fake, TL_M_PollWorkflowTaskQueue), 1);
    give_first(&e, &hb, "r1", "Timer");
    TpWs__RespondWorkflowTaskCompletedRequest *r = env_expect(&e, COMPLETED, &req);
    assert_null(r->sticky_attributes);
    fake_reply_empty(req);
    env_settle(&e);
    assert_int_equal(env_stats(&e).cached_runs, 0);
    env_end(&e);
}

static void slots_bound_the_polls(void **state)
{
    (void)state;
    struct env e;
    struct tl_hb hb;
    env_init(&e, types);
    e.config.options.max_concurrent_workflow_tasks = 2;
    env_start(&e);
    assert_int_equal(fake_waiting(&e.fake, TL_M_PollWorkflowTaskQueue), 2);
    give_first(&e, &hb, "r1", "Timer");
    assert_int_equal(fake_waiting(&e.fake, TL_M_PollWorkflowTaskQueue), 1);
    accept(&e);
    assert_int_equal(fake_waiting(&e.fake, TL_M_PollWorkflowTaskQueue), 2);
    env_end(&e);
}

static void a_task_becomes_commands_and_the_cached_run_goes_on(void **state)
{
    (void)state;
    struct env e;
    struct tl_hb hb;
    struct tl_rpc_request *req;
    env_init(&e, types);
    env_start(&e);
    give_first(&e, &hb, "r1", "Timer");
    TpWs__RespondWorkflowTaskCompletedRequest *r = env_expect(&e, COMPLETED, &req);
    assert_memory_equal(r->task_token.data, env_poll(&hb, 1, "r1", "Timer")->task_token.data,
                        r->task_token.len);
    assert_int_equal(r->n_commands, 1);
    assert_int_equal((int)r->commands[0]->command_type, COMMAND_TYPE_START_TIMER);
    assert_true(r->return_new_workflow_task);
    assert_int_equal((int)r->sticky_attributes->worker_task_queue->kind, TASK_QUEUE_KIND_STICKY);
    assert_int_equal(r->sticky_attributes->schedule_to_start_timeout->seconds, 10);
    fake_reply_empty(req);
    env_settle(&e);
    assert_int_equal(env_stats(&e).cached_runs, 1);

    tl_hb_task_completed(&hb);
    int64_t timer = tl_hb_timer_started(&hb, "1");
    int64_t first_new = tl_hb_last_id(&hb);
    tl_hb_timer_fired(&hb, timer);
    tl_hb_task(&hb);
    env_give_sticky(&e, env_poll(&hb, first_new - 1, "r1", "Timer"));
    r = env_expect(&e, COMPLETED, &req);
    assert_int_equal(r->n_commands, 1);
    assert_int_equal((int)r->commands[0]->command_type, COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION);
    fake_reply_empty(req);
    env_settle(&e);
    assert_int_equal(env_stats(&e).cache_hits, 1);
    assert_int_equal(atomic_load(&e.opened), 1);
    assert_int_equal(env_stats(&e).cached_runs, 0); /* it has ended */
    env_end(&e);
}

static void an_inline_task_needs_no_poll(void **state)
{
    (void)state;
    struct env e;
    struct tl_hb hb;
    struct tl_rpc_request *req;
    TpWs__RespondWorkflowTaskCompletedResponse resp =
        TP_WS__RESPOND_WORKFLOW_TASK_COMPLETED_RESPONSE__INIT;
    env_init(&e, types);
    env_start(&e);
    give_first(&e, &hb, "r1", "Signals");
    env_expect(&e, COMPLETED, &req);
    int polls = e.fake.counts[TL_M_PollWorkflowTaskQueue];
    tl_hb_task_completed(&hb);
    int64_t first_new = tl_hb_last_id(&hb);
    tl_hb_signaled(&hb, "a");
    tl_hb_signaled(&hb, "b");
    tl_hb_task(&hb);
    resp.workflow_task = env_poll(&hb, first_new, "r1", "Signals");
    fake_reply(req, &resp);
    env_settle(&e);
    TpWs__RespondWorkflowTaskCompletedRequest *r = env_expect(&e, COMPLETED, &req);
    assert_int_equal((int)r->commands[0]->command_type, COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION);
    assert_int_equal(e.fake.counts[TL_M_PollWorkflowTaskQueue], polls);
    assert_int_equal(env_stats(&e).workflow_slots_used, 16 + 1);
    fake_reply_empty(req);
    env_settle(&e);
    env_end(&e);
}

static void a_run_that_is_not_cached_gets_its_history_from_event_1(void **state)
{
    (void)state;
    struct env e;
    struct tl_hb hb;
    struct tl_rpc_request *req;
    TpWs__GetWorkflowExecutionHistoryResponse page =
        TP_WS__GET_WORKFLOW_EXECUTION_HISTORY_RESPONSE__INIT;
    env_init(&e, types);
    env_start(&e);
    first_task(&e, &hb, "Timer");
    tl_hb_task_completed(&hb);
    int64_t timer = tl_hb_timer_started(&hb, "1");
    tl_hb_timer_fired(&hb, timer);
    tl_hb_task(&hb);
    env_give_sticky(&e, env_poll(&hb, tl_hb_last_id(&hb) - 1, "r1", "Timer"));
    TpWs__GetWorkflowExecutionHistoryRequest *g =
        env_expect(&e, TL_M_GetWorkflowExecutionHistory, &req);
    assert_string_equal(g->execution->run_id, "r1");
    assert_int_equal(g->next_page_token.len, 0);
    TpHistory__History *all = tl_hb_history(&hb);
    TpHistory__History first = *all, rest = *all;
    first.n_events = 4;
    rest.n_events -= 4;
    rest.events += 4;
    page.history = &first;
    page.next_page_token = tl_pb_bytes_view(TL_STR_LIT("page 2"));
    fake_reply(req, &page);
    env_settle(&e);
    g = env_expect(&e, TL_M_GetWorkflowExecutionHistory, &req);
    assert_memory_equal(g->next_page_token.data, "page 2", 6);
    page.history = &rest;
    page.next_page_token.len = 0;
    fake_reply(req, &page);
    env_settle(&e);
    TpWs__RespondWorkflowTaskCompletedRequest *r = env_expect(&e, COMPLETED, &req);
    assert_int_equal(r->n_commands, 1);
    assert_int_equal((int)r->commands[0]->command_type, COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION);
    assert_int_equal(env_stats(&e).full_history_fetches, 1);
    fake_reply_empty(req);
    env_settle(&e);
    env_end(&e);
}

static void a_page_that_never_comes_drops_the_task(void **state)
{
    (void)state;
    struct env e;
    struct tl_hb hb;
    struct tl_rpc_request *req;
    env_init(&e, types);
    env_start(&e);
    first_task(&e, &hb, "Timer");
    TpWs__PollWorkflowTaskQueueResponse *poll = env_poll(&hb, 1, "r1", "Timer");
    poll->next_page_token = tl_pb_bytes_view(TL_STR_LIT("more"));
    env_give(&e, poll);
    for (int i = 0; i < 6; i++) { /* transient errors are tried again, up to a limit */
        env_expect(&e, TL_M_GetWorkflowExecutionHistory, &req);
        fake_refuse(req, 14, "away");
        env_settle(&e);
        env_pass(&e, 6000);
    }
    env_expect_none(&e, TL_M_GetWorkflowExecutionHistory);
    env_expect_none(&e, COMPLETED);
    env_expect_none(&e, FAILED);
    assert_int_equal(env_stats(&e).workflow_slots_used, 16);
    env_end(&e);
}

static void a_broken_script_is_reported_on_attempt_1_only(void **state)
{
    (void)state;
    struct env e;
    struct tl_hb hb;
    struct tl_rpc_request *req;
    env_init(&e, types);
    env_start(&e);
    give_first(&e, &hb, "r1", "Bug");
    TpWs__RespondWorkflowTaskFailedRequest *f = env_expect(&e, FAILED, &req);
    assert_int_equal((int)f->cause, WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE);
    assert_non_null(f->failure);
    fake_reply_empty(req);
    env_settle(&e);
    assert_int_equal(env_stats(&e).cached_runs, 0);
    TpWs__PollWorkflowTaskQueueResponse *again = env_poll(&hb, 1, "r1", "Bug");
    again->attempt = 2;
    env_give(&e, again);
    env_expect_none(&e, FAILED);
    assert_int_equal(env_stats(&e).workflow_slots_used, 16);
    assert_int_equal(env_logged(&e, "workflow_task.failed"), 1);
    env_end(&e);
}

static void an_unknown_type_fails_the_task_with_a_message(void **state)
{
    (void)state;
    struct env e;
    struct tl_hb hb;
    struct tl_rpc_request *req;
    env_init(&e, types);
    env_start(&e);
    give_first(&e, &hb, "r1", "Tymer");
    TpWs__RespondWorkflowTaskFailedRequest *f = env_expect(&e, FAILED, &req);
    assert_string_equal(f->failure->message, "no workflow type 'Tymer'");
    fake_reply_empty(req);
    env_settle(&e);
    env_end(&e);
}

static void refused_answers_evict(void **state)
{
    (void)state;
    struct env e;
    struct tl_hb hb;
    struct tl_rpc_request *req;
    env_init(&e, types);
    env_start(&e);
    const int statuses[] = {5, 3}; /* NOT_FOUND, INVALID_ARGUMENT */
    for (size_t i = 0; i < 2; i++) {
        give_first(&e, &hb, "r1", "Timer");
        env_expect(&e, COMPLETED, &req);
        fake_refuse(req, statuses[i], "UnhandledCommand");
        env_settle(&e);
        assert_int_equal(env_stats(&e).cached_runs, 0);
        assert_int_equal(env_stats(&e).workflow_slots_used, 16);
    }
    env_end(&e);
}

/* The service refuses the commands by their size: the task fails with the cause that says so. */
static void commands_that_no_request_carries_fail_the_task(void **state)
{
    (void)state;
    struct env e;
    struct tl_hb hb;
    struct tl_rpc_request *req;
    env_init(&e, types);
    env_start(&e);
    give_first(&e, &hb, "r1", "Timer");
    env_expect(&e, COMPLETED, &req);
    fake_refuse(req, 8, "Received message larger than max (5242880 vs. 4194304)");
    env_settle(&e);
    TpWs__RespondWorkflowTaskFailedRequest *f =
        env_expect(&e, TL_M_RespondWorkflowTaskFailed, &req);
    assert_int_equal((int)f->cause, WORKFLOW_TASK_FAILED_CAUSE_GRPC_MESSAGE_TOO_LARGE);
    assert_non_null(strstr(f->failure->message, "commands do not fit"));
    assert_non_null(strstr(f->failure->message, "(5242880 vs. 4194304)"));
    fake_reply_empty(req);
    env_settle(&e);
    assert_int_equal(env_stats(&e).cached_runs, 0);
    assert_int_equal(env_stats(&e).workflow_slots_used, 16);
    env_end(&e);
}

static void an_ambiguous_answer_is_sent_again_with_the_same_bytes(void **state)
{
    (void)state;
    struct env e;
    struct tl_hb hb;
    char first[4096];
    env_init(&e, types);
    env_start(&e);
    give_first(&e, &hb, "r1", "Timer");
    struct tl_rpc_request *req = fake_take(&e.fake, COMPLETED);
    size_t n = req->body.n;
    assert_true(n <= sizeof first);
    memcpy(first, req->body.p, n);
    fake_refuse(req, 14, "gone away");
    env_settle(&e);
    env_expect_none(&e, COMPLETED); /* not before a pause */
    env_pass(&e, 1000);
    req = fake_take(&e.fake, COMPLETED);
    assert_non_null(req);
    assert_int_equal(req->body.n, n);
    assert_memory_equal(req->body.p, first, n);
    fake_reply_empty(req);
    env_settle(&e);
    assert_int_equal(env_stats(&e).cached_runs, 1);
    assert_int_equal(env_logged(&e, "worker.connection_lost"), 1);
    assert_int_equal(env_logged(&e, "worker.connection_recovered"), 1);
    env_end(&e);
}

static void a_second_task_waits_for_the_answer_of_the_first(void **state)
{
    (void)state;
    struct env e;
    struct tl_hb hb;
    struct tl_rpc_request *first, *second;
    env_init(&e, types);
    env_start(&e);
    give_first(&e, &hb, "r1", "Signals");
    env_expect(&e, COMPLETED, &first);
    tl_hb_task_completed(&hb);
    int64_t from = tl_hb_last_id(&hb);
    tl_hb_signaled(&hb, "a");
    tl_hb_signaled(&hb, "b");
    tl_hb_task(&hb);
    env_give_sticky(&e, env_poll(&hb, from, "r1", "Signals"));
    env_expect_none(&e, COMPLETED);
    fake_reply_empty(first);
    env_settle(&e);
    env_expect(&e, COMPLETED, &second);
    fake_reply_empty(second);
    env_settle(&e);
    env_end(&e);
}

static void direct_queries_are_answered(void **state)
{
    (void)state;
    struct env e;
    struct tl_hb hb;
    struct tl_rpc_request *req;
    env_init(&e, types);
    env_start(&e);
    give_first(&e, &hb, "r1", "Signals");
    accept(&e);
    tl_hb_task_completed(&hb);
    TpWs__PollWorkflowTaskQueueResponse *poll = tl_hb_query(&hb, 0, "status");
    TpWs__PollWorkflowTaskQueueResponse *named = env_poll(&hb, 0, "r1", "Signals");
    poll->workflow_execution = named->workflow_execution;
    poll->workflow_type = named->workflow_type;
    poll->task_token = tl_pb_bytes_view(TL_STR_LIT("query token"));
    env_give_sticky(&e, poll);
    TpWs__RespondQueryTaskCompletedRequest *q =
        env_expect(&e, TL_M_RespondQueryTaskCompleted, &req);
    assert_int_equal((int)q->completed_type, QUERY_RESULT_TYPE_ANSWERED);
    assert_memory_equal(q->task_token.data, "query token", 11);
    fake_reply_empty(req);
    env_settle(&e);
    assert_int_equal(env_stats(&e).queries_answered, 1);
    assert_int_equal(env_stats(&e).cached_runs, 1);
    env_end(&e);
}

static void the_cache_evicts_the_least_recently_used(void **state)
{
    (void)state;
    struct env e;
    struct tl_hb hb;
    char run_id[8] = "r0";
    env_init(&e, types);
    e.config.options.max_cached_workflows = 3;
    e.config.options.workflow_threads = 1;
    env_start(&e);
    for (int i = 0; i < 5; i++) {
        run_id[1] = (char)('0' + i);
        give_first(&e, &hb, run_id, "Signals");
        accept(&e);
    }
    assert_int_equal(env_stats(&e).cached_runs, 3);
    assert_int_equal(env_stats(&e).evictions, 2);
    tl_hb_task_completed(&hb);
    int64_t from = tl_hb_last_id(&hb);
    tl_hb_signaled(&hb, "a");
    tl_hb_task(&hb);
    env_give_sticky(&e, env_poll(&hb, from, "r2", "Signals")); /* still there */
    accept(&e);
    assert_int_equal(env_stats(&e).cache_hits, 1);
    env_end(&e);
}

static void the_cache_has_a_limit_in_bytes(void **state)
{
    (void)state;
    struct env e;
    struct tl_hb hb;
    char run_id[16];
    env_init(&e, types);
    e.config.options.max_cached_bytes = 1048576;
    e.config.options.workflow_threads = 1;
    env_start(&e);
    for (int i = 0; i < 900; i++) { /* each says 1000 bytes, and has core and overhead */
        snprintf(run_id, sizeof run_id, "r%d", i);
        give_first(&e, &hb, run_id, "Signals");
        accept(&e);
    }
    assert_true(env_stats(&e).evictions > 0);
    assert_true(env_stats(&e).cached_bytes <= 1048576);
    assert_true(env_stats(&e).cached_runs > 100);
    env_end(&e);
}

static void a_killed_run_moves_to_the_quarantine(void **state)
{
    (void)state;
    struct env e;
    struct tl_hb hb;
    struct tl_rpc_request *req;
    env_init(&e, types);
    env_start(&e);
    give_first(&e, &hb, "r1", "Hog");
    env_expect(&e, FAILED, &req);
    fake_reply_empty(req);
    env_settle(&e);
    assert_int_equal(env_stats(&e).killed_runs, 1);
    give_first(&e, &hb, "r1", "Signals"); /* the script was mended: it runs, elsewhere */
    accept(&e);
    assert_int_equal(env_stats(&e).cached_runs, 1);
    env_end(&e);
}

static void eager_activities_use_reserved_slots(void **state)
{
    (void)state;
    struct env e;
    struct tl_hb hb;
    struct tl_rpc_request *req;
    TpWs__RespondWorkflowTaskCompletedResponse resp =
        TP_WS__RESPOND_WORKFLOW_TASK_COMPLETED_RESPONSE__INIT;
    TpWs__PollActivityTaskQueueResponse *tasks[2];
    int eager = 0;
    env_init(&e, types);
    struct tl_activity_impl none = {0};
    none.run = (void (*)(void *, void *, struct tl_activity *))(uintptr_t)1; /* never reached */
    static const char *const names[] = {"other", "b", "almost"};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(tl_registry_add(e.registry, tl_str(names[i]), &none, NULL), TL_OK);
    }
    env_start(&e);
    assert_int_equal(env_stats(&e).activity_slots_used, 5);
    give_first(&e, &hb, "r1", "Five");
    TpWs__RespondWorkflowTaskCompletedRequest *r = env_expect(&e, COMPLETED, &req);
    assert_int_equal(r->n_commands, 5);
    for (size_t i = 0; i < r->n_commands; i++) {
        eager += r->commands[i]->schedule_activity_task_command_attributes->request_eager_execution;
    }
    assert_int_equal(eager, 3);
    assert_int_equal(env_stats(&e).activity_slots_used, 5 + 3);
    tasks[0] = env_activity(&e, "a", 1, 0);
    tasks[1] = env_activity(&e, "a", 1, 0);
    resp.n_activity_tasks = 2;
    resp.activity_tasks = tasks;
    fake_reply(req, &resp);
    env_settle(&e);
    for (int i = 0; i < 2; i++) { /* they ran, and are not registered */
        TpWs__RespondActivityTaskFailedRequest *f =
            env_expect(&e, TL_M_RespondActivityTaskFailed, &req);
        assert_string_equal(f->failure->application_failure_info->type, "NotFoundError");
        assert_false(f->failure->application_failure_info->non_retryable);
        assert_non_null(
            strstr(f->failure->message, "did you mean 'b'? registered: almost, b, other"));
        fake_reply_empty(req);
    }
    env_settle(&e);
    assert_int_equal(env_stats(&e).activity_slots_used, 5);
    assert_int_equal(env_stats(&e).activities_eager, 2);
    env_end(&e);
}

/* A worker that runs no activities must not be given any: nobody would start them. */
static void no_eager_activities_without_pollers(void **state)
{
    (void)state;
    struct env e;
    struct tl_hb hb;
    struct tl_rpc_request *req;
    env_init(&e, types);
    env_start(&e);
    give_first(&e, &hb, "r1", "Five");
    TpWs__RespondWorkflowTaskCompletedRequest *r = env_expect(&e, COMPLETED, &req);
    assert_int_equal(r->n_commands, 5);
    for (size_t i = 0; i < r->n_commands; i++) {
        assert_false(
            r->commands[i]->schedule_activity_task_command_attributes->request_eager_execution);
    }
    fake_reply_empty(req);
    env_settle(&e);
    assert_int_equal(env_stats(&e).activity_slots_used, 0);
    env_end(&e);
}

static void garbage_is_dropped_and_gives_its_slot_back(void **state)
{
    (void)state;
    struct env e;
    env_init(&e, types);
    env_start(&e);
    static const char *const rows[] = {
        "\x0a\x03tok",                   /* a token and nothing else */
        "\x0a\x03tok\x12\x04\x12\x02r1", /* no type */
        "\x0a\x03tok\x12\x7f",           /* cut off */
        "\x0a\x03tok\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tl_rpc_request *req = fake_take(&e.fake, TL_M_PollWorkflowTaskQueue);
        tl_rpc_reply(req, 0, (struct tl_str){0}, (struct tl_str){0}, tl_str(rows[i]));
        env_settle(&e);
        assert_int_equal(env_stats(&e).workflow_slots_used, 16);
    }
    assert_int_equal(env_logged(&e, "workflow_task.dropped"), 4);
    env_end(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(polls_are_split_between_the_queues),
        cmocka_unit_test(without_cache_there_is_no_sticky_queue),
        cmocka_unit_test(slots_bound_the_polls),
        cmocka_unit_test(a_task_becomes_commands_and_the_cached_run_goes_on),
        cmocka_unit_test(an_inline_task_needs_no_poll),
        cmocka_unit_test(a_run_that_is_not_cached_gets_its_history_from_event_1),
        cmocka_unit_test(a_page_that_never_comes_drops_the_task),
        cmocka_unit_test(a_broken_script_is_reported_on_attempt_1_only),
        cmocka_unit_test(an_unknown_type_fails_the_task_with_a_message),
        cmocka_unit_test(refused_answers_evict),
        cmocka_unit_test(commands_that_no_request_carries_fail_the_task),
        cmocka_unit_test(an_ambiguous_answer_is_sent_again_with_the_same_bytes),
        cmocka_unit_test(a_second_task_waits_for_the_answer_of_the_first),
        cmocka_unit_test(direct_queries_are_answered),
        cmocka_unit_test(the_cache_evicts_the_least_recently_used),
        cmocka_unit_test(the_cache_has_a_limit_in_bytes),
        cmocka_unit_test(a_killed_run_moves_to_the_quarantine),
        cmocka_unit_test(eager_activities_use_reserved_slots),
        cmocka_unit_test(no_eager_activities_without_pollers),
        cmocka_unit_test(garbage_is_dropped_and_gives_its_slot_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
