/* Operation executions: start, cancel, terminate, and how they end. See operation_execution.h.
 * Thread: the run's owner. */
#include <string.h>
#include <strings.h>

#include "proto/failure.h"
#include "proto/payload.h"
#include "server/history/execution.h"
#include "server/history/operation.h"
#include "server/history/policy.h"

/* The operation's Scheduled event, behind the run's Started event. */
#define SCHEDULED_ID 2

typedef TpWs__StartNexusOperationExecutionRequest start_request;
typedef TpHistory__NexusOperationScheduledEventAttributes scheduled_attrs;

/* --- state ----------------------------------------------------------------------------------- */

struct tl_nexus_op *tl_operation_op(const struct tl_rs *rs)
{
    return tl_rs_nexus(rs, SCHEDULED_ID);
}

TlV1__OperationExecutionState *tl_operation_state(const struct tl_rs *rs, struct tl_arena *arena)
{
    return rs->execution.n
               ? tl_blob_decode(&rs->execution, &tl_v1__operation_execution_state__descriptor,
                                arena)
               : TL_PB_NEW(arena, TlV1__OperationExecutionState, tl_v1__operation_execution_state);
}

static void keep_state(struct tl_tx *tx, const TlV1__OperationExecutionState *state)
{
    if (!tl_set_blob_message(&tx->rs->execution, state)) {
        tl_tx_break(tx, "an operation execution");
    }
    tx->touched = true;
    tx->p->execution_dirty = true;
}

int tl_operation_status(int64_t workflow_status)
{
    return workflow_status == WORKFLOW_EXECUTION_STATUS_TIMED_OUT
               ? NEXUS_OPERATION_EXECUTION_STATUS_TIMED_OUT
           /* the others have the same numbers */
           : workflow_status <= WORKFLOW_EXECUTION_STATUS_TERMINATED ? (int)workflow_status
                                                                     : 0;
}

bool tl_rs_operation_reached(const struct tl_rs *rs, int wait_stage)
{
    const struct tl_nexus_op *op = tl_operation_op(rs);
    return !tl_rs_open(rs) ||
           (wait_stage == NEXUS_OPERATION_WAIT_STAGE_STARTED && op && op->started);
}

/* --- checks ---------------------------------------------------------------------------------- */

static tl_rc check_texts(const struct tl_history_limits *limits, const start_request *req,
                         struct tl_error *err)
{
    const struct {
        const char *what, *value;
        bool required;
    } texts[] = {{"request_id", req->request_id, false}, {"operation_id", req->operation_id, true},
                 {"identity", req->identity, false},     {"endpoint", req->endpoint, true},
                 {"service", req->service, true},        {"operation", req->operation, true}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        size_t n = strlen(texts[i].value);
        if (texts[i].required && n == 0) {
            return tl_error_set(err, TL_EINVAL, "%s is required", texts[i].what);
        }
        if ((int64_t)n > limits->id_bytes) {
            return tl_error_set(err, TL_EINVAL, "%s exceeds length limit. Length=%zu Limit=%lld",
                                texts[i].what, n, (long long)limits->id_bytes);
        }
    }
    return TL_OK;
}

static tl_rc check_times(const start_request *req, struct tl_error *err)
{
    const struct {
        const char *what;
        const Google__Protobuf__Duration *value;
    } times[] = {{"schedule_to_close_timeout", req->schedule_to_close_timeout},
                 {"schedule_to_start_timeout", req->schedule_to_start_timeout},
                 {"start_to_close_timeout", req->start_to_close_timeout}};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        const char *problem = NULL;
        tl_duration_checked_ns(times[i].value, &problem);
        if (problem) {
            return tl_error_set(err, TL_EINVAL, "%s is invalid: %s", times[i].what, problem);
        }
    }
    return TL_OK;
}

static tl_rc check_header(const struct tl_history_limits *limits, const start_request *req,
                          struct tl_error *err)
{
    int64_t bytes = 0;
    for (size_t i = 0; i < req->n_nexus_header; i++) {
        const char *key = req->nexus_header[i]->key;
        if (strcasecmp(key, "request-timeout") == 0) {
            return tl_error_set(err, TL_EINVAL, "nexus_header contains a disallowed key: \"%s\"",
                                key);
        }
        bytes += (int64_t)(strlen(key) + strlen(req->nexus_header[i]->value));
    }
    return bytes <= limits->nexus_header_bytes
               ? TL_OK
               : tl_error_set(err, TL_EINVAL, "nexus_header exceeds size limit");
}

