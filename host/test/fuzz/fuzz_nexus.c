/* Fuzzer of what handlers and callers of Nexus operations send: tokens, failures, handler errors, timeouts.
 * What is accepted can be written again and means the same.
 * Input: which of them (1 byte), the text or the message. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "proto/nexus.h"
#include "proto/nexus_token.h"
#include "proto/pb.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_token(struct tl_str text, struct tl_arena *arena)
{
    struct tl_nexus_workflow once, again;
    struct tl_error err;
    if (tl_nexus_workflow_of_token(text, arena, &once, &err) != TL_OK) {
        TL_ASSERT(err.code == TL_ENOTFOUND && *err.message);
        return;
    }
    char *token = tl_nexus_workflow_token(arena, once.namespace_, once.workflow_id);
    TL_ASSERT(token && tl_nexus_workflow_of_token(tl_str(token), arena, &again, &err) == TL_OK);
    TL_ASSERT(tl_str_eq(once.namespace_, again.namespace_) &&
              tl_str_eq(once.workflow_id, again.workflow_id));
}

/* Temporal's failure, whatever it was made of, can be sent and told in the protocol's form. */
static void check_failure(tl_rc rc, TpFailure__Failure *failure, const struct tl_error *err,
                          struct tl_arena *arena)
{
    struct tl_str bytes;
    if (rc != TL_OK) {
        TL_ASSERT(*err->message);
        return;
    }
    TL_ASSERT(failure && tl_pb_encode_arena(failure, arena, &bytes, NULL) == TL_OK);
    TpNexus__Failure *told = tl_nexus_failure_write(arena, failure);
    TL_ASSERT(told && tl_pb_encode_arena(told, arena, &bytes, NULL) == TL_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tl_arena arena;
    struct tl_error err = {0};
    int64_t ms = 0;
    TpNexus__Failure *failure = NULL;
    TpNexus__HandlerError *refusal = NULL;
    TpFailure__Failure *out = NULL;
    if (size < 1) {
        return 0;
    }
    struct tl_str text = tl_str_n((const char *)data + 1, size - 1);
    tl_arena_init(&arena, (size_t)64 << 20);
    switch (data[0] % 4) {
    case 0:
        check_token(text, &arena);
        break;
    case 1:
        if (tl_pb_decode(&tp_nexus__failure__descriptor, text, &arena, &failure, NULL) == TL_OK) {
            tl_rc rc = tl_nexus_failure_read(failure, &arena, &out, &err);
            check_failure(rc, out, &err, &arena);
        }
        break;
    case 2:
        if (tl_pb_decode(&tp_nexus__handler_error__descriptor, text, &arena, &refusal, NULL) ==
            TL_OK) {
            tl_rc rc = tl_nexus_handler_error_read(refusal, &arena, &out, &err);
            check_failure(rc, out, &err, &arena);
        }
        break;
    default:
        TL_ASSERT(!tl_nexus_timeout_read(text, &ms) || ms >= 0);
    }
    tl_arena_deinit(&arena);
    return 0;
}
