/* operator cluster describe, health, list, remove, system, upsert. */
#include <temporal/api/operatorservice/v1/request_response.pb-c.h>

#include "cli/connect.h"
#include "proto/pb.h"

int tl_cmd_operator_cluster_describe(struct tl_cli *cli);
int tl_cmd_operator_cluster_health(struct tl_cli *cli);
int tl_cmd_operator_cluster_list(struct tl_cli *cli);
int tl_cmd_operator_cluster_remove(struct tl_cli *cli);
int tl_cmd_operator_cluster_system(struct tl_cli *cli);
int tl_cmd_operator_cluster_upsert(struct tl_cli *cli);

/* NULL after an error was printed. */
static TpWs__GetSystemInfoResponse *system_info(struct tl_cli_session *s, const char *what)
{
    TpWs__GetSystemInfoRequest r = TP_WS__GET_SYSTEM_INFO_REQUEST__INIT;
    TpWs__GetSystemInfoResponse *resp = NULL;
    struct tl_client_error err;
    if (tl_cli_call(s, TL_M_GetSystemInfo, &r, &resp, &err) != TL_OK) {
        tl_cli_call_failed(what, &err);
        return NULL;
    }
    return resp;
}

static int run_health(struct tl_cli_session *s)
{
    struct tl_print_row row = {"Status", "SERVING", false};
    struct tl_error err = {0};
    if (!system_info(s, "failed checking cluster health")) {
        return 1;
    }
    if (tl_print_is_json(&s->print)) {
        return tl_cli_printed(tl_print_fields(&s->print, &row, 1, &err), &err);
    }
    tl_print_line(&s->print, "SERVING");
    return 0;
}

int tl_cmd_operator_cluster_health(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_health);
}

static const char *truth(int v)
{
    return v ? "true" : "false";
}

static int run_system(struct tl_cli_session *s)
{
    static const struct tl_print_column columns[] = {{"ServerVersion", 0, false},
                                                     {"SupportsSchedules", 0, false},
                                                     {"UpsertMemo", 0, false},
                                                     {"EagerWorkflowStart", 0, false}};
    struct tl_error err = {0};
    const TpWs__GetSystemInfoResponse *r = system_info(s, "unable to get system information");
    if (!r) {
        return 1;
    }
    const TpWs__GetSystemInfoResponse__Capabilities *c = r->capabilities;
    const char *cells[] = {r->server_version, truth(c && c->supports_schedules),
                           truth(c && c->upsert_memo), truth(c && c->eager_workflow_start)};
    tl_print_table(&s->print, columns, 4, cells, 1, true, 1);
    return tl_cli_printed(tl_print_message(&s->print, r, &err), &err);
}

int tl_cmd_operator_cluster_system(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_system);
}

static int run_cluster(struct tl_cli_session *s)
{
    static const struct tl_print_column columns[] = {{"ClusterName", 0, false},
                                                     {"PersistenceStore", 0, false},
                                                     {"VisibilityStore", 0, false},
                                                     {"HistoryShardCount", 0, false},
                                                     {"VersionInfo", 0, false}};
    TpWs__GetClusterInfoRequest r = TP_WS__GET_CLUSTER_INFO_REQUEST__INIT;
    TpWs__GetClusterInfoResponse *resp = NULL;
    struct tl_client_error err;
    if (tl_cli_call(s, TL_M_GetClusterInfo, &r, &resp, &err) != TL_OK) {
        return tl_cli_call_failed("unable to get cluster information", &err);
    }
    const char *cells[] = {resp->cluster_name, resp->persistence_store, resp->visibility_store,
                           tl_print_number(&s->arena, resp->history_shard_count),
                           tl_print_compact(&s->print, &s->arena, resp->version_info)};
    tl_print_table(&s->print, columns, tl_cli_flag(s->cli, "detail") ? 5 : 3, cells, 1, true, 1);
    return tl_cli_printed(tl_print_message(&s->print, resp, &err.error), &err.error);
}

int tl_cmd_operator_cluster_describe(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_cluster);
}

/* --- replication ------------------------------------------------------------------------------------ */

