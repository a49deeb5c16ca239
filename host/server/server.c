/* Life of the server: open, threads, steps, close. Thread: the caller's; the loops at the end run on
 * the server's own threads. */
#include "server/workers.h"
#include "server/server.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/batch.h"
#include "server/deployments.h"
#include "server/nexus_endpoints.h"
#include "server/task_queues.h"
#include "server/version_sets.h"
#include "server/worker_commands.h"
#include "server/engine.h"

#define GRPC_UNAVAILABLE 14
#define REQUEST_BYTES_MAX ((size_t)1 << 30)
#define STACK_BYTES ((size_t)4 * 1024 * 1024)

void tl_server_options_default(struct tl_server_options *o)
{
    *o = (struct tl_server_options){
        .workflow_id_reuse_ns = TL_NS_PER_S,
        .run_time_skips_max = 200,
        .long_poll_ns = 20 * TL_NS_PER_S,
        .poll_expiry_ns = 59 * TL_NS_PER_S,
        .sticky_absent_ns = 10 * TL_NS_PER_S,
        .checkpoint_ns = 5 * TL_NS_PER_S,
        .checkpoint_rows = 1024,
        .closed_runs_kept = 2000,
        .history_cache_bytes = INT64_C(1024) * 1024,
        .long_polls_max = tl_limit_long_polls,
        .buffered_queries_max = 1,
        .drainage_grace_ns = 180 * TL_NS_PER_S,
        .drainage_refresh_ns = 180 * TL_NS_PER_S,
        .deployment_versions_max = 100,
        .deployment_queues_max = 100,
    };
    tl_history_limits_default(&o->limits);
}

/* --- the transport's side ---------------------------------------------------------------------------- */

static void handle(void *ud, struct tl_rpc_request *req)
{
    struct tl_server *s = ud;
    req->msg.kind = TL_MSG_REQUEST;
    req->cancel_msg.kind = TL_MSG_CANCEL;
    req->slot = NULL;
    tl_server_metrics_request(s, req);
    if (!tl_inbox_send(&s->inbox, &req->msg)) {
        struct tl_str why = tl_inbox_closed(&s->inbox) ? TL_STR_LIT("the server is shutting down")
                                                       : TL_STR_LIT("the server is overloaded");
        tl_rpc_reply(req, GRPC_UNAVAILABLE, why, (struct tl_str){0}, (struct tl_str){0});
    }
}

static void cancelled(void *ud, struct tl_rpc_request *req)
{
    struct tl_server *s = ud;
    if (!tl_inbox_send_always(&s->inbox, &req->cancel_msg)) {
        tl_rpc_request_release(req);
    }
}

const struct tl_rpc_service *tl_server_service(struct tl_server *s)
{
    return &s->service;
}

/* --- open ---------------------------------------------------------------------------------------------- */

static bool poll_alive(void *ud, struct tl_match_poll *p)
{
    (void)ud;
    return !tl_rpc_request_is_cancelled(TL_CONTAINER(p, struct tl_parked, poll)->rpc);
}

static uint64_t env_random(void *ud)
{
    return tl_world_random(((struct tl_server *)ud)->world);
}

static void wal_step(struct tl_server *s, struct tl_reader *reader, struct tl_job *job)
{
    struct tl_error err;
    (void)reader;
    (void)job;
    atomic_store(&s->wal_job_queued, false);
    if (tl_store_checkpoint_step(s->store, &err) != TL_OK) {
        TL_LOG(TL_LOG_WARN, "server.wal_checkpoint_failed", TL_C("cause", err.message));
    }
}

