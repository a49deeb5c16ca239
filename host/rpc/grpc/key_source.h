/* An API key that changes while a channel lives: it stands in a file, or a function of the program tells it.
 * A call that starts looks whether it is time to ask again; what cannot be had leaves the last key.
 * Thread: any; one at a time asks, the others go on with the key that is there. */
#pragma once

#include "rpc/grpc.h"

struct tl_grpc_key_source;

/* The source that the options name, and its first key; *out and *key NULL when they name none.
 * Owns: *out (tl_grpc_key_source_free), *key (tl_mem_free). Errors: TL_EINVAL (two sources, a file that cannot be
 * read or is empty, what the function says). */
tl_rc tl_grpc_key_source_open(struct tl_grpc_key_source **out, char **key,
                              const struct tl_grpc_channel_options *o,
                              struct tl_error *err) TL_MUST_USE;
/* Another key, when it is time to ask and there is one; else NULL (also where s is NULL). What goes wrong is logged
 * once, until it goes well again. Owns: the caller, tl_mem_free. */
char *tl_grpc_key_source_take(struct tl_grpc_key_source *s);
void tl_grpc_key_source_free(struct tl_grpc_key_source *s); /* NULL is fine */
