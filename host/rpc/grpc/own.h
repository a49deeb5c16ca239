/* The methods that the gRPC port answers by itself, beside the service's: health checks and server
 * reflection. Bytes in, bytes out; streams answer each message as if it were a call.
 * Thread: any. */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/str.h"

enum tl_grpc_own {
    TL_GRPC_OWN_NONE, /* not one of them */
    TL_GRPC_OWN_HEALTH_CHECK,
    TL_GRPC_OWN_HEALTH_LIST,
    TL_GRPC_OWN_HEALTH_WATCH,     /* stream: one answer, which stays true until the port closes */
    TL_GRPC_OWN_REFLECTION,       /* stream in both directions */
    TL_GRPC_OWN_REFLECTION_ALPHA, /* the same messages under the older name */
};

/* By full path ("/grpc.health.v1.Health/Check"). */
enum tl_grpc_own tl_grpc_own_find(struct tl_str path);
bool tl_grpc_own_streams(enum tl_grpc_own method);
/* Answers one message: 0 and *body in the arena, or a gRPC status and *text, which is constant. */
int tl_grpc_own_answer(enum tl_grpc_own method, struct tl_str request, struct tl_arena *arena,
                       struct tl_str *body, struct tl_str *text);
