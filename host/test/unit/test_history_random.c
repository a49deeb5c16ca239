/* Goal: whatever happens to a run in whatever order, the state rebuilt from the log equals the live
 * state, histories are well formed, and no signal is lost.
 * Method: random operations from a seed; a second state follows from the records alone and is
 * compared after every one; now and then the live state is dropped as a crash drops it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <tl_enums.h>

#include "base/fault.h"
#include "base/mem.h"
#include "base/rng.h"
#include "proto/pb.h"
#include "server/history/activity.h"
#include "test/support/history_rig.h"

#define SEEDS 200
#define STEPS 150
#define TASKS_MAX 64

struct walk {
    struct history_rig rig;
    struct tl_rng rng;
    struct tl_rs *shadow; /* built from records alone */
    size_t shadow_rows;
    struct tl_activity_started tasks[TASKS_MAX]; /* activity tasks that workers hold */
    size_t task_n;
    size_t signals; /* accepted, each with its own request id */
    size_t dropped; /* speculative tasks that left no trace */
    uint64_t next_id;
    bool polled;
};

static uint64_t below(struct walk *w, uint64_t n)
{
    return tl_rng_below(&w->rng, n);
}

static bool chance(struct walk *w, unsigned percent)
{
    return below(w, 100) < percent;
}

static const char *name(struct walk *w, const char *prefix, uint64_t n)
{
    return tl_arena_printf(&w->rig.arena, "%s%llu", prefix, (unsigned long long)below(w, n));
}

/* --- the shadow ------------------------------------------------------------------------------ */

static void follow(struct walk *w)
{
    struct tl_arena scratch;
    tl_arena_init(&scratch, TL_ARENA_UNLIMITED);
    for (; w->shadow_rows < w->rig.row_n; w->shadow_rows++) {
        struct tl_error err = {0};
        const struct rig_row *row = &w->rig.rows[w->shadow_rows];
        if (tl_rs_apply_record(w->shadow, row->log_id, row->bytes, &scratch, &err) != TL_OK) {
            fail_msg("row %zu: %s", w->shadow_rows, err.message);
        }
    }
    tl_arena_deinit(&scratch);
    rig_assert_same(&w->rig, w->shadow);
    const struct tl_rs_info info = rig_info(&w->rig);
    assert_false(info.status == WORKFLOW_EXECUTION_STATUS_PAUSED && info.wft_pending &&
                 !info.wft_started);
}

/* --- operations ------------------------------------------------------------------------------ */

static void do_signal(struct walk *w)
{
    char id[32];
    snprintf(id, sizeof(id), "sig-%llu", (unsigned long long)w->next_id++);
    if (rig_signal(&w->rig, "s", id) == TL_OK) {
        w->signals++;
    }
    if (chance(w, 20)) {
        rig_signal(&w->rig, "s", id); /* once more: changes nothing while it is known */
    }
}

static void do_poll(struct walk *w)
{
    struct tl_rs_info info = rig_info(&w->rig);
    if (!info.wft_pending || info.wft_started) {
        return;
    }
    if (info.wft_sticky && chance(w, 30)) {
        rig_end(&w->rig, tl_tx_wft_unstick(rig_begin(&w->rig), info.wft_scheduled_id, &w->rig.err));
        follow(w);
        rig_poll_on(&w->rig, false);
    } else {
        rig_poll(&w->rig);
    }
    w->polled = true;
}

static TpCommand__Command *random_activity(struct walk *w)
{
    struct history_rig *r = &w->rig;
    TpCommand__Command *c = rig_cmd_activity(r, name(w, "a", 6));
    TpCommand__ScheduleActivityTaskCommandAttributes *a =
        c->schedule_activity_task_command_attributes;
    a->request_eager_execution = chance(w, 30);
    a->retry_policy =
        rig_retry(r, (int64_t)(1 + below(w, 4)) * RIG_S, 2, 20 * RIG_S, (int32_t)below(w, 4));
    if (chance(w, 30)) {
        a->heartbeat_timeout = rig_duration(r, (int64_t)(1 + below(w, 6)) * RIG_S);
    }
    if (chance(w, 30)) {
        a->schedule_to_start_timeout = rig_duration(r, (int64_t)(1 + below(w, 9)) * RIG_S);
    }
    if (chance(w, 30)) {
        a->schedule_to_close_timeout = rig_duration(r, (int64_t)(5 + below(w, 20)) * RIG_S);
    }
    return c;
}

