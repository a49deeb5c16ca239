/* Recursive descent over the filter's tokens. See filter.h. */
#include "server/visibility/filter.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

#include "base/buf.h"
#include "base/duration.h"
#include "base/near.h"
#include "tl_enums.h"

#define DEPTH_MAX 50
#define BINDS_MAX 1000
#define SQL_BYTES_MAX ((size_t)128 * 1024)

enum kind { KEYWORD, NUMBER, STATUS, TIME, SPAN };

static const struct field {
    const char *name;
    const char *sql;
    enum kind kind;
} fields[] = {
    {"WorkflowId", "workflow_id", KEYWORD},
    {"RunId", "run_id", KEYWORD},
    {"WorkflowType", "type", KEYWORD},
    {"TaskQueue", "task_queue", KEYWORD},
    {"ExecutionStatus", "status", STATUS},
    {"StartTime", "start_ns", TIME},
    {"ExecutionTime", "execution_ns", TIME},
    {"CloseTime", "close_ns", TIME},
    {"ExecutionDuration", "(close_ns-execution_ns)", SPAN},
    {"HistoryLength", "history_length", NUMBER},
    {"HistorySizeBytes", "history_bytes", NUMBER},
    {"StateTransitionCount", "state_transitions", NUMBER},
    {"ParentWorkflowId", "parent_workflow_id", KEYWORD},
    {"ParentRunId", "parent_run_id", KEYWORD},
    {"RootWorkflowId", "coalesce(root_workflow_id,workflow_id)", KEYWORD},
    {"RootRunId", "coalesce(root_run_id,run_id)", KEYWORD},
    {"TemporalNamespaceDivision", "division", KEYWORD},
};
#define FIELDS (sizeof fields / sizeof fields[0])

static const struct {
    const char *name;
    int value;
} statuses[] = {
    {"Running", WORKFLOW_EXECUTION_STATUS_RUNNING},
    {"Completed", WORKFLOW_EXECUTION_STATUS_COMPLETED},
    {"Failed", WORKFLOW_EXECUTION_STATUS_FAILED},
    {"Canceled", WORKFLOW_EXECUTION_STATUS_CANCELED},
    {"Terminated", WORKFLOW_EXECUTION_STATUS_TERMINATED},
    {"ContinuedAsNew", WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW},
    {"TimedOut", WORKFLOW_EXECUTION_STATUS_TIMED_OUT},
    {"Paused", WORKFLOW_EXECUTION_STATUS_PAUSED},
};
#define STATUSES (sizeof statuses / sizeof statuses[0])

const char *tl_filter_status_name(int64_t status)
{
    for (size_t i = 0; i < STATUSES; i++) {
        if (statuses[i].value == status) {
            return statuses[i].name;
        }
    }
    return NULL;
}

/* --- tokens ---------------------------------------------------------------------------------------- */

enum token { END, WORD, TEXT, NUM, SIGN, BAD };

struct parser {
    struct tl_str in;
    size_t at;    /* behind the current token */
    size_t start; /* of the current token */
    enum token token;
    struct tl_str word; /* WORD, NUM: as written; TEXT: unescaped; SIGN: the operator */
    struct tl_arena *arena;
    struct tl_buf sql;
    struct tl_filter *out;
    int depth;
    struct tl_error *err;
};

static tl_rc fail(struct parser *p, const char *expected)
{
    if (p->token == END) {
        return tl_error_set(p->err, TL_EINVAL, "invalid query: %s expected at the end", expected);
    }
    size_t n = p->at - p->start < 40 ? p->at - p->start : 40;
    return tl_error_set(p->err, TL_EINVAL, "invalid query at position %zu, \"%.*s\": %s expected",
                        p->start + 1, (int)n, p->in.p + p->start, expected);
}

static bool word_start(char c)
{
    return isalpha((unsigned char)c) || c == '_';
}

static bool word_part(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '.' || c == '-';
}

