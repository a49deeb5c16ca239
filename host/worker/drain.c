/* Old versions of a versioned worker: control asks the server whether they have drained, retires those
 * that have, and deletes them at the server once it takes them for gone, so that a day of reloads stays
 * below the number of versions that a deployment may have.
 * Thread: control's. Owns: worker->retired, a use of the build it asks about. */
#include "base/log.h"
#include "base/mem.h"
#include "proto/pb.h"
#include "tl_enums.h"
#include "worker/build.h"

#define LOOK_NS (TL_NS_PER_S)
#define ASK_NS (5 * TL_NS_PER_S)     /* between two questions about one version */
#define DELETE_NS (30 * TL_NS_PER_S) /* between two attempts to delete one */
#define SCRATCH_BYTES_MAX ((size_t)1 << 20)

/* The server takes a version for gone five minutes after its last poll. */
enum { DELETE_TRIES = 40 };

struct tl_retired {
    struct tl_list node;
    int64_t due_ns;
    int tries;
    char build_id[];
};

static TpDeployment__WorkerDeploymentVersion version_of(const struct tl_worker *w,
                                                        const char *build_id)
{
    TpDeployment__WorkerDeploymentVersion v = TP_DEPLOYMENT__WORKER_DEPLOYMENT_VERSION__INIT;
    v.deployment_name = w->deployment_name;
    v.build_id = (char *)(uintptr_t)build_id;
    return v;
}

/* --- Retiring ---------------------------------------------------------------------------------- */

static void remember(struct tl_worker *w, const char *build_id)
{
    size_t n = strlen(build_id);
    struct tl_retired *r = tl_mem_alloc(sizeof *r + n + 1);
    tl_list_init(&r->node);
    r->due_ns = tl_worker_now(w) + DELETE_NS;
    r->tries = 0;
    memcpy(r->build_id, build_id, n + 1);
    tl_list_push(&w->retired, &r->node);
}

static void retire(struct tl_build *b, const char *why)
{
    struct tl_worker *w = b->worker;
    if (!tl_build_retire(b)) {
        return;
    }
    TL_LOG(TL_LOG_INFO, "worker.version_retired", TL_C("task_queue", w->task_queue),
           TL_C("deployment", w->deployment_name), TL_C("build_id", b->id), TL_C("why", why));
    tl_poll_set_close(b->set);
    tl_control_leave(b->set, why);
    remember(w, b->id);
}

void tl_drain_look(struct tl_worker *w)
{
    while (tl_worker_deploys(w) && !tl_worker_stopping(w)) {
        struct tl_build *b = tl_build_to_drain(w, true, 0);
        if (!b) {
            return;
        }
        retire(b, "not routed to");
        tl_build_release(b);
    }
}

/* --- Asking ------------------------------------------------------------------------------------ */

static int status_in(const struct tl_rpc_result *res)
{
    struct tl_arena scratch;
    TpWs__DescribeWorkerDeploymentVersionResponse *r = NULL;
    int status = WORKER_DEPLOYMENT_VERSION_STATUS_UNSPECIFIED;
    tl_arena_init(&scratch, SCRATCH_BYTES_MAX);
    if (tl_pb_decode(&tp_ws__describe_worker_deployment_version_response__descriptor, res->body,
                     &scratch, &r, NULL) == TL_OK &&
        r->worker_deployment_version_info) {
        const TpDeployment__WorkerDeploymentVersionInfo *v = r->worker_deployment_version_info;
        status = (int)v->status;
        if (v->drainage_info && (int)v->drainage_info->status == VERSION_DRAINAGE_STATUS_DRAINED) {
            status = WORKER_DEPLOYMENT_VERSION_STATUS_DRAINED;
        }
    }
    tl_arena_deinit(&scratch);
    return status;
}

static void go_on(struct tl_worker *w);

/* What the server says of an old version. */
static void drain_came(struct tl_reply_to *to, struct tl_rpc_result *res)
{
    struct tl_worker *w = TL_CONTAINER(to, struct tl_worker, drain_to);
    struct tl_build *b = w->draining;
    struct tl_error err;
    w->draining = NULL;
    atomic_fetch_sub(&w->calls, 1);
    int status = res->status == 0 ? status_in(res) : 0;
    bool gone = res->status == STATUS_NOT_FOUND && b->known; /* a new one may not have polled yet */
    b->known = b->known || res->status == 0;
    /* What was current before the worker itself moved on says nothing now: it is asked again. */
    bool late = w->draining_under != atomic_load(&w->build_now);
    if (!tl_worker_stopping(w)) {
        if (gone || status == WORKER_DEPLOYMENT_VERSION_STATUS_DRAINED) {
            retire(b, gone ? "deleted" : "drained");
        } else if (status == WORKER_DEPLOYMENT_VERSION_STATUS_CURRENT && !late &&
                   tl_worker_select_build(w, tl_str(b->id), &err) != TL_OK) {
            TL_LOG(TL_LOG_WARN, "worker.version_not_selected", TL_C("error", err.message));
        }
    }
    tl_build_release(b);
    tl_rpc_result_free(res);
    go_on(w);
}

