/* Recursive descent over the filter's tokens. See filter.h. */
#include "server/visibility/filter.h"

#include "server/visibility/filter_int.h"

#define DEPTH_MAX 50
#define BINDS_MAX 1000
#define SQL_BYTES_MAX ((size_t)128 * 1024)

/* Runs of a division are not for filters that do not ask for them. Written so that counts which an
 * index answers stay that way. */
#define NO_DIVISION "number NOT IN (SELECT v.number FROM run v WHERE v.division IS NOT NULL)"
#define INDEXED "SELECT v.run FROM search_value v WHERE v.name="

static void put(struct tl_filter_parser *p, const char *sql)
{
    tl_buf_puts(&p->sql, sql);
}

static tl_rc bind(struct tl_filter_parser *p, struct tl_value v)
{
    if (p->out->bind_count == BINDS_MAX) {
        return tl_error_set(p->err, TL_EINVAL, "invalid query: more than %d values", BINDS_MAX);
    }
    p->out->binds[p->out->bind_count++] = v;
    put(p, "?");
    return TL_OK;
}

static tl_rc bind_text(struct tl_filter_parser *p, struct tl_str text)
{
    return bind(p, (struct tl_value){.kind = TL_VALUE_TEXT, .text = text});
}

static tl_rc bind_value(struct tl_filter_parser *p, const struct tl_field *f)
{
    struct tl_value v;
    tl_rc rc = tl_filter_value(p, f, &v);
    return rc == TL_OK ? bind(p, v) : rc;
}

static tl_rc unsupported(struct tl_filter_parser *p, const struct tl_field *f, const char *sign)
{
    return tl_error_set(p->err, TL_EINVAL,
                        "invalid query at position %zu: operation is not supported: operator '%s' "
                        "not supported for %s type search attribute '%.*s'",
                        p->start + 1, sign, tl_filter_kind_name(f->kind), TL_STR_FMT(f->name));
}

/* --- operands -------------------------------------------------------------------------------------- */

/* How a condition on one value reads: a column as it is. An indexed value is found through its index;
 * within a NOT it is looked up run by run, because only that tells "has none" (NULL) from "differs". */
static tl_rc open_operand(struct tl_filter_parser *p, const struct tl_field *f)
{
    if (f->column || p->negations) {
        return TL_OK;
    }
    put(p, "number IN (" INDEXED);
    tl_rc rc = bind_text(p, tl_str(f->key));
    put(p, " AND (");
    return rc;
}

static void close_operand(struct tl_filter_parser *p, const struct tl_field *f)
{
    if (!f->column && !p->negations) {
        put(p, "))");
    }
}

static tl_rc operand(struct tl_filter_parser *p, const struct tl_field *f)
{
    if (f->column || !p->negations) {
        put(p, f->column ? f->column : "v.value");
        return TL_OK;
    }
    put(p, "(SELECT v.value FROM search_value v WHERE v.run=run.number AND v.name=");
    tl_rc rc = bind_text(p, tl_str(f->key));
    put(p, ")");
    return rc;
}

/* --- conditions on one value ----------------------------------------------------------------------- */

/* "(value, value)" */
static tl_rc value_list(struct tl_filter_parser *p, const struct tl_field *f)
{
    tl_rc rc;
    if (!tl_filter_accept_sign(p, "(")) {
        return tl_filter_fail(p, "\"(\"");
    }
    put(p, "(");
    for (;;) {
        if ((rc = bind_value(p, f)) != TL_OK) {
            return rc;
        }
        if (!tl_filter_accept_sign(p, ",")) {
            break;
        }
        put(p, ",");
    }
    if (!tl_filter_accept_sign(p, ")")) {
        return tl_filter_fail(p, "\",\" or \")\"");
    }
    put(p, ")");
    return TL_OK;
}

static tl_rc in_list(struct tl_filter_parser *p, const struct tl_field *f, bool no)
{
    tl_rc rc = operand(p, f);
    put(p, no ? " NOT IN " : " IN ");
    return rc == TL_OK ? value_list(p, f) : rc;
}

static tl_rc between(struct tl_filter_parser *p, const struct tl_field *f, bool no)
{
    tl_rc rc = operand(p, f);
    put(p, no ? " NOT BETWEEN " : " BETWEEN ");
    rc = rc == TL_OK ? bind_value(p, f) : rc;
    if (rc != TL_OK) {
        return rc;
    }
    if (!tl_filter_accept_word(p, "AND")) {
        return tl_filter_fail(p, "AND");
    }
    put(p, " AND ");
    return bind_value(p, f);
}

