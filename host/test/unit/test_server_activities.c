/* Activities without a workflow: their life, ids, timeouts, cancellation, long polls. */
#include "test_activity_requests.h"

/* --- life -------------------------------------------------------------------------------------- */

static void test_life(void **state)
{
    struct fx *f = *state;
    TpWs__StartActivityExecutionResponse *s = start(f, "a-1");
    assert_true(s->started);
    assert_int_equal(s->link->variant_case, TP_COMMON__LINK__VARIANT_ACTIVITY);
    assert_string_equal(s->link->activity->run_id, s->run_id);
    TpWs__DescribeActivityExecutionResponse *d = describe(f, "a-1");
    assert_int_equal(d->info->status, ACTIVITY_EXECUTION_STATUS_RUNNING);
    assert_int_equal(d->info->run_state, PENDING_ACTIVITY_STATE_SCHEDULED);
    assert_int_equal(d->info->attempt, 1);
    assert_null(d->info->last_started_time);
    assert_null(d->outcome);
    assert_string_equal(first_text(f, d->input), "7");

    TpWs__PollActivityTaskQueueResponse *t = fx_poll_activity(f);
    assert_string_equal(t->activity_run_id, s->run_id);
    assert_string_equal(t->activity_id, "a-1");
    assert_string_equal(t->activity_type->name, "charge");
    assert_null(t->workflow_execution);
    assert_null(t->workflow_type);
    assert_string_equal(first_text(f, t->input), "7");
    d = describe(f, "a-1");
    assert_int_equal(d->info->run_state, PENDING_ACTIVITY_STATE_STARTED);
    assert_string_equal(d->info->last_worker_identity, "worker");
    assert_false(beat(f, t->task_token)->cancel_requested);
    f->now_ns += 2 * TL_NS_PER_S;
    complete(f, t->task_token, "\"paid\"");

    TpActivity__ActivityExecutionOutcome *o = outcome(f, "a-1");
    assert_string_equal(first_text(f, o->result), "\"paid\"");
    d = describe(f, "a-1");
    assert_int_equal(d->info->status, ACTIVITY_EXECUTION_STATUS_COMPLETED);
    assert_int_equal(d->info->run_state, PENDING_ACTIVITY_STATE_UNSPECIFIED);
    assert_int_equal(d->info->execution_duration->seconds, 2);
    assert_int_equal(d->info->total_heartbeat_count, 1);
    assert_string_equal(first_text(f, d->info->heartbeat_details), "\"half\"");
    assert_string_equal(first_text(f, d->outcome->result), "\"paid\"");

    TpWs__RespondActivityTaskCompletedRequest again =
        TP_WS__RESPOND_ACTIVITY_TASK_COMPLETED_REQUEST__INIT;
    char *message;
    again.namespace_ = S("default");
    again.task_token = t->task_token;
    assert_int_equal(refused(f, TL_M_RespondActivityTaskCompleted, &again, &message, NULL), 5);
    assert_string_equal(message, "activity task not found");
}

static void test_retries(void **state)
{
    struct fx *f = *state;
    start(f, "a-1");
    fail_task(f, fx_poll_activity(f)->task_token, false);
    TpActivity__ActivityExecutionInfo *i = describe(f, "a-1")->info;
    assert_int_equal(i->attempt, 2);
    assert_int_equal(i->run_state, PENDING_ACTIVITY_STATE_SCHEDULED);
    assert_string_equal(i->last_failure->message, "no card");
    assert_int_equal(i->current_retry_interval->seconds, 1);
    assert_non_null(i->next_attempt_schedule_time);
    assert_non_null(i->last_attempt_complete_time);
    TpWs__PollActivityTaskQueueResponse *t = fx_poll_activity(f); /* the clock moves to it */
    assert_int_equal(t->attempt, 2);
    fail_task(f, t->task_token, true);
    TpActivity__ActivityExecutionOutcome *o = outcome(f, "a-1");
    assert_string_equal(o->failure->message, "no card");
    assert_int_equal(o->retry_state, RETRY_STATE_NON_RETRYABLE_FAILURE);
    i = describe(f, "a-1")->info;
    assert_int_equal(i->status, ACTIVITY_EXECUTION_STATUS_FAILED);
    assert_int_equal(i->attempt, 2);

    TpWs__StartActivityExecutionRequest *r = request(f, "a-2");
    r->retry_policy = TL_PB_NEW(&f->arena, TpCommon__RetryPolicy, tp_common__retry_policy);
    r->retry_policy->maximum_attempts = 1;
    fx_must(f, TL_M_StartActivityExecution, r);
    fail_task(f, fx_poll_activity(f)->task_token, false);
    assert_int_equal(outcome(f, "a-2")->retry_state, RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED);
}

