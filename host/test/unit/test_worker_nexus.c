/* Goal: Nexus tasks are polled for, run by their handlers, and answered as these end, in the form that the
 * server understands; limits, times and the shutdown hold.
 * Method: a stepped worker with handlers that follow a script of the test; the test plays service and clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/metrics.h"
#include "client/client_int.h"
#include "base/mem.h"
#include "proto/failure.h"
#include "proto/nexus.h"
#include "proto/pb.h"
#include "test/support/worker_env.h"
#include "tl_enums.h"

#define MS TL_NS_PER_MS

struct plan {
    struct env *env;
    void (*run)(struct plan *p, struct tl_operation *o);
    size_t bytes;
    unsigned reasons;
    int calls;
};

static void run_plan(void *thread_state, void *ud, struct tl_operation *o)
{
    struct plan *p = ud;
    (void)thread_state;
    p->calls++;
    p->run(p, o);
}

static void add(struct env *e, struct plan *p, const char *service, const char *operation)
{
    struct tl_operation_impl impl = {run_plan, p};
    assert_int_equal(
        tl_registry_add_operation(e->registry, tl_str(service), tl_str(operation), &impl, NULL),
        TL_OK);
}

static void setup(struct env *e, struct plan *p, void (*run)(struct plan *, struct tl_operation *))
{
    env_init(e, NULL);
    *p = (struct plan){.env = e, .run = run};
    add(e, p, "Orders", "buy");
    add(e, p, "Orders", "sell");
}

static TpNexus__Request__HeaderEntry *header(struct tl_arena *a, const char *key, const char *value)
{
    TpNexus__Request__HeaderEntry *h =
        TL_PB_NEW(a, TpNexus__Request__HeaderEntry, tp_nexus__request__header_entry);
    h->key = tl_pb_cstr(a, tl_str(key));
    h->value = tl_pb_cstr(a, tl_str(value));
    return h;
}

static TpWs__PollNexusTaskQueueResponse *task(struct env *e, bool temporal_failures)
{
    struct tl_arena *a = &e->arena;
    struct tl_pb_list headers = {0};
    TpWs__PollNexusTaskQueueResponse *t =
        TL_PB_NEW(a, TpWs__PollNexusTaskQueueResponse, tp_ws__poll_nexus_task_queue_response);
    t->task_token = tl_pb_bytes(a, tl_str("nexus token"), NULL);
    t->poller_group_id = tl_pb_cstr(a, tl_str("group"));
    t->request = TL_PB_NEW(a, TpNexus__Request, tp_nexus__request);
    tl_pb_push(a, &headers, header(a, "Request-Timeout", "5s"));
    t->request->header = headers.items;
    t->request->n_header = headers.n;
    if (temporal_failures) {
        t->request->capabilities =
            TL_PB_NEW(a, TpNexus__Request__Capabilities, tp_nexus__request__capabilities);
        t->request->capabilities->temporal_failure_responses = true;
    }
    return t;
}

static TpWs__PollNexusTaskQueueResponse *start_task(struct env *e, const char *service,
                                                    const char *operation)
{
    TpWs__PollNexusTaskQueueResponse *t = task(e, true);
    TpNexus__StartOperationRequest *s =
        TL_PB_NEW(&e->arena, TpNexus__StartOperationRequest, tp_nexus__start_operation_request);
    s->service = tl_pb_cstr(&e->arena, tl_str(service));
    s->operation = tl_pb_cstr(&e->arena, tl_str(operation));
    t->request->variant_case = TP_NEXUS__REQUEST__VARIANT_START_OPERATION;
    t->request->start_operation = s;
    return t;
}

static TpWs__PollNexusTaskQueueResponse *cancel_task(struct env *e)
{
    TpWs__PollNexusTaskQueueResponse *t = task(e, true);
    TpNexus__CancelOperationRequest *c =
        TL_PB_NEW(&e->arena, TpNexus__CancelOperationRequest, tp_nexus__cancel_operation_request);
    c->service = tl_pb_cstr(&e->arena, tl_str("Orders"));
    c->operation = tl_pb_cstr(&e->arena, tl_str("buy"));
    c->operation_token = tl_pb_cstr(&e->arena, tl_str("the token"));
    t->request->variant_case = TP_NEXUS__REQUEST__VARIANT_CANCEL_OPERATION;
    t->request->cancel_operation = c;
    return t;
}

static void give(struct env *e, const TpWs__PollNexusTaskQueueResponse *t)
{
    struct tl_rpc_request *req = fake_take(&e->fake, TL_M_PollNexusTaskQueue);
    assert_non_null(req);
    fake_reply(req, t);
    env_settle(e);
}

static TpCommon__Payload *payload(struct tl_arena *a, struct tl_str data)
{
    TpCommon__Payload *p = TL_PB_NEW(a, TpCommon__Payload, tp_common__payload);
    p->data = tl_pb_bytes(a, data, NULL);
    return p;
}

static TpWs__RespondNexusTaskCompletedRequest *completed(struct env *e)
{
    struct tl_rpc_request *req;
    TpWs__RespondNexusTaskCompletedRequest *r = env_expect(e, TL_M_RespondNexusTaskCompleted, &req);
    assert_memory_equal(r->task_token.data, "nexus token", 11);
    assert_string_equal(r->poller_group_id, "group");
    fake_reply_empty(req);
    env_settle(e);
    return r;
}

static TpWs__RespondNexusTaskFailedRequest *refused(struct env *e)
{
    struct tl_rpc_request *req;
    TpWs__RespondNexusTaskFailedRequest *r = env_expect(e, TL_M_RespondNexusTaskFailed, &req);
    assert_memory_equal(r->task_token.data, "nexus token", 11);
    fake_reply_empty(req);
    env_settle(e);
    return r;
}

static const char *refusal(const TpWs__RespondNexusTaskFailedRequest *r, const char *type)
{
    assert_non_null(r->failure);
    assert_string_equal(r->failure->nexus_handler_failure_info->type, type);
    return r->failure->message;
}

/* --- Ends -------------------------------------------------------------------------------------- */

