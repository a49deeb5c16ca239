/* Lists and counts with a compiled filter. The expression is checked word by word before SQLite sees
 * it: it may only name what is listed here, so that a mistake in the filter compiler cannot become
 * an injection. See store.h. Thread: the reader's. */
#include "store/store_int.h"

#include <ctype.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/buf.h"

#define SQL_BYTES_MAX ((size_t)256 * 1024)
#define STEPS_PER_CALL 1000

/* Words beside the columns: keywords, functions, and the table of search values. */
static const char *const words[] = {
    "AND",    "OR",           "NOT",    "IS",     "NULL",   "IN",       "LIKE",  "GLOB",
    "ESCAPE", "BETWEEN",      "EXISTS", "SELECT", "FROM",   "WHERE",    "CAST",  "AS",
    "REAL",   "INTEGER",      "TEXT",   "substr", "length", "coalesce", "lower", "upper",
    "run",    "search_value", "v",      "name",   "value",
};

static bool known_word(struct tl_str w)
{
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (tl_str_eqc(w, words[i])) {
            return true;
        }
    }
    for (size_t i = 0; i < tl_run_column_count; i++) {
        if (tl_run_columns[i].filter && tl_str_eqc(w, tl_run_columns[i].name)) {
            return true;
        }
    }
    return false;
}

