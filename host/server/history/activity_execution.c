/* Activity executions: start, cancel, terminate, and how they end. See activity_execution.h.
 * Thread: the run's owner. */
#include <string.h>

#include "proto/failure.h"
#include "proto/jsonv.h"
#include "proto/payload.h"
#include "server/history/execution.h"
#include "server/history/priority.h"

/* The activity's Scheduled event, behind the run's Started event. */
#define SCHEDULED_ID 2
/* User metadata is for lists and screens: what Temporal's server allows of it. */
#define SUMMARY_BYTES_MAX 400
#define DETAILS_BYTES_MAX 20000

/* --- state ----------------------------------------------------------------------------------- */

struct tl_act *tl_execution_act(const struct tl_rs *rs)
{
    return tl_rs_act(rs, SCHEDULED_ID);
}

TlV1__ActivityExecutionState *tl_execution_state(const struct tl_rs *rs, struct tl_arena *arena)
{
    return rs->execution.n
               ? tl_blob_decode(&rs->execution, &tl_v1__activity_execution_state__descriptor, arena)
               : TL_PB_NEW(arena, TlV1__ActivityExecutionState, tl_v1__activity_execution_state);
}

void tl_execution_keep(struct tl_tx *tx, const TlV1__ActivityExecutionState *state)
{
    if (!tl_set_blob_message(&tx->rs->execution, state)) {
        tl_tx_break(tx, "an activity execution");
    }
    tx->touched = true;
    tx->p->execution_dirty = true;
}

bool tl_execution_paused(const struct tl_rs *rs)
{
    const struct tl_act *act = rs->kind == TL_RUN_ACTIVITY ? tl_execution_act(rs) : NULL;
    return tl_rs_open(rs) && act && act->paused && !act->started;
}

int tl_activity_execution_status(int64_t workflow_status)
{
    switch (workflow_status) {
    case WORKFLOW_EXECUTION_STATUS_TIMED_OUT:
        return ACTIVITY_EXECUTION_STATUS_TIMED_OUT;
    case WORKFLOW_EXECUTION_STATUS_PAUSED:
        return ACTIVITY_EXECUTION_STATUS_PAUSED;
    default: /* the others have the same numbers */
        return workflow_status <= WORKFLOW_EXECUTION_STATUS_TERMINATED ? (int)workflow_status : 0;
    }
}

const char *tl_execution_status_name(const struct tl_rs *rs)
{
    static const char *const names[] = {"Unspecified", "Running",    "Completed", "Failed",
                                        "Canceled",    "Terminated", "TimedOut",  "Paused"};
    const struct tl_act *act = tl_execution_act(rs);
    if (tl_rs_open(rs) && act && act->cancel_requested) {
        return "CancelRequested";
    }
    return names[tl_execution_paused(rs) ? ACTIVITY_EXECUTION_STATUS_PAUSED
                                         : tl_activity_execution_status(rs->status)];
}

/* --- checks ---------------------------------------------------------------------------------- */

static tl_rc check_length(const struct tl_history_limits *limits, const char *what,
                          const char *value, struct tl_error *err)
{
    size_t n = strlen(value);
    return (int64_t)n <= limits->id_bytes
               ? TL_OK
               : tl_error_set(err, TL_EINVAL, "%s exceeds length limit. Length=%zu Limit=%lld",
                              what, n, (long long)limits->id_bytes);
}

static tl_rc check_names(const struct tl_history_limits *limits,
                         const TpWs__StartActivityExecutionRequest *req, struct tl_error *err)
{
    const char *type = req->activity_type ? req->activity_type->name : NULL;
    tl_rc rc = tl_task_queue_check(limits, req->task_queue, err);
    if (rc == TL_OK && !tl_has_text(req->activity_id)) {
        rc = tl_error_set(err, TL_EINVAL, "activityId is not set");
    }
    if (rc == TL_OK && !tl_has_text(type)) {
        rc = tl_error_set(err, TL_EINVAL, "activityType is not set");
    }
    const struct {
        const char *what, *value;
    } lengths[] = {{"activityId", req->activity_id},
                   {"activityType", type},
                   {"request ID", req->request_id},
                   {"identity", req->identity}};
    for (size_t i = 0; rc == TL_OK && i < sizeof lengths / sizeof lengths[0]; i++) {
        rc = check_length(limits, lengths[i].what, lengths[i].value, err);
    }
    return rc;
}

