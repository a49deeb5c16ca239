/* Goal: a task that outlives the call that runs it is reported once, when it is finished, whichever of the two comes
 * first; it holds its slot until then, and hears of what it may wait for.
 * Method: a stepped worker whose activity detaches; the test finishes it, and plays service and clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/pb.h"
#include "test/support/worker_env.h"

struct plan {
    struct env env;
    struct tl_activity *activity; /* detached */
    bool finish_at_once;
    int changes;
};

static void run(void *thread_state, void *ud, struct tl_activity *a)
{
    struct plan *p = ud;
    (void)thread_state;
    tl_activity_detach(a);
    p->activity = a;
    if (p->finish_at_once) {
        tl_activity_complete(a, NULL);
        tl_activity_finish(a);
        assert_int_equal(fake_waiting(&p->env.fake, TL_M_RespondActivityTaskCompleted), 0);
    }
}

static void begin(struct plan *p, bool finish_at_once)
{
    struct tl_activity_impl impl = {run, p};
    *p = (struct plan){.finish_at_once = finish_at_once};
    env_init(&p->env, NULL);
    assert_int_equal(tl_registry_add(p->env.registry, TL_STR_LIT("act"), &impl, NULL), TL_OK);
    p->env.config.options.max_concurrent_activities = 1;
    env_start(&p->env);
    env_give_activity(&p->env, env_activity(&p->env, "act", 1, 10000));
}

static void count_change(void *ud)
{
    ((struct plan *)ud)->changes++;
}

static void it_is_reported_when_it_is_finished(void **state)
{
    (void)state;
    struct plan p;
    struct tl_rpc_request *req;
    begin(&p, false);
    env_pass(&p.env, 60000);
    env_expect_none(&p.env, TL_M_RespondActivityTaskCompleted);
    assert_int_equal(fake_waiting(&p.env.fake, TL_M_PollActivityTaskQueue),
                     0); /* its slot is taken */
    tl_activity_complete(p.activity, NULL);
    tl_activity_finish(p.activity);
    env_settle(&p.env);
    env_expect(&p.env, TL_M_RespondActivityTaskCompleted, &req);
    fake_reply_empty(req);
    env_settle(&p.env);
    env_expect_none(&p.env, TL_M_RespondActivityTaskCompleted);
    assert_int_equal(fake_waiting(&p.env.fake, TL_M_PollActivityTaskQueue), 1);
    env_end(&p.env);
}

static void it_may_be_finished_before_run_returns(void **state)
{
    (void)state;
    struct plan p;
    struct tl_rpc_request *req;
    begin(&p, true);
    env_expect(&p.env, TL_M_RespondActivityTaskCompleted, &req);
    fake_reply_empty(req);
    env_settle(&p.env);
    env_expect_none(&p.env, TL_M_RespondActivityTaskCompleted);
    assert_int_equal(fake_waiting(&p.env.fake, TL_M_PollActivityTaskQueue), 1);
    env_end(&p.env);
}

static void one_without_an_end_fails(void **state)
{
    (void)state;
    struct plan p;
    struct tl_rpc_request *req;
    begin(&p, false);
    tl_activity_finish(p.activity);
    env_settle(&p.env);
    TpWs__RespondActivityTaskFailedRequest *f =
        env_expect(&p.env, TL_M_RespondActivityTaskFailed, &req);
    assert_string_equal(f->failure->application_failure_info->type, "WorkerError");
    fake_reply_empty(req);
    env_settle(&p.env);
    env_end(&p.env);
}

static void it_is_told_of_cancellation_and_shutdown(void **state)
{
    (void)state;
    struct plan p;
    struct tl_rpc_request *req;
    TpWs__RecordActivityTaskHeartbeatResponse r =
        TP_WS__RECORD_ACTIVITY_TASK_HEARTBEAT_RESPONSE__INIT;
    begin(&p, false);
    tl_activity_on_change(p.activity, count_change, &p);
    assert_int_equal(p.changes, 0);
    assert_int_equal(tl_activity_heartbeat(p.activity, NULL, NULL), TL_OK);
    env_settle(&p.env);
    env_expect(&p.env, TL_M_RecordActivityTaskHeartbeat, &req);
    r.cancel_requested = true;
    fake_reply(req, &r);
    env_settle(&p.env);
    assert_int_equal(p.changes, 1);
    assert_int_equal(tl_activity_cancel_reasons(p.activity), TL_CANCEL_REQUESTED);
    tl_worker_shutdown(p.env.worker, 5000);
    env_settle(&p.env);
    assert_int_equal(p.changes, 2);
    tl_activity_on_change(p.activity, NULL, NULL);
    tl_activity_on_change(p.activity, count_change, &p); /* both have come: it is told at once */
    assert_int_equal(p.changes, 3);
    assert_int_equal(tl_worker_state(p.env.worker), TL_WORKER_STOPPING); /* it waits for the task */
    tl_activity_on_change(p.activity, NULL, NULL);
    tl_activity_end_canceled(p.activity, NULL);
    tl_activity_finish(p.activity);
    env_settle(&p.env);
    env_expect(&p.env, TL_M_RespondActivityTaskCanceled, &req);
    fake_reply_empty(req);
    env_settle(&p.env);
    env_end(&p.env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_reported_when_it_is_finished),
        cmocka_unit_test(it_may_be_finished_before_run_returns),
        cmocka_unit_test(one_without_an_end_fails),
        cmocka_unit_test(it_is_told_of_cancellation_and_shutdown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
