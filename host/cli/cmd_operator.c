/* operator namespace create, describe, list, update; operator cluster describe, health, system. */
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "cli/connect.h"
#include "proto/pb.h"

int tl_cmd_operator_namespace_create(struct tl_cli *cli);
int tl_cmd_operator_namespace_describe(struct tl_cli *cli);
int tl_cmd_operator_namespace_list(struct tl_cli *cli);
int tl_cmd_operator_namespace_update(struct tl_cli *cli);
int tl_cmd_operator_cluster_describe(struct tl_cli *cli);
int tl_cmd_operator_cluster_health(struct tl_cli *cli);
int tl_cmd_operator_cluster_system(struct tl_cli *cli);

/* --- namespaces ----------------------------------------------------------------------------------- */

/* The name as an argument, or from --namespace. NULL after an error. */
static char *namespace_name(struct tl_cli_session *s)
{
    int count;
    char **args = tl_cli_args(s->cli, &count);
    if (count > 0 && tl_cli_given(s->cli, "namespace")) {
        tl_cli_fail(2, "give the namespace as an argument or with --namespace, not both");
        return NULL;
    }
    return count > 0 ? args[0] : tl_cli_field(s, "namespace");
}

/* --data KEY=VALUE as entries of a map from strings to strings. Returns 0 or an exit code. */
static int read_data(struct tl_cli_session *s, const ProtobufCMessageDescriptor *entry,
                     struct tl_pb_list *out)
{
    _Static_assert(sizeof(TpWs__RegisterNamespaceRequest__DataEntry) ==
                       sizeof(TpNamespace__UpdateNamespaceInfo__DataEntry),
                   "entries of text maps");
    for (const char *const *text = tl_cli_texts(s->cli, "data"); *text; text++) {
        const char *equals = strchr(*text, '=');
        if (!equals || equals == *text) {
            return tl_cli_fail(2, "--data wants KEY=VALUE, got '%s'", *text);
        }
        TpWs__RegisterNamespaceRequest__DataEntry *e = tl_pb_new(&s->arena, entry);
        if (!e || !tl_pb_push(&s->arena, out, e)) {
            return tl_cli_fail(1, "--data: the values are too large");
        }
        e->key = tl_pb_cstr(&s->arena, tl_str_n(*text, (size_t)(equals - *text)));
        e->value = tl_pb_cstr(&s->arena, tl_str(equals + 1));
    }
    return 0;
}

static int run_create(struct tl_cli_session *s)
{
    TpWs__RegisterNamespaceRequest r = TP_WS__REGISTER_NAMESPACE_REQUEST__INIT;
    struct tl_pb_list data = {0};
    struct tl_client_error err;
    int code = read_data(s, &tp_ws__register_namespace_request__data_entry__descriptor, &data);
    r.namespace_ = namespace_name(s);
    if (code || !r.namespace_) {
        return 2;
    }
    r.description = tl_cli_field(s, "description");
    r.owner_email = tl_cli_field(s, "email");
    r.workflow_execution_retention_period =
        tl_pb_duration_ns(&s->arena, tl_cli_duration_ns(s->cli, "retention"));
    r.n_data = data.n;
    r.data = data.items;
    if (tl_cli_call(s, TL_M_RegisterNamespace, &r, NULL, &err) != TL_OK) {
        return tl_cli_fail(1, "unable to create namespace %s: %s", r.namespace_, err.error.message);
    }
    tl_print_line(&s->print, "Namespace %s successfully registered.", r.namespace_);
    return 0;
}

int tl_cmd_operator_namespace_create(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_CREATE, run_create);
}

static const char *data_text(struct tl_cli_session *s, const TpNamespace__NamespaceInfo *info)
{
    const char *all = "map[";
    for (size_t i = 0; all && i < info->n_data; i++) {
        all = tl_arena_printf(&s->arena, "%s%s%s:%s", all, i ? " " : "", info->data[i]->key,
                              info->data[i]->value);
    }
    return all ? tl_arena_printf(&s->arena, "%s]", all) : "";
}

