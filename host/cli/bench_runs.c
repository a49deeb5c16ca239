/* Histories made here, and the memory of runs that they block. */
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "cli/bench.h"
#include "core/replay.h"
#include "luart/luart.h"
#include "proto/history_json.h"
#include "proto/payload.h"
#include "proto/pb.h"
#include "tl_enums.h"

#define DENSITY_RUNS 10000

struct history {
    struct tl_arena *arena;
    struct tl_pb_list events;
    int64_t time_ns;
};

static TpHistory__HistoryEvent *add_event(struct history *h, int type, int attributes_case)
{
    TpHistory__HistoryEvent *e =
        TL_PB_NEW(h->arena, TpHistory__HistoryEvent, tp_history__history_event);
    e->event_id = (int64_t)h->events.n + 1;
    e->event_type = (TpEnums__EventType)type;
    e->event_time = tl_pb_timestamp(h->arena, h->time_ns += 1000000);
    e->attributes_case = (TpHistory__HistoryEvent__AttributesCase)attributes_case;
    tl_pb_push(h->arena, &h->events, e);
    return e;
}

// clang-format off
#define EVENT(h, TYPE, Name, name)                                                                 \
    (add_event((h), EVENT_TYPE_##TYPE,                                                             \
               TP_HISTORY__HISTORY_EVENT__ATTRIBUTES_##TYPE##_EVENT_ATTRIBUTES)                    \
         ->name##_event_attributes =                                                               \
         TL_PB_NEW((h)->arena, TpHistory__##Name##EventAttributes,                                 \
                   tp_history__##name##_event_attributes))
// clang-format on

TpCommon__Payloads *tl_bench_payloads(struct tl_arena *arena, const char *json)
{
    TpCommon__Payloads *list = TL_PB_NEW(arena, TpCommon__Payloads, tp_common__payloads);
    TpCommon__Payload **items = TL_ARENA_NEW(arena, TpCommon__Payload *);
    items[0] = tl_payload_json(arena, tl_str(json));
    list->payloads = items;
    list->n_payloads = 1;
    return list;
}

static TpCommon__Payloads *one_integer(struct tl_arena *arena, int n)
{
    char text[16];
    snprintf(text, sizeof text, "%d", n);
    return tl_bench_payloads(arena, text);
}

static TpCommon__WorkflowType *workflow_type(struct tl_arena *arena, const char *name)
{
    TpCommon__WorkflowType *t = TL_PB_NEW(arena, TpCommon__WorkflowType, tp_common__workflow_type);
    t->name = tl_pb_cstr(arena, tl_str(name));
    return t;
}

/* The task a worker is just working on. Returns its scheduled event's id. */
static int64_t add_open_task(struct history *h)
{
    EVENT(h, WORKFLOW_TASK_SCHEDULED, WorkflowTaskScheduled, workflow_task_scheduled);
    int64_t scheduled = (int64_t)h->events.n;
    EVENT(h, WORKFLOW_TASK_STARTED, WorkflowTaskStarted, workflow_task_started)
        ->scheduled_event_id = scheduled;
    return scheduled;
}

static void add_task(struct history *h)
{
    int64_t scheduled = add_open_task(h);
    TpHistory__WorkflowTaskCompletedEventAttributes *done =
        EVENT(h, WORKFLOW_TASK_COMPLETED, WorkflowTaskCompleted, workflow_task_completed);
    done->scheduled_event_id = scheduled;
    done->started_event_id = scheduled + 1;
    TpSdk__WorkflowTaskCompletedMetadata *meta = TL_PB_NEW(
        h->arena, TpSdk__WorkflowTaskCompletedMetadata, tp_sdk__workflow_task_completed_metadata);
    meta->sdk_name = tl_pb_cstr(h->arena, tl_str("temporal-lua"));
    done->sdk_metadata = meta;
}

/* A run that executes n activities one after the other: 6 events each. */
static void add_activities(struct history *h, int n)
{
    for (int i = 1; i <= n; i++) {
        char id[16];
        snprintf(id, sizeof id, "%d", i);
        TpHistory__ActivityTaskScheduledEventAttributes *a =
            EVENT(h, ACTIVITY_TASK_SCHEDULED, ActivityTaskScheduled, activity_task_scheduled);
        int64_t scheduled = (int64_t)h->events.n;
        a->activity_id = tl_pb_cstr(h->arena, tl_str(id));
        a->activity_type = TL_PB_NEW(h->arena, TpCommon__ActivityType, tp_common__activity_type);
        a->activity_type->name = tl_pb_cstr(h->arena, tl_str("noop"));
        a->workflow_task_completed_event_id = scheduled - 1;
        EVENT(h, ACTIVITY_TASK_STARTED, ActivityTaskStarted, activity_task_started)
            ->scheduled_event_id = scheduled;
        TpHistory__ActivityTaskCompletedEventAttributes *c =
            EVENT(h, ACTIVITY_TASK_COMPLETED, ActivityTaskCompleted, activity_task_completed);
        c->scheduled_event_id = scheduled;
        c->started_event_id = scheduled + 1;
        c->result = one_integer(h->arena, i);
        add_task(h);
    }
}

TpHistory__History *tl_bench_history(struct tl_arena *arena, const char *type, int activities,
                                     bool end)
{
    struct history h = {.arena = arena, .time_ns = INT64_C(1700000000) * TL_NS_PER_S};
    TpHistory__WorkflowExecutionStartedEventAttributes *s =
        EVENT(&h, WORKFLOW_EXECUTION_STARTED, WorkflowExecutionStarted, workflow_execution_started);
    s->workflow_type = workflow_type(arena, type);
    s->input = one_integer(arena, activities);
    s->original_execution_run_id =
        tl_pb_cstr(arena, tl_str("01890000-0000-7000-8000-000000000001"));
    s->attempt = 1;
    if (end) {
        add_task(&h);
        add_activities(&h, activities);
        TpHistory__WorkflowExecutionCompletedEventAttributes *c =
            EVENT(&h, WORKFLOW_EXECUTION_COMPLETED, WorkflowExecutionCompleted,
                  workflow_execution_completed);
        c->workflow_task_completed_event_id = (int64_t)h.events.n - 1;
    } else {
        add_open_task(&h);
    }
    TpHistory__History *history = TL_PB_NEW(arena, TpHistory__History, tp_history__history);
    history->n_events = h.events.n;
    history->events = h.events.items;
    return history;
}

tl_rc tl_bench_bundle(struct tl_bundle **bundle, struct tl_error *err)
{
    struct tl_bundle_source source = {TL_STR_LIT("bench"), tl_str(tl_bench_workflows)};
    struct tl_bundle_config config = {.sources = &source, .source_count = 1};
    return tl_bundle_open(bundle, &config, err);
}

/* --- density ---------------------------------------------------------------------------------- */

struct blocked {
    struct tl_lua_run *lua;
    struct tl_run *run;
};

/* One run brought to where it waits for its first activity. */
static tl_rc block_one(struct tl_bundle *bundle, const TpHistory__History *history,
                       struct blocked *out, struct tl_error *err)
{
    struct tl_lua_run_config config = {0};
    struct tl_arena arena;
    struct tl_replay_result result;
    tl_rc rc = tl_lua_run_new(&out->lua, bundle, TL_STR_LIT("one"), &config, err);
    if (rc != TL_OK) {
        return rc;
    }
    struct tl_run_config run_config = {
        .workflow_id = TL_STR_LIT("bench"),
        .run_id = TL_STR_LIT("01890000-0000-7000-8000-000000000001"),
    };
    out->run = tl_run_new(&run_config);
    struct tl_replay_config replay = {.run = out->run};
    struct tl_lang lang = tl_lua_run_lang(out->lua);
    tl_arena_init(&arena, (size_t)tl_limit_request_bytes);
    rc = tl_replay(history, &replay, &lang, &arena, &result, err);
    tl_arena_deinit(&arena);
    return rc;
}

tl_rc tl_bench_density(struct tl_bench *b, struct tl_error *err)
{
    struct tl_bundle *bundle;
    struct tl_arena arena;
    struct blocked *all = TL_NEW_ARRAY(struct blocked, DENSITY_RUNS);
    tl_arena_init(&arena, (size_t)tl_limit_request_bytes);
    tl_rc rc = tl_bench_bundle(&bundle, err);
    int made = 0;
    if (rc == TL_OK) {
        TpHistory__History *history = tl_bench_history(&arena, "one", 0, false);
        /* What the first run warms up is not counted. */
        rc = block_one(bundle, history, &all[made++], err);
        int64_t before = tl_bench_resident_bytes();
        while (rc == TL_OK && made < DENSITY_RUNS) {
            rc = block_one(bundle, history, &all[made++], err);
        }
        double each = (double)(tl_bench_resident_bytes() - before) / (DENSITY_RUNS - 1);
        if (rc == TL_OK) {
            tl_bench_figure(b, "blocked_run_rss", each, "bytes");
        }
    }
    for (int i = 0; i < made; i++) {
        tl_run_free(all[i].run);
        tl_lua_run_free(all[i].lua);
    }
    tl_mem_free(all);
    tl_bundle_close(rc == TL_OK ? bundle : NULL);
    tl_arena_deinit(&arena);
    return rc;
}