static TpCommand__Command *random_command(struct walk *w)
{
    struct history_rig *r = &w->rig;
    switch (below(w, 9)) {
    case 0:
    case 1:
        return rig_cmd_timer(r, name(w, "t", 5), (int64_t)below(w, 8) * RIG_S);
    case 2:
        return rig_cmd_cancel_timer(r, name(w, "t", 5));
    case 3:
    case 4:
        return random_activity(w);
    case 5:
        return rig_cmd_cancel_activity(r, 1 + (int64_t)below(w, 1 + rig_event_count(r)));
    case 6:
        return rig_cmd_marker(r, "m");
    case 7:
        return rig_cmd_memo(r, name(w, "k", 3), chance(w, 30) ? NULL : "1");
    default:
        return rig_cmd_attribute(r, name(w, "k", 3), chance(w, 30) ? NULL : "true");
    }
}

static TpCommand__Command *random_close(struct walk *w)
{
    struct history_rig *r = &w->rig;
    switch (below(w, 4)) {
    case 0:
        return rig_cmd_complete(r);
    case 1:
        return rig_cmd_fail(r, "Oops");
    case 2:
        return rig_cmd_cancel(r);
    default:
        return rig_cmd_continue(r);
    }
}

/* --- updates --------------------------------------------------------------------------------- */

static void do_update(struct walk *w)
{
    TpUpdate__Request request = TP_UPDATE__REQUEST__INIT;
    TpUpdate__Meta meta = TP_UPDATE__META__INIT;
    TpUpdate__Input input = TP_UPDATE__INPUT__INIT;
    request.meta = &meta;
    request.input = &input;
    meta.update_id = (char *)(uintptr_t)name(w, "u", 40);
    input.name = (char *)(uintptr_t) "add";
    rig_end(&w->rig, tl_tx_update_admit(rig_begin(&w->rig), &request, &w->rig.err));
}

static void add_message(struct walk *w, TpWs__RespondWorkflowTaskCompletedRequest *req,
                        struct tl_str id, const ProtobufCMessage *body, const char *what)
{
    struct tl_arena *a = &w->rig.arena;
    TpProtocol__Message *m = TL_PB_NEW(a, TpProtocol__Message, tp_protocol__message);
    struct tl_pb_list list = {req->messages, req->n_messages, req->n_messages};
    struct tl_str bytes;
    assert_int_equal(tl_pb_encode_arena(body, a, &bytes, NULL), TL_OK);
    m->id = tl_arena_printf(a, "%.*s/%s", TL_STR_FMT(id), what);
    m->protocol_instance_id = tl_pb_cstr(a, id);
    m->body = TL_PB_NEW(a, Google__Protobuf__Any, google__protobuf__any);
    m->body->type_url = tl_arena_printf(a, "x/%s", body->descriptor->name);
    m->body->value = tl_pb_bytes_view(bytes);
    assert_true(tl_pb_push(a, &list, m));
    req->messages = list.items;
    req->n_messages = list.n;
    if (strcmp(what, "reject") == 0 || chance(w, 10)) { /* old workers send no command */
        return;
    }
    TpCommand__Command *c = TL_PB_NEW(a, TpCommand__Command, tp_command__command);
    c->command_type = (TpEnums__CommandType)COMMAND_TYPE_PROTOCOL_MESSAGE;
    c->attributes_case = TP_COMMAND__COMMAND__ATTRIBUTES_PROTOCOL_MESSAGE_COMMAND_ATTRIBUTES;
    c->protocol_message_command_attributes =
        TL_PB_NEW(a, TpCommand__ProtocolMessageCommandAttributes,
                  tp_command__protocol_message_command_attributes);
    c->protocol_message_command_attributes->message_id = m->id;
    rig_add_command(&w->rig, req, c);
}

