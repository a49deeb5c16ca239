/* See history_rig.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <tl_enums.h>

#include "base/mem.h"
#include "proto/pb.h"
#include "server/history/activity.h"
#include "test/support/history_rig.h"

#define NEW(r, Type, name) ((Type *)must(TL_PB_NEW(&(r)->arena, Type, name)))

static void *must(void *p)
{
    assert_non_null(p);
    return p;
}

static char *text(struct history_rig *r, const char *s)
{
    return must(tl_pb_cstr(&r->arena, tl_str(s)));
}

/* --- life ------------------------------------------------------------------------------------ */

static uint64_t next_random(void *ud)
{
    struct history_rig *r = ud;
    return ++r->random;
}

static void next_run_id(void *ud, char out[37], uint64_t *number)
{
    struct history_rig *r = ud;
    *number = r->next_run++;
    snprintf(out, 37, "00000000-0000-4000-8000-%012llu", (unsigned long long)*number);
}

static struct tl_rs_identity identity(void)
{
    return (struct tl_rs_identity){1,
                                   1,
                                   tl_str("ns"),
                                   tl_str("ns-id"),
                                   tl_str("wf"),
                                   tl_str("00000000-0000-4000-8000-000000000001"),
                                   false};
}

void history_rig_open(struct history_rig *r)
{
    memset(r, 0, sizeof(*r));
    tl_arena_init(&r->arena, TL_ARENA_UNLIMITED);
    tl_history_limits_default(&r->env.limits);
    r->env.ud = r;
    r->env.random = next_random;
    r->env.new_run_id = next_run_id;
    r->now_ns = RIG_START_NS;
    r->next_log_id = 1;
    r->next_run = 2;
    r->compare = true;
    struct tl_rs_identity id = identity();
    r->rs = tl_rs_new(&id);
}

void history_rig_close(struct history_rig *r)
{
    tl_rs_free(r->rs);
    tl_mem_free(r->rows);
    tl_arena_deinit(&r->arena);
}

/* --- transactions ---------------------------------------------------------------------------- */

struct tl_tx *rig_begin(struct history_rig *r)
{
    memset(&r->err, 0, sizeof(r->err));
    tl_tx_begin(&r->tx, r->rs, &r->env, r->now_ns, &r->arena);
    return &r->tx;
}

struct tl_rs *rig_recover(struct history_rig *r)
{
    struct tl_rs_identity id = identity();
    struct tl_rs *rs = tl_rs_new(&id);
    struct tl_arena scratch;
    tl_arena_init(&scratch, TL_ARENA_UNLIMITED);
    for (size_t i = 0; i < r->row_n; i++) {
        struct tl_error err = {0};
        tl_rc rc = tl_rs_apply_record(rs, r->rows[i].log_id, r->rows[i].bytes, &scratch, &err);
        if (rc != TL_OK) {
            fail_msg("row %zu: %s", i, err.message);
        }
        tl_arena_reset(&scratch);
    }
    tl_arena_deinit(&scratch);
    return rs;
}

static void checkpoint(const struct tl_rs *rs, struct tl_buf *out)
{
    struct tl_error err = {0};
    tl_buf_init(out, (size_t)1 << 30);
    if (tl_rs_checkpoint(rs, out, &err) != TL_OK) {
        fail_msg("checkpoint: %s", err.message);
    }
}

void rig_assert_same(struct history_rig *r, const struct tl_rs *other)
{
    struct tl_buf a, b;
    checkpoint(r->rs, &a);
    checkpoint(other, &b);
    if (!tl_str_eq(tl_buf_str(&a), tl_buf_str(&b))) {
        fail_msg("live and recovered state differ after %zu rows (%zu and %zu bytes); events: %s",
                 r->row_n, a.n, b.n, rig_types(r, 1));
    }
    tl_buf_deinit(&a);
    tl_buf_deinit(&b);
}

/* A checkpoint loads into the same state, too. */
static void assert_loads(struct history_rig *r)
{
    struct tl_rs_identity id = identity();
    struct tl_rs *loaded = NULL;
    struct tl_error err = {0};
    struct tl_buf a;
    checkpoint(r->rs, &a);
    if (tl_rs_load(&loaded, &id, tl_buf_str(&a), &err) != TL_OK) {
        fail_msg("load: %s", err.message);
    }
    tl_buf_deinit(&a);
    rig_assert_same(r, loaded);
    tl_rs_free(loaded);
}

