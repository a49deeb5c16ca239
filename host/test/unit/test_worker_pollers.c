/* Goal: the number of outstanding polls follows the poller behaviour and the server's advice.
 * Method: the rule alone with times of the test, then a stepped worker whose service the test plays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/pb.h"
#include "temporal/api/taskqueue/v1/message.pb-c.h"
#include "test/support/worker_env.h"
#include "worker/worker_int.h"

#define RESOURCE_EXHAUSTED 8
#define MS TL_NS_PER_MS

static const struct tl_poller_behavior autoscaling = {true, 2, 20, 5};

static int target(const struct tl_poll_scale *s)
{
    return atomic_load(&s->target);
}

/* One task with this advice; 0: a message without a change. */
static void advise(struct tl_poll_scale *s, int32_t delta, int64_t now_ns)
{
    TpTq__PollerScalingDecision d = TP_TQ__POLLER_SCALING_DECISION__INIT;
    struct tl_buf b;
    d.poll_request_delta_suggestion = delta;
    tl_buf_init(&b, 64);
    assert_int_equal(tl_pb_encode(&d, &b, NULL), TL_OK);
    struct tl_str text = b.n ? tl_buf_str(&b) : TL_STR_LIT("");
    tl_poll_scale_result(s, 0, true, text, now_ns);
    tl_buf_deinit(&b);
}

static void nothing(struct tl_poll_scale *s, int status)
{
    tl_poll_scale_result(s, status, false, (struct tl_str){0}, 0);
}

static void a_fixed_number_stays(void **state)
{
    (void)state;
    const struct tl_poller_behavior fixed = {false, 1, 7, 7};
    struct tl_poll_scale s;
    tl_poll_scale_init(&s, &fixed, 0);
    advise(&s, 5, 0);
    advise(&s, -5, 0);
    nothing(&s, 0);
    nothing(&s, RESOURCE_EXHAUSTED);
    assert_int_equal(target(&s), 7);
}

static void advice_moves_the_number_between_its_limits(void **state)
{
    (void)state;
    struct tl_poll_scale s;
    tl_poll_scale_init(&s, &autoscaling, 0);
    assert_int_equal(target(&s), 5);
    advise(&s, 3, 1);
    assert_int_equal(target(&s), 8);
    advise(&s, 0, 1);
    assert_int_equal(target(&s), 8);
    advise(&s, -1, 1);
    assert_int_equal(target(&s), 7);
    advise(&s, INT32_MAX, 1);
    assert_int_equal(target(&s), 20);
    advise(&s, INT32_MIN, 1);
    assert_int_equal(target(&s), 2);
}

static void empty_polls_and_errors_count_once_there_was_advice(void **state)
{
    (void)state;
    struct tl_poll_scale s;
    tl_poll_scale_init(&s, &autoscaling, 0);
    nothing(&s, 0);
    nothing(&s, STATUS_UNAVAILABLE);
    nothing(&s, RESOURCE_EXHAUSTED);
    assert_int_equal(target(&s), 5);
    advise(&s, 7, 1);
    assert_int_equal(target(&s), 12);
    nothing(&s, 0);
    assert_int_equal(target(&s), 11);
    nothing(&s, RESOURCE_EXHAUSTED);
    assert_int_equal(target(&s), 5);
    nothing(&s, STATUS_UNAVAILABLE);
    assert_int_equal(target(&s), 4);
    for (int i = 0; i < 10; i++) {
        nothing(&s, 0);
    }
    assert_int_equal(target(&s), 2);
}

static void more_polls_that_bring_no_more_tasks_are_not_asked_for(void **state)
{
    (void)state;
    struct tl_poll_scale s;
    tl_poll_scale_init(&s, &autoscaling, 0);
    for (int i = 0; i < 10; i++) {
        advise(&s, 0, 1);
    }
    for (int i = 0; i < 10; i++) {
        advise(&s, 0, 101 * MS);
    }
    advise(&s, 1, 202 * MS); /* 10 tasks, then 10 */
    assert_int_equal(target(&s), 5);
    for (int i = 0; i < 20; i++) {
        advise(&s, 0, 203 * MS);
    }
    advise(&s, 1, 303 * MS); /* 10, then 21 */
    assert_int_equal(target(&s), 6);
}