static void respond(struct walk *w, TpWs__RespondWorkflowTaskCompletedRequest *req,
                    struct tl_str id)
{
    TpUpdate__Response response = TP_UPDATE__RESPONSE__INIT;
    TpUpdate__Outcome outcome = TP_UPDATE__OUTCOME__INIT;
    TpUpdate__Meta meta = TP_UPDATE__META__INIT;
    TpCommon__Payloads nothing = TP_COMMON__PAYLOADS__INIT;
    outcome.value_case = TP_UPDATE__OUTCOME__VALUE_SUCCESS;
    outcome.success = &nothing;
    meta.update_id = tl_pb_cstr(&w->rig.arena, id);
    response.meta = &meta;
    response.outcome = &outcome;
    add_message(w, req, id, &response.base, "complete");
}

/* Answers what came with the task, most of it, and completes some of what was accepted before. */
static void answer_updates(struct walk *w, TpWs__RespondWorkflowTaskCompletedRequest *req)
{
    TpUpdate__Acceptance accept = TP_UPDATE__ACCEPTANCE__INIT;
    TpUpdate__Rejection reject = TP_UPDATE__REJECTION__INIT;
    TpFailure__Failure no = TP_FAILURE__FAILURE__INIT;
    struct tl_rs_update u;
    reject.failure = &no;
    for (int i = 0; i < 40; i++) {
        struct tl_str id = tl_str(tl_arena_printf(&w->rig.arena, "u%d", i));
        if (chance(w, 40) && tl_rs_update_find(w->rig.rs, id, &u) &&
            u.stage == UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED) {
            respond(w, req, id);
        }
    }
    for (size_t i = 0; i < w->rig.task.update_count; i++) {
        struct tl_str id = w->rig.task.updates[i].id;
        switch (below(w, 4)) {
        case 0:
            add_message(w, req, id, &reject.base, "reject");
            break;
        case 1:
        case 2:
            add_message(w, req, id, &accept.base, "accept");
            if (chance(w, 50)) {
                respond(w, req, id);
            }
            break;
        default:
            break;
        }
    }
}

static void reject_updates(struct walk *w, TpWs__RespondWorkflowTaskCompletedRequest *req)
{
    TpUpdate__Rejection reject = TP_UPDATE__REJECTION__INIT;
    req->n_commands = 0;
    req->capabilities =
        TL_PB_NEW(&w->rig.arena, TpWs__RespondWorkflowTaskCompletedRequest__Capabilities,
                  tp_ws__respond_workflow_task_completed_request__capabilities);
    req->capabilities->discard_speculative_workflow_task_with_events = chance(w, 70);
    for (size_t i = 0; i < w->rig.task.update_count; i++) {
        add_message(w, req, w->rig.task.updates[i].id, &reject.base, "reject");
    }
}

static void keep_task(struct walk *w, const struct tl_activity_started *t)
{
    if (w->task_n < TASKS_MAX) {
        w->tasks[w->task_n++] = *t;
    }
}

