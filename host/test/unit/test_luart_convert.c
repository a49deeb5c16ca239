/* Failures and payloads through Lua and back: nothing that other SDKs wrote may get lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#include "base/mem.h"
#include "luart/convert.h"
#include "proto/pb.h"

static void *alloc(void *ud, void *p, size_t old_size, size_t n)
{
    (void)ud;
    (void)old_size;
    if (n == 0) {
        tl_mem_free(p);
        return NULL;
    }
    return tl_mem_realloc(p, n);
}

struct fixture {
    lua_State *L;
    struct tl_arena arena;
};

static int open_state(void **state)
{
    struct fixture *f = TL_NEW(struct fixture);
    f->L = lua_newstate(alloc, NULL);
    tl_vm_seal(f->L);
    tl_arena_init(&f->arena, 1 << 26);
    *state = f;
    return 0;
}

static int close_state(void **state)
{
    struct fixture *f = *state;
    lua_close(f->L);
    tl_arena_deinit(&f->arena);
    tl_mem_free(f);
    return 0;
}

static char *text(struct fixture *f, const char *s)
{
    return tl_pb_cstr(&f->arena, tl_str(s));
}

static TpFailure__Failure *failure(struct fixture *f, const char *message,
                                   TpFailure__Failure__FailureInfoCase kind, void *info,
                                   TpFailure__Failure *cause)
{
    TpFailure__Failure *out = TL_PB_NEW(&f->arena, TpFailure__Failure, tp_failure__failure);
    out->message = text(f, message);
    out->source = text(f, "LuaSDK");
    out->stack_trace = text(f, "here");
    out->failure_info_case = kind;
    out->application_failure_info = info; /* all members of the union are pointers */
    out->cause = cause;
    return out;
}

#define INFO(f, Type, name) TL_PB_NEW(&(f)->arena, TpFailure__##Type, tp_failure__##name)
#define KIND(x) TP_FAILURE__FAILURE__FAILURE_INFO_##x

static TpCommon__Payloads *details(struct fixture *f)
{
    lua_pushinteger(f->L, 7);
    lua_pushliteral(f->L, "x");
    TpCommon__Payloads *p = tl_vm_payloads_encode(f->L, 1, 2, &f->arena, "detail");
    lua_settop(f->L, 0);
    return p;
}

static TpFailure__Failure *chain(struct fixture *f)
{
    TpFailure__ApplicationFailureInfo *app =
        INFO(f, ApplicationFailureInfo, application_failure_info);
    app->type = text(f, "Declined");
    app->non_retryable = 1;
    app->details = details(f);
    app->next_retry_delay = tl_pb_duration_ms(&f->arena, 2500);
    app->category = TP_ENUMS__APPLICATION_ERROR_CATEGORY__APPLICATION_ERROR_CATEGORY_BENIGN;
    TpFailure__TimeoutFailureInfo *timeout = INFO(f, TimeoutFailureInfo, timeout_failure_info);
    timeout->timeout_type = TP_ENUMS__TIMEOUT_TYPE__TIMEOUT_TYPE_HEARTBEAT;
    timeout->last_heartbeat_details = details(f);
    TpFailure__ActivityFailureInfo *activity = INFO(f, ActivityFailureInfo, activity_failure_info);
    activity->scheduled_event_id = 5;
    activity->started_event_id = 6;
    activity->identity = text(f, "worker");
    activity->activity_id = text(f, "1");
    activity->activity_type =
        TL_PB_NEW(&f->arena, TpCommon__ActivityType, tp_common__activity_type);
    activity->activity_type->name = text(f, "charge");
    activity->retry_state = TP_ENUMS__RETRY_STATE__RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED;
    TpFailure__ChildWorkflowExecutionFailureInfo *child =
        INFO(f, ChildWorkflowExecutionFailureInfo, child_workflow_execution_failure_info);
    child->namespace_ = text(f, "default");
    child->workflow_execution =
        TL_PB_NEW(&f->arena, TpCommon__WorkflowExecution, tp_common__workflow_execution);
    child->workflow_execution->workflow_id = text(f, "w");
    child->workflow_execution->run_id = text(f, "r");
    child->workflow_type = TL_PB_NEW(&f->arena, TpCommon__WorkflowType, tp_common__workflow_type);
    child->workflow_type->name = text(f, "Child");
    child->initiated_event_id = 9;
    TpFailure__CanceledFailureInfo *canceled = INFO(f, CanceledFailureInfo, canceled_failure_info);
    canceled->details = details(f);
    TpFailure__TerminatedFailureInfo *terminated =
        INFO(f, TerminatedFailureInfo, terminated_failure_info);
    TpFailure__ServerFailureInfo *server = INFO(f, ServerFailureInfo, server_failure_info);
    server->non_retryable = 1;
    TpFailure__Failure *x = failure(f, "app", KIND(APPLICATION_FAILURE_INFO), app, NULL);
    x = failure(f, "timeout", KIND(TIMEOUT_FAILURE_INFO), timeout, x);
    x = failure(f, "server", KIND(SERVER_FAILURE_INFO), server, x);
    x = failure(f, "terminated", KIND(TERMINATED_FAILURE_INFO), terminated, x);
    x = failure(f, "canceled", KIND(CANCELED_FAILURE_INFO), canceled, x);
    x = failure(f, "child", KIND(CHILD_WORKFLOW_EXECUTION_FAILURE_INFO), child, x);
    return failure(f, "activity", KIND(ACTIVITY_FAILURE_INFO), activity, x);
}