static void completes(void *thread_state, void *ud, struct tl_activity *a)
{
    (void)thread_state;
    (void)ud;
    tl_activity_complete(a, NULL);
}

/* An activity task that asks for more polls (or fewer) is followed by them. */
static void a_worker_follows(void **state)
{
    (void)state;
    struct env e;
    struct tl_activity_impl impl = {completes, NULL};
    TpTq__PollerScalingDecision d = TP_TQ__POLLER_SCALING_DECISION__INIT;
    struct tl_rpc_request *req;
    env_init(&e, NULL);
    assert_int_equal(tl_registry_add(e.registry, TL_STR_LIT("act"), &impl, NULL), TL_OK);
    e.config.options.activity_task_poller_behavior = autoscaling;
    env_start(&e);
    assert_int_equal(fake_waiting(&e.fake, TL_M_PollActivityTaskQueue), 5);
    const int32_t deltas[] = {4, -6};
    const int polls[] = {9, 3};
    for (int i = 0; i < 2; i++) {
        TpWs__PollActivityTaskQueueResponse *task = env_activity(&e, "act", 1, 0);
        d.poll_request_delta_suggestion = deltas[i];
        task->poller_scaling_decision = &d;
        env_give_activity(&e, task);
        env_expect(&e, TL_M_RespondActivityTaskCompleted, &req);
        fake_reply_empty(req);
        env_settle(&e);
        for (int k = 0; k < 10 && fake_waiting(&e.fake, TL_M_PollActivityTaskQueue) > polls[i];
             k++) {
            task->poller_scaling_decision =
                NULL; /* the surplus polls end with tasks of their own */
            env_give_activity(&e, task);
            env_expect(&e, TL_M_RespondActivityTaskCompleted, &req);
            fake_reply_empty(req);
            env_settle(&e);
        }
        assert_int_equal(fake_waiting(&e.fake, TL_M_PollActivityTaskQueue), polls[i]);
    }
    env_end(&e);
}

/* Where the namespace says that its server gives advice, the first empty poll counts. */
static void a_capability_stands_for_advice(void **state)
{
    (void)state;
    for (int says = 0; says < 2; says++) {
        struct env e;
        struct tl_activity_impl impl = {completes, NULL};
        struct tl_rpc_request *req;
        TpWs__DescribeNamespaceResponse r = TP_WS__DESCRIBE_NAMESPACE_RESPONSE__INIT;
        TpNamespace__NamespaceInfo info = TP_NAMESPACE__NAMESPACE_INFO__INIT;
        TpNamespace__NamespaceInfo__Capabilities caps =
            TP_NAMESPACE__NAMESPACE_INFO__CAPABILITIES__INIT;
        env_init(&e, NULL);
        e.fake.manual_start = true;
        assert_int_equal(tl_registry_add(e.registry, TL_STR_LIT("act"), &impl, NULL), TL_OK);
        e.config.options.activity_task_poller_behavior = autoscaling;
        env_start(&e);
        env_expect(&e, TL_M_GetSystemInfo, &req);
        fake_reply_empty(req);
        env_settle(&e);
        env_expect(&e, TL_M_DescribeNamespace, &req);
        caps.poller_autoscaling = says == 1;
        caps.worker_poll_complete_on_shutdown = true;
        info.capabilities = &caps;
        r.namespace_info = &info;
        fake_reply(req, &r);
        env_settle(&e);
        assert_int_equal(fake_waiting(&e.fake, TL_M_PollActivityTaskQueue), 5);
        env_expect(&e, TL_M_PollActivityTaskQueue, &req);
        e.fake.now_ns += 60 * TL_NS_PER_S;
        fake_reply_empty(req);
        env_settle(&e);
        assert_int_equal(fake_waiting(&e.fake, TL_M_PollActivityTaskQueue), says ? 4 : 5);
        env_end(&e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fixed_number_stays),
        cmocka_unit_test(advice_moves_the_number_between_its_limits),
        cmocka_unit_test(empty_polls_and_errors_count_once_there_was_advice),
        cmocka_unit_test(more_polls_that_bring_no_more_tasks_are_not_asked_for),
        cmocka_unit_test(a_worker_follows),
        cmocka_unit_test(a_capability_stands_for_advice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
