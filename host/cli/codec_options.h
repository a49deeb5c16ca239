/* The codec server that --codec-endpoint names. Thread: main. */
#pragma once

#include "cli/cli.h"
#include "rpc/rpc.h"

/* --codec-endpoint; NULL when there is none. Errors: TL_EINVAL (auth or headers without it). */
tl_rc tl_cli_codec_endpoint(struct tl_cli *cli, const char **out, struct tl_error *err) TL_MUST_USE;
/* A channel above `inner` that asks the codec server, *out; NULL without --codec-endpoint. It borrows
 * `inner`. Errors: TL_EINVAL (the endpoint, a header, as above). */
tl_rc tl_cli_codec_open(struct tl_cli *cli, struct tl_channel *inner, struct tl_channel **out,
                        struct tl_error *err) TL_MUST_USE;
