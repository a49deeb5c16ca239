/* Goal: calls fill what every caller would repeat, retry what is transient and nothing else, and turn
 * the server's details into typed errors; results follow a chain of runs.
 * Method: a thread plays the service over the in-process transport from a script of replies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "google/rpc/status.pb-c.h"
#include "proto/pb.h"
#include "proto/wire.h"
#include "temporal/api/errordetails/v1/message.pb-c.h"
#include "test/support/fake_service.h"
#include "tl_enums.h"

struct step {
    enum tl_method method;
    int status;
    const char *message;
    const void *detail; /* a message put into google.rpc.Status */
    const void *response;
};

struct script {
    struct fake_service fake;
    const struct step *steps;
    size_t count;
    void *seen[16]; /* decoded requests */
    pthread_t thread;
    struct tl_arena arena;
    struct tl_client_error err;
};

static void reply_with_detail(struct tl_rpc_request *req, const struct step *s)
{
    TpRpc__Status status = TP_RPC__STATUS__INIT;
    Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
    Google__Protobuf__Any *list[] = {&any};
    struct tl_buf value, details;
    char url[200];
    tl_buf_init(&value, 65536);
    tl_buf_init(&details, 65536);
    if (s->detail) {
        assert_int_equal(tl_pb_encode(s->detail, &value, NULL), TL_OK);
        snprintf(url, sizeof url, "type.googleapis.com/%s",
                 ((const ProtobufCMessage *)s->detail)->descriptor->name);
        any.type_url = url;
        any.value = tl_pb_bytes_view(tl_buf_str(&value));
        status.code = s->status;
        status.n_details = 1;
        status.details = list;
        assert_int_equal(tl_pb_encode(&status, &details, NULL), TL_OK);
    }
    tl_rpc_reply(req, s->status, tl_str(s->message), tl_buf_str(&details), (struct tl_str){0});
    tl_buf_deinit(&value);
    tl_buf_deinit(&details);
}

static void *play(void *ud)
{
    struct script *s = ud;
    for (size_t i = 0; i < s->count; i++) {
        struct tl_rpc_request *req = fake_wait(&s->fake, s->steps[i].method);
        s->seen[i] = fake_decode(&s->fake, req);
        if (s->steps[i].status) {
            reply_with_detail(req, &s->steps[i]);
        } else if (s->steps[i].response) {
            fake_reply(req, s->steps[i].response);
        } else {
            fake_reply_empty(req);
        }
    }
    return NULL;
}

static void begin(struct script *s, const struct step *steps, size_t count)
{
    *s = (struct script){.steps = steps, .count = count};
    fake_service_init(&s->fake);
    s->fake.manual_start = true;
    tl_arena_init(&s->arena, (size_t)1 << 24);
    pthread_create(&s->thread, NULL, play, s);
}

static void end(struct script *s)
{
    tl_arena_deinit(&s->arena);
    fake_service_deinit(&s->fake);
}

static void join(struct script *s)
{
    pthread_join(s->thread, NULL);
}

static tl_rc start(struct script *s, TpWs__StartWorkflowExecutionResponse **resp)
{
    TpWs__StartWorkflowExecutionRequest req = TP_WS__START_WORKFLOW_EXECUTION_REQUEST__INIT;
    req.workflow_id = (char *)(uintptr_t) "w-1";
    tl_rc rc = tl_client_call(s->fake.client, TL_M_StartWorkflowExecution, &req, &s->arena, resp, 0,
                              &s->err);
    assert_string_equal(req.namespace_, ""); /* the caller's struct is as it was */
    join(s);
    return rc;
}