static const char *clusters_text(struct tl_cli_session *s,
                                 const TpReplication__NamespaceReplicationConfig *r)
{
    const char *all = "[";
    for (size_t i = 0; all && i < r->n_clusters; i++) {
        all = tl_arena_printf(&s->arena, "%s%s%s", all, i ? ", " : "",
                              tl_print_compact(&s->print, &s->arena, r->clusters[i]));
    }
    return all ? tl_arena_printf(&s->arena, "%s]", all) : "";
}

static void print_namespace(struct tl_cli_session *s, const TpWs__DescribeNamespaceResponse *d)
{
    static const TpNamespace__NamespaceInfo no_info = TP_NAMESPACE__NAMESPACE_INFO__INIT;
    static const TpNamespace__NamespaceConfig no_config = TP_NAMESPACE__NAMESPACE_CONFIG__INIT;
    static const TpReplication__NamespaceReplicationConfig no_replication =
        TP_REPLICATION__NAMESPACE_REPLICATION_CONFIG__INIT;
    const TpNamespace__NamespaceInfo *info = d->namespace_info ? d->namespace_info : &no_info;
    const TpNamespace__NamespaceConfig *config = d->config ? d->config : &no_config;
    const TpReplication__NamespaceReplicationConfig *replication =
        d->replication_config ? d->replication_config : &no_replication;
    struct tl_arena *a = &s->arena;
    int64_t retention = tl_pb_duration_ns_or(config->workflow_execution_retention_ttl, 0);
    const ProtobufCEnumDescriptor *archival = &tp_enums__archival_state__descriptor;
    struct tl_print_row rows[] = {
        {"NamespaceInfo.Name", info->name, false},
        {"NamespaceInfo.Id", info->id, false},
        {"NamespaceInfo.Description", info->description, false},
        {"NamespaceInfo.OwnerEmail", info->owner_email, false},
        {"NamespaceInfo.State",
         tl_print_enum(a, &tp_enums__namespace_state__descriptor, (int)info->state), false},
        {"NamespaceInfo.Data", data_text(s, info), false},
        {"Config.WorkflowExecutionRetentionTtl", tl_print_duration(a, retention), false},
        {"ReplicationConfig.ActiveClusterName", replication->active_cluster_name, false},
        {"ReplicationConfig.Clusters", clusters_text(s, replication), false},
        {"ReplicationConfig.State",
         tl_print_enum(a, &tp_enums__replication_state__descriptor, (int)replication->state),
         false},
        {"Config.HistoryArchivalState",
         tl_print_enum(a, archival, (int)config->history_archival_state), false},
        {"Config.VisibilityArchivalState",
         tl_print_enum(a, archival, (int)config->visibility_archival_state), false},
        {"IsGlobalNamespace", d->is_global_namespace ? "true" : "false", false},
        {"FailoverVersion", tl_print_number(a, d->failover_version), false},
        {"Config.HistoryArchivalUri", config->history_archival_uri, false},
        {"Config.VisibilityArchivalUri", config->visibility_archival_uri, false},
    };
    tl_print_card(&s->print, rows, sizeof rows / sizeof rows[0]);
}

/* NULL after an error was printed. */
static TpWs__DescribeNamespaceResponse *describe(struct tl_cli_session *s, char *name, char *id)
{
    TpWs__DescribeNamespaceRequest r = TP_WS__DESCRIBE_NAMESPACE_REQUEST__INIT;
    TpWs__DescribeNamespaceResponse *d = NULL;
    struct tl_client_error err;
    /* A name that is left empty would be filled with the client's namespace. */
    struct tl_str bytes, body;
    r.namespace_ = name;
    r.id = id;
    tl_rc rc = tl_pb_encode_arena(&r, &s->arena, &bytes, &err.error);
    rc = rc == TL_OK ? tl_client_call_bytes(s->client, TL_M_DescribeNamespace, bytes, &s->arena,
                                            &body, tl_cli_time_left_ns(s), &err)
                     : rc;
    rc = rc == TL_OK ? tl_pb_decode(&tp_ws__describe_namespace_response__descriptor, body,
                                    &s->arena, &d, &err.error)
                     : rc;
    if (rc != TL_OK) {
        tl_cli_fail(1, "unable to describe namespace %s: %s", *name ? name : id, err.error.message);
        return NULL;
    }
    return d;
}

