/* Storage on SQLite: one writer that commits whole batches, readers on connections of their own.
 * A batch is built without touching SQLite and becomes durable in one transaction, or not at all.
 * Invariants: after tl_store_commit returned TL_OK the batch survives power loss (database files
 * with the default pragmas); a failed commit leaves nothing behind. Only this folder speaks SQL.
 * Ownership: the store owns its connections and readers; rows given to callbacks are borrowed for
 * the duration of the call; results of the get functions live in the caller's arena.
 * Thread: stated per function. Each reader belongs to one thread at a time. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"

struct tl_store;
struct tl_reader;

struct tl_store_config {
    const char *path; /* database file; NULL: an unlinked temporary file, not durable */
    const char *vfs;  /* name of a registered SQLite VFS (tests); NULL: the real disk */
    const char *const
        *pragmas; /* "name=value", each wins over our own choice with a warning line */
    size_t pragma_count;
    size_t cache_bytes;  /* page cache of the writer; 0: 64 MiB (readers get a quarter) */
    uint64_t fault_seed; /* seeds the fault sometimes_fail_commit */
};

/* --- life cycle ------------------------------------------------------------------------------- */

/* Opens, creates or migrates the database and takes its lock (a flock on "<path>.lock", which the
 * kernel drops when the process dies).
 * Owns: *out, until tl_store_close. Thread: one. Errors: TL_ELOCKED another process or store has it
 * open, TL_ESCHEMA written by a newer program or by another one, TL_ECORRUPT not a database or
 * damaged, TL_ENOTFOUND no such directory, TL_EPERMISSION, TL_EINVAL bad pragma, TL_EIO,
 * TL_EDISKFULL. */
tl_rc tl_store_open(struct tl_store **out, const struct tl_store_config *config,
                    struct tl_error *err) TL_MUST_USE;
/* Closes all connections (with a last checkpoint) and releases the lock. NULL is fine.
 * Thread: one, after every other thread has left the store. */
void tl_store_close(struct tl_store *st);
/* Walks the whole file looking for damage; takes seconds per GB.
 * Thread: that of the point reader. Errors: TL_ECORRUPT with SQLite's first finding, TL_EIO. */
tl_rc tl_store_check(struct tl_store *st, struct tl_error *err) TL_MUST_USE;

/* Copies pages from the write-ahead log into the database without blocking the writer. Call it
 * every few dozen milliseconds while tl_store_checkpoint_due; in simulation inline after commits.
 * Thread: one at a time, any (its own connection). Errors: TL_EIO, TL_EDISKFULL; harmless, retry. */
tl_rc tl_store_checkpoint_step(struct tl_store *st, struct tl_error *err) TL_MUST_USE;
/* True when the log has grown enough for a checkpoint to be worth it. Thread: any. */
bool tl_store_checkpoint_due(const struct tl_store *st);

/* --- rows ------------------------------------------------------------------------------------- */

enum tl_value_kind { TL_VALUE_NULL, TL_VALUE_INT, TL_VALUE_DOUBLE, TL_VALUE_TEXT };

/* A bound value of a filter or of a search attribute. Booleans are 0 and 1, times nanoseconds. */
struct tl_value {
    enum tl_value_kind kind;
    int64_t num;
    double real;
    struct tl_str text;
};

/* One value of a search attribute that has no column; a keyword list gives one entry per element. */
struct tl_search_value {
    struct tl_str name;
    struct tl_value value;
};

/* One run. Columns that may stand in a filter are those of run_columns.def marked `filter`. */
struct tl_run_row {
    int64_t number;           /* dense run number, chosen by the engine, > 0 */
    int64_t namespace_number; /* > 0 */
    struct tl_str workflow_id;
    struct tl_str run_id;
    struct tl_str type;
    struct tl_str task_queue;
    int64_t status; /* WorkflowExecutionStatus */
    int64_t start_ns;
    int64_t execution_ns;
    int64_t close_ns; /* 0: open */
    int64_t history_length;
    int64_t history_bytes;
    int64_t state_transitions;
    int64_t last_log_id; /* newest log row of the run that this row reflects */
    struct tl_str first_run_id;
    struct tl_str parent_workflow_id; /* empty: none (NULL in filters), as all that follow */
    struct tl_str parent_run_id;
    struct tl_str root_workflow_id;
    struct tl_str root_run_id;
    struct tl_str division;          /* TemporalNamespaceDivision */
    struct tl_str memo;              /* encoded Memo */
    struct tl_str search_attributes; /* encoded SearchAttributes, as answered */
    struct tl_str extra;             /* encoded rest of what a list answer shows */
    struct tl_str state;             /* open: checkpoint; closed: what must be kept. Not in lists */
    const struct tl_search_value *values; /* written only: what filters can see beside columns */
    size_t value_count;
};