static void test_timeouts(void **state)
{
    struct fx *f = *state;
    int64_t at_ns = f->now_ns;
    start_limited(f, "start", TIMEOUT_TYPE_SCHEDULE_TO_START, 0);
    check_timed_out(f, "start", TIMEOUT_TYPE_SCHEDULE_TO_START);
    assert_int_equal((f->now_ns - at_ns) / TL_NS_PER_S, 5);
    start_limited(f, "close", TIMEOUT_TYPE_START_TO_CLOSE, 0);
    fx_poll_activity(f);
    check_timed_out(f, "close", TIMEOUT_TYPE_START_TO_CLOSE);
    start_limited(f, "beat", TIMEOUT_TYPE_HEARTBEAT, 0);
    fx_poll_activity(f);
    check_timed_out(f, "beat", TIMEOUT_TYPE_HEARTBEAT);
    /* The time to its end begins when its start delay is over. */
    at_ns = f->now_ns;
    start_limited(f, "all", TIMEOUT_TYPE_SCHEDULE_TO_CLOSE, 3000);
    TpActivity__ActivityExecutionInfo *i = describe(f, "all")->info;
    assert_int_equal(i->expiration_time->seconds - i->schedule_time->seconds, 8);
    assert_int_equal(i->execution_time->seconds - i->schedule_time->seconds, 3);
    assert_int_equal(i->next_attempt_schedule_time->seconds - i->schedule_time->seconds, 3);
    f->now_ns += 2 * TL_NS_PER_S;
    assert_false(offered(f));
    f->now_ns += 2 * TL_NS_PER_S;
    assert_true(offered(f));
    check_timed_out(f, "all", TIMEOUT_TYPE_SCHEDULE_TO_CLOSE);
    assert_int_equal((f->now_ns - at_ns) / TL_NS_PER_S, 8);
}

/* --- ids --------------------------------------------------------------------------------------- */

static void test_ids(void **state)
{
    struct fx *f = *state;
    TpWs__StartActivityExecutionRequest *first = request(f, "a-1");
    TpWs__StartActivityExecutionResponse *s = fx_must(f, TL_M_StartActivityExecution, first);
    TpWs__StartActivityExecutionResponse *again = fx_must(f, TL_M_StartActivityExecution, first);
    assert_false(again->started);
    assert_string_equal(again->run_id, s->run_id);

    char *message;
    TpRpc__Status *details;
    TpWs__StartActivityExecutionRequest *r = request(f, "a-1");
    assert_int_equal(refused(f, TL_M_StartActivityExecution, r, &message, &details), 6);
    const TpErrdetails__ActivityExecutionAlreadyStartedFailure *d = fx_detail(
        f, details, &tp_errdetails__activity_execution_already_started_failure__descriptor);
    assert_non_null(d);
    assert_string_equal(d->run_id, s->run_id);
    assert_string_equal(d->start_request_id, first->request_id);
    r->id_conflict_policy =
        (TpEnums__ActivityIdConflictPolicy)ACTIVITY_ID_CONFLICT_POLICY_USE_EXISTING;
    assert_string_equal(
        ((TpWs__StartActivityExecutionResponse *)fx_must(f, TL_M_StartActivityExecution, r))
            ->run_id,
        s->run_id);

    /* A workflow of that id is another thing. */
    fx_start_workflow(f, "a-1");
    assert_int_equal(describe(f, "a-1")->info->status, ACTIVITY_EXECUTION_STATUS_RUNNING);
    fx_signal(f, "a-1", "go");
    fx_complete(f, fx_poll(f)->task_token, fx_complete_command(f), NULL);
    TpWs__DescribeWorkflowExecutionRequest w = TP_WS__DESCRIBE_WORKFLOW_EXECUTION_REQUEST__INIT;
    w.namespace_ = S("default");
    w.execution = fx_execution(f, "a-1", s->run_id);
    assert_int_equal(refused(f, TL_M_DescribeWorkflowExecution, &w, &message, NULL), 5);

    complete(f, fx_poll_activity(f)->task_token, "1");
    r = request(f, "a-1");
    r->id_reuse_policy = (TpEnums__ActivityIdReusePolicy)ACTIVITY_ID_REUSE_POLICY_REJECT_DUPLICATE;
    assert_int_equal(refused(f, TL_M_StartActivityExecution, r, &message, NULL), 6);
    r->id_reuse_policy =
        (TpEnums__ActivityIdReusePolicy)ACTIVITY_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY;
    assert_int_equal(refused(f, TL_M_StartActivityExecution, r, &message, NULL), 6);
    r->id_reuse_policy = (TpEnums__ActivityIdReusePolicy)ACTIVITY_ID_REUSE_POLICY_ALLOW_DUPLICATE;
    again = fx_must(f, TL_M_StartActivityExecution, r);
    assert_true(again->started);
    assert_string_not_equal(again->run_id, s->run_id);
    assert_string_equal(describe(f, "a-1")->run_id, again->run_id);
}