static void read_text(struct parser *p, char quote)
{
    char *out = tl_arena_alloc(p->arena, p->in.n - p->at + 1);
    size_t n = 0;
    p->token = BAD;
    while (out && p->at < p->in.n) {
        char c = p->in.p[p->at++];
        bool twice = p->at < p->in.n && p->in.p[p->at] == quote;
        if (c == quote && !twice) {
            p->token = TEXT;
            p->word = tl_str_n(out, n);
            return;
        }
        if (c == quote || (c == '\\' && p->at < p->in.n)) {
            c = p->in.p[p->at++];
        }
        out[n++] = c;
    }
}

static void next(struct parser *p)
{
    while (p->at < p->in.n && isspace((unsigned char)p->in.p[p->at])) {
        p->at++;
    }
    p->start = p->at;
    p->word = (struct tl_str){0};
    if (p->at == p->in.n) {
        p->token = END;
        return;
    }
    char c = p->in.p[p->at++];
    if (c == '\'' || c == '"') {
        read_text(p, c);
        return;
    }
    if (c == '`') { /* quoted names */
        read_text(p, c);
        p->token = p->token == TEXT ? WORD : BAD;
        return;
    }
    if (word_start(c) || isdigit((unsigned char)c) ||
        ((c == '-' || c == '+') && p->at < p->in.n && isdigit((unsigned char)p->in.p[p->at]))) {
        while (p->at < p->in.n && word_part(p->in.p[p->at])) {
            p->at++;
        }
        p->token = word_start(c) ? WORD : NUM;
    } else if (strchr("(),=<>!", c)) {
        if (strchr("<>!", c) && p->at < p->in.n &&
            (p->in.p[p->at] == '=' || (c == '<' && p->in.p[p->at] == '>'))) {
            p->at++;
        }
        p->token = SIGN;
    } else {
        p->token = BAD;
    }
    p->word = tl_str_n(p->in.p + p->start, p->at - p->start);
}

static bool is_word(const struct parser *p, const char *keyword)
{
    return p->token == WORD && p->word.n == strlen(keyword) &&
           strncasecmp(p->word.p, keyword, p->word.n) == 0;
}

static bool is_sign(const struct parser *p, const char *sign)
{
    return p->token == SIGN && tl_str_eqc(p->word, sign);
}

static bool accept_word(struct parser *p, const char *keyword)
{
    bool yes = is_word(p, keyword);
    if (yes) {
        next(p);
    }
    return yes;
}

static bool accept_sign(struct parser *p, const char *sign)
{
    bool yes = is_sign(p, sign);
    if (yes) {
        next(p);
    }
    return yes;
}

/* --- names ------------------------------------------------------------------------------------------- */

static tl_rc find_field(struct parser *p, const struct field **out)
{
    const struct field *near = NULL;
    size_t best = 4;
    if (p->token != WORD) {
        return fail(p, "the name of a search attribute");
    }
    for (size_t i = 0; i < FIELDS; i++) {
        if (tl_str_eqc(p->word, fields[i].name)) {
            *out = &fields[i];
            next(p);
            return TL_OK;
        }
        size_t d = tl_edit_distance(p->word, tl_str(fields[i].name), true);
        if (d < best) {
            best = d;
            near = &fields[i];
        }
    }
    return tl_error_set(
        p->err, TL_EINVAL,
        "invalid query at position %zu: no search attribute is called \"%.*s\"%s%s%s", p->start + 1,
        TL_STR_FMT(p->word), near ? "; did you mean \"" : "", near ? near->name : "",
        near ? "\"?" : "");
}

/* --- values ------------------------------------------------------------------------------------------ */

static bool two_digits(const char *s, int *out)
{
    *out = (s[0] - '0') * 10 + (s[1] - '0');
    return isdigit((unsigned char)s[0]) && isdigit((unsigned char)s[1]);
}

