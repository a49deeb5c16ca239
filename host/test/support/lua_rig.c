/* See lua_rig.h. Thread: one. */
#include "lua_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/duration.h"
#include "base/mem.h"
#include "base/world.h"
#include "proto/pb.h"

enum { MODULES_MAX = 16 };

static void on_log(void *ud, enum tl_log_level level, struct tl_str message, struct tl_str where)
{
    struct lua_rig *r = ud;
    size_t n = strlen(r->log);
    (void)level;
    (void)where;
    snprintf(r->log + n, sizeof r->log - n, "%.*s\n", TL_STR_FMT(message));
}

void lua_rig_open_config(struct lua_rig *r, const struct tl_bundle_config *config)
{
    memset(r, 0, sizeof *r);
    if (tl_bundle_open(&r->bundle, config, &r->err) != TL_OK) {
        fail_msg("the bundle does not open: %s", r->err.message);
    }
    tl_arena_init(&r->arena, 256 << 20);
    r->now_ns = INT64_C(1700000000) * TL_NS_PER_S;
    r->config.namespace_ = TL_STR_LIT("default");
    r->config.task_queue = TL_STR_LIT("queue");
    r->config.workflow_id = TL_STR_LIT("wf-1");
    r->config.run_id = TL_STR_LIT("run-1");
    r->config.steps_max = 2000000;
    r->config.log = on_log;
    r->config.log_ud = r;
}

static void open_sources(struct lua_rig *r, const struct tl_bundle_source *sources, size_t n)
{
    struct tl_bundle_config config = {.sources = sources, .source_count = n};
    lua_rig_open_config(r, &config);
}

void lua_rig_open(struct lua_rig *r, const char *source)
{
    struct tl_bundle_source one = {TL_STR_LIT("main"), tl_str(source)};
    open_sources(r, &one, 1);
}

void lua_rig_open_many(struct lua_rig *r, ...)
{
    struct tl_bundle_source sources[MODULES_MAX];
    size_t n = 0;
    va_list ap;
    va_start(ap, r);
    for (const char *name; n < MODULES_MAX && (name = va_arg(ap, const char *)); n++) {
        sources[n] = (struct tl_bundle_source){tl_str(name), tl_str(va_arg(ap, const char *))};
    }
    va_end(ap);
    open_sources(r, sources, n);
}

void lua_rig_evict(struct lua_rig *r)
{
    tl_lua_run_free(r->run);
    r->run = NULL;
    r->job_count = 0;
    tl_arena_reset(&r->arena);
}

void lua_rig_close(struct lua_rig *r)
{
    tl_lua_run_free(r->run);
    tl_bundle_close(r->bundle);
    tl_arena_deinit(&r->arena);
}

/* --- jobs ------------------------------------------------------------------------------------- */

static TpCommon__Payload *json_payload(struct lua_rig *r, const char *json)
{
    TpCommon__Payload *p = TL_PB_NEW(&r->arena, TpCommon__Payload, tp_common__payload);
    TpCommon__Payload__MetadataEntry *e =
        TL_PB_NEW(&r->arena, TpCommon__Payload__MetadataEntry, tp_common__payload__metadata_entry);
    bool ok = true;
    e->key = tl_pb_cstr(&r->arena, TL_STR_LIT("encoding"));
    e->value = tl_pb_bytes_view(TL_STR_LIT("json/plain"));
    p->n_metadata = 1;
    p->metadata = TL_ARENA_NEW(&r->arena, TpCommon__Payload__MetadataEntry *);
    p->metadata[0] = e;
    p->data = tl_pb_bytes(&r->arena, tl_str(json), &ok);
    return p;
}

static TpCommon__Payloads *json_payloads(struct lua_rig *r, va_list ap)
{
    TpCommon__Payloads *out = TL_PB_NEW(&r->arena, TpCommon__Payloads, tp_common__payloads);
    struct tl_pb_list list = {0};
    for (const char *json; (json = va_arg(ap, const char *));) {
        assert_true(tl_pb_push(&r->arena, &list, json_payload(r, json)));
    }
    out->n_payloads = list.n;
    out->payloads = list.items;
    return out;
}

static struct tl_job *add_job(struct lua_rig *r, enum tl_job_type type)
{
    assert_true(r->job_count < sizeof r->jobs / sizeof *r->jobs);
    struct tl_job *job = &r->jobs[r->job_count++];
    memset(job, 0, sizeof *job);
    job->type = type;
    return job;
}