static void fills_and_decodes(void **state)
{
    (void)state;
    struct script s;
    TpWs__StartWorkflowExecutionResponse r = TP_WS__START_WORKFLOW_EXECUTION_RESPONSE__INIT, *resp;
    r.run_id = (char *)(uintptr_t) "run-1";
    begin(&s, &(struct step){TL_M_StartWorkflowExecution, 0, "", NULL, &r}, 1);
    assert_int_equal(start(&s, &resp), TL_OK);
    assert_string_equal(resp->run_id, "run-1");
    TpWs__StartWorkflowExecutionRequest *seen = s.seen[0];
    assert_string_equal(seen->namespace_, "default");
    assert_string_equal(seen->identity, "tester");
    assert_int_equal(strlen(seen->request_id), 36);
    end(&s);
}

static void transient_errors_are_retried_with_the_same_request_id(void **state)
{
    (void)state;
    struct script s;
    const struct step steps[] = {
        {TL_M_StartWorkflowExecution, 14, "starting", NULL, NULL},
        {TL_M_StartWorkflowExecution, 13, "hiccup", NULL, NULL},
        {TL_M_StartWorkflowExecution, 0, "", NULL, NULL},
    };
    TpWs__StartWorkflowExecutionResponse *resp;
    begin(&s, steps, 3);
    assert_int_equal(start(&s, &resp), TL_OK);
    assert_string_equal(((TpWs__StartWorkflowExecutionRequest *)s.seen[0])->request_id,
                        ((TpWs__StartWorkflowExecutionRequest *)s.seen[2])->request_id);
    end(&s);
}

static void already_started_tells_the_run(void **state)
{
    (void)state;
    struct script s;
    TpErrdetails__WorkflowExecutionAlreadyStartedFailure d =
        TP_ERRDETAILS__WORKFLOW_EXECUTION_ALREADY_STARTED_FAILURE__INIT;
    TpWs__StartWorkflowExecutionResponse *resp;
    d.run_id = (char *)(uintptr_t) "holder";
    const struct step step = {TL_M_StartWorkflowExecution, 6, "is taken", &d, NULL};
    begin(&s, &step, 1);
    assert_int_equal(start(&s, &resp), TL_EEXISTS);
    assert_int_equal(s.err.kind, TL_CE_ALREADY_STARTED);
    assert_string_equal(s.err.run_id, "holder");
    assert_string_equal(s.err.error.message, "is taken");
    assert_int_equal(s.fake.counts[TL_M_StartWorkflowExecution], 1);
    end(&s);
}

/* Each detail is read as what it is, whatever stood before it. */
static void details_of_several_types_are_told_apart(void **state)
{
    (void)state;
    TpErrdetails__WorkflowExecutionAlreadyStartedFailure started =
        TP_ERRDETAILS__WORKFLOW_EXECUTION_ALREADY_STARTED_FAILURE__INIT;
    TpErrdetails__PermissionDeniedFailure denied = TP_ERRDETAILS__PERMISSION_DENIED_FAILURE__INIT;
    started.run_id = (char *)(uintptr_t) "holder";
    denied.reason = (char *)(uintptr_t) "because";
    const void *messages[] = {&started, &denied};
    TpRpc__Status status = TP_RPC__STATUS__INIT;
    Google__Protobuf__Any any[2], *list[2];
    struct tl_arena arena;
    struct tl_client_error err;
    struct tl_str bytes;
    tl_arena_init(&arena, TL_ARENA_UNLIMITED);
    for (size_t i = 0; i < 2; i++) {
        google__protobuf__any__init(&any[i]);
        assert_int_equal(tl_pb_encode_arena(messages[i], &arena, &bytes, NULL), TL_OK);
        any[i].type_url =
            tl_arena_printf(&arena, "type.googleapis.com/%s",
                            ((const ProtobufCMessage *)messages[i])->descriptor->name);
        any[i].value = tl_pb_bytes_view(bytes);
        list[i] = &any[i];
    }
    status.n_details = 2;
    status.details = list;
    assert_int_equal(tl_pb_encode_arena(&status, &arena, &bytes, NULL), TL_OK);
    struct tl_rpc_result *res = tl_rpc_result_new(TL_M_StartWorkflowExecution, NULL, 6,
                                                  tl_str_n("\0", 1), bytes, (struct tl_str){0});
    assert_int_equal(tl_client_error_from_result(res, &arena, &err), TL_EEXISTS);
    assert_int_equal(err.kind, TL_CE_ALREADY_STARTED);
    assert_string_equal(err.run_id, "holder");
    assert_true(err.error.message[0]); /* a text that ends at once is none */
    tl_rpc_result_free(res);
    tl_arena_deinit(&arena);
}