/* Days since the epoch of a date of the proleptic Gregorian calendar. */
static int64_t days_of(int64_t y, int m, int d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static bool read_zone(const char *s, size_t n, int64_t *offset_s)
{
    int h, m;
    *offset_s = 0;
    if (n == 1 && (*s == 'Z' || *s == 'z')) {
        return true;
    }
    if (n != 6 || (*s != '+' && *s != '-') || s[3] != ':' || !two_digits(s + 1, &h) ||
        !two_digits(s + 4, &m)) {
        return false;
    }
    *offset_s = (*s == '-' ? -1 : 1) * (h * 3600 + m * 60);
    return h < 24 && m < 60;
}

tl_rc tl_filter_time(struct tl_str t, int64_t *ns, struct tl_error *err)
{
    int c1, c2, mo, d, h, mi, s;
    int64_t fraction = 0, scale = 100000000, offset;
    size_t i = 19;
    bool ok = t.n >= 20 && two_digits(t.p, &c1) && two_digits(t.p + 2, &c2) && t.p[4] == '-' &&
              two_digits(t.p + 5, &mo) && t.p[7] == '-' && two_digits(t.p + 8, &d) &&
              (t.p[10] == 'T' || t.p[10] == 't' || t.p[10] == ' ') && two_digits(t.p + 11, &h) &&
              t.p[13] == ':' && two_digits(t.p + 14, &mi) && t.p[16] == ':' &&
              two_digits(t.p + 17, &s) && mo >= 1 && mo <= 12 && d >= 1 && d <= 31 && h < 24 &&
              mi < 60 && s < 61;
    if (ok && t.p[i] == '.') {
        for (i++; i < t.n && isdigit((unsigned char)t.p[i]); i++, scale /= 10) {
            fraction += (t.p[i] - '0') * scale;
        }
    }
    if (!ok || !read_zone(t.p + i, t.n - i, &offset) || c1 * 100 + c2 < 1678 ||
        c1 * 100 + c2 > 2261) {
        return tl_error_set(err, TL_EINVAL, "not a time: \"%.*s\" (like 2026-11-21T10:00:00Z)",
                            TL_STR_FMT(t));
    }
    int64_t seconds = days_of(c1 * 100 + c2, mo, d) * 86400 + h * 3600 + mi * 60 + s - offset;
    *ns = seconds * 1000000000 + fraction;
    return TL_OK;
}

static bool whole_number(struct tl_str s, int64_t *out)
{
    char text[24], *end;
    if (s.n == 0 || s.n >= sizeof text) {
        return false;
    }
    memcpy(text, s.p, s.n);
    text[s.n] = 0;
    *out = strtoll(text, &end, 10);
    return *end == 0;
}

static bool find_status(struct tl_str s, int64_t *out)
{
    for (size_t i = 0; i < STATUSES; i++) {
        if (s.n == strlen(statuses[i].name) && strncasecmp(s.p, statuses[i].name, s.n) == 0) {
            *out = statuses[i].value;
            return true;
        }
    }
    return false;
}

static tl_rc bind(struct parser *p, struct tl_value v)
{
    if (p->out->bind_count == BINDS_MAX) {
        return tl_error_set(p->err, TL_EINVAL, "invalid query: more than %d values", BINDS_MAX);
    }
    p->out->binds[p->out->bind_count++] = v;
    tl_buf_putc(&p->sql, '?');
    return TL_OK;
}

/* The current token as a value of the field's kind, bound. */
static tl_rc value(struct parser *p, const struct field *f)
{
    struct tl_value v = {.kind = TL_VALUE_INT};
    struct tl_str w = p->word;
    if (p->token != TEXT && p->token != NUM) {
        return fail(p, f->kind == KEYWORD ? "a text in quotes" : "a value");
    }
    bool number = whole_number(w, &v.num);
    switch (f->kind) {
    case KEYWORD:
        if (p->token != TEXT) {
            return fail(p, "a text in quotes");
        }
        v = (struct tl_value){.kind = TL_VALUE_TEXT, .text = w};
        break;
    case NUMBER:
        if (!number) {
            return fail(p, "a whole number");
        }
        break;
    case STATUS:
        if (!number && !find_status(w, &v.num)) {
            return fail(p, "a status (Running, Completed, Failed, Canceled, Terminated, "
                           "ContinuedAsNew, TimedOut, Paused)");
        }
        break;
    case TIME:
        if (!number && tl_filter_time(w, &v.num, NULL) != TL_OK) {
            return fail(p, "a time like \"2026-11-21T10:00:00Z\"");
        }
        break;
    case SPAN:
        if (!number && tl_duration_parse(w, &v.num, NULL) != TL_OK) {
            return fail(p, "a duration like \"1h30m\"");
        }
        break;
    }
    next(p);
    return bind(p, v);
}

/* --- conditions --------------------------------------------------------------------------------------- */

static tl_rc in_list(struct parser *p, const struct field *f, bool no)
{
    tl_rc rc;
    if (!accept_sign(p, "(")) {
        return fail(p, "\"(\"");
    }
    tl_buf_puts(&p->sql, no ? " NOT IN (" : " IN (");
    for (;;) {
        if ((rc = value(p, f)) != TL_OK) {
            return rc;
        }
        if (!accept_sign(p, ",")) {
            break;
        }
        tl_buf_putc(&p->sql, ',');
    }
    if (!accept_sign(p, ")")) {
        return fail(p, "\",\" or \")\"");
    }
    tl_buf_putc(&p->sql, ')');
    return TL_OK;
}

static tl_rc between(struct parser *p, const struct field *f, bool no)
{
    tl_buf_puts(&p->sql, no ? " NOT BETWEEN " : " BETWEEN ");
    tl_rc rc = value(p, f);
    if (rc != TL_OK) {
        return rc;
    }
    if (!accept_word(p, "AND")) {
        return fail(p, "AND");
    }
    tl_buf_puts(&p->sql, " AND ");
    return value(p, f);
}

/* A range, so that an index serves it: every text with the prefix lies below prefix + 0xff. */
static tl_rc starts_with(struct parser *p, const struct field *f, bool no)
{
    if (f->kind != KEYWORD || p->token != TEXT) {
        return fail(p, "a text in quotes, for a text attribute");
    }
    char *end = tl_arena_alloc(p->arena, p->word.n + 2);
    if (!end) {
        return tl_error_set(p->err, TL_ELIMIT, "the query is too large");
    }
    struct tl_value low = {.kind = TL_VALUE_TEXT, .text = p->word};
    if (p->word.n) {
        memcpy(end, p->word.p, p->word.n);
    }
    end[p->word.n] = (char)0xff;
    struct tl_value high = {.kind = TL_VALUE_TEXT, .text = {end, p->word.n + 1}};
    next(p);
    tl_buf_puts(&p->sql, no ? "<" : ">=");
    tl_rc rc = bind(p, low);
    if (rc != TL_OK) {
        return rc;
    }
    tl_buf_printf(&p->sql, no ? " OR %s>=" : " AND %s<", f->sql);
    return bind(p, high);
}

static tl_rc compare(struct parser *p, const struct field *f)
{
    static const char *const signs[] = {"=", "!=", "<>", "<=", ">=", "<", ">"};
    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++) {
        if (accept_sign(p, signs[i])) {
            tl_buf_puts(&p->sql, signs[i]);
            return value(p, f);
        }
    }
    return fail(p, "an operator (= != < <= > >= IN BETWEEN STARTS_WITH IS)");
}

