/* See worker_env.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "test/support/worker_env.h"

#include "base/log.h"
#include "base/mem.h"
#include "proto/pb.h"
#include "tl_enums.h"

/* --- The language ------------------------------------------------------------------------------ */

struct env_run {
    struct tl_script script;
    struct tl_lang inner;
    struct env *env;
    tl_rc activate_rc;
};

static tl_rc activate(void *ud, const struct tl_activation *activation, struct tl_completion *out,
                      struct tl_error *err)
{
    struct env_run *r = ud;
    if (r->activate_rc != TL_OK) {
        return tl_error_set(err, r->activate_rc, "the script says so");
    }
    return r->inner.activate(r->inner.ud, activation, out, err);
}

static size_t run_bytes(void *run)
{
    (void)run;
    return 1000;
}

static void run_free(void *run)
{
    struct env_run *r = run;
    atomic_fetch_sub(&r->env->open_runs, 1);
    tl_mem_free(r);
}

static tl_rc open_run(void *ud, const struct tl_run_info *info, struct tl_run_lang *out,
                      struct tl_error *err)
{
    struct env *e = ud;
    for (const struct env_type *t = e->types; t->name; t++) {
        if (tl_str_eqc(info->workflow_type, t->name)) {
            struct env_run *r = TL_NEW(struct env_run);
            tl_script_init(&r->script, t->steps);
            r->inner = tl_script_lang(&r->script);
            r->env = e;
            r->activate_rc = t->activate_rc;
            *out = (struct tl_run_lang){
                .lang = {r, activate}, .run = r, .bytes = run_bytes, .free = run_free};
            atomic_fetch_add(&e->open_runs, 1);
            atomic_fetch_add(&e->opened, 1);
            return TL_OK;
        }
    }
    return tl_error_set(err, TL_ENOTFOUND, "no workflow type '%.*s'",
                        TL_STR_FMT(info->workflow_type));
}

/* --- Log --------------------------------------------------------------------------------------- */

static void keep_line(void *ud, enum tl_log_level level, struct tl_str line)
{
    struct env *e = ud;
    (void)level;
    pthread_mutex_lock(&e->log_mutex);
    if (e->log_n + line.n + 2 < sizeof e->log) {
        memcpy(e->log + e->log_n, line.p, line.n);
        e->log_n += line.n;
        e->log[e->log_n++] = '\n';
    }
    pthread_mutex_unlock(&e->log_mutex);
}

int env_logged(struct env *e, const char *event)
{
    int n = 0;
    pthread_mutex_lock(&e->log_mutex);
    for (const char *p = e->log; (p = strstr(p, event)) != NULL; p += strlen(event)) {
        n++;
    }
    pthread_mutex_unlock(&e->log_mutex);
    return n;
}

/* --- Life cycle -------------------------------------------------------------------------------- */

void env_init(struct env *e, const struct env_type *types)
{
    *e = (struct env){.types = types};
    pthread_mutex_init(&e->log_mutex, NULL);
    tl_log_level(TL_LOG_INFO);
    tl_log_sink(keep_line, e);
    fake_service_init(&e->fake);
    tl_arena_init(&e->arena, TL_ARENA_UNLIMITED);
    e->registry = tl_registry_new();
    e->lang = (struct tl_worker_lang){.ud = e, .open = open_run, .digest = TL_STR_LIT("digest")};
    e->config = (struct tl_worker_config){
        .client = e->fake.client,
        .lang = types ? &e->lang : NULL,
        .registry = e->registry,
        .world = &e->fake.world,
    };
    tl_worker_options_init(&e->config.options);
    e->config.options.task_queue = TL_STR_LIT("q");
}

void env_settle(struct env *e)
{
    int64_t next;
    for (int i = 0; tl_worker_step(e->worker, &next); i++) {
        assert_true(i < 10000); /* else it spins */
    }
}

void env_pass(struct env *e, int64_t ms)
{
    e->fake.now_ns += ms * TL_NS_PER_MS;
    env_settle(e);
}

void env_start(struct env *e)
{
    struct tl_error err = {0};
    tl_rc rc = tl_worker_new(&e->worker, &e->config, &err);
    assert_string_equal(err.message, "");
    assert_int_equal(rc, TL_OK);
    env_settle(e);
}

void env_start_threads(struct env *e)
{
    e->config.world = NULL;
    assert_int_equal(tl_worker_new(&e->worker, &e->config, NULL), TL_OK);
    assert_int_equal(tl_worker_start(e->worker, NULL), TL_OK);
}

