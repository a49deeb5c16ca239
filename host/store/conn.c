/* SQLite connections: opening, prepared statements, binding, and errors turned into ours.
 * See store_int.h. Thread: that of the connection. */
#include "store/store_int.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"

#define SEP_KEY
#define SEP_INT ","
#define SEP_TIME0 ","
#define SEP_TEXT ","
#define SEP_TEXT0 ","
#define SEP_BLOB0 ","
#define MOVES_fixed(column)
#define MOVES_head(column) #column " = excluded." #column
#define MOVES_moving(column) "," #column " = excluded." #column

#define X(column, kind, life, use) SEP_##kind #column
static const char columns_text[] =
#include "store/run_columns.def"
    ;
#undef X
#define X(column, kind, life, use) SEP_##kind "?"
static const char marks_text[] =
#include "store/run_columns.def"
    ;
#undef X
#define X(column, kind, life, use) MOVES_##life(column)
static const char moving_text[] =
#include "store/run_columns.def"
    ;
#undef X
#define LISTED_filter(kind, column) SEP_##kind #column
#define LISTED_plain(kind, column) SEP_##kind #column
#define LISTED_hidden(kind, column) SEP_##kind "NULL"
#define X(column, kind, life, use) LISTED_##use(kind, column)
static const char listed_text[] =
#include "store/run_columns.def"
    ;
#undef X

static const struct {
    const char *name, *text;
} parts[] = {
    {"$COLUMNS", columns_text},
    {"$MARKS", marks_text},
    {"$MOVING", moving_text},
    {"$LISTED", listed_text},
};

enum who { WHO_write, WHO_read };

static const struct {
    const char *sql;
    enum who who;
} statement_rows[] = {
#define X(name, who, sql) {sql, WHO_##who},
#include "store/statements.def"
#undef X
};

#define SQL_BYTES_MAX ((size_t)64 * 1024)

static tl_rc rc_of(sqlite3 *db, int sqlite_rc)
{
    switch (sqlite_rc & 0xff) {
    case SQLITE_FULL:
        return TL_EDISKFULL;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return TL_ECORRUPT;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return TL_EUNAVAILABLE;
    case SQLITE_CONSTRAINT:
        return TL_EEXISTS;
    case SQLITE_NOMEM:
        return TL_EMEMORY;
    case SQLITE_TOOBIG:
        return TL_ELIMIT;
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_AUTH:
        return TL_EPERMISSION;
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR: {
        int cause = db ? sqlite3_system_errno(db) : 0;
        return cause == ENOSPC || cause == EDQUOT ? TL_EDISKFULL : TL_EIO;
    }
    default:
        return TL_EINTERNAL;
    }
}

static const char *advice(tl_rc rc)
{
    switch (rc) {
    case TL_EDISKFULL:
        return "; make room on the disk";
    case TL_ECORRUPT:
        return "; the file is damaged: restore a backup, or try `sqlite3 FILE .recover`";
    case TL_EUNAVAILABLE:
        return "; another program writes to the database: close it";
    case TL_EPERMISSION:
        return "; check the permissions of the file and its folder";
    default:
        return "";
    }
}

tl_rc tl_conn_error(const struct tl_conn *c, int sqlite_rc, const char *doing, struct tl_error *err)
{
    tl_rc rc = rc_of(c->db, sqlite_rc);
    return tl_error_set(err, rc, "%s database %s: %s (SQLite error %d)%s", doing, c->path,
                        c->db ? sqlite3_errmsg(c->db) : sqlite3_errstr(sqlite_rc), sqlite_rc,
                        advice(rc));
}

tl_rc tl_conn_open(struct tl_conn *c, const char *path, const char *vfs, struct tl_error *err)
{
    *c = (struct tl_conn){.path = path};
    int rc = sqlite3_open_v2(path, &c->db,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, vfs);
    if (rc != SQLITE_OK) {
        return tl_conn_error(c, rc, "opening", err);
    }
    sqlite3_extended_result_codes(c->db, 1);
    sqlite3_busy_timeout(c->db, TL_BUSY_MS);
    return TL_OK;
}

static bool expand(struct tl_buf *out, const char *sql)
{
    while (*sql) {
        bool found = false;
        for (size_t i = 0; *sql == '$' && i < sizeof parts / sizeof parts[0]; i++) {
            size_t n = strlen(parts[i].name);
            if (strncmp(sql, parts[i].name, n) == 0) {
                tl_buf_puts(out, parts[i].text);
                sql += n;
                found = true;
                break;
            }
        }
        if (!found) {
            tl_buf_putc(out, *sql++);
        }
    }
    return !tl_buf_failed(out);
}

