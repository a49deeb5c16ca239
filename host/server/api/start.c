/* StartWorkflowExecution and SignalWithStartWorkflowExecution: who may start under which workflow id.
 * Thread: engine. */
#include "server/api/api.h"
#include "server/deliver.h"
#include "server/deployments.h"
#include "server/history/nexus_system.h"

/* The two policies after their defaults and after TERMINATE_IF_RUNNING was taken apart. */
struct policies {
    int reuse, conflict;
};

/* What to do about the current run of the workflow id. */
enum verdict { START, TERMINATE_AND_START, USE_EXISTING, SAME_REQUEST, ANSWERED };

static bool resolve_policies(struct tl_call *c, int reuse, int conflict, int conflict_default,
                             struct policies *out)
{
    if (reuse == WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING) {
        if (conflict != WORKFLOW_ID_CONFLICT_POLICY_UNSPECIFIED) {
            tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL),
                           "Invalid WorkflowIDReusePolicy: "
                           "WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING cannot be "
                           "used together with a WorkflowIDConflictPolicy");
            return false;
        }
        reuse = WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE;
        conflict = WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING;
    }
    if (reuse == WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE &&
        conflict == WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL),
                       "Invalid WorkflowIDReusePolicy: WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE "
                       "cannot be used "
                       "together with WorkflowIdConflictPolicy "
                       "WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING.");
        return false;
    }
    out->reuse = reuse ? reuse : WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE;
    out->conflict = conflict ? conflict : conflict_default;
    return true;
}

static void already_started(struct tl_call *c, struct tl_exec *e, const struct tl_rs_info *info,
                            const char *what, const char *why)
{
    TpErrdetails__WorkflowExecutionAlreadyStartedFailure d =
        TP_ERRDETAILS__WORKFLOW_EXECUTION_ALREADY_STARTED_FAILURE__INIT;
    d.start_request_id = tl_pb_cstr(c->arena, info->start_request_id);
    d.run_id = tl_pb_cstr(c->arena, info->id.run_id);
    d.first_execution_run_id = tl_pb_cstr(c->arena, info->first_run_id);
    char *text =
        tl_arena_printf(c->arena, "Workflow execution %s. WorkflowId: %.*s, RunId: %.*s.%s", what,
                        TL_STR_FMT(info->id.workflow_id), TL_STR_FMT(info->id.run_id), why);
    tl_call_error(c, e->seq, tl_rc_grpc_status(TL_EEXISTS), text, &d);
}

static bool too_soon(struct tl_call *c, struct tl_exec *e, const struct tl_rs_info *info)
{
    int64_t since = tl_engine_now(c->s) + info->skipped_ns - info->start_ns;
    if (since > c->s->o.workflow_id_reuse_ns || c->s->o.workflow_id_reuse_ns == 0) {
        return false;
    }
    TpErrdetails__ResourceExhaustedFailure d = TP_ERRDETAILS__RESOURCE_EXHAUSTED_FAILURE__INIT;
    d.cause = (TpEnums__ResourceExhaustedCause)RESOURCE_EXHAUSTED_CAUSE_BUSY_WORKFLOW;
    d.scope = (TpEnums__ResourceExhaustedScope)RESOURCE_EXHAUSTED_SCOPE_NAMESPACE;
    char *text = tl_arena_printf(
        c->arena, "Too many starts for workflow %.*s. Time since last start: %lld ms",
        TL_STR_FMT(info->id.workflow_id), (long long)(since / TL_NS_PER_MS));
    tl_call_error(c, e->seq, tl_rc_grpc_status(TL_ELIMIT), text, &d);
    return true;
}

