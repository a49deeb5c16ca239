/* A scripted language for tests. Ownership: the caller's. Thread: tests. */
#include "test/support/script_lang.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "proto/pb.h"

void tl_script_init(struct tl_script *s, const struct tl_step *steps)
{
    memset(s, 0, sizeof(*s));
    s->steps = steps;
}

__attribute__((format(printf, 2, 3))) static void note(struct tl_script *s, const char *fmt, ...)
{
    size_t n = strlen(s->log);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(s->log + n, sizeof(s->log) - n, fmt, ap);
    va_end(ap);
}

/* Messages of a failure and its causes, joined by "<". */
static void note_failure(struct tl_script *s, const TpFailure__Failure *f)
{
    for (; f; f = f->cause) {
        note(s, "<%s", f->message);
        if (f->failure_info_case == TP_FAILURE__FAILURE__FAILURE_INFO_CANCELED_FAILURE_INFO) {
            note(s, "canceled");
        }
        if (f->failure_info_case == TP_FAILURE__FAILURE__FAILURE_INFO_ACTIVITY_FAILURE_INFO) {
            note(s, " %s %s", f->activity_failure_info->activity_type->name,
                 f->activity_failure_info->activity_id);
        }
        if (f->failure_info_case ==
            TP_FAILURE__FAILURE__FAILURE_INFO_CHILD_WORKFLOW_EXECUTION_FAILURE_INFO) {
            const TpFailure__ChildWorkflowExecutionFailureInfo *i =
                f->child_workflow_execution_failure_info;
            note(s, " %s %s/%s %lld-%lld", i->workflow_type->name,
                 i->workflow_execution->workflow_id, i->workflow_execution->run_id,
                 (long long)i->initiated_event_id, (long long)i->started_event_id);
        }
    }
}

static void note_result(struct tl_script *s, const TpCommon__Payloads *result)
{
    if (result) {
        ProtobufCBinaryData data = result->payloads[0]->data;
        note(s, " %.*s", (int)data.len, (const char *)data.data);
    }
}

static void take_activity(struct tl_script *s, const struct tl_job *job)
{
    static const char *const names[] = {"completed", "failed", "canceled", "backs off"};
    TL_ASSERT(job->u.activity.seq < TL_SCRIPT_MAX);
    s->resolved[job->u.activity.seq] = true;
    note(s, "%s %u %s", job->type == TL_JOB_ACTIVITY_RESOLVED ? "activity" : "local",
         job->u.activity.seq, names[job->u.activity.status]);
    note_result(s, job->u.activity.result);
    note_failure(s, job->u.activity.failure);
}

static void take_child(struct tl_script *s, const struct tl_job *job)
{
    static const char *const starts[] = {"started", "not started", "start canceled"};
    static const char *const ends[] = {"completed", "failed", "canceled"};
    bool start = job->type == TL_JOB_CHILD_STARTED;
    uint32_t seq = start ? job->u.child_started.seq : job->u.child.seq;
    TL_ASSERT(seq < TL_SCRIPT_MAX);
    s->child_over[seq] |= !start || job->u.child_started.status != TL_CHILD_STARTED;
    note(s, "child %u %s", seq,
         start ? starts[job->u.child_started.status] : ends[job->u.child.status]);
    if (start) {
        note(s, "%s%.*s", job->u.child_started.run_id.n ? " " : "",
             TL_STR_FMT(job->u.child_started.run_id));
        note_failure(s, job->u.child_started.failure);
    } else {
        note_result(s, job->u.child.result);
        note_failure(s, job->u.child.failure);
    }
}

static void take_external(struct tl_script *s, const struct tl_job *job)
{
    bool signal = job->type == TL_JOB_SIGNAL_EXTERNAL_RESOLVED;
    TL_ASSERT(job->u.external.seq < TL_SCRIPT_MAX);
    if (signal) {
        s->signal_over[job->u.external.seq] = true;
    }
    note(s, "%s %u %s", signal ? "sent" : "cancel of other", job->u.external.seq,
         job->u.external.failure ? "failed" : "ok");
    note_failure(s, job->u.external.failure);
}

