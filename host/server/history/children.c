/* Children: what a run remembers of them, what it hears of them, and what it leaves to them when it
 * closes. The caller carries requests from run to run; everything here may be told twice.
 * Thread: the run's owner. Owns: see rs.h; requests and effects live in the caller's arena. */
#include "server/history/priority.h"

struct tl_str tl_namespace_id(const struct tl_tx *tx, const char *name)
{
    const struct tl_rs *rs = tx->rs;
    if (!tl_has_text(name) || tl_str_eqc(tl_str(name), rs->namespace_name)) {
        return tl_str(rs->namespace_id);
    }
    return tx->env->namespace_id ? tx->env->namespace_id(tx->env->ud, tl_str(name))
                                 : (struct tl_str){NULL, 0};
}

bool tl_rs_is_child_of(const struct tl_rs *rs, struct tl_str workflow_id, struct tl_str run_id)
{
    return rs->parent.workflow_id && tl_str_eq(tl_str(rs->parent.workflow_id), workflow_id) &&
           tl_str_eq(tl_str(tl_or_empty(rs->parent.run_id)), run_id);
}

/* --- state ----------------------------------------------------------------------------------- */

static struct tl_child *child_of(const struct tl_rs *rs, int64_t initiated_id)
{
    return rs->children ? tl_map_get_num(rs->children, (uint64_t)initiated_id) : NULL;
}

static void free_child(struct tl_child *c)
{
    char *strings[] = {c->namespace_,    c->namespace_id, c->workflow_id,
                       c->workflow_type, c->run_id,       c->event.p};
    for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
        tl_mem_free(strings[i]);
    }
    tl_mem_free(c);
}

static void remove_child(struct tl_rs *rs, int64_t initiated_id)
{
    struct tl_child *c = rs->children ? tl_map_del_num(rs->children, (uint64_t)initiated_id) : NULL;
    if (!c) {
        return;
    }
    free_child(c);
    if (rs->children->count == 0) {
        tl_rs_drop_map(&rs->children);
    }
}

void tl_rs_children_free(struct tl_rs *rs)
{
    while (rs->children) {
        remove_child(rs, (int64_t)tl_map_first(rs->children)->num);
    }
}

void tl_parent_free(struct tl_parent *p)
{
    char *strings[] = {p->namespace_, p->namespace_id,     p->workflow_id,
                       p->run_id,     p->root_workflow_id, p->root_run_id};
    for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
        tl_mem_free(strings[i]);
    }
}

size_t tl_rs_children_bytes(const struct tl_rs *rs)
{
    size_t n = 0;
    if (rs->children) {
        TL_MAP_EACH (e, rs->children) {
            const struct tl_child *c = e->value;
            n += sizeof(*c) + 300 + c->event.n;
        }
    }
    return n;
}

static struct tl_child *add_child(struct tl_rs *rs, int64_t initiated_id)
{
    struct tl_child *c = TL_NEW(struct tl_child);
    c->initiated_id = initiated_id;
    tl_map_put_num(tl_rs_need_map(&rs->children), (uint64_t)initiated_id, c);
    return c;
}

tl_rc tl_rs_child_load(struct tl_rs *rs, const TlV1__ChildState *state, struct tl_error *err)
{
    if (child_of(rs, state->initiated_event_id)) {
        return tl_error_set(err, TL_EDECODE, "child %lld of the run is there twice",
                            (long long)state->initiated_event_id);
    }
    struct tl_child *c = add_child(rs, state->initiated_event_id);
    c->started_id = state->started_event_id;
    c->started = state->started;
    c->close_policy = state->parent_close_policy;
    tl_set_str(&c->namespace_, state->namespace_);
    tl_set_str(&c->namespace_id, state->namespace_id);
    tl_set_str(&c->workflow_id, state->workflow_id);
    tl_set_str(&c->workflow_type, state->workflow_type);
    tl_set_str(&c->run_id, state->run_id);
    tl_set_blob(&c->event, tl_pb_str(state->initiated_event));
    return TL_OK;
}

