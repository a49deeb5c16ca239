/* Goal: a worker with threads runs many workflows to their end, keeps one run on one thread, grows its
 * activity pool when activities block, wakes who waits for a cancellation, and leaves cleanly at any
 * moment. Built with ThreadSanitizer this is also the race test.
 * Method: a thread plays a small service: one activity per workflow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "proto/pb.h"
#include "test/support/worker_env.h"
#include "tl_enums.h"

#define RUNS 150

static const struct env_type types[] = {
    {"One", TL_STEPS(DO(ACTIVITY, .name = "act"), DO(WAIT_ACTIVITY, .n = 1), DO(COMPLETE)), TL_OK},
    {NULL, NULL, TL_OK},
};

/* --- A small service --------------------------------------------------------------------------- */

enum stage { NEW, RUNNING_FIRST, WANTS_ACTIVITY, IN_ACTIVITY, WANTS_SECOND, RUNNING_SECOND, DONE };

struct run {
    enum stage stage;
    struct tl_arena arena;
    struct tl_hb hb;
    char id[32];
    int64_t scheduled;
};

struct small {
    struct env *env;
    struct run runs[RUNS];
    int run_count, done;
    atomic_bool stop;
    pthread_t thread;
};

static struct run *find_stage(struct small *s, enum stage stage)
{
    for (int i = 0; i < s->run_count; i++) {
        if (s->runs[i].stage == stage) {
            return &s->runs[i];
        }
    }
    return NULL;
}

static struct run *by_token(struct small *s, ProtobufCBinaryData token)
{
    int index = 0;
    char text[32] = "";
    memcpy(text, token.data, token.len < sizeof text ? token.len : sizeof text - 1);
    assert_int_equal(sscanf(text, "run-%d", &index), 1);
    return &s->runs[index];
}

static TpWs__PollWorkflowTaskQueueResponse *task_of(struct run *r, int64_t from)
{
    TpWs__PollWorkflowTaskQueueResponse *p = env_poll(&r->hb, from, r->id, "One");
    p->task_token = tl_pb_bytes(&r->arena, tl_str(r->id), NULL);
    return p;
}

static bool answer_workflow_poll(struct small *s, struct tl_rpc_request *req)
{
    TpWs__PollWorkflowTaskQueueRequest *p = fake_decode(&s->env->fake, req);
    bool sticky = (int)p->task_queue->kind == TASK_QUEUE_KIND_STICKY;
    struct run *r = find_stage(s, sticky ? WANTS_SECOND : NEW);
    if (!r) {
        return false;
    }
    if (sticky) {
        r->stage = RUNNING_SECOND;
        fake_reply(req, task_of(r, tl_hb_last_id(&r->hb) - 5));
    } else {
        r->stage = RUNNING_FIRST;
        tl_hb_init(&r->hb, &r->arena);
        tl_hb_start(&r->hb, "One");
        tl_hb_task(&r->hb);
        fake_reply(req, task_of(r, 1));
    }
    return true;
}

static bool answer_activity_poll(struct small *s, struct tl_rpc_request *req)
{
    struct run *r = find_stage(s, WANTS_ACTIVITY);
    if (!r) {
        return false;
    }
    r->stage = IN_ACTIVITY;
    TpWs__PollActivityTaskQueueResponse t = TP_WS__POLL_ACTIVITY_TASK_QUEUE_RESPONSE__INIT;
    TpCommon__ActivityType type = TP_COMMON__ACTIVITY_TYPE__INIT;
    type.name = (char *)(uintptr_t) "act";
    t.activity_type = &type;
    t.task_token = tl_pb_bytes_view(tl_str(r->id));
    t.attempt = 1;
    fake_reply(req, &t);
    return true;
}

static void answer_completed(struct small *s, struct tl_rpc_request *req)
{
    TpWs__RespondWorkflowTaskCompletedRequest *c = fake_decode(&s->env->fake, req);
    struct run *r = by_token(s, c->task_token);
    assert_int_equal(c->n_commands, 1);
    tl_hb_task_completed(&r->hb);
    if (r->stage == RUNNING_FIRST) {
        assert_int_equal((int)c->commands[0]->command_type, COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK);
        r->scheduled = tl_hb_activity_scheduled(&r->hb, "1", "act");
        r->stage = WANTS_ACTIVITY;
    } else {
        assert_int_equal((int)c->commands[0]->command_type,
                         COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION);
        r->stage = DONE;
        s->done++;
    }
    fake_reply_empty(req);
}

static void answer_activity(struct small *s, struct tl_rpc_request *req)
{
    TpWs__RespondActivityTaskCompletedRequest *c = fake_decode(&s->env->fake, req);
    struct run *r = by_token(s, c->task_token);
    tl_hb_activity_started(&r->hb, r->scheduled);
    tl_hb_activity_completed(&r->hb, r->scheduled, "1");
    tl_hb_task(&r->hb);
    r->stage = WANTS_SECOND;
    fake_reply_empty(req);
}

