/* Figures of replay, of core and the Lua runtime alone: events a second, a long history, and what a
 * workflow task of a cached run costs behind histories of growing length. Time is CPU time of this
 * thread, which does all of it: what else runs on the machine is not counted. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/limits.h"
#include "cli/bench.h"
#include "core/replay.h"
#include "luart/luart.h"
#include "proto/pb.h"
#include "tl_enums.h"

#define RATE_ACTIVITIES 4000
#define LONG_ACTIVITIES 8332 /* 50,000 events */
#define TRIES 5
#define TASKS 500 /* of a cached run, timed */

static const size_t lengths[] = {10, 1000, 10000};

static double now_s(void)
{
    struct timespec t = {0};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double values[TRIES])
{
    qsort(values, TRIES, sizeof *values, by_value);
    return values[TRIES / 2];
}

static tl_rc replay_once(struct tl_bundle *bundle, const TpHistory__History *history,
                         struct tl_error *err)
{
    struct tl_lua_run *run;
    struct tl_lua_run_config config = {0};
    struct tl_replay_result result;
    struct tl_arena arena;
    tl_arena_init(&arena, (size_t)tl_limit_request_bytes * 8);
    tl_rc rc = tl_lua_run_new(&run, bundle, TL_STR_LIT("many"), &config, err);
    if (rc == TL_OK) {
        struct tl_lang lang = tl_lua_run_lang(run);
        rc = tl_replay(history, NULL, &lang, &arena, &result, err);
        tl_lua_run_free(run);
        if (rc == TL_OK && (!result.finished || result.event_count != history->n_events)) {
            rc = tl_error_set(err, TL_EINTERNAL, "replay stopped after %zu of %zu events",
                              result.event_count, history->n_events);
        }
    }
    tl_arena_deinit(&arena);
    return rc;
}

/* Seconds of one replay; bytes, when not empty, are decoded first. */
static tl_rc timed_replay(struct tl_bundle *bundle, const TpHistory__History *history,
                          struct tl_str bytes, double *seconds, struct tl_error *err)
{
    struct tl_arena decoded;
    TpHistory__History *own = NULL;
    tl_rc rc = TL_OK;
    tl_arena_init(&decoded, (size_t)tl_limit_request_bytes * 8);
    double began = now_s();
    if (bytes.n) {
        rc = tl_pb_decode(&tp_history__history__descriptor, bytes, &decoded, &own, err);
    }
    if (rc == TL_OK) {
        rc = replay_once(bundle, own ? own : history, err);
    }
    *seconds = now_s() - began;
    tl_arena_deinit(&decoded);
    return rc;
}

/* The median time over a history of so many activities, from decoded events and from bytes. */
static tl_rc median_replay(struct tl_bundle *bundle, int activities, size_t *events,
                           double seconds[2], struct tl_error *err)
{
    struct tl_arena arena;
    struct tl_str bytes;
    double took[2][TRIES];
    tl_arena_init(&arena, (size_t)tl_limit_request_bytes * 8);
    TpHistory__History *history = tl_bench_history(&arena, "many", activities, true);
    *events = history->n_events;
    tl_rc rc = tl_pb_encode_arena(history, &arena, &bytes, err);
    for (int i = 0; rc == TL_OK && i < 2 * TRIES; i++) {
        struct tl_str from = i & 1 ? bytes : (struct tl_str){NULL, 0};
        rc = timed_replay(bundle, history, from, &took[i & 1][i / 2], err);
    }
    for (int kind = 0; rc == TL_OK && kind < 2; kind++) {
        seconds[kind] = median(took[kind]);
    }
    tl_arena_deinit(&arena);
    return rc;
}

static tl_rc replay_figures(struct tl_bench *b, struct tl_bundle *bundle, struct tl_error *err)
{
    double seconds[2];
    size_t events;
    tl_rc rc = median_replay(bundle, RATE_ACTIVITIES, &events, seconds, err);
    if (rc == TL_OK) {
        tl_bench_figure(b, "replay_from_decoded", (double)events / seconds[0], "events/s");
        tl_bench_figure(b, "replay_from_bytes", (double)events / seconds[1], "events/s");
        rc = median_replay(bundle, LONG_ACTIVITIES, &events, seconds, err);
    }
    if (rc == TL_OK) {
        tl_bench_figure(b, "replay_50000_events", seconds[1] * 1e3, "ms");
    }
    return rc;
}