static void take_nexus(struct tl_script *s, const struct tl_job *job)
{
    if (job->type == TL_JOB_NEXUS_STARTED) {
        note(s, "nexus %u started %.*s", job->u.nexus_started.seq,
             TL_STR_FMT(job->u.nexus_started.token));
        return;
    }
    TL_ASSERT(job->u.nexus.seq < TL_SCRIPT_MAX);
    s->nexus_over[job->u.nexus.seq] = true;
    note(s, "nexus %u %s", job->u.nexus.seq, job->u.nexus.failure ? "failed" : "completed");
    if (job->u.nexus.result) {
        note(s, " %.*s", (int)job->u.nexus.result->data.len,
             (const char *)job->u.nexus.result->data.data);
    }
    note_failure(s, job->u.nexus.failure);
}

/* The instance id must outlive the activation only where the engine copies it. */
static void respond(struct tl_completion *out, struct tl_str id, enum tl_update_answer answer)
{
    struct tl_cmd *cmd = tl_completion_add(out, TL_CMD_UPDATE_RESPONSE);
    cmd->u.update.instance_id = tl_arena_str(out->arena, id);
    cmd->u.update.answer = answer;
    if (answer == TL_UPDATE_REJECT || answer == TL_UPDATE_FAILED) {
        cmd->u.update.failure = TL_PB_NEW(out->arena, TpFailure__Failure, tp_failure__failure);
        cmd->u.update.failure->message = (char *)(uintptr_t) "no";
    }
}

/* "now" is answered at once, "later" by a step, "reject" rejected, "silent" left alone. */
static void take_update(const struct tl_job *job, struct tl_completion *out)
{
    struct tl_str name = job->u.update.name, id = job->u.update.instance_id;
    if (tl_str_eqc(name, "reject")) {
        respond(out, id, TL_UPDATE_REJECT);
    } else if (!tl_str_eqc(name, "silent")) {
        respond(out, id, TL_UPDATE_ACCEPT);
        if (tl_str_eqc(name, "now")) {
            respond(out, id, TL_UPDATE_COMPLETE);
        }
    }
}

static void take_job(struct tl_script *s, const struct tl_job *job)
{
    switch (job->type) {
    case TL_JOB_INIT:
        s->seed = job->u.init.seed;
        note(s, "init");
        break;
    case TL_JOB_PATCH:
        TL_ASSERT(s->patch_count < TL_SCRIPT_MAX);
        snprintf(s->patches[s->patch_count++], sizeof(s->patches[0]), "%.*s",
                 TL_STR_FMT(job->u.patch.change_id));
        note(s, "patch %.*s", TL_STR_FMT(job->u.patch.change_id));
        break;
    case TL_JOB_VERSION:
        note(s, "version %.*s %d", TL_STR_FMT(job->u.version.change_id), job->u.version.version);
        break;
    case TL_JOB_SIDE_EFFECT:
        note(s, "effect %.*s %u %zu", TL_STR_FMT(job->u.side_effect.id), job->u.side_effect.call,
             job->u.side_effect.value->n_payloads);
        break;
    case TL_JOB_RANDOM_SEED:
        s->seed = job->u.random_seed.seed;
        note(s, "seed");
        break;
    case TL_JOB_SIGNAL:
        s->signals++;
        note(s, "signal %s", job->u.signal.attrs->signal_name);
        break;
    case TL_JOB_UPDATE:
        s->updates++;
        note(s, "update %.*s%s", TL_STR_FMT(job->u.update.name),
             job->u.update.run_validator ? "" : " again");
        break;
    case TL_JOB_CANCEL:
        s->cancelled = true;
        note(s, "cancel %.*s", TL_STR_FMT(job->u.cancel.cause));
        break;
    case TL_JOB_TIMER_FIRED:
        TL_ASSERT(job->u.timer.seq < TL_SCRIPT_MAX);
        s->fired[job->u.timer.seq] = true;
        note(s, "timer %u", job->u.timer.seq);
        break;
    case TL_JOB_ACTIVITY_RESOLVED:
    case TL_JOB_LOCAL_ACTIVITY_RESOLVED:
        take_activity(s, job);
        break;
    case TL_JOB_CHILD_STARTED:
    case TL_JOB_CHILD_RESOLVED:
        take_child(s, job);
        break;
    case TL_JOB_SIGNAL_EXTERNAL_RESOLVED:
    case TL_JOB_CANCEL_EXTERNAL_RESOLVED:
        take_external(s, job);
        break;
    case TL_JOB_NEXUS_STARTED:
    case TL_JOB_NEXUS_RESOLVED:
        take_nexus(s, job);
        break;
    case TL_JOB_QUERY:
        note(s, "query %s", job->u.query.query->query_type);
        break;
    }
}