static int run_describe(struct tl_cli_session *s)
{
    static char none[] = "";
    struct tl_error err = {0};
    char *id = tl_cli_field(s, "namespace-id"), *name = namespace_name(s);
    int count;
    tl_cli_args(s->cli, &count);
    if (!name) {
        return 2;
    }
    if (*id && (count > 0 || tl_cli_given(s->cli, "namespace"))) {
        return tl_cli_fail(2, "give --namespace-id or a name, not both");
    }
    TpWs__DescribeNamespaceResponse *d = describe(s, *id ? none : name, id);
    if (!d) {
        return 1;
    }
    if (tl_print_is_json(&s->print)) {
        return tl_cli_printed(tl_print_message(&s->print, d, &err), &err);
    }
    print_namespace(s, d);
    return 0;
}

int tl_cmd_operator_namespace_describe(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_describe);
}

static int list_page(struct tl_cli_session *s, struct tl_str *token, bool *first)
{
    TpWs__ListNamespacesRequest r = TP_WS__LIST_NAMESPACES_REQUEST__INIT;
    TpWs__ListNamespacesResponse *resp = NULL;
    struct tl_client_error err;
    r.page_size = 100;
    r.next_page_token = tl_pb_bytes_view(*token);
    if (tl_cli_call(s, TL_M_ListNamespaces, &r, &resp, &err) != TL_OK) {
        return tl_cli_call_failed("failed listing namespaces", &err);
    }
    for (size_t i = 0; i < resp->n_namespaces; i++) {
        if (!tl_print_is_json(&s->print)) {
            if (!*first) {
                tl_print_line(&s->print, "%s", "");
            }
            print_namespace(s, resp->namespaces[i]);
        } else if (tl_print_message(&s->print, resp->namespaces[i], &err.error) != TL_OK) {
            return tl_cli_printed(err.error.code, &err.error);
        }
        *first = false;
    }
    *token = tl_pb_str(resp->next_page_token);
    return 0;
}

static int run_list(struct tl_cli_session *s)
{
    struct tl_str token = {0};
    bool first = true;
    int code;
    tl_print_list_begin(&s->print);
    do {
        code = list_page(s, &token, &first);
    } while (code == 0 && token.n);
    tl_print_list_end(&s->print);
    return code;
}

int tl_cmd_operator_namespace_list(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_list);
}

static int run_update(struct tl_cli_session *s)
{
    TpWs__UpdateNamespaceRequest r = TP_WS__UPDATE_NAMESPACE_REQUEST__INIT;
    TpWs__UpdateNamespaceResponse *resp = NULL;
    TpNamespace__UpdateNamespaceInfo info = TP_NAMESPACE__UPDATE_NAMESPACE_INFO__INIT;
    TpNamespace__NamespaceConfig config = TP_NAMESPACE__NAMESPACE_CONFIG__INIT;
    struct tl_pb_list data = {0};
    struct tl_client_error err;
    static char no_id[] = "";
    int code = read_data(s, &tp_namespace__update_namespace_info__data_entry__descriptor, &data);
    r.namespace_ = namespace_name(s);
    if (code || !r.namespace_) {
        return 2;
    }
    TpWs__DescribeNamespaceResponse *d = describe(s, r.namespace_, no_id);
    if (!d) {
        return 1;
    }
    info.description = *tl_cli_field(s, "description") ? tl_cli_field(s, "description")
                                                       : d->namespace_info->description;
    info.owner_email =
        *tl_cli_field(s, "email") ? tl_cli_field(s, "email") : d->namespace_info->owner_email;
    info.n_data = data.n;
    info.data = data.items;
    config.workflow_execution_retention_ttl =
        tl_cli_text(s->cli, "retention")
            ? tl_pb_duration_ns(&s->arena, tl_cli_duration_ns(s->cli, "retention"))
            : d->config->workflow_execution_retention_ttl;
    r.update_info = &info;
    r.config = &config;
    if (tl_cli_call(s, TL_M_UpdateNamespace, &r, &resp, &err) != TL_OK) {
        return tl_cli_call_failed("namespace update failed", &err);
    }
    tl_print_line(&s->print, "Namespace %s update succeeded.", r.namespace_);
    return tl_cli_printed(tl_print_message(&s->print, resp, &err.error), &err.error);
}

int tl_cmd_operator_namespace_update(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_update);
}

/* --- cluster -------------------------------------------------------------------------------------- */

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