tl_rc rig_end(struct history_rig *r, tl_rc rc)
{
    struct tl_error err = {0};
    r->effects = (struct tl_effects){0};
    r->error_kind = rc == TL_OK ? TL_ERR_PLAIN : r->tx.error_kind;
    if (!r->tx.touched) {
        tl_tx_abort(&r->tx);
        r->record = (struct tl_record){.log_id = 0};
        return rc;
    }
    if (tl_tx_finish(&r->tx, r->next_log_id, &r->record, &err) != TL_OK) {
        fail_msg("finish: %s", err.message);
    }
    r->effects = r->tx.effects;
    if (r->record.bytes.n > 0) {
        if (r->row_n == r->row_cap) {
            r->row_cap = r->row_cap ? r->row_cap * 2 : 16;
            r->rows = tl_mem_realloc(r->rows, r->row_cap * sizeof(r->rows[0]));
        }
        r->rows[r->row_n++] = (struct rig_row){r->next_log_id++, r->record.bytes};
    }
    if (r->compare) {
        struct tl_rs *again = rig_recover(r);
        rig_assert_same(r, again);
        tl_rs_free(again);
        assert_loads(r);
    }
    return rc;
}

void rig_crash(struct history_rig *r)
{
    struct tl_rs *again = rig_recover(r);
    struct tl_error err = {0};
    tl_rs_free(r->rs);
    r->rs = again;
    r->effects = (struct tl_effects){.arena = &r->arena};
    assert_int_equal(tl_rs_regenerate(r->rs, &r->env, r->now_ns, &r->effects, &err), TL_OK);
}

void rig_advance(struct history_rig *r, int64_t ns)
{
    r->now_ns += ns;
}

bool rig_fire(struct history_rig *r)
{
    int64_t at_ns = tl_rs_deadline_ns(r->rs);
    if (at_ns == TL_NS_NEVER) {
        return false;
    }
    if (at_ns > r->now_ns) {
        r->now_ns = at_ns;
    }
    assert_int_equal(rig_end(r, tl_tx_fire_due(rig_begin(r), &r->err)), TL_OK);
    int64_t next_ns = tl_rs_deadline_ns(r->rs);
    if (next_ns <= r->now_ns) {
        fail_msg("a deadline stays due after it fired");
    }
    return true;
}

void rig_run_until(struct history_rig *r, int64_t at_ns)
{
    while (tl_rs_deadline_ns(r->rs) <= at_ns) {
        rig_fire(r);
    }
    r->now_ns = at_ns;
}

/* --- looking --------------------------------------------------------------------------------- */

static TpHistory__HistoryEvent *decode(struct history_rig *r, struct tl_str bytes)
{
    TpHistory__HistoryEvent *e = NULL;
    struct tl_error err = {0};
    if (tl_pb_decode(&tp_history__history_event__descriptor, bytes, &r->arena, &e, &err) != TL_OK) {
        fail_msg("event: %s", err.message);
    }
    return e;
}

const TpHistory__HistoryEvent *rig_event(struct history_rig *r, int64_t event_id)
{
    size_t at = tl_rs_batch_find(r->rs, event_id);
    struct tl_rs_batch batch;
    struct tl_str rest, event;
    assert_true(at < tl_rs_batch_count(r->rs));
    tl_rs_batch_at(r->rs, at, &batch);
    rest = batch.bytes;
    if (!rest.p) { /* not cached: from the log */
        for (size_t i = 0; i < r->row_n; i++) {
            if (r->rows[i].log_id == batch.log_id) {
                assert_int_equal(tl_record_history(r->rows[i].bytes, &rest, NULL), TL_OK);
            }
        }
    }
    for (int64_t id = batch.first_event_id; tl_history_next(&rest, &event); id++) {
        if (id == event_id) {
            TpHistory__HistoryEvent *e = decode(r, event);
            assert_int_equal(e->event_id, event_id);
            return e;
        }
    }
    fail_msg("event %lld is not in its batch", (long long)event_id);
    return NULL;
}

size_t rig_event_count(struct history_rig *r)
{
    return (size_t)rig_info(r).history_length;
}

const TpHistory__HistoryEvent *rig_last(struct history_rig *r)
{
    return rig_event(r, (int64_t)rig_event_count(r));
}

