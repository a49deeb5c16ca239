/* task-queue describe: who polls a task queue and what waits in it. */
#include <stdio.h>
#include <string.h>

#include "cli/connect.h"
#include "proto/pb.h"
#include "tl_enums.h"

#define UNVERSIONED "UNVERSIONED"

int tl_cmd_task_queue_describe(struct tl_cli *cli);

static const char *const type_names[] = {"workflow", "activity"};
static const int type_values[] = {TASK_QUEUE_TYPE_WORKFLOW, TASK_QUEUE_TYPE_ACTIVITY};

struct queue {
    const char *type;
    const TpWs__DescribeTaskQueueResponse *resp;
};

static bool wanted(struct tl_cli_session *s, const char *type)
{
    const char *const *types = tl_cli_texts(s->cli, "task-queue-type");
    bool any = !*types;
    for (; *types; types++) {
        any = any || strcmp(*types, type) == 0;
    }
    return any;
}

static int describe(struct tl_cli_session *s, int type, struct queue *out)
{
    TpWs__DescribeTaskQueueRequest r = TP_WS__DESCRIBE_TASK_QUEUE_REQUEST__INIT;
    TpWs__DescribeTaskQueueResponse *resp = NULL;
    TpTq__TaskQueue queue = TP_TQ__TASK_QUEUE__INIT;
    struct tl_client_error err;
    queue.name = tl_cli_field(s, "task-queue");
    queue.kind = (TpEnums__TaskQueueKind)TASK_QUEUE_KIND_NORMAL;
    r.task_queue = &queue;
    r.task_queue_type = (TpEnums__TaskQueueType)type;
    r.report_stats = !tl_cli_flag(s->cli, "disable-stats");
    if (tl_cli_call(s, TL_M_DescribeTaskQueue, &r, &resp, &err) != TL_OK) {
        return tl_cli_call_failed("unable to describe task queue", &err);
    }
    out->resp = resp;
    return 0;
}

static const char *rate(struct tl_cli_session *s, double v)
{
    char text[32];
    size_t n = tl_json_double_text(v, text);
    return tl_arena_cstr(&s->arena, tl_str_n(text, n));
}

static int64_t backlog_age_ns(const TpTq__TaskQueueStats *stats)
{
    return stats ? tl_pb_duration_ns_or(stats->approximate_backlog_age, 0) : 0;
}

/* --- text ----------------------------------------------------------------------------------------- */

static void print_stats(struct tl_cli_session *s, const struct queue *queues, size_t n)
{
    static const struct tl_print_column columns[] = {
        {"BuildID", 0, false},
        {"TaskQueueType", 0, false},
        {"ApproximateBacklogCount", 0, true},
        {"ApproximateBacklogAge", 0, false},
        {"BacklogIncreaseRate", 0, true},
        {"TasksAddRate", 0, true},
        {"TasksDispatchRate", 0, true},
    };
    const char *cells[2 * 7];
    for (size_t i = 0; i < n; i++) {
        const TpTq__TaskQueueStats *t = queues[i].resp->stats;
        const char **c = cells + 7 * i;
        c[0] = UNVERSIONED;
        c[1] = queues[i].type;
        c[2] = tl_print_number(&s->arena, t ? t->approximate_backlog_count : 0);
        c[3] = tl_print_age(&s->arena, backlog_age_ns(t));
        c[4] = rate(s, t ? (double)t->tasks_add_rate - (double)t->tasks_dispatch_rate : 0);
        c[5] = rate(s, t ? (double)t->tasks_add_rate : 0);
        c[6] = rate(s, t ? (double)t->tasks_dispatch_rate : 0);
    }
    tl_print_line(&s->print, "Task Queue Statistics:");
    tl_print_table(&s->print, columns, 7, cells, n, true, 1);
}

