/* The coding channel. See channel.h.
 *
 * A call is a job of the queue twice: to be encoded, and with the inner result to be decoded. Its
 * block is freed when the caller has released it and `done` has run. */
#include "codec/channel.h"

#include <pthread.h>
#include <temporal/api/workflowservice/v1/request_response.pb-c.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/world.h"
#include "codec/message.h"
#include "proto/failure.h"
#include "proto/pb.h"

/* Memory that the coding of one message may take. */
#define CODING_BYTES_MAX ((size_t)tl_limit_request_bytes * 8)

struct coding_channel;

struct coding_thread {
    struct coding_channel *channel;
    struct tl_codec_chain chain;
    pthread_t id;
};

struct coding_channel {
    struct tl_channel base;
    struct tl_channel *inner; /* borrowed */
    enum tl_header_codec headers;
    bool encode_common_attributes;
    struct tl_contexts *contexts; /* NULL: no codec asks */
    pthread_mutex_t mutex; /* guards what follows, and `cancelled`, `inner`, `holds` of calls */
    pthread_cond_t work, idle;
    struct tl_list jobs; /* of calls */
    size_t live;         /* calls not yet freed */
    bool closing;
    struct coding_thread *threads;
    size_t thread_count;
};

struct coding_call {
    struct tl_rpc_call base;
    struct tl_list job;
    struct tl_rpc_call *inner; /* NULL until the request was encoded */
    struct tl_rpc_result *res; /* the inner result; NULL while the request is to be encoded */
    tl_rpc_done_fn done;
    void *ud;
    enum tl_method method;
    int64_t timeout_ns, begun_ns;
    int holds;
    bool cancelled;
    struct tl_str request; /* behind this struct */
};

static struct coding_channel *channel_of(struct tl_channel *ch)
{
    return TL_CONTAINER(ch, struct coding_channel, base);
}

static void push_job(struct coding_channel *ch, struct coding_call *c)
{
    pthread_mutex_lock(&ch->mutex);
    tl_list_push(&ch->jobs, &c->job);
    pthread_cond_signal(&ch->work);
    pthread_mutex_unlock(&ch->mutex);
}

static void let_go(struct coding_channel *ch, struct coding_call *c)
{
    pthread_mutex_lock(&ch->mutex);
    bool last = --c->holds == 0;
    pthread_mutex_unlock(&ch->mutex);
    if (!last) {
        return;
    }
    if (c->inner) {
        tl_rpc_call_release(c->inner);
    }
    tl_mem_free(c);
    pthread_mutex_lock(&ch->mutex);
    if (--ch->live == 0) {
        pthread_cond_broadcast(&ch->idle);
    }
    pthread_mutex_unlock(&ch->mutex);
}

/* --- on coding threads ------------------------------------------------------------------------ */

static void end_call(struct coding_channel *ch, struct coding_call *c, struct tl_rpc_result *res)
{
    c->done(c->ud, res);
    let_go(ch, c);
}

static struct tl_rpc_result *error_result(const struct coding_call *c, const struct tl_error *err)
{
    const struct tl_str none = {NULL, 0};
    return tl_rpc_result_new(c->method, c->ud, tl_rc_grpc_status(err->code), tl_str(err->message),
                             none, none);
}

static void end_with_error(struct coding_channel *ch, struct coding_call *c,
                           const struct tl_error *err)
{
    end_call(ch, c, error_result(c, err));
}

/* What the codecs say of these bytes they will say again, whatever their status means between client and
 * server, unless something that they need was away. */
static void end_uncoded(struct coding_channel *ch, struct coding_call *c,
                        const struct tl_error *err)
{
    struct tl_rpc_result *res = error_result(c, err);
    tl_rc rc = tl_rc_from_grpc_status(res->status);
    res->final = rc != TL_EUNAVAILABLE && rc != TL_EDEADLINE;
    end_call(ch, c, res);
}

static void inner_done(void *ud, struct tl_rpc_result *res)
{
    struct coding_call *c = ud;
    c->res = res;
    push_job(channel_of(c->base.channel), c);
}

