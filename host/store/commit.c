/* Committing a batch: one transaction, all of it or nothing. See store.h. Thread: the store's. */
#include "store/store_int.h"

#include "base/fault.h"

/* The writer copies the log itself when it has grown this much beyond the last time: a checkpoint
 * beside a busy writer never quite catches up, and only a log that is copied whole starts anew. */
#define CATCH_UP_FRAMES 8192
#define CATCH_UP_WAIT_MS 20
/* One commit in so many fails under the fault sometimes_fail_commit. */
#define FAIL_ONE_IN 8
/* Free pages are given back to the file system from this many on, and when a quarter is free. */
#define FREE_PAGES_MIN 1024

static tl_rc put_log(struct tl_conn *c, const struct tl_log_row *row, struct tl_error *err)
{
    sqlite3_stmt *s = tl_conn_statement(c, TL_ST_LOG_PUT);
    int at = 1;
    tl_bind_int(s, &at, row->id);
    tl_bind_int(s, &at, row->run);
    tl_bind_int(s, &at, row->prev);
    tl_bind_int(s, &at, row->first_event_id);
    tl_bind_blob(s, &at, row->bytes);
    return tl_conn_run(c, s, "writing history to", err);
}

static tl_rc delete_by_number(struct tl_conn *c, enum tl_statement statement, int64_t number,
                              struct tl_error *err)
{
    sqlite3_stmt *s = tl_conn_statement(c, statement);
    int at = 1;
    tl_bind_int(s, &at, number);
    return tl_conn_run(c, s, "deleting from", err);
}

static tl_rc put_checkpoint(struct tl_conn *c, int64_t run, int64_t log_id, struct tl_str state,
                            struct tl_error *err)
{
    sqlite3_stmt *s = tl_conn_statement(c, TL_ST_OPEN_RUN_PUT);
    int at = 1;
    tl_bind_int(s, &at, run);
    tl_bind_int(s, &at, log_id);
    tl_bind_blob(s, &at, state);
    return tl_conn_run(c, s, "writing a checkpoint to", err);
}

static tl_rc put_values(struct tl_conn *c, const struct tl_run_row *row, struct tl_error *err)
{
    tl_rc rc = delete_by_number(c, TL_ST_SEARCH_VALUE_DELETE, row->number, err);
    for (size_t i = 0; !rc && i < row->value_count; i++) {
        sqlite3_stmt *s = tl_conn_statement(c, TL_ST_SEARCH_VALUE_PUT);
        int at = 1;
        tl_bind_int(s, &at, row->number);
        tl_bind_text(s, &at, row->values[i].name);
        tl_bind_int(s, &at, (int64_t)i);
        tl_bind_value(s, &at, &row->values[i].value);
        rc = tl_conn_run(c, s, "writing search attributes to", err);
    }
    return rc;
}

static tl_rc put_run(struct tl_conn *c, const struct tl_run_row *row, struct tl_error *err)
{
    sqlite3_stmt *s = tl_conn_statement(c, TL_ST_RUN_PUT);
    int at = 1;
    tl_run_row_bind(s, &at, row);
    tl_rc rc = tl_conn_run(c, s, "writing a run to", err);
    if (!rc) {
        rc = put_values(c, row, err);
    }
    if (rc) {
        return rc;
    }
    return row->close_ns ? delete_by_number(c, TL_ST_OPEN_RUN_DELETE, row->number, err)
                         : put_checkpoint(c, row->number, row->last_log_id, row->state, err);
}

static tl_rc delete_run(struct tl_conn *c, const struct tl_batch_op *op, struct tl_error *err)
{
    int64_t run = op->u.run_delete.run;
    tl_rc rc = delete_by_number(c, TL_ST_RUN_DELETE, run, err);
    if (!rc) {
        rc = delete_by_number(c, TL_ST_OPEN_RUN_DELETE, run, err);
    }
    if (!rc) {
        rc = delete_by_number(c, TL_ST_SEARCH_VALUE_DELETE, run, err);
    }
    for (size_t i = 0; !rc && i < op->u.run_delete.log_id_count; i++) {
        rc = delete_by_number(c, TL_ST_LOG_DELETE, op->u.run_delete.log_ids[i], err);
    }
    return rc;
}