/* --- events ---------------------------------------------------------------------------------- */

/* The initiating event that any other event of a child names. */
static int64_t initiated_of(const TpHistory__HistoryEvent *e)
{
#define CASE(NAME, field)                                                                          \
    case EVENT_TYPE_##NAME:                                                                        \
        return e->field##_event_attributes->initiated_event_id;
    switch ((int)e->event_type) {
        CASE(START_CHILD_WORKFLOW_EXECUTION_FAILED, start_child_workflow_execution_failed)
        CASE(CHILD_WORKFLOW_EXECUTION_STARTED, child_workflow_execution_started)
        CASE(CHILD_WORKFLOW_EXECUTION_COMPLETED, child_workflow_execution_completed)
        CASE(CHILD_WORKFLOW_EXECUTION_FAILED, child_workflow_execution_failed)
        CASE(CHILD_WORKFLOW_EXECUTION_CANCELED, child_workflow_execution_canceled)
        CASE(CHILD_WORKFLOW_EXECUTION_TIMED_OUT, child_workflow_execution_timed_out)
        CASE(CHILD_WORKFLOW_EXECUTION_TERMINATED, child_workflow_execution_terminated)
    default:
        return 0;
    }
#undef CASE
}

tl_rc tl_apply_child_initiated(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                               struct tl_arena *scratch, struct tl_error *err)
{
    const TpHistory__StartChildWorkflowExecutionInitiatedEventAttributes *a =
        e->start_child_workflow_execution_initiated_event_attributes;
    struct tl_str bytes;
    tl_rc rc = tl_pb_encode_arena(e, scratch, &bytes, err);
    if (rc != TL_OK) {
        return rc;
    }
    remove_child(rs, e->event_id);
    struct tl_child *c = add_child(rs, e->event_id);
    c->close_policy = (int)a->parent_close_policy;
    tl_set_str(&c->namespace_, a->namespace_);
    tl_set_str(&c->namespace_id, a->namespace_id);
    tl_set_str(&c->workflow_id, a->workflow_id);
    tl_set_str(&c->workflow_type, a->workflow_type ? a->workflow_type->name : NULL);
    tl_set_blob(&c->event, bytes);
    return TL_OK;
}

tl_rc tl_apply_child_started(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                             struct tl_arena *scratch, struct tl_error *err)
{
    const TpHistory__ChildWorkflowExecutionStartedEventAttributes *a =
        e->child_workflow_execution_started_event_attributes;
    struct tl_child *c = child_of(rs, a->initiated_event_id);
    (void)scratch, (void)err;
    if (c) {
        c->started = true;
        c->started_id = e->event_id;
        tl_set_str(&c->run_id, a->workflow_execution ? a->workflow_execution->run_id : NULL);
        tl_set_blob(&c->event, (struct tl_str){NULL, 0});
    }
    return TL_OK;
}

tl_rc tl_apply_child_over(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                          struct tl_arena *scratch, struct tl_error *err)
{
    (void)scratch, (void)err;
    remove_child(rs, initiated_of(e));
    return TL_OK;
}

void tl_rs_event_placed(struct tl_rs *rs, const TpHistory__HistoryEvent *e)
{
    if ((int)e->event_type == EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED) {
        struct tl_child *c = child_of(rs, initiated_of(e));
        if (c) {
            c->started_id = e->event_id;
        }
    }
}

/* --- what is asked of others ----------------------------------------------------------------- */

