/* Life cycle of a worker, its threads and its stepping. */
#include "worker/worker.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/mem.h"
#include "worker/build.h"
#include "worker/local.h"

#define UNREACHABLE_PAUSE_NS_MAX (600 * TL_NS_PER_MS)
#define TEXT_BYTES_MAX ((size_t)1 << 20)
#define RUNS_UNLIMITED ((int64_t)1 << 40)

/* --- Making ------------------------------------------------------------------------------------ */

static char *text(struct tl_worker *w, struct tl_str s)
{
    char *p = tl_arena_cstr(&w->texts, s);
    TL_ASSERT(p != NULL);
    return p;
}

static const char *thread_name(struct tl_worker *w, struct tl_str prefix, const char *standard)
{
    return prefix.n ? text(w, prefix) : standard;
}

static void copy_texts(struct tl_worker *w, const struct tl_worker_config *config)
{
    const struct tl_worker_options *o = &config->options;
    w->namespace_name = text(w, tl_client_namespace(w->client));
    w->identity = text(w, o->identity.n ? o->identity : tl_client_identity(w->client));
    w->task_queue = text(w, o->task_queue);
    w->deployment_name = text(w, o->deployment_name);
    w->opt.workflow_failure_error_types = tl_str(text(w, o->workflow_failure_error_types));
    w->opt.task_queue = tl_str(w->task_queue);
    w->opt.identity = tl_str(w->identity);
    w->opt.build_id = tl_str(text(w, o->build_id));
    w->workflow_thread_name = thread_name(w, o->workflow_thread_name_prefix, "workflow");
    w->pools[TL_POOL_ACTIVITY].thread_name =
        thread_name(w, o->activity_thread_name_prefix, "activity");
    w->pools[TL_POOL_NEXUS].thread_name = thread_name(w, o->nexus_thread_name_prefix, "nexus");
    w->opt.deployment_name = tl_str(w->deployment_name);
    w->opt.default_versioning_behavior = tl_str(text(w, o->default_versioning_behavior));
}

/* As many threads as cores, and no more than the cache has places: the limit is shared out. */
static int choose_wf_count(const struct tl_worker *w)
{
    long n =
        w->opt.workflow_threads > 0 ? (long)w->opt.workflow_threads : sysconf(_SC_NPROCESSORS_ONLN);
    n = n < 1 ? 1 : n > 256 ? 256 : n;
    if (w->opt.max_cached_workflows > 0 && n > w->opt.max_cached_workflows) {
        n = (long)w->opt.max_cached_workflows;
    }
    return (int)n;
}

static void init_mutexes(struct tl_worker *w)
{
    pthread_condattr_t attr;
    pthread_mutex_init(&w->poll_mutex, NULL);
    pthread_mutex_init(&w->quarantine_mutex, NULL);
    pthread_mutex_init(&w->builds_mutex, NULL);
    pthread_mutex_init(&w->running_mutex, NULL);
    tl_locals_init(w);
    pthread_mutex_init(&w->done_mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->done_cond, &attr);
    pthread_condattr_destroy(&attr);
}

static void init_actors(struct tl_worker *w)
{
    tl_actor_init(&w->control, w);
    w->wf_count = choose_wf_count(w);
    w->wf = TL_NEW_ARRAY(struct tl_wf_actor, 2 * (size_t)w->wf_count);
    TL_WF_EACH(a, w)
    {
        tl_wf_init(a, w, a >= w->wf + w->wf_count);
    }
    tl_map_init(&w->quarantined);
    tl_pools_init(w);
}

/* As in the other SDKs: a debugger stops a workflow for as long as it likes. */
static bool debug_wanted(void)
{
    const char *value = getenv("TEMPORAL_DEBUG");
    return value && *value;
}