static void a_failed_query_carries_its_failure(void **state)
{
    (void)state;
    struct script s;
    TpErrdetails__QueryFailedFailure d = TP_ERRDETAILS__QUERY_FAILED_FAILURE__INIT;
    TpFailure__Failure f = TP_FAILURE__FAILURE__INIT;
    TpWs__QueryWorkflowRequest req = TP_WS__QUERY_WORKFLOW_REQUEST__INIT;
    TpCommon__Payloads *result = NULL;
    f.message = (char *)(uintptr_t) "no such account";
    d.failure = &f;
    const struct step step = {TL_M_QueryWorkflow, 3, "query failed", &d, NULL};
    begin(&s, &step, 1);
    assert_int_equal(tl_client_query(s.fake.client, &req, &s.arena, &result, 0, &s.err), TL_EINVAL);
    join(&s);
    assert_int_equal(s.err.kind, TL_CE_QUERY_FAILED);
    assert_string_equal(s.err.failure->message, "no such account");
    end(&s);
}

static void a_rejected_query_tells_the_status(void **state)
{
    (void)state;
    struct script s;
    TpWs__QueryWorkflowResponse r = TP_WS__QUERY_WORKFLOW_RESPONSE__INIT;
    TpQuery__QueryRejected rejected = TP_QUERY__QUERY_REJECTED__INIT;
    TpWs__QueryWorkflowRequest req = TP_WS__QUERY_WORKFLOW_REQUEST__INIT;
    TpCommon__Payloads *result = NULL;
    rejected.status = (TpEnums__WorkflowExecutionStatus)WORKFLOW_EXECUTION_STATUS_COMPLETED;
    r.query_rejected = &rejected;
    const struct step step = {TL_M_QueryWorkflow, 0, "", NULL, &r};
    begin(&s, &step, 1);
    assert_int_equal(tl_client_query(s.fake.client, &req, &s.arena, &result, 0, &s.err),
                     TL_EPRECONDITION);
    join(&s);
    assert_int_equal(s.err.kind, TL_CE_QUERY_REJECTED);
    assert_int_equal((int)s.err.status, WORKFLOW_EXECUTION_STATUS_COMPLETED);
    end(&s);
}

static void a_deadline_ends_the_retries(void **state)
{
    (void)state;
    struct fake_service f;
    struct tl_arena arena;
    struct tl_client_error err;
    TpWs__CountWorkflowExecutionsRequest req = TP_WS__COUNT_WORKFLOW_EXECUTIONS_REQUEST__INIT;
    fake_service_init(&f);
    f.down = true;
    tl_arena_init(&arena, 65536);
    tl_rc rc = tl_client_call(f.client, TL_M_CountWorkflowExecutions, &req, &arena, NULL,
                              300 * TL_NS_PER_MS, &err);
    assert_int_equal(rc, TL_EUNAVAILABLE);
    assert_string_equal(err.error.message, "the service is down");
    assert_in_range(f.counts[TL_M_CountWorkflowExecutions], 2, 4);
    tl_arena_deinit(&arena);
    fake_service_deinit(&f);
}

static TpHistory__History *closed_history(struct tl_arena *a, TpHistory__HistoryEvent *e)
{
    TpHistory__History *h = TL_PB_NEW(a, TpHistory__History, tp_history__history);
    h->n_events = 1;
    h->events = tl_arena_copy(a, &e, sizeof e);
    return h;
}

