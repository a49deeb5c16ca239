/* A server in one thread with a clock that only the test moves, and a client on it through the
 * in-process transport. Calls are pumped until they end or nothing can happen any more. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <google/rpc/status.pb-c.h>
#include <temporal/api/command/v1/message.pb-c.h>
#include <temporal/api/errordetails/v1/message.pb-c.h>
#include <temporal/api/testservice/v1/request_response.pb-c.h>
#include <temporal/api/workflowservice/v1/request_response.pb-c.h>

#include "base/arena.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "proto/pb.h"
#include "rpc/rpc.h"
#include "server/server.h"
#include "tl_enums.h"

#define UNUSED_OK __attribute__((unused))
#define S(lit) ((char *)(uintptr_t)(lit))

struct fx {
    struct tl_world world;
    int64_t now_ns;
    struct tl_rng rng;
    struct tl_server_options o;
    struct tl_server *s;
    struct tl_channel *ch;
    struct tl_arena arena; /* of decoded answers, freed at the end */
    char dir[64], path[96];
    int live;
};

/* A call under way or ended. */
struct fx_call {
    struct fx *f;
    struct tl_rpc_call *handle;
    struct tl_rpc_result *res;
    enum tl_method method;
};

static int64_t fx_now(void *ud)
{
    return ((struct fx *)ud)->now_ns;
}

static uint64_t fx_random(void *ud)
{
    return tl_rng_next(&((struct fx *)ud)->rng);
}

UNUSED_OK static void fx_pump(struct fx *f)
{
    do {
        tl_server_step(f->s);
    } while (tl_server_commit_step(f->s));
    tl_server_step(f->s);
}

UNUSED_OK static void fx_open(struct fx *f)
{
    struct tl_error err;
    f->o.world = &f->world;
    if (tl_server_open(&f->s, &f->o, &err) != TL_OK) {
        fail_msg("%s", err.message);
    }
    f->ch = tl_local_channel_open(tl_server_service(f->s));
}

/* on_disk: in a fresh directory that the end removes. */
UNUSED_OK static void fx_init(struct fx *f, bool on_disk)
{
    tl_log_level(TL_LOG_ERROR);
    memset(f, 0, sizeof *f);
    f->now_ns = INT64_C(1700000000) * TL_NS_PER_S;
    f->world = (struct tl_world){f, fx_now, fx_now, fx_random};
    tl_rng_seed(&f->rng, 42);
    tl_arena_init(&f->arena, TL_ARENA_UNLIMITED);
    tl_server_options_default(&f->o);
    f->o.workflow_id_reuse_ns = 0;
    if (on_disk) {
        snprintf(f->dir, sizeof f->dir, "/tmp/temporal-lua-test-XXXXXX");
        assert_non_null(mkdtemp(f->dir));
        snprintf(f->path, sizeof f->path, "%s/t.db", f->dir);
        f->o.db_path = f->path;
    }
}

UNUSED_OK static void fx_close(struct fx *f, bool abandon)
{
    if (abandon) {
        tl_server_abandon(f->s);
    } else {
        tl_server_close(f->s);
    }
    f->s = NULL;
    assert_int_equal(f->live, 0);
    tl_channel_close(f->ch);
}

UNUSED_OK static void fx_free(struct fx *f)
{
    if (f->s) {
        fx_close(f, false);
    }
    tl_arena_deinit(&f->arena);
    if (f->dir[0]) {
        char cmd[128];
        snprintf(cmd, sizeof cmd, "rm -rf '%s'", f->dir);
        assert_int_equal(system(cmd), 0);
    }
}

static void fx_done(void *ud, struct tl_rpc_result *res)
{
    struct fx_call *c = ud;
    c->res = res;
    c->f->live--;
}