tl_rc tl_worker_new(struct tl_worker **out, const struct tl_worker_config *config,
                    struct tl_error *err)
{
    *out = NULL;
    TL_ASSERT(config->client != NULL);
    tl_rc rc = tl_worker_options_check(&config->options, err);
    if (rc != TL_OK) {
        return rc;
    }
    bool activities = config->registry && tl_registry_count(config->registry);
    bool operations = config->registry && tl_registry_operation_count(config->registry);
    if (!config->lang && !operations && (!activities || config->options.no_remote_activities)) {
        return tl_error_set(err, TL_EINVAL,
                            "a worker needs workflows, activities or Nexus services");
    }
    struct tl_worker *w = TL_NEW(struct tl_worker);
    w->client = config->client;
    w->channel = tl_client_channel(config->client);
    w->world = config->world ? config->world : tl_world_real();
    w->opt = config->options;
    w->opt.debug_mode = w->opt.debug_mode || debug_wanted();
    w->on_fatal = config->on_fatal;
    w->on_fatal_ud = config->on_fatal_ud;
    w->tick_msg.kind = TL_WM_TICK;
    atomic_store(&w->grace_ms, w->opt.graceful_shutdown_timeout_ms);
    tl_arena_init(&w->texts, TEXT_BYTES_MAX);
    init_mutexes(w);
    copy_texts(w, config);
    tl_uuid4(w->world, w->commands.key);
    tl_list_init(&w->builds);
    tl_list_init(&w->poll_sets);
    tl_list_init(&w->retired);
    tl_list_init(&w->running);
    tl_list_init(&w->operations);
    tl_list_init(&w->eager.node);
    init_actors(w);
    rc = tl_builds_init(w, config, err);
    rc = rc == TL_OK ? tl_slots_open(w, err) : rc;
    rc = rc == TL_OK ? tl_pollers_init(w, err) : rc;
    tl_meter_open(w);
    if (rc != TL_OK) {
        struct tl_build *b = atomic_load(&w->build_now);
        if (b) {
            b->release = NULL; /* it stays the caller's */
        }
        tl_worker_free(w);
        return rc;
    }
    *out = w;
    return TL_OK;
}

/* --- Threads ----------------------------------------------------------------------------------- */

static bool start_thread(struct tl_actor *a, void *(*fn)(void *ud), void *ud)
{
    a->has_thread = pthread_create(&a->thread, NULL, fn, ud) == 0;
    return a->has_thread;
}

tl_rc tl_worker_start(struct tl_worker *w, struct tl_error *err)
{
    int expected = TL_WORKER_NEW;
    if (w->stepped || !atomic_compare_exchange_strong(&w->state, &expected, TL_WORKER_RUNNING)) {
        return tl_error_set(err, TL_EPRECONDITION, "a worker starts only once");
    }
    bool ok = true;
    for (int i = 0; w->polls_max[TL_POLL_NORMAL] > 0 && i < w->wf_count && ok; i++) {
        ok = start_thread(&w->wf[i].actor, tl_wf_thread, &w->wf[i]);
        if (ok) {
            tl_actor_name_thread(w->wf[i].actor.thread, w->workflow_thread_name, i);
        }
    }
    tl_rc rc = ok ? tl_pools_start(w, err)
                  : tl_error_set(err, TL_EUNAVAILABLE, "no thread for workflows can be started");
    ok = rc == TL_OK;
    if (ok && !start_thread(&w->control, tl_control_thread, w)) {
        rc = tl_error_set(err, TL_EUNAVAILABLE, "no thread for the worker can be started");
        ok = false;
    }
    if (!ok) { /* without control nothing polls: what was started sees closed inboxes and ends */
        TL_WF_EACH(a, w)
        {
            tl_inbox_close(&a->actor.inbox);
        }
        tl_pools_close(w);
        tl_inbox_close(&w->control.inbox);
        atomic_store(&w->state, TL_WORKER_STOPPED);
        pthread_mutex_lock(&w->done_mutex);
        w->done = true;
        pthread_mutex_unlock(&w->done_mutex);
    }
    return rc;
}

void tl_worker_wake(struct tl_worker *w)
{
    if (!atomic_exchange(&w->tick_posted, true) &&
        !tl_inbox_send_always(&w->control.inbox, &w->tick_msg)) {
        atomic_store(&w->tick_posted, false);
    }
}

void tl_worker_tick(struct tl_worker *w)
{
    if (tl_worker_stopping(w)) {
        tl_worker_wake(w);
    }
}

void tl_worker_shutdown(struct tl_worker *w, int64_t grace_ms)
{
    int expected = TL_WORKER_NEW;
    if (atomic_compare_exchange_strong(&w->state, &expected, TL_WORKER_STOPPED)) {
        atomic_store(&w->shutdown_wanted, true);
        pthread_mutex_lock(&w->done_mutex);
        w->done = true;
        pthread_cond_broadcast(&w->done_cond);
        pthread_mutex_unlock(&w->done_mutex);
        return;
    }
    if (!atomic_load(&w->shutdown_wanted)) {
        if (grace_ms >= 0) {
            atomic_store(&w->grace_ms, grace_ms);
        }
        atomic_store(&w->shutdown_wanted, true);
    }
    tl_worker_wake(w);
}

