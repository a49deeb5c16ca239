/* The network between clients, workers and the server. Without a server calls fail as on a broken
 * connection; in the noisy phase some answers get lost: the call has had its effect, and its maker is
 * told UNAVAILABLE.
 * Ownership: a channel in front of the in-process one; a small block per call under way. */
#include <string.h>

#include "base/list.h"
#include "base/mem.h"
#include "sim/sim.h"

#define GRPC_UNAVAILABLE 14
#define LOSE_ONE_IN 40

/* Stands in for the caller. */
struct passage {
    struct sim *sim;
    tl_rpc_done_fn done;
    void *ud;
};

static void arrived(void *ud, struct tl_rpc_result *res)
{
    struct passage p = *(struct passage *)ud;
    tl_mem_free(ud);
    res->ud = p.ud;
    sim_commands_passed(p.sim, res);
    if (!p.sim->quiet && res->status == 0 && tl_rng_below(&p.sim->rng, LOSE_ONE_IN) == 0) {
        res->status = GRPC_UNAVAILABLE;
        res->body = res->details = (struct tl_str){0};
        res->message = TL_STR_LIT("the answer was lost");
        p.sim->answers_lost++;
    }
    p.done(p.ud, res);
}

static struct tl_rpc_call *call(struct tl_channel *ch, enum tl_method m, struct tl_str request,
                                int64_t timeout_ns, tl_rpc_done_fn done, void *ud)
{
    struct sim *s = TL_CONTAINER(ch, struct sim, lossy);
    struct passage *p = TL_NEW(struct passage);
    *p = (struct passage){s, done, ud};
    return tl_channel_call(s->direct, m, request, timeout_ns, arrived, p);
}

static void link_handle(void *ud, struct tl_rpc_request *req)
{
    struct sim *s = ud;
    sim_trace(s, &s->now_ns, sizeof s->now_ns);
    sim_trace(s, &req->method, sizeof req->method);
    sim_trace(s, req->body.p, req->body.n);
    if (s->server && !s->link_cut) {
        const struct tl_rpc_service *service = tl_server_service(s->server);
        service->handle(service->ud, req);
    } else {
        tl_rpc_reply(req, GRPC_UNAVAILABLE, TL_STR_LIT("the server is down"), tl_str(""),
                     tl_str(""));
    }
}

static void link_cancelled(void *ud, struct tl_rpc_request *req)
{
    struct sim *s = ud;
    if (s->server) {
        const struct tl_rpc_service *service = tl_server_service(s->server);
        service->cancelled(service->ud, req);
    } else {
        tl_rpc_request_release(req);
    }
}

struct tl_channel *sim_link_open(struct sim *s)
{
    s->link = (struct tl_rpc_service){s, link_handle, link_cancelled};
    s->direct = tl_local_channel_open(&s->link);
    /* Calls carry the header of the channel that made them: only `call` is ours. */
    s->lossy = (struct tl_channel){.call = call};
    return &s->lossy;
}

void sim_link_close(struct sim *s)
{
    tl_channel_close(s->direct);
}
