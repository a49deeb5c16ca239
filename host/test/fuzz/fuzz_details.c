/* Fuzzer of an error as a service tells it: any status, message and bytes of grpc-status-details-bin. What
 * comes out is whole: a code, a message with an end, ids that are text.
 * Input: status (1 byte), length of the message (1 byte), the message, the details. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "client/client.h"
#include "rpc/rpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tl_arena arena;
    struct tl_client_error err;
    if (size < 2) {
        return 0;
    }
    size_t n = data[1] < size - 2 ? data[1] : size - 2;
    struct tl_rpc_result *res = tl_rpc_result_new(
        TL_M_StartWorkflowExecution, NULL, 1 + data[0] % 20, tl_str_n(data + 2, n),
        tl_str_n(data + 2 + n, size - 2 - n), (struct tl_str){0});
    tl_arena_init(&arena, (size_t)64 << 20);
    tl_rc rc = tl_client_error_from_result(res, &arena, &err);
    TL_ASSERT(rc != TL_OK && rc == err.error.code);
    TL_ASSERT(memchr(err.error.message, 0, sizeof err.error.message) && *err.error.message);
    TL_ASSERT(err.kind != TL_CE_ALREADY_STARTED || err.run_id);
    TL_ASSERT(err.kind != TL_CE_QUERY_FAILED || !err.failure || err.failure->message);
    (void)tl_rpc_result_is_too_large(res);
    tl_rpc_result_free(res);
    tl_arena_deinit(&arena);
    return 0;
}
