/* Goal: activities end as they say, heartbeats are throttled and bring cancellation, and the worker's
 * limits hold.
 * Method: a stepped worker with activities that follow a script of the test; the test plays service
 * and clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"
#include "proto/pb.h"
#include "test/support/worker_env.h"
#include "tl_enums.h"

/* What the next activity does. It runs inside a step: between heartbeats it moves the clock itself,
 * and steps the worker, as an activity in a test environment does when it waits. */
struct plan {
    struct env *env;
    void (*run)(struct plan *p, struct tl_activity *a);
    unsigned reasons;
    tl_rc last_rc;
    int cancel_calls;
    size_t result_bytes;
};

static void run_plan(void *thread_state, void *ud, struct tl_activity *a)
{
    struct plan *p = ud;
    (void)thread_state;
    p->run(p, a);
}

static void setup(struct env *e, struct plan *p, void (*run)(struct plan *, struct tl_activity *))
{
    struct tl_activity_impl impl = {run_plan, p};
    env_init(e, NULL);
    *p = (struct plan){.env = e, .run = run};
    assert_int_equal(tl_registry_add(e->registry, TL_STR_LIT("act"), &impl, NULL), TL_OK);
}

static TpCommon__Payloads *payloads(struct tl_arena *a, struct tl_str data)
{
    TpCommon__Payloads *list = TL_PB_NEW(a, TpCommon__Payloads, tp_common__payloads);
    TpCommon__Payload *p = TL_PB_NEW(a, TpCommon__Payload, tp_common__payload);
    p->data = tl_pb_bytes(a, data, NULL);
    list->n_payloads = 1;
    list->payloads = tl_arena_copy(a, &p, sizeof p);
    return list;
}

static void accept(struct env *e, enum tl_method m)
{
    struct tl_rpc_request *req;
    env_expect(e, m, &req);
    fake_reply_empty(req);
    env_settle(e);
}

/* --- Ends -------------------------------------------------------------------------------------- */

static void completes(struct plan *p, struct tl_activity *a)
{
    (void)p;
    assert_string_equal(a->task->activity_id, "1");
    assert_true(tl_str_eqc(a->task_queue, "q"));
    tl_activity_complete(a, payloads(a->arena, TL_STR_LIT("42")));
}

static void a_result_is_reported(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    struct tl_rpc_request *req;
    setup(&e, &p, completes);
    env_start(&e);
    assert_int_equal(fake_waiting(&e.fake, TL_M_PollActivityTaskQueue), 5);
    env_expect_none(&e, TL_M_PollWorkflowTaskQueue);
    env_give_activity(&e, env_activity(&e, "act", 1, 0));
    TpWs__RespondActivityTaskCompletedRequest *r =
        env_expect(&e, TL_M_RespondActivityTaskCompleted, &req);
    assert_memory_equal(r->result->payloads[0]->data.data, "42", 2);
    assert_memory_equal(r->task_token.data, "activity token", 14);
    assert_int_equal(fake_waiting(&e.fake, TL_M_PollActivityTaskQueue), 5);
    fake_reply_empty(req);
    env_end(&e);
}

static void returns_nothing(struct plan *p, struct tl_activity *a)
{
    (void)p;
    (void)a;
}

static void an_activity_without_end_fails(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    struct tl_rpc_request *req;
    setup(&e, &p, returns_nothing);
    env_start(&e);
    env_give_activity(&e, env_activity(&e, "act", 1, 0));
    TpWs__RespondActivityTaskFailedRequest *f =
        env_expect(&e, TL_M_RespondActivityTaskFailed, &req);
    assert_string_equal(f->failure->application_failure_info->type, "WorkerError");
    fake_reply_empty(req);
    env_end(&e);
}

static void returns_much(struct plan *p, struct tl_activity *a)
{
    char *big = tl_mem_alloc(p->result_bytes);
    tl_activity_complete(a, payloads(a->arena, tl_str_n(big, p->result_bytes)));
    tl_mem_free(big);
}

static void a_result_that_is_too_large_is_a_failure(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    struct tl_rpc_request *req;
    setup(&e, &p, returns_much);
    p.result_bytes = 3 * 1024 * 1024;
    env_start(&e);
    env_give_activity(&e, env_activity(&e, "act", 1, 0));
    TpWs__RespondActivityTaskFailedRequest *f =
        env_expect(&e, TL_M_RespondActivityTaskFailed, &req);
    assert_string_equal(f->failure->application_failure_info->type, "ResultTooLarge");
    assert_true(f->failure->application_failure_info->non_retryable);
    assert_int_equal((int)f->cause, ACTIVITY_TASK_FAILED_CAUSE_PAYLOADS_TOO_LARGE);
    fake_reply_empty(req);
    env_end(&e);
}

