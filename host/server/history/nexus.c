/* Nexus operations that have not ended: what a run remembers of them, when something is to be done, and
 * what describe and checkpoints show. What handlers answer is in nexus_answers.c.
 * An operation makes at most one request at a time to its handler: the start until it has started, then the
 * cancellation, when there is one. A request is made when it is due (so also after recovery), handed to the
 * engine as an effect, and stays in memory only until its attempt is over: a crash makes it again.
 * Thread: the run's owner. Owns: see rs.h. */
#include <stdio.h>

#include "server/history/operation.h"
#include "server/history/rs.h"

/* --- state ----------------------------------------------------------------------------------- */

struct tl_nexus_op *tl_rs_nexus(const struct tl_rs *rs, int64_t scheduled_id)
{
    return rs->nexus_ops ? tl_map_get_num(rs->nexus_ops, (uint64_t)scheduled_id) : NULL;
}

static void remove_op(struct tl_rs *rs, int64_t scheduled_id)
{
    struct tl_nexus_op *op =
        rs->nexus_ops ? tl_map_del_num(rs->nexus_ops, (uint64_t)scheduled_id) : NULL;
    if (!op) {
        return;
    }
    tl_heap_remove(&rs->heap, &op->due.node);
    char *owned[] = {op->endpoint,  op->endpoint_id,     op->service,
                     op->operation, op->request_id,      op->token,
                     op->event.p,   op->start.failure.p, op->cancel.failure.p};
    for (size_t i = 0; i < sizeof(owned) / sizeof(owned[0]); i++) {
        tl_mem_free(owned[i]);
    }
    tl_mem_free(op);
    if (rs->nexus_ops->count == 0) {
        tl_map_deinit(rs->nexus_ops);
        tl_mem_free(rs->nexus_ops);
        rs->nexus_ops = NULL;
    }
}

void tl_rs_nexus_free(struct tl_rs *rs)
{
    while (rs->nexus_ops) {
        remove_op(rs, (int64_t)tl_map_first(rs->nexus_ops)->num);
    }
}

size_t tl_rs_nexus_bytes(const struct tl_rs *rs)
{
    size_t n = rs->callback_cap * sizeof(rs->callbacks[0]);
    if (rs->nexus_ops) {
        TL_MAP_EACH (e, rs->nexus_ops) {
            const struct tl_nexus_op *op = e->value;
            n += sizeof(*op) + 300 + op->event.n + op->start.failure.n + op->cancel.failure.n;
        }
    }
    for (size_t i = 0; i < rs->callback_n; i++) {
        n += rs->callbacks[i].callback.n;
    }
    return n;
}

/* --- what is due ----------------------------------------------------------------------------- */

struct tl_nexus_try *tl_nexus_current(struct tl_nexus_op *op, bool *is_cancel)
{
    *is_cancel = op->started;
    if (!op->started) {
        return &op->start;
    }
    bool wanted = op->cancel_requested_id && op->cancel.next_ns > 0;
    return wanted ? &op->cancel : NULL;
}

/* The first of its timeouts; *type is 0 when it has none. */
static int64_t timeout_ns(const struct tl_nexus_op *op, int *type)
{
    int64_t at = TL_NS_NEVER;
    *type = 0;
    if (op->schedule_to_close_ns > 0) {
        at = tl_ns_add(op->scheduled_ns, op->schedule_to_close_ns);
        *type = TIMEOUT_TYPE_SCHEDULE_TO_CLOSE;
    }
    if (!op->started && op->schedule_to_start_ns > 0 &&
        tl_ns_add(op->scheduled_ns, op->schedule_to_start_ns) < at) {
        at = tl_ns_add(op->scheduled_ns, op->schedule_to_start_ns);
        *type = TIMEOUT_TYPE_SCHEDULE_TO_START;
    }
    if (op->started && op->start_to_close_ns > 0 &&
        tl_ns_add(op->started_ns, op->start_to_close_ns) < at) {
        at = tl_ns_add(op->started_ns, op->start_to_close_ns);
        *type = TIMEOUT_TYPE_START_TO_CLOSE;
    }
    return at;
}

