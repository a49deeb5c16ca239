/* task-queue describe: who polls a task queue and what waits in it, by build and type. The plain mode is in
 * cmd_task_queue_legacy.c. */
#include <stdio.h>
#include <string.h>

#include "cli/task_queue.h"
#include "proto/pb.h"
#include "tl_enums.h"

#define UNVERSIONED "UNVERSIONED"

int tl_cmd_task_queue_describe(struct tl_cli *cli);

/* What there is of one build and one type. */
struct queue {
    const char *build_id, *type;
    TpTq__PollerInfo *const *pollers;
    size_t n_pollers;
    const TpTq__TaskQueueStats *stats;
};

static const struct {
    const char *name;
    int value;
} types[] = {{"workflow", TASK_QUEUE_TYPE_WORKFLOW},
             {"activity", TASK_QUEUE_TYPE_ACTIVITY},
             {"nexus", TASK_QUEUE_TYPE_NEXUS}};

enum { TYPES = sizeof types / sizeof types[0] };

static const char *type_name(int value)
{
    for (size_t i = 0; i < TYPES; i++) {
        if (types[i].value == value) {
            return types[i].name;
        }
    }
    return "unspecified";
}

int tl_cli_queue_type(const char *name)
{
    size_t i = 0;
    while (i + 1 < TYPES && strcmp(types[i].name, name) != 0) { /* the parser knows the names */
        i++;
    }
    return types[i].value;
}

/* What --select-... say; NULL when nothing was said: the service's choice. */
static TpTq__TaskQueueVersionSelection *selection(struct tl_cli_session *s,
                                                  TpTq__TaskQueueVersionSelection *v)
{
    const char *const *builds = tl_cli_texts(s->cli, "select-build-id");
    *v = (TpTq__TaskQueueVersionSelection)TP_TQ__TASK_QUEUE_VERSION_SELECTION__INIT;
    while (builds[v->n_build_ids]) {
        v->n_build_ids++;
    }
    v->build_ids = (char **)(uintptr_t)builds;
    v->unversioned = tl_cli_flag(s->cli, "select-unversioned");
    v->all_active = tl_cli_flag(s->cli, "select-all-active");
    return v->n_build_ids || v->unversioned || v->all_active ? v : NULL;
}

static int ask(struct tl_cli_session *s, TpWs__DescribeTaskQueueRequest *r,
               TpWs__DescribeTaskQueueResponse **resp)
{
    TpTq__TaskQueue queue = TP_TQ__TASK_QUEUE__INIT;
    struct tl_client_error err;
    queue.name = tl_cli_field(s, "task-queue");
    queue.kind = (TpEnums__TaskQueueKind)TASK_QUEUE_KIND_NORMAL;
    r->task_queue = &queue;
    if (tl_cli_call(s, TL_M_DescribeTaskQueue, r, resp, &err) != TL_OK) {
        return tl_cli_call_failed("unable to describe task queue", &err);
    }
    return 0;
}

