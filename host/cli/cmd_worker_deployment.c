/* worker deployment create, delete, describe, list, set-current-version, set-ramping-version and
 * manager-identity: deployments and where they send work. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/batch.h"
#include "cli/deployment.h"
#include "proto/jsonv.h"
#include "proto/pb.h"
#include "tl_enums.h"

int tl_cmd_worker_deployment_create(struct tl_cli *cli);
int tl_cmd_worker_deployment_delete(struct tl_cli *cli);
int tl_cmd_worker_deployment_describe(struct tl_cli *cli);
int tl_cmd_worker_deployment_list(struct tl_cli *cli);
int tl_cmd_worker_deployment_set_current(struct tl_cli *cli);
int tl_cmd_worker_deployment_set_ramping(struct tl_cli *cli);
int tl_cmd_worker_deployment_set_manager(struct tl_cli *cli);
int tl_cmd_worker_deployment_unset_manager(struct tl_cli *cli);

typedef TpDeployment__WorkerDeploymentInfo__WorkerDeploymentVersionSummary summary;

/* --- shared --------------------------------------------------------------------------------------- */

const char *tl_cli_deployment_time(struct tl_arena *arena, const Google__Protobuf__Timestamp *t)
{
    char fraction[16] = "";
    if (!t) {
        return "0001-01-01T00:00:00Z";
    }
    const char *text = tl_print_time_iso(arena, t);
    if (t->nanos > 0 && *text) {
        int n = snprintf(fraction, sizeof fraction, ".%09d", t->nanos);
        while (n > 0 && fraction[n - 1] == '0') {
            fraction[--n] = 0;
        }
        text = tl_arena_printf(arena, "%.*s%sZ", (int)strlen(text) - 1, text, fraction);
    }
    return text ? text : "";
}

const char *tl_cli_drainage(int status)
{
    return status == VERSION_DRAINAGE_STATUS_DRAINING  ? "draining"
           : status == VERSION_DRAINAGE_STATUS_DRAINED ? "drained"
                                                       : "unspecified";
}

const char *tl_cli_percentage(struct tl_arena *arena, float v)
{
    char text[32];
    size_t n = tl_json_float_text(v, text);
    return tl_arena_cstr(arena, tl_str_n(text, n));
}

void tl_cli_member(struct tl_jw *w, const char *name, const char *text)
{
    tl_jw_name(w, tl_str(name));
    tl_jw_string(w, tl_str(text));
}

void tl_cli_member_percentage(struct tl_jw *w, const char *name, float v)
{
    char text[32];
    size_t n = tl_json_float_text(v, text);
    tl_jw_name(w, tl_str(name));
    tl_jw_raw(w, tl_str_n(text, n));
}

TpDeployment__WorkerDeploymentVersion tl_cli_deployment_version(struct tl_cli_session *s)
{
    TpDeployment__WorkerDeploymentVersion v = TP_DEPLOYMENT__WORKER_DEPLOYMENT_VERSION__INIT;
    v.deployment_name = tl_cli_field(s, "deployment-name");
    v.build_id = tl_cli_field(s, "build-id");
    return v;
}

/* --- showing one ---------------------------------------------------------------------------------- */

static const char *name_at(const TpDeployment__WorkerDeploymentVersion *v)
{
    return v ? v->deployment_name : "";
}

static const char *build_at(const TpDeployment__WorkerDeploymentVersion *v)
{
    return v ? v->build_id : "";
}