void tl_rs_nexus_arm(struct tl_rs *rs, struct tl_nexus_op *op)
{
    int type;
    bool is_cancel;
    int64_t at = timeout_ns(op, &type);
    const struct tl_nexus_try *t = tl_nexus_current(op, &is_cancel);
    int64_t next = !t              ? TL_NS_NEVER
                   : t->expires_ns ? t->expires_ns
                   : t->blocked_ns ? t->blocked_ns
                                   : t->next_ns;
    if (t && (t->expires_ns || !t->offered) && next < at) {
        at = next;
    }
    tl_heap_remove(&rs->heap, &op->due.node);
    if (at != TL_NS_NEVER && tl_rs_open(rs)) { /* an execution's operation outlives its end */
        tl_heap_insert(&rs->heap, &op->due.node, at);
    }
}

TpFailure__Failure *tl_nexus_op_failure(struct tl_tx *tx, const struct tl_nexus_op *op,
                                        TpFailure__Failure *cause)
{
    TpFailure__Failure *f = TL_PB_NEW(tx->arena, TpFailure__Failure, tp_failure__failure);
    TpFailure__NexusOperationFailureInfo *info = TL_PB_NEW(
        tx->arena, TpFailure__NexusOperationFailureInfo, tp_failure__nexus_operation_failure_info);
    if (!f || !info) {
        tl_tx_break(tx, "the failure of a Nexus operation");
        return NULL;
    }
    info->scheduled_event_id = op->scheduled_id;
    info->endpoint = tl_arena_cstr(tx->arena, tl_str(tl_pb_text(op->endpoint)));
    info->service = tl_arena_cstr(tx->arena, tl_str(tl_pb_text(op->service)));
    info->operation = tl_arena_cstr(tx->arena, tl_str(tl_pb_text(op->operation)));
    info->operation_token = tl_arena_cstr(tx->arena, tl_str(tl_pb_text(op->token)));
    info->operation_id = info->operation_token;
    f->message = (char *)(uintptr_t) "nexus operation completed unsuccessfully";
    f->failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_NEXUS_OPERATION_EXECUTION_FAILURE_INFO;
    f->nexus_operation_execution_failure_info = info;
    f->cause = cause;
    if (!info->endpoint || !info->service || !info->operation || !info->operation_token) {
        tl_tx_break(tx, "the failure of a Nexus operation");
        return NULL;
    }
    return f;
}

static void time_out(struct tl_tx *tx, const struct tl_nexus_op *op, int type)
{
    TpFailure__Failure cause = TP_FAILURE__FAILURE__INIT;
    TpFailure__TimeoutFailureInfo info = TP_FAILURE__TIMEOUT_FAILURE_INFO__INIT;
    TpHistory__NexusOperationTimedOutEventAttributes a =
        TP_HISTORY__NEXUS_OPERATION_TIMED_OUT_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    cause.message = (char *)(uintptr_t) "operation timed out";
    cause.failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_TIMEOUT_FAILURE_INFO;
    cause.timeout_failure_info = &info;
    info.timeout_type = (TpEnums__TimeoutType)type;
    a.scheduled_event_id = op->scheduled_id;
    a.request_id = tl_arena_cstr(tx->arena, tl_str(tl_pb_text(op->request_id)));
    a.failure = tl_nexus_op_failure(tx, op, &cause);
    if (!a.failure || !a.request_id) {
        return;
    }
    tl_ev_init(&ev, tx->now_ns);
    TL_EV_SET(&ev, NEXUS_OPERATION_TIMED_OUT, nexus_operation_timed_out, &a);
    tl_tx_add(tx, &ev);
    tl_operation_close(tx, &ev.e);
    tl_wft_schedule(tx, 0);
}

static void attempt_expired(struct tl_tx *tx, struct tl_nexus_op *op, struct tl_nexus_try *t)
{
    TpFailure__Failure f = TP_FAILURE__FAILURE__INIT;
    TpFailure__ApplicationFailureInfo info = TP_FAILURE__APPLICATION_FAILURE_INFO__INIT;
    f.message = (char *)(uintptr_t) "request timed out";
    f.failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_APPLICATION_FAILURE_INFO;
    f.application_failure_info = &info;
    info.type = (char *)(uintptr_t) "CallError";
    tl_nexus_back_off(tx, op, t, &f);
}