static void completes(struct plan *p, struct tl_operation *o)
{
    (void)p;
    assert_string_equal(tl_operation_service(o), "Orders");
    assert_string_equal(tl_operation_name(o), "buy");
    assert_true(tl_str_eqc(o->task_queue, "q"));
    assert_string_equal(o->request->header[0]->key, "request-timeout"); /* in lower case */
    assert_int_equal(tl_operation_add_link(o, tl_str("temporal:///x"), tl_str("t"), NULL), TL_OK);
    tl_operation_complete(o, payload(o->arena, TL_STR_LIT("42")));
}

static void a_result_is_answered(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    setup(&e, &p, completes);
    env_start(&e);
    assert_int_equal(fake_waiting(&e.fake, TL_M_PollNexusTaskQueue), 5);
    env_expect_none(&e, TL_M_PollActivityTaskQueue);
    env_expect_none(&e, TL_M_PollWorkflowTaskQueue);
    give(&e, start_task(&e, "Orders", "buy"));
    TpWs__RespondNexusTaskCompletedRequest *r = completed(&e);
    TpNexus__StartOperationResponse__Sync *sync = r->response->start_operation->sync_success;
    assert_memory_equal(sync->payload->data.data, "42", 2);
    assert_int_equal(sync->n_links, 1);
    assert_string_equal(sync->links[0]->url, "temporal:///x");
    assert_int_equal(fake_waiting(&e.fake, TL_M_PollNexusTaskQueue), 5);
    assert_int_equal(env_stats(&e).nexus_tasks_completed, 1);
    env_end(&e);
}

/* The page of the registry has this line. */
static void assert_measured(struct tl_metrics *m, const char *line)
{
    struct tl_buf page;
    tl_buf_init(&page, 1 << 20);
    assert_true(tl_metrics_write(m, &page));
    if (!strstr(page.p, line)) {
        print_error("no '%s' in:\n%s", line, page.p);
        fail();
    }
    tl_buf_deinit(&page);
}

static void completes_once(struct plan *p, struct tl_operation *o)
{
    if (p->calls == 1) {
        tl_operation_complete(o, NULL);
    }
}

#define QUEUE "namespace=\"default\",task_queue=\"q\""