static const char too_large[] = "Received message larger than max (5242880 vs. 4194304)";

/* The service refuses the answer by its size: a small one goes in its place, at once and only once. */
static void an_answer_that_no_request_carries_is_a_failure(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    struct tl_rpc_request *req;
    setup(&e, &p, returns_much);
    p.result_bytes = 1000;
    env_start(&e);
    env_give_activity(&e, env_activity(&e, "act", 1, 0));
    env_expect(&e, TL_M_RespondActivityTaskCompleted, &req);
    fake_refuse(req, 8, too_large);
    env_settle(&e);
    TpWs__RespondActivityTaskFailedRequest *f =
        env_expect(&e, TL_M_RespondActivityTaskFailed, &req);
    assert_string_equal(f->failure->application_failure_info->type, "ResultTooLarge");
    assert_non_null(strstr(f->failure->message, "(5242880 vs. 4194304)"));
    assert_true(f->failure->application_failure_info->non_retryable);
    assert_int_equal((int)f->cause, ACTIVITY_TASK_FAILED_CAUSE_PAYLOADS_TOO_LARGE);
    fake_refuse(req, 8, too_large);
    env_settle(&e);
    env_expect_none(&e, TL_M_RespondActivityTaskFailed);
    assert_int_equal(env_stats(&e).activity_slots_used, 5);
    env_end(&e);
}

static void fails_at_length(struct plan *p, struct tl_activity *a)
{
    (void)p;
    tl_activity_fail(
        a, tl_activity_failure(a->arena, TL_STR_LIT("Odd"), TL_STR_LIT("a long story"), false));
}

static void a_failure_that_no_request_carries_is_told_in_short(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    struct tl_rpc_request *req;
    setup(&e, &p, fails_at_length);
    env_start(&e);
    env_give_activity(&e, env_activity(&e, "act", 1, 0));
    env_expect(&e, TL_M_RespondActivityTaskFailed, &req);
    fake_refuse(req, 8, too_large);
    env_settle(&e);
    TpWs__RespondActivityTaskFailedRequest *f =
        env_expect(&e, TL_M_RespondActivityTaskFailed, &req);
    assert_string_equal(f->failure->application_failure_info->type, "FailureTooLarge");
    assert_non_null(strstr(f->failure->message, "a long story"));
    assert_false(f->failure->application_failure_info->non_retryable);
    fake_reply_empty(req);
    env_end(&e);
}

static void goes_async(struct plan *p, struct tl_activity *a)
{
    p->last_rc = tl_activity_heartbeat(a, payloads(a->arena, TL_STR_LIT("one")), NULL);
    p->last_rc = tl_activity_heartbeat(a, payloads(a->arena, TL_STR_LIT("two")), NULL);
    tl_activity_complete_async(a);
}

static void an_async_activity_reports_nothing_but_its_last_heartbeat(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    struct tl_rpc_request *req;
    setup(&e, &p, goes_async);
    env_start(&e);
    env_give_activity(&e, env_activity(&e, "act", 1, 0));
    TpWs__RecordActivityTaskHeartbeatRequest *h =
        env_expect(&e, TL_M_RecordActivityTaskHeartbeat, &req);
    assert_memory_equal(h->details->payloads[0]->data.data, "one", 3);
    fake_reply_empty(req);
    env_settle(&e);
    h = env_expect(&e, TL_M_RecordActivityTaskHeartbeat, &req); /* no throttle for the last */
    assert_memory_equal(h->details->payloads[0]->data.data, "two", 3);
    fake_reply_empty(req);
    env_settle(&e);
    env_expect_none(&e, TL_M_RespondActivityTaskCompleted);
    assert_int_equal(env_stats(&e).activity_slots_used, 5);
    env_end(&e);
}