/* The request is encoded: hands it to the inner channel, unless it was cancelled meanwhile. */
static void submit(struct coding_channel *ch, struct coding_call *c, struct tl_str body)
{
    struct tl_error err;
    int64_t left = c->timeout_ns;
    if (left > 0) {
        left -= tl_world_mono_ns(tl_world_real()) - c->begun_ns;
    }
    pthread_mutex_lock(&ch->mutex);
    bool cancelled = c->cancelled;
    c->holds++; /* inner_done may come, and be worked on, before tl_channel_call returns */
    pthread_mutex_unlock(&ch->mutex);
    if (cancelled || (c->timeout_ns > 0 && left <= 0)) {
        tl_rc rc = cancelled ? TL_ECANCELLED : TL_EDEADLINE;
        tl_error_set(&err, rc, "the call ended while its payloads were encoded");
        end_with_error(ch, c, &err);
    } else {
        struct tl_rpc_call *inner =
            tl_channel_call(ch->inner, c->method, body, left, inner_done, c);
        pthread_mutex_lock(&ch->mutex);
        c->inner = inner;
        cancelled = c->cancelled;
        pthread_mutex_unlock(&ch->mutex);
        if (cancelled) {
            tl_rpc_cancel(inner);
        }
    }
    let_go(ch, c);
}

static void encode_job(struct coding_channel *ch, struct coding_call *c, struct tl_coder *coder)
{
    struct tl_arena arena;
    struct tl_error err;
    struct tl_str body;
    tl_arena_init(&arena, CODING_BYTES_MAX);
    tl_rc rc = tl_coder_body(coder, c->method, TL_CODEC_ENCODE, c->request, c->request, &arena,
                             &body, &err);
    if (rc == TL_OK) {
        submit(ch, c, body);
    } else {
        TL_LOG(TL_LOG_WARN, "codec.encode_failed", TL_C("method", tl_method_info(c->method)->name),
               TL_C("error", err.message));
        end_uncoded(ch, c, &err);
    }
    tl_arena_deinit(&arena);
}

static void forget_result(void *ud, struct tl_rpc_result *res)
{
    (void)ud;
    tl_rpc_result_free(res);
}

/* Nobody waits for the answer: a report that is lost costs the task's timeout. */
static void send_and_forget(struct coding_channel *ch, enum tl_method method, const void *request,
                            struct tl_arena *arena)
{
    struct tl_str bytes;
    if (tl_pb_encode_arena(request, arena, &bytes, NULL) == TL_OK) {
        tl_rpc_call_release(
            tl_channel_call(ch->inner, method, bytes, 10 * TL_NS_PER_S, forget_result, NULL));
    }
}

static TpFailure__Failure *undecodable(struct tl_arena *arena, const struct tl_error *err)
{
    const struct tl_failure_application o = {.message = tl_str(err->message),
                                             .type = TL_STR_LIT(TL_FAILURE_CODEC)};
    return tl_failure_application(arena, &o);
}

/* Only the first attempt is reported, as the worker does: the next one waits for the timeout. */
static void fail_workflow_task(struct coding_channel *ch, struct coding_call *c,
                               struct tl_arena *arena, TpFailure__Failure *failure)
{
    TpWs__PollWorkflowTaskQueueRequest *poll;
    TpWs__PollWorkflowTaskQueueResponse *task;
    TpWs__RespondWorkflowTaskFailedRequest r;
    const struct tl_method_info *info = tl_method_info(c->method);
    if (tl_pb_decode(info->input, c->request, arena, &poll, NULL) == TL_OK &&
        tl_pb_decode(info->output, c->res->body, arena, &task, NULL) == TL_OK &&
        task->attempt <= 1) {
        tp_ws__respond_workflow_task_failed_request__init(&r);
        r.namespace_ = poll->namespace_;
        r.identity = poll->identity;
        r.task_token = task->task_token;
        r.cause =
            TP_ENUMS__WORKFLOW_TASK_FAILED_CAUSE__WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE;
        r.failure = failure;
        send_and_forget(ch, TL_M_RespondWorkflowTaskFailed, &r, arena);
    }
}