/* One pass over what waits; polls without work stay parked. */
static bool serve_once(struct small *s)
{
    struct fake_service *f = &s->env->fake;
    struct tl_rpc_request *req, *parked[128];
    size_t n = 0;
    bool any = false;
    while ((req = fake_take(f, TL_M_RespondWorkflowTaskCompleted)) != NULL) {
        answer_completed(s, req);
        any = true;
    }
    while ((req = fake_take(f, TL_M_RespondActivityTaskCompleted)) != NULL) {
        answer_activity(s, req);
        any = true;
    }
    while ((req = fake_take(f, TL_M_ShutdownWorker)) != NULL) {
        fake_reply_empty(req);
    }
    const enum tl_method polls[] = {TL_M_PollWorkflowTaskQueue, TL_M_PollActivityTaskQueue};
    for (int k = 0; k < 2; k++) {
        while (n < 128 && (req = fake_take(f, polls[k])) != NULL) {
            bool taken = k ? answer_activity_poll(s, req) : answer_workflow_poll(s, req);
            any = any || taken;
            if (!taken) {
                parked[n++] = req;
            }
        }
    }
    while (n) {
        /* Its caller may have gone while we held it. */
        struct tl_rpc_request *p = parked[--n];
        if (tl_rpc_request_is_cancelled(p)) {
            fake_refuse(p, 1, "cancelled");
        } else {
            fake_put_back(f, p);
        }
    }
    return any;
}

static void *serve(void *ud)
{
    struct small *s = ud;
    while (!atomic_load(&s->stop)) {
        if (!serve_once(s)) {
            usleep(200);
        }
    }
    return NULL;
}

static struct small *small_new(struct env *e, int runs)
{
    struct small *s = TL_NEW(struct small);
    s->env = e;
    s->run_count = runs;
    for (int i = 0; i < RUNS; i++) {
        tl_arena_init(&s->runs[i].arena, (size_t)1 << 20);
        snprintf(s->runs[i].id, sizeof s->runs[i].id, "run-%d", i);
    }
    return s;
}

static void small_free(struct small *s)
{
    atomic_store(&s->stop, true);
    pthread_join(s->thread, NULL);
    for (int i = 0; i < RUNS; i++) {
        tl_arena_deinit(&s->runs[i].arena);
    }
    tl_mem_free(s);
}

/* --- Activities -------------------------------------------------------------------------------- */

struct seen {
    atomic_int running, most, opened, closed, ran;
    useconds_t block_us;
};

static void act(void *thread_state, void *ud, struct tl_activity *a)
{
    struct seen *seen = ud;
    assert_ptr_equal(thread_state, seen); /* what thread_open made */
    int now = atomic_fetch_add(&seen->running, 1) + 1, most = atomic_load(&seen->most);
    while (now > most && !atomic_compare_exchange_weak(&seen->most, &most, now)) {
    }
    if (seen->block_us) {
        usleep(seen->block_us);
    }
    atomic_fetch_sub(&seen->running, 1);
    atomic_fetch_add(&seen->ran, 1);
    tl_activity_complete(a, NULL);
}

static tl_rc thread_open(void *ud, void **state, struct tl_error *err)
{
    (void)err;
    atomic_fetch_add(&((struct seen *)ud)->opened, 1);
    *state = ud;
    return TL_OK;
}

static void thread_close(void *ud, void *state)
{
    (void)state;
    atomic_fetch_add(&((struct seen *)ud)->closed, 1);
}

static void setup(struct env *e, struct seen *seen)
{
    struct tl_activity_impl impl = {act, seen};
    struct tl_thread_hooks hooks = {thread_open, thread_close, seen};
    env_init(e, types);
    tl_registry_thread_hooks(e->registry, &hooks);
    assert_int_equal(tl_registry_add(e->registry, TL_STR_LIT("act"), &impl, NULL), TL_OK);
    e->config.options.workflow_threads = 2;
}

static void stop(struct env *e)
{
    tl_rc rc = TL_EINTERNAL;
    tl_worker_shutdown(e->worker, 0);
    assert_true(tl_worker_wait(e->worker, INT64_MAX, &rc, NULL));
    assert_int_equal(rc, TL_OK);
}

/* A case that fails leaves its threads behind, for the next one to fall over: no wait is short. */
#define EVENTUALLY(what)                                                                           \
    do {                                                                                           \
        for (int i_ = 0; i_ < 120000 && !(what); i_++) {                                           \
            usleep(500);                                                                           \
        }                                                                                          \
        assert_true(what);                                                                         \
    } while (0)

static void finish(struct env *e, struct small *s)
{
    struct tl_rpc_request *req;
    small_free(s);
    while ((req = fake_take(&e->fake, TL_M_RespondActivityTaskFailed)) != NULL) {
        fake_reply_empty(req);
    }
    env_end(e);
}

