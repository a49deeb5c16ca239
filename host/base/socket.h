/* Addresses to listen on: one resolver and one bind for every port the product opens, so that "in use"
 * and "no permission" read alike everywhere. Thread: any. */
#pragma once

#include <netdb.h>

#include "base/error.h"

/* The addresses of a name (NULL or "": localhost), for listening. Owns: *out (freeaddrinfo).
 * Errors: TL_EINVAL (port out of range, not an address). */
tl_rc tl_socket_resolve(const char *name, int port, struct addrinfo **out,
                        struct tl_error *err) TL_MUST_USE;
/* A bound TCP socket that does not listen yet; *fd is -1 with TL_OK when the machine does not have
 * this kind of address. `name` and `port` are for messages; a port of 0 in the address takes any.
 * Owns: *fd (close). Errors: TL_EUNAVAILABLE (in use), TL_EPERMISSION. */
tl_rc tl_socket_bind(const struct addrinfo *a, const char *name, int port, int *fd,
                     struct tl_error *err) TL_MUST_USE;
/* Port that a bound socket has; 0 when it cannot be told. */
int tl_socket_port(int fd);
