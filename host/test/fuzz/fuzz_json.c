/* Fuzzer of the JSON readers: any text as values, as a message, as a history file. What is accepted
 * must be writable and read back as the same message. The first two bytes choose type and options;
 * the histories under spec/fixtures are good seeds. */
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "proto/history_json.h"
#include "proto/json.h"
#include "proto/pb.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Copying a document and reading the copy finds the same tokens. */
static void check_values(struct tl_str text)
{
    struct tl_jreader r;
    struct tl_jtok t;
    struct tl_jw w;
    struct tl_buf out;
    struct tl_error err;
    tl_jreader_init(&r, text, TL_JREAD_LONE_SURROGATES, 200);
    tl_buf_init(&out, 64 * 1024 * 1024);
    tl_jw_init(&w, &out, text.n % 2 ? TL_JW_PRETTY : 0, 200);
    if (tl_jtok_next(&r, &t, &err) == TL_OK && tl_jw_copy(&w, &r, &t, &err) == TL_OK &&
        tl_jtok_next(&r, &t, &err) == TL_OK && tl_jw_finish(&w, &err) == TL_OK) {
        struct tl_jreader again;
        tl_jreader_init(&again, tl_buf_str(&out), 0, 200);
        do {
            TL_ASSERT(tl_jtok_next(&again, &t, &err) == TL_OK);
        } while (t.kind != TL_J_END);
        tl_jreader_deinit(&again);
    }
    tl_jreader_deinit(&r);
    tl_buf_deinit(&out);
}

static void check_message(const ProtobufCMessageDescriptor *desc, struct tl_str text, unsigned bits,
                          struct tl_arena *arena)
{
    struct tl_json_read_options in = {.ignore_unknown = bits & 1, .payload_shorthand = bits & 2};
    struct tl_json_write_options out = {
        .pretty = bits & 4, .proto_names = bits & 8, .enums = (enum tl_json_enums)(bits % 3)};
    struct tl_error err;
    struct tl_str once;
    struct tl_buf json;
    ProtobufCMessage *msg;
    if (tl_json_read(desc, text, &in, arena, &msg, &err) != TL_OK ||
        tl_pb_encode_arena(msg, arena, &once, &err) != TL_OK) {
        return;
    }
    TL_ASSERT(tl_pb_check(desc, once, &err) == TL_OK);
    tl_buf_init(&json, 64 * 1024 * 1024);
    tl_rc rc = tl_json_write(msg, &out, &json, &err);
    if (rc == TL_OK) {
        rc = tl_json_read(desc, tl_buf_str(&json), NULL, arena, &msg, &err);
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
    struct tl_str text = tl_str_n(data + 2, size - 2);
    unsigned choice = data[0] | (unsigned)data[1] << 8;
    struct tl_arena arena;
    TpHistory__History *history;
    tl_arena_init(&arena, 256 * 1024 * 1024);
    check_values(text);
    check_message(tl_pb_message_at(choice % count), text, choice >> 10, &arena);
    if (tl_history_read(text, &arena, &history, NULL) == TL_OK) {
        struct tl_buf out;
        tl_buf_init(&out, 64 * 1024 * 1024);
        if (tl_history_write_json(history, &out, NULL) == TL_OK) {
            TL_ASSERT(tl_history_read(tl_buf_str(&out), &arena, &history, NULL) == TL_OK);
        }
        tl_buf_deinit(&out);
    }
    tl_arena_deinit(&arena);
    return 0;
}