static void results_follow_the_chain_of_runs(void **state)
{
    (void)state;
    struct script s;
    struct tl_arena a;
    tl_arena_init(&a, 65536);
    TpHistory__HistoryEvent first = TP_HISTORY__HISTORY_EVENT__INIT,
                            second = TP_HISTORY__HISTORY_EVENT__INIT;
    TpHistory__WorkflowExecutionContinuedAsNewEventAttributes can =
        TP_HISTORY__WORKFLOW_EXECUTION_CONTINUED_AS_NEW_EVENT_ATTRIBUTES__INIT;
    TpHistory__WorkflowExecutionFailedEventAttributes failed =
        TP_HISTORY__WORKFLOW_EXECUTION_FAILED_EVENT_ATTRIBUTES__INIT;
    TpFailure__Failure failure = TP_FAILURE__FAILURE__INIT;
    TpWs__GetWorkflowExecutionHistoryResponse
        empty = TP_WS__GET_WORKFLOW_EXECUTION_HISTORY_RESPONSE__INIT,
        one = empty, two = empty;
    can.new_execution_run_id = (char *)(uintptr_t) "run-2";
    first.attributes_case =
        TP_HISTORY__HISTORY_EVENT__ATTRIBUTES_WORKFLOW_EXECUTION_CONTINUED_AS_NEW_EVENT_ATTRIBUTES;
    first.workflow_execution_continued_as_new_event_attributes = &can;
    failure.message = (char *)(uintptr_t) "declined";
    failed.failure = &failure;
    second.attributes_case =
        TP_HISTORY__HISTORY_EVENT__ATTRIBUTES_WORKFLOW_EXECUTION_FAILED_EVENT_ATTRIBUTES;
    second.workflow_execution_failed_event_attributes = &failed;
    empty.next_page_token = tl_pb_bytes_view(TL_STR_LIT("wait more"));
    one.history = closed_history(&a, &first);
    two.history = closed_history(&a, &second);
    const struct step steps[] = {
        {TL_M_GetWorkflowExecutionHistory, 0, "", NULL, &empty},
        {TL_M_GetWorkflowExecutionHistory, 0, "", NULL, &one},
        {TL_M_GetWorkflowExecutionHistory, 0, "", NULL, &two},
    };
    struct tl_client_result out;
    struct tl_client_result_query q = {.workflow_id = TL_STR_LIT("w-1"), .follow_runs = true};
    begin(&s, steps, 3);
    assert_int_equal(tl_client_result(s.fake.client, &q, &s.arena, &out, &s.err), TL_OK);
    join(&s);
    assert_int_equal((int)out.status, WORKFLOW_EXECUTION_STATUS_FAILED);
    assert_string_equal(out.failure->message, "declined");
    assert_string_equal(out.run_id, "run-2");
    TpWs__GetWorkflowExecutionHistoryRequest *second_call = s.seen[1], *third = s.seen[2];
    assert_memory_equal(second_call->next_page_token.data, "wait more", 9);
    assert_int_equal(third->next_page_token.len, 0);
    assert_string_equal(third->execution->run_id, "run-2");
    end(&s);
    tl_arena_deinit(&a);
}

/* --- Eager start ------------------------------------------------------------------------------- */

struct place_giver {
    struct tl_eager_worker worker;
    TpDeployment__WorkerDeploymentOptions version;
    bool full;
    int places, tasks, given_back;
    char task[64];
};

static void *give_place(struct tl_eager_worker *w,
                        const TpDeployment__WorkerDeploymentOptions **deployment)
{
    struct place_giver *g = TL_CONTAINER(w, struct place_giver, worker);
    g->places += !g->full;
    *deployment = &g->version;
    return g->full ? NULL : g;
}

static void end_place(struct tl_eager_worker *w, void *place, struct tl_str task)
{
    struct place_giver *g = TL_CONTAINER(w, struct place_giver, worker);
    assert_ptr_equal(place, g);
    g->tasks += task.n > 0;
    g->given_back += task.n == 0;
    snprintf(g->task, sizeof g->task, "%.*s", TL_STR_FMT(tl_wire_find(task, 1)));
}