static void write_routing(struct tl_cli_session *s, struct tl_jw *w,
                          const TpDeployment__RoutingConfig *r)
{
    struct tl_arena *a = &s->arena;
    tl_jw_name(w, TL_STR_LIT("routingConfig"));
    tl_jw_object(w);
    tl_cli_member(w, "currentVersionDeploymentName", name_at(r->current_deployment_version));
    tl_cli_member(w, "currentVersionBuildID", build_at(r->current_deployment_version));
    tl_cli_member(w, "rampingVersionDeploymentName", name_at(r->ramping_deployment_version));
    tl_cli_member(w, "rampingVersionBuildID", build_at(r->ramping_deployment_version));
    tl_cli_member_percentage(w, "rampingVersionPercentage", r->ramping_version_percentage);
    tl_cli_member(w, "currentVersionChangedTime",
                  tl_cli_deployment_time(a, r->current_version_changed_time));
    tl_cli_member(w, "rampingVersionChangedTime",
                  tl_cli_deployment_time(a, r->ramping_version_changed_time));
    tl_cli_member(w, "rampingVersionPercentageChangedTime",
                  tl_cli_deployment_time(a, r->ramping_version_percentage_changed_time));
    tl_jw_object_end(w);
}

static void write_summaries(struct tl_cli_session *s, struct tl_jw *w, summary *const *list,
                            size_t n)
{
    tl_jw_name(w, TL_STR_LIT("versionSummaries"));
    if (n == 0) {
        tl_jw_null(w);
        return;
    }
    tl_jw_array(w);
    for (size_t i = 0; i < n; i++) {
        tl_jw_object(w);
        tl_cli_member(w, "deploymentName", name_at(list[i]->deployment_version));
        tl_cli_member(w, "BuildID", build_at(list[i]->deployment_version));
        tl_cli_member(w, "drainageStatus", tl_cli_drainage((int)list[i]->drainage_status));
        tl_cli_member(w, "createTime", tl_cli_deployment_time(&s->arena, list[i]->create_time));
        tl_jw_object_end(w);
    }
    tl_jw_array_end(w);
}

static int print_json(struct tl_cli_session *s, const TpDeployment__WorkerDeploymentInfo *info)
{
    static const TpDeployment__RoutingConfig none = TP_DEPLOYMENT__ROUTING_CONFIG__INIT;
    struct tl_error err;
    struct tl_jw w;
    tl_print_json_begin(&s->print, &w);
    tl_jw_object(&w);
    tl_cli_member(&w, "name", info->name);
    tl_cli_member(&w, "createTime", tl_cli_deployment_time(&s->arena, info->create_time));
    tl_cli_member(&w, "lastModifierIdentity", info->last_modifier_identity);
    write_routing(s, &w, info->routing_config ? info->routing_config : &none);
    write_summaries(s, &w, info->version_summaries, info->n_version_summaries);
    tl_cli_member(&w, "managerIdentity", info->manager_identity);
    tl_jw_object_end(&w);
    return tl_cli_printed(tl_print_json_end(&s->print, &w, &err), &err);
}

static int print_summaries(struct tl_cli_session *s, summary *const *list, size_t n)
{
    static const struct tl_print_column columns[] = {{"DeploymentName", 0, false},
                                                     {"BuildID", 0, false},
                                                     {"DrainageStatus", 0, false},
                                                     {"CreateTime", 0, false}};
    const char **cells = TL_ARENA_ARRAY(&s->arena, const char *, 4 * n + 1);
    if (!cells) {
        return tl_cli_fail(1, "there are too many versions");
    }
    for (size_t i = 0; i < n; i++) {
        cells[4 * i] = name_at(list[i]->deployment_version);
        cells[4 * i + 1] = build_at(list[i]->deployment_version);
        cells[4 * i + 2] = tl_cli_drainage((int)list[i]->drainage_status);
        cells[4 * i + 3] = tl_print_time(&s->print, &s->arena, list[i]->create_time);
    }
    tl_print_line(&s->print, "%s", "");
    tl_print_line(&s->print, "Version Summaries:");
    tl_print_table(&s->print, columns, 4, cells, n, true, 1);
    return 0;
}