static enum verdict judge(struct tl_call *c, struct tl_exec *e, const char *request_id,
                          const struct policies *p)
{
    struct tl_rs_info info;
    if (!e) {
        return START;
    }
    tl_rs_info(e->rs, &info);
    enum tl_id_verdict v = tl_id_judge(&info, tl_str(request_id), p->reuse, p->conflict);
    switch (v) {
    case TL_ID_SAME_REQUEST:
        return SAME_REQUEST;
    case TL_ID_USE_EXISTING:
        return USE_EXISTING;
    case TL_ID_RUNNING:
        already_started(c, e, &info, "is already running", "");
        return ANSWERED;
    case TL_ID_USED:
        already_started(c, e, &info, "already finished",
                        " Workflow Id reuse policy: reject duplicate workflow Id.");
        return ANSWERED;
    case TL_ID_USED_WELL:
        already_started(
            c, e, &info, "already finished successfully",
            " Workflow Id reuse policy: allow duplicate workflow Id if last run failed.");
        return ANSWERED;
    case TL_ID_TERMINATE:
    case TL_ID_FREE:
        break;
    }
    if (too_soon(c, e, &info)) {
        return ANSWERED;
    }
    return v == TL_ID_TERMINATE ? TERMINATE_AND_START : START;
}

/* What a run has to do with from its start. */
struct first {
    const struct tl_signal *signal;  /* or NULL */
    const TpUpdate__Request *update; /* or NULL */
    struct tl_wft_started
        *eager; /* filled when the first task is handed out at once; NULL: it never is */
};

/* Whether the first workflow task goes back with the reply: asked for, and there is one at once. */
static bool goes_eagerly(const TpWs__StartWorkflowExecutionRequest *req, const struct first *first)
{
    return req->request_eager_execution && first->eager && !*req->cron_schedule &&
           tl_pb_duration_ns_or(req->workflow_start_delay, 0) == 0;
}

/* Hands the first workflow task to the worker that the client stands for. */
static tl_rc start_first_task(struct tl_call *c, struct tl_exec *e, struct tl_tx *tx,
                              const TpWs__StartWorkflowExecutionRequest *req,
                              struct tl_wft_started *out, struct tl_error *err)
{
    struct tl_rs_info info;
    char request_id[37];
    tl_rs_info(e->rs, &info);
    tl_uuid4(c->s->world, request_id);
    struct tl_wft_start start = {
        .task_queue = info.task_queue,
        .identity = req->identity,
        .request_id = request_id,
        .version = tl_version_of_worker(c->arena, req->eager_worker_deployment_options)};
    return tl_tx_wft_start(tx, info.wft_scheduled_id, info.wft_attempt, &start, out, err);
}

/* Starts a run, with a first signal or update when there is one. NULL after an answer. */
static struct tl_exec *start_run(struct tl_call *c, const TpWs__StartWorkflowExecutionRequest *req,
                                 const char *run_id, uint64_t number, struct first first)
{
    struct tl_start start = {
        .req = req, .hold_first_task = first.signal != NULL, .eager = goes_eagerly(req, &first)};
    struct tl_tx tx;
    struct tl_error err;
    struct tl_exec *e = tl_run_make(c->s, c->ns, tl_str(req->workflow_id), tl_str(run_id), number);
    tl_run_begin(c->s, e, &tx, c->arena);
    tl_rc rc = tl_tx_start(&tx, &start, &err);
    if (rc == TL_OK && first.signal) {
        rc = tl_tx_signal(&tx, first.signal, &err);
    }
    if (rc == TL_OK && first.update) {
        c->operation = TL_OPERATION_UPDATE;
        rc = tl_tx_update_admit(&tx, first.update, &err);
        c->operation = rc == TL_OK ? TL_OPERATION_UPDATE_OF_NEW : c->operation;
    }
    if (rc == TL_OK && start.eager) {
        rc = start_first_task(c, e, &tx, req, first.eager, &err);
    }
    if (rc == TL_OK) {
        return tl_api_end(c, e, &tx, rc, &err) ? e : NULL;
    }
    /* Nothing of it may be written: the transaction is thrown away with its run. */
    enum tl_error_kind kind = tx.error_kind;
    int cause = tx.error_cause;
    tl_tx_discard(&tx);
    tl_run_drop(c->s, e, true);
    tl_call_tx_error(c, NULL, kind, cause, &err);
    return NULL;
}

