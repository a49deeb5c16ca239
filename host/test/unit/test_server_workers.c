/* Goal: workers as they tell of themselves: heartbeats, lists with filters and pages, descriptions, silence. */
#include "test_server_fixture.h"

/* The message of a call that must fail with this status. */
static const char *fails(struct fx *f, enum tl_method m, const void *req, int status)
{
    int got = 0;
    char *message = NULL;
    fx_try(f, m, req, &got, &message, NULL);
    assert_int_equal(got, status);
    return message;
}

static void sleep_for(struct fx *f, int64_t seconds)
{
    f->now_ns += seconds * TL_NS_PER_S;
    fx_pump(f);
}

static TpWorker__WorkerHeartbeat heartbeat(const char *key, const char *queue, int status)
{
    static TpWorker__WorkerHostInfo host = TP_WORKER__WORKER_HOST_INFO__INIT;
    TpWorker__WorkerHeartbeat h = TP_WORKER__WORKER_HEARTBEAT__INIT;
    host.host_name = S("box");
    h.worker_instance_key = (char *)(uintptr_t)key;
    h.task_queue = (char *)(uintptr_t)queue;
    h.worker_identity = S("me@box");
    h.sdk_name = S("temporal-test");
    h.status = (TpEnums__WorkerStatus)status;
    h.host_info = &host;
    return h;
}

static void tell(struct fx *f, TpWorker__WorkerHeartbeat *h)
{
    TpWs__RecordWorkerHeartbeatRequest r = TP_WS__RECORD_WORKER_HEARTBEAT_REQUEST__INIT;
    r.namespace_ = S("default");
    r.worker_heartbeat = &h;
    r.n_worker_heartbeat = 1;
    fx_must(f, TL_M_RecordWorkerHeartbeat, &r);
}

static const TpWs__ListWorkersResponse *list(struct fx *f, const char *query, int32_t page_size,
                                             struct tl_str token)
{
    TpWs__ListWorkersRequest r = TP_WS__LIST_WORKERS_REQUEST__INIT;
    r.namespace_ = S("default");
    r.query = (char *)(uintptr_t)query;
    r.page_size = page_size;
    r.next_page_token = tl_pb_bytes_view(token);
    return fx_must(f, TL_M_ListWorkers, &r);
}

static void finds(struct fx *f, const char *query, size_t n)
{
    TpWs__CountWorkersRequest r = TP_WS__COUNT_WORKERS_REQUEST__INIT;
    r.namespace_ = S("default");
    r.query = (char *)(uintptr_t)query;
    const TpWs__CountWorkersResponse *count = fx_must(f, TL_M_CountWorkers, &r);
    if ((size_t)count->count != n || list(f, query, 0, (struct tl_str){0})->n_workers != n) {
        fail_msg("%s finds %lld", query, (long long)count->count);
    }
}

static void three_workers(struct fx *f)
{
    TpDeployment__WorkerDeploymentVersion v = TP_DEPLOYMENT__WORKER_DEPLOYMENT_VERSION__INIT;
    TpWorker__WorkerHeartbeat a = heartbeat("a", "q", WORKER_STATUS_RUNNING);
    TpWorker__WorkerHeartbeat b = heartbeat("b", "q", WORKER_STATUS_SHUTTING_DOWN);
    TpWorker__WorkerHeartbeat c = heartbeat("c", "other", WORKER_STATUS_RUNNING);
    Google__Protobuf__Timestamp t = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    v.deployment_name = S("orders");
    v.build_id = S("v1");
    t.seconds = 1700000000; /* 2023-11-14T22:13:20Z */
    c.deployment_version = &v;
    c.start_time = &t;
    tell(f, &c);
    tell(f, &b);
    tell(f, &a);
}

static void filters_choose(void **state)
{
    struct fx *f = *state;
    three_workers(f);
    finds(f, "", 3);
    finds(f, "TaskQueue = 'q'", 2);
    finds(f, "taskQueue=\"q\"", 2);
    finds(f, "TaskQueue != 'q' AND Status = 'Running'", 1);
    finds(f, "Status = 'WORKER_STATUS_SHUTTING_DOWN' OR BuildId = 'v1'", 2);
    finds(f, "NOT (TaskQueue = 'q' OR DeploymentName = 'orders')", 0);
    finds(f, "WorkerInstanceKey IN ('a', 'c', 'x')", 2);
    finds(f, "WorkerInstanceKey NOT IN ('a')", 2);
    finds(f, "HostName STARTS_WITH 'bo'", 3);
    finds(f, "HostName NOT STARTS_WITH 'bo'", 0);
    finds(f, "WorkerInstanceKey > 'a' AND WorkerInstanceKey <= 'b'", 1);
    finds(f, "StartTime BETWEEN '2023-11-14T22:13:20Z' AND '2023-11-14T22:13:21Z'", 1);
    finds(f, "StartTime < '2000-01-01T00:00:00Z'", 2);
    finds(f, "SdkName = 'temporal-test' AND SdkVersion = '' AND WorkerIdentity = 'me@box'", 3);
}

