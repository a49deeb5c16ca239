/* One TCP connection on a loop, as a client: connect, a buffer of what has come, writes. There are no
 * callbacks for each operation but one for all: something has changed, look again.
 *
 * Invariants: reading pauses while the buffer is full; nothing is called after tl_tcp_close.
 * Ownership: the connection owns its buffers; it lives until tl_tcp_close.
 * Thread: the loop's. */
#pragma once

#include "base/error.h"
#include "base/str.h"
#include "io/loop.h"

struct tl_tcp;

enum tl_tcp_state {
    TL_TCP_CONNECTING,
    TL_TCP_OPEN,
    TL_TCP_ENDED,  /* the peer sends no more; what has come can be read, writes still go */
    TL_TCP_FAILED, /* tl_tcp_error tells why */
};

/* Begins to connect to a host name or an address. changed(ud) is called from the loop, never from here.
 * Errors: TL_EIO. Owns: *out. */
tl_rc tl_tcp_open(struct tl_loop *l, const char *host, int port, void (*changed)(void *ud),
                  void *ud, struct tl_tcp **out, struct tl_error *err) TL_MUST_USE;
enum tl_tcp_state tl_tcp_state(const struct tl_tcp *t);
const char *tl_tcp_error(const struct tl_tcp *t);
/* What has come and was not consumed; valid until the loop runs on. */
struct tl_str tl_tcp_buffered(const struct tl_tcp *t);
void tl_tcp_consume(struct tl_tcp *t, size_t n);
/* Sends a copy; errors come as TL_TCP_FAILED. Errors: TL_EPRECONDITION (not open), TL_EIO. */
tl_rc tl_tcp_write(struct tl_tcp *t, struct tl_str bytes, struct tl_error *err) TL_MUST_USE;
/* Bytes that the system has not taken yet. */
size_t tl_tcp_unsent(const struct tl_tcp *t);
void tl_tcp_close(struct tl_tcp *t); /* NULL is fine */
