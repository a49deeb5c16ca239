/* Nexus endpoints: creating, changing, deleting, listing. Thread: engine. */
#include "server/nexus_endpoints.h"

#include <stdio.h>

#include <temporal/api/operatorservice/v1/request_response.pb-c.h>

#include "base/limits.h"
#include "server/api/api.h"

#define NAME_BYTES_MAX 200
#define DESCRIPTION_BYTES_MAX 20000
#define PAGE_DEFAULT 100
#define PAGE_MAX 1000
#define NAME_SHAPE "^[a-zA-Z][a-zA-Z0-9\\-]*[a-zA-Z0-9]$"

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool name_ok(struct tl_str n)
{
    if (n.n < 2 || !is_letter(n.p[0]) || n.p[n.n - 1] == '-') {
        return false;
    }
    for (size_t i = 0; i < n.n; i++) {
        if (!is_letter(n.p[i]) && !is_digit(n.p[i]) && n.p[i] != '-') {
            return false;
        }
    }
    return true;
}

/* All that is wrong with a request, in one answer. */
struct issues {
    struct tl_buf text;
};

static void add_issue(struct issues *is, const char *what)
{
    tl_buf_printf(&is->text, "%s%s", is->text.n ? ", " : "", what);
}

static void check_worker(struct issues *is, const TpNexus__EndpointTarget__Worker *w)
{
    size_t n = strlen(w->task_queue);
    if (!*w->namespace_) {
        add_issue(is, "target namespace not set");
    }
    if (!n) {
        add_issue(is, "invalid target task queue: \"missing task queue name\"");
    } else if ((int64_t)n > tl_limit_id_bytes) {
        add_issue(is, "invalid target task queue: \"taskqueue length exceeds limit\"");
    }
}

static void check_spec(struct issues *is, const TpNexus__EndpointSpec *spec)
{
    char text[120];
    struct tl_str name = tl_str(spec ? spec->name : "");
    if (!name.n) {
        add_issue(is, "endpoint name not set");
    } else if (name.n > NAME_BYTES_MAX) {
        snprintf(text, sizeof text, "endpoint name exceeds length limit of %d", NAME_BYTES_MAX);
        add_issue(is, text);
    } else if (!name_ok(name)) {
        add_issue(is, "endpoint name must match the regex: \"" NAME_SHAPE "\"");
    }
    if (!spec || !spec->target || !spec->target->variant_case) {
        add_issue(is, "empty target variant");
    } else if (spec->target->variant_case == TP_NEXUS__ENDPOINT_TARGET__VARIANT_WORKER) {
        check_worker(is, spec->target->worker);
    }
    if (spec && spec->description && tl_pb_size(spec->description) > DESCRIPTION_BYTES_MAX) {
        snprintf(text, sizeof text, "description size exceeds limit of %d", DESCRIPTION_BYTES_MAX);
        add_issue(is, text);
    }
}

/* False after an answer. */
static bool spec_ok(struct tl_call *c, const TpNexus__EndpointSpec *spec)
{
    struct issues is;
    tl_buf_init(&is.text, 4096);
    check_spec(&is, spec);
    bool ok = is.text.n == 0;
    if (!ok) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "%s", is.text.p);
    }
    tl_buf_deinit(&is.text);
    if (ok && spec->target->variant_case == TP_NEXUS__ENDPOINT_TARGET__VARIANT_EXTERNAL) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EUNIMPLEMENTED),
                       "the target URL \"%.200s\" cannot be called by this server: name a target "
                       "namespace and task queue",
                       spec->target->external->url);
        return false;
    }
    if (ok && !tl_namespace_find(c->s, tl_str(spec->target->worker->namespace_))) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EPRECONDITION),
                       "could not verify namespace referenced by target exists: Namespace %.200s "
                       "is not found.",
                       spec->target->worker->namespace_);
        return false;
    }
    return ok;
}

static bool id_ok(struct tl_call *c, const char *id)
{
    if (!*id) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "endpoint ID not set");
        return false;
    }
    return true;
}

static struct tl_nexus_endpoint *find(struct tl_call *c, const char *id)
{
    struct tl_nexus_endpoint *e = tl_nexus_endpoint_by_id(c->s, tl_str(id));
    if (!e) {
        tl_call_not_found(c, c->s->open->seq,
                          tl_arena_printf(c->arena, "Nexus endpoint not found for ID: %.100s", id));
    }
    return e;
}

/* Another endpoint must not have the name. False after an answer. */
static bool name_free(struct tl_call *c, const char *name, const struct tl_nexus_endpoint *self)
{
    const struct tl_nexus_endpoint *other = tl_nexus_endpoint_by_name(c->s, tl_str(name));
    if (other && other != self) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EEXISTS),
                       "error creating Nexus endpoint. Endpoint with name %s already registered",
                       name);
        return false;
    }
    return true;
}

static bool version_ok(struct tl_call *c, const struct tl_nexus_endpoint *e, int64_t version)
{
    if (version == e->e->version) {
        return true;
    }
    tl_call_errorf(c, tl_rc_grpc_status(TL_EPRECONDITION),
                   "nexus endpoint version mismatch. received: %lld expected %lld",
                   (long long)version, (long long)e->e->version);
    return false;
}

/* NULL after an answer. */
static struct tl_nexus_endpoint *store(struct tl_call *c, const TpNexus__Endpoint *e)
{
    struct tl_error err;
    struct tl_nexus_endpoint *made = tl_nexus_endpoint_put(c->s, e, &err);
    if (!made) {
        tl_call_errorf(c, tl_rc_grpc_status(err.code), "%s", err.message);
    }
    return made;
}

