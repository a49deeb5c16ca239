/* See toml.h. */
#include "config/toml.h"

#include <string.h>

#include "base/buf.h"

#define NESTING_MAX 32
#define STRING_BYTES_MAX ((size_t)1 << 20)
#define TABLES_MAX 1024

struct reader {
    struct tl_str text;
    size_t at;
    int line, nesting;
    struct tl_arena *arena;
    tl_toml_fn fn;
    void *ud;
    struct tl_error *err;
    struct tl_str path[TL_TOML_DEPTH_MAX];
    size_t depth, table_depth;
    struct tl_str tables[TABLES_MAX]; /* headers seen, keys joined by NUL */
    size_t table_count;
};

#define FAIL(r, ...)                                                                               \
    tl_error_wrap((r)->err, tl_error_set((r)->err, TL_EINVAL, __VA_ARGS__), "line %d", (r)->line)

static int peek(const struct reader *r)
{
    return r->at < r->text.n ? (unsigned char)r->text.p[r->at] : -1;
}

static bool looks_at(const struct reader *r, const char *part)
{
    size_t n = strlen(part);
    return r->text.n - r->at >= n && memcmp(r->text.p + r->at, part, n) == 0;
}

static void skip_blanks(struct reader *r)
{
    while (peek(r) == ' ' || peek(r) == '\t') {
        r->at++;
    }
}

static bool skip_line_end(struct reader *r)
{
    if (looks_at(r, "\r\n")) {
        r->at++;
    }
    if (peek(r) != '\n') {
        return false;
    }
    r->at++;
    r->line++;
    return true;
}

static void skip_comment(struct reader *r)
{
    if (peek(r) == '#') {
        while (r->at < r->text.n && peek(r) != '\n') {
            r->at++;
        }
    }
}

/* Blanks, comments and line ends, as they may stand inside arrays and between lines. */
static void skip_space(struct reader *r)
{
    do {
        skip_blanks(r);
        skip_comment(r);
    } while (skip_line_end(r));
}

/* --- strings ------------------------------------------------------------------------------------- */

static int hex_digit(int c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static tl_rc put_code_point(struct reader *r, struct tl_buf *out, int digits)
{
    uint32_t code = 0;
    for (int i = 0; i < digits; i++) {
        int d = hex_digit(peek(r));
        if (d < 0) {
            return FAIL(r, "\\%c wants %d hexadecimal digits", digits == 4 ? 'u' : 'U', digits);
        }
        code = code << 4 | (uint32_t)d;
        r->at++;
    }
    if (code == 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
        return FAIL(r, "an escape that is no character");
    }
    if (code < 0x80) {
        tl_buf_putc(out, (char)code);
    } else if (code < 0x800) {
        tl_buf_putc(out, (char)(0xc0 | code >> 6));
    } else if (code < 0x10000) {
        tl_buf_putc(out, (char)(0xe0 | code >> 12));
        tl_buf_putc(out, (char)(0x80 | (code >> 6 & 0x3f)));
    } else {
        tl_buf_putc(out, (char)(0xf0 | code >> 18));
        tl_buf_putc(out, (char)(0x80 | (code >> 12 & 0x3f)));
        tl_buf_putc(out, (char)(0x80 | (code >> 6 & 0x3f)));
    }
    if (code >= 0x80) {
        tl_buf_putc(out, (char)(0x80 | (code & 0x3f)));
    }
    return TL_OK;
}

/* Behind a backslash. */
static tl_rc put_escape(struct reader *r, struct tl_buf *out, bool lines)
{
    static const char from[] = "btnfr\"\\", to[] = "\b\t\n\f\r\"\\";
    int c = peek(r);
    const char *known = c > 0 ? strchr(from, c) : NULL;
    if (lines && (c == '\n' || c == '\r' || c == ' ' || c == '\t')) {
        size_t before = r->at;
        skip_blanks(r);
        if (!skip_line_end(r)) {
            r->at = before;
            return FAIL(r, "'\\ ' is no escape");
        }
        do {
            skip_blanks(r);
        } while (skip_line_end(r));
        return TL_OK;
    }
    if (c < 0 || (!known && c != 'u' && c != 'U')) {
        return FAIL(r, "a backslash that begins no escape (a path may stand between '...')");
    }
    r->at++;
    if (!known) {
        return put_code_point(r, out, c == 'u' ? 4 : 8);
    }
    tl_buf_putc(out, to[known - from]);
    return TL_OK;
}

/* The body of a string behind its opening quotes, to behind its closing ones. */
static tl_rc read_body(struct reader *r, char quote, bool lines, struct tl_buf *out)
{
    const char closing[] = {quote, quote, quote, 0};
    if (lines) {
        skip_line_end(r); /* the first one does not count */
    }
    for (;;) {
        int c = peek(r);
        if (c == quote && (!lines || looks_at(r, closing))) {
            r->at += lines ? 3 : 1;
            for (int i = 0; lines && i < 2 && peek(r) == quote; i++) { /* up to two belong to it */
                tl_buf_putc(out, quote);
                r->at++;
            }
            return TL_OK;
        }
        if (c < 0 || (c == '\n' && !lines)) {
            return FAIL(r, "a string without its end");
        }
        if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f) {
            return FAIL(r, "a control character in a string");
        }
        r->at++;
        r->line += c == '\n';
        if (c == '\\' && quote == '"') {
            tl_rc rc = put_escape(r, out, lines);
            if (rc != TL_OK) {
                return rc;
            }
        } else if (!tl_buf_putc(out, (char)c)) {
            return FAIL(r, "a string is longer than %zu bytes", STRING_BYTES_MAX);
        }
    }
}

