/* See build.h. A build leaves the list under the mutex and is handed back outside of it. */
#include "worker/build.h"

#include "base/assert.h"
#include "base/log.h"
#include "base/mem.h"
#include "tl_enums.h"

enum {
    PARKED_MAX =
        65536, /* run ids per build: beyond, the oldest is replayed with the current build */
    ID_BYTES_MAX = 1024, /* of a build ID */
};

#define HASH "{hash}"

/* --- Build IDs --------------------------------------------------------------------------------- */

/* Whether the scripts decide on the ID: then each change of them is another build. */
static bool follows_scripts(struct tl_str option)
{
    return option.n == 0 || tl_str_eqc(option, "auto") ||
           memmem(option.p, option.n, HASH, sizeof HASH - 1) != NULL;
}

/* The option with the digest in its place. Owns: the caller, tl_mem_free. */
static char *make_id(struct tl_str option, struct tl_str digest)
{
    struct tl_buf b;
    char *id;
    if (option.n == 0 || tl_str_eqc(option, "auto")) {
        return tl_mem_dup(digest);
    }
    tl_buf_init(&b, ID_BYTES_MAX * 2);
    const char *at = memmem(option.p, option.n, HASH, sizeof HASH - 1);
    size_t before = at ? (size_t)(at - option.p) : option.n;
    tl_buf_put(&b, option.p, before);
    if (at) {
        size_t rest = before + sizeof HASH - 1;
        tl_buf_put(&b, digest.p, digest.n);
        tl_buf_put(&b, option.p + rest, option.n - rest);
    }
    id = tl_mem_dup(tl_buf_str(&b));
    tl_buf_deinit(&b);
    return id;
}

char *tl_worker_make_build_id(struct tl_str option, struct tl_str digest)
{
    return make_id(option, digest);
}

/* --- Making and dropping ----------------------------------------------------------------------- */

static void describe(struct tl_worker *w, struct tl_build *b)
{
    tp_deployment__worker_deployment_options__init(&b->deployment);
    b->deployment.deployment_name = w->deployment_name;
    b->deployment.build_id = b->id;
    b->deployment.worker_versioning_mode =
        (TpEnums__WorkerVersioningMode)(tl_worker_deploys(w) ? WORKER_VERSIONING_MODE_VERSIONED
                                                             : WORKER_VERSIONING_MODE_UNVERSIONED);
    tp_common__worker_version_stamp__init(&b->stamp);
    b->stamp.build_id = b->id;
    b->stamp.use_versioning = w->opt.use_worker_versioning && !tl_worker_deploys(w);
}

static struct tl_build *build_new(struct tl_worker *w, const struct tl_worker_build *from)
{
    struct tl_build *b = TL_NEW(struct tl_build);
    struct tl_str digest = from->digest.n ? from->digest
                           : from->lang   ? from->lang->digest
                                          : (struct tl_str){0};
    tl_list_init(&b->node);
    tl_map_init(&b->parked);
    b->worker = w;
    b->digest = tl_mem_dup(digest);
    b->id = make_id(w->opt.build_id, digest);
    b->lang = from->lang;
    b->registry = from->registry;
    b->release = from->release;
    b->release_ud = from->release_ud;
    describe(w, b);
    return b;
}

static void hand_back(struct tl_build *b)
{
    if (b->release) {
        b->release(b->release_ud);
    }
    tl_poll_set_free(b->set);
    tl_map_deinit(&b->parked);
    tl_mem_free(b->digest);
    tl_mem_free(b->id);
    tl_mem_free(b);
}

static bool wanted(const struct tl_build *b, bool parked_count)
{
    const struct tl_worker *w = b->worker;
    if (b == atomic_load(&w->build_now) || b == w->build_before || b->users > 0) {
        return true;
    }
    return b->set ? !b->retired : parked_count && b->parked.count > 0;
}

/* Under the mutex: takes out what nobody wants any more; of builds that only parked runs keep, the
 * oldest beyond the limit too. */
