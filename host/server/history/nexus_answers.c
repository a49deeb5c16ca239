/* Nexus operations: requests to handlers, what they answer, how operations end.
 * Thread: the run's owner. Owns: nothing; messages live in the caller's arena. */
#include <stdio.h>
#include <string.h>

#include "proto/failure.h"
#include "proto/nexus.h"
#include "server/history/policy.h"
#include "server/history/operation.h"
#include "server/history/rs.h"

#define RETRY_INITIAL_NS TL_NS_IN_S
#define RETRY_MAX_NS (INT64_C(3600) * TL_NS_IN_S)
/* A handler that gets less than this has no chance: the request is not worth making. */
#define REQUEST_MIN_MS 100

/* --- requests -------------------------------------------------------------------------------- */

/* The attempt that `ref` names; NULL when it is another one by now. */
static struct tl_nexus_try *find_try(const struct tl_rs *rs, const struct tl_nexus_ref *ref,
                                     struct tl_nexus_op **op)
{
    bool is_cancel = false;
    *op = tl_rs_open(rs) ? tl_rs_nexus(rs, ref->scheduled_id) : NULL;
    struct tl_nexus_try *t = *op ? tl_nexus_current(*op, &is_cancel) : NULL;
    bool same =
        t && (ref->request == TL_NEXUS_CANCEL) == is_cancel && ref->attempt == t->attempts + 1;
    return same ? t : NULL;
}

bool tl_rs_nexus_due(const struct tl_rs *rs, int64_t scheduled_id, struct tl_nexus_due *out)
{
    struct tl_nexus_op *op = tl_rs_open(rs) ? tl_rs_nexus(rs, scheduled_id) : NULL;
    bool is_cancel = false;
    const struct tl_nexus_try *t = op ? tl_nexus_current(op, &is_cancel) : NULL;
    if (!t || !t->offered || t->expires_ns) {
        return false;
    }
    *out = (struct tl_nexus_due){
        .ref = {scheduled_id, is_cancel ? TL_NEXUS_CANCEL : TL_NEXUS_START, t->attempts + 1},
        .endpoint = tl_str(tl_or_empty(op->endpoint)),
        .endpoint_id = tl_str(tl_or_empty(op->endpoint_id))};
    return true;
}

void tl_rs_nexus_block(struct tl_rs *rs, const struct tl_nexus_ref *ref, int64_t until_ns)
{
    struct tl_nexus_op *op;
    struct tl_nexus_try *t = find_try(rs, ref, &op);
    if (t) {
        t->offered = false;
        t->blocked_ns = tl_rs_time_ns(rs, until_ns);
        tl_rs_nexus_arm(rs, op);
    }
}