/* A start with one thing wrong. */
struct bad_start {
    TpWs__StartActivityExecutionRequest *r;
    TpCommon__OnConflictOptions conflict;
    TpSdk__UserMetadata metadata;
    TpCommon__SearchAttributes attributes;
    TpCommon__SearchAttributes__IndexedFieldsEntry entry, *entries[1];
    TpCommon__Callback callback, *callbacks[1];
};

static char long_text[1100];

static void spoil_options(struct fx *f, struct bad_start *b, int field)
{
    TpWs__StartActivityExecutionRequest *r = b->r;
    switch (field) {
    case 0:
        r->activity_id = S("");
        break;
    case 1:
        r->activity_type = NULL;
        break;
    case 2:
        r->task_queue = NULL;
        break;
    case 3:
        r->task_queue->name = S("");
        break;
    case 4:
        r->start_to_close_timeout = NULL;
        break;
    case 5:
        r->start_delay = tl_pb_duration_ms(&f->arena, -1000);
        break;
    case 6:
        r->schedule_to_close_timeout = tl_pb_duration_ms(&f->arena, -1);
        break;
    case 7:
        r->id_reuse_policy = (TpEnums__ActivityIdReusePolicy)9;
        break;
    default:
        r->id_conflict_policy = (TpEnums__ActivityIdConflictPolicy)9;
    }
}

static void spoil_rest(struct fx *f, struct bad_start *b, int field)
{
    TpWs__StartActivityExecutionRequest *r = b->r;
    switch (field) {
    case 9:
        r->activity_id = long_text;
        break;
    case 10:
        r->identity = long_text;
        break;
    case 11:
        r->request_id = long_text;
        break;
    case 12:
        b->conflict.attach_completion_callbacks = true;
        r->on_conflict_options = &b->conflict;
        break;
    case 13:
        b->conflict.attach_request_id = true;
        r->on_conflict_options = &b->conflict;
        break;
    case 14:
        b->metadata.summary = tl_payload_json(&f->arena, tl_str(long_text));
        r->user_metadata = &b->metadata;
        break;
    case 15:
        r->search_attributes = &b->attributes;
        break;
    default:
        r->n_completion_callbacks = 1;
        r->completion_callbacks = b->callbacks;
    }
}

static struct bad_start *bad_start(struct fx *f, int field)
{
    struct bad_start *b = tl_arena_alloc(&f->arena, sizeof *b);
    *b = (struct bad_start){.r = request(f, "bad"),
                            .conflict = TP_COMMON__ON_CONFLICT_OPTIONS__INIT,
                            .metadata = TP_SDK__USER_METADATA__INIT,
                            .attributes = TP_COMMON__SEARCH_ATTRIBUTES__INIT,
                            .entry = TP_COMMON__SEARCH_ATTRIBUTES__INDEXED_FIELDS_ENTRY__INIT,
                            .callback = TP_COMMON__CALLBACK__INIT};
    memset(long_text, 'x', sizeof long_text - 1);
    b->entry.key = S("NoSuchAttribute");
    b->entry.value = tl_payload_json(&f->arena, tl_str("1"));
    b->entries[0] = &b->entry;
    b->callbacks[0] = &b->callback;
    b->attributes.n_indexed_fields = 1;
    b->attributes.indexed_fields = b->entries;
    if (field < 9) {
        spoil_options(f, b, field);
    } else {
        spoil_rest(f, b, field);
    }
    return b;
}

