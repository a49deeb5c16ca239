/* task-queue describe --legacy-mode: one type as the service tells of it in its plain mode, partition by partition; and
 * task-queue list-partition. */
#include "cli/task_queue.h"
#include "proto/pb.h"
#include "tl_enums.h"

#define PARTITIONS_MAX 1000

int tl_cmd_task_queue_list_partition(struct tl_cli *cli);

struct partitions {
    TpWs__DescribeTaskQueueResponse **list;
    size_t n;
};

static const char *partition_name(struct tl_cli_session *s, int64_t partition)
{
    const char *queue = tl_cli_text(s->cli, "task-queue");
    return partition ? tl_arena_printf(&s->arena, "/_sys/%s/%lld", queue, (long long)partition)
                     : queue;
}

static int ask_partition(struct tl_cli_session *s, int64_t partition,
                         TpWs__DescribeTaskQueueResponse **resp)
{
    TpWs__DescribeTaskQueueRequest r = TP_WS__DESCRIBE_TASK_QUEUE_REQUEST__INIT;
    TpTq__TaskQueue queue = TP_TQ__TASK_QUEUE__INIT;
    struct tl_client_error err;
    queue.name = (char *)(uintptr_t)partition_name(s, partition);
    queue.kind = (TpEnums__TaskQueueKind)TASK_QUEUE_KIND_NORMAL;
    r.task_queue = &queue;
    r.task_queue_type =
        (TpEnums__TaskQueueType)tl_cli_queue_type(tl_cli_text(s->cli, "task-queue-type-legacy"));
    r.include_task_queue_status = true;
    r.report_config = tl_cli_flag(s->cli, "report-config");
    if (tl_cli_call(s, TL_M_DescribeTaskQueue, &r, resp, &err) != TL_OK) {
        return tl_cli_call_failed("unable to describe task queue", &err);
    }
    return 0;
}

static void write_status(struct tl_jw *w, int64_t partition, const TpTq__TaskQueueStatus *t)
{
    tl_jw_object(w);
    tl_jw_name(w, TL_STR_LIT("partition"));
    tl_jw_int(w, partition);
    tl_jw_name(w, TL_STR_LIT("backlogCountHint"));
    tl_jw_int(w, t->backlog_count_hint);
    tl_jw_name(w, TL_STR_LIT("ratePerSecond"));
    tl_jw_double(w, t->rate_per_second);
    tl_jw_object_end(w);
}

static void write_poller(struct tl_cli_session *s, struct tl_jw *w, int64_t partition,
                         const TpTq__PollerInfo *p)
{
    tl_jw_object(w);
    tl_jw_name(w, TL_STR_LIT("partition"));
    tl_jw_int(w, partition);
    tl_jw_name(w, TL_STR_LIT("identity"));
    tl_jw_string(w, tl_str(p->identity));
    tl_jw_name(w, TL_STR_LIT("lastAccessTime"));
    tl_jw_string(w, tl_str(tl_print_time_iso(&s->arena, p->last_access_time)));
    tl_jw_name(w, TL_STR_LIT("ratePerSecond"));
    tl_jw_double(w, p->rate_per_second);
    tl_jw_object_end(w);
}

static int print_json(struct tl_cli_session *s, const struct partitions *parts)
{
    struct tl_json_write_options o = tl_print_json_options(&s->print);
    const TpWs__DescribeTaskQueueResponse *root = parts->list[0];
    struct tl_error err;
    struct tl_jw w;
    tl_rc rc = TL_OK;
    tl_print_json_begin(&s->print, &w);
    tl_jw_object(&w);
    tl_jw_name(&w, TL_STR_LIT("pollers"));
    tl_jw_array(&w);
    for (size_t p = 0; p < parts->n; p++) {
        for (size_t i = 0; i < parts->list[p]->n_pollers; i++) {
            write_poller(s, &w, (int64_t)p, parts->list[p]->pollers[i]);
        }
    }
    tl_jw_array_end(&w);
    tl_jw_name(&w, TL_STR_LIT("taskQueues"));
    tl_jw_array(&w);
    for (size_t p = 0; p < parts->n; p++) {
        if (parts->list[p]->task_queue_status) {
            write_status(&w, (int64_t)p, parts->list[p]->task_queue_status);
        }
    }
    tl_jw_array_end(&w);
    if (root->config) {
        tl_jw_name(&w, TL_STR_LIT("config"));
        rc = tl_json_write_value(root->config, &o, &w, &err);
    }
    if (rc == TL_OK && root->versioning_info) {
        tl_jw_name(&w, TL_STR_LIT("versioningInfo"));
        rc = tl_json_write_value(root->versioning_info, &o, &w, &err);
    }
    tl_jw_object_end(&w);
    tl_rc end = tl_print_json_end(&s->print, &w, rc == TL_OK ? &err : NULL);
    return tl_cli_printed(rc == TL_OK ? end : rc, &err);
}