static void an_answer_is_retried_until_it_is_taken(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    struct tl_rpc_request *req;
    setup(&e, &p, completes);
    env_start(&e);
    env_give_activity(&e, env_activity(&e, "act", 1, 0));
    for (int i = 0; i < 3; i++) {
        env_expect(&e, TL_M_RespondActivityTaskCompleted, &req);
        fake_refuse(req, 14, "away");
        env_settle(&e);
        env_expect_none(&e, TL_M_RespondActivityTaskCompleted);
        env_pass(&e, 6000);
    }
    accept(&e, TL_M_RespondActivityTaskCompleted);
    env_give_activity(&e, env_activity(&e, "act", 1, 0));
    env_expect(&e, TL_M_RespondActivityTaskCompleted, &req);
    fake_refuse(req, 5, "it timed out"); /* NOT_FOUND: nobody wants it */
    env_settle(&e);
    env_pass(&e, 6000);
    env_expect_none(&e, TL_M_RespondActivityTaskCompleted);
    assert_int_equal(env_logged(&e, "worker.connection_lost"), 1);
    env_end(&e);
}

/* --- Heartbeats -------------------------------------------------------------------------------- */

static void beat(struct plan *p, struct tl_activity *a, const char *details)
{
    p->last_rc = tl_activity_heartbeat(a, payloads(a->arena, tl_str(details)), NULL);
    env_settle(p->env);
}

static void expect_beat(struct plan *p, const char *details)
{
    struct tl_rpc_request *req;
    TpWs__RecordActivityTaskHeartbeatRequest *h =
        env_expect(p->env, TL_M_RecordActivityTaskHeartbeat, &req);
    assert_memory_equal(h->details->payloads[0]->data.data, details, strlen(details));
    fake_reply_empty(req);
    env_settle(p->env);
}

static void beats_often(struct plan *p, struct tl_activity *a)
{
    beat(p, a, "first");
    expect_beat(p, "first"); /* at once */
    beat(p, a, "second");
    beat(p, a, "third");
    env_expect_none(p->env, TL_M_RecordActivityTaskHeartbeat);
    env_pass(p->env, 7900); /* 80 % of 10 s */
    env_expect_none(p->env, TL_M_RecordActivityTaskHeartbeat);
    env_pass(p->env, 200);
    expect_beat(p, "third"); /* only the newest */
    env_pass(p->env, 20000);
    env_expect_none(p->env, TL_M_RecordActivityTaskHeartbeat);
    beat(p, a, "late");
    expect_beat(p, "late"); /* the throttle was over */
    tl_activity_complete(a, NULL);
}

static void heartbeats_are_throttled(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    setup(&e, &p, beats_often);
    env_start(&e);
    env_give_activity(&e, env_activity(&e, "act", 1, 10000));
    accept(&e, TL_M_RespondActivityTaskCompleted);
    env_expect_none(&e, TL_M_RecordActivityTaskHeartbeat);
    env_end(&e);
}

static void beats_without_timeout(struct plan *p, struct tl_activity *a)
{
    beat(p, a, "1");
    expect_beat(p, "1");
    beat(p, a, "2");
    env_pass(p->env, 29900);
    env_expect_none(p->env, TL_M_RecordActivityTaskHeartbeat);
    env_pass(p->env, 200);
    expect_beat(p, "2");
    tl_activity_complete(a, NULL);
}

static void without_a_timeout_the_default_throttle_counts(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    setup(&e, &p, beats_without_timeout);
    env_start(&e);
    env_give_activity(&e, env_activity(&e, "act", 1, 0));
    accept(&e, TL_M_RespondActivityTaskCompleted);
    env_end(&e);
}

static void beats_and_fails(struct plan *p, struct tl_activity *a)
{
    beat(p, a, "sent");
    expect_beat(p, "sent");
    beat(p, a, "held back");
    tl_activity_fail(a,
                     tl_activity_failure(a->arena, TL_STR_LIT("Broken"), TL_STR_LIT("no"), false));
}

static void a_failure_carries_details_that_were_held_back(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    struct tl_rpc_request *req;
    setup(&e, &p, beats_and_fails);
    env_start(&e);
    env_give_activity(&e, env_activity(&e, "act", 1, 10000));
    TpWs__RespondActivityTaskFailedRequest *f =
        env_expect(&e, TL_M_RespondActivityTaskFailed, &req);
    assert_string_equal(f->failure->application_failure_info->type, "Broken");
    assert_memory_equal(f->last_heartbeat_details->payloads[0]->data.data, "held back", 9);
    fake_reply_empty(req);
    env_settle(&e);
    env_pass(&e, 20000);
    env_expect_none(&e, TL_M_RecordActivityTaskHeartbeat);
    env_end(&e);
}

