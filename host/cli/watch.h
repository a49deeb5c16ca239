/* Watches folders for changes of scripts, with all folders below them; part of `worker run --watch`.
 * Several changes in a row become one call, once they have come to rest.
 * Thread: the loop's; open before it runs, close after it has ended. Owner: the watch owns its handles. */
#pragma once

#include "io/loop.h"

struct tl_watch;

/* fn(ud) after files that end in .lua or .so were written, made or removed in or below the folders.
 * Errors: TL_EIO (no watch can be set: the limit of inotify is reached), TL_ENOTFOUND. */
tl_rc tl_watch_open(struct tl_watch **out, struct tl_loop *loop, char *const *folders, size_t count,
                    void (*fn)(void *ud), void *ud, struct tl_error *err) TL_MUST_USE;
void tl_watch_close(struct tl_watch *w); /* NULL is fine */
