/* Fuzzer of task and page tokens: any fields in a token come out as they went in, and what is not whole is
 * refused. Random bytes do not get past the check sum, so the input is taken as fields, and a damaged
 * byte is put in by its place.
 * Input: 2 bytes place of the damage, 1 byte damage, 1 byte kind, 48 bytes integers, the rest texts. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "proto/token.h"

#define INTEGERS 6
#define HEAD (4 + INTEGERS * 8)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The i-th of three texts, which lie behind each other. */
static struct tl_str text(const uint8_t *data, size_t size, int i)
{
    size_t third = size / 3;
    return tl_str_n(data + third * (size_t)i, i == 2 ? size - 2 * third : third);
}

static void check_task(const uint8_t *data, size_t size, const int64_t *n)
{
    struct tl_buf b;
    struct tl_error err;
    const struct tl_task_token in = {
        .kind = (enum tl_task_kind)(1 + data[3] % TL_TASK_KIND_MAX),
        .namespace_number = n[0],
        .run_number = n[1],
        .scheduled_event_id = n[2],
        .started_event_id = n[3],
        .started_time_ns = n[4],
        .attempt = n[5],
        .workflow_id = text(data + HEAD, size - HEAD, 0),
        .run_id = text(data + HEAD, size - HEAD, 1),
        .extra = text(data + HEAD, size - HEAD, 2),
    };
    struct tl_task_token out;
    tl_buf_init(&b, 2 * TL_TOKEN_BYTES_MAX);
    if (tl_task_token_encode(&in, &b, &err) == TL_OK) {
        TL_ASSERT(tl_task_token_decode(tl_buf_str(&b), &out, &err) == TL_OK);
        TL_ASSERT(out.kind == in.kind && out.namespace_number == in.namespace_number &&
                  out.run_number == in.run_number && out.attempt == in.attempt &&
                  out.scheduled_event_id == in.scheduled_event_id &&
                  out.started_event_id == in.started_event_id &&
                  out.started_time_ns == in.started_time_ns);
        TL_ASSERT(tl_str_eq(out.workflow_id, in.workflow_id) && tl_str_eq(out.run_id, in.run_id) &&
                  tl_str_eq(out.extra, in.extra));
        size_t at = (data[0] | (size_t)data[1] << 8) % b.n;
        b.p[at] = (char)(b.p[at] ^ (data[2] ? data[2] : 1));
        TL_ASSERT(tl_task_token_decode(tl_buf_str(&b), &out, &err) != TL_OK);
        TL_ASSERT(tl_task_token_decode(tl_str_n(b.p, at), &out, &err) != TL_OK);
    }
    tl_buf_deinit(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tl_task_token task;
    struct tl_page_token page;
    int64_t n[INTEGERS];
    struct tl_str bytes = tl_str_n(data, size);
    if (tl_task_token_decode(bytes, &task, NULL) == TL_OK) {
        TL_ASSERT(task.workflow_id.n + task.run_id.n + task.extra.n <= size);
    }
    if (tl_page_token_decode(bytes, &page, NULL) == TL_OK) {
        TL_ASSERT(page.run_id.n + page.key.n <= size);
    }
    if (size < HEAD) {
        return 0;
    }
    memcpy(n, data + 4, sizeof n);
    check_task(data, size, n);
    return 0;
}
