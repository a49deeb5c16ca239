/* Life cycle of clients and the calls themselves: encode once, send, wait, retry, decode. */
#include "client/client.h"

#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/mem.h"
#include "client/client_int.h"
#include "proto/pb.h"
#include "rpc/measured.h"

#define RPC_TIMEOUT_NS (10 * TL_NS_PER_S)
#define UNARY_TOTAL_NS (30 * TL_NS_PER_S)
#define LONG_ATTEMPT_NS (70 * TL_NS_PER_S)
#define RESPONSE_BYTES_MAX ((size_t)256 * 1024 * 1024)

/* --- Life cycle -------------------------------------------------------------------------------- */

void tl_client_default_identity(char *out, size_t cap)
{
    char host[256] = "";
    if (gethostname(host, sizeof host - 1) != 0 || !host[0]) {
        snprintf(host, sizeof host, "localhost");
    }
    int n = snprintf(out, cap, "%ld@%s", (long)getpid(), host);
    TL_ASSERT(n > 0);
}

struct tl_client *tl_client_new(const struct tl_client_config *config)
{
    struct tl_client *c = TL_NEW(struct tl_client);
    char identity[320];
    tl_client_default_identity(identity, sizeof identity);
    TL_ASSERT(config->channel != NULL);
    c->channel = config->channel;
    c->namespace_name =
        tl_mem_dup(config->namespace_name.n ? config->namespace_name : TL_STR_LIT("default"));
    c->identity = tl_mem_dup(config->identity.n ? config->identity : tl_str(identity));
    c->world = config->world ? config->world : tl_world_real();
    c->pump = config->pump;
    c->retry = config->retry;
    c->eager = config->eager ? tl_eager_set_retain(config->eager) : tl_eager_set_new();
    c->rpc_timeout_ns = config->rpc_timeout_ns > 0 ? config->rpc_timeout_ns : RPC_TIMEOUT_NS;
    if (config->metrics) {
        tl_client_measure(c, config->metrics);
    }
    return c;
}

void tl_client_measure(struct tl_client *c, struct tl_metrics *metrics)
{
    TL_ASSERT(!c->measured);
    c->metrics = metrics;
    c->measured = tl_measured_channel_open(c->channel, metrics, tl_str(c->namespace_name));
    c->channel = c->measured;
}

void tl_client_free(struct tl_client *c)
{
    if (c) {
        tl_channel_close(c->measured);
        tl_eager_set_release(c->eager);
        tl_mem_free(c->namespace_name);
        tl_mem_free(c->identity);
        tl_mem_free(c);
    }
}

struct tl_str tl_client_namespace(const struct tl_client *c)
{
    return tl_str(c->namespace_name);
}

struct tl_str tl_client_identity(const struct tl_client *c)
{
    return tl_str(c->identity);
}

struct tl_channel *tl_client_channel(const struct tl_client *c)
{
    return c->channel;
}

const struct tl_world *tl_client_world(const struct tl_client *c)
{
    return c->world;
}

struct tl_metrics *tl_client_metrics(const struct tl_client *c)
{
    return c->metrics;
}

struct tl_eager_set *tl_client_eager(const struct tl_client *c)
{
    return c->eager;
}

/* --- Filling a request ------------------------------------------------------------------------- */

/* The fields that every caller would otherwise repeat. Filled for the time of the encoding and then
 * put back, so that a caller's struct never points into the client. */
struct filled {
    char **field[3];
    char *old[3];
    size_t count;
    char request_id[37];
};

static void fill_one(struct filled *f, ProtobufCMessage *msg, const char *name, char *value)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field_by_name(msg->descriptor, name);
    if (!field || field->type != PROTOBUF_C_TYPE_STRING ||
        field->label == PROTOBUF_C_LABEL_REPEATED) {
        return;
    }
    char **at = (char **)(void *)((char *)msg + field->offset);
    if (!*at || !**at) {
        f->field[f->count] = at;
        f->old[f->count++] = *at;
        *at = value;
    }
}

static void fill(struct filled *f, struct tl_client *c, void *request)
{
    f->count = 0;
    tl_uuid4(c->world, f->request_id);
    fill_one(f, request, "namespace", c->namespace_name);
    fill_one(f, request, "identity", c->identity);
    fill_one(f, request, "request_id", f->request_id);
}

static void unfill(struct filled *f)
{
    while (f->count) {
        f->count--;
        *f->field[f->count] = f->old[f->count];
    }
}

