/* Goal: codecs give back what they were given, refuse what was changed, and reach every payload of a
 * message but those that the service or the core reads.
 * Method: messages coded as calls of the service, and a codec that writes what it saw. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <google/protobuf/any.pb-c.h>
#include <temporal/api/update/v1/message.pb-c.h>
#include <temporal/api/workflowservice/v1/request_response.pb-c.h>

#include "base/rng.h"
#include "codec/codec.h"
#include "codec/message.h"
#include "crypto/aead.h"
#include "proto/payload.h"
#include "proto/pb.h"

#define KEY_16 "0123456789abcdef"
#define KEY_32 KEY_16 KEY_16
#define ONES "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]"

struct fixture {
    struct tl_arena arena;
    struct tl_codec_chain chain;
};

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){0};
    tl_arena_init(&f.arena, (size_t)256 << 20);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    tl_codec_chain_deinit(&f->chain);
    tl_arena_deinit(&f->arena);
    return 0;
}

static void add_aes(struct fixture *f, const char *id, const char *key)
{
    struct tl_codec *codec;
    struct tl_codec_key k = {tl_str(id), tl_str(key)};
    assert_int_equal(tl_codec_aes_gcm(&codec, &k, 1, tl_str(id), NULL), TL_OK);
    assert_true(tl_codec_chain_add(&f->chain, codec));
}

static void add_zlib(struct fixture *f, size_t min)
{
    struct tl_codec *codec;
    assert_int_equal(tl_codec_zlib(&codec, 6, min, NULL), TL_OK);
    assert_true(tl_codec_chain_add(&f->chain, codec));
}

static TpCommon__Payload *json(struct fixture *f, const char *text)
{
    return tl_payload_json(&f->arena, tl_str(text));
}

static tl_rc code(struct fixture *f, enum tl_codec_way way, TpCommon__Payload **p,
                  struct tl_error *err)
{
    struct tl_payload_span span = {p, 1, true, NULL};
    return tl_codec_chain_apply(&f->chain, way, &span, &f->arena, err);
}

/* The vector of the GCM specification with a 96 bit nonce and no additional data (test case 3). */
static void sealing_is_aes_gcm(void **state)
{
    (void)state;
    static const char key[] = "\xfe\xff\xe9\x92\x86\x65\x73\x1c\x6d\x6a\x8f\x94\x67\x30\x83\x08";
    static const uint8_t nonce[] = {0xca, 0xfe, 0xba, 0xbe, 0xfa, 0xce,
                                    0xdb, 0xad, 0xde, 0xca, 0xf8, 0x88};
    static const char plain[] = "\xd9\x31\x32\x25\xf8\x84\x06\xe5\xa5\x59\x09\xc5\xaf\xf5\x26\x9a"
                                "\x86\xa7\xa9\x53\x15\x34\xf7\xda\x2e\x4c\x30\x3d\x8a\x31\x8a\x72"
                                "\x1c\x3c\x0c\x95\x95\x68\x09\x53\x2f\xcf\x0e\x24\x49\xa6\xb5\x25"
                                "\xb1\x6a\xed\xf5\xaa\x0d\xe6\x57\xba\x63\x7b\x39\x1a\xaf\xd2\x55";
    static const uint8_t tag[] = {0x4d, 0x5c, 0x2a, 0xf3, 0x27, 0xcd, 0x64, 0xa6,
                                  0x2c, 0xf3, 0x5a, 0xbd, 0x2b, 0xa6, 0xfa, 0xb4};
    uint8_t out[64 + TL_AES_GCM_TAG], back[64];
    tl_aes_gcm_seal(tl_str_n(key, 16), nonce, tl_str_n(plain, 64), out);
    assert_memory_equal(out + 64, tag, sizeof tag);
    assert_true(tl_aes_gcm_open(tl_str_n(key, 16), nonce, tl_str_n((char *)out, sizeof out), back));
    assert_memory_equal(back, plain, 64);
    assert_false(tl_aes_gcm_open(tl_str_n(key, 16), nonce, tl_str_n((char *)out, 15), back));
}

static void chains_are_undone_in_reverse(void **state)
{
    struct fixture *f = *state;
    add_aes(f, "outer", KEY_32);
    add_zlib(f, 0);
    char text[4000];
    memset(text, 'a', sizeof text);
    text[0] = text[sizeof text - 2] = '"';
    text[sizeof text - 1] = '\0';
    TpCommon__Payload *p = json(f, text);
    assert_int_equal(code(f, TL_CODEC_ENCODE, &p, NULL), TL_OK);
    assert_true(tl_str_eqc(tl_payload_encoding(p), "binary/encrypted"));
    assert_true(tl_str_eqc(tl_payload_metadata(p, TL_STR_LIT("encryption-key-id")), "outer"));
    assert_true(p->data.len < 200); /* compressed first, then encrypted */
    assert_int_equal(code(f, TL_CODEC_DECODE, &p, NULL), TL_OK);
    assert_true(tl_str_eqc(tl_payload_encoding(p), TL_ENCODING_JSON));
    assert_true(tl_str_eqc(tl_payload_data(p), text));
}