/* One page. *left: how many may still be shown, negative for any number. Returns 0 or an exit code. */
static int list_page(struct tl_cli_session *s, struct tl_str *token, int64_t *left, bool first)
{
    static const struct tl_print_column columns[] = {
        {"Name", 0, false},
        {"ClusterId", 0, false},
        {"Address", 0, false},
        {"HistoryShardCount", 0, true},
        {"InitialFailoverVersion", 0, true},
        {"IsConnectionEnabled", 0, false},
        {"IsReplicationEnabled", 0, false},
    };
    enum { COLUMNS = sizeof columns / sizeof columns[0] };
    TpOs__ListClustersRequest r = TP_OS__LIST_CLUSTERS_REQUEST__INIT;
    TpOs__ListClustersResponse *resp = NULL;
    struct tl_client_error err;
    r.next_page_token = tl_pb_bytes_view(*token);
    if (tl_cli_call(s, TL_M_ListClusters, &r, &resp, &err) != TL_OK) {
        return tl_cli_call_failed("failed listing clusters", &err);
    }
    const char **cells = TL_ARENA_ARRAY(&s->arena, const char *, COLUMNS * resp->n_clusters + 1);
    size_t n = 0;
    for (; cells && n<resp->n_clusters && * left != 0; n++, *left -= *left> 0) {
        const TpOs__ClusterMetadata *c = resp->clusters[n];
        const char **row = cells + COLUMNS * n;
        if (tl_print_is_json(&s->print) && tl_print_message(&s->print, c, &err.error) != TL_OK) {
            return tl_cli_printed(err.error.code, &err.error);
        }
        row[0] = c->cluster_name;
        row[1] = c->cluster_id;
        row[2] = c->address;
        row[3] = tl_print_number(&s->arena, c->history_shard_count);
        row[4] = tl_print_number(&s->arena, c->initial_failover_version);
        row[5] = truth(c->is_connection_enabled);
        row[6] = truth(c->is_replication_enabled);
    }
    tl_print_table(&s->print, columns, COLUMNS, cells, n, first, 1);
    *token = tl_pb_str(resp->next_page_token);
    return 0;
}

static int run_list(struct tl_cli_session *s)
{
    int64_t limit = tl_cli_integer(s->cli, "limit"), left = limit > 0 ? limit : -1;
    struct tl_str token = {0};
    bool first = true;
    int code;
    tl_print_list_begin(&s->print);
    do {
        code = list_page(s, &token, &left, first);
        first = false;
    } while (code == 0 && token.n && left != 0);
    tl_print_list_end(&s->print);
    return code;
}

int tl_cmd_operator_cluster_list(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_list);
}

static int run_upsert(struct tl_cli_session *s)
{
    TpOs__AddOrUpdateRemoteClusterRequest r = TP_OS__ADD_OR_UPDATE_REMOTE_CLUSTER_REQUEST__INIT;
    struct tl_print_row row = {"frontendAddress", tl_cli_text(s->cli, "frontend-address"), false};
    struct tl_client_error err;
    r.frontend_address = tl_cli_field(s, "frontend-address");
    r.enable_remote_cluster_connection = tl_cli_flag(s->cli, "enable-connection");
    r.enable_replication = tl_cli_flag(s->cli, "enable-replication");
    if (!*r.frontend_address) { /* servers have ended over it */
        return tl_cli_fail(2, "--frontend-address is empty");
    }
    if (tl_cli_call(s, TL_M_AddOrUpdateRemoteCluster, &r, NULL, &err) != TL_OK) {
        return tl_cli_call_failed("unable to upsert cluster", &err);
    }
    if (tl_print_is_json(&s->print)) {
        return tl_cli_printed(tl_print_fields(&s->print, &row, 1, &err.error), &err.error);
    }
    tl_print_line(&s->print, "Upserted cluster %s", r.frontend_address);
    return 0;
}

int tl_cmd_operator_cluster_upsert(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_upsert);
}

static int run_remove(struct tl_cli_session *s)
{
    TpOs__RemoveRemoteClusterRequest r = TP_OS__REMOVE_REMOTE_CLUSTER_REQUEST__INIT;
    struct tl_print_row row = {"clusterName", tl_cli_text(s->cli, "name"), false};
    struct tl_client_error err;
    r.cluster_name = tl_cli_field(s, "name");
    if (tl_cli_call(s, TL_M_RemoveRemoteCluster, &r, NULL, &err) != TL_OK) {
        return tl_cli_call_failed("failed removing cluster", &err);
    }
    if (tl_print_is_json(&s->print)) {
        return tl_cli_printed(tl_print_fields(&s->print, &row, 1, &err.error), &err.error);
    }
    tl_print_line(&s->print, "Removed cluster %s", r.cluster_name);
    return 0;
}

int tl_cmd_operator_cluster_remove(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_remove);
}
