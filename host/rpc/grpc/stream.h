/* One stream of the methods that the port answers itself (own.h). It reads a message, answers it, and
 * reads the next; a Watch stays open behind its one answer.
 * Ownership: made and freed by its call, which it holds while an operation is under way and until it is
 * over: ended by the port with a status, or its peer gone.
 * Thread: begin, gone and free: completions; end_all: any. */
#pragma once

#include "rpc/grpc/own.h"
#include "rpc/grpc/server.h"

struct tl_grpc_stream;

/* What holds the call that a stream belongs to. */
struct tl_grpc_hold {
    void (*take)(void *call);
    void (*let_go)(void *call);
    void *call;
};

struct tl_grpc_stream *tl_grpc_stream_begin(struct tl_grpc_server *s, grpc_call *grpc,
                                            enum tl_grpc_own method, struct tl_grpc_hold hold);
/* The peer, its deadline or its connection is gone. */
void tl_grpc_stream_gone(struct tl_grpc_stream *st);
void tl_grpc_stream_free(struct tl_grpc_stream *st); /* NULL is fine */

/* Ends every stream UNAVAILABLE: the port closes. Those that begin later end at once. */
void tl_grpc_streams_end(struct tl_grpc_server *s);