static bool word_char(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* One word or number at p; returns its end, NULL when it is not allowed. */
static const char *check_word(const char *p)
{
    const char *end = p;
    bool digits = true;
    while (word_char(*end)) {
        digits = digits && isdigit((unsigned char)*end);
        end++;
    }
    struct tl_str w = tl_str_n(p, (size_t)(end - p));
    return (digits && w.n <= 9) || known_word(w) ? end : NULL;
}

static tl_rc check_where(const char *where, size_t bind_count, struct tl_error *err)
{
    size_t marks = 0;
    int depth = 0;
    for (const char *p = where; *p;) {
        if (word_char(*p)) {
            const char *end = check_word(p);
            if (!end) {
                return tl_error_set(err, TL_EINVAL, "a filter may not use \"%.40s\"", p);
            }
            p = end;
            continue;
        }
        bool comment = (p[0] == '-' && p[1] == '-') || (p[0] == '/' && p[1] == '*');
        bool numbered = p[0] == '?' && word_char(p[1]);
        if (comment || numbered || !strchr(" (),.=<>!+-*/%|?", *p)) {
            return tl_error_set(err, TL_EINVAL, "a filter may not use \"%.40s\"", p);
        }
        marks += *p == '?';
        depth += (*p == '(') - (*p == ')');
        if (depth < 0) {
            break;
        }
        p++;
    }
    if (depth != 0 || marks != bind_count) {
        return tl_error_set(err, TL_EINVAL,
                            "a filter with %zu marks and %zu values, or with "
                            "unequal parentheses",
                            marks, bind_count);
    }
    return TL_OK;
}

/* --- the limit on work ------------------------------------------------------------------------ */

struct budget {
    int64_t calls_left;
    bool limited;
    const atomic_bool *cancelled;
    tl_rc cause; /* why the query was interrupted */
};

static int on_progress(void *ud)
{
    struct budget *b = ud;
    if (b->cancelled && atomic_load_explicit(b->cancelled, memory_order_relaxed)) {
        b->cause = TL_ECANCELLED;
    } else if (b->limited && --b->calls_left <= 0) {
        b->cause = TL_ELIMIT;
    }
    return b->cause != TL_OK;
}

static void budget_begin(struct tl_reader *r, const struct tl_list_query *q, struct budget *b)
{
    *b = (struct budget){q->steps_max / STEPS_PER_CALL, q->steps_max > 0, q->cancelled, TL_OK};
    if (b->limited || b->cancelled) {
        sqlite3_progress_handler(r->conn.db, STEPS_PER_CALL, on_progress, b);
    }
}

/* Ends a query: removes the handler, finalizes, and names the cause of failure. */
static tl_rc budget_end(struct tl_reader *r, const struct tl_list_query *q, struct budget *b,
                        sqlite3_stmt *s, int sqlite_rc, tl_rc rc, struct tl_error *err)
{
    if (!rc && b->cause == TL_ELIMIT) {
        rc = tl_error_set(err, TL_ELIMIT,
                          "the query looked at too much data (limit %lld steps): narrow it by "
                          "workflow id, type, status or time",
                          (long long)q->steps_max);
    } else if (!rc && b->cause == TL_ECANCELLED) {
        rc = tl_error_set(err, TL_ECANCELLED, "the query was cancelled");
    } else if (!rc && sqlite_rc != SQLITE_DONE && sqlite_rc != SQLITE_ROW) {
        rc = tl_conn_error(&r->conn, sqlite_rc, "listing from", err);
    }
    sqlite3_finalize(s);
    sqlite3_progress_handler(r->conn.db, 0, NULL, NULL);
    return rc;
}

/* --- queries ---------------------------------------------------------------------------------- */

/* Prepares "<head> WHERE namespace AND (filter)<tail>" and binds namespace and filter values; *at
 * is the next parameter. */
static tl_rc prepare(struct tl_reader *r, const struct tl_list_query *q, const char *head,
                     const char *tail, sqlite3_stmt **out, int *at, struct tl_error *err)
{
    bool filtered = q->where && *q->where;
    tl_rc rc = filtered ? check_where(q->where, q->bind_count, err) : TL_OK;
    if (rc) {
        return rc;
    }
    struct tl_buf sql;
    tl_buf_init(&sql, SQL_BYTES_MAX);
    tl_buf_puts(&sql, head);
    tl_buf_puts(&sql, " FROM run WHERE namespace_number = ?");
    if (filtered) {
        tl_buf_printf(&sql, " AND (%s)", q->where);
    }
    tl_buf_puts(&sql, tail);
    rc = tl_buf_failed(&sql) ? tl_error_set(err, TL_ELIMIT, "the filter is too long")
                             : tl_conn_sql(&r->conn, sql.p, 0, out, err);
    tl_buf_deinit(&sql);
    if (rc) {
        /* What does not parse is the caller's expression: everything else is fixed. */
        if (rc == TL_EINTERNAL) {
            rc = tl_error_wrap(err, TL_EINVAL, "filter");
            if (err) {
                err->code = rc;
            }
        }
        return rc;
    }
    *at = 1;
    tl_bind_int(*out, at, q->namespace_number);
    for (size_t i = 0; filtered && i < q->bind_count; i++) {
        tl_bind_value(*out, at, &q->binds[i]);
    }
    return TL_OK;
}

tl_rc tl_store_list(struct tl_reader *r, const struct tl_list_query *q, tl_run_fn fn, void *ud,
                    struct tl_error *err)
{
    TL_ASSERT(q->limit > 0);
    sqlite3_stmt *s;
    int at, sqlite_rc;
    tl_rc rc = prepare(r, q, "SELECT $LISTED",
                       q->has_after ? " AND (start_ns, number) < (?, ?)"
                                      " ORDER BY start_ns DESC, number DESC LIMIT ?"
                                    : " ORDER BY start_ns DESC, number DESC LIMIT ?",
                       &s, &at, err);
    if (rc) {
        return rc;
    }
    if (q->has_after) {
        tl_bind_int(s, &at, q->after_start_ns);
        tl_bind_int(s, &at, q->after_number);
    }
    tl_bind_int(s, &at, q->limit);
    struct budget budget;
    budget_begin(r, q, &budget);
    while ((sqlite_rc = sqlite3_step(s)) == SQLITE_ROW) {
        struct tl_run_row row;
        tl_run_row_read(s, &row);
        if ((rc = fn(ud, &row, err))) {
            break;
        }
    }
    return budget_end(r, q, &budget, s, sqlite_rc, rc, err);
}

tl_rc tl_store_count(struct tl_reader *r, const struct tl_list_query *q, int64_t *count,
                     struct tl_error *err)
{
    sqlite3_stmt *s;
    int at;
    *count = 0;
    tl_rc rc = prepare(r, q, "SELECT count(*)", "", &s, &at, err);
    if (rc) {
        return rc;
    }
    struct budget budget;
    budget_begin(r, q, &budget);
    int sqlite_rc = sqlite3_step(s);
    if (sqlite_rc == SQLITE_ROW) {
        *count = sqlite3_column_int64(s, 0);
    }
    return budget_end(r, q, &budget, s, sqlite_rc, TL_OK, err);
}

static void read_group(sqlite3_stmt *s, struct tl_value *v)
{
    *v = (struct tl_value){0};
    switch (sqlite3_column_type(s, 0)) {
    case SQLITE_NULL:
        v->kind = TL_VALUE_NULL;
        return;
    case SQLITE_INTEGER:
        v->kind = TL_VALUE_INT;
        v->num = sqlite3_column_int64(s, 0);
        return;
    case SQLITE_FLOAT:
        v->kind = TL_VALUE_DOUBLE;
        v->real = sqlite3_column_double(s, 0);
        return;
    default:
        v->kind = TL_VALUE_TEXT;
        v->text = tl_column_bytes(s, 0);
    }
}

tl_rc tl_store_count_by(struct tl_reader *r, const struct tl_list_query *q, const char *column,
                        tl_count_fn fn, void *ud, struct tl_error *err)
{
    const struct tl_run_column *group = NULL;
    for (size_t i = 0; i < tl_run_column_count; i++) {
        if (tl_run_columns[i].filter && strcmp(tl_run_columns[i].name, column) == 0) {
            group = &tl_run_columns[i];
        }
    }
    if (!group) {
        return tl_error_set(err, TL_EINVAL, "cannot count by \"%.40s\"", column);
    }
    char head[96];
    snprintf(head, sizeof head, "SELECT %s, count(*)", group->name);
    sqlite3_stmt *s;
    int at, sqlite_rc;
    tl_rc rc = prepare(r, q, head, " GROUP BY 1 ORDER BY 1", &s, &at, err);
    if (rc) {
        return rc;
    }
    struct budget budget;
    budget_begin(r, q, &budget);
    while ((sqlite_rc = sqlite3_step(s)) == SQLITE_ROW) {
        struct tl_value v;
        read_group(s, &v);
        if ((rc = fn(ud, &v, sqlite3_column_int64(s, 1), err))) {
            break;
        }
    }
    return budget_end(r, q, &budget, s, sqlite_rc, rc, err);
}