tl_rc tl_user_metadata_check(const TpSdk__UserMetadata *m, struct tl_error *err)
{
    const struct {
        const char *what;
        int64_t bytes, most;
    } parts[] = {{"summary", tl_message_bytes(m ? m->summary : NULL), SUMMARY_BYTES_MAX},
                 {"details", tl_message_bytes(m ? m->details : NULL), DETAILS_BYTES_MAX}};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (parts[i].bytes > parts[i].most) {
            return tl_error_set(err, TL_EINVAL,
                                "user_metadata.%s exceeds size limit. Length=%lld Limit=%lld",
                                parts[i].what, (long long)parts[i].bytes, (long long)parts[i].most);
        }
    }
    return TL_OK;
}

static tl_rc check_sizes(const struct tl_history_limits *limits,
                         const TpWs__StartActivityExecutionRequest *req, struct tl_error *err)
{
    if (tl_message_bytes(req->input) > limits->blob_bytes) {
        return tl_error_set(err, TL_EINVAL, "input exceeds length limit");
    }
    tl_rc rc = tl_priority_check(req->priority, err);
    return rc == TL_OK ? tl_user_metadata_check(req->user_metadata, err) : rc;
}

static tl_rc check_policies(const TpWs__StartActivityExecutionRequest *req, struct tl_error *err)
{
    const TpCommon__OnConflictOptions *o = req->on_conflict_options;
    if ((unsigned)req->id_reuse_policy > ACTIVITY_ID_REUSE_POLICY_REJECT_DUPLICATE) {
        return tl_error_set(err, TL_EINVAL, "unsupported ID reuse policy: %d",
                            (int)req->id_reuse_policy);
    }
    if ((unsigned)req->id_conflict_policy > ACTIVITY_ID_CONFLICT_POLICY_USE_EXISTING) {
        return tl_error_set(err, TL_EINVAL, "unsupported ID conflict policy: %d",
                            (int)req->id_conflict_policy);
    }
    if (o && o->attach_completion_callbacks && !o->attach_request_id) {
        return tl_error_set(err, TL_EINVAL,
                            "on_conflict_options: attach_completion_callbacks requires "
                            "attach_request_id to be set");
    }
    if (o && o->attach_request_id && !req->n_completion_callbacks && !req->n_links) {
        return tl_error_set(err, TL_EINVAL,
                            "on_conflict_options: attach_request_id requires at least one "
                            "completion callback or link");
    }
    return TL_OK;
}

/* The options as a command that schedules an activity has them: they are checked and completed alike. */
static TpCommand__ScheduleActivityTaskCommandAttributes
as_command(const TpWs__StartActivityExecutionRequest *req)
{
    TpCommand__ScheduleActivityTaskCommandAttributes c =
        TP_COMMAND__SCHEDULE_ACTIVITY_TASK_COMMAND_ATTRIBUTES__INIT;
    c.activity_id = req->activity_id;
    c.activity_type = req->activity_type;
    c.schedule_to_close_timeout = req->schedule_to_close_timeout;
    c.schedule_to_start_timeout = req->schedule_to_start_timeout;
    c.start_to_close_timeout = req->start_to_close_timeout;
    c.heartbeat_timeout = req->heartbeat_timeout;
    c.retry_policy = req->retry_policy;
    return c;
}

tl_rc tl_activity_execution_check(const struct tl_history_env *env,
                                  const TpWs__StartActivityExecutionRequest *req,
                                  struct tl_error *err)
{
    const TpCommand__ScheduleActivityTaskCommandAttributes command = as_command(req);
    struct tl_activity_plan plan;
    const char *problem = NULL;
    tl_duration_checked_ns(req->start_delay, &problem);
    if (problem) {
        return tl_error_set(err, TL_EINVAL, "invalid StartDelay: %s", problem);
    }
    tl_rc rc = check_names(&env->limits, req, err);
    if (rc == TL_OK) {
        rc = tl_activity_plan_check(0, &command, &plan, err);
    }
    if (rc == TL_OK) {
        rc = check_sizes(&env->limits, req, err);
    }
    return rc == TL_OK ? check_policies(req, err) : rc;
}

/* --- start ----------------------------------------------------------------------------------- */

