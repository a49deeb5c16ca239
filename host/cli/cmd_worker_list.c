/* worker list, count, describe: workers as they tell of themselves in their heartbeats. */
#include "base/error.h"
#include "cli/connect.h"
#include "cli/print.h"
#include "proto/pb.h"

int tl_cmd_worker_list(struct tl_cli *cli);
int tl_cmd_worker_count(struct tl_cli *cli);
int tl_cmd_worker_describe(struct tl_cli *cli);

#define COLUMNS 8

static const char *status_of(struct tl_cli_session *s, const TpWorker__WorkerHeartbeat *h)
{
    return tl_print_enum(&s->arena, &tp_enums__worker_status__descriptor, (int)h->status);
}

static const char *deployment_of(struct tl_cli_session *s, const TpWorker__WorkerHeartbeat *h)
{
    const TpDeployment__WorkerDeploymentVersion *v = h->deployment_version;
    if (!v || !*v->deployment_name) {
        return v ? v->build_id : "";
    }
    return tl_arena_printf(&s->arena, "%s:%s", v->deployment_name, v->build_id);
}

static const char *span(struct tl_cli_session *s, const Google__Protobuf__Duration *d)
{
    return d ? tl_print_duration(&s->arena, tl_pb_duration_ns_or(d, 0)) : "";
}

/* --- list ---------------------------------------------------------------------------------------- */

static void fill_cells(struct tl_cli_session *s, const TpWorker__WorkerHeartbeat *h,
                       const char **cells)
{
    cells[0] = h->worker_instance_key;
    cells[1] = status_of(s, h);
    cells[2] = h->task_queue;
    cells[3] = h->worker_identity;
    cells[4] = h->host_info ? h->host_info->host_name : "";
    cells[5] = deployment_of(s, h);
    cells[6] = tl_print_time(&s->print, &s->arena, h->heartbeat_time);
    cells[7] = span(s, h->elapsed_since_last_heartbeat);
}

static int print_page(struct tl_cli_session *s, const TpWs__ListWorkersResponse *page, size_t n,
                      bool first)
{
    static const struct tl_print_column columns[COLUMNS] = {
        {"WorkerInstanceKey", 0, false}, {"Status", 0, false},   {"TaskQueue", 0, false},
        {"WorkerIdentity", 0, false},    {"HostName", 0, false}, {"Deployment", 0, false},
        {"HeartbeatTime", 0, false},     {"Elapsed", 0, false},
    };
    struct tl_error err;
    if (tl_print_is_json(&s->print)) {
        for (size_t i = 0; i < n; i++) {
            int code =
                tl_cli_printed(tl_print_message(&s->print, page->workers_info[i], &err), &err);
            if (code) {
                return code;
            }
        }
        return 0;
    }
    const char **cells = TL_ARENA_ARRAY(&s->arena, const char *, n *COLUMNS + 1);
    if (!cells) {
        return tl_cli_fail(1, "too many workers");
    }
    for (size_t i = 0; i < n; i++) {
        fill_cells(s, page->workers_info[i]->worker_heartbeat, cells + i * COLUMNS);
    }
    tl_print_table(&s->print, columns, COLUMNS, cells, n, first, 1);
    return 0;
}

static int run_list(struct tl_cli_session *s)
{
    TpWs__ListWorkersRequest r = TP_WS__LIST_WORKERS_REQUEST__INIT;
    TpWs__ListWorkersResponse *page = NULL;
    struct tl_client_error err;
    int64_t limit = tl_cli_integer(s->cli, "limit"), shown = 0;
    int code = 0;
    bool first = true;
    r.query = tl_cli_field(s, "query");
    r.include_system_workers = tl_cli_flag(s->cli, "include-system-workers");
    tl_print_list_begin(&s->print);
    do {
        if (tl_cli_call(s, TL_M_ListWorkers, &r, &page, &err) != TL_OK) {
            code = tl_cli_call_failed("failed to list workers", &err);
            break;
        }
        size_t n = page->n_workers_info;
        if (limit > 0 && (int64_t)n > limit - shown) {
            n = (size_t)(limit - shown);
        }
        code = print_page(s, page, n, first);
        first = false;
        shown += (int64_t)n;
        r.next_page_token = page->next_page_token;
    } while (code == 0 && r.next_page_token.len > 0 && (limit <= 0 || shown < limit));
    tl_print_list_end(&s->print);
    return code;
}

