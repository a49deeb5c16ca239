/* Goal: what the gRPC port answers by itself is right: health of what it serves, and the protocol's
 * description, whole and in a form that clients can load.
 * Method: messages in and out; the streams they travel on are tested with the official Python packages
 * (spec/interop/reflection_check.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <grpc/health/v1/health.pb-c.h>
#include <grpc/reflection/v1/reflection.pb-c.h>

#include "base/mem.h"
#include "proto/pb.h"
#include "rpc/descriptors.h"
#include "rpc/grpc/own.h"
#include "rpc/rpc.h"

static struct tl_arena arena;

static int setup(void **state)
{
    (void)state;
    tl_arena_init(&arena, TL_ARENA_UNLIMITED);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tl_arena_deinit(&arena);
    return 0;
}

/* Returns the status; the answer is decoded into *out when that is 0. */
static int ask(enum tl_grpc_own method, const void *request,
               const ProtobufCMessageDescriptor *answer, void *out)
{
    struct tl_str bytes, body, text;
    assert_int_equal(tl_pb_encode_arena(request, &arena, &bytes, NULL), TL_OK);
    int status = tl_grpc_own_answer(method, bytes, &arena, &body, &text);
    if (status == 0) {
        assert_int_equal(tl_pb_decode(answer, body, &arena, out, NULL), TL_OK);
    } else {
        assert_true(text.n > 0);
    }
    return status;
}

static void test_paths(void **state)
{
    (void)state;
    assert_int_equal(tl_grpc_own_find(TL_STR_LIT("/grpc.health.v1.Health/Check")),
                     TL_GRPC_OWN_HEALTH_CHECK);
    assert_int_equal(tl_grpc_own_find(TL_STR_LIT("/grpc.health.v1.Health/check")),
                     TL_GRPC_OWN_NONE);
    assert_int_equal(tl_grpc_own_find(TL_STR_LIT("")), TL_GRPC_OWN_NONE);
    assert_false(tl_grpc_own_streams(TL_GRPC_OWN_HEALTH_CHECK));
    assert_true(tl_grpc_own_streams(TL_GRPC_OWN_HEALTH_WATCH));
    assert_true(tl_grpc_own_streams(TL_GRPC_OWN_REFLECTION_ALPHA));
}

static int health(enum tl_grpc_own method, const char *service, int *serving)
{
    TpHealth__HealthCheckRequest q = TP_HEALTH__HEALTH_CHECK_REQUEST__INIT;
    TpHealth__HealthCheckResponse *r = NULL;
    q.service = (char *)(uintptr_t)service;
    int status = ask(method, &q, &tp_health__health_check_response__descriptor, &r);
    *serving = r ? (int)r->status : -1;
    return status;
}

static void test_health(void **state)
{
    struct tl_str body, text;
    TpHealth__HealthListResponse *list;
    TpHealth__HealthListRequest q = TP_HEALTH__HEALTH_LIST_REQUEST__INIT;
    int serving;
    (void)state;
    static const char *const served[] = {"", "temporal.api.workflowservice.v1.WorkflowService",
                                         "grpc.reflection.v1.ServerReflection"};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(health(TL_GRPC_OWN_HEALTH_CHECK, served[i], &serving), 0);
        assert_int_equal(serving, 1);
        assert_int_equal(health(TL_GRPC_OWN_HEALTH_WATCH, served[i], &serving), 0);
        assert_int_equal(serving, 1);
    }
    assert_int_equal(health(TL_GRPC_OWN_HEALTH_CHECK, "none", &serving), 5);
    assert_int_equal(health(TL_GRPC_OWN_HEALTH_WATCH, "none", &serving), 0);
    assert_int_equal(serving, 3);
    assert_int_equal(
        tl_grpc_own_answer(TL_GRPC_OWN_HEALTH_CHECK, TL_STR_LIT("\x0a\x7f"), &arena, &body, &text),
        3);
    assert_int_equal(
        ask(TL_GRPC_OWN_HEALTH_LIST, &q, &tp_health__health_list_response__descriptor, &list), 0);
    assert_int_equal(list->n_statuses, TL_SERVICE_COUNT + 4);
}

static TpReflection__ServerReflectionResponse *
reflect(TpReflection__ServerReflectionRequest__MessageRequestCase what, const char *name)
{
    TpReflection__ServerReflectionRequest q = TP_REFLECTION__SERVER_REFLECTION_REQUEST__INIT;
    TpReflection__ServerReflectionResponse *r = NULL;
    q.message_request_case = what;
    q.file_by_filename = (char *)(uintptr_t)name; /* they all share the place */
    assert_int_equal(
        ask(TL_GRPC_OWN_REFLECTION, &q, &tp_reflection__server_reflection_response__descriptor, &r),
        0);
    assert_non_null(r->original_request);
    assert_int_equal(r->original_request->message_request_case, what);
    return r;
}

