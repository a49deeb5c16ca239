/* Tokens: small structs that travel through clients as opaque bytes. A version byte, a kind, the
 * fields as varints and counted strings, and a CRC-32 over all of it. The check finds damage and
 * bytes of another origin; it is not a signature: whoever receives a token compares every field
 * with its own state before acting on it.
 *
 *   [version 1] [kind] [integers: zigzag varints] [strings: length, bytes] [CRC-32, little endian]
 *
 * Strings of a decoded token are views into the bytes it was decoded from. Thread: any. */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

/* Longest token that is accepted: four ids at their limit and the integers. */
#define TL_TOKEN_BYTES_MAX 8192

enum tl_task_kind {
    TL_TASK_WORKFLOW = 1,
    TL_TASK_ACTIVITY = 2,
    TL_TASK_QUERY = 3,
    TL_TASK_NEXUS = 4,
    TL_TASK_STANDALONE_ACTIVITY = 5,
    TL_TASK_KIND_MAX = 5,
};

struct tl_task_token {
    enum tl_task_kind kind;
    int64_t namespace_number;
    int64_t run_number;
    int64_t scheduled_event_id;
    int64_t started_event_id;
    int64_t started_time_ns;
    int64_t attempt;
    struct tl_str workflow_id;
    struct tl_str run_id;
    struct tl_str extra; /* what else the kind needs: a query id, an activity id, a nexus task id */
};

enum tl_page_kind {
    TL_PAGE_HISTORY = 64,
    TL_PAGE_HISTORY_REVERSE = 65,
    TL_PAGE_LIST = 66,
    TL_PAGE_OTHER = 67,
    TL_PAGE_KIND_MAX = 67,
};

struct tl_page_token {
    enum tl_page_kind kind;
    int64_t run_number;
    int64_t position; /* next event id, or the row to go on from */
    int64_t limit;    /* where the listing ends (last event id), 0: open */
    int64_t time_ns;
    struct tl_str run_id;
    struct tl_str key; /* what else the listing needs, such as the last row's sort key */
};

/* Append the token's bytes. Errors: TL_EINVAL (kind out of range), TL_ELIMIT (the buffer's ceiling,
 * or more than TL_TOKEN_BYTES_MAX bytes). */
tl_rc tl_task_token_encode(const struct tl_task_token *t, struct tl_buf *out,
                           struct tl_error *err) TL_MUST_USE;
tl_rc tl_page_token_encode(const struct tl_page_token *t, struct tl_buf *out,
                           struct tl_error *err) TL_MUST_USE;
/* Errors: TL_EINVAL for anything that encode did not write. */
tl_rc tl_task_token_decode(struct tl_str bytes, struct tl_task_token *t,
                           struct tl_error *err) TL_MUST_USE;
tl_rc tl_page_token_decode(struct tl_str bytes, struct tl_page_token *t,
                           struct tl_error *err) TL_MUST_USE;