/* Every build and type of the answer, in its order. Returns 0 or an exit code. */
static int rows_of(struct tl_cli_session *s, const TpWs__DescribeTaskQueueResponse *resp,
                   struct queue **out, size_t *n)
{
    size_t total = 0;
    for (size_t i = 0; i < resp->n_versions_info; i++) {
        total += resp->versions_info[i]->value ? resp->versions_info[i]->value->n_types_info : 0;
    }
    struct queue *q = TL_ARENA_ARRAY(&s->arena, struct queue, total + 1);
    if (!q) {
        return tl_cli_fail(1, "there are too many versions");
    }
    *out = q;
    *n = 0;
    for (size_t i = 0; i < resp->n_versions_info; i++) {
        const TpWs__DescribeTaskQueueResponse__VersionsInfoEntry *v = resp->versions_info[i];
        for (size_t k = 0; v->value && k < v->value->n_types_info; k++) {
            const TpTq__TaskQueueVersionInfo__TypesInfoEntry *t = v->value->types_info[k];
            struct queue *row = &q[(*n)++];
            *row = (struct queue){.build_id = *v->key ? v->key : UNVERSIONED,
                                  .type = type_name(t->key)};
            if (t->value) {
                row->pollers = t->value->pollers;
                row->n_pollers = t->value->n_pollers;
                row->stats = t->value->stats;
            }
        }
    }
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

/* --- reachability ----------------------------------------------------------------------------------- */

static const char *reachability_name(int v)
{
    switch (v) {
    case BUILD_ID_TASK_REACHABILITY_REACHABLE:
        return "reachable";
    case BUILD_ID_TASK_REACHABILITY_CLOSED_WORKFLOWS_ONLY:
        return "closedWorkflowsOnly";
    case BUILD_ID_TASK_REACHABILITY_UNREACHABLE:
        return "unreachable";
    default:
        return "unspecified";
    }
}

static void print_reachability(struct tl_cli_session *s,
                               const TpWs__DescribeTaskQueueResponse *resp)
{
    static const struct tl_print_column columns[] = {{"BuildID", 0, false},
                                                     {"Reachability", 0, false}};
    size_t n = resp->n_versions_info;
    const char **cells = TL_ARENA_ARRAY(&s->arena, const char *, 2 * n + 1);
    for (size_t i = 0; cells && i < n; i++) {
        const TpWs__DescribeTaskQueueResponse__VersionsInfoEntry *v = resp->versions_info[i];
        cells[2 * i] = *v->key ? v->key : UNVERSIONED;
        cells[2 * i + 1] = reachability_name(v->value ? (int)v->value->task_reachability : 0);
    }
    tl_print_line(&s->print, "Task Reachability:");
    tl_print_table(&s->print, columns, 2, cells, cells ? n : 0, true, 1);
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
    const char **cells = TL_ARENA_ARRAY(&s->arena, const char *, 7 * n + 1);
    for (size_t i = 0; cells && i < n; i++) {
        const TpTq__TaskQueueStats *t = queues[i].stats;
        const char **c = cells + 7 * i;
        c[0] = queues[i].build_id;
        c[1] = queues[i].type;
        c[2] = tl_print_number(&s->arena, t ? t->approximate_backlog_count : 0);
        c[3] = tl_print_age(&s->arena, backlog_age_ns(t));
        c[4] = rate(s, t ? (double)t->tasks_add_rate - (double)t->tasks_dispatch_rate : 0);
        c[5] = rate(s, t ? (double)t->tasks_add_rate : 0);
        c[6] = rate(s, t ? (double)t->tasks_dispatch_rate : 0);
    }
    tl_print_line(&s->print, "Task Queue Statistics:");
    tl_print_table(&s->print, columns, 7, cells, cells ? n : 0, true, 1);
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
        total += queues[i].n_pollers;
    }
    const char **cells = TL_ARENA_ARRAY(a, const char *, 5 * total + 1), **c = cells;
    if (!cells) {
        return tl_cli_fail(1, "there are too many pollers");
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < queues[i].n_pollers; k++, c += 5) {
            const TpTq__PollerInfo *p = queues[i].pollers[k];
            c[0] = queues[i].build_id;
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
    for (size_t k = 0; k < q->n_pollers; k++) {
        const TpTq__PollerInfo *p = q->pollers[k];
        tl_jw_object(w);
        write_text(w, "buildId", q->build_id);
        write_text(w, "taskQueueType", q->type);
        write_text(w, "identity", p->identity);
        write_text(w, "lastAccessTime", tl_print_time_iso(&s->arena, p->last_access_time));
        write_number(w, "ratePerSecond", p->rate_per_second);
        tl_jw_object_end(w);
    }
}

static void write_stats(struct tl_cli_session *s, const struct queue *q, struct tl_jw *w)
{
    const TpTq__TaskQueueStats *t = q->stats;
    double add = t ? (double)t->tasks_add_rate : 0, go = t ? (double)t->tasks_dispatch_rate : 0;
    tl_jw_object(w);
    write_text(w, "buildId", q->build_id);
    write_text(w, "taskQueueType", q->type);
    tl_jw_name(w, TL_STR_LIT("approximateBacklogCount"));
    tl_jw_int(w, t ? t->approximate_backlog_count : 0);
    write_text(w, "approximateBacklogAge", tl_print_age(&s->arena, backlog_age_ns(t)));
    write_number(w, "backlogIncreaseRate", add - go);
    write_number(w, "tasksAddRate", add);
    write_number(w, "tasksDispatchRate", go);
    tl_jw_object_end(w);
}

static void write_reachability(const TpWs__DescribeTaskQueueResponse *resp, struct tl_jw *w)
{
    for (size_t i = 0; i < resp->n_versions_info; i++) {
        const TpWs__DescribeTaskQueueResponse__VersionsInfoEntry *v = resp->versions_info[i];
        tl_jw_object(w);
        write_text(w, "buildId", *v->key ? v->key : UNVERSIONED);
        write_text(w, "reachability",
                   reachability_name(v->value ? (int)v->value->task_reachability : 0));
        tl_jw_object_end(w);
    }
}

/* A list that was not asked for is null. */
static bool begin_list(struct tl_jw *w, const char *name, bool there)
{
    tl_jw_name(w, tl_str(name));
    if (there) {
        tl_jw_array(w);
    } else {
        tl_jw_null(w);
    }
    return there;
}

static int print_json(struct tl_cli_session *s, const TpWs__DescribeTaskQueueResponse *resp,
                      const struct queue *queues, size_t n)
{
    struct tl_error err;
    struct tl_jw w;
    size_t pollers = 0;
    for (size_t i = 0; i < n; i++) {
        pollers += queues[i].n_pollers;
    }
    tl_print_json_begin(&s->print, &w);
    tl_jw_object(&w);
    if (begin_list(&w, "reachability", tl_cli_flag(s->cli, "report-reachability"))) {
        write_reachability(resp, &w);
        tl_jw_array_end(&w);
    }
    if (begin_list(&w, "pollers", pollers > 0)) {
        for (size_t i = 0; i < n; i++) {
            write_pollers(s, &queues[i], &w);
        }
        tl_jw_array_end(&w);
    }
    if (begin_list(&w, "stats", !tl_cli_flag(s->cli, "disable-stats"))) {
        for (size_t i = 0; i < n; i++) {
            write_stats(s, &queues[i], &w);
        }
        tl_jw_array_end(&w);
    }
    tl_jw_object_end(&w);
    return tl_cli_printed(tl_print_json_end(&s->print, &w, &err), &err);
}

static int describe_builds(struct tl_cli_session *s)
{
    TpWs__DescribeTaskQueueRequest r = TP_WS__DESCRIBE_TASK_QUEUE_REQUEST__INIT;
    TpWs__DescribeTaskQueueResponse *resp = NULL;
    TpTq__TaskQueueVersionSelection versions;
    TpEnums__TaskQueueType wanted[16];
    struct queue *queues = NULL;
    size_t n = 0;
    r.api_mode = (TpEnums__DescribeTaskQueueMode)DESCRIBE_TASK_QUEUE_MODE_ENHANCED;
    r.versions = selection(s, &versions);
    for (const char *const *t = tl_cli_texts(s->cli, "task-queue-type"); *t && n < 16; t++) {
        wanted[n++] = (TpEnums__TaskQueueType)tl_cli_queue_type(*t);
    }
    r.n_task_queue_types = n;
    r.task_queue_types = wanted;
    r.report_pollers = true;
    r.report_stats = !tl_cli_flag(s->cli, "disable-stats");
    r.report_task_reachability = tl_cli_flag(s->cli, "report-reachability");
    int code = ask(s, &r, &resp);
    if (code == 0) {
        code = rows_of(s, resp, &queues, &n);
    }
    if (code) {
        return code;
    }
    if (tl_print_is_json(&s->print)) {
        return print_json(s, resp, queues, n);
    }
    if (r.report_task_reachability) {
        print_reachability(s, resp);
    }
    if (r.report_stats) {
        print_stats(s, queues, n);
    }
    return print_pollers(s, queues, n);
}

static int run_describe(struct tl_cli_session *s)
{
    return tl_cli_flag(s->cli, "legacy-mode") ? tl_cli_describe_plain(s) : describe_builds(s);
}

int tl_cmd_task_queue_describe(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_describe);
}