static void join(struct tl_worker *w)
{
    if (w->joined) {
        return;
    }
    w->joined = true;
    if (w->control.has_thread) {
        pthread_join(w->control.thread, NULL);
    }
    TL_WF_EACH(a, w)
    {
        if (a->actor.has_thread) {
            pthread_join(a->actor.thread, NULL);
        }
    }
    tl_pools_join(w);
}

bool tl_worker_wait(struct tl_worker *w, int64_t deadline_mono_ns, tl_rc *rc, struct tl_error *err)
{
    struct timespec ts = {deadline_mono_ns / TL_NS_PER_S, deadline_mono_ns % TL_NS_PER_S};
    int wait = 0;
    pthread_mutex_lock(&w->done_mutex);
    while (!w->done && wait == 0) {
        wait = deadline_mono_ns == INT64_MAX
                   ? pthread_cond_wait(&w->done_cond, &w->done_mutex)
                   : pthread_cond_timedwait(&w->done_cond, &w->done_mutex, &ts);
    }
    bool done = w->done;
    tl_rc fatal = w->fatal_rc;
    if (err && done && fatal != TL_OK) {
        *err = w->fatal;
    }
    pthread_mutex_unlock(&w->done_mutex);
    if (done) {
        join(w);
        if (rc) {
            *rc = fatal;
        }
    }
    return done;
}

void tl_worker_free(struct tl_worker *w)
{
    if (!w) {
        return;
    }
    tl_worker_shutdown(w, 0);
    if (w->stepped) {
        TL_ASSERT(atomic_load(&w->state) == TL_WORKER_STOPPED); /* step it to its end first */
    } else {
        tl_worker_wait(w, INT64_MAX, NULL, NULL);
    }
    while (
        atomic_load(&w->in_callbacks)) { /* a transport thread is on its last instructions here */
        sched_yield();
    }
    tl_meter_close(w);
    (void)tl_inbox_take_all(&w->control.inbox, 0); /* a last tick */
    TL_WF_EACH(a, w)
    {
        tl_wf_deinit(a);
    }
    tl_mem_free(w->wf);
    tl_pools_deinit(w);
    tl_drain_deinit(w);
    tl_pollers_deinit(w);
    tl_builds_deinit(w);
    tl_slots_close(w);
    tl_map_deinit(&w->quarantined);
    tl_actor_deinit(&w->control);
    pthread_mutex_destroy(&w->poll_mutex);
    pthread_mutex_destroy(&w->quarantine_mutex);
    pthread_mutex_destroy(&w->builds_mutex);
    pthread_mutex_destroy(&w->running_mutex);
    tl_locals_deinit(w);
    pthread_mutex_destroy(&w->done_mutex);
    pthread_cond_destroy(&w->done_cond);
    tl_arena_deinit(&w->texts);
    tl_mem_free(w);
}

/* --- Stepping ---------------------------------------------------------------------------------- */

static int64_t next_deadline(const struct tl_worker *w)
{
    int64_t next = tl_actor_deadline(&w->control);
    TL_WF_EACH(a, w)
    {
        int64_t d = tl_actor_deadline(&a->actor);
        next = d < next ? d : next;
    }
    return next;
}

bool tl_worker_step(struct tl_worker *w, int64_t *next_mono_ns)
{
    int expected = TL_WORKER_NEW;
    bool any = false;
    if (atomic_compare_exchange_strong(&w->state, &expected, TL_WORKER_RUNNING)) {
        w->stepped = true;
        tl_control_begin(w);
        any = true;
    }
    TL_ASSERT(w->stepped || atomic_load(&w->state) == TL_WORKER_STOPPED);
    if (atomic_load(&w->state) != TL_WORKER_STOPPED) {
        any = tl_control_step(w, 0) || any;
        TL_WF_EACH(a, w)
        {
            any = tl_wf_step(a, 0) || any;
        }
        any = tl_pools_step(w) || any;
    }
    *next_mono_ns = next_deadline(w);
    return any;
}

/* --- State ------------------------------------------------------------------------------------- */

