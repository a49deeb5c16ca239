/* Completion callbacks: who is told when a run has ended, with its start or attached to it later. A run that
 * another one follows hands them on; the last of the chain tells.
 * Thread: the run's owner. Owns: see rs.h. */
#include "base/fault.h"
#include "server/history/rs.h"

/* --- state ----------------------------------------------------------------------------------- */

static struct tl_callback *add_callback(struct tl_rs *rs, const char *request_id, int64_t now_ns)
{
    if (rs->callback_n == rs->callback_cap) {
        rs->callback_cap = rs->callback_cap ? rs->callback_cap * 2 : 2;
        rs->callbacks = tl_mem_realloc(rs->callbacks, rs->callback_cap * sizeof(rs->callbacks[0]));
    }
    struct tl_callback *c = &rs->callbacks[rs->callback_n++];
    *c = (struct tl_callback){.registered_ns = now_ns};
    tl_set_str(&c->request_id, request_id);
    return c;
}

tl_rc tl_rs_callbacks_keep(struct tl_rs *rs, TpCommon__Callback *const *callbacks, size_t n,
                           const char *request_id, int64_t now_ns, struct tl_error *err)
{
    for (size_t i = 0; i < n; i++) {
        struct tl_callback *c = add_callback(rs, request_id, now_ns);
        if (!tl_set_blob_message(&c->callback, callbacks[i])) {
            return tl_error_set(err, TL_EDECODE, "a callback of the run cannot be kept");
        }
    }
    if (tl_has_text(request_id)) {
        /* Only presence matters: any address that is not NULL will do. */
        tl_map_put(tl_rs_need_map(&rs->attached_ids), tl_str(request_id), rs);
    }
    return TL_OK;
}

void tl_rs_callbacks_free(struct tl_rs *rs)
{
    for (size_t i = 0; i < rs->callback_n; i++) {
        tl_mem_free(rs->callbacks[i].callback.p);
        tl_mem_free(rs->callbacks[i].request_id);
    }
    tl_mem_free(rs->callbacks);
    rs->callbacks = NULL;
    rs->callback_n = rs->callback_cap = 0;
    if (rs->attached_ids) {
        tl_map_deinit(rs->attached_ids);
        tl_mem_free(rs->attached_ids);
        rs->attached_ids = NULL;
    }
}

bool tl_rs_attached(const struct tl_rs *rs, struct tl_str request_id)
{
    return rs->attached_ids && request_id.n && tl_map_get(rs->attached_ids, request_id);
}

bool tl_rs_callbacks_save(const struct tl_rs *rs, struct tl_arena *arena, TlV1__RunState *out)
{
    struct tl_pb_list list = {0}, ids = {0};
    for (size_t i = 0; i < rs->callback_n && !TL_FAULT(forget_callback); i++) {
        TlV1__CallbackState *s = TL_PB_NEW(arena, TlV1__CallbackState, tl_v1__callback_state);
        if (!s || !tl_pb_push(arena, &list, s)) {
            return false;
        }
        s->callback = tl_pb_bytes_view(tl_blob_str(&rs->callbacks[i].callback));
        s->request_id = tl_pb_text(rs->callbacks[i].request_id);
        s->registered_ns = rs->callbacks[i].registered_ns;
    }
    if (rs->attached_ids) {
        TL_MAP_EACH (e, rs->attached_ids) {
            char *id = tl_pb_cstr(arena, tl_map_key(e));
            if (!id || !tl_pb_push(arena, &ids, id)) {
                return false;
            }
        }
    }
    out->n_callbacks = list.n;
    out->callbacks = list.items;
    out->n_attached_request_ids = ids.n;
    out->attached_request_ids = ids.items;
    return true;
}

tl_rc tl_rs_callbacks_load(struct tl_rs *rs, const TlV1__RunState *s, struct tl_error *err)
{
    (void)err;
    for (size_t i = 0; i < s->n_callbacks; i++) {
        struct tl_callback *c =
            add_callback(rs, s->callbacks[i]->request_id, s->callbacks[i]->registered_ns);
        tl_set_blob(&c->callback, tl_pb_str(s->callbacks[i]->callback));
    }
    for (size_t i = 0; i < s->n_attached_request_ids; i++) {
        tl_map_put(tl_rs_need_map(&rs->attached_ids), tl_str(s->attached_request_ids[i]), rs);
    }
    return TL_OK;
}

bool tl_rs_callbacks_hand_on(const struct tl_rs *rs, struct tl_arena *arena,
                             TpWs__StartWorkflowExecutionRequest *req)
{
    struct tl_pb_list list = {0};
    for (size_t i = 0; i < rs->callback_n; i++) {
        TpCommon__Callback *c =
            tl_blob_decode(&rs->callbacks[i].callback, &tp_common__callback__descriptor, arena);
        if (!c || !tl_pb_push(arena, &list, c)) {
            return false;
        }
    }
    req->n_completion_callbacks = list.n;
    req->completion_callbacks = list.items;
    return true;
}

