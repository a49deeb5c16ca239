/* The connection of a channel to its address, and its successor when files of certificates have changed: the calls
 * under way end on the old one, which stays in use until the server has accepted the new one. So a certificate that
 * is renewed in two steps, or is no good, disturbs nobody.
 * Thread: any. */
#pragma once

#include <grpc/grpc.h>
#include <stdatomic.h>

#include "rpc/grpc.h"

struct tl_grpc_link {
    grpc_channel *grpc;
    atomic_int holds; /* the channel's, and one of each call on it */
};

struct tl_grpc_links;

/* Owns: *out (tl_grpc_links_close); the options are copied. Errors: TL_EINVAL (the proxy, certificates). */
tl_rc tl_grpc_links_open(struct tl_grpc_links **out, const struct tl_grpc_channel_options *o,
                         struct tl_error *err) TL_MUST_USE;
/* For a new call. Looks at the files of certificates once a second; what cannot be used is logged once, until it
 * can. Owns: the caller, tl_grpc_link_release. */
struct tl_grpc_link *tl_grpc_links_take(struct tl_grpc_links *links);
void tl_grpc_link_release(struct tl_grpc_link *link);
/* NULL is fine; calls may still hold a link. */
void tl_grpc_links_close(struct tl_grpc_links *links);