static int print_info(struct tl_cli_session *s, const TpDeployment__WorkerDeploymentInfo *info,
                      const char *title)
{
    static const TpDeployment__RoutingConfig none = TP_DEPLOYMENT__ROUTING_CONFIG__INIT;
    const TpDeployment__RoutingConfig *r = info->routing_config ? info->routing_config : &none;
    struct tl_arena *a = &s->arena;
    struct tl_print *p = &s->print;
    if (tl_print_is_json(p)) {
        return print_json(s, info);
    }
    const char *ramp = r->ramping_version_percentage > 0
                           ? tl_cli_percentage(a, r->ramping_version_percentage)
                           : "";
    const struct tl_print_row rows[] = {
        {"Name", info->name, false},
        {"CreateTime", tl_print_time(p, a, info->create_time), false},
        {"LastModifierIdentity", info->last_modifier_identity, true},
        {"ManagerIdentity", info->manager_identity, true},
        {"CurrentVersionDeploymentName", name_at(r->current_deployment_version), true},
        {"CurrentVersionBuildID", build_at(r->current_deployment_version), true},
        {"RampingVersionDeploymentName", name_at(r->ramping_deployment_version), true},
        {"RampingVersionBuildID", build_at(r->ramping_deployment_version), true},
        {"RampingVersionPercentage", ramp, true},
        {"CurrentVersionChangedTime", tl_print_time(p, a, r->current_version_changed_time), true},
        {"RampingVersionChangedTime", tl_print_time(p, a, r->ramping_version_changed_time), true},
        {"RampingVersionPercentageChangedTime",
         tl_print_time(p, a, r->ramping_version_percentage_changed_time), true}};
    tl_print_line(p, "%s", title);
    tl_print_card(p, rows, sizeof rows / sizeof rows[0]);
    return info->n_version_summaries
               ? print_summaries(s, info->version_summaries, info->n_version_summaries)
               : 0;
}

/* NULL after an error was printed; *code is the exit code then. */
static TpWs__DescribeWorkerDeploymentResponse *describe(struct tl_cli_session *s, const char *name,
                                                        const char *what)
{
    TpWs__DescribeWorkerDeploymentRequest r = TP_WS__DESCRIBE_WORKER_DEPLOYMENT_REQUEST__INIT;
    TpWs__DescribeWorkerDeploymentResponse *resp = NULL;
    struct tl_client_error err;
    r.deployment_name = (char *)(uintptr_t)name;
    if (tl_cli_call(s, TL_M_DescribeWorkerDeployment, &r, &resp, &err) != TL_OK) {
        tl_cli_call_failed(what, &err);
        return NULL;
    }
    if (!resp->worker_deployment_info) {
        tl_cli_fail(1, "%s: the service told nothing about it", what);
        return NULL;
    }
    return resp;
}

static int run_describe(struct tl_cli_session *s)
{
    TpWs__DescribeWorkerDeploymentResponse *d =
        describe(s, tl_cli_field(s, "name"), "error describing worker deployment");
    return d ? print_info(s, d->worker_deployment_info, "Worker Deployment:") : 1;
}

int tl_cmd_worker_deployment_describe(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_describe);
}

/* --- list ----------------------------------------------------------------------------------------- */

enum { LIST_COLUMNS = 7 };

static void list_row(struct tl_cli_session *s,
                     const TpWs__ListWorkerDeploymentsResponse__WorkerDeploymentSummary *d,
                     const char **cells)
{
    static const TpDeployment__RoutingConfig none = TP_DEPLOYMENT__ROUTING_CONFIG__INIT;
    const TpDeployment__RoutingConfig *r = d->routing_config ? d->routing_config : &none;
    cells[0] = d->name;
    cells[1] = tl_print_time(&s->print, &s->arena, d->create_time);
    cells[2] = name_at(r->current_deployment_version);
    cells[3] = build_at(r->current_deployment_version);
    cells[4] = name_at(r->ramping_deployment_version);
    cells[5] = build_at(r->ramping_deployment_version);
    cells[6] = tl_cli_percentage(&s->arena, r->ramping_version_percentage);
}