static void ask(struct tl_worker *w, struct tl_build *b)
{
    TpWs__DescribeWorkerDeploymentVersionRequest req =
        TP_WS__DESCRIBE_WORKER_DEPLOYMENT_VERSION_REQUEST__INIT;
    TpDeployment__WorkerDeploymentVersion version = version_of(w, b->id);
    req.namespace_ = w->namespace_name;
    req.deployment_version = &version;
    b->checked_ns = tl_worker_now(w);
    w->draining = b;
    w->draining_under = atomic_load(&w->build_now);
    w->drain_to.on_result = drain_came;
    tl_control_call(w, TL_M_DescribeWorkerDeploymentVersion, &req, &w->drain_to);
}

/* --- Deleting ---------------------------------------------------------------------------------- */

static void forget(struct tl_retired *r)
{
    tl_list_remove(&r->node);
    tl_mem_free(r);
}

/* The one that was tried last is the last in the list. */
static void delete_came(struct tl_reply_to *to, struct tl_rpc_result *res)
{
    struct tl_worker *w = TL_CONTAINER(to, struct tl_worker, drain_to);
    struct tl_retired *r = TL_CONTAINER(w->retired.prev, struct tl_retired, node);
    atomic_fetch_sub(&w->calls, 1);
    bool done = res->status == 0 || res->status == STATUS_NOT_FOUND;
    if (done || r->tries >= DELETE_TRIES) {
        TL_LOG(done ? TL_LOG_INFO : TL_LOG_WARN,
               done ? "worker.version_deleted" : "worker.version_not_deleted",
               TL_C("deployment", w->deployment_name), TL_C("build_id", r->build_id),
               TL_S("error", res->message));
        forget(r);
    }
    tl_rpc_result_free(res);
    go_on(w);
}

static void delete (struct tl_worker *w, struct tl_retired *r)
{
    TpWs__DeleteWorkerDeploymentVersionRequest req =
        TP_WS__DELETE_WORKER_DEPLOYMENT_VERSION_REQUEST__INIT;
    TpDeployment__WorkerDeploymentVersion version = version_of(w, r->build_id);
    req.namespace_ = w->namespace_name;
    req.deployment_version = &version;
    req.identity = w->identity;
    r->tries++;
    r->due_ns = tl_worker_now(w) + DELETE_NS;
    tl_list_remove(&r->node);
    tl_list_push(&w->retired, &r->node);
    w->drain_to.on_result = delete_came;
    tl_control_call(w, TL_M_DeleteWorkerDeploymentVersion, &req, &w->drain_to);
}

/* --- Life cycle -------------------------------------------------------------------------------- */

/* One call at a time: the next that is due, else a pause. */
static void go_on(struct tl_worker *w)
{
    int64_t now = tl_worker_now(w);
    if (tl_worker_stopping(w)) {
        tl_worker_tick(w);
        return;
    }
    struct tl_build *b = tl_build_to_drain(w, false, now - ASK_NS);
    if (b) {
        ask(w, b);
        return;
    }
    struct tl_retired *r = tl_list_empty(&w->retired)
                               ? NULL
                               : TL_CONTAINER(tl_list_first(&w->retired), struct tl_retired, node);
    if (r && r->due_ns <= now) {
        delete (w, r);
    } else {
        tl_timer_set(&w->control, &w->drain_timer, LOOK_NS);
    }
}

static void drain_over(struct tl_timer *t)
{
    go_on(TL_CONTAINER(t, struct tl_worker, drain_timer));
}

void tl_drain_begin(struct tl_worker *w)
{
    w->drain_timer.fire = drain_over;
    if (tl_worker_deploys(w)) {
        tl_timer_set(&w->control, &w->drain_timer, LOOK_NS);
    }
}

void tl_drain_stop(struct tl_worker *w)
{
    tl_timer_clear(&w->control, &w->drain_timer);
}

void tl_drain_deinit(struct tl_worker *w)
{
    for (struct tl_list *n; (n = tl_list_pop(&w->retired)) != NULL;) {
        tl_mem_free(TL_CONTAINER(n, struct tl_retired, node));
    }
}