static tl_rc condition(struct parser *p)
{
    const struct field *f;
    tl_rc rc = find_field(p, &f);
    if (rc != TL_OK) {
        return rc;
    }
    tl_buf_printf(&p->sql, "(%s", f->sql);
    if (accept_word(p, "IS")) {
        bool no = accept_word(p, "NOT");
        rc = accept_word(p, "NULL") ? TL_OK : fail(p, "NULL");
        tl_buf_puts(&p->sql, no ? " IS NOT NULL" : " IS NULL");
    } else {
        bool no = accept_word(p, "NOT");
        if (accept_word(p, "IN")) {
            rc = in_list(p, f, no);
        } else if (accept_word(p, "BETWEEN")) {
            rc = between(p, f, no);
        } else if (accept_word(p, "STARTS_WITH")) {
            rc = starts_with(p, f, no);
        } else {
            rc = no ? fail(p, "IN, BETWEEN or STARTS_WITH") : compare(p, f);
        }
    }
    tl_buf_putc(&p->sql, ')');
    return rc;
}

static tl_rc parse_or(struct parser *p);

static tl_rc parse_not(struct parser *p)
{
    tl_rc rc;
    if (accept_word(p, "NOT")) {
        tl_buf_puts(&p->sql, "NOT ");
    }
    if (!accept_sign(p, "(")) {
        return condition(p);
    }
    if (++p->depth > DEPTH_MAX) {
        return tl_error_set(p->err, TL_EINVAL,
                            "invalid query: more than %d parentheses within each other", DEPTH_MAX);
    }
    tl_buf_putc(&p->sql, '(');
    if ((rc = parse_or(p)) != TL_OK) {
        return rc;
    }
    if (!accept_sign(p, ")")) {
        return fail(p, "AND, OR or \")\"");
    }
    tl_buf_putc(&p->sql, ')');
    p->depth--;
    return TL_OK;
}