tl_rc tl_conn_sql(struct tl_conn *c, const char *sql, unsigned flags, sqlite3_stmt **out,
                  struct tl_error *err)
{
    struct tl_buf text;
    tl_buf_init(&text, SQL_BYTES_MAX);
    *out = NULL;
    if (!expand(&text, sql)) {
        tl_buf_deinit(&text);
        return tl_error_set(err, TL_ELIMIT, "SQL text of more than %zu bytes", SQL_BYTES_MAX);
    }
    int rc = sqlite3_prepare_v3(c->db, text.p, (int)text.n, flags, out, NULL);
    tl_buf_deinit(&text);
    return rc == SQLITE_OK ? TL_OK : tl_conn_error(c, rc, "preparing SQL on", err);
}

tl_rc tl_conn_prepare(struct tl_conn *c, enum tl_conn_kind kind, struct tl_error *err)
{
    for (int i = 0; i < TL_ST_COUNT; i++) {
        bool wanted =
            statement_rows[i].who == WHO_write ? kind == TL_CONN_WRITER : kind == TL_CONN_READER;
        if (!wanted) {
            continue;
        }
        tl_rc rc = tl_conn_sql(c, statement_rows[i].sql, SQLITE_PREPARE_PERSISTENT,
                               &c->statements[i], err);
        if (rc) {
            return rc;
        }
    }
    return TL_OK;
}

void tl_conn_close(struct tl_conn *c)
{
    for (int i = 0; i < TL_ST_COUNT; i++) {
        sqlite3_finalize(c->statements[i]);
    }
    int rc = sqlite3_close(c->db);
    TL_ASSERT(rc == SQLITE_OK);
    *c = (struct tl_conn){0};
}

tl_rc tl_conn_exec(struct tl_conn *c, const char *sql, struct tl_error *err)
{
    int rc = sqlite3_exec(c->db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? TL_OK : tl_conn_error(c, rc, "setting up", err);
}

tl_rc tl_conn_query_int(struct tl_conn *c, const char *sql, int64_t *out, struct tl_error *err)
{
    sqlite3_stmt *s = NULL;
    *out = 0;
    int rc = sqlite3_prepare_v2(c->db, sql, -1, &s, NULL);
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(s);
        if (rc == SQLITE_ROW) {
            *out = sqlite3_column_int64(s, 0);
        }
    }
    tl_rc result =
        rc == SQLITE_ROW || rc == SQLITE_DONE ? TL_OK : tl_conn_error(c, rc, "reading", err);
    sqlite3_finalize(s);
    return result;
}

sqlite3_stmt *tl_conn_statement(struct tl_conn *c, enum tl_statement name)
{
    sqlite3_stmt *s = c->statements[name];
    TL_ASSERT(s != NULL);
    return s;
}

tl_rc tl_conn_run(struct tl_conn *c, sqlite3_stmt *s, const char *doing, struct tl_error *err)
{
    int rc = sqlite3_step(s);
    while (rc == SQLITE_ROW) {
        rc = sqlite3_step(s);
    }
    /* The message belongs to the step, so it is made before the reset. */
    tl_rc result = rc == SQLITE_DONE ? TL_OK : tl_conn_error(c, rc, doing, err);
    sqlite3_reset(s);
    return result;
}

static void bound(int rc)
{
    TL_ASSERT(rc != SQLITE_RANGE && rc != SQLITE_MISUSE);
}

void tl_bind_int(sqlite3_stmt *s, int *at, int64_t v)
{
    bound(sqlite3_bind_int64(s, (*at)++, v));
}

void tl_bind_null(sqlite3_stmt *s, int *at)
{
    bound(sqlite3_bind_null(s, (*at)++));
}

void tl_bind_text(sqlite3_stmt *s, int *at, struct tl_str v)
{
    bound(sqlite3_bind_text64(s, (*at)++, v.p ? v.p : "", v.n, SQLITE_STATIC, SQLITE_UTF8));
}

void tl_bind_blob(sqlite3_stmt *s, int *at, struct tl_str v)
{
    bound(sqlite3_bind_blob64(s, (*at)++, v.p ? v.p : "", v.n, SQLITE_STATIC));
}

void tl_bind_value(sqlite3_stmt *s, int *at, const struct tl_value *v)
{
    switch (v->kind) {
    case TL_VALUE_NULL:
        tl_bind_null(s, at);
        return;
    case TL_VALUE_INT:
        tl_bind_int(s, at, v->num);
        return;
    case TL_VALUE_DOUBLE:
        bound(sqlite3_bind_double(s, (*at)++, v->real));
        return;
    case TL_VALUE_TEXT:
        tl_bind_text(s, at, v->text);
        return;
    }
    TL_UNREACHABLE();
}

struct tl_str tl_column_bytes(sqlite3_stmt *s, int column)
{
    const void *p = sqlite3_column_blob(s, column);
    return tl_str_n(p, (size_t)sqlite3_column_bytes(s, column));
}