int tl_cmd_worker_list(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_list);
}

/* --- count --------------------------------------------------------------------------------------- */

static int run_count(struct tl_cli_session *s)
{
    TpWs__CountWorkersRequest r = TP_WS__COUNT_WORKERS_REQUEST__INIT;
    TpWs__CountWorkersResponse *resp = NULL;
    struct tl_client_error err;
    r.query = tl_cli_field(s, "query");
    r.include_system_workers = tl_cli_flag(s->cli, "include-system-workers");
    if (tl_cli_call(s, TL_M_CountWorkers, &r, &resp, &err) != TL_OK) {
        return tl_cli_call_failed("failed to count workers", &err);
    }
    if (tl_print_is_json(&s->print)) {
        return tl_cli_printed(tl_print_message(&s->print, resp, &err.error), &err.error);
    }
    tl_print_line(&s->print, "Total: %lld", (long long)resp->count);
    return 0;
}

int tl_cmd_worker_count(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_count);
}

/* --- describe ------------------------------------------------------------------------------------ */

static void print_worker(struct tl_cli_session *s, const TpWorker__WorkerHeartbeat *h)
{
    struct tl_print *p = &s->print;
    struct tl_arena *a = &s->arena;
    const struct tl_print_row rows[] = {
        {"WorkerInstanceKey", h->worker_instance_key, false},
        {"WorkerIdentity", h->worker_identity, false},
        {"Status", status_of(s, h), false},
        {"TaskQueue", h->task_queue, false},
        {"DeploymentVersion", tl_print_compact(p, a, h->deployment_version), true},
        {"SdkName", h->sdk_name, false},
        {"SdkVersion", h->sdk_version, false},
        {"StartTime", tl_print_time(p, a, h->start_time), false},
        {"HeartbeatTime", tl_print_time(p, a, h->heartbeat_time), false},
        {"ElapsedSinceLastHeartbeat", span(s, h->elapsed_since_last_heartbeat), false},
        {"HostInfo", tl_print_compact(p, a, h->host_info), true},
        {"WorkflowTaskSlotsInfo", tl_print_compact(p, a, h->workflow_task_slots_info), true},
        {"ActivityTaskSlotsInfo", tl_print_compact(p, a, h->activity_task_slots_info), true},
        {"NexusTaskSlotsInfo", tl_print_compact(p, a, h->nexus_task_slots_info), true},
        {"LocalActivitySlotsInfo", tl_print_compact(p, a, h->local_activity_slots_info), true},
        {"WorkflowPollerInfo", tl_print_compact(p, a, h->workflow_poller_info), true},
        {"WorkflowStickyPollerInfo", tl_print_compact(p, a, h->workflow_sticky_poller_info), true},
        {"ActivityPollerInfo", tl_print_compact(p, a, h->activity_poller_info), true},
        {"NexusPollerInfo", tl_print_compact(p, a, h->nexus_poller_info), true},
        {"TotalStickyCacheHit", tl_print_number(a, h->total_sticky_cache_hit), false},
        {"TotalStickyCacheMiss", tl_print_number(a, h->total_sticky_cache_miss), false},
        {"CurrentStickyCacheSize", tl_print_number(a, h->current_sticky_cache_size), false},
    };
    tl_print_card(p, rows, sizeof rows / sizeof rows[0]);
}

static int run_describe(struct tl_cli_session *s)
{
    TpWs__DescribeWorkerRequest r = TP_WS__DESCRIBE_WORKER_REQUEST__INIT;
    TpWs__DescribeWorkerResponse *resp = NULL;
    struct tl_client_error err;
    r.worker_instance_key = tl_cli_field(s, "worker-instance-key");
    if (tl_cli_call(s, TL_M_DescribeWorker, &r, &resp, &err) != TL_OK) {
        return tl_cli_call_failed("failed to describe worker", &err);
    }
    if (tl_print_is_json(&s->print)) {
        return tl_cli_printed(tl_print_message(&s->print, resp->worker_info, &err.error),
                              &err.error);
    }
    if (resp->worker_info && resp->worker_info->worker_heartbeat) {
        print_worker(s, resp->worker_info->worker_heartbeat);
    }
    return 0;
}

int tl_cmd_worker_describe(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_describe);
}