static tl_rc read_string(struct reader *r, bool key, struct tl_str *out)
{
    struct tl_buf b;
    char quote = (char)peek(r);
    const char opening[] = {quote, quote, quote, 0};
    bool lines = looks_at(r, opening) && !key;
    r->at += lines ? 3 : 1;
    tl_buf_init(&b, STRING_BYTES_MAX);
    tl_rc rc = read_body(r, quote, lines, &b);
    if (rc == TL_OK) {
        *out = tl_arena_str(r->arena, tl_buf_str(&b));
        if (b.n && !out->p) {
            rc = FAIL(r, "the file does not fit the memory limit");
        }
    }
    tl_buf_deinit(&b);
    return rc;
}

/* --- keys ---------------------------------------------------------------------------------------- */

static bool is_bare(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

/* One key or several with dots, added to the path. */
static tl_rc read_key(struct reader *r)
{
    for (;;) {
        struct tl_str part;
        skip_blanks(r);
        if (r->depth == TL_TOML_DEPTH_MAX) {
            return FAIL(r, "more than %d keys inside each other", TL_TOML_DEPTH_MAX);
        }
        if (peek(r) == '"' || peek(r) == '\'') {
            tl_rc rc = read_string(r, true, &part);
            if (rc != TL_OK) {
                return rc;
            }
        } else {
            size_t from = r->at;
            while (is_bare(peek(r))) {
                r->at++;
            }
            part = tl_str_n(r->text.p + from, r->at - from);
            if (part.n == 0) {
                return FAIL(r, "a key is missing");
            }
        }
        r->path[r->depth++] = part;
        skip_blanks(r);
        if (peek(r) != '.') {
            return TL_OK;
        }
        r->at++;
    }
}

/* --- values -------------------------------------------------------------------------------------- */

static tl_rc read_value(struct reader *r, bool report);

static tl_rc report(struct reader *r, enum tl_toml_kind kind, struct tl_str text, int line)
{
    const struct tl_toml_value v = {
        .path = r->path, .depth = r->depth, .kind = kind, .text = text, .line = line};
    tl_rc rc = r->fn(r->ud, &v, r->err);
    return rc == TL_OK ? rc : tl_error_wrap(r->err, rc, "line %d", line);
}

static tl_rc read_array(struct reader *r)
{
    r->at++;
    for (;;) {
        skip_space(r);
        if (peek(r) == ']') {
            r->at++;
            return TL_OK;
        }
        tl_rc rc = read_value(r, false);
        if (rc != TL_OK) {
            return rc;
        }
        skip_space(r);
        if (peek(r) == ',') {
            r->at++;
        } else if (peek(r) != ']') {
            return FAIL(r, "',' or ']' is missing in an array");
        }
    }
}

static tl_rc read_pair(struct reader *r, bool tell)
{
    size_t depth = r->depth;
    tl_rc rc = read_key(r);
    if (rc == TL_OK && peek(r) != '=') {
        rc = FAIL(r, "'=' is missing behind a key");
    }
    if (rc == TL_OK) {
        r->at++;
        skip_blanks(r);
        rc = read_value(r, tell);
    }
    r->depth = depth;
    return rc;
}

static tl_rc read_inline_table(struct reader *r, bool tell)
{
    r->at++;
    skip_blanks(r);
    if (peek(r) == '}') {
        r->at++;
        return tell ? report(r, TL_TOML_TABLE, (struct tl_str){0}, r->line) : TL_OK;
    }
    for (;;) {
        tl_rc rc = read_pair(r, tell);
        if (rc != TL_OK) {
            return rc;
        }
        skip_blanks(r);
        int c = peek(r);
        r->at += c == ',' || c == '}';
        if (c == '}') {
            return TL_OK;
        }
        if (c != ',') {
            return FAIL(r, "',' or '}' is missing in a table");
        }
    }
}

/* Numbers and dates: what begins like one and has only their characters. */
static tl_rc read_other(struct reader *r, struct tl_str *out)
{
    size_t from = r->at;
    while (is_bare(peek(r)) || peek(r) == '+' || peek(r) == '.' || peek(r) == ':') {
        r->at++;
    }
    *out = tl_str_n(r->text.p + from, r->at - from);
    if (tl_str_eqc(*out, "inf") || tl_str_eqc(*out, "nan") ||
        (out->n && strchr("+-0123456789", out->p[0]))) {
        return TL_OK;
    }
    return FAIL(r, "a value is missing (a text stands between quotes)");
}

static tl_rc read_value(struct reader *r, bool tell)
{
    struct tl_str text = {0};
    enum tl_toml_kind kind = TL_TOML_OTHER;
    size_t from = r->at;
    int line = r->line;
    tl_rc rc;
    if (++r->nesting > NESTING_MAX) {
        return FAIL(r, "more than %d values inside each other", NESTING_MAX);
    }
    if (peek(r) == '"' || peek(r) == '\'') {
        kind = TL_TOML_STRING;
        rc = read_string(r, false, &text);
    } else if (peek(r) == '{') {
        rc = read_inline_table(r, tell);
        tell = false;
    } else if (peek(r) == '[') {
        rc = read_array(r);
        text = tl_str_n(r->text.p + from, r->at - from);
    } else if (looks_at(r, "true") || looks_at(r, "false")) {
        kind = TL_TOML_BOOLEAN;
        r->at += looks_at(r, "true") ? 4 : 5;
        text = tl_str_n(r->text.p + from, r->at - from);
        rc =
            is_bare(peek(r)) ? FAIL(r, "a value is missing (a text stands between quotes)") : TL_OK;
    } else {
        rc = read_other(r, &text);
    }
    r->nesting--;
    return rc == TL_OK && tell ? report(r, kind, text, line) : rc;
}

/* --- lines --------------------------------------------------------------------------------------- */

/* A header that came before would silently continue its table: TOML forbids it. */
static tl_rc remember_table(struct reader *r)
{
    struct tl_buf b;
    tl_buf_init(&b, STRING_BYTES_MAX);
    for (size_t i = 0; i < r->depth; i++) {
        tl_buf_put_str(&b, r->path[i]);
        tl_buf_putc(&b, 0);
    }
    struct tl_str name = tl_arena_str(r->arena, tl_buf_str(&b));
    tl_buf_deinit(&b);
    for (size_t i = 0; i < r->table_count; i++) {
        if (tl_str_eq(r->tables[i], name)) {
            return FAIL(r, "the table [%.*s] is there twice", TL_STR_FMT(r->path[r->depth - 1]));
        }
    }
    if (!name.p || r->table_count == TABLES_MAX) {
        return FAIL(r, "more than %d tables", TABLES_MAX);
    }
    r->tables[r->table_count++] = name;
    return TL_OK;
}

static tl_rc read_header(struct reader *r)
{
    r->at++;
    if (peek(r) == '[') {
        return FAIL(r, "arrays of tables are not supported");
    }
    r->depth = 0;
    tl_rc rc = read_key(r);
    if (rc == TL_OK && peek(r) != ']') {
        rc = FAIL(r, "']' is missing behind the name of a table");
    }
    r->at++;
    r->table_depth = r->depth;
    rc = rc == TL_OK ? remember_table(r) : rc;
    return rc == TL_OK ? report(r, TL_TOML_TABLE, (struct tl_str){0}, r->line) : rc;
}

tl_rc tl_toml_read(struct tl_str text, struct tl_arena *arena, tl_toml_fn fn, void *ud,
                   struct tl_error *err)
{
    struct tl_error unused;
    struct reader *r = tl_arena_alloc(arena, sizeof *r);
    if (!r) {
        return tl_error_set(err, TL_ELIMIT, "the file does not fit the memory limit");
    }
    *r = (struct reader){
        .text = text, .line = 1, .arena = arena, .fn = fn, .ud = ud, .err = err ? err : &unused};
    if (looks_at(r, "\xef\xbb\xbf")) {
        r->at = 3;
    }
    for (;;) {
        skip_space(r);
        if (peek(r) < 0) {
            return TL_OK;
        }
        r->depth = r->table_depth;
        tl_rc rc = peek(r) == '[' ? read_header(r) : read_pair(r, true);
        if (rc != TL_OK) {
            return rc;
        }
        skip_blanks(r);
        skip_comment(r);
        if (peek(r) >= 0 && !skip_line_end(r)) {
            return FAIL(r, "something stands behind the end of a line's value");
        }
    }
}
