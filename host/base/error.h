/* Errors are values: a code (tl_rc, 0 or negative) and, where the caller gave one, a filled
 * struct tl_error with a message that tells the user what to do. A message is made once, where the
 * cause is known; callers may prepend context with tl_error_wrap at a module border.
 * Thread: the value belongs to its holder. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

typedef int tl_rc;

enum {
#define X(name, code, grpc, text) TL_##name = (code),
#include "base/errors.def"
#undef X
};

#define TL_MUST_USE __attribute__((warn_unused_result))

struct tl_error {
    tl_rc code;
    char message[504]; /* NUL-terminated, cut at the end of a UTF-8 character */
};

/* Fills err (when not NULL) and returns code: `return tl_error_set(err, TL_EINVAL, "...", ...)`. */
tl_rc tl_error_set(struct tl_error *err, tl_rc code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Prepends "context: " to the message; returns rc unchanged. */
tl_rc tl_error_wrap(struct tl_error *err, tl_rc rc, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

const char *tl_rc_name(tl_rc rc); /* "EINVAL" */
const char *tl_rc_text(tl_rc rc); /* "invalid argument" */
int tl_rc_grpc_status(tl_rc rc);  /* 0..16 */
tl_rc tl_rc_from_grpc_status(int status);
