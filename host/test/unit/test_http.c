/* Goal: HTTP requests become the RPC and the message that google.api.http means, answers become the
 * right JSON, and requests of foreign pages are told apart.
 * Method: the pure parts by themselves; the listener is tested over sockets by spec/server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <temporal/api/workflowservice/v1/request_response.pb-c.h>

#include "http/listen_int.h"
#include "http/transcode.h"
#include "proto/pb.h"
#include "tl_enums.h"

static void assert_str(struct tl_str have, const char *want)
{
    assert_int_equal(have.n, strlen(want));
    assert_memory_equal(have.p, want, have.n);
}

static void test_routes(void **state)
{
    struct tl_http_match m;
    struct tl_error err;
    (void)state;
    assert_int_equal(tl_http_route_find(TL_STR_LIT("GET"),
                                        TL_STR_LIT("/api/v1/namespaces/a/workflows/b%2Fc/history"),
                                        &m, &err),
                     TL_OK);
    assert_int_equal(m.route->method, TL_M_GetWorkflowExecutionHistory);
    assert_int_equal(m.var_count, 2);
    assert_str(m.vars[1].field, "execution.workflow_id");
    assert_str(m.vars[1].text, "b%2Fc");
    assert_int_equal(
        tl_http_route_find(TL_STR_LIT("POST"), TL_STR_LIT("/namespaces/a/workflows/b"), &m, &err),
        TL_OK);
    assert_int_equal(m.route->method, TL_M_StartWorkflowExecution);
    assert_int_equal(tl_http_route_find(TL_STR_LIT("PUT"), TL_STR_LIT("/cluster"), &m, &err),
                     TL_EUNIMPLEMENTED);
    static const char *const nowhere[] = {"",
                                          "x",
                                          "/",
                                          "//",
                                          "/api/v1/namespaces/",
                                          "/api/v1/namespaces/a/nothing",
                                          "/api/v1/namespaces//workflows/b"};
    for (size_t i = 0; i < sizeof nowhere / sizeof nowhere[0]; i++) {
        assert_int_equal(tl_http_route_find(TL_STR_LIT("GET"), tl_str(nowhere[i]), &m, &err),
                         TL_ENOTFOUND);
    }
}

/* Every binding leads to its own method when its variables stand for themselves. */
static void test_every_route(void **state)
{
    (void)state;
    assert_true(tl_http_route_count > 200);
    for (size_t i = 0; i < tl_http_route_count; i++) {
        struct tl_http_match m;
        struct tl_error err;
        const struct tl_http_route *r = &tl_http_routes[i];
        struct tl_arena arena;
        tl_arena_init(&arena, TL_ARENA_UNLIMITED);
        assert_int_equal(tl_http_route_find(tl_str(r->verb), tl_str(r->path), &m, &err), TL_OK);
        assert_int_equal(m.route->method, r->method);
        for (size_t k = 0; k < m.var_count; k++) {
            bool known = false;
            bool is_enum = tl_str_eqc(m.vars[k].field, "type");
            ProtobufCMessage *msg = tl_pb_new(&arena, tl_method_info(r->method)->input);
            tl_rc rc =
                tl_http_set_field(msg, m.vars[k].field, is_enum ? TL_STR_LIT("0") : TL_STR_LIT("x"),
                                  &arena, &known, &err);
            if (rc != TL_OK || !known) {
                fail_msg("%s %s: %s", r->verb, r->path, rc ? err.message : "no such field");
            }
        }
        tl_arena_deinit(&arena);
    }
}

static struct tl_http_param *param(struct tl_http_request *r, const char *name, const char *value)
{
    struct tl_http_param *p = TL_ARENA_NEW(&r->arena, struct tl_http_param), **at = &r->params;
    p->name = tl_str(name);
    p->value = tl_str(value);
    while (*at) {
        at = &(*at)->next;
    }
    return *at = p;
}

static tl_rc read_as(struct tl_http_request *r, const char *verb, const char *path,
                     struct tl_http_json form, void *out, struct tl_error *err)
{
    struct tl_http_match m;
    struct tl_str bytes;
    assert_int_equal(tl_http_route_find(tl_str(verb), tl_str(path), &m, err), TL_OK);
    tl_rc rc = tl_http_read_request(r, &m, form, &bytes, err);
    if (rc == TL_OK) {
        assert_int_equal(
            tl_pb_decode(tl_method_info(m.route->method)->input, bytes, &r->arena, out, err),
            TL_OK);
    }
    return rc;
}

