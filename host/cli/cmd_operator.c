/* operator namespace create, delete, describe, list, update. */
#include <stdio.h>
#include <string.h>

#include <temporal/api/operatorservice/v1/request_response.pb-c.h>

#include "base/limits.h"
#include "cli/confirm.h"
#include "cli/connect.h"
#include "proto/pb.h"
#include "tl_enums.h"

int tl_cmd_operator_namespace_create(struct tl_cli *cli);
int tl_cmd_operator_namespace_delete(struct tl_cli *cli);
int tl_cmd_operator_namespace_describe(struct tl_cli *cli);
int tl_cmd_operator_namespace_list(struct tl_cli *cli);
int tl_cmd_operator_namespace_update(struct tl_cli *cli);

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

/* --history-archival-state and its sister: unspecified when it was not given. */
static TpEnums__ArchivalState archival_state(struct tl_cli_session *s, const char *option)
{
    const char *word = tl_cli_text(s->cli, option);
    int state = !word                          ? ARCHIVAL_STATE_UNSPECIFIED
                : strcmp(word, "enabled") == 0 ? ARCHIVAL_STATE_ENABLED
                                               : ARCHIVAL_STATE_DISABLED;
    return (TpEnums__ArchivalState)state;
}

/* --cluster, repeated, as messages. Returns 0 or an exit code. */
static int read_clusters(struct tl_cli_session *s, struct tl_pb_list *out)
{
    for (const char *const *name = tl_cli_texts(s->cli, "cluster"); *name; name++) {
        TpReplication__ClusterReplicationConfig *c =
            TL_PB_NEW(&s->arena, TpReplication__ClusterReplicationConfig,
                      tp_replication__cluster_replication_config);
        if (!c || !tl_pb_push(&s->arena, out, c)) {
            return tl_cli_fail(1, "there are too many clusters");
        }
        c->cluster_name = (char *)(uintptr_t)*name;
    }
    return 0;
}

static int run_create(struct tl_cli_session *s)
{
    TpWs__RegisterNamespaceRequest r = TP_WS__REGISTER_NAMESPACE_REQUEST__INIT;
    struct tl_pb_list data = {0}, clusters = {0};
    struct tl_client_error err;
    int code = read_data(s, &tp_ws__register_namespace_request__data_entry__descriptor, &data);
    code = code ? code : read_clusters(s, &clusters);
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
    r.n_clusters = clusters.n;
    r.clusters = clusters.items;
    r.active_cluster_name = tl_cli_field(s, "active-cluster");
    r.is_global_namespace = tl_cli_flag(s->cli, "global");
    r.history_archival_state = archival_state(s, "history-archival-state");
    r.history_archival_uri = tl_cli_field(s, "history-uri");
    r.visibility_archival_state = archival_state(s, "visibility-archival-state");
    r.visibility_archival_uri = tl_cli_field(s, "visibility-uri");
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
    TpReplication__NamespaceReplicationConfig replication =
        TP_REPLICATION__NAMESPACE_REPLICATION_CONFIG__INIT;
    struct tl_pb_list data = {0}, clusters = {0};
    struct tl_client_error err;
    static char no_id[] = "";
    int code = read_data(s, &tp_namespace__update_namespace_info__data_entry__descriptor, &data);
    code = code ? code : read_clusters(s, &clusters);
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
    config.history_archival_state = archival_state(s, "history-archival-state");
    config.history_archival_uri = tl_cli_field(s, "history-uri");
    config.visibility_archival_state = archival_state(s, "visibility-archival-state");
    config.visibility_archival_uri = tl_cli_field(s, "visibility-uri");
    r.update_info = &info;
    r.config = &config;
    r.promote_namespace = tl_cli_flag(s->cli, "promote-global");
    replication.active_cluster_name = tl_cli_field(s, "active-cluster");
    replication.n_clusters = clusters.n;
    replication.clusters = clusters.items;
    const char *state = tl_cli_text(s->cli, "replication-state");
    if (state) {
        replication.state =
            (TpEnums__ReplicationState)(strcmp(state, "normal") == 0 ? REPLICATION_STATE_NORMAL
                                                                     : REPLICATION_STATE_HANDOVER);
    }
    if (state || clusters.n || *replication.active_cluster_name) {
        r.replication_config = &replication;
    }
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

/* --- delete --------------------------------------------------------------------------------------- */

static int run_delete(struct tl_cli_session *s)
{
    TpOs__DeleteNamespaceRequest r = TP_OS__DELETE_NAMESPACE_REQUEST__INIT;
    TpOs__DeleteNamespaceResponse *resp = NULL;
    struct tl_client_error err;
    r.namespace_ = namespace_name(s);
    if (!r.namespace_) {
        return 2;
    }
    const char *question = tl_arena_printf(
        &s->arena, "Delete namespace %s with all its workflows? Type its name:", r.namespace_);
    int code = tl_cli_confirm_name(s, question ? question : "Type its name:", r.namespace_);
    if (code) {
        return code;
    }
    if (tl_cli_call(s, TL_M_DeleteNamespace, &r, &resp, &err) != TL_OK) {
        return tl_cli_fail(1, "unable to delete namespace %s: %s", r.namespace_, err.error.message);
    }
    tl_print_line(&s->print, "Namespace %s has been deleted.", r.namespace_);
    return tl_cli_printed(tl_print_message(&s->print, resp, &err.error), &err.error);
}

int tl_cmd_operator_namespace_delete(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_delete);
}
