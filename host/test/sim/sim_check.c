/* What must be true of every history that was ever read. */
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "core/history.h"
#include "core/replay.h"
#include "luart/luart.h"
#include "proto/pb.h"
#include "sim/sim.h"
#include "tl_enums.h"

static uint64_t event_hash(const TpHistory__HistoryEvent *e, struct tl_arena *arena)
{
    struct tl_str bytes;
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    if (tl_pb_encode_arena(e, arena, &bytes, NULL) == TL_OK) {
        for (size_t i = 0; i < bytes.n; i++) {
            h = (h ^ (unsigned char)bytes.p[i]) * UINT64_C(0x100000001b3);
        }
    }
    return h;
}

/* Times. An event that came while a workflow task was under way is buffered and stands behind the
 * events of the task's end with the time it came; ActivityTaskStarted is written at the activity's end
 * with the time of its start. So order holds between workflow task events, behind the last
 * WorkflowTaskStarted, and between an event and the one that it follows from. */
static void check_time(struct sim_workflow *w, const TpHistory__History *history, size_t i,
                       int64_t *task_ns, int64_t *floor_ns)
{
    const TpHistory__HistoryEvent *e = history->events[i];
    const struct tl_event_info *info = tl_event_info((int)e->event_type);
    int64_t ns = tl_pb_timestamp_ns_or(e->event_time, 0), least_ns = *floor_ns;
    int64_t cause = tl_event_link(e);
    if (e->event_type == (TpEnums__EventType)EVENT_TYPE_ACTIVITY_TASK_STARTED) {
        least_ns = 0;
    }
    if (info->event_class == TL_EVENT_TASK && *task_ns > least_ns) {
        least_ns = *task_ns;
    }
    if (cause > 0 && cause <= (int64_t)i) {
        int64_t cause_ns = tl_pb_timestamp_ns_or(history->events[cause - 1]->event_time, 0);
        least_ns = cause_ns > least_ns ? cause_ns : least_ns;
    }
    if (ns < least_ns) {
        sim_fail(w->sim, "%s: event %zu (%s) is %lld ns too early", w->id, i + 1, info->text,
                 (long long)(least_ns - ns));
    }
    if (info->event_class == TL_EVENT_TASK) {
        *task_ns = ns;
    }
    if (i == 0 || e->event_type == (TpEnums__EventType)EVENT_TYPE_WORKFLOW_TASK_STARTED) {
        *floor_ns = ns;
    }
}

/* The newest ends of workflow tasks: a reset goes back to before one of them. */
static void note_points(struct sim_workflow *w, const TpHistory__History *history)
{
    struct sim_resets *resets = &w->resets;
    resets->point_count = 0;
    for (size_t i = history->n_events; i > 0 && resets->point_count < SIM_POINTS_MAX; i--) {
        int type = (int)history->events[i - 1]->event_type;
        if (type == EVENT_TYPE_WORKFLOW_TASK_COMPLETED || type == EVENT_TYPE_WORKFLOW_TASK_FAILED ||
            type == EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT) {
            resets->points[resets->point_count++] = history->events[i - 1]->event_id;
        }
    }
}

void sim_check_history(struct sim_workflow *w, const TpHistory__History *history)
{
    struct tl_arena arena;
    int64_t task_ns = 0, floor_ns = 0;
    tl_arena_init(&arena, (size_t)tl_limit_request_bytes);
    if (history->n_events < w->seen_count) {
        sim_fail(w->sim, "%s: %zu events were read before, now there are %zu", w->id, w->seen_count,
                 history->n_events);
    }
    for (size_t i = 0; i < history->n_events && i < SIM_EVENTS_MAX; i++) {
        const TpHistory__HistoryEvent *e = history->events[i];
        uint64_t h = event_hash(e, &arena);
        if (e->event_id != (int64_t)i + 1) {
            sim_fail(w->sim, "%s: event %zu has the id %lld", w->id, i + 1, (long long)e->event_id);
            break;
        }
        check_time(w, history, i, &task_ns, &floor_ns);
        if (i < w->seen_count && w->seen[i] != h) {
            sim_fail(w->sim, "%s: event %zu (%s) is not the one that was read before", w->id, i + 1,
                     tl_pb_enum_name(&tp_enums__event_type__descriptor, (int)e->event_type));
        }
        w->seen[i] = h;
    }
    note_points(w, history);
    if (history->n_events > w->seen_count) {
        w->seen_count = history->n_events < SIM_EVENTS_MAX ? history->n_events : SIM_EVENTS_MAX;
    }
    tl_arena_deinit(&arena);
}

