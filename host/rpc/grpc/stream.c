/* See stream.h. Operations are started under the server's mutex, so that the end that the port wants
 * and an answer under way come in some order; none of them calls back from within. */
#include "rpc/grpc/stream.h"

#include <string.h>

#include "base/mem.h"

#define ANSWER_BYTES_MAX ((size_t)16 * 1024 * 1024)

struct tl_grpc_stream {
    struct tl_list link; /* in server.streams until it is over; guarded by its mutex */
    struct tl_grpc_server *server;
    grpc_call *grpc;
    enum tl_grpc_own method;
    struct tl_grpc_hold hold;
    struct tl_grpc_tag receive_tag, send_tag, status_tag;
    grpc_byte_buffer *message;
    bool begun; /* guarded: the initial metadata has been sent */
    bool over;  /* guarded */
    grpc_slice text;
};

static bool start(struct tl_grpc_stream *st, grpc_op *ops, size_t n, struct tl_grpc_tag *tag)
{
    return grpc_call_start_batch(st->grpc, ops, n, tl_grpc_tag_sent(tag), NULL) == GRPC_CALL_OK;
}

/* Under the mutex. True when the caller has to let the call go: nothing will complete. */
static bool finish(struct tl_grpc_stream *st, int status, struct tl_str text)
{
    grpc_op ops[2];
    size_t n = 0;
    if (st->over) {
        return false;
    }
    st->over = true;
    tl_list_remove(&st->link);
    memset(ops, 0, sizeof ops);
    if (!st->begun) {
        ops[n++].op = GRPC_OP_SEND_INITIAL_METADATA;
    }
    st->text = tl_grpc_slice(text);
    ops[n].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
    ops[n].data.send_status_from_server.status = (grpc_status_code)status;
    ops[n].data.send_status_from_server.status_details = &st->text;
    return !start(st, ops, n + 1, &st->status_tag);
}

static void end(struct tl_grpc_stream *st, int status, struct tl_str text)
{
    pthread_mutex_lock(&st->server->mutex);
    bool nothing_comes = finish(st, status, text);
    pthread_mutex_unlock(&st->server->mutex);
    if (nothing_comes) {
        st->hold.let_go(st->hold.call);
    }
}

static void finished(struct tl_grpc_tag *tag, bool ok)
{
    struct tl_grpc_stream *st = TL_CONTAINER(tag, struct tl_grpc_stream, status_tag);
    (void)ok;
    st->hold.let_go(st->hold.call);
}

static void receive(struct tl_grpc_stream *st)
{
    grpc_op op;
    memset(&op, 0, sizeof op);
    op.op = GRPC_OP_RECV_MESSAGE;
    op.data.recv_message.recv_message = &st->message;
    st->hold.take(st->hold.call);
    if (!start(st, &op, 1, &st->receive_tag)) {
        st->hold.let_go(st->hold.call);
    }
}

static void answer(struct tl_grpc_stream *st, struct tl_str body)
{
    grpc_byte_buffer *buffer = tl_grpc_buffer(body);
    grpc_op ops[2];
    size_t n = 0;
    memset(ops, 0, sizeof ops);
    pthread_mutex_lock(&st->server->mutex);
    bool under_way = false;
    if (!st->over) {
        if (!st->begun) {
            ops[n++].op = GRPC_OP_SEND_INITIAL_METADATA;
        }
        ops[n].op = GRPC_OP_SEND_MESSAGE;
        ops[n].data.send_message.send_message = buffer;
        st->hold.take(st->hold.call);
        under_way = start(st, ops, n + 1, &st->send_tag);
        st->begun = st->begun || under_way;
        n = 1;
    }
    pthread_mutex_unlock(&st->server->mutex);
    grpc_byte_buffer_destroy(buffer);
    if (n && !under_way) {
        st->hold.let_go(st->hold.call);
    }
}