static TpWs__StartWorkflowExecutionRequest *
child_start(const struct tl_rs *rs, const TpHistory__HistoryEvent *e, struct tl_arena *arena)
{
    const TpHistory__StartChildWorkflowExecutionInitiatedEventAttributes *a =
        e->start_child_workflow_execution_initiated_event_attributes;
    TpWs__StartWorkflowExecutionRequest *req = TL_PB_NEW(arena, TpWs__StartWorkflowExecutionRequest,
                                                         tp_ws__start_workflow_execution_request);
    if (!req) {
        return NULL;
    }
    req->request_id = tl_arena_printf(arena, "%s:%lld", rs->run_id, (long long)e->event_id);
    req->namespace_ = a->namespace_;
    req->workflow_id = a->workflow_id;
    req->workflow_type = a->workflow_type;
    req->task_queue = a->task_queue;
    req->input = a->input;
    req->header = a->header;
    req->workflow_execution_timeout = a->workflow_execution_timeout;
    req->workflow_run_timeout = a->workflow_run_timeout;
    req->workflow_task_timeout = a->workflow_task_timeout;
    req->workflow_id_reuse_policy = a->workflow_id_reuse_policy;
    req->retry_policy = a->retry_policy;
    req->cron_schedule = a->cron_schedule;
    req->memo = a->memo;
    req->search_attributes = a->search_attributes;
    req->user_metadata = e->user_metadata;
    req->versioning_override = a->versioning_override;
    req->priority = tl_priority_merge(rs, a->priority, arena);
    req->time_skipping_config = a->time_skipping_config;
    return req->request_id ? req : NULL;
}

tl_rc tl_rs_child_request(const struct tl_rs *rs, int64_t initiated_id, struct tl_arena *arena,
                          struct tl_child_request *out, struct tl_error *err)
{
    const struct tl_child *c = child_of(rs, initiated_id);
    if (!tl_rs_open(rs) || !c || c->started) {
        return tl_error_set(err, TL_ENOTFOUND, "Pending child execution not found.");
    }
    const TpHistory__HistoryEvent *e = tl_blob_event(&c->event, arena);
    const struct tl_parent *p = &rs->parent;
    *out = (struct tl_child_request){.req = e ? child_start(rs, e, arena) : NULL};
    if (!out->req) {
        return tl_error_set(err, TL_ELIMIT, "no memory to start a child workflow");
    }
    out->skipped = e->start_child_workflow_execution_initiated_event_attributes
                       ->time_skipping_state_propagation;
    out->inherits_build =
        e->start_child_workflow_execution_initiated_event_attributes->inherit_build_id;
    out->parent = (struct tl_start_parent){
        .namespace_ = tl_str(rs->namespace_name),
        .namespace_id = tl_str(rs->namespace_id),
        .workflow_id = tl_str(rs->workflow_id),
        .run_id = tl_str(rs->run_id),
        .root_workflow_id =
            tl_str(p->workflow_id ? tl_pb_text(p->root_workflow_id) : rs->workflow_id),
        .root_run_id = tl_str(p->workflow_id ? tl_pb_text(p->root_run_id) : rs->run_id),
        .initiated_id = initiated_id};
    return TL_OK;
}

const struct tl_start_parent *tl_rs_start_parent(const struct tl_rs *rs, struct tl_arena *arena)
{
    const struct tl_parent *p = &rs->parent;
    struct tl_start_parent *out =
        p->workflow_id ? TL_ARENA_NEW(arena, struct tl_start_parent) : NULL;
    if (!out) {
        return NULL;
    }
    *out = (struct tl_start_parent){
        .namespace_ = tl_arena_str(arena, tl_str(tl_pb_text(p->namespace_))),
        .namespace_id = tl_arena_str(arena, tl_str(tl_pb_text(p->namespace_id))),
        .workflow_id = tl_arena_str(arena, tl_str(p->workflow_id)),
        .run_id = tl_arena_str(arena, tl_str(tl_pb_text(p->run_id))),
        .root_workflow_id = tl_arena_str(arena, tl_str(tl_pb_text(p->root_workflow_id))),
        .root_run_id = tl_arena_str(arena, tl_str(tl_pb_text(p->root_run_id))),
        .initiated_id = p->initiated_id};
    return out;
}