static void numbers_are_kept(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    struct tl_metrics *m = tl_metrics_new(NULL);
    setup(&e, &p, completes_once);
    e.fake.client->metrics = m;
    env_start(&e);
    assert_measured(m, "\nnum_pollers{" QUEUE ",poller_type=\"nexus_task\"} 5\n");
    assert_measured(m, "\nworker_task_slots_used{" QUEUE ",worker_type=\"NexusWorker\"} 0\n");
    for (int i = 0; i < 2; i++) {
        TpWs__PollNexusTaskQueueResponse *t = start_task(&e, "Orders", "buy");
        t->request->scheduled_time = tl_pb_timestamp(&e.arena, tl_world_wall_ns(&e.fake.world));
        give(&e, t);
        if (i == 0) {
            completed(&e);
        } else {
            refusal(refused(&e), "INTERNAL"); /* it returned without an end */
        }
    }
    struct tl_rpc_request *empty = fake_take(&e.fake, TL_M_PollNexusTaskQueue);
    fake_reply_empty(empty);
    env_settle(&e);
    assert_measured(m, "\nnexus_poll_no_task{" QUEUE "} 1\n");
    assert_measured(m, "\nnexus_task_schedule_to_start_latency_count{" QUEUE "} 2\n");
    assert_measured(m, "\nnexus_task_execution_latency_count{" QUEUE "} 2\n");
    assert_measured(m, "\nnexus_task_endtoend_latency_count{" QUEUE "} 2\n");
    assert_measured(m, "\nnexus_task_execution_failed{" QUEUE
                       ",failure_reason=\"handler_error_INTERNAL\"} 1\n");
    env_end(&e);
    tl_metrics_free(m);
}

static void starts(struct plan *p, struct tl_operation *o)
{
    (void)p;
    tl_operation_started(o, "the token");
}

static void an_operation_that_goes_on_has_a_token(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    setup(&e, &p, starts);
    env_start(&e);
    give(&e, start_task(&e, "Orders", "buy"));
    TpNexus__StartOperationResponse *r = completed(&e)->response->start_operation;
    assert_string_equal(r->async_success->operation_token, "the token");
    assert_string_equal(r->async_success->operation_id, "the token");
    env_end(&e);
}

static void takes_cancellation(struct plan *p, struct tl_operation *o)
{
    (void)p;
    assert_string_equal(o->request->cancel_operation->operation_token, "the token");
    tl_operation_cancel_taken(o);
}

static void a_cancellation_is_taken(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    setup(&e, &p, takes_cancellation);
    env_start(&e);
    give(&e, cancel_task(&e));
    assert_int_equal(completed(&e)->response->variant_case,
                     TP_NEXUS__RESPONSE__VARIANT_CANCEL_OPERATION);
    env_end(&e);
}

static TpCommon__Payloads *secret(struct tl_arena *a)
{
    TpCommon__Payloads *list = TL_PB_NEW(a, TpCommon__Payloads, tp_common__payloads);
    TpCommon__Payload *one = payload(a, TL_STR_LIT("secret"));
    list->n_payloads = 1;
    list->payloads = tl_arena_copy(a, &one, sizeof one);
    return list;
}

static void fails(struct plan *p, struct tl_operation *o)
{
    (void)p;
    struct tl_failure_application why = {
        .message = TL_STR_LIT("sold out"), .type = TL_STR_LIT("Sold"), .details = secret(o->arena)};
    tl_operation_fail(o, tl_failure_application(o->arena, &why));
}

static void an_operation_fails(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    setup(&e, &p, fails);
    env_start(&e);
    give(&e, start_task(&e, "Orders", "buy"));
    TpNexus__StartOperationResponse *r = completed(&e)->response->start_operation;
    assert_string_equal(r->failure->message, "sold out");
    assert_int_equal(r->failure->application_failure_info->details->n_payloads, 1);
    assert_int_equal(env_stats(&e).nexus_tasks_failed, 1);
    env_end(&e);
}

/* A server that does not say that it understands Temporal's failures gets the protocol's. Details stay
 * here: no codec finds them in that form. */