/* A range, so that an index serves it: every text with the prefix lies below prefix + 0xff. */
static tl_rc starts_with(struct tl_filter_parser *p, const struct tl_field *f, bool no)
{
    struct tl_value low;
    tl_rc rc = tl_filter_value(p, f, &low);
    if (rc != TL_OK) {
        return rc;
    }
    char *end = tl_arena_alloc(p->arena, low.text.n + 2);
    if (!end) {
        return tl_error_set(p->err, TL_ELIMIT, "the query is too large");
    }
    if (low.text.n) {
        memcpy(end, low.text.p, low.text.n);
    }
    end[low.text.n] = (char)0xff;
    if ((rc = operand(p, f)) != TL_OK) {
        return rc;
    }
    put(p, no ? "<" : ">=");
    if ((rc = bind(p, low)) != TL_OK) {
        return rc;
    }
    put(p, no ? " OR " : " AND ");
    if ((rc = operand(p, f)) != TL_OK) {
        return rc;
    }
    put(p, no ? ">=" : "<");
    return bind_text(p, tl_str_n(end, low.text.n + 1));
}

/* The operator at the current token, which it passes; NULL: none. */
static const char *accept_operator(struct tl_filter_parser *p)
{
    static const char *const signs[] = {"=", "!=", "<>", "<=", ">=", "<", ">"};
    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++) {
        if (tl_filter_accept_sign(p, signs[i])) {
            return signs[i];
        }
    }
    return NULL;
}

static tl_rc no_operator(struct tl_filter_parser *p, bool no)
{
    return no ? tl_filter_fail(p, "IN, BETWEEN or STARTS_WITH")
              : tl_filter_fail(p, "an operator (= != < <= > >= IN BETWEEN STARTS_WITH IS)");
}

static tl_rc one_value(struct tl_filter_parser *p, const struct tl_field *f, bool no)
{
    const char *sign;
    if (tl_filter_accept_word(p, "IN")) {
        return in_list(p, f, no);
    }
    if (tl_filter_is_word(p, "BETWEEN")) {
        if (f->kind == TL_FIELD_BOOL) {
            return unsupported(p, f, no ? "NOT BETWEEN" : "BETWEEN");
        }
        tl_filter_next(p);
        return between(p, f, no);
    }
    if (tl_filter_is_word(p, "STARTS_WITH")) {
        if (f->kind != TL_FIELD_KEYWORD) {
            return unsupported(p, f, no ? "NOT STARTS_WITH" : "STARTS_WITH");
        }
        tl_filter_next(p);
        return starts_with(p, f, no);
    }
    if (no || !(sign = accept_operator(p))) {
        return no_operator(p, no);
    }
    tl_rc rc = operand(p, f);
    put(p, sign);
    return rc == TL_OK ? bind_value(p, f) : rc;
}

/* --- lists and texts ------------------------------------------------------------------------------- */

/* A keyword list matches when one of its elements does; it differs when none does. */
static tl_rc list_value(struct tl_filter_parser *p, const struct tl_field *f, bool no)
{
    static const char *const other[] = {"BETWEEN", "STARTS_WITH"};
    for (size_t i = 0; i < 2; i++) {
        if (tl_filter_is_word(p, other[i])) {
            return unsupported(p, f, other[i]);
        }
    }
    size_t at = p->start;
    bool in = tl_filter_accept_word(p, "IN");
    const char *sign = in || no ? NULL : accept_operator(p);
    if (!in && !sign) {
        return no_operator(p, no);
    }
    no = no || (sign && (*sign == '!' || strcmp(sign, "<>") == 0));
    if (sign && !no && strcmp(sign, "=") != 0) {
        p->start = at;
        return unsupported(p, f, sign);
    }
    put(p, no ? "number NOT IN (" INDEXED : "number IN (" INDEXED);
    tl_rc rc = bind_text(p, tl_str(f->key));
    put(p, in ? " AND v.value IN " : " AND v.value=");
    if (rc == TL_OK) {
        rc = in ? value_list(p, f) : bind_value(p, f);
    }
    put(p, ")");
    return rc;
}

struct words {
    struct tl_filter_parser *p;
    const char *key;
    tl_rc rc;
    size_t count;
};

static bool each_word(void *ud, struct tl_str word)
{
    struct words *w = ud;
    put(w->p, w->count++ ? " AND number IN (" INDEXED : "number IN (" INDEXED);
    w->rc = bind_text(w->p, tl_str(w->key));
    put(w->p, " AND v.value=");
    w->rc = w->rc == TL_OK ? bind_text(w->p, word) : w->rc;
    put(w->p, ")");
    return w->rc == TL_OK;
}

