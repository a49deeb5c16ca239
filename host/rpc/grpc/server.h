/* The server's two halves: the listening side (server.c) and one call (server_call.c).
 * Thread: `accept`, `received` and `closed` of calls run on the server's completion thread, replies
 * come from any thread. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "rpc/grpc.h"
#include "rpc/grpc/common.h"
#include "rpc/grpc/credentials.h"

struct tl_grpc_server {
    const struct tl_rpc_service *service;
    grpc_server *grpc;
    grpc_completion_queue *cq;
    pthread_t thread;
    struct tl_grpc_cert_files *files; /* NULL: plain text */
    int port;
    struct tl_grpc_tag shutdown_tag;
    atomic_bool closing;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    size_t live;            /* guarded: calls, with those that wait for a peer */
    bool shutdown_done;     /* guarded */
    struct tl_list calls;   /* guarded: delivered to the service and not yet freed */
    struct tl_list streams; /* guarded: struct tl_grpc_stream that are not over */
};

/* One more call waits for a peer. Thread: any. */
void tl_grpc_call_expect(struct tl_grpc_server *s);
/* Tells the service of every long poll it holds that its caller has gone; they are answered
 * UNAVAILABLE. Thread: any. */
void tl_grpc_calls_give_up_polls(struct tl_grpc_server *s);
