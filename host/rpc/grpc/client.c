/* A channel over gRPC. Each call is one batch of six operations; its completion makes the result.
 * A call is held by its maker and by the completion thread; the last to let go frees it, so a cancel
 * may race with the end. Thread: any; completions on the channel's own thread. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "rpc/grpc.h"
#include "rpc/grpc/common.h"
#include "rpc/grpc/credentials.h"
#include "rpc/grpc/headers.h"
#include "rpc/grpc/key_source.h"
#include "rpc/grpc/link.h"

#define CLOSE_WAIT_MS 5000

struct channel {
    struct tl_channel base;
    struct tl_grpc_links *links; /* connections */
    grpc_completion_queue *cq;
    pthread_t thread;
    grpc_slice paths[TL_METHOD_COUNT];
    pthread_mutex_t mutex;
    struct tl_grpc_headers *headers; /* guarded; a set never changes */
    struct tl_grpc_key_source *keys; /* NULL: the API key changes by a call alone */
    bool tls;
    atomic_size_t live; /* calls not yet freed */
};

struct call {
    struct tl_rpc_call base;
    struct tl_grpc_tag tag;
    enum tl_method method;
    tl_rpc_done_fn done;
    void *ud;
    atomic_int holds;
    grpc_call *grpc;
    struct tl_grpc_link *link;
    grpc_metadata_array initial, trailing;
    grpc_byte_buffer *reply;
    grpc_status_code status;
    grpc_slice message;
};

static struct channel *channel_of(struct tl_channel *ch)
{
    return TL_CONTAINER(ch, struct channel, base);
}

static struct call *call_of(struct tl_rpc_call *c)
{
    return TL_CONTAINER(c, struct call, base);
}

/* --- calls -------------------------------------------------------------------------------------- */

static void let_go(struct call *c)
{
    if (atomic_fetch_sub(&c->holds, 1) == 1) {
        struct channel *ch = channel_of(c->base.channel);
        if (c->grpc) {
            grpc_call_unref(c->grpc);
        }
        tl_grpc_link_release(c->link);
        tl_mem_free(c);
        atomic_fetch_sub(&ch->live, 1);
    }
}

static struct tl_str details_of(const grpc_metadata_array *trailing)
{
    for (size_t i = 0; i < trailing->count; i++) {
        const grpc_metadata *m = &trailing->metadata[i];
        if (tl_str_eqc(tl_grpc_slice_str(&m->key), TL_GRPC_DETAILS_KEY)) {
            return tl_grpc_slice_str(&m->value);
        }
    }
    return (struct tl_str){0};
}

/* A connection that could not be made is told with what to look at. */
static struct tl_rpc_result *failure_of(struct call *c)
{
    struct tl_str message = tl_grpc_slice_str(&c->message), details = details_of(&c->trailing);
    const char *hint = c->status == GRPC_STATUS_UNAVAILABLE
                           ? tl_grpc_connect_hint(message, channel_of(c->base.channel)->tls)
                           : NULL;
    char text[2048];
    if (hint) {
        snprintf(text, sizeof text, "%s (%.*s)", hint, TL_STR_FMT(message));
        message = tl_str(text);
    }
    return tl_rpc_result_new(c->method, c->ud, (int)c->status, message, details,
                             (struct tl_str){0});
}

static struct tl_rpc_result *local_failure(struct call *c, int status, struct tl_str message)
{
    struct tl_str none = {0};
    return tl_rpc_result_new(c->method, c->ud, status, message, none, none);
}

static struct tl_rpc_result *result_of(struct call *c)
{
    grpc_byte_buffer_reader reader;
    char *body = NULL;
    size_t n = 0;
    if (c->status != GRPC_STATUS_OK) {
        return failure_of(c);
    }
    if (!c->reply) {
        return local_failure(c, GRPC_STATUS_INTERNAL,
                             TL_STR_LIT("the server ended the call without an answer"));
    }
    tl_rc rc = tl_grpc_reader_open(&reader, c->reply, &n);
    if (rc == TL_OK) {
        struct tl_rpc_result *r = tl_rpc_result_with_room(c->method, c->ud, n, &body);
        tl_grpc_reader_close(&reader, body);
        if (r) {
            return r;
        }
        rc = TL_EMEMORY;
    }
    return local_failure(c, tl_rc_grpc_status(rc), TL_STR_LIT("the answer cannot be held or read"));
}