static void test_query(void **state)
{
    struct tl_http_request r = {0};
    struct tl_error err;
    TpWs__GetWorkflowExecutionHistoryRequest *q;
    static const char path[] = "/namespaces/a%20b/workflows/x%2fy/history";
    (void)state;
    tl_arena_init(&r.arena, TL_ARENA_UNLIMITED);
    param(&r, "maximumPageSize", "7");
    param(&r, "wait_new_event", "true");
    param(&r, "execution.runId", "r");
    param(&r, "nextPageToken", "AQI=");
    param(&r, "historyEventFilterType", "HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT");
    param(&r, "pretty", "");
    assert_int_equal(read_as(&r, "GET", path, (struct tl_http_json){0}, &q, &err), TL_OK);
    assert_string_equal(q->namespace_, "a b");
    assert_string_equal(q->execution->workflow_id, "x/y");
    assert_string_equal(q->execution->run_id, "r");
    assert_int_equal(q->maximum_page_size, 7);
    assert_true(q->wait_new_event);
    assert_int_equal(q->next_page_token.len, 2);
    assert_int_equal(q->history_event_filter_type, HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT);
    static const char *const bad[][2] = {{"maximumPageSize", "seven"},
                                         {"waitNewEvent", "maybe"},
                                         {"nextPageToken", "*"},
                                         {"historyEventFilterType", "NONSENSE"}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        r.params = NULL;
        param(&r, bad[i][0], bad[i][1]);
        assert_int_equal(
            tl_rc_grpc_status(read_as(&r, "GET", path, (struct tl_http_json){0}, &q, &err)), 3);
        assert_non_null(strstr(err.message, "parameter "));
    }
    r.params = NULL;
    assert_int_equal(tl_rc_grpc_status(read_as(&r, "GET", "/namespaces/%zz/workflows/x/history",
                                               (struct tl_http_json){0}, &q, &err)),
                     3);
    assert_int_equal(tl_rc_grpc_status(read_as(&r, "GET", "/namespaces/%00/workflows/x/history",
                                               (struct tl_http_json){0}, &q, &err)),
                     3);
    tl_arena_deinit(&r.arena);
}

static void test_body(void **state)
{
    struct tl_http_request r = {0};
    struct tl_error err;
    TpWs__StartWorkflowExecutionRequest *q;
    static const char path[] = "/api/v1/namespaces/n/workflows/w";
    (void)state;
    tl_arena_init(&r.arena, TL_ARENA_UNLIMITED);
    r.body = TL_STR_LIT("{\"workflowId\":\"other\",\"workflow_type\":{\"name\":\"t\"},"
                        "\"input\":[{\"a\":1}],\"workflowRunTimeout\":\"5s\"}");
    assert_int_equal(read_as(&r, "POST", path, (struct tl_http_json){0}, &q, &err), TL_OK);
    assert_string_equal(q->workflow_id, "w"); /* the path wins */
    assert_string_equal(q->workflow_type->name, "t");
    assert_int_equal(q->input->n_payloads, 1);
    assert_str(tl_pb_str(q->input->payloads[0]->data), "{\"a\":1}");
    assert_int_equal(q->workflow_run_timeout->seconds, 5);
    /* Without the shorthand a payload has to be written as one. */
    assert_int_not_equal(
        read_as(&r, "POST", path,
                tl_http_json_of(TL_STR_LIT("application/json+no-payload-shorthand")), &q, &err),
        TL_OK);
    r.body = TL_STR_LIT("{\"input\":{\"payloads\":[{\"data\":\"MQ==\"}]}}");
    assert_int_equal(read_as(&r, "POST", path,
                             tl_http_json_of(TL_STR_LIT("application/json+no-payload-shorthand")),
                             &q, &err),
                     TL_OK);
    assert_str(tl_pb_str(q->input->payloads[0]->data), "1");
    r.body = TL_STR_LIT("");
    assert_int_equal(read_as(&r, "POST", path, (struct tl_http_json){0}, &q, &err), TL_OK);
    static const char *const bad[] = {"{", "[]", "{\"nope\":1}", "{\"workflowType\":7}", "\xff"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        r.body = tl_str(bad[i]);
        assert_int_equal(
            tl_rc_grpc_status(read_as(&r, "POST", path, (struct tl_http_json){0}, &q, &err)), 3);
    }
    tl_arena_deinit(&r.arena);
}