static void an_older_server_gets_the_older_form(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    TpFailure__Failure *back;
    setup(&e, &p, fails);
    env_start(&e);
    TpWs__PollNexusTaskQueueResponse *t = start_task(&e, "Orders", "buy");
    t->request->capabilities = NULL;
    give(&e, t);
    TpNexus__StartOperationResponse *r = completed(&e)->response->start_operation;
    assert_int_equal(r->variant_case, TP_NEXUS__START_OPERATION_RESPONSE__VARIANT_OPERATION_ERROR);
    assert_string_equal(r->operation_error->operation_state, "failed");
    assert_int_equal(tl_nexus_failure_read(r->operation_error->failure, &e.arena, &back, NULL),
                     TL_OK);
    assert_string_equal(back->message, "sold out");
    assert_string_equal(back->application_failure_info->type, "Sold");
    assert_null(back->application_failure_info->details);
    env_end(&e);
}

static void refuses(struct plan *p, struct tl_operation *o)
{
    (void)p;
    tl_operation_refuse(
        o, tl_nexus_handler_failure(o->arena, TL_STR_LIT("CONFLICT"), TL_STR_LIT("once is enough"),
                                    NEXUS_HANDLER_ERROR_RETRY_BEHAVIOR_RETRYABLE, NULL));
}

static void a_request_is_refused(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    setup(&e, &p, refuses);
    env_start(&e);
    give(&e, start_task(&e, "Orders", "buy"));
    TpWs__RespondNexusTaskFailedRequest *r = refused(&e);
    assert_string_equal(refusal(r, "CONFLICT"), "once is enough");
    assert_int_equal((int)r->failure->nexus_handler_failure_info->retry_behavior,
                     NEXUS_HANDLER_ERROR_RETRY_BEHAVIOR_RETRYABLE);
    TpWs__PollNexusTaskQueueResponse *t = start_task(&e, "Orders", "buy");
    t->request->capabilities = NULL;
    give(&e, t);
    r = refused(&e);
    assert_null(r->failure);
    assert_string_equal(r->error->error_type, "CONFLICT");
    assert_string_equal(r->error->failure->message, "once is enough");
    assert_int_equal((int)r->error->retry_behavior, NEXUS_HANDLER_ERROR_RETRY_BEHAVIOR_RETRYABLE);
    env_end(&e);
}

static void returns_nothing(struct plan *p, struct tl_operation *o)
{
    (void)p;
    (void)o;
}

static void a_handler_without_an_end_is_refused(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    setup(&e, &p, returns_nothing);
    env_start(&e);
    give(&e, start_task(&e, "Orders", "buy"));
    assert_string_equal(refusal(refused(&e), "INTERNAL"), "the handler returned without an answer");
    env_end(&e);
}

static void what_is_not_registered_is_named(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    static const struct {
        const char *service, *operation, *text;
    } rows[] = {
        {"Ordres", "buy",
         "service 'Ordres' is not registered on this worker, did you mean 'Orders'?"},
        {"Billing", "buy", "service 'Billing' is not registered on this worker"},
        {"Orders", "sel",
         "service 'Orders' has no operation 'sel' on this worker, did you mean 'sell'?"},
        {"Orders", "refund", "service 'Orders' has no operation 'refund' on this worker"},
    };
    setup(&e, &p, completes);
    env_start(&e);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        give(&e, start_task(&e, rows[i].service, rows[i].operation));
        assert_string_equal(refusal(refused(&e), "NOT_FOUND"), rows[i].text);
    }
    assert_int_equal(p.calls, 0);
    env_end(&e);
}

static void twice_the_same_operation_is_an_error(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    struct tl_error err;
    struct tl_operation_impl impl = {run_plan, &p};
    setup(&e, &p, completes);
    assert_int_equal(
        tl_registry_add_operation(e.registry, TL_STR_LIT("Orders"), TL_STR_LIT("buy"), &impl, &err),
        TL_EEXISTS);
    assert_string_equal(err.message, "operation 'buy' of service 'Orders' is registered twice");
    env_start(&e);
    env_end(&e);
}

/* --- Sizes ------------------------------------------------------------------------------------- */

static void returns_much(struct plan *p, struct tl_operation *o)
{
    char *big = tl_mem_alloc(p->bytes);
    memset(big, 'x', p->bytes);
    tl_operation_complete(o, payload(o->arena, tl_str_n(big, p->bytes)));
    tl_mem_free(big);
}

