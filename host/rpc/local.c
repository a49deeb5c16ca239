/* In-process transport. One block per call holds the caller's handle and the server's request; it
 * is freed when the last of them (and a pending cancel notice) lets go.
 * Cancellation is a request to the server, which answers the call early; the reply always comes from
 * the server, so done fires exactly once without a lock. */
#include <stdatomic.h>
#include <time.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/mem.h"
#include "rpc/rpc.h"

struct local_channel {
    struct tl_channel base;
    const struct tl_rpc_service *service;
    atomic_size_t live; /* calls not yet freed; closing with live calls is a bug */
};

struct local_call {
    struct tl_rpc_call base;
    struct tl_rpc_request request;
    tl_rpc_done_fn done;
    void *ud;
    atomic_int holds;
    atomic_bool cancelled, replied;
    char body[];
};

static struct local_channel *channel_of(struct tl_channel *ch)
{
    return TL_CONTAINER(ch, struct local_channel, base);
}

static struct local_call *call_of(struct tl_rpc_call *call)
{
    return TL_CONTAINER(call, struct local_call, base);
}

static struct local_call *of_request(struct tl_rpc_request *req)
{
    return TL_CONTAINER(req, struct local_call, request);
}

static void let_go(struct local_call *c)
{
    if (atomic_fetch_sub(&c->holds, 1) == 1) {
        atomic_fetch_sub(&channel_of(c->base.channel)->live, 1);
        tl_mem_free(c);
    }
}

static void reply(struct tl_rpc_request *req, int status, struct tl_str message,
                  struct tl_str details, struct tl_str body)
{
    struct local_call *c = of_request(req);
    TL_ASSERT(!atomic_exchange(&c->replied, true));
    c->done(c->ud, tl_rpc_result_new(req->method, c->ud, status, message, details, body));
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

static void release_request(struct tl_rpc_request *req)
{
    let_go(of_request(req));
}

static const struct tl_rpc_request_ops request_ops = {reply, is_cancelled, retain, release_request};

static struct tl_rpc_call *call(struct tl_channel *ch, enum tl_method m, struct tl_str request,
                                int64_t timeout_ns, tl_rpc_done_fn done, void *ud)
{
    struct local_channel *lc = channel_of(ch);
    struct local_call *c = tl_mem_alloc(sizeof *c + request.n + 1);
    if (request.n) {
        memcpy(c->body, request.p, request.n);
    }
    c->base.channel = ch;
    c->request.method = m;
    c->request.body = (struct tl_str){c->body, request.n};
    c->request.timeout_ns = timeout_ns > 0 ? timeout_ns : 0;
    c->request.ops = &request_ops;
    c->done = done;
    c->ud = ud;
    atomic_store(&c->holds, 2); /* the caller and the server */
    atomic_fetch_add(&lc->live, 1);
    lc->service->handle(lc->service->ud, &c->request);
    return &c->base;
}

static void cancel(struct tl_rpc_call *handle)
{
    struct local_call *c = call_of(handle);
    const struct tl_rpc_service *service = channel_of(handle->channel)->service;
    if (!atomic_exchange(&c->cancelled, true) && !atomic_load(&c->replied)) {
        atomic_fetch_add(&c->holds, 1); /* for the notice */
        service->cancelled(service->ud, &c->request);
    }
}

static void release(struct tl_rpc_call *handle)
{
    let_go(call_of(handle));
}

static void close_channel(struct tl_channel *ch)
{
    struct local_channel *lc = channel_of(ch);
    /* The replying thread lets go of a call only after done has run: what done posted may have
     * brought us here first. */
    for (int i = 0; atomic_load(&lc->live) != 0 && i < 1000; i++) {
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    TL_ASSERT(atomic_load(&lc->live) == 0);
    tl_mem_free(lc);
}

struct tl_channel *tl_local_channel_open(const struct tl_rpc_service *service)
{
    struct local_channel *lc = TL_NEW(struct local_channel);
    lc->base = (struct tl_channel){call, cancel, release, close_channel};
    lc->service = service;
    return &lc->base;
}