/* Starts a call; the struct must stay where it is until fx_end. */
UNUSED_OK static void fx_start(struct fx *f, struct fx_call *c, enum tl_method m, const void *req)
{
    struct tl_str bytes;
    assert_int_equal(tl_pb_encode_arena(req, &f->arena, &bytes, NULL), TL_OK);
    *c = (struct fx_call){.f = f, .method = m};
    f->live++;
    c->handle = tl_channel_call(f->ch, m, bytes, 0, fx_done, c);
}

/* Ends the call's life; returns its answer decoded, NULL when it failed (status, message in out). */
UNUSED_OK static void *fx_end(struct fx_call *c, int *status, char **message,
                              TpRpc__Status **details)
{
    struct fx *f = c->f;
    void *msg = NULL;
    assert_non_null(c->res);
    if (status) {
        *status = c->res->status;
    }
    if (message) {
        *message = tl_arena_cstr(&f->arena, c->res->message);
    }
    if (details) {
        *details = NULL;
        if (c->res->details.n) {
            assert_int_equal(tl_pb_decode(&tp_rpc__status__descriptor, c->res->details, &f->arena,
                                          details, NULL),
                             TL_OK);
        }
    }
    if (c->res->status == 0) {
        struct tl_error err;
        tl_rc rc =
            tl_pb_decode(tl_method_info(c->method)->output, c->res->body, &f->arena, &msg, &err);
        if (rc != TL_OK) {
            fail_msg("%s: %s", tl_method_info(c->method)->name, err.message);
        }
    }
    tl_rpc_result_free(c->res);
    tl_rpc_call_release(c->handle);
    c->res = NULL;
    return msg;
}

/* Pumps; moves the clock to the server's next deadline while the call has not ended, at most
 * max_ns ahead. False when it still has not. */
UNUSED_OK static bool fx_wait(struct fx_call *c, int64_t max_ns)
{
    struct fx *f = c->f;
    int64_t until = f->now_ns + max_ns;
    for (;;) {
        fx_pump(f);
        if (c->res) {
            return true;
        }
        int64_t at = tl_server_step(f->s);
        if (at > until) {
            f->now_ns = until;
            fx_pump(f);
            return c->res != NULL;
        }
        f->now_ns = at > f->now_ns ? at : f->now_ns;
    }
}

UNUSED_OK static void *fx_try(struct fx *f, enum tl_method m, const void *req, int *status,
                              char **message, TpRpc__Status **details)
{
    struct fx_call c;
    fx_start(f, &c, m, req);
    assert_true(fx_wait(&c, 120 * TL_NS_PER_S));
    return fx_end(&c, status, message, details);
}

UNUSED_OK static void *fx_must(struct fx *f, enum tl_method m, const void *req)
{
    int status;
    char *message;
    void *r = fx_try(f, m, req, &status, &message, NULL);
    if (!r) {
        fail_msg("%s: status %d: %s", tl_method_info(m)->name, status, message);
    }
    return r;
}

/* The detail message of an error when it is of this type, else NULL. */
UNUSED_OK static void *fx_detail(struct fx *f, TpRpc__Status *st,
                                 const ProtobufCMessageDescriptor *d)
{
    void *msg = NULL;
    if (!st || st->n_details != 1 || !strstr(st->details[0]->type_url, d->name)) {
        return NULL;
    }
    assert_int_equal(tl_pb_decode(d, tl_pb_str(st->details[0]->value), &f->arena, &msg, NULL),
                     TL_OK);
    return msg;
}

/* --- requests ------------------------------------------------------------------------------------------ */

UNUSED_OK static TpWs__StartWorkflowExecutionRequest *fx_start_request(struct fx *f, const char *id)
{
    TpWs__StartWorkflowExecutionRequest *r = TL_PB_NEW(
        &f->arena, TpWs__StartWorkflowExecutionRequest, tp_ws__start_workflow_execution_request);
    char request_id[37];
    tl_uuid4(&f->world, request_id);
    r->namespace_ = S("default");
    r->workflow_id = tl_pb_cstr(&f->arena, tl_str(id));
    r->workflow_type = TL_PB_NEW(&f->arena, TpCommon__WorkflowType, tp_common__workflow_type);
    r->workflow_type->name = S("Order");
    r->task_queue = TL_PB_NEW(&f->arena, TpTq__TaskQueue, tp_tq__task_queue);
    r->task_queue->name = S("orders");
    r->request_id = tl_pb_cstr(&f->arena, tl_str(request_id));
    r->identity = S("tester");
    return r;
}

