/* One call at the server: wait for a peer, receive the message, hand it to the service, send the
 * reply. Cancellation is seen by an operation of its own, started at once.
 *
 * A call is held by each operation under way, by the service until it replies, and by a notice of
 * cancellation until the service has looked; the last to let go frees it.
 * Thread: completions on the server's thread, replies and releases on any. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "rpc/grpc/own.h"
#include "rpc/grpc/server.h"
#include "rpc/grpc/stream.h"

#define OWN_BYTES_MAX ((size_t)1024 * 1024)
#define PATH_SHOWN_MAX 200

struct server_call {
    struct tl_rpc_request request;
    struct tl_list link; /* in server.calls; guarded by its mutex */
    struct tl_grpc_server *server;
    struct tl_grpc_tag accept_tag, receive_tag, close_tag, send_tag;
    atomic_int holds;
    atomic_bool cancelled; /* by the peer, its deadline, or its connection */
    atomic_bool replied;
    atomic_bool noticed;           /* the service has been told, or never will be */
    enum tl_grpc_own own;          /* not the service's: answered here */
    struct tl_grpc_stream *stream; /* of an own method that streams */
    int peer_gone;                 /* written by gRPC */
    grpc_call *grpc;
    grpc_call_details details;
    grpc_metadata_array metadata;
    grpc_byte_buffer *message;
    char *body;
    grpc_metadata trailer;
    grpc_slice text;
};

static void free_call(struct server_call *c)
{
    struct tl_grpc_server *s = c->server;
    if (c->grpc) {
        grpc_call_unref(c->grpc);
    }
    grpc_call_details_destroy(&c->details);
    grpc_metadata_array_destroy(&c->metadata);
    grpc_byte_buffer_destroy(c->message);
    grpc_slice_unref(c->trailer.key);
    grpc_slice_unref(c->trailer.value);
    grpc_slice_unref(c->text);
    tl_grpc_stream_free(c->stream);
    tl_mem_free(c->body);
    pthread_mutex_lock(&s->mutex);
    if (tl_list_linked(&c->link)) {
        tl_list_remove(&c->link);
    }
    s->live--;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->mutex);
    tl_mem_free(c);
}

static void let_go(struct server_call *c)
{
    if (atomic_fetch_sub(&c->holds, 1) == 1) {
        free_call(c);
    }
}

/* --- reply ------------------------------------------------------------------------------------- */

static void sent(struct tl_grpc_tag *tag, bool ok)
{
    (void)ok; /* a peer that has gone is seen by `closed` */
    let_go(TL_CONTAINER(tag, struct server_call, send_tag));
}

static void send_reply(struct server_call *c, int status, struct tl_str message,
                       struct tl_str details, struct tl_str body)
{
    grpc_byte_buffer *buffer = status == 0 ? tl_grpc_buffer(body) : NULL;
    grpc_op ops[3];
    size_t n = 0;
    memset(ops, 0, sizeof ops);
    ops[n++].op = GRPC_OP_SEND_INITIAL_METADATA;
    if (buffer) {
        ops[n].op = GRPC_OP_SEND_MESSAGE;
        ops[n++].data.send_message.send_message = buffer;
    }
    c->text = tl_grpc_slice(message);
    ops[n].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
    ops[n].data.send_status_from_server.status = (grpc_status_code)status;
    ops[n].data.send_status_from_server.status_details = &c->text;
    if (details.n) {
        c->trailer.key = tl_grpc_slice(TL_STR_LIT(TL_GRPC_DETAILS_KEY));
        c->trailer.value = tl_grpc_slice(details);
        ops[n].data.send_status_from_server.trailing_metadata_count = 1;
        ops[n].data.send_status_from_server.trailing_metadata = &c->trailer;
    }
    n++;
    atomic_fetch_add(&c->holds, 1);
    if (grpc_call_start_batch(c->grpc, ops, n, tl_grpc_tag_sent(&c->send_tag), NULL) !=
        GRPC_CALL_OK) {
        let_go(c);
    }
    grpc_byte_buffer_destroy(buffer);
}

static void send_error(struct server_call *c, int status, struct tl_str message)
{
    send_reply(c, status, message, (struct tl_str){0}, (struct tl_str){0});
}

static struct server_call *of_request(struct tl_rpc_request *req)
{
    return TL_CONTAINER(req, struct server_call, request);
}

static void reply(struct tl_rpc_request *req, int status, struct tl_str message,
                  struct tl_str details, struct tl_str body)
{
    struct server_call *c = of_request(req);
    TL_ASSERT(!atomic_exchange(&c->replied, true));
    if (status == GRPC_STATUS_CANCELLED && atomic_load(&c->server->closing)) {
        send_error(c, GRPC_STATUS_UNAVAILABLE, TL_STR_LIT("the server is shutting down"));
    } else if (!atomic_load(&c->cancelled)) {
        send_reply(c, status, message, details, body);
    }
    let_go(c);
}

