/* Private to worker/: one Nexus task in work. */
#pragma once

#include "proto/pb.h"
#include "worker/answer.h"
#include "worker/operation.h"
#include "worker/worker_int.h"

enum tl_op_end {
    TL_OP_OPEN,
    TL_OP_COMPLETED,    /* end_body: TpCommon__Payload or NULL */
    TL_OP_STARTED,      /* end_body: the token, a text */
    TL_OP_FAILED,       /* end_body: TpFailure__Failure */
    TL_OP_CANCEL_TAKEN, /* end_body: NULL */
    TL_OP_REFUSED,      /* end_body: TpFailure__Failure of a handler */
    TL_OP_DROPPED,      /* end_body: NULL */
};

/* Owned by its thread until the answer is sent, then by who gets the server's word on it: the transport's
 * callback, or control when the answer was refused. */
struct tl_op {
    struct tl_operation pub; /* first: what handlers see */
    struct tl_worker *worker;
    const TpWs__PollNexusTaskQueueResponse *task; /* in the arena */
    struct tl_arena arena;
    struct tl_list running;   /* pool.operations, under running_mutex */
    int64_t begun_ns;         /* monotonic */
    int64_t deadline_mono_ns; /* INT64_MAX: none */

    pthread_mutex_t mutex;
    pthread_cond_t cond; /* reasons changed, or the shutdown has begun */
    atomic_uint reasons; /* written under the mutex */

    /* the thread's; control's once the answer is sent */
    struct tl_pb_list links; /* of TpNexus__Link */
    enum tl_op_end end;
    const void *end_body; /* in the arena */
    struct tl_answer answer;
};
