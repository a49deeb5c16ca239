/* Calls of an activity process to the service: they go over its socket to the worker, which makes them on its own
 * connection. So the process needs no address, no key and no codec, and reaches a server inside the worker, too.
 *
 * Process: tl_process_channel_* is a transport (rpc.h) whose calls become frames; the frame's reader hands answers in.
 * Worker: struct tl_process_calls belongs to the task that the process runs; its thread relays, done comes on any. */
#pragma once

#include <pthread.h>

#include "base/list.h"
#include "luahost/process_wire.h"
#include "rpc/rpc.h"

/* --- in the process ------------------------------------------------------------------------------ */

struct tl_process_channel {
    struct tl_channel base;
    pthread_mutex_t mutex; /* guards the rest */
    struct tl_list open;   /* calls that wait for their answer */
    uint32_t last_id;
    bool listening; /* a task runs: the worker takes frames */
};

/* For the life of the process; nothing is to be closed. */
void tl_process_channel_init(struct tl_process_channel *ch);
/* A task begins or ends. Between tasks calls are refused with FAILED_PRECONDITION. */
void tl_process_channel_listen(struct tl_process_channel *ch, bool on);
/* A frame ANSWER: ends its call. Thread: the one that reads frames. */
void tl_process_channel_answer(struct tl_process_channel *ch, struct tl_str fields);

/* --- in the worker --------------------------------------------------------------------------------- */

struct tl_process_calls {
    struct tl_channel *channel; /* borrowed; NULL: calls are refused */
    int fd;                     /* socket to the process */
    int wake;                   /* eventfd: answers have come */
    struct tl_list open;        /* all calls; of the task's thread */
    pthread_mutex_t mutex;      /* guards the rest and what calls have as their result */
    pthread_cond_t cond;
    size_t under_way;
};

void tl_process_calls_init(struct tl_process_calls *c, struct tl_channel *channel, int fd,
                           int wake);
/* A frame CALL: begins it. False: the process talks nonsense. */
bool tl_process_calls_begin(struct tl_process_calls *c, struct tl_str fields);
/* A frame HANG_UP: its caller does not wait any more. */
void tl_process_calls_hang_up(struct tl_process_calls *c, struct tl_str fields);
/* Sends the answers that have come. False: the process is gone. */
bool tl_process_calls_answer(struct tl_process_calls *c, struct tl_buf *out);
/* The task is over: cancels what is under way and waits for its end. */
void tl_process_calls_deinit(struct tl_process_calls *c);