static bool count_word(void *ud, struct tl_str word)
{
    (void)word;
    ++*(size_t *)ud;
    return true;
}

/* Any of the value's words, which are parted by blanks; a word like "a-b" means all of its parts, one
 * without a letter or digit nothing. */
static tl_rc any_word(struct tl_filter_parser *p, const struct tl_field *f, struct tl_str text)
{
    struct words w = {.p = p, .key = f->key};
    size_t alternatives = 0;
    for (size_t i = 0, end; w.rc == TL_OK && i < text.n; i = end + 1) {
        for (end = i; end < text.n && text.p[end] != ' '; end++) {
        }
        struct tl_str part = tl_str_n(text.p + i, end - i);
        size_t n = 0;
        if (!tl_attr_words(part, p->arena, count_word, &n)) {
            return tl_error_set(p->err, TL_ELIMIT, "the query is too large");
        }
        if (n) {
            put(p, alternatives++ ? " OR (" : "(");
            w.count = 0;
            if (!tl_attr_words(part, p->arena, each_word, &w) && w.rc == TL_OK) {
                return tl_error_set(p->err, TL_ELIMIT, "the query is too large");
            }
            put(p, ")");
        }
    }
    if (w.rc == TL_OK && !alternatives) {
        return tl_error_set(p->err, TL_EINVAL,
                            "invalid query: invalid expression: no tokens found filtering on Text "
                            "type search attribute %.*s",
                            TL_STR_FMT(f->name));
    }
    return w.rc;
}

static tl_rc text_value(struct tl_filter_parser *p, const struct tl_field *f, bool no)
{
    static const char *const other[] = {"IN", "BETWEEN", "STARTS_WITH"};
    for (size_t i = 0; i < 3; i++) {
        if (tl_filter_is_word(p, other[i])) {
            return unsupported(p, f, other[i]);
        }
    }
    struct tl_value v;
    size_t at = p->start;
    const char *sign = no ? NULL : accept_operator(p);
    if (!sign) {
        return no_operator(p, no);
    }
    bool differs = *sign == '!' || strcmp(sign, "<>") == 0;
    if (!differs && strcmp(sign, "=") != 0) {
        p->start = at;
        return unsupported(p, f, sign);
    }
    tl_rc rc = tl_filter_value(p, f, &v);
    if (rc != TL_OK) {
        return rc;
    }
    put(p, differs ? "NOT (" : "(");
    rc = any_word(p, f, v.text);
    put(p, ")");
    return rc;
}

/* --- conditions ------------------------------------------------------------------------------------ */

static tl_rc is_null(struct tl_filter_parser *p, const struct tl_field *f)
{
    bool no = tl_filter_accept_word(p, "NOT");
    if (!tl_filter_accept_word(p, "NULL")) {
        return tl_filter_fail(p, "NULL");
    }
    if (f->column) {
        put(p, f->column);
        put(p, no ? " IS NOT NULL" : " IS NULL");
        return TL_OK;
    }
    put(p, no ? "number IN (" INDEXED
              : "NOT EXISTS (SELECT 1 FROM search_value v WHERE v.run=run.number AND v.name=");
    tl_rc rc = bind_text(p, tl_str(f->key));
    put(p, ")");
    return rc;
}

static tl_rc condition(struct tl_filter_parser *p)
{
    struct tl_field f;
    tl_rc rc = tl_filter_field(p, &f);
    if (rc != TL_OK) {
        return rc;
    }
    put(p, "(");
    if (tl_filter_accept_word(p, "IS")) {
        rc = is_null(p, &f);
    } else {
        bool no = tl_filter_accept_word(p, "NOT");
        if (f.kind == TL_FIELD_LIST) {
            rc = list_value(p, &f, no);
        } else if (f.kind == TL_FIELD_TEXT) {
            rc = text_value(p, &f, no);
        } else if ((rc = open_operand(p, &f)) == TL_OK) {
            rc = one_value(p, &f, no);
            close_operand(p, &f);
        }
    }
    put(p, ")");
    return rc;
}

static tl_rc parse_or(struct tl_filter_parser *p);

static tl_rc primary(struct tl_filter_parser *p)
{
    tl_rc rc;
    if (!tl_filter_accept_sign(p, "(")) {
        return condition(p);
    }
    if (++p->depth > DEPTH_MAX) {
        return tl_error_set(p->err, TL_EINVAL,
                            "invalid query: more than %d parentheses within each other", DEPTH_MAX);
    }
    put(p, "(");
    if ((rc = parse_or(p)) != TL_OK) {
        return rc;
    }
    if (!tl_filter_accept_sign(p, ")")) {
        return tl_filter_fail(p, "AND, OR or \")\"");
    }
    put(p, ")");
    p->depth--;
    return TL_OK;
}