static void do_complete(struct walk *w)
{
    struct history_rig *r = &w->rig;
    TpWs__RespondWorkflowTaskCompletedRequest *req = rig_completion(r);
    if (!w->polled) {
        return;
    }
    for (uint64_t i = below(w, 4); i > 0; i--) {
        rig_add_command(r, req, random_command(w));
    }
    bool only_rejects = chance(w, 25); /* a speculative task may then leave no trace */
    if (only_rejects) {
        reject_updates(w, req);
    } else {
        answer_updates(w, req);
    }
    if (!only_rejects && chance(w, 4)) {
        rig_add_command(r, req, random_close(w));
    }
    if (chance(w, 50)) {
        rig_stick(r, req);
    }
    req->force_create_new_workflow_task = !only_rejects && chance(w, 10);
    req->return_new_workflow_task = chance(w, 50);
    struct tl_tx *tx = rig_begin(r);
    tl_rc rc = tl_tx_wft_complete(tx, &r->task.ref, req, &r->completed, &r->err);
    if (rc == TL_OK && r->completed.deliver_next_inline) {
        struct tl_rs_info info = rig_info(r);
        struct tl_wft_start start = {.identity = "w", .request_id = "inline", .inline_reply = true};
        assert_int_equal(
            tl_tx_wft_start(tx, info.wft_scheduled_id, info.wft_attempt, &start, &r->task, &r->err),
            TL_OK);
    }
    rig_end(r, rc);
    w->dropped += rc == TL_OK && r->completed.reset_history_event_id;
    for (size_t i = 0; rc == TL_OK && i < r->completed.eager_count; i++) {
        keep_task(w, &r->completed.eager[i]);
    }
}

static void do_poll_activity(struct walk *w)
{
    struct history_rig *r = &w->rig;
    const struct tl_rs_info info = rig_info(r);
    if (info.pending_activities == 0) {
        return;
    }
    for (int64_t id = 1; id < info.next_event_id; id++) {
        if (chance(w, 40) &&
            (int)rig_event(r, id)->event_type == EVENT_TYPE_ACTIVITY_TASK_SCHEDULED &&
            rig_poll_activity(r, id) == TL_OK) {
            keep_task(w, &r->activity);
            follow(w);
            return;
        }
    }
}

static void do_activity(struct walk *w)
{
    struct history_rig *r = &w->rig;
    struct tl_heartbeat_reply reply;
    if (w->task_n == 0) {
        return;
    }
    size_t at = (size_t)below(w, w->task_n);
    r->activity = w->tasks[at];
    struct tl_activity_key key = {.ref = &r->activity.ref};
    switch (below(w, 6)) {
    case 0:
    case 1:
        rig_activity_complete(r);
        break;
    case 2:
        rig_activity_fail(r, "E", chance(w, 30), chance(w, 30) ? (int64_t)below(w, 5) * RIG_S : -1);
        break;
    case 3:
        rig_end(r, tl_tx_activity_cancel(rig_begin(r), &key, NULL, "w", &r->err));
        break;
    case 4:
        rig_end(r, tl_tx_activity_unstart(rig_begin(r), &r->activity.ref, &r->err));
        break;
    default:
        rig_heartbeat(r, "1", &reply);
        return; /* the worker keeps it */
    }
    w->tasks[at] = w->tasks[--w->task_n];
}

/* Paused runs wait, so they do not stay it for long. */
static void do_pause(struct walk *w)
{
    const struct tl_pause_request req = {"me", "why", chance(w, 50) ? "p1" : ""};
    bool paused = rig_info(&w->rig).status == WORKFLOW_EXECUTION_STATUS_PAUSED;
    if (paused ? chance(w, 80) : chance(w, 10)) {
        rig_end(&w->rig, tl_tx_unpause(rig_begin(&w->rig), &req, &w->rig.err));
    } else if (chance(w, 40)) {
        rig_end(&w->rig, tl_tx_pause(rig_begin(&w->rig), &req, &w->rig.err));
    }
}

