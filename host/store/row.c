/* Rows of the table `run` between C and SQLite, driven by run_columns.def. See store_int.h. */
#include "store/store_int.h"

#include <stddef.h>

#include "base/assert.h"

const struct tl_run_column tl_run_columns[] = {
#define FILTER_filter true
#define FILTER_plain false
#define FILTER_hidden false
#define X(column, kind, life, use)                                                                 \
    {#column, TL_COL_##kind, FILTER_##use, offsetof(struct tl_run_row, column)},
#include "store/run_columns.def"
#undef X
};
const size_t tl_run_column_count = sizeof tl_run_columns / sizeof tl_run_columns[0];

static bool is_text(enum tl_column_kind kind)
{
    return kind == TL_COL_TEXT || kind == TL_COL_TEXT0 || kind == TL_COL_BLOB0;
}

static const void *field(const struct tl_run_row *row, size_t i)
{
    return (const char *)row + tl_run_columns[i].offset;
}

static void *field_of(struct tl_run_row *row, size_t i)
{
    return (char *)row + tl_run_columns[i].offset;
}

void tl_run_row_bind(sqlite3_stmt *s, int *at, const struct tl_run_row *row)
{
    for (size_t i = 0; i < tl_run_column_count; i++) {
        enum tl_column_kind kind = tl_run_columns[i].kind;
        if (is_text(kind)) {
            struct tl_str v;
            memcpy(&v, field(row, i), sizeof v);
            bool withheld = tl_run_columns[i].offset == offsetof(struct tl_run_row, state) &&
                            row->close_ns == 0;
            if (withheld || (kind != TL_COL_TEXT && v.n == 0)) {
                tl_bind_null(s, at);
            } else if (kind == TL_COL_BLOB0) {
                tl_bind_blob(s, at, v);
            } else {
                tl_bind_text(s, at, v);
            }
        } else {
            int64_t v;
            memcpy(&v, field(row, i), sizeof v);
            if (kind == TL_COL_TIME0 && v == 0) {
                tl_bind_null(s, at);
            } else {
                tl_bind_int(s, at, v);
            }
        }
    }
}

void tl_run_row_read(sqlite3_stmt *s, struct tl_run_row *row)
{
    *row = (struct tl_run_row){0};
    for (size_t i = 0; i < tl_run_column_count; i++) {
        if (is_text(tl_run_columns[i].kind)) {
            struct tl_str v = tl_column_bytes(s, (int)i);
            memcpy(field_of(row, i), &v, sizeof v);
        } else {
            int64_t v = sqlite3_column_int64(s, (int)i);
            memcpy(field_of(row, i), &v, sizeof v);
        }
    }
}

void tl_run_row_read_full(sqlite3_stmt *s, struct tl_run_row *row)
{
    tl_run_row_read(s, row);
    int log_id = (int)tl_run_column_count;
    if (sqlite3_column_type(s, log_id) != SQLITE_NULL) {
        row->last_log_id = sqlite3_column_int64(s, log_id);
        row->state = tl_column_bytes(s, log_id + 1);
    }
}

bool tl_run_row_copy(struct tl_arena *arena, const struct tl_run_row *row, struct tl_run_row *out)
{
    *out = *row;
    out->values = NULL;
    out->value_count = 0;
    for (size_t i = 0; i < tl_run_column_count; i++) {
        if (is_text(tl_run_columns[i].kind)) {
            struct tl_str v;
            memcpy(&v, field(row, i), sizeof v);
            struct tl_str copy = tl_arena_str(arena, v);
            if (!copy.p) {
                return false;
            }
            memcpy(field_of(out, i), &copy, sizeof copy);
        }
    }
    return true;
}