static int print_text(struct tl_cli_session *s, const struct partitions *parts)
{
    static const struct tl_print_column columns[] = {
        {"Identity", 0, false}, {"LastAccessTime", 0, false}, {"RatePerSecond", 0, true}};
    const TpWs__DescribeTaskQueueResponse *root = parts->list[0];
    size_t total = 0;
    for (size_t p = 0; p < parts->n; p++) {
        total += parts->list[p]->n_pollers;
    }
    const char **cells = TL_ARENA_ARRAY(&s->arena, const char *, 3 * total + 1), **c = cells;
    if (!cells) {
        return tl_cli_fail(1, "there are too many pollers");
    }
    for (size_t p = 0; p < parts->n; p++) {
        for (size_t i = 0; i < parts->list[p]->n_pollers; i++, c += 3) {
            const TpTq__PollerInfo *info = parts->list[p]->pollers[i];
            char text[32];
            c[0] = info->identity;
            c[1] = tl_print_time(&s->print, &s->arena, info->last_access_time);
            c[2] = tl_arena_cstr(&s->arena,
                                 tl_str_n(text, tl_json_double_text(info->rate_per_second, text)));
        }
    }
    tl_print_line(&s->print, "Pollers:");
    tl_print_table(&s->print, columns, 3, cells, total, true, 1);
    if (root->config) {
        tl_print_line(&s->print, "\nTask Queue Configuration:\n  %s",
                      tl_print_compact(&s->print, &s->arena, root->config));
    }
    if (root->versioning_info) {
        tl_print_line(&s->print, "\nVersioning Info:\n  %s",
                      tl_print_compact(&s->print, &s->arena, root->versioning_info));
    }
    return 0;
}

int tl_cli_describe_plain(struct tl_cli_session *s)
{
    int64_t n = tl_cli_integer(s->cli, "partitions-legacy");
    struct partitions parts = {.n = (size_t)n};
    if (n < 1 || n > PARTITIONS_MAX) {
        return tl_cli_fail(2, "--partitions-legacy must be from 1 to %d, got %lld", PARTITIONS_MAX,
                           (long long)n);
    }
    parts.list = TL_ARENA_ARRAY(&s->arena, TpWs__DescribeTaskQueueResponse *, parts.n);
    if (!parts.list) {
        return tl_cli_fail(1, "there are too many partitions");
    }
    for (size_t p = 0; p < parts.n; p++) {
        int code = ask_partition(s, (int64_t)p, &parts.list[p]);
        if (code) {
            return code;
        }
    }
    return tl_print_is_json(&s->print) ? print_json(s, &parts) : print_text(s, &parts);
}

/* --- list-partition --------------------------------------------------------------------------------- */

static void print_partitions(struct tl_cli_session *s, const char *title,
                             TpTq__TaskQueuePartitionMetadata *const *list, size_t n)
{
    static const struct tl_print_column columns[] = {{"Key", 0, false},
                                                     {"OwnerHostName", 0, false}};
    const char **cells = TL_ARENA_ARRAY(&s->arena, const char *, 2 * n + 1);
    for (size_t i = 0; cells && i < n; i++) {
        cells[2 * i] = list[i]->key;
        cells[2 * i + 1] = list[i]->owner_host_name;
    }
    tl_print_line(&s->print, "%s", title);
    tl_print_table(&s->print, columns, 2, cells, cells ? n : 0, true, 1);
}

static int run_partitions(struct tl_cli_session *s)
{
    TpWs__ListTaskQueuePartitionsRequest r = TP_WS__LIST_TASK_QUEUE_PARTITIONS_REQUEST__INIT;
    TpWs__ListTaskQueuePartitionsResponse *resp = NULL;
    TpTq__TaskQueue queue = TP_TQ__TASK_QUEUE__INIT;
    struct tl_client_error err;
    queue.name = tl_cli_field(s, "task-queue");
    queue.kind = (TpEnums__TaskQueueKind)TASK_QUEUE_KIND_NORMAL;
    r.task_queue = &queue;
    if (tl_cli_call(s, TL_M_ListTaskQueuePartitions, &r, &resp, &err) != TL_OK) {
        return tl_cli_call_failed("unable to list the partitions of the task queue", &err);
    }
    print_partitions(s, "Workflow Task Queue Partitions:", resp->workflow_task_queue_partitions,
                     resp->n_workflow_task_queue_partitions);
    print_partitions(s, "\nActivity Task Queue Partitions:", resp->activity_task_queue_partitions,
                     resp->n_activity_task_queue_partitions);
    return tl_cli_printed(tl_print_message(&s->print, resp, &err.error), &err.error);
}

int tl_cmd_task_queue_list_partition(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_partitions);
}
