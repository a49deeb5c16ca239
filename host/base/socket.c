/* See socket.h. */
#include "base/socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

tl_rc tl_socket_resolve(const char *name, int port, struct addrinfo **out, struct tl_error *err)
{
    const char *host = name && *name ? name : "localhost";
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    char service[16];
    *out = NULL;
    if (port < 0 || port > 65535) {
        return tl_error_set(err, TL_EINVAL, "a port is a number from 0 to 65535, got %d", port);
    }
    snprintf(service, sizeof service, "%d", port);
    int failed = getaddrinfo(host, service, &hints, out);
    if (failed) {
        return tl_error_set(err, TL_EINVAL, "'%s' is not an address: %s", host,
                            gai_strerror(failed));
    }
    return TL_OK;
}

tl_rc tl_socket_bind(const struct addrinfo *a, const char *name, int port, int *fd,
                     struct tl_error *err)
{
    int on = 1, s = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
    *fd = -1;
    if (s < 0) {
        return TL_OK;
    }
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    int failed = bind(s, a->ai_addr, a->ai_addrlen) == 0 ? 0 : errno;
    if (!failed) {
        *fd = s;
        return TL_OK;
    }
    close(s);
    switch (failed) {
    case EADDRINUSE:
        return tl_error_set(err, TL_EUNAVAILABLE, "port %d on %s is in use by another process",
                            port, name);
    case EACCES:
    case EPERM:
        return tl_error_set(err, TL_EPERMISSION, "no permission to listen on port %d on %s", port,
                            name);
    default:
        return TL_OK;
    }
}

int tl_socket_port(int fd)
{
    struct sockaddr_storage at;
    socklen_t n = sizeof at;
    memset(&at, 0, sizeof at);
    if (getsockname(fd, (struct sockaddr *)(void *)&at, &n) != 0) {
        return 0;
    }
    return at.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)(void *)&at)->sin6_port)
                                    : ntohs(((struct sockaddr_in *)(void *)&at)->sin_port);
}
