/* From run to run: starts of children, signals to and cancellations of other runs, and what parents
 * and children hear when one of them ends. A run's transaction leaves it as effects; here they wait in
 * a queue until the request at hand is done, and are carried out before the round's commit is handed
 * over. So what one run says it did to another becomes durable together with what was done, no call
 * stack grows with the depth of a family, and the order of events is that of a server that does one
 * thing after another. What is in a run's state and was not carried out (after a failed commit, or
 * when a run was read again) comes back from tl_rs_regenerate.
 * Thread: engine. Owns: the queue's items. */
#include "base/assert.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/deployments.h"

/* Identity of what the server does by itself, as Temporal's. */
#define IDENTITY "history-service"
#define REASON_PARENT_CLOSED "by parent close policy"

struct tl_cross {
    struct tl_list link; /* in tl_server.cross */
    enum tl_effect_kind kind;
    uint64_t run_number; /* that asks */
    int64_t initiated_id;
    bool terminate;
    /* CLOSE_CHILD: the child. TELL_PARENT: run_id of the parent, the encoded event. CALLBACK: itself and
     * the encoded event. */
    struct tl_str namespace_, workflow_id, run_id, event, callback;
    char text[];
};

/* --- the queue --------------------------------------------------------------------------------------- */

static struct tl_str put(char **at, struct tl_str s)
{
    struct tl_str kept = {*at, s.n};
    if (s.n) {
        memcpy(*at, s.p, s.n);
    }
    (*at)[s.n] = '\0';
    *at += s.n + 1;
    return kept;
}

void tl_cross_add(struct tl_server *s, struct tl_exec *e, const struct tl_effect *fx)
{
    struct tl_str texts[5] = {{0}};
    size_t bytes = 5;
    if (fx->kind == TL_FX_CLOSE_CHILD) {
        texts[0] = fx->u.child.namespace_;
        texts[1] = fx->u.child.workflow_id;
        texts[2] = fx->u.child.first_run_id;
    } else if (fx->kind == TL_FX_TELL_PARENT) {
        texts[2] = fx->u.parent.run_id;
        texts[3] = fx->u.parent.event;
    } else if (fx->kind == TL_FX_CALLBACK) {
        texts[3] = fx->u.callback.event;
        texts[4] = fx->u.callback.callback;
    }
    for (int i = 0; i < 5; i++) {
        bytes += texts[i].n;
    }
    struct tl_cross *x = tl_mem_alloc(sizeof *x + bytes);
    char *at = x->text;
    tl_list_init(&x->link);
    x->kind = fx->kind;
    x->run_number = e->number;
    x->terminate = fx->kind == TL_FX_CLOSE_CHILD && fx->u.child.terminate;
    x->initiated_id = fx->kind == TL_FX_TELL_PARENT ? fx->u.parent.initiated_id
                      : fx->kind == TL_FX_CLOSE_CHILD || fx->kind == TL_FX_CALLBACK
                          ? 0
                          : fx->u.initiated_id;
    x->namespace_ = put(&at, texts[0]);
    x->workflow_id = put(&at, texts[1]);
    x->run_id = put(&at, texts[2]);
    x->event = put(&at, texts[3]);
    x->callback = put(&at, texts[4]);
    tl_list_push(&s->cross, &x->link);
}

void tl_cross_clear(struct tl_server *s)
{
    while (!tl_list_empty(&s->cross)) {
        tl_mem_free(TL_CONTAINER(tl_list_pop(&s->cross), struct tl_cross, link));
    }
}

/* --- transactions on one run -------------------------------------------------------------------------- */

/* Ends a transaction whose operation gave rc. An operation that failed without touching the run is the
 * caller's to answer; trouble with the run itself is logged, and its run read again. */
static tl_rc finish(struct tl_server *s, struct tl_exec *e, struct tl_tx *tx, tl_rc rc,
                    struct tl_error *err)
{
    if (rc != TL_OK && !tx->touched) {
        tl_tx_abort(tx);
        return rc;
    }
    tl_rc ended = tl_run_end(s, e, tx, err);
    if (ended != TL_OK) {
        TL_LOG(TL_LOG_ERROR, "server.cross_run_failed", TL_C("cause", err->message),
               TL_I("run", e->number));
    }
    return rc != TL_OK ? rc : ended;
}

static struct tl_exec *open_run(struct tl_server *s, uint64_t number)
{
    struct tl_error err;
    struct tl_exec *e = number ? tl_run_by_number(s, number, &err) : NULL;
    return e && !e->closed ? e : NULL;
}

/* --- children ------------------------------------------------------------------------------------------ */