static void test_bad_starts(void **state)
{
    static const char *const messages[] = {
        "activityId is not set",
        "activityType is not set",
        "taskQueue is not set",
        "missing task queue name",
        "a valid StartToCloseTimeout or ScheduleToCloseTimeout must be set",
        "invalid StartDelay: negative",
        "invalid ScheduleToCloseTimeout: negative duration",
        "unsupported ID reuse policy: 9",
        "unsupported ID conflict policy: 9",
        "activityId exceeds length limit. Length=1099 Limit=1000",
        "identity exceeds length limit",
        "request ID exceeds length limit",
        "attach_completion_callbacks requires attach_request_id",
        "attach_request_id requires at least one",
        "user_metadata.summary exceeds size limit",
        "NoSuchAttribute",
        "callback",
    };
    struct fx *f = *state;
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
        char *message;
        const struct bad_start *b = bad_start(f, (int)i);
        assert_int_equal(refused(f, TL_M_StartActivityExecution, b->r, &message, NULL), 3);
        if (!strstr(message, messages[i])) {
            fail_msg("%s: %s", messages[i], message);
        }
    }
    assert_int_equal(count(f, ""), 0);
}

static void test_bad_requests(void **state)
{
    struct fx *f = *state;
    TpWs__DescribeActivityExecutionRequest d = TP_WS__DESCRIBE_ACTIVITY_EXECUTION_REQUEST__INIT;
    char *message;
    d.namespace_ = S("default");
    assert_int_equal(refused(f, TL_M_DescribeActivityExecution, &d, &message, NULL), 3);
    assert_string_equal(message, "activity ID is required");
    d.activity_id = S("none");
    assert_int_equal(refused(f, TL_M_DescribeActivityExecution, &d, &message, NULL), 5);
    d.run_id = S("not-a-uuid");
    assert_int_equal(refused(f, TL_M_DescribeActivityExecution, &d, &message, NULL), 3);
    assert_string_equal(message, "invalid run id: must be a valid UUID");
    d.run_id = S("00000000-0000-4000-8000-000000000001");
    assert_int_equal(refused(f, TL_M_DescribeActivityExecution, &d, &message, NULL), 5);
    d.activity_id = S("a-1");
    d.run_id = start(f, "a-1")->run_id;
    d.long_poll_token = tl_pb_bytes_view(TL_STR_LIT("\xff\xff"));
    assert_int_equal(refused(f, TL_M_DescribeActivityExecution, &d, &message, NULL), 3);
    assert_string_equal(message, "invalid long poll token");
    d.long_poll_token = describe(f, "a-1")->long_poll_token;
    d.activity_id = S("a-2");
    d.run_id = start(f, "a-2")->run_id;
    assert_int_equal(refused(f, TL_M_DescribeActivityExecution, &d, &message, NULL), 3);
    assert_string_equal(message, "long poll token does not match execution");
    d.run_id = S("");
    assert_int_equal(refused(f, TL_M_DescribeActivityExecution, &d, &message, NULL), 3);
    assert_string_equal(message, "run id is required when long poll token is provided");
}

/* --- cancel, terminate, delete ----------------------------------------------------------------- */

static void test_cancel_waiting(void **state)
{
    struct fx *f = *state;
    char *message;
    start(f, "a-1");
    TpWs__RequestCancelActivityExecutionRequest r = cancel_request("a-1", "r-1");
    fx_must(f, TL_M_RequestCancelActivityExecution, &r);
    fx_must(f, TL_M_RequestCancelActivityExecution, &r); /* the same again */
    TpActivity__ActivityExecutionOutcome *o = outcome(f, "a-1");
    assert_string_equal(o->failure->message, "Activity canceled");
    assert_string_equal(o->failure->canceled_failure_info->identity, "boss");
    assert_string_equal(first_text(f, o->failure->canceled_failure_info->details),
                        "\"too \\\"late\\\"\"");
    TpActivity__ActivityExecutionInfo *i = describe(f, "a-1")->info;
    assert_int_equal(i->status, ACTIVITY_EXECUTION_STATUS_CANCELED);
    assert_string_equal(i->canceled_reason, "too \"late\"");
    r.request_id = S("r-2");
    assert_int_equal(refused(f, TL_M_RequestCancelActivityExecution, &r, &message, NULL), 9);
    assert_string_equal(message, "activity is in terminal state Canceled");
}

