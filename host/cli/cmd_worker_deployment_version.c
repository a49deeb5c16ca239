/* worker deployment describe-version, delete-version, update-version-metadata, and workflow
 * update-options: one version, and which one a run is on. */
#include <string.h>

#include "cli/batch.h"
#include "cli/deployment.h"
#include "cli/versioning_override.h"
#include "cli/input.h"
#include "proto/jsonv.h"
#include "tl_enums.h"

int tl_cmd_worker_deployment_describe_version(struct tl_cli *cli);
int tl_cmd_worker_deployment_delete_version(struct tl_cli *cli);
int tl_cmd_worker_deployment_update_metadata(struct tl_cli *cli);
int tl_cmd_workflow_update_options(struct tl_cli *cli);

typedef TpDeployment__WorkerDeploymentVersionInfo version_info;
typedef TpWs__DescribeWorkerDeploymentVersionResponse__VersionTaskQueue version_queue;

/* --- metadata ------------------------------------------------------------------------------------- */

/* {"key": value, ...}, or null. whole: the values are payloads with their metadata. */
static tl_rc write_metadata(struct tl_cli_session *s, struct tl_jw *w, bool whole,
                            const TpDeployment__VersionMetadata *m, struct tl_error *err)
{
    struct tl_json_write_options options = tl_print_json_options(&s->print);
    options.payload_shorthand = !whole;
    tl_rc rc = TL_OK;
    if (!m || m->n_entries == 0) {
        tl_jw_null(w);
        return TL_OK;
    }
    tl_jw_object(w);
    for (size_t i = 0; rc == TL_OK && i < m->n_entries; i++) {
        tl_jw_name(w, tl_str(m->entries[i]->key));
        rc = tl_json_write_value(m->entries[i]->value, &options, w, err);
    }
    tl_jw_object_end(w);
    return rc;
}

static const char *metadata_text(struct tl_cli_session *s, const TpDeployment__VersionMetadata *m)
{
    struct tl_buf b;
    struct tl_jw w;
    struct tl_error err;
    const char *text = "";
    if (!m || m->n_entries == 0) {
        return "";
    }
    tl_buf_init(&b, (size_t)1 << 20);
    tl_jw_init(&w, &b, 0, 100);
    if (write_metadata(s, &w, false, m, &err) == TL_OK && tl_jw_finish(&w, &err) == TL_OK) {
        text = tl_arena_cstr(&s->arena, tl_buf_str(&b));
    }
    tl_buf_deinit(&b);
    return text ? text : "";
}

/* All that it has now. */
static int print_metadata(struct tl_cli_session *s, const TpDeployment__VersionMetadata *m)
{
    struct tl_error err;
    struct tl_jw w;
    if (!tl_print_is_json(&s->print)) {
        const struct tl_print_row row = {"Metadata", metadata_text(s, m), true};
        tl_print_line(&s->print, "Metadata:");
        tl_print_card(&s->print, &row, 1);
        tl_print_line(&s->print, "Successfully updating metadata for worker deployment version");
        return 0;
    }
    tl_print_json_begin(&s->print, &w);
    tl_jw_object(&w);
    tl_jw_name(&w, TL_STR_LIT("Metadata"));
    tl_rc rc = write_metadata(s, &w, true, m, &err);
    tl_jw_object_end(&w);
    rc = rc == TL_OK ? tl_print_json_end(&s->print, &w, &err) : rc;
    return tl_cli_printed(rc, &err);
}