void sim_check_page(struct sim_workflow *w, const TpHistory__History *page, int64_t first_id)
{
    struct tl_arena arena;
    tl_arena_init(&arena, (size_t)tl_limit_request_bytes);
    for (size_t i = 0; i < page->n_events; i++) {
        const TpHistory__HistoryEvent *e = page->events[i];
        size_t at = (size_t)first_id - 1 + i;
        if (e->event_id != (int64_t)at + 1) {
            sim_fail(w->sim, "%s: event %zu of a page has the id %lld", w->id, at + 1,
                     (long long)e->event_id);
        } else if (at < w->seen_count && w->seen[at] != event_hash(e, &arena)) {
            sim_fail(w->sim, "%s: event %zu of a page is not the one that was read before", w->id,
                     at + 1);
        }
    }
    tl_arena_deinit(&arena);
}

static void check_signals(struct sim_workflow *w, const TpHistory__History *history)
{
    int counts[SIM_SIGNALS_MAX + 2] = {0};
    int sent = w->kind == SIM_BATCHED ? SIM_BATCHES : w->signals_sent;
    int acked = w->kind == SIM_BATCHED ? SIM_BATCHES : w->signals_acked;
    for (size_t i = 0; i < history->n_events; i++) {
        const TpHistory__HistoryEvent *e = history->events[i];
        if (e->event_type != (TpEnums__EventType)EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED) {
            continue;
        }
        const TpCommon__Payloads *input = e->workflow_execution_signaled_event_attributes->input;
        int number = input && input->n_payloads ? input->payloads[0]->data.data[0] - '0' : 0;
        if (number < 1 || number > sent || ++counts[number] > 1) {
            sim_fail(w->sim, "%s: signal %d stands in the history %d times", w->id, number,
                     number > 0 && number <= SIM_SIGNALS_MAX ? counts[number] : 1);
            return;
        }
    }
    for (int i = 1; i <= acked; i++) {
        if (counts[i] != 1) {
            sim_fail(w->sim, "%s: the acknowledged signal %d is lost", w->id, i);
        }
    }
}

/* A parent asks for each child once and hears once that it has started and, of the first, its end. */
static void check_children(struct sim_workflow *w, const TpHistory__History *history)
{
    int asked = 0, started = 0, ended = 0;
    for (size_t i = 0; i < history->n_events; i++) {
        int type = (int)history->events[i]->event_type;
        asked += type == EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED;
        started += type == EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED;
        ended += type == EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED;
    }
    if (asked != 3 || started != 3 || ended != 1) {
        sim_fail(w->sim, "%s: asked for %d children, heard of %d starts and %d ends", w->id, asked,
                 started, ended);
    }
}

/* Each update is accepted once and completed once; all of them before the end. */
static void check_updates(struct sim_workflow *w, const TpHistory__History *history)
{
    int accepted = 0, completed = 0;
    for (size_t i = 0; i < history->n_events; i++) {
        int type = (int)history->events[i]->event_type;
        accepted += type == EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED;
        completed += type == EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED;
    }
    if (accepted != w->updates || completed != w->updates) {
        sim_fail(w->sim, "%s: %d updates were accepted and %d completed, %d asked for", w->id,
                 accepted, completed, w->updates);
    }
}

/* A sender asks three times for a signal and once for a cancellation, and hears once of each. */
static void check_sent(struct sim_workflow *w, const TpHistory__History *history)
{
    int signals = 0, signaled = 0, cancels = 0, canceled = 0;
    for (size_t i = 0; i < history->n_events; i++) {
        int type = (int)history->events[i]->event_type;
        signals += type == EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED;
        signaled += type == EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED;
        cancels += type == EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED;
        canceled += type == EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED;
    }
    if (signals != 3 || signaled != 3 || cancels != 1 || canceled != 1) {
        sim_fail(w->sim, "%s: %d of %d signals and %d of %d cancellations arrived", w->id, signaled,
                 signals, canceled, cancels);
    }
}

/* Pauses and their ends take turns, as many as were acknowledged; in between no workflow task begins. */
static void check_pauses(struct sim_workflow *w, const TpHistory__History *history)
{
    int steps = 0;
    for (size_t i = 0; i < history->n_events; i++) {
        int type = (int)history->events[i]->event_type;
        bool paused = steps % 2 == 1;
        bool pauses = type == EVENT_TYPE_WORKFLOW_EXECUTION_PAUSED;
        bool begins =
            type == EVENT_TYPE_WORKFLOW_TASK_SCHEDULED || type == EVENT_TYPE_WORKFLOW_TASK_STARTED;
        if (paused ? begins || pauses : type == EVENT_TYPE_WORKFLOW_EXECUTION_UNPAUSED) {
            sim_fail(w->sim, "%s: event %zu (%s) while it is %s", w->id, i + 1,
                     tl_event_info(type)->text, paused ? "paused" : "not paused");
        }
        steps += pauses || type == EVENT_TYPE_WORKFLOW_EXECUTION_UNPAUSED;
    }
    if (steps < w->pauses.acked || steps > w->pauses.acked + (w->pauses.sent ? 1 : 0)) {
        sim_fail(w->sim, "%s: it was paused and unpaused %d times, %d are acknowledged", w->id,
                 steps, w->pauses.acked);
    }
}