static void ended(struct tl_grpc_tag *tag, bool ok)
{
    struct call *c = TL_CONTAINER(tag, struct call, tag);
    (void)ok; /* a batch that receives the status always succeeds */
    struct tl_rpc_result *r = result_of(c);
    grpc_metadata_array_destroy(&c->initial);
    grpc_metadata_array_destroy(&c->trailing);
    grpc_byte_buffer_destroy(c->reply);
    grpc_slice_unref(c->message);
    c->done(c->ud, r);
    let_go(c);
}

static void renew_api_key(struct channel *ch)
{
    struct tl_error err;
    char *key = tl_grpc_key_source_take(ch->keys);
    if (key && tl_grpc_channel_set_api_key(&ch->base, key, &err) != TL_OK) {
        TL_LOG(TL_LOG_WARN, "grpc.api_key_kept", TL_C("error", err.message));
    }
    tl_mem_free(key);
}

static grpc_call_error start(struct channel *ch, struct call *c, struct tl_str request)
{
    renew_api_key(ch);
    grpc_byte_buffer *body = tl_grpc_buffer(request);
    grpc_op ops[6];
    pthread_mutex_lock(&ch->mutex);
    struct tl_grpc_headers *headers = tl_grpc_headers_retain(ch->headers);
    pthread_mutex_unlock(&ch->mutex);
    memset(ops, 0, sizeof ops);
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[0].data.send_initial_metadata.count = headers->count;
    ops[0].data.send_initial_metadata.metadata = headers->list;
    ops[1].op = GRPC_OP_SEND_MESSAGE;
    ops[1].data.send_message.send_message = body;
    ops[2].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    ops[3].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &c->initial;
    ops[4].op = GRPC_OP_RECV_MESSAGE;
    ops[4].data.recv_message.recv_message = &c->reply;
    ops[5].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[5].data.recv_status_on_client.trailing_metadata = &c->trailing;
    ops[5].data.recv_status_on_client.status = &c->status;
    ops[5].data.recv_status_on_client.status_details = &c->message;
    grpc_call_error e = grpc_call_start_batch(c->grpc, ops, 6, tl_grpc_tag_sent(&c->tag), NULL);
    grpc_byte_buffer_destroy(body);
    tl_grpc_headers_release(headers);
    return e;
}

static gpr_timespec deadline_after(int64_t timeout_ns)
{
    if (timeout_ns <= 0) {
        return gpr_inf_future(GPR_CLOCK_MONOTONIC);
    }
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                        gpr_time_from_nanos(timeout_ns, GPR_TIMESPAN));
}

static struct tl_rpc_call *make_call(struct tl_channel *base, enum tl_method m,
                                     struct tl_str request, int64_t timeout_ns, tl_rpc_done_fn done,
                                     void *ud)
{
    struct channel *ch = channel_of(base);
    struct call *c = TL_NEW(struct call);
    c->base.channel = base;
    c->tag.done = ended;
    c->method = m;
    c->done = done;
    c->ud = ud;
    c->message = grpc_empty_slice();
    grpc_metadata_array_init(&c->initial);
    grpc_metadata_array_init(&c->trailing);
    atomic_store(&c->holds, 2); /* the caller and the completion */
    atomic_fetch_add(&ch->live, 1);
    c->link = tl_grpc_links_take(ch->links);
    c->grpc = grpc_channel_create_call(c->link->grpc, NULL, GRPC_PROPAGATE_DEFAULTS, ch->cq,
                                       ch->paths[m], NULL, deadline_after(timeout_ns), NULL);
    if (start(ch, c, request) != GRPC_CALL_OK) {
        c->status = GRPC_STATUS_INTERNAL;
        c->message = tl_grpc_slice(TL_STR_LIT("the call could not be started"));
        ended(&c->tag, false);
    }
    return &c->base;
}

static void cancel_call(struct tl_rpc_call *c)
{
    grpc_call_cancel(call_of(c)->grpc, NULL);
}

static void release_call(struct tl_rpc_call *c)
{
    let_go(call_of(c));
}

/* --- close --------------------------------------------------------------------------------------- */

static void free_slices(struct channel *ch)
{
    for (size_t i = 0; i < TL_METHOD_COUNT; i++) {
        grpc_slice_unref(ch->paths[i]);
    }
}

