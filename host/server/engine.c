/* The engine's round: messages, deadlines, requests that came back from waiting, checkpoint, commit.
 * One round is the same in a thread and in simulation. Thread: engine. */
#include "server/engine.h"

#include "base/assert.h"
#include "base/log.h"
#include "server/api/api.h"
#include "server/batch.h"

#define GRPC_UNAVAILABLE 14

int64_t tl_engine_now(struct tl_server *s)
{
    return tl_world_wall_ns(s->world) + atomic_load_explicit(&s->skipped_ns, memory_order_relaxed);
}

int64_t tl_engine_mono(struct tl_server *s)
{
    return tl_world_mono_ns(s->world);
}

void tl_due_set(struct tl_heap *h, struct tl_due *d, int64_t at_ns)
{
    tl_heap_remove(h, &d->node);
    tl_heap_insert(h, &d->node, at_ns);
}

/* --- requests -------------------------------------------------------------------------------------- */

/* The namespace a request names, for the methods whose message has one. Answers when it is unknown. */
static bool find_namespace(struct tl_call *c, const struct tl_api_row *row,
                           const ProtobufCMessage *msg)
{
    if (row->namespace_offset == 0) {
        return true;
    }
    const char *name = *(char *const *)(const void *)((const char *)msg + row->namespace_offset);
    c->ns = tl_namespace_find(c->s, tl_str(name));
    if (c->ns) {
        return true;
    }
    if (!*name) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "Namespace is empty.");
        return false;
    }
    TpErrdetails__NamespaceNotFoundFailure d = TP_ERRDETAILS__NAMESPACE_NOT_FOUND_FAILURE__INIT;
    d.namespace_ = (char *)(uintptr_t)name;
    char *text = tl_arena_printf(c->arena, "Namespace %s is not found.", name);
    tl_call_error(c, c->s->namespaces_deleted_seq, tl_rc_grpc_status(TL_ENOTFOUND), text, &d);
    return false;
}

static void carry_out(struct tl_call *c)
{
    struct tl_server *s = c->s;
    const struct tl_api_row *row = tl_api_row(c->rpc->method);
    struct tl_error err;
    void *msg = NULL;
    if (!row->handle && row->refusal == TL_EPERMISSION) {
        TpErrdetails__PermissionDeniedFailure d = TP_ERRDETAILS__PERMISSION_DENIED_FAILURE__INIT;
        tl_call_error(c, 0, tl_rc_grpc_status(row->refusal), row->refusal_text, &d);
        return;
    }
    if (!row->handle && row->refusal != TL_OK) {
        tl_call_errorf(c, tl_rc_grpc_status(row->refusal), "%s", row->refusal_text);
        return;
    }
    if (!row->handle) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EUNIMPLEMENTED),
                       "method %s is not supported by this server",
                       tl_method_info(c->rpc->method)->name);
        return;
    }
    if (s->lost.count || (s->stopping && !c->parked)) {
        tl_call_errorf(c, GRPC_UNAVAILABLE, "%s",
                       s->stopping ? "the server is shutting down"
                                   : "the server cannot read its database");
        return;
    }
    if (tl_pb_decode(tl_method_info(c->rpc->method)->input, c->rpc->body, c->arena, &msg, &err) !=
        TL_OK) {
        tl_call_errorf(c, tl_rc_grpc_status(err.code), "%s", err.message);
        return;
    }
    c->req = msg;
    if (find_namespace(c, row, msg)) {
        row->handle(c);
    }
}

void tl_engine_handle(struct tl_server *s, struct tl_rpc_request *rpc, struct tl_parked *parked)
{
    struct tl_call c = {.s = s, .rpc = rpc, .arena = &s->arena, .parked = parked};
    tl_arena_reset(&s->arena);
    carry_out(&c);
    if (c.parked) { /* answered, not parked again */
        tl_parked_free(s, c.parked);
    }
}

static void request_cancelled(struct tl_server *s, struct tl_msg *m)
{
    struct tl_rpc_request *rpc = TL_CONTAINER(m, struct tl_rpc_request, cancel_msg);
    if (rpc->slot) {
        tl_parked_cancelled(s, rpc->slot);
    }
    tl_rpc_request_release(rpc);
}

