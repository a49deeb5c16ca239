/* A channel that codes: it wraps another one and applies a chain of payload codecs to every payload
 * in requests and responses, so that client, workers and commands above it see plain values and the
 * service below it only encoded ones. One door for all payloads: a message that gains a payload
 * field is covered by its descriptor.
 *
 *   caller --call--> queue --> coding thread: encode --> inner channel --> service
 *   caller <--done-- coding thread: decode <-- queue <---- inner done <---
 *
 * Methods without payloads go straight to the inner channel.
 *
 * A task whose payloads cannot be decoded is failed with that reason here, and its poll answered as
 * an empty one: the error shows in the history, and another worker may have the key.
 *
 * Ownership: the inner channel is borrowed and must outlive this one; the chains are taken over.
 * Thread: as rpc.h says of every channel; `done` runs on a coding thread. Each coding thread has its
 * own chain, and may wait in it. */
#pragma once

#include "codec/codec.h"
#include "rpc/rpc.h"

#define TL_CODING_THREADS_MAX 64

enum tl_header_codec {
    TL_HEADERS_PLAIN,         /* headers are left alone */
    TL_HEADERS_CODED,         /* in all messages */
    TL_HEADERS_WORKFLOW_ONLY, /* in what workflow tasks get and answer */
};

struct tl_coding_options {
    const struct tl_codec_chain *chains; /* one per thread; copied, the codecs are taken over */
    size_t thread_count;                 /* 1 .. TL_CODING_THREADS_MAX */
    enum tl_header_codec headers;
    /* Message and stack trace of failures travel as an encoded payload. */
    bool encode_common_attributes;
};

/* Errors: TL_EUNAVAILABLE (no thread); the chains are freed then too. */
tl_rc tl_coding_channel_open(struct tl_channel **out, struct tl_channel *inner,
                             const struct tl_coding_options *options,
                             struct tl_error *err) TL_MUST_USE;