static void *attributes(struct tl_completion *out, struct tl_cmd *cmd,
                        const ProtobufCMessageDescriptor *descriptor)
{
    cmd->attrs = tl_pb_new(out->arena, descriptor);
    return cmd->attrs;
}

static void do_activity(struct tl_script *s, const struct tl_step *step, struct tl_completion *out)
{
    struct tl_cmd *cmd = tl_completion_add(out, TL_CMD_SCHEDULE_ACTIVITY);
    cmd->seq = ++s->activity_seq;
    cmd->cancellation = (enum tl_cancellation_type)step->n;
    cmd->where = tl_str(tl_arena_printf(out->arena, "script:%u", s->at));
    TpCommand__ScheduleActivityTaskCommandAttributes *a =
        attributes(out, cmd, &tp_command__schedule_activity_task_command_attributes__descriptor);
    a->activity_type = TL_PB_NEW(out->arena, TpCommon__ActivityType, tp_common__activity_type);
    a->activity_type->name = tl_pb_cstr(out->arena, tl_str(step->name));
    a->request_eager_execution = true;
    a->activity_id = tl_pb_cstr(out->arena, tl_str(step->id ? step->id : ""));
}

static void do_local(struct tl_script *s, const struct tl_step *step, struct tl_completion *out)
{
    struct tl_cmd *cmd = tl_completion_add(out, TL_CMD_SCHEDULE_LOCAL_ACTIVITY);
    struct tl_local_activity *la = TL_ARENA_NEW(out->arena, struct tl_local_activity);
    cmd->seq = ++s->activity_seq;
    cmd->cancellation = (enum tl_cancellation_type)step->n;
    la->type = tl_str(step->name);
    la->id = tl_str(step->id ? step->id : "");
    la->start_to_close_ns = INT64_C(5000000000);
    cmd->u.local = la;
}

static void do_child(struct tl_script *s, const struct tl_step *step, struct tl_completion *out)
{
    struct tl_cmd *cmd = tl_completion_add(out, TL_CMD_START_CHILD);
    cmd->seq = ++s->child_seq;
    cmd->cancellation = (enum tl_cancellation_type)step->n;
    TpCommand__StartChildWorkflowExecutionCommandAttributes *a = attributes(
        out, cmd, &tp_command__start_child_workflow_execution_command_attributes__descriptor);
    a->workflow_type = TL_PB_NEW(out->arena, TpCommon__WorkflowType, tp_common__workflow_type);
    a->workflow_type->name = tl_pb_cstr(out->arena, tl_str(step->name));
    a->workflow_id = tl_pb_cstr(out->arena, tl_str(step->id));
}

static void do_nexus(struct tl_script *s, const struct tl_step *step, struct tl_completion *out)
{
    struct tl_cmd *cmd = tl_completion_add(out, TL_CMD_SCHEDULE_NEXUS);
    cmd->seq = ++s->nexus_seq;
    cmd->cancellation = (enum tl_cancellation_type)step->n;
    TpCommand__ScheduleNexusOperationCommandAttributes *a =
        attributes(out, cmd, &tp_command__schedule_nexus_operation_command_attributes__descriptor);
    a->endpoint = tl_pb_cstr(out->arena, tl_str("pay"));
    a->service = tl_pb_cstr(out->arena, tl_str("payments"));
    a->operation = tl_pb_cstr(out->arena, tl_str(step->name));
}

