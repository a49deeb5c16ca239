/* operator nexus endpoint create, delete, get, list, update. */
#include <string.h>

#include <temporal/api/operatorservice/v1/request_response.pb-c.h>

#include "base/mem.h"
#include "cli/connect.h"
#include "proto/pb.h"

int tl_cmd_operator_nexus_endpoint_create(struct tl_cli *cli);
int tl_cmd_operator_nexus_endpoint_delete(struct tl_cli *cli);
int tl_cmd_operator_nexus_endpoint_get(struct tl_cli *cli);
int tl_cmd_operator_nexus_endpoint_list(struct tl_cli *cli);
int tl_cmd_operator_nexus_endpoint_update(struct tl_cli *cli);

/* --- what several commands need ------------------------------------------------------------------ */

/* A text as a payload: JSON, as other tools write a description. NULL when it is too large. */
static TpCommon__Payload *text_payload(struct tl_cli_session *s, struct tl_str text)
{
    TpCommon__Payload *p = TL_PB_NEW(&s->arena, TpCommon__Payload, tp_common__payload);
    TpCommon__Payload__MetadataEntry *m =
        TL_PB_NEW(&s->arena, TpCommon__Payload__MetadataEntry, tp_common__payload__metadata_entry);
    struct tl_pb_list list = {0};
    struct tl_buf json;
    struct tl_jw w;
    struct tl_error err;
    if (!p || !m || !tl_pb_push(&s->arena, &list, m)) {
        return NULL;
    }
    m->key = (char *)(uintptr_t) "encoding";
    m->value = tl_pb_bytes_view(TL_STR_LIT("json/plain"));
    p->n_metadata = list.n;
    p->metadata = list.items;
    tl_buf_init(&json, (size_t)1 << 20);
    tl_jw_init(&w, &json, 0, 4);
    tl_jw_string(&w, text);
    bool ok = tl_jw_finish(&w, &err) == TL_OK;
    if (ok) {
        p->data = tl_pb_bytes(&s->arena, tl_buf_str(&json), &ok);
    }
    tl_buf_deinit(&json);
    return ok ? p : NULL;
}

/* --description or --description-file; *out is NULL when neither is there. Returns 0 or an exit code. */
static int description(struct tl_cli_session *s, TpCommon__Payload **out)
{
    const char *text = tl_cli_text(s->cli, "description");
    const char *path = tl_cli_text(s->cli, "description-file");
    struct tl_error err;
    char *bytes = NULL;
    size_t n = 0;
    *out = NULL;
    if (text && path) {
        return tl_cli_fail(2, "give --description or --description-file, not both");
    }
    if (path) {
        if (tl_cli_read_file(path, &bytes, &n, &err) != TL_OK) {
            return tl_cli_fail(1, "%s", err.message);
        }
        if (!n) {
            tl_mem_free(bytes);
            return tl_cli_fail(1, "the description file %s is empty", path);
        }
    }
    if (text || path) {
        *out = text_payload(s, path ? tl_str_n(bytes, n) : tl_str(text));
    }
    tl_mem_free(bytes);
    return (text || path) && !*out ? tl_cli_fail(1, "the description is no text, or too large") : 0;
}