static void add_started(struct tl_tx *tx, const TpWs__StartActivityExecutionRequest *req)
{
    TpHistory__WorkflowExecutionStartedEventAttributes a =
        TP_HISTORY__WORKFLOW_EXECUTION_STARTED_EVENT_ATTRIBUTES__INIT;
    TpCommon__WorkflowType type = TP_COMMON__WORKFLOW_TYPE__INIT;
    struct tl_ev ev;
    tl_ev_init(&ev, tx->now_ns);
    type.name = req->activity_type->name;
    a.workflow_type = &type;
    a.task_queue = req->task_queue;
    a.first_execution_run_id = a.original_execution_run_id = tx->rs->run_id;
    a.identity = req->identity;
    a.attempt = 1;
    a.priority = req->priority;
    a.completion_callbacks = req->completion_callbacks;
    a.n_completion_callbacks = req->n_completion_callbacks;
    if (req->search_attributes && !(a.search_attributes = tl_search_attributes_merge(
                                        NULL, req->search_attributes, tx->arena))) {
        tl_tx_break(tx, "the search attributes");
    }
    ev.e.user_metadata = req->user_metadata;
    TL_EV_SET(&ev, WORKFLOW_EXECUTION_STARTED, workflow_execution_started, &a);
    tl_tx_append(tx, &ev.e, TL_PLACE_APPLY);
}

static void add_scheduled(struct tl_tx *tx, const TpWs__StartActivityExecutionRequest *req,
                          struct tl_activity_plan *plan)
{
    TpHistory__ActivityTaskScheduledEventAttributes a =
        TP_HISTORY__ACTIVITY_TASK_SCHEDULED_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    tl_ev_init(&ev, tx->now_ns);
    a.activity_id = req->activity_id;
    a.activity_type = req->activity_type;
    a.task_queue = req->task_queue;
    a.header = req->header;
    a.input = req->input;
    a.priority = req->priority;
    tl_activity_plan_fill(plan, &a);
    TL_EV_SET(&ev, ACTIVITY_TASK_SCHEDULED, activity_task_scheduled, &a);
    tl_tx_append(tx, &ev.e, TL_PLACE_APPLY);
}

/* Adds the links to the state. False when there is no memory. */
static bool add_links(struct tl_tx *tx, TlV1__ActivityExecutionState *state, TpCommon__Link **links,
                      size_t n)
{
    TpHistory__HistoryEvent e = TP_HISTORY__HISTORY_EVENT__INIT;
    ProtobufCBinaryData *all = TL_ARENA_ARRAY(tx->arena, ProtobufCBinaryData, state->n_links + 1);
    struct tl_str bytes;
    if (n == 0) {
        return true;
    }
    e.links = links;
    e.n_links = n;
    if (!all || tl_pb_encode_arena(&e, tx->arena, &bytes, NULL) != TL_OK) {
        return false;
    }
    if (state->n_links) {
        memcpy(all, state->links, state->n_links * sizeof *all);
    }
    all[state->n_links++] = tl_pb_bytes_view(bytes);
    state->links = all;
    return true;
}

static void keep_rest(struct tl_tx *tx, const TpWs__StartActivityExecutionRequest *req)
{
    const TpNexus__PropagatedSerializationContext *context =
        req->propagated_nexus_serialization_context;
    TlV1__ActivityExecutionState *state = tl_execution_state(tx->rs, tx->arena);
    struct tl_str bytes = {0};
    if (!state || !add_links(tx, state, req->links, req->n_links) ||
        (context && tl_pb_encode_arena(context, tx->arena, &bytes, NULL) != TL_OK)) {
        tl_tx_break(tx, "the start of an activity");
        return;
    }
    state->serialization_context = tl_pb_bytes_view(bytes);
    tl_execution_keep(tx, state);
}

