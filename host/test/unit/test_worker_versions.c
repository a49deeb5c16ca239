/* Goal: each version that a worker has loaded polls for itself; the current one's polls hold the slots;
 * what the server calls drained stops, is dropped and deleted.
 * Method: a stepped worker for activities, whose service the test plays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/pb.h"
#include "test/support/worker_env.h"
#include "tl_enums.h"

#define FAILED_PRECONDITION 9

struct versions {
    struct env env;
    int released[3];
};

static void completes(void *thread_state, void *ud, struct tl_activity *a)
{
    (void)thread_state;
    (void)ud;
    tl_activity_complete(a, NULL);
}

static void release(void *ud)
{
    ++*(int *)ud;
}

static void begin(struct versions *v)
{
    static const struct tl_activity_impl impl = {completes, NULL};
    struct env *e = &v->env;
    struct tl_worker_options *o = &e->config.options;
    memset(v->released, 0, sizeof v->released);
    env_init(e, NULL);
    assert_int_equal(tl_registry_add(e->registry, TL_STR_LIT("act"), &impl, NULL), TL_OK);
    o->use_worker_versioning = true;
    o->deployment_name = TL_STR_LIT("shop");
    o->build_id = TL_STR_LIT("v+{hash}");
    o->max_concurrent_activities = 2;
    o->activity_task_poller_behavior = (struct tl_poller_behavior){false, 1, 3, 3};
    e->config.digest = TL_STR_LIT("0");
    e->config.release = release;
    e->config.release_ud = &v->released[0];
    env_start(e);
}

/* Loads version number n and, when wanted, makes it the current one. */
static void load(struct versions *v, int n, bool select)
{
    static const char *const digests[] = {"0", "1", "2"}, *const ids[] = {"v+0", "v+1", "v+2"};
    struct env *e = &v->env;
    struct tl_error err = {0};
    const struct tl_worker_build build = {.registry = e->registry,
                                          .digest = tl_str(digests[n]),
                                          .release = release,
                                          .release_ud = &v->released[n]};
    assert_int_equal(tl_worker_promote(e->worker, &build, &err), TL_OK);
    if (select) {
        assert_int_equal(tl_worker_select_build(e->worker, tl_str(ids[n]), &err), TL_OK);
    }
    env_settle(e);
}

/* The oldest waiting poll of a version; the others wait on. *key: its instance key. */
static struct tl_rpc_request *poll_of(struct env *e, const char *build_id, const char **key)
{
    struct tl_rpc_request *others[64], *req, *found = NULL;
    size_t n = 0;
    while (!found && (req = fake_take(&e->fake, TL_M_PollActivityTaskQueue)) != NULL) {
        TpWs__PollActivityTaskQueueRequest *r = fake_decode(&e->fake, req);
        assert_int_equal((int)r->deployment_options->worker_versioning_mode,
                         WORKER_VERSIONING_MODE_VERSIONED);
        assert_string_equal(r->deployment_options->deployment_name, "shop");
        if (strcmp(r->deployment_options->build_id, build_id) == 0) {
            found = req;
            *key = r->worker_instance_key;
        } else {
            assert_true(n < 64);
            others[n++] = req;
        }
    }
    while (n) {
        fake_put_back(&e->fake, others[--n]);
    }
    return found;
}

/* Ends all waiting polls of a version with nothing; tells how many there were. */
static int end_polls(struct env *e, const char *build_id)
{
    const char *key;
    int n = 0;
    for (struct tl_rpc_request *req; (req = poll_of(e, build_id, &key)) != NULL; n++) {
        fake_reply_empty(req);
    }
    env_settle(e);
    return n;
}

/* Answers what the worker asks about versions for a while: this one has `status`, others are draining.
 * Tells how often it was asked for. */
static int answer(struct env *e, int64_t ms, const char *build_id, int status)
{
    int asked = 0;
    for (; ms > 0; ms -= 500) {
        struct tl_rpc_request *req;
        env_pass(e, 500);
        while ((req = fake_take(&e->fake, TL_M_DescribeWorkerDeploymentVersion)) != NULL) {
            TpWs__DescribeWorkerDeploymentVersionRequest *r = fake_decode(&e->fake, req);
            TpWs__DescribeWorkerDeploymentVersionResponse resp =
                TP_WS__DESCRIBE_WORKER_DEPLOYMENT_VERSION_RESPONSE__INIT;
            TpDeployment__WorkerDeploymentVersionInfo info =
                TP_DEPLOYMENT__WORKER_DEPLOYMENT_VERSION_INFO__INIT;
            bool meant = strcmp(r->deployment_version->build_id, build_id) == 0;
            asked += meant;
            info.status =
                (TpEnums__WorkerDeploymentVersionStatus)(meant
                                                             ? status
                                                             : WORKER_DEPLOYMENT_VERSION_STATUS_DRAINING);
            resp.worker_deployment_version_info = &info;
            fake_reply(req, &resp);
            env_settle(e);
        }
    }
    return asked;
}

