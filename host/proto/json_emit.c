/* The append-only JSON writer. See jsonv.h. Thread: one at a time per writer. */
#include "proto/jsonv.h"

#include <math.h>

#include "base/assert.h"
#include "proto/base64.h"
#include "proto/utf8.h"

void tl_jw_init(struct tl_jw *w, struct tl_buf *out, unsigned flags, unsigned depth_max)
{
    TL_ASSERT(depth_max <= TL_JSON_DEPTH_CEILING);
    *w = (struct tl_jw){.out = out, .flags = flags, .depth_max = depth_max, .first = true};
}

static void fail(struct tl_jw *w, tl_rc rc, const char *why)
{
    if (w->rc == TL_OK) {
        w->rc = rc;
        w->why = why;
    }
}

static void new_line(struct tl_jw *w)
{
    if (w->flags & TL_JW_PRETTY) {
        tl_buf_putc(w->out, '\n');
        for (unsigned i = 0; i < w->depth; i++) {
            tl_buf_put(w->out, "  ", 2);
        }
    }
}

/* Everything that stands between the previous item and the one that begins now. */
static void begin_item(struct tl_jw *w)
{
    if (w->after_name) {
        w->after_name = false;
        return;
    }
    if (w->depth > 0) {
        if (!w->first) {
            tl_buf_putc(w->out, ',');
        }
        new_line(w);
    }
    w->first = false;
}

static void open_level(struct tl_jw *w, char c)
{
    if (w->rc) {
        return;
    }
    if (w->depth == w->depth_max) {
        fail(w, TL_ELIMIT, "values are nested too deeply");
        return;
    }
    begin_item(w);
    tl_buf_putc(w->out, c);
    w->depth++;
    w->first = true;
}

static void close_level(struct tl_jw *w, char c)
{
    if (w->rc) {
        return;
    }
    TL_ASSERT(w->depth > 0 && !w->after_name);
    w->depth--;
    if (!w->first) {
        new_line(w);
    }
    tl_buf_putc(w->out, c);
    w->first = false;
}

void tl_jw_object(struct tl_jw *w)
{
    open_level(w, '{');
}

void tl_jw_object_end(struct tl_jw *w)
{
    close_level(w, '}');
}

void tl_jw_array(struct tl_jw *w)
{
    open_level(w, '[');
}

void tl_jw_array_end(struct tl_jw *w)
{
    close_level(w, ']');
}

static void put_escaped(struct tl_buf *out, unsigned char c)
{
    static const char FROM[] = "\"\\\b\f\n\r\t";
    static const char TO[] = "\"\\bfnrt";
    const char *found = c ? strchr(FROM, c) : NULL;
    if (found) {
        char pair[2] = {'\\', TO[found - FROM]};
        tl_buf_put(out, pair, 2);
    } else {
        static const char HEX[] = "0123456789abcdef";
        char code[6] = {'\\', 'u', '0', '0', HEX[c >> 4], HEX[c & 15]};
        tl_buf_put(out, code, 6);
    }
}

static void put_quoted(struct tl_buf *out, struct tl_str text)
{
    tl_buf_putc(out, '"');
    size_t done = 0;
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c < 0x20 || c == '"' || c == '\\') {
            tl_buf_put(out, text.p + done, i - done);
            put_escaped(out, c);
            done = i + 1;
        }
    }
    tl_buf_put(out, text.p + done, text.n - done);
    tl_buf_putc(out, '"');
}

void tl_jw_string(struct tl_jw *w, struct tl_str text)
{
    if (w->rc) {
        return;
    }
    if (!tl_utf8_ok(text)) {
        fail(w, TL_EINVAL, "text is not valid UTF-8");
        return;
    }
    begin_item(w);
    if (text.n == 0) {
        tl_buf_put(w->out, "\"\"", 2);
    } else {
        put_quoted(w->out, text);
    }
}