size_t tl_rs_children_regenerate(const struct tl_rs *rs, struct tl_effects *out)
{
    size_t wanted = 0;
    if (rs->children) {
        TL_MAP_EACH (e, rs->children) {
            const struct tl_child *c = e->value;
            if (!c->started) {
                struct tl_effect *f = tl_effects_add(out, TL_FX_START_CHILD);
                wanted++;
                if (f) {
                    f->u.initiated_id = c->initiated_id;
                }
            }
        }
    }
    return wanted;
}

/* --- what others answer ---------------------------------------------------------------------- */

tl_rc tl_tx_child_started(struct tl_tx *tx, int64_t initiated_id, struct tl_str run_id,
                          struct tl_error *err)
{
    struct tl_rs *rs = tx->rs;
    const struct tl_child *c = child_of(rs, initiated_id);
    tx->error_kind = TL_ERR_PLAIN;
    if (!tl_rs_open(rs) || !c || c->started) {
        return TL_OK;
    }
    const TpHistory__HistoryEvent *e = tl_blob_event(&c->event, tx->arena);
    if (!e) {
        return tl_error_set(err, TL_ELIMIT, "no memory for the start of a child workflow");
    }
    const TpHistory__StartChildWorkflowExecutionInitiatedEventAttributes *in =
        e->start_child_workflow_execution_initiated_event_attributes;
    TpHistory__ChildWorkflowExecutionStartedEventAttributes a =
        TP_HISTORY__CHILD_WORKFLOW_EXECUTION_STARTED_EVENT_ATTRIBUTES__INIT;
    TpCommon__WorkflowExecution execution = TP_COMMON__WORKFLOW_EXECUTION__INIT;
    struct tl_ev ev;
    tl_ev_init(&ev, tx->now_ns);
    execution.workflow_id = in->workflow_id;
    execution.run_id = tl_pb_cstr(tx->arena, run_id);
    a.namespace_ = in->namespace_;
    a.namespace_id = in->namespace_id;
    a.initiated_event_id = initiated_id;
    a.workflow_execution = &execution;
    a.workflow_type = in->workflow_type;
    a.header = in->header;
    if (!execution.run_id) {
        return tl_error_set(err, TL_ELIMIT, "no memory for the start of a child workflow");
    }
    TL_EV_SET(&ev, CHILD_WORKFLOW_EXECUTION_STARTED, child_workflow_execution_started, &a);
    tl_tx_add(tx, &ev);
    return tl_tx_tell_worker(tx, err);
}

tl_rc tl_tx_child_start_failed(struct tl_tx *tx, int64_t initiated_id, int cause,
                               struct tl_error *err)
{
    struct tl_rs *rs = tx->rs;
    const struct tl_child *c = child_of(rs, initiated_id);
    tx->error_kind = TL_ERR_PLAIN;
    if (!tl_rs_open(rs) || !c || c->started) {
        return TL_OK;
    }
    const TpHistory__HistoryEvent *e = tl_blob_event(&c->event, tx->arena);
    if (!e) {
        return tl_error_set(err, TL_ELIMIT, "no memory for the start of a child workflow");
    }
    const TpHistory__StartChildWorkflowExecutionInitiatedEventAttributes *in =
        e->start_child_workflow_execution_initiated_event_attributes;
    TpHistory__StartChildWorkflowExecutionFailedEventAttributes a =
        TP_HISTORY__START_CHILD_WORKFLOW_EXECUTION_FAILED_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    tl_ev_init(&ev, tx->now_ns);
    a.namespace_ = in->namespace_;
    a.namespace_id = in->namespace_id;
    a.workflow_id = in->workflow_id;
    a.workflow_type = in->workflow_type;
    a.control = in->control;
    a.cause = (TpEnums__StartChildWorkflowExecutionFailedCause)cause;
    a.initiated_event_id = initiated_id;
    a.workflow_task_completed_event_id = in->workflow_task_completed_event_id;
    TL_EV_SET(&ev, START_CHILD_WORKFLOW_EXECUTION_FAILED, start_child_workflow_execution_failed,
              &a);
    tl_tx_add(tx, &ev);
    return tl_tx_tell_worker(tx, err);
}