void tl_nexus_fire(struct tl_tx *tx, struct tl_nexus_op *op)
{
    int type;
    bool is_cancel;
    if (timeout_ns(op, &type) <= tx->now_ns) {
        time_out(tx, op, type);
        return;
    }
    struct tl_nexus_try *t = tl_nexus_current(op, &is_cancel);
    if (t && t->expires_ns) {
        attempt_expired(tx, op, t);
        return;
    }
    if (t) {
        struct tl_effect *f = tl_effects_add(&tx->effects, TL_FX_DISPATCH_NEXUS);
        if (!f) {
            tl_tx_break(tx, "the effects");
        } else {
            f->u.initiated_id = op->scheduled_id;
        }
        t->offered = true;
        t->blocked_ns = 0;
        tx->touched = true;
    }
    tl_rs_nexus_arm(tx->rs, op);
}

/* --- events ---------------------------------------------------------------------------------- */

static int64_t event_ns(const TpHistory__HistoryEvent *e)
{
    return tl_pb_timestamp_ns_or(e->event_time, 0);
}

static struct tl_nexus_op *add_op(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                                  struct tl_str bytes)
{
    const TpHistory__NexusOperationScheduledEventAttributes *a =
        e->nexus_operation_scheduled_event_attributes;
    struct tl_nexus_op *op = TL_NEW(struct tl_nexus_op);
    op->due.kind = TL_DUE_NEXUS;
    op->scheduled_id = e->event_id;
    op->scheduled_ns = op->start.next_ns = event_ns(e);
    op->schedule_to_close_ns = tl_pb_duration_ns_or(a->schedule_to_close_timeout, 0);
    op->schedule_to_start_ns = tl_pb_duration_ns_or(a->schedule_to_start_timeout, 0);
    op->start_to_close_ns = tl_pb_duration_ns_or(a->start_to_close_timeout, 0);
    tl_set_str(&op->endpoint, a->endpoint);
    tl_set_str(&op->endpoint_id, a->endpoint_id);
    tl_set_str(&op->service, a->service);
    tl_set_str(&op->operation, a->operation);
    tl_set_str(&op->request_id, a->request_id);
    tl_set_blob(&op->event, bytes);
    tl_map_put_num(tl_rs_need_map(&rs->nexus_ops), (uint64_t)e->event_id, op);
    tl_rs_nexus_arm(rs, op);
    return op;
}

tl_rc tl_apply_nexus_scheduled(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                               struct tl_arena *scratch, struct tl_error *err)
{
    struct tl_str bytes;
    tl_rc rc = tl_pb_encode_arena(e, scratch, &bytes, err);
    if (rc == TL_OK) {
        remove_op(rs, e->event_id);
        add_op(rs, e, bytes);
    }
    return rc;
}

tl_rc tl_apply_nexus_started(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                             struct tl_arena *scratch, struct tl_error *err)
{
    const TpHistory__NexusOperationStartedEventAttributes *a =
        e->nexus_operation_started_event_attributes;
    struct tl_nexus_op *op = tl_rs_nexus(rs, a->scheduled_event_id);
    (void)scratch, (void)err;
    if (op) {
        op->started = true;
        op->started_ns = event_ns(e);
        op->start.next_ns = op->start.expires_ns = 0;
        tl_set_blob(&op->start.failure, (struct tl_str){NULL, 0});
        tl_set_str(&op->token,
                   tl_has_text(a->operation_token) ? a->operation_token : a->operation_id);
        tl_rs_nexus_arm(rs, op);
    }
    return TL_OK;
}

int64_t tl_nexus_ended_id(const TpHistory__HistoryEvent *e)
{
    switch ((int)e->event_type) {
    case EVENT_TYPE_NEXUS_OPERATION_COMPLETED:
        return e->nexus_operation_completed_event_attributes->scheduled_event_id;
    case EVENT_TYPE_NEXUS_OPERATION_FAILED:
        return e->nexus_operation_failed_event_attributes->scheduled_event_id;
    case EVENT_TYPE_NEXUS_OPERATION_CANCELED:
        return e->nexus_operation_canceled_event_attributes->scheduled_event_id;
    case EVENT_TYPE_NEXUS_OPERATION_TIMED_OUT:
        return e->nexus_operation_timed_out_event_attributes->scheduled_event_id;
    default:
        return 0;
    }
}

