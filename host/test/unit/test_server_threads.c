/* The server with its threads: several clients and workers at once, an end in the middle of it. */
#include <pthread.h>
#include <stdatomic.h>

#include "base/inbox.h"
#include "test_server_fixture.h"

#define WORKFLOWS 60

struct waiter {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    struct tl_rpc_result *res;
};

static void arrived(void *ud, struct tl_rpc_result *res)
{
    struct waiter *w = ud;
    pthread_mutex_lock(&w->mutex);
    w->res = res;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->mutex);
}

/* A blocking call from any thread; the answer is in the arena. NULL: status in *status. */
static void *call(struct tl_channel *ch, enum tl_method m, const void *req, struct tl_arena *arena,
                  int *status)
{
    struct waiter w = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL};
    struct tl_str bytes;
    void *msg = NULL;
    assert_int_equal(tl_pb_encode_arena(req, arena, &bytes, NULL), TL_OK);
    struct tl_rpc_call *c = tl_channel_call(ch, m, bytes, 0, arrived, &w);
    pthread_mutex_lock(&w.mutex);
    while (!w.res) {
        pthread_cond_wait(&w.cond, &w.mutex);
    }
    pthread_mutex_unlock(&w.mutex);
    *status = w.res->status;
    if (*status == 0) {
        assert_int_equal(tl_pb_decode(tl_method_info(m)->output, w.res->body, arena, &msg, NULL),
                         TL_OK);
    }
    tl_rpc_result_free(w.res);
    tl_rpc_call_release(c);
    return msg;
}

struct shared {
    struct tl_channel *ch;
    atomic_int completed;
};

static void *workflow_worker(void *ud)
{
    struct shared *sh = ud;
    struct fx f; /* only its arena and request builders */
    fx_init(&f, false);
    for (;;) {
        int status;
        tl_arena_reset(&f.arena);
        TpWs__PollWorkflowTaskQueueResponse *w =
            call(sh->ch, TL_M_PollWorkflowTaskQueue, fx_poll_request(&f, "orders", false), &f.arena,
                 &status);
        if (!w || !w->task_token.len) {
            break;
        }
        bool first = w->previous_started_event_id == 0;
        call(sh->ch, TL_M_RespondWorkflowTaskCompleted,
             fx_completion(&f, w->task_token,
                           first ? fx_activity_command(&f, "1", 0) : fx_complete_command(&f), NULL,
                           NULL),
             &f.arena, &status);
        if (status == 0 && !first) {
            atomic_fetch_add(&sh->completed, 1);
        }
    }
    tl_arena_deinit(&f.arena);
    return NULL;
}

static void *activity_worker(void *ud)
{
    struct shared *sh = ud;
    struct fx f;
    fx_init(&f, false);
    for (;;) {
        int status;
        tl_arena_reset(&f.arena);
        TpWs__PollActivityTaskQueueResponse *a =
            call(sh->ch, TL_M_PollActivityTaskQueue, fx_poll_activity_request(&f, "orders"),
                 &f.arena, &status);
        if (!a || !a->task_token.len) {
            break;
        }
        TpWs__RespondActivityTaskCompletedRequest r =
            TP_WS__RESPOND_ACTIVITY_TASK_COMPLETED_REQUEST__INIT;
        r.namespace_ = S("default");
        r.task_token = a->task_token;
        call(sh->ch, TL_M_RespondActivityTaskCompleted, &r, &f.arena, &status);
    }
    tl_arena_deinit(&f.arena);
    return NULL;
}

static void run_workflows(struct shared *sh)
{
    struct fx f;
    int status;
    fx_init(&f, false);
    for (int i = 0; i < WORKFLOWS; i++) {
        char id[16];
        snprintf(id, sizeof id, "o-%d", i);
        assert_non_null(
            call(sh->ch, TL_M_StartWorkflowExecution, fx_start_request(&f, id), &f.arena, &status));
    }
    for (int i = 0; i < WORKFLOWS; i++) {
        char id[16];
        snprintf(id, sizeof id, "o-%d", i);
        TpWs__GetWorkflowExecutionHistoryRequest *q = fx_history_request(&f, id, "");
        q->wait_new_event = true;
        q->history_event_filter_type =
            (TpEnums__HistoryEventFilterType)HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT;
        TpWs__GetWorkflowExecutionHistoryResponse *h =
            call(sh->ch, TL_M_GetWorkflowExecutionHistory, q, &f.arena, &status);
        assert_non_null(h);
        assert_int_equal(h->history->n_events, 1);
        assert_int_equal(h->history->events[0]->event_type,
                         EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED);
    }
    TpWs__CountWorkflowExecutionsRequest c = TP_WS__COUNT_WORKFLOW_EXECUTIONS_REQUEST__INIT;
    c.namespace_ = S("default");
    c.query = S("ExecutionStatus = 'Completed'");
    TpWs__CountWorkflowExecutionsResponse *n =
        call(sh->ch, TL_M_CountWorkflowExecutions, &c, &f.arena, &status);
    assert_int_equal(n->count, WORKFLOWS);
    tl_arena_deinit(&f.arena);
}

static void test_threads(void **state)
{
    (void)state;
    struct fx f;
    struct shared sh = {0};
    pthread_t threads[5];
    struct tl_error err;
    fx_init(&f, true);
    f.o.world = NULL; /* real clocks: threads wait on them */
    f.o.checkpoint_ns = 20 * TL_NS_PER_MS;
    assert_int_equal(tl_server_open(&f.s, &f.o, &err), TL_OK);
    assert_int_equal(tl_server_start(f.s, &err), TL_OK);
    f.ch = sh.ch = tl_local_channel_open(tl_server_service(f.s));
    for (int i = 0; i < 5; i++) {
        assert_int_equal(
            pthread_create(&threads[i], NULL, i < 3 ? workflow_worker : activity_worker, &sh), 0);
    }
    run_workflows(&sh);
    tl_server_stop(f.s); /* the polls end */
    for (int i = 0; i < 5; i++) {
        pthread_join(threads[i], NULL);
    }
    /* Counted behind the answer: a history may be seen to be complete before. */
    assert_int_equal(atomic_load(&sh.completed), WORKFLOWS);
    int status;
    assert_null(
        call(sh.ch, TL_M_StartWorkflowExecution, fx_start_request(&f, "late"), &f.arena, &status));
    assert_int_equal(status, 14);
    tl_server_stop(f.s);
    fx_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