/* --- tasks of a cached run -------------------------------------------------------------------- */

struct cached {
    struct tl_lua_run *lua;
    struct tl_run *run;
    const TpHistory__History *history;
    size_t next; /* first event that no task has brought yet */
};

/* Handles the task that is started last among the first `to` events. */
static tl_rc bring(struct cached *c, size_t to, struct tl_arena *arena, struct tl_error *err)
{
    TpWs__PollWorkflowTaskQueueResponse poll = TP_WS__POLL_WORKFLOW_TASK_QUEUE_RESPONSE__INIT;
    TpHistory__History part = TP_HISTORY__HISTORY__INIT;
    struct tl_wft task = {.poll = &poll};
    struct tl_wft_result result;
    struct tl_lang lang = tl_lua_run_lang(c->lua);
    part.events = c->history->events + c->next;
    part.n_events = to - c->next;
    poll.history = &part;
    poll.started_event_id = (int64_t)to;
    poll.previous_started_event_id = tl_run_started_event_id(c->run);
    c->next = to;
    tl_rc rc = tl_run_handle_task(c->run, &task, &lang, arena, &result, err);
    return rc == TL_OK && result.command_count != 1
               ? tl_error_set(err, TL_EINTERNAL, "the task gave %zu commands", result.command_count)
               : rc;
}

/* Tasks of 6 events end at events 3, 9, 15 ... of the history. */
static tl_rc measure_tasks(struct cached *c, size_t length, double *us, struct tl_error *err)
{
    struct tl_arena arena;
    double took[TRIES];
    size_t to = 3 + (length - 3 + 5) / 6 * 6;
    tl_arena_init(&arena, (size_t)tl_limit_request_bytes * 8);
    tl_rc rc = bring(c, to, &arena, err);
    for (int i = 0; i < TRIES && rc == TL_OK; i++) {
        double began = now_s();
        for (int n = 0; n < TASKS / TRIES && rc == TL_OK; n++) {
            tl_arena_reset(&arena);
            rc = bring(c, to += 6, &arena, err);
        }
        took[i] = now_s() - began;
    }
    if (rc == TL_OK) {
        *us = median(took) * 1e6 / (TASKS / TRIES);
    }
    tl_arena_deinit(&arena);
    return rc;
}

static tl_rc task_figure(struct tl_bench *b, struct tl_bundle *bundle,
                         const TpHistory__History *history, size_t length, struct tl_error *err)
{
    struct tl_run_config run_config = {
        .workflow_id = TL_STR_LIT("bench"),
        .run_id = TL_STR_LIT("01890000-0000-7000-8000-000000000001"),
        .sdk_name = TL_STR_LIT("temporal-lua"),
    };
    struct tl_lua_run_config config = {0};
    struct cached c = {.history = history};
    char name[40];
    double us = 0;
    tl_rc rc = tl_lua_run_new(&c.lua, bundle, TL_STR_LIT("many"), &config, err);
    if (rc != TL_OK) {
        return rc;
    }
    c.run = tl_run_new(&run_config);
    rc = measure_tasks(&c, length, &us, err);
    if (rc == TL_OK) {
        snprintf(name, sizeof name, "cached_task_after_%zu", length);
        tl_bench_figure(b, name, us, "us each");
    }
    tl_run_free(c.run);
    tl_lua_run_free(c.lua);
    return rc;
}

static tl_rc task_figures(struct tl_bench *b, struct tl_bundle *bundle, struct tl_error *err)
{
    struct tl_arena arena;
    tl_rc rc = TL_OK;
    tl_arena_init(&arena, (size_t)tl_limit_request_bytes * 8);
    const TpHistory__History *history = tl_bench_history(&arena, "many", RATE_ACTIVITIES, true);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths && rc == TL_OK; i++) {
        rc = task_figure(b, bundle, history, lengths[i], err);
    }
    tl_arena_deinit(&arena);
    return rc;
}

tl_rc tl_bench_replay(struct tl_bench *b, struct tl_error *err)
{
    struct tl_bundle *bundle;
    tl_rc rc = tl_bench_bundle(&bundle, err);
    if (rc == TL_OK) {
        rc = replay_figures(b, bundle, err);
        if (rc == TL_OK) {
            rc = task_figures(b, bundle, err);
        }
        tl_bundle_close(bundle);
    }
    return rc;
}
