/* See fake_service.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "test/support/fake_service.h"

#include <time.h>

#include "base/mem.h"
#include "proto/pb.h"

struct fake_request {
    struct tl_list node;
    struct tl_rpc_request *req;
};

static int64_t now(void *ud)
{
    return ((struct fake_service *)ud)->now_ns;
}

static uint64_t random_bits(void *ud)
{
    return ((struct fake_service *)ud)->random += UINT64_C(0x9e3779b97f4a7c15);
}

static bool answer_start(struct fake_service *f, struct tl_rpc_request *req)
{
    if (f->manual_start) {
        return false;
    }
    if (req->method == TL_M_GetSystemInfo) {
        TpWs__GetSystemInfoResponse r = TP_WS__GET_SYSTEM_INFO_RESPONSE__INIT;
        TpWs__GetSystemInfoResponse__Capabilities c =
            TP_WS__GET_SYSTEM_INFO_RESPONSE__CAPABILITIES__INIT;
        c.sdk_metadata = true;
        r.capabilities = &c;
        fake_reply(req, &r);
        return true;
    }
    if (req->method == TL_M_DescribeNamespace) {
        TpWs__DescribeNamespaceResponse r = TP_WS__DESCRIBE_NAMESPACE_RESPONSE__INIT;
        TpNamespace__NamespaceInfo info = TP_NAMESPACE__NAMESPACE_INFO__INIT;
        TpNamespace__NamespaceInfo__Capabilities c =
            TP_NAMESPACE__NAMESPACE_INFO__CAPABILITIES__INIT;
        c.worker_poll_complete_on_shutdown = f->poll_complete_on_shutdown;
        c.worker_commands = f->worker_commands;
        info.capabilities = &c;
        r.namespace_info = &info;
        fake_reply(req, &r);
        return true;
    }
    return false;
}

static void handle(void *ud, struct tl_rpc_request *req)
{
    struct fake_service *f = ud;
    pthread_mutex_lock(&f->mutex);
    f->counts[req->method]++;
    bool down = f->down;
    pthread_mutex_unlock(&f->mutex);
    if (down) {
        fake_refuse(req, 14, "the service is down");
        return;
    }
    if (answer_start(f, req)) {
        return;
    }
    fake_put_back(f, req);
}

void fake_put_back(struct fake_service *f, struct tl_rpc_request *req)
{
    struct fake_request *r = TL_NEW(struct fake_request);
    r->req = req;
    pthread_mutex_lock(&f->mutex);
    tl_list_push(&f->requests, &r->node);
    pthread_cond_broadcast(&f->cond);
    pthread_mutex_unlock(&f->mutex);
}

/* Only requests that still wait are answered; one that the test has taken is the test's. */
static void cancelled(void *ud, struct tl_rpc_request *req)
{
    struct fake_service *f = ud;
    struct fake_request *found = NULL;
    pthread_mutex_lock(&f->mutex);
    TL_LIST_EACH (n, &f->requests) {
        struct fake_request *r = TL_CONTAINER(n, struct fake_request, node);
        if (r->req == req) {
            found = r;
            tl_list_remove(n);
        }
    }
    pthread_mutex_unlock(&f->mutex);
    if (found) {
        tl_mem_free(found);
        fake_refuse(req, 1, "cancelled by the caller");
    }
    tl_rpc_request_release(req);
}

void fake_service_init(struct fake_service *f)
{
    *f = (struct fake_service){.now_ns = 1000 * TL_NS_PER_S};
    f->service = (struct tl_rpc_service){f, handle, cancelled};
    f->world = (struct tl_world){f, now, now, random_bits};
    pthread_mutex_init(&f->mutex, NULL);
    pthread_cond_init(&f->cond, NULL);
    tl_list_init(&f->requests);
    tl_arena_init(&f->arena, TL_ARENA_UNLIMITED);
    f->channel = tl_local_channel_open(&f->service);
    struct tl_client_config config = {.channel = f->channel, .identity = TL_STR_LIT("tester")};
    f->client = tl_client_new(&config);
}

void fake_service_deinit(struct fake_service *f)
{
    assert_true(tl_list_empty(&f->requests));
    tl_client_free(f->client);
    tl_channel_close(f->channel);
    tl_arena_deinit(&f->arena);
    pthread_mutex_destroy(&f->mutex);
    pthread_cond_destroy(&f->cond);
}

static struct tl_rpc_request *take_locked(struct fake_service *f, enum tl_method m)
{
    TL_LIST_EACH (n, &f->requests) {
        struct fake_request *r = TL_CONTAINER(n, struct fake_request, node);
        if (r->req->method == m) {
            struct tl_rpc_request *req = r->req;
            tl_list_remove(n);
            tl_mem_free(r);
            return req;
        }
    }
    return NULL;
}

struct tl_rpc_request *fake_take(struct fake_service *f, enum tl_method m)
{
    pthread_mutex_lock(&f->mutex);
    struct tl_rpc_request *req = take_locked(f, m);
    pthread_mutex_unlock(&f->mutex);
    return req;
}

struct tl_rpc_request *fake_wait(struct fake_service *f, enum tl_method m)
{
    struct timespec ts;
    struct tl_rpc_request *req;
    int rc = 0;
    clock_gettime(CLOCK_REALTIME, &ts);
    ts.tv_sec += 60; /* it comes, however busy the machine is */
    pthread_mutex_lock(&f->mutex);
    while ((req = take_locked(f, m)) == NULL && rc == 0) {
        rc = pthread_cond_timedwait(&f->cond, &f->mutex, &ts);
    }
    pthread_mutex_unlock(&f->mutex);
    assert_non_null(req);
    return req;
}

int fake_waiting(struct fake_service *f, enum tl_method m)
{
    int n = 0;
    pthread_mutex_lock(&f->mutex);
    TL_LIST_EACH (it, &f->requests) {
        n += TL_CONTAINER(it, struct fake_request, node)->req->method == m;
    }
    pthread_mutex_unlock(&f->mutex);
    return n;
}

void *fake_decode(struct fake_service *f, struct tl_rpc_request *req)
{
    void *msg = NULL;
    assert_int_equal(
        tl_pb_decode(tl_method_info(req->method)->input, req->body, &f->arena, &msg, NULL), TL_OK);
    return msg;
}

void fake_reply(struct tl_rpc_request *req, const void *msg)
{
    struct tl_buf b;
    tl_buf_init(&b, (size_t)1 << 30);
    assert_int_equal(tl_pb_encode(msg, &b, NULL), TL_OK);
    tl_rpc_reply(req, 0, (struct tl_str){0}, (struct tl_str){0}, tl_buf_str(&b));
    tl_buf_deinit(&b);
}

void fake_reply_empty(struct tl_rpc_request *req)
{
    tl_rpc_reply(req, 0, (struct tl_str){0}, (struct tl_str){0}, (struct tl_str){0});
}

void fake_refuse(struct tl_rpc_request *req, int status, const char *message)
{
    tl_rpc_reply(req, status, tl_str(message), (struct tl_str){0}, (struct tl_str){0});
}