static void put_type(struct tl_buf *out, int type)
{
    const char *name = tl_pb_enum_name(&tp_enums__event_type__descriptor, type);
    bool upper = true;
    if (out->n > 0) {
        tl_buf_putc(out, ' ');
    }
    for (name += strlen("EVENT_TYPE_"); *name; name++) {
        if (*name == '_') {
            upper = true;
        } else {
            tl_buf_putc(out, upper ? *name : (char)(*name - 'A' + 'a'));
            upper = false;
        }
    }
}

static const char *keep(struct history_rig *r, struct tl_buf *b)
{
    const char *s = tl_arena_cstr(&r->arena, tl_buf_str(b));
    tl_buf_deinit(b);
    return s;
}

const char *rig_types(struct history_rig *r, int64_t first)
{
    struct tl_buf b;
    tl_buf_init(&b, 1 << 24);
    for (int64_t id = first; id <= (int64_t)rig_event_count(r); id++) {
        put_type(&b, (int)rig_event(r, id)->event_type);
    }
    return keep(r, &b);
}

const char *rig_bytes_types(struct history_rig *r, struct tl_str history)
{
    struct tl_buf b;
    struct tl_str event;
    tl_buf_init(&b, 1 << 24);
    while (tl_history_next(&history, &event)) {
        put_type(&b, (int)decode(r, event)->event_type);
    }
    return keep(r, &b);
}

size_t rig_effect_count(struct history_rig *r, enum tl_effect_kind kind)
{
    size_t n = 0;
    for (size_t i = 0; i < r->effects.n; i++) {
        n += r->effects.items[i].kind == kind;
    }
    return n;
}

const struct tl_effect *rig_effect(struct history_rig *r, enum tl_effect_kind kind)
{
    for (size_t i = 0; i < r->effects.n; i++) {
        if (r->effects.items[i].kind == kind) {
            return &r->effects.items[i];
        }
    }
    return NULL;
}

struct tl_rs_info rig_info(struct history_rig *r)
{
    struct tl_rs_info info;
    tl_rs_info(r->rs, &info);
    return info;
}

/* --- values ---------------------------------------------------------------------------------- */

TpCommon__Payload *rig_payload(struct history_rig *r, const char *json);

TpCommon__Payload *rig_payload(struct history_rig *r, const char *json)
{
    TpCommon__Payload *p = NEW(r, TpCommon__Payload, tp_common__payload);
    TpCommon__Payload__MetadataEntry *m =
        NEW(r, TpCommon__Payload__MetadataEntry, tp_common__payload__metadata_entry);
    m->key = text(r, "encoding");
    m->value = tl_pb_bytes_view(tl_str(json ? "json/plain" : "binary/null"));
    p->metadata = TL_ARENA_ARRAY(&r->arena, TpCommon__Payload__MetadataEntry *, 1);
    p->metadata[0] = m;
    p->n_metadata = 1;
    p->data = tl_pb_bytes_view(tl_str(json ? text(r, json) : ""));
    return p;
}

TpCommon__Payloads *rig_payloads(struct history_rig *r, const char *json)
{
    TpCommon__Payloads *all = NEW(r, TpCommon__Payloads, tp_common__payloads);
    all->payloads = TL_ARENA_ARRAY(&r->arena, TpCommon__Payload *, 1);
    all->payloads[0] = rig_payload(r, json);
    all->n_payloads = 1;
    return all;
}

TpFailure__Failure *rig_failure(struct history_rig *r, const char *type, bool non_retryable,
                                int64_t delay_ns)
{
    TpFailure__Failure *f = NEW(r, TpFailure__Failure, tp_failure__failure);
    f->message = text(r, "it broke");
    f->failure_info_case = TP_FAILURE__FAILURE__FAILURE_INFO_APPLICATION_FAILURE_INFO;
    f->application_failure_info =
        NEW(r, TpFailure__ApplicationFailureInfo, tp_failure__application_failure_info);
    f->application_failure_info->type = text(r, type);
    f->application_failure_info->non_retryable = non_retryable;
    if (delay_ns >= 0) {
        f->application_failure_info->next_retry_delay = rig_duration(r, delay_ns);
    }
    return f;
}

Google__Protobuf__Duration *rig_duration(struct history_rig *r, int64_t ns)
{
    return must(tl_pb_duration_ns(&r->arena, ns));
}

int64_t rig_ns(const Google__Protobuf__Timestamp *t)
{
    return tl_pb_timestamp_ns_or(t, -1);
}