tl_rc tl_apply_nexus_over(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                          struct tl_arena *scratch, struct tl_error *err)
{
    if (rs->kind == TL_RUN_OPERATION) {
        return tl_rs_operation_over(rs, e, scratch)
                   ? TL_OK
                   : tl_error_set(err, TL_EDECODE, "event %lld cannot be kept",
                                  (long long)e->event_id);
    }
    remove_op(rs, tl_nexus_ended_id(e));
    return TL_OK;
}

tl_rc tl_apply_nexus_cancel_requested(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                                      struct tl_arena *scratch, struct tl_error *err)
{
    struct tl_nexus_op *op =
        tl_rs_nexus(rs, e->nexus_operation_cancel_requested_event_attributes->scheduled_event_id);
    (void)scratch, (void)err;
    if (op) { /* it may have ended: its close event is still in the buffer */
        op->cancel_requested_id = e->event_id;
        op->cancel_requested_ns = op->cancel.next_ns = event_ns(e);
        op->cancel_state = NEXUS_OPERATION_CANCELLATION_STATE_SCHEDULED;
        tl_rs_nexus_arm(rs, op);
    }
    return TL_OK;
}

tl_rc tl_apply_nexus_cancel_over(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                                 struct tl_arena *scratch, struct tl_error *err)
{
    bool done = (int)e->event_type == EVENT_TYPE_NEXUS_OPERATION_CANCEL_REQUEST_COMPLETED;
    int64_t id =
        done ? e->nexus_operation_cancel_request_completed_event_attributes->scheduled_event_id
             : e->nexus_operation_cancel_request_failed_event_attributes->scheduled_event_id;
    struct tl_nexus_op *op = tl_rs_nexus(rs, id);
    (void)scratch;
    if (!op) {
        return TL_OK;
    }
    op->cancel.next_ns = op->cancel.expires_ns = 0;
    op->cancel_state = done ? NEXUS_OPERATION_CANCELLATION_STATE_SUCCEEDED
                            : NEXUS_OPERATION_CANCELLATION_STATE_FAILED;
    const TpFailure__Failure *f =
        done ? NULL : e->nexus_operation_cancel_request_failed_event_attributes->failure;
    if (!tl_set_blob_message(&op->cancel.failure, f)) {
        return tl_error_set(err, TL_EDECODE, "event %lld cannot be kept", (long long)e->event_id);
    }
    tl_rs_nexus_arm(rs, op);
    return TL_OK;
}

/* --- records and checkpoints ------------------------------------------------------------------ */

static TlV1__NexusRequestState *save_try(const struct tl_nexus_try *t, struct tl_arena *arena)
{
    TlV1__NexusRequestState *out =
        TL_PB_NEW(arena, TlV1__NexusRequestState, tl_v1__nexus_request_state);
    if (out) {
        out->attempts = t->attempts;
        out->next_attempt_ns = t->next_ns;
        out->last_attempt_ns = t->last_ns;
        out->last_failure = tl_pb_bytes_view(tl_blob_str(&t->failure));
    }
    return out;
}

static void load_try(struct tl_nexus_try *t, const TlV1__NexusRequestState *in)
{
    if (!in) {
        return;
    }
    t->attempts = in->attempts;
    t->next_ns = in->next_attempt_ns;
    t->last_ns = in->last_attempt_ns;
    t->offered = false;
    t->expires_ns = t->blocked_ns = 0;
    tl_set_blob(&t->failure, tl_pb_str(in->last_failure));
}

void tl_delta_from_nexus(const struct tl_nexus_op *op, struct tl_arena *arena,
                         TlV1__NexusOperationState *out)
{
    *out = (TlV1__NexusOperationState)TL_V1__NEXUS_OPERATION_STATE__INIT;
    out->scheduled_event_id = op->scheduled_id;
    out->started = op->started;
    out->started_ns = op->started_ns;
    out->operation_token = tl_pb_text(op->token);
    out->start = save_try(&op->start, arena);
    out->cancel_requested_event_id = op->cancel_requested_id;
    out->cancel_requested_ns = op->cancel_requested_ns;
    out->cancel_state = op->cancel_state;
    out->cancel = save_try(&op->cancel, arena);
}

