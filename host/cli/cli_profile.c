/* See cli_profile.h. */
#include "cli/cli_profile.h"

#include <stddef.h>
#include <string.h>

#include "base/mem.h"

#define BYTES_MAX ((size_t)32 << 20)

struct tl_cli_profile {
    struct tl_arena arena;
    struct tl_profile settings;
};

static const struct {
    const char *option;
    size_t offset;
} rows[] = {
    {"address", offsetof(struct tl_profile, address)},
    {"namespace", offsetof(struct tl_profile, namespace_name)},
    {"api-key", offsetof(struct tl_profile, api_key)},
    {"tls-cert-path", offsetof(struct tl_profile, client_cert_path)},
    {"tls-cert-data", offsetof(struct tl_profile, client_cert_data)},
    {"tls-key-path", offsetof(struct tl_profile, client_key_path)},
    {"tls-key-data", offsetof(struct tl_profile, client_key_data)},
    {"tls-ca-path", offsetof(struct tl_profile, server_ca_cert_path)},
    {"tls-ca-data", offsetof(struct tl_profile, server_ca_cert_data)},
    {"tls-server-name", offsetof(struct tl_profile, server_name)},
    {"codec-endpoint", offsetof(struct tl_profile, codec_endpoint)},
    {"codec-auth", offsetof(struct tl_profile, codec_auth)},
};
static const char tls[] = "tls", any_host[] = "tls-disable-host-verification";

tl_rc tl_cli_profile_open(struct tl_cli_profile **out, const struct tl_profile_source *source,
                          struct tl_error *err)
{
    struct tl_cli_profile *p = TL_NEW(struct tl_cli_profile);
    tl_arena_init(&p->arena, BYTES_MAX);
    tl_rc rc = tl_profile_load(source, &p->arena, &p->settings, err);
    if (rc != TL_OK) {
        tl_cli_profile_close(p);
        p = NULL;
    }
    *out = p;
    return rc;
}

void tl_cli_profile_close(struct tl_cli_profile *p)
{
    if (p) {
        tl_arena_deinit(&p->arena);
        tl_mem_free(p);
    }
}

bool tl_cli_profile_knows(const char *option)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i].option, option) == 0) {
            return true;
        }
    }
    return strcmp(option, tls) == 0 || strcmp(option, any_host) == 0;
}

static const char *switch_text(enum tl_profile_switch s)
{
    return s == TL_SWITCH_UNSET ? NULL : s == TL_SWITCH_ON ? "true" : "false";
}

const char *tl_cli_profile_text(const struct tl_cli_profile *p, const char *option)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i].option, option) == 0) {
            return *(const char *const *)(const void *)((const char *)&p->settings +
                                                        rows[i].offset);
        }
    }
    return strcmp(option, tls) == 0        ? switch_text(p->settings.tls)
           : strcmp(option, any_host) == 0 ? switch_text(p->settings.disable_host_verification)
                                           : NULL;
}

const char *tl_cli_profile_meta(struct tl_cli_profile *p, size_t i)
{
    return i < p->settings.meta_count
               ? tl_arena_printf(&p->arena, "%s=%s", p->settings.meta[i].name,
                                 p->settings.meta[i].value)
               : NULL;
}