static void test_cancel_running(void **state)
{
    struct fx *f = *state;
    char *message;
    TpWs__RespondActivityTaskCanceledRequest c =
        TP_WS__RESPOND_ACTIVITY_TASK_CANCELED_REQUEST__INIT;
    start(f, "a-1");
    TpWs__PollActivityTaskQueueResponse *t = fx_poll_activity(f);
    c.namespace_ = S("default");
    c.task_token = t->task_token;
    c.details = text_payloads(f, "\"cleaned up\"");
    assert_int_equal(refused(f, TL_M_RespondActivityTaskCanceled, &c, &message, NULL), 3);
    TpWs__RequestCancelActivityExecutionRequest r = cancel_request("a-1", "r-1");
    fx_must(f, TL_M_RequestCancelActivityExecution, &r);
    assert_int_equal(describe(f, "a-1")->info->run_state, PENDING_ACTIVITY_STATE_CANCEL_REQUESTED);
    r.request_id = S("r-2");
    assert_int_equal(refused(f, TL_M_RequestCancelActivityExecution, &r, &message, NULL), 9);
    assert_string_equal(message, "cancellation already requested with request ID r-1");
    assert_true(beat(f, t->task_token)->cancel_requested);
    fx_must(f, TL_M_RespondActivityTaskCanceled, &c);
    assert_string_equal(first_text(f, outcome(f, "a-1")->failure->canceled_failure_info->details),
                        "\"cleaned up\"");
}

static void test_terminate_and_delete(void **state)
{
    struct fx *f = *state;
    char *message;
    TpWs__TerminateActivityExecutionRequest t = TP_WS__TERMINATE_ACTIVITY_EXECUTION_REQUEST__INIT;
    TpWs__DeleteActivityExecutionRequest d = TP_WS__DELETE_ACTIVITY_EXECUTION_REQUEST__INIT;
    start(f, "a-1");
    TpWs__PollActivityTaskQueueResponse *task = fx_poll_activity(f);
    t.namespace_ = d.namespace_ = S("default");
    t.activity_id = d.activity_id = S("a-1");
    t.request_id = S("r-1");
    t.reason = S("enough");
    t.identity = S("boss");
    fx_must(f, TL_M_TerminateActivityExecution, &t);
    fx_must(f, TL_M_TerminateActivityExecution, &t);
    TpActivity__ActivityExecutionOutcome *o = outcome(f, "a-1");
    assert_string_equal(o->failure->message, "enough");
    assert_string_equal(o->failure->terminated_failure_info->identity, "boss");
    t.request_id = S("r-2");
    assert_int_equal(refused(f, TL_M_TerminateActivityExecution, &t, &message, NULL), 9);
    assert_string_equal(message, "already terminated with request ID r-1");
    TpWs__RespondActivityTaskCompletedRequest late =
        TP_WS__RESPOND_ACTIVITY_TASK_COMPLETED_REQUEST__INIT;
    late.namespace_ = S("default");
    late.task_token = task->task_token;
    assert_int_equal(refused(f, TL_M_RespondActivityTaskCompleted, &late, &message, NULL), 5);
    fx_must(f, TL_M_DeleteActivityExecution, &d);
    assert_int_equal(refused(f, TL_M_DeleteActivityExecution, &d, &message, NULL), 5);
    start(f, "a-2"); /* one that runs goes too */
    d.activity_id = S("a-2");
    fx_must(f, TL_M_DeleteActivityExecution, &d);
    assert_int_equal(count(f, ""), 0);
    fx_crash(f);
    assert_int_equal(count(f, ""), 0);
}

/* --- long polls -------------------------------------------------------------------------------- */