static void collect(struct tl_worker *w, struct tl_list *gone)
{
    for (int pass = 0; pass < 2; pass++) {
        TL_LIST_EACH (n, &w->builds) {
            struct tl_build *b = TL_CONTAINER(n, struct tl_build, node);
            bool over = pass == 1 && w->build_count > w->opt.max_loaded_builds;
            if ((pass == 0 || over) && !wanted(b, pass == 0)) {
                tl_list_remove(&b->node);
                tl_list_push(gone, &b->node);
                w->build_count--;
            }
        }
    }
}

static void drop(struct tl_list *gone)
{
    for (struct tl_list *n; (n = tl_list_pop(gone)) != NULL;) {
        struct tl_build *b = TL_CONTAINER(n, struct tl_build, node);
        TL_LOG(TL_LOG_INFO, "worker.build_dropped", TL_C("task_queue", b->worker->task_queue),
               TL_C("build_id", b->id), TL_I("parked_runs", (int64_t)b->parked.count));
        hand_back(b);
    }
}

tl_rc tl_builds_init(struct tl_worker *w, const struct tl_worker_config *config,
                     struct tl_error *err)
{
    const struct tl_worker_build first = {.lang = config->lang,
                                          .registry = config->registry,
                                          .digest = config->digest,
                                          .release = config->release,
                                          .release_ud = config->release_ud};
    struct tl_build *b = build_new(w, &first);
    if (strlen(b->id) > ID_BYTES_MAX) {
        tl_map_deinit(&b->parked);
        tl_mem_free(b->digest);
        tl_mem_free(b->id);
        tl_mem_free(b);
        return tl_error_set(err, TL_EINVAL, "build_id is longer than %d bytes", ID_BYTES_MAX);
    }
    b->served = true;
    tl_list_push(&w->builds, &b->node);
    atomic_store(&w->build_now, b);
    w->build_count = 1;
    return TL_OK;
}

void tl_builds_deinit(struct tl_worker *w)
{
    for (struct tl_list *n; (n = tl_list_pop(&w->builds)) != NULL;) {
        struct tl_build *b = TL_CONTAINER(n, struct tl_build, node);
        TL_ASSERT(b->users == 0);
        hand_back(b);
    }
}

/* --- Using ------------------------------------------------------------------------------------- */

struct tl_build *tl_build_current(struct tl_worker *w)
{
    pthread_mutex_lock(&w->builds_mutex);
    struct tl_build *b = atomic_load(&w->build_now);
    b->users++;
    pthread_mutex_unlock(&w->builds_mutex);
    return b;
}

struct tl_build *tl_build_retain(struct tl_build *b)
{
    pthread_mutex_lock(&b->worker->builds_mutex);
    b->users++;
    pthread_mutex_unlock(&b->worker->builds_mutex);
    return b;
}

void tl_build_release(struct tl_build *b)
{
    struct tl_list gone;
    if (!b) {
        return;
    }
    struct tl_worker *w = b->worker;
    tl_list_init(&gone);
    pthread_mutex_lock(&w->builds_mutex);
    TL_ASSERT(b->users > 0);
    if (--b->users == 0 && !wanted(b, true)) {
        collect(w, &gone);
    }
    pthread_mutex_unlock(&w->builds_mutex);
    drop(&gone);
}

static struct tl_build *find(struct tl_worker *w, struct tl_str id)
{
    TL_LIST_EACH (n, &w->builds) {
        struct tl_build *b = TL_CONTAINER(n, struct tl_build, node);
        if (tl_str_eqc(id, b->id)) {
            return b;
        }
    }
    return NULL;
}