enum tl_worker_state tl_worker_state(const struct tl_worker *w)
{
    return (enum tl_worker_state)atomic_load(&w->state);
}

bool tl_worker_ready(struct tl_worker *w)
{
    pthread_mutex_lock(&w->poll_mutex);
    bool polls = w->polls_open;
    pthread_mutex_unlock(&w->poll_mutex);
    return polls && !atomic_load(&w->lost) && !tl_worker_stopping(w);
}

bool tl_worker_failed(struct tl_worker *w)
{
    pthread_mutex_lock(&w->done_mutex);
    bool failed = w->fatal_rc != TL_OK;
    pthread_mutex_unlock(&w->done_mutex);
    return failed;
}

void tl_worker_stats(const struct tl_worker *w, struct tl_worker_stats *out)
{
    *out = (struct tl_worker_stats){0};
#define X(name) out->name = atomic_load_explicit(&w->stats.name, memory_order_relaxed);
    TL_STATS(X)
#undef X
    out->cached_runs = atomic_load(&w->cached_runs);
    out->cached_bytes = atomic_load(&w->cached_bytes);
    out->workflow_slots_used = atomic_load(&w->wf_slots.used);
    out->activity_slots_used = atomic_load(&w->act_slots.used);
    out->nexus_slots_used = atomic_load(&w->nexus_slots.used);
    out->activity_threads = atomic_load(&w->pools[TL_POOL_ACTIVITY].thread_count);
    out->nexus_threads = atomic_load(&w->pools[TL_POOL_NEXUS].thread_count);
}

int tl_worker_polls(struct tl_worker *w)
{
    return tl_pollers_outstanding(w);
}

void tl_worker_fatal(struct tl_worker *w, tl_rc rc, const char *what, const char *message)
{
    bool first = false;
    struct tl_error e = {0};
    tl_error_set(&e, rc, "the worker on task queue '%s' cannot go on: %s: %s", w->task_queue, what,
                 message);
    pthread_mutex_lock(&w->done_mutex);
    if (w->fatal_rc == TL_OK) {
        first = true;
        w->fatal_rc = rc;
        w->fatal = e;
    }
    pthread_mutex_unlock(&w->done_mutex);
    if (first) {
        TL_LOG(TL_LOG_ERROR, "worker.failed", TL_C("error", e.message));
        atomic_store(&w->shutdown_wanted, true);
        if (w->on_fatal) {
            w->on_fatal(w->on_fatal_ud, rc, e.message);
        }
        tl_worker_wake(w);
    }
}

void tl_worker_lost(struct tl_worker *w, const char *what, int status, struct tl_str message)
{
    if (!atomic_exchange(&w->lost, true)) {
        TL_LOG(TL_LOG_WARN, "worker.connection_lost", TL_C("task_queue", w->task_queue),
               TL_C("method", what), TL_I("status", status), TL_S("error", message));
    }
}

int64_t tl_worker_retry_ns(const struct tl_worker *w, struct tl_retry *r, int status)
{
    int64_t standard = r->max_ns;
    r->max_ns = status == STATUS_UNAVAILABLE ? UNREACHABLE_PAUSE_NS_MAX : standard;
    int64_t pause = tl_retry_next_ns(r, status, w->world);
    r->max_ns = standard;
    return pause;
}

void tl_worker_found(struct tl_worker *w)
{
    if (atomic_load_explicit(&w->lost, memory_order_relaxed) && atomic_exchange(&w->lost, false)) {
        TL_LOG(TL_LOG_INFO, "worker.connection_recovered", TL_C("task_queue", w->task_queue));
    }
}

/* Thread: the transport's. */
static void call_done(void *ud, struct tl_rpc_result *res)
{
    struct tl_reply_to *to = ud;
    struct tl_actor *a = to->actor;
    struct tl_worker *w = a->worker;
    tl_worker_enter(w);
    if (res->status == 0 && to->on_ok) {
        tl_worker_found(w);
        tl_rpc_result_free(res);
        to->on_ok(to);
    } else {
        res->msg.kind = TL_WM_RESULT;
        tl_actor_post_result(a, res);
    }
    tl_worker_exit(w);
}

void tl_worker_call(struct tl_worker *w, enum tl_method m, struct tl_str request,
                    int64_t timeout_ns, struct tl_reply_to *to)
{
    tl_rpc_call_release(tl_channel_call(w->channel, m, request, timeout_ns, call_done, to));
}