tl_rc tl_tx_activity_execution_start(struct tl_tx *tx,
                                     const TpWs__StartActivityExecutionRequest *req,
                                     struct tl_error *err)
{
    const TpCommand__ScheduleActivityTaskCommandAttributes command = as_command(req);
    struct tl_activity_plan plan;
    const char *ignored = NULL;
    TL_ASSERT(tx->rs->kind == TL_RUN_ACTIVITY && tx->rs->next_event_id == 1);
    tl_rc rc = tl_activity_execution_check(tx->env, req, err);
    if (rc == TL_OK) {
        rc = tl_activity_plan_check(0, &command, &plan, err);
    }
    if (rc != TL_OK) {
        return rc;
    }
    add_started(tx, req);
    add_scheduled(tx, req, &plan);
    keep_rest(tx, req);
    struct tl_act *act = tl_execution_act(tx->rs);
    if (!act) {
        return tl_tx_result(tx, err);
    }
    act->start_delay_ns = tl_duration_checked_ns(req->start_delay, &ignored);
    act->original_delay_ns = act->start_delay_ns;
    act->attempt_ns = tl_ns_add(tx->now_ns, act->start_delay_ns);
    tl_rs_act_arm(tx->rs, act);
    tl_tx_touch_act(tx, act);
    if (act->start_delay_ns == 0) {
        tl_tx_offer_act(tx, act);
    }
    if (tl_has_text(req->request_id)) {
        tl_set_str(&tx->rs->start_request_id, req->request_id);
        tx->p->start_request_dirty = true;
    }
    return tl_tx_result(tx, err);
}

tl_rc tl_tx_activity_execution_attach(struct tl_tx *tx,
                                      const TpWs__StartActivityExecutionRequest *req,
                                      struct tl_error *err)
{
    const TpCommon__OnConflictOptions *o = req->on_conflict_options;
    bool callbacks = o && o->attach_completion_callbacks && req->n_completion_callbacks;
    bool links = o && o->attach_links && req->n_links;
    tx->error_kind = TL_ERR_PLAIN;
    if ((!callbacks && !links) || tl_rs_attached(tx->rs, tl_str(req->request_id))) {
        return TL_OK;
    }
    if (!tl_rs_open(tx->rs)) {
        return tl_error_set(err, TL_EPRECONDITION, "cannot attach %s to a closed activity",
                            callbacks ? "callbacks" : "links");
    }
    const struct tl_attach attach = {
        .request_id = req->request_id,
        .callbacks = callbacks ? req->completion_callbacks : NULL,
        .n_callbacks = callbacks ? req->n_completion_callbacks : 0,
    };
    tl_rc rc = tl_tx_attach(tx, &attach, err);
    TlV1__ActivityExecutionState *state = tl_execution_state(tx->rs, tx->arena);
    if (rc == TL_OK && links) {
        if (!state || !add_links(tx, state, req->links, req->n_links)) {
            tl_tx_break(tx, "the links of an activity");
        } else {
            tl_execution_keep(tx, state);
        }
    }
    return rc == TL_OK ? tl_tx_result(tx, err) : rc;
}

/* --- the end --------------------------------------------------------------------------------- */

static void note_end(struct tl_tx *tx, struct tl_act *act, const char *identity)
{
    if (act->started) { /* else no attempt ended */
        act->last_completed_ns = tx->now_ns;
    }
    act->retry_interval_ns = 0;
    if (tl_has_text(identity)) {
        tl_set_str(&act->last_identity, identity);
    } else if (act->started) {
        tl_set_str(&act->last_identity, act->identity);
    }
    tl_tx_touch_act(tx, act);
}

static void note_failure(struct tl_tx *tx, struct tl_act *act, const TpFailure__Failure *failure)
{
    if (!tl_set_blob_message(&act->last_failure, failure)) {
        tl_tx_break(tx, "the failure of an activity");
    }
}

static bool set_outcome(struct tl_rs *rs, const TpCommon__Payloads *result,
                        const TpFailure__Failure *failure, int retry_state)
{
    TpActivity__ActivityExecutionOutcome o = TP_ACTIVITY__ACTIVITY_EXECUTION_OUTCOME__INIT;
    TpCommon__Payloads nothing = TP_COMMON__PAYLOADS__INIT;
    if (failure) {
        o.value_case = TP_ACTIVITY__ACTIVITY_EXECUTION_OUTCOME__VALUE_FAILURE;
        o.failure = (TpFailure__Failure *)(uintptr_t)failure;
    } else {
        o.value_case = TP_ACTIVITY__ACTIVITY_EXECUTION_OUTCOME__VALUE_RESULT;
        o.result = result ? (TpCommon__Payloads *)(uintptr_t)result : &nothing;
    }
    o.retry_state = (TpEnums__RetryState)retry_state;
    return tl_set_blob_message(&rs->outcome, &o);
}

