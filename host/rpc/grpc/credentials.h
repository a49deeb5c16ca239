/* From PEM texts and files to the library's credentials, for both ends; and what a failed handshake
 * means in words. Thread: any. */
#pragma once

#include <grpc/grpc_security.h>

#include "rpc/grpc.h"

/* Owns: *out (grpc_channel_credentials_release). Errors: TL_EINVAL names the option or the file. */
tl_rc tl_grpc_channel_credentials(const struct tl_grpc_channel_options *o,
                                  grpc_channel_credentials **out, struct tl_error *err) TL_MUST_USE;

/* The files of a server's certificates, looked at again for each connection. */
struct tl_grpc_cert_files;

/* For one address that is listened on: the library tells each of them once that files have changed.
 * Owns: *out (grpc_server_credentials_release); *files, a list that grows (tl_grpc_cert_files_free, after
 * the server's end; stays NULL without TLS). Errors: TL_EINVAL names the file. */
tl_rc tl_grpc_server_credentials(const struct tl_grpc_server_options *o,
                                 grpc_server_credentials **out, struct tl_grpc_cert_files **files,
                                 struct tl_error *err) TL_MUST_USE;
void tl_grpc_cert_files_free(struct tl_grpc_cert_files *files); /* NULL is fine */

/* What to look at when a connection could not be made, by what the library reports; NULL: nothing to
 * add. tls: whether our end talks TLS. Static text. */
const char *tl_grpc_connect_hint(struct tl_str message, bool tls);