static int print_page(struct tl_cli_session *s, const TpWs__ListWorkerDeploymentsResponse *page,
                      bool header)
{
    static const struct tl_print_column columns[LIST_COLUMNS] = {
        {"Name", 0, false},
        {"CreateTime", 0, false},
        {"CurrentVersionDeploymentName", 0, false},
        {"CurrentVersionBuildID", 0, false},
        {"RampingVersionDeploymentName", 0, false},
        {"RampingVersionBuildID", 0, false},
        {"RampingVersionPercentage", 0, true}};
    size_t n = page->n_worker_deployments;
    const char **cells = TL_ARENA_ARRAY(&s->arena, const char *, LIST_COLUMNS *n + 1);
    int code = cells ? 0 : tl_cli_fail(1, "the list is too large");
    for (size_t i = 0; code == 0 && i < n; i++) {
        const TpWs__ListWorkerDeploymentsResponse__WorkerDeploymentSummary *d =
            page->worker_deployments[i];
        TpDeployment__WorkerDeploymentInfo info = TP_DEPLOYMENT__WORKER_DEPLOYMENT_INFO__INIT;
        info.name = d->name;
        info.create_time = d->create_time;
        info.routing_config = d->routing_config;
        list_row(s, d, cells + LIST_COLUMNS * i);
        code = tl_print_is_json(&s->print) ? print_json(s, &info) : 0;
    }
    if (code == 0) {
        tl_print_table(&s->print, columns, LIST_COLUMNS, cells, n, header, 1);
    }
    return code;
}

static int list_pages(struct tl_cli_session *s)
{
    TpWs__ListWorkerDeploymentsRequest r = TP_WS__LIST_WORKER_DEPLOYMENTS_REQUEST__INIT;
    TpWs__ListWorkerDeploymentsResponse *resp = NULL;
    struct tl_client_error err;
    int code = 0;
    bool header = true;
    do {
        if (tl_cli_call(s, TL_M_ListWorkerDeployments, &r, &resp, &err) != TL_OK) {
            return tl_cli_call_failed("failed to list worker deployments", &err);
        }
        code = print_page(s, resp, header);
        header = false;
        r.next_page_token = resp->next_page_token;
    } while (code == 0 && r.next_page_token.len);
    return code;
}

static int run_list(struct tl_cli_session *s)
{
    tl_print_list_begin(&s->print);
    int code = list_pages(s);
    tl_print_list_end(&s->print);
    return code;
}

int tl_cmd_worker_deployment_list(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_list);
}

/* --- create, delete ------------------------------------------------------------------------------- */

static int run_create(struct tl_cli_session *s)
{
    TpWs__CreateWorkerDeploymentRequest r = TP_WS__CREATE_WORKER_DEPLOYMENT_REQUEST__INIT;
    struct tl_client_error err;
    char id[37];
    tl_uuid4(tl_client_world(s->client), id);
    r.deployment_name = tl_cli_field(s, "name");
    r.request_id = id;
    if (tl_cli_call(s, TL_M_CreateWorkerDeployment, &r, NULL, &err) != TL_OK) {
        return tl_cli_call_failed("error creating worker deployment", &err);
    }
    tl_print_line(&s->print, "Successfully created worker deployment");
    return 0;
}

int tl_cmd_worker_deployment_create(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_CREATE, run_create);
}

static int run_delete(struct tl_cli_session *s)
{
    TpWs__DeleteWorkerDeploymentRequest r = TP_WS__DELETE_WORKER_DEPLOYMENT_REQUEST__INIT;
    struct tl_client_error err;
    r.deployment_name = tl_cli_field(s, "name");
    if (tl_cli_call(s, TL_M_DeleteWorkerDeployment, &r, NULL, &err) != TL_OK) {
        return tl_cli_call_failed("error deleting worker deployment", &err);
    }
    tl_print_line(&s->print, "Successfully deleted worker deployment");
    return 0;
}

