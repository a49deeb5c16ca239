/* The status page: one HTML document without scripts and outside assets, made anew for each request by
 * blocking calls on the listener's thread, so one page is made at a time. Its links lead to the GET half
 * of the HTTP API on the same port. See pages.h. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <temporal/api/workflowservice/v1/request_response.pb-c.h>

#include "base/mem.h"
#include "client/client.h"
#include "http/api.h"
#include "http/assets.h"
#include "http/pages.h"
#include "proto/json.h"
#include "proto/pb.h"
#include "tl_enums.h"

#define PAGE_BYTES_MAX ((size_t)8 * 1024 * 1024)
#define ARENA_BYTES_MAX ((size_t)64 * 1024 * 1024)
#define CALL_NS (INT64_C(5) * 1000000000)
#define NAMESPACES_MAX 50
#define WORKFLOWS_MAX 50
#define QUEUES_MAX 20
#define NAME_MAX_BYTES 300
#define TIME_BYTES_MAX 64
#define POLICY                                                                                     \
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; base-uri 'self'; "         \
    "frame-ancestors 'none'"

struct tl_http_page {
    struct tl_http_page_options o;
    struct tl_channel *channel;
    struct tl_client *client;
    struct tl_http_api *api;
};

/* One page being made. */
struct draft {
    struct tl_http_page *page;
    struct tl_arena *arena;
    struct tl_buf out;
    const char *namespace_name; /* whose workflows are shown */
    const char *queues[QUEUES_MAX];
    size_t queue_count;
};

/* --- text --------------------------------------------------------------------------------------------- */

static void put(struct draft *d, const char *html)
{
    tl_buf_puts(&d->out, html);
}

/* Text from outside, in an element or a quoted attribute. */
static void put_text(struct draft *d, const char *text)
{
    for (const char *c = text ? text : ""; *c; c++) {
        switch (*c) {
        case '&':
            put(d, "&amp;");
            break;
        case '<':
            put(d, "&lt;");
            break;
        case '>':
            put(d, "&gt;");
            break;
        case '"':
            put(d, "&quot;");
            break;
        case '\'':
            put(d, "&#39;");
            break;
        default:
            tl_buf_putc(&d->out, *c);
        }
    }
}

/* Text from outside as part of a URL. */
static void put_url(struct draft *d, const char *text)
{
    for (const char *c = text ? text : ""; *c; c++) {
        bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                     (*c >= '0' && *c <= '9') || strchr("-_.~", *c);
        tl_buf_printf(&d->out, plain ? "%c" : "%%%02X", (unsigned char)*c);
    }
}

static void put_cell(struct draft *d, const char *text)
{
    put(d, "<td>");
    put_text(d, text);
}

static void put_time(struct draft *d, const Google__Protobuf__Timestamp *t)
{
    struct tl_buf json;
    struct tl_error err;
    put(d, "<td>");
    tl_buf_init(&json, TIME_BYTES_MAX);
    if (t && tl_json_write(t, NULL, &json, &err) == TL_OK) {
        tl_buf_put(&d->out, json.p + 1, json.n - 2); /* without the quotes */
    }
    tl_buf_deinit(&json);
}

static void put_status(struct draft *d, int status)
{
    char name[64];
    size_t n = tl_json_enum_short(&tp_enums__workflow_execution_status__descriptor, status, name,
                                  sizeof name);
    tl_buf_printf(&d->out, "<td class=\"s%d\">%s", status, n ? name : "?");
}

static bool call(struct draft *d, enum tl_method method, void *request, void *response)
{
    struct tl_client_error err;
    return tl_client_call(d->page->client, method, request, d->arena, response, CALL_NS, &err) ==
           TL_OK;
}

/* --- parts --------------------------------------------------------------------------------------------- */

static void put_count(struct draft *d, const char *namespace_name, const char *query)
{
    TpWs__CountWorkflowExecutionsRequest q = TP_WS__COUNT_WORKFLOW_EXECUTIONS_REQUEST__INIT;
    TpWs__CountWorkflowExecutionsResponse *r = NULL;
    q.namespace_ = (char *)(uintptr_t)namespace_name;
    q.query = (char *)(uintptr_t)query;
    if (call(d, TL_M_CountWorkflowExecutions, &q, &r)) {
        tl_buf_printf(&d->out, "<td class=n>%" PRId64, r->count);
    } else {
        put(d, "<td class=n>?");
    }
}

static void put_namespaces(struct draft *d)
{
    TpWs__ListNamespacesRequest q = TP_WS__LIST_NAMESPACES_REQUEST__INIT;
    TpWs__ListNamespacesResponse *r = NULL;
    put(d, "<h2>Namespaces</h2><table><tr><th>Name<th class=n>Running<th class=n>All<th>JSON");
    q.page_size = NAMESPACES_MAX;
    if (!call(d, TL_M_ListNamespaces, &q, &r)) {
        put(d, "<tr><td colspan=4>cannot be listed");
    }
    for (size_t i = 0; r && i < r->n_namespaces; i++) {
        const char *name = r->namespaces[i]->namespace_info->name;
        put(d, "<tr><td><a href=\"?namespace=");
        put_url(d, name);
        put(d, "\">");
        put_text(d, name);
        put(d, "</a>");
        put_count(d, name, "ExecutionStatus = 'Running'");
        put_count(d, name, "");
        put(d, "<td><a href=\"api/v1/namespaces/");
        put_url(d, name);
        put(d, "?pretty\">describe</a>");
    }
    put(d, "</table>\n");
}

