/* Goal: the in-process transport answers every call exactly once, also around cancellation.
 * Method: a service that parks requests and is told when to answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rpc/rpc.h"

struct parked {
    struct tl_rpc_request *request;
    struct tl_rpc_request *notice;
    int handled, cancelled;
};

static void park(void *ud, struct tl_rpc_request *req)
{
    struct parked *p = ud;
    p->request = req;
    p->handled++;
}

static void note_cancel(void *ud, struct tl_rpc_request *req)
{
    struct parked *p = ud;
    p->notice = req;
    p->cancelled++;
}

struct got {
    int count, status;
    char body[64], message[64];
};

static void done(void *ud, struct tl_rpc_result *res)
{
    struct got *g = ud;
    g->count++;
    g->status = res->status;
    memcpy(g->body, res->body.p, res->body.n + 1);
    memcpy(g->message, res->message.p, res->message.n + 1);
    tl_rpc_result_free(res);
}

static const struct tl_str none = {NULL, 0};

static void answers_once_with_the_bytes(void **state)
{
    (void)state;
    struct parked p = {0};
    struct got g = {0};
    struct tl_rpc_service service = {&p, park, note_cancel};
    struct tl_channel *ch = tl_local_channel_open(&service);
    char bytes[] = "ping";
    struct tl_rpc_call *call =
        tl_channel_call(ch, TL_M_GetSystemInfo, tl_str(bytes), 5000, done, &g);
    bytes[0] = 'x'; /* the transport must have copied */
    assert_int_equal(p.handled, 1);
    assert_true(tl_str_eqc(p.request->body, "ping"));
    assert_int_equal(p.request->timeout_ns, 5000);
    assert_int_equal(g.count, 0);
    tl_rpc_reply(p.request, 0, none, none, TL_STR_LIT("pong"));
    assert_int_equal(g.count, 1);
    assert_string_equal(g.body, "pong");
    tl_rpc_cancel(call); /* too late: no notice, no second end */
    assert_int_equal(p.cancelled, 0);
    tl_rpc_call_release(call);
    tl_channel_close(ch);
}

static void cancel_reaches_the_server_and_the_reply_still_comes(void **state)
{
    (void)state;
    struct parked p = {0};
    struct got g = {0};
    struct tl_rpc_service service = {&p, park, note_cancel};
    struct tl_channel *ch = tl_local_channel_open(&service);
    struct tl_rpc_call *call = tl_channel_call(ch, TL_M_PollWorkflowTaskQueue, none, 0, done, &g);
    tl_rpc_cancel(call);
    tl_rpc_cancel(call);
    assert_int_equal(p.cancelled, 1);
    assert_true(tl_rpc_request_is_cancelled(p.request));
    tl_rpc_call_release(call); /* the request outlives the caller's handle */
    assert_int_equal(g.count, 0);
    tl_rpc_reply(p.request, 1, TL_STR_LIT("cancelled"), none, none);
    tl_rpc_request_release(p.notice);
    assert_int_equal(g.count, 1);
    assert_int_equal(g.status, 1);
    assert_string_equal(g.message, "cancelled");
    tl_channel_close(ch);
}

static void methods_are_complete_and_found_by_name_and_path(void **state)
{
    (void)state;
    for (int i = 0; i < TL_METHOD_COUNT; i++) {
        const struct tl_method_info *info = tl_method_info((enum tl_method)i);
        enum tl_method found;
        assert_true(tl_method_find(tl_str(info->name), &found));
        assert_int_equal(found, i);
        assert_true(tl_method_find(tl_str(info->path), &found));
        assert_int_equal(found, i);
        assert_non_null(info->input);
        assert_non_null(info->output);
    }
    enum tl_method m;
    assert_false(tl_method_find(TL_STR_LIT("StartWorkflow"), &m));
    assert_string_equal(tl_method_info(TL_M_StartWorkflowExecution)->path,
                        "/temporal.api.workflowservice.v1.WorkflowService/StartWorkflowExecution");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_once_with_the_bytes),
        cmocka_unit_test(cancel_reaches_the_server_and_the_reply_still_comes),
        cmocka_unit_test(methods_are_complete_and_found_by_name_and_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