tl_rc tl_rs_nexus_apply(struct tl_rs *rs, const TlV1__NexusOperationState *in, struct tl_error *err)
{
    struct tl_nexus_op *op = tl_rs_nexus(rs, in->scheduled_event_id);
    if (!op) {
        return tl_error_set(err, TL_EDATALOSS, "the log speaks of an unknown Nexus operation %lld",
                            (long long)in->scheduled_event_id);
    }
    op->started = in->started;
    op->started_ns = in->started_ns;
    op->cancel_requested_id = in->cancel_requested_event_id;
    op->cancel_requested_ns = in->cancel_requested_ns;
    op->cancel_state = in->cancel_state;
    tl_set_str(&op->token, in->operation_token);
    load_try(&op->start, in->start);
    load_try(&op->cancel, in->cancel);
    tl_rs_nexus_arm(rs, op);
    return TL_OK;
}

bool tl_rs_nexus_save(const struct tl_rs *rs, struct tl_arena *arena, TlV1__RunState *out)
{
    struct tl_pb_list list = {0};
    if (!rs->nexus_ops) {
        return true;
    }
    TL_MAP_EACH (e, rs->nexus_ops) {
        const struct tl_nexus_op *op = e->value;
        TlV1__NexusOperationState *state = TL_ARENA_NEW(arena, TlV1__NexusOperationState);
        if (!state || !tl_pb_push(arena, &list, state)) {
            return false;
        }
        tl_delta_from_nexus(op, arena, state);
        state->scheduled_event = tl_pb_bytes_view(tl_blob_str(&op->event));
        if (!state->start || !state->cancel) {
            return false;
        }
    }
    out->n_nexus_operations = list.n;
    out->nexus_operations = list.items;
    return true;
}

tl_rc tl_rs_nexus_load(struct tl_rs *rs, const TlV1__RunState *s, struct tl_arena *scratch,
                       struct tl_error *err)
{
    tl_rc rc = TL_OK;
    for (size_t i = 0; i < s->n_nexus_operations && rc == TL_OK; i++) {
        const TlV1__NexusOperationState *in = s->nexus_operations[i];
        TpHistory__HistoryEvent *e = NULL;
        struct tl_str bytes = tl_pb_str(in->scheduled_event);
        rc = tl_pb_decode(&tp_history__history_event__descriptor, bytes, scratch, &e, err);
        if (rc == TL_OK &&
            ((int)e->event_type != EVENT_TYPE_NEXUS_OPERATION_SCHEDULED ||
             e->attributes_case !=
                 TP_HISTORY__HISTORY_EVENT__ATTRIBUTES_NEXUS_OPERATION_SCHEDULED_EVENT_ATTRIBUTES ||
             e->event_id != in->scheduled_event_id || tl_rs_nexus(rs, e->event_id))) {
            rc = tl_error_set(err, TL_EDECODE, "a Nexus operation of the run is damaged");
        }
        if (rc == TL_OK) {
            add_op(rs, e, bytes);
            rc = tl_rs_nexus_apply(rs, in, err);
        }
    }
    return rc;
}

/* --- what is shown ------------------------------------------------------------------------------ */

#define BLOCKED "The circuit breaker is open."

static int state_of(const struct tl_nexus_op *op, int64_t now_ns)
{
    if (op->started) {
        return PENDING_NEXUS_OPERATION_STATE_STARTED;
    }
    if (op->start.blocked_ns) {
        return PENDING_NEXUS_OPERATION_STATE_BLOCKED;
    }
    return op->start.attempts && !op->start.offered && op->start.next_ns > now_ns
               ? PENDING_NEXUS_OPERATION_STATE_BACKING_OFF
               : PENDING_NEXUS_OPERATION_STATE_SCHEDULED;
}

static int cancel_state_of(const struct tl_nexus_op *op, int64_t now_ns)
{
    if (op->cancel_state != NEXUS_OPERATION_CANCELLATION_STATE_SCHEDULED) {
        return op->cancel_state;
    }
    if (op->cancel.blocked_ns) {
        return NEXUS_OPERATION_CANCELLATION_STATE_BLOCKED;
    }
    return op->cancel.attempts && !op->cancel.offered && op->cancel.next_ns > now_ns
               ? NEXUS_OPERATION_CANCELLATION_STATE_BACKING_OFF
               : NEXUS_OPERATION_CANCELLATION_STATE_SCHEDULED;
}

