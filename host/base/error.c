/* Error values. See error.h. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

struct row {
    tl_rc code;
    const char *name;
    int grpc;
    const char *text;
};

static const struct row rows[] = {
#define X(name, code, grpc, text) {(code), #name, (grpc), (text)},
#include "base/errors.def"
#undef X
};

static const struct row *find(tl_rc rc)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].code == rc) {
            return &rows[i];
        }
    }
    return NULL;
}

/* Cuts a half-written UTF-8 character at the end of a full message buffer. */
static void cut_clean(char *s, size_t cap)
{
    size_t n = strlen(s);
    if (n + 1 < cap) {
        return;
    }
    size_t i = n;
    while (i > 0 && ((unsigned char)s[i - 1] & 0xC0) == 0x80) {
        i--;
    }
    if (i > 0 && (unsigned char)s[i - 1] >= 0xC0) {
        s[i - 1] = 0;
    }
}

tl_rc tl_error_set(struct tl_error *err, tl_rc code, const char *fmt, ...)
{
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(err->message, sizeof err->message, fmt, ap);
        va_end(ap);
        cut_clean(err->message, sizeof err->message);
        err->code = code;
    }
    return code;
}

tl_rc tl_error_wrap(struct tl_error *err, tl_rc rc, const char *fmt, ...)
{
    if (err) {
        char head[sizeof err->message], old[sizeof err->message];
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(head, sizeof head, fmt, ap);
        va_end(ap);
        memcpy(old, err->message, sizeof old);
        int n = snprintf(err->message, sizeof err->message, "%s: %s", head, old);
        TL_ASSERT(n >= 0);
        cut_clean(err->message, sizeof err->message);
    }
    return rc;
}

const char *tl_rc_name(tl_rc rc)
{
    const struct row *r = find(rc);
    return r ? r->name : "EUNKNOWN";
}

const char *tl_rc_text(tl_rc rc)
{
    const struct row *r = find(rc);
    return r ? r->text : "unknown error";
}

int tl_rc_grpc_status(tl_rc rc)
{
    const struct row *r = find(rc);
    return r ? r->grpc : 2;
}

tl_rc tl_rc_from_grpc_status(int status)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].grpc == status) {
            return rows[i].code;
        }
    }
    return TL_EINTERNAL;
}