static int run_update_metadata(struct tl_cli_session *s)
{
    TpWs__UpdateWorkerDeploymentVersionMetadataResponse *resp = NULL;
    TpWs__UpdateWorkerDeploymentVersionMetadataRequest r =
        TP_WS__UPDATE_WORKER_DEPLOYMENT_VERSION_METADATA_REQUEST__INIT;
    TpDeployment__WorkerDeploymentVersion version = tl_cli_deployment_version(s);
    struct tl_pb_list entries = {0};
    struct tl_client_error err;
    const char *const *gone = tl_cli_texts(s->cli, "remove-entries");
    int code = tl_cli_json_entries(
        s, "metadata",
        &tp_ws__update_worker_deployment_version_metadata_request__upsert_entries_entry__descriptor,
        &entries);
    if (code) {
        return code;
    }
    while (gone[r.n_remove_entries]) {
        r.n_remove_entries++;
    }
    if (!entries.n && !r.n_remove_entries) {
        return tl_cli_fail(1, "give --metadata or --remove-entries");
    }
    r.deployment_version = &version;
    r.n_upsert_entries = entries.n;
    r.upsert_entries = entries.items;
    r.remove_entries = (char **)(uintptr_t)gone;
    if (tl_cli_call(s, TL_M_UpdateWorkerDeploymentVersionMetadata, &r, &resp, &err) != TL_OK) {
        return tl_cli_call_failed("error updating metadata of worker deployment version", &err);
    }
    return print_metadata(s, resp->metadata);
}

int tl_cmd_worker_deployment_update_metadata(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_update_metadata);
}

/* --- describe-version ----------------------------------------------------------------------------- */

static const char *queue_type(int type)
{
    return type == TASK_QUEUE_TYPE_WORKFLOW   ? "workflow"
           : type == TASK_QUEUE_TYPE_ACTIVITY ? "activity"
           : type == TASK_QUEUE_TYPE_NEXUS    ? "nexus"
                                              : "unspecified";
}

static void write_stats(struct tl_jw *w, const TpTq__TaskQueueStats *t)
{
    static const TpTq__TaskQueueStats none = TP_TQ__TASK_QUEUE_STATS__INIT;
    t = t ? t : &none;
    tl_jw_name(w, TL_STR_LIT("stats"));
    tl_jw_object(w);
    tl_jw_name(w, TL_STR_LIT("approximateBacklogCount"));
    tl_jw_int(w, t->approximate_backlog_count);
    tl_jw_name(w, TL_STR_LIT("approximateBacklogAge"));
    tl_jw_int(w, tl_pb_duration_ns_or(t->approximate_backlog_age, 0));
    tl_cli_member_percentage(w, "backlogIncreaseRate", t->tasks_add_rate - t->tasks_dispatch_rate);
    tl_cli_member_percentage(w, "tasksAddRate", t->tasks_add_rate);
    tl_cli_member_percentage(w, "tasksDispatchRate", t->tasks_dispatch_rate);
    tl_jw_object_end(w);
}

static void write_queues(struct tl_cli_session *s, struct tl_jw *w, version_queue *const *queues,
                         size_t n)
{
    tl_jw_name(w, TL_STR_LIT("taskQueuesInfos"));
    if (n == 0) {
        tl_jw_null(w);
        return;
    }
    tl_jw_array(w);
    for (size_t i = 0; i < n; i++) {
        tl_jw_object(w);
        tl_cli_member(w, "name", queues[i]->name);
        tl_cli_member(w, "type", queue_type((int)queues[i]->type));
        if (tl_cli_flag(s->cli, "report-task-queue-stats")) {
            write_stats(w, queues[i]->stats);
        }
        tl_jw_object_end(w);
    }
    tl_jw_array_end(w);
}

static int print_json(struct tl_cli_session *s, const version_info *v, version_queue *const *queues,
                      size_t n)
{
    const TpDeployment__VersionDrainageInfo *d = v->drainage_info;
    struct tl_arena *a = &s->arena;
    struct tl_error err;
    struct tl_jw w;
    tl_print_json_begin(&s->print, &w);
    tl_jw_object(&w);
    tl_cli_member(&w, "deploymentName", v->deployment_version->deployment_name);
    tl_cli_member(&w, "BuildID", v->deployment_version->build_id);
    tl_cli_member(&w, "createTime", tl_cli_deployment_time(a, v->create_time));
    tl_cli_member(&w, "routingChangedTime", tl_cli_deployment_time(a, v->routing_changed_time));
    tl_cli_member(&w, "currentSinceTime", tl_cli_deployment_time(a, v->current_since_time));
    tl_cli_member(&w, "rampingSinceTime", tl_cli_deployment_time(a, v->ramping_since_time));
    tl_cli_member_percentage(&w, "rampPercentage", v->ramp_percentage);
    tl_jw_name(&w, TL_STR_LIT("drainageInfo"));
    tl_jw_object(&w);
    tl_cli_member(&w, "drainageStatus", d ? tl_cli_drainage((int)d->status) : "");
    tl_cli_member(&w, "lastChangedTime",
                  tl_cli_deployment_time(a, d ? d->last_changed_time : NULL));
    tl_cli_member(&w, "lastCheckedTime",
                  tl_cli_deployment_time(a, d ? d->last_checked_time : NULL));
    tl_jw_object_end(&w);
    write_queues(s, &w, queues, n);
    tl_jw_name(&w, TL_STR_LIT("metadata"));
    tl_rc rc = write_metadata(s, &w, true, v->metadata, &err);
    tl_jw_object_end(&w);
    rc = rc == TL_OK ? tl_print_json_end(&s->print, &w, &err) : rc;
    return tl_cli_printed(rc, &err);
}

