/* Goal: a worker asks for activities no more often than it may and can, stops for what will not pass,
 * and ends as it was told; its options are checked.
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

/* --- Polls ------------------------------------------------------------------------------------- */

static void a_lost_server_is_asked_again_by_one_call_and_told_by_one_line(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    struct tl_rpc_request *req;
    plan_setup(&e, &p, plan_completes);
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
    plan_accept(&e, TL_M_RespondActivityTaskCompleted);
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
    plan_setup(&e, &p, plan_completes);
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
    plan_setup(&e, &p, plan_completes);
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

static void refuse_all(struct env *e, int status)
{
    struct tl_rpc_request *req;
    while ((req = fake_take(&e->fake, TL_M_PollActivityTaskQueue)) != NULL) {
        fake_refuse(req, status, "expired");
    }
    env_settle(e);
}

/* A key that is renewed a little late, or a proxy: what was taken before may be taken again. */
static void what_is_refused_later_is_asked_for_again_for_a_minute(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    tl_rc fatal = TL_OK;
    plan_setup(&e, &p, plan_completes);
    e.config.on_fatal = remember;
    e.config.on_fatal_ud = &fatal;
    env_start(&e);
    env_pass(&e, 6000); /* nobody has refused */
    for (int round = 0; round < 2; round++) {
        for (int s = 0; s < 50; s++) {
            refuse_all(&e, 16);
            assert_int_equal(fatal, TL_OK);
            env_pass(&e, 1000);
        }
        env_pass(&e, 15000);
        assert_int_equal(fake_waiting(&e.fake, TL_M_PollActivityTaskQueue), 5);
        fake_reply_empty(fake_take(
            &e.fake, TL_M_PollActivityTaskQueue)); /* it is taken: the minute begins anew */
        env_settle(&e);
    }
    for (int s = 0; s < 90; s++) {
        refuse_all(&e, 16);
        env_pass(&e, 1000);
    }
    assert_int_not_equal(fatal, TL_OK);
    fake_reply_empty(fake_take(&e.fake, TL_M_ShutdownWorker));
    env_pass(&e, 2000);
    assert_int_equal(tl_worker_state(e.worker), TL_WORKER_STOPPED);
    env_end(&e);
}

static void a_namespace_that_is_not_there_stops_the_worker(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    tl_rc told = TL_OK;
    struct tl_error err = {0};
    plan_setup(&e, &p, plan_completes);
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
    plan_setup(&e, &p, plan_completes);
    e.config.options.max_activities_per_second = 2;
    env_start(&e);
    for (int i = 0; i < 100; i++) { /* ten seconds with work always waiting */
        while (fake_waiting(&e.fake, TL_M_PollActivityTaskQueue)) {
            env_give_activity(&e, env_activity(&e, "act", 1, 0));
            plan_accept(&e, TL_M_RespondActivityTaskCompleted);
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
    plan_setup(&e, &p, plan_completes);
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
    plan_setup(&e, &p, waits_for_shutdown);
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
    plan_setup(&e, &p, plan_completes);
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
    struct tl_activity_impl impl = {plan_run, NULL};
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
        cmocka_unit_test(a_lost_server_is_asked_again_by_one_call_and_told_by_one_line),
        cmocka_unit_test(a_server_that_answers_empty_at_once_does_not_make_us_spin),
        cmocka_unit_test(an_error_that_will_not_pass_stops_the_worker),
        cmocka_unit_test(what_is_refused_later_is_asked_for_again_for_a_minute),
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