static void a_result_that_is_too_large_is_refused_for_good(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    setup(&e, &p, returns_much);
    p.bytes = 3 * 1024 * 1024;
    env_start(&e);
    give(&e, start_task(&e, "Orders", "buy"));
    TpWs__RespondNexusTaskFailedRequest *r = refused(&e);
    assert_non_null(strstr(refusal(r, "INTERNAL"), "store the data elsewhere"));
    assert_int_equal((int)r->failure->nexus_handler_failure_info->retry_behavior,
                     NEXUS_HANDLER_ERROR_RETRY_BEHAVIOR_NON_RETRYABLE);
    env_end(&e);
}

static void an_answer_that_no_request_carries_is_refused_once(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    struct tl_rpc_request *req;
    static const char too_large[] = "Received message larger than max (5242880 vs. 4194304)";
    setup(&e, &p, returns_much);
    p.bytes = 1000;
    env_start(&e);
    give(&e, start_task(&e, "Orders", "buy"));
    env_expect(&e, TL_M_RespondNexusTaskCompleted, &req);
    fake_refuse(req, 8, too_large);
    env_settle(&e);
    TpWs__RespondNexusTaskFailedRequest *r = env_expect(&e, TL_M_RespondNexusTaskFailed, &req);
    assert_non_null(strstr(refusal(r, "INTERNAL"), "(5242880 vs. 4194304)"));
    fake_refuse(req, 8, too_large);
    env_settle(&e);
    env_expect_none(&e, TL_M_RespondNexusTaskFailed);
    assert_int_equal(env_stats(&e).nexus_slots_used, 5);
    env_end(&e);
}

/* --- Times ------------------------------------------------------------------------------------- */

static void answer_lost(struct env *e)
{
    struct tl_rpc_request *req;
    env_expect(e, TL_M_RespondNexusTaskCompleted, &req);
    fake_refuse(req, 14, "gone");
    env_settle(e);
}

static void an_answer_is_sent_again_while_somebody_waits_for_it(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    setup(&e, &p, starts);
    env_start(&e);
    give(&e, start_task(&e, "Orders", "buy"));
    answer_lost(&e);
    env_pass(&e, 1000);
    answer_lost(&e);
    env_expect_none(&e, TL_M_RespondNexusTaskCompleted);
    env_pass(&e, 1000);
    completed(&e);
    give(&e, start_task(&e, "Orders", "buy"));
    env_pass(&e, 5000); /* the request's time is over */
    answer_lost(&e);
    env_pass(&e, 60000);
    env_expect_none(&e, TL_M_RespondNexusTaskCompleted);
    assert_int_equal(env_logged(&e, "nexus.answer_refused"), 1);
    env_end(&e);
}

static void watches_its_time(struct plan *p, struct tl_operation *o)
{
    assert_int_equal(tl_operation_cancel_reasons(o), 0);
    assert_int_equal(o->deadline_ns - tl_world_wall_ns(&p->env->fake.world), 5000 * MS);
    p->env->fake.now_ns += 5000 * MS;
    p->reasons = tl_operation_cancel_reasons(o);
    tl_operation_drop(o);
}

static void the_time_of_a_request_is_told(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    setup(&e, &p, watches_its_time);
    env_start(&e);
    give(&e, start_task(&e, "Orders", "buy"));
    assert_int_equal(p.reasons, TL_CANCEL_TIMED_OUT);
    env_expect_none(&e, TL_M_RespondNexusTaskCompleted);
    env_expect_none(&e, TL_M_RespondNexusTaskFailed);
    assert_int_equal(fake_waiting(&e.fake, TL_M_PollNexusTaskQueue), 5);
    env_end(&e);
}

/* Its own shutdown, without grace, as another thread would ask for it. */
static void is_told_of_the_shutdown(struct plan *p, struct tl_operation *o)
{
    tl_worker_shutdown(p->env->worker, 0);
    assert_true(tl_operation_wait_shutdown(o, INT64_MAX));
    env_settle(p->env);
    p->reasons = tl_operation_cancel_reasons(o);
    tl_operation_started(o, "in time");
}