/* ------------------------------------------------------------------------------------------------ */

static void many_workflows_complete(void **state)
{
    (void)state;
    struct env e;
    struct seen seen = {0};
    setup(&e, &seen);
    struct small *s = small_new(&e, RUNS);
    env_start_threads(&e);
    pthread_create(&s->thread, NULL, serve, s);
    EVENTUALLY(env_stats(&e).workflow_tasks_completed == 2 * RUNS);
    assert_int_equal(atomic_load(&seen.ran), RUNS);
    assert_int_equal(env_stats(&e).cache_hits, RUNS);
    EVENTUALLY(env_stats(&e).cached_runs == 0); /* a run goes after its last task is counted */
    assert_int_equal(atomic_load(&e.opened), RUNS);
    stop(&e);
    assert_int_equal(atomic_load(&seen.opened), atomic_load(&seen.closed));
    finish(&e, s);
}

static void a_blocked_pool_grows_and_a_busy_one_does_not(void **state)
{
    (void)state;
    const useconds_t blocks[] = {0, 50000};
    for (int i = 0; i < 2; i++) {
        struct env e;
        struct seen seen = {.block_us = blocks[i]};
        setup(&e, &seen);
        e.config.options.max_concurrent_activities = 8;
        e.config.options.max_concurrent_activity_task_polls = 8;
        struct small *s = small_new(&e, 32);
        env_start_threads(&e);
        pthread_create(&s->thread, NULL, serve, s);
        EVENTUALLY(atomic_load(&seen.ran) == 32);
        if (blocks[i]) {
            assert_in_range(atomic_load(&seen.most), 4, 8);
        }
        /* Local activities may use the same threads. */
        assert_true(env_stats(&e).activity_threads <=
                    8 + e.config.options.max_concurrent_local_activities);
        stop(&e);
        finish(&e, s);
    }
}

static void a_worker_can_be_stopped_at_any_moment(void **state)
{
    (void)state;
    for (useconds_t after = 0; after < 12000; after += 1500) {
        struct env e;
        struct seen seen = {0};
        setup(&e, &seen);
        struct small *s = small_new(&e, RUNS);
        env_start_threads(&e);
        pthread_create(&s->thread, NULL, serve, s);
        usleep(after);
        stop(&e);
        assert_int_equal(tl_worker_state(e.worker), TL_WORKER_STOPPED);
        finish(&e, s);
    }
}

/* --- Waiting for a cancellation ---------------------------------------------------------------- */

struct waiter {
    atomic_uint reasons;
    atomic_bool inside;
};

static void wait_for_cancel(void *thread_state, void *ud, struct tl_activity *a)
{
    struct waiter *w = ud;
    (void)thread_state;
    atomic_store(&w->inside, true);
    atomic_store(&w->reasons, tl_activity_wait_cancelled(a, INT64_MAX));
    tl_activity_end_canceled(a, NULL);
}

static void a_shutdown_wakes_an_activity_that_waits(void **state)
{
    (void)state;
    struct env e;
    struct waiter w = {0};
    struct tl_activity_impl impl = {wait_for_cancel, &w};
    env_init(&e, types);
    assert_int_equal(tl_registry_add(e.registry, TL_STR_LIT("act"), &impl, NULL), TL_OK);
    struct small *s = small_new(&e, 1);
    env_start_threads(&e);
    pthread_create(&s->thread, NULL, serve, s);
    EVENTUALLY(atomic_load(&w.inside));
    tl_worker_shutdown(e.worker, 20);
    struct tl_rpc_request *req = fake_wait(&e.fake, TL_M_RespondActivityTaskFailed);
    fake_reply_empty(req);
    assert_true(tl_worker_wait(e.worker, INT64_MAX, NULL, NULL));
    assert_int_equal(atomic_load(&w.reasons), TL_CANCEL_WORKER_SHUTDOWN);
    finish(&e, s);
}

static void a_worker_that_never_started_can_be_freed(void **state)
{
    (void)state;
    struct env e;
    struct seen seen = {0};
    setup(&e, &seen);
    e.config.world = NULL;
    assert_int_equal(tl_worker_new(&e.worker, &e.config, NULL), TL_OK);
    tl_worker_shutdown(e.worker, 0);
    assert_true(tl_worker_wait(e.worker, INT64_MAX, NULL, NULL));
    assert_int_equal(tl_worker_start(e.worker, NULL), TL_EPRECONDITION);
    env_end(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_workflows_complete),
        cmocka_unit_test(a_blocked_pool_grows_and_a_busy_one_does_not),
        cmocka_unit_test(a_worker_can_be_stopped_at_any_moment),
        cmocka_unit_test(a_shutdown_wakes_an_activity_that_waits),
        cmocka_unit_test(a_worker_that_never_started_can_be_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