static void remember_queue(struct draft *d, const char *name)
{
    for (size_t i = 0; i < d->queue_count; i++) {
        if (strcmp(d->queues[i], name) == 0) {
            return;
        }
    }
    if (d->queue_count < QUEUES_MAX) {
        d->queues[d->queue_count++] = name;
    }
}

static void put_workflow_link(struct draft *d, const TpCommon__WorkflowExecution *e,
                              const char *tail, const char *text)
{
    put(d, "<a href=\"api/v1/namespaces/");
    put_url(d, d->namespace_name);
    put(d, "/workflows/");
    put_url(d, e->workflow_id);
    tl_buf_printf(&d->out, "%s?pretty&amp;execution.runId=", tail);
    put_url(d, e->run_id);
    put(d, "\">");
    put_text(d, text);
    put(d, "</a>");
}

static void put_workflows(struct draft *d)
{
    TpWs__ListWorkflowExecutionsRequest q = TP_WS__LIST_WORKFLOW_EXECUTIONS_REQUEST__INIT;
    TpWs__ListWorkflowExecutionsResponse *r = NULL;
    put(d, "<h2>Recent workflows of ");
    put_text(d, d->namespace_name);
    put(d, "</h2><table><tr><th>Status<th>Workflow id<th>Type<th>Task queue<th>Started<th "
           "class=n>Events");
    q.namespace_ = (char *)(uintptr_t)d->namespace_name;
    q.page_size = WORKFLOWS_MAX;
    if (!call(d, TL_M_ListWorkflowExecutions, &q, &r)) {
        put(d, "<tr><td colspan=6>cannot be listed: is there such a namespace?");
    }
    for (size_t i = 0; r && i < r->n_executions; i++) {
        const TpWorkflow__WorkflowExecutionInfo *w = r->executions[i];
        put(d, "<tr>");
        put_status(d, (int)w->status);
        put(d, "<td>");
        put_workflow_link(d, w->execution, "", w->execution->workflow_id);
        put_cell(d, w->type ? w->type->name : "");
        put_cell(d, w->task_queue);
        put_time(d, w->start_time);
        put(d, "<td class=n>");
        char length[32];
        snprintf(length, sizeof length, "%" PRId64, w->history_length);
        put_workflow_link(d, w->execution, "/history", length);
        remember_queue(d, w->task_queue);
    }
    put(d, "</table>\n");
}

static void put_pollers(struct draft *d, const char *queue, int type)
{
    TpWs__DescribeTaskQueueRequest q = TP_WS__DESCRIBE_TASK_QUEUE_REQUEST__INIT;
    TpTq__TaskQueue name = TP_TQ__TASK_QUEUE__INIT;
    TpWs__DescribeTaskQueueResponse *r = NULL;
    q.namespace_ = (char *)(uintptr_t)d->namespace_name;
    name.name = (char *)(uintptr_t)queue;
    q.task_queue = &name;
    q.task_queue_type = (TpEnums__TaskQueueType)type;
    bool ok = call(d, TL_M_DescribeTaskQueue, &q, &r);
    for (size_t i = 0; ok && i < r->n_pollers; i++) {
        put(d, "<tr>");
        put_cell(d, queue);
        put_cell(d, type == TASK_QUEUE_TYPE_WORKFLOW ? "workflow" : "activity");
        put_cell(d, r->pollers[i]->identity);
        put_time(d, r->pollers[i]->last_access_time);
    }
    if (!ok || r->n_pollers == 0) {
        put(d, "<tr>");
        put_cell(d, queue);
        put_cell(d, type == TASK_QUEUE_TYPE_WORKFLOW ? "workflow" : "activity");
        put(d, "<td colspan=2 class=none>nobody polls");
    }
}

static void put_queues(struct draft *d)
{
    put(d, "<h2>Task queues of these workflows</h2>"
           "<table><tr><th>Task queue<th>Tasks<th>Poller<th>Last poll");
    for (size_t i = 0; i < d->queue_count; i++) {
        put_pollers(d, d->queues[i], TASK_QUEUE_TYPE_WORKFLOW);
        put_pollers(d, d->queues[i], TASK_QUEUE_TYPE_ACTIVITY);
    }
    put(d, "</table>\n");
}

