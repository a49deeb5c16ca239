/* Opening and closing a store. See store.h. Thread: the one that opens it. */
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/store_int.h"

#define CACHE_BYTES ((size_t)64 * 1024 * 1024)

/* SQLite knows one hook only, and its own wal_autocheckpoint is one: a user's wish for it is
 * fulfilled here. */
static int on_wal(void *ud, sqlite3 *db, const char *schema, int frames)
{
    struct tl_store *st = ud;
    atomic_store(&st->wal_frames, frames);
    if (st->auto_frames > 0 && frames >= st->auto_frames) {
        int copied = 0;
        if (sqlite3_wal_checkpoint_v2(db, schema, SQLITE_CHECKPOINT_PASSIVE, NULL, &copied) ==
            SQLITE_OK) {
            atomic_store(&st->copied_frames, copied);
        }
    }
    return SQLITE_OK; /* the commit stands, whatever became of the copying */
}

static tl_rc set_cache(struct tl_conn *c, size_t bytes, struct tl_error *err)
{
    char sql[64];
    snprintf(sql, sizeof sql, "PRAGMA cache_size=-%zu", bytes / 1024);
    return tl_conn_exec(c, sql, err);
}

static tl_rc open_other(struct tl_store *st, struct tl_conn *c, enum tl_conn_kind kind,
                        const struct tl_store_config *config, const struct tl_pragma_list *pragmas,
                        size_t cache_bytes, struct tl_error *err)
{
    int64_t ignored;
    tl_rc rc = tl_conn_open(c, st->path, config->vfs, err);
    if (rc || (rc = set_cache(c, cache_bytes, err)) ||
        (rc = tl_pragma_apply(c, pragmas, kind, err))) {
        return rc;
    }
    /* The first read opens log and index: from then on the names of the files do not matter. */
    rc = tl_conn_query_int(c, "SELECT count(*) FROM namespace", &ignored, err);
    return rc ? rc : tl_conn_prepare(c, kind, err);
}

static tl_rc open_writer(struct tl_store *st, const struct tl_store_config *config,
                         const struct tl_pragma_list *pragmas, size_t cache_bytes,
                         struct tl_error *err)
{
    struct tl_conn *c = &st->writer;
    int version;
    tl_rc rc = tl_conn_open(c, st->path, config->vfs, err);
    if (rc) {
        return rc;
    }
    /* Look before changing anything: it may be somebody else's database. */
    int latest = tl_schema_rows[tl_schema_row_count - 1].version;
    if ((rc = tl_schema_inspect(c, latest, &version, err)) ||
        (rc = set_cache(c, cache_bytes, err)) ||
        (rc = tl_pragma_apply(c, pragmas, TL_CONN_WRITER, err)) ||
        (rc = tl_schema_migrate(c, tl_schema_rows, tl_schema_row_count, err)) ||
        (rc = tl_conn_prepare(c, TL_CONN_WRITER, err))) {
        return rc;
    }
    st->auto_frames = (int)strtol(tl_pragma_value(pragmas, "wal_autocheckpoint"), NULL, 10);
    sqlite3_wal_hook(c->db, on_wal, st);
    const char *sync = tl_pragma_value(pragmas, "synchronous");
    st->sync_on = strcasecmp(sync, "full") == 0 || strcmp(sync, "2") == 0;
    st->writer_synced = st->checkpoint_synced = st->sync_on;
    return TL_OK;
}

static tl_rc open_files(struct tl_store *st, const struct tl_store_config *config, bool *created,
                        struct tl_error *err)
{
    *created = false;
    if (!config->path) {
        return tl_files_temporary(&st->directory, &st->path, err);
    }
    st->path = tl_mem_dup(tl_str(config->path));
    if (config->vfs) {
        return TL_OK; /* not a file of this machine */
    }
    bool exists;
    tl_rc rc = tl_files_check(st->path, &exists, err);
    if (!rc) {
        rc = tl_files_lock(st->path, &st->lock_fd, &st->lock_path, err);
    }
    *created = !exists;
    return rc;
}

static tl_rc open_all(struct tl_store *st, const struct tl_store_config *config,
                      struct tl_error *err)
{
    struct tl_pragma_list pragmas;
    bool created;
    size_t cache = config->cache_bytes ? config->cache_bytes : CACHE_BYTES;
    tl_rc rc = tl_pragma_plan(&pragmas, config, err);
    if (rc || (rc = open_files(st, config, &created, err)) ||
        (rc = open_writer(st, config, &pragmas, cache, err)) ||
        (rc =
             open_other(st, &st->checkpoint, TL_CONN_CHECKPOINT, config, &pragmas, 1 << 20, err)) ||
        (rc = open_other(st, &st->point.conn, TL_CONN_READER, config, &pragmas, cache / 4, err)) ||
        (rc = open_other(st, &st->list.conn, TL_CONN_READER, config, &pragmas, cache / 4, err))) {
        return rc;
    }
    if (st->directory) {
        /* Nothing is worth copying at the end into a file that vanishes. */
        sqlite3_db_config(st->writer.db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL);
        sqlite3_db_config(st->checkpoint.db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL);
        sqlite3_db_config(st->point.conn.db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL);
        sqlite3_db_config(st->list.conn.db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL);
        tl_files_unlink(st->directory, st->path);
    }
    return created ? tl_files_sync_directory(st->path, err) : TL_OK;
}

tl_rc tl_store_open(struct tl_store **out, const struct tl_store_config *config,
                    struct tl_error *err)
{
    struct tl_store *st = TL_NEW(struct tl_store);
    st->lock_fd = -1;
    tl_rng_seed(&st->rng, config->fault_seed);
    tl_rc rc = open_all(st, config, err);
    if (rc) {
        tl_store_close(st);
        *out = NULL;
        return rc;
    }
    TL_LOG(TL_LOG_DEBUG, "store.opened", TL_C("path", config->path ? st->path : "(temporary)"));
    *out = st;
    return TL_OK;
}

void tl_store_close(struct tl_store *st)
{
    if (!st) {
        return;
    }
    tl_conn_close(&st->list.conn);
    tl_conn_close(&st->point.conn);
    tl_conn_close(&st->checkpoint);
    tl_conn_close(&st->writer);
    if (st->directory) {
        tl_files_unlink(st->directory, st->path); /* the names that a failed open left */
    }
    tl_files_unlock(st->lock_fd, st->lock_path);
    tl_mem_free(st->directory);
    tl_mem_free(st->path);
    tl_mem_free(st);
}

struct tl_reader *tl_store_point_reader(struct tl_store *st)
{
    return &st->point;
}

struct tl_reader *tl_store_list_reader(struct tl_store *st)
{
    return &st->list;
}