/* What all events that end a child have in common. */
#define FILL(a, c, execution, type)                                                                \
    ((a).namespace_ = tl_pb_text((c)->namespace_),                                                 \
     (a).namespace_id = tl_pb_text((c)->namespace_id), (a).workflow_execution = (execution),       \
     (a).workflow_type = (type), (a).initiated_event_id = (c)->initiated_id,                       \
     (a).started_event_id = (c)->started_id)

static void add_child_end(struct tl_tx *tx, const struct tl_child *c,
                          const struct tl_child_closed *closed,
                          TpCommon__WorkflowExecution *execution, TpCommon__WorkflowType *type)
{
    const TpHistory__HistoryEvent *e = closed->event;
    TpHistory__ChildWorkflowExecutionCompletedEventAttributes completed =
        TP_HISTORY__CHILD_WORKFLOW_EXECUTION_COMPLETED_EVENT_ATTRIBUTES__INIT;
    TpHistory__ChildWorkflowExecutionFailedEventAttributes failed =
        TP_HISTORY__CHILD_WORKFLOW_EXECUTION_FAILED_EVENT_ATTRIBUTES__INIT;
    TpHistory__ChildWorkflowExecutionCanceledEventAttributes canceled =
        TP_HISTORY__CHILD_WORKFLOW_EXECUTION_CANCELED_EVENT_ATTRIBUTES__INIT;
    TpHistory__ChildWorkflowExecutionTimedOutEventAttributes timed_out =
        TP_HISTORY__CHILD_WORKFLOW_EXECUTION_TIMED_OUT_EVENT_ATTRIBUTES__INIT;
    TpHistory__ChildWorkflowExecutionTerminatedEventAttributes terminated =
        TP_HISTORY__CHILD_WORKFLOW_EXECUTION_TERMINATED_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    tl_ev_init(&ev, tx->now_ns);
    switch ((int)e->event_type) {
    case EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
        FILL(completed, c, execution, type);
        completed.result = e->workflow_execution_completed_event_attributes->result;
        TL_EV_SET(&ev, CHILD_WORKFLOW_EXECUTION_COMPLETED, child_workflow_execution_completed,
                  &completed);
        break;
    case EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
        FILL(failed, c, execution, type);
        failed.failure = e->workflow_execution_failed_event_attributes->failure;
        failed.retry_state = e->workflow_execution_failed_event_attributes->retry_state;
        TL_EV_SET(&ev, CHILD_WORKFLOW_EXECUTION_FAILED, child_workflow_execution_failed, &failed);
        break;
    case EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED:
        FILL(canceled, c, execution, type);
        canceled.details = e->workflow_execution_canceled_event_attributes->details;
        TL_EV_SET(&ev, CHILD_WORKFLOW_EXECUTION_CANCELED, child_workflow_execution_canceled,
                  &canceled);
        break;
    case EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT:
        FILL(timed_out, c, execution, type);
        timed_out.retry_state = e->workflow_execution_timed_out_event_attributes->retry_state;
        TL_EV_SET(&ev, CHILD_WORKFLOW_EXECUTION_TIMED_OUT, child_workflow_execution_timed_out,
                  &timed_out);
        break;
    default:
        FILL(terminated, c, execution, type);
        TL_EV_SET(&ev, CHILD_WORKFLOW_EXECUTION_TERMINATED, child_workflow_execution_terminated,
                  &terminated);
        break;
    }
    tl_tx_add(tx, &ev);
}

