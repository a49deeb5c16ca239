/* Fuzzer of the wire decoder: any bytes as any message. What is accepted must survive encoding,
 * copying and JSON. The first two bytes choose the type. */
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "proto/json.h"
#include "proto/pb.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_message(const ProtobufCMessageDescriptor *desc, struct tl_str bytes,
                          struct tl_arena *arena)
{
    ProtobufCMessage *msg;
    struct tl_str once;
    struct tl_str again;
    struct tl_error err;
    if (tl_pb_decode(desc, bytes, arena, &msg, &err) != TL_OK) {
        return;
    }
    TL_ASSERT(tl_pb_encode_arena(msg, arena, &once, &err) == TL_OK);
    TL_ASSERT(tl_pb_check(desc, once, &err) == TL_OK);
    void *copy = tl_pb_clone(msg, arena);
    TL_ASSERT(copy && tl_pb_encode_arena(copy, arena, &again, &err) == TL_OK);
    TL_ASSERT(tl_str_eq(once, again));
    struct tl_buf json;
    struct tl_json_write_options options = {.payload_shorthand = bytes.n % 2 == 0,
                                            .defaults = bytes.n % 3 == 0};
    tl_buf_init(&json, 16 * 1024 * 1024);
    if (tl_json_write(msg, &options, &json, &err) == TL_OK) {
        struct tl_json_read_options in = {.payload_shorthand = options.payload_shorthand};
        tl_rc rc = tl_json_read(desc, tl_buf_str(&json), &in, arena, &msg, &err);
        TL_ASSERT(rc == TL_OK || rc == TL_ELIMIT);
    }
    tl_buf_deinit(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static size_t count;
    while (tl_pb_message_at(count)) {
        count++;
    }
    if (size < 2) {
        return 0;
    }
    struct tl_str bytes = tl_str_n(data + 2, size - 2);
    struct tl_arena arena;
    tl_arena_init(&arena, 256 * 1024 * 1024);
    check_message(tl_pb_message_at((data[0] | (size_t)data[1] << 8) % count), bytes, &arena);
    tl_arena_deinit(&arena);
    return 0;
}