UNUSED_OK static char *fx_start_workflow(struct fx *f, const char *id)
{
    TpWs__StartWorkflowExecutionResponse *r =
        fx_must(f, TL_M_StartWorkflowExecution, fx_start_request(f, id));
    return r->run_id;
}

UNUSED_OK static TpCommon__WorkflowExecution *fx_execution(struct fx *f, const char *id,
                                                           const char *run_id)
{
    TpCommon__WorkflowExecution *x =
        TL_PB_NEW(&f->arena, TpCommon__WorkflowExecution, tp_common__workflow_execution);
    x->workflow_id = tl_pb_cstr(&f->arena, tl_str(id));
    x->run_id = tl_pb_cstr(&f->arena, tl_str(run_id));
    return x;
}

UNUSED_OK static TpTq__TaskQueue *fx_queue(struct fx *f, const char *name, bool sticky)
{
    TpTq__TaskQueue *q = TL_PB_NEW(&f->arena, TpTq__TaskQueue, tp_tq__task_queue);
    q->name = tl_pb_cstr(&f->arena, tl_str(name));
    q->kind = (TpEnums__TaskQueueKind)(sticky ? TASK_QUEUE_KIND_STICKY : TASK_QUEUE_KIND_NORMAL);
    if (sticky) {
        q->normal_name = S("orders");
    }
    return q;
}

UNUSED_OK static TpWs__PollWorkflowTaskQueueRequest *fx_poll_request(struct fx *f,
                                                                     const char *queue, bool sticky)
{
    TpWs__PollWorkflowTaskQueueRequest *r = TL_PB_NEW(&f->arena, TpWs__PollWorkflowTaskQueueRequest,
                                                      tp_ws__poll_workflow_task_queue_request);
    r->namespace_ = S("default");
    r->task_queue = fx_queue(f, queue, sticky);
    r->identity = S("worker");
    return r;
}

UNUSED_OK static TpWs__PollActivityTaskQueueRequest *fx_poll_activity_request(struct fx *f,
                                                                              const char *queue)
{
    TpWs__PollActivityTaskQueueRequest *r = TL_PB_NEW(&f->arena, TpWs__PollActivityTaskQueueRequest,
                                                      tp_ws__poll_activity_task_queue_request);
    r->namespace_ = S("default");
    r->task_queue = fx_queue(f, queue, false);
    r->identity = S("worker");
    return r;
}

UNUSED_OK static TpWs__PollWorkflowTaskQueueResponse *fx_poll(struct fx *f)
{
    TpWs__PollWorkflowTaskQueueResponse *r =
        fx_must(f, TL_M_PollWorkflowTaskQueue, fx_poll_request(f, "orders", false));
    assert_true(r->task_token.len > 0);
    return r;
}

UNUSED_OK static TpWs__PollActivityTaskQueueResponse *fx_poll_activity(struct fx *f)
{
    TpWs__PollActivityTaskQueueResponse *r =
        fx_must(f, TL_M_PollActivityTaskQueue, fx_poll_activity_request(f, "orders"));
    assert_true(r->task_token.len > 0);
    return r;
}

UNUSED_OK static TpCommand__Command *fx_command(struct fx *f, int type)
{
    TpCommand__Command *c = TL_PB_NEW(&f->arena, TpCommand__Command, tp_command__command);
    c->command_type = (TpEnums__CommandType)type;
    return c;
}