/* eager: the first workflow task, which goes along; NULL: none */
static void reply_start(struct tl_call *c, struct tl_exec *e, bool started,
                        const struct tl_wft_started *eager)
{
    TpWs__PollWorkflowTaskQueueResponse task = TP_WS__POLL_WORKFLOW_TASK_QUEUE_RESPONSE__INIT;
    struct tl_error err;
    struct tl_rs_info info;
    TpWs__StartWorkflowExecutionResponse r = TP_WS__START_WORKFLOW_EXECUTION_RESPONSE__INIT;
    tl_rs_info(e->rs, &info);
    r.run_id = tl_pb_cstr(c->arena, info.id.run_id);
    r.first_execution_run_id = tl_pb_cstr(c->arena, info.first_run_id);
    r.started = started;
    r.status = (TpEnums__WorkflowExecutionStatus)info.status;
    r.link = tl_api_link_to_start(c, &info);
    if (eager) { /* one that cannot be shown times out and comes by a poll */
        bool shown = tl_workflow_task_response(c->s, e, eager, c->arena, &task, &err) == TL_OK;
        r.eager_workflow_task = shown ? &task : NULL;
    }
    tl_call_reply(c, e->seq, &r);
}

/* What both kinds of start do before they differ: checks, policies and the run that holds the id, in
 * *e. For START, run_id and number are those of the run to be made, and what had to be terminated is;
 * ANSWERED: the call has its answer. */
static enum verdict prepare_start(struct tl_call *c, const TpWs__StartWorkflowExecutionRequest *req,
                                  int conflict_default, struct tl_exec **e, char run_id[37],
                                  uint64_t *number)
{
    struct policies p;
    struct tl_error err;
    if (tl_history_check_start(&c->s->env, req, &err) != TL_OK) {
        tl_call_errorf(c, tl_rc_grpc_status(err.code), "%s", err.message);
        return ANSWERED;
    }
    if (tl_nexus_check_callbacks(req->completion_callbacks, req->n_completion_callbacks, &err) !=
        TL_OK) {
        tl_call_errorf(c, tl_rc_grpc_status(err.code), "%s", err.message);
        return ANSWERED;
    }
    if (!tl_api_check_time_skipping(c, req->time_skipping_config) ||
        !tl_api_check_attributes(c, req->search_attributes) ||
        !resolve_policies(c, (int)req->workflow_id_reuse_policy,
                          (int)req->workflow_id_conflict_policy, conflict_default, &p)) {
        return ANSWERED;
    }
    *e = tl_run_current(c->s, c->ns, tl_str(req->workflow_id), &err);
    if (!*e && err.code != TL_ENOTFOUND) {
        tl_call_errorf(c, tl_rc_grpc_status(err.code), "%s", err.message);
        return ANSWERED;
    }
    enum verdict v = judge(c, *e, req->request_id, &p);
    if (v == START || v == TERMINATE_AND_START) {
        tl_run_new_id(c->s, run_id, number);
        if (v == TERMINATE_AND_START &&
            tl_id_terminate(c->s, *e, run_id, c->arena, &err) != TL_OK) {
            tl_call_errorf(c, tl_rc_grpc_status(err.code), "%s", err.message);
            return ANSWERED;
        }
        return START;
    }
    return v;
}

/* The running workflow is to remember this start, as far as it asked for that. False after an answer. */
static bool attach(struct tl_call *c, struct tl_exec *e,
                   const TpWs__StartWorkflowExecutionRequest *req)
{
    const TpWorkflow__OnConflictOptions *o = req->on_conflict_options;
    struct tl_attach a = {0};
    struct tl_tx tx;
    struct tl_error err;
    if (o && o->attach_completion_callbacks && !o->attach_request_id) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL),
                       "attaching request ID is required for attaching completion callbacks");
        return false;
    }
    if (!o || (!o->attach_request_id && !o->attach_links) ||
        tl_rs_attached(e->rs, tl_str(req->request_id))) {
        return true;
    }
    a.request_id = o->attach_request_id ? req->request_id : NULL;
    if (o->attach_completion_callbacks) {
        a.callbacks = req->completion_callbacks;
        a.n_callbacks = req->n_completion_callbacks;
    }
    if (o->attach_links) {
        a.links = req->links;
        a.n_links = req->n_links;
    }
    tl_run_begin(c->s, e, &tx, c->arena);
    tl_rc rc = tl_tx_attach(&tx, &a, &err);
    return tl_api_end(c, e, &tx, rc, &err);
}