static void put_head(struct draft *d)
{
    put(d, "<!doctype html><html lang=en><meta charset=utf-8><title>temporal-lua</title>"
           "<base href=\"");
    put_text(d, d->page->o.public_path);
    put(d, "/\"><style>"
           "body{font:15px/1.4 sans-serif;margin:2em auto;max-width:75em;padding:0 1em}"
           "table{border-collapse:collapse;width:100%}"
           "td,th{border-bottom:1px solid #ddd;padding:.25em .6em;text-align:left}"
           ".n{text-align:right}.none{color:#a40}.s1{color:#06c}.s2{color:#080}"
           ".s3,.s5,.s7{color:#b00}</style><h1>temporal-lua development server</h1>\n");
    if (d->page->o.codec_endpoint) {
        put(d, "<p>Codec endpoint: <code>");
        put_text(d, d->page->o.codec_endpoint);
        put(d, "</code></p>\n");
    }
}

/* --- requests -------------------------------------------------------------------------------------------- */

static void serve_page(struct tl_http_page *p, struct tl_http_request *r)
{
    struct draft d = {.page = p, .arena = &r->arena, .namespace_name = "default"};
    const struct tl_http_param *name = tl_http_param(r, "namespace");
    if (name && (name->value.n == 0 || name->value.n > NAME_MAX_BYTES ||
                 !(d.namespace_name = tl_pb_cstr(&r->arena, name->value)))) {
        tl_http_reply(r, 400, "text/plain; charset=utf-8", TL_STR_LIT("not a namespace name\n"));
        return;
    }
    tl_buf_init(&d.out, PAGE_BYTES_MAX);
    put_head(&d);
    put_namespaces(&d);
    put_workflows(&d);
    put_queues(&d);
    tl_http_reply_with(r, tl_buf_failed(&d.out) ? 500 : 200, "text/html; charset=utf-8",
                       tl_buf_str(&d.out), "Content-Security-Policy", POLICY);
    tl_buf_deinit(&d.out);
}

static bool begins(struct tl_str s, const char *with)
{
    size_t n = strlen(with);
    return s.n >= n && memcmp(s.p, with, n) == 0;
}

void tl_http_page_handle(void *ud, struct tl_http_request *r)
{
    struct tl_http_page *p = ud;
    size_t n = strlen(p->o.public_path);
    bool here = begins(r->path, p->o.public_path) && (r->path.n == n || r->path.p[n] == '/');
    if (!here) {
        tl_http_reply(r, 404, "text/plain; charset=utf-8", TL_STR_LIT("nothing here\n"));
        return;
    }
    r->path = tl_str_n(r->path.p + n, r->path.n - n);
    if (begins(r->path, "/api/")) {
        tl_http_api_handle(p->api, r);
    } else if (!tl_str_eqc(r->method, "GET")) {
        tl_http_reply(r, 405, "text/plain; charset=utf-8", TL_STR_LIT("GET only\n"));
    } else if (p->o.asset_path) {
        tl_http_serve_asset(p->o.asset_path, r);
    } else if (r->path.n == 0 || tl_str_eqc(r->path, "/")) {
        serve_page(p, r);
    } else {
        tl_http_reply(r, 404, "text/plain; charset=utf-8", TL_STR_LIT("nothing here\n"));
    }
}

/* --- life -------------------------------------------------------------------------------------------------- */

static tl_rc check(const struct tl_http_page_options *o, struct tl_error *err)
{
    struct stat st;
    for (const char *c = o->public_path ? o->public_path : ""; *c; c++) {
        bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                     (*c >= '0' && *c <= '9') || strchr("/-_.~", *c);
        if (!plain || o->public_path[0] != '/') {
            return tl_error_set(err, TL_EINVAL,
                                "a public path is '/' and letters, digits and -_.~, got '%s'",
                                o->public_path);
        }
    }
    if (o->asset_path && (stat(o->asset_path, &st) != 0 || !S_ISDIR(st.st_mode))) {
        return tl_error_set(err, TL_EINVAL, "the asset folder '%s' is not a folder", o->asset_path);
    }
    return TL_OK;
}

tl_rc tl_http_page_new(struct tl_http_page **out, const struct tl_http_page_options *o,
                       const struct tl_rpc_service *service, struct tl_error *err)
{
    tl_rc rc = check(o, err);
    *out = NULL;
    if (rc != TL_OK) {
        return rc;
    }
    struct tl_http_page *p = TL_NEW(struct tl_http_page);
    struct tl_str path = tl_str(o->public_path);
    while (path.n && path.p[path.n - 1] == '/') {
        path.n--;
    }
    p->o = *o;
    p->o.public_path = tl_mem_dup(path);
    p->channel = tl_local_channel_open(service);
    p->client = tl_client_new(&(struct tl_client_config){.channel = p->channel});
    p->api = tl_http_api_new(service, true);
    *out = p;
    return TL_OK;
}

void tl_http_page_free(struct tl_http_page *p)
{
    if (p) {
        tl_http_api_free(p->api);
        tl_client_free(p->client);
        tl_channel_close(p->channel);
        tl_mem_free((void *)(uintptr_t)p->o.public_path);
        tl_mem_free(p);
    }
}