static const char *short_age(struct tl_arena *arena, const TpTq__TaskQueueStats *t)
{
    int64_t ns = t ? tl_pb_duration_ns_or(t->approximate_backlog_age, 0) : 0;
    return tl_print_duration(arena, ns - ns % TL_NS_PER_MS);
}

static int print_queues(struct tl_cli_session *s, version_queue *const *queues, size_t n)
{
    static const struct tl_print_column columns[] = {{"Name", 0, false},
                                                     {"Type", 0, false},
                                                     {"ApproximateBacklogCount", 0, true},
                                                     {"ApproximateBacklogAge", 0, true},
                                                     {"BacklogIncreaseRate", 0, true},
                                                     {"TasksAddRate", 0, true},
                                                     {"TasksDispatchRate", 0, true}};
    size_t width = tl_cli_flag(s->cli, "report-task-queue-stats") ? 7 : 2;
    const char **cells = TL_ARENA_ARRAY(&s->arena, const char *, 7 * n + 1);
    if (!cells) {
        return tl_cli_fail(1, "there are too many task queues");
    }
    for (size_t i = 0; i < n; i++) {
        const TpTq__TaskQueueStats *t = queues[i]->stats;
        float add = t ? t->tasks_add_rate : 0, go = t ? t->tasks_dispatch_rate : 0;
        const char **c = cells + width * i;
        c[0] = queues[i]->name;
        c[1] = queue_type((int)queues[i]->type);
        if (width == 7) {
            c[2] = tl_print_number(&s->arena, t ? t->approximate_backlog_count : 0);
            c[3] = short_age(&s->arena, t);
            c[4] = tl_cli_percentage(&s->arena, add - go);
            c[5] = tl_cli_percentage(&s->arena, add);
            c[6] = tl_cli_percentage(&s->arena, go);
        }
    }
    tl_print_line(&s->print, "%s", "");
    tl_print_line(&s->print, "Task Queues:");
    tl_print_table(&s->print, columns, width, cells, n, true, 1);
    return 0;
}

static int print_text(struct tl_cli_session *s, const version_info *v, version_queue *const *queues,
                      size_t n)
{
    const TpDeployment__VersionDrainageInfo *d = v->drainage_info;
    struct tl_arena *a = &s->arena;
    struct tl_print *p = &s->print;
    const struct tl_print_row rows[] = {
        {"DeploymentName", v->deployment_version->deployment_name, false},
        {"BuildID", v->deployment_version->build_id, false},
        {"CreateTime", tl_print_time(p, a, v->create_time), false},
        {"RoutingChangedTime", tl_print_time(p, a, v->routing_changed_time), true},
        {"CurrentSinceTime", tl_print_time(p, a, v->current_since_time), true},
        {"RampingSinceTime", tl_print_time(p, a, v->ramping_since_time), true},
        {"RampPercentage", tl_cli_percentage(a, v->ramp_percentage), false},
        {"DrainageStatus", d ? tl_cli_drainage((int)d->status) : "", true},
        {"DrainageLastChangedTime", d ? tl_print_time(p, a, d->last_changed_time) : "", true},
        {"DrainageLastCheckedTime", d ? tl_print_time(p, a, d->last_checked_time) : "", true},
        {"Metadata", metadata_text(s, v->metadata), true}};
    tl_print_line(p, "Worker Deployment Version:");
    tl_print_card(p, rows, sizeof rows / sizeof rows[0]);
    return n ? print_queues(s, queues, n) : 0;
}