static void child_started(struct tl_server *s, struct tl_exec *parent, int64_t initiated_id,
                          struct tl_str run_id)
{
    struct tl_tx tx;
    struct tl_error err;
    tl_run_begin(s, parent, &tx, &s->arena);
    tl_rc rc = tl_tx_child_started(&tx, initiated_id, run_id, &err);
    (void)finish(s, parent, &tx, rc, &err);
}

static void child_not_started(struct tl_server *s, struct tl_exec *parent, int64_t initiated_id,
                              int cause)
{
    struct tl_tx tx;
    struct tl_error err;
    tl_run_begin(s, parent, &tx, &s->arena);
    tl_rc rc = tl_tx_child_start_failed(&tx, initiated_id, cause, &err);
    (void)finish(s, parent, &tx, rc, &err);
}

/* A child of a pinned run begins on its version, where that serves the child's task queue. */
static void inherit_version(struct tl_server *s, const struct tl_namespace *ns,
                            const struct tl_exec *parent, const struct tl_child_request *r,
                            struct tl_start *start)
{
    struct tl_rs_versioning v;
    struct tl_str queue = tl_str(r->req->task_queue ? r->req->task_queue->name : "");
    tl_rs_versioning(parent->rs, &v);
    start->set_build = r->inherits_build ? v.set_build : (struct tl_str){0};
    if (v.behavior != VERSIONING_BEHAVIOR_PINNED || parent->ns != ns ||
        !tl_version_serves(s, ns, v.version, queue, TASK_QUEUE_TYPE_WORKFLOW)) {
        return;
    }
    start->inherited_pinned = tl_version_message(v.version, &s->arena);
    if (!r->req->versioning_override) {
        r->req->versioning_override = tl_rs_override(parent->rs, &s->arena);
    }
}

/* A new run for the child. NULL: it could not be made, which its request's checks should have told. */
static struct tl_exec *make_child(struct tl_server *s, struct tl_namespace *ns,
                                  const struct tl_exec *parent, const struct tl_child_request *r,
                                  const char *run_id, uint64_t number)
{
    struct tl_start start = {.req = r->req, .parent = &r->parent, .skipped = r->skipped};
    struct tl_tx tx;
    struct tl_error err;
    struct tl_exec *e = tl_run_make(s, ns, tl_str(r->req->workflow_id), tl_str(run_id), number);
    inherit_version(s, ns, parent, r, &start);
    tl_run_begin(s, e, &tx, &s->arena);
    tl_rc rc = tl_tx_start(&tx, &start, &err);
    if (rc == TL_OK) {
        return finish(s, e, &tx, rc, &err) == TL_OK ? e : NULL;
    }
    TL_LOG(TL_LOG_ERROR, "server.child_start_failed", TL_C("cause", err.message),
           TL_S("workflow_id", tl_str(r->req->workflow_id)));
    tl_tx_discard(&tx);
    tl_run_drop(s, e, true);
    return NULL;
}

/* The current run under the child's id, its info filled. NULL: none; *trouble when that is not known. */
static struct tl_exec *holder(struct tl_server *s, struct tl_namespace *ns, struct tl_str id,
                              struct tl_rs_info *info, bool *trouble)
{
    struct tl_error err;
    struct tl_exec *e = tl_run_current(s, ns, id, &err);
    *trouble = !e && err.code != TL_ENOTFOUND;
    if (e) {
        tl_rs_info(e->rs, info);
    }
    return e;
}

static void start_child(struct tl_server *s, const struct tl_cross *x)
{
    struct tl_exec *parent = open_run(s, x->run_number);
    struct tl_child_request r;
    struct tl_rs_info info;
    struct tl_error err;
    bool trouble = false;
    char run_id[37];
    uint64_t number;
    if (!parent || tl_rs_child_request(parent->rs, x->initiated_id, &s->arena, &r, &err) != TL_OK) {
        return;
    }
    struct tl_namespace *ns = tl_namespace_find(s, tl_str(r.req->namespace_));
    if (!ns) {
        child_not_started(s, parent, x->initiated_id,
                          START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_NAMESPACE_NOT_FOUND);
        return;
    }
    struct tl_exec *e = holder(s, ns, tl_str(r.req->workflow_id), &info, &trouble);
    if (trouble) {
        child_not_started(s, parent, x->initiated_id,
                          START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_UNSPECIFIED);
        return;
    }
    int reuse = (int)r.req->workflow_id_reuse_policy;
    bool terminate = reuse == WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING;
    switch (tl_id_judge(e ? &info : NULL, tl_str(r.req->request_id), reuse,
                        terminate ? WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING
                                  : WORKFLOW_ID_CONFLICT_POLICY_FAIL)) {
    case TL_ID_SAME_REQUEST:
        child_started(s, parent, x->initiated_id, info.first_run_id);
        return;
    case TL_ID_TERMINATE:
        /* Its parent cannot be what it is started instead of. */
        if (e == parent) {
            break;
        }
        tl_run_new_id(s, run_id, &number);
        if (tl_id_terminate(s, e, run_id, &s->arena, &err) != TL_OK) {
            return;
        }
        goto make;
    case TL_ID_FREE:
        tl_run_new_id(s, run_id, &number);
        goto make;
    default:
        break;
    }
    child_not_started(s, parent, x->initiated_id,
                      START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_WORKFLOW_ALREADY_EXISTS);
    return;
make:
    if (make_child(s, ns, parent, &r, run_id, number)) {
        child_started(s, parent, x->initiated_id, tl_str(run_id));
    } else {
        child_not_started(s, parent, x->initiated_id,
                          START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_UNSPECIFIED);
    }
}

