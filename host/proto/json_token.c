/* The pull tokenizer. See jsonv.h. The source is only read; decoded strings with escapes go to the
 * reader's scratch buffer. Thread: one at a time per reader. */
#include "proto/jsonv.h"

#include "base/assert.h"
#include "proto/utf8.h"

enum expect {
    EXPECT_VALUE,
    EXPECT_VALUE_OR_END, /* after '[' */
    EXPECT_NAME_OR_END,  /* after '{' */
    EXPECT_COMMA_OR_END,
    EXPECT_NOTHING,
};

void tl_jreader_init(struct tl_jreader *r, struct tl_str source, unsigned flags, unsigned depth_max)
{
    TL_ASSERT(depth_max <= TL_JSON_DEPTH_CEILING);
    *r = (struct tl_jreader){.source = source, .flags = flags, .depth_max = depth_max};
    r->expect = EXPECT_VALUE;
    tl_buf_init(&r->scratch, source.n + 8);
}

void tl_jreader_deinit(struct tl_jreader *r)
{
    tl_buf_deinit(&r->scratch);
}

void tl_json_position(struct tl_str text, size_t offset, size_t *line, size_t *column)
{
    *line = 1;
    *column = 1;
    for (size_t i = 0; i < offset && i < text.n; i++) {
        if (text.p[i] == '\n') {
            ++*line;
            *column = 1;
        } else {
            ++*column;
        }
    }
}

static tl_rc fail(struct tl_jreader *r, struct tl_error *err, size_t at, const char *what)
{
    size_t line;
    size_t column;
    tl_json_position(r->source, at, &line, &column);
    return tl_error_set(err, TL_EDECODE, "JSON, line %zu, column %zu: %s", line, column, what);
}

static bool in_object(const struct tl_jreader *r)
{
    unsigned level = r->depth - 1;
    return (r->objects[level / 64] >> (level % 64) & 1) != 0;
}

static size_t skip_space(const struct tl_jreader *r, size_t at)
{
    while (at < r->source.n) {
        char c = r->source.p[at];
        if (c != ' ' && c != '\n' && c != '\r' && c != '\t') {
            break;
        }
        at++;
    }
    return at;
}

/* '\0' at the end of the source: no token begins with it. */
static char peek(const struct tl_jreader *r, size_t at)
{
    return at < r->source.n ? r->source.p[at] : 0;
}

static bool hex4(struct tl_str s, uint32_t *v)
{
    if (s.n < 4) {
        return false;
    }
    *v = 0;
    for (size_t i = 0; i < 4; i++) {
        char c = s.p[i];
        uint32_t digit;
        if (c >= '0' && c <= '9') {
            digit = (uint32_t)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            digit = (uint32_t)(c - 'a' + 10);
        } else if (c >= 'A' && c <= 'F') {
            digit = (uint32_t)(c - 'A' + 10);
        } else {
            return false;
        }
        *v = *v << 4 | digit;
    }
    return true;
}

/* Decodes the \u escape whose digits are at s; *used counts what follows the 'u'. */
static const char *unicode_escape(struct tl_jreader *r, struct tl_str s, size_t *used)
{
    uint32_t c;
    uint32_t low;
    if (!hex4(s, &c)) {
        return "\\u needs four hexadecimal digits";
    }
    *used = 4;
    if (c >= 0xD800 && c <= 0xDFFF) {
        bool pair = c < 0xDC00 && s.n >= 10 && s.p[4] == '\\' && s.p[5] == 'u' &&
                    hex4(tl_str_n(s.p + 6, 4), &low) && low >= 0xDC00 && low <= 0xDFFF;
        if (pair) {
            c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
            *used = 10;
        } else if (r->flags & TL_JREAD_LONE_SURROGATES) {
            c = 0xFFFD;
        } else {
            return "half a surrogate pair";
        }
    }
    char bytes[4];
    tl_buf_put(&r->scratch, bytes, tl_utf8_put(bytes, c));
    return NULL;
}

/* Decodes the escape behind the backslash at s.p[0]; *used counts all of it. */
static const char *escape(struct tl_jreader *r, struct tl_str s, size_t *used)
{
    static const char FROM[] = "\"\\/bfnrt";
    static const char TO[] = "\"\\/\b\f\n\r\t";
    if (s.n < 2) {
        return "string without end";
    }
    if (s.p[1] == 'u') {
        size_t n = 0;
        const char *why = unicode_escape(r, tl_str_n(s.p + 2, s.n - 2), &n);
        *used = n + 2;
        return why;
    }
    const char *found = s.p[1] ? strchr(FROM, s.p[1]) : NULL;
    if (!found) {
        return "unknown escape in a string";
    }
    tl_buf_putc(&r->scratch, TO[found - FROM]);
    *used = 2;
    return NULL;
}