static void encrypting_twice_never_gives_the_same(void **state)
{
    struct fixture *f = *state;
    add_aes(f, "k", KEY_16);
    TpCommon__Payload *one = json(f, "1"), *two = json(f, "1");
    assert_int_equal(code(f, TL_CODEC_ENCODE, &one, NULL), TL_OK);
    assert_int_equal(code(f, TL_CODEC_ENCODE, &two, NULL), TL_OK);
    assert_true(one->data.len == two->data.len &&
                memcmp(one->data.data, two->data.data, one->data.len) != 0);
}

static void changed_bytes_are_refused(void **state)
{
    struct fixture *f = *state;
    struct tl_error err;
    struct tl_rng rng;
    tl_rng_seed(&rng, 7);
    add_aes(f, "k", KEY_16);
    for (int i = 0; i < 200; i++) {
        TpCommon__Payload *p = json(f, "[1,2,3]");
        assert_int_equal(code(f, TL_CODEC_ENCODE, &p, NULL), TL_OK);
        p->data.data[tl_rng_below(&rng, p->data.len)] ^= (uint8_t)(1 + tl_rng_below(&rng, 255));
        assert_int_equal(code(f, TL_CODEC_DECODE, &p, &err), TL_EDATALOSS);
        p->data.len = tl_rng_below(&rng, p->data.len);
        assert_int_equal(code(f, TL_CODEC_DECODE, &p, &err), TL_EDATALOSS);
    }
}

static void any_bytes_as_compressed_payload(void **state)
{
    struct fixture *f = *state;
    struct tl_error err;
    struct tl_rng rng;
    tl_rng_seed(&rng, 11);
    add_zlib(f, 0);
    TpCommon__Payload *good = json(f, ONES);
    assert_int_equal(code(f, TL_CODEC_ENCODE, &good, NULL), TL_OK);
    assert_true(tl_str_eqc(tl_payload_encoding(good), "binary/zlib"));
    size_t refused = 0;
    for (int i = 0; i < 2000; i++) {
        TpCommon__Payload *p = tl_pb_clone(good, &f->arena);
        p->data.data[tl_rng_below(&rng, p->data.len)] ^= (uint8_t)(1 + tl_rng_below(&rng, 255));
        p->data.len -= tl_rng_below(&rng, 2) ? 0 : tl_rng_below(&rng, p->data.len);
        if (code(f, TL_CODEC_DECODE, &p, &err) != TL_OK) {
            refused++;
        } else { /* two bits of the format's head say how it was made, no more */
            assert_true(tl_str_eqc(tl_payload_data(p), ONES));
        }
    }
    assert_true(refused > 1900);
}

static void what_expands_without_end_is_refused(void **state)
{
    struct fixture *f = *state;
    struct tl_error err;
    add_zlib(f, 0);
    size_t n = (size_t)140 << 20;
    TpCommon__Payload *p = tl_payload_new(&f->arena, "binary/plain", (struct tl_str){NULL, 0});
    struct tl_arena big;
    tl_arena_init(&big, (size_t)1 << 30);
    p->data.data = tl_arena_alloc(&big, n);
    assert_non_null(p->data.data);
    memset(p->data.data, 0, n);
    p->data.len = n;
    struct tl_payload_span span = {&p, 1, true, NULL};
    assert_int_equal(tl_codec_chain_apply(&f->chain, TL_CODEC_ENCODE, &span, &big, &err), TL_OK);
    assert_true(p->data.len < ((size_t)1 << 20));
    assert_int_equal(tl_codec_chain_apply(&f->chain, TL_CODEC_DECODE, &span, &big, &err),
                     TL_ELIMIT);
    tl_arena_deinit(&big);
}

static void options_are_checked(void **state)
{
    (void)state;
    struct tl_codec *codec;
    struct tl_error err;
    struct tl_codec_key short_key = {TL_STR_LIT("a"), TL_STR_LIT("short")};
    struct tl_codec_key key = {TL_STR_LIT("a"), TL_STR_LIT(KEY_16)};
    assert_int_equal(tl_codec_aes_gcm(&codec, &short_key, 1, TL_STR_LIT("a"), &err), TL_EINVAL);
    assert_non_null(strstr(err.message, "key 'a' has 5 bytes"));
    assert_int_equal(tl_codec_aes_gcm(&codec, &key, 1, TL_STR_LIT("b"), &err), TL_EINVAL);
    assert_int_equal(tl_codec_zlib(&codec, 10, 0, &err), TL_EINVAL);
}