int64_t rig_span(const Google__Protobuf__Duration *d)
{
    return tl_pb_duration_ns_or(d, -1);
}

TpCommon__RetryPolicy *rig_retry(struct history_rig *r, int64_t initial_ns, double coefficient,
                                 int64_t max_ns, int32_t attempts)
{
    TpCommon__RetryPolicy *p = NEW(r, TpCommon__RetryPolicy, tp_common__retry_policy);
    p->initial_interval = rig_duration(r, initial_ns);
    p->backoff_coefficient = coefficient;
    p->maximum_interval = rig_duration(r, max_ns);
    p->maximum_attempts = attempts;
    return p;
}

/* --- clients --------------------------------------------------------------------------------- */

static TpTq__TaskQueue *queue(struct history_rig *r, const char *name)
{
    TpTq__TaskQueue *q = NEW(r, TpTq__TaskQueue, tp_tq__task_queue);
    q->name = text(r, name);
    return q;
}

TpWs__StartWorkflowExecutionRequest *rig_start_request(struct history_rig *r)
{
    TpWs__StartWorkflowExecutionRequest *req =
        NEW(r, TpWs__StartWorkflowExecutionRequest, tp_ws__start_workflow_execution_request);
    req->namespace_ = text(r, "ns");
    req->workflow_id = text(r, "wf");
    req->workflow_type = NEW(r, TpCommon__WorkflowType, tp_common__workflow_type);
    req->workflow_type->name = text(r, "T");
    req->task_queue = queue(r, "q");
    req->identity = text(r, "client");
    req->request_id = text(r, "start-1");
    req->input = rig_payloads(r, "1");
    return req;
}

tl_rc rig_start_with(struct history_rig *r, TpWs__StartWorkflowExecutionRequest *req)
{
    struct tl_start start = {.req = req};
    return rig_end(r, tl_tx_start(rig_begin(r), &start, &r->err));
}

void rig_start(struct history_rig *r)
{
    assert_int_equal(rig_start_with(r, rig_start_request(r)), TL_OK);
}

tl_rc rig_signal(struct history_rig *r, const char *name, const char *request_id)
{
    struct tl_signal s = {.name = name,
                          .request_id = request_id,
                          .identity = "client",
                          .input = rig_payloads(r, "\"hello\"")};
    return rig_end(r, tl_tx_signal(rig_begin(r), &s, &r->err));
}

tl_rc rig_cancel(struct history_rig *r)
{
    TpWs__RequestCancelWorkflowExecutionRequest *req =
        NEW(r, TpWs__RequestCancelWorkflowExecutionRequest,
            tp_ws__request_cancel_workflow_execution_request);
    req->reason = text(r, "enough");
    req->request_id = text(r, "cancel-1");
    return rig_end(r, tl_tx_request_cancel(rig_begin(r), req, &r->err));
}

tl_rc rig_terminate(struct history_rig *r)
{
    return rig_end(r, tl_tx_terminate(rig_begin(r), "reason", NULL, "client", NULL, 0, &r->err));
}

/* --- workflow tasks -------------------------------------------------------------------------- */

tl_rc rig_poll_on(struct history_rig *r, bool sticky)
{
    struct tl_rs_info info = rig_info(r);
    char request_id[40];
    snprintf(request_id, sizeof(request_id), "poll-%llu", (unsigned long long)next_random(r));
    struct tl_wft_start start = {.task_queue = tl_str(sticky ? "sticky-q" : "q"),
                                 .sticky = sticky,
                                 .identity = "worker",
                                 .request_id = request_id};
    return rig_end(r, tl_tx_wft_start(rig_begin(r), info.wft_scheduled_id, info.wft_attempt, &start,
                                      &r->task, &r->err));
}

void rig_poll(struct history_rig *r)
{
    struct tl_rs_info info = rig_info(r);
    assert_true(info.wft_pending);
    assert_int_equal(rig_poll_on(r, info.wft_sticky), TL_OK);
}

TpWs__RespondWorkflowTaskCompletedRequest *rig_completion(struct history_rig *r)
{
    TpWs__RespondWorkflowTaskCompletedRequest *req =
        NEW(r, TpWs__RespondWorkflowTaskCompletedRequest,
            tp_ws__respond_workflow_task_completed_request);
    req->identity = text(r, "worker");
    req->commands = TL_ARENA_ARRAY(&r->arena, TpCommand__Command *, 5000);
    return req;
}

