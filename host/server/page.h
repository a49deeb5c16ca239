/* Pieces of a run's history, assembled from stored batches without decoding events.
 * A plan is made on the engine (it looks at the run); filling it needs only the plan and, for batches
 * that are not in memory, a reader: on the engine for polls, on the reader thread for clients. */
#pragma once

#include "server/engine.h"

struct tl_page_piece {
    int64_t log_id;
    struct tl_str bytes; /* p == NULL: to be read */
    int32_t skip, take;  /* events of the batch: leave out the first `skip`, then take so many */
    int32_t event_count;
};

struct tl_page {
    struct tl_page_piece *pieces;
    size_t n;
    size_t missing;        /* pieces to be read */
    int64_t next_event_id; /* first event behind the page; 0: the page reaches the end */
    int64_t event_count;
};

/* Events first..last (last 0: all there are), at most events_max but never less than one batch.
 * Ownership: pieces in the arena; `copy` says that bytes must be too (the plan leaves the engine).
 * Errors: TL_ELIMIT. */
tl_rc tl_page_plan(const struct tl_rs *rs, int64_t first, int64_t last, int64_t events_max,
                   bool copy, struct tl_arena *arena, struct tl_page *out,
                   struct tl_error *err) TL_MUST_USE;
/* The same walking back from `last` (0: the end): pieces newest first. next_event_id is then the
 * event to go on with, downwards. */
tl_rc tl_page_plan_reverse(const struct tl_rs *rs, int64_t last, int64_t events_max, bool copy,
                           struct tl_arena *arena, struct tl_page *out,
                           struct tl_error *err) TL_MUST_USE;
/* Appends the events as encoded History bytes. `reader` may be NULL when nothing is missing.
 * Errors: TL_ENOTFOUND (the run was deleted meanwhile), TL_EIO, TL_ELIMIT. */
tl_rc tl_page_fill(const struct tl_page *page, struct tl_reader *reader, struct tl_buf *out,
                   struct tl_error *err) TL_MUST_USE;
/* The same with events in descending order. */
tl_rc tl_page_fill_reverse(const struct tl_page *page, struct tl_reader *reader, struct tl_buf *out,
                           struct tl_error *err) TL_MUST_USE;