static Google__Protobuf__Timestamp *time_of(struct tl_arena *a, int64_t ns)
{
    return ns ? tl_pb_timestamp(a, ns) : NULL;
}

static Google__Protobuf__Duration *span_of(struct tl_arena *a, int64_t ns)
{
    return ns ? tl_pb_duration_ns(a, ns) : NULL;
}

static char *keep(struct tl_arena *a, const char *s)
{
    return tl_arena_cstr(a, tl_str(tl_pb_text(s)));
}

static TpWorkflow__NexusOperationCancellationInfo *
cancellation_of(const struct tl_nexus_op *op, int64_t now_ns, struct tl_arena *a)
{
    TpWorkflow__NexusOperationCancellationInfo *p =
        TL_PB_NEW(a, TpWorkflow__NexusOperationCancellationInfo,
                  tp_workflow__nexus_operation_cancellation_info);
    if (p) {
        p->requested_time = time_of(a, op->cancel_requested_ns);
        p->state = (TpEnums__NexusOperationCancellationState)cancel_state_of(op, now_ns);
        p->attempt = op->cancel.attempts;
        p->last_attempt_complete_time = time_of(a, op->cancel.last_ns);
        p->last_attempt_failure =
            tl_blob_decode(&op->cancel.failure, &tp_failure__failure__descriptor, a);
        if (p->state == (int)NEXUS_OPERATION_CANCELLATION_STATE_BACKING_OFF) {
            p->next_attempt_schedule_time = time_of(a, op->cancel.next_ns);
        }
        p->blocked_reason = keep(a, op->cancel.blocked_ns ? BLOCKED : "");
    }
    return p;
}

TpWorkflow__PendingNexusOperationInfo *tl_nexus_pending(const struct tl_nexus_op *op,
                                                        int64_t now_ns, struct tl_arena *a)
{
    TpWorkflow__PendingNexusOperationInfo *p = TL_PB_NEW(a, TpWorkflow__PendingNexusOperationInfo,
                                                         tp_workflow__pending_nexus_operation_info);
    if (!p) {
        return NULL;
    }
    p->endpoint = keep(a, op->endpoint);
    p->service = keep(a, op->service);
    p->operation = keep(a, op->operation);
    p->operation_token = keep(a, op->token);
    p->operation_id = p->operation_token;
    p->schedule_to_close_timeout = span_of(a, op->schedule_to_close_ns);
    p->schedule_to_start_timeout = span_of(a, op->schedule_to_start_ns);
    p->start_to_close_timeout = span_of(a, op->start_to_close_ns);
    p->scheduled_time = time_of(a, op->scheduled_ns);
    p->state = (TpEnums__PendingNexusOperationState)state_of(op, now_ns);
    p->attempt = op->start.attempts;
    p->last_attempt_complete_time = time_of(a, op->start.last_ns);
    p->last_attempt_failure =
        tl_blob_decode(&op->start.failure, &tp_failure__failure__descriptor, a);
    if (p->state == (int)PENDING_NEXUS_OPERATION_STATE_BACKING_OFF) {
        p->next_attempt_schedule_time = time_of(a, op->start.next_ns);
    }
    p->scheduled_event_id = op->scheduled_id;
    p->blocked_reason = keep(a, op->start.blocked_ns ? BLOCKED : "");
    if (op->cancel_requested_id && !(p->cancellation_info = cancellation_of(op, now_ns, a))) {
        return NULL;
    }
    return p->endpoint && p->service && p->operation && p->operation_token && p->blocked_reason
               ? p
               : NULL;
}

tl_rc tl_rs_nexus_describe(const struct tl_rs *rs, int64_t now_ns, struct tl_arena *arena,
                           TpWs__DescribeWorkflowExecutionResponse *out, struct tl_error *err)
{
    struct tl_pb_list list = {0};
    if (!rs->nexus_ops) {
        return TL_OK;
    }
    TL_MAP_EACH (e, rs->nexus_ops) {
        TpWorkflow__PendingNexusOperationInfo *p = tl_nexus_pending(e->value, now_ns, arena);
        if (!p || !tl_pb_push(arena, &list, p)) {
            return tl_error_set(err, TL_ELIMIT, "no memory to describe the run");
        }
    }
    out->n_pending_nexus_operations = list.n;
    out->pending_nexus_operations = list.items;
    return TL_OK;
}