int tl_cmd_worker_deployment_delete(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_delete);
}

/* --- changes that somebody confirms --------------------------------------------------------------- */

/* Shows the deployment as it is and asks, unless --yes; *token: a change by somebody else after that is
 * refused by the service. Returns 0 or an exit code. */
static int look_and_ask(struct tl_cli_session *s, const char *what, ProtobufCBinaryData *token)
{
    bool ask = !tl_cli_flag(s->cli, "yes");
    TpWs__DescribeWorkerDeploymentResponse *d =
        describe(s, tl_cli_field(s, "deployment-name"), "unable to get deployment conflict token");
    if (!d) {
        return 1;
    }
    *token = d->conflict_token;
    if (!ask) {
        return 0;
    }
    if (s->print.mode != TL_PRINT_TEXT) {
        return tl_cli_fail(1, "without text output there is no prompt: give --yes");
    }
    int code = print_info(s, d->worker_deployment_info, "Worker Deployment Before Update:");
    tl_print_flush(&s->print);
    const char *question = tl_arena_printf(&s->arena, "Continue with set %s? y/N", what);
    return code ? code : tl_cli_confirm(s, question ? question : "Continue? y/N");
}

/* --build-id or --unversioned. Returns 0 or an exit code. */
static int target(struct tl_cli_session *s, bool build_id_needed)
{
    bool build = tl_cli_text(s->cli, "build-id") != NULL;
    bool unversioned = tl_cli_flag(s->cli, "unversioned");
    if (build && unversioned) {
        return tl_cli_fail(1, "cannot set both --build-id and --unversioned");
    }
    return build || unversioned || !build_id_needed
               ? 0
               : tl_cli_fail(1, "must set either --build-id or --unversioned");
}

static int run_set_current(struct tl_cli_session *s)
{
    TpWs__SetWorkerDeploymentCurrentVersionRequest r =
        TP_WS__SET_WORKER_DEPLOYMENT_CURRENT_VERSION_REQUEST__INIT;
    struct tl_client_error err;
    int code = target(s, true);
    r.allow_no_pollers = tl_cli_flag(s->cli, "allow-no-pollers");
    if (code == 0 && !(r.allow_no_pollers && tl_cli_flag(s->cli, "yes"))) {
        code = look_and_ask(s, "Current", &r.conflict_token);
    }
    if (code) {
        return code;
    }
    r.deployment_name = tl_cli_field(s, "deployment-name");
    r.build_id = tl_cli_field(s, "build-id");
    r.ignore_missing_task_queues = tl_cli_flag(s->cli, "ignore-missing-task-queues");
    if (tl_cli_call(s, TL_M_SetWorkerDeploymentCurrentVersion, &r, NULL, &err) != TL_OK) {
        return tl_cli_call_failed("error setting the current worker deployment version", &err);
    }
    tl_print_line(&s->print, "Successfully set the current worker deployment version");
    return 0;
}

int tl_cmd_worker_deployment_set_current(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_set_current);
}

/* --percentage; with --delete there is none. Returns 0 or an exit code. */
static int read_percentage(struct tl_cli_session *s, float *out)
{
    const char *text = tl_cli_text(s->cli, "percentage");
    char *end = NULL;
    *out = text ? strtof(text, &end) : 0;
    if (text && (end == text || *end || !isfinite(*out) || *out < 0 || *out > 100)) {
        return tl_cli_fail(2, "--percentage wants a number from 0 to 100, not \"%s\"", text);
    }
    return text && tl_cli_flag(s->cli, "delete")
               ? tl_cli_fail(1, "--percentage and --delete exclude each other")
               : 0;
}