static void test_fields(void **state)
{
    struct tl_arena arena;
    struct tl_error err;
    bool known;
    (void)state;
    tl_arena_init(&arena, TL_ARENA_UNLIMITED);
    TpWs__ListSchedulesRequest *list =
        TL_PB_NEW(&arena, TpWs__ListSchedulesRequest, tp_ws__list_schedules_request);
    assert_int_equal(tl_http_set_field(&list->base, TL_STR_LIT("nothing.here"), TL_STR_LIT("1"),
                                       &arena, &known, &err),
                     TL_OK);
    assert_false(known);
    /* Repeated fields grow; a message that is not a value of JSON is refused. */
    TpWs__DescribeTaskQueueRequest *queue =
        TL_PB_NEW(&arena, TpWs__DescribeTaskQueueRequest, tp_ws__describe_task_queue_request);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(
            tl_http_set_field(&queue->base, TL_STR_LIT("taskQueueTypes"),
                              i ? TL_STR_LIT("TASK_QUEUE_TYPE_ACTIVITY") : TL_STR_LIT("1"), &arena,
                              &known, &err),
            TL_OK);
        assert_true(known);
    }
    assert_int_equal(queue->n_task_queue_types, 3);
    assert_int_equal(queue->task_queue_types[0], TASK_QUEUE_TYPE_WORKFLOW);
    assert_int_equal(queue->task_queue_types[2], TASK_QUEUE_TYPE_ACTIVITY);
    assert_int_equal(tl_rc_grpc_status(tl_http_set_field(&queue->base, TL_STR_LIT("taskQueue"),
                                                         TL_STR_LIT("q"), &arena, &known, &err)),
                     3);
    tl_arena_deinit(&arena);
}

static void test_answers(void **state)
{
    struct tl_arena arena;
    struct tl_buf out;
    struct tl_error err;
    (void)state;
    tl_arena_init(&arena, TL_ARENA_UNLIMITED);
    tl_buf_init(&out, 65536);
    tl_http_write_status(5, TL_STR_LIT("no \"such\" thing"), (struct tl_str){0},
                         (struct tl_http_json){0}, &arena, &out);
    assert_str(tl_buf_str(&out), "{\"code\":5,\"message\":\"no \\\"such\\\" thing\"}");
    tl_buf_clear(&out);
    tl_http_write_status(5, TL_STR_LIT("x"), TL_STR_LIT("\xff\xff"), (struct tl_http_json){0},
                         &arena, &out);
    assert_str(tl_buf_str(&out), "{\"code\":5,\"message\":\"x\"}");
    tl_buf_clear(&out);
    tl_http_write_status(5, TL_STR_LIT("\xff"), (struct tl_str){0}, (struct tl_http_json){0},
                         &arena, &out);
    assert_non_null(strstr(out.p, "\"code\":13"));
    tl_buf_clear(&out);
    assert_int_equal(tl_http_write_message(&tp_ws__start_workflow_execution_response__descriptor,
                                           TL_STR_LIT("\x0a\x01r"), (struct tl_http_json){true, 0},
                                           &arena, &out, &err),
                     TL_OK);
    assert_str(tl_buf_str(&out), "{\n  \"runId\": \"r\"\n}");
    static const int codes[][2] = {{0, 200}, {3, 400},  {5, 404},  {6, 409},  {7, 403},  {8, 429},
                                   {9, 400}, {12, 501}, {13, 500}, {14, 503}, {16, 401}, {99, 500}};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        assert_int_equal(tl_http_status_of(codes[i][0]), codes[i][1]);
    }
    static const char *const types[] = {"application/json", "application/json+pretty",
                                        "application/json+no-payload-shorthand",
                                        "application/json+pretty+no-payload-shorthand"};
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(tl_http_json_type(tl_http_json_of(tl_str(types[i]))), types[i]);
    }
    assert_string_equal(tl_http_json_type(tl_http_json_of(TL_STR_LIT("*/*"))), types[0]);
    tl_buf_deinit(&out);
    tl_arena_deinit(&arena);
}

static void test_hosts(void **state)
{
    static const struct {
        const char *host, *origin;
        bool loopback, open; /* allowed on a loopback port; on another */
    } rows[] = {
        {"localhost:7243", "", true, true},
        {"LocalHost", "", true, true},
        {"a.localhost:1", "", true, true},
        {"127.0.0.1:1", "", true, true},
        {"127.9.9.9", "", true, true},
        {"[::1]:7243", "", true, true},
        {"", "", false, true},
        {"evil.example", "", false, true},
        {"127.0.0.1.evil.example", "", false, true},
        {"evillocalhost", "", false, true},
        {"localhost:1", "http://localhost:8233", true, true},
        {"localhost:1", "http://evil.example", false, false},
        {"localhost:1", "null", false, false},
        {"[::1]:1", "http://[::1]:2", true, true},
        {"server.example", "https://server.example", false, true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tl_str host = tl_str(rows[i].host), origin = tl_str(rows[i].origin);
        assert_int_equal(tl_http_host_allowed(host, origin, true), rows[i].loopback);
        assert_int_equal(tl_http_host_allowed(host, origin, false), rows[i].open);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_routes), cmocka_unit_test(test_every_route),
        cmocka_unit_test(test_query),  cmocka_unit_test(test_body),
        cmocka_unit_test(test_fields), cmocka_unit_test(test_answers),
        cmocka_unit_test(test_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
