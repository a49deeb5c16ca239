/* Goal: a service that announces commands has them carried out: activities that never heartbeat hear of their
 * cancellation at once; what is no command is refused; polls go on after failures, and not without the
 * announcement.
 * Method: a stepped worker; the test plays service and clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "proto/pb.h"
#include "temporal/api/nexusservices/workerservice/v1/request_response.pb-c.h"
#include "test/support/activity_plan.h"
#include "tl_enums.h"

#define SERVICE "temporal.api.nexusservices.workerservice.v1.WorkerService"
#define QUEUE "temporal-sys/worker-commands/default/"

/* Answers the poll for commands with a Nexus task; settles. */
static void give(struct env *e, const char *service, const char *operation, struct tl_str payload)
{
    struct tl_rpc_request *req;
    TpWs__PollNexusTaskQueueResponse task = TP_WS__POLL_NEXUS_TASK_QUEUE_RESPONSE__INIT;
    TpNexus__Request request = TP_NEXUS__REQUEST__INIT;
    TpNexus__StartOperationRequest start = TP_NEXUS__START_OPERATION_REQUEST__INIT;
    TpCommon__Payload data = TP_COMMON__PAYLOAD__INIT;
    env_expect(e, TL_M_PollNexusTaskQueue, &req);
    data.data = (ProtobufCBinaryData){payload.n, (uint8_t *)(uintptr_t)payload.p};
    start.service = (char *)(uintptr_t)service;
    start.operation = (char *)(uintptr_t)operation;
    start.payload = &data;
    request.variant_case = TP_NEXUS__REQUEST__VARIANT_START_OPERATION;
    request.start_operation = &start;
    task.task_token = (ProtobufCBinaryData){4, (uint8_t *)(uintptr_t) "task"};
    task.request = &request;
    fake_reply(req, &task);
    env_settle(e);
}

/* Commands to cancel the activities of these tokens, and one of a kind that nobody knows. */
static void give_cancel(struct env *e, const struct tl_str *tokens, size_t n)
{
    TpWorkersvc__ExecuteCommandsRequest r = TP_WORKERSVC__EXECUTE_COMMANDS_REQUEST__INIT;
    TpWorker__WorkerCommand commands[4], *list[4];
    TpWorker__CancelActivityCommand cancels[4];
    struct tl_str bytes;
    for (size_t i = 0; i <= n; i++) {
        tp_worker__worker_command__init(&commands[i]);
        list[i] = &commands[i];
    }
    for (size_t i = 0; i < n; i++) {
        tp_worker__cancel_activity_command__init(&cancels[i]);
        cancels[i].task_token =
            (ProtobufCBinaryData){tokens[i].n, (uint8_t *)(uintptr_t)tokens[i].p};
        commands[i].type_case = TP_WORKER__WORKER_COMMAND__TYPE_CANCEL_ACTIVITY;
        commands[i].cancel_activity = &cancels[i];
    }
    r.commands = list;
    r.n_commands = n + 1;
    assert_int_equal(tl_pb_encode_arena(&r, &e->arena, &bytes, NULL), TL_OK);
    give(e, SERVICE, "ExecuteCommands", bytes);
}

/* The results that the worker has answered with. */
static TpWorkersvc__ExecuteCommandsResponse *take_results(struct env *e)
{
    struct tl_rpc_request *req;
    TpWorkersvc__ExecuteCommandsResponse *out;
    TpWs__RespondNexusTaskCompletedRequest *r = env_expect(e, TL_M_RespondNexusTaskCompleted, &req);
    assert_memory_equal(r->task_token.data, "task", 4);
    assert_string_equal(r->namespace_, "default");
    TpCommon__Payload *p = r->response->start_operation->sync_success->payload;
    assert_int_equal(tl_pb_decode(&tp_workersvc__execute_commands_response__descriptor,
                                  tl_pb_str(p->data), &e->arena, &out, NULL),
                     TL_OK);
    fake_reply_empty(req);
    env_settle(e);
    return out;
}

static void hears_of_it(struct plan *p, struct tl_activity *a)
{
    const struct tl_str tokens[] = {TL_STR_LIT("nobody's"), tl_pb_str(a->task->task_token)};
    assert_int_equal(tl_activity_cancel_reasons(a), 0);
    give_cancel(p->env, tokens, 1);
    TpWorkersvc__ExecuteCommandsResponse *r = take_results(p->env);
    assert_int_equal(r->n_results, 2);
    assert_int_equal(r->results[0]->type_case,
                     TP_WORKER__WORKER_COMMAND_RESULT__TYPE_CANCEL_ACTIVITY);
    assert_int_equal(r->results[1]->type_case, TP_WORKER__WORKER_COMMAND_RESULT__TYPE__NOT_SET);
    assert_int_equal(tl_activity_cancel_reasons(a), 0);
    give_cancel(p->env, tokens, 2);
    assert_int_equal(take_results(p->env)->n_results, 3);
    p->reasons = tl_activity_cancel_reasons(a);
    tl_activity_end_canceled(a, NULL);
}