static void do_other(struct walk *w)
{
    struct history_rig *r = &w->rig;
    struct tl_activity_key key = {.activity_id = tl_str(name(w, "a", 6))};
    switch (below(w, 10)) {
    case 8:
    case 9:
        do_pause(w);
        break;
    case 0:
        rig_end(r, tl_tx_materialise_started(rig_begin(r), &r->err));
        break;
    case 1:
        rig_end(r, tl_tx_reset_sticky(rig_begin(r), &r->err));
        break;
    case 2:
        rig_end(r, tl_tx_query_buffer(rig_begin(r), w->next_id++, tl_str("q"), &r->err));
        break;
    case 3:
        rig_end(r, tl_tx_wft_unstart(rig_begin(r), &r->task.ref, &r->err));
        break;
    case 4:
        rig_end(r, tl_tx_activity_complete(rig_begin(r), &key, NULL, "me", &r->err));
        break;
    case 5:
        if (chance(w, 30)) {
            rig_cancel(r);
        }
        break;
    case 6:
        tl_rs_shrink(r->rs, r->next_log_id - 1 - (int64_t)below(w, 3), (size_t)below(w, 4000));
        break;
    default:
        if (chance(w, 8)) {
            rig_terminate(r);
        }
        break;
    }
}

static void do_time(struct walk *w)
{
    struct history_rig *r = &w->rig;
    int64_t until_ns = r->now_ns + (int64_t)below(w, 5000) * RIG_MS;
    while (tl_rs_deadline_ns(r->rs) <= until_ns) {
        rig_fire(r);
        follow(w);
    }
    r->now_ns = until_ns;
}

static void step(struct walk *w)
{
    switch (below(w, 14)) {
    case 12:
    case 13:
        do_update(w);
        break;
    case 0:
    case 1:
        do_signal(w);
        break;
    case 2:
    case 3:
        do_poll(w);
        break;
    case 4:
    case 5:
        do_complete(w);
        break;
    case 6:
        do_poll_activity(w);
        break;
    case 7:
        do_activity(w);
        break;
    case 8:
        do_time(w);
        break;
    case 9:
        if (w->polled && chance(w, 50)) {
            rig_fail_task(&w->rig);
        }
        break;
    case 10:
        if (chance(w, 10)) {
            rig_crash(&w->rig);
        }
        break;
    default:
        do_other(w);
        break;
    }
    follow(w);
}

/* --- what must hold of a history ------------------------------------------------------------- */

static int type_of(struct walk *w, int64_t id)
{
    return id > 0 ? (int)rig_event(&w->rig, id)->event_type : 0;
}

static bool check_activity_close(struct walk *w, int64_t id, int64_t scheduled_id,
                                 int64_t started_id, bool may_be_unstarted)
{
    if (type_of(w, scheduled_id) != EVENT_TYPE_ACTIVITY_TASK_SCHEDULED) {
        return false;
    }
    if (started_id == 0) {
        return may_be_unstarted;
    }
    return started_id < id && type_of(w, started_id) == EVENT_TYPE_ACTIVITY_TASK_STARTED &&
           rig_event(&w->rig, started_id)
                   ->activity_task_started_event_attributes->scheduled_event_id == scheduled_id;
}