static int run_describe_version(struct tl_cli_session *s)
{
    TpWs__DescribeWorkerDeploymentVersionRequest r =
        TP_WS__DESCRIBE_WORKER_DEPLOYMENT_VERSION_REQUEST__INIT;
    TpWs__DescribeWorkerDeploymentVersionResponse *d = NULL;
    TpDeployment__WorkerDeploymentVersion version = tl_cli_deployment_version(s);
    struct tl_client_error err;
    r.deployment_version = &version;
    r.report_task_queue_stats = tl_cli_flag(s->cli, "report-task-queue-stats");
    if (tl_cli_call(s, TL_M_DescribeWorkerDeploymentVersion, &r, &d, &err) != TL_OK) {
        return tl_cli_call_failed("error describing worker deployment version", &err);
    }
    version_info *v = d->worker_deployment_version_info;
    if (!v) {
        return tl_cli_fail(1, "the service told nothing about the version");
    }
    v->deployment_version = v->deployment_version ? v->deployment_version : &version;
    return tl_print_is_json(&s->print)
               ? print_json(s, v, d->version_task_queues, d->n_version_task_queues)
               : print_text(s, v, d->version_task_queues, d->n_version_task_queues);
}

int tl_cmd_worker_deployment_describe_version(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_describe_version);
}

/* --- delete-version ------------------------------------------------------------------------------- */

static int run_delete_version(struct tl_cli_session *s)
{
    TpWs__DeleteWorkerDeploymentVersionRequest r =
        TP_WS__DELETE_WORKER_DEPLOYMENT_VERSION_REQUEST__INIT;
    TpDeployment__WorkerDeploymentVersion version = tl_cli_deployment_version(s);
    struct tl_client_error err;
    r.deployment_version = &version;
    r.skip_drainage = tl_cli_flag(s->cli, "skip-drainage");
    if (tl_cli_call(s, TL_M_DeleteWorkerDeploymentVersion, &r, NULL, &err) != TL_OK) {
        return tl_cli_call_failed("error deleting worker deployment version", &err);
    }
    tl_print_line(&s->print, "Successfully deleted worker deployment version");
    return 0;
}

int tl_cmd_worker_deployment_delete_version(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_delete_version);
}

/* --- workflow update-options ---------------------------------------------------------------------- */

static int update_all(struct tl_cli_session *s, struct tl_cli_target *target,
                      struct tl_cli_override *o)
{
    TpBatch__BatchOperationUpdateWorkflowExecutionOptions op =
        TP_BATCH__BATCH_OPERATION_UPDATE_WORKFLOW_EXECUTION_OPTIONS__INIT;
    op.identity = tl_cli_identity(s);
    op.workflow_execution_options = &o->options;
    op.update_mask = &o->mask;
    target->request.operation_case =
        TP_WS__START_BATCH_OPERATION_REQUEST__OPERATION_UPDATE_WORKFLOW_OPTIONS_OPERATION;
    target->request.update_workflow_options_operation = &op;
    return tl_cli_batch_start(s, target);
}

static int run_update_options(struct tl_cli_session *s)
{
    TpWs__UpdateWorkflowExecutionOptionsRequest r =
        TP_WS__UPDATE_WORKFLOW_EXECUTION_OPTIONS_REQUEST__INIT;
    struct tl_client_error err;
    struct tl_cli_target target;
    struct tl_cli_override o;
    int code = tl_cli_read_override(s, &o);
    code = code ? code : tl_cli_target(s, 0, &target);
    if (code || target.batch) {
        return code ? code : update_all(s, &target, &o);
    }
    r.workflow_execution = &target.execution;
    r.workflow_execution_options = &o.options;
    r.update_mask = &o.mask;
    if (tl_cli_call(s, TL_M_UpdateWorkflowExecutionOptions, &r, NULL, &err) != TL_OK) {
        return tl_cli_call_failed("failed to update workflow options", &err);
    }
    tl_print_line(&s->print, "Update workflow options succeeded");
    return 0;
}

int tl_cmd_workflow_update_options(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_update_options);
}