static void beats_and_fails_at_once(struct plan *p, struct tl_activity *a)
{
    beat(p, a, "on its way");
    tl_activity_fail(a,
                     tl_activity_failure(a->arena, TL_STR_LIT("Broken"), TL_STR_LIT("no"), false));
}

static void a_failure_carries_details_that_it_may_overtake(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    struct tl_rpc_request *beat, *req;
    setup(&e, &p, beats_and_fails_at_once);
    env_start(&e);
    env_give_activity(&e, env_activity(&e, "act", 1, 10000));
    env_expect(&e, TL_M_RecordActivityTaskHeartbeat, &beat);
    TpWs__RespondActivityTaskFailedRequest *f =
        env_expect(&e, TL_M_RespondActivityTaskFailed, &req);
    assert_memory_equal(f->last_heartbeat_details->payloads[0]->data.data, "on its way", 10);
    fake_reply_empty(req);
    fake_refuse(beat, 5, "it has ended");
    env_settle(&e);
    env_end(&e);
}

static void count_call(void *ud)
{
    ((struct plan *)ud)->cancel_calls++;
}

static void learns_of_cancellation(struct plan *p, struct tl_activity *a)
{
    struct tl_rpc_request *req;
    TpWs__RecordActivityTaskHeartbeatResponse r =
        TP_WS__RECORD_ACTIVITY_TASK_HEARTBEAT_RESPONSE__INIT;
    tl_activity_on_cancel(a, count_call, p);
    beat(p, a, "here");
    assert_int_equal(p->last_rc, TL_OK);
    env_expect(p->env, TL_M_RecordActivityTaskHeartbeat, &req);
    r.cancel_requested = true;
    fake_reply(req, &r);
    env_settle(p->env);
    p->reasons = tl_activity_cancel_reasons(a);
    beat(p, a, "again");
    tl_activity_end_canceled(a, payloads(a->arena, TL_STR_LIT("bye")));
}

static void cancellation_comes_with_the_reply_of_a_heartbeat(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    struct tl_rpc_request *req;
    setup(&e, &p, learns_of_cancellation);
    env_start(&e);
    env_give_activity(&e, env_activity(&e, "act", 1, 10000));
    assert_int_equal(p.reasons, TL_CANCEL_REQUESTED);
    assert_int_equal(p.cancel_calls, 1);
    assert_int_equal(p.last_rc, TL_ECANCELLED);
    TpWs__RespondActivityTaskCanceledRequest *c =
        env_expect(&e, TL_M_RespondActivityTaskCanceled, &req);
    assert_memory_equal(c->details->payloads[0]->data.data, "bye", 3);
    fake_reply_empty(req);
    env_end(&e);
}

static void learns_that_it_is_unknown(struct plan *p, struct tl_activity *a)
{
    struct tl_rpc_request *req;
    beat(p, a, "here");
    env_expect(p->env, TL_M_RecordActivityTaskHeartbeat, &req);
    fake_refuse(req, 5, "activity not found");
    env_settle(p->env);
    p->reasons = tl_activity_cancel_reasons(a);
    tl_activity_end_canceled(a, NULL);
}

static void an_activity_that_the_server_forgot_is_not_answered(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    setup(&e, &p, learns_that_it_is_unknown);
    env_start(&e);
    env_give_activity(&e, env_activity(&e, "act", 1, 10000));
    assert_int_equal(p.reasons, TL_CANCEL_NOT_FOUND);
    env_expect_none(&e, TL_M_RespondActivityTaskCanceled);
    env_expect_none(&e, TL_M_RespondActivityTaskFailed);
    assert_int_equal(env_stats(&e).activity_slots_used, 5);
    env_end(&e);
}

static void beats_at_a_lost_server(struct plan *p, struct tl_activity *a)
{
    struct tl_rpc_request *req;
    beat(p, a, "kept");
    env_expect(p->env, TL_M_RecordActivityTaskHeartbeat, &req);
    fake_refuse(req, 14, "away");
    env_settle(p->env);
    env_expect_none(p->env, TL_M_RecordActivityTaskHeartbeat);
    env_pass(p->env, 1000);
    expect_beat(p, "kept");
    tl_activity_complete(a, NULL);
}

