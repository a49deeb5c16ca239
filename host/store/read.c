/* Reads by key and walks. See store.h. Thread: the reader's. */
#include "store/store_int.h"

#include "base/assert.h"

/* Ends a walk: SQLite's outcome, unless the callback already gave one. */
static tl_rc finish(struct tl_conn *c, sqlite3_stmt *s, int sqlite_rc, tl_rc rc,
                    struct tl_error *err)
{
    if (!rc && sqlite_rc != SQLITE_DONE && sqlite_rc != SQLITE_ROW) {
        rc = tl_conn_error(c, sqlite_rc, "reading", err);
    }
    sqlite3_reset(s);
    sqlite3_clear_bindings(s);
    return rc;
}

static void read_log(sqlite3_stmt *s, struct tl_log_row *row)
{
    *row = (struct tl_log_row){
        sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1), sqlite3_column_int64(s, 2),
        sqlite3_column_int64(s, 3), tl_column_bytes(s, 4),
    };
}

static tl_rc arena_full(struct tl_error *err)
{
    return tl_error_set(err, TL_EMEMORY, "a stored row does not fit the memory limit of the call");
}

tl_rc tl_store_log_get(struct tl_reader *r, int64_t log_id, struct tl_arena *arena,
                       struct tl_log_row *out, struct tl_error *err)
{
    sqlite3_stmt *s = tl_conn_statement(&r->conn, TL_ST_LOG_GET);
    int at = 1;
    tl_bind_int(s, &at, log_id);
    int sqlite_rc = sqlite3_step(s);
    tl_rc rc = TL_OK;
    if (sqlite_rc == SQLITE_ROW) {
        read_log(s, out);
        out->bytes = tl_arena_str(arena, out->bytes);
        rc = out->bytes.p ? TL_OK : arena_full(err);
    } else if (sqlite_rc == SQLITE_DONE) {
        rc = tl_error_set(err, TL_ENOTFOUND, "no log row %lld", (long long)log_id);
    }
    return finish(&r->conn, s, sqlite_rc, rc, err);
}

tl_rc tl_store_log_after(struct tl_reader *r, int64_t log_id, tl_log_fn fn, void *ud,
                         struct tl_error *err)
{
    sqlite3_stmt *s = tl_conn_statement(&r->conn, TL_ST_LOG_AFTER);
    int at = 1, sqlite_rc;
    tl_rc rc = TL_OK;
    tl_bind_int(s, &at, log_id);
    while ((sqlite_rc = sqlite3_step(s)) == SQLITE_ROW) {
        struct tl_log_row row;
        read_log(s, &row);
        if ((rc = fn(ud, &row, err))) {
            break;
        }
    }
    return finish(&r->conn, s, sqlite_rc, rc, err);
}

tl_rc tl_store_run_by_number(struct tl_reader *r, int64_t run_number, struct tl_arena *arena,
                             struct tl_run_row *out, struct tl_error *err)
{
    sqlite3_stmt *s = tl_conn_statement(&r->conn, TL_ST_RUN_GET);
    int at = 1;
    tl_bind_int(s, &at, run_number);
    int sqlite_rc = sqlite3_step(s);
    tl_rc rc = TL_OK;
    if (sqlite_rc == SQLITE_ROW) {
        struct tl_run_row row;
        tl_run_row_read_full(s, &row);
        rc = tl_run_row_copy(arena, &row, out) ? TL_OK : arena_full(err);
    } else if (sqlite_rc == SQLITE_DONE) {
        rc = tl_error_set(err, TL_ENOTFOUND, "no run number %lld", (long long)run_number);
    }
    return finish(&r->conn, s, sqlite_rc, rc, err);
}

tl_rc tl_store_run_current(struct tl_reader *r, int64_t namespace_number, struct tl_str workflow_id,
                           int64_t *run_number, struct tl_error *err)
{
    sqlite3_stmt *s = tl_conn_statement(&r->conn, TL_ST_RUN_CURRENT);
    int at = 1;
    tl_bind_int(s, &at, namespace_number);
    tl_bind_text(s, &at, workflow_id);
    int sqlite_rc = sqlite3_step(s);
    tl_rc rc = TL_OK;
    *run_number = sqlite_rc == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
    if (sqlite_rc == SQLITE_ROW && *run_number == 0) {
        rc = tl_error_set(err, TL_ENOTFOUND, "no run of workflow id \"%.*s\"",
                          workflow_id.n > 200 ? 200 : (int)workflow_id.n,
                          workflow_id.p ? workflow_id.p : "");
    }
    return finish(&r->conn, s, sqlite_rc, rc, err);
}

static tl_rc walk_runs(struct tl_reader *r, sqlite3_stmt *s, tl_run_fn fn, void *ud,
                       struct tl_error *err)
{
    int sqlite_rc;
    tl_rc rc = TL_OK;
    while ((sqlite_rc = sqlite3_step(s)) == SQLITE_ROW) {
        struct tl_run_row row;
        tl_run_row_read_full(s, &row);
        if ((rc = fn(ud, &row, err))) {
            break;
        }
    }
    return finish(&r->conn, s, sqlite_rc, rc, err);
}

