/* Reading history: the list of a run's batches, and cached bytes.
 * Thread: the run's owner. */
#include "server/history/rs.h"

size_t tl_rs_batch_count(const struct tl_rs *rs)
{
    return rs->batch_n;
}

void tl_rs_batch_at(const struct tl_rs *rs, size_t index, struct tl_rs_batch *out)
{
    const struct tl_batch_ref *b = &rs->batches[index];
    *out = (struct tl_rs_batch){
        .log_id = b->log_id,
        .first_event_id = b->first_event_id,
        .event_count = (int32_t)b->event_count,
        .bytes_n = b->bytes_n,
    };
    if (b->cached) {
        out->bytes = tl_str_n(b->cached, b->bytes_n);
    }
}

size_t tl_rs_batch_find(const struct tl_rs *rs, int64_t event_id)
{
    size_t low = 0, high = rs->batch_n;
    while (low < high) { /* first batch that ends at or after the event */
        size_t mid = low + (high - low) / 2;
        const struct tl_batch_ref *b = &rs->batches[mid];
        if (b->first_event_id + (int64_t)b->event_count - 1 < event_id) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

size_t tl_rs_shrink(struct tl_rs *rs, int64_t durable_log_id, size_t keep_bytes)
{
    size_t freed = 0;
    for (size_t i = 0; i < rs->batch_n && rs->cached_bytes > keep_bytes; i++) {
        struct tl_batch_ref *b = &rs->batches[i];
        if (b->log_id > durable_log_id) {
            break;
        }
        if (b->cached) {
            tl_mem_free(b->cached);
            b->cached = NULL;
            rs->cached_bytes -= b->bytes_n;
            freed += b->bytes_n;
        }
    }
    return freed;
}

/* --- encoded bytes --------------------------------------------------------------------------- */

static bool take_varint(struct tl_str *s, uint64_t *out)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64 && s->n > 0; shift += 7) {
        unsigned char c = (unsigned char)*s->p;
        s->p++;
        s->n--;
        v |= (uint64_t)(c & 0x7F) << shift;
        if (!(c & 0x80)) {
            *out = v;
            return true;
        }
    }
    return false;
}

/* Takes one length-delimited field. */
static bool take_field(struct tl_str *s, uint64_t *number, struct tl_str *value)
{
    uint64_t tag = 0, n = 0;
    struct tl_str rest = *s;
    if (!take_varint(&rest, &tag) || (tag & 7) != 2 || !take_varint(&rest, &n) || n > rest.n) {
        return false;
    }
    *number = tag >> 3;
    *value = tl_str_n(rest.p, (size_t)n);
    s->p = rest.p + n;
    s->n = rest.n - (size_t)n;
    return true;
}

bool tl_history_next(struct tl_str *rest, struct tl_str *event)
{
    uint64_t number = 0;
    struct tl_str s = *rest;
    if (s.n == 0 || !take_field(&s, &number, event) || number != 1) {
        return false;
    }
    *rest = s;
    return true;
}

tl_rc tl_record_history(struct tl_str record, struct tl_str *out, struct tl_error *err)
{
    *out = (struct tl_str){NULL, 0};
    while (record.n > 0) {
        uint64_t number = 0;
        struct tl_str value;
        if (!take_field(&record, &number, &value)) {
            return tl_error_set(err, TL_EDECODE, "a log row is damaged");
        }
        if (number == 1) {
            *out = value;
        }
    }
    return TL_OK;
}