#define ASK(what) TP_REFLECTION__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##what
#define GOT(what) TP_REFLECTION__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##what

static void test_services(void **state)
{
    (void)state;
    TpReflection__ServerReflectionResponse *r = reflect(ASK(LIST_SERVICES), "");
    assert_int_equal(r->message_response_case, GOT(LIST_SERVICES_RESPONSE));
    assert_int_equal(r->list_services_response->n_service, TL_SERVICE_COUNT + 3);
    for (size_t i = 0; i < r->list_services_response->n_service; i++) {
        /* Each can be looked up. */
        const char *name = r->list_services_response->service[i]->name;
        assert_int_equal(reflect(ASK(FILE_CONTAINING_SYMBOL), name)->message_response_case,
                         GOT(FILE_DESCRIPTOR_RESPONSE));
    }
}

/* Every method and message that the transport knows has a description. */
static void test_complete(void **state)
{
    (void)state;
    for (int m = 0; m < TL_METHOD_COUNT; m++) {
        const struct tl_method_info *info = tl_method_info((enum tl_method)m);
        char *name = tl_arena_printf(&arena, "%s.%s", tl_service_name(info->service), info->name);
        assert_int_equal(reflect(ASK(FILE_CONTAINING_SYMBOL), name)->message_response_case,
                         GOT(FILE_DESCRIPTOR_RESPONSE));
    }
    for (size_t i = 0; tl_pb_message_at(i); i++) {
        const char *name = tl_pb_message_at(i)->name;
        bool wanted = strncmp(name, "temporal.", 9) == 0 || strncmp(name, "grpc.", 5) == 0;
        if (wanted) {
            assert_int_equal(reflect(ASK(FILE_CONTAINING_SYMBOL), name)->message_response_case,
                             GOT(FILE_DESCRIPTOR_RESPONSE));
        }
    }
}

static void test_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < tl_descriptor_file_count; i++) {
        const struct tl_descriptor_file *f = &tl_descriptor_files[i];
        assert_null(strstr(f->name, "temporal_lua"));
        for (const int *dep = f->deps; *dep >= 0; dep++) {
            assert_true(*dep < (int)i);
        }
        TpReflection__ServerReflectionResponse *r = reflect(ASK(FILE_BY_FILENAME), f->name);
        assert_int_equal(r->message_response_case, GOT(FILE_DESCRIPTOR_RESPONSE));
        ProtobufCBinaryData *first = r->file_descriptor_response->file_descriptor_proto;
        assert_int_equal(first->len, f->bytes.n);
        assert_memory_equal(first->data, f->bytes.p, f->bytes.n);
    }
    for (size_t i = 1; i < tl_descriptor_symbol_count; i++) {
        assert_true(strcmp(tl_descriptor_symbols[i - 1].name, tl_descriptor_symbols[i].name) < 0);
    }
}

static void test_absent(void **state)
{
    struct tl_str body, text;
    (void)state;
    TpReflection__ServerReflectionResponse *r = reflect(ASK(FILE_BY_FILENAME), "none.proto");
    assert_int_equal(r->message_response_case, GOT(ERROR_RESPONSE));
    assert_int_equal(r->error_response->error_code, 5);
    assert_string_equal(r->error_response->error_message, "file not found: none.proto");
    r = reflect(ASK(FILE_CONTAINING_SYMBOL), "temporal.api");
    assert_int_equal(r->message_response_case, GOT(ERROR_RESPONSE));
    r = reflect(ASK(ALL_EXTENSION_NUMBERS_OF_TYPE), "temporal.api.common.v1.Payload");
    assert_int_equal(r->message_response_case, GOT(ALL_EXTENSION_NUMBERS_RESPONSE));
    assert_int_equal(r->all_extension_numbers_response->n_extension_number, 0);
    r = reflect(ASK(ALL_EXTENSION_NUMBERS_OF_TYPE), "none");
    assert_int_equal(r->message_response_case, GOT(ERROR_RESPONSE));
    assert_int_equal(
        tl_grpc_own_answer(TL_GRPC_OWN_REFLECTION, TL_STR_LIT(""), &arena, &body, &text), 3);
    assert_int_equal(
        tl_grpc_own_answer(TL_GRPC_OWN_REFLECTION, TL_STR_LIT("\x1a\xff"), &arena, &body, &text),
        3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_paths, setup, teardown),
        cmocka_unit_test_setup_teardown(test_health, setup, teardown),
        cmocka_unit_test_setup_teardown(test_services, setup, teardown),
        cmocka_unit_test_setup_teardown(test_complete, setup, teardown),
        cmocka_unit_test_setup_teardown(test_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_absent, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