tl_rc tl_store_open_runs(struct tl_reader *r, tl_run_fn fn, void *ud, struct tl_error *err)
{
    return walk_runs(r, tl_conn_statement(&r->conn, TL_ST_OPEN_RUNS), fn, ud, err);
}

tl_rc tl_store_closed_before(struct tl_reader *r, int64_t namespace_number, int64_t close_ns,
                             int64_t limit, tl_run_fn fn, void *ud, struct tl_error *err)
{
    sqlite3_stmt *s = tl_conn_statement(&r->conn, TL_ST_CLOSED_BEFORE);
    int at = 1;
    tl_bind_int(s, &at, namespace_number);
    tl_bind_int(s, &at, close_ns);
    tl_bind_int(s, &at, limit);
    return walk_runs(r, s, fn, ud, err);
}

tl_rc tl_store_namespaces(struct tl_reader *r, tl_namespace_fn fn, void *ud, struct tl_error *err)
{
    sqlite3_stmt *s = tl_conn_statement(&r->conn, TL_ST_NAMESPACES);
    int sqlite_rc;
    tl_rc rc = TL_OK;
    while ((sqlite_rc = sqlite3_step(s)) == SQLITE_ROW) {
        struct tl_namespace_row row = {sqlite3_column_int64(s, 0), tl_column_bytes(s, 1),
                                       tl_column_bytes(s, 2), tl_column_bytes(s, 3)};
        if ((rc = fn(ud, &row, err))) {
            break;
        }
    }
    return finish(&r->conn, s, sqlite_rc, rc, err);
}

tl_rc tl_store_meta_get(struct tl_reader *r, struct tl_str key, struct tl_arena *arena,
                        struct tl_str *out, struct tl_error *err)
{
    sqlite3_stmt *s = tl_conn_statement(&r->conn, TL_ST_META_GET);
    int at = 1;
    tl_bind_text(s, &at, key);
    int sqlite_rc = sqlite3_step(s);
    tl_rc rc = TL_OK;
    if (sqlite_rc == SQLITE_ROW) {
        *out = tl_arena_str(arena, tl_column_bytes(s, 0));
        rc = out->p ? TL_OK : arena_full(err);
    } else if (sqlite_rc == SQLITE_DONE) {
        rc = tl_error_set(err, TL_ENOTFOUND, "nothing stored under \"%.*s\"", TL_STR_FMT(key));
    }
    return finish(&r->conn, s, sqlite_rc, rc, err);
}

tl_rc tl_store_meta_each(struct tl_reader *r, struct tl_str prefix, tl_meta_fn fn, void *ud,
                         struct tl_error *err)
{
    sqlite3_stmt *s = tl_conn_statement(&r->conn, TL_ST_META_EACH);
    int at = 1, sqlite_rc;
    tl_rc rc = TL_OK;
    tl_bind_text(s, &at, prefix);
    while ((sqlite_rc = sqlite3_step(s)) == SQLITE_ROW) {
        struct tl_str key = tl_column_bytes(s, 0);
        bool within =
            key.n >= prefix.n && (prefix.n == 0 || memcmp(key.p, prefix.p, prefix.n) == 0);
        if (!within) {
            sqlite_rc = SQLITE_DONE; /* keys come in byte order: the rest lies behind the prefix */
            break;
        }
        if ((rc = fn(ud, key, tl_column_bytes(s, 1), err))) {
            break;
        }
    }
    return finish(&r->conn, s, sqlite_rc, rc, err);
}

static tl_rc read_max(struct tl_reader *r, enum tl_statement statement, int64_t *out,
                      struct tl_error *err)
{
    sqlite3_stmt *s = tl_conn_statement(&r->conn, statement);
    int sqlite_rc = sqlite3_step(s);
    *out = sqlite_rc == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
    return finish(&r->conn, s, sqlite_rc, TL_OK, err);
}

tl_rc tl_store_max_ids(struct tl_reader *r, struct tl_max_ids *out, struct tl_error *err)
{
    tl_rc rc = read_max(r, TL_ST_MAX_LOG, &out->log_id, err);
    if (!rc) {
        rc = read_max(r, TL_ST_MAX_RUN, &out->run_number, err);
    }
    return rc ? rc : read_max(r, TL_ST_MAX_NAMESPACE, &out->namespace_number, err);
}

tl_rc tl_store_check(struct tl_store *st, struct tl_error *err)
{
    struct tl_conn *c = &st->point.conn;
    sqlite3_stmt *s = tl_conn_statement(c, TL_ST_CHECK);
    tl_rc rc = TL_OK;
    int sqlite_rc = sqlite3_step(s);
    if (sqlite_rc == SQLITE_ROW) {
        struct tl_str finding = tl_column_bytes(s, 0);
        if (!tl_str_eqc(finding, "ok")) {
            rc = tl_error_set(err, TL_ECORRUPT, "database %s is damaged: %.*s: restore a backup",
                              st->path, TL_STR_FMT(finding));
        }
    }
    return finish(c, s, sqlite_rc, rc, err);
}
