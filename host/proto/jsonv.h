/* JSON values as a stream (RFC 8259, strict): a pull tokenizer and an append-only writer. Integers
 * that fit 64 bits stay integers; other numbers are doubles, written as the shortest text that
 * reads back the same. Nothing depends on the process's locale. Order of names is the caller's.
 *
 * Reading:  struct tl_jreader r; tl_jreader_init(&r, text, 0, 100);
 *           while ((rc = tl_jtok_next(&r, &t, err)) == TL_OK && t.kind != TL_J_END) ...
 * Writing:  struct tl_jw w; tl_jw_init(&w, &buf, 0, 100); tl_jw_object(&w); tl_jw_name(&w, n); ...
 *           rc = tl_jw_finish(&w, err);
 * Thread: one at a time per object. */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

/* Ceiling of depth_max of readers and writers. */
#define TL_JSON_DEPTH_CEILING 1024

/* --- reading ---------------------------------------------------------------------------------- */

enum tl_jkind {
    TL_J_END, /* after the one value: only white space was left */
    TL_J_NULL,
    TL_J_BOOL,
    TL_J_INT,
    TL_J_DOUBLE,
    TL_J_STRING,
    TL_J_NAME, /* member name; its value follows */
    TL_J_OBJECT,
    TL_J_OBJECT_END,
    TL_J_ARRAY,
    TL_J_ARRAY_END,
};

enum {
    /* A \u escape of half a surrogate pair reads as U+FFFD. Default: an error. */
    TL_JREAD_LONE_SURROGATES = 1,
};

struct tl_jtok {
    enum tl_jkind kind;
    bool b;             /* TL_J_BOOL */
    int64_t i;          /* TL_J_INT */
    double d;           /* TL_J_DOUBLE; TL_J_INT too */
    struct tl_str text; /* strings and names: decoded; may hold NUL. Numbers: as written.
                           Borrowed from the source or the reader until the next token. */
    size_t offset;      /* where the token begins in the source */
};

struct tl_jreader {
    struct tl_str source; /* private from here on */
    size_t at;
    unsigned flags;
    unsigned depth, depth_max;
    uint8_t expect;
    uint64_t objects[TL_JSON_DEPTH_CEILING / 64]; /* bit per level: 1 object, 0 array */
    struct tl_buf scratch;
};

/* Borrows source until deinit. depth_max: deepest nesting of arrays and objects. */
void tl_jreader_init(struct tl_jreader *r, struct tl_str source, unsigned flags,
                     unsigned depth_max);
void tl_jreader_deinit(struct tl_jreader *r);
/* The next token. After an error the reader stays at its place and repeats it.
 * Errors: TL_EDECODE with line and column, TL_ELIMIT for nesting. */
tl_rc tl_jtok_next(struct tl_jreader *r, struct tl_jtok *t, struct tl_error *err) TL_MUST_USE;
/* Reads on to the end of the value that begins with `first` (the token just read). */
tl_rc tl_jtok_skip(struct tl_jreader *r, const struct tl_jtok *first,
                   struct tl_error *err) TL_MUST_USE;

/* A place to come back to. Valid as long as the reader is. */
struct tl_jmark {
    size_t at;
    unsigned depth;
    uint8_t expect;
};
struct tl_jmark tl_jreader_mark(const struct tl_jreader *r);
/* Only to a mark at the same nesting or deeper within the same open objects and arrays. */
void tl_jreader_rewind(struct tl_jreader *r, struct tl_jmark mark);
/* "line 3, column 7" of an offset in text. */
void tl_json_position(struct tl_str text, size_t offset, size_t *line, size_t *column);

/* --- writing ---------------------------------------------------------------------------------- */

enum {
    TL_JW_PRETTY = 1,      /* one member per line, two spaces per level */
    TL_JW_FLOAT_POINT = 2, /* doubles with an integral value get ".0" */
};

struct tl_jw {
    struct tl_buf *out; /* private */
    unsigned flags, depth, depth_max;
    bool first, after_name;
    tl_rc rc;
    const char *why;
};

/* Borrows out until finish. Calls after a failure do nothing; finish tells. */
void tl_jw_init(struct tl_jw *w, struct tl_buf *out, unsigned flags, unsigned depth_max);
void tl_jw_object(struct tl_jw *w);
void tl_jw_object_end(struct tl_jw *w);
void tl_jw_array(struct tl_jw *w);
void tl_jw_array_end(struct tl_jw *w);
void tl_jw_name(struct tl_jw *w, struct tl_str name);
void tl_jw_string(struct tl_jw *w, struct tl_str text); /* must be UTF-8 */
void tl_jw_int(struct tl_jw *w, int64_t v);
void tl_jw_uint(struct tl_jw *w, uint64_t v);
void tl_jw_double(struct tl_jw *w, double v); /* NaN and infinities are TL_EINVAL */
void tl_jw_bool(struct tl_jw *w, bool v);
void tl_jw_null(struct tl_jw *w);
void tl_jw_base64(struct tl_jw *w, struct tl_str bytes); /* as a string */
/* One value that is JSON already; the caller vouches for it. */
void tl_jw_raw(struct tl_jw *w, struct tl_str json);
/* Copies the value that begins with `first` from a reader, reformatting white space only. */
tl_rc tl_jw_copy(struct tl_jw *w, struct tl_jreader *r, const struct tl_jtok *first,
                 struct tl_error *err) TL_MUST_USE;
/* Errors: TL_EINVAL (not UTF-8, not a finite number), TL_ELIMIT (nesting, the buffer's ceiling). */
tl_rc tl_jw_finish(struct tl_jw *w, struct tl_error *err) TL_MUST_USE;

/* --- numbers ---------------------------------------------------------------------------------- */

/* Shortest text of a finite double that reads back equal; returns its length (< 32). Integral
 * values have no ".0". */
size_t tl_json_double_text(double v, char out[32]);
/* The same for a float: fewer digits are enough. */
size_t tl_json_float_text(float v, char out[32]);
/* The value of text, which must be a JSON number. False when it is beyond the range of doubles. */
bool tl_json_double_value(struct tl_str text, double *v);