static bool check_event(struct walk *w, const TpHistory__HistoryEvent *e)
{
    int64_t id = e->event_id;
    switch ((int)e->event_type) {
    case EVENT_TYPE_WORKFLOW_TASK_STARTED:
        return type_of(w, e->workflow_task_started_event_attributes->scheduled_event_id) ==
               EVENT_TYPE_WORKFLOW_TASK_SCHEDULED;
    case EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
        return e->workflow_task_completed_event_attributes->started_event_id == id - 1 &&
               type_of(w, id - 1) == EVENT_TYPE_WORKFLOW_TASK_STARTED;
    case EVENT_TYPE_WORKFLOW_TASK_FAILED:
        if ((int)e->workflow_task_failed_event_attributes->cause ==
            WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_PAUSE_REQUESTED_BEFORE_TASK_STARTED) {
            return e->workflow_task_failed_event_attributes->started_event_id == 0 &&
                   type_of(w, id + 1) == EVENT_TYPE_WORKFLOW_EXECUTION_PAUSED;
        }
        return e->workflow_task_failed_event_attributes->started_event_id == id - 1 &&
               type_of(w, id - 1) == EVENT_TYPE_WORKFLOW_TASK_STARTED;
    case EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED:
        return type_of(
                   w, e->workflow_execution_update_completed_event_attributes->accepted_event_id) ==
               EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED;
    case EVENT_TYPE_TIMER_FIRED:
        return type_of(w, e->timer_fired_event_attributes->started_event_id) ==
               EVENT_TYPE_TIMER_STARTED;
    case EVENT_TYPE_TIMER_CANCELED:
        return type_of(w, e->timer_canceled_event_attributes->started_event_id) ==
               EVENT_TYPE_TIMER_STARTED;
    case EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
        return check_activity_close(
            w, id, e->activity_task_completed_event_attributes->scheduled_event_id,
            e->activity_task_completed_event_attributes->started_event_id, false);
    case EVENT_TYPE_ACTIVITY_TASK_FAILED:
        return check_activity_close(
            w, id, e->activity_task_failed_event_attributes->scheduled_event_id,
            e->activity_task_failed_event_attributes->started_event_id, false);
    case EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT:
        return check_activity_close(
            w, id, e->activity_task_timed_out_event_attributes->scheduled_event_id,
            e->activity_task_timed_out_event_attributes->started_event_id, true);
    case EVENT_TYPE_ACTIVITY_TASK_CANCELED:
        return check_activity_close(
            w, id, e->activity_task_canceled_event_attributes->scheduled_event_id,
            e->activity_task_canceled_event_attributes->started_event_id, true);
    default:
        return true;
    }
}

/* Number of signals in the history and the buffer. */
static size_t count_signals(struct walk *w)
{
    struct history_rig *r = &w->rig;
    TlV1__RunState *s = NULL;
    struct tl_buf bytes;
    size_t n = 0;
    for (int64_t id = 1; id <= (int64_t)rig_event_count(r); id++) {
        n += type_of(w, id) == EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED;
    }
    tl_buf_init(&bytes, (size_t)1 << 26);
    assert_int_equal(tl_rs_checkpoint(r->rs, &bytes, NULL), TL_OK);
    assert_int_equal(
        tl_pb_decode(&tl_v1__run_state__descriptor, tl_buf_str(&bytes), &r->arena, &s, NULL),
        TL_OK);
    tl_buf_deinit(&bytes);
    for (size_t i = 0; i < s->n_buffered_events; i++) {
        TpHistory__HistoryEvent *e = NULL;
        assert_int_equal(tl_pb_decode(&tp_history__history_event__descriptor,
                                      tl_pb_str(s->buffered_events[i]), &r->arena, &e, NULL),
                         TL_OK);
        n += (int)e->event_type == EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED;
    }
    return n;
}

/* --- walks ----------------------------------------------------------------------------------- */

static void walk_open(struct walk *w, uint64_t seed)
{
    struct tl_rs_identity id = {1,
                                1,
                                tl_str("ns"),
                                tl_str("ns-id"),
                                tl_str("wf"),
                                tl_str("00000000-0000-4000-8000-000000000001"),
                                false};
    memset(w, 0, sizeof(*w));
    history_rig_open(&w->rig);
    w->rig.compare = false;
    w->shadow = tl_rs_new(&id);
    tl_rng_seed(&w->rng, seed);
    TpWs__StartWorkflowExecutionRequest *req = rig_start_request(&w->rig);
    if (chance(w, 30)) {
        req->retry_policy = rig_retry(&w->rig, RIG_S, 2, 0, 3);
    }
    if (chance(w, 30)) {
        req->workflow_run_timeout = rig_duration(&w->rig, (int64_t)(50 + below(w, 200)) * RIG_S);
    }
    if (chance(w, 30)) {
        req->workflow_start_delay = rig_duration(&w->rig, (int64_t)below(w, 10) * RIG_S);
    }
    if (chance(w, 30)) {
        w->rig.env.limits.buffered_events = 2;
    }
    assert_int_equal(rig_start_with(&w->rig, req), TL_OK);
    follow(w);
}

static void walk_close(struct walk *w)
{
    tl_rs_free(w->shadow);
    history_rig_close(&w->rig);
}