/* The target that the options name, over `base` (NULL: none). Returns 0 or an exit code. */
static int target(struct tl_cli_session *s, const TpNexus__EndpointTarget *base,
                  TpNexus__EndpointTarget **out)
{
    const char *ns = tl_cli_text(s->cli, "target-namespace");
    const char *queue = tl_cli_text(s->cli, "target-task-queue");
    const char *url = tl_cli_text(s->cli, "target-url");
    TpNexus__EndpointTarget *t =
        TL_PB_NEW(&s->arena, TpNexus__EndpointTarget, tp_nexus__endpoint_target);
    TpNexus__EndpointTarget__Worker *w =
        TL_PB_NEW(&s->arena, TpNexus__EndpointTarget__Worker, tp_nexus__endpoint_target__worker);
    TpNexus__EndpointTarget__External *x = TL_PB_NEW(&s->arena, TpNexus__EndpointTarget__External,
                                                     tp_nexus__endpoint_target__external);
    bool had_worker = base && base->variant_case == TP_NEXUS__ENDPOINT_TARGET__VARIANT_WORKER;
    if (!t || !w || !x) {
        return tl_cli_fail(1, "the endpoint is too large");
    }
    if (url && (ns || queue)) {
        return tl_cli_fail(2, "give --target-url or --target-namespace and --target-task-queue, "
                              "not both");
    }
    *out = t;
    if (url) {
        x->url = (char *)(uintptr_t)url;
        t->variant_case = TP_NEXUS__ENDPOINT_TARGET__VARIANT_EXTERNAL;
        t->external = x;
        return 0;
    }
    if (base && !ns && !queue) {
        *out = (TpNexus__EndpointTarget *)(uintptr_t)base;
        return 0;
    }
    if ((!ns || !queue) && !had_worker) {
        return tl_cli_fail(2, "both --target-namespace and --target-task-queue are needed, or "
                              "--target-url");
    }
    w->namespace_ = ns ? (char *)(uintptr_t)ns : base->worker->namespace_;
    w->task_queue = queue ? (char *)(uintptr_t)queue : base->worker->task_queue;
    t->variant_case = TP_NEXUS__ENDPOINT_TARGET__VARIANT_WORKER;
    t->worker = w;
    return 0;
}

/* NULL after an error was printed. */
static TpNexus__Endpoint *by_name(struct tl_cli_session *s)
{
    TpOs__ListNexusEndpointsRequest r = TP_OS__LIST_NEXUS_ENDPOINTS_REQUEST__INIT;
    TpOs__ListNexusEndpointsResponse *resp = NULL;
    struct tl_client_error err;
    r.name = tl_cli_field(s, "name");
    if (tl_cli_call(s, TL_M_ListNexusEndpoints, &r, &resp, &err) != TL_OK) {
        tl_cli_call_failed("unable to get the endpoint", &err);
        return NULL;
    }
    if (!resp->n_endpoints) {
        tl_cli_fail(1, "endpoint not found: \"%s\"", r.name);
        return NULL;
    }
    return resp->endpoints[0];
}

static void print_endpoint(struct tl_cli_session *s, const TpNexus__Endpoint *e)
{
    const TpNexus__EndpointTarget *t = e->spec->target;
    bool worker = t && t->variant_case == TP_NEXUS__ENDPOINT_TARGET__VARIANT_WORKER;
    bool external = t && t->variant_case == TP_NEXUS__ENDPOINT_TARGET__VARIANT_EXTERNAL;
    TpCommon__Payloads one = TP_COMMON__PAYLOADS__INIT;
    TpCommon__Payload *payload = e->spec->description;
    one.n_payloads = payload ? 1 : 0;
    one.payloads = &payload;
    const struct tl_print_row rows[] = {
        {"ID", e->id, false},
        {"Name", e->spec->name, false},
        {"CreatedTime", tl_print_time(&s->print, &s->arena, e->created_time), false},
        {"LastModifiedTime", tl_print_time(&s->print, &s->arena, e->last_modified_time), false},
        {"Target.External.URL", external ? t->external->url : "", true},
        {"Target.Worker.Namespace", worker ? t->worker->namespace_ : "", true},
        {"Target.Worker.TaskQueue", worker ? t->worker->task_queue : "", true},
        {"Description", payload ? tl_print_payloads_text(&s->print, &s->arena, &one) : "", true},
    };
    tl_print_card(&s->print, rows, sizeof rows / sizeof rows[0]);
}

/* --- commands -------------------------------------------------------------------------------------- */

static int run_create(struct tl_cli_session *s)
{
    TpOs__CreateNexusEndpointRequest r = TP_OS__CREATE_NEXUS_ENDPOINT_REQUEST__INIT;
    TpNexus__EndpointSpec spec = TP_NEXUS__ENDPOINT_SPEC__INIT;
    struct tl_client_error err;
    int code = description(s, &spec.description);
    code = code ? code : target(s, NULL, &spec.target);
    if (code) {
        return code;
    }
    spec.name = tl_cli_field(s, "name");
    r.spec = &spec;
    if (tl_cli_call(s, TL_M_CreateNexusEndpoint, &r, NULL, &err) != TL_OK) {
        return tl_cli_call_failed("unable to create the endpoint", &err);
    }
    tl_print_line(&s->print, "Endpoint %s successfully created.", spec.name);
    return 0;
}