/* --- attaching --------------------------------------------------------------------------------- */

tl_rc tl_tx_attach(struct tl_tx *tx, const struct tl_attach *attach, struct tl_error *err)
{
    tl_rc rc = tl_tx_need_open(tx, err);
    TpHistory__WorkflowExecutionOptionsUpdatedEventAttributes a =
        TP_HISTORY__WORKFLOW_EXECUTION_OPTIONS_UPDATED_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    if (rc != TL_OK) {
        return rc;
    }
    tl_ev_init(&ev, tx->now_ns);
    if (attach->request_id) {
        a.attached_request_id = (char *)(uintptr_t)attach->request_id;
    }
    a.attached_completion_callbacks = attach->callbacks;
    a.n_attached_completion_callbacks = attach->n_callbacks;
    ev.e.links = attach->links;
    ev.e.n_links = attach->n_links;
    ev.e.worker_may_ignore = true;
    TL_EV_SET(&ev, WORKFLOW_EXECUTION_OPTIONS_UPDATED, workflow_execution_options_updated, &a);
    tl_tx_add(tx, &ev);
    return tl_tx_result(tx, err);
}

/* --- the end ----------------------------------------------------------------------------------- */

void tl_callbacks_closing(struct tl_tx *tx, struct tl_str event)
{
    struct tl_tx_private *p = tx->p;
    const struct tl_rs *rs = tx->rs;
    if (!rs->callback_n) {
        return;
    }
    p->told = TL_ARENA_ARRAY(tx->arena, struct tl_effect, rs->callback_n);
    if (!p->told) {
        tl_tx_break(tx, "the callbacks of a run");
        return;
    }
    for (size_t i = 0; i < rs->callback_n; i++) {
        struct tl_effect *f = &p->told[p->told_n++];
        *f = (struct tl_effect){.kind = TL_FX_CALLBACK};
        f->u.callback.callback = tl_arena_str(tx->arena, tl_blob_str(&rs->callbacks[i].callback));
        f->u.callback.event = event;
    }
}

void tl_callbacks_close_effects(struct tl_tx *tx)
{
    const struct tl_tx_private *p = tx->p;
    if (tl_has_text(tx->rs->new_run_id)) {
        return; /* the run that follows has them */
    }
    for (size_t i = 0; i < p->told_n; i++) {
        struct tl_effect *f = tl_effects_add(&tx->effects, TL_FX_CALLBACK);
        if (!f) {
            tl_tx_break(tx, "the effects");
            return;
        }
        *f = p->told[i];
    }
}

/* --- what is shown ------------------------------------------------------------------------------- */

static TpWorkflow__CallbackInfo *info_of(const struct tl_rs *rs, const struct tl_callback *c,
                                         struct tl_arena *a)
{
    TpWorkflow__CallbackInfo *i =
        TL_PB_NEW(a, TpWorkflow__CallbackInfo, tp_workflow__callback_info);
    TpWorkflow__CallbackInfo__Trigger *t =
        TL_PB_NEW(a, TpWorkflow__CallbackInfo__Trigger, tp_workflow__callback_info__trigger);
    TpWorkflow__CallbackInfo__WorkflowClosed *closed = TL_PB_NEW(
        a, TpWorkflow__CallbackInfo__WorkflowClosed, tp_workflow__callback_info__workflow_closed);
    if (!i || !t || !closed) {
        return NULL;
    }
    t->variant_case = TP_WORKFLOW__CALLBACK_INFO__TRIGGER__VARIANT_WORKFLOW_CLOSED;
    t->workflow_closed = closed;
    i->trigger = t;
    i->callback = tl_blob_decode(&c->callback, &tp_common__callback__descriptor, a);
    i->registration_time = tl_pb_timestamp(a, c->registered_ns);
    i->request_id = tl_arena_cstr(a, tl_str(tl_or_empty(c->request_id)));
    /* Carried out with the commit of the close. */
    bool told = !tl_rs_open(rs) && !tl_has_text(rs->new_run_id);
    i->state = (TpEnums__CallbackState)(told ? CALLBACK_STATE_SUCCEEDED : CALLBACK_STATE_STANDBY);
    i->attempt = told;
    i->last_attempt_complete_time = told ? tl_pb_timestamp(a, rs->close_ns) : NULL;
    return i->callback && i->registration_time && i->request_id ? i : NULL;
}

tl_rc tl_rs_callbacks_describe(const struct tl_rs *rs, struct tl_arena *arena,
                               TpWs__DescribeWorkflowExecutionResponse *out, struct tl_error *err)
{
    struct tl_pb_list list = {0};
    for (size_t i = 0; i < rs->callback_n; i++) {
        TpWorkflow__CallbackInfo *info = info_of(rs, &rs->callbacks[i], arena);
        if (!info || !tl_pb_push(arena, &list, info)) {
            return tl_error_set(err, TL_ELIMIT, "no memory to describe the run");
        }
    }
    out->n_callbacks = list.n;
    out->callbacks = list.items;
    return TL_OK;
}