static void free_channel(struct channel *ch)
{
    tl_grpc_links_close(ch->links);
    free_slices(ch);
    tl_grpc_headers_release(ch->headers);
    tl_grpc_key_source_free(ch->keys);
    pthread_mutex_destroy(&ch->mutex);
    tl_mem_free(ch);
    grpc_shutdown_blocking();
}

static void close_channel(struct tl_channel *base)
{
    struct channel *ch = channel_of(base);
    /* The completion thread lets go of a call only after done has run: what done posted may have
     * brought us here first. */
    for (int i = 0; atomic_load(&ch->live) != 0 && i < CLOSE_WAIT_MS; i++) {
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    TL_ASSERT(atomic_load(&ch->live) == 0);
    tl_grpc_links_close(ch->links);
    ch->links = NULL;
    grpc_completion_queue_shutdown(ch->cq);
    pthread_join(ch->thread, NULL);
    grpc_completion_queue_destroy(ch->cq);
    free_channel(ch);
}

/* --- open ---------------------------------------------------------------------------------------- */

static void *serve(void *ud)
{
    tl_grpc_serve(ud);
    return NULL;
}

tl_rc tl_grpc_channel_open(struct tl_channel **out, const struct tl_grpc_channel_options *o,
                           struct tl_error *err)
{
    tl_rc rc = tl_grpc_check_address("the address", o->address, err);
    if (rc == TL_OK) {
        rc = tl_grpc_start(err);
    }
    if (rc != TL_OK) {
        return rc;
    }
    struct channel *ch = TL_NEW(struct channel);
    ch->base = (struct tl_channel){make_call, cancel_call, release_call, close_channel};
    for (int i = 0; i < TL_METHOD_COUNT; i++) {
        ch->paths[i] = tl_grpc_slice(tl_str(tl_method_info((enum tl_method)i)->path));
    }
    pthread_mutex_init(&ch->mutex, NULL);
    ch->tls = o->tls;
    char *key = NULL;
    rc = tl_grpc_key_source_open(&ch->keys, &key, o, err);
    if (rc == TL_OK) {
        struct tl_grpc_channel_options first = *o;
        first.api_key = key ? key : o->api_key;
        rc = tl_grpc_headers_new(&ch->headers, &first, err);
    }
    tl_mem_free(key);
    if (rc == TL_OK) {
        rc = tl_grpc_links_open(&ch->links, o, err);
    }
    if (rc == TL_OK) {
        ch->cq = grpc_completion_queue_create_for_next(NULL);
        if (pthread_create(&ch->thread, NULL, serve, ch->cq) != 0) {
            grpc_completion_queue_shutdown(ch->cq);
            grpc_completion_queue_destroy(ch->cq);
            rc = tl_error_set(err, TL_EIO, "cannot start a thread");
        }
    }
    if (rc != TL_OK) {
        free_channel(ch);
        return rc;
    }
    *out = &ch->base;
    return TL_OK;
}

/* --- headers ------------------------------------------------------------------------------------- */

static tl_rc swap_headers(struct channel *ch, tl_rc rc, struct tl_grpc_headers *made)
{
    if (rc == TL_OK) {
        struct tl_grpc_headers *old = ch->headers;
        ch->headers = made;
        tl_grpc_headers_release(old);
    }
    return rc;
}

tl_rc tl_grpc_channel_set_api_key(struct tl_channel *base, const char *api_key,
                                  struct tl_error *err)
{
    struct channel *ch = channel_of(base);
    struct tl_grpc_headers *made;
    pthread_mutex_lock(&ch->mutex);
    tl_rc rc = tl_grpc_headers_with_api_key(&made, ch->headers, api_key, err);
    rc = swap_headers(ch, rc, made);
    pthread_mutex_unlock(&ch->mutex);
    return rc;
}

tl_rc tl_grpc_channel_set_metadata(struct tl_channel *base, const struct tl_grpc_header *metadata,
                                   size_t count, struct tl_error *err)
{
    struct channel *ch = channel_of(base);
    struct tl_grpc_headers *made;
    pthread_mutex_lock(&ch->mutex);
    tl_rc rc = tl_grpc_headers_with_metadata(&made, ch->headers, metadata, count, err);
    rc = swap_headers(ch, rc, made);
    pthread_mutex_unlock(&ch->mutex);
    return rc;
}