void rig_add_command(struct history_rig *r, TpWs__RespondWorkflowTaskCompletedRequest *req,
                     TpCommand__Command *c)
{
    (void)r;
    assert_true(req->n_commands < 5000);
    req->commands[req->n_commands++] = c;
}

tl_rc rig_send(struct history_rig *r, TpWs__RespondWorkflowTaskCompletedRequest *req)
{
    return rig_end(r, tl_tx_wft_complete(rig_begin(r), &r->task.ref, req, &r->completed, &r->err));
}

tl_rc rig_complete(struct history_rig *r, TpCommand__Command *c)
{
    TpWs__RespondWorkflowTaskCompletedRequest *req = rig_completion(r);
    if (c) {
        rig_add_command(r, req, c);
    }
    return rig_send(r, req);
}

void rig_stick(struct history_rig *r, TpWs__RespondWorkflowTaskCompletedRequest *req)
{
    req->sticky_attributes =
        NEW(r, TpTq__StickyExecutionAttributes, tp_tq__sticky_execution_attributes);
    req->sticky_attributes->worker_task_queue = queue(r, "sticky-q");
    req->sticky_attributes->schedule_to_start_timeout = rig_duration(r, 10 * RIG_S);
}

tl_rc rig_fail_task_for(struct history_rig *r, int cause)
{
    TpWs__RespondWorkflowTaskFailedRequest *req =
        NEW(r, TpWs__RespondWorkflowTaskFailedRequest, tp_ws__respond_workflow_task_failed_request);
    req->cause = (TpEnums__WorkflowTaskFailedCause)cause;
    req->identity = text(r, "worker");
    req->failure = rig_failure(r, "Panic", false, -1);
    return rig_end(r, tl_tx_wft_fail(rig_begin(r), &r->task.ref, req, &r->err));
}

tl_rc rig_fail_task(struct history_rig *r)
{
    return rig_fail_task_for(r, WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE);
}

/* --- activities ------------------------------------------------------------------------------ */

/* Attempt and stamp as DescribeWorkflowExecution would not show them: from the checkpoint. */
static bool find_activity(struct history_rig *r, int64_t scheduled_id, int32_t *attempt,
                          uint64_t *stamp)
{
    TlV1__RunState *s = NULL;
    struct tl_buf bytes;
    bool found = false;
    checkpoint(r->rs, &bytes);
    assert_int_equal(
        tl_pb_decode(&tl_v1__run_state__descriptor, tl_buf_str(&bytes), &r->arena, &s, NULL),
        TL_OK);
    tl_buf_deinit(&bytes);
    for (size_t i = 0; i < s->n_activities; i++) {
        if (s->activities[i]->scheduled_event_id == scheduled_id) {
            *attempt = s->activities[i]->attempt;
            *stamp = s->activities[i]->stamp;
            found = true;
        }
    }
    return found;
}

tl_rc rig_poll_activity(struct history_rig *r, int64_t scheduled_id)
{
    int32_t attempt = 0;
    uint64_t stamp = 0;
    char request_id[40];
    find_activity(r, scheduled_id, &attempt, &stamp);
    snprintf(request_id, sizeof(request_id), "apoll-%llu", (unsigned long long)next_random(r));
    return rig_end(r, tl_tx_activity_start(rig_begin(r), scheduled_id, attempt, stamp, "aworker",
                                           request_id, NULL, &r->activity, &r->err));
}

tl_rc rig_activity_complete(struct history_rig *r)
{
    struct tl_activity_key key = {.ref = &r->activity.ref};
    return rig_end(
        r, tl_tx_activity_complete(rig_begin(r), &key, rig_payloads(r, "42"), "aworker", &r->err));
}

tl_rc rig_activity_fail(struct history_rig *r, const char *type, bool non_retryable,
                        int64_t delay_ns)
{
    struct tl_activity_key key = {.ref = &r->activity.ref};
    return rig_end(r, tl_tx_activity_fail(rig_begin(r), &key,
                                          rig_failure(r, type, non_retryable, delay_ns), NULL,
                                          "aworker", &r->err));
}

tl_rc rig_heartbeat(struct history_rig *r, const char *details, struct tl_heartbeat_reply *reply)
{
    struct tl_activity_key key = {.ref = &r->activity.ref};
    return rig_end(r, tl_tx_activity_heartbeat(rig_begin(r), &key, rig_payloads(r, details),
                                               "aworker", reply, &r->err));
}