static int run_set_ramping(struct tl_cli_session *s)
{
    TpWs__SetWorkerDeploymentRampingVersionRequest r =
        TP_WS__SET_WORKER_DEPLOYMENT_RAMPING_VERSION_REQUEST__INIT;
    struct tl_client_error err;
    bool remove = tl_cli_flag(s->cli, "delete");
    int code = target(s, !remove);
    code = code ? code : read_percentage(s, &r.percentage);
    r.allow_no_pollers = tl_cli_flag(s->cli, "allow-no-pollers");
    if (code == 0 && !(r.allow_no_pollers && tl_cli_flag(s->cli, "yes"))) {
        code = look_and_ask(s, "Ramping", &r.conflict_token);
    }
    if (code) {
        return code;
    }
    r.deployment_name = tl_cli_field(s, "deployment-name");
    r.build_id = remove ? r.build_id : tl_cli_field(s, "build-id");
    r.ignore_missing_task_queues = tl_cli_flag(s->cli, "ignore-missing-task-queues");
    if (tl_cli_call(s, TL_M_SetWorkerDeploymentRampingVersion, &r, NULL, &err) != TL_OK) {
        return tl_cli_call_failed("error setting the ramping worker deployment version", &err);
    }
    tl_print_line(&s->print, "Successfully %s the ramping worker deployment version",
                  remove ? "deleted" : "set");
    return 0;
}

int tl_cmd_worker_deployment_set_ramping(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_set_ramping);
}

/* --- manager-identity ----------------------------------------------------------------------------- */

/* identity NULL: this caller. Returns an exit code; *previous is who it was. */
static int set_manager(struct tl_cli_session *s, const char *identity, const char **previous)
{
    TpWs__SetWorkerDeploymentManagerRequest r = TP_WS__SET_WORKER_DEPLOYMENT_MANAGER_REQUEST__INIT;
    TpWs__SetWorkerDeploymentManagerResponse *resp = NULL;
    struct tl_client_error err;
    int code = look_and_ask(s, "ManagerIdentity", &r.conflict_token);
    if (code) {
        return code;
    }
    r.deployment_name = tl_cli_field(s, "deployment-name");
    if (identity) {
        r.new_manager_identity_case =
            TP_WS__SET_WORKER_DEPLOYMENT_MANAGER_REQUEST__NEW_MANAGER_IDENTITY_MANAGER_IDENTITY;
        r.manager_identity = (char *)(uintptr_t)identity;
    } else {
        r.new_manager_identity_case =
            TP_WS__SET_WORKER_DEPLOYMENT_MANAGER_REQUEST__NEW_MANAGER_IDENTITY_SELF;
        r.self = true;
    }
    if (tl_cli_call(s, TL_M_SetWorkerDeploymentManager, &r, &resp, &err) != TL_OK) {
        return tl_cli_call_failed("error setting the manager identity", &err);
    }
    *previous = resp->previous_manager_identity;
    return 0;
}

static int run_set_manager(struct tl_cli_session *s)
{
    const char *previous = "", *identity = tl_cli_text(s->cli, "manager-identity");
    bool self = tl_cli_flag(s->cli, "self");
    if (self == (identity != NULL)) {
        return tl_cli_fail(1, "must set either --manager-identity or --self");
    }
    int code = set_manager(s, identity, &previous);
    if (code == 0) {
        struct tl_str own = tl_client_identity(s->client);
        const char *now = identity ? identity : tl_arena_cstr(&s->arena, own);
        tl_print_line(&s->print, "Successfully set manager identity to '%s', was previously '%s'",
                      now ? now : "", previous);
    }
    return code;
}

int tl_cmd_worker_deployment_set_manager(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_set_manager);
}

static int run_unset_manager(struct tl_cli_session *s)
{
    const char *previous = "";
    int code = set_manager(s, "", &previous);
    if (code == 0) {
        tl_print_line(&s->print, "Successfully unset manager identity, was previously '%s'",
                      previous);
    }
    return code;
}

int tl_cmd_worker_deployment_unset_manager(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_unset_manager);
}