static void a_shutdown_is_told_and_waits_for_the_answer(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    struct tl_rpc_request *req;
    setup(&e, &p, is_told_of_the_shutdown);
    env_start(&e);
    give(&e, start_task(&e, "Orders", "buy"));
    assert_int_equal(p.reasons, TL_CANCEL_WORKER_SHUTDOWN);
    TpWs__ShutdownWorkerRequest *s = env_expect(&e, TL_M_ShutdownWorker, &req);
    assert_int_equal(s->n_task_queue_types, 1);
    assert_int_equal((int)s->task_queue_types[0], TASK_QUEUE_TYPE_NEXUS);
    fake_reply_empty(req);
    env_settle(&e);
    assert_int_equal(tl_worker_state(e.worker), TL_WORKER_STOPPING);
    completed(&e);
    env_end(&e);
}

/* --- Polls ------------------------------------------------------------------------------------- */

static void slots_bound_the_polls(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    setup(&e, &p, starts);
    e.config.options.max_concurrent_nexus_tasks = 2;
    env_start(&e);
    assert_int_equal(fake_waiting(&e.fake, TL_M_PollNexusTaskQueue), 2);
    assert_int_equal(env_stats(&e).nexus_slots_used, 2);
    env_end(&e);
}

static void a_task_without_a_request_is_dropped(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    setup(&e, &p, starts);
    env_start(&e);
    give(&e, task(&e, true));
    assert_int_equal(env_logged(&e, "nexus.task_dropped"), 1);
    assert_int_equal(p.calls, 0);
    give(&e, start_task(&e, "Orders", "sell"));
    completed(&e);
    env_end(&e);
}

static void a_heartbeat_tells_of_nexus(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    struct tl_rpc_request *req;
    setup(&e, &p, starts);
    e.fake.manual_start = true;
    env_start(&e);
    env_expect(&e, TL_M_GetSystemInfo, &req);
    fake_reply_empty(req);
    env_settle(&e);
    TpWs__DescribeNamespaceResponse ns = TP_WS__DESCRIBE_NAMESPACE_RESPONSE__INIT;
    TpNamespace__NamespaceInfo info = TP_NAMESPACE__NAMESPACE_INFO__INIT;
    TpNamespace__NamespaceInfo__Capabilities caps =
        TP_NAMESPACE__NAMESPACE_INFO__CAPABILITIES__INIT;
    caps.worker_heartbeats = true;
    info.capabilities = &caps;
    ns.namespace_info = &info;
    env_expect(&e, TL_M_DescribeNamespace, &req);
    fake_reply(req, &ns);
    env_settle(&e);
    env_expect(&e, TL_M_RecordWorkerHeartbeat, &req);
    fake_reply_empty(req);
    env_settle(&e);
    give(&e, start_task(&e, "Orders", "buy"));
    completed(&e);
    env_pass(&e, 60000);
    TpWs__RecordWorkerHeartbeatRequest *r = env_expect(&e, TL_M_RecordWorkerHeartbeat, &req);
    TpWorker__WorkerHeartbeat *h = r->worker_heartbeat[0];
    assert_int_equal(h->nexus_poller_info->current_pollers, 5);
    assert_int_equal(h->nexus_task_slots_info->current_available_slots, 100);
    assert_int_equal(h->nexus_task_slots_info->total_processed_tasks, 1);
    assert_int_equal(h->nexus_task_slots_info->last_interval_processed_tasks, 1);
    fake_reply_empty(req);
    env_end(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_result_is_answered),
        cmocka_unit_test(numbers_are_kept),
        cmocka_unit_test(an_operation_that_goes_on_has_a_token),
        cmocka_unit_test(a_cancellation_is_taken),
        cmocka_unit_test(an_operation_fails),
        cmocka_unit_test(an_older_server_gets_the_older_form),
        cmocka_unit_test(a_request_is_refused),
        cmocka_unit_test(a_handler_without_an_end_is_refused),
        cmocka_unit_test(what_is_not_registered_is_named),
        cmocka_unit_test(twice_the_same_operation_is_an_error),
        cmocka_unit_test(a_result_that_is_too_large_is_refused_for_good),
        cmocka_unit_test(an_answer_that_no_request_carries_is_refused_once),
        cmocka_unit_test(an_answer_is_sent_again_while_somebody_waits_for_it),
        cmocka_unit_test(the_time_of_a_request_is_told),
        cmocka_unit_test(a_shutdown_is_told_and_waits_for_the_answer),
        cmocka_unit_test(slots_bound_the_polls),
        cmocka_unit_test(a_task_without_a_request_is_dropped),
        cmocka_unit_test(a_heartbeat_tells_of_nexus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