static tl_rc check_sizes(const struct tl_history_limits *limits, const start_request *req,
                         struct tl_error *err)
{
    int64_t bytes = tl_message_bytes(req->input);
    return bytes <= limits->blob_bytes
               ? tl_user_metadata_check(req->user_metadata, err)
               : tl_error_set(err, TL_EINVAL, "input exceeds size limit. Length=%lld Limit=%lld",
                              (long long)bytes, (long long)limits->blob_bytes);
}

static tl_rc check_policies(const start_request *req, struct tl_error *err)
{
    const TpNexusop__OnConflictOptions *o = req->on_conflict_options;
    if ((unsigned)req->id_reuse_policy > NEXUS_OPERATION_ID_REUSE_POLICY_REJECT_DUPLICATE) {
        return tl_error_set(err, TL_EINVAL, "unsupported ID reuse policy: %d",
                            (int)req->id_reuse_policy);
    }
    if ((unsigned)req->id_conflict_policy > NEXUS_OPERATION_ID_CONFLICT_POLICY_USE_EXISTING) {
        return tl_error_set(err, TL_EINVAL, "unsupported ID conflict policy: %d",
                            (int)req->id_conflict_policy);
    }
    if (o && o->attach_completion_callbacks && !o->attach_request_id) {
        return tl_error_set(err, TL_EINVAL,
                            "on_conflict_options: attach_completion_callbacks requires "
                            "attach_request_id to be set");
    }
    return TL_OK;
}

tl_rc tl_operation_check(const struct tl_history_env *env, const start_request *req,
                         struct tl_error *err)
{
    tl_rc rc = check_texts(&env->limits, req, err);
    if (rc == TL_OK) {
        rc = check_times(req, err);
    }
    if (rc == TL_OK) {
        rc = check_sizes(&env->limits, req, err);
    }
    if (rc == TL_OK) {
        rc = check_header(&env->limits, req, err);
    }
    return rc == TL_OK ? check_policies(req, err) : rc;
}

/* --- start ----------------------------------------------------------------------------------- */

