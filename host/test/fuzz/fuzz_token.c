/* Fuzzer of task tokens: any bytes are a token or refused, and any fields come out of a token as they went in.
 * Input: 48 bytes integers, 1 byte what the token is of, the rest an activity id; and all of it as a token. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "server/history/history.h"

#define INTEGERS 6
#define HEAD (INTEGERS * 8 + 1)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_fields(const uint8_t *data, size_t size, struct tl_arena *arena)
{
    int64_t n[INTEGERS];
    struct tl_work_token out;
    struct tl_str bytes;
    struct tl_error err;
    memcpy(n, data, sizeof n);
    const struct tl_work_token in = {
        .namespace_number = (uint64_t)n[0],
        .run_number = (uint64_t)n[1],
        .is_activity = data[HEAD - 1] & 1,
        .ref = {n[2], n[3], n[4], (int32_t)n[5]},
        .activity_id = tl_str(tl_arena_cstr(arena, tl_str_n(data + HEAD, size - HEAD))),
    };
    if (tl_work_token_encode(&in, arena, &bytes, &err) != TL_OK) {
        return;
    }
    tl_rc rc = tl_work_token_decode(bytes, arena, &out, &err);
    if (rc != TL_OK) { /* no run, or an id that is no text */
        return;
    }
    TL_ASSERT(in.run_number != 0);
    TL_ASSERT(out.namespace_number == in.namespace_number && out.run_number == in.run_number &&
              out.is_activity == in.is_activity && !out.nexus_request &&
              out.ref.scheduled_id == in.ref.scheduled_id &&
              out.ref.started_id == in.ref.started_id && out.ref.started_ns == in.ref.started_ns &&
              out.ref.attempt == in.ref.attempt);
    TL_ASSERT(tl_str_eq(out.activity_id, in.activity_id));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tl_work_token token;
    struct tl_arena arena;
    tl_arena_init(&arena, 16 * 1024 * 1024);
    if (tl_work_token_decode(tl_str_n(data, size), &arena, &token, NULL) == TL_OK) {
        TL_ASSERT(token.run_number != 0);
    }
    if (size >= HEAD) {
        check_fields(data, size, &arena);
    }
    tl_arena_deinit(&arena);
    return 0;
}