static tl_rc encode(struct tl_client *c, void *request, struct tl_buf *out, struct tl_error *err)
{
    struct filled f;
    fill(&f, c, request);
    tl_rc rc = tl_pb_encode(request, out, err);
    unfill(&f);
    return rc;
}

/* --- Waiting for one attempt ------------------------------------------------------------------- */

struct waiter {
    struct tl_client *client;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    struct tl_rpc_result *result;
};

static void waiter_init(struct waiter *w, struct tl_client *c)
{
    pthread_condattr_t attr;
    *w = (struct waiter){.client = c};
    pthread_mutex_init(&w->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->cond, &attr);
    pthread_condattr_destroy(&attr);
}

static void waiter_deinit(struct waiter *w)
{
    pthread_cond_destroy(&w->cond);
    pthread_mutex_destroy(&w->mutex);
}

static void attempt_done(void *ud, struct tl_rpc_result *res)
{
    struct waiter *w = ud;
    /* The waiter's frame may be gone as soon as the mutex is free: wake first. */
    pthread_mutex_lock(&w->mutex);
    w->result = res;
    pthread_cond_signal(&w->cond);
    if (w->client->pump.wake) {
        w->client->pump.wake(w->client->pump.ud);
    }
    pthread_mutex_unlock(&w->mutex);
}

static struct tl_rpc_result *peek(struct waiter *w)
{
    pthread_mutex_lock(&w->mutex);
    struct tl_rpc_result *res = w->result;
    pthread_mutex_unlock(&w->mutex);
    return res;
}

/* Waits until the result is there (or for the pause's end when nothing is under way). False when the
 * pump gave up. */
static bool wait_until(struct waiter *w, int64_t deadline_ns)
{
    struct tl_client *c = w->client;
    if (c->pump.pump) {
        while (!peek(w) && tl_world_mono_ns(c->world) < deadline_ns) {
            if (!c->pump.pump(c->pump.ud, deadline_ns)) {
                return false;
            }
        }
        return true;
    }
    struct timespec ts = {deadline_ns / TL_NS_PER_S, deadline_ns % TL_NS_PER_S};
    int rc = 0;
    pthread_mutex_lock(&w->mutex);
    while (!w->result && rc == 0) {
        rc = deadline_ns == INT64_MAX ? pthread_cond_wait(&w->cond, &w->mutex)
                                      : pthread_cond_timedwait(&w->cond, &w->mutex, &ts);
    }
    pthread_mutex_unlock(&w->mutex);
    return true;
}

/* One attempt. The service keeps the deadline; the second of slack is for a service that does not.
 * NULL: the pump gave up (the call is cancelled and has ended). */
static struct tl_rpc_result *attempt(struct waiter *w, enum tl_method method, struct tl_str request,
                                     int64_t timeout_ns)
{
    struct tl_client *c = w->client;
    int64_t now = tl_world_mono_ns(c->world);
    int64_t deadline = timeout_ns > 0 ? now + timeout_ns + TL_NS_PER_S : INT64_MAX;
    w->result = NULL;
    struct tl_rpc_call *call =
        tl_channel_call(c->channel, method, request, timeout_ns, attempt_done, w);
    bool gave_up = !wait_until(w, deadline);
    if (!peek(w)) {
        tl_rpc_cancel(call);
        while (!peek(w)) {
            if (c->pump.pump) {
                c->pump.pump(c->pump.ud, INT64_MAX);
            } else {
                wait_until(w, INT64_MAX);
            }
        }
    }
    tl_rpc_call_release(call);
    struct tl_rpc_result *res = peek(w);
    w->result = NULL;
    if (gave_up && res->status != 0) {
        tl_rpc_result_free(res);
        return NULL;
    }
    if (res->status == 1 && deadline != INT64_MAX && tl_world_mono_ns(c->world) >= deadline) {
        res->status = 4; /* cancelled by us, because the deadline had passed */
    }
    return res;
}

/* --- Attempts until done ----------------------------------------------------------------------- */

static int64_t attempt_timeout(struct tl_client *c, const struct tl_method_info *info, int64_t left)
{
    int64_t t = info->class == TL_METHOD_LONG ? LONG_ATTEMPT_NS : c->rpc_timeout_ns;
    return left < t ? left : t;
}