/* The task that was reset to has failed, for that reason. */
static void check_reset(struct sim_workflow *w, const TpHistory__History *history)
{
    size_t at = (size_t)w->resets.point;
    const TpHistory__HistoryEvent *e =
        at >= 1 && at <= history->n_events ? history->events[at - 1] : NULL;
    const TpHistory__WorkflowTaskFailedEventAttributes *a =
        e && e->event_type == (TpEnums__EventType)EVENT_TYPE_WORKFLOW_TASK_FAILED
            ? e->workflow_task_failed_event_attributes
            : NULL;
    if (w->resets.acked > 0 && (!a || (int)a->cause != WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW ||
                                strcmp(a->new_run_id, w->run_id) != 0)) {
        sim_fail(w->sim, "%s: event %zu does not tell of the reset", w->id, at);
    }
}

/* Two operations, each ends once; of the one that goes on it is told once that it has started. */
static void check_operations(struct sim_workflow *w, const TpHistory__History *history)
{
    int scheduled = 0, started = 0, completed = 0;
    for (size_t i = 0; i < history->n_events; i++) {
        int type = (int)history->events[i]->event_type;
        scheduled += type == EVENT_TYPE_NEXUS_OPERATION_SCHEDULED;
        started += type == EVENT_TYPE_NEXUS_OPERATION_STARTED;
        completed += type == EVENT_TYPE_NEXUS_OPERATION_COMPLETED;
    }
    if (scheduled != 2 || started != 1 || completed != 2) {
        sim_fail(w->sim, "%s: of %d operations %d started and %d completed", w->id, scheduled,
                 started, completed);
    }
}

void sim_check_complete(struct sim_workflow *w, const TpHistory__History *history)
{
    struct tl_lua_run *run;
    struct tl_lua_run_config config = {.steps_max = UINT64_C(10000000)};
    struct tl_replay_result result;
    struct tl_arena arena;
    struct tl_error err;
    check_signals(w, history);
    if (w->kind == SIM_PARENT) {
        check_children(w, history);
    }
    if (w->kind == SIM_UPDATED) {
        check_updates(w, history);
    }
    if (w->kind == SIM_SENDER) {
        check_sent(w, history);
    }
    if (w->kind == SIM_RESET) {
        check_reset(w, history);
    }
    if (w->kind == SIM_NEXUS) {
        check_operations(w, history);
    }
    if (w->kind == SIM_PINNED || w->kind == SIM_MOVING) {
        sim_deployment_check(w, history);
    }
    check_pauses(w, history);
    if (tl_lua_run_new(&run, w->sim->bundle, tl_replay_workflow_type(history), &config, &err) !=
        TL_OK) {
        sim_fail(w->sim, "%s: %s", w->id, err.message);
        return;
    }
    tl_arena_init(&arena, (size_t)tl_limit_request_bytes);
    struct tl_lang lang = tl_lua_run_lang(run);
    if (tl_replay(history, NULL, &lang, &arena, &result, &err) != TL_OK) {
        sim_fail(w->sim, "%s: the history does not replay: %s", w->id, err.message);
    }
    tl_lua_run_free(run);
    tl_arena_deinit(&arena);
}

static void check_result(struct sim_workflow *w, const TpCommon__Payloads *result)
{
    char text[128] = "", want[128];
    int n = w->number + 1;
    const char *once = w->once_runs[SIM_ONCE - 1] ? "true" : "false";
    if (result && result->n_payloads == 1 && result->payloads[0]->data.len < sizeof text) {
        memcpy(text, result->payloads[0]->data.data, result->payloads[0]->data.len);
    }
    int heard = w->kind == SIM_SENDER    ? 3
                : w->kind == SIM_BATCHED ? SIM_BATCHES
                : w->kind == SIM_UPDATED ? w->updates
                                         : w->signals;
    snprintf(want, sizeof want, "{\"a\":%d,\"b\":%d,\"once\":%s,\"signals\":%d}", n * 2, n * 4,
             once, heard);
    if (strcmp(text, want) == 0) {
        return;
    }
    /* An execution whose answer was lost in a crash counts as failed for the workflow. */
    snprintf(want, sizeof want, "{\"a\":%d,\"b\":%d,\"once\":false,\"signals\":%d}", n * 2, n * 4,
             heard);
    if (strcmp(text, want) != 0) {
        sim_fail(w->sim, "%s: result %s, expected %s", w->id, text, want);
    }
}

void sim_check_close(struct sim_workflow *w, const TpHistory__HistoryEvent *event)
{
    int expected = sim_kinds[w->kind].close_event;
    if ((int)event->event_type != expected) {
        sim_fail(w->sim, "%s: ended with %s", w->id,
                 tl_pb_enum_name(&tp_enums__event_type__descriptor, (int)event->event_type));
    } else if (expected == EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED) {
        check_result(w, event->workflow_execution_completed_event_attributes->result);
    } else if (!w->stop_asked && w->kind != SIM_TIMED_OUT) {
        sim_fail(w->sim, "%s: was stopped without being asked to", w->id);
    }
}