/* The chain of a child has ended. */
static void tell_parent(struct tl_server *s, const struct tl_cross *x)
{
    struct tl_error err;
    struct tl_tx tx;
    struct tl_rs_info info, parent_info;
    TpHistory__HistoryEvent *event = NULL;
    struct tl_exec *parent = open_run(s, tl_run_id_number(x->run_id));
    struct tl_exec *child = tl_run_by_number(s, x->run_number, &err);
    if (!parent || !child) {
        return;
    }
    tl_rs_info(child->rs, &info);
    tl_rs_info(parent->rs, &parent_info);
    if (!tl_str_eq(parent_info.id.run_id, x->run_id)) {
        return;
    }
    tl_rc rc =
        tl_pb_decode(&tp_history__history_event__descriptor, x->event, &s->arena, &event, &err);
    tl_run_begin(s, parent, &tx, &s->arena);
    if (rc == TL_OK) {
        struct tl_child_closed closed = {.initiated_id = x->initiated_id,
                                         .workflow_id = info.id.workflow_id,
                                         .run_id = info.id.run_id,
                                         .first_run_id = info.first_run_id,
                                         .event = event};
        rc = tl_tx_child_closed(&tx, &closed, &err);
    }
    (void)finish(s, parent, &tx, rc, &err);
}

static TpCommon__WorkflowExecution *execution_of(struct tl_server *s, const struct tl_exec *e)
{
    struct tl_rs_info info;
    TpCommon__WorkflowExecution *x =
        TL_PB_NEW(&s->arena, TpCommon__WorkflowExecution, tp_common__workflow_execution);
    tl_rs_info(e->rs, &info);
    if (x && (!(x->workflow_id = tl_pb_cstr(&s->arena, info.id.workflow_id)) ||
              !(x->run_id = tl_pb_cstr(&s->arena, info.id.run_id)))) {
        return NULL;
    }
    return x;
}

/* The parent has closed: whatever run of the child's chain is the current one is ended, or asked to
 * end. */
static void close_child(struct tl_server *s, const struct tl_cross *x)
{
    struct tl_error err;
    struct tl_tx tx;
    struct tl_rs_info info;
    bool trouble = false;
    struct tl_exec *parent = tl_run_by_number(s, x->run_number, &err);
    struct tl_namespace *ns = tl_namespace_find(s, x->namespace_);
    struct tl_exec *e = ns ? holder(s, ns, x->workflow_id, &info, &trouble) : NULL;
    TpCommon__WorkflowExecution *source = parent ? execution_of(s, parent) : NULL;
    if (!e || e->closed || !source || !tl_str_eq(info.first_run_id, x->run_id) ||
        !tl_rs_is_child_of(e->rs, tl_str(source->workflow_id), tl_str(source->run_id))) {
        return;
    }
    tl_run_begin(s, e, &tx, &s->arena);
    tl_rc rc = x->terminate
                   ? tl_tx_terminate(&tx, REASON_PARENT_CLOSED, NULL, IDENTITY, NULL, 0, &err)
                   : tl_tx_cancel(&tx,
                                  &(struct tl_cancel){
                                      .identity = IDENTITY, .external = source, .child_only = true},
                                  &err);
    (void)finish(s, e, &tx, rc, &err);
}

/* --- signals and cancellations --------------------------------------------------------------------------- */

#define SIGNAL_CAUSE(name) SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_##name
#define CANCEL_CAUSE(name) CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_##name

