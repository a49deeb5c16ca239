/* Private parts of the store, shared by the files of this folder and its white-box tests.
 * Thread: a tl_conn belongs to one thread at a time; see the owners below. */
#pragma once

#include <sqlite3.h>

#include "base/rng.h"
#include "store/store.h"

enum tl_statement {
#define X(name, who, sql) TL_ST_##name,
#include "store/statements.def"
#undef X
    TL_ST_COUNT
};

enum tl_conn_kind { TL_CONN_WRITER, TL_CONN_READER, TL_CONN_CHECKPOINT };

/* One SQLite connection with its prepared statements. */
struct tl_conn {
    sqlite3 *db;
    sqlite3_stmt *statements[TL_ST_COUNT]; /* NULL where the kind has no use for it */
    const char *path;                      /* borrowed from the store: for messages */
};

struct tl_reader {
    struct tl_conn conn;
};

struct tl_store {
    struct tl_conn writer;     /* store thread */
    struct tl_conn checkpoint; /* checkpoint thread */
    struct tl_reader point;    /* engine thread */
    struct tl_reader list;     /* list thread */
    char *path;                /* owned; of the database file, also while it is unlinked */
    char *directory;           /* owned; holds the temporary file; NULL for a named file */
    int lock_fd;               /* -1: none */
    char *lock_path;           /* owned; NULL: none */
    bool sync_on;              /* what the pragmas ask for: commits sync the log */
    bool writer_synced;        /* writer's present state; differs under the fault skip_fsync */
    bool checkpoint_synced;    /* the same of the checkpoint connection */
    struct tl_rng rng;         /* faults; store thread */
    atomic_int wal_frames;     /* frames in the log after the last commit */
    atomic_int copied_frames;  /* of them in the database already */
    int auto_frames;           /* the user's wal_autocheckpoint; 0: none */
    int catch_up_frames;       /* store thread: log size at which the writer helps copying */
};

/* --- conn.c: connections, errors, binding ----------------------------------------------------- */

/* The effective pragmas of a store, in order: ours, replaced or followed by the user's. */
struct tl_pragma {
    const char *name;
    char value[64];
    bool every; /* for every connection; else the writer's alone */
};
#define TL_PRAGMA_MAX 48
struct tl_pragma_list {
    struct tl_pragma rows[TL_PRAGMA_MAX];
    size_t count;
    char names[TL_PRAGMA_MAX][32]; /* storage of user names */
};

#define TL_BUSY_MS 5000 /* how long a connection waits for another program's lock */

/* Opens without preparing statements. `vfs` may be NULL. */
tl_rc tl_conn_open(struct tl_conn *c, const char *path, const char *vfs, struct tl_error *err);
tl_rc tl_conn_prepare(struct tl_conn *c, enum tl_conn_kind kind, struct tl_error *err);
void tl_conn_close(struct tl_conn *c);
/* Turns SQLite's last error on c into ours; `doing` begins the message: "reading". */
tl_rc tl_conn_error(const struct tl_conn *c, int sqlite_rc, const char *doing,
                    struct tl_error *err);
/* Prepares SQL in which $COLUMNS, $MARKS, $MOVING and $LISTED (the columns without the hidden ones)
 * stand for what run_columns.def says. */
tl_rc tl_conn_sql(struct tl_conn *c, const char *sql, unsigned flags, sqlite3_stmt **out,
                  struct tl_error *err);
tl_rc tl_conn_exec(struct tl_conn *c, const char *sql, struct tl_error *err);
/* The first column of the first row, as a number; 0 without a row. */
tl_rc tl_conn_query_int(struct tl_conn *c, const char *sql, int64_t *out, struct tl_error *err);
/* A prepared statement, reset and ready to be bound from 1 on. */
sqlite3_stmt *tl_conn_statement(struct tl_conn *c, enum tl_statement name);
/* Steps a statement that gives no rows, then resets it. */
tl_rc tl_conn_run(struct tl_conn *c, sqlite3_stmt *s, const char *doing, struct tl_error *err);

/* Binders: *at is the next parameter and is advanced. Bytes must live until the statement is reset
 * or bound anew. Binding fails only for want of memory or a wrong index; the latter is ours. */
void tl_bind_int(sqlite3_stmt *s, int *at, int64_t v);
void tl_bind_null(sqlite3_stmt *s, int *at);
void tl_bind_text(sqlite3_stmt *s, int *at, struct tl_str v);
void tl_bind_blob(sqlite3_stmt *s, int *at, struct tl_str v);
void tl_bind_value(sqlite3_stmt *s, int *at, const struct tl_value *v);
/* Columns; borrowed until the next step. */
struct tl_str tl_column_bytes(sqlite3_stmt *s, int column);