/* Length of the stretch without quote, backslash or control characters. */
static size_t plain_stretch(struct tl_str s)
{
    size_t n = 0;
    while (n < s.n && s.p[n] != '"' && s.p[n] != '\\' && (unsigned char)s.p[n] >= 0x20) {
        n++;
    }
    return n;
}

/* The string whose opening quote is at `at`; *end is set behind the closing one. */
static tl_rc read_string(struct tl_jreader *r, size_t at, struct tl_str *text, size_t *end,
                         struct tl_error *err)
{
    size_t i = at + 1;
    bool escaped = false;
    tl_buf_clear(&r->scratch);
    for (;;) {
        struct tl_str rest = tl_str_n(r->source.p + i, r->source.n - i);
        struct tl_str plain = tl_str_n(rest.p, plain_stretch(rest));
        if (!tl_utf8_ok(plain)) {
            return fail(r, err, i, "a string is not valid UTF-8");
        }
        i += plain.n;
        char c = peek(r, i);
        if (c == '"' && !escaped) {
            *text = plain;
            *end = i + 1;
            return TL_OK;
        }
        tl_buf_put_str(&r->scratch, plain);
        if (c == '"') {
            *text = r->scratch.n ? tl_buf_str(&r->scratch) : TL_STR_LIT("");
            *end = i + 1;
            return TL_OK;
        }
        if (c != '\\') {
            return fail(r, err, i,
                        i < r->source.n ? "control character in a string" : "string without end");
        }
        size_t used = 0;
        const char *why = escape(r, tl_str_n(r->source.p + i, r->source.n - i), &used);
        if (why) {
            return fail(r, err, i, why);
        }
        i += used;
        escaped = true;
    }
}

static size_t digits(const struct tl_jreader *r, size_t at)
{
    while (peek(r, at) >= '0' && peek(r, at) <= '9') {
        at++;
    }
    return at;
}

/* True when the digits fit; text is an integer by the grammar. */
static bool to_int64(struct tl_str text, int64_t *v)
{
    bool negative = text.p[0] == '-';
    int64_t value = 0;
    for (size_t i = negative ? 1 : 0; i < text.n; i++) {
        int64_t digit = text.p[i] - '0';
        if (__builtin_mul_overflow(value, (int64_t)10, &value) ||
            __builtin_sub_overflow(value, digit, &value)) {
            return false;
        }
    }
    if (!negative && value == INT64_MIN) {
        return false;
    }
    *v = negative ? value : -value;
    return true;
}

static tl_rc read_number(struct tl_jreader *r, size_t at, struct tl_jtok *t, size_t *end,
                         struct tl_error *err)
{
    size_t i = at + (peek(r, at) == '-');
    size_t first = i;
    bool integer = true;
    i = digits(r, i);
    if (i == first || (peek(r, first) == '0' && i > first + 1)) {
        return fail(r, err, at, "malformed number");
    }
    if (peek(r, i) == '.') {
        size_t fraction = i + 1;
        i = digits(r, fraction);
        integer = false;
        if (i == fraction) {
            return fail(r, err, at, "malformed number");
        }
    }
    if (peek(r, i) == 'e' || peek(r, i) == 'E') {
        size_t exponent = i + 1;
        exponent += peek(r, exponent) == '+' || peek(r, exponent) == '-';
        i = digits(r, exponent);
        integer = false;
        if (i == exponent) {
            return fail(r, err, at, "malformed number");
        }
    }
    t->text = tl_str_n(r->source.p + at, i - at);
    *end = i;
    if (integer && to_int64(t->text, &t->i)) {
        t->kind = TL_J_INT;
        t->d = (double)t->i;
        return TL_OK;
    }
    t->kind = TL_J_DOUBLE;
    return tl_json_double_value(t->text, &t->d) ? TL_OK
                                                : fail(r, err, at, "number is out of range");
}

static bool has_word(const struct tl_jreader *r, size_t at, struct tl_str word)
{
    return r->source.n - at >= word.n && memcmp(r->source.p + at, word.p, word.n) == 0;
}

static tl_rc read_word(struct tl_jreader *r, size_t at, struct tl_jtok *t, size_t *end,
                       struct tl_error *err)
{
    static const struct {
        struct tl_str word;
        enum tl_jkind kind;
        bool b;
    } WORDS[] = {
        {{"null", 4}, TL_J_NULL, false},
        {{"true", 4}, TL_J_BOOL, true},
        {{"false", 5}, TL_J_BOOL, false},
    };
    for (size_t i = 0; i < sizeof WORDS / sizeof *WORDS; i++) {
        if (has_word(r, at, WORDS[i].word)) {
            t->kind = WORDS[i].kind;
            t->b = WORDS[i].b;
            *end = at + WORDS[i].word.n;
            return TL_OK;
        }
    }
    return fail(r, err, at, at < r->source.n ? "a value is expected" : "the text ends too early");
}