static tl_rc parse_and(struct parser *p)
{
    tl_rc rc = parse_not(p);
    while (rc == TL_OK && accept_word(p, "AND")) {
        tl_buf_puts(&p->sql, " AND ");
        rc = parse_not(p);
    }
    return rc;
}

static tl_rc parse_or(struct parser *p)
{
    tl_rc rc = parse_and(p);
    while (rc == TL_OK && accept_word(p, "OR")) {
        tl_buf_puts(&p->sql, " OR ");
        rc = parse_and(p);
    }
    return rc;
}

static tl_rc parse_group(struct parser *p)
{
    const struct field *f;
    if (!accept_word(p, "BY")) {
        return fail(p, "BY");
    }
    tl_rc rc = find_field(p, &f);
    if (rc == TL_OK && f->kind != STATUS) {
        return tl_error_set(p->err, TL_EINVAL,
                            "invalid query: GROUP BY takes ExecutionStatus only");
    }
    p->out->group_by = rc == TL_OK ? f->sql : NULL;
    return rc;
}

tl_rc tl_filter_compile(struct tl_str text, struct tl_arena *arena, struct tl_filter *out,
                        struct tl_error *err)
{
    struct parser p = {.in = text, .arena = arena, .out = out, .err = err};
    *out =
        (struct tl_filter){.where = "", .binds = TL_ARENA_ARRAY(arena, struct tl_value, BINDS_MAX)};
    if (!out->binds) {
        return tl_error_set(err, TL_ELIMIT, "the query is too large");
    }
    tl_buf_init(&p.sql, SQL_BYTES_MAX);
    next(&p);
    tl_rc rc = TL_OK;
    if (p.token != END && !is_word(&p, "GROUP")) {
        rc = parse_or(&p);
    }
    if (rc == TL_OK && accept_word(&p, "GROUP")) {
        rc = parse_group(&p);
    }
    if (rc == TL_OK && p.token != END) {
        rc = is_word(&p, "ORDER") ? tl_error_set(err, TL_EINVAL,
                                                 "invalid query: ORDER BY is not supported; lists "
                                                 "are sorted by start time, newest first")
                                  : fail(&p, "AND, OR or the end");
    }
    if (rc == TL_OK) {
        out->where = tl_arena_cstr(arena, tl_buf_str(&p.sql));
        if (tl_buf_failed(&p.sql) || !out->where) {
            rc = tl_error_set(err, TL_ELIMIT, "the query is too large");
        }
    }
    tl_buf_deinit(&p.sql);
    return rc;
}