static int print_pollers(struct tl_cli_session *s, const struct queue *queues, size_t n)
{
    static const struct tl_print_column columns[] = {{"BuildID", 0, false},
                                                     {"TaskQueueType", 0, false},
                                                     {"Identity", 0, false},
                                                     {"LastAccessTime", 0, false},
                                                     {"RatePerSecond", 0, true}};
    struct tl_arena *a = &s->arena;
    size_t total = 0;
    for (size_t i = 0; i < n; i++) {
        total += queues[i].resp->n_pollers;
    }
    const char **cells = TL_ARENA_ARRAY(a, const char *, 5 * total + 1), **c = cells;
    if (!cells) {
        return tl_cli_fail(1, "there are too many pollers");
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < queues[i].resp->n_pollers; k++, c += 5) {
            const TpTq__PollerInfo *p = queues[i].resp->pollers[k];
            c[0] = UNVERSIONED;
            c[1] = queues[i].type;
            c[2] = p->identity;
            c[3] = tl_print_time(&s->print, a, p->last_access_time);
            c[4] = rate(s, p->rate_per_second);
        }
    }
    tl_print_line(&s->print, "Pollers:");
    tl_print_table(&s->print, columns, 5, cells, total, true, 1);
    return 0;
}

/* --- JSON ----------------------------------------------------------------------------------------- */

static void write_text(struct tl_jw *w, const char *name, const char *text)
{
    tl_jw_name(w, tl_str(name));
    tl_jw_string(w, tl_str(text));
}

static void write_number(struct tl_jw *w, const char *name, double v)
{
    tl_jw_name(w, tl_str(name));
    tl_jw_double(w, v);
}

static void write_pollers(struct tl_cli_session *s, const struct queue *q, struct tl_jw *w)
{
    for (size_t k = 0; k < q->resp->n_pollers; k++) {
        const TpTq__PollerInfo *p = q->resp->pollers[k];
        tl_jw_object(w);
        write_text(w, "buildId", UNVERSIONED);
        write_text(w, "taskQueueType", q->type);
        write_text(w, "identity", p->identity);
        write_text(w, "lastAccessTime", tl_print_time_iso(&s->arena, p->last_access_time));
        write_number(w, "ratePerSecond", p->rate_per_second);
        tl_jw_object_end(w);
    }
}

static void write_stats(struct tl_cli_session *s, const struct queue *q, struct tl_jw *w)
{
    const TpTq__TaskQueueStats *t = q->resp->stats;
    double add = t ? (double)t->tasks_add_rate : 0, go = t ? (double)t->tasks_dispatch_rate : 0;
    tl_jw_object(w);
    write_text(w, "buildId", UNVERSIONED);
    write_text(w, "taskQueueType", q->type);
    tl_jw_name(w, TL_STR_LIT("approximateBacklogCount"));
    tl_jw_int(w, t ? t->approximate_backlog_count : 0);
    write_text(w, "approximateBacklogAge", tl_print_age(&s->arena, backlog_age_ns(t)));
    write_number(w, "backlogIncreaseRate", add - go);
    write_number(w, "tasksAddRate", add);
    write_number(w, "tasksDispatchRate", go);
    tl_jw_object_end(w);
}

static int print_json(struct tl_cli_session *s, const struct queue *queues, size_t n)
{
    struct tl_error err;
    struct tl_jw w;
    tl_print_json_begin(&s->print, &w);
    tl_jw_object(&w);
    tl_jw_name(&w, TL_STR_LIT("pollers"));
    tl_jw_array(&w);
    for (size_t i = 0; i < n; i++) {
        write_pollers(s, &queues[i], &w);
    }
    tl_jw_array_end(&w);
    if (!tl_cli_flag(s->cli, "disable-stats")) {
        tl_jw_name(&w, TL_STR_LIT("stats"));
        tl_jw_array(&w);
        for (size_t i = 0; i < n; i++) {
            write_stats(s, &queues[i], &w);
        }
        tl_jw_array_end(&w);
    }
    tl_jw_object_end(&w);
    return tl_cli_printed(tl_print_json_end(&s->print, &w, &err), &err);
}

static int run_describe(struct tl_cli_session *s)
{
    struct queue queues[2];
    size_t n = 0;
    for (size_t i = 0; i < 2; i++) {
        if (wanted(s, type_names[i])) {
            queues[n].type = type_names[i];
            int code = describe(s, type_values[i], &queues[n++]);
            if (code) {
                return code;
            }
        }
    }
    if (tl_print_is_json(&s->print)) {
        return print_json(s, queues, n);
    }
    if (!tl_cli_flag(s->cli, "disable-stats")) {
        print_stats(s, queues, n);
    }
    return print_pollers(s, queues, n);
}

int tl_cmd_task_queue_describe(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_describe);
}
