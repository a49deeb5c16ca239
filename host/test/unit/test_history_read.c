/* Goal: what is asked of a run: queries, its history page by page, its description; and what a
 * completion says of its worker.
 * Method: single operations on one run; every transaction is also recovered and compared. The number
 * in a comment is the sentence of the project's list of server semantics that the case pins down. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <tl_enums.h>

#include "proto/pb.h"
#include "test/support/history_rig.h"

static int setup(void **state)
{
    static struct history_rig r;
    history_rig_open(&r);
    rig_start(&r);
    *state = &r;
    return 0;
}

static int teardown(void **state)
{
    history_rig_close(*state);
    return 0;
}

/* --- queries --------------------------------------------------------------------------------- */

static enum tl_query_route route(struct history_rig *r)
{
    tl_rc rc;
    return tl_rs_query_route(r->rs, TL_NS_NEVER, 1, &rc, &r->error_kind, &r->err);
}

static void buffer_query(struct history_rig *r, uint64_t id)
{
    assert_int_equal(rig_end(r, tl_tx_query_buffer(rig_begin(r), id, tl_str("\n\001q"), &r->err)),
                     TL_OK);
}

static void a_query_waits_for_a_task_while_one_is_pending(void **state) /* 18 */
{
    struct history_rig *r = *state;
    size_t rows = r->row_n;
    assert_int_equal(route(r), TL_QUERY_BUFFER);
    buffer_query(r, 77);
    assert_int_equal(route(r), TL_QUERY_REFUSE); /* one at most */
    assert_int_equal(r->error_kind, TL_ERR_RESOURCE_EXHAUSTED);
    assert_int_equal(r->row_n, rows);
    rig_poll(r);
    assert_int_equal(r->task.query_count, 1);
    assert_int_equal(r->task.queries[0].id, 77);
    assert_true(tl_str_eqc(r->task.queries[0].query, "\n\001q"));
    TpWs__RespondWorkflowTaskCompletedRequest *req = rig_completion(r);
    TpWs__RespondWorkflowTaskCompletedRequest__QueryResultsEntry entry =
        TP_WS__RESPOND_WORKFLOW_TASK_COMPLETED_REQUEST__QUERY_RESULTS_ENTRY__INIT;
    TpWs__RespondWorkflowTaskCompletedRequest__QueryResultsEntry *entries[] = {&entry};
    TpQuery__WorkflowQueryResult result = TP_QUERY__WORKFLOW_QUERY_RESULT__INIT;
    entry.key = (char *)(uintptr_t) "77";
    entry.value = &result;
    req->n_query_results = 1;
    req->query_results = entries;
    assert_int_equal(rig_send(r, req), TL_OK);
    assert_int_equal(rig_effect(r, TL_FX_QUERY_ANSWERED)->u.query.id, 77);
    assert_ptr_equal(rig_effect(r, TL_FX_QUERY_ANSWERED)->u.query.result, &result);
    assert_int_equal(rig_info(r).buffered_queries, 0);
    assert_int_equal(route(r), TL_QUERY_DIRECT);
}

static void an_unanswered_query_is_set_free_when_no_task_follows(void **state) /* 18 */
{
    struct history_rig *r = *state;
    buffer_query(r, 5);
    rig_poll(r);
    assert_int_equal(rig_signal(r, "s", "1"), TL_OK);
    assert_int_equal(rig_complete(r, NULL), TL_OK);
    assert_int_equal(rig_effect_count(r, TL_FX_QUERY_UNBLOCKED), 0); /* the next task takes it */
    rig_poll(r);
    assert_int_equal(r->task.query_count, 1);
    assert_int_equal(rig_complete(r, NULL), TL_OK);
    assert_int_equal(rig_effect(r, TL_FX_QUERY_UNBLOCKED)->u.query.id, 5);
    assert_int_equal(rig_terminate(r), TL_OK);
    assert_int_equal(route(r), TL_QUERY_DIRECT); /* a closed run can be asked */
}