static struct tl_server *server_new(const struct tl_server_options *o)
{
    struct tl_server *s = TL_NEW(struct tl_server);
    s->o = *o;
    s->world = o->world ? o->world : tl_world_real();
    s->service = (struct tl_rpc_service){s, handle, cancelled};
    tl_server_metrics_init(&s->metrics, o->metrics);
    s->env.limits = o->limits;
    s->env.limits.run_min_interval_ms = o->workflow_id_reuse_ns / TL_NS_PER_MS;
    s->env.ud = s;
    s->env.random = env_random;
    s->env.new_run_id = tl_run_new_id;
    s->env.check_attributes = tl_namespace_check_attributes;
    s->env.namespace_id = tl_namespace_id_of;
    s->env.nexus_endpoint_id = tl_nexus_endpoint_id_of;
    s->env.namespace_number = tl_namespace_number_of;
    s->env.worker_commands = o->worker_command_cancels != 0;
    tl_inbox_init(&s->inbox, (size_t)tl_limit_engine_inbox);
    tl_inbox_init(&s->store_inbox, 4);
    tl_inbox_init(&s->reader_inbox, (size_t)tl_limit_engine_inbox);
    atomic_store(&s->skip_locks, o->time_skipping_locked ? 1 : 0);
    s->wal_job.run = wal_step;
    s->wake_msg.kind = TL_MSG_WAKE;
    tl_arena_init(&s->arena, REQUEST_BYTES_MAX);
    tl_buf_init(&s->scratch, REQUEST_BYTES_MAX);
    tl_heap_init(&s->timers);
    tl_heap_init(&s->waits);
    tl_map_init(&s->namespaces);
    tl_map_init(&s->namespace_numbers);
    tl_map_init(&s->runs);
    tl_map_init(&s->current);
    tl_map_init(&s->queries);
    tl_deployments_init(s);
    tl_nexus_endpoints_init(s);
    tl_task_queues_init(s);
    tl_version_sets_init(s);
    tl_worker_commands_init(s);
    tl_map_init(&s->workers);
    tl_map_init(&s->lost);
    tl_map_init(&s->erased);
    tl_list_init(&s->after_commit);
    tl_list_init(&s->dirty);
    tl_list_init(&s->lru);
    tl_list_init(&s->warm);
    tl_list_init(&s->cross);
    tl_list_init(&s->woken);
    tl_list_init(&s->batches);
    tl_list_init(&s->workers_by_age);
    s->batches_next = 1;
    tl_matcher_init(&s->matcher, poll_alive, s, o->sticky_absent_ns);
    tl_known_init(&s->known, false);
    /* An answer to a query of an earlier process must not fit a query of this one. */
    s->query_ids = tl_world_random(s->world) >> 1;
    tl_commit_init(s);
    return s;
}

static tl_rc ensure_attributes(struct tl_server *s, struct tl_str name, struct tl_error *err)
{
    tl_rc rc = TL_OK;
    for (size_t i = 0; rc == TL_OK && i < s->o.search_attribute_count; i++) {
        rc = tl_namespace_ensure_attribute(s, name, tl_str(s->o.search_attributes[i]), err);
    }
    return rc;
}

static tl_rc ensure_namespaces(struct tl_server *s, struct tl_error *err)
{
    tl_rc rc = tl_namespace_ensure(s, TL_STR_LIT("default"), err);
    for (size_t i = 0; rc == TL_OK && i < s->o.namespace_count; i++) {
        rc = tl_namespace_ensure(s, tl_str(s->o.namespaces[i]), err);
    }
    rc = rc == TL_OK ? ensure_attributes(s, TL_STR_LIT("default"), err) : rc;
    for (size_t i = 0; rc == TL_OK && i < s->o.namespace_count; i++) {
        rc = ensure_attributes(s, tl_str(s->o.namespaces[i]), err);
    }
    return rc;
}

/* Commits what opening wrote, before the first request is served. */
static void settle(struct tl_server *s)
{
    do {
        tl_commit_submit(s);
        while (tl_server_commit_step(s)) {
        }
        tl_engine_round(s, tl_inbox_take_all(&s->inbox, 0));
    } while (s->in_flight || s->open->ops.item_count);
}

tl_rc tl_server_open(struct tl_server **out, const struct tl_server_options *o,
                     struct tl_error *err)
{
    struct tl_server *s = server_new(o);
    struct tl_store_config config = {.path = o->db_path,
                                     .vfs = o->vfs_name,
                                     .pragmas = o->pragmas,
                                     .pragma_count = o->pragma_count,
                                     .fault_seed = tl_world_random(s->world)};
    tl_rc rc = tl_store_open(&s->store, &config, err);
    if (rc == TL_OK) {
        rc = tl_recover(s, err);
    }
    if (rc == TL_OK) {
        rc = ensure_namespaces(s, err);
    }
    if (rc != TL_OK) {
        tl_server_abandon(s);
        *out = NULL;
        return rc;
    }
    settle(s);
    tl_known_collect(s);
    *out = s;
    return TL_OK;
}