/* --- commands -------------------------------------------------------------------------------- */

static TpCommand__Command *command(struct history_rig *r, int type,
                                   TpCommand__Command__AttributesCase which, void *attrs)
{
    TpCommand__Command *c = NEW(r, TpCommand__Command, tp_command__command);
    c->command_type = (TpEnums__CommandType)type;
    c->attributes_case = which;
    c->start_timer_command_attributes = attrs; /* one of a union of pointers */
    return c;
}

TpCommand__Command *rig_cmd_timer(struct history_rig *r, const char *id, int64_t ns)
{
    TpCommand__StartTimerCommandAttributes *a =
        NEW(r, TpCommand__StartTimerCommandAttributes, tp_command__start_timer_command_attributes);
    a->timer_id = text(r, id);
    a->start_to_fire_timeout = rig_duration(r, ns);
    return command(r, COMMAND_TYPE_START_TIMER,
                   TP_COMMAND__COMMAND__ATTRIBUTES_START_TIMER_COMMAND_ATTRIBUTES, a);
}

TpCommand__Command *rig_cmd_cancel_timer(struct history_rig *r, const char *id)
{
    TpCommand__CancelTimerCommandAttributes *a = NEW(r, TpCommand__CancelTimerCommandAttributes,
                                                     tp_command__cancel_timer_command_attributes);
    a->timer_id = text(r, id);
    return command(r, COMMAND_TYPE_CANCEL_TIMER,
                   TP_COMMAND__COMMAND__ATTRIBUTES_CANCEL_TIMER_COMMAND_ATTRIBUTES, a);
}

TpCommand__Command *rig_cmd_activity(struct history_rig *r, const char *id)
{
    TpCommand__ScheduleActivityTaskCommandAttributes *a =
        NEW(r, TpCommand__ScheduleActivityTaskCommandAttributes,
            tp_command__schedule_activity_task_command_attributes);
    a->activity_id = text(r, id);
    a->activity_type = NEW(r, TpCommon__ActivityType, tp_common__activity_type);
    a->activity_type->name = text(r, "A");
    a->task_queue = queue(r, "q");
    a->input = rig_payloads(r, "7");
    a->start_to_close_timeout = rig_duration(r, 10 * RIG_S);
    return command(r, COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK,
                   TP_COMMAND__COMMAND__ATTRIBUTES_SCHEDULE_ACTIVITY_TASK_COMMAND_ATTRIBUTES, a);
}

TpCommand__Command *rig_cmd_cancel_activity(struct history_rig *r, int64_t scheduled_id)
{
    TpCommand__RequestCancelActivityTaskCommandAttributes *a =
        NEW(r, TpCommand__RequestCancelActivityTaskCommandAttributes,
            tp_command__request_cancel_activity_task_command_attributes);
    a->scheduled_event_id = scheduled_id;
    return command(r, COMMAND_TYPE_REQUEST_CANCEL_ACTIVITY_TASK,
                   TP_COMMAND__COMMAND__ATTRIBUTES_REQUEST_CANCEL_ACTIVITY_TASK_COMMAND_ATTRIBUTES,
                   a);
}

TpCommand__Command *rig_cmd_complete(struct history_rig *r)
{
    TpCommand__CompleteWorkflowExecutionCommandAttributes *a =
        NEW(r, TpCommand__CompleteWorkflowExecutionCommandAttributes,
            tp_command__complete_workflow_execution_command_attributes);
    a->result = rig_payloads(r, "\"done\"");
    return command(r, COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION,
                   TP_COMMAND__COMMAND__ATTRIBUTES_COMPLETE_WORKFLOW_EXECUTION_COMMAND_ATTRIBUTES,
                   a);
}

TpCommand__Command *rig_cmd_fail(struct history_rig *r, const char *type)
{
    TpCommand__FailWorkflowExecutionCommandAttributes *a =
        NEW(r, TpCommand__FailWorkflowExecutionCommandAttributes,
            tp_command__fail_workflow_execution_command_attributes);
    a->failure = rig_failure(r, type, false, -1);
    return command(r, COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION,
                   TP_COMMAND__COMMAND__ATTRIBUTES_FAIL_WORKFLOW_EXECUTION_COMMAND_ATTRIBUTES, a);
}