static void failures_come_back_whole(void **state)
{
    struct fixture *f = *state;
    TpFailure__Failure *before = chain(f);
    struct tl_str a, b;
    struct tl_error err;
    tl_vm_failure_decode(f->L, before);
    assert_true(tl_vm_error_has(f->L, -1, "CancelledError"));
    assert_true(tl_vm_error_has(f->L, -1, "Declined"));
    assert_false(tl_vm_error_has(f->L, -1, "Accepted"));
    lua_getfield(f->L, -1, "retry_state");
    assert_string_equal(lua_tostring(f->L, -1), "maximum_attempts_reached");
    lua_pop(f->L, 1);
    assert_int_equal(tl_pb_encode_arena(before, &f->arena, &a, &err), TL_OK);
    TpFailure__Failure *after = tl_vm_failure_encode(f->L, -1, &f->arena);
    assert_int_equal(tl_pb_encode_arena(after, &f->arena, &b, &err), TL_OK);
    assert_int_equal(a.n, b.n);
    assert_memory_equal(a.p, b.p, a.n);
    assert_int_equal(lua_gettop(f->L), 1);
}

static void hidden_attributes_are_read(void **state)
{
    struct fixture *f = *state;
    TpFailure__Failure *x = failure(f, "Encoded failure", 0, NULL, NULL);
    lua_newtable(f->L);
    lua_pushliteral(f->L, "the real message");
    lua_setfield(f->L, -2, "message");
    lua_pushliteral(f->L, "the real trace");
    lua_setfield(f->L, -2, "stack_trace");
    x->encoded_attributes = tl_vm_payload_encode(f->L, 1, &f->arena, "attributes");
    lua_settop(f->L, 0);
    tl_vm_failure_decode(f->L, x);
    lua_getfield(f->L, -1, "message");
    assert_string_equal(lua_tostring(f->L, -1), "the real message");
}

static int make_cycle(lua_State *L)
{
    tl_vm_push_error(L, "ApplicationError", "loop");
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "cause");
    return 1;
}

static void cyclic_causes_end(void **state)
{
    struct fixture *f = *state;
    make_cycle(f->L);
    assert_false(tl_vm_error_has(f->L, -1, "Other"));
    TpFailure__Failure *x = tl_vm_failure_encode(f->L, -1, &f->arena);
    int depth = 0;
    for (; x; x = x->cause) {
        depth++;
    }
    assert_true(depth > 1 && depth <= 50);
}

static void unknown_encodings_stay_as_they_are(void **state)
{
    struct fixture *f = *state;
    struct tl_str a, b;
    struct tl_error err;
    lua_pushliteral(f->L, "plain");
    TpCommon__Payload *p = tl_vm_payload_encode(f->L, 1, &f->arena, "value");
    p->metadata[0]->value = tl_pb_bytes_view(TL_STR_LIT("binary/protobuf"));
    p->data = tl_pb_bytes_view(TL_STR_LIT("\x08\x01\0"));
    tl_vm_payload_decode(f->L, p);
    assert_true(lua_istable(f->L, -1));
    TpCommon__Payload *again = tl_vm_payload_encode(f->L, -1, &f->arena, "value");
    assert_int_equal(tl_pb_encode_arena(p, &f->arena, &a, &err), TL_OK);
    assert_int_equal(tl_pb_encode_arena(again, &f->arena, &b, &err), TL_OK);
    assert_int_equal(a.n, b.n);
    assert_memory_equal(a.p, b.p, a.n);
}

/* Protected: encodes the table at index 2 into the arena at index 1. */
static int encode_into(lua_State *L)
{
    tl_vm_json_encode(L, 2, lua_touserdata(L, 1), "value");
    return 0;
}

static void a_full_arena_is_an_error(void **state)
{
    struct fixture *f = *state;
    struct tl_arena small;
    tl_arena_init(&small, 4096);
    lua_pushcfunction(f->L, encode_into);
    lua_pushlightuserdata(f->L, &small);
    lua_newtable(f->L);
    for (int i = 1; i <= 2000; i++) {
        lua_pushliteral(f->L, "many bytes");
        lua_rawseti(f->L, -2, i);
    }
    assert_int_equal(lua_pcall(f->L, 2, 0, 0), LUA_ERRRUN);
    assert_string_equal(lua_tostring(f->L, -1), "value: the encoded value is too large");
    tl_arena_deinit(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(failures_come_back_whole, open_state, close_state),
        cmocka_unit_test_setup_teardown(hidden_attributes_are_read, open_state, close_state),
        cmocka_unit_test_setup_teardown(cyclic_causes_end, open_state, close_state),
        cmocka_unit_test_setup_teardown(unknown_encodings_stay_as_they_are, open_state,
                                        close_state),
        cmocka_unit_test_setup_teardown(a_full_arena_is_an_error, open_state, close_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
