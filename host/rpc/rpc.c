/* What all transports share: results and the calls through the vtables. */
#include "rpc/rpc.h"

#include "base/assert.h"
#include "base/mem.h"

static struct tl_str place(char **at, struct tl_str s)
{
    char *p = *at;
    if (s.n) {
        memcpy(p, s.p, s.n);
    }
    p[s.n] = 0;
    *at += s.n + 1;
    return (struct tl_str){p, s.n};
}

struct tl_rpc_result *tl_rpc_result_new(enum tl_method method, void *ud, int status,
                                        struct tl_str message, struct tl_str details,
                                        struct tl_str body)
{
    struct tl_rpc_result *r = tl_mem_alloc(sizeof *r + message.n + details.n + body.n + 3);
    char *at = (char *)(r + 1);
    r->method = method;
    r->ud = ud;
    r->status = status;
    r->final = false;
    r->message = place(&at, message);
    r->details = place(&at, details);
    r->body = place(&at, body);
    return r;
}

struct tl_rpc_result *tl_rpc_result_with_room(enum tl_method method, void *ud, size_t body_bytes,
                                              char **body)
{
    struct tl_rpc_result *r =
        body_bytes < SIZE_MAX / 2 ? tl_mem_try(sizeof *r + body_bytes + 1) : NULL;
    if (r) {
        *body = (char *)(r + 1);
        r->method = method;
        r->ud = ud;
        r->message = r->details = (struct tl_str){*body + body_bytes, 0};
        r->body = (struct tl_str){*body, body_bytes};
    }
    return r;
}

void tl_rpc_result_free(struct tl_rpc_result *r)
{
    tl_mem_free(r);
}

struct tl_rpc_call *tl_channel_call(struct tl_channel *ch, enum tl_method m, struct tl_str request,
                                    int64_t timeout_ns, tl_rpc_done_fn done, void *ud)
{
    TL_ASSERT(ch != NULL && done != NULL);
    return ch->call(ch, m, request, timeout_ns, done, ud);
}

void tl_rpc_cancel(struct tl_rpc_call *call)
{
    call->channel->cancel(call);
}

void tl_rpc_call_release(struct tl_rpc_call *call)
{
    if (call) {
        call->channel->release(call);
    }
}

void tl_channel_close(struct tl_channel *ch)
{
    if (ch) {
        ch->close(ch);
    }
}

void tl_rpc_reply(struct tl_rpc_request *req, int status, struct tl_str message,
                  struct tl_str details, struct tl_str body)
{
    if (req->answered) {
        req->answered(req->answered_ud, req, status, body);
    }
    req->ops->reply(req, status, message, details, body);
}

bool tl_rpc_request_is_cancelled(struct tl_rpc_request *req)
{
    return req->ops->is_cancelled(req);
}

void tl_rpc_request_release(struct tl_rpc_request *req)
{
    req->ops->release(req);
}

bool tl_rpc_result_is_too_large(const struct tl_rpc_result *r)
{
    static const char words[] = "larger than max"; /* every gRPC library has these */
    return r->status == 8 && memmem(r->message.p, r->message.n, words, sizeof words - 1) != NULL;
}
