/* Connection settings from a TOML file with profiles and from the environment, as the other SDKs and the
 * official command line read them (temporal.toml, TEMPORAL_*).
 *
 *   [profile.default]                  [profile.default.tls]          [profile.default.grpc_meta]
 *   address = "host:7233"              client_cert_path = "..."       name = "value"
 *
 * The environment wins over the file. Thread: any; the environment is read. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"

/* Each text setting: X(field, key in the file, variable of the environment). */
#define TL_PROFILE_TEXTS(X)                                                                        \
    X(address, "address", "TEMPORAL_ADDRESS")                                                      \
    X(namespace_name, "namespace", "TEMPORAL_NAMESPACE")                                           \
    X(api_key, "api_key", "TEMPORAL_API_KEY")                                                      \
    X(client_cert_path, "tls.client_cert_path", "TEMPORAL_TLS_CLIENT_CERT_PATH")                   \
    X(client_cert_data, "tls.client_cert_data", "TEMPORAL_TLS_CLIENT_CERT_DATA")                   \
    X(client_key_path, "tls.client_key_path", "TEMPORAL_TLS_CLIENT_KEY_PATH")                      \
    X(client_key_data, "tls.client_key_data", "TEMPORAL_TLS_CLIENT_KEY_DATA")                      \
    X(server_ca_cert_path, "tls.server_ca_cert_path", "TEMPORAL_TLS_SERVER_CA_CERT_PATH")          \
    X(server_ca_cert_data, "tls.server_ca_cert_data", "TEMPORAL_TLS_SERVER_CA_CERT_DATA")          \
    X(server_name, "tls.server_name", "TEMPORAL_TLS_SERVER_NAME")                                  \
    X(codec_endpoint, "codec.endpoint", "TEMPORAL_CODEC_ENDPOINT")                                 \
    X(codec_auth, "codec.auth", "TEMPORAL_CODEC_AUTH")

enum tl_profile_switch { TL_SWITCH_UNSET, TL_SWITCH_ON, TL_SWITCH_OFF };

struct tl_profile_meta {
    const char *name; /* lower case, '-' for '_' */
    const char *value;
};

#define TL_PROFILE_META_MAX 64

/* Texts are NULL when nothing says them; all live in the arena. */
struct tl_profile {
#define X(field, key, variable) const char *field;
    TL_PROFILE_TEXTS(X)
#undef X
    enum tl_profile_switch tls; /* ON too when the file has a table tls */
    enum tl_profile_switch disable_host_verification;
    struct tl_profile_meta meta[TL_PROFILE_META_MAX];
    size_t meta_count;
};

struct tl_profile_source {
    const char
        *config_file;     /* NULL: TEMPORAL_CONFIG_FILE, else the user's temporalio/temporal.toml */
    struct tl_str config; /* the text itself instead of a file, when p is not NULL */
    const char *profile;  /* NULL: TEMPORAL_PROFILE, else "default" */
    bool disable_file, disable_env;
    bool strict; /* a key that is not known is an error */
};

/* Errors: TL_EINVAL (the file's text, a variable), TL_ENOTFOUND (a profile or file that was asked for by
 * name), TL_EIO, TL_ELIMIT. */
tl_rc tl_profile_load(const struct tl_profile_source *source, struct tl_arena *arena,
                      struct tl_profile *out, struct tl_error *err) TL_MUST_USE;
#define TL_PROFILES_MAX 256

typedef void (*tl_profile_name_fn)(void *ud, struct tl_str name);

/* Tells the name of each profile of the source's text or file once, in its order; the text lives in the arena.
 * Errors: TL_EINVAL (no TOML), TL_ENOTFOUND (a file asked for by name), TL_EIO, TL_ELIMIT. */
tl_rc tl_profile_names(const struct tl_profile_source *source, struct tl_arena *arena,
                       tl_profile_name_fn fn, void *ud, struct tl_error *err) TL_MUST_USE;
/* The file that would be read, in the arena; NULL when there is no home to look in. */
const char *tl_profile_file(const struct tl_profile_source *source, struct tl_arena *arena);
/* Whether a connection with these settings talks TLS: as said, else with an API key. */
bool tl_profile_wants_tls(const struct tl_profile *p);