void lua_rig_start(struct lua_rig *r, const char *type, ...)
{
    va_list ap;
    if (tl_lua_run_new(&r->run, r->bundle, tl_str(type), &r->config, &r->err) != TL_OK) {
        fail_msg("no run: %s", r->err.message);
    }
    r->lang = tl_lua_run_lang(r->run);
    TpHistory__WorkflowExecutionStartedEventAttributes *attrs =
        TL_PB_NEW(&r->arena, TpHistory__WorkflowExecutionStartedEventAttributes,
                  tp_history__workflow_execution_started_event_attributes);
    va_start(ap, type);
    attrs->input = json_payloads(r, ap);
    va_end(ap);
    attrs->attempt = 1;
    attrs->first_execution_run_id = tl_pb_cstr(&r->arena, TL_STR_LIT("run-0"));
    struct tl_job *job = add_job(r, TL_JOB_INIT);
    job->u.init.attrs = attrs;
    job->u.init.seed = 42;
    job->u.init.start_time_ns = r->now_ns;
}

void lua_rig_signal(struct lua_rig *r, const char *name, ...)
{
    va_list ap;
    TpHistory__WorkflowExecutionSignaledEventAttributes *s =
        TL_PB_NEW(&r->arena, TpHistory__WorkflowExecutionSignaledEventAttributes,
                  tp_history__workflow_execution_signaled_event_attributes);
    s->signal_name = tl_pb_cstr(&r->arena, tl_str(name));
    va_start(ap, name);
    s->input = json_payloads(r, ap);
    va_end(ap);
    struct tl_job *job = add_job(r, TL_JOB_SIGNAL);
    job->u.signal.attrs = s;
    job->u.signal.event_id = ++r->signal_event_id;
}

void lua_rig_timer(struct lua_rig *r, uint32_t seq)
{
    add_job(r, TL_JOB_TIMER_FIRED)->u.timer.seq = seq;
}

void lua_rig_result(struct lua_rig *r, uint32_t seq, const char *json)
{
    struct tl_job *job = add_job(r, TL_JOB_ACTIVITY_RESOLVED);
    TpCommon__Payloads *result = TL_PB_NEW(&r->arena, TpCommon__Payloads, tp_common__payloads);
    result->payloads = TL_ARENA_NEW(&r->arena, TpCommon__Payload *);
    result->payloads[0] = json_payload(r, json);
    result->n_payloads = 1;
    job->u.activity.seq = seq;
    job->u.activity.status = TL_ACTIVITY_COMPLETED;
    job->u.activity.result = result;
}

static TpFailure__Failure *activity_failure(struct lua_rig *r, TpFailure__Failure *cause)
{
    TpFailure__Failure *f = TL_PB_NEW(&r->arena, TpFailure__Failure, tp_failure__failure);
    f->message = tl_pb_cstr(&r->arena, TL_STR_LIT("activity error"));
    f->activity_failure_info =
        TL_PB_NEW(&r->arena, TpFailure__ActivityFailureInfo, tp_failure__activity_failure_info);
    f->failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_ACTIVITY_FAILURE_INFO;
    f->cause = cause;
    return f;
}

void lua_rig_failure(struct lua_rig *r, uint32_t seq, const char *type, const char *message)
{
    TpFailure__Failure *cause = TL_PB_NEW(&r->arena, TpFailure__Failure, tp_failure__failure);
    cause->message = tl_pb_cstr(&r->arena, tl_str(message));
    cause->application_failure_info = TL_PB_NEW(&r->arena, TpFailure__ApplicationFailureInfo,
                                                tp_failure__application_failure_info);
    cause->application_failure_info->type = tl_pb_cstr(&r->arena, tl_str(type));
    cause->failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_APPLICATION_FAILURE_INFO;
    struct tl_job *job = add_job(r, TL_JOB_ACTIVITY_RESOLVED);
    job->u.activity.seq = seq;
    job->u.activity.status = TL_ACTIVITY_FAILED;
    job->u.activity.failure = activity_failure(r, cause);
}

void lua_rig_cancelled(struct lua_rig *r, uint32_t seq)
{
    TpFailure__Failure *cause = TL_PB_NEW(&r->arena, TpFailure__Failure, tp_failure__failure);
    cause->message = tl_pb_cstr(&r->arena, TL_STR_LIT("activity canceled"));
    cause->canceled_failure_info =
        TL_PB_NEW(&r->arena, TpFailure__CanceledFailureInfo, tp_failure__canceled_failure_info);
    cause->failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_CANCELED_FAILURE_INFO;
    struct tl_job *job = add_job(r, TL_JOB_ACTIVITY_RESOLVED);
    job->u.activity.seq = seq;
    job->u.activity.status = TL_ACTIVITY_CANCELED;
    job->u.activity.failure = activity_failure(r, cause);
}