/* --- steps --------------------------------------------------------------------------------------------- */

int64_t tl_server_step(struct tl_server *s)
{
    int64_t at = tl_engine_round(s, tl_inbox_take_all(&s->inbox, 0));
    return at == INT64_MAX ? at : tl_world_wall_ns(s->world) + (at - tl_engine_mono(s));
}

bool tl_server_commit_step(struct tl_server *s)
{
    struct tl_msg *m = tl_inbox_take_one(&s->store_inbox, 0);
    bool worked = m != NULL;
    if (m) {
        tl_commit_execute(s, TL_CONTAINER(m, struct tl_commit, msg));
    }
    while ((m = tl_inbox_take_one(&s->reader_inbox, 0))) {
        struct tl_job *job = TL_CONTAINER(m, struct tl_job, msg);
        job->run(s, tl_store_list_reader(s->store), job);
        worked = true;
    }
    return worked;
}

/* --- threads ------------------------------------------------------------------------------------------- */

static void *engine_loop(void *ud)
{
    struct tl_server *s = ud;
    struct tl_msg *m = NULL;
    for (;;) {
        int64_t at = tl_engine_round(s, m);
        if (atomic_load(&s->stop_wanted) && !s->stopping) {
            tl_engine_stop(s);
            at = tl_engine_round(s, NULL);
        }
        if (s->stopping && tl_commit_idle(s)) {
            return NULL;
        }
        m = tl_inbox_take_all(&s->inbox, at);
    }
}

static void *store_loop(void *ud)
{
    struct tl_server *s = ud;
    for (;;) {
        struct tl_msg *m = tl_inbox_take_one(&s->store_inbox, INT64_MAX);
        if (m) {
            tl_commit_execute(s, TL_CONTAINER(m, struct tl_commit, msg));
        } else if (tl_inbox_closed(&s->store_inbox)) {
            return NULL;
        }
    }
}

static void *reader_loop(void *ud)
{
    struct tl_server *s = ud;
    for (;;) {
        struct tl_msg *m = tl_inbox_take_one(&s->reader_inbox, INT64_MAX);
        if (m) {
            struct tl_job *job = TL_CONTAINER(m, struct tl_job, msg);
            job->run(s, tl_store_list_reader(s->store), job);
        } else if (tl_inbox_closed(&s->reader_inbox)) {
            return NULL;
        }
    }
}

/* The engine comes last: nobody waits for a thread that could not be made. */
enum { THREAD_STORE, THREAD_READER, THREAD_ENGINE, THREADS };

tl_rc tl_server_start(struct tl_server *s, struct tl_error *err)
{
    static void *(*const loops[THREADS])(void *) = {store_loop, reader_loop, engine_loop};
    static const char *const names[THREADS] = {"tl-store", "tl-reader", "tl-engine"};
    pthread_attr_t attr;
    TL_ASSERT(s->thread_count == 0);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    for (; s->thread_count < THREADS; s->thread_count++) {
        int i = s->thread_count;
        if (pthread_create(&s->threads[i], &attr, loops[i], s) != 0) {
            break;
        }
        pthread_setname_np(s->threads[i], names[i]);
    }
    pthread_attr_destroy(&attr);
    if (s->thread_count < THREADS) {
        tl_server_stop(s);
        return tl_error_set(err, TL_EIO, "cannot start a thread of the server");
    }
    return TL_OK;
}

