/* Whose payloads a message holds, as its own fields say: what payload codecs and drivers of external
 * storage are told. Read by the names of fields, so that a request which is new is covered when it names
 * its workflow, activity or operation as all others do. Thread: any. */
#pragma once

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"

enum tl_payload_owner {
    TL_PAYLOAD_OF_NOTHING, /* nothing tells */
    TL_PAYLOAD_OF_WORKFLOW,
    TL_PAYLOAD_OF_ACTIVITY,
    TL_PAYLOAD_OF_NEXUS,
};

/* Texts are empty where they are not known, and are those of the message that was read. */
struct tl_payload_context {
    enum tl_payload_owner owner;
    bool is_local; /* of an activity */
    struct tl_str namespace_;
    struct tl_str workflow_id, run_id, workflow_type;
    struct tl_str task_queue; /* of the workflow, or of the activity */
    struct tl_str activity_id, activity_type, activity_run_id;
    struct tl_str endpoint, service, operation;
};

/* Adds what the fields of msg (a pointer to any generated struct) say to what the message around it said:
 * another workflow, or one of this workflow's activities or operations. */
void tl_payload_context_read(struct tl_payload_context *c, const void *msg);
/* The same for the message that is set in a oneof of msg: the attributes of a command or an event. Returns
 * it; NULL: none is set. */
const ProtobufCMessage *tl_payload_context_read_inner(struct tl_payload_context *c,
                                                      const void *msg);
/* A string or bytes field of any message; empty when there is no such field. */
struct tl_str tl_payload_text_field(const void *msg, const char *name);
/* An int64 field of any message; 0 when there is no such field. */
int64_t tl_payload_int_field(const void *msg, const char *name);
/* Bytes of a context's texts together. */
size_t tl_payload_context_bytes(const struct tl_payload_context *c);
/* A copy whose texts are in `room`, which has as many bytes. */
void tl_payload_context_pack(struct tl_payload_context *out, const struct tl_payload_context *c,
                             char *room);
