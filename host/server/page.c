/* History pages. See page.h. Thread: planning on the engine; filling anywhere. */
#include "server/page.h"

#include "base/assert.h"

#define PIECE_BYTES_MAX ((size_t)256 * 1024 * 1024)
/* A page ends when it has grown beyond this, whatever the number of events. */
#define PAGE_BYTES ((size_t)2 * 1024 * 1024)

static tl_rc too_large(struct tl_error *err)
{
    return tl_error_set(err, TL_ELIMIT, "a history page is too large");
}

static bool add_piece(struct tl_page *page, const struct tl_rs_batch *b, int64_t first,
                      int64_t last, bool copy, struct tl_arena *arena)
{
    struct tl_page_piece *p = &page->pieces[page->n];
    int64_t batch_last = b->first_event_id + b->event_count - 1;
    p->log_id = b->log_id;
    p->event_count = b->event_count;
    p->skip = first > b->first_event_id ? (int32_t)(first - b->first_event_id) : 0;
    p->take = (int32_t)((last && last < batch_last ? last : batch_last) - b->first_event_id + 1) -
              p->skip;
    p->bytes = b->bytes;
    if (!b->bytes.p) {
        page->missing++;
    } else if (copy) {
        p->bytes = tl_arena_str(arena, b->bytes);
    }
    page->n++;
    page->event_count += p->take;
    return b->bytes.p == NULL || p->bytes.p != NULL;
}

tl_rc tl_page_plan(const struct tl_rs *rs, int64_t first, int64_t last, int64_t events_max,
                   bool copy, struct tl_arena *arena, struct tl_page *out, struct tl_error *err)
{
    size_t count = tl_rs_batch_count(rs), bytes = 0;
    size_t at = tl_rs_batch_find(rs, first);
    *out = (struct tl_page){0};
    size_t most = count - at < (size_t)events_max ? count - at : (size_t)events_max;
    out->pieces = most ? TL_ARENA_ARRAY(arena, struct tl_page_piece, most) : NULL;
    if (most && !out->pieces) {
        return too_large(err);
    }
    for (; at < count; at++) {
        struct tl_rs_batch b;
        tl_rs_batch_at(rs, at, &b);
        if (last && b.first_event_id > last) {
            break;
        }
        if (out->n &&
            (out->event_count + b.event_count > events_max || bytes + b.bytes_n > PAGE_BYTES)) {
            out->next_event_id = b.first_event_id;
            break;
        }
        bytes += b.bytes_n;
        if (!add_piece(out, &b, first, last, copy, arena)) {
            return too_large(err);
        }
    }
    return TL_OK;
}

tl_rc tl_page_plan_reverse(const struct tl_rs *rs, int64_t last, int64_t events_max, bool copy,
                           struct tl_arena *arena, struct tl_page *out, struct tl_error *err)
{
    size_t count = tl_rs_batch_count(rs), bytes = 0;
    size_t at = last ? tl_rs_batch_find(rs, last) : count;
    at = last ? (at < count ? at + 1 : count) : count;
    *out = (struct tl_page){0};
    size_t most = at < (size_t)events_max ? at : (size_t)events_max;
    out->pieces = most ? TL_ARENA_ARRAY(arena, struct tl_page_piece, most) : NULL;
    if (most && !out->pieces) {
        return too_large(err);
    }
    while (at-- > 0) {
        struct tl_rs_batch b;
        tl_rs_batch_at(rs, at, &b);
        if (out->n &&
            (out->event_count + b.event_count > events_max || bytes + b.bytes_n > PAGE_BYTES)) {
            out->next_event_id = b.first_event_id + b.event_count - 1;
            break;
        }
        bytes += b.bytes_n;
        if (!add_piece(out, &b, 0, last, copy, arena)) {
            return too_large(err);
        }
    }
    return TL_OK;
}

/* The bytes of the piece's events. Read ones live in `scratch`. */
static tl_rc piece_bytes(const struct tl_page_piece *p, struct tl_reader *reader,
                         struct tl_arena *scratch, struct tl_str *out, struct tl_error *err)
{
    struct tl_log_row row;
    *out = p->bytes;
    if (!out->p) {
        TL_ASSERT(reader);
        tl_rc rc = tl_store_log_get(reader, p->log_id, scratch, &row, err);
        if (rc == TL_OK) {
            rc = tl_record_history(row.bytes, out, err);
        }
        if (rc != TL_OK) {
            return rc;
        }
    }
    struct tl_str rest = *out, event;
    if (p->skip == 0 && p->take == p->event_count) {
        return TL_OK;
    }
    for (int32_t i = 0; i < p->skip && tl_history_next(&rest, &event); i++) {
    }
    const char *begin = rest.p;
    for (int32_t i = 0; i < p->take && tl_history_next(&rest, &event); i++) {
    }
    *out = tl_str_n(begin, (size_t)(rest.p - begin));
    return TL_OK;
}

/* Events in descending order. */
static void put_reversed(struct tl_str events, int32_t count, struct tl_arena *scratch,
                         struct tl_buf *out)
{
    struct tl_str *list = TL_ARENA_ARRAY(scratch, struct tl_str, (size_t)count + 1), event;
    int32_t n = 0;
    while (list && n < count && tl_history_next(&events, &event)) {
        list[n++] = event;
    }
    while (n-- > 0) {
        tl_pb_put_field(out, 1, list[n]);
    }
}

static tl_rc fill(const struct tl_page *page, struct tl_reader *reader, bool reverse,
                  struct tl_buf *out, struct tl_error *err)
{
    struct tl_arena scratch;
    tl_rc rc = TL_OK;
    tl_arena_init(&scratch, PIECE_BYTES_MAX);
    for (size_t i = 0; rc == TL_OK && i < page->n; i++) {
        struct tl_str bytes;
        rc = piece_bytes(&page->pieces[i], reader, &scratch, &bytes, err);
        if (rc == TL_OK && reverse) {
            put_reversed(bytes, page->pieces[i].take, &scratch, out);
        } else if (rc == TL_OK) {
            tl_buf_put_str(out, bytes);
        }
        if (scratch.bytes) {
            tl_arena_reset(&scratch);
        }
    }
    tl_arena_deinit(&scratch);
    return rc == TL_OK && tl_buf_failed(out) ? too_large(err) : rc;
}

tl_rc tl_page_fill(const struct tl_page *page, struct tl_reader *reader, struct tl_buf *out,
                   struct tl_error *err)
{
    return fill(page, reader, false, out, err);
}

tl_rc tl_page_fill_reverse(const struct tl_page *page, struct tl_reader *reader, struct tl_buf *out,
                           struct tl_error *err)
{
    return fill(page, reader, true, out, err);
}