static void a_bad_filter_is_refused(void **state)
{
    struct fx *f = *state;
    const struct {
        const char *query, *message;
    } rows[] = {
        {"Host = 'x'", "a field of workers"},
        {"TaskQueue = q", "a text in quotes"},
        {"TaskQueue LIKE 'q'", "STARTS_WITH"},
        {"Status = 'Idle'", "'Running', 'ShuttingDown' or 'Shutdown'"},
        {"StartTime > 'noon'", "a time such as"},
        {"(TaskQueue = 'q'", "')'"},
        {"TaskQueue = 'q' TaskQueue = 'r'", "AND, OR or the end"},
        {"TaskQueue IN 'q'", "'('"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        TpWs__ListWorkersRequest r = TP_WS__LIST_WORKERS_REQUEST__INIT;
        r.namespace_ = S("default");
        r.query = (char *)(uintptr_t)rows[i].query;
        const char *message = fails(f, TL_M_ListWorkers, &r, 3);
        if (!strstr(message, rows[i].message)) {
            fail_msg("%s: %s", rows[i].query, message);
        }
    }
}

static void lists_come_in_pages(void **state)
{
    struct fx *f = *state;
    struct tl_str token = {0};
    char seen[4] = "";
    three_workers(f);
    for (int page = 0; page < 3; page++) {
        const TpWs__ListWorkersResponse *r = list(f, "", 1, token);
        assert_int_equal(r->n_workers, 1);
        assert_int_equal(r->n_workers_info, 1);
        assert_string_equal(r->workers[0]->host_name, "box");
        seen[page] = r->workers[0]->worker_instance_key[0];
        token = tl_pb_str(r->next_page_token);
    }
    assert_string_equal(seen, "abc");
    assert_int_equal(token.n, 0);
}

static void the_last_word_counts(void **state)
{
    struct fx *f = *state;
    TpWs__DescribeWorkerRequest d = TP_WS__DESCRIBE_WORKER_REQUEST__INIT;
    TpWs__ShutdownWorkerRequest bye = TP_WS__SHUTDOWN_WORKER_REQUEST__INIT;
    TpWorker__WorkerHeartbeat h = heartbeat("a", "q", WORKER_STATUS_RUNNING);
    tell(f, &h);
    h.total_sticky_cache_hit = 7;
    tell(f, &h);
    finds(f, "", 1);
    d.namespace_ = S("default");
    d.worker_instance_key = S("a");
    const TpWs__DescribeWorkerResponse *r = fx_must(f, TL_M_DescribeWorker, &d);
    assert_int_equal(r->worker_info->worker_heartbeat->total_sticky_cache_hit, 7);
    h.status = (TpEnums__WorkerStatus)WORKER_STATUS_SHUTDOWN;
    bye.namespace_ = S("default");
    bye.worker_heartbeat = &h;
    fx_must(f, TL_M_ShutdownWorker, &bye);
    finds(f, "Status = 'Shutdown'", 1);
    d.worker_instance_key = S("zz");
    assert_string_equal(fails(f, TL_M_DescribeWorker, &d, 5), "Worker zz not found");
    d.worker_instance_key = S("");
    fails(f, TL_M_DescribeWorker, &d, 3);
}

static void the_silent_are_forgotten(void **state)
{
    struct fx *f = *state;
    TpWorker__WorkerHeartbeat a = heartbeat("a", "q", WORKER_STATUS_RUNNING);
    TpWorker__WorkerHeartbeat b = heartbeat("b", "q", WORKER_STATUS_RUNNING);
    TpWorker__WorkerHeartbeat nobody = heartbeat("", "q", WORKER_STATUS_RUNNING);
    tell(f, &a);
    tell(f, &nobody);
    sleep_for(f, 4 * 60);
    tell(f, &b);
    finds(f, "", 2);
    sleep_for(f, 61);
    finds(f, "", 1);
    finds(f, "WorkerInstanceKey = 'b'", 1);
}

int main(void)
{
#define CASE(t) cmocka_unit_test_setup_teardown(t, fx_setup_memory, fx_teardown)
    const struct CMUnitTest tests[] = {
        CASE(filters_choose),       CASE(a_bad_filter_is_refused),  CASE(lists_come_in_pages),
        CASE(the_last_word_counts), CASE(the_silent_are_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