static void a_lost_heartbeat_is_sent_again(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    setup(&e, &p, beats_at_a_lost_server);
    env_start(&e);
    env_give_activity(&e, env_activity(&e, "act", 1, 10000));
    accept(&e, TL_M_RespondActivityTaskCompleted);
    env_end(&e);
}

/* --- Polls ------------------------------------------------------------------------------------- */

static void a_lost_server_is_asked_again_by_one_call_and_told_by_one_line(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    struct tl_rpc_request *req;
    setup(&e, &p, completes);
    env_start(&e);
    e.fake.down = true;
    while ((req = fake_take(&e.fake, TL_M_PollActivityTaskQueue)) != NULL) {
        fake_refuse(req, 14, "going down");
    }
    env_settle(&e);
    int before = e.fake.counts[TL_M_PollActivityTaskQueue],
        asked = e.fake.counts[TL_M_GetSystemInfo];
    for (int i = 0; i < 600; i++) { /* a minute */
        env_pass(&e, 100);
    }
    int polls = e.fake.counts[TL_M_PollActivityTaskQueue] - before;
    asked = e.fake.counts[TL_M_GetSystemInfo] - asked;
    assert_int_equal(polls, 0);
    assert_in_range(asked, 80, 160); /* one at a time, 0.6 seconds apart at last */
    assert_int_equal(env_logged(&e, "worker.connection_lost"), 1);
    assert_int_equal(env_logged(&e, "worker.connection_recovered"), 0);
    e.fake.down = false;
    env_pass(&e, 1000);
    assert_int_equal(fake_waiting(&e.fake, TL_M_PollActivityTaskQueue), 5);
    env_give_activity(&e, env_activity(&e, "act", 1, 0));
    accept(&e, TL_M_RespondActivityTaskCompleted);
    assert_int_equal(env_logged(&e, "worker.connection_recovered"), 1);
    env_end(&e);
}

static void a_server_that_answers_empty_at_once_does_not_make_us_spin(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    struct tl_rpc_request *req;
    int polls = 0;
    setup(&e, &p, completes);
    env_start(&e);
    while ((req = fake_take(&e.fake, TL_M_PollActivityTaskQueue)) != NULL) {
        fake_reply_empty(req);
        env_settle(&e);
        assert_true(++polls < 100);
    }
    env_pass(&e, 15000);
    assert_int_equal(fake_waiting(&e.fake, TL_M_PollActivityTaskQueue), 5);
    env_end(&e);
}

static void remember(void *ud, tl_rc rc, const char *message)
{
    (void)message;
    *(tl_rc *)ud = rc;
}

static void an_error_that_will_not_pass_stops_the_worker(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    tl_rc fatal = TL_OK, told = TL_OK;
    struct tl_error err = {0};
    setup(&e, &p, completes);
    e.config.on_fatal = remember;
    e.config.on_fatal_ud = &fatal;
    env_start(&e);
    fake_refuse(fake_take(&e.fake, TL_M_PollActivityTaskQueue), 7, "not allowed here");
    env_settle(&e);
    assert_int_equal(fatal, TL_EPERMISSION);
    assert_int_equal(tl_worker_state(e.worker), TL_WORKER_STOPPING);
    fake_reply_empty(fake_take(&e.fake, TL_M_ShutdownWorker));
    env_pass(&e, 2000);
    assert_int_equal(tl_worker_state(e.worker), TL_WORKER_STOPPED);
    assert_true(tl_worker_wait(e.worker, INT64_MAX, &told, &err));
    assert_int_equal(told, TL_EPERMISSION);
    assert_non_null(strstr(err.message, "not allowed here"));
    env_end(&e);
}

static void a_namespace_that_is_not_there_stops_the_worker(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    tl_rc told = TL_OK;
    struct tl_error err = {0};
    setup(&e, &p, completes);
    e.fake.manual_start = true;
    env_start(&e);
    fake_refuse(fake_take(&e.fake, TL_M_GetSystemInfo), 12, "an old server");
    env_settle(&e);
    fake_refuse(fake_take(&e.fake, TL_M_DescribeNamespace), 5, "Namespace default is not found.");
    env_settle(&e);
    assert_true(tl_worker_wait(e.worker, INT64_MAX, &told, &err));
    assert_int_equal(told, TL_ENOTFOUND);
    assert_int_equal(e.fake.counts[TL_M_PollActivityTaskQueue], 0);
    env_end(&e);
}