void tl_api_create_nexus_endpoint(struct tl_call *c)
{
    const TpOs__CreateNexusEndpointRequest *req = c->req;
    TpOs__CreateNexusEndpointResponse r = TP_OS__CREATE_NEXUS_ENDPOINT_RESPONSE__INIT;
    TpNexus__Endpoint e = TP_NEXUS__ENDPOINT__INIT;
    char id[37];
    if (!spec_ok(c, req->spec) || !name_free(c, req->spec->name, NULL)) {
        return;
    }
    if ((int64_t)c->s->endpoints.count >= tl_limit_nexus_endpoints) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_ELIMIT),
                       "there are %zu Nexus endpoints, as many as this server keeps",
                       c->s->endpoints.count);
        return;
    }
    tl_uuid4(c->s->world, id);
    e.version = 1;
    e.id = id;
    e.spec = req->spec;
    e.created_time = e.last_modified_time = tl_pb_timestamp(c->arena, tl_engine_now(c->s));
    e.url_prefix = tl_arena_printf(c->arena, "/nexus/endpoints/%s/services/", id);
    const struct tl_nexus_endpoint *made = store(c, &e);
    if (made) {
        r.endpoint = made->e;
        tl_call_reply(c, made->seq, &r);
    }
}

void tl_api_update_nexus_endpoint(struct tl_call *c)
{
    const TpOs__UpdateNexusEndpointRequest *req = c->req;
    TpOs__UpdateNexusEndpointResponse r = TP_OS__UPDATE_NEXUS_ENDPOINT_RESPONSE__INIT;
    if (!id_ok(c, req->id) || !spec_ok(c, req->spec)) {
        return;
    }
    struct tl_nexus_endpoint *old = find(c, req->id);
    if (!old || !version_ok(c, old, req->version) || !name_free(c, req->spec->name, old)) {
        return;
    }
    TpNexus__Endpoint e = *old->e;
    e.version++;
    e.spec = req->spec;
    e.last_modified_time = tl_pb_timestamp(c->arena, tl_engine_now(c->s));
    const struct tl_nexus_endpoint *made = store(c, &e);
    if (made) {
        r.endpoint = made->e;
        tl_call_reply(c, made->seq, &r);
    }
}

void tl_api_delete_nexus_endpoint(struct tl_call *c)
{
    const TpOs__DeleteNexusEndpointRequest *req = c->req;
    TpOs__DeleteNexusEndpointResponse r = TP_OS__DELETE_NEXUS_ENDPOINT_RESPONSE__INIT;
    if (!id_ok(c, req->id)) {
        return;
    }
    if (req->version <= 0) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "endpoint version is non-positive");
        return;
    }
    struct tl_nexus_endpoint *e = find(c, req->id);
    if (e && version_ok(c, e, req->version)) {
        tl_nexus_endpoint_delete(c->s, e);
        tl_call_reply(c, c->s->open->seq, &r);
    }
}

void tl_api_get_nexus_endpoint(struct tl_call *c)
{
    const TpOs__GetNexusEndpointRequest *req = c->req;
    TpOs__GetNexusEndpointResponse r = TP_OS__GET_NEXUS_ENDPOINT_RESPONSE__INIT;
    const struct tl_nexus_endpoint *e = id_ok(c, req->id) ? find(c, req->id) : NULL;
    if (e) {
        r.endpoint = e->e;
        tl_call_reply(c, e->seq, &r);
    }
}

/* The entry after the one that a page token names; false after an answer. */
static bool begin_page(struct tl_call *c, struct tl_str token, struct tl_map_entry **at)
{
    *at = tl_map_first(&c->s->endpoints);
    if (!token.n) {
        return true;
    }
    while (*at && !tl_str_eq(tl_map_key(*at), token)) {
        *at = tl_map_next(&c->s->endpoints, *at);
    }
    if (!*at) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EPRECONDITION),
                       "could not find endpoint indicated by nexus list endpoints next page token");
        return false;
    }
    *at = tl_map_next(&c->s->endpoints, *at);
    return true;
}

void tl_api_list_nexus_endpoints(struct tl_call *c)
{
    const TpOs__ListNexusEndpointsRequest *req = c->req;
    TpOs__ListNexusEndpointsResponse r = TP_OS__LIST_NEXUS_ENDPOINTS_RESPONSE__INIT;
    struct tl_pb_list list = {0};
    struct tl_map_entry *at;
    uint64_t seq = 0;
    size_t page = req->page_size ? (size_t)req->page_size : PAGE_DEFAULT;
    if (req->page_size < 0 || page > PAGE_MAX) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL),
                       req->page_size < 0 ? "page_size is negative"
                                          : "page_size exceeds limit of 1000");
        return;
    }
    if (!begin_page(c, *req->name ? (struct tl_str){0} : tl_pb_str(req->next_page_token), &at)) {
        return;
    }
    for (; at && list.n < page; at = tl_map_next(&c->s->endpoints, at)) {
        const struct tl_nexus_endpoint *e = at->value;
        if (*req->name && strcmp(req->name, e->e->spec->name) != 0) {
            continue;
        }
        seq = e->seq > seq ? e->seq : seq;
        if (!tl_pb_push(c->arena, &list, e->e)) {
            tl_call_errorf(c, tl_rc_grpc_status(TL_ELIMIT), "the list is too large");
            return;
        }
        if (list.n == page && tl_map_next(&c->s->endpoints, at) && !*req->name) {
            r.next_page_token = tl_pb_bytes_view(e->id);
        }
    }
    r.n_endpoints = list.n;
    r.endpoints = list.items;
    tl_call_reply(c, seq, &r);
}