void env_end(struct env *e)
{
    tl_worker_shutdown(e->worker, 0);
    for (int i = 0; tl_worker_state(e->worker) != TL_WORKER_STOPPED; i++) {
        struct tl_rpc_request *req;
        assert_true(i < 1000);
        env_pass(e, 100);
        while ((req = fake_take(&e->fake, TL_M_ShutdownWorker)) != NULL) {
            fake_reply_empty(req);
        }
    }
    struct tl_worker_stats s = env_stats(e);
    assert_int_equal(s.workflow_slots_used, 0);
    assert_int_equal(s.activity_slots_used, 0);
    assert_int_equal(s.nexus_slots_used, 0);
    tl_worker_free(e->worker);
    assert_int_equal(atomic_load(&e->open_runs), 0);
    tl_registry_free(e->registry);
    fake_service_deinit(&e->fake);
    tl_arena_deinit(&e->arena);
    tl_log_sink(NULL, NULL);
    pthread_mutex_destroy(&e->log_mutex);
}

/* --- Tasks ------------------------------------------------------------------------------------- */

static void give(struct env *e, const TpWs__PollWorkflowTaskQueueResponse *poll, int kind)
{
    struct tl_rpc_request *others[64], *found = NULL;
    size_t n = 0;
    while (!found && n < 64) {
        struct tl_rpc_request *req = fake_take(&e->fake, TL_M_PollWorkflowTaskQueue);
        assert_non_null(req);
        TpWs__PollWorkflowTaskQueueRequest *r = fake_decode(&e->fake, req);
        if ((int)r->task_queue->kind == kind) {
            found = req;
        } else {
            others[n++] = req;
        }
    }
    fake_reply(found, poll);
    while (n) {
        fake_put_back(&e->fake, others[--n]);
    }
    env_settle(e);
}

void env_give(struct env *e, const TpWs__PollWorkflowTaskQueueResponse *poll)
{
    give(e, poll, TASK_QUEUE_KIND_NORMAL);
}

void env_give_sticky(struct env *e, const TpWs__PollWorkflowTaskQueueResponse *poll)
{
    give(e, poll, TASK_QUEUE_KIND_STICKY);
}

void env_give_activity(struct env *e, const TpWs__PollActivityTaskQueueResponse *task)
{
    struct tl_rpc_request *req = fake_take(&e->fake, TL_M_PollActivityTaskQueue);
    assert_non_null(req);
    fake_reply(req, task);
    env_settle(e);
}

void *env_expect(struct env *e, enum tl_method m, struct tl_rpc_request **req)
{
    *req = fake_take(&e->fake, m);
    assert_non_null(*req);
    return fake_decode(&e->fake, *req);
}

void env_expect_none(struct env *e, enum tl_method m)
{
    assert_int_equal(fake_waiting(&e->fake, m), 0);
}

TpWs__PollWorkflowTaskQueueResponse *env_poll(struct tl_hb *hb, int64_t first_event_id,
                                              const char *run_id, const char *type)
{
    struct tl_arena *a = hb->arena;
    TpWs__PollWorkflowTaskQueueResponse *p = tl_hb_poll(hb, first_event_id);
    p->workflow_execution =
        TL_PB_NEW(a, TpCommon__WorkflowExecution, tp_common__workflow_execution);
    p->workflow_execution->workflow_id = tl_pb_cstr(a, tl_str("w"));
    p->workflow_execution->run_id = tl_pb_cstr(a, tl_str(run_id));
    p->workflow_type = TL_PB_NEW(a, TpCommon__WorkflowType, tp_common__workflow_type);
    p->workflow_type->name = tl_pb_cstr(a, tl_str(type));
    if (!p->task_token.len) {
        p->task_token = tl_pb_bytes(a, tl_str("token"), NULL);
    }
    if (!p->attempt) {
        p->attempt = 1;
    }
    return p;
}

TpWs__PollActivityTaskQueueResponse *env_activity(struct env *e, const char *type, int attempt,
                                                  int64_t heartbeat_ms)
{
    struct tl_arena *a = &e->arena;
    TpWs__PollActivityTaskQueueResponse *t =
        TL_PB_NEW(a, TpWs__PollActivityTaskQueueResponse, tp_ws__poll_activity_task_queue_response);
    t->task_token = tl_pb_bytes(a, tl_str("activity token"), NULL);
    t->activity_type = TL_PB_NEW(a, TpCommon__ActivityType, tp_common__activity_type);
    t->activity_type->name = tl_pb_cstr(a, tl_str(type));
    t->activity_id = tl_pb_cstr(a, tl_str("1"));
    t->attempt = attempt;
    if (heartbeat_ms) {
        t->heartbeat_timeout = tl_pb_duration_ms(a, heartbeat_ms);
    }
    return t;
}

struct tl_worker_stats env_stats(struct env *e)
{
    struct tl_worker_stats s;
    tl_worker_stats(e->worker, &s);
    return s;
}