tl_rc tl_tx_child_closed(struct tl_tx *tx, const struct tl_child_closed *closed,
                         struct tl_error *err)
{
    struct tl_rs *rs = tx->rs;
    struct tl_child *c = child_of(rs, closed->initiated_id);
    tx->error_kind = TL_ERR_PLAIN;
    if (!tl_rs_open(rs) || !c || !tl_str_eqc(closed->workflow_id, tl_pb_text(c->workflow_id)) ||
        (c->started && !tl_str_eqc(closed->first_run_id, tl_pb_text(c->run_id)))) {
        return TL_OK;
    }
    if (!c->started) {
        tl_rc rc = tl_tx_child_started(tx, closed->initiated_id, closed->first_run_id, err);
        if (rc != TL_OK) {
            return rc;
        }
    }
    TpCommon__WorkflowExecution execution = TP_COMMON__WORKFLOW_EXECUTION__INIT;
    TpCommon__WorkflowType type = TP_COMMON__WORKFLOW_TYPE__INIT;
    execution.workflow_id = tl_pb_cstr(tx->arena, closed->workflow_id);
    execution.run_id = tl_pb_cstr(tx->arena, closed->run_id);
    type.name = tl_pb_cstr(tx->arena, tl_str(tl_pb_text(c->workflow_type)));
    if (!execution.workflow_id || !execution.run_id || !type.name) {
        tl_tx_break(tx, "the end of a child workflow");
        return tl_tx_result(tx, err);
    }
    add_child_end(tx, c, closed, &execution, &type);
    return tl_tx_tell_worker(tx, err);
}

/* --- closing --------------------------------------------------------------------------------- */

void tl_children_closing(struct tl_tx *tx, struct tl_str event)
{
    struct tl_tx_private *p = tx->p;
    const struct tl_rs *rs = tx->rs;
    if (rs->parent.workflow_id) {
        p->close_event = event;
    }
    if (!rs->children) {
        return;
    }
    p->orphans = TL_ARENA_ARRAY(tx->arena, struct tl_effect, rs->children->count);
    if (!p->orphans) {
        tl_tx_break(tx, "the children of a run");
        return;
    }
    /* A child that has not started never will. */
    TL_MAP_EACH (entry, rs->children) {
        const struct tl_child *c = entry->value;
        if (!c->started || c->close_policy == PARENT_CLOSE_POLICY_ABANDON) {
            continue;
        }
        struct tl_effect *f = &p->orphans[p->orphan_n++];
        *f = (struct tl_effect){.kind = TL_FX_CLOSE_CHILD};
        f->u.child.namespace_ = tl_arena_str(tx->arena, tl_str(tl_pb_text(c->namespace_)));
        f->u.child.workflow_id = tl_arena_str(tx->arena, tl_str(tl_pb_text(c->workflow_id)));
        f->u.child.first_run_id = tl_arena_str(tx->arena, tl_str(tl_pb_text(c->run_id)));
        f->u.child.terminate = c->close_policy == PARENT_CLOSE_POLICY_TERMINATE;
    }
}

void tl_children_close_effects(struct tl_tx *tx)
{
    struct tl_tx_private *p = tx->p;
    const struct tl_rs *rs = tx->rs;
    struct tl_effect *f = NULL;
    if (p->close_event.n && !tl_has_text(rs->new_run_id)) {
        f = tl_effects_add(&tx->effects, TL_FX_TELL_PARENT);
        if (!f) {
            tl_tx_break(tx, "the effects");
            return;
        }
        f->u.parent.run_id = tl_arena_str(tx->arena, tl_str(tl_pb_text(rs->parent.run_id)));
        f->u.parent.initiated_id = rs->parent.initiated_id;
        f->u.parent.event = p->close_event;
    }
    for (size_t i = 0; i < p->orphan_n; i++) {
        f = tl_effects_add(&tx->effects, TL_FX_CLOSE_CHILD);
        if (!f) {
            tl_tx_break(tx, "the effects");
            return;
        }
        *f = p->orphans[i];
    }
}
