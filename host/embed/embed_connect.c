/* The embedder's client of a server elsewhere (include/temporal_lua.h). Thread: as the header says. */
#include "base/mem.h"
#include "embed/embed_int.h"
#include "rpc/grpc.h"

#define METADATA_MAX 64

static tl_rc headers_of(const tlua_header *metadata, size_t count, struct tl_grpc_header *out,
                        struct tl_error *err)
{
    if (count > METADATA_MAX) {
        return tl_error_set(err, TL_EINVAL, "at most %d headers", METADATA_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        if (!metadata[i].name) {
            return tl_error_set(err, TL_EINVAL, "header %zu has no name", i);
        }
        out[i].name = metadata[i].name;
        out[i].value = tl_str_n(metadata[i].value.data, metadata[i].value.size);
    }
    return TL_OK;
}

int tlua_client_connect(const tlua_connect_options *options, tlua_client **out, tlua_error *err)
{
    tlua_connect_options o;
    struct tl_grpc_header metadata[METADATA_MAX];
    struct tl_channel *channel = NULL;
    struct tl_error e = {0};
    *out = NULL;
    if (!embed_options(&o, sizeof o, options)) {
        return embed_error_text(err, TLUA_EINVAL, "use TLUA_CONNECT_OPTIONS_INIT");
    }
    struct tl_grpc_channel_options co = {
        .address = o.address,
        .namespace_name = o.namespace_name ? o.namespace_name : "default",
        .api_key = o.api_key,
        .api_key_path = o.api_key_path,
        .api_key_fn = o.api_key_fn,
        .api_key_ud = o.api_key_user_data,
        .api_key_refresh_ms = o.api_key_refresh_ms,
        .tls = o.tls,
        .server_root_ca_cert = {o.server_root_ca_cert, o.server_root_ca_cert_path},
        .client_cert = {o.client_cert, o.client_cert_path},
        .client_private_key = {o.client_private_key, o.client_private_key_path},
        .domain = o.domain,
        .disable_host_verification = o.disable_host_verification,
        .metadata = metadata,
        .metadata_count = o.metadata_count,
        .keepalive_ms = o.keepalive_interval_ms,
        .keepalive_timeout_ms = o.keepalive_timeout_ms,
        .proxy = o.http_connect_proxy,
        .proxy_user = o.proxy_user,
        .proxy_password = o.proxy_password,
        .compress = o.grpc_gzip,
        .round_robin = o.dns_load_balancing,
        .resolution_ms = o.dns_resolution_interval_ms,
    };
    tl_rc rc = headers_of(o.metadata, o.metadata_count, metadata, &e);
    if (rc == TL_OK) {
        rc = tl_grpc_channel_open(&channel, &co, &e);
    }
    if (rc != TL_OK) {
        return embed_error(err, rc, &e);
    }
    tlua_client *c = TL_NEW(struct tlua_client);
    struct tl_client_config config = {.channel = channel,
                                      .namespace_name = tl_str(co.namespace_name),
                                      .identity = tl_str(o.identity)};
    c->remote = true;
    c->channel = channel;
    c->client = tl_client_new(&config);
    *out = c;
    return TLUA_OK;
}

static int check_remote(const tlua_client *client, tlua_error *err)
{
    return client && client->remote
               ? TLUA_OK
               : embed_error_text(err, TLUA_EINVAL,
                                  "this is for clients made by tlua_client_connect");
}

int tlua_client_set_api_key(tlua_client *client, const char *api_key, tlua_error *err)
{
    struct tl_error e = {0};
    int code = check_remote(client, err);
    return code ? code
                : embed_error(err, tl_grpc_channel_set_api_key(client->channel, api_key, &e), &e);
}

int tlua_client_set_metadata(tlua_client *client, const tlua_header *metadata, size_t count,
                             tlua_error *err)
{
    struct tl_grpc_header list[METADATA_MAX];
    struct tl_error e = {0};
    int code = check_remote(client, err);
    if (code) {
        return code;
    }
    tl_rc rc = headers_of(metadata, count, list, &e);
    if (rc == TL_OK) {
        rc = tl_grpc_channel_set_metadata(client->channel, list, count, &e);
    }
    return embed_error(err, rc, &e);
}