static void the_rate_limit_spaces_the_polls(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    int done = 0;
    setup(&e, &p, completes);
    e.config.options.max_activities_per_second = 2;
    env_start(&e);
    for (int i = 0; i < 100; i++) { /* ten seconds with work always waiting */
        while (fake_waiting(&e.fake, TL_M_PollActivityTaskQueue)) {
            env_give_activity(&e, env_activity(&e, "act", 1, 0));
            accept(&e, TL_M_RespondActivityTaskCompleted);
            done++;
        }
        env_pass(&e, 100);
    }
    assert_in_range(done, 18, 23);
    env_end(&e);
}

static void slots_bound_the_activities(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    setup(&e, &p, completes);
    e.config.options.max_concurrent_activities = 3;
    env_start(&e);
    assert_int_equal(fake_waiting(&e.fake, TL_M_PollActivityTaskQueue), 3);
    env_end(&e);
}

/* --- Stop -------------------------------------------------------------------------------------- */

static void waits_for_shutdown(struct plan *p, struct tl_activity *a)
{
    tl_worker_shutdown(p->env->worker, 5000);
    env_settle(p->env);
    assert_true(tl_activity_worker_shutting_down(a));
    assert_int_equal(tl_activity_cancel_reasons(a), 0); /* there is a grace */
    env_pass(p->env, 5100);
    p->reasons = tl_activity_cancel_reasons(a);
    tl_activity_end_canceled(a, NULL);
}

static void shutdown_gives_a_grace_and_then_cancels(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    struct tl_rpc_request *req;
    setup(&e, &p, waits_for_shutdown);
    e.fake.poll_complete_on_shutdown = true;
    env_start(&e);
    env_give_activity(&e, env_activity(&e, "act", 1, 0));
    assert_int_equal(p.reasons, TL_CANCEL_WORKER_SHUTDOWN);
    TpWs__ShutdownWorkerRequest *s = env_expect(&e, TL_M_ShutdownWorker, &req);
    assert_string_equal(s->task_queue, "q");
    assert_int_equal(s->n_task_queue_types, 1);
    fake_reply_empty(req);
    TpWs__RespondActivityTaskFailedRequest *f = env_expect(
        &e, TL_M_RespondActivityTaskFailed, &req); /* retryable: another worker goes on */
    assert_string_equal(f->failure->application_failure_info->type, "WorkerShutdown");
    assert_false(f->failure->application_failure_info->non_retryable);
    env_settle(&e);
    assert_int_equal(tl_worker_state(e.worker),
                     TL_WORKER_STOPPING); /* the answer is not taken yet */
    fake_reply_empty(req);
    env_settle(&e);
    assert_int_equal(tl_worker_state(e.worker), TL_WORKER_STOPPED);
    env_end(&e);
}

static void a_dead_server_does_not_hold_up_the_stop(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    struct tl_rpc_request *req;
    setup(&e, &p, completes);
    env_start(&e);
    env_give_activity(&e, env_activity(&e, "act", 1, 0));
    e.fake.down = true;
    env_expect(&e, TL_M_RespondActivityTaskCompleted, &req);
    fake_refuse(req, 14, "down");
    tl_worker_shutdown(e.worker, 1000);
    for (int i = 0; i < 200 && tl_worker_state(e.worker) != TL_WORKER_STOPPED; i++) {
        env_pass(&e, 100);
    }
    assert_int_equal(tl_worker_state(e.worker), TL_WORKER_STOPPED);
    env_end(&e);
}

/* --- Options ----------------------------------------------------------------------------------- */