static bool is_cancelled(struct tl_rpc_request *req)
{
    return atomic_load(&of_request(req)->cancelled);
}

static void retain(struct tl_rpc_request *req)
{
    atomic_fetch_add(&of_request(req)->holds, 1);
}

static void release(struct tl_rpc_request *req)
{
    let_go(of_request(req));
}

static const struct tl_rpc_request_ops request_ops = {reply, is_cancelled, retain, release};

/* --- what the port answers itself ------------------------------------------------------------------ */

static void answer_own(struct server_call *c)
{
    struct tl_arena arena;
    struct tl_str body, text;
    tl_arena_init(&arena, OWN_BYTES_MAX);
    int status = tl_grpc_own_answer(c->own, c->request.body, &arena, &body, &text);
    if (status == 0) {
        send_reply(c, 0, (struct tl_str){0}, (struct tl_str){0}, body);
    } else {
        send_error(c, status, text);
    }
    tl_arena_deinit(&arena);
}

static void hold_call(void *call)
{
    atomic_fetch_add(&((struct server_call *)call)->holds, 1);
}

static void let_go_call(void *call)
{
    let_go(call);
}

static void begin_stream(struct server_call *c)
{
    c->stream = tl_grpc_stream_begin(c->server, c->grpc, c->own,
                                     (struct tl_grpc_hold){hold_call, let_go_call, c});
}

/* --- receive and close --------------------------------------------------------------------------- */

static int64_t time_left_ns(const grpc_call_details *d)
{
    gpr_timespec inf = gpr_inf_future(d->deadline.clock_type);
    if (gpr_time_cmp(d->deadline, inf) == 0) {
        return 0;
    }
    gpr_timespec at = gpr_convert_clock_type(d->deadline, GPR_CLOCK_MONOTONIC);
    gpr_timespec left = gpr_time_sub(at, gpr_now(GPR_CLOCK_MONOTONIC));
    if (left.tv_sec > INT64_C(1) << 32) {
        return 0;
    }
    int64_t ns = left.tv_sec * INT64_C(1000000000) + left.tv_nsec;
    return ns > 0 ? ns : 1;
}

/* Tells the service once, unless it has replied. The caller keeps the call alive. */
static void notify_service(struct server_call *c)
{
    struct tl_grpc_server *s = c->server;
    if (!atomic_exchange(&c->noticed, true) && !atomic_load(&c->replied)) {
        retain(&c->request);
        s->service->cancelled(s->service->ud, &c->request);
    }
}

static bool is_long_poll(const struct server_call *c)
{
    return tl_method_info(c->request.method)->class == TL_METHOD_LONG;
}

static void deliver(struct server_call *c)
{
    struct tl_grpc_server *s = c->server;
    c->request.timeout_ns = time_left_ns(&c->details);
    c->request.ops = &request_ops;
    atomic_fetch_add(&c->holds, 1); /* the service's */
    s->service->handle(s->service->ud, &c->request);
    /* Only now may a notice follow. */
    atomic_store(&c->noticed, false);
    pthread_mutex_lock(&s->mutex);
    tl_list_push(&s->calls, &c->link);
    pthread_mutex_unlock(&s->mutex);
    if (atomic_load(&s->closing) && is_long_poll(c)) {
        notify_service(c); /* it came after the polls were given up */
    }
}

static void received(struct tl_grpc_tag *tag, bool ok)
{
    struct server_call *c = TL_CONTAINER(tag, struct server_call, receive_tag);
    size_t n = 0;
    if (atomic_load(&c->cancelled) || !ok) {
        let_go(c);
        return;
    }
    if (!c->message) {
        send_error(c, GRPC_STATUS_INTERNAL, TL_STR_LIT("the call has no request message"));
        let_go(c);
        return;
    }
    tl_rc rc = tl_grpc_buffer_read(c->message, &c->body, &n);
    grpc_byte_buffer_destroy(c->message);
    c->message = NULL;
    c->request.body = tl_str_n(c->body, n);
    if (rc != TL_OK) {
        send_error(c, tl_rc_grpc_status(rc), TL_STR_LIT("the request cannot be held or read"));
    } else if (c->own) {
        answer_own(c);
    } else {
        deliver(c);
    }
    let_go(c);
}