/* An outcome that its event does not say goes into the record beside it. */
static void keep_outcome(struct tl_tx *tx, const TpFailure__Failure *failure, int retry_state)
{
    if (!failure || !set_outcome(tx->rs, NULL, failure, retry_state)) {
        tl_tx_break(tx, "the outcome of an activity");
    }
    tx->p->outcome_dirty = true;
}

bool tl_rs_execution_closed(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                            struct tl_arena *scratch)
{
    const TpHistory__WorkflowExecutionTerminatedEventAttributes *t =
        e->workflow_execution_terminated_event_attributes;
    const TpFailure__Failure *f;
    switch ((int)e->event_type) {
    case EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
        return set_outcome(rs, e->workflow_execution_completed_event_attributes->result, NULL, 0);
    case EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
        return set_outcome(rs, NULL, e->workflow_execution_failed_event_attributes->failure,
                           (int)e->workflow_execution_failed_event_attributes->retry_state);
    case EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED:
        f = tl_failure_terminated(scratch, tl_str(t->reason), tl_str(t->identity));
        return f && set_outcome(rs, NULL, f, 0);
    default:
        return true;
    }
}

void tl_execution_completed(struct tl_tx *tx, struct tl_act *act, const TpCommon__Payloads *result,
                            const char *identity)
{
    TpHistory__WorkflowExecutionCompletedEventAttributes a =
        TP_HISTORY__WORKFLOW_EXECUTION_COMPLETED_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    note_end(tx, act, identity);
    tl_ev_init(&ev, tx->now_ns);
    a.result = (TpCommon__Payloads *)(uintptr_t)result;
    TL_EV_SET(&ev, WORKFLOW_EXECUTION_COMPLETED, workflow_execution_completed, &a);
    tl_tx_append(tx, &ev.e, TL_PLACE_APPLY);
}

void tl_execution_failed(struct tl_tx *tx, struct tl_act *act, const TpFailure__Failure *failure,
                         int retry_state, const char *identity)
{
    TpHistory__WorkflowExecutionFailedEventAttributes a =
        TP_HISTORY__WORKFLOW_EXECUTION_FAILED_EVENT_ATTRIBUTES__INIT;
    TpFailure__Failure unsaid = TP_FAILURE__FAILURE__INIT;
    struct tl_ev ev;
    unsaid.message = tl_pb_text("activity task failed without failure details");
    failure = failure ? failure : &unsaid;
    note_end(tx, act, identity);
    note_failure(tx, act, failure);
    tl_ev_init(&ev, tx->now_ns);
    a.failure = (TpFailure__Failure *)(uintptr_t)failure;
    a.retry_state = (TpEnums__RetryState)retry_state;
    TL_EV_SET(&ev, WORKFLOW_EXECUTION_FAILED, workflow_execution_failed, &a);
    tl_tx_append(tx, &ev.e, TL_PLACE_APPLY);
}

void tl_execution_canceled(struct tl_tx *tx, struct tl_act *act, const TpCommon__Payloads *details,
                           const char *identity)
{
    TpHistory__WorkflowExecutionCanceledEventAttributes a =
        TP_HISTORY__WORKFLOW_EXECUTION_CANCELED_EVENT_ATTRIBUTES__INIT;
    const TlV1__ActivityExecutionState *state = tl_execution_state(tx->rs, tx->arena);
    TpCommon__Payloads *borrowed = (TpCommon__Payloads *)(uintptr_t)details;
    TpFailure__Failure *f =
        tl_failure_canceled(tx->arena, TL_STR_LIT("Activity canceled"), borrowed);
    struct tl_ev ev;
    if (f && state) {
        f->canceled_failure_info->identity = state->cancel_identity;
    }
    note_end(tx, act, identity);
    keep_outcome(tx, state ? f : NULL, 0);
    tl_ev_init(&ev, tx->now_ns);
    a.details = borrowed;
    TL_EV_SET(&ev, WORKFLOW_EXECUTION_CANCELED, workflow_execution_canceled, &a);
    tl_tx_append(tx, &ev.e, TL_PLACE_APPLY);
}

void tl_execution_timed_out(struct tl_tx *tx, struct tl_act *act, TpFailure__Failure *failure,
                            int retry_state)
{
    TpHistory__WorkflowExecutionTimedOutEventAttributes a =
        TP_HISTORY__WORKFLOW_EXECUTION_TIMED_OUT_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    if (act->started) {
        note_failure(tx, act, failure);
    }
    note_end(tx, act, NULL);
    keep_outcome(tx, failure, retry_state);
    tl_ev_init(&ev, tx->now_ns);
    a.retry_state = (TpEnums__RetryState)retry_state;
    TL_EV_SET(&ev, WORKFLOW_EXECUTION_TIMED_OUT, workflow_execution_timed_out, &a);
    tl_tx_append(tx, &ev.e, TL_PLACE_APPLY);
}