static void giver_init(struct place_giver *g, struct script *s, const char *queue, bool full)
{
    *g = (struct place_giver){.full = full};
    tp_deployment__worker_deployment_options__init(&g->version);
    g->version.build_id = (char *)(uintptr_t) "b-1";
    g->worker.namespace_name = TL_STR_LIT("default");
    g->worker.task_queue = tl_str(queue);
    g->worker.reserve = give_place;
    g->worker.end = end_place;
    tl_eager_set_add(tl_client_eager(s->fake.client), &g->worker);
}

/* Starts on the queue "q" and asks for eager execution; the request is as before. */
static tl_rc start_eagerly(struct script *s)
{
    TpWs__StartWorkflowExecutionRequest req = TP_WS__START_WORKFLOW_EXECUTION_REQUEST__INIT;
    TpTq__TaskQueue queue = TP_TQ__TASK_QUEUE__INIT;
    queue.name = (char *)(uintptr_t) "q";
    req.task_queue = &queue;
    req.request_eager_execution = true;
    tl_rc rc = tl_client_call(s->fake.client, TL_M_StartWorkflowExecution, &req, &s->arena, NULL, 0,
                              &s->err);
    assert_true(req.request_eager_execution);
    assert_null(req.eager_worker_deployment_options);
    join(s);
    return rc;
}

static void an_eager_start_gives_its_task_to_a_worker_with_a_slot(void **state)
{
    (void)state;
    struct script s;
    struct place_giver other, full, free_one;
    TpWs__StartWorkflowExecutionResponse r = TP_WS__START_WORKFLOW_EXECUTION_RESPONSE__INIT;
    TpWs__PollWorkflowTaskQueueResponse task = TP_WS__POLL_WORKFLOW_TASK_QUEUE_RESPONSE__INIT;
    task.task_token = (ProtobufCBinaryData){5, (uint8_t *)(uintptr_t) "token"};
    r.eager_workflow_task = &task;
    begin(&s, &(struct step){TL_M_StartWorkflowExecution, 0, "", NULL, &r}, 1);
    giver_init(&other, &s, "other", false);
    giver_init(&full, &s, "q", true);
    giver_init(&free_one, &s, "q", false);
    assert_int_equal(start_eagerly(&s), TL_OK);
    TpWs__StartWorkflowExecutionRequest *seen = s.seen[0];
    assert_true(seen->request_eager_execution);
    assert_string_equal(seen->eager_worker_deployment_options->build_id, "b-1");
    assert_int_equal(other.places, 0);
    assert_int_equal(free_one.tasks, 1);
    assert_string_equal(free_one.task, "token");
    end(&s);
}

static void a_place_is_given_back_when_no_task_comes(void **state)
{
    (void)state;
    struct script s;
    struct place_giver g;
    begin(&s, &(struct step){TL_M_StartWorkflowExecution, 0, "", NULL, NULL}, 1);
    giver_init(&g, &s, "q", false);
    assert_int_equal(start_eagerly(&s), TL_OK);
    assert_int_equal(g.given_back, 1);
    end(&s);
    begin(&s, &(struct step){TL_M_StartWorkflowExecution, 3, "no", NULL, NULL}, 1);
    giver_init(&g, &s, "q", false);
    assert_int_equal(start_eagerly(&s), TL_EINVAL);
    assert_int_equal(g.places, 1);
    assert_int_equal(g.given_back, 1);
    assert_int_equal(g.tasks, 0);
    end(&s);
}

static void a_start_asks_for_nothing_where_nobody_has_a_slot(void **state)
{
    (void)state;
    struct script s;
    struct place_giver g;
    begin(&s, &(struct step){TL_M_StartWorkflowExecution, 0, "", NULL, NULL}, 1);
    giver_init(&g, &s, "q", false);
    tl_eager_set_remove(tl_client_eager(s.fake.client), &g.worker);
    assert_int_equal(start_eagerly(&s), TL_OK);
    TpWs__StartWorkflowExecutionRequest *seen = s.seen[0];
    assert_false(seen->request_eager_execution);
    assert_int_equal(g.places, 0);
    end(&s);
}

