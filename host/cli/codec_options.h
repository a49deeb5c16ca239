/* The codec server that --codec-endpoint names. Thread: main. */
#pragma once

#include "cli/cli.h"
#include "codec/codec.h"
#include "rpc/rpc.h"

/* --codec-tls-...: the options that are texts, under the names that temporal.codec.remote has for them. */
struct tl_cli_codec_tls {
    const char *option, *field;
    size_t offset; /* of a text in struct tl_fetch_tls_options */
};
/* The last has option NULL. */
extern const struct tl_cli_codec_tls tl_cli_codec_tls_texts[];
#define TL_CLI_CODEC_ANY_HOST "codec-tls-disable-host-verification"
/* The texts stay the command line's. False: none of the options is given. */
bool tl_cli_codec_tls(struct tl_cli *cli, struct tl_fetch_tls_options *out);
/* --codec-endpoint; NULL when there is none. Errors: TL_EINVAL (auth, headers or TLS without it; TLS for an
 * endpoint without https). */
tl_rc tl_cli_codec_endpoint(struct tl_cli *cli, const char **out, struct tl_error *err) TL_MUST_USE;
/* A channel above `inner` that asks the codec server, *out; NULL without --codec-endpoint. It borrows
 * `inner`. Errors: TL_EINVAL (the endpoint, a header, as above). */
tl_rc tl_cli_codec_open(struct tl_cli *cli, struct tl_channel *inner, struct tl_channel **out,
                        struct tl_error *err) TL_MUST_USE;
