/* Goal: activities end as they say, heartbeats are throttled and bring cancellation.
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
#include "test/support/activity_plan.h"
#include "tl_enums.h"

/* --- Ends -------------------------------------------------------------------------------------- */

static void a_result_is_reported(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    struct tl_rpc_request *req;
    plan_setup(&e, &p, plan_completes);
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
    plan_setup(&e, &p, returns_nothing);
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
    tl_activity_complete(a, plan_payloads(a->arena, tl_str_n(big, p->result_bytes)));
    tl_mem_free(big);
}

static void a_result_that_is_too_large_is_a_failure(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    struct tl_rpc_request *req;
    plan_setup(&e, &p, returns_much);
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
    plan_setup(&e, &p, returns_much);
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
    plan_setup(&e, &p, fails_at_length);
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
    p->last_rc = tl_activity_heartbeat(a, plan_payloads(a->arena, TL_STR_LIT("one")), NULL);
    p->last_rc = tl_activity_heartbeat(a, plan_payloads(a->arena, TL_STR_LIT("two")), NULL);
    tl_activity_complete_async(a);
}

static void an_async_activity_reports_nothing_but_its_last_heartbeat(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    struct tl_rpc_request *req;
    plan_setup(&e, &p, goes_async);
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
    plan_setup(&e, &p, plan_completes);
    env_start(&e);
    env_give_activity(&e, env_activity(&e, "act", 1, 0));
    for (int i = 0; i < 3; i++) {
        env_expect(&e, TL_M_RespondActivityTaskCompleted, &req);
        fake_refuse(req, 14, "away");
        env_settle(&e);
        env_expect_none(&e, TL_M_RespondActivityTaskCompleted);
        env_pass(&e, 6000);
    }
    plan_accept(&e, TL_M_RespondActivityTaskCompleted);
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
    p->last_rc = tl_activity_heartbeat(a, plan_payloads(a->arena, tl_str(details)), NULL);
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
    plan_setup(&e, &p, beats_often);
    env_start(&e);
    env_give_activity(&e, env_activity(&e, "act", 1, 10000));
    plan_accept(&e, TL_M_RespondActivityTaskCompleted);
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
    plan_setup(&e, &p, beats_without_timeout);
    env_start(&e);
    env_give_activity(&e, env_activity(&e, "act", 1, 0));
    plan_accept(&e, TL_M_RespondActivityTaskCompleted);
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
    plan_setup(&e, &p, beats_and_fails);
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
    plan_setup(&e, &p, beats_and_fails_at_once);
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
    tl_activity_end_canceled(a, plan_payloads(a->arena, TL_STR_LIT("bye")));
}

static void cancellation_comes_with_the_reply_of_a_heartbeat(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    struct tl_rpc_request *req;
    plan_setup(&e, &p, learns_of_cancellation);
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
    plan_setup(&e, &p, learns_that_it_is_unknown);
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
    plan_setup(&e, &p, beats_at_a_lost_server);
    env_start(&e);
    env_give_activity(&e, env_activity(&e, "act", 1, 10000));
    plan_accept(&e, TL_M_RespondActivityTaskCompleted);
    env_end(&e);
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