static bool give_up_at_once(void *ud, int64_t deadline_mono_ns)
{
    int *calls = ud;
    (void)deadline_mono_ns;
    return ++*calls < 3;
}

static void wake_nobody(void *ud)
{
    (void)ud;
}

static void a_pump_may_give_up(void **state)
{
    (void)state;
    struct fake_service f;
    struct tl_arena arena;
    struct tl_client_error err;
    int calls = 0;
    TpWs__CountWorkflowExecutionsRequest req = TP_WS__COUNT_WORKFLOW_EXECUTIONS_REQUEST__INIT;
    fake_service_init(&f);
    tl_arena_init(&arena, 65536);
    struct tl_client_config config = {
        .channel = f.channel,
        .pump = {&calls, give_up_at_once, wake_nobody},
    };
    struct tl_client *c = tl_client_new(&config);
    assert_int_equal(tl_client_call(c, TL_M_CountWorkflowExecutions, &req, &arena, NULL, 0, &err),
                     TL_ECANCELLED);
    assert_int_equal(calls, 3);
    tl_client_free(c);
    tl_arena_deinit(&arena);
    fake_service_deinit(&f);
}

static void pauses_grow_and_stay_bounded(void **state)
{
    (void)state;
    struct fake_service f;
    struct tl_retry r = {0}, exhausted = {0};
    fake_service_init(&f);
    int64_t first = tl_retry_next_ns(&r, 14, &f.world), last = 0;
    assert_in_range(first, 80 * TL_NS_PER_MS, 120 * TL_NS_PER_MS);
    for (int i = 0; i < 50; i++) {
        last = tl_retry_next_ns(&r, 14, &f.world);
        assert_true(last <= 6 * TL_NS_PER_S);
    }
    assert_true(last >= 4 * TL_NS_PER_S);
    assert_true(tl_retry_next_ns(&exhausted, 8, &f.world) >= 800 * TL_NS_PER_MS);
    fake_service_deinit(&f);
}

static void what_may_be_tried_again(void **state)
{
    (void)state;
    static const struct {
        struct tl_rpc_result res;
        bool again;
    } rows[] = {
        {{.method = TL_M_StartWorkflowExecution, .status = 14}, true},
        {{.method = TL_M_StartWorkflowExecution, .status = 15}, true},
        {{.method = TL_M_StartWorkflowExecution, .status = 3}, false},
        {{.method = TL_M_StartWorkflowExecution, .status = 4}, false},
        {{.method = TL_M_PollWorkflowTaskQueue, .status = 4}, true},
        {{.method = TL_M_StartWorkflowExecution, .status = 15, .final = true}, false},
        {{.method = TL_M_PollWorkflowTaskQueue, .status = 13, .final = true}, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(tl_retry_allowed(&rows[i].res), rows[i].again);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fills_and_decodes),
        cmocka_unit_test(transient_errors_are_retried_with_the_same_request_id),
        cmocka_unit_test(already_started_tells_the_run),
        cmocka_unit_test(details_of_several_types_are_told_apart),
        cmocka_unit_test(a_failed_query_carries_its_failure),
        cmocka_unit_test(a_rejected_query_tells_the_status),
        cmocka_unit_test(a_deadline_ends_the_retries),
        cmocka_unit_test(results_follow_the_chain_of_runs),
        cmocka_unit_test(an_eager_start_gives_its_task_to_a_worker_with_a_slot),
        cmocka_unit_test(a_place_is_given_back_when_no_task_comes),
        cmocka_unit_test(a_start_asks_for_nothing_where_nobody_has_a_slot),
        cmocka_unit_test(a_pump_may_give_up),
        cmocka_unit_test(pauses_grow_and_stay_bounded),
        cmocka_unit_test(what_may_be_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
