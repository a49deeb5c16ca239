/* HTTP requests to other servers: codec servers, object stores. One fetcher sends one request after the
 * other and keeps its connection between them.
 *
 * Redirects are not followed: a request carries secrets, and whoever configured the address meant that
 * address. Certificates are checked against the system's authorities, unless the options of TLS say
 * otherwise. Proxies of the environment (https_proxy, no_proxy) are used.
 * Thread: one at a time per fetcher; requests block. */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

struct tl_fetch;

#define TL_FETCH_HEADERS_MAX 64

struct tl_fetch_request {
    const char *method;         /* "GET", "PUT", "POST", "HEAD" */
    const char *url;            /* http or https */
    const char *const *headers; /* "Name: value"; NULL-terminated; may be NULL */
    struct tl_str body;
    int64_t timeout_ms;
};

/* A PEM text, given itself or by its file, not by both. Both NULL: not given. */
struct tl_fetch_pem {
    const char *text;
    const char *path;
};

struct tl_fetch_tls_options {
    struct tl_fetch_pem server_root_ca_cert; /* not given: the system's authorities */
    struct tl_fetch_pem client_cert;         /* with its chain */
    struct tl_fetch_pem client_private_key;  /* goes with client_cert */
    const char
        *domain; /* expected in the server's certificate and sent as Host; NULL: the address's */
    bool disable_host_verification; /* take any certificate: for tests only */
};

/* Options of TLS, checked and copied; several fetchers may use them. Files are read with each connection.
 * Owns: *out, tl_fetch_tls_close, after the fetchers. Thread: any, it never changes.
 * Errors: TL_EINVAL (names the option: text and file, no PEM text, a file that cannot be read, a
 * certificate without its key), TL_EIO. */
struct tl_fetch_tls;
tl_rc tl_fetch_tls_open(struct tl_fetch_tls **out, const struct tl_fetch_tls_options *options,
                        struct tl_error *err) TL_MUST_USE;
void tl_fetch_tls_close(struct tl_fetch_tls *tls); /* NULL is fine */

/* `tls` (NULL: none) is borrowed. Errors: TL_EUNAVAILABLE (libcurl is not there). Owns: *out,
 * tl_fetch_close. */
tl_rc tl_fetch_open(struct tl_fetch **out, const struct tl_fetch_tls *tls,
                    struct tl_error *err) TL_MUST_USE;
void tl_fetch_close(struct tl_fetch *f); /* NULL is fine */

/* Sends the request and appends the answer's body to `body`, whose limit bounds it. Errors:
 * TL_EUNAVAILABLE (no connection, it broke), TL_EDEADLINE, TL_ELIMIT (the answer is too large),
 * TL_EINVAL (the address), TL_EPRECONDITION (a certificate was refused or cannot be used). An answer of
 * any status is no error. */
tl_rc tl_fetch_run(struct tl_fetch *f, const struct tl_fetch_request *request, int *status,
                   struct tl_buf *body, struct tl_error *err) TL_MUST_USE;
/* The address as logs and errors may show it: without the user and password that may stand before its host,
 * and without its query. Cut off at the room there is. */
#define TL_FETCH_SHOWN_BYTES 512
const char *tl_fetch_shown(const char *url, char out[TL_FETCH_SHOWN_BYTES]);
/* The error for an answer that is not 2xx: who was asked, the status and the beginning of the body.
 * TL_EUNAVAILABLE for 408, 429 and 5xx (again later), TL_ENOTFOUND, TL_EPERMISSION, else TL_EINVAL. */
tl_rc tl_fetch_refused(const char *url, int status, struct tl_str body, struct tl_error *err);