/* What may follow a complete value. */
static uint8_t after_value(const struct tl_jreader *r)
{
    return r->depth == 0 ? EXPECT_NOTHING : EXPECT_COMMA_OR_END;
}

static tl_rc open_level(struct tl_jreader *r, size_t at, struct tl_jtok *t, struct tl_error *err)
{
    if (r->depth == r->depth_max) {
        return tl_error_set(err, TL_ELIMIT, "JSON is nested more than %u levels deep",
                            r->depth_max);
    }
    bool object = r->source.p[at] == '{';
    uint64_t bit = UINT64_C(1) << (r->depth % 64);
    uint64_t *word = &r->objects[r->depth / 64];
    *word = object ? *word | bit : *word & ~bit;
    r->depth++;
    r->expect = object ? EXPECT_NAME_OR_END : EXPECT_VALUE_OR_END;
    r->at = at + 1;
    t->kind = object ? TL_J_OBJECT : TL_J_ARRAY;
    return TL_OK;
}

static tl_rc read_value(struct tl_jreader *r, size_t at, struct tl_jtok *t, struct tl_error *err)
{
    char c = peek(r, at);
    size_t end = at;
    tl_rc rc;
    if (c == '{' || c == '[') {
        return open_level(r, at, t, err);
    }
    if (c == '"') {
        t->kind = TL_J_STRING;
        rc = read_string(r, at, &t->text, &end, err);
    } else if (c == '-' || (c >= '0' && c <= '9')) {
        rc = read_number(r, at, t, &end, err);
    } else {
        rc = read_word(r, at, t, &end, err);
    }
    if (rc == TL_OK) {
        r->at = end;
        r->expect = after_value(r);
    }
    return rc;
}

static tl_rc read_name(struct tl_jreader *r, size_t at, struct tl_jtok *t, struct tl_error *err)
{
    size_t end;
    if (peek(r, at) != '"') {
        return fail(r, err, at, "a member name is expected");
    }
    t->kind = TL_J_NAME;
    tl_rc rc = read_string(r, at, &t->text, &end, err);
    if (rc) {
        return rc;
    }
    end = skip_space(r, end);
    if (peek(r, end) != ':') {
        return fail(r, err, end, "':' is expected");
    }
    r->at = end + 1;
    r->expect = EXPECT_VALUE;
    return TL_OK;
}

static tl_rc close_level(struct tl_jreader *r, size_t at, struct tl_jtok *t)
{
    t->kind = r->source.p[at] == '}' ? TL_J_OBJECT_END : TL_J_ARRAY_END;
    r->depth--;
    r->expect = after_value(r);
    r->at = at + 1;
    return TL_OK;
}

tl_rc tl_jtok_next(struct tl_jreader *r, struct tl_jtok *t, struct tl_error *err)
{
    size_t at = skip_space(r, r->at);
    *t = (struct tl_jtok){.kind = TL_J_END, .offset = at};
    char c = peek(r, at);
    switch (r->expect) {
    case EXPECT_NOTHING:
        return at == r->source.n ? TL_OK : fail(r, err, at, "text after the end of the value");
    case EXPECT_VALUE:
        return read_value(r, at, t, err);
    case EXPECT_VALUE_OR_END:
        return c == ']' ? close_level(r, at, t) : read_value(r, at, t, err);
    case EXPECT_NAME_OR_END:
        return c == '}' ? close_level(r, at, t) : read_name(r, at, t, err);
    default:
        break;
    }
    bool object = in_object(r);
    if (c == (object ? '}' : ']')) {
        return close_level(r, at, t);
    }
    if (c != ',') {
        return fail(r, err, at, object ? "',' or '}' is expected" : "',' or ']' is expected");
    }
    at = skip_space(r, at + 1);
    t->offset = at;
    return object ? read_name(r, at, t, err) : read_value(r, at, t, err);
}

tl_rc tl_jtok_skip(struct tl_jreader *r, const struct tl_jtok *first, struct tl_error *err)
{
    if (first->kind != TL_J_OBJECT && first->kind != TL_J_ARRAY) {
        return TL_OK;
    }
    unsigned outer = r->depth - 1;
    tl_rc rc = TL_OK;
    while (rc == TL_OK && r->depth > outer) {
        struct tl_jtok t;
        rc = tl_jtok_next(r, &t, err);
    }
    return rc;
}

struct tl_jmark tl_jreader_mark(const struct tl_jreader *r)
{
    return (struct tl_jmark){r->at, r->depth, r->expect};
}

void tl_jreader_rewind(struct tl_jreader *r, struct tl_jmark mark)
{
    r->at = mark.at;
    r->depth = mark.depth;
    r->expect = mark.expect;
}