static struct tl_str named_in(const TpHistory__History *history)
{
    for (size_t i = history ? history->n_events : 0; i > 0; i--) {
        const TpHistory__HistoryEvent *e = history->events[i - 1];
        if (e->attributes_case !=
            TP_HISTORY__HISTORY_EVENT__ATTRIBUTES_WORKFLOW_TASK_COMPLETED_EVENT_ATTRIBUTES) {
            continue;
        }
        const TpHistory__WorkflowTaskCompletedEventAttributes *a =
            e->workflow_task_completed_event_attributes;
        if (a->worker_version && a->worker_version->build_id[0]) {
            return tl_str(a->worker_version->build_id);
        }
        if (a->deployment_version && a->deployment_version->build_id[0]) {
            return tl_str(a->deployment_version->build_id);
        }
        return tl_str(a->binary_checksum);
    }
    return (struct tl_str){0};
}

struct tl_build *tl_build_of_history(struct tl_worker *w, struct tl_str run_id,
                                     const TpHistory__History *history, bool *named)
{
    struct tl_str id = named_in(history);
    struct tl_list gone;
    tl_list_init(&gone);
    pthread_mutex_lock(&w->builds_mutex);
    struct tl_build *b = id.n ? find(w, id) : NULL;
    *named = b != NULL;
    b = b ? b : atomic_load(&w->build_now);
    b->users++;
    TL_LIST_EACH (n, &w->builds) {
        tl_map_del(&TL_CONTAINER(n, struct tl_build, node)->parked, run_id);
    }
    collect(w, &gone);
    pthread_mutex_unlock(&w->builds_mutex);
    drop(&gone);
    return b;
}

/* What a registry is asked for: an activity, or an operation of a Nexus service. */
struct wanted {
    struct tl_str service; /* p NULL: an activity */
    struct tl_str name;
};

static bool has(const struct tl_build *b, const struct wanted *what)
{
    if (!b->registry) {
        return false;
    }
    return what->service.p
               ? tl_registry_find_operation(b->registry, what->service, what->name) != NULL
               : tl_registry_find(b->registry, what->name) != NULL;
}

static struct tl_build *newest_with(struct tl_worker *w, const struct wanted *what)
{
    pthread_mutex_lock(&w->builds_mutex);
    struct tl_build *now = atomic_load(&w->build_now), *b = now;
    if (!has(now, what)) {
        TL_LIST_EACH (n, &w->builds) { /* the newest comes last */
            struct tl_build *old = TL_CONTAINER(n, struct tl_build, node);
            b = has(old, what) ? old : b;
        }
    }
    b->users++;
    pthread_mutex_unlock(&w->builds_mutex);
    return b;
}

struct tl_build *tl_build_of_activity(struct tl_worker *w, struct tl_str type)
{
    const struct wanted what = {.name = type};
    return newest_with(w, &what);
}

struct tl_build *tl_build_of_operation(struct tl_worker *w, struct tl_str service,
                                       struct tl_str operation)
{
    const struct wanted what = {service.p ? service : TL_STR_LIT(""), operation};
    return newest_with(w, &what);
}

void tl_build_park(struct tl_build *b, struct tl_str run_id)
{
    pthread_mutex_lock(&b->worker->builds_mutex);
    if (b->parked.count >= PARKED_MAX) {
        struct tl_str oldest = tl_map_key(tl_map_first(&b->parked));
        char *key = tl_mem_dup(oldest); /* the view dies with the entry */
        tl_map_del(&b->parked, tl_str_n(key, oldest.n));
        tl_mem_free(key);
    }
    tl_map_put(&b->parked, run_id, b);
    pthread_mutex_unlock(&b->worker->builds_mutex);
}

/* --- Promoting --------------------------------------------------------------------------------- */

/* What a worker polls for was decided when it started. */
static tl_rc check_kinds(const struct tl_worker *w, const struct tl_worker_build *from,
                         struct tl_error *err)
{
    bool runs_workflows = w->polls_max[TL_POLL_NORMAL] > 0;
    bool runs_activities = w->polls_max[TL_POLL_ACTIVITY] > 0;
    bool activities = from->registry && tl_registry_count(from->registry) > 0;
    bool serves_nexus = w->polls_max[TL_POLL_NEXUS] > 0;
    bool operations = from->registry && tl_registry_operation_count(from->registry) > 0;
    const char *what = runs_workflows != (from->lang != NULL) ? "workflows"
                       : !w->opt.no_remote_activities && runs_activities != activities
                           ? "activities"
                       : serves_nexus != operations ? "Nexus services"
                                                    : NULL;
    if (what) {
        return tl_error_set(err, TL_EPRECONDITION,
                            "a reload cannot give a worker its first %s nor take the last: "
                            "restart it",
                            what);
    }
    return TL_OK;
}