static tl_rc put_namespace(struct tl_conn *c, const struct tl_namespace_row *row,
                           struct tl_error *err)
{
    sqlite3_stmt *s = tl_conn_statement(c, TL_ST_NAMESPACE_PUT);
    int at = 1;
    tl_bind_int(s, &at, row->number);
    tl_bind_text(s, &at, row->name);
    tl_bind_text(s, &at, row->id);
    tl_bind_blob(s, &at, row->bytes);
    return tl_conn_run(c, s, "writing a namespace to", err);
}

static tl_rc put_meta(struct tl_conn *c, struct tl_str key, struct tl_str value,
                      struct tl_error *err)
{
    sqlite3_stmt *s = tl_conn_statement(c, TL_ST_META_PUT);
    int at = 1;
    tl_bind_text(s, &at, key);
    tl_bind_blob(s, &at, value);
    return tl_conn_run(c, s, "writing to", err);
}

static tl_rc delete_meta(struct tl_conn *c, struct tl_str key, struct tl_error *err)
{
    sqlite3_stmt *s = tl_conn_statement(c, TL_ST_META_DELETE);
    int at = 1;
    tl_bind_text(s, &at, key);
    return tl_conn_run(c, s, "deleting from", err);
}

static tl_rc apply(struct tl_conn *c, const struct tl_batch_op *op, struct tl_error *err)
{
    switch (op->kind) {
    case TL_OP_LOG:
        return put_log(c, &op->u.log, err);
    case TL_OP_LOG_DELETE:
        return delete_by_number(c, TL_ST_LOG_DELETE, op->u.log.id, err);
    case TL_OP_RUN_PUT:
        return put_run(c, op->u.run, err);
    case TL_OP_RUN_STATE_PUT:
        return put_checkpoint(c, op->u.checkpoint.run, op->u.checkpoint.last_log_id,
                              op->u.checkpoint.state, err);
    case TL_OP_RUN_DELETE:
        return delete_run(c, op, err);
    case TL_OP_NAMESPACE_PUT:
        return put_namespace(c, &op->u.ns, err);
    case TL_OP_NAMESPACE_DELETE:
        return delete_by_number(c, TL_ST_NAMESPACE_DELETE, op->u.ns.number, err);
    case TL_OP_META_PUT:
        return put_meta(c, op->u.meta.key, op->u.meta.value, err);
    case TL_OP_META_DELETE:
        return delete_meta(c, op->u.meta.key, err);
    }
    return tl_error_set(err, TL_EINTERNAL, "unknown operation in a batch");
}

/* Gives free pages back to the file system, some at a time. */
static tl_rc give_back(struct tl_conn *c, struct tl_error *err)
{
    int64_t free_pages, pages;
    tl_rc rc = tl_conn_query_int(c, "PRAGMA freelist_count", &free_pages, err);
    if (rc || free_pages < FREE_PAGES_MIN ||
        (rc = tl_conn_query_int(c, "PRAGMA page_count", &pages, err)) || free_pages < pages / 4) {
        return rc;
    }
    return tl_conn_run(c, tl_conn_statement(c, TL_ST_VACUUM), "shrinking", err);
}

static tl_rc transact(struct tl_store *st, const struct tl_batch *b, struct tl_error *err)
{
    struct tl_conn *c = &st->writer;
    bool deletes = false;
    tl_rc rc = tl_conn_run(c, tl_conn_statement(c, TL_ST_BEGIN), "writing to", err);
    if (rc) {
        return rc;
    }
    for (const struct tl_batch_op *op = b->first; op && !rc; op = op->next) {
        deletes = deletes || op->kind == TL_OP_RUN_DELETE;
        rc = apply(c, op, err);
    }
    if (!rc && deletes) {
        rc = give_back(c, err);
    }
    if (!rc && TL_FAULT(sometimes_fail_commit) && tl_rng_below(&st->rng, FAIL_ONE_IN) == 0) {
        rc = tl_error_set(err, TL_EIO, "writing to database %s: injected fault", c->path);
    }
    if (!rc) {
        rc = tl_conn_run(c, tl_conn_statement(c, TL_ST_COMMIT), "writing to", err);
    }
    /* Some errors have rolled back by themselves. */
    if (rc && !sqlite3_get_autocommit(c->db)) {
        (void)tl_conn_run(c, tl_conn_statement(c, TL_ST_ROLLBACK), "rolling back", NULL);
    }
    return rc;
}