static void closed(struct tl_grpc_tag *tag, bool ok)
{
    struct server_call *c = TL_CONTAINER(tag, struct server_call, close_tag);
    if (c->stream && (c->peer_gone || !ok)) {
        tl_grpc_stream_gone(c->stream);
    } else if (c->peer_gone || !ok) {
        atomic_store(&c->cancelled, true);
        notify_service(c);
    }
    let_go(c);
}

void tl_grpc_calls_give_up_polls(struct tl_grpc_server *s)
{
    struct server_call *c;
    do {
        c = NULL;
        pthread_mutex_lock(&s->mutex);
        TL_LIST_EACH (it, &s->calls) {
            struct server_call *held = TL_CONTAINER(it, struct server_call, link);
            /* A call whose last hold is just going stays linked until it has the mutex. */
            int holds = atomic_load(&held->holds);
            bool wanted =
                is_long_poll(held) && !atomic_load(&held->noticed) && !atomic_load(&held->replied);
            while (wanted && holds > 0 &&
                   !atomic_compare_exchange_weak(&held->holds, &holds, holds + 1)) {
            }
            if (wanted && holds > 0) {
                c = held;
                break;
            }
        }
        pthread_mutex_unlock(&s->mutex);
        if (c) {
            notify_service(c);
            let_go(c);
        }
    } while (c);
}

/* --- accept -------------------------------------------------------------------------------------- */

static void watch_close(struct server_call *c)
{
    grpc_op op;
    memset(&op, 0, sizeof op);
    op.op = GRPC_OP_RECV_CLOSE_ON_SERVER;
    op.data.recv_close_on_server.cancelled = &c->peer_gone;
    atomic_fetch_add(&c->holds, 1);
    if (grpc_call_start_batch(c->grpc, &op, 1, tl_grpc_tag_sent(&c->close_tag), NULL) !=
        GRPC_CALL_OK) {
        let_go(c);
    }
}

static void receive_message(struct server_call *c)
{
    grpc_op op;
    memset(&op, 0, sizeof op);
    op.op = GRPC_OP_RECV_MESSAGE;
    op.data.recv_message.recv_message = &c->message;
    atomic_fetch_add(&c->holds, 1);
    if (grpc_call_start_batch(c->grpc, &op, 1, tl_grpc_tag_sent(&c->receive_tag), NULL) !=
        GRPC_CALL_OK) {
        let_go(c);
    }
}

/* The caller reads its own path back, cut: it may be as long as headers are allowed to be. */
static void refuse_unknown(struct server_call *c, struct tl_str path)
{
    char text[PATH_SHOWN_MAX + 64];
    bool cut = path.n > PATH_SHOWN_MAX;
    int n = snprintf(text, sizeof text, "unknown service or method: %.*s%s",
                     (int)(cut ? PATH_SHOWN_MAX : path.n), path.n ? path.p : "", cut ? "..." : "");
    send_error(c, GRPC_STATUS_UNIMPLEMENTED, tl_str_n(text, (size_t)n));
}

static void accepted(struct tl_grpc_tag *tag, bool ok)
{
    struct server_call *c = TL_CONTAINER(tag, struct server_call, accept_tag);
    if (ok) {
        struct tl_str path = tl_grpc_slice_str(&c->details.method);
        if (!atomic_load(&c->server->closing)) {
            tl_grpc_call_expect(c->server);
        }
        watch_close(c);
        c->own = tl_grpc_own_find(path);
        if (tl_grpc_own_streams(c->own)) {
            begin_stream(c);
        } else if (c->own ||
                   (path.n && path.p[0] == '/' && tl_method_find(path, &c->request.method))) {
            receive_message(c);
        } else {
            refuse_unknown(c, path);
        }
    }
    let_go(c);
}

void tl_grpc_call_expect(struct tl_grpc_server *s)
{
    struct server_call *c = TL_NEW(struct server_call);
    c->server = s;
    c->accept_tag.done = accepted;
    c->receive_tag.done = received;
    c->close_tag.done = closed;
    c->send_tag.done = sent;
    c->text = c->trailer.key = c->trailer.value = grpc_empty_slice();
    tl_list_init(&c->link);
    grpc_call_details_init(&c->details);
    grpc_metadata_array_init(&c->metadata);
    atomic_store(&c->holds, 1);
    atomic_store(&c->noticed, true); /* until it is delivered there is nobody to tell */
    pthread_mutex_lock(&s->mutex);
    s->live++;
    pthread_mutex_unlock(&s->mutex);
    if (grpc_server_request_call(s->grpc, &c->grpc, &c->details, &c->metadata, s->cq, s->cq,
                                 tl_grpc_tag_sent(&c->accept_tag)) != GRPC_CALL_OK) {
        let_go(c);
    }
}