/* --- whole messages --------------------------------------------------------------------------- */

static TpCommon__Payloads *list(struct fixture *f, const char *text)
{
    return tl_payloads_of(&f->arena, json(f, text));
}

static void *coded(struct fixture *f, struct tl_coder *coder, enum tl_method m,
                   enum tl_codec_way way, const void *msg)
{
    struct tl_str bytes, out;
    void *back;
    const struct tl_method_info *info = tl_method_info(m);
    assert_int_equal(tl_pb_encode_arena(msg, &f->arena, &bytes, NULL), TL_OK);
    assert_int_equal(tl_coder_body(coder, m, way, bytes, bytes, &f->arena, &out, NULL), TL_OK);
    assert_int_equal(tl_pb_decode(way == TL_CODEC_ENCODE ? info->input : info->output, out,
                                  &f->arena, &back, NULL),
                     TL_OK);
    return back;
}

static bool is_coded(const TpCommon__Payload *p)
{
    return tl_str_eqc(tl_payload_encoding(p), "binary/encrypted");
}

static TpCommon__Header *header(struct fixture *f)
{
    TpCommon__Header *h = TL_PB_NEW(&f->arena, TpCommon__Header, tp_common__header);
    TpCommon__Header__FieldsEntry *e =
        TL_PB_NEW(&f->arena, TpCommon__Header__FieldsEntry, tp_common__header__fields_entry);
    e->key = tl_pb_cstr(&f->arena, TL_STR_LIT("h"));
    e->value = json(f, "1");
    struct tl_pb_list l = {0};
    assert_true(tl_pb_push(&f->arena, &l, e));
    h->n_fields = l.n;
    h->fields = l.items;
    return h;
}

static void headers_follow_their_option(void **state)
{
    struct fixture *f = *state;
    static const struct {
        enum tl_header_codec option;
        bool start, task;
    } rows[] = {{TL_HEADERS_PLAIN, false, false},
                {TL_HEADERS_CODED, true, true},
                {TL_HEADERS_WORKFLOW_ONLY, false, true}};
    add_aes(f, "k", KEY_16);
    for (size_t i = 0; i < 3; i++) {
        struct tl_coder coder = {&f->chain, rows[i].option, false, NULL};
        TpWs__StartWorkflowExecutionRequest start;
        tp_ws__start_workflow_execution_request__init(&start);
        start.header = header(f);
        start.input = list(f, "2");
        TpWs__StartWorkflowExecutionRequest *s =
            coded(f, &coder, TL_M_StartWorkflowExecution, TL_CODEC_ENCODE, &start);
        assert_true(is_coded(s->input->payloads[0]));
        assert_int_equal(is_coded(s->header->fields[0]->value), rows[i].start);

        TpWs__RespondWorkflowTaskCompletedRequest task;
        tp_ws__respond_workflow_task_completed_request__init(&task);
        TpCommand__Command *command = TL_PB_NEW(&f->arena, TpCommand__Command, tp_command__command);
        TpCommand__ScheduleActivityTaskCommandAttributes *a =
            TL_PB_NEW(&f->arena, TpCommand__ScheduleActivityTaskCommandAttributes,
                      tp_command__schedule_activity_task_command_attributes);
        a->header = header(f);
        command->attributes_case =
            TP_COMMAND__COMMAND__ATTRIBUTES_SCHEDULE_ACTIVITY_TASK_COMMAND_ATTRIBUTES;
        command->schedule_activity_task_command_attributes = a;
        task.n_commands = 1;
        task.commands = &command;
        TpWs__RespondWorkflowTaskCompletedRequest *t =
            coded(f, &coder, TL_M_RespondWorkflowTaskCompleted, TL_CODEC_ENCODE, &task);
        assert_int_equal(is_coded(t->commands[0]
                                      ->schedule_activity_task_command_attributes->header->fields[0]
                                      ->value),
                         rows[i].task);
    }
}

static TpCommand__RecordMarkerCommandAttributes__DetailsEntry *
detail(struct fixture *f, const char *key, const char *text)
{
    TpCommand__RecordMarkerCommandAttributes__DetailsEntry *e =
        TL_PB_NEW(&f->arena, TpCommand__RecordMarkerCommandAttributes__DetailsEntry,
                  tp_command__record_marker_command_attributes__details_entry);
    e->key = tl_pb_cstr(&f->arena, tl_str(key));
    e->value = list(f, text);
    return e;
}