struct tl_log_row {
    int64_t id;             /* dense, in commit order, chosen by the engine, > 0 */
    int64_t run;            /* run number */
    int64_t prev;           /* id of the run's previous log row; 0: first */
    int64_t first_event_id; /* 0: the row holds no history event */
    struct tl_str bytes;
};

struct tl_namespace_row {
    int64_t number;
    struct tl_str name;
    struct tl_str id;
    struct tl_str bytes;
};

/* --- batches ---------------------------------------------------------------------------------- */

struct tl_batch_op;

/* Operations in order. Everything put in is copied. When bytes_max is reached the batch turns
 * `failed`, takes nothing more, and its commit is refused with TL_ELIMIT.
 * Thread: whoever holds it; it may move between threads. */
struct tl_batch {
    struct tl_arena arena;     /* private */
    struct tl_batch_op *first; /* private */
    struct tl_batch_op *last;  /* private */
    size_t item_count;         /* read-only */
    size_t bytes;              /* read-only: sum of the variable-length data */
    bool failed;               /* read-only */
};

void tl_batch_init(struct tl_batch *b, size_t bytes_max);
void tl_batch_deinit(struct tl_batch *b);
/* Empties it for the next use. */
void tl_batch_reset(struct tl_batch *b);

void tl_batch_log(struct tl_batch *b, int64_t log_id, int64_t run_number, int64_t prev_log_id,
                  int64_t first_event_id, struct tl_str bytes);
void tl_batch_log_delete(struct tl_batch *b, int64_t log_id);
/* Inserts or replaces. Fixed at the first put of a number: namespace, workflow id, run id, type,
 * start time, first run, parent and root; later puts of the same number change the rest. */
void tl_batch_run_put(struct tl_batch *b, const struct tl_run_row *row);
/* Only the checkpoint of an open run whose row exists. */
void tl_batch_run_state_put(struct tl_batch *b, int64_t run_number, int64_t last_log_id,
                            struct tl_str state);
/* The run's row, checkpoint, search values and the given log rows. */
void tl_batch_run_delete(struct tl_batch *b, int64_t run_number, const int64_t *log_ids,
                         size_t log_id_count);
void tl_batch_namespace_put(struct tl_batch *b, int64_t number, struct tl_str name,
                            struct tl_str id, struct tl_str bytes);
void tl_batch_namespace_delete(struct tl_batch *b, int64_t number);
/* Small values by name: counters, task queue data, schedules. */
void tl_batch_meta_put(struct tl_batch *b, struct tl_str key, struct tl_str value);
void tl_batch_meta_delete(struct tl_batch *b, struct tl_str key);

/* Makes the batch durable in one transaction. The batch is unchanged and stays the caller's.
 * Thread: the store thread. Errors: nothing of the batch is applied then. TL_EDISKFULL; TL_EIO
 * (after a crash the batch may nevertheless turn up whole, unless a later commit succeeded);
 * TL_ECORRUPT; TL_EEXISTS a log id or namespace name is taken; TL_ELIMIT the batch failed. */
tl_rc tl_store_commit(struct tl_store *st, const struct tl_batch *b,
                      struct tl_error *err) TL_MUST_USE;

/* --- reads ------------------------------------------------------------------------------------ */

/* The two readers every store has: the engine thread's and the list thread's. */
struct tl_reader *tl_store_point_reader(struct tl_store *st);
struct tl_reader *tl_store_list_reader(struct tl_store *st);
/* Callbacks get borrowed rows; a value other than TL_OK ends the walk and is returned as it is.
 * They must not use the reader that calls them. */
typedef tl_rc (*tl_run_fn)(void *ud, const struct tl_run_row *row, struct tl_error *err);
typedef tl_rc (*tl_log_fn)(void *ud, const struct tl_log_row *row, struct tl_error *err);
typedef tl_rc (*tl_namespace_fn)(void *ud, const struct tl_namespace_row *row,
                                 struct tl_error *err);
typedef tl_rc (*tl_meta_fn)(void *ud, struct tl_str key, struct tl_str value, struct tl_error *err);

/* All reads see the newest commit. Thread: the reader's. Errors: TL_ENOTFOUND (get functions),
 * TL_EMEMORY the arena is full, TL_ECORRUPT, TL_EIO. */
tl_rc tl_store_log_get(struct tl_reader *r, int64_t log_id, struct tl_arena *arena,
                       struct tl_log_row *out, struct tl_error *err) TL_MUST_USE;