int tl_cmd_operator_nexus_endpoint_create(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_CREATE, run_create);
}

static int run_delete(struct tl_cli_session *s)
{
    TpOs__DeleteNexusEndpointRequest r = TP_OS__DELETE_NEXUS_ENDPOINT_REQUEST__INIT;
    struct tl_client_error err;
    const TpNexus__Endpoint *e = by_name(s);
    if (!e) {
        return 1;
    }
    r.id = e->id;
    r.version = e->version;
    if (tl_cli_call(s, TL_M_DeleteNexusEndpoint, &r, NULL, &err) != TL_OK) {
        return tl_cli_call_failed("unable to delete the endpoint", &err);
    }
    tl_print_line(&s->print, "Endpoint %s successfully deleted (ID %s).", e->spec->name, e->id);
    return 0;
}

int tl_cmd_operator_nexus_endpoint_delete(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_delete);
}

static int run_get(struct tl_cli_session *s)
{
    struct tl_error err = {0};
    const TpNexus__Endpoint *e = by_name(s);
    if (!e) {
        return 1;
    }
    if (tl_print_is_json(&s->print)) {
        return tl_cli_printed(tl_print_message(&s->print, e, &err), &err);
    }
    print_endpoint(s, e);
    return 0;
}

int tl_cmd_operator_nexus_endpoint_get(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_get);
}

static int run_list(struct tl_cli_session *s)
{
    TpOs__ListNexusEndpointsRequest r = TP_OS__LIST_NEXUS_ENDPOINTS_REQUEST__INIT;
    TpOs__ListNexusEndpointsResponse *resp = NULL;
    struct tl_client_error cerr;
    struct tl_error err = {0};
    tl_rc rc = TL_OK;
    tl_print_list_begin(&s->print);
    do {
        if (tl_cli_call(s, TL_M_ListNexusEndpoints, &r, &resp, &cerr) != TL_OK) {
            return tl_cli_call_failed("unable to list endpoints", &cerr);
        }
        for (size_t i = 0; i < resp->n_endpoints && rc == TL_OK; i++) {
            if (tl_print_is_json(&s->print)) {
                rc = tl_print_message(&s->print, resp->endpoints[i], &err);
            } else {
                print_endpoint(s, resp->endpoints[i]);
                tl_print_line(&s->print, "%s", "");
            }
        }
        r.next_page_token = resp->next_page_token;
    } while (rc == TL_OK && r.next_page_token.len);
    tl_print_list_end(&s->print);
    return tl_cli_printed(rc, &err);
}

int tl_cmd_operator_nexus_endpoint_list(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_list);
}

static int run_update(struct tl_cli_session *s)
{
    TpOs__UpdateNexusEndpointRequest r = TP_OS__UPDATE_NEXUS_ENDPOINT_REQUEST__INIT;
    TpNexus__EndpointSpec spec = TP_NEXUS__ENDPOINT_SPEC__INIT;
    struct tl_client_error err;
    bool unset = tl_cli_flag(s->cli, "unset-description");
    int code = description(s, &spec.description);
    if (!code && unset && spec.description) {
        code = tl_cli_fail(2, "--unset-description does not go with a description");
    }
    const TpNexus__Endpoint *e = code ? NULL : by_name(s);
    if (!e) {
        return code ? code : 1;
    }
    code = target(s, e->spec->target, &spec.target);
    if (code) {
        return code;
    }
    if (!spec.description && !unset) {
        spec.description = e->spec->description;
    }
    spec.name = e->spec->name;
    r.id = e->id;
    r.version = e->version;
    r.spec = &spec;
    if (tl_cli_call(s, TL_M_UpdateNexusEndpoint, &r, NULL, &err) != TL_OK) {
        return tl_cli_call_failed("unable to update the endpoint", &err);
    }
    tl_print_line(&s->print, "Endpoint %s successfully updated.", spec.name);
    return 0;
}

int tl_cmd_operator_nexus_endpoint_update(struct tl_cli *cli)
{
    return tl_cli_session_run(cli, TL_CLI_DB_EXISTS, run_update);
}