static void sent(struct tl_grpc_tag *tag, bool ok)
{
    struct tl_grpc_stream *st = TL_CONTAINER(tag, struct tl_grpc_stream, send_tag);
    if (ok && st->method != TL_GRPC_OWN_HEALTH_WATCH) {
        receive(st);
    }
    st->hold.let_go(st->hold.call);
}

static void answer_message(struct tl_grpc_stream *st)
{
    struct tl_arena arena;
    struct tl_str body, text;
    char *bytes = NULL;
    size_t n = 0;
    tl_rc rc = tl_grpc_buffer_read(st->message, &bytes, &n);
    grpc_byte_buffer_destroy(st->message);
    st->message = NULL;
    if (rc != TL_OK) {
        end(st, tl_rc_grpc_status(rc), TL_STR_LIT("the request cannot be held or read"));
        return;
    }
    tl_arena_init(&arena, ANSWER_BYTES_MAX);
    int status = tl_grpc_own_answer(st->method, tl_str_n(bytes, n), &arena, &body, &text);
    if (status == 0) {
        answer(st, body);
    } else {
        end(st, status, text);
    }
    tl_arena_deinit(&arena);
    tl_mem_free(bytes);
}

static void received(struct tl_grpc_tag *tag, bool ok)
{
    struct tl_grpc_stream *st = TL_CONTAINER(tag, struct tl_grpc_stream, receive_tag);
    if (ok && st->message) {
        answer_message(st);
    } else if (st->method == TL_GRPC_OWN_HEALTH_WATCH) {
        end(st, GRPC_STATUS_INTERNAL, TL_STR_LIT("the call has no request message"));
    } else {
        end(st, GRPC_STATUS_OK, (struct tl_str){0}); /* the peer has asked enough */
    }
    st->hold.let_go(st->hold.call);
}

struct tl_grpc_stream *tl_grpc_stream_begin(struct tl_grpc_server *s, grpc_call *grpc,
                                            enum tl_grpc_own method, struct tl_grpc_hold hold)
{
    struct tl_grpc_stream *st = TL_NEW(struct tl_grpc_stream);
    st->server = s;
    st->grpc = grpc;
    st->method = method;
    st->hold = hold;
    st->receive_tag.done = received;
    st->send_tag.done = sent;
    st->status_tag.done = finished;
    st->text = grpc_empty_slice();
    tl_list_init(&st->link);
    hold.take(hold.call); /* until it is over */
    pthread_mutex_lock(&s->mutex);
    tl_list_push(&s->streams, &st->link);
    pthread_mutex_unlock(&s->mutex);
    if (atomic_load(&s->closing)) {
        end(st, GRPC_STATUS_UNAVAILABLE, TL_STR_LIT("the server is shutting down"));
    } else {
        receive(st);
    }
    return st;
}

void tl_grpc_stream_gone(struct tl_grpc_stream *st)
{
    pthread_mutex_lock(&st->server->mutex);
    bool first = !st->over;
    if (first) {
        st->over = true;
        tl_list_remove(&st->link);
    }
    pthread_mutex_unlock(&st->server->mutex);
    if (first) {
        st->hold.let_go(st->hold.call);
    }
}

void tl_grpc_stream_free(struct tl_grpc_stream *st)
{
    if (st) {
        grpc_byte_buffer_destroy(st->message);
        grpc_slice_unref(st->text);
        tl_mem_free(st);
    }
}

void tl_grpc_streams_end(struct tl_grpc_server *s)
{
    struct tl_list *first;
    do {
        pthread_mutex_lock(&s->mutex);
        first = tl_list_first(&s->streams);
        struct tl_grpc_stream *st = first ? TL_CONTAINER(first, struct tl_grpc_stream, link) : NULL;
        bool nothing_comes =
            st && finish(st, GRPC_STATUS_UNAVAILABLE, TL_STR_LIT("the server is shutting down"));
        pthread_mutex_unlock(&s->mutex);
        if (nothing_comes) {
            st->hold.let_go(st->hold.call);
        }
    } while (first);
}