static tl_rc set_sync(struct tl_conn *c, bool want, bool *have, struct tl_error *err)
{
    if (want == *have) {
        return TL_OK;
    }
    tl_rc rc = tl_conn_exec(c, want ? "PRAGMA synchronous=full" : "PRAGMA synchronous=off", err);
    *have = rc ? *have : want;
    return rc;
}

/* The mutant: no sync anywhere, as if the pragma had been forgotten. */
static tl_rc arm_mutant(struct tl_conn *c, bool sync_on, bool *have, struct tl_error *err)
{
    return sync_on ? set_sync(c, !TL_FAULT(skip_fsync), have, err) : TL_OK;
}

static void note_checkpoint(struct tl_store *st, int frames, int copied)
{
    atomic_store(&st->wal_frames, frames);
    atomic_store(&st->copied_frames, copied);
}

static void catch_up(struct tl_store *st)
{
    int frames = atomic_load(&st->wal_frames);
    if (frames < CATCH_UP_FRAMES) {
        st->catch_up_frames = CATCH_UP_FRAMES;
        return;
    }
    if (frames < st->catch_up_frames) {
        return;
    }
    /* RESTART waits for the readers that still look into the log, new ones need it no more. Where
     * one takes its time, commits go on and it is tried again some frames later. */
    int log = -1, copied = -1;
    sqlite3_busy_timeout(st->writer.db, CATCH_UP_WAIT_MS);
    int rc =
        sqlite3_wal_checkpoint_v2(st->writer.db, NULL, SQLITE_CHECKPOINT_RESTART, &log, &copied);
    sqlite3_busy_timeout(st->writer.db, TL_BUSY_MS);
    if (rc == SQLITE_OK) {
        note_checkpoint(st, 0, 0);
        st->catch_up_frames = CATCH_UP_FRAMES;
        return;
    }
    if (log < 0) {
        return; /* the checkpoint thread is at it: the next commit tries again, for nothing */
    }
    note_checkpoint(st, log, copied);
    st->catch_up_frames = frames + CATCH_UP_FRAMES / 4;
}

tl_rc tl_store_commit(struct tl_store *st, const struct tl_batch *b, struct tl_error *err)
{
    if (b->failed) {
        return tl_error_set(err, TL_ELIMIT, "a batch of more than %zu bytes", b->arena.bytes_max);
    }
    tl_rc rc = arm_mutant(&st->writer, st->sync_on, &st->writer_synced, err);
    if (rc) {
        return rc;
    }
    rc = transact(st, b, err);
    if (!rc) {
        catch_up(st);
    }
    return rc;
}

/* --- checkpoints ------------------------------------------------------------------------------ */

#define DUE_FRAMES 1000

bool tl_store_checkpoint_due(const struct tl_store *st)
{
    int frames = atomic_load(&st->wal_frames), copied = atomic_load(&st->copied_frames);
    /* A log that started anew is shorter than what was copied of the old one. */
    return frames - (copied <= frames ? copied : 0) >= DUE_FRAMES;
}

tl_rc tl_store_checkpoint_step(struct tl_store *st, struct tl_error *err)
{
    struct tl_conn *c = &st->checkpoint;
    tl_rc rc = arm_mutant(c, st->sync_on, &st->checkpoint_synced, err);
    if (rc) {
        return rc;
    }
    int frames = -1, copied = -1;
    int sqlite_rc =
        sqlite3_wal_checkpoint_v2(c->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &frames, &copied);
    if (sqlite_rc == SQLITE_BUSY) {
        return TL_OK; /* the writer is copying at this moment */
    }
    if (sqlite_rc != SQLITE_OK) {
        return tl_conn_error(c, sqlite_rc, "copying the log into", err);
    }
    if (frames >= 0) {
        atomic_store(&st->copied_frames, copied);
    }
    return TL_OK;
}
