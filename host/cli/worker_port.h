/* How another process asks a running `worker run` to reload or roll back: a Unix socket in a folder that
 * only this user may enter, $XDG_RUNTIME_DIR/temporal-lua or /tmp/temporal-lua-UID, named after the
 * process: worker-PID.sock. One request per connection: a line with the command; the answer is a line
 * "ok" or "refused" and a text.
 * Thread: open and close on main; requests are taken on a thread of the port's own. */
#pragma once

#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"
#include "luahost/host.h"

struct tl_worker_port;

/* Errors: TL_EIO, TL_EPRECONDITION (the folder is not ours alone). */
tl_rc tl_worker_port_open(struct tl_worker_port **out, struct tl_host *host,
                          struct tl_error *err) TL_MUST_USE;
void tl_worker_port_close(struct tl_worker_port *p); /* NULL is fine */

/* Sends a command to a worker of this user and waits for the answer; pid 0: the only one that runs.
 * *good: it went well. Errors: TL_ENOTFOUND (none, or that one does not run), TL_EINVAL (there are
 * several: the message lists them), TL_EIO. */
tl_rc tl_worker_port_ask(pid_t pid, const char *command, bool *good, struct tl_buf *answer,
                         struct tl_error *err) TL_MUST_USE;