/* Under the mutex. */
static void make_current(struct tl_worker *w, struct tl_build *b)
{
    struct tl_build *now = atomic_load(&w->build_now);
    if (now != b) {
        w->build_before = now;
        b->served = true;
        tl_list_remove(&b->node);
        tl_list_push(&w->builds, &b->node);
        atomic_store_explicit(&w->build_now, b, memory_order_release);
    }
}

static tl_rc switched(struct tl_worker *w, const char *event, const char *id)
{
    struct tl_error err = {0};
    tl_rc rc = tl_pollers_describe(w, &err);
    if (rc != TL_OK) { /* polls go on under the name they had */
        TL_LOG(TL_LOG_ERROR, "worker.polls_not_renamed", TL_C("error", err.message));
    }
    tl_pools_kick(w);
    TL_LOG(TL_LOG_INFO, event, TL_C("task_queue", w->task_queue), TL_C("build_id", id));
    return TL_OK;
}

/* Under the mutex: why the scripts cannot be another build of this worker. */
static tl_rc check_new(struct tl_worker *w, const struct tl_build *b, struct tl_error *err)
{
    struct tl_build *now = atomic_load(&w->build_now);
    if (strcmp(now->digest, b->digest) == 0) {
        return tl_error_set(err, TL_EEXISTS, "nothing has changed: build %s runs already", b->id);
    }
    if (!follows_scripts(w->opt.build_id)) {
        return tl_error_set(err, TL_EPRECONDITION,
                            "build ID '%s' is fixed, but the scripts have changed (%.12s to "
                            "%.12s): set build_id = \"auto\" or \"%s+{hash}\", or restart the "
                            "worker under another build ID",
                            b->id, now->digest, b->digest, b->id);
    }
    return find(w, tl_str(b->id))
               ? tl_error_set(err, TL_EEXISTS, "build %s is loaded: select it", b->id)
               : TL_OK;
}

/* A version begins to poll, so that the server knows it; nothing is sent there yet. */
static void announce(struct tl_worker *w, const char *id)
{
    TL_LOG(TL_LOG_INFO, "worker.version_loaded", TL_C("task_queue", w->task_queue),
           TL_C("deployment", w->deployment_name), TL_C("build_id", id));
    tl_pollers_fill(w);
}

tl_rc tl_worker_promote(struct tl_worker *w, const struct tl_worker_build *from,
                        struct tl_error *err)
{
    struct tl_list gone;
    bool versioned = tl_worker_deploys(w);
    tl_rc rc = check_kinds(w, from, err);
    if (rc != TL_OK) {
        return rc;
    }
    struct tl_build *b = build_new(w, from);
    rc = versioned ? tl_poll_set_new(b, false, err) : TL_OK;
    tl_list_init(&gone);
    pthread_mutex_lock(&w->builds_mutex);
    rc = rc == TL_OK ? check_new(w, b, err) : rc;
    if (rc == TL_OK && versioned) {
        tl_list_push_front(&w->builds, &b->node);
        w->build_count++;
    } else if (rc == TL_OK) {
        tl_list_push(&w->builds, &b->node);
        w->build_count++;
        make_current(w, b);
        collect(w, &gone);
    }
    pthread_mutex_unlock(&w->builds_mutex);
    drop(&gone);
    if (rc != TL_OK) {
        b->release = NULL; /* it stays the caller's */
        hand_back(b);
        return rc;
    }
    if (versioned) {
        announce(w, b->id);
        return TL_OK;
    }
    return switched(w, "worker.build_promoted", b->id);
}