static void options_are_checked(void **state)
{
    (void)state;
    struct tl_worker_options o;
    struct tl_error err;
    tl_worker_options_init(&o);
    assert_int_equal(o.max_cached_workflows, 1000);
    assert_int_equal(o.sticky_queue_schedule_to_start_timeout_ms, 10000);
    assert_int_equal(tl_worker_options_check(&o, &err), TL_EINVAL);
    assert_string_equal(err.message, "task_queue is required");
    o.task_queue = TL_STR_LIT("q");
    assert_int_equal(tl_worker_options_check(&o, &err), TL_OK);
    o.max_concurrent_activities = 0;
    assert_int_equal(tl_worker_options_check(&o, &err), TL_EINVAL);
    assert_string_equal(err.message, "max_concurrent_activities must be from 1 to 10000, not 0");
    o.max_concurrent_activities = 1;
    o.nonsticky_to_sticky_poll_ratio = 0.0 / 0.0 * 1.0;
    assert_int_equal(tl_worker_options_check(&o, &err), TL_EINVAL);
    o.nonsticky_to_sticky_poll_ratio = 0.5;
    o.max_concurrent_workflow_task_polls = 1;
    assert_int_equal(tl_worker_options_check(&o, &err), TL_EINVAL);
    o.max_concurrent_workflow_task_polls = 0;
    o.workflow_task_poller_behavior.maximum = 1;
    assert_int_equal(tl_worker_options_check(&o, &err), TL_EINVAL);
    assert_non_null(strstr(err.message, "workflow_task_poller_behavior.maximum"));
    o.max_cached_workflows = 0;
    assert_int_equal(tl_worker_options_check(&o, &err), TL_OK);
    o.use_worker_versioning = true;
    assert_int_equal(tl_worker_options_check(&o, &err), TL_EINVAL);
    o.deployment_name = TL_STR_LIT("d");
    o.default_versioning_behavior = TL_STR_LIT("sometimes");
    assert_int_equal(tl_worker_options_check(&o, &err), TL_EINVAL);
    o.default_versioning_behavior = TL_STR_LIT("pinned");
    assert_int_equal(tl_worker_options_check(&o, &err), TL_OK);
}

static void a_worker_needs_something_to_do(void **state)
{
    (void)state;
    struct env e;
    struct tl_worker *w;
    struct tl_error err;
    env_init(&e, NULL);
    assert_int_equal(tl_worker_new(&w, &e.config, &err), TL_EINVAL);
    assert_null(w);
    tl_registry_free(e.registry);
    fake_service_deinit(&e.fake);
    tl_arena_deinit(&e.arena);
    tl_log_sink(NULL, NULL);
}

static void names_are_unique(void **state)
{
    (void)state;
    struct tl_registry *r = tl_registry_new();
    struct tl_activity_impl impl = {run_plan, NULL};
    assert_int_equal(tl_registry_add(r, TL_STR_LIT("a"), &impl, NULL), TL_OK);
    assert_int_equal(tl_registry_add(r, TL_STR_LIT("a"), &impl, NULL), TL_EEXISTS);
    assert_null(tl_registry_find(r, TL_STR_LIT("b")));
    assert_int_equal(tl_registry_add(r, TL_STR_LIT(""), &impl, NULL), TL_OK);
    assert_non_null(tl_registry_find(r, TL_STR_LIT("b"))); /* the dynamic one */
    tl_registry_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_result_is_reported),
        cmocka_unit_test(an_activity_without_end_fails),
        cmocka_unit_test(a_result_that_is_too_large_is_a_failure),
        cmocka_unit_test(an_answer_that_no_request_carries_is_a_failure),
        cmocka_unit_test(a_failure_that_no_request_carries_is_told_in_short),
        cmocka_unit_test(an_async_activity_reports_nothing_but_its_last_heartbeat),
        cmocka_unit_test(an_answer_is_retried_until_it_is_taken),
        cmocka_unit_test(heartbeats_are_throttled),
        cmocka_unit_test(without_a_timeout_the_default_throttle_counts),
        cmocka_unit_test(a_failure_carries_details_that_were_held_back),
        cmocka_unit_test(a_failure_carries_details_that_it_may_overtake),
        cmocka_unit_test(cancellation_comes_with_the_reply_of_a_heartbeat),
        cmocka_unit_test(an_activity_that_the_server_forgot_is_not_answered),
        cmocka_unit_test(a_lost_heartbeat_is_sent_again),
        cmocka_unit_test(a_lost_server_is_asked_again_by_one_call_and_told_by_one_line),
        cmocka_unit_test(a_server_that_answers_empty_at_once_does_not_make_us_spin),
        cmocka_unit_test(an_error_that_will_not_pass_stops_the_worker),
        cmocka_unit_test(a_namespace_that_is_not_there_stops_the_worker),
        cmocka_unit_test(the_rate_limit_spaces_the_polls),
        cmocka_unit_test(slots_bound_the_activities),
        cmocka_unit_test(shutdown_gives_a_grace_and_then_cancels),
        cmocka_unit_test(a_dead_server_does_not_hold_up_the_stop),
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test(a_worker_needs_something_to_do),
        cmocka_unit_test(names_are_unique),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