static tl_rc parse_not(struct tl_filter_parser *p)
{
    int negations = 0;
    while (tl_filter_accept_word(p, "NOT")) {
        put(p, "NOT ");
        negations++;
    }
    p->negations += negations;
    tl_rc rc = primary(p);
    p->negations -= negations;
    return rc;
}

static tl_rc parse_and(struct tl_filter_parser *p)
{
    tl_rc rc = parse_not(p);
    while (rc == TL_OK && tl_filter_accept_word(p, "AND")) {
        put(p, " AND ");
        rc = parse_not(p);
    }
    return rc;
}

static tl_rc parse_or(struct tl_filter_parser *p)
{
    tl_rc rc = parse_and(p);
    while (rc == TL_OK && tl_filter_accept_word(p, "OR")) {
        put(p, " OR ");
        rc = parse_and(p);
    }
    return rc;
}

/* --- the whole ------------------------------------------------------------------------------------- */

static tl_rc parse_group(struct tl_filter_parser *p)
{
    struct tl_field f;
    if (!tl_filter_accept_word(p, "BY")) {
        return tl_filter_fail(p, "BY");
    }
    tl_rc rc = tl_filter_field(p, &f);
    if (rc != TL_OK) {
        return rc;
    }
    if (f.kind != TL_FIELD_STATUS && !(f.column && strcmp(f.column, "division") == 0)) {
        return tl_error_set(p->err, TL_EINVAL,
                            "invalid query: operation is not supported: 'GROUP BY' clause is not "
                            "supported for search attribute %.*s, but for ExecutionStatus",
                            TL_STR_FMT(f.name));
    }
    p->out->group_by = f.column;
    if (tl_filter_accept_sign(p, ",")) {
        return tl_error_set(p->err, TL_EINVAL,
                            "invalid query: operation is not supported: 'GROUP BY' clause supports "
                            "only a single field");
    }
    return TL_OK;
}

static tl_rc parse_filter(struct tl_filter_parser *p)
{
    static const char *const clauses[] = {"ORDER", "LIMIT"};
    tl_rc rc = TL_OK;
    bool nothing = p->token == TL_T_END || tl_filter_is_word(p, "GROUP") ||
                   tl_filter_is_word(p, "ORDER") || tl_filter_is_word(p, "LIMIT");
    if (!nothing) {
        put(p, "(");
        rc = parse_or(p);
        put(p, ")");
    }
    if (rc == TL_OK && tl_filter_accept_word(p, "GROUP")) {
        rc = parse_group(p);
    }
    for (size_t i = 0; rc == TL_OK && i < 2; i++) {
        if (tl_filter_is_word(p, clauses[i])) {
            return tl_error_set(p->err, TL_EINVAL,
                                "invalid query: operation is not supported: '%s' clause; lists are "
                                "sorted by start time, newest first",
                                i ? "LIMIT" : "ORDER BY");
        }
    }
    if (rc == TL_OK && p->token != TL_T_END) {
        rc = tl_filter_fail(p, "AND, OR or the end");
    }
    if (rc == TL_OK && !p->division) {
        put(p, nothing ? NO_DIVISION : " AND " NO_DIVISION);
    }
    return rc;
}

tl_rc tl_filter_compile(struct tl_str text, const struct tl_filter_scope *scope,
                        struct tl_arena *arena, struct tl_filter *out, struct tl_error *err)
{
    struct tl_filter_parser p = {
        .in = text, .scope = scope, .arena = arena, .out = out, .err = err};
    *out =
        (struct tl_filter){.where = "", .binds = TL_ARENA_ARRAY(arena, struct tl_value, BINDS_MAX)};
    if (!out->binds) {
        return tl_error_set(err, TL_ELIMIT, "the query is too large");
    }
    tl_buf_init(&p.sql, SQL_BYTES_MAX);
    tl_filter_next(&p);
    tl_rc rc = parse_filter(&p);
    if (rc == TL_OK) {
        out->where = tl_arena_cstr(arena, tl_buf_str(&p.sql));
        if (tl_buf_failed(&p.sql) || !out->where) {
            rc = tl_error_set(err, TL_ELIMIT, "the query is too large");
        }
    }
    tl_buf_deinit(&p.sql);
    return rc;
}