tl_rc tl_worker_select_build(struct tl_worker *w, struct tl_str id, struct tl_error *err)
{
    struct tl_list gone;
    tl_rc rc = TL_OK;
    tl_list_init(&gone);
    pthread_mutex_lock(&w->builds_mutex);
    struct tl_build *b = id.n ? find(w, id) : w->build_before, *was = atomic_load(&w->build_now);
    if (b && !b->retired) {
        b->users++;
        was->users++;
        make_current(w, b);
        collect(w, &gone);
    } else if (id.n) {
        rc = tl_error_set(err, TL_ENOTFOUND, "build '%.*s' is not loaded", TL_STR_FMT(id));
        b = NULL;
    } else {
        rc = tl_error_set(err, TL_ENOTFOUND, "there is no build before this one");
        b = NULL;
    }
    pthread_mutex_unlock(&w->builds_mutex);
    drop(&gone);
    if (b && b->set && b != was) {
        tl_poll_sets_settle(w);
        tl_pollers_fill(w);
    }
    if (b) {
        rc = switched(w, "worker.build_selected", b->id);
        tl_build_release(was);
        tl_build_release(b);
    }
    return rc;
}

/* --- Versions that go -------------------------------------------------------------------------- */

tl_rc tl_worker_retire_build(struct tl_worker *w, struct tl_str id, struct tl_error *err)
{
    tl_rc rc = TL_OK;
    pthread_mutex_lock(&w->builds_mutex);
    struct tl_build *b = find(w, id);
    if (!b || !b->set) {
        rc = tl_error_set(err, TL_ENOTFOUND, "version '%.*s' is not loaded", TL_STR_FMT(id));
    } else if (b == atomic_load(&w->build_now)) {
        rc = tl_error_set(err, TL_EPRECONDITION, "version '%s' is the current one", b->id);
    } else {
        b->retire_wanted = true;
    }
    pthread_mutex_unlock(&w->builds_mutex);
    tl_worker_wake(w);
    return rc;
}

struct tl_build *tl_build_to_drain(struct tl_worker *w, bool retire, int64_t before_ns)
{
    struct tl_build *found = NULL;
    pthread_mutex_lock(&w->builds_mutex);
    TL_LIST_EACH (n, &w->builds) {
        struct tl_build *b = TL_CONTAINER(n, struct tl_build, node);
        bool old = b->set && !b->retired && b != atomic_load(&w->build_now);
        bool due = retire ? b->retire_wanted : b->checked_ns < before_ns;
        if (old && due && (!found || b->checked_ns < found->checked_ns)) {
            found = b;
        }
    }
    if (found) {
        found->users++;
    }
    pthread_mutex_unlock(&w->builds_mutex);
    return found;
}

bool tl_build_retire(struct tl_build *b)
{
    struct tl_worker *w = b->worker;
    pthread_mutex_lock(&w->builds_mutex);
    bool may = b != atomic_load(&w->build_now) && (b != w->build_before || b->retire_wanted);
    b->retired = b->retired || may;
    if (may && b == w->build_before) {
        w->build_before = NULL;
    }
    pthread_mutex_unlock(&w->builds_mutex);
    return may;
}

void tl_worker_each_build(struct tl_worker *w,
                          void (*fn)(void *ud, const struct tl_worker_build_info *info), void *ud)
{
    pthread_mutex_lock(&w->builds_mutex);
    TL_LIST_EACH (n, &w->builds) {
        const struct tl_build *b = TL_CONTAINER(n, struct tl_build, node);
        struct tl_worker_build_info info = {
            .id = tl_str(b->id),
            .digest = tl_str(b->digest),
            .current = b == atomic_load(&w->build_now),
            .previous = b == w->build_before,
            .users = b->users,
            .parked_runs = (int64_t)b->parked.count,
            .retired = b->retired,
        };
        fn(ud, &info);
    }
    pthread_mutex_unlock(&w->builds_mutex);
}