void tl_jw_name(struct tl_jw *w, struct tl_str name)
{
    tl_jw_string(w, name);
    if (w->rc == TL_OK) {
        tl_buf_puts(w->out, w->flags & TL_JW_PRETTY ? ": " : ":");
        w->after_name = true;
    }
}

void tl_jw_raw(struct tl_jw *w, struct tl_str json)
{
    if (w->rc == TL_OK) {
        begin_item(w);
        tl_buf_put_str(w->out, json);
    }
}

void tl_jw_int(struct tl_jw *w, int64_t v)
{
    if (w->rc == TL_OK) {
        begin_item(w);
        tl_buf_printf(w->out, "%lld", (long long)v);
    }
}

void tl_jw_uint(struct tl_jw *w, uint64_t v)
{
    if (w->rc == TL_OK) {
        begin_item(w);
        tl_buf_printf(w->out, "%llu", (unsigned long long)v);
    }
}

void tl_jw_double(struct tl_jw *w, double v)
{
    if (w->rc) {
        return;
    }
    if (!isfinite(v)) {
        fail(w, TL_EINVAL, "JSON has no NaN or infinity");
        return;
    }
    char text[32];
    size_t n = tl_json_double_text(v, text);
    tl_jw_raw(w, tl_str_n(text, n));
    if (w->flags & TL_JW_FLOAT_POINT && strcspn(text, ".e") == n) {
        tl_buf_put(w->out, ".0", 2);
    }
}

void tl_jw_bool(struct tl_jw *w, bool v)
{
    tl_jw_raw(w, v ? TL_STR_LIT("true") : TL_STR_LIT("false"));
}

void tl_jw_null(struct tl_jw *w)
{
    tl_jw_raw(w, TL_STR_LIT("null"));
}

void tl_jw_base64(struct tl_jw *w, struct tl_str bytes)
{
    if (w->rc == TL_OK) {
        begin_item(w);
        tl_buf_putc(w->out, '"');
        tl_base64_encode(bytes, w->out);
        tl_buf_putc(w->out, '"');
    }
}

static void copy_token(struct tl_jw *w, const struct tl_jtok *t)
{
    switch (t->kind) {
    case TL_J_OBJECT:
        tl_jw_object(w);
        break;
    case TL_J_OBJECT_END:
        tl_jw_object_end(w);
        break;
    case TL_J_ARRAY:
        tl_jw_array(w);
        break;
    case TL_J_ARRAY_END:
        tl_jw_array_end(w);
        break;
    case TL_J_NAME:
        tl_jw_name(w, t->text);
        break;
    case TL_J_STRING:
        tl_jw_string(w, t->text);
        break;
    case TL_J_INT:
    case TL_J_DOUBLE:
        tl_jw_raw(w, t->text); /* as written: no digit is lost */
        break;
    case TL_J_BOOL:
        tl_jw_bool(w, t->b);
        break;
    default:
        tl_jw_null(w);
        break;
    }
}

tl_rc tl_jw_copy(struct tl_jw *w, struct tl_jreader *r, const struct tl_jtok *first,
                 struct tl_error *err)
{
    struct tl_jtok t = *first;
    unsigned open = 0;
    for (;;) {
        copy_token(w, &t);
        open += t.kind == TL_J_OBJECT || t.kind == TL_J_ARRAY;
        open -= t.kind == TL_J_OBJECT_END || t.kind == TL_J_ARRAY_END;
        if (open == 0) {
            return TL_OK;
        }
        tl_rc rc = tl_jtok_next(r, &t, err);
        if (rc) {
            return rc;
        }
    }
}

tl_rc tl_jw_finish(struct tl_jw *w, struct tl_error *err)
{
    if (w->rc == TL_OK && tl_buf_failed(w->out)) {
        fail(w, TL_ELIMIT, "the text is too long");
    }
    if (w->rc) {
        return tl_error_set(err, w->rc, "cannot write JSON: %s", w->why);
    }
    TL_ASSERT(w->depth == 0 && !w->after_name);
    return TL_OK;
}
