/* Polls: what they say, whether they may, how they enter matching and what else they are told than tasks.
 * See deliver.h. Thread: engine. */
#include "server/deliver.h"
#include "server/deployments.h"
#include "server/task_queues.h"
#include "server/version_sets.h"

tl_rc tl_poll_decode(struct tl_server *s, const struct tl_parked *p, struct tl_arena *arena,
                     struct tl_poll_request *out, struct tl_error *err)
{
    const TpTq__TaskQueue *tq;
    *out = (struct tl_poll_request){.tasks_per_s = -1, .control_queue = ""};
    const struct tl_method_info *m = tl_method_info(p->rpc->method);
    void *msg = NULL;
    tl_rc rc = tl_pb_decode(m->input, p->rpc->body, arena, &msg, err);
    if (rc != TL_OK) {
        return rc;
    }
    if (p->queue_type == TL_QUEUE_ACTIVITY) {
        const TpWs__PollActivityTaskQueueRequest *a = msg;
        tq = a->task_queue;
        out->identity = a->identity;
        out->instance_key = a->worker_instance_key;
        out->control_queue = a->worker_control_task_queue;
        out->deployment_options = a->deployment_options;
        out->version_capabilities = a->worker_version_capabilities;
        if (a->task_queue_metadata && a->task_queue_metadata->max_tasks_per_second) {
            out->tasks_per_s = a->task_queue_metadata->max_tasks_per_second->value;
        }
    } else if (p->queue_type == TL_QUEUE_NEXUS) {
        const TpWs__PollNexusTaskQueueRequest *n = msg;
        tq = n->task_queue;
        out->identity = n->identity;
        out->instance_key = n->worker_instance_key;
        /* Commands are for a worker, whatever its version. */
        bool commands = tq && (int)tq->kind == TASK_QUEUE_KIND_WORKER_COMMANDS;
        out->deployment_options = commands ? NULL : n->deployment_options;
    } else {
        const TpWs__PollWorkflowTaskQueueRequest *w = msg;
        tq = w->task_queue;
        out->identity = w->identity;
        out->instance_key = w->worker_instance_key;
        out->deployment_options = w->deployment_options;
        out->version_capabilities = w->worker_version_capabilities;
    }
    out->queue = tq ? tl_str(tq->name) : (struct tl_str){0};
    out->version = tl_version_of_worker(arena, out->deployment_options);
    out->normal_queue = tq ? tl_str(tq->normal_name) : out->queue;
    const TpCommon__WorkerVersionCapabilities *caps = out->version_capabilities;
    if (!out->version.n && caps && caps->use_versioning) {
        out->build = tl_version_of_build(arena, caps->build_id);
        out->version = tl_version_sets_route(s, p->ns, out->queue, out->build);
    }
    out->sticky =
        tq && (int)tq->kind == TASK_QUEUE_KIND_STICKY && p->queue_type == TL_QUEUE_WORKFLOW;
    return TL_OK;
}

struct tl_match_key tl_poll_key(const struct tl_parked *p, const struct tl_poll_request *r)
{
    struct tl_match_key key = {.namespace_number = p->ns->number,
                               .type = p->queue_type,
                               .sticky = r->sticky,
                               .name = r->queue};
    if (!r->sticky) { /* a sticky queue is one worker's own */
        key.version = r->version;
    }
    return key;
}

void tl_poll_answer_empty(struct tl_server *s, struct tl_parked *p)
{
    struct tl_rpc_request *rpc = p->rpc;
    tl_parked_free(s, p);
    tl_reply_at(s, rpc, 0, 0, (struct tl_str){0}, (struct tl_str){0}, (struct tl_str){0}, NULL);
}

void tl_poll_refuse(struct tl_server *s, struct tl_parked *p, const struct tl_error *err)
{
    tl_parked_refuse(s, p, tl_rc_grpc_status(err->code), err->message);
}

/* Under versioning by sets of builds only the newest build of a set gets tasks. */
static tl_rc check_build(struct tl_server *s, const struct tl_parked *p,
                         const struct tl_poll_request *r, struct tl_error *err)
{
    if (!r->version_capabilities || !r->version_capabilities->use_versioning ||
        (r->version.n && !r->build.n)) { /* of a deployment */
        return TL_OK;
    }
    if (!s->o.version_sets_workers) {
        return tl_error_set(err, TL_EPERMISSION,
                            "Worker versioning in workflow progress APIs is disabled on this "
                            "namespace.");
    }
    if (!r->build.n) {
        return tl_error_set(err, TL_EINVAL,
                            "WorkerVersionStamp must be present if UseVersioning is true.");
    }
    struct tl_str queue = r->sticky && r->normal_queue.n ? r->normal_queue : r->queue;
    struct tl_str newer = tl_version_sets_newer(s, p->ns, queue, r->build);
    return newer.n ? tl_error_set(err, TL_EPRECONDITION,
                                  "Task queue has a newer compatible build: \"%.*s\"",
                                  TL_STR_FMT(newer))
                   : TL_OK;
}

void tl_poll_enter(struct tl_server *s, struct tl_parked *p, struct tl_arena *arena)
{
    struct tl_poll_request r;
    struct tl_error err;
    if (tl_poll_decode(s, p, arena, &r, &err) != TL_OK || check_build(s, p, &r, &err) != TL_OK) {
        tl_poll_refuse(s, p, &err);
        return;
    }
    const TpDeployment__WorkerDeploymentOptions *o = r.deployment_options;
    int type = tl_task_queue_type(p->queue_type);
    if (o && (int)o->worker_versioning_mode == WORKER_VERSIONING_MODE_VERSIONED && !r.sticky &&
        tl_deployments_polled(s, p->ns, o, r.queue, type, r.identity, arena, &err) != TL_OK) {
        tl_poll_refuse(s, p, &err);
        return;
    }
    struct tl_match_key key = tl_poll_key(p, &r);
    s->last_poll_mono_ns = tl_engine_mono(s);
    if (s->matcher.polls_parked >= (size_t)s->o.long_polls_max) {
        tl_error_set(&err, TL_ELIMIT, "%zu polls are waiting, as many as this server keeps",
                     s->matcher.polls_parked);
        tl_poll_refuse(s, p, &err);
        return;
    }
    if (p->queue_type == TL_QUEUE_ACTIVITY) {
        tl_task_queue_polled(s, p->ns, r.queue, type, r.tasks_per_s);
    }
    struct tl_match_task *t =
        tl_match_poll(&s->matcher, &key, &p->poll, tl_str(r.identity), tl_engine_now(s));
    tl_task_queues_look(s);
    if (t) {
        tl_poll_take(s, p, t, arena);
    } else if (!tl_heap_has(&p->due.node)) {
        tl_due_set(&s->waits, &p->due, tl_parked_deadline(s, p->rpc, s->o.poll_expiry_ns));
    }
}

TpTq__PollerScalingDecision *tl_poll_advice(struct tl_server *s, const struct tl_parked *p,
                                            const struct tl_poll_request *r, struct tl_arena *arena)
{
    struct tl_match_key key = tl_poll_key(p, r);
    int delta = tl_match_advice(&s->matcher, &key, &p->poll, tl_engine_now(s));
    TpTq__PollerScalingDecision *d =
        delta ? TL_PB_NEW(arena, TpTq__PollerScalingDecision, tp_tq__poller_scaling_decision)
              : NULL;
    if (d) {
        d->poll_request_delta_suggestion = delta;
    }
    return d;
}