TpCommand__Command *rig_cmd_cancel(struct history_rig *r)
{
    return command(r, COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION,
                   TP_COMMAND__COMMAND__ATTRIBUTES_CANCEL_WORKFLOW_EXECUTION_COMMAND_ATTRIBUTES,
                   NEW(r, TpCommand__CancelWorkflowExecutionCommandAttributes,
                       tp_command__cancel_workflow_execution_command_attributes));
}

TpCommand__Command *rig_cmd_continue(struct history_rig *r)
{
    TpCommand__ContinueAsNewWorkflowExecutionCommandAttributes *a =
        NEW(r, TpCommand__ContinueAsNewWorkflowExecutionCommandAttributes,
            tp_command__continue_as_new_workflow_execution_command_attributes);
    a->input = rig_payloads(r, "2");
    return command(
        r, COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION,
        TP_COMMAND__COMMAND__ATTRIBUTES_CONTINUE_AS_NEW_WORKFLOW_EXECUTION_COMMAND_ATTRIBUTES, a);
}

TpCommand__Command *rig_cmd_marker(struct history_rig *r, const char *name)
{
    TpCommand__RecordMarkerCommandAttributes *a = NEW(r, TpCommand__RecordMarkerCommandAttributes,
                                                      tp_command__record_marker_command_attributes);
    TpCommand__RecordMarkerCommandAttributes__DetailsEntry *entry =
        NEW(r, TpCommand__RecordMarkerCommandAttributes__DetailsEntry,
            tp_command__record_marker_command_attributes__details_entry);
    a->marker_name = text(r, name);
    entry->key = text(r, "data");
    entry->value = rig_payloads(r, "true");
    a->details =
        TL_ARENA_ARRAY(&r->arena, TpCommand__RecordMarkerCommandAttributes__DetailsEntry *, 1);
    a->details[0] = entry;
    a->n_details = 1;
    return command(r, COMMAND_TYPE_RECORD_MARKER,
                   TP_COMMAND__COMMAND__ATTRIBUTES_RECORD_MARKER_COMMAND_ATTRIBUTES, a);
}

TpCommand__Command *rig_cmd_memo(struct history_rig *r, const char *key, const char *json)
{
    TpCommand__ModifyWorkflowPropertiesCommandAttributes *a =
        NEW(r, TpCommand__ModifyWorkflowPropertiesCommandAttributes,
            tp_command__modify_workflow_properties_command_attributes);
    TpCommon__Memo__FieldsEntry *entry =
        NEW(r, TpCommon__Memo__FieldsEntry, tp_common__memo__fields_entry);
    a->upserted_memo = NEW(r, TpCommon__Memo, tp_common__memo);
    entry->key = text(r, key);
    entry->value = rig_payload(r, json);
    a->upserted_memo->fields = TL_ARENA_ARRAY(&r->arena, TpCommon__Memo__FieldsEntry *, 1);
    a->upserted_memo->fields[0] = entry;
    a->upserted_memo->n_fields = 1;
    return command(r, COMMAND_TYPE_MODIFY_WORKFLOW_PROPERTIES,
                   TP_COMMAND__COMMAND__ATTRIBUTES_MODIFY_WORKFLOW_PROPERTIES_COMMAND_ATTRIBUTES,
                   a);
}

TpCommand__Command *rig_cmd_attribute(struct history_rig *r, const char *key, const char *json)
{
    TpCommand__UpsertWorkflowSearchAttributesCommandAttributes *a =
        NEW(r, TpCommand__UpsertWorkflowSearchAttributesCommandAttributes,
            tp_command__upsert_workflow_search_attributes_command_attributes);
    TpCommon__SearchAttributes__IndexedFieldsEntry *entry =
        NEW(r, TpCommon__SearchAttributes__IndexedFieldsEntry,
            tp_common__search_attributes__indexed_fields_entry);
    a->search_attributes = NEW(r, TpCommon__SearchAttributes, tp_common__search_attributes);
    entry->key = text(r, key);
    entry->value = rig_payload(r, json);
    a->search_attributes->indexed_fields =
        TL_ARENA_ARRAY(&r->arena, TpCommon__SearchAttributes__IndexedFieldsEntry *, 1);
    a->search_attributes->indexed_fields[0] = entry;
    a->search_attributes->n_indexed_fields = 1;
    return command(
        r, COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES,
        TP_COMMAND__COMMAND__ATTRIBUTES_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES_COMMAND_ATTRIBUTES, a);
}