static void a_failing_run_refuses_queries(void **state) /* 18 */
{
    struct history_rig *r = *state;
    rig_poll(r);
    assert_int_equal(rig_fail_task(r), TL_OK);
    assert_int_equal(route(r), TL_QUERY_BUFFER);
    rig_poll(r);
    assert_int_equal(rig_fail_task(r), TL_OK);
    assert_int_equal(route(r), TL_QUERY_REFUSE); /* attempt 3 */
    assert_int_equal(r->error_kind, TL_ERR_WORKFLOW_NOT_READY);
    assert_int_equal(rig_terminate(r), TL_OK);
    assert_int_equal(route(r), TL_QUERY_REFUSE);
    assert_string_equal(r->err.message,
                        "Workflow execution closed before WorkflowTaskStarted event");
}

/* --- completion contents --------------------------------------------------------------------- */

static void what_the_worker_says_of_itself_is_passed_through(void **state)
{
    struct history_rig *r = *state;
    TpWs__RespondWorkflowTaskCompletedRequest *req = rig_completion(r);
    TpDeployment__WorkerDeploymentOptions options = TP_DEPLOYMENT__WORKER_DEPLOYMENT_OPTIONS__INIT;
    TpSdk__WorkflowTaskCompletedMetadata sdk = TP_SDK__WORKFLOW_TASK_COMPLETED_METADATA__INIT;
    TpCommon__MeteringMetadata metering = TP_COMMON__METERING_METADATA__INIT;
    uint32_t flags[] = {3};
    options.deployment_name = (char *)(uintptr_t) "shop";
    options.build_id = (char *)(uintptr_t) "b1";
    sdk.n_lang_used_flags = 1;
    sdk.lang_used_flags = flags;
    metering.nonfirst_local_activity_execution_attempts = 4;
    req->deployment_options = &options;
    req->sdk_metadata = &sdk;
    req->metering_metadata = &metering;
    req->versioning_behavior = (TpEnums__VersioningBehavior)VERSIONING_BEHAVIOR_PINNED;
    rig_poll(r);
    assert_int_equal(rig_send(r, req), TL_EINVAL); /* a behaviour needs versioned mode */
    options.worker_versioning_mode =
        (TpEnums__WorkerVersioningMode)WORKER_VERSIONING_MODE_VERSIONED;
    assert_int_equal(rig_send(r, req), TL_OK);
    const TpHistory__WorkflowTaskCompletedEventAttributes *a =
        rig_event(r, 4)->workflow_task_completed_event_attributes;
    assert_string_equal(a->identity, "worker");
    assert_string_equal(a->worker_deployment_name, "shop");
    assert_string_equal(a->deployment_version->build_id, "b1");
    assert_int_equal(a->versioning_behavior, VERSIONING_BEHAVIOR_PINNED);
    assert_int_equal(a->sdk_metadata->lang_used_flags[0], 3);
    assert_int_equal(a->metering_metadata->nonfirst_local_activity_execution_attempts, 4);
    assert_int_equal(a->scheduled_event_id, 2);
    assert_int_equal(a->started_event_id, 3);
}

/* --- reading --------------------------------------------------------------------------------- */

static void a_transaction_is_one_batch(void **state) /* 13 */
{
    struct history_rig *r = *state;
    TpWs__RespondWorkflowTaskCompletedRequest *req = rig_completion(r);
    struct tl_rs_batch b;
    rig_poll(r);
    rig_add_command(r, req, rig_cmd_timer(r, "a", RIG_S));
    rig_add_command(r, req, rig_cmd_timer(r, "b", RIG_S));
    assert_int_equal(rig_send(r, req), TL_OK);
    assert_int_equal(tl_rs_batch_count(r->rs), 2);
    tl_rs_batch_at(r->rs, 1, &b);
    assert_int_equal(b.first_event_id, 3);
    assert_int_equal(b.event_count, 4);
    assert_int_equal(tl_rs_batch_find(r->rs, 2), 0);
    assert_int_equal(tl_rs_batch_find(r->rs, 3), 1);
    assert_int_equal(tl_rs_batch_find(r->rs, 6), 1);
    assert_int_equal(tl_rs_batch_find(r->rs, 7), 2);
    assert_int_equal(r->record.prev_log_id, 1);
    assert_int_equal(rig_info(r).last_log_id, 2);
}