static void an_activity_is_cancelled_without_a_heartbeat(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    struct tl_rpc_request *req;
    plan_setup(&e, &p, hears_of_it);
    e.fake.worker_commands = true;
    env_start(&e);
    env_give_activity(&e, env_activity(&e, "act", 1, 0));
    assert_int_equal(p.reasons, TL_CANCEL_REQUESTED);
    env_expect(&e, TL_M_RespondActivityTaskCanceled, &req);
    fake_reply_empty(req);
    env_settle(&e);
    assert_int_equal(e.fake.counts[TL_M_RecordActivityTaskHeartbeat], 0);
    assert_int_equal(env_logged(&e, "worker.command_unknown"), 2);
    env_end(&e);
}

static void polls_name_the_queue(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    struct tl_rpc_request *req;
    for (int on = 0; on < 2; on++) {
        plan_setup(&e, &p, plan_completes);
        e.fake.worker_commands = on;
        env_start(&e);
        TpWs__PollActivityTaskQueueRequest *poll = env_expect(&e, TL_M_PollActivityTaskQueue, &req);
        fake_put_back(&e.fake, req);
        assert_int_equal(fake_waiting(&e.fake, TL_M_PollNexusTaskQueue), on);
        if (on) {
            TpWs__PollNexusTaskQueueRequest *commands =
                env_expect(&e, TL_M_PollNexusTaskQueue, &req);
            fake_put_back(&e.fake, req);
            assert_memory_equal(commands->task_queue->name, QUEUE, strlen(QUEUE));
            assert_int_equal(strlen(commands->task_queue->name), strlen(QUEUE) + 36);
            assert_int_equal((int)commands->task_queue->kind, TASK_QUEUE_KIND_WORKER_COMMANDS);
            assert_string_equal(poll->worker_control_task_queue, commands->task_queue->name);
        } else {
            assert_string_equal(poll->worker_control_task_queue, "");
        }
        env_end(&e);
    }
}

static void what_is_no_command_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *service, *operation, *payload, *type;
    } rows[] = {
        {"Other", "ExecuteCommands", "", "NOT_FOUND"},
        {SERVICE, "Other", "", "NOT_FOUND"},
        {SERVICE, "ExecuteCommands", "\xff\xff\xff", "BAD_REQUEST"},
    };
    struct env e;
    struct plan p;
    struct tl_rpc_request *req;
    plan_setup(&e, &p, plan_completes);
    e.fake.worker_commands = true;
    env_start(&e);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        give(&e, rows[i].service, rows[i].operation, tl_str(rows[i].payload));
        TpWs__RespondNexusTaskFailedRequest *r = env_expect(&e, TL_M_RespondNexusTaskFailed, &req);
        assert_string_equal(r->error->error_type, rows[i].type);
        fake_refuse(req, 5, "too late"); /* the next poll leaves all the same */
        env_settle(&e);
        assert_int_equal(fake_waiting(&e.fake, TL_M_PollNexusTaskQueue), 1);
    }
    env_end(&e);
}

static void a_failed_poll_is_made_again_after_a_pause(void **state)
{
    (void)state;
    struct env e;
    struct plan p;
    struct tl_rpc_request *req;
    plan_setup(&e, &p, plan_completes);
    e.fake.worker_commands = true;
    env_start(&e);
    env_expect(&e, TL_M_PollNexusTaskQueue, &req);
    fake_refuse(req, 14, "gone");
    env_settle(&e);
    assert_int_equal(fake_waiting(&e.fake, TL_M_PollNexusTaskQueue), 0);
    env_pass(&e, 1000);
    assert_int_equal(fake_waiting(&e.fake, TL_M_PollNexusTaskQueue), 1);
    env_pass(&e, 60000); /* a long poll's empty end is followed by the next at once */
    env_expect(&e, TL_M_PollNexusTaskQueue, &req);
    fake_reply_empty(req);
    env_settle(&e);
    env_expect(&e, TL_M_PollNexusTaskQueue, &req);
    fake_refuse(req, 12, "unknown method"); /* a service that does not know it is not asked again */
    env_pass(&e, 60000);
    assert_int_equal(fake_waiting(&e.fake, TL_M_PollNexusTaskQueue), 0);
    env_end(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_activity_is_cancelled_without_a_heartbeat),
        cmocka_unit_test(polls_name_the_queue),
        cmocka_unit_test(what_is_no_command_is_refused),
        cmocka_unit_test(a_failed_poll_is_made_again_after_a_pause),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