static void markers_of_the_core_stay_readable(void **state)
{
    struct fixture *f = *state;
    struct tl_coder coder = {&f->chain, TL_HEADERS_PLAIN, false, NULL};
    static const char *const names[] = {"core_local_activity", "SideEffect"};
    add_aes(f, "k", KEY_16);
    for (size_t i = 0; i < 2; i++) {
        TpCommand__RecordMarkerCommandAttributes__DetailsEntry *entries[] = {
            detail(f, "data", "{}"), detail(f, "result", "1")};
        TpCommand__RecordMarkerCommandAttributes marker;
        tp_command__record_marker_command_attributes__init(&marker);
        marker.marker_name = tl_pb_cstr(&f->arena, tl_str(names[i]));
        marker.n_details = 2;
        marker.details = entries;
        TpCommand__Command command, *commands[] = {&command};
        tp_command__command__init(&command);
        command.attributes_case = TP_COMMAND__COMMAND__ATTRIBUTES_RECORD_MARKER_COMMAND_ATTRIBUTES;
        command.record_marker_command_attributes = &marker;
        TpWs__RespondWorkflowTaskCompletedRequest task;
        tp_ws__respond_workflow_task_completed_request__init(&task);
        task.n_commands = 1;
        task.commands = commands;
        TpWs__RespondWorkflowTaskCompletedRequest *t =
            coded(f, &coder, TL_M_RespondWorkflowTaskCompleted, TL_CODEC_ENCODE, &task);
        TpCommand__RecordMarkerCommandAttributes *m =
            t->commands[0]->record_marker_command_attributes;
        assert_int_equal(is_coded(m->details[0]->value->payloads[0]), i == 1);
        assert_true(is_coded(m->details[1]->value->payloads[0]));
    }
}

/* Updates travel as messages inside an Any. */
static void messages_inside_any_are_opened(void **state)
{
    struct fixture *f = *state;
    struct tl_coder coder = {&f->chain, TL_HEADERS_PLAIN, false, NULL};
    add_aes(f, "k", KEY_16);
    TpUpdate__Response response;
    TpUpdate__Outcome outcome;
    tp_update__response__init(&response);
    tp_update__outcome__init(&outcome);
    outcome.value_case = TP_UPDATE__OUTCOME__VALUE_SUCCESS;
    outcome.success = list(f, "\"answer\"");
    response.outcome = &outcome;
    struct tl_str bytes;
    assert_int_equal(tl_pb_encode_arena(&response, &f->arena, &bytes, NULL), TL_OK);
    Google__Protobuf__Any any;
    google__protobuf__any__init(&any);
    any.type_url = (char *)(uintptr_t) "type.googleapis.com/temporal.api.update.v1.Response";
    any.value = tl_pb_bytes_view(bytes);
    TpProtocol__Message message, *messages[] = {&message};
    tp_protocol__message__init(&message);
    message.body = &any;
    TpWs__RespondWorkflowTaskCompletedRequest task;
    tp_ws__respond_workflow_task_completed_request__init(&task);
    task.n_messages = 1;
    task.messages = messages;
    TpWs__RespondWorkflowTaskCompletedRequest *t =
        coded(f, &coder, TL_M_RespondWorkflowTaskCompleted, TL_CODEC_ENCODE, &task);
    TpUpdate__Response *back;
    assert_int_equal(tl_pb_decode(&tp_update__response__descriptor,
                                  tl_pb_str(t->messages[0]->body->value), &f->arena, &back, NULL),
                     TL_OK);
    assert_true(is_coded(back->outcome->success->payloads[0]));
}

static void methods_without_payloads_are_not_touched(void **state)
{
    (void)state;
    assert_true(tl_coder_concerns(TL_M_PollWorkflowTaskQueue));
    assert_true(tl_coder_concerns(TL_M_QueryWorkflow));
    assert_false(tl_coder_concerns(TL_M_GetSystemInfo));
    assert_false(tl_coder_concerns(TL_M_DeleteWorkflowExecution));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sealing_is_aes_gcm),
        cmocka_unit_test_setup_teardown(chains_are_undone_in_reverse, setup, teardown),
        cmocka_unit_test_setup_teardown(encrypting_twice_never_gives_the_same, setup, teardown),
        cmocka_unit_test_setup_teardown(changed_bytes_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(any_bytes_as_compressed_payload, setup, teardown),
        cmocka_unit_test_setup_teardown(what_expands_without_end_is_refused, setup, teardown),
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test_setup_teardown(headers_follow_their_option, setup, teardown),
        cmocka_unit_test_setup_teardown(markers_of_the_core_stay_readable, setup, teardown),
        cmocka_unit_test_setup_teardown(messages_inside_any_are_opened, setup, teardown),
        cmocka_unit_test(methods_without_payloads_are_not_touched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