void lua_rig_cancel(struct lua_rig *r)
{
    add_job(r, TL_JOB_CANCEL);
}

void lua_rig_patch(struct lua_rig *r, const char *id)
{
    add_job(r, TL_JOB_PATCH)->u.patch.change_id = tl_str(id);
}

/* --- commands as text ------------------------------------------------------------------------- */

static void put_payloads(struct tl_buf *b, const TpCommon__Payloads *p)
{
    for (size_t i = 0; p && i < p->n_payloads; i++) {
        struct tl_str encoding = tl_pb_str(p->payloads[i]->metadata[0]->value);
        tl_buf_puts(b, i ? "," : "");
        if (tl_str_eqc(encoding, "json/plain")) {
            tl_buf_put_str(b, tl_pb_str(p->payloads[i]->data));
        } else {
            tl_buf_printf(b, "<%.*s:%.*s>", TL_STR_FMT(encoding),
                          TL_STR_FMT(tl_pb_str(p->payloads[i]->data)));
        }
    }
}

static void put_duration(struct tl_buf *b, const Google__Protobuf__Duration *d)
{
    char text[64];
    tl_duration_format(tl_pb_duration_ns_or(d, 0), text, sizeof text);
    tl_buf_puts(b, text);
}

static void put_failure(struct tl_buf *b, const TpFailure__Failure *f)
{
    const char *type =
        f->failure_info_case == TP_FAILURE__FAILURE__FAILURE_INFO_APPLICATION_FAILURE_INFO
            ? f->application_failure_info->type
        : f->failure_info_case == TP_FAILURE__FAILURE__FAILURE_INFO_ACTIVITY_FAILURE_INFO
            ? "ActivityError"
        : f->failure_info_case == TP_FAILURE__FAILURE__FAILURE_INFO_CANCELED_FAILURE_INFO
            ? "CancelledError"
        : f->failure_info_case == TP_FAILURE__FAILURE__FAILURE_INFO_TIMEOUT_FAILURE_INFO
            ? "TimeoutError"
            : "other";
    tl_buf_printf(b, "%s: %s", type, f->message);
    if (f->cause) {
        tl_buf_puts(b, " <- ");
        put_failure(b, f->cause);
    }
}

static void put_schedule(struct tl_buf *b, const struct tl_cmd *c)
{
    const TpCommand__ScheduleActivityTaskCommandAttributes *a =
        (const TpCommand__ScheduleActivityTaskCommandAttributes *)c->attrs;
    tl_buf_printf(b, "activity %u %s(", c->seq, a->activity_type->name);
    put_payloads(b, a->input);
    tl_buf_puts(b, ")");
}

static void put_ending(struct tl_buf *b, const struct tl_cmd *c)
{
    if (c->type == TL_CMD_COMPLETE) {
        tl_buf_puts(b, "complete(");
        put_payloads(
            b, ((const TpCommand__CompleteWorkflowExecutionCommandAttributes *)c->attrs)->result);
        tl_buf_puts(b, ")");
    } else if (c->type == TL_CMD_FAIL) {
        tl_buf_puts(b, "fail(");
        put_failure(b,
                    ((const TpCommand__FailWorkflowExecutionCommandAttributes *)c->attrs)->failure);
        tl_buf_puts(b, ")");
    } else {
        const TpCommand__ContinueAsNewWorkflowExecutionCommandAttributes *a =
            (const TpCommand__ContinueAsNewWorkflowExecutionCommandAttributes *)c->attrs;
        tl_buf_printf(b, "continue_as_new %s(", a->workflow_type->name);
        put_payloads(b, a->input);
        tl_buf_printf(b, ") on %s", a->task_queue->name);
    }
}

