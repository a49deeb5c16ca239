/* Frames between a worker and its activity processes, over one socket. A frame is its length (u32, little
 * endian, of what follows), its kind (one byte) and its fields; a field is its length (u32) and its bytes.
 *
 *   to the process                            to the worker
 *   HELLO  what states are made of            READY   the modules are set up
 *   TASK   name, task, flags, namespace ...   ERROR   why they are not
 *   CHANGE cancel reasons, shutting down      BEAT    details of a heartbeat
 *   ANSWER of a call                          METRIC  a value that was recorded
 *                                             CALL    id, method, timeout, request
 *                                             HANG_UP id of a call whose caller does not wait
 *                                             END     how, result or failure
 *
 * The worker's end of the socket closes: the process tears down when it is idle, else it ends at once.
 * Thread: one writer and one reader for each direction. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

enum tl_process_frame {
    TL_PF_HELLO = 1,
    TL_PF_TASK,
    TL_PF_CHANGE,
    TL_PF_READY,
    TL_PF_ERROR,
    TL_PF_BEAT,
    TL_PF_END,
    TL_PF_METRIC,
    TL_PF_CALL,
    TL_PF_HANG_UP,
    TL_PF_ANSWER,
};

#define TL_PROCESS_FRAME_MAX ((size_t)1 << 30)
#define TL_PROCESS_FD 3 /* of the socket, in the process */

/* Begins a frame in b, which is cleared. */
void tl_process_begin(struct tl_buf *b, enum tl_process_frame kind);
void tl_process_put(struct tl_buf *b, struct tl_str field);
void tl_process_put_u32(struct tl_buf *b, uint32_t field);
/* Sends it. False: the peer is gone. */
bool tl_process_send(int fd, struct tl_buf *b);
/* Waits for a whole frame. False: the peer is gone, or sends what is no frame. *fields is in b. */
bool tl_process_receive(int fd, struct tl_buf *b, enum tl_process_frame *kind,
                        struct tl_str *fields);
/* Takes the next field off the front; empty (0) at the end. */
struct tl_str tl_process_take(struct tl_str *fields);
uint32_t tl_process_take_u32(struct tl_str *fields);
