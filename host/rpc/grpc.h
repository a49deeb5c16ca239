/* gRPC over TCP, both ways: a server that delivers requests to a service, and a channel to any
 * Temporal server, plain or with TLS. No gRPC type shows here; only host/rpc/grpc knows the library.
 *
 * The library is started with the first server or channel and stopped with the last: a process that
 * uses neither pays nothing for it.
 * Threads: each server and each channel has one thread of its own for completions; `handle`,
 * `cancelled` and `done` run on it. open and close: the owner's thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "rpc/rpc.h"

/* --- Server ------------------------------------------------------------------------------------ */

struct tl_grpc_server;

struct tl_grpc_server_options {
    const char *ip;        /* address or name to listen on; NULL: localhost */
    int port;              /* 0: any free one */
    int request_bytes_max; /* larger requests are refused: RESOURCE_EXHAUSTED; 0: 128 MiB */
    /* PEM files. They are read again when they change: connections made from then on use them. */
    const char *cert_path;      /* of the server, with its chain; NULL: plain text */
    const char *key_path;       /* goes with cert_path */
    const char *client_ca_path; /* clients must show a certificate signed by these; may be NULL */
};

/* Listens and delivers requests to the service until close. The port serves when this returns.
 * grpc.health.v1.Health and server reflection (v1, v1alpha) are answered here, streams with them.
 * Owns: *out belongs to the caller. The service must outlive it and be served while it closes.
 * Errors: TL_EINVAL (options, files), TL_EUNAVAILABLE (port in use), TL_EPERMISSION (port), TL_EIO. */
tl_rc tl_grpc_server_open(struct tl_grpc_server **out, const struct tl_grpc_server_options *o,
                          const struct tl_rpc_service *service, struct tl_error *err) TL_MUST_USE;
int tl_grpc_server_port(const struct tl_grpc_server *s);
/* Refuses new calls, asks the service to give up long polls, gives the others a second, cancels what
 * is left, and returns when no request is held any more. NULL is fine. */
void tl_grpc_server_close(struct tl_grpc_server *s);

/* --- Channel ----------------------------------------------------------------------------------- */

struct tl_grpc_header {
    const char *name;    /* lower case; a name that ends in "-bin" has any bytes as its value */
    struct tl_str value; /* other values are printable ASCII */
};

/* A PEM text, given itself or by its file, not by both. Both NULL: not given. */
struct tl_grpc_pem {
    const char *text;
    const char *path;
};

/* Tells the API key now; NULL: it cannot. The text is copied before it is called again. Thread: whatever starts a
 * call, which waits for it; one at a time. */
typedef const char *(*tl_grpc_api_key_fn)(void *ud);

struct tl_grpc_channel_options {
    const char *address;        /* "host:port" */
    const char *namespace_name; /* sent as the header temporal-namespace; may be NULL */
    const char *api_key;        /* sent as a bearer token; may be NULL */
    const char *api_key_path;   /* or its file, which is read again when it changes */
    tl_grpc_api_key_fn
        api_key_fn; /* or what tells it, asked with the first call and again from time to time */
    void *api_key_ud;
    int64_t api_key_refresh_ms; /* how long what it told is used; 0: 60 s */
    const char *authority;      /* sent as :authority; NULL: the address or the domain */
    bool tls;
    struct tl_grpc_pem server_root_ca_cert; /* not given: the system's authorities */
    struct tl_grpc_pem client_cert;         /* with its chain */
    struct tl_grpc_pem client_private_key;  /* goes with client_cert */
    const char *domain; /* expected in the server's certificate; NULL: the address's host */
    bool disable_host_verification;        /* take any certificate: for tests only */
    const struct tl_grpc_header *metadata; /* more headers for every call */
    size_t metadata_count;
    int64_t keepalive_ms;         /* silence before a ping; 0: 30 s; negative: no pings */
    int64_t keepalive_timeout_ms; /* until the connection counts as dead; 0: 15 s */
    const char *proxy;            /* "host:port" of an HTTP proxy to CONNECT through; may be NULL */
    const char *proxy_user;       /* sent to it with the password; may be NULL */
    const char *proxy_password;
    bool compress;    /* requests by gzip; answers are read however they come */
    bool round_robin; /* calls go round all addresses of the name, not to the first that answers */
    int64_t resolution_ms; /* least time between two look-ups of the name; 0: 30 s */
};

/* A channel (rpc.h). It connects with the first call and reconnects by itself; a call made while the
 * server cannot be reached ends with UNAVAILABLE at once.
 * Owns: *out is closed with tl_channel_close; the options are copied.
 * Errors: TL_EINVAL (address, headers, files), TL_EIO. */
tl_rc tl_grpc_channel_open(struct tl_channel **out, const struct tl_grpc_channel_options *o,
                           struct tl_error *err) TL_MUST_USE;
/* Replace the API key (NULL: none) or the metadata of a channel made by tl_grpc_channel_open: calls
 * that start from now on carry the new ones. On an error the old ones stay. Thread: any.
 * Errors: TL_EINVAL (characters, names, both an API key and a header `authorization`). */
tl_rc tl_grpc_channel_set_api_key(struct tl_channel *ch, const char *api_key,
                                  struct tl_error *err) TL_MUST_USE;
tl_rc tl_grpc_channel_set_metadata(struct tl_channel *ch, const struct tl_grpc_header *metadata,
                                   size_t count, struct tl_error *err) TL_MUST_USE;