/* What it came to: 0, or the cause of the failed event. */
static int cause_of(const struct tl_other_request *r, tl_rc rc)
{
    if (rc == TL_EINVAL && r->is_signal) {
        return SIGNAL_CAUSE(SIGNAL_COUNT_LIMIT_EXCEEDED);
    }
    return r->is_signal ? SIGNAL_CAUSE(EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND)
                        : CANCEL_CAUSE(EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND);
}

static tl_rc reach(struct tl_server *s, const struct tl_cross *x, struct tl_exec *target,
                   const struct tl_other_request *r)
{
    struct tl_tx tx;
    struct tl_error err;
    tl_rc rc;
    tl_run_begin(s, target, &tx, &s->arena);
    if (r->is_signal) {
        struct tl_signal signal = {.name = r->signal_name,
                                   .input = r->input,
                                   .header = r->header,
                                   .identity = IDENTITY,
                                   .request_id = r->request_id,
                                   .external = r->source,
                                   .child_only = r->child_only};
        rc = tl_tx_signal(&tx, &signal, &err);
    } else {
        struct tl_cancel cancel = {.reason = r->reason,
                                   .identity = IDENTITY,
                                   .request_id = r->request_id,
                                   .external = r->source,
                                   .external_initiated_id = x->initiated_id,
                                   .child_only = r->child_only};
        rc = tl_tx_cancel(&tx, &cancel, &err);
    }
    return finish(s, target, &tx, rc, &err);
}

static void ask_other(struct tl_server *s, const struct tl_cross *x)
{
    struct tl_exec *from = open_run(s, x->run_number);
    struct tl_other_request r;
    struct tl_error err;
    struct tl_tx tx;
    int cause = 0;
    if (!from || tl_rs_other_request(from->rs, x->initiated_id, &s->arena, &r, &err) != TL_OK) {
        return;
    }
    struct tl_namespace *ns = tl_namespace_find(s, r.namespace_);
    bool failed = true;
    if (!ns) {
        cause = r.is_signal ? SIGNAL_CAUSE(NAMESPACE_NOT_FOUND) : CANCEL_CAUSE(NAMESPACE_NOT_FOUND);
    } else if (ns == from->ns && tl_str_eqc(r.workflow_id, r.source->workflow_id)) {
        cause = cause_of(&r, TL_ENOTFOUND); /* to itself, whatever the run */
    } else {
        TpCommon__WorkflowExecution target = TP_COMMON__WORKFLOW_EXECUTION__INIT;
        target.workflow_id = tl_pb_cstr(&s->arena, r.workflow_id);
        target.run_id = tl_pb_cstr(&s->arena, r.run_id);
        struct tl_exec *e =
            target.workflow_id && target.run_id ? tl_run_find(s, ns, &target, &err) : NULL;
        tl_rc rc = e ? reach(s, x, e, &r) : TL_ENOTFOUND;
        failed = rc != TL_OK;
        cause = failed ? cause_of(&r, rc) : 0;
    }
    tl_run_begin(s, from, &tx, &s->arena);
    tl_rc rc = tl_tx_other_done(&tx, x->initiated_id, failed, cause, &err);
    (void)finish(s, from, &tx, rc, &err);
}

/* --- Nexus ------------------------------------------------------------------------------------------------ */

static void carry_nexus(struct tl_server *s, const struct tl_cross *x)
{
    struct tl_error err;
    if (x->kind == TL_FX_DISPATCH_NEXUS) {
        struct tl_exec *e = open_run(s, x->run_number);
        if (e) {
            tl_nexus_dispatch(s, e, x->initiated_id, &s->arena);
        }
        return;
    }
    struct tl_exec *e = tl_run_by_number(s, x->run_number, &err);
    if (e) {
        tl_nexus_callback(s, e, x->callback, x->event);
    }
}

/* --- all -------------------------------------------------------------------------------------------------- */

void tl_cross_run(struct tl_server *s)
{
    while (!tl_list_empty(&s->cross)) {
        struct tl_cross *x = TL_CONTAINER(tl_list_pop(&s->cross), struct tl_cross, link);
        tl_arena_reset(&s->arena);
        switch (x->kind) {
        case TL_FX_START_CHILD:
            start_child(s, x);
            break;
        case TL_FX_SIGNAL_OTHER:
        case TL_FX_CANCEL_OTHER:
            ask_other(s, x);
            break;
        case TL_FX_CLOSE_CHILD:
            close_child(s, x);
            break;
        case TL_FX_TELL_PARENT:
            tell_parent(s, x);
            break;
        case TL_FX_DISPATCH_NEXUS:
        case TL_FX_CALLBACK:
            carry_nexus(s, x);
            break;
        default:
            TL_UNREACHABLE();
        }
        tl_mem_free(x);
    }
}
