/* The rate of our own gRPC: a client and a server in one process, the server answers each call at once
 * with the bytes that it got. What it reaches is the most that anything over it can. With an address the
 * server there is asked what it is, so that the CPU time is that of the client's end alone: the least that
 * a worker can take for a call.
 * Thread: main waits for results; the transport's threads do the rest. */
#include <stdio.h>
#include <string.h>

#include "base/inbox.h"
#include "base/list.h"
#include "base/mem.h"
#include "cli/bench.h"
#include "rpc/grpc.h"

#define BODY_BYTES 200
/* A request of the usual size that every server reads: one field that nobody knows. */
#define UNKNOWN_FIELD "\x7a\xc5\x01" /* number 15, 197 bytes */

struct echo {
    struct tl_channel *channel;
    bool other_server; /* it answers in its own words */
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
            bool good = res->status == 0 && (e->other_server || res->body.n == sizeof e->body);
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

/* Calls on the channel for the duration. */
static tl_rc measure(struct tl_bench *b, struct echo *e, struct tl_error *err)
{
    struct echo_slot *slots = TL_NEW_ARRAY(struct echo_slot, (size_t)b->in_flight);
    memset(e->body, 'x', sizeof e->body);
    memcpy(e->body, UNKNOWN_FIELD, sizeof UNKNOWN_FIELD - 1);
    tl_inbox_init(&e->inbox, (size_t)b->in_flight * 2);
    int64_t began_ns = tl_world_mono_ns(tl_world_real());
    double cpu = tl_bench_cpu_seconds();
    e->end_ns = began_ns + b->duration_ns;
    for (int i = 0; i < b->in_flight; i++) {
        slots[i].echo = e;
        call(&slots[i]);
    }
    drain(e);
    double seconds = (double)(tl_world_mono_ns(tl_world_real()) - began_ns) / 1e9;
    cpu = tl_bench_cpu_seconds() - cpu;
    tl_inbox_deinit(&e->inbox);
    tl_mem_free(slots);
    if (e->failed) {
        return tl_error_set(err, TL_EINTERNAL, "%llu calls failed", (unsigned long long)e->failed);
    }
    tl_bench_figure(b, "echo", (double)e->completed / seconds, "calls/s");
    tl_bench_figure(b, e->other_server ? "echo_client_cpu" : "echo_cpu",
                    cpu * 1e6 / (double)(e->completed ? e->completed : 1), "us each");
    return TL_OK;
}

static tl_rc of_other_server(struct tl_bench *b, struct tl_error *err)
{
    struct echo e = {.other_server = true};
    tl_rc rc = tl_cli_remote_open(&b->server, b->cli, b->address, "default", err);
    if (rc == TL_OK) {
        e.channel = b->server.channel;
        rc = measure(b, &e, err);
    }
    tl_cli_server_close(&b->server);
    return rc;
}

static tl_rc of_own_server(struct tl_bench *b, struct tl_error *err)
{
    const struct tl_rpc_service service = {.handle = answer, .cancelled = caller_gone};
    const struct tl_grpc_server_options options = {0};
    struct tl_grpc_server *server;
    tl_rc rc = tl_grpc_server_open(&server, &options, &service, err);
    if (rc != TL_OK) {
        return rc;
    }
    char address[32];
    struct echo e = {0};
    struct tl_grpc_channel_options channel = {.address = address};
    snprintf(address, sizeof address, "localhost:%d", tl_grpc_server_port(server));
    rc = tl_grpc_channel_open(&e.channel, &channel, err);
    if (rc == TL_OK) {
        rc = measure(b, &e, err);
        tl_channel_close(e.channel);
    }
    tl_grpc_server_close(server);
    return rc;
}

tl_rc tl_bench_echo(struct tl_bench *b, struct tl_error *err)
{
    return b->address ? of_other_server(b, err) : of_own_server(b, err);
}