static void fail_activity_task(struct coding_channel *ch, struct coding_call *c,
                               struct tl_arena *arena, TpFailure__Failure *failure)
{
    TpWs__PollActivityTaskQueueRequest *poll;
    TpWs__PollActivityTaskQueueResponse *task;
    TpWs__RespondActivityTaskFailedRequest r;
    const struct tl_method_info *info = tl_method_info(c->method);
    if (tl_pb_decode(info->input, c->request, arena, &poll, NULL) == TL_OK &&
        tl_pb_decode(info->output, c->res->body, arena, &task, NULL) == TL_OK) {
        tp_ws__respond_activity_task_failed_request__init(&r);
        r.namespace_ = poll->namespace_;
        r.identity = poll->identity;
        r.task_token = task->task_token;
        r.failure = failure;
        send_and_forget(ch, TL_M_RespondActivityTaskFailed, &r, arena);
    }
}

/* A result that cannot be decoded: when it is a task, it is failed. False when it is none. */
static bool fail_task(struct coding_channel *ch, struct coding_call *c, struct tl_arena *arena,
                      const struct tl_error *why)
{
    TpFailure__Failure *failure = undecodable(arena, why);
    if (c->method == TL_M_PollWorkflowTaskQueue) {
        fail_workflow_task(ch, c, arena, failure);
    } else if (c->method == TL_M_PollActivityTaskQueue) {
        fail_activity_task(ch, c, arena, failure);
    } else {
        return false;
    }
    return true;
}

static void decode_job(struct coding_channel *ch, struct coding_call *c, struct tl_coder *coder)
{
    const struct tl_str none = {NULL, 0};
    struct tl_arena arena;
    struct tl_error err;
    struct tl_rpc_result *res = c->res;
    struct tl_str body = none, details = none;
    tl_rc rc = TL_OK;
    tl_arena_init(&arena, CODING_BYTES_MAX);
    if (res->status == 0) {
        rc = tl_coder_body(coder, c->method, TL_CODEC_DECODE, c->request, res->body, &arena, &body,
                           &err);
    } else {
        details = tl_coder_details(coder, c->method, c->request, res->details, &arena);
    }
    if (rc != TL_OK) {
        TL_LOG(TL_LOG_WARN, "codec.decode_failed", TL_C("method", tl_method_info(c->method)->name),
               TL_C("error", err.message));
        if (fail_task(ch, c, &arena, &err)) {
            rc = TL_OK;
            body = none;
        }
    }
    struct tl_rpc_result *out =
        rc == TL_OK ? tl_rpc_result_new(c->method, c->ud, res->status, res->message, details, body)
                    : NULL;
    tl_rpc_result_free(res);
    tl_arena_deinit(&arena);
    if (out) {
        end_call(ch, c, out);
    } else {
        end_uncoded(ch, c, &err);
    }
}

static struct coding_call *next_job(struct coding_channel *ch)
{
    pthread_mutex_lock(&ch->mutex);
    while (tl_list_empty(&ch->jobs) && !ch->closing) {
        pthread_cond_wait(&ch->work, &ch->mutex);
    }
    struct tl_list *node = tl_list_pop(&ch->jobs);
    pthread_mutex_unlock(&ch->mutex);
    return node ? TL_CONTAINER(node, struct coding_call, job) : NULL;
}

static void *run_thread(void *ud)
{
    struct coding_thread *t = ud;
    struct coding_channel *ch = t->channel;
    struct tl_coder coder = {&t->chain, ch->headers, ch->encode_common_attributes, ch->contexts};
    struct coding_call *c;
    while ((c = next_job(ch)) != NULL) {
        if (c->res) {
            decode_job(ch, c, &coder);
        } else {
            encode_job(ch, c, &coder);
        }
    }
    return NULL;
}

/* --- the channel ------------------------------------------------------------------------------ */