void tl_api_start_workflow_execution(struct tl_call *c)
{
    const TpWs__StartWorkflowExecutionRequest *req = c->req;
    struct tl_exec *e;
    char run_id[37];
    uint64_t number;
    enum verdict v = prepare_start(c, req, WORKFLOW_ID_CONFLICT_POLICY_FAIL, &e, run_id, &number);
    struct tl_wft_started eager = {0};
    if (v == START) {
        e = start_run(c, req, run_id, number, (struct first){.eager = &eager});
        v = e ? v : ANSWERED;
    }
    if (v == USE_EXISTING && !attach(c, e, req)) {
        return;
    }
    if (v != ANSWERED) {
        reply_start(c, e, v != USE_EXISTING, eager.ref.started_id ? &eager : NULL);
    }
}

struct tl_exec *tl_api_start_with_update(struct tl_call *c,
                                         const TpWs__StartWorkflowExecutionRequest *req,
                                         const TpUpdate__Request *update)
{
    struct tl_exec *e;
    char run_id[37];
    uint64_t number;
    switch (prepare_start(c, req, WORKFLOW_ID_CONFLICT_POLICY_FAIL, &e, run_id, &number)) {
    case START:
        return start_run(c, req, run_id, number, (struct first){.update = update});
    case SAME_REQUEST: /* it has closed since, without this update */
        tl_call_errorf(c, tl_rc_grpc_status(TL_EUNAVAILABLE),
                       "Workflow was not started: this request started it before");
        return NULL;
    default:
        return NULL;
    }
}

/* --- signal with start ------------------------------------------------------------------------------ */

static void reply_signal_start(struct tl_call *c, struct tl_exec *e, bool started)
{
    const TpWs__SignalWithStartWorkflowExecutionRequest *req = c->req;
    struct tl_rs_info info;
    TpWs__SignalWithStartWorkflowExecutionResponse r =
        TP_WS__SIGNAL_WITH_START_WORKFLOW_EXECUTION_RESPONSE__INIT;
    tl_rs_info(e->rs, &info);
    r.run_id = tl_pb_cstr(c->arena, info.id.run_id);
    r.started = started;
    r.first_execution_run_id = tl_pb_cstr(c->arena, info.first_run_id);
    r.signal_link = tl_api_link_to_signal(c, &info, req->request_id);
    tl_call_reply(c, e->seq, &r);
}

static void signal_running(struct tl_call *c, struct tl_exec *e, const struct tl_signal *signal)
{
    struct tl_tx tx;
    struct tl_error err;
    tl_run_begin(c->s, e, &tx, c->arena);
    tl_rc rc = tl_tx_signal(&tx, signal, &err);
    if (tl_api_end(c, e, &tx, rc, &err)) {
        reply_signal_start(c, e, false);
    }
}

void tl_api_signal_with_start_workflow_execution(struct tl_call *c)
{
    const TpWs__SignalWithStartWorkflowExecutionRequest *req = c->req;
    TpWs__StartWorkflowExecutionRequest start = tl_signal_start_as_start(req);
    struct tl_signal signal = {.name = req->signal_name,
                               .input = req->signal_input,
                               .header = req->header,
                               .identity = req->identity,
                               .request_id = req->request_id,
                               .links = req->links,
                               .n_links = req->n_links};
    struct tl_exec *e;
    char run_id[37];
    uint64_t number;
    struct tl_error err;
    if (tl_signal_start_check(&c->s->env, req, &err) != TL_OK) {
        tl_call_errorf(c, tl_rc_grpc_status(err.code), "%s", err.message);
        return;
    }
    enum verdict v =
        prepare_start(c, &start, WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING, &e, run_id, &number);
    if (v == USE_EXISTING) {
        signal_running(c, e, &signal);
        return;
    }
    if (v == START) {
        e = start_run(c, &start, run_id, number, (struct first){.signal = &signal});
        v = e ? v : ANSWERED;
    }
    if (v != ANSWERED) {
        reply_signal_start(c, e, true);
    }
}