static int64_t remaining_ms(int64_t from_ns, int64_t timeout_ns, int64_t now_ns)
{
    return timeout_ns > 0 ? (tl_ns_add(from_ns, timeout_ns) - now_ns) / TL_NS_IN_MS : INT64_MAX;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* How long the handler has for this request. */
static int64_t request_ms(const struct tl_nexus_op *op, const struct tl_history_limits *limits,
                          int64_t now_ns)
{
    int64_t ms = least(limits->nexus_request_timeout_ms,
                       remaining_ms(op->scheduled_ns, op->schedule_to_close_ns, now_ns));
    return op->started
               ? least(ms, remaining_ms(op->started_ns, op->start_to_close_ns, now_ns))
               : least(ms, remaining_ms(op->scheduled_ns, op->schedule_to_start_ns, now_ns));
}

static bool put_header(struct tl_arena *a, struct tl_pb_list *list, const char *key, char *value)
{
    TpNexus__Request__HeaderEntry *h =
        TL_PB_NEW(a, TpNexus__Request__HeaderEntry, tp_nexus__request__header_entry);
    if (!h || !value) {
        return false;
    }
    h->key = (char *)(uintptr_t)key;
    h->value = value;
    return tl_pb_push(a, list, h);
}

static bool fill_headers(const struct tl_nexus_op *op, int64_t ms, int64_t now_ns,
                         const TpHistory__NexusOperationScheduledEventAttributes *attrs,
                         struct tl_arena *a, TpNexus__Request *r)
{
    struct tl_pb_list list = {0};
    bool has_timeout = false;
    for (size_t i = 0; i < attrs->n_nexus_header; i++) {
        has_timeout = has_timeout || strcmp(attrs->nexus_header[i]->key, "operation-timeout") == 0;
        if (!put_header(a, &list, attrs->nexus_header[i]->key, attrs->nexus_header[i]->value)) {
            return false;
        }
    }
    int64_t rest =
        least(remaining_ms(op->scheduled_ns, op->schedule_to_close_ns, now_ns),
              op->start_to_close_ns > 0 ? op->start_to_close_ns / TL_NS_IN_MS : INT64_MAX);
    if (!op->started && !has_timeout && rest != INT64_MAX &&
        !put_header(a, &list, "operation-timeout", tl_arena_printf(a, "%lldms", (long long)rest))) {
        return false;
    }
    if (!put_header(a, &list, "request-timeout", tl_arena_printf(a, "%lldms", (long long)ms))) {
        return false;
    }
    r->n_header = list.n;
    r->header = list.items;
    return true;
}

static bool fill_start(const struct tl_rs *rs, const struct tl_nexus_op *op,
                       struct tl_str callback_token,
                       const TpHistory__NexusOperationScheduledEventAttributes *attrs,
                       struct tl_arena *a, TpNexus__Request *r)
{
    TpNexus__StartOperationRequest *s =
        TL_PB_NEW(a, TpNexus__StartOperationRequest, tp_nexus__start_operation_request);
    TpNexus__StartOperationRequest__CallbackHeaderEntry *h =
        TL_PB_NEW(a, TpNexus__StartOperationRequest__CallbackHeaderEntry,
                  tp_nexus__start_operation_request__callback_header_entry);
    struct tl_str ns = tl_str(tl_or_empty(rs->namespace_name));
    struct tl_str id = tl_str(tl_or_empty(rs->workflow_id));
    struct tl_str run_id = tl_str(tl_or_empty(rs->run_id));
    TpCommon__Link *link = rs->kind == TL_RUN_OPERATION
                               ? tl_nexus_operation_link(a, ns, id, run_id)
                               : tl_nexus_event_link(a, ns, id, run_id, op->scheduled_id,
                                                     EVENT_TYPE_NEXUS_OPERATION_SCHEDULED);
    TpNexus__Link *url = link ? tl_nexus_link_of(a, link) : NULL;
    struct tl_pb_list headers = {0}, links = {0};
    if (!s || !h || !url || !tl_pb_push(a, &headers, h) || !tl_pb_push(a, &links, url)) {
        return false;
    }
    s->service = attrs->service;
    s->operation = attrs->operation;
    s->request_id = attrs->request_id;
    s->payload = attrs->input;
    s->callback = (char *)(uintptr_t)TL_NEXUS_SYSTEM_CALLBACK;
    h->key = (char *)(uintptr_t)TL_NEXUS_CALLBACK_TOKEN;
    h->value = tl_pb_cstr(a, callback_token);
    s->callback_header = headers.items;
    s->n_callback_header = headers.n;
    s->links = links.items;
    s->n_links = links.n;
    r->variant_case = TP_NEXUS__REQUEST__VARIANT_START_OPERATION;
    r->start_operation = s;
    return h->value != NULL;
}

static bool fill_cancel(const struct tl_nexus_op *op,
                        const TpHistory__NexusOperationScheduledEventAttributes *attrs,
                        struct tl_arena *a, TpNexus__Request *r)
{
    TpNexus__CancelOperationRequest *c =
        TL_PB_NEW(a, TpNexus__CancelOperationRequest, tp_nexus__cancel_operation_request);
    if (!c) {
        return false;
    }
    c->service = attrs->service;
    c->operation = attrs->operation;
    c->operation_token = tl_arena_cstr(a, tl_str(tl_or_empty(op->token)));
    c->operation_id = c->operation_token;
    r->variant_case = TP_NEXUS__REQUEST__VARIANT_CANCEL_OPERATION;
    r->cancel_operation = c;
    return c->operation_token != NULL;
}

tl_rc tl_rs_nexus_deliver(struct tl_rs *rs, const struct tl_history_env *env,
                          const struct tl_nexus_ref *ref, struct tl_str callback_token,
                          int64_t now_ns, struct tl_arena *arena, TpNexus__Request **out,
                          struct tl_error *err)
{
    struct tl_nexus_op *op;
    struct tl_nexus_try *t = find_try(rs, ref, &op);
    now_ns = tl_rs_time_ns(rs, now_ns);
    if (!t || !t->offered || t->expires_ns) {
        return tl_error_set(err, TL_ENOTFOUND, "the Nexus request is not wanted any more");
    }
    int64_t ms = request_ms(op, &env->limits, now_ns);
    if (ms < REQUEST_MIN_MS) { /* its timeout comes in a moment */
        return tl_error_set(err, TL_ENOTFOUND, "no time is left for the Nexus request");
    }
    const TpHistory__HistoryEvent *e =
        tl_blob_decode(&op->event, &tp_history__history_event__descriptor, arena);
    TpNexus__Request *r = TL_PB_NEW(arena, TpNexus__Request, tp_nexus__request);
    TpNexus__Request__Capabilities *caps =
        TL_PB_NEW(arena, TpNexus__Request__Capabilities, tp_nexus__request__capabilities);
    if (!e || !r || !caps) {
        return tl_error_set(err, TL_ELIMIT, "no memory for a Nexus request");
    }
    const TpHistory__NexusOperationScheduledEventAttributes *attrs =
        e->nexus_operation_scheduled_event_attributes;
    caps->temporal_failure_responses = true;
    r->capabilities = caps;
    r->endpoint = attrs->endpoint;
    r->scheduled_time = tl_pb_timestamp(arena, now_ns);
    bool ok = fill_headers(op, ms, now_ns, attrs, arena, r) && r->scheduled_time;
    ok = ok &&
         (ref->request == TL_NEXUS_CANCEL ? fill_cancel(op, attrs, arena, r)
                                          : fill_start(rs, op, callback_token, attrs, arena, r));
    if (!ok) {
        return tl_error_set(err, TL_ELIMIT, "no memory for a Nexus request");
    }
    t->expires_ns = tl_ns_add(now_ns, ms * TL_NS_IN_MS);
    tl_rs_nexus_arm(rs, op);
    *out = r;
    return TL_OK;
}

void tl_rs_nexus_undeliver(struct tl_rs *rs, const struct tl_nexus_ref *ref)
{
    struct tl_nexus_op *op;
    struct tl_nexus_try *t = find_try(rs, ref, &op);
    if (t) {
        t->expires_ns = 0;
        t->offered = false;
        tl_rs_nexus_arm(rs, op);
    }
}

char *tl_rs_nexus_request_id(const struct tl_rs *rs, int64_t scheduled_id, struct tl_arena *arena)
{
    const struct tl_nexus_op *op = tl_rs_nexus(rs, scheduled_id);
    return tl_arena_cstr(arena, tl_str(op ? tl_or_empty(op->request_id) : ""));
}

struct tl_str tl_rs_nexus_endpoint(const struct tl_rs *rs, int64_t scheduled_id)
{
    const struct tl_nexus_op *op = tl_rs_nexus(rs, scheduled_id);
    return tl_str(op ? tl_or_empty(op->endpoint) : "");
}

bool tl_rs_nexus_delivered(const struct tl_rs *rs)
{
    if (rs->nexus_ops) {
        TL_MAP_EACH (e, rs->nexus_ops) {
            const struct tl_nexus_op *op = e->value;
            if (op->start.expires_ns || op->cancel.expires_ns) {
                return true;
            }
        }
    }
    return false;
}

/* --- events ---------------------------------------------------------------------------------- */

void tl_nexus_back_off(struct tl_tx *tx, struct tl_nexus_op *op, struct tl_nexus_try *t,
                       const TpFailure__Failure *failure)
{
    struct tl_failure_cut space;
    t->attempts++;
    t->last_ns = tx->now_ns;
    t->expires_ns = t->blocked_ns = 0;
    t->offered = false;
    struct tl_backoff b =
        tl_retry_backoff(tx->now_ns, t->attempts, 0, RETRY_INITIAL_NS, RETRY_MAX_NS, 2.0, 0, -1);
    t->next_ns = tl_ns_add(tx->now_ns, b.interval_ns);
    if (!tl_set_blob_message(
            &t->failure,
            tl_cut_failure(failure, tx->env->limits.activity_failure_bytes, false, &space))) {
        tl_tx_break(tx, "the failure of a Nexus request");
    }
    tl_rs_nexus_arm(tx->rs, op);
    tl_tx_touch_nexus(tx, op);
}

/* Strings of the operation, which is gone when the event is applied. */
static char *keep(struct tl_tx *tx, const char *s)
{
    char *copy = tl_arena_cstr(tx->arena, tl_str(tl_or_empty(s)));
    if (!copy) {
        tl_tx_break(tx, "a Nexus event");
    }
    return copy;
}

static void add_started(struct tl_tx *tx, const struct tl_nexus_op *op,
                        const struct tl_nexus_answer *answer, int64_t at_ns)
{
    TpHistory__NexusOperationStartedEventAttributes a =
        TP_HISTORY__NEXUS_OPERATION_STARTED_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    tl_ev_init(&ev, at_ns);
    a.scheduled_event_id = op->scheduled_id;
    a.operation_token = keep(tx, answer->token);
    a.operation_id = a.operation_token;
    a.request_id = keep(tx, op->request_id);
    ev.e.links = answer->links;
    ev.e.n_links = answer->n_links;
    TL_EV_SET(&ev, NEXUS_OPERATION_STARTED, nexus_operation_started, &a);
    if (!tx->p->broken) {
        tl_tx_add(tx, &ev);
        tl_operation_add_links(tx, answer->links, answer->n_links);
    }
}

static void add_completed(struct tl_tx *tx, const struct tl_nexus_op *op,
                          const struct tl_nexus_answer *answer, bool with_links)
{
    TpHistory__NexusOperationCompletedEventAttributes a =
        TP_HISTORY__NEXUS_OPERATION_COMPLETED_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    tl_ev_init(&ev, tx->now_ns);
    a.scheduled_event_id = op->scheduled_id;
    a.request_id = keep(tx, op->request_id);
    a.result = answer->result;
    if (with_links) {
        ev.e.links = answer->links;
        ev.e.n_links = answer->n_links;
    }
    TL_EV_SET(&ev, NEXUS_OPERATION_COMPLETED, nexus_operation_completed, &a);
    if (!tx->p->broken) {
        tl_tx_add(tx, &ev);
        tl_operation_add_links(tx, answer->links, with_links ? answer->n_links : 0);
        tl_operation_close(tx, &ev.e);
    }
}

static void add_failed(struct tl_tx *tx, const struct tl_nexus_op *op,
                       const struct tl_nexus_answer *answer)
{
    TpHistory__NexusOperationFailedEventAttributes failed =
        TP_HISTORY__NEXUS_OPERATION_FAILED_EVENT_ATTRIBUTES__INIT;
    TpHistory__NexusOperationCanceledEventAttributes canceled =
        TP_HISTORY__NEXUS_OPERATION_CANCELED_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    tl_ev_init(&ev, tx->now_ns);
    if (answer->outcome == TL_NEXUS_CANCELED) {
        canceled.scheduled_event_id = op->scheduled_id;
        canceled.request_id = keep(tx, op->request_id);
        canceled.failure = tl_nexus_op_failure(tx, op, answer->failure);
        TL_EV_SET(&ev, NEXUS_OPERATION_CANCELED, nexus_operation_canceled, &canceled);
    } else {
        failed.scheduled_event_id = op->scheduled_id;
        failed.request_id = keep(tx, op->request_id);
        failed.failure = tl_nexus_op_failure(tx, op, answer->failure);
        TL_EV_SET(&ev, NEXUS_OPERATION_FAILED, nexus_operation_failed, &failed);
    }
    if (!tx->p->broken) {
        tl_tx_add(tx, &ev);
        tl_operation_close(tx, &ev.e);
    }
}

/* The cancellation's request is over. */
static void add_cancel_over(struct tl_tx *tx, const struct tl_nexus_op *op,
                            const struct tl_nexus_answer *answer)
{
    TpHistory__NexusOperationCancelRequestCompletedEventAttributes done =
        TP_HISTORY__NEXUS_OPERATION_CANCEL_REQUEST_COMPLETED_EVENT_ATTRIBUTES__INIT;
    TpHistory__NexusOperationCancelRequestFailedEventAttributes failed =
        TP_HISTORY__NEXUS_OPERATION_CANCEL_REQUEST_FAILED_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    tl_ev_init(&ev, tx->now_ns);
    if (answer->outcome == TL_NEXUS_PASSED_ON) {
        done.scheduled_event_id = op->scheduled_id;
        done.requested_event_id = op->cancel_requested_id;
        TL_EV_SET(&ev, NEXUS_OPERATION_CANCEL_REQUEST_COMPLETED,
                  nexus_operation_cancel_request_completed, &done);
    } else {
        failed.scheduled_event_id = op->scheduled_id;
        failed.requested_event_id = op->cancel_requested_id;
        failed.failure = answer->failure;
        TL_EV_SET(&ev, NEXUS_OPERATION_CANCEL_REQUEST_FAILED, nexus_operation_cancel_request_failed,
                  &failed);
    }
    ev.e.worker_may_ignore = true;
    tl_tx_add(tx, &ev);
}

static void note_attempt(struct tl_tx *tx, struct tl_nexus_op *op, struct tl_nexus_try *t)
{
    t->attempts++;
    t->last_ns = tx->now_ns;
    t->expires_ns = 0;
    tl_tx_touch_nexus(tx, op);
}

tl_rc tl_tx_nexus_answer(struct tl_tx *tx, const struct tl_nexus_ref *ref,
                         const struct tl_nexus_answer *answer, struct tl_error *err)
{
    struct tl_nexus_op *op;
    struct tl_nexus_try *t = find_try(tx->rs, ref, &op);
    if (!t) {
        return tl_tx_fail(tx, TL_ERR_NOT_FOUND, err, TL_ENOTFOUND,
                          "Nexus task not found or already expired");
    }
    if (answer->outcome == TL_NEXUS_RETRY) {
        tl_nexus_back_off(tx, op, t, answer->failure);
        return tl_tx_result(tx, err);
    }
    note_attempt(tx, op, t);
    if (ref->request == TL_NEXUS_CANCEL) {
        add_cancel_over(tx, op, answer);
    } else if (answer->outcome == TL_NEXUS_STARTED) {
        add_started(tx, op, answer, tx->now_ns);
    } else if (answer->outcome == TL_NEXUS_COMPLETED) {
        add_completed(tx, op, answer, true);
    } else {
        add_failed(tx, op, answer);
    }
    return tl_tx_tell_worker(tx, err);
}

tl_rc tl_tx_nexus_complete(struct tl_tx *tx, int64_t scheduled_id, const char *request_id,
                           const struct tl_nexus_answer *answer, int64_t started_ns,
                           struct tl_error *err)
{
    const struct tl_nexus_op *op = tl_rs_open(tx->rs) ? tl_rs_nexus(tx->rs, scheduled_id) : NULL;
    if (!op || strcmp(tl_or_empty(op->request_id), tl_or_empty(request_id)) != 0) {
        return tl_tx_fail(tx, TL_ERR_NOT_FOUND, err, TL_ENOTFOUND, "operation not found");
    }
    if (!op->started) {
        add_started(tx, op, answer, started_ns);
        tl_tx_touch_nexus(tx, op);
    }
    if (answer->outcome == TL_NEXUS_COMPLETED) {
        add_completed(tx, op, answer, false);
    } else {
        add_failed(tx, op, answer);
    }
    return tl_tx_tell_worker(tx, err);
}

/* --- what workers answer ------------------------------------------------------------------------ */

static tl_rc no_memory(struct tl_error *err)
{
    return tl_error_set(err, TL_ELIMIT, "no memory for the answer of a Nexus handler");
}

static tl_rc read_links(TpNexus__Link *const *in, size_t n, struct tl_arena *arena,
                        struct tl_nexus_answer *out, struct tl_error *err)
{
    struct tl_pb_list list = {0};
    for (size_t i = 0; i < n; i++) {
        TpCommon__Link *l = tl_nexus_link_read(arena, tl_str(in[i]->url), tl_str(in[i]->type));
        if (l && !tl_pb_push(arena, &list, l)) { /* links of other kinds are not kept */
            return no_memory(err);
        }
    }
    out->links = list.items;
    out->n_links = list.n;
    return TL_OK;
}

/* An answer that cannot be used, for good. */
static tl_rc unusable(struct tl_nexus_answer *out, struct tl_arena *arena, const char *message,
                      struct tl_error *err)
{
    struct tl_failure_application o = {
        .message = tl_str(message), .type = TL_STR_LIT("CallError"), .non_retryable = true};
    out->outcome = TL_NEXUS_FAILED;
    out->failure = message ? tl_failure_application(arena, &o) : NULL;
    return out->failure ? TL_OK : no_memory(err);
}

/* An operation that ended in this way. What was canceled says so. */
static tl_rc ended(struct tl_nexus_answer *out, struct tl_arena *arena, TpFailure__Failure *f,
                   bool canceled, struct tl_error *err)
{
    bool says_so = f->failure_info_case == TP_FAILURE__FAILURE__FAILURE_INFO_CANCELED_FAILURE_INFO;
    out->outcome = canceled || says_so ? TL_NEXUS_CANCELED : TL_NEXUS_FAILED;
    if (canceled && !says_so) {
        TpFailure__Failure *c = tl_failure_canceled(arena, tl_str(f->message), NULL);
        if (!c) {
            return no_memory(err);
        }
        c->source = f->source;
        c->stack_trace = f->stack_trace;
        c->cause = f->cause;
        f = c;
    }
    out->failure = f;
    return TL_OK;
}

static tl_rc read_async(const TpNexus__StartOperationResponse__Async *a,
                        const struct tl_history_limits *limits, struct tl_arena *arena,
                        struct tl_nexus_answer *out, struct tl_error *err)
{
    char *token = *a->operation_token ? a->operation_token : a->operation_id;
    size_t n = strlen(token);
    if (!n) {
        return unusable(out, arena, "invalid operation token: it is empty", err);
    }
    if ((int64_t)n > limits->nexus_token_bytes) {
        return unusable(out, arena,
                        tl_arena_printf(arena,
                                        "invalid operation token: length exceeds allowed limit "
                                        "(%zu/%lld)",
                                        n, (long long)limits->nexus_token_bytes),
                        err);
    }
    out->outcome = TL_NEXUS_STARTED;
    out->token = token;
    return read_links(a->links, a->n_links, arena, out, err);
}

static tl_rc read_sync(const TpNexus__StartOperationResponse__Sync *s,
                       const struct tl_history_limits *limits, struct tl_arena *arena,
                       struct tl_nexus_answer *out, struct tl_error *err)
{
    if (tl_message_bytes(s->payload) > limits->blob_bytes) {
        return unusable(out, arena, "the result of the operation exceeds the size limit", err);
    }
    out->outcome = TL_NEXUS_COMPLETED;
    out->result = s->payload;
    return read_links(s->links, s->n_links, arena, out, err);
}

static tl_rc unexpected(struct tl_arena *arena, struct tl_nexus_answer *out, struct tl_error *err)
{
    out->outcome = TL_NEXUS_RETRY;
    out->failure = tl_nexus_handler_failure(
        arena, TL_STR_LIT("INTERNAL"), TL_STR_LIT("empty or unknown dispatch outcome"), 0, NULL);
    return out->failure ? TL_OK : no_memory(err);
}

static tl_rc read_started(const TpNexus__StartOperationResponse *r,
                          const struct tl_history_limits *limits, struct tl_arena *arena,
                          struct tl_nexus_answer *out, struct tl_error *err)
{
    TpFailure__Failure *f = NULL;
    tl_rc rc;
    switch ((int)r->variant_case) {
    case TP_NEXUS__START_OPERATION_RESPONSE__VARIANT_SYNC_SUCCESS:
        return read_sync(r->sync_success, limits, arena, out, err);
    case TP_NEXUS__START_OPERATION_RESPONSE__VARIANT_ASYNC_SUCCESS:
        return read_async(r->async_success, limits, arena, out, err);
    case TP_NEXUS__START_OPERATION_RESPONSE__VARIANT_FAILURE:
        return ended(out, arena, r->failure, false, err);
    case TP_NEXUS__START_OPERATION_RESPONSE__VARIANT_OPERATION_ERROR:
        if (!r->operation_error->failure) {
            return unusable(out, arena, "the operation failed without saying why", err);
        }
        rc = tl_nexus_failure_read(r->operation_error->failure, arena, &f, err);
        return rc == TL_OK
                   ? ended(out, arena, f,
                           strcmp(r->operation_error->operation_state, "canceled") == 0, err)
                   : rc;
    default:
        return unexpected(arena, out, err);
    }
}

tl_rc tl_nexus_read_response(const TpNexus__Response *r, const struct tl_nexus_ref *ref,
                             const struct tl_history_limits *limits, struct tl_arena *arena,
                             struct tl_nexus_answer *out, struct tl_error *err)
{
    *out = (struct tl_nexus_answer){.outcome = TL_NEXUS_RETRY};
    int variant = r ? (int)r->variant_case : 0;
    tl_rc rc;
    if (ref->request == TL_NEXUS_CANCEL &&
        variant == TP_NEXUS__RESPONSE__VARIANT_CANCEL_OPERATION) {
        out->outcome = TL_NEXUS_PASSED_ON;
        return TL_OK;
    }
    if (ref->request == TL_NEXUS_START && variant == TP_NEXUS__RESPONSE__VARIANT_START_OPERATION) {
        rc = read_started(r->start_operation, limits, arena, out, err);
        if (rc == TL_EDECODE) {
            rc = tl_error_set(err, TL_EINVAL, "Malformed failure: %s",
                              err ? tl_arena_printf(arena, "%s", err->message) : "");
        }
        return rc;
    }
    return unexpected(arena, out, err);
}

tl_rc tl_nexus_read_failed(const TpWs__RespondNexusTaskFailedRequest *r, struct tl_arena *arena,
                           struct tl_nexus_answer *out, struct tl_error *err)
{
    TpFailure__Failure *f = r->failure;
    *out = (struct tl_nexus_answer){.outcome = TL_NEXUS_RETRY};
    if (f && f->failure_info_case != TP_FAILURE__FAILURE__FAILURE_INFO_NEXUS_HANDLER_FAILURE_INFO) {
        return tl_error_set(err, TL_EINVAL,
                            "request Failure must contain a failure with NexusHandlerFailureInfo");
    }
    if (!f && !r->error) {
        return tl_error_set(err, TL_EINVAL, "request must contain Error or Failure");
    }
    if (!f) {
        tl_rc rc = tl_nexus_handler_error_read(r->error, arena, &f, err);
        if (rc != TL_OK) {
            return rc == TL_EDECODE ? tl_error_set(err, TL_EINVAL, "Malformed failure: %s",
                                                   tl_arena_printf(arena, "%s", err->message))
                                    : rc;
        }
    }
    out->failure = f;
    if (!tl_nexus_handler_retryable(f->nexus_handler_failure_info->type,
                                    (int)f->nexus_handler_failure_info->retry_behavior)) {
        out->outcome = TL_NEXUS_FAILED;
    }
    return TL_OK;
}

/* --- the end of a run as the end of an operation --------------------------------------------------- */

tl_rc tl_nexus_read_close(const TpHistory__HistoryEvent *e, struct tl_arena *arena,
                          struct tl_nexus_answer *out, struct tl_error *err)
{
    const TpCommon__Payloads *result;
    *out = (struct tl_nexus_answer){.outcome = TL_NEXUS_FAILED};
    switch ((int)e->event_type) {
    case EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
        result = e->workflow_execution_completed_event_attributes->result;
        out->outcome = TL_NEXUS_COMPLETED;
        out->result = result && result->n_payloads ? result->payloads[0] : NULL;
        return TL_OK;
    case EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
        out->failure = e->workflow_execution_failed_event_attributes->failure;
        break;
    case EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED:
        out->outcome = TL_NEXUS_CANCELED;
        out->failure =
            tl_failure_canceled(arena, TL_STR_LIT("operation canceled"),
                                e->workflow_execution_canceled_event_attributes->details);
        break;
    case EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT:
        out->failure =
            tl_failure_timeout(arena, TL_STR_LIT("operation exceeded internal timeout"), 0, NULL);
        break;
    default:
        out->failure =
            tl_failure_terminated(arena, TL_STR_LIT("operation terminated"), (struct tl_str){0});
        break;
    }
    return out->failure ? TL_OK : no_memory(err);
}