void tl_server_stop(struct tl_server *s)
{
    if (s->thread_count == THREADS) {
        atomic_store(&s->stop_wanted, true);
        tl_engine_wake(s);
        pthread_join(s->threads[THREAD_ENGINE], NULL);
    }
    tl_inbox_close(&s->inbox);
    if (s->thread_count > THREAD_STORE) {
        tl_inbox_close(&s->store_inbox);
        pthread_join(s->threads[THREAD_STORE], NULL);
    }
    if (s->thread_count > THREAD_READER) {
        tl_inbox_close(&s->reader_inbox);
        pthread_join(s->threads[THREAD_READER], NULL);
    }
    s->thread_count = 0;
}

/* --- end ------------------------------------------------------------------------------------------------- */

/* What came after the last round. */
static void refuse_messages(struct tl_server *s)
{
    for (struct tl_msg *m = tl_inbox_take_all(&s->inbox, 0), *next; m; m = next) {
        next = m->next;
        if (m->kind == TL_MSG_REQUEST) {
            tl_rpc_reply(TL_CONTAINER(m, struct tl_rpc_request, msg), GRPC_UNAVAILABLE,
                         TL_STR_LIT("the server is shutting down"), (struct tl_str){0},
                         (struct tl_str){0});
        } else if (m->kind == TL_MSG_CANCEL) {
            tl_rpc_request_release(TL_CONTAINER(m, struct tl_rpc_request, cancel_msg));
        } else if (m->kind == TL_MSG_KNOWN_IDS) {
            tl_known_arrived(s, m);
        } else if (m->kind == TL_MSG_BATCH_PAGE) {
            tl_batch_page_arrived(s, m);
        }
    }
    for (struct tl_msg *m = tl_inbox_take_all(&s->reader_inbox, 0), *next; m; m = next) {
        next = m->next;
        struct tl_job *job = TL_CONTAINER(m, struct tl_job, msg);
        job->run(s, NULL, job);
    }
}

static void server_free(struct tl_server *s)
{
    tl_inbox_close(&s->inbox);
    refuse_messages(s);
    while (s->runs.count) {
        tl_run_drop(s, tl_map_first(&s->runs)->value, false);
    }
    tl_cross_clear(s);
    tl_batches_free(s);
    tl_workers_free(s);
    tl_commit_deinit(s);
    tl_worker_commands_free(s);
    tl_matcher_deinit(&s->matcher);
    tl_known_deinit(&s->known);
    tl_deployments_free(s);
    tl_nexus_endpoints_free(s);
    tl_task_queues_free(s);
    tl_version_sets_free(s);
    tl_namespaces_free(s);
    tl_map_deinit(&s->runs);
    tl_map_deinit(&s->current);
    tl_map_deinit(&s->queries);
    tl_map_deinit(&s->lost);
    tl_map_deinit(&s->erased);
    tl_heap_deinit(&s->timers);
    tl_heap_deinit(&s->waits);
    tl_buf_deinit(&s->scratch);
    tl_arena_deinit(&s->arena);
    tl_store_close(s->store);
    tl_inbox_deinit(&s->inbox);
    tl_inbox_deinit(&s->store_inbox);
    tl_inbox_deinit(&s->reader_inbox);
    tl_mem_free(s);
}

void tl_server_close(struct tl_server *s)
{
    if (!s) {
        return;
    }
    if (s->thread_count == 0 && !s->stopping) {
        /* Stepped: what a thread does when it is told to stop. */
        tl_engine_round(s, tl_inbox_take_all(&s->inbox, 0));
        tl_engine_stop(s);
        settle(s);
    }
    tl_server_stop(s);
    server_free(s);
}

void tl_server_abandon(struct tl_server *s)
{
    if (!s) {
        return;
    }
    TL_ASSERT(s->thread_count == 0);
    s->abandoned = true;
    tl_engine_stop(s);
    tl_commit_abandon(s);
    server_free(s);
}

void tl_server_stats(struct tl_server *s, struct tl_server_stats *out)
{
    *out = (struct tl_server_stats){
        .runs_open = s->open_count,
        .runs_held = s->runs.count,
        .polls_parked = s->matcher.polls_parked,
        .tasks_queued = s->matcher.tasks_queued,
        .commits = s->commits,
        .commit_items = s->commit_items,
        .commits_failed = s->commits_failed,
        .skipped_ns = atomic_load(&s->skipped_ns),
    };
}
