/* A Temporal service that a test plays by hand: requests of a worker or client arrive over the real
 * in-process transport and wait here until the test takes and answers them.
 * Thread: requests may come from any thread; the test uses one. */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "base/arena.h"
#include "base/list.h"
#include "base/world.h"
#include "client/client.h"
#include "rpc/rpc.h"

struct fake_service {
    struct tl_rpc_service service;
    struct tl_channel *channel;
    struct tl_client *client;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    struct tl_list requests; /* of struct fake_request, in order of arrival */
    int counts[TL_METHOD_COUNT];
    bool manual_start; /* the test answers GetSystemInfo and DescribeNamespace itself */
    bool poll_complete_on_shutdown, worker_commands;
    bool down; /* every request is answered UNAVAILABLE */
    struct tl_arena arena;
    /* A clock that the test moves. */
    struct tl_world world;
    int64_t now_ns;
    uint64_t random;
};

void fake_service_init(struct fake_service *f);
void fake_service_deinit(struct fake_service *f);

/* The oldest waiting request of this method, NULL when there is none. */
struct tl_rpc_request *fake_take(struct fake_service *f, enum tl_method m);
/* The same, waiting up to two seconds of real time; fails the test when none comes. */
struct tl_rpc_request *fake_wait(struct fake_service *f, enum tl_method m);
/* Lets a request that was taken wait again. */
void fake_put_back(struct fake_service *f, struct tl_rpc_request *req);
/* How many wait. */
int fake_waiting(struct fake_service *f, enum tl_method m);
/* The decoded request, in the service's arena. */
void *fake_decode(struct fake_service *f, struct tl_rpc_request *req);
/* Answers with a message, or with a status. */
void fake_reply(struct tl_rpc_request *req, const void *msg);
void fake_reply_empty(struct tl_rpc_request *req);
void fake_refuse(struct tl_rpc_request *req, int status, const char *message);