/* The last result, OK or not; NULL with err filled when there was none. */
static struct tl_rpc_result *call_with_retry(struct tl_client *c, enum tl_method method,
                                             struct tl_str request, int64_t timeout_ns,
                                             struct tl_client_error *err)
{
    const struct tl_method_info *info = tl_method_info(method);
    struct tl_retry retry = c->retry.pauses;
    struct waiter w;
    struct tl_rpc_result *res = NULL;
    bool endless = info->class == TL_METHOD_LONG && method != TL_M_QueryWorkflow;
    int64_t unary = c->retry.total_ns ? c->retry.total_ns : UNARY_TOTAL_NS;
    int64_t total = timeout_ns ? timeout_ns : endless ? -1 : unary;
    int64_t end = total > 0 ? tl_world_mono_ns(c->world) + total : INT64_MAX;
    waiter_init(&w, c);
    for (;;) {
        int64_t left = end == INT64_MAX ? INT64_MAX : end - tl_world_mono_ns(c->world);
        if (left <= 0) {
            left = 1; /* the service answers DEADLINE_EXCEEDED: one source of the error */
        }
        tl_rpc_result_free(res);
        res = attempt(&w, method, request, attempt_timeout(c, info, left));
        if (!res) {
            tl_client_error_local(err, TL_ECANCELLED, "%s was interrupted", info->name);
            break;
        }
        if (res->status == 0 || !tl_retry_allowed(res) || tl_rpc_result_is_too_large(res) ||
            (c->retry.limited && retry.attempt >= c->retry.retries_max)) {
            break;
        }
        int64_t wake = tl_world_mono_ns(c->world) + tl_retry_next_ns(&retry, res->status, c->world);
        if (wake >= end) {
            break;
        }
        TL_LOG(TL_LOG_DEBUG, "client.call_retried", TL_C("method", info->name),
               TL_I("status", res->status), TL_I("attempt", retry.attempt));
        if (!wait_until(&w, wake)) {
            break;
        }
    }
    waiter_deinit(&w);
    return res;
}

tl_rc tl_client_call_bytes(struct tl_client *c, enum tl_method method, struct tl_str request,
                           struct tl_arena *arena, struct tl_str *body, int64_t timeout_ns,
                           struct tl_client_error *err)
{
    tl_client_error_clear(err);
    struct tl_rpc_result *res = call_with_retry(c, method, request, timeout_ns, err);
    if (!res) {
        return TL_ECANCELLED;
    }
    tl_rc rc = TL_OK;
    if (res->status != 0) {
        rc = tl_client_error_from_result(res, arena, err);
    } else if (body) {
        *body = tl_arena_str(arena, res->body);
        if (res->body.n && !body->p) {
            rc =
                tl_client_error_local(err, TL_ELIMIT, "the response does not fit the memory limit");
        }
    }
    tl_rpc_result_free(res);
    return rc;
}

tl_rc tl_client_call(struct tl_client *c, enum tl_method method, void *request,
                     struct tl_arena *arena, void *resp, int64_t timeout_ns,
                     struct tl_client_error *err)
{
    struct tl_buf bytes;
    struct tl_error *plain = err ? &err->error : NULL;
    struct tl_eager_call eager;
    tl_buf_init(&bytes, RESPONSE_BYTES_MAX);
    tl_client_error_clear(err);
    TL_ASSERT(((const ProtobufCMessage *)request)->descriptor == tl_method_info(method)->input);
    tl_eager_begin(&eager, c->eager, method, request, tl_str(c->namespace_name));
    tl_rc rc = encode(c, request, &bytes, plain);
    struct tl_rpc_result *res =
        rc == TL_OK ? call_with_retry(c, method, tl_buf_str(&bytes), timeout_ns, err) : NULL;
    tl_eager_end(&eager, res && res->status == 0 ? res->body : (struct tl_str){0});
    if (rc == TL_OK && !res) {
        rc = TL_ECANCELLED;
    } else if (res && res->status != 0) {
        rc = tl_client_error_from_result(res, arena, err);
    } else if (res && resp) {
        rc = tl_pb_decode(tl_method_info(method)->output, res->body, arena, resp, plain);
    }
    tl_rpc_result_free(res);
    tl_buf_deinit(&bytes);
    return rc;
}

tl_rc tl_client_submit(struct tl_client *c, enum tl_method method, void *request,
                       int64_t timeout_ns, tl_rpc_done_fn done, void *ud, struct tl_rpc_call **call,
                       struct tl_error *err)
{
    struct tl_buf bytes;
    tl_buf_init(&bytes, RESPONSE_BYTES_MAX);
    *call = NULL;
    TL_ASSERT(((const ProtobufCMessage *)request)->descriptor == tl_method_info(method)->input);
    tl_rc rc = encode(c, request, &bytes, err);
    if (rc == TL_OK) {
        *call = tl_channel_call(c->channel, method, tl_buf_str(&bytes), timeout_ns, done, ud);
    }
    tl_buf_deinit(&bytes);
    return rc;
}