static void count_build(void *ud, const struct tl_worker_build_info *info)
{
    *(int *)ud += info->retired ? 100 : 1;
}

/* Versions, and a hundred for each that has retired. */
static int loaded(struct env *e)
{
    int n = 0;
    tl_worker_each_build(e->worker, count_build, &n);
    return n;
}

static void note_current(void *ud, const struct tl_worker_build_info *info)
{
    char *out = ud;
    if (info->current) {
        memcpy(out, info->id.p, info->id.n);
        out[info->id.n] = 0;
    }
}

static const char *current_id(struct env *e, char out[16])
{
    tl_worker_each_build(e->worker, note_current, out);
    return out;
}

static void each_version_polls_for_itself(void **state)
{
    (void)state;
    struct versions v;
    struct env *e = &v.env;
    const char *key[2];
    struct tl_rpc_request *req;
    begin(&v);
    assert_int_equal(fake_waiting(&e->fake, TL_M_PollActivityTaskQueue), 2); /* two slots */
    load(&v, 1, true);
    assert_int_equal((int)env_stats(e).activity_slots_used, 1); /* the one poll that it has more */
    req = poll_of(e, "v+0", &key[0]);
    fake_put_back(&e->fake, req);
    req = poll_of(e, "v+1", &key[1]);
    fake_put_back(&e->fake, req);
    assert_string_not_equal(key[0], key[1]);
    /* tasks of both, though the limit is two: the old one's take slots beyond it */
    const char *const ids[] = {"v+0", "v+0", "v+1", "v+1", "v+0", "v+1"};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        const char *any;
        req = poll_of(e, ids[i], &any);
        assert_non_null(req);
        fake_reply(req, env_activity(e, "act", 1, 0));
        env_settle(e);
        env_expect(e, TL_M_RespondActivityTaskCompleted, &req);
        fake_reply_empty(req);
        env_settle(e);
    }
    assert_int_equal(end_polls(e, "v+0"), 2);
    assert_int_equal(end_polls(e, "v+0"), 2); /* it polls on */
    assert_int_equal((int)env_stats(e).activities_completed, 6);
    assert_int_equal((int)env_stats(e).activity_slots_used, 2); /* of the current one's polls */
    env_end(e);
    assert_int_equal(v.released[0] + v.released[1], 2);
}

static void a_drained_version_is_dropped_and_deleted(void **state)
{
    (void)state;
    struct versions v;
    struct env *e = &v.env;
    struct tl_rpc_request *req;
    const char *key;
    begin(&v);
    load(&v, 1, true);
    /* the one before stays for a rollback, whatever the server says */
    assert_true(answer(e, 7000, "v+0", WORKER_DEPLOYMENT_VERSION_STATUS_DRAINED) > 0);
    assert_int_equal(loaded(e), 2);
    load(&v, 2, true);
    assert_true(answer(e, 7000, "v+0", WORKER_DEPLOYMENT_VERSION_STATUS_DRAINING) > 0);
    assert_int_equal(loaded(e), 3);
    env_expect_none(e, TL_M_ShutdownWorker);
    assert_true(answer(e, 7000, "v+0", WORKER_DEPLOYMENT_VERSION_STATUS_DRAINED) > 0);
    req = poll_of(e, "v+0", &key);
    fake_put_back(&e->fake, req);
    TpWs__ShutdownWorkerRequest *leave = env_expect(e, TL_M_ShutdownWorker, &req);
    assert_string_equal(leave->worker_instance_key, key);
    fake_reply_empty(req);
    env_settle(e);
    assert_int_equal(loaded(e), 102); /* polls are out */
    assert_int_equal(v.released[0], 0);
    assert_int_equal(end_polls(e, "v+0"), 2);
    assert_int_equal(end_polls(e, "v+0"), 0);
    assert_int_equal(loaded(e), 2);
    assert_int_equal(v.released[0], 1);
    /* deleted when the server allows it */
    for (int i = 0; i < 2; i++) {
        answer(e, 31000, "", 0);
        TpWs__DeleteWorkerDeploymentVersionRequest *gone =
            env_expect(e, TL_M_DeleteWorkerDeploymentVersion, &req);
        assert_string_equal(gone->deployment_version->build_id, "v+0");
        if (i == 0) {
            fake_refuse(req, FAILED_PRECONDITION, "it has pollers");
        } else {
            fake_reply_empty(req);
        }
        env_settle(e);
    }
    assert_int_equal(env_logged(e, "worker.version_deleted"), 1);
    answer(e, 40000, "", 0);
    env_expect_none(e, TL_M_DeleteWorkerDeploymentVersion);
    env_end(e);
}