UNUSED_OK static TpCommand__Command *fx_complete_command(struct fx *f)
{
    TpCommand__Command *c = fx_command(f, COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION);
    c->attributes_case =
        TP_COMMAND__COMMAND__ATTRIBUTES_COMPLETE_WORKFLOW_EXECUTION_COMMAND_ATTRIBUTES;
    c->complete_workflow_execution_command_attributes =
        TL_PB_NEW(&f->arena, TpCommand__CompleteWorkflowExecutionCommandAttributes,
                  tp_command__complete_workflow_execution_command_attributes);
    return c;
}

UNUSED_OK static TpCommand__Command *fx_activity_command(struct fx *f, const char *id, int attempts)
{
    TpCommand__Command *c = fx_command(f, COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK);
    TpCommand__ScheduleActivityTaskCommandAttributes *a =
        TL_PB_NEW(&f->arena, TpCommand__ScheduleActivityTaskCommandAttributes,
                  tp_command__schedule_activity_task_command_attributes);
    c->attributes_case = TP_COMMAND__COMMAND__ATTRIBUTES_SCHEDULE_ACTIVITY_TASK_COMMAND_ATTRIBUTES;
    c->schedule_activity_task_command_attributes = a;
    a->activity_id = tl_pb_cstr(&f->arena, tl_str(id));
    a->activity_type = TL_PB_NEW(&f->arena, TpCommon__ActivityType, tp_common__activity_type);
    a->activity_type->name = S("charge");
    a->task_queue = fx_queue(f, "orders", false);
    a->start_to_close_timeout = tl_pb_duration_ms(&f->arena, 30000);
    if (attempts) {
        a->retry_policy = TL_PB_NEW(&f->arena, TpCommon__RetryPolicy, tp_common__retry_policy);
        a->retry_policy->maximum_attempts = attempts;
    }
    return c;
}

UNUSED_OK static TpCommand__Command *fx_timer_command(struct fx *f, const char *id, int64_t ms)
{
    TpCommand__Command *c = fx_command(f, COMMAND_TYPE_START_TIMER);
    TpCommand__StartTimerCommandAttributes *a =
        TL_PB_NEW(&f->arena, TpCommand__StartTimerCommandAttributes,
                  tp_command__start_timer_command_attributes);
    c->attributes_case = TP_COMMAND__COMMAND__ATTRIBUTES_START_TIMER_COMMAND_ATTRIBUTES;
    c->start_timer_command_attributes = a;
    a->timer_id = tl_pb_cstr(&f->arena, tl_str(id));
    a->start_to_fire_timeout = tl_pb_duration_ms(&f->arena, ms);
    return c;
}

/* A completion with up to two commands (NULL: none), stickiness when `sticky` names a queue. */
UNUSED_OK static TpWs__RespondWorkflowTaskCompletedRequest *
fx_completion(struct fx *f, ProtobufCBinaryData token, TpCommand__Command *a, TpCommand__Command *b,
              const char *sticky)
{
    TpWs__RespondWorkflowTaskCompletedRequest *r =
        TL_PB_NEW(&f->arena, TpWs__RespondWorkflowTaskCompletedRequest,
                  tp_ws__respond_workflow_task_completed_request);
    struct tl_pb_list list = {0};
    if (a) {
        tl_pb_push(&f->arena, &list, a);
    }
    if (b) {
        tl_pb_push(&f->arena, &list, b);
    }
    r->namespace_ = S("default");
    r->identity = S("worker");
    r->task_token = token;
    r->n_commands = list.n;
    r->commands = list.items;
    if (sticky) {
        r->sticky_attributes = TL_PB_NEW(&f->arena, TpTq__StickyExecutionAttributes,
                                         tp_tq__sticky_execution_attributes);
        r->sticky_attributes->worker_task_queue = fx_queue(f, sticky, true);
        r->sticky_attributes->schedule_to_start_timeout = tl_pb_duration_ms(&f->arena, 10000);
    }
    return r;
}

