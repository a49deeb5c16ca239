/* See codec_options.h. */
#include "cli/codec_options.h"

#include <string.h>

#include "base/mem.h"
#include "codec/channel.h"

#define CODEC_TIMEOUT_MS 30000
#define HEADERS_MAX 60

/* KEY=VALUE as "KEY: VALUE". Returns how many; their texts are owned by the caller. */
static size_t read_headers(const char *const *texts, char **out)
{
    size_t n = 0;
    for (; texts[n] && n < HEADERS_MAX; n++) {
        size_t name_n = strcspn(texts[n], "="), value_n = strlen(texts[n] + name_n + 1);
        out[n] = tl_mem_alloc(name_n + value_n + 3);
        memcpy(out[n], texts[n], name_n);
        memcpy(out[n] + name_n, ": ", 2);
        memcpy(out[n] + name_n + 2, texts[n] + name_n + 1, value_n + 1);
    }
    out[n] = NULL;
    return n;
}

tl_rc tl_cli_codec_endpoint(struct tl_cli *cli, const char **out, struct tl_error *err)
{
    const char *alone = tl_cli_texts(cli, "codec-header")[0] ? "codec-header"
                        : tl_cli_given(cli, "codec-auth")    ? "codec-auth"
                                                             : NULL;
    *out = tl_cli_text(cli, "codec-endpoint");
    return *out || !alone ? TL_OK
                          : tl_error_set(err, TL_EINVAL, "--%s needs --codec-endpoint", alone);
}

tl_rc tl_cli_codec_open(struct tl_cli *cli, struct tl_channel *inner, struct tl_channel **out,
                        struct tl_error *err)
{
    const char *endpoint, *auth = tl_cli_text(cli, "codec-auth");
    char *headers[HEADERS_MAX + 1];
    *out = NULL;
    tl_rc rc = tl_cli_codec_endpoint(cli, &endpoint, err);
    if (rc != TL_OK || !endpoint) {
        return rc;
    }
    size_t n = read_headers(tl_cli_texts(cli, "codec-header"), headers);
    struct tl_codec_remote remote = {
        .endpoint = tl_str(endpoint),
        .namespace_name = tl_str(tl_cli_text(cli, "namespace")),
        .auth = auth ? tl_str(auth) : (struct tl_str){NULL, 0},
        .headers = (const char *const *)headers,
        .timeout_ms = CODEC_TIMEOUT_MS,
    };
    struct tl_codec_chain chain = {0};
    rc = tl_codec_remote(&chain.items[0], &remote, err);
    if (rc == TL_OK) {
        chain.n = 1;
        struct tl_coding_options o = {.chains = &chain, .thread_count = 1};
        rc = tl_coding_channel_open(out, inner, &o, err);
    }
    for (size_t i = 0; i < n; i++) {
        tl_mem_free(headers[i]);
    }
    return rc;
}