static void do_signal(struct tl_script *s, const struct tl_step *step, struct tl_completion *out)
{
    struct tl_cmd *cmd = tl_completion_add(out, TL_CMD_SIGNAL_EXTERNAL);
    cmd->seq = ++s->signal_seq;
    TpCommand__SignalExternalWorkflowExecutionCommandAttributes *a = attributes(
        out, cmd, &tp_command__signal_external_workflow_execution_command_attributes__descriptor);
    a->execution =
        TL_PB_NEW(out->arena, TpCommon__WorkflowExecution, tp_common__workflow_execution);
    a->execution->workflow_id = tl_pb_cstr(out->arena, tl_str(step->id));
    a->signal_name = tl_pb_cstr(out->arena, tl_str(step->name));
}

static void do_cancel_other(struct tl_script *s, const struct tl_step *step,
                            struct tl_completion *out)
{
    struct tl_cmd *cmd = tl_completion_add(out, TL_CMD_CANCEL_EXTERNAL);
    cmd->seq = ++s->cancel_seq;
    TpCommand__RequestCancelExternalWorkflowExecutionCommandAttributes *a = attributes(
        out, cmd,
        &tp_command__request_cancel_external_workflow_execution_command_attributes__descriptor);
    a->workflow_id = tl_pb_cstr(out->arena, tl_str(step->id));
}

static void do_timer(struct tl_script *s, const struct tl_step *step, struct tl_completion *out)
{
    struct tl_cmd *cmd = tl_completion_add(out, TL_CMD_START_TIMER);
    cmd->seq = step->op == TL_DO_BAD_NUMBER ? 1 : ++s->timer_seq;
    cmd->where = tl_str(tl_arena_printf(out->arena, "script:%u", s->at));
    if (step->op == TL_DO_NOTHING_ATTRS) {
        return;
    }
    TpCommand__StartTimerCommandAttributes *a =
        attributes(out, cmd, &tp_command__start_timer_command_attributes__descriptor);
    a->timer_id = tl_pb_cstr(out->arena, tl_str(step->name ? step->name : ""));
}

static void do_upsert(const struct tl_step *step, struct tl_completion *out)
{
    struct tl_cmd *cmd = tl_completion_add(out, TL_CMD_UPSERT_SEARCH_ATTRIBUTES);
    TpCommand__UpsertWorkflowSearchAttributesCommandAttributes *a = attributes(
        out, cmd, &tp_command__upsert_workflow_search_attributes_command_attributes__descriptor);
    TpCommon__SearchAttributes__IndexedFieldsEntry *entry =
        TL_PB_NEW(out->arena, TpCommon__SearchAttributes__IndexedFieldsEntry,
                  tp_common__search_attributes__indexed_fields_entry);
    entry->key = tl_pb_cstr(out->arena, tl_str(step->name));
    entry->value = TL_PB_NEW(out->arena, TpCommon__Payload, tp_common__payload);
    a->search_attributes =
        TL_PB_NEW(out->arena, TpCommon__SearchAttributes, tp_common__search_attributes);
    struct tl_pb_list list = {0};
    TL_ASSERT(tl_pb_push(out->arena, &list, entry));
    a->search_attributes->indexed_fields = list.items;
    a->search_attributes->n_indexed_fields = list.n;
}

static bool patched(const struct tl_script *s, const char *id, bool replaying)
{
    for (unsigned i = 0; i < s->patch_count; i++) {
        if (strcmp(s->patches[i], id) == 0) {
            return true;
        }
    }
    return !replaying;
}

static void do_patch(struct tl_script *s, const struct tl_step *step, struct tl_completion *out,
                     bool replaying)
{
    bool deprecate = step->op == TL_DO_DEPRECATE;
    if (!deprecate && !patched(s, step->name, replaying)) {
        s->at += step->n;
        return;
    }
    struct tl_cmd *cmd = tl_completion_add(out, TL_CMD_SET_PATCH);
    cmd->u.patch.id = tl_str(step->name);
    cmd->u.patch.deprecated = deprecate;
}

