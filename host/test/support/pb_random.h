/* Random protobuf messages of any type from a seed, for round trips and mutations. They are valid:
 * text is UTF-8, times are in range, map keys may repeat. Thread: any. */
#pragma once

#include "base/rng.h"
#include "proto/pb.h"

struct tl_test_pb {
    struct tl_rng rng;
    struct tl_arena *arena;
    unsigned depth_max; /* levels of sub-messages */
    bool unique_keys;   /* maps have at most one entry */
};

/* The message is in the arena; the test fails when that is full. */
void *tl_test_pb_message(struct tl_test_pb *t, const ProtobufCMessageDescriptor *desc);
/* How many types there are (tl_pb_message_at). */
size_t tl_test_pb_count(void);