static void test_long_polls(void **state)
{
    struct fx *f = *state;
    struct fx_call end, change;
    TpWs__PollActivityExecutionRequest p = TP_WS__POLL_ACTIVITY_EXECUTION_REQUEST__INIT;
    TpWs__DescribeActivityExecutionRequest d = TP_WS__DESCRIBE_ACTIVITY_EXECUTION_REQUEST__INIT;
    TpWs__StartActivityExecutionRequest *r = request(f, "a-1");
    r->start_to_close_timeout = tl_pb_duration_ms(&f->arena, 3600000);
    fx_must(f, TL_M_StartActivityExecution, r);
    p.namespace_ = d.namespace_ = S("default");
    p.activity_id = d.activity_id = S("a-1");
    TpWs__DescribeActivityExecutionResponse *now = describe(f, "a-1");
    d.run_id = now->run_id;
    d.long_poll_token = now->long_poll_token;
    fx_start(f, &end, TL_M_PollActivityExecution, &p);
    fx_start(f, &change, TL_M_DescribeActivityExecution, &d);
    fx_pump(f);
    assert_null(end.res);
    assert_null(change.res);
    TpWs__PollActivityTaskQueueResponse *t = fx_poll_activity(f);
    fx_pump(f);
    assert_null(end.res);
    assert_non_null(change.res);
    now = fx_end(&change, NULL, NULL, NULL);
    assert_int_equal(now->info->run_state, PENDING_ACTIVITY_STATE_STARTED);
    d.long_poll_token = now->long_poll_token;
    now = fx_must(f, TL_M_DescribeActivityExecution, &d); /* nothing changes: an empty answer */
    assert_null(now->info);
    assert_true(fx_wait(&end, 60 * TL_NS_PER_S)); /* time is over for this one, too */
    assert_null(((TpWs__PollActivityExecutionResponse *)fx_end(&end, NULL, NULL, NULL))->outcome);
    fx_start(f, &end, TL_M_PollActivityExecution, &p);
    fx_pump(f);
    complete(f, t->task_token, "1");
    assert_true(fx_wait(&end, 0));
    assert_non_null(
        ((TpWs__PollActivityExecutionResponse *)fx_end(&end, NULL, NULL, NULL))->outcome);
}

/* --- by id ------------------------------------------------------------------------------------- */

static void test_by_id(void **state)
{
    struct fx *f = *state;
    TpWs__RecordActivityTaskHeartbeatByIdRequest b =
        TP_WS__RECORD_ACTIVITY_TASK_HEARTBEAT_BY_ID_REQUEST__INIT;
    TpWs__RespondActivityTaskCompletedByIdRequest c =
        TP_WS__RESPOND_ACTIVITY_TASK_COMPLETED_BY_ID_REQUEST__INIT;
    char *message;
    char *run_id = start(f, "a-1")->run_id;
    b.namespace_ = c.namespace_ = S("default");
    b.activity_id = c.activity_id = S("a-1");
    assert_int_equal(refused(f, TL_M_RecordActivityTaskHeartbeatById, &b, &message, NULL), 5);
    fx_poll_activity(f);
    fx_must(f, TL_M_RecordActivityTaskHeartbeatById, &b);
    c.run_id = S("00000000-0000-4000-8000-000000000001");
    assert_int_equal(refused(f, TL_M_RespondActivityTaskCompletedById, &c, &message, NULL), 5);
    c.run_id = run_id;
    c.result = text_payloads(f, "5");
    fx_must(f, TL_M_RespondActivityTaskCompletedById, &c);
    assert_string_equal(first_text(f, outcome(f, "a-1")->result), "5");
    start(f, "a-2"); /* completed before a worker has it */
    c.activity_id = S("a-2");
    c.run_id = S("");
    fx_must(f, TL_M_RespondActivityTaskCompletedById, &c);
    assert_int_equal(describe(f, "a-2")->info->status, ACTIVITY_EXECUTION_STATUS_COMPLETED);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fx_setup_file, fx_teardown)
    const struct CMUnitTest tests[] = {
        T(test_life),
        T(test_retries),
        T(test_timeouts),
        T(test_ids),
        T(test_bad_starts),
        T(test_bad_requests),
        T(test_cancel_waiting),
        T(test_cancel_running),
        T(test_terminate_and_delete),
        T(test_long_polls),
        T(test_by_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