static void do_simple(enum tl_cmd_type type, uint32_t seq, struct tl_completion *out,
                      const ProtobufCMessageDescriptor *descriptor)
{
    struct tl_cmd *cmd = tl_completion_add(out, type);
    cmd->seq = seq;
    if (descriptor) {
        attributes(out, cmd, descriptor);
    }
}

static void do_marker(const struct tl_step *step, struct tl_completion *out)
{
    struct tl_cmd *cmd = tl_completion_add(out, TL_CMD_RECORD_MARKER);
    TpCommand__RecordMarkerCommandAttributes *a =
        attributes(out, cmd, &tp_command__record_marker_command_attributes__descriptor);
    a->marker_name = tl_pb_cstr(out->arena, tl_str(step->name));
}

static void do_close(const struct tl_step *step, struct tl_completion *out)
{
    switch (step->op) {
    case TL_DO_COMPLETE:
        do_simple(TL_CMD_COMPLETE, 0, out,
                  &tp_command__complete_workflow_execution_command_attributes__descriptor);
        break;
    case TL_DO_FAIL:
        do_simple(TL_CMD_FAIL, 0, out,
                  &tp_command__fail_workflow_execution_command_attributes__descriptor);
        break;
    case TL_DO_CANCELED:
        do_simple(TL_CMD_CANCEL, 0, out,
                  &tp_command__cancel_workflow_execution_command_attributes__descriptor);
        break;
    case TL_DO_CONTINUE_AS_NEW:
        do_simple(TL_CMD_CONTINUE_AS_NEW, 0, out,
                  &tp_command__continue_as_new_workflow_execution_command_attributes__descriptor);
        break;
    default:
        break;
    }
}

static void do_command(struct tl_script *s, const struct tl_step *step, struct tl_completion *out,
                       bool replaying)
{
    switch (step->op) {
    case TL_DO_TIMER:
    case TL_DO_BAD_NUMBER:
    case TL_DO_NOTHING_ATTRS:
        do_timer(s, step, out);
        break;
    case TL_DO_CANCEL_TIMER:
        do_simple(TL_CMD_CANCEL_TIMER, step->n, out, NULL);
        break;
    case TL_DO_ACTIVITY:
        do_activity(s, step, out);
        break;
    case TL_DO_LOCAL:
        do_local(s, step, out);
        break;
    case TL_DO_CANCEL_LOCAL:
        do_simple(TL_CMD_CANCEL_LOCAL_ACTIVITY, step->n, out, NULL);
        break;
    case TL_DO_CANCEL_ACTIVITY:
        do_simple(TL_CMD_REQUEST_CANCEL_ACTIVITY, step->n, out, NULL);
        break;
    case TL_DO_CHILD:
        do_child(s, step, out);
        break;
    case TL_DO_CANCEL_CHILD:
        do_simple(TL_CMD_CANCEL_CHILD, step->n, out, NULL);
        break;
    case TL_DO_NEXUS:
        do_nexus(s, step, out);
        break;
    case TL_DO_CANCEL_NEXUS:
        do_simple(TL_CMD_CANCEL_NEXUS, step->n, out, NULL);
        break;
    case TL_DO_SIGNAL:
        do_signal(s, step, out);
        break;
    case TL_DO_CANCEL_SIGNAL:
        do_simple(TL_CMD_CANCEL_SIGNAL, step->n, out, NULL);
        break;
    case TL_DO_CANCEL_OTHER:
        do_cancel_other(s, step, out);
        break;
    case TL_DO_PATCH:
    case TL_DO_DEPRECATE:
        do_patch(s, step, out, replaying);
        break;
    case TL_DO_UPSERT:
        do_upsert(step, out);
        break;
    case TL_DO_PROPERTIES:
        do_simple(TL_CMD_MODIFY_PROPERTIES, 0, out,
                  &tp_command__modify_workflow_properties_command_attributes__descriptor);
        break;
    case TL_DO_MARKER:
        do_marker(step, out);
        break;
    case TL_DO_ANSWER:
        respond(out, tl_str(step->name), TL_UPDATE_COMPLETE);
        break;
    case TL_DO_FAIL_UPDATE:
        respond(out, tl_str(step->name), TL_UPDATE_FAILED);
        break;
    default:
        do_close(step, out);
        break;
    }
}

