/* Private to the folder: what descriptions of runs are written with. A description is built in one go
 * and asked at its end whether the arena was large enough, so none of its lines checks.
 * Thread: the run's owner. Owns: results live in the arena. */
#pragma once

#include "proto/pb.h"
#include "server/history/rs.h"

/* Where a description is written; `full` once the arena was too small for a part of it. */
struct tl_out {
    struct tl_arena *a;
    bool full;
};

/* p as it is; NULL says that the arena is full. */
void *tl_out_check(struct tl_out *o, void *p);
/* s, or "" for NULL. */
char *tl_out_copy(struct tl_out *o, const char *s);
/* A time since 1970; NULL for none (0). */
Google__Protobuf__Timestamp *tl_out_time(struct tl_out *o, int64_t ns);
Google__Protobuf__Duration *tl_out_span(struct tl_out *o, int64_t ns);
/* The message in b; NULL for no bytes. */
void *tl_out_decode(struct tl_out *o, const struct tl_blob *b,
                    const ProtobufCMessageDescriptor *desc);