static void put_command(struct tl_buf *b, const struct tl_cmd *c)
{
    switch (c->type) {
    case TL_CMD_START_TIMER:
        tl_buf_printf(b, "timer %u ", c->seq);
        put_duration(
            b, ((const TpCommand__StartTimerCommandAttributes *)c->attrs)->start_to_fire_timeout);
        break;
    case TL_CMD_CANCEL_TIMER:
        tl_buf_printf(b, "cancel_timer %u", c->seq);
        break;
    case TL_CMD_SCHEDULE_ACTIVITY:
        put_schedule(b, c);
        break;
    case TL_CMD_REQUEST_CANCEL_ACTIVITY:
        tl_buf_printf(b, "cancel_activity %u", c->seq);
        break;
    case TL_CMD_COMPLETE:
    case TL_CMD_FAIL:
    case TL_CMD_CONTINUE_AS_NEW:
        put_ending(b, c);
        break;
    case TL_CMD_CANCEL:
        tl_buf_puts(b, "cancelled");
        break;
    case TL_CMD_SET_PATCH:
        tl_buf_printf(b, "patch %.*s%s", TL_STR_FMT(c->u.patch.id),
                      c->u.patch.deprecated ? " deprecated" : "");
        break;
    case TL_CMD_QUERY_RESULT:
        if (c->u.query.failure) {
            tl_buf_printf(b, "failed: %.*s", TL_STR_FMT(c->u.query.error));
        } else {
            put_payloads(b, c->u.query.result);
        }
        break;
    case TL_CMD_UPSERT_SEARCH_ATTRIBUTES: {
        const TpCommon__SearchAttributes *s =
            ((const TpCommand__UpsertWorkflowSearchAttributesCommandAttributes *)c->attrs)
                ->search_attributes;
        tl_buf_puts(b, "search");
        for (size_t i = 0; i < s->n_indexed_fields; i++) {
            const TpCommon__Payload *p = s->indexed_fields[i]->value;
            struct tl_str type =
                p->n_metadata > 1 ? tl_pb_str(p->metadata[1]->value) : TL_STR_LIT("removed");
            tl_buf_printf(b, " %s=%.*s:%.*s", s->indexed_fields[i]->key,
                          TL_STR_FMT(tl_pb_str(p->data)), TL_STR_FMT(type));
        }
        break;
    }
    case TL_CMD_MODIFY_PROPERTIES: {
        const TpCommon__Memo *m =
            ((const TpCommand__ModifyWorkflowPropertiesCommandAttributes *)c->attrs)->upserted_memo;
        tl_buf_puts(b, "memo");
        for (size_t i = 0; i < m->n_fields; i++) {
            tl_buf_printf(b, " %s=%.*s", m->fields[i]->key,
                          TL_STR_FMT(tl_pb_str(m->fields[i]->value->data)));
        }
        break;
    }
    default:
        tl_buf_printf(b, "command %d", (int)c->type);
        break;
    }
}

const char *lua_rig_step(struct lua_rig *r)
{
    struct tl_activation a = {
        .run_id = TL_STR_LIT("run-1"),
        .now_ns = r->now_ns,
        .is_replaying = r->replaying,
        .history_length = 3,
        .lang_flags = r->lang_flags,
        .jobs = r->jobs,
        .job_count = r->job_count,
        .arena = &r->arena,
    };
    struct tl_buf b;
    memset(&r->out, 0, sizeof r->out);
    memset(&r->err, 0, sizeof r->err);
    r->out.arena = &r->arena;
    tl_rc rc = r->lang.activate(r->lang.ud, &a, &r->out, &r->err);
    r->job_count = 0;
    tl_buf_init(&b, sizeof r->text - 1);
    if (rc != TL_OK) {
        tl_buf_printf(&b, "task failed: %s", r->err.message);
        r->err.code = rc;
        assert_non_null(r->out.task_failure);
    } else {
        for (size_t i = 0; i < r->out.cmd_count; i++) {
            tl_buf_puts(&b, i ? "; " : "");
            put_command(&b, &r->out.cmds[i]);
        }
    }
    struct tl_str s = tl_buf_str(&b);
    memcpy(r->text, s.p ? s.p : "", s.n);
    r->text[s.n] = '\0';
    tl_buf_deinit(&b);
    return r->text;
}

tl_rc lua_rig_rc(const struct lua_rig *r)
{
    return r->err.code;
}

const char *lua_rig_query(struct lua_rig *r, const char *name, ...)
{
    va_list ap;
    TpQuery__WorkflowQuery *q =
        TL_PB_NEW(&r->arena, TpQuery__WorkflowQuery, tp_query__workflow_query);
    q->query_type = tl_pb_cstr(&r->arena, tl_str(name));
    va_start(ap, name);
    q->query_args = json_payloads(r, ap);
    va_end(ap);
    struct tl_job *job = add_job(r, TL_JOB_QUERY);
    job->u.query.query = q;
    bool replaying = r->replaying;
    r->replaying = true;
    lua_rig_step(r);
    r->replaying = replaying;
    return r->text;
}

const char *lua_rig_body(struct lua_rig *r, const char *body)
{
    char source[16384];
    snprintf(source, sizeof source,
             "local workflow = require 'temporal.workflow' local temporal = require 'temporal' "
             "return workflow.define('W', function(...) %s\nend)",
             body);
    lua_rig_open(r, source);
    lua_rig_start(r, "W", NULL);
    return lua_rig_step(r);
}