static bool waits(const struct tl_script *s, const struct tl_step *step)
{
    switch (step->op) {
    case TL_DO_WAIT_TIMER:
        return !s->fired[step->n];
    case TL_DO_WAIT_ACTIVITY:
        return !s->resolved[step->n];
    case TL_DO_WAIT_CHILD:
        return !s->child_over[step->n];
    case TL_DO_WAIT_NEXUS:
        return !s->nexus_over[step->n];
    case TL_DO_WAIT_SIGNAL:
        return !s->signal_over[step->n];
    case TL_DO_WAIT_SIGNALS:
        return s->signals < step->n;
    case TL_DO_WAIT_UPDATES:
        return s->updates < step->n;
    case TL_DO_WAIT_CANCEL:
        return !s->cancelled;
    default:
        return false;
    }
}

static tl_rc answer(struct tl_script *s, const struct tl_job *job, struct tl_completion *out,
                    struct tl_error *err)
{
    if (s->query_breaks) {
        return tl_error_set(err, TL_EDEADLOCK, "the query never ends");
    }
    if (s->query_silent) {
        return TL_OK;
    }
    struct tl_cmd *cmd = tl_completion_add(out, TL_CMD_QUERY_RESULT);
    cmd->u.query.id = job->u.query.id;
    if (s->query_fails) {
        cmd->u.query.error = TL_STR_LIT("no such query");
        return TL_OK;
    }
    TpCommon__Payload *p = TL_PB_NEW(out->arena, TpCommon__Payload, tp_common__payload);
    struct tl_pb_list list = {0};
    TL_ASSERT(tl_pb_push(out->arena, &list, p));
    p->data = tl_pb_bytes(out->arena, tl_str(tl_arena_printf(out->arena, "at %u", s->at)), NULL);
    cmd->u.query.result = TL_PB_NEW(out->arena, TpCommon__Payloads, tp_common__payloads);
    cmd->u.query.result->payloads = list.items;
    cmd->u.query.result->n_payloads = list.n;
    return TL_OK;
}

static tl_rc activate(void *ud, const struct tl_activation *activation, struct tl_completion *out,
                      struct tl_error *err)
{
    struct tl_script *s = ud;
    s->now_ns = activation->now_ns;
    s->history_length = activation->history_length;
    s->suggested = activation->continue_as_new_suggested;
    bool query = false;
    note(s, "%s", s->activations++ ? "|" : "");
    for (size_t i = 0; i < activation->job_count; i++) {
        note(s, "%s", i ? "," : "");
        take_job(s, &activation->jobs[i]);
        if (activation->jobs[i].type == TL_JOB_UPDATE) {
            take_update(&activation->jobs[i], out);
        }
        if (activation->jobs[i].type == TL_JOB_QUERY) {
            query = true;
            tl_rc rc = answer(s, &activation->jobs[i], out, err);
            if (rc != TL_OK) {
                return rc;
            }
        }
    }
    note(s, "%s", activation->is_replaying ? "?" : "");
    while (!query && s->steps[s->at].op && !waits(s, &s->steps[s->at])) {
        const struct tl_step *step = &s->steps[s->at++];
        if (step->op == TL_DO_RAISE) {
            return tl_error_set(err, TL_ESCRIPT, "attempt to call a nil value");
        }
        do_command(s, step, out, activation->is_replaying);
    }
    return TL_OK;
}

struct tl_lang tl_script_lang(struct tl_script *s)
{
    return (struct tl_lang){s, activate};
}