static void add_started(struct tl_tx *tx, const start_request *req)
{
    TpHistory__WorkflowExecutionStartedEventAttributes a =
        TP_HISTORY__WORKFLOW_EXECUTION_STARTED_EVENT_ATTRIBUTES__INIT;
    TpCommon__WorkflowType type = TP_COMMON__WORKFLOW_TYPE__INIT;
    TpTq__TaskQueue queue = TP_TQ__TASK_QUEUE__INIT;
    struct tl_ev ev;
    tl_ev_init(&ev, tx->now_ns);
    type.name = req->operation;
    a.workflow_type = &type;
    a.task_queue = &queue;
    a.first_execution_run_id = a.original_execution_run_id = tx->rs->run_id;
    a.identity = req->identity;
    a.attempt = 1;
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

/* Handlers see the names of headers in lower case. False without memory. */
static bool fill_header(struct tl_arena *arena, const start_request *req, scheduled_attrs *out)
{
    struct tl_pb_list list = {0};
    for (size_t i = 0; i < req->n_nexus_header; i++) {
        TpHistory__NexusOperationScheduledEventAttributes__NexusHeaderEntry *h =
            TL_PB_NEW(arena, TpHistory__NexusOperationScheduledEventAttributes__NexusHeaderEntry,
                      tp_history__nexus_operation_scheduled_event_attributes__nexus_header_entry);
        char *key = tl_arena_cstr(arena, tl_str(req->nexus_header[i]->key));
        if (!h || !key || !tl_pb_push(arena, &list, h)) {
            return false;
        }
        for (char *p = key; *p; p++) {
            *p = *p >= 'A' && *p <= 'Z' ? (char)(*p + 'a' - 'A') : *p;
        }
        h->key = key;
        h->value = req->nexus_header[i]->value;
    }
    out->n_nexus_header = list.n;
    out->nexus_header = list.items;
    return true;
}

/* The parts end with the whole. */
static void fill_times(const start_request *req, Google__Protobuf__Duration times[3],
                       scheduled_attrs *out)
{
    const char *ignored = NULL;
    int64_t close_ns = tl_duration_checked_ns(req->schedule_to_close_timeout, &ignored);
    int64_t start_ns = tl_duration_checked_ns(req->schedule_to_start_timeout, &ignored);
    int64_t run_ns = tl_duration_checked_ns(req->start_to_close_timeout, &ignored);
    start_ns = close_ns > 0 && start_ns > close_ns ? close_ns : start_ns;
    run_ns = close_ns > 0 && run_ns > close_ns ? close_ns : run_ns;
    times[0] = tl_duration_value(close_ns);
    times[1] = tl_duration_value(start_ns);
    times[2] = tl_duration_value(run_ns);
    out->schedule_to_close_timeout = close_ns > 0 ? &times[0] : NULL;
    out->schedule_to_start_timeout = start_ns > 0 ? &times[1] : NULL;
    out->start_to_close_timeout = run_ns > 0 ? &times[2] : NULL;
}

static void add_scheduled(struct tl_tx *tx, const start_request *req, struct tl_str endpoint_id)
{
    scheduled_attrs a = TP_HISTORY__NEXUS_OPERATION_SCHEDULED_EVENT_ATTRIBUTES__INIT;
    Google__Protobuf__Duration times[3];
    struct tl_ev ev;
    tl_ev_init(&ev, tx->now_ns);
    a.endpoint = req->endpoint;
    a.endpoint_id = tl_pb_cstr(tx->arena, endpoint_id);
    a.service = req->service;
    a.operation = req->operation;
    a.input = req->input;
    a.request_id = tl_arena_printf(tx->arena, "%s:%d", tl_or_empty(tx->rs->run_id), SCHEDULED_ID);
    fill_times(req, times, &a);
    if (!a.endpoint_id || !a.request_id || !fill_header(tx->arena, req, &a)) {
        tl_tx_break(tx, "a Nexus operation");
        return;
    }
    TL_EV_SET(&ev, NEXUS_OPERATION_SCHEDULED, nexus_operation_scheduled, &a);
    tl_tx_append(tx, &ev.e, TL_PLACE_APPLY);
}

/* Adds the links to the state. False when there is no memory. */
static bool put_links(struct tl_tx *tx, TlV1__OperationExecutionState *state,
                      TpCommon__Link *const *links, size_t n)
{
    TpHistory__HistoryEvent e = TP_HISTORY__HISTORY_EVENT__INIT;
    ProtobufCBinaryData *all = TL_ARENA_ARRAY(tx->arena, ProtobufCBinaryData, state->n_links + 1);
    struct tl_str bytes;
    e.links = (TpCommon__Link **)(uintptr_t)links;
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

void tl_operation_add_links(struct tl_tx *tx, TpCommon__Link *const *links, size_t n)
{
    if (tx->rs->kind != TL_RUN_OPERATION || n == 0) {
        return;
    }
    TlV1__OperationExecutionState *state = tl_operation_state(tx->rs, tx->arena);
    if (!state || !put_links(tx, state, links, n)) {
        tl_tx_break(tx, "the links of an operation");
        return;
    }
    keep_state(tx, state);
}

tl_rc tl_tx_operation_start(struct tl_tx *tx, const start_request *req, struct tl_str endpoint_id,
                            struct tl_error *err)
{
    TL_ASSERT(tx->rs->kind == TL_RUN_OPERATION && tx->rs->next_event_id == 1);
    tl_rc rc = tl_operation_check(tx->env, req, err);
    if (rc != TL_OK) {
        return rc;
    }
    add_started(tx, req);
    add_scheduled(tx, req, endpoint_id);
    TlV1__OperationExecutionState *state = tl_operation_state(tx->rs, tx->arena);
    if (!state || (req->n_links && !put_links(tx, state, req->links, req->n_links))) {
        tl_tx_break(tx, "the start of an operation");
        return tl_tx_result(tx, err);
    }
    state->identity = req->identity;
    keep_state(tx, state);
    if (tl_has_text(req->request_id)) {
        tl_set_str(&tx->rs->start_request_id, req->request_id);
        tx->p->start_request_dirty = true;
    }
    return tl_tx_result(tx, err);
}

tl_rc tl_tx_operation_attach(struct tl_tx *tx, const start_request *req, struct tl_error *err)
{
    const TpNexusop__OnConflictOptions *o = req->on_conflict_options;
    bool callbacks = o && o->attach_completion_callbacks && req->n_completion_callbacks;
    bool links = o && o->attach_links && req->n_links;
    tx->error_kind = TL_ERR_PLAIN;
    if ((!callbacks && !links) || tl_rs_attached(tx->rs, tl_str(req->request_id))) {
        return TL_OK;
    }
    if (!tl_rs_open(tx->rs)) {
        return tl_error_set(err, TL_EPRECONDITION, "operation already completed");
    }
    const struct tl_attach attach = {
        .request_id = req->request_id,
        .callbacks = callbacks ? req->completion_callbacks : NULL,
        .n_callbacks = callbacks ? req->n_completion_callbacks : 0,
    };
    tl_rc rc = tl_tx_attach(tx, &attach, err);
    if (rc != TL_OK) {
        return rc;
    }
    tl_operation_add_links(tx, links ? req->links : NULL, links ? req->n_links : 0);
    return tl_tx_result(tx, err);
}

/* --- the end --------------------------------------------------------------------------------- */

static void append_completed(struct tl_tx *tx, TpCommon__Payload *result)
{
    TpHistory__WorkflowExecutionCompletedEventAttributes a =
        TP_HISTORY__WORKFLOW_EXECUTION_COMPLETED_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    tl_ev_init(&ev, tx->now_ns);
    if (!(a.result = tl_payloads_of(tx->arena, result))) {
        tl_tx_break(tx, "the result of an operation");
    }
    TL_EV_SET(&ev, WORKFLOW_EXECUTION_COMPLETED, workflow_execution_completed, &a);
    tl_tx_append(tx, &ev.e, TL_PLACE_APPLY);
}

static void append_failed(struct tl_tx *tx, TpFailure__Failure *failure)
{
    TpHistory__WorkflowExecutionFailedEventAttributes a =
        TP_HISTORY__WORKFLOW_EXECUTION_FAILED_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    tl_ev_init(&ev, tx->now_ns);
    a.failure = failure;
    TL_EV_SET(&ev, WORKFLOW_EXECUTION_FAILED, workflow_execution_failed, &a);
    tl_tx_append(tx, &ev.e, TL_PLACE_APPLY);
}

static void append_canceled(struct tl_tx *tx)
{
    TpHistory__WorkflowExecutionCanceledEventAttributes a =
        TP_HISTORY__WORKFLOW_EXECUTION_CANCELED_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    tl_ev_init(&ev, tx->now_ns);
    TL_EV_SET(&ev, WORKFLOW_EXECUTION_CANCELED, workflow_execution_canceled, &a);
    tl_tx_append(tx, &ev.e, TL_PLACE_APPLY);
}

static void append_timed_out(struct tl_tx *tx)
{
    TpHistory__WorkflowExecutionTimedOutEventAttributes a =
        TP_HISTORY__WORKFLOW_EXECUTION_TIMED_OUT_EVENT_ATTRIBUTES__INIT;
    struct tl_ev ev;
    tl_ev_init(&ev, tx->now_ns);
    TL_EV_SET(&ev, WORKFLOW_EXECUTION_TIMED_OUT, workflow_execution_timed_out, &a);
    tl_tx_append(tx, &ev.e, TL_PLACE_APPLY);
}

void tl_operation_close(struct tl_tx *tx, const TpHistory__HistoryEvent *ended)
{
    if (tx->rs->kind != TL_RUN_OPERATION || tx->p->broken) {
        return;
    }
    switch ((int)ended->event_type) {
    case EVENT_TYPE_NEXUS_OPERATION_COMPLETED:
        append_completed(tx, ended->nexus_operation_completed_event_attributes->result);
        break;
    case EVENT_TYPE_NEXUS_OPERATION_FAILED:
        append_failed(tx, ended->nexus_operation_failed_event_attributes->failure->cause);
        break;
    case EVENT_TYPE_NEXUS_OPERATION_CANCELED:
        append_canceled(tx);
        break;
    default:
        append_timed_out(tx);
        break;
    }
}

/* Nothing is due any more; descriptions tell of the operation for as long as it is there. */
static void rest(struct tl_rs *rs, struct tl_nexus_op *op)
{
    tl_heap_remove(&rs->heap, &op->due.node);
    op->start.next_ns = op->start.expires_ns = op->start.blocked_ns = 0;
    op->cancel.next_ns = op->cancel.expires_ns = op->cancel.blocked_ns = 0;
}

bool tl_rs_operation_over(struct tl_rs *rs, const TpHistory__HistoryEvent *e,
                          struct tl_arena *scratch)
{
    TpWs__PollNexusOperationExecutionResponse r =
        TP_WS__POLL_NEXUS_OPERATION_EXECUTION_RESPONSE__INIT;
    struct tl_nexus_op *op = tl_operation_op(rs);
    TpFailure__Failure *failure = NULL;
    if (op) {
        rest(rs, op);
    }
    r.wait_stage = (TpEnums__NexusOperationWaitStage)NEXUS_OPERATION_WAIT_STAGE_CLOSED;
    switch ((int)e->event_type) {
    case EVENT_TYPE_NEXUS_OPERATION_COMPLETED:
        r.result = e->nexus_operation_completed_event_attributes->result;
        r.outcome_case =
            r.result ? TP_WS__POLL_NEXUS_OPERATION_EXECUTION_RESPONSE__OUTCOME_RESULT : 0;
        return tl_set_blob_message(&rs->outcome, &r);
    case EVENT_TYPE_NEXUS_OPERATION_FAILED:
        failure = e->nexus_operation_failed_event_attributes->failure;
        break;
    case EVENT_TYPE_NEXUS_OPERATION_CANCELED:
        failure = e->nexus_operation_canceled_event_attributes->failure;
        break;
    case EVENT_TYPE_NEXUS_OPERATION_TIMED_OUT:
        failure = e->nexus_operation_timed_out_event_attributes->failure;
        break;
    case EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED:
        r.failure = tl_failure_terminated(
            scratch, tl_str(e->workflow_execution_terminated_event_attributes->reason),
            tl_str(e->workflow_execution_terminated_event_attributes->identity));
        break;
    default:
        return true;
    }
    r.failure = failure ? failure->cause : r.failure; /* without what says which operation it is */
    r.outcome_case = TP_WS__POLL_NEXUS_OPERATION_EXECUTION_RESPONSE__OUTCOME_FAILURE;
    return r.failure && tl_set_blob_message(&rs->outcome, &r);
}

/* --- cancel, terminate ----------------------------------------------------------------------- */

static bool same(const char *a, const char *b)
{
    return tl_has_text(a) && strcmp(a, b) == 0;
}

tl_rc tl_tx_operation_cancel(struct tl_tx *tx,
                             const TpWs__RequestCancelNexusOperationExecutionRequest *req,
                             struct tl_error *err)
{
    TpHistory__NexusOperationCancelRequestedEventAttributes a =
        TP_HISTORY__NEXUS_OPERATION_CANCEL_REQUESTED_EVENT_ATTRIBUTES__INIT;
    TlV1__OperationExecutionState *state = tl_operation_state(tx->rs, tx->arena);
    const struct tl_nexus_op *op = tl_operation_op(tx->rs);
    struct tl_ev ev;
    tx->error_kind = TL_ERR_PLAIN;
    if (!state || !op) {
        return tl_error_set(err, TL_ELIMIT, "no memory for the cancellation of an operation");
    }
    if (same(state->cancel_request_id, req->request_id)) {
        return TL_OK;
    }
    if (!tl_rs_open(tx->rs)) {
        return tl_error_set(err, TL_EPRECONDITION, "operation already completed");
    }
    if (op->cancel_requested_id) {
        return tl_error_set(err, TL_EPRECONDITION,
                            "cancellation already requested with request ID %s",
                            tl_pb_text(state->cancel_request_id));
    }
    tl_ev_init(&ev, tx->now_ns);
    a.scheduled_event_id = SCHEDULED_ID;
    TL_EV_SET(&ev, NEXUS_OPERATION_CANCEL_REQUESTED, nexus_operation_cancel_requested, &a);
    tl_tx_append(tx, &ev.e, TL_PLACE_APPLY);
    state->cancel_request_id = req->request_id;
    state->cancel_identity = req->identity;
    state->cancel_reason = req->reason;
    keep_state(tx, state);
    return tl_tx_result(tx, err);
}

tl_rc tl_tx_operation_terminate(struct tl_tx *tx, const char *reason, const char *identity,
                                const char *request_id, struct tl_error *err)
{
    TlV1__OperationExecutionState *state = tl_operation_state(tx->rs, tx->arena);
    tx->error_kind = TL_ERR_PLAIN;
    if (!state) {
        return tl_error_set(err, TL_ELIMIT, "no memory for the end of an operation");
    }
    if (!tl_rs_open(tx->rs)) {
        bool terminated = tx->rs->status == WORKFLOW_EXECUTION_STATUS_TERMINATED;
        if (terminated && same(state->terminate_request_id, request_id)) {
            return TL_OK;
        }
        return terminated
                   ? tl_error_set(err, TL_EPRECONDITION, "already terminated with request ID %s",
                                  tl_pb_text(state->terminate_request_id))
                   : tl_error_set(err, TL_EPRECONDITION, "operation already completed");
    }
    state->terminate_request_id = tl_pb_text(request_id);
    keep_state(tx, state);
    tl_close_terminate(tx, reason, NULL, identity, NULL, 0);
    return tl_tx_result(tx, err);
}