/* Rows with id > log_id, ascending. */
tl_rc tl_store_log_after(struct tl_reader *r, int64_t log_id, tl_log_fn fn, void *ud,
                         struct tl_error *err) TL_MUST_USE;
tl_rc tl_store_run_by_number(struct tl_reader *r, int64_t run_number, struct tl_arena *arena,
                             struct tl_run_row *out, struct tl_error *err) TL_MUST_USE;
/* Newest run number of a workflow id. */
tl_rc tl_store_run_current(struct tl_reader *r, int64_t namespace_number, struct tl_str workflow_id,
                           int64_t *run_number, struct tl_error *err) TL_MUST_USE;
/* Every open run with its checkpoint, ascending by number. */
tl_rc tl_store_open_runs(struct tl_reader *r, tl_run_fn fn, void *ud,
                         struct tl_error *err) TL_MUST_USE;
/* Closed runs of a namespace whose close time is <= close_ns, oldest first, at most `limit`: what
 * retention removes. Rows are complete. */
tl_rc tl_store_closed_before(struct tl_reader *r, int64_t namespace_number, int64_t close_ns,
                             int64_t limit, tl_run_fn fn, void *ud,
                             struct tl_error *err) TL_MUST_USE;
/* Ascending by number. */
tl_rc tl_store_namespaces(struct tl_reader *r, tl_namespace_fn fn, void *ud,
                          struct tl_error *err) TL_MUST_USE;
tl_rc tl_store_meta_get(struct tl_reader *r, struct tl_str key, struct tl_arena *arena,
                        struct tl_str *out, struct tl_error *err) TL_MUST_USE;
/* Keys that begin with prefix, ascending. */
tl_rc tl_store_meta_each(struct tl_reader *r, struct tl_str prefix, tl_meta_fn fn, void *ud,
                         struct tl_error *err) TL_MUST_USE;

/* The largest numbers stored; 0 where there is none. Numbers of deleted rows are not remembered:
 * whoever deletes the newest keeps its counter in meta. Runs not yet put are in the log only. */
struct tl_max_ids {
    int64_t log_id, run_number, namespace_number;
};
tl_rc tl_store_max_ids(struct tl_reader *r, struct tl_max_ids *out,
                       struct tl_error *err) TL_MUST_USE;

/* Deep copy of a row (strings are NUL-terminated; `values` is dropped). False: arena full. */
bool tl_run_row_copy(struct tl_arena *arena, const struct tl_run_row *row, struct tl_run_row *out);

/* --- lists ------------------------------------------------------------------------------------ */

/* A compiled filter. `where` is an SQL expression over the `filter` columns of run_columns.def made
 * of column names, operators, parentheses, small integers and `?`, and of the functions and keywords
 * listed in filter.c; anything a user wrote arrives as a bound value. NULL or "": every run.
 * A search attribute without a column is tested with
 *   number IN (SELECT v.run FROM search_value v WHERE v.name = ? AND v.value = ?)
 * which uses an index, or with
 *   EXISTS (SELECT 1 FROM search_value v WHERE v.run = run.number AND v.name = ? AND ...). */
struct tl_list_query {
    int64_t namespace_number;
    const char *where;
    const struct tl_value *binds; /* one per `?`, in order */
    size_t bind_count;
    int64_t limit;  /* rows at most (list only); > 0 */
    bool has_after; /* go on behind this row: (start_ns, number) of the last one seen */
    int64_t after_start_ns;
    int64_t after_number;
    int64_t steps_max;            /* SQLite machine steps before giving up; 0: no limit */
    const atomic_bool *cancelled; /* looked at every thousand steps; may be NULL */
};

/* Newest start first, then largest number first: stable while runs are added. Rows lack `state`.
 * Thread: the reader's. Errors: TL_ELIMIT steps_max was reached, TL_ECANCELLED, TL_EINVAL the
 * expression uses a name or character that is not allowed or does not parse. */
tl_rc tl_store_list(struct tl_reader *r, const struct tl_list_query *q, tl_run_fn fn, void *ud,
                    struct tl_error *err) TL_MUST_USE;
/* Number of matching runs; limit and after are ignored. Errors: as list. */
tl_rc tl_store_count(struct tl_reader *r, const struct tl_list_query *q, int64_t *count,
                     struct tl_error *err) TL_MUST_USE;

/* Counts per value of one filter column, ascending by value. Errors: as list. */
typedef tl_rc (*tl_count_fn)(void *ud, const struct tl_value *group, int64_t count,
                             struct tl_error *err);
tl_rc tl_store_count_by(struct tl_reader *r, const struct tl_list_query *q, const char *column,
                        tl_count_fn fn, void *ud, struct tl_error *err) TL_MUST_USE;
