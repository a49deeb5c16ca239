/* The schema version of a database: recognising it, and migrating it. See store_int.h. */
#include "store/store_int.h"

const struct tl_migration tl_schema_rows[] = {
#define X(version, sql) {version, sql},
#include "store/schema.def"
#undef X
};
const size_t tl_schema_row_count = sizeof tl_schema_rows / sizeof tl_schema_rows[0];

tl_rc tl_schema_inspect(struct tl_conn *c, int latest, int *version, struct tl_error *err)
{
    int64_t tables, application, user_version;
    *version = 0;
    tl_rc rc = tl_conn_query_int(c, "SELECT count(*) FROM sqlite_master", &tables, err);
    if (rc == TL_ECORRUPT) {
        return tl_error_set(err, rc,
                            "%s is damaged or not a database of temporal-lua (%s): name another "
                            "file, or restore a backup",
                            c->path, sqlite3_errmsg(c->db));
    }
    if (rc || (rc = tl_conn_query_int(c, "PRAGMA application_id", &application, err)) ||
        (rc = tl_conn_query_int(c, "PRAGMA user_version", &user_version, err))) {
        return rc;
    }
    if (tables == 0 && (application == 0 || application == TL_APPLICATION_ID)) {
        return TL_OK;
    }
    if (application != TL_APPLICATION_ID) {
        return tl_error_set(err, TL_ESCHEMA,
                            "%s is a SQLite database of another program (application id %lld): "
                            "name another file",
                            c->path, (long long)application);
    }
    if (user_version > latest) {
        return tl_error_set(err, TL_ESCHEMA,
                            "%s has schema version %lld, this program knows versions up to %d: "
                            "use a temporal-lua at least as new as the one that wrote it",
                            c->path, (long long)user_version, latest);
    }
    if (user_version < 1) {
        return tl_error_set(err, TL_ECORRUPT,
                            "%s has tables but no schema version: restore a backup", c->path);
    }
    *version = (int)user_version;
    return TL_OK;
}

static tl_rc run_version(struct tl_conn *c, const struct tl_migration *rows, size_t count,
                         int version, struct tl_error *err)
{
    size_t statements = 0;
    for (size_t i = 0; i < count; i++) {
        if (rows[i].version == version) {
            tl_rc rc = tl_conn_exec(c, rows[i].sql, err);
            if (rc) {
                return rc;
            }
            statements++;
        }
    }
    char sql[256];
    /* Both are numbers of our own; a pragma takes no bound value. */
    sqlite3_snprintf((int)sizeof sql, sql,
                     "INSERT INTO schema_version(version, statements) VALUES(%d, %d);"
                     "PRAGMA user_version = %d; PRAGMA application_id = %d",
                     version, (int)statements, version, TL_APPLICATION_ID);
    return tl_conn_exec(c, sql, err);
}

tl_rc tl_schema_migrate(struct tl_conn *c, const struct tl_migration *rows, size_t count,
                        struct tl_error *err)
{
    int latest = count ? rows[count - 1].version : 0, have;
    tl_rc rc = tl_schema_inspect(c, latest, &have, err);
    for (int version = have + 1; !rc && version <= latest; version++) {
        rc = tl_conn_exec(c, "BEGIN IMMEDIATE", err);
        if (rc) {
            return rc;
        }
        rc = run_version(c, rows, count, version, err);
        if (!rc) {
            rc = tl_conn_exec(c, "COMMIT", err);
        }
        if (rc) {
            sqlite3_exec(c->db, "ROLLBACK", NULL, NULL, NULL);
            return tl_error_wrap(err, rc, "schema version %d", version);
        }
    }
    return rc;
}