static void cached_events_can_be_dropped_once_durable(void **state)
{
    struct history_rig *r = *state;
    struct tl_rs_batch b;
    assert_int_equal(rig_signal(r, "s", "1"), TL_OK);
    assert_int_equal(rig_signal(r, "s", "2"), TL_OK);
    size_t before = tl_rs_bytes(r->rs);
    size_t freed = tl_rs_shrink(r->rs, 2, 0);
    assert_true(freed > 0 && before - tl_rs_bytes(r->rs) == freed);
    tl_rs_batch_at(r->rs, 1, &b);
    assert_null(b.bytes.p);
    tl_rs_batch_at(r->rs, 2, &b); /* log id 3 is not durable yet */
    assert_non_null(b.bytes.p);
    assert_string_equal(rig_event(r, 3)->workflow_execution_signaled_event_attributes->request_id,
                        "1");
    assert_int_equal(tl_rs_shrink(r->rs, 3, SIZE_MAX), 0);
}

static void an_idle_run_is_small(void **state)
{
    struct history_rig *r = *state;
    rig_poll(r);
    assert_int_equal(rig_complete(r, NULL), TL_OK);
    tl_rs_shrink(r->rs, 100, 0);
    if (tl_rs_bytes(r->rs) > 2048) {
        fail_msg("%zu bytes", tl_rs_bytes(r->rs));
    }
}

static void describe_shows_the_pending_task(void **state)
{
    struct history_rig *r = *state;
    TpWs__DescribeWorkflowExecutionResponse out = TP_WS__DESCRIBE_WORKFLOW_EXECUTION_RESPONSE__INIT;
    assert_int_equal(tl_rs_describe(r->rs, r->now_ns, &r->arena, &out, &r->err), TL_OK);
    assert_int_equal(out.pending_workflow_task->state, PENDING_WORKFLOW_TASK_STATE_SCHEDULED);
    assert_string_equal(out.workflow_execution_info->type->name, "T");
    assert_int_equal(out.workflow_execution_info->history_length, 2);
    assert_int_equal(out.workflow_execution_info->status, WORKFLOW_EXECUTION_STATUS_RUNNING);
    assert_string_equal(out.execution_config->task_queue->name, "q");
    assert_int_equal(rig_span(out.execution_config->default_workflow_task_timeout), 10 * RIG_S);
    rig_poll(r);
    assert_int_equal(tl_rs_describe(r->rs, r->now_ns, &r->arena, &out, &r->err), TL_OK);
    assert_int_equal(out.pending_workflow_task->state, PENDING_WORKFLOW_TASK_STATE_STARTED);
}

static void an_undelivered_start_is_taken_back(void **state) /* 31 */
{
    struct history_rig *r = *state;
    rig_poll(r);
    assert_int_equal(rig_end(r, tl_tx_wft_unstart(rig_begin(r), &r->task.ref, &r->err)), TL_OK);
    assert_int_equal(rig_effect_count(r, TL_FX_DISPATCH_WFT), 1);
    assert_false(rig_info(r).wft_started);
    rig_poll(r);
    assert_int_equal(r->task.ref.started_id, 3);
    assert_int_equal(rig_complete(r, NULL), TL_OK);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_query_waits_for_a_task_while_one_is_pending),
        CASE(an_unanswered_query_is_set_free_when_no_task_follows),
        CASE(a_failing_run_refuses_queries),
        CASE(what_the_worker_says_of_itself_is_passed_through),
        CASE(a_transaction_is_one_batch),
        CASE(cached_events_can_be_dropped_once_durable),
        CASE(an_idle_run_is_small),
        CASE(describe_shows_the_pending_task),
        CASE(an_undelivered_start_is_taken_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