static struct tl_rpc_call *call(struct tl_channel *base, enum tl_method m, struct tl_str request,
                                int64_t timeout_ns, tl_rpc_done_fn done, void *ud)
{
    struct coding_channel *ch = channel_of(base);
    if (!tl_coder_concerns(m)) {
        return tl_channel_call(ch->inner, m, request, timeout_ns, done, ud);
    }
    struct coding_call *c = tl_mem_alloc(sizeof *c + request.n + 1);
    *c = (struct coding_call){
        .base = {base},
        .done = done,
        .ud = ud,
        .method = m,
        .timeout_ns = timeout_ns,
        .begun_ns = tl_world_mono_ns(tl_world_real()),
        .holds = 2, /* the caller and the way to done */
        .request = {(char *)(c + 1), request.n},
    };
    if (request.n) {
        memcpy(c + 1, request.p, request.n);
    }
    tl_list_init(&c->job);
    pthread_mutex_lock(&ch->mutex);
    ch->live++;
    pthread_mutex_unlock(&ch->mutex);
    push_job(ch, c);
    return &c->base;
}

static void cancel(struct tl_rpc_call *handle)
{
    struct coding_call *c = TL_CONTAINER(handle, struct coding_call, base);
    struct coding_channel *ch = channel_of(handle->channel);
    pthread_mutex_lock(&ch->mutex);
    bool first = !c->cancelled;
    c->cancelled = true;
    struct tl_rpc_call *inner = c->inner;
    pthread_mutex_unlock(&ch->mutex);
    if (first && inner) {
        tl_rpc_cancel(inner);
    }
}

static void release(struct tl_rpc_call *handle)
{
    let_go(channel_of(handle->channel), TL_CONTAINER(handle, struct coding_call, base));
}

static void free_channel(struct coding_channel *ch)
{
    for (size_t i = 0; i < ch->thread_count; i++) {
        tl_codec_chain_deinit(&ch->threads[i].chain);
    }
    tl_contexts_free(ch->contexts);
    pthread_cond_destroy(&ch->work);
    pthread_cond_destroy(&ch->idle);
    pthread_mutex_destroy(&ch->mutex);
    tl_mem_free(ch->threads);
    tl_mem_free(ch);
}

static void join_threads(struct coding_channel *ch, size_t n)
{
    pthread_mutex_lock(&ch->mutex);
    ch->closing = true;
    pthread_cond_broadcast(&ch->work);
    pthread_mutex_unlock(&ch->mutex);
    for (size_t i = 0; i < n; i++) {
        pthread_join(ch->threads[i].id, NULL);
    }
}

static void close_channel(struct tl_channel *base)
{
    struct coding_channel *ch = channel_of(base);
    pthread_mutex_lock(&ch->mutex);
    while (ch->live) {
        pthread_cond_wait(&ch->idle, &ch->mutex);
    }
    pthread_mutex_unlock(&ch->mutex);
    join_threads(ch, ch->thread_count);
    free_channel(ch);
}

tl_rc tl_coding_channel_open(struct tl_channel **out, struct tl_channel *inner,
                             const struct tl_coding_options *o, struct tl_error *err)
{
    TL_ASSERT(o->thread_count >= 1 && o->thread_count <= TL_CODING_THREADS_MAX);
    struct coding_channel *ch = TL_NEW(struct coding_channel);
    ch->base = (struct tl_channel){call, cancel, release, close_channel};
    ch->inner = inner;
    ch->headers = o->headers;
    ch->encode_common_attributes = o->encode_common_attributes;
    pthread_mutex_init(&ch->mutex, NULL);
    pthread_cond_init(&ch->work, NULL);
    pthread_cond_init(&ch->idle, NULL);
    tl_list_init(&ch->jobs);
    ch->contexts = tl_codec_chain_asks(&o->chains[0]) ? tl_contexts_new(TL_CONTEXTS_BYTES) : NULL;
    ch->threads = TL_NEW_ARRAY(struct coding_thread, o->thread_count);
    ch->thread_count = o->thread_count;
    for (size_t i = 0; i < o->thread_count; i++) {
        ch->threads[i].channel = ch;
        ch->threads[i].chain = o->chains[i];
    }
    for (size_t i = 0; i < o->thread_count; i++) {
        if (pthread_create(&ch->threads[i].id, NULL, run_thread, &ch->threads[i]) != 0) {
            join_threads(ch, i);
            free_channel(ch);
            return tl_error_set(err, TL_EUNAVAILABLE, "cannot start a thread for payload codecs");
        }
    }
    *out = &ch->base;
    return TL_OK;
}