/* --- pragma.c --------------------------------------------------------------------------------- */

/* Errors: TL_EINVAL a user pragma is malformed or would break the store. Logs one warning for each
 * of our choices that the user replaces. */
tl_rc tl_pragma_plan(struct tl_pragma_list *list, const struct tl_store_config *config,
                     struct tl_error *err);
const char *tl_pragma_value(const struct tl_pragma_list *list, const char *name);
/* Those of a new, still empty file come first. */
tl_rc tl_pragma_apply(struct tl_conn *c, const struct tl_pragma_list *list, enum tl_conn_kind kind,
                      struct tl_error *err);

/* --- schema.c --------------------------------------------------------------------------------- */

struct tl_migration {
    int version;
    const char *sql;
};
extern const struct tl_migration tl_schema_rows[];
extern const size_t tl_schema_row_count;

#define TL_APPLICATION_ID 0x546c7561 /* "Tlua" */

/* Looks at what is there: *version 0 for an empty file. Errors: TL_ESCHEMA newer than `latest` or
 * another program's; TL_ECORRUPT. */
tl_rc tl_schema_inspect(struct tl_conn *c, int latest, int *version, struct tl_error *err);
/* Brings the database up to the highest version of rows, one transaction per version. */
tl_rc tl_schema_migrate(struct tl_conn *c, const struct tl_migration *rows, size_t count,
                        struct tl_error *err);

/* --- files.c ---------------------------------------------------------------------------------- */

/* Checks that the path can be a database of ours before SQLite sees it. */
tl_rc tl_files_check(const char *path, bool *exists, struct tl_error *err);
/* A fresh private folder for a temporary database; malloc'ed path in *directory. */
tl_rc tl_files_temporary(char **directory, char **path, struct tl_error *err);
/* Unlinks database, log and index, and the folder. */
void tl_files_unlink(const char *directory, const char *path);
/* fd of the locked file in *fd, its malloc'ed path in *lock_path. */
tl_rc tl_files_lock(const char *path, int *fd, char **lock_path, struct tl_error *err);
void tl_files_unlock(int fd, char *lock_path);
/* Makes the directory entry of a new file durable. */
tl_rc tl_files_sync_directory(const char *path, struct tl_error *err);

/* --- batch.c, row.c --------------------------------------------------------------------------- */

enum tl_batch_op_kind {
    TL_OP_LOG,
    TL_OP_LOG_DELETE,
    TL_OP_RUN_PUT,
    TL_OP_RUN_STATE_PUT,
    TL_OP_RUN_DELETE,
    TL_OP_NAMESPACE_PUT,
    TL_OP_NAMESPACE_DELETE,
    TL_OP_META_PUT,
    TL_OP_META_DELETE,
};

/* One operation; strings live in the batch's arena. */
struct tl_batch_op {
    struct tl_batch_op *next;
    enum tl_batch_op_kind kind;
    union {
        struct tl_log_row log;  /* LOG; LOG_DELETE: id */
        struct tl_run_row *run; /* RUN_PUT */
        struct {
            int64_t run, last_log_id;
            struct tl_str state;
        } checkpoint; /* RUN_STATE_PUT */
        struct {
            int64_t run;
            const int64_t *log_ids;
            size_t log_id_count;
        } run_delete;
        struct tl_namespace_row ns; /* NAMESPACE_PUT, NAMESPACE_DELETE: number */
        struct {
            struct tl_str key, value;
        } meta; /* META_PUT, META_DELETE: key */
    } u;
};

enum tl_column_kind {
    TL_COL_KEY,
    TL_COL_INT,
    TL_COL_TIME0,
    TL_COL_TEXT,
    TL_COL_TEXT0,
    TL_COL_BLOB0
};

struct tl_run_column {
    const char *name;
    enum tl_column_kind kind;
    bool filter;
    size_t offset; /* in struct tl_run_row */
};
extern const struct tl_run_column tl_run_columns[];
extern const size_t tl_run_column_count;

/* Binds all columns; `state` is withheld from an open run's row. */
void tl_run_row_bind(sqlite3_stmt *s, int *at, const struct tl_run_row *row);
/* Reads the columns from 0 on; borrowed strings. */
void tl_run_row_read(sqlite3_stmt *s, struct tl_run_row *row);
/* The same, then the two checkpoint columns behind them, which win when not NULL. */
void tl_run_row_read_full(sqlite3_stmt *s, struct tl_run_row *row);