static void every_walk_recovers(void **state)
{
    size_t events = 0, closed = 0, updates = 0, dropped = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct walk w;
        walk_open(&w, seed);
        for (int i = 0; i < STEPS; i++) {
            step(&w);
        }
        struct tl_rs *again = rig_recover(&w.rig);
        rig_assert_same(&w.rig, again);
        tl_rs_free(again);
        for (int64_t id = 1; id <= (int64_t)rig_event_count(&w.rig); id++) {
            if (!check_event(&w, rig_event(&w.rig, id))) {
                fail_msg("seed %llu: event %lld makes no sense in %s", (unsigned long long)seed,
                         (long long)id, rig_types(&w.rig, 1));
            }
        }
        if (count_signals(&w) != w.signals) {
            fail_msg("seed %llu: %zu signals accepted, %zu there", (unsigned long long)seed,
                     w.signals, count_signals(&w));
        }
        for (int64_t id = 1; id <= (int64_t)rig_event_count(&w.rig); id++) {
            updates += type_of(&w, id) == EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED;
        }
        dropped += w.dropped;
        events += rig_event_count(&w.rig);
        closed += rig_info(&w.rig).closed;
        walk_close(&w);
    }
    /* The walks went somewhere. */
    assert_true(events > SEEDS * 40);
    assert_true(updates > SEEDS && dropped > 10);
    assert_true(closed > SEEDS / 10 && closed < SEEDS);
}

static void a_lost_event_is_seen_by_the_walks(void **state)
{
    size_t noticed = 0;
    (void)state;
    tl_fault_arm(TL_FAULT_lose_buffered_event, true);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct walk w;
        walk_open(&w, seed);
        for (int i = 0; i < STEPS; i++) {
            step(&w);
        }
        noticed += count_signals(&w) != w.signals;
        walk_close(&w);
    }
    tl_fault_arm(TL_FAULT_lose_buffered_event, false);
    assert_true(noticed > 5);
}

/* Damaged rows and checkpoints are errors, never crashes. */
static void damaged_bytes_are_refused(void **state)
{
    struct walk w;
    struct tl_arena scratch;
    struct tl_buf saved;
    size_t refused = 0;
    (void)state;
    walk_open(&w, 3);
    for (int i = 0; i < STEPS; i++) {
        step(&w);
    }
    tl_arena_init(&scratch, TL_ARENA_UNLIMITED);
    tl_buf_init(&saved, (size_t)1 << 26);
    assert_int_equal(tl_rs_checkpoint(w.rig.rs, &saved, NULL), TL_OK);
    for (int i = 0; i < 3000; i++) {
        struct tl_rs_identity id = rig_info(&w.rig).id;
        struct tl_rs *rs = NULL;
        struct tl_error err = {0};
        const struct rig_row *row = &w.rig.rows[below(&w, w.rig.row_n)];
        struct tl_str good = i % 2 ? tl_buf_str(&saved) : row->bytes;
        char *bad = tl_arena_alloc(&scratch, good.n);
        memcpy(bad, good.p, good.n);
        bad[below(&w, good.n)] ^= (char)(1U << below(&w, 8));
        size_t n = chance(&w, 20) ? (size_t)below(&w, good.n) : good.n;
        if (i % 2) {
            refused += tl_rs_load(&rs, &id, tl_str_n(bad, n), &err) != TL_OK;
        } else {
            rs = tl_rs_new(&id);
            refused += tl_rs_apply_record(rs, 1, tl_str_n(bad, n), &scratch, &err) != TL_OK;
        }
        tl_rs_free(rs);
        tl_arena_reset(&scratch);
    }
    assert_true(refused > 1000);
    tl_buf_deinit(&saved);
    tl_arena_deinit(&scratch);
    walk_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_walk_recovers),
        cmocka_unit_test(a_lost_event_is_seen_by_the_walks),
        cmocka_unit_test(damaged_bytes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