/* --- cancel, terminate ----------------------------------------------------------------------- */

static bool same(const char *a, const char *b)
{
    return tl_has_text(a) && strcmp(a, b) == 0;
}

/* ["reason"], as a worker's details would be. */
static TpCommon__Payloads *reason_payloads(struct tl_arena *arena, const char *reason)
{
    TpCommon__Payloads *all = TL_PB_NEW(arena, TpCommon__Payloads, tp_common__payloads);
    struct tl_pb_list list = {0};
    struct tl_buf json;
    struct tl_jw w;
    tl_buf_init(&json, (size_t)1 << 26);
    tl_jw_init(&w, &json, 0, 4);
    tl_jw_string(&w, tl_str(reason));
    TpCommon__Payload *one = tl_jw_finish(&w, NULL) == TL_OK
                                 ? tl_payload_json(arena, tl_arena_str(arena, tl_buf_str(&json)))
                                 : NULL;
    tl_buf_deinit(&json);
    if (!all || !one || !tl_pb_push(arena, &list, one)) {
        return NULL;
    }
    all->n_payloads = list.n;
    all->payloads = list.items;
    return all;
}

tl_rc tl_tx_activity_execution_cancel(struct tl_tx *tx,
                                      const TpWs__RequestCancelActivityExecutionRequest *req,
                                      struct tl_error *err)
{
    struct tl_act *act = tl_execution_act(tx->rs);
    TlV1__ActivityExecutionState *state = tl_execution_state(tx->rs, tx->arena);
    tx->error_kind = TL_ERR_PLAIN;
    if (!state) {
        return tl_error_set(err, TL_ELIMIT, "no memory to cancel an activity");
    }
    if (same(req->request_id, state->cancel_request_id)) {
        return TL_OK;
    }
    if (!tl_rs_open(tx->rs)) {
        return tl_error_set(err, TL_EPRECONDITION, "activity is in terminal state %s",
                            tl_execution_status_name(tx->rs));
    }
    if (act->cancel_requested) {
        return tl_error_set(err, TL_EPRECONDITION,
                            "cancellation already requested with request ID %s",
                            state->cancel_request_id);
    }
    state->cancel_request_id = req->request_id;
    state->cancel_identity = req->identity;
    state->cancel_reason = req->reason;
    tl_execution_keep(tx, state);
    act->cancel_requested = true;
    act->reset = act->reset_heartbeat = false; /* cancelling comes first */
    tl_tx_touch_act(tx, act);
    if (!act->started) {
        const TpCommon__Payloads *details = reason_payloads(tx->arena, req->reason);
        if (!details) {
            tl_tx_break(tx, "the reason of a cancellation");
        } else {
            tl_execution_canceled(tx, act, details, NULL);
        }
    }
    return tl_tx_result(tx, err);
}

tl_rc tl_tx_activity_execution_terminate(struct tl_tx *tx, const char *reason, const char *identity,
                                         const char *request_id, struct tl_error *err)
{
    TlV1__ActivityExecutionState *state = tl_execution_state(tx->rs, tx->arena);
    tx->error_kind = TL_ERR_PLAIN;
    if (!state) {
        return tl_error_set(err, TL_ELIMIT, "no memory to terminate an activity");
    }
    if (tx->rs->status == WORKFLOW_EXECUTION_STATUS_TERMINATED) {
        return same(request_id, state->terminate_request_id)
                   ? TL_OK
                   : tl_error_set(err, TL_EPRECONDITION, "already terminated with request ID %s",
                                  state->terminate_request_id);
    }
    if (!tl_rs_open(tx->rs)) {
        return tl_error_set(err, TL_EPRECONDITION, "activity is in terminal state %s",
                            tl_execution_status_name(tx->rs));
    }
    state->terminate_request_id = tl_pb_text(request_id);
    tl_execution_keep(tx, state);
    tl_close_terminate(tx, reason, NULL, identity, NULL, 0);
    return tl_tx_result(tx, err);
}
