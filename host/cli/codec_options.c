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

#define TEXT(option, name, member)                                                                 \
    {                                                                                              \
        "codec-tls-" option, name, offsetof(struct tl_fetch_tls_options, member)                   \
    }
const struct tl_cli_codec_tls tl_cli_codec_tls_texts[] = {
    TEXT("ca-path", "server_root_ca_cert_path", server_root_ca_cert.path),
    TEXT("ca-data", "server_root_ca_cert", server_root_ca_cert.text),
    TEXT("cert-path", "client_cert_path", client_cert.path),
    TEXT("cert-data", "client_cert", client_cert.text),
    TEXT("key-path", "client_private_key_path", client_private_key.path),
    TEXT("key-data", "client_private_key", client_private_key.text),
    TEXT("server-name", "domain", domain),
    {NULL, NULL, 0},
};
#undef TEXT

/* An option of TLS that is given, or NULL. */
static const char *given_tls(struct tl_cli *cli)
{
    for (const struct tl_cli_codec_tls *t = tl_cli_codec_tls_texts; t->option; t++) {
        if (tl_cli_text(cli, t->option)) {
            return t->option;
        }
    }
    return tl_cli_flag(cli, TL_CLI_CODEC_ANY_HOST) ? TL_CLI_CODEC_ANY_HOST : NULL;
}

bool tl_cli_codec_tls(struct tl_cli *cli, struct tl_fetch_tls_options *out)
{
    *out = (struct tl_fetch_tls_options){0};
    for (const struct tl_cli_codec_tls *t = tl_cli_codec_tls_texts; t->option; t++) {
        *(const char **)(void *)((char *)out + t->offset) = tl_cli_text(cli, t->option);
    }
    out->disable_host_verification = tl_cli_flag(cli, TL_CLI_CODEC_ANY_HOST);
    return given_tls(cli) != NULL;
}

tl_rc tl_cli_codec_endpoint(struct tl_cli *cli, const char **out, struct tl_error *err)
{
    const char *tls = given_tls(cli);
    const char *alone = tl_cli_texts(cli, "codec-header")[0] ? "codec-header"
                        : tl_cli_given(cli, "codec-auth")    ? "codec-auth"
                                                             : tls;
    *out = tl_cli_text(cli, "codec-endpoint");
    if (!*out && alone) {
        return tl_error_set(err, TL_EINVAL, "--%s needs --codec-endpoint", alone);
    }
    if (tls && strncmp(*out, "https://", 8) != 0) {
        return tl_error_set(err, TL_EINVAL, "--%s is for a --codec-endpoint with https://", tls);
    }
    return TL_OK;
}

tl_rc tl_cli_codec_open(struct tl_cli *cli, struct tl_channel *inner, struct tl_channel **out,
                        struct tl_error *err)
{
    const char *endpoint, *auth = tl_cli_text(cli, "codec-auth");
    char *headers[HEADERS_MAX + 1];
    struct tl_fetch_tls_options tls;
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
        .tls = tl_cli_codec_tls(cli, &tls) ? &tls : NULL,
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
