/* The rate of our own gRPC: a client and a server in one process, the server answers each call at once
 * with the bytes that it got. What it reaches is the most that anything over it can.
 * Thread: main waits for results; the transport's threads do the rest. */
#include <stdio.h>
#include <string.h>

#include "base/inbox.h"
#include "base/list.h"
#include "base/mem.h"
#include "cli/bench.h"
#include "rpc/grpc.h"

#define BODY_BYTES 200

struct echo {
    struct tl_channel *channel;
    struct tl_inbox inbox;
    char body[BODY_BYTES];
    int64_t end_ns;
    int busy;
    uint64_t completed, failed;
};

struct echo_slot {
    struct echo *echo;
    struct tl_rpc_call *call;
};

static void answer(void *ud, struct tl_rpc_request *request)
{
    (void)ud;
    tl_rpc_reply(request, 0, (struct tl_str){0}, (struct tl_str){0}, request->body);
}

static void caller_gone(void *ud, struct tl_rpc_request *request)
{
    (void)ud;
    tl_rpc_request_release(request);
}

static void came_back(void *ud, struct tl_rpc_result *res)
{
    struct echo_slot *s = ud;
    res->ud = s;
    if (!tl_inbox_send_always(&s->echo->inbox, &res->msg)) {
        tl_rpc_result_free(res);
    }
}

static void call(struct echo_slot *s)
{
    struct echo *e = s->echo;
    struct tl_str body = {e->body, sizeof e->body};
    e->busy++;
    s->call = tl_channel_call(e->channel, TL_M_GetSystemInfo, body, 10 * TL_NS_PER_S, came_back, s);
}

static void drain(struct echo *e)
{
    while (e->busy > 0) {
        struct tl_msg *m = tl_inbox_take_all(&e->inbox, INT64_MAX);
        while (m) {
            struct tl_msg *next = m->next;
            struct tl_rpc_result *res = TL_CONTAINER(m, struct tl_rpc_result, msg);
            struct echo_slot *s = res->ud;
            bool good = res->status == 0 && res->body.n == sizeof e->body;
            e->completed += good;
            e->failed += !good;
            e->busy--;
            tl_rpc_call_release(s->call);
            tl_rpc_result_free(res);
            if (tl_world_mono_ns(tl_world_real()) < e->end_ns) {
                call(s);
            }
            m = next;
        }
    }
}

static tl_rc run(struct tl_bench *b, int port, struct tl_error *err)
{
    char address[32];
    struct echo e = {0};
    struct tl_grpc_channel_options options = {.address = address};
    snprintf(address, sizeof address, "localhost:%d", port);
    tl_rc rc = tl_grpc_channel_open(&e.channel, &options, err);
    if (rc != TL_OK) {
        return rc;
    }
    struct echo_slot *slots = TL_NEW_ARRAY(struct echo_slot, (size_t)b->in_flight);
    memset(e.body, 'x', sizeof e.body);
    tl_inbox_init(&e.inbox, (size_t)b->in_flight * 2);
    int64_t began_ns = tl_world_mono_ns(tl_world_real());
    double cpu = tl_bench_cpu_seconds();
    e.end_ns = began_ns + b->duration_ns;
    for (int i = 0; i < b->in_flight; i++) {
        slots[i].echo = &e;
        call(&slots[i]);
    }
    drain(&e);
    double seconds = (double)(tl_world_mono_ns(tl_world_real()) - began_ns) / 1e9;
    cpu = tl_bench_cpu_seconds() - cpu;
    tl_channel_close(e.channel);
    tl_inbox_deinit(&e.inbox);
    tl_mem_free(slots);
    if (e.failed) {
        return tl_error_set(err, TL_EINTERNAL, "%llu calls failed", (unsigned long long)e.failed);
    }
    tl_bench_figure(b, "echo", (double)e.completed / seconds, "calls/s");
    tl_bench_figure(b, "echo_cpu", cpu * 1e6 / (double)(e.completed ? e.completed : 1), "us each");
    return TL_OK;
}

tl_rc tl_bench_echo(struct tl_bench *b, struct tl_error *err)
{
    const struct tl_rpc_service service = {.handle = answer, .cancelled = caller_gone};
    const struct tl_grpc_server_options options = {0};
    struct tl_grpc_server *server;
    tl_rc rc = tl_grpc_server_open(&server, &options, &service, err);
    if (rc == TL_OK) {
        rc = run(b, tl_grpc_server_port(server), err);
        tl_grpc_server_close(server);
    }
    return rc;
}