static void take_message(struct tl_server *s, struct tl_msg *m)
{
    switch ((enum tl_engine_msg)m->kind) {
    case TL_MSG_REQUEST:
        tl_engine_handle(s, TL_CONTAINER(m, struct tl_rpc_request, msg), NULL);
        return;
    case TL_MSG_CANCEL:
        request_cancelled(s, m);
        return;
    case TL_MSG_COMMITTED:
        tl_commit_done(s, TL_CONTAINER(m, struct tl_commit, msg));
        return;
    case TL_MSG_KNOWN_IDS:
        tl_known_arrived(s, m);
        return;
    case TL_MSG_BATCH_PAGE:
        tl_batch_page_arrived(s, m);
        return;
    case TL_MSG_WAKE:
        atomic_store(&s->wake_queued, false);
        return;
    }
    TL_UNREACHABLE();
}

static void wake_waiting(struct tl_server *s)
{
    tl_cross_run(s);
    while (!tl_list_empty(&s->woken)) {
        struct tl_parked *p = TL_CONTAINER(tl_list_pop(&s->woken), struct tl_parked, link);
        tl_engine_handle(s, p->rpc, p);
        tl_cross_run(s);
    }
    tl_commit_undo(s);
}

void tl_engine_wake(struct tl_server *s)
{
    if (!atomic_exchange(&s->wake_queued, true) && !tl_inbox_send_always(&s->inbox, &s->wake_msg)) {
        atomic_store(&s->wake_queued, false);
    }
}

/* --- the round -------------------------------------------------------------------------------------- */

/* What is set again while others fire waits for the next round, due or not: no loop without end. */
static void fire(struct tl_server *s, struct tl_heap *h, int64_t now_ns)
{
    struct tl_heap_node *n;
    uint64_t first_new = h->seq;
    while ((n = tl_heap_peek(h)) && n->deadline_ns <= now_ns && n->seq < first_new) {
        struct tl_due *d = TL_CONTAINER(n, struct tl_due, node);
        tl_heap_remove(h, n);
        d->fire(s, d);
        wake_waiting(s);
    }
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t tl_engine_round(struct tl_server *s, struct tl_msg *messages)
{
    int64_t recheck = INT64_MAX;
    s->round_mono_ns = tl_engine_mono(s);
    for (struct tl_msg *next; messages; messages = next) {
        next = messages->next;
        take_message(s, messages);
        wake_waiting(s);
    }
    if (s->lost.count && tl_engine_mono(s) >= s->lost_retry_ns) {
        tl_recover_lost(s);
    }
    int64_t batches_at = tl_batches_due(s);
    do {
        fire(s, &s->timers, tl_engine_now(s));
        fire(s, &s->waits, tl_engine_mono(s));
        wake_waiting(s);
    } while (tl_clock_skip(s, &recheck));
    int64_t at =
        least(least(tl_checkpoint_due(s), recheck), least(tl_run_cool(s), tl_retention_due(s)));
    at = least(at, batches_at);
    tl_commit_submit(s);
    tl_server_metrics_round(s);
    at = s->lost.count ? least(at, s->lost_retry_ns) : at;
    at = tl_list_empty(&s->cross) ? at : tl_engine_mono(s); /* of runs that were read again */
    struct tl_heap_node *n = tl_heap_peek(&s->waits);
    if (n && n->deadline_ns < at) {
        at = n->deadline_ns;
    }
    n = tl_heap_peek(&s->timers);
    if (n) {
        int64_t left = n->deadline_ns - tl_engine_now(s);
        int64_t mono = tl_engine_mono(s) + (left > 0 ? left : 0);
        at = mono < at ? mono : at;
    }
    return at;
}

/* Parked requests of one heap. Answering one may take others out: begin again after each. */
static void answer_parked(struct tl_server *s, struct tl_heap *h)
{
    for (size_t at = h->count; at-- > 0;) {
        struct tl_due *d = TL_CONTAINER(h->nodes[at], struct tl_due, node);
        if (!tl_parked_is(d)) {
            continue;
        }
        struct tl_parked *p = TL_CONTAINER(d, struct tl_parked, due);
        if (p->kind == TL_PARKED_POLL) {
            tl_poll_answer_empty(s, p);
        } else {
            tl_parked_refuse(s, p, GRPC_UNAVAILABLE, "the server is shutting down");
        }
        at = h->count;
    }
}

void tl_engine_stop(struct tl_server *s)
{
    s->stopping = true;
    TL_MAP_EACH (e, &s->queries) {
        tl_parked_refuse(s, e->value, GRPC_UNAVAILABLE, "the server is shutting down");
    }
    answer_parked(s, &s->waits);
    answer_parked(s, &s->timers);
    if (!s->abandoned) {
        tl_checkpoint_flush(s, SIZE_MAX);
    }
}