UNUSED_OK static void fx_complete(struct fx *f, ProtobufCBinaryData token, TpCommand__Command *a,
                                  TpCommand__Command *b)
{
    fx_must(f, TL_M_RespondWorkflowTaskCompleted, fx_completion(f, token, a, b, NULL));
}

UNUSED_OK static void fx_complete_activity(struct fx *f, ProtobufCBinaryData token)
{
    TpWs__RespondActivityTaskCompletedRequest *r =
        TL_PB_NEW(&f->arena, TpWs__RespondActivityTaskCompletedRequest,
                  tp_ws__respond_activity_task_completed_request);
    r->namespace_ = S("default");
    r->task_token = token;
    r->identity = S("worker");
    fx_must(f, TL_M_RespondActivityTaskCompleted, r);
}

UNUSED_OK static TpWs__GetWorkflowExecutionHistoryRequest *
fx_history_request(struct fx *f, const char *id, const char *run_id)
{
    TpWs__GetWorkflowExecutionHistoryRequest *r =
        TL_PB_NEW(&f->arena, TpWs__GetWorkflowExecutionHistoryRequest,
                  tp_ws__get_workflow_execution_history_request);
    r->namespace_ = S("default");
    r->execution = fx_execution(f, id, run_id);
    return r;
}

/* Event types of the whole history as text: "1 5 6 ...", read page by page. */
UNUSED_OK static char *fx_history(struct fx *f, const char *id, const char *run_id, int32_t page)
{
    TpWs__GetWorkflowExecutionHistoryRequest *r = fx_history_request(f, id, run_id);
    static char text[8192];
    size_t n = 0;
    int64_t next = 1;
    r->maximum_page_size = page;
    text[0] = 0;
    do {
        TpWs__GetWorkflowExecutionHistoryResponse *h =
            fx_must(f, TL_M_GetWorkflowExecutionHistory, r);
        for (size_t i = 0; i < h->history->n_events; i++) {
            assert_int_equal(h->history->events[i]->event_id, next++);
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%d", n ? " " : "",
                                  (int)h->history->events[i]->event_type);
        }
        r->next_page_token = h->next_page_token;
    } while (r->next_page_token.len);
    return text;
}

UNUSED_OK static TpWs__DescribeWorkflowExecutionResponse *fx_describe(struct fx *f, const char *id,
                                                                      const char *run_id)
{
    TpWs__DescribeWorkflowExecutionRequest r = TP_WS__DESCRIBE_WORKFLOW_EXECUTION_REQUEST__INIT;
    r.namespace_ = S("default");
    r.execution = fx_execution(f, id, run_id);
    return fx_must(f, TL_M_DescribeWorkflowExecution, &r);
}

UNUSED_OK static void fx_signal(struct fx *f, const char *id, const char *name)
{
    TpWs__SignalWorkflowExecutionRequest r = TP_WS__SIGNAL_WORKFLOW_EXECUTION_REQUEST__INIT;
    r.namespace_ = S("default");
    r.workflow_execution = fx_execution(f, id, "");
    r.signal_name = S(name);
    fx_must(f, TL_M_SignalWorkflowExecution, &r);
}

/* --- cmocka's set-up and teardown ----------------------------------------------------------------- */

static UNUSED_OK int fx_setup(void **state, bool file)
{
    struct fx *f = TL_NEW(struct fx);
    fx_init(f, file);
    fx_open(f);
    *state = f;
    return 0;
}

/* A server on a database file, which a crash leaves behind. */
static UNUSED_OK int fx_setup_file(void **state)
{
    return fx_setup(state, true);
}

static UNUSED_OK int fx_setup_memory(void **state)
{
    return fx_setup(state, false);
}

static UNUSED_OK int fx_teardown(void **state)
{
    tl_fault_arm(TL_FAULT_sometimes_fail_commit, false);
    fx_free(*state);
    tl_mem_free(*state);
    return 0;
}

/* The process is gone without a word; another one opens the file. */
static UNUSED_OK void fx_crash(struct fx *f)
{
    fx_close(f, true);
    fx_open(f);
}