static void the_worker_follows_who_routes(void **state)
{
    (void)state;
    struct versions v;
    struct env *e = &v.env;
    char id[16];
    begin(&v);
    load(&v, 1, false);
    assert_string_equal(current_id(e, id), "v+0");
    assert_int_equal(fake_waiting(&e->fake, TL_M_PollActivityTaskQueue), 4);
    answer(e, 7000, "v+1", WORKER_DEPLOYMENT_VERSION_STATUS_INACTIVE);
    assert_string_equal(current_id(e, id), "v+0");
    answer(e, 7000, "v+1", WORKER_DEPLOYMENT_VERSION_STATUS_CURRENT);
    assert_string_equal(current_id(e, id), "v+1");
    env_end(e);
}

/* The server was asked before the worker itself moved on. */
static void an_answer_that_comes_late_moves_nothing(void **state)
{
    (void)state;
    struct versions v;
    struct env *e = &v.env;
    struct tl_rpc_request *late = NULL;
    TpWs__DescribeWorkerDeploymentVersionResponse resp =
        TP_WS__DESCRIBE_WORKER_DEPLOYMENT_VERSION_RESPONSE__INIT;
    TpDeployment__WorkerDeploymentVersionInfo info =
        TP_DEPLOYMENT__WORKER_DEPLOYMENT_VERSION_INFO__INIT;
    char id[16];
    begin(&v);
    load(&v, 1, false);
    for (int i = 0; i < 20 && !late; i++) {
        env_pass(e, 500);
        late = fake_take(&e->fake, TL_M_DescribeWorkerDeploymentVersion);
    }
    assert_non_null(late);
    TpWs__DescribeWorkerDeploymentVersionRequest *r = fake_decode(&e->fake, late);
    assert_string_equal(r->deployment_version->build_id, "v+1");
    load(&v, 2, true);
    info.status = (TpEnums__WorkerDeploymentVersionStatus)WORKER_DEPLOYMENT_VERSION_STATUS_CURRENT;
    resp.worker_deployment_version_info = &info;
    fake_reply(late, &resp);
    env_settle(e);
    assert_string_equal(current_id(e, id), "v+2");
    /* What the server says when it is asked again counts. */
    answer(e, 12000, "v+1", WORKER_DEPLOYMENT_VERSION_STATUS_CURRENT);
    assert_string_equal(current_id(e, id), "v+1");
    env_end(e);
}

static void a_version_that_is_not_wanted_goes_at_once(void **state)
{
    (void)state;
    struct versions v;
    struct env *e = &v.env;
    struct tl_rpc_request *req;
    struct tl_error err;
    begin(&v);
    assert_int_equal(tl_worker_retire_build(e->worker, TL_STR_LIT("v+0"), &err), TL_EPRECONDITION);
    assert_int_equal(tl_worker_retire_build(e->worker, TL_STR_LIT("v+7"), &err), TL_ENOTFOUND);
    load(&v, 1, false);
    assert_int_equal(tl_worker_retire_build(e->worker, TL_STR_LIT("v+1"), &err), TL_OK);
    env_settle(e);
    env_expect(e, TL_M_ShutdownWorker, &req);
    fake_reply_empty(req);
    assert_int_equal(end_polls(e, "v+1"), 2);
    assert_int_equal(loaded(e), 1);
    assert_int_equal(v.released[1], 1);
    assert_int_equal(tl_worker_select_build(e->worker, TL_STR_LIT("v+1"), &err), TL_ENOTFOUND);
    env_end(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_version_polls_for_itself),
        cmocka_unit_test(a_drained_version_is_dropped_and_deleted),
        cmocka_unit_test(the_worker_follows_who_routes),
        cmocka_unit_test(an_answer_that_comes_late_moves_nothing),
        cmocka_unit_test(a_version_that_is_not_wanted_goes_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
