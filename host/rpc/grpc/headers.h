/* What every call of a channel carries: who we are, the namespace, the API key, the user's metadata.
 * A set never changes; a channel swaps in another one, and a call holds the set it starts with.
 * Thread: any. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "rpc/grpc.h"
#include "rpc/grpc/common.h"

#define TL_GRPC_HEADERS_MAX 64
#define TL_GRPC_API_KEY_BYTES_MAX ((size_t)64 * 1024)

struct tl_grpc_headers {
    atomic_int holds;
    size_t count;
    size_t fixed; /* the first ones: client and namespace */
    bool has_key; /* then the API key; the rest is metadata */
    grpc_metadata list[TL_GRPC_HEADERS_MAX];
};

/* The set of a new channel. Owns: *out (tl_grpc_headers_release). Errors: TL_EINVAL. */
tl_rc tl_grpc_headers_new(struct tl_grpc_headers **out, const struct tl_grpc_channel_options *o,
                          struct tl_error *err) TL_MUST_USE;
/* The same with another API key (NULL: none), or with other metadata. Owns and Errors as above. */
tl_rc tl_grpc_headers_with_api_key(struct tl_grpc_headers **out, const struct tl_grpc_headers *old,
                                   const char *api_key, struct tl_error *err) TL_MUST_USE;
tl_rc tl_grpc_headers_with_metadata(struct tl_grpc_headers **out, const struct tl_grpc_headers *old,
                                    const struct tl_grpc_header *metadata, size_t count,
                                    struct tl_error *err) TL_MUST_USE;
struct tl_grpc_headers *tl_grpc_headers_retain(struct tl_grpc_headers *h);
void tl_grpc_headers_release(struct tl_grpc_headers *h); /* NULL is fine */
